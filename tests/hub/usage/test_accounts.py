"""Entitlements of an account: the worst weighty one speaks, a migration is no loss."""

from __future__ import annotations

from datetime import date

import pytest

from hub.usage import Confidence, Judgement, Signal
from hub.usage.accounts import Part, account


def a_part(name: str, signal: Signal, *, value: float = 100, renewal: date | None = None, **evidence: float) -> Part:
    return Part(
        entitlement_id=name,
        product=name,
        value=value,
        renewal=renewal,
        judgement=Judgement(
            signal=signal,
            confidence=Confidence.HIGH,
            change_date=None,
            forecast_peak=None,
            forecast_lo=None,
            forecast_hi=None,
            recommended_seats=None,
            sentence="",
            evidence=evidence,
        ),
    )


def test_the_worst_signal_speaks_for_the_account_and_the_earliest_renewal_counts() -> None:
    early, late = date(2026, 3, 1), date(2026, 9, 1)
    found = account(
        [a_part("a", Signal.EXPANSION, renewal=late), a_part("b", Signal.AT_RISK, renewal=early, drop_pct=40)]
    )
    assert (found.signal, found.because, found.renewal, found.drop_pct) == (Signal.AT_RISK, "b", early, 20)


def test_a_small_entitlement_does_not_speak_for_the_account() -> None:
    parts = [a_part("large", Signal.STEADY, value=900), a_part("small", Signal.AT_RISK, value=100, drop_pct=50)]
    assert account(parts).signal is Signal.STEADY
    assert account(parts).drop_pct == 5


def test_without_values_each_counts_the_same() -> None:
    assert account([a_part("a", Signal.STEADY, value=0), a_part("b", Signal.DORMANT, value=0)]).signal is Signal.DORMANT


def test_many_small_entitlements_are_all_heard() -> None:
    parts = [a_part(str(number), Signal.STEADY) for number in range(9)] + [a_part("x", Signal.CONTRACTION)]
    assert account(parts).signal is Signal.CONTRACTION


@pytest.mark.parametrize(("gained", "signal"), [(30, Signal.STEADY), (15, Signal.AT_RISK)])
def test_use_that_moves_to_a_successor_is_a_migration(gained: float, signal: Signal) -> None:
    falling = a_part("Old", Signal.AT_RISK, level_best=100, level_now=60, drop_pct=40)
    rising = a_part("New", Signal.EXPANSION, level_best=50 + gained, level_now=50 + gained, growth_90d_pct=gained / 0.5)
    found = account([falling, rising])
    assert found.signal is signal
    assert bool(found.migration) is (signal is Signal.STEADY)


def test_an_account_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="one entitlement at least"):
        account([])
