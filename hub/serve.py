"""Serves the Flask application with granian, through hub.web.gateway: one process (docs/adr/0003)."""

from __future__ import annotations

import os

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from hub.runtime import SERVED_BY
from hub.settings import Settings

HEADER_READ_MS = 10_000
DRAIN_S = 9


def serve(settings: Settings) -> None:
    """Serves until SIGTERM; open requests are finished, at most DRAIN_S."""
    os.environ[SERVED_BY] = str(os.getpid())
    Granian(
        "hub.web.app:from_environment",
        factory=True,
        address=settings.hub.host,
        port=settings.hub.port,
        interface=Interfaces.RSGI,
        workers=1,
        backpressure=4096,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_MS),
        websockets=False,
        log_enabled=False,
        workers_kill_timeout=DRAIN_S,
    ).serve()
