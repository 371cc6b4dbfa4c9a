"""Summaries to a CRM, with a real record: what is sent, what is not, and what people see of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from connectors.emulation import serving
from connectors.hubspot.emulator import TOKEN, HubspotEmulator
from connectors.salesforce import Settings, connect
from connectors.salesforce.emulator import SalesforceEmulator
from hub import renewals, summaries
from hub.cli import main
from hub.domain import UsageSummary
from hub.errors import ConfigurationError
from hub.ports import Connector, Outcome
from hub.store import Store, pushes
from hub.store.schema import crm_push, review
from hub.store.schema import worth as kept_worth
from tests.conformance import deps
from tests.connectors.salesforce.conftest import a_summary
from tests.hub.doors import a_config, hub
from tests.records import upgrade

SUMMARY = "License_Usage_Summary__c"


@pytest.fixture
def org() -> SalesforceEmulator:
    return SalesforceEmulator()


@pytest.fixture
def url(org: SalesforceEmulator) -> Iterator[str]:
    with serving(org) as address:
        yield address


@pytest.fixture
def crm(url: str) -> Iterator[Connector]:
    made = connect(
        "sf", Settings(base_url=url, consumer_key="sandbox-consumer", consumer_secret="sandbox-secret"), deps()
    )
    yield made
    assert made.crm is not None
    made.crm.close()


@pytest.fixture
def account(org: SalesforceEmulator) -> str:
    return str(org.add("Account", Name="Acme")["Id"])


def pushed(store: Store, crm: Connector, *rows: UsageSummary) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in renewals.push(store, crm, rows):
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return counts


def open_tasks(store: Store) -> list[str]:
    with store.read() as conn:
        return list(conn.execute(select(review.c.text).where(review.c.open).order_by(review.c.id)).scalars())


def writes(org: SalesforceEmulator) -> int:
    return sum(one["method"] in {"POST", "PATCH", "PUT"} and "/oauth2/" not in one["path"] for one in org.call_log)


def test_what_did_not_change_is_not_sent_again(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    assert pushed(store, crm, a_summary(account)) == {"created": 5, "updated": 1}
    before = writes(org)
    tomorrow = a_summary(account, as_of=a_summary(account).as_of + timedelta(days=1), days_since_use=2)
    assert pushed(store, crm, tomorrow) == {"unchanged": 6}
    assert writes(org) == before
    assert pushed(store, crm, replace(tomorrow, recommended_seats=70)) == {"updated": 2, "unchanged": 4}
    assert org.rows(SUMMARY)[0]["Days_Since_Use__c"] == 2


def test_after_a_week_all_is_sent_once_more(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    pushed(store, crm, a_summary(account))
    store.write(lambda conn: conn.execute(update(crm_push).values(sent_at=crm_push.c.sent_at - renewals.REFRESH_S)))
    assert pushed(store, crm, a_summary(account)) == {"updated": 5, "unchanged": 1}


def test_a_record_that_is_lost_from_the_record_is_found_in_the_CRM(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    pushed(store, crm, a_summary(account))
    store.write(lambda conn: conn.execute(crm_push.delete()))
    pushed(store, crm, a_summary(account))
    assert [len(org.rows(name)) for name in (SUMMARY, "Task")] == [1, 1]


def test_a_plan_writes_nothing_and_tells_each_field(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    found = renewals.plan(store, crm, [a_summary(account)])
    assert writes(org) == 0
    assert ("Account", "License_Signal__c", None, "at_risk") in {
        (c.object, c.field, c.now, c.then) for c in found.changes
    }
    pushed(store, crm, a_summary(account))
    again = renewals.plan(store, crm, [a_summary(account, signal="dormant")])
    fields = {(change.object, change.field, change.then) for change in again.changes if change.object != "Task"}
    assert fields == {(SUMMARY, "Renewal_Signal__c", "dormant"), ("Account", "License_Signal__c", "dormant")}


def test_a_refusal_is_a_review_task_until_it_is_mended(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    org.records.rules.append(("Account", lambda row: "Ask finance first" if row["License_Seats__c"] else None))
    assert pushed(store, crm, a_summary(account)) == {"created": 5, "refused": 1}
    (task,) = open_tasks(store)
    assert "Ask finance first" in task
    assert "validation rule" in task
    org.records.rules.clear()
    assert pushed(store, crm, a_summary(account)) == {"updated": 1, "unchanged": 5}
    assert open_tasks(store) == []


def test_an_object_that_was_lacking_is_told_until_it_is_there(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    month = org.records.kinds.pop("license_usage_month__c")
    org.records.rules.append(("Account", lambda row: "Ask finance first" if row["License_Seats__c"] else None))
    pushed(store, crm, a_summary(account))
    assert any("License_Usage_Month__c" in one for one in open_tasks(store))
    org.records.kinds["license_usage_month__c"] = month
    pushed(store, crm, a_summary(account))
    (task,) = open_tasks(store)  # a record that is refused by itself stays
    assert "Ask finance first" in task
    with store.read() as conn:
        assert pushes.standing(conn, "sf")[Outcome.REFUSED] == 1


def test_an_account_matched_twice_is_a_review_task_until_one_is_left(
    store: Store, org: SalesforceEmulator, url: str
) -> None:
    known = {"consumer_key": "sandbox-consumer", "consumer_secret": "sandbox-secret", "account_field": "AccountNumber"}
    crm = connect("sf", Settings(base_url=url, **known), deps())
    rows = [org.add("Account", Name=name, AccountNumber="C-1") for name in ("Acme", "Acme GmbH")]
    assert pushed(store, crm, a_summary("C-1")) == {"ambiguous": 1}
    assert "2 Accounts" in open_tasks(store)[0]
    with store.read() as conn:
        assert pushes.standing(conn, "sf") == {Outcome.AMBIGUOUS: 1}
    org.records.delete(org.records.kinds["account"], rows[1]["Id"])
    assert "created" in pushed(store, crm, a_summary("C-1"))
    assert open_tasks(store) == []


def test_a_push_that_is_cut_off_keeps_what_went(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    rows = [a_summary(account, f"ent_{n}", months=(), signal="steady") for n in range(450)]
    results = renewals.push(store, crm, rows)
    for _ in range(201):
        next(results)
    results.close()
    counts = pushed(store, crm, *rows)
    assert counts["unchanged"] >= 400


def test_what_was_left_for_later_goes_with_the_next_push(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    rows = [a_summary(account, f"ent_{n}", months=(), signal="steady") for n in range(250)]
    org.admin("usage", {"used": 79_992})  # the share ends after describes, matching and the first two hundred
    first = pushed(store, crm, *rows)
    assert first == {"created": 200, "later": 51}
    assert open_tasks(store) == []
    org.admin("usage", {"used": 0})
    assert pushed(store, crm, *rows) == {"unchanged": 200, "created": 50, "updated": 1}


# summaries out of a file


def rows_of(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    known = {
        "entitlement_id": "e1",
        "account_ref": "a",
        "as_of": "2027-07-01",
        "signal": "steady",
        "confidence": "high",
    }
    file = tmp_path / "usage.json"
    file.write_text(json.dumps([known | row for row in rows]))
    return file


def test_a_file_of_summaries_is_read(tmp_path: Path) -> None:
    (tmp_path / "e1.png").write_bytes(summaries.PNG + b"rest")
    file = rows_of(tmp_path, {"chart": "e1.png", "months": [{"month": "2027-06-01", "peak": 5}], "renewal": None})
    (one,) = summaries.read(file)
    assert (one.chart, one.months[0].peak) == (summaries.PNG + b"rest", 5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"signal": "splendid"}, "row 1 signal: no such signal"),
        ({"confidence": "absolute"}, "row 1 confidence"),
        ({"as_of": "yesterday"}, "row 1 as_of"),
        ({"months": [{"peak": 5}]}, "row 1 months.0.month"),
        ({"seats": 5}, "row 1 seats: no such key"),
        ({"chart": "none.png"}, "row 1 chart"),
        ({"chart": "usage.json"}, "is no PNG"),
        ({"drop": float("nan")}, "NaN is no number"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_row_and_key(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        summaries.read(rows_of(tmp_path, row))
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[" * 5])
def test_a_file_that_is_no_list_of_summaries_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "usage.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"usage\.json"):
        summaries.read(tmp_path / "usage.json")


# the command


@pytest.fixture
def config(tmp_path: Path, url: str) -> Path:
    file = a_config(tmp_path)
    store = Store(f"sqlite:///{tmp_path}/hub.sqlite")
    upgrade(store)
    store.close()
    text = f'\n[connections.sf]\nkind = "salesforce"\nbase_url = "{url}"\nconsumer_key = "sandbox-consumer"\n'
    file.write_text(file.read_text() + text + 'consumer_secret = "sandbox-secret"\n')
    return file


def test_a_bare_org_is_brought_to_its_first_rows_by_the_command_line(
    config: Path, tmp_path: Path, org: SalesforceEmulator
) -> None:
    org.permission_sets.clear()
    bare = SalesforceEmulator(installed=False)
    org.records.kinds.clear()
    org.records.kinds.update(bare.records.kinds)
    org.records.tables.pop("PermissionSet")
    org.records.tables.pop("PermissionSetAssignment")
    org.records.index.clear()
    account = org.add("Account", Name="Acme")["Id"]
    file = rows_of(tmp_path, {"account_ref": account, "seats_licensed": 10})
    ill = hub(config, "salesforce", "doctor", "--json")
    assert ill.returncode == 1
    assert "License_Usage_Summary__c: the object is missing" in ill.stdout
    done = hub(config, "salesforce", "install", "--summaries", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lightning/o/License_Usage_Summary__c/list" in done.stdout
    assert "1 created, 1 updated" in done.stdout
    planned = hub(config, "salesforce", "push", "--plan", "--summaries", str(file))
    assert "A push would change 0 fields of 0 records; 2 stay as they are." in planned.stdout


def test_another_CRM_is_set_up_and_told_by_a_command_of_its_own(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = HubspotEmulator()
    company = portal.add("companies", name="Acme")
    file = rows_of(tmp_path, {"account_ref": company, "seats_licensed": 10})
    with serving(portal) as address:
        told = f'\n[connections.hs]\nkind = "hubspot"\nbase_url = "{address}"\naccess_token = "{TOKEN}"\n'
        config.write_text(config.read_text() + told)
        monkeypatch.setenv("HUB_CONFIG", str(config))
        words = ["hubspot", "install", "--summaries", str(file), "--json"]
        done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [one["outcome"] for one in json.loads(done.stdout)["results"]] == ["updated"]
    assert portal.rows["companies"][company]["license_seats"] == "10"


# what renewals are worth, and whose they are


def worth(store: Store) -> dict[str, tuple[int | None, str, str]]:
    with store.read() as conn:
        return {
            one.entitlement: (one.amount_minor, one.currency, one.owner) for one in conn.execute(select(kept_worth))
        }


def a_renewal(org: SalesforceEmulator, account: str, **values: Any) -> str:
    known = {"Name": "Renewal", "StageName": "Prospecting", "Type": "Renewal", "CloseDate": "2027-09-15"}
    return str(org.add("Opportunity", **known, AccountId=account, **values)["Id"])


def test_the_amount_of_a_renewal_is_split_by_seats_and_its_owner_is_kept(
    store: Store, org: SalesforceEmulator, url: str, account: str
) -> None:
    known = {"consumer_key": "sandbox-consumer", "consumer_secret": "sandbox-secret", "currency": "USD"}
    crm = connect("sf", Settings(base_url=url, **known), deps())
    renewal = a_renewal(org, account, Amount=100.01)
    rows = [a_summary(account, "ent_1", seats_licensed=2), a_summary(account, "ent_2", seats_licensed=1)]
    pushed(store, crm, *rows)
    owner = worth(store)["ent_1"][2]
    assert owner
    assert worth(store) == {"ent_1": (6668, "USD", owner), "ent_2": (3333, "USD", owner)}
    org.records.update(
        org.records.kinds["opportunity"],
        org.records.get(org.records.kinds["opportunity"], renewal),
        {"StageName": "Closed Won"},
    )
    pushed(store, crm, *rows)
    assert worth(store) == {"ent_1": (None, "", owner), "ent_2": (None, "", owner)}


def test_an_amount_whose_currency_nobody_names_is_unknown(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    a_renewal(org, account, Amount=100.0)
    pushed(store, crm, a_summary(account))
    assert worth(store)["ent_1"][:2] == (None, "")


def test_a_hidden_amount_costs_the_push_nothing(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    a_renewal(org, account, Amount=100.0)
    org.hidden.add("opportunity.amount")
    assert set(pushed(store, crm, a_summary(account))) == {"created", "updated"}
    assert worth(store)["ent_1"][0] is None


def test_what_is_matched_no_more_has_no_worth(
    store: Store, org: SalesforceEmulator, crm: Connector, account: str
) -> None:
    pushed(store, crm, a_summary(account), a_summary(account, "ent_2"))
    assert set(worth(store)) == {"ent_1", "ent_2"}
    pushed(store, crm, a_summary("nobody"))
    assert set(worth(store)) == {"ent_2"}


def test_a_plan_keeps_no_worth(store: Store, crm: Connector, account: str) -> None:
    renewals.plan(store, crm, [a_summary(account)])
    assert worth(store) == {}
