"""How right the signals are, with few draws: families of our own, the shared yardstick, real series.

`python -m bench.signals` measures the same with many; docs/signals.md has its figures.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bench.signals import calibration, figures, ours, website_signals
from bench.usage_families import cases
from hub.usage import Signal, judge
from hub.usage.votes import RISK


def test_accounts_of_families_nobody_tuned_on_are_judged_right() -> None:
    pairs = [(case, ours(case.history)) for case in cases(11, 3)]
    found = figures(pairs)
    assert found["accuracy"] >= 0.90
    assert found["false alarms"] <= 0.02
    assert found["false upsell"] <= 0.04
    assert found["risk recall"] >= 0.88
    assert found["MAPE"] <= 0.14
    assert 0.68 <= found["coverage"] <= 0.90
    high = calibration((case.signal == told.signal, told.confidence) for case, told in pairs if case.clear)["high"]
    assert high[1] >= 0.93


@pytest.fixture(scope="module")
def scenarios(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("usage_scenarios", shared / "eval" / "usage_scenarios.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # its dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made


@pytest.mark.shared
def test_the_shared_yardstick_is_reached_on_seeds_nobody_tuned_on(scenarios: ModuleType) -> None:
    made = scenarios.generate(611, 4)
    truths = {case.id: scenarios.truth_of(case) for case in made}
    told = {case.id: _told(case.history()) for case in made}
    found = scenarios.score(told, made, truths)
    assert found["macro_f1"] >= 0.95
    assert found["false_alarm_steady"] <= 0.015
    assert found["false_upsell_steady"] <= 0.02
    assert found["risk_recall"] >= 0.95
    assert found["forecast"]["mape"] <= 0.12  # of 96 accounts; docs/signals.md has the figure of many
    assert 0.74 <= found["forecast"]["cover80"] <= 0.90
    assert found["seats"]["mean_regret"] <= 0.12


def _told(history: dict[str, Any]) -> dict[str, Any]:
    found = judge(history)
    return {
        "signal": str(found.signal),
        "forecast_peak": found.forecast_peak,
        "forecast_lo": found.forecast_lo,
        "forecast_hi": found.forecast_hi,
        "recommended_seats": found.recommended_seats,
    }


@pytest.mark.shared
def test_a_real_yearly_pattern_is_hardly_ever_taken_for_a_fall(shared: Path) -> None:
    file = shared / "reference" / "data" / "usage" / "website_visitors_daily.csv"
    said = website_signals(file, lambda history: str(judge(history).signal))
    fallen = [day for day, signal in said if signal in RISK]
    assert len(said) == 63
    assert len(fallen) <= 6
    # what is left is one run in which the site had a third less than in the same weeks of the year before
    assert all(date(2017, 7, 1) <= day <= date(2018, 1, 31) for day in fallen)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "key", "value", "limit"),
    [
        ("upm_matlab_daily.csv", "feature", "peak", ""),
        ("upm_autodesk_daily.csv", "feature", "peak", ""),
        ("autodesk_small_daily.csv", "feature", "peak", ""),
        ("birmingham_parking_daily.csv", "site", "peak_occupancy", "capacity"),
    ],
)
def test_every_real_series_is_judged_each_month(shared: Path, name: str, key: str, value: str, limit: str) -> None:
    series: dict[str, dict[date, tuple[float, float]]] = defaultdict(dict)
    with (shared / "reference" / "data" / "usage" / name).open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            seats = float(row[limit]) if limit else 50.0
            series[row[key]][date.fromisoformat(row["date"])] = (float(row[value] or "nan"), seats)
    judged = 0
    for days in series.values():
        first, last = min(days), max(days)
        peak = np.full((last - first).days + 1, np.nan)
        for day, (used, _) in days.items():
            peak[(day - first).days] = used
        licensed = np.full(len(peak), max(seats for _, seats in days.values()))
        for end in range(1, len(peak) + 1, 28):
            found = judge(
                {
                    "entitlement_id": "e",
                    "account_id": "a",
                    "country": "GB",
                    "first_day": first,
                    "as_of": date.fromordinal(first.toordinal() + end - 1),
                    "renewal": date.fromordinal(last.toordinal() + 60),
                    "peak": peak[:end],
                    "seats": licensed[:end],
                }
            )
            assert found.signal in Signal
            judged += 1
    assert judged
