"""The Stripe emulator, driven with the real client over HTTP, its webhooks verified with the real library."""

import json
import random
import time
from collections import Counter
from datetime import timedelta

import pytest
import stripe
from stripe import StripeClient

from connectors.emulation import Clock
from connectors.stripe.emulator_objects import period_end
from connectors.stripe.emulator_shapes import differences
from tests.connectors.stripe.shop import DAY, HOUR, SECRET, a_shop, ends, receiving, stamp


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


# Start


def test_a_new_subscription_is_active_and_its_first_invoice_paid(shop):
    sub = shop.sell(expand=["latest_invoice", "customer"])
    line = sub.latest_invoice.lines.data[0]
    assert (sub.status, sub.latest_invoice.status, sub.latest_invoice.amount_paid) == ("active", "paid", 5000)
    assert sub.latest_invoice.parent.subscription_details.subscription == sub.id
    assert line.pricing.price_details.price == shop.price()
    assert line.parent.subscription_item_details.subscription_item == sub["items"].data[0].id
    assert line.period.end == ends(sub)[0] == stamp(2026, 2, 28)
    assert sub.customer.email == "ann@example.com"


def test_a_start_raises_the_whole_set_of_events(shop):
    shop.price()
    before = len(shop.types())
    sub = shop.sell()
    types = shop.types(before)
    assert types[:3] == ["customer.created", "customer.subscription.created", "invoice.created"]
    assert types[-1] == "customer.subscription.updated"
    assert {
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "payment_intent.succeeded",
        "charge.succeeded",
    } < set(types)
    created = shop.v1.events.list({"type": "customer.subscription.created"}).data[0]
    updated = shop.v1.events.list({"type": "customer.subscription.updated"}).data[0]
    assert created.data.object.status == "incomplete"
    assert updated.data.previous_attributes.to_dict() == {"status": "incomplete"}
    assert (updated.data.object.status, updated.api_version) == ("active", "2026-10-28.endive")
    assert (updated.data.object.id, updated.livemode, updated.created) == (sub.id, True, stamp(2026, 1, 31))
    assert updated.request.id.startswith("req_")


def test_a_completed_checkout_starts_a_subscription(shop):
    session = shop.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": shop.price(), "quantity": 3}],
            "success_url": "https://seller.example.com/thanks",
            "client_reference_id": "ACC-1",
            "customer_email": "bob@example.com",
            "subscription_data": {"metadata": {"order": "77"}},
        }
    )
    assert (session.status, session.subscription) == ("open", None)
    done = shop.admin("checkout", session=session.id)
    sub = shop.subscription(done["subscription"], expand=["customer"])
    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    assert (sub.status, sub["items"].data[0].quantity, sub.metadata["order"]) == ("active", 3, "77")
    assert sub.customer.email == "bob@example.com"
    assert "checkout.session.completed" in shop.types()
    lines = shop.v1.checkout.sessions.line_items.list(session.id)
    assert lines.data[0].price.lookup_key == "PRO-100"


def test_a_one_off_checkout_is_a_payment_without_subscription(shop):
    price = shop.v1.prices.create({"product": shop.product, "currency": "usd", "unit_amount": 9900}).id
    session = shop.v1.checkout.sessions.create({"mode": "payment", "line_items": [{"price": price}]})
    done = shop.admin("checkout", session=session.id)
    intent = shop.v1.payment_intents.retrieve(done["payment_intent"])
    assert (done["subscription"], intent.status, intent.amount) == (None, "succeeded", 9900)


def test_a_checkout_that_nobody_completes_expires(shop):
    session = shop.v1.checkout.sessions.create({"mode": "subscription", "line_items": [{"price": shop.price()}]})
    shop.advance(days=2)
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "expired"


def test_a_first_payment_that_fails_leaves_it_incomplete_and_then_expired(shop):
    customer = shop.customer()
    shop.admin("card", customer=customer, ok=False)
    sub = shop.sell(customer=customer, expand=["latest_invoice"])
    assert (sub.status, sub.latest_invoice.status) == ("incomplete", "open")
    shop.advance(hours=24)
    assert shop.subscription(sub.id).status == "incomplete_expired"
    assert shop.invoices(sub)[0].status == "void"


def test_an_incomplete_subscription_becomes_active_when_its_invoice_is_paid(shop):
    sub = shop.sell(payment_behavior="default_incomplete")
    assert sub.status == "incomplete"
    shop.v1.invoices.pay(sub.latest_invoice)
    assert shop.subscription(sub.id).status == "active"


# Renewal


