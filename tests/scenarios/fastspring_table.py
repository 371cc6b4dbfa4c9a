"""The tricky cases that FastSpring can raise, as one table: what was seen of the purchase, and the license expected.

Each history is what successive looks see, oldest first, as FastSpring's objects. connectors/fastspring/README.md shows
the table. Numbers are those of the commerce reference, §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]


def day(text: str) -> int:
    """Midnight of the day, in epoch milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True)
class Seen:
    """What one look sees: a subscription or an order, and what was given back of orders that name it."""

    sold: Obj
    returns: tuple[Obj, ...] = ()
    paid_by: str = "o1"


@dataclass(frozen=True)
class Scenario:
    """`expected` has a line an entitlement, and one for the tasks that are open."""

    number: str
    name: str
    history: tuple[Seen, ...]
    expected: tuple[str, ...]
    ends: str = ""


def sub(state: str = "active", *, active: bool = True, next_: str | None = "2027-09-01", **more: Any) -> Obj:
    known = {"id": "s1", "account": "a1", "live": True, "product": "pro", "quantity": 5, "begin": day("2026-09-01")}
    known |= {"intervalUnit": "year", "intervalLength": 1, "sequence": 1, "initialOrderId": "o1"}
    return known | {"active": active, "state": state, "next": day(next_) if next_ else None} | more


def order(*, completed: bool = True, **more: Any) -> Obj:
    items = more.pop("items", [{"product": "perp", "quantity": 3}])
    known = {"id": "o1", "account": "a1", "live": True, "reference": "SHOP-1", "changed": day("2026-09-01")}
    return known | {"completed": completed, "items": items} | more


def back(product: str, how: str | None, quantity: int = 5, of: str = "o1", **more: Any) -> Obj:
    item = {"product": product, "quantity": quantity} | ({"returned": how} if how else {})
    return {"return": "r1", "completed": True, "live": True, "original": {"id": of}, "items": [item]} | more


ON = "PRO-100: on, 5 seats, until 2027-09-08"
OFF = "PRO-100: off, 5 seats, until 2027-09-08"
LONGER = "PRO-100: on, 5 seats, until 2028-09-08"
SOLD, RENEWED = Seen(sub()), Seen(sub(next_="2028-09-01", sequence=2), paid_by="o2")
TRIAL = Seen(sub("trial", next_="2026-09-15"))
CANCELED = {"canceledDate": day("2027-01-05"), "deactivationDate": day("2027-08-31")}
PERPETUAL = "PERP-1: on, 3 seats, no end"
PERPETUAL_OFF = "PERP-1: off, 3 seats, no end"

