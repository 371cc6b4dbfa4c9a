"""Contracts of an org become licenses: activated, amended by orders, over, renewed; over HTTP, Zentitle2 behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.salesforce.desk import Desk, a_desk

pytestmark = pytest.mark.timeout(60)
YEAR = "PRO-100: on, {} seats, until 2028-01-11"  # a year from 4 Jan 2027, and seven days of grace
LONGER = "PRO-100: on, 5 seats, until 2029-01-11"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path, sells_by="Contract") as made:
        made.listen()
        made.listen(name="Order")
        yield made


def items(desk: Desk, contract: str) -> list[dict[str, object]]:
    orders = [one["Id"] for one in desk.org.rows("Order") if one["ContractId"] == contract]
    return [item for order in orders for item in desk.items(order)]


def test_an_activated_contract_becomes_a_license_and_its_order_products_are_told(desk: Desk) -> None:
    one = desk.contract(("PRO", 5), ("TEAM", 3))
    desk.settle()
    assert desk.license(one) == f"{YEAR.format(5)}; TEAM-YEAR: on, 3 seats, until 2028-01-11"
    assert desk.tell() == 2
    grants = {grant["id"]: grant["activationCodes"][0] for grant in desk.world.grants()}
    told = items(desk, one)
    assert {item["License_Entitlement__c"]: item["License_Code__c"] for item in told} == grants
    assert [(item["License_Status__c"], item["License_Error__c"]) for item in told] == [("on", None)] * 2


def test_a_contract_without_an_activated_order_grants_nothing_until_there_is_one(desk: Desk) -> None:
    one = desk.contract()
    order = desk.order(one, ("PRO", 5), status="Draft")
    desk.settle()
    assert (desk.license(one), desk.tasks()) == ("nothing", set())
    desk.org.change("Order", order, Status="Activated")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_an_order_of_no_contract_is_no_sale_and_no_task(desk: Desk) -> None:
    order = desk.order("", ("PRO", 5))
    desk.sweep()
    desk.settle()
    assert (desk.license(order), desk.tasks(), desk.world.grants()) == ("nothing", set(), [])


def test_further_orders_add_seats_and_take_them_away(desk: Desk) -> None:
    one = desk.contract(("PRO", 5))
    desk.settle()
    desk.order(one, ("PRO", 3))
    desk.settle()
    assert desk.license(one) == YEAR.format(8)
    desk.order(one, ("PRO", -6))
    desk.settle()
    assert desk.license(one) == YEAR.format(2)
    assert desk.full_sweep() == 0


def test_a_contract_of_which_every_seat_is_taken_away_is_switched_off_and_comes_back_with_the_next(desk: Desk) -> None:
    one = desk.contract(("PRO", 5))
    desk.settle()
    desk.order(one, ("PRO", -5))
    desk.settle()
    assert desk.license(one) == "PRO-100: off, 5 seats, until 2028-01-11"
    desk.order(one, ("PRO", 4))
    desk.settle()
    assert desk.license(one) == YEAR.format(4)


def test_an_order_that_takes_away_more_than_there_is_changes_nothing_and_the_lines_say_why(desk: Desk) -> None:
    one = desk.contract(("PRO", 5))
    desk.settle()
    desk.order(one, ("PRO", -6))
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.state(one).state == "dead"
    assert desk.tell() == 1
    (sold, _) = items(desk, one)
    assert sold["License_Status__c"] == "refused"
    assert "takes 6 of PRO away, and 5 run" in str(sold["License_Error__c"])


def test_an_amendment_that_no_message_told_is_found_by_the_list_of_changes(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    one = desk.contract()
    order = desk.order(one, ("PRO", 5), status="Draft")
    desk.sweep()
    desk.settle()
    desk.age("Contract", "OrderItem")
    desk.org.change("Order", order, Status="Activated")  # the order alone is in the list
    assert desk.sweep() == 1
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    desk.org.change("Contract", one, ContractTerm=24)
    desk.sweep()
    desk.settle()
    assert desk.license(one) == LONGER


def test_an_order_that_is_a_draft_again_is_a_task_and_cuts_nothing_until_it_is_activated(desk: Desk) -> None:
    one = desk.contract(("PRO", 5))
    desk.settle()
    (item,) = items(desk, one)
    desk.org.change("Order", str(item["OrderId"]), Status="Draft")
    desk.org.change("OrderItem", str(item["Id"]), Quantity=3)
    desk.settle()
    assert (desk.license(one), desk.tasks()) == (YEAR.format(5), {"sale reopened"})
    assert desk.full_sweep() == 0
    desk.org.change("Order", str(item["OrderId"]), Status="Activated")
    desk.settle()
    assert (desk.license(one), desk.tasks()) == (YEAR.format(3), set())


def test_a_contract_that_is_over_is_a_task_and_never_switches_off(desk: Desk) -> None:
    one = desk.contract(("PRO", 5))
    desk.settle()
    writes = desk.world.writes()
    for status in ("Terminated", "Expired", "Canceled"):
        desk.org.change("Contract", one, Status=status)
        desk.settle()
        assert (desk.license(one), desk.tasks()) == (YEAR.format(5), {"sale reopened"})
    desk.org.change("Contract", one, Status="Activated")
    desk.settle()
    assert (desk.license(one), desk.tasks(), desk.world.writes()) == (YEAR.format(5), set(), writes)


@pytest.mark.parametrize("status", ["Activated", "Expired"])
def test_a_contract_that_renews_another_extends_its_license_whether_that_runs_or_is_over(
    desk: Desk, status: str
) -> None:
    account = desk.account()
    first = desk.contract(("PRO", 8), account=account)
    desk.settle()
    desk.org.change("Contract", first, Status=status)
    desk.settle()
    second = desk.contract(("PRO", 8), account=account, on="2028-01-04", License_Renews__c=first)
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 8 seats, until 2029-01-11"
    assert (desk.license(second), desk.tasks()) == ("nothing", set())
    assert desk.tell() == 1
    assert desk.full_sweep() == 0


def test_a_renewal_that_is_terminated_is_a_task_and_shortens_nothing(desk: Desk) -> None:
    first = desk.contract(("PRO", 5))
    desk.settle()
    second = desk.contract(("PRO", 5), on="2028-01-04", License_Renews__c=f"sf:{first}")
    desk.settle()
    desk.org.change("Contract", second, Status="Terminated")
    desk.settle()
    desk.sweep()
    desk.settle()
    assert desk.license(first) == LONGER
    assert "renewal reopened" in desk.tasks()


def test_a_product_that_no_row_names_is_parked_and_its_order_product_says_so(desk: Desk) -> None:
    desk.products["HAT"] = desk.org.add("Product2", Name="Hat", ProductCode="HAT")["Id"]
    one = desk.contract(("HAT", 1))
    desk.settle()
    assert desk.state(one).state == "parked"
    assert desk.tell() == 1
    (item,) = items(desk, one)
    assert item["License_Status__c"] == "waiting"
    assert "HAT" in str(item["License_Error__c"])


def test_the_first_start_finds_contracts_since_the_day_that_is_set_and_nothing_older(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    old = desk.contract(("PRO", 5), on="2025-12-31")
    new = desk.contract(("PRO", 5))
    late = desk.contract(("PRO", 5), on="2028-01-04", License_Renews__c=new)
    desk.org.change("Contract", new, Status="Expired")
    assert desk.full_sweep() == 2  # the license, and what renews it
    desk.settle()
    assert [desk.license(one) for one in (old, new, late)] == ["nothing", LONGER, "nothing"]
