"""The tricky cases that a sales team's org can raise, as one table: what was seen of the sale, and the license expected.

Each history is what successive looks see, oldest first: the record with its lines, and the renewals that name it, as
Salesforce's REST API gives them. docs/selling-from-salesforce.md shows the table. Numbers are those of the commerce
reference, §6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What one look sees; `renewals` are records that were won once and say that they renew this one."""

    record: Obj
    renewals: tuple[Obj, ...] = ()
    on: str = "2027-09-01"


@dataclass(frozen=True)
class Scenario:
    """`expected` has a line an entitlement, and one for the tasks that are open. settings: of the connection."""

    number: str
    name: str
    history: tuple[Seen, ...]
    expected: tuple[str, ...]
    settings: Obj = field(default_factory=dict)


def line(code: str = "pro", quantity: float = 5.0, number: int = 1, **more: Any) -> Obj:
    product = {"ProductCode": code, "Family": more.pop("Family", "Software"), "Zentitle_SKU__c": more.pop("sku", None)}
    known = {"Id": f"00k00000000000{number}AAA", "Quantity": quantity, "Product2Id": "01t000000000001AAA"}
    return known | {"Product2": product} | more


def sale(*lines: Obj, stage: str = "Closed Won", number: int = 1, **more: Any) -> Obj:
    known = {"Id": f"00600000000000{number}AAA", "IsDeleted": False, "AccountId": "001000000000001AAA"}
    known |= {"Account": {"Name": "Cedar Works", "Id": "001000000000001AAA"}, "StageName": stage}
    known |= {"IsWon": stage == "Closed Won", "CloseDate": "2026-09-01", "License_Renews__c": None}
    return known | {"lines": list(lines or (line(),))} | more


def renewal(*lines: Obj, **more: Any) -> Obj:
    return sale(*lines, **({"number": 2, "CloseDate": "2027-09-01"} | more))


def order(*lines: Obj, **more: Any) -> Obj:
    known = sale(*lines) | {"Id": "801000000000001AAA", "Status": "Activated", "StatusCode": "Activated"}
    return known | {"EffectiveDate": "2026-09-01", "EndDate": None} | more


