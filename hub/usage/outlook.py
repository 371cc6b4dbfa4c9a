"""What will be wanted: demand around the renewal, and what so many seats would come to. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from hub.usage.days import Days
from hub.usage.rules import Rules
from hub.usage.shapes import DRAWS, WEEKS, Curves, Floats

SLOWING = 0.29 / 13  # growth loses a quarter of its pace in thirteen weeks
PERSISTENCE = 0.25  # standard deviation of how much of a pace lasts, as a logarithm
LEAST_LEFT = 0.12  # of the level: a fall rarely goes on to nothing
FALL_WEEKS = 30  # a fall is not continued for longer
MOST_GROWN = 1.9
AROUND = 14  # days before and after the renewal
BUSINESS_DAYS = 20  # in those weeks
QUARTER = 65  # business days
HALF_YEAR = 182
FARTHEST = 3 * 365  # days; what never ends is often given the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Demand to come, as draws: `peaks` is the 95th percentile around the renewal, `demand` the days of the term."""

    peaks: Floats
    demand: Floats


def look_ahead(curves: Curves, days: Days, weekly: Floats, rules: Rules) -> Outlook:
    """Demand around the renewal and in the term after it; of the coming weeks where none is ahead."""
    renewal = min(max(days.as_of, days.renewal or days.as_of), days.as_of + FARTHEST)
    chance = _chance(-(-rules.term_days // 15))
    ahead = _level_in(curves, (renewal - days.as_of) / 7, np.exp(PERSISTENCE * chance.pace))
    around = curves.season(np.arange(renewal - AROUND, renewal + AROUND + 1, 7)).mean(1)
    term = curves.season(np.arange(renewal, renewal + rules.term_days, 15))
    shares = _day_shares(curves, days)
    wobble = np.maximum(1 + chance.normal * _wobble(curves, days, weekly), 0)
    tops = np.quantile(shares[(chance.peaks * len(shares)).astype(int)], 0.95, axis=1)
    levels = np.maximum(ahead[:, None] + term, 0) * wobble[:, None]
    demand = levels[:, :, None] * shares[(chance.days * len(shares)).astype(int)]
    return Outlook(peaks=np.maximum(ahead + around, 0) * tops * wobble, demand=demand.ravel())


def _level_in(curves: Curves, weeks: float, persistence: Floats) -> Floats:
    """The level in so many weeks: growth slows down, a fall goes on by shares of what is left.

    No shape knows whether a pace will last, so each draw has a `persistence` of its own.
    """
    now, pace = curves.now, curves.pace * persistence
    grown = now + pace * (1 - math.exp(-SLOWING * weeks)) / SLOWING
    fallen = now * np.maximum(np.exp(np.minimum(pace, 0) / now * min(weeks, FALL_WEEKS)), LEAST_LEFT)
    return np.where(pace >= 0, np.minimum(grown, now * MOST_GROWN + 3), fallen)


def _day_shares(curves: Curves, days: Days) -> Floats:
    """Demand of the business days of half a year against the curve: this customer's own ups and downs."""
    at = np.flatnonzero(days.used & ~days.quiet)
    at = at[at >= days.count - HALF_YEAR]
    if not len(at):
        return np.ones(1)
    back = (days.count - 1 - at) // 7
    fitted = curves.past.mean(0)[back] + curves.season(days.first + at).mean(0)
    shares: Floats = days.demand[at] / np.maximum(fitted, 0.3)
    return shares


def _wobble(curves: Curves, days: Days, weekly: Floats) -> float:
    """How far the level may be from its curve, as a share; more where the shapes leave a pattern unexplained."""
    middles = days.as_of - 3 - 7 * np.arange(WEEKS)
    left = weekly - curves.past.mean(0) - curves.season(middles).mean(0)
    kin, own = left[1:] * left[:-1], float(np.nanmean(left**2))
    kin = kin[~np.isnan(kin)]
    alike = float(np.clip(kin.mean() / own, 0, 0.9)) if own > 0 and len(kin) else 0.0
    return 0.4 * curves.noise * math.sqrt((1 + alike) / (1 - alike)) / max(1.0, float(np.median(curves.now)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chance:
    normal: Floats
    pace: Floats
    peaks: Floats
    days: Floats


@cache
def _chance(times: int) -> _Chance:
    """Always the same draws of chance: a judgement can be repeated to the byte."""
    draws = np.random.default_rng(7)
    return _Chance(
        normal=draws.standard_normal(DRAWS),
        pace=draws.standard_normal(DRAWS),
        peaks=draws.random((DRAWS, BUSINESS_DAYS)),
        days=draws.random((DRAWS, times, 8)),
    )


# seats


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What so many seats would come to: idle seats on a mean business day, business days per quarter short of seats."""

    seats: int
    idle_seats: float
    short_days: float


def wanted_seats(demand: Floats, rules: Rules) -> int:
    """The seats at which one more costs as much idle as it saves short (the newsvendor's quantile), one at least."""
    quantile = rules.short_cost / (rules.short_cost + rules.idle_cost)
    return max(1, math.ceil(float(np.quantile(demand, quantile)) - 1e-6))


def tier_for(seats: int, tiers: Sequence[int]) -> int:
    """The smallest tier of so many seats or more; the seats themselves where no tier is large enough."""
    return min((tier for tier in tiers if tier >= seats), default=seats)


def next_tier(seats: int, tiers: Sequence[int]) -> int:
    """The tier above; a tenth more where there is none."""
    return min((tier for tier in tiers if tier > seats), default=math.ceil(seats * 1.1))


def choice(seats: int, demand: Floats) -> Choice:
    """What so many seats would come to in this demand."""
    return Choice(
        seats=seats,
        idle_seats=round(float(np.maximum(seats - demand, 0).mean()), 1),
        short_days=round(float((demand > seats + 0.5).mean()) * QUARTER, 1),
    )
