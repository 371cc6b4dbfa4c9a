"""Shopify in tests: its objects as shopify.dev shows them, and what can happen there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import connectors.shopify
from connectors.shopify.shop import SHOPIFY
from tests.shops import Case, Obj, Sale

KEYS = {"pro": "101", "team": "102", "perp": "103", "hat": "999"}
T = "2026-09-01T00:00:00-04:00"


def order(status: str = "paid", *, key: str = "perp", refunds: list[Obj] | None = None, **more: Any) -> Obj:
    line = {"id": 41, "variant_id": int(KEYS[key]), "product_id": 51, "sku": None, "quantity": 3, "price": "199.00"}
    buyer = {"id": 21, "first_name": "Ada", "last_name": "Cedar", "email": "buyer@example.com"}
    known: Obj = {"id": 31, "financial_status": status, "cancelled_at": None, "test": False, "source_name": "web"}
    known |= {"created_at": T, "updated_at": T, "customer": buyer, "note_attributes": [], "line_items": [line]}
    return known | {"refunds": refunds or []} | more


def refund(quantity: int = 3, id_: int = 61) -> Obj:
    lines = [{"id": 71, "line_item_id": 41, "quantity": quantity}] if quantity else []
    paid = [{"id": 81, "kind": "refund", "status": "success", "amount": "199.00"}]
    return {"id": id_, "order_id": 31, "created_at": T, "refund_line_items": lines, "transactions": paid}


def dispute(status: str = "needs_response", type_: str = "chargeback") -> Obj:
    return {"id": 91, "order_id": 31, "type": type_, "status": status, "initiated_at": T, "updated_at": T}


def sale(status: str = "paid", *, disputes: list[Obj] | None = None, **more: Any) -> Sale:
    one = order(status, **more)
    parts = {"refunds": one["refunds"], "disputes": disputes or []}
    return Sale(kind="order", object=one, parts={name: had for name, had in parts.items() if had})


BOUGHT = sale()
SITUATIONS = {
    "a product that no row names": (sale(key="hat"),),
    "a word that nobody knows": (BOUGHT, sale("dreaming")),
    "a dispute is open": (BOUGHT, sale(disputes=[dispute()])),
    "a dispute is lost": (BOUGHT, sale(disputes=[dispute()]), sale(disputes=[dispute("lost")])),
    "bought once": (BOUGHT,),
    "bought once, payment still to come": (sale("authorized"),),
    "bought once, canceled after it was paid": (BOUGHT, sale(cancelled_at=T)),
    "bought once, refunded in full": (BOUGHT, sale("refunded", refunds=[refund()])),
    "bought once, one of three refunded": (BOUGHT, sale("partially_refunded", refunds=[refund(1)])),
    "bought once, part of the price refunded": (BOUGHT, sale("partially_refunded", refunds=[refund(0)])),
}


def event(type_: str, one: Obj, id_: str) -> tuple[bytes, dict[str, str]]:
    body = {"order_edit": {"order_id": 31}} if type_ == "orders/edited" else one
    told = {"x-shopify-topic": type_, "x-shopify-event-id": id_, "x-shopify-triggered-at": "2026-09-21T14:13:20.1Z"}
    return json.dumps(body).encode(), told | {"x-shopify-shop-domain": "cedar.myshopify.com"}


def sign(body: bytes, secret: str, _: float) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"x-shopify-hmac-sha256": base64.b64encode(digest).decode()}


CONTRACT = {"id": 95, "status": "active", "customer_id": 21, "updated_at": T}
CASE = Case(
    module=connectors.shopify,
    shop=SHOPIFY,
    credentials={"access_token": "canary"},
    auth={"X-Shopify-Access-Token": "canary"},
    sign=sign,
    event=event,
    keys=KEYS,
    situations=SITUATIONS,
    samples={"order": order(), "refund": refund(), "dispute": dispute(), "contract": CONTRACT},
    pages="link",
)
