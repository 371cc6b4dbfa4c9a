"""Whole lives of sales, told in any order, twice, in part, in any shape: the licenses of those who heard it in order.

Adds to tests/test_convergence.py what it does not play: sales of their own, delayed payments, quotes, refunds, credit
notes, disputes; thin events, and shapes that change from event to event. I5, I7 (reliability), commerce §6.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.stripe.webhook import EVENTS
from hub.inbox import accept
from hub.store.schema import review
from hub.sweep import sweep_all
from tests.world import SECRET, Post, World
from tests.worlds.lives import CATALOG, Life, Told

pytestmark = pytest.mark.timeout(300)
MONEY_TASKS = {"dispute", "inquiry", "refund", "partial refund", "early fraud warning"}


Pick = Callable[[Told], list[Post]]


def formats(roll: random.Random) -> dict[str, Pick]:
    """Which of an event's posts come, by what the endpoints are set to."""
    return {
        "current": lambda told: [told.current],
        "older": lambda told: [told.older] if told.older else [],
        "older or current": lambda told: [roll.choice([told.current, told.older or told.current])],
        "thin": lambda told: [told.thin],
        "thin and current": lambda told: [told.thin, told.current],
    }


@contextmanager
def a_world(folder: Path, more: str = "", **values: Any) -> Iterator[World]:
    folder.mkdir()
    made = World(folder, f"sqlite:///{folder}/hub.sqlite", more=CATALOG + more, **values)
    try:
        yield made
    finally:
        made.close()


# A hub of its own on the Stripe of another world.
BESIDE = """
[connections.beside]
kind = "stripe"
base_url = "{url}"
webhook_secrets = ["{secret}"]
rate_per_s = 5000
"""


def beside(world: World, key: str = "") -> str:
    """What connects another hub to this world's Stripe; `key` is a line of configuration."""
    return BESIDE.format(url=world.stripe_url, secret=SECRET) + key


def deliver(world: World, posts: Sequence[Post]) -> None:
    """To the hub that is beside, or to the one whose Stripe it is."""
    connectors = world.hub.connectors
    door = connectors.get("beside", connectors["stripe"])
    for body, headers in posts:
        accept(world.hub.store, door, body, headers, time.time())


def licenses(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """What is on for each purchase, once nothing is due.

    What is off is left out: who hears of a sale and its refund together makes no license. What is sold once has its
    offering's own term, counted from the moment when it is made.
    """
    assert world.settle(), "something stays due"
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in world.grants():
        purchase = row["orderRefId"].partition(":")[2]
        until = "its own" if purchase.startswith("cs_") else row["expiryDate"]
        if not row["disabled"]:
            found.setdefault(purchase, []).append((row["sku"], row["seatCount"], until))
    return {purchase: sorted(rows) for purchase, rows in found.items()}


def tasks(world: World) -> set[tuple[str, str]]:
    with world.hub.store.read() as conn:
        rows = conn.execute(select(review.c.subject, review.c.kind).where(review.c.open)).all()
    return {(row.subject.partition("/")[2], row.kind) for row in rows if row.kind in MONEY_TASKS}


def unkindly(roll: random.Random, posts: Sequence[Post]) -> list[Post]:
    """All of these in any order, some twice."""
    doubled = [*posts, *roll.sample(list(posts), len(posts) // 5)]
    return roll.sample(doubled, len(doubled))


def hear(world: World, posts: Sequence[Post], pieces: int) -> None:
    """Delivers these, with work done in between."""
    size = max(1, len(posts) // pieces)
    for at in range(0, len(posts), size):
        deliver(world, posts[at : at + size])
        world.work()


def needed(roll: random.Random, events: Sequence[Told]) -> list[Told]:
    """The events without some of those that a later one of the same object, which the hub takes, has made old."""
    last = {told.about: at for at, told in enumerate(events) if told.type in EVENTS}
    return [told for at, told in enumerate(events) if last.get(told.about, at) <= at or roll.random() > 0.3]


LIVES = {
    "seed": st.integers(0, 2**32),
    "shape": st.sampled_from(["current", "legacy"]),
    "keyed_hears": st.sampled_from(["current", "older", "older or current", "thin", "thin and current"]),
    "keyless_hears": st.sampled_from(["current", "older", "older or current", "thin and current"]),
}
SETTINGS = {"deadline": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}


def check_a_life(folder: Path, seed: int, shape: str, keyed_hears: str, keyless_hears: str) -> None:
    """One hub hears some of it while it goes on, and sweeps; one without an API key hears it afterwards, unkindly."""
    roll = random.Random(seed)
    with (
        a_world(folder / "listening", seed=seed, shape=shape) as listening,
        a_world(folder / "orderly", beside(listening, 'api_key = "sk_test_sandbox"')) as orderly,
        a_world(folder / "keyless", beside(listening)) as keyless,
    ):
        life = Life(listening, roll)
        life.sell()
        life.go_on(10, lambda: hear_some(roll, listening, life, formats(roll)[keyed_hears]))
        events = life.events()
        hear(orderly, [told.current for told in events], 3)
        wanted = licenses(orderly), tasks(orderly)
        hear(keyless, unkindly(roll, posts_of(needed(roll, events), formats(roll)[keyless_hears])), 2)
        assert (licenses(keyless), tasks(keyless)) == wanted, life.did
        licenses(listening)
        sweep_all(listening.hub.shop)
        assert (licenses(listening), tasks(listening)) == wanted, life.did


@settings(max_examples=2, **SETTINGS)
@given(**LIVES)
def test_I5_I7_a_whole_life_told_in_any_way_comes_to_the_licenses_of_its_telling_in_order(
    tmp_path_factory: pytest.TempPathFactory, **life: Any
) -> None:
    check_a_life(tmp_path_factory.mktemp("lives"), **life)


@pytest.mark.full
@pytest.mark.timeout(1_800)
@settings(max_examples=30, **SETTINGS)
@given(**LIVES)
def test_I5_I7_many_whole_lives_come_to_the_licenses_of_their_telling_in_order(
    tmp_path_factory: pytest.TempPathFactory, **life: Any
) -> None:
    check_a_life(tmp_path_factory.mktemp("lives"), **life)


def posts_of(events: Sequence[Told], pick: Pick) -> list[Post]:
    return [post for told in events for post in pick(told)]


def hear_some(roll: random.Random, world: World, life: Life, pick: Pick) -> None:
    """Delivers some of all that was told so far, again where it was delivered before; so some never comes."""
    posts = posts_of(life.events(), pick)
    deliver(world, roll.sample(posts, min(len(posts), 15)))
    if roll.random() < 0.5:
        world.work()
