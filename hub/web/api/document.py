"""The OpenAPI 3.1 document, made of the table of routes and their models. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hub import __version__
from hub.web.api.models import Problem
from hub.web.api.route import Route

ALWAYS = {
    "400": "The call can't be read; `detail` says what, where and how to mend it",
    "404": "There is none",
    "405": "Another method is needed; Allow names it",
    "429": "Too many calls; Retry-After says how many seconds to wait",
    "500": "A bug of ours; nothing is told of it here, the hub's log has it",
    "503": "The record or a vendor can't be asked now; Retry-After says when to try again",
}
WITH_A_KEY = {"401": "No valid key was sent", "403": "The key has not the scope that is needed"}
WITH_A_BODY = {
    "408": "The body did not come in time",
    "413": "The body is too large",
    "415": "The body is not application/json, or is encoded",
}
WRITING = {
    "409": "A call with this Idempotency-Key is under way",
    "422": "This Idempotency-Key came with another call before",
}
NOT_MODIFIED = {"304": {"description": "It is as the ETag in If-None-Match says"}}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A text of your own choice: for 24 hours the same call with the same key is done once, and answered "
    "the same",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
DESCRIPTION = (
    "Times are ISO 8601 in UTC. Lists have `limit` and `cursor`; `next` is the cursor of the page after. Errors are "
    "RFC 9457 problem+json. Fields may be added to answers at any time."
)
_Models = Mapping[tuple[Any, Any], dict[str, Any]]


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    models, defs = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        paths.setdefault(one.told_path, {})[one.method.lower()] = _operation(one, models, defs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Licensing hub", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": defs,
            "responses": {code: _problem(text) for code, text in _problems().items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _problems() -> dict[str, str]:
    return ALWAYS | WITH_A_KEY | WITH_A_BODY | WRITING


def _problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _schemas(routes: Sequence[Route]) -> tuple[_Models, dict[str, Any]]:
    """({(model, mode): schema}, every schema by name)."""
    told: set[tuple[type[BaseModel], Any]] = {(Problem, "serialization")}
    told |= {(one.answer, "serialization") for one in routes if isinstance(one.answer, type)}
    told |= {(one.body, "validation") for one in routes if one.body}
    told |= {(one.query, "validation") for one in routes}
    ordered = sorted(told, key=lambda one: (one[0].__name__, one[1]))
    models, whole = models_json_schema(ordered, ref_template="#/components/schemas/{model}")
    return models, whole["$defs"]


def _operation(one: Route, models: _Models, defs: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.tag],
        "security": [] if one.scope is None else [{"key": [one.scope] if one.scope else []}],
        "parameters": [*_in_path(one), *_in_query(one, models, defs), *([IDEMPOTENCY_KEY] if one.writes else [])],
        "responses": {str(one.status): _answer(one, models), **_refs(one)},
    }
    if one.body:
        required = any(field.is_required() for field in one.body.model_fields.values())
        content = {"application/json": {"schema": models[one.body, "validation"]}}
        told["requestBody"] = {"required": required, "content": content}
    return told


def _in_path(one: Route) -> Iterable[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in one.path_names]


def _in_query(one: Route, models: _Models, defs: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    schema = defs[models[one.query, "validation"]["$ref"].rpartition("/")[2]]
    return [
        {"name": name, "in": "query", "schema": _without_null(told)}
        for name, told in schema.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be left out is left out."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"} or value is not None}
    return {**{k: v for k, v in rest.items() if k != "anyOf"}, **choices[0]} if len(choices) == 1 else rest


def _answer(one: Route, models: _Models) -> dict[str, Any]:
    if one.answer is None:
        return {"description": one.summary}
    if isinstance(one.answer, str):
        schema: dict[str, Any] = {"type": "object"} if one.answer.endswith("json") else {"type": "string"}
        return {"description": one.summary, "content": {one.answer: {"schema": schema}}}
    content = {"application/json": {"schema": models[one.answer, "serialization"]}}
    return {"description": one.summary, "content": content}


def _refs(one: Route) -> dict[str, Any]:
    codes = {
        **ALWAYS,
        **(WITH_A_KEY if one.scope is not None else {}),
        **({} if not one.writes else WRITING | WITH_A_BODY),
    }
    told: dict[str, Any] = {code: {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)}
    return told if one.writes else NOT_MODIFIED | told
