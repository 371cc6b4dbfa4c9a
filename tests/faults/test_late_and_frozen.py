"""F08, F14: requests that are applied long after they were sent, workers that sleep or whose clock is wrong."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub.runtime import this_hub
from hub.store.schema import change, lease, review, subject
from tests.world import Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


def groups(town: Town) -> dict[str, list[dict[str, Any]]]:
    """Grants by group reference."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in town.vendors.grants():
        found.setdefault(row["orderRefId"], []).append(row)
    return found


def doubled(town: Town) -> list[str]:
    return [ref for ref, rows in groups(town).items() if len({row["groupId"] for row in rows}) > 1]


@pytest.mark.parametrize("count", [15, pytest.param(600, marks=pytest.mark.full)])
def test_F08_late_creates_within_the_window_and_killed_workers_double_nothing(
    tmp_path: Path, sqlite_url: str, count: int
) -> None:
    """A late request is applied after up to half the window."""
    with a_town(tmp_path, sqlite_url, lease=2, window=3) as town:
        rates = {"late_apply": 0.2, "apply_then_reset": 0.05}
        town.vendors.zentitle_admin("faults", rates=rates, late_s=1.5, seed=8)
        done = threading.Event()
        killer = threading.Thread(target=_kill_jobs, args=(town, done))
        killer.start()
        try:
            for number in range(count):
                town.vendors.buy("PRO-100", number % 9 + 1)
                time.sleep(0.1)
            time.sleep(3)
        finally:
            done.set()
            killer.join()
        town.vendors.zentitle_admin("faults", rates={})
        town.settle(60 + count)
        assert doubled(town) == []
        assert town.vendors.wrong() == []


def _kill_jobs(town: Town, done: threading.Event) -> None:
    while not done.wait(0.7):
        for pid in town.jobs():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_F08_with_a_window_that_is_too_short_a_double_is_found_switched_off_and_alarmed(
    tmp_path: Path, sqlite_url: str
) -> None:
    """The create is applied 1.6 s after its answer was lost; the hub was told to wait 1 s only."""
    with a_town(tmp_path, sqlite_url, window=1) as town:
        plan = [{"fault": "late_apply", "method": "POST", "path": "/api/v1/entitlements/groups"}]
        town.vendors.zentitle_admin("faults", plan=plan, late_s=1.6)
        sold = town.vendors.buy("PRO-100", 4)
        town.until(lambda: doubled(town) != [], 30)
        town.until(lambda: _open_tasks(town) == ["duplicate_group"], 30)
        town.settle(60)
        rows = groups(town)[f"stripe:{sold}"]
        assert len({row["groupId"] for row in rows}) == 2
        assert [row["disabled"] for row in rows].count(False) == 1
        assert town.vendors.wrong() == []


def _open_tasks(town: Town) -> list[str]:
    with town.store.read() as conn:
        return list(conn.execute(select(review.c.kind).where(review.c.open)).scalars())


def test_F14_I6_a_worker_that_slept_two_leases_writes_nothing_and_sends_nothing_more(
    tmp_path: Path, sqlite_url: str
) -> None:
    """It is stopped between its read of the purchase and its first write; another takes over and finishes."""
    started = a_town(tmp_path, sqlite_url, redis=False, lease=1, without=("worker", "clock"))
    with started as town, ExitStack() as stack:
        sold = [town.vendors.buy("PRO-100", number + 1) for number in range(6)]
        town.vendors.flush()
        town.environ["HUB_FAILPOINTS"] = "look.read=sleep:3*"
        town.left_out = ("clock",)
        town.keep_up()
        town.until(lambda: _held(town) >= 6)
        time.sleep(0.5)
        sleeping = town.jobs()
        assert sleeping
        _stop_between_writes(sleeping, tmp_path / "hub.sqlite.lock")
        slept = town.running.pop("worker")
        stack.callback(_end, slept, sleeping)
        del town.environ["HUB_FAILPOINTS"]
        time.sleep(2)
        town.keep_up()
        town.settle(30)
        assert town.vendors.wrong() == []
        before, changes = _writes(town), _changes(town)
        for pid in sleeping:
            os.kill(pid, signal.SIGCONT)
        town.until(lambda: (tmp_path / "log").read_text().count("look.lease_lost") >= len(sold))
        slept.terminate()  # ends once all that it had begun is over
        slept.wait(30)
        assert _writes(town) == before
        assert _changes(town) == changes
        assert "look.lease_lost" in (tmp_path / "log").read_text()
        assert town.vendors.wrong() == []
        assert all(town.subject(one)["state"] == "idle" for one in sold)


def _stop_between_writes(pids: list[int], lock: Path) -> None:
    """Stops these processes while none of them writes: whoever sleeps with the record's file lock holds up all."""
    while True:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        if _is_free(lock):
            return
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)


def _is_free(lock: Path) -> bool:
    """Whether the lock can be had within half a second: writes of those who run are shorter."""
    end = time.monotonic() + 0.5
    with lock.open() as file:
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
            else:
                return True
    return False


def _end(worker: subprocess.Popen[bytes], jobs: list[int]) -> None:
    for pid in jobs:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    worker.kill()
    worker.wait()


def _held(town: Town) -> int:
    with town.store.read() as conn:
        return len(conn.execute(select(lease.c.key).where(lease.c.holder.is_not(None))).all())


def _writes(town: Town) -> int:
    return len(town.vendors.zentitle_admin("history"))


def _changes(town: Town) -> int:
    with town.store.read() as conn:
        return len(conn.execute(select(change.c.id)).all())


SHIFTED = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {seconds}
time.time_ns = lambda: _time_ns() + {seconds} * 10**9
"""


@pytest.mark.parametrize("seconds", [-600, 30 * 86400], ids=["10 min behind", "30 days ahead"])
def test_F14_I14_a_worker_whose_clock_is_wrong_works_as_any_other(
    tmp_path: Path, sqlite_url: str, seconds: int
) -> None:
    """The clock of that process alone, as Python tells it (time.time): leases are on the database's clock."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(SHIFTED.format(seconds=seconds))
    with a_town(tmp_path, sqlite_url, redis=False, lease=2, without=("worker",)) as town:
        path = f"PYTHONPATH={tmp_path / 'clock'}{os.pathsep}{town.environ.get('PYTHONPATH', '')}"
        town.commands["worker"] = ["env", path, *town.commands["worker"]]
        town.commands["second"] = this_hub("worker")
        town.left_out = ()
        town.keep_up()
        for number in range(5):
            one = town.vendors.buy("PRO-100", number + 1)
            town.vendors.set_quantity(one, number + 2)
        town.settle()
        assert town.vendors.wrong() == []
        assert doubled(town) == []
        with town.store.read() as conn:
            assert sum(conn.execute(select(subject.c.crashes)).scalars()) == 0
