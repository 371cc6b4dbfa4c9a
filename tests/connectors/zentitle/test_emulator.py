"""The Zentitle2 emulator over real HTTP: each rule of the vendor's that the hub leans on, and its faults."""

import base64
import json
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from connectors.emulation import Clock, Faults, iso, serving
from connectors.zentitle.emulator import Switches, ZentitleEmulator
from connectors.zentitle.emulator_model import (
    NO_OVERDRAFT,
    NONE,
    Entitlement,
    Table,
    add_months,
    later,
    moment_of,
    renewed_expiry,
    seat_figures,
    status_of,
)

DAY = timedelta(days=1)
YEAR = {"type": "year", "count": 1}
WEEK = {"type": "week", "count": 1}
MODELS = Path(__file__).parents[3] / ".." / "shared" / "reference" / "data" / "zentitle2-models-2025-10-10.json"


class Api:
    """A client that states the status it expects."""

    def __init__(self, base, emulator):
        self.base, self.emulator = base, emulator
        self.session = requests.Session()
        self.session.headers.update({"N-TenantId": "t_sandbox", "N-ApiVersion": "2025-10-10"})
        self.seen = []
        self.login()

    def token(self, **changes):
        form = {"grant_type": "client_credentials", "client_id": "hub", "client_secret": "sandbox-secret"} | changes
        return requests.post(f"{self.base}/realms/sandbox/protocol/openid-connect/token", data=form, timeout=10)

    def login(self):
        self.session.headers["Authorization"] = f"Bearer {self.token().json()['access_token']}"

    def send(self, method, path, body=None, **params):
        response = self.session.request(method, f"{self.base}/api/v1{path}", json=body, params=params, timeout=10)
        self.seen.append((method, path, response))
        return response

    def call(self, method, path, body=None, status=None, **params):
        response = self.send(method, path, body, **params)
        expected = status or {"POST": 201, "GET": 200}.get(method, 204)
        assert response.status_code == expected, (method, path, response.status_code, response.text)
        return response.json() if response.content else None

    def sandbox(self, name, body=None):
        return requests.post(f"{self.base}/_sandbox/{name}", json=body or {}, timeout=10).json()

    def customer(self, ref="acct_1", **more):
        return self.call("POST", "/customers", {"name": "Acme", "accountRefId": ref} | more)["id"]

    def group(self, *skus, customer=None, order="stripe:sub_1", **more):
        body = {"skus": list(skus or ("PRO-100",)), "customerId": customer, "orderRefId": order} | more
        return self.call("POST", "/entitlements/groups", body)

    def entitlement(self, sku="PRO-100", **more):
        return self.group(sku, **more)["entitlements"][0]["id"]

    def get(self, id_, **params):
        return self.call("GET", f"/entitlements/{id_}", **params)

    def patch(self, id_, body, status=204, **params):
        return self.call("PATCH", f"/entitlements/{id_}", body, status, **params)

    def seat(self, id_, seat_id, status=201):
        model = self.get(id_)
        code = self.call("GET", f"/entitlements/groups/{model['entitlementGroupId']}")["activationCodes"][0]
        credentials = {"type": "activationCode", "code": code}
        body = {"productId": model["productId"], "activationCredentials": credentials, "seatId": seat_id}
        return self.call("POST", "/entitlements/activations", body, status)


@pytest.fixture(scope="module")
def served():
    emulator = ZentitleEmulator()
    with serving(emulator) as base:
        yield base, emulator


@pytest.fixture
def api(served):
    base, emulator = served
    emulator.switches, emulator.faults = Switches(), Faults()
    emulator.clock.offset = timedelta(0)
    emulator.reset()
    client = Api(base, emulator)
    yield client
    client.session.close()


def plan_fault(api, kind, **more):
    api.emulator.faults.configure({"plan": [{"fault": kind, "path": "/api"} | more]})


def groups_of(api, customer):
    return api.call("GET", "/entitlements/groups", customerId=customer)["items"]


def expiry(model):
    return moment_of(model["expiryDate"])


# Access


def test_a_wrong_secret_is_refused_as_keycloak_does(api):
    answer = api.token(client_secret="other")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_only_client_credentials_are_granted(api):
    assert api.token(grant_type="password").json()["error"] == "unsupported_grant_type"


def test_a_token_says_how_long_it_lives(api):
    api.emulator.switches.token_lifetime_s = 60
    answer = api.token().json()
    assert (answer["expires_in"], answer["token_type"]) == (60, "Bearer")


def test_a_cached_token_that_ends_mid_run_gives_401_until_a_new_one_is_fetched(api):
    api.emulator.switches.token_lifetime_s = 0.6
    api.login()
    api.call("GET", "/customers")
    time.sleep(0.65)
    api.call("GET", "/customers", status=401)
    api.login()
    api.call("GET", "/customers")


def test_all_tokens_can_be_ended_at_once(api):
    api.sandbox("expire_tokens")
    assert api.send("GET", "/customers").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Authorization", "Bearer x", 401),
        ("Authorization", None, 401),
        ("N-TenantId", "t_x", 403),
        ("N-TenantId", None, 401),
    ],
)
def test_a_request_needs_a_token_and_its_tenant(api, header, value, status):
    api.session.headers[header] = value
    api.call("GET", "/customers", status=status)


def test_a_share_of_good_tokens_can_be_refused(api):
    api.sandbox("switches", {"unauthorized_share": 1})
    api.call("GET", "/customers", status=401)


@pytest.mark.parametrize("name", ["N-ApiVersion", "N-Api-Version"])
def test_either_version_header_is_taken_and_an_unknown_version_is_refused(api, name):
    del api.session.headers["N-ApiVersion"]
    api.session.headers[name] = "2025-10-10"
    assert api.send("GET", "/customers").headers["N-ApiVersion"] == "2025-10-10"
    api.session.headers[name] = "1999-01-01"
    api.call("GET", "/customers", status=400)


def test_the_version_may_stand_in_the_query_or_be_left_to_the_tenant(api):
    del api.session.headers["N-ApiVersion"]
    assert api.send("GET", "/customers").headers["N-ApiVersion"] == "2025-10-10"
    api.call("GET", "/customers", status=400, **{"n-api-version": "1999-01-01"})


def test_the_version_echo_can_be_left_out_or_be_another(api):
    api.sandbox("switches", {"echo": "omit"})
    assert "N-ApiVersion" not in api.send("GET", "/customers").headers
    api.sandbox("switches", {"echo": "2024-01-01"})
    assert api.send("GET", "/customers").headers["N-ApiVersion"] == "2024-01-01"


def test_the_account_key_is_one_2048_bit_rsa_key(api):
    key = api.call("GET", "/account/key")
    assert (key["kty"], key["e"]) == ("RSA", "AQAB")
    assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256
    assert api.call("GET", "/account/key") == key


# Bodies and errors


