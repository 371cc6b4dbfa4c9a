"""Request rates and access tokens that all processes share through the record.

A process takes up to one second's tokens of a connection's bucket at a time; a vendor's Retry-After is a row that
every process reads before each request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from hub.errors import Hold
from hub.sealing import Seal
from hub.store import Store
from hub.store.schema import db_now, rate, token
from hub.store.subjects import insert

BURST_S = 2.0  # a full bucket holds two seconds' worth
PATIENCE_S = 5.0  # a longer hold ends the look; it comes back when the hold is over
SPARE_S = 60.0  # a token with less life than this is as good as expired

stopping = threading.Event()  # set on SIGTERM: nobody waits for tokens any more


class RecordLimiter:
    """ports.Limiter on the `rate` table."""

    def __init__(self, store: Store, connection: str, per_s: float) -> None:
        self._store, self._connection, self._per_s = store, connection, per_s
        self._tokens, self._good_until = 0.0, 0.0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Waits for a token; Hold where the vendor asked for more patience than we have, or on a stop."""
        while True:
            self._heed_hold()
            with self._lock:
                if time.monotonic() >= self._good_until:
                    self._tokens = 0.0
                if self._tokens < 1:
                    wait = self._refill()
                if self._tokens >= 1:
                    self._tokens -= 1
                    return
            self._sleep(wait)

    def hold(self, seconds: float) -> None:
        """Nobody sends on this connection for `seconds`."""
        self._store.write(lambda conn: _hold(conn, self._connection, seconds))
        with self._lock:
            self._tokens = 0.0

    def _heed_hold(self) -> None:
        with self._store.read() as conn:
            left = conn.execute(
                select(rate.c.hold_until - db_now()).where(rate.c.connection == self._connection)
            ).scalar()
        if left and left > PATIENCE_S:
            raise Hold(f"{self._connection} asked to wait {left:.0f} s", retry_after=float(left))
        if left and left > 0:
            self._sleep(float(left))

    def _refill(self) -> float:
        """Takes a second's tokens from the record; seconds to wait where there is none."""
        taken = self._store.write(lambda conn: _take(conn, self._connection, self._per_s))
        self._tokens, self._good_until = float(taken), time.monotonic() + 1
        return 1 / self._per_s if taken < 1 else 0.0

    def _sleep(self, seconds: float) -> None:
        if stopping.wait(seconds):
            raise Hold("the process is stopping", retry_after=0)


def _take(conn: Connection, connection: str, per_s: float) -> int:
    """Whole tokens taken from the bucket, at most one second's; the bucket fills with time."""
    fresh = {"connection": connection, "tokens": max(1.0, per_s * BURST_S), "at": db_now()}
    conn.execute(insert(conn, rate).values(**fresh).on_conflict_do_nothing())
    mine = rate.c.connection == connection
    row = conn.execute(select(rate.c.tokens, (db_now() - rate.c.at).label("age")).where(mine).with_for_update()).one()
    tokens = min(row.tokens + max(0.0, row.age) * per_s, max(1.0, per_s * BURST_S))
    taken = min(int(tokens), max(1, int(per_s)))
    conn.execute(update(rate).where(mine).values(tokens=tokens - taken, at=db_now()))
    return taken


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
