"""One shape out of all that Stripe has had: what differs between API versions ends here. Pure, over plain dicts.

Each `reduced_*` keeps only what purchases are derived from, and leaves a reduced object as it is (so what a look
saw can be read again). Shapes: commerce reference §1.4 (stripe 16.1.0, API 2026-10-28.endive; changelogs of
basil and clover).
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.stripe.fields import (
    Object,
    Reduced,
    amount,
    count,
    flag,
    has_more,
    id_of,
    needed,
    part,
    rows,
    seconds,
    text,
    texts,
)
from hub.errors import UnreadableError


def reduced(subscription: Object) -> Reduced:
    """The subscription in one shape, with what `to_purchase` uses alone; a reduced one comes out equal."""
    return {
        "id": needed(subscription, "id"),
        "status": needed(subscription, "status"),
        "trial_end": seconds(subscription, "trial_end"),
        "customer": reduced_customer(subscription.get("customer")),
        "items": [_item(item, subscription) for item in _items(subscription)],
        "items_incomplete": flag(subscription, "items_incomplete") or has_more(subscription, "items"),
        "ends_at": _ends_at(subscription),
        "ended_at": seconds(subscription, "ended_at"),
        "created": seconds(subscription, "created"),
        "metadata": texts(subscription),
    }


def _ends_at(subscription: Object) -> int | None:
    """When it is set to end: `cancel_at`, or the last period end where it is canceled at the end of the period.

    Since 2025-09-30.clover a portal's "at period end" comes as `cancel_at` alone (flexible billing).
    """
    set_ = next((end for name in ("ends_at", "cancel_at") if (end := seconds(subscription, name)) is not None), None)
    if set_ is not None or not flag(subscription, "cancel_at_period_end"):
        return set_
    ends = [_item(item, subscription)["current_period_end"] for item in _items(subscription)]
    return max((end for end in ends if end is not None), default=None)


def reduced_customer(customer: object) -> Reduced:
    """The customer (an id, or the object) with name and customer_ref; the e-mail only where there is no name."""
    if not isinstance(customer, Mapping):
        customer = {"id": customer}
    facts: Reduced = {
        "id": needed(customer, "id"),
        "name": text(customer, "name"),
        "metadata": {"customer_ref": text(part(customer, "metadata"), "customer_ref")},
    }
    if facts["name"] is None and text(customer, "email"):
        facts["email"] = text(customer, "email")
    return facts


def reduced_invoice(invoice: Object) -> Reduced:
    """The invoice in one shape: whose, paid or not, and its lines' periods; a reduced one comes out equal."""
    return {
        "id": needed(invoice, "id"),
        "subscription": subscription_of(invoice),
        # `paid` is gone since 2025-03-31.basil; before it could be true without a status.
        "status": "paid" if flag(invoice, "paid") else text(invoice, "status"),
        "created": seconds(invoice, "created"),
        "paid_at": _first(seconds(invoice, "paid_at"), part(invoice, "status_transitions"), "paid_at"),
        "total": amount(invoice, "total"),
        "billing_reason": text(invoice, "billing_reason"),
        "lines": [_invoice_line(line) for line in rows(invoice, "lines")],
        "lines_incomplete": flag(invoice, "lines_incomplete") or has_more(invoice, "lines"),
    }


def subscription_of(invoice: Object) -> str | None:
    """The id of the invoice's subscription: under `parent` since basil, else `subscription`; None: a manual one."""
    details = part(part(invoice, "parent"), "subscription_details")
    return id_of(details, "subscription") or id_of(invoice, "subscription")


def _items(subscription: Object) -> list[Object]:
    if subscription.get("items") is None:
        raise UnreadableError("a subscription without items")
    return [item for item in rows(subscription, "items") if not flag(item, "deleted")]


