"""What sellers do by hand at the Stripe emulator: means of payment, payment intents, invoices and quotes."""

import pytest
import requests
import stripe

from tests.connectors.stripe.shop import DAY, a_shop


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


# Means of payment


def test_a_test_card_is_attached_as_a_method_of_its_own(shop):
    customer = shop.customer()
    types, one = shop.since(lambda: shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer}))
    other = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert (types, one.customer, one.card.brand) == (["payment_method.attached"], customer, "visa")
    assert [each.id for each in shop.v1.payment_methods.list({"customer": customer}).data] == [other.id, one.id]
    gone = shop.v1.payment_methods.detach(one.id)
    assert (gone.customer, shop.types()[-1]) == (None, "payment_method.detached")
    assert [each.id for each in shop.v1.payment_methods.list({"customer": customer}).data] == [other.id]
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        shop.v1.payment_methods.detach(one.id)


def test_a_method_of_one_customer_is_no_other_s(shop):
    one, other = shop.customer(), shop.customer()
    method = shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    shop.v1.payment_methods.attach(method.id, {"customer": one})
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        shop.v1.payment_methods.attach(method.id, {"customer": other})
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        shop.v1.customers.update(other, {"invoice_settings": {"default_payment_method": method.id}})
    updated = shop.v1.customers.update(one, {"invoice_settings": {"default_payment_method": method.id}})
    assert updated.invoice_settings.default_payment_method == method.id


@pytest.mark.parametrize(("card", "status"), [("pm_card_visa", "active"), ("pm_card_chargeCustomerFail", "incomplete")])
def test_a_customer_s_default_card_decides_whether_its_subscription_is_paid(shop, card, status):
    settings = {"default_payment_method": card}
    customer = shop.v1.customers.create({"payment_method": card, "invoice_settings": settings})
    assert customer.invoice_settings.default_payment_method.startswith("pm_")
    assert shop.sell(customer=customer.id).status == status


def test_a_card_that_its_bank_refuses_makes_no_customer(shop):
    types, _ = shop.since(lambda: refused(lambda: shop.v1.customers.create({"source": "tok_chargeDeclined"})))
    assert types == []
    assert shop.v1.customers.create({"source": "tok_visa"}).default_source.startswith("card_")


def refused(act):
    with pytest.raises(stripe.CardError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    "wanted", [{"type": "card", "card": {"token": "tok_of_nobody"}}, {"type": "sepa_debit"}, {"type": "klarna"}]
)
def test_what_is_no_test_card_is_refused(shop, wanted):
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.payment_methods.create(wanted)


# Payment intents


def intend(shop, **given):
    return shop.v1.payment_intents.create({"amount": 100, "currency": "USD", **given})


