"""I10: a worker that is told to stop stops, whenever it is told: also while it forks, and while it greets Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.world import a_town

LONG_S = 20  # a job that was not told goes on so long
FORKS = """
import os, signal
from hub import limits
from hub.working import _Stop
stop = _Stop()
def tell():
    os.kill(os.getpid(), signal.SIGTERM)
WHEN
stop.run_child(lambda: limits.stopping.wait(LONG))
"""
MOMENTS = {
    "before the fork": "tell()",
    "in the parent, just after it": "os.register_at_fork(after_in_parent=tell)",
    "in the child, before it listens": "os.register_at_fork(after_in_child=tell)",
}


@pytest.mark.parametrize("when", MOMENTS)
def test_I10_a_stop_reaches_the_child_that_is_being_forked(when: str) -> None:
    script = FORKS.replace("WHEN", MOMENTS[when]).replace("LONG", str(LONG_S))
    assert _took(script, dict(os.environ)) < LONG_S / 2


GREETS = """
import os, signal
from rq.worker.base import BaseWorker
from hub import jobs, working
greet = BaseWorker.register_birth
def told_meanwhile(self):
    os.kill(os.getpid(), signal.SIGTERM)
    greet(self)
BaseWorker.register_birth = told_meanwhile
working.work(jobs.the_hub(), jobs.KINDS)
"""
HORSES = """
import os, signal
from hub import jobs, working
worker = os.getpid()
os.register_at_fork(WHEN=lambda: os.kill(worker, signal.SIGTERM))
hub = jobs.the_hub()
hub.bell.ring()
working.work(hub, ["looks"])
"""
RQ_MOMENTS = {
    "before the fork": "before",
    "in the worker, just after it": "after_in_parent",
    "in the horse, before it listens": "after_in_child",
}


def test_I10_a_stop_while_the_worker_greets_redis_is_heard(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, without=("web", "worker", "clock"), tick=LONG_S) as town:
        assert _took(GREETS, town.environ) < LONG_S / 2


@pytest.mark.parametrize("when", RQ_MOMENTS)
def test_I10_a_stop_reaches_the_horse_that_is_being_forked(tmp_path: Path, sqlite_url: str, when: str) -> None:
    """There is always more to do: the one subject fails at each look, and is due again within a second."""
    with a_town(tmp_path, sqlite_url, without=("worker", "clock"), tick=LONG_S, drain=LONG_S) as town:
        one = town.vendors.buy("PRO-100", 1)
        town.until(lambda: town.subject(one).get("state") == "due")
        environ = town.environ | {"HUB_FAILPOINTS": "look.leased=raise*"}
        assert _took(HORSES.replace("WHEN", RQ_MOMENTS[when]), environ) < LONG_S / 2
        assert town.subject(one)["tries"] < 10


def _took(script: str, environ: dict[str, str]) -> float:
    """Seconds until a process with this script has ended."""
    began = time.monotonic()
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environ, timeout=3 * LONG_S, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.monotonic() - began
