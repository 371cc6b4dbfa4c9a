"""Users and their sessions. The record keeps a password's argon2id hash and a cookie's SHA-256, never the thing itself.

Every function takes the connection of the transaction that it is part of. Times are the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update

from hub.store.schema import db_now, session, user
from hub.store.subjects import insert

IDLE_S = 30 * 60
ABSOLUTE_S = 12 * 3600
TOUCH_S = 60  # `used_at` is written at most so often: a page view should cost no commit


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may log in to the console, unless disabled. `created_at`: epoch seconds."""

    name: str
    created_at: float
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session. `stale`: `used_at` is due to be written again."""

    user: str
    csrf: str
    stale: bool


def users(conn: Connection) -> list[User]:
    """Every user, by name."""
    rows = conn.execute(select(user.c.name, user.c.created_at, user.c.disabled).order_by(user.c.name))
    return [User(name=row.name, created_at=row.created_at, disabled=row.disabled) for row in rows]


def add(conn: Connection, name: str, hash_: str) -> bool:
    """Adds a user; False where the name is taken."""
    stmt = insert(conn, user).values(name=name, password=hash_, created_at=db_now(), disabled=False)
    return conn.execute(stmt.on_conflict_do_nothing().returning(user.c.name)).first() is not None


def hash_of(conn: Connection, name: str) -> str | None:
    """The password hash of a user who may log in."""
    return conn.execute(select(user.c.password).where(user.c.name == name, user.c.disabled.is_(False))).scalar()


def set_hash(conn: Connection, name: str, hash_: str) -> bool:
    """Sets a password hash; False where there is no such user."""
    return conn.execute(update(user).where(user.c.name == name).values(password=hash_)).rowcount == 1


def set_disabled(conn: Connection, name: str, disabled: bool) -> bool:  # noqa: FBT001  (a column's value)
    """Switches a user on or off; False where there is no such user."""
    return conn.execute(update(user).where(user.c.name == name).values(disabled=disabled)).rowcount == 1


def open_session(conn: Connection, digest: str, name: str, csrf: str) -> None:
    """Keeps a new session, and drops those that are over."""
    conn.execute(delete(session).where(_over()))
    now = {"created_at": db_now(), "used_at": db_now()}
    conn.execute(session.insert().values(digest=digest, user=name, csrf=csrf, **now))


def find_session(conn: Connection, digest: str) -> Session | None:
    """The session that is neither idle nor too old nor of a disabled user."""
    stale = (session.c.used_at < db_now() - TOUCH_S).label("stale")
    stmt = (
        select(session.c.user, session.c.csrf, stale)
        .join(user, user.c.name == session.c.user)
        .where(session.c.digest == digest, ~_over(), user.c.disabled.is_(False))
    )
    row = conn.execute(stmt).first()
    return Session(user=row.user, csrf=row.csrf, stale=bool(row.stale)) if row else None


def touch_session(conn: Connection, digest: str) -> None:
    """The session is in use."""
    conn.execute(update(session).where(session.c.digest == digest).values(used_at=db_now()))


def close_session(conn: Connection, digest: str) -> None:
    """The session is over; its cookie opens nothing any more."""
    conn.execute(delete(session).where(session.c.digest == digest))


def close_sessions_of(conn: Connection, name: str) -> None:
    """Ends every session of a user."""
    conn.execute(delete(session).where(session.c.user == name))


def _over() -> ColumnElement[bool]:
    return (session.c.used_at < db_now() - IDLE_S) | (session.c.created_at < db_now() - ABSOLUTE_S)
