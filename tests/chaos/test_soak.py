"""F18, short: nothing is lost or stuck, and tables grow as their causes do. Memory: `soak.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.soak import STUCK_S, Report, soak

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


@pytest.mark.full
def test_F18_a_steady_stream_of_events_leaves_as_many_rows_as_it_has_causes(tmp_path: Path, sqlite_url: str) -> None:
    report = soak(tmp_path, sqlite_url, seconds=8, rate=30)
    print(report)
    assert report.events >= 100
    assert report.swollen() == {}
    assert report.late < STUCK_S
    assert report.rows["entitlement"][1] * report.events == pytest.approx(report.sales)


def test_a_table_that_grows_faster_than_its_cause_is_seen() -> None:
    rows = {"change": (0.5, 0.5), "observation": (0.5, 0.9), "entitlement": (0.1, 0.1)}
    report = Report(600, events=10_000, rows=rows | {"seat_feed": (0.02, 0.1), "seat_day": (0.1, 0.3)})
    assert set(report.swollen()) == {"observation", "seat_day"}
