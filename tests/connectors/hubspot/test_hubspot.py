"""A push to the emulated portal: what lands, what is refused, what is never touched, and who is whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.emulation import serving
from connectors.hubspot import Settings, connect
from connectors.hubspot import fields as f
from connectors.hubspot.client import Client
from connectors.hubspot.crm import HubspotCrm
from connectors.hubspot.emulator import TOKEN, HubspotEmulator
from connectors.hubspot.setup import HubspotSetup
from hub.domain import UsageSummary
from hub.errors import ConfigurationError, Hold, PermanentError
from hub.ports import CrmSetup, Outcome, PushResult, Worth
from hub.rollup import accounts
from tests.conformance import deps
from tests.connectors.salesforce.conftest import a_summary

OPEN = {"dealname": "Acme 2027", "closedate": "2027-09-15T00:00:00Z", "dealtype": "existingbusiness"}


@pytest.fixture
def portal() -> HubspotEmulator:
    return HubspotEmulator()


@pytest.fixture
def url(portal: HubspotEmulator) -> Iterator[str]:
    with serving(portal) as address:
        yield address


@pytest.fixture
def crm_with(url: str) -> Iterator[Callable[..., HubspotCrm]]:
    made: list[HubspotCrm] = []

    def make(**values: Any) -> HubspotCrm:
        settings = Settings(**({"base_url": url, "access_token": TOKEN} | values))
        made.append(HubspotCrm(settings, Client(settings, deps())))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def crm(setup: CrmSetup, crm_with: Callable[..., HubspotCrm]) -> HubspotCrm:
    """On a portal that has our properties."""
    assert all(one.level == "ok" for one in setup.install(check_only=False))
    return crm_with()


@pytest.fixture
def setup(url: str) -> Iterator[HubspotSetup]:
    settings = Settings(base_url=url, access_token=TOKEN)
    client = Client(settings, deps())
    yield HubspotSetup("hs", settings, client)
    client.close()


def a_company(portal: HubspotEmulator, name: str = "Acme", **values: str) -> str:
    return portal.add(f.COMPANY, **({"name": name, "hubspot_owner_id": "71"} | values))


def a_deal(portal: HubspotEmulator, company: str, **values: str) -> str:
    return str(portal.admin("add", {"kind": f.DEAL, "properties": OPEN | values, "company": company})["id"])


def pushed(crm: HubspotCrm, *summaries: UsageSummary) -> list[PushResult]:
    records, problems = crm.records(accounts(summaries))
    return [*problems, *crm.push(records)]


def outcomes(results: list[PushResult]) -> dict[str, int]:
    return dict(Counter(one.outcome.value for one in results))


# what lands


def test_company_and_open_renewal_say_how_the_licenses_are_used(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    deal = a_deal(portal, company, amount="48000")
    assert outcomes(pushed(crm, a_summary(company))) == {"updated": 2}
    told = portal.rows[f.COMPANY][company]
    assert (told["license_signal"], told["license_drop"], told["license_seats"]) == ("at_risk", "37", "100")
    assert told["license_products"].startswith("PRO-100: at risk, 100 seats, renews 2027-09-30. Use fell")
    said = portal.rows[f.DEAL][deal]
    assert (said["license_recommended_seats"], said["license_forecast_low"]) == ("60", "41")


def test_nothing_that_people_own_is_written(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal, domain="acme.example")
    deal = a_deal(portal, company, amount="48000", dealstage="qualifiedtobuy")
    before = dict(portal.rows[f.COMPANY][company]), dict(portal.rows[f.DEAL][deal])
    for _ in range(3):
        pushed(crm, a_summary(company))
    after = portal.rows[f.COMPANY][company], portal.rows[f.DEAL][deal]
    assert [{k: v for k, v in one.items() if not k.startswith("license_")} for one in after] == list(before)


def test_a_value_that_is_no_longer_known_is_cleared(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    pushed(crm, a_summary(company))
    pushed(crm, a_summary(company, drop=None, recommended_seats=None))
    told = portal.rows[f.COMPANY][company]
    assert (told["license_drop"], told["license_recommended_seats"]) == ("", "")


def test_a_plan_tells_each_property_and_nothing_once_it_is_so(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    records, _ = crm.records(accounts([a_summary(company)]))
    planned = {(one.object, one.field, one.now, one.then) for one in crm.differences(records)}
    assert (f.COMPANY, "license_signal", None, "at_risk") in planned
    assert "license_signal" not in portal.rows[f.COMPANY][company]
    list(crm.push(records))
    assert list(crm.differences(records)) == []


# deals


def test_of_open_deals_of_the_renewal_types_the_nearest_close_is_taken(
    portal: HubspotEmulator, crm: HubspotCrm
) -> None:
    company = a_company(portal)
    won = a_deal(portal, company, dealstage="closedwon", closedate="2027-09-30T00:00:00Z")
    new = a_deal(portal, company, dealtype="newbusiness", closedate="2027-09-30T00:00:00Z")
    far = a_deal(portal, company, closedate="2028-09-30T00:00:00Z")
    near = a_deal(portal, company)
    pushed(crm, a_summary(company))
    assert [id_ for id_ in (won, new, far, near) if "license_signal" in portal.rows[f.DEAL][id_]] == [near]


def test_a_renewal_that_nobody_opened_is_made_once_for_its_company(
    portal: HubspotEmulator, crm: HubspotCrm, crm_with: Callable[..., HubspotCrm]
) -> None:
    company, making = a_company(portal), crm_with(create_renewals=True)
    assert outcomes(pushed(making, a_summary(company))) == {"updated": 1, "created": 1}
    ((deal, made),) = portal.rows[f.DEAL].items()
    assert portal.links == {(deal, company)}
    assert (made["dealtype"], made["closedate"], made.get("amount")) == (
        "existingbusiness", "2027-09-30T00:00:00Z", None,
    )  # fmt: skip
    made["dealname"] = "Theirs now"
    records, _ = making.records(accounts([a_summary(company)]))
    assert {one.key_field for one in records} == {f.ID}  # it is found like any other from now on
    list(making.push(records))
    assert [one["dealname"] for one in portal.rows[f.DEAL].values()] == ["Theirs now"]


def test_a_lost_answer_to_a_new_deal_makes_no_second_one(
    portal: HubspotEmulator, crm: HubspotCrm, crm_with: Callable[..., HubspotCrm]
) -> None:
    company, making = a_company(portal), crm_with(create_renewals=True)
    path = "/crm/v3/objects/deals/batch/upsert"
    portal.faults.configure({"plan": [{"fault": "apply_then_reset", "path": path}]})
    pushed(making, a_summary(company))
    assert len(portal.rows[f.DEAL]) == 1
    assert len(portal.links) == 1


def test_a_deal_that_lost_its_company_on_the_way_gets_it_with_the_next_push(
    portal: HubspotEmulator, crm: HubspotCrm, crm_with: Callable[..., HubspotCrm]
) -> None:
    company, making = a_company(portal), crm_with(create_renewals=True)
    path = "/crm/v4/associations/deals/companies/batch/associate"
    portal.faults.configure({"plan": [{"fault": "error", "path": path}] * 3})
    assert outcomes(pushed(making, a_summary(company))) == {"updated": 1, "later": 1}
    assert outcomes(pushed(making, a_summary(company))) == {"updated": 1, "unchanged": 1}
    assert len(portal.links) == len(portal.rows[f.DEAL]) == 1


# who is whom


def test_companies_are_found_by_a_property_in_any_case(
    portal: HubspotEmulator, crm: HubspotCrm, crm_with: Callable[..., HubspotCrm]
) -> None:
    portal.properties[f.COMPANY]["customer_no"] = {"name": "customer_no", "type": "string"}
    company = a_company(portal, customer_no="C-17")
    by_property = crm_with(company_field="customer_no", company_by="customer_id")
    assert outcomes(pushed(by_property, a_summary("x", customer_id="c-17"))) == {"updated": 1}
    a_company(portal, "Acme GmbH", customer_no="c-17")
    (problem,) = pushed(by_property, a_summary("x", customer_id="c-17"))
    assert problem.outcome is Outcome.AMBIGUOUS
    assert company in problem.reason


def test_who_has_no_company_is_told_and_the_others_go(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    rows = [a_summary("12345", "ent_2"), a_summary("", "ent_3"), a_summary("no id", "ent_4"), a_summary(company)]
    assert outcomes(pushed(crm, *rows)) == {"unmatched": 3, "updated": 1}


def test_two_customers_of_one_company_are_told_and_neither_is_written(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    rows = [a_summary(company, "ent_1", customer_id="a"), a_summary(company, "ent_2", customer_id="b")]
    (problem,) = pushed(crm, *rows)
    assert (problem.outcome, problem.key) == (Outcome.AMBIGUOUS, company)
    assert "license_signal" not in portal.rows[f.COMPANY][company]


def test_deals_on_many_pages_are_all_seen(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    portal.page = 2
    company = a_company(portal)
    for _ in range(4):
        a_deal(portal, company, dealstage="closedlost")
    deal = a_deal(portal, company)
    pushed(crm, a_summary(company))
    assert "license_signal" in portal.rows[f.DEAL][deal]


# worth and owner


def worths(crm: HubspotCrm, *rows: UsageSummary) -> list[Worth | None]:
    return [one.worth for one in crm.records(accounts(rows))[0]]


def test_what_a_renewal_is_worth_and_whose_it_is_are_read(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    portal.people["72"] = {"firstName": "", "lastName": "", "email": "max@vendor.example"}
    company = a_company(portal)
    a_deal(portal, company, amount="48000.50", deal_currency_code="USD", hubspot_owner_id="72")
    whole, renewal = worths(crm, a_summary(company))
    assert whole == Worth(entitlement_ids=("ent_1",), owner="Iris Vogel")
    assert renewal == Worth(
        entitlement_ids=("ent_1",), amount=Decimal("48000.50"), currency="USD", owner="max@vendor.example"
    )


def test_a_deal_without_a_currency_has_the_portal_s(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    deal = a_deal(portal, company, amount="100")
    assert [one and one.currency for one in worths(crm, a_summary(company))] == ["", "EUR"]
    portal.rows[f.DEAL][deal].pop("amount")
    assert [one and one.amount for one in worths(crm, a_summary(company))] == [None, None]


def test_without_the_scope_for_owners_all_else_goes(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    portal.scopes.remove("crm.objects.owners.read")
    company = a_company(portal)
    assert [one and one.owner for one in worths(crm, a_summary(company))] == [""]


# what can go wrong


def test_one_bad_record_among_a_hundred_is_refused_alone(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    companies = [a_company(portal, f"C{n}") for n in range(60)]
    rows = [
        a_summary(one, f"ent_{one}", confidence="absolute" if n == 33 else "high") for n, one in enumerate(companies)
    ]
    before = sum(portal.calls.values())
    results = pushed(crm, *rows)
    assert outcomes(results) == {"refused": 1, "updated": 59}
    (bad,) = [one for one in results if one.outcome is Outcome.REFUSED]
    assert "absolute was not one of the allowed options" in bad.reason
    assert "hub hubspot install" in bad.mend
    assert sum(portal.calls.values()) - before < 25


def test_a_company_that_was_deleted_meanwhile_is_refused_alone(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    kept, gone = a_company(portal), a_company(portal, "Gone")
    records, _ = crm.records(accounts([a_summary(kept), a_summary(gone, "ent_2")]))
    del portal.rows[f.COMPANY][gone]
    results = list(crm.push(records))
    assert outcomes(results) == {"updated": 1, "refused": 1}
    assert next(one for one in results if one.key == gone).mend.startswith("it was deleted or merged")


def test_a_property_that_is_taken_away_costs_itself_alone(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    del portal.properties[f.COMPANY]["license_drop"]
    results = pushed(crm, a_summary(company))
    assert outcomes(results) == {"degraded": 1, "updated": 1}
    assert portal.rows[f.COMPANY][company]["license_signal"] == "at_risk"


@pytest.mark.parametrize("fault", ["throttle", "error", "reset", "apply_then_reset", "apply_then_error", "garbage"])
def test_what_passes_within_seconds_is_not_seen(portal: HubspotEmulator, crm: HubspotCrm, fault: str) -> None:
    company = a_company(portal)
    portal.faults.retry_after_s = 0
    portal.faults.configure({"plan": [{"fault": fault, "path": "/crm/v3/objects/companies/batch/update"}]})
    assert outcomes(pushed(crm, a_summary(company))) == {"updated": 1}


def test_at_our_share_of_the_day_the_rest_is_left_for_later(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    companies = [a_company(portal, f"C{n}") for n in range(150)]
    records, _ = crm.records(accounts([a_summary(one, f"ent_{one}") for one in companies]))
    portal.used = portal.daily * 8 // 10 - 1
    results = list(crm.push(records))
    assert outcomes(results) == {"updated": 100, "later": 50}
    assert "80% of the portal's daily API requests" in results[-1].reason


def test_a_day_that_is_used_up_stops_the_push_and_is_not_asked_again(portal: HubspotEmulator, url: str) -> None:
    held: list[float] = []
    known = deps()
    limiter = type("Noting", (), {"acquire": lambda _: None, "hold": lambda _, s: held.append(s)})()
    settings = Settings(base_url=url, access_token=TOKEN)
    client = Client(settings, replace(known, limiter=limiter))
    portal.used = portal.daily
    with pytest.raises(Hold, match="You have reached your daily limit"):
        client.properties(f.COMPANY)
    assert held[-1] == 1800
    client.close()


def test_a_missing_scope_is_told_with_its_name(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    portal.scopes.remove("crm.objects.companies.write")
    company = a_company(portal)
    (result,) = pushed(crm, a_summary(company))
    assert result.outcome is Outcome.REFUSED
    assert "crm.objects.companies.write" in result.reason
    assert "docs/hubspot.md" in result.mend
    portal.scopes.remove("crm.objects.companies.read")
    with pytest.raises(PermanentError, match=r"crm\.objects\.companies\.read"):
        crm.records(accounts([a_summary(company)]))


# set-up


def test_install_makes_what_is_missing_and_nothing_twice(portal: HubspotEmulator, setup: HubspotSetup) -> None:
    count = sum(map(len, f.OURS.values()))
    assert f"{count} properties would come" in setup.install(check_only=True)[0].problem
    assert f.GROUP not in portal.groups[f.COMPANY]
    assert f"{count} properties were made" in setup.install(check_only=False)[0].problem
    assert portal.properties[f.DEAL][f.RENEWAL_KEY]["hasUniqueValue"]
    assert "0 properties were made" in setup.install(check_only=False)[0].problem
    assert [one.level for one in setup.doctor()] == ["ok"]
    assert setup.page() == "https://app.hubspot.com/contacts/4711/objects/0-2"


def test_the_doctor_names_each_lack_with_its_mend(portal: HubspotEmulator, setup: HubspotSetup) -> None:
    setup.install(check_only=False)
    company = portal.properties[f.COMPANY]
    del company["license_drop"]
    company["license_seats"]["type"] = "string"
    company["license_signal"]["options"].pop()
    company["license_evidence"]["modificationMetadata"]["readOnlyValue"] = True
    portal.properties[f.DEAL][f.RENEWAL_KEY]["hasUniqueValue"] = False
    portal.scopes.remove("crm.objects.owners.read")
    told = " ".join(one.problem for one in setup.doctor())
    for word in (
        *("license_drop: the property is missing", "license_seats: the property is of type string, not number"),
        *("license_signal: the property has no option insufficient_data", "license_evidence: the property may not"),
        *("license_renewal_key: the property is not unique", "owners can't be read"),
    ):
        assert word in told


def test_a_wrong_token_is_told_with_its_mend(url: str) -> None:
    made = connect("hs", Settings(base_url=url, access_token="pat-wrong"), deps())
    assert made.crm_setup is not None
    (finding,) = made.crm_setup.doctor()
    assert "compare access_token" in finding.mend
    assert "pat-wrong" not in finding.problem


def test_an_address_that_would_carry_the_token_in_the_clear_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        connect("hs", Settings(base_url="http://api.example.com", access_token="x"), deps())


def test_a_deal_is_due_on_the_day_that_its_license_ends(portal: HubspotEmulator, crm: HubspotCrm) -> None:
    company = a_company(portal)
    a_deal(portal, company)
    pushed(crm, a_summary(company, renewal=date(2027, 10, 1)))
    assert [one["license_renewal_date"] for one in portal.rows[f.DEAL].values()] == ["2027-10-01"]