def test_at_renewal_the_period_moves_an_hour_before_anyone_has_paid(shop):
    sub = shop.sell()
    shop.advance(days=28)
    renewed = shop.subscription(sub.id, expand=["latest_invoice"])
    assert ends(renewed) == [stamp(2026, 3, 31)]
    assert renewed.status == "active"
    assert (renewed.latest_invoice.status, renewed.latest_invoice.amount_paid) == ("draft", 0)
    assert renewed.latest_invoice.billing_reason == "subscription_cycle"
    shop.advance(minutes=61)
    paid = shop.subscription(sub.id, expand=["latest_invoice"]).latest_invoice
    assert (paid.status, paid.lines.data[0].period.end) == ("paid", stamp(2026, 3, 31))
    assert paid.status_transitions.paid_at == stamp(2026, 2, 28) + HOUR


def test_a_renewal_raises_its_events_in_business_time(shop):
    sub = shop.sell()
    before = len(shop.types())
    shop.advance(days=29)
    assert shop.types(before) == [
        "invoice.created",
        "customer.subscription.updated",
        "invoice.finalized",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    updated = shop.v1.events.list({"type": "customer.subscription.updated"}).data[0]
    assert updated.created == stamp(2026, 2, 28)
    old = updated.data.previous_attributes.to_dict()["items"]["data"][0]
    assert (old["current_period_end"], updated.request.id) == (stamp(2026, 2, 28), None)
    assert old["id"] == sub["items"].data[0].id


def test_a_year_of_months_is_billed_thirteen_times(shop):
    sub = shop.sell()
    shop.advance(days=365, hours=2)
    assert [invoice.status for invoice in shop.invoices(sub)] == ["paid"] * 13
    assert ends(shop.subscription(sub.id)) == [stamp(2027, 2, 28)]


def test_an_event_older_than_thirty_days_is_gone(shop):
    sub = shop.sell()
    first = shop.v1.events.list({"type": "customer.subscription.created"}).data[0]
    shop.advance(days=31)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.events.retrieve(first.id)
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 404)
    assert shop.subscription(sub.id).status == "active"


@pytest.mark.parametrize(
    ("interval", "count", "start", "expected"),
    [
        ("month", 1, (2026, 2, 28), (2026, 3, 31)),
        ("month", 3, (2026, 1, 31), (2026, 4, 30)),
        ("year", 1, (2026, 1, 31), (2027, 1, 31)),
        ("week", 2, (2026, 1, 31), (2026, 2, 14)),
        ("day", 1, (2026, 1, 31), (2026, 2, 1)),
    ],
)
def test_periods_keep_to_the_anchor(interval, count, start, expected):
    recurring = {"interval": interval, "interval_count": count}
    assert period_end(stamp(2026, 1, 31), stamp(*start), recurring) == stamp(*expected)


# Dunning


def failing_renewal(shop):
    customer = shop.customer()
    sub = shop.sell(customer=customer)
    shop.admin("card", customer=customer, ok=False)
    shop.advance(days=28, hours=2)
    return customer, sub


def test_a_failed_renewal_is_past_due_and_tried_again_after_three_days(shop):
    _, sub = failing_renewal(shop)
    late = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (late.status, late.latest_invoice.status, late.latest_invoice.attempt_count) == ("past_due", "open", 1)
    assert late.latest_invoice.next_payment_attempt == stamp(2026, 2, 28) + HOUR + 3 * DAY
    assert shop.types()[-2:] == ["invoice.payment_failed", "customer.subscription.updated"]


def test_a_retry_that_succeeds_recovers_the_subscription(shop):
    customer, sub = failing_renewal(shop)
    shop.admin("card", customer=customer, ok=True)
    shop.advance(days=3)
    back = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (back.status, back.latest_invoice.status, back.latest_invoice.attempt_count) == ("active", "paid", 2)


@pytest.mark.parametrize("final", ["canceled", "unpaid", "past_due"])
def test_after_the_last_retry_the_account_decides(shop, final):
    shop.admin("dunning", final=final)
    _, sub = failing_renewal(shop)
    shop.advance(days=14)
    assert shop.subscription(sub.id).status == "past_due"
    shop.advance(days=2)
    late = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (late.status, late.latest_invoice.attempt_count) == (final, 4)
    assert late.latest_invoice.next_payment_attempt is None


def test_an_unpaid_subscription_comes_back_when_its_newest_invoice_is_paid(shop):
    shop.admin("dunning", final="unpaid")
    customer, sub = failing_renewal(shop)
    shop.advance(days=40)
    shop.admin("card", customer=customer, ok=True)
    newest = shop.invoices(sub)[0]
    assert newest.status == "draft"
    shop.v1.invoices.pay(newest.id)
    assert shop.subscription(sub.id).status == "active"


def test_paying_out_of_band_charges_nothing_and_raises_invoice_paid_alone(shop):
    _, sub = failing_renewal(shop)
    before = len(shop.types())
    invoice = shop.v1.invoices.pay(shop.subscription(sub.id).latest_invoice, {"paid_out_of_band": True})
    assert invoice.status == "paid"
    assert shop.types(before) == ["invoice.paid", "customer.subscription.updated"]


