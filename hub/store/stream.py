"""The outbox and its order: messages in, positions and links given, the stream read by position.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, func, or_, select, text, update

from hub.domain import Json, Ref
from hub.store import schema as t
from hub.store.records import add_messages, clock_offset
from hub.store.schema import db_now
from hub.store.subjects import insert, now
from hub.stream.chain import START, Head, digest_of, link_of
from hub.stream.events import Message
from hub.stream.facts import Known

BATCH = 500
CHAINED: Mapping[str, Table] = {"change": t.change, "audit": t.audit}
SETTLED_S = 3600.0  # a change that was begun so long ago will not end any more: its process died
_PAGE = 1000
_WAITING = """
SELECT EXISTS (SELECT 1 FROM receipt WHERE outcome = 'accepted' AND NOT sequenced)
    OR EXISTS (SELECT 1 FROM message WHERE position IS NULL)
    OR EXISTS (SELECT 1 FROM change WHERE position IS NULL AND outcome <> 'begun')
    OR EXISTS (SELECT 1 FROM audit WHERE position IS NULL)
"""
_PLACE_MESSAGES = text("""
UPDATE message SET position = :base + waiting.n
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n
      FROM (SELECT id FROM message WHERE position IS NULL ORDER BY id LIMIT :most) AS first) AS waiting
WHERE message.id = waiting.id
""")


def business_now(conn: Connection) -> datetime:
    """Business time: the database's clock plus the offset that a sandbox may have moved it by."""
    return datetime.fromtimestamp(now(conn) + clock_offset(conn), UTC)


def ending(conn: Connection, column: str, after: float, upto: float) -> Sequence[Row[Any]]:
    """Entitlements that are on and whose `expires` or `maintenance_ends` lies in (after, upto].

    One that is known from a list row alone is left out: nobody knows whether it is on.
    """
    e = t.entitlement.c
    columns: list[Any] = [e.id, e.customer_id, e.order_ref, e.subject, e.offering, e.expires, e.maintenance_ends]
    return conn.execute(
        select(*columns).where(e[column] > after, e[column] <= upto, e.enabled, e.read_at > 0).order_by(e.id)
    ).all()


# -- facts


def waiting(conn: Connection) -> bool:
    """Whether anything waits for the sequencer."""
    return bool(conn.execute(text(_WAITING)).scalar())


def behind_s(conn: Connection) -> float:
    """For how many seconds the oldest receipt has waited for the sequencer; 0 where none does."""
    r = t.receipt.c
    indexed = text("receipt.outcome = 'accepted' AND NOT receipt.sequenced")
    oldest = conn.execute(select(db_now() - r.received_at).where(indexed).order_by(r.id).limit(1)).scalar()
    return max(0.0, float(oldest or 0.0))


def unsequenced(conn: Connection, connections: Iterable[str], limit: int = BATCH) -> Sequence[Row[Any]]:
    """The oldest accepted receipts whose facts are not in the stream yet."""
    r = t.receipt.c
    columns: list[Any] = [r.id, r.connection, r.external_id, r.subject, r.headers, r.body]
    indexed = text("receipt.outcome = 'accepted' AND NOT receipt.sequenced")  # as the partial index has it
    stmt = select(*columns).where(indexed, r.connection.in_(sorted(connections)))
    return conn.execute(stmt.order_by(r.id).limit(limit)).all()


def known(conn: Connection, refs: Iterable[str]) -> dict[str, Known]:
    """What the record knows of these subjects, purchases or entitlements."""
    refs = sorted(set(refs))
    e, s = t.entitlement.c, t.subject.c
    orders = {row.ref: row.order_ref for row in conn.execute(select(s.ref, s.order_ref).where(s.ref.in_(refs)))}
    ids: dict[str, list[str]] = {}
    for row in conn.execute(select(e.subject, e.id).where(e.subject.in_(refs)).order_by(e.id)):
        ids.setdefault(row.subject, []).append(row.id)
    named = {one.id: str(one) for one in map(Ref.parse, refs) if one.kind == "entitlement"}
    found = {ref: Known(order_ref=orders.get(ref), purchase=ref, entitlements=tuple(ids.get(ref, ()))) for ref in refs}
    for one in conn.execute(select(e.id, e.order_ref, e.subject).where(e.id.in_(sorted(named)))):
        found[named[one.id]] = Known(order_ref=one.order_ref, purchase=one.subject, entitlements=(one.id,))
    return found


def sequence_facts(conn: Connection, receipts: Sequence[int], messages: Iterable[Message]) -> None:
    """The messages are in the stream and the receipts are done. Repeatable: a message has one id for ever."""
    add_messages(conn, messages)
    conn.execute(update(t.receipt).where(t.receipt.c.id.in_(receipts)).values(sequenced=True))


