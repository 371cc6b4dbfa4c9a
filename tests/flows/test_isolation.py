"""F11: a vendor that answers slowly, or not at all for a while, keeps nobody else's purchases waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.emulation import serving
from connectors.stripe.emulator import StripeEmulator
from hub import drain
from hub.sweep import sweep
from tests.world import SECRET, Vendors, World

SLOW = """
[connections.slow]
kind = "stripe"
base_url = "{url}"
api_key = "sk_test_sandbox"
webhook_secrets = ["{secret}"]
rate_per_s = 5000
"""
THREADS = 8


class Held(StripeEmulator):
    """Answers no purchase before `gate` is opened; `waiting` requests wait at it."""

    def __init__(self) -> None:
        super().__init__(seed=11)
        self.gate, self.waiting = threading.Event(), 0

    def __call__(self, environ, start_response):  # type: ignore[no-untyped-def]
        if environ["PATH_INFO"].startswith("/v1/subscriptions/"):
            self.waiting += 1
            self.gate.wait(30)
            self.waiting -= 1
        return super().__call__(environ, start_response)


@pytest.mark.timeout(120)
def test_F11_purchases_of_one_connection_are_licensed_while_looks_of_another_wait_for_their_vendor(
    tmp_path: Path, sqlite_url: str
) -> None:
    held = Held()
    with serving(held) as url:
        world = World(tmp_path, sqlite_url, more=SLOW.format(url=url, secret=SECRET))
        slow = Vendors(url, world.zentitle_url)
        try:
            for _ in range(6 * THREADS):
                slow.buy()
            assert sweep(world.hub.shop, world.hub.connectors["slow"]) > 0
            with working(world):
                until(lambda: held.waiting > 0)
                bought = [world.buy("PRO-100", seats) for seats in range(1, 5)]
                world.deliver(world.events())
                until(lambda: licensed(world, "stripe") == len(bought))
                assert held.waiting > 0, "and the others wait still"
                assert licensed(world, "slow") == 0
                held.gate.set()
                until(lambda: licensed(world, "slow") == 6 * THREADS, 60)
        finally:
            held.gate.set()
            slow.http.close()
            world.close()


@contextmanager
def working(world: World) -> Iterator[None]:
    """A worker works while the body runs."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            drain.drain(world.hub.shop, world.hub.bell, THREADS, stop=over.is_set)

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def licensed(world: World, connection: str) -> int:
    """How many licenses this connection's purchases have."""
    return sum(row["orderRefId"].startswith(f"{connection}:") for row in world.grants())


def until(condition: Callable[[], bool], seconds: float = 12) -> None:
    """Returns once it holds. Shorter than what a call to a vendor may take: no look has failed meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
