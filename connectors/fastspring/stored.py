"""What events brought, kept as versions of objects; stands in where there are no API credentials. Pure.

Order of versions: `sequence` grows with each rebill and `changed` with edits, though not with each of them (seen: a
cancellation leaves it), so the event's own time comes next. Never the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from connectors.fastspring import purchase
from connectors.fastspring.fields import Object, Reduced, flag, id_of, millis, part, rows, text
from connectors.fastspring.shapes import reduced_account, reduced_order, reduced_return, reduced_subscription
from connectors.fastspring.webhook import EVENTS, events_in
from hub.domain import Json, Ref
from hub.errors import UnreadableError
from hub.ports import Found, SeeOther, StoredObject, Unsupported, Waiting

Find: TypeAlias = Callable[[str], StoredObject | None]
_OVER = {"order.canceled": "canceled", "order.failed": "failed"}


def stored(body: bytes) -> Sequence[StoredObject]:
    """What the event in `body` leaves: every object of it that is there whole; () where nothing counts.

    UnreadableError where the body or an object can't be read.
    """
    if not body.lstrip().startswith(b"{"):
        return ()  # a form that asked for a code
    return [
        StoredObject(
            id=facts["id"],
            kind=kind,
            body=facts,
            created=(millis(event, "created") or 0) // 1000,
            event_id=text(event, "id") or "",
            event_type=text(event, "type") or "",
        )
        for event in events_in(body)
        for kind, facts in _objects(event)
    ]


def newest(versions: Sequence[StoredObject]) -> StoredObject:
    """The newest of several versions of one object, whatever order they are given in. Needs at least one."""
    return max(versions, key=_age)


def _age(version: StoredObject) -> tuple[int, int, int, bool, str]:
    sequence, changed = version.body.get("sequence"), version.body.get("changed")
    over = version.body.get("active") is False or version.body.get("status") in _OVER.values()
    return (
        sequence if isinstance(sequence, int) else 0,
        changed if isinstance(changed, int) else 0,
        version.created,
        over,
        version.event_id,
    )


def _objects(event: Object) -> Iterator[tuple[str, Reduced]]:
    """(kind, object) of all that the event carries whole: with expansion off only what it is about."""
    type_, data = text(event, "type") or "", part(event, "data")
    if type_ not in EVENTS:
        return
    buyer = part(data, "account")
    if buyer and (facts := reduced_account({"account": buyer})):
        yield "account", {"id": id_of(data, "account"), **facts}
    about = type_.partition(".")[0]
    if about == "return":
        yield "return", reduced_return(data)
        original = part(data, "original")
        if rows(original, "items"):
            yield "order", reduced_order(original)
        return
    for kind, reduce in (("subscription", reduced_subscription), ("order", reduced_order)):
        carried = part(data, kind) or (data if about == kind else {})
        if ("state" if kind == "subscription" else "items") in carried:
            yield kind, _with_end(reduce(carried), type_)
            if kind == "order":
                yield from _begun(carried)


def _begun(order: Object) -> Iterator[tuple[str, Reduced]]:
    """The subscriptions that the order's items carry whole."""
    for item in rows(order, "items"):
        subscription = part(item, "subscription")
        if "state" in subscription:
            yield "subscription", reduced_subscription({"account": order.get("account"), **subscription})


def _with_end(facts: Reduced, type_: str) -> Reduced:
    return facts | {"status": _OVER[type_]} if type_ in _OVER else facts


# Stored objects -> a purchase


