"""Endpoints, deliveries and attempts. Every function takes the connection of the transaction that it is part of.

A delivery is one message for one endpoint; there is one row of them, however often it is made or sent. Whoever takes
one moves its `next_at` to when it counts as lost and raises its `fence`: a worker that died needs no cleaning up, and
one that slept can't write over what came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from hub.outbound.clock import Health
from hub.outbound.filters import About, Filter, connection_of
from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.stream import Placed, newest, of_types
from hub.store.subjects import insert, now

BATCH = 500
MOST_REPLAYED = 1000
REPLAYED_PER_S = 20.0
ENABLED, DISABLED, REMOVED = "enabled", "disabled", "removed"
PENDING, DELIVERED, EXHAUSTED, SKIPPED = "pending", "delivered", "exhausted", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A signing secret at rest. not_after: epoch seconds, None for the current one."""

    sealed: str
    not_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A consumer's URL and what it asked for. because: why it is disabled. cursor: deliveries are made up to it."""

    id: str
    url: str
    description: str
    filter: Filter
    headers: str
    header_names: tuple[str, ...]
    secrets: tuple[SealedSecret, ...]
    version: int
    ordered: bool
    rate_per_s: float | None
    state: str
    because: str
    cursor: int
    hold_until: float
    health: Health
    untold: int
    untold_because: str
    hook: bool
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A message that has no delivery yet. key: what it is kept in order by."""

    position: int
    key: str
    about: About


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery that this process has until its lease ends, and what to send."""

    id: int
    endpoint: str
    fence: int
    failed: int
    tries: int
    version: int
    message: Placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How an attempt ended. wait_s: until the next one where the delivery stays pending. hold_s: for all of it."""

    taken: Taken
    state: str
    failed: int
    wait_s: float
    hold_s: float
    status: int | None
    seconds: float
    error: str
    response: str


# -- endpoints


def endpoints(conn: Connection) -> list[Endpoint]:
    """Every endpoint that was not removed, the oldest first."""
    e = t.endpoint.c
    return [_endpoint(row) for row in conn.execute(select(t.endpoint).where(e.state != REMOVED).order_by(e.created_at))]


def endpoint(conn: Connection, id_: str, *, lock: bool = False) -> Endpoint | None:
    """The endpoint of this id. `lock`: nobody else changes it until this transaction ends."""
    stmt = select(t.endpoint).where(t.endpoint.c.id == id_, t.endpoint.c.state != REMOVED)
    row = conn.execute(stmt.with_for_update() if lock else stmt).first()
    return _endpoint(row) if row else None


def add(conn: Connection, id_: str, values: Mapping[str, Any]) -> None:
    """A new endpoint, enabled, that gets what comes from now on."""
    start = {"state": ENABLED, "cursor": newest(conn), "created_at": db_now(), "changed_at": db_now()}
    conn.execute(t.endpoint.insert().values(id=id_, **start, **values))


def change(conn: Connection, id_: str, values: Mapping[str, Any]) -> bool:
    """Sets columns of an endpoint; False where there is none."""
    mine = (t.endpoint.c.id == id_, t.endpoint.c.state != REMOVED)
    return conn.execute(update(t.endpoint).where(*mine).values(changed_at=db_now(), **values)).rowcount == 1


def healed(health: Health = Health()) -> dict[str, Any]:  # noqa: B008  (frozen)
    """The columns that say so."""
    return {
        "failures": health.failures,
        "failing_since": health.failing_since,
        "exhausted_at": health.exhausted_at,
        "noticed": health.noticed,
    }


def skip_gap(conn: Connection, id_: str) -> int:
    """What an endpoint has missed is not sent: what waits is skipped, what was not made is passed over; how many."""
    gap = newest(conn) - int(conn.execute(select(t.endpoint.c.cursor).where(t.endpoint.c.id == id_)).scalar_one())
    d = t.delivery.c
    waiting = update(t.delivery).where(d.endpoint == id_, d.state == PENDING)
    skipped = conn.execute(waiting.values(state=SKIPPED, ended_at=db_now(), said="skipped by choice")).rowcount
    conn.execute(update(t.endpoint).where(t.endpoint.c.id == id_).values(cursor=newest(conn)))
    return skipped + gap


def hurry(conn: Connection, id_: str) -> int:
    """What waits for a later attempt is due now; how many."""
    d = t.delivery.c
    later = update(t.delivery).where(d.endpoint == id_, d.state == PENDING, d.next_at > db_now())
    return conn.execute(later.values(next_at=db_now(), failed=0)).rowcount


# -- making deliveries


def fresh(conn: Connection, after: int, limit: int = BATCH) -> list[Fresh]:
    """The messages after a position, and whose they are."""
    m = t.message.c
    columns: list[Any] = [m.position, m.type, m.version, m.subject, m.entitlement, m.data]
    rows = conn.execute(select(*columns).where(m.position > after).order_by(m.position).limit(limit)).all()
    customers = _customers(conn, rows)
    return [_fresh(row, customers) for row in rows]


def _fresh(row: Row[Any], customers: Mapping[str, str]) -> Fresh:
    customer = row.data.get("customer") or customers.get(row.entitlement or "") or customers.get(row.subject) or ""
    about = About(
        type=row.type,
        version=row.version,
        connection=connection_of(row.subject, row.data),
        customer=customer,
        data=row.data,
    )
    return Fresh(position=row.position, key=customer or row.subject, about=about)


def _customers(conn: Connection, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """The licensing system's customer of each entitlement and each subject that these messages are about."""
    ids = sorted({row.entitlement for row in rows if row.entitlement})
    refs = sorted({row.subject for row in rows})
    if not refs:
        return {}
    e, s, link = t.entitlement.c, t.subject.c, t.customer_link.c
    joined = t.subject.join(t.customer_link, link.alias == s.customer)
    linked = conn.execute(select(s.ref, link.zentitle_id).select_from(joined).where(s.ref.in_(refs)))
    found = {row.ref: row.zentitle_id for row in linked}
    for one in conn.execute(select(e.id, e.subject, e.customer_id).where(or_(e.id.in_(ids), e.subject.in_(refs)))):
        found |= {one.id: one.customer_id} | ({one.subject: one.customer_id} if one.subject else {})
    return found


