"""The record: one database, read and written the same way on SQLite and PostgreSQL.

`write(unit)` gives the unit's value after COMMIT. A unit makes no outside call and may run twice.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DisconnectionError

from hub.errors import ConfigurationError, Unavailable
from hub.store.inbox import NewReceipt
from hub.store.writer import Job, Writer, database_errors, unavailable

T = TypeVar("T")
DEADLOCK_TRIES = 3
IDLE_S = 1.0  # a connection that was used just now need not be asked whether it lives


class Store:
    """A handle on the record, usable from every thread, and after a fork (it reconnects)."""

    def __init__(self, url: str, *, settle_s: float = 1.0) -> None:
        self.url = make_url(_driver(url))
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._settle_s = settle_s
        self._pid = 0
        self._engine: Engine | None = None
        self._reader: Engine | None = None
        self._writer: Writer | None = None
        self._starting = threading.Lock()

    @property
    def engine(self) -> Engine:
        """This process's engine."""
        self._after_fork()
        if self._engine is None:
            self._engine = _sqlite_engine(self.url) if self.sqlite else _postgres_engine(self.url, size=3)
        return self._engine

    @property
    def reader(self) -> Engine:
        """This process's engine to read with. On PostgreSQL its sessions are read-only and without transactions.

        READ COMMITTED would give no one state of the record either, and BEGIN and ROLLBACK are two ways for nothing.
        """
        if self.sqlite:
            return self.engine
        self._after_fork()
        if self._reader is None:
            engine = _postgres_engine(self.url, size=2, options="-c default_transaction_read_only=on")
            self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        return self._reader

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with; nothing that it does is kept."""
        try:
            with self.reader.connect() as conn:
                if self.sqlite:
                    conn.exec_driver_sql("BEGIN")  # one state of the record, and leaving rolls back
                yield conn
        except database_errors(self.reader.dialect) as error:
            raise unavailable(error, self.reader.dialect) from error

    def write(self, unit: Callable[[Connection], T], *, timeout_s: float = 30) -> T:
        """What `unit(conn)` returns, after COMMIT; its exception after ROLLBACK. Unavailable: database down."""
        if self.sqlite:
            return self._the_writer().submit(Job(unit)).wait(timeout_s)
        for tries_left in reversed(range(DEADLOCK_TRIES)):
            try:
                with self.engine.begin() as conn:
                    return unit(conn)
            except database_errors(self.engine.dialect) as error:
                if not (tries_left and _deadlock(error)):
                    raise unavailable(error, self.engine.dialect) from error
        raise Unavailable("the record could not be written")  # unreachable, for the type checker

    def record(self, receipt: NewReceipt, *, timeout_s: float = 30) -> bool:
        """Commits a receipt and its subject's mark; False where it was there before. Repeatable."""
        return self.begin_record(receipt).wait(timeout_s)

    def begin_record(self, receipt: NewReceipt, told: Callable[[], object] | None = None) -> Job[bool]:
        """As `record`, begun: the job to wait on. `told` is called when it has ended (see Job)."""
        return self._the_writer().submit(Job(None, receipt, told))

    def close(self) -> None:
        """Finishes queued writes and closes connections."""
        if self._pid == os.getpid():
            if self._writer:
                self._writer.close()
            for engine in (self._engine, self._reader):
                if engine:
                    engine.dispose()
        self._writer = self._engine = self._reader = None

    def _the_writer(self) -> Writer:
        self._after_fork()
        if self._writer is None:
            with self._starting:  # else each of many first callers would start one
                if self._writer is None:
                    lock = Path(f"{self.url.database}.lock") if self.sqlite else None
                    self._writer = Writer(self.engine, lock, self._settle_s)
        return self._writer

    def _after_fork(self) -> None:
        if self._pid == os.getpid():
            return
        for engine in (self._engine, self._reader):
            if engine is not None:
                engine.dispose(close=False)  # the connections are the parent's
        self._engine, self._reader, self._writer, self._starting = None, None, None, threading.Lock()
        self._pid = os.getpid()


def wait_until_up(store: Store, seconds: float) -> None:
    """Returns once the database answers; Unavailable after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            with store.read() as conn:
                conn.execute(text("SELECT 1"))
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _driver(url: str) -> str:
    for short in ("postgresql://", "postgres://"):
        if url.startswith(short):
            return "postgresql+psycopg://" + url.removeprefix(short)
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        kind = url.split("://", 1)[0]
        raise ConfigurationError(
            f"{kind!r} databases are not supported",
            where="HUB_DATABASE_URL",
            mend="use sqlite:///path/to/hub.sqlite or postgresql://user@host/name",
        )
    return url


def _sqlite_engine(url: Any) -> Engine:  # noqa: ANN401  (a SQLAlchemy URL)
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"there is no place for the record at {url.database}: {error.strerror}") from error
    engine = create_engine(url, pool_size=16, max_overflow=64, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _set_up(dbapi: Any, _record: object) -> None:  # noqa: ANN401
        dbapi.isolation_level = None  # we say BEGIN IMMEDIATE ourselves
        for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            dbapi.execute(f"PRAGMA {pragma}").close()

    return engine


def _postgres_engine(url: Any, *, size: int, options: str = "") -> Engine:  # noqa: ANN401
    limits = "-c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=15000"
    connect_args = {"connect_timeout": 3, "options": f"{limits} {options}"}
    engine = create_engine(url, pool_size=size, max_overflow=0, pool_timeout=10, connect_args=connect_args)

    @event.listens_for(engine, "checkin")
    def _note_use(_dbapi: object, record: Any) -> None:  # noqa: ANN401
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask_whether_it_lives(dbapi: Any, record: Any, _proxy: object) -> None:  # noqa: ANN401
        if time.monotonic() - record.info.get("used", math.inf) > IDLE_S:
            try:
                engine.dialect.do_ping(dbapi)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool opens another one

    return engine


def _deadlock(error: Exception) -> bool:
    return getattr(getattr(error, "orig", error), "sqlstate", None) in {"40P01", "40001"}