def test_a_declined_payment_is_a_card_error(shop):
    _, sub = failing_renewal(shop)
    with pytest.raises(stripe.CardError) as caught:
        shop.v1.invoices.pay(shop.subscription(sub.id).latest_invoice)
    assert caught.value.code == "card_declined"


@pytest.mark.parametrize(("verb", "status"), [("void_invoice", "void"), ("mark_uncollectible", "uncollectible")])
def test_an_open_invoice_can_be_given_up(shop, verb, status):
    _, sub = failing_renewal(shop)
    getattr(shop.v1.invoices, verb)(shop.subscription(sub.id).latest_invoice)
    assert shop.invoices(sub)[0].status == status


def test_a_sent_invoice_grants_at_once_and_goes_past_due_when_overdue(shop):
    sub = shop.sell(collection_method="send_invoice", days_until_due=14)
    assert sub.status == "active"
    shop.advance(hours=2)
    assert shop.invoices(sub)[0].status == "open"
    shop.advance(days=15)
    assert shop.subscription(sub.id).status == "past_due"


# End


def test_canceling_ends_it_now_and_it_stays_readable(shop):
    sub = shop.sell()
    before = len(shop.types())
    shop.v1.subscriptions.cancel(sub.id, {"cancellation_details": {"feedback": "too_expensive"}})
    ended = shop.subscription(sub.id)
    assert (ended.status, ended.ended_at) == ("canceled", stamp(2026, 1, 31))
    assert ended.cancellation_details.feedback == "too_expensive"
    assert shop.types(before) == ["customer.subscription.deleted"]
    assert shop.v1.subscriptions.list().data == []
    assert [each.id for each in shop.v1.subscriptions.list({"status": "all"}).data] == [sub.id]


