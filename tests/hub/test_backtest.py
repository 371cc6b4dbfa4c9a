"""A changed catalog is tried on everything that is on record before it is put into force."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, func, select

from hub import backtest, recorded, settings, wiring
from hub.backtest import Backtest
from hub.cli import main
from hub.errors import ConfigurationError
from hub.stakes import Stake, accounts_of, in_sentences
from hub.store import Store, worths
from hub.store import schema as t
from hub.usage.portfolio import Money
from tests.world import World

ROW = '\n[[catalog]]\nstripe = "PRO-100"\nsku = "PRO-100"\n'


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    world = World(tmp_path, sqlite_url)
    yield world
    world.close()


def tried(world: World, text: str) -> Backtest:
    file = world.config.with_name("new.toml")
    file.write_text(text)
    hub = world.hub
    return backtest.run(hub.store, hub.connectors, hub.rules, backtest.rules_from(file, hub.connectors))


def put_in_force(world: World, more: str) -> None:
    """Starts the hub anew with `more` in its hub.toml, and looks at everything."""
    world.hub.store.close()
    world.config.write_text(world.config.read_text() + more)
    world.hub = wiring.build(settings.load(world.config, {}))
    wiring.start(world.hub)
    world.replay_all()
    assert world.settle()


def everything(conn: Connection) -> dict[str, int]:
    return {
        one.name: conn.execute(select(func.count()).select_from(one)).scalar_one() for one in t.metadata.sorted_tables
    }


def test_the_same_rules_differ_in_nothing(world: World) -> None:
    world.buy("PRO-100", 3)
    world.deliver(world.events())
    world.settle()
    told = tried(world, world.config.read_text())
    assert (told.purchases, told.differences, told.sends) == (1, [], [])
    assert told.seats_today == told.seats_then == 3
    assert told.version_today == told.version_then


def test_a_changed_row_is_told_field_by_field_and_nothing_is_written_anywhere(world: World) -> None:
    one = world.buy("PRO-100", 3)
    world.deliver(world.events())
    world.settle()
    with world.hub.store.read() as conn:
        before = everything(conn)
    sent = len(world.zentitle_admin("history"))
    told = tried(world, ROW + "seats_per_unit = 5\n[policy]\ngrace_days = 14\nguard_min = -1\nrevive_days = 0\n")
    assert {x.field: (x.today, x.then) for x in told.differences if x.field == "seats"} == {"seats": (3, 15)}
    assert {x.field for x in told.differences} == {"seats", "expires_at"}
    assert {x.subject for x in told.differences} == {f"stripe/subscription/{one}"}
    assert "14 days of grace" in next(x.because for x in told.differences if x.field == "expires_at")
    assert "seats 3 → 15" in told.sends[0]["what"]
    assert told.seats_then - told.seats_today == 12
    assert len(world.zentitle_admin("history")) == sent
    with world.hub.store.read() as conn:
        assert everything(conn) == before


def test_what_a_backtest_tells_is_what_looks_then_do(world: World) -> None:
    world.buy("PRO-100", 4)
    world.deliver(world.events())
    world.settle()
    told = tried(world, ROW + "seats = 2\n[policy]\nguard_min = -1\n")
    then = next(x for x in told.differences if x.field == "seats")
    put_in_force(world, ROW + "seats = 2\n")
    (row,) = world.grants()
    assert row["seatCount"] == then.then == 2


def test_what_nobody_could_license_is_told_both_ways(world: World) -> None:
    world.buy("MYSTERY", 2)
    world.deliver(world.events())
    world.settle()
    told = tried(world, world.config.read_text() + '\n[[catalog]]\nstripe = "MYSTERY"\nsku = "PRO-100"\n')
    assert [(x.field, x.today) for x in told.differences] == [("mapping", "waits for a row"), ("license", None)]
    assert told.sends[0]["what"].startswith("license created: PRO-100, 2 seats")


def test_shrinkings_that_the_guard_would_hold_are_counted(world: World) -> None:
    for _ in range(3):
        world.buy("PRO-100", 4)
    world.deliver(world.events())
    world.settle()
    assert tried(world, ROW + "seats = 1\n[policy]\nguard_min = 1\nguard_max = 1\n").waits == {"stripe": 2}


def test_what_is_at_stake_is_told_in_seats_and_in_what_the_crm_said_that_renewals_are_worth(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_CONFIG", str(world.config))
    buyer = world.customer(name="Ada Shop")
    for quantity, customer in ((4, buyer), (6, buyer), (8, world.customer(name="Brisa"))):
        world.buy("PRO-100", quantity, customer)
    world.deliver(world.events())
    world.settle()
    with world.hub.store.read() as conn:
        ids = {row.body["seats"]: row.id for row in conn.execute(select(t.entitlement))}
    worth = {
        ids[4]: worths.Known(amount_minor=480_000, currency="USD", owner=""),
        ids[6]: worths.Known(amount_minor=90_000, currency="EUR", owner=""),
        ids[8]: worths.Known(amount_minor=None, currency="", owner="Ida"),
    }
    world.hub.store.write(lambda conn: worths.put(conn, "crm", [*worth], worth))
    file = world.config.with_name("new.toml")
    file.write_text(ROW + "seats = 5\n[policy]\nguard_min = -1\n")
    told = json.loads(CliRunner().invoke(main, ["backtest", "--config", str(file), "--json"]).stdout)
    usd, eur = {"amount_minor": 480_000, "currency": "USD"}, {"amount_minor": 90_000, "currency": "EUR"}
    assert told["summary"]["at_stake"] == {"licenses": 3, "value": [usd, eur], "unknown": 1}
    assert told["summary"]["losing"] == {"licenses": 2, "value": [eur], "unknown": 1}  # 6 and 8 seats become 5
    of = {one["entitlement"]: one for one in told["stakes"]}
    assert (of[ids[4]]["value"], of[ids[6]]["value"], of[ids[8]]["value"]) == (usd, eur, None)
    assert [(of[ids[6]]["seats_today"], of[ids[6]]["seats_then"], of[ids[6]]["loses"])] == [(6, 5, ["seats"])]
    ada, brisa = told["accounts"]
    assert (ada["customer"], ada["licenses"], ada["value"], ada["unknown"]) == ("Ada Shop", 2, [usd, eur], 0)
    assert (brisa["customer"], brisa["value"], brisa["unknown"]) == ("Brisa", [], 1)
    said = " ".join(CliRunner().invoke(main, ["backtest", "--config", str(file)]).stdout.split())
    assert "3 licenses of 2 customers, 18 seats today, worth $4,800 + €900 and 1 of unknown worth." in said
    assert "2 licenses would lose something: worth €900 and 1 of unknown worth." in said


def test_a_purchase_that_nobody_would_know_any_more_puts_all_its_licenses_at_stake(world: World) -> None:
    names = {"product": world.post("/v1/products", {"name": "Odd"})["id"], "unit_amount": "100", "currency": "usd"}
    world.prices["ODD"] = world.post("/v1/prices", names | {"recurring[interval]": "year"})["id"]
    world.buy("ODD", 3)
    world.deliver(world.events())
    put_in_force(world, f'\n[[catalog]]\nstripe = "{world.prices["ODD"]}"\nsku = "PRO-100"\n')
    told = tried(world, ROW)
    assert [(x.field, x.then) for x in told.differences] == [("mapping", "waits for a row")]
    assert [(x.seats_today, x.seats_then, x.value) for x in told.stakes] == [(3, 3, None)]
    assert "1 license of 1 customer, 3 seats today, of unknown worth." in told.summary()[2]


def test_who_loses_something_stands_first_and_then_who_is_worth_most() -> None:
    def stake(customer: str, amount: int | None, *loses: str) -> Stake:
        value = None if amount is None else Money(amount_minor=amount, currency="USD")
        names = {"subject": f"stripe/subscription/{customer}", "entitlement": customer, "offering": "PRO-100"}
        return Stake(account="", customer=customer, **names, seats_today=1, seats_then=1, loses=loses, value=value)

    rows = [stake("small", 1), stake("big", 900), stake("none", None), stake("loses", 5, "seats")]
    assert [one.customer for one in accounts_of(rows)] == ["loses", "big", "small", "none"]
    assert [*in_sentences([])] == []


def test_amounts_are_read_of_those_that_are_asked_for_alone(store: Store) -> None:
    known = worths.Known(amount_minor=5, currency="JPY", owner="")
    nobody = worths.Known(amount_minor=None, currency="", owner="Ida")
    store.write(lambda conn: worths.put(conn, "crm", ["a", "b", "c"], {"a": known, "b": nobody, "c": known}))
    with store.read() as conn:
        assert worths.amounts(conn, {"a", "b", "", "d"}) == {"a": Money(amount_minor=5, currency="JPY")}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ROW + ROW, 6),
        (ROW + "seats = 0\n", 5),
        ("[policy]\n\ngrace_days = true_\n", 3),
        ("[policy]\n# how long\ngrace_days = -1\n", 3),
    ],
)
def test_an_error_in_the_new_file_points_at_its_line(world: World, text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"new\.toml.*line {line}\b"):
        tried(world, text)


def test_a_long_record_is_read_in_batches_each_purchase_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bought = [world.buy("PRO-100", 1) for _ in range(5)]
    world.deliver(world.events())
    world.settle()
    monkeypatch.setattr(recorded, "BATCH", 2)
    told: list[tuple[int, int]] = []
    hub = world.hub
    backtest.run(hub.store, hub.connectors, hub.rules, hub.rules, progress=lambda *now: told.append(now))
    assert told == [(2, 5), (4, 5), (5, 5)]
    seen = [str(one.ref) for batch in recorded.batches(hub.store, hub.connectors) for one in batch]
    assert sorted(seen) == sorted(f"stripe/subscription/{one}" for one in bought)
    assert [*recorded.batches(hub.store, hub.connectors, since=time.time() + 60)] == []
