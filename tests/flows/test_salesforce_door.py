"""What Salesforce sends to the hub's door: acknowledged when it is kept, refused where it is not the org's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connectors.salesforce.emulator_outbound import ACK, envelope
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


def test_I1_an_acknowledgement_is_sent_for_what_is_committed_and_each_time_the_same_message_comes(desk: Desk) -> None:
    row = {"Id": desk.sale(stage="won"), "SystemModstamp": "2027-01-04T10:00:00.000+0000"}
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
    ids = [desk.sale(account=account) for _ in range(100)]
    desk.listen()
    with desk.org.outbound.together():
        for id_ in ids:
            desk.stage(id_, "won")
    counts = desk.org.outbound.deliveries.drain()
    assert counts["attempts"] == 1
    assert len(desk.receipts()) == 100
    assert {desk.state(id_).state for id_ in ids} == {"due"}


def test_I2_messages_doubled_and_out_of_order_make_one_license(desk: Desk) -> None:
    desk.org.outbound.deliveries.configure({"duplicate": 0.9, "reorder": 0.9, "reorder_s": 0.05})
    one = desk.sale(stage="won")
    for stage in ("open", "won", "lost", "won"):
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
    one = desk.sale(stage="won")
    desk.settle()
    assert desk.license(one) == YEAR.format(5)
    assert {row.outcome for row in desk.receipts()} == {"accepted"}


def test_a_callout_of_another_org_is_quarantined(desk: Desk) -> None:
    desk.org.outbound.rules.clear()
    desk.org.outbound.org_id = "00D000000000009AAA"
    desk.org.outbound.callouts.append(("Opportunity", f"{desk.hub_url}/webhooks/crm", SECRET))
    desk.sale(stage="won")
    desk.settle()
    assert {row.outcome for row in desk.receipts()} == {"quarantined"}
    assert desk.world.grants() == []
