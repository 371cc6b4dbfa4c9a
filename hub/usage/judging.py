"""What the use of one entitlement says about its renewal: facts first, then curves, then words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.usage import metrics
from hub.usage.days import Days
from hub.usage.history import Daily, History, Signal
from hub.usage.rules import Rules
from hub.usage.shapes import WEEKS, Curves, Floats, explain

RECENT = 26 * 7

def facts(days: Days, rules: Rules) -> Signal | None:
    """What needs no statistics: too little known, no use, or use over the licensed seats; else None."""
    if days.used.sum() < rules.least_days or days.used[-28:].sum() < rules.least_recent:
        return Signal.INSUFFICIENT_DATA
    if metrics.dormant(days, rules):
        return Signal.DORMANT
    often = metrics.overdraft(days, 60).business_days >= rules.overdraft_days
    if often and metrics.overdraft(days, 30).business_days >= rules.overdraft_recent:
        return Signal.OVERDRAFT
    return None


def middles(days: Days) -> NDArray[np.int64]:
    return days.as_of - 3 - 7 * np.arange(WEEKS)


SIGNALS = (Signal.NEW_GROWTH, Signal.AT_RISK, Signal.EXPANSION, Signal.CONTRACTION, Signal.STEADY)


def votes(curves: Curves, days: Days, at_renewal: Floats, levels: Daily, rules: Rules) -> dict[Signal, float]:
    """The share of the curves that each signal has."""
    past, licensed = curves.past, max(days.licensed, 0.5)
    weeks = min(52, max(1, days.age // 7))
    now = curves.now
    pace = (now / past[:, min(3, weeks)] - 1) * 30 / 21
    best = _best(past[:, : weeks + 1])
    fallen = 1 - now / best
    half = past[:, min(26, weeks)]
    earlier = past[:, 26 : weeks + 1].mean(1) if weeks >= 34 else half
    rising = (now / np.maximum(half, earlier) >= 1 + rules.growth) & (pace >= rules.growth_pace)
    young = (days.age < rules.young_days) & (now / past[:, max(weeks - 2, 0)] >= 1 + rules.young_growth)
    young &= now / past[:, min(4, weeks)] >= 1 + rules.young_month
    use = now / licensed
    falling = (fallen >= rules.fall) & (pace <= -rules.fall_pace)
    full = (use >= rules.full) | (rising & (at_renewal / licensed >= rules.growth_use))
    lower = ((fallen >= rules.lower) & (use < rules.lower_use)) | ((use < rules.underuse) & ~rising)
    recent = days.used[-56:]
    if recent.any() and days.pinned[-56:][recent].mean() >= rules.pinned:
        full[:] = True
        falling[:] = False
    if season_returns(levels, float(np.median(fallen)), rules):
        falling[:] = False
        lower &= use < rules.underuse
    choice = np.select([young, falling, full, lower], [0, 1, 2, 3], 4)
    return {signal: float((choice == at).mean()) for at, signal in enumerate(SIGNALS)}


def _best(past: Floats) -> Floats:
    """The highest nine-week mean."""
    width = min(9, past.shape[1])
    sums = np.cumsum(np.pad(past, ((0, 0), (1, 0))), axis=1)
    return np.maximum((sums[:, width:] - sums[:, :-width]).max(1) / width, 0.5)


def season_returns(levels: Daily, fallen: float, rules: Rules) -> bool:
    """Whether the same fall came a year ago, and use is as high as in those weeks."""
    now, then, before = levels[:8], levels[51:61], levels[56:104]
    enough = (~np.isnan(now)).sum() >= 3 and (~np.isnan(then)).sum() >= 4 and (~np.isnan(before)).sum() >= 12
    if not enough or fallen <= 0:
        return False
    fell = 1 - np.nanmedian(then) / max(0.5, np.nanquantile(before, 0.85))
    return bool(np.nanmedian(now) >= rules.season_kept * np.nanmedian(then) and fell >= rules.season_share * fallen)


def decide(share: Mapping[Signal, float], rules: Rules) -> Signal:
    down = share[Signal.AT_RISK] + share[Signal.CONTRACTION]
    if down >= rules.alarm:
        return max((Signal.AT_RISK, Signal.CONTRACTION), key=lambda one: share[one])
    return max((Signal.STEADY, Signal.EXPANSION, Signal.NEW_GROWTH), key=lambda one: share[one])
