"""What events brought, kept as versions of objects. Pure.

Stands in where there is no API key, and tells whether a look has seen what an event carries.

Order of versions: reliability reference §3 rule 1; never the order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from connectors.jsonsafe import loads
from connectors.stripe import oneoff
from connectors.stripe.fields import Object, Reduced, id_of, part, rows, seconds, text
from connectors.stripe.purchase import found
from connectors.stripe.reversals import PARTS, reduced_reversal, says_something
from connectors.stripe.shapes import (
    payment_of,
    reduced,
    reduced_charge,
    reduced_credit_note,
    reduced_customer,
    reduced_dispute,
    reduced_invoice,
    reduced_invoice_payment,
    reduced_refund,
    reduced_session,
    reduced_warning,
)
from hub.domain import Json, Ref
from hub.errors import UnreadableError
from hub.ports import Found, SeeOther, StoredObject, Unsupported, Waiting

OF_A_CUSTOMER = "customers are read with their purchases"
_NO_KEY = "needs_api_key"
Find: TypeAlias = Callable[[str], StoredObject | None]

_TERMINAL = {
    *(("subscription", status) for status in ("canceled", "incomplete_expired")),
    *(("dispute", status) for status in ("won", "warning_closed")),  # a lost one can be appealed
}
_LIFE = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 3}


# One event -> one version


def stored(body: bytes) -> Sequence[StoredObject]:
    """What the event in `body` leaves: its object, reduced, and which payment is whose; () where nothing counts.

    UnreadableError where the body or its object can't be read. Of personal fields only a name stays (of a
    customer or guest without one: the e-mail, which then is its name).
    """
    event = loads(body)
    if event.get("object") == "v2.core.event":
        return _marked(event)
    carried = part(part(event, "data"), "object")
    kind = _KINDS.get(str(carried.get("object")))
    if kind is None:
        return ()
    id_, event_id, created = text(carried, "id"), text(event, "id"), seconds(event, "created")
    if id_ is None or event_id is None or created is None:
        return ()
    type_, facts = text(event, "type") or "", _REDUCERS[kind](carried)
    if type_ == "checkout.session.async_payment_failed":
        facts["payment_failed"] = facts["payment_status"] == "unpaid"
    one = StoredObject(
        id=id_,
        kind=kind,
        body=facts,
        created=created,
        event_id=event_id,
        event_type=type_,
        previous=_previous(kind, carried, part(event, "data"), facts),
    )
    return (one, *_links(one, carried))


def _links(one: StoredObject, carried: Object) -> Iterator[StoredObject]:
    """Which invoice or checkout each of its payments paid, filed under the payment's id."""
    if one.kind not in ("invoice", "checkout"):
        return
    for name in ("payment_intent", "charge"):
        if (payment := id_of(carried, name)) is not None:
            yield replace(one, id=payment, kind="payment", body={one.kind: one.id}, previous=None)


def _marked(event: Object) -> Sequence[StoredObject]:
    """That something is known to have changed which nobody here can read: a thin event names its object alone."""
    id_, event_id = text(part(event, "related_object"), "id"), text(event, "id")
    at = text(event, "created")
    if id_ is None or event_id is None or at is None:
        return ()
    try:
        created = int(datetime.fromisoformat(at).timestamp())
    except ValueError as error:
        raise UnreadableError("created is no time") from error
    type_ = text(event, "type") or ""
    return (StoredObject(id=f"thin:{id_}", kind="thin", body={}, created=created, event_id=event_id, event_type=type_),)


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


_KINDS = {
    "subscription": "subscription",
    "invoice": "invoice",
    "customer": "customer",
    "checkout.session": "checkout",
    "charge": "charge",
    "refund": "refund",
    "dispute": "dispute",
    "credit_note": "credit_note",
    "radar.early_fraud_warning": "warning",
    "invoice_payment": "invoice_payment",
}
_REDUCERS: Mapping[str, Callable[[Object], Reduced]] = {
    "subscription": reduced,
    "invoice": reduced_invoice,
    "customer": reduced_customer,
    "checkout": reduced_session,
    "charge": reduced_charge,
    "refund": reduced_refund,
    "dispute": reduced_dispute,
    "credit_note": reduced_credit_note,
    "warning": reduced_warning,
    "invoice_payment": reduced_invoice_payment,
}
_RAISED = {"charge": "charges", "refund": "refunds", "dispute": "disputes", "warning": "warnings"}


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
    """A key that grows: created, completed < others < deleted; draft < open < written off < void, paid; then the id."""
    step = {"created": 0, "completed": 0, "deleted": 2}.get(version.event_type.rpartition(".")[2], 1)
    status = _LIFE.get(str(version.body.get("status")), 0) if version.kind == "invoice" else 0
    return step, status, version.event_id, json.dumps([version.body, version.previous], sort_keys=True)


