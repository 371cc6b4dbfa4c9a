"""The door for activation codes, and posts of several events, through `hub web` as a process of its own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from connectors.fastspring.emulator import request_hash
from hub import references
from hub.store.schema import intent, receipt, subject
from tests.conformance import a_fastspring_event, a_fastspring_signature
from tests.hub import doors
from tests.hub.doors import Answer, Door

KEYS = ("an old key", "a key")
MORE = """
[connections.fastspring]
kind = "fastspring"
ref = "fs"
webhook_secrets = ["one"]
fulfillment_keys = ["an old key", "a key"]

[[catalog]]
fastspring = "pro"
sku = "PRO-100"
"""
SECRET = b"a secret of the tests, long enough for all of them"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Neither FastSpring nor Zentitle2 can be reached."""
    with doors.a_door(tmp_path_factory.mktemp("door"), more=MORE) as made:
        yield made


def ask(door: Door, *, key: str = "a key", kind: str = FORM, to: str = "fastspring", **form: str) -> Answer:
    signed = form | {"security_request_hash": request_hash(form, key)}
    return door.post(urlencode(signed).encode(), None, to=f"/fulfillment/{to}", Content_Type=kind)


def rows(door: Door, table: Any) -> list[Any]:
    with door.store.read() as conn:
        return list(conn.execute(select(table)).all())


@pytest.mark.parametrize("key", KEYS)
def test_the_code_is_told_from_the_record_alone_and_kept(door: Door, key: str) -> None:
    answer = ask(door, key=key, product="pro", order="o1", subscription="s1", email="ada@example.com")
    code = references.activation_code(SECRET, "fs:s1")
    assert (answer.status, answer.body.decode()) == (200, f"{code}\n")
    assert answer.headers["content-type"].startswith("text/plain")
    (kept,) = [row for row in rows(door, intent) if row.key == "fs:s1"]
    assert (kept.activation_code, kept.open, kept.tries) == (code, False, 0)
    (due,) = [row for row in rows(door, subject) if row.ref == "fastspring/subscription/s1"]
    assert due.state == "due"
    asked = [row for row in rows(door, receipt) if row.type == "fulfillment.requested" and row.subject == due.ref]
    assert len(asked) == 1


def test_a_code_once_told_survives_a_changed_secret(door: Door) -> None:
    ask(door, product="pro", order="o2")
    with sqlite3.connect(door.config.parent / "hub.sqlite") as conn:
        conn.execute("UPDATE intent SET activation_code = 'OLDER-OLDER-OLDER-OLDER' WHERE key = 'fs:o2'")
    assert ask(door, product="pro", order="o2").body == b"OLDER-OLDER-OLDER-OLDER\n"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"key": "another"}, 401),
        ({"kind": "application/json"}, 422),
        ({"to": "stripe"}, 404),
        ({"to": "nobody"}, 404),
        ({"order": ""}, 422),
        ({"test": "perhaps"}, 422),
        ({"test": "true"}, 422),
        ({"product": "hat"}, 503),  # without a row Zentitle2 would have to be asked
    ],
)
def test_every_other_answer_is_no_code(door: Door, values: dict[str, str], status: int) -> None:
    answer = ask(door, **({"product": "pro", "order": "o3"} | values))
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/plain")
    assert not [row for row in rows(door, intent) if row.key == "fs:o3"]


def test_S02_an_altered_form_fails(door: Door) -> None:
    form = {"product": "pro", "order": "o4", "security_request_hash": ""}
    form["security_request_hash"] = request_hash({"product": "pro", "order": "o4"}, "a key")
    for altered in ({"order": "o5"}, {"email": "x"}, {"security_request_hash": form["security_request_hash"][:-1]}):
        body = urlencode(form | altered).encode()
        assert door.post(body, None, to="/fulfillment/fastspring", Content_Type=FORM).status == 401
    doubled = urlencode(form).encode() + b"&order=o5"
    assert door.post(doubled, None, to="/fulfillment/fastspring", Content_Type=FORM).status == 422


def test_a_form_over_the_limit_is_refused(door: Door) -> None:
    assert door.post(b"a=" + b"x" * 300_000, None, to="/fulfillment/fastspring", Content_Type=FORM).status == 413


def test_a_post_of_events_is_acknowledged_as_far_as_it_could_be_recorded(door: Door) -> None:
    events = [
        json.loads(a_fastspring_event(f"e{number}", type_, subscription=f"s{number}"))["events"][0]
        for number, type_ in enumerate(["subscription.updated", "subscription.paused", "account.created"], 1)
    ]
    body = json.dumps({"events": events}).encode()
    headers = {"X_FS_Signature": a_fastspring_signature(body, "one")}
    with sqlite3.connect(door.config.parent / "hub.sqlite") as conn:
        conn.execute(
            "CREATE TRIGGER full BEFORE INSERT ON receipt WHEN NEW.external_id = 'e2'"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    part = door.post(body, None, to="/webhooks/fastspring", **headers)
    assert (part.status, part.body) == (202, b"e1\ne3\n")
    with sqlite3.connect(door.config.parent / "hub.sqlite") as conn:
        conn.execute("DROP TRIGGER full")
    whole = door.post(body, None, to="/webhooks/fastspring", **headers)
    assert (whole.status, whole.body) == (200, b"ok\n")
    kept = {
        row.external_id: (row.outcome, row.duplicates) for row in rows(door, receipt) if row.external_id in "e1e2e3"
    }
    assert kept == {"e1": ("accepted", 1), "e2": ("accepted", 0), "e3": ("ignored", 1)}
    assert [json.loads(row.body) for row in rows(door, receipt) if row.external_id == "e2"] == [events[1]]


def test_an_event_that_can_t_be_read_is_kept_and_takes_no_other_with_it(door: Door) -> None:
    good = json.loads(a_fastspring_event("e8", "subscription.updated", subscription="s8"))["events"][0]
    body = json.dumps({"events": [good, {"id": "e9"}]}).encode()
    answer = door.post(body, None, to="/webhooks/fastspring", X_FS_Signature=a_fastspring_signature(body, "one"))
    assert answer.status == 200
    told = {row.type: row.outcome for row in rows(door, receipt) if row.external_id == "e8" or row.outcome == "dead"}
    assert told == {"subscription.updated": "accepted", "unreadable": "dead"}
