"""Tables of days or of events, however their columns are called. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from hub.domain import SeatEvent, SeatMove
from hub.errors import PermanentError
from hub.usage.files import BadRow, Contents, Desk, FileDay, Row, Wanted
from hub.usage.sessions import day_of

MOST_SEATS = 10_000_000

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "day": ("date", "day"),
    "group": ("feature", "site", "product"),
    "peak": ("peak", "peak_occupancy", "used", "in_use", "unique_visits"),
    "seats": ("seats", "capacity", "licensed"),
    "cap": ("cap",),
    "denials": ("denials", "denied"),
    "users": ("users",),
    "seat_hours": ("seat_hours",),
    "at": ("time", "time_local", "timestamp", "log_time", "at"),
    "move": ("op", "operation", "type", "move"),
    "seat": ("seat", "seat_id"),
    "activation": ("activation_id",),
    "user": ("user", "user_id", "username"),
    "host": ("host", "device"),
    "count": ("count",),
    "lease": ("lease_expiry", "lease_expires"),
    "entitlement": ("entitlement_id", "entitlement"),
    "seat_count": ("seat_count",),
    "id": ("event_id", "id"),
}
MOVES: Mapping[str, SeatMove] = {
    **{one.value: one for one in SeatMove},
    "out": SeatMove.ACTIVATE,
    "in": SeatMove.DEACTIVATE,
    "activationdenied": SeatMove.DENIED,
    "deny": SeatMove.DENIED,
}
IGNORED = {"featurecheckout", "featurereturn", "featurecheckoutdenied", "featureusage"}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower().lstrip("\ufeff")).strip("_")


class _Table:
    """A table's header and rows; `get` reads a cell under our own name for it."""

    def __init__(self, lines: Iterable[str], wanted: Wanted) -> None:
        rows = iter(lines)
        head = next(rows, "")
        separator = max(",;\t", key=head.count)
        names = [_plain(name) for name in next(csv.reader([head], delimiter=separator), [])]
        self.places = dict(self._places(names, wanted))
        self.names, self._rows = names, csv.reader(rows, delimiter=separator)

    @staticmethod
    def _places(names: Sequence[str], wanted: Wanted) -> Iterator[tuple[str, int]]:
        for ours, theirs in wanted.columns.items():
            if ours not in COLUMNS or _plain(theirs) not in names:
                known = ", ".join(names)
                raise PermanentError(
                    f"no column {theirs!r} for {ours}", hint=f"the file has {known}; we know {', '.join(COLUMNS)}"
                )
            yield ours, names.index(_plain(theirs))
        for ours, candidates in COLUMNS.items():
            there = [names.index(name) for name in candidates if name in names]
            if there and ours not in wanted.columns:
                yield ours, there[0]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of every row that has any; the header is line 1."""
        for cells in self._rows:
            if any(cell.strip() for cell in cells):
                yield self._rows.line_num + 1, cells

    def get(self, cells: Sequence[str], name: str) -> str:
        """The cell, or nothing."""
        place = self.places.get(name)
        return cells[place].strip() if place is not None and place < len(cells) else ""


def read_table(lines: Iterable[str], wanted: Wanted, found: Contents) -> None:
    """A table of days or of events, whichever its first line names."""
    table = _Table(lines, wanted)
    if {"at", "move"} <= table.places.keys():
        _events(table, wanted, found)
    elif {"day", "peak"} <= table.places.keys():
        _each(table, found, lambda line, cells: _day(table, cells, wanted, found, line))
    else:
        known = ", ".join(name for name in table.names if name) or "no header"
        raise PermanentError(
            f"neither days (date, peak) nor events (time, op): the first line has {known}",
            hint="name them in the first line, or map them: --column peak=in_use_max",
        )


def _each(table: _Table, found: Contents, take: Callable[[int, list[str]], None]) -> None:
    try:
        for line, cells in table.rows():
            found.lines += 1
            try:
                take(line, cells)
            except Row as bad:
                found.bad.append(BadRow(line=line, problem=bad.problem, mend=bad.mend))
    except csv.Error as error:
        raise PermanentError(f"not readable as a table: {error}", hint="save it as CSV in UTF-8") from error


def _day(table: _Table, cells: Sequence[str], wanted: Wanted, found: Contents, line: int) -> None:
    del line
    group = table.get(cells, "group")
    found.groups.update({group} - {""})
    if wanted.group and group != wanted.group:
        return
    day = _date(table.get(cells, "day"), wanted)
    seats, cap = _number(table, cells, "seats"), _number(table, cells, "cap")
    hours = table.get(cells, "seat_hours")
    one = FileDay(
        day=day,
        peak=_number(table, cells, "peak"),
        seats=seats,
        cap=seats if cap is None else cap,
        denials=_number(table, cells, "denials"),
        users=_number(table, cells, "users"),
        seat_hours=_hours(hours) if hours else None,
    )
    if found.days.setdefault(day, one) != one and (wanted.group or len(found.groups) < 2):  # noqa: PLR2004
        raise Row(f"{day} is told twice, and differently", "keep one of the rows; the first one counted")
    found.reach(day)


def _date(text: str, wanted: Wanted) -> date:
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        raise Row(f"{text!r} is no date", "write it as 2026-11-24") from None
    if day > wanted.today:
        raise Row(f"{day} is in the future", "only days that have begun can have been used")
    return day


def _number(table: _Table, cells: Sequence[str], name: str) -> int | None:
    text = table.get(cells, name)
    if text.lower() in {"", "nan", "null", "none", "-"}:
        return None
    try:
        number = float(text)
    except ValueError:
        raise Row(f"{text!r} is no {name}", "write a whole number, or nothing where it is not known") from None
    if not (number.is_integer() and 0 <= number <= MOST_SEATS):
        raise Row(f"{text} is no {name}", f"write a whole number from 0 to {MOST_SEATS:,}")
    return int(number)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= MOST_SEATS * 25:
        raise Row(f"{text!r} is no number of hours", "write it as 12.5")
    return hours


# -- events


def _events(table: _Table, wanted: Wanted, found: Contents) -> None:
    """Events with seats and leases, or a server's OUT and IN, which are matched first in, first out."""
    servers = "seat" not in table.places and "activation" not in table.places
    desk = Desk(wanted, found)

    def take(line: int, cells: list[str]) -> None:
        group, word = table.get(cells, "group"), table.get(cells, "move").replace(" ", "").replace("_", "").lower()
        found.groups.update({group} - {""})
        whose, seat_count = table.get(cells, "entitlement"), _number(table, cells, "seat_count")
        if whose and wanted.entitlement and whose != wanted.entitlement:
            return
        at = _instant(table.get(cells, "at"), wanted)
        found.reach(day_of(at, wanted.zone))
        if seat_count is not None:
            found.seats.append((at, seat_count))
        if (wanted.group and group != wanted.group) or word in IGNORED:
            return
        move = _move(word)
        count = _number(table, cells, "count") or 1
        if servers:
            desk.take(move, at, table.get(cells, "user"), table.get(cells, "host"), count, line)
            return
        found.events.append(_event(table, cells, move, at, count, wanted))

    _each(table, found, take)
    desk.close()


