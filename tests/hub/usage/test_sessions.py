"""Seat events become sessions and days exactly, in whatever order and how often they come."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from math import inf, isnan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain import SeatEvent, SeatMove
from hub.usage.sessions import DayUse, daily, distinct, midnight, open_seats, sessions, spent, true_denials

MINUTE = 60.0
DAY = 1440
T0 = datetime(2025, 3, 3, tzinfo=UTC).timestamp()
FOREVER = T0 + 400 * DAY * MINUTE
MOVES = list(SeatMove)


def event(move: str, minute: float, seat: str = "s1", lease: float | None = None, **more: Any) -> SeatEvent:
    """Something that happened so many minutes after the first midnight; `lease` in minutes too."""
    at = T0 + minute * MINUTE
    expiry = None if lease is None else T0 + lease * MINUTE
    id_ = more.pop("id", f"{move}:{seat}:{minute}:{lease}")
    return SeatEvent(id=id_, move=SeatMove(move), at=at, seat=seat, lease_expiry=expiry, **more)


def days(events: Sequence[SeatEvent], count: int = 1, now: float = FOREVER, **more: Any) -> list[DayUse]:
    first = date(2025, 3, 3)
    return daily(events, first, first + timedelta(days=count - 1), more.pop("zone", UTC), now, **more)


def spans(events: Sequence[SeatEvent]) -> list[tuple[float, float]]:
    """Start and end of each session, in minutes."""
    return [((one.start - T0) / MINUTE, (one.end - T0) / MINUTE) for one in sessions(events)]


# -- sessions


def test_a_session_ends_when_the_seat_is_given_back_or_its_lease_does() -> None:
    assert spans([event("activate", 0, lease=60), event("deactivate", 30)]) == [(0, 30)]
    assert spans([event("activate", 0, lease=60), event("deactivate", 90)]) == [(0, 60)]


def test_a_refresh_in_time_moves_the_end_and_a_late_one_changes_nothing() -> None:
    assert spans([event("activate", 0, lease=60), event("refresh", 59, lease=119)]) == [(0, 119)]
    assert spans([event("activate", 0, lease=60), event("refresh", 60, lease=120)]) == [(0, 60)]
    assert spans([event("activate", 0, lease=60), event("refresh", 61, lease=121)]) == [(0, 60)]


def test_a_refresh_may_shorten_a_lease() -> None:
    assert spans([event("activate", 0, lease=60), event("refresh", 10, lease=20)]) == [(0, 20)]


def test_a_return_without_a_taking_is_no_session() -> None:
    assert spans([event("deactivate", 30), event("refresh", 40, lease=90)]) == []


def test_a_session_that_lasts_no_time_is_none() -> None:
    assert spans([event("activate", 5, lease=60), event("deactivate", 5)]) == []


def test_a_seat_that_is_given_back_and_taken_at_one_instant_is_held_on() -> None:
    moves = [event("activate", 0, lease=60), event("deactivate", 10), event("activate", 10, lease=70)]
    assert spans(moves) == [(0, 10), (10, 70)]
    at_the_lease_s_end = [event("activate", 0, lease=60), event("deactivate", 60), event("activate", 60, lease=70)]
    assert spans(at_the_lease_s_end) == [(0, 60), (60, 70)]


def test_a_seat_that_is_taken_again_while_it_is_held_counts_once() -> None:
    moves = [event("activate", 0, lease=60), event("activate", 30, lease=90)]
    assert days(moves)[0].peak == 1
    assert days(moves)[0].seat_hours == 1.5


def test_a_seat_without_a_lease_is_held_until_it_is_given_back() -> None:
    assert sessions([event("activate", 0)])[0].end == inf


def test_of_two_that_tell_one_thing_the_one_with_a_lease_counts() -> None:
    moves = [
        event("activate", 0, id="w"),
        event("activate", 0, lease=30, id="l"),
        event("activate", 0, lease=20, id="k"),
    ]
    assert [one.id for one in distinct(moves)] == ["l"]


# -- days


def test_a_handover_at_one_instant_is_no_second_seat() -> None:
    moves = [
        event("activate", 0, "a"),
        event("deactivate", 30, "a"),
        event("activate", 30, "b"),
        event("deactivate", 60, "b"),
    ]
    assert days(moves)[0].peak == 1


def test_a_night_counts_on_both_days() -> None:
    moves = [event("activate", DAY - 60, lease=DAY + 60)]
    assert [(one.peak, one.seat_hours, one.users) for one in days(moves, 3)] == [(1, 1, 1), (1, 1, 1), (0, 0, 0)]


def test_a_session_that_ends_at_midnight_is_none_of_the_next_day() -> None:
    assert [one.peak for one in days([event("activate", DAY - 60, lease=DAY)], 2)] == [1, 0]


def test_what_is_open_is_cut_at_now() -> None:
    now = T0 + 90 * MINUTE
    assert days([event("activate", 0, lease=480)], now=now)[0].seat_hours == 1.5


def test_what_is_dated_after_now_counts_once_it_is_reached() -> None:
    moves = [event("activate", 600, lease=700)]
    assert days(moves, now=T0 + 500 * MINUTE)[0].peak == 0
    assert days(moves, now=T0 + 660 * MINUTE)[0].peak == 1


def test_one_activation_may_take_many_seats() -> None:
    moves = [event("activate", 0, "a", lease=60, count=32), event("activate", 30, "b", lease=60)]
    assert (days(moves)[0].peak, days(moves)[0].seat_hours) == (33, 32.5)


def test_a_person_on_two_seats_is_one_user() -> None:
    moves = [event("activate", 0, "a", lease=9, user="ada"), event("activate", 0, "b", lease=9, user="ada")]
    assert (days(moves)[0].peak, days(moves)[0].users) == (2, 1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2025, 3, 30), 23),
        ("Europe/Berlin", date(2025, 10, 26), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # its midnight did not exist
        ("Asia/Kathmandu", date(2025, 3, 30), 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(zone: str, day: date, hours: int) -> None:
    held = SeatEvent(id="1", move=SeatMove.ACTIVATE, at=midnight(day, UTC) - 86400, seat="a")
    (one,) = daily([held], day, day, ZoneInfo(zone), midnight(day, UTC) + 5 * 86400)
    assert one.seat_hours == hours


def test_a_day_is_the_account_s_own() -> None:
    moves = [event("activate", 20 * 60, lease=22 * 60)]  # 05:00 to 07:00 of the next day in Tokyo
    assert [one.peak for one in days(moves, 2, zone=ZoneInfo("Asia/Tokyo"))] == [0, 1]


def test_a_node_locked_seat_counts_for_28_days_after_it_was_last_heard_of() -> None:
    moves = [event("activate", 60, "a"), event("activate", 60, "b"), event("refresh", 5 * DAY, "a", lease=50 * DAY)]
    peaks = [one.peak for one in days(moves, 40, node_locked=True)]
    assert peaks == [2] * 28 + [1] * 5 + [0] * 7


# -- denials


def test_a_denial_that_a_grant_follows_within_half_an_hour_is_none() -> None:
    denied = event("denied", 0, "a", user="ada")
    assert true_denials([denied, event("activate", 30, "b", user="ada")]) == []
    assert true_denials([denied, event("activate", 30, "a", user="eve")]) == []
    assert true_denials([denied, event("activate", 31, "a", user="ada")]) == [denied]
    assert true_denials([denied, event("activate", 5, "b", user="bob")]) == [denied]


def test_one_person_s_denials_within_half_an_hour_are_one() -> None:
    moves = [event("denied", minute, user="ada") for minute in (0, 10, 29, 30, 45)] + [event("denied", 1, user="bob")]
    assert [(one.at - T0) / MINUTE for one in true_denials(moves)] == [0, 1, 30]


# -- what is kept


def test_events_of_sessions_that_are_over_are_spent_and_those_of_open_ones_are_not() -> None:
    moves = [
        event("activate", 0, "over", lease=60, id="1"),
        event("activate", 0, "open", lease=60, id="2"),
        event("refresh", 30, "open", lease=5 * DAY, id="3"),
        event("denied", 10, "none", id="4"),
        event("activate", 2 * DAY, "late", lease=3 * DAY, id="5"),
    ]
    assert spent(moves, T0 + DAY * MINUTE) == {"1", "4"}


def test_open_seats_are_those_held_now() -> None:
    moves = [event("activate", 0, "a", lease=60, count=3), event("activate", 10, "b", lease=20)]
    assert [open_seats(moves, T0 + minute * MINUTE) for minute in (0, 15, 20, 60)] == [3, 4, 3, 0]


# -- against a grid that knows nothing of sweeps


def grid(events: Sequence[SeatEvent], minutes: int) -> list[int]:
    """Seats held in each minute, by living through it minute by minute."""
    known: dict[tuple[str, str, float], SeatEvent] = {}
    for one in events:
        known.setdefault((one.seat, one.move, one.at), one)
    levels = [0] * minutes
    for seat in {one.seat for one in events}:
        ends, count = -inf, 0
        for minute in range(minutes):
            now = T0 + minute * MINUTE
            mine = {move: known.get((seat, move, now)) for move in MOVES}
            held, was_held = now < ends, now <= ends  # at equal times frees come before takes
            taken_anew = mine[SeatMove.ACTIVATE] and not mine[SeatMove.DEACTIVATE]
            if (refresh := mine[SeatMove.REFRESH]) and (held or taken_anew):
                ends = refresh.lease_expiry if refresh.lease_expiry is not None else inf
            if mine[SeatMove.DEACTIVATE] and held:
                ends = now
            if (taken := mine[SeatMove.ACTIVATE]) and not (mine[SeatMove.DEACTIVATE] and not was_held):
                fresh = mine[SeatMove.REFRESH] or taken  # told at the same instant, it is of the seat taken anew
                ends, count = (fresh.lease_expiry if fresh.lease_expiry is not None else inf), taken.count
            levels[minute] += count if now < ends else 0
    return levels


@st.composite
def histories(draw: st.DrawFn) -> list[SeatEvent]:
    """Few seats, short leases, crowded minutes: what can collide, does. One fact is told in one way."""
    found = {}
    for _ in range(draw(st.integers(1, 25))):
        seat, move = draw(st.sampled_from("abc")), draw(st.sampled_from(["activate", "refresh", "deactivate"]))
        minute, lease = draw(st.integers(0, 59)), draw(st.integers(1, 40) | st.none())
        more = {"count": draw(st.integers(1, 3))} if move == "activate" else {}
        end = None if lease is None or move == "deactivate" else minute + lease
        found[seat, move, minute] = event(move, minute, seat, end, user=draw(st.sampled_from("uv")), **more)
    return list(found.values())


@settings(max_examples=150, deadline=None)
@given(histories())
def test_peaks_and_seat_minutes_are_those_of_a_minute_grid(events: list[SeatEvent]) -> None:
    levels = grid(events, 120)
    (one,) = days(events, now=T0 + 120 * MINUTE)
    assert (one.peak, one.seat_hours) == (max(levels), pytest.approx(sum(levels) / 60, abs=1e-5))


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(events: list[SeatEvent], dice: random.Random) -> None:
    again = [*events, *dice.choices(events, k=len(events))]
    dice.shuffle(again)
    assert repr(days(again, 2)) == repr(days(events, 2))
    assert distinct(again) == distinct(events)


@settings(max_examples=60, deadline=None)
@example([event("activate", 0, "a"), event("deactivate", 1, "a"), event("activate", 1, "a")], 2)
@given(histories(), st.integers(0, 70))
def test_days_after_a_cut_need_no_spent_event(events: list[SeatEvent], minute: int) -> None:
    before = T0 + minute * MINUTE
    left = [one for one in events if one.id not in spent(events, before)]
    cut = [(max(one.start, before), one.end, one.seat) for one in sessions(events) if one.end > before]
    assert cut == [(max(one.start, before), one.end, one.seat) for one in sessions(left) if one.end > before]


# -- the yardstick beside the checkout


@pytest.fixture(scope="module")
def scenarios(shared: Path) -> Any:
    sys.path.insert(0, str(shared / "eval"))
    try:
        return import_module("usage_scenarios")
    finally:
        sys.path.pop(0)


def from_row(row: tuple[str, ...]) -> SeatEvent:
    at, move, seat, user, lease, id_ = row
    expiry = datetime.fromisoformat(lease).timestamp() if lease else None
    when = datetime.fromisoformat(at).timestamp()
    return SeatEvent(id=id_, move=SeatMove(move), at=when, seat=seat, user=user, lease_expiry=expiry)


@pytest.mark.shared
def test_every_edge_case_of_the_yardstick_is_exact(scenarios: Any) -> None:
    for seed in range(150):
        rows, peaks, minutes = scenarios.event_edge_case(seed)
        found = days([from_row(row) for row in rows], 6)
        assert [one.peak for one in found] == peaks, seed
        assert [round(one.seat_hours * 60) for one in found] == minutes, seed


@pytest.mark.shared
def test_events_made_from_days_give_the_days_back(scenarios: Any) -> None:
    days_known = 0
    for case in scenarios.generate(11, 1):
        first, last = max(0, case.asof - 30), case.asof
        events = [from_row(row) for row in scenarios.events_from_daily(case, first, last)]
        found = daily(events, case.date(first), case.date(last), UTC, FOREVER * 2)
        known = [
            (one.peak, peak) for one, peak in zip(found, case.peak[first : last + 1], strict=True) if not isnan(peak)
        ]
        assert all(one == int(peak) for one, peak in known), case.family
        days_known += len(known)
    assert days_known > 500
