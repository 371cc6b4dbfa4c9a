"""A customer who comes back gets the old license again: the same entitlement and code, nothing doubled, nothing stolen."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub import explain, sweep
from hub.domain import Ref
from hub.failpoint import NAMES
from hub.store import snapshots
from hub.store.schema import change, subject
from tests.test_failpoints import code_of, forked, look
from tests.world import Post, World

pytestmark = pytest.mark.timeout(120)
NOT_OF_A_LOOK = ("receipt.", "finish.", "intent.", "fan_out.", "delivery.")  # and no create is begun
MET = [name for name in NAMES if not name.startswith(NOT_OF_A_LOOK)]


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """On SQLite and with an API key, unless a test asks for something else."""
    more = {"revive": 30, "lease": 1.5, "second_look": 0.05} | getattr(request, "param", {})
    database = request.getfixturevalue(f"{more.pop('on', 'sqlite')}_url")
    made = World(tmp_path, database, **more)
    yield made
    made.close()


def settled(world: World) -> dict[str, dict[str, Any]]:
    """Everything delivered and worked; what exists then, by id."""
    world.deliver(world.events())
    assert world.settle(), _due(world)
    return {row["id"]: row for row in world.grants()}


def _due(world: World) -> list[str]:
    with world.hub.store.read() as conn:
        return [f"{row.ref}: {row.reason}" for row in conn.execute(select(subject).where(subject.c.state == "due"))]


def a_former_customer(world: World, sku: str = "PRO-100", quantity: int = 3) -> tuple[str, str, str]:
    """A subscription that has ended: its id, its customer's, and that of its entitlement."""
    customer = world.customer()
    old = world.buy(sku, quantity, customer)
    (entitlement,) = set(settled(world)) - _known(world, but=old)
    world.cancel(old)
    assert settled(world)[entitlement]["disabled"]
    return old, customer, entitlement


def _known(world: World, but: str) -> set[str]:
    return {row["id"] for row in world.grants() if row["orderRefId"] != f"stripe:{but}"}


def ref(id_: str) -> Ref:
    return Ref(source="stripe", kind="subscription", id=id_)


def creates(world: World) -> int:
    with world.hub.store.read() as conn:
        return len(conn.execute(select(change.c.id).where(change.c.action == "CreateGroup")).all())


@pytest.mark.parametrize("world", [{}, {"keyed": False}, {"on": "postgres"}], indirect=True)
def test_who_comes_back_gets_the_old_license_with_new_terms(world: World) -> None:
    _, customer, entitlement = a_former_customer(world)
    before = world.grants()
    world.buy("PRO-100", 8, customer)
    after = settled(world)
    assert list(after) == [entitlement]
    assert (after[entitlement]["disabled"], after[entitlement]["seatCount"]) == (False, 8)
    assert after[entitlement]["orderRefId"] == before[0]["orderRefId"]
    assert creates(world) == 1


def test_another_offering_of_the_same_product_carries_on_as_well(world: World) -> None:
    _, customer, entitlement = a_former_customer(world)
    world.buy("TEAM-YEAR", 4, customer)
    (one,) = settled(world).values()
    assert (one["id"], one["sku"], one["seatCount"], one["disabled"]) == (entitlement, "TEAM-YEAR", 4, False)


def test_who_comes_back_too_late_gets_a_new_license(world: World) -> None:
    _, customer, entitlement = a_former_customer(world, "PRO-MONTHLY")
    world.advance(65)
    world.buy("PRO-MONTHLY", 1, customer)
    after = settled(world)
    assert len(after) == 2
    assert after[entitlement]["disabled"]


@pytest.mark.parametrize("world", [{"revive": 0}], indirect=True)
def test_without_days_nothing_is_carried_on(world: World) -> None:
    _, customer, entitlement = a_former_customer(world)
    world.buy("PRO-100", 1, customer)
    assert settled(world)[entitlement]["disabled"]


def test_the_license_of_another_customer_or_of_a_purchase_that_goes_on_is_never_taken(world: World) -> None:
    _, _, others = a_former_customer(world)
    customer = world.customer()
    live = world.buy("PRO-100", 5, customer)
    paused = world.buy("PRO-100", 6, customer)
    settled(world)
    world.post(f"/v1/subscriptions/{paused}/pause")
    settled(world)
    world.buy("PRO-100", 7, customer)
    after = settled(world)
    assert after[others]["disabled"]
    seats = {row["orderRefId"]: (row["seatCount"], row["disabled"]) for row in after.values()}
    assert seats[f"stripe:{live}"] == (5, False)
    assert seats[f"stripe:{paused}"] == (6, True)
    assert len(after) == 4