def test_a_body_that_is_no_json_object_gives_400(api):
    for body in (b"{", b"[1]", b""):
        answer = api.session.post(f"{api.base}/api/v1/customers", data=body, timeout=10)
        assert answer.status_code == 400
        assert set(answer.json()) == {"details", "error", "errorCode", "validationErrors"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/customers", {}, "name"),
        ("/customers", {"name": "x" * 256}, "name"),
        ("/customers", {"name": "x", "accountRefId": "x" * 51}, "accountRefId"),
        ("/customers", {"name": "x", "contractValue": "1"}, "contractValue"),
        ("/customers", {"name": "x", "customFields": {"a": 1}}, "customFields"),
        ("/entitlements/groups", {}, "skus"),
        ("/entitlements/groups", {"skus": []}, "skus"),
        ("/entitlements/groups", {"skus": ["NOPE"]}, "skus"),
        ("/entitlements/groups", {"skus": "PRO-100"}, "skus"),
        ("/entitlements/groups", {"skus": ["PRO-100"], "customerId": "cust_x"}, "customerId"),
        ("/entitlements/groups", {"skus": ["PRO-100"], "activationCode": "a b"}, "activationCode"),
        ("/entitlements/groups", {"skus": ["PRO-100"], "orderRefId": "x" * 51}, "orderRefId"),
        ("/offerings", {"name": "a", "sku": "A", "editionId": "e", "planId": "p", "seatCount": 1}, "concurrencyMode"),
        (
            "/offerings",
            {"name": "a", "sku": "A", "editionId": "e", "planId": "p", "seatCount": 1, "concurrencyMode": "nodeLock"},
            "editionId",
        ),
    ],
)
def test_a_field_that_does_not_fit_gives_422_and_is_named(api, path, body, field):
    error = api.call("POST", path, body, 422)
    assert field in [one["propertyName"] for one in error["validationErrors"]]
    assert api.emulator.history_rows == []


def test_unknown_body_fields_are_ignored(api):
    api.call("POST", "/customers", {"name": "Acme", "idempotencyKey": "k"})


def test_unknown_ids_give_404(api):
    paths = (
        "/customers/cust_x",
        "/entitlements/groups/egr_x",
        "/entitlements/ent_x",
        "/offerings/off_x",
        "/plans/p",
        "/nope",
    )
    for path in paths:
        api.call("GET", path, status=404)


# Customers


def test_list_rows_of_customers_have_no_custom_fields(api):
    id_ = api.customer(customFields={"crm.id": "001"})
    (row,) = api.call("GET", "/customers")["items"]
    assert row["accountRefId"] == "acct_1"
    assert "customFields" not in row
    assert api.call("GET", f"/customers/{id_}")["customFields"] == {"crm.id": "001"}


def test_account_references_are_not_unique(api):
    assert api.customer("same") != api.customer("same")


def test_replacing_a_customer_clears_what_is_left_out(api):
    id_ = api.customer(description="old")
    api.call("PUT", f"/customers/{id_}", {"name": "New"})
    model = api.call("GET", f"/customers/{id_}")
    assert (model["name"], model["accountRefId"], model["description"]) == ("New", None, None)
    assert (model["status"], model["updatedAt"] is None) == ("active", False)


def test_a_disabled_customer_takes_its_entitlements_along_and_gives_back_what_was_not_off(api):
    id_ = api.customer()
    kept, off = (one["id"] for one in api.group("PRO-100", "ADDON-YEAR", customer=id_)["entitlements"])
    api.call("PATCH", f"/entitlements/{off}/disable")
    api.call("PATCH", f"/customers/{id_}/disable")
    assert [api.get(one)["status"] for one in (kept, off)] == ["customerDisabled", "disabled"]
    api.patch(kept, {"seatCount": 3}, 409)
    api.call("PATCH", f"/customers/{id_}/enable")
    assert [api.get(one)["status"] for one in (kept, off)] == ["active", "disabled"]


def test_customer_stats_count_entitlements(api):
    id_ = api.customer()
    api.group("PRO-100", "ADDON-YEAR", customer=id_)
    assert api.call("GET", f"/customers/{id_}/stats") == {"entitlementsCount": 2}


def test_notes_are_kept_with_their_author(api):
    customer = api.customer()
    owners = (f"/customers/{customer}", f"/entitlements/{api.entitlement()}")
    for owner in owners:
        note = api.call("POST", f"{owner}/notes", {"note": "refunded"})
        assert note["author"]["api"] is True
        assert api.call("GET", f"{owner}/notes")["notes"] == [note]
        assert api.call("GET", f"{owner}/notes/{note['id']}") == note
        api.call("GET", f"{owner}/notes/nt_x", status=404)


# Groups


def test_a_repeated_create_makes_a_second_group(api):
    customer = api.customer()
    api.group(customer=customer, activationCode="SAME-CODE")
    api.group(customer=customer, activationCode="SAME-CODE")
    assert [one["orderRefId"] for one in groups_of(api, customer)] == ["stripe:sub_1"] * 2


def test_a_tenant_may_refuse_a_code_in_use(api):
    api.sandbox("switches", {"unique_codes": True})
    api.group(activationCode="SAME-CODE")
    api.call("POST", "/entitlements/groups", {"skus": ["PRO-100"], "activationCode": "SAME-CODE"}, 409)


def test_a_code_is_made_where_none_is_given(api):
    (code,) = api.group()["activationCodes"]
    assert re.fullmatch(r"([A-Z0-9]{4}-){3}[A-Z0-9]{4}", code)


def test_groups_are_listed_by_customer_and_never_by_order_reference(api):
    one, other = api.customer("a"), api.customer("b")
    api.group(customer=one, order="o:1")
    api.group(customer=one, order="o:2")
    api.group(customer=other, order="o:3")
    rows = api.call("GET", "/entitlements/groups", customerId=one, orderRefId="o:1")["items"]
    assert [row["orderRefId"] for row in rows] == ["o:1", "o:2"]
    assert "entitlements" not in rows[0]


def test_a_group_shows_customer_and_entitlements_where_asked(api):
    customer = api.customer()
    id_ = api.group(customer=customer)["id"]
    plain = api.call("GET", f"/entitlements/groups/{id_}")
    full = api.call("GET", f"/entitlements/groups/{id_}", expand="customer,entitlements")
    assert {"customer", "entitlements"} & plain.keys() == set()
    assert full["customer"]["id"] == customer
    assert full["entitlements"][0]["sku"] == "PRO-100"
    api.call("GET", f"/entitlements/groups/{id_}", status=400, expand="seats")


def test_extending_a_group_adds_every_time(api):
    id_ = api.group("PRO-100")["id"]
    for _ in range(2):
        group = api.call("POST", f"/entitlements/groups/{id_}/extend", {"skus": ["ADDON-YEAR"]})
    assert [one["sku"] for one in group["entitlements"]] == ["PRO-100", "ADDON-YEAR", "ADDON-YEAR"]


def test_a_group_is_found_by_code_and_product(api):
    made = api.group(activationCode="CODE-1")
    product = made["entitlements"][0]["productId"]
    find = {"activationCode": "CODE-1", "productId": product}
    assert api.call("POST", "/entitlements/groups/find", find, 200)["id"] == made["id"]
    api.call("POST", "/entitlements/groups/find", find | {"productId": "prod_x"}, 404)
    api.call("POST", "/entitlements/groups/find", find | {"activationCode": "CODE-2"}, 404)


