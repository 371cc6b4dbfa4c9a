"""The objects of Stripe's API as the emulator keeps them, and period arithmetic.

Pure: no clock, no randomness, no I/O. Objects are plain JSON in the shape of API version 2026-10-28.endive;
`emulator_shapes` spells them as 2020-08-27 did. Field lists: stripe 16.1.0 (`_subscription.py`, `_invoice.py`,
`_invoice_line_item.py`), read 2026-09-27. Times are Unix seconds, amounts are in minor units.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]

DAY = 86_400


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
        "currency": params.get("currency", "usd").lower(),
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
        "billing_schedules": [],
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
        "start_date": int(params.get("backdate_start_date") or now),
        "status": "incomplete",
        "status_details": None,
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
    quantity: int | None = None,
    invoice_item: str | None = None,
    classic: bool = False,
) -> Obj:
    """An invoice line for a subscription item; with `invoice_item` it is a proration.

    A proration's parent is the invoice item on classic billing and the subscription item on flexible billing
    (inferred from the two variants in stripe 16.1.0 `_invoice_line_item.py`).
    """
    parent: Obj = {
        "invoice_item": invoice_item,
        "proration": invoice_item is not None,
        "proration_details": {"credited_items": None},
        "subscription": of_item["subscription"],
    }
    kind = "invoice_item_details" if invoice_item and classic else "subscription_item_details"
    if kind == "subscription_item_details":
        parent["subscription_item"] = of_item["id"]
    count = of_item["quantity"] if quantity is None else quantity
    made = _line(id_, of_item["price"], amount, count, period, (kind, parent))
    return made | {"discountable": invoice_item is None, "metadata": dict(of_item["metadata"])}


def one_off_line(
    id_: str, of_price: Obj, quantity: int, subscription_id: str | None, invoice_item: str, now: int
) -> Obj:
    """An invoice line for something sold once, alone or beside a subscription; it has no period to speak of."""
    parent: Obj = {
        "invoice_item": invoice_item,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription_id,
    }
    amount = of_price["unit_amount"] * quantity
    return _line(id_, of_price, amount, quantity, (now, now), ("invoice_item_details", parent))


def _line(
    id_: str, unit: Obj, amount: int, quantity: int | None, period: tuple[int, int], parent: tuple[str, Obj]
) -> Obj:
    kind, details = parent
    return {
        "id": id_,
        "object": "line_item",
        "amount": amount,
        "currency": unit["currency"],
        "description": f"{quantity} × {unit['nickname'] or unit['lookup_key'] or unit['id']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": unit["livemode"],
        "metadata": {},
        "parent": {"invoice_item_details": None, "subscription_item_details": None, kind: details, "type": kind},
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": unit["id"], "product": unit["product"]},
            "type": "price_details",
            "unit_amount_decimal": unit["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": None if quantity is None else str(quantity),
        "subscription": details["subscription"],
        "subtotal": amount,
        "taxes": [],
        "_price": unit,
    }


def invoice_sums(lines: list[Obj]) -> Obj:
    """What a draft with these lines asks for. A negative sum is nothing to pay (the credit goes to the balance)."""
    total = sum(each["amount"] for each in lines)
    due = max(total, 0)
    return {
        "amount_due": due,
        "amount_remaining": due,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }


def invoice(id_: str, sub: Obj | None, lines: list[Obj], reason: str, buyer: Obj, now: int) -> Obj:
    """A draft invoice of a subscription, or (None) of a sale of its own."""
    sent = sub is not None and sub["collection_method"] == "send_invoice"
    return {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox seller",
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
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
        "collection_method": "send_invoice" if sent else "charge_automatically",
        "created": now,
        "currency": sub["currency"] if sub else lines[0]["currency"] if lines else "usd",
        "custom_fields": None,
        "customer": buyer["id"],
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
        "livemode": buyer["livemode"],
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": sub
        and {
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
        "test_clock": None,
        "total_discount_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
        **invoice_sums(lines),
        "_charge": None,
        "_days_until_due": sub["days_until_due"] if sub else None,
        "_out_of_band": False,
        "_payment_intent": None,
    }


def payment_intent(
    id_: str, amount: int, currency: str, buyer: str | None, metadata: Obj, now: int, *, livemode: bool
) -> Obj:
    """A payment intent that nobody has tried to pay."""
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "application": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": buyer,
        "customer_account": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": livemode,
        "metadata": dict(metadata),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "status": "requires_payment_method",
    }


def charge(id_: str, intent: Obj, payer: Obj, now: int) -> Obj:
    """The charge of a payment intent's attempt, pending; `payer` has email and name."""
    return {
        "id": id_,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": None,
        "billing_details": {"address": None, "email": payer.get("email"), "name": payer.get("name"), "phone": None},
        "captured": False,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": intent["livemode"],
        "metadata": dict(intent["metadata"]),
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "receipt_email": payer.get("email"),
        "refunded": False,
        "status": "pending",
        "_dispute": None,
        "_refunds": [],
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
    """A refund that succeeded. It may still fail: the buyer's bank can send the money back."""
    return {
        "id": id_,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": of_charge["id"],
        "created": now,
        "currency": of_charge["currency"],
        "customer": of_charge["customer"],
        "customer_account": None,
        "destination_details": None,
        "metadata": params.get("metadata") or {},
        "payment_intent": of_charge["payment_intent"],
        "reason": params.get("reason") or None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(id_: str, of_charge: Obj, amount: int, status: str, reason: str, now: int) -> Obj:
    """A chargeback, or (`warning_...`) an inquiry."""
    return {
        "id": id_,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": of_charge["id"],
        "created": now,
        "currency": of_charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now + 9 * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": status.startswith("warning_"),
        "livemode": of_charge["livemode"],
        "metadata": {},
        "network_reason_code": None,
        "payment_intent": of_charge["payment_intent"],
        "payment_method_details": None,
        "reason": reason,
        "status": status,
    }


def early_fraud_warning(id_: str, of_charge: Obj, fraud_type: str, now: int) -> Obj:
    """The card network's early word of fraud. Actionable: neither refunded nor disputed so far."""
    return {
        "id": id_,
        "object": "radar.early_fraud_warning",
        "actionable": not of_charge["refunded"] and not of_charge["disputed"],
        "charge": of_charge["id"],
        "created": now,
        "fraud_type": fraud_type,
        "livemode": of_charge["livemode"],
        "payment_intent": of_charge["payment_intent"],
    }


def credit_note(id_: str, of_invoice: Obj, lines: list[Obj], params: Obj, now: int) -> Obj:
    """An issued credit note; how its total is settled is for the caller to set."""
    total = sum(each["amount"] for each in lines)
    return {
        "id": id_,
        "object": "credit_note",
        "amount": total,
        "amount_shipping": 0,
        "created": now,
        "currency": of_invoice["currency"],
        "customer": of_invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": now,
        "invoice": of_invoice["id"],
        "lines": listed(lines, f"/v1/credit_notes/{id_}/lines"),
        "livemode": of_invoice["livemode"],
        "memo": params.get("memo"),
        "metadata": params.get("metadata") or {},
        "number": f"{of_invoice['number']}-CN",
        "out_of_band_amount": None,
        "pdf": f"https://pay.stripe.test/credit_notes/{id_}/pdf",
        "post_payment_amount": 0,
        "pre_payment_amount": 0,
        "pretax_credit_amounts": [],
        "reason": params.get("reason"),
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
        "total_taxes": [],
        "type": "post_payment",
        "voided_at": None,
    }


def credit_note_line(id_: str, amount: int, quantity: int | None, params: Obj, *, livemode: bool) -> Obj:
    """A line of a credit note. Its quantity is null where only an amount was given."""
    unit = None if not quantity else amount // quantity
    return {
        "id": id_,
        "object": "credit_note_line_item",
        "amount": amount,
        "description": params.get("description"),
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": params.get("invoice_line_item"),
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": [],
        "type": params["type"],
        "unit_amount": unit,
        "unit_amount_decimal": None if unit is None else str(unit),
    }


def session(id_: str, params: Obj, lines: list[Obj], now: int, *, livemode: bool) -> Obj:
    """An open checkout session. Its line items are kept under `_lines`: the API shows them only when asked."""
    total = sum(each["amount_total"] for each in lines)
    invoicing = (params.get("invoice_creation") or {}).get("enabled") == "true"
    buys_once = params["mode"] == "payment"
    return {
        "id": id_,
        "object": "checkout.session",
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": lines[0]["currency"],
        "custom_fields": [],
        "customer": params.get("customer"),
        "customer_account": None,
        "customer_creation": params.get("customer_creation", "if_required") if buys_once else None,
        "customer_details": None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": int(params.get("expires_at") or now + DAY),
        "invoice": None,
        "invoice_creation": {"enabled": invoicing, "invoice_data": {"metadata": {}}} if buys_once else None,
        "livemode": livemode,
        "locale": None,
        "metadata": params.get("metadata") or {},
        "mode": params["mode"],
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": None if buys_once else "always",
        "payment_method_types": params.get("payment_method_types") or ["card"],
        "payment_status": "unpaid",
        "recovered_from": None,
        "setup_intent": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "subscription": None,
        "success_url": params.get("success_url"),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"https://checkout.stripe.test/c/pay/{id_}",
        "_lines": lines,
        "_payment_intent_data": params.get("payment_intent_data") or {},
        "_subscription_data": params.get("subscription_data") or {},
    }


def schedule(id_: str, customer_id: str, params: Obj, phases: list[Obj], now: int, *, livemode: bool) -> Obj:
    """A subscription schedule that has not started."""
    return {
        "id": id_,
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "flexible"},
        "canceled_at": None,
        "completed_at": None,
        "created": now,
        "current_phase": None,
        "customer": customer_id,
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": None,
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": params.get("end_behavior", "release"),
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "pause_schedules": [],
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
    }


def phase(start: int, end: int, items: list[Obj], params: Obj, currency: str) -> Obj:
    """A phase of a schedule; `items` as `phase_item` makes them."""
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": params.get("billing_cycle_anchor"),
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": items,
        "metadata": params.get("metadata") or {},
        "on_behalf_of": None,
        "proration_behavior": params.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    }