def test_canceling_twice_is_refused_as_missing(shop):
    sub = shop.sell()
    shop.v1.subscriptions.cancel(sub.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.subscriptions.cancel(sub.id)
    assert caught.value.http_status == 404


def test_cancel_at_period_end_ends_it_at_the_end_without_a_renewal(shop):
    sub = shop.sell()
    flagged = shop.v1.subscriptions.update(sub.id, {"cancel_at_period_end": True})
    assert (flagged.cancel_at_period_end, flagged.cancel_at) == (True, stamp(2026, 2, 28))
    shop.advance(days=27)
    assert shop.subscription(sub.id).status == "active"
    shop.advance(days=2)
    ended = shop.subscription(sub.id)
    assert (ended.status, ended.ended_at, len(shop.invoices(sub))) == ("canceled", stamp(2026, 2, 28), 1)


def test_a_cancellation_can_be_undone(shop):
    sub = shop.sell()
    shop.v1.subscriptions.update(sub.id, {"cancel_at_period_end": True})
    undone = shop.v1.subscriptions.update(sub.id, {"cancel_at_period_end": False})
    assert (undone.cancel_at, undone.canceled_at, undone.cancel_at_period_end) == (None, None, False)
    shop.advance(days=29)
    assert shop.subscription(sub.id).status == "active"


def test_cancel_at_needs_no_period_end(shop):
    sub = shop.sell()
    flagged = shop.v1.subscriptions.update(sub.id, {"cancel_at": stamp(2026, 2, 10)})
    assert flagged.cancel_at_period_end is False
    shop.advance(days=11)
    assert shop.subscription(sub.id).ended_at == stamp(2026, 2, 10)


def test_deleting_a_customer_ends_its_subscriptions(shop):
    sub = shop.sell()
    shop.v1.customers.delete(sub.customer)
    assert shop.subscription(sub.id).status == "canceled"
    assert shop.v1.customers.retrieve(sub.customer).deleted is True


# Changes


def change(shop, sub, **given):
    item = {name: given.pop(name) for name in ("price", "quantity") if name in given}
    items = [{"id": sub["items"].data[0].id, **item}]
    return shop.v1.subscriptions.update(sub.id, {"items": items, "expand": ["latest_invoice"], **given})


def test_more_seats_are_there_at_once_and_billed_with_the_next_invoice(shop):
    sub = shop.sell()
    more = change(shop, sub, quantity=8)
    assert (more["items"].data[0].quantity, len(shop.invoices(sub))) == (8, 1)
    shop.advance(days=28)
    lines = shop.invoices(sub)[0].lines.data
    assert [line.parent.subscription_item_details.proration for line in lines] == [False, True, True]


def test_always_invoice_bills_a_change_at_once_without_moving_the_period(shop):
    sub = shop.sell()
    before = len(shop.types())
    more = change(shop, sub, quantity=8, proration_behavior="always_invoice")
    assert more.latest_invoice.billing_reason == "subscription_update"
    assert (more.latest_invoice.status, ends(more)) == ("paid", ends(sub))
    assert all(line.parent.subscription_item_details.proration for line in more.latest_invoice.lines.data)
    assert {"customer.subscription.updated", "invoice.created", "invoice.paid"} < set(shop.types(before))


def test_on_classic_billing_a_proration_hangs_on_its_invoice_item(shop):
    sub = shop.sell(billing_mode={"type": "classic"})
    more = change(shop, sub, quantity=8, proration_behavior="always_invoice")
    assert more.latest_invoice.lines.data[0].parent.invoice_item_details.proration is True


def test_fewer_seats_without_proration_raise_one_event(shop):
    sub = shop.sell()
    before = len(shop.types())
    less = change(shop, sub, quantity=2, proration_behavior="none")
    assert less["items"].data[0].quantity == 2
    assert shop.types(before) == ["customer.subscription.updated"]
    event = shop.v1.events.list({"limit": 1}).data[0]
    assert event.data.previous_attributes.to_dict()["items"]["data"][0]["quantity"] == 5


def test_a_swapped_price_keeps_its_item(shop):
    sub = shop.sell()
    swapped = change(shop, sub, price=shop.price("PRO-200", 2000))
    assert swapped["items"].data[0].id == sub["items"].data[0].id
    assert swapped["items"].data[0].price.lookup_key == "PRO-200"
    assert ends(swapped) == ends(sub)


def test_a_new_interval_starts_a_new_period_and_is_billed_at_once(shop):
    sub = shop.sell()
    shop.advance(days=10)
    yearly = change(shop, sub, price=shop.price("PRO-YEAR", 9000, "year"))
    assert ends(yearly) == [stamp(2027, 2, 10)]
    assert (yearly.latest_invoice.billing_reason, yearly.latest_invoice.status) == ("subscription_update", "paid")
    full = [line for line in yearly.latest_invoice.lines.data if not line.parent.subscription_item_details.proration]
    assert [line.period.end for line in full] == [stamp(2027, 2, 10)]


def test_items_come_and_go_but_the_last_one_stays(shop):
    sub = shop.sell()
    both = shop.v1.subscriptions.update(sub.id, {"items": [{"price": shop.price("ADDON", 300), "quantity": 2}]})
    addon = both["items"].data[1].id
    assert [each.id for each in shop.v1.subscription_items.list({"subscription": sub.id}).data][1] == addon
    one = shop.v1.subscriptions.update(sub.id, {"items": [{"id": sub["items"].data[0].id, "deleted": True}]})
    assert [item.id for item in one["items"].data] == [addon]
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.subscriptions.update(sub.id, {"items": [{"id": addon, "deleted": True}]})


def test_an_update_that_is_refused_changes_nothing(shop):
    sub = shop.sell()
    items = [{"id": sub["items"].data[0].id, "quantity": 9}, {"price": "price_unknown"}]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.subscriptions.update(sub.id, {"items": items})
    assert (caught.value.http_status, caught.value.param) == (400, "items[1][price]")
    assert shop.subscription(sub.id)["items"].data[0].quantity == 5


def test_an_item_can_be_changed_by_itself(shop):
    sub = shop.sell()
    shop.v1.subscription_items.update(sub["items"].data[0].id, {"quantity": 6})
    assert shop.subscription(sub.id)["items"].data[0].quantity == 6


def test_items_of_two_intervals_renew_each_in_its_time(shop):
    items = [{"price": shop.price()}, {"price": shop.price("SUPPORT", 9000, "year")}]
    sub = shop.sell(items=items)
    assert ends(sub) == [stamp(2026, 2, 28), stamp(2027, 1, 31)]
    shop.advance(days=28)
    renewed = shop.subscription(sub.id, expand=["latest_invoice"])
    assert ends(renewed) == [stamp(2026, 3, 31), stamp(2027, 1, 31)]
    assert len(renewed.latest_invoice.lines.data) == 1


def test_metadata_merges_and_an_empty_value_unsets(shop):
    sub = shop.sell(metadata={"a": "1", "b": "2"})
    merged = shop.v1.subscriptions.update(sub.id, {"metadata": {"a": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("behavior", "status"), [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")]
)
def test_paused_collection_keeps_the_status_and_the_periods(shop, behavior, status):
    sub = shop.sell()
    shop.v1.subscriptions.update(sub.id, {"pause_collection": {"behavior": behavior}})
    shop.advance(days=29)
    assert (shop.subscription(sub.id).status, shop.invoices(sub)[0].status) == ("active", status)
    resumed = shop.v1.subscriptions.update(sub.id, {"pause_collection": ""})
    assert resumed.pause_collection is None


def test_a_paused_subscription_is_not_billed_until_it_resumes(shop):
    sub = shop.sell()
    assert shop.v1.subscriptions.pause(sub.id, {"type": "subscription"}).status == "paused"
    shop.advance(days=60)
    assert len(shop.invoices(sub)) == 1
    shop.v1.subscriptions.resume(sub.id)
    back = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (back.status, back.latest_invoice.status) == ("active", "paid")
    assert ends(back) == [stamp(2026, 5, 1)]


def test_a_refund_shows_on_its_charge(shop):
    sub = shop.sell()
    payment = shop.v1.invoice_payments.list({"invoice": sub.latest_invoice}).data[0]
    shop.v1.refunds.create({"payment_intent": payment.payment.payment_intent, "amount": 1000})
    charge = shop.v1.charges.list({"payment_intent": payment.payment.payment_intent}).data[0]
    assert (charge.amount_refunded, charge.refunded) == (1000, False)
    wanted = {"payment": {"type": "payment_intent", "payment_intent": charge.payment_intent}}
    assert shop.v1.invoice_payments.list(wanted).data[0].invoice == sub.latest_invoice


# Trials


def test_a_trial_begins_with_a_paid_invoice_over_nothing(shop):
    sub = shop.sell(trial_period_days=14, expand=["latest_invoice"])
    assert (sub.status, sub.latest_invoice.status, sub.latest_invoice.total) == ("trialing", "paid", 0)
    assert ends(sub) == [sub.trial_end] == [stamp(2026, 2, 14)]
    assert "charge.succeeded" not in shop.types()


def test_a_trial_is_active_an_hour_before_its_first_payment(shop):
    sub = shop.sell(trial_period_days=14)
    shop.advance(days=12)
    assert "customer.subscription.trial_will_end" in shop.types()
    shop.advance(days=2)
    turned = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (turned.status, turned.latest_invoice.status) == ("active", "draft")
    assert ends(turned) == [stamp(2026, 3, 14)]
    shop.advance(hours=2)
    assert shop.invoices(sub)[0].amount_paid == 5000


def test_a_trial_can_be_cut_short_or_made_longer(shop):
    sub = shop.sell(trial_period_days=14)
    longer = shop.v1.subscriptions.update(sub.id, {"trial_end": stamp(2026, 3, 1), "proration_behavior": "none"})
    assert ends(longer) == [stamp(2026, 3, 1)]
    now = shop.v1.subscriptions.update(sub.id, {"trial_end": "now", "expand": ["latest_invoice"]})
    assert (now.status, now.latest_invoice.amount_paid, ends(now)) == ("active", 5000, [stamp(2026, 2, 28)])


@pytest.mark.parametrize(("missing", "status"), [("pause", "paused"), ("cancel", "canceled")])
def test_a_trial_without_a_card_ends_as_its_settings_say(shop, missing, status):
    customer = shop.customer()
    shop.admin("card", customer=customer, ok=None)
    settings = {"end_behavior": {"missing_payment_method": missing}}
    sub = shop.sell(customer=customer, trial_period_days=7, trial_settings=settings)
    shop.advance(days=8)
    assert shop.subscription(sub.id).status == status


# Reading


def test_lists_are_newest_first_and_page_both_ways(shop):
    made = [shop.customer(name=str(at)) for at in range(7)]
    first = shop.v1.customers.list({"limit": 3})
    second = shop.v1.customers.list({"limit": 3, "starting_after": first.data[-1].id})
    back = shop.v1.customers.list({"limit": 2, "ending_before": second.data[0].id})
    assert [each.id for each in (*first.data, *second.data)] == made[:0:-1]
    assert (first.has_more, second.has_more, back.has_more) == (True, True, True)
    assert [each.id for each in back.data] == [each.id for each in first.data[1:]]
    assert [each.id for each in shop.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_events_page_by_type_and_time_and_back_from_the_last_one_seen(shop):
    shop.sell()
    seen = shop.v1.events.list({"limit": 1}).data[0]
    shop.advance(days=28, hours=2)
    wanted = {"types": ["invoice.paid", "customer.subscription.updated"]}
    newer = shop.v1.events.list({**wanted, "ending_before": seen.id, "limit": 1})
    assert [event.type for event in newer.auto_paging_iter()] == ["customer.subscription.updated", "invoice.paid"]
    since = shop.v1.events.list({**wanted, "created": {"gte": stamp(2026, 2, 28) + 1}})
    assert [event.type for event in since.data] == ["invoice.paid"]
    assert shop.v1.events.retrieve(seen.id).to_dict() == seen.to_dict()


def test_prices_are_found_by_lookup_key(shop):
    shop.price("A")
    wanted = shop.price("B")
    assert [each.id for each in shop.v1.prices.list({"lookup_keys": ["B", "C"]}).data] == [wanted]


def test_lists_expand_and_filter(shop):
    sub, other = shop.sell(), shop.sell()
    page = shop.v1.subscriptions.list({"customer": sub.customer, "expand": ["data.latest_invoice", "data.customer"]})
    assert [each.id for each in page.data] == [sub.id]
    assert (page.data[0].latest_invoice.status, page.data[0].customer.object) == ("paid", "customer")
    assert [each.id for each in shop.v1.invoices.list({"customer": other.customer}).data] == [other.latest_invoice]


def test_an_invoice_carries_ten_lines_and_lists_the_rest(shop):
    sub = shop.sell(items=[{"price": shop.price(f"P{at}")} for at in range(12)], expand=["latest_invoice"])
    lines = sub.latest_invoice.lines
    assert (len(lines.data), lines.has_more, lines.total_count) == (10, True, 12)
    assert len(list(lines.auto_paging_iter())) == 12


def test_expanding_what_cannot_be_seen_yet_leaves_its_id(shop):
    sub = shop.sell()
    shop.admin("lag", seconds=30, ops=1)
    shop.advance(days=28)
    late = shop.subscription(sub.id, expand=["latest_invoice"])
    assert isinstance(late.latest_invoice, str)
    assert late.latest_invoice != sub.latest_invoice


def test_what_is_no_reference_cannot_be_expanded(shop):
    sub = shop.sell()
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.subscription(sub.id, expand=["latest_invoice.payment_intent"])
    assert (
        shop.subscription(sub.id, expand=["latest_invoice.payments"]).latest_invoice.payments.data[0].status == "paid"
    )


def test_errors_have_stripes_shape(shop):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscription("sub_unknown")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert caught.value.request_id.startswith("req_")
    with pytest.raises(stripe.AuthenticationError):
        StripeClient("sk_wrong", base_addresses={"api": shop.url}).v1.customers.list()
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        shop.v1.customers.list({"limit": 101})


def test_the_call_log_names_the_connected_account(shop):
    shop.v1.customers.list(options={"stripe_account": "acct_1"})
    assert shop.admin("calls")["log"][-1]["account"] == "acct_1"


def test_reads_lag_behind_changes(shop):
    sub = shop.sell()
    shop.admin("lag", seconds=0.5)
    assert change(shop, sub, quantity=9)["items"].data[0].quantity == 9
    late = shop.sell()
    assert shop.subscription(sub.id)["items"].data[0].quantity == 5
    with pytest.raises(stripe.InvalidRequestError):
        shop.subscription(late.id)
    time.sleep(0.6)
    assert shop.subscription(sub.id)["items"].data[0].quantity == 9
    assert shop.subscription(late.id).status == "active"


def test_lag_can_be_limited_to_so_many_changes(shop):
    sub = shop.sell()
    shop.admin("lag", seconds=30, ops=1)
    change(shop, sub, quantity=6, proration_behavior="none")
    assert shop.subscription(sub.id)["items"].data[0].quantity == 5
    other = shop.sell()
    assert shop.subscription(other.id).id == other.id


# Writing


def test_the_same_idempotency_key_gets_the_same_answer(shop):
    once = shop.v1.customers.create({"name": "A"}, options={"idempotency_key": "k1"})
    again = shop.v1.customers.create({"name": "A"}, options={"idempotency_key": "k1"})
    assert (once.id, len(shop.v1.customers.list().data)) == (again.id, 1)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        shop.v1.customers.create({"name": "B"}, options={"idempotency_key": "k1"})


def test_a_write_whose_answer_was_lost_is_done_once():
    with a_shop(client={"max_network_retries": 2}) as shop:
        shop.admin("faults", plan=[{"fault": "apply_then_reset", "method": "POST", "path": "/v1/customers"}])
        shop.customer()
        assert len(shop.v1.customers.list().data) == 1


def test_ids_are_the_same_for_the_same_seed():
    def ids(seed):
        with a_shop(seed=seed) as shop:
            return shop.sell().id

    assert ids(1) == ids(1) != ids(2)


def test_a_lookup_key_belongs_to_one_price_until_transferred(shop):
    wanted = {"product": shop.product, "currency": "usd", "unit_amount": 1, "lookup_key": "PRO-100"}
    shop.price()
    with pytest.raises(stripe.InvalidRequestError, match="already uses"):
        shop.v1.prices.create(wanted)
    taken = shop.v1.prices.create({**wanted, "transfer_lookup_key": True})
    assert [each.id for each in shop.v1.prices.list({"lookup_keys": ["PRO-100"]}).data] == [taken.id]


# Webhooks


def test_deliveries_carry_a_signature_that_the_library_accepts(shop):
    with receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET)
        shop.sell()
        counts = shop.admin("drain")
    body, header = receiver.got[0]
    assert stripe.WebhookSignature.verify_header(body.decode(), header, SECRET, 300)
    event = stripe.Webhook.construct_event(body, header, SECRET)
    assert (event.object, event.pending_webhooks) == ("event", 1)
    assert counts["delivered"] == len(receiver.got) == counts["scheduled"]
    assert shop.v1.events.retrieve(event.id).to_dict() == event.to_dict()


def test_an_endpoint_gets_the_types_it_asked_for(shop):
    with receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET, enabled_events=["invoice.paid"])
        shop.sell()
        shop.admin("drain")
    assert receiver.types == {"invoice.paid": 1}


def test_an_endpoint_made_through_the_api_has_a_secret_of_its_own(shop):
    with receiving() as receiver:
        made = shop.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["customer.created"]})
        shop.customer()
        shop.admin("drain")
        assert [each.id for each in shop.v1.webhook_endpoints.list().data] == [made.id]
        shop.v1.webhook_endpoints.delete(made.id)
    body, header = receiver.got[0]
    assert stripe.WebhookSignature.verify_header(body.decode(), header, made.secret)


def test_a_refused_delivery_is_tried_again_with_the_same_body(shop):
    with receiving(500, 503) as receiver:
        shop.admin("delivery", backoff_s=0.02)
        shop.admin("webhook", url=receiver.url, secret=SECRET, enabled_events=["customer.created"])
        shop.customer()
        counts = shop.admin("drain")
    assert [body for body, _ in receiver.got] == [receiver.got[0][0]] * 3
    assert (counts["attempts"], counts["refused"], counts["delivered"]) == (3, 2, 1)


def test_a_delivery_that_never_got_through_is_listed_and_can_be_forced(shop):
    with receiving(500, 500, 500) as receiver:
        shop.admin("delivery", backoff_s=0.01, tries=3)
        shop.admin("webhook", url=receiver.url, secret=SECRET, enabled_events=["customer.created"])
        shop.customer()
        shop.admin("drain")
        (missed,) = shop.admin("undelivered")
        assert (missed["state"], missed["attempts"]) == ("failed", 3)
        unseen = shop.v1.events.list({"delivery_success": False}).data
        assert [event.id for event in unseen] == [missed["event"]]
        assert shop.admin("deliver") == {"queued": 1}
        assert shop.admin("drain")["undelivered"] == 0
    assert len(receiver.got) == 4


def test_deliveries_are_doubled_dropped_and_reordered_as_told(shop):
    with receiving() as receiver:
        shop.admin("delivery", duplicate=0.3, reorder=0.3, drop=0.2, seed=7, reorder_s=0.2)
        shop.admin("webhook", url=receiver.url, secret=SECRET, enabled_events=["customer.created"])
        for at in range(60):
            shop.customer(name=str(at))
        counts = shop.admin("drain")
        dropped = shop.admin("undelivered")
    arrived = Counter(event["id"] for event in receiver.events)
    names = [int(event["data"]["object"]["name"]) for event in receiver.events]
    assert len(arrived) == 60 - counts["dropped"] == 60 - len(dropped)
    assert len(receiver.got) == len(arrived) + counts["duplicated"]
    assert 5 < counts["dropped"] < 25
    assert 5 < counts["duplicated"] < 30
    assert names != sorted(names)


# The shape of 2020


def test_the_legacy_shape_is_served():
    with a_shop(shape="legacy", livemode=False) as shop:
        sub = shop.sell(expand=["latest_invoice"]).to_dict()
        invoice, item = sub["latest_invoice"], sub["items"]["data"][0]
        assert (sub["current_period_end"], sub["quantity"], sub["livemode"]) == (stamp(2026, 2, 28), 5, False)
        assert sub["plan"]["id"] == item["plan"]["id"] == item["price"]["id"]
        assert "current_period_end" not in item
        assert (invoice["subscription"], invoice["paid"], "parent" in invoice) == (sub["id"], True, False)
        line = invoice["lines"]["data"][0]
        assert (line["price"]["id"], line["type"], line["proration"]) == (item["price"]["id"], "subscription", False)
        assert line["subscription_item"] == item["id"]
        charge = shop.v1.charges.retrieve(invoice["charge"]).to_dict()
        assert charge["invoice"] == invoice["id"]
        assert not [key for key in json.dumps(shop.admin("state")).split('"') if key.startswith("_")]


def test_the_legacy_shape_is_emitted():
    with a_shop(shape="legacy") as shop, receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET)
        shop.sell()
        shop.advance(days=28)
        shop.admin("drain")
    updates = [event for event in receiver.events if event["type"] == "customer.subscription.updated"]
    assert {event["api_version"] for event in updates} == {"2020-08-27"}
    ends = [event["data"]["previous_attributes"].get("current_period_end") for event in updates]  # in any order
    assert [end for end in ends if end] == [stamp(2026, 2, 28)]


