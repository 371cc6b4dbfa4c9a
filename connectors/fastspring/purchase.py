"""A FastSpring subscription, or what an order sold once -> Purchase. Pure, over plain dicts; quirks end here.

Money never decides. Days are midnight UTC. `active` and `state` are read together: canceled is not ended.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from connectors.fastspring.fields import Object, Reduced, at, part, rows
from connectors.fastspring.shapes import reduced_order, reduced_return, reduced_subscription
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing
from hub.ports import Found

DAY = timedelta(days=1)
# `state` of a subscription whose `active` is true ("Get All Subscription Instances", read 2026-11). Open set.
ACTIVE = {
    "active": Standing.CURRENT,
    "trial": Standing.CURRENT,
    "canceled": Standing.CURRENT,  # it is to end, and has not
    "overdue": Standing.OVERDUE,
    "paused": Standing.SUSPENDED,  # from the rebill on that did not come
}
# `status` of an order that did not go through, or not for good (inferred). Open set.
_OFF = {"canceled", "failed"}
_MANAGED = "adhoc"  # intervalUnit of a subscription that is charged when the seller says so


def of_subscription(source: str, subscription: Object, returns: Sequence[Object] = (), paid_by: str = "") -> Purchase:
    """What the subscription is worth now. `paid_by`: the order that paid its present term, "" where nobody knows.

    `returns` are what was given back of orders that name it. Objects in any shape, or reduced ones; UnreadableError
    where one is malformed.
    """
    facts = reduced_subscription(subscription)
    backs = _given_back(returns)
    standing = _standing(facts)
    paid, why = _paid_until(facts, standing)
    reversed_ = next((text for back in backs if (text := _takes_back(facts, back, paid_by))), "")
    starts = _period_start(facts)
    wares = [{"product": facts["product"], "sku": facts["sku"], "quantity": facts["quantity"]}, *facts["addons"]]
    lines = tuple(
        Line(
            id=facts["id"] if number == 0 else f"{facts['id']}/{ware['product']}",
            keys=_keys(ware),
            sku=ware["product"],
            quantity=ware["quantity"],
            paid_until=paid,
            period_start=starts,
            period_end=None if facts["state"] == "overdue" else at(facts["next"]),
            because=why,
            reversed=reversed_,
        )
        for number, ware in enumerate(wares)
    )
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=facts["id"]),
        customer=_customer(facts),
        lines=lines,
        standing=standing,
        status=facts["state"] or "",
        bought_at=at(facts["begin"]),
        metadata=facts["texts"],
        ends_at=_ends_at(facts) if standing is not Standing.ENDED else None,
        flags=tuple(_subscription_flags(facts, backs, paid_by)),
    )


def of_order(source: str, order: Object, returns: Sequence[Object] = ()) -> Purchase:
    """What the order sold once: items that began a subscription are told by it. As `of_subscription`."""
    facts = reduced_order(order)
    backs = _given_back(returns)
    standing, status = _order_standing(facts)
    items, off = once_items(facts), f"the order was {status}" if standing is Standing.ENDED else ""
    return Purchase(
        ref=Ref(source=source, kind="order", id=facts["id"]),
        customer=_customer(facts),
        lines=tuple(_order_line(facts, item, backs, number, off) for number, item in enumerate(items)),
        standing=standing,
        status=status,
        bought_at=at(facts["changed"]),
        metadata=facts["texts"],
        flags=tuple(_order_flags(items, backs)),
    )


def once_items(order: Reduced) -> list[Reduced]:
    """The items of a reduced order that no subscription tells."""
    return [item for item in order["items"] if item["subscription"] is None]


def found_subscription(source: str, subscription: Object, returns: Sequence[Object] = (), paid_by: str = "") -> Found:
    """The purchase, and what was seen: `from_seen` gives the same purchase again."""
    seen: Reduced = {"subscription": reduced_subscription(subscription)}
    seen |= {"returns": [reduced_return(one) for one in returns], "paid_by": paid_by} if returns else {}
    return Found(purchase=from_seen(source, seen), seen=seen)


def found_order(source: str, order: Object, returns: Sequence[Object] = ()) -> Found:
    """As `found_subscription`."""
    seen: Reduced = {"order": reduced_order(order)}
    seen |= {"returns": [reduced_return(one) for one in returns]} if returns else {}
    return Found(purchase=from_seen(source, seen), seen=seen)


def from_seen(source: str, seen: Object) -> Purchase:
    """The purchase that a look's observation stands for; UnreadableError where it is none."""
    returns = rows(seen, "returns")
    if "order" in seen:
        return of_order(source, part(seen, "order"), returns)
    return of_subscription(source, part(seen, "subscription"), returns, str(seen.get("paid_by") or ""))