# Stored objects -> a purchase


def assemble(
    source: str, ref: Ref, objects: Sequence[StoredObject], find: Find
) -> Found | SeeOther | Waiting | Unsupported:
    """The purchase from the newest stored version of each of its objects; `find` looks others up by id.

    `objects` are those of `ref` and of the payments that are about it. UnreadableError where one is malformed.
    """
    if (unread := _unread(objects, find)) is not None:
        return unread
    if ref.kind == "subscription":
        return _subscription(source, ref, objects, find)
    if ref.kind == "checkout":
        return _checkout(source, ref, objects, find)
    return _pointer(ref, objects, find) if ref.kind != "customer" else without_purchase(ref)


def _unread(objects: Sequence[StoredObject], find: Find) -> Unsupported | None:
    """What a thin event told of that no other event has brought since."""
    for mark in (one for one in objects if one.kind == "thin"):
        id_ = mark.id.removeprefix("thin:")
        known = next((one for one in objects if one.id == id_), None) or find(id_)
        if known is None or known.created < mark.created:
            return Unsupported(because=f"a thin event names {id_} alone: needs an API key", cause=_NO_KEY, on=id_)
    return None


def _subscription(source: str, ref: Ref, objects: Sequence[StoredObject], find: Find) -> Found | Waiting | Unsupported:
    subscription = next((one.body for one in objects if one.kind == "subscription" and one.id == ref.id), None)
    if subscription is None:
        return Waiting(because="no event has brought this subscription yet", on=ref.id)
    if subscription.get("items_incomplete"):
        return Unsupported(because="more items than events carry: needs an API key", cause=_NO_KEY)
    customer_id = id_of(subscription, "customer") or ""
    customer = find(customer_id)
    facts = found(
        source,
        {**subscription, "customer": _named(customer_id, customer, ref.id, objects)},
        _invoices_of(ref.id, objects),
        reversals=_reversals(objects, find),
    )
    if customer is None:
        return Waiting(because="no event has brought its customer yet", on=customer_id, proceed=facts)
    return facts


def _checkout(
    source: str, ref: Ref, objects: Sequence[StoredObject], find: Find
) -> Found | SeeOther | Waiting | Unsupported:
    session = next((one.body for one in objects if one.kind == "checkout" and one.id == ref.id), None)
    if session is None:
        return Waiting(because="no event has brought this checkout yet", on=ref.id)
    if (subscription := id_of(session, "subscription")) is not None:
        return SeeOther(ref=Ref(source=source, kind="subscription", id=subscription))
    if not oneoff.tells_lines(session):
        because = "events do not say what was bought: needs an API key, or the metadata keys price and quantity"
        return Unsupported(because=because, cause=_NO_KEY)
    customer_id = id_of(session, "customer")
    customer = find(customer_id) if customer_id else None
    facts: Reduced = {**session, "customer": customer.body if customer else session["customer"]}
    told = oneoff.found(source, facts, reversals=_reversals(objects, find, total=session.get("amount_total")))
    if customer_id and customer is None and not session.get("name"):
        return Waiting(because="no event has brought its customer yet", on=customer_id, proceed=told)
    return told


def _pointer(ref: Ref, objects: Sequence[StoredObject], find: Find) -> SeeOther | Waiting | Unsupported:
    """The subject that tells of a payment, or of what was raised against it."""
    own = find(ref.id)
    match ref.kind:
        case "payment" | "credit" | "invoice":
            return _purchase_of(ref, objects, find)
        case "credit_note":
            id_, kind = (id_of(own.body, "invoice") if own else None), "credit"
        case _:
            id_, kind = (_payment(own) if own else None), "payment"
    if id_ is None:
        return Waiting(because=f"no event has brought {ref.id} yet", on=ref.id)
    return SeeOther(ref=Ref(source=ref.source, kind=kind, id=id_))


def _payment(one: StoredObject) -> str | None:
    return payment_of({"object": one.kind, **one.body})


