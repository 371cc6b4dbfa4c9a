"""Days by month, as people read them and as summaries are made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np

from hub.usage.calendars import business_days
from hub.usage.seatdays import SeatDay


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month of one entitlement, by its first day. What is not known is None.

    days, known: days on record, and those that somebody watched; business, known_business: of them business days.
    seats, cap: at its last day. peak: the highest of a day; p95_peak: 95th percentile of known business days.
    over, pinned: days over the licensed seats, and at the limit. users: most distinct users of a day.
    """

    month: date
    days: int
    known: int
    business: int
    known_business: int
    seats: int | None
    cap: int | None
    peak: int | None
    p95_peak: float | None
    over: int
    over_most: int
    pinned: int
    denials: int
    users: int | None
    seat_hours: float
    closed: bool

    @property
    def name(self) -> str:
        """As in 2026-11."""
        return f"{self.month:%Y-%m}"


def months(days: Iterable[SeatDay], country: str = "") -> list[Month]:
    """The months of one entitlement's days, oldest first; business days are those of `country`."""
    ordered = sorted(days, key=lambda one: one.day)
    return [_month(first, list(rows), country) for first, rows in groupby(ordered, lambda one: one.day.replace(day=1))]


def _month(first: date, rows: list[SeatDay], country: str) -> Month:
    known = [one for one in rows if one.known and one.peak is not None]
    over = [(one.peak or 0) - one.seats for one in known if one.seats is not None and (one.peak or 0) > one.seats]
    terms = [one for one in rows if one.seats is not None]
    users = [one.users for one in known if one.users is not None]
    flags = business_days(country, first.toordinal(), 31)
    business = [one for one in rows if flags[one.day.day - 1]]
    used = [one.peak or 0 for one in known if flags[one.day.day - 1]]
    return Month(
        month=first,
        days=len(rows),
        known=len(known),
        business=len(business),
        known_business=len(used),
        seats=terms[-1].seats if terms else None,
        cap=terms[-1].cap if terms else None,
        peak=max((one.peak or 0 for one in known), default=None),
        p95_peak=_p95(used),
        over=len(over),
        over_most=max(over, default=0),
        pinned=sum(one.cap is not None and (one.peak or 0) >= one.cap > 0 for one in known),
        denials=sum(one.denials or 0 for one in known),
        users=max(users, default=None),
        seat_hours=round(sum(one.seat_hours or 0 for one in known), 2),
        closed=all(one.closed for one in rows),
    )


def _p95(peaks: Sequence[int]) -> float | None:
    return round(float(np.percentile(peaks, 95)), 1) if peaks else None
