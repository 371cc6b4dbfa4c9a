"""FastSpring's webhooks: is a body FastSpring's, and where does each of its events tell us to look. Pure.

Never trusts a payload for more than where to look (design: look, compare, act). The scheme signs no time, so that
an old body is as good as a new one: event ids are known for ever, and a look reads what is so now.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.fastspring import asking
from connectors.fastspring.fields import Object, at, flag, id_of, millis, needed, part, rows, text
from connectors.fastspring.shapes import reduced_order, reduced_return, reduced_subscription
from connectors.jsonsafe import alike, loads
from connectors.proofs import Hmac
from hub.domain import Envelope, Event, Ref
from hub.errors import UnreadableError

PROOF = Hmac(header="x-fs-signature", encoding="base64")
# FastSpring's type -> the fact that consumers hear of. developer.fastspring.com, "Webhooks" (read 2026-11).
EVENTS = {
    "fulfillment.failed": "purchase.fulfillment_failed",
    "order.approval.pending": "purchase.approval_pending",
    "order.canceled": "purchase.canceled",
    "order.completed": "purchase.completed",
    "order.failed": "purchase.failed",
    "order.payment.pending": "purchase.payment_pending",
    "return.created": "purchase.refunded",
    "subscription.activated": "purchase.started",
    "subscription.canceled": "purchase.end_scheduled",
    "subscription.charge.completed": "purchase.paid",
    "subscription.charge.failed": "purchase.payment_failed",
    "subscription.deactivated": "purchase.ended",
    "subscription.paused": "purchase.paused",
    "subscription.payment.overdue": "purchase.payment_overdue",
    "subscription.payment.reminder": "purchase.payment_announced",
    "subscription.resumed": "purchase.resumed",
    "subscription.trial.reminder": "purchase.trial_ending",
    "subscription.uncanceled": "purchase.end_unscheduled",
    "subscription.updated": "purchase.changed",
}
# Families of types that change no license.
IGNORED = {
    "account": "accounts are read with their purchases",
    "mailingListEntry": "a mailing list changes no license",
    "payoutEntry": "payouts are told by their orders",
    "quote": "an offer: its order tells the sale",
    "invoice": "its order tells the sale",
}
# What happens to an object once at most: told again under another id it is the same fact, whatever came since.
_ONCE = {
    "order.canceled",
    "order.completed",
    "order.failed",
    "return.created",
    "subscription.activated",
    "subscription.charge.completed",
}
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:licensing-hub:event:fastspring")
_WORD = re.compile(r"[!-~]{1,255}")


class FastSpringWebhooks:
    """Webhooks of one connection; a `Webhooks` (hub/ports.py)."""

    def __init__(self, source: str, secrets: Sequence[str], *, livemode: bool = True) -> None:
        self._source, self._livemode = source, livemode
        self._keys = tuple(secret.encode() for secret in secrets)

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless one of our secrets signed `body`. The vendor signs no time."""
        PROOF.prove(body, headers, self._keys, now)

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:
        """The events in `body`, each by itself; UnreadableError where none can be read. Repeatable, same ids.

        One that can't be read does not take the others with it: it comes as an envelope that says so.
        """
        if asking.is_form(headers):  # kept when it was asked for a code (hub/fulfillment.py)
            return (asking.event_of(self._source, body, livemode=self._livemode),)
        events = events_in(body)
        return tuple(_envelope(self._source, event, alone=len(events) == 1) for event in events)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether both bodies tell the same: a later post of an event may carry newer data ("Webhooks Overview")."""
        return alike(one, other, _told)

    def refused(self, envelope: Envelope) -> str | None:
        """Why an authentic event is not for this connection; None where it is."""
        if envelope.livemode is not self._livemode:
            return f"live is {envelope.livemode}, this connection's livemode is {self._livemode}"
        return None


def partly(ids: Sequence[str]) -> bytes:
    """The body of a 202 that acknowledges these events alone: one id a line ("Processed and Unprocessed Events")."""
    return "".join(f"{one}\n" for one in ids).encode()


def events_in(body: bytes) -> Sequence[Object]:
    """The events of a post, `{"events": [...]}`, or the one of the API's form; UnreadableError where there is none."""
    found = loads(body)
    if "events" not in found:
        return (found,)
    events = found["events"]
    if not isinstance(events, list) or not events:
        raise UnreadableError("events is no list, or empty")
    return [event if isinstance(event, Mapping) else {"": event} for event in events]


