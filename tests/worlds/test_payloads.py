"""Payloads that others recorded or wrote, each with the outcome it should have. Read in place, where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.stripe import webhook
from connectors.stripe.purchase import to_purchase
from connectors.stripe.webhook import envelope_of
from hub.domain import Standing
from hub.errors import VerificationError

PAYLOADS = Path(__file__).parents[3] / "shared/reference/data/payloads"
pytestmark = pytest.mark.shared

# Events: the subject that they lead to and the fact that they are, or why they lead nowhere.
EVENTS: dict[str, tuple[str, str]] = {
    "djstripe__event_account_updated_standard": ("", "about the seller's own account"),
    "sdk__thin_v1_meter_error": ("", "alerts, credits and meters change no license"),
    "supabase__active_entitlement_summary_updated": ("", "Stripe's own feature lists are not read"),
    "supabase__charge_dispute_created": ("payment/pi_1IqtG9JDPojXS6LNOGnYrIqq", "purchase.dispute_opened"),
    "supabase__charge_refunded": ("payment/pi_3Kl36gJDPojXS6LN02fQVtKR", "purchase.refunded"),
    "supabase__charge_succeeded": ("", "money movements are told by the invoice"),
    "supabase__checkout_session_completed": (
        "checkout/cs_live_9RBjcHiy2i5p99Tf1MYM90c3SHK1grU0E6Ae6pKWR2KPA4ZiuKiB2X1Y3X",
        "purchase.completed",
    ),
    "supabase__credit_note_created": ("credit/in_1MxvRkLkdIwHu7ixABNtI99m", "purchase.credited"),
    "supabase__customer_updated": ("customer/cus_IhGfebO16cMIGN", "purchase.customer_changed"),
    "supabase__invoice_paid": ("subscription/sub_JsuPyCPhXWfZar", "purchase.paid"),
    "supabase__invoice_updated": ("", "an invoice changes nothing before it is paid or given up"),
    "supabase__payment_intent_succeeded": ("", "money movements are told by the invoice"),
    "supabase__price_updated": ("", "catalog edits: prices are read with each subscription"),
    "supabase__product_updated": ("", "catalog edits: products are read with each subscription"),
    "supabase__refund_created": ("payment/pi_1GszsK2eZvKYlo2CfhZyoZLp", "purchase.refund_created"),
    "supabase__subscription_created": ("subscription/sub_JdIzvfy6o5GZRd", "purchase.started"),
    "supabase__subscription_schedule_created": ("", "a plan: the subscription tells when it comes true"),
    "supabase__subscription_schedule_released": ("", "a plan: the subscription tells when it comes true"),
}
# Subscriptions: how they stand, and (quantity, end of the period) of each line.
PURCHASES: dict[str, tuple[Standing, list[tuple[int | None, str]]]] = {
    "djstripe__subscription_sub_fakefakefakefakefake0001": (Standing.CURRENT, [(1, "2019-06-16")]),
    "pay__subscription.created": (Standing.CURRENT, [(2, "2017-03-08")]),
    "pay__subscription.trial_will_end": (Standing.CURRENT, [(2, "2017-03-08")]),
    "supabase__subscription_created": (Standing.CURRENT, [(1, "2021-07-08"), (None, "2021-07-08")]),
}
# Objects without an event of their own: told as this type they lead there.
TOLD_AS: dict[str, tuple[str, str]] = {
    "djstripe__charge_ch_fakefakefakefakefake0001": ("charge.refunded", "payment"),
    "djstripe__customer_cus_4QWKsZuuTHcs7X": ("customer.updated", "customer"),
    "djstripe__dispute_dp_fakefakefakefake01": ("charge.dispute.created", "payment"),
    "djstripe__invoice_in_fakefakefakefakefake0001": ("invoice.paid", "subscription"),
    "djstripe__price_gold21323": ("price.updated", ""),
    "djstripe__product_prod_fake1": ("product.updated", ""),
    "pay__charge.refunded": ("charge.refunded", "payment"),
    "pay__checkout.session.completed": ("checkout.session.completed", "subscription"),
    "pay__customer.updated": ("customer.updated", "customer"),
    "pay__invoice.payment_failed": ("invoice.payment_failed", "subscription"),
    "sdk__eventbridge_envelope": ("customer.created", "customer"),
}
NOT_PAYLOADS = {"openapi__fixtures3_subset"}  # a description of many objects


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((PAYLOADS / "stripe" / f"{name}.json").read_bytes()))


def carried(body: dict[str, Any]) -> dict[str, Any]:
    """The object in an event, in a test suite's wrapping, or by itself."""
    if "detail" in body:
        body = body["detail"]
    if "data" in body and isinstance(body["data"], dict) and "object" in body["data"]:
        return dict(body["data"]["object"])
    return dict(body["object"]) if isinstance(body.get("object"), dict) else body


def test_every_payload_has_an_outcome() -> None:
    there = {path.stem for path in (PAYLOADS / "stripe").glob("*.json")}
    assert there == {*EVENTS, *PURCHASES, *TOLD_AS, *NOT_PAYLOADS}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_leads_where_it_should(name: str) -> None:
    envelope = envelope_of("stripe", read(name))
    subject, told = EVENTS[name]
    assert (str(envelope.subject) if envelope.subject else "") == (f"stripe/{subject}" if subject else "")
    assert told in {envelope.ignored_because, *(event.type for event in envelope.events)}


@pytest.mark.parametrize("name", PURCHASES)
def test_a_subscription_is_read_as_it_is(name: str) -> None:
    purchase = to_purchase("stripe", carried(read(name)), [])
    lines = [(line.quantity, f"{line.period_end:%Y-%m-%d}") for line in purchase.lines]
    assert (purchase.standing, lines) == PURCHASES[name]


@pytest.mark.parametrize("name", TOLD_AS)
def test_an_object_leads_where_it_should(name: str) -> None:
    type_, kind = TOLD_AS[name]
    event = {"id": "evt_1", "object": "event", "type": type_, "created": 1_790_000_000, "livemode": False}
    envelope = envelope_of("stripe", event | {"data": {"object": carried(read(name))}})
    assert (envelope.subject.kind if envelope.subject else "") == kind


def vectors() -> list[dict[str, Any]]:
    file = PAYLOADS / "signatures/vectors.json"
    return list(json.loads(file.read_bytes())) if file.exists() else []


@pytest.mark.parametrize("vector", [one for one in vectors() if one["scheme"] == "stripe"], ids=lambda one: one["id"])
def test_a_signature_is_judged_as_its_author_says(vector: dict[str, Any]) -> None:
    keys = [secret.encode() for secret in vector["secrets"]]
    header = {name.lower(): value for name, value in vector["headers"].items()}.get("stripe-signature")
    try:
        webhook.verify(vector["body"].encode(), header, keys, vector["now"])
    except VerificationError:
        assert not vector["valid"]
    else:
        assert vector["valid"]


def test_every_vector_is_of_a_known_scheme() -> None:
    """Schemes of vendors that are not connected yet are named here, so that none is passed over in silence."""
    others = {"paddle", "fastspring", "lemonsqueezy", "shopify", "woocommerce", "standard-webhooks", "chargebee-basic"}
    assert {one["scheme"] for one in vectors()} - others == {"stripe"}
