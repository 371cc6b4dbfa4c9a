"""Paddle Billing in tests: its objects as developer.paddle.com shows them, and what can happen there."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import connectors.paddle
from connectors.paddle.shop import PADDLE
from tests.shops import Case, Obj, Sale

KEYS = {"pro": "pri_pro", "team": "pri_team", "perp": "pri_perp", "pack": "pri_pack", "hat": "pri_hat"}
T, END, LATER = "2026-09-01T00:00:00Z", "2027-09-01T00:00:00Z", "2028-09-01T00:00:00Z"
CUSTOMER = {"id": "ctm_1", "name": "Cedar Works", "email": "buyer@example.com", "custom_data": None, "updated_at": T}


def item(key: str = "pro", quantity: int = 5, *, once: bool = False, trial: str | None = None) -> Obj:
    cycle = None if once else {"interval": "year", "frequency": 1}
    price = {"id": KEYS[key], "product_id": f"pro_{key}", "billing_cycle": cycle, "custom_data": None}
    dates = {"trial_dates": {"starts_at": T, "ends_at": trial}} if trial else {}
    return {"price": price, "quantity": quantity, "status": "active", "recurring": not once, **dates}


def sub(status: str = "active", *, items: list[Obj] | None = None, ends: str | None = END, **more: Any) -> Obj:
    period = {"starts_at": T, "ends_at": ends} if ends else None
    known = {"id": "sub_1", "customer_id": "ctm_1", "items": items or [item()], "current_billing_period": period}
    known |= {"status": status, "next_billed_at": ends, "started_at": T, "updated_at": T, "scheduled_change": None}
    return known | {"custom_data": None, "collection_mode": "automatic"} | more


def txn(id_: str = "txn_1", status: str = "completed", *, ends: str | None = END, **more: Any) -> Obj:
    items = more.pop("items", [item()])
    lines = [{"id": f"txnitm_{id_}_{n}", "price_id": one["price"]["id"]} for n, one in enumerate(items)]
    known = {"id": id_, "status": status, "origin": "web", "subscription_id": "sub_1", "customer_id": "ctm_1"}
    known |= {"billing_period": {"starts_at": T, "ends_at": ends} if ends else None, "billed_at": T, "updated_at": T}
    return known | {"items": items, "details": {"line_items": lines}, "custom_data": None} | more


def adj(of: str = "txn_1", action: str = "refund", status: str = "approved", type_: str = "full", **more: Any) -> Obj:
    known = {"id": "adj_1", "action": action, "status": status, "type": type_, "transaction_id": of}
    known |= {"subscription_id": "sub_1", "created_at": T, "updated_at": T}
    return known | {"items": [{"id": "adjitm_1", "item_id": f"txnitm_{of}_0", "type": type_}]} | more


def a_sub(status: str = "active", *adjusted: Obj, paid: list[Obj] | None = None, **more: Any) -> Sale:
    parts: Obj = {"transactions": [txn()] if paid is None else paid, "customer": CUSTOMER}
    return Sale(kind="subscription", object=sub(status, **more), parts=parts | {"adjustments": list(adjusted)})


def once(status: str = "completed", *adjusted: Obj) -> Sale:
    one = txn("txn_9", status, ends=None, items=[item("perp", 3, once=True)], subscription_id=None)
    return Sale(kind="transaction", object=one, parts={"customer": CUSTOMER, "adjustments": list(adjusted)})


def back(*args: str, **more: Any) -> Obj:
    return adj("txn_9", *args, subscription_id=None, **more)


SOLD = a_sub()
TRIAL = a_sub("trialing", paid=[], ends="2026-09-15T00:00:00Z", items=[item(trial="2026-09-15T00:00:00Z")])
SECOND = txn("txn_2", ends=LATER, origin="subscription_recurring", billed_at=END)
RENEWED = a_sub(ends=LATER, paid=[txn(), SECOND])
CANCELED = a_sub(scheduled_change={"action": "cancel", "effective_at": END})
FAILED = a_sub("past_due", ends=LATER)
SETUP = txn(items=[item(), item("perp", 3, once=True)])

SITUATIONS = {
    "sold, told twice": (SOLD, SOLD),
    "a renewal is told before the start": (RENEWED,),
    "trial": (TRIAL,),
    "trial, then paid": (TRIAL, SOLD),
    "seats added within the term": (
        SOLD,
        a_sub(items=[item(quantity=8)], paid=[txn(), txn("txn_3", origin="subscription_update")]),
    ),
    "seats taken away": (SOLD, a_sub(items=[item(quantity=2)])),
    "another product": (SOLD, a_sub(items=[item("team")])),
    "a pack of two more seats": (a_sub(items=[item(), item("pack", 2)]),),
    "canceled for the end of the term": (SOLD, CANCELED),
    "canceled, and undone": (SOLD, CANCELED, SOLD),
    "canceled, then ended": (SOLD, CANCELED, a_sub("canceled", ends=None)),
    "a payment failed": (SOLD, FAILED),
    "a payment failed, then paid": (SOLD, FAILED, RENEWED),
    "paused": (SOLD, a_sub("paused", ends=None)),
    "paused, then resumed": (SOLD, a_sub("paused", ends=None), RENEWED),
    "part of the price refunded": (SOLD, a_sub("active", adj(type_="partial"))),
    "the present term refunded": (SOLD, a_sub("active", adj())),
    "an earlier term refunded": (a_sub("active", adj(), ends=LATER, paid=[txn(), SECOND]),),
    "a refund that waits for approval": (SOLD, a_sub("active", adj(status="pending_approval"))),
    "charged back": (SOLD, a_sub("active", adj(action="chargeback"))),
    "charged back, and won": (
        SOLD,
        a_sub("active", adj(action="chargeback")),
        a_sub("active", adj(action="chargeback"), adj(id="adj_2", action="chargeback_reverse", created_at=END)),
    ),
    "a price of nothing": (a_sub(paid=[txn(details={"totals": {"total": "0"}, "line_items": []})]),),
    "a word that nobody knows": (SOLD, a_sub("dreaming")),
    "a product that no row names": (a_sub(items=[item("hat")]),),
    "bought once beside a subscription": (a_sub(paid=[SETUP]),),
    "bought once": (once(),),
    "bought once, payment still to come": (once("billed"),),
    "bought once, refunded in full": (once(), once("completed", back())),
    "bought once, part of the price refunded": (once(), once("completed", back(type_="partial"))),
}


def event(type_: str, one: Obj, id_: str) -> tuple[bytes, dict[str, str]]:
    known = {"event_id": id_, "event_type": type_, "occurred_at": "2026-09-21T14:13:20Z", "notification_id": "ntf_1"}
    return json.dumps(known | {"data": one}).encode(), {}


def sign(body: bytes, secret: str, at: float) -> dict[str, str]:
    digest = hmac.new(secret.encode(), b"%d:%s" % (int(at), body), hashlib.sha256).hexdigest()
    return {"paddle-signature": f"ts={int(at)};h1={digest}"}


CASE = Case(
    module=connectors.paddle,
    shop=PADDLE,
    credentials={"api_key": "canary"},
    auth={"Authorization": "Bearer canary", "Paddle-Version": "1"},
    sign=sign,
    event=event,
    keys=KEYS,
    situations=SITUATIONS,
    samples={"subscription": sub(), "transaction": txn(), "adjustment": adj(), "customer": CUSTOMER},
    pages="meta.pagination.next",
    tolerance_s=300,
)
