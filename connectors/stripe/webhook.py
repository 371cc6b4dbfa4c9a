"""Stripe's webhooks: is a body Stripe's, and where does it tell us to look. Pure, and without the stripe library.

Never trusts a payload for more than where to look (design: look, compare, act).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.jsonsafe import alike, loads
from connectors.stripe.fields import id_of, moment, part, text
from connectors.stripe.shapes import payment_of, reduced_invoice_payment, subscription_of
from hub.domain import Envelope, Event, Ref
from hub.errors import UnreadableError, VerificationError

HEADER = "stripe-signature"
TOLERANCE_PAST_S = 300
TOLERANCE_FUTURE_S = 60
_LONGEST_HEADER = 4_096
_PIECE = 2_047

# docs.stripe.com/api/events/types; what each tells: commerce reference §1.6 (read 2026-09, stripe 16.1.0).
EVENTS = {
    "checkout.session.completed": "purchase.completed",
    "checkout.session.async_payment_succeeded": "purchase.paid",
    "checkout.session.async_payment_failed": "purchase.payment_failed",
    "customer.created": "purchase.customer_created",
    "customer.updated": "purchase.customer_changed",
    "customer.deleted": "purchase.customer_deleted",
    "customer.subscription.created": "purchase.started",
    "customer.subscription.updated": "purchase.changed",
    "customer.subscription.deleted": "purchase.ended",
    "customer.subscription.paused": "purchase.paused",
    "customer.subscription.resumed": "purchase.resumed",
    "customer.subscription.trial_will_end": "purchase.trial_ending",
    "customer.subscription.pending_update_applied": "purchase.changed",
    "customer.subscription.pending_update_expired": "purchase.change_lapsed",
    "invoice.paid": "purchase.paid",
    "invoice.payment_failed": "purchase.payment_failed",
    "invoice.payment_action_required": "purchase.payment_action_required",
    "invoice.finalization_failed": "purchase.invoicing_failed",
    "invoice.overdue": "purchase.payment_overdue",
    "invoice.voided": "purchase.invoice_voided",
    "invoice.marked_uncollectible": "purchase.invoice_written_off",
    "charge.refunded": "purchase.refunded",
    "charge.refund.updated": "purchase.refund_changed",
    "refund.created": "purchase.refund_created",
    "refund.updated": "purchase.refund_changed",
    "refund.failed": "purchase.refund_failed",
    "credit_note.created": "purchase.credited",
    "credit_note.updated": "purchase.credit_changed",
    "credit_note.voided": "purchase.credit_voided",
    "charge.dispute.created": "purchase.dispute_opened",
    "charge.dispute.updated": "purchase.dispute_changed",
    "charge.dispute.closed": "purchase.dispute_closed",
    "charge.dispute.funds_withdrawn": "purchase.dispute_funds_withdrawn",
    "charge.dispute.funds_reinstated": "purchase.dispute_funds_reinstated",
    "radar.early_fraud_warning.created": "purchase.fraud_warned",
    "radar.early_fraud_warning.updated": "purchase.fraud_warning_changed",
}

# Where a thin event's related object is looked at, by what its type begins with. Those that are no purchase are
# pointers: their look says which subject tells of them.
THIN_KINDS = {
    "customer.subscription": "subscription",
    "customer": "customer",
    "invoice": "invoice",
    "checkout.session": "checkout",
    "charge": "charge",
    "charge.dispute": "dispute",
    "charge.refund": "refund",
    "refund": "refund",
    "credit_note": "credit_note",
    "radar.early_fraud_warning": "warning",
}
# `payment`: a payment intent, else a charge, of which something was paid back. `credit`: an invoice with a credit note.
POINTERS = {"payment", "credit", *THIN_KINDS.values()} - {"subscription", "customer", "checkout"}
LINK = "invoice_payment.paid"  # without an API key the only word since basil of which invoice a payment paid

_UNPAID = "an invoice changes nothing before it is paid or given up"

# Known and not wanted: single types, then whole families (what stands before the first or the last dot).
# Together with EVENTS these are all 275 types that stripe 16.1.0 names in _event.py.
IGNORED = {
    "checkout.session.expired": "no sale came of it",
    "invoice.created": _UNPAID,
    "invoice.deleted": "only drafts are deleted",
    "invoice.finalized": _UNPAID,
    "invoice.overpaid": "more than paid is paid: invoice.paid tells it",
    "invoice.payment_succeeded": "invoice.paid tells the same, and out-of-band payments too",
    "invoice.payment_attempt_required": _UNPAID,
    "invoice.sent": _UNPAID,
    "invoice.upcoming": "a notice of an invoice that does not exist yet",
    "invoice.updated": _UNPAID,
    "invoice.will_be_due": "a notice of a due date",
}
_OTHER = "of a Stripe product that sells no licenses"
_MONEY = "money movements are told by the invoice"
_METHOD = "a means of payment changes no license"
IGNORED_FAMILIES = {
    **dict.fromkeys(
        (
            *("application_fee", "apps", "capability", "climate", "file", "financial_connections", "identity"),
            *("issuing_authorization", "issuing_card", "issuing_cardholder", "issuing_dispute", "issuing_token"),
            *("issuing_personalization_design", "issuing_transaction", "person", "reporting", "reserve", "sigma"),
            *("terminal", "three_d_secure", "topup", "transfer", "treasury"),
        ),
        _OTHER,
    ),
    "account": "about the seller's own account",
    "balance": _MONEY,
    "balance_settings": _MONEY,
    "billing": "alerts, credits and meters change no license",
    "billing_portal": "the portal's own settings",
    "cash_balance": _MONEY,
    "charge": _MONEY,
    "coupon": "a discount changes no license",
    "customer.discount": "a discount changes no license",
    "customer.source": _METHOD,
    "customer.tax_id": "tax settings change no license",
    "customer_cash_balance_transaction": _MONEY,
    "entitlements": "Stripe's own feature lists are not read",
    "invoice_payment": "one of several payments: invoice.paid tells the last",
    "invoiceitem": "an item changes nothing before its invoice is paid",
    "mandate": _METHOD,
    "payment_intent": _MONEY,
    "payment_link": "an offer, no sale",
    "payment_method": _METHOD,
    "payout": _MONEY,
    "plan": "catalog edits: prices are read with each subscription",
    "price": "catalog edits: prices are read with each subscription",
    "product": "catalog edits: products are read with each subscription",
    "promotion_code": "a discount changes no license",
    "quote": "an offer: its subscription tells the sale",
    "review": "Stripe's own review: a refund or a dispute tells what came of it",
    "setup_intent": _METHOD,
    "source": _METHOD,
    "subscription_schedule": "a plan: the subscription tells when it comes true",
    "tax": "tax settings change no license",
    "tax_rate": "tax settings change no license",
    "test_helpers": "test clocks of the sandbox",
}

THIN = "v1."  # what thin events about objects of the v1 API put before the type
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:licensing-hub:event:stripe")
_DIGITS = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[!-~]{1,255}")


class StripeWebhooks:
    """Webhooks of one connection; a `Webhooks` (hub/ports.py)."""

    def __init__(
        self,
        source: str,
        secrets: Sequence[str],
        *,
        livemode: bool = True,
        account: str | None = None,
        links: bool = False,
    ) -> None:
        """`links`: events that say only which invoice a payment paid are taken too (where nothing can be read)."""
        self._source, self._livemode, self._account, self._links = source, livemode, account, links
        # The key is the whole text, whsec_ included, not base64 (stripe 16.1.0 _webhook.py).
        self._keys = tuple(secret.encode() for secret in secrets)

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless one of our secrets signed `body` within the last 300 s (60 s ahead)."""
        verify(body, headers.get(HEADER), self._keys, now)

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:  # noqa: ARG002 (the port's)
        """The one event in `body`; UnreadableError where it can't be read. Repeatable: the same ids each time."""
        return (envelope_of(self._source, loads(body), links=self._links),)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether both bodies tell the same; `pending_webhooks` and the like differ between deliveries."""
        return alike(one, other, lambda body: [body.get(key) for key in ("type", "created", "data", "related_object")])

    def refused(self, envelope: Envelope) -> str | None:
        """Why an authentic event is not for this connection; None where it is.

        With `account` set only events that carry it are for us: one without is of the platform itself.
        """
        if envelope.livemode is not self._livemode:
            return f"livemode is {envelope.livemode}, this connection's is {self._livemode}"
        if envelope.account != self._account:
            return f"of account {envelope.account or '(own)'}, this connection's is {self._account or '(own)'}"
        return None


def verify(body: bytes, header: str | None, keys: Sequence[bytes], now: float) -> None:
    """Raises VerificationError unless `header` proves `body` Stripe's; `now` in epoch seconds.

    Signature first, then time, so that old but authentic is told apart from forged. Every key is tried with
    every v1, found or not: a wrong secret takes as long as a right one.
    """
    sent_at, signatures = _parsed(header)
    signed = sent_at.encode() + b"." + body
    pieces = [signed[at : at + _PIECE] for at in range(0, len(signed), _PIECE)]
    proven = False
    for key in keys:
        expected = _signature(key, pieces)
        for signature in signatures:
            proven |= hmac.compare_digest(expected, signature)
    if not proven:
        raise VerificationError("wrong signature")
    _check_time(int(sent_at), now)


def _signature(key: bytes, pieces: Iterable[bytes]) -> str:
    """HMAC-SHA256 in hex.

    `hmac.digest`, and an update of 2,048 bytes or more, give the GIL away (CPython 3.11), and to get it back in a
    busy process takes longer than the digest itself.
    """
    made = _keyed(key).copy()
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _check_time(sent_at: int, now: float) -> None:
    if now - sent_at > TOLERANCE_PAST_S:
        raise VerificationError("signature too old")
    if sent_at - now > TOLERANCE_FUTURE_S:
        raise VerificationError("signature from the future")


def _parsed(header: str | None) -> tuple[str, list[str]]:
    """The time (as written) and the v1 signatures of `t=..,v1=..[,v1=..][,v0=..]`; other schemes don't count."""
    if not header:
        raise VerificationError("no signature")
    pairs = [piece.partition("=")[::2] for piece in header.split(",")] if len(header) <= _LONGEST_HEADER else []
    times = [value for key, value in pairs if key == "t"]
    signatures = [value for key, value in pairs if key == "v1"]
    if len(times) > 1:
        raise VerificationError("doubled signature header")
    if not times or not signatures or not all(value for _, value in pairs):
        raise VerificationError("malformed signature")
    if not _DIGITS.fullmatch(times[0]) or not all(_DIGEST.fullmatch(value) for value in signatures):
        raise VerificationError("malformed signature")
    return times[0], signatures