def assemble(
    source: str, ref: Ref, objects: Sequence[StoredObject], find: Find
) -> Found | SeeOther | Waiting | Unsupported:
    """The purchase from the newest stored version of each of its objects; `find` looks others up by id."""
    own = next((one for one in objects if one.kind == ref.kind and one.id == ref.id), None) or find(ref.id)
    if own is None or own.kind != ref.kind:
        return Waiting(because=f"no event has brought this {ref.kind} yet", on=ref.id)
    returns = [one.body for one in objects if one.kind == "return"]
    if ref.kind == "return":
        original = find(str(own.body["original"]))
        return leads_to(ref, reduced_return(own.body), reduced_order(original.body) if original else None)
    facts = _named(own.body, find)
    if ref.kind == "order":
        return told_of_order(source, facts, returns)
    paid_by = _newest_order(ref.id, objects, find) if returns else ""
    return purchase.found_subscription(source, facts, returns, paid_by)


def told_of_order(source: str, order: Object, returns: Sequence[Object]) -> Found | SeeOther:
    """What the order sold once; where it sold subscriptions alone, these."""
    facts = reduced_order(order)
    begun = dict.fromkeys(item["subscription"] for item in facts["items"] if item["subscription"])
    if begun and not purchase.once_items(facts):
        first, *others = (Ref(source=source, kind="subscription", id=str(id_)) for id_ in begun)
        return SeeOther(ref=first, also=tuple(others))
    return purchase.found_order(source, order, returns)


def leads_to(ref: Ref, back: Reduced, order: Reduced | None) -> SeeOther:
    """The purchases of which something was given back: the order, and the subscriptions of what was returned."""
    returned = {item["product"] for item in back["items"]}
    items = [item for item in (order or {"items": ()})["items"] if item["product"] in returned]
    named = [item["subscription"] for item in (*back["items"], *items) if item["subscription"]]
    subscriptions = [Ref(source=ref.source, kind="subscription", id=id_) for id_ in dict.fromkeys(named)]
    once = [] if items and all(item["subscription"] for item in items) else [back["original"]]
    orders = [Ref(source=ref.source, kind="order", id=id_) for id_ in once]
    first, *others = (*orders, *subscriptions)
    return SeeOther(ref=first, keep=True, also=tuple(others))


def _named(facts: Mapping[str, Json], find: Find) -> Reduced:
    """The object with its buyer, told by whatever event brought the account."""
    account = facts.get("account")
    known = find(account) if isinstance(account, str) and not facts.get("customer") else None
    return {**facts, "customer": known.body} if known and known.kind == "account" else dict(facts)


def _newest_order(subscription: str, objects: Sequence[StoredObject], find: Find) -> str:
    """The order that paid the present term: the newest that names the subscription, else its first one."""
    orders = [one for one in objects if one.kind == "order" and _is_of(one, subscription)]
    if orders:
        return newest(orders).id
    own = find(subscription)
    return str((own.body.get("initialOrder") if own else None) or "")


def _is_of(order: StoredObject, subscription: str) -> bool:
    return any(item.get("subscription") == subscription for item in rows(order.body, "items"))


# Whether a look has seen what an event carries


def contains(seen: Object, body: bytes) -> bool:
    """Whether `seen` (Found.seen) holds what the event carries, equal in all that counts; False in any doubt."""
    try:
        (event,) = events_in(body)
        return _holds(seen, event)
    except (UnreadableError, ValueError):
        return False


def _holds(seen: Object, event: Object) -> bool:
    data, type_ = part(event, "data"), text(event, "type") or ""
    about = type_.partition(".")[0]
    if about == "return" or flag(event, "live") is None:
        return False
    carried = part(data, about) or data
    known = part(seen, about)
    if about == "subscription" and "state" in carried:
        return _bare(reduced_subscription(carried)) == _bare(reduced_subscription(known))
    if about == "order" and "items" in carried:
        return type_ not in _OVER and _bare(reduced_order(carried)) == _bare(reduced_order(known))
    # expansion off: a charge names its subscription, and how many charges there have been
    same = id_of(data, about) == known.get("id") is not None
    return type_ == "subscription.charge.completed" and same and data.get("sequence") == known.get("sequence")


def _bare(facts: Reduced) -> Reduced:
    return {name: value for name, value in facts.items() if name not in ("customer", "texts", "initialOrder")}
