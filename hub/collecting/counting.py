"""Days are counted from what is kept, again whenever something about them came in. Repeatable, always."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from hub.collecting.collector import Collector, Place, now, places
from hub.domain import SeatEvent
from hub.store import seats
from hub.usage.seatdays import SeatDay, Terms, TermsChange, counted, terms_at
from hub.usage.sessions import DayUse, daily, days_between, midnight

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the days of some entitlements are counted from."""

    now: float
    places: Mapping[str, Place]
    feeds: Mapping[str, Row[Any]]
    events: Mapping[str, Sequence[SeatEvent]]
    days: Mapping[seats.Key, SeatDay]
    proofs: Sequence[float]
    changes: Mapping[str, Sequence[TermsChange]]


def count_touched(collector: Collector) -> int:
    """Counts every day again that something came in about; how many days say something else now."""
    changed = 0
    while True:
        with collector.store.read() as conn:
            rows = seats.touched(conn, BATCH)
        if not rows:
            return changed
        changed += collector.store.write(lambda conn, rows=rows: _count(conn, collector, rows))  # type: ignore[misc]


def _count(conn: Connection, collector: Collector, rows: Sequence[Row[Any]]) -> int:
    at = now(conn)
    since = {row.entitlement: min(row.touched_from, at) for row in rows}
    changed = recount(conn, collector, since, at)
    seats.counted_again(conn, rows)
    return changed


def recount(conn: Connection, collector: Collector, since: Mapping[str, float], at: float) -> int:
    """Counts the days of these entitlements from these moments to `at`; how many say something else now."""
    facts = gather(conn, collector, since, at)
    return seats.put_days(conn, [day for id_, first in since.items() for day in _days(facts, id_, first)])


def gather(conn: Connection, collector: Collector, since: Mapping[str, float], at: float) -> Facts:
    """Reads what the days are counted from."""
    ids, first = sorted(since), min(since.values(), default=at) - 2 * 86400
    of = places(conn, collector.usage, ids)
    days = [place.day(moment) for place in of.values() for moment in (first, at)]
    changed = [id_ for id_, place in of.items() if place.entitlement is not None]
    return Facts(
        now=at,
        places=of,
        feeds=seats.feeds_of(conn, ids),
        events=seats.events_of(conn, ids),
        days=seats.days_of(conn, ids, min(days), max(days)) if days else {},
        proofs=seats.watched(conn, collector.connection, first, at + 1),
        changes=seats.terms_changes(conn, changed, first),
    )


def _days(facts: Facts, id_: str, first: float) -> list[SeatDay]:
    """The days from `first` on, as they are to be; one of which nobody knows anything is left away."""
    place = facts.places[id_]
    days = days_between(place.day(first), place.day(facts.now))
    uses = daily(
        facts.events.get(id_, ()), days[0], days[-1], place.account.zone, facts.now, node_locked=place.node_locked
    )
    rows = [_day(facts, id_, use) for use in uses]
    return [one for one in rows if one.known or one.closed or (id_, one.day) in facts.days]


def _day(facts: Facts, id_: str, use: DayUse) -> SeatDay:
    before, feed = facts.days.get((id_, use.day)), facts.feeds.get(id_)
    closed = bool(feed and feed.closed_upto and use.day.isoformat() <= feed.closed_upto)
    return counted(
        id_,
        use,
        known=is_known(facts, id_, use.day),
        closed=closed,
        terms=_terms(facts, id_, use.day, before),
        level=before.by_vendor if before else None,
        node_locked=facts.places[id_].node_locked,
    )


def is_known(facts: Facts, id_: str, day: date) -> bool:
    """Whether somebody watched on that day: any proof of life of the tenant, or the entitlement's log was read.

    What was known once stays known: a log that begins later after a gap takes nothing back.
    """
    zone, feed = facts.places[id_].account.zone, facts.feeds.get(id_)
    if (before := facts.days.get((id_, day))) is not None and before.known:
        return True
    begin, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    if feed is not None and feed.covered_upto is not None and feed.covered_from < end and feed.covered_upto > begin:
        return True
    first = bisect_left(facts.proofs, begin - seats.QUARTER_S + 1)
    return first < len(facts.proofs) and facts.proofs[first] < end


def _terms(facts: Facts, id_: str, day: date, before: SeatDay | None) -> Terms | None:
    """What was licensed at the end of the day. What a closed day says of it stands."""
    if before and before.closed and before.seats is not None:
        return Terms(seats=before.seats, cap=before.cap)
    place = facts.places[id_]
    if place.entitlement is None:
        return None
    end = min(midnight(day + timedelta(days=1), place.account.zone), facts.now)
    one = place.entitlement
    return terms_at(end, one.seats, one.overdraft, facts.changes.get(id_, ()))