def envelope_of(source: str, event: Mapping[str, Any], *, links: bool = False) -> Envelope:
    """What a parsed event tells; UnreadableError where it lacks a usable id, type or time."""
    if event.get("object") == "v2.core.event":
        return _thin(source, event)
    external_id, type_ = _word(event, "id"), _word(event, "type")
    occurred_at = moment(event, "created")
    if occurred_at is None:
        raise UnreadableError("an event without its time")
    where = _link(source, event) if links and type_ == LINK else _where(source, type_, event)
    facts = Envelope(
        external_id=external_id,
        type=type_,
        occurred_at=occurred_at,
        livemode=_livemode(event),
        account=text(event, "account"),
    )
    return _leading(facts, where, type_, external_id)


def _thin(source: str, event: Mapping[str, Any]) -> Envelope:
    """A thin event (v2.core.event): `created` is ISO text, `context` its account, the object is named alone.

    Its twin, where it names one (`snapshot_event`), tells the same fact, so both have one `Event.id`.
    """
    type_ = _word(event, "type")
    facts = Envelope(
        external_id=_word(event, "id"),
        type=type_,
        occurred_at=_iso(event.get("created")),
        livemode=_livemode(event),
        account=text(event, "context"),
    )
    named = type_.removeprefix(THIN)
    if facts.occurred_at is None:
        raise UnreadableError("an event without its time")
    if named == type_ or named not in EVENTS:
        return replace(facts, ignored_because=_ignored_because(named) if named != type_ else "unknown type")
    kind = THIN_KINDS[named.rpartition(".")[0]]
    where = Ref(source=source, kind=kind, id=_word(part(event, "related_object"), "id"))
    return _leading(facts, where, named, id_of(event, "snapshot_event") or facts.external_id)


