"""Delivery of an emulator's events over real HTTP, as unkind as vendors are: late, doubled, out of order, lost.

Lives on machine time. Knows events only as something that makes a request for each attempt.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import urllib3

IDLE_S = 2.0  # a sending thread without work ends after this long


@dataclass(slots=True)
class Delivery:
    """One event for one endpoint. A doubled delivery is two of them.

    request  attempt (1, 2, ...) -> body and headers
    tries    how often at most; None: as often as is configured
    taken    whether an answer (status, body) ends it; a 2xx, where a vendor reads no more than that
    """

    event: str
    type: str
    endpoint: str
    url: str
    request: Callable[[int], tuple[bytes, dict[str, str]]]
    tries: int | None = None
    taken: Callable[[int, bytes], bool] = lambda status, _body: 200 <= status < 300
    attempts: int = 0


@dataclass
class Unkindness:
    """Shares from 0 to 1. `delay_s` is the longest delay of any delivery; one that is reordered waits longer still."""

    duplicate: float = 0.0
    reorder: float = 0.0
    drop: float = 0.0
    delay_s: float = 0.0
    reorder_s: float = 0.3
    random: random.Random = field(default_factory=lambda: random.Random(0))

    def wait(self) -> float:
        """Seconds to hold one delivery back."""
        held = self.random.uniform(0, self.delay_s) if self.delay_s else 0.0
        if self.reorder and self.random.random() < self.reorder:
            held += self.random.uniform(self.reorder_s / 10, self.reorder_s)
        return held


class Sender:
    """Sends deliveries in background threads and tries again, doubling the wait, until a 2xx or the last try.

    `counts` has scheduled, delivered, attempts, refused (an attempt without 2xx), failed (no try left),
    dropped (never sent) and duplicated. Delivered means: a 2xx came back.
    """

    def __init__(self, *, threads: int = 8, tries: int = 6, backoff_s: float = 0.2, timeout_s: float = 10) -> None:
        self.threads, self.tries, self.backoff_s, self.timeout_s = threads, tries, backoff_s, timeout_s
        self.unkindness = Unkindness()
        self.counts: Counter[str] = Counter()
        self._missed: dict[tuple[str, str], dict[str, Any]] = {}  # (event, endpoint) not delivered so far
        self._queue: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        lock = threading.RLock()
        self._ready, self._quiet = threading.Condition(lock), threading.Condition(lock)
        self._pending = self._running = self._idle = 0
        self._pool = urllib3.PoolManager(maxsize=threads, retries=False)

    # What is to be sent

    def configure(self, wanted: dict[str, Any]) -> None:
        """Takes {duplicate, reorder, drop, delay_s, reorder_s, seed, tries, backoff_s, timeout_s, threads}."""
        with self._ready:
            for name in ("duplicate", "reorder", "drop", "delay_s", "reorder_s"):
                if name in wanted:
                    setattr(self.unkindness, name, float(wanted[name]))
            for name in ("tries", "threads", "backoff_s", "timeout_s"):
                if name in wanted:
                    setattr(self, name, wanted[name])
            if "seed" in wanted:
                self.unkindness.random.seed(wanted["seed"])

    def send(self, delivery: Delivery) -> None:
        """Queues a delivery with whatever unkindness is configured."""
        with self._ready:
            self._note(delivery, "pending")
            if self.unkindness.drop and self.unkindness.random.random() < self.unkindness.drop:
                self.counts["dropped"] += 1
                self._note(delivery, "dropped")
                return
            self._put(delivery, self.unkindness.wait())
            if self.unkindness.duplicate and self.unkindness.random.random() < self.unkindness.duplicate:
                self.counts["duplicated"] += 1
                self._put(replace(delivery), self.unkindness.wait())

    def send_kindly(self, delivery: Delivery) -> None:
        """Queues a delivery, at once and for certain."""
        with self._ready:
            self._put(delivery, 0)

    # What became of it

    def drain(self, timeout_s: float = 30) -> dict[str, Any]:
        """Waits until nothing is pending; gives the counts, with `pending` > 0 where the time was too short."""
        with self._ready:
            self._quiet.wait_for(lambda: self._pending == 0, timeout_s)
            return {**self.counts, "pending": self._pending, "undelivered": len(self._missed)}

    def undelivered(self) -> list[dict[str, Any]]:
        """Event, type, url, state (pending, failed, dropped) and attempts of all that got no 2xx so far."""
        with self._ready:
            return [dict(entry) for entry in self._missed.values()]

    def missed(self) -> set[str]:
        """Ids of events that some endpoint has not taken."""
        with self._ready:
            return {event for event, _ in self._missed}

    def close(self) -> None:
        """Forgets what is queued; threads end by themselves."""
        with self._ready:
            self._pending -= len(self._queue)
            self._queue.clear()
            self._quiet.notify_all()
        self._pool.clear()

    # The sending threads

    def _put(self, delivery: Delivery, wait_s: float) -> None:
        self.counts["scheduled"] += 1
        self._pending += 1
        self._push(delivery, wait_s)

    def _push(self, delivery: Delivery, wait_s: float) -> None:
        heapq.heappush(self._queue, (time.monotonic() + wait_s, next(self._order), delivery))
        if self._idle < len(self._queue) and self._running < self.threads:
            self._running += 1
            threading.Thread(target=self._work, name="emulator-sending", daemon=True).start()
        self._ready.notify()

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            self._finish(delivery, sent=self._attempt(delivery))

    def _next(self) -> Delivery | None:
        until = time.monotonic() + IDLE_S
        with self._ready:
            while True:
                now = time.monotonic()
                if self._queue and self._queue[0][0] <= now:
                    return heapq.heappop(self._queue)[2]
                wake = self._queue[0][0] if self._queue else until
                if wake <= now:
                    self._running -= 1
                    return None
                self._idle += 1
                self._ready.wait(wake - now)
                self._idle -= 1

    def _attempt(self, delivery: Delivery) -> bool:
        delivery.attempts += 1
        body, headers = delivery.request(delivery.attempts)
        try:
            answer = self._pool.request(
                "POST", delivery.url, body=body, headers=headers, timeout=self.timeout_s, redirect=False
            )
        except urllib3.exceptions.HTTPError:
            return False
        return delivery.taken(answer.status, answer.data)

    def _finish(self, delivery: Delivery, *, sent: bool) -> None:
        last = delivery.attempts >= (self.tries if delivery.tries is None else delivery.tries)
        with self._ready:
            self.counts["attempts"] += 1
            if sent:
                self.counts["delivered"] += 1
                self._missed.pop((delivery.event, delivery.endpoint), None)
            else:
                self.counts["refused"] += 1
                if (delivery.event, delivery.endpoint) in self._missed:  # else a twin of this delivery got through
                    self._note(delivery, "failed" if last else "pending")
                if not last:
                    self._push(delivery, self.backoff_s * 2 ** (delivery.attempts - 1))
                    return
                self.counts["failed"] += 1
            self._pending -= 1
            if self._pending == 0:
                self._quiet.notify_all()

    def _note(self, delivery: Delivery, state: str) -> None:
        self._missed[delivery.event, delivery.endpoint] = {
            "event": delivery.event,
            "type": delivery.type,
            "url": delivery.url,
            "state": state,
            "attempts": delivery.attempts,
        }
