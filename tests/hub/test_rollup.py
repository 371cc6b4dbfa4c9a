"""Summaries as one picture of an account and of each renewal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from hub.domain import UsageSummary
from hub.rollup import accounts, renewals, roll_up


def one(id_: str = "e1", **values: Any) -> UsageSummary:
    known: dict[str, Any] = {"account_ref": "a", "as_of": date(2027, 7, 1), "signal": "steady", "confidence": "high"}
    return UsageSummary(entitlement_id=id_, **(known | values))


@pytest.mark.parametrize(
    ("signals", "gravest"),
    [
        (["steady", "at_risk", "overdraft"], "at_risk"),
        (["steady", "overdraft"], "overdraft"),
        (["insufficient_data", "steady"], "steady"),
        (["dormant", "contraction"], "dormant"),
        (["a_new_word", "steady"], "steady"),
    ],
)
def test_the_gravest_signal_speaks_with_its_own_sentence(signals: list[str], gravest: str) -> None:
    rolled = roll_up([one(f"e{n}", signal=signal, sentence=signal) for n, signal in enumerate(signals)])
    assert (rolled.signal, rolled.sentence) == (gravest, gravest)


def test_what_holds_less_than_a_fifth_of_the_value_does_not_speak() -> None:
    small, large = one("e1", signal="at_risk", value=19.0), one("e2", value=81.0)
    assert roll_up([small, large]).signal == "steady"
    assert roll_up([replace(small, value=20.0), replace(large, value=80.0)]).signal == "at_risk"
    assert roll_up([replace(small, value=None), large]).signal == "at_risk"


def test_seats_are_summed_only_where_all_are_known() -> None:
    rows = [one("e1", seats_licensed=10, recommended_seats=8), one("e2", seats_licensed=20)]
    rolled = roll_up(rows)
    assert (rolled.seats_licensed, rolled.recommended_seats) == (30, None)


def test_shares_are_weighted_by_seats() -> None:
    rolled = roll_up(
        [one("e1", seats_licensed=10, utilization_90d=1.0), one("e2", seats_licensed=30, utilization_90d=0.2)]
    )
    assert rolled.utilization_90d == pytest.approx(0.4)
    assert roll_up([one(utilization_90d=0.5)]).utilization_90d == 0.5
    assert roll_up([one()]).utilization_90d is None


def test_what_ends_within_45_days_is_one_renewal() -> None:
    days = [date(2027, 9, 30), date(2027, 11, 14), date(2027, 11, 15), None, date(2027, 10, 1)]
    groups = renewals([one(f"e{n}", renewal=day) for n, day in enumerate(days)])
    assert [[each.entitlement_id for each in group] for group in groups] == [["e0", "e4", "e1"], ["e2"]]


def test_the_earliest_end_is_the_next_renewal() -> None:
    rows = [one("e1", renewal=date(2028, 1, 1)), one("e2", renewal=date(2027, 9, 1))]
    (account,) = accounts(rows)
    assert (account.whole.renewal, len(account.renewals)) == (date(2027, 9, 1), 2)


def test_of_two_summaries_of_an_entitlement_the_newer_counts() -> None:
    rows = [one(as_of=date(2027, 7, 2), signal="at_risk"), one(as_of=date(2027, 7, 1))]
    for given in (rows, rows[::-1]):
        (account,) = accounts(given)
        assert account.whole.signal == "at_risk"


def test_customers_are_kept_apart() -> None:
    assert [each.account_ref for each in accounts([one("e1", account_ref="b"), one("e2"), one("e3")])] == ["a", "b"]
