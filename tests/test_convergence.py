"""Random lifecycles, delivered in every way a network can: the same licenses in the end, each time.

I4 effectively once, I5 causal order, I7 convergence, I13 replay safety (reliability); commerce §6 1-16, 25-29.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from hub.domain import Ref
from hub.drain import look_now
from hub.failpoint import NAMES, FailpointError, arm
from hub.lifecycle import Later
from hub.store.schema import review
from hub.sweep import sweep_all
from tests.world import Post, World

FAULTS = {
    "apply_then_reset": 0.05,
    "apply_then_error": 0.04,
    "late_apply": 0.03,
    "garbage": 0.02,
    "error": 0.05,
    "throttle": 0.04,
}
pytestmark = pytest.mark.timeout(300)


def play(world: World, steps: int, *, drop: float = 0.0, crash: bool = False, apart_s: int = 0) -> None:
    """A lifecycle whose events come shuffled, doubled, late or not at all, with work done at any moment.

    apart_s: business time between two acts. Events alone can't order 5 -> 7 -> 5 seats within one second.
    """
    late, roll = [], world.roll
    for _ in range(steps):
        world.stripe_admin("advance", seconds=apart_s)
        world.act(roll)
        world.note_versions()
        late = deliver_some(world, late + world.events(), drop)
        if crash and roll.random() < 0.5:
            arm(f"{roll.choice([name for name in NAMES if not name.startswith('receipt')])}=raise")
        if roll.random() < 0.6:
            world.work()
        arm("")
    roll.shuffle(late)
    world.deliver([one for one in late if roll.random() >= drop])


def deliver_some(world: World, pool: list[Post], drop: float) -> list[Post]:
    """Delivers a random part of these in random order, some twice, some never; what is left for later."""
    roll = world.roll
    roll.shuffle(pool)
    cut = roll.randint(0, len(pool))
    now = [one for one in pool[:cut] if roll.random() >= drop]
    world.deliver(now + [one for one in now if roll.random() < 0.2])
    return pool[cut:]


def check(world: World) -> None:
    """Nothing stays due, nothing is lost, doubled or wrong, and no field was ever set back."""
    assert world.settle(), "something stays due"
    world.note_versions()
    assert world.wrong() == []
    assert world.went_back() == []


@contextmanager
def a_world(folder: Path, database: str = "", **values: Any) -> Iterator[World]:
    """A hub among emulated vendors; SQLite in `folder` unless another database is named."""
    world = World(folder, database or f"sqlite:///{folder}/hub.sqlite", **values)
    try:
        yield world
    finally:
        arm("")
        world.close()


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(["current", "legacy"]), crash=st.booleans())
def test_I5_I7_any_order_of_delivery_comes_to_the_same_licenses(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shape: str, *, crash: bool
) -> None:
    with a_world(tmp_path_factory.mktemp("world"), seed=seed, shape=shape, lease=1) as world:
        play(world, 10, crash=crash)
        check(world)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(["current", "legacy"]))
def test_I7_without_an_api_key_the_events_alone_come_to_the_same_licenses(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shape: str
) -> None:
    with a_world(tmp_path_factory.mktemp("world"), seed=seed, shape=shape, keyed=False) as world:
        play(world, 10, apart_s=1)
        assert world.settle(), "something stays due"
        assert world.wrong() == []


def test_I7_without_an_api_key_changes_of_one_second_are_told_apart_by_what_they_changed(tmp_path: Path) -> None:
    with a_world(tmp_path, keyed=False) as world:
        one = world.buy("PRO-100", 5)
        world.deliver(world.events())
        world.settle()
        world.stripe_admin("advance", seconds=5)
        time.sleep(1 - time.time() % 1)  # a second of its own for what comes now
        for quantity in (6, 7):
            world.post(f"/v1/subscriptions/{one}/pause")
            world.post(f"/v1/subscriptions/{one}/resume")
            world.set_quantity(one, quantity)
        posts = world.events()
        for seed in range(4):
            random.Random(seed).shuffle(posts)
            world.deliver(posts)
            world.replay_all()
            assert world.settle()
            assert world.wrong() == []


@pytest.mark.parametrize("seed", range(3))
def test_I4_lost_answers_and_late_applies_double_nothing(tmp_path: Path, database_url: str, seed: int) -> None:
    with a_world(tmp_path, database_url, seed=seed, lease=1) as world:
        world.zentitle.faults.configure({"rates": FAULTS, "late_s": 0.5, "seed": seed})
        play(world, 8, crash=True)
        world.settle(8)
        world.zentitle.faults.configure({"rates": {}})
        check(world)


LATE_GROUP = {"fault": "late_apply", "method": "POST", "path": "/api/v1/entitlements/groups"}


def test_I4_a_new_event_within_the_window_does_not_create_a_second_time(tmp_path: Path) -> None:
    with a_world(tmp_path, window=2) as world:
        world.zentitle.faults.configure({"plan": [LATE_GROUP], "late_s": 1})
        one = world.buy("PRO-100", 3)
        ref = Ref(source="stripe", kind="subscription", id=one)
        world.deliver(world.events())
        for seats in (4, 5):
            result = look_now(world.hub.shop, ref)
            assert isinstance(result, Later)
            assert result.reason.startswith("checking whether the license was created, until ")
            world.set_quantity(one, seats)
            world.deliver(world.events())
        check(world)
        assert len(world.grants()) == 1


def test_I4_F08_where_the_window_is_too_short_one_group_stays_on_and_a_person_is_told(tmp_path: Path) -> None:
    with a_world(tmp_path, window=0.6) as world:
        world.zentitle.faults.configure({"plan": [LATE_GROUP], "late_s": 0.9})
        world.buy("PRO-100", 3)
        world.deliver(world.events())
        assert world.settle()
        assert world.wrong() == []
        assert sorted(row["disabled"] for row in world.grants()) == [False, True]
        with world.hub.store.read() as conn:
            assert "duplicate_group" in conn.execute(select(review.c.kind).where(review.c.open)).scalars().all()


def test_I4_the_crash_of_a_worker_between_any_two_steps_doubles_nothing(tmp_path: Path) -> None:
    with a_world(tmp_path, lease=1) as world:
        for name in NAMES:
            world.buy("PRO-100", 3)
            world.note_versions()
            posts = world.events()
            arm(f"{name}=raise")
            with suppress(FailpointError):  # no 2xx: the vendor sends them again
                world.deliver(posts)
            world.work()
            arm("")
            world.deliver(posts)
        check(world)


def test_I7_lost_webhooks_are_repaired_by_the_sweep(tmp_path: Path) -> None:
    with a_world(tmp_path, seed=7) as world:
        play(world, 10, drop=0.7)
        world.settle()
        sweep_all(world.hub.shop)
        check(world)


def test_I7_a_full_list_that_is_refused_does_not_hide_the_list_of_changes(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.buy("PRO-100", 5)
        world.events()  # nobody hears of it
        world.stripe.faults.configure({"plan": [{"fault": "error", "method": "GET", "path": "/v1/subscriptions"}]})
        assert "/v1/subscriptions" in str(sweep_all(world.hub.shop)["stripe"])
        check(world)
        assert len(world.grants()) == 1


def test_I7_reads_that_lag_behind_their_own_events_are_looked_at_again(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        one = world.buy("PRO-100", 5)
        world.note_versions()
        world.deliver(world.events())
        world.settle()
        world.stripe.lag(seconds=0.15)
        world.set_quantity(one, 9)
        world.deliver(world.events())
        world.work()
        world.settle()
        world.note_versions()  # not before: this reading lags as well
        check(world)
        assert world.grants()[0]["seatCount"] == 9


def test_I13_replaying_everything_in_any_order_only_reads(tmp_path: Path, database_url: str) -> None:
    with a_world(tmp_path, database_url, seed=3) as world:
        everything = []
        for _ in range(8):
            world.act(world.roll)
            world.note_versions()
            new = world.events()
            everything += new
            world.deliver(new)
        check(world)
        before = world.writes()
        for seed in range(3):
            random.Random(seed).shuffle(everything)
            assert set(world.deliver(everything)) <= {"duplicate"}
            world.replay_all()
            check(world)
        assert world.writes() == before


def test_I13_without_an_api_key_a_replay_in_any_order_only_reads(tmp_path: Path) -> None:
    with a_world(tmp_path, seed=4, keyed=False) as world:
        play(world, 8, apart_s=1)
        world.settle()
        before = world.writes()
        world.replay_all()
        assert world.settle()
        assert world.writes() == before
        assert world.wrong() == []


def test_I5_with_work_after_each_event_alone_no_field_goes_back_to_an_older_value(tmp_path: Path) -> None:
    with a_world(tmp_path, seed=5) as world:
        ids, late = [world.buy("PRO-100", 1), world.buy("PRO-MONTHLY", 1)], []
        world.note_versions()
        for seats in [9, 2, 7, 3, 3, 12]:
            world.set_quantity(world.roll.choice(ids), seats)
            world.note_versions()
            world.advance(20)
            world.note_versions()
            late += world.events()
            world.roll.shuffle(late)
            for one in late[: len(late) // 2]:
                world.deliver([one])
                world.work()
            late = late[len(late) // 2 :]
        world.deliver(late)
        check(world)


def test_I5_an_older_state_never_switches_an_ended_purchase_on_again(tmp_path: Path) -> None:
    with a_world(tmp_path, keyed=False) as world:
        one = world.buy("PRO-100", 4)
        posts = world.events()
        world.set_quantity(one, 6)
        posts += world.events()
        world.deliver(posts[:1] + posts[2:])
        world.settle()
        world.cancel(one)
        world.deliver(world.events())
        world.settle()
        assert [row["disabled"] for row in world.grants()] == [True]
        before = world.writes()
        world.deliver(posts)
        world.settle()
        assert world.writes() == before
