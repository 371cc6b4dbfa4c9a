"""A replay asks for looks, behind live work; it repeats no event and can double nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from hub import replay
from hub.cli import main
from hub.domain import Ref
from hub.replay import Selection
from hub.store import Store, subjects
from hub.store.replays import Wanted
from hub.store.schema import audit, change, message, receipt, subject
from tests.factories import a_receipt
from tests.world import World

pytestmark = pytest.mark.timeout(300)


def received(store: Store, number: int, **values: Any) -> None:
    known: dict[str, Any] = {"received_at": 1000.0 + number, "subject": f"stripe/subscription/sub_{number % 5}"}
    store.record(a_receipt(f"evt_{number}", **(known | values)))


def taken(store: Store, **wanted: Any) -> Selection:
    return replay.select(store, Wanted(**wanted))


def due(store: Store) -> list[Any]:
    with store.read() as conn:
        return list(conn.execute(select(subject).where(subject.c.state == "due").order_by(subject.c.next_look)))


def settle_all(store: Store) -> None:
    idle = {"state": "idle", "cause": "settled", "next_look": None}
    store.write(lambda conn: conn.execute(update(subject).values(**idle)))


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"ids": ("evt_3", "evt_7")}, 2),
        ({"ids": ("1",)}, 1),
        ({"since": 1010.0}, 10),
        ({"since": 1010.0, "until": 1012.0}, 2),
        ({"types": ("invoice.paid",)}, 4),
        ({"types": ("invoice.*",)}, 5),
        ({"types": ("in%",)}, 0),
        ({"subject": "stripe/subscription/sub_1"}, 4),
        ({"subject": "' OR 1=1 --"}, 0),
        ({"connection": "stripe"}, 20),
        ({"connection": "other"}, 0),
        ({"subject": "stripe/subscription/sub_1", "since": 1010.0}, 2),
    ],
)
def test_S21_every_part_that_is_given_must_fit(store: Store, wanted: dict[str, Any], count: int) -> None:
    for number in range(20):
        type_ = (
            "invoice.paid" if number % 5 == 4 else "invoice.voided" if number == 0 else "customer.subscription.updated"
        )
        received(store, number, type=type_)
    assert (taken(store, **wanted).receipts, taken(store, **wanted).matching) == (count, count)


def test_what_was_not_accepted_is_left_out_and_counted(store: Store) -> None:
    received(store, 1)
    received(store, 2, outcome="quarantined")
    received(store, 3, outcome="ignored", subject=None)
    assert taken(store, connection="stripe") == Selection(
        matching=1, receipts=1, left_out=2, subjects=(Ref.parse("stripe/subscription/sub_1"),)
    )


def test_a_request_takes_a_bounded_number_the_oldest_and_says_where_the_rest_begins(store: Store) -> None:
    for number in range(12):
        received(store, number)
    first = replay.select(store, Wanted(connection="stripe"), most=5)
    assert (first.matching, first.receipts, first.goes_on) == (12, 5, 1005.0)
    assert [ref.id for ref in first.subjects] == [f"sub_{number}" for number in range(5)]


def test_subjects_are_due_behind_everything_else_and_no_more_than_so_many_a_second(store: Store) -> None:
    for number in range(50):
        received(store, number, subject=f"stripe/subscription/sub_{number}")
    settle_all(store)
    began = time.time()
    replay.apply(store, Wanted(connection="stripe"), taken(store, connection="stripe"), "ada", "test")
    rows = due(store)
    assert {(row.priority, row.cause) for row in rows} == {(subjects.REPLAY, "replay")}
    for number, row in enumerate(rows):
        assert row.next_look >= began - 1 + number // replay.PER_S
    live = Ref.parse("stripe/subscription/sub_live")
    store.write(lambda conn: subjects.mark_due(conn, [live], cause="event", reason="an event came in"))
    first = store.write(lambda conn: subjects.lease_due(conn, "one", 60, 1))
    assert [one.ref for one in first] == [live]


def test_live_work_that_is_due_already_is_not_put_behind(store: Store) -> None:
    received(store, 1)
    asked = Ref.parse("stripe/subscription/sub_2")
    store.write(lambda conn: subjects.mark_due(conn, [asked], cause="asked", reason="somebody asked"))
    received(store, 2)
    replay.apply(store, Wanted(connection="stripe"), taken(store, connection="stripe"), "ada", "test")
    assert {row.priority for row in due(store)} == {subjects.LIVE}


def test_a_dead_subject_comes_back_with_fresh_tries(store: Store) -> None:
    received(store, 1)
    dead = {"state": "dead", "tries": 3, "failing_since": 1.0, "next_look": None}
    store.write(lambda conn: conn.execute(update(subject).values(**dead)))
    replay.apply(store, Wanted(connection="stripe"), taken(store, connection="stripe"), "ada", "test")
    assert [(row.tries, row.failing_since) for row in due(store)] == [(0, None)]


def test_S19_each_replay_leaves_a_row_in_the_audit(store: Store) -> None:
    received(store, 1)
    wanted = Wanted(types=("customer.*",), connection="stripe")
    replay.apply(store, wanted, replay.select(store, wanted), "ada", "test")
    with store.read() as conn:
        row = conn.execute(select(audit)).one()
    assert (row.actor, row.origin, row.action) == ("ada", "test", "replay")
    assert row.detail == {"wanted": {"types": ["customer.*"], "connection": "stripe"}, "receipts": 1, "subjects": 1}


# among vendors


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite")
    yield made
    made.close()


def rows(store: Store, table: Any) -> int:
    with store.read() as conn:
        return len(conn.execute(select(table.c.id)).all())


def written(world: World) -> tuple[int, int, int]:
    """How much Zentitle2, the journal and the stream have had written."""
    return world.writes(), rows(world.hub.store, change), rows(world.hub.store, message)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_I13_any_set_of_events_in_any_order_any_number_of_times_reads_only(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("world")
    world = World(folder, f"sqlite:///{folder}/hub.sqlite", seed=seed)
    roll = random.Random(seed)
    try:
        for _ in range(8):
            world.act(roll)
            world.deliver(world.events())
        assert world.settle()
        before = written(world)
        with world.hub.store.read() as conn:
            ids = list(conn.execute(select(receipt.c.external_id)).scalars())
        for _ in range(4):
            some = Wanted(ids=tuple(roll.sample(ids, roll.randint(1, len(ids)))))
            replay.apply(world.hub.store, some, replay.select(world.hub.store, some), "ada", "test")
            if roll.random() < 0.5:
                world.work()
        assert world.settle()
        assert written(world) == before
        assert world.wrong() == []
    finally:
        world.close()


def test_I13_a_replay_of_what_was_missed_does_it_once(world: World) -> None:
    """The events came in while no look could be taken, and all subjects were given up."""
    world.buy("PRO-100", 5)
    world.deliver(world.events())
    world.hub.store.write(lambda conn: conn.execute(update(subject).values(state="dead", next_look=None)))
    for _ in range(3):
        replay.apply(
            world.hub.store, Wanted(connection="stripe"), taken(world.hub.store, connection="stripe"), "a", "t"
        )
    assert world.settle()
    assert world.wrong() == []
    assert len(world.grants()) == 1


def test_a_preview_says_what_would_change_and_changes_nothing(world: World) -> None:
    world.buy("PRO-100", 5)
    world.deliver(world.events())
    assert world.settle()
    world.set_quantity(world.subscriptions[0], 8)
    world.flush()
    before, shop = written(world), replace(world.hub.shop, observe=True)
    selection = taken(world.hub.store, types=("customer.subscription.*",))
    (would,) = replay.preview(shop, [ref for ref in selection.subjects if ref.kind == "subscription"])
    assert "seats 5 → 8" in would.would
    assert written(world) == before
    assert due(world.hub.store) == []


def test_a_preview_looks_at_a_few_subjects_and_the_command_says_so(world: World) -> None:
    for number in range(replay.PREVIEWED + 2):
        received(world.hub.store, number, subject=f"stripe/subscription/sub_{number}")
    done = CliRunner().invoke(main, ["--config", str(world.config), "replay", "--connection", "stripe"])
    assert done.exit_code == 0, done.output
    assert f"{replay.PREVIEWED + 2} subjects would be looked at; add --apply" in done.output
    assert f"the first {replay.PREVIEWED} of {replay.PREVIEWED + 2}" in done.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say which events"),
        (["--id", "evt_nobody"], 4, "no accepted event fits"),
        (["--id", "evt_1", "--apply"], 0, "1 of 1 events, 1 subjects are due now"),
        (["--subject", "sub_1", "--apply"], 0, "1 of 1 events"),
        (["--subject", "sub_2", "--apply"], 4, "no accepted event fits"),
        (["--since", "1970-01-01", "--until", "1970-01-02", "--json", "--apply"], 0, '"applied": true'),
    ],
)
def test_the_command_says_what_it_did(world: World, words: list[str], code: int, said: str) -> None:
    received(world.hub.store, 1)
    done = CliRunner().invoke(main, ["--config", str(world.config), "replay", *words])
    assert (done.exit_code, said in done.output + str(done.stderr)) == (code, True), done.output


def test_a_look_of_a_replay_trusts_the_snapshot_and_asks_the_licensing_system_nothing(world: World) -> None:
    world.buy("PRO-100", 5)
    world.deliver(world.events())
    assert world.settle()
    calls = dict(world.zentitle.calls)
    replay.apply(world.hub.store, Wanted(connection="stripe"), taken(world.hub.store, connection="stripe"), "a", "t")
    assert world.settle()
    assert dict(world.zentitle.calls) == calls
    with world.hub.store.read() as conn:
        assert (
            "nothing to change"
            in conn.execute(select(subject.c.summary).where(subject.c.kind == "subscription")).scalar_one()
        )
