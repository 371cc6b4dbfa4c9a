"""The objects of Stripe's API as the emulator keeps them, how older API versions spell them, and period arithmetic.

Pure: no clock, no randomness, no I/O. Objects are plain JSON in the shape of API version 2026-10-28.endive;
`shaped` gives the spelling of 2020-08-27. Field lists: stripe 16.1.0 (`_subscription.py`, `_invoice.py`,
`_invoice_line_item.py`), read 2026-09-27. Times are Unix seconds, amounts are in minor units.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

Obj: TypeAlias = dict[str, Any]
Shape: TypeAlias = Literal["current", "legacy"]

API_VERSIONS: dict[Shape, str] = {"current": "2026-10-28.endive", "legacy": "2020-08-27"}
DAY = 86_400
EMBEDDED = 10  # lines that an invoice shows by itself


# Periods


def period_end(anchor: int, start: int, recurring: Obj) -> int:
    """The first moment after `start` that lies a whole number of intervals from `anchor`.

    Months keep the anchor's day and clamp to the month's end: Jan 31, Feb 28, Mar 31.
    """
    interval: str = recurring["interval"]
    count: int = recurring["interval_count"]
    if interval in ("day", "week"):
        step = DAY * count * (7 if interval == "week" else 1)
        return anchor + ((start - anchor) // step + 1) * step
    months = count * (12 if interval == "year" else 1)
    first, since = moment(anchor), moment(start)
    times = ((since.year - first.year) * 12 + since.month - first.month) // months - 1
    while (end := plus_months(first, times * months)) <= since:
        times += 1
    return int(end.timestamp())


def plus_months(at: datetime, months: int) -> datetime:
    """`at` moved by `months`, its day clamped to the length of the month it falls in."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)