# -- subscriptions


def _standing(facts: Reduced) -> Standing:
    if facts["active"] is False:
        return Standing.ENDED
    if facts["active"] is None and facts["state"] == "deactivated":
        return Standing.ENDED
    return ACTIVE.get(facts["state"] or "", Standing.UNKNOWN)


def _paid_until(facts: Reduced, standing: Standing) -> tuple[datetime | None, str]:
    """(until when it is paid, why); None: what is on record stands, else the start of the period."""
    next_, ends = at(facts["next"]), at(facts["deactivationDate"])
    state = facts["state"]
    if standing is Standing.OVERDUE:
        return None, "the charge for this period failed"
    if standing in {Standing.SUSPENDED, Standing.ENDED}:
        return None, f"it is {state}: nothing more is paid"
    if facts["adhoc"] or facts["intervalUnit"] == _MANAGED:
        return None, "it is charged when the seller says so: the offering's own term stands"
    if state == "canceled" and ends is not None:
        # Seen: deactivationDate is the day before `next`, and a day's slack is due anyhow: days have no hour.
        return ends + DAY, f"canceled, to be deactivated on {ends:%Y-%m-%d}: paid for that day"
    if next_ is None:
        return None, "no next charge is named"
    what = "the trial ends" if state == "trial" else "the next charge is due"
    return next_, f"{what} on {next_:%Y-%m-%d}"


def _period_start(facts: Reduced) -> datetime | None:
    """When the present period began: an interval before the next charge; while that is overdue, when it was due."""
    next_ = at(facts["next"])
    if next_ is None or facts["state"] == "overdue":
        return next_ or at(facts["begin"])
    starts = _before(next_, facts["intervalUnit"], facts["intervalLength"] or 1)
    begins = at(facts["begin"])
    return max(starts, begins) if starts and begins else starts or begins


def _before(day: datetime, unit: str | None, length: int) -> datetime | None:
    """`length` units before `day`: in a shorter month its last day."""
    if unit in ("day", "week"):
        return day - timedelta(days=length * (7 if unit == "week" else 1))
    if unit not in ("month", "year"):
        return None
    year, month = divmod(day.year * 12 + day.month - 1 - length * (12 if unit == "year" else 1), 12)
    if year < 1:
        return None
    return day.replace(year=year, month=month + 1, day=min(day.day, calendar.monthrange(year, month + 1)[1]))


def _ends_at(facts: Reduced) -> datetime | None:
    ends = at(facts["deactivationDate"]) or at(facts["end"])
    return ends if facts["state"] == "canceled" or facts["end"] else None


# -- what was given back


def _given_back(returns: Sequence[Object]) -> list[Reduced]:
    """The returns that were carried out, each once."""
    found = {one["id"]: one for one in map(reduced_return, returns)}
    return [one for _, one in sorted(found.items()) if one["completed"] is not False]


def _items_of(facts: Reduced, back: Reduced) -> list[Reduced]:
    """The items of a return that are the subscription's: by its id where they name one, else by product."""
    wares = {facts["product"], *(addon["product"] for addon in facts["addons"])}
    return [
        item
        for item in back["items"]
        if item["subscription"] == facts["id"] or (item["subscription"] is None and item["product"] in wares)
    ]


