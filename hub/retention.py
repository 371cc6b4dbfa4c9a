"""What is old goes: once a day, table by table, in small batches between which everybody else writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, select

from hub.settings import Retention
from hub.store import Store, prune, records, subjects
from hub.store.prune import Batch, Step
from hub.store.schema import cursor

log = structlog.get_logger()
DAY_S = 86400.0
BATCH, PAUSE_S = 500, 0.02
NAME = "retention:"
GOES_ON = {"receipt"}  # what it leaves for later it marks; of the others the newest may be a former one tomorrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How far pruning of a table has come: what is older than `until` is gone, `rows` of it ever; last so at `at`.

    after: up to which id, where it need not begin anew.
    """

    table: str
    until: float
    rows: int
    at: float
    after: int = 0


def prune_all(
    store: Store,
    retention: Retention,
    must_be_read: Collection[str],
    stop: Callable[[], bool] = lambda: False,
    *,
    most: int = BATCH,
) -> dict[str, int]:
    """Prunes each table that was not for a day; rows by table. Repeatable; where it breaks off it goes on anew.

    must_be_read: connections without an API key, whose looks read bodies. most: rows of a batch.
    """
    done: dict[str, int] = {}
    for table, days, batch in _tables(retention, must_be_read):
        if days and _is_due(store, table):
            done[table] = _prune(store, table, days, batch, stop, most)
            log.info("prune.done", table=table, rows=done[table])
    return done


def progress(conn: Connection) -> list[Pruned]:
    """How far pruning of each table has come; nothing of those that were never pruned."""
    rows = conn.execute(select(cursor).where(cursor.c.name.startswith(NAME, autoescape=True)).order_by(cursor.c.name))
    return [Pruned(table=row.name.removeprefix(NAME), at=row.at, **json.loads(row.value)) for row in rows]


def reaches_back(conn: Connection, table: str) -> float | None:
    """From when on a table tells all, in epoch seconds; None: from its beginning."""
    return next((one.until for one in progress(conn) if one.table == table), None)


def _tables(retention: Retention, must_be_read: Collection[str]) -> Iterator[tuple[str, int, Batch]]:
    yield "receipt", retention.bodies_days, prune.receipts(must_be_read)
    yield "observation", retention.observations_days, prune.observations
    yield "change", retention.changes_days, prune.changes
    yield "audit", retention.audit_days, prune.audits
    yield "delivery", retention.attempts_days, prune.deliveries
    yield "attempt", retention.attempts_days, prune.attempts
    yield "guard_spend", 1, prune.spends
    yield "api_call", 1, prune.api_calls


def _is_due(store: Store, table: str) -> bool:
    with store.read() as conn:
        last = records.get_cursor(conn, NAME + table)
        return last is None or subjects.now(conn) - last[1] >= DAY_S


def _prune(store: Store, table: str, days: int, batch: Batch, stop: Callable[[], bool], most: int) -> int:
    with store.read() as conn:
        before = subjects.now(conn) - days * DAY_S
        last = next((one for one in progress(conn) if one.table == table), None)
    step = Step(rows=0, after=last.after if last else 0, more=True)
    rows = 0
    while step.more and not stop():
        after = step.after
        step = store.write(lambda conn, after=after: batch(conn, before, after, most))  # type: ignore[misc]
        rows += step.rows
        time.sleep(PAUSE_S if step.more else 0)
    if not step.more:
        after = step.after if table in GOES_ON else 0
        said = json.dumps({"until": before, "rows": rows + (last.rows if last else 0), "after": after})
        store.write(lambda conn: records.set_cursor(conn, NAME + table, said))
    return rows
