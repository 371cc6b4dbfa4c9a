"""Subjects and leases: what to look at next, and who may.

A lease is a row with a fence that grows each time it is taken; its end is on the database's clock. A subject
whose lease ended without being released is a suspect: whoever worked on it died.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from hub.domain import Ref
from hub.errors import LeaseLost
from hub.store.schema import among, cursor, db_now, lease, subject

LIVE, SWEEP, REPLAY = 0, 1, 2
ASKED_AGAIN = "asked again"  # the cause of a subject that was dead and is due with all the others
TAKEOVERS = "takeovers"


TIMES = ("next_look", "failing_since", "second_look", "verify_at", "waiting_since", "looked_at")
_IF_UNMARKED = ("state", "cause", "reason", "next_look", "priority")
_WHATEVER = (
    "tries",
    "failing_since",
    "crashes",
    "second_look",
    "verify_at",
    "waiting_since",
    "waiting_on",
    "looked_at",
    "order_ref",
    "customer",
    "customer_name",
    "customer_folded",
    "flagged",
    "summary",
    "trace",
    "saw",
)
ENDING = _IF_UNMARKED + _WHATEVER


_CLOCK = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch from clock_timestamp()) AS float8)",
}


def _sets(given: str) -> str:
    """What a look leaves in its subject's row, each column's value called as `given` says (":tries", "one.tries")."""
    return ", ".join(
        [
            f"{name} = CASE WHEN subject.marks = {given}marks THEN {given}{name} ELSE subject.{name} END"
            for name in _IF_UNMARKED
        ]
        + [f"{name} = {given}{name}" for name in _WHATEVER]
    )


_FINISH = text(f"UPDATE subject SET {_sets(':')}, changed_at = {_CLOCK['sqlite']} WHERE ref = :ref")
_RELEASE = text("UPDATE lease SET holder = NULL WHERE key = :key AND holder = :holder AND fence = :fence")


def _unnested(names: Sequence[str]) -> str:
    """Arrays of a PostgreSQL statement, one a column, as the rows of a table."""
    integers = {"tries", "crashes", "priority", "marks", "fence"}
    kinds = {name: "float8" if name in TIMES else "integer" if name in integers else "text" for name in names}
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in kinds.values())}) AS one({', '.join(names)})"


# On PostgreSQL all in one go: a statement for each row takes several times as long. Rows are locked in their order.
_ENDED = (*ENDING, "ref", "marks")
_IN_ORDER = "SELECT 1 FROM subject WHERE ref = ANY(%s) ORDER BY ref FOR UPDATE"
_FINISH_ALL = f"""
UPDATE subject SET changed_at = {_CLOCK["postgresql"]}, {_sets("one.")}
FROM {_unnested(_ENDED)} WHERE subject.ref = one.ref
"""
_LEASE = ("key", "holder", "fence")
_RELEASE_ALL = f"""
UPDATE lease SET holder = NULL FROM {_unnested(_LEASE)}
WHERE (lease.key, lease.holder, lease.fence) = (one.key, one.holder, one.fence)
"""
_HELD_OF = {  # on PostgreSQL the rows stay ours until COMMIT
    "sqlite": text("SELECT key, holder, fence FROM lease WHERE key IN (SELECT value FROM json_each(:keys))"),
    "postgresql": text("SELECT key, holder, fence FROM lease WHERE key = ANY(:keys) ORDER BY key FOR UPDATE"),
}
_NOW = select(db_now())

_AGAIN = (
    "ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, fence = lease.fence + 1, "
    "expires = excluded.expires WHERE lease.holder IS NULL"
)
_EACH = {
    "sqlite": "SELECT value AS key FROM json_each(:keys)",
    "postgresql": "SELECT unnest(CAST(:keys AS text[])) AS key",
}
_TAKE_FREE = {
    dialect: text(
        "INSERT INTO lease (key, holder, fence, expires) "
        f"SELECT key, :holder, 1, {clock} + :ttl FROM ({_EACH[dialect]}) AS wanted WHERE true "
        f"{_AGAIN} RETURNING key, fence"
    )
    for dialect, clock in _CLOCK.items()
}
_TAKE = {
    dialect: text(
        f"INSERT INTO lease (key, holder, fence, expires) VALUES (:key, :holder, 1, {clock} + :ttl) "
        f"{_AGAIN} OR lease.expires < {clock} RETURNING fence"
    )
    for dialect, clock in _CLOCK.items()
}


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process took: write only while `fence` is still the row's."""

    key: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Leased:
    """A subject under lease, as it stood when taken at `at` (the database's clock; `tick` is our monotonic one)."""

    ref: Ref
    lease: Lease
    row: Mapping[str, Any]
    at: float
    tick: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """The database's clock as this process can tell it without asking."""
        return self.at + time.monotonic() - self.tick


