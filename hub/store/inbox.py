"""The inbox insert, past SQLAlchemy: the hottest statement of the hub, one for a whole batch.

A new receipt marks its subject due in the same commit; one seen before only counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """One vendor event to keep. Times are epoch seconds; `headers` is JSON text."""

    connection: str
    external_id: str
    type: str
    subject: str | None
    kind: str
    received_at: float
    occurred_at: float | None
    outcome: str
    reason: str | None
    headers: str
    body: bytes


_COLUMNS = "connection, external_id, type, subject, received_at, occurred_at, outcome, reason, headers, body"
_MARK = """
INSERT INTO subject (ref, connection, kind, state, cause, reason, next_look, priority, marks, created_at, changed_at)
VALUES (?, ?, ?, 'due', 'event', 'an event came in', ?, 0, 1, ?, ?)
ON CONFLICT (ref) DO UPDATE SET state = 'due', cause = 'event', reason = excluded.reason, marks = subject.marks + 1,
  priority = 0, changed_at = excluded.changed_at,
  next_look = CASE WHEN subject.state = 'due' AND subject.cause = 'event' AND subject.next_look < excluded.next_look
              THEN subject.next_look ELSE excluded.next_look END
"""
_COUNT = "UPDATE receipt SET duplicates = duplicates + 1 WHERE connection = ? AND external_id = ?"
_SQLITE_INSERT = f"INSERT INTO receipt ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"
_POSTGRES_INSERT = f"""
INSERT INTO receipt ({_COLUMNS})
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[],
                     %s::text[], %s::text[], %s::text[], %s::bytea[])
ON CONFLICT DO NOTHING RETURNING connection, external_id
"""
_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}


def insert(conn: Connection, rows: Sequence[NewReceipt], settle_s: float) -> list[bool]:
    """For each row whether it is new. Repeatable: what is there already is only counted."""
    dialect = conn.dialect.name
    cursor = conn.connection.cursor()
    try:
        new = _insert_sqlite(cursor, rows) if dialect == "sqlite" else _insert_postgres(cursor, rows)
        place = "?" if dialect == "sqlite" else "%s"
        _mark(cursor, dialect, place, [row for row, is_new in zip(rows, new, strict=True) if is_new], settle_s)
        seen = [(row.connection, row.external_id) for row, is_new in zip(rows, new, strict=True) if not is_new]
        if seen:
            cursor.executemany(_COUNT.replace("?", place), sorted(seen))
    finally:
        cursor.close()
    return new


def _values(row: NewReceipt) -> tuple[object, ...]:
    return (
        row.connection,
        row.external_id,
        row.type,
        row.subject,
        row.received_at,
        row.occurred_at,
        row.outcome,
        row.reason,
        row.headers,
        row.body,
    )


def _insert_sqlite(cursor: Any, rows: Sequence[NewReceipt]) -> list[bool]:  # noqa: ANN401  (a DBAPI cursor)
    return [cursor.execute(_SQLITE_INSERT, _values(row)).rowcount == 1 for row in rows]


def _insert_postgres(cursor: Any, rows: Sequence[NewReceipt]) -> list[bool]:  # noqa: ANN401
    columns = [list(column) for column in zip(*map(_values, sorted(rows, key=_key)), strict=True)]
    fresh = set(cursor.execute(_POSTGRES_INSERT, columns).fetchall())
    new = []
    for row in rows:
        new.append(_key(row) in fresh)
        fresh.discard(_key(row))  # the second of two equal rows in one batch is a duplicate
    return new


def _key(row: NewReceipt) -> tuple[str, str]:
    return row.connection, row.external_id


def _mark(cursor: Any, dialect: str, place: str, rows: Sequence[NewReceipt], settle_s: float) -> None:  # noqa: ANN401
    marks = {row.subject: row for row in rows if row.subject and row.outcome == "accepted"}
    if not marks:
        return
    (now,) = cursor.execute(f"SELECT {_NOW[dialect]}").fetchone()
    values = [(ref, row.connection, row.kind, now + settle_s, now, now) for ref, row in sorted(marks.items())]
    cursor.executemany(_MARK.replace("?", place), values)
