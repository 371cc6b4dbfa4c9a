"""One thread that does a process's writes, in batches that share a commit.

No timer: a batch is what queued while the last commit ran. The thread starts at the first write, so a process
that forks before it writes is safe. On SQLite every unit goes through it, under one file lock beside the
database (many processes that write as they like starve each other: docs/adr/0002). On PostgreSQL only receipts do.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError

from hub.errors import Unavailable
from hub.store import inbox
from hub.store.inbox import NewReceipt

T = TypeVar("T")
BATCH = 256
YIELD_S = 0.001


class Job(Generic[T]):
    """A unit waiting for its commit. A bare lock is the cheapest thing to wait on.

    `told` is called from the writing thread once a batch with this job is over, once for all jobs that share it.
    """

    __slots__ = ("_done", "error", "receipt", "told", "unit", "value")

    def __init__(
        self,
        unit: Callable[[Connection], T] | None,
        receipt: NewReceipt | None = None,
        told: Callable[[], object] | None = None,
    ) -> None:
        self.unit, self.receipt, self.told = unit, receipt, told
        self.value: T | None = None
        self.error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def wait(self, timeout_s: float) -> T:
        """The unit's value once committed, or its exception; Unavailable when it takes too long."""
        if not self._done.acquire(timeout=timeout_s):
            raise Unavailable("the record did not commit in time")
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # set before the lock is released

    @property
    def ended(self) -> bool:
        """Whether there is a value or an error."""
        return not self._done.locked()

    def finish(self) -> None:
        """Lets the waiter go on."""
        self._done.release()


class Writer:
    """The writing thread of one process."""

    def __init__(self, engine: Engine, lock_file: Path | None, settle_s: float) -> None:
        self._engine, self._settle_s = engine, settle_s
        self._lock_file = lock_file
        self._lock_fd: int | None = None
        self._conn: Connection | None = None
        self._queue: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="record-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> Job[T]:
        """Queues `job`; wait on it."""
        self._queue.put(job)  # type: ignore[arg-type]  # a queue of jobs of any value
        return job

    def close(self) -> None:
        """Finishes what is queued, then ends the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, ended = self._collect(first)
            self._commit(batch)
            if ended:
                break
            if self._lock_file is not None:
                time.sleep(YIELD_S)
        self._hang_up()

    def _collect(self, first: Job[object]) -> tuple[list[Job[object]], bool]:
        batch = [first]
        try:
            while len(batch) < BATCH:
                job = self._queue.get_nowait()
                if job is None:
                    return batch, True
                batch.append(job)
        except Empty:
            pass
        return batch, False

    def _commit(self, batch: list[Job[object]]) -> None:
        try:
            with self._alone():
                self._work_and_commit(batch)
        except BaseException as error:  # noqa: BLE001  (told to each waiter, none is left hanging)
            self._hang_up()
            for job in batch:
                job.error = unavailable(error, self._engine.dialect)
        for job in batch:
            job.finish()
        for told in {job.told for job in batch if job.told is not None}:
            told()

    def _work_and_commit(self, batch: list[Job[object]]) -> None:
        """On a server's connection that has gone away meanwhile: once more on a new one. A unit may run twice."""
        if self._lock_file is None and any(job.unit for job in batch):
            with self._engine.connect() as conn:
                self._work(conn, batch)
            return
        had_one = self._conn is not None
        try:
            self._work(self._connection(), batch)
        except DBAPIError as error:
            if self._lock_file is not None or not had_one or not _passing(error):
                raise
            self._hang_up()
            self._work(self._connection(), batch)

    def _connection(self) -> Connection:
        """Kept: opening, asking whether it lives, and giving it back cost more than a batch's own work."""
        if self._conn is None:
            conn = self._engine.connect()
            # On PostgreSQL a batch is one statement, which needs no BEGIN and COMMIT of its own.
            self._conn = conn if self._lock_file else conn.execution_options(isolation_level="AUTOCOMMIT")
        return self._conn

    def _hang_up(self) -> None:
        """The next batch gets a new connection."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(DBAPIError):
                conn.invalidate()
            conn.close()

    def _work(self, conn: Connection, batch: list[Job[object]]) -> None:
        with conn.begin():
            self._begin(conn)
            receipts = [job for job in batch if job.receipt is not None]
            if receipts:
                self._insert(conn, receipts)
            for job in batch:
                if job.unit is not None:
                    _attempt(conn, job, job.unit)

    def _begin(self, conn: Connection) -> None:
        if self._lock_file is not None:
            conn.exec_driver_sql("BEGIN IMMEDIATE")

    def _insert(self, conn: Connection, jobs: list[Job[object]]) -> None:
        """All in one go; where that fails, each alone, so that one bad row fails alone."""
        try:
            self._insert_all(conn, jobs)
        except DBAPIError as error:
            if _passing(error):
                raise
            self._start_over(conn)
            for job in jobs:
                self._insert_alone(conn, job)

    def _insert_all(self, conn: Connection, jobs: list[Job[object]]) -> object:
        rows = [job.receipt for job in jobs if job.receipt is not None]
        for job, new in zip(jobs, inbox.insert(conn, rows, self._settle_s), strict=True):
            job.value = new
        return jobs[0].value

    def _insert_alone(self, conn: Connection, job: Job[object]) -> None:
        if self._lock_file is not None:
            _attempt(conn, job, lambda c: self._insert_all(c, [job]))
            return
        try:
            self._insert_all(conn, [job])
        except DBAPIError as error:
            job.error = unavailable(error, conn.dialect)

    def _start_over(self, conn: Connection) -> None:
        """Undoes what a failed batch has done. On PostgreSQL a statement that fails has done nothing."""
        if self._lock_file is not None:
            conn.exec_driver_sql("ROLLBACK")
            self._begin(conn)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock_file is None:
            yield
            return
        if self._lock_fd is None:
            self._lock_fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)


def _attempt(conn: Connection, job: Job[object], unit: Callable[[Connection], object]) -> None:
    """The unit alone in a savepoint; by the driver, for SQLAlchemy takes longer for one than the unit does."""
    driver = conn.connection.cursor()
    driver.execute("SAVEPOINT unit")
    try:
        job.value = unit(conn)
    except BaseException as error:  # noqa: BLE001  (told to the waiter)
        job.error = unavailable(error, conn.dialect)
        driver.execute("ROLLBACK TO unit")
    driver.execute("RELEASE unit")
    driver.close()


def unavailable(error: BaseException, dialect: Dialect) -> BaseException:
    """A database that can't write now, as Unavailable; anything else as it is.

    The driver's own errors count too, for a unit may go past SQLAlchemy. They are asked of the dialect, so that
    nobody loads a driver of a database that is not in use.
    """
    if isinstance(error, OSError) or (isinstance(error, database_errors(dialect)) and _passing(error)):
        wrapped = Unavailable(f"the record can't be written now ({type(error).__name__})")
        wrapped.__cause__ = error
        return wrapped
    return error


def database_errors(dialect: Dialect) -> tuple[type[Exception], ...]:
    """What a database's refusal is raised as: SQLAlchemy's and its driver's own."""
    return (DBAPIError, dialect.loaded_dbapi.Error)


def _passing(error: BaseException) -> bool:
    """Drivers have kinds of their own below these: a deadlock, a lock not granted, a server that shuts down."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"OperationalError", "InterfaceError", "InternalError"})
