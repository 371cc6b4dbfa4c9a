"""Refunds, credit notes, disputes and fraud warnings of the Stripe emulator, driven with the real client over HTTP."""

import pytest
import requests
import stripe

from tests.connectors.stripe.shop import a_shop, receiving


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


def paid(shop, **given):
    """A subscription and the charge that paid its first invoice."""
    sub = shop.sell(**given)
    return sub, shop.charge(sub.latest_invoice)


# From a charge to what it paid


def test_a_charge_leads_to_its_invoice_by_the_invoice_s_payments(shop):
    sub, charge = paid(shop)
    assert "invoice" not in charge.to_dict()
    wanted = {"payment": {"type": "payment_intent", "payment_intent": charge.payment_intent}}
    assert [each.invoice for each in shop.v1.invoice_payments.list(wanted).data] == [sub.latest_invoice]
    assert shop.v1.charges.retrieve(charge.id, {"expand": ["payment_intent"]}).payment_intent.latest_charge == charge.id
    assert [each.id for each in shop.v1.charges.list({"customer": sub.customer}).data] == [charge.id]
    assert shop.v1.payment_intents.list({"customer": sub.customer}).data[0].id == charge.payment_intent


def test_each_attempt_is_a_charge_of_the_same_payment_intent(shop):
    customer = shop.customer()
    sub = shop.sell(customer=customer)
    shop.admin("card", customer=customer, ok=False)
    shop.advance(days=28, hours=2)
    shop.admin("card", customer=customer, ok=True)
    shop.advance(days=4)
    charge = shop.charge(shop.subscription(sub.id).latest_invoice)
    attempts = shop.v1.charges.list({"payment_intent": charge.payment_intent}).data
    assert [each.status for each in attempts] == ["succeeded", "failed"]


# Refunds


def test_a_part_is_refunded_and_then_the_rest(shop):
    _, charge = paid(shop)
    types, part = shop.since(
        lambda: shop.v1.refunds.create({"charge": charge.id, "amount": 2000, "metadata": {"seats": "2"}})
    )
    assert types == ["refund.created", "charge.refunded"]
    assert (part.status, part.amount, part.payment_intent, part.metadata["seats"]) == (
        "succeeded",
        2000,
        charge.payment_intent,
        "2",
    )
    half = shop.v1.charges.retrieve(charge.id)
    assert (half.amount_refunded, half.refunded) == (2000, False)
    rest = shop.v1.refunds.create({"payment_intent": charge.payment_intent, "reason": "requested_by_customer"})
    full = shop.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (rest.amount, full.amount_refunded, full.refunded) == (3000, 5000, True)
    assert [each.id for each in full.refunds.data] == [rest.id, part.id]
    assert [each.id for each in shop.v1.refunds.list({"charge": charge.id}).data] == [rest.id, part.id]
    assert [each.id for each in shop.v1.refunds.list({"payment_intent": charge.payment_intent, "limit": 1}).data] == [
        rest.id
    ]
    assert shop.v1.refunds.retrieve(part.id).charge == charge.id


def test_no_more_is_refunded_than_was_paid(shop):
    _, charge = paid(shop)
    with pytest.raises(stripe.InvalidRequestError, match="greater than"):
        shop.v1.refunds.create({"charge": charge.id, "amount": 5001})
    shop.v1.refunds.create({"charge": charge.id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"


def test_a_refund_that_fails_leaves_the_charge_as_it_was(shop):
    _, charge = paid(shop)
    refund = shop.v1.refunds.create({"charge": charge.id})
    types, _ = shop.since(lambda: shop.admin("refund_fail", refund=refund.id))
    assert types == ["refund.updated", "charge.refund.updated", "refund.failed", "charge.updated"]
    again = shop.v1.charges.retrieve(charge.id)
    assert (again.amount_refunded, again.refunded) == (0, False)
    failed = shop.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    assert shop.v1.refunds.create({"charge": charge.id}).amount == 5000


def test_a_refund_s_metadata_can_be_changed(shop):
    _, charge = paid(shop)
    refund = shop.v1.refunds.create({"charge": charge.id})
    types, changed = shop.since(lambda: shop.v1.refunds.update(refund.id, {"metadata": {"a": "b"}}))
    assert (changed.metadata["a"], types) == ("b", ["refund.updated", "charge.refund.updated"])


# Credit notes


def test_a_credit_note_says_which_line_and_how_many_seats_and_refunds_them(shop):
    sub, charge = paid(shop)
    line = shop.invoices(sub)[0].lines.data[0]
    wanted = {"type": "invoice_line_item", "invoice_line_item": line.id, "quantity": 2}
    note = {"invoice": sub.latest_invoice, "lines": [wanted], "refund_amount": 2000, "reason": "order_change"}
    types, made = shop.since(lambda: shop.v1.credit_notes.create(note))
    assert types == ["refund.created", "charge.refunded", "credit_note.created", "invoice.updated"]
    assert (made.status, made.amount, made.post_payment_amount, made.type) == ("issued", 2000, 2000, "post_payment")
    credited = made.lines.data[0]
    assert (credited.invoice_line_item, credited.quantity, credited.amount) == (line.id, 2, 2000)
    assert made.refunds[0].refund == shop.v1.refunds.list({"charge": charge.id}).data[0].id
    invoice = shop.v1.invoices.retrieve(sub.latest_invoice)
    assert (invoice.post_payment_credit_notes_amount, invoice.status, invoice.amount_paid) == (2000, "paid", 5000)
    assert [each.id for each in shop.v1.credit_notes.list({"invoice": invoice.id}).data] == [made.id]
    assert shop.v1.credit_notes.line_items.list(made.id).data[0].id == credited.id


def test_a_line_credited_by_amount_has_no_quantity(shop):
    sub, charge = paid(shop)
    line = shop.invoices(sub)[0].lines.data[0]
    wanted = {"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 1500}
    made = shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "lines": [wanted], "out_of_band_amount": 1500})
    assert (made.lines.data[0].quantity, made.out_of_band_amount, made.refunds) == (None, 1500, [])
    assert shop.v1.charges.retrieve(charge.id).amount_refunded == 0


def test_a_credit_note_may_name_a_refund_that_was_made_before(shop):
    sub, charge = paid(shop)
    refund = shop.v1.refunds.create({"charge": charge.id, "amount": 1000})
    linked = [{"refund": refund.id, "amount_refunded": 1000}]
    made = shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "amount": 1000, "refunds": linked})
    assert made.refunds[0].refund == refund.id
    assert len(shop.v1.refunds.list({"charge": charge.id}).data) == 1


