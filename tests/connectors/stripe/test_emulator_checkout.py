"""Checkout sessions of the Stripe emulator, driven with the real client over HTTP."""

import pytest
import requests
import stripe

from tests.connectors.stripe.shop import a_shop, receiving, stamp


@pytest.fixture
def shop():
    with a_shop() as made:
        yield made


def test_a_sale_of_its_own_is_paid_by_a_guest(shop):
    session = shop.session(client_reference_id="ACC-1", metadata={"order": "7"}, customer_email="bob@example.com")
    types, done = shop.since(lambda: shop.checkout(session, buyer="Bob"))
    assert (done.status, done.payment_status, done.amount_total) == ("complete", "paid", 19800)
    assert (done.customer, done.customer_details.email, done.customer_details.name) == (None, "bob@example.com", "Bob")
    assert (done.client_reference_id, done.metadata["order"], done.subscription) == ("ACC-1", "7", None)
    assert types == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    charge = shop.v1.charges.list({"payment_intent": done.payment_intent}).data[0]
    assert (charge.customer, charge.billing_details.email) == (None, "bob@example.com")
    assert shop.v1.customers.list().data == []


def test_the_line_items_stand_beside_the_session_and_are_paged(shop):
    lines = [{"price": shop.once(f"P{at}"), "quantity": at + 1} for at in range(12)]
    session = shop.session(lines=lines)
    assert "line_items" not in session
    pages = shop.v1.checkout.sessions.line_items.list(session.id, {"limit": 5})
    assert (len(pages.data), pages.has_more) == (5, True)
    assert [line.quantity for line in pages.auto_paging_iter()] == list(range(1, 13))
    shown = shop.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items"]}).line_items
    assert (len(shown.data), shown.has_more) == (10, True)


def test_a_known_customer_buys_under_its_own_name(shop):
    customer = shop.customer(name="Ann")
    done = shop.checkout(shop.session(customer=customer), buyer="somebody")
    assert (done.customer, done.customer_details.name) == (customer, "Ann")


def test_an_invoice_is_made_where_it_is_asked_for_and_names_no_subscription(shop):
    types, done = shop.since(lambda: shop.checkout(shop.session(invoice_creation={"enabled": True})))
    invoice = shop.v1.invoices.retrieve(done.invoice)
    assert (invoice.status, invoice.parent, invoice.billing_reason) == ("paid", None, "manual")
    assert invoice.customer == done.customer is not None
    assert invoice.lines.data[0].parent.invoice_item_details.subscription is None
    payment = shop.v1.invoice_payments.list({"invoice": invoice.id}).data[0].payment
    assert payment.payment_intent == done.payment_intent
    assert {"customer.created", "invoice.paid", "checkout.session.completed"} < set(types)


@pytest.mark.parametrize(("ok", "word", "paid"), [(True, "succeeded", "paid"), (False, "failed", "unpaid")])
def test_a_delayed_payment_completes_unpaid_and_is_told_later(shop, ok, word, paid):
    session = shop.session()
    types, done = shop.since(lambda: shop.checkout(session, delayed=True))
    intent = shop.v1.payment_intents.retrieve(done.payment_intent)
    assert (done.status, done.payment_status, intent.status) == ("complete", "unpaid", "processing")
    assert (types[-3], types[-1]) == ("charge.pending", "checkout.session.completed")
    shop.advance(days=3)
    types, _ = shop.since(lambda: shop.admin("async_payment", session=session.id, ok=ok))
    assert types[-1] == f"checkout.session.async_payment_{word}"
    late = shop.v1.checkout.sessions.retrieve(session.id)
    assert (late.status, late.payment_status) == ("complete", paid)
    assert shop.v1.payment_intents.retrieve(done.payment_intent).status == (
        "succeeded" if ok else "requires_payment_method"
    )


def test_a_payment_that_is_not_awaited_is_refused(shop):
    session = shop.session()
    answer = requests.post(f"{shop.url}/_sandbox/async_payment", json={"session": session.id, "ok": True}, timeout=5)
    assert (answer.status_code, "waits for no payment" in answer.text) == (404, True)


def test_a_subscription_by_a_delayed_payment_is_active_with_an_open_invoice(shop):
    session = shop.session(mode="subscription", lines=[{"price": shop.price(), "quantity": 3}])
    done = shop.checkout(session, delayed=True)
    sub = shop.subscription(done.subscription, expand=["latest_invoice"])
    assert (done.payment_status, sub.status, sub.latest_invoice.status) == ("unpaid", "active", "open")
    shop.admin("async_payment", session=session.id, ok=True)
    assert shop.subscription(sub.id, expand=["latest_invoice"]).latest_invoice.status == "paid"


def test_a_delayed_first_payment_that_fails_is_past_due(shop):
    session = shop.session(mode="subscription", lines=[{"price": shop.price(), "quantity": 3}])
    done = shop.checkout(session, delayed=True)
    shop.admin("async_payment", session=session.id, ok=False)
    assert shop.subscription(done.subscription).status == "past_due"
    assert "invoice.payment_failed" in shop.types()


