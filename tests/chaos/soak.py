"""F18, a soak: a hub in real processes at a steady rate of events; memory, tables and what waits must stay as they are.

    python -m tests.chaos.soak --minutes 30 --rate 50 [--database postgresql://…]

Nothing fails on purpose. What is compared: the processes' memory after a fifth of the time and at its end, the rows of
each table per event, and whether anything waited for longer than it may.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from sqlalchemy import func, select

from hub.store.schema import metadata, receipt, subject
from tests.world import Town, a_town

OURS = ("web", "worker", "clock")
WARM = 0.2  # of the time, until every process has done all that it does
MOST_GROWTH = 0.10
STUCK_S = 30.0  # I3: nothing that is due waits for longer
SLACK_ROWS = 60  # of what is under way when rows are counted
LISTED = {"seat_feed": 1, "seat_day": 2}  # rows of an entitlement, once the list of each quarter of an hour named it
PER_SALE = 5  # changes of a subscription's seats after each sale


@dataclass
class Report:
    """What a soak came to. Memory is resident megabytes of a process and its children; late: seconds overdue."""

    seconds: float
    events: int = 0
    sales: int = 0
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    rows: dict[str, tuple[float, float]] = field(default_factory=dict)  # per event, at half time and at the end
    late: float = 0.0

    def __str__(self) -> str:
        memory = ", ".join(f"{name} {one:.0f} to {two:.0f} MB" for name, (one, two) in self.memory.items())
        rows = ", ".join(f"{name} {two:.2f}" for name, (_, two) in self.rows.items() if two >= 0.005)
        return (
            f"{self.events} events of {self.sales} sales in {self.seconds:.0f} s ({self.events / self.seconds:.0f}/s); "
            f"memory: {memory}; longest wait {self.late:.1f} s; rows per event: {rows}"
        )

    def growth(self) -> float:
        """The share by which the hub's memory grew after the warm-up."""
        before, after = (sum(pair[at] for pair in self.memory.values()) for at in (0, 1))
        return after / before - 1

    def swollen(self) -> dict[str, tuple[float, float]]:
        """Tables that had more rows per event at the end than at half time: what grows faster than its cause.

        Those that lists fill come in steps, so they are held to the entitlements that there are.
        """
        more, entitlements = SLACK_ROWS / max(self.events, 1), self.rows["entitlement"][1]
        most = {name: half * 1.1 for name, (half, _) in self.rows.items()}
        most |= {name: each * entitlements for name, each in LISTED.items()}
        return {name: pair for name, pair in self.rows.items() if pair[1] > most[name] + more}


def soak(folder: Path, database: str, *, seconds: float, rate: float) -> Report:
    """Raises so many events a second for so long; AssertionError where anything is lost, wrong, or stuck."""
    report = Report(seconds)
    with a_town(folder, database, rate=200, window=30, lease=20, drain=20, tick=1) as town:
        with _watched(town, report) as half:
            _live(town, report, rate, half)
        assert town.vendors.stripe_admin("drain", timeout_s=120)["pending"] == 0
        town.settle(120)
        report.rows = {name: (half[name], count / report.events) for name, count in _rows(town).items()}
        assert town.vendors.wrong() == []
        with town.store.read() as conn:
            kept = set(conn.execute(select(receipt.c.external_id)).scalars())
        assert kept == town.vendors.event_ids, "each event is one receipt"
    return report


def _live(town: Town, report: Report, rate: float, half: dict[str, float]) -> None:
    """Sales and changes of seats, as many as keep to the rate."""
    vendors, began = town.vendors, time.monotonic()
    while (now := time.monotonic() - began) < report.seconds:
        if not half and now > report.seconds / 2:
            half.update({name: count / len(vendors.event_ids) for name, count in _rows(town).items()})
        if len(vendors.event_ids) > rate * now:
            time.sleep(0.1)
            continue
        sold = vendors.buy("PRO-100", 1)
        for seats in range(PER_SALE):
            vendors.set_quantity(vendors.subscriptions[-1 - seats % len(vendors.subscriptions)], 2 + seats)
        assert sold in vendors.subscriptions
        vendors.note_events()
    report.seconds = time.monotonic() - began
    report.events, report.sales = len(vendors.event_ids), len(vendors.subscriptions)


@contextmanager
def _watched(town: Town, report: Report) -> Iterator[dict[str, float]]:
    """Measures memory and waits while the body runs; gives a place for the rows of half time."""
    samples: list[tuple[float, dict[str, float]]] = []
    over, began, half = threading.Event(), time.monotonic(), dict[str, float]()

    def watch() -> None:
        while not over.wait(1):
            samples.append((time.monotonic() - began, {name: _memory(town.running[name].pid) for name in OURS}))
            report.late = max(report.late, _late(town))

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield half
    finally:
        over.set()
        thread.join()
    total = samples[-1][0]
    warm = [one for at, one in samples if WARM * total <= at <= 2 * WARM * total]
    last = [one for at, one in samples if at >= (1 - WARM) * total]
    for name in OURS:
        report.memory[name] = (median(one[name] for one in warm), median(one[name] for one in last))


def _memory(pid: int) -> float:
    """Resident megabytes of a process and those that it started."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return 0.0
    return pages * 4096 / 1e6 + sum(_memory(int(child)) for child in children)


def _late(town: Town) -> float:
    """For how long the subject that is most overdue has been so, in seconds."""
    with town.store.read() as conn:
        first = conn.execute(select(func.min(subject.c.next_look)).where(subject.c.state == "due")).scalar()
    return max(0.0, time.time() - first) if first else 0.0


def _rows(town: Town) -> dict[str, int]:
    """Rows of each table."""
    with town.store.read() as conn:
        tables = metadata.sorted_tables
        return {one.name: conn.execute(select(func.count()).select_from(one)).scalar_one() for one in tables}


def main() -> None:
    """The soak at any length, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--database", help="default: SQLite in a folder of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        database = given.database or f"sqlite:///{name}/hub.sqlite"
        report = soak(Path(name), database, seconds=given.minutes * 60, rate=given.rate)
    print(report)
    assert report.growth() < MOST_GROWTH, f"memory grew by {report.growth():.0%}"
    assert report.swollen() == {}, f"rows per event at half time and at the end: {report.swollen()}"
    assert report.late < STUCK_S


if __name__ == "__main__":
    main()
