"""Files of other people's histories: what is read of them, and what is said of lines that can't be."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import PermanentError
from hub.usage.files import Contents, Format, Wanted
from hub.usage.reading import read
from hub.usage.sessions import DayUse, daily

FOREVER = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def wanted(**more: Any) -> Wanted:
    return Wanted(**({"zone": UTC, "local": UTC, "today": date(2026, 11, 24)} | more))


def contents(text: str, format_: Format = Format.CSV, **more: Any) -> Contents:
    return read(text.splitlines(keepends=True), format_, wanted(**more))


def uses(found: Contents) -> list[DayUse]:
    assert found.first is not None
    assert found.last is not None
    return daily(found.events, found.first, found.last, UTC, FOREVER)


# -- tables of days


def test_a_table_of_days_is_read_whatever_its_columns_are_called() -> None:
    found = contents("\ufeffDate;Peak occupancy;Capacity\n2026-01-01;7;10\n2026-01-02;;10\n")
    days = list(found.days.values())
    assert [(one.peak, one.seats, one.cap) for one in days] == [(7, 10, 10), (None, 10, 10)]
    mapped = contents("when,most\n2026-01-01,7\n", columns={"day": "when", "peak": "Most"})
    assert [one.peak for one in mapped.days.values()] == [7]


@pytest.mark.parametrize(
    ("row", "problem", "mend"),
    [
        ("24.11.2026,5", "'24.11.2026' is no date", "write it as 2026-11-24"),
        ("2026-11-25,5", "in the future", "have begun"),
        ("2026-01-01,5.5", "5.5 is no peak", "whole number"),
        ("2026-01-01,-1", "-1 is no peak", "whole number"),
        ("2026-01-01,many", "'many' is no peak", "nothing where it is not known"),
        ("2026-01-01,1e99", "is no peak", "10,000,000"),
        ("2026-03-01,6", "told twice", "keep one"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_how_to_mend_it_and_the_rest_counts(
    row: str, problem: str, mend: str
) -> None:
    found = contents(f"date,peak\n2026-03-01,5\n\n{row}\n2026-03-02,6\n")
    (bad,) = found.bad
    assert bad.line == 4
    assert problem in bad.problem
    assert mend in bad.mend
    assert [one.peak for one in found.days.values()] == [5, 6]


def test_the_same_row_twice_is_no_mistake() -> None:
    assert contents("date,peak\n2026-03-01,5\n2026-03-01,5\n").bad == []


def test_of_several_features_one_must_be_named() -> None:
    text = "date,feature,peak\n2026-03-01,A,5\n2026-03-01,B,6\n"
    with pytest.raises(PermanentError) as none:
        contents(text)
    assert "A, B" in none.value.hint
    assert [one.peak for one in contents(text, group="B").days.values()] == [6]
    with pytest.raises(PermanentError, match="nothing of 'C'"):
        contents(text, group="C")


@pytest.mark.parametrize("text", ["", "\n", "a,b\n1,2\n", "date\n2026-01-01\n", '"date,peak\n2026'])
def test_what_is_no_table_of_use_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(PermanentError) as refused:
        contents(text)
    assert refused.value.hint


# -- tables of events


def test_events_with_leases_become_sessions() -> None:
    found = contents(
        "time,type,seat,user,lease_expiry,event_id\n"
        "2026-01-01T08:00:00Z,activate,s1,ada,2026-01-01T09:00:00Z,1\n"
        "2026-01-01T08:30:00Z,refresh,s1,ada,2026-01-01T10:00:00Z,2\n"
        "2026-01-01T08:30:00Z,denied,s2,eve,,3\n"
        "2026-01-01T08:31:00Z,flown,s2,eve,,4\n"
    )
    assert [bad.line for bad in found.bad] == [5]
    assert uses(found) == [DayUse(day=date(2026, 1, 1), peak=1, seat_hours=2.0, users=1, denials=1)]


def test_times_without_an_offset_are_of_the_server_and_days_of_the_account() -> None:
    text = "time,op,user,host,count\n2026-01-01T20:00:00,OUT,ada,h,1\n2026-01-01T21:00:00,IN,ada,h,1\n"
    found = contents(text, local=ZoneInfo("America/New_York"))
    assert (found.first, found.last) == (date(2026, 1, 2), date(2026, 1, 2))


def test_a_server_s_returns_are_matched_first_in_first_out() -> None:
    found = contents(
        "time,op,user,host,count\n"
        "2026-01-01T07:00:00,IN,ada,h,1\n"  # taken before the log began
        "2026-01-01T08:00:00,OUT,ada,h,4\n"
        "2026-01-01T09:00:00,OUT,ada,h,1\n"
        "2026-01-01T10:00:00,IN,ada,h,4\n"
    )
    days = daily(found.events, date(2026, 1, 1), date(2026, 1, 2), UTC, FOREVER)
    assert [(one.peak, one.seat_hours) for one in days] == [(5, 4 * 2 + 15), (1, 6)]


def test_the_vendor_s_own_export_is_read_by_the_words_of_its_columns() -> None:
    found = contents(
        "Activation ID,Seat ID,Log Time,Operation,Lease Expiry,Entitlement ID,Seat Count\n"
        "act_1,s1,2026-01-01 08:00:00,Activate,2026-01-01 09:00:00,ent_1,10\n"
        "act_1,s1,2026-01-01 08:10:00,featureCheckout,,ent_1,10\n"
        ",s2,2026-01-01 08:20:00,Activation Denied,,ent_1,12\n"
        "act_9,s9,2026-01-01 08:20:00,Activate,2026-01-01 09:00:00,ent_2,50\n",
        Format.EXPORT,
        entitlement="ent_1",
        local=ZoneInfo("Asia/Tokyo"),  # the export is in UTC all the same
    )
    assert [one for one in uses(found) if one.peak] == [
        DayUse(day=date(2026, 1, 1), peak=1, seat_hours=1.0, users=1, denials=1)
    ]
    assert [count for _, count in found.seats] == [10, 10, 12]
    with pytest.raises(PermanentError, match="no column for seat"):
        contents("date,peak\n2026-01-01,5\n", Format.EXPORT)


# -- logs of license servers

FLEX = """
 8:00:00 (lmgrd) FLEXnet Licensing (v11.13.1.2 build 1 x64_n6) started on lic (linux) (11/20/2026)
 8:00:01 (adskflex) OUT: "CAD" ada@pc1  (3 licenses)
 9:00:00 (adskflex) DENIED: "CAD" eve@pc2  (Licensed number of users already reached. (-4,342))
