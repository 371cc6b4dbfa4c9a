"""What a history says: each signal, its facts, its words, and histories that nobody meant to make."""

from __future__ import annotations

import json
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hub.usage import Confidence, History, Judgement, Signal, judge
from tests.hub.usage.histories import AS_OF, a_history, falling, used

NAN = float("nan")


def judged(peak: Any, **fields: Any) -> Judgement:
    return judge(a_history(peak, **fields))


def test_use_that_falls_is_at_risk_since_the_day_it_began() -> None:
    found = judged(used(falling(90, 55, 120)))
    assert found.signal is Signal.AT_RISK
    assert found.confidence is Confidence.HIGH
    assert found.change_date is not None
    assert abs((found.change_date - (AS_OF - timedelta(120))).days) <= 14
    assert found.forecast_lo is not None
    assert found.forecast_peak is not None
    assert found.forecast_hi is not None
    assert 20 < found.forecast_lo < found.forecast_peak < found.forecast_hi < 55
    assert "Use fell from 90 to 5" in found.sentence
    assert "still falling" in found.sentence


def test_use_that_stepped_down_and_stays_there_is_contraction() -> None:
    found = judged(used(np.where(np.arange(500) < 410, 88.0, 60.0)))
    assert found.signal is Signal.CONTRACTION
    assert found.change_date is not None
    assert abs((found.change_date - (AS_OF - timedelta(90))).days) <= 10
    assert found.recommended_seats in range(60, 68)
    assert "down from 88" in found.sentence


def test_use_that_was_always_low_is_contraction_without_a_date() -> None:
    found = judged(used(30))
    assert (found.signal, found.change_date) == (Signal.CONTRACTION, None)
    assert "was not higher in a year" in found.sentence


def test_level_use_is_steady_and_the_seats_cover_it() -> None:
    found = judged(used(80))
    assert (found.signal, found.confidence) == (Signal.STEADY, Confidence.HIGH)
    assert found.recommended_seats in range(83, 88)
    assert found.recommended_seats >= found.evidence["p95_peak_28d"]  # type: ignore[operator]


def test_use_over_the_license_is_overdraft() -> None:
    found = judged(used(110), cap=np.full(500, 150.0))
    assert found.signal is Signal.OVERDRAFT
    assert "Over the licensed 100 on 4" in found.sentence


def test_growth_toward_the_limit_is_expansion() -> None:
    found = judged(used(falling(55, 92, 250)))
    assert found.signal is Signal.EXPANSION
    assert found.forecast_peak is not None
    assert found.forecast_peak > 92


def test_a_hard_limit_is_seen_through_denials() -> None:
    wanted = used(115)
    peak = np.minimum(wanted, 100)
    found = judged(peak, denials=np.maximum(0, wanted - 100) * 1.5)
    assert found.signal is Signal.EXPANSION
    assert found.forecast_peak == pytest.approx(120, abs=6)
    assert "requests were denied" in found.sentence


def test_a_young_account_that_climbs_is_new_growth_and_says_when_it_is_full() -> None:
    found = judged(used(np.linspace(20, 80, 140), 140))
    assert found.signal is Signal.NEW_GROWTH
    assert "all are in use about" in found.sentence


def test_no_use_is_dormant_but_no_data_is_not() -> None:
    nothing = np.concatenate([used(60, 300), np.zeros(45)])
    unknown = np.concatenate([used(60, 300), np.full(45, NAN)])
    assert judged(nothing).signal is Signal.DORMANT
    assert judged(unknown).signal is Signal.INSUFFICIENT_DATA
    assert f"No data since {AS_OF - timedelta(45):%-d %b}." in judged(unknown).sentence


