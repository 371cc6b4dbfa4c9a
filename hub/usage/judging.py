"""What the use of one entitlement says about its renewal: facts first, then curves, then words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from hub.usage import metrics, outlook, votes
from hub.usage.calendars import business_days
from hub.usage.days import Days, read
from hub.usage.history import Confidence, Daily, History, Judgement, Signal
from hub.usage.outlook import Outlook
from hub.usage.rules import Rules
from hub.usage.shapes import WEEKS, Curves, explain
from hub.usage.wording import sentence

METHOD = "shapes-1"
LEAST_WEEKS = 3
NOT_SHRINKING = frozenset({Signal.STEADY, Signal.EXPANSION, Signal.OVERDRAFT, Signal.NEW_GROWTH})
DEFAULTS = Rules()


def judge(
    history: History | Mapping[str, object] | object, *, rules: Rules = DEFAULTS, tiers: Sequence[int] = ()
) -> Judgement:
    """What this history says. The same history, rules and tiers give the same judgement to the byte.

    `history` may be a mapping or any object with the fields of `History`; without `cap`, `denials` or `users` there is
    no overdraft, and denials and users are unknown. `tiers` are the seat counts on sale; without them any count is.
    Nothing after `as_of` is looked at. Raises ValueError for what is no history (see `days.read`).
    """
    days = read(history, rules)
    weekly = metrics.weekly_levels(days, WEEKS)
    fact = facts(days, weekly, rules)
    if fact in {Signal.INSUFFICIENT_DATA, Signal.DORMANT}:
        return _told(days, weekly, rules, fact, _sure_of_fact(fact, days, rules))
    curves = explain(weekly, metrics.middle_days(days, WEEKS))
    shares = votes.votes(curves, days, weekly, rules)
    signal = fact or votes.most(shares, rules)
    sure = _sure_of_fact(fact, days, rules) if fact else how_sure(signal, shares, days, rules)
    seen = _Seen(curves=curves, shares=shares, ahead=outlook.look_ahead(curves, days, weekly, rules), tiers=tiers)
    return _told(days, weekly, rules, signal, sure, seen)


def facts(days: Days, weekly: Daily, rules: Rules) -> Signal | None:
    """What needs no statistics: too little known, no use, or use over the licensed seats; else None."""
    few = days.used.sum() < rules.least_days or days.used[-28:].sum() < rules.least_recent
    if few:
        return Signal.INSUFFICIENT_DATA
    if metrics.dormant(days, rules):
        return Signal.DORMANT
    often = metrics.overdraft(days, 60).business_days >= rules.overdraft_days
    if often and metrics.overdraft(days, 30).business_days >= rules.overdraft_recent:
        return Signal.OVERDRAFT if (~np.isnan(weekly)).sum() >= LEAST_WEEKS else Signal.INSUFFICIENT_DATA
    return None if (~np.isnan(weekly)).sum() >= LEAST_WEEKS else Signal.INSUFFICIENT_DATA


def first_judgement(days: Days, rules: Rules) -> date:
    """The first day on which enough is known, should every day from now on be known."""
    coming = business_days(days.country, days.as_of + 1, 120)
    used = np.concatenate([days.used, coming])
    total = np.cumsum(used)
    recent = total - np.concatenate([np.zeros(28, int), total])[: len(total)]
    enough = np.flatnonzero((total >= rules.least_days) & (recent >= rules.least_recent))
    after = enough[enough >= days.count]
    return date.fromordinal(days.first + int(after[0] if len(after) else len(used) - 1))


def how_sure(signal: Signal, shares: Mapping[Signal, float], days: Days, rules: Rules) -> Confidence:
    """How sure a signal is, from its share of the weight, and never more than the known days allow."""
    share, weeks = shares[signal], days.age // 7
    if weeks < rules.young_weeks or (metrics.known_share(days, 90) or 0) < rules.known_least:
        return Confidence.LOW
    if share < rules.medium:
        return Confidence.LOW
    unknown_season = weeks < rules.year_weeks and signal is Signal.AT_RISK
    return Confidence.HIGH if share >= rules.high and not unknown_season else Confidence.MEDIUM


def _sure_of_fact(fact: Signal, days: Days, rules: Rules) -> Confidence:
    known = metrics.known_share(days, 90) or 0
    return Confidence.HIGH if known >= rules.known_least or fact is Signal.INSUFFICIENT_DATA else Confidence.LOW


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What curves tell, where enough is known to draw them."""

    curves: Curves
    shares: Mapping[Signal, float]
    ahead: Outlook
    tiers: Sequence[int]


def _told(
    days: Days, weekly: Daily, rules: Rules, signal: Signal, sure: Confidence, seen: _Seen | None = None
) -> Judgement:
    """The judgement, with the evidence that its sentence was made from."""
    evidence = _known(days, weekly, rules) | {"signal": str(signal), "confidence": str(sure)}
    if signal is Signal.INSUFFICIENT_DATA:
        evidence |= {"first_judgement": first_judgement(days, rules).isoformat()}
    changed = seats = peak = low = high = None
    if seen is not None:
        changed = _changed(seen.curves, days)
        peak, low, high = _forecast(seen.ahead, days)
        wanted = _seats(seen.ahead, signal, days, rules)
        seats = outlook.tier_for(wanted, seen.tiers)
        evidence |= _explained(seen, days, changed) | _choices(wanted, seats, seen, days)
    evidence |= {"forecast_peak": peak, "forecast_lo": low, "forecast_hi": high}
    return Judgement(
        signal=signal,
        confidence=sure,
        change_date=changed,
        forecast_peak=peak,
        forecast_lo=low,
        forecast_hi=high,
        recommended_seats=seats,
        sentence=sentence(evidence),
        evidence=dict(sorted(evidence.items())),
    )


