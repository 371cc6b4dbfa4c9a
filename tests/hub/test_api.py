"""The API for programs: keys and scopes on every route, the stream by position, endpoints, orders done once."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator
from sqlalchemy import func, select, update

from hub import keys
from hub.errors import PermanentError
from hub.keys import SCOPES
from hub.outbound import samples
from hub.store import Store, calls
from hub.store.schema import api_call, api_key, approval, audit, db_now, endpoint, subject
from hub.web.api import guard
from hub.web.api.document import document
from hub.web.api.route import Route
from hub.web.api.table import ROUTES
from hub.web.app import create_app
from hub.wiring import Hub
from sandbox.customers import shelf
from tests.hub.browsing import served
from tests.hub.factory import LIFE, a_hub, a_subject, an_approval, fill
from tests.hub.sink import a_sink
from tests.hub.test_deliver import tell
from tests.records import upgrade

HELD = "stripe/subscription/sub_held"
DOCUMENT = document(ROUTES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = a_hub(f"sqlite:///{tmp_path_factory.mktemp('api')}/hub.sqlite", allow=("127.0.0.1",))
    upgrade(made.store)
    fill(made.store)
    yield made
    made.office.sender.close()
    made.store.close()


@pytest.fixture(scope="module")
def base(hub: Hub) -> Iterator[str]:
    with served(hub) as address:
        yield f"{address}/api/v1"


@pytest.fixture(scope="module")
def every(hub: Hub) -> str:
    """A key that opens all of it."""
    return key(hub, *SCOPES)


def key(hub: Hub, *scopes: str, days: int | None = None) -> str:
    return keys.create(hub.store, "n8n", scopes, days, by="ida")


def ask(base: str, path: str, key_: str = "", method: str = "get", **kw: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key_}"} if key_ else {}
    return requests.request(method, base + path, headers=headers | kw.pop("headers", {}), timeout=15, **kw)


def filled(route: Route, **names: str) -> str:
    """The route's path with these names in it, else with nobody's."""
    return re.sub(r"<(?:path:)?(\w+)>", lambda found: names.get(found[1], "none"), route.path)


def conforms(route: Route, answer: requests.Response) -> None:
    """The answer is one that the document tells of, and looks as it says."""
    operation = DOCUMENT["paths"][route.told_path][route.method.lower()]
    told = operation["responses"][str(answer.status_code)]
    if "$ref" in told:
        told = DOCUMENT["components"]["responses"][told["$ref"].rpartition("/")[2]]
    if "content" not in told:
        assert answer.content == b""
        return
    media = answer.headers["content-type"].partition(";")[0]
    assert media in told["content"], (route.name, media)
    if media.endswith("json"):
        schema = told["content"][media]["schema"] | {"components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.json())


# -- who may call


def test_S18_every_route_wants_a_key_with_its_scope_and_no_other(hub: Hub, base: str) -> None:
    scoped = {scope: key(hub, scope) for scope in SCOPES}
    for route in ROUTES:
        path, method = filled(route), route.method
        without = ask(base, path, method=method)
        if route.scope is None:
            assert without.status_code == 200
            continue
        time.sleep(0.05)  # more than 20 failures a second are told to slow down
        assert without.status_code == 401
        assert without.headers["WWW-Authenticate"] == "Bearer"
        for scope, made in scoped.items():
            answer = ask(base, path, made, method)
            assert (answer.status_code == 403) is (route.scope not in {scope, ""}), (route.name, scope)
            conforms(route, answer)


def test_S18_a_route_that_is_in_no_table_is_refused(hub: Hub, every: str) -> None:
    app = create_app(hub)
    app.blueprints["api"].record = lambda _: None  # type: ignore[method-assign]
    app._got_first_request = False
    app.add_url_rule("/api/v1/forgotten", "api.forgotten", lambda: "open")
    with served_app(app) as address:
        assert ask(address, "/api/v1/forgotten", every).status_code == 403


def served_app(app: Any) -> Any:
    from contextlib import contextmanager

    from werkzeug.serving import make_server

    @contextmanager
    def run() -> Iterator[str]:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return run()


def test_S18_no_key_but_a_live_one_opens_anything(hub: Hub, base: str) -> None:
    good = key(hub, "events:read")
    assert ask(base, "/events", good).status_code == 200
    for wrong in (
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.upper(),
        good + "x",
        good[:17],
        "hub__",
        " ",
        "é",
    ):
        assert keys.owner(hub.store, wrong) is None
    over = key(hub, "events:read", days=1)
    past = update(api_key).where(api_key.c.prefix == over[4:16]).values(expires_at=db_now() - 1)
    hub.store.write(lambda conn: conn.execute(past))
    assert ask(base, "/events", over).status_code == 401
    keys.revoke(hub.store, good[4:16], by="ida")
    assert ask(base, "/events", good).status_code == 401
    with pytest.raises(PermanentError):
        keys.revoke(hub.store, good[4:16], by="ida")


def test_S18_the_record_holds_no_key(hub: Hub) -> None:
    made = key(hub, "events:read")
    with hub.store.read() as conn:
        rows = repr(conn.execute(select(api_key)).all()) + repr(conn.execute(select(audit.c.detail)).all())
    assert made[17:] not in rows
    assert made[4:16] in rows


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [("", ["events:read"], None), ("x", [], None), ("x", ["all"], None), ("x", ["events:read"], 0)],
)
def test_a_key_that_can_t_be_is_refused(hub: Hub, name: str, scopes: list[str], days: int | None) -> None:
    with pytest.raises(PermanentError):
        keys.create(hub.store, name, scopes, days, by="ida")


def test_a_key_that_calls_faster_than_it_may_is_told_when_it_may_again(hub: Hub) -> None:
    slow = replace(
        hub, settings=hub.settings.model_copy(update={"hub": hub.settings.hub.model_copy(update={"api_per_s": 0.2})})
    )
    first, other = key(hub, "events:read"), key(hub, "events:read")
    with served(slow) as address:
        assert ask(f"{address}/api/v1", "/me", first).status_code == 200
        again = ask(f"{address}/api/v1", "/me", first)
        assert ask(f"{address}/api/v1", "/me", other).status_code == 200
    assert again.status_code == 429
    assert 1 <= int(again.headers["Retry-After"]) <= 6
    assert again.headers["content-type"] == "application/problem+json"


def test_calls_that_were_not_made_gather_for_five_seconds() -> None:
    rates = guard.Rates(2)
    assert [rates.wait_s("k", 0.0) for _ in range(10)] == [0.0] * 10
    assert rates.wait_s("k", 0.0) == pytest.approx(0.5)
    assert rates.wait_s("k", 0.5) == 0
    assert [rates.wait_s("k", 1000.0) for _ in range(11)][-1] > 0


# -- what can't be read


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "said"),
    [
        ("get", "/nowhere", {}, 404, "not found"),
        ("put", "/purchases", {}, 405, "method"),
        ("get", "/purchases?limit=201", {}, 400, "limit"),
        ("get", "/purchases?limit=1&limit=2", {}, 400, "limit stands twice"),
        ("get", "/purchases?color=red", {}, 400, "color"),
        ("get", "/purchases?q=%00", {}, 400, "NUL"),
        ("get", "/receipts?cursor=cHVyY2hhc2VzIDE", {}, 400, "cursor"),
        ("get", "/entitlements/ent_1/why?at=2026-03-01", {}, 400, "at: a time as in"),
        ("get", "/entitlements/ent_1/usage/days?first=2020-01-01&last=2026-01-01", {}, 400, "1200 days"),
        ("post", "/endpoints", {"data": "{"}, 415, "application/json"),
        ("post", "/endpoints", {"json": {"url": "x"}, "headers": {"Content-Encoding": "gzip"}}, 415, "Encoding"),
        ("post", "/endpoints", {"json": {"url": "x" * 70_000}}, 413, "65536 bytes"),
        ("post", "/endpoints", {"json": {}}, 400, "url"),
        ("post", "/endpoints", {"json": []}, 400, "the body"),
        ("post", "/endpoints", {"json": {"url": 5}}, 400, "url"),
        ("post", "/endpoints", {"json": {"url": "https://a.example/", "nope": 1}}, 400, "nope"),
        ("post", "/endpoints", {"json": {"url": "https://10.1.1.1/x"}}, 400, "[outbound] allow"),
        ("post", "/replays", {"json": {}}, 400, "say which"),
        ("post", "/check", {"json": {"x": 1}}, 400, "takes no body"),
        ("post", "/check", {"headers": {"Idempotency-Key": "a b"}}, 400, "Idempotency-Key"),
        ("post", "/hooks", {"json": {"target_url": "https://a.example/", "event": "no.such"}}, 400, "no.such"),
        ("patch", "/endpoints/ep_none", {"json": {}}, 400, "say what"),
        ("get", "/events?after=x", {}, 400, "after"),
        ("get", "/events?after=99999999", {}, 400, "restored"),
        ("get", "/events?after=%D9%A3", {}, 400, "after"),
        ("get", "/events?wait=1.5", {}, 400, "wait"),
    ],
)
def test_a_call_that_can_t_be_answered_says_why(
    base: str, every: str, method: str, path: str, sent: dict[str, Any], status: int, said: str
) -> None:
    answer = ask(base, path, every, method, **sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert said in answer.json()["detail"]
    assert (status == 405) is ("Allow" in answer.headers)


def test_a_bug_of_ours_is_told_without_its_reason(hub: Hub) -> None:
    broken = replace(hub, connectors={})  # nothing licenses, so a look finds none to ask
    with served(broken) as address:
        answer = ask(f"{address}/api/v1", "/check", key(hub, "checks:run"), "post")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Error" not in answer.json()["detail"]


# -- reading


def test_every_list_is_walked_to_its_end_and_shows_each_once(base: str, every: str) -> None:
    for path, name in (("purchases", "purchase"), ("receipts", "id"), ("entitlements", "id")):
        whole = [one[name] for one in ask(base, f"/{path}?limit=200", every).json()["items"]]
        walked, cursor = [], ""
        while cursor is not None:
            page = ask(base, f"/{path}?limit=2&cursor={cursor}", every).json()
            assert len(page["items"]) <= 2
            walked += [one[name] for one in page["items"]]
            cursor = page["next"]
        assert walked == whole
        assert len(whole) > 2


def test_what_is_read_says_what_the_console_says(base: str, every: str) -> None:
    purchase = ask(base, f"/purchases/{LIFE}", every).json()
    assert (purchase["customer_name"], purchase["entitlements"]) == ("Cedar & Co", ["ent_1"])
    assert [one["state"] for one in ask(base, "/purchases?state=dead", every).json()["items"]] == ["dead"]
    assert [one["id"] for one in ask(base, "/entitlements?q=stripe:sub_life", every).json()["items"]] == ["ent_1"]
    why = ask(base, "/entitlements/ent_1/why", every).json()
    seats = next(one for one in why["fields"] if one["name"] == "seats")
    assert (seats["value"], seats["rule"]) == (20, "seats_of")
    then = ask(base, "/entitlements/ent_1/why", every, params={"at": why["changes"][0]["at"]}).json()
    assert then["at"] is not None
    customer = ask(base, "/customers/cust_1", every).json()
    assert {one["id"] for one in customer["entitlements"]} == {"ent_1", "ent_held", "ent_ended"}
    assert ask(base, "/customers", every).json()["items"][0]["entitlements"] == 3


def test_a_receipt_tells_nothing_of_its_headers_and_body(base: str, every: str) -> None:
    told = ask(base, "/receipts?outcome=conflict", every).json()["items"][0]
    assert set(told) == {
        *("id", "connection", "event_id", "type", "purchase", "received_at", "outcome", "reason", "duplicates")
    }
    assert ask(base, f"/receipts/{told['id']}", every).json() == told


def test_what_is_not_there_is_not_found(base: str, every: str) -> None:
    for route in ROUTES:
        if route.path_names and not route.body:
            answer = ask(base, filled(route), every, route.method)
            assert answer.status_code == 404, route.name
            conforms(route, answer)


def test_what_a_caller_has_already_is_not_sent_again(base: str, every: str) -> None:
    first = ask(base, "/purchases", every)
    again = ask(base, "/purchases", every, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_seat_use_is_told_by_month_by_day_as_a_signal_and_as_a_picture(hub: Hub, base: str, every: str) -> None:
    from datetime import date

    from hub.store import seats, signals
    from hub.usage.seatdays import SeatDay

    days = [
        SeatDay(
            entitlement="ent_1",
            day=date(2026, 3, n),
            known=n != 3,
            closed=True,
            peak=None if n == 3 else 10 + n,
            users=n,
        )
        for n in range(1, 6)
    ]
    hub.store.write(lambda conn: seats.put_days(conn, days))
    judged = {
        "signal": "steady",
        "confidence": "high",
        "change_date": None,
        "sentence": "As ever.",
        "evidence": {"drop_pct": 1},
    }
    judged |= {"forecast_peak": 15.0, "forecast_lo": 14.0, "forecast_hi": 16.0, "recommended_seats": None}
    values = {
        "signal": "steady",
        "since": "2026-03-01",
        "confidence": "high",
        "as_of": "2026-03-05",
        "judgement": judged,
    }
    hub.store.write(lambda conn: signals.put_signal(conn, "ent_1", values | {"method": "1"}, seen=0))
    month = ask(base, "/entitlements/ent_1/usage", every).json()["months"][0]
    assert (month["month"], month["known"], month["peak"], month["users"]) == ("2026-03", 4, 15, "5")
    told = ask(base, "/entitlements/ent_1/usage/days?first=2026-03-02&last=2026-03-03", every).json()["days"]
    assert [(one["day"], one["peak"], one["users"]) for one in told] == [
        ("2026-03-02", 12, "< 5"),
        ("2026-03-03", None, "< 5"),
    ]
    assert len(ask(base, "/entitlements/ent_1/usage/days", every).json()["days"]) == 5
    signal = ask(base, "/entitlements/ent_1/signal", every).json()
    assert (signal["sentence"], signal["evidence"], signal["history"]) == ("As ever.", {"drop_pct": 1}, [])
    assert ask(base, "/signals?signal=steady", every).json()["items"][0]["entitlement"] == "ent_1"
    assert ask(base, "/signals?signal=dormant", every).json()["items"] == []


def test_a_chart_is_the_one_of_the_console(tmp_path: Any) -> None:
    portfolio = shelf()
    account = next(one for one in portfolio.accounts.values() if one.entitled)
    id_ = account.entitled[0].standing.entitlement_id
    hub = replace(a_hub(f"sqlite:///{tmp_path}/hub.sqlite"), portfolio=portfolio)
    upgrade(hub.store)
    from tests.hub.factory import an_entitlement

    hub.store.write(lambda conn: an_entitlement(conn, None, id_, customer_id=account.id))
    with served(hub) as address:
        answer = ask(f"{address}/api/v1", f"/entitlements/{id_}/chart.svg?theme=dark", key(hub, "usage:read"))
    hub.drawer.close()
    hub.store.close()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert account.name in answer.text


def test_the_stream_is_pulled_by_position_and_waited_for(hub: Hub, base: str) -> None:
    reader = key(hub, "events:read")
    start = ask(base, "/events?limit=500", reader).json()["next"]
    tell(hub.store, 5, customer="pull")
    page = ask(base, f"/events?after={start}&limit=3", reader).json()
    assert [one["position"] for one in page["events"]] == [start + 1, start + 2, start + 3]
    assert (page["next"], page["more"]) == (start + 3, True)
    rest = ask(base, f"/events?after={page['next']}", reader).json()
    assert (len(rest["events"]), rest["next"], rest["more"]) == (2, start + 5, False)
    none = ask(base, f"/events?after={start}&types=purchase.*", reader).json()
    assert (none["events"], none["next"]) == ([], start + 5)
    later = threading.Timer(0.3, tell, (hub.store, 1), {"customer": "later"})
    later.start()
    began = time.monotonic()
    found = ask(base, f"/events?after={start + 5}&wait=5", reader).json()
    later.join()
    assert len(found["events"]) == 1
    assert time.monotonic() - began < 4


# -- orders


def state_of(hub: Hub, ref: str) -> Any:
    with hub.store.read() as conn:
        return conn.execute(select(subject).where(subject.c.ref == ref)).one()


def audited(hub: Hub) -> list[Any]:
    with hub.store.read() as conn:
        return list(conn.execute(select(audit).where(audit.c.origin == "api 127.0.0.1").order_by(audit.c.id)))


def test_a_look_makes_a_purchase_due_and_says_who_asked(hub: Hub, base: str, every: str) -> None:
    answer = ask(base, "/looks", every, "post", json={"purchase": LIFE})
    assert (answer.status_code, answer.json()) == (202, {"purchase": LIFE, "due": True})
    assert (state_of(hub, LIFE).state, state_of(hub, LIFE).cause) == ("due", "asked")
    assert (audited(hub)[-1].action, audited(hub)[-1].actor) == ("look", f"key {every[4:16]} (n8n)")


def test_a_replay_says_first_what_it_would_come_to_and_then_does_it(hub: Hub, base: str, every: str) -> None:
    ref = hub.store.write(lambda conn: a_subject(conn, "stripe/subscription/sub_again"))
    from tests.hub.factory import a_receipt

    hub.store.write(lambda conn: a_receipt(conn, ref, external_id="evt_again"))
    wanted = {"ids": ["evt_again"]}
    preview = ask(base, "/replays/preview", every, "post", json=wanted).json()
    assert (preview["applied"], preview["matching"], preview["purchases"]) == (False, 1, [ref])
    assert state_of(hub, ref).state == "idle"
    done = ask(base, "/replays", every, "post", json=wanted)
    assert (done.status_code, done.json()["applied"]) == (202, True)
    assert state_of(hub, ref).cause == "replay"
    assert ask(base, "/replays", every, "post", json={"ids": ["evt_none"]}).status_code == 404
    assert (
        ask(
            base,
            "/replays",
            every,
            "post",
            json={"since": "2026-01-01T00:00:00+02:00", "until": "2026-01-02T00:00:00Z"},
        ).status_code
        == 404
    )


def test_what_the_guard_holds_is_approved_or_refused_once(hub: Hub, base: str, every: str) -> None:
    acts = [{"action": "Disable", "entitlement": "ent_x"}]
    for name in ("yes", "no"):
        ref = f"stripe/subscription/sub_{name}"
        hub.store.write(lambda conn, ref=ref: a_subject(conn, ref, state="held", cause="guard"))
        hub.store.write(lambda conn, ref=ref: an_approval(conn, ref, acts))
    waiting = ask(base, "/approvals", every).json()["items"]
    assert acts in [one["acts"] for one in waiting if one["purchase"].endswith("sub_yes")]
    assert ask(base, "/approvals/stripe/subscription/sub_yes/approve", every, "post").json()["state"] == "approved"
    assert state_of(hub, "stripe/subscription/sub_yes").state == "due"
    no = ask(base, "/approvals/stripe/subscription/sub_no/refuse", every, "post", json={"why": "they pay tomorrow"})
    assert no.json()["state"] == "refused"
    held = state_of(hub, "stripe/subscription/sub_no")
    assert (held.state, "they pay tomorrow" in held.held_because) == ("held", True)
    for word in ("approve", "refuse"):
        for name in ("yes", "no"):
            assert ask(base, f"/approvals/stripe/subscription/sub_{name}/{word}", every, "post").status_code == 404
    decided = ask(base, "/approvals?state=refused", every).json()["items"]
    assert [one["purchase"] for one in decided] == ["stripe/subscription/sub_no"]
    with hub.store.read() as conn:
        assert (
            conn.execute(select(func.count()).select_from(approval).where(approval.c.state == "waiting")).scalar() == 1
        )


def test_the_check_finds_what_the_command_line_finds(base: str, every: str) -> None:
    told = ask(base, "/check", every, "post").json()
    assert told["well"] is False
    assert {"record", "connections.zentitle.token_url"} <= {one["about"] for one in told["findings"]}
    assert all(one["mend"] for one in told["findings"] if one["level"] == "error")


# -- endpoints and hooks


def test_an_endpoint_lives_by_the_API_alone(hub: Hub, base: str, every: str) -> None:
    with a_sink() as sink:
        body = {"url": sink.url, "types": ["entitlement.*"], "headers": {"X-Own": "a"}, "rate_per_s": 50}
        made = ask(base, "/endpoints", every, "post", json=body)
        assert made.status_code == 201
        at = f"/endpoints/{made.json()['id']}"
        changed = ask(
            base, at, every, "patch", json={"description": "Billing", "customers": ["cus_9"], "rate_per_s": None}
        )
        told = changed.json()
        assert (told["types"], told["customers"], told["headers"]) == (["entitlement.*"], ["cus_9"], ["X-Own"])
        assert (told["description"], told["rate_per_s"]) == ("Billing", None)
        assert ask(base, at, every, "patch", json={"url": "http://10.0.0.1/"}).status_code == 400
        test = ask(base, f"{at}/test", every, "post", json={"type": "entitlement.renewed"}).json()
        assert (test["taken"], test["status"], sink.got[0].headers["x-own"]) == (True, 200, "a")
        from standardwebhooks import Webhook

        assert (
            Webhook(made.json()["secret"]).verify(sink.got[0].body, sink.got[0].headers)["type"]
            == "entitlement.renewed"
        )
        assert ask(base, f"{at}/test", every, "post", json={"type": "no.such"}).status_code == 400
    assert ask(base, f"{at}/disable", every, "post").json() == {"state": "disabled"}
    tell(hub.store, 2, customer="cus_9")
    assert ask(base, f"{at}/enable", every, "post", json={"gap": "skip"}).json()["skipped"] == 2
    assert ask(base, f"{at}/replay", every, "post", json={"types": ["entitlement.*"]}).json() == {"messages": 2}
    sent = ask(base, f"{at}/deliveries?limit=1&state=pending", every).json()
    assert (len(sent["items"]), sent["next"] is None) == (1, False)
    last = ask(base, f"{at}/deliveries?limit=1&cursor={sent['next']}", every).json()
    assert (last["items"][0]["position"] < sent["items"][0]["position"], last["next"]) == (True, None)
    assert ask(base, f"{at}/rotate", every, "post", json={"overlap_hours": 1}).json()["secret"].startswith("whsec_")
    gone = ask(base, at, every, "delete")
    assert (gone.status_code, gone.content) == (204, b"")
    assert ask(base, at, every).status_code == 404


def test_a_hook_is_subscribed_sampled_and_unsubscribed_as_automation_tools_do(base: str, every: str) -> None:
    made = ask(base, "/hooks", every, "post", json={"target_url": "http://127.0.0.1:9/hook", "event": "entitlement.*"})
    assert (made.status_code, made.json()["event"]) == (201, "entitlement.*")
    of = ask(base, f"/endpoints/{made.json()['id']}", every).json()
    assert (of["types"], of["url"]) == (["entitlement.*"], "http://127.0.0.1:9/hook")
    listed = ask(base, "/events/samples?event=entitlement.*", every).json()
    assert len(listed) > 3
    assert all(one["id"] and one["type"].startswith("entitlement.") for one in listed)
    assert ask(base, f"/hooks/{made.json()['id']}", every, "delete").status_code == 204
    assert ask(base, f"/hooks/{made.json()['id']}", every, "delete").status_code == 404


def test_every_type_of_the_catalog_has_a_sample_for_hooks(base: str, every: str) -> None:
    for name in ("purchase.paid", "seat.denied", "usage.signal.changed", "*"):
        assert ask(base, f"/events/samples?event={name}", every).json(), name
    assert samples.verifiers()


# -- once


def count(hub: Hub, table: Any) -> int:
    with hub.store.read() as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def once(word: str) -> dict[str, str]:
    return {"Idempotency-Key": word}


NEW = {"url": "http://127.0.0.1:9/once"}


def test_a_call_with_the_same_key_is_done_once_and_answered_the_same(hub: Hub, base: str, every: str) -> None:
    before = count(hub, endpoint)
    first = ask(base, "/endpoints", every, "post", json=NEW, headers=once("one"))
    again = ask(base, "/endpoints", every, "post", json=NEW, headers=once("one"))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert count(hub, endpoint) == before + 1
    with hub.store.read() as conn:
        assert first.json()["secret"] not in repr(conn.execute(select(api_call)).all())


def test_a_key_that_comes_with_another_call_is_refused_and_another_s_key_is_another(
    hub: Hub, base: str, every: str
) -> None:
    ask(base, "/endpoints", every, "post", json=NEW, headers=once("two"))
    for body, path in (({"url": "http://127.0.0.1:9/other"}, "/endpoints"), ({"purchase": LIFE}, "/looks")):
        answer = ask(base, path, every, "post", json=body, headers=once("two"))
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    mine = ask(base, "/endpoints", key(hub, "endpoints:write"), "post", json=NEW, headers=once("two"))
    assert (mine.status_code, mine.headers.get("Idempotent-Replayed")) == (201, None)


def test_a_refusal_is_answered_the_same_and_a_call_that_could_not_be_read_is_not_kept(base: str, every: str) -> None:
    for _ in range(2):
        refused = ask(base, "/endpoints", every, "post", json={"url": "https://10.0.0.1/"}, headers=once("three"))
        assert refused.status_code == 400
    assert refused.headers["Idempotent-Replayed"] == "true"
    assert ask(base, "/endpoints", every, "post", json={}, headers=once("four")).status_code == 400
    assert ask(base, "/endpoints", every, "post", json=NEW, headers=once("four")).status_code == 201


def test_of_many_calls_with_one_key_at_once_one_is_done(hub: Hub, base: str, every: str) -> None:
    before, found = count(hub, endpoint), []

    def call() -> None:
        found.append(ask(base, "/endpoints", every, "post", json=NEW, headers=once("five")))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert count(hub, endpoint) == before + 1
    assert {one.status_code for one in found} <= {201, 409}
    assert all("Retry-After" in one.headers for one in found if one.status_code == 409)


def test_a_call_whose_process_died_is_under_way_until_its_lease_ends_and_is_then_done_once(
    hub: Hub, base: str, every: str
) -> None:
    """As the record is left by a process that dies between its act and its answer."""
    first = ask(base, "/endpoints", every, "post", json=NEW, headers=once("six")).json()
    died = update(api_call).where(api_call.c.key == "six").values(status=None, answer=None, until=db_now() + 60)
    hub.store.write(lambda conn: conn.execute(died))
    before = count(hub, endpoint)
    assert ask(base, "/endpoints", every, "post", json=NEW, headers=once("six")).status_code == 409
    hub.store.write(lambda conn: conn.execute(died.values(until=db_now() - 1)))
    again = ask(base, "/endpoints", every, "post", json=NEW, headers=once("six"))
    assert (again.status_code, again.json()) == (201, first)
    assert count(hub, endpoint) == before


def test_whoever_slept_over_its_lease_does_not_write_over_the_next_answer(store: Store) -> None:
    begun = store.write(lambda conn: calls.begin(conn, "p", "k", "f"))
    late = update(api_call).where(api_call.c.prefix == "p").values(until=db_now() - 1)
    store.write(lambda conn: conn.execute(late))
    taken = store.write(lambda conn: calls.begin(conn, "p", "k", "f"))
    assert (begun, taken) == (calls.Begun(fence=1), calls.Begun(fence=2))
    store.write(lambda conn: calls.end(conn, "p", "k", 2, 200, "new"))
    store.write(lambda conn: calls.end(conn, "p", "k", 1, 500, "old"))
    store.write(lambda conn: calls.forget(conn, "p", "k", 1))
    assert store.write(lambda conn: calls.begin(conn, "p", "k", "f")) == calls.Done(status=200, answer="new")


def test_after_a_day_a_key_is_new_again(store: Store) -> None:
    store.write(lambda conn: calls.begin(conn, "q", "k", "f"))
    old = update(api_call).where(api_call.c.prefix == "q").values(at=db_now() - calls.KEPT_S - 1)
    store.write(lambda conn: conn.execute(old))
    assert store.write(lambda conn: calls.begin(conn, "q", "k", "another")) == calls.Begun(fence=1)


# -- the document


def test_every_route_is_in_the_openapi_document_and_no_other(hub: Hub, base: str) -> None:
    told = {
        (method.upper(), path)
        for path, methods in ask(base, "/openapi.json").json()["paths"].items()
        for method in methods
    }
    served_ones = {
        (method, re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(hub).url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert told == served_ones


def test_every_answer_of_a_record_with_a_life_in_it_is_one_that_the_document_tells_of(base: str, every: str) -> None:
    names = {"purchase": LIFE, "entitlement": "ent_1", "customer": "cust_1", "receipt": "1"}
    for route in ROUTES:
        if not route.writes:
            answer = ask(base, filled(route, **names), every)
            assert answer.status_code in {200, 404}, (route.name, answer.text)
            conforms(route, answer)


def test_every_scope_opens_something_and_every_route_s_scope_can_be_given() -> None:
    assert {one.scope for one in ROUTES} - {None, ""} == set(SCOPES)


def test_the_command_line_prints_the_same_document_without_a_configuration() -> None:
    from click.testing import CliRunner

    from hub.cli import main

    told = CliRunner(env={"HUB_CONFIG": "/nowhere/hub.toml"}).invoke(main, ["api", "openapi"])
    assert told.exit_code == 0
    assert json.loads(told.stdout) == json.loads(json.dumps(DOCUMENT))
