"""One attempt over HTTP/1.1: to a checked address, within a deadline, reading little. Knows no record.

http.client with a connection of its own, since an HTTP library resolves names itself: here the address is the one
that was judged (docs/security.md), SNI and Host keep the name. Redirects are not followed, no proxy of the
environment is used, nothing is decompressed. A connection is kept for the next attempt at the same URL's host.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from hub.outbound import targets
from hub.outbound.targets import Allowed, Refused, Target

CONNECT_S, TOTAL_S = 5.0, 20.0
READ_AT_MOST = 20_000
KEPT_S = 15.0  # many servers close what is idle after 20 s or more
KEPT_PER_HOST = 64
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an attempt. status: None where no whole answer came, and `error` says why not.

    retry_after: the header's text. body: at most READ_AT_MOST bytes. seconds: how long it took.
    """

    status: int | None
    seconds: float
    error: str = ""
    retry_after: str = ""
    body: bytes = b""


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as this machine's resolver says now. OSError where it says none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Sender:
    """Sends for many threads at once; keeps idle connections between attempts."""

    def __init__(
        self,
        allow: Sequence[Allowed] = (),
        *,
        resolver: Resolver = resolve,
        total_s: float = TOTAL_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow, self._resolver, self._total_s, self._context = tuple(allow), resolver, total_s, context
        self._kept: dict[tuple[bool, str, int], deque[tuple[float, _Connection]]] = {}
        self._lock = threading.Lock()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts `body`; never raises for what the network or the other side does. Refused targets are errors, too."""
        began = time.monotonic()
        try:
            where = targets.target(url)
            status, retry_after, text = self._exchange(where, headers, body, began + self._total_s)
        except Refused as error:
            return Answer(status=None, seconds=time.monotonic() - began, error=f"not sent: {error}")
        except Exception as error:  # noqa: BLE001  (an answer may be anything; it must not end the worker)
            return Answer(status=None, seconds=time.monotonic() - began, error=_said(error))
        seconds = time.monotonic() - began
        return Answer(status=status, seconds=seconds, retry_after=retry_after, body=text)

    def check(self, url: str) -> None:
        """Raises Refused where `url` can't be an endpoint's now. Asks the resolver, connects to nothing."""
        self._addresses(targets.target(url))

    def close(self) -> None:
        """Closes what is kept."""
        with self._lock:
            kept = [one for line in self._kept.values() for _, one in line]
            self._kept.clear()
        for one in kept:
            one.hang_up()

    def _exchange(self, where: Target, headers: Mapping[str, str], body: bytes, end: float) -> tuple[int, str, bytes]:
        connection = self._take(where)
        if connection is not None:
            try:
                return self._ask(connection, where, headers, body, end)
            except (http.client.RemoteDisconnected, ConnectionError):
                pass  # it was closed while it was idle: a new one, within the same attempt
        connection = _Connection(where, self._addresses(where), end, self._context)
        return self._ask(connection, where, headers, body, end)

    def _ask(
        self, connection: _Connection, where: Target, headers: Mapping[str, str], body: bytes, end: float
    ) -> tuple[int, str, bytes]:
        try:
            connection.until(end)
            connection.request("POST", where.path, body, {"Host": where.authority, **headers})
            answer = connection.getresponse()
            text = answer.read(READ_AT_MOST)
            whole = answer.length == 0 or answer.isclosed()
            retry_after = answer.headers.get("Retry-After", "")
            if whole and not answer.will_close:
                self._keep(where, connection)
                connection = None  # type: ignore[assignment]  # another thread's from here on
            return answer.status, retry_after, text
        finally:
            if connection is not None:
                connection.hang_up()

    def _addresses(self, where: Target) -> list[str]:
        try:
            found = self._resolver(where.host, where.port)
        except (OSError, UnicodeError):
            found = []
        return targets.choose(where, found, self._allow)

    def _take(self, where: Target) -> _Connection | None:
        with self._lock:
            line = self._kept.get((where.secure, where.host, where.port))
            while line:
                since, connection = line.pop()
                if time.monotonic() - since < KEPT_S:
                    return connection
                connection.hang_up()
        return None

    def _keep(self, where: Target, connection: _Connection) -> None:
        with self._lock:
            line = self._kept.setdefault((where.secure, where.host, where.port), deque())
            line.append((time.monotonic(), connection))
            oldest = line.popleft()[1] if len(line) > KEPT_PER_HOST else None
        if oldest is not None:
            oldest.hang_up()


class _Connection(http.client.HTTPConnection):
    """A connection to one of these addresses, all of whose waiting ends at one moment (monotonic)."""

    def __init__(self, where: Target, addresses: Sequence[str], end: float, context: ssl.SSLContext | None) -> None:
        super().__init__(where.host, where.port)
        self._where, self._addresses, self._end, self._tls = where, addresses, end, context
        self._wire: _Wire | None = None

    def until(self, end: float) -> None:
        """From now on everything ends at `end`."""
        self._end = end
        if self._wire is not None:
            self._wire.end = end

    def connect(self) -> None:
        """Connects to the first address that answers."""
        errors: list[OSError] = []
        for address in self._addresses:
            try:
                raw = socket.create_connection((address, self._where.port), min(CONNECT_S, _left(self._end)))
            except OSError as error:
                errors.append(error)
                continue
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wire = _Wire(self._secured(raw), self._end)
            self.sock = self._wire  # all of a socket that http.client uses
            return
        raise errors[0]

    def hang_up(self) -> None:
        """Closes it at once, whatever still reads."""
        with suppress(OSError):
            self.close()
        if self._wire is not None:
            self._wire.hang_up()

    def _secured(self, raw: socket.socket) -> socket.socket:
        if not self._where.secure:
            return raw
        try:
            return (self._tls or _context()).wrap_socket(raw, server_hostname=self._where.host)
        except BaseException:
            raw.close()
            raise


class _Wire:
    """What http.client needs of a socket; each wait takes no longer than what is left."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self.end = sock, end

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self.end))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def recv_into(self, buffer: Any) -> int:  # noqa: ANN401  (as socket's)
        self._sock.settimeout(_left(self.end))
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """Not yet: http.client closes before the answer's body was read. `hang_up` does."""

    def hang_up(self) -> None:
        with suppress(OSError):
            self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  (whatever can be written to)
        return self._wire.recv_into(buffer)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@cache
def _context() -> ssl.SSLContext:
    """Verifies always, TLS 1.2 or newer."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timed out"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "connection broken off"),
    (OSError, "not reached"),
)  # the first that fits


def _said(error: Exception) -> str:
    """What went wrong, in few words that name no header or body."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not verify: {error.verify_message}"
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), "no HTTP answer")
    return words if words in {"timed out", "connection refused"} else f"{words} ({type(error).__name__})"