def test_a_group_can_get_another_customer_and_reference(api):
    one, other = api.customer("a"), api.customer("b")
    id_ = api.group(customer=one)["id"]
    api.call("PATCH", f"/entitlements/groups/{id_}", {"customerId": other, "orderRefId": "new"})
    assert (groups_of(api, one), groups_of(api, other)[0]["orderRefId"]) == ([], "new")


# Lists


def test_pages_have_twenty_rows_unless_asked_and_never_more_than_200(api):
    api.sandbox("fill", {"groups": 230})
    page = api.call("GET", "/entitlements")
    assert (len(page["items"]), page["pageSize"], page["pageNumber"], page["elementsTotal"]) == (20, 20, 1, 230)
    page = api.call("GET", "/customers", pageSize=500, pageNumber=2)
    assert (len(page["items"]), page["pageSize"]) == (30, 200)
    api.call("GET", "/customers", status=400, pageSize="all")


def test_walking_pages_gives_every_row_once_also_where_order_is_nobodys(api):
    api.sandbox("fill", {"groups": 50})
    for shuffled in (False, True):
        api.sandbox("switches", {"shuffled": shuffled})
        pages = [api.call("GET", "/entitlements/groups", pageSize=20, pageNumber=n)["items"] for n in (1, 2, 3)]
        ids = [row["id"] for page in pages for row in page]
        assert len(set(ids)) == 50
    assert ids != [one["groupId"] for one in api.emulator.grants()]


def test_list_rows_of_entitlements_lack_status_plan_type_and_offering(api):
    customer = api.customer()
    api.group("PRO-100", "ADDON-YEAR", customer=customer)
    rows = api.call("GET", "/entitlements", customerId=customer)["items"]
    assert {"status", "planType", "offeringId", "features", "gracePeriod"} & rows[0].keys() == set()
    assert rows[0]["group"]["orderRefId"] == "stripe:sub_1"
    only = api.call("GET", "/entitlements", productId=rows[1]["productId"], expand="customer")["items"]
    assert [(one["sku"], one["group"]["customer"]["accountRefId"]) for one in only] == [("ADDON-YEAR", "acct_1")]


def test_lists_may_lag_while_reads_by_id_and_by_code_are_current(api):
    customer = api.customer()
    first = api.entitlement(customer=customer)
    then = time.monotonic() + 0.01
    time.sleep(0.5)
    made = api.group(customer=customer, activationCode="NEW-1")
    api.customer("late")
    api.patch(first, {"seatCount": 9})

    def then_listed(path, **params):
        api.sandbox("stale", {"seconds": time.monotonic() - then})
        return api.call("GET", path, **params)["items"]

    assert len(then_listed("/entitlements/groups", customerId=customer)) == 1
    assert len(then_listed("/customers")) == 1
    assert [one["seatCount"] for one in then_listed("/entitlements")] == [1]
    assert api.get(first)["seatCount"] == 9
    assert api.call("GET", f"/entitlements/groups/{made['id']}")["id"] == made["id"]
    find = {"activationCode": "NEW-1", "productId": made["entitlements"][0]["productId"]}
    assert api.call("POST", "/entitlements/groups/find", find, 200)["id"] == made["id"]
    api.sandbox("stale", {"seconds": 0})
    assert len(groups_of(api, customer)) == 2
    assert [one["seatCount"] for one in api.call("GET", "/entitlements")["items"]] == [9, 1]


def test_a_table_forgets_versions_that_no_list_asks_for():
    table = Table()
    for number in range(3):
        table.put("a", number)
        table._past["a"] = [(moment - 1000, record) for moment, record in table._past["a"]]
    table.put("a", 3)
    assert [record for _, record in table._past["a"]] == [2, 3]


# Entitlements


def test_an_entitlement_has_no_customer_and_expands_what_is_asked(api):
    id_ = api.entitlement()
    plain = api.get(id_)
    full = api.get(id_, expand="product,offering,features,attributes")
    assert {"customerId", "product", "offering", "features", "actions"} & plain.keys() == set()
    assert (full["product"]["name"], full["offering"]["seatCount"], full["features"]) == ("Pro", 1, [])


def test_actions_can_be_shown(api):
    id_ = api.entitlement()
    api.sandbox("switches", {"actions": True})
    assert api.get(id_)["actions"]["renew"] == {"method": "PATCH", "path": f"/api/v1/entitlements/{id_}/renew"}


def test_a_patch_changes_only_what_is_given_and_marks_it_edited(api):
    id_ = api.entitlement()
    before = api.get(id_)
    api.patch(id_, {"seatCount": 8, "expiryDate": None})
    after = api.get(id_)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"seatCount", "seatsAvailable", "editInfo"}
    assert [name for name, edited in after["editInfo"].items() if edited] == ["seatCountEdited"]


def test_expiry_is_kept_at_whole_seconds_in_utc(api):
    id_ = api.entitlement()
    for text in ("2031-05-01T12:00:00.987Z", "2031-05-01T14:00:00.123+02:00", "2031-05-01T12:00:00"):
        api.patch(id_, {"expiryDate": text})
        assert api.get(id_)["expiryDate"] == "2031-05-01T12:00:00Z"


def test_fewer_seats_than_are_used_need_force(api):
    id_ = api.entitlement()
    api.patch(id_, {"seatCount": 3})
    for name in ("a", "b", "c"):
        api.seat(id_, name)
    error = api.patch(id_, {"seatCount": 2}, 422)
    assert error["validationErrors"][0]["propertyName"] == "seatCount"
    api.patch(id_, {"seatCount": 2}, 400, forceSeatCount="perhaps")
    api.patch(id_, {"seatCount": 2}, forceSeatCount="true")
    model = api.get(id_)
    assert (model["seatCount"], model["seatsUsed"], model["seatsAvailable"]) == (2, 3, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"seatCount": 0},
        {"seatCount": "5"},
        {"seatCount": True},
        {"seatCount": 1.5},
        {"expiryDate": "soon"},
        {"overdraftSeatLimit": {"type": "some"}},
        {"gracePeriod": {"count": 1}},
        {"features": [{"id": "feat_x"}]},
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(api, body):
    id_ = api.entitlement()
    before = api.get(id_)
    api.patch(id_, body, 422)
    assert api.get(id_) == before


def test_renewing_adds_a_period_every_time(api):
    id_ = api.entitlement()
    start = expiry(api.get(id_))
    for years in (1, 2):
        api.call("PATCH", f"/entitlements/{id_}/renew")
        assert expiry(api.get(id_)) == add_months(start, 12 * years)


