"""API keys at rest: the SHA-256 of each, never the thing itself. Times are the database's clock."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from hub.store.schema import api_key, db_now
from hub.store.subjects import now

TOUCH_S = 60.0  # `used_at` is written at most so often


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A key as the record knows it. Times are epoch seconds. live: neither revoked nor over. stale: see TOUCH_S."""

    prefix: str
    digest: str
    name: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    used_at: float | None
    revoked_at: float | None
    live: bool
    stale: bool


def add(conn: Connection, prefix: str, digest: str, name: str, scopes: list[str], lifetime_s: float | None) -> None:
    """Keeps a new key."""
    until = None if lifetime_s is None else db_now() + lifetime_s
    values = {"prefix": prefix, "digest": digest, "name": name, "scopes": scopes}
    conn.execute(api_key.insert().values(**values, created_at=db_now(), expires_at=until))


def every(conn: Connection, prefix: str | None = None) -> list[Kept]:
    """Every key, the oldest first; of this prefix only."""
    at, stmt = now(conn), select(api_key).order_by(api_key.c.created_at)
    rows = conn.execute(stmt if prefix is None else stmt.where(api_key.c.prefix == prefix))
    return [
        Kept(
            prefix=row.prefix,
            digest=row.digest,
            name=row.name,
            scopes=tuple(row.scopes),
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
            revoked_at=row.revoked_at,
            live=row.revoked_at is None and (row.expires_at is None or row.expires_at > at),
            stale=row.used_at is None or row.used_at < at - TOUCH_S,
        )
        for row in rows
    ]


def revoke(conn: Connection, prefix: str) -> bool:
    """The key opens nothing any more; False where there is none that does."""
    mine = (api_key.c.prefix == prefix, api_key.c.revoked_at.is_(None))
    return conn.execute(update(api_key).where(*mine).values(revoked_at=db_now())).rowcount == 1


def touch(conn: Connection, prefix: str) -> None:
    """The key is in use."""
    conn.execute(update(api_key).where(api_key.c.prefix == prefix).values(used_at=db_now()))
