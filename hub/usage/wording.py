"""The sentence that a person reads aloud: facts with numbers and dates, made from the evidence alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

Evidence = Mapping[str, object]
NOTABLE_DROP_PCT = 10
NOTABLE_PACE_PCT = 1
FIRST_YEAR_DAYS = 400


def sentence(evidence: Evidence) -> str:
    """What the evidence says, in American English; it holds no number that the evidence does not."""
    parts = _SENTENCES[str(evidence["signal"])](evidence)
    return " ".join(part for part in parts if part)


def _at_risk(e: Evidence) -> list[str]:
    fall = f"Use fell from {_n(e, 'level_best')} to {_in_use(e)} (business-day peak){_since(e)}"
    pace = f"{abs(_v(e, 'pace_pct_30d')):.0f} % a month, still falling."
    return [f"{fall}, {pace}", _forecast(e, "At this pace"), _last_year(e)]


def _contraction(e: Evidence) -> list[str]:
    if _v(e, "drop_pct") >= NOTABLE_DROP_PCT:
        fall = f"Use is at {_in_use(e)}, down from {_n(e, 'level_best')}{_since(e)}, and does not fall further."
        return [fall, _seats(e)]
    return [f"Use is at {_in_use(e)} ({_n(e, 'utilization_now_pct')} %), and was not higher in a year.", _seats(e)]


def _steady(e: Evidence) -> list[str]:
    use = f"{_in_use(e)} in use on a usual business day ({_n(e, 'utilization_now_pct')} %), {_pace(e)}."
    return [use, _forecast(e, "Expected:")]


def _expansion(e: Evidence) -> list[str]:
    if not _v(e, "pinned_days_60d"):
        use = f"{_in_use(e)} in use ({_n(e, 'utilization_now_pct')} %), {_pace(e)}."
        return [use, _forecast(e, "Estimated need:")]
    turned = f"; {_n(e, 'denials_60d')} requests were denied" if e["denials_60d"] else ""
    limit = f"At the {_n(e, 'seats_limit')}-seat limit on {_n(e, 'pinned_days_60d')} of the last 60 days{turned}."
    return [limit, _forecast(e, "Estimated need:")]


def _overdraft(e: Evidence) -> list[str]:
    days = f"{_n(e, 'overdraft_days_60d')} of {_n(e, 'overdraft_business_days_60d')} business days"
    most = _v(e, "seats_licensed") + _v(e, "overdraft_max")
    total = f"{_n(e, 'overdraft_seat_days_60d')} overdraft seat-days in 60 days"
    return [f"Over the licensed {_n(e, 'seats_licensed')} on {days}, up to {most:,.0f}; {total}.", _seats(e)]


def _new_growth(e: Evidence) -> list[str]:
    use = f"{_in_use(e)} in use after {_v(e, 'age_days') / 7:.0f} weeks, {_pace(e)}."
    limit = f"At this pace all are in use about {_date(e['limit_date'], e)}." if e["limit_date"] else ""
    return [use, limit, _forecast(e, "Expected:")]


def _dormant(e: Evidence) -> list[str]:
    licensed = f"{_n(e, 'seats_licensed')} seats are licensed."
    if e["days_since_use"] is None:
        return [f"No seat was ever used; {licensed}"]
    if not e["days_since_use"]:
        return [f"Hardly any use for 30 days; {licensed}"]
    return [f"No use for {_n(e, 'days_since_use')} known days; {licensed}"]


def _insufficient(e: Evidence) -> list[str]:
    needed = f"{_n(e, 'least_business_days')} are needed, some of them recent."
    silent = e["last_known"] and e["last_known"] != e["as_of"]
    return [
        f"{_n(e, 'known_business_days')} business days are known; {needed}",
        f"No data since {_date(e['last_known'], e)}." if silent else "",
        "" if e["p95_peak_90d"] is None else f"Use so far: {_n(e, 'p95_peak_90d')} of {_n(e, 'seats_licensed')} seats.",
        f"Over the license on {_n(e, 'overdraft_days_60d')} business days." if e["overdraft_days_60d"] else "",
        f"{_n(e, 'denials_60d')} requests were denied." if e["denials_60d"] else "",
        f"First judgement possible on {_date(e['first_judgement'], e)}.",
    ]


_SENTENCES: dict[str, Callable[[Evidence], list[str]]] = {
    "at_risk": _at_risk,
    "contraction": _contraction,
    "steady": _steady,
    "expansion": _expansion,
    "overdraft": _overdraft,
    "new_growth": _new_growth,
    "dormant": _dormant,
    "insufficient_data": _insufficient,
}


def _v(e: Evidence, name: str) -> float:
    value = e[name]
    return float(value) if isinstance(value, int | float) else 0.0


def _n(e: Evidence, name: str) -> str:
    return f"{_v(e, name):,.0f}"


def _in_use(e: Evidence) -> str:
    return f"{_n(e, 'level_now')} of {_n(e, 'seats_licensed')} seats"


def _pace(e: Evidence) -> str:
    pace = _v(e, "pace_pct_30d")
    return "level" if abs(pace) < NOTABLE_PACE_PCT else f"{pace:+.0f} % a month"


def _since(e: Evidence) -> str:
    return f" since about {_date(e['change_date'], e)}" if e["change_date"] else ""


def _forecast(e: Evidence, start: str) -> str:
    if e["forecast_peak"] is None:
        return ""
    renewal = f"{_date(e['renewal'], e)}, {_n(e, 'renewal_days')} days away"
    if e["forecast_too_far"]:
        return f"The renewal on {renewal}, is too far for a forecast."
    return f"{start} {_n(e, 'forecast_peak')} ({_n(e, 'forecast_lo')}-{_n(e, 'forecast_hi')}) at renewal on {renewal}."


def _last_year(e: Evidence) -> str:
    if e["year_ago_pct"] is not None:
        return f"Against the same weeks last year: {_v(e, 'year_ago_pct'):+.0f} %."
    return "First year: its season is not known." if _v(e, "age_days") < FIRST_YEAR_DAYS else ""


def _seats(e: Evidence) -> str:
    choices = e["choices"]
    chosen = choices["recommended"] if isinstance(choices, Mapping) else {}
    days = round(chosen["short_days"])
    return f"{chosen['seats']:,} seats would be short on {days} business day{'' if days == 1 else 's'} a quarter."


def _date(text: object, e: Evidence) -> str:
    """'12 May', with the year where it is not the as-of day's."""
    day, now = date.fromisoformat(str(text)), date.fromisoformat(str(e["as_of"]))
    return f"{day.day} {day:%b}" if day.year == now.year else f"{day.day} {day:%b %Y}"
