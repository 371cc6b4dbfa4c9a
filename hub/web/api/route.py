"""What an operation of the API is: where it is, who may call it, what it takes and what it answers. Data first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, request
from pydantic import BaseModel

from hub.errors import PermanentError
from hub.outbound.endpoints import By
from hub.web.api.models import Nothing

if TYPE_CHECKING:
    from hub.store.keys import Kept
    from hub.wiring import Hub

PREFIX = "/api/v1"
_IN_PATH = re.compile(r"<(?:path:)?(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as a view gets it: checked, and by whom.

    kept: the key, None where the route is open. once: the same for each try of one Idempotency-Key; empty without one.
    """

    hub: Hub
    route: Route
    path: Mapping[str, str]
    query: Any
    body: Any
    kept: Kept | None
    once: str = ""

    @property
    def key(self) -> Kept:
        """The key that calls. PermanentError where a route that is open asks for it."""
        if self.kept is None:
            raise PermanentError("this needs a key")
        return self.kept

    @property
    def by(self) -> By:
        """Who orders it, for the audit."""
        return By(actor=f"key {self.key.prefix} ({self.key.name})", origin=f"api {request.remote_addr}")


Answered = type[BaseModel] | str | None
View = Callable[[Call], BaseModel | Response | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation. scope None: open. answer: a model, or a media type; None: 204.

    path is Flask's: `<id>` has no slash, `<path:id>` may.
    """

    name: str
    method: str
    path: str
    scope: str | None
    summary: str
    view: View
    answer: Answered
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    status: int = 200

    @property
    def told_path(self) -> str:
        """As OpenAPI writes it."""
        return PREFIX + _IN_PATH.sub(r"{\1}", self.path)

    @property
    def tag(self) -> str:
        """What it is about: the first word of its path."""
        return self.path.split("/")[1].partition(".")[0]

    @property
    def path_names(self) -> list[str]:
        """What stands in its path."""
        return _IN_PATH.findall(self.path)

    @property
    def writes(self) -> bool:
        """Whether it changes something, and so takes an Idempotency-Key."""
        return self.method != "GET"
