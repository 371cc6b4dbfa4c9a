"""What two snapshots of one entitlement tell: each difference once, under the type that names it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.domain import Entitlement, Json
from hub.stream.events import Difference, EntitlementState, Message, iso, message_id

TOLD = ("offering", "seats", "overdraft", "expires_at", "maintenance_until", "enabled", "frozen", "order_ref")
IDS = ("group_id", "customer_id")  # told too, once they are known
LISTED = "listed"  # the status of a snapshot that is known from a list row alone
UNLISTED = ("enabled", "frozen", "maintenance_until")  # what such a row does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a snapshot comes from. ours: the hub made the entitlement. act: the hub just did what is new in it."""

    purchase: str | None
    revision: int
    at: datetime
    ours: bool
    act: bool


def differences(before: Entitlement, now: Entitlement) -> dict[str, Difference]:
    """The fields that differ, at the vendor's precision (whole seconds); seats in use are no state."""
    found = {name: _difference(before, now, name) for name in (*TOLD, *IDS)}
    return {name: one for name, one in found.items() if one is not None}


def agrees(known: Entitlement, fields: Mapping[str, object]) -> bool:
    """Whether what a webhook says (fields named as Entitlement's) is what is known."""
    return all(_plain(value) == _value(known, name) for name, value in fields.items())


def _difference(before: Entitlement, now: Entitlement, name: str) -> Difference | None:
    old, new = _value(before, name), _value(now, name)
    if before.status == LISTED and name in UNLISTED:
        return None
    if old == new or (name in IDS and not (old and new)):
        return None
    return Difference(before=old, after=new)


def _value(one: Entitlement, name: str) -> Json:
    return _plain(getattr(one, name, None))


def _plain(value: Any) -> Json:  # noqa: ANN401  (a field's value)
    return iso(value.replace(microsecond=0)) if isinstance(value, datetime) else value


def messages(before: Entitlement | None, now: Entitlement, origin: Origin) -> tuple[Message, ...]:
    """What consumers hear of it. The first sight of what the hub did not make is nothing to tell."""
    if before is None:
        return (_message("entitlement.created", now, {}, origin),) if origin.ours else ()
    told: dict[str, dict[str, Difference]] = {}
    for name, one in differences(before, now).items():
        told.setdefault(_type(name, one), {})[name] = one
    return tuple(_message(type_, now, changes, origin) for type_, changes in told.items())


def _type(name: str, one: Difference) -> str:
    if name == "enabled":
        return "entitlement.enabled" if one.after else "entitlement.disabled"
    if name == "expires_at" and one.before and (not one.after or str(one.after) > str(one.before)):
        return "entitlement.renewed"
    return "entitlement.changed"


def _message(type_: str, now: Entitlement, changes: Mapping[str, Difference], origin: Origin) -> Message:
    data = EntitlementState(
        entitlement=now.id,
        group=now.group_id,
        customer=now.customer_id,
        order_ref=now.order_ref,
        purchase=origin.purchase,
        offering=now.offering,
        seats=now.seats,
        seats_used=now.seats_used,
        overdraft=now.overdraft,
        expires_at=iso(now.expires_at),
        maintenance_until=iso(getattr(now, "maintenance_until", None)),
        enabled=now.enabled,
        frozen=now.frozen,
        perpetual=now.perpetual,
        revision=origin.revision,
        made_by="hub" if origin.act else "elsewhere",
        changes=dict(changes),
    )
    told = json.dumps({name: one.to_json() for name, one in changes.items()}, sort_keys=True)
    return Message(
        id=message_id(now.id, origin.revision, type_, told),  # a restored record gives a revision again, to other news
        type=type_,
        occurred_at=origin.at,
        subject=origin.purchase or now.id,
        entitlement=now.id,
        data=data,
    )
