"""What the list of all entitlements tells of seats: proof of life, seats in use, and whose log is to be read.

A list that was read to its end shows that somebody watched. Where seats in use moved without a webhook the vendor's
log says how; after a time without any proof of life every log is read, for nobody knows what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import structlog
from sqlalchemy import Connection

from hub.collecting.collector import Collector, now
from hub.collecting.hearing import Level, keep_levels
from hub.domain import SeatRow
from hub.store import records, seats

log = structlog.get_logger()
CURSOR = "usage:list"
NEW_RANK, USED_RANK, MOVED_RANK, GAP_RANK = 4, 3, 0, 5
GAP_S = 3600.0  # so long without proof of life is a gap, where lists are not further apart anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Takes the rows of one list, and its end."""

    collector: Collector

    def rows(self, rows: Sequence[SeatRow], moved: Iterable[str]) -> None:
        """These rows were read; of `moved` the seats in use are others than on record. Repeatable."""
        self.collector.store.write(lambda conn: _rows(conn, self.collector, rows, set(moved)))

    def end(self, interval_s: float) -> None:
        """The list was read to its end; another one follows after about `interval_s`."""
        self.collector.store.write(lambda conn: _end(conn, self.collector, interval_s))


def _rows(conn: Connection, collector: Collector, rows: Sequence[SeatRow], moved: set[str]) -> None:
    gone = seats.forgotten(conn, [row.entitlement_id for row in rows])
    kept = [row for row in rows if row.entitlement_id not in gone]
    used = [row for row in kept if row.seats_used > 0]
    idle = [row.entitlement_id for row in kept if row.seats_used == 0]
    seats.begin(conn, [row.entitlement_id for row in used], rank=USED_RANK)
    seats.begin(conn, idle, rank=NEW_RANK)
    seats.want_log(conn, moved - gone, "moved", MOVED_RANK)
    at = now(conn)
    keep_levels(
        conn, collector, [Level(entitlement=row.entitlement_id, at=at, seats=row.seats_used) for row in used], at
    )


def _end(conn: Connection, collector: Collector, interval_s: float) -> None:
    at, kept = now(conn), records.get_cursor(conn, CURSOR)
    last = float(kept[0]) if kept else at
    proofs = [last, *(one for one in seats.watched(conn, collector.connection, last, at) if one > last), at]
    longest = max(after - before for before, after in pairwise(proofs))
    if longest > max(GAP_S, 2 * interval_s):
        count = seats.want_all_logs(conn, "gap", GAP_RANK)
        log.warning("usage.gap", hours=round(longest / 3600, 1), logs=count)
    seats.watch(conn, collector.connection, [at])
    records.set_cursor(conn, CURSOR, str(at))
