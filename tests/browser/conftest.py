"""A real browser on a served console. Runs with `make test-browser`, which installs what drives it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import users, wiring
from hub.store.migrate import upgrade
from tests.hub.browsing import served
from tests.hub.factory import a_hub, fill

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PASSWORD = "correct horse battery"
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console with a life in it, behind a login."""
    hub = a_hub(f"sqlite:///{tmp_path_factory.mktemp('browser')}/hub.sqlite")
    upgrade(hub.store)
    wiring.start(hub)
    fill(hub.store)
    users.add_user(hub.store, "ida", PASSWORD)
    with served(hub) as base:
        yield base
    hub.store.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """Debian's browser; a sandbox of its own needs rights that a container may not have."""
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.fail(f"there is no browser at {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
