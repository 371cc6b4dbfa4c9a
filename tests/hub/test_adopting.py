"""Licenses that were there before the hub are taken up, and none is made twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from hub import adopting, comparing
from hub.adopting import Match
from hub.cli import main
from hub.domain import CreateCustomer, CreateGroup
from hub.store import schema as t
from tests.world import World


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    world = World(tmp_path, sqlite_url)
    yield world
    world.close()


def licensed(world: World, account: str, order_ref: str) -> str:
    """A license that somebody made before the hub came."""
    licensing = world.hub.shop.licensing
    known = dict(licensing.customers())
    customer = known.get(account) or licensing.apply(CreateCustomer(account_ref=account, name="Old")).ids[0]
    code = f"AAAAA-BBBBB-CCCCC-{len(world.grants()):05}"
    made = CreateGroup(customer_id=customer, order_ref=order_ref, skus=("PRO-100",), activation_code=code)
    return licensing.apply(made).ids[-1]


def found(world: World, *, take_over: bool = False) -> list[Match]:
    hub = world.hub
    return adopting.find(hub.store, hub.connectors, hub.rules, hub.shop.licensing, take_over=take_over)


def adopted(world: World, which: list[Match]) -> list[str]:
    return [one.id for one in adopting.adopt(world.hub.store, world.hub.shop.licensing, which, "ann", "test")]


def test_what_is_adopted_is_brought_in_step_and_never_made_again(world: World) -> None:
    customer = world.customer()
    id_ = licensed(world, customer, "legacy-7")
    bought = world.buy("PRO-100", 3, customer)
    writes = world.writes()
    (one,) = found(world)
    assert (one.id, one.state) == (f"{id_}=stripe/subscription/{bought}", "adopt")
    assert "→ 3" in one.drifts
    assert adopted(world, [one]) == [one.id]
    assert world.writes() == writes  # a look writes, adopting does not
    assert adopted(world, [one]) == []
    assert found(world) == []
    world.deliver(world.events())
    assert world.settle()
    assert [(row["orderRefId"], row["seatCount"]) for row in world.grants()] == [("legacy-7", 3)]
    world.replay_all()
    assert world.settle()
    assert len(world.grants()) == 1
    hub = world.hub
    assert [*comparing.find(hub)] == []
    with hub.store.read() as conn:
        (why,) = conn.execute(select(t.audit.c.detail).where(t.audit.c.action == "adopt")).scalars()
    assert customer in why["because"]


def test_an_order_reference_that_names_the_purchase_tells_it_from_the_buyer_s_others(world: World) -> None:
    bought = world.buy("PRO-100", 3)
    world.buy("PRO-100", 5)
    licensed(world, "another-account", bought)
    assert [(one.purchase, one.state) for one in found(world)] == [(f"stripe/subscription/{bought}", "adopt")]


def test_where_there_is_a_choice_a_person_chooses(world: World) -> None:
    customer = world.customer()
    licensed(world, customer, "legacy-7")
    world.buy("PRO-100", 3, customer)
    world.buy("PRO-100", 5, customer)
    matches = found(world)
    assert [one.state for one in matches] == ["ambiguous", "ambiguous"]
    assert adopted(world, matches) == [matches[0].id]  # the second is taken by then


def test_a_name_alone_makes_a_task_with_its_candidates_that_applying_one_closes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    licensing = world.hub.shop.licensing
    licensing.apply(CreateCustomer(account_ref="legacy-1", name="ADA  Shop"))
    id_ = licensed(world, "legacy-1", "legacy-7")
    bought = world.buy("PRO-100", 3, world.customer(name="Ada Shop"))
    (one,) = found(world)
    assert (one.id, one.state) == (f"{id_}=stripe/subscription/{bought}", "ambiguous")
    assert CliRunner().invoke(main, ["adopt", "--apply", "all"]).exit_code == 1
    (task,) = json.loads(CliRunner().invoke(main, ["review", "--json"]).stdout)["tasks"]
    assert (task["kind"], one.id in task["text"]) == ("whose license", True)
    assert CliRunner().invoke(main, ["adopt", "--apply", one.id]).exit_code == 0
    assert CliRunner().invoke(main, ["review"]).exit_code == 0


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("ida@acme.example", "acme.example"),
        ("ida@gmail.com", ""),
        ("acme", ""),
        ("@acme.example", ""),
        ("we @ b.c", ""),
    ],
)
def test_a_domain_says_something_only_where_it_is_a_company_s(name: str, domain: str) -> None:
    assert adopting.domain_of(name) == domain


def test_what_a_vendor_s_own_integration_keeps_is_left_alone_unless_told(world: World) -> None:
    customer = world.customer()
    licensed(world, customer, "in_1Nabc")
    world.buy("PRO-100", 3, customer)
    assert [one.state for one in found(world)] == ["left alone"]
    assert [one.state for one in found(world, take_over=True)] == ["adopt"]


def test_the_command_writes_only_when_told_and_refuses_what_it_does_not_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    customer = world.customer()
    licensed(world, customer, "legacy-7")
    world.buy("PRO-100", 3, customer)
    run = CliRunner().invoke(main, ["adopt"])
    assert (run.exit_code, "Nothing was written" in run.stdout) == (1, True)
    assert CliRunner().invoke(main, ["adopt", "--apply", "nonsense", "--json"]).exit_code == 4
    run = CliRunner().invoke(main, ["adopt", "--apply", "all", "--json"])
    assert (run.exit_code, len(json.loads(run.stdout)["adopted"])) == (0, 1)
