"""A stop is heard whatever the main thread is doing."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHIN_WAIT = """
import signal, threading
from hub.stopping import set_by_signals
stop = threading.Event()
set_by_signals(stop)
with {lock}:  # as the main thread holds it
    signal.raise_signal(signal.SIGTERM)
assert stop.wait(20)
"""


@pytest.mark.parametrize("lock", ["stop._cond", "threading._active_limbo_lock"])
def test_I10_a_stop_that_comes_while_the_main_thread_waits_for_it_or_starts_a_thread_ends_the_process(
    lock: str,
) -> None:
    code = [sys.executable, "-c", WITHIN_WAIT.format(lock=lock)]
    assert subprocess.run(code, timeout=40, check=False).returncode == 0
