"""The vendor's log of seats: read when an entitlement is new, after gaps, and where seats moved or numbers disagree.

It is all that tells of refreshes and denials. Each read goes from where the last one ended to a moment fixed at its
start, page by page; the page that is next is on record, so a read that broke off goes on there. What was read makes its
days known, as far back as the vendor is sure to keep it. Together with the list of entitlements it takes at most
`polling.SHARE` of the connection's rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from hub import limits, polling
from hub.collecting.collector import Collector, now
from hub.collecting.hearing import News, keep
from hub.domain import SeatEvent, SeatLogPage
from hub.errors import Hold, PermanentError, RetryableError
from hub.store import seats
from hub.usage.sessions import RETRIED_S

log = structlog.get_logger()
SURE_S = 30 * 86400.0  # the vendor's dashboard shows so many days; how long the log is kept is told nowhere
OVERLAP_S = 600.0  # a row may turn up in the vendor's log a little late
FIRST_RETRY_S, LONGEST_RETRY_S = 60.0, 86400.0


def read_logs(collector: Collector, budget_s: float, *, stop: Callable[[], bool] = limits.stopping.is_set) -> int:
    """Reads the logs that are wanted, the most wanted first, for about so many seconds; how many to their end.

    Repeatable. What can't be read now is put off; what the vendor refuses is told in `hub usage status`.
    """
    done, end = 0, time.monotonic() + budget_s
    with limits.sharing(polling.SHARE):
        while time.monotonic() < end and not stop():
            with collector.store.read() as conn:
                feed = seats.next_log(conn, now(conn))
            if feed is None:
                break
            try:
                done += _page(collector, feed)
            except Hold:
                break
            except (RetryableError, PermanentError) as error:
                _put_off(collector, feed, error)
    return done


def _page(collector: Collector, feed: Row[Any]) -> bool:
    """Reads one page; whether it was the last one."""
    entitlement, fresh = feed.entitlement, feed.log_until is None
    with collector.store.read() as conn:
        until = now(conn) if fresh else feed.log_until
    number = 1 if fresh else feed.log_page
    page = collector.licensing.seat_log(entitlement, _since(feed), datetime.fromtimestamp(until, UTC), number)
    collector.store.write(lambda conn: _keep(conn, collector, feed, page, until, number))
    return not page.more


def _since(feed: Row[Any]) -> datetime | None:
    return None if feed.covered_upto is None else datetime.fromtimestamp(feed.covered_upto - OVERLAP_S, UTC)


def _keep(conn: Connection, collector: Collector, feed: Row[Any], page: SeatLogPage, until: float, number: int) -> None:
    """The page's events, and where to go on; the log of a new entitlement tells of it from its oldest row on."""
    first_read = feed.covered_upto is None
    news = News(events=[(feed.entitlement, one) for one in page.events])
    keep(conn, collector, news, "log", final=-inf if first_read else None)
    values: dict[str, Any] = {"log_until": until, "log_page": number + 1, "log_tries": 0, "problem": None}
    if first_read:
        values["covered_from"] = _earliest(page.events, feed.covered_from, until)
    if not page.more:
        values |= {"log_wanted": None, "log_until": None, "log_page": 1, "covered_upto": until}
        begin = values["covered_from"] if first_read else _reaches(conn, feed, until)
        if not first_read and begin > feed.covered_upto:
            values["covered_from"] = begin
        seats.touch(conn, {feed.entitlement: begin - RETRIED_S})
    seats.set_feed(conn, feed.entitlement, **values)


def _reaches(conn: Connection, feed: Row[Any], until: float) -> float:
    """From when on what was read after a gap tells all: older than SURE_S it does so from its oldest row on alone."""
    rows = [one.at for one in seats.events_of(conn, [feed.entitlement]).get(feed.entitlement, ())]
    upto: float = feed.covered_upto
    oldest = min((at for at in rows if at > upto), default=until)
    return max(upto, min(oldest, until - SURE_S))


def _earliest(events: tuple[SeatEvent, ...], before: float | None, until: float) -> float:
    """An empty log tells nothing of the time before it was read: nobody knows how far back the vendor keeps it."""
    return min([one.at for one in events] + [until if before is None else before])


def _put_off(collector: Collector, feed: Row[Any], error: RetryableError | PermanentError) -> None:
    wait = min(FIRST_RETRY_S * 2 ** min(feed.log_tries, 20), LONGEST_RETRY_S)
    refused = isinstance(error, PermanentError)
    log.warning("usage.log_not_read", entitlement=feed.entitlement, error=str(error), again_in_s=wait)

    def unit(conn: Connection) -> None:
        due = now(conn) + (LONGEST_RETRY_S if refused else wait)
        values = {"log_due": due, "log_tries": feed.log_tries + 1, "problem": str(error)[:500]}
        seats.set_feed(conn, feed.entitlement, **values)

    collector.store.write(unit)
