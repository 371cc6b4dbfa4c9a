"""The console in a browser: by keyboard, on a telephone, in the dark, and without a word in the error log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PASSWORD
from tests.hub.factory import LIFE

PAGES = {
    "overview": "/",
    "receipts": "/receipts",
    "receipt": "/receipts/1",
    "subjects": "/subjects",
    "parked": "/subjects?show=parked",
    "held": "/subjects?show=held",
    "dead": "/subjects?show=dead",
    "life": f"/subjects/{LIFE}",
    "parked subject": "/subjects/stripe/subscription/sub_parked",
    "held subject": "/subjects/stripe/subscription/sub_held",
    "window subject": "/subjects/stripe/subscription/sub_window",
    "entitlements": "/entitlements",
    "entitlement": "/entitlements/ent_1",
    "entitlement then": "/entitlements/ent_1?at=2026-06-29",
    "reviews": "/reviews",
    "catalog": "/catalog",
    "not found": "/nothing",
}
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LOOKS = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": NARROW, "color_scheme": "light", "is_mobile": True, "has_touch": True},
    "narrow dark": {"viewport": NARROW, "color_scheme": "dark", "is_mobile": True, "has_touch": True},
}


@pytest.fixture(scope="module")
def state(chromium: Browser, address: str) -> Any:
    """Cookies of somebody who logged in by keyboard."""
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


@pytest.fixture
def page(chromium: Browser, state: Any) -> Iterator[Page]:
    context = chromium.new_context(storage_state=state, viewport=WIDE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_reads_and_breaks_nothing(
    chromium: Browser, state: Any, address: str, name: str, look: str, tmp_path: Path
) -> None:
    context = chromium.new_context(storage_state=state, **LOOKS[look])
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address + PAGES[name])
    expect(page.locator(".nav")).to_be_attached()
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, f"{name} is {wide} px too wide"
    found = axe(page)
    assert found == [], "\n".join(found)
    assert [one for one in said if "404" not in one or name != "not found"] == []
    context.close()


def axe(page: Page) -> list[str]:
    """What axe-core finds, contrast included: rule, what it says, where. Run past the page's own CSP."""
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


def focused(page: Page) -> dict[str, Any]:
    """What has the focus, and whether it can be seen."""
    found: dict[str, Any] = page.evaluate(
        """() => {
          const one = document.activeElement, box = one.getBoundingClientRect(), look = getComputedStyle(one);
          return {
            tag: one.tagName, href: one.getAttribute("href") || "", text: one.textContent.trim().slice(0, 60),
            shown: box.width > 0 && box.height > 0,
            outlined: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 1,
          };
        }"""
    )
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, address: str, name: str) -> None:
    page.goto(address + PAGES[name])
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select")]
             .filter(one => one.checkVisibility({visibilityProperty: true})).length"""
    )
    seen = 0
    for _ in range(wanted + 60):  # scrolling regions and parts of a date take the focus, too
        page.keyboard.press("Tab")
        here = focused(page)
        if here["tag"] == "BODY":
            break
        assert here["shown"], here
        assert here["outlined"], here
        seen += 1
    assert seen >= wanted


def test_every_page_is_reached_by_keyboard_from_the_first(page: Page, address: str) -> None:
    for label in ("Receipts", "Subjects", "Entitlements", "Held", "Dead", "Parked", "Tasks", "Catalog"):
        page.goto(address)
        for _ in range(40):
            page.keyboard.press("Tab")
            if focused(page)["text"].startswith(label):
                break
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url.rstrip("/") != address)
        expect(page.locator(".nav a[aria-current]")).to_contain_text(label)


def test_the_slash_goes_to_the_search_and_enter_to_the_one_hit(page: Page, address: str) -> None:
    page.goto(address)
    page.keyboard.press("/")
    page.keyboard.type("AAAAA-BBBBB-CCCCC-DDDDD")
    page.keyboard.press("Enter")
    page.wait_for_url("**/entitlements/ent_1")


def test_j_k_and_o_walk_a_timeline(page: Page, address: str) -> None:
    page.goto(f"{address}/subjects/{LIFE}")
    looks = page.locator(".look")
    page.keyboard.press("j")
    page.keyboard.press("j")
    was = looks.nth(1).evaluate("one => one.open")
    page.keyboard.press("o")
    assert looks.nth(1).evaluate("one => one.open") is not was
    page.keyboard.press("k")
    assert looks.nth(0).locator("summary").first.evaluate("one => one === document.activeElement")


def test_a_subject_is_held_and_released_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/subjects/stripe/subscription/sub_ended")
    page.get_by_role("button", name="Hold…").press("Enter")
    page.get_by_label("Why").fill("waits for the customer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Held.")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ida holds it: waits for the customer")
    page.get_by_role("button", name="Release").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Released.")


def test_a_day_is_chosen_and_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/entitlements/ent_1")
    page.locator("#at").fill("2020-01-01")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("On 1 Jan 2020 it did not exist yet")


def test_the_menu_opens_over_a_narrow_page(chromium: Browser, state: Any, address: str) -> None:
    context = chromium.new_context(storage_state=state, **LOOKS["narrow"])
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#nav")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Catalog").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("One key was sold")
    context.close()


@pytest.mark.parametrize("look", LOOKS)
def test_the_login_page_fits_and_reads(chromium: Browser, address: str, look: str) -> None:
    context = chromium.new_context(**LOOKS[look])
    page = context.new_page()
    page.goto(f"{address}/login")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert axe(page) == []
    context.close()
