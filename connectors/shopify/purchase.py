"""A Shopify order -> Purchase. Pure; quirks end here.

Refunds name lines and quantities, so they are exact to the seat. Money never decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.fields import Object, Reduced, count, ident, moment, needed, part, rows, stamp, text, texts, truth
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing

# shopify.dev, Order, financial_status (read 2026-11). Open set.
STANDINGS = {
    **dict.fromkeys(("pending", "authorized", "partially_paid", "expired"), Standing.PENDING),
    **dict.fromkeys(("paid", "partially_refunded", "refunded"), Standing.CURRENT),  # lines say what was given back
    "voided": Standing.ENDED,
}
_LOST = {"lost", "accepted", "charge_refunded"}
_OPEN = {"needs_response", "under_review"}
_INQUIRY = "inquiry"  # asks, and moves no money
_RENEWS = "subscription_contract"  # source_name of orders that a subscription makes; its first one has the buyer's


# objects, reduced


def reduced_order(one: Object) -> Reduced:
    """An order with its lines."""
    buyer = part(one, "customer")
    names = " ".join(filter(None, (text(buyer, "first_name"), text(buyer, "last_name"))))
    notes = texts({str(row.get("name")): row.get("value") for row in rows(one, "note_attributes")})
    return {
        "id": needed(one, "id"),
        "status": text(one, "financial_status"),
        "canceled": one.get("cancelled_at") is not None,
        "test": truth(one, "test"),
        "source": text(one, "source_name"),
        "created_at": stamp(one, "created_at"),
        "customer": ident(buyer, "id"),
        "name": text(part(buyer, "default_address"), "company") or names or text(buyer, "email") or text(one, "email"),
        "notes": notes,
        "items": [_item(row) for row in rows(one, "line_items")],
        "refunds": [reduced_refund(row) for row in rows(one, "refunds")],
    }


def reduced_refund(one: Object) -> Reduced:
    """A refund: lines and quantities, and whether money went back."""
    return {
        "id": needed(one, "id"),
        "order": ident(one, "order_id"),
        "items": [
            {"item": needed(row, "line_item_id"), "quantity": count(row) or 0} for row in rows(one, "refund_line_items")
        ],
        "paid": any(text(row, "kind") == "refund" for row in rows(one, "transactions")),
    }


def reduced_dispute(one: Object) -> Reduced:
    """A chargeback or an inquiry."""
    return {
        "id": needed(one, "id"),
        "order": ident(one, "order_id"),
        "status": text(one, "status"),
        "type": text(one, "type"),
    }


def reduced_contract(one: Object) -> Reduced:
    """A subscription: webhooks tell neither its lines nor when it is charged next."""
    return {"id": needed(one, "id"), "status": text(one, "status")}


def _item(row: Object) -> Reduced:
    return {
        "id": needed(row, "id"),
        "variant": ident(row, "variant_id"),
        "product": ident(row, "product_id"),
        "sku": text(row, "sku"),
        "quantity": count(row),
        "planned": bool(part(row, "selling_plan_allocation")),
    }


# what was seen -> Purchase


def refuses(seen: Object) -> str:
    """Why a sale can't be licensed: subscriptions are not read yet, nor orders that begin or renew them."""
    order = part(seen, "order")
    renews = str(order.get("source") or "").startswith(_RENEWS)
    if "contract" in seen or renews or any(item.get("planned") for item in order.get("items", ())):
        return "a subscription of Shopify: what it sells and until when it is paid is not read yet"
    return ""


def to_purchase(source: str, seen: Object) -> Purchase:
    """The purchase that was seen; UnreadableError where it is none."""
    one = part(seen, "order")
    status = one.get("status") or ""
    known = {refund["id"]: refund for refund in (*one["refunds"], *rows(seen, "refunds"))}
    refunds, disputes = list(known.values()), rows(seen, "disputes")
    off = _off(one, disputes)
    return Purchase(
        ref=Ref(source=source, kind="order", id=one["id"]),
        customer=Customer(
            id=one["customer"] or f"order-{one['id']}", customer_ref=one["notes"].get("customer_ref"), name=one["name"]
        ),
        lines=tuple(_line(one, item, refunds, off) for item in one["items"]),
        standing=Standing.ENDED if one["canceled"] else STANDINGS.get(status, Standing.UNKNOWN),
        status="canceled" if one["canceled"] else status,
        bought_at=moment(one, "created_at"),
        metadata=one["notes"],
        flags=() if off else tuple(_flags(one, refunds, disputes)),
    )


def _off(order: Object, disputes: Sequence[Object]) -> str:
    """Why nothing of the order counts; "" where something does."""
    if order["canceled"]:
        return "the order was canceled"
    if order["status"] == "refunded":
        return "the order was refunded in full"
    lost = next((one for one in disputes if one["status"] in _LOST and one["type"] != _INQUIRY), None)
    return f"its payment was charged back (dispute {lost['id']})" if lost else ""


def _line(order: Object, item: Object, refunds: Sequence[Object], off: str) -> Line:
    back = sum(one["quantity"] for refund in refunds for one in refund["items"] if one["item"] == item["id"])
    quantity = item["quantity"]
    whole = bool(back) and quantity is not None and back >= quantity
    return Line(
        id=f"{order['id']}/{item['id']}",
        keys=tuple(dict.fromkeys(key for key in (item["variant"], item["sku"], item["product"]) if key)),
        sku=item["sku"],
        quantity=quantity if whole or quantity is None else quantity - back,
        because=f"bought once with order {order['id']}: the offering's own term stands",
        once=True,
        reversed=off or ("it was refunded in full" if whole else ""),
    )


def _flags(order: Object, refunds: Sequence[Object], disputes: Sequence[Object]) -> Iterator[Flag]:
    for refund in refunds:
        if refund["paid"] and not refund["items"]:
            text_ = f"part of order {order['id']} was refunded, but of no line (refund {refund['id']})"
            yield Flag(kind="partial refund", text=text_)
    for one in disputes:
        if one["status"] in _OPEN:
            yield Flag(kind="dispute", text=f"order {order['id']} is disputed ({one['type']}): nothing was changed")
