"""Between the server and Flask: reads each body under a limit and a deadline, then runs Flask in a thread.

Bodies are read on the event loop, where waiting costs nothing: any number of slow senders holds no thread up
(docs/adr/0003). Bytes are counted while reading; Content-Length is only a claim.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from hub.inbox import COMMIT_S, Begun
from hub.metrics import REJECTED
from hub.web.later import LATER, Later
from hub.web.problem import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from flask import Response

DEADLINE_S = 10.0
DOOR = "/webhooks/"
BRIEF = 64 * 1024  # to check and read more than this would hold the event loop up
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
        self._commits = Commits()

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
        if scope.method == "POST" and scope.path.startswith(DOOR) and len(body) <= BRIEF:
            return await self._run_here(environ_of(scope, body))
        return await self._in_thread(partial(run, self._app, environ_of(scope, body)))

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _run_here(self, environ: WSGIEnvironment) -> Answer:
        """What waits for nothing but the record needs no thread: 16 of them spend their time on the GIL."""
        later = environ[LATER] = Later(self._commits.told())
        answer = run(self._app, environ)
        if later.begun is None or later.answer is None:
            return answer
        await self._commits.wait(later.begun)
        if later.begun.plain:
            return _plain(later.answer())
        return await self._in_thread(lambda: _plain(later.answer()))  # type: ignore[misc]  # told above


class Commits:
    """Requests on the event loop that wait for the record. Woken once a batch, not once a request."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Begun] = {}
        self._told: Callable[[], object] | None = None

    def told(self) -> Callable[[], object]:
        """What the writing thread calls when a batch is over."""
        if self._told is None:
            loop = asyncio.get_running_loop()

            def told() -> None:
                with suppress(RuntimeError):  # the loop has ended: nobody waits
                    loop.call_soon_threadsafe(self._wake)

            self._told = told
        return self._told

    async def wait(self, begun: Begun) -> None:
        """Returns when it has ended, or has taken too long."""
        if begun.ended:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = begun
        try:
            async with asyncio.timeout(COMMIT_S):
                await future
        except TimeoutError:
            return
        finally:
            self._waiting.pop(future, None)

    def _wake(self) -> None:
        for future in [future for future, begun in self._waiting.items() if begun.ended and not future.done()]:
            future.set_result(None)


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
    return _plain(problem(status, detail, {"Connection": "close"}))


def _plain(response: Response) -> Answer:
    headers = [(name.lower(), value) for name, value in response.headers.items()]
    return response.status_code, headers, response.get_data()