def test_what_a_person_switched_on_or_off_is_left_to_the_person(world: World) -> None:
    for verb in ("enable", "disable"):
        customer = world.customer()
        old = world.buy("PRO-100", 2, customer)
        settled(world)
        (one,) = [row for row in world.grants() if row["orderRefId"] == f"stripe:{old}"]
        if verb == "disable":
            world.zentitle_admin("edit", entitlement=one["id"], disabled=True)
        world.cancel(old)
        settled(world)
        if verb == "enable":
            world.zentitle_admin("edit", entitlement=one["id"], disabled=False)
        new = world.buy("PRO-100", 2, customer)
        refs = {row["orderRefId"] for row in settled(world).values()}
        assert f"stripe:{new}" in refs


def test_late_events_sweeps_replays_and_refunds_of_the_old_purchase_leave_the_license_on(world: World) -> None:
    customer = world.customer()
    old = world.buy("PRO-100", 3, customer)
    posts = world.events()
    world.deliver(posts)
    assert world.settle()
    world.cancel(old)
    late = world.events()
    world.deliver(late)
    assert world.settle()
    world.buy("PRO-100", 3, customer)
    (one,) = settled(world).values()
    written = world.writes()
    charge = world.get("/v1/charges", customer=customer)["data"][-1]["id"]
    world.post("/v1/refunds", {"charge": charge})
    settled(world)
    world.deliver([*posts, *late])
    world.replay_all()
    assert world.settle()
    source = world.hub.connectors["stripe"].purchases
    assert source
    assert sweep.full_sweep(world.hub.shop, world.hub.connectors["stripe"], source) == 0
    look(old)(world.hub)
    assert world.grants() == [one]
    assert world.writes() == written


def test_two_purchases_at_once_share_nothing(world: World) -> None:
    _, customer, entitlement = a_former_customer(world)
    for quantity in (4, 5):
        world.buy("PRO-100", quantity, customer)
    after = settled(world)
    assert sorted((row["seatCount"], row["disabled"]) for row in after.values()) == [(4, False), (5, False)]
    assert entitlement in after


def test_it_can_be_carried_on_again_and_again(world: World) -> None:
    _, customer, entitlement = a_former_customer(world)
    for quantity in (4, 5):
        again = world.buy("PRO-100", quantity, customer)
        assert settled(world)[entitlement]["seatCount"] == quantity
        world.cancel(again)
        assert settled(world)[entitlement]["disabled"]
    world.replay_all()
    assert settled(world).keys() == {entitlement}


def test_a_purchase_carries_one_license_on_and_makes_what_else_it_sells(world: World) -> None:
    old, customer, _ = a_former_customer(world)
    more = {"items[1][price]": world.price("TEAM-YEAR"), "items[1][quantity]": "9"}
    new = world.buy("PRO-100", 4, customer, **more)
    after = settled(world)
    told = {row["sku"]: (row["orderRefId"], row["seatCount"], row["disabled"]) for row in after.values()}
    assert told == {"PRO-100": (f"stripe:{old}", 4, False), "TEAM-YEAR": (f"stripe:{new}", 9, False)}
    world.replay_all()
    assert settled(world) == after
    world.cancel(new)
    assert all(row["disabled"] for row in settled(world).values())


def test_a_look_at_the_old_purchase_that_began_before_does_not_switch_it_off(world: World) -> None:
    old, customer, entitlement = a_former_customer(world)
    pid = forked(world, look(old), "look.observed=sleep:1")
    until = time.monotonic() + 5
    while time.monotonic() < until and not _at_work(world, old):
        time.sleep(0.01)
    world.buy("PRO-100", 3, customer)
    world.deliver(world.events())
    world.work()
    assert not {row["id"]: row for row in world.grants()}[entitlement]["disabled"]
    assert code_of(pid) == 0
    assert not settled(world)[entitlement]["disabled"]


def _at_work(world: World, id_: str) -> bool:
    with world.hub.store.read() as conn:
        return snapshots.at_work(conn, str(ref(id_)))


@pytest.mark.parametrize("world", [{"on": "postgres"}], indirect=True)
def test_F04_I3_I4_a_worker_that_dies_at_any_point_of_a_revival_leaves_nothing_undone_or_doubled(world: World) -> None:
    buyers = [a_former_customer(world)[1:] for _ in MET]
    new = [world.buy("PRO-100", 7, customer) for customer, _ in buyers]
    world.deliver(world.events())
    pids = {name: forked(world, look(id_), f"{name}=exit") for name, id_ in zip(MET, new, strict=True)}
    assert {name for name, pid in pids.items() if code_of(pid) == 9} == set(MET)
    after = settled(world)
    assert after.keys() == {entitlement for _, entitlement in buyers}
    assert {(row["seatCount"], row["disabled"]) for row in after.values()} == {(7, False)}