def _item(item: Object, subscription: Object) -> Reduced:
    """Periods stand on the item since basil, before on the subscription."""
    return {
        "id": needed(item, "id"),
        "created": seconds(item, "created"),
        "quantity": count(item),
        "price": _price(item),
        "current_period_start": _first(seconds(item, "current_period_start"), subscription, "current_period_start"),
        "current_period_end": _first(seconds(item, "current_period_end"), subscription, "current_period_end"),
        "metadata": texts(item),
    }


def _first(value: int | None, holder: Object, name: str) -> int | None:
    return seconds(holder, name) if value is None else value


def _price(item: Object) -> Reduced:
    """The item's price; `plan` in payloads older than prices. `offering_sku` is the older name of `sku`."""
    name = "price" if item.get("price") else "plan"
    price: Object = {"id": item[name]} if isinstance(item.get(name), str) else part(item, name)
    metadata = part(price, "metadata")
    return {
        "id": text(price, "id"),
        "lookup_key": text(price, "lookup_key"),
        "product": id_of(price, "product"),
        "metadata": {"sku": text(metadata, "sku") or text(metadata, "offering_sku")},
        "texts": _price_texts(price),
    }


def _price_texts(price: Object) -> dict[str, str]:
    """What the seller wrote on the price, and on its product where that came along; the price's word goes first."""
    if "texts" in price:
        return texts(price, "texts")
    product = price.get("product")
    return {**(texts(product) if isinstance(product, Mapping) else {}), **texts(price)}


def _invoice_line(line: Object) -> Reduced:
    """The line in one shape. A one-off item on the invoice belongs to no item of the subscription."""
    parent = part(line, "parent")
    details = part(parent, "subscription_item_details")
    extra = part(parent, "invoice_item_details")
    proration = flag(line, "proration") or flag(details, "proration") or flag(extra, "proration")
    one_off = line.get("type") == "invoiceitem" or parent.get("type") == "invoice_item_details"
    period = part(line, "period")
    once = one_off and not proration
    return {
        "id": text(line, "id"),
        "quantity": count(line),
        "amount": amount(line, "amount"),
        "subscription_item": id_of(details, "subscription_item") or id_of(line, "subscription_item"),
        "proration": proration,
        "price": None if once else _line_price(line),
        "once": _once_price(line) if once or line.get("once") else None,
        "period": {"start": seconds(period, "start"), "end": seconds(period, "end")},
    }


def _line_price(line: Object) -> str | None:
    details = part(part(line, "pricing"), "price_details")
    return id_of(details, "price") or id_of(line, "price") or id_of(line, "plan")


def unnamed_price(line: Object) -> str | None:
    """The id of a one-off line's price where the line tells no more of it than that (since basil); else None."""
    told = line.get("once") or isinstance(line.get("price"), Mapping)
    price = None if told else _invoice_line(line)["once"]
    return price and price["id"]


def _once_price(line: Object) -> Reduced:
    """The price of a one-off line; since basil the line names its id and its product's alone."""
    if line.get("once"):
        return _price({"price": part(line, "once")})
    details = part(part(line, "pricing"), "price_details")
    if not details:
        return _price(line)
    return _price({"price": {"id": id_of(details, "price"), "product": id_of(details, "product")}})


# A sale without a subscription


def reduced_session(session: Object) -> Reduced:
    """The checkout session: where it leads, what was bought if it says so, and the buyer's name.

    `line_items` None: it does not say. The e-mail stands for the name only of a guest who gave none.
    """
    guest = session.get("customer") is None
    details = part(session, "customer_details")
    name = text(session, "name") or text(details, "business_name") or text(details, "name")
    metadata = part(session, "metadata")
    return {
        "id": needed(session, "id"),
        "mode": text(session, "mode"),
        "status": text(session, "status"),
        "payment_status": text(session, "payment_status"),
        "payment_failed": flag(session, "payment_failed") or _payment_failed(session),
        "payment_intent": id_of(session, "payment_intent"),
        "invoice": id_of(session, "invoice"),
        "subscription": id_of(session, "subscription"),
        "customer": None if guest else reduced_customer(session["customer"]),
        "name": name or (text(details, "email") if guest else None),
        "amount_total": amount(session, "amount_total"),
        "created": seconds(session, "created"),
        "metadata": {"price": text(metadata, "price"), "quantity": text(metadata, "quantity")},
        "texts": texts(session, "texts" if "texts" in session else "metadata"),
        "line_items": _line_items(session),
    }


