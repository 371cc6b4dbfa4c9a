"""What is sent of a message: compact JSON, the same bytes each time. Pure.

An endpoint is pinned to the payload versions of its day: where a type has a newer one, DOWN makes the older one of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from hub.domain import Json

Data: TypeAlias = dict[str, Json]
Down: TypeAlias = Mapping[tuple[str, int], Callable[[Data], Data]]
DOWN: Down = {}  # (type, version) -> its data as the version before had it; every new version adds a row


class Sendable(Protocol):
    """A message in its place (store.stream.Placed)."""

    @property
    def type(self) -> str: ...  # noqa: D102

    @property
    def version(self) -> int: ...  # noqa: D102

    def to_json(self) -> dict[str, Json]: ...  # noqa: D102


def body(message: Sendable, version: int, down: Down = DOWN) -> str:
    """The body of a message for an endpoint pinned to `version`. KeyError where a newer one can't be made older."""
    told = message.to_json()
    data = told["data"]
    if not isinstance(data, dict):
        raise TypeError("data is an object")
    for newer in range(message.version, version, -1):
        data = down[message.type, newer](data)
    return json.dumps(told | {"version": min(version, message.version), "data": data}, separators=(",", ":"))
