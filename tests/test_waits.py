"""What a parked sale waits for, and what a look saw last: kept whole, and true again when things go back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Row, select

from hub import coverage, settings, wiring
from hub.store import pages
from hub.store.schema import observation, subject
from tests.test_failpoints import look
from tests.world import World

ROW = '\n[[catalog]]\nstripe = "{}"\nsku = "{}"\n'


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, database_url)
    yield made
    made.close()


def an_unnamed_price(world: World) -> str:
    """A price whose lookup key and product no offering has for its SKU."""
    product = world.post("/v1/products", {"name": "new"})["id"]
    terms = {"product": product, "unit_amount": "100", "currency": "usd", "recurring[interval]": "year"}
    price: str = world.post("/v1/prices", terms)["id"]
    world.prices[price] = price
    return price


def settled(world: World) -> None:
    world.deliver(world.events())
    assert world.settle()


def restarted(world: World, *rows: tuple[str, str]) -> None:
    """The hub again, with these rows more in its catalog."""
    world.hub.store.close()
    with world.config.open("a") as file:
        file.writelines(ROW.format(*row) for row in rows)
    world.hub = wiring.build(settings.load(world.config, {}))
    wiring.start(world.hub)
    assert world.settle()


def state_of(world: World, id_: str) -> Row[tuple[object, ...]]:
    with world.hub.store.read() as conn:
        return conn.execute(select(subject).where(subject.c.ref == f"stripe/subscription/{id_}")).one()


def waits(world: World) -> dict[str, int]:
    with world.hub.store.read() as conn:
        found = {one.key: one.subjects for one in coverage.waiting_for_a_row(conn, world.hub)}
        for key, count in found.items():
            assert pages.waiting_for_key(conn, key) == len(pages.subjects(conn, "parked", None, key=key).rows) == count
    return found


def test_a_sale_of_two_unnamed_lines_waits_for_both_and_is_freed_once_both_are_named(world: World) -> None:
    one, two = an_unnamed_price(world), an_unnamed_price(world)
    both = world.buy(one, 2, **{"items[1][price]": two, "items[1][quantity]": "3"})
    alone = world.buy(two, 1)
    settled(world)
    assert waits(world) == {one: 1, two: 2}
    parked = state_of(world, both)
    assert parked.reason == (
        f'no catalog row names {one}, {two}: add [[catalog]] rows with stripe = "{one}", stripe = "{two}", and restart'
    )
    restarted(world, (two, "TEAM-YEAR"))
    assert (state_of(world, both).state, state_of(world, alone).state) == ("parked", "idle")
    assert waits(world) == {one: 1}
    restarted(world, (one, "PRO-100"))
    assert (state_of(world, both).state, waits(world)) == ("idle", {})
    seats = sorted((row["orderRefId"] == f"stripe:{both}", row["sku"], row["seatCount"]) for row in world.grants())
    assert seats == [(False, "TEAM-YEAR", 1), (True, "PRO-100", 2), (True, "TEAM-YEAR", 3)]


def test_what_goes_back_to_an_earlier_state_was_seen_so_last(world: World) -> None:
    customer = world.customer("Brightwater")
    id_ = world.buy("PRO-100", 1, customer)
    settled(world)
    saw = [state_of(world, id_).saw]
    for name in ("Darkwater", "Brightwater"):
        world.post(f"/v1/customers/{customer}", {"name": name})
        look(id_)(world.hub)
        saw.append(state_of(world, id_).saw)
    with world.hub.store.read() as conn:
        by_id = conn.execute(select(observation.c.hash).order_by(observation.c.id)).scalars().all()
    assert saw == [by_id[0], by_id[1], by_id[0]]
