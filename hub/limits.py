"""Request rates and access tokens that all processes share through the record.

A process takes up to one second's tokens of a connection's bucket at a time; a vendor's Retry-After and an open
breaker are a row that every process reads before it sends, GLANCE_S ago at most. The process that was asked to wait
sends nothing more at once, before the row is written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from sqlalchemy import Connection, bindparam, delete, select, update

from hub.errors import Hold, Unavailable
from hub.sealing import Seal
from hub.store import Store
from hub.store.schema import db_now, rate, token
from hub.store.subjects import insert

BURST_S = 2.0  # a full bucket holds two seconds' worth
PATIENCE_S = 5.0  # a longer hold ends the look; it comes back when the hold is over
SPARE_S = 60.0  # a token with less life than this is as good as expired
FEWEST, SHARE, WINDOW_S = 10, 0.5, 60.0  # the breaker opens at so many requests, and failures among them, in a window
LONGEST = 10  # it is open for so many times its first time at most
PROBE_S = 30.0  # longer than any one request may last
PROBE_WAIT_S = 1.0
GLANCE_S = 0.05  # so long a process trusts that nobody was asked to wait: no longer than a request is on its way
SHARED = "#"  # between a connection's name and its part, in the row that gives turns to those who take a part

_HELD = select((rate.c.hold_until - db_now()).label("left"), rate.c.broken).where(rate.c.connection == bindparam("of"))
log = structlog.get_logger()
_share: ContextVar[float] = ContextVar("share", default=1.0)
stopping = threading.Event()  # set on SIGTERM: nobody waits for tokens any more
_asking = threading.local()


@contextmanager
def asking(check: Callable[[], None]) -> Iterator[None]:
    """Within it each request of this thread calls `check` once more when its turn has come, just before it leaves.

    To wait for a turn may take long, and a process may be stopped meanwhile: its leases may have ended.
    """
    before = getattr(_asking, "check", None)
    _asking.check = check
    try:
        yield
    finally:
        _asking.check = before


@contextmanager
def sharing(part: float) -> Iterator[None]:
    """What this thread asks of any connection takes no more than this part of its rate.

    So much together with every other thread and process that takes the same part: its turns are in the record.
    """
    before = _share.set(part)
    try:
        yield
    finally:
        _share.reset(before)


class RecordLimiter:
    """ports.Limiter on the `rate` table, and the breaker of the connection (docs/adr/0010)."""

    def __init__(self, store: Store, connection: str, per_s: float, breaker_s: float = 30) -> None:
        self._store, self._connection, self._per_s, self._breaker_s = store, connection, per_s, breaker_s
        self._tokens, self._good_until = 0.0, 0.0
        self._free_until, self._told_until = 0.0, 0.0  # monotonic: what the row said; what is not in it yet
        self._lock = threading.Lock()
        self._record = Outcomes()
        self._probe = threading.local()

    def acquire(self) -> None:
        """Waits for a token. Hold: the vendor asked for more patience than we have, is broken, or we stop."""
        self._pace(_share.get())
        self._probe.mine = False
        while wait := self._held_s() or self._token_s() or self._held_s():  # a hold may come while a token is fetched
            self._sleep(wait)
        if check := getattr(_asking, "check", None):
            check()

    def _pace(self, part: float) -> None:
        """Waits until the next request of a thread that takes only a part of the rate."""
        if part < 1:
            name = f"{self._connection}{SHARED}{part}"
            self._sleep(self._store.write(lambda conn: _take_turn(conn, name, part * self._per_s)))

    def hold(self, seconds: float) -> None:
        """Nobody sends on this connection for `seconds`: this process from now, others once it is written."""
        until = time.monotonic() + seconds
        with self._lock:
            self._told_until = max(self._told_until, until)
            self._tokens = self._free_until = 0.0
        self._store.write(lambda conn: _hold(conn, self._connection, seconds))
        with self._lock:
            if self._told_until == until:
                self._told_until = self._free_until = 0.0

    def answered(self, well: bool) -> None:  # noqa: FBT001  (ports.Deps)
        """Learns how a request ended, and opens or closes the breaker where that says so. Raises nothing."""
        probe, self._probe.mine = getattr(self._probe, "mine", False), False
        with self._lock:
            broken = self._record.add(time.monotonic(), well=well) and not probe
        if not (broken or probe):
            return
        try:
            if probe and well:
                self._store.write(lambda conn: _close(conn, self._connection))
                log.info("breaker.closed", source=self._connection)
            else:
                for_s = self._store.write(lambda conn: _open(conn, self._connection, self._breaker_s))
                self._free_until = 0.0
                log.warning("breaker.open", source=self._connection, for_s=for_s)
        except Unavailable as error:
            log.warning("breaker.not_recorded", source=self._connection, error=str(error))

    def _held_s(self) -> float:
        """Seconds to wait for a hold to end, where that is worth waiting for; Hold where it is not."""
        if stopping.is_set():
            raise Hold("the process is stopping", retry_after=0)
        asked_at = time.monotonic()
        if (told_s := self._told_until - asked_at) > 0:
            return self._worth_waiting(told_s)
        if asked_at < self._free_until:
            return 0.0
        with self._store.read() as conn:
            row = conn.execute(_HELD, {"of": self._connection}).first()
        if row is None or (row.left <= 0 and not row.broken):
            self._free_until = asked_at + GLANCE_S
            return 0.0
        if row.left <= 0:
            self._claim_probe()
            return 0.0
        if row.broken:
            raise Hold(f"{self._connection} keeps failing: tried again in {row.left:.0f} s", retry_after=row.left)
        return self._worth_waiting(row.left)

    def _worth_waiting(self, left_s: float) -> float:
        if left_s > PATIENCE_S:
            raise Hold(f"{self._connection} asked to wait {left_s:.0f} s", retry_after=left_s)
        return left_s

    def _claim_probe(self) -> None:
        """One request may try whether the vendor works again; Hold for everybody else."""
        if self._probe.mine:
            return
        if not self._store.write(lambda conn: _take_probe(conn, self._connection)):
            raise Hold(f"{self._connection} kept failing: one request tries it now", retry_after=PROBE_WAIT_S)
        self._probe.mine = True

    def _token_s(self) -> float:
        """Takes a token: 0; else the seconds after which there may be one."""
        with self._lock:
            if time.monotonic() >= self._good_until:
                self._tokens = 0.0
            if self._tokens < 1:
                self._tokens = float(self._store.write(lambda conn: _take(conn, self._connection, self._per_s)))
                self._good_until = time.monotonic() + 1
            if self._tokens < 1:
                return 1 / self._per_s
            self._tokens -= 1
            return 0.0

    def _sleep(self, seconds: float) -> None:
        if stopping.wait(seconds):
            raise Hold("the process is stopping", retry_after=0)


class Outcomes:
    """How a process's requests of the last minute ended."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, bool]] = deque()
        self._failed = 0

    def add(self, now: float, *, well: bool) -> bool:
        """Whether the connection is to be given up for now; then the counting starts anew. `now`: monotonic."""
        self._ended.append((now, well))
        self._failed += not well
        while self._ended[0][0] < now - WINDOW_S:
            self._failed -= not self._ended.popleft()[1]
        total = len(self._ended)
        if well or total < FEWEST or self._failed < total * SHARE:
            return False
        self._ended.clear()
        self._failed = 0
        return True


