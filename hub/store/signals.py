"""What was judged of seat use, and what months came to: the newest of each, and the message where it is news.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from hub.domain import Json
from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.seats import in_parts
from hub.store.subjects import insert


def signal_of(conn: Connection, entitlement: str) -> dict[str, Any] | None:
    """The signal of an entitlement, where it was ever judged."""
    row = conn.execute(select(t.signal).where(t.signal.c.entitlement == entitlement)).first()
    return row._asdict() if row else None


def signals_of(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The signals of these entitlements."""
    found: dict[str, Row[Any]] = {}
    for part in in_parts(ids):
        rows = conn.execute(select(t.signal).where(t.signal.c.entitlement.in_(part)))
        found |= {row.entitlement: row for row in rows}
    return found


def after(conn: Connection, entitlement: str, limit: int, signal: str | None = None) -> list[Row[Any]]:
    """The signals of entitlements, by id, those after `entitlement`; of this one alone where `signal` names it."""
    s = t.signal.c
    stmt = select(t.signal).where(s.entitlement > entitlement, *([s.signal == signal] if signal else []))
    return list(conn.execute(stmt.order_by(s.entitlement).limit(limit)))


def put_signal(conn: Connection, entitlement: str, values: Mapping[str, Any], *, seen: int) -> int | None:
    """The signal says this now; its new revision. None where it is no longer of the revision `seen` (0: none yet)."""
    s = t.signal.c
    row = {**values, "revision": seen + 1, "changed_at": db_now()}
    if seen == 0:
        stmt = insert(conn, t.signal).values(entitlement=entitlement, **row).on_conflict_do_nothing()
    else:
        stmt = update(t.signal).where(s.entitlement == entitlement, s.revision == seen).values(**row)
    return conn.execute(stmt.returning(s.revision)).scalar()


def put_verdict(conn: Connection, entitlement: str, values: Mapping[str, Any]) -> None:
    """People are told this from `values["day"]` on. Repeatable."""
    conn.execute(insert(conn, t.verdict).values(entitlement=entitlement, **values).on_conflict_do_nothing())


def verdicts_of(conn: Connection, ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """What people were told of these entitlements, newest first."""
    found: dict[str, list[Row[Any]]] = {}
    for part in in_parts(ids):
        stmt = select(t.verdict).where(t.verdict.c.entitlement.in_(part)).order_by(t.verdict.c.day.desc())
        for row in conn.execute(stmt):
            found.setdefault(row.entitlement, []).append(row)
    return found


def summaries_of(conn: Connection, entitlement: str) -> dict[str, Row[Any]]:
    """The summaries of an entitlement, by month."""
    stmt = select(t.summary).where(t.summary.c.entitlement == entitlement).order_by(t.summary.c.month)
    return {row.month: row for row in conn.execute(stmt)}


def months_of(conn: Connection, ids: Sequence[str], newest: int) -> dict[str, list[Row[Any]]]:
    """The newest summaries of each of these entitlements, oldest first."""
    found: dict[str, list[Row[Any]]] = {}
    for part in in_parts(ids):
        stmt = select(t.summary).where(t.summary.c.entitlement.in_(part)).order_by(t.summary.c.month)
        for row in conn.execute(stmt):
            found.setdefault(row.entitlement, []).append(row)
    return {id_: rows[-newest:] for id_, rows in found.items()}


def put_summary(conn: Connection, entitlement: str, month: str, body: Json, *, seen: int) -> int | None:
    """The month came to this; its new revision. None where it is no longer of the revision `seen` (0: none yet)."""
    s = t.summary.c
    row = {"body": body, "revision": seen + 1, "changed_at": db_now()}
    if seen == 0:
        stmt = insert(conn, t.summary).values(entitlement=entitlement, month=month, **row).on_conflict_do_nothing()
    else:
        mine = (s.entitlement == entitlement, s.month == month, s.revision == seen)
        stmt = update(t.summary).where(*mine).values(**row)
    return conn.execute(stmt.returning(s.revision)).scalar()


def purchases_of(conn: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """The purchases that these entitlements belong to."""
    e, found = t.entitlement.c, dict[str, str | None]()
    for part in in_parts(ids):
        found |= {row.id: row.subject for row in conn.execute(select(e.id, e.subject).where(e.id.in_(part)))}
    return found
