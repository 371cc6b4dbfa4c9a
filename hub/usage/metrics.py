"""Figures of seat usage, each exactly as docs/signals.md defines it. Pure; windows are counted back from the as-of day.

Where a figure has no meaning (no known business day, no licensed seat) it is None, never 0. Unknown days never count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import Flags
from hub.usage.days import Days
from hub.usage.history import Daily
from hub.usage.rules import Rules

WEEK = 7
LEAST_IN_WEEK = 3  # known business days before a week has a level
LEAST_FOR_QUANTILE = 10  # below this the most is taken instead of the 95th percentile
TREND_WEEKS = {13: 5, 26: 8, 52: 16}  # window -> weeks known in it at least
NINETY = 1.6448536269514722  # a normal error stays within so many standard deviations nine times in ten


def utilization(days: Days, window: int) -> float | None:
    """The mean of peak / licensed seats of that day over known business days, in percent."""
    at = np.flatnonzero(days.used & (days.seats > 0) & _within(days, window))
    return float(np.mean(days.peak[at] / days.seats[at]) * 100) if len(at) else None


def p95_peak(days: Days, window: int) -> float | None:
    """The 95th percentile (linear) of peaks on known business days, in seats; of fewer than ten days the most."""
    return _p95(days.peak[days.used & _within(days, window)])


def p95_demand(days: Days, window: int) -> float | None:
    """As `p95_peak`, of estimated demand."""
    return _p95(days.demand[days.used & _within(days, window)])


def known_share(days: Days, window: int) -> float | None:
    """Known business days / business days, 0 to 1."""
    within = _within(days, window)
    business = int((days.business & within).sum())
    return float((days.used & within).sum()) / business if business else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdraft:
    """Use above the licensed seats in a window."""

    days: int  # known days above
    business_days: int  # of them business days
    share: float | None  # of the known business days, 0 to 1
    longest: int  # most in a row; an unknown day ends a row
    most: float  # seats above at most
    seat_days: float  # seats above, summed over days


def overdraft(days: Days, window: int) -> Overdraft:
    """Use above the licensed seats in the last `window` days."""
    within = _within(days, window)
    above = np.where(days.known & within, np.nan_to_num(days.peak) - days.seats, 0).clip(0)
    over, known = above > 0, int((days.used & within).sum())
    business = int((over & days.business).sum())
    return Overdraft(
        days=int(over.sum()),
        business_days=business,
        share=business / known if known else None,
        longest=_longest(over),
        most=float(above.max(initial=0)),
        seat_days=float(above.sum()),
    )


def pinned_days(days: Days, window: int) -> int:
    """Known days at the limit: demand may have been higher."""
    return int((days.pinned & _within(days, window)).sum())


def denials(days: Days, window: int) -> float | None:
    """Denied requests; None where none of the days tells."""
    found = days.denials[_within(days, window)]
    return float(np.nansum(found)) if (~np.isnan(found)).any() else None


def days_since_use(days: Days) -> int | None:
    """Days from the last known one with use to the as-of day; unknown days after it do not count. None: never used."""
    used = np.flatnonzero(days.known & (np.nan_to_num(days.peak) > 0))
    return int(days.known[used[-1] + 1 :].sum()) if len(used) else None


def dormant(days: Days, rules: Rules) -> bool:
    """Whether it is known that (almost) nothing was used for `rules.dormant_days`."""
    recent = days.peak[_within(days, rules.dormant_days)]
    recent = recent[~np.isnan(recent)]
    least = max(0.5, rules.dormant_share * days.licensed)
    return days.count > rules.dormant_days and len(recent) > 0 and float(recent.max()) <= least


def weekly_levels(days: Days, weeks: int) -> Daily:
    """The median of demand on known business days, of each of the last `weeks` weeks, the newest first.

    A week is seven days that end `0, 7, 14, ...` days before the as-of day. NaN where fewer than three such days are
    known. Days from 20 December to 4 January are left out.
    """
    grid = np.full(weeks * WEEK, np.nan)
    wanted = np.where(days.used & ~days.quiet, days.demand, np.nan)[-weeks * WEEK :]
    grid[: len(wanted)] = wanted[::-1]
    rows = np.sort(grid.reshape(weeks, WEEK), axis=1)
    count = (~np.isnan(rows)).sum(1)
    row = np.arange(weeks)
    middle = (rows[row, np.maximum(count - 1, 0) // 2] + rows[row, np.minimum(count // 2, WEEK - 1)]) / 2
    return np.where(count >= LEAST_IN_WEEK, middle, np.nan)


def middle_days(days: Days, weeks: int) -> NDArray[np.int64]:
    """The ordinals of the middle days of the last `weeks` weeks, the newest first."""
    return days.as_of - WEEK // 2 - WEEK * np.arange(weeks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A slope of weekly levels: seats per 30 days with its 90 % interval, the same in percent, and how sure."""

    weeks: int
    seats: float
    low: float
    high: float
    percent: float | None  # of the level at the window's start; None where that is 0
    p_value: float  # of Mann-Kendall: the chance of such a rank trend where there is none


def trend(levels: Daily, window: int) -> Trend | None:
    """Theil-Sen slope over the newest `window` weeks (13, 26 or 52); None where too few of them are known."""
    known = np.flatnonzero(~np.isnan(levels[:window]))
    if len(known) < TREND_WEEKS[window]:
        return None
    x, y = -known[::-1].astype(float), levels[known[::-1]]
    slope, low, high, z = _theil_sen(x, y)
    start = float(np.median(y - slope * x) + slope * x[0])
    month = 30 / WEEK
    return Trend(
        weeks=window,
        seats=slope * month,
        low=low * month,
        high=high * month,
        percent=slope * month / start * 100 if start > 0 else None,
        p_value=math.erfc(abs(z) / math.sqrt(2)),
    )


def _theil_sen(x: Daily, y: Daily) -> tuple[float, float, float, float]:
    """The median of all pairwise slopes, its 90 % interval, and Mann-Kendall's z, corrected for ties."""
    n = len(x)
    older, newer = np.triu_indices(n, 1)
    rises = y[newer] - y[older]
    score = float(np.sign(rises).sum())
    ties = np.unique(y, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    z = (score - np.sign(score)) / math.sqrt(variance) if variance > 0 and score else 0.0
    slopes = np.sort(rises / (x[newer] - x[older]))
    reach = NINETY * math.sqrt(max(variance, 0))
    low, high = int(max(0, (len(slopes) - reach) // 2)), int(min(len(slopes) - 1, (len(slopes) + reach) // 2))
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high]), float(z)


def growth(levels: Daily) -> float | None:
    """The level now against the one 90 days ago, minus 1: medians of three weeks each. None where either is unknown."""
    now, before = levels[:3], levels[12:15]
    if np.isnan(now).all() or np.isnan(before).all():
        return None
    base = float(np.nanmedian(before))
    return float(np.nanmedian(now)) / base - 1 if base > 0 else None


def _within(days: Days, window: int) -> Flags:
    return np.arange(days.count) >= days.count - window


def _p95(values: Daily) -> float | None:
    if not len(values):
        return None
    return float(np.quantile(values, 0.95) if len(values) >= LEAST_FOR_QUANTILE else values.max())


def _longest(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