def failing(conn: Connection) -> dict[str, bool]:
    """Connections whose breaker is not closed: whether a request may try them now."""
    now = (rate.c.hold_until <= db_now()) & (rate.c.probe_until <= db_now())
    rows = conn.execute(select(rate.c.connection, now.label("now")).where(rate.c.broken > 0))
    return {row.connection: bool(row.now) for row in rows}


def _open(conn: Connection, connection: str, first_s: float) -> float:
    """Opens the breaker, twice as long each time in a row; for how many seconds. Already open: left as it is."""
    mine = rate.c.connection == connection
    conn.execute(insert(conn, rate).values(connection=connection, tokens=0, at=db_now()).on_conflict_do_nothing())
    row = conn.execute(select(rate.c.broken, (rate.c.hold_until - db_now()).label("left")).where(mine)).one()
    if row.broken and row.left > 0:
        return float(row.left)
    for_s: float = first_s * min(2 ** min(row.broken, 10), LONGEST)
    values = {"broken": row.broken + 1, "hold_until": db_now() + for_s, "probe_until": 0}
    conn.execute(update(rate).where(mine).values(**values))
    return for_s


def _close(conn: Connection, connection: str) -> None:
    conn.execute(update(rate).where(rate.c.connection == connection).values(broken=0, probe_until=0))


