"""Seat use in a browser: the customer's page, the chart that tells each day, and the board by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import LOOKS, PORTAL, axe, logged_in


@pytest.mark.parametrize("look", LOOKS)
def test_the_customer_s_page_fits_reads_and_asks_nobody_else(chromium: Browser, address: str, look: str) -> None:
    context = chromium.new_context(**LOOKS[look])
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108  (a list method takes no attributes)
    page.goto(address + PORTAL["brisa"], wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert axe(page) == []
    assert said == []
    assert all(one.url.startswith(address) for one in asked)
    assert [one.url for one in asked if "portal" in one.headers.get("referer", "")] == []
    assert context.cookies() == []
    widths = page.locator(".wide img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert widths == [430 if "narrow" in look else 860] * 2
    context.close()


@pytest.mark.parametrize("look", ["light", "narrow dark"])
def test_the_chart_tells_each_day_without_eval(chromium: Browser, state: Any, address: str, look: str) -> None:
    context = chromium.new_context(storage_state=state, **LOOKS[look])
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{address}/accounts/acc_halden")
    page.get_by_role("button", name="Day by day").press("Enter")
    chart = page.locator(".live svg")
    expect(chart).to_be_visible(timeout=30_000)
    chart.hover(position={"x": chart.bounding_box()["width"] / 3, "y": chart.bounding_box()["height"] / 2})  # type: ignore[index]
    expect(page.locator(".told")).to_contain_text("Licensed: 100")
    assert "Most in use: " in page.locator(".told").inner_text()
    assert said == []
    assert axe(page) == []
    context.close()


def test_the_board_is_walked_and_sorted_by_keyboard(page: Any, address: str) -> None:
    page.goto(f"{address}/renewals")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/acc_fjellmar?*")
    page.go_back()
    page.get_by_role("columnheader", name="Value").get_by_role("link").press("Enter")
    page.wait_for_url("**sort=value")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Value")
    page.locator("th[aria-sort] a").press("Enter")
    page.wait_for_url("**sort=-value")


def test_the_search_of_the_board_keeps_its_filter(page: Any, address: str) -> None:
    page.goto(f"{address}/renewals?show=losing")
    page.get_by_label("Find customers").fill("halden")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=halden*")
    assert "show=losing" in page.url
    expect(page.locator(".tbl tbody td.first")).to_have_count(1)


@pytest.mark.parametrize("look", ["light", "narrow dark"])
def test_the_board_s_pages_follow_each_other_and_show_each_renewal_once(
    chromium: Browser, many: str, look: str
) -> None:
    context = chromium.new_context(storage_state=logged_in(chromium, many), **LOOKS[look])
    page, shown = context.new_page(), []
    page.goto(f"{many}/renewals?sort=-value")
    fit = int(page.locator("footer", has_text="fit,").inner_text().split()[0])
    while True:
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert axe(page) == []
        shown += page.locator(".tbl tbody td.first a").evaluate_all("all => all.map(one => one.href)")
        if not page.get_by_role("link", name="Next").count():
            break
        before = page.url
        page.get_by_role("link", name="Next").press("Enter")
        page.wait_for_url(lambda url, before=before: url != before)
        assert "sort=-value" in page.url
    assert len(shown) == len(set(shown)) == fit > 100
    page.get_by_role("link", name="First page").press("Enter")
    page.wait_for_url("**/renewals?sort=-value")
    context.close()
