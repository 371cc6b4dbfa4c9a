"""The pages of seat use as people get them: what they answer, where they lead, and that no name can act on a page."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hub.drawing import Drawer
from hub.errors import RetryableError
from hub.usage.chart import need_chart
from hub.usage.figures import Need
from hub.usage.portfolio import Account, Shelf
from hub.wiring import Hub
from sandbox.customers import shelf
from tests.hub.browsing import Browser, text_of
from tests.hub.portfolios import a_showing_hub

PAGES = ("/renewals", "/renewals?show=needing&sort=-value", "/accounts/acc_halden", "/accounts/acc_haven", "/portfolio")


@pytest.fixture(scope="module")
def showing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Browser]]:
    with a_showing_hub(f"sqlite:///{tmp_path_factory.mktemp('showing')}/hub.sqlite") as made:
        yield made


@pytest.fixture(scope="module")
def browser(showing: tuple[Hub, Browser]) -> Browser:
    return showing[1]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_answers_under_the_console_s_policy(browser: Browser, page: str) -> None:
    answer = browser.get(page)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "style=" not in answer.text
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)


def test_S16_nothing_of_it_is_shown_to_somebody_who_is_not_logged_in(tmp_path) -> None:
    parts = (
        "seats.svg?account=acc_halden",
        "needs.svg?account=acc_halden",
        "seats.json?account=acc_halden",
        "months.csv?account=acc_halden",
        "vega.js",
    )
    with a_showing_hub(f"sqlite:///{tmp_path}/hub.sqlite", console="login") as (_, stranger):
        for page in (*PAGES, "/renewals.csv", *(f"/charts/{part}" for part in parts)):
            answer = stranger.get(page, allow_redirects=False)
            assert (answer.status_code, answer.headers["Location"][:7]) == (302, "/login?"), page


def test_the_board_answers_whom_to_call_first(browser: Browser) -> None:
    said = text_of(browser.get("/renewals"))
    assert "9 renewals in 180 days, $295,700: three lose seats, two need more" in said
    assert "2 signals changed since last week" in said
    assert said.index("In 30 days") < said.index("Palisander Health") < said.index("Halden Robotics")


def test_an_empty_board_says_what_to_do_next(tmp_path) -> None:
    with a_showing_hub(f"sqlite:///{tmp_path}/hub.sqlite", Shelf()) as (_, browser):
        assert "hub connect zentitle" in text_of(browser.get("/renewals"))
        assert "says what to do first" in text_of(browser.get("/portfolio"))
        assert browser.get("/accounts/acc_none").status_code == 404


def test_a_filter_that_nothing_fits_leads_back(browser: Browser) -> None:
    assert "No renewal fits these filters. Show all." in text_of(browser.get("/renewals?q=nobody"))


def test_an_account_has_its_sentence_its_numbers_and_its_past(browser: Browser) -> None:
    said = text_of(browser.get("/accounts/acc_halden"))
    for told in (
        "Use fell from 97 to 61 of 100 seats",
        "confidence high",
        "drop and slope",
        "−8.0 %",
        "Next lower tier",
    ):
        assert told in said, told


def test_an_account_shows_the_entitlement_that_is_asked_for(browser: Browser) -> None:
    assert "Over the licensed 100" in text_of(browser.get("/accounts/acc_brisa"))
    assert "Level at 17-19" in text_of(browser.get("/accounts/acc_brisa?entitlement=ent_brisa_viewer"))
    assert browser.get("/accounts/acc_brisa?entitlement=ent_halden_pro").status_code == 404


def test_S24_no_name_of_a_customer_can_act_on_a_page_or_a_picture(tmp_path) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x>"
    account = shelf().accounts["acc_halden"]
    one = replace(
        account.entitled[0],
        standing=replace(account.entitled[0].standing, account=attack, offering=attack, sentence=attack),
    )
    portfolio = Shelf({"acc": Account(id="acc", name=attack, entitled=(one,))})
    with a_showing_hub(f"sqlite:///{tmp_path}/hub.sqlite", portfolio) as (_, browser):
        for page in ("/renewals", "/accounts/acc", "/portfolio", "/charts/seats.svg?account=acc"):
            answer = browser.get(page)
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text


# -- pictures and files


def test_a_picture_is_an_svg_with_a_name_and_without_a_script(browser: Browser) -> None:
    answer = browser.get("/charts/seats.svg?account=acc_halden&theme=dark&size=narrow")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert 'role="img"' in answer.text
    assert "<title>Halden Robotics, Pro: seats used over 12 months</title><desc>Use fell from 97" in answer.text
    assert not re.search(r"<script|<foreignObject|(?:href|src)=|@import|url\(http", answer.text)


def test_the_same_spec_is_there_for_the_browser_and_its_script_from_our_own_origin(browser: Browser) -> None:
    spec = browser.get("/charts/seats.json?account=acc_halden").json()
    assert spec["layer"][-1]["encoding"]["tooltip"][1] == {"field": "peak", "title": "Most in use"}
    script = browser.get("/charts/vega.js")
    assert script.headers["Cache-Control"] == "private, max-age=86400"
    assert "window.vegaEmbed" in script.text


def test_the_export_follows_the_filters(browser: Browser) -> None:
    answer = browser.get("/renewals.csv?show=losing")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["customer"] for row in rows] == ["Palisander Health", "Fjellmar Systems", "Halden Robotics"]
    assert (rows[2]["value"], rows[2]["days left"], rows[2]["signal"]) == ("48000.0", "93", "at_risk")
    assert 'filename="renewals.csv"' in answer.headers["Content-Disposition"]


def test_months_are_a_file_too(browser: Browser) -> None:
    rows = list(csv.DictReader(io.StringIO(browser.get("/charts/months.csv?account=acc_haven").text)))
    assert (rows[0]["month"], rows[0]["known days"], rows[0]["licensed"]) == ("2026-06-01", "1", "60")


# -- the child that draws


def test_a_drawing_child_that_died_is_replaced(showing: tuple[Hub, Browser]) -> None:
    hub, browser = showing
    browser.get("/charts/seats.svg?account=acc_tessera")
    child = hub.drawer._child
    assert child is not None
    child.kill()
    child.wait()
    assert browser.get("/charts/seats.svg?account=acc_tessera&theme=dark").status_code == 200
    assert hub.drawer._child is not child


def test_a_drawing_child_that_hangs_is_ended_and_one_that_nobody_asks_ends() -> None:
    drawer = Drawer(idle_s=0.2)
    spec = need_chart([Need(words="licensed", seats=5, days=1, of_days=2)])
    drawer.svg(spec, "first")
    child = drawer._child
    assert child is not None
    child.wait(timeout=20)
    drawer = Drawer(longest_s=0.1)  # shorter than the renderer takes to load
    with pytest.raises(RetryableError, match="ask again"):
        drawer.svg(spec, "second")
    assert drawer._child is None


def test_a_hub_that_nobody_looks_at_loads_neither_numpy_nor_the_renderer() -> None:
    code = "import sys, json, hub.web.app, hub.cli; print(json.dumps([n in sys.modules for n in ('numpy', 'vl_convert', 'holidays')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [False, False, False]
