"""Thin events and connected accounts of the Stripe emulator, and what it refuses, driven with the real client."""

from datetime import UTC, datetime

import pytest
import stripe
from stripe import StripeClient

from tests.connectors.stripe.shop import KEY, SECRET, a_shop, receiving, stamp


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


# Thin events


def test_a_thin_endpoint_gets_signed_notifications_that_name_the_object(shop):
    with receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET, payload="thin")
        sub = shop.sell()
        shop.admin("drain")
    body, header = receiver.got[-1]
    told = shop.client.parse_event_notification(body, header, SECRET)
    assert (told.object, told.livemode, told.context) == ("v2.core.event", True, None)
    (created,) = [event for event in receiver.events if event["type"] == "v1.customer.subscription.created"]
    assert created["related_object"] == {
        "id": sub.id,
        "type": "subscription",
        "url": f"/v1/subscriptions/{sub.id}",
    }
    assert datetime.fromisoformat(created["created"]) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert created["reason"]["type"] == "request"
    assert "data" not in created


def test_a_notification_leads_to_the_event_and_to_the_object(shop):
    with receiving() as receiver:
        types = ["v1.customer.subscription.updated"]
        shop.admin("webhook", url=receiver.url, secret=SECRET, payload="thin", enabled_events=types)
        sub = shop.sell()
        shop.admin("drain")
    (sent,) = receiver.got
    told = shop.client.parse_event_notification(*sent, SECRET)
    assert told.fetch_related_object().status == "active"
    event = told.fetch_event()
    assert (event.id, event.changes.to_dict()) == (
        told.id,
        {"before": {"status": "incomplete"}, "after": {"status": "active"}},
    )
    twin = shop.v1.events.retrieve(event.snapshot_event)
    assert (twin.type, twin.data.object.id, twin.id == told.id) == ("customer.subscription.updated", sub.id, False)


def test_both_kinds_of_endpoint_get_twins(shop):
    with receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET, payload="thin")
        shop.admin("webhook", url=receiver.url, secret=SECRET)
        shop.sell()
        shop.admin("drain")
    thin = [event for event in receiver.events if event["object"] == "v2.core.event"]
    snapshots = [event for event in receiver.events if event["object"] == "event"]
    assert sorted(event["type"] for event in thin) == sorted(f"v1.{event['type']}" for event in snapshots)
    twins = {shop.client.v2.core.events.retrieve(event["id"]).snapshot_event for event in thin}
    assert twins == {event["id"] for event in snapshots}
    assert not {event["id"] for event in thin} & twins


def test_a_thin_delivery_that_was_refused_comes_again_the_same(shop):
    with receiving(500) as receiver:
        shop.admin("delivery", backoff_s=0.02)
        shop.admin("webhook", url=receiver.url, secret=SECRET, payload="thin", enabled_events=["v1.customer.created"])
        shop.customer()
        shop.admin("drain")
        (event,) = shop.v1.events.list({"type": "customer.created"}).data
        shop.admin("deliver", events=[event.id])
        shop.admin("drain")
    assert [body for body, _ in receiver.got] == [receiver.got[0][0]] * 3


def test_thin_events_are_listed_newest_first_and_paged(shop):
    sub = shop.sell()
    shop.advance(days=28, hours=2)
    events = shop.client.v2.core.events
    every = list(events.list({"limit": 4}).auto_paging_iter())
    assert [event.snapshot_event for event in every] == [
        event.id for event in shop.v1.events.list({"limit": 100}).auto_paging_iter()
    ]
    about = events.list({"object_id": sub.id, "types": ["v1.customer.subscription.updated"]}).data
    assert [event.type for event in about] == ["v1.customer.subscription.updated"] * 2
    recent = events.list({"created": {"gte": "2026-02-28T12:00:01Z"}, "limit": 100}).data
    assert {event.created for event in recent} == {"2026-02-28T13:00:00.000Z"}


def test_a_thin_event_is_gone_after_thirty_days(shop):
    shop.customer()
    (event,) = shop.client.v2.core.events.list({"types": ["v1.customer.created"]}).data
    shop.advance(days=31)
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v2.core.events.retrieve(event.id)


@pytest.mark.parametrize("shape", ["current", "legacy"])
def test_thin_events_know_no_version(shape):
    with a_shop(shape=shape) as shop, receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET, payload="thin", enabled_events=["v1.charge.refunded"])
        sub = shop.sell(expand=["latest_invoice"])
        (charge,) = shop.v1.charges.list({"customer": sub.customer}).data
        shop.v1.refunds.create({"charge": charge.id})
        shop.admin("drain")
    assert receiver.events[0]["related_object"]["url"] == f"/v1/charges/{charge.id}"


