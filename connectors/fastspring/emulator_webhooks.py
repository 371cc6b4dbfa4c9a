"""Signed posts of the emulator's events, several in one, as unkind as the vendor: late, doubled, mixed up, lost.

A 200 processes all of a post, a 202 those whose ids its body names. Whatever is left is posted again after 1, 2, 4,
6, 6, 6 and then each 24 hours, at most 12 times, with the data of then. Lives on machine time; an hour is `hour_s`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3

AFTER_H = (1, 2, 4, 6, 6, 6)
MOST_TRIES = 12


@dataclass(slots=True)
class Event:
    """One event; `render` gives its body as it is now. processed: acknowledged, or marked so."""

    id: str
    type: str
    created: int
    live: bool
    render: Callable[[], dict[str, Any]]
    processed: bool = False
    tries: int = 0
    due: float = field(default_factory=time.monotonic)
    given_up: bool = False


class Deliveries:
    """Posts what is due, in a thread of its own, until each event is processed or given up."""

    def __init__(self, seed: int) -> None:
        self.url = self.secret = ""
        self.batch, self.hour_s, self.timeout_s = 25, 0.2, 10.0
        self.drop = self.duplicate = self.reorder = 0.0
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pool = urllib3.PoolManager(retries=False)

    def configure(self, wanted: dict[str, Any]) -> None:
        """Takes url, secret, batch, hour_s, timeout_s, drop, duplicate, reorder (shares), seed."""
        with self._changed:
            for name in ("url", "secret", "batch", "hour_s", "timeout_s", "drop", "duplicate", "reorder"):
                if name in wanted:
                    setattr(self, name, wanted[name])
            if "seed" in wanted:
                self.random.seed(wanted["seed"])

    def send(self, event: Event) -> None:
        """Queues the event. Lost ones are never posted: they stay unprocessed."""
        with self._changed:
            if not self.url or self.random.random() < self.drop:
                self.counts["dropped"] += 1
                return
            self._events += [event] * (2 if self.random.random() < self.duplicate else 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fastspring-sending", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> dict[str, int]:
        """Waits until nothing is left to be posted; the counts, with `pending` > 0 where the time was too short."""
        with self._changed:
            self._changed.wait_for(lambda: not self._events, timeout_s)
            return {**self.counts, "pending": len(self._events)}

    def close(self) -> None:
        """Forgets what is queued."""
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()
        self._pool.clear()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._settle(batch, self._post(batch))

    def _next(self) -> list[Event] | None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due = [one for one in self._events if one.due <= now]
                if due:
                    batch = due[: self.batch]
                    if self.random.random() < self.reorder:
                        self.random.shuffle(batch)
                    return batch
                wait = min((one.due for one in self._events), default=now + 60) - now
                self._changed.wait(max(wait, 0.001))
        return None

    def _post(self, batch: list[Event]) -> set[str]:
        """The ids that were acknowledged."""
        events = [one.render() for one in {one.id: one for one in batch}.values()]
        body = json.dumps({"events": events}, indent=1).encode()
        headers = {"Content-Type": "application/json", "X-FS-Signature": signature(body, self.secret)}
        self.counts["posts"] += 1
        try:
            answer = self._pool.request("POST", self.url, body=body, headers=headers, timeout=self.timeout_s)
        except urllib3.exceptions.HTTPError:
            return set()
        if answer.status == 202:
            return set(answer.data.decode().split())
        return {one.id for one in batch} if answer.status == 200 else set()

    def _settle(self, batch: list[Event], done: set[str]) -> None:
        with self._changed:
            for one in batch:
                one.tries += 1
                one.processed = one.processed or one.id in done
                one.given_up = one.tries >= MOST_TRIES and not one.processed
                hours = AFTER_H[one.tries - 1] if one.tries <= len(AFTER_H) else 24
                one.due = time.monotonic() + hours * self.hour_s
                self.counts["acknowledged" if one.id in done else "refused"] += 1
                if (one.id in done or one.given_up) and one in self._events:
                    self._events.remove(one)
            self._changed.notify_all()


def signature(body: bytes, secret: str) -> str:
    """The X-FS-Signature header: base64 of HMAC-SHA256 ("Message Security")."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
