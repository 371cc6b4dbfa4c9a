"""The leases that this process holds: one thread renews them all, and every outside call asks first.

A lease's end is counted on the monotonic clock from before the UPDATE was sent, so it is never thought longer
than it is.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
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
        self._ends: dict[str, tuple[int, float]] = {}  # fence and end, by key
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()  # a renewal that is under way would open the record anew, once it was closed

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
            self._ends.update({lease.key: (lease.fence, began + self.ttl_s) for lease in leases})

    def forget(self, leases: Iterable[Lease]) -> None:
        """These were released. One that another look of this process has taken since is that one's, and stays."""
        with self._lock:
            for lease in leases:
                if self._ends.get(lease.key, (None, 0.0))[0] == lease.fence:
                    del self._ends[lease.key]

    def check(self, lease: Lease) -> None:
        """Raises LeaseLost where the lease may have ended: ask before each outside call."""
        fence, end = self._ends.get(lease.key, (None, 0.0))
        if fence != lease.fence or time.monotonic() >= end:
            raise LeaseLost(f"the lease on {lease.key} has ended")

    def _renew_for_ever(self) -> None:
        while not self._stop.wait(self.ttl_s / RENEWALS):
            with self._lock:
                held = {key: fence for key, (fence, _) in self._ends.items()}
            if held:
                self._renew(held)

    def _renew(self, held: Mapping[str, int]) -> None:
        began = time.monotonic()
        try:
            renewed = self._store.write(lambda conn: subjects.renew(conn, self.holder, list(held), self.ttl_s))
        except HubError:
            return  # the next round tries again; until then the known ends stand
        with self._lock:
            for key, fence in held.items():
                if self._ends.get(key, (None, 0.0))[0] == fence:  # else released, or taken anew, meanwhile
                    self._ends[key] = (fence, began + self.ttl_s if key in renewed else 0.0)  # 0: taken over
