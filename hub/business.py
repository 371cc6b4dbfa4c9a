"""Business time: what the rules of trade take as now. Machine time but in a sandbox, where the story moves it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from hub.errors import ConfigurationError
from hub.settings import Settings, is_loopback
from hub.store import Store, records

ADDRESSES = ("base_url", "token_url")


def move(store: Store, settings: Settings, seconds: float) -> None:
    """Business time is machine time plus `seconds` from now on, for every process. Repeatable.

    ConfigurationError unless every connection is on this machine: real licenses run on real time.
    """
    for name, connection in settings.connections.items():
        if not _is_here(connection):
            raise ConfigurationError(
                "business time stays machine time: this connection is not on this machine",
                where=f"{settings.path} [connections.{name}]",
                mend="move it only in a sandbox, where every base_url is on 127.0.0.1",
            )
    store.write(lambda conn: records.set_cursor(conn, records.CLOCK_OFFSET, str(float(seconds))))


def _is_here(connection: Mapping[str, object]) -> bool:
    """A connection that names no address is at its vendor's."""
    told = [str(connection[name]) for name in ADDRESSES if connection.get(name)]
    return bool(told) and all(is_loopback(urlsplit(one).hostname or "") for one in told)
