"""`POST /fulfillment/<connection>`: a vendor asks for an activation code while it sells. Thin: hub/fulfillment.py."""

from __future__ import annotations

import time

import structlog
from flask import Blueprint, Response, request

from hub import fulfillment
from hub.errors import RetryableError, Unavailable, UnreadableError, VerificationError
from hub.metrics import REJECTED
from hub.web.receiver import FailureBudget, headers_of
from hub.wiring import Hub

log = structlog.get_logger()
_NOBODY = "no connection of this name is asked for activation codes"


def blueprint(hub: Hub) -> Blueprint:
    """The one route. Answers are plain text: the vendor shows what a 200 says to the buyer as the license."""
    door = Blueprint("fulfillment", __name__)
    budget = FailureBudget()
    asked = {name: one for name, one in hub.connectors.items() if one.fulfillment is not None}

    @door.post("/fulfillment/<connection>")
    def fulfill(connection: str) -> Response:
        name = connection if connection in asked else "unknown"
        try:
            if name == "unknown":
                return _refused(budget, name, 404, "unknown connection", _NOBODY)
            body = request.get_data()  # the gateway has read it, under limit and deadline
            told = fulfillment.answer(hub, asked[name], body, headers_of(request.environ), time.time())
        except VerificationError as error:
            detail = "the request is not proven to come from the vendor"
            return _refused(budget, name, 401, error.reason, detail)
        except UnreadableError as error:
            return _refused(budget, name, 422, "unreadable", str(error))
        except (RetryableError, Unavailable) as error:
            return _text(503, str(error), {"Retry-After": f"{error.retry_after or 5:.0f}"})
        except Exception:
            log.exception("fulfillment.failed", source=name)
            return _text(503, "not answered, ask again", {"Retry-After": "30"})
        return _text(200, told.code) if told.code else _text(422, told.because)

    return door


def _refused(budget: FailureBudget, name: str, status: int, reason: str, detail: str) -> Response:
    REJECTED.labels(name, f"fulfillment: {reason}").inc()
    if budget.spent(request.remote_addr or "", time.time()):
        return _text(429, "too many requests that could not be verified", {"Retry-After": "1"})
    return _text(status, detail)


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(f"{text}\n", status, headers, content_type="text/plain; charset=utf-8")