Along = tuple[Callable[[Connection, Sequence[Any]], object], Any]
"""A row to be written, and what writes all rows of its kind."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A look that is over: every column of ENDING (times absolute), further leases to free, rows to write with it."""

    leased: Leased
    values: Mapping[str, Any]
    also: tuple[Lease, ...] = ()
    along: tuple[Along, ...] = ()

    @property
    def leases(self) -> tuple[Lease, ...]:
        """All that it held."""
        return (self.leased.lease, *self.also)


def write_along(conn: Connection, along: Iterable[Along]) -> None:
    """Writes these rows, those of a kind together."""
    kinds: dict[Callable[[Connection, Sequence[Any]], object], list[Any]] = {}
    for write, row in along:
        kinds.setdefault(write, []).append(row)
    for write, rows in kinds.items():
        write(conn, rows)


def insert(conn: Connection, table: Any) -> Any:  # noqa: ANN401  (dialects' own Insert classes)
    """An INSERT that knows ON CONFLICT, in this connection's dialect."""
    return upsert(conn.dialect.name, table)


def upsert(dialect: str, table: Any) -> Any:  # noqa: ANN401  (dialects' own Insert classes)
    """An INSERT that knows ON CONFLICT."""
    return sqlite_insert(table) if dialect == "sqlite" else postgres_insert(table)


def now(conn: Connection) -> float:
    """The database's clock, epoch seconds."""
    return float(conn.execute(_NOW).scalar_one())


def folded(name: str | None) -> str | None:
    """A customer's name as searches know it: they fold what they are asked for in the same way."""
    return None if name is None else name.casefold()


def subject_key(ref: Ref | str) -> str:
    """The lease key of a subject."""
    return f"subject:{ref}"


def mark_due(
    conn: Connection, refs: Iterable[Ref], *, cause: str, reason: str, delay_s: float = 0, priority: int = LIVE
) -> None:
    """Makes subjects due. One that is due sooner for an event, or for livelier work, stays so.

    Dead and parked ones come back to life.
    """
    at = now(conn)
    rows = [
        {
            "ref": str(ref),
            "connection": ref.source,
            "kind": ref.kind,
            "state": "due",
            "cause": cause,
            "reason": reason,
            "next_look": at + delay_s,
            "priority": priority,
            "marks": 1,
            "created_at": at,
            "changed_at": at,
        }
        for ref in sorted(set(refs))
    ]
    if not rows:
        return
    stmt = insert(conn, subject)
    new = stmt.excluded
    livelier = or_(subject.c.cause == "event", subject.c.priority < new.priority)
    sooner = and_(subject.c.state == "due", subject.c.next_look <= new.next_look, livelier)
    conn.execute(
        stmt.on_conflict_do_update(
            index_elements=["ref"],
            set_={
                "state": "due",
                "marks": subject.c.marks + 1,
                "changed_at": new.changed_at,
                "cause": case((sooner, subject.c.cause), else_=new.cause),
                "reason": case((sooner, subject.c.reason), else_=new.reason),
                "next_look": case((sooner, subject.c.next_look), else_=new.next_look),
                "priority": case((sooner, subject.c.priority), else_=new.priority),
            },
        ),
        rows,
    )


