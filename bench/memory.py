"""How much memory the whole tree takes: hub, Redis and emulated vendors, idle and at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import whole_way
from bench.events import bodies, requests, send
from bench.ingest import PATH, WARM_UP
from bench.place import Place
from bench.report import Row

ASK_IDLE_MB, ASK_BUSY_MB = 400.0, 550.0
EACH_S = 0.5


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Megabytes of `hub up` with its Redis and the vendors; the receiver's own beside them."""
    running = whole_way.start(here, "sqlite", 0.2)
    try:
        idle = tree_mb(here)
        with _peak(here) as seen:
            _work(here, running, 60 if quick else 600)
        return [_row("memory, idle", idle, ASK_IDLE_MB), _row("memory, peak under load", max(seen), ASK_BUSY_MB)]
    finally:
        whole_way.stop(here, running)


def _work(here: Place, running: whole_way.Running, count: int) -> None:
    whole_way.deliver(here, running, whole_way.sold(running, count), pace=0)
    send(here, running.hub.settings.hub.port, requests(PATH, ((0.0, body) for body in bodies(WARM_UP))))


def tree_mb(here: Place) -> float:
    """Proportional set size of every process that this place runs, and of their children."""
    return sum(_pss_mb(pid) for pid in _tree(here.pids()))


@contextmanager
def _peak(here: Place) -> Iterator[list[float]]:
    """Samples of the tree's size while the block runs."""
    seen, over = [tree_mb(here)], threading.Event()

    def watch() -> None:
        while not over.wait(EACH_S):
            seen.append(tree_mb(here))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def _tree(roots: list[int]) -> list[int]:
    found, left = [], list(roots)
    while left:
        pid = left.pop()
        found.append(pid)
        left += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    """Its children, of all its threads."""
    try:
        texts = [file.read_text(encoding="ascii") for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just ended
        return []
    return [int(child) for text in texts for child in text.split()]


def _pss_mb(pid: int) -> float:
    """Megabytes that the process takes, what it shares with others divided among them; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _row(what: str, megabytes: float, ask: float) -> Row:
    return Row(
        what=what,
        database="sqlite",
        unit="MB",
        rounds=[megabytes],
        ask=ask,
        at_most=True,
        note="memory: PSS of `hub up` (supervisor, receiver and console, worker and its job, clock), Redis and the "
        "sandbox's vendors; n8n takes 790 MB idle and 1,260 MB under load",
    )
