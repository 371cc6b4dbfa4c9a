"""A Paddle subscription, or a transaction of what is bought once -> Purchase. Pure; quirks end here.

A subscription is paid until the end of the newest billing period of its completed transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.fields import Object, Reduced, count, ident, moment, needed, part, rows, stamp, text, texts
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing

# developer.paddle.com/api-reference/subscriptions (read 2026-11). Open set.
STANDINGS = {
    "trialing": Standing.CURRENT,
    "active": Standing.CURRENT,
    "past_due": Standing.OVERDUE,
    "paused": Standing.SUSPENDED,
    "canceled": Standing.ENDED,
}
TRANSACTIONS = {
    **dict.fromkeys(("draft", "ready", "billed", "past_due"), Standing.PENDING),
    "paid": Standing.CURRENT,  # completed follows within moments
    "completed": Standing.CURRENT,
    "canceled": Standing.ENDED,
}
_PAID = {"paid", "completed"}
# Origins of transactions that pay no term.
_BESIDE = {"subscription_charge", "subscription_payment_method_change"}
_TAKES, _RESTORES, _WARNS = {"refund", "chargeback"}, {"chargeback_reverse"}, {"chargeback_warning"}


# objects, reduced


def reduced_subscription(one: Object) -> Reduced:
    """A subscription with its items."""
    change = part(one, "scheduled_change")
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "customer": ident(one, "customer_id"),
        "starts": stamp(one, "current_billing_period.starts_at"),
        "ends": stamp(one, "current_billing_period.ends_at"),
        "next_billed_at": stamp(one, "next_billed_at"),
        "started_at": stamp(one, "started_at"),
        "change": text(change, "action"),
        "change_at": stamp(change, "effective_at"),
        "custom": texts(part(one, "custom_data")),
        "items": [_item(row) for row in rows(one, "items")],
    }


def reduced_transaction(one: Object) -> Reduced:
    """A transaction; `lines` says which of its lines is of which price, for adjustments name lines."""
    return {
        "id": needed(one, "id"),
        "status": text(one, "status"),
        "origin": text(one, "origin"),
        "subscription": ident(one, "subscription_id"),
        "customer": ident(one, "customer_id"),
        "starts": stamp(one, "billing_period.starts_at"),
        "ends": stamp(one, "billing_period.ends_at"),
        "billed_at": stamp(one, "billed_at") or stamp(one, "created_at"),
        "custom": texts(part(one, "custom_data")),
        "items": [_item(row) for row in rows(one, "items")],
        "lines": {needed(row, "id"): ident(row, "price_id") for row in rows(one, "details.line_items")},
    }


def reduced_adjustment(one: Object) -> Reduced:
    """What was given back, or taken back by a bank."""
    items = rows(one, "items")
    kinds = {text(row, "type") for row in items}
    return {
        "id": needed(one, "id"),
        "action": text(one, "action"),
        "status": text(one, "status"),
        "transaction": ident(one, "transaction_id"),
        "subscription": ident(one, "subscription_id"),
        "type": text(one, "type") or ("full" if kinds == {"full"} else "partial"),
        "full": sorted(ident(row, "item_id") or "" for row in items if text(row, "type") == "full"),
        "at": stamp(one, "created_at"),
    }


def reduced_customer(one: Object) -> Reduced:
    """Who bought; `custom_data.customer_ref` is what the seller calls it."""
    custom = texts(part(one, "custom_data"))
    return {
        "id": needed(one, "id"),
        "name": text(one, "name") or text(one, "email"),
        "customer_ref": custom.get("customer_ref"),
    }


def _item(row: Object) -> Reduced:
    price, product = part(row, "price"), part(row, "product")
    custom = texts(part(product, "custom_data")) | texts(part(price, "custom_data"))
    return {
        "price": needed(price, "id"),
        "product": ident(price, "product_id"),
        "sku": custom.get("sku"),
        "once": price.get("billing_cycle") is None,
        "quantity": count(row),
        "trial_ends": stamp(row, "trial_dates.ends_at"),
    }


# what was seen -> Purchase


def to_purchase(source: str, seen: Object) -> Purchase:
    """The purchase that was seen; UnreadableError where it is none."""
    return _subscription(source, seen) if "subscription" in seen else _transaction(source, seen)


def _subscription(source: str, seen: Object) -> Purchase:
    one = part(seen, "subscription")
    status = one.get("status") or ""
    standing = STANDINGS.get(status, Standing.UNKNOWN)
    paid = sorted(
        (had for had in rows(seen, "transactions") if had["status"] in _PAID), key=lambda had: had["billed_at"]
    )
    terms = [had for had in paid if had["origin"] not in _BESIDE and had["ends"]]
    term = max(terms, key=lambda had: (had["ends"], had["billed_at"]), default=None)
    until, because = _paid_until(one, standing, term)
    backs = _backs(rows(seen, "adjustments"))
    lines = [
        Line(
            id=f"{one['id']}/{number}",  # by place: items have no ids
            keys=_keys(item),
            sku=item["sku"],
            quantity=item["quantity"],
            paid_until=moment({"at": item["trial_ends"]}, "at") if status == "trialing" else until,
            period_start=moment(one, "starts"),
            period_end=moment(one, "ends"),
            because=because,
            reversed=_reversed(term, item, backs),
        )
        for number, item in enumerate(had for had in one["items"] if not had["once"])
    ]
    once = [_once(had, item, backs) for had in paid for item in had["items"] if item["once"]]
    ends = one["change"] == "cancel" and standing is not Standing.ENDED
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=one["id"]),
        customer=_customer(one, seen),
        lines=(*lines, *once),
        standing=standing,
        status=status,
        bought_at=moment(one, "started_at"),
        metadata=one["custom"],
        ends_at=moment(one, "change_at") if ends else None,
        flags=tuple(_flags(rows(seen, "adjustments"), paid, term)),
    )


def _paid_until(one: Object, standing: Standing, term: Object | None) -> tuple[datetime | None, str]:
    """(until when it is paid, why); None: what is on record stands, else the period."""
    if one["status"] == "trialing":
        return moment(one, "next_billed_at"), "trial until then"
    if term is not None:
        return moment(term, "ends"), f"transaction {term['id']} paid for this period"
    if standing is Standing.CURRENT:
        return moment(one, "ends"), "no transaction is known, so the current period's end stands"
    return None, f"it is {one['status']}, and no transaction is known"


def _transaction(source: str, seen: Object) -> Purchase:
    one = part(seen, "transaction")
    status = one.get("status") or ""
    backs = _backs(rows(seen, "adjustments"))
    return Purchase(
        ref=Ref(source=source, kind="transaction", id=one["id"]),
        customer=_customer(one, seen),
        lines=tuple(_once(one, item, backs) for item in one["items"] if item["once"]),
        standing=TRANSACTIONS.get(status, Standing.UNKNOWN),
        status=status,
        bought_at=moment(one, "billed_at"),
        metadata=one["custom"],
        flags=tuple(_flags(rows(seen, "adjustments"), [one], one)),
    )


def _once(transaction: Object, item: Object, backs: Sequence[Object]) -> Line:
    return Line(
        id=f"{transaction['id']}/{item['price']}",
        keys=_keys(item),
        sku=item["sku"],
        quantity=item["quantity"],
        because=f"bought once with transaction {transaction['id']}: the offering's own term stands",
        once=True,
        reversed=_reversed(transaction, item, backs),
    )


def _backs(adjustments: Sequence[Object]) -> list[Object]:
    """What took money back for good: refunds that were approved, chargebacks that were not reversed later."""
    restored = {(one["transaction"], one["at"]) for one in adjustments if one["action"] in _RESTORES and _stands(one)}
    return [
        one
        for one in adjustments
        if one["action"] in _TAKES
        and _stands(one)
        and not (
            one["action"] == "chargeback" and any(of == one["transaction"] and at >= one["at"] for of, at in restored)
        )
    ]


def _stands(one: Object) -> bool:
    return bool(one["status"] == "approved")


def _reversed(transaction: Object | None, item: Object, backs: Sequence[Object]) -> str:
    """Why a line does not count: all of the transaction that paid it, or its own line there, was taken back."""
    for back in backs:
        if transaction is None or back["transaction"] != transaction["id"]:
            continue
        lines = {line for line, price in transaction["lines"].items() if price == item["price"]}
        if back["type"] == "full" or lines & set(back["full"]):
            word = "charged back" if back["action"] == "chargeback" else "refunded"
            return f"transaction {transaction['id']}, which paid it, was {word} (adjustment {back['id']})"
    return ""


def _flags(adjustments: Sequence[Object], paid: Sequence[Object], term: Object | None) -> Iterator[Flag]:
    once = {had["id"] for had in paid if any(item["once"] for item in had["items"])}
    for one in adjustments:
        if not _stands(one) and one["action"] not in _WARNS:
            continue
        if one["action"] in _WARNS:
            yield Flag(kind="dispute", text=f"a bank asks about transaction {one['transaction']}: nothing was changed")
        elif one["action"] in _TAKES and one["type"] != "full" and not one["full"]:
            yield Flag(kind="partial refund", text=f"part of {one['transaction']} was given back: nothing was changed")
        elif one["action"] in _TAKES and one["transaction"] not in {*once, (term or {}).get("id")}:
            yield Flag(kind="earlier refund", text=f"{one['transaction']}, an earlier term, was given back")


def _keys(item: Object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in (item["price"], item["sku"], item["product"]) if key))


def _customer(one: Object, seen: Object) -> Customer:
    told = part(seen, "customer")
    ref = told.get("customer_ref") or one["custom"].get("customer_ref")
    return Customer(id=one["customer"] or one["id"], customer_ref=ref, name=told.get("name"))
