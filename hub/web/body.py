"""Reads a request's body under a limit and a deadline, counted while reading (Content-Length is only a claim).

The server's read can't be interrupted, so it happens in a thread of its own, and the request waits for it.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

DEADLINE_S = 10.0
READERS = 32
MOST_READERS = 512


class TooLargeError(Exception):
    """The body is over the limit."""


class TooSlowError(Exception):
    """The body did not come in time."""


class _Reading:
    __slots__ = ("data", "done", "error", "limit", "stream")

    def __init__(self, stream: Any, limit: int) -> None:  # noqa: ANN401  (a WSGI input)
        self.stream, self.limit = stream, limit
        self.data = b""
        self.error: Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()


class BodyReader:
    """A pool of reading threads; grows while slow senders occupy it."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._queue: SimpleQueue[_Reading] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._busy = 0

    def read(self, stream: Any, declared: int | None, limit: int) -> bytes:  # noqa: ANN401
        """The whole body; TooLargeError over `limit` bytes, TooSlowError past the deadline."""
        if declared is not None and declared > limit:
            raise TooLargeError
        reading = _Reading(stream, limit)
        self._make_room()
        self._queue.put(reading)
        if not reading.done.acquire(timeout=self._deadline_s):
            raise TooSlowError
        if reading.error is not None:
            raise TooSlowError from reading.error  # the sender went away
        if len(reading.data) > limit:
            raise TooLargeError
        return reading.data

    def _make_room(self) -> None:
        if self._threads >= READERS and self._busy < self._threads:
            return
        with self._lock:
            if self._threads < MOST_READERS:
                self._threads += 1
                threading.Thread(target=self._run, name="body", daemon=True).start()

    def _run(self) -> None:
        while True:
            reading = self._queue.get()
            with self._lock:
                self._busy += 1
            try:
                reading.data = _all_of(reading.stream, reading.limit + 1)
            except Exception as error:  # noqa: BLE001  (told to the request)
                reading.error = error
            with self._lock:
                self._busy -= 1
            reading.done.release()


def _all_of(stream: Any, most: int) -> bytes:  # noqa: ANN401
    """Up to `most` bytes: one read where the server gives all at once."""
    data: bytes = stream.read(most)
    while 0 < len(data) < most:
        more = stream.read(most - len(data))
        if not more:
            break
        data += more
    return data