def _leading(facts: Envelope, where: Ref | str, type_: str, told_by: str) -> Envelope:
    """The envelope with its subject and what consumers get, or with the reason why there is none."""
    if isinstance(where, str) or facts.occurred_at is None:
        return replace(facts, ignored_because=str(where))
    told = (_event(where.source, told_by, type_, where, facts.occurred_at),) if type_ in EVENTS else ()
    return replace(facts, subject=where, events=told)


def _event(source: str, external_id: str, type_: str, subject: Ref, occurred_at: datetime) -> Event:
    id_ = uuid5(_NAMESPACE, f"{source}/{external_id}/0")
    return Event(id=str(id_), type=EVENTS[type_], subject=subject, occurred_at=occurred_at)


def _where(source: str, type_: str, event: Mapping[str, Any]) -> Ref | str:
    """The subject, or why there is none."""
    if type_ not in EVENTS:
        return _ignored_because(type_)
    carried = part(part(event, "data"), "object")
    match type_.rpartition(".")[0]:
        case "customer.subscription":
            return Ref(source=source, kind="subscription", id=_word(carried, "id"))
        case "customer":
            return Ref(source=source, kind="customer", id=_word(carried, "id"))
        case "invoice":
            return _ref(source, "subscription", subscription_of(carried), "an invoice of no subscription")
        case "checkout.session":
            return _checkout(source, carried)
        case _:
            return _reversal(source, carried)