def test_renewing_in_grace_goes_on_from_the_old_expiry_and_after_it_from_now(api):
    api.sandbox("offering", {"sku": "GRACE", "grace": WEEK})
    graced, plain = api.entitlement("GRACE"), api.entitlement("PRO-100")
    old = expiry(api.get(graced))
    api.emulator.clock.advance(old - api.emulator.clock.now() + 2 * DAY)
    assert [api.get(one)["status"] for one in (graced, plain)] == ["gracePeriod", "expired"]
    for one in (graced, plain):
        api.call("PATCH", f"/entitlements/{one}/renew")
    assert expiry(api.get(graced)) == add_months(old, 12)
    assert abs(expiry(api.get(plain)) - add_months(api.emulator.clock.now(), 12)) < timedelta(seconds=5)
    assert [api.get(one)["status"] for one in (graced, plain)] == ["active", "active"]


def test_perpetual_and_never_started_entitlements_cant_be_renewed(api):
    api.sandbox("offering", {"sku": "MANUAL", "start": "manualActivation"})
    assert api.get(api.entitlement("PERP-1"))["expiryDate"] is None
    api.call("PATCH", f"/entitlements/{api.entitlement('PERP-1')}/renew", status=422)
    api.call("PATCH", f"/entitlements/{api.entitlement('MANUAL')}/renew", status=409)


def test_an_expiry_set_by_hand_revives_an_expired_entitlement(api):
    id_ = api.entitlement("PRO-MONTHLY")
    api.emulator.clock.advance(40 * DAY)
    assert api.get(id_)["status"] == "expired"
    api.patch(id_, {"expiryDate": iso(api.emulator.clock.now() + DAY)})
    assert api.get(id_)["status"] == "active"


def test_changing_the_offering_restarts_the_term_and_keeps_overrides(api):
    offerings = api.emulator.seed()
    id_ = api.entitlement("PRO-100")
    api.patch(id_, {"seatCount": 7, "expiryDate": "2040-01-01T00:00:00Z"})
    api.emulator.clock.advance(10 * DAY)
    api.call("PATCH", f"/entitlements/{id_}/change-offering", {"offeringId": offerings["PRO-MONTHLY"]})
    model = api.get(id_)
    assert (model["sku"], model["seatCount"]) == ("PRO-MONTHLY", 7)
    assert abs(expiry(model) - add_months(api.emulator.clock.now(), 1)) < timedelta(seconds=5)


def test_changing_the_offering_takes_its_values_where_nothing_was_overridden(api):
    offerings = api.emulator.seed()
    id_ = api.entitlement("PRO-100")
    api.call("PATCH", f"/entitlements/{id_}/change-offering", {"offeringId": offerings["TEAM-YEAR"]})
    assert api.get(id_)["seatCount"] == 5
    api.call("PATCH", f"/entitlements/{id_}/change-offering", {"offeringId": offerings["PERP-1"]})
    assert api.get(id_)["expiryDate"] is None


def test_an_offering_of_another_product_or_with_too_few_seats_is_refused(api):
    offerings = api.emulator.seed()
    id_ = api.entitlement("TEAM-YEAR")
    path = f"/entitlements/{id_}/change-offering"
    api.seat(id_, "a")
    api.seat(id_, "b")
    api.call("PATCH", path, {"offeringId": offerings["ADDON-YEAR"]}, 422)
    api.call("PATCH", path, {"offeringId": "off_x"}, 422)
    api.call("PATCH", path, {}, 422)
    api.call("PATCH", path, {"offeringId": offerings["PRO-100"]}, 422)
    api.call("PATCH", path, {"offeringId": offerings["PRO-100"]}, forceSeatCount="true")
    assert api.get(id_)["seatUtilizationRate"] == 200


def test_overrides_can_be_given_back(api):
    id_ = api.entitlement("TEAM-YEAR")
    api.patch(id_, {"seatCount": 9, "gracePeriod": WEEK})
    api.call("PATCH", f"/entitlements/{id_}/reset-overrides", {"resetSeatCount": True, "resetGracePeriod": False})
    model = api.get(id_)
    assert (model["seatCount"], model["gracePeriod"]["type"]) == (5, "week")
    assert model["editInfo"]["seatCountEdited"] is False


def test_disabling_is_undone_by_enabling_and_both_may_be_repeated(api):
    id_ = api.entitlement()
    api.call("PATCH", f"/entitlements/{id_}/disable")
    since = api.get(id_)["disabledDate"]
    api.emulator.clock.advance(DAY)
    api.call("PATCH", f"/entitlements/{id_}/disable")
    assert (api.get(id_)["status"], api.get(id_)["disabledDate"]) == ("disabled", since)
    api.call("PATCH", f"/entitlements/{id_}/enable")
    api.call("PATCH", f"/entitlements/{id_}/enable")
    assert (api.get(id_)["status"], api.get(id_)["disabledDate"]) == ("active", None)


def test_an_exported_entitlement_is_frozen(api):
    id_ = api.entitlement()
    api.sandbox("edit", {"entitlement": id_, "exported": True})
    assert api.get(id_)["status"] == "exported"
    api.patch(id_, {"seatCount": 2}, 409)
    api.call("PATCH", f"/entitlements/{id_}/renew", status=409)


def test_a_plan_starts_at_creation_by_hand_or_with_the_first_seat(api):
    for start in ("manualActivation", "activation"):
        api.sandbox("offering", {"sku": start, "start": start})
    by_hand, by_seat, at_once = (api.entitlement(sku) for sku in ("manualActivation", "activation", "PRO-100"))
    assert [api.get(one)["status"] for one in (by_hand, by_seat, at_once)] == ["created", "created", "active"]
    assert api.get(by_hand)["expiryDate"] is None
    api.seat(by_hand, "a", 402)
    api.seat(by_seat, "a")
    api.emulator.clock.advance(3 * DAY)
    api.call("PATCH", f"/entitlements/{by_hand}/activate")
    api.call("PATCH", f"/entitlements/{by_hand}/activate", status=409)
    dates = [expiry(api.get(one)) for one in (by_hand, by_seat)]
    assert [api.get(one)["status"] for one in (by_hand, by_seat)] == ["active", "active"]
    assert dates[0] - dates[1] >= 3 * DAY


def an_entitlement(**changes):
    values = {"id": "ent_1", "group_id": "egr_1", "offering_id": "off_1", "seat_count": 10, "overdraft": NO_OVERDRAFT}
    values |= {"created": datetime(2026, 1, 1, tzinfo=UTC), "activated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    values |= {"grace": NONE, "lease": NONE, "offline_lease": NONE, "usage_reset": "never", "has_maintenance": False}
    return Entitlement(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "off", "status"),
    [
        ({}, False, "active"),
        ({"expires_at": datetime(2026, 6, 1, tzinfo=UTC)}, False, "expired"),
        ({"expires_at": datetime(2026, 6, 1, tzinfo=UTC), "grace": WEEK}, False, "expired"),
        ({"expires_at": datetime(2026, 6, 25, tzinfo=UTC), "grace": WEEK}, False, "gracePeriod"),
        ({"expires_at": datetime(2026, 6, 30, tzinfo=UTC)}, False, "expired"),
        ({"expires_at": datetime(2026, 6, 30, 0, 0, 1, tzinfo=UTC)}, False, "active"),
        ({"activated_at": None, "expires_at": datetime(2026, 6, 1, tzinfo=UTC)}, False, "created"),
        ({"activated_at": None, "exported": True}, False, "exported"),
        ({"exported": True}, True, "customerDisabled"),
        ({"exported": True, "disabled_at": datetime(2026, 2, 1, tzinfo=UTC)}, True, "disabled"),
    ],
)
def test_the_status_follows_from_dates_and_switches_in_this_precedence(changes, off, status):
    now = datetime(2026, 6, 30, tzinfo=UTC)
    assert status_of(an_entitlement(**changes), now, customer_disabled=off) == status


