"""Where money leads, asked of Stripe: from a refund, dispute or invoice to its purchase, and what was paid back.

Since 2025-03-31.basil neither a charge nor a payment intent names its invoice: `/v1/invoice_payments` does. Before
it both did. A sale without an invoice is found by the payment intent of its checkout session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from connectors.stripe.fields import Object, Reduced, has_more, id_of, rows
from connectors.stripe.reversals import PARTS, reduced_reversal, says_something
from connectors.stripe.shapes import (
    payment_of,
    reduced_invoice,
    reduced_invoice_payment,
    subscription_of,
    unnamed_price,
)
from hub.domain import Ref
from hub.ports import SeeOther, Waiting

# What a subject that is no purchase is called at Stripe. A payment's id is its intent's, else its charge's.
PATHS = {
    "invoice": "invoices",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "warning": "radar/early_fraud_warnings",
    "credit_note": "credit_notes",
}
KEPT = {"payment", "credit"}  # kinds that a purchase's looks go on reading
_OTHERS = "a payment of no subscription and of no checkout"


class Reader(Protocol):
    """The calls that are needed of the client."""

    def get(self, path: str, **params: object) -> Object:
        """The object at `/v1/<path>`; PermanentError where Stripe does not know it."""

    def find(self, path: str, **params: object) -> Object | None:
        """The same; None where Stripe does not know it."""

    def listed(self, path: str, **params: object) -> Iterator[Object]:
        """Every object of the list at `/v1/<path>`; none where there is no such list."""


def leads_to(stripe: Reader, ref: Ref) -> SeeOther | Waiting:
    """Which subject tells of this one. Repeatable; errors as the client's.

    What Stripe does not know is refused, and so tried again: it may just lag its own event.
    """
    if ref.kind == "payment":
        return _of_payment(stripe, ref)
    if ref.kind == "credit":
        return _of_invoice(stripe, ref, ref.id, keep=True)
    if ref.kind == "invoice":
        return _of_invoice(stripe, ref, ref.id, keep=False)
    carried = stripe.get(_path(PATHS[ref.kind], ref.id))
    to = ("credit", id_of(carried, "invoice")) if ref.kind == "credit_note" else ("payment", payment_of(carried))
    return _see(ref, *to, keep=False) or Waiting(because=_OTHERS)


def reversals(stripe: Reader, about: Sequence[Ref], *, total: int | None = None) -> list[Reduced]:
    """What became of these payments and invoices, one for each invoice; `total`: what a sale without one cost."""
    payments = [ref.id for ref in about if ref.kind == "payment"]
    invoices = {ref.id for ref in about if ref.kind == "credit"}
    loose = []
    for payment in payments:
        own = _invoices_of(stripe, payment)
        invoices |= own
        loose += [] if own else [payment]
    found = [_of_one_invoice(stripe, id_) for id_ in sorted(invoices)]
    found += [_reversal(stripe, payment, None, [payment], total) for payment in loose]
    return [one for one in found if one is not None and says_something(one)]


def with_prices(stripe: Reader, invoice: Object) -> Object:
    """The invoice with the whole price of what it sold once: a line names it by id alone, a catalog may by lookup key.

    One request for each such line; none for an invoice of a subscription's items alone.
    """
    lines = rows(invoice, "lines")
    if not any(map(unnamed_price, lines)):
        return invoice
    full = [{**line, "once": _price(stripe, line)} if unnamed_price(line) else line for line in lines]
    return {**invoice, "lines": {"data": full, "has_more": has_more(invoice, "lines")}}


def _price(stripe: Reader, line: Object) -> Object | None:
    return stripe.find(_path("prices", unnamed_price(line) or ""))


def _of_payment(stripe: Reader, ref: Ref) -> SeeOther | Waiting:
    for invoice in sorted(_invoices_of(stripe, ref.id)):
        found = stripe.find(_path("invoices", invoice))
        if found is not None and (other := _see(ref, "subscription", subscription_of(found), keep=True)):
            return other
    return _checkout_of(stripe, ref, [ref.id], keep=True)


def _of_invoice(stripe: Reader, ref: Ref, id_: str, *, keep: bool) -> SeeOther | Waiting:
    invoice = stripe.get(_path("invoices", id_))
    if other := _see(ref, "subscription", subscription_of(invoice), keep=keep):
        return other
    return _checkout_of(stripe, ref, _payments_of(stripe, id_, invoice), keep=keep)


def _checkout_of(stripe: Reader, ref: Ref, payments: Iterable[str], *, keep: bool) -> SeeOther | Waiting:
    for payment in payments:
        intent = payment if _is_intent(payment) else id_of(_charge(stripe, payment), "payment_intent")
        for session in stripe.listed("checkout/sessions", payment_intent=intent) if intent else ():
            if other := _see(ref, "checkout", id_of(session, "id"), keep=keep):
                return other
    return Waiting(because=_OTHERS)


def _see(ref: Ref, kind: str, id_: str | None, *, keep: bool) -> SeeOther | None:
    return None if id_ is None else SeeOther(ref=Ref(source=ref.source, kind=kind, id=id_), keep=keep)


def _invoices_of(stripe: Reader, payment: str) -> set[str]:
    """The invoices that a payment paid; both generations of shapes."""
    charge = {} if _is_intent(payment) else _charge(stripe, payment)
    intent = payment if _is_intent(payment) else id_of(charge, "payment_intent")
    listed: set[str | None] = {id_of(charge, "invoice")}
    if intent:
        asked = {"type": "payment_intent", "payment_intent": intent}
        listed |= {id_of(row, "invoice") for row in stripe.listed("invoice_payments", payment=asked)}
    if intent and not any(listed):
        listed |= {id_of(stripe.find(_path("payment_intents", intent)) or {}, "invoice")}
    return {id_ for id_ in listed if id_}


def _of_one_invoice(stripe: Reader, id_: str) -> Reduced | None:
    invoice = stripe.find(_path("invoices", id_))
    if invoice is None:
        return None
    full = invoice
    if reduced_invoice(invoice)["lines_incomplete"]:
        lines = list(stripe.listed(_path("invoices", id_) + "/lines"))
        full = {**invoice, "lines": {"data": lines, "has_more": False}}
    full = with_prices(stripe, full)
    return _reversal(stripe, id_, full, _payments_of(stripe, id_, invoice), None)


def _payments_of(stripe: Reader, id_: str, invoice: Object) -> list[str]:
    """The payments of an invoice: listed since basil, before named by it."""
    listed = [reduced_invoice_payment(row)["payment"] for row in stripe.listed("invoice_payments", invoice=id_)]
    ids = [one["payment_intent"] or one["charge"] for one in listed]
    ids.append(id_of(invoice, "payment_intent") or id_of(invoice, "charge"))
    return list(dict.fromkeys(payment for payment in ids if payment))


def _reversal(stripe: Reader, id_: str, invoice: Object | None, payments: Sequence[str], total: int | None) -> Reduced:
    """All that was raised against these payments, and against their invoice."""
    found: dict[str, list[Object]] = {name: [] for name in PARTS}
    for payment in payments:
        by = {"payment_intent" if _is_intent(payment) else "charge": payment}
        charges = stripe.listed("charges", **by) if _is_intent(payment) else [_charge(stripe, payment)]
        found["charges"] += [charge for charge in charges if charge]
        for name, path in (("refunds", "refunds"), ("disputes", "disputes"), ("warnings", PATHS["warning"])):
            found[name] += stripe.listed(path, **by)
    if invoice is not None:
        found["credit_notes"] += [_whole_note(stripe, note) for note in stripe.listed("credit_notes", invoice=id_)]
    return reduced_reversal({"id": id_, "invoice": invoice, "total": total, **found})


def _whole_note(stripe: Reader, note: Object) -> Object:
    """The credit note with every line; Stripe embeds the first ten."""
    lines = note.get("lines")
    if not isinstance(lines, Mapping) or lines.get("has_more") is not True:
        return note
    rows = list(stripe.listed(_path("credit_notes", str(note.get("id"))) + "/lines"))
    return {**note, "lines": {"data": rows, "has_more": False}}


def _charge(stripe: Reader, id_: str) -> Object:
    return stripe.find(_path("charges", id_)) or {}


def _is_intent(payment: str) -> bool:
    return payment.startswith("pi_")


def _path(collection: str, id_: str) -> str:
    return f"{collection}/{quote(id_, safe='')}"
