"""What is known of the collecting itself: is somebody watching, how often, what is behind, what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from hub import polling
from hub.collecting.collector import Collector, now
from hub.domain import Json
from hub.store import seats

WINDOW_DAYS = 30
QUIET_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the feeds now. Times are UTC; seconds are what they say.

    interval_s: from one list of all entitlements to the next, stretched where a list takes long. share: the part of
    the connection's rate that the list and the vendor's log take together. logs: wanted reads, by why.
    """

    connection: str
    watched_at: datetime | None
    list_rows: int | None
    list_took_s: float | None
    list_ended_at: datetime | None
    interval_s: float
    share: float
    known_days: int
    unknown_days: int
    logs: dict[str, int]
    tallies: dict[str, int]
    problems: tuple[tuple[str, str], ...]

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look."""
        return bool(self.problems) or self.watched_at is None

    def to_json(self) -> dict[str, Json]:
        """As the command line prints it."""
        return {
            "connection": self.connection,
            "watched_at": self.watched_at.isoformat() if self.watched_at else None,
            "list": {
                "rows": self.list_rows,
                "took_s": self.list_took_s,
                "ended_at": self.list_ended_at.isoformat() if self.list_ended_at else None,
                "interval_s": self.interval_s,
                "share_of_rate": self.share,
            },
            "days": {"window": WINDOW_DAYS, "known": self.known_days, "unknown": self.unknown_days},
            "logs_wanted": {**self.logs},
            **self.tallies,
            "problems": [{"entitlement": id_, "problem": problem} for id_, problem in self.problems],
        }


def status(collector: Collector, poll_s: float) -> Status:
    """How collecting goes. `poll_s`: `timing.poll`."""
    with collector.store.read() as conn:
        return _status(conn, collector, poll_s)


def _status(conn: Connection, collector: Collector, poll_s: float) -> Status:
    at, last = now(conn), polling.pace(conn, collector.connection)
    watched = seats.last_watched(conn, collector.connection)
    since = (datetime.fromtimestamp(at, UTC) - timedelta(days=WINDOW_DAYS)).date()
    known, unknown = seats.known_days(conn, since)
    return Status(
        connection=collector.connection,
        watched_at=None if watched is None else datetime.fromtimestamp(watched, UTC),
        list_rows=last.rows if last else None,
        list_took_s=last.took_s if last else None,
        list_ended_at=datetime.fromtimestamp(last.ended_at, UTC) if last else None,
        interval_s=last.interval_s(poll_s) if last else poll_s,
        share=polling.SHARE,
        known_days=known,
        unknown_days=unknown,
        logs=seats.logs_wanted(conn),
        tallies=seats.tallies(conn, at),
        problems=tuple((row.entitlement, row.problem) for row in seats.problems(conn)),
    )
