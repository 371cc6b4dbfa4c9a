"""The whole story of one customer's seats: webhooks at the door, days, a judgement, the board's row, the CRM's record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulation import serving
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.zentitle.emulator_webhooks import signature
from hub import business, polling, telling
from hub.collecting import closing, portfolio, summarizing
from hub.collecting.judges import judges
from hub.collecting.listing import Listing
from hub.store import seats
from hub.usage.seatdays import SeatDay
from hub.web.app import create_app
from hub.wiring import Hub
from tests.hub.browsing import Browser, served, text_of
from tests.seating import FAST, hear
from tests.world import World

pytestmark = pytest.mark.timeout(120)
CRM = """
[connections.crm]
kind = "salesforce"
base_url = "{url}"
consumer_key = "sandbox-consumer"
consumer_secret = "sandbox-secret"
rate_per_s = 5000
"""
SEATS, BEFORE, AFTER = 20, 18, 8  # licensed; in use at first; in use later
STEPPED_DOWN, ASKED = 182, 280  # days after the first


class Customer:
    """Acme, 20 seats for a year, known to Stripe, Zentitle2 and Salesforce; what Zentitle2 posts comes in at the door."""

    def __init__(self, folder: Path, org: SalesforceEmulator, url: str) -> None:
        self.org, self.world = org, World(folder, f"sqlite:///{folder}/hub.sqlite", more=CRM.format(url=url))
        opened = self.world.hub.settings.hub.model_copy(update={"console": "open"})
        self.hub: Hub = replace(self.world.hub, settings=self.world.hub.settings.model_copy(update={"hub": opened}))
        self._long_leases()
        self.door, self.told = create_app(self.hub).test_client(), set[str]()
        self.account = str(org.add("Account", Name="Acme")["Id"])
        self.world.buy("PRO-100", SEATS, self.world.customer("Acme Ltd", customer_ref=self.account))
        self.world.deliver(self.world.events())
        assert self.world.settle()
        (grant,) = self.world.grants()
        self.entitlement: str = grant["id"]
        now = self.now()
        self.sleep(timedelta(days=1) + datetime(now.year, now.month, now.day, 6, tzinfo=UTC) - now)
        self.first = self.now().date()

    def _long_leases(self) -> None:
        """A seat that is not given back stays in use: so a webhook tells of it for months."""
        products = self.world.zentitle.tenant.products
        for one in products.rows():
            products.put(one["id"], one | {"leasePeriod": {"type": "year", "count": 2}})

    def now(self) -> datetime:
        return self.world.zentitle.clock.now()

    def sleep(self, step: timedelta) -> None:
        """Business time passes, at the vendors and in the record alike."""
        clock = self.world.zentitle.clock
        clock.advance(step)
        business.move(self.hub.store, self.hub.settings, clock.offset.total_seconds())

    def hold(self, count: int) -> None:
        """So many seats are in use from now on, and the hub has been told so by webhooks."""
        steps = [{"orderRefId": self.world.grants()[0]["orderRefId"], "at": self.now().isoformat(), "seats": count}]
        assert self.world.zentitle_admin("use", steps=steps) == {"denied": 0}
        fresh = [one for one in self.world.zentitle_admin("events") if one["eventId"] not in self.told]
        self.told |= {one["eventId"] for one in fresh}
        for post in fresh:
            body = json.dumps(post).encode()
            signed = {
                "N-Signature": signature(body, self.world.zentitle.signing_key),
                "Content-Type": "application/json",
            }
            answer = self.door.post("/webhooks/zentitle", data=body, headers=signed)
            assert answer.status_code == 200, answer.text

    def night(self) -> None:
        """What the clock does: news is heard and counted, the vendor's list is read, days that are over are closed."""
        hear(self.hub)
        polling.poll(self.hub.shop, "zentitle", FAST, Listing(collector=self.hub.collector))
        closing.close_days(self.hub.collector)

    def live_until(self, day: int) -> None:
        """Days go by up to this one after the first; the vendor's lists were read each hour, and told nothing new."""
        while (self.now().date() - self.first).days < day:
            hours = [self.now().timestamp() + 3600 * n for n in range(1, 7 * 24)]
            self.hub.store.write(lambda conn, at=hours: seats.watch(conn, "zentitle", at))  # type: ignore[misc]
            self.sleep(timedelta(days=7))
            self.night()

    def days(self) -> list[SeatDay]:
        """What is on record, from the first day on."""
        with self.hub.store.read() as conn:
            last = self.now().date()
            return list(seats.days_of(conn, [self.entitlement], self.first, last).values())

    def row(self, name: str) -> Any:
        (row,) = self.org.rows(name)
        return row

    def close(self) -> None:
        self.hub.drawer.close()
        self.world.close()


@pytest.fixture
def customer(tmp_path: Path) -> Iterator[Customer]:
    org = SalesforceEmulator()
    with serving(org) as url:
        made = Customer(tmp_path, org, url)
        yield made
        made.close()


def test_seats_told_by_webhooks_become_days_a_judgement_a_row_of_the_board_and_a_record_of_the_crm(
    customer: Customer,
) -> None:
    with served(customer.hub) as base:
        customer.night()
        customer.hold(BEFORE)
        customer.live_until(STEPPED_DOWN)
        customer.hold(AFTER)
        customer.live_until(ASKED)
        the_days_have_what_the_webhooks_told(customer)
        assert summarizing.summarize_due(customer.hub.collector, 10, judges(), stop=lambda: False) == 1
        portfolio.keep_board(customer.hub.store)
        the_board_and_the_portfolio_say_it(Browser(base))
    assert telling.push_if_due(customer.hub, customer.hub.connectors["crm"], stop=lambda: False)
    the_crm_has_it(customer)


def the_days_have_what_the_webhooks_told(customer: Customer) -> None:
    days = customer.days()[1:ASKED]  # the first one began while nobody watched
    assert {(day.known, day.closed, day.seats) for day in days} == {(True, True, SEATS)}
    before, changing, after = days[: STEPPED_DOWN - 1], days[STEPPED_DOWN - 1], days[STEPPED_DOWN:]
    assert {(day.peak, day.seat_hours) for day in before} == {(BEFORE, 24 * BEFORE)}
    assert (changing.peak, changing.users) == (BEFORE, BEFORE)
    assert {(day.peak, day.seat_hours) for day in after} == {(AFTER, 24 * AFTER)}


def the_board_and_the_portfolio_say_it(browser: Browser) -> None:
    board, overview = text_of(browser.get("/renewals")), text_of(browser.get("/portfolio"))
    assert "1 renewal in 180 days: one loses seats, no need more" in board
    assert "Acme LtdPRO-100 Contraction" in board
    assert "8 of 20" in board
    assert "12 seats at risk; 0 to propose" in overview
    assert "Use is at 8 of 20 seats, down from 18 since about" in overview


def the_crm_has_it(customer: Customer) -> None:
    summary = customer.row("License_Usage_Summary__c")
    assert (summary["Account__c"], summary["Renewal_Signal__c"]) == (customer.account, "contraction")
    assert (summary["Seats_Licensed__c"], summary["P95_Peak_28d__c"], summary["Known_Share_90d__c"]) == (20, 8, 100)
    told_since = date.fromisoformat(summary["Change_Date__c"])
    assert abs(told_since - (customer.first + timedelta(days=STEPPED_DOWN))) <= timedelta(days=14)
    assert customer.row("Account")["License_Signal__c"] == "contraction"
