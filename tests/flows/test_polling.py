"""The list of all entitlements: seats in use are kept, whatever else differs is looked at, nobody is crowded out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hub import limits, polling
from hub.limits import RecordLimiter
from hub.polling import Polled
from hub.store import Store, subjects
from hub.store.schema import entitlement, review, subject
from hub.stream.state import LISTED
from tests.flows.test_licensing_speaks import reads, snapshot, sold, told
from tests.world import World

pytestmark = pytest.mark.timeout(120)
FAST = 5000.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite")
    yield made
    made.close()


def poll(world: World) -> Polled:
    return polling.poll(world.hub.shop, "zentitle", FAST)


def due(world: World) -> list[Any]:
    with world.hub.store.read() as conn:
        return list(conn.execute(select(subject).where(subject.c.state == "due").order_by(subject.c.next_look)))


def test_a_list_that_says_what_is_on_record_writes_and_marks_nothing(world: World) -> None:
    sold(world)
    assert poll(world) == Polled(rows=1)
    assert due(world) == []


def test_seats_in_use_are_taken_from_the_list_and_tell_nothing(world: World) -> None:
    row = sold(world)
    before = snapshot(world, row["id"])
    world.zentitle_admin("activate", entitlement=row["id"], seatIds=["ada", "grace"])
    assert poll(world) == Polled(rows=1, used=1)
    after = snapshot(world, row["id"])
    assert (after.body["seats_used"], after.revision, after.read_at) == (2, before.revision, before.read_at)
    assert due(world) == []
    assert told(world) == [("entitlement.created", "hub")]


def test_what_differs_is_looked_at_behind_live_work_and_repaired(world: World) -> None:
    row = sold(world, 5)
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=9)
    assert poll(world) == Polled(rows=1, due=1)
    assert [(one.ref, one.priority, one.cause) for one in due(world)] == [
        (f"zentitle/entitlement/{row['id']}", subjects.SWEEP, "list")
    ]
    assert world.settle()
    assert world.wrong() == []
    assert told(world)[1:] == [("entitlement.changed", "elsewhere"), ("entitlement.changed", "hub")]
    assert poll(world) == Polled(rows=1)


def test_what_is_not_on_record_is_kept_at_once_and_read_in_its_turn(world: World) -> None:
    world.zentitle_admin("fill", groups=450)
    assert poll(world) == Polled(rows=450, new=450, due=450)
    with world.hub.store.read() as conn:
        assert set(conn.execute(select(entitlement.c.body)).scalars().all()[0]) >= {"seats", "expires_at"}
        assert conn.execute(select(entitlement.c.subject)).scalars().all() == [None] * 450
    assert poll(world) == Polled(rows=450)
    assert world.settle(60)
    with world.hub.store.read() as conn:
        assert LISTED not in {body["status"] for body in conn.execute(select(entitlement.c.body)).scalars()}
    assert told(world) == []


def test_looks_at_news_are_spread_within_a_share_of_the_rate(world: World) -> None:
    world.zentitle_admin("fill", groups=10)
    polling.poll(world.hub.shop, "zentitle", 5)
    times = [one.next_look for one in due(world)]
    assert times[-1] - times[0] == pytest.approx(9 * polling.REQUESTS / (polling.SHARE * 5), abs=0.5)


def test_what_was_switched_off_before_it_was_first_read_is_no_disabling(world: World) -> None:
    world.zentitle_admin("fill", groups=1)
    (row,) = world.grants()
    world.zentitle_admin("edit", entitlement=row["id"], disabled=True)
    poll(world)
    assert world.settle()
    assert not snapshot(world, row["id"]).enabled
    assert told(world) == []


def test_a_license_of_the_hub_that_the_list_showed_first_is_still_told_as_created(world: World) -> None:
    row = sold(world)
    world.hub.store.write(lambda conn: conn.execute(entitlement.delete()))
    assert poll(world).new == 1
    world.hub.store.write(lambda conn: conn.execute(update(subject).values(state="idle", next_look=None)))
    world.replay_all()
    assert world.settle()
    assert snapshot(world, row["id"]).subject == f"stripe/subscription/{world.subscriptions[0]}"
    assert ("entitlement.created", "hub") in told(world)


def test_I5_a_row_that_was_read_before_the_last_read_ended_changes_no_seats(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("activate", entitlement=row["id"], seatIds=["ada"])
    ahead = update(entitlement).values(read_at=time.time() + 60)
    world.hub.store.write(lambda conn: conn.execute(ahead))
    assert poll(world).used == 0


def test_I5_a_row_that_was_read_before_the_last_read_ended_makes_nothing_due(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=9)
    world.hub.store.write(lambda conn: conn.execute(update(entitlement).values(read_at=time.time() + 60)))
    assert poll(world) == Polled(rows=1)


def test_what_is_not_in_the_list_any_more_is_told_to_a_person_once_and_changes_nothing(world: World) -> None:
    row, before = sold(world), world.writes()
    world.zentitle.tenant.entitlements.now.pop(row["id"])
    assert poll(world) == Polled(gone=1)
    assert world.settle()
    with world.hub.store.read() as conn:
        tasks = conn.execute(select(review.c.kind, review.c.open)).all()
    assert tasks == [("gone", True)]
    assert world.writes() == before
    assert poll(world) == Polled()
    assert due(world) == []


def test_a_switch_that_no_webhook_told_is_found_when_its_turn_to_be_read_comes(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], disabled=True)
    assert poll(world) == Polled(rows=1)
    long_ago = update(entitlement).values(read_at=time.time() - 2 * world.hub.shop.timing.full_sweep)
    world.hub.store.write(lambda conn: conn.execute(long_ago))
    assert poll(world) == Polled(rows=1, old=1)
    assert world.settle()
    assert ("entitlement.disabled", "elsewhere") in told(world)


def test_a_poll_is_due_when_the_last_whole_list_is_old(world: World) -> None:
    assert polling.is_due(world.hub.shop, "zentitle")
    poll(world)
    assert not polling.is_due(world.hub.shop, "zentitle")


def test_a_list_costs_a_request_a_page(world: World) -> None:
    world.zentitle_admin("fill", groups=450)
    poll(world)
    assert reads(world) == 3


def test_I11_a_thread_that_takes_a_share_of_the_rate_leaves_the_rest_to_others(store: Store) -> None:
    limiter = RecordLimiter(store, "zentitle", 50)
    began = time.monotonic()
    with limits.sharing(0.3):
        for _ in range(7):
            limiter.acquire()
    assert time.monotonic() - began >= 6 / (0.3 * 50)
    began = time.monotonic()
    limiter.acquire()
    assert time.monotonic() - began < 0.3


def test_I11_all_who_take_a_share_of_the_rate_take_it_together(store: Store) -> None:
    first, second = RecordLimiter(store, "zentitle", 50), RecordLimiter(store, "zentitle", 50)
    began = time.monotonic()
    with limits.sharing(0.3):
        for one in (first, second, first, second, first, second, first):
            one.acquire()
    assert time.monotonic() - began >= 6 / (0.3 * 50)
