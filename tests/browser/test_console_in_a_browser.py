"""The console in a browser: by keyboard, on a telephone, in the dark, and without a word in the error log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LOOKS, axe
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
    "dead subject": "/subjects/stripe/subscription/sub_dead",
    "window subject": "/subjects/stripe/subscription/sub_window",
    "entitlements": "/entitlements",
    "entitlement": "/entitlements/ent_1",
    "entitlement then": "/entitlements/ent_1?at=2026-06-29",
    "reviews": "/reviews",
    "whose license": "/adopt/ent_loose",
    "catalog": "/catalog",
    "drift": "/drift",
    "drift of a class": "/drift?show=stale",
    "renewals": "/renewals",
    "renewals filtered": "/renewals?show=needing&sort=-value&owner=Tom Abara",
    "account": "/accounts/acc_halden",
    "account of two": "/accounts/acc_brisa",
    "account without data": "/accounts/acc_haven",
    "portfolio": "/portfolio",
    "endpoints": "/endpoints",
    "endpoint": "/endpoints/ep_billing",
    "endpoint given up": "/endpoints/ep_billing?state=exhausted",
    "endpoint off": "/endpoints/ep_off",
    "not found": "/nothing",
}


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
             .filter(one => one.checkVisibility({visibilityProperty: true}))
                 .filter(one => one.type !== "radio" || one === document.querySelector("input[type=radio]")).length"""
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
    for label in (
        "Receipts",
        "Subjects",
        "Entitlements",
        "Renewals",
        "Portfolio",
        "Held",
        "Dead",
        "Parked",
        "Tasks",
        "Catalog",
        "Endpoints",
    ):
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


def test_whose_license_one_is_can_be_said_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/reviews")
    page.get_by_role("link", name="Decide").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Whose license is it?")).to_be_visible()
    page.get_by_role("radio").first.focus()
    assert focused(page)["outlined"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="None of these")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # without a reason: told, and what was chosen stays
    expect(page.get_by_role("alert")).to_contain_text("Say why none of them")
    expect(page.get_by_role("radio", name="None of these")).to_be_checked()


def test_an_endpoint_is_enabled_and_disabled_by_keyboard_and_its_attempts_are_opened(page: Page, address: str) -> None:
    page.goto(f"{address}/endpoints")
    page.get_by_role("link", name="ep_off").press("Enter")
    page.get_by_role("button", name="Enable, skip what waits").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Enabled.")
    page.get_by_role("button", name="Disable").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Disabled.")
    page.goto(f"{address}/endpoints/ep_billing")
    page.get_by_label("State").select_option("exhausted")
    page.get_by_role("button", name="Show").press("Enter")
    page.wait_for_url("**state=exhausted*")
    expect(page.locator(".tbl tbody tr")).to_have_count(1)
    page.locator(".tbl details summary").press("Enter")
    expect(page.locator(".tbl details pre").first).to_contain_text("upstream is away")
    table = page.get_by_role("region", name="Table of deliveries")
    assert table.evaluate("one => one.scrollWidth <= one.clientWidth"), "a long answer pushes the columns out of sight"


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


def test_what_the_guard_holds_back_is_refused_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/subjects/stripe/subscription/sub_held")
    sheet, opener = page.locator("#refuse"), page.get_by_role("button", name="Refuse…")
    opener.press("Enter")
    expect(page.get_by_role("heading", name="Refuse these acts")).to_be_visible()
    assert axe(page) == []
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(opener).to_be_focused()
    opener.press("Enter")
    page.keyboard.press("Tab")
    expect(sheet.get_by_label("Why")).to_be_focused()
    page.keyboard.type("they pay tomorrow")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Refused.")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Ida refused what the guard held back: they pay tomorrow")
    expect(opener).to_have_count(0)
