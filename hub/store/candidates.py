"""Purchases that a license of no purchase may be of, for a person to decide; and those that a person ruled out.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, select

from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.subjects import insert

_C = t.candidate.c
_OPEN = _C.ruled_out_at.is_(None)


def put(conn: Connection, entitlement: str, rows: Iterable[Mapping[str, str]]) -> None:
    """Of this license these are to be decided, and no other; what was ruled out stays so. Repeatable."""
    conn.execute(t.candidate.delete().where(_C.entitlement == entitlement, _OPEN))
    for row in rows:
        stmt = insert(conn, t.candidate).values(entitlement=entitlement, found_at=db_now(), **row)
        conn.execute(stmt.on_conflict_do_nothing())


def of(conn: Connection, entitlement: str) -> list[Row[Any]]:
    """Those of this license that are to be decided, but for purchases that have a license of the offering by now."""
    e = t.entitlement.c
    licensed = select(e.id).where(e.subject == _C.purchase, e.offering == _C.offering).exists()
    stmt = select(t.candidate).where(_C.entitlement == entitlement, _OPEN, ~licensed)
    return list(conn.execute(stmt.order_by(_C.purchase)))


def rule_out(conn: Connection, entitlement: str, by: str, why: str) -> list[str]:
    """Those of this license that were to be decided are not it; which purchases these are."""
    values = {"ruled_out_at": db_now(), "ruled_out_by": by, "why": why}
    done = t.candidate.update().where(_C.entitlement == entitlement, _OPEN).values(**values)
    return sorted(conn.execute(done.returning(_C.purchase)).scalars())


def ruled_out(conn: Connection) -> dict[tuple[str, str], str]:
    """Who ruled it out and why, by (entitlement, purchase)."""
    rows = conn.execute(
        select(_C.entitlement, _C.purchase, _C.ruled_out_by, _C.why).where(_C.ruled_out_at.is_not(None))
    )
    return {(row.entitlement, row.purchase): f"{row.ruled_out_by}: {row.why}" for row in rows}


def decided(conn: Connection, entitlement: str, purchase: str, offering: str) -> None:
    """The license is this purchase's: neither is to be decided any more."""
    conn.execute(t.candidate.delete().where(_C.entitlement == entitlement))
    conn.execute(t.candidate.delete().where(_C.purchase == purchase, _C.offering == offering, _OPEN))


def owned(conn: Connection) -> set[tuple[str, str]]:
    """(purchase, offering) of every license that is a purchase's."""
    e = t.entitlement.c
    rows = conn.execute(select(e.subject, e.offering).where(e.subject.is_not(None)))
    return {(row.subject, row.offering) for row in rows}


def has_license(conn: Connection, purchase: str, offering: str) -> bool:
    """Whether the purchase has a license of this offering on record."""
    e = t.entitlement.c
    stmt = select(e.id).where(e.subject == purchase, e.offering == offering)
    return conn.execute(stmt.limit(1)).first() is not None
