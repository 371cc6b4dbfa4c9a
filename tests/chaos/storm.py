"""A storm: real processes of a hub among unkind vendors, killed at any moment; then all must be right.

    python -m tests.chaos.storm --events 10000 --kills 1000 --seed 7 [--database postgresql://…] [--no-redis]

The same seed gives the same acts and blows; when they fall depends on the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from sqlalchemy import select

from hub.store.schema import intent, receipt
from tests.world import Town, Vendors, a_town

BLOWS = (
    *("receiver", "receiver", "worker", "worker", "job", "job", "job", "clock"),
    *("redis", "flush", "freeze", "roll receiver", "roll worker"),
)
WITHOUT_REDIS = tuple(blow for blow in BLOWS if blow not in {"redis", "flush"})
FAULTS = {
    "apply_then_reset": 0.04,
    "apply_then_error": 0.03,
    "late_apply": 0.03,
    "garbage": 0.02,
    "error": 0.04,
    "throttle": 0.03,
    "reset": 0.02,
}
LEASE_S, WINDOW_S, LATE_S = 2, 2.0, 0.8
PROCESS = {"receiver": "web"}


@dataclass
class Report:
    """What a storm did."""

    seed: int
    events: int = 0
    subscriptions: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    doubts: int = 0
    storm_s: float = 0
    settled_s: float = 0

    def __str__(self) -> str:
        blows = ", ".join(f"{count} × {name}" for name, count in sorted(self.blows.items()))
        return (
            f"HUB_CHAOS_SEED={self.seed}: {self.events} events of {self.subscriptions} subscriptions, "
            f"{self.blows.total()} blows ({blows}) in {self.storm_s:.0f} s, {self.doubts} creates tried twice, "
            f"settled {self.settled_s:.0f} s later"
        )


def seed_of_this_run() -> int:
    """HUB_CHAOS_SEED, else a new one."""
    return int(os.environ.get("HUB_CHAOS_SEED") or time.time_ns() % 10**9)


def storm(folder: Path, database: str, *, seed: int, events: int, kills: int, with_redis: bool = True) -> Report:
    """Plays lifecycles until so many events were raised, under so many blows; AssertionError where anything is wrong."""
    report = Report(seed)
    print(f"HUB_CHAOS_SEED={seed}", flush=True)
    with a_town(folder, database, redis=with_redis, lease=LEASE_S, window=WINDOW_S) as town:
        _unkind(town.vendors, seed)
        began = time.monotonic()
        with _blows(town, random.Random(seed), kills, report) as blows:
            _live(town.vendors, random.Random(seed + 1), events, blows)
        report.storm_s = time.monotonic() - began
        _kind(town)
        _nothing_acked_is_absent(town)
        town.vendors.stripe_admin("deliver")
        town.settle(90)
        report.settled_s = time.monotonic() - began - report.storm_s
        _all_is_right(town, report)
    return report


def _unkind(vendors: Vendors, seed: int) -> None:
    vendors.stripe_admin("delivery", duplicate=0.15, reorder=0.3, seed=seed, tries=40, backoff_s=0.1)
    vendors.zentitle_admin("faults", rates=FAULTS, late_s=LATE_S, seed=seed)


def _kind(town: Town) -> None:
    """No more faults, everything is up, and what Stripe still tries to deliver has come in."""
    town.vendors.zentitle_admin("faults", rates={})
    town.keep_up()
    town.until(lambda: town.vendors.stripe_admin("drain", timeout_s=30)["pending"] == 0, 60)


def _live(vendors: Vendors, roll: random.Random, events: int, blows: threading.Thread) -> None:
    """What people do, until it raised so many events and the last blow has fallen."""
    while len(vendors.event_ids) < events or blows.is_alive():
        vendors.buy("PRO-100", roll.randint(1, 9))
        for _ in range(4):
            vendors.act(roll)
            time.sleep(0.05)
        vendors.note_events()
        while len(vendors.event_ids) > events and blows.is_alive():
            time.sleep(0.3)
            vendors.act(roll)
            vendors.note_events()


@contextmanager
def _blows(town: Town, roll: random.Random, kills: int, report: Report) -> Iterator[threading.Thread]:
    """So many blows while the body runs, and the rest of them after; an error in a blow is raised here."""
    failed: list[BaseException] = []

    def strike_all() -> None:
        try:
            for _ in range(kills):
                blow = roll.choice(BLOWS if "redis" in town.commands else WITHOUT_REDIS)
                time.sleep(roll.uniform(0.05, 0.7))
                report.blows[blow] += 1
                _strike(town, blow)
                town.keep_up()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=strike_all, name="blows")
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _strike(town: Town, blow: str) -> None:
    how, _, what = blow.rpartition(" ")
    if how == "roll":
        assert town.end(PROCESS.get(what, what)) < 35
    elif blow == "flush":
        with suppress(redis.exceptions.RedisError), redis.Redis(port=town.redis.port, socket_timeout=1) as client:
            client.flushall()
    elif blow == "job":
        _signal(_jobs(town), signal.SIGKILL)
    elif blow == "freeze":
        _freeze(_jobs(town))
    else:
        town.end(PROCESS.get(blow, blow), signal.SIGKILL)


def _jobs(town: Town) -> list[int]:
    """What the worker has forked, as soon as it has."""
    end = time.monotonic() + 0.5
    while not (found := town.jobs()) and time.monotonic() < end:
        time.sleep(0.002)
    return found


def _freeze(jobs: list[int]) -> None:
    """Stops jobs for two leases; who goes on after that must find itself fenced off."""
    _signal(jobs, signal.SIGSTOP)
    thaw = threading.Timer(2 * LEASE_S, _signal, [jobs, signal.SIGCONT])
    thaw.daemon = True
    thaw.start()


def _signal(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _nothing_acked_is_absent(town: Town) -> None:
    """I1: whatever Stripe got a 2xx for is in the inbox."""
    missed = {one["event"] for one in town.vendors.stripe_admin("undelivered")}
    acked = town.vendors.event_ids - missed
    with town.store.read() as conn:
        kept = set(conn.execute(select(receipt.c.external_id)).scalars())
    assert acked - kept == set()


def _all_is_right(town: Town, report: Report) -> None:
    vendors = town.vendors
    report.subscriptions = len(vendors.subscriptions)
    assert vendors.wrong() == []
    groups: dict[str, set[str]] = {}
    for row in vendors.grants():
        groups.setdefault(row["orderRefId"], set()).add(row["groupId"])
    assert [ref for ref, ids in groups.items() if len(ids) > 1] == [], "a group was made twice"
    with town.store.read() as conn:
        kept = set(conn.execute(select(receipt.c.external_id)).scalars())
        report.doubts = len(conn.execute(select(intent.c.key).where(intent.c.tries > 1)).all())
    report.events = len(vendors.event_ids)
    assert vendors.event_ids - kept == set()


def main() -> None:
    """The storm at any size, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=seed_of_this_run())
    parser.add_argument("--database", help="default: SQLite in a folder of its own")
    parser.add_argument("--no-redis", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        database = given.database or f"sqlite:///{name}/hub.sqlite"
        sizes = {"seed": given.seed, "events": given.events, "kills": given.kills}
        print(storm(Path(name), database, with_redis=not given.no_redis, **sizes))


if __name__ == "__main__":
    main()
