"""The licensing system's customers as the record knows them: by their entitlements, and by their references."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from hub.store import schema as t


def after(conn: Connection, id_: str, limit: int) -> list[Row[Any]]:
    """(id, name, entitlements) of customers that have some, by id, those after `id_`. Name: one of its purchases'."""
    e, s = t.entitlement.c, t.subject.c
    ids = select(e.customer_id).where(e.customer_id > id_).distinct().order_by(e.customer_id).limit(limit)
    name, count = func.max(s.customer_name).label("name"), func.count(e.id).label("entitlements")
    joined = t.entitlement.outerjoin(t.subject, s.ref == e.subject)
    stmt = select(e.customer_id.label("id"), name, count).select_from(joined)
    stmt = stmt.where(e.customer_id.in_(ids))
    return list(conn.execute(stmt.group_by(e.customer_id).order_by(e.customer_id)))


def references(conn: Connection, id_: str) -> list[str]:
    """The account reference of a customer, and by what else it is known, sorted."""
    link = t.customer_link.c
    rows = conn.execute(select(link.account_ref, link.alias).where(link.zentitle_id == id_))
    return sorted({text for row in rows for text in row})