def test_too_little_says_what_is_known_and_when_the_first_judgement_can_be() -> None:
    found = judged(used(130, 20), cap=np.full(20, 200.0), denials=np.full(20, 1.0))
    assert found.signal is Signal.INSUFFICIENT_DATA
    assert found.recommended_seats is None
    first = date.fromisoformat(str(found.evidence["first_judgement"]))
    assert "business days are known; 20 are needed" in found.sentence
    assert "Over the license on" in found.sentence
    assert "20 requests were denied" in found.sentence
    more = used(130, 20 + (first - AS_OF).days)
    assert judge(a_history(more, as_of=first)).signal is not Signal.INSUFFICIENT_DATA
    assert judge(a_history(more[:-1], as_of=first - timedelta(1))).signal is Signal.INSUFFICIENT_DATA


def test_seats_bought_in_between_are_no_fall() -> None:
    assert judged(used(70), seats=np.where(np.arange(500) < 380, 75.0, 100.0)).signal is Signal.STEADY


def test_seats_cut_below_use_are_no_fall_either() -> None:
    seats = np.where(np.arange(500) < 400, 100.0, 60.0)
    assert judged(np.minimum(used(90), seats), seats=seats).signal is Signal.EXPANSION


def test_a_fall_that_came_last_year_too_is_a_season() -> None:
    day = np.arange(760)
    level = 80 + 22 * np.cos(2 * np.pi * (day - day[-1] + 130) / 365.25)  # today it is on its way down
    assert level[-1] < 0.85 * level[-120:].max()
    assert judged(used(level, 760), seats=110).signal is Signal.STEADY
    grew_then_fell = np.interp(day, [0, 640, 759], [50, 100, 60])
    assert judged(used(grew_then_fell, 760), seats=110).signal is Signal.AT_RISK


def test_a_week_of_holidays_a_spike_and_a_gap_are_no_signal() -> None:
    peak = used(75)
    peak[460:465] = 20
    peak[300:306] = 99
    peak[350:400] = NAN
    assert judged(peak).signal is Signal.STEADY


@pytest.mark.parametrize(
    ("name", "history", "signal"),
    [
        ("no seat licensed, some used", a_history(used(40), seats=0), Signal.OVERDRAFT),
        ("no seat licensed, none used", a_history(np.zeros(300), seats=0), Signal.DORMANT),
        ("nothing known", a_history(np.full(300, NAN)), Signal.INSUFFICIENT_DATA),
        ("one day", a_history([5]), Signal.INSUFFICIENT_DATA),
        ("the clock is a year ahead", a_history(used(80)) | {"as_of": date(2027, 6, 26)}, Signal.INSUFFICIENT_DATA),
        ("the clock is a century ahead", a_history(used(80)) | {"as_of": date(2126, 6, 26)}, Signal.INSUFFICIENT_DATA),
        ("the clock is before the first day", a_history(used(80)) | {"as_of": date(2020, 1, 1)}, Signal.INSUFFICIENT_DATA),
        ("the clock is a day before the first", a_history(used(80, 30)) | {"as_of": AS_OF - timedelta(30)}, Signal.INSUFFICIENT_DATA),
        ("unknown country", a_history(used(80), country="ZZ"), Signal.STEADY),
        ("seats unknown at first", a_history(used(80), seats=np.r_[np.full(90, NAN), np.full(410, 100)]), Signal.STEADY),
        ("three seats", a_history(np.random.default_rng(3).integers(2, 4, 400), seats=4), Signal.STEADY),
        ("millions of seats", a_history(used(4e6), seats=5e6), Signal.STEADY),
        ("back after seven months of silence", a_history(np.r_[used(80, 300), np.full(210, NAN), used(80, 30)]), Signal.STEADY),
        ("only the days around the year's end", a_history(np.r_[np.full(200, NAN), used(9, 33)], as_of=date(2027, 1, 4)), Signal.CONTRACTION),
        ("a constant", a_history(np.full(500, 80.0)), Signal.STEADY),
    ],
)  # fmt: skip
def test_unlikely_histories_have_sensible_answers(name: str, history: dict[str, Any], signal: Signal) -> None:
    found = judge(history)
    assert found.signal is signal, found.sentence
    assert found.sentence.endswith(".")
    json.dumps(found.evidence, allow_nan=False)


