"""The API for programs: keys and scopes on every route, the stream by position, endpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sqlalchemy import select, update

from hub import keys
from hub.errors import PermanentError
from hub.keys import SCOPES
from hub.store.migrate import upgrade
from hub.store.schema import api_key, audit, db_now
from hub.web import api
from hub.web.app import create_app
from hub.wiring import Hub
from tests.hub.browsing import served
from tests.hub.factory import a_hub
from tests.hub.test_deliver import tell


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = a_hub(f"sqlite:///{tmp_path_factory.mktemp('api')}/hub.sqlite")
    upgrade(made.store)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def base(hub: Hub) -> Iterator[str]:
    with served(hub) as address:
        yield f"{address}/api/v1"


def key(hub: Hub, *scopes: str, days: int | None = None) -> str:
    return keys.create(hub.store, "n8n", scopes, days, by="ida")


def ask(base: str, path: str, key_: str = "", method: str = "get", **kw: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key_}"} if key_ else {}
    return requests.request(method, base + path, headers=headers, timeout=15, **kw)


ROUTES = [
    (rule.endpoint, method, rule.rule.removeprefix("/api/v1").replace("<id_>", "ep_none"))
    for rule in create_app(a_hub("sqlite:///var/none.sqlite")).url_map.iter_rules()
    if rule.endpoint.startswith("api.")
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
]


@pytest.mark.parametrize(("name", "method", "path"), ROUTES)
def test_S18_every_route_wants_a_key_with_its_scope_and_no_other(
    hub: Hub, base: str, name: str, method: str, path: str
) -> None:
    if name in api.OPEN:
        assert ask(base, path, method=method).status_code == 200
        return
    time.sleep(0.05)  # more than 20 failures a second are told to slow down
    assert ask(base, path, method=method).status_code == 401
    for scope in SCOPES:
        status = ask(
            base, path, key(hub, scope), method, json={"ids": ["x"]} if path.endswith("replay") else {}
        ).status_code
        assert (status == 403) is (api.SCOPES[name] != scope), (scope, status)
        assert status < 500


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


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=501", "wait=1.5", "after=99999999", "after=%D9%A3"])
def test_a_question_that_can_t_be_answered_says_why(hub: Hub, base: str, query: str) -> None:
    answer = ask(base, f"/events?{query}", key(hub, "events:read"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert query.split("=", maxsplit=1)[0] in answer.json()["detail"]


def test_an_endpoint_that_may_not_be_is_refused_with_how_to_mend_it(hub: Hub, base: str) -> None:
    writer = key(hub, "endpoints:write")
    refused = ask(base, "/endpoints", writer, "post", json={"url": "https://127.0.0.1/x"})
    assert refused.status_code == 400
    assert "[outbound] allow" in refused.json()["detail"]
    for body in ({}, {"url": "https://a.example/", "nope": 1}, {"url": 5}, []):
        assert ask(base, "/endpoints", writer, "post", json=body).status_code == 400
    assert ask(base, "/endpoints/ep_none/disable", writer, "post").status_code == 404
    assert ask(base, "/endpoints/ep_none/replay", writer, "post", json={}).status_code == 400


def test_every_route_is_in_the_openapi_document_and_no_other(base: str) -> None:
    told = {
        (method.upper(), path.replace("/api/v1", "").replace("{id}", "ep_none"))
        for path, methods in ask(base, "/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert told == {(method, path) for name, method, path in ROUTES if name not in api.OPEN}
