"""A real browser on a served console. Runs with `make test-browser`, which installs what drives it."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.board import fill as judged
from hub import portal, users, wiring
from hub.collecting.portfolio import keep_board
from sandbox.customers import shelf
from tests.hub.browsing import served
from tests.hub.factory import a_doubt, a_hub, consumers, fill
from tests.records import upgrade

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PASSWORD = "correct horse battery"
PORTAL: dict[str, str] = {}  # the paths of links, once there is a hub that signs them
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LOOKS = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": NARROW, "color_scheme": "light", "is_mobile": True, "has_touch": True},
    "narrow dark": {"viewport": NARROW, "color_scheme": "dark", "is_mobile": True, "has_touch": True},
}


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console with a life in it, behind a login."""
    hub = replace(a_hub(f"sqlite:///{tmp_path_factory.mktemp('browser')}/hub.sqlite"), portfolio=shelf())
    upgrade(hub.store)
    wiring.start(hub)
    fill(hub.store)
    hub.store.write(consumers)
    hub.store.write(a_doubt)
    users.add_user(hub.store, "ida", PASSWORD)
    token, _ = portal.make(hub.store, hub.settings.secrets, "acc_brisa", days=1, now=time.time(), who="ida")
    PORTAL["brisa"] = f"/portal/{token}"
    with served(hub) as base:
        yield base
    hub.drawer.close()
    hub.store.close()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console of 300 judged entitlements, half of them due within 180 days: more than a page of the board shows."""
    hub = a_hub(f"sqlite:///{tmp_path_factory.mktemp('many')}/hub.sqlite")
    upgrade(hub.store)
    wiring.start(hub)
    judged(hub.store, 300)
    keep_board(hub.store)
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


@pytest.fixture(scope="session")
def state(chromium: Any, address: str) -> Any:
    """Cookies of the session's user."""
    return logged_in(chromium, address)


@pytest.fixture
def page(chromium: Any, state: Any) -> Iterator[Any]:
    context = chromium.new_context(storage_state=state, viewport=WIDE)
    yield context.new_page()
    context.close()


def logged_in(chromium: Any, address: str) -> Any:
    """Cookies of somebody who logs in by keyboard."""
    from playwright.sync_api import expect

    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{address}/receipts")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ida")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".nav a[aria-current]")).to_contain_text("Receipts")
    kept = context.storage_state()
    context.close()
    return kept


def axe(page: Any) -> list[str]:
    """What axe-core finds, contrast included: rule, what it says, where. Run past the page's own CSP."""
    from axe_playwright_python.base import AXE_FILE_PATH  # type: ignore[import-untyped]

    world = page.context.new_cdp_session(page)
    world.send("Page.enable")
    frame = world.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    isolated = world.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
    where = {"contextId": isolated, "awaitPromise": True, "returnByValue": True}
    world.send("Runtime.evaluate", {"expression": Path(AXE_FILE_PATH).read_text(), **where, "returnByValue": False})
    answer = world.send("Runtime.evaluate", {"expression": "axe.run(document, {resultTypes: ['violations']})", **where})
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:4]]}"
        for one in answer["result"]["value"]["violations"]
    ]
