"""Paddle Billing, declared: its webhooks, objects and lists. developer.paddle.com (read 2026-11)."""

from __future__ import annotations

from connectors.declared import Changes, Form, Kind, Listing, Many, One, Read, Shop, Sold, Tells, next_url
from connectors.fields import Object, part, text
from connectors.paddle.purchase import (
    reduced_adjustment,
    reduced_customer,
    reduced_subscription,
    reduced_transaction,
    to_purchase,
)
from connectors.proofs import TimedHmac
from hub.domain import Json

_OF_SUBSCRIPTION = (("subscription", "data.subscription_id"), ("transaction", "data.id"))
_ADJUSTED = (("subscription", "data.subscription_id"), ("transaction", "data.transaction_id"))


def _subscription(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("subscription", "data.id"),), carries=(("subscription", "data"),))


def _transaction(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_OF_SUBSCRIPTION, carries=(("transaction", "data"),))


def _adjustment(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_ADJUSTED, carries=(("adjustment", "data"),))


def _customer(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("customer", "data.id"),), carries=(("customer", "data"),))


def _adjusted(kind: str, by: str) -> Listing:
    return Listing(path="/" + kind, rows="data", query={by: "{id}", "per_page": "50"})


def complaint(body: Json) -> str:
    """The vendor's own words: `error.detail`."""
    error: Object = part(body, "error") if isinstance(body, dict) and isinstance(body.get("error"), dict) else {}
    return text(error, "detail") or text(error, "code") or ""


PADDLE = Shop(
    kind="paddle",
    proof=TimedHmac(header="paddle-signature", encoding="hex", time="ts", signature="h1"),
    form=Form(type="event_type", id=("event_id",), at=("occurred_at",), varies=("notification_id",)),
    events={
        "subscription.created": _subscription("started"),
        "subscription.activated": _subscription("activated"),
        "subscription.trialing": _subscription("trial_started"),
        "subscription.updated": _subscription("changed"),
        "subscription.past_due": _subscription("payment_overdue"),
        "subscription.paused": _subscription("paused"),
        "subscription.resumed": _subscription("resumed"),
        "subscription.canceled": _subscription("ended"),
        "subscription.imported": _subscription("started"),
        "transaction.completed": _transaction("paid"),
        "transaction.payment_failed": _transaction("payment_failed"),
        "transaction.past_due": _transaction("payment_overdue"),
        "transaction.canceled": _transaction("canceled"),
        "adjustment.created": _adjustment("adjusted"),
        "adjustment.updated": _adjustment("adjustment_changed"),
        "customer.created": _customer("customer_created"),
        "customer.updated": _customer("customer_changed"),
    },
    ignored={
        **dict.fromkeys(
            ("address", "business", "customer", "payment"), "what is sold is told by subscriptions and transactions"
        ),
        **dict.fromkeys(("product", "price", "discount", "discount_group"), "a price list changes no license"),
        **dict.fromkeys(("payout", "report", "api", "client"), "of the seller's own account"),
        "transaction": "transaction.completed tells the sale",
    },
    kinds={
        "subscription": Kind(reduce=reduced_subscription, version="updated_at", over=frozenset({"canceled"})),
        "transaction": Kind(
            reduce=reduced_transaction, version="updated_at", over=frozenset({"completed", "canceled"})
        ),
        "adjustment": Kind(
            reduce=reduced_adjustment, version="updated_at", over=frozenset({"approved", "rejected", "reversed"})
        ),
        "customer": Kind(reduce=reduced_customer, version="updated_at"),
    },
    sold={
        "subscription": Sold(
            parts={
                "transactions": Many(
                    kind="transaction", of="subscription", listed=_adjusted("transactions", "subscription_id")
                ),
                "adjustments": Many(
                    kind="adjustment", of="subscription", listed=_adjusted("adjustments", "subscription_id")
                ),
                "customer": One(kind="customer", by="customer", waits=True),
            },
            listed=Listing(path="/subscriptions", rows="data", query={"per_page": "200"}),
        ),
        "transaction": Sold(
            parts={
                "adjustments": Many(
                    kind="adjustment", of="transaction", listed=_adjusted("adjustments", "transaction_id")
                ),
                "customer": One(kind="customer", by="customer", waits=True),
            },
            listed=Listing(
                path="/transactions",
                rows="data",
                query={"subscription_id": "null", "status": "completed", "per_page": "30"},
            ),
        ),
    },
    purchase=to_purchase,
    reads={
        "subscription": Read(path="/subscriptions/{id}", at="data"),
        "transaction": Read(path="/transactions/{id}", at="data"),
        "customer": Read(path="/customers/{id}", at="data"),
    },
    changes=(
        Changes(
            listed=Listing(path="/events", rows="data", query={"order_by": "id[DESC]", "per_page": "200"}),
            at="occurred_at",
            newest_first=True,
        ),
    ),
    following=next_url("meta.pagination.next", more="meta.pagination.has_more"),  # the last page has a `next` too
    to_paste=(
        "Developer tools > Notifications > New destination: URL {url}, type Webhook, and these events: {types}. Its "
        "secret key (pdl_ntfset_…) goes into {secrets}"
    ),
    mend=(
        "Developer tools > Authentication > New API key, with read access to subscriptions, transactions, adjustments, "
        "customers and notifications; set connections.{name}.api_key"
    ),
    complaint=complaint,
)
