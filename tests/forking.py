"""`python -m MODULE ...` as real processes, without the second that Python takes to import the hub.

One process, started with the first of them, has imported everything and forks: each is a process of its own, with its
own session, environment, folder and streams, that ends as any other does. Some are still started from nothing
(tests/hub/test_cli.py, the receiver's server, `make run`).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from hub import failpoint

REPOSITORY = Path(__file__).parents[1]
IMPORTED = ("hub", "connectors")  # whatever there is in them
ANSWER_S = 60.0  # the first order waits for all imports
LONGEST = 1 << 20  # bytes of one order: words, environment and folder


class Process:
    """As much of subprocess.Popen as tests ask of a process that runs `python -m ...`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | str = REPOSITORY,
        stdin: IO[Any] | None = None,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._told, theirs = socket.socketpair()
        order = json.dumps({"words": command[2:], "env": dict(env), "cwd": str(cwd)}).encode() + b"\n"
        with theirs, Path(os.devnull).open("r+b") as nothing:
            fds = [theirs.fileno(), *((one or nothing).fileno() for one in (stdin, stdout, stderr))]
            for stream in (stdout, stderr):
                if stream is not None:
                    stream.flush()
            with _one_at_a_time:
                self._told.settimeout(ANSWER_S)
                socket.send_fds(_server(), [order], fds)
                self.pid = self._hear()
                self._told.settimeout(None)

    def _hear(self) -> int:
        said = b""
        while not said.endswith(b"\n"):
            more = self._told.recv(1)
            if not more:
                raise ChildProcessError("what forks the hub's processes has ended")
            said += more
        return int(said)

    def poll(self) -> int | None:
        """Its exit code, or less the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """As poll, once it has ended; subprocess.TimeoutExpired where that takes longer."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = self._hear()
            self._told.close()
        return self.returncode

    def send_signal(self, signal_: int) -> None:
        """Sends it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal_)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


Running: TypeAlias = Process | subprocess.Popen[bytes]


def start(command: Sequence[str], env: Mapping[str, str], said: IO[bytes]) -> Running:
    """A process in a session of its own that goes on: forked if it is `python -m ...`, else started."""
    if list(command[:2]) == [sys.executable, "-m"]:
        return Process(command, env=env, stdout=said, stderr=said)
    return subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str = REPOSITORY,
    stdin: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as asked:
        asked.write(stdin.encode())
        asked.seek(0)
        process = Process(command, env=env, cwd=cwd, stdin=asked, stdout=said, stderr=errors)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(command, code, _text(said), _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


_mine: dict[int, socket.socket] = {}
_one_at_a_time = threading.Lock()


def _server() -> socket.socket:
    """Where orders go; started by the first."""
    if os.getpid() not in _mine:
        ours, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
            env = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
            env["OPENBLAS_NUM_THREADS"] = "1"  # only what has one thread may fork
            given = [theirs.fileno()]
            server = subprocess.Popen(
                words, cwd=REPOSITORY, env=env, pass_fds=given, stdin=subprocess.DEVNULL, process_group=0
            )
        _mine[os.getpid()] = ours
        atexit.register(_end, ours, server)
    return _mine[os.getpid()]


def _end(orders: socket.socket, server: subprocess.Popen[bytes]) -> None:
    orders.close()
    server.wait()


# -- the process that forks


def _serve(orders: socket.socket) -> list[str] | None:
    """Forks at each order. Returns twice: the words, in a process that is to carry them out; None at the end."""
    woken, wake = socket.socketpair()
    for one in (woken, wake):
        one.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready = select.select([orders, woken], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            _tell_ended(waiting)
        if orders not in ready:
            continue
        order, fds, _, _ = socket.recv_fds(orders, LONGEST, 4)
        while order and not order.endswith(b"\n"):
            order += orders.recv(LONGEST)
        if not order:
            return None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, before)
            for other in (orders, woken, wake, *waiting.values()):
                other.close()
            return _become(json.loads(order), fds)
        for fd in fds[1:]:
            os.close(fd)
        waiting[pid] = socket.socket(fileno=fds[0])
        waiting[pid].sendall(b"%d\n" % pid)


def _tell_ended(waiting: dict[int, socket.socket]) -> None:
    """Whoever waits for a process that has ended hears its code."""
    while waiting:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with suppress(OSError), waiting.pop(pid) as told:
            told.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(order: Mapping[str, Any], fds: Sequence[int]) -> list[str]:
    """A process like one that was started from nothing."""
    os.setsid()
    for number, fd in enumerate(fds[1:]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    importlib.reload(failpoint)  # what it reads of the environment, it reads when it is imported
    return list(order["words"])


def main() -> None:
    """Imports everything, then forks at each order until nobody can give one any more."""
    for name in IMPORTED:
        for module in pkgutil.walk_packages([str(REPOSITORY / name)], f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gc.freeze()  # what is there stays, and its pages are shared
    orders = socket.socket(fileno=int(sys.argv[1]))
    if words := _serve(orders):
        sys.argv = words
        os._exit(_run(words[0]))


def _run(module: str) -> int:
    """The exit code of `python -m module`. What the interpreter does at its end, less taking all modules apart."""
    code: object = 0
    sys.modules.pop(f"{module}.__main__", None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    return code if isinstance(code, int) else 1


if __name__ == "__main__":
    main()
