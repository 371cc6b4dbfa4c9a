"""A Lemon Squeezy subscription or order -> Purchase. Pure; quirks end here.

Money never decides but for whether all of an amount was given back.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.fields import Object, Reduced, count, ident, moment, needed, part, rows, stamp, text, truth, whole
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing

# docs.lemonsqueezy.com/api/subscriptions/the-subscription-object (read 2026-11). Open set.
STANDINGS = {
    "on_trial": Standing.CURRENT,
    "active": Standing.CURRENT,
    "cancelled": Standing.CURRENT,  # it is to end at ends_at, and has not
    "past_due": Standing.OVERDUE,
    "paused": Standing.SUSPENDED,  # but for a pause in which service goes on
    "unpaid": Standing.SUSPENDED,
    "expired": Standing.ENDED,
}
ORDERS = {
    "pending": Standing.PENDING,
    "paid": Standing.CURRENT,
    "partial_refund": Standing.CURRENT,
    "refunded": Standing.CURRENT,  # its lines say so
    "fraudulent": Standing.CURRENT,
    "failed": Standing.ENDED,
}
_BACK = {"refunded": "was refunded in full", "fraudulent": "was found fraudulent"}
_SERVED = "free"  # a pause in which nothing is charged and service goes on


# objects, reduced


def reduced_subscription(one: Object) -> Reduced:
    """A subscription: one line, its variant."""
    told = part(one, "attributes")
    item = part(told, "first_subscription_item")
    return {
        "id": needed(one, "id"),
        "status": text(told, "status"),
        "test": truth(told, "test_mode"),
        "order": ident(told, "order_id"),
        "item": ident(item, "id"),
        "price": ident(item, "price_id"),
        "variant": ident(told, "variant_id"),
        "product": ident(told, "product_id"),
        "quantity": None if truth(item, "is_usage_based") else count(item),
        "pause": text(part(told, "pause"), "mode"),
        "trial_ends_at": stamp(told, "trial_ends_at"),
        "renews_at": stamp(told, "renews_at"),
        "ends_at": stamp(told, "ends_at"),
        "created_at": stamp(told, "created_at"),
        **_buyer(told),
    }


def reduced_order(one: Object) -> Reduced:
    """An order; webhooks carry its first item, the API all of them (`items`)."""
    told = part(one, "attributes")
    return {
        "id": needed(one, "id"),
        "status": text(told, "status"),
        "test": truth(told, "test_mode"),
        "total": whole(told, "total", "amount"),
        "refunded": _given_back(told),
        "created_at": stamp(told, "created_at"),
        **_buyer(told),
    }


def reduced_item(one: Object) -> Reduced:
    """An item of an order."""
    told = part(one, "attributes")
    return {
        "id": needed(one, "id"),
        "order": ident(told, "order_id"),
        "price": ident(told, "price_id"),
        "variant": ident(told, "variant_id"),
        "product": ident(told, "product_id"),
        "quantity": count(told) or 1,  # older items have none
    }


def reduced_invoice(one: Object) -> Reduced:
    """An invoice of a subscription."""
    told = part(one, "attributes")
    return {
        "id": needed(one, "id"),
        "subscription": ident(told, "subscription_id"),
        "status": text(told, "status"),
        "reason": text(told, "billing_reason"),
        "total": whole(told, "total", "amount"),
        "refunded": _given_back(told),
        "created_at": stamp(told, "created_at"),
    }


def _given_back(told: Object) -> str:
    """full, partial or "": by the status, else by the amounts."""
    status, amount = text(told, "status"), whole(told, "refunded_amount", "amount")
    if status == "partial_refund" or (amount and amount < (whole(told, "total", "amount") or 0)):
        return "partial"
    return "full" if status == "refunded" or truth(told, "refunded") else ""


def _buyer(told: Object) -> Reduced:
    return {"customer": ident(told, "customer_id"), "name": text(told, "user_name") or text(told, "user_email")}


# what was seen -> Purchase


def to_purchase(source: str, seen: Object) -> Purchase:
    """The purchase that was seen; UnreadableError where it is none."""
    return _subscription(source, seen) if "subscription" in seen else _order(source, seen)


def _subscription(source: str, seen: Object) -> Purchase:
    one = part(seen, "subscription")
    status = one.get("status") or ""
    standing = STANDINGS.get(status, Standing.UNKNOWN)
    if status == "paused" and one["pause"] == _SERVED:
        standing = Standing.CURRENT
    invoices = sorted(rows(seen, "invoices"), key=lambda had: had["created_at"] or "")
    terms = [had for had in invoices if had["reason"] in {"initial", "renewal"} and had["status"] != "void"]
    paid = [had for had in terms if had["status"] in {"paid", "refunded", "partial_refund"}]
    newest = paid[-1]["id"] if paid else None
    until, because = _paid_until(one, standing)
    line = Line(
        id=f"sub-{one['id']}",
        keys=_keys(one),
        sku=one["variant"],
        quantity=one["quantity"],
        paid_until=moment({"at": until}, "at"),
        period_end=moment(one, "renews_at"),
        because=because,
        reversed=_reversed(seen, paid, newest),
    )
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=f"sub-{one['id']}"),
        customer=_customer(one),
        lines=(line,),
        standing=standing,
        status=status,
        bought_at=moment(one, "created_at"),
        ends_at=moment(one, "ends_at") if standing is not Standing.ENDED else None,
        flags=tuple(_flags(seen, invoices, newest)),
    )


def _paid_until(one: Object, standing: Standing) -> tuple[str | None, str]:
    """(until when it is paid, why); None: what is on record stands."""
    status = one["status"]
    if status == "on_trial":
        return one["trial_ends_at"], "trial until then"
    if status == "cancelled":
        return one["ends_at"] or one["renews_at"], "canceled, and paid until it ends"
    if standing is Standing.CURRENT:
        return one["renews_at"], "paid until it renews"
    return None, f"it is {status}: nothing more is paid"


def _reversed(seen: Object, paid: list[Object], newest: str | None) -> str:
    """Why the present term does not count; its invoice decides, for the first term the order as well."""
    if newest is not None and paid[-1]["refunded"] == "full":
        return f"invoice {newest}, which paid the present term, was refunded in full"
    order = part(seen, "order")
    first = len(paid) <= 1
    back = _BACK.get(str(order.get("status")), "")
    return f"order {order['id']}, which paid the present term, {back}" if back and first else ""


def _flags(seen: Object, invoices: list[Object], newest: str | None) -> Iterator[Flag]:
    for had in invoices:
        if had["refunded"] == "partial":
            text_ = f"part of invoice {had['id']} was refunded: nothing was changed"
            yield Flag(kind="partial refund", text=text_)
        elif had["refunded"] == "full" and had["id"] != newest:
            text_ = f"invoice {had['id']}, of an earlier term or a change, was refunded: nothing was changed"
            yield Flag(kind="earlier refund", text=text_)
    order = part(seen, "order")
    if order.get("refunded") == "partial":
        yield Flag(kind="partial refund", text=f"part of order {order['id']} was refunded: nothing was changed")


def _order(source: str, seen: Object) -> Purchase:
    one = part(seen, "order")
    status = one.get("status") or ""
    told = {had["variant"] for had in rows(seen, "begun")}
    items = [item for item in rows(seen, "items") if item["variant"] not in told]
    back = _BACK.get(status, "")
    lines = tuple(
        Line(
            id=f"order-{one['id']}/{item['id']}",
            keys=_keys(item),
            sku=item["variant"],
            quantity=item["quantity"],
            because=f"bought once with order {one['id']}: the offering's own term stands",
            once=True,
            reversed=f"order {one['id']} {back}" if back else "",
        )
        for item in items
    )
    partly = Flag(kind="partial refund", text=f"part of order {one['id']} was refunded: nothing was changed")
    return Purchase(
        ref=Ref(source=source, kind="order", id=f"order-{one['id']}"),
        customer=_customer(one),
        lines=lines,
        standing=ORDERS.get(status, Standing.UNKNOWN),
        status=status,
        bought_at=moment(one, "created_at"),
        flags=(partly,) if one["refunded"] == "partial" else (),
    )


def _keys(one: Object) -> tuple[str, ...]:
    """Variants are what is sold; a product has several."""
    named = (one["variant"], one["price"] and f"price-{one['price']}", one["product"] and f"product-{one['product']}")
    return tuple(str(key) for key in named if key)


def _customer(one: Object) -> Customer:
    return Customer(id=one["customer"] or f"order-{one['id']}", name=one["name"])
