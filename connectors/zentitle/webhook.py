"""Zentitle2's webhooks: is a body the tenant's, where does it tell us to look, and what does it say by itself.

Envelope, codes and payloads: the client generated from API version 2025-10-10 (growth-platform-demo-dotnet,
*WebhookModel; integrations-n8n 1.1.1, webhooks/events.ts), read 2026. No property is declared required there, so
all but `eventId` may be missing. Pure, but that `Keys` may have to fetch one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.jsonsafe import alike, loads
from connectors.zentitle.client import OverdraftLimit, utc
from connectors.zentitle.keys import SIZES, Key, Keys
from hub.domain import Envelope, Event, Json, Ref, Told
from hub.errors import UnreadableError, VerificationError

HEADER = "n-signature"
LISTENER = "whl_"  # what the id of a listener begins with

# Event code -> the fact that it is. None: it tells of a state, which the hub learns by looking.
EVENTS: Mapping[str, str | None] = {
    "customer.created": None,
    "customer.updated": None,
    "entitlement.group.created": None,
    "entitlement.group.updated": None,
    "entitlement.created": None,
    "entitlement.activated": None,
    "entitlement.updated": None,
    "entitlement.renewed": None,
    "entitlement.expired": None,
    "entitlement.expires30days": None,
    "entitlement.expires7days": None,
    "entitlement.expires1day": None,
    "entitlement.maintenance.expired": None,
    "entitlement.maintenance.expires30days": None,
    "entitlement.maintenance.expires7days": None,
    "entitlement.maintenance.expires1day": None,
    "entitlement.provision": None,
    "entitlement.seat.activated": "seat.activated",
    "entitlement.seat.deactivated": "seat.deactivated",
    "entitlement.usage.summary": "usage.cycle.ended",
}

# Kind of subject -> where its id stands in the payload, and what it begins with in `resourceId`.
_IDS = {
    "customer": ("customerId", "cust_"),
    "group": ("entitlementGroupId", "egr_"),
    "entitlement": ("entitlementId", "ent_"),
}
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:licensing-hub:event:zentitle")
_LONGEST_SIGNATURE = 1_024
_LONGEST_TEXT = 255
_MOST_SEATS = 2**31 - 1  # int32 and int64 in the vendor's models
_MOST_USED = 2**53
_WORD = re.compile(r"[!-~]{1,255}")

Reader = Callable[[Mapping[str, Any], str], Json]


class ZentitleWebhooks:
    """Webhooks of one connection; a `Webhooks` (hub/ports.py). `pseudonym`: see Deps."""

    def __init__(self, source: str, keys: Keys, pseudonym: Callable[[str], str]) -> None:
        self._source, self._keys, self._pseudonym = source, keys, pseudonym

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless the tenant's key signed `body`; RetryableError where no key can be had.

        No time is signed, so a body is never too old: it is taken once, by its `eventId`.
        """
        signature = signature_of(headers.get(HEADER))
        if fits(self._keys.known(now), signature, body) or fits(self._keys.renewed(now), signature, body):
            return
        raise VerificationError("wrong signature")

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:  # noqa: ARG002 (the port's)
        """The one event in `body`; UnreadableError where it can't be read. Repeatable: the same ids each time."""
        return (envelope_of(self._source, loads(body), self._pseudonym),)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether both bodies tell the same; `callAttempt` grows with each delivery."""
        return alike(one, other, lambda body: body | {"callAttempt": None})

    def refused(self, envelope: Envelope) -> str | None:  # noqa: ARG002 (the port's)
        """None: a body names no tenant, and the key is the tenant's own."""
        return None


def signature_of(header: str | None) -> bytes:
    """The signature in `N-Signature`: as long as a key, in standard Base64, written in the one way that there is."""
    if not header:
        raise VerificationError("no signature")
    if "," in header:
        raise VerificationError("doubled signature header")
    try:
        signature = base64.b64decode(header, validate=True) if len(header) <= _LONGEST_SIGNATURE else b""
    except (binascii.Error, ValueError):
        signature = b""
    if len(signature) * 8 not in SIZES or base64.b64encode(signature).decode() != header:
        raise VerificationError("malformed signature")
    return signature


