"""Pauses, changes that wait, usage and schedules of the Stripe emulator's subscriptions, driven with the real client."""

import pytest
import stripe

from tests.connectors.stripe.shop import DAY, HOUR, a_shop, ends, stamp


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


def item_of(sub, at=0):
    return sub["items"].data[at]


def failing(shop, sub):
    shop.admin("card", customer=sub.customer, ok=False)


def more(shop, sub, quantity=9, **given):
    items = [{"id": item_of(sub).id, "quantity": quantity}]
    wanted = {"items": items, "proration_behavior": "always_invoice", **given}
    return shop.v1.subscriptions.update(sub.id, wanted)


# Pauses


def test_a_pause_says_why_and_a_resume_takes_it_back(shop):
    sub = shop.sell()
    types, paused = shop.since(lambda: shop.v1.subscriptions.pause(sub.id))
    why = paused.status_details.paused
    assert (paused.status, why.subscription.type, why.transitioned_at) == (
        "paused",
        "pause_requested",
        stamp(2026, 1, 31),
    )
    assert types == ["customer.subscription.paused"]
    types, back = shop.since(
        lambda: shop.v1.subscriptions.resume(sub.id, {"billing_cycle_anchor": {"type": "unchanged"}})
    )
    assert (back.status, back.status_details, types) == ("active", None, ["customer.subscription.resumed"])
    assert (ends(back), len(shop.invoices(sub))) == (ends(sub), 1)


def test_a_resume_can_wait_for_the_payment(shop):
    sub = shop.sell()
    shop.v1.subscriptions.pause(sub.id)
    failing(shop, sub)
    shop.advance(days=60)
    wanted = {"payment_behavior": "resume_on_payment_success"}
    waiting = shop.v1.subscriptions.resume(sub.id, wanted)
    assert (waiting.status, ends(waiting)) == ("paused", ends(sub))
    shop.admin("card", customer=sub.customer, ok=True)
    types, _ = shop.since(lambda: shop.v1.invoices.pay(shop.subscription(sub.id).latest_invoice))
    back = shop.subscription(sub.id)
    assert (back.status, ends(back)) == ("active", [stamp(2026, 5, 1)])
    assert "customer.subscription.resumed" in types


def test_a_resume_by_a_card_that_fails_is_past_due(shop):
    sub = shop.sell()
    shop.v1.subscriptions.pause(sub.id)
    failing(shop, sub)
    shop.v1.subscriptions.resume(sub.id)
    assert shop.subscription(sub.id).status == "past_due"


def test_after_the_last_failed_attempt_the_account_may_pause(shop):
    shop.admin("dunning", final="paused")
    sub = shop.sell()
    failing(shop, sub)
    shop.advance(days=50)
    late = shop.subscription(sub.id)
    assert (late.status, late.status_details.paused.subscription.type) == ("paused", "final_payment_failure")