def _seats(ahead: Outlook, signal: Signal, days: Days, rules: Rules) -> int:
    """Seats for the term; never below what was used lately by an account that does not shrink."""
    seats = outlook.wanted_seats(ahead.demand, rules)
    recent = metrics.p95_demand(days, 28)
    return max(seats, math.ceil(recent - 1e-6)) if recent is not None and signal in NOT_SHRINKING else seats


def _forecast(ahead: Outlook, days: Days) -> tuple[float | None, float | None, float | None]:
    """The middle of the demand around the renewal and its 80 % interval; None where no renewal is ahead."""
    if days.renewal is None or days.renewal < days.as_of:
        return None, None, None
    low, peak, high = (round(float(value), 1) for value in np.quantile(ahead.peaks, (0.1, 0.5, 0.9)))
    return peak, low, high


def _choices(wanted: int, offered: int, seen: _Seen, days: Days) -> dict[str, object]:
    """What the seats of today, those offered and the tier above would each come to, and the range for talks."""
    counts = {"keep": int(days.licensed), "recommended": offered, "next": outlook.next_tier(offered, seen.tiers)}
    low, high = (math.ceil(float(value)) for value in np.quantile(seen.ahead.peaks, (0.1, 0.9)))
    return {
        "choices": {name: asdict(outlook.choice(count, seen.ahead.demand)) for name, count in counts.items()},
        "wanted_seats": wanted,
        "recommended_seats": offered,
        "recommended_range": [min(low, wanted), max(high, wanted)],
    }


def _changed(curves: Curves, days: Days) -> date | None:
    """The day at which most curves bend or step; None where most are straight."""
    found = curves.change[np.isfinite(curves.change)]
    if len(found) < len(curves.change) / 2:
        return None
    return date.fromordinal(days.as_of + int(np.median(found)) * 7)


def _explained(seen: _Seen, days: Days, changed: date | None) -> dict[str, object]:
    """What the curves come to."""
    curves, at = seen.curves, votes.level(seen.curves, days)
    names, counts = np.unique(curves.names, return_counts=True)

    def middle(values: Daily, digits: int = 1) -> float:
        return round(float(np.median(values)), digits)

    return {
        "change_date": changed.isoformat() if changed else None,
        "level_now": middle(at.now),
        "level_best": middle(at.best),
        "drop_pct": middle(at.fallen * 100),
        "pace_pct_30d": middle(at.pace * 100),
        "utilization_now_pct": middle(at.use * 100),
        "limit_date": _limit_date(curves, days),
        "shapes": {
            str(name): round(int(count) / len(curves.names), 3) for name, count in zip(names, counts, strict=True)
        },
        "votes": {str(name): round(share, 3) for name, share in seen.shares.items()},
    }


def _limit_date(curves: Curves, days: Days) -> str | None:
    """The day on which the licensed seats are all in use at this pace; None where that is no matter of a year."""
    now, pace = float(np.median(curves.now)), float(np.median(curves.pace))
    weeks = (days.licensed - now) / pace if pace > 0 else math.inf
    return date.fromordinal(days.as_of + int(weeks * 7)).isoformat() if 0 < weeks <= votes.YEAR else None


def _known(days: Days, weekly: Daily, rules: Rules) -> dict[str, object]:
    """The figures of any history, as JSON has them."""
    over = metrics.overdraft(days, 60)
    quarter = metrics.trend(weekly, 13)
    return {
        "method": METHOD,
        "as_of": date.fromordinal(days.as_of).isoformat(),
        "renewal": date.fromordinal(days.renewal).isoformat() if days.renewal else None,
        "renewal_days": days.renewal - days.as_of if days.renewal else None,
        "forecast_too_far": bool(days.renewal and days.renewal - days.as_of > rules.horizon_weeks * 7),
        "seats_licensed": int(days.licensed),
        "seats_limit": int(days.limit),
        "known_business_days": int(days.used.sum()),
        "least_business_days": rules.least_days,
        "known_share_90d": _round(metrics.known_share(days, 90), 3),
        "age_days": days.age,
        "p95_peak_28d": _round(metrics.p95_peak(days, 28)),
        "p95_peak_90d": _round(metrics.p95_peak(days, 90)),
        "utilization_90d_pct": _round(metrics.utilization(days, 90)),
        "trend_30d": _round(quarter.seats, 2) if quarter else None,
        "trend_30d_lo": _round(quarter.low, 2) if quarter else None,
        "trend_30d_hi": _round(quarter.high, 2) if quarter else None,
        "growth_90d_pct": _round(_percent(metrics.growth(weekly))),
        "year_ago_pct": _round(_percent(votes.kept_of_a_year(weekly))),
        "overdraft_days_60d": over.business_days,
        "overdraft_business_days_60d": int(days.used[-60:].sum()),
        "overdraft_max": _round(over.most),
        "overdraft_seat_days_60d": _round(over.seat_days),
        "pinned_days_60d": metrics.pinned_days(days, 60),
        "denials_28d": _round(metrics.denials(days, 28)),
        "denials_60d": _round(metrics.denials(days, 60)),
        "days_since_use": metrics.days_since_use(days),
        "last_known": _last_known(days),
    }


def _last_known(days: Days) -> str | None:
    known = np.flatnonzero(days.known)
    return date.fromordinal(days.first + int(known[-1])).isoformat() if len(known) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _round(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
