"""Sales closed in Salesforce become licenses: messages, callouts and reads over HTTP, an emulated Zentitle2 behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connectors.salesforce.emulator_outbound import ACK, envelope
from hub import comparing, drift
from tests.connectors.salesforce.desk import SECRET, Desk, a_desk

pytestmark = pytest.mark.timeout(60)
YEAR = "PRO-100: on, {} seats, until 2028-01-11"  # a year from 4 Jan 2027, and seven days of grace
SOAP = {"Content-Type": "text/xml; charset=utf-8"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as made:
        made.listen()
        yield made


def post(desk: Desk, body: bytes, url: str = "") -> requests.Response:
    return requests.post(url or desk.door, data=body, headers=SOAP, timeout=10)


def the_log(desk: Desk, what: str) -> int:
    """How many requests of this kind the org has had."""
    return sum(what in line for line in map(str, desk.org.log))


# what is won is licensed


def test_a_sale_that_is_won_becomes_a_license_and_its_lines_are_told(desk: Desk) -> None:
    one = desk.opportunity(("PRO", 5), stage="Closed Won")
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
    one = desk.opportunity(("PRO", 5), stage="Closed Won")
    desk.settle()
    desk.tell()
    assert [*comparing.find(desk.hub)] == []
    (line,) = desk.lines(one)
    code = line["License_Code__c"]
    desk.org.change("OpportunityLineItem", line["Id"], License_Status__c="off", License_Code__c="AAAA", Quantity=7)
    desk.settle()  # another quantity on a line that is closed is a person's to judge; the license stays
    (found,) = [one for one in comparing.find(desk.hub) if one.kind == "edited"]
    assert found.at == f"crm/OpportunityLineItem/{line['Id']}"
    assert "License_Status__c: found off, wanted on" in found.problem
    assert "License_Code__c: found (not shown), wanted (not shown)" in found.problem
    assert "Quantity" not in found.problem
    assert [*drift.apply(desk.hub.store, [found], "ann", "test")] == [found]
    assert desk.tell() == 1
    (line,) = desk.lines(one)
    assert (line["License_Status__c"], line["License_Code__c"]) == ("on", code)
    assert [one for one in comparing.find(desk.hub) if one.kind == "edited"] == []
    desk.org.hidden.add("opportunitylineitem.license_error__c")  # an admin took the field away
    desk.org.change("OpportunityLineItem", line["Id"], License_Status__c="off")
    assert {one.kind for one in comparing.find(desk.hub)} >= {"edited"}
    assert "unasked" not in {one.kind for one in comparing.find(desk.hub)}


def test_a_sale_that_is_not_won_grants_nothing(desk: Desk) -> None:
    one = desk.opportunity(("PRO", 5), stage="Negotiation")
    desk.settle()
    assert desk.license(one) == "nothing"
    assert desk.tasks() == set()
    assert desk.tell() == 0


def test_the_customer_is_the_one_that_the_account_names(desk: Desk) -> None:
    account = desk.account("Brisa Labs")
    desk.opportunity(account=account, stage="Closed Won")
    desk.opportunity(account=account, stage="Closed Won")
    desk.settle()
    (customer,) = desk.world.get_zentitle_customers()
    assert (customer["accountRefId"], customer["name"]) == (account, "Brisa Labs")


def test_lines_of_two_products_are_two_licenses_in_one_group(desk: Desk) -> None:
    one = desk.opportunity(("PRO", 5), ("TEAM", 3), ("PRO", 2), stage="Closed Won")
    desk.settle()
    assert desk.license(one) == f"{YEAR.format(7)}; TEAM-YEAR: on, 3 seats, until 2028-01-11"


def test_a_line_that_is_changed_after_the_sale_changes_the_license(desk: Desk) -> None:
    one = desk.opportunity(("PRO", 5), stage="Closed Won")
    desk.settle()
    desk.org.change("OpportunityLineItem", desk.lines(one)[0]["Id"], Quantity=8, License_End__c="2029-06-30")
    desk.world.settle()
    assert desk.license(one) == YEAR.format(5)  # nobody said so
    assert desk.sweep() > 0
    desk.settle()
    assert desk.license(one) == "PRO-100: on, 8 seats, until 2029-07-08"


# what is open again or lost


@pytest.mark.parametrize("stage", ["Negotiation", "Closed Lost"])
def test_a_sale_that_is_taken_back_is_a_task_and_never_switches_off(desk: Desk, stage: str) -> None:
    one = desk.opportunity(stage="Closed Won")
    desk.settle()
    desk.stage(one, stage)
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tasks() == {"sale reopened"}
    writes = desk.world.writes()
    desk.stage(one, "Closed Won")
    desk.settle()
    assert (desk.license(one), desk.tasks(), desk.world.writes()) == (YEAR.format(5), set(), writes)


def test_a_sale_that_was_deleted_is_a_task(desk: Desk) -> None:
    one = desk.opportunity(stage="Closed Won")
    desk.settle()
    desk.org.remove("Opportunity", one)
    desk.sweep()
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert desk.tasks() == {"gone"}


# renewals


@pytest.mark.parametrize("says", ["{}", "sf:{}"])
def test_a_renewal_that_says_what_it_renews_extends_that_license(desk: Desk, says: str) -> None:
    account = desk.account()
    first = desk.opportunity(("PRO", 5), account=account, stage="Closed Won")
    desk.settle()
    renewal = {"account": account, "CloseDate": "2028-01-04", "License_Renews__c": says.format(first)}
    second = desk.opportunity(("PRO", 8), stage="Closed Won", **renewal)
    desk.settle()
    third = desk.opportunity(
        ("PRO", 6), stage="Closed Won", **(renewal | {"CloseDate": "2029-01-04", "License_Renews__c": second})
    )
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 6 seats, until 2030-01-11"
    assert (desk.license(second), desk.license(third)) == ("nothing", "nothing")
    assert desk.full_sweep() == 0


def test_a_renewal_that_says_nothing_is_a_sale_of_its_own(desk: Desk) -> None:
    account = desk.account()
    first = desk.opportunity(account=account, stage="Closed Won")
    second = desk.opportunity(account=account, stage="Closed Won", CloseDate="2028-01-04", Type="Renewal")
    desk.settle()
    assert desk.license(first) == YEAR.format(5)
    assert desk.license(second) == "PRO-100: on, 5 seats, until 2029-01-11"


def test_a_renewal_that_is_open_again_is_a_task_and_shortens_nothing(desk: Desk) -> None:
    first = desk.opportunity(stage="Closed Won")
    desk.settle()
    second = desk.opportunity(stage="Closed Won", CloseDate="2028-01-04", License_Renews__c=first)
    desk.settle()
    desk.stage(second, "Negotiation")
    desk.sweep()
    desk.settle()
    assert desk.license(first) == "PRO-100: on, 5 seats, until 2029-01-11"
    assert "renewal reopened" in desk.tasks()


# what goes wrong on the way


def test_a_product_that_no_row_names_is_parked_and_its_line_says_so(desk: Desk) -> None:
    desk.products["HAT"] = desk.org.add("Product2", Name="Hat", ProductCode="HAT")["Id"]
    one = desk.opportunity(("HAT", 1), stage="Closed Won")
    desk.settle()
    assert desk.state(one).state == "parked"
    assert desk.tell() == 1
    (line,) = desk.lines(one)
    assert line["License_Status__c"] == "waiting"
    assert "HAT" in line["License_Error__c"]


def test_what_was_written_back_is_not_written_again_and_makes_no_circle(desk: Desk) -> None:
    one = desk.opportunity(stage="Closed Won")
    desk.settle()
    assert desk.tell() == 1
    stamp, writes = desk.lines(one)[0]["SystemModstamp"], desk.world.writes()
    for _ in range(3):
        desk.sweep()  # our own write is in the list of changes
        desk.settle()
        assert desk.tell() == 0
    assert (desk.lines(one)[0]["SystemModstamp"], desk.world.writes()) == (stamp, writes)
    assert [row.type for row in desk.receipts()] == ["Opportunity"] * 2  # and no message told of it


def test_a_lost_message_is_made_good_by_the_list_of_changes(desk: Desk) -> None:
    desk.sweep()
    desk.org.outbound.rules.clear()
    one = desk.opportunity(stage="Closed Won")
    desk.settle()
    assert desk.license(one) == "nothing"
    assert desk.sweep() > 0
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_the_first_start_finds_what_was_won_since_the_day_that_is_set_and_nothing_older(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    old = desk.opportunity(stage="Closed Won", CloseDate="2025-12-31")
    new = desk.opportunity(stage="Closed Won")
    desk.sweep()
    desk.settle()
    assert (desk.license(old), desk.license(new)) == ("nothing", YEAR.format(5))


def test_a_renewal_of_a_sale_before_the_day_that_is_set_is_a_sale_of_its_own(desk: Desk) -> None:
    old = desk.opportunity(stage="Closed Won", CloseDate="2025-12-31")
    new = desk.opportunity(stage="Closed Won", License_Renews__c=old)
    desk.settle()
    assert (desk.license(old), desk.license(new)) == ("nothing", YEAR.format(5))


def test_a_read_that_lags_its_message_is_made_good_by_the_second_look(desk: Desk) -> None:
    one = desk.opportunity(stage="Negotiation")
    desk.settle()
    desk.org.stale_reads = 2
    desk.stage(one, "Closed Won")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


def test_the_org_s_limit_is_waited_for_and_nothing_is_lost(desk: Desk) -> None:
    desk.org.api_limit = 0
    one = desk.opportunity(stage="Closed Won")
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
        one = desk.opportunity(stage="Closed Won")
        desk.org.outbound.deliveries.drain()
        desk.world.work()
        assert "livemode" in desk.state(one).reason
        assert desk.license(one) == "nothing"


# the door


def test_I1_an_acknowledgement_is_sent_for_what_is_committed_and_each_time_the_same_message_comes(desk: Desk) -> None:
    row = {"Id": desk.opportunity(stage="Closed Won"), "SystemModstamp": "2027-01-04T10:00:00.000+0000"}
    desk.settle()
    body = envelope(desk.org.org_id, "Opportunity", [("04l000000000001AAA", row)])
    for _ in range(3):
        answer = post(desk, body)
        assert (answer.status_code, bool(ACK.search(answer.content))) == (200, True)
        assert answer.headers["Content-Type"].startswith("text/xml")
    assert [one.external_id for one in desk.receipts()].count("04l000000000001AAA") == 1


def test_a_hundred_sales_of_one_transaction_come_in_one_message_and_each_is_looked_at(desk: Desk) -> None:
    account = desk.account()
    desk.org.outbound.rules.clear()
    ids = [desk.opportunity(account=account) for _ in range(100)]
    desk.listen()
    with desk.org.outbound.together():
        for id_ in ids:
            desk.stage(id_, "Closed Won")
    counts = desk.org.outbound.deliveries.drain()
    assert counts["attempts"] == 1
    assert len(desk.receipts()) == 100
    assert {desk.state(id_).state for id_ in ids} == {"due"}


def test_I2_messages_doubled_and_out_of_order_make_one_license(desk: Desk) -> None:
    desk.org.outbound.deliveries.configure({"duplicate": 0.9, "reorder": 0.9, "reorder_s": 0.05})
    one = desk.opportunity(stage="Closed Won")
    for stage in ("Negotiation", "Closed Won", "Closed Lost", "Closed Won"):
        desk.stage(one, stage)
    desk.settle()
    assert desk.license(one) == YEAR.format(5)


@pytest.mark.parametrize("wrong", ["path", "no path", "org", "cut off", "bomb"])
def test_S10_S11_what_is_not_the_org_s_is_neither_acknowledged_nor_kept(desk: Desk, wrong: str) -> None:
    row = {"Id": "006000000000009AAA"}
    body = envelope(desk.org.org_id, "Opportunity", [("04l000000000001AAA", row)])
    url = desk.door
    match wrong:
        case "path":
            url += "x"
        case "no path":
            url = f"{desk.hub_url}/webhooks/crm"
        case "org":
            body = envelope("00D000000000009AAA", "Opportunity", [("04l000000000001AAA", row)])
        case "cut off":
            body = body[:-30]
        case "bomb":
            body = body.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "b">]>', 1)
    answer = post(desk, body, url)
    assert (answer.status_code, b"Ack" in answer.content) == (401, False)
    assert desk.receipts() == []


def test_a_record_that_can_t_be_written_is_not_acknowledged(desk: Desk) -> None:
    body = envelope(desk.org.org_id, "Opportunity", [("04l000000000001AAA", {"Id": "006000000000009AAA"})])
    other = sqlite3.connect(desk.world.config.parent / "hub.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = post(desk, body)
    other.execute("ROLLBACK")
    other.close()
    assert (answer.status_code, b"<Ack>false</Ack>" in answer.content) == (503, True)
    assert ACK.search(post(desk, body).content)


def test_a_callout_leads_to_the_same_look(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    desk.org.outbound.callouts.append(("Opportunity", f"{desk.hub_url}/webhooks/crm", SECRET))
    one = desk.opportunity(stage="Closed Won")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert {row.outcome for row in desk.receipts()} == {"accepted"}


def test_a_callout_of_another_org_is_quarantined(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    desk.org.outbound.org_id = "00D000000000009AAA"
    desk.org.outbound.callouts.append(("Opportunity", f"{desk.hub_url}/webhooks/crm", SECRET))
    desk.opportunity(stage="Closed Won")
    desk.settle()
    assert {row.outcome for row in desk.receipts()} == {"quarantined"}
    assert desk.world.grants() == []