# -- positions


def head(conn: Connection, name: str, *, lock: bool = False) -> Head:
    """The newest position of a sequence. `lock`: nobody else gives one until this transaction ends."""
    if lock:
        fresh = insert(conn, t.sequence).values(name=name, position=0, link=START)
        conn.execute(fresh.on_conflict_do_nothing())
    stmt = select(t.sequence).where(t.sequence.c.name == name)
    row = conn.execute(stmt.with_for_update() if lock else stmt).first()
    return Head(position=row.position, link=row.link) if row else Head()


def place_messages(conn: Connection, limit: int = BATCH) -> int:
    """Gives the oldest committed messages without one their position; how many."""
    before = head(conn, "message", lock=True)
    placed = conn.execute(_PLACE_MESSAGES, {"base": before.position, "most": limit}).rowcount
    _set_head(conn, "message", Head(position=before.position + placed, link=START))
    return placed


def place_chained(conn: Connection, name: str, limit: int = BATCH) -> int:
    """Gives the oldest committed rows of `change` or `audit` their position, digest and link; how many."""
    table, at = CHAINED[name], head(conn, name, lock=True)
    rows = [row._asdict() for row in conn.execute(_unplaced(table, limit))]
    placed = []
    for row in rows:
        digest = digest_of(row)
        at = Head(position=at.position + 1, link=link_of(at.link, at.position + 1, digest))
        placed.append({"row": row["id"], "position": at.position, "digest": digest, "link": at.link})
    if placed:
        conn.execute(update(table).where(table.c.id == bindparam("row")), placed)
        _set_head(conn, name, at)
    return len(placed)


def end_abandoned(conn: Connection) -> int:
    """What was begun and whose process died before it could say how it ended: nobody knows; how many."""
    old = (t.change.c.outcome == "begun", t.change.c.position.is_(None), t.change.c.at < db_now() - SETTLED_S)
    if conn.execute(select(t.change.c.id).where(*old).limit(1)).first() is None:
        return 0
    return conn.execute(update(t.change).where(*old).values(outcome="unknown")).rowcount


def chained(conn: Connection, name: str, upto: int) -> Iterator[Mapping[str, Any]]:
    """The rows of `change` or `audit` up to a position, in its order."""
    table, last = CHAINED[name], 0
    while last < upto:
        of_page = (table.c.position > last, table.c.position <= upto)
        stmt = select(table).where(*of_page).order_by(table.c.position).limit(_PAGE)
        page = [row._asdict() for row in conn.execute(stmt)]
        if not page:
            return
        yield from page
        last = page[-1]["position"]


def _unplaced(table: Table, limit: int) -> Select[Any]:
    stmt = select(table).where(table.c.position.is_(None)).order_by(table.c.id).limit(limit)
    return stmt.where(table.c.outcome != "begun") if "outcome" in table.c else stmt


def _set_head(conn: Connection, name: str, at: Head) -> None:
    conn.execute(update(t.sequence).where(t.sequence.c.name == name).values(position=at.position, link=at.link))


# -- reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A message in its place."""

    id: str
    type: str
    version: int
    occurred_at: datetime
    position: int
    data: dict[str, Json]

    def to_json(self) -> dict[str, Json]:
        """As it is sent."""
        at = self.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "id": self.id,
            "type": self.type,
            "version": self.version,
            "occurred_at": at,
            "position": self.position,
            "data": self.data,
        }


def after(conn: Connection, position: int, types: Sequence[str] = (), limit: int = BATCH) -> list[Placed]:
    """Messages after a position, in order; of these types only (`entitlement.*` names a family)."""
    m = t.message.c
    stmt = select(t.message).where(m.position > position).order_by(m.position).limit(limit)
    if types:
        stmt = stmt.where(of_types(types))
    return [_placed(row) for row in conn.execute(stmt)]


def newest(conn: Connection) -> int:
    """The newest position of the stream."""
    return int(conn.execute(select(func.coalesce(func.max(t.message.c.position), 0))).scalar_one())


def of_types(types: Sequence[str]) -> Any:  # noqa: ANN401  (a SQL expression)
    """Whether a message is of one of these types or families."""
    return or_(*(_of_type(one) for one in types))


def _of_type(type_: str) -> Any:  # noqa: ANN401  (a SQL expression)
    if type_.endswith(".*"):
        return t.message.c.type.startswith(type_.removesuffix("*"), autoescape=True)
    return t.message.c.type == type_


def _placed(row: Row[Any]) -> Placed:
    return Placed(
        id=row.event_id,
        type=row.type,
        version=row.version,
        occurred_at=datetime.fromtimestamp(row.occurred_at, UTC),
        position=row.position,
        data=row.data,
    )
