"""How looks end together: each writes what it leaves, and one that can't is told of and stops no other."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from hub.drain import end_looks
from hub.leases import LeaseBook
from hub.settings import Timing
from hub.store import Store, subjects
from hub.store.records import Observation, observe
from hub.store.schema import lease, observation
from hub.store.subjects import Along, Ended
from tests.factories import a_ref
from tests.hub.test_subjects import mark, must_take, row_of, settled, take_due


def ends(store: Store, along: dict[str, tuple[Along, ...]]) -> None:
    """Looks at these subjects end together; each leaves its rows."""
    mark(store, *along)
    shop: Any = SimpleNamespace(store=store, timing=Timing())
    ended = [Ended(one, settled(one), (), along[one.ref.id]) for one in take_due(store)]
    with LeaseBook(store, 60) as book:
        end_looks(shop, book, ended)


def saw(id_: str, seen: str, hash_: str = "hash") -> tuple[Along, ...]:
    return ((observe, Observation(subject=str(a_ref(id_)), hash=hash_, seen={"x": seen})),)


def kept(store: Store) -> set[str]:
    with store.read() as conn:
        return set(conn.execute(select(observation.c.subject)).scalars())


def test_looks_that_end_together_write_what_they_leave(store: Store) -> None:
    ends(store, {"sub_1": saw("sub_1", "a"), "sub_2": saw("sub_2", "b"), "sub_3": ()})
    assert kept(store) == {str(a_ref("sub_1")), str(a_ref("sub_2"))}
    assert [row_of(store, f"sub_{number}").state for number in (1, 2, 3)] == ["idle"] * 3


@pytest.mark.parametrize("broken", ["text that PostgreSQL can't keep", "a bug"])
def test_what_can_not_be_written_fails_alone(store: Store, broken: str) -> None:
    def bug(_conn: Connection, _rows: Sequence[Any]) -> None:
        raise ValueError("a bug")

    nul = broken != "a bug"
    if nul and store.sqlite:
        pytest.skip("SQLite keeps any text")
    ends(
        store, {"sub_1": saw("sub_1", "a"), "sub_2": (saw("sub_2", "b", "\0") if nul else ((bug, None),)), "sub_3": ()}
    )
    failed = row_of(store, "sub_2")
    assert (failed.state, failed.tries) == ("due", 1)
    assert failed.reason
    assert kept(store) == {str(a_ref("sub_1"))}
    assert [row_of(store, f"sub_{number}").state for number in (1, 3)] == ["idle"] * 2
    with store.read() as conn:
        assert conn.execute(select(lease.c.key).where(lease.c.holder.is_not(None))).all() == []


def test_a_look_that_lost_a_lease_writes_nothing_of_what_it_leaves(store: Store) -> None:
    mark(store, "sub_1", "sub_2")
    customer = must_take(store)
    one, two = take_due(store)
    store.write(lambda conn: subjects.release(conn, customer))
    ended = [Ended(one, settled(one), (customer,), saw("sub_1", "a")), Ended(two, settled(two), (), saw("sub_2", "b"))]
    store.write(lambda conn: subjects.finish(conn, ended))
    assert kept(store) == {str(two.ref)}
    assert [row_of(store, one.ref.id).state, row_of(store, two.ref.id).state] == ["due", "idle"]
    assert [again.ref for again in take_due(store)] == [one.ref]  # at once: nobody died


def test_a_content_that_was_seen_before_is_kept_once(store: Store) -> None:
    values = {"subject": str(a_ref("sub_1")), "hash": "hash", "seen": {"x": "a"}, "seen_at": 1.0}
    store.write(lambda conn: conn.execute(insert(observation).values(values)))
    ends(store, {"sub_1": saw("sub_1", "a")})
    with store.read() as conn:
        assert [row.seen_at for row in conn.execute(select(observation))] == [1.0]