def _payment_failed(session: Object) -> bool:
    """Whether its delayed payment came to nothing: the expanded payment intent waits for another means, or is over."""
    intent = session.get("payment_intent")
    over = isinstance(intent, Mapping) and intent.get("status") in ("requires_payment_method", "canceled")
    return over and session.get("status") == "complete" and session.get("payment_status") == "unpaid"


def _line_items(session: Object) -> list[Reduced] | None:
    if session.get("line_items") is None or has_more(session, "line_items"):
        return None
    return [reduced_line_item(row) for row in rows(session, "line_items")]


def reduced_line_item(row: Object) -> Reduced:
    """A line of a checkout session: what, and how many."""
    return {"id": needed(row, "id"), "quantity": count(row), "price": _price(row)}


# What became of a payment


def reduced_charge(charge: Object) -> Reduced:
    """The charge: how much was taken, and how much of it was given back."""
    total = amount(charge, "amount_captured") or amount(charge, "amount") or 0
    back = amount(charge, "back") if "back" in charge else amount(charge, "amount_refunded")
    return {
        **_payment(charge),
        "invoice": id_of(charge, "invoice"),
        "status": text(charge, "status"),
        "amount": total,
        "back": total if charge.get("refunded") is True else back or 0,
    }


def reduced_refund(refund: Object) -> Reduced:
    """The refund: how much, and whether it went through."""
    return {**_payment(refund), "status": text(refund, "status"), "amount": amount(refund, "amount") or 0}


def reduced_dispute(dispute: Object) -> Reduced:
    """The dispute, how it stands, and over how much."""
    return {**_payment(dispute), "status": text(dispute, "status"), "amount": amount(dispute, "amount")}


def reduced_warning(warning: Object) -> Reduced:
    """The early fraud warning; not actionable once the charge was disputed or paid back in full."""
    return {**_payment(warning), "actionable": warning.get("actionable") is not False}


def _payment(holder: Object) -> Reduced:
    return {
        "id": needed(holder, "id"),
        "charge": id_of(holder, "charge"),
        "payment_intent": id_of(holder, "payment_intent"),
        "metadata": {"checkout_session": text(part(holder, "metadata"), "checkout_session")},
    }


def reduced_credit_note(note: Object) -> Reduced:
    """The credit note: of which invoice, and which of its lines, how many of each."""
    return {
        "id": needed(note, "id"),
        "invoice": id_of(note, "invoice"),
        "status": text(note, "status"),
        "total": amount(note, "total"),
        "lines": [_credited(row) for row in rows(note, "lines")],
        "lines_incomplete": flag(note, "lines_incomplete") or has_more(note, "lines"),
    }


def _credited(row: Object) -> Reduced:
    return {
        "invoice_line_item": id_of(row, "invoice_line_item"),
        "quantity": count(row),
        "amount": amount(row, "amount"),
    }


def reduced_invoice_payment(payment: Object) -> Reduced:
    """Which invoice a payment paid (since 2025-03-31.basil)."""
    paid_by = part(payment, "payment")
    return {
        "id": needed(payment, "id"),
        "invoice": id_of(payment, "invoice"),
        "payment": {"payment_intent": id_of(paid_by, "payment_intent"), "charge": id_of(paid_by, "charge")},
    }


def payment_of(holder: Object) -> str | None:
    """The id of the payment that a charge, refund, dispute or warning is about: its intent's, else its charge's."""
    own = text(holder, "id") if holder.get("object") == "charge" else None
    return id_of(holder, "payment_intent") or id_of(holder, "charge") or own
