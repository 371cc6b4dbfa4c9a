"""Which stored receipts a replay means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from hub.store.schema import receipt as t


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to replay: every part that is given must fit. ids: the vendor's event ids, or receipt numbers.

    types: the vendor's words; `invoice.*` names a family. since, until: received at, epoch seconds (until excluded).
    """

    ids: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    types: tuple[str, ...] = ()
    subject: str | None = None
    connection: str | None = None


def oldest(conn: Connection, wanted: Wanted, limit: int) -> Sequence[Row[Any]]:
    """(id, subject, received_at) of the oldest accepted receipts that are wanted."""
    columns: list[Any] = [t.c.id, t.c.subject, t.c.received_at]
    stmt = select(*columns).where(*_where(wanted), *_replayable()).order_by(t.c.received_at, t.c.id)
    return conn.execute(stmt.limit(limit)).all()


def count(conn: Connection, wanted: Wanted, most: int) -> tuple[int, int]:
    """(accepted receipts that are wanted, others that are wanted but were not accepted), each up to `most`."""
    every = select(t.c.id).where(*_where(wanted))
    accepted, others = every.where(*_replayable()), every.where(t.c.outcome != "accepted")
    return _count(conn, accepted, most), _count(conn, others, most)


def _count(conn: Connection, stmt: Select[Any], most: int) -> int:
    return int(conn.execute(select(func.count()).select_from(stmt.limit(most).subquery())).scalar_one())


def _replayable() -> list[ColumnElement[bool]]:
    return [t.c.outcome == "accepted", t.c.subject.is_not(None)]


def _where(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.ids:
        numbers = [int(one) for one in wanted.ids if one.isascii() and one.isdigit() and len(one) < 19]  # noqa: PLR2004
        found.append(or_(t.c.external_id.in_(wanted.ids), t.c.id.in_(numbers)))
    if wanted.types:
        found.append(or_(*(_of_type(one) for one in wanted.types)))
    if wanted.since is not None:
        found.append(t.c.received_at >= wanted.since)
    if wanted.until is not None:
        found.append(t.c.received_at < wanted.until)
    if wanted.subject is not None:
        found.append(t.c.subject == wanted.subject)
    if wanted.connection is not None:
        found.append(t.c.connection == wanted.connection)
    return found


def _of_type(type_: str) -> ColumnElement[bool]:
    if type_.endswith(".*"):
        return t.c.type.startswith(type_.removesuffix("*"), autoescape=True)
    return t.c.type == type_
