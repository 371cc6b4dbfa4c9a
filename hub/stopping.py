"""A wish to stop, as a signal brings it."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)


def set_by_signals(*events: threading.Event, signals: Sequence[signal.Signals] = STOPS) -> None:
    """These events are set soon after one of these signals has come. For the main thread.

    By a thread of their own: a handler runs within whatever the main thread is doing, also within `event.wait`, which
    holds the lock that `event.set` waits for. And by the bare one, for starting a `threading.Thread` takes a lock too.
    """

    def handle(_signal: int, _frame: FrameType | None) -> None:
        for event in events:
            _thread.start_new_thread(event.set, ())

    for one in signals:
        signal.signal(one, handle)


@contextmanager
def stops_held() -> Iterator[None]:
    """Within it a forked child hears no stop before it listens for itself (`hears_stops`): none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hears_stops() -> None:
    """A forked child ends on them, as a process that was just started does; it may listen in its own way later."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
