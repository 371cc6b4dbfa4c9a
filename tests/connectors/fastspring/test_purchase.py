"""Objects in any shape -> one purchase; what was seen gives it again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.fastspring.purchase import found_order, found_subscription, from_seen, of_order, of_subscription
from connectors.fastspring.shapes import reduced_order, reduced_return, reduced_subscription
from hub.domain import Standing
from hub.errors import UnreadableError
from tests.scenarios.fastspring_table import back, day, order, sub

FIXTURES = Path(__file__).parent / "fixtures"


def data(name: str) -> dict[str, Any]:
    body = json.loads((FIXTURES / f"{name}.json").read_text())
    return dict((body.get("events") or [body])[0]["data"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("active", "state", "standing"),
    [
        (True, "active", Standing.CURRENT),
        (True, "trial", Standing.CURRENT),
        (True, "canceled", Standing.CURRENT),
        (True, "overdue", Standing.OVERDUE),
        (True, "paused", Standing.SUSPENDED),
        (True, "deactivated", Standing.UNKNOWN),
        (True, "invented", Standing.UNKNOWN),
        (True, None, Standing.UNKNOWN),
        (False, "active", Standing.ENDED),
        (False, "canceled", Standing.ENDED),
        (False, "deactivated", Standing.ENDED),
        (None, "deactivated", Standing.ENDED),
        (None, "active", Standing.CURRENT),
    ],
)
def test_active_and_state_are_read_together(active: bool | None, state: str | None, standing: Standing) -> None:
    assert of_subscription("fs", sub() | {"active": active, "state": state}).standing is standing


def test_an_end_that_is_due_is_paid_for_its_day() -> None:
    ends = {"deactivationDate": day("2027-08-31"), "canceledDate": day("2027-01-05")}
    purchase = of_subscription("fs", sub("canceled", **ends))
    assert (purchase.lines[0].paid_until, purchase.ends_at) == (at("2027-09-01"), at("2027-08-31"))


@pytest.mark.parametrize(
    ("unit", "length", "next_", "start"),
    [
        ("month", 1, "2027-03-31", "2027-02-28"),
        ("month", 3, "2027-01-15", "2026-10-15"),
        ("year", 1, "2028-02-29", "2027-02-28"),
        ("week", 2, "2026-10-01", "2026-09-17"),
        ("day", 10, "2026-10-01", "2026-09-21"),
        ("year", 1, "2027-01-01", "2026-09-01"),  # not before it began
        ("adhoc", 1, "2027-01-01", "2026-09-01"),
    ],
)
def test_a_period_starts_an_interval_before_the_next_charge(unit: str, length: int, next_: str, start: str) -> None:
    purchase = of_subscription("fs", sub(intervalUnit=unit, intervalLength=length, next_=next_))
    assert purchase.lines[0].period_start == at(start)


def test_expansion_on_and_off_give_the_same_lines() -> None:
    off = of_subscription("fs", data("subscription.activated__ids_alone"))
    whole = of_subscription("fs", data("subscription.activated__active"))
    assert [line.keys for line in off.lines] == [line.keys for line in whole.lines] == [("pro-annual",)]
    assert (whole.customer.name, whole.customer.customer_ref) == ("Cedar Works", "crm_7")
    assert off.customer.name is None


def test_a_buyer_without_a_company_is_known_by_name_else_by_e_mail() -> None:
    contact = {"first": "Ada", "last": "Byron", "email": "ada@example.com", "company": None}
    named = of_subscription("fs", sub(account={"id": "a1", "contact": contact}))
    assert (named.customer.id, named.customer.name) == ("a1", "Ada Byron")
    bare = of_subscription("fs", sub(account={"id": "a1", "contact": contact | {"first": None, "last": None}}))
    assert bare.customer.name == "ada@example.com"


def test_add_ons_are_lines_of_their_own_with_the_same_term() -> None:
    purchase = of_subscription("fs", sub(addons=[{"product": {"product": "pack"}, "sku": "P-10", "quantity": 2}]))
    assert [(line.id, line.keys, line.quantity) for line in purchase.lines] == [
        ("s1", ("pro",), 5),
        ("s1/pack", ("pack", "P-10"), 2),
    ]
    assert len({line.paid_until for line in purchase.lines}) == 1


@pytest.mark.parametrize(("sequence", "taken"), [(1, True), (2, False), (None, False)])
def test_where_no_order_is_known_to_have_paid_the_first_term_s_return_is_told_by_the_number_of_charges(
    sequence: int | None, *, taken: bool
) -> None:
    purchase = of_subscription("fs", sub(sequence=sequence), [back("pro", "full")])
    assert bool(purchase.lines[0].reversed) is taken
    assert [flag.kind for flag in purchase.flags] == ([] if taken else ["earlier refund"])


def test_two_items_of_one_product_are_two_lines_and_only_a_return_of_both_takes_them_back() -> None:
    twice = order(items=[{"product": "perp", "quantity": 1}, {"product": "perp", "quantity": 2}])
    one_back = of_order("fs", twice, [back("perp", "full", 1)])
    assert len({line.id for line in one_back.lines}) == 2
    half = {"product": "perp", "quantity": 1, "returned": "partial"}
    mixed = back("perp", "full", 1) | {"items": [half, half | {"returned": "full"}]}
    assert not any(line.reversed for line in of_order("fs", twice, [mixed]).lines)


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.json")))
def test_what_was_seen_gives_the_same_purchase_again_and_holds_no_e_mail_address(name: str) -> None:
    carried, kind = data(name), name.partition(".")[0]
    whole = carried.get(kind) if isinstance(carried.get(kind), dict) else carried
    if kind == "subscription" and "state" in whole:
        found = found_subscription("fs", whole, [back("pro-annual", "full")], "o1")
    elif kind == "order" and "items" in whole:
        found = found_order("fs", whole, [back("perpetual", "partial", 1)])
    else:
        return
    assert from_seen("fs", json.loads(json.dumps(found.seen))) == found.purchase
    assert "@" not in json.dumps(found.seen)


def test_reducing_what_is_reduced_changes_nothing() -> None:
    cases = [
        (reduced_subscription, data("subscription.charge.completed__rebill")["subscription"]),
        (reduced_subscription, sub(addons=[{"product": "pack", "quantity": 2}], tags={"team": "b"})),
        (reduced_order, data("order.completed__subscription")),
        (reduced_return, data("return.created__full")),
    ]
    for reduce, whole in cases:
        assert reduce(reduce(whole)) == reduce(whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None, "subscription": None},
        {"product": None},
        {"product": 5},
        {"next": "soon"},
        {"next": -1},
        {"next": True},
        {"quantity": 1.5},
        {"quantity": -1},
        {"active": "yes"},
        {"state": 5},
        {"addons": {}},
        {"addons": ["pack"]},
        {"account": 5},
    ],
)
def test_a_malformed_object_can_t_be_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        of_subscription("fs", sub() | wrong)
