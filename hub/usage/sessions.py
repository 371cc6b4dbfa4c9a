"""Seat events -> sessions -> what each day came to. Pure: the same bytes in whatever order, and how often, events come.

A session is half-open, [start, end): at one instant frees count before takes, so no handover is counted twice. It ends
when the seat is given back or when its lease does. A lease that was prolonged in time ends later; a refresh or return
after the end changes nothing, for the seat was free already. What lasts no time is no session.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import accumulate, groupby, pairwise
from math import inf

from hub.domain import SeatEvent, SeatMove

RETRIED_S = (
    30 * 60.0
)  # a denial that is followed by a grant within this was none; one person's denials within it are one
NODE_LOCK_DAYS = 28
_ORDER = {SeatMove.ACTIVATE: 0, SeatMove.REFRESH: 1, SeatMove.DEACTIVATE: 2, SeatMove.DENIED: 3}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Session:
    """So many seats were held from `start` until just before `end` (epoch seconds; inf: nobody knows of an end)."""

    start: float
    end: float
    seat: str
    user: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUse:
    """What one day came to. peak: most seats at once, those open at its first instant among them.

    users: distinct users with a session that day; denials: requests turned away for good (`true_denials`).
    """

    day: date
    peak: int
    seat_hours: float
    users: int
    denials: int


def distinct(events: Iterable[SeatEvent]) -> list[SeatEvent]:
    """The events in the order of their times, each once: by id, then by (seat, move, time).

    Where two tell one thing differently, the one with the later lease counts.
    """
    by_id = {one.id: one for one in sorted(events, key=_fullest)}
    by_fact = {(one.seat, one.move, one.at): one for one in sorted(by_id.values(), key=_fullest)}
    return sorted(by_fact.values(), key=lambda one: (one.at, _ORDER[one.move], one.seat, one.id))


def _fullest(one: SeatEvent) -> tuple[float, int, str, str, float, str]:
    """A total order in which what tells most comes last."""
    lease = -inf if one.lease_expiry is None else one.lease_expiry
    return (lease, one.count, one.user, one.seat, one.at, f"{one.move}:{one.id}")


def sessions(events: Iterable[SeatEvent]) -> list[Session]:
    """The sessions that these events tell of, by start. Denials take no seat. A return without a taking is none."""
    of_seat: dict[str, list[SeatEvent]] = defaultdict(list)
    for one in distinct(events):
        if one.move is not SeatMove.DENIED:
            of_seat[one.seat].append(one)
    return sorted(held for moves in of_seat.values() for held in _of_seat(moves))


def _of_seat(moves: Sequence[SeatEvent]) -> Iterator[Session]:
    """The sessions of one seat. Taken again while it is held, it goes on as another session without a gap."""
    held: Session | None = None
    for at, group in groupby(moves, key=lambda one: one.at):
        for move in _at_once(list(group), is_held=held is not None and held.start < at <= held.end):
            if held is not None and move.at < held.end and move.move is SeatMove.REFRESH:
                held = _until(held, _lease(move))
            elif held is not None and move.move in {SeatMove.ACTIVATE, SeatMove.DEACTIVATE}:
                yield from _lasting(_until(held, min(held.end, move.at)))
                held = None
            if move.move is SeatMove.ACTIVATE:
                held = Session(start=move.at, end=_lease(move), seat=move.seat, user=move.user, count=move.count)
    if held is not None:
        yield from _lasting(held)


def _at_once(moves: list[SeatEvent], *, is_held: bool) -> list[SeatEvent]:
    """What happened to one seat at one instant: one that was held is given back before it is taken anew."""
    return sorted(moves, key=lambda one: one.move is not SeatMove.DEACTIVATE) if is_held else moves


def _lease(one: SeatEvent) -> float:
    return inf if one.lease_expiry is None else one.lease_expiry


def _until(held: Session, end: float) -> Session:
    return Session(start=held.start, end=end, seat=held.seat, user=held.user, count=held.count)


def _lasting(held: Session) -> Iterator[Session]:
    if held.start < held.end:
        yield held


def true_denials(events: Iterable[SeatEvent]) -> list[SeatEvent]:
    """Denials that no grant to the same user or seat followed within 30 minutes; one a person in 30 minutes."""
    ordered = distinct(events)
    granted: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in ordered:
        if one.move is SeatMove.ACTIVATE:
            granted["seat", one.seat].append(one.at)
            granted["user", one.user].append(one.at)
    kept: dict[str, SeatEvent] = {}
    found = []
    for one in (each for each in ordered if each.move is SeatMove.DENIED):
        who = one.user or one.seat
        if _granted_soon(granted, one) or (who in kept and one.at < kept[who].at + RETRIED_S):
            continue
        kept[who] = one
        found.append(one)
    return found


def _granted_soon(granted: dict[tuple[str, str], list[float]], one: SeatEvent) -> bool:
    keys = [("seat", one.seat), *([("user", one.user)] if one.user else [])]
    times = [granted.get(key, []) for key in keys]
    return any(bisect_left(at, one.at) < bisect_right(at, one.at + RETRIED_S) for at in times)


def midnight(day: date, zone: tzinfo) -> float:
    """The first instant of a day in a time zone, epoch seconds; a day of a clock change has 23 or 25 hours."""
    return datetime.combine(day, time(), zone).timestamp()


def day_of(at: float, zone: tzinfo) -> date:
    """The day that an instant is in, in a time zone."""
    return datetime.fromtimestamp(at, UTC).astimezone(zone).date()


def days_between(first: date, last: date) -> list[date]:
    """Both included; none where last is before first."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def daily(
    events: Iterable[SeatEvent], first: date, last: date, zone: tzinfo, now: float, *, node_locked: bool = False
) -> list[DayUse]:
    """What each day from `first` to `last` came to, in `zone`. Sessions that are open are cut at `now`.

    node_locked: the peak is the number of distinct seats that were activated or refreshed in the 28 days up to then.
    """
    told = distinct(one for one in events if one.at <= now)
    cut = [_until(one, min(one.end, now)) for one in sessions(told) if one.start < now]
    days = days_between(first, last)
    bounds = [midnight(day, zone) for day in (*days, last + timedelta(days=1))]
    denied = [one.at for one in true_denials(told)]
    peaks = _locked_peaks(told, days, zone) if node_locked else _peaks(cut, bounds)
    overlaps = _overlaps(cut, bounds)
    return [
        DayUse(
            day=day,
            peak=peaks[n],
            seat_hours=round(overlaps[n][0] / 3600, 6),
            users=overlaps[n][1],
            denials=bisect_left(denied, bounds[n + 1]) - bisect_left(denied, bounds[n]),
        )
        for n, day in enumerate(days)
    ]