def _move(word: str) -> SeatMove:
    if word not in MOVES:
        raise Row(f"{word!r} is nothing that happens to a seat", f"write one of {', '.join(sorted(MOVES))}")
    return MOVES[word]


def _event(table: _Table, cells: Sequence[str], move: SeatMove, at: float, count: int, wanted: Wanted) -> SeatEvent:
    seat = table.get(cells, "seat") or table.get(cells, "activation")
    if not seat:
        raise Row("names no seat", "give each row a seat id")
    lease = table.get(cells, "lease") if move in {SeatMove.ACTIVATE, SeatMove.REFRESH} else ""
    id_ = table.get(cells, "id") or f"{seat}:{move}:{at}"
    return SeatEvent(
        id=id_,
        move=move,
        at=at,
        seat=seat,
        user=table.get(cells, "user") or seat,
        count=count,
        lease_expiry=_instant(lease, wanted) if lease else None,
    )


def _instant(text: str, wanted: Wanted) -> float:
    """A moment; one that names no zone is local to the server."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Row(
            f"{text!r} is no time", "write it as 2026-11-24T08:30:00, with an offset where it is not local"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=wanted.local)
    try:
        at = moment.timestamp()
    except (OverflowError, ValueError):
        raise Row(f"{text!r} is no time that ever was", "write it as 2026-11-24T08:30:00") from None
    if day_of(at, wanted.zone) > wanted.today:
        raise Row(f"{text} is in the future", "set the clock of the server that wrote it, and mend the row")
    return at


def read_export(lines: Iterable[str], wanted: Wanted, found: Contents) -> None:
    """Activation id, seat id, log time, operation, lease expiry, entitlement id, seat count; times are UTC or say so.

    How the dashboard writes the names of these columns is not documented, so they are known by their words.
    """
    wanted = replace(wanted, local=UTC)
    table = _Table(lines, wanted)
    missing = [name for name in ("seat", "at", "move") if name not in table.places]
    if missing:
        have = ", ".join(name for name in table.names if name) or "no header"
        raise PermanentError(
            f"no column for {', '.join(missing)}: the first line has {have}", hint="map it: --column at=…"
        )
    _events(table, wanted, found)