def keep_about(conn: Connection, ref: Ref, other: Ref) -> None:
    """Looks at `ref` read `other` too, from now on. Call it after `mark_due(ref)`, which holds the row till COMMIT."""
    where = subject.c.ref == str(ref)
    known = conn.execute(select(subject.c.about).where(where)).scalar() or []
    if str(other) not in known:
        conn.execute(update(subject).where(where).values(about=sorted([*known, str(other)])))


def with_about(conn: Connection, refs: Iterable[Ref]) -> set[Ref]:
    """Those of these whose looks read other subjects too: something of what was paid was paid back, say."""
    where = (subject.c.ref.in_([str(ref) for ref in refs]), subject.c.about.is_not(None))
    return {
        Ref.parse(one) for one, about in conn.execute(select(subject.c.ref, subject.c.about).where(*where)) if about
    }


def know(conn: Connection, ref: Ref) -> None:
    """The subject has a row; idle, if it had none."""
    values = {"ref": str(ref), "connection": ref.source, "kind": ref.kind, "state": "idle", "cause": "asked"}
    stmt = insert(conn, subject).values(**values, created_at=db_now(), changed_at=db_now())
    conn.execute(stmt.on_conflict_do_nothing())


def wake(
    conn: Connection,
    where: Any,  # noqa: ANN401  (a SQL expression)
    *,
    cause: str,
    reason: str,
    priority: int | None = None,
) -> int:
    """Makes every subject that matches `where` due now, behind what goes before `priority` if given; the count."""
    values = {
        "state": "due",
        "cause": cause,
        "reason": reason,
        "marks": subject.c.marks + 1,
        "tries": 0,
        "crashes": 0,
        "failing_since": None,
        "next_look": db_now(),
        "changed_at": db_now(),
    } | ({} if priority is None else {"priority": priority})
    return conn.execute(update(subject).where(where).values(values)).rowcount


def dead(conn: Connection, until: float, limit: int) -> list[str]:
    """Subjects that were dead at `until` (the database's clock) and still are, the longest dead first."""
    where = (subject.c.state == "dead", subject.c.changed_at <= until)
    stmt = select(subject.c.ref).where(*where).order_by(subject.c.changed_at, subject.c.ref).limit(limit)
    return list(conn.execute(stmt).scalars())


def asked_again(conn: Connection, most: int) -> int:
    """How many of those that were dead and asked for are still to be looked at, up to `most`."""
    stmt = select(subject.c.ref).where(subject.c.state == "due", subject.c.cause == ASKED_AGAIN).limit(most)
    return int(conn.execute(select(func.count()).select_from(stmt.subquery())).scalar_one())


def take(conn: Connection, key: str, holder: str, ttl_s: float) -> Lease | None:
    """The lease on `key`, or None while somebody else holds it. A dead holder's lease is taken over once ended."""
    row = conn.execute(_TAKE[conn.dialect.name], {"key": key, "holder": holder, "ttl": ttl_s}).first()
    return Lease(key, holder, row.fence) if row else None


def release(conn: Connection, held: Lease) -> None:
    """Frees the lease, if it is still ours."""
    conn.execute(_RELEASE, _as_row(held))


def renew(conn: Connection, holder: str, keys: Sequence[str], ttl_s: float) -> set[str]:
    """Moves the end of all these leases that are still `holder`'s, in one UPDATE; the keys that were."""
    stmt = update(lease).where(lease.c.holder == holder, lease.c.key.in_(keys)).values(expires=db_now() + ttl_s)
    return set(conn.execute(stmt.returning(lease.c.key)).scalars())


def check(conn: Connection, *leases: Lease) -> None:
    """Raises LeaseLost unless all these leases are still ours: first thing in each write of a look."""
    ours = _held(conn, leases)
    if lost := next((one for one in leases if one not in ours), None):
        raise LeaseLost(f"{lost.key} was taken over (fence {lost.fence} has passed)")


