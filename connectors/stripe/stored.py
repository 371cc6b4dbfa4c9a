"""What events brought, kept as versions of objects. Pure.

Stands in where there is no API key, and tells whether a look has seen what an event carries.

Order of versions: reliability reference §3 rule 1; never the order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.jsonsafe import loads
from connectors.stripe.purchase import (
    Object,
    Reduced,
    found,
    id_of,
    part,
    reduced,
    reduced_customer,
    reduced_invoice,
    rows,
    seconds,
    text,
)
from hub.domain import Json, Ref
from hub.errors import UnreadableError
from hub.ports import Found, StoredObject, Unsupported, Waiting

ONE_OFF = "one-off sale: only subscriptions are licensed yet"
OF_A_CUSTOMER = "customers are read with their purchases"

_TERMINAL = {("subscription", "canceled"), ("subscription", "incomplete_expired")}
_LIFE = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 3}


# One event -> one version


def stored(body: bytes) -> StoredObject | None:
    """The object that the event in `body` carries, reduced; None for a kind that counts for nothing here.

    UnreadableError where the body or its object can't be read. Of personal fields only a name stays (of a
    customer without one: the e-mail, which then is its name).
    """
    event = loads(body)
    carried = part(part(event, "data"), "object")
    kind = _KINDS.get(str(carried.get("object")))
    if kind is None:
        return None
    id_, event_id, created = text(carried, "id"), text(event, "id"), seconds(event, "created")
    if id_ is None or event_id is None or created is None:
        return None
    facts = _REDUCERS[kind](carried)
    return StoredObject(
        id=id_,
        kind=kind,
        body=facts,
        created=created,
        event_id=event_id,
        event_type=text(event, "type") or "",
        previous=_previous(kind, carried, part(event, "data"), facts),
    )


def _previous(kind: str, carried: Object, data: Object, facts: Reduced) -> dict[str, Json] | None:
    """The reduced fields that this event changed, with their old values; None where it changed none of them.

    `previous_attributes` speaks of the whole object, so it is laid over it and reduced the same way.
    """
    before = data.get("previous_attributes")
    if not isinstance(before, Mapping) or not before:
        return None
    try:
        old = _REDUCERS[kind](_laid_over(carried, before))
    except UnreadableError:
        return None
    return {key: value for key, value in old.items() if value != facts.get(key)} or None


def _laid_over(base: Object, patch: Object) -> dict[str, Any]:
    """`base` with the values of `patch`: objects go together key by key, arrays come whole (Stripe's rule)."""
    merged = dict(base)
    for key, value in patch.items():
        under = base.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]  # `both` says so
    return merged


def _checkout(session: Object) -> Reduced:
    """Where the session leads, and the buyer's name: a stand-in for a customer that is not stored."""
    details = part(session, "customer_details")
    return {
        "id": text(session, "id"),
        "mode": text(session, "mode"),
        "status": text(session, "status"),
        "payment_status": text(session, "payment_status"),
        "subscription": id_of(session, "subscription"),
        "customer": id_of(session, "customer"),
        "name": text(details, "business_name") or text(details, "name"),
    }


_KINDS = {
    "subscription": "subscription",
    "invoice": "invoice",
    "customer": "customer",
    "checkout.session": "checkout",
}
_REDUCERS: Mapping[str, Callable[[Object], Reduced]] = {
    "subscription": reduced,
    "invoice": reduced_invoice,
    "customer": reduced_customer,
    "checkout": _checkout,
}


# Which version is the newest


def newest(versions: Sequence[StoredObject]) -> StoredObject:
    """The newest of several versions of one object, whatever order they are given in. Needs at least one."""
    latest = max(version.created for version in versions)
    tied = [version for version in versions if version.created == latest]
    tied = [version for version in tied if _is_over(version)] or tied
    for came_of in (_made_of, _comes_of):  # the strict rule first: the other one can go round in a circle
        tied = [one for one in tied if not any(came_of(other, one) for other in tied if other is not one)] or tied
    return max(tied, key=_point_in_life)


def _is_over(version: StoredObject) -> bool:
    return version.event_type.endswith(".deleted") or (version.kind, version.body.get("status")) in _TERMINAL


def _made_of(later: StoredObject, earlier: StoredObject) -> bool:
    """Whether undoing what `later` changed gives just `earlier`."""
    return bool(later.previous) and {**later.body, **(later.previous or {})} == earlier.body


def _comes_of(later: StoredObject, earlier: StoredObject) -> bool:
    """Whether the old values of what `later` changed are `earlier`'s."""
    if not later.previous:
        return False
    return all(key in earlier.body and earlier.body[key] == value for key, value in later.previous.items())