@pytest.mark.parametrize(
    ("start", "interval", "end"),
    [
        ("2026-01-31", {"type": "month", "count": 1}, "2026-02-28"),
        ("2028-01-31", {"type": "month", "count": 1}, "2028-02-29"),
        ("2028-02-29", YEAR, "2029-02-28"),
        ("2026-12-15", {"type": "month", "count": 2}, "2027-02-15"),
        ("2026-01-01", WEEK, "2026-01-08"),
        ("2026-01-01", NONE, "2026-01-01"),
    ],
)
def test_months_clamp_at_their_end(start, interval, end):
    assert later(moment_of(start), interval) == moment_of(end)


def test_a_renewal_after_grace_drops_fractions_of_a_second():
    now = datetime(2026, 6, 30, 1, 2, 3, 999, tzinfo=UTC)
    expired = an_entitlement(expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert renewed_expiry(expired, YEAR, now) == datetime(2027, 6, 30, 1, 2, 3, tzinfo=UTC)


# Seats


@pytest.mark.parametrize(
    ("limit", "used", "extra", "over", "rate", "left"),
    [
        ({"type": "none"}, 5, 0, None, 50, 5),
        ({"type": "absolute", "value": 2}, 5, 2, 0, 50, 7),
        ({"type": "absolute", "value": 2}, 12, 2, 2, 120, 0),
        ({"type": "percentage", "value": 15}, 11, 1, 1, 110, 0),
        ({"type": "unlimited"}, 25, None, 15, 250, None),
    ],
)
def test_overdraft_adds_seats_and_is_counted(limit, used, extra, over, rate, left):
    figures = seat_figures(an_entitlement(overdraft=limit), used)
    assert figures == {
        "overdraftSeatCount": extra,
        "seatsUsed": used,
        "overdraftSeatsUsed": over,
        "seatUtilizationRate": rate,
        "seatsAvailable": left,
    }


def test_utilization_is_rounded_down():
    assert seat_figures(an_entitlement(seat_count=3), 2)["seatUtilizationRate"] == 66


def test_a_list_row_with_unlimited_overdraft_still_has_a_number_of_seats_left(api):
    id_ = api.entitlement("TEAM-YEAR")
    api.patch(id_, {"overdraftSeatLimit": {"type": "unlimited"}})
    assert api.get(id_)["seatsAvailable"] is None
    assert api.call("GET", "/entitlements")["items"][0]["seatsAvailable"] == 5


def test_seats_run_out_with_402_and_the_log_tells_it(api):
    id_ = api.entitlement("PRO-100")
    seat = api.seat(id_, "laptop")
    assert api.seat(id_, "laptop")["id"] == seat["id"]
    error = api.seat(id_, "phone", 402)
    assert error["error"] == "Request Failed"
    api.call("DELETE", f"/entitlements/activations/{seat['id']}")
    api.call("GET", f"/entitlements/activations/{seat['id']}", status=404)
    api.seat(id_, "phone")
    log = api.call("GET", f"/entitlements/{id_}/activations-log")["items"]
    told = [(row["operation"], row["seatId"]) for row in log]
    assert told == [
        ("activate", "laptop"),
        ("refresh", "laptop"),
        ("activationDenied", "phone"),
        ("deactivate", "laptop"),
        ("activate", "phone"),
    ]
    assert [row["activationId"] is None for row in log] == [False, False, True, False, False]


def test_the_log_is_filtered_by_seat_and_date(api):
    id_ = api.entitlement("TEAM-YEAR")
    for name in ("a", "b"):
        api.seat(id_, name)
        api.emulator.clock.advance(2 * DAY)
    path, middle = f"/entitlements/{id_}/activations-log", iso(api.emulator.clock.now() - 3 * DAY)
    assert [row["seatId"] for row in api.call("GET", path, dateFrom=middle)["items"]] == ["b"]
    assert [row["seatId"] for row in api.call("GET", path, dateTo=middle)["items"]] == ["a"]
    assert [row["seatId"] for row in api.call("GET", path, seatId="b")["items"]] == ["b"]
    api.call("GET", path, status=400, dateFrom="soon")


def test_a_concurrent_seat_ends_with_its_lease_and_a_node_lock_stays(api):
    for mode in ("concurrent", "nodeLock"):
        api.sandbox("offering", {"sku": mode, "mode": mode})
    floating, locked = api.entitlement("concurrent"), api.entitlement("nodeLock")
    for one in (floating, locked):
        api.seat(one, "a")
    api.emulator.clock.advance(2 * DAY)
    assert [api.get(one)["seatsUsed"] for one in (floating, locked)] == [0, 1]
    (seat,) = api.call("GET", f"/entitlements/{locked}/activations")["items"]
    assert seat["status"] == "leaseExpired"
    api.seat(floating, "b")
    api.seat(locked, "b", 402)


def test_a_lease_can_be_made_longer_but_never_past_the_license(api):
    id_ = api.entitlement("PRO-100")
    seat = api.seat(id_, "a")
    api.emulator.clock.advance(timedelta(hours=12))
    longer = api.call("PATCH", "/entitlements/activations", {"activationId": seat["id"]}, 200)
    assert moment_of(longer["leaseExpiry"]) - moment_of(seat["leaseExpiry"]) >= timedelta(hours=12)
    api.patch(id_, {"expiryDate": iso(api.emulator.clock.now() + timedelta(hours=2))})
    last = api.seat(id_, "a")
    assert last["leaseExpiry"] == api.get(id_)["expiryDate"]
    api.call("PATCH", "/entitlements/activations", {"activationId": seat["id"]}, 422)


def test_disabled_and_expired_entitlements_give_no_seats(api):
    id_ = api.entitlement("PRO-MONTHLY")
    api.call("PATCH", f"/entitlements/{id_}/disable")
    api.seat(id_, "a", 402)
    api.call("PATCH", f"/entitlements/{id_}/enable")
    api.emulator.clock.advance(40 * DAY)
    api.seat(id_, "a", 402)


def test_an_unknown_code_gives_404(api):
    body = {"productId": "prod_x", "activationCredentials": {"type": "activationCode", "code": "X-1"}, "seatId": "a"}
    api.call("POST", "/entitlements/activations", body, 404)


def test_the_story_takes_and_frees_seats_by_sku(api):
    api.group("TEAM-YEAR", customer=api.customer("acme"))
    chosen = {"sku": "TEAM-YEAR", "accountRefId": "acme"}
    taken = api.sandbox("activate", chosen | {"seatIds": [f"u{n}" for n in range(6)]})
    assert [("denied" in row) for row in taken] == [False] * 5 + [True]
    assert len(api.sandbox("deactivate", chosen | {"seatIds": ["u1", "nobody"]})) == 1
    assert api.sandbox("grants")[0]["seatsUsed"] == 4
    assert "error" in api.sandbox("activate", {"sku": "NOPE", "seatIds": []})


# Catalog


def test_an_offering_made_over_the_api_can_be_sold(api):
    product = api.call("POST", "/products", {"name": "New"})
    edition = api.call("POST", f"/products/{product['id']}/editions", {"name": "Std"})
    kinds = {"licenseType": "subscription", "licenseStartType": "entitlementCreation", "planType": "trial"}
    plan = api.call("POST", "/plans", {"name": "Trial", "licenseDuration": {"type": "day", "count": 14}} | kinds)
    body = {"name": "Trial", "sku": "TRY", "editionId": edition["id"], "planId": plan["id"], "seatCount": 3}
    more = {"concurrencyMode": "concurrent", "gracePeriod": WEEK, "hasMaintenance": True, "maintenanceDuration": WEEK}
    api.call("POST", "/offerings", body | more)
    model = api.get(api.entitlement("TRY"))
    assert moment_of(model["maintenanceExpiryDate"]) - moment_of(model["created"]) == 7 * DAY
    assert (model["planType"], model["seatCount"], model["gracePeriod"]["type"]) == ("trial", 3, "week")
    assert expiry(model) - moment_of(model["created"]) == 14 * DAY
    assert api.call("GET", f"/products/{product['id']}/editions")["items"] == [edition]


def test_the_default_catalog_starts_at_creation_without_grace(api):
    rows = api.call("GET", "/offerings", expand="edition,plan")["items"]
    assert {row["sku"] for row in rows} == {"PRO-100", "PRO-MONTHLY", "TEAM-YEAR", "ADDON-YEAR", "PERP-1"}
    assert {row["plan"]["licenseStartType"] for row in rows} == {"entitlementCreation"}
    products = {row["sku"]: row["edition"]["productId"] for row in rows}
    assert products["PRO-100"] == products["TEAM-YEAR"] == products["PERP-1"] != products["ADDON-YEAR"]
    assert {"customFields", "gracePeriod"} & rows[0].keys() == set()


def test_offerings_are_filtered_by_product_and_plan(api):
    rows = api.call("GET", "/offerings", expand="edition")["items"]
    addon = next(row for row in rows if row["sku"] == "ADDON-YEAR")
    only = api.call("GET", "/offerings", productId=addon["edition"]["productId"])["items"]
    assert [row["sku"] for row in only] == ["ADDON-YEAR"]
    assert len(api.call("GET", "/offerings", planId=addon["planId"])["items"]) == 1


def test_a_changed_offering_leaves_entitlements_as_they_are(api):
    id_, offering = api.entitlement("TEAM-YEAR"), api.emulator.seed()["TEAM-YEAR"]
    api.call("PATCH", f"/offerings/{offering}", {"seatCount": 50})
    assert api.get(id_)["seatCount"] == 5
    assert api.get(api.entitlement("TEAM-YEAR"))["seatCount"] == 50
    assert api.call("GET", f"/offerings/{offering}", expand="stats")["stats"] == {"entitlementsCount": 2}


# Limits and faults


def test_too_many_requests_a_second_give_429_with_retry_after(api):
    api.sandbox("switches", {"requests_per_s": 5})
    answers = [api.send("GET", "/customers") for _ in range(12)]
    statuses = Counter(one.status_code for one in answers)
    assert statuses[200] >= 5
    assert statuses[429] >= 3
    limited = next(one for one in answers if one.status_code == 429)
    assert limited.headers["Retry-After"] == "1"
    assert limited.json()["error"] == "Too Many Requests"


def test_too_many_requests_at_once_give_429(api):
    api.sandbox("switches", {"concurrent": 1})
    api.emulator.faults.slow_s = 0.8
    plan_fault(api, "slow")
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(api.send, "GET", "/customers")
        time.sleep(0.15)
        assert requests.get(f"{api.base}/api/v1/customers", timeout=5).status_code == 429
        assert slow.result().status_code == 200
    api.call("GET", "/customers")


@pytest.mark.parametrize(("kind", "made"), [("reset", 0), ("apply_then_reset", 1)])
def test_a_reset_may_come_before_or_after_it_was_done(api, kind, made):
    plan_fault(api, kind)
    with pytest.raises(requests.ConnectionError):
        api.group()
    assert len(api.emulator.grants()) == made


@pytest.mark.parametrize(
    ("kind", "status", "made"), [("error", 503, 0), ("apply_then_error", 500, 1), ("throttle", 429, 0)]
)
def test_an_error_may_come_before_or_after_it_was_done(api, kind, status, made):
    plan_fault(api, kind)
    answer = api.send("POST", "/entitlements/groups", {"skus": ["PRO-100"]})
    assert (answer.status_code, len(api.emulator.grants())) == (status, made)
    assert answer.json()["details"].startswith("injected")
    assert ("Retry-After" in answer.headers) == (status == 429)


def test_garbage_is_a_201_that_was_done_and_cant_be_read(api):
    plan_fault(api, "garbage")
    answer = api.send("POST", "/entitlements/groups", {"skus": ["PRO-100"]})
    assert (answer.status_code, len(api.emulator.grants())) == (201, 1)
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_late_apply_is_done_after_the_connection_was_lost(api):
    api.emulator.faults.late_s = 0.4
    plan_fault(api, "late_apply", method="POST")
    with pytest.raises(requests.ConnectionError):
        api.group()
    assert api.emulator.grants() == []
    deadline = time.monotonic() + 5
    while not api.emulator.grants() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(api.emulator.grants()) == 1


def test_faults_spare_the_token_endpoint_unless_asked(api):
    api.emulator.faults.rates = {"error": 1.0}
    assert api.token().status_code == 200
    api.call("GET", "/customers", status=503)
    api.sandbox("switches", {"spare_token": False})
    assert api.token().status_code == 503


# For tests and the story


def test_grants_tell_what_every_customer_holds(api):
    customer = api.customer("acct_9")
    group = api.group("PRO-100", customer=customer, order="stripe:sub_9", activationCode="CODE-9")
    (row,) = api.sandbox("grants")
    assert row == {
        "id": group["entitlements"][0]["id"],
        "groupId": group["id"],
        "accountRefId": "acct_9",
        "orderRefId": "stripe:sub_9",
        "sku": "PRO-100",
        "seatCount": 1,
        "seatsUsed": 0,
        "overdraft": {"type": "none", "value": None},
        "expiryDate": api.get(row["id"])["expiryDate"],
        "maintenanceExpiryDate": None,
        "disabled": False,
        "status": "active",
        "created": group["created"],
        "activationCodes": ["CODE-9"],
    }


def test_the_history_has_every_applied_write_with_the_values_after_it(api):
    id_ = api.entitlement()
    api.patch(id_, {"seatCount": 4})
    api.patch(id_, {"seatCount": 0}, 422)
    api.get(id_)
    api.call("PATCH", f"/entitlements/{id_}/disable")
    rows = api.sandbox("history")
    told = [(row["method"], row["entitlement"], row["after"]["seatCount"], row["after"]["disabled"]) for row in rows]
    assert told == [("POST", id_, 1, False), ("PATCH", id_, 4, False), ("PATCH", id_, 4, True)]
    assert rows[1]["body"] == {"seatCount": 4}
    assert [row["number"] for row in rows] == [1, 2, 3]


def test_a_person_can_edit_an_entitlement(api):
    id_ = api.entitlement()
    grant = api.sandbox("edit", {"sku": "PRO-100", "seatCount": 12, "disabled": True})
    assert (grant["id"], grant["seatCount"], grant["disabled"]) == (id_, 12, True)
    assert api.get(id_)["editInfo"]["seatCountEdited"] is True
    assert api.sandbox("history")[-1]["method"] == "PERSON"
    assert api.sandbox("edit", {"entitlement": id_, "seatCount": 0})["refused"] == 422


def test_the_state_can_be_read_and_emptied(api):
    api.group(customer=api.customer())
    state = api.sandbox("state")
    assert (len(state["customers"]), len(state["grants"]), len(state["offerings"])) == (1, 1, 5)
    api.sandbox("reset")
    assert api.sandbox("grants") == []


def test_unknown_admin_calls_and_switches_are_told(api):
    assert "error" in api.sandbox("nope")
    assert "error" in api.sandbox("switches", {"nope": 1})


def test_seeding_again_adds_nothing(api):
    assert api.sandbox("seed") == api.sandbox("seed")
    assert len(api.call("GET", "/offerings")["items"]) == 5


def test_ids_follow_from_the_seed(api):
    one, same, other = ZentitleEmulator(Clock()), ZentitleEmulator(), ZentitleEmulator(seed=1)
    assert one.seed() == same.seed() != other.seed()
    assert all(re.fullmatch(r"off_[A-Za-z0-9_-]{22}", id_) for id_ in one.seed().values())


def test_many_clients_at_once_lose_nothing(api):
    def create(number):
        body = {"skus": ["PRO-100"], "orderRefId": f"o:{number}"}
        with requests.Session() as session:
            session.headers.update(api.session.headers)
            for _ in range(5):
                session.post(f"{api.base}/api/v1/entitlements/groups", json=body, timeout=10).raise_for_status()

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grants = api.emulator.grants()
    assert Counter(one["orderRefId"] for one in grants) == {f"o:{n}": 5 for n in range(8)}
    assert len({one["groupId"] for one in grants}) == len(api.emulator.history_rows) == 40


# Against the vendor's own models

ANSWERS = (
    (r"POST /customers$", "CustomerModel"),
    (r"GET /customers$", "page CustomerListModel"),
    (r"GET /customers/[^/]+$", "CustomerModel"),
    (r"POST .*/notes$", "EntitlementNoteModel"),
    (r"GET .*/notes$", "notes EntitlementNoteModel"),
    (r"GET .*/notes/[^/]+$", "EntitlementNoteModel"),
    (r"GET /entitlements/groups$", "page EntitlementGroupModel"),
    (r"(GET|POST) /entitlements/groups(/.*)?$", "EntitlementGroupModel"),
    (r"GET /entitlements$", "page EntitlementListModel"),
    (r"GET /entitlements/[^/]+/activations$", "page ActivationModel"),
    (r"GET /entitlements/[^/]+/activations-log$", "page ActivationLogModel"),
    (r"(POST|PATCH) /entitlements/activations$", "ActivationStateModel"),
    (r"GET /entitlements/activations/[^/]+$", "ActivationStateModel"),
    (r"GET /entitlements/[^/]+$", "EntitlementModel"),
    (r"POST /products$", "ProductModel"),
    (r"GET /products$", "page ProductModel"),
    (r"GET /products/[^/]+$", "ProductModel"),
    (r"POST /products/[^/]+/editions$", "EditionModel"),
    (r"GET /products/[^/]+/editions$", "page EditionModel"),
    (r"GET /products/[^/]+/editions/[^/]+$", "EditionModel"),
    (r"POST /plans$", "PlanModel"),
    (r"GET /plans$", "page PlanModel"),
    (r"GET /plans/[^/]+$", "PlanModel"),
    (r"POST /offerings$", "OfferingModel"),
    (r"GET /offerings$", "page OfferingListModel"),
    (r"GET /offerings/[^/]+$", "OfferingModel"),
    (r"PATCH /entitlements/activations/[^/]+/features/checkout$", "ActivationFeatureModel"),
    (r"GET /account/webhooks/events$", "items WebhookEventTypeModel"),
    (r"POST /account/webhooks$", "WebhookModel"),
    (r"GET /account/webhooks$", "page WebhookModel"),
    (r"GET /account/webhooks/[^/]+$", "WebhookModel"),
)
LOOSE = {"OfferingEditionModel", "OfferingPlanModel", "EntitlementGroupCustomerModel", "EntitlementGroupModel"}
PLAIN = {"string": str, "bool": bool, "int": int, "int64": int, "uri": str, "userId": str}


class Vendor:
    """The shared list of models as checks: `check` raises where an answer does not fit."""

    def __init__(self, listing):
        self.enums, self.models = listing["enums"], listing["models"]

    def answer(self, method, path, response):
        if response.status_code >= 400:
            return self.model("ApiError", response.json(), "ApiError")
        if response.status_code == 204:
            assert response.content == b""
            return None
        name = next(name for pattern, name in ANSWERS if re.match(pattern, f"{method} {path}"))
        return self.envelope(name, response.json(), f"{method} {path}")

    def envelope(self, name, value, where):
        kind, _, model = name.rpartition(" ")
        if kind == "page":
            assert value.keys() == {"items", "pageSize", "pageNumber", "elementsTotal"}
        if kind == "items":
            assert value.keys() == {"items", "elementsTotal"}
        rows = {
            "page": lambda: value["items"],
            "items": lambda: value["items"],
            "notes": lambda: value["notes"],
            "": lambda: [value],
        }[kind]()
        for row in rows:
            self.model(model, row, where)

    def model(self, name, value, where):
        fields = self.models[name]["fields"]
        assert value.keys() <= fields.keys(), (where, value.keys() - fields.keys())
        for field, rule in fields.items():
            if value.get(field) is None:
                assert rule["nullable"], f"{where}: {name}.{field} is null or absent"
            else:
                self.value(rule["type"], value[field], f"{where}: {name}.{field}")

    def value(self, kind, value, where):
        listed = re.fullmatch(r"\[(.*)\](?: \(.*\))?", kind)
        word = re.match(r"[\w-]+", kind)
        if listed:
            for item in value:
                self.value(listed[1], item, where)
        elif kind.startswith("{"):
            self.inline(kind, value, where)
        elif word[0] in self.enums:
            assert value in self.enums[word[0]], where
        elif word[0] in self.models:
            self.model(word[0], value, where)
        else:
            self.plain(word[0], value, where)

    def inline(self, kind, value, where):
        names = {name.strip(): name.strip().endswith("?") for name in kind.strip("{}").split(",")}
        assert value.keys() <= {name.rstrip("?") for name in names}, (where, value.keys())
        absent = {name for name, optional in names.items() if not optional and name not in value}
        assert not absent, (where, absent)

    def plain(self, kind, value, where):
        if kind == "date-time":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), where
        elif kind == "decimal":
            assert isinstance(value, int | float), where
        elif kind == "map":
            assert isinstance(value, dict), where
        elif kind not in LOOSE:
            assert type(value) is PLAIN[kind], (where, kind, value)


