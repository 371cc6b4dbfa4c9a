"""Errors over HTTP as RFC 9457 problem+json: what happened, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import Response

from hub.errors import PermanentError

_TITLES = {
    400: "Bad request",
    401: "Not verified",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Under way",
    413: "Too large",
    415: "Encoding not accepted",
    422: "Another call",
    429: "Too many",
    500: "A bug of ours",
    503: "Not available",
}


def refusal(error: PermanentError) -> Response:
    """What somebody asked for can't be, and how to mend that: 404 where it is not there, else 400."""
    return problem(404 if error.code == "not found" else 400, f"{error}" + (f": {error.hint}" if error.hint else ""))


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem+json response."""
    body = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    return Response(json.dumps(body), status, headers=dict(headers or {}), content_type="application/problem+json")
