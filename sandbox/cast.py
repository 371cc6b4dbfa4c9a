"""Who is in the renewals story, and how many seats each holds when: written as levels, played as steps. Pure.

A level is what a busy day comes to. Weekends, holidays and closures make days quiet, people come and go a little;
the seed is the name, so that the same year is the same year.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from hub.usage.calendars import business_days

WEEKS = 52
COUNTRY = "US"
QUIET = 0.14  # of a busy day's level, on others
CLOSED, SUMMER = 0.1, 0.8
NOISE = 0.035
MORNING, EVENING = time(14, 0, tzinfo=UTC), time(23, 0, tzinfo=UTC)  # an office day in New York, within one UTC day
Point = tuple[float, float]  # weeks since the story began, seats


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A customer: what it buys in which week of the story, how its use goes (straight between points), what is told.

    closes: whether it is shut between the years, and thin in the first week of August.
    """

    name: str
    price: str
    seats: int
    buys_in: int
    level: Sequence[Point]
    signal: str
    plot: str
    closes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From this moment on so many seats are held."""

    at: datetime
    seats: int


CAST = (
    Part(
        name="Brisa Labs",
        price="atlas_flex",
        seats=25,
        buys_in=1,
        level=((0, 17), (20, 20), (40, 30), (52, 31)),
        signal="overdraft",
        plot="needs more seats than it bought, and works in the overdraft",
    ),
    Part(
        name="Tessera Design",
        price="atlas_pro",
        seats=20,
        buys_in=3,
        level=((0, 17), (52, 17.5)),
        closes=True,
        signal="steady",
        plot="is level all year but for its holidays: August is thin, and between the years it is closed",
    ),
    Part(
        name="Halden Robotics",
        price="atlas_pro",
        seats=30,
        buys_in=6,
        level=((0, 24), (18, 28), (32, 28), (52, 16)),
        signal="at_risk",
        plot="is near its limit in summer; then its use wanes, week by week",
    ),
    Part(
        name="Fjellmar Systems",
        price="atlas_pro",
        seats=24,
        buys_in=11,
        level=((0, 22), (36, 22), (36.2, 14), (52, 14)),
        signal="contraction",
        plot="lets a team go: one step down, level since",
    ),
    Part(
        name="Quillon Software",
        price="atlas_pro",
        seats=16,
        buys_in=16,
        level=((0, 9), (28, 10), (52, 21)),
        signal="expansion",
        plot="grows into a hard limit: people are turned away",
    ),
    Part(
        name="Sedge & Co",
        price="atlas_pro",
        seats=18,
        buys_in=38,
        level=((38, 4), (52, 14)),
        signal="new_growth",
        plot="is new, and takes seats up fast",
    ),
)


def steps(part: Part, began: date, weeks: int = WEEKS) -> list[Step]:
    """Every change of the seats that it holds, from the day after it buys to the story's end, in order of time."""
    first = part.buys_in * 7 + 1
    wanted = [*seats_by_day(part, began, first, weeks * 7), 0]
    told: list[Step] = []
    for number, (today, tomorrow) in enumerate(pairwise(wanted)):
        day = began + timedelta(days=first + number)
        told.append(Step(at=datetime.combine(day, MORNING), seats=today))
        if tomorrow < today:
            told.append(Step(at=datetime.combine(day, EVENING), seats=tomorrow))
    return told


def seats_by_day(part: Part, began: date, first: int, end: int) -> list[int]:
    """What it would hold at most on each day from `first` to `end` (days since `began`, half-open)."""
    roll = random.Random(part.name)  # noqa: S311  (a seeded year, no secret)
    busy = business_days(COUNTRY, (began + timedelta(days=first)).toordinal(), max(0, end - first))
    counts = []
    for number, is_busy in enumerate(busy):
        share = (1.0 if is_busy else QUIET) * (attendance(began, first + number) if part.closes else 1.0)
        counts.append(round(share * level(part, (first + number) / 7) * (1 + roll.gauss(0, NOISE))))
    return counts


def level(part: Part, week: float) -> float:
    """The level in this week: straight between the points, flat outside."""
    weeks = [at for at, _ in part.level]
    after = bisect_right(weeks, week)
    if after in {0, len(weeks)}:
        return part.level[min(after, len(weeks) - 1)][1]
    (left, low), (right, high) = part.level[after - 1 : after + 1]
    return low + (high - low) * (week - left) / (right - left)


def attendance(began: date, number: int) -> float:
    """The share of people who come to those who close: few from 23 December to 2 January, fewer in early August."""
    day = began + timedelta(days=number)
    if (day.month, day.day) >= (12, 23) or (day.month, day.day) <= (1, 2):
        return CLOSED
    return SUMMER if day.month == 8 and day.day <= 7 else 1.0
