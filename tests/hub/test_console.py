"""The console's pages: what they answer, where they lead, and that nothing in a payload can act on a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from sqlalchemy import select

from hub.store import Store, pages, records, schema
from tests.hub import factory
from tests.hub.browsing import Browser, served, text_of
from tests.hub.factory import LIFE, a_hub, a_receipt, a_subject, fill
from tests.records import upgrade

HELD = "/subjects/stripe/subscription/sub_held"
PAGES = (
    "/",
    "/receipts",
    "/receipts/1",
    "/subjects",
    f"/subjects/{LIFE}",
    HELD,
    "/entitlements",
    "/entitlements/ent_1",
    "/entitlements/ent_1?at=2026-06-29",
    "/reviews",
    "/catalog",
    "/drift",
    "/drift?show=stale",
    "/subjects?show=parked&key=price_teams",
    "/nothing",
)


@pytest.fixture
def console(database_url: str) -> Iterator[tuple[Browser, Store]]:
    """An open console over a record with a life in it, on both databases."""
    yield from _console(database_url, full=True)


@pytest.fixture
def small(sqlite_url: str) -> Iterator[tuple[Browser, Store]]:
    """The same on SQLite only."""
    yield from _console(sqlite_url, full=True)


@pytest.fixture
def empty(sqlite_url: str) -> Iterator[tuple[Browser, Store]]:
    yield from _console(sqlite_url, full=False)


def _console(url: str, *, full: bool) -> Iterator[tuple[Browser, Store]]:
    hub = a_hub(url, console="open")
    upgrade(hub.store)
    if full:
        fill(hub.store)
    with served(hub) as base:
        yield Browser(base), hub.store
    hub.store.close()


def test_every_page_opens(console: tuple[Browser, Store]) -> None:
    for path in PAGES:
        assert console[0].get(path).status_code == (404 if path == "/nothing" else 200), path


# -- overview


def test_an_empty_hub_shows_three_steps(empty: tuple[Browser, Store]) -> None:
    said = text_of(empty[0].get("/"))
    assert "Three steps to the first license" in said
    assert "/webhooks/stripe" in said


def test_the_overview_says_what_needs_a_person_and_balances(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get("/"))
    assert "4 things need you" in said
    assert all(name in said for name in ("Veldt Distribution", "Larkspur Studio", "Meridian Geo"))
    numbers = re.search(
        r"received\s*(\d+)\s*accepted\s*(\d+)\s*ignored\s*(\d+)\s*quarantined\s*(\d+)\s*dead\s*(\d+)\s*conflict\s*(\d+)",
        said,
    )
    assert numbers
    received, *parts = map(int, numbers.groups())
    assert received == sum(parts) == 9


def test_a_source_without_an_api_key_says_so(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, console="open")
    keyless = {
        **hub.settings.connections,
        "stripe": {k: v for k, v in hub.settings.connections["stripe"].items() if k != "api_key"},
    }
    from hub import wiring

    hub = wiring.build(hub.settings.model_copy(update={"connections": keyless}))
    upgrade(hub.store)
    fill(hub.store)
    with served(hub) as base:
        assert "no API key" in Browser(base).get("/").text
    hub.store.close()


# -- receipts


def test_receipts_are_newest_first_and_paged_by_key(small: tuple[Browser, Store]) -> None:
    browser, store = small
    store.write(lambda conn: [a_receipt(conn, LIFE, external_id=f"evt_{number:03}") for number in range(120)])
    found, path = [], "/receipts?q=sub_life"
    while path:
        page = browser.get(path).text
        found += re.findall(r'<a href="/receipts/(\d+)">', page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        path = more[1].replace("&amp;", "&") if more else ""
    ids = [int(id_) for id_ in found]
    assert len(ids) == len(set(ids)) == 129
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    "words", ["evt_needle", "stripe/subscription/sub_x", "sub_x", "Needle & Co", "needle", "rare.type"]
)
def test_a_receipt_is_found_by_id_subject_customer_and_type(console: tuple[Browser, Store], words: str) -> None:
    browser, store = console

    def insert(conn) -> None:
        a_subject(conn, "stripe/subscription/sub_x", customer_name="Needle & Co")
        a_receipt(conn, "stripe/subscription/sub_x", external_id="evt_needle", type="rare.type")

    store.write(insert)
    said = text_of(browser.get("/receipts?" + "q=" + words.replace("&", "%26")))
    assert "evt_needle" in said
    assert "1 receipt found" in said


def test_filters_by_outcome_and_connection(console: tuple[Browser, Store]) -> None:
    quarantined = text_of(console[0].get("/receipts?outcome=quarantined&connection=stripe"))
    assert "it is of live mode" in quarantined
    assert "1 receipt found" in quarantined
    assert "No receipt is like that" in text_of(console[0].get("/receipts?connection=zentitle"))


def test_two_filters_that_hardly_meet_answer_at_once_and_go_on_further_back(small: tuple[Browser, Store]) -> None:
    browser, store = small

    def insert(conn) -> None:
        a_receipt(conn, LIFE, external_id="evt_needle", type="invoice.paid", outcome="ignored")
        hay = {"type": "invoice.paid", "connection": "stripe", "received_at": 1.0, "outcome": "accepted"}
        rows = [{**hay, "external_id": f"hay_{number}", "headers": "{}"} for number in range(pages.SCAN_TO)]
        conn.execute(schema.receipt.insert(), rows)

    store.write(insert, timeout_s=60)
    first = browser.get("/receipts?q=invoice.paid&outcome=ignored").text
    assert "gone through" in first
    further = re.search(r'rel="next" href="([^"]+)"', first)
    assert further
    assert "evt_needle" in browser.get(further[1].replace("&amp;", "&")).text


@pytest.mark.parametrize("number", ["9" * 30, "%C2%B2", "-1", "nan", "1~2~3"])
def test_a_page_key_that_nobody_gave_out_is_passed_over(console: tuple[Browser, Store], number: str) -> None:
    for path in ("/receipts?", "/subjects?", "/subjects?show=due&", f"/subjects/{LIFE}?", "/entitlements?"):
        for key in (number, f"{number}~1.0~x", f"{number}~x"):
            assert console[0].get(f"{path}before={key}").status_code == 200, path
    assert console[0].get(f"/receipts/{number}").status_code == 404
    assert "closed already" in _press(console[0], "/subjects", "/actions/review", id=number)


def test_a_nul_character_is_refused_in_a_sentence(console: tuple[Browser, Store]) -> None:
    for path in ("/receipts?q=a%00b", "/find?q=%00", "/subjects/a%00b/c/d", "/entitlements/%00"):
        answer = console[0].get(path)
        assert (answer.status_code, "NUL" in answer.text) == (400, True), path


def test_a_receipt_shows_body_headers_and_duplicates(console: tuple[Browser, Store]) -> None:
    browser, store = console
    store.write(
        lambda conn: a_receipt(conn, LIFE, external_id="evt_twice", duplicates=2, body=b'{"deep": {"value": 1}}')
    )
    with store.read() as conn:
        id_ = conn.execute(select(schema.receipt.c.id).where(schema.receipt.c.external_id == "evt_twice")).scalar_one()
    page = browser.get(f"/receipts/{id_}")
    assert "&#34;value&#34;: 1" in page.text
    assert "2 times more: kept once" in text_of(page)
    assert "user-agent" in page.text


def test_a_pruned_body_says_so(small: tuple[Browser, Store]) -> None:
    id_ = small[1].write(lambda conn: a_receipt(conn, LIFE, body=None))
    assert "no longer kept" in small[0].get(f"/receipts/{id_}").text


# -- subjects


def test_chips_count_and_filter(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get("/subjects"))
    assert "All 8 Due now 1 Waiting 2 Parked 1 Held 1 Dead 1" in said
    assert "3 of 8 subjects wait for a person" in said
    parked = text_of(console[0].get("/subjects?show=parked"))
    assert "Meridian Geo" in parked
    assert "Larkspur" not in parked


def test_subjects_are_paged_without_gap_or_repeat(console: tuple[Browser, Store]) -> None:
    store = console[1]
    store.write(
        lambda conn: [a_subject(conn, f"stripe/subscription/same_{n:03}", changed_at=1000.0) for n in range(120)]
    )
    with store.read() as conn:
        first = pages.subjects(conn, "all", None)
        second = pages.subjects(conn, "all", None, first.older or "")
        third = pages.subjects(conn, "all", None, second.older or "")
    refs = [row.ref for page in (first, second, third) for row in page.rows]
    assert len(refs) == len(set(refs)) == 128
    assert third.older is None


def test_due_subjects_come_in_the_order_of_their_looks(console: tuple[Browser, Store]) -> None:
    store = console[1]
    due = {"state": "due", "cause": "event"}
    store.write(
        lambda conn: [
            a_subject(conn, f"stripe/subscription/due_{n:03}", next_look=1000.0 + n, priority=n % 2, **due)
            for n in range(90)
        ]
    )
    with store.read() as conn:
        first = pages.subjects(conn, "due", None)
        second = pages.subjects(conn, "due", None, first.older or "")
    keys = [(row.priority, row.next_look) for page in (first, second) for row in page.rows]
    assert keys == sorted(keys)
    assert len(keys) == 91


@pytest.mark.parametrize("before", ["~", "x~y", "1~2~3~4", "'; DROP TABLE subject --", "nan~a"])
def test_a_page_key_that_is_nonsense_shows_a_page_all_the_same(small: tuple[Browser, Store], before: str) -> None:
    for path in ("/subjects", "/subjects?show=due", "/entitlements", "/receipts"):
        assert small[0].http.get(small[0].base + path, params={"before": before}, timeout=10).status_code == 200


def test_a_subject_in_doubt_says_until_when(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get("/subjects/stripe/subscription/sub_window"))
    assert "Checking whether the license was created, until 14:02:31 UTC" in said
    assert "In doubt" in said
    assert "In doubt" in text_of(console[0].get("/subjects?show=waiting"))


def test_the_timeline_goes_from_event_to_answer(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get(f"/subjects/{LIFE}"))
    for step in ("Received", "Looked", "Wanted", "Found", "Done"):
        assert step in said
    assert "Seats 15 → 20" in said
    assert "quantity × seats a unit: 20 × 1" in said
    assert re.search(r'PATCH /api/v1/entitlements/ent_1 {"seatCount": ?20} → 204', said)
    assert "it may or may not have been done" in said
    assert "had been done. Nothing was doubled" in said


def test_a_long_timeline_is_paged(small: tuple[Browser, Store]) -> None:
    browser, store = small
    store.write(
        lambda conn: [factory.a_change(conn, LIFE, wanted={"seats": n}, found={"seats": n - 1}) for n in range(70)]
    )
    page = browser.get(f"/subjects/{LIFE}").text
    more = re.search(r'rel="next" href="([^"]+)"', page)
    assert more
    older = text_of(browser.get(more[1]))
    assert "Seats 15 → 20" in older


def test_what_is_not_known_says_where_to_look(small: tuple[Browser, Store]) -> None:
    for path, says in (
        ("/subjects/stripe/subscription/none", "No subject is called stripe/subscription/none"),
        ("/entitlements/none", "No entitlement is called none"),
        ("/receipts/999999", "No receipt has the number 999999"),
        ("/nowhere", "There is no page /nowhere"),
    ):
        answer = small[0].get(path)
        assert answer.status_code == 404
        assert says in text_of(answer)


# -- actions


def _press(browser: Browser, page: str, action: str, **data: str) -> str:
    answer = browser.post(action, {"csrf": browser.token(page), "next": page, **data})
    assert answer.status_code == 200, answer.text
    return text_of(answer)


def test_look_now_makes_a_dead_subject_due_and_is_audited(console: tuple[Browser, Store]) -> None:
    browser, store = console
    ref = "stripe/subscription/sub_dead"
    said = " ".join(text_of(browser.get(f"/subjects/{ref}")).split())
    assert "when an event comes in, or when you ask. Last compared" in said
    assert "due now" in _press(browser, f"/subjects/{ref}", "/actions/look", ref=ref)
    with store.read() as conn:
        row = conn.execute(select(schema.subject).where(schema.subject.c.ref == ref)).one()
        audit = conn.execute(select(schema.audit)).one()
    assert (row.state, row.cause, row.tries, row.failing_since) == ("due", "asked", 0, None)
    assert (audit.actor, audit.action, audit.subject) == ("sandbox", "look", ref)
    assert audit.origin == "console 127.0.0.1"


def test_all_that_are_dead_are_looked_at_again_once_their_number_was_confirmed(console: tuple[Browser, Store]) -> None:
    browser, store = console
    store.write(lambda conn: [a_subject(conn, f"stripe/subscription/d_{n}", state="dead", tries=3) for n in range(6)])
    page = browser.get("/subjects?show=dead").text
    (until,) = re.findall(r'name="until" value="([0-9.]+)"', page)
    assert "Look at all 7…" in page
    late = {"state": "dead", "changed_at": float(until) + 1}
    store.write(lambda conn: a_subject(conn, "stripe/subscription/died_later", **late))
    assert "They are due" in (said := _press(browser, "/subjects?show=dead", "/actions/look-dead", until=until))
    assert "7 of those asked for are still to be looked at" in said
    assert "The hub has given up on 1 subject" in said
    with store.read() as conn:
        due = conn.execute(select(schema.subject).where(schema.subject.c.cause == "asked again")).all()
        audit = conn.execute(select(schema.audit)).one()
    assert {(row.state, row.tries, row.priority) for row in due} == {("due", 0, 1)}
    assert (audit.actor, audit.action, audit.detail["subjects"]) == ("sandbox", "look at the dead", 7)


@pytest.mark.parametrize("until", ["", "0", "soon", "nan", "inf", "-inf"])
def test_a_moment_that_no_page_told_revives_nothing(small: tuple[Browser, Store], until: str) -> None:
    assert "Nothing was dead any more" in _press(small[0], "/subjects?show=dead", "/actions/look-dead", until=until)


def test_approve_makes_a_held_subject_due_once(console: tuple[Browser, Store]) -> None:
    browser, store = console
    ref = "stripe/subscription/sub_held"
    assert "Approved" in _press(browser, HELD, "/actions/approve", ref=ref)
    assert "Nothing waited" in _press(browser, HELD, "/actions/approve", ref=ref)
    with store.read() as conn:
        approval = conn.execute(select(schema.approval)).one()
        row = conn.execute(select(schema.subject).where(schema.subject.c.ref == ref)).one()
        audits = conn.execute(select(schema.audit.c.action, schema.audit.c.detail)).all()
    assert (approval.state, approval.decided_by) == ("approved", "sandbox")
    assert (row.state, row.cause) == ("due", "approved")
    assert [tuple(one) for one in audits] == [("approve", {"acts": [{"action": "Disable", "entitlement": "ent_held"}]})]


def test_refuse_holds_the_subject_and_none_of_it_is_done(console: tuple[Browser, Store]) -> None:
    browser, store = console
    ref = "stripe/subscription/sub_held"
    assert "Refused. None of it is done" in _press(browser, HELD, "/actions/refuse", ref=ref, why="they  pay\ntomorrow")
    assert "Nothing waited" in _press(browser, HELD, "/actions/refuse", ref=ref, why="")
    assert "refused what the guard held back: they pay tomorrow" in text_of(browser.get(HELD))
    with store.read() as conn:
        approval = conn.execute(select(schema.approval)).one()
        row = conn.execute(select(schema.subject).where(schema.subject.c.ref == ref)).one()
    assert (approval.state, approval.decided_by) == ("refused", "sandbox")
    assert (row.state, row.cause, row.next_look) == ("held", "by a person", None)


def test_a_subject_is_held_by_a_person_until_released(console: tuple[Browser, Store]) -> None:
    browser, store = console
    page = f"/subjects/{LIFE}"
    assert "Held. No look" in _press(browser, page, "/actions/hold", ref=LIFE, why="waits  for\nthe customer")
    assert "holds it already" in _press(browser, page, "/actions/hold", ref=LIFE, why="again")
    said = text_of(browser.get(page))
    assert "Sandbox holds it: waits for the customer" in said
    assert "Look now" not in said
    assert "Sandbox holds it" in text_of(browser.get("/subjects?show=held"))
    assert "Released" in _press(browser, page, "/actions/release", ref=LIFE)
    assert "Nobody holds it" in _press(browser, page, "/actions/release", ref=LIFE)
    with store.read() as conn:
        row = conn.execute(select(schema.subject).where(schema.subject.c.ref == LIFE)).one()
        audits = conn.execute(select(schema.audit.c.action, schema.audit.c.detail)).all()
    assert (row.state, row.held_because) == ("due", None)
    assert [tuple(one) for one in audits] == [("hold", {"why": "waits for the customer"}), ("release", {})]


def test_a_subject_that_nobody_knows_can_not_be_held(small: tuple[Browser, Store]) -> None:
    browser, store = small
    assert "holds it already" in _press(browser, "/subjects", "/actions/hold", ref="stripe/subscription/none", why="")
    with store.read() as conn:
        assert conn.execute(select(schema.audit)).first() is None


@pytest.mark.parametrize("action", ["look", "look-dead", "approve", "refuse", "hold", "release", "review"])
def test_S_an_action_without_the_form_s_token_is_refused(small: tuple[Browser, Store], action: str) -> None:
    browser, store = small
    browser.get("/")
    answer = browser.post(f"/actions/{action}", {"ref": LIFE, "id": "1"}, allow_redirects=False)
    assert answer.status_code == 403
    with store.read() as conn:
        assert conn.execute(select(schema.audit)).first() is None


def test_an_action_leads_back_with_the_filters_of_the_page(small: tuple[Browser, Store]) -> None:
    browser = small[0]
    data = {"csrf": browser.token("/subjects"), "id": "1", "next": "/subjects?show=dead&q=a%26b&said=x"}
    answer = browser.post("/actions/review", data, allow_redirects=False)
    assert answer.headers["Location"] == "/subjects?show=dead&q=a%26b&said=done"


def test_the_catalog_page_shows_the_row_to_paste_and_whom_it_frees(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get("/catalog"))
    assert "One key was sold that no row names" in said
    assert '[[catalog]] stripe = "price_teams" sku = "…"' in said
    assert "1 subject" in said
    freed = text_of(console[0].get("/subjects?show=parked&key=price_teams"))
    assert "1 subject waits for a row that names price_teams" in freed
    assert "Meridian Geo" in freed
    assert "No subjects wait" in text_of(console[0].get("/subjects?show=parked&key=price_other"))


def test_a_parked_subject_shows_the_row_that_would_free_it(console: tuple[Browser, Store]) -> None:
    said = text_of(console[0].get("/subjects/stripe/subscription/sub_parked"))
    assert '[[catalog]] stripe = "price_teams" sku = "…"' in said
    assert "1 subject waits for price_teams" in said


def test_a_sale_of_two_unnamed_lines_is_shown_with_both_rows(small: tuple[Browser, Store]) -> None:
    browser, store = small
    ref = "stripe/subscription/sub_parked"
    store.write(lambda conn: conn.execute(schema.unmapped.insert().values(subject=ref, key="price_more")))
    for path in (f"/subjects/{ref}", "/catalog"):
        said = text_of(browser.get(path))
        assert all(f'stripe = "{key}"' in said for key in ("price_teams", "price_more")), path
    assert "Waits for 2 rows in the catalog" in text_of(browser.get(f"/subjects/{ref}"))
    assert "Meridian Geo" in text_of(browser.get("/subjects?show=parked&key=price_more"))


def test_the_catalog_page_shows_the_rows_in_force(small: tuple[Browser, Store]) -> None:
    browser, store = small
    row = {"keys": {"stripe": "price_x"}, "adds_to": "PRO-100", "seats_per_unit": 10, "from": "2027-01-01"}
    row["when"] = "line.quantity > 1 && '<b>' != ''"
    version = {"version": "f" * 64, "body": {"catalog": [row], "policy": {}}, "stored_at": 1_790_000_000.0}

    def insert(conn) -> None:
        conn.execute(schema.catalog_version.insert().values(**version))
        conn.execute(schema.cursor.insert().values(name="catalog", value="f" * 64, at=0.0))

    store.write(insert)
    said = text_of(browser.get("/catalog"))
    assert "adds to PRO-100" in said
    assert "quantity × 10" in said
    assert "line.quantity > 1 && '<b>' != ''" in said
    assert "1 Jan 2027" in said


def test_tasks_are_paged_without_gap_or_repeat(small: tuple[Browser, Store]) -> None:
    browser, store = small
    store.write(lambda conn: [factory.a_review(conn, None, f"text {number:03}") for number in range(120)])
    found, path = [], "/reviews"
    while path:
        page = browser.get(path).text
        found += re.findall(r"Text (\d+)", page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        path = more[1].replace("&amp;", "&") if more else ""
    assert found == [f"{number:03}" for number in reversed(range(120))]


def test_what_was_seen_and_led_to_nothing_is_on_the_timeline(small: tuple[Browser, Store]) -> None:
    browser, store = small
    store.write(lambda conn: factory.an_observation(conn, LIFE, {"x": 1}, factory.time.time() - 30))
    said = text_of(browser.get(f"/subjects/{LIFE}"))
    assert "Something new was seen; nothing was written" in said
    assert said.index("Something new was seen") < said.index("Seats 15 → 20")


def test_an_entitlement_is_shown_as_of_a_day(console: tuple[Browser, Store]) -> None:
    browser = console[0]
    ago = datetime.now(UTC).date() - timedelta(days=20)
    said = text_of(browser.get(f"/entitlements/ent_1?at={ago}"))
    assert "PRO-100, 15 seats, until 30 Mar 2026" in said
    assert "As the journal had it at the end of" in said
    assert "20 → 15" in said
    assert "15 → 20 seats" not in said[said.index("What changed, and when") :]
    assert "it did not exist yet" in text_of(browser.get("/entitlements/ent_1?at=2020-01-01"))


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31", "0001-01-01", "<script>"])
def test_a_day_that_is_none_is_told_or_shown_and_never_an_error(small: tuple[Browser, Store], day: str) -> None:
    answer = small[0].get("/entitlements/ent_1", params={"at": day})
    assert answer.status_code == 200
    assert "<script>" not in answer.text.replace('<script src="/static/hub.js" defer></script>', "")


def test_done_closes_a_task_once(console: tuple[Browser, Store]) -> None:
    browser, store = console
    assert "17 seats of ent_held" in browser.get("/subjects").text
    assert "closed" in _press(browser, "/subjects", "/actions/review", id="1")
    assert "closed already" in _press(browser, "/subjects", "/actions/review", id="1")
    assert "17 seats of ent_held" not in browser.get("/subjects").text
    with store.read() as conn:
        assert conn.execute(select(schema.audit.c.action)).scalars().all() == ["review done"]


def test_S24_an_action_leads_back_to_a_page_of_ours_only(small: tuple[Browser, Store]) -> None:
    browser = small[0]
    data = {"csrf": browser.token("/subjects"), "id": "1", "next": "//evil.example"}
    answer = browser.post("/actions/review", data, allow_redirects=False)
    assert answer.headers["Location"] == "/?said=done"


# -- entitlements and why


@pytest.mark.parametrize("words", ["ent_1", "stripe:sub_life", "AAAAA-BBBBB-CCCCC-DDDDD", "sub_life", "cedar"])
def test_an_entitlement_is_found(console: tuple[Browser, Store], words: str) -> None:
    said = text_of(console[0].get(f"/entitlements?q={words}"))
    assert "ent_1" in said
    assert "17 of 20" in said
    assert "ent_held" not in said


@pytest.mark.parametrize(
    ("moved_days", "said"), [(0, None), (20, "Expires in 20 days"), (43, "Expired 3 days ago"), (-60, None)]
)
def test_an_end_is_near_or_over_by_business_time(
    console: tuple[Browser, Store], moved_days: float, said: str | None
) -> None:
    browser, store = console
    ends = (datetime.now(UTC) + timedelta(days=40, minutes=1)).isoformat()
    if moved_days:
        store.write(lambda conn: records.set_cursor(conn, records.CLOCK_OFFSET, str(moved_days * factory.DAY)))
    body = {"expires_at": ends, "enabled": True}
    ref = store.write(lambda conn: a_subject(conn, "stripe/subscription/sub_on"))
    store.write(lambda conn: factory.an_entitlement(conn, ref, "ent_on", body=body))
    body = {"expires_at": ends, "enabled": False}
    store.write(lambda conn: factory.an_entitlement(conn, None, "ent_off", body=body, enabled=False))
    for path in ("/entitlements?q=ent_on", f"/subjects/{ref}", "/entitlements/ent_on"):
        page = text_of(browser.get(path))
        assert re.findall(r"Expire(?:s in|d) \d+ days(?: ago)?", page) == ([said] if said else []), path
    assert "Expire" not in text_of(browser.get("/entitlements?q=ent_off")).partition("Expires Subject Changed")[2]
    assert ("Licenses here live on" in text_of(browser.get("/"))) is bool(moved_days)


def test_an_entitlement_of_no_purchase_has_its_pages(small: tuple[Browser, Store]) -> None:
    small[1].write(lambda conn: factory.an_entitlement(conn, None, "ent_9", reasons={}, catalog_version=""))
    assert "none known" in text_of(small[0].get("/entitlements?q=ent_9"))
    page = small[0].get("/entitlements/ent_9")
    assert (page.status_code, "none known" in text_of(page)) == (200, True)


def test_the_why_page_shows_five_links_of_each_chain(console: tuple[Browser, Store]) -> None:
    page = console[0].get("/entitlements/ent_1")
    assert page.text.count('<ol class="chain">') == 4
    for title in ("Purchase line", "Seen in", "Rule", "Call", "Answer"):
        assert page.text.count(f"<h3>{title}</h3>") == 4
    said = text_of(page)
    assert "invoice in_2 is paid until 2027-03-23, plus 7 days of grace" in said
    assert "AAAAA-BBBBB-CCCCC-DDDDD" in said


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("ent_1", "/entitlements/ent_1"),
        ("AAAAA-BBBBB-CCCCC-DDDDD", "/entitlements/ent_1"),
        ("sub_parked", "/subjects/stripe/subscription/sub_parked"),
        ("Meridian", "/subjects/stripe/subscription/sub_parked"),
        ("evt_here", "/receipts/"),
        ("stripe:sub_life", "/entitlements/ent_1"),
        ("stripe:cus_sub_parked", "/subjects/stripe/subscription/sub_parked"),
        ("cus_sub_parked", "/subjects/stripe/subscription/sub_parked"),
        ("ACME-1", "/subjects/stripe/subscription/sub_parked"),
        ("nobody", "/subjects?q=nobody"),
        ("", "/"),
    ],
)
def test_find_goes_to_the_one_thing(small: tuple[Browser, Store], words: str, place: str) -> None:
    link = {"alias": "stripe:cus_sub_parked", "account_ref": "ACME-1", "zentitle_id": "cust_9"}

    def insert(conn) -> None:
        a_receipt(conn, None, external_id="evt_here")
        conn.execute(schema.customer_link.insert().values(**link))

    small[1].write(insert)
    assert small[0].get(f"/find?q={words}", allow_redirects=False).headers["Location"].startswith(place)


# -- what every page keeps


class _Markup(HTMLParser):
    """Collects what must not be there, and what must."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.times: list[dict[str, str | None]] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.wrong += [f"{tag} {name}" for name in named if name == "style" or name.startswith("on")]
        if tag == "style":
            self.wrong.append(tag)
        if tag == "script":
            self.scripts.append(named.get("src"))
        if tag == "time":
            self.times.append(named)
        if tag == "input" and named.get("type") != "hidden" and not (named.get("id") or named.get("aria-label")):
            self.wrong.append("input without a label")


