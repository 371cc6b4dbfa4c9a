"""What is kept of an entitlement's day, and how what was counted and what was heard become it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from hub.usage.sessions import DayUse

HUB, IMPORTED = "hub", "import"
FEW = 5  # of fewer persons than this no number is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was licensed: seats, and seats with the overdraft allowance (None: no limit)."""

    seats: int
    cap: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsChange:
    """Seats or overdraft were changed at a moment (epoch seconds), and what they had been before, where it is known."""

    at: float
    seats_before: int | None = None
    overdraft_before: int | None = None
    overdraft_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatDay:
    """One day of one entitlement, in its account's time zone.

    known: somebody watched that day; where nobody did, all that says something of its use is None, never 0.
    closed: the day is over. by_sessions, by_vendor: the peak by seat events, and the most seats in use that the vendor
    told of; `peak` is the larger of them. seats, cap: at the end of the day.
    """

    entitlement: str
    day: date
    known: bool
    closed: bool = False
    source: str = HUB
    peak: int | None = None
    by_sessions: int | None = None
    by_vendor: int | None = None
    seats: int | None = None
    cap: int | None = None
    denials: int | None = None
    users: int | None = None
    seat_hours: float | None = None


def counted(
    entitlement: str,
    use: DayUse,
    *,
    known: bool,
    closed: bool,
    terms: Terms | None,
    level: int | None,
    node_locked: bool = False,
) -> SeatDay:
    """The day by what was counted and the most that the vendor told of (`level`, None: nothing).

    That a node-locked seat is assigned says nothing of its use, so there the level does not count.
    """
    bare = SeatDay(
        entitlement=entitlement,
        day=use.day,
        known=known or level is not None,
        closed=closed,
        by_vendor=level,
        seats=terms.seats if terms else None,
        cap=terms.cap if terms else None,
    )
    if not bare.known:
        return bare
    return SeatDay(
        entitlement=entitlement,
        day=use.day,
        known=True,
        closed=closed,
        peak=use.peak if node_locked else max(use.peak, level or 0),
        by_sessions=use.peak,
        by_vendor=level,
        seats=bare.seats,
        cap=bare.cap,
        denials=use.denials,
        users=use.users,
        seat_hours=use.seat_hours,
    )


def terms_at(at: float, seats: int, overdraft: int | None, changes: Iterable[TermsChange]) -> Terms:
    """What was licensed at `at`: what is licensed now (`overdraft` None: no limit), with later changes undone."""
    for one in sorted(changes, key=lambda change: change.at, reverse=True):
        if one.at <= at:
            break
        seats = seats if one.seats_before is None else one.seats_before
        overdraft = one.overdraft_before if one.overdraft_changed else overdraft
    return Terms(seats=seats, cap=None if overdraft is None else seats + overdraft)


def few(users: int | None) -> str:
    """A number of persons as it may be told: too few to hide in are "< 5"; "" of what is not known."""
    if users is None:
        return ""
    return f"< {FEW}" if 0 < users < FEW else str(users)


def heard(before: SeatDay | None, entitlement: str, day: date, level: int, *, node_locked: bool = False) -> SeatDay:
    """The day with what the vendor told of it now: the most seats in use only ever grows."""
    most = level if before is None or before.by_vendor is None else max(level, before.by_vendor)
    use = DayUse(
        day=day,
        peak=(before and before.by_sessions) or 0,
        seat_hours=(before and before.seat_hours) or 0.0,
        users=(before and before.users) or 0,
        denials=(before and before.denials) or 0,
    )
    terms = Terms(seats=before.seats, cap=before.cap) if before and before.seats is not None else None
    closed = before is not None and before.closed
    return counted(entitlement, use, known=True, closed=closed, terms=terms, level=most, node_locked=node_locked)


def stands(before: SeatDay, now: SeatDay) -> bool:
    """Whether what is on record stands against what came now: what the hub watched goes before what was imported."""
    if before.source == IMPORTED and now.source == HUB:
        return not now.known
    return before.source == HUB and now.source == IMPORTED and before.known
