"""Where sales, licenses and CRM disagree is told with its repair, and repaired through looks alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, select

from hub import comparing, drift, metrics
from hub.cli import main
from hub.domain import CreateCustomer, CreateGroup, SetTerms
from hub.drift import Drift
from hub.ports import Outcome, PushResult
from hub.store import drifts, pushes, records
from hub.store import schema as t
from tests.world import World


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    world = World(tmp_path, sqlite_url)
    yield world
    world.close()


def found(world: World, *, ask: bool = True) -> list[Drift]:
    return [*comparing.find(world.hub, ask=ask)]


def applied(world: World, which: Sequence[Drift]) -> list[str]:
    return [one.id for one in drift.apply(world.hub.store, which, "ann", "test")]


def sold(world: World, *quantities: int) -> list[str]:
    """The entitlements of subscriptions of so many seats, in that order."""
    for quantity in quantities:
        world.buy("PRO-100", quantity)
    world.deliver(world.events())
    assert world.settle()
    with world.hub.store.read() as conn:
        stmt = select(t.entitlement.c.id, t.entitlement.c.body)
        by_seats = {row.body["seats"]: row.id for row in conn.execute(stmt)}
    return [by_seats[quantity] for quantity in quantities]


def foreign(world: World) -> str:
    """A license that somebody made by hand for somebody who bought elsewhere."""
    licensing = world.hub.shop.licensing
    customer = licensing.apply(CreateCustomer(account_ref="by-hand", name="By hand")).ids[0]
    sku, code = ("PRO-100",), "AAAAA-BBBBB-CCCCC-DDDDD"
    made = CreateGroup(customer_id=customer, order_ref="legacy-7", skus=sku, activation_code=code)
    return licensing.apply(made).ids[-1]


def test_systems_that_agree_have_no_drift(world: World) -> None:
    sold(world, 3)
    assert found(world) == []


def test_what_was_changed_by_hand_is_found_repaired_by_a_look_and_nothing_is_done_twice(world: World) -> None:
    (id_,) = sold(world, 3)
    world.hub.shop.licensing.apply(SetTerms(entitlement_id=id_, seats=9))
    (one,) = found(world)
    assert (one.kind, one.id) == ("stale", f"stale:{id_}")
    assert "seats 9, on record 3" in one.problem
    writes = world.writes()
    assert applied(world, [one]) == [one.id]
    assert applied(world, [one]) == []  # due already
    assert world.writes() == writes  # applying writes to no vendor
    assert "due" in found(world)[0].waiting
    assert world.settle()
    assert [row["seatCount"] for row in world.grants()] == [3]
    writes = world.writes()
    assert found(world) == []
    assert applied(world, found(world)) == []
    world.settle()
    assert world.writes() == writes


def test_a_license_that_was_lost_on_record_is_taken_up_and_not_made_again(world: World) -> None:
    sold(world, 3)
    world.hub.store.write(lambda conn: conn.execute(t.entitlement.delete()))
    world.hub.store.write(lambda conn: conn.execute(t.grant.delete()))
    kinds = {one.kind: one for one in found(world)}
    assert set(kinds) == {"missing", "stale"}
    assert kinds["missing"].at == kinds["stale"].at
    assert applied(world, [*kinds.values()]) == [kinds["missing"].id]  # one look is enough for both
    assert world.settle()
    assert len(world.grants()) == 1
    assert found(world) == []


def test_a_license_that_nobody_pays_for_is_a_task_once_and_is_left_alone(world: World) -> None:
    sold(world, 3)
    id_ = foreign(world)
    (one,) = found(world)
    assert (one.kind, one.entitlement, one.repair) == ("orphaned", id_, "task")
    assert "legacy-7" in one.problem
    writes = world.writes()
    assert applied(world, [one]) == [f"orphaned:{id_}"]
    assert found(world)[0].waiting == "has its task"
    assert applied(world, found(world)) == []
    assert world.writes() == writes


def test_what_is_not_in_the_list_any_more_is_looked_at_and_never_made_again(world: World) -> None:
    sold(world, 3)
    world.hub.store.write(lambda conn: conn.execute(t.entitlement.update().values(id="ent_lost")))
    kinds = {one.kind: one for one in found(world)}
    assert kinds["gone"].id == "gone:ent_lost"
    assert applied(world, [kinds["gone"]]) == ["gone:ent_lost"]
    assert world.settle()
    assert len(world.grants()) == 1


def test_a_sale_without_a_mapping_and_an_account_without_a_match_are_told_with_their_mends(world: World) -> None:
    world.buy("MYSTERY", 2)
    world.deliver(world.events())
    world.settle()
    lost = PushResult(
        object="Account", key="acme", outcome=Outcome.UNMATCHED, reason="no account", mend="name it", about="Acme"
    )
    world.hub.store.write(lambda conn: pushes._keep(conn, "crm", lost, None))  # as a push keeps it
    told = {one.kind: one for one in found(world)}
    assert set(told) == {"unlicensed", "unmatched"}
    assert "name it" in told["unmatched"].how
    assert told["unmatched"].waiting == "a push is due"  # there was none yet
    assert applied(world, [*told.values()]) == []


def test_what_the_crm_did_not_take_is_told_and_applying_makes_one_push_due(world: World) -> None:
    outcomes = {"acme": Outcome.UNMATCHED, "brisa": Outcome.REFUSED, "cedar": Outcome.DEGRADED, "dune": Outcome.UPDATED}

    def pushed(conn: Connection) -> None:
        for key, outcome in outcomes.items():
            pushes._keep(conn, "crm", PushResult(object="Account", key=key, outcome=outcome), None)
        records.set_cursor(conn, f"{pushes.DONE}crm", "2026-11-24")

    world.hub.store.write(pushed)
    told = found(world)
    assert [one.id.partition("/")[0] for one in told] == ["unmatched:crm", "untold:crm", "untold:crm"]
    assert applied(world, told) == ["unmatched:crm/Account/acme"]  # one push is enough for all
    assert {one.waiting for one in found(world)} == {"a push is due"}


def test_by_the_record_alone_the_vendor_is_asked_nothing(world: World) -> None:
    (id_,) = sold(world, 3)
    world.hub.shop.licensing.apply(SetTerms(entitlement_id=id_, seats=9))
    assert found(world, ask=False) == []
    assert len(found(world)) == 1


def test_counts_are_kept_once_a_day_and_told_as_metrics(world: World) -> None:
    sold(world, 3)
    foreign(world)
    comparing.keep_if_due(world.hub)
    with world.hub.store.read() as conn:
        first = drifts.counts(conn)
    comparing.keep_if_due(world.hub)
    with world.hub.store.read() as conn:
        assert drifts.counts(conn) == first
    text = metrics.render(world.hub.store).decode()
    assert 'hub_drift{class="orphaned"} 1.0' in text
    assert 'hub_drift{class="missing"} 0.0' in text
    assert "hub_drift_age_seconds" in text


def test_the_commands_tell_apply_and_say_how_it_went(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (id_,) = sold(world, 3)
    monkeypatch.setenv("HUB_CONFIG", str(world.config))

    def hub(*words: str) -> Any:
        run = CliRunner().invoke(main, [*words, "--json"])
        return run.exit_code, json.loads(run.stdout)

    assert hub("drift") == (0, {"drift": [], "applied": []})
    world.hub.shop.licensing.apply(SetTerms(entitlement_id=id_, seats=9))
    code, told = hub("drift")
    assert (code, [one["id"] for one in told["drift"]]) == (1, [f"stale:{id_}"])
    assert hub("drift", "--apply", "stale")[1]["applied"] == [f"stale:{id_}"]
    assert hub("drift", "--apply", f"stale:{id_}")[1]["applied"] == []
    code, told = hub("drift", "--apply", "nonsense")
    assert code == 4
    assert "nonsense" in told["error"]
    code, told = hub("backtest", "--config", str(world.config))
    assert (code, told["summary"]["purchases"], told["differences"]) == (0, 1, [])
    assert "1 stale" in CliRunner().invoke(main, ["drift"]).stdout


def test_the_review_command_gives_the_row_to_paste_and_closes_a_task_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    assert CliRunner().invoke(main, ["review"]).exit_code == 0
    sold(world, 3)
    foreign(world)
    applied(world, found(world))
    run = CliRunner().invoke(main, ["review", "--json"])
    (task,) = json.loads(run.stdout)["tasks"]
    assert (run.exit_code, task["kind"]) == (1, "orphaned")
    assert CliRunner().invoke(main, ["review", "--done", str(task["number"])]).exit_code == 0
    assert CliRunner().invoke(main, ["review", "--done", str(task["number"])]).exit_code == 4
    assert found(world)[0].waiting == "has its task"  # what a person closed is not asked again


def test_the_review_command_groups_sales_that_wait_for_one_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    names = {"product": world.post("/v1/products", {"name": "Odd"})["id"], "unit_amount": "100", "currency": "usd"}
    world.prices["ODD"] = world.post("/v1/prices", names | {"recurring[interval]": "year"})["id"]
    for quantity in (2, 3):
        world.buy("ODD", quantity)
    world.deliver(world.events())
    world.settle()
    told = json.loads(CliRunner().invoke(main, ["review", "--json"]).stdout)["unmapped"]
    assert [(one["key"], one["subjects"]) for one in told] == [(world.prices["ODD"], 2)]
    assert told[0]["row"].startswith("[[catalog]]\nstripe = ")
