"""Calls of the API that carry an Idempotency-Key: what was asked, and what was answered. Times: the database's clock.

A call is kept before it acts. Whoever acts has a lease; a call whose process died is done again by the next try.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from hub.store.schema import api_call, db_now
from hub.store.subjects import insert, now

KEPT_S = 24 * 3600.0
LEASE_S = 120.0  # longer than any call takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """This call is to act now. fence: what it ends under."""

    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Another try of it acts right now, for at most `wait_s` seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """The key came with something else before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It was done, and answered so; `answer` is sealed."""

    status: int
    answer: str


def begin(conn: Connection, prefix: str, key: str, fingerprint: str) -> Begun | UnderWay | Other | Done:
    """How it is with the call of this key; it is kept as begun where nobody else is at it."""
    c = api_call.c
    mine = (c.prefix == prefix, c.key == key)
    at = now(conn)
    conn.execute(delete(api_call).where(*mine, c.at < at - KEPT_S))
    new = {"prefix": prefix, "key": key, "fingerprint": fingerprint, "at": at, "until": at + LEASE_S, "fence": 1}
    made = insert(conn, api_call).values(**new).on_conflict_do_nothing().returning(c.fence)
    if conn.execute(made).first() is not None:
        return Begun(fence=1)
    row = conn.execute(select(api_call).where(*mine).with_for_update()).one()
    if row.fingerprint != fingerprint:
        return Other()
    if row.status is not None:
        return Done(status=row.status, answer=row.answer)
    if row.until > at:
        return UnderWay(wait_s=row.until - at)
    conn.execute(update(api_call).where(*mine).values(until=at + LEASE_S, fence=row.fence + 1))
    return Begun(fence=row.fence + 1)


def end(conn: Connection, prefix: str, key: str, fence: int, status: int, answer: str) -> None:
    """The call was answered so."""
    c = api_call.c
    mine = (c.prefix == prefix, c.key == key, c.fence == fence)
    conn.execute(update(api_call).where(*mine).values(status=status, answer=answer, until=db_now()))


def forget(conn: Connection, prefix: str, key: str, fence: int) -> None:
    """The call came to nothing: the next try is to act."""
    c = api_call.c
    conn.execute(delete(api_call).where(c.prefix == prefix, c.key == key, c.fence == fence))
