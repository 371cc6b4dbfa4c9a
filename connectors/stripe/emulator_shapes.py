"""How the two emulated API versions spell an object: 2026-10-28.endive, as it is kept, and 2020-08-27.

Pure. Changes between the two: commerce reference §1.4, stripe 16.1.0 (read 2026-09-27).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from connectors.stripe.emulator_objects import Obj, listed

Shape: TypeAlias = Literal["current", "legacy"]

API_VERSIONS: dict[Shape, str] = {"current": "2026-10-28.endive", "legacy": "2020-08-27"}
EMBEDDED = 10  # lines that an invoice or a credit note shows by itself


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
        case "credit_note":
            return value | {"lines": _cut(value["lines"])}
        case "charge" | "payment_intent" | "checkout.session" | "payment_method" | "invoiceitem" | "quote":
            return _shown(value)
    return value


def shaped_lines(lines: list[Obj], shape: Shape) -> list[Obj]:
    """Invoice lines as this shape of the API spells them."""
    return [_shown(_older_line(each) if shape == "legacy" else each) for each in lines]


def _first_lines(lines: Obj, shape: Shape) -> Obj:
    cut = _cut(lines)
    return cut | {"data": shaped_lines(cut["data"], shape)}


def _cut(lines: Obj) -> Obj:
    """An object carries its first lines only; the rest is for `GET /v1/.../{id}/lines`."""
    data = lines["data"]
    return lines | {"data": data[:EMBEDDED], "has_more": len(data) > EMBEDDED}


def _shown(value: Obj) -> Obj:
    return {key: part for key, part in value.items() if not key.startswith("_")}


def _without(value: Obj, names: Iterable[str]) -> Obj:
    gone = set(names)
    return {key: part for key, part in value.items() if key not in gone}


def _older_subscription(value: Obj) -> Obj:
    items = value["items"]["data"]
    single = _older_item(items[0]) if len(items) == 1 else {}
    gone = ("billing_mode", "billing_schedules", "customer_account", "status_details")
    return _without(value, gone) | {
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
    details = (value["parent"] or {}).get("subscription_details") or {"subscription": None, "metadata": None}
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
        "plan": plan(unit) if unit["recurring"] else None,
        "price": unit,
        "proration": parent["proration"],
        "subscription": parent["subscription"],
        "subscription_item": parent.get("subscription_item"),
        "type": "invoiceitem" if parent["invoice_item"] else "subscription",
    }


def _older_invoice_item(value: Obj) -> Obj:
    unit = value["_price"]
    return _without(value, ("net_amount", "parent", "pricing", "proration_details", "quantity_decimal")) | {
        "plan": None,
        "price": unit,
        "subscription": None,
        "unit_amount": unit["unit_amount"],
        "unit_amount_decimal": unit["unit_amount_decimal"],
    }


def _older_intent(value: Obj) -> Obj:
    return value | {"invoice": value.get("_invoice")}


def _older_charge(value: Obj) -> Obj:
    url = f"/v1/charges/{value['id']}/refunds"
    refunds = [shaped(each, "legacy") for each in reversed(value["_refunds"])]
    return _older_intent(value) | {"dispute": value["_dispute"], "refunds": listed(refunds, url)}


def _older_credit_note(value: Obj) -> Obj:
    refund = value["refunds"][0]["refund"] if value["refunds"] else None
    return _without(value, ("refunds", "post_payment_amount", "pre_payment_amount", "total_taxes")) | {
        "refund": refund,
        "tax_amounts": [],
    }


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
    "invoiceitem": _older_invoice_item,
    "charge": _older_charge,
    "payment_intent": _older_intent,
    "credit_note": _older_credit_note,
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
