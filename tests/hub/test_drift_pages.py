"""What a comparison found, on a page of the console and in the API, with one button for each repair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
import requests
from sqlalchemy import select

from hub import comparing, drift, keys
from hub.drift import KINDS
from hub.store import Store, drifts, schema, subjects
from hub.web.api.models import Drifts
from hub.wiring import Hub
from tests.hub.browsing import Browser, served, text_of
from tests.hub.factory import a_drift, a_hub, fill
from tests.records import upgrade


@pytest.fixture
def hub(database_url: str) -> Iterator[Hub]:
    hub = a_hub(database_url, console="open")
    upgrade(hub.store)
    fill(hub.store)
    yield hub
    hub.store.close()


def waiting(store: Store, id_: str) -> str:
    with store.read() as conn:
        (one,) = drift.standing(conn, drifts.called(conn, [id_]))
    return one.waiting


def press(browser: Browser, id_: str) -> requests.Response:
    return browser.post("/actions/drift", {"csrf": browser.token("/drift"), "next": "/drift?show=stale", "id": id_})


def test_the_page_tells_each_disagreement_and_its_button_repairs_it_once(hub: Hub) -> None:
    worth = {"connection": "crm", "amount_minor": 480_000, "currency": "USD", "read_at": time.time()}
    hub.store.write(lambda conn: conn.execute(schema.worth.insert().values(entitlement="ent_1", **worth)))
    with served(hub) as base:
        browser = Browser(base)
        said = text_of(browser.get("/drift"))
        assert "disagree in 4 places" in said
        assert all(words in said for words in ("seats 9, on record 3", "Takes away: seats", "$4,800", "Acme Ltd"))
        assert browser.get("/drift").text.count('action="/actions/drift"') == 3  # not where it is done by hand
        only = text_of(browser.get("/drift?show=stale"))
        assert "seats 9" in only
        assert "Acme Ltd" not in only
        assert "A look is due and follows" in text_of(press(browser, "stale:ent_1"))
        assert "Nothing was left to repair" in text_of(press(browser, "stale:ent_1"))
        assert press(browser, "stale:nobody").status_code == 404
        assert press(browser, "orphaned:ent_loose").ok
    assert waiting(hub.store, "stale:ent_1") == "a look is due"
    assert waiting(hub.store, "orphaned:ent_loose") == "has its task"
    with hub.store.read() as conn:
        stmt = select(schema.audit.c.detail).where(schema.audit.c.action == "drift").order_by(schema.audit.c.id)
        assert [one["id"] for one in conn.execute(stmt).scalars()] == ["stale:ent_1", "orphaned:ent_loose"]


def test_what_was_looked_at_since_offers_no_repair_until_the_next_comparison(hub: Hub) -> None:
    subject, s = "zentitle/entitlement/ent_1", schema.subject

    def looked(conn: subjects.Connection, state: str) -> None:
        subjects.mark_due(conn, [subjects.Ref.parse(subject)], cause="asked", reason="a test")
        conn.execute(s.update().where(s.c.ref == subject).values(state=state, looked_at=time.time() + 60))

    hub.store.write(lambda conn: looked(conn, "idle"))
    assert waiting(hub.store, "stale:ent_1") == drift.SEEN
    hub.store.write(lambda conn: looked(conn, "dead"))
    assert waiting(hub.store, "stale:ent_1") == ""  # that look repaired nothing


def test_pages_of_ten_thousand_are_quick_and_whole_and_the_counts_are_of_all(hub: Hub) -> None:
    most = drift.MOST_KEPT
    many = [a_drift("stale", f"ent_{number:05}") for number in range(most + 5)]
    drift.keep(hub.store, [*many, *[a_drift("gone", f"ent_{number:05}") for number in range(60)]])
    with hub.store.read() as conn:
        began = time.perf_counter()
        seen, before = [], ""
        for _ in range(3):
            page = drifts.page(conn, "", before)
            seen += [row.id for row in page.rows]
            before = page.older or ""
        assert time.perf_counter() - began < 1
        assert len(set(seen)) == len(seen) == 150
        assert [row.kind for row in drifts.page(conn, "stale", "").rows] == ["stale"] * 50
        last = drifts.page(conn, "stale", "stale~stale:ent_09989")
        assert (len(last.rows), last.older) == (10, None)  # what was there before is gone, what is too much left out
        kept = drifts.counts(conn)
    assert kept is not None
    assert kept[0]["stale"] == most + 5
    with served(hub) as base:
        assert "the first 10,000" in text_of(Browser(base).get("/drift?show=stale"))


def test_ways_in_which_one_license_differs_are_one_item() -> None:
    one = a_drift("different", "ent_1", problem="seats 3 to 5")
    (told,) = comparing._merged([one, replace(one, problem="an earlier end", risk="takes away: expires_at")])
    assert (told.problem, told.risk) == ("seats 3 to 5; an earlier end", "takes away: expires_at")


def test_a_hub_that_compared_nothing_yet_says_how(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, console="open")
    upgrade(hub.store)
    with served(hub) as base:
        assert "Nothing was compared yet" in text_of(Browser(base).get("/drift"))
    hub.store.close()


def test_the_api_lists_and_repairs_all_or_nothing_under_scopes_of_its_own(hub: Hub) -> None:
    key = keys.create(hub.store, "n8n", ["drift:read", "drift:write"], None, by="ida")
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {key}"
    with http, served(hub) as base:

        def apply(*ids: str) -> requests.Response:
            return http.post(f"{base}/api/v1/drift/apply", json={"ids": ids}, timeout=10)

        first = http.get(f"{base}/api/v1/drift?limit=3", timeout=10).json()
        rest = http.get(f"{base}/api/v1/drift", params={"cursor": first["next"]}, timeout=10).json()
        found = [one["id"] for one in (*first["items"], *rest["items"])]
        assert sorted(found) == found
        assert {one.partition(":")[0] for one in found} == {"stale", "missing", "orphaned", "unmatched"}
        assert first["compared_at"] is not None
        assert apply("stale:ent_1", "stale:nobody").status_code == 404
        assert waiting(hub.store, "stale:ent_1") == ""
        assert apply("stale:ent_1").json() == {"applied": ["stale:ent_1"], "left": []}
        assert apply("stale:ent_1").json() == {"applied": [], "left": ["stale:ent_1"]}


def test_the_api_knows_every_class() -> None:
    assert {*get_args(Drifts.model_fields["kind"].annotation)} == {"", *KINDS}
