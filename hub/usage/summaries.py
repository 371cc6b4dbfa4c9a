"""The figures of a whole block of entitlements at once: what lists and boards sort by, without a judgement. Pure.

The same definitions as in `metrics`, over rows of equal length that end on one as-of day in one country.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import business_days, year_end
from hub.usage.metrics import LEAST_FOR_QUANTILE, LEAST_IN_WEEK, TREND_WEEKS, WEEK

Rows = NDArray[np.float32]
MONTH = 30 / WEEK


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """One entry an entitlement; NaN where a figure has no meaning. See the functions of the same names in `metrics`."""

    utilization_90d: Rows  # percent
    p95_peak_28d: Rows
    p95_peak_90d: Rows
    known_share_90d: Rows
    overdraft_days_60d: Rows
    overdraft_seat_days_60d: Rows
    pinned_days_60d: Rows
    trend: dict[int, Rows]  # weeks of the window -> seats per 30 days, Theil-Sen


def summarize(peak: Rows, seats: Rows, cap: Rows, *, country: str, as_of: int) -> Summaries:
    """Figures of entitlements (rows) whose days (columns) end on the ordinal `as_of`; `peak` is NaN where unknown.

    A few thousand rows at a time keep it in the processor's cache. Demand above the limit is not estimated here.
    """
    days = peak.shape[1]
    business = business_days(country, as_of - days + 1, days)
    quiet = year_end(as_of - days + 1, days)
    known = ~np.isnan(peak)
    above = np.where(known, peak - seats, 0)[:, -60:].clip(0)
    weekly = _weekly(np.where(business & ~quiet, peak, np.nan))
    return Summaries(
        utilization_90d=_utilization(peak[:, -90:], seats[:, -90:], business[-90:]),
        p95_peak_28d=_p95(peak[:, -28:][:, business[-28:]]),
        p95_peak_90d=_p95(peak[:, -90:][:, business[-90:]]),
        known_share_90d=_mean(known[:, -90:][:, business[-90:]]),
        overdraft_days_60d=(above > 0).sum(1).astype(np.float32),
        overdraft_seat_days_60d=above.sum(1).astype(np.float32),
        pinned_days_60d=(known & (peak >= cap) & (cap > 0))[:, -60:].sum(1).astype(np.float32),
        trend={weeks: _slopes(weekly[:, :weeks], least) for weeks, least in TREND_WEEKS.items()},
    )


def _mean(flags: NDArray[np.bool_]) -> Rows:
    return flags.mean(1, dtype=np.float32) if flags.shape[1] else np.full(len(flags), np.nan, np.float32)


def _utilization(peak: Rows, seats: Rows, business: NDArray[np.bool_]) -> Rows:
    counts = business & ~np.isnan(peak) & (seats > 0)
    shares = np.where(counts, peak / np.where(seats > 0, seats, 1), 0).sum(1)
    number = counts.sum(1)
    mean: Rows = np.where(number > 0, shares / np.maximum(number, 1) * 100, np.nan).astype(np.float32)
    return mean


def _p95(rows: Rows) -> Rows:
    """The 95th percentile (linear) of each row, the most of a short one."""
    if not rows.shape[1]:
        return np.full(len(rows), np.nan, np.float32)
    ordered, count = np.sort(rows, axis=1), (~np.isnan(rows)).sum(1)
    place = np.where(count >= LEAST_FOR_QUANTILE, 0.95 * (count - 1), count - 1).clip(0)
    low = np.floor(place).astype(int)
    at, high = np.arange(len(rows)), np.minimum(low + 1, np.maximum(count - 1, 0))
    found: Rows = ordered[at, low] + (ordered[at, high] - ordered[at, low]) * (place - low).astype(np.float32)
    return found


def _weekly(days: Rows) -> Rows:
    """The median of each whole week that ends on the last day, or a multiple of seven days before; newest first."""
    weeks = days.shape[1] // WEEK
    rows = np.sort(days[:, days.shape[1] - weeks * WEEK :].reshape(len(days), weeks, WEEK)[:, ::-1], axis=2)
    count = (~np.isnan(rows)).sum(2, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, WEEK - 1)
    middle = (np.take_along_axis(rows, low, 2) + np.take_along_axis(rows, high, 2)) / 2
    levels: Rows = np.where(count >= LEAST_IN_WEEK, middle, np.nan)[:, :, 0]
    return levels


def _slopes(weekly: Rows, least: int) -> Rows:
    """The median of all pairwise slopes of each row, in seats per 30 days; NaN where too few weeks are known."""
    newer, older = _pairs(weekly.shape[1])
    slopes = (weekly[:, newer] - weekly[:, older]) / (older - newer).astype(np.float32)
    slopes.sort(axis=1)
    known = (~np.isnan(weekly)).sum(1)
    count = known * (known - 1) // 2
    at = np.arange(len(weekly))
    middle = slopes[at, np.maximum(count - 1, 0) // 2] + slopes[at, np.minimum(count // 2, slopes.shape[1] - 1)]
    found: Rows = np.where(known >= least, middle * np.float32(MONTH / 2), np.nan)
    return found


@cache
def _pairs(weeks: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(weeks, 1)
