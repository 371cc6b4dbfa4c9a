"""FastSpring's objects reduced to the fields that licenses come from: one shape, expansion on or off. Pure.

No money, and of personal fields only a name (of who has none the e-mail, which then is the name). Reducing what is
reduced already changes nothing, so that stored objects and observations are read by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.fastspring.fields import Object, Reduced, count, flag, id_of, millis, needed, part, rows, text, texts

# An item of a return says whether all or a part of it was given back (since February 2023).
_MARKERS = ("returned", "returnType", "refundType", "type")
_FULL, _PARTIAL = "full", "partial"


def reduced_subscription(subscription: Object) -> Reduced:
    """A subscription; `active` is what decides whether it has ended, `state` how it stands meanwhile."""
    return {
        "id": needed(subscription, "id", "subscription"),
        "active": flag(subscription, "active"),
        "state": text(subscription, "state"),
        "live": flag(subscription, "live"),
        "account": id_of(subscription, "account"),
        "customer": reduced_account(subscription),
        "product": needed(subscription, "product"),
        "sku": text(subscription, "sku"),
        "quantity": count(subscription),
        "begin": millis(subscription, "begin"),
        "next": millis(subscription, "next"),
        "end": millis(subscription, "end"),
        "canceledDate": millis(subscription, "canceledDate"),
        "deactivationDate": millis(subscription, "deactivationDate"),
        "intervalUnit": text(subscription, "intervalUnit"),
        "intervalLength": count(subscription, "intervalLength"),
        "adhoc": bool(flag(subscription, "adhoc")),
        "sequence": count(subscription, "sequence"),
        "changed": millis(subscription, "changed"),
        "initialOrder": id_of(subscription, "initialOrder", "initialOrderId"),
        "addons": [_addon(row) for row in rows(subscription, "addons")],
        "texts": texts(subscription, "tags") | texts(subscription, "attributes") | texts(subscription, "texts"),
    }


def reduced_order(order: Object) -> Reduced:
    """An order with its items; those that began a subscription name it."""
    return {
        "id": needed(order, "id", "order"),
        "reference": text(order, "reference"),
        "completed": flag(order, "completed"),
        "status": text(order, "status"),
        "live": flag(order, "live"),
        "account": id_of(order, "account"),
        "customer": reduced_account(order),
        "changed": millis(order, "changed"),
        "items": [_item(row) for row in rows(order, "items")],
        "texts": texts(order, "tags") | texts(order, "attributes") | texts(order, "texts"),
    }


def reduced_return(back: Object) -> Reduced:
    """What was given back: items of the order `original`, each in full, in part, or (None) nobody says."""
    original = back.get("original")
    return {
        "id": needed(back, "return", "id"),
        "completed": flag(back, "completed"),
        "live": flag(back, "live"),
        "original": needed(original, "id", "order") if isinstance(original, Mapping) else needed(back, "original"),
        "items": [_returned(row) for row in rows(back, "items")],
    }


def reduced_account(holder: Object) -> Reduced | None:
    """Who bought, as far as `holder` (an account, or what carries one) tells; None where it tells an id at most."""
    if "customer_ref" in (told := part(holder, "customer")):
        return dict(told)
    account = part(holder, "account") or (holder if "contact" in holder else {})
    contact = part(account, "contact") or told
    if not contact:
        return None
    name = text(contact, "company") or " ".join(filter(None, (text(contact, "first"), text(contact, "last"))))
    # `lookup.custom` is the seller's own id of the account (developer.fastspring.com, accounts).
    return {"name": name or text(contact, "email"), "customer_ref": text(part(account, "lookup"), "custom")}


def _addon(row: Object) -> Reduced:
    return {"product": needed(row, "product"), "sku": text(row, "sku"), "quantity": count(row)}


def _item(row: Object) -> Reduced:
    return {
        "product": needed(row, "product"),
        "sku": text(row, "sku"),
        "quantity": count(row),
        "subscription": id_of(row, "subscription"),
        "texts": texts(row, "attributes") | texts(row, "texts"),
    }


def _returned(row: Object) -> Reduced:
    return {
        "product": needed(row, "product"),
        "quantity": count(row),
        "subscription": id_of(row, "subscription"),
        "returned": _marker(row),
    }


def _marker(row: Object) -> str | None:
    words: list[Any] = [row.get(name) for name in _MARKERS]
    told = [word.lower() for word in words if isinstance(word, str)]
    return next((kind for word in told for kind in (_FULL, _PARTIAL) if word.startswith(kind)), None)
