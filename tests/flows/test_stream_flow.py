"""The stream through real processes: what was sold and what became of it, in order, whatever clock is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from hub.runtime import this_hub
from hub.store import stream
from hub.store.schema import entitlement
from tests import forking
from tests.world import Town, a_town

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with a_town(folder, f"sqlite:///{folder}/hub.sqlite") as made:
        yield made


def told(town: Town, *words: str) -> list[dict[str, Any]]:
    """What `hub events tail --json` prints, once nothing waits for the sequencer."""
    town.settle()
    town.until(lambda: not waits(town), 30)
    done = forking.run(this_hub("events", "tail", "--json", "--after", "0", *words), env=town.environ)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def waits(town: Town) -> bool:
    with town.store.read() as conn:
        return stream.waiting(conn)


def test_a_sale_is_told_as_facts_and_as_one_creation_in_order(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 4)
    events = told(town)
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    facts = [event for event in events if event["data"].get("subject") == f"stripe/subscription/{one}"]
    assert {"purchase.started", "purchase.paid"} <= {event["type"] for event in facts}
    states = [event for event in events if event["type"].startswith("entitlement.")]
    (created,) = [event for event in states if event["data"]["purchase"] == f"stripe/subscription/{one}"]
    assert (created["type"], created["data"]["seats"], created["data"]["made_by"]) == ("entitlement.created", 4, "hub")
    assert created["data"]["purchase"] == f"stripe/subscription/{one}"
    assert not {"name", "email"} & set(json.dumps(events).replace('"', " ").split())


def test_each_step_of_a_life_is_told_once(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 5)
    town.settle()
    town.vendors.set_quantity(one, 8)
    town.settle()
    town.vendors.cancel(one)
    purchase = f"stripe/subscription/{one}"
    states = [event for event in told(town, "--type", "entitlement.*") if event["data"]["purchase"] == purchase]
    assert [event["type"] for event in states] == [
        "entitlement.created",
        "entitlement.changed",
        "entitlement.disabled",
    ]
    assert states[1]["data"]["changes"] == {"seats": {"before": 5, "after": 8}}


def test_seats_that_somebody_takes_come_with_the_list(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 6)
    town.settle()
    town.configure(more="")
    text = (town.folder / "hub.toml").read_text().replace("[timing]", "[timing]\npoll = 0.5", 1)
    (town.folder / "hub.toml").write_text(text)
    town.restart("clock")
    town.vendors.zentitle_admin("activate", orderRefId=f"stripe:{one}", seatIds=["ada", "grace"])

    def used() -> bool:
        with town.store.read() as conn:
            where = entitlement.c.order_ref == f"stripe:{one}"
            return bool(conn.execute(select(entitlement.c.body).where(where)).scalar_one()["seats_used"] == 2)

    town.until(used, 30)


def test_a_clock_that_is_killed_leaves_no_gap(town: Town) -> None:
    before = told(town)
    town.end("clock", signal.SIGKILL)
    town.vendors.buy("PRO-100", 2)
    town.keep_up()
    events = told(town)
    assert events[: len(before)] == before
    assert len(events) > len(before)
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))


def test_the_chains_hold_and_say_where_they_do_not(town: Town) -> None:
    town.vendors.buy("PRO-100", 2)
    told(town)
    assert [row["holds"] for row in town.hub("events", "verify")] == [True, True]
    with town.store.engine.begin() as conn:
        assert conn.exec_driver_sql("UPDATE change SET cause = 'nothing' WHERE position = 2").rowcount == 1
    (row,) = [row for row in town.hub("events", "verify") if row["table"] == "change"]
    assert (row["holds"], row["broken at"]) == (False, 2)