def _purchase_of(ref: Ref, objects: Sequence[StoredObject], find: Find) -> SeeOther | Waiting | Unsupported:
    """By the invoice or checkout that it paid, else by the metadata key `checkout_session` of a charge or refund."""
    keep = ref.kind != "invoice"
    invoices = [ref.id] if keep is False or ref.kind == "credit" else _paid_invoices(ref.id, objects, find)
    for id_ in invoices:
        invoice = find(id_)
        if invoice is not None and (subscription := text(invoice.body, "subscription")):
            return SeeOther(ref=Ref(source=ref.source, kind="subscription", id=subscription), keep=keep)
    if (checkout := _paid_checkout(ref.id, objects, find)) is not None:
        return SeeOther(ref=Ref(source=ref.source, kind="checkout", id=checkout), keep=keep)
    if all(one.kind == "invoice_payment" for one in objects):
        return Waiting(because="a payment; nothing of it was paid back")
    because = f"no event says what {ref.id} has paid: needs an API key"
    return Unsupported(because=because, cause=_NO_KEY, on=next(iter(invoices), ref.id))


def _paid_invoices(payment: str, objects: Sequence[StoredObject], find: Find) -> list[str]:
    """The invoices that a payment paid: by its own word, by an invoice payment's, by a charge's of old."""
    link = find(payment)
    told = [text(one.body, "invoice") for one in objects if one.kind in ("invoice_payment", "charge")]
    ids = [text(link.body, "invoice") if link else None, *told]
    return sorted({id_ for id_ in ids if id_})


def _paid_checkout(payment: str, objects: Sequence[StoredObject], find: Find) -> str | None:
    link = find(payment)
    if link is not None and link.kind == "payment" and text(link.body, "checkout"):
        return text(link.body, "checkout")
    named = (text(part(one.body, "metadata"), "checkout_session") for one in objects if one.kind in _RAISED)
    return next((id_ for id_ in named if id_), None)


def _reversals(objects: Sequence[StoredObject], find: Find, *, total: Json = None) -> list[Reduced]:
    """What is known of payments that were paid back, disputed or doubted: one for each invoice."""
    raised: dict[str, dict[str, list[Reduced]]] = {}
    for one in objects:
        if one.kind in _RAISED:
            payment = _payment(one) or one.id
            id_ = next(iter(_paid_invoices(payment, [o for o in objects if _is_of(o, payment)], find)), payment)
            _file(raised, id_, _RAISED[one.kind], one.body)
        elif one.kind == "credit_note" and (invoice := text(one.body, "invoice")):
            _file(raised, invoice, "credit_notes", one.body)
    cases = [reduced_reversal(_case(id_, parts, find, total)) for id_, parts in sorted(raised.items())]
    return [case for case in cases if says_something(case)]


def _is_of(one: StoredObject, payment: str) -> bool:
    paid_by = part(one.body, "payment") if one.kind == "invoice_payment" else {}
    return payment in (_payment(one) or one.id, text(paid_by, "payment_intent"), text(paid_by, "charge"))


def _file(raised: dict[str, dict[str, list[Reduced]]], id_: str, name: str, body: Reduced) -> None:
    raised.setdefault(id_, {part_: [] for part_ in PARTS})[name].append(body)


def _case(id_: str, parts: Mapping[str, list[Reduced]], find: Find, total: Json) -> Reduced:
    invoice = find(id_)
    body = invoice.body if invoice is not None and invoice.kind == "invoice" else None
    return {"id": id_, "invoice": body, "total": total, **parts}


def without_purchase(ref: Ref) -> Waiting | Unsupported:
    """The answer for a subject that no purchase is read of."""
    if ref.kind == "customer":
        return Waiting(because=OF_A_CUSTOMER)
    return Unsupported(because=f"{ref.kind} is nothing that is looked at")


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
        for item in side["items"]:
            item["price"].pop("texts")  # a product's come along only when it is asked for
    return one == other and not other["items_incomplete"]


def _sees_invoice(seen: Object, carried: Object) -> bool:
    """That invoice with that status was read; a status that we can't tell is a doubt."""
    wanted = reduced_invoice(carried)
    if wanted["status"] is None or wanted["subscription"] != text(part(seen, "subscription"), "id"):
        return False
    read = {(row.get("id"), row.get("status")) for row in rows(seen, "invoices")}
    return (wanted["id"], wanted["status"]) in read


def _sees_checkout(seen: Object, carried: Object) -> bool:
    """The subscription that it began, or the session as it stands."""
    subscription, session = id_of(carried, "subscription"), part(seen, "session")
    if subscription is not None or not session:
        return subscription is not None and subscription == text(part(seen, "subscription"), "id")
    wanted, facts = reduced_session(carried), reduced_session(session)
    return all(wanted[name] == facts[name] for name in ("id", "mode", "status", "payment_status"))


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