ON = "PRO-100: on, 5 seats, until 2027-09-08"
LONGER = "PRO-100: on, 5 seats, until 2028-09-08"
TEAM = "TEAM-YEAR: on, 3 seats, until 2027-09-08"
ORDERS = {"sells_by": "Order", "renews_field": "", "start_field": "", "end_field": "", "months_field": ""}
SCENARIOS = (
    Scenario("1", "won, told twice", (Seen(sale()), Seen(sale())), (ON,)),
    Scenario("3", "told before it was won", (Seen(sale(stage="Negotiation")), Seen(sale())), (ON,)),
    Scenario("5", "read late: the close date counts, not the day of the look", (Seen(sale(CloseDate="2026-10-01")),), ("PRO-100: on, 5 seats, until 2027-10-08",)),
    Scenario("10", "more seats after it was won", (Seen(sale()), Seen(sale(line(quantity=8.0)))), ("PRO-100: on, 8 seats, until 2027-09-08",)),
    Scenario("11", "fewer seats after it was won", (Seen(sale()), Seen(sale(line(quantity=3.0)))), ("PRO-100: on, 3 seats, until 2027-09-08",)),
    Scenario("12", "another product on the same line", (Seen(sale()), Seen(sale(line("team")))), ("TEAM-YEAR: on, 5 seats, until 2027-09-08",)),
    Scenario("13", "the last day is entered", (Seen(sale(line(License_End__c="2027-12-31"))),), ("PRO-100: on, 5 seats, until 2028-01-08",)),
    Scenario("13", "a term of months is entered", (Seen(sale(line(License_Term_Months__c=36.0))),), ("PRO-100: on, 5 seats, until 2029-09-08",)),
    Scenario("13", "a start is entered", (Seen(sale(line(License_Start__c="2026-10-15"))),), ("PRO-100: on, 5 seats, until 2027-10-22",)),
    Scenario("13", "the line's own date is the start", (Seen(sale(line(ServiceDate="2026-10-15"))),), ("PRO-100: on, 5 seats, until 2027-10-22",)),
    Scenario("17", "open again after it was won", (Seen(sale()), Seen(sale(stage="Negotiation"))), (ON, "task: sale reopened")),
    Scenario("17", "lost after it was won", (Seen(sale()), Seen(sale(stage="Closed Lost"))), (ON, "task: sale reopened")),
    Scenario("20", "won again", (Seen(sale()), Seen(sale(stage="Closed Lost")), Seen(sale())), (ON,)),
    Scenario("17", "lost, and never won", (Seen(sale(stage="Closed Lost")),), ("nothing",)),
    Scenario("22", "two products", (Seen(sale(line(), line("team", 3.0, 2))),), (ON, TEAM)),
    Scenario("22", "two lines of one product", (Seen(sale(line(), line(quantity=2.0, number=2))),), ("PRO-100: on, 7 seats, until 2027-09-08",)),
    Scenario("22", "a line is taken away after it was won", (Seen(sale(line(), line("team", 3.0, 2))), Seen(sale(line()))), (ON, "TEAM-YEAR: off, 3 seats, until 2027-09-08")),
    Scenario("23", "a seat pack", (Seen(sale(line(), line("pack", 10.0, 2))),), ("PRO-100: on, 15 seats, until 2027-09-08",)),
    Scenario("24", "sold for good", (Seen(sale(line("perp", 3.0, License_Term_Months__c=0.0))),), ("PERP-1: on, 3 seats, no end",)),
    Scenario("25", "a renewal that says so", (Seen(sale()), Seen(sale(), (renewal(),))), (LONGER,)),
    Scenario("25", "a renewal with more seats", (Seen(sale()), Seen(sale(), (renewal(line(quantity=8.0, number=3)),))), ("PRO-100: on, 8 seats, until 2028-09-08",)),
    Scenario("25", "a renewal of one product of two", (Seen(sale(line(), line("team", 3.0, 2)), (renewal(line(number=3)),)),), (LONGER, TEAM)),
    Scenario("25", "a renewal that sells one more product", (Seen(sale(), (renewal(line(number=3), line("team", 3.0, 4)),)),), (LONGER, "TEAM-YEAR: on, 3 seats, until 2028-09-08")),
    Scenario("25", "a renewal closed early, from the day after the end", (Seen(sale(), (renewal(line(number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),)),), (LONGER,)),
    Scenario("25", "a renewal closed early, with fewer seats: its first day is to come", (Seen(sale()), Seen(sale(), (renewal(line(quantity=2.0, number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),), "2027-06-02")), (LONGER,)),
    Scenario("25", "the same, on its first day", (Seen(sale()), Seen(sale(), (renewal(line(quantity=2.0, number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),), "2027-09-01")), ("PRO-100: on, 2 seats, until 2028-09-08",)),
    Scenario("25", "a renewal that ends before what it renews", (Seen(sale(), (renewal(line(number=3, License_End__c="2027-05-31"), CloseDate="2027-05-01"),)),), (ON,)),
    Scenario("25", "a renewal that is open again", (Seen(sale(), (renewal(),)), Seen(sale(), (renewal(stage="Negotiation"),))), (LONGER, "task: renewal reopened")),
    Scenario("25", "a renewal of what is not won", (Seen(sale(stage="Negotiation"), (renewal(),)),), ("nothing", "task: renewal of nothing")),
    Scenario("33", "no quantity that is a count of seats", (Seen(sale(line(quantity=0.0))),), ("nothing",)),
    Scenario("40", "a product that no row names", (Seen(sale(line("hat"))),), ("parked",)),
    Scenario("40", "services beside it, by product family", (Seen(sale(line(), line("visit", 1.0, 2, Family="Services"))),), (ON,), {"product_families": ["Software"]}),
    Scenario("40", "the product names the offering itself", (Seen(sale(line("whatever", sku="PRO-100"))),), (ON,), {"product_field": "Zentitle_SKU__c"}),
    Scenario("40", "sold before the day that is set", (Seen(sale(CloseDate="2025-12-31")),), ("nothing",)),
    Scenario("40", "won, but in another stage than those that are set", (Seen(sale()),), ("nothing",), {"won_stages": ["Signed"]}),
    Scenario("order", "an order that is activated", (Seen(order()),), (ON,), ORDERS),
    Scenario("order", "an order that is a draft", (Seen(order(Status="Draft", StatusCode="Draft")),), ("nothing",), ORDERS),
    Scenario("order", "an order with an end", (Seen(order(EndDate="2026-12-31")),), ("PRO-100: on, 5 seats, until 2027-01-08",), ORDERS),
    Scenario("order", "a line with an end of its own", (Seen(order(line(EndDate="2027-03-31"), EndDate="2026-12-31")),), ("PRO-100: on, 5 seats, until 2027-04-08",), ORDERS),
    Scenario("order", "an order that is a draft again", (Seen(order()), Seen(order(Status="Draft", StatusCode="Draft"))), (ON, "task: sale reopened"), ORDERS),
)  # fmt: skip
