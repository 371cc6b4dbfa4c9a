"""Assets of an org become licenses, each a line of its own: over HTTP, an emulated Zentitle2 behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.salesforce.desk import Desk, a_desk

pytestmark = pytest.mark.timeout(60)
YEAR = "PRO-100: on, {} seats, until 2028-01-11"  # a year from 4 Jan 2027, and seven days of grace


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path, sells_by="Asset") as made:
        made.listen()
        yield made


def told(desk: Desk, id_: str) -> tuple[Any, ...]:
    """What the hub wrote to the asset."""
    (found,) = [one for one in desk.org.rows("Asset") if one["Id"] == id_]
    names = ("License_Entitlement__c", "License_Code__c", "License_Status__c", "License_Error__c")
    return tuple(found[name] for name in names)


def test_an_asset_that_is_made_becomes_a_license_and_is_told(desk: Desk) -> None:
    one = desk.asset()
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tell() == 1
    (grant,) = desk.world.grants()
    assert told(desk, one) == (grant["id"], grant["activationCodes"][0], "on", None)


def test_two_assets_of_one_account_are_two_licenses_of_one_customer(desk: Desk) -> None:
    account = desk.account()
    one, other = desk.asset(account=account), desk.asset("TEAM", account=account, Quantity=3)
    desk.settle()
    assert [desk.license(id_) for id_ in (one, other)] == [
        YEAR.format(5),
        "TEAM-YEAR: on, 3 seats, until 2028-01-11",
    ]
    assert len(desk.world.get_zentitle_customers()) == 1


def test_another_quantity_is_another_number_of_seats(desk: Desk) -> None:
    one = desk.asset()
    desk.settle()
    for seats in (8, 3):
        desk.org.change("Asset", one, Quantity=seats)
        desk.settle()
        assert desk.license(one) == YEAR.format(seats)


def test_a_usage_end_that_is_moved_moves_the_license_s_later_or_earlier(desk: Desk) -> None:
    one = desk.asset(UsageEndDate="2027-12-31")
    desk.settle()
    for end, until in (("2028-12-31", "2029-01-08"), ("2027-06-30", "2027-07-08")):
        desk.org.change("Asset", one, UsageEndDate=end)
        desk.settle()
        assert desk.license(one) == f"PRO-100: on, 5 seats, until {until}"


def test_an_obsolete_asset_is_a_task_and_never_switches_off(desk: Desk) -> None:
    one = desk.asset()
    desk.settle()
    writes = desk.world.writes()
    desk.org.change("Asset", one, Status="Obsolete")
    desk.settle()
    assert (desk.license(one), desk.tasks()) == (YEAR.format(5), {"sale reopened"})
    desk.org.change("Asset", one, Status="Installed")
    desk.settle()
    assert (desk.license(one), desk.tasks(), desk.world.writes()) == (YEAR.format(5), set(), writes)


def test_an_asset_that_was_deleted_is_a_task(desk: Desk) -> None:
    one = desk.asset()
    desk.settle()
    desk.org.remove("Asset", one)
    desk.sweep()
    desk.settle()
    assert (desk.license(one), desk.tasks()) == (YEAR.format(5), {"gone"})


def test_an_asset_of_a_product_that_no_row_names_is_parked_and_says_so(desk: Desk) -> None:
    desk.products["HAT"] = desk.org.add("Product2", Name="Hat", ProductCode="HAT")["Id"]
    one = desk.asset("HAT")
    desk.settle()
    assert desk.state(one).state == "parked"
    assert desk.tell() == 1
    *_, state, why = told(desk, one)
    assert (state, "HAT" in why) == ("waiting", True)


def test_an_asset_that_renews_another_extends_its_license(desk: Desk) -> None:
    account = desk.account()
    first = desk.asset(account=account)
    desk.settle()
    second = desk.asset(account=account, InstallDate="2028-01-04", License_Renews__c=first)
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 5 seats, until 2029-01-11"
    assert desk.license(second) == "nothing"
    assert desk.full_sweep() == 0


def test_what_was_written_back_makes_no_circle(desk: Desk) -> None:
    one = desk.asset()
    desk.settle()
    assert desk.tell() == 1
    writes = desk.world.writes()
    for _ in range(2):
        assert desk.sweep() > 0  # our own write is in the list of changes
        desk.settle()
        assert desk.tell() == 0
    assert (desk.license(one), desk.world.writes()) == (YEAR.format(5), writes)


def test_the_first_start_finds_assets_since_the_day_that_is_set_also_without_an_install_date(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    old = desk.asset(InstallDate="2025-12-31")
    new = desk.asset(InstallDate=None, UsageEndDate="2028-01-03")
    assert desk.full_sweep() == 1
    desk.settle()
    assert (desk.license(old), desk.license(new)) == ("nothing", YEAR.format(5))


def test_assets_that_can_t_be_read_keep_the_full_list_from_no_other_and_are_seen(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    no_start, no_account = desk.asset(InstallDate=None), desk.asset()
    early, typo = desk.asset(UsageEndDate="2026-12-31"), desk.asset(License_Renews__c="the old one")
    desk.org.change("Asset", no_account, AccountId=None)
    well = desk.asset()
    assert desk.full_sweep() == 5
    desk.settle()
    assert desk.license(well) == YEAR.format(5)
    reasons = [desk.state(one).reason for one in (no_start, no_account, early, typo)]
    said = ["has no start", "AccountId", "before it starts", "what it renews"]
    assert [word in reason for word, reason in zip(said, reasons, strict=True)] == [True] * 4
