"""Weekly judgements become a signal: raised after two, cleared after three."""

from __future__ import annotations

from datetime import date, timedelta

from hub.usage import Confidence, Judgement, Signal
from hub.usage.settling import Settled, settle, settle_all

START = date(2026, 1, 2)
S, R, C, E, D, N = (
    Signal.STEADY, Signal.AT_RISK, Signal.CONTRACTION, Signal.EXPANSION, Signal.DORMANT, Signal.INSUFFICIENT_DATA,
)  # fmt: skip


def said(signal: Signal, *, drop: float = 18.0) -> Judgement:
    return Judgement(
        signal=signal,
        confidence=Confidence.HIGH,
        change_date=None,
        forecast_peak=None,
        forecast_lo=None,
        forecast_hi=None,
        recommended_seats=None,
        sentence="",
        evidence={"drop_pct": drop},
    )


def weeks(*signals: Signal, drop: float = 18.0) -> Settled:
    found = settle_all((START + timedelta(7 * week), said(one, drop=drop)) for week, one in enumerate(signals))
    assert found is not None
    return found


def test_one_week_raises_nothing_and_two_do_from_the_first_of_them() -> None:
    assert weeks(S, S, R).signal is S
    found = weeks(S, S, R, R)
    assert (found.signal, found.since) == (R, START + timedelta(14))


def test_two_weeks_that_do_not_follow_each_other_raise_nothing() -> None:
    assert weeks(S, R, S, R).signal is S
    assert weeks(S, R, C, R).signal is S
    apart = settle(weeks(S, R), said(R), START + timedelta(28))
    assert apart.signal is S


def test_it_takes_three_calm_weeks_to_clear() -> None:
    assert weeks(R, R, S, S).signal is R
    assert weeks(R, R, S, S, R, S, S).signal is R
    assert weeks(R, R, S, S, S).signal is S


def test_a_deep_fall_and_a_fact_are_not_waited_for() -> None:
    assert weeks(S, R, drop=30.0).signal is R
    assert weeks(S, R, drop=29.0).signal is S
    assert weeks(S, D).signal is D
    assert weeks(E, E, N).signal is N


def test_the_first_week_of_all_raises_no_alarm() -> None:
    assert weeks(R).signal is S
    assert weeks(R, R) == Settled(signal=R, since=START, as_of=START + timedelta(7))


def test_the_same_week_twice_counts_once() -> None:
    once = weeks(S, R)
    assert settle(once, said(R), once.as_of) == once
    assert settle(once, said(R), START) == once


def test_nothing_judged_is_nothing_settled() -> None:
    assert settle_all([]) is None