def test_a_payment_intent_is_confirmed_when_it_is_made_or_later(shop):
    types, done = shop.since(lambda: intend(shop, payment_method="pm_card_visa", confirm=True, description="once"))
    assert types == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert (done.status, done.amount_received, done.currency) == ("succeeded", 100, "usd")
    charge = shop.v1.charges.retrieve(done.latest_charge)
    assert (charge.description, charge.payment_method) == ("once", done.payment_method)
    later = intend(shop)
    with pytest.raises(stripe.InvalidRequestError, match="misses a payment method"):
        shop.v1.payment_intents.confirm(later.id)
    assert shop.v1.payment_intents.confirm(later.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    for act in (shop.v1.payment_intents.confirm, shop.v1.payment_intents.cancel):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            act(later.id)
        assert caught.value.code == "payment_intent_unexpected_state"


def test_a_declined_intent_waits_for_another_card(shop):
    waiting = intend(shop)
    error = refused(
        lambda: shop.v1.payment_intents.confirm(waiting.id, {"payment_method": "pm_card_chargeCustomerFail"})
    )
    assert (error.code, shop.types()[-2:]) == ("card_declined", ["charge.failed", "payment_intent.payment_failed"])
    assert shop.v1.payment_intents.retrieve(waiting.id).status == "requires_payment_method"
    assert shop.v1.payment_intents.confirm(waiting.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


@pytest.mark.parametrize(
    ("card", "status"), [("createDispute", "needs_response"), ("createDisputeInquiry", "warning_needs_response")]
)
def test_a_card_that_disputes_does_so_once_it_has_paid(shop, card, status):
    done = intend(shop, payment_method=f"pm_card_{card}", confirm=True)
    (dispute,) = shop.v1.disputes.list({"payment_intent": done.id}).data
    assert (dispute.status, "charge.dispute.created" in shop.types()) == (status, True)


@pytest.mark.parametrize(
    ("iban", "status"),
    [("AT611904300234573201", "succeeded"), ("AT861904300235473202", "requires_payment_method")],
)
def test_a_bank_debit_is_decided_later(shop, iban, status):
    debit = shop.v1.payment_methods.create({"type": "sepa_debit", "sepa_debit": {"iban": iban}})
    done = intend(shop, payment_method=debit.id, confirm=True)
    assert done.status == "processing"
    assert shop.v1.payment_intents.retrieve(done.id).status == status


def test_a_canceled_intent_is_over(shop):
    done = shop.v1.payment_intents.cancel(intend(shop).id, {"cancellation_reason": "abandoned"})
    assert (done.status, done.cancellation_reason) == ("canceled", "abandoned")
    assert shop.types()[-1] == "payment_intent.canceled"


# Invoices by hand


def item(shop, customer, **given):
    return shop.v1.invoice_items.create({"customer": customer, "amount": 2000, "currency": "usd", **given})


def test_pending_items_go_on_the_invoice_that_includes_them(shop):
    customer = shop.customer()
    one, other = item(shop, customer, description="set-up"), item(shop, shop.customer())
    assert [each.id for each in shop.v1.invoice_items.list({"customer": customer, "pending": True}).data] == [one.id]
    wanted = {"customer": customer, "pending_invoice_items_behavior": "include", "description": "by hand"}
    types, invoice = shop.since(lambda: shop.v1.invoices.create(wanted))
    assert (types, invoice.status, invoice.total, invoice.auto_advance) == (["invoice.created"], "draft", 2000, False)
    (line,) = invoice.lines.data
    assert (line.description, line.parent.invoice_item_details.invoice_item) == ("set-up", one.id)
    assert shop.v1.invoice_items.retrieve(one.id).invoice == invoice.id
    assert shop.v1.invoice_items.retrieve(other.id).invoice is None
    paid = shop.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.billing_reason, paid.parent) == ("paid", "manual", None)


def test_an_invoice_starts_empty_and_takes_items_until_it_is_finalized(shop):
    customer, price = shop.customer(), shop.once(amount=500)
    item(shop, customer)
    invoice = shop.v1.invoices.create({"customer": customer})
    assert (invoice.total, invoice.lines.data) == (0, [])
    types, _ = shop.since(
        lambda: shop.v1.invoice_items.create(
            {"customer": customer, "invoice": invoice.id, "pricing": {"price": price}, "quantity": 3}
        )
    )
    assert types == ["invoiceitem.created", "invoice.updated"]
    open_ = shop.v1.invoices.finalize_invoice(invoice.id)
    assert (open_.status, open_.amount_due, open_.amount_remaining) == ("open", 1500, 1500)
    with pytest.raises(stripe.InvalidRequestError, match="finalized"):
        item(shop, customer, invoice=invoice.id)
    with pytest.raises(stripe.InvalidRequestError, match="one-time"):
        shop.v1.invoice_items.create({"customer": customer, "pricing": {"price": shop.price()}})


def test_an_invoice_by_hand_that_a_card_refuses_is_not_tried_again(shop):
    customer = shop.customer()
    item(shop, customer)
    invoice = shop.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    refused(lambda: shop.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_chargeCustomerFail"}))
    assert shop.types()[-1] == "invoice.payment_failed"
    shop.advance(days=20)
    after = shop.v1.invoices.retrieve(invoice.id)
    assert (after.status, after.attempt_count, after.next_payment_attempt) == ("open", 1, None)


def test_an_invoice_that_advances_is_finalized_and_paid_after_an_hour(shop):
    customer = shop.customer()
    item(shop, customer)
    wanted = {"customer": customer, "pending_invoice_items_behavior": "include", "auto_advance": True}
    invoice = shop.v1.invoices.create(wanted)
    shop.advance(hours=1, seconds=1)
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"


def test_2020_08_27_takes_what_is_pending_and_refuses_an_empty_invoice():
    with a_shop(shape="legacy") as shop:
        customer = shop.customer()
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.v1.invoices.create({"customer": customer})
        assert caught.value.code == "invoice_no_customer_line_items"
        made = item(shop, customer)
        assert (made.to_dict()["price"]["unit_amount"], "pricing" in made.to_dict()) == (2000, False)
        assert shop.v1.invoices.create({"customer": customer}).total == 2000


# Quotes


def offer(shop, *lines, customer=None, **given):
    lines = lines or ({"price": shop.price(), "quantity": 10},)
    return shop.v1.quotes.create({"customer": customer or shop.customer(), "line_items": list(lines), **given})


def test_an_accepted_quote_is_a_subscription_with_what_is_sold_once_on_its_first_invoice(shop):
    recurring, once = {"price": shop.price(), "quantity": 10}, {"price": shop.once(), "quantity": 1}
    data = {"metadata": {"opportunity": "006"}}
    types, quote = shop.since(lambda: offer(shop, recurring, once, subscription_data=data))
    assert (types[-1], quote.status, quote.amount_total) == ("quote.created", "draft", 19900)
    assert [each.quantity for each in shop.v1.quotes.line_items.list(quote.id).data] == [10, 1]
    open_ = shop.v1.quotes.finalize_quote(quote.id)
    assert (open_.status, shop.types()[-1]) == ("open", "quote.finalized")
    accepted = shop.v1.quotes.accept(quote.id)
    assert (accepted.status, shop.types()[-1]) == ("accepted", "quote.accepted")
    sub = shop.subscription(accepted.subscription)
    assert (sub["items"].data[0].quantity, sub.metadata["opportunity"], sub.status) == (10, "006", "active")
    assert shop.v1.invoices.retrieve(sub.latest_invoice).total == 19900


def test_an_accepted_quote_of_what_is_sold_once_is_a_draft_invoice(shop):
    quote = offer(shop, {"price": shop.once(), "quantity": 2})
    shop.v1.quotes.finalize_quote(quote.id)
    invoice = shop.v1.invoices.retrieve(shop.v1.quotes.accept(quote.id).invoice)
    assert (invoice.status, invoice.billing_reason, invoice.total) == ("draft", "quote_accept", 19800)
    assert invoice.parent.quote_details.quote == quote.id


def test_a_quote_is_accepted_only_when_it_is_open(shop):
    quote = offer(shop)
    with pytest.raises(stripe.InvalidRequestError, match="draft"):
        shop.v1.quotes.accept(quote.id)
    shop.v1.quotes.cancel(quote.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        shop.v1.quotes.finalize_quote(quote.id)
    nobody_s = shop.v1.quotes.create({"line_items": [{"price": shop.price()}]})
    with pytest.raises(stripe.InvalidRequestError, match="customer"):
        shop.v1.quotes.finalize_quote(nobody_s.id)


def test_a_quote_lapses_after_30_days(shop):
    quote = offer(shop)
    shop.advance(seconds=30 * DAY + 1)
    assert shop.v1.quotes.retrieve(quote.id).status == "canceled"
    assert shop.types()[-1] == "quote.canceled"


# The page where a session is paid


def page(shop, session, **form):
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    return requests.post(f"{shop.url}/v1/payment_pages/{session}/confirm", data=form, headers=headers, timeout=10)


def test_a_buyer_pays_a_session_with_a_card_for_the_amount_that_was_shown(shop):
    session = shop.session()
    method = shop.v1.payment_methods.create(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"email": "eve@example.com", "name": "Eve"}}
    )
    assert page(shop, session.id, payment_method=method.id, expected_amount=1).json()["error"]["code"] == (
        "checkout_amount_mismatch"
    )
    assert page(shop, session.id, payment_method=method.id, expected_amount=19800).json()["status"] == "complete"
    done = shop.v1.checkout.sessions.retrieve(session.id)
    assert (done.payment_status, done.customer_details.email) == ("paid", "eve@example.com")
    assert page(shop, session.id, payment_method=method.id).status_code == 400


def test_a_session_is_paid_with_what_it_takes_alone(shop):
    debit = shop.v1.payment_methods.create({"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}})
    assert page(shop, shop.session().id, payment_method=debit.id).status_code == 400
    session = shop.session(payment_method_types=["sepa_debit"])
    assert page(shop, session.id, payment_method=debit.id).status_code == 200
    assert shop.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert shop.types()[-1] == "checkout.session.async_payment_succeeded"
    refused_ = shop.session()
    assert page(shop, refused_.id, payment_method="pm_card_chargeCustomerFail").status_code == 402
    assert shop.v1.checkout.sessions.retrieve(refused_.id).status == "open"


# Schedules


def test_a_phase_of_2020_08_27_lasts_as_many_intervals_as_it_iterates():
    with a_shop(shape="legacy") as shop:
        phase = {"items": [{"price": shop.price()}], "iterations": 2}
        made = shop.v1.subscription_schedules.create(
            {"customer": shop.customer(), "start_date": "now", "phases": [phase]}
        )
        (told,) = made.phases
        assert (told.end_date - told.start_date) // DAY in range(59, 63)