def lease_due(
    conn: Connection,
    holder: str,
    ttl_s: float,
    limit: int,
    *,
    without: Collection[str] = (),
    room: Mapping[str, int] | None = None,
) -> list[Leased]:
    """Up to `limit` due subjects, live work first, each under a lease of its own. Suspects are left out.

    without: connections whose subjects wait. room: of each connection named at most so many.
    """
    rows = _fair(conn, limit, set(without), room) if room else _due(conn, limit, without)
    if not rows:
        return []
    keys = [subject_key(row.ref) for row in rows]
    wanted = json.dumps(keys) if conn.dialect.name == "sqlite" else keys
    taken = conn.execute(_TAKE_FREE[conn.dialect.name], {"keys": wanted, "holder": holder, "ttl": ttl_s})
    fences = {row.key: row.fence for row in taken}
    return [
        Leased(Ref.parse(row.ref), Lease(key, holder, fences[key]), row._asdict(), row.now)
        for row, key in zip(rows, keys, strict=True)
        if key in fences
    ]


def lease_one(conn: Connection, ref: Ref, holder: str, ttl_s: float) -> Leased | None:
    """This subject under a lease, due or not; None while it is held elsewhere or not known."""
    row = conn.execute(_ONE, {"one": str(ref)}).first()
    return _take_subject(conn, row, holder, ttl_s) if row else None


def suspects(conn: Connection, limit: int) -> list[Ref]:
    """Due subjects whose last holder died at work."""
    return [Ref.parse(row.ref) for row in conn.execute(_SUSPECTS, {"most": limit})]


def lease_solo(conn: Connection, ref: Ref, holder: str, ttl_s: float) -> Leased | None:
    """A suspect under a lease, with one crash more on its record until the lease is released."""
    leased = lease_one(conn, ref, holder, ttl_s)
    if leased:
        conn.execute(
            update(subject).where(subject.c.ref == str(ref)).values(crashes=subject.c.crashes + 1, changed_at=db_now())
        )
        _count_takeover(conn)
    return leased


def takeovers(conn: Connection) -> int:
    """How many subjects have been taken over from a worker that died, ever."""
    return int(conn.execute(select(cursor.c.value).where(cursor.c.name == TAKEOVERS)).scalar() or 0)


def _count_takeover(conn: Connection) -> None:
    more = cast(cast(cursor.c.value, Integer) + 1, Text)
    stmt = insert(conn, cursor).values(name=TAKEOVERS, value="1", at=db_now())
    conn.execute(stmt.on_conflict_do_update(index_elements=["name"], set_={"value": more, "at": db_now()}))


def next_due(conn: Connection, without: Collection[str] = ()) -> float | None:
    """Seconds until `lease_due` has something (0 and less: now); None where nothing is due. Suspects are left out."""
    busy = select(lease.c.key).where(lease.c.key == literal("subject:") + subject.c.ref, lease.c.holder.is_not(None))
    stmt = select(func.min(subject.c.next_look) - db_now()).where(subject.c.state == "due", ~busy.exists())
    if without:
        stmt = stmt.where(subject.c.connection.not_in(without))
    found = conn.execute(stmt).scalar()
    return None if found is None else float(found)


def busy(conn: Connection) -> int:
    """How many subjects are due for anything but a second look or a verification that is still to come."""
    return int(conn.execute(_BUSY).scalar_one())


def _busy() -> Select[Any]:
    """Built once: who waits for a hub to be idle asks many times a second."""
    to_come = subject.c.cause.in_(["second look", "verify"]) & (subject.c.next_look > db_now())
    held = lease.c.key == literal("subject:") + subject.c.ref
    at_work = select(lease.c.key).where(held, lease.c.holder.is_not(None)).exists()
    return select(func.count()).where(subject.c.state == "due", or_(~to_come, at_work))


_BUSY = _busy()


