"""The emulated tenant speaks: every event by its call or its day, signed, and as unkindly as it is told to be."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from connectors.emulation import Clock, Emulator, iso, serving
from connectors.zentitle.emulator_events import CATALOG
from connectors.zentitle.keys import Keys
from connectors.zentitle.webhook import EVENTS, ZentitleWebhooks, told
from hub.domain import Disable, Enable, SetTerms

DAY = timedelta(days=1)
MONTH = {"type": "month", "count": 1}
YEAR = {"type": "year", "count": 1}
WEEK = {"type": "week", "count": 1}


class Receiver(Emulator):
    """Keeps every body with its signature; answers `status`, or what is scripted."""

    routes = Map([Rule("/", endpoint="take", methods=["POST"])])

    def __init__(self):
        super().__init__(Clock())
        self.taken = []
        self.scripted = []
        self.taking = threading.Lock()

    def take(self, request):
        with self.taking:
            self.taken.append((request.get_data(), request.headers.get("N-Signature")))
            return Response(status=self.scripted.pop(0) if self.scripted else 200)

    @property
    def bodies(self):
        return [json.loads(body) for body, _ in self.taken]

    @property
    def codes(self):
        return [body["eventCode"] for body in self.bodies]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    app = Receiver()
    with serving(app) as url:
        app.url = url + "/"
        yield app


@pytest.fixture
def speaking(vendor, receiver):
    """The emulated tenant, with a listener for everything."""
    vendor.webhook(receiver.url)
    yield vendor
    vendor.deliveries.close()


def told_codes(vendor) -> list[str]:
    """The codes of all events so far."""
    return [body["eventCode"] for body in vendor.deliveries.bodies()]


def payloads(vendor, code):
    return [body["payload"] for body in vendor.deliveries.bodies() if body["eventCode"] == code]


def sale(vendor, *skus, **more):
    """The group of a sale."""
    group = vendor.tenant.create_group({"skus": list(skus or ("PRO-100",)), **more}, vendor.clock.now())
    vendor._publish()
    return group


def entitlement(vendor, sku="PRO-100"):
    return sale(vendor, sku).entitlements[0]


def days(vendor, number):
    vendor.clock.advance(number * DAY)


# Which call raises which event


def test_the_emulator_and_the_connector_know_the_same_events():
    assert set(CATALOG) == set(EVENTS)


def test_a_sale_is_told_as_group_entitlement_and_activation(client, speaking):
    customer, _ = client.create_customer("Acme", "acc-1")
    group, _ = client.create_group(customer.id, "stripe:sub_1", ("PRO-100", "TEAM-YEAR"), "AAAAA-BBBBB")
    made = ["entitlement.created", "entitlement.activated"]
    assert told_codes(speaking) == ["customer.created", "entitlement.group.created", *made, *made]
    (payload,) = payloads(speaking, "entitlement.group.created")
    assert payload | {"createdDate": ""} == {
        "entitlementGroupId": group.id,
        "createdDate": "",
        "orderRefId": "stripe:sub_1",
        "customerId": customer.id,
    }


def test_a_plan_that_starts_with_the_first_seat_is_told_as_activated_then(speaking):
    speaking.add_offering("LATE", start="activation")
    id_ = entitlement(speaking, "LATE")
    assert told_codes(speaking) == ["entitlement.group.created", "entitlement.created"]
    speaking.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    assert told_codes(speaking)[2:] == ["entitlement.activated", "entitlement.seat.activated"]


@pytest.mark.parametrize(
    ("call", "codes"),
    [
        (("PATCH", "/entitlements/{id}", {"seatCount": 4}), ["entitlement.updated"]),
        (("PATCH", "/entitlements/{id}/disable", None), ["entitlement.updated"]),
        (("PATCH", "/entitlements/{id}/enable", None), ["entitlement.updated"]),
        (("PATCH", "/entitlements/{id}/reset-overrides", {"resetSeatCount": True}), ["entitlement.updated"]),
        (("PATCH", "/entitlements/{id}/change-offering", {"offeringId": "{other}"}), ["entitlement.updated"]),
        (("PATCH", "/entitlements/{id}/renew", None), ["entitlement.renewed"]),
        (("POST", "/entitlements/{id}/provision", None), ["entitlement.provision"]),
        (("PATCH", "/entitlements/groups/{group}", {"orderRefId": "x"}), ["entitlement.group.updated"]),
        (
            ("POST", "/entitlements/groups/{group}/extend", {"skus": ["ADDON-YEAR"]}),
            ["entitlement.group.updated", "entitlement.created", "entitlement.activated"],
        ),
        (("PUT", "/customers/{customer}", {"name": "New"}), ["customer.updated"]),
        (("PATCH", "/customers/{customer}/disable", None), ["customer.updated"]),
        (("POST", "/entitlements/{id}/notes", {"note": "n"}), []),
        (("POST", "/offerings", {"name": "x"}), []),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_call_raises_its_events(client, speaking, call, codes):
    customer, _ = client.create_customer("Acme", "acc-1")
    group = sale(speaking, "PRO-100", customerId=customer.id)
    names = {
        "id": group.entitlements[0],
        "group": group.id,
        "customer": customer.id,
        "other": speaking.tenant.offering_with_sku["PRO-MONTHLY"],
    }
    method, path, body = call
    before = len(told_codes(speaking))
    filled = json.loads(re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), json.dumps(body)))
    try:
        client._write(method, path.format(**names), filled)
    except Exception:
        assert codes == []
    assert told_codes(speaking)[before:] == codes


def test_an_update_carries_the_values_that_are_true_now(licensing, speaking):
    id_ = entitlement(speaking)
    until = speaking.clock.now().replace(microsecond=0) + 400 * DAY
    licensing.apply(SetTerms(entitlement_id=id_, seats=7, overdraft=2, expires_at=until))
    licensing.apply(Disable(entitlement_id=id_))
    first, second = payloads(speaking, "entitlement.updated")
    assert (first["seatCount"], first["overdraftSeatLimit"]) == (7, {"type": "absolute", "value": 2})
    assert (first["expiryDate"], first["disabled"], second["disabled"]) == (iso(until), False, True)
    licensing.apply(Enable(entitlement_id=id_))
    found = told(json.dumps(speaking.deliveries.bodies()[-1]).encode())
    held = licensing.entitlement(id_)
    assert {name: getattr(held, name) for name in found.fields} == found.fields
    assert set(found.fields) == {"seats", "overdraft", "expires_at", "enabled"}


def test_a_refused_call_tells_nothing(client, speaking):
    id_ = entitlement(speaking)
    speaking.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    before = told_codes(speaking)
    assert speaking.admin("activate", {"entitlement": id_, "seatIds": ["b"]})[0]["denied"]
    assert told_codes(speaking) == before


def test_a_person_s_edit_is_told_like_a_call(speaking):
    id_ = entitlement(speaking)
    for change in ({"seatCount": 3}, {"disabled": True}):
        speaking.admin("edit", {"entitlement": id_} | change)
    assert [one["disabled"] for one in payloads(speaking, "entitlement.updated")] == [False, True]


def test_seats_are_told_with_how_many_are_used_and_which_are_overdraft(speaking):
    speaking.add_offering("OVER", seat_count=2, overdraft={"type": "absolute", "value": 1})
    id_ = entitlement(speaking, "OVER")
    speaking.admin("activate", {"entitlement": id_, "seatIds": ["a", "b", "a", "c"]})  # a again: only a longer lease
    taken = payloads(speaking, "entitlement.seat.activated")
    seats = [(one["seatId"], one["seatsUsed"], one["isOverdraftSeat"]) for one in taken]
    assert seats == [("a", 1, False), ("b", 2, False), ("c", 3, True)]
    speaking.admin("deactivate", {"entitlement": id_, "seatIds": ["c", "a"]})
    freed = payloads(speaking, "entitlement.seat.deactivated")
    assert [(one["seatsUsed"], one["isOverdraftSeat"], one["method"]) for one in freed] == [
        (2, True, "deactivate"),
        (1, False, "deactivate"),
    ]


def test_a_seat_that_the_api_frees_says_so(client, speaking):
    id_ = entitlement(speaking)
    (row,) = speaking.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    client._write("DELETE", f"/entitlements/activations/{row['activationId']}")
    assert payloads(speaking, "entitlement.seat.deactivated")[0]["method"] == "delete"


def test_a_lease_that_ends_tells_nothing_and_frees_the_seat(licensing, speaking):
    id_ = entitlement(speaking)
    speaking.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    before = told_codes(speaking)
    days(speaking, 3)
    assert told_codes(speaking) == before
    assert licensing.entitlement(id_).seats_used == 0


# What business time raises


def test_each_reminder_comes_once_and_on_its_day(speaking):
    id_ = entitlement(speaking)
    expires = speaking.tenant.entitlements.now[id_].expires_at
    days(speaking, 380)
    due = [(body["eventCode"], body["eventDate"]) for body in speaking.deliveries.bodies()[3:]]
    assert due == [
        ("entitlement.expires30days", iso(expires - 30 * DAY)),
        ("entitlement.expires7days", iso(expires - 7 * DAY)),
        ("entitlement.expires1day", iso(expires - DAY)),
        ("entitlement.expired", iso(expires)),
    ]
    assert payloads(speaking, "entitlement.expires7days") == [
        {"entitlementId": id_, "expiresAt": iso(expires), "daysToExpire": 7}
    ]
    days(speaking, 40)
    assert len(told_codes(speaking)) == 7


def test_a_renewal_begins_the_reminders_anew_and_an_old_date_raises_none(licensing, speaking):
    id_ = entitlement(speaking)
    first = speaking.tenant.entitlements.now[id_].expires_at
    days(speaking, 340)
    assert told_codes(speaking).count("entitlement.expires30days") == 1
    licensing.apply(SetTerms(entitlement_id=id_, expires_at=first + 365 * DAY))
    days(speaking, 100)
    licensing.apply(SetTerms(entitlement_id=id_, expires_at=first + 366 * DAY))
    licensing.apply(SetTerms(entitlement_id=id_, expires_at=first + 365 * DAY))  # and back again
    days(speaking, 300)
    assert Counter(told_codes(speaking)) >= Counter({"entitlement.expires30days": 2, "entitlement.expired": 1})
    assert told_codes(speaking).count("entitlement.expires30days") == 2
    assert told_codes(speaking).count("entitlement.expired") == 1


def test_a_license_with_grace_has_expired_when_its_grace_has(speaking):
    speaking.add_offering("GRACE", grace=WEEK)
    id_ = entitlement(speaking, "GRACE")
    expires = speaking.tenant.entitlements.now[id_].expires_at
    days(speaking, 380)
    (payload,) = payloads(speaking, "entitlement.expired")
    assert payload["expiredAt"] == iso(expires + 7 * DAY)


def test_what_is_past_already_when_a_license_is_made_is_not_reminded_of(speaking):
    speaking.add_offering("SHORT", duration=WEEK)
    entitlement(speaking, "SHORT")
    days(speaking, 10)
    assert told_codes(speaking)[3:] == ["entitlement.expires1day", "entitlement.expired"]


def test_maintenance_has_reminders_of_its_own(speaking):
    speaking.add_offering("PERP-M", duration=None, maintenance=YEAR)
    id_ = entitlement(speaking, "PERP-M")
    days(speaking, 380)
    family = "entitlement.maintenance."
    told_ = [code.removeprefix(family) for code in told_codes(speaking) if code.startswith(family)]
    assert told_ == ["expires30days", "expires7days", "expires1day", "expired"]
    assert payloads(speaking, family + "expires1day")[0]["daysToExpire"] == 1
    assert payloads(speaking, family + "expired")[0]["entitlementId"] == id_


def check_out(client, vendor, id_, key, amount):
    (row,) = vendor.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    body = {"key": key, "amount": amount}
    return client._write("PATCH", f"/entitlements/activations/{row['activationId']}/features/checkout", body)


def test_a_monthly_cycle_ends_with_its_totals_and_begins_at_zero(client, speaking):
    speaking.add_offering(
        "COUNTED",
        features={"exports": 100, "imports": None},
        feature_overdraft={"type": "absolute", "value": 50},
        usage_reset="monthly",
    )
    id_ = entitlement(speaking, "COUNTED")
    check_out(client, speaking, id_, "exports", 120)
    check_out(client, speaking, id_, "imports", 7)
    days(speaking, 95)
    first, second, third = payloads(speaking, "entitlement.usage.summary")
    assert first["featureUsages"] == [
        {"key": "exports", "used": 120, "overdraftUsed": 20},
        {"key": "imports", "used": 7, "overdraftUsed": 0},
    ]
    assert [one["used"] for one in second["featureUsages"]] == [0, 0]
    assert (first["billingCycleEnd"], second["billingCycleEnd"]) == (
        second["billingCycleStart"],
        third["billingCycleStart"],
    )


def test_a_renewal_ends_the_cycle_where_usage_is_reset_then_and_never_means_never(client, speaking):
    speaking.add_offering("RENEWED", features={"exports": 100}, usage_reset="onRenewal")
    speaking.add_offering("NEVER", features={"exports": 100}, usage_reset="never")
    for sku in ("RENEWED", "NEVER", "PRO-100"):
        client._write("PATCH", f"/entitlements/{entitlement(speaking, sku)}/renew")
    assert len(payloads(speaking, "entitlement.usage.summary")) == 1


# Delivery


def verifies(vendor, body, signature) -> bool:
    hooks = ZentitleWebhooks("zentitle", Keys((), lambda: vendor.account_key(None)["n"]), lambda _: "")
    hooks.verify(body, {"n-signature": signature}, 0)
    return True


def test_every_body_is_signed_as_it_is_sent(speaking, receiver):
    sale(speaking, "PRO-100")
    assert speaking.admin("drain", {})["delivered"] == 3
    assert sorted(receiver.codes) == ["entitlement.activated", "entitlement.created", "entitlement.group.created"]
    assert all(verifies(speaking, body, signature) for body, signature in receiver.taken)
    assert len({body["eventId"] for body in receiver.bodies}) == 3


def test_a_retry_is_the_same_event_with_another_count_and_signature(speaking, receiver):
    speaking.admin("delivery", {"backoff_s": 0.01})
    receiver.scripted = [500, 404]
    speaking.tenant.tell("customer.created", "cust_1", speaking.clock.now(), customerId="cust_1", name="A")
    speaking._publish()
    speaking.admin("drain", {})
    assert [body["callAttempt"] for body in receiver.bodies] == [1, 2, 3]
    assert len({body["eventId"] for body in receiver.bodies}) == 1
    assert len({signature for _, signature in receiver.taken}) == 3
    assert all(verifies(speaking, body, signature) for body, signature in receiver.taken)
    assert speaking.admin("deliveries", {}) == [
        {"event": receiver.bodies[0]["eventId"], "url": receiver.url, "attempts": 3, "state": "delivered"}
    ]


def test_what_no_try_delivers_is_told_and_can_be_sent_again(speaking, receiver):
    speaking.admin("delivery", {"backoff_s": 0.01, "tries": 2})
    receiver.scripted = [500, 500]
    id_ = entitlement(speaking)
    receiver.scripted = []
    speaking.admin("drain", {})
    receiver.scripted = [500, 500]
    speaking.admin("edit", {"entitlement": id_, "seatCount": 2})
    speaking.admin("drain", {})
    (row,) = speaking.admin("undelivered", {})
    assert (row["type"], row["state"], row["attempts"]) == ("entitlement.updated", "failed", 2)
    assert speaking.admin("deliver", {}) == {"queued": 1}
    speaking.admin("drain", {})
    assert speaking.admin("undelivered", {}) == []
    assert receiver.bodies[-1]["callAttempt"] == 3


def test_deliveries_can_be_lost_doubled_late_and_out_of_order(speaking, receiver):
    unkind = {"duplicate": 0.5, "reorder": 0.5, "drop": 0.2, "delay_s": 0.05, "seed": 5}
    speaking.admin("delivery", unkind)
    for _ in range(20):
        sale(speaking, "PRO-100")
    counts = speaking.admin("drain", {})
    assert counts["dropped"] > 5
    assert counts["duplicated"] > 10
    sent = [body["eventId"] for body in speaking.deliveries.bodies()]
    came = list(dict.fromkeys(body["eventId"] for body in receiver.bodies))
    assert len(came) == 60 - counts["dropped"]
    assert came != [one for one in sent if one in came]


def test_a_listener_gets_the_codes_that_it_asked_for(client, vendor, receiver):
    client.create_listener(receiver.url, ["entitlement.activated"])
    sale(vendor, "PRO-100")
    vendor.admin("drain", {})
    assert receiver.codes == ["entitlement.activated"]
    (listener,) = client.listeners()
    client.replace_listener(listener.id, receiver.url, ["entitlement.created"])
    assert [one.subscriptions for one in client.listeners()] == [("entitlement.created",)]
    client._write("DELETE", f"/account/webhooks/{listener.id}")
    assert list(client.listeners()) == []


def test_a_test_event_has_no_payload_is_about_the_listener_and_is_sent_once(client, speaking, receiver):
    receiver.scripted = [500]
    (listener,) = client.listeners()
    client._write("POST", f"/account/webhooks/{listener.id}/test")
    speaking.admin("drain", {})
    (body,) = receiver.bodies
    assert (body["payload"], body["resourceId"], body["callAttempt"]) == (None, listener.id, 1)


def test_a_rotated_key_signs_from_then_on(speaking, receiver):
    before = speaking.account_key(None)
    sale(speaking, "PRO-100")
    speaking.admin("drain", {})
    speaking.admin("rotate_key", {})
    assert speaking.account_key(None) != before
    sale(speaking, "PRO-100")
    speaking.admin("drain", {})
    assert all(verifies(speaking, body, signature) for body, signature in receiver.taken[3:])


def test_filling_tells_nothing_and_a_reset_keeps_the_listeners(speaking):
    speaking.fill(10)
    assert told_codes(speaking) == []
    speaking.reset()
    assert len(speaking.deliveries.listeners) == 1


# The vendor's own words


def everything(client, vendor):
    """Raises each of the 20 events."""
    vendor.add_offering("ALL", features={"exports": 5}, usage_reset="monthly", start="activation", seat_count=1)
    vendor.add_offering("PERP-M", duration=None, maintenance=YEAR)
    customer, _ = client.create_customer("Acme", "acc-1")
    client._write("PATCH", f"/customers/{customer.id}/disable")
    client._write("PATCH", f"/customers/{customer.id}/enable")
    group = sale(vendor, "ALL", customerId=customer.id, orderRefId="stripe:sub_1")
    bare = sale(vendor, "PERP-M")
    client._write("PATCH", f"/entitlements/groups/{bare.id}", {"orderRefId": "x"})
    id_ = group.entitlements[0]
    vendor.admin("activate", {"entitlement": id_, "seatIds": ["a"]})
    vendor.admin("deactivate", {"entitlement": id_})
    client._write("PATCH", f"/entitlements/{id_}", {"overdraftSeatLimit": {"type": "percentage", "value": 20}})
    client._write("PATCH", f"/entitlements/{bare.entitlements[0]}/disable")
    client._write("POST", f"/entitlements/{id_}/provision")
    client._write("PATCH", f"/entitlements/{id_}/renew")
    vendor.clock.advance(740 * DAY)


def fits(value, schema) -> bool:
    """Whether `value` is of a JSON schema as the file of events has them; every named property is there."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    known = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list, "null": type(None)}
    if not any(type(value) is known[kind] for kind in kinds):
        return False
    if schema.get("format") == "date-time" and value is not None:
        return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) is not None
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict) and "properties" in schema:
        named = schema["properties"]
        return value.keys() == named.keys() and all(fits(value[name], named[name]) for name in named)
    return not isinstance(value, list) or all(fits(one, schema["items"]) for one in value)