def moment(timestamp: int) -> datetime:
    """`timestamp` as an aware datetime in UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp)


# Objects


def listed(data: list[Obj], url: str) -> Obj:
    """An embedded list, complete."""
    return {"object": "list", "data": data, "has_more": False, "total_count": len(data), "url": url}


def customer(id_: str, params: Obj, now: int, *, livemode: bool) -> Obj:
    """A customer; `params` as the API takes them."""
    return {
        "id": id_,
        "object": "customer",
        "address": params.get("address"),
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "email": params.get("email"),
        "invoice_prefix": id_[-8:].upper(),
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def product(id_: str, params: Obj, now: int, *, livemode: bool) -> Obj:
    """A product."""
    return {
        "id": id_,
        "object": "product",
        "active": params.get("active", "true") == "true",
        "attributes": [],
        "created": now,
        "default_price": None,
        "description": params.get("description"),
        "images": [],
        "livemode": livemode,
        "marketing_features": [],
        "metadata": params.get("metadata") or {},
        "name": params["name"],
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": params.get("unit_label"),
        "updated": now,
        "url": None,
    }


def price(id_: str, params: Obj, product_id: str, now: int, *, livemode: bool) -> Obj:
    """A price; recurring where `params` say so."""
    amount = int(params.get("unit_amount") or 0)
    wanted = params.get("recurring")
    recurring = wanted and {
        "interval": wanted["interval"],
        "interval_count": int(wanted.get("interval_count", 1)),
        "meter": wanted.get("meter"),
        "trial_period_days": None,
        "usage_type": wanted.get("usage_type", "licensed"),
    }
    return {
        "id": id_,
        "object": "price",
        "active": params.get("active", "true") == "true",
        "billing_scheme": "per_unit",
        "created": now,
        "currency": params.get("currency", "usd"),
        "custom_unit_amount": None,
        "livemode": livemode,
        "lookup_key": params.get("lookup_key"),
        "metadata": params.get("metadata") or {},
        "nickname": params.get("nickname"),
        "product": product_id,
        "recurring": recurring or None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def subscription(id_: str, params: Obj, currency: str, now: int, *, livemode: bool) -> Obj:
    """A subscription without items; status and dates are for the caller to set."""
    mode = (params.get("billing_mode") or {}).get("type", "flexible")  # default since 2025-09-30.clover
    return {
        "id": id_,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": None, "type": mode},
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": params.get("collection_method", "charge_automatically"),
        "created": now,
        "currency": currency,
        "customer": params["customer"],
        "customer_account": None,
        "days_until_due": int(params["days_until_due"]) if params.get("days_until_due") else None,
        "default_payment_method": params.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": [],
        "description": params.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listed([], f"/v1/subscription_items?subscription={id_}"),
        "latest_invoice": None,
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": params.get("trial_settings")
        or {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
    }


def item(id_: str, subscription_id: str, of_price: Obj, params: Obj, period: tuple[int, int], now: int) -> Obj:
    """A subscription item. Its quantity is null for a metered price."""
    metered = of_price["recurring"]["usage_type"] == "metered"
    return {
        "id": id_,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": params.get("metadata") or {},
        "price": of_price,
        "quantity": None if metered else int(params.get("quantity", 1)),
        "subscription": subscription_id,
        "tax_rates": [],
    }


def line(
    id_: str,
    of_item: Obj,
    amount: int,
    period: tuple[int, int],
    *,
    invoice_item: str | None = None,
    classic: bool = False,
) -> Obj:
    """An invoice line for a subscription item; with `invoice_item` it is a proration.

    A proration's parent is the invoice item on classic billing and the subscription item on flexible billing
    (inferred from the two variants in stripe 16.1.0 `_invoice_line_item.py`).
    """
    unit = of_item["price"]
    parent: Obj = {
        "invoice_item": invoice_item,
        "proration": invoice_item is not None,
        "proration_details": {"credited_items": None},
        "subscription": of_item["subscription"],
    }
    kind = "invoice_item_details" if invoice_item and classic else "subscription_item_details"
    if kind == "subscription_item_details":
        parent["subscription_item"] = of_item["id"]
    details = {"invoice_item_details": None, "subscription_item_details": None, kind: parent, "type": kind}
    return {
        "id": id_,
        "object": "line_item",
        "amount": amount,
        "currency": unit["currency"],
        "description": f"{of_item['quantity']} × {unit['nickname'] or unit['lookup_key'] or unit['id']}",
        "discount_amounts": [],
        "discountable": invoice_item is None,
        "discounts": [],
        "invoice": None,
        "livemode": unit["livemode"],
        "metadata": dict(of_item["metadata"]),
        "parent": details,
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": unit["id"], "product": unit["product"]},
            "type": "price_details",
            "unit_amount_decimal": unit["unit_amount_decimal"],
        },
        "quantity": of_item["quantity"],
        "quantity_decimal": None if of_item["quantity"] is None else str(of_item["quantity"]),
        "subscription": of_item["subscription"],
        "subtotal": amount,
        "taxes": [],
        "_price": unit,
    }


def invoice(id_: str, sub: Obj, lines: list[Obj], reason: str, buyer: Obj, now: int) -> Obj:
    """A draft invoice of a subscription. A negative sum is nothing to pay (the credit goes to the balance)."""
    total = sum(each["amount"] for each in lines)
    due = max(total, 0)
    return {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox seller",
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": sub["collection_method"],
        "created": now,
        "currency": sub["currency"],
        "custom_fields": None,
        "customer": sub["customer"],
        "customer_email": buyer.get("email"),
        "customer_name": buyer.get("name"),
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listed([{**each, "invoice": id_} for each in lines], f"/v1/invoices/{id_}/lines"),
        "livemode": sub["livemode"],
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": dict(sub["metadata"]), "subscription": sub["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


def payment_intent(
    id_: str, amount: int, currency: str, buyer: str | None, now: int, *, ok: bool, livemode: bool
) -> Obj:
    """A payment intent after its attempt."""
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount if ok else 0,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": buyer,
        "description": None,
        "last_payment_error": None if ok else {"code": "card_declined", "type": "card_error"},
        "latest_charge": None,
        "livemode": livemode,
        "metadata": {},
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "succeeded" if ok else "requires_payment_method",
    }


def charge(id_: str, intent: Obj, now: int) -> Obj:
    """The charge of a payment intent's attempt."""
    ok = intent["status"] == "succeeded"
    return {
        "id": id_,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount_received"],
        "amount_refunded": 0,
        "captured": ok,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "disputed": False,
        "failure_code": None if ok else "card_declined",
        "failure_message": None if ok else "Your card was declined.",
        "livemode": intent["livemode"],
        "metadata": {},
        "paid": ok,
        "payment_intent": intent["id"],
        "refunded": False,
        "status": "succeeded" if ok else "failed",
    }


def invoice_payment(id_: str, of_invoice: Obj, intent: Obj, now: int) -> Obj:
    """What ties an invoice to the payment intent that paid it (since 2025-03-31.basil the only tie)."""
    return {
        "id": id_,
        "object": "invoice_payment",
        "amount_paid": intent["amount_received"],
        "amount_requested": intent["amount"],
        "created": now,
        "currency": intent["currency"],
        "invoice": of_invoice["id"],
        "is_default": True,
        "livemode": intent["livemode"],
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": now},
    }


def refund(id_: str, of_charge: Obj, amount: int, params: Obj, now: int) -> Obj:
    """A refund that succeeded."""
    return {
        "id": id_,
        "object": "refund",
        "amount": amount,
        "charge": of_charge["id"],
        "created": now,
        "currency": of_charge["currency"],
        "metadata": params.get("metadata") or {},
        "payment_intent": of_charge["payment_intent"],
        "reason": params.get("reason"),
        "status": "succeeded",
    }


def session(id_: str, params: Obj, lines: list[Obj], now: int, *, livemode: bool) -> Obj:
    """An open checkout session. Its line items are kept under `_lines`: the API shows them only when asked."""
    total = sum(each["amount_total"] for each in lines)
    return {
        "id": id_,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": lines[0]["currency"],
        "customer": params.get("customer"),
        "customer_creation": "if_required",
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "expires_at": now + DAY,
        "invoice": None,
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "mode": params["mode"],
        "payment_intent": None,
        "payment_status": "unpaid",
        "status": "open",
        "subscription": None,
        "success_url": params.get("success_url"),
        "url": f"https://checkout.stripe.test/c/pay/{id_}",
        "_lines": lines,
        "_subscription_data": params.get("subscription_data") or {},
    }