def _point_in_life(version: StoredObject) -> tuple[int, int, str, str]:
    """A key that grows: created < updated < deleted; draft < open < written off < void, paid; then the event id."""
    step = {"created": 0, "deleted": 2}.get(version.event_type.rpartition(".")[2], 1)
    status = _LIFE.get(str(version.body.get("status")), 0) if version.kind == "invoice" else 0
    return step, status, version.event_id, json.dumps([version.body, version.previous], sort_keys=True)


# Stored objects -> a purchase


def assemble(
    source: str, ref: Ref, objects: Sequence[StoredObject], find: Callable[[str], StoredObject | None]
) -> Found | Waiting | Unsupported:
    """The purchase from the newest stored version of each of its objects; `find` looks a customer up by id.

    UnreadableError where a stored object is malformed.
    """
    if ref.kind != "subscription":
        return without_purchase(ref)
    subscription = next((one.body for one in objects if one.kind == "subscription" and one.id == ref.id), None)
    if subscription is None:
        return Waiting(because="no event has brought this subscription yet", on=ref.id)
    if subscription.get("items_incomplete"):
        return Unsupported(because="more items than events carry: needs an API key", cause="needs_api_key")
    invoices = _invoices_of(ref.id, objects)
    customer_id = id_of(subscription, "customer") or ""
    customer = find(customer_id)
    facts = found(source, {**subscription, "customer": _named(customer_id, customer, ref.id, objects)}, invoices)
    if customer is None:
        return Waiting(because="no event has brought its customer yet", on=customer_id, proceed=facts)
    return facts


def without_purchase(ref: Ref) -> Waiting | Unsupported:
    """The answer for a subject that is no subscription."""
    return Waiting(because=OF_A_CUSTOMER) if ref.kind == "customer" else Unsupported(because=ONE_OFF)


def _invoices_of(id_: str, objects: Sequence[StoredObject]) -> list[Object]:
    """The stored invoices of the subscription, newest first."""
    own = [one.body for one in objects if one.kind == "invoice" and one.body.get("subscription") == id_]
    return sorted(own, key=lambda body: (seconds(body, "created") or 0, str(body.get("id"))), reverse=True)


def _named(id_: str, customer: StoredObject | None, subscription: str, objects: Sequence[StoredObject]) -> Reduced:
    """The customer, by the name that it has, else by the one given at checkout."""
    facts: Reduced = dict(customer.body) if customer else {"id": id_}
    sessions = [one for one in objects if one.kind == "checkout" and one.body.get("subscription") == subscription]
    names = [name for one in sorted(sessions, key=lambda one: one.id) if (name := text(one.body, "name"))]
    if not text(facts, "name") and names:
        facts["name"] = names[0]
    return facts


# Whether a look has seen what an event carries


def contains(seen: Object, body: bytes) -> bool:
    """Whether `seen` (Found.seen) holds the event's object, equal in all that the purchase was derived from.

    False in any doubt: then a second look is taken.
    """
    try:
        event = loads(body)
        carried = part(part(event, "data"), "object")
        check = _SEEN.get(str(carried.get("object")))
        return check is not None and check(seen, carried)
    except UnreadableError:
        return False


def _sees_subscription(seen: Object, carried: Object) -> bool:
    one, other = reduced(part(seen, "subscription")), reduced(carried)
    one["customer"], other["customer"] = one["customer"]["id"], other["customer"]["id"]
    for side in (one, other):
        side["items"] = sorted(side["items"], key=lambda item: str(item["id"]))
    return one == other and not other["items_incomplete"]


def _sees_invoice(seen: Object, carried: Object) -> bool:
    """That invoice with that status was read; a status that we can't tell is a doubt."""
    wanted = reduced_invoice(carried)
    if wanted["status"] is None or wanted["subscription"] != text(part(seen, "subscription"), "id"):
        return False
    read = {(row.get("id"), row.get("status")) for row in rows(seen, "invoices")}
    return (wanted["id"], wanted["status"]) in read


def _sees_checkout(seen: Object, carried: Object) -> bool:
    subscription = id_of(carried, "subscription")
    return subscription is not None and subscription == text(part(seen, "subscription"), "id")


def _sees_customer(seen: Object, carried: Object) -> bool:
    wanted = reduced_customer(carried)
    wanted["name"] = wanted["name"] or wanted.pop("email", None)
    return carried.get("deleted") is not True and wanted == reduced_customer(
        part(part(seen, "subscription"), "customer")
    )


_SEEN: Mapping[str, Callable[[Object, Object], bool]] = {
    "subscription": _sees_subscription,
    "invoice": _sees_invoice,
    "checkout.session": _sees_checkout,
    "customer": _sees_customer,
}
