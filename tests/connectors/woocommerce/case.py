"""WooCommerce in tests: its objects as developer.woocommerce.com shows them, and what can happen there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import connectors.woocommerce
from connectors.woocommerce.shop import WOOCOMMERCE
from tests.shops import Case, Obj, Sale

KEYS = {"pro": "101", "team": "102", "perp": "103", "pack": "104", "hat": "999"}
T, END, LATER = "2026-09-01T00:00:00", "2027-09-01T00:00:00", "2028-09-01T00:00:00"
BUYER = {"customer_id": 21, "billing": {"company": "Cedar Works", "first_name": "Ada", "email": "buyer@example.com"}}


def item(key: str = "pro", quantity: int = 5, id_: int = 41) -> Obj:
    return {
        "id": id_,
        "product_id": int(KEYS[key]),
        "variation_id": 0,
        "sku": "",
        "quantity": quantity,
        "meta_data": [],
    }


def sub(status: str = "active", *, items: list[Obj] | None = None, next_: str = END, **more: Any) -> Obj:
    known: Obj = {"id": 11, "parent_id": 31, "status": status, "date_modified_gmt": T, "start_date_gmt": T}
    known |= {"next_payment_date_gmt": next_, "trial_end_date_gmt": "", "end_date_gmt": "", "meta_data": []}
    return known | {"last_payment_date_gmt": T, "line_items": items or [item()]} | BUYER | more


def order(status: str = "completed", *, refunds: list[int] | None = None, key: str = "perp", **more: Any) -> Obj:
    known: Obj = {"id": 32, "parent_id": 0, "status": status, "date_created_gmt": T, "date_modified_gmt": T}
    known |= {"date_paid_gmt": T, "meta_data": [], "refunds": [{"id": one, "total": "-9.00"} for one in refunds or []]}
    return known | {"line_items": [item(key, 3, 42)]} | BUYER | more


def refund(quantity: int, id_: int = 61) -> Obj:
    meta = [{"id": 1, "key": "_refunded_item_id", "value": "42"}]
    line = {"id": 43, "product_id": 103, "quantity": -quantity, "meta_data": meta}
    return {"id": id_, "parent_id": 32, "date_created_gmt": T, "line_items": [line] if quantity else []}


def a_sub(status: str = "active", **more: Any) -> Sale:
    return Sale(kind="subscription", object=sub(status, **more))


def once(status: str = "completed", *given_back: Obj, **more: Any) -> Sale:
    one = order(status, refunds=[had["id"] for had in given_back], **more)
    return Sale(kind="order", object=one, parts={"refunds": list(given_back)} if given_back else {})


SOLD, RENEWED = a_sub(), a_sub(next_=LATER)
TRIAL = a_sub(next_="2026-09-15T00:00:00", trial_end_date_gmt="2026-09-15T00:00:00")
CANCELED = a_sub("pending-cancel", next_="", end_date_gmt=END)
FAILED = a_sub("on-hold")

SITUATIONS = {
    "sold, told twice": (SOLD, SOLD),
    "a renewal is told before the start": (RENEWED,),
    "trial": (TRIAL,),
    "trial, then paid": (TRIAL, SOLD),
    "seats added within the term": (SOLD, a_sub(items=[item(quantity=8)])),
    "seats taken away": (SOLD, a_sub(items=[item(quantity=2)])),
    "another product": (SOLD, a_sub(items=[item("team")])),
    "a pack of two more seats": (a_sub(items=[item(), item("pack", 2, 44)]),),
    "canceled for the end of the term": (SOLD, CANCELED),
    "canceled, and undone": (SOLD, CANCELED, SOLD),
    "canceled, then ended": (SOLD, CANCELED, a_sub("cancelled", next_="", end_date_gmt=END)),
    "a payment failed": (SOLD, FAILED),
    "a payment failed, then paid": (SOLD, FAILED, RENEWED),
    "a word that nobody knows": (SOLD, a_sub("dreaming")),
    "a product that no row names": (a_sub(items=[item("hat")]),),
    "bought once": (once(),),
    "bought once, payment still to come": (once("on-hold"),),
    "bought once, canceled after it was paid": (once(), once("cancelled")),
    "bought once, refunded in full": (once(), once("refunded", refund(3))),
    "bought once, one of three refunded": (once(), once("completed", refund(1))),
    "bought once, part of the price refunded": (once(), once("completed", refund(0))),
}


def event(type_: str, one: Obj, _: str) -> tuple[bytes, dict[str, str]]:
    told = {"x-wc-webhook-topic": type_, "x-wc-webhook-source": "https://cedar.example.com/"}
    return json.dumps(one).encode(), told


def sign(body: bytes, secret: str, _: float) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"x-wc-webhook-signature": base64.b64encode(digest).decode()}


CASE = Case(
    module=connectors.woocommerce,
    shop=WOOCOMMERCE,
    credentials={"consumer_key": "canary", "consumer_secret": "canary"},
    auth={"Authorization": f"Basic {base64.b64encode(b'canary:canary').decode()}"},
    sign=sign,
    event=event,
    keys=KEYS,
    situations=SITUATIONS,
    samples={"subscription": sub(), "order": order(), "refund": refund(1)},
    pages="link",
)