def envelope_of(source: str, event: Object) -> Envelope:
    """What an event tells; UnreadableError where it lacks a usable id, type, time or object."""
    external_id, type_, occurred_at = _word(event, "id"), _word(event, "type"), at(millis(event, "created"))
    if occurred_at is None:
        raise UnreadableError("an event without its time")
    livemode = flag(event, "live")
    if livemode is None:
        raise UnreadableError("an event that does not say whether it is live")
    facts = Envelope(external_id=external_id, type=type_, occurred_at=occurred_at, livemode=livemode)
    if type_ not in EVENTS:
        return replace(facts, ignored_because=IGNORED.get(type_.partition(".")[0], "unknown type"))
    subject = _subject(source, type_, part(event, "data"))
    told = Event(id=_fact(event, subject), type=EVENTS[type_], subject=subject, occurred_at=occurred_at)
    return replace(facts, subject=subject, events=(told,))


def _envelope(source: str, event: Object, *, alone: bool) -> Envelope:
    """The envelope, with the event by itself where it came among others."""
    body = json.dumps(event, separators=(",", ":"), sort_keys=True).encode()
    try:
        found = envelope_of(source, event)
    except UnreadableError as error:
        if alone:
            raise
        id_ = f"sha256:{hashlib.sha256(body).hexdigest()}"
        found = Envelope(external_id=id_, type="unreadable", occurred_at=None, unreadable=str(error))
    return found if alone else replace(found, body=body)


def _subject(source: str, type_: str, data: Object) -> Ref:
    match type_.partition(".")[0]:
        case "subscription":
            id_ = id_of(data, "subscription") or needed(data, "id")
            return Ref(source=source, kind="subscription", id=_checked(id_))
        case "return":
            return Ref(source=source, kind="return", id=_checked(needed(data, "return", "id")))
        case _:
            return Ref(source=source, kind="order", id=_checked(id_of(data, "order") or needed(data, "id")))


def _fact(event: Object, subject: Ref) -> str:
    """The id of the fact: by object, type and state, so that a resend, which has an id of its own, is told once."""
    type_, data = str(event["type"]), part(event, "data")
    state = _order_of(data) if type_ in _ONCE else _state(subject.kind, data)
    return str(uuid5(_NAMESPACE, f"{subject}/{type_}/{state}"))


def _order_of(data: Object) -> str:
    """Each rebill has an order of its own; what else happens once needs nothing to be told apart by."""
    return id_of(data, "order") or str(data.get("sequence") or "")


def _state(kind: str, data: Object) -> str:
    """How the event shows its object, as far as licenses are concerned, and what else tells one notice from another."""
    carried: Object = part(data, kind) or data
    try:
        seen = _REDUCERS[kind](carried)
    except UnreadableError:  # a notice that does not carry the object
        seen = {}
    seen = {name: value for name, value in seen.items() if name not in ("customer", "account")}
    notice = {name: data.get(name) for name in ("timestamp", "sequence", "reason", "paymentOverdue", "order")}
    notice["order"] = id_of(data, "order")
    return json.dumps([seen, notice], sort_keys=True, default=str)


_REDUCERS = {"subscription": reduced_subscription, "order": reduced_order, "return": reduced_return}


def _told(body: dict[str, Any]) -> object:
    """What stays the same in every post of one event."""
    event = next(iter(rows(body, "events")), body)
    data = part(event, "data")
    named = [id_of(data, name) for name in ("subscription", "order", "return", "id")]
    return [event.get("type"), event.get("created"), next((one for one in named if one), None)]


def _checked(id_: str) -> str:
    """The id, fit for a subject's name."""
    if not _WORD.fullmatch(id_) or "/" in id_:
        raise UnreadableError("an object's id is unusable")
    return id_


def _word(holder: Object, name: str) -> str:
    value = text(holder, name) or ""
    if not _WORD.fullmatch(value):
        raise UnreadableError(f"{name} is missing or unusable")
    return value
