"""Works due subjects in batches: lease, look in a pool of threads, end the looks together.

Suspects (their last worker died) run first and alone, each in a child process that does nothing else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import structlog
from sqlalchemy import Connection

from hub import lifecycle, limits
from hub.bell import Bell
from hub.domain import Ref
from hub.errors import HubError, Unavailable
from hub.failpoint import failpoint
from hub.leases import LeaseBook
from hub.lifecycle import CRASHES, after_look, crashed_too_often
from hub.reconcile import Shop, briefs, failed_by, reconcile
from hub.store import subjects
from hub.store.records import Brief
from hub.store.subjects import Ended, Lease, Leased

log = structlog.get_logger()
BATCH = 64
LINGER_S = 1.5  # what is due so soon is waited for: a settle is over before a new job would be here
REFILL = 16  # fewer are not worth a transaction and four questions
AHEAD = 32  # leased beyond what the threads hold, so that none waits for the next lease
FLUSH_S = 0.005
GLANCE_S = 0.05  # so often a worker whose looks are slow sees whether something else is due
SOLO_S = 10.0


def drain(shop: Shop, bell: Bell, threads: int, *, stop: Callable[[], bool] = limits.stopping.is_set) -> int:
    """Works what is due, and what is due in a moment, for at most `timing.drain` seconds; how many looks it took.

    Safe to run in any number of processes at once; ends early when `stop()` says so.
    """
    end = time.monotonic() + shop.timing.drain
    bell.answer()
    done = _run_suspects(shop, stop)
    with LeaseBook(shop.store, shop.timing.lease) as book, ThreadPoolExecutor(threads, "look") as pool:
        worker = _Worker(shop, book, pool, bell, threads, stop)
        while True:
            over = stop() or time.monotonic() > end
            taken = 0 if over else worker.refill()
            done += taken
            if worker.at_work:
                worker.reap()
            elif over or (not taken and not _linger(shop, end, stop)):
                break
    if time.monotonic() > end:
        bell.ring()
    return done


def _linger(shop: Shop, end: float, stop: Callable[[], bool]) -> bool:
    """Waits for what is due within a moment; False where nothing is."""
    with shop.store.read() as conn:
        wait = subjects.next_due(conn, left_alone(shop, conn))
    if wait is None or wait > LINGER_S or time.monotonic() + wait > end or stop():
        return False
    time.sleep(min(max(wait, 0.01), LINGER_S))
    return True


def left_alone(shop: Shop, conn: Connection) -> set[str]:
    """Connections whose due subjects wait, because a vendor that they need keeps failing."""
    return _waiting(shop, limits.failing(conn))


def _waiting(shop: Shop, failing: Mapping[str, bool]) -> set[str]:
    away = {name for name, may_try in failing.items() if not may_try}
    licensing = {name for name, one in shop.connectors.items() if one.licensing}
    return set(shop.connectors) if away & licensing else away


class _Worker:
    """Looks side by side under one holder name; whenever some have ended, others are leased, BATCH at most."""

    def __init__(
        self, shop: Shop, book: LeaseBook, pool: ThreadPoolExecutor, bell: Bell, threads: int, stop: Callable[[], bool]
    ) -> None:
        self._shop, self._book, self._pool, self._bell = shop, book, pool, bell
        self._threads, self._stop = threads, stop
        self._ended: SimpleQueue[tuple[str, Ended | None]] = SimpleQueue()
        self._at_work: Counter[str] = Counter()  # by connection

    @property
    def at_work(self) -> int:
        """How many looks are going on."""
        return self._at_work.total()

    def refill(self) -> int:
        """Begins what is due, where there is room for enough of it; how many looks."""
        room = min(BATCH, self._threads + AHEAD - self.at_work)
        if room < REFILL:
            return 0
        self._bell.answer()
        batch = self._lease(room)
        if len(batch) == room:
            self._bell.ring()  # there may be more: others may join
        told = briefs(self._shop, batch) if batch else {}
        self._at_work.update(leased.ref.source for leased in batch)
        for leased in batch:
            self._begin(leased, told.get(leased.ref))
        return len(batch)

    def _begin(self, leased: Leased, brief: Brief | None) -> None:
        """In a thread; where none is to be had, the subject goes back as it was."""
        try:
            self._pool.submit(self._look, leased, brief)
        except RuntimeError as error:
            log.warning("look.not_begun", subject=str(leased.ref), error=str(error))
            self._ended.put((leased.ref.source, Ended(leased, leased.row)))

    def reap(self) -> None:
        """Ends what has ended by now, together, so that ends share commits. Waits a moment where nothing has."""
        ends = _collect(self._ended, self.at_work)
        self._at_work.subtract(source for source, _ in ends)
        self._end([one for _, one in ends if one is not None])

    def _lease(self, room: int) -> list[Leased]:
        began = time.monotonic()
        holder, ttl = self._book.holder, self._book.ttl_s
        shares = self._shares()

        def unit(conn: Connection) -> list[Leased]:
            failing = limits.failing(conn)
            most = 1 if any(failing.values()) else room  # one look is enough to try a vendor
            return subjects.lease_due(conn, holder, ttl, most, without=_waiting(self._shop, failing), room=shares)

        try:
            leased = self._shop.store.write(unit)
        except Unavailable as error:  # what is at work still ends
            log.warning("drain.record_away", error=str(error))
            return []
        self._book.keep([one.lease for one in leased], began)
        return leased

    def _shares(self) -> dict[str, int] | None:
        """How many looks each selling connection may begin, where there are several: slow ones must not take all."""
        selling = [name for name, one in self._shop.connectors.items() if one.purchases]
        share = max(1, self._threads // len(selling)) if selling else 0
        return {name: max(0, share - self._at_work[name]) for name in selling} if len(selling) > 1 else None

    def _look(self, leased: Leased, brief: Brief | None) -> None:
        end = None
        try:
            # On a stop what has not begun goes back as it was.
            end = Ended(leased, leased.row) if self._stop() else look_at(self._shop, self._book, leased, brief)
        except Exception as error:
            log.exception("look.failed", subject=str(leased.ref))
            end = _failed(self._shop, leased, error)
        finally:
            self._ended.put((leased.ref.source, end))

    def _end(self, ended: list[Ended]) -> None:
        failpoint("finish.before")
        if ended:
            end_looks(self._shop, self._book, ended)
        failpoint("finish.after")


def look_at(shop: Shop, book: LeaseBook, leased: Leased, brief: Brief | None = None) -> Ended | None:
    """One look, and what the subject's row becomes by it; None where the lease was lost."""
    came_to = reconcile(shop, book, leased, brief)
    result = came_to.result
    if result is None:
        _let_go(shop, book, leased, came_to.further)
        return None
    row = after_look(leased.row, result, leased.at, leased.now(), shop.timing)
    name = type(result).__name__.lower()
    log.info("look.ended", subject=str(leased.ref), result=name, cause=leased.row["cause"], tries=row["tries"])
    return Ended(leased, row, came_to.further, came_to.along)