def fits(keys: Sequence[Key], signature: bytes, body: bytes) -> bool:
    """Whether one of the keys made `signature` over `body`: RSASSA-PKCS1-v1_5 with SHA-256 and nothing else."""
    return any(_made(key, signature, body) for key in keys)


def _made(key: Key, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def envelope_of(source: str, event: Mapping[str, Any], pseudonym: Callable[[str], str]) -> Envelope:
    """What a parsed event tells; UnreadableError where it has no usable id."""
    external_id = _word(event.get("eventId"))
    if external_id is None:
        raise UnreadableError("eventId is no usable word")
    code, occurred_at = _word(event.get("eventCode")) or "unnamed", _moment(event.get("eventDate"))
    subject, because = _where(source, code, event)
    facts: tuple[Event, ...] = ()
    if subject and occurred_at and (type_ := EVENTS.get(code)):
        id_ = str(uuid5(_NAMESPACE, f"{source}/{external_id}/0"))
        data = _DATA[type_](subject.id, _payload(event), pseudonym)
        facts = (Event(id=id_, type=type_, subject=subject, occurred_at=occurred_at, data=data),)
    return Envelope(
        external_id=external_id,
        type=code,
        occurred_at=occurred_at,
        subject=subject,
        events=facts,
        ignored_because=because,
    )


def _where(source: str, code: str, event: Mapping[str, Any]) -> tuple[Ref | None, str | None]:
    """The subject, and why the event itself is ignored. An unknown one still says which entitlement to look at."""
    if not _payload(event) and str(event.get("resourceId")).startswith(LISTENER):
        return None, "a test event"
    if code not in EVENTS:
        id_ = _word(_payload(event).get("entitlementId"))
        return (Ref(source=source, kind="entitlement", id=id_) if id_ else None), "unknown type"
    kind = _kind(code)
    id_ = _subject_id(kind, event)
    return (Ref(source=source, kind=kind, id=id_), None) if id_ else (None, f"names no {kind}")


def _kind(code: str) -> str:
    if code.startswith("customer."):
        return "customer"
    return "group" if code.startswith("entitlement.group.") else "entitlement"


def _subject_id(kind: str, event: Mapping[str, Any]) -> str | None:
    name, prefix = _IDS[kind]
    resource = _word(event.get("resourceId"))
    return _word(_payload(event).get(name)) or (resource if resource and resource.startswith(prefix) else None)


# Facts: what consumers get. Who sits on a seat is told by a pseudonym, never by name or address.


def _seat_data(entitlement: str, payload: Mapping[str, Any], pseudonym: Callable[[str], str]) -> dict[str, Json]:
    told = {ours: read(payload, theirs) for ours, (theirs, read) in _SEAT.items()}
    seat = payload.get("seatId")
    stands_for = pseudonym(seat) if isinstance(seat, str) and seat else ""
    values = {"entitlement": entitlement, **told, "seat": stands_for or None}
    return {name: value for name, value in values.items() if value is not None}


def _cycle_data(entitlement: str, payload: Mapping[str, Any], _: Callable[[str], str]) -> dict[str, Json]:
    rows = payload.get("featureUsages")
    features: list[Json] = [_feature(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    cycle = {"cycle_start": _instant(payload, "billingCycleStart"), "cycle_end": _instant(payload, "billingCycleEnd")}
    return {"entitlement": entitlement, **{k: v for k, v in cycle.items() if v is not None}, "features": features}


def _feature(row: Mapping[str, Any]) -> dict[str, Json]:
    values = {"key": _text(row, "key"), "used": _count(row, "used"), "overdraft_used": _count(row, "overdraftUsed")}
    return {name: value for name, value in values.items() if value is not None}


def _text(holder: Mapping[str, Any], name: str) -> Json:
    """What can be printed of it (no NUL, no half of a character), so that every store takes it; cut."""
    value = holder.get(name)
    return "".join(filter(str.isprintable, value[:_LONGEST_TEXT])) if isinstance(value, str) else None


def _count(holder: Mapping[str, Any], name: str) -> int | None:
    return _counted(holder.get(name), _MOST_USED)


def _seats(holder: Mapping[str, Any], name: str) -> int | None:
    return _counted(holder.get(name), _MOST_SEATS)


def _counted(value: object, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _flag(holder: Mapping[str, Any], name: str) -> bool | None:
    value = holder.get(name)
    return value if isinstance(value, bool) else None


def _instant(holder: Mapping[str, Any], name: str) -> Json:
    found = _moment(holder.get(name))
    return None if found is None else found.isoformat().replace("+00:00", "Z")


_SEAT: Mapping[str, tuple[str, Reader]] = {
    "activation": ("activationId", _text),
    "seats_used": ("seatsUsed", _seats),
    "overdraft": ("isOverdraftSeat", _flag),
    "mode": ("activationMode", _text),
    "activated_at": ("activatedAt", _instant),
    "deactivated_at": ("deactivatedAt", _instant),
    "method": ("method", _text),
    "lease_expiry": ("leaseExpiry", _instant),
}
_DATA = {"seat.activated": _seat_data, "seat.deactivated": _seat_data, "usage.cycle.ended": _cycle_data}


# What a body says of an entitlement by itself


def told(body: bytes) -> Told | None:
    """What the body says of one entitlement, under our own names; None where it is of none, or can't be read.

    `entitlement.expired` says no date: whether it comes at expiry or at the end of grace is not established.
    """
    try:
        event = loads(body)
    except UnreadableError:
        return None
    code, payload, id_ = str(event.get("eventCode")), _payload(event), _subject_id("entitlement", event)
    if id_ is None or not payload or code.startswith(("customer.", "entitlement.group.")):
        return None
    said = {ours: _SAID[ours](payload[theirs]) for theirs, ours in _TOLD.get(code, {}).items() if theirs in payload}
    fields = {ours: value for ours, (understood, value) in said.items() if understood}
    return Told(entitlement_id=id_, seats_used=_seats(payload, "seatsUsed"), fields=fields)


def _said_moment(value: object) -> tuple[bool, object]:
    moment = _moment(value)
    return value is None or moment is not None, moment


def _said_seats(value: object) -> tuple[bool, object]:
    seats = _counted(value, _MOST_SEATS)
    return seats is not None, seats


def _said_disabled(value: object) -> tuple[bool, object]:
    return isinstance(value, bool), not value


def _said_overdraft(value: object) -> tuple[bool, object]:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False, None
    return True, OverdraftLimit(type=value["type"], value=_seats(value, "value")).seats


_SAID: Mapping[str, Callable[[object], tuple[bool, object]]] = {  # our name -> (whether it is understood, what it says)
    "expires_at": _said_moment,
    "seats": _said_seats,
    "enabled": _said_disabled,
    "overdraft": _said_overdraft,
}
_EXPIRES = {"expiresAt": "expires_at"}
_TOLD: Mapping[str, Mapping[str, str]] = {  # code -> payload name -> our name
    "entitlement.activated": _EXPIRES,
    "entitlement.expires30days": _EXPIRES,
    "entitlement.expires7days": _EXPIRES,
    "entitlement.expires1day": _EXPIRES,
    "entitlement.renewed": {"newExpiryDate": "expires_at"},
    "entitlement.updated": {
        "expiryDate": "expires_at",
        "seatCount": "seats",
        "disabled": "enabled",
        "overdraftSeatLimit": "overdraft",
    },
}


def _payload(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload; empty where it is null (a test event's) or no object."""
    value = event.get("payload")
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str | None:
    """An id or code: printable ASCII, so that every store takes it as it stands."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _moment(value: object) -> datetime | None:
    """A time of the vendor's in UTC; None where it is none."""
    try:
        return utc(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
