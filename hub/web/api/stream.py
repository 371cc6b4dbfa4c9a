"""The stream by position, its types, and the documents that describe it and these routes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from flask import Response, jsonify
from pydantic import RootModel

from hub import __version__
from hub.errors import PermanentError
from hub.store import stream
from hub.stream import catalog
from hub.web.api import models

if TYPE_CHECKING:
    from hub.web.api.route import Call
    from hub.wiring import Hub

MOST_WAITING, POLL_S = 4, 0.25
_waiting = threading.Semaphore(MOST_WAITING)


class EventTypes(RootModel[dict[str, models.EventType]]):
    """Every type or family, by its name."""


def events(call: Call) -> models.Events:
    """Messages after a position; waits for one where there is none, as long as few others wait."""
    asked: models.After = call.query
    types = tuple(one for one in asked.types.split(",") if one)
    with call.hub.store.read() as conn:
        newest = stream.newest(conn)
    if asked.after > newest:
        said = f"after is {asked.after}, and the newest position is {newest}"
        raise PermanentError(said, hint="was the record restored? Begin anew with after=0, and drop what you know")
    if asked.after == newest and asked.wait and _waiting.acquire(blocking=False):
        try:
            _wait_for_more(call.hub, asked.after, min(asked.wait, models.LONGEST_WAIT_S))
        finally:
            _waiting.release()
    with call.hub.store.read() as conn:
        newest = stream.newest(conn)  # before the rows: what comes between is read the next time
        found = stream.after(conn, asked.after, types, asked.limit)
    more = len(found) == asked.limit
    following = found[-1].position if more else max(newest, found[-1].position if found else asked.after)
    told = [models.Event.model_validate(one.to_json()) for one in found]
    return models.Events(events=told, next=following, more=more)


def _wait_for_more(hub: Hub, after: int, wait_s: float) -> None:
    """Returns once there is something after this position, or the time is over."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))
        with hub.store.read() as conn:
            if stream.newest(conn) > after:
                return


def types(_call: Call) -> EventTypes:
    """Schema, example and changes of every type."""
    return EventTypes.model_validate(catalog.published())


def asyncapi(_call: Call) -> Response:
    """The stream as an AsyncAPI document."""
    return jsonify(catalog.asyncapi("Licensing hub", __version__))
