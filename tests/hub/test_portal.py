"""The customer's own page: who may see it, for how long, and what it never shows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import portal
from hub.showing import link, write_digest
from hub.store import schema
from hub.usage.portfolio import Shelf
from hub.wiring import Hub
from sandbox.customers import shelf
from tests.hub.browsing import Browser, text_of
from tests.hub.factory import a_hub
from tests.hub.portfolios import a_showing_hub
from tests.records import upgrade

OTHERS = sorted({account.name for account in shelf().accounts.values()} - {"Brisa Labs"})
PARTS = ("", "/1/seats.svg", "/1/needs.svg", "/1/months.csv")


@pytest.fixture(scope="module")
def showing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Browser]]:
    with a_showing_hub(f"sqlite:///{tmp_path_factory.mktemp('portal')}/hub.sqlite", console="login") as made:
        yield made


def a_token(hub: Hub, account: str = "acc_brisa", days: int = 90, now: float | None = None) -> str:
    at = time.time() if now is None else now
    return portal.make(hub.store, hub.settings.secrets, account, days=days, now=at, who="ida")[0]


@pytest.mark.parametrize("part", PARTS)
def test_a_link_opens_the_page_without_a_login(showing: tuple[Hub, Browser], part: str) -> None:
    hub, browser = showing
    answer = browser.get(f"/portal/{a_token(hub)}{part}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers


def test_I12_S20_a_page_shows_one_customer_s_use_and_none_of_the_vendor_s_judgement(
    showing: tuple[Hub, Browser],
) -> None:
    hub, browser = showing
    token = a_token(hub)
    whole = " ".join(browser.get(f"/portal/{token}{part}").text for part in (*PARTS, "/2/seats.svg", "/2/months.csv"))
    judged = [one for account in shelf().accounts.values() for one in account.entitled]
    assert [name for name in OTHERS if name in whole] == []
    assert [one.standing.entitlement_id for one in judged if one.standing.entitlement_id in whole] == []
    for word in (
        *(one.judgement.sentence for one in judged),
        "Mara Lindqvist",
        "$",
        "suggested",
        "confidence",
        "Overdraft</",
        "forecast",
    ):
        assert word not in whole, word
    assert "more than 125 seats (next tier) on" in whole
    assert "You use 123 Pro seats; 100 are licensed" in text_of(browser.get(f"/portal/{token}"))


def test_I12_S20_no_argument_or_number_leads_to_another_customer(showing: tuple[Hub, Browser]) -> None:
    hub, browser = showing
    token = a_token(hub)
    asked = browser.get(f"/portal/{token}?account=acc_halden&entitlement=ent_halden_pro")
    assert "Halden" not in asked.text
    for part in (
        "/0/seats.svg",
        "/3/seats.svg",
        "/-1/months.csv",
        "/ent_halden_pro/seats.svg",
        "/99999999999/needs.svg",
    ):
        assert browser.get(f"/portal/{token}{part}").status_code == 404
    assert browser.get("/renewals", allow_redirects=False).status_code == 302


def altered(token: str) -> list[str]:
    payload, signature = token.rsplit(".", 1)
    swapped = signature[:-2] + ("aa" if signature[-2:] != "aa" else "bb")
    return [
        f"{payload}.{swapped}",
        payload,
        f"{payload}.",
        f"x{token}",
        token[:-1],
        "a" * 5000,
        "x",
        "%00",
        "..%2f..",
        f"{payload}.{signature}.{signature}",
    ]


def test_S20_a_link_that_is_altered_over_revoked_or_another_hub_s_is_answered_alike(
    showing: tuple[Hub, Browser],
) -> None:
    hub, browser = showing
    revoked = a_token(hub, "acc_halden")
    portal.revoke(hub.store, "acc_halden", "ida")
    fields = portal.Link(account="acc_brisa", version=1, expires_at=int(time.time()) + 999)
    foreign = portal.token_of(fields, [b"another hub's secret of more than thirty-two characters"])
    over = a_token(hub, days=1, now=time.time() - 86401)
    unknown = a_token(hub, "acc_nobody")
    said = {}
    for token in (*altered(a_token(hub)), revoked, foreign, over, unknown):
        answer = browser.get(f"/portal/{token}")
        assert answer.status_code in {404, 400}, token
        said[answer.status_code, text_of(answer)] = token
    assert len({text for status, text in said if status == 404}) == 1


def test_a_new_link_works_after_the_old_ones_were_revoked_and_other_customers_keep_theirs(database_url: str) -> None:
    hub = a_hub(database_url)
    upgrade(hub.store)
    old, other = a_token(hub), a_token(hub, "acc_halden")
    assert [portal.revoke(hub.store, "acc_brisa", "ida") for _ in range(2)] == [2, 3]
    new = a_token(hub)
    now = time.time()
    opened = [portal.opened(hub.store, hub.settings.secrets, one, now) is not None for one in (old, other, new)]
    assert opened == [False, True, True]
    with hub.store.read() as conn:
        told = conn.execute(select(schema.audit.c.action, schema.audit.c.detail).order_by(schema.audit.c.id)).all()
    assert [one.action for one in told].count("portal links revoked") == 2
    assert not any(old in json.dumps(one.detail) for one in told)
    hub.store.close()


def test_a_link_outlives_a_change_of_the_secret_while_the_old_one_is_kept() -> None:
    first, second = b"the first secret, of thirty-two or more", b"the second secret, of thirty-two or more"
    link = portal.Link(account="a", version=1, expires_at=10)
    token = portal.token_of(link, [first])
    assert portal.read(token, [second, first]) == link
    assert portal.read(token, [second]) is None
    assert portal.read(portal.token_of(link, [second, first]), [second]) == link


def test_a_link_works_until_its_last_second(showing: tuple[Hub, Browser]) -> None:
    hub, _ = showing
    token = a_token(hub, "acc_tessera", days=1, now=1000)
    last = 1000 + 86400
    assert portal.opened(hub.store, hub.settings.secrets, token, last - 1) is not None
    assert portal.opened(hub.store, hub.settings.secrets, token, last) is None


def test_the_token_leaves_no_trace_in_what_the_page_links_to(showing: tuple[Hub, Browser]) -> None:
    hub, browser = showing
    token = a_token(hub)
    page = browser.get(f"/portal/{token}").text
    targets = set(re.findall(r'(?:href|src|srcset|action)="([^"]+)"', page))
    assert {one for one in targets if "//" in one} == set()
    assert all(one.startswith((f"/portal/{token}/", "/static/", "#")) for one in targets)


def test_the_digest_is_a_message_with_its_pictures_inside(tmp_path: Path) -> None:
    from email import message_from_bytes

    from hub.usage.digest import digest, message

    portfolio = shelf()
    keep = {name: portfolio.accounts[name] for name in ("acc_halden", "acc_tessera")}
    made = digest(type(portfolio)(keep))
    assert made is not None
    assert made.subject == "2 renewals in 180 days, 1 to talk about"
    assert [one.name for one in made.pictures] == ["seats-ent-halden-pro.png"]
    assert made.pictures[0].data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(made.pictures[0].data[16:20], "big") == 1200  # 600 wide at twice the size
    assert f'src="cid:{made.pictures[0].cid}" width="600" height="300" alt="Use fell from 97 to 61' in made.html
    assert not re.search(r"https?://|<script|<link", made.html)
    parts = list(message_from_bytes(bytes(message(made))).walk())
    assert [one.get_content_type() for one in parts] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"
    ]  # fmt: skip
    assert parts[-1]["Content-ID"] == f"<{made.pictures[0].cid}>"
    assert digest(type(portfolio)({})) is None


def test_what_the_commands_hand_out_is_a_link_that_opens_and_files_that_are_there(
    showing: tuple[Hub, Browser], tmp_path: Path
) -> None:
    hub, browser = showing
    told = link(hub, "acc_ostrov", 7, "ida")
    assert told is not None
    path = told.url.removeprefix("http://127.0.0.1:8000")
    assert "Enterprise seats; 75 are licensed" in text_of(browser.get(path))
    assert link(hub, "acc_nobody", 7, "ida") is None
    few = replace(hub, portfolio=Shelf({"acc_ostrov": shelf().accounts["acc_ostrov"]}))
    assert [one.name for one in write_digest(few, tmp_path / "new" / "folder")] == ["digest.html", "digest.eml"]
    assert write_digest(replace(hub, portfolio=Shelf()), tmp_path / "none") == []
