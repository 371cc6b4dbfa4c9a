"""Days that are over are closed, nightly in each time zone: counted a last time, compared with the vendor's own number.

Where seats in use by the vendor and open sessions differ, the difference is logged and kept, and the vendor's log is
read. Old events and days are dropped here too, in small batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, timedelta

import structlog
from sqlalchemy import Connection

from hub.collecting.collector import DAY_S, Collector, Place, now, places
from hub.collecting.counting import recount
from hub.store import records, seats, snapshots
from hub.usage.sessions import day_of, midnight, open_seats, spent

log = structlog.get_logger()
BATCH = 200
SETTLE_S = 3600.0  # a day is closed so long after it is over: webhooks and one list of entitlements still come in
DIFFERS_RANK, LOCKED_RANK = 1, 2
WATCHED_BEYOND_DAYS = 30  # when somebody watched is kept so much longer than events


def close_days(collector: Collector) -> int:
    """Closes every day that is over; how many entitlements had one. Repeatable; where it breaks off it goes on."""
    closed, after = 0, ""
    while True:
        with collector.store.read() as conn:
            latest = _latest_over(collector, now(conn))
            ids = seats.to_close(conn, latest, after, BATCH)
        if not ids:
            return closed
        after = ids[-1]
        closed += collector.store.write(lambda conn, ids=ids: _close(conn, collector, ids))  # type: ignore[misc]


def _latest_over(collector: Collector, at: float) -> date:
    """The latest day that is over anywhere."""
    usage = collector.usage
    accounts = (usage, *(usage.account(name) for name in usage.accounts))
    return max(_over(Place(entitlement=None, account=one), at) for one in accounts)


def _over(place: Place, at: float) -> date:
    """The last day that is over for good at a place."""
    return place.day(at - SETTLE_S) - timedelta(days=1)


def _close(conn: Connection, collector: Collector, ids: Sequence[str]) -> int:
    at = now(conn)
    of, feeds = places(conn, collector.usage, ids), seats.feeds_of(conn, ids)
    closing, since = dict[str, date](), dict[str, float]()
    for id_ in ids:
        day, upto = _over(of[id_], at), feeds[id_].closed_upto
        if upto is not None and upto >= day.isoformat():
            continue
        first = day if upto is None else date.fromisoformat(upto) + timedelta(days=1)
        closing[id_] = day
        since[id_] = max(midnight(first, of[id_].account.zone), collector.final_before(at))
    seats.set_closed(conn, closing)
    recount(conn, collector, since, at)
    _compare(conn, [of[id_] for id_ in since if of[id_].entitlement], at)
    return len(closing)


def _compare(conn: Connection, found: Sequence[Place], at: float) -> None:
    """Seats in use by the vendor against open sessions; a node-locked seat is none of either, its log is read daily."""
    known = {place.entitlement.id: place.entitlement for place in found if place.entitlement}
    events, feeds = seats.events_of(conn, list(known)), seats.feeds_of(conn, list(known))
    seats.want_log(conn, [id_ for id_, one in known.items() if one.node_locked], "node-locked", LOCKED_RANK)
    differing = []
    for id_, one in known.items():
        difference = 0 if one.node_locked else one.seats_used - open_seats(events.get(id_, ()), at)
        if difference:
            log.info("usage.differs", entitlement=id_, vendor=one.seats_used, difference=difference)
            differing.append(id_)
        if difference != (feeds[id_].difference or 0):
            seats.set_feed(conn, id_, difference=difference)
    seats.want_log(conn, differing, "differs", DIFFERS_RANK)


def drop_old(collector: Collector) -> int:
    """Drops events that no open day needs, and days past their time; how many entitlements had such events."""
    with collector.store.read() as conn:
        at = now(conn)
    before, dropped, after = collector.final_before(at), 0, ""
    while True:
        with collector.store.read() as conn:
            ids = seats.with_events_before(conn, before, BATCH, after)
        if not ids:
            break
        after = ids[-1]
        dropped += collector.store.write(lambda conn, ids=ids: _drop_events(conn, ids, before))  # type: ignore[misc]
    if kept := collector.retention.seat_days:
        oldest = day_of(at, UTC) - timedelta(days=kept)
        while collector.store.write(lambda conn: seats.drop_days(conn, oldest, kept * DAY_S, BATCH)):
            pass
    if collector.retention.seat_events_days:
        collector.store.write(lambda conn: seats.drop_watched(conn, before - WATCHED_BEYOND_DAYS * DAY_S))
    return dropped


def _drop_events(conn: Connection, ids: Sequence[str], before: float) -> int:
    """What is left of an entitlement are its open sessions; days from before stay as they were counted.

    While a log is read its events stay: they are counted at the end.
    """
    dropped = 0
    reading = {id_ for id_, feed in seats.feeds_of(conn, ids).items() if feed.log_until is not None}
    for id_, events in seats.events_of(conn, [one for one in ids if one not in reading]).items():
        gone = spent(events, before)
        seats.drop_events(conn, id_, gone)
        dropped += bool(gone)
    return dropped


def forget(conn: Connection, customer: str) -> tuple[int, int]:
    """Nothing of a customer's use is on record any more, nor will be; (entitlements, days). Repeatable.

    `customer`: its id at the licensing vendor, or one of its aliases.
    """
    link = records.find_link(conn, customer)
    ids = snapshots.of_customer(conn, link.zentitle_id if link else customer)
    return len(ids), seats.forget(conn, ids) if ids else 0
