"""The sentence that a person reads aloud: facts with numbers and dates, made from the evidence and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

Evidence = Mapping[str, object]
FEW = 0.02  # a change of less than this is "level"


def sentence(evidence: Evidence) -> str:
    """What the evidence says, in American English; it holds no number that the evidence does not."""
    return _SENTENCES[str(evidence["signal"])](evidence)


def _at_risk(e: Evidence) -> str:
    fall = f"Use fell from {_n(e, 'level_best')} to {_n(e, 'level_now')} of {_n(e, 'seats_licensed')} seats (business-day peak)"
    pace = f"{abs(_v(e, 'pace_pct_30d')):.0f} % a month, still falling."
    return " ".join(
        filter(None, [f"{fall}{_since(e, ' since about')}, {pace}", _forecast(e, "At this pace"), _last_year(e)])
    )


def _contraction(e: Evidence) -> str:
    now, best = _v(e, "level_now"), _v(e, "level_best")
    if _v(e, "drop_pct") >= 10:  # noqa: PLR2004  below it the account was never higher
        said = f"Use is at {now:.0f} of {_n(e, 'seats_licensed')} seats, down from {best:.0f}{_since(e, ' since about')}, and does not fall further."
    else:
        said = f"{now:.0f} of {_n(e, 'seats_licensed')} seats are in use ({_n(e, 'utilization_now_pct')} %), and were not more in a year."
    return f"{said} {_seats(e)}"


def _steady(e: Evidence) -> str:
    said = f"{_n(e, 'level_now')} of {_n(e, 'seats_licensed')} seats in use on a usual business day ({_n(e, 'utilization_now_pct')} %), level."
    return " ".join(filter(None, [said, _forecast(e, "Expected:")]))


def _expansion(e: Evidence) -> str:
    if _v(e, "pinned_days_60d") > 0:
        turned = f"; {_n(e, 'denials_60d')} requests were denied" if e["denials_60d"] else ""
        said = f"At the {_n(e, 'seats_limit')}-seat limit on {_n(e, 'pinned_days_60d')} of the last 60 days{turned}."
    else:
        said = f"{_n(e, 'level_now')} of {_n(e, 'seats_licensed')} seats in use ({_n(e, 'utilization_now_pct')} %), {_pace(e)}."
    return " ".join(filter(None, [said, _forecast(e, "Estimated need:")]))


def _overdraft(e: Evidence) -> str:
    most = _v(e, "seats_licensed") + _v(e, "overdraft_max")
    said = (
        f"Over the licensed {_n(e, 'seats_licensed')} on {_n(e, 'overdraft_days_60d')} of {_n(e, 'overdraft_business_days_60d')} "
        f"business days, up to {most:.0f}; {_n(e, 'overdraft_seat_days_60d')} overdraft seat-days in 60 days."
    )
    return f"{said} {_seats(e)}"


def _new_growth(e: Evidence) -> str:
    said = f"{_n(e, 'level_now')} of {_n(e, 'seats_licensed')} seats in use after {_v(e, 'age_days') / 7:.0f} weeks, {_pace(e)}."
    return " ".join(filter(None, [said, _forecast(e, "At this pace")]))


def _dormant(e: Evidence) -> str:
    unused = e["days_since_use"]
    said = (
        "No seat was ever used"
        if unused is None
        else "No use to speak of for 30 days"
        if unused == 0
        else f"No use for {_n(e, 'days_since_use')} known days"
    )
    return f"{said}; {_n(e, 'seats_licensed')} seats are licensed."


def _insufficient(e: Evidence) -> str:
    known = f"{_n(e, 'known_business_days')} known business days, {_n(e, 'least_business_days')} are needed with some of them recent"
    last = f" No data since {_date(e['last_known'], e)}." if e["last_known"] and e["last_known"] != e["as_of"] else ""
    seen = (
        f" Use so far: up to {_n(e, 'p95_peak_90d')} of {_n(e, 'seats_licensed')} seats."
        if e["p95_peak_90d"] is not None
        else ""
    )
    over = f" Over the license on {_n(e, 'overdraft_days_60d')} business days." if e["overdraft_days_60d"] else ""
    denied = f" {_n(e, 'denials_60d')} requests were denied." if e["denials_60d"] else ""
    return f"{known}.{last}{seen}{over}{denied} First judgement possible on {_date(e['first_judgement'], e)}."


_SENTENCES: dict[str, Callable[[Evidence], str]] = {
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
    return f"{_v(e, name):.0f}"


def _pace(e: Evidence) -> str:
    pace = _v(e, "pace_pct_30d")
    return "level" if abs(pace) < 1 else f"{pace:+.0f} % a month"


def _since(e: Evidence, before: str) -> str:
    return f"{before} {_date(e['change_date'], e)}" if e.get("change_date") else ""


def _forecast(e: Evidence, start: str) -> str:
    if e["renewal"] is None or _v(e, "renewal_days") < 0:
        return ""
    if e["forecast_too_far"]:
        return f"Renewal on {_date(e['renewal'], e)} is {_n(e, 'renewal_days')} days away: too far for a forecast."
    low, high = _n(e, "forecast_lo"), _n(e, "forecast_hi")
    return f"{start} {_n(e, 'forecast_peak')} ({low}-{high}) at renewal on {_date(e['renewal'], e)}, {_n(e, 'renewal_days')} days away."


def _last_year(e: Evidence) -> str:
    if e["year_ago_pct"] is None:
        return "First year: its season is not known." if _v(e, "age_days") < 400 else ""  # noqa: PLR2004  a year and a month
    change = _v(e, "year_ago_pct")
    return f"Against the same weeks last year: {change:+.0f} %."


def _seats(e: Evidence) -> str:
    choices = e["choices"]
    assert isinstance(choices, Mapping)  # noqa: S101  our own evidence
    chosen = choices["recommended"]
    return f"{chosen['seats']} seats would be short on {chosen['short_days']:.0f} business days a quarter."


def _date(text: object, e: Evidence) -> str:
    """'12 May', with the year where it is not the as-of day's."""
    day, now = date.fromisoformat(str(text)), date.fromisoformat(str(e["as_of"]))
    return f"{day.day} {day:%b}" if day.year == now.year else f"{day.day} {day:%b %Y}"