def test_an_endpoint_may_have_an_older_shape_than_the_account(shop):
    with receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret=SECRET, api_shape="legacy", enabled_events=["invoice.paid"])
        shop.sell()
        shop.admin("drain")
    assert receiver.events[0]["data"]["object"]["paid"] is True
    current = shop.v1.events.list({"type": "invoice.paid"}).data[0]
    assert current.data.object.parent.type == "subscription_details"


def test_no_note_of_the_emulators_own_leaves_it(shop):
    shop.sell()
    shop.v1.checkout.sessions.create({"mode": "subscription", "line_items": [{"price": shop.price()}]})
    shown = json.dumps(shop.admin("state")) + json.dumps(
        [event.to_dict() for event in shop.v1.events.list().data], default=str
    )
    assert not [word for word in shown.split('"') if word.startswith("_")]


# Histories


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_periods_lie_ahead_and_every_period_is_invoiced_once(seed):
    dice = random.Random(seed)
    with a_shop(seed=seed) as shop:
        shop.admin("dunning", final=dice.choice(["canceled", "unpaid", "past_due"]))
        prices = [shop.price(), shop.price("B", 200), shop.price("Y", 9000, "year")]
        subs = [shop.sell(items=[{"price": dice.choice(prices), "quantity": 2}]) for _ in range(4)]
        for _ in range(40):
            shop.advance(minutes=1)  # so that no two changes begin a period at one moment
            try:
                a_change(dice, shop, dice.choice(subs), prices)
            except (stripe.InvalidRequestError, stripe.CardError):
                continue
        now = shop.emulator.billing.now
        for sub in (shop.subscription(each.id) for each in subs):
            if sub.status in ("active", "past_due", "unpaid", "trialing"):
                assert min(ends(sub)) > now
            else:
                assert sub.status in ("canceled", "paused")
            assert_each_period_is_invoiced_once(shop.invoices(sub))


