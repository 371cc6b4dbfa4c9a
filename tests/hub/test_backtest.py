"""A changed catalog is tried on everything that is on record before it is put into force."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from hub import backtest, recorded, settings, wiring
from hub.backtest import Backtest
from hub.errors import ConfigurationError
from hub.store import schema as t
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
