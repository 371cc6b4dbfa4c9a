"""What the licensing vendor says of its entitlements: echoes cost nothing, other people's changes are told and repaired."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub import replay
from hub.domain import Ref
from hub.drain import look_now
from hub.lifecycle import Settled
from hub.store import NewReceipt, stream, subjects
from hub.store.replays import Wanted
from hub.store.schema import entitlement, review, subject
from hub.stream import sequencer
from hub.stream.tail import tail
from tests.world import World

pytestmark = pytest.mark.timeout(120)
numbers = itertools.count(1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite")
    yield made
    made.close()


def hear(world: World, code: str, kind: str, id_: str, **payload: Any) -> None:
    """A webhook of Zentitle2 is in the record, as the door leaves it."""
    event = {
        "eventId": f"ev-{next(numbers)}",
        "eventDate": datetime.now(UTC).isoformat(),
        "eventCode": code,
        "resourceId": id_,
        "callAttempt": 1,
        "payload": payload,
    }
    row = NewReceipt(
        connection="zentitle",
        external_id=str(event["eventId"]),
        type=code,
        subject=f"zentitle/{kind}/{id_}",
        kind=kind,
        received_at=time.time(),
        occurred_at=time.time(),
        outcome="accepted",
        reason=None,
        headers="{}",
        body=json.dumps(event).encode(),
    )
    assert world.hub.store.record(row)


def updated(world: World, row: dict[str, Any], **values: Any) -> None:
    """`entitlement.updated` with what the entitlement has now, but for `values`."""
    told = {"entitlementId": row["id"], "seatCount": row["seatCount"], "disabled": row["disabled"]}
    hear(world, "entitlement.updated", "entitlement", row["id"], **(told | {"expiryDate": row["expiryDate"]} | values))


def sold(world: World, quantity: int = 5) -> dict[str, Any]:
    """The one license of a sale that has settled."""
    world.buy("PRO-100", quantity)
    world.deliver(world.events())
    assert world.settle()
    (row,) = world.grants()
    return row


def reads(world: World) -> int:
    """How many requests Zentitle2 has answered but for tokens."""
    return sum(count for call, count in world.zentitle.calls.items() if "/api/v1/" in call)


def told(world: World) -> list[tuple[str, str]]:
    """(type, made by) of every state in the stream."""
    store = world.hub.store
    held = store.write(lambda conn: subjects.take(conn, sequencer.KEY, "test", 60))
    assert held is not None
    while sequencer.step(store, world.hub.connectors, held):
        pass
    store.write(lambda conn: subjects.release(conn, held))
    return [(one.type, str(one.data["made_by"])) for one in tail(store, 0, ["entitlement.*"])]


def row_of(world: World, ref: str) -> Any:
    with world.hub.store.read() as conn:
        return conn.execute(select(subject).where(subject.c.ref == ref)).one()


def snapshot(world: World, id_: str) -> Any:
    with world.hub.store.read() as conn:
        return conn.execute(select(entitlement).where(entitlement.c.id == id_)).first()


def test_a_sale_is_told_as_one_creation_and_its_echo_costs_no_read(world: World) -> None:
    row = sold(world)
    before = reads(world)
    updated(world, row)
    assert world.settle()
    assert reads(world) == before
    assert row_of(world, f"zentitle/entitlement/{row['id']}").summary == "echo of our own change"
    assert told(world) == [("entitlement.created", "hub")]


def test_what_the_hub_changes_is_told_once_and_not_again_by_its_webhook(world: World) -> None:
    row = sold(world)
    world.set_quantity(world.subscriptions[0], 8)
    world.deliver(world.events())
    assert world.settle()
    updated(world, row, seatCount=8)
    assert world.settle()
    assert told(world) == [("entitlement.created", "hub"), ("entitlement.changed", "hub")]


def test_what_somebody_else_changed_is_told_and_the_purchase_s_look_repairs_it(world: World) -> None:
    row = sold(world, 5)
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=9)
    updated(world, row, seatCount=9)
    assert world.settle()
    assert world.wrong() == []
    assert told(world)[1:] == [("entitlement.changed", "elsewhere"), ("entitlement.changed", "hub")]


def test_what_somebody_switched_off_is_told_and_left_as_it_is(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], disabled=True)
    updated(world, row, disabled=True)
    assert world.settle()
    assert world.grants()[0]["disabled"]
    assert told(world)[1:] == [("entitlement.disabled", "elsewhere")]
    with world.hub.store.read() as conn:
        assert conn.execute(select(review.c.kind).where(review.c.open)).scalars().all() == ["on hold"]


def test_I5_a_webhook_that_came_late_says_nothing_new(world: World) -> None:
    """Its seats were true once; what is read now counts."""
    row = sold(world, 5)
    updated(world, row, seatCount=3)
    assert world.settle()
    assert world.wrong() == []
    assert told(world) == [("entitlement.created", "hub")]


def test_seats_in_use_come_with_their_webhook_and_cost_no_read(world: World) -> None:
    row = sold(world)
    before = reads(world)
    for used in (1, 2, 3):
        seat = {"entitlementId": row["id"], "activationId": f"act_{used}", "seatId": f"s{used}", "seatsUsed": used}
        hear(world, "entitlement.seat.activated", "entitlement", row["id"], **seat)
    assert world.settle()
    assert reads(world) == before
    assert snapshot(world, row["id"]).body["seats_used"] == 3
    assert told(world) == [("entitlement.created", "hub")]
    assert [one.data["entitlement"] for one in tail(world.hub.store, 0, ["seat.*"])] == [row["id"]] * 3


def test_an_entitlement_that_the_hub_did_not_make_is_kept_and_not_told_until_it_changes(world: World) -> None:
    world.zentitle_admin("fill", groups=1)
    (row,) = world.grants()
    hear(world, "entitlement.created", "entitlement", row["id"], entitlementId=row["id"])
    assert world.settle()
    kept = snapshot(world, row["id"])
    assert (kept.subject, kept.order_ref) == (None, "fill:0")
    assert told(world) == []
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=7)
    updated(world, row, seatCount=7)
    assert world.settle()
    assert told(world) == [("entitlement.changed", "elsewhere")]
    assert world.grants()[0]["seatCount"] == 7


def test_a_webhook_that_says_nothing_of_a_field_makes_a_read(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], disabled=True)
    hear(world, "entitlement.expired", "entitlement", row["id"], entitlementId=row["id"], expiredAt=row["expiryDate"])
    assert world.settle()
    assert not snapshot(world, row["id"]).enabled


def test_what_the_vendor_does_not_know_is_a_task_and_nothing_else(world: World) -> None:
    hear(world, "entitlement.updated", "entitlement", "ent_nobody", entitlementId="ent_nobody", seatCount=3)
    assert world.settle()
    assert snapshot(world, "ent_nobody") is None
    with world.hub.store.read() as conn:
        assert conn.execute(select(review.c.key).where(review.c.open)).scalars().all() == [
            "gone:zentitle/entitlement/ent_nobody"
        ]
    assert told(world) == []


@pytest.mark.parametrize("kind", ["group", "customer"])
def test_a_group_or_customer_that_changed_makes_its_entitlements_looked_at(world: World, kind: str) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], exported=True)
    kept = snapshot(world, row["id"])
    id_ = kept.group_id if kind == "group" else kept.customer_id
    hear(world, f"{'entitlement.group' if kind == 'group' else 'customer'}.updated", kind, id_)
    assert world.settle()
    assert snapshot(world, row["id"]).body["frozen"]
    assert told(world)[1:] == [("entitlement.changed", "elsewhere")]


def test_a_dry_run_says_what_differs_and_keeps_nothing(world: World) -> None:
    row = sold(world)
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=9)
    updated(world, row, seatCount=9)
    before = snapshot(world, row["id"])
    ref = Ref(source="zentitle", kind="entitlement", id=row["id"])
    result = look_now(replace(world.hub.shop, observe=True), ref)
    assert isinstance(result, Settled)
    assert "seats differ" in result.summary
    assert snapshot(world, row["id"]) == before


def test_a_webhook_of_an_entitlement_whose_purchase_is_at_work_waits_for_it(world: World) -> None:
    row = sold(world)
    ref = f"stripe/subscription/{world.subscriptions[0]}"
    held = world.hub.store.write(lambda conn: subjects.take(conn, subjects.subject_key(ref), "somebody", 60))
    assert held is not None
    world.zentitle_admin("edit", entitlement=row["id"], seatCount=9)
    updated(world, row, seatCount=9)
    world.work()
    assert row_of(world, f"zentitle/entitlement/{row['id']}").cause == "busy"
    assert snapshot(world, row["id"]).body["seats"] == 5
    world.hub.store.write(lambda conn: subjects.release(conn, held))
    assert world.settle()
    assert world.wrong() == []


def test_I13_every_webhook_again_in_any_order_changes_and_tells_nothing(world: World) -> None:
    row = sold(world)
    for seats in (6, 7, 5):
        updated(world, row, seatCount=seats)
    assert world.settle()
    before, written = told(world), world.writes()
    for seats in (7, 5, 6, 7):
        updated(world, row, seatCount=seats)
        world.work()
    assert world.settle()
    assert (told(world), world.writes()) == (before, written)
    every = Wanted(connection="zentitle")
    for _ in range(2):
        replay.apply(world.hub.store, every, replay.select(world.hub.store, every), "ada", "test")
        world.work()
    assert world.settle()
    assert (told(world), world.writes()) == (before, written)
    with world.hub.store.read() as conn:
        assert not stream.waiting(conn)
