"""Reads the stream as it will be sent, and verifies the chains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hub.store import Store, stream
from hub.store.stream import Placed
from hub.stream.chain import Broken, check

FOLLOW_S = 0.5


def tail(
    store: Store,
    after: int | None = None,
    types: Sequence[str] = (),
    *,
    follow: bool = False,
    most: int = 50,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Placed]:
    """Messages in the order of their positions: all after `after`, else the newest `most`; with `follow` for ever."""
    with store.read() as conn:
        newest = stream.newest(conn)
    position = max(0, newest - most) if after is None else after
    while not stop():
        with store.read() as conn:
            page = stream.after(conn, position, types)
        yield from page
        if page:
            position = page[-1].position
        elif not follow:
            return
        else:
            time.sleep(FOLLOW_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was verified of one chain. broken: the first place where it does not hold."""

    table: str
    rows: int
    broken: Broken | None


def verify(store: Store) -> list[Verified]:
    """Every chain up to its end as it was when asked. Reads only."""
    return [_verify(store, name) for name in stream.CHAINED]


def _verify(store: Store, name: str) -> Verified:
    with store.read() as conn:
        head = stream.head(conn, name)
        return Verified(
            table=name, rows=head.position, broken=check(name, stream.chained(conn, name, head.position), head)
        )
