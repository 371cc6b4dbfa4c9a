"""Signed delivery of the emulator's events over real HTTP, as unkind as Stripe's: late, doubled, out of order, lost.

Lives on machine time. Knows events only as bodies to send.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import itertools
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import urllib3

from connectors.stripe.emulator_thin import Format

IDLE_S = 2.0  # a sending thread without work ends after this long


@dataclass(slots=True)
class Endpoint:
    """Where events go. `events` are type names (a thin endpoint's begin with `v1.`), or `*` for all.

    A `connect` endpoint gets the events of connected accounts, others the platform's own.
    """

    id: str
    url: str
    secret: str
    events: tuple[str, ...] = ("*",)
    format: Format = "current"
    connect: bool = False

    def wants(self, type_: str, *, connected: bool) -> bool:
        name = f"v1.{type_}" if self.format == "thin" else type_
        return self.connect is connected and ("*" in self.events or name in self.events)


@dataclass(slots=True)
class _Job:
    """One event for one endpoint. A doubled delivery is two jobs."""

    event: str
    type: str
    endpoint: Endpoint
    body: bytes
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


class Deliveries:
    """Sends events in background threads and tries again, doubling the wait, until a 2xx or the last try.

    `counts` has scheduled, delivered, attempts, refused (an attempt without 2xx), failed (no try left),
    dropped (never sent) and duplicated. Delivered means: a 2xx came back.
    """

    def __init__(self, *, threads: int = 8, tries: int = 6, backoff_s: float = 0.2, timeout_s: float = 10) -> None:
        self.threads, self.tries, self.backoff_s, self.timeout_s = threads, tries, backoff_s, timeout_s
        self.endpoints: dict[str, Endpoint] = {}
        self.unkindness = Unkindness()
        self.counts: Counter[str] = Counter()
        self._missed: dict[tuple[str, str], dict[str, Any]] = {}  # (event, endpoint) not delivered so far
        self._queue: list[tuple[float, int, _Job]] = []
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

    def schedule(self, event: str, type_: str, bodies: dict[Format, bytes], *, connected: bool = False) -> None:
        """Queues the event for each endpoint that wants it, with whatever unkindness is configured."""
        for endpoint in self.wanting(type_, connected=connected):
            job = _Job(event, type_, endpoint, bodies[endpoint.format])
            with self._ready:
                self._note(job, "pending")
                if self.unkindness.drop and self.unkindness.random.random() < self.unkindness.drop:
                    self.counts["dropped"] += 1
                    self._note(job, "dropped")
                    continue
                self._put(job, self.unkindness.wait())
                if self.unkindness.duplicate and self.unkindness.random.random() < self.unkindness.duplicate:
                    self.counts["duplicated"] += 1
                    self._put(_Job(event, type_, endpoint, job.body), self.unkindness.wait())

    def force(self, event: str, type_: str, bodies: dict[Format, bytes], *, connected: bool = False) -> int:
        """Queues the event again for each endpoint that wants it, kindly; says for how many."""
        wanting = self.wanting(type_, connected=connected)
        for endpoint in wanting:
            with self._ready:
                self._put(_Job(event, type_, endpoint, bodies[endpoint.format]), 0)
        return len(wanting)

    def wanting(self, type_: str, *, connected: bool = False) -> list[Endpoint]:
        """The endpoints that asked for this type, of the platform or of a connected account."""
        return [endpoint for endpoint in self.endpoints.values() if endpoint.wants(type_, connected=connected)]

    def formats(self) -> set[Format]:
        """In which formats bodies are sent."""
        return {endpoint.format for endpoint in self.endpoints.values()}

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

    def _put(self, job: _Job, wait_s: float) -> None:
        self.counts["scheduled"] += 1
        self._pending += 1
        self._push(job, wait_s)

    def _push(self, job: _Job, wait_s: float) -> None:
        heapq.heappush(self._queue, (time.monotonic() + wait_s, next(self._order), job))
        if self._idle < len(self._queue) and self._running < self.threads:
            self._running += 1
            threading.Thread(target=self._work, name="stripe-emulator-delivery", daemon=True).start()
        self._ready.notify()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._finish(job, sent=self._send(job))

    def _next(self) -> _Job | None:
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

    def _send(self, job: _Job) -> bool:
        job.attempts += 1
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(job.body, job.endpoint.secret, int(time.time())),
        }
        try:
            answer = self._pool.request(
                "POST", job.endpoint.url, body=job.body, headers=headers, timeout=self.timeout_s, redirect=False
            )
        except urllib3.exceptions.HTTPError:
            return False
        return 200 <= answer.status < 300

    def _finish(self, job: _Job, *, sent: bool) -> None:
        with self._ready:
            self.counts["attempts"] += 1
            if sent:
                self.counts["delivered"] += 1
                self._missed.pop((job.event, job.endpoint.id), None)
            else:
                self.counts["refused"] += 1
                if (job.event, job.endpoint.id) in self._missed:  # else a twin of this delivery got through
                    self._note(job, "pending" if job.attempts < self.tries else "failed")
                if job.attempts < self.tries:
                    self._push(job, self.backoff_s * 2 ** (job.attempts - 1))
                    return
                self.counts["failed"] += 1
            self._pending -= 1
            if self._pending == 0:
                self._quiet.notify_all()

    def _note(self, job: _Job, state: str) -> None:
        self._missed[job.event, job.endpoint.id] = {
            "event": job.event,
            "type": job.type,
            "url": job.endpoint.url,
            "state": state,
            "attempts": job.attempts,
        }


def signature(body: bytes, secret: str, now: int) -> str:
    """The Stripe-Signature header: v1 over `<t>.<body>`, the whole secret as key (stripe 16.1.0 `_webhook.py`)."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"
