"""`POST /webhooks/<connection>`: the door. Raw bytes are verified before anything else; 2xx means committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Response, request

from hub.errors import RetryableError, Unavailable, VerificationError
from hub.failpoint import failpoint
from hub.inbox import COMMIT_S, Begun, begin
from hub.metrics import RECEIVED, REJECTED
from hub.ports import PATH_KEY, Reply
from hub.web.later import LATER, Later
from hub.web.problem import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from hub.ports import Connector
    from hub.wiring import Hub

log = structlog.get_logger()
FAILURES_PER_S = 20
HARD_LIMIT = 5 * 1024 * 1024
FORM_LIMIT = 256 * 1024
OK = Reply(body=b"ok\n", content_type="text/plain")


class FailureBudget:
    """20 unverified requests a second per address; more are told to slow down. Verified ones never are."""

    def __init__(self, per_s: int = FAILURES_PER_S) -> None:
        self._per_s = per_s
        self._second = 0
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def spent(self, address: str, now: float) -> bool:
        """Counts a failure; whether this address has had more than its share this second."""
        with self._lock:
            if int(now) != self._second:
                self._second = int(now)
                self._failures.clear()
            self._failures[address] = self._failures.get(address, 0) + 1
            return self._failures[address] > self._per_s


def limit_of(hub: Hub, path: str) -> int:
    """How many bytes a body sent to `path` may have."""
    name = path.removeprefix("/webhooks/").partition("/")[0] if path.startswith("/webhooks/") else ""
    connector = hub.connectors.get(name)
    return min(connector.body_limit, HARD_LIMIT) if connector else FORM_LIMIT


def blueprint(hub: Hub) -> Blueprint:
    """The receiver's routes."""
    door = Blueprint("receiver", __name__)
    budget = FailureBudget()
    doors = {name: one for name, one in hub.connectors.items() if one.webhooks is not None}

    @door.post("/webhooks/<connection>")
    @door.post("/webhooks/<connection>/<key>")
    def receive(connection: str, key: str = "") -> Response:
        connector = doors.get(connection)
        name = connection if connector else "unknown"

        def refused(refusal: _Refusal) -> Response:
            REJECTED.labels(name, refusal.reason).inc()
            if refusal.status in {401, 404} and budget.spent(request.remote_addr or "", time.time()):
                return problem(429, "too many requests that could not be verified", {"Retry-After": "1"})
            if refusal.reply:
                return Response(refusal.reply.body, refusal.status, refusal.headers, None, refusal.reply.content_type)
            return problem(refusal.status, refusal.detail, refusal.headers)

        try:
            return _receive(hub, connector or _any(doors), key, refused, known=connector is not None)
        except _Refusal as refusal:
            return refused(refusal)

    return door


class _Refusal(Exception):
    def __init__(self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.reason, self.detail, self.headers = status, reason, detail, headers
        self.reply: Reply | None = None
        super().__init__(reason)


def _any(doors: Mapping[str, Connector]) -> Connector | None:
    """A connection to do the same work with for a name that nobody has (S02)."""
    return next(iter(doors.values()), None)


def _receive(
    hub: Hub, connector: Connector | None, key: str, refused: Callable[[_Refusal], Response], *, known: bool
) -> Response:
    environ = request.environ
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() not in {"", "identity"}:
        raise _Refusal(415, "encoding", "send the body as it is, without Content-Encoding")
    if connector is None or connector.webhooks is None:
        raise _Refusal(404, "unknown connection", "no connection of this name takes webhooks")
    body = environ["wsgi.input"].read()  # the gateway has read it, under limit and deadline
    now, headers = time.time(), headers_of(environ) | ({PATH_KEY: key} if key else {})
    if not known:
        _verify_for_nothing(connector, body, headers, now)
        raise _Refusal(404, "unknown connection", "no connection of this name takes webhooks")
    later: Later | None = environ.get(LATER)
    try:
        begun = begin(hub.store, connector, body, headers, now, later.told if later else None)
    except VerificationError as error:
        log.info("receipt.refused", source=connector.name, because=error.reason)
        raise _Refusal(401, error.reason, "the request is not proven to come from the vendor") from error
    except RetryableError as error:
        log.warning("receipt.not_verified", source=connector.name, because=str(error))
        raise _Refusal(503, "key", "not verified now, send it again", {"Retry-After": _whole(error)}) from error
    except Exception as error:
        raise _bug(connector, error) from error
    if later is None:
        return _answer(hub, connector, begun, headers)

    def answer() -> Response:
        try:
            return _answer(hub, connector, begun, headers, timeout_s=0)
        except _Refusal as refusal:
            return refused(refusal)

    later.wait_for(begun, answer)
    return Response()  # the gateway sends what `answer` gives


def _answer(
    hub: Hub, connector: Connector, begun: Begun, headers: Mapping[str, str], timeout_s: float = COMMIT_S
) -> Response:
    """The answer once all is committed, or as much as the vendor takes alone; _Refusal 503 where nothing is."""
    content_type = headers.get("content-type", "")
    found = begun.each(timeout_s)
    kept = [(id_, outcome) for id_, outcome in found if isinstance(outcome, str)]
    failed = next((outcome for _, outcome in found if isinstance(outcome, Exception)), None)
    if failed and not (kept and connector.partly):
        refusal = _not_recorded(connector, failed)
        refusal.reply = connector.replying(content_type, False)
        raise refusal from failed
    for _, outcome in kept:
        RECEIVED.labels(connector.name, outcome).inc()
    failpoint("receipt.before_ring")
    hub.bell.ring_soon()
    if failed and connector.partly:
        log.error("receipt.partly", source=connector.name, kept=len(kept), of=len(found), exc_info=failed)
        return Response(connector.partly([id_ for id_, _ in kept]), 202, content_type="text/plain")
    reply = connector.replying(content_type, True) or OK
    return Response(reply.body, 200, content_type=reply.content_type)


def _not_recorded(connector: Connector, error: Exception) -> _Refusal:
    if isinstance(error, Unavailable):
        return _Refusal(503, "record", "not recorded, send it again", {"Retry-After": f"{error.retry_after:.0f}"})
    return _bug(connector, error)


def _whole(error: RetryableError) -> str:
    return f"{error.retry_after or 5:.0f}"


def _bug(connector: Connector, error: Exception) -> _Refusal:
    log.error("receipt.failed", source=connector.name, exc_info=error)
    return _Refusal(503, "bug", "not recorded, send it again", {"Retry-After": "30"})


def headers_of(environ: WSGIEnvironment) -> dict[str, str]:
    """Header names in lower case, as connectors expect them."""
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    if "CONTENT_TYPE" in environ:
        headers["content-type"] = environ["CONTENT_TYPE"]
    return headers


def _verify_for_nothing(connector: Connector, body: bytes, headers: Mapping[str, str], now: float) -> None:
    try:
        if connector.webhooks:
            connector.webhooks.verify(body, headers, now)
    except (VerificationError, RetryableError):
        return