def test_the_url_of_a_thin_event_leads_to_objects_of_every_kind(shop):
    customer = shop.customer()
    done = shop.checkout(shop.session(customer=customer))
    (charge,) = shop.v1.charges.list({"payment_intent": done.payment_intent}).data
    shop.admin("fraud_warning", charge=charge.id)
    shop.v1.refunds.create({"charge": charge.id, "amount": 100})
    shop.admin("dispute", charge=charge.id)
    sub = shop.sell()
    shop.v1.subscription_schedules.create({"from_subscription": sub.id})
    shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "out_of_band_amount": 100})
    seen = {}
    for event in shop.client.v2.core.events.list({"limit": 100}).auto_paging_iter():
        seen[event.related_object.type] = event.fetch_related_object()
    assert {kind: value.object for kind, value in seen.items()} == {kind: kind for kind in seen}
    assert len(seen) == 14


# Connected accounts


def test_accounts_hold_their_own_objects(shop):
    own = shop.customer()
    options = {"stripe_account": "acct_1"}
    theirs = shop.v1.customers.create({"name": "Other"}, options=options)
    assert [each.id for each in shop.v1.customers.list(options=options).data] == [theirs.id]
    assert [each.id for each in shop.v1.customers.list().data] == [own]
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.customers.retrieve(theirs.id)
    assert shop.v1.events.list({"type": "customer.created"}, options=options).data[0].account == "acct_1"
    assert [event.data.object.id for event in shop.v1.events.list({"type": "customer.created"}).data] == [own]


def test_a_connect_endpoint_gets_the_events_of_accounts_and_others_the_platform_s(shop):
    with receiving() as platform, receiving() as connect, receiving() as thin:
        wanted = {"secret": SECRET, "enabled_events": ["customer.created"]}
        shop.admin("webhook", url=platform.url, **wanted)
        shop.admin("webhook", url=connect.url, connect=True, **wanted)
        shop.admin("webhook", url=thin.url, connect=True, secret=SECRET, payload="thin")
        own = shop.customer()
        theirs = shop.v1.customers.create({"name": "Other"}, options={"stripe_account": "acct_1"})
        shop.admin("drain")
        told = shop.client.parse_event_notification(*thin.got[0], SECRET)
        assert told.fetch_related_object().id == theirs.id
        assert told.fetch_event().snapshot_event == connect.events[0]["id"]
    assert [(event["data"]["object"]["id"], event.get("account")) for event in platform.events] == [(own, None)]
    assert [(event["data"]["object"]["id"], event["account"]) for event in connect.events] == [(theirs.id, "acct_1")]


def test_business_time_and_admin_calls_reach_accounts(shop):
    client = StripeClient(KEY, base_addresses={"api": shop.url}, stripe_account="acct_1", max_network_retries=0).v1
    product = client.products.create({"name": "Pro"}).id
    terms = {"product": product, "currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    session = client.checkout.sessions.create(
        {"mode": "subscription", "line_items": [{"price": client.prices.create(terms).id}]}
    )
    sub = shop.admin("checkout", session=session.id, account="acct_1")["subscription"]
    shop.admin("card", customer=client.subscriptions.retrieve(sub).customer, ok=False, account="acct_1")
    shop.advance(days=28, hours=2)
    late = client.subscriptions.retrieve(sub)
    assert (late.status, late["items"].data[0].current_period_end) == ("past_due", stamp(2026, 3, 31))
    assert shop.admin("state")["accounts"]["acct_1"]["subscriptions"][0]["id"] == sub


def test_an_idempotency_key_is_one_account_s_own(shop):
    named = {"idempotency_key": "k1"}
    one = shop.v1.customers.create({"name": "A"}, options=named)
    other = shop.v1.customers.create({"name": "A"}, options={**named, "stripe_account": "acct_1"})
    assert one.id != other.id


# What is refused


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop: shop.v1.invoices.list({"payment_intent": "pi_1"}),
        lambda shop: shop.v1.customers.create({"nickname": "x"}),
        lambda shop: shop.v1.subscriptions.update(shop.sell().id, {"quantity": 5}),
        lambda shop: shop.v1.customers.retrieve(shop.customer(), {"verbose": True}),
    ],
)
def test_an_unknown_parameter_is_refused(shop, ask):
    with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter") as caught:
        ask(shop)
    assert caught.value.code == "parameter_unknown"