def test_hub_why_tells_whose_it_was_and_finds_it_by_either_purchase(world: World) -> None:
    old, customer, entitlement = a_former_customer(world)
    with world.hub.store.read() as conn:
        then = conn.execute(select(change.c.at).order_by(change.c.id.desc()).limit(1)).scalar_one()
    new = world.buy("PRO-100", 8, customer)
    settled(world)
    told = explain.why(world.hub.store, new)
    by_old = explain.why(world.hub.store, old)
    assert told
    assert by_old
    assert (told.entitlement, by_old.entitlement, told.subject) == (entitlement, entitlement, str(ref(new)))
    assert [one.purchase for one in told.before] == [str(ref(old))]
    offering = next(one for one in told.fields if one.name == "offering")
    assert offering.change
    assert offering.change.action == "CreateGroup"
    assert any(one.action == "Revive" for one in told.changes)
    before = explain.why(world.hub.store, entitlement, at=then + 0.001)
    assert before
    assert (before.subject, before.enabled, before.before) == (str(ref(old)), False, ())
    look(old)(world.hub)
    assert _summary(world, old) == f"over; its license is carried on by {ref(new)}"


def _summary(world: World, id_: str) -> str:
    with world.hub.store.read() as conn:
        return str(conn.execute(select(subject.c.summary).where(subject.c.ref == str(ref(id_)))).scalar())


@pytest.mark.parametrize("world", [{"keyed": True}, {"keyed": False}], indirect=True)
def test_whatever_the_order_of_events_every_customer_holds_just_what_it_pays_for(world: World) -> None:
    roll = random.Random(2)
    for _ in range(2):
        world.buy(roll.choice(["PRO-100", "TEAM-YEAR"]), roll.randint(1, 9))
    for _ in range(10):
        customer = roll.choice(world.customers)
        if roll.random() < 0.5:
            world.buy(roll.choice(["PRO-100", "TEAM-YEAR"]), roll.randint(1, 9), customer)
        else:
            live = world.get("/v1/subscriptions", status="active", limit=100)["data"]
            if live:
                world.cancel(roll.choice(live)["id"])
        if roll.random() < 0.6:
            posts = world.events()
            roll.shuffle(posts)
            world.deliver(posts + posts[:2])
            world.work()
    settled(world)
    assert _held(world) == _paid_for(world)
    assert len({row["id"] for row in world.grants()}) < len(world.subscriptions), "none was carried on"
    written = world.writes()
    world.replay_all()
    settled(world)
    assert world.writes() == written


@pytest.mark.parametrize("world", [{"keyed": True}, {"keyed": False}], indirect=True)
def test_an_end_and_a_purchase_told_in_one_breath_leave_one_live_license_for_each_live_purchase(
    world: World,
) -> None:
    roll = random.Random(1)
    told_first = ["new", "old", "either"] * 2
    old = [world.buy("PRO-100", roll.randint(1, 9)) for _ in told_first]
    settled(world)
    new = [_moved(world, one, customer, roll) for one, customer in zip(old, world.customers, strict=True)]
    posts = world.events()
    roll.shuffle(posts)
    posts.sort(key=lambda post: _turn(post, dict(zip([*old, *new], told_first * 2, strict=True)), set(new)))
    while posts:
        some = roll.randint(1, 9)
        world.deliver(posts[:some])
        del posts[:some]
        world.work()
    settled(world)
    assert _held(world) == _paid_for(world)
    assert sum(_held(world).values()) == len(new)
    written = world.writes()
    world.replay_all()
    settled(world)
    assert world.writes() == written


def _moved(world: World, old: str, customer: str, roll: random.Random) -> str:
    """The customer's new subscription, bought just before or just after the old one was ended."""
    first = roll.random() < 0.5
    new = world.buy(roll.choice(["PRO-100", "TEAM-YEAR"]), roll.randint(1, 9), customer) if first else ""
    world.cancel(old)
    return new or world.buy(roll.choice(["PRO-100", "TEAM-YEAR"]), roll.randint(1, 9), customer)


def _turn(post: Post, told_first: dict[str, str], new: set[str]) -> int:
    """0: of the purchase that is told first, 2: of the other one; 1: of neither."""
    about = next((id_ for id_ in told_first if id_.encode() in post[0]), None)
    if about is None or told_first[about] == "either":
        return 1
    return 0 if (about in new) is (told_first[about] == "new") else 2


def _paid_for(world: World) -> Counter[Any]:
    """(customer, offering, seats, paid until) of every purchase that is on."""
    buyers = {one["id"]: one["customer"] for one in world._all("/v1/subscriptions", status="all")}
    return Counter(
        (buyers[id_], sku, seats, until)
        for id_, wanted in world.wanted().items()
        for sku, (seats, until) in wanted.on.items()
    )


def _held(world: World) -> Counter[Any]:
    buyers = {one["id"]: one["customer"] for one in world._all("/v1/subscriptions", status="all")}
    return Counter(
        (
            buyers[row["orderRefId"].removeprefix("stripe:")],
            row["sku"],
            row["seatCount"],
            datetime.fromisoformat(row["expiryDate"]) - timedelta(days=7),
        )
        for row in world.grants()
        if not row["disabled"]
    )