def fan_out(conn: Connection, group: Sequence[Endpoint], upto: int, taken: Mapping[str, Sequence[Fresh]]) -> set[str]:
    """Makes deliveries of what each was to have up to a position; the endpoints for which nobody else did meanwhile.

    The group stands at one cursor. Cursors and deliveries are one transaction: whatever crashes, each message gets one
    delivery at each endpoint or none, and then the cursor still stands before it.
    """
    e = t.endpoint.c
    mine = (e.id.in_([one.id for one in group]), e.cursor == group[0].cursor, e.state == ENABLED)
    moved = set(conn.execute(update(t.endpoint).where(*mine).values(cursor=upto).returning(e.id)).scalars())
    rows = [
        {"endpoint": of.id, "position": one.position, "key": one.key, "version": min(of.version, one.about.version)}
        for of in group
        if of.id in moved
        for one in taken[of.id]
    ]
    if rows:
        stmt = insert(conn, t.delivery).values(state=PENDING, next_at=db_now(), created_at=db_now())
        conn.execute(stmt.on_conflict_do_nothing(), rows)
    return moved


def note_untold(conn: Connection, id_: str, count: int, because: str) -> None:
    """Its condition could not be told of so many messages: they were left out, and that is in sight."""
    e = t.endpoint.c
    conn.execute(update(t.endpoint).where(e.id == id_).values(untold=e.untold + count, untold_because=because[:500]))


# -- sending


# No parameters: else the indexes of deliveries in these states can't be used.
_PENDING: ColumnElement[str] = literal_column(f"'{PENDING}'")
_EXHAUSTED: ColumnElement[str] = literal_column(f"'{EXHAUSTED}'")


def _line(delivery: Any, of: Any, *, ordered: bool) -> tuple[Any, ...]:  # noqa: ANN401  (of SQL)
    """What of an endpoint may be sent as soon as it is due: where it is kept in order, only the first of each key."""
    d, b = delivery.c, t.delivery.alias("before").c
    waiting = (d.endpoint == of, d.state == _PENDING)
    if not ordered:
        return waiting
    earlier = exists().where(b.endpoint == d.endpoint, b.key == d.key, b.state == _PENDING, b.position < d.position)
    return (*waiting, ~earlier)


def take(conn: Connection, of: Endpoint, most: int, lease_s: float) -> list[Taken]:
    """The deliveries of an endpoint that are due, the longest due first; nobody else gets them for `lease_s`."""
    d, m = t.delivery, t.message
    columns: list[Any] = [d.c.id, d.c.endpoint, d.c.fence, d.c.failed, d.c.tries, d.c.version.label("pinned"), m]
    stmt = (
        select(*columns)
        .join(m, m.c.position == d.c.position)
        .where(*_line(d, of.id, ordered=of.ordered), d.c.next_at <= db_now())
    )
    stmt = stmt.order_by(d.c.next_at, d.c.position).limit(most).with_for_update(of=d, skip_locked=True)
    rows = conn.execute(stmt).all()
    if not rows:
        return []
    raised = {"fence": d.c.fence + 1, "next_at": db_now() + lease_s}
    conn.execute(update(d).where(d.c.id.in_([row.id for row in rows])).values(**raised))
    return [_taken(row) for row in rows]


