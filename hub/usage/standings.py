"""From a history and what was told of it to the row that lists show. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from hub.usage import figures
from hub.usage.calendars import year_end
from hub.usage.history import History, Judgement
from hub.usage.portfolio import Level, Money, Standing, Verdict
from hub.usage.signal import Signal

WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What lists show of an entitlement that its history does not know."""

    account: str
    offering: str
    owner: str = ""
    value: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What lists show of a history: see `Standing`."""

    seats: int
    used: float | None
    used_before: float | None
    weeks: tuple[Level, ...]


def shown(history: History) -> Shown:
    """The figures of a history that lists show."""
    levels = figures.weekly(history)
    return Shown(
        seats=figures.licensed(history.seats),
        used=_newest(levels),
        used_before=_newest(levels[:-1]),
        weeks=tuple((level, _seats_at(history, day)) for day, level in _joined(levels)),
    )


def standing(history: History, judgement: Judgement, verdicts: Sequence[Verdict], about: About) -> Standing:
    """The row. `verdicts` is what people were told, newest first; without any, the judgement counts from today."""
    seen = shown(history)
    return Standing(
        account_id=history.account_id,
        account=about.account,
        entitlement_id=history.entitlement_id,
        offering=about.offering,
        owner=about.owner,
        value=about.value,
        signal=verdicts[0].signal if verdicts else judgement.signal,
        was=_told_at(verdicts, history.as_of - WEEK),
        since=verdicts[0].day if verdicts else history.as_of,
        confidence=judgement.confidence,
        sentence=judgement.sentence,
        as_of=history.as_of,
        renewal=history.renewal,
        seats=seen.seats,
        used=seen.used,
        used_before=seen.used_before,
        recommended_seats=judgement.recommended_seats,
        weeks=seen.weeks,
    )


def _joined(levels: Sequence[tuple[date, float | None]]) -> list[tuple[date, float | None]]:
    """The levels with the weeks around New Year bridged: a small picture shows gaps of data only."""
    found: list[tuple[date, float | None]] = []
    for day, level in levels:
        bridged = level is None and found and year_end(day.toordinal(), 1)[0]
        found.append((day, found[-1][1] if bridged else level))
    return found


def _told_at(verdicts: Sequence[Verdict], day: date) -> Signal | None:
    return next((one.signal for one in verdicts if one.day <= day), None)


def _newest(levels: Sequence[tuple[date, float | None]]) -> float | None:
    """The level of the last week, or of the one before it where that has just begun; None: unknown."""
    return next((level for _, level in reversed(levels[-2:]) if level is not None), None)


def _seats_at(history: History, day: date) -> float:
    """Licensed seats of a day; 0 before the first."""
    at = min((day - history.first_day).days, len(history.seats) - 1)
    return float(figures.licensed(history.seats[: at + 1])) if at >= 0 else 0.0