def _take_probe(conn: Connection, connection: str) -> bool:
    """Whether the caller is the one to try; nobody else is for PROBE_S, or until it has told."""
    free = (rate.c.broken > 0) & (rate.c.hold_until <= db_now()) & (rate.c.probe_until <= db_now())
    stmt = update(rate).where(rate.c.connection == connection, free).values(probe_until=db_now() + PROBE_S)
    return conn.execute(stmt).rowcount == 1


def _take(conn: Connection, connection: str, per_s: float) -> int:
    """Whole tokens taken from the bucket, at most one second's; the bucket fills with time."""
    return take(conn, connection, per_s, max(1, int(per_s)))


def take(conn: Connection, name: str, per_s: float, most: int) -> int:
    """Whole tokens taken from the bucket called `name`, at most `most`; it fills with time, to two seconds' worth."""
    fresh = {"connection": name, "tokens": max(1.0, per_s * BURST_S), "at": db_now()}
    conn.execute(insert(conn, rate).values(**fresh).on_conflict_do_nothing())
    mine = rate.c.connection == name
    row = conn.execute(select(rate.c.tokens, (db_now() - rate.c.at).label("age")).where(mine).with_for_update()).one()
    tokens = min(row.tokens + max(0.0, row.age) * per_s, max(1.0, per_s * BURST_S))
    taken = min(int(tokens), most)
    conn.execute(update(rate).where(mine).values(tokens=tokens - taken, at=db_now()))
    return taken


def _take_turn(conn: Connection, name: str, per_s: float) -> float:
    """Seconds until the caller's turn; turns of one name are at least 1 / `per_s` apart."""
    conn.execute(insert(conn, rate).values(connection=name, tokens=0, at=0).on_conflict_do_nothing())
    mine = rate.c.connection == name
    row = conn.execute(select(rate.c.at, db_now().label("now")).where(mine).with_for_update()).one()
    turn = max(row.now, min(row.at, row.now + PATIENCE_S + 1 / per_s))  # a clock that was set back blocks nobody
    conn.execute(update(rate).where(mine).values(at=turn + 1 / per_s))
    return float(turn - row.now)


def _hold(conn: Connection, connection: str, seconds: float) -> None:
    stmt = insert(conn, rate).values(connection=connection, tokens=0, at=db_now(), hold_until=db_now() + seconds)
    later = update(rate).where(rate.c.connection == connection, rate.c.hold_until < db_now() + seconds)
    conn.execute(stmt.on_conflict_do_nothing())
    conn.execute(later.values(hold_until=db_now() + seconds))


class RecordTokens:
    """ports.TokenCache on the `token` table, sealed with the hub's secret (`secrets`: the current one first)."""

    def __init__(self, store: Store, connection: str, secrets: Sequence[bytes]) -> None:
        self._store, self._connection = store, connection
        self._seal = Seal("token-cache", secrets)

    def get(self) -> str | None:
        """A token with a minute or more to live. Read anew each time: another process may have dropped it."""
        with self._store.read() as conn:
            row = conn.execute(
                select(token.c.secret, (token.c.expires - db_now()).label("left")).where(
                    token.c.connection == self._connection
                )
            ).first()
        if row is None or row.left <= 0:
            return None
        return self._seal.open(row.secret)

    def put(self, token_: str, lifetime_s: float) -> None:
        """Keeps a token for `lifetime_s` less a margin."""
        good_s = max(0.0, lifetime_s - min(SPARE_S, lifetime_s / 4))
        values = {"secret": self._seal.shut(token_), "expires": db_now() + good_s}

        def unit(conn: Connection) -> None:
            stmt = insert(conn, token).values(connection=self._connection, **values)
            conn.execute(stmt.on_conflict_do_update(index_elements=["connection"], set_=values))

        self._store.write(unit)

    def drop(self) -> None:
        """Forgets it."""
        self._store.write(lambda conn: conn.execute(delete(token).where(token.c.connection == self._connection)))
