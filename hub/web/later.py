"""An answer that is given later: once the record has committed, without a thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Response

    from hub.inbox import Begun

LATER = "hub.later"  # in the environ of a request that is run on the event loop


class Later:
    """What a route leaves for the gateway to wait for."""

    __slots__ = ("answer", "begun", "told")

    def __init__(self, told: Callable[[], object]) -> None:
        self.told = told
        self.begun: Begun | None = None
        self.answer: Callable[[], Response] | None = None

    def wait_for(self, begun: Begun, answer: Callable[[], Response]) -> None:
        """The request is answered with `answer()` once `begun` has ended, or has taken too long."""
        self.begun, self.answer = begun, answer