def test_the_sums_of_a_credit_note_must_agree(shop):
    sub, _ = paid(shop)
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "amount": 1000})
    with pytest.raises(stripe.InvalidRequestError, match="exceeds"):
        shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "refund_amount": 5001})
    assert shop.v1.credit_notes.list().data == []


def test_a_voided_credit_note_counts_no_more(shop):
    sub, _ = paid(shop)
    made = shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "out_of_band_amount": 700})
    types, gone = shop.since(lambda: shop.v1.credit_notes.void_credit_note(made.id))
    assert (gone.status, types) == ("void", ["credit_note.voided", "invoice.updated"])
    assert shop.v1.invoices.retrieve(sub.latest_invoice).post_payment_credit_notes_amount == 0


def test_an_open_invoice_is_lowered_and_paid_when_nothing_is_left(shop):
    customer = shop.customer()
    shop.admin("card", customer=customer, ok=False)
    sub = shop.sell(customer=customer)
    made = shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "amount": 2000})
    invoice = shop.v1.invoices.retrieve(sub.latest_invoice)
    assert (made.pre_payment_amount, made.type) == (2000, "pre_payment")
    assert (invoice.amount_due, invoice.amount_remaining, invoice.status, invoice.total) == (3000, 3000, "open", 5000)
    shop.v1.credit_notes.create({"invoice": sub.latest_invoice, "amount": 3000})
    assert shop.v1.invoices.retrieve(sub.latest_invoice).status == "paid"
    assert shop.subscription(sub.id).status == "active"


# Disputes


def test_a_dispute_takes_the_money_and_a_win_brings_it_back(shop):
    _, charge = paid(shop)
    types, opened = shop.since(lambda: shop.admin("dispute", charge=charge.id, reason="fraudulent"))
    assert types == ["charge.updated", "charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert (opened["status"], opened["reason"], opened["amount"]) == ("needs_response", "fraudulent", 5000)
    assert shop.v1.charges.retrieve(charge.id).disputed is True
    types, _ = shop.since(lambda: shop.admin("dispute_update", dispute=opened["id"], status="under_review"))
    assert types == ["charge.dispute.updated"]
    types, _ = shop.since(lambda: shop.admin("dispute_close", dispute=opened["id"], status="won"))
    assert types == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
    closed = shop.v1.disputes.retrieve(opened["id"])
    assert (closed.status, len(closed.balance_transactions)) == ("won", 2)
    for filters in ({"charge": charge.id}, {"payment_intent": charge.payment_intent}):
        assert [each.id for each in shop.v1.disputes.list(filters).data] == [opened["id"]]


@pytest.mark.parametrize(
    ("cancel", "status", "reason"), [(False, "active", None), (True, "canceled", "payment_disputed")]
)
def test_a_lost_dispute_ends_the_subscription_where_the_account_says_so(shop, cancel, status, reason):
    sub, charge = paid(shop)
    shop.admin("disputes", cancel=cancel)
    opened = shop.admin("dispute", charge=charge.id)
    types, _ = shop.since(lambda: shop.admin("dispute_close", dispute=opened["id"], status="lost"))
    ended = shop.subscription(sub.id)
    assert (ended.status, ended.cancellation_details.reason) == (status, reason)
    assert "charge.dispute.funds_reinstated" not in types


def test_a_lost_dispute_can_be_appealed_and_won(shop):
    _, charge = paid(shop)
    opened = shop.admin("dispute", charge=charge.id)
    with pytest.raises(AssertionError, match="needs_response"):
        shop.admin("dispute_update", dispute=opened["id"], status="appeal_needs_response")
    shop.admin("dispute_close", dispute=opened["id"], status="lost")
    types, _ = shop.since(lambda: shop.admin("dispute_update", dispute=opened["id"], status="appeal_under_review"))
    assert types == ["charge.dispute.updated"]
    types, _ = shop.since(lambda: shop.admin("dispute_close", dispute=opened["id"], status="won"))
    assert types == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]


