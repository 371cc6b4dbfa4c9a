"""A WooCommerce order or subscription -> Purchase. Pure; quirks end here.

Orders tell what was bought once; a subscription tells itself, its renewal orders only pay it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.fields import Object, Reduced, ident, moment, needed, part, rows, stamp, text, texts, under
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing
from hub.errors import UnreadableError

# woocommerce.com/document/subscriptions/statuses (read 2026-11). Open set.
STANDINGS = {
    "pending": Standing.PENDING,
    "active": Standing.CURRENT,
    "pending-cancel": Standing.CURRENT,  # it is to end, and has not
    "on-hold": Standing.OVERDUE,  # also while a renewal is being paid, and where a person paused it: it then lapses
    "cancelled": Standing.ENDED,
    "expired": Standing.ENDED,
    "switched": Standing.ENDED,
}
# woocommerce.com/document/managing-orders (read 2026-11). Open set.
ORDERS = {
    **dict.fromkeys(("pending", "on-hold", "checkout-draft", "failed"), Standing.PENDING),
    "processing": Standing.CURRENT,
    "completed": Standing.CURRENT,
    "refunded": Standing.CURRENT,  # its lines say so
    "cancelled": Standing.ENDED,
    "trash": Standing.ENDED,
}
_PAYS = ("_subscription_renewal", "_subscription_switch")  # meta of orders that pay a subscription which is there


# objects, reduced


def reduced_order(one: Object) -> Reduced:
    """An order; `pays` names the subscription of a renewal."""
    meta = {text(row, "key"): under(row, "value") for row in rows(one, "meta_data")}
    pays = next((str(meta[key]) for key in _PAYS if meta.get(key)), None)
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "pays": pays,
        "created_at": stamp(one, "date_created_gmt"),
        "paid_at": stamp(one, "date_paid_gmt"),
        "items": [_item(row) for row in rows(one, "line_items")],
        "refunds": sorted(needed(row, "id") for row in rows(one, "refunds")),
        **_buyer(one),
    }


def reduced_subscription(one: Object) -> Reduced:
    """A subscription of the extension; its dates stand beside a local form without a zone, "" means none."""
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "order": ident(one, "parent_id"),
        "starts": stamp(one, "start_date_gmt"),
        "paid_at": stamp(one, "last_payment_date_gmt"),
        "trial_ends": stamp(one, "trial_end_date_gmt"),
        "next": stamp(one, "next_payment_date_gmt"),
        "ends": stamp(one, "end_date_gmt"),
        "items": [_item(row) for row in rows(one, "line_items")],
        **_buyer(one),
    }


def reduced_refund(one: Object) -> Reduced:
    """A refund with the lines and quantities that it takes back (written as negative numbers)."""
    return {
        "id": needed(one, "id"),
        "order": ident(one, "parent_id"),
        "items": [
            {"item": found, "quantity": abs(_quantity(row))}
            for row in rows(one, "line_items")
            if (found := _refunded_item(row)) is not None
        ],
    }


def _refunded_item(row: Object) -> str | None:
    meta = {text(one, "key"): one for one in rows(row, "meta_data")}
    return ident(meta["_refunded_item_id"], "value") if "_refunded_item_id" in meta else None


def _item(row: Object) -> Reduced:
    return {
        "id": needed(row, "id"),
        "variation": ident(row, "variation_id"),
        "product": ident(row, "product_id"),
        "sku": text(row, "sku"),
        "quantity": max(0, _quantity(row)),
    }


def _quantity(row: Object) -> int:
    value = row.get("quantity")
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadableError("quantity is no count")
    return value


def _buyer(one: Object) -> Reduced:
    bill = part(one, "billing")
    names = " ".join(filter(None, (text(bill, "first_name"), text(bill, "last_name"))))
    meta = {str(row.get("key")): row.get("value") for row in rows(one, "meta_data")}
    return {
        "customer": ident(one, "customer_id"),
        "name": text(bill, "company") or names or text(bill, "email"),
        "customer_ref": texts(meta).get("customer_ref"),
    }


# what was seen -> Purchase


def to_purchase(source: str, seen: Object) -> Purchase:
    """The purchase that was seen; UnreadableError where it is none."""
    return _subscription(source, seen) if "subscription" in seen else _order(source, seen)


def _subscription(source: str, seen: Object) -> Purchase:
    one = part(seen, "subscription")
    status = one.get("status") or ""
    standing = STANDINGS.get(status, Standing.UNKNOWN)
    until, because = _paid_until(one, standing)
    lines = tuple(
        Line(
            id=f"{one['id']}/{item['id']}",
            keys=_keys(item),
            sku=item["sku"],
            quantity=item["quantity"],
            paid_until=until,
            period_start=moment(one, "paid_at") or moment(one, "starts"),
            period_end=moment(one, "next"),
            because=because,
        )
        for item in one["items"]
    )
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=one["id"]),
        customer=_customer(one),
        lines=lines,
        standing=standing,
        status=status,
        bought_at=moment(one, "starts"),
        ends_at=moment(one, "ends") if status == "pending-cancel" else None,
    )


def _paid_until(one: Object, standing: Standing) -> tuple[datetime | None, str]:
    if standing is not Standing.CURRENT:
        return None, f"it is {one['status']}: nothing more is paid"
    if one["status"] == "pending-cancel":
        return moment(one, "ends"), "canceled, and paid until it ends"
    return moment(one, "next") or moment(one, "ends"), "paid until the next payment"


def _order(source: str, seen: Object) -> Purchase:
    one = part(seen, "order")
    status, refunds = one.get("status") or "", rows(seen, "refunds")
    begun = {_ware(item) for had in rows(seen, "begun") for item in had.get("items", ())}
    own = [] if one["pays"] else [item for item in one["items"] if _ware(item) not in begun]
    off = f"the order is {status}" if status in {"cancelled", "refunded", "trash"} else ""
    lines = tuple(
        Line(
            id=f"{one['id']}/{item['id']}",
            keys=_keys(item),
            sku=item["sku"],
            quantity=max(0, item["quantity"] - _given_back(item, refunds)),
            because=f"bought once with order {one['id']}: the offering's own term stands",
            once=True,
            reversed=off or (f"it was refunded in full (order {one['id']})" if _is_whole(item, refunds) else ""),
        )
        for item in own
    )
    terms = [item for item in one["items"] if item not in own]
    flags = [*_refunded_terms(one, terms, refunds), *(() if off else _flags(one, refunds))]
    return Purchase(
        ref=Ref(source=source, kind="order", id=one["id"]),
        customer=_customer(one),
        lines=lines,
        standing=ORDERS.get(status, Standing.UNKNOWN),
        status=status,
        bought_at=moment(one, "paid_at") or moment(one, "created_at"),
        flags=tuple(flags),
    )


def _given_back(item: Object, refunds: Sequence[Object]) -> int:
    """How many of an item were refunded; 0 where all were: the line then says so."""
    back = sum(one["quantity"] for refund in refunds for one in refund["items"] if one["item"] == item["id"])
    return 0 if back >= item["quantity"] else int(back)


def _is_whole(item: Object, refunds: Sequence[Object]) -> bool:
    back = sum(one["quantity"] for refund in refunds for one in refund["items"] if one["item"] == item["id"])
    return bool(back and back >= item["quantity"])


def _refunded_terms(order: Object, terms: Sequence[Object], refunds: Sequence[Object]) -> Iterator[Flag]:
    """Refunds of what paid a subscription: that alone says when it ends, so a person is told."""
    if not terms:
        return
    what = f"order {order['id']}, which paid " + (
        f"subscription {order['pays']}" if order["pays"] else "a subscription"
    )
    if order["status"] == "refunded" or all(_is_whole(item, refunds) for item in terms):
        text_ = (
            f"{what}, was refunded in full: nothing was changed; cancel the subscription in the shop if it is to end"
        )
        yield Flag(kind="refund", text=text_)
    elif any(one["item"] == item["id"] and one["quantity"] for r in refunds for one in r["items"] for item in terms):
        yield Flag(kind="partial refund", text=f"part of {what}, was refunded: nothing was changed")


def _flags(order: Object, refunds: Sequence[Object]) -> Iterator[Flag]:
    """Refunds of money alone; without credentials only their ids are known."""
    told = {refund["id"]: refund for refund in refunds}
    for id_ in order["refunds"]:
        if not any(one["quantity"] for one in told.get(id_, {"items": ()})["items"]):
            text_ = f"part of order {order['id']} was refunded, but not of seats (refund {id_}): nothing was changed"
            yield Flag(kind="partial refund", text=text_)


def _ware(item: Object) -> tuple[object, object]:
    return item["product"], item["variation"]


def _keys(item: Object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in (item["variation"], item["sku"], item["product"]) if key))


def _customer(one: Object) -> Customer:
    """The account; a guest's order is known by itself."""
    return Customer(id=one["customer"] or f"order-{one['id']}", customer_ref=one["customer_ref"], name=one["name"])
