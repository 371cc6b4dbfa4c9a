"""What the hub holds and changes through Zentitle2, against the emulator over real HTTP."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from connectors.emulation import reply
from connectors.zentitle import Settings, connect
from connectors.zentitle.client import Client, EntitlementModel
from connectors.zentitle.keys import Keys
from connectors.zentitle.licensing import ZentitleLicensing, to_entitlement, to_fields
from hub.domain import (
    Action,
    Applied,
    Call,
    ChangeOffering,
    CreateCustomer,
    CreateGroup,
    Disable,
    Enable,
    Entitlement,
    ExtendGroup,
    Held,
    SetTerms,
    Told,
)
from hub.errors import ConfigurationError, PermanentError, RetryableError, UnknownResult
from tests.rsa import modulus_of, rsa_key

MODELS = Path(__file__).parents[3] / ".." / "shared" / "reference" / "data" / "zentitle2-models-2025-10-10.json"
CODE = "ABCDE-FGHIJ-KLMNO-PQRST"
MAY = datetime(2027, 5, 1, tzinfo=UTC)


def a_customer(licensing: ZentitleLicensing, ref: str = "acc-1") -> str:
    return licensing.apply(CreateCustomer(account_ref=ref, name="Northwind")).ids[0]


def a_group(
    licensing: ZentitleLicensing, customer: str, *skus: str, ref: str = "stripe:sub_1", code: str = CODE
) -> Applied:
    action = CreateGroup(customer_id=customer, order_ref=ref, skus=skus or ("PRO-100",), activation_code=code)
    return licensing.apply(action)


@pytest.fixture
def customer(licensing: ZentitleLicensing) -> str:
    return a_customer(licensing)


@pytest.fixture
def group(licensing: ZentitleLicensing, customer: str) -> str:
    return a_group(licensing, customer).ids[0]


def the(held: Held) -> Entitlement:
    (entitlement,) = held.entitlements
    return entitlement


def held_entitlement(licensing: ZentitleLicensing, group: str) -> Entitlement:
    return the(licensing.held("", "stripe:sub_1", groups=(group,)))


def an_entitlement(**fields: object) -> EntitlementModel:
    usual = {
        "id": "ent_1",
        "sku": "PRO-100",
        "offeringId": "off_1",
        "productId": "prod_1",
        "licenseType": "subscription",
        "status": "active",
        "seatCount": 5,
        "seatsUsed": 2,
        "overdraftSeatLimit": {"type": "none", "value": None},
        "gracePeriod": {"type": "none", "count": None},
        "exported": False,
    }
    return EntitlementModel.model_validate(usual | fields)


def seen(**fields: object) -> Entitlement:
    return to_entitlement(an_entitlement(**fields), "egr_1", "stripe:sub_1")


# Reading


def test_customers_are_listed_by_their_account_reference(licensing, customer, client):
    client._write("POST", "/customers", {"name": "no reference"})
    assert list(licensing.customers()) == [("acc-1", customer)]


def test_an_entitlement_is_read_by_its_id_with_its_order_and_its_customer(licensing, customer, group):
    held = held_entitlement(licensing, group)
    found = licensing.entitlement(held.id)
    assert found is not None
    assert (found.order_ref, found.customer_id, found.group_id) == ("stripe:sub_1", customer, group)
    assert replace(found, lines=held.lines) == held


def test_an_entitlement_that_nobody_knows_is_none(licensing):
    assert licensing.entitlement("ent_unknown") is None
    assert licensing.entitlement("../customers") is None


def test_an_entitlement_of_no_customer_and_no_order_is_told_without(licensing, vendor):
    group = vendor.tenant.create_group({"skus": ["PRO-100"]}, vendor.clock.now())
    found = licensing.entitlement(group.entitlements[0])
    assert (found.order_ref, found.customer_id) == ("", "")
    (row,) = licensing.entitlements()
    assert (row.order_ref, row.customer_id, row.group_id) == ("", "", group.id)


def test_every_entitlement_is_listed_with_its_numbers_over_all_pages(licensing, vendor):
    vendor.fill(450)
    rows = list(licensing.entitlements())
    assert len({row.entitlement_id for row in rows}) == len(rows) == 450
    id_ = rows[7].entitlement_id
    vendor.edit({"entitlement": id_, "seatCount": 4, "overdraftSeatLimit": {"type": "absolute", "value": 2}})
    vendor.activate({"entitlement": id_, "seatIds": ["a", "b", "c", "d", "e"]})
    (row,) = (one for one in licensing.entitlements() if one.entitlement_id == id_)
    assert (row.seats, row.seats_used, row.overdraft, row.offering, row.order_ref) == (4, 5, 2, "PRO-100", "fill:7")
    held = licensing.entitlement(id_)
    assert held is not None
    assert (row.group_id, row.customer_id, row.expires_at) == (held.group_id, held.customer_id, held.expires_at)


def test_what_a_webhook_says_is_told(licensing):
    body = {"eventId": "e", "eventCode": "entitlement.updated", "payload": {"entitlementId": "ent_1", "seatCount": 9}}
    assert licensing.told(json.dumps(body).encode()) == Told(entitlement_id="ent_1", fields={"seats": 9})
    assert licensing.told(b"nonsense") is None


def test_offerings_are_told_by_sku(licensing, vendor):
    offering = licensing.offerings()["TEAM-YEAR"]
    assert (offering.sku, offering.seats, offering.perpetual, offering.starts_at_creation) == (
        "TEAM-YEAR",
        5,
        False,
        True,
    )
    assert offering.id == vendor.tenant.offering_with_sku["TEAM-YEAR"]


def test_offerings_of_one_product_share_its_id(licensing):
    offerings = licensing.offerings()
    assert offerings["PRO-100"].product_id == offerings["TEAM-YEAR"].product_id != offerings["ADDON-YEAR"].product_id


def test_a_perpetual_plan_is_told(licensing):
    assert licensing.offerings()["PERP-1"].perpetual


def test_offerings_are_cached_until_asked_anew(licensing, vendor):
    licensing.offerings()
    vendor.add_offering("NEW-1")
    assert "NEW-1" not in licensing.offerings()
    assert "NEW-1" in licensing.offerings(refresh=True)


def test_held_finds_a_group_by_its_order_reference(licensing, customer, group):
    a_group(licensing, customer, ref="stripe:sub_2", code="OTHER-CODE")
    held = licensing.held(customer, "stripe:sub_1")
    assert held.groups == (group,)
    assert (the(held).offering, the(held).order_ref, the(held).group_id) == ("PRO-100", "stripe:sub_1", group)


def test_held_matches_the_reference_exactly(licensing, customer, group):
    assert licensing.held(customer, "stripe:sub_") == Held()
    assert licensing.held(customer, "STRIPE:SUB_1") == Held()


def test_held_does_not_see_another_customer_s_group(licensing, group):
    assert licensing.held(a_customer(licensing, "acc-2"), "stripe:sub_1") == Held()


def test_held_by_stored_ids_asks_for_no_list(licensing, customer, group, vendor):
    vendor.requests.clear()
    assert licensing.held(customer, "stripe:sub_1", groups=(group,)).groups == (group,)
    assert [request.path.rsplit("/", 2)[1] for request in vendor.requests] == ["groups", "entitlements"]


def test_held_leaves_out_a_stored_group_that_is_gone(licensing, customer, group):
    assert licensing.held(customer, "stripe:sub_1", groups=("egr_gone", group)).groups == (group,)


def test_held_tells_every_group_of_a_doubled_create(licensing, customer, group):
    second = a_group(licensing, customer).ids[0]
    assert licensing.held(customer, "stripe:sub_1").groups == (group, second)


def test_held_asks_by_code_where_the_list_lags(licensing, customer, vendor):
    vendor.switches.stale_s = 60
    group = a_group(licensing, customer).ids[0]
    assert licensing.held(customer, "stripe:sub_1").groups == ()
    assert licensing.held(customer, "stripe:sub_1", code=CODE).groups == (group,)


def test_held_asks_by_code_in_every_product_until_it_is_found(licensing, customer, vendor):
    vendor.switches.stale_s = 60
    group = a_group(licensing, customer, "ADDON-YEAR").ids[0]
    assert licensing.held(customer, "stripe:sub_1", code=CODE).groups == (group,)
    asked = [json.loads(request.get_data()) for request in vendor.sent("/api/v1/entitlements/groups/find")]
    assert len({body["productId"] for body in asked}) == len(asked) == 2


def test_held_takes_no_group_whose_code_fits_but_not_its_reference(licensing, customer, vendor):
    a_group(licensing, customer, ref="stripe:other")
    assert licensing.held(customer, "stripe:sub_1", code=CODE) == Held()


def test_held_asks_by_code_only_if_the_list_has_nothing(licensing, customer, group, vendor):
    licensing.held(customer, "stripe:sub_1", code=CODE)
    assert not vendor.sent("/api/v1/entitlements/groups/find")


def test_the_seats_in_use_are_told(licensing, customer, group, vendor):
    vendor.activate({"orderRefId": "stripe:sub_1", "seatIds": ["a"]})
    assert held_entitlement(licensing, group).seats_used == 1


# The model


@pytest.mark.parametrize(
    ("fields", "enabled"),
    [
        ({}, True),
        ({"status": "expired"}, True),
        ({"status": "disabled"}, False),
        ({"disabledDate": "2026-01-01T00:00:00Z"}, False),
        ({"status": "customerDisabled", "disabledDate": "2026-01-01T00:00:00Z"}, False),
        ({"status": "customerDisabled"}, True),
    ],
)
def test_an_entitlement_is_on_unless_it_was_disabled_itself(fields, enabled):
    assert seen(**fields).enabled is enabled


@pytest.mark.parametrize(
    ("limit", "seats"),
    [
        ({"type": "none"}, 0),
        ({"type": "absolute", "value": 3}, 3),
        ({"type": "absolute", "value": 0}, 0),
        ({"type": "percentage", "value": 10}, None),
        ({"type": "unlimited"}, None),
        ({"type": "a new word"}, None),
        (None, None),
    ],
)
def test_overdraft_is_a_number_only_where_the_vendor_counts_seats(limit, seats):
    assert seen(overdraftSeatLimit=limit).overdraft == seats


@pytest.mark.parametrize(
    ("grace", "own"),
    [
        ({"type": "day", "count": 7}, True),
        ({"type": "none"}, False),
        ({"type": "day", "count": 0}, False),
        ({"type": "day"}, False),
        (None, False),
    ],
)
def test_a_grace_period_of_its_own_is_told(grace, own):
    assert seen(gracePeriod=grace).own_grace is own


@pytest.mark.parametrize(
    ("fields", "frozen"),
    [({}, False), ({"exported": True}, True), ({"status": "exported"}, True), ({"status": "customerDisabled"}, True)],
)
def test_an_entitlement_that_may_not_be_written_to_is_frozen(fields, frozen):
    assert seen(**fields).frozen is frozen


@pytest.mark.parametrize(
    "text",
    ["2027-05-01T00:00:00Z", "2027-05-01T00:00:00", "2027-05-01T02:00:00+02:00", "2027-05-01T00:00:00.0000000Z"],
)
def test_dates_are_aware_and_in_utc(text):
    moment = seen(expiryDate=text).expires_at
    assert (moment, moment.utcoffset()) == (MAY, timedelta(0))


def test_a_perpetual_license_has_no_expiry():
    entitlement = seen(licenseType="perpetual", expiryDate=None)
    assert (entitlement.perpetual, entitlement.expires_at) == (True, None)


def test_an_unknown_status_is_kept_as_it_stands():
    assert seen(status="hibernating").status == "hibernating"


def test_an_entitlement_that_lacks_what_we_need_is_retryable(licensing, group, vendor):
    entitlement = held_entitlement(licensing, group).id
    vendor.script(f"/api/v1/entitlements/{entitlement}", reply({"id": entitlement}))
    with pytest.raises(RetryableError, match="seatCount"):
        held_entitlement(licensing, group)


# Acting


def test_each_action_is_one_request(licensing, customer, vendor):
    group, entitlement = a_group(licensing, customer).ids[0], None
    entitlement = held_entitlement(licensing, group).id
    for action in changes(entitlement, vendor):
        vendor.requests.clear()
        licensing.apply(action)
        assert len(vendor.requests) == 1


def changes(entitlement: str, vendor) -> list[Action]:
    """One of every change that may be repeated."""
    team = vendor.tenant.offering_with_sku["TEAM-YEAR"]
    return [
        ChangeOffering(entitlement_id=entitlement, offering_id=team, sku="TEAM-YEAR"),
        SetTerms(entitlement_id=entitlement, expires_at=MAY, seats=7, overdraft=2),
        Disable(entitlement_id=entitlement),
        Enable(entitlement_id=entitlement),
        SetTerms(entitlement_id=entitlement, overdraft=0),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_change_applied_twice_equals_once(licensing, group, vendor, number):
    action = changes(held_entitlement(licensing, group).id, vendor)[number]
    licensing.apply(action)
    once = held_entitlement(licensing, group)
    licensing.apply(action)
    again = held_entitlement(licensing, group)
    # A change of offering restarts the term, each time from now: that is why SetTerms follows it.
    assert replace(again, expires_at=None) == replace(once, expires_at=None)
    assert isinstance(action, ChangeOffering) or again == once


def test_a_created_customer_is_told(licensing):
    applied = licensing.apply(CreateCustomer(account_ref="acc-1", name="Northwind"))
    assert applied.call == Call(
        method="POST", path="/api/v1/customers", body={"name": "Northwind", "accountRefId": "acc-1"}, status=201
    )
    assert list(licensing.customers()) == [("acc-1", applied.ids[0])]


def test_a_created_group_and_its_entitlements_are_told(licensing, customer, vendor):
    applied = a_group(licensing, customer, "PRO-100", "ADDON-YEAR")
    held = licensing.held(customer, "stripe:sub_1")
    assert applied.ids[0] == held.groups[0]
    assert set(applied.ids[1:]) <= {entitlement.id for entitlement in held.entitlements}
    assert Counter(entitlement.offering for entitlement in held.entitlements) == {"PRO-100": 1, "ADDON-YEAR": 1}
    assert applied.call.body == {
        "skus": ["PRO-100", "ADDON-YEAR"],
        "customerId": customer,
        "activationCode": CODE,
        "orderRefId": "stripe:sub_1",
    }


def test_a_created_group_s_entitlements_need_not_be_told(licensing, customer, vendor):
    vendor.script("/api/v1/entitlements/groups", reply({"id": "egr_9"}, 201))
    assert a_group(licensing, customer).ids == ("egr_9",)


def test_a_group_is_extended(licensing, customer, group):
    applied = licensing.apply(ExtendGroup(group_id=group, order_ref="stripe:sub_1", skus=("ADDON-YEAR",)))
    held = licensing.held(customer, "stripe:sub_1")
    new = [entitlement.id for entitlement in held.entitlements if entitlement.offering == "ADDON-YEAR"]
    assert len(new) == 1
    assert applied.ids in ((), tuple(new))


@pytest.mark.parametrize("answer", [reply({}, 201), reply(None, 201), reply([], 200)])
def test_an_extension_may_be_answered_by_anything(licensing, group, vendor, answer):
    vendor.script("/api/v1/entitlements/groups/", answer)
    assert licensing.apply(ExtendGroup(group_id=group, order_ref="r", skus=("ADDON-YEAR",))).ids == ()


def test_terms_are_set(licensing, group):
    entitlement = held_entitlement(licensing, group)
    licensing.apply(SetTerms(entitlement_id=entitlement.id, expires_at=MAY, seats=7, overdraft=2))
    now = held_entitlement(licensing, group)
    assert (now.expires_at, now.seats, now.overdraft) == (MAY, 7, 2)


def test_a_term_that_is_not_given_stays(licensing, group):
    entitlement = held_entitlement(licensing, group)
    licensing.apply(SetTerms(entitlement_id=entitlement.id, seats=7))
    assert held_entitlement(licensing, group) == replace(entitlement, seats=7)


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({}, {}),
        ({"seats": 3}, {"seatCount": 3}),
        ({"overdraft": 0}, {"overdraftSeatLimit": {"type": "absolute", "value": 0}}),
        ({"expires_at": MAY}, {"expiryDate": "2027-05-01T00:00:00Z"}),
        ({"expires_at": MAY.astimezone(timezone(timedelta(hours=2)))}, {"expiryDate": "2027-05-01T00:00:00Z"}),
        ({"expires_at": MAY.replace(microsecond=5000)}, {"expiryDate": "2027-05-01T00:00:00.005000Z"}),
    ],
)
def test_a_patch_has_only_the_given_fields(terms, fields):
    assert to_fields(SetTerms(entitlement_id="ent_1", **terms)) == fields


def test_seats_below_use_are_refused_unless_forced(licensing, group, vendor):
    entitlement = held_entitlement(licensing, group).id
    licensing.apply(SetTerms(entitlement_id=entitlement, seats=3))
    vendor.activate({"orderRefId": "stripe:sub_1", "seatIds": ["a", "b", "c"]})
    with pytest.raises(PermanentError):
        licensing.apply(SetTerms(entitlement_id=entitlement, seats=2))
    applied = licensing.apply(SetTerms(entitlement_id=entitlement, seats=2, force=True))
    assert (held_entitlement(licensing, group).seats, applied.call.path) == (
        2,
        f"/api/v1/entitlements/{entitlement}?forceSeatCount=true",
    )


def test_an_offering_is_changed(licensing, group, vendor):
    entitlement = held_entitlement(licensing, group)
    team = licensing.offerings()["TEAM-YEAR"]
    licensing.apply(ChangeOffering(entitlement_id=entitlement.id, offering_id=team.id, sku="TEAM-YEAR"))
    now = held_entitlement(licensing, group)
    assert (now.id, now.offering, now.offering_id) == (entitlement.id, "TEAM-YEAR", team.id)


def test_an_entitlement_is_switched_off_and_on(licensing, group):
    entitlement = held_entitlement(licensing, group)
    licensing.apply(Disable(entitlement_id=entitlement.id))
    off = held_entitlement(licensing, group)
    applied = licensing.apply(Enable(entitlement_id=entitlement.id))
    assert (off.enabled, held_entitlement(licensing, group)) == (False, entitlement)
    assert applied == Applied(
        ids=(), call=Call(method="PATCH", path=f"/api/v1/entitlements/{entitlement.id}/enable", status=204)
    )


@pytest.mark.parametrize("fault", ["apply_then_reset", "apply_then_error", "garbage", "reset", "error"])
def test_a_create_in_doubt_is_unknown_and_can_be_found(licensing, customer, vendor, fault):
    vendor.faults.configure({"plan": [{"fault": fault, "method": "POST"}]})
    with pytest.raises(UnknownResult):
        a_group(licensing, customer)
    done = fault in {"apply_then_reset", "apply_then_error", "garbage"}
    assert len(licensing.held(customer, "stripe:sub_1", code=CODE).groups) == done


def test_an_object_that_is_gone_is_permanent(licensing):
    with pytest.raises(PermanentError) as caught:
        licensing.apply(Enable(entitlement_id="ent_gone"))
    assert caught.value.code == "404"


# Notes


def notes(vendor, entitlement: str) -> list[str]:
    return [note["note"] for note in vendor.tenant.notes[entitlement]]


def test_a_note_is_cut_to_what_the_vendor_takes(licensing, group, vendor):
    entitlement = held_entitlement(licensing, group).id
    licensing.note(entitlement, "x" * 2000)
    assert notes(vendor, entitlement) == ["x" * 1000]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_note_is_not_sent(licensing, vendor, text):
    licensing.note("ent_1", text)
    assert vendor.requests == []


def test_no_note_is_written_where_they_are_switched_off(client, vendor):
    ZentitleLicensing("zentitle", client, Keys((), str), notes=False).note("ent_1", "hello")
    assert vendor.requests == []


# The connection


def findings(settings: Settings, deps, **changes: object) -> list[tuple[str, str]]:
    check = connect("zentitle", settings.model_copy(update=changes), deps).check
    return [(finding.level, finding.about) for finding in check()]


def test_nothing_is_found_where_all_is_well(settings, deps):
    assert findings(settings, deps) == []


def test_nothing_is_written_by_a_check(settings, deps, vendor):
    findings(settings, deps)
    assert {request.method for request in vendor.sent("/api/")} == {"GET"}


def test_connecting_asks_for_nothing(settings, deps, vendor):
    connector = connect("zentitle", settings, deps)
    assert vendor.requests == []
    assert (connector.kind, connector.ref, connector.base_url) == ("zentitle", "zentitle", settings.base_url)


def test_a_connection_s_ref_may_be_set(settings, deps):
    assert connect("zentitle", settings.model_copy(update={"ref": "z"}), deps).ref == "z"


@pytest.mark.parametrize("key", ["base_url", "token_url"])
@pytest.mark.parametrize("address", ["http://acme.api.nalpeiron.io", "acme.api.nalpeiron.io", "https://a:b@acme.io"])
def test_secrets_are_not_sent_in_the_clear(settings, deps, key, address):
    with pytest.raises(ConfigurationError, match=f"connections.zentitle.{key}"):
        connect("zentitle", settings.model_copy(update={key: address}), deps)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"client_id": "somebody"}, "connections.zentitle.token_url"),
        ({"token_url": "http://127.0.0.1:9/token"}, "connections.zentitle.token_url"),
        ({"tenant_id": "t_other"}, "connections.zentitle.tenant_id"),
        ({"base_url": "http://127.0.0.1:9"}, "connections.zentitle.tenant_id"),
    ],
)
def test_a_wrong_setting_is_found(settings, deps, changes, about):
    assert findings(settings, deps, **changes) == [("error", about)]


def test_wrong_credentials_are_found_although_a_token_is_cached(settings, deps):
    assert findings(settings, deps) == []
    assert findings(settings, deps, client_id="somebody") == [("error", "connections.zentitle.token_url")]


def test_a_missing_version_echo_is_a_warning(settings, deps, vendor):
    vendor.switches.echo = "omit"
    assert findings(settings, deps) == [("warning", "connections.zentitle.api_version")]


def test_another_version_stops_the_start(settings, deps, vendor):
    vendor.switches.echo = "2024-01-01"
    with pytest.raises(ConfigurationError, match="pinned API version 2025-10-10, the server answered 2024-01-01"):
        findings(settings, deps)


def test_an_unreadable_webhook_key_is_found_unless_it_is_configured(settings, deps, vendor):
    for _ in range(2):
        vendor.script("/api/v1/account/key", reply({"error": "forbidden"}, 403))
    assert findings(settings, deps) == [("error", "connections.zentitle.rsa_modulus")]
    assert findings(settings, deps, rsa_modulus=(modulus_of(rsa_key("own")),)) == []


def test_S03_a_weak_webhook_key_at_the_vendor_is_found(settings, deps, vendor):
    vendor.script("/api/v1/account/key", reply({"kty": "RSA", "n": modulus_of(rsa_key("weak", 1_024)), "e": "AQAB"}))
    assert findings(settings, deps) == [("error", "connections.zentitle.rsa_modulus")]


def test_a_configured_webhook_key_that_is_not_the_vendor_s_is_a_warning(settings, deps, vendor):
    vendor_s = modulus_of(vendor.signing_key)
    assert findings(settings, deps, rsa_modulus=(vendor_s,)) == []
    assert findings(settings, deps, rsa_modulus=(vendor_s + "==",)) == []
    other = (modulus_of(rsa_key("own")),)
    assert findings(settings, deps, rsa_modulus=other) == [("warning", "connections.zentitle.rsa_modulus")]


def test_a_plan_that_starts_later_is_a_warning(settings, deps, vendor):
    vendor.add_offering("LATE-1", start="activation")
    assert findings(settings, deps) == [("warning", "connections.zentitle.offerings")]


def test_a_sku_that_two_offerings_have_is_a_warning(settings, deps, vendor):
    vendor.add_offering("PRO-100")
    assert findings(settings, deps) == [("warning", "connections.zentitle.offerings")]


def test_every_finding_says_how_to_mend_it(settings, deps, vendor):
    vendor.add_offering("LATE-1", start="activation")
    vendor.switches.echo = "omit"
    vendor.script("/api/v1/account/key", reply({}, 403))
    vendor.script("/api/v1/customers", reply({}, 403))
    found = connect("zentitle", settings, deps).check()
    assert len(found) == 4
    assert all(finding.mend and finding.problem for finding in found)


# The vendor's own words


def fits(name: str, value: object, models: dict, enums: dict) -> bool:
    """Whether `value` is of a type as the models file words it."""
    if name in enums:
        return value in enums[name]
    if name in models:
        return not misfits(name, value, models, enums)
    if name.startswith("[string]"):
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    if name.startswith("string"):
        return isinstance(value, str) and fits_text(name.removeprefix("string").strip(), value)
    if name.startswith("date-time"):
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    if name.startswith("int"):
        return isinstance(value, int) and value >= int((re.findall(r">=(\d+)", name) or [-(10**9)])[0])
    raise AssertionError(f"no rule for {name}")


def fits_text(rule: str, value: str) -> bool:
    if rule.startswith("^"):
        return re.search(rule, value) is not None
    least, _, most = rule.partition("..")
    return int(least or 0) <= len(value) <= int(most or 10**9)


def misfits(model: str, body: dict, models: dict, enums: dict) -> list[str]:
    """The names in `body` that the model does not have or that do not fit, and the required ones it lacks."""
    fields = models[model]["fields"]
    wrong = [name for name in body if name not in fields or not fits(fields[name]["type"], body[name], models, enums)]
    return wrong + [name for name, rule in fields.items() if rule["required"] and name not in body]


REQUESTS = {
    r"POST /customers": "CustomerApiRequest",
    r"POST /entitlements/groups": "CreateEntitlementGroupApiRequest",
    r"POST /entitlements/groups/find": "FindEntitlementGroupApiRequest",
    r"POST /entitlements/groups/[\w-]+/extend": "ExtendEntitlementGroupApiRequest",
    r"PATCH /entitlements/[\w-]+": "UpdateEntitlementApiRequest",
    r"PATCH /entitlements/[\w-]+/change-offering": "ChangeEntitlementOfferingApiRequest",
    r"POST /entitlements/[\w-]+/notes": "CreateEntitlementNoteApiRequest",
}


@pytest.mark.shared
def test_requests_have_the_shape_that_the_vendor_published(licensing, customer, group, vendor):
    if not MODELS.is_file():
        pytest.skip("the vendor's models are not beside this checkout")
    published = json.loads(MODELS.read_text())
    entitlement = held_entitlement(licensing, group).id
    licensing.held(customer, "stripe:none", code=CODE)
    licensing.apply(ExtendGroup(group_id=group, order_ref="stripe:sub_1", skus=("ADDON-YEAR",)))
    licensing.note(entitlement, "x" * 2000)
    for action in changes(entitlement, vendor):
        licensing.apply(action)
    checked = Counter()
    for request in vendor.sent("/api/v1"):
        call = f"{request.method} {request.path.removeprefix('/api/v1')}"
        model = next((model for shape, model in REQUESTS.items() if re.fullmatch(shape, call)), None)
        if model:
            assert misfits(model, json.loads(request.get_data()), published["models"], published["enums"]) == [], call
        else:
            assert not request.get_data(), call
        checked[model] += 1
    assert set(REQUESTS.values()) < set(checked)


def test_64_threads_read_through_one_connection(settings, deps, vendor):
    from concurrent.futures import ThreadPoolExecutor

    slow = Client(settings, replace(deps, read_timeout_s=30))
    licensing = ZentitleLicensing("zentitle", slow, Keys((), str), notes=True)
    customer = a_customer(licensing)
    group = a_group(licensing, customer).ids[0]
    with ThreadPoolExecutor(64) as threads:
        found = list(threads.map(lambda _: licensing.held(customer, "stripe:sub_1").groups, range(128)))
    assert set(found) == {(group,)}
