"""Figures that pages and charts show beside a judgement: weekly levels, months, days that needed more. Pure.

Business days are those of the account's country. An unknown day is in no figure, and never counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import business_days, year_end
from hub.usage.history import Daily, History
from hub.usage.months import Month
from hub.usage.months import months as by_month
from hub.usage.seatdays import SeatDay

Flags = NDArray[np.bool_]
LEAST_DAYS = 3  # known business days that a week's level needs
QUARTER = 91
MONTH = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """On how many of the last quarter's known business days more than `seats` were needed."""

    words: str
    seats: int
    days: int
    of_days: int


def days_of(history: History) -> list[date]:
    """The calendar days of the arrays."""
    return [history.first_day + timedelta(n) for n in range(len(history.peak))]


def business(history: History) -> Flags:
    """Which days are business days of the account's country."""
    return business_days(history.country, history.first_day.toordinal(), len(history.peak))


def holidays(country: str, first: date, count: int) -> list[date]:
    """Public holidays of `country` that fall on what is else a working day."""
    flags = business_days(country, first.toordinal(), count)
    working = _working_weekdays(country, first)
    days = (first + timedelta(n) for n in range(count))
    return [day for day, is_business in zip(days, flags, strict=True) if not is_business and working[day.weekday()]]


def _working_weekdays(country: str, near: date) -> Flags:
    """By weekday, whether most such days of a year are business days."""
    start = near - timedelta(near.weekday())
    mostly: Flags = business_days(country, start.toordinal(), 364).reshape(52, 7).mean(axis=0) > 1 / 2
    return mostly


def weekly(history: History, weeks: int = 53) -> list[tuple[date, float | None]]:
    """(Wednesday, median peak of the known business days) of the newest weeks, oldest first.

    None for a week with under three of them, and for the weeks around New Year.
    """
    used = business(history) & ~np.isnan(history.peak)
    quiet = year_end(history.first_day.toordinal(), len(history.peak))
    monday = history.as_of - timedelta(history.as_of.weekday())
    starts = [monday - timedelta(weeks=n) for n in reversed(range(weeks))]
    return [(start + timedelta(2), _level(history, used & ~quiet, start)) for start in starts]


def _level(history: History, used: Flags, monday: date) -> float | None:
    first = (monday - history.first_day).days
    if first + 7 <= 0:
        return None
    week = slice(max(first, 0), first + 7)
    found = history.peak[week][used[week]]
    return float(np.median(found)) if len(found) >= LEAST_DAYS else None


def busy(history: History, days: int = MONTH) -> float | None:
    """A busy day's peak: 95th percentile over the known business days of the last `days`; None without any."""
    found = _used(history)[-days:]
    found = found[~np.isnan(found)]
    return float(np.percentile(found, 95)) if len(found) else None


def busy_ratio(history: History, weeks: int = 26) -> float:
    """How far this customer's busy days rise above their week's level: 95th percentile; 1 where nothing is known."""
    used, found = _used(history), [np.ones(0)]
    for wednesday, level in weekly(history, weeks):
        first = (wednesday - timedelta(2) - history.first_day).days
        if level:
            found.append(used[max(first, 0) : first + 7] / level)
    ratios = np.concatenate(found)
    ratios = ratios[~np.isnan(ratios)]
    return float(np.percentile(ratios, 95)) if len(ratios) else 1.0


def _used(history: History) -> Daily:
    """Peaks of business days; unknown on all others."""
    return np.where(business(history), history.peak, np.nan)


def months(history: History, newest: int = 12) -> list[Month]:
    """The newest months, newest first."""
    return by_month(_seat_days(history, newest), history.country)[::-1][:newest]


def _seat_days(history: History, newest: int) -> list[SeatDay]:
    """The days of the newest months."""
    first = max(0, len(history.peak) - 31 * newest)
    columns = (history.peak, history.seats, history.cap, history.denials, history.users)
    rows = zip(days_of(history)[first:], *(column[first:] for column in columns), strict=True)
    return [
        SeatDay(
            entitlement=history.entitlement_id,
            day=day,
            known=not np.isnan(peak),
            closed=True,
            peak=_count(peak),
            seats=_count(seats),
            cap=_count(cap),
            denials=_count(denials),
            users=_count(users),
        )
        for day, peak, seats, cap, denials, users in rows
    ]


def _count(value: float) -> int | None:
    """None of what is not known, and of no limit."""
    return int(value) if np.isfinite(value) else None


def licensed(seats: Daily) -> int:
    """The newest known number of seats; 0 where none is known."""
    known = seats[~np.isnan(seats)]
    return int(known[-1]) if len(known) else 0


def needs(history: History, options: list[tuple[str, int]], days: int = QUARTER) -> list[Need]:
    """For each (words, seats): how often more were needed in the last quarter."""
    used = _used(history)[-days:]
    used = used[~np.isnan(used)]
    return [
        Need(words=words, seats=seats, days=int((used > seats).sum()), of_days=len(used)) for words, seats in options
    ]
