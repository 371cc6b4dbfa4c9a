"""What the vendors' emulators share: a movable business clock, faults on order, and a small HTTP frame.

Only emulators, the sandbox and tests import this. Admin calls stand under `/_sandbox/` on every emulator.
"""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FAULTS = ("error", "reset", "slow", "apply_then_reset", "apply_then_error", "late_apply", "garbage", "throttle")


class Clock:
    """Business time: real time plus an offset that only moves forward. Listeners run after each move."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self._listeners: list[Callable[[datetime], None]] = []
        self._lock = threading.RLock()

    def now(self) -> datetime:
        """The emulated moment, in UTC."""
        return datetime.now(UTC) + self.offset

    def on_move(self, listener: Callable[[datetime], None]) -> None:
        """Calls `listener(now)` after each move (renewals, expiry)."""
        self._listeners.append(listener)

    def advance(self, step: timedelta) -> datetime:
        """Moves time on by `step`, at most a day at once, so that everything happens in its order."""
        with self._lock:
            while step > timedelta(0):
                part = min(step, timedelta(days=1))
                self.offset += part
                step -= part
                for listener in self._listeners:
                    listener(self.now())
        return self.now()


@dataclass
class Faults:
    """Faults to inject. `plan` is a queue for exact tests, `rates` (kind -> share) for storms.

    error             503 before anything is done
    reset             connection closed before anything is done
    slow              answers after `slow_s`, done at once
    apply_then_reset  done, then the connection is closed without an answer
    apply_then_error  done, then 500
    late_apply        connection closed at once, done `late_s` later
    garbage           done, a 2xx whose body can't be read
    throttle          429 with Retry-After, told as `retry_after_as` says: "seconds" or "date"
    A plan entry is {"fault": kind, "method": "POST", "path": prefix}; the last two are optional.
    """

    rates: dict[str, float] = field(default_factory=dict)
    plan: deque[dict[str, str]] = field(default_factory=deque)
    slow_s: float = 2.0
    late_s: float = 1.0
    latency_s: float = 0.0
    retry_after_s: int = 1
    retry_after_as: str = "seconds"
    random: random.Random = field(default_factory=random.Random)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pick(self, method: str, path: str) -> str | None:
        """The fault for this request, if any; a plan entry is used up."""
        with self.lock:
            for entry in self.plan:
                if entry.get("method", method) == method and path.startswith(entry.get("path", "/")):
                    self.plan.remove(entry)
                    return entry["fault"]
            roll = self.random.random()
            for kind, share in self.rates.items():
                roll -= share
                if roll < 0:
                    return kind
        return None

    def retry_after(self) -> str:
        """The header's value (RFC 9110 §10.2.3)."""
        if self.retry_after_as == "seconds":
            return str(self.retry_after_s)
        return format_datetime(datetime.now(UTC) + timedelta(seconds=self.retry_after_s), usegmt=True)

    def configure(self, wanted: dict[str, Any]) -> None:
        """Takes {"rates": .., "plan": [..], "slow_s": .., "seed": ..}; absent keys stay."""
        with self.lock:
            for name in ("slow_s", "late_s", "latency_s", "retry_after_s", "retry_after_as", "rates"):
                if name in wanted:
                    setattr(self, name, wanted[name])
            if "plan" in wanted:
                self.plan = deque(wanted["plan"])
            if "seed" in wanted:
                self.random.seed(wanted["seed"])


