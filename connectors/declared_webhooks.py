"""Webhooks of any declared shop: is a body the vendor's, and where does it tell us to look. Pure; knows no vendor.

What an event says in headers is kept with its body, `{"hub:headers": …, "hub:body": …}`, so that a kept receipt can be
read again by itself; the vendor's own bytes stand in it unchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from connectors.declared import HEADER, Kind, Shop, Tells
from connectors.fields import Object, ident, moment, part, text, truth, under
from connectors.jsonsafe import alike, loads
from hub.domain import Envelope, Event, Ref
from hub.errors import UnreadableError

HEADERS, BODY, KEPT = "hub:headers", "hub:body", "hub:kept"
_WORD = re.compile(r"[!-~]{1,255}")
_PING = Envelope(external_id="ping", type="ping", occurred_at=None, ignored_because="it only asks whether we are here")


class DeclaredWebhooks:
    """Webhooks of one connection; a `Webhooks` (hub/ports.py)."""

    def __init__(
        self, source: str, shop: Shop, secrets: Sequence[str], *, livemode: bool = True, account: str | None = None
    ) -> None:
        self._source, self._shop, self._livemode, self._account = source, shop, livemode, account
        self._keys = tuple(secret.encode() for secret in secrets)

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless one of our secrets proves `body`. A ping means nothing and needs no proof."""
        if self._shop.proof.header not in headers and _is_ping(self._shop, body):
            return
        self._shop.proof.prove(body, headers, self._keys, now)

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:
        """The event in `body`, as it came or as it was kept; UnreadableError. Repeatable, same ids."""
        if _is_ping(self._shop, body):
            return (_PING,)
        event = unpacked(self._shop, body, headers)
        found = envelope_of(self._source, self._shop, event)
        return (found if event[KEPT] or not event[HEADERS] else replace(found, body=_packed(event, body)),)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether both bodies tell the same; what differs between deliveries does not count."""
        if _is_ping(self._shop, one) and _is_ping(self._shop, other):
            return True
        return alike(one, other, lambda body: _told(self._shop, body))

    def refused(self, envelope: Envelope) -> str | None:
        """Why an authentic event is not for this connection; None where it is."""
        if envelope.livemode is not None and envelope.livemode is not self._livemode:
            return f"live is {envelope.livemode}, this connection's livemode is {self._livemode}"
        if self._account is not None and envelope.subject is not None and envelope.account != self._account:
            return f"it is of {envelope.account}, this connection is of {self._account}"
        return None


def unpacked(shop: Shop, body: bytes, headers: Mapping[str, str] | None = None) -> Object:
    """An event with its headers, whether as it came or as it was kept. UnreadableError."""
    found = loads(body)
    if HEADERS in found:
        return {HEADERS: part(found, HEADERS), BODY: part(found, BODY), KEPT: True}
    named = {name: (headers or {})[name] for name in shop.form.headers if name in (headers or {})}
    return {HEADERS: named, BODY: found, KEPT: False}


def said(event: Object, *places: str) -> str | None:
    """The first word (a number as text) at these places of an unpacked event; None where there is none."""
    for holder, path in (_where(event, place) for place in places):
        value = under(holder, path)
        found = str(value) if isinstance(value, int) and not isinstance(value, bool) else text({path: value}, path)
        if found is not None:
            return found
    return None


def time_of(shop: Shop, event: Object, tells: Tells | None) -> datetime | None:
    """When it happened: by its own word, else by the version of what it carries."""
    for holder, path in (_where(event, place) for place in shop.form.at):
        if (found := moment(holder, path)) is not None:
            return found
    for kind, path in tells.carries if tells else ():
        return moment(part(event[BODY], path), shop.kinds[kind].version)
    return None


def _where(event: Object, place: str) -> tuple[Object, str]:
    if place.startswith(HEADER):
        return event[HEADERS], place.removeprefix(HEADER)
    return event[BODY], place


def version_of(kind: Kind, carried: Object) -> int:
    """What grows with each change of an object: microseconds of a time, or the vendor's own number."""
    value = under(carried, kind.version)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    at = moment(carried, kind.version)
    return 0 if at is None else int(at.timestamp() * 1_000_000)


def envelope_of(source: str, shop: Shop, event: Object) -> Envelope:
    """What an unpacked event tells; UnreadableError where it lacks a usable type, id or object."""
    type_ = _word("type", said(event, shop.form.type))
    tells = shop.events.get(type_)
    facts = Envelope(
        external_id=_external_id(shop, event, type_),
        type=type_,
        occurred_at=time_of(shop, event, tells),
        livemode=_livemode(shop, event),
        account=said(event, *shop.form.account),
    )
    if tells is None:
        return replace(facts, ignored_because=_because(shop, type_))
    subject = _subject(source, shop, tells, event)
    at = facts.occurred_at
    if at is None:  # nothing can be told of it, but where to look
        return replace(facts, subject=subject)
    key = facts.external_id if shop.form.id else f"{type_}/{subject.kind}/{subject.id}/{at.isoformat()}"
    id_ = uuid5(NAMESPACE_URL, f"urn:licensing-hub:event:{shop.kind}:{source}/{key}")
    told = Event(id=str(id_), type=tells.fact, subject=subject, occurred_at=at)
    return replace(facts, subject=subject, events=(told,))


def _subject(source: str, shop: Shop, tells: Tells, event: Object) -> Ref:
    for kind, place in tells.about:
        if (id_ := ident(event[BODY], place)) is not None:
            return Ref(source=source, kind=kind, id=shop.subject_id(kind, id_))
    raise UnreadableError(f"{tells.about[-1][1]} is missing: nobody knows what it is about")


def _external_id(shop: Shop, event: Object, type_: str) -> str:
    if shop.form.id:
        return _word("id", ":".join(_word(place, said(event, place)) for place in shop.form.id))
    content = json.dumps([type_, event[BODY]], separators=(",", ":"), sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _livemode(shop: Shop, event: Object) -> bool | None:
    """None where the event does not say."""
    for place in shop.form.test:
        if (flag := truth({place: under(event[BODY], place)}, place)) is not None:
            return not flag
    return None


def _because(shop: Shop, type_: str) -> str:
    family = re.split(r"[./_]", type_)[0]
    return shop.ignored.get(type_) or shop.ignored.get(family) or "unknown type"


def _told(shop: Shop, body: Object) -> object:
    event = part(body, BODY) if BODY in body else body
    return {name: value for name, value in event.items() if name not in shop.form.varies}


def _packed(event: Object, body: bytes) -> bytes:
    """The event with its headers; the vendor's bytes as they came."""
    named = json.dumps(event[HEADERS], separators=(",", ":"), sort_keys=True).encode()
    return b'{"%s":%s,"%s":%s}' % (HEADERS.encode(), named, BODY.encode(), body)


def _is_ping(shop: Shop, body: bytes) -> bool:
    return shop.ping is not None and shop.ping.fullmatch(body) is not None


def _word(name: str, value: str | None) -> str:
    if not value or not _WORD.fullmatch(value):
        raise UnreadableError(f"{name} is missing or unusable")
    return value
