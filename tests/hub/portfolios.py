"""A served hub whose portfolio is the sandbox's invented customers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hub.usage.portfolio import Portfolio
from hub.wiring import Hub
from sandbox.customers import shelf
from tests.hub.browsing import Browser, served
from tests.hub.factory import a_hub
from tests.records import upgrade


@contextmanager
def a_showing_hub(url: str, portfolio: Portfolio | None = None, console: str = "open") -> Iterator[tuple[Hub, Browser]]:
    """The hub, and a browser on its console."""
    hub = replace(a_hub(url, console=console), portfolio=shelf() if portfolio is None else portfolio)
    upgrade(hub.store)
    try:
        with served(hub) as base:
            yield hub, Browser(base)
    finally:
        hub.drawer.close()
        hub.store.close()
