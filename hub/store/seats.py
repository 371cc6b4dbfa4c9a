"""Seat use on record: events, days, what is still to be done for each entitlement, and when somebody watched.

Every function takes the connection of the transaction that it is part of. Times are business time in epoch seconds,
but for `changed_at`. Pseudonyms only: no seat, user or device is ever stored by its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, bindparam, case, delete, func, or_, select, update

from hub.domain import SeatEvent, SeatMove
from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.subjects import insert
from hub.usage.seatdays import IMPORTED, SeatDay, TermsChange, stands

AT_ONCE = 400  # rows a statement: SQLite takes 32,766 values
QUARTER_S = 900.0
Key: TypeAlias = tuple[str, date]


def in_parts(rows: Sequence[Any], size: int = AT_ONCE) -> Iterator[Sequence[Any]]:
    """The rows, so many at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


# -- events


def add_events(conn: Connection, source: str, told: Sequence[tuple[str, SeatEvent]]) -> dict[str, float]:
    """Keeps (entitlement, event) pairs that are not there yet; for each entitlement the earliest that is new."""
    e, earliest = t.seat_event.c, dict[str, float]()
    rows = [_event_row(entitlement, one, source) for entitlement, one in told]
    if rows:
        stmt = insert(conn, t.seat_event).on_conflict_do_nothing().returning(e.entitlement, e.at)
        for row in conn.execute(stmt, rows):
            earliest[row.entitlement] = min(row.at, earliest.get(row.entitlement, row.at))
    return earliest


def _event_row(entitlement: str, one: SeatEvent, source: str) -> dict[str, Any]:
    said = {name: value for name, value in asdict(one).items() if name != "id"}
    return {**said, "move": one.move.value, "entitlement": entitlement, "event_id": one.id, "source": source}


def events_of(conn: Connection, ids: Sequence[str]) -> dict[str, list[SeatEvent]]:
    """The events that are kept of these entitlements."""
    found: dict[str, list[SeatEvent]] = defaultdict(list)
    for part in in_parts(ids):
        for row in conn.execute(select(t.seat_event).where(t.seat_event.c.entitlement.in_(part))):
            found[row.entitlement].append(_event(row))
    return found


def _event(row: Row[Any]) -> SeatEvent:
    return SeatEvent(
        id=row.event_id,
        move=SeatMove(row.move),
        at=row.at,
        seat=row.seat,
        user=row.user,
        count=row._mapping["count"],  # noqa: SLF001  (a row's own name for its columns; `count` is a tuple's method)
        lease_expiry=row.lease_expiry,
    )


def drop_events(conn: Connection, entitlement: str, ids: Iterable[str]) -> None:
    """Forgets these events."""
    mine = t.seat_event.c.entitlement == entitlement
    for part in in_parts(sorted(ids)):
        conn.execute(delete(t.seat_event).where(mine, t.seat_event.c.event_id.in_(part)))


def with_events_before(conn: Connection, at: float, limit: int, after: str = "") -> list[str]:
    """Entitlements, by id, that have events from before `at`."""
    e = t.seat_event.c
    stmt = select(e.entitlement).where(e.at < at, e.entitlement > after).group_by(e.entitlement)
    return list(conn.execute(stmt.order_by(e.entitlement).limit(limit)).scalars())


# -- days


def days_of(conn: Connection, ids: Sequence[str], first: date, last: date) -> dict[Key, SeatDay]:
    """The days on record of these entitlements, both ends included."""
    d, found = t.seat_day.c, dict[Key, SeatDay]()
    for part in in_parts(ids):
        within = (d.entitlement.in_(part), d.day >= first.isoformat(), d.day <= last.isoformat())
        for row in conn.execute(select(*_DAY_COLUMNS).where(*within)):
            one = _day(row)
            found[one.entitlement, one.day] = one
    return found


_DAY_COLUMNS: list[Any] = [t.seat_day.c[name] for name in SeatDay.__dataclass_fields__]