def phase_item(price_id: str, quantity: int | None, metadata: Obj) -> Obj:
    """What a phase sells: prices stay ids here."""
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": metadata,
        "plan": price_id,
        "price": price_id,
        "quantity": quantity,
        "tax_rates": [],
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


def payment_method(id_: str, type_: str, test: str, params: Obj, now: int, *, livemode: bool) -> Obj:
    """A means of payment that is nobody's; `test` says which of Stripe's test cards or accounts it is."""
    billing = params.get("billing_details") or {}
    card = {"brand": "visa", "country": "US", "exp_month": 12, "exp_year": 2034, "funding": "credit", "last4": "4242"}
    debit = {"bank_code": test[4:9], "branch_code": "", "country": test[:2], "last4": test[-4:]}
    return {
        "id": id_,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {name: billing.get(name) for name in ("address", "email", "name", "phone")},
        "created": now,
        "customer": None,
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "type": type_,
        type_: card if type_ == "card" else debit,
        "_test": test,
    }


def invoice_item(id_: str, buyer: Obj, of_price: Obj, quantity: int, params: Obj, now: int) -> Obj:
    """Something to bill by hand, on no invoice so far."""
    amount = of_price["unit_amount"] * quantity
    return {
        "id": id_,
        "object": "invoiceitem",
        "amount": amount,
        "currency": of_price["currency"],
        "customer": buyer["id"],
        "customer_account": None,
        "date": now,
        "description": params.get("description"),
        "discountable": params.get("discountable", "true") == "true",
        "discounts": [],
        "invoice": None,
        "livemode": buyer["livemode"],
        "metadata": params.get("metadata") or {},
        "net_amount": amount,
        "parent": None,
        "period": {"end": now, "start": now},
        "pricing": {
            "price_details": {"price": of_price["id"], "product": of_price["product"]},
            "type": "price_details",
            "unit_amount_decimal": of_price["unit_amount_decimal"],
        },
        "proration": False,
        "proration_details": None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": None,
        "_price": of_price,
    }