@pytest.mark.parametrize(
    ("missing", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
def test_a_trial_that_ends_without_a_card(shop, missing, status, event):
    customer = shop.customer()
    shop.admin("card", customer=customer, ok=None)
    settings = {"end_behavior": {"missing_payment_method": missing}}
    sub = shop.sell(customer=customer, trial_period_days=7, trial_settings=settings)
    shop.advance(days=7, hours=2)
    assert shop.subscription(sub.id).status == status
    assert event in shop.types()


# What is still owed


def test_what_was_written_off_can_still_be_paid(shop):
    sub = shop.sell()
    failing(shop, sub)
    shop.advance(days=28, hours=2)
    invoice = shop.subscription(sub.id).latest_invoice
    shop.v1.invoices.mark_uncollectible(invoice)
    shop.advance(days=9)
    shop.admin("card", customer=sub.customer, ok=True)
    assert shop.v1.invoices.pay(invoice).status == "paid"
    assert shop.types()[-1] == "invoice.payment_succeeded"


def test_a_voided_first_invoice_takes_its_subscription_along(shop):
    sub = shop.sell(payment_behavior="default_incomplete")
    types, _ = shop.since(lambda: shop.v1.invoices.void_invoice(sub.latest_invoice))
    assert types == ["invoice.voided", "customer.subscription.updated"]
    assert shop.subscription(sub.id).status == "incomplete_expired"


def test_an_incomplete_start_expires_after_23_hours_and_no_sooner(shop):
    sub = shop.sell(payment_behavior="default_incomplete")
    shop.advance(hours=22, minutes=59)
    assert shop.subscription(sub.id).status == "incomplete"
    shop.advance(minutes=2)
    assert shop.subscription(sub.id).status == "incomplete_expired"


def test_an_invoice_paid_after_the_end_revives_nothing(shop):
    sub = shop.sell()
    failing(shop, sub)
    shop.advance(days=28, hours=2)
    shop.v1.subscriptions.cancel(sub.id)
    invoice = shop.invoices(sub)[0].id
    shop.v1.invoices.pay(invoice, {"paid_out_of_band": True})
    assert shop.subscription(sub.id).status == "canceled"


# Changes that wait for a payment


def test_a_change_that_waits_is_no_change_until_it_is_paid(shop):
    sub = shop.sell()
    failing(shop, sub)
    waiting = more(shop, sub, payment_behavior="pending_if_incomplete")
    assert (item_of(waiting).quantity, waiting.status) == (5, "active")
    assert waiting.pending_update.subscription_items[0].quantity == 9
    assert waiting.pending_update.expires_at == stamp(2026, 1, 31) + 23 * HOUR
    assert shop.subscription(sub.id, expand=["latest_invoice"]).latest_invoice.status == "open"
    shop.admin("card", customer=sub.customer, ok=True)
    types, _ = shop.since(lambda: shop.v1.invoices.pay(waiting.latest_invoice))
    done = shop.subscription(sub.id)
    assert (item_of(done).quantity, done.pending_update) == (9, None)
    assert types[-2:] == ["customer.subscription.pending_update_applied", "customer.subscription.updated"]


def test_a_change_that_is_never_paid_lapses(shop):
    sub = shop.sell()
    failing(shop, sub)
    waiting = more(shop, sub, payment_behavior="pending_if_incomplete")
    shop.advance(hours=24)
    left = shop.subscription(sub.id)
    assert (item_of(left).quantity, left.pending_update, left.status) == (5, None, "active")
    assert "customer.subscription.pending_update_expired" in shop.types()
    assert shop.v1.invoices.retrieve(waiting.latest_invoice).status == "void"


def test_a_change_that_can_be_paid_does_not_wait(shop):
    done = more(shop, shop.sell(), payment_behavior="pending_if_incomplete")
    assert (item_of(done).quantity, done.pending_update) == (9, None)


def test_a_change_that_must_be_paid_is_refused_without(shop):
    sub = shop.sell()
    failing(shop, sub)
    with pytest.raises(stripe.CardError):
        more(shop, sub, payment_behavior="error_if_incomplete")
    assert (item_of(shop.subscription(sub.id)).quantity, len(shop.invoices(sub))) == (5, 1)


def test_a_change_whose_payment_fails_is_done_and_past_due(shop):
    sub = shop.sell()
    failing(shop, sub)
    more(shop, sub)
    late = shop.subscription(sub.id)
    assert (item_of(late).quantity, late.status) == (9, "past_due")


# Items and periods


def test_an_item_can_be_replaced_by_another_in_one_change(shop):
    sub = shop.sell()
    shop.advance(days=10)
    items = [{"id": item_of(sub).id, "deleted": True}, {"price": shop.price("PRO-200", 2000), "quantity": 5}]
    new = shop.v1.subscriptions.update(sub.id, {"items": items})
    assert (len(new["items"].data), item_of(new).price.lookup_key) == (1, "PRO-200")
    assert item_of(new).id != item_of(sub).id
    assert ends(new) == ends(sub)


def test_a_new_anchor_bills_a_whole_period_from_now(shop):
    sub = shop.sell()
    shop.advance(days=10)
    new = shop.v1.subscriptions.update(sub.id, {"billing_cycle_anchor": {"type": "now"}, "expand": ["latest_invoice"]})
    full = [line for line in new.latest_invoice.lines.data if not line.parent.subscription_item_details.proration]
    assert (new.latest_invoice.billing_reason, ends(new)) == ("subscription_update", [stamp(2026, 3, 10)])
    assert [(line.period.start, line.period.end) for line in full] == [(stamp(2026, 2, 10), stamp(2026, 3, 10))]


@pytest.mark.parametrize(
    ("mode", "kind"), [("classic", "invoice_item_details"), ("flexible", "subscription_item_details")]
)
def test_a_backdated_start_bills_from_then_to_the_anchor(shop, mode, kind):
    start, anchor = stamp(2026, 1, 20), stamp(2026, 2, 20)
    term = {"backdate_start_date": start, "billing_cycle_anchor": anchor, "billing_mode": {"type": mode}}
    sub = shop.sell(expand=["latest_invoice"], **term)
    (line,) = sub.latest_invoice.lines.data
    assert (sub.start_date, ends(sub), sub.status) == (start, [anchor], "active")
    assert (line.period.start, line.period.end, line.amount) == (start, anchor, 5 * 1000)
    assert (line.parent.type, line.parent[kind].proration) == (kind, mode == "classic")


def test_an_end_at_a_date_that_ends_no_period(shop):
    sub = shop.sell()
    flagged = shop.v1.subscriptions.update(sub.id, {"cancel_at": "max_period_end"})
    assert (flagged.cancel_at, flagged.cancel_at_period_end) == (ends(sub)[0], False)
    undone = shop.v1.subscriptions.update(sub.id, {"cancel_at": ""})
    assert (undone.cancel_at, undone.canceled_at) == (None, None)


def a_metered_price(shop):
    recurring = {"interval": "month", "usage_type": "metered"}
    wanted = {"product": shop.product, "currency": "usd", "unit_amount": 2, "recurring": recurring}
    return shop.v1.prices.create(wanted).id


def test_metered_items_have_no_quantity_and_are_billed_when_their_period_is_over(shop):
    sub = shop.sell(items=[{"price": shop.price(), "quantity": 2}, {"price": a_metered_price(shop)}])
    metered = item_of(sub, 1)
    assert (metered.quantity, len(shop.invoices(sub)[0].lines.data)) == (None, 1)
    shop.admin("usage", item=metered.id, quantity=30)
    shop.advance(days=28, hours=2)
    line = next(
        line
        for line in shop.invoices(sub)[0].lines.data
        if line.parent.subscription_item_details.subscription_item == metered.id
    )
    assert (line.quantity, line.amount) == (30, 60)
    assert (line.period.start, line.period.end) == (stamp(2026, 1, 31), stamp(2026, 2, 28))


def test_a_metered_price_takes_no_quantity(shop):
    with pytest.raises(stripe.InvalidRequestError, match="metered"):
        shop.sell(items=[{"price": a_metered_price(shop), "quantity": 2}])


def test_a_subscription_in_yen(shop):
    wanted = {"product": shop.product, "currency": "jpy", "unit_amount": 5000, "recurring": {"interval": "year"}}
    sub = shop.sell(items=[{"price": shop.v1.prices.create(wanted).id, "quantity": 3}], expand=["latest_invoice"])
    assert (sub.currency, sub.latest_invoice.amount_paid) == ("jpy", 15000)


# Schedules


def planned(shop, sub, *phases, **given):
    """A schedule made of the subscription, with these phases after the one under way."""
    schedule = shop.v1.subscription_schedules.create({"from_subscription": sub.id})
    first = schedule.phases[0]
    now = {
        "items": [{"price": item.price, "quantity": item.quantity} for item in first["items"]],
        "start_date": first.start_date,
        "end_date": first.end_date,
    }
    return shop.v1.subscription_schedules.update(schedule.id, {"phases": [now, *phases], **given})


def test_a_schedule_made_of_a_subscription_changes_nothing_by_itself(shop):
    sub = shop.sell()
    types, schedule = shop.since(lambda: shop.v1.subscription_schedules.create({"from_subscription": sub.id}))
    assert types == [
        "subscription_schedule.created",
        "subscription_schedule.updated",
        "customer.subscription.updated",
    ]
    assert (schedule.status, schedule.end_behavior, schedule.phases[0]["items"][0].quantity) == ("active", "release", 5)
    assert shop.subscription(sub.id).schedule == schedule.id
    assert [each.id for each in shop.v1.subscription_schedules.list({"customer": sub.customer}).data] == [schedule.id]
    shop.advance(days=28, hours=2)
    after = shop.subscription(sub.id)
    assert (after.schedule, after.status, len(shop.invoices(sub))) == (None, "active", 2)
    assert shop.v1.subscription_schedules.retrieve(schedule.id).status == "released"


def test_a_phase_takes_effect_with_the_renewal_that_bills_it(shop):
    sub = shop.sell()
    planned(shop, sub, {"items": [{"price": shop.price(), "quantity": 2}], "duration": {"interval": "month"}})
    shop.advance(days=27)
    assert item_of(shop.subscription(sub.id)).quantity == 5
    types, _ = shop.since(lambda: shop.advance(days=1, hours=2))
    less = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (item_of(less).quantity, item_of(less).id) == (2, item_of(sub).id)
    assert [line.amount for line in less.latest_invoice.lines.data] == [2000]
    assert types[0] == "subscription_schedule.updated"


def test_a_phase_with_another_price_brings_a_new_item(shop):
    sub = shop.sell()
    planned(shop, sub, {"items": [{"price": shop.price("PRO-200", 2000), "quantity": 4}]})
    shop.advance(days=28, hours=2)
    new = shop.subscription(sub.id, expand=["latest_invoice"])
    assert [(item.price.lookup_key, item.quantity) for item in new["items"].data] == [("PRO-200", 4)]
    assert item_of(new).id != item_of(sub).id
    assert [line.amount for line in new.latest_invoice.lines.data] == [8000]
    assert ends(new) == [stamp(2026, 3, 31)]


def test_a_phase_of_another_interval_starts_a_period_of_its_own(shop):
    sub = shop.sell()
    planned(shop, sub, {"items": [{"price": shop.price("PRO-YEAR", 9000, "year"), "quantity": 5}]})
    shop.advance(days=28, hours=2)
    new = shop.subscription(sub.id, expand=["latest_invoice"])
    assert (item_of(new).id, ends(new)) == (item_of(sub).id, [stamp(2027, 2, 28)])
    assert (new.latest_invoice.status, new.latest_invoice.amount_paid) == ("paid", 45000)


def test_a_plan_can_end_the_subscription(shop):
    sub = shop.sell()
    schedule = planned(shop, sub, end_behavior="cancel")
    shop.advance(days=29)
    ended = shop.subscription(sub.id)
    assert (ended.status, ended.ended_at, len(shop.invoices(sub))) == ("canceled", stamp(2026, 2, 28), 1)
    assert shop.v1.subscription_schedules.retrieve(schedule.id).status == "completed"


def test_a_plan_can_be_dropped_or_ended_with_its_subscription(shop):
    one, two, three = shop.sell(), shop.sell(), shop.sell()
    plans = [planned(shop, sub, {"items": [{"price": shop.price(), "quantity": 1}]}) for sub in (one, two, three)]
    released = shop.v1.subscription_schedules.release(plans[0].id)
    assert (released.status, released.released_subscription, released.subscription) == ("released", one.id, None)
    assert shop.v1.subscription_schedules.cancel(plans[1].id).status == "canceled"
    shop.v1.subscriptions.cancel(three.id)
    assert [shop.subscription(sub.id).status for sub in (one, two, three)] == ["active", "canceled", "canceled"]
    assert shop.v1.subscription_schedules.retrieve(plans[2].id).status == "canceled"
    shop.advance(days=40)
    assert item_of(shop.subscription(one.id)).quantity == 5
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.subscription_schedules.release(plans[0].id)


def test_a_plan_can_start_a_subscription_later(shop):
    phases = [{"items": [{"price": shop.price(), "quantity": 7}], "duration": {"interval": "month"}}]
    start = stamp(2026, 1, 31) + 10 * DAY
    wanted = {"customer": shop.customer(), "start_date": start, "phases": phases}
    schedule = shop.v1.subscription_schedules.create(wanted)
    assert (schedule.status, schedule.subscription) == ("not_started", None)
    shop.advance(days=11)
    begun = shop.v1.subscription_schedules.retrieve(schedule.id)
    sub = shop.subscription(begun.subscription)
    assert (begun.status, sub.start_date, item_of(sub).quantity, sub.schedule) == ("active", start, 7, schedule.id)


def test_the_phase_under_way_can_be_changed_at_once(shop):
    sub = shop.sell()
    schedule = shop.v1.subscription_schedules.create({"from_subscription": sub.id})
    first = schedule.phases[0]
    phase = {"start_date": first.start_date, "end_date": first.end_date}
    phase["items"] = [{"price": shop.price(), "quantity": 8}]
    shop.v1.subscription_schedules.update(schedule.id, {"phases": [phase]})
    assert item_of(shop.subscription(sub.id)).quantity == 8