def finish(conn: Connection, ended: Sequence[Ended]) -> None:
    """Ends looks: writes what each leaves and its subject's new row, and frees its leases.

    One that lost a lease is left as it was, and due. A subject that was made due again meanwhile stays due.
    """
    held = _held(conn, [lease for one in ended for lease in one.leases])
    ours = [one for one in ended if held.issuperset(one.leases)]
    write_along(conn, (row for one in ours for row in one.along))
    rows = sorted(map(_ending, ours), key=lambda row: str(row["ref"]))
    leases = [_as_row(held) for one in ended for held in one.leases]
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(_IN_ORDER, ([row["ref"] for row in rows],))
        conn.exec_driver_sql(_FINISH_ALL, _columns(rows, _ENDED))
        conn.exec_driver_sql(_RELEASE_ALL, _columns(leases, _LEASE))
        return
    if rows:
        conn.execute(_FINISH, rows)
    conn.execute(_RELEASE, leases)


def _held(conn: Connection, leases: Sequence[Lease]) -> set[Lease]:
    """Those that are still ours."""
    keys = [one.key for one in leases]
    wanted = json.dumps(keys) if conn.dialect.name == "sqlite" else keys
    return {Lease(*row) for row in conn.execute(_HELD_OF[conn.dialect.name], {"keys": wanted})}.intersection(leases)


def _ending(one: Ended) -> dict[str, Any]:
    values = {name: one.values[name] for name in ENDING}
    return {**values, "ref": str(one.leased.ref), "marks": one.leased.row["marks"]}


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[list[Any], ...]:
    return tuple([row[name] for row in rows] for name in names)


def _as_row(held: Lease) -> dict[str, Any]:
    return {"key": held.key, "holder": held.holder, "fence": held.fence}


def _fair(conn: Connection, limit: int, without: set[str], room: Mapping[str, int]) -> list[Row[Any]]:
    """Due subjects, of each connection no more than there is room for; what that leaves goes to the others."""
    left, kept = dict(room), dict[str, Row[Any]]()
    while True:
        without |= {name for name, count in left.items() if count <= 0}
        passed_over = False
        for row in _due(conn, limit, without):
            if row.ref in kept or len(kept) == limit:
                continue
            count = left.get(row.connection, limit)
            left[row.connection] = count - 1
            if count > 0:
                kept[row.ref] = row
            passed_over = passed_over or count <= 0
        if not passed_over:
            return list(kept.values())


def _due(conn: Connection, limit: int, without: Collection[str] = ()) -> Sequence[Row[Any]]:
    return conn.execute(_DUE, {"most": limit, "without": list(without)}).all()


def _of_those_due(condition: Any) -> Any:  # noqa: ANN401  (SQL expressions)
    on = lease.c.key == literal("subject:") + subject.c.ref
    return (
        select(subject, db_now().label("now"))
        .select_from(subject.outerjoin(lease, on))
        .where(subject.c.state == "due", subject.c.next_look <= db_now(), condition)
        .order_by(subject.c.priority, subject.c.next_look)
        .limit(bindparam("most"))
    )


_DUE = (
    _of_those_due(or_(lease.c.key.is_(None), lease.c.holder.is_(None)))
    .where(~among(subject.c.connection, "without"))
    .with_for_update(of=subject, skip_locked=True)
)
_SUSPECTS = _of_those_due(and_(lease.c.holder.is_not(None), lease.c.expires < db_now()))
_ONE = select(subject, db_now().label("now")).where(subject.c.ref == bindparam("one"))


def _take_subject(conn: Connection, row: Row[Any], holder: str, ttl_s: float) -> Leased | None:
    held = take(conn, subject_key(row.ref), holder, ttl_s)
    return Leased(Ref.parse(row.ref), held, row._asdict(), row.now) if held else None


def find(conn: Connection, words: str) -> list[str]:
    """Refs of subjects that `words` names: the whole ref, or its last part."""
    exact = conn.execute(select(subject.c.ref).where(subject.c.ref == words)).scalars().all()
    if exact:
        return list(exact)
    stmt = text("SELECT ref FROM subject WHERE ref LIKE :tail ESCAPE '!' ORDER BY ref LIMIT 20")
    tail = words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return list(conn.execute(stmt, {"tail": f"%/{tail}"}).scalars())