def a_change(dice, shop, sub, prices):
    now = shop.emulator.billing.now
    item = shop.subscription(sub.id)["items"].data[0].id
    behavior = dice.choice(["none", "create_prorations", "always_invoice"])
    update = lambda **given: shop.v1.subscriptions.update(sub.id, given)  # noqa: E731
    dice.choice(
        [
            lambda: update(items=[{"id": item, "quantity": dice.randint(0, 9)}], proration_behavior=behavior),
            lambda: update(items=[{"id": item, "price": dice.choice(prices)}], proration_behavior=behavior),
            lambda: update(items=[{"price": dice.choice(prices)}], proration_behavior=behavior),
            lambda: update(items=[{"id": item, "deleted": True}], proration_behavior=behavior),
            lambda: update(cancel_at_period_end=dice.random() < 0.3),
            lambda: update(trial_end=dice.choice(["now", now + 5 * DAY])),
            lambda: update(pause_collection=dice.choice(["", {"behavior": "void", "resumes_at": now + 9 * DAY}])),
            lambda: shop.admin("card", customer=sub.customer, ok=dice.random() < 0.6),
            lambda: shop.v1.invoices.pay(shop.subscription(sub.id).latest_invoice),
            lambda: shop.v1.subscriptions.pause(sub.id, {"type": "subscription"}),
            lambda: shop.v1.subscriptions.resume(sub.id),
            lambda: shop.v1.subscriptions.resume(sub.id, {"payment_behavior": "resume_on_payment_success"}),
            lambda: update(
                items=[{"id": item, "quantity": dice.randint(1, 9)}],
                proration_behavior="always_invoice",
                payment_behavior="pending_if_incomplete",
            ),
            lambda: a_plan(dice, shop, sub, prices),
            lambda: shop.v1.refunds.create({"charge": shop.charge(shop.invoices(sub)[-1].id).id, "amount": 10}),
            lambda: shop.v1.credit_notes.create({"invoice": shop.subscription(sub.id).latest_invoice, "amount": 1}),
            lambda: shop.advance(days=dice.randint(1, 40), hours=dice.randint(0, 23)),
            lambda: shop.advance(hours=dice.randint(1, 60)),
        ]
    )()


