"""Days as an org writes them, and terms of months. Pure."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta

from hub.errors import UnreadableError

DAY = timedelta(days=1)


def day(value: str | None) -> date | None:
    """The day of a date or time; None where there is none, UnreadableError where it can't be read."""
    try:
        return date.fromisoformat(value[:10]) if value else None
    except ValueError as error:
        raise UnreadableError(f"{value!r} is no date") from error


def midnight(on: date | None) -> datetime | None:
    """The first moment of this day in UTC."""
    return datetime.combine(on, time(), UTC) if on else None


def months_later(start: date, months: int) -> date:
    """The day of the month so many months later, or the month's last where it has no such day."""
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
