"""Licenses that were there before the hub are taken up, and none is made twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from sqlalchemy import Connection, select
from structlog.testing import capture_logs

from hub import adopting, comparing, wiring
from hub.adopting import Match
from hub.cli import main
from hub.domain import CreateCustomer, CreateGroup
from hub.store import Store, candidates
from hub.store import schema as t
from tests.hub.browsing import Browser, served, text_of
from tests.hub.factory import PARKED, a_doubt, an_entitlement
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


def in_doubt(world: World) -> tuple[str, list[str]]:
    """A license that fits two purchases of its buyer, as `hub adopt --apply all` leaves it; and the purchases."""
    customer = world.customer(name="Ada Shop")
    id_ = licensed(world, customer, "legacy-7")
    bought = [f"stripe/subscription/{world.buy('PRO-100', seats, customer)}" for seats in (3, 5)]
    assert CliRunner().invoke(main, ["adopt", "--apply", "all"]).exit_code == 1
    return id_, bought


@pytest.fixture
def browser(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    section = world.hub.settings.hub.model_copy(update={"console": "open"})
    with served(replace(world.hub, settings=world.hub.settings.model_copy(update={"hub": section}))) as base:
        yield Browser(base)


def decide(browser: Browser, id_: str, **form: str) -> requests.Response:
    page = f"/adopt/{id_}"
    return browser.post("/actions/whose", {"csrf": browser.token(page), "next": "/reviews", "license": id_, **form})


def open_tasks(world: World) -> list[str]:
    with world.hub.store.read() as conn:
        return [*conn.execute(select(t.review.c.key).where(t.review.c.open)).scalars()]


def audited(world: World, action: str) -> list[tuple[str, dict[str, str]]]:
    with world.hub.store.read() as conn:
        a = t.audit.c
        return [(row.actor, row.detail) for row in conn.execute(select(a.actor, a.detail).where(a.action == action))]


def test_a_person_says_in_the_console_whose_license_it_is_and_it_is_brought_in_step(
    world: World, browser: Browser
) -> None:
    id_, bought = in_doubt(world)
    assert f'href="/adopt/{id_}"' in browser.get("/reviews").text
    page = text_of(browser.get(f"/adopt/{id_}"))
    assert all(words in page for words in ("2 purchases", *bought, "order legacy-7", "None of these", "seats 1 → 3"))
    assert decide(browser, id_).status_code == 400
    wrong = decide(browser, id_, purchase="stripe/subscription/sub_another")
    assert (wrong.status_code, "Choose one of the purchases" in text_of(wrong)) == (400, True)
    assert open_tasks(world) == [f"adopt:{id_}"]
    writes = world.writes()
    assert "Adopted." in text_of(decide(browser, id_, purchase=bought[1], why="  their order   names it "))
    assert world.writes() == writes  # a look writes, deciding does not
    assert open_tasks(world) == []
    ((actor, told),) = audited(world, "adopt")
    assert (actor, told["entitlement"], told["why"]) == ("sandbox", id_, "their order names it")
    form = {"csrf": browser.token(f"/subjects/{bought[1]}"), "license": id_, "purchase": bought[0]}
    assert browser.post("/actions/whose", form).status_code == 404  # it is decided
    world.deliver(world.events())
    assert world.settle()
    assert sorted((row["orderRefId"][:7], row["seatCount"]) for row in world.grants()) == [
        ("legacy-", 5),
        ("stripe:", 3),
    ]


def test_none_of_these_needs_a_reason_is_kept_and_a_new_purchase_is_proposed_all_the_same(
    world: World, browser: Browser
) -> None:
    id_, bought = in_doubt(world)
    refused = decide(browser, id_, purchase="none", why="  ")
    assert (refused.status_code, "Say why none of them" in text_of(refused)) == (400, True)
    assert 'value="none" required checked' in refused.text  # what was chosen stays
    assert "Noted." in text_of(decide(browser, id_, purchase="none", why="a reseller's"))
    assert open_tasks(world) == []
    assert audited(world, "adopt none") == [
        ("sandbox", {"entitlement": id_, "not": sorted(bought), "why": "a reseller's"})
    ]
    assert {(one.state, one.because) for one in found(world)} == {("ruled out", "sandbox: a reseller's")}
    assert CliRunner().invoke(main, ["adopt", "--apply", "all"]).exit_code == 0  # nothing is left to decide
    assert open_tasks(world) == []
    new = world.buy("PRO-100", 7, world.customers[0])
    assert [one.purchase for one in found(world) if one.state == "adopt"] == [f"stripe/subscription/{new}"]
    assert (
        CliRunner().invoke(main, ["adopt", "--apply", f"{id_}={bought[0]}"]).exit_code == 1
    )  # a person may think again
    assert [one for one in found(world) if one.entitlement == id_] == []


def test_the_command_rules_out_what_the_console_does_with_a_reason_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    id_, _ = in_doubt(world)
    assert CliRunner().invoke(main, ["adopt", "--none", id_]).exit_code == 2
    assert CliRunner().invoke(main, ["adopt", "--none", "ent_nobody", "--why", "x"]).exit_code == 4
    run = CliRunner().invoke(main, ["adopt", "--none", id_, "--why", "a reseller's", "--json"])
    assert (run.exit_code, json.loads(run.stdout)["ruled_out"]) == (0, [id_])
    assert open_tasks(world) == []
    assert CliRunner().invoke(main, ["adopt"]).exit_code == 0


def test_a_license_that_can_t_be_read_now_is_left_to_decide(world: World, browser: Browser) -> None:
    id_, bought = in_doubt(world)
    world.zentitle_admin("faults", rates={"throttle": 1.0}, retry_after_s=300)
    answer = decide(browser, id_, purchase=bought[0])
    assert (answer.status_code, "nothing was written" in text_of(answer)) == (503, True)
    assert open_tasks(world) == [f"adopt:{id_}"]


def test_the_hub_says_that_adopting_comes_first_until_a_purchase_was_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))

    def told() -> list[str]:
        findings = json.loads(CliRunner().invoke(main, ["check", "--json"]).stdout)
        return [one["problem"] for one in findings if "hub adopt" in one["mend"]]

    def warned() -> list[str]:
        with capture_logs() as said:
            wiring.check_vendors(world.hub.settings, starting=True)
        return [one["problem"] for one in said if "hub adopt" in one.get("mend", "")]

    assert told() == warned() == []  # there is no license at all
    id_ = licensed(world, "legacy-1", "legacy-7")
    assert told() == warned()
    assert id_ in told()[0]
    world.buy("PRO-100", 3)
    world.deliver(world.events())
    assert world.settle()
    assert told() == warned() == []  # it is too late to say so


def test_the_hub_s_own_licenses_are_nothing_to_adopt_though_the_record_is_new(world: World) -> None:
    licensed(world, "stripe:cus_1", "stripe:sub_1")
    licensing = world.hub.shop.licensing
    assert adopting.unadopted(world.hub.store, world.hub.connectors, licensing) is None


def test_a_purchase_gets_no_second_license_of_an_offering(world: World) -> None:
    customer = world.customer()
    licensed(world, customer, "legacy-7")
    licensed(world, customer, "legacy-8")
    world.buy("PRO-100", 3, customer)
    one, other = found(world)
    assert adopted(world, [one, other]) == [one.id]
    assert found(world) == []  # the other one fits no purchase that lacks a license


def test_what_is_in_doubt_is_kept_and_decided_on_both_databases(store: Store) -> None:
    store.write(lambda conn: an_entitlement(conn, PARKED, "ent_own"))
    store.write(a_doubt)
    with store.read() as conn:
        assert [one.purchase for one in adopting.asked(conn, "ent_loose")] == ["stripe/subscription/sub_other"]
    store.write(lambda conn: conn.execute(t.entitlement.delete()))
    with store.read() as conn:
        assert [one.purchase for one in adopting.asked(conn, "ent_loose")] == ["stripe/subscription/sub_other", PARKED]
    store.write(lambda conn: candidates.put(conn, "ent_else", [kept(conn, "ent_loose", PARKED)]))
    assert adopting.rule_out(store, "ent_loose", "no", "ann", "test") == ["stripe/subscription/sub_other", PARKED]
    assert adopting.rule_out(store, "ent_loose", "no", "ann", "test") == []
    store.write(a_doubt)  # found again: what was ruled out stays so
    with store.read() as conn:
        assert adopting.asked(conn, "ent_loose") == []
        assert set(candidates.ruled_out(conn).values()) == {"ann: no"}
    store.write(lambda conn: candidates.decided(conn, "ent_third", PARKED, "PRO-100"))
    with store.read() as conn:
        assert adopting.asked(conn, "ent_else") == []  # its purchase has a license now


def kept(conn: Connection, id_: str, purchase: str) -> dict[str, str]:
    (row,) = [one for one in adopting.asked(conn, id_) if one.purchase == purchase]
    return {name: getattr(row, name) for name in adopting.KEPT}


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
