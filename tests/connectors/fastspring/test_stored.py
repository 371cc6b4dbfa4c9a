"""Without API credentials the newest stored versions stand in; a look knows whether it saw what an event carries."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.fastspring.purchase import found_order, found_subscription
from connectors.fastspring.stored import assemble, contains, newest, stored
from hub.domain import Ref, Standing
from hub.ports import Found, SeeOther, StoredObject, Waiting
from tests.scenarios.fastspring_table import back, day, order, sub

FIXTURES = Path(__file__).parent / "fixtures"
SUB = Ref(source="fs", kind="subscription", id="s1")


def an_event(type_: str, data: dict[str, Any], created: int = 1_000, id_: str = "e1") -> bytes:
    return json.dumps({"id": id_, "type": type_, "created": created, "live": True, "data": data}).encode()


def told(ref: Ref, *bodies: bytes) -> Any:
    """What events bring comes to."""
    versions: dict[str, list[StoredObject]] = {}
    for one in itertools.chain.from_iterable(map(stored, bodies)):
        versions.setdefault(one.id, []).append(one)
    kept = {id_: newest(many) for id_, many in versions.items()}
    own = [one for one in kept.values() if one.kind in (ref.kind, "return")]
    return assemble("fs", ref, own, kept.get)


def test_a_version_with_more_charges_is_newer_then_one_edited_later_then_one_told_later() -> None:
    ended = sub("deactivated", active=False)
    versions = [
        an_event("subscription.updated", sub(sequence=1, changed=9, quantity=9), 9_000_000),
        an_event("subscription.updated", sub(sequence=2, changed=1, quantity=1), 1_000),
        an_event("subscription.updated", sub(sequence=2, changed=2, quantity=2), 1_000),
        an_event("subscription.canceled", sub("canceled", sequence=2, changed=2, quantity=3), 2_000),
        an_event("subscription.deactivated", ended | {"sequence": 2, "changed": 2}, 2_000),
    ]
    for many in itertools.permutations(versions):
        found = newest([one for body in many for one in stored(body)])
        assert found.body["state"] == "deactivated"
    found = newest([one for body in versions[:3] for one in stored(body)])
    assert found.body["quantity"] == 2


def test_an_event_leaves_every_object_that_it_carries_whole() -> None:
    body = (FIXTURES / "subscription.charge.completed__rebill.json").read_bytes()
    assert {one.kind for one in stored(body)} == {"subscription", "order", "account"}
    order_alone = (FIXTURES / "order.completed__subscription.json").read_bytes()
    assert {one.kind for one in stored(order_alone)} == {"subscription", "order", "account"}
    bare = (FIXTURES / "subscription.charge.completed__ids_alone.json").read_bytes()
    assert stored(bare) == []
    assert stored((FIXTURES / "account.created__ignored.json").read_bytes()) == []
    assert stored(b"product=pro&order=o1") == ()


def test_a_subscription_takes_its_buyer_s_name_from_whatever_event_brought_it() -> None:
    account = {"id": "a1", "contact": {"company": "Cedar Works"}, "lookup": {"custom": "crm_7"}}
    found = told(
        SUB,
        an_event("subscription.updated", sub(), 2_000),
        an_event("order.completed", order(account=account), 1_000),
    )
    assert isinstance(found, Found)
    assert (found.purchase.customer.name, found.purchase.customer.customer_ref) == ("Cedar Works", "crm_7")


def test_what_no_event_brought_is_waited_for() -> None:
    assert told(SUB) == Waiting(because="no event has brought this subscription yet", on="s1")


def test_an_order_of_subscriptions_alone_is_told_by_all_of_them() -> None:
    items = [{"product": "pro", "subscription": "s1"}, {"product": "team", "subscription": {"id": "s2"}}]
    ref = Ref(source="fs", kind="order", id="o1")
    found = told(ref, an_event("order.completed", order(items=items)))
    assert found == SeeOther(ref=SUB, also=(Ref(source="fs", kind="subscription", id="s2"),))


@pytest.mark.parametrize(("type_", "status"), [("order.canceled", "canceled"), ("order.failed", "failed")])
def test_an_order_that_was_called_off_has_ended(type_: str, status: str) -> None:
    ref = Ref(source="fs", kind="order", id="o1")
    completed = an_event("order.completed", order(), 1_000)
    found = told(ref, completed, an_event(type_, order(completed=False), 2_000, "e2"))
    assert (found.purchase.standing, found.purchase.status) == (Standing.ENDED, status)


def test_a_return_leads_to_the_order_and_to_the_subscriptions_of_what_came_back() -> None:
    ref = Ref(source="fs", kind="return", id="r1")
    items = [{"product": "perp"}, {"product": "pro", "subscription": "s1"}, {"product": "team", "subscription": "s2"}]
    sold = an_event("order.completed", order(items=items))
    to_order = Ref(source="fs", kind="order", id="o1")
    given = an_event("return.created", back("pro", "full"))
    assert told(ref, sold, given) == SeeOther(ref=SUB, keep=True)
    both = back("pro", "full") | {"items": [{"product": "pro"}, {"product": "perp"}]}
    assert told(ref, sold, an_event("return.created", both)) == SeeOther(ref=to_order, keep=True, also=(SUB,))
    assert told(ref, given) == SeeOther(ref=to_order, keep=True)  # of an order that nobody has told of


def test_the_newest_order_that_names_a_subscription_paid_its_present_term() -> None:
    items = [{"product": "pro", "subscription": "s1"}]
    events = [
        an_event("order.completed", order(items=items), 1_000),
        an_event("subscription.updated", sub(), 1_000),
        an_event("return.created", back("pro", "full"), 3_000),
    ]
    assert told(SUB, *events).purchase.lines[0].reversed
    objects = [one for body in events for one in stored(body)]
    rebill = stored(an_event("order.completed", order(items=items, id="o2", changed=day("2027-09-01")), 2_000))
    found = assemble("fs", SUB, [*objects, *rebill], {one.id: one for one in objects}.get)
    assert isinstance(found, Found)
    assert (found.purchase.lines[0].reversed, [flag.kind for flag in found.purchase.flags]) == ("", ["earlier refund"])


# what a look has seen


def test_a_look_that_saw_the_same_needs_no_second_one() -> None:
    seen = found_subscription("fs", sub()).seen
    assert contains(seen, an_event("subscription.activated", sub()))
    assert contains(seen, an_event("subscription.activated", sub(product={"product": "pro"}, account={"id": "a1"})))
    for other in ({"quantity": 6}, {"state": "canceled"}, {"next": day("2028-09-01")}, {"id": "s2"}):
        assert not contains(seen, an_event("subscription.updated", sub() | other))
    assert contains(found_order("fs", order()).seen, an_event("order.completed", order()))


def test_a_charge_with_expansion_off_is_seen_by_its_number() -> None:
    seen = found_subscription("fs", sub(sequence=2)).seen
    data = {"subscription": "s1", "order": "o2", "sequence": 2, "account": "a1"}
    assert contains(seen, an_event("subscription.charge.completed", data))
    assert not contains(seen, an_event("subscription.charge.completed", data | {"sequence": 3}))
    assert not contains(seen, an_event("subscription.charge.completed", data | {"subscription": "s2"}))


@pytest.mark.parametrize("body", [b"product=pro", b"{}", b"[]", an_event("return.created", back("pro", "full"))])
def test_in_doubt_a_second_look_is_taken(body: bytes) -> None:
    assert not contains(found_subscription("fs", sub()).seen, body)
