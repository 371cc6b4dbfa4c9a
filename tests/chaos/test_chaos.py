"""The storm at the size of a test run, and what it does not hold.

F01 none, F02 killed receivers, F03 killed workers, F05 Redis killed, flushed, absent, F12 poison, F13 rolling restarts,
F14 frozen jobs. Each run prints its seed; HUB_CHAOS_SEED repeats it.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
import redis
import requests
from sqlalchemy import func, select

from hub.runtime import wait_for_port
from hub.store.schema import change, intent, receipt, subject
from tests.chaos.storm import seed_of_this_run, storm
from tests.world import Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(280)]


def test_F01_a_clean_run_ends_right_without_one_error_and_without_a_doubt(tmp_path: Path, database_url: str) -> None:
    # The lease is the default: a worker that gets no processor for 3 s is no clean run.
    with a_town(tmp_path, database_url, lease=60) as town:
        town.vendors.stripe_admin("delivery", duplicate=0.15, reorder=0.3, seed=1)
        roll = random.Random(seed_of_this_run())
        while len(town.vendors.event_ids) < 300:
            town.vendors.buy("PRO-100", roll.randint(1, 9))
            for _ in range(4):
                town.vendors.act(roll)
            town.vendors.note_events()
        assert town.vendors.stripe_admin("drain", timeout_s=60).get("refused", 0) == 0
        town.settle(60)
        assert town.vendors.wrong() == []
        with town.store.read() as conn:
            assert conn.execute(select(intent.c.key).where(intent.c.tries > 1)).all() == []
            assert (
                conn.execute(select(subject.c.ref).where((subject.c.tries > 0) | subject.c.trace.is_not(None))).all()
                == []
            )
            assert conn.execute(select(change.c.id).where(change.c.outcome.in_(["unknown", "refused"]))).all() == []


def test_F02_F03_F05_F13_F14_a_storm_loses_doubles_and_spoils_nothing(tmp_path: Path, database_url: str) -> None:
    report = storm(tmp_path, database_url, seed=seed_of_this_run(), events=300, kills=30)
    print(report)
    assert report.events >= 300
    assert report.blows.total() == 30


def test_F05_a_hub_without_redis_loses_nothing_either(tmp_path: Path, sqlite_url: str) -> None:
    print(storm(tmp_path, sqlite_url, seed=seed_of_this_run(), events=150, kills=8, with_redis=False))


def test_F05_without_redis_the_hub_is_ready_and_a_sale_is_licensed_within_seconds(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url, redis=False) as town:
        ready = requests.get(f"{town.url}/readyz", timeout=10).json()
        assert (ready["status"], ready["degraded"]) == ("ready", ["redis"])
        began = time.monotonic()
        town.vendors.buy("PRO-100", 4)
        town.until(lambda: town.vendors.wrong() == [])
        assert time.monotonic() - began < 10


def test_F12_a_sale_that_crashes_its_worker_is_dead_in_the_end_and_the_others_are_licensed(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url, without=("worker",), lease=1) as town:
        poison, *others = [town.vendors.buy("PRO-100", number) for number in range(1, 8)]
        town.vendors.flush()
        town.environ |= {"HUB_FAILPOINTS": "look.read=exit*", "HUB_FAILPOINTS_ABOUT": poison}
        town.left_out = ()
        town.keep_up()
        town.until(lambda: town.subject(poison)["state"] == "dead", 60)
        town.until(lambda: all(town.subject(one)["state"] == "idle" for one in others), 60)
        assert town.subject(poison)["cause"] == "crashed the worker"
        assert [told.split(":")[0] for told in town.vendors.wrong()] == [poison]
        assert town.running["worker"].poll() is None, "the worker itself has survived"
        del town.environ["HUB_FAILPOINTS"]
        town.until(
            lambda: town.hub("look", poison)["result"] == "settled", 30
        )  # busy until the last crash's lease ends
        assert town.vendors.wrong() == []


def test_I10_F13_rolling_restarts_under_load_end_in_time_and_leave_no_lease(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, lease=60) as town:
        roll = random.Random(3)
        town.vendors.stripe_admin("delivery", tries=40, backoff_s=0.1)
        for name in ("worker", "web", "worker", "clock", "worker"):
            for _ in range(5):
                town.vendors.buy("PRO-100", roll.randint(1, 9))
            assert town.end(name, signal.SIGTERM) < (10 if name == "web" else 30)
            town.keep_up()
        began = time.monotonic()
        town.settle(40)  # a lease that was not let go would last 60 s
        assert time.monotonic() - began < 30
        assert town.vendors.wrong() == []


def test_I10_a_worker_that_is_told_to_stop_while_redis_dies_stops(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url) as town:
        town.vendors.buy("PRO-100", 1)
        town.settle()
        for _ in range(3):
            town.end("redis", signal.SIGKILL)
            assert town.end("worker", signal.SIGTERM) < 30
            town.keep_up()
            assert wait_for_port(town.redis.port, 10)
            town.until(lambda: _waits_for_its_bell(town))


def _waits_for_its_bell(town: Town) -> bool:
    """Whether some client of Redis, which can only be the worker, waits for a job."""
    with redis.Redis(port=town.redis.port, socket_timeout=1) as client:
        return any("b" in one["flags"] for one in client.client_list())


def test_F17_many_parallel_posts_of_a_few_events_are_recorded_once(tmp_path: Path, database_url: str) -> None:
    with a_town(tmp_path, database_url, without=("worker", "clock")) as town:
        town.vendors.stripe_admin("delivery", threads=32)
        for number in range(1, 9):
            town.vendors.buy("PRO-100", number)
        town.vendors.flush()
        town.vendors.note_events()
        for _ in range(8):
            town.vendors.stripe_admin("deliver", events=sorted(town.vendors.event_ids))
        counts = town.vendors.stripe_admin("drain", timeout_s=60)
        assert counts.get("refused", 0) == 0
        assert counts["delivered"] == 9 * len(town.vendors.event_ids)
        assert _receipts(town) == len(town.vendors.event_ids)


def _receipts(town: Town) -> int:
    with town.store.read() as conn:
        return int(conn.execute(select(func.count()).select_from(receipt)).scalar_one())
