"""Real processes, killed at any moment: nothing lost, nothing doubled, nothing wrong (F02, F03, F05, F13 at 300 events).

Each run prints its seed; HUB_CHAOS_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
import requests
from sqlalchemy import select

from hub import settings, wiring
from hub.runtime import EmbeddedRedis, free_port, this_hub, wait_for_port
from hub.store import Store, subjects
from hub.store.migrate import upgrade
from hub.store.schema import receipt
from tests.world import SECRET, Vendors, config_text

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(280)]
EVENTS, KILLS = 300, 30


class Town:
    """Vendors and hub in processes of their own, started again whenever one is found dead."""

    def __init__(self, folder: Path, database: str) -> None:
        self.ports = {name: free_port() for name in ("stripe", "zentitle", "web")}
        self.redis = EmbeddedRedis(folder / "redis")
        stripe, zentitle = (f"http://127.0.0.1:{self.ports[name]}" for name in ("stripe", "zentitle"))
        (folder / "hub.toml").write_text(
            config_text(
                database=database,
                stripe=stripe,
                zentitle=zentitle,
                port=self.ports["web"],
                redis=self.redis.url,
                sweep=5,
            )
        )
        self.environ = {**os.environ, "HUB_CONFIG": str(folder / "hub.toml")}
        for name in ("HUB_DATABASE_URL", "HUB_REDIS_URL", "HUB_HOST", "HUB_PORT"):
            self.environ.pop(name, None)
        self.log = (folder / "log").open("ab")
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        ports = ["--stripe-port", str(self.ports["stripe"]), "--zentitle-port", str(self.ports["zentitle"])]
        self.commands = {
            "vendors": [sys.executable, "-m", "sandbox", *ports],
            "redis": self.redis.command(),
            **{name: this_hub(name) for name in ("web", "worker", "clock")},
        }
        hub = wiring.build(settings.load(folder / "hub.toml", {}))
        upgrade(hub.store)
        hub.store.close()
        self.store = Store(database)
        self.vendors = Vendors(stripe, zentitle)

    def keep_up(self) -> None:
        for name, command in self.commands.items():
            one = self.running.get(name)
            if one is None or one.poll() is not None:
                self.running[name] = subprocess.Popen(
                    command, env=self.environ, stdout=self.log, stderr=self.log, start_new_session=True
                )

    def wait(self) -> None:
        for port in (*self.ports.values(), self.redis.port):
            assert wait_for_port(port, 30)

    def kill(self, name: str, signal_: signal.Signals = signal.SIGKILL) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.running[name].pid, signal_)
        with suppress(subprocess.TimeoutExpired):
            self.running[name].wait(35 if signal_ is signal.SIGTERM else 5)

    def kill_job(self) -> None:
        """The process that the worker forked for its job, if there is one."""
        found = Path(f"/proc/{self.running['worker'].pid}/task/{self.running['worker'].pid}/children")
        for child in found.read_text().split() if found.exists() else []:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def idle(self) -> bool:
        with self.store.read() as conn:
            return subjects.next_due(conn) is None and not subjects.suspects(conn, 1) and subjects.busy(conn) == 0

    def close(self) -> None:
        for one in reversed(list(self.running.values())):
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        self.log.close()
        self.vendors.http.close()
        self.store.close()


@contextmanager
def a_town(folder: Path, database: str) -> Iterator[Town]:
    town = Town(folder, database)
    try:
        town.keep_up()
        town.wait()
        yield town
    finally:
        town.close()


def strike(town: Town, roll: random.Random) -> str:
    """One blow, at random."""
    blow = roll.choice(["web", "worker", "job", "job", "redis", "clock", "flush", "stop worker", "stop web"])
    if blow == "job":
        town.kill_job()
    elif blow == "flush":
        with suppress(redis.exceptions.RedisError):
            redis.Redis(port=town.redis.port, socket_timeout=1).flushall()
    elif blow.startswith("stop "):
        town.kill(blow.removeprefix("stop "), signal.SIGTERM)
    else:
        town.kill(blow)
    return blow


def test_F02_F03_F05_F13_kills_at_any_moment_lose_and_double_nothing(tmp_path: Path, database_url: str) -> None:
    seed = int(os.environ.get("HUB_CHAOS_SEED", time.time_ns() % 10**9))
    print(f"HUB_CHAOS_SEED={seed}")
    roll = random.Random(seed)
    with a_town(tmp_path, database_url) as town:
        vendors = town.vendors
        vendors.stripe_admin("webhook", url=f"http://127.0.0.1:{town.ports['web']}/webhooks/stripe", secret=SECRET)
        vendors.stripe_admin("delivery", duplicate=0.15, reorder=0.3, seed=seed, tries=60, backoff_s=0.2)
        faults = {"apply_then_reset": 0.03, "apply_then_error": 0.02, "error": 0.03, "throttle": 0.02}
        vendors.http.post(f"{vendors.zentitle_url}/_sandbox/faults", json={"rates": faults, "seed": seed}, timeout=10)
        raised, kills, blows = 0, 0, []
        while raised < EVENTS or kills < KILLS:
            if raised < EVENTS:
                vendors.act(roll)
                raised = len(_events(vendors))
            if kills < KILLS and roll.random() < 0.7:
                blows.append(strike(town, roll))
                kills += 1
            town.keep_up()
            time.sleep(0.05)
        vendors.http.post(f"{vendors.zentitle_url}/_sandbox/faults", json={"rates": {}}, timeout=10)
        print(raised, "events;", ", ".join(blows))
        town.keep_up()
        town.wait()
        _until(lambda: vendors.stripe_admin("undelivered") in ([], {}, 0) or _is_empty(vendors), town, 60)
        _until(town.idle, town, 120)
        assert vendors.wrong() == []
        _every_event_is_kept(town, _events(vendors))


def _events(vendors: Vendors) -> list[str]:
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = vendors.get("/v1/events", limit=100, **after)
        found += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            return found
        after = {"starting_after": found[-1]}


def _is_empty(vendors: Vendors) -> bool:
    told = vendors.stripe_admin("undelivered")
    return not (told.get("events") if isinstance(told, dict) else told)


def _until(condition, town: Town, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        with suppress(requests.RequestException):
            if condition():
                return
        assert time.monotonic() < end, "not in time"
        town.keep_up()
        time.sleep(0.2)


def _every_event_is_kept(town: Town, events: list[str]) -> None:
    with town.store.read() as conn:
        kept = set(conn.execute(select(receipt.c.external_id)).scalars())
    assert [one for one in events if one not in kept] == []