def test_an_inquiry_moves_no_money_until_it_becomes_a_chargeback(shop):
    _, charge = paid(shop)
    types, opened = shop.since(lambda: shop.admin("dispute", charge=charge.id, status="warning_needs_response"))
    assert "charge.dispute.funds_withdrawn" not in types
    assert opened["is_charge_refundable"] is True
    types, _ = shop.since(lambda: shop.admin("dispute_update", dispute=opened["id"], status="needs_response"))
    assert types == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]


@pytest.mark.parametrize("status", ["warning_closed", "prevented"])
def test_a_dispute_that_moved_no_money_ends_without_any(shop, status):
    _, charge = paid(shop)
    opened = shop.admin("dispute", charge=charge.id, status="warning_needs_response")
    types, closed = shop.since(lambda: shop.admin("dispute_close", dispute=opened["id"], status=status))
    assert (closed["status"], types) == (status, ["charge.dispute.closed"])


def test_what_is_charged_back_is_not_refunded_and_disputed_once(shop):
    _, charge = paid(shop)
    opened = shop.admin("dispute", charge=charge.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_disputed"
    again = requests.post(f"{shop.url}/_sandbox/dispute", json={"charge": charge.id}, timeout=5)
    assert again.status_code == 404
    shop.admin("dispute_close", dispute=opened["id"], status="lost")
    late = {"dispute": opened["id"], "status": "won"}
    assert requests.post(f"{shop.url}/_sandbox/dispute_close", json=late, timeout=5).status_code == 404


# Early fraud warnings


def test_a_fraud_warning_is_actionable_until_the_charge_is_refunded(shop):
    _, charge = paid(shop)
    types, warning = shop.since(lambda: shop.admin("fraud_warning", charge=charge.id, fraud_type="misc"))
    assert (types, warning["fraud_type"]) == (["radar.early_fraud_warning.created"], "misc")
    types, _ = shop.since(lambda: shop.v1.refunds.create({"charge": charge.id}))
    assert types[-1] == "radar.early_fraud_warning.updated"
    for filters in ({"charge": charge.id}, {"payment_intent": charge.payment_intent}):
        (found,) = shop.v1.radar.early_fraud_warnings.list(filters).data
        assert (found.id, found.actionable) == (warning["id"], False)
    assert shop.v1.radar.early_fraud_warnings.retrieve(warning["id"]).charge == charge.id


# Around


def test_all_of_it_is_in_the_list_of_events_and_lags_when_told(shop):
    _, charge = paid(shop)
    shop.admin("lag", seconds=30)
    refund = shop.v1.refunds.create({"charge": charge.id, "amount": 10})
    opened = shop.admin("dispute", charge=charge.id)
    assert shop.v1.charges.retrieve(charge.id).amount_refunded == 0
    for read in (lambda: shop.v1.refunds.retrieve(refund.id), lambda: shop.v1.disputes.retrieve(opened["id"])):
        with pytest.raises(stripe.InvalidRequestError):
            read()
    types = ["charge.refunded", "charge.dispute.created", "refund.created"]
    assert len(shop.v1.events.list({"types": types}).data) == 3


def test_the_shape_of_2020_tells_refunds_within_the_charge():
    with a_shop(shape="legacy") as shop, receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret="whsec_x", enabled_events=["charge.refunded"])
        sub = shop.sell(expand=["latest_invoice"]).to_dict()
        charge = sub["latest_invoice"]["charge"]
        refund = shop.v1.refunds.create({"charge": charge, "amount": 1000})
        opened = shop.admin("dispute", charge=charge, status="warning_needs_response")
        shop.admin("drain")
        told = shop.v1.charges.retrieve(charge).to_dict()
        note = shop.v1.credit_notes.create(
            {"invoice": sub["latest_invoice"]["id"], "amount": 500, "refund_amount": 500}
        ).to_dict()
    assert ([each["id"] for each in told["refunds"]["data"]], told["dispute"]) == ([refund.id], opened["id"])
    event = receiver.events[0]["data"]["object"]
    assert (event["invoice"], event["refunds"]["data"][0]["amount"]) == (sub["latest_invoice"]["id"], 1000)
    assert (isinstance(note["refund"], str), "refunds" in note) == (True, False)