23:59:59 (adskflex) OUT: "CAD" bob@pc3
23:59:58 (adskflex) OUT: "OTHER" bob@pc3
 0:00:30 (adskflex) IN: "CAD" ada@pc1  (3 licenses)
 1:00:00 (lmgrd) TIMESTAMP 11/21/2026
 7:00:00 (adskflex) IN: "CAD" bob@pc3
"""


def test_a_FlexLM_log_is_read_past_midnight_with_counts_and_denials() -> None:
    found = contents(FLEX, Format.REPORT_LOG, group="CAD")
    assert found.bad == []
    assert uses(found) == [
        DayUse(day=date(2026, 11, 20), peak=4, seat_hours=pytest.approx(48, abs=0.01), users=2, denials=1),
        DayUse(day=date(2026, 11, 21), peak=4, seat_hours=pytest.approx(7.025, abs=0.01), users=2, denials=0),
    ]


def test_a_FlexLM_log_that_names_no_day_says_what_to_add() -> None:
    found = contents('8:00:01 (v) OUT: "CAD" ada@pc1\n8:00:02 (lmgrd) TIMESTAMP 13/45/2026\n', Format.REPORT_LOG)
    assert ["TIMESTAMP" in bad.mend or "mend it" in bad.mend for bad in found.bad] == [True, True]


RLM = """RLM Report Log Format 1, version 14.2 authenticated
START lic 12/31/2025 08:00
INUSE cad 1.0 1 zoe pc0 "" 1 1f 0 a1 12/31 08:00:01
OUT cad 1.0 1 ada pc1 "" 2 3 0 2f 0 a2 "" "cad" "1.0" 12/31 09:00:00
DENY cad 1.0 eve pc2 "" 1 -22 0 12/31 10:00:00
IN 1 cad 1.0 ada pc1 "" 2 1 0 2f 01/01 09:00:00
OUT cad 1.0 ada pc1
END lic 01/01/2026 09:00
"""


def test_an_RLM_log_is_read_over_the_end_of_the_year_and_by_its_handles() -> None:
    found = contents(RLM, Format.REPORT_LOG)
    assert [(bad.line, "std" in bad.mend) for bad in found.bad] == [(7, True)]
    days = [(one.day, one.peak, one.denials) for one in uses(found)]
    assert days == [(date(2025, 12, 31), 3, 1), (date(2026, 1, 1), 3, 0)]


def test_a_log_that_tells_of_no_seat_is_refused() -> None:
    with pytest.raises(PermanentError, match="no line"):
        contents("hello\n", Format.REPORT_LOG)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), max_size=8), st.sampled_from(list(Format)))
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(lines: list[str], format_: Format) -> None:
    head = "time,op,user,host,count,seat,lease_expiry\n"
    for text in ([head, *lines], [*FLEX.splitlines(), *lines], [*RLM.splitlines(), *lines], ["date,peak\n", *lines]):
        refused, found = outcome(text, format_)
        assert refused is None or refused.hint
        assert all(bad.problem and bad.mend for bad in found.bad)


def outcome(text: list[str], format_: Format) -> tuple[PermanentError | None, Contents]:
    try:
        return None, read(text, format_, wanted())
    except PermanentError as refused:
        return refused, Contents()


# -- real logs beside the checkout


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as text:
        yield from csv.DictReader(text)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["upm_matlab", "upm_autodesk", "autodesk_small"])
def test_real_logs_give_exactly_their_days(shared: Path, name: str) -> None:
    """Peaks and denials; distinct users of the daily files were counted before names were made pseudonyms."""
    folder = shared / "reference" / "data" / "usage"
    (events,) = folder.glob(f"{name}_events.csv*")
    with gzip.open(events, "rt") if events.suffix == ".gz" else events.open() as text:
        lines = list(text)
    known: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in rows_of(folder / f"{name}_daily.csv"):
        known[row["feature"]][row["date"]] = (int(row["peak"]), int(row["denials"]))
    for feature, days in known.items():
        found = read(lines, Format.CSV, wanted(group=feature))
        assert found.bad == []
        counted = {one.day.isoformat(): (one.peak, one.denials) for one in uses(found)}
        assert {day: counted[day] for day in days} == days, feature
