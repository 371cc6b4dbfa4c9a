"""What people did in the CRM to the hub's own fields is found field by field, and mended by the push."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.emulation import serving
from connectors.hubspot.emulator import TOKEN, HubspotEmulator
from connectors.hubspot.fields import COMPANY
from connectors.salesforce.emulator import SalesforceEmulator
from hub import comparing, drift, metrics, telling
from hub.drift import Drift
from hub.ports import Connector, Outcome, PushResult
from hub.store import Store, drifts, pushes, records, signals
from hub.store import schema as t
from tests.world import World

SUMMARY = "License_Usage_Summary__c"
CONFIG = """
[connections.sf]
kind = "salesforce"
base_url = "{org}"
consumer_key = "sandbox-consumer"
consumer_secret = "sandbox-secret"
account_field = "AccountNumber"
rate_per_s = 5000

[connections.hs]
kind = "hubspot"
base_url = "{portal}"
access_token = "{token}"
rate_per_s = 5000
"""


@dataclass
class Company:
    """Acme, which buys at Stripe, is licensed in Zentitle2 and known to two CRMs."""

    world: World
    org: SalesforceEmulator
    portal: HubspotEmulator
    account: str
    company: str
    entitlement: str = ""

    @property
    def store(self) -> Store:
        return self.world.hub.store

    def connector(self, name: str) -> Connector:
        return self.world.hub.connectors[name]

    def found(self, *, ask: bool = True) -> dict[str, Drift]:
        return {one.id: one for one in comparing.find(self.world.hub, ask=ask)}

    def push(self) -> None:
        """What the clock does at night."""
        for name in ("sf", "hs"):
            assert telling.push_if_due(self.world.hub, self.connector(name), stop=lambda: False)

    def edit(self, name: str, **values: Any) -> None:
        """Somebody writes into the first record of this kind."""
        kind = self.org.records.kinds[name.lower()]
        self.org.records.update(kind, self.org.records.all(kind)[0], values)

    def apply(self, *which: Drift) -> list[str]:
        return [one.id for one in drift.apply(self.store, which, "ann", "test")]


@pytest.fixture
def company(tmp_path: Path, sqlite_url: str) -> Iterator[Company]:
    """Its use was judged yesterday and told to both CRMs tonight."""
    org, portal = SalesforceEmulator(), HubspotEmulator()
    id_ = portal.add(COMPANY, name="Acme")
    account = str(org.add("Account", Name="Acme", AccountNumber=id_)["Id"])
    with serving(org) as org_url, serving(portal) as portal_url:
        more = CONFIG.format(org=org_url, portal=portal_url, token=TOKEN)
        made = Company(World(tmp_path, sqlite_url, more=more), org, portal, account, id_)
        setup = made.connector("hs").crm_setup
        assert setup is not None
        setup.install(check_only=False)
        made.world.buy("PRO-100", 5, made.world.customer("Acme", customer_ref=id_))
        made.world.deliver(made.world.events())
        assert made.world.settle()
        with made.store.read() as conn:
            made.entitlement = conn.execute(select(t.entitlement.c.id)).scalar_one()
        made.store.write(lambda conn: judged(conn, made))
        made.push()
        yield made
        for one in made.world.hub.connectors.values():
            if one.crm is not None:
                one.crm.close()
        made.world.close()


def judged(conn: Any, made: Company, **values: Any) -> None:
    yesterday = (made.world.zentitle.clock.now() - timedelta(days=1)).date().isoformat()
    said = {"signal": "at_risk", "confidence": "high", "change_date": None, "sentence": "Use fell.", "evidence": {}}
    said |= dict.fromkeys(("forecast_peak", "forecast_lo", "forecast_hi")) | {"recommended_seats": 4}
    row = {"signal": "at_risk", "since": yesterday, "confidence": "high", "as_of": yesterday, "judgement": said}
    row |= {"seats": 5, "used": 3.0, "recommended_seats": 4, "sentence": "Use fell.", "method": "test"}
    signals.put_signal(conn, made.entitlement, row | values, seen=0)


def test_what_somebody_wrote_into_a_field_of_the_hub_s_is_named_with_what_is_wanted_and_the_push_mends_it(
    company: Company,
) -> None:
    assert company.found() == {}
    company.edit(SUMMARY, Renewal_Signal__c="steady", Seats_Licensed__c=7)
    company.edit("Account", License_Signal__c=None, Name="Acme GmbH", Website="https://acme.example")
    company.portal.rows[COMPANY][company.company]["license_seats"] = "9"
    found = company.found()
    at_summary, at_account = f"edited:sf/{SUMMARY}/{company.entitlement}", f"edited:sf/Account/{company.account}"
    at_company = f"edited:hs/companies/{company.company}"
    assert set(found) == {at_summary, at_account, at_company}
    assert found[at_summary].problem == (
        "Renewal_Signal__c: found steady, wanted at_risk; Seats_Licensed__c: found 7, wanted 5"
    )
    assert found[at_account].problem == "License_Signal__c: found nothing, wanted at_risk"
    assert found[at_company].problem == "license_seats: found 9, wanted 5"
    before = len(company.org.call_log)
    assert company.apply(*found.values()) == [*found]  # each is to be sent, though one push is enough for all
    assert company.apply(*company.found().values()) == []
    assert {one.waiting for one in company.found().values()} == {"a push is due"}
    writes = [one for one in list(company.org.call_log)[before:] if one["method"] in {"POST", "PATCH"}]
    assert all("query" in one["path"] or "oauth2" in one["path"] for one in writes)  # applying writes to no vendor
    company.push()
    assert company.found() == {}
    (account,) = company.org.rows("Account")
    assert (account["License_Signal__c"], account["Name"], account["Website"][-7:]) == (
        "at_risk",
        "Acme GmbH",
        "example",
    )


def test_a_record_that_was_deleted_is_told_and_made_again_but_a_task_is_people_s(company: Company) -> None:
    kinds = company.org.records.kinds
    for name in (SUMMARY, "Task"):
        for row in company.org.rows(name):
            company.org.records.delete(kinds[name.lower()], row["Id"])
    (one,) = company.found().values()
    assert (one.id, one.problem) == (f"edited:sf/{SUMMARY}/{company.entitlement}", "the record is gone")
    assert company.apply(one) == [one.id]
    assert telling.push_if_due(company.world.hub, company.connector("sf"), stop=lambda: False)
    assert len(company.org.rows(SUMMARY)) == 1
    assert company.found() == {}


def test_an_account_that_is_gone_is_told_before_the_next_push_meets_it(company: Company) -> None:
    company.edit("Account", AccountNumber="another")
    (one,) = company.found().values()
    assert (one.kind, one.repair) == ("unmatched", "push")
    assert f"no Account has Account.AccountNumber = {company.company}" in one.problem


def test_what_was_judged_since_the_push_is_no_disagreement_until_a_push_should_have_told_it(company: Company) -> None:
    signal = t.signal.c
    today = company.world.zentitle.clock.now().date().isoformat()
    news = {"seats": 8, "as_of": today}
    company.store.write(lambda conn: conn.execute(t.signal.update().values(news)))
    assert company.found() == {}
    company.edit("Account", License_Seats__c=1)  # the next push writes that, too
    assert company.found() == {}
    before = (company.world.zentitle.clock.now() - timedelta(days=3)).date().isoformat()
    company.store.write(lambda conn: conn.execute(t.signal.update().values({signal.as_of: before})))
    told = company.found()
    assert {one.kind for one in told.values()} == {"untold"}
    assert "found 1, wanted 8" in told[f"untold:sf/Account/{company.account}"].problem
    assert len(company.apply(*told.values())) == 2  # a push of each CRM
    company.push()
    assert company.found() == {}


def test_days_that_pass_and_texts_as_a_crm_keeps_them_are_nobody_s_edit(company: Company) -> None:
    company.edit(SUMMARY, As_Of__c="2020-01-01", Evidence__c="Use fell. ", Seats_Licensed__c=5.0)
    row = company.portal.rows[COMPANY][company.company]
    row["license_products"] = row["license_products"].replace("\n", "\r\n") + "\r\n"
    assert company.found() == {}


def test_by_the_record_alone_no_crm_is_asked(company: Company) -> None:
    company.edit(SUMMARY, Seats_Licensed__c=7)
    before = len(company.org.call_log)
    assert company.found(ask=False) == {}
    assert len(company.org.call_log) == before


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("a scope is gone", "MISSING_SCOPES"),
        ("the portal's share is spent", "daily API requests are used"),
        ("the org's share is spent", "daily API requests are used"),
    ],
)
def test_a_crm_that_can_t_be_asked_is_told_and_the_rest_goes_on(company: Company, what: str, said: str) -> None:
    company.edit(SUMMARY, Seats_Licensed__c=7)
    company.portal.rows[COMPANY][company.company]["license_seats"] = "9"
    name, left = "hs", f"edited:sf/{SUMMARY}/{company.entitlement}"
    if what == "a scope is gone":
        company.portal.scopes.clear()
    elif what == "the portal's share is spent":
        company.portal.used = int(company.portal.daily * 0.9)
    else:
        company.org.admin("usage", {"used": 90_000, "limit": 100_000})
        name, left = "sf", f"edited:hs/companies/{company.company}"
    found = company.found()
    assert set(found) == {left, f"unasked:{name}"}
    assert not found[f"unasked:{name}"].can_apply
    assert said in found[f"unasked:{name}"].problem


def test_a_licensing_system_that_can_t_be_asked_is_told_and_all_is_compared_again_after_an_hour(
    company: Company,
) -> None:
    company.edit(SUMMARY, Seats_Licensed__c=7)
    company.world.zentitle_admin("faults", rates={"throttle": 1.0}, retry_after_s=300)
    comparing.keep_if_due(company.world.hub)
    text = metrics.render(company.store).decode()
    assert 'hub_drift{class="unasked"} 1.0' in text
    assert 'hub_drift{class="edited"} 1.0' in text
    comparing.keep_if_due(company.world.hub)
    assert 'hub_drift{class="unasked"} 1.0' in metrics.render(company.store).decode()  # not again at once
    company.world.zentitle_admin("faults", rates={})
    company.store.write(lambda conn: conn.execute(t.rate.update().values(hold_until=0)))
    cursor = t.cursor
    hour = {"at": cursor.c.at - comparing.ASK_AGAIN_S}
    company.store.write(lambda conn: conn.execute(cursor.update().where(cursor.c.name == drifts.COMPARED).values(hour)))
    comparing.keep_if_due(company.world.hub)
    assert 'hub_drift{class="unasked"} 0.0' in metrics.render(company.store).decode()


def test_what_was_kept_of_an_edit_says_that_its_push_is_due_and_later_that_it_was_told(company: Company) -> None:
    company.edit(SUMMARY, Seats_Licensed__c=7)
    comparing.keep_if_due(company.world.hub)
    id_ = f"edited:sf/{SUMMARY}/{company.entitlement}"

    def waiting() -> str:
        with company.store.read() as conn:
            (one,) = drift.standing(conn, drifts.called(conn, [id_]))
        return one.waiting

    assert waiting() == ""
    assert drift.apply_stored(company.store, [id_], "ann", "test")[0]
    assert waiting() == "a push is due"
    assert not drift.apply_stored(company.store, [id_], "ann", "test")[0]
    assert telling.push_if_due(company.world.hub, company.connector("sf"), stop=lambda: False)
    assert waiting() == drift.TOLD


def test_the_record_knows_what_a_crm_took_and_what_is_to_be_sent_again(store: Store) -> None:
    one, other = (PushResult(object="Account", key=key, outcome=Outcome.UPDATED) for key in ("a", "b"))
    refused = PushResult(object="Account", key="c", outcome=Outcome.REFUSED)
    store.write(lambda conn: pushes.keep(conn, "sf", [(one, "d1"), (other, "d2"), (refused, "d3")]))
    store.write(lambda conn: records.set_cursor(conn, f"{pushes.DONE}sf", "2026-11-24"))
    assert store.write(lambda conn: pushes.forget(conn, "sf", "Account", "a"))
    assert not store.write(lambda conn: pushes.forget(conn, "sf", "Account", "a"))
    with store.read() as conn:
        assert pushes.sent(conn, "sf") == {("Account", "a"): None, ("Account", "b"): "d2"}  # c was never taken
        assert pushes.taken(conn, "sf", 60) == {("Account", "b"): "d2"}
        assert pushes.due(conn, ["sf", "hs"]) == {"hs"}
        states = pushes.states(conn, [("sf", "Account", key) for key in "abcz"])
        assert pushes.states(conn, []) == {}
    assert {key: again for (_, _, key), (again, _) in states.items()} == {"a": True, "b": False, "c": True}
    assert [states["sf", "Account", key][1] is None for key in "abc"] == [False, False, True]