def a_plan(dice, shop, sub, prices):
    """Another price or quantity from the end of the period on."""
    schedule = shop.v1.subscription_schedules.create({"from_subscription": sub.id})
    first = schedule.phases[0]
    now = {
        "items": [{"price": item.price, "quantity": item.quantity} for item in first["items"]],
        "start_date": first.start_date,
        "end_date": first.end_date,
    }
    then = {"items": [{"price": dice.choice(prices), "quantity": dice.randint(1, 9)}]}
    shop.v1.subscription_schedules.update(schedule.id, {"phases": [now, then]})


def assert_each_period_is_invoiced_once(invoices):
    full = Counter(
        (line.parent.subscription_item_details.subscription_item, line.period.start, line.period.end)
        for invoice in invoices
        for line in invoice.lines.data
        if not line.parent.subscription_item_details.proration
    )
    assert [period for period, times in full.items() if times > 1] == []


# Business time


def test_with_a_running_clock_the_offset_is_business_time():
    with a_shop(clock=Clock()) as shop:
        sub = shop.sell()
        shop.advance(days=32)
        assert shop.subscription(sub.id).latest_invoice != sub.latest_invoice
        ahead = shop.v1.events.list({"limit": 1}).data[0].created - time.time()
        assert ahead > timedelta(days=26).total_seconds()


def test_previous_attributes_are_partial_in_hashes_and_whole_in_arrays():
    before = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    after = {"a": {"x": 1, "y": 5}, "b": [1, 4], "c": 3, "d": 9}
    assert differences(before, after) == {"a": {"y": 2}, "b": [1, 2], "d": None}
