"""Between the server and Flask: reads each body under a limit and a deadline, then runs Flask in a thread.

Bodies are read on the event loop, where waiting costs nothing: any number of slow senders holds no thread up
(docs/adr/0003). Bytes are counted while reading; Content-Length is only a claim.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from hub.metrics import REJECTED
from hub.web.problem import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

DEADLINE_S = 10.0
Answer = tuple[int, list[tuple[str, str]], bytes]


class TooLargeError(Exception):
    """The body is over the limit."""


class Gateway:
    """The server's application (RSGI): `limit_of(path)` says how many bytes a body may have."""

    def __init__(
        self, app: WSGIApplication, limit_of: Callable[[str], int], threads: int, deadline_s: float = DEADLINE_S
    ) -> None:
        self._app, self._limit_of, self._deadline_s = app, limit_of, deadline_s
        self._pool = ThreadPoolExecutor(threads, "request")

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401  (granian's own types)
        """Answers one request."""
        status, headers, body = await self._answer(scope, protocol)
        protocol.response_bytes(status, headers, body)

    async def _answer(self, scope: Any, protocol: Any) -> Answer:  # noqa: ANN401
        limit = self._limit_of(scope.path)
        try:
            _check_declared(scope.headers.get("content-length") or "", limit)
            async with asyncio.timeout(self._deadline_s):
                body = await read_body(protocol, limit)
        except TooLargeError:
            return _refusal(413, "too large", f"a body of at most {limit} bytes is taken")
        except TimeoutError:
            return _refusal(408, "too slow", "the body did not come in time")
        except Exception:  # noqa: BLE001  (the sender broke off: nobody hears this answer)
            return _refusal(400, "broken off", "the body did not come whole")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, run, self._app, environ_of(scope, body))


def _check_declared(length: str, limit: int) -> None:
    """Saves reading a body that says itself that it is too large."""
    if length.isdigit() and int(length) > limit:
        raise TooLargeError


async def read_body(protocol: Any, limit: int) -> bytes:  # noqa: ANN401
    """The whole body; TooLargeError once it is over `limit` bytes."""
    parts, size = [], 0
    async for part in protocol:
        size += len(part)
        if size > limit:
            raise TooLargeError
        parts.append(bytes(part))
    return b"".join(parts)


def environ_of(scope: Any, body: bytes) -> WSGIEnvironment:  # noqa: ANN401
    """The request as WSGI (PEP 3333) has it; a header that came twice is joined by a comma."""
    host, _, port = str(scope.server).rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host or "127.0.0.1",
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": str(scope.client).rpartition(":")[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if name == "content-length":
            continue
        key = "CONTENT_TYPE" if name == "content-type" else "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if scope.authority and "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority
    return environ


def run(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """What the application answers."""
    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc: object = None) -> Callable[[bytes], object]:
        told[:] = [int(status.split(" ", 1)[0]), headers]
        return lambda _data: None

    parts: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    return told[0], [(name.lower(), value) for name, value in told[1]], body


def _refusal(status: int, reason: str, detail: str) -> Answer:
    REJECTED.labels("any", reason).inc()
    response = problem(status, detail, {"Connection": "close"})
    headers = [(name.lower(), value) for name, value in response.headers.items()]
    return status, headers, response.get_data()
