"""Chargebee in tests: its objects as apidocs.chargebee.com shows them, and what can happen there."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import connectors.chargebee
from connectors.chargebee.shop import CHARGEBEE
from tests.shops import Case, Obj, Sale

KEYS = {"pro": "pro-yearly", "team": "team-yearly", "perp": "perp-once", "pack": "pack-yearly", "hat": "hat"}


def at(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())


T, END, LATER = at("2026-09-01"), at("2027-09-01"), at("2028-09-01")
CUSTOMER = {"id": "cus_1", "company": "Cedar Works", "email": "buyer@example.com", "resource_version": 1}


def item(key: str = "pro", quantity: int = 5, type_: str = "plan") -> Obj:
    return {"item_price_id": KEYS[key], "item_type": type_, "quantity": quantity, "unit_price": 100}


def sub(status: str = "active", *, items: list[Obj] | None = None, ends: int = END, **more: Any) -> Obj:
    known: Obj = {"id": "sub_1", "customer_id": "cus_1", "status": status, "created_at": T, "resource_version": 5}
    known |= {"current_term_start": T, "current_term_end": ends, "due_invoices_count": 0}
    return known | {"subscription_items": items or [item()], "object": "subscription"} | more


def line(key: str = "pro", quantity: int = 5, *, ends: int = END, type_: str = "plan_item_price") -> Obj:
    dates = {"date_from": T, "date_to": ends}
    return {"id": f"li_{key}", "entity_type": type_, "entity_id": KEYS[key], "quantity": quantity} | dates


def invoice(id_: str = "1", status: str = "paid", *, lines: list[Obj] | None = None, **more: Any) -> Obj:
    known: Obj = {"id": id_, "status": status, "customer_id": "cus_1", "subscription_id": "sub_1", "recurring": True}
    known |= {"total": 500, "date": T, "resource_version": 5, "object": "invoice"}
    return known | {"line_items": lines or [line()]} | more


def note(of: str = "1", total: int = 500, status: str = "refunded", **more: Any) -> Obj:
    known: Obj = {"id": "CN-1", "status": status, "type": "refundable", "reference_invoice_id": of, "total": total}
    return known | {"subscription_id": "sub_1", "resource_version": 5} | more


def a_sub(status: str = "active", *notes: Obj, invoices: list[Obj] | None = None, **more: Any) -> Sale:
    parts: Obj = {"invoices": [invoice()] if invoices is None else invoices, "customer": CUSTOMER}
    return Sale(kind="subscription", object=sub(status, **more), parts=parts | {"credit_notes": list(notes)})


def once(status: str = "paid", *notes: Obj) -> Sale:
    lines = [line("perp", 3, type_="charge_item_price")]
    one = invoice("9", status, lines=lines, subscription_id=None, recurring=False)
    return Sale(kind="invoice", object=one, parts={"customer": CUSTOMER, "credit_notes": list(notes)})


def back(**more: Any) -> Obj:
    return note("9", subscription_id=None, **more)


SOLD = a_sub()
TRIAL = a_sub("in_trial", invoices=[], trial_end=at("2026-09-15"), current_term_end=None)
SECOND = invoice("2", lines=[line(ends=LATER)])
RENEWED = a_sub(ends=LATER, invoices=[invoice(), SECOND])
CANCELED = a_sub("non_renewing", cancelled_at=END)
DUE = {"due_invoices_count": 1, "total_dues": 500, "ends": LATER}
FAILED = a_sub(invoices=[invoice(), invoice("2", "payment_due", lines=[line(ends=LATER)])], **DUE)

SITUATIONS = {
    "sold, told twice": (SOLD, SOLD),
    "a renewal is told before the start": (RENEWED,),
    "trial": (TRIAL,),
    "trial, then paid": (TRIAL, SOLD),
    "seats added within the term": (SOLD, a_sub(items=[item(quantity=8)])),
    "seats taken away": (SOLD, a_sub(items=[item(quantity=2)])),
    "another product": (SOLD, a_sub(items=[item("team")])),
    "a pack of two more seats": (a_sub(items=[item(), item("pack", 2, "addon")]),),
    "canceled for the end of the term": (SOLD, CANCELED),
    "canceled, and undone": (SOLD, CANCELED, SOLD),
    "canceled, then ended": (SOLD, CANCELED, a_sub("cancelled", cancelled_at=END)),
    "a payment failed": (SOLD, FAILED),
    "a payment failed, then paid": (SOLD, FAILED, RENEWED),
    "paused": (SOLD, a_sub("paused")),
    "paused, then resumed": (SOLD, a_sub("paused"), RENEWED),
    "part of the price refunded": (SOLD, a_sub("active", note(total=99))),
    "the present term refunded": (SOLD, a_sub("active", note())),
    "an earlier term refunded": (a_sub("active", note(), ends=LATER, invoices=[invoice(), SECOND]),),
    "a refund that waits for approval": (SOLD, a_sub("active", note(status="voided"))),
    "a price of nothing": (a_sub(invoices=[invoice(total=0)]),),
    "a word that nobody knows": (SOLD, a_sub("dreaming")),
    "a product that no row names": (a_sub(items=[item("hat")]),),
    "bought once": (once(),),
    "bought once, payment still to come": (once("payment_due"),),
    "bought once, canceled after it was paid": (once(), once("voided")),
    "bought once, refunded in full": (once(), once("paid", back())),
    "bought once, part of the price refunded": (once(), once("paid", back(total=99))),
}


def event(type_: str, one: Obj, id_: str) -> tuple[bytes, dict[str, str]]:
    kinds = {"subscription_items": "subscription", "line_items": "invoice", "reference_invoice_id": "credit_note"}
    kind = next((kind for name, kind in kinds.items() if name in one), "customer")
    content = {kind: one}
    known = {"id": id_, "occurred_at": 1_790_000_000, "event_type": type_, "object": "event", "api_version": "v2"}
    return json.dumps(known | {"content": content, "webhook_status": "scheduled"}).encode(), {}


def sign(_: bytes, secret: str, __: float) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


CASE = Case(
    module=connectors.chargebee,
    shop=CHARGEBEE,
    credentials={"api_key": "canary"},
    auth={"Authorization": f"Basic {base64.b64encode(b'canary:').decode()}"},
    sign=sign,
    event=event,
    keys=KEYS,
    situations=SITUATIONS,
    samples={"subscription": sub(), "invoice": invoice(), "credit_note": note(), "customer": CUSTOMER},
    pages="next_offset",
    secret_of=lambda one: f"hook:{one}:x",
    covers_body=False,
)
