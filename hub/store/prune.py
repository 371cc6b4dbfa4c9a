"""What is old goes: one small batch of one table at a time, as part of a transaction.

Event ids, digests and links stay for ever; so does the newest of each subject, and what a look still has to read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, delete, or_, select, tuple_, update

from hub.store import schema as t
from hub.store.schema import db_now

ERASED: Mapping[str, dict[str, Any]] = {
    "change": {"wanted": {}, "found": {}, "why": {}, "call": None},
    "audit": {"detail": {}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a batch came to: how many rows, up to which id it has come, and whether there may be more behind it."""

    rows: int
    after: int
    more: bool


Batch: TypeAlias = Callable[[Connection, float, int, int], Step]


def receipts(must_be_read: Collection[str]) -> Batch:
    """Bodies and headers of receipts; the rows stay, so that an old event never counts as new.

    Kept, and asked again each time: of connections in `must_be_read` what no look has read since, and what is not in
    the stream yet.
    """

    def batch(conn: Connection, before: float, after: int, most: int) -> Step:
        r, s = t.receipt.c, t.subject.c
        unread = select(s.ref).where(s.ref == r.subject, or_(s.looked_at.is_(None), s.looked_at < r.received_at))
        waits = (r.connection.in_(list(must_be_read)) & unread.exists()) | ~r.sequenced
        keep = (r.outcome == "accepted") & waits
        first_new = select(r.id).where(r.received_at >= before).order_by(r.received_at).limit(1)
        end = conn.execute(first_new).scalar()
        old = (r.id > after, r.received_at < before, r.body.is_not(None), *([r.id < end] if end else []))
        ids = list(conn.execute(select(r.id).where(*old).order_by(r.id).limit(most)).scalars())
        kept = list(conn.execute(select(r.id).where(r.kept).limit(most)).scalars())
        these = r.id.in_([*ids, *kept])
        conn.execute(update(t.receipt).where(these, keep).values(kept=True))
        gone = update(t.receipt).where(these, r.body.is_not(None), ~keep).values(body=None, headers="{}", kept=False)
        return Step(rows=conn.execute(gone).rowcount, after=_last(ids, after), more=len(ids) == most)

    return batch


def observations(conn: Connection, before: float, after: int, most: int) -> Step:
    """Observations, but for the newest of each subject, what its last look saw, and what an entitlement stands on."""
    o, newer = t.observation.c, t.observation.alias()
    is_last = select(t.subject.c.ref).where(t.subject.c.ref == o.subject, t.subject.c.saw == o.hash)
    is_newest = ~select(newer.c.id).where(newer.c.subject == o.subject, newer.c.id > o.id).exists()
    stands = select(t.entitlement.c.id).where(
        t.entitlement.c.subject == o.subject, t.entitlement.c.observation == o.hash
    )
    ids = _old(conn, t.observation, o.seen_at < before, after, most)
    gone = delete(t.observation).where(o.id.in_(ids), ~is_newest, ~is_last.exists(), ~stands.exists())
    return Step(rows=conn.execute(gone).rowcount, after=_last(ids, after), more=len(ids) == most)


def changes(conn: Connection, before: float, after: int, most: int) -> Step:
    """What journal rows say, but for the newest of each subject; their digests stay, so the chain verifies."""
    c, newer = t.change.c, t.change.alias()
    is_newest = ~select(newer.c.id).where(newer.c.subject == c.subject, newer.c.id > c.id).exists()
    ids = _old(conn, t.change, (c.at < before) & c.erased_at.is_(None) & c.position.is_not(None), after, most)
    return Step(rows=_erase(conn, t.change, c.id.in_(ids) & ~is_newest), after=_last(ids, after), more=len(ids) == most)


def audits(conn: Connection, before: float, after: int, most: int) -> Step:
    """The details of audit rows; who did what and when stays, and the digest."""
    a = t.audit.c
    ids = _old(conn, t.audit, (a.at < before) & a.erased_at.is_(None) & a.position.is_not(None), after, most)
    return Step(rows=_erase(conn, t.audit, a.id.in_(ids)), after=_last(ids, after), more=len(ids) == most)


def deliveries(conn: Connection, before: float, after: int, most: int) -> Step:
    """Deliveries that ended, with their attempts; what still waits stays.

    None ended before it was made, so the first one that was made since is where to stop.
    """
    d = t.delivery.c
    end = conn.execute(select(d.id).where(d.id > after, d.created_at >= before).order_by(d.id).limit(1)).scalar()
    old = (d.ended_at < before) & (d.state != "pending")
    ids = _old(conn, t.delivery, old if end is None else old & (d.id < end), after, most)
    conn.execute(delete(t.attempt).where(t.attempt.c.delivery.in_(ids)))
    conn.execute(delete(t.delivery).where(d.id.in_(ids)))
    return Step(rows=len(ids), after=_last(ids, after), more=len(ids) == most)


def attempts(conn: Connection, before: float, _after: int, most: int) -> Step:
    """Attempts of deliveries that still go on."""
    a = t.attempt.c
    ids = list(conn.execute(select(a.id).where(a.at < before).order_by(a.at).limit(most)).scalars())
    conn.execute(delete(t.attempt).where(a.id.in_(ids)))
    return Step(rows=len(ids), after=0, more=len(ids) == most)


def api_calls(conn: Connection, before: float, _after: int, most: int) -> Step:
    """Calls of the API that came with an Idempotency-Key."""
    c = t.api_call.c
    keys = conn.execute(select(c.prefix, c.key).where(c.at < before).limit(most)).all()
    conn.execute(delete(t.api_call).where(tuple_(c.prefix, c.key).in_([tuple(key) for key in keys])))
    return Step(rows=len(keys), after=0, more=len(keys) == most)


def spends(conn: Connection, before: float, after: int, most: int) -> Step:
    """What the guard once counted."""
    g = t.guard_spend.c
    ids = _old(conn, t.guard_spend, g.at < before, after, most)
    return Step(
        rows=conn.execute(delete(t.guard_spend).where(g.id.in_(ids))).rowcount,
        after=_last(ids, after),
        more=len(ids) == most,
    )


def _old(conn: Connection, table: Table, condition: Any, after: int, most: int) -> list[int]:  # noqa: ANN401  (SQL)
    stmt = select(table.c.id).where(table.c.id > after, condition).order_by(table.c.id).limit(most)
    return list(conn.execute(stmt).scalars())


def _erase(conn: Connection, table: Table, these: Any) -> int:  # noqa: ANN401  (a SQL expression)
    return conn.execute(update(table).where(these).values(erased_at=db_now(), **ERASED[table.name])).rowcount


def _last(ids: list[int], after: int) -> int:
    return ids[-1] if ids else after
