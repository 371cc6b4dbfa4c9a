"""What webhooks tell of seats, read from the stream: in its order, each once, none hidden behind a cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from hub.collecting.collector import Collector, Place, now, places
from hub.domain import Json, SeatEvent, SeatMove
from hub.store import records, seats, stream, subjects
from hub.store.stream import Placed
from hub.usage.seatdays import SeatDay, heard
from hub.usage.sessions import RETRIED_S

CURSOR, RECEIVED = "usage:stream", "usage:received"
MOVES = {
    "seat.activated": (SeatMove.ACTIVATE, "activated_at"),
    "seat.deactivated": (SeatMove.DEACTIVATE, "deactivated_at"),
}
LATE_COMMITS_S = 120.0  # a receipt may be committed so much later than it says


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """So many seats of an entitlement were in use at a moment, by the vendor's own count."""

    entitlement: str
    at: float
    seats: int


@dataclass(slots=True, kw_only=True)
class News:
    """What a part of the stream tells."""

    events: list[tuple[str, SeatEvent]] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)

    @property
    def entitlements(self) -> list[str]:
        """Whom it is about."""
        return sorted({id_ for id_, _ in self.events} | {one.entitlement for one in self.levels})


def hear(collector: Collector) -> int:
    """Keeps what the stream told of seats since the last time; how many messages. Repeatable."""
    heard_of = 0
    while count := _step(collector):
        heard_of += count
    collector.store.write(lambda conn: _notice_receipts(conn, collector))
    return heard_of


def _step(collector: Collector) -> int:
    with collector.store.read() as conn:
        kept = records.get_cursor(conn, CURSOR)
        position, newest = int(kept[0]) if kept else 0, stream.newest(conn)
        page = [one for one in stream.after(conn, position, list(MOVES)) if one.position <= newest]
    upto = page[-1].position if len(page) == stream.BATCH else newest
    if upto > position:
        news = news_of(page)
        collector.store.write(lambda conn: _keep(conn, collector, news, upto))
    return len(page)


def _keep(conn: Connection, collector: Collector, news: News, upto: int) -> None:
    keep(conn, collector, news, "webhook")
    records.set_cursor(conn, CURSOR, str(upto))


def news_of(messages: Iterable[Placed]) -> News:
    """What facts of the stream tell of seats."""
    news = News()
    for one in messages:
        details = one.data.get("details")
        if isinstance(details, dict):
            _add(news, one, str(one.data["entitlement"]), details)
    return news


def _add(news: News, message: Placed, entitlement: str, details: dict[str, Json]) -> None:
    move, moment = MOVES[message.type]
    at = _seconds(details.get(moment)) or float(int(message.occurred_at.timestamp()))
    seat, used = details.get("seat") or details.get("activation"), details.get("seats_used")
    if isinstance(seat, str):
        lease = _seconds(details.get("lease_expiry")) if move is SeatMove.ACTIVATE else None
        news.events.append(
            (entitlement, SeatEvent(id=message.id, move=move, at=at, seat=seat, user=seat, lease_expiry=lease))
        )
    if isinstance(used, int):
        news.levels.append(Level(entitlement=entitlement, at=at, seats=used))


def _seconds(value: Json) -> float | None:
    """A moment as the vendor's log has it: in whole seconds, so that both tell of one thing."""
    return float(int(datetime.fromisoformat(value).timestamp())) if isinstance(value, str) else None


def keep(conn: Connection, collector: Collector, news: News, source: str, *, final: float | None = None) -> int:
    """Keeps events and levels, and has the days counted again that they touch; how many were news of. Repeatable.

    What is over before `final` (None: when days are final) is only counted; a deleted customer's is dropped.
    """
    gone, at = seats.forgotten(conn, news.entitlements), now(conn)
    final = collector.final_before(at) if final is None else final
    told = [(id_, one) for id_, one in news.events if id_ not in gone]
    since = seats.add_events(conn, source, [(id_, one) for id_, one in told if _matters(one, final)])
    seats.touch(conn, {id_: first - RETRIED_S for id_, first in since.items()})
    if source == "webhook":
        seats.add_too_late(conn, Counter(id_ for id_, one in told if not _matters(one, final)))
    keep_levels(conn, collector, [one for one in news.levels if one.entitlement not in gone and one.at >= final], at)
    return len(since)


def _matters(one: SeatEvent, final: float) -> bool:
    """Whether it says something of a day that is not final: also a seat that was taken before and is held on."""
    takes = one.move in {SeatMove.ACTIVATE, SeatMove.REFRESH}
    return one.at >= final or (takes and (one.lease_expiry is None or one.lease_expiry > final))


def keep_levels(conn: Connection, collector: Collector, levels: Sequence[Level], at: float) -> int:
    """The days know the most seats in use that the vendor told of; how many days did not. Repeatable.

    A moment after `at` is taken as `at`: whoever tells a number knows it now.
    """
    of = places(conn, collector.usage, sorted({one.entitlement for one in levels}))
    most: dict[seats.Key, int] = {}
    for one in levels:
        key = (one.entitlement, of[one.entitlement].day(min(one.at, at)))
        most[key] = max(one.seats, most.get(key, 0))
    if not most:
        return 0
    days = [day for _, day in most]
    before = seats.days_of(conn, sorted(of), min(days), max(days))
    return seats.put_days(conn, [_heard(key, level, before.get(key), of[key[0]]) for key, level in most.items()])


def _heard(key: seats.Key, level: int, before: SeatDay | None, place: Place) -> SeatDay:
    return heard(before, *key, level, node_locked=place.node_locked)


def _notice_receipts(conn: Connection, collector: Collector) -> None:
    """Any webhook of the tenant shows that somebody watched, also while no clock ran."""
    at = subjects.now(conn)
    kept = records.get_cursor(conn, RECEIVED)
    since = float(kept[0]) if kept else at - seats.QUARTER_S
    moved = now(conn) - at
    quarters = seats.received(conn, collector.connection, since - LATE_COMMITS_S)
    seats.watch(conn, collector.connection, [one + moved for one in quarters])
    records.set_cursor(conn, RECEIVED, str(at))
