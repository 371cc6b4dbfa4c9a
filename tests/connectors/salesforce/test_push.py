"""A push to the emulated org: what lands, what is refused, and what is never touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from connectors.salesforce import fields as f
from connectors.salesforce.crm import SalesforceCrm
from connectors.salesforce.emulator import VENDOR_OBJECT, SalesforceEmulator
from hub.domain import UsageSummary
from hub.ports import CrmRecord, Outcome, PushResult
from hub.rollup import accounts
from tests.connectors.salesforce.conftest import a_summary, by_outcome

PNG = b"\x89PNG one"


def pushed(crm: SalesforceCrm, *summaries: UsageSummary) -> list[PushResult]:
    records, problems = crm.records(accounts(summaries))
    return [*problems, *crm.push(records)]


def an_account(org: SalesforceEmulator, name: str = "Acme", **values: Any) -> str:
    return str(org.add("Account", Name=name, **values)["Id"])


def a_renewal(org: SalesforceEmulator, account: str, close: str = "2027-09-15", **values: Any) -> str:
    known = {"Name": "Renewal", "StageName": "Prospecting", "Type": "Renewal", "Amount": 5000.0}
    return str(org.add("Opportunity", **(known | {"AccountId": account, "CloseDate": close} | values))["Id"])


# what lands


def test_a_summary_lands_with_account_renewal_months_task_and_picture(
    org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    renewal = a_renewal(org, account)
    results = pushed(crm, a_summary(account, chart=PNG))
    assert all(one.outcome.is_done for one in results)
    (summary,) = org.rows(f.SUMMARY)
    assert (summary["Account__c"], summary["Opportunity__c"]) == (account, renewal)
    assert (summary["Renewal_Signal__c"], summary["Drop_Pct__c"], summary["Sparkline__c"]) == ("at_risk", 37.0, "▇▆▆")
    assert [one["Summary__c"] for one in org.rows(f.MONTH)] == [summary["Id"]] * 3
    assert org.rows("Account")[0]["License_Signal__c"] == "at_risk"
    assert org.rows("Opportunity")[0]["License_Recommended_Seats__c"] == 60
    assert org.rows("Task")[0]["WhatId"] == renewal
    assert org.rows("ContentDocumentLink")[0]["LinkedEntityId"] == renewal


def test_a_second_push_makes_nothing_new(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    a_renewal(org, account)
    for _ in range(2):
        results = pushed(crm, a_summary(account))
    assert Outcome.CREATED not in by_outcome(results)
    assert [len(org.rows(name)) for name in (f.SUMMARY, f.MONTH, f.TASK)] == [1, 3, 1]


def test_nothing_that_people_own_is_written_in_a_hundred_pushes(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org, Website="https://acme.example")
    renewal = a_renewal(org, account)
    a_task = {"Status": "Completed", "ActivityDate": "2027-12-24", "Subject": "Called them"}
    theirs = lambda: [  # noqa: E731
        {
            k: v
            for k, v in row.items()
            if not k.startswith("License_") and k not in ("SystemModstamp", "LastModifiedDate")
        }
        for name in ("Account", "Opportunity", "Task")
        for row in org.rows(name)
    ]
    pushed(crm, a_summary(account))
    org.records.update(org.records.kinds["task"], org.records.all(org.records.kinds["task"])[0], a_task)
    before = theirs()
    for seats in range(100):
        if seats % 50 == 0:
            records, _ = crm.records(accounts([a_summary(account, recommended_seats=seats)]))
            records = [one for one in records if one.object in (f.ACCOUNT, f.OPPORTUNITY, f.TASK)]
        assert all(one.outcome.is_done for one in crm.push(records))
    assert theirs() == before
    assert org.rows("Opportunity")[0]["Id"] == renewal


def test_the_plan_tells_each_field_and_a_push_leaves_none(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    a_renewal(org, account)
    records, _ = crm.records(accounts([a_summary(account)]))
    planned = {(one.object, one.field): (one.now, one.then) for one in crm.differences(records)}
    assert planned[f.ACCOUNT, "License_Seats__c"] == (None, 100)
    assert planned[f.TASK, "Priority"] == (None, "High")
    assert org.rows(f.SUMMARY) == []
    list(crm.push(records))
    assert list(crm.differences(records)) == []
    changed, _ = crm.records(accounts([a_summary(account, recommended_seats=70)]))
    told = [(one.object, one.now, one.then) for one in crm.differences(changed)]
    assert told == [(f.SUMMARY, 60, 70), (f.ACCOUNT, 60, 70), (f.OPPORTUNITY, 60, 70)]


@pytest.mark.parametrize("bulk_above", [2000, 200])
def test_a_value_that_is_gone_is_cleared(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm], bulk_above: int
) -> None:
    account = an_account(org)
    crm = crm_with(bulk_above=bulk_above, tasks=False, months=0)
    many = [a_summary(account, f"ent_{n}") for n in range(201)]
    pushed(crm, *many)
    results = pushed(crm, *(replace(one, signal="steady", change_date=None, drop=None, sentence="") for one in many))
    assert set(by_outcome(results)) == {Outcome.UPDATED}
    assert {(row["Change_Date__c"], row["Drop_Pct__c"], row["Evidence__c"]) for row in org.rows(f.SUMMARY)} == {
        (None, None, None)
    }
    assert org.rows("Account")[0]["License_Drop__c"] is None
    assert bool(org.bulk.jobs) is (bulk_above == 200)


def test_thousands_go_by_bulk_and_come_back_one_by_one(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(bulk_above=200, tasks=False)
    many = [a_summary(account, f"ent_{n}") for n in range(210)]
    many[7] = replace(many[7], signal="splendid")
    found = by_outcome(pushed(crm, *many))
    assert len(org.bulk.jobs) == 2
    assert [one.key for one in found[Outcome.REFUSED] if one.object == f.SUMMARY] == ["ent_7"]
    assert len([one for one in found[Outcome.CREATED] if one.object == f.SUMMARY]) == 209
    lost = [one for one in found[Outcome.REFUSED] if one.object == f.MONTH]
    assert {one.key.partition(":")[0] for one in lost} == {"ent_7"}
    assert "Foreign key external ID: ent_7 not found" in lost[0].reason


def test_a_picture_is_a_new_version_and_never_a_second_file(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    a_renewal(org, account)
    for picture in (PNG, PNG + b" two"):
        pushed(crm, a_summary(account, chart=picture))
    assert len(org.rows("ContentDocument")) == 1
    assert [(one["VersionNumber"], one["IsLatest"]) for one in org.rows("ContentVersion")] == [
        ("1", False),
        ("2", True),
    ]


# tasks and renewals


def test_a_task_is_raised_once_a_signal_change(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    first = a_summary(account)
    steady = replace(first, signal="steady", signal_since=date(2027, 7, 20))
    again = replace(first, signal_since=date(2027, 8, 2), as_of=date(2027, 8, 20))
    for one in (first, first, steady, again, again):
        pushed(crm, one)
    assert len(org.rows("Task")) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"signal": "steady"},
        {"signal": "insufficient_data"},
        {"renewal": None},
        {"renewal": date(2028, 6, 1)},
        {"signal_since": None},
    ],
)
def test_no_task_where_there_is_nothing_to_do_yet(
    org: SalesforceEmulator, crm: SalesforceCrm, values: dict[str, Any]
) -> None:
    pushed(crm, a_summary(an_account(org), **values))
    assert org.rows("Task") == []


def test_the_nearest_open_renewal_of_the_right_type_is_taken(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    a_renewal(org, account, "2027-09-30", StageName="Closed Won")
    a_renewal(org, account, "2027-09-30", Type="New Business")
    a_renewal(org, an_account(org, "Other"), "2027-09-30")
    a_renewal(org, account, "2027-07-30")
    near = a_renewal(org, account, "2027-10-15")
    a_renewal(org, account, "2028-09-30")
    pushed(crm, a_summary(account))
    assert [one["Id"] for one in org.rows("Opportunity") if one["License_Signal__c"]] == [near]


def test_two_renewals_of_an_account_take_two_opportunities(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    opened = [a_renewal(org, account, close) for close in ("2027-09-01", "2028-01-15")]
    pushed(crm, a_summary(account), a_summary(account, "ent_2", renewal=date(2028, 1, 10)))
    assert [one["Opportunity__c"] for one in org.rows(f.SUMMARY)] == opened


def test_a_missing_renewal_is_made_only_where_that_is_wanted_and_once(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    pushed(crm_with(), a_summary(account))
    assert org.rows("Opportunity") == []
    for _ in range(2):
        pushed(crm_with(create_renewals=True), a_summary(account))
    (made,) = org.rows("Opportunity")
    assert (made["Name"], made["CloseDate"], made["Amount"]) == ("Acme renewal 2027-09", "2027-09-30", None)
    assert org.rows(f.SUMMARY)[0]["Opportunity__c"] == made["Id"]
    org.records.update(
        org.records.kinds["opportunity"],
        org.records.get(org.records.kinds["opportunity"], made["Id"]),
        {"StageName": "Closed Lost"},
    )
    pushed(crm_with(create_renewals=True), a_summary(account))
    assert len(org.rows("Opportunity")) == 1


# living beside the licensing vendor's own package


def test_its_objects_are_never_written_so_that_no_flow_calls_back(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    org.add_vendor_package()
    an_account(org, Zentitle_Customer_ID__c="cus_1")
    org.add(VENDOR_OBJECT, Zentitle_Entitlement_ID__c="ent_1", Entitlement_Seat_Count__c=5)
    crm = crm_with(account_field="Zentitle_Customer_ID__c", account_by="customer_id")
    results = pushed(crm, a_summary("whatever", customer_id="CUS_1"))
    assert all(one.outcome.is_done for one in results)
    assert org.callouts == []
    writes = [one["path"] for one in org.call_log if one["method"] in {"POST", "PATCH", "PUT"}]
    assert not [path for path in writes if VENDOR_OBJECT in path]


# bad input: one by one


def test_an_account_matched_twice_is_told_and_neither_is_written(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    for name in ("Acme", "Acme GmbH"):
        an_account(org, name, AccountNumber="C-1")
    good = an_account(org, "Fine", AccountNumber="C-2")
    results = pushed(crm_with(account_field="AccountNumber"), a_summary("C-1"), a_summary("C-2", "ent_2"))
    (told,) = by_outcome(results)[Outcome.AMBIGUOUS]
    assert "2 Accounts have Account.AccountNumber = C-1: Acme (001" in told.reason
    assert "clear the field" in told.mend
    assert [row["Id"] for row in org.rows("Account") if row["License_Signal__c"]] == [good]


def test_two_customers_of_one_account_are_told_and_neither_overwrites_the_other(
    org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    several = [a_summary(account, "e1", customer_id="cus_1"), a_summary(account[:15], "e2", customer_id="cus_2")]
    (told,) = pushed(crm, *several, a_summary(account, "e3", customer_id="cus_3"))
    assert (told.outcome, told.key) == (Outcome.AMBIGUOUS, account)
    assert all(name in told.reason for name in ("3 customers", "cus_1", "cus_2", "cus_3"))
    assert org.rows(f.SUMMARY) == []


@pytest.mark.parametrize("ref", ["stripe:cus_1", "", "001000000000999", "x' OR Name != '"])
def test_a_customer_without_account_is_told(org: SalesforceEmulator, crm: SalesforceCrm, ref: str) -> None:
    an_account(org)
    (told,) = pushed(crm, a_summary(ref))
    assert told.outcome is Outcome.UNMATCHED
    assert "account_field" in told.mend


def test_S21_no_customer_s_reference_widens_a_query(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    an_account(org, "Victim", AccountNumber="C-1")
    refs = ["') OR Name != ('", "C-1' OR AccountNumber = 'C-1", "\\", "%", "C_1", "\n", "\u2019", "C-1\x00"]
    results = pushed(crm_with(account_field="AccountNumber"), *(a_summary(ref, f"e{n}") for n, ref in enumerate(refs)))
    assert {one.outcome for one in results} == {Outcome.UNMATCHED}
    assert org.rows("Account")[0]["License_Signal__c"] is None


def test_S21_an_entitlement_id_of_any_letters_is_one_record(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    ids = ["a/b", "../Account", "a?b#c", "a'b", "ä+b c"]
    for _ in range(2):
        results = pushed(crm, *(a_summary(account, one) for one in ids))
        assert all(one.outcome.is_done for one in results), results
    assert {row["Usage_Key__c"] for row in org.rows(f.SUMMARY)} == set(ids)


def test_a_field_that_an_administrator_took_away_costs_its_column_alone(
    org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    org.admin("hide", {"field": f"{f.SUMMARY}.Drop_Pct__c"})
    found = by_outcome(pushed(crm, a_summary(account)))
    (told,) = found[Outcome.DEGRADED]
    assert (told.object, told.key) == (f.SUMMARY, "Drop_Pct__c")
    assert "permission set" in told.mend
    assert org.rows(f.SUMMARY)[0]["Recommended_Seats__c"] == 60


def test_a_field_that_goes_while_a_push_runs_costs_its_column_alone(
    org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    records, _ = crm.records(accounts([a_summary(account)]))
    org.admin("hide", {"field": f"{f.SUMMARY}.Drop_Pct__c"})
    assert all(one.outcome.is_done for one in crm.push(records))
    assert org.rows(f.SUMMARY)[0]["Drop_Pct__c"] is None


def test_an_object_that_may_not_be_written_refuses_its_records_and_the_rest_goes(
    org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    org.admin("deny", {"object": f.MONTH, "what": ["create"]})
    found = by_outcome(pushed(crm, a_summary(account)))
    assert {one.object for one in found[Outcome.REFUSED]} == {f.MONTH}
    assert all("permission set License Usage: Integration" in one.mend for one in found[Outcome.REFUSED])
    assert len(org.rows(f.SUMMARY)) == 1


def test_an_org_without_our_metadata_is_told_to_install_it(
    url: str, org: SalesforceEmulator, crm: SalesforceCrm
) -> None:
    account = an_account(org)
    org.permission_sets.clear()
    results = pushed(crm, a_summary(account))
    assert not [one for one in results if one.outcome.is_done]
    assert {one.mend.partition(",")[0] for one in results} == {"run `hub salesforce install`"}


def test_one_bad_record_among_two_hundred_is_refused_alone(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    many = [a_summary(account, f"ent_{n}") for n in range(200)]
    many[99] = replace(many[99], confidence="absolute")
    found = by_outcome(pushed(crm_with(months=0, tasks=False), *many))
    (told,) = found[Outcome.REFUSED]
    assert (told.key, "absolute" in told.reason) == ("ent_99", True)
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in told.reason
    assert len(org.rows(f.SUMMARY)) == 199


def test_a_validation_rule_s_text_reaches_people(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    org.records.rules.append(("Account", lambda row: "Ask finance first" if row["License_Seats__c"] else None))
    (told,) = by_outcome(pushed(crm, a_summary(account)))[Outcome.REFUSED]
    assert (told.object, "Ask finance first" in told.reason, "validation rule" in told.mend) == (f.ACCOUNT, True, True)


def test_a_token_that_ends_between_pages_is_replaced_and_every_record_arrives_once(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False)
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(500)]))
    for after in (1, 2):
        before = org.api_used
        org.expire_token_after(after)
        results = list(crm.push(records))
        assert len(results) == len(records)
        assert all(one.outcome.is_done for one in results)
        assert org.api_used - before == 4
    assert len(org.rows(f.SUMMARY)) == 500


def test_a_token_that_ends_in_a_bulk_job_is_replaced(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False, bulk_above=200)
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(201)]))
    org.expire_token_after(2)
    assert all(one.outcome.is_done for one in crm.push(records))
    assert len(org.rows(f.SUMMARY)) == 201


def test_the_hub_stops_at_its_share_of_the_org_s_requests(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False, api_share=0.5)
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(500)]))
    org.admin("usage", {"used": 48, "limit": 100})
    found = by_outcome(list(crm.push(records)))
    assert (len(found[Outcome.CREATED]), len(found[Outcome.LATER])) == (400, 101)
    assert "50% of the org's daily API requests are used (50 of 100)" in found[Outcome.LATER][0].reason
    assert "api_share" in found[Outcome.LATER][0].mend


def test_the_org_s_limit_stops_the_push_at_once_and_nothing_is_lost(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False, api_share=1)
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(500)]))
    org.admin("usage", {"used": 99_999})
    calls = len(org.call_log)
    found = by_outcome(list(crm.push(records)))
    assert {outcome: len(some) for outcome, some in found.items()} == {Outcome.CREATED: 200, Outcome.LATER: 301}
    assert len(org.call_log) - calls <= 2
    org.admin("usage", {"used": 0})
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(500)]))
    assert all(one.outcome.is_done for one in crm.push(records))


def test_rows_that_others_hold_are_sent_again_alone(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False)
    records, _ = crm.records(accounts([a_summary(account, f"ent_{n}") for n in range(100)]))
    for n in range(7):
        org.admin("lock_row", {"of": f"ent_{n}", "times": 2})
    org.admin("lock_row", {"of": "ent_50", "times": 9})
    calls = len(org.call_log)
    found = by_outcome(list(crm.push(records)))
    assert [one.key for one in found[Outcome.LATER]] == ["ent_50"]
    assert "UNABLE_TO_LOCK_ROW" in found[Outcome.LATER][0].reason
    assert len(org.call_log) - calls <= 4


@pytest.mark.parametrize("fault", ["error", "reset", "garbage", "apply_then_reset", "apply_then_error"])
def test_a_fault_on_the_way_costs_nothing(org: SalesforceEmulator, crm: SalesforceCrm, fault: str) -> None:
    account = an_account(org)
    records, _ = crm.records(accounts([a_summary(account)]))
    org.faults.configure({"plan": [{"fault": fault, "method": "PATCH"}]})
    assert all(one.outcome.is_done for one in crm.push(records))
    assert len(org.rows(f.SUMMARY)) == 1


@pytest.mark.parametrize(("fault", "there"), [("error", 0), ("apply_then_reset", 1), ("apply_then_error", 1)])
def test_a_picture_whose_answer_is_lost_is_not_sent_blindly_again(
    org: SalesforceEmulator, crm: SalesforceCrm, fault: str, there: int
) -> None:
    account = an_account(org)
    a_renewal(org, account)
    records, _ = crm.records(accounts([a_summary(account, chart=PNG)]))
    org.faults.configure({"plan": [{"fault": fault, "method": "POST"}]})
    found = by_outcome(list(crm.push(records)))
    assert [one.object for one in found[Outcome.LATER]] == [f.FILE]
    assert len(org.rows("ContentVersion")) == there
    assert by_outcome(list(crm.push(records)))[Outcome.UPDATED if there else Outcome.CREATED]
    assert len(org.rows("ContentDocument")) == 1


def test_an_org_that_keeps_failing_leaves_all_for_later(
    org: SalesforceEmulator, crm_with: Callable[..., SalesforceCrm]
) -> None:
    account = an_account(org)
    crm = crm_with(months=0, tasks=False)
    records, _ = crm.records(accounts([a_summary(account)]))
    org.faults.configure({"rates": {"error": 1.0}})
    assert {one.outcome for one in crm.push(records)} == {Outcome.LATER}


def test_texts_are_cut_to_what_the_field_takes(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = an_account(org)
    assert all(one.outcome.is_done for one in pushed(crm, a_summary(account, sku="x" * 300, sentence="y" * 9000)))
    row = org.rows(f.SUMMARY)[0]
    assert (len(row["Product_SKU__c"]), len(row["Evidence__c"]), row["Evidence__c"][-1]) == (80, 4000, "…")


def test_two_records_with_one_key_are_sent_once(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    record = CrmRecord(object=f.SUMMARY, key="E", key_field=f.USAGE_KEY, fields={"Product_SKU__c": "A"})
    results = list(crm.push([record, replace(record, key="e", fields={"Product_SKU__c": "B"})]))
    assert [(one.key, one.outcome) for one in results] == [("e", Outcome.CREATED)]
    assert org.rows(f.SUMMARY)[0]["Product_SKU__c"] == "B"