def _let_go(shop: Shop, book: LeaseBook, leased: Leased, further: tuple[Lease, ...]) -> None:
    """Frees the leases of a look that lost one: those that are still ours."""
    held = (leased.lease, *further)
    try:
        for lease in further:
            shop.store.write(lambda conn, lease=lease: subjects.release(conn, lease))  # type: ignore[misc]
    except Unavailable as error:
        log.warning("look.not_ended", count=1, error=str(error))
    book.forget(held)


def end_looks(shop: Shop, book: LeaseBook, ended: list[Ended]) -> None:
    """Writes the ends and frees the leases. A record that is down leaves them to their end."""
    try:
        _write_ends(shop, ended)
    except Exception:  # what one of them leaves can't be written: it must not stop the others
        log.exception("look.ends_apart", count=len(ended))
        for one in ended:
            _end_alone(shop, one)
    book.forget([lease for one in ended for lease in one.leases])


def _write_ends(shop: Shop, ended: list[Ended]) -> None:
    try:
        shop.store.write(lambda conn: subjects.finish(conn, ended))
    except Unavailable as error:
        log.warning("look.not_ended", count=len(ended), error=str(error))


def _end_alone(shop: Shop, one: Ended) -> None:
    """Ends one look; where what it leaves can't be written, it has failed, which is written instead."""
    try:
        _write_ends(shop, [one])
    except Exception as error:
        log.exception("look.failed", subject=str(one.leased.ref))
        _write_ends(shop, [_failed(shop, one.leased, error, one.also)])


