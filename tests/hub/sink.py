"""A consumer for tests: a real HTTP server on 127.0.0.1 that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler", "Got"], object]


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str
    number: int  # of requests with this webhook-id, from 1

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Sink:
    """What came, and how to answer: a status, or a function that writes to the socket itself."""

    answer: int | Answer = 200
    got: list[Got] = field(default_factory=list)
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [one.id for one in self.got]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sink: Sink

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"])).decode()
        with self.sink.lock:
            number = 1 + sum(one.headers.get("webhook-id") == headers.get("webhook-id") for one in self.sink.got)
            got = Got(self.path, headers, body, number)
            self.sink.got.append(got)
        if callable(self.sink.answer):
            self.sink.answer(self, got)
        else:
            self.say(self.sink.answer)

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "2"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def a_sink(answer: int | Answer = 200) -> Iterator[Sink]:
    made = Sink(answer)
    server = _Server(("127.0.0.1", 0), type("H", (Handler,), {"sink": made}))
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
