"""Shopify, declared: its webhooks, objects and lists. shopify.dev, Admin REST API 2025-10 (read 2026-11)."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.declared import Changes, Form, Kind, Listing, Many, Read, Shop, Sold, Tells, linked
from connectors.proofs import Hmac
from connectors.shopify.purchase import (
    reduced_contract,
    reduced_dispute,
    reduced_order,
    reduced_refund,
    refuses,
    to_purchase,
)
from hub.domain import Json

_API = "/admin/api/2025-10"
_PAGE = {"limit": "250", "status": "any"}


def _order(fact: str, *, carries: bool = True) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("order", "id"),), carries=(("order", ""),) if carries else ())


def _dispute(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("dispute", "id"),), carries=(("dispute", ""),))


def _contract(fact: str) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=(("contract", "id"),), carries=(("contract", ""),))


def complaint(body: Json) -> str:
    """The vendor's own words: `errors` is a text, or an object of field -> texts."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if isinstance(errors, dict):
        return ", ".join(f"{name}: {said}" for name, said in errors.items())
    return errors if isinstance(errors, str) else ""


def since(at: int) -> str:
    """As lists take times."""
    return datetime.fromtimestamp(at, UTC).isoformat()


SHOPIFY = Shop(
    kind="shopify",
    proof=Hmac(header="x-shopify-hmac-sha256", encoding="base64"),
    form=Form(
        type="header:x-shopify-topic",
        id=("header:x-shopify-topic", "header:x-shopify-event-id"),  # one act of a merchant has one id for all topics
        at=("header:x-shopify-triggered-at", "updated_at", "created_at"),
        test=("test",),
        account=("header:x-shopify-shop-domain",),
    ),
    events={
        "orders/create": _order("created"),
        "orders/paid": _order("paid"),
        "orders/updated": _order("changed"),
        "orders/edited": Tells(fact="purchase.changed", about=(("order", "order_edit.order_id"),)),
        "orders/cancelled": _order("canceled"),
        "orders/delete": _order("deleted", carries=False),
        "refunds/create": Tells(fact="purchase.refunded", about=(("order", "order_id"),), carries=(("refund", ""),)),
        "disputes/create": _dispute("dispute_opened"),
        "disputes/update": _dispute("dispute_changed"),
        "subscription_contracts/create": _contract("started"),
        "subscription_contracts/update": _contract("changed"),
    },
    ignored={
        "orders/fulfilled": "what is shipped changes no license",
        "orders/partially_fulfilled": "what is shipped changes no license",
        "app/uninstalled": "the app is gone: no more webhooks come",
        "subscription_billing_attempts/success": "its order tells the payment",
        "subscription_billing_attempts/failure": "the contract tells what became of it",
        **dict.fromkeys(("customers", "shop"), "a person's data, or the shop's own: orders tell the sale"),
        **dict.fromkeys(("products", "inventory", "collections", "themes"), "a price list changes no license"),
        **dict.fromkeys(("fulfillments", "checkouts", "carts", "draft"), "orders tell the sale"),
    },
    kinds={
        "order": Kind(reduce=reduced_order, version="updated_at"),
        "refund": Kind(reduce=reduced_refund, version="created_at"),
        "dispute": Kind(
            reduce=reduced_dispute,
            version="updated_at",
            over=frozenset({"won", "lost", "accepted"}),
            prefix="dispute-",
            leads=("order", "order"),
        ),
        "contract": Kind(reduce=reduced_contract, version="updated_at", prefix="contract-"),
    },
    sold={
        "order": Sold(
            parts={
                "refunds": Many(
                    kind="refund",
                    of="order",
                    listed=Listing(path=_API + "/orders/{id}/refunds.json", rows="refunds", query={"limit": "250"}),
                ),
                "disputes": Many(kind="dispute", of="order"),
            },
            listed=Listing(path=f"{_API}/orders.json", rows="orders", query=_PAGE),
        ),
        "contract": Sold(),
    },
    purchase=to_purchase,
    reads={
        "order": Read(path=_API + "/orders/{id}.json", at="order"),
        "dispute": Read(path=_API + "/shopify_payments/disputes/{id}.json", at="dispute"),
    },
    changes=(
        Changes(
            listed=Listing(path=f"{_API}/orders.json", rows="orders", query=_PAGE | {"updated_at_min": "{since}"}),
            kind="order",
            at="updated_at",
        ),
    ),
    following=linked,
    since=since,
    refuses=refuses,
    to_paste=(
        "Settings > Notifications > Webhooks (or the app's configuration): one for each of {types}, format JSON, URL "
        "{url}; the secret that signs them (of an app: its client secret) goes into {secrets}"
    ),
    mend=(
        "make a custom app with read_orders, read_all_orders and read_shopify_payments_disputes, and set "
        "connections.{name}.access_token"
    ),
    complaint=complaint,
)
