"""Refunds, disputes and one-off sales through the whole hub, from events alone: any order comes to the same license."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub.inbox import accept
from hub.store.schema import review, subject
from tests.factories import a_signature
from tests.world import SECRET, World

FIXTURES = Path(__file__).parent / "connectors/stripe/fixtures"
SUB, PI = "stripe/subscription/sub_1QaFirst", "stripe/payment/pi_1QaFirst"
SALE = ("customer.created__named", "customer.subscription.created__active", "invoice.paid__first")
LINK, REFUND, FAILED = "invoice_payment.paid__card", "charge.refunded__full", "refund.failed__full"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A hub without an API key."""
    database = request.getfixturevalue(request.param) if hasattr(request, "param") else ""
    made = World(tmp_path, database or f"sqlite:///{tmp_path}/hub.sqlite", keyed=False)
    yield made
    made.close()


def post(world: World, *names: str, **fields: Any) -> None:
    """Delivers these fixtures, signed; `fields` go into each one's object."""
    for name in names:
        event = json.loads((FIXTURES / f"{name}.json").read_text()) | {"livemode": True}
        if "data" in event:
            event["data"]["object"] |= fields
        body = json.dumps(event).encode()
        headers = {"stripe-signature": a_signature(body, SECRET)}
        assert accept(world.hub.store, world.hub.connectors["stripe"], body, headers, time.time()) == ["accepted"]


def settled(world: World) -> list[dict[str, Any]]:
    """What exists once nothing is due."""
    assert world.settle()
    return world.grants()


def the_one(world: World) -> dict[str, Any]:
    (one,) = settled(world)
    return one


def tasks(world: World) -> set[str]:
    with world.hub.store.read() as conn:
        return set(conn.execute(select(review.c.kind).where(review.c.open)).scalars())


def state_of(world: World, ref: str) -> tuple[str, str]:
    with world.hub.store.read() as conn:
        row = conn.execute(select(subject).where(subject.c.ref == ref)).one()
    return row.state, row.cause


def test_a_full_refund_switches_off_and_a_failed_one_on_again_with_the_old_expiry(world: World) -> None:
    post(world, *SALE, LINK)
    before = the_one(world)
    assert not before["disabled"]
    post(world, REFUND)
    off = the_one(world)
    assert (off["disabled"], off["expiryDate"]) == (True, before["expiryDate"])
    post(world, FAILED)
    on = the_one(world)
    assert (on["disabled"], on["expiryDate"]) == (False, before["expiryDate"])


@pytest.mark.parametrize("seed", range(6))
def test_I7_a_refund_that_failed_leaves_the_license_on_in_any_order(world: World, seed: int) -> None:
    names = [*SALE, LINK, REFUND, FAILED]
    roll = random.Random(seed)
    roll.shuffle(names)
    for name in names:
        post(world, name)
        if roll.random() < 0.5:
            world.settle()
    one = the_one(world)
    assert (one["disabled"], one["seatCount"]) == (False, 5)
    assert tasks(world) <= {"customer_ref"}  # a customer that comes last is linked by its id first


@pytest.mark.parametrize("world", ["sqlite_url", "postgres_url"], indirect=True)
def test_I7_a_refund_that_comes_before_its_sale_waits_for_it(world: World) -> None:
    post(world, REFUND)
    assert settled(world) == []
    assert state_of(world, PI) == ("parked", "needs_api_key")
    post(world, *SALE)
    assert not the_one(world)["disabled"]
    post(world, LINK)
    assert the_one(world)["disabled"]
    assert state_of(world, PI)[0] == "idle"


def test_the_link_before_the_invoice_waits_for_the_invoice(world: World) -> None:
    post(world, LINK, REFUND)
    settled(world)
    assert state_of(world, PI) == ("parked", "needs_api_key")
    post(world, *SALE)
    assert settled(world) == [] or the_one(world)["disabled"]
    assert state_of(world, PI)[0] == "idle"


def test_a_replay_of_everything_changes_nothing(world: World) -> None:
    post(world, *SALE, LINK, REFUND)
    settled(world)
    written = world.writes()
    world.replay_all()
    settled(world)
    assert world.writes() == written


def test_a_dispute_is_flagged_while_it_is_open_and_switches_off_where_it_is_lost(world: World) -> None:
    post(world, *SALE, LINK, "charge.dispute.created__open")
    assert not the_one(world)["disabled"]
    assert tasks(world) == {"dispute"}
    post(world, "charge.dispute.closed__lost")
    assert the_one(world)["disabled"]
    assert tasks(world) == set()


def test_a_dispute_that_is_won_leaves_no_trace(world: World) -> None:
    post(world, *SALE, LINK, "charge.dispute.created__open")
    settled(world)
    post(world, "charge.dispute.closed__won")
    assert not the_one(world)["disabled"]
    assert tasks(world) == set()


def test_credited_seats_are_taken_away_and_given_back_where_the_note_is_voided(world: World) -> None:
    post(world, *SALE, "credit_note.created__seats")
    assert the_one(world)["seatCount"] == 3
    post(world, "credit_note.voided__seats")
    assert the_one(world)["seatCount"] == 5


def test_a_partial_refund_that_names_no_seats_is_for_a_person(world: World) -> None:
    post(world, *SALE, LINK, "charge.refunded__part")
    one = the_one(world)
    assert (one["disabled"], one["seatCount"]) == (False, 5)
    assert tasks(world) == {"partial refund"}


def test_a_guest_s_one_off_sale_is_a_license_and_its_refund_the_end_of_it(world: World) -> None:
    price = {"id": "price_once", "lookup_key": "PRO-100", "product": "prod_1", "metadata": {}}
    lines = {"data": [{"id": "li_1", "quantity": 4, "price": price}], "has_more": False}
    post(world, "checkout.session.completed__guest_with_lines", line_items=lines)
    one = the_one(world)
    assert (one["sku"], one["seatCount"], one["disabled"]) == ("PRO-100", 4, False)
    expires = one["expiryDate"]
    post(world, "charge.refunded__one_off", payment_intent="pi_1QaGuest", metadata={})
    off = the_one(world)
    assert (off["disabled"], off["expiryDate"]) == (True, expires)


def test_a_thin_event_is_parked_until_its_twin_comes(world: World) -> None:
    post(world, "customer.created__named", "v1.customer.subscription.updated__thin", "invoice.paid__first")
    assert settled(world) == []
    assert state_of(world, SUB) == ("parked", "needs_api_key")
    post(world, "customer.subscription.updated__quantity")
    assert the_one(world)["seatCount"] == 8