def walk(api):
    """Calls every operation at least once, with all expansions, and some that are refused."""
    customer = api.customer(customFields={"a": "b"}, contractValue=1.5, website="https://a.example", type="customer")
    api.call("PATCH", f"/customers/{customer}/disable")
    api.call("GET", f"/customers/{customer}")
    api.call("GET", "/customers")
    api.call("PATCH", f"/customers/{customer}/enable")
    api.call("POST", "/customers", {"name": 5}, 422)
    api.sandbox("offering", {"sku": "RICH", "grace": WEEK, "overdraft": {"type": "unlimited"}, "start": "activation"})
    ids = [one["id"] for one in api.group("RICH", "PERP-1", customer=customer)["entitlements"]]
    ids.append(api.entitlement("PRO-100"))
    api.seat(ids[0], "a")
    seat = api.seat(ids[2], "a")
    api.seat(ids[2], "b", 402)
    api.call("GET", f"/entitlements/activations/{seat['id']}")
    api.emulator.clock.advance(timedelta(hours=1))
    api.call("PATCH", "/entitlements/activations", {"activationId": seat["id"]}, 200)
    api.call("PATCH", f"/entitlements/{ids[1]}/disable")
    for id_ in ids:
        for expand in ("", "product,attributes,features,offering"):
            api.get(id_, expand=expand)
        for more in ("activations", "activations-log", "notes"):
            api.call("GET", f"/entitlements/{id_}/{more}")
    note = api.call("POST", f"/entitlements/{ids[0]}/notes", {"note": "n"})
    api.call("GET", f"/entitlements/{ids[0]}/notes/{note['id']}")
    api.call("GET", f"/entitlements/{ids[0]}/notes")
    group = api.get(ids[0])["entitlementGroupId"]
    code = api.call("GET", f"/entitlements/groups/{group}", expand="customer,entitlements")["activationCodes"][0]
    find = {"activationCode": code, "productId": api.get(ids[0])["productId"]}
    api.call("POST", "/entitlements/groups/find", find, 200)
    api.call("POST", f"/entitlements/groups/{group}/extend", {"skus": ["TEAM-YEAR"]})
    api.call("GET", "/entitlements/groups", expand="customer,entitlements")
    api.call("GET", "/entitlements", expand="customer")
    api.call("GET", "/entitlements", status=401 if api.session.headers.pop("Authorization") else None)
    api.login()
    product = api.call("POST", "/products", {"name": "P"})["id"]
    edition = api.call("POST", f"/products/{product}/editions", {"name": "E"})["id"]
    kinds = {"licenseType": "subscription", "licenseStartType": "activation"}
    plan = api.call("POST", "/plans", {"name": "L", "licenseDuration": YEAR} | kinds)["id"]
    body = {
        "name": "O",
        "sku": "O",
        "editionId": edition,
        "planId": plan,
        "seatCount": 1,
        "concurrencyMode": "nodeLock",
    }
    offering = api.call("POST", "/offerings", body)["id"]
    for path in (
        "/products",
        f"/products/{product}",
        f"/products/{product}/editions",
        f"/products/{product}/editions/{edition}",
    ):
        api.call("GET", path)
    for path in ("/plans", f"/plans/{plan}", "/offerings", f"/offerings/{offering}"):
        api.call("GET", path)
    api.call("GET", "/offerings", expand="edition,plan")
    api.call("GET", f"/offerings/{offering}", expand="edition,plan,stats")
    api.call("DELETE", f"/entitlements/activations/{seat['id']}")
    api.sandbox("offering", {"sku": "COUNTED", "features": {"exports": 5, "imports": None}, "usage_reset": "monthly"})
    counted = api.entitlement("COUNTED", customer=customer, order="stripe:counted")
    checkout = f"/entitlements/activations/{api.seat(counted, 'a')['id']}/features/checkout"
    api.call("PATCH", checkout, {"key": "exports", "amount": 5}, 200)
    api.call("PATCH", checkout, {"key": "imports", "amount": 5}, 200)
    api.call("PATCH", checkout, {"key": "exports", "amount": 1}, 402)
    api.get(counted, expand="features")
    api.call("GET", f"/entitlements/{counted}/activations-log")
    api.call("POST", f"/entitlements/{counted}/provision", status=204)
    listener = {"uri": "http://127.0.0.1:1/", "subscriptions": ["customer.created"]}
    made = api.call("POST", "/account/webhooks", listener)["id"]
    api.call("PUT", f"/account/webhooks/{made}", listener | {"subscriptions": ["entitlement.updated"]})
    for path in ("/account/webhooks", "/account/webhooks/events", f"/account/webhooks/{made}"):
        api.call("GET", path)
    api.call("POST", "/account/webhooks", {"uri": "http://127.0.0.1:1/", "subscriptions": []}, 422)
    api.call("POST", "/account/webhooks", {"uri": "http://127.0.0.1:1/", "subscriptions": ["invented"]}, 422)
    api.call("DELETE", f"/account/webhooks/{made}")
    api.call("GET", f"/account/webhooks/{made}", status=404)


@pytest.mark.shared
def test_every_answer_has_the_fields_and_values_of_the_vendors_models(api):
    if not MODELS.exists():
        pytest.skip("the shared models are not beside this checkout")
    vendor = Vendor(json.loads(MODELS.read_text()))
    walk(api)
    assert len(api.seen) > 60
    for method, path, response in api.seen:
        vendor.answer(method, path, response)


@pytest.mark.shared
def test_the_check_against_the_vendors_models_finds_what_is_wrong(api):
    if not MODELS.exists():
        pytest.skip("the shared models are not beside this checkout")
    vendor = Vendor(json.loads(MODELS.read_text()))
    good = api.get(api.entitlement())
    vendor.model("EntitlementModel", good, "")
    wrong = [{"extra": 1}, {"status": "cancelled"}, {"seatCount": "1"}, {"created": "2026-01-01"}, {"sku": None}]
    for change in wrong:
        with pytest.raises(AssertionError):
            vendor.model("EntitlementModel", good | change, "")


def test_a_log_may_be_refused(api):
    api.sandbox("switches", {"log_refused": True})
    api.call("GET", f"/entitlements/{api.entitlement()}/activations-log", status=403)
