"""Logs of license servers: FlexLM's debug log, RLM's report log. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from itertools import chain

from hub.domain import SeatMove
from hub.errors import PermanentError
from hub.usage.files import BadRow, Contents, Desk, Row, Wanted

_FLEX = re.compile(
    r'^\s*(\d{1,2}):(\d\d):(\d\d) \(([^)]+)\) (OUT|IN|DENIED): "([^"]+)" (\S+?)@(\S+)(?:.*?\((\d+) licenses?\))?'
)
_FLEX_CLOCK = re.compile(r"^\s*(\d{1,2}):(\d\d):(\d\d) \(")
_FLEX_DAY = re.compile(r"(?:TIMESTAMP|\(\S+\) Start-Date:.*?|started on .*?\() ?(\d{1,2})/(\d{1,2})/(\d{4})")
_RLM_DAY = re.compile(r"^(?:START \S+ |TIME )?(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d\d)")
_RLM_AT = re.compile(r"(\d{1,2})/(\d{1,2}) (\d{1,2}):(\d\d)(?::(\d\d))?")
_RLM = re.compile(r"^(OUT|INUSE|IN|DENY) ")
_WORDS = re.compile(r'"([^"]*)"|(\S+)')
HALF_A_YEAR, HALF_A_DAY = 183, 12
FLEX_MOVES = {"OUT": SeatMove.ACTIVATE, "IN": SeatMove.DEACTIVATE, "DENIED": SeatMove.DENIED}


def read_log(lines: Iterable[str], wanted: Wanted, found: Contents) -> None:
    """A debug log of FlexLM, or a report log of RLM in its std or detailed format, whichever it is."""
    rows = iter(lines)
    head = [line for line, _ in zip(rows, range(50), strict=False)]
    is_rlm = any(line.startswith(("RLM Report Log", "START ")) or _RLM.match(line) for line in head)
    reader = (_Rlm if is_rlm else _Flex)(wanted, found)
    for number, line in enumerate(chain(head, rows), 1):
        found.lines += 1
        try:
            reader.take(number, line.lstrip("\ufeff").rstrip())
        except Row as bad:
            found.bad.append(BadRow(line=number, problem=bad.problem, mend=bad.mend))
    reader.desk.close()
    if not found.groups:
        raise PermanentError("no line of it tells of a seat", hint="give a FlexLM debug log, or an RLM report log")


class _Flex:
    """Lines such as `10:25:38 (vendor) OUT: "feature" user@host (2 licenses)`; other lines tell the day."""

    def __init__(self, wanted: Wanted, found: Contents) -> None:
        self._wanted, self._found, self.desk = wanted, found, Desk(wanted, found)
        self._day: date | None = None
        self._clock = time()

    def take(self, number: int, line: str) -> None:
        """One line. Past midnight the day goes on by itself, until the log names one."""
        clock = _clock(_FLEX_CLOCK.match(line))
        if told := _FLEX_DAY.search(line):
            self._day = _us_date(told[1], told[2], told[3])
        elif clock and self._day and self._clock.hour - clock.hour >= HALF_A_DAY:
            self._day += timedelta(days=1)
        self._clock = clock or self._clock
        if not (seat := _FLEX.match(line)):
            return
        self._found.groups.add(seat[6])
        if self._wanted.group and seat[6] != self._wanted.group:
            return
        if self._day is None or clock is None:
            raise Row("no line before it names a day", "begin the file with the line TIMESTAMP mm/dd/yyyy of that day")
        at = _at(self._day, clock, self._wanted)
        self._found.reach(self._day)
        move = FLEX_MOVES[seat[5]]
        self.desk.take(move, at, seat[7], seat[8], int(seat[9] or 1), number)


class _Rlm:
    """Lines such as `OUT product version pool user host "isv" count … handle … mm/dd hh:mm:ss`; START tells the year.

    Source: reportlog format of Reprise's RLM (std and detailed); small has neither users nor days.
    """

    def __init__(self, wanted: Wanted, found: Contents) -> None:
        self._wanted, self._found, self.desk = wanted, found, Desk(wanted, found)
        self._day: date | None = None

    def take(self, number: int, line: str) -> None:
        """One line."""
        if told := _RLM_DAY.match(line):
            self._day = _us_date(told[1], told[2], told[3])
        if not _RLM.match(line):
            return
        words = [quoted or bare for quoted, bare in _WORDS.findall(line)]
        shape = _RLM_SHAPES[words[0]]
        moments = list(_RLM_AT.finditer(line))
        if not moments or len(words) <= max(shape.values()):
            raise Row("not in RLM's std or detailed format", "set REPORTLOG … std in the server's options")
        self._found.groups.add(words[shape["product"]])
        if self._wanted.group and words[shape["product"]] != self._wanted.group:
            return
        day, at = self._moment(moments[-1])
        self._found.reach(day)
        move = {"OUT": SeatMove.ACTIVATE, "INUSE": SeatMove.ACTIVATE, "IN": SeatMove.DEACTIVATE}.get(
            words[0], SeatMove.DENIED
        )
        handle = words[shape["handle"]] if "handle" in shape else ""
        count = int(words[shape["count"]]) if words[shape["count"]].isdigit() else 1
        self.desk.take(move, at, words[shape["user"]], words[shape["host"]], count, number, handle)

    def _moment(self, told: re.Match[str]) -> tuple[date, float]:
        """mm/dd hh:mm:ss in the year that the log is in; after a December comes the next one."""
        if self._day is None:
            raise Row("no line before it names a year", "keep the line START host mm/dd/yyyy hh:mm of the log")
        day = _us_date(told[1], told[2], str(self._day.year))
        if (self._day - day).days > HALF_A_YEAR:
            day = _us_date(told[1], told[2], str(self._day.year + 1))
        self._day = max(self._day, day)
        clock = time(int(told[3]) % 24, int(told[4]), int(told[5] or 0) % 60)
        return day, _at(day, clock, self._wanted)


# Where RLM's words stand, counted from the first one.
_RLM_SHAPES: Mapping[str, Mapping[str, int]] = {
    "OUT": {"product": 1, "user": 4, "host": 5, "count": 7, "handle": 10},
    "INUSE": {"product": 1, "user": 4, "host": 5, "count": 7, "handle": 8},
    "IN": {"product": 2, "user": 4, "host": 5, "count": 7, "handle": 10},
    "DENY": {"product": 1, "user": 3, "host": 4, "count": 6},
}


def _clock(found: re.Match[str] | None) -> time | None:
    return time(int(found[1]) % 24, int(found[2]) % 60, int(found[3]) % 60) if found else None


def _us_date(month: str, day: str, year: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise Row(f"{month}/{day}/{year} is no date", "mend it, or leave the line away") from None


def _at(day: date, clock: time, wanted: Wanted) -> float:
    if day > wanted.today:
        raise Row(f"{day} is in the future", "set the clock of the server that wrote it, and mend the line")
    return datetime.combine(day, clock, wanted.local).timestamp()
