"""Histories that others have become days here. What the hub watched itself stands; the same file again is nothing."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from pathlib import Path

from sqlalchemy import Connection, select

from hub.collecting.collector import Collector, Place, now, places
from hub.errors import PermanentError
from hub.store import seats
from hub.store.schema import entitlement as table
from hub.usage.files import BadRow, Contents, FileDay, Format, Wanted
from hub.usage.reading import read
from hub.usage.seatdays import IMPORTED, SeatDay, Terms, TermsChange, stands, terms_at
from hub.usage.sessions import daily, midnight

GZIP, UTF16 = b"\x1f\x8b", (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to. days: that the file tells of; changed: that say something else now; kept: the hub's own.

    unknown: days of which the file says that it does not know.
    """

    lines: int
    days: int
    changed: int
    kept: int
    unknown: int
    first: date | None
    last: date | None
    bad: tuple[BadRow, ...]


def import_file(
    collector: Collector,
    path: Path,
    format_: Format,
    entitlement: str,
    *,
    feature: str = "",
    columns: Mapping[str, str] | None = None,
    local: tzinfo | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Imported:
    """The days that the file tells of are on record. Repeatable: a second time changes nothing.

    `told` hears how many bytes of the file were read so far. PermanentError where nothing of it can be taken.
    """
    with collector.store.read() as conn:
        place, at = _place(conn, collector, entitlement), now(conn)
    wanted = Wanted(
        zone=place.account.zone,
        local=local or place.account.zone,
        today=place.day(at),
        group=feature,
        columns=columns or {},
        entitlement=entitlement,
    )
    found = read(_lines(path, told), format_, wanted)
    return collector.store.write(lambda conn: _keep(conn, entitlement, place, found, at), timeout_s=120)


def _place(conn: Connection, collector: Collector, entitlement: str) -> Place:
    if seats.forgotten(conn, [entitlement]):
        raise PermanentError(f"the customer of {entitlement} was deleted", hint="nothing of its use is kept any more")
    if conn.execute(select(table.c.id).where(table.c.id == entitlement)).first() is None:
        raise LookupError(entitlement)
    return places(conn, collector.usage, [entitlement])[entitlement]


def _lines(path: Path, told: Callable[[int], None]) -> Iterator[str]:
    try:
        with path.open("rb") as raw:
            first = raw.read(2)
            raw.seek(0)
            encoding = "utf-16" if first in UTF16 else "utf-8-sig"
            plain = gzip.GzipFile(fileobj=raw) if first == GZIP else raw
            with io.TextIOWrapper(plain, encoding, errors="replace", newline="") as text:
                for number, line in enumerate(text, 1):
                    if number % 1000 == 0:
                        told(raw.tell())
                    yield line
                told(raw.tell())
    except (OSError, EOFError) as error:
        raise PermanentError(f"{path} can't be read: {error}", hint="check the file") from error


def _keep(conn: Connection, entitlement: str, place: Place, found: Contents, at: float) -> Imported:
    changes = seats.terms_changes(conn, [entitlement], 0.0).get(entitlement, [])
    rows = [_row(entitlement, place, one, at, changes) for one in _days(found, place, at)]
    before = seats.days_of(conn, [entitlement], found.first, found.last) if found.first and found.last else {}
    seats.begin(conn, [entitlement])
    kept = sum((entitlement, one.day) in before and stands(before[entitlement, one.day], one) for one in rows)
    return Imported(
        lines=found.lines,
        days=len(rows),
        changed=seats.put_days(conn, rows),
        kept=kept,
        unknown=sum(not one.known for one in rows),
        first=found.first,
        last=found.last,
        bad=tuple(found.bad),
    )


def _days(found: Contents, place: Place, at: float) -> Iterable[FileDay]:
    """Days as the file has them, or counted from its events; it tells of every day from its first to its last."""
    if not found.events or found.first is None or found.last is None:
        return found.days.values()
    uses = daily(found.events, found.first, found.last, place.account.zone, at)
    return [
        FileDay(
            day=use.day,
            peak=use.peak,
            seats=_seats(found, place, use.day),
            denials=use.denials,
            users=use.users,
            seat_hours=use.seat_hours,
        )
        for use in uses
    ]


def _seats(found: Contents, place: Place, day: date) -> int | None:
    """Licensed seats as a row of that day said last."""
    told = [(at, count) for at, count in found.seats if place.day(at) == day]
    return max(told)[1] if told else None


def _row(entitlement: str, place: Place, one: FileDay, at: float, changes: list[TermsChange]) -> SeatDay:
    terms = _terms(place, one, at, changes)
    known = one.peak is not None
    return SeatDay(
        entitlement=entitlement,
        day=one.day,
        known=known,
        closed=one.day < place.day(at),
        source=IMPORTED,
        peak=one.peak,
        seats=terms.seats if terms else None,
        cap=terms.cap if terms else None,
        denials=one.denials if known else None,
        users=one.users if known else None,
        seat_hours=one.seat_hours if known else None,
    )


def _terms(place: Place, one: FileDay, at: float, changes: list[TermsChange]) -> Terms | None:
    """What was licensed: by the file, else by what is known of the entitlement."""
    if one.seats is not None:
        return Terms(seats=one.seats, cap=one.seats if one.cap is None else one.cap)
    if place.entitlement is None:
        return None
    end = min(midnight(one.day, place.account.zone) + 86400, at)
    return terms_at(end, place.entitlement.seats, place.entitlement.overdraft, changes)
