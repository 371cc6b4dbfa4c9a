"""The leases that this process holds: one thread renews them all, and every outside call asks first.

A lease's end is counted on the monotonic clock from before the UPDATE was sent, so it is never thought longer
than it is.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable
from typing import Self

from hub.errors import HubError, LeaseLost
from hub.store import Store, subjects
from hub.store.subjects import Lease

RENEWALS = 4  # a lease of 60 s is renewed each 15 s


class LeaseBook:
    """Take, renew and check leases under one holder name."""

    def __init__(self, store: Store, ttl_s: float) -> None:
        self.holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.ttl_s = ttl_s
        self._store = store
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def take(self, key: str) -> Lease | None:
        """The lease on `key`, None while another holder has it."""
        began = time.monotonic()
        lease = self._store.write(lambda conn: subjects.take(conn, key, self.holder, self.ttl_s))
        if lease:
            self.keep([lease], began)
        return lease

    def keep(self, leases: Iterable[Lease], began: float) -> None:
        """Notes leases that were taken by an UPDATE sent at `began` (monotonic)."""
        with self._lock:
            self._ends.update({lease.key: began + self.ttl_s for lease in leases})

    def forget(self, leases: Iterable[Lease]) -> None:
        """These were released."""
        with self._lock:
            for lease in leases:
                self._ends.pop(lease.key, None)

    def check(self, lease: Lease) -> None:
        """Raises LeaseLost where the lease may have ended: ask before each outside call."""
        end = self._ends.get(lease.key)
        if end is None or time.monotonic() >= end:
            raise LeaseLost(f"the lease on {lease.key} has ended")

    def _renew_for_ever(self) -> None:
        while not self._stop.wait(self.ttl_s / RENEWALS):
            with self._lock:
                keys = list(self._ends)
            if keys:
                self._renew(keys)

    def _renew(self, keys: list[str]) -> None:
        began = time.monotonic()
        try:
            renewed = self._store.write(lambda conn: subjects.renew(conn, self.holder, keys, self.ttl_s))
        except HubError:
            return  # the next round tries again; until then the known ends stand
        with self._lock:
            for key in self._ends.keys() & set(keys):
                if key in renewed:
                    self._ends[key] = began + self.ttl_s
                else:
                    self._ends[key] = 0.0  # taken over