def quote(id_: str, params: Obj, lines: list[Obj], now: int, *, livemode: bool) -> Obj:
    """A draft of a quote, good for 30 days. Its line items are kept under `_lines`, as a session's."""
    total = sum(each["amount_total"] for each in lines)
    given = params.get("subscription_data") or {}
    return {
        "id": id_,
        "object": "quote",
        "amount_subtotal": total,
        "amount_total": total,
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "collection_method": params.get("collection_method", "charge_automatically"),
        "created": now,
        "currency": lines[0]["currency"] if lines else None,
        "customer": params.get("customer"),
        "customer_account": None,
        "default_tax_rates": [],
        "description": params.get("description"),
        "discounts": [],
        "expires_at": int(params.get("expires_at") or now + 30 * DAY),
        "footer": params.get("footer"),
        "from_quote": None,
        "header": params.get("header"),
        "invoice": None,
        "invoice_settings": {"days_until_due": None, "issuer": {"type": "self"}},
        "livemode": livemode,
        "metadata": params.get("metadata") or {},
        "number": None,
        "on_behalf_of": None,
        "status": "draft",
        "status_transitions": {"accepted_at": None, "canceled_at": None, "finalized_at": None},
        "subscription": None,
        "subscription_data": {
            "description": given.get("description"),
            "effective_date": None,
            "metadata": given.get("metadata") or {},
            "trial_period_days": None,
        },
        "subscription_schedule": None,
        "test_clock": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "transfer_data": None,
        "_lines": lines,
    }
