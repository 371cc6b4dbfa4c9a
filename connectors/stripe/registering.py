"""Stripe's webhook endpoint for the hub's address: registers it where the key may, else says what to paste.

docs.stripe.com/api/webhook_endpoints (stripe 16.1.0): `secret` is told once, when the endpoint is created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connectors.stripe.webhook import EVENTS
from hub.errors import PermanentError
from hub.ports import Finding

if TYPE_CHECKING:
    from connectors.stripe.client import Client

MEND_CREATED = 'add "file:{file}" to webhook_secrets, then start the hub again'


def register(source: str, client: Client | None, account: str | None, url: str) -> Sequence[Finding]:
    """One endpoint sends our events to `url`. Repeatable: what is there is found first, and only completed."""
    if client is None:
        return [_to_paste(source, "no api_key is set", url)]
    if account:  # one made with Stripe-Account would be the account's own, whose events name no account
        return [
            _to_paste(source, f"an endpoint for events of {account} is the platform's", url, " on connected accounts")
        ]
    try:
        return [_registered(source, client, url)]
    except PermanentError as error:
        return [_to_paste(source, f"could not be registered: {error}", url)]


def check(source: str, client: Client, url: str) -> Sequence[Finding]:
    """Whether our events are sent to `url`. Writes nothing."""
    try:
        found = _endpoint(client, url)
    except PermanentError as error:
        return [_finding(source, "ok", f"whether Stripe sends to {url} can't be read with this key: {error}")]
    mend = f"hub connect {source}"
    if found is None:
        return [_finding(source, "warning", f"no endpoint sends to {url}: sales are seen by sweeps alone", mend)]
    if missing := _missing(found):
        return [_finding(source, "warning", f"the endpoint leaves out: {', '.join(missing)}", mend)]
    return [_disabled(source, url) if found.get("status") == "disabled" else _sent(source, url)]


def _registered(source: str, client: Client, url: str) -> Finding:
    found = _endpoint(client, url)
    if found is None:
        made = client.create_webhook_endpoint(url, [*EVENTS])
        problem = f"registered: {len(EVENTS)} types of events are sent to {url}; its secret is in a file"
        return _finding(source, "warning", problem, MEND_CREATED, str(made.get("secret") or ""))
    if missing := _missing(found):
        client.update_webhook_endpoint(str(found.get("id")), [*_types(found), *missing])
        return _finding(source, "ok", f"the endpoint for {url} was completed by: {', '.join(missing)}")
    return _disabled(source, url) if found.get("status") == "disabled" else _sent(source, url)


def _endpoint(client: Client, url: str) -> Mapping[str, Any] | None:
    return next((one for one in client.webhook_endpoints() if str(one.get("url")).rstrip("/") == url), None)


def _sent(source: str, url: str) -> Finding:
    return _finding(source, "ok", f"events are sent to {url}")


def _disabled(source: str, url: str) -> Finding:
    return _finding(
        source, "warning", f"the endpoint for {url} is disabled", "enable it in Stripe: Workbench > Webhooks"
    )


def _types(endpoint: Mapping[str, Any]) -> Sequence[str]:
    types = endpoint.get("enabled_events")
    return [str(one) for one in types] if isinstance(types, list) else []


def _missing(endpoint: Mapping[str, Any]) -> Sequence[str]:
    types = _types(endpoint)
    return [] if "*" in types else [one for one in EVENTS if one not in types]


def _to_paste(source: str, problem: str, url: str, of: str = "") -> Finding:
    mend = (
        f"in Stripe (Workbench > Webhooks) add an endpoint for {url} with snapshot payloads and these events{of}: "
        f"{', '.join(EVENTS)}; then add its whsec_ secret to webhook_secrets and start the hub again"
    )
    return _finding(source, "warning", problem, mend)


def _finding(source: str, level: str, problem: str, mend: str = "", secret: str = "") -> Finding:
    return Finding(level=level, about=f"{source} webhook", problem=problem, mend=mend, secret=secret)
