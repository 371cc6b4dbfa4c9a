"""What each curve says, and what most of them say. Pure.

The rule of a signal is a sentence about a level: "15 % under the best nine weeks of a year, and falling". It is asked
of every curve; a signal's share is how many of them say yes. First match wins, as in docs/signals.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hub.usage.calendars import Flags
from hub.usage.days import Days
from hub.usage.history import Daily, Signal
from hub.usage.metrics import middle_days
from hub.usage.rules import Rules
from hub.usage.shapes import Curves, Floats, medians

ORDER = (Signal.NEW_GROWTH, Signal.AT_RISK, Signal.EXPANSION, Signal.CONTRACTION, Signal.STEADY)
RISK = frozenset({Signal.AT_RISK, Signal.CONTRACTION, Signal.DORMANT})
BEST, MONTH, QUARTER, HALF, YEAR = 9, 4, 13, 26, 52  # weeks
LEAST_OF_YEAR, LEAST_PAIRS = 10, 6  # known weeks, to compare with a year ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What the rules ask about the level of each curve. Shares of 1; paces per 30 days."""

    now: Floats
    pace: Floats
    best: Floats  # the highest nine weeks of a year
    fallen: Floats
    grown: Floats  # in half a year, against the level before it
    use: Floats  # of the licensed seats
    top: Floats  # the same in the best weeks of the season


def level(curves: Curves, days: Days) -> Level:
    """The level of each curve, told as the rules ask for it."""
    weeks = min(YEAR, max(1, days.age // 7))
    past, licensed = curves.past, max(days.licensed, 0.5)
    half = past[:, min(HALF, weeks)]
    before = past[:, HALF : weeks + 1].mean(1) if weeks >= HALF + 8 else half
    best = _best(past[:, : weeks + 1])
    top = curves.now + curves.season(middle_days(days, YEAR)).max(1)
    return Level(
        now=curves.now,
        pace=(curves.now / past[:, min(3, weeks)] - 1) * 30 / 21,
        best=best,
        fallen=1 - curves.now / best,
        grown=curves.now / np.maximum(half, before) - 1,
        use=curves.now / licensed,
        top=top / licensed,
    )


def votes(curves: Curves, days: Days, weekly: Daily, rules: Rules) -> dict[Signal, float]:
    """The share of the curves that say each signal; together 1."""
    at = level(curves, days)
    rising = (at.grown >= rules.growth) & (at.pace >= rules.growth_pace)
    falling = (at.fallen >= rules.fall) & (at.pace <= -rules.fall_pace)
    lower = (at.fallen >= rules.lower) & (at.use < rules.lower_use)
    full = (at.use >= rules.full) | (rising & (_straight_on(curves, days) >= rules.growth_use))
    if at_the_limit(days, rules):  # what is cut off there can't be seen to fall
        full, falling = np.ones_like(full), np.zeros_like(falling)
    if season_returns(curves, weekly, rules):
        falling, lower = np.zeros_like(falling), np.zeros_like(lower)
    lower |= (at.top < rules.underuse) & ~rising
    choice = np.select([_young_growth(curves, days, rules), falling, full, lower], [0, 1, 2, 3], 4)
    return {signal: float((choice == place).mean()) for place, signal in enumerate(ORDER)}


def most(shares: Mapping[Signal, float], rules: Rules) -> Signal:
    """The signal of these shares; a fall or a rise is called before it has most of the weight (`rules`)."""
    down = max((Signal.AT_RISK, Signal.CONTRACTION), key=lambda one: shares[one])
    fallen = shares[Signal.AT_RISK] + shares[Signal.CONTRACTION]
    young, grown = shares[Signal.NEW_GROWTH], shares[Signal.EXPANSION]
    if young >= rules.young_upsell and young > shares[Signal.AT_RISK]:
        return Signal.NEW_GROWTH
    if fallen >= rules.alarm and fallen >= grown:
        return down
    return Signal.EXPANSION if grown >= rules.upsell else Signal.STEADY


def at_the_limit(days: Days, rules: Rules) -> bool:
    """Whether most business days of the last eight weeks ended at the limit."""
    recent = days.used[-8 * 7 :]
    return bool(recent.any() and days.pinned[-8 * 7 :][recent].mean() >= rules.pinned)


def season_returns(curves: Curves, weekly: Daily, rules: Rules) -> bool:
    """Whether the same weeks of a year ago explain a fall; False where they are not known.

    Either the like fall came then, and use is about as high as then. Or the account has a strong season, shown by a
    year in which use went down and came back, and against the same weeks of that year less is lost than most of that
    swing.
    """
    month = _months(weekly)
    now, then, year = month[0], month[51:54], month[YEAR + MONTH : 100]
    if np.isnan(now) or np.isnan(then).all() or (~np.isnan(year)).sum() < LEAST_OF_YEAR:
        return False
    same = float(np.nanmedian(then))
    fallen = 1 - now / max(0.5, np.nanmax(month[:49]))
    fell = 1 - same / max(0.5, np.nanmax(year))
    high = now >= min(rules.season_kept, 1 - fell / 2) * same
    alike = high and fell >= rules.season_share * fallen
    swing = _swing(month[YEAR:]) if curves.waves >= rules.waves else 0.0
    kept = kept_of_a_year(weekly)
    strong = swing >= rules.swing and kept is not None and -kept < rules.swing_share * swing
    return bool(alike or strong)


def kept_of_a_year(weekly: Daily) -> float | None:
    """The last quarter against the same weeks a year ago, minus 1; None where too few of them are known."""
    pairs = weekly[:QUARTER] / np.maximum(weekly[YEAR : YEAR + QUARTER], 0.5) - 1
    return float(np.nanmedian(pairs)) if (~np.isnan(pairs)).sum() >= LEAST_PAIRS else None


def _swing(month: Daily) -> float:
    """The deepest that a year went down AND came back, as a share: growth or decline alone has none."""
    known = month[~np.isnan(month)]
    if len(known) < HALF:
        return 0.0
    newer, older = np.maximum.accumulate(known), np.maximum.accumulate(known[::-1])[::-1]
    return float((1 - known / np.maximum(np.minimum(newer, older), 0.5)).max())


def _months(weekly: Daily) -> Daily:
    """Medians of four weeks each, from every week back; NaN where fewer than two are known."""
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(weekly, (0, MONTH - 1), constant_values=np.nan), MONTH)
    return np.where((~np.isnan(rows)).sum(1) >= MONTH // 2, medians(rows), np.nan)


def _young_growth(curves: Curves, days: Days, rules: Rules) -> Flags:
    weeks = min(YEAR, max(1, days.age // 7))
    since = curves.now / curves.past[:, max(weeks - 2, 0)] - 1  # the first two weeks are setting up
    month = curves.now / curves.past[:, min(MONTH, weeks)] - 1
    grows: Flags = (since >= rules.young_growth) & (month >= rules.young_month)
    return grows & (days.age < rules.young_days)


def _straight_on(curves: Curves, days: Days) -> Floats:
    """The share of the licensed seats in use at renewal, should the pace stay what it is."""
    weeks = max(0, (days.renewal or days.as_of) - days.as_of) / 7
    used: Floats = (curves.now + curves.pace * weeks) / max(days.licensed, 0.5)
    return used


def _best(past: Floats) -> Floats:
    width = min(BEST, past.shape[1])
    sums = np.cumsum(np.pad(past, ((0, 0), (1, 0))), axis=1)
    best: Floats = np.maximum((sums[:, width:] - sums[:, :-width]).max(1) / width, 0.5)
    return best
