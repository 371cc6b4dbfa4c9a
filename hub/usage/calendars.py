"""Business days of countries. Calendars are cached: ten thousand accounts of a country share one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
SATURDAY = 5
YEAR_END = ((12, 20), (1, 4))  # weeks in which few work anywhere
SUMMER = ((7, 18), (8, 27))  # holidays of the northern half


def business_days(country: str, first: int, count: int) -> Flags:
    """Which of `count` days from the ordinal `first` are business days of `country` (ISO 3166 alpha-2).

    Public holidays and the country's own weekend are left out; for an unknown country Monday to Friday count.
    """
    return _days_of(_business_year, country.strip().upper(), first, count)


def year_end(first: int, count: int) -> Flags:
    """Which days are from 20 December to 4 January."""
    return _days_of(_year_end_year, "", first, count)


def summer(ordinals: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 for days from 18 July to 27 August, else 0."""
    first = int(ordinals.min())
    flags = _days_of(_summer_year, "", first, int(ordinals.max()) - first + 1)
    return flags[ordinals - first].astype(float)


def _days_of(of_year: Callable[[str, int], Flags], key: str, first: int, count: int) -> Flags:
    if count <= 0:
        return np.zeros(0, bool)
    start, end = date.fromordinal(first).year, date.fromordinal(first + count - 1).year
    flags = np.concatenate([of_year(key, year) for year in range(start, end + 1)])
    skipped = first - date(start, 1, 1).toordinal()
    return flags[skipped : skipped + count]


def _year(year: int) -> list[date]:
    first = date(year, 1, 1)
    return [first + timedelta(days) for days in range(date(year, 12, 31).timetuple().tm_yday)]


@lru_cache(maxsize=4096)
def _business_year(country: str, year: int) -> Flags:
    import holidays  # noqa: PLC0415  slow to load, and of use only where a judgement is made

    try:
        known = holidays.country_holidays(country, years=year)
    except NotImplementedError:
        return np.array([day.weekday() < SATURDAY for day in _year(year)])
    return np.array([not known.is_weekend(day) and day not in known for day in _year(year)])


@lru_cache(maxsize=256)
def _year_end_year(_: str, year: int) -> Flags:
    return np.array([(day.month, day.day) >= YEAR_END[0] or (day.month, day.day) <= YEAR_END[1] for day in _year(year)])


@lru_cache(maxsize=256)
def _summer_year(_: str, year: int) -> Flags:
    return np.array([SUMMER[0] <= (day.month, day.day) <= SUMMER[1] for day in _year(year)])
