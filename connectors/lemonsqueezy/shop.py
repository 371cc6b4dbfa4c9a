"""Lemon Squeezy, declared: its webhooks, objects and lists. docs.lemonsqueezy.com (read 2026-11)."""

from __future__ import annotations

from connectors.declared import Changes, Form, Kind, Listing, Many, One, Read, Shop, Sold, Tells, next_url
from connectors.fields import objects
from connectors.lemonsqueezy.purchase import (
    reduced_invoice,
    reduced_item,
    reduced_order,
    reduced_subscription,
    to_purchase,
)
from connectors.proofs import Hmac
from hub.domain import Json

_ORDER = (("order", "data.id"),)
_SUBSCRIPTION = (("subscription", "data.id"),)
_INVOICE = (("subscription", "data.attributes.subscription_id"),)  # data.id is the invoice's
_PAGE = {"page[size]": "100"}


def _order(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_ORDER, carries=(("order", "data"),))


def _subscription(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_SUBSCRIPTION, carries=(("subscription", "data"),))


def _invoice(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_INVOICE, carries=(("invoice", "data"),))


def complaint(body: Json) -> str:
    """The vendor's own words: JSON:API's list of errors."""
    if not isinstance(body, dict) or not isinstance(body.get("errors"), list):
        return ""
    return ", ".join(str(one.get("detail") or one.get("title") or "") for one in objects(body["errors"], "errors"))


LEMONSQUEEZY = Shop(
    kind="lemonsqueezy",
    proof=Hmac(header="x-signature", encoding="hex"),
    form=Form(
        type="meta.event_name",
        at=("data.attributes.updated_at",),
        test=("meta.test_mode", "data.attributes.test_mode"),
        account=("data.attributes.store_id",),
    ),
    events={
        "order_created": _order("completed"),
        "order_refunded": _order("refunded"),
        "subscription_created": _subscription("started"),
        "subscription_updated": _subscription("changed"),
        "subscription_cancelled": _subscription("end_scheduled"),
        "subscription_resumed": _subscription("end_unscheduled"),
        "subscription_expired": _subscription("ended"),
        "subscription_paused": _subscription("paused"),
        "subscription_unpaused": _subscription("resumed"),
        "subscription_payment_success": _invoice("paid"),
        "subscription_payment_failed": _invoice("payment_failed"),
        "subscription_payment_recovered": _invoice("payment_recovered"),
        "subscription_payment_refunded": _invoice("refunded"),
    },
    ignored={
        "license": "Zentitle2 licenses, not the store's own keys",
        "subscription_plan_changed": "subscription_updated tells the same",
        "affiliate": "affiliates change no license",
        "customer": "buyers are read with their purchases",
    },
    kinds={
        "subscription": Kind(
            reduce=reduced_subscription,
            version="attributes.updated_at",
            over=frozenset({"expired"}),
            prefix="sub-",
            began="order",
        ),
        "order": Kind(reduce=reduced_order, version="attributes.updated_at", prefix="order-"),
        "invoice": Kind(reduce=reduced_invoice, version="attributes.updated_at"),
        "item": Kind(reduce=reduced_item, version="attributes.updated_at"),
    },
    sold={
        "subscription": Sold(
            parts={
                "invoices": Many(
                    kind="invoice",
                    of="subscription",
                    listed=Listing(
                        path="/v1/subscription-invoices", rows="data", query=_PAGE | {"filter[subscription_id]": "{id}"}
                    ),
                ),
                "order": One(kind="order", by="order"),
            },
            listed=Listing(path="/v1/subscriptions", rows="data", query=_PAGE),
        ),
        "order": Sold(
            parts={
                "items": Many(
                    kind="item",
                    of="order",
                    listed=Listing(path="/v1/order-items", rows="data", query=_PAGE | {"filter[order_id]": "{id}"}),
                ),
            },
            begins=Many(
                kind="subscription",
                of="order",
                listed=Listing(path="/v1/subscriptions", rows="data", query=_PAGE | {"filter[order_id]": "{id}"}),
            ),
            listed=Listing(path="/v1/orders", rows="data", query=_PAGE),
        ),
    },
    purchase=to_purchase,
    reads={
        "subscription": Read(path="/v1/subscriptions/{id}", at="data"),
        "order": Read(path="/v1/orders/{id}", at="data"),
    },
    # Lists run by the time of creation, not of change: each is read to its end.
    changes=(
        Changes(
            listed=Listing(path="/v1/subscriptions", rows="data", query=_PAGE),
            kind="subscription",
            at="attributes.updated_at",
        ),
        Changes(listed=Listing(path="/v1/orders", rows="data", query=_PAGE), kind="order", at="attributes.updated_at"),
    ),
    following=next_url("links.next"),
    to_paste=(
        "Settings > Webhooks > +: Callback URL {url}, a Signing secret of 6 to 40 characters, the same in {secrets}, "
        "and these events: {types}"
    ),
    mend="Settings > API > +: make a key of the same mode and set connections.{name}.api_key",
    complaint=complaint,
)
