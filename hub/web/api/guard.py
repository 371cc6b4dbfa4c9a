"""Who may call, how often, and what is said where something is wrong: every error is problem+json."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Response, g, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from hub import keys
from hub.errors import ConfigurationError, PermanentError, RetryableError, Unavailable
from hub.web.problem import problem, refusal
from hub.web.receiver import FailureBudget

if TYPE_CHECKING:
    from hub.web.api.route import Route
    from hub.wiring import Hub

log = structlog.get_logger()
BURST_S = 5  # so many seconds' calls may come at once
MOST_BYTES = 64 * 1024
PREFIX = "api."


class Rates:
    """So many calls a second for each key, in this process; what was not used gathers for BURST_S seconds."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left: dict[str, tuple[float, float]] = {}  # key -> (calls left, when)
        self._lock = threading.Lock()

    def wait_s(self, key: str, now: float) -> float:
        """Counts a call; seconds until this key may call again, 0: now."""
        most = max(1.0, self._per_s * BURST_S)
        with self._lock:
            left, since = self._left.get(key, (most, now))
            left = min(most, left + (now - since) * self._per_s)
            allowed = left >= 1
            self._left[key] = (left - allowed, now)
        return 0.0 if allowed else (1 - left) / self._per_s


def install(api: Blueprint, hub: Hub, routes: Mapping[str, Route]) -> None:
    """Guards every route of the blueprint; what has no row in `routes` is refused."""
    budget, rates = FailureBudget(), Rates(hub.settings.hub.api_per_s)

    @api.before_request
    def may_they() -> Response | None:
        route = routes.get((request.endpoint or "").removeprefix(PREFIX))
        if route is not None and route.scope is None:
            return _fits()
        owner = keys.owner(hub.store, _key())
        if owner is None:
            if budget.spent(request.remote_addr or "", time.monotonic()):
                return problem(429, "too many calls without a valid key came from here", {"Retry-After": "1"})
            said = "send Authorization: Bearer hub_...; `hub keys create` makes one"
            return problem(401, said, {"WWW-Authenticate": "Bearer"})
        if wait_s := rates.wait_s(owner.prefix, time.monotonic()):
            said = f"this key may make {hub.settings.hub.api_per_s:g} calls a second"
            return problem(429, said, {"Retry-After": f"{int(wait_s) + 1}"})
        if route is None or (route.scope and route.scope not in owner.scopes):
            needs = route.scope if route else "another key"
            return problem(403, f"this key has {', '.join(owner.scopes)}; this needs {needs}")
        g.key = owner
        return _fits()

    _errors(api)


def _key() -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _fits() -> Response | None:
    """What is wrong with how it was sent; None where nothing is."""
    if "\0" in request.path or any("\0" in f"{name}{value}" for name, value in request.args.items(multi=True)):
        return problem(400, "it holds a NUL character, which no name or id has")
    if request.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        return problem(415, "send the body as it is, without Content-Encoding")
    if (request.content_length or 0) > MOST_BYTES or len(request.get_data()) > MOST_BYTES:
        return problem(413, f"a body of at most {MOST_BYTES} bytes is taken")
    if request.get_data() and request.mimetype != "application/json":
        return problem(415, f"send Content-Type: application/json, not {request.mimetype[:100] or 'none'}")
    return None


def _errors(api: Blueprint) -> None:
    api.register_error_handler(PermanentError, refusal)

    @api.errorhandler(ValidationError)
    def unreadable(error: ValidationError) -> Response:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        return problem(400, f"{where}: {first['msg'].removeprefix('Value error, ')}")

    @api.errorhandler(RetryableError)
    def later(error: RetryableError) -> Response:
        return problem(503, str(error), {"Retry-After": f"{error.retry_after or 5:.0f}"})

    @api.errorhandler(Unavailable)
    def away(error: Unavailable) -> Response:
        return problem(503, str(error), {"Retry-After": f"{error.retry_after:.0f}"})

    @api.errorhandler(ConfigurationError)
    def to_mend(error: ConfigurationError) -> Response:
        return problem(503, str(error), {"Retry-After": "60"})

    @api.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return problem(error.code or 500, error.description or "")

    @api.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        log.error("api.failed", route=request.endpoint, exc_info=error)
        return problem(500, "a bug of ours; the hub's log has it as api.failed")
