"""Sales closed in Salesforce become licenses, by Opportunity and by Order: messages and reads over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import comparing, drift
from tests.connectors.salesforce.desk import Desk, a_desk

pytestmark = pytest.mark.timeout(60)
LINES = {"Opportunity": "OpportunityLineItem", "Order": "OrderItem"}
YEAR = "PRO-100: on, {} seats, until 2028-01-11"  # a year from 4 Jan 2027, and seven days of grace


@pytest.fixture(params=["Opportunity", "Order"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path, sells_by=request.param) as made:
        made.listen()
        yield made


# what is won is licensed


def test_a_sale_that_is_won_becomes_a_license_and_its_lines_are_told(desk: Desk) -> None:
    one = desk.sale(("PRO", 5), stage="won")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tell() == 1
    (line,) = desk.lines(one)
    (grant,) = desk.world.grants()
    told = (
        line["License_Entitlement__c"],
        line["License_Code__c"],
        line["License_Status__c"],
        line["License_Error__c"],
    )
    assert told == (grant["id"], grant["activationCodes"][0], "on", None)


def test_what_somebody_wrote_on_a_line_that_was_told_is_found_and_told_again_without_showing_the_code(
    desk: Desk,
) -> None:
    one, lines = desk.sale(("PRO", 5), stage="won"), LINES[desk.sells_by]
    desk.settle()
    desk.tell()
    assert [*comparing.find(desk.hub)] == []
    (line,) = desk.lines(one)
    code = line["License_Code__c"]
    desk.org.change(lines, line["Id"], License_Status__c="off", License_Code__c="AAAA", Quantity=7)
    desk.settle()  # another quantity on a line that is closed is a person's to judge; the license stays
    (found,) = [one for one in comparing.find(desk.hub) if one.kind == "edited"]
    assert found.at == f"crm/{lines}/{line['Id']}"
    assert "License_Status__c: found off, wanted on" in found.problem
    assert "License_Code__c: found (not shown), wanted (not shown)" in found.problem
    assert "Quantity" not in found.problem
    assert [*drift.apply(desk.hub.store, [found], "ann", "test")] == [found]
    assert desk.tell() == 1
    (line,) = desk.lines(one)
    assert (line["License_Status__c"], line["License_Code__c"]) == ("on", code)
    assert [one for one in comparing.find(desk.hub) if one.kind == "edited"] == []
    desk.org.hidden.add(f"{lines}.license_error__c".lower())  # an admin took the field away
    desk.org.change(lines, line["Id"], License_Status__c="off")
    assert {one.kind for one in comparing.find(desk.hub)} >= {"edited"}
    assert "unasked" not in {one.kind for one in comparing.find(desk.hub)}


def test_a_sale_that_is_not_won_grants_nothing(desk: Desk) -> None:
    one = desk.sale(("PRO", 5), stage="open")
    desk.settle()
    assert desk.license(one) == "nothing"
    assert desk.tasks() == set()
    assert desk.tell() == 0


def test_the_customer_is_the_one_that_the_account_names(desk: Desk) -> None:
    account = desk.account("Brisa Labs")
    desk.sale(account=account, stage="won")
    desk.sale(account=account, stage="won")
    desk.settle()
    (customer,) = desk.world.get_zentitle_customers()
    assert (customer["accountRefId"], customer["name"]) == (account, "Brisa Labs")


def test_lines_of_two_products_are_two_licenses_in_one_group(desk: Desk) -> None:
    one = desk.sale(("PRO", 5), ("TEAM", 3), ("PRO", 2), stage="won")
    desk.settle()
    assert desk.license(one) == f"{YEAR.format(7)}; TEAM-YEAR: on, 3 seats, until 2028-01-11"


def test_a_line_that_is_changed_after_the_sale_changes_the_license(desk: Desk) -> None:
    one = desk.sale(("PRO", 5), stage="won")
    desk.settle()
    desk.change_line(one, Quantity=8, License_End__c="2029-06-30")
    desk.world.settle()
    assert desk.license(one) == YEAR.format(5)  # nobody said so
    assert desk.sweep() > 0
    desk.settle()
    assert desk.license(one) == "PRO-100: on, 8 seats, until 2029-07-08"


# what is open again or lost


@pytest.mark.parametrize("stage", ["open", "lost"])
def test_a_sale_that_is_taken_back_is_a_task_and_never_switches_off(desk: Desk, stage: str) -> None:
    one = desk.sale(stage="won")
    desk.settle()
    desk.stage(one, stage)
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tasks() == {"sale reopened"}
    writes = desk.world.writes()
    desk.stage(one, "won")
    desk.settle()
    assert (desk.license(one), desk.tasks(), desk.world.writes()) == (YEAR.format(5), set(), writes)


def test_a_sale_that_was_deleted_is_a_task(desk: Desk) -> None:
    one = desk.sale(stage="won")
    desk.settle()
    desk.remove(one)
    desk.sweep()
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tasks() == {"gone"}


# renewals


@pytest.mark.parametrize("says", ["{}", "sf:{}"])
def test_a_renewal_that_says_what_it_renews_extends_that_license(desk: Desk, says: str) -> None:
    account = desk.account()
    first = desk.sale(("PRO", 5), account=account, stage="won")
    desk.settle()
    renewal = {"account": account, "on": "2028-01-04", "License_Renews__c": says.format(first)}
    second = desk.sale(("PRO", 8), stage="won", **renewal)
    desk.settle()
    third = desk.sale(("PRO", 6), stage="won", **(renewal | {"on": "2029-01-04", "License_Renews__c": second}))
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 6 seats, until 2030-01-11"
    assert (desk.license(second), desk.license(third)) == ("nothing", "nothing")
    assert desk.full_sweep() == 0


def test_a_renewal_that_says_nothing_is_a_sale_of_its_own(desk: Desk) -> None:
    account = desk.account()
    first = desk.sale(account=account, stage="won")
    second = desk.sale(account=account, stage="won", on="2028-01-04", Type="Renewal")
    desk.settle()
    assert desk.license(first) == YEAR.format(5)
    assert desk.license(second) == "PRO-100: on, 5 seats, until 2029-01-11"


def test_a_renewal_that_is_open_again_is_a_task_and_shortens_nothing(desk: Desk) -> None:
    first = desk.sale(stage="won")
    desk.settle()
    second = desk.sale(stage="won", on="2028-01-04", License_Renews__c=first)
    desk.settle()
    desk.stage(second, "open")
    desk.sweep()
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 5 seats, until 2029-01-11"
    assert "renewal reopened" in desk.tasks()


# what goes wrong on the way


def test_a_product_that_no_row_names_is_parked_and_its_line_says_so(desk: Desk) -> None:
    desk.products["HAT"] = desk.org.add("Product2", Name="Hat", ProductCode="HAT")["Id"]
    one = desk.sale(("HAT", 1), stage="won")
    desk.settle()
    assert desk.state(one).state == "parked"
    assert desk.tell() == 1
    (line,) = desk.lines(one)
    assert line["License_Status__c"] == "waiting"
    assert "HAT" in line["License_Error__c"]


def test_what_was_written_back_is_not_written_again_and_makes_no_circle(desk: Desk) -> None:
    one = desk.sale(stage="won")
    desk.settle()
    assert desk.tell() == 1
    stamp, writes = desk.lines(one)[0]["SystemModstamp"], desk.world.writes()
    for _ in range(3):
        desk.sweep()  # our own write is in the list of changes
        desk.settle()
        assert desk.tell() == 0
    assert (desk.lines(one)[0]["SystemModstamp"], desk.world.writes()) == (stamp, writes)
    assert [row.type for row in desk.receipts()] == [desk.sells_by] * 2  # and no message told of it


def test_a_lost_message_is_made_good_by_the_list_of_changes(desk: Desk) -> None:
    desk.sweep()
    desk.org.outbound.rules.clear()
    one = desk.sale(stage="won")
    desk.settle()
    assert desk.license(one) == "nothing"
    assert desk.sweep() > 0
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_the_first_start_finds_what_was_won_since_the_day_that_is_set_and_nothing_older(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    old = desk.sale(stage="won", on="2025-12-31")
    new = desk.sale(stage="won")
    desk.sweep()
    desk.settle()
    assert (desk.license(old), desk.license(new)) == ("nothing", YEAR.format(5))


def test_the_first_start_finds_renewals_too(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    first = desk.sale(stage="won")
    second = desk.sale(stage="won", on="2028-01-04", License_Renews__c=first)
    assert desk.full_sweep() == 2
    desk.settle()
    assert (desk.license(first), desk.license(second)) == ("PRO-100: on, 5 seats, until 2029-01-11", "nothing")
    assert desk.full_sweep() == 0


def test_more_seats_of_a_renewal_are_found_by_the_full_list(desk: Desk) -> None:
    first = desk.sale(stage="won")
    second = desk.sale(stage="won", on="2028-01-04", License_Renews__c=first)
    desk.settle()
    desk.org.outbound.rules.clear()
    desk.change_line(first, Quantity=8)  # until the renewal begins the older seats count
    desk.change_line(second, Quantity=8)
    assert desk.full_sweep() == 2
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 8 seats, until 2029-01-11"


def test_a_renewal_of_a_sale_before_the_day_that_is_set_is_a_sale_of_its_own(desk: Desk) -> None:
    old = desk.sale(stage="won", on="2025-12-31")
    new = desk.sale(stage="won", License_Renews__c=old)
    desk.settle()
    assert (desk.license(old), desk.license(new)) == ("nothing", YEAR.format(5))


def test_a_read_that_lags_its_message_is_made_good_by_the_second_look(desk: Desk) -> None:
    one = desk.sale(stage="open")
    desk.settle()
    desk.org.stale_reads = 2
    desk.stage(one, "won")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_the_org_s_limit_is_waited_for_and_nothing_is_lost(desk: Desk) -> None:
    desk.org.api_limit = 0
    one = desk.sale(stage="won")
    desk.org.outbound.deliveries.drain()
    desk.world.work()
    assert "REQUEST_LIMIT_EXCEEDED" in desk.state(one).reason
    desk.org.api_limit = 100_000
    desk.world.replay_all()
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_another_org_s_credentials_and_a_sandbox_for_production_license_nothing(tmp_path: Path) -> None:
    with a_desk(tmp_path, more="") as desk:
        desk.listen()
        desk.org.records.tables["Organization"][desk.org.org_id[:15]]["IsSandbox"] = False
        one = desk.sale(stage="won")
        desk.org.outbound.deliveries.drain()
        desk.world.work()
        assert "livemode" in desk.state(one).reason
        assert desk.license(one) == "nothing"