def test_every_event_can_be_raised_and_is_understood(client, speaking):
    everything(client, speaking)
    hooks = ZentitleWebhooks("zentitle", Keys((), str), lambda _: "p")
    assert set(told_codes(speaking)) == set(EVENTS)
    for body in speaking.deliveries.bodies():
        (found,) = hooks.normalise(json.dumps(body).encode(), {})
        assert found.subject is not None
        assert found.ignored_because is None


@pytest.mark.shared
def test_every_event_has_the_envelope_and_payload_that_the_vendor_published(client, speaking, shared: Path):
    published = json.loads((shared / "reference" / "data" / "zentitle2-webhook-events-2025-10-10.json").read_text())
    assert set(published["events"]) == set(CATALOG) == set(EVENTS)
    assert {code: one["eventType"] for code, one in published["events"].items()} == {
        code: type_ for code, (type_, _) in CATALOG.items()
    }
    everything(client, speaking)
    for body in speaking.deliveries.bodies():
        assert fits(body, published["envelope"]), body
        assert fits(body["payload"], published["events"][body["eventCode"]]["payload"]), body
        prefixes = re.findall(r"[a-z]+_", published["events"][body["eventCode"]]["resourceIdPrefix"])
        assert body["resourceId"].startswith(tuple(prefixes)), body


