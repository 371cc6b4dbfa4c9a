"""Histories from files become days on record, and days become what is judged, on both databases."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from hub.collecting import closing
from hub.collecting.collector import Collector
from hub.collecting.importing import Imported, import_file
from hub.errors import PermanentError
from hub.ports import Licensing
from hub.settings import Retention, Usage
from hub.store import Store, records, seats
from hub.usage.files import Format
from hub.usage.histories import histories, history
from hub.usage.months import months
from hub.usage.seatdays import SeatDay
from tests.factories import an_entitlement
from tests.hub.doors import a_config, hub
from tests.records import upgrade

NOBODY = cast("Licensing", None)  # importing asks no vendor anything
TODAY = datetime.now(UTC).date()


def a_collector(store: Store, **usage: Any) -> Collector:
    return Collector(store=store, connection="zentitle", licensing=NOBODY, usage=Usage(**usage))


def know(store: Store, id_: str = "ent_1", **values: Any) -> None:
    store.write(
        lambda conn: records.save_listed(conn, an_entitlement(id_, **({"customer_id": "cust_1", "seats": 5} | values)))
    )


@pytest.fixture
def collector(store: Store) -> Collector:
    know(store)
    return a_collector(store)


def a_file(folder: Path, rows: Mapping[date, object], head: str = "date,peak") -> Path:
    file = folder / "use.csv"
    file.write_text("\n".join([head, *(f"{day},{value}" for day, value in rows.items())]) + "\n")
    return file


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def on_record(collector: Collector, id_: str = "ent_1") -> list[SeatDay]:
    with collector.store.read() as conn:
        return sorted(seats.days_of(conn, [id_], date(1970, 1, 1), TODAY).values(), key=lambda one: one.day)


def put(collector: Collector, *days: SeatDay) -> None:
    collector.store.write(lambda conn: seats.put_days(conn, days))


# -- importing


def test_the_same_file_again_changes_nothing_and_a_mended_one_what_it_mends(
    collector: Collector, tmp_path: Path
) -> None:
    rows = {ago(3): 5, ago(2): "", ago(1): 7}
    done = import_file(collector, a_file(tmp_path, rows), Format.CSV, "ent_1")
    assert (done.days, done.changed, done.kept, done.unknown, done.bad) == (3, 3, 0, 1, ())
    assert [(one.peak, one.known, one.closed, one.seats) for one in on_record(collector)] == [
        (5, True, True, 5), (None, False, True, 5), (7, True, True, 5)
    ]  # fmt: skip
    assert import_file(collector, a_file(tmp_path, rows), Format.CSV, "ent_1").changed == 0
    assert import_file(collector, a_file(tmp_path, rows | {ago(2): 6}), Format.CSV, "ent_1").changed == 1
    assert [one.peak for one in on_record(collector)] == [5, 6, 7]


def test_what_the_hub_watched_itself_stands_against_a_file_and_goes_before_one(
    collector: Collector, tmp_path: Path
) -> None:
    watched = SeatDay(entitlement="ent_1", day=ago(2), known=True, peak=9)
    put(collector, watched, SeatDay(entitlement="ent_1", day=ago(1), known=False))
    done = import_file(collector, a_file(tmp_path, {ago(3): 1, ago(2): 2, ago(1): 3}), Format.CSV, "ent_1")
    assert (done.changed, done.kept) == (2, 1)
    assert [one.peak for one in on_record(collector)] == [1, 9, 3]
    put(collector, SeatDay(entitlement="ent_1", day=ago(3), known=True, peak=4))
    put(collector, SeatDay(entitlement="ent_1", day=ago(1), known=False))
    assert [(one.peak, one.source) for one in on_record(collector)] == [(4, "hub"), (9, "hub"), (3, "import")]


def test_a_log_of_a_server_is_counted_into_days(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "debug.log.gz"
    day = ago(2)
    lines = [
        f"8:00:00 (lmgrd) TIMESTAMP {day.month}/{day.day}/{day.year}",
        '8:00:00 (v) OUT: "CAD" ada@pc1  (3 licenses)',
        '9:30:00 (v) IN: "CAD" ada@pc1  (3 licenses)',
    ]
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    heard: list[int] = []
    done = import_file(collector, file, Format.REPORT_LOG, "ent_1", told=heard.append)
    (one,) = on_record(collector)
    assert (done.lines, one.peak, one.seat_hours, one.users, one.denials, one.seats) == (3, 3, 4.5, 1, 0, 5)
    assert heard == [file.stat().st_size]


def test_seats_of_an_imported_day_are_the_file_s_own(collector: Collector, tmp_path: Path) -> None:
    import_file(collector, a_file(tmp_path, {ago(1): "3,0"}, "date,peak,seats"), Format.CSV, "ent_1")
    assert [(one.seats, one.cap) for one in on_record(collector)] == [(0, 0)]


def test_nothing_is_imported_for_a_deleted_customer_or_for_nobody(collector: Collector, tmp_path: Path) -> None:
    file = a_file(tmp_path, {ago(1): 3})
    with pytest.raises(LookupError):
        import_file(collector, file, Format.CSV, "ent_2")
    collector.store.write(lambda conn: closing.forget(conn, "cust_1"))
    with pytest.raises(PermanentError, match="was deleted"):
        import_file(collector, file, Format.CSV, "ent_1")


def test_an_old_import_is_kept_as_long_as_if_it_were_new(collector: Collector, tmp_path: Path) -> None:
    import_file(collector, a_file(tmp_path, {date(2014, 9, 14): 3}), Format.CSV, "ent_1")
    put(collector, SeatDay(entitlement="ent_1", day=date(2014, 9, 15), known=True, peak=4))
    closing.drop_old(collector)
    assert [one.peak for one in on_record(collector)] == [3]


@pytest.mark.parametrize(("kept", "left"), [(1147, [2]), (2000, [4, 2]), (0, [9, 4, 2])])
def test_days_of_seat_use_go_when_the_retention_says_so(collector: Collector, kept: int, left: list[int]) -> None:
    for days, peak in ((3000, 9), (1200, 4), (10, 2)):
        put(collector, SeatDay(entitlement="ent_1", day=ago(days), known=True, peak=peak))
    closing.drop_old(replace(collector, retention=Retention(seat_days=kept)))
    assert [one.peak for one in on_record(collector)] == left


@pytest.mark.parametrize(("kept", "final"), [(90, 10_000_000 - 90 * 86_400.0), (1, 9_913_600.0), (0, 0.0)])
def test_days_are_final_once_their_events_may_go(collector: Collector, kept: int, final: float) -> None:
    assert replace(collector, retention=Retention(seat_events_days=kept)).final_before(10_000_000) == final


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "options", "days"),
    [
        ("autodesk_small_daily.csv", {"feature": "86815AECCOL_T_F"}, 14),
        ("birmingham_parking_daily.csv", {"feature": "BHMBCCMKT01"}, 73),
        ("upm_autodesk_events.csv.gz", {"feature": "64300ACD_F"}, 64),
        ("upm_matlab_events.csv.gz", {"feature": "MATLAB"}, 29),
        ("website_visitors_daily.csv", {}, 2167),
    ],
)
def test_real_files_import(sqlite_url: str, shared: Path, name: str, options: dict[str, Any], days: int) -> None:
    store = Store(sqlite_url)
    upgrade(store)
    know(store)
    file = shared / "reference" / "data" / "usage" / name
    done: Imported = import_file(a_collector(store), file, Format.CSV, "ent_1", **options)
    again = import_file(a_collector(store), file, Format.CSV, "ent_1", **options)
    store.close()
    assert (done.days, done.changed, done.bad) == (days, days, ())
    assert again.changed == 0


# -- histories


def test_a_history_has_every_day_and_what_is_unknown_is_no_number(collector: Collector, tmp_path: Path) -> None:
    import_file(collector, a_file(tmp_path, {ago(9): 5, ago(7): 0, ago(4): 3}), Format.CSV, "ent_1")
    found = history(collector.store, collector.usage, "ent_1")
    assert found is not None
    assert (found.first_day, found.as_of, found.account_id) == (ago(9), ago(4), "cust_1")
    assert np.array_equal(found.peak, [5, np.nan, 0, np.nan, np.nan, 3], equal_nan=True)
    assert found.seats.tolist() == [5] * 6
    assert np.isnan(found.denials).all()


def test_a_history_ends_where_it_is_asked_to(collector: Collector, tmp_path: Path) -> None:
    import_file(collector, a_file(tmp_path, {ago(9): 5, ago(4): 3}), Format.CSV, "ent_1")
    found = history(collector.store, collector.usage, "ent_1", as_of=ago(6))
    assert found is not None
    assert (found.as_of, len(found.peak)) == (ago(6), 4)
    assert history(collector.store, collector.usage, "ent_1", as_of=ago(10)) is None
    assert history(collector.store, collector.usage, "ent_unknown") is None


def test_histories_of_many_come_in_one_go_each_in_its_own_account(store: Store) -> None:
    know(store, "ent_1", customer_id="cust_1", overdraft=None)
    know(store, "ent_2", customer_id="")
    one = a_collector(store, country="DE", accounts={"cust_1": {"country": "US"}})
    for id_ in ("ent_1", "ent_2"):
        put(one, SeatDay(entitlement=id_, day=ago(1), known=True, closed=True, peak=1, seats=2, cap=None))
    found = {each.entitlement_id: each for each in histories(store, one.usage, ["ent_1", "ent_2", "ent_3"])}
    assert {id_: (each.account_id, each.country) for id_, each in found.items()} == {
        "ent_1": ("cust_1", "US"),
        "ent_2": ("ent_2", "DE"),  # without a customer it is an account of its own
    }
    assert found["ent_1"].cap.tolist() == [np.inf]
    assert found["ent_1"].renewal == an_entitlement().expires_at.date()  # type: ignore[union-attr]


def test_months_tell_known_days_apart_from_those_that_nobody_watched() -> None:
    days = [
        SeatDay(entitlement="e", day=date(2026, 1, 30), known=True, closed=True, peak=12, seats=10, cap=12, users=3),
        SeatDay(entitlement="e", day=date(2026, 1, 31), known=False, closed=True, seats=8, cap=8),
        SeatDay(entitlement="e", day=date(2026, 2, 1), known=False, seats=0, cap=0),
    ]
    january, february = months(days)
    assert (january.known, january.days, january.peak, january.seats, january.over, january.over_most) == (
        1,
        2,
        12,
        8,
        1,
        2,
    )
    assert (january.pinned, january.users, january.closed) == (1, 3, True)
    assert (february.known, february.peak, february.pinned, february.closed) == (0, None, 0, False)


# -- the command line


def test_the_command_line_imports_shows_and_says_how_collecting_goes(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    store = Store(f"sqlite:///{tmp_path}/hub.sqlite")
    upgrade(store)
    know(store)
    store.close()
    file = a_file(tmp_path, {date(2026, 1, 1): "12,4", date(2026, 1, 2): "x,1"}, "date,peak,users")
    done = hub(config, "usage", "import", str(file), "--entitlement", "ent_1", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["days"], told["bad"][0]["line"], told["first"]) == (1, 1, 3, "2026-01-01")
    shown = hub(config, "usage", "show", "ent_1")
    assert shown.returncode == 0
    assert "2026-01" in shown.stdout
    assert "< 5" in shown.stdout
    status = json.loads(hub(config, "usage", "status", "--json").stdout)
    assert (status["watched_at"], status["entitlements"], status["list"]["share_of_rate"]) == (None, 1, 0.3)
    assert hub(config, "usage", "show", "ent_2").returncode == 4
    refused = hub(config, "usage", "import", str(file), "--entitlement", "ent_1", "--format", "xls")
    assert refused.returncode == 2
    assert "csv, report-log, zentitle" in refused.stderr
