"""Seat use all the way: a history comes in, is judged by a worker, shown on every page, and told to the CRM, once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from connectors.emulation import serving
from connectors.salesforce.emulator import SalesforceEmulator
from hub import business, renewals, showing, telling
from hub.collecting.importing import import_file
from hub.errors import HubError
from hub.store.schema import rate, review
from hub.usage.files import Format
from hub.wiring import Hub
from tests.hub.browsing import Browser, served
from tests.hub.doors import environ
from tests.hub.doors import hub as command
from tests.world import World

pytestmark = pytest.mark.timeout(180)
CRM = """
[connections.crm]
kind = "salesforce"
base_url = "{url}"
consumer_key = "sandbox-consumer"
consumer_secret = "sandbox-secret"
rate_per_s = 5000
"""
SUMMARY, MONTH = "License_Usage_Summary__c", "License_Usage_Month__c"
SIGNALS = ("License_Signal__c", "License_Seats__c")


class Company:
    """A vendor with one customer: Acme, 100 seats for a year, known to Stripe, Zentitle2 and Salesforce."""

    def __init__(self, folder: Path, org: SalesforceEmulator, url: str) -> None:
        self.folder, self.org = folder, org
        self.world = World(folder, f"sqlite:///{folder}/hub.sqlite", more=CRM.format(url=url))
        open_ = self.world.hub.settings.hub.model_copy(update={"console": "open"})
        self.hub: Hub = replace(self.world.hub, settings=replace_hub(self.world.hub, open_))
        self.account = str(org.add("Account", Name="Acme")["Id"])
        buyer = self.world.customer("Acme Ltd", customer_ref=self.account)
        self.world.buy("PRO-100", 100, buyer)
        self.world.deliver(self.world.events())
        assert self.world.settle()
        (grant,) = self.world.grants()
        self.entitlement: str = grant["id"]
        (customer,) = self.world.get_zentitle_customers()
        self.customer: str = customer["id"]
        self.renewal = self.today() + timedelta(days=365)
        stage = {"StageName": "Prospecting", "CloseDate": self.renewal.isoformat(), "Type": "Renewal"}
        self.opportunity = str(org.add("Opportunity", Name="Acme 2027", AccountId=self.account, **stage)["Id"])

    def today(self) -> date:
        return self.world.zentitle.clock.now().date()

    def sleep(self, days: int) -> None:
        """Business time passes, at the vendors and in the record alike."""
        clock = self.world.zentitle.clock
        clock.advance(timedelta(days=days))
        business.move(self.hub.store, self.hub.settings, clock.offset.total_seconds())

    def use(self, peaks: np.ndarray) -> None:
        """So many seats were in use on the days up to yesterday; the history comes in as a file."""
        first = self.today() - timedelta(days=len(peaks))
        rows = [f"{first + timedelta(days=n)},{int(peak)},100" for n, peak in enumerate(peaks)]
        file = self.folder / "use.csv"
        file.write_text("date,peak,seats\n" + "\n".join(rows) + "\n")
        assert not import_file(self.hub.collector, file, Format.CSV, self.entitlement).bad

    def judge(self) -> None:
        """What a worker does on the queue of summaries, in a process of its own."""
        code = "from hub import jobs; print(jobs.drain('summaries'))"
        run = [sys.executable, "-c", code]
        done = subprocess.run(
            run, env=environ(self.world.config), cwd=self.folder, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip().endswith("1"), done.stderr

    def push(self, *words: str) -> Any:
        done = command(self.world.config, "salesforce", "push", "--json", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def row(self, name: str) -> Mapping[str, Any]:
        (row,) = self.org.rows(name)
        return row

    def writes(self) -> int:
        return sum(
            one["method"] in {"POST", "PATCH", "PUT"} and "/oauth2/" not in one["path"] for one in self.org.call_log
        )

    def close(self) -> None:
        self.hub.drawer.close()
        self.world.close()


def replace_hub(hub: Hub, section: Any) -> Any:
    return hub.settings.model_copy(update={"hub": section})


@pytest.fixture
def org() -> SalesforceEmulator:
    return SalesforceEmulator()


@pytest.fixture
def company(tmp_path: Path, org: SalesforceEmulator) -> Iterator[Company]:
    """Nine months on, ninety days before its renewal, Acme uses ever less."""
    with serving(org) as url:
        made = Company(tmp_path, org, url)
        made.sleep(275)
        level = np.interp(np.arange(420), [0, 320, 419], [90, 90, 50])
        made.use(np.rint(level * np.random.default_rng(7).normal(1, 0.03, 420)))
        made.judge()
        yield made
        made.close()


def test_use_that_falls_is_judged_shown_and_told_to_the_crm_once(company: Company) -> None:
    its_pages_say_so_and_the_customer_s_own_does_not(company)
    a_plan_names_each_field_and_writes_nothing(company)
    the_crm_has_summary_months_account_renewal_task_and_picture(company)
    a_second_push_sends_nothing(company)
    company.sleep(35)
    company.use(np.zeros(35))
    company.judge()
    what_changed_is_news_on_the_board(company)
    the_clock_tells_it_once_a_night(company)
    a_crm_that_says_no_is_a_review_task_until_it_is_told(company)


def its_pages_say_so_and_the_customer_s_own_does_not(company: Company) -> None:
    with served(company.hub) as base:
        browser = Browser(base)
        board, overview = browser.get("/renewals").text, browser.get("/portfolio").text
        account = browser.get(f"/accounts/{company.customer}")
        chart = browser.get(f"/charts/seats.svg?account={company.customer}")
        link = showing.link(company.hub, company.customer, 30, "ida")
        assert link is not None
        own = browser.get("/portal/" + link.url.rsplit("/", 1)[-1])
    assert "Acme Ltd" in board
    assert "At risk" in board
    assert 'class="spark"' in board
    assert "90 d" in board
    assert "1 entitlement of 1 customer, 100 seats" in overview
    assert account.ok
    assert "Use fell from" in account.text
    assert chart.ok
    assert own.ok
    assert "100 seats" in own.text
    for word in ("at risk", "fell", "recommend", "suggest"):
        assert word not in own.text.lower()
    (one,) = company.hub.portfolio.standings(180)
    assert (one.signal, one.was, one.renewal) == ("at_risk", None, company.renewal)
    assert one.used is not None
    assert one.used < 60


def a_plan_names_each_field_and_writes_nothing(company: Company) -> None:
    planned = company.push("--plan")
    assert company.writes() == 0
    assert {(one["object"], one["field"]) for one in planned["changes"]} >= {
        ("Account", "License_Signal__c"),
        ("Opportunity", "License_Signal__c"),
        (SUMMARY, "Renewal_Signal__c"),
        ("ContentVersion", "VersionData"),
    }


def the_crm_has_summary_months_account_renewal_task_and_picture(company: Company) -> None:
    assert {one["outcome"] for one in company.push()} == {"created", "updated"}
    summary = company.row(SUMMARY)
    assert summary["Renewal_Signal__c"] == "at_risk"
    assert summary["Seats_Licensed__c"] == 100
    assert summary["Renewal_Date__c"] == company.renewal.isoformat()
    assert summary["Opportunity__c"] == company.opportunity
    assert summary["Evidence__c"].startswith("Use fell from")
    assert 0 < summary["Recommended_Seats__c"] < 100
    assert summary["Trend_Pct_30d__c"] < 0
    assert f"/accounts/{company.customer}" in summary["Chart_URL__c"]
    months = sorted(company.org.rows(MONTH), key=lambda row: row["Month__c"])
    assert len(months) >= 12
    assert all(row["Known_Share__c"] == 100 and row["P95_Peak__c"] <= row["Peak__c"] for row in months)
    assert [company.row(name)[field] for name in ("Account", "Opportunity") for field in SIGNALS] == [
        "at_risk",
        100,
    ] * 2
    assert company.row("Task")["WhatId"] == company.opportunity
    assert company.row("ContentVersion")["Title"] == f"License usage {company.renewal}"


def a_second_push_sends_nothing(company: Company) -> None:
    before = company.writes()
    again = renewals.push(company.hub.store, company.hub.connectors["crm"], telling.summaries(company.hub))
    assert {one.outcome for one in again} == {"unchanged"}
    assert company.writes() == before


def what_changed_is_news_on_the_board(company: Company) -> None:
    (one,) = company.hub.portfolio.standings(180)
    assert (one.signal, one.was, one.days_left) == ("dormant", "at_risk", 55)
    account = company.hub.portfolio.account(company.customer)
    assert account is not None
    assert [verdict.signal for verdict in account.entitled[0].verdicts] == ["dormant", "at_risk"]


def the_clock_tells_it_once_a_night(company: Company) -> None:
    crm = company.hub.connectors["crm"]
    assert telling.push_if_due(company.hub, crm, stop=lambda: False)
    assert company.row(SUMMARY)["Renewal_Signal__c"] == "dormant"
    assert len(company.org.rows("Task")) == 2
    before = len(company.org.call_log)
    assert not telling.push_if_due(company.hub, crm, stop=lambda: False)  # it was told tonight
    assert len(company.org.call_log) == before
    company.sleep(1)
    assert telling.push_if_due(company.hub, crm, stop=lambda: False)
    assert len(company.org.rows("Task")) == 2


def a_crm_that_says_no_is_a_review_task_until_it_is_told(company: Company) -> None:
    crm, told_of = company.hub.connectors["crm"], "crm:crm:push"
    company.sleep(1)
    company.org.api_used = company.org.api_limit
    with pytest.raises(HubError):
        telling.push_if_due(company.hub, crm, stop=lambda: False)
    assert told_of in open_tasks(company)
    company.org.api_used = 0
    company.world.hub.store.write(lambda conn: conn.execute(update(rate).values(hold_until=0)))
    assert telling.push_if_due(company.hub, crm, stop=lambda: False)
    assert told_of not in open_tasks(company)


def open_tasks(company: Company) -> list[str]:
    with company.hub.store.read() as conn:
        return list(conn.execute(select(review.c.key).where(review.c.open)).scalars())
