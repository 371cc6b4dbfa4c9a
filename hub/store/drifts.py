"""What the newest comparison of sales, licenses and CRM found, and how each stands now.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from hub.store import pages, records
from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.subjects import insert

_D = t.drift.c
COMPARED = "drift"  # the cursor that has the counts


def replace_all(conn: Connection, rows: list[dict[str, str]], counts: Mapping[str, int]) -> None:
    """These are on record and no other, and how many there are of each class, kept or not.

    Repeatable; of two that do it at once the first has its way.
    """
    records.set_cursor(conn, COMPARED, json.dumps(dict(counts)))
    conn.execute(t.drift.delete())
    if rows:
        stmt = insert(conn, t.drift).values(found_at=db_now())
        conn.execute(stmt.on_conflict_do_nothing(index_elements=["id"]), rows)


def counts(conn: Connection) -> tuple[dict[str, int], float] | None:
    """How many the last whole comparison found of each class, and when (epoch seconds); None before the first."""
    cursor = records.get_cursor(conn, COMPARED)
    return (json.loads(cursor[0]), cursor[1]) if cursor else None


def page(conn: Connection, kind: str, before: str, *, limit: int = pages.PAGE) -> pages.Page:
    """Of one class, or of all where `kind` is "", by class and id: each with its subject, its task and its worth."""
    stmt = _standing().where(_D.kind == kind) if kind else _standing()
    return pages.keyed(conn, stmt, (_D.kind, _D.id), before, (str, str), limit=limit)


def called(conn: Connection, ids: Iterable[str]) -> list[Row[Any]]:
    """Those of these ids that are on record, as `page` has them."""
    return list(conn.execute(_standing().where(_D.id.in_(sorted(ids))).order_by(_D.id)))


def _standing() -> Select[Any]:
    """Joined by keys alone, so that a page costs what it shows."""
    s, r, w = t.subject.c, t.review.c, t.worth.c
    joined = (
        t.drift.outerjoin(t.subject, s.ref == _D.at)
        .outerjoin(t.review, r.key == "drift:" + _D.id)
        .outerjoin(t.worth, w.entitlement == _D.entitlement)
    )
    told = (s.state, s.looked_at, r.id.label("task"), w.amount_minor, w.currency)
    return select(t.drift, *told).select_from(joined)