def _day(row: Sequence[Any]) -> SeatDay:
    """By place, for a year of many entitlements is hundreds of thousands of rows."""
    entitlement, day, known, closed, source, peak, by_sessions, by_vendor, seats, cap, denials, users, hours = row
    return SeatDay(
        entitlement=entitlement,
        day=date.fromisoformat(day),
        known=bool(known),
        closed=bool(closed),
        source=source,
        peak=peak,
        by_sessions=by_sessions,
        by_vendor=by_vendor,
        seats=seats,
        cap=cap,
        denials=denials,
        users=users,
        seat_hours=hours,
    )


def put_days(conn: Connection, rows: Iterable[SeatDay]) -> int:
    """These days say this now; how many said something else before. A row is replaced, never added to. Repeatable."""
    wanted = {(one.entitlement, one.day): one for one in rows}
    if not wanted:
        return 0
    days = sorted(day for _, day in wanted)
    before = days_of(conn, sorted({id_ for id_, _ in wanted}), days[0], days[-1])
    new = [one for key, one in wanted.items() if key not in before]
    other = [
        one for key, one in wanted.items() if key in before and before[key] != one and not stands(before[key], one)
    ]
    if new:
        stmt = insert(conn, t.seat_day).values(revision=1, changed_at=db_now(), **_DAY_VALUES)
        conn.execute(stmt.on_conflict_do_nothing(), [_bound(_day_row(one)) for one in new])
    if other:
        conn.execute(_REPLACE_DAY, [_bound(_day_row(one)) for one in other])
    _to_be_judged(conn, {one.entitlement for one in (*new, *other) if one.closed})
    return len(new) + len(other)


def _day_row(one: SeatDay) -> dict[str, Any]:
    return {**asdict(one), "day": one.day.isoformat()}


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"_{name}": value for name, value in row.items()}


_DAY_VALUES = {name: bindparam(f"_{name}", type_=t.seat_day.c[name].type) for name in SeatDay.__dataclass_fields__}
_REPLACE_DAY = (
    update(t.seat_day)
    .where(t.seat_day.c.entitlement == bindparam("_entitlement"), t.seat_day.c.day == bindparam("_day"))
    .values(
        revision=t.seat_day.c.revision + 1,
        changed_at=db_now(),
        **{name: value for name, value in _DAY_VALUES.items() if name not in {"entitlement", "day"}},
    )
)


def first_days(conn: Connection, ids: Sequence[str]) -> dict[str, date]:
    """The first day on record that is known, of those entitlements that have one."""
    d, found = t.seat_day.c, dict[str, date]()
    for part in in_parts(ids):
        stmt = select(d.entitlement, func.min(d.day).label("first")).where(d.entitlement.in_(part), d.known)
        found |= {row.entitlement: date.fromisoformat(row.first) for row in conn.execute(stmt.group_by(d.entitlement))}
    return found


def drop_days(conn: Connection, before: date, kept_s: float, limit: int) -> int:
    """Forgets some of the days before `before` that were not imported within `kept_s`; how many."""
    d = t.seat_day.c
    lately = (d.source == IMPORTED) & (d.changed_at > db_now() - kept_s)
    old = conn.execute(select(d.entitlement, d.day).where(d.day < before.isoformat(), ~lately).limit(limit)).all()
    for row in old:
        conn.execute(delete(t.seat_day).where(d.entitlement == row.entitlement, d.day == row.day))
    return len(old)


# -- what is to be done


def begin(conn: Connection, ids: Iterable[str], *, rank: int = 0) -> None:
    """There is a row for each of these; a new one wants the vendor's log read."""
    rows = [{"entitlement": one, "log_wanted": "new", "log_rank": rank} for one in sorted(set(ids))]
    if rows:
        conn.execute(insert(conn, t.seat_feed).on_conflict_do_nothing(), rows)


