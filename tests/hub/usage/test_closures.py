"""A customer that shuts for a while uses nothing, and loses nothing: weekly judgements, settled, of a first year."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from hub.usage import Signal, judge
from hub.usage.days import closures
from hub.usage.history import Daily
from hub.usage.rules import Rules
from hub.usage.settling import settle_all
from tests.hub.usage.histories import AS_OF, a_history, days_of, used

FALLING = {Signal.AT_RISK, Signal.CONTRACTION, Signal.DORMANT}
DAYS, CLOSED_AT = 280, 200


def shut_for(days: int, *, left: float = 0.0) -> Daily:
    """Twenty of thirty seats in use since DAYS days; closed from a Monday, CLOSED_AT days in."""
    peak = used(20.0, DAYS)
    monday = CLOSED_AT - (AS_OF - timedelta(DAYS - 1 - CLOSED_AT)).weekday()
    peak[monday : monday + days] = left
    return peak


def told(peak: Daily, first: int = 150) -> set[Signal]:
    """Every signal that people are told of, week by week."""
    ends = range(first, DAYS, 7)
    cut = [a_history(peak[: end + 1], seats=30, as_of=AS_OF - timedelta(DAYS - 1 - end)) for end in ends]
    judged = [(one["as_of"], judge(one)) for one in cut]
    settled = [settle_all(judged[:n]) for n in range(1, len(judged) + 1)]
    return {one.signal for one in settled if one is not None}


@pytest.mark.parametrize("days", [7, 12, 14])
@pytest.mark.parametrize("left", [0.0, 2.0])
def test_a_closure_of_a_first_year_alarms_nobody(days: int, left: float) -> None:
    assert told(shut_for(days, left=left)) == {Signal.STEADY}


def test_what_goes_on_for_longer_than_a_closure_is_told() -> None:
    assert told(shut_for(35)) & FALLING


def test_use_that_halves_is_no_closure() -> None:
    assert told(shut_for(60, left=10.0)) & FALLING


def test_days_without_use_of_a_customer_with_hardly_any_are_nothing_special() -> None:
    assert not closures(np.array([2.0] * 60 + [0.0] * 5 + [2.0] * 20), np.ones(85, dtype=bool), Rules()).any()


def test_unknown_days_are_no_closure() -> None:
    peak = shut_for(14)
    peak[CLOSED_AT - 6 : CLOSED_AT + 14] = np.nan
    one = days_of(peak, seats=30)
    assert not (one.quiet & one.business)[CLOSED_AT - 6 : CLOSED_AT + 14].any()