def _failed(shop: Shop, leased: Leased, error: Exception, also: tuple[Lease, ...] = ()) -> Ended:
    return Ended(leased, after_look(leased.row, failed_by(error), leased.at, leased.now(), shop.timing), also)


def look_now(shop: Shop, ref: Ref) -> lifecycle.Result | None:
    """Looks at one subject in this thread, due or not; None where somebody else is at it."""
    with LeaseBook(shop.store, shop.timing.lease) as book:
        began = time.monotonic()
        leased = shop.store.write(lambda conn: subjects.lease_one(conn, ref, book.holder, book.ttl_s))
        if leased is None:
            return None
        book.keep([leased.lease], began)
        came_to = reconcile(shop, book, leased)
        result = came_to.result
        if result is not None:
            row = after_look(leased.row, result, leased.at, leased.now(), shop.timing)
            kept = leased.row if shop.observe else row  # a dry run leaves everything as it was
            end_looks(shop, book, [Ended(leased, kept, came_to.further, came_to.along)])
        else:
            _let_go(shop, book, leased, came_to.further)
        return result


def _collect(ended: SimpleQueue[tuple[str, Ended | None]], most: int) -> list[tuple[str, Ended | None]]:
    """What has ended by now, waiting a moment for more so that they share a commit."""
    ends: list[tuple[str, Ended | None]] = []
    until = time.monotonic() + GLANCE_S
    while len(ends) < most:
        try:
            ends.append(ended.get(timeout=max(0.0, until - time.monotonic())))
        except Empty:
            break
        until = min(until, time.monotonic() + FLUSH_S)
    return ends


# -- suspects


def _run_suspects(shop: Shop, stop: Callable[[], bool]) -> int:
    """Each suspect alone in a child process. Forks, so it runs before this process has threads."""
    end, done = time.monotonic() + SOLO_S, 0
    with shop.store.read() as conn:
        suspects = subjects.suspects(conn, BATCH)
    for ref in suspects:
        if stop() or time.monotonic() > end:
            break
        _in_child(shop, lambda ref=ref: run_solo(shop, ref))  # type: ignore[misc]
        done += 1
    return done


def run_solo(shop: Shop, ref: Ref) -> None:
    """Looks at one suspect. Its lease counts a crash until it is released."""
    with LeaseBook(shop.store, shop.timing.lease) as book:
        began = time.monotonic()
        leased = shop.store.write(lambda conn: subjects.lease_solo(conn, ref, book.holder, book.ttl_s))
        if leased is None:
            return
        book.keep([leased.lease], began)
        log.warning("look.solo", subject=str(ref), crashes=leased.row["crashes"])
        if leased.row["crashes"] >= CRASHES:
            end_looks(shop, book, [Ended(leased, crashed_too_often(leased.row))])
        elif ended := look_at(shop, book, leased):
            end_looks(shop, book, [ended])


def _drop_inherited(shop: Shop) -> None:
    """Closes this process's copies of the parent's connections: two readers of one socket would take turns."""
    for connector in shop.connectors.values():
        for part in (connector.purchases, connector.licensing):
            if part is not None:
                part.close()


def _in_child(shop: Shop, work: Callable[[], None]) -> None:
    if threading.active_count() > 1:
        log.warning("look.solo_with_threads", threads=threading.active_count())
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    code = 1
    try:
        _drop_inherited(shop)
        work()
        code = 0
    except HubError as error:
        log.warning("look.solo_failed", error=str(error))
    except BaseException:
        log.exception("look.solo_failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
