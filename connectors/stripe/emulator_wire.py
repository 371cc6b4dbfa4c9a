"""The wire of Stripe's API: form parameters, which of them are known, pages, filters.

Pure. Facts: stripe 16.1.0 `params/` (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Any

from werkzeug.wrappers import Request

from connectors.stripe.emulator_books import Refusal
from connectors.stripe.emulator_objects import Obj

# kind -> parameters of its list that are indexed fields
INDEXED: dict[str, tuple[str, ...]] = {
    "customers": ("email",),
    "products": (),
    "prices": ("product",),
    "subscriptions": ("customer",),
    "subscription_schedules": ("customer",),
    "invoices": ("customer", "subscription"),
    "charges": ("customer", "payment_intent"),
    "payment_intents": ("customer",),
    "refunds": ("charge", "payment_intent"),
    "credit_notes": ("customer", "invoice"),
    "disputes": ("charge", "payment_intent"),
    "radar/early_fraud_warnings": ("charge", "payment_intent"),
    "invoice_payments": ("invoice", "payment_intent"),
    "checkout/sessions": ("customer", "subscription", "payment_intent", "customer_details[email]"),
    "payment_methods": ("customer",),
    "invoiceitems": ("customer", "invoice"),
    "quotes": ("customer",),
}
_PAGE = "limit starting_after ending_before expand"
# what each request may ask for: the parameters that the emulator minds, or that change nothing it tells
_KNOWN = {
    "list customers": "email created",
    "list products": "active ids created",
    "list prices": "active product lookup_keys type created",
    "list subscriptions": "customer price status collection_method created",
    "list subscription_schedules": "customer created scheduled",
    "list subscription_items": "subscription",
    "list invoices": "customer subscription status collection_method created",
    "list charges": "customer payment_intent created",
    "list payment_intents": "customer created",
    "list refunds": "charge payment_intent created",
    "list credit_notes": "customer invoice created",
    "list disputes": "charge payment_intent created",
    "list radar/early_fraud_warnings": "charge payment_intent created",
    "list invoice_payments": "invoice payment status created",
    "list checkout/sessions": "customer customer_details subscription payment_intent status created",
    "list payment_methods": "customer type",
    "list invoiceitems": "customer invoice pending created",
    "list quotes": "customer status",
    "list events": "type types created delivery_success",
    "list v2/core/events": "created object_id page types",
    "list webhook_endpoints": "",
    "list lines": "",
    "create customers": "address description email invoice_settings metadata name payment_method phone source",
    "create products": "active description id metadata name unit_label",
    "create prices": "active currency lookup_key metadata nickname product product_data recurring "
    "transfer_lookup_key unit_amount",
    "create subscriptions": "add_invoice_items backdate_start_date billing_cycle_anchor billing_mode cancel_at "
    "cancel_at_period_end collection_method customer days_until_due default_payment_method description items "
    "metadata off_session payment_behavior payment_settings proration_behavior trial_end "
    "trial_period_days trial_settings",
    "create subscription_items": "metadata payment_behavior price proration_behavior quantity subscription",
    "create subscription_schedules": "customer end_behavior from_subscription metadata phases start_date",
    "create refunds": "amount charge metadata payment_intent reason",
    "create credit_notes": "amount credit_amount invoice lines memo metadata out_of_band_amount reason refund_amount "
    "refunds",
    "create checkout/sessions": "cancel_url client_reference_id customer customer_creation customer_email expires_at "
    "invoice_creation line_items locale metadata mode payment_intent_data payment_method_types return_url "
    "subscription_data success_url ui_mode",
    "create payment_methods": "billing_details card metadata sepa_debit type",
    "create payment_intents": "amount confirm currency customer description metadata off_session payment_method "
    "payment_method_types receipt_email return_url",
    "create invoiceitems": "amount currency customer description discountable invoice metadata price pricing quantity",
    "create invoices": "auto_advance collection_method currency customer days_until_due description metadata "
    "pending_invoice_items_behavior",
    "create quotes": "collection_method customer description expires_at footer header line_items metadata "
    "subscription_data",
    "create webhook_endpoints": "api_version connect description enabled_events metadata url",
    "update customers": "address description email invoice_settings metadata name phone",
    "update products": "active description metadata name unit_label",
    "update prices": "active lookup_key metadata nickname transfer_lookup_key",
    "update subscriptions": "billing_cycle_anchor cancel_at cancel_at_period_end cancellation_details "
    "collection_method days_until_due default_payment_method description items metadata off_session pause_collection "
    "payment_behavior payment_settings proration_behavior trial_end",
    "update subscription_items": "metadata payment_behavior price proration_behavior quantity",
    "update subscription_schedules": "end_behavior metadata phases proration_behavior",
    "update refunds": "metadata",
    "update credit_notes": "memo metadata",
    "update webhook_endpoints": "description enabled_events metadata url",
    "delete subscriptions": "cancellation_details invoice_now prorate",
    "delete subscription_items": "proration_behavior",
    "delete customers": "",
    "attach payment_methods": "customer",
    "confirm payment_intents": "off_session payment_method return_url",
    "cancel payment_intents": "cancellation_reason",
    "finalize quotes": "expires_at",
    "confirm payment_pages": "expected_amount payment_method",
    "pay invoices": "off_session paid_out_of_band payment_method",
    "finalize invoices": "auto_advance",
    "pause subscriptions": "bill_for invoicing_behavior type",
    "resume subscriptions": "billing_cycle_anchor payment_behavior proration_behavior",
    "cancel subscription_schedules": "invoice_now prorate",
    "release subscription_schedules": "preserve_cancel_date",
}
KNOWN = {
    request: frozenset(f"{names} {_PAGE if request.startswith('list ') else 'expand'}".split())
    for request, names in _KNOWN.items()
}


# Parameters


def parameters(request: Request, what: str = "retrieve") -> Obj:
    """Query and form as nested JSON: `items[0][price]=p` is {"items": [{"price": "p"}]}. Values stay text.

    Refuses a parameter that `what` ("list invoices") does not know.
    """
    root: Obj = {}
    for source in (request.args, request.form):
        for key, value in source.items(multi=True):
            _put(root, re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key), value)
    for name in root.keys() - KNOWN.get(what, {"expand"}):
        raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
    return {key: value if key == "metadata" else _with_lists(value) for key, value in root.items()}


def _put(node: Obj, path: list[str], value: str) -> None:
    *above, last = path
    for name in above:
        node = node.setdefault(name or str(len(node)), {})
    node[last or str(len(node))] = value


def _with_lists(node: Any) -> Any:  # noqa: ANN401
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: value if key == "metadata" else _with_lists(value) for key, value in node.items()}


# Pages


def page(data: list[Any], url: str, *, has_more: bool = False) -> Obj:
    """A page as the API tells it."""
    return {"object": "list", "url": url, "has_more": has_more, "data": data}


def paged(
    url: str,
    params: Obj,
    newest: Callable[[str | None], Iterator[Any]],
    oldest: Callable[[str], Iterator[Any]],
    matches: Callable[[Any], bool],
    created: Callable[[Any], int],
) -> Obj:
    """One page, newest first; a lower bound on `created` ends the walk."""
    limit, floor = limit_of(params), _floor(params)
    if "ending_before" in params:
        found = list(islice(filter(matches, oldest(params["ending_before"])), limit + 1))
        return page(found[:limit][::-1], url, has_more=len(found) > limit)
    recent = takewhile(lambda value: created(value) >= floor, newest(params.get("starting_after")))
    found = list(islice(filter(matches, recent), limit + 1))
    return page(found[:limit], url, has_more=len(found) > limit)


def part_page(url: str, params: Obj, values: list[Obj]) -> Obj:
    """A page of a short list that an object carries, in its own order."""
    ids = [value["id"] for value in values]
    start = ids.index(params["starting_after"]) + 1 if params.get("starting_after") in ids else 0
    limit = limit_of(params)
    return page(values[start : start + limit], url, has_more=len(values) > start + limit)


def limit_of(params: Obj) -> int:
    """How many the page may hold: 10 unless asked."""
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise Refusal(400, "This value must be between 1 and 100.", code="parameter_invalid_integer", param="limit")
    return limit


def _floor(params: Obj) -> int:
    created = params.get("created")
    return int(created.get("gte") or created.get("gt") or 0) if isinstance(created, dict) else 0


def in_range(moment: int, wanted: Any) -> bool:  # noqa: ANN401
    """Whether `moment` fits {gt, gte, lt, lte}, a number, or nothing."""
    if wanted is None:
        return True
    if not isinstance(wanted, dict):
        return moment == int(wanted)
    tests: dict[str, Callable[[int], bool]] = {
        "gt": lambda bound: moment > bound,
        "gte": lambda bound: moment >= bound,
        "lt": lambda bound: moment < bound,
        "lte": lambda bound: moment <= bound,
    }
    return all(tests[name](int(bound)) for name, bound in wanted.items())


def created_at(value: Obj) -> int:
    """When the object was made; an invoice item calls it `date`."""
    return int(value["created"] if "created" in value else value["date"])


def type_test(types: set[str]) -> Callable[[str], bool]:
    """Whether a type is one of `types`, where `invoice.*` stands for all that begin so; no types: any."""
    stems = tuple(name.rstrip("*") for name in types if name.endswith("*"))
    return lambda type_: not types or type_ in types or type_.startswith(stems or ("\0",))


_TESTS: dict[str, Callable[[Obj, Any], bool]] = {
    "active": lambda value, wanted: value["active"] == (wanted == "true"),
    "lookup_keys": lambda value, wanted: value["lookup_key"] in wanted,
    "type": lambda value, wanted: bool(value["type"] == wanted),
    "pending": lambda value, wanted: (value["invoice"] is None) == (wanted == "true"),
    "ids": lambda value, wanted: value["id"] in wanted,
    "collection_method": lambda value, wanted: bool(value["collection_method"] == wanted),
    "price": lambda value, wanted: any(item["price"]["id"] == wanted for item in value["items"]["data"]),
    "created": lambda value, wanted: in_range(created_at(value), wanted),
}


def matcher(kind: str, params: Obj) -> Callable[[Obj], bool]:
    """Whether an object fits what is asked of the list of this kind."""
    tests = [(_TESTS[name], params[name]) for name in _TESTS if name in params]
    status = params.get("status", "live" if kind == "subscriptions" else None)

    def matches(value: Obj) -> bool:
        return _has_status(value, status) and all(test(value, wanted) for test, wanted in tests)

    return matches


def _has_status(value: Obj, wanted: str | None) -> bool:
    """Lists of subscriptions leave canceled ones out unless asked: `all`, `ended`, or a status."""
    match wanted:
        case None | "all":
            return True
        case "live":
            return bool(value["status"] != "canceled")
        case "ended":
            return value["status"] in ("canceled", "incomplete_expired")
    return bool(value["status"] == wanted)