def _taken(row: Row[Any]) -> Taken:
    message = Placed(
        id=row.event_id,
        type=row.type,
        version=row.version,
        occurred_at=datetime.fromtimestamp(row.occurred_at, UTC),
        position=row.position,
        data=row.data,
    )
    return Taken(
        id=row.id,
        endpoint=row.endpoint,
        fence=row.fence + 1,
        failed=row.failed,
        tries=row.tries,
        version=row.pinned,
        message=message,
    )


_FINISH = (
    update(t.delivery)
    .where(t.delivery.c.id == bindparam("of"), t.delivery.c.fence == bindparam("mine"))
    .values(
        state=bindparam("now_state"),
        failed=bindparam("now_failed"),
        tries=bindparam("now_tries"),
        next_at=db_now() + bindparam("wait", type_=t.Time),
        ended_at=case((bindparam("now_state") != PENDING, db_now())),
        said=bindparam("now_said"),
    )
)


def finish(conn: Connection, tried: Sequence[Tried]) -> None:
    """Keeps how these attempts ended. A delivery that another took meanwhile stays as that one leaves it."""
    conn.execute(
        _FINISH,
        [
            {
                "of": one.taken.id,
                "mine": one.taken.fence,
                "now_state": one.state,
                "now_failed": one.failed,
                "now_tries": one.taken.tries + 1,
                "wait": one.wait_s,
                "now_said": said(one.status, one.error),
            }
            for one in tried
        ],
    )
    conn.execute(
        t.attempt.insert().values(at=db_now()),
        [
            {
                "delivery": one.taken.id,
                "number": one.taken.tries + 1,
                "seconds": one.seconds,
                "status": one.status,
                "error": one.error,
                "response": one.response,
            }
            for one in tried
        ],
    )


def said(status: int | None, error: str) -> str:
    """What came of an attempt, in a word or a few."""
    return error if status is None else str(status)


def give_back(conn: Connection, taken: Iterable[Taken]) -> None:
    """These were not sent: they are due as before."""
    d = t.delivery.c
    for one in taken:
        conn.execute(update(t.delivery).where(d.id == one.id, d.fence == one.fence).values(next_at=db_now()))


def hold(conn: Connection, id_: str, seconds: float) -> None:
    """Nothing is sent to this endpoint for so long, unless it already waits longer."""
    e = t.endpoint.c
    later = update(t.endpoint).where(e.id == id_, e.hold_until < db_now() + seconds)
    conn.execute(later.values(hold_until=db_now() + seconds))


def due(conn: Connection) -> list[Endpoint]:
    """The endpoints that something is to be sent to now."""
    return [of for of, first, at in _firsts(conn) if first is not None and max(first, of.hold_until) <= at]


def next_due(conn: Connection) -> float | None:
    """Seconds until something is to be made or sent, 0 or less: now; None where nothing waits."""
    head, waits = newest(conn), []
    for of, first, at in _firsts(conn):
        if of.cursor < head:
            return 0.0
        if first is not None:
            waits.append(max(first, of.hold_until) - at)
    return min(waits, default=None)


def _firsts(conn: Connection) -> list[tuple[Endpoint, float | None, float]]:
    """Each endpoint that is enabled, when the first delivery of it is due, and the database's clock."""
    return [(_endpoint(row), row.first, row.now) for row in conn.execute(_FIRSTS)]


def _first(*, ordered: bool) -> Any:  # noqa: ANN401  (a statement)
    d = t.delivery.alias("waiting")
    return select(func.min(d.c.next_at)).where(*_line(d, t.endpoint.c.id, ordered=ordered)).scalar_subquery()


# By a seek in the index for each, so that a long line costs no more than a short one.
_FIRSTS = select(
    t.endpoint,
    case((t.endpoint.c.ordered, _first(ordered=True)), else_=_first(ordered=False)).label("first"),
    db_now().label("now"),
).where(t.endpoint.c.state == ENABLED)