def _peaks(held: Sequence[Session], bounds: Sequence[float]) -> list[int]:
    """The most seats at once between each two bounds."""
    change: dict[float, int] = defaultdict(int)
    for one in held:
        change[one.start] += one.count
        change[one.end] -= one.count
    times = sorted(change)
    levels = [0, *accumulate(change[at] for at in times)]  # levels[k]: after the first k changes
    found = []
    for begin, end in pairwise(bounds):
        at_begin, before_end = bisect_right(times, begin), bisect_left(times, end)
        found.append(max(levels[at_begin : before_end + 1]))
    return found


def _overlaps(held: Sequence[Session], bounds: Sequence[float]) -> list[tuple[float, int]]:
    """Seat-seconds and distinct users between each two bounds."""
    seconds, users = [0.0] * (len(bounds) - 1), [set[str]() for _ in bounds[1:]]
    for one in held:
        first = max(bisect_right(bounds, one.start) - 1, 0)
        for n in range(first, min(bisect_left(bounds, one.end), len(seconds))):
            overlap = min(one.end, bounds[n + 1]) - max(one.start, bounds[n])
            if overlap > 0:
                seconds[n] += overlap * one.count
                users[n].add(one.user or one.seat)
    return [(seconds[n], len(users[n])) for n in range(len(seconds))]


def _locked_peaks(told: Sequence[SeatEvent], days: Sequence[date], zone: tzinfo) -> list[int]:
    alive: dict[str, list[date]] = defaultdict(list)
    for one in told:
        if one.move in {SeatMove.ACTIVATE, SeatMove.REFRESH}:
            alive[one.seat].append(day_of(one.at, zone))
    found = [0] * len(days)
    for seen in alive.values():
        for n, day in enumerate(days):
            found[n] += bisect_left(seen, day - timedelta(days=NODE_LOCK_DAYS - 1)) < bisect_right(seen, day)
    return found


def open_seats(events: Iterable[SeatEvent], now: float) -> int:
    """How many seats are held at `now`."""
    return sum(one.count for one in sessions(events) if one.start <= now < one.end)


def spent(events: Iterable[SeatEvent], before: float) -> set[str]:
    """Ids of events from before `before` that no later day needs: all of their seat's that no session reaches over."""
    told = list(events)
    returned = {(one.seat, one.at) for one in told if one.move is SeatMove.DEACTIVATE}
    open_since: dict[str, float] = {}
    for one in reversed(sessions(told)):
        reaches = one.start < before <= one.end  # what ends just then tells in which order it is taken anew
        handed_on = one.end == open_since.get(one.seat) and (one.seat, one.end) in returned
        if reaches or handed_on:  # given back and taken anew at once: without what was held, it would be taken first
            open_since[one.seat] = one.start
    return {one.id for one in told if one.at < before and one.at < open_since.get(one.seat, before)}