@pytest.mark.parametrize(
    ("renewal", "has_forecast", "words"),
    [
        (None, False, ""),
        (AS_OF - timedelta(1), False, ""),
        (AS_OF, True, "0 days away"),
        (AS_OF + timedelta(182), True, "182 days away."),
        (AS_OF + timedelta(183), True, "too far for a forecast"),
        (AS_OF + timedelta(4000), True, "too far for a forecast"),
        (date.max, True, "too far for a forecast"),
    ],
)
def test_a_renewal_that_is_none_past_or_far_away(renewal: date | None, has_forecast: bool, words: str) -> None:
    found = judged(used(80), renewal=renewal)
    assert (found.forecast_peak is not None) is has_forecast
    assert found.recommended_seats in range(83, 88)
    assert words in found.sentence


def test_a_mapping_an_object_and_a_History_say_the_same() -> None:
    fields = a_history(used(falling(90, 55, 120)))
    unknown = np.full(500, NAN)
    whole = History(**fields, denials=unknown, users=unknown)
    assert judge(fields) == judge(SimpleNamespace(**fields)) == judge(whole)


def test_lists_with_None_for_unknown_are_taken() -> None:
    peak = used(80)
    told: list[float | None] = peak.tolist()
    told[5] = None
    peak[5] = NAN
    assert judge(a_history(peak)) == judge(a_history(peak) | {"peak": told})


def test_S32_the_same_history_gives_the_same_bytes_and_nothing_after_as_of_counts() -> None:
    fields = a_history(used(falling(90, 55, 120)))
    later = {name: np.r_[fields[name], np.zeros(40)] for name in ("peak", "seats", "cap")}
    first, again, longer = judge(fields), judge(fields), judge(fields | later)
    bytes_of = [json.dumps([str(one.signal), one.sentence, one.evidence]).encode() for one in (first, again, longer)]
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]


def test_every_number_of_a_sentence_is_in_its_evidence() -> None:
    found = judged(used(falling(90, 55, 120)))
    for name in (
        "level_best",
        "level_now",
        "seats_licensed",
        "forecast_peak",
        "forecast_lo",
        "forecast_hi",
        "renewal_days",
    ):
        assert f"{found.evidence[name]:,.0f}" in found.sentence
    assert found.evidence["change_date"] == str(found.change_date)


def test_seats_are_rounded_up_to_a_tier_and_the_choices_say_what_each_would_come_to() -> None:
    found = judge(a_history(used(80)), tiers=(50, 100, 150))
    choices: Any = found.evidence["choices"]
    assert (found.recommended_seats, choices["recommended"]["seats"], choices["next"]["seats"]) == (100, 100, 150)
    assert choices["keep"]["idle_seats"] == pytest.approx(20, abs=2)
    assert choices["keep"]["short_days"] == 0
    assert choices["next"]["idle_seats"] == pytest.approx(70, abs=2)
    assert judge(a_history(used(80)), tiers=(10,)).recommended_seats in range(83, 88)


def test_a_short_seat_costs_nineteen_idle_ones_so_that_few_days_are_short() -> None:
    choices: Any = judged(used(80, noise=0.08)).evidence["choices"]
    assert 0 < choices["recommended"]["short_days"] <= 0.06 * 65


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"peak": np.where(np.arange(500) % 2 == 0, used(80), NAN)}, Confidence.LOW),
        ({"peak": used(80, 80)}, Confidence.LOW),
        ({"peak": used(falling(90, 50, 120, 300), 300)}, Confidence.MEDIUM),
    ],
)  # fmt: skip
def test_a_signal_is_no_surer_than_what_is_known(fields: dict[str, Any], most: Confidence) -> None:
    found = judged(**fields)
    assert found.signal is not Signal.INSUFFICIENT_DATA
    assert found.confidence is most