def _takes_back(facts: Reduced, back: Reduced, paid_by: str) -> str:
    """A sentence where the return gave back what paid the present term; "" where it did not, or nobody knows."""
    items = _items_of(facts, back)
    is_only = not paid_by and facts["sequence"] == 1  # nothing but its first order has paid anything so far
    if not (is_only or back["original"] == paid_by) or not any(item["returned"] == "full" for item in items):
        return ""
    return f"order {back['original']}, which paid the present term, was returned in full (return {back['id']})"


def _subscription_flags(facts: Reduced, backs: Sequence[Reduced], paid_by: str) -> Iterator[Flag]:
    for back in backs:
        items = _items_of(facts, back)
        if not items or _takes_back(facts, back, paid_by):
            continue
        if all(item["returned"] == "full" for item in items):
            what = "an earlier term" if paid_by else "a term, nobody knows which,"
            yield Flag(kind="earlier refund", text=f"{what} was returned (return {back['id']}): nothing was changed")
        else:
            yield _partial(back)


def _order_line(order: Reduced, item: Reduced, backs: Sequence[Reduced], number: int, off: str) -> Line:
    doubled = [one["product"] for one in once_items(order)].count(item["product"]) > 1
    given = [one for back in backs for one in back["items"] if one["product"] == item["product"] and not doubled]
    whole = next((back["id"] for back in backs if _is_whole(item, back, doubled=doubled)), "")
    less = sum(one["quantity"] or 0 for one in given if _is_units(item, one))
    quantity = item["quantity"]
    return Line(
        id=f"{order['id']}/{item['product']}" + (f"/{number}" if doubled else ""),
        keys=_keys(item),
        sku=item["product"],
        quantity=None if quantity is None else max(0, quantity - less),
        because=f"bought once with order {order['reference'] or order['id']}: the offering's own term stands",
        metadata=item["texts"],
        once=True,
        reversed=off or (f"it was returned in full (return {whole})" if whole else ""),
    )


def _is_whole(item: Reduced, back: Reduced, *, doubled: bool) -> bool:
    same = [one for one in back["items"] if one["product"] == item["product"] and one["subscription"] is None]
    full = [one for one in same if one["returned"] == "full"]
    return len(full) == len(same) > 0 if doubled else bool(full)


def _is_units(item: Reduced, given: Reduced) -> bool:
    """Whether a part that was given back is a number of units, rather than some of the price of all of them."""
    few = given["quantity"] is not None and item["quantity"] is not None and 0 < given["quantity"] < item["quantity"]
    return bool(given["returned"] == "partial" and few)


def _order_flags(items: Sequence[Reduced], backs: Sequence[Reduced]) -> Iterator[Flag]:
    by_product: Mapping[str, Reduced] = {item["product"]: item for item in items}
    for back in backs:
        given = [one for one in back["items"] if one["subscription"] is None and one["product"] in by_product]
        if any(one["returned"] != "full" and not _is_units(by_product[one["product"]], one) for one in given):
            yield _partial(back)


def _partial(back: Reduced) -> Flag:
    text = f"part of order {back['original']} was returned (return {back['id']}), but not of seats: nothing was changed"
    return Flag(kind="partial refund", text=text)


# -- orders


def _order_standing(facts: Reduced) -> tuple[Standing, str]:
    if facts["status"] in _OFF:
        return Standing.ENDED, facts["status"]
    if facts["completed"] is not True:
        return Standing.PENDING, facts["status"] or "not completed"
    return Standing.CURRENT, "completed"


def _keys(ware: Reduced) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in (ware["product"], ware["sku"]) if key))


def _customer(facts: Reduced) -> Customer:
    """The account; an order without one is known by itself, so that a license can exist."""
    told = facts["customer"] or {}
    return Customer(id=facts["account"] or facts["id"], customer_ref=told.get("customer_ref"), name=told.get("name"))
