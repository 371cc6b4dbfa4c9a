"""Brings the record's tables to this version (Alembic), and refuses to run on another one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from hub.errors import ConfigurationError
from hub.store.record import Store

HEAD = "0013"  # the newest file in migrations/versions (a test holds them together)
_UPGRADE = 0x4C48_5542  # the advisory lock under which one upgrades at a time
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(store: Store) -> str:
    """Runs every migration that is missing; the version that the record has then.

    Repeatable, and while processes of the release before work. Another machine that upgrades is waited for, up to 10
    minutes. Unavailable where others hold what it needs to lock for longer than 5 s: nothing was changed then.
    """
    if current(store) == HEAD:
        return HEAD
    from alembic import command  # noqa: PLC0415  (only here: no other process needs it)
    from alembic.config import Config  # noqa: PLC0415

    def unit(conn: Connection) -> None:
        if conn.dialect.name == "postgresql":
            conn.execute(text("SET LOCAL statement_timeout = 0"))  # an index on a large table takes its time
            conn.execute(text("SET LOCAL lock_timeout = '10min'"))  # another machine may be at it
            conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE})
            conn.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = conn
        command.upgrade(config, "head")

    store.write(unit, timeout_s=600)
    return HEAD


def current(store: Store) -> str | None:
    """The version that the record has; None where it is empty."""
    with store.read() as conn:
        if not inspect(conn).has_table("alembic_version"):
            return None
        found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def check_version(store: Store) -> None:
    """Raises ConfigurationError unless the record has the version that this code needs."""
    has = current(store)
    if has != HEAD:
        said = "is empty" if has is None else f"has version {has}"
        raise ConfigurationError(
            f"the record {said}, this hub needs {HEAD}",
            where=store.url.render_as_string(hide_password=True),
            mend="run `hub db upgrade`",
        )
