"""install and doctor, on orgs that lack something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.emulation import serving
from connectors.salesforce import fields as f
from connectors.salesforce import metadata
from connectors.salesforce.client import Client
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.registering import to_paste
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import SalesforceSetup
from connectors.salesforce.shapes import SHAPES
from hub.ports import Finding
from tests.conformance import deps


@pytest.fixture
def bare() -> SalesforceEmulator:
    return SalesforceEmulator(installed=False)


@pytest.fixture
def setup_of(bare: SalesforceEmulator) -> Iterator[SalesforceSetup]:
    with serving(bare) as url:
        settings = Settings(base_url=url, consumer_key="sandbox-consumer", consumer_secret="sandbox-secret")
        client = Client(settings, deps())
        yield SalesforceSetup("sf", settings, lambda: client, poll_s=0.01)
        client.close()


def levels(findings: list[Finding] | tuple[Finding, ...]) -> set[str]:
    return {one.level for one in findings}


def test_a_bare_org_is_made_ready(bare: SalesforceEmulator, setup_of: SalesforceSetup) -> None:
    ill = setup_of.doctor()
    assert levels(list(ill)) == {"error", "warning"}
    assert all(one.mend == "run `hub salesforce install`" for one in ill)
    assert levels(list(setup_of.install(check_only=False))) == {"ok"}
    assert [one.level for one in setup_of.doctor()] == ["ok"]
    assert levels(list(setup_of.install(check_only=False))) == {"ok"}
    assert len(bare.rows("PermissionSetAssignment")) == 1


def test_a_check_changes_nothing(bare: SalesforceEmulator, setup_of: SalesforceSetup) -> None:
    (found,) = setup_of.install(check_only=True)
    assert (found.level, "would come" in found.problem) == ("ok", True)
    assert f.SUMMARY.lower() not in bare.records.kinds
    assert bare.rows("PermissionSet") == []


def test_a_user_who_may_not_deploy_is_told_both_ways_out(bare: SalesforceEmulator, setup_of: SalesforceSetup) -> None:
    bare.may_deploy = False
    (found,) = setup_of.install(check_only=False)
    assert found.level == "error"
    assert "Modify Metadata" in found.mend
    assert "sf project deploy start" in found.mend


def test_a_user_who_may_not_take_the_permission_set_is_told_where(
    bare: SalesforceEmulator, setup_of: SalesforceSetup
) -> None:
    bare.admin("deny", {"object": "PermissionSetAssignment", "what": ["create"]})
    found = setup_of.install(check_only=False)
    assert [one.level for one in found] == ["ok", "error"]
    assert "Manage Assignments" in found[1].mend
    assert all("permission set License Usage: Integration" in one.mend for one in setup_of.doctor())


def test_a_failure_in_the_zip_names_its_component_and_changes_nothing(
    bare: SalesforceEmulator, setup_of: SalesforceSetup
) -> None:
    del bare.records.kinds["opportunity"].columns["name"]
    bare.records.kinds.pop("task")
    found = setup_of.install(check_only=False)
    assert levels(list(found)) == {"error"}
    assert any("Activity" in one.problem for one in found)
    assert f.SUMMARY.lower() not in bare.records.kinds


@pytest.mark.parametrize("name", [f"{f.SUMMARY}.Drop_Pct__c", "Account.License_Signal__c", "Task.License_Alert_Key__c"])
def test_the_doctor_names_a_hidden_field(org: SalesforceEmulator, setup: SalesforceSetup, name: str) -> None:
    org.admin("hide", {"field": name})
    (found,) = setup.doctor()
    assert found.problem.startswith(f"{name}: the field is missing, or no permission set")
    assert found.level == ("error" if "Key" in name else "warning")


def test_the_doctor_tells_a_field_that_may_only_be_read(org: SalesforceEmulator, setup: SalesforceSetup) -> None:
    org.permission_sets[f.INTEGRATION] = org.permission_sets[f.READER]
    problems = [one.problem for one in setup.doctor()]
    assert "Account.License_Signal__c: the hub's user may read the field, not write it" in problems


def test_the_doctor_tells_a_key_that_is_no_unique_external_id(org: SalesforceEmulator, setup: SalesforceSetup) -> None:
    kind = org.records.kinds[f.SUMMARY.lower()]
    del kind.columns["usage_key__c"]
    kind.add(type(next(iter(kind.columns.values())))(name="Usage_Key__c", type="string", length=120))
    assert any("no unique external id" in one.problem for one in setup.doctor())


def test_the_doctor_looks_for_the_field_that_customers_are_matched_by(org: SalesforceEmulator, client: Client) -> None:
    settings = client._settings.model_copy(update={"account_field": "Zentitle_Customer_ID__c"})
    setup = SalesforceSetup("sf", settings, lambda: client)
    assert any("Zentitle_Customer_ID__c, by which customers are matched" in one.problem for one in setup.doctor())
    org.add_vendor_package()
    found = setup.doctor()
    assert levels(list(found)) == {"ok"}
    assert any("licensing vendor's own package" in one.problem for one in found)


def test_the_doctor_tells_what_made_records_need(org: SalesforceEmulator, setup: SalesforceSetup) -> None:
    org.admin("hide", {"field": "Task.ActivityDate"})
    assert any("may not write ActivityDate" in one.problem and "tasks = false" in one.mend for one in setup.doctor())


def test_the_doctor_tells_refused_credentials_and_an_org_that_is_away(
    org: SalesforceEmulator, setup: SalesforceSetup
) -> None:
    org.faults.configure({"rates": {"error": 1.0}})
    (found,) = setup.doctor()
    assert (found.level, "try again" in found.mend) == ("error", True)
    org.faults.configure({"rates": {}})
    org.oauth.public_keys.clear()
    org.oauth.given.clear()
    (found,) = setup.doctor()
    assert (found.level, "consumer_key" in found.mend) == ("error", True)


def test_the_doctor_tells_a_budget_that_is_used_up(org: SalesforceEmulator, setup: SalesforceSetup) -> None:
    org.admin("usage", {"used": 90_000})
    assert any("daily API requests" in one.problem and one.level == "warning" for one in setup.doctor())


def test_the_zip_that_is_deployed_is_the_one_that_is_shipped(org: SalesforceEmulator) -> None:
    names = {one.name for one in org.records.kinds[f.SUMMARY.lower()].columns.values() if one.custom}
    assert names == set(metadata.objects()[f.SUMMARY])


def a_seller(settings: Callable[..., Settings], org: SalesforceEmulator, **values: Any) -> SalesforceSetup:
    known = {"organization_id": org.org_id, "sold_since": "2026-01-01", "livemode": False, "webhook_secrets": ["one"]}
    one = settings(**(known | values))
    return SalesforceSetup("sf", one, lambda: Client(one, deps()))


@pytest.mark.parametrize("sells_by", SHAPES)
def test_an_org_that_sells_and_has_all_of_it_is_well(
    settings: Callable[..., Settings], org: SalesforceEmulator, sells_by: str
) -> None:
    assert [one.level for one in a_seller(settings, org, sells_by=sells_by).doctor()] == ["ok"]


@pytest.mark.parametrize("sells_by", metadata.SALES)
def test_an_install_brings_the_fields_of_what_is_sold_by_and_of_nothing_else(
    bare: SalesforceEmulator, sells_by: str
) -> None:
    known = {"base_url": "", "consumer_key": "sandbox-consumer", "consumer_secret": "sandbox-secret"}
    selling = {"organization_id": bare.org_id, "sold_since": "2026-01-01", "livemode": False, "webhook_secrets": ["s"]}
    with serving(bare) as url:
        one = Settings.model_validate(known | selling | {"base_url": url, "sells_by": sells_by})
        client = Client(one, deps())
        setup = SalesforceSetup("sf", one, lambda: client, poll_s=0.01)
        assert levels(list(setup.install(check_only=False))) == {"ok"}
        assert [finding.level for finding in setup.doctor()] == ["ok"]
        client.close()
    has = {
        name
        for name in ("order", "contract", "orderitem", "asset")
        if any(column.custom for column in bare.records.kinds[name].columns.values())
    }
    assert has == {name.lower() for name in metadata.SALES[sells_by]}
    rights = {name for name, may in bare.permission_sets[f.INTEGRATION].objects.items() if "read" in may}
    assert rights & {"asset", "contract", "order"} == has - {"orderitem"}


def test_what_an_administrator_sets_up_is_a_message_on_each_object_that_may_change_the_sale(
    settings: Callable[..., Settings],
) -> None:
    told = [to_paste("sf", settings(sells_by=name), "https://hub")[0].mend for name in SHAPES]
    assert [re.findall(r"object ([\w ]+):", one) for one in told] == [
        ["Opportunity"],
        ["Order"],
        ["Contract and Order"],
        ["Asset"],
    ]


@pytest.mark.parametrize(
    ("values", "hidden", "level", "said"),
    [
        ({"livemode": True}, "", "error", "is a sandbox"),
        ({"organization_id": "00D000000000009"}, "", "error", "organization_id is 00D000000000009"),
        ({}, "Opportunity.License_Renews__c", "error", "License_Renews__c is not there"),
        ({}, "OpportunityLineItem.License_End__c", "error", "License_End__c is not there"),
        ({}, "OpportunityLineItem.License_Code__c", "warning", "may not write License_Code__c"),
        ({"webhook_secrets": []}, "", "warning", "nobody may tell of sales"),
        ({"sells_by": "Order"}, "Order.License_Renews__c", "error", "Order: License_Renews__c is not there"),
        ({"sells_by": "Contract"}, "Contract.ActivatedDate", "error", "Contract: ActivatedDate is not there"),
        ({"sells_by": "Contract"}, "OrderItem.License_Code__c", "warning", "may not write License_Code__c"),
        ({"sells_by": "Asset"}, "Asset.License_End__c", "error", "Asset: License_End__c is not there"),
    ],
)
def test_what_a_seller_lacks_is_named_with_its_mend(
    settings: Callable[..., Settings], org: SalesforceEmulator, values: Any, hidden: str, level: str, said: str
) -> None:
    org.hidden |= {hidden.lower()} - {""}
    found = [one for one in a_seller(settings, org, **values).doctor() if said in one.problem]
    assert [one.level for one in found] == [level]
    assert all(one.mend for one in found)
