"""Wanted against held: only absolute differences, and none once they are written."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.decide import Pair, Plan, after, decide, pair, shrinking, whole_seconds
from hub.domain import (
    Action,
    ChangeOffering,
    CreateGroup,
    Disable,
    Enable,
    Entitlement,
    ExtendGroup,
    License,
    SetTerms,
)
from tests.factories import DAY, NOW, ORDER, YEAR, a_license, an_entitlement, an_offering

OFFERINGS = {
    "PRO-100": an_offering("PRO-100"),
    "TEAM-YEAR": an_offering("TEAM-YEAR"),
    "OTHER": an_offering("OTHER", product_id="prod_2"),
}
OFF = Disable(entitlement_id="ent_1")


def acts(wanted: Sequence[License], held: Sequence[Entitlement]) -> tuple[Action, ...]:
    return decide(pair(wanted, held, OFFERINGS))


# pairing


def test_an_entitlement_of_the_same_offering_carries_the_license() -> None:
    held = [an_entitlement("ent_1", offering="TEAM-YEAR"), an_entitlement("ent_2")]
    assert pair([a_license()], held, OFFERINGS) == Plan(
        pairs=(Pair(wanted=a_license(), held=held[1]),), surplus=(held[0],)
    )


def test_a_changed_product_is_carried_on_by_the_entitlement_that_shares_its_line() -> None:
    plan = pair([a_license("TEAM-YEAR")], [an_entitlement()], OFFERINGS)
    assert [(one.held.id, one.to) for one in plan.pairs] == [("ent_1", OFFERINGS["TEAM-YEAR"])]


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        (a_license("TEAM-YEAR", lines=("si_2",)), an_entitlement()),
        (a_license("OTHER"), an_entitlement()),
        (a_license("NOT-THERE"), an_entitlement()),
    ],
    ids=["no line in common", "another product", "no such offering"],
)
def test_what_does_not_carry_on_is_made_anew(wanted: License, held: Entitlement) -> None:
    assert pair([wanted], [held], OFFERINGS) == Plan(missing=(wanted,), surplus=(held,))


def test_a_license_that_is_off_is_not_made() -> None:
    assert pair([a_license(enabled=False)], [], OFFERINGS) == Plan()


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        (an_entitlement("ent_2", seats_used=1), an_entitlement("ent_1")),
        (an_entitlement("ent_2"), an_entitlement("ent_1", enabled=False)),
        (an_entitlement("ent_2", created_at=NOW - DAY), an_entitlement("ent_1")),
        (an_entitlement("ent_2", enabled=False, seats_used=1), an_entitlement("ent_1")),
        (an_entitlement("ent_1"), an_entitlement("ent_2")),
    ],
    ids=["in use", "on", "older", "in use before on", "by id at last"],
)
def test_of_doubled_entitlements_the_one_in_use_stays(kept: Entitlement, other: Entitlement) -> None:
    for held in ([kept, other], [other, kept]):
        plan = pair([a_license()], held, OFFERINGS)
        assert (plan.pairs[0].held, plan.surplus) == (kept, (other,))


# deciding


def test_equal_is_nothing_to_do() -> None:
    assert acts([a_license()], [an_entitlement()]) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "terms"),
    [
        ({"seats": 8}, {}, {"seats": 8}),
        ({"seats": 8}, {"seats": 10}, {"seats": 8}),
        ({"seats": 8}, {"seats": 10, "seats_used": 9}, {"seats": 8, "force": True}),
        ({"seats": 8}, {"seats": 10, "seats_used": 8}, {"seats": 8}),
        ({"overdraft": 2}, {}, {"overdraft": 2}),
        ({"overdraft": 0}, {"overdraft": 2}, {"overdraft": 0}),
        ({"expires_at": NOW}, {}, {"expires_at": NOW}),
        ({"expires_at": NOW + timedelta(microseconds=9)}, {}, {"expires_at": NOW}),
        ({}, {"expires_at": None}, {"expires_at": NOW + YEAR + 7 * DAY}),
        ({}, {"own_grace": True}, {"expires_at": NOW + YEAR}),
    ],
)
def test_only_what_differs_is_written(wanted: dict[str, Any], found: dict[str, Any], terms: dict[str, Any]) -> None:
    assert acts([a_license(**wanted)], [an_entitlement(**found)]) == (SetTerms(entitlement_id="ent_1", **terms),)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"seats": None}, {"seats": 40}),
        ({"overdraft": None}, {"overdraft": 4}),
        ({"expires_at": None, "paid_until": None}, {}),
        ({"expires_at": NOW + timedelta(microseconds=1)}, {"expires_at": NOW}),
        ({"expires_at": NOW}, {"perpetual": True, "expires_at": None}),
        ({"enabled": False}, {"enabled": False}),
    ],
    ids=["own seats", "own overdraft", "no date known", "below a second", "perpetual", "off already"],
)
def test_what_the_policy_does_not_say_stays(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    assert acts([a_license(**wanted)], [an_entitlement(**found)]) == ()


def test_switching_off_comes_first_and_switching_on_last() -> None:
    assert acts([a_license(enabled=False, seats=2)], [an_entitlement()])[0] == OFF
    assert acts([a_license(seats=2)], [an_entitlement(enabled=False)])[-1] == Enable(entitlement_id="ent_1")


def test_a_changed_offering_has_all_its_terms_set_again() -> None:
    changed = ChangeOffering(entitlement_id="ent_1", offering_id="off_TEAM-YEAR", sku="TEAM-YEAR")
    terms = SetTerms(entitlement_id="ent_1", expires_at=NOW + YEAR + 7 * DAY, seats=1)
    assert acts([a_license("TEAM-YEAR")], [an_entitlement()]) == (changed, terms)


def test_an_offering_with_fewer_seats_than_are_in_use_is_forced() -> None:
    change, terms = acts([a_license("TEAM-YEAR", seats=2)], [an_entitlement(seats=5, seats_used=4)])
    assert isinstance(change, ChangeOffering)
    assert isinstance(terms, SetTerms)
    assert change.force
    assert terms.force


def test_what_nothing_pays_for_is_switched_off_and_never_deleted() -> None:
    assert acts([], [an_entitlement()]) == (OFF,)
    assert acts([], [an_entitlement(enabled=False)]) == ()


@pytest.mark.parametrize("wanted", [[], [a_license(seats=9)], [a_license("TEAM-YEAR")], [a_license(enabled=False)]])
def test_a_frozen_entitlement_is_not_written_to(wanted: list[License]) -> None:
    assert acts(wanted, [an_entitlement(frozen=True)]) == ()


def test_a_missing_license_comes_alone_and_into_the_group_that_is_there() -> None:
    extend = ExtendGroup(group_id="egr_1", order_ref=ORDER, skus=("OTHER",))
    assert acts([a_license(seats=9), a_license("OTHER", lines=("si_2",))], [an_entitlement()]) == (extend,)


def test_the_old_one_is_switched_off_only_once_the_new_one_is_there() -> None:
    wanted, old = [a_license("OTHER")], an_entitlement()
    assert acts(wanted, [old]) == (ExtendGroup(group_id="egr_1", order_ref=ORDER, skus=("OTHER",)),)
    assert acts(wanted, [old, an_entitlement("ent_2", offering="OTHER", product_id="prod_2")]) == (OFF,)


def test_without_a_group_there_is_nothing_to_extend() -> None:
    assert acts([a_license()], []) == ()


# shrinking


@pytest.mark.parametrize(
    ("action", "counts"),
    [
        (OFF, True),
        (Enable(entitlement_id="ent_1"), False),
        (SetTerms(entitlement_id="ent_1", seats=4), True),
        (SetTerms(entitlement_id="ent_1", seats=5), False),
        (SetTerms(entitlement_id="ent_1", seats=6), False),
        (SetTerms(entitlement_id="ent_1", seats=0), True),
        (SetTerms(entitlement_id="ent_1", expires_at=NOW), True),
        (SetTerms(entitlement_id="ent_1", expires_at=NOW + 2 * YEAR), False),
        (SetTerms(entitlement_id="ent_1", maintenance_until=NOW - DAY), True),
        (SetTerms(entitlement_id="ent_1", maintenance_until=NOW + DAY), False),
        (SetTerms(entitlement_id="ent_1", overdraft=2), False),
        (ChangeOffering(entitlement_id="ent_1", offering_id="off", sku="TEAM-YEAR"), True),
    ],
)
def test_the_guard_counts_what_takes_something_away(action: Action, *, counts: bool) -> None:
    held = an_entitlement(seats=5, maintenance_until=NOW)
    assert bool(shrinking(action, held)) is counts
    assert shrinking(action, replace(held, enabled=False)) == {}


def test_an_end_where_there_was_none_takes_something_away() -> None:
    ends = SetTerms(entitlement_id="ent_1", expires_at=NOW, maintenance_until=NOW, seats=9)
    held = an_entitlement(expires_at=None, seats=5)
    assert shrinking(ends, held) == {"expires_at": NOW}


def test_whole_seconds_cut_and_keep_none() -> None:
    assert whole_seconds(NOW + timedelta(microseconds=999_999)) == NOW
    assert whole_seconds(None) is None


# properties: any wanted against anything held

SKUS, LINES = sorted(OFFERINGS), ("si_1", "si_2", "si_3")
dates = st.integers(0, 10**9).map(lambda tick: NOW + timedelta(milliseconds=tick))


def a_choice_of_licenses() -> st.SearchStrategy[list[License]]:
    def licenses(skus: list[str], values: list[tuple[Any, ...]]) -> list[License]:
        rows = zip(sorted(skus), values, LINES, strict=False)
        return [
            a_license(sku, seats=seats, overdraft=over, expires_at=date, paid_until=date, enabled=on, lines=(line,))
            for sku, (seats, over, date, on), line in rows
        ]

    counts = st.none() | st.integers(1, 9)
    values = st.tuples(counts, counts, st.none() | dates, st.booleans())
    return st.builds(licenses, st.lists(st.sampled_from(SKUS), unique=True), st.lists(values, min_size=3, max_size=3))


def a_choice_of_entitlements() -> st.SearchStrategy[list[Entitlement]]:
    def one(sku: str, **values: Any) -> Entitlement:
        return an_entitlement("", offering=sku, product_id=OFFERINGS[sku].product_id, **values)

    each = st.builds(
        one,
        st.sampled_from(SKUS),
        seats=st.integers(1, 9),
        seats_used=st.integers(0, 9),
        overdraft=st.none() | st.integers(0, 9),
        expires_at=st.none() | dates,
        enabled=st.booleans(),
        own_grace=st.booleans(),
        perpetual=st.booleans(),
        frozen=st.booleans(),
        lines=st.lists(st.sampled_from(LINES), unique=True).map(tuple),
        created_at=st.none() | dates,
    )
    return st.lists(each, max_size=5).map(
        lambda rows: [replace(row, id=f"ent_{number}") for number, row in enumerate(rows)]
    )


def applied(wanted: Sequence[License], held: Sequence[Entitlement]) -> list[Entitlement]:
    """What is held once everything that is decided was done: what a look does, with a vendor that always obeys."""
    now = list(held)
    for _ in range(3):
        plan = pair(wanted, now, OFFERINGS)
        if plan.missing:
            now += [
                an_entitlement(
                    f"new_{one.offering}", offering=one.offering, product_id=OFFERINGS[one.offering].product_id
                )
                for one in plan.missing
            ]
            continue
        for action in decide(plan):
            assert not isinstance(action, CreateGroup | ExtendGroup)
            now = [after(action, one) if one.id == action.entitlement_id else one for one in now]  # type: ignore[union-attr]
    return now


@given(a_choice_of_licenses(), a_choice_of_entitlements())
def test_deciding_again_after_acting_gives_nothing(wanted: list[License], held: list[Entitlement]) -> None:
    assert acts(wanted, applied(wanted, held)) == ()


@given(a_choice_of_licenses(), a_choice_of_entitlements(), st.randoms(use_true_random=False))
def test_the_order_in_which_the_vendor_lists_things_decides_nothing(
    wanted: list[License], held: list[Entitlement], roll: random.Random
) -> None:
    first = acts(wanted, held)
    shuffled = held.copy()
    roll.shuffle(shuffled)
    assert acts(wanted, shuffled) == first


@given(a_choice_of_licenses(), a_choice_of_entitlements())
def test_I4_after_acting_each_wanted_license_is_on_exactly_once(wanted: list[License], held: list[Entitlement]) -> None:
    free = [replace(one, frozen=False) for one in held]
    on = [one.offering for one in applied(wanted, free) if one.enabled]
    assert sorted(on) == sorted(one.offering for one in wanted if one.enabled)


@given(a_choice_of_licenses(), a_choice_of_entitlements())
def test_no_action_touches_what_is_frozen_or_not_there(wanted: list[License], held: list[Entitlement]) -> None:
    free = {one.id for one in held if not one.frozen}
    for action in acts(wanted, held):
        assert isinstance(action, ExtendGroup) or action.entitlement_id in free  # type: ignore[union-attr]