# -- sending again


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Which messages to send again. since, until: when they occurred, epoch seconds. failed: those given up alone."""

    ids: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    types: tuple[str, ...] = ()
    failed: bool = False


def wanted_again(conn: Connection, of: Endpoint, which: Again, limit: int = MOST_REPLAYED) -> list[Fresh]:
    """The oldest messages that fit and are not waiting to be sent anyway, at most `limit`."""
    m, d = t.message.c, t.delivery.c
    columns: list[Any] = [m.position, m.type, m.version, m.subject, m.entitlement, m.data]
    mine = t.message.outerjoin(t.delivery, and_(d.position == m.position, d.endpoint == of.id))
    stmt = select(*columns).select_from(mine).where(m.position.is_not(None), m.position <= of.cursor)
    stmt = stmt.where(or_(d.state.is_(None), d.state != PENDING)).order_by(m.position).limit(limit)
    if which.ids:
        stmt = stmt.where(m.event_id.in_(which.ids))
    if which.since is not None:
        stmt = stmt.where(m.occurred_at >= which.since)
    if which.until is not None:
        stmt = stmt.where(m.occurred_at < which.until)
    if which.types:
        stmt = stmt.where(of_types(which.types))
    if which.failed:
        stmt = stmt.where(d.state == _EXHAUSTED)
    rows = conn.execute(stmt).all()
    customers = _customers(conn, rows)
    return [_fresh(row, customers) for row in rows]


def send_again(conn: Connection, of: Endpoint, messages: Sequence[Fresh]) -> int:
    """These are due again under the ids that they have, spread at REPLAYED_PER_S behind live ones; how many."""
    for number, one in enumerate(messages):
        again = {"state": PENDING, "failed": 0, "next_at": db_now() + number / REPLAYED_PER_S, "ended_at": None}
        new = {"endpoint": of.id, "position": one.position, "key": one.key, "created_at": db_now()}
        stmt = insert(conn, t.delivery).values(**new, **again, version=min(of.version, one.about.version))
        due = stmt.on_conflict_do_update(
            index_elements=["endpoint", "position"], set_=again, where=t.delivery.c.state != PENDING
        )
        conn.execute(due)
    return len(messages)


# -- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How an endpoint stands: deliveries that wait, that were given up; messages not looked through; oldest waiting."""

    pending: int
    exhausted: int
    behind: int
    oldest_s: float


def backlog(conn: Connection, of: Endpoint) -> Backlog:
    """How much an endpoint has before it."""
    d = t.delivery.c
    waiting = select(func.count(), func.min(d.created_at)).where(d.endpoint == of.id, d.state == _PENDING)
    pending, oldest = conn.execute(waiting).one()
    given_up = select(func.count()).where(d.endpoint == of.id, d.state == _EXHAUSTED)
    return Backlog(
        pending=pending,
        exhausted=int(conn.execute(given_up).scalar_one()),
        behind=newest(conn) - of.cursor,
        oldest_s=0.0 if oldest is None else max(0.0, now(conn) - oldest),
    )


def deliveries(
    conn: Connection, id_: str, state: str = "", before: int | None = None, limit: int = 50
) -> list[Row[Any]]:
    """Deliveries of an endpoint with what their message is, the newest first."""
    d, m = t.delivery.c, t.message.c
    columns: list[Any] = [*d, m.event_id, m.type, m.subject, m.entitlement]
    stmt = select(*columns).join(t.message, m.position == d.position).where(d.endpoint == id_)
    if state:
        stmt = stmt.where(d.state == state)
    if before is not None:
        stmt = stmt.where(d.position < before)
    return list(conn.execute(stmt.order_by(d.position.desc()).limit(limit)))


def attempts(conn: Connection, delivery: int, limit: int = 100) -> list[Row[Any]]:
    """The attempts of a delivery, the newest first."""
    a = t.attempt.c
    return list(conn.execute(select(t.attempt).where(a.delivery == delivery).order_by(a.number.desc()).limit(limit)))


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        description=row.description,
        filter=Filter(
            types=tuple(row.types),
            connections=tuple(row.connections),
            customers=tuple(row.customers),
            condition=row.condition,
        ),
        headers=row.headers,
        header_names=tuple(row.header_names),
        secrets=tuple(SealedSecret(sealed=one["sealed"], not_after=one["not_after"]) for one in row.secrets),
        version=row.version,
        ordered=row.ordered,
        rate_per_s=row.rate_per_s,
        state=row.state,
        because=row.because,
        cursor=row.cursor,
        hold_until=row.hold_until,
        health=Health(
            failures=row.failures,
            failing_since=row.failing_since,
            exhausted_at=row.exhausted_at,
            noticed=row.noticed,
        ),
        untold=row.untold,
        untold_because=row.untold_because,
        hook=row.hook,
        created_at=row.created_at,
    )