def test_S24_no_page_has_inline_style_or_script_and_times_say_utc(small: tuple[Browser, Store]) -> None:
    for path in (*PAGES, "/login"):
        markup = _Markup()
        markup.feed(small[0].get(path).text)
        assert markup.wrong == [], path
        assert set(markup.scripts) <= {"/static/hub.js"}
        assert all(time["datetime"] and str(time["title"]).endswith("UTC") for time in markup.times), path


def test_S24_a_script_in_every_field_stays_text(small: tuple[Browser, Store]) -> None:
    browser, store = small
    evil = "<script>alert(1)</script>"
    ref = "stripe/subscription/sub_evil"

    def insert(conn) -> int:
        a_subject(
            conn,
            ref,
            customer_name=evil,
            reason=evil,
            summary=evil,
            order_ref=evil,
            customer=evil,
            trace=evil,
            state="dead",
        )
        factory.a_review(conn, ref, evil, kind=evil)
        seen = {"subscription": {"id": "si_1", "name": evil}}
        hash_ = factory.an_observation(conn, ref, seen, 1.0)
        why = {evil: {"rule": evil, "because": evil, "lines": [evil]}}
        factory.a_change(
            conn,
            ref,
            entitlement="ent_evil",
            wanted={"seats": 3},
            found={"seats": 2},
            why=why,
            cause=evil,
            call={"method": evil, "path": evil, "body": {evil: evil}, "status": 204},
            observation=hash_,
        )
        reasons = {"seats": {"rule": evil, "because": evil, "lines": ["si_1"]}}
        factory.an_entitlement(
            conn, ref, "ent_evil", reasons=reasons, observation=hash_, body={"status": evil, "offering": evil}
        )
        return a_receipt(
            conn, ref, type=evil, external_id=evil, reason=evil, headers=json.dumps({evil: evil}), body=evil.encode()
        )

    id_ = store.write(insert)
    paths = [
        "/",
        "/receipts",
        f"/receipts/{id_}",
        "/subjects",
        f"/subjects/{ref}",
        "/entitlements",
        "/entitlements/ent_evil",
        f"/receipts?q={evil}",
        f"/subjects?q={evil}",
        f"/entitlements?q={evil}",
        f"/subjects/{evil}",
    ]
    for path in paths:
        page = browser.get(path).text
        assert "<script>alert" not in page, path
        assert "alert(1)" in page, path


def test_pages_hold_a_skip_link_and_one_filled_button_at_most(small: tuple[Browser, Store]) -> None:
    for path in PAGES:
        page = small[0].get(path).text
        assert 'class="skip" href="#main"' in page, path
        assert page.count("btn-main") <= 1, path


def test_a_record_that_is_away_is_a_page_for_people_and_a_problem_for_machines() -> None:
    hub = a_hub("postgresql://hub@127.0.0.1:1/hub", console="open")
    with served(hub) as base:
        browser = Browser(base)
        page, probe = browser.get("/subjects"), browser.get("/readyz")
        assert (page.status_code, probe.status_code) == (503, 503)
        assert page.headers["Content-Type"].startswith("text/html")
        assert "The record does not answer" in text_of(page)
        assert page.headers["Retry-After"] == "5"
        assert probe.headers["Content-Type"] == "application/problem+json"
    hub.store.close()
