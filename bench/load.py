"""The load generator: one process, one thread, one epoll, keep-alive connections, requests made beforehand.

    python -m bench.load PORT FILE CONNECTIONS

FILE holds pickled (seconds after the start, request bytes), in order. Prints JSON: seconds from the first request
to the last answer, answers by status, and each answer's latency in milliseconds. A request that was to leave
later counts from the moment it should have left, also where no connection was free then.
"""

from __future__ import annotations

import json
import pickle
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

Request = tuple[float, bytes]
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Load:
    """Sends everything, keeps what came back."""

    def __init__(self, port: int, requests: Sequence[Request], connections: int) -> None:
        self._requests = requests
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._since: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._next = 0
        self.statuses: Counter[str] = Counter()
        self.latencies_ms: list[float] = []
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[sock.fileno()] = sock
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def run(self) -> float:
        """Seconds that it took."""
        idle = deque(self._sockets)  # in turn: the server closes a connection that is idle for long
        self._start = time.perf_counter()
        total = len(self._requests)
        while len(self.latencies_ms) < total:
            wait = self._send(idle)
            for fd, _ in self._epoll.poll(wait):
                if self._receive(fd):
                    idle.append(fd)
        return time.perf_counter() - self._start

    def _send(self, idle: deque[int]) -> float:
        """Sends what is due on free connections; seconds until the next is, -1 where an answer comes first."""
        now = time.perf_counter() - self._start
        while idle and self._next < len(self._requests):
            due, request = self._requests[self._next]
            if due > now:
                return due - now
            self._next += 1
            fd = idle.popleft()
            self._since[fd] = self._start + due if due else time.perf_counter()
            self._sockets[fd].sendall(request)
        return -1

    def _receive(self, fd: int) -> bool:
        """Whether the answer is whole."""
        data = self._parts.pop(fd, b"") + self._sockets[fd].recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        head, found, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            self._parts[fd] = data
            return False
        self.latencies_ms.append((time.perf_counter() - self._since[fd]) * 1000)
        self.statuses[head[9:12].decode()] += 1
        return True


def main() -> None:
    """See the module."""
    port, file, connections = sys.argv[1:4]
    requests = pickle.loads(Path(file).read_bytes())
    load = Load(int(port), requests, int(connections))
    seconds = load.run()
    json.dump({"seconds": seconds, "statuses": load.statuses, "latencies_ms": load.latencies_ms}, sys.stdout)


if __name__ == "__main__":
    main()
