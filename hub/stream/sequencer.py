"""Puts facts into the stream and gives committed rows their position and link, in one process at a time.

Any number of clocks may run it: a lease says whose turn it is, its fence is checked in every write, and the row of
each sequence is locked while positions are given, so that none is given twice and none is left out. A row that
commits late gets a later position; it never hides behind a reader's cursor.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from sqlalchemy import Connection, Row

from hub.domain import Envelope
from hub.errors import HubError, LeaseLost
from hub.leases import LeaseBook
from hub.ports import Connector
from hub.store import Store, records, stream, subjects
from hub.store.subjects import Lease
from hub.stream import facts, reminders
from hub.stream.events import Message

log = structlog.get_logger()
KEY = "sequencer"
LEASE_S = 10.0  # what a clock that was killed may hold the stream up
IDLE_S = 0.3
CHORES_S = 10.0
PAUSE_S = 1.0
Untold: TypeAlias = tuple[Row[Any], str]  # a receipt that can't be read again, and why


def run(
    store: Store,
    connectors: Mapping[str, Connector],
    stop: threading.Event,
    placed: Callable[[], object] = lambda: None,
    *,
    lease_s: float = LEASE_S,
) -> None:
    """Sequences until `stop`; waits while another process does. Lets the lease go at the end.

    `placed` is called whenever something has got its place.
    """
    with LeaseBook(store, lease_s) as book:
        lease: Lease | None = None
        pause, chores = 0.0, _Chores()
        while not stop.wait(pause):
            try:
                lease = lease or book.take(KEY)
                pause = PAUSE_S if lease is None else _turn(store, connectors, lease, chores, placed)
            except LeaseLost:
                lease = None
            except HubError as error:
                log.warning("sequencer.failed", error=str(error))
                pause = PAUSE_S
            except Exception:  # a bug must not end the stream for good
                log.exception("sequencer.failed")
                pause = PAUSE_S
        if lease is not None:
            with suppress(HubError):  # else it ends by itself
                store.write(lambda conn: subjects.release(conn, lease))


class _Chores:
    """What is done now and then by whoever sequences."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self, store: Store, lease: Lease) -> None:
        """Tells reminders, and ends what was begun and never ended."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHORES_S
        reminders.remind(store, lease)
        store.write(stream.end_abandoned)


def _turn(
    store: Store,
    connectors: Mapping[str, Connector],
    lease: Lease,
    chores: _Chores,
    placed: Callable[[], object],
) -> float:
    """One turn; seconds to wait before the next."""
    chores.run(store, lease)
    if not step(store, connectors, lease):
        return IDLE_S
    placed()
    return 0.0


def step(store: Store, connectors: Mapping[str, Connector], lease: Lease) -> int:
    """Takes one batch of each kind further, in one commit; how many rows. LeaseLost where it is another's turn.

    Repeatable.
    """
    with store.read() as conn:
        if not stream.waiting(conn):
            return 0
    rows, told, untold = _facts(store, connectors)

    def unit(conn: Connection) -> int:
        subjects.check(conn, lease)
        _raise_untold(conn, untold)
        if rows:
            stream.sequence_facts(conn, [row.id for row in rows], told)
        placed = stream.place_messages(conn)
        return len(rows) + placed + sum(stream.place_chained(conn, name) for name in stream.CHAINED)

    return store.write(unit)


def _facts(store: Store, connectors: Mapping[str, Connector]) -> tuple[Sequence[Row[Any]], list[Message], list[Untold]]:
    """The oldest receipts that are not sequenced, their messages, and those that can't be told."""
    senders = [name for name, one in connectors.items() if one.webhooks is not None]
    with store.read() as conn:
        rows = stream.unsequenced(conn, senders)
        known = stream.known(conn, [row.subject for row in rows if row.subject])
    return rows, *messages_of(connectors, rows, known)


def _raise_untold(conn: Connection, untold: Sequence[Untold]) -> None:
    for row, problem in untold:
        text = f"receipt {row.id} ({row.external_id}) is not told in the stream: {problem}"
        records.raise_review(conn, f"not told:{row.connection}", "not told", None, text)


def messages_of(
    connectors: Mapping[str, Connector], rows: Sequence[Row[Any]], known: Mapping[str, facts.Known]
) -> tuple[list[Message], list[Untold]]:
    """The messages of these receipts, and those that could not be read again with the reason."""
    told: list[Message] = []
    untold: list[Untold] = []
    for row in rows:
        try:
            if envelope := _envelope(connectors[row.connection], row):
                told += facts.messages(row.connection, envelope, lambda ref: known.get(ref, facts.Known()))
        except Exception as error:  # one receipt that can't be read again must not hold up the stream
            log.exception("sequencer.untold", receipt=row.id)
            untold.append((row, f"{type(error).__name__}: {error}"))
    return told, untold


def _envelope(connector: Connector, row: Row[Any]) -> Envelope | None:
    """What the receipt told, read from its body again; None where the body is gone."""
    if row.body is None or connector.webhooks is None:
        return None
    envelopes = connector.webhooks.normalise(bytes(row.body), json.loads(row.headers))
    return next((one for one in envelopes if one.external_id == row.external_id), None)
