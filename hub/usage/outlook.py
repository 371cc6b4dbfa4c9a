"""What will be wanted: demand around the renewal, and how many seats that calls for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hub.usage.days import Days
from hub.usage.shapes import DRAWS, Curves, Floats

TERM = 90
SLOWING = 0.29 / 13


def levels_ahead(curves: Curves, weeks: float) -> Floats:
    """The level in so many weeks, by draw: growth slows by a quarter each quarter, a fall goes on by shares of itself."""
    now, pace = curves.now, curves.pace
    grown = np.minimum(now + np.maximum(pace, 0) * (1 - np.exp(-SLOWING * weeks)) / SLOWING, now * 1.9 + 3)
    share = np.minimum(pace, 0) / np.maximum(now, 0.3)
    fallen = np.maximum(now * np.exp(share * min(weeks, 30)), np.minimum(0.12 * now, now))
    return np.where(pace >= 0, grown, fallen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    peaks: Floats    # p95 around the renewal, by draw
    demand: Floats   # demand of days of the term, many


def look_ahead(curves: Curves, days: Days, renewal: int) -> Outlook:
    weeks = max(0, renewal - days.as_of) / 7
    level = levels_ahead(curves, weeks)
    ratios = day_ratios(curves, days)
    rng = np.random.default_rng(7)
    around = np.arange(renewal - 14, renewal + 15, 7)
    season = curves.season(around).mean(1)
    term = curves.season(np.arange(renewal, renewal + TERM, 15))
    wobble = 1 + rng.standard_normal(DRAWS) * 0.5 * curves.noise / np.maximum(curves.now, 1)
    top = np.quantile(rng.choice(ratios, (DRAWS, 20)), 0.95, axis=1)
    peaks = np.maximum(level + season, 0) * top * wobble
    demand = np.maximum(level[:, None] + term, 0)[:, :, None] * rng.choice(ratios, (DRAWS, term.shape[1], 8)) * wobble[:, None, None]
    return Outlook(peaks=peaks, demand=demand.ravel())


def day_ratios(curves: Curves, days: Days) -> Floats:
    """Demand of each business day of the last half year against the curve: this customer's own ups and downs."""
    at = np.flatnonzero(days.used & ~days.quiet & (np.arange(days.count) >= days.count - 182))
    back = (days.count - 1 - at) // 7
    fitted = curves.past.mean(0)[back] + curves.season(days.first + at).mean(0)
    return days.demand[at] / np.maximum(fitted, 0.3)