SCENARIOS = (
    Scenario("1", "order and activation of one sale, seen twice", (SOLD, SOLD), (ON,)),
    Scenario("3", "a rebill is told before the activation", (RENEWED,), (LONGER,)),
    Scenario(
        "5", "a post of before comes again after the rebill: what is so now is read", (RENEWED, RENEWED), (LONGER,)
    ),
    Scenario("6", "trial", (TRIAL,), ("PRO-100: on, 5 seats, until 2026-09-22",)),
    Scenario("7", "trial, then charged", (TRIAL, SOLD), (ON,)),
    Scenario(
        "8",
        "the trial's first charge fails",
        (TRIAL, Seen(sub("overdue", next_="2026-09-15"))),
        ("PRO-100: on, 5 seats, until 2026-09-22",),
    ),
    Scenario("10", "seats added within the term", (SOLD, Seen(sub(quantity=8))), (ON.replace("5 seats", "8 seats"),)),
    Scenario("11", "seats taken away", (SOLD, Seen(sub(quantity=2))), (ON.replace("5 seats", "2 seats"),)),
    Scenario("12", "another product", (SOLD, Seen(sub(product="team"))), (ON.replace("PRO-100", "TEAM-YEAR"),)),
    Scenario(
        "13",
        "from years to months",
        (SOLD, Seen(sub(intervalUnit="month", next_="2026-10-15"))),
        ("PRO-100: on, 5 seats, until 2026-10-22",),
    ),
    Scenario("14", "canceled for the end of the term", (SOLD, Seen(sub("canceled", **CANCELED))), (ON,), "2027-08-31"),
    Scenario("14", "canceled, and undone", (SOLD, Seen(sub("canceled", **CANCELED)), SOLD), (ON,)),
    Scenario(
        "14",
        "canceled, then deactivated",
        (SOLD, Seen(sub("canceled", **CANCELED)), Seen(sub("deactivated", active=False, next_=None, **CANCELED))),
        (OFF,),
    ),
    Scenario("14", "deactivated at once", (SOLD, Seen(sub("deactivated", active=False, next_=None))), (OFF,)),
    Scenario("15", "a charge failed: overdue", (SOLD, Seen(sub("overdue"))), (ON,)),
    Scenario("15", "overdue, while the next day is moved on", (SOLD, Seen(sub("overdue", next_="2028-09-01"))), (ON,)),
    Scenario("16", "overdue, then paid", (SOLD, Seen(sub("overdue")), RENEWED), (LONGER,)),
    Scenario("16", "paused", (SOLD, Seen(sub("paused"))), (OFF,)),
    Scenario("16", "paused, then resumed", (SOLD, Seen(sub("paused")), RENEWED), (LONGER,)),
    Scenario(
        "17", "part of the price returned", (Seen(sub(), (back("pro", "partial"),)),), (ON, "task: partial refund")
    ),
    Scenario("17", "a return that says neither", (Seen(sub(), (back("pro", None),)),), (ON, "task: partial refund")),
    Scenario("18", "the present term returned", (SOLD, Seen(sub(), (back("pro", "full"),))), (OFF,)),
    Scenario(
        "18",
        "an earlier term returned",
        (Seen(RENEWED.sold, (back("pro", "full"),), "o2"),),
        (LONGER, "task: earlier refund"),
    ),
    Scenario(
        "20", "a return that has not gone through", (Seen(sub(), (back("pro", "full", completed=False),)),), (ON,)
    ),
    Scenario(
        "23",
        "an add-on product of more seats",
        (Seen(sub(addons=[{"product": "pack", "quantity": 2}])),),
        (ON.replace("5 seats", "7 seats"),),
    ),
    Scenario(
        "32",
        "charged when the seller says so: the offering's own term",
        (Seen(sub(next_=None, intervalUnit="adhoc", adhoc=True)),),
        ("PRO-100: on, 5 seats, until 2026-03-01",),
    ),
    Scenario("27", "a price of nothing", (Seen(sub(price=0, subtotal=0)),), (ON,)),
    Scenario("40", "a product that no row and no offering names", (Seen(sub(product="hat")),), ("parked",)),
    Scenario("one-off", "bought once", (Seen(order()),), (PERPETUAL,)),
    Scenario("one-off", "payment still to come", (Seen(order(completed=False)),), ("nothing",)),
    Scenario(
        "one-off",
        "canceled after it was completed",
        (Seen(order()), Seen(order(completed=False, status="canceled"))),
        (PERPETUAL_OFF,),
    ),
    Scenario(
        "one-off", "returned in full", (Seen(order()), Seen(order(), (back("perp", "full", 3),))), (PERPETUAL_OFF,)
    ),
    Scenario(
        "one-off",
        "one of three returned",
        (Seen(order()), Seen(order(), (back("perp", "partial", 1),))),
        ("PERP-1: on, 2 seats, no end",),
    ),
    Scenario(
        "one-off",
        "part of the price of all three returned",
        (Seen(order(), (back("perp", "partial", 3),)),),
        (PERPETUAL, "task: partial refund"),
    ),
    Scenario(
        "one-off",
        "beside a subscription, which is told by itself",
        (Seen(order(items=[{"product": "perp", "quantity": 3}, {"product": "pro", "subscription": "s1"}])),),
        (PERPETUAL,),
    ),
)