def session_line(id_: str, of_price: Obj, quantity: int) -> Obj:
    """A line of a checkout session."""
    total = of_price["unit_amount"] * quantity
    return {
        "id": id_,
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": of_price["currency"],
        "description": of_price["nickname"] or of_price["id"],
        "price": of_price,
        "quantity": quantity,
    }


# Shapes


def shaped(value: Obj, shape: Shape) -> Obj:
    """`value` as this shape of the API spells it. Shares parts with `value`: for reading only.

    Keys that begin with `_` are the emulator's own notes and never leave it.
    """
    if value.get("deleted"):
        return value
    if shape == "legacy" and (older := _OLDER.get(value["object"])):
        value = older(value)
    match value["object"]:
        case "invoice":
            return _shown(value) | {"lines": _first_lines(value["lines"], shape)}
        case "charge" | "payment_intent" | "checkout.session":
            return _shown(value)
    return value


def shaped_lines(lines: list[Obj], shape: Shape) -> list[Obj]:
    """Invoice lines as this shape of the API spells them."""
    return [_shown(_older_line(each) if shape == "legacy" else each) for each in lines]


def _first_lines(lines: Obj, shape: Shape) -> Obj:
    """An invoice carries its first lines only; the rest is for `GET /v1/invoices/{id}/lines`."""
    data = lines["data"]
    return lines | {"data": shaped_lines(data[:EMBEDDED], shape), "has_more": len(data) > EMBEDDED}


def _shown(value: Obj) -> Obj:
    return {key: part for key, part in value.items() if not key.startswith("_")}


def _without(value: Obj, names: Iterable[str]) -> Obj:
    gone = set(names)
    return {key: part for key, part in value.items() if key not in gone}


def _older_subscription(value: Obj) -> Obj:
    items = value["items"]["data"]
    single = _older_item(items[0]) if len(items) == 1 else {}
    return _without(value, ("billing_mode", "customer_account")) | {
        # 2020-08-27 knew one period; with several items all of them shared it
        "current_period_start": min(each["current_period_start"] for each in items),
        "current_period_end": min(each["current_period_end"] for each in items),
        "items": value["items"] | {"data": [_older_item(each) for each in items]},
        "plan": single.get("plan"),
        "quantity": single.get("quantity"),
    }


def _older_item(value: Obj) -> Obj:
    return _without(value, ("current_period_start", "current_period_end")) | {"plan": plan(value["price"])}


def _older_invoice(value: Obj) -> Obj:
    details = value["parent"]["subscription_details"]
    return _without(value, ("parent", "amount_overpaid", "amount_paid_off_stripe", "total_taxes")) | {
        "charge": value.get("_charge"),
        "paid": value["status"] == "paid",
        "paid_out_of_band": value.get("_out_of_band", False),
        "payment_intent": value.get("_payment_intent"),
        "subscription": details["subscription"],
        "subscription_details": {"metadata": details["metadata"]},
        "tax": None,
    }


def _older_line(value: Obj) -> Obj:
    parent = value["parent"][value["parent"]["type"]]
    unit = value["_price"]
    return _without(value, ("parent", "pricing", "taxes", "subtotal", "quantity_decimal")) | {
        "amount_excluding_tax": value["amount"],
        "invoice_item": parent["invoice_item"],
        "plan": plan(unit),
        "price": unit,
        "proration": parent["proration"],
        "subscription": parent["subscription"],
        "subscription_item": parent.get("subscription_item"),
        "type": "invoiceitem" if parent["invoice_item"] else "subscription",
    }


def _older_charge(value: Obj) -> Obj:
    return value | {"invoice": value.get("_invoice")}


def plan(of_price: Obj) -> Obj:
    """The plan that stood beside a price until 2025."""
    recurring = of_price["recurring"] or {}
    return {
        "id": of_price["id"],
        "object": "plan",
        "active": of_price["active"],
        "aggregate_usage": None,
        "amount": of_price["unit_amount"],
        "amount_decimal": of_price["unit_amount_decimal"],
        "billing_scheme": of_price["billing_scheme"],
        "created": of_price["created"],
        "currency": of_price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": of_price["livemode"],
        "metadata": of_price["metadata"],
        "nickname": of_price["nickname"],
        "product": of_price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring.get("usage_type"),
    }


_OLDER: dict[str, Callable[[Obj], Obj]] = {
    "subscription": _older_subscription,
    "subscription_item": _older_item,
    "invoice": _older_invoice,
    "charge": _older_charge,
    "payment_intent": _older_charge,
}


def differences(before: Obj, after: Obj) -> Obj:
    """What `previous_attributes` says: old values of the fields that changed, hashes in part, arrays whole."""
    changed: Obj = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        changed[key] = differences(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return changed
