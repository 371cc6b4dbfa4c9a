"""The API for programs: the stream by position, and endpoints. Bearer keys with scopes; errors are problem+json.

A route that SCOPES does not name is refused: nothing is open by mistake. OpenAPI: /api/v1/openapi.json.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from flask import Blueprint, Response, g, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub import __version__, keys
from hub.errors import PermanentError
from hub.outbound.endpoints import OVERLAP_S, By, Wish
from hub.outbound.filters import Filter
from hub.store import outbound, stream
from hub.store.outbound import Again, Endpoint
from hub.stream import catalog
from hub.stream.events import VERSION
from hub.web.problem import problem
from hub.web.receiver import FailureBudget

if TYPE_CHECKING:
    from hub.store.keys import Kept
    from hub.wiring import Hub

T = TypeVar("T", bound=BaseModel)
MOST_EVENTS, MOST_WAITING, LONGEST_WAIT_S, POLL_S = 500, 4, 8.0, 0.25
OPEN = frozenset({"api.openapi", "api.asyncapi"})  # documents that say nothing of anybody
SCOPES = {
    "api.events": "events:read",
    "api.types": "events:read",
    "api.endpoints": "endpoints:read",
    "api.endpoint": "endpoints:read",
    "api.deliveries": "endpoints:read",
    "api.add": "endpoints:write",
    "api.enable": "endpoints:write",
    "api.disable": "endpoints:write",
    "api.rotate": "endpoints:write",
    "api.replay": "endpoints:write",
    "api.remove": "endpoints:write",
}
Text = Annotated[str, Field(max_length=2000)]
Texts = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewEndpoint(_Body):
    """An endpoint to add."""

    url: Text
    description: Text = ""
    types: Texts = []
    connections: Texts = []
    customers: Texts = []
    condition: Text = ""
    headers: dict[str, str] = {}
    version: int = VERSION
    ordered: bool = False
    rate_per_s: float | None = None


class Enable(_Body):
    """What becomes of what came meanwhile."""

    gap: Annotated[str, Field(pattern="^(deliver|skip)$")] = "deliver"


class Rotate(_Body):
    """For how long the former secret signs, too."""

    overlap_hours: Annotated[float, Field(ge=0, le=168)] = OVERLAP_S / 3600


class Replay(_Body):
    """Which messages to send again; times are epoch seconds."""

    ids: Texts = []
    since: float | None = None
    until: float | None = None
    types: Texts = []
    failed: bool = False


def blueprint(hub: Hub) -> Blueprint:
    """The routes under /api/v1/."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    _guard(api, hub)
    _documents(api)
    _events(api, hub)
    _endpoints(api, hub)
    _orders(api, hub)
    return api


