"""What became of sales, line by line, for whoever sold them.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from hub.store.schema import entitlement, grant, intent, observation, subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A line of a sale and the entitlement that it became."""

    line: str
    entitlement: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A sale as its last look left it. `seen` is that look's observation; changed_at in epoch seconds, machine time."""

    ref: str
    state: str
    reason: str
    seen: dict[str, Any]
    code: str | None
    granted: tuple[Granted, ...]
    changed_at: float


def changed(conn: Connection, connection: str, since: float, limit: int) -> Sequence[Sale]:
    """Sales of this connection that changed at `since` or later and were seen, the longest ago first."""
    stmt = _of(connection).where(subject.c.changed_at >= since).order_by(subject.c.changed_at, subject.c.ref)
    return _sales(conn, stmt.limit(limit))


def page(conn: Connection, connection: str, after: str, limit: int) -> Sequence[Sale]:
    """Sales of this connection that were seen, by name, those after `after`."""
    return _sales(conn, _of(connection).where(subject.c.ref > after).order_by(subject.c.ref).limit(limit))


def _of(connection: str) -> Select[Any]:
    s, o = subject.c, observation.c
    seen = (o.subject == s.ref) & (o.hash == s.saw)
    stmt = select(s.ref, s.state, s.reason, s.order_ref, s.changed_at, o.seen).join(observation, seen)
    return stmt.where(s.connection == connection)


def _sales(conn: Connection, stmt: Select[Any]) -> Sequence[Sale]:
    rows = conn.execute(stmt).all()
    granted = _granted(conn, [row.ref for row in rows])
    codes = _codes(conn, [row.order_ref for row in rows if row.order_ref])
    return [
        Sale(
            ref=row.ref,
            state=row.state,
            reason=row.reason,
            seen=row.seen,
            code=codes.get(row.order_ref),
            granted=tuple(granted.get(row.ref, ())),
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def _granted(conn: Connection, refs: Sequence[str]) -> dict[str, list[Granted]]:
    rows = conn.execute(
        select(grant.c.subject, grant.c.line, entitlement.c.id, entitlement.c.enabled)
        .join(entitlement, entitlement.c.id == grant.c.entitlement)
        .where(grant.c.subject.in_(refs))
        .order_by(grant.c.subject, grant.c.line)
    )
    found: dict[str, list[Granted]] = {}
    for row in rows:
        found.setdefault(row.subject, []).append(Granted(line=row.line, entitlement=row.id, enabled=row.enabled))
    return found


def _codes(conn: Connection, order_refs: Sequence[str]) -> dict[str, str]:
    where = (intent.c.kind == "group", intent.c.key.in_(order_refs), intent.c.activation_code.is_not(None))
    return {
        row.key: row.activation_code
        for row in conn.execute(select(intent.c.key, intent.c.activation_code).where(*where))
    }