def _reversal(source: str, carried: Mapping[str, Any]) -> Ref | str:
    """The payment that something was raised against; the invoice of a credit note."""
    if carried.get("object") == "credit_note":
        return _ref(source, "credit", id_of(carried, "invoice"), "a credit note of no invoice")
    return _ref(source, "payment", payment_of(carried), "it names no payment")


def _link(source: str, event: Mapping[str, Any]) -> Ref | str:
    """The payment that an invoice payment is of."""
    paid_by = reduced_invoice_payment(part(part(event, "data"), "object"))["payment"]
    return _ref(source, "payment", paid_by["payment_intent"] or paid_by["charge"], "it names no payment")


def _ignored_because(type_: str) -> str:
    families = (type_.rpartition(".")[0], type_.partition(".")[0])
    known = (IGNORED.get(type_), *(IGNORED_FAMILIES.get(family) for family in families))
    return next((reason for reason in known if reason), "unknown type")


def _checkout(source: str, session: Mapping[str, Any]) -> Ref | str:
    match session.get("mode"):
        case "subscription":
            return _ref(source, "subscription", id_of(session, "subscription"), "the session made no subscription")
        case "payment":
            return Ref(source=source, kind="checkout", id=_word(session, "id"))
        case "setup":
            return "the session only saved a means of payment"
        case _:
            return "a session of an unknown mode"


def _ref(source: str, kind: str, id_: str | None, otherwise: str) -> Ref | str:
    return otherwise if id_ is None else Ref(source=source, kind=kind, id=_word({kind: id_}, kind))


def _word(holder: Mapping[str, Any], name: str) -> str:
    """An id or type: printable ASCII, so that every store takes it as it stands."""
    value = holder.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise UnreadableError(f"{name} is no usable word")
    return value


def _livemode(event: Mapping[str, Any]) -> bool | None:
    value = event.get("livemode")
    return value if isinstance(value, bool) else None


def _iso(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo is None:
        return None
    return found.astimezone(UTC)
