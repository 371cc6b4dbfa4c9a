"""A Chargebee subscription, or an invoice of what is bought once -> Purchase. Pure; quirks end here.

A subscription is paid until the end of the newest period that a paid invoice has; a status tells no dunning, dues do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.fields import (
    Object,
    Reduced,
    count,
    ident,
    moment,
    needed,
    part,
    rows,
    stamp,
    text,
    texts,
    truth,
    whole,
)
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing

# apidocs.chargebee.com/docs/api/subscriptions (read 2026-11). Open set.
STANDINGS = {
    "future": Standing.PENDING,
    "in_trial": Standing.CURRENT,
    "active": Standing.CURRENT,  # overdue where something is due
    "non_renewing": Standing.CURRENT,  # it is to end, and has not
    "paused": Standing.SUSPENDED,
    "cancelled": Standing.ENDED,
    "transferred": Standing.ENDED,
}
INVOICES = {
    "paid": Standing.CURRENT,
    **dict.fromkeys(("posted", "payment_due", "pending"), Standing.PENDING),
    "not_paid": Standing.PENDING,
    "voided": Standing.ENDED,
}
_RECURRING = {"plan_item_price", "addon_item_price"}
_TAKEN = {"refunded", "refund_due"}


# objects, reduced


def reduced_subscription(one: Object) -> Reduced:
    """A subscription with its items."""
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "customer": ident(one, "customer_id"),
        "starts": stamp(one, "current_term_start"),
        "ends": stamp(one, "current_term_end"),
        "trial_ends": stamp(one, "trial_end"),
        "ends_at": stamp(one, "cancelled_at"),
        "due": bool(count(one, "due_invoices_count")),
        "created_at": stamp(one, "created_at"),
        "metadata": texts(part(one, "meta_data")),
        "items": [_item(row) for row in rows(one, "subscription_items")],
    }


def reduced_invoice(one: Object) -> Reduced:
    """An invoice with its lines."""
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "customer": ident(one, "customer_id"),
        "subscription": ident(one, "subscription_id"),
        "recurring": truth(one, "recurring"),
        "total": whole(one, "total", "amount"),
        "at": stamp(one, "date"),
        "lines": [_line(row) for row in rows(one, "line_items")],
    }


def reduced_credit_note(one: Object) -> Reduced:
    """What was given back of an invoice."""
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "type": text(one, "type"),
        "invoice": ident(one, "reference_invoice_id"),
        "subscription": ident(one, "subscription_id"),
        "total": whole(one, "total", "amount"),
    }


def reduced_customer(one: Object) -> Reduced:
    """Who bought; `meta_data.customer_ref` is what the seller calls it."""
    names = (text(one, "first_name"), text(one, "last_name"))
    return {
        "id": needed(one, "id"),
        "name": text(one, "company") or " ".join(filter(None, names)) or text(one, "email"),
        "customer_ref": texts(part(one, "meta_data")).get("customer_ref"),
    }


def _item(row: Object) -> Reduced:
    return {"price": needed(row, "item_price_id"), "type": text(row, "item_type"), "quantity": count(row)}


def _line(row: Object) -> Reduced:
    return {
        "id": needed(row, "id"),
        "type": text(row, "entity_type"),
        "price": ident(row, "entity_id"),
        "quantity": count(row),
        "ends": stamp(row, "date_to"),
    }


# what was seen -> Purchase


def to_purchase(source: str, seen: Object) -> Purchase:
    """The purchase that was seen; UnreadableError where it is none."""
    return _subscription(source, seen) if "subscription" in seen else _invoice(source, seen)


def _subscription(source: str, seen: Object) -> Purchase:
    one = part(seen, "subscription")
    status = one.get("status") or ""
    standing = STANDINGS.get(status, Standing.UNKNOWN)
    if standing is Standing.CURRENT and one["due"]:
        standing = Standing.OVERDUE
    invoices, notes = rows(seen, "invoices"), rows(seen, "credit_notes")
    term = max((had for had in invoices if had["status"] == "paid" and _ends(had)), key=_ends, default=None)
    until, because = _paid_until(one, standing, term)
    back = _back(term, notes)
    lines = tuple(
        Line(
            id=f"{one['id']}/{number}",  # by place: items have no ids
            keys=(item["price"],),
            sku=item["price"],
            quantity=item["quantity"],
            paid_until=until,
            period_start=moment(one, "starts"),
            period_end=moment(one, "ends"),
            because=because,
            reversed=back,
        )
        for number, item in enumerate(had for had in one["items"] if had["type"] != "charge")
    )
    ends = status == "non_renewing"
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=one["id"]),
        customer=_customer(one, seen),
        lines=lines,
        standing=standing,
        status="payment due" if standing is Standing.OVERDUE else status,
        bought_at=moment(one, "created_at"),
        metadata=one["metadata"],
        ends_at=(moment(one, "ends_at") or moment(one, "ends")) if ends else None,
        flags=tuple(_flags(notes, invoices, term)),
    )


def _ends(invoice: Object) -> str:
    """The end of the latest period that the invoice is of; "" where it is of none."""
    return max((line["ends"] or "" for line in invoice["lines"] if line["type"] in _RECURRING), default="")


def _paid_until(one: Object, standing: Standing, term: Object | None) -> tuple[datetime | None, str]:
    if one["status"] == "in_trial":
        return moment(one, "trial_ends"), "trial until then"
    if term is not None:
        return moment({"at": _ends(term)}, "at"), f"invoice {term['id']} paid for this period"
    if standing is Standing.CURRENT:
        return moment(one, "ends"), "no invoice is known, so the current term's end stands"
    return None, f"it is {one['status']}, and no paid invoice is known"


def _invoice(source: str, seen: Object) -> Purchase:
    one = part(seen, "invoice")
    status, notes = one.get("status") or "", rows(seen, "credit_notes")
    back = _back(one, notes) or ("the invoice was voided" if status == "voided" else "")
    lines = tuple(
        Line(
            id=f"inv-{one['id']}/{line['id']}",
            keys=(line["price"],),
            sku=line["price"],
            quantity=line["quantity"],
            because=f"bought once with invoice {one['id']}: the offering's own term stands",
            once=True,
            reversed=back,
        )
        for line in one["lines"]
        if line["price"] and line["type"] == "charge_item_price"
    )
    return Purchase(
        ref=Ref(source=source, kind="invoice", id=f"inv-{one['id']}"),
        customer=_customer(one, seen),
        lines=lines,
        standing=INVOICES.get(status, Standing.UNKNOWN),
        status=status,
        bought_at=moment(one, "at"),
        flags=tuple(_flags(notes, [one], one)),
    )


def _taken(notes: Sequence[Object]) -> list[Object]:
    """Credit notes for what was paid; adjustments of what was not paid are none."""
    return [note for note in notes if note["type"] == "refundable" and note["status"] in _TAKEN]


def _back(invoice: Object | None, notes: Sequence[Object]) -> str:
    """Why an invoice does not count: its credit notes come to all of it."""
    if invoice is None:
        return ""
    own = [note for note in _taken(notes) if note["invoice"] == invoice["id"]]
    if not own or sum(note["total"] or 0 for note in own) < (invoice["total"] or 0):
        return ""
    return f"invoice {invoice['id']}, which paid it, was refunded in full (credit note {own[0]['id']})"


def _flags(notes: Sequence[Object], invoices: Sequence[Object], term: Object | None) -> Iterator[Flag]:
    known = {had["id"]: had for had in invoices}
    for note in _taken(notes):
        invoice = known.get(note["invoice"])
        if not _back(invoice, notes):
            yield Flag(
                kind="partial refund", text=f"part of invoice {note['invoice']} was refunded: nothing was changed"
            )
        elif term is None or note["invoice"] != term["id"]:
            yield Flag(kind="earlier refund", text=f"invoice {note['invoice']}, of an earlier term, was refunded")


def _customer(one: Object, seen: Object) -> Customer:
    told = part(seen, "customer")
    return Customer(id=one["customer"] or one["id"], customer_ref=told.get("customer_ref"), name=told.get("name"))