def test_a_session_over_nothing_needs_no_payment(shop):
    done = shop.checkout(shop.session(lines=[{"price": shop.once("FREE", 0)}]))
    assert (done.payment_status, done.payment_intent, done.status) == ("no_payment_required", None, "complete")
    trial = shop.session(
        mode="subscription", lines=[{"price": shop.price()}], subscription_data={"trial_period_days": 7}
    )
    assert shop.checkout(trial).payment_status == "no_payment_required"


def test_a_subscription_sold_with_something_once_bills_both_on_its_first_invoice(shop):
    lines = [{"price": shop.price(), "quantity": 3}, {"price": shop.once("SETUP", 500), "quantity": 2}]
    done = shop.checkout(shop.session(mode="subscription", lines=lines))
    sub = shop.subscription(done.subscription, expand=["latest_invoice"])
    assert [item.price.lookup_key for item in sub["items"].data] == ["PRO-100"]
    recurring, once = sub.latest_invoice.lines.data
    assert (recurring.parent.type, once.parent.type) == ("subscription_item_details", "invoice_item_details")
    assert (once.parent.invoice_item_details.proration, once.amount, once.quantity) == (False, 1000, 2)
    assert once.parent.invoice_item_details.subscription == sub.id
    assert sub.latest_invoice.amount_paid == 4000 == done.amount_total
    shop.advance(days=28, hours=2)
    assert len(shop.invoices(sub)[0].lines.data) == 1


def test_sessions_are_listed_by_what_they_became(shop):
    once, plan = shop.session(), shop.session(mode="subscription", lines=[{"price": shop.price()}])
    idle = shop.session()
    shop.advance(hours=1)
    bought, started = shop.checkout(once, email="eve@example.com"), shop.checkout(plan)

    def found(**filters):
        return [each.id for each in shop.v1.checkout.sessions.list(filters).data]

    assert found(payment_intent=bought.payment_intent) == [once.id]
    assert found(subscription=started.subscription) == [plan.id]
    assert found(customer=started.customer) == [plan.id]
    assert found(customer_details={"email": "eve@example.com"}) == [once.id]
    assert found(status="open") == [idle.id]
    assert found(status="complete") == [plan.id, once.id]
    assert found(created={"gte": stamp(2026, 1, 31) + 1}) == []
    assert len(found(limit=2)) == 2


def test_a_session_can_be_expired_once(shop):
    session = shop.session()
    types, gone = shop.since(lambda: shop.v1.checkout.sessions.expire(session.id))
    assert (gone.status, gone.url, types) == ("expired", None, ["checkout.session.expired"])
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.checkout.sessions.expire(session.id)


def test_a_declined_card_leaves_the_session_open(shop):
    customer = shop.customer()
    shop.admin("card", customer=customer, ok=False)
    session = shop.session(customer=customer)
    answer = requests.post(f"{shop.url}/_sandbox/checkout", json={"session": session.id}, timeout=5)
    assert answer.status_code == 404
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_the_mode_must_fit_the_prices(shop):
    with pytest.raises(stripe.InvalidRequestError, match="recurring"):
        shop.session(lines=[{"price": shop.price()}])
    with pytest.raises(stripe.InvalidRequestError, match="recurring"):
        shop.session(mode="subscription")


def test_yen_have_no_minor_unit(shop):
    done = shop.checkout(shop.session(lines=[{"price": shop.once("JP", 12000, "JPY"), "quantity": 3}]))
    intent = shop.v1.payment_intents.retrieve(done.payment_intent)
    assert (done.currency, done.amount_total, intent.amount, intent.currency) == ("jpy", 36000, 36000, "jpy")


def test_reads_of_sessions_and_payments_lag_too(shop):
    session = shop.session()
    shop.admin("lag", seconds=30)
    shop.admin("checkout", session=session.id)
    assert shop.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert shop.v1.charges.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.checkout.sessions.retrieve(shop.session().id)


def test_the_shape_of_2020_names_invoice_and_charge_in_each_other():
    with a_shop(shape="legacy") as shop, receiving() as receiver:
        shop.admin("webhook", url=receiver.url, secret="whsec_x")
        lines = [{"price": shop.price(), "quantity": 3}, {"price": shop.once("SETUP", 500)}]
        done = shop.checkout(shop.session(mode="subscription", lines=lines)).to_dict()
        own = shop.checkout(shop.session(invoice_creation={"enabled": True})).to_dict()
        shop.admin("drain")
        invoice = shop.v1.invoices.retrieve(done["invoice"]).to_dict()
        intent = shop.v1.payment_intents.retrieve(invoice["payment_intent"]).to_dict()
        charge = shop.v1.charges.retrieve(invoice["charge"]).to_dict()
        assert (intent["invoice"], charge["invoice"]) == (invoice["id"], invoice["id"])
        once = invoice["lines"]["data"][1]
        assert (once["type"], once["subscription"], once["subscription_item"], once["plan"]) == (
            "invoiceitem",
            done["subscription"],
            None,
            None,
        )
        alone = shop.v1.invoices.retrieve(own["invoice"]).to_dict()
        assert (alone["subscription"], alone["payment_intent"], alone["paid"]) == (None, own["payment_intent"], True)
    completed = [event for event in receiver.events if event["type"] == "checkout.session.completed"]
    assert [event["data"]["object"]["mode"] for event in completed] == ["subscription", "payment"]