@pytest.mark.shared
def test_every_published_sample_is_understood(shared: Path):
    samples = json.loads((shared / "reference" / "data" / "zentitle2-webhook-samples-synthetic.json").read_text())
    hooks = ZentitleWebhooks("zentitle", Keys((), str), lambda _: "p")
    found = [hooks.normalise(json.dumps(one).encode(), {})[0] for one in samples["samples"]]
    assert {one.type for one in found} == set(EVENTS)
    assert all(one.subject and not one.ignored_because for one in found)
    assert "ada@example.com" not in repr(found)


def test_use_of_past_days_is_played_with_its_own_times_in_log_and_webhooks(speaking):
    group = sale(speaking, "PRO-100", orderRefId="stripe:sub_1")
    (id_,) = group.entitlements
    speaking.admin("edit", {"entitlement": id_, "seatCount": 2})
    now = speaking.clock.now().replace(microsecond=0)
    days(speaking, 1)
    plan = [(now + timedelta(hours=2), 1), (now + timedelta(hours=1), 3)]  # whatever order they are told in
    steps = [{"orderRefId": "stripe:sub_1", "at": at.isoformat(), "seats": seats} for at, seats in plan]
    assert speaking.admin("use", {"steps": steps}) == {"denied": 1}
    log = [(row["operation"], row["timestamp"] - now) for row in speaking.tenant.log[id_]]
    first, then = timedelta(hours=1), timedelta(hours=2)
    assert log == [("activate", first), ("activate", first), ("activationDenied", first), ("deactivate", then)]
    assert [one["seatsUsed"] for one in payloads(speaking, "entitlement.seat.activated")] == [1, 2]
    (given_back,) = payloads(speaking, "entitlement.seat.deactivated")
    assert (given_back["seatId"], given_back["deactivatedAt"]) == ("seat-001", iso(now + then))