def _guard(api: Blueprint, hub: Hub) -> None:
    budget = FailureBudget()

    @api.before_request
    def may_they() -> Response | None:
        if request.endpoint in OPEN:
            return None
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        owner = keys.owner(hub.store, key.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            if budget.spent(request.remote_addr or "", time.monotonic()):
                return problem(429, "too many requests without a valid key came from here", {"Retry-After": "1"})
            said = "send Authorization: Bearer hub_...; `hub keys create` makes one"
            return problem(401, said, {"WWW-Authenticate": "Bearer"})
        scope = SCOPES.get(request.endpoint or "")
        if scope is None or scope not in owner.scopes:
            return problem(403, f"this key has {', '.join(owner.scopes)}; this needs {scope or 'another key'}")
        g.key = owner
        return None

    @api.errorhandler(PermanentError)
    def refused(error: PermanentError) -> Response:
        status = 404 if error.code == "not found" else 400
        return problem(status, f"{error}" + (f": {error.hint}" if error.hint else ""))

    @api.errorhandler(ValidationError)
    def unreadable(error: ValidationError) -> Response:
        first = error.errors(include_input=False, include_url=False)[0]
        return problem(400, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}")


def _documents(api: Blueprint) -> None:
    @api.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(document())

    @api.get("/asyncapi.json")
    def asyncapi() -> Response:
        return jsonify(catalog.asyncapi("Licensing hub", __version__))


def _events(api: Blueprint, hub: Hub) -> None:
    waiting = threading.Semaphore(MOST_WAITING)

    @api.get("/events")
    def events() -> Response:
        after, limit = _number("after", 0, 2**62), _number("limit", 100, MOST_EVENTS)
        wait_s = min(_number("wait", 0, 3600), LONGEST_WAIT_S)
        types = tuple(one for one in request.args.get("types", "").split(",") if one)
        with hub.store.read() as conn:
            newest = stream.newest(conn)
        if after > newest:
            return problem(400, f"after is {after}, and the newest position is {newest}: was the record restored?")
        if after == newest and wait_s and waiting.acquire(blocking=False):
            try:
                _wait_for_more(hub, after, wait_s)
            finally:
                waiting.release()
        with hub.store.read() as conn:
            newest = stream.newest(conn)  # before the rows: what comes between is read the next time
            found = stream.after(conn, after, types, limit)
        more = len(found) == limit
        following = found[-1].position if more else max(newest, found[-1].position if found else after)
        return jsonify(events=[one.to_json() for one in found], next=following, more=more)

    @api.get("/events/types")
    def types() -> Response:
        return jsonify(catalog.published())


def _wait_for_more(hub: Hub, after: int, wait_s: float) -> None:
    """Returns once there is something after this position, or the time is over."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))
        with hub.store.read() as conn:
            if stream.newest(conn) > after:
                return


def _endpoints(api: Blueprint, hub: Hub) -> None:
    @api.get("/endpoints")
    def endpoints() -> Response:
        with hub.store.read() as conn:
            return jsonify(endpoints=[as_json(one) for one in outbound.endpoints(conn)])

    @api.get("/endpoints/<id_>")
    def endpoint(id_: str) -> Response:
        with hub.store.read() as conn:
            found = outbound.endpoint(conn, id_)
        return jsonify(as_json(found)) if found else _unknown(id_)

    @api.get("/endpoints/<id_>/deliveries")
    def deliveries(id_: str) -> Response:
        state, limit = request.args.get("state", ""), _number("limit", 50, 200)
        before = _number("before", 0, 2**62) or None
        with hub.store.read() as conn:
            if outbound.endpoint(conn, id_) is None:
                return _unknown(id_)
            rows = outbound.deliveries(conn, id_, state, before, limit)
            told = [_delivery(row, outbound.attempts(conn, row.id)) for row in rows]
        return jsonify(deliveries=told, before=rows[-1].position if len(rows) == limit else None)


def _orders(api: Blueprint, hub: Hub) -> None:
    orders = hub.office.endpoints

    @api.post("/endpoints")
    def add() -> tuple[Response, int]:
        body = _body(NewEndpoint)
        chosen = Filter(
            types=tuple(body.types),
            connections=tuple(body.connections),
            customers=tuple(body.customers),
            condition=body.condition,
        )
        wish = Wish(
            url=body.url,
            description=body.description,
            filter=chosen,
            headers=body.headers,
            version=body.version,
            ordered=body.ordered,
            rate_per_s=body.rate_per_s,
        )
        id_, secret = orders.add(wish, _by())
        return jsonify(id=id_, secret=secret), 201

    @api.post("/endpoints/<id_>/enable")
    def enable(id_: str) -> Response:
        skipped = orders.enable(id_, _by(), skip=_body(Enable).gap == "skip")
        hub.bell.ring("delivery")
        return jsonify(skipped=skipped)

    @api.post("/endpoints/<id_>/disable")
    def disable(id_: str) -> Response:
        orders.disable(id_, _by())
        return jsonify(state=outbound.DISABLED)

    @api.post("/endpoints/<id_>/rotate")
    def rotate(id_: str) -> Response:
        return jsonify(secret=orders.rotate(id_, _by(), _body(Rotate).overlap_hours * 3600))

    @api.post("/endpoints/<id_>/replay")
    def replay(id_: str) -> Response:
        body = _body(Replay)
        if not body.model_fields_set:
            return problem(400, "say which: ids, since, until, types or failed")
        which = Again(
            ids=tuple(body.ids), since=body.since, until=body.until, types=tuple(body.types), failed=body.failed
        )
        done = orders.again(id_, which, _by())
        hub.bell.ring("delivery")
        return jsonify(messages=done)

    @api.delete("/endpoints/<id_>")
    def remove(id_: str) -> tuple[str, int]:
        orders.remove(id_, _by())
        return "", 204


def as_json(of: Endpoint) -> dict[str, Any]:
    """An endpoint as the API and `--json` tell it: no secret, and of its headers the names."""
    return {
        "id": of.id,
        "url": of.url,
        "description": of.description,
        "state": of.state,
        "because": of.because,
        "types": list(of.filter.types),
        "connections": list(of.filter.connections),
        "customers": list(of.filter.customers),
        "condition": of.filter.condition,
        "headers": list(of.header_names),
        "version": of.version,
        "ordered": of.ordered,
        "rate_per_s": of.rate_per_s,
        "position": of.cursor,
        "failures": of.health.failures,
        "failing_since": of.health.failing_since,
        "untold": of.untold,
        "untold_because": of.untold_because,
    }


def _delivery(row: Any, attempts: list[Any]) -> dict[str, Any]:  # noqa: ANN401  (a row)
    names = ("number", "at", "seconds", "status", "error", "response")
    return {
        "event": row.event_id,
        "type": row.type,
        "position": row.position,
        "state": row.state,
        "next_at": row.next_at if row.state == outbound.PENDING else None,
        "attempts": [{name: getattr(one, name) for name in names} for one in attempts],
    }


def _body(model: type[T]) -> T:
    return model.model_validate_json(request.get_data() or b"{}")


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > most:
        raise PermanentError(f"{name} is {text[:40]!r}", hint=f"a whole number from 0 to {most}")
    return int(text)


def _by() -> By:
    key: Kept = g.key
    return By(actor=f"key {key.prefix} ({key.name})", origin=f"api {request.remote_addr}")


def _unknown(id_: str) -> Response:
    return problem(404, f"there is no endpoint {id_[:100]!r}")


_PATHS: tuple[tuple[str, str, str, str, type[BaseModel] | None], ...] = (
    ("get", "/events", "api.events", "Messages after a position; `wait` seconds for one where there is none", None),
    ("get", "/events/types", "api.types", "Schema, example and changes of every type", None),
    ("get", "/endpoints", "api.endpoints", "Every endpoint", None),
    ("post", "/endpoints", "api.add", "Adds an endpoint; its secret is told here and never again", NewEndpoint),
    ("get", "/endpoints/{id}", "api.endpoint", "One endpoint", None),
    ("delete", "/endpoints/{id}", "api.remove", "Removes an endpoint", None),
    ("get", "/endpoints/{id}/deliveries", "api.deliveries", "Its deliveries with their attempts", None),
    ("post", "/endpoints/{id}/enable", "api.enable", "Sends again, what came meanwhile or not", Enable),
    ("post", "/endpoints/{id}/disable", "api.disable", "Sends nothing until it is enabled", None),
    ("post", "/endpoints/{id}/rotate", "api.rotate", "A new secret; the former signs, too, for a while", Rotate),
    ("post", "/endpoints/{id}/replay", "api.replay", "Sends messages again under their ids", Replay),
)
_QUERY: dict[str, tuple[str, ...]] = {
    "api.events": ("after", "limit", "types", "wait"),
    "api.deliveries": ("state", "limit", "before"),
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, name, summary, body in _PATHS:
        paths.setdefault(f"/api/v1{path}", {})[method] = _operation(path, name, summary, body)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Licensing hub", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(path: str, name: str, summary: str, body: type[BaseModel] | None) -> dict[str, Any]:
    query = [{"name": one, "in": "query", "schema": {"type": "string"}} for one in _QUERY.get(name, ())]
    in_path = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}] if "{id}" in path else []
    codes = {"200": "done", "201": "added", "204": "removed", "400": "bad input", "401": "no valid key"}
    codes |= {"403": "another scope is needed", "404": "not there", "429": "too many failures", "503": "try again"}
    told: dict[str, Any] = {
        "operationId": name.removeprefix("api."),
        "summary": summary,
        "security": [{"key": [SCOPES[name]]}],
        "parameters": in_path + query,
        "responses": {code: {"description": text} for code, text in codes.items()},
    }
    if body is not None:
        told["requestBody"] = {"content": {"application/json": {"schema": body.model_json_schema()}}}
    return told
