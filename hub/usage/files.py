"""What a file of somebody else's history says of seats, and which of its lines can't be read. Pure.

A line that can't be read is told with its number and what to do about it; the others count. Nothing here is stored:
names of users and devices tell persons apart while a file is read, and go no further.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from itertools import chain

from hub.domain import SeatEvent, SeatMove
from hub.usage.sessions import day_of

TAKEN_BACK = time(6)  # what a server's log never tells the return of is over the next morning at six


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"  # a row a day, or a row an event
    EXPORT = "export"  # events as the licensing vendor's own dashboard exports them
    REPORT_LOG = "report-log"  # a log of FlexLM or RLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a file is to be read. Days are those of `zone`; a time that names no offset is of `local`.

    today: a later day is a mistake. group: the feature, or site, that is wanted. columns: our name -> the file's,
    where it is another one than the known ones. entitlement: rows that name another one are left out.
    """

    zone: tzinfo
    local: tzinfo
    today: date
    group: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    entitlement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line that was left out."""

    line: int
    problem: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDay:
    """A day as a file tells it; peak None: the file says that it does not know. None elsewhere: the file is silent."""

    day: date
    peak: int | None
    seats: int | None = None
    cap: int | None = None
    denials: int | None = None
    users: int | None = None
    seat_hours: float | None = None


@dataclass(slots=True, kw_only=True)
class Contents:
    """What a file says: days, or events from which days are counted. first, last: which days it tells of."""

    days: dict[date, FileDay] = field(default_factory=dict)
    events: list[SeatEvent] = field(default_factory=list)
    seats: list[tuple[float, int]] = field(default_factory=list)  # licensed seats at a moment, where events tell them
    first: date | None = None
    last: date | None = None
    groups: set[str] = field(default_factory=set)
    bad: list[BadRow] = field(default_factory=list)
    lines: int = 0

    def reach(self, day: date) -> None:
        """The file tells of this day too."""
        self.first = min(self.first or day, day)
        self.last = max(self.last or day, day)


class Row(ValueError):
    """A line that can't be read: what is wrong, and what to do."""

    def __init__(self, problem: str, mend: str) -> None:
        self.problem, self.mend = problem, mend
        super().__init__(problem)


class Desk:
    """Makes OUT and IN of a server to events of seats: the first that a user took on a host is the first given back.

    Each taking is a seat of its own; one that is never given back is over the next morning at six.
    """

    def __init__(self, wanted: Wanted, found: Contents) -> None:
        self._wanted, self._found = wanted, found
        self._open: dict[tuple[str, str], deque[SeatEvent]] = defaultdict(deque)
        self._last = 0

    def take(self, move: SeatMove, at: float, user: str, host: str, count: int, line: int, handle: str = "") -> None:
        """One row. A return of what was not taken is left out: it was taken before the log began."""
        holder = (handle, host) if handle else (user, host)
        one = SeatEvent(id=f"{line}", move=move, at=at, seat=f"{line}", user=user or host, count=count)
        if move is SeatMove.ACTIVATE:
            self._open[holder].append(one)
        elif move is SeatMove.DENIED:
            self._found.events.append(one)
        elif self._open[holder]:
            taken = self._open[holder].popleft()
            back = SeatEvent(id=f"{line}", move=SeatMove.DEACTIVATE, at=at, seat=taken.seat, user=taken.user)
            self._found.events += [taken, back]

    def close(self) -> None:
        """The log is over."""
        for one in chain.from_iterable(self._open.values()):
            day = day_of(one.at, self._wanted.local) + timedelta(days=1)
            end = datetime.combine(day, TAKEN_BACK, self._wanted.local).timestamp()
            self._found.events.append(replace(one, lease_expiry=end))
