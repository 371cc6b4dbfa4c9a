"""Lemon Squeezy in tests: its objects as docs.lemonsqueezy.com shows them, and what can happen there."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import connectors.lemonsqueezy
from connectors.lemonsqueezy.shop import LEMONSQUEEZY
from tests.shops import Case, Obj, Sale

KEYS = {"pro": "101", "team": "102", "perp": "103", "hat": "999"}
T = "2026-09-01T00:00:00.000000Z"


def sub(status: str = "active", *, variant: str = "pro", quantity: int = 5, **more: Any) -> Obj:
    item = {"id": 1, "subscription_id": 11, "price_id": 7, "quantity": quantity, "is_usage_based": False}
    told: Obj = {"store_id": 3, "customer_id": 21, "order_id": 31, "order_item_id": 41, "product_id": 51}
    told |= {"variant_id": int(KEYS[variant]), "user_name": "Cedar Works", "user_email": "buyer@example.com"}
    told |= {"status": status, "pause": None, "trial_ends_at": None, "ends_at": None}
    told |= {"renews_at": "2027-09-01T00:00:00.000000Z", "created_at": T, "updated_at": T, "test_mode": False}
    return {"type": "subscriptions", "id": "11", "attributes": told | {"first_subscription_item": item} | more}


def invoice(id_: str = "61", status: str = "paid", reason: str = "initial", **more: Any) -> Obj:
    told: Obj = {"store_id": 3, "subscription_id": 11, "customer_id": 21, "billing_reason": reason, "status": status}
    told |= {"total": 999, "refunded": False, "refunded_amount": 0, "created_at": T, "updated_at": T}
    return {"type": "subscription-invoices", "id": id_, "attributes": told | {"test_mode": False} | more}


def order(status: str = "paid", id_: str = "32", **more: Any) -> Obj:
    told: Obj = {"store_id": 3, "customer_id": 21, "user_name": "Cedar Works", "status": status, "total": 999}
    told |= {"refunded": False, "refunded_amount": 0, "created_at": T, "updated_at": T, "test_mode": False}
    return {"type": "orders", "id": id_, "attributes": told | more}


def item(variant: str = "perp", quantity: int = 3, of: int = 32) -> Obj:
    told = {"order_id": of, "product_id": 53, "variant_id": int(KEYS[variant]), "price_id": 8, "quantity": quantity}
    return {"type": "order-items", "id": "42", "attributes": told | {"created_at": T, "updated_at": T}}


def a_sub(status: str = "active", *, invoices: list[Obj] | None = None, of: Obj | None = None, **more: Any) -> Sale:
    parts = {"invoices": [invoice()] if invoices is None else invoices, "order": of or order(id_="31")}
    return Sale(kind="subscription", object=sub(status, **more), parts=parts)


def an_order(status: str = "paid", *, variant: str = "perp", **more: Any) -> Sale:
    return Sale(kind="order", object=order(status, **more), parts={"items": [item(variant)]})


END, LATER = "2027-09-01T00:00:00.000000Z", "2028-09-01T00:00:00.000000Z"
SOLD = a_sub()
TRIAL = a_sub("on_trial", invoices=[], trial_ends_at="2026-09-15T00:00:00.000000Z", renews_at=None)
SECOND = invoice("62", reason="renewal", created_at=END, updated_at=END)
RENEWED = a_sub(renews_at=LATER, invoices=[invoice(), SECOND])
CANCELED = a_sub("cancelled", ends_at=END)
BACK = {"status": "refunded", "refunded": True, "refunded_amount": 999}

SITUATIONS = {
    "sold, told twice": (SOLD, SOLD),
    "a renewal is told before the start": (RENEWED,),
    "trial": (TRIAL,),
    "trial, then paid": (TRIAL, SOLD),
    "seats added within the term": (SOLD, a_sub(quantity=8)),
    "seats taken away": (SOLD, a_sub(quantity=2)),
    "another product": (SOLD, a_sub(variant="team")),
    "canceled for the end of the term": (SOLD, CANCELED),
    "canceled, and undone": (SOLD, CANCELED, SOLD),
    "canceled, then ended": (SOLD, CANCELED, a_sub("expired", ends_at=END)),
    "a payment failed": (SOLD, a_sub("past_due")),
    "a payment failed, then paid": (SOLD, a_sub("past_due"), RENEWED),
    "given up as unpaid": (SOLD, a_sub("unpaid")),
    "paused": (SOLD, a_sub("paused", pause={"mode": "void", "resumes_at": None})),
    "paused, then resumed": (SOLD, a_sub("paused", pause={"mode": "void", "resumes_at": None}), RENEWED),
    "charging is paused, service goes on": (SOLD, a_sub("paused", pause={"mode": "free", "resumes_at": None})),
    "part of the price refunded": (SOLD, a_sub(invoices=[invoice(status="partial_refund", refunded_amount=99)])),
    "the present term refunded": (SOLD, a_sub(invoices=[invoice(**BACK)])),
    "the first order refunded": (SOLD, a_sub(of=order("refunded", "31", refunded=True, refunded_amount=999))),
    "an earlier term refunded": (a_sub(renews_at=LATER, invoices=[invoice(**BACK), SECOND]),),
    "a price of nothing": (a_sub(invoices=[invoice(total=0)]),),
    "a word that nobody knows": (SOLD, a_sub("dreaming")),
    "a product that no row names": (a_sub(variant="hat"),),
    "bought once": (an_order(),),
    "bought once, payment still to come": (an_order("pending"),),
    "bought once, refunded in full": (an_order(), an_order("refunded", refunded=True, refunded_amount=999)),
    "bought once, part of the price refunded": (an_order(), an_order("partial_refund", refunded_amount=99)),
}


def event(type_: str, one: Obj, _: str) -> tuple[bytes, dict[str, str]]:
    body = {"meta": {"event_name": type_, "test_mode": one["attributes"]["test_mode"]}, "data": one}
    return json.dumps(body).encode(), {"x-event-name": type_}


CASE = Case(
    module=connectors.lemonsqueezy,
    shop=LEMONSQUEEZY,
    credentials={"api_key": "canary"},
    auth={"Authorization": "Bearer canary"},
    sign=lambda body, secret, _: {"x-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()},
    event=event,
    keys=KEYS,
    situations=SITUATIONS,
    samples={"subscription": sub(), "order": order(), "invoice": invoice()},
    pages="links.next",
)
