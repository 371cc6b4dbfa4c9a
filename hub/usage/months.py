"""Days by month, as people read them and as summaries are made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from hub.usage.seatdays import SeatDay


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month of one entitlement. What is not known is None.

    days, known: days on record, and those that somebody watched. seats, cap: at its last day. peak: the highest of a
    day; over, pinned: days over the licensed seats, and at the limit. users: most distinct users of a day.
    """

    month: str
    days: int
    known: int
    seats: int | None
    cap: int | None
    peak: int | None
    over: int
    over_most: int
    pinned: int
    denials: int
    users: int | None
    seat_hours: float
    closed: bool


def months(days: Iterable[SeatDay]) -> list[Month]:
    """The months of one entitlement's days, oldest first."""
    ordered = sorted(days, key=lambda one: one.day)
    return [_month(name, list(rows)) for name, rows in groupby(ordered, key=lambda one: f"{one.day:%Y-%m}")]


def _month(name: str, rows: list[SeatDay]) -> Month:
    known = [one for one in rows if one.known and one.peak is not None]
    over = [(one.peak or 0) - one.seats for one in known if one.seats is not None and (one.peak or 0) > one.seats]
    terms = [one for one in rows if one.seats is not None]
    users = [one.users for one in known if one.users is not None]
    return Month(
        month=name,
        days=len(rows),
        known=len(known),
        seats=terms[-1].seats if terms else None,
        cap=terms[-1].cap if terms else None,
        peak=max((one.peak or 0 for one in known), default=None),
        over=len(over),
        over_most=max(over, default=0),
        pinned=sum(one.cap is not None and (one.peak or 0) >= one.cap > 0 for one in known),
        denials=sum(one.denials or 0 for one in known),
        users=max(users, default=None),
        seat_hours=round(sum(one.seat_hours or 0 for one in known), 2),
        closed=all(one.closed for one in rows),
    )
