"""The inbox insert, past SQLAlchemy: the hottest statement of the hub, one for a whole batch.

A new receipt marks its subject due in the same commit; one seen before only counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
_MARK_COLUMNS = "ref, connection, kind, state, cause, reason, next_look, priority, marks, created_at, changed_at"
_MARK_INTO = f"INSERT INTO subject ({_MARK_COLUMNS})"
_MARK_AGAIN = """
ON CONFLICT (ref) DO UPDATE SET state = 'due', cause = 'event', reason = excluded.reason, marks = subject.marks + 1,
  priority = 0, changed_at = excluded.changed_at,
  next_look = CASE WHEN subject.state = 'due' AND subject.cause = 'event' AND subject.next_look < excluded.next_look
              THEN subject.next_look ELSE excluded.next_look END
"""
_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
_ROW = "(?,?,?,?,?,?,?,?,?,?)"
_MARK_ROW = f"(?, ?, ?, 'due', 'event', 'an event came in', {_NOW} + ?, 0, 1, {_NOW}, {_NOW})"
_COUNT = "UPDATE receipt SET duplicates = duplicates + 1 WHERE connection = ? AND external_id = ?"
_NEWEST = "SELECT connection, external_id FROM receipt WHERE id > ?"
# One statement, and so one round trip and one commit: what is new is kept and its subjects are marked due.
_POSTGRES = f"""
WITH fresh AS (
  INSERT INTO receipt ({_COLUMNS})
  SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[],
                       %s::text[], %s::text[], %s::text[], %b::bytea[])
  ON CONFLICT DO NOTHING RETURNING connection, external_id, subject, outcome
), due AS (
  SELECT DISTINCT subject, connection FROM fresh WHERE outcome = 'accepted' AND subject IS NOT NULL
), clock AS (
  SELECT extract(epoch from clock_timestamp())::float8 AS now
), marked AS (
  {_MARK_INTO}
  SELECT subject, connection, split_part(subject, '/', 2), 'due', 'event', 'an event came in', now + %s, 0, 1, now, now
  FROM due, clock ORDER BY subject
  {_MARK_AGAIN}
)
SELECT connection, external_id FROM fresh
"""


def insert(conn: Connection, rows: Sequence[NewReceipt], settle_s: float) -> list[bool]:
    """For each row whether it is new. Repeatable: what is there already is only counted."""
    sqlite = conn.dialect.name == "sqlite"
    new = (_insert_sqlite if sqlite else _insert_postgres)(conn, rows, settle_s)
    seen = [(row.connection, row.external_id) for row, is_new in zip(rows, new, strict=True) if not is_new]
    if seen:
        conn.exec_driver_sql(_COUNT if sqlite else _COUNT.replace("?", "%s"), sorted(seen))
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


def _insert_sqlite(conn: Connection, rows: Sequence[NewReceipt], settle_s: float) -> list[bool]:
    """All rows in one statement: each statement gives the GIL away, and getting it back is what takes long."""
    sql = f"INSERT INTO receipt ({_COLUMNS}) VALUES {_many(_ROW, len(rows))} ON CONFLICT DO NOTHING"
    newest = conn.exec_driver_sql("SELECT coalesce(max(id), 0) FROM receipt").scalar_one()
    done = conn.exec_driver_sql(sql, tuple(value for row in rows for value in _values(row)))
    new = [True] * len(rows) if done.rowcount == len(rows) else _which(rows, _after(conn, newest))
    _mark_sqlite(conn, [row for row, is_new in zip(rows, new, strict=True) if is_new], settle_s)
    return new


def _after(conn: Connection, newest: int) -> set[tuple[str, str]]:
    """What has been put in since; nobody else writes meanwhile."""
    return {(row[0], row[1]) for row in conn.exec_driver_sql(_NEWEST, (newest,))}


def _mark_sqlite(conn: Connection, rows: Sequence[NewReceipt], settle_s: float) -> None:
    marks = {row.subject: row for row in rows if row.subject and row.outcome == "accepted"}
    if marks:
        values = tuple(value for ref, row in marks.items() for value in (ref, row.connection, row.kind, settle_s))
        conn.exec_driver_sql(f"{_MARK_INTO} VALUES {_many(_MARK_ROW, len(marks))} {_MARK_AGAIN}", values)


def _insert_postgres(conn: Connection, rows: Sequence[NewReceipt], settle_s: float) -> list[bool]:
    columns = [list(column) for column in zip(*map(_values, sorted(rows, key=_key)), strict=True)]
    return _which(rows, {(row[0], row[1]) for row in conn.exec_driver_sql(_POSTGRES, (*columns, settle_s))})


def _which(rows: Sequence[NewReceipt], fresh: set[tuple[str, str]]) -> list[bool]:
    new = []
    for row in rows:
        new.append(_key(row) in fresh)
        fresh.discard(_key(row))  # the second of two equal rows in one batch is a duplicate
    return new


@lru_cache(maxsize=512)
def _many(row: str, count: int) -> str:
    return ", ".join([row] * count)


def _key(row: NewReceipt) -> tuple[str, str]:
    return row.connection, row.external_id
