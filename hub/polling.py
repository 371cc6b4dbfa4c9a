"""Every entitlement of the licensing system against its snapshot: what no webhook told, and everybody's seats in use.

A list row has neither status nor grace, so it changes nothing but seats in use; whatever else differs makes the
entitlement due for a look of its own. One that is not on record is kept as far as the row tells it (`LISTED`); one
that is not in the list is looked at, and where it can't be found a person is told. Those of purchases that were read
longest ago are read again in their turn: that alone tells a switch that no webhook told.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy import Connection

from hub import limits
from hub.domain import Entitlement, Ref, SeatRow
from hub.reconcile import Shop
from hub.store import records, snapshots, subjects
from hub.store.snapshots import Known
from hub.stream.state import LISTED, agrees
from hub.sweep import chunks

log = structlog.get_logger()
SHARE = 0.3  # of the connection's rate: a long list takes longer, it never crowds live work out
REQUESTS = 2.0  # that a look at one entitlement costs
PAGE = 2000  # ids of the record at once
GONE = "not in the list of entitlements any more"
OLD = "not read for long"
DIFFERS = "not as on record in the list of entitlements"
PROGRESS = 50  # chunks between two lines of the log
NUMBERS = ("seats", "overdraft", "expires_at", "offering", "order_ref")


@dataclass(slots=True, kw_only=True)
class Polled:
    """What a poll came to. used: rows with another number of seats in use; due: entitlements to be looked at.

    gone: on record, and not in the list; old: to be read again, for they were not for long.
    """

    rows: int = 0
    used: int = 0
    new: int = 0
    due: int = 0
    gone: int = 0
    old: int = 0


class Watcher(Protocol):
    """Whoever else wants to know what the list says."""

    def rows(self, rows: Sequence[SeatRow], moved: Iterable[str]) -> None:
        """These rows were read; of `moved` the seats in use are others than on record."""

    def end(self, interval_s: float) -> None:
        """The list was read to its end; another one follows after about `interval_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The last list that was read to its end. Times in seconds; `ended_at` is machine time."""

    ended_at: float
    rows: int
    took_s: float

    def interval_s(self, poll_s: float) -> float:
        """From one list to the next: `timing.poll`, or twice as long as a list takes where that is longer.

        So a list takes at most half of the share of the rate, and the vendor's log of seats has the other half.
        """
        return max(poll_s, 2 * self.took_s)


def pace(conn: Connection, connection: str) -> Pace | None:
    """How the last whole list went; None where none was ever read."""
    kept = records.get_cursor(conn, _cursor(connection))
    if kept is None:
        return None
    rows, _, took_s = kept[0].partition(" ")
    return Pace(ended_at=kept[1], rows=int(rows), took_s=float(took_s or 0))


def is_due(shop: Shop, connection: str) -> bool:
    """Whether the next list is to be read."""
    with shop.store.read() as conn:
        last = pace(conn, connection)
        return last is None or subjects.now(conn) >= last.ended_at + last.interval_s(shop.timing.poll) - last.took_s


def poll(shop: Shop, connection: str, rate_per_s: float, watcher: Watcher | None = None) -> Polled:
    """Reads the whole list and compares it with the record. Repeatable; where it breaks off it begins anew.

    RetryableError, PermanentError: the list could not be read to its end; what was read of it counts.
    """
    done, started = Polled(), time.monotonic()
    gap_s = REQUESTS / (SHARE * rate_per_s)
    listed_: set[str] = set()
    with limits.sharing(SHARE):
        first = began = before = _now(shop)
        for number, chunk in enumerate(chunks(shop.licensing.entitlements()), 1):
            moved = _compare(shop, connection, chunk, before, done, gap_s)
            if watcher:
                watcher.rows(chunk, moved)
            listed_.update(row.entitlement_id for row in chunk)
            before, began = began, _now(shop)  # a chunk's rows may have come with the one before
            if number % PROGRESS == 0:
                log.info("poll.progress", source=connection, rows=done.rows, new=done.new, due=done.due)
    done.gone = _look_at(shop, connection, _gone(shop, connection, listed_, first), GONE, done.due, gap_s)
    done.old = _look_at(shop, connection, _old(shop, gap_s), OLD, done.due + done.gone, gap_s)
    last = Pace(ended_at=0, rows=done.rows, took_s=round(time.monotonic() - started, 1))
    shop.store.write(lambda conn: records.set_cursor(conn, _cursor(connection), f"{last.rows} {last.took_s}"))
    if watcher:
        watcher.end(last.interval_s(shop.timing.poll))
    told = {"rows": done.rows, "new": done.new, "due": done.due, "seats": done.used, "gone": done.gone, "old": done.old}
    log.info("poll.done", source=connection, **told)
    return done


def _gone(shop: Shop, connection: str, listed_: Collection[str], began: float) -> Iterator[str]:
    """What was on record before the list was read and is not in it, but for what a person is told of already."""
    after = ""
    while True:
        with shop.store.read() as conn:
            ids = snapshots.read_before(conn, connection, began, after, PAGE)
        yield from (id_ for id_ in ids if id_ not in listed_)
        if len(ids) < PAGE:
            return
        after = ids[-1]


def _old(shop: Shop, gap_s: float) -> Sequence[str]:
    """Of purchases' entitlements those read longest ago, as many as can be read until the next poll."""
    most = int(shop.timing.poll / gap_s)
    with shop.store.read() as conn:
        return snapshots.read_longest_ago(conn, subjects.now(conn) - shop.timing.full_sweep, most)


def _look_at(shop: Shop, connection: str, ids: Iterable[str], reason: str, first: int, gap_s: float) -> int:
    """Makes these due behind live work, one after the other; how many."""
    refs = [Ref(source=connection, kind="entitlement", id=id_) for id_ in ids]
    for start in range(0, len(refs), PAGE):

        def unit(conn: Connection, start: int = start) -> None:
            for number, ref in enumerate(refs[start : start + PAGE], first + start):
                _due(conn, ref, reason, number * gap_s)

        shop.store.write(unit)
    return len(refs)


def _due(conn: Connection, ref: Ref, reason: str, delay_s: float) -> None:
    """So that a list full of news stays within its share of the rate."""
    subjects.mark_due(conn, [ref], cause="list", reason=reason, delay_s=delay_s, priority=subjects.SWEEP)


def _cursor(connection: str) -> str:
    return f"poll:{connection}"


def _now(shop: Shop) -> float:
    with shop.store.read() as conn:
        return subjects.now(conn)


def _compare(
    shop: Shop, connection: str, chunk: Sequence[SeatRow], began: float, done: Polled, gap_s: float
) -> list[str]:
    """Keeps what the rows tell; those with another number of seats in use than on record."""
    with shop.store.read() as conn:
        known = snapshots.find_all(conn, [row.entitlement_id for row in chunk])
    new = [row for row in chunk if row.entitlement_id not in known]
    used = [row for row in chunk if _used(known, row, began)]
    differing = [row for row in chunk if (one := known.get(row.entitlement_id)) and _news(one, row, began)]
    if new or used or differing:
        due, first = [*differing, *new], done.due

        def unit(conn: Connection) -> None:
            for row in used:
                records.set_seats_used(conn, row.entitlement_id, row.seats_used)
            for row in new:
                records.save_listed(conn, listed(row))
            for number, row in enumerate(due, first):
                _due(conn, Ref(source=connection, kind="entitlement", id=row.entitlement_id), DIFFERS, number * gap_s)

        shop.store.write(unit)
    done.rows, done.used = done.rows + len(chunk), done.used + len(used)
    done.new, done.due = done.new + len(new), done.due + len(new) + len(differing)
    return [row.entitlement_id for row in used]


def _used(known: Mapping[str, Known], row: SeatRow, began: float) -> bool:
    """Whether the row tells another number of seats in use, and was read after what is on record."""
    one = known.get(row.entitlement_id)
    return one is not None and one.entitlement.seats_used != row.seats_used and one.read_at <= began


def _news(known: Known, row: SeatRow, began: float) -> bool:
    """Whether the row differs, and was read after what is on record: else it may be the older one."""
    return known.read_at <= began and not _same(known, row)


def _same(known: Known, row: SeatRow) -> bool:
    ids = [(known.entitlement.group_id, row.group_id), (known.entitlement.customer_id, row.customer_id)]
    moved = any(old and new and old != new for old, new in ids)
    return not moved and agrees(known.entitlement, {name: getattr(row, name) for name in NUMBERS})


def listed(row: SeatRow) -> Entitlement:
    """As much of an entitlement as its list row tells."""
    return Entitlement(
        id=row.entitlement_id,
        group_id=row.group_id,
        customer_id=row.customer_id,
        order_ref=row.order_ref,
        offering=row.offering,
        offering_id="",
        product_id="",
        seats=row.seats,
        seats_used=row.seats_used,
        overdraft=row.overdraft,
        expires_at=row.expires_at,
        enabled=True,
        status=LISTED,
    )
