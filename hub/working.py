"""What `hub worker` does: drains on RQ while Redis answers, in a forked child each second while it does not.

A stop is never lost: whoever is asked to stop hands it on to the child at work, also to one that is just being made.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
import structlog
from rq import Worker
from rq.job import Job

from hub import jobs, limits
from hub.errors import HubError
from hub.runtime import die_with_parent
from hub.stopping import STOPS, set_by_signals, stops_held

if TYPE_CHECKING:
    from types import FrameType

    from hub.wiring import Hub

log = structlog.get_logger()
POLL_WITHOUT_REDIS_S = 1.0


class RedisAway(Exception):
    """Redis does not answer: the worker goes on without it."""


def work(hub: Hub, kinds: Sequence[str]) -> None:
    """Drains these kinds for ever: on RQ while Redis answers, else in a forked child each second. Ends on SIGTERM.

    Looks for work on its own too, each tick: no bell and no clock is needed for what is due to be done.
    """
    stop = _Stop()
    while not stop.asked:
        if hub.bell.alive():
            _work_on_rq(hub, kinds, stop)
        else:
            stop.wait(POLL_WITHOUT_REDIS_S)
        for kind in kinds:
            if not stop.asked and _is_due(hub, kind):
                stop.run_child(partial(jobs.drain, kind))


def _is_due(hub: Hub, kind: str) -> bool:
    """Whether there is work now. Leaves no connection open that a forked child could find."""
    try:
        return jobs.due(hub, kind)
    except HubError as error:
        log.warning("worker.record_away", error=str(error))
        return False
    finally:
        hub.store.close()


class _Stop:
    """A wish to stop, handed on to the child at work."""

    def __init__(self) -> None:
        self.asked = False
        self._child = 0
        self.listen()

    def listen(self) -> None:
        """Hears SIGTERM and SIGINT."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        if self._child:
            _send(self._child, signal.SIGTERM)

    def run_child(self, job: Callable[[], object]) -> None:
        """Runs `job` in a forked child, so that what it leaks or breaks goes with it."""
        with stops_held():
            self._child = os.fork()
            if self._child == 0:
                _become_horse(os.getppid())
                code = 0
                try:
                    job()
                except BaseException:
                    log.exception("worker.drain_failed")
                    code = 1
                os._exit(code)
        if self.asked:  # before there was a child to hand it to
            _send(self._child, signal.SIGTERM)
        while True:
            try:
                os.waitpid(self._child, 0)
            except InterruptedError:
                continue
            break
        self._child = 0

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(min(0.1, seconds))


def _become_horse(parent: int) -> None:
    """A job's process: dies with the worker, and on SIGTERM takes no new lease."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_by_signals(limits.stopping, signals=[signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _work_on_rq(hub: Hub, kinds: Sequence[str], stop: _Stop) -> None:
    worker = None
    try:
        worker = _rq_worker(hub, kinds, stop)
        worker.work(logging_level="CRITICAL", max_idle_time=max(1, int(hub.settings.timing.tick)))
    except Exception as error:  # noqa: BLE001  (whatever RQ meets: the loop decides anew)
        log.warning("worker.redis_away", error=type(error).__name__)
    finally:
        stop.asked = stop.asked or bool(worker and worker.asked_to_stop)
        stop.listen()  # RQ put its own handlers in place


def _rq_worker(hub: Hub, kinds: Sequence[str], stop: _Stop) -> _Worker:
    queues = [hub.bell.queue(kind) for kind in kinds]
    name = f"{kinds[0]}-{socket.gethostname()}-{os.getpid()}-{random.randrange(1 << 32):08x}"  # noqa: S311
    for queue in queues:
        queue.job_class = _AllowedJob
    worker = _Worker(
        queues, name=name, connection=hub.bell.redis(), serializer=queues[0].serializer, job_class=_AllowedJob
    )
    worker.stop = stop
    return worker


class _AllowedJob(Job):
    """Only our own functions run, whatever stands in Redis."""

    @property
    def func(self) -> Callable[..., object]:
        allowed: dict[str, Callable[..., object]] = {
            "hub.jobs.drain": jobs.drain,
            "hub.jobs.summarize": jobs.summarize,
        }
        if self.func_name not in allowed:
            raise PermissionError(f"a job wants {self.func_name!r}")
        return allowed[self.func_name]


class _Worker(Worker):
    """RQ's worker, which hands every stop on, whenever it comes."""

    stop: _Stop
    asked_to_stop = False

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        try:
            super().heartbeat(*args, **kwargs)
        except redis.exceptions.RedisError as error:
            raise RedisAway(str(error)) from error

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        if self.stop.asked:  # while this worker made itself known to Redis, and did not listen yet
            self.asked_to_stop = self._stop_requested = True

    def fork_work_horse(self, *args: Any) -> None:  # noqa: ANN401
        with stops_held():
            super().fork_work_horse(*args)
        if self.asked_to_stop:  # before there was a horse to hand it to
            self.handle_warm_shutdown_request()

    def setup_work_horse_signals(self) -> None:
        _become_horse(os.getppid())

    def handle_warm_shutdown_request(self) -> None:
        self.asked_to_stop = True
        if self.horse_pid:
            _send(self.horse_pid, signal.SIGTERM)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def _send(pid: int, signal_: signal.Signals) -> None:
    try:
        os.kill(pid, signal_)
    except ProcessLookupError:
        return