class Emulator:
    """A WSGI application: a vendor's routes with its faults, and the admin calls every emulator has.

    Subclasses give `routes` (a werkzeug Map whose endpoints are method names) and `state()`;
    a method takes (request, **path values) and returns a Response or JSON.
    """

    routes: Map
    admin_prefix = "/_sandbox/"
    faultless: tuple[str, ...] = ()  # path prefixes that faults and latency spare

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.call_log: deque[dict[str, Any]] = deque(maxlen=100_000)
        self.lock = threading.RLock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith(self.admin_prefix):
            return self._admin(request)(environ, start_response)
        request.get_data(cache=True)
        response = self._with_faults(request)
        if response is None:
            return self._hang_up(environ)
        return response(environ, start_response)

    def answer(self, request: Request) -> Response:
        """The vendor's own answer, without faults."""
        try:
            endpoint, values = self.routes.bind_to_environ(request.environ).match()
            result = getattr(self, endpoint)(request, **values)
        except HTTPException as error:
            return self.refuse(error.code or 500, error.description or "")
        return result if isinstance(result, Response) else reply(result)

    def refuse(self, status: int, message: str) -> Response:
        """An error in the vendor's own shape; subclasses override."""
        return reply({"error": message}, status)

    def noted(self, request: Request) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """What the call log keeps of this request besides; subclasses override."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything the emulator holds, as JSON, for tests and the story."""
        return {}

    def admin(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401, ARG002
        """A vendor's own admin call (POST /_sandbox/<name>); subclasses override."""
        raise KeyError(name)

    def _with_faults(self, request: Request) -> Response | None:  # noqa: C901  (a table)
        if self.faults.latency_s:
            time.sleep(self.faults.latency_s)
        fault = None
        if not request.path.startswith(self.faultless or ("\0",)):
            fault = self.faults.pick(request.method, request.path)
        with self.lock:
            self.calls[f"{request.method} {request.path}"] += 1
            self.call_log.append(
                {"at": time.time(), "method": request.method, "path": request.full_path.rstrip("?"), "fault": fault}
                | self.noted(request)
            )
        match fault:
            case None:
                return self.answer(request)
            case "error":
                return self.refuse(503, "injected: not available")
            case "throttle":
                response = self.refuse(429, "injected: too many requests")
                response.headers["Retry-After"] = self.faults.retry_after()
                return response
            case "slow":
                response = self.answer(request)
                time.sleep(self.faults.slow_s)
                return response
            case "apply_then_error":
                self.answer(request)
                return self.refuse(500, "injected: failed after it was done")
            case "garbage":
                done = self.answer(request)
                return Response(b"<html>gateway says hi", status=done.status_code, content_type="text/html")
            case "apply_then_reset":
                self.answer(request)
            case "late_apply":
                timer = threading.Timer(self.faults.late_s, self.answer, [request])
                timer.daemon = True
                timer.start()
        return None

    def _hang_up(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        """Closes the connection with a reset, as a failing proxy does."""
        connection: socket.socket = environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
        raise ConnectionAbortedError

    def _admin(self, request: Request) -> Response:
        name = request.path.removeprefix(self.admin_prefix)
        body = json.loads(request.get_data() or b"{}")
        match name:
            case "faults":
                self.faults.configure(body)
                return reply({"ok": True})
            case "advance":
                return reply({"now": iso(self.clock.advance(timedelta(**body)))})
            case "clock":
                return reply({"now": iso(self.clock.now()), "offset_s": self.clock.offset.total_seconds()})
            case "state":
                with self.lock:
                    return reply(self.state())
            case "calls":
                with self.lock:
                    return reply({"counts": dict(self.calls), "log": list(self.call_log)})
            case _:
                try:
                    return reply(self.admin(name, body))
                except KeyError as error:
                    return reply({"error": f"no such admin call or object: {error}"}, 404)


def reply(value: Any, status: int = 200) -> Response:  # noqa: ANN401
    """`value` as a JSON response."""
    return Response(json.dumps(value), status=status, content_type="application/json")


def iso(moment: datetime) -> str:
    """As vendors write it: UTC, whole seconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _KeepAlive(WSGIRequestHandler):
    """Keeps connections, which werkzeug's own `run_wsgi` (3.1) never does: it closes each after 10 ms of waiting."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def run_wsgi(self) -> None:
        """One request. Every emulator reads the whole body, so the next request line is next on the wire."""
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            head[:] = (status, headers)
            return self.wfile.write

        try:
            body = b"".join(self.server.app(self.make_environ(), start_response))
        except ConnectionError:
            self.close_connection = True
            return
        except Exception:
            logging.getLogger(__name__).exception("an emulator failed")
            head[:], body = ("500 Internal Server Error", [("Content-Length", "0")]), b""
        code, _, reason = head[0].partition(" ")
        self.send_response(int(code), reason)
        for name, value in head[1]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        pass


def server(app: Emulator, port: int, host: str = "127.0.0.1") -> BaseWSGIServer:
    """An HTTP server for one emulator, a thread per connection; port 0 takes a free one (`server.port`)."""
    return make_server(host, port, app, threaded=True, request_handler=_KeepAlive)


@contextmanager
def serving(app: Emulator, port: int = 0) -> Iterator[str]:
    """Serves `app` in a thread; gives its base URL."""
    httpd = server(app, port)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
