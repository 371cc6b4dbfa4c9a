"""The tricky cases that a sales team's org can raise, as one table: what was seen of the sale, and the license expected.

Each history is what successive looks see, oldest first: the record with its lines, and the renewals that name it, as
Salesforce's REST API gives them. A case is written for Opportunities and is run for every object that can tell the same
(`by`); what one object alone can tell is written in its own words. docs/selling-from-salesforce.md shows the table.
Numbers are those of the commerce reference, §6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
EVERY = ("Opportunity", "Order", "Contract", "Asset")
WITH_LINES = ("Opportunity", "Order", "Contract")


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
    by: tuple[str, ...] = EVERY


def line(code: str = "pro", quantity: float | None = 5.0, number: int = 1, **more: Any) -> Obj:
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


def as_it_is(record: Obj) -> Obj:
    return record


def as_order(record: Obj) -> Obj:
    """The same sale as an order of its own."""
    status = "Activated" if record["StageName"] == "Closed Won" else "Draft"
    known = {"Status": status, "StatusCode": status, "EffectiveDate": record["CloseDate"], "EndDate": None}
    return record | {"Id": record["Id"].replace("006", "801", 1)} | known


def as_contract(record: Obj) -> Obj:
    """The same sale as a contract with one order, which begins with it; whoever takes back ends it."""
    won, lost = record["StageName"] == "Closed Won", record["StageName"] == "Closed Lost"
    start = record["lines"][0].get("License_Start__c") or record["CloseDate"]
    known = {
        "Id": record["Id"].replace("006", "800", 1),
        "Status": "Activated" if won else "Terminated" if lost else "Draft",
        "StatusCode": "Activated" if won or lost else "Draft",
        "ActivatedDate": "2026-09-01T10:00:00.000+0000" if won or lost else None,
        "StartDate": start,
        "EndDate": None,
        "ContractTerm": None,
    }
    return record | known | {"lines": [ordered(row, EffectiveDate=start) for row in record["lines"]]}


def as_asset(record: Obj) -> Obj:
    """The same sale as an asset: the one line is the record; what is taken back is obsolete."""
    (row,) = record["lines"]
    status = "Installed" if record["StageName"] == "Closed Won" else "Obsolete"
    known = {"Id": record["Id"].replace("006", "02i", 1), "Status": status, "InstallDate": record["CloseDate"]}
    return row | record | known | {"UsageEndDate": None, "lines": []}


AS: dict[str, Callable[[Obj], Obj]] = {
    "Opportunity": as_it_is,
    "Order": as_order,
    "Contract": as_contract,
    "Asset": as_asset,
}


def order(*lines: Obj, **more: Any) -> Obj:
    return as_order(sale(*lines)) | more


def ordered(row: Obj, **more: Any) -> Obj:
    """An order product with what is read of its order."""
    known = {"ContractId": "800000000000001AAA", "StatusCode": "Activated", "EffectiveDate": "2026-09-01"}
    return row | {"Order": known | {"EndDate": None} | more}


def contract(*lines: Obj, **more: Any) -> Obj:
    """A contract of a year; its lines are order products."""
    known = {"EndDate": "2027-08-31", "ContractTerm": 12.0, "lines": list(lines or (ordered(line()),))}
    return as_contract(sale()) | known | more


def follow_up(**more: Any) -> Obj:
    """A contract for the year after, that renews it."""
    row = ordered(line(number=3), EffectiveDate="2027-09-01")
    known = {"Id": "800000000000002AAA", "StartDate": "2027-09-01", "EndDate": "2028-08-31"}
    return contract(row) | known | more


def asset(**more: Any) -> Obj:
    return as_asset(sale(line())) | more


def over(status: str) -> Obj:
    """A status that an org gives to contracts that are over: of the category of activated ones."""
    return {"Status": status}


ON = "PRO-100: on, 5 seats, until 2027-09-08"
LONGER = "PRO-100: on, 5 seats, until 2028-09-08"
TEAM = "TEAM-YEAR: on, 3 seats, until 2027-09-08"
MORE = "PRO-100: on, 8 seats, until 2027-09-08"
FEWER = "PRO-100: on, 3 seats, until 2027-09-08"
REOPENED = "task: sale reopened"
DRAFT = {"StatusCode": "Draft"}
SCENARIOS = (
    Scenario("1", "won, told twice", (Seen(sale()), Seen(sale())), (ON,)),
    Scenario("3", "told before it was won", (Seen(sale(stage="Negotiation")), Seen(sale())), (ON,), by=WITH_LINES),
    Scenario("5", "read late: the day of the sale counts, not that of the look", (Seen(sale(CloseDate="2026-10-01")),), ("PRO-100: on, 5 seats, until 2027-10-08",)),
    Scenario("10", "more seats after it was won", (Seen(sale()), Seen(sale(line(quantity=8.0)))), ("PRO-100: on, 8 seats, until 2027-09-08",)),
    Scenario("11", "fewer seats after it was won", (Seen(sale()), Seen(sale(line(quantity=3.0)))), ("PRO-100: on, 3 seats, until 2027-09-08",)),
    Scenario("12", "another product on the same line", (Seen(sale()), Seen(sale(line("team")))), ("TEAM-YEAR: on, 5 seats, until 2027-09-08",)),
    Scenario("13", "the last day is entered", (Seen(sale(line(License_End__c="2027-12-31"))),), ("PRO-100: on, 5 seats, until 2028-01-08",)),
    Scenario("13", "a term of months is entered", (Seen(sale(line(License_Term_Months__c=36.0))),), ("PRO-100: on, 5 seats, until 2029-09-08",)),
    Scenario("13", "a start is entered", (Seen(sale(line(License_Start__c="2026-10-15"))),), ("PRO-100: on, 5 seats, until 2027-10-22",)),
    Scenario("13", "the line's own date is the start", (Seen(sale(line(ServiceDate="2026-10-15"))),), ("PRO-100: on, 5 seats, until 2027-10-22",), by=WITH_LINES),
    Scenario("17", "open again after it was won", (Seen(sale()), Seen(sale(stage="Negotiation"))), (ON, "task: sale reopened")),
    Scenario("17", "lost after it was won", (Seen(sale()), Seen(sale(stage="Closed Lost"))), (ON, "task: sale reopened")),
    Scenario("20", "won again", (Seen(sale()), Seen(sale(stage="Closed Lost")), Seen(sale())), (ON,)),
    Scenario("17", "lost, and never won", (Seen(sale(stage="Closed Lost")),), ("nothing",)),
    Scenario("22", "two products", (Seen(sale(line(), line("team", 3.0, 2))),), (ON, TEAM), by=WITH_LINES),
    Scenario("22", "two lines of one product", (Seen(sale(line(), line(quantity=2.0, number=2))),), ("PRO-100: on, 7 seats, until 2027-09-08",), by=WITH_LINES),
    Scenario("22", "a line is taken away after it was won", (Seen(sale(line(), line("team", 3.0, 2))), Seen(sale(line()))), (ON, "TEAM-YEAR: off, 3 seats, until 2027-09-08"), by=WITH_LINES),
    Scenario("23", "a seat pack", (Seen(sale(line(), line("pack", 10.0, 2))),), ("PRO-100: on, 15 seats, until 2027-09-08",), by=WITH_LINES),
    Scenario("24", "sold for good", (Seen(sale(line("perp", 3.0, License_Term_Months__c=0.0))),), ("PERP-1: on, 3 seats, no end",)),
    Scenario("25", "a renewal that says so", (Seen(sale()), Seen(sale(), (renewal(),))), (LONGER,)),
    Scenario("25", "a renewal with more seats", (Seen(sale()), Seen(sale(), (renewal(line(quantity=8.0, number=3)),))), ("PRO-100: on, 8 seats, until 2028-09-08",)),
    Scenario("25", "a renewal of one product of two", (Seen(sale(line(), line("team", 3.0, 2)), (renewal(line(number=3)),)),), (LONGER, TEAM), by=WITH_LINES),
    Scenario("25", "a renewal that sells one more product", (Seen(sale(), (renewal(line(number=3), line("team", 3.0, 4)),)),), (LONGER, "TEAM-YEAR: on, 3 seats, until 2028-09-08"), by=WITH_LINES),
    Scenario("25", "a renewal closed early, from the day after the end", (Seen(sale(), (renewal(line(number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),)),), (LONGER,)),
    Scenario("25", "a renewal closed early, with fewer seats: its first day is to come", (Seen(sale()), Seen(sale(), (renewal(line(quantity=2.0, number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),), "2027-06-02")), (LONGER,)),
    Scenario("25", "the same, on its first day", (Seen(sale()), Seen(sale(), (renewal(line(quantity=2.0, number=3, License_Start__c="2027-09-01"), CloseDate="2027-06-01"),), "2027-09-01")), ("PRO-100: on, 2 seats, until 2028-09-08",)),
    Scenario("25", "a renewal that ends before what it renews", (Seen(sale(), (renewal(line(number=3, License_End__c="2027-05-31"), CloseDate="2027-05-01"),)),), (ON,)),
    Scenario("25", "a renewal that is open again", (Seen(sale(), (renewal(),)), Seen(sale(), (renewal(stage="Negotiation"),))), (LONGER, "task: renewal reopened")),
    Scenario("25", "a renewal of what is not won", (Seen(sale(stage="Negotiation"), (renewal(),)),), ("nothing", "task: renewal of nothing"), by=WITH_LINES),
    Scenario("33", "no quantity that is a count of seats", (Seen(sale(line(quantity=0.0))),), ("nothing",)),
    Scenario("40", "a product that no row names", (Seen(sale(line("hat"))),), ("parked",)),
    Scenario("40", "services beside it, by product family", (Seen(sale(line(), line("visit", 1.0, 2, Family="Services"))),), (ON,), {"product_families": ["Software"]}, by=WITH_LINES),
    Scenario("40", "the product names the offering itself", (Seen(sale(line("whatever", sku="PRO-100"))),), (ON,), {"product_field": "Zentitle_SKU__c"}),
    Scenario("40", "sold before the day that is set", (Seen(sale(CloseDate="2025-12-31")),), ("nothing",)),
    Scenario("40", "won, but in another stage than those that are set", (Seen(sale()),), ("nothing",), {"won_stages": ["Signed"]}),
    Scenario("order", "an order with an end", (Seen(order(EndDate="2026-12-31")),), ("PRO-100: on, 5 seats, until 2027-01-08",), by=("Order",)),
    Scenario("order", "a line with an end of its own", (Seen(order(line(EndDate="2027-03-31"), EndDate="2026-12-31")),), ("PRO-100: on, 5 seats, until 2027-04-08",), by=("Order",)),
    Scenario("contract", "its end is the last day", (Seen(contract(EndDate="2027-12-31")),), ("PRO-100: on, 5 seats, until 2028-01-08",), by=("Contract",)),
    Scenario("contract", "a term without an end counts from its start", (Seen(contract(EndDate=None, ContractTerm=24.0)),), (LONGER,), by=("Contract",)),
    Scenario("contract", "an order product, or its order, with an end of its own", (Seen(contract(ordered(line(EndDate="2027-10-31")), ordered(line("team", 3.0, 2), EndDate="2027-11-30"))),), ("PRO-100: on, 5 seats, until 2027-11-08", "TEAM-YEAR: on, 3 seats, until 2027-12-08"), by=("Contract",)),
    Scenario("contract", "its term is made longer", (Seen(contract()), Seen(contract(EndDate="2028-08-31", ContractTerm=24.0))), (LONGER,), by=("Contract",)),
    Scenario("contract", "activated before its order is", (Seen(contract(ordered(line(), **DRAFT))),), ("nothing",), by=("Contract",)),
    Scenario("contract", "activated before its first day", (Seen(contract(), on="2026-08-01"),), (ON,), by=("Contract",)),
    Scenario("contract", "another order adds seats", (Seen(contract()), Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2), EffectiveDate="2027-03-01")))), (MORE,), by=("Contract",)),
    Scenario("contract", "another order adds a product", (Seen(contract()), Seen(contract(ordered(line()), ordered(line("team", 3.0, 2), EffectiveDate="2027-03-01")))), (ON, TEAM), by=("Contract",)),
    Scenario("contract", "another order that is a draft adds nothing", (Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2), **DRAFT))),), (ON,), by=("Contract",)),
    Scenario("contract", "another order adds seats on a day to come", (Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2), EffectiveDate="2027-03-01")), on="2027-02-28"),), (ON,), by=("Contract",)),
    Scenario("contract", "the same, on that day", (Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2), EffectiveDate="2027-03-01")), on="2027-03-01"),), (MORE,), by=("Contract",)),
    Scenario("contract", "seats for a quarter, while it runs", (Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2, EndDate="2027-05-31"), EffectiveDate="2027-03-01")), on="2027-05-31"),), (MORE,), by=("Contract",)),
    Scenario("contract", "the same, the day after", (Seen(contract(ordered(line()), ordered(line(quantity=3.0, number=2, EndDate="2027-05-31"), EffectiveDate="2027-03-01")), on="2027-06-01"),), (ON,), by=("Contract",)),
    Scenario("contract", "another order takes seats away", (Seen(contract()), Seen(contract(ordered(line()), ordered(line(quantity=-2.0, number=2), EffectiveDate="2027-03-01")))), (FEWER,), by=("Contract",)),
    Scenario("contract", "another order takes seats away on a day to come", (Seen(contract(ordered(line()), ordered(line(quantity=-2.0, number=2), EffectiveDate="2027-03-01")), on="2027-02-28"),), (ON,), by=("Contract",)),
    Scenario("contract", "seats taken away of two orders, the newer one's first", (Seen(contract(ordered(line(quantity=2.0)), ordered(line(quantity=3.0, number=2), EffectiveDate="2027-02-01"), ordered(line(quantity=-4.0, number=3), EffectiveDate="2027-03-01"))),), ("PRO-100: on, 1 seats, until 2027-09-08",), by=("Contract",)),
    Scenario("contract", "one product of two is taken away", (Seen(contract(ordered(line()), ordered(line("team", 3.0, 2)))), Seen(contract(ordered(line()), ordered(line("team", 3.0, 2)), ordered(line("team", -3.0, 3), EffectiveDate="2027-03-01")))), (ON, "TEAM-YEAR: off, 3 seats, until 2027-09-08"), by=("Contract",)),
    Scenario("contract", "an order for the next term follows the one that is over", (Seen(contract(ordered(line(EndDate="2027-08-31"), EffectiveDate="2026-09-01"), ordered(line(quantity=8.0, number=2), EffectiveDate="2027-09-01"), EndDate="2028-08-31", ContractTerm=24.0)),), ("PRO-100: on, 8 seats, until 2028-09-08",), by=("Contract",)),
    Scenario("contract", "seats taken away in one term are there again in the next", (Seen(contract(ordered(line(EndDate="2027-08-31")), ordered(line(quantity=-2.0, number=2), EffectiveDate="2027-03-01"), ordered(line(number=3), EffectiveDate="2027-09-01"), EndDate="2028-08-31", ContractTerm=24.0)),), (LONGER,), by=("Contract",)),
    Scenario("contract", "its order is a draft again, with other seats", (Seen(contract()), Seen(contract(ordered(line(quantity=1.0), **DRAFT)))), (ON, REOPENED), by=("Contract",)),
    Scenario("contract", "the same, activated again", (Seen(contract()), Seen(contract(ordered(line(quantity=3.0), **DRAFT))), Seen(contract(ordered(line(quantity=3.0))))), (FEWER,), by=("Contract",)),
    *(
        Scenario("contract", f"{status}", (Seen(contract()), Seen(contract(**over(status)))), (ON, REOPENED), by=("Contract",))
        for status in ("Terminated", "Contract Terminated", "Expired", "Contract Expired", "Canceled", "Cancelled", "Discontinued")
    ),
    Scenario("contract", "a status of the org's own that is over", (Seen(contract()), Seen(contract(**over("Wound up")))), (ON, REOPENED), {"won_stages": ["Activated"]}, by=("Contract",)),
    Scenario("contract", "a renewal while the old one runs", (Seen(contract()), Seen(contract(), (follow_up(),), "2027-08-01")), (LONGER,), by=("Contract",)),
    Scenario("contract", "a renewal after the old one expired", (Seen(contract()), Seen(contract(**over("Expired"))), Seen(contract(**over("Expired")), (follow_up(),))), (LONGER,), by=("Contract",)),
    Scenario("contract", "a renewal that is terminated, of one that expired", (Seen(contract(**over("Expired")), (follow_up(),)), Seen(contract(**over("Expired")), (follow_up(**over("Terminated")),))), (LONGER, "task: renewal reopened, sale reopened"), by=("Contract",)),
    Scenario("contract", "a renewal whose order is a draft", (Seen(contract()), Seen(contract(), (follow_up(lines=[ordered(line(number=3), **DRAFT, EffectiveDate="2027-09-01")]),))), (ON, REOPENED), by=("Contract",)),
    Scenario("asset", "its usage ends on a day", (Seen(asset(UsageEndDate="2026-12-31")),), ("PRO-100: on, 5 seats, until 2027-01-08",), by=("Asset",)),
    Scenario("asset", "its usage end is moved later", (Seen(asset(UsageEndDate="2026-12-31")), Seen(asset(UsageEndDate="2027-12-31"))), ("PRO-100: on, 5 seats, until 2028-01-08",), by=("Asset",)),
    Scenario("asset", "its usage end is moved earlier", (Seen(asset(UsageEndDate="2027-12-31")), Seen(asset(UsageEndDate="2027-09-30"))), ("PRO-100: on, 5 seats, until 2027-10-08",), by=("Asset",)),
    Scenario("asset", "purchased and not installed yet, with an end", (Seen(asset(Status="Purchased", InstallDate=None, CreatedDate="2026-09-01T10:00:00.000+0000", UsageEndDate="2027-08-31")),), (ON,), by=("Asset",)),
    Scenario("asset", "without an install date, and made before the day that is set", (Seen(asset(InstallDate=None, CreatedDate="2025-12-31T10:00:00.000+0000", UsageEndDate="2027-08-31")),), ("nothing",), by=("Asset",)),
    Scenario("asset", "no quantity at all", (Seen(asset(Quantity=None)),), ("PRO-100: on, own number of seats, until 2027-09-08",), by=("Asset",)),
)  # fmt: skip