def touch(conn: Connection, since: Mapping[str, float]) -> None:
    """The days of these entitlements are to be counted again, from these moments on."""
    begin(conn, since)
    f = t.seat_feed.c
    for entitlement, at in sorted(since.items()):
        earliest = case((f.touched_from < at, f.touched_from), else_=at)
        stmt = update(t.seat_feed).where(f.entitlement == entitlement, ~f.forgotten)
        conn.execute(stmt.values(touched_from=earliest, touches=f.touches + 1))


def touched(conn: Connection, limit: int) -> Sequence[Row[Any]]:
    """Feeds whose days are to be counted again."""
    f = t.seat_feed.c
    return conn.execute(
        select(t.seat_feed).where(f.touched_from.is_not(None)).order_by(f.touched_from).limit(limit)
    ).all()


def counted_again(conn: Connection, feeds: Iterable[Row[Any]]) -> None:
    """What `touched` gave is done, but where something came in meanwhile."""
    f = t.seat_feed.c
    for row in feeds:
        same = (f.entitlement == row.entitlement, f.touches == row.touches)
        conn.execute(update(t.seat_feed).where(*same).values(touched_from=None))


def feeds_of(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The feeds of these entitlements."""
    found: dict[str, Row[Any]] = {}
    for part in in_parts(ids):
        rows = conn.execute(select(t.seat_feed).where(t.seat_feed.c.entitlement.in_(part)))
        found |= {row.entitlement: row for row in rows}
    return found


def set_feed(conn: Connection, entitlement: str, **values: Any) -> None:  # noqa: ANN401  (columns of `seat_feed`)
    """The feed has these values."""
    conn.execute(update(t.seat_feed).where(t.seat_feed.c.entitlement == entitlement).values(**values))


def set_closed(conn: Connection, days: Mapping[str, date]) -> None:
    """The days of these entitlements are closed up to these."""
    f = t.seat_feed.c
    for day in sorted(set(days.values())):
        for part in in_parts([id_ for id_, one in days.items() if one == day]):
            conn.execute(update(t.seat_feed).where(f.entitlement.in_(part)).values(closed_upto=day.isoformat()))


def add_too_late(conn: Connection, counts: Mapping[str, int]) -> None:
    """Counts events that came after their days were final."""
    begin(conn, counts)
    f = t.seat_feed.c
    for entitlement, count in counts.items():
        conn.execute(update(t.seat_feed).where(f.entitlement == entitlement).values(too_late=f.too_late + count))


def forgotten(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those whose customer was deleted."""
    f, found = t.seat_feed.c, set[str]()
    for part in in_parts(ids):
        found |= set(conn.execute(select(f.entitlement).where(f.entitlement.in_(part), f.forgotten)).scalars())
    return found


def to_close(conn: Connection, day: date, after: str, limit: int) -> list[str]:
    """Entitlements, by id, whose days up to `day` are not all closed."""
    f = t.seat_feed.c
    open_ = or_(f.closed_upto.is_(None), f.closed_upto < day.isoformat())
    stmt = select(f.entitlement).where(open_, f.entitlement > after, ~f.forgotten)
    return list(conn.execute(stmt.order_by(f.entitlement).limit(limit)).scalars())


# -- the vendor's log


def want_log(conn: Connection, ids: Iterable[str], why: str, rank: int) -> None:
    """The vendor's log of these is to be read up to now. What was wanted more stays so."""
    f = t.seat_feed.c
    for part in in_parts(sorted(set(ids))):
        begin(conn, part, rank=rank)
        less = or_(f.log_wanted.is_(None), f.log_rank > rank)
        stmt = update(t.seat_feed).where(f.entitlement.in_(part), less, ~f.forgotten)
        conn.execute(stmt.values(log_wanted=why, log_rank=rank, log_due=0, log_tries=0))


def want_all_logs(conn: Connection, why: str, rank: int) -> int:
    """As `want_log`, of every entitlement; how many."""
    f = t.seat_feed.c
    less = or_(f.log_wanted.is_(None), f.log_rank > rank)
    stmt = update(t.seat_feed).where(less, ~f.forgotten)
    return conn.execute(stmt.values(log_wanted=why, log_rank=rank, log_due=0, log_tries=0)).rowcount


def next_log(conn: Connection, now: float) -> Row[Any] | None:
    """The feed whose log is to be read first."""
    f = t.seat_feed.c
    stmt = select(t.seat_feed).where(f.log_wanted.is_not(None), f.log_due <= now, ~f.forgotten)
    return conn.execute(stmt.order_by(f.log_rank, f.log_due, f.entitlement).limit(1)).first()


def logs_wanted(conn: Connection) -> dict[str, int]:
    """How many logs are to be read, by why."""
    f = t.seat_feed.c
    stmt = select(f.log_wanted, func.count()).where(f.log_wanted.is_not(None)).group_by(f.log_wanted)
    return {row[0]: row[1] for row in conn.execute(stmt)}


# -- proof of life


def watch(conn: Connection, connection: str, moments: Iterable[float]) -> None:
    """Somebody watched in these quarters of an hour. Repeatable."""
    rows = [{"connection": connection, "at": at} for at in sorted({at // QUARTER_S * QUARTER_S for at in moments})]
    if rows:
        conn.execute(insert(conn, t.watched).on_conflict_do_nothing(), rows)


def watched(conn: Connection, connection: str, first: float, last: float) -> list[float]:
    """Starts of the quarters of an hour with proof of life that reach into [first, last), in order."""
    w = t.watched.c
    within = (w.connection == connection, w.at > first - QUARTER_S, w.at < last)
    return list(conn.execute(select(w.at).where(*within).order_by(w.at)).scalars())


def last_watched(conn: Connection, connection: str) -> float | None:
    """The start of the newest quarter of an hour with proof of life."""
    w = t.watched.c
    return conn.execute(select(func.max(w.at)).where(w.connection == connection)).scalar()


def received(conn: Connection, connection: str, since: float) -> list[float]:
    """Quarters of an hour in which webhooks of a connection were received since then (machine time)."""
    r = t.receipt.c
    quarter = func.round(r.received_at / QUARTER_S - 0.5) * QUARTER_S  # SQLite need not know floor
    return [
        float(at)
        for at in conn.execute(
            select(quarter).where(r.connection == connection, r.received_at >= since).distinct()
        ).scalars()
    ]


def drop_watched(conn: Connection, before: float) -> None:
    """Forgets proofs of life from before then: those days are final."""
    conn.execute(delete(t.watched).where(t.watched.c.at < before))


# -- what was licensed


def terms_changes(conn: Connection, ids: Sequence[str], since: float) -> dict[str, list[TermsChange]]:
    """Changes of seats or overdraft of these entitlements since then, by what the stream told of them."""
    m, found = t.message.c, defaultdict[str, list[TermsChange]](list)
    for part in in_parts(ids):
        told = (m.entitlement.in_(part), m.type == "entitlement.changed", m.occurred_at > since)
        for row in conn.execute(select(m.entitlement, m.occurred_at, m.data).where(*told)):
            changes = row.data.get("changes") or {}
            if changes.keys() & {"seats", "overdraft"}:
                found[row.entitlement].append(_terms_change(row.occurred_at, changes))
    return found


def _terms_change(at: float, changes: Mapping[str, Any]) -> TermsChange:
    overdraft = changes.get("overdraft")
    return TermsChange(
        at=at,
        seats_before=changes["seats"]["before"] if "seats" in changes else None,
        overdraft_before=overdraft["before"] if overdraft else None,
        overdraft_changed=overdraft is not None,
    )


# -- judging


def _to_be_judged(conn: Connection, ids: set[str]) -> None:
    f = t.seat_feed.c
    begin(conn, ids)
    for part in in_parts(sorted(ids)):
        changed = (f.entitlement.in_(part), ~f.forgotten, or_(f.judge_due.is_(None), f.judge_due > 0))
        conn.execute(update(t.seat_feed).where(*changed).values(judge_due=0))


def judging_due(conn: Connection) -> bool:
    """Whether closed days changed that nobody has judged."""
    f = t.seat_feed.c
    return conn.execute(select(f.entitlement).where(f.judge_due <= db_now()).limit(1)).first() is not None


def claim_judging(conn: Connection, limit: int, for_s: float) -> dict[str, float]:
    """Entitlements to be judged, for nobody else within `for_s`; with what `judged` wants to hear."""
    f = t.seat_feed.c
    ids = conn.execute(select(f.entitlement).where(f.judge_due <= db_now()).limit(limit)).scalars().all()
    mine = update(t.seat_feed).where(f.entitlement.in_(ids), f.judge_due <= db_now())
    rows = conn.execute(mine.values(judge_due=db_now() + for_s).returning(f.entitlement, f.judge_due))
    return {row.entitlement: row.judge_due for row in rows}


def judged(conn: Connection, claimed: Mapping[str, float]) -> None:
    """These are judged, but where a day changed again meanwhile."""
    f = t.seat_feed.c
    for id_, due in claimed.items():
        conn.execute(update(t.seat_feed).where(f.entitlement == id_, f.judge_due == due).values(judge_due=None))


# -- counts, for people


def known_days(conn: Connection, since: date) -> tuple[int, int]:
    """(known, unknown) days on record since then."""
    d = t.seat_day.c
    rows = conn.execute(select(d.known, func.count()).where(d.day >= since.isoformat()).group_by(d.known))
    counts = {bool(row[0]): int(row[1]) for row in rows}
    return counts.get(True, 0), counts.get(False, 0)


def tallies(conn: Connection, now: float) -> dict[str, int]:
    """Feeds by what is to be said of them, and events that are dated ahead."""
    f, e = t.seat_feed.c, t.entitlement.c
    count: Any = func.count
    feeds = conn.execute(
        select(
            count().label("entitlements"),
            count(case((f.problem.is_not(None), 1))).label("problems"),
            count(case((func.coalesce(f.difference, 0) != 0, 1))).label("differing"),
            func.coalesce(func.sum(f.too_late), 0).label("too_late"),
            count(case((f.forgotten, 1))).label("forgotten"),
            count(f.judge_due).label("to_be_judged"),
        )
    ).one()
    ahead = conn.execute(select(count()).where(t.seat_event.c.at > now)).scalar_one()
    nobody = conn.execute(select(count()).where(e.customer_id == "")).scalar_one()
    return {**{name: int(value) for name, value in feeds._asdict().items()}, "ahead": ahead, "without_customer": nobody}


def problems(conn: Connection, limit: int = 20) -> Sequence[Row[Any]]:
    """Feeds whose log could not be read."""
    f = t.seat_feed.c
    stmt = select(t.seat_feed).where(f.problem.is_not(None))
    return conn.execute(stmt.order_by(f.entitlement).limit(limit)).all()


def paid_until(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Until when these entitlements are paid, by what was bought: ISO 8601 text in UTC, the latest line's."""
    g, found = t.grant.c, dict[str, str]()
    for part in in_parts(ids):
        paid = (g.entitlement.in_(part), g.paid_until.is_not(None))
        rows = conn.execute(select(g.entitlement, func.max(g.paid_until)).where(*paid).group_by(g.entitlement))
        found |= {row[0]: row[1] for row in rows}
    return found


# -- deleting


def forget(conn: Connection, ids: Sequence[str]) -> int:
    """Nothing of the use of these entitlements is on record, and nothing will be; how many days were."""
    begin(conn, ids)
    days = 0
    for part in in_parts(ids):
        days += conn.execute(delete(t.seat_day).where(t.seat_day.c.entitlement.in_(part))).rowcount
        for table in (t.seat_event, t.signal, t.verdict, t.summary, t.standing, t.worth):
            conn.execute(delete(table).where(table.c.entitlement.in_(part)))
        gone = {"touched_from": None, "log_wanted": None, "judge_due": None, "forgotten": True, "difference": None}
        conn.execute(update(t.seat_feed).where(t.seat_feed.c.entitlement.in_(part)).values(**gone))
    return days
