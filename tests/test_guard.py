"""The guard through a whole hub: what takes something away waits, what gives goes, and so do new licenses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hub import approvals, asking
from tests.world import World

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    """A hub whose guard holds everything back."""
    made = World(tmp_path, sqlite_url, guard_min=0)
    yield made
    made.close()


def settled(world: World) -> dict[str, Any]:
    world.deliver(world.events())
    assert world.settle()
    (one,) = world.grants()
    return dict(one)


def approve_all(world: World) -> list[str]:
    told = [str(one["acts"]) for one in asking.waiting_for_approval(world.hub.store)]
    for one in asking.waiting_for_approval(world.hub.store):
        assert approvals.approve(world.hub.store, one["subject"], "ada", "test")
    return told


def test_what_the_hub_has_just_made_gets_its_first_terms_whatever_the_offering_gave(world: World) -> None:
    world.buy("PRO-MONTHLY", 2)
    one = settled(world)
    assert (one["seatCount"], one["disabled"]) == (2, False)
    assert world.wrong() == []


def test_another_offering_waits_and_more_seats_of_the_same_look_go(world: World) -> None:
    sold = world.buy("PRO-100", 3)
    before = settled(world)
    form = {"items[0][id]": world.item(sold)["id"], "items[0][price]": world.price("TEAM-YEAR")}
    world.post(f"/v1/subscriptions/{sold}", form | {"items[0][quantity]": "6"})
    one = settled(world)
    assert (one["sku"], one["seatCount"]) == ("PRO-100", 6)
    written = world.writes()
    world.replay_all()
    settled(world)
    assert world.writes() == written, "what is held is not written again and again"
    (told,) = approve_all(world)
    assert f"ChangeOffering {before['id']} to offering TEAM-YEAR" in told
    one = settled(world)
    assert (one["sku"], one["seatCount"]) == ("TEAM-YEAR", 6)
    assert world.wrong() == []


def test_an_earlier_end_waits_and_a_later_one_goes(world: World) -> None:
    world.buy("PRO-100", 3)
    before = settled(world)
    world.advance(370)
    later = settled(world)
    assert _end(later) > _end(before)
    world.zentitle_admin("edit", entitlement=later["id"], expiryDate="2040-01-01T00:00:00Z")
    world.replay_all()
    held = settled(world)
    assert _end(held).year == 2040
    (told,) = approve_all(world)
    assert f"SetTerms {held['id']} to expires_at" in told
    assert _end(settled(world)) == _end(later)


def _end(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["expiryDate"])
