"""Chargebee, declared: its webhooks, objects and lists. apidocs.chargebee.com, API v2, Product Catalog 2.0.

Read 2026-11.
"""

from __future__ import annotations

from connectors.chargebee.purchase import (
    reduced_credit_note,
    reduced_customer,
    reduced_invoice,
    reduced_subscription,
    to_purchase,
)
from connectors.declared import Changes, Form, Kind, Listing, Many, One, Query, Read, Shop, Sold, Tells
from connectors.http import Reply
from connectors.proofs import Password
from hub.domain import Json

_PAGE = {"limit": "100"}
_SUBSCRIPTION = (("subscription", "content.subscription.id"),)
_INVOICE = (
    ("subscription", "content.subscription.id"),
    ("subscription", "content.invoice.subscription_id"),
    ("invoice", "content.invoice.id"),
)
_CREDIT = (
    ("subscription", "content.credit_note.subscription_id"),
    ("invoice", "content.credit_note.reference_invoice_id"),
    *_INVOICE,
)


def _carried(*kinds: str) -> tuple[tuple[str, str], ...]:
    return tuple((kind, f"content.{kind}") for kind in kinds)


def _subscription(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_SUBSCRIPTION, carries=_carried("subscription", "customer", "invoice"))


def _invoice(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=_INVOICE, carries=_carried("invoice", "subscription", "customer"))


def _credit(fact: str) -> Tells:
    return Tells(
        fact=f"purchase.{fact}", about=_CREDIT, carries=_carried("credit_note", "invoice", "subscription", "customer")
    )


def _customer(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("customer", "content.customer.id"),), carries=_carried("customer"))


def _listed(kind: str, by: str) -> Listing:
    return Listing(path=f"/{kind}s", rows="list", each=kind, query=_PAGE | {f"{by}[is]": "{id}"})


def following(reply: Reply, _: Query) -> Query | None:
    """The next page, by the `next_offset` of the answer."""
    offset = reply.body.get("next_offset") if isinstance(reply.body, dict) else None
    return {"offset": offset} if isinstance(offset, str) and offset else None


def complaint(body: Json) -> str:
    """The vendor's own words."""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


CHARGEBEE = Shop(
    kind="chargebee",
    proof=Password(),
    form=Form(
        type="event_type",
        id=("id",),
        at=("occurred_at",),
        varies=("webhooks", "webhook_status", "webhook_failure_reason"),
    ),
    events={
        "subscription_created": _subscription("started"),
        "subscription_started": _subscription("started"),
        "subscription_activated": _subscription("activated"),
        "subscription_trial_end_reminder": _subscription("trial_ending"),
        "subscription_changed": _subscription("changed"),
        "subscription_renewed": _subscription("renewed"),
        "subscription_cancellation_scheduled": _subscription("end_scheduled"),
        "subscription_scheduled_cancellation_removed": _subscription("end_unscheduled"),
        "subscription_cancelled": _subscription("ended"),
        "subscription_reactivated": _subscription("reactivated"),
        "subscription_paused": _subscription("paused"),
        "subscription_resumed": _subscription("resumed"),
        "subscription_deleted": Tells(fact="purchase.deleted", about=_SUBSCRIPTION),
        "payment_succeeded": _invoice("paid"),
        "payment_failed": _invoice("payment_failed"),
        "invoice_updated": _invoice("invoice_changed"),
        "payment_refunded": _credit("refunded"),
        "credit_note_created": _credit("credited"),
        "credit_note_updated": _credit("credit_changed"),
        "customer_created": _customer("customer_created"),
        "customer_changed": _customer("customer_changed"),
    },
    ignored={
        "invoice_generated": "an invoice changes nothing before it is paid or given up",
        **dict.fromkeys(("card", "payment", "transaction", "refund"), "money is told by invoices and credit notes"),
        **dict.fromkeys(("item", "plan", "addon", "coupon", "price"), "a price list changes no license"),
        **dict.fromkeys(("quote", "order", "gift", "unbilled", "hierarchy", "virtual"), "subscriptions tell the sale"),
        "subscription": "a notice: what it announces is told when it comes true",
        "customer": "buyers are read with their purchases",
    },
    kinds={
        "subscription": Kind(reduce=reduced_subscription, version="resource_version"),
        "invoice": Kind(reduce=reduced_invoice, version="resource_version", prefix="inv-"),
        "credit_note": Kind(reduce=reduced_credit_note, version="resource_version"),
        "customer": Kind(reduce=reduced_customer, version="resource_version"),
    },
    sold={
        "subscription": Sold(
            parts={
                "invoices": Many(kind="invoice", of="subscription", listed=_listed("invoice", "subscription_id")),
                "credit_notes": Many(
                    kind="credit_note", of="subscription", listed=_listed("credit_note", "subscription_id")
                ),
                "customer": One(kind="customer", by="customer", waits=True),
            },
            listed=Listing(path="/subscriptions", rows="list", each="subscription", query=_PAGE),
        ),
        "invoice": Sold(
            parts={
                "credit_notes": Many(
                    kind="credit_note", of="invoice", listed=_listed("credit_note", "reference_invoice_id")
                ),
                "customer": One(kind="customer", by="customer", waits=True),
            },
            listed=Listing(path="/invoices", rows="list", each="invoice", query=_PAGE | {"recurring[is]": "false"}),
        ),
    },
    purchase=to_purchase,
    reads={
        "subscription": Read(path="/subscriptions/{id}", at="subscription"),
        "invoice": Read(path="/invoices/{id}", at="invoice"),
        "customer": Read(path="/customers/{id}", at="customer"),
    },
    changes=(
        Changes(
            listed=Listing(
                path="/events",
                rows="list",
                each="event",
                query=_PAGE | {"occurred_at[after]": "{since}", "sort_by[asc]": "occurred_at"},
            ),
            at="occurred_at",
        ),
    ),
    following=following,
    to_paste=(
        "Settings > Configure Chargebee > Webhooks > Add Webhook: URL {url}, protected by basic authentication (user "
        "name and password as user:password in {secrets}), API version V2, and these events: {types}"
    ),
    mend="Settings > Configure Chargebee > API Keys: make a read-only key and set connections.{name}.api_key",
    complaint=complaint,
)
