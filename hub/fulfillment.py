"""A vendor asks for the activation code of a sale that it is completing: answered at once, from the record alone.

The code is known before the license is: it comes from the order reference. The call never makes a license; it keeps
the request as a receipt, which marks the purchase due, and the code, which the license then carries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from hub import references
from hub.errors import HubError, RetryableError
from hub.inbox import COMMIT_S, KEPT_HEADERS
from hub.ports import Asked, Connector
from hub.store import NewReceipt, records
from hub.wiring import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The code; or, with `code` empty, why there is none, for whoever sells."""

    code: str = ""
    because: str = ""


def answer(hub: Hub, connector: Connector, body: bytes, headers: Mapping[str, str], now: float) -> Answer:
    """What the vendor is told. Repeatable: one purchase has one code for ever.

    VerificationError: not proven to be the vendor. UnreadableError: it lacks what tells the purchase. Unavailable:
    not recorded. RetryableError: whether there is such an offering can't be told now. `now` in epoch seconds.
    """
    if connector.fulfillment is None or connector.webhooks is None:
        raise LookupError(connector.name)
    asked = connector.fulfillment.asked(body, headers)
    if because := connector.webhooks.refused(asked.event):
        _keep(hub, connector, asked, body, headers, now, outcome="quarantined", reason=because)
        return Answer(because=because)
    if not _is_sold(hub, connector, asked):
        product = asked.line.keys[0]
        row = f'[[catalog]] row with {connector.catalog_key} = "{product}"'
        because = f"no license is known for {product}: add a {row}"
        _keep(hub, connector, asked, body, headers, now, outcome="accepted", reason=because)
        return Answer(because=because)
    order_ref = references.reference(connector.ref, asked.subject.id)
    code = references.activation_code(hub.settings.secret, order_ref)

    def promise(conn: Connection) -> str:
        return records.promise_code(conn, asked.subject, order_ref, code)

    promised = hub.store.write(promise, timeout_s=3)
    _keep(hub, connector, asked, body, headers, now, outcome="accepted", reason=None)
    hub.bell.ring_soon()
    return Answer(code=promised)


def _is_sold(hub: Hub, connector: Connector, asked: Asked) -> bool:
    """Whether a catalog row names what was sold; else whether its own SKU is an offering (cached in the process)."""
    if next(hub.rules.catalog.naming(connector.catalog_key, asked.line), None) is not None:
        return True
    try:
        return asked.line.sku in hub.shop.licensing.offerings()
    except HubError as error:
        raise RetryableError(f"offerings can't be read now: {error}") from error


def _keep(
    hub: Hub,
    connector: Connector,
    asked: Asked,
    body: bytes,
    headers: Mapping[str, str],
    now: float,
    *,
    outcome: str,
    reason: str | None,
) -> None:
    """The request is a receipt; its purchase is due where it was accepted. One sent again is only counted."""
    event = asked.event
    hub.store.record(
        NewReceipt(
            connection=connector.name,
            external_id=event.external_id,
            type=event.type,
            subject=str(asked.subject),
            kind=asked.subject.kind,
            received_at=now,
            occurred_at=None,
            outcome=outcome,
            reason=reason,
            headers=json.dumps({name: headers[name] for name in KEPT_HEADERS if name in headers}),
            body=body,
        ),
        timeout_s=COMMIT_S,
    )
