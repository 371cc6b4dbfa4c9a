"""A TCP proxy before a database's socket that cuts connections, on order, after a request has gone through."""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LINGER_OFF = b"\x01\x00\x00\x00\x00\x00\x00\x00"
LET_IT_COMMIT_S = 0.05


class Proxy:
    """Forwards to the Unix socket `target`. `share` of the requests is the last that its connection carries."""

    def __init__(self, target: Path, seed: int = 0) -> None:
        self.share, self.cuts = 0.0, 0
        self._target, self._roll = str(target), random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.connect(self._target)
            with selectors.DefaultSelector() as ready:
                for one in (client, server):
                    ready.register(one, selectors.EVENT_READ)
                while all(self._pass_on(client, server, key.fileobj) for key, _ in ready.select()):
                    pass

    def _pass_on(self, client: socket.socket, server: socket.socket, source: object) -> bool:
        """Passes on what has come; False where the connection is over."""
        if source is server:
            data = server.recv(65536)
            client.sendall(data)
            return bool(data)
        data = client.recv(65536)
        server.sendall(data)
        if data and self._roll.random() < self.share:
            self.cuts += 1
            time.sleep(LET_IT_COMMIT_S)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
            return False
        return bool(data)


@contextmanager
def a_proxy(target: Path, seed: int = 0) -> Iterator[Proxy]:
    """A proxy that is listening."""
    made = Proxy(target, seed)
    try:
        yield made
    finally:
        made.close()
