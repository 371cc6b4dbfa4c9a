"""`hub up`: one command that keeps everything up, whatever ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hub.runtime import this_hub, wait_for_port
from tests.world import Town, a_town

pytestmark = pytest.mark.timeout(120)
CHILDREN = 4  # receiver, worker, worker for deliveries, clock; Redis is configured here


@pytest.fixture
def town(tmp_path: Path, sqlite_url: str) -> Iterator[Town]:
    with a_town(tmp_path, sqlite_url, without=("web", "worker", "clock")) as town:
        town.commands["up"] = this_hub("up")
        town.keep_up()
        assert wait_for_port(town.ports["web"], 30), town.log_tail()
        yield town


def test_what_ends_is_started_again_and_goes_on(town: Town) -> None:
    _sells(town)
    for child in _children(town):
        os.kill(child, signal.SIGKILL)
    town.until(lambda: _log(town).count("process.ended") >= CHILDREN)
    town.until(lambda: len(_children(town)) == CHILDREN and wait_for_port(town.ports["web"], 0.1))
    _sells(town)
    said = {f'"process": "{name}"' for name in ("up", "worker")}
    assert {one for one in said if one in _log(town)} == said  # each under its own name


def test_a_stop_ends_everything_in_order(town: Town) -> None:
    children = _children(town)
    assert len(children) == CHILDREN
    assert town.end("up") < 20
    assert town.running["up"].wait() == 0
    assert [child for child in children if _lives(child)] == []
    assert "process.ended" not in _log(town)


def test_children_do_not_outlive_a_supervisor_that_is_killed(town: Town) -> None:
    children = _children(town)
    town.end("up", signal.SIGKILL)
    town.until(lambda: not any(_lives(child) for child in children))


def _sells(town: Town) -> None:
    before = len(town.vendors.grants())
    town.vendors.buy("PRO-100", 4)
    town.settle()
    assert len(town.vendors.grants()) == before + 1


def _children(town: Town) -> list[int]:
    pid = town.running["up"].pid
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _lives(pid: int) -> bool:
    """Whether it runs; what has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _log(town: Town) -> str:
    return (town.folder / "log").read_text(errors="replace")
