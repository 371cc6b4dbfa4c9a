"""Figures of seat usage, on numbers made by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from hub.usage import Rules, metrics
from hub.usage.calendars import business_days
from hub.usage.days import read
from hub.usage.summaries import summarize
from tests.hub.usage.histories import AS_OF, a_history, days_of

NAN = float("nan")


def week(*values: float) -> list[float]:
    """Saturday to Friday, as weeks end on AS_OF."""
    return [0, 0, *values]


def test_a_business_day_is_a_weekday_that_is_no_holiday() -> None:
    days = business_days("US", date(2026, 7, 1).toordinal(), 7)
    assert days.tolist() == [True, True, False, False, False, True, True]  # the 4th is a Saturday: observed on Friday


def test_in_a_Sunday_to_Thursday_country_Friday_is_no_business_day() -> None:
    friday = date(2026, 6, 26).toordinal()
    assert business_days("SA", friday, 3).tolist() == [False, False, True]


@pytest.mark.parametrize("country", ["", "ZZ", "Atlantis"])
def test_an_unknown_country_works_Monday_to_Friday(country: str) -> None:
    christmas = date(2026, 12, 25).toordinal()  # a Friday
    assert business_days(country, christmas, 3).tolist() == [True, False, False]


def test_utilization_uses_each_day_s_own_seats_and_leaves_out_days_without_any() -> None:
    days = days_of(week(10, 10, 10, 10, 10), seats=[10, 10, 0, 10, 20, 20, 40], country="")
    assert metrics.utilization(days, 7) == pytest.approx((100 + 50 + 50 + 25) / 4)
    assert metrics.utilization(days_of(week(1, 1, 1, 1, 1), seats=0), 7) is None


def test_p95_is_linear_and_the_most_of_fewer_than_ten_days() -> None:
    two = week(1, 2, 3, 4, 5) + week(6, 7, 8, 9, 10)
    assert metrics.p95_peak(days_of(two, country=""), 28) == pytest.approx(9.55)
    assert metrics.p95_peak(days_of(week(1, 2, 3, 4, 50), country=""), 28) == 50
    assert metrics.p95_peak(days_of([NAN] * 30), 28) is None


def test_unknown_days_are_neither_use_nor_business() -> None:
    days = days_of(week(NAN, NAN, 30, 40, NAN), country="")
    assert metrics.known_share(days, 7) == pytest.approx(0.4)
    assert metrics.p95_peak(days, 7) == 40
    assert metrics.known_share(days_of([1, 1], as_of=date(2026, 6, 28), country=""), 2) is None


def test_overdraft_counts_days_seats_and_the_longest_row_which_an_unknown_day_ends() -> None:
    over = metrics.overdraft(days_of([12, 9, 0, 13, 12, NAN, 11], seats=10, country=""), 60)
    assert (over.days, over.business_days, over.longest, over.most, over.seat_days) == (4, 3, 2, 3, 8)
    assert over.share == pytest.approx(0.75)
    assert metrics.overdraft(days_of([NAN] * 7), 60).share is None


def test_only_known_days_at_a_limit_above_nothing_are_pinned() -> None:
    assert metrics.pinned_days(days_of([10, 9, 10, NAN, 12], seats=10, cap=[10, 10, 12, 10, 12]), 60) == 2
    assert metrics.pinned_days(days_of([0, 0], seats=0), 60) == 0


def test_demand_at_the_limit_adds_those_turned_away_and_not_more_than_three_fifths() -> None:
    days = days_of([10, 10, 9, 10], seats=10, denials=np.array([3, 600, 30, NAN]))
    assert days.demand.tolist() == [12, 16, 9, 10]


def test_days_since_use_leave_out_unknown_days() -> None:
    assert metrics.days_since_use(days_of([5, 0, NAN, NAN, 0])) == 2
    assert metrics.days_since_use(days_of([0, 0, NAN])) is None
    assert metrics.days_since_use(days_of([0, 5])) == 0


def test_a_week_has_the_median_of_its_business_days_if_three_are_known() -> None:
    levels = metrics.weekly_levels(days_of(week(1, 2, 90, 3, 4) + week(5, NAN, NAN, NAN, 7), country=""), 4)
    assert np.isnan(levels[[0, 2, 3]]).all()
    assert levels[1] == 3


def test_days_around_the_turn_of_the_year_make_no_week() -> None:
    levels = metrics.weekly_levels(days_of([10.0] * 28, as_of=date(2026, 1, 9), country=""), 4)
    assert np.isnan(levels[1:3]).all()  # 20 December to 2 January
    assert levels[[0, 3]].tolist() == [10, 10]


def test_the_trend_is_the_median_slope_per_thirty_days() -> None:
    levels = np.arange(100.0, 74.0, -1)  # the newest first: one seat more a week
    found = metrics.trend(levels, 26)
    assert found is not None
    assert found.seats == pytest.approx(30 / 7)
    assert found.low == found.high == pytest.approx(30 / 7)
    assert found.percent == pytest.approx(30 / 7 / 75 * 100)
    assert found.p_value < 1e-6


def test_one_wild_week_does_not_bend_the_trend() -> None:
    levels = np.full(26, 50.0)
    levels[3] = 500
    found = metrics.trend(levels, 26)
    assert found is not None
    assert (found.seats, found.low, found.high) == (0, 0, 0)
    assert found.p_value > 0.1


@pytest.mark.parametrize(("window", "least"), [(13, 5), (26, 8), (52, 16)])
def test_a_trend_of_too_few_weeks_is_none(window: int, least: int) -> None:
    levels = np.full(104, NAN)
    levels[: least - 1] = 5
    assert metrics.trend(levels, window) is None
    levels[least - 1] = 5
    assert metrics.trend(levels, window) is not None


def test_a_trend_from_nothing_has_no_percentage() -> None:
    found = metrics.trend(np.zeros(26), 26)
    assert found is not None
    assert found.percent is None


def test_growth_compares_with_ninety_days_ago() -> None:
    levels = np.full(20, 50.0)
    levels[:3] = 60
    assert metrics.growth(levels) == pytest.approx(0.2)
    levels[12:15] = NAN
    assert metrics.growth(levels) is None


def test_dormant_needs_known_days_and_tells_crumbs_from_use() -> None:
    rules = Rules()
    assert metrics.dormant(days_of([50.0] * 60 + [0.0] * 30), rules)
    assert metrics.dormant(days_of([50.0] * 60 + [3.0] * 30, seats=100), rules)
    assert not metrics.dormant(days_of([50.0] * 60 + [4.0] * 30, seats=100), rules)
    assert not metrics.dormant(days_of([50.0] * 60 + [NAN] * 30), rules)


def test_many_at_once_have_the_figures_of_each_alone() -> None:
    chance = np.random.default_rng(5)
    peak = chance.integers(0, 30, (20, 365)).astype(np.float32)
    peak[chance.random(peak.shape) < 0.3] = np.nan
    peak[3], peak[4, :-40] = np.nan, np.nan
    seats = np.full_like(peak, 20)
    seats[5] = 0
    told = summarize(peak, seats, seats, country="DE", as_of=AS_OF.toordinal())
    for row in range(len(peak)):
        days = days_of(peak[row], seats=seats[row], country="DE")
        weekly = metrics.weekly_levels(days, 52)
        over = metrics.overdraft(days, 60)
        pairs = [
            (told.utilization_90d[row], metrics.utilization(days, 90)),
            (told.p95_peak_28d[row], metrics.p95_peak(days, 28)),
            (told.p95_peak_90d[row], metrics.p95_peak(days, 90)),
            (told.known_share_90d[row], metrics.known_share(days, 90)),
            (told.overdraft_days_60d[row], over.days),
            (told.overdraft_seat_days_60d[row], over.seat_days),
            (told.pinned_days_60d[row], metrics.pinned_days(days, 60)),
        ]
        for window in (13, 26, 52):
            found = metrics.trend(weekly, window)
            pairs.append((told.trend[window][row], found.seats if found else None))
        for together, alone in pairs:
            assert together == pytest.approx(NAN if alone is None else alone, rel=1e-4, abs=1e-4, nan_ok=True)


def test_a_history_with_arrays_of_two_lengths_says_which_and_how_long() -> None:
    with pytest.raises(
        ValueError, match=r"seats must have one entry a day, as peak has \(3\); it has the shape \(2,\)"
    ):
        days_of([1, 2, 3], seats=[1, 1], cap=[1, 1, 1])


@pytest.mark.parametrize("wrong", [-1.0, float("inf")])
def test_a_count_below_nothing_or_without_end_is_named_with_its_place(wrong: float) -> None:
    with pytest.raises(ValueError, match="peak counts, so that no entry may be negative or infinite; entry 1 is"):
        days_of([1, wrong, 3])


def test_a_missing_peak_and_a_date_that_is_none_are_named() -> None:
    with pytest.raises(ValueError, match="peak is missing"):
        read(a_history([1]) | {"peak": None}, Rules())
    with pytest.raises(ValueError, match="seats must be an array of numbers, NaN or None where unknown"):
        read(a_history([1]) | {"seats": ["ten"]}, Rules())
    with pytest.raises(ValueError, match="as_of must be a date"):
        read(a_history([1]) | {"as_of": 5}, Rules())


def test_what_comes_after_the_as_of_day_is_cut_and_a_jump_of_the_clock_is_unknown_days() -> None:
    cut = read(a_history([1, 2, 3]) | {"as_of": AS_OF - timedelta(1)}, Rules())
    jumped = read(a_history([1, 2, 3]) | {"as_of": AS_OF + timedelta(2)}, Rules())
    assert cut.peak.tolist() == [1, 2]
    assert np.isnan(jumped.peak[3:]).all()
    assert jumped.count == 5
