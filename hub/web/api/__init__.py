"""The API for programs, /api/v1: what the console and the command line read and do, over JSON. docs/api.md.

`table.ROUTES` has every operation; keys, checks, errors, idempotency and the OpenAPI document are made of its rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, request
from pydantic import BaseModel

from hub.errors import PermanentError
from hub.web.api import guard
from hub.web.api.once import once
from hub.web.api.route import PREFIX, Call, Route
from hub.web.api.table import ROUTES

if TYPE_CHECKING:
    from hub.store.keys import Kept
    from hub.wiring import Hub


def blueprint(hub: Hub) -> Blueprint:
    """The routes under /api/v1/."""
    api = Blueprint("api", __name__, url_prefix=PREFIX)
    guard.install(api, hub, {one.name: one for one in ROUTES})
    for one in ROUTES:
        api.add_url_rule(
            one.path,
            one.name,
            partial(_answer, hub, one),
            methods=[one.method],
            merge_slashes=False,
            provide_automatic_options=False,
        )
    return api


def _answer(hub: Hub, route: Route, **path: str) -> Response:
    asked = route.query.model_validate(_query())
    body = _body(route)
    key: Kept | None = g.get("key")

    def act(told: str) -> Response:
        call = Call(hub=hub, route=route, path=path, query=asked, body=body, kept=key, once=told)
        return _response(route, route.view(call))

    return once(hub, key.prefix, act) if key and route.writes else _cached(act(""))


def _body(route: Route) -> BaseModel | None:
    """The body, checked; PermanentError where there is one, and none is taken."""
    if route.body:
        return route.body.model_validate_json(request.get_data() or b"{}")
    if request.get_data() not in {b"", b"{}"}:
        raise PermanentError("this takes no body")
    return None


def _query() -> dict[str, str]:
    """The query; PermanentError where a name stands twice."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise PermanentError(f"{name[:100]} stands twice in the query")
    return request.args.to_dict()


def _response(route: Route, told: BaseModel | Response | None) -> Response:
    if isinstance(told, Response):
        return told
    if told is None:
        return Response(status=route.status)
    return Response(told.model_dump_json(by_alias=True), route.status, content_type="application/json")


def _cached(response: Response) -> Response:
    """With an ETag; 304 where the caller has it already."""
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
