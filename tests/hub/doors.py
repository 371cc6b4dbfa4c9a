"""A hub's own processes for tests: started as people start them, spoken to over real sockets of 127.0.0.1."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from hub.runtime import free_port, this_hub, wait_for_port
from hub.store import Store
from tests import forking
from tests.factories import a_signature
from tests.records import upgrade
from tests.world import SECRET, config_text

REPOSITORY = Path(__file__).parents[2]
CLOSED = "http://127.0.0.1:1"
_senders = itertools.count(2)


def a_config(folder: Path, **values: Any) -> Path:
    """A hub.toml on closed ports and an SQLite record of its own."""
    known = {"database": f"sqlite:///{folder}/hub.sqlite", "stripe": CLOSED, "zentitle": CLOSED}
    file, more = folder / "hub.toml", values.pop("more", "")
    file.write_text(config_text(**(known | values)) + more)
    return file


def environ(config: Path, **more: str) -> dict[str, str]:
    """The environment of a hub's process: what this one has, without HUB_*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return kept | {"HUB_CONFIG": str(config), "PYTHONPATH": str(REPOSITORY)} | more


def hub(config: Path, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """`hub ...`, run to its end."""
    return forking.run(this_hub(*words), env=environ(config, **more), cwd=config.parent, stdin=stdin)


@contextmanager
def running(config: Path, *words: str, **more: str) -> Iterator[forking.Process]:
    """`hub ...` as a process that goes on; what it says stands in `<word>.log` beside hub.toml."""
    with (config.parent / f"{words[0]}.log").open("wb") as said:
        command = this_hub(*words)
        process = forking.Process(command, env=environ(config, **more), cwd=config.parent, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Answer:
    """What came back. `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Door:
    """A running receiver."""

    port: int
    config: Path
    store: Store
    process: forking.Process

    def connect(self, sender: str | None = None) -> HTTPConnection:
        """A connection from an address of its own (127.0.0.0/8 is all ours), since failures are counted by address."""
        number = next(_senders)
        source = sender or f"127.0.{1 + number // 250}.{1 + number % 250}"
        return HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))

    def post(
        self,
        body: bytes,
        signature: str | None = "good",
        *,
        to: str = "/webhooks/stripe",
        sender: str | None = None,
        chunked: bool = False,
        **headers: str,
    ) -> Answer:
        """Posts once. `signature`: "good" makes one of SECRET, None sends none."""
        connection = self.connect(sender)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if signature is not None:
            sent["Stripe-Signature"] = a_signature(body, SECRET) if signature == "good" else signature
        try:
            payload: Any = iter([body]) if chunked else body
            connection.request("POST", to, payload, sent, encode_chunked=chunked)
            return answer_of(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        connection = self.connect()
        try:
            connection.request("GET", path)
            return answer_of(connection.getresponse())
        finally:
            connection.close()

    def raw(self, request: bytes, wait_s: float = 5) -> bytes:
        """Sends these bytes as they are; all that comes back before the other side closes or falls silent."""
        with self.socket(wait_s) as sock:
            sock.sendall(request)
            found = b""
            with suppress(TimeoutError, ConnectionResetError):
                while part := sock.recv(65536):
                    found += part
                    sock.settimeout(1)
            return found

    def socket(self, wait_s: float = 5) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=wait_s)


def answer_of(response: HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextmanager
def a_door(folder: Path, **values: Any) -> Iterator[Door]:
    """A receiver process with a record that is up to date."""
    port = free_port()
    config = a_config(folder, port=port, **values)
    store = Store(f"sqlite:///{folder}/hub.sqlite")
    upgrade(store)
    try:
        with running(config, "web") as process:
            up = wait_for_port(port, 30)
            assert up, f"the receiver did not come up (code {process.poll()}): {(folder / 'web.log').read_text()}"
            yield Door(port, config, store, process)
    finally:
        store.close()
