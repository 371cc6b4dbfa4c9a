"""The door over real HTTP: every answer that it gives, and that a 2xx means kept. `hub web` as a process of its own."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from sqlalchemy import select

from hub.bell import Bell
from hub.runtime import EmbeddedRedis, wait_for_port
from hub.store import Store
from hub.store.schema import receipt, review, subject
from hub.web.gateway import TooLargeError, read_body
from hub.web.receiver import FailureBudget
from tests.factories import a_signature, an_event
from tests.hub.doors import Answer, Door, a_config, a_door, running
from tests.records import upgrade
from tests.world import SECRET

LIMIT = 256 * 1024
_numbers = count()


def event(type_: str = "customer.subscription.updated", **values: Any) -> bytes:
    """An event that nobody has posted yet."""
    return an_event(f"evt_{next(_numbers)}_{time.time_ns()}", type_, **values)


def id_of(body: bytes) -> str:
    return str(json.loads(body)["id"])


def rows(door: Door, external_id: str) -> list[Any]:
    with door.store.read() as conn:
        return list(conn.execute(select(receipt).where(receipt.c.external_id.startswith(external_id))).all())


def dead_rows(door: Door, body: bytes) -> list[Any]:
    with door.store.read() as conn:
        return list(conn.execute(select(receipt).where(receipt.c.body == body)).all())


def problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.body)
    assert told["status"] == answer.status
    return told


# taken


def test_I1_a_2xx_means_kept_byte_for_byte_and_due(door: Door) -> None:
    body = event(data={"object": {"id": "sub_kept", "object": "subscription"}})
    answer = door.post(body, User_Agent="Stripe/1.0", Content_Type="application/json")
    assert (answer.status, answer.body) == (200, b"ok\n")
    (row,) = rows(door, id_of(body))
    assert (bytes(row.body), row.outcome, row.subject) == (body, "accepted", "stripe/subscription/sub_kept")
    assert json.loads(row.headers) == {"content-type": "application/json", "user-agent": "Stripe/1.0"}
    assert row.received_at == pytest.approx(time.time(), abs=10)
    with door.store.read() as conn:
        assert conn.execute(select(subject.c.state).where(subject.c.ref == row.subject)).scalar_one() == "due"


def test_a_chunked_body_is_taken_too(door: Door) -> None:
    body = event()
    assert door.post(body, chunked=True).status == 200
    assert len(rows(door, id_of(body))) == 1


def test_a_body_of_exactly_the_limit_is_taken(door: Door) -> None:
    bare = event(padding="")
    body = bare.replace(b'"padding": ""', b'"padding": "' + b"x" * (LIMIT - len(bare)) + b'"')
    assert len(body) == LIMIT
    assert door.post(body).status == 200


def test_an_unknown_type_is_kept_as_ignored(door: Door) -> None:
    body = event("invented.by.nobody")
    assert door.post(body).status == 200
    (row,) = rows(door, id_of(body))
    assert (row.outcome, row.reason, row.subject) == ("ignored", "unknown type", None)


def test_an_event_of_the_other_mode_is_quarantined_and_shown(door: Door) -> None:
    body = event(livemode=False)
    assert door.post(body).status == 200
    (row,) = rows(door, id_of(body))
    assert row.outcome == "quarantined"
    assert "livemode" in row.reason
    assert "quarantined:stripe" in reviews(door)


def test_an_event_of_another_account_is_quarantined(door: Door) -> None:
    body = event(account="acct_1")
    assert door.post(body).status == 200
    assert rows(door, id_of(body))[0].outcome == "quarantined"


def reviews(door: Door) -> set[str]:
    with door.store.read() as conn:
        return set(conn.execute(select(review.c.key).where(review.c.open)).scalars())


# unreadable

BOMBS = {
    "nested": b'{"id":' + b"[" * 200_000,
    "nested and closed": b"[" * 100_000 + b"]" * 100_000,
    "long number": b'{"id":' + b"9" * 5_000 + b"}",
    "infinite": b'{"id":1e999}',
    "not a number": b'{"id":NaN}',
    "infinity": b'{"id":-Infinity}',
    "many values": b'{"id":[' + b"0," * 60_000 + b"0]}",
    "no JSON": b"<xml/>",
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "no id": b'{"type":"invoice.paid"}',
    "an id of another kind": b'{"id":7,"type":"invoice.paid","created":1}',
    "a key twice": b'{"id":"evt_1","id":"evt_2","type":"invoice.paid","created":1}',
    "a key twice inside": b'{"id":"evt_1","type":"invoice.paid","created":1,"data":{"object":{"id":1,"id":2}}}',
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_S08_and_S09_what_is_signed_but_unreadable_is_kept_as_dead(door: Door, body: bytes) -> None:
    answer = door.post(body)
    assert answer.status == 200
    (row,) = dead_rows(door, body)
    assert (row.outcome, row.type, row.subject) == ("dead", "unreadable", None)
    assert row.reason.startswith("unreadable: ")
    assert "dead:stripe" in reviews(door)


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_S08_an_unsigned_bomb_is_not_even_parsed(door: Door, body: bytes) -> None:
    assert door.post(body, "t=1,v1=" + "0" * 64).status == 401


def test_S04_an_unreadable_body_that_comes_again_is_counted(door: Door) -> None:
    body = b'{"again": ' + str(time.time_ns()).encode()
    assert [door.post(body).status for _ in range(3)] == [200] * 3
    (row,) = dead_rows(door, body)
    assert row.duplicates == 2


# not verified


def signature(body: bytes, at: float = 0, secret: str = SECRET) -> str:
    return a_signature(body, secret, time.time() + at)


FORGED = {
    "absent": lambda _: None,
    "empty": lambda _: "",
    "another secret": lambda body: signature(body, secret="whsec_other"),
    "of another body": lambda body: signature(body + b" "),
    "older than 300 s": lambda body: signature(body, -305),
    "61 s ahead": lambda body: signature(body, 65),
    "no time": lambda body: signature(body).split(",")[1],
    "no v1": lambda body: signature(body).replace("v1=", "v0="),
    "doubled": lambda body: f"{signature(body)},{signature(body)}",
    "blank": lambda _: " ",
    "junk": lambda _: "t=x,v1=y",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_S01_and_S04_what_is_not_proven_is_refused_without_detail(door: Door, forge: Any) -> None:
    body = event()
    answer = door.post(body, forge(body))
    assert problem(answer)["detail"] == "the request is not proven to come from the vendor"
    assert answer.status == 401
    assert rows(door, id_of(body)) == []


@pytest.mark.parametrize("at", [-290, 50])
def test_S04_a_signature_within_the_tolerance_passes(door: Door, at: float) -> None:
    body = event()
    assert door.post(body, signature(body, at)).status == 200


def test_S01_two_signature_headers_are_refused_although_both_are_good(door: Door) -> None:
    body = event()
    good = signature(body).encode()
    request = b"".join([
        b"POST /webhooks/stripe HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n",
        b"Stripe-Signature: " + good + b"\r\nStripe-Signature: " + good + b"\r\n",
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body,
    ])  # fmt: skip
    assert status_of(door.raw(request)) in {400, 401}
    assert rows(door, id_of(body)) == []


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


@pytest.mark.parametrize("path", ["nobody", "Zentitle", "Stripe", "stripe%00", "..%2fstripe", "x" * 3000])
def test_S02_a_connection_that_takes_no_webhooks_is_not_found(door: Door, path: str) -> None:
    answer = door.post(event(), to=f"/webhooks/{path}")
    assert answer.status == 404
    problem(answer)


def test_a_body_whose_key_can_not_be_read_now_is_asked_for_again(door: Door) -> None:
    answer = door.post(b"{}", None, to="/webhooks/zentitle", N_Signature=base64.b64encode(b"x" * 256).decode())
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    problem(answer)


def test_a_connection_is_asked_for_by_post_alone(door: Door) -> None:
    assert door.get("/webhooks/stripe").status == 405


# too large, encoded, slow


def test_S06_a_declared_length_over_the_limit_is_refused_before_it_is_read(door: Door) -> None:
    head = f"POST /webhooks/stripe HTTP/1.1\r\nHost: hub\r\nContent-Length: {LIMIT + 1}\r\nConnection: close\r\n\r\n"
    assert status_of(door.raw(head.encode(), wait_s=5)) == 413


def test_S06_a_chunked_body_over_the_limit_is_refused(door: Door) -> None:
    body = event(padding="x" * LIMIT)
    with suppress(BrokenPipeError, ConnectionResetError):  # answered and closed before all of it was sent
        assert door.post(body, chunked=True).status == 413
    assert rows(door, id_of(body)) == []


def test_S06_a_body_over_the_limit_is_refused_signed_or_not(door: Door) -> None:
    for signed in ("good", None):
        assert door.post(b"x" * (LIMIT + 1), signed).status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip", "x"])
def test_S07_an_encoded_body_is_refused(door: Door, encoding: str) -> None:
    assert door.post(gzip.compress(b"\0" * 10_000_000), Content_Encoding=encoding).status == 415


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_S07_a_body_that_says_it_is_as_it_is_passes(door: Door, encoding: str) -> None:
    assert door.post(event(), Content_Encoding=encoding).status == 200


class Parts:
    """A body that comes in parts, as the server gives it."""

    def __init__(self, body: bytes, step: int) -> None:
        self.body, self.step = body, step

    async def __aiter__(self):
        for start in range(0, len(self.body), self.step):
            yield self.body[start : start + self.step]


@pytest.mark.parametrize(("size", "step"), [(0, 10), (9, 4), (10, 10), (10, 3)])
def test_a_body_up_to_the_limit_is_read_whole_in_whatever_pieces(size: int, step: int) -> None:
    assert asyncio.run(read_body(Parts(b"x" * size, step), 10)) == b"x" * size


def test_a_body_over_the_limit_is_told() -> None:
    with pytest.raises(TooLargeError):
        asyncio.run(read_body(Parts(b"x" * 11, 4), 10))


SLOW = b"POST /webhooks/stripe HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"


def test_S06_a_body_that_never_comes_is_408_in_time_and_others_are_answered_meanwhile_and_after(
    tmp_path: Path,
) -> None:
    """Twenty slow senders, more than there are threads: nobody else notices, while they wait and once they were told."""
    with a_door(tmp_path) as door, ExitStack() as stack:
        slow = [stack.enter_context(door.socket(20)) for _ in range(20)]
        for sock in slow:
            sock.sendall(SLOW)
        began = time.monotonic()
        time.sleep(0.5)
        assert healthy(door), "nobody is answered while slow bodies are waited for"
        assert status_of(slow[0].recv(4096)) == 408
        assert time.monotonic() - began < 15
        assert healthy(door), "nobody is answered after a slow body was given up"


def test_S06_one_slow_sender_that_was_told_408_does_not_stop_the_door(tmp_path: Path) -> None:
    with a_door(tmp_path) as door, door.socket(20) as sock:
        sock.sendall(SLOW)
        assert status_of(sock.recv(4096)) == 408
        assert healthy(door)


def healthy(door: Door) -> bool:
    """Whether somebody else is answered within seconds."""
    connection = HTTPConnection("127.0.0.1", door.port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


# floods


def test_S25_more_than_twenty_failures_a_second_are_slowed_down_and_the_verified_are_not(door: Door) -> None:
    sender, answers = "127.9.9.9", []
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: door.post(b"{}", "junk", sender=sender), range(120)))
        verified = list(pool.map(lambda _: door.post(event(), sender=sender).status, range(40)))
    refused = [one for one in answers if one.status == 429]
    assert refused
    assert all(one.headers["retry-after"] == "1" for one in refused)
    assert {one.status for one in answers} == {401, 429}
    assert verified == [200] * 40


def test_S25_the_budget_is_each_address_s_own_and_a_new_one_each_second() -> None:
    budget = FailureBudget(per_s=2)
    assert [budget.spent("a", 10.0) for _ in range(3)] == [False, False, True]
    assert budget.spent("b", 10.9) is False
    assert budget.spent("a", 11.0) is False


def test_S28_a_forwarded_address_is_not_believed(door: Door) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: door.post(b"{}", "junk", sender="127.9.9.10", X_Forwarded_For=f"10.0.0.{n}").status,
                range(120),
            )
        )
    assert 429 in answers


# the record away


def test_I1_a_record_that_can_not_be_written_is_503_and_the_next_try_is_kept(door: Door) -> None:
    body = event()
    other = sqlite3.connect(door.config.parent / "hub.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        away = door.post(body)
        ready = door.get("/readyz")
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (away.status, away.headers["retry-after"].isdigit()) == (503, True)
    assert problem(away)["detail"] == "not recorded, send it again"
    assert ready.status == 503
    assert door.post(body).status == 200
    assert len(rows(door, id_of(body))) == 1


# the same again, at once


def keep_posting(door: Door, bodies: list[bytes]) -> list[int]:
    """The statuses of these, posted over one connection."""
    connection: HTTPConnection = door.connect()
    statuses = []
    for body in bodies:
        connection.request("POST", "/webhooks/stripe", body, {"Stripe-Signature": signature(body)})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    return statuses


def test_I2_fifty_threads_that_post_the_same_event_get_fifty_2xx_and_one_row(door: Door) -> None:
    body = event()
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: door.post(body).status, range(50)))
    assert statuses == [200] * 50
    (row,) = rows(door, id_of(body))
    assert row.duplicates == 49


def test_F17_a_thousand_parallel_posts_of_a_hundred_events_make_a_hundred_rows(door: Door) -> None:
    bodies = [event(data={"object": {"id": f"sub_f17_{number}", "object": "subscription"}}) for number in range(100)]
    began = time.time()
    with ThreadPoolExecutor(50) as pool:
        statuses = [
            status for each in pool.map(lambda n: keep_posting(door, bodies[n % 5 :: 5]), range(50)) for status in each
        ]
    assert statuses == [200] * 1000
    with door.store.read() as conn:
        kept = conn.execute(
            select(receipt.c.external_id, receipt.c.duplicates).where(receipt.c.received_at >= began - 1)
        ).all()
    mine = [row for row in kept if row.external_id in set(map(id_of, bodies))]
    assert (len(mine), sum(row.duplicates for row in mine)) == (100, 900)


@pytest.mark.parametrize(
    "changes",
    [{"type_": "invoice.paid"}, {"created": 1}, {"data": {"object": {"id": "sub_2", "object": "subscription"}}}],
)
def test_I2_another_fact_under_a_known_id_is_kept_as_a_conflict_and_the_first_stands(
    door: Door, changes: dict[str, Any]
) -> None:
    first = event()
    other = an_event(id_of(first), **changes)
    assert [door.post(body).status for body in (first, other, other)] == [200] * 3
    kept = {row.outcome: row for row in rows(door, id_of(first))}
    assert set(kept) == {"accepted", "conflict"}
    assert bytes(kept["accepted"].body) == first
    assert bytes(kept["conflict"].body) == other
    assert f"conflict:stripe:{id_of(first)}" in reviews(door)


def test_I2_a_redelivery_with_other_counters_is_a_duplicate(door: Door) -> None:
    body = event(pending_webhooks=2)
    again = body.replace(b'"pending_webhooks": 2', b'"pending_webhooks": 1')
    assert [door.post(one).status for one in (body, again)] == [200, 200]
    (row,) = rows(door, id_of(body))
    assert (row.outcome, row.duplicates) == ("accepted", 1)


# on the wire


def chunked(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def request(body: bytes, *headers: str, signed: bytes | None = None) -> bytes:
    """A request with these headers, whose signature is of `signed`."""
    head = ["POST /webhooks/stripe HTTP/1.1", "Host: hub", "Connection: close", *headers]
    head.append(f"Stripe-Signature: {signature(body if signed is None else signed)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_S28_a_length_beside_a_transfer_encoding_never_counts(door: Door) -> None:
    body = event()
    sent = chunked(body)
    for length in (len(body), 5, 0):
        headers = (f"Content-Length: {length}", "Transfer-Encoding: chunked")
        by_chunks = door.raw(request(sent, *headers, signed=body))
        assert status_of(by_chunks) in {200, 400}
        assert by_chunks.count(b"HTTP/1.1 ") == 1
        by_length = door.raw(request(sent, *headers, signed=sent[:length]))
        assert status_of(by_length) in {400, 401}


def test_S28_what_follows_a_body_is_not_part_of_it(door: Door) -> None:
    body = event()
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"
    answer = door.raw(request(chunked(body) + smuggled, "Content-Length: 0", "Transfer-Encoding: chunked", signed=body))
    assert status_of(answer) in {200, 400}
    assert b"alive" not in answer  # the connection was to be closed after the first


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: -1",),
        ("Content-Length: +2",),
        ("Content-Length: 2, 3",),
        ("Content-Length: 0x2",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length : 2",),
    ],
    ids=" + ".join,
)
def test_S28_a_length_that_is_not_plain_is_refused(door: Door, headers: tuple[str, ...]) -> None:
    answer = door.raw(request(b"{}", *headers), wait_s=3)
    assert answer == b"" or 400 <= status_of(answer) < 500
    assert answer.count(b"HTTP/1.1 ") <= 1


BROKEN = [
    b"x\r\n{}\r\n0\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}0\r\n\r\n",
    b"3\r\n{}\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n{}",
]


@pytest.mark.parametrize("sent", BROKEN)
def test_S28_broken_chunks_are_never_taken(door: Door, sent: bytes) -> None:
    answer = door.raw(request(sent, "Transfer-Encoding: chunked"), wait_s=3)
    assert answer == b"" or status_of(answer) >= 400


@pytest.mark.parametrize("part", ["head", "body", "answer"])
def test_a_sender_that_leaves_at_any_moment_leaves_nothing_behind_and_the_door_open(tmp_path: Path, part: str) -> None:
    with a_door(tmp_path) as door:
        body = event()
        sent = request(body, f"Content-Length: {len(body)}")
        for _ in range(5):
            with door.socket() as sock:
                sock.sendall({"head": sent[:60], "body": sent[:-5], "answer": sent}[part])
        time.sleep(0.5)
        assert door.process.poll() is None, "the receiver ended"
        assert len(rows(door, id_of(body))) == (1 if part == "answer" else 0)
        assert door.post(event()).status == 200


# probes, and what is told


def test_the_probes_say_alive_ready_and_what_is_degraded(door: Door) -> None:
    assert json.loads(door.get("/healthz").body) == {"status": "alive"}
    assert json.loads(door.get("/readyz").body) == {"status": "ready", "degraded": ["redis"]}


def test_the_metrics_count_what_was_received_and_refused(door: Door) -> None:
    door.post(event())  # something is due
    door.post(event("invented.by.nobody"))
    door.post(b"{}", "junk")
    told = door.get("/metrics").body.decode()
    for name in ('hub_received_total{connection="stripe",outcome="ignored"}', 'reason="malformed signature"'):
        assert name in told
    for gauge in ("hub_subjects", "hub_oldest_due_seconds", "hub_unknown_creates", "hub_leases", "hub_reviews_open"):
        assert f"\n{gauge}" in told


def test_S15_the_log_of_the_receiver_holds_no_secret_signature_or_address(door: Door) -> None:
    body = event(data={"object": {"id": "sub_1", "customer_email": "canary@example.com"}})
    door.post(body)
    door.post(body, signature(body, secret="whsec_other"))
    door.post(b'{"canary@example.com')
    said = (door.config.parent / "web.log").read_text()
    assert "receipt.refused" in said
    for secret in (SECRET, "canary", "v1=", "sandbox-secret"):
        assert secret not in said


# stopping


def test_I10_a_receiver_that_is_asked_to_stop_answers_what_is_open_and_ends(tmp_path: Path) -> None:
    with a_door(tmp_path) as door, door.socket(15) as sock:
        body = event()
        sent = request(body, f"Content-Length: {len(body)}")
        sock.sendall(sent[:-10])
        time.sleep(0.3)
        door.process.terminate()
        began = time.monotonic()
        time.sleep(0.5)
        sock.sendall(sent[-10:])
        assert status_of(sock.recv(4096)) == 200
        assert door.process.wait(15) == 0
        assert time.monotonic() - began < 11
        assert len(rows(door, id_of(body))) == 1


# Redis carries no orders


class _Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_S31_a_forged_job_is_refused_whatever_function_it_names(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    process = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for_port(server.port, 10)
        with a_worker(tmp_path, server.url):
            forge_jobs(server.url, tmp_path)
            left = until_worked(server.url)
    finally:
        process.terminate()
        process.wait(10)
    assert left == 0
    assert sorted(one.name for one in tmp_path.glob("forged*")) == []
    said = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in said or "PermissionError" in said


def a_worker(folder: Path, url: str) -> Any:
    config = a_config(folder, redis=url)
    store = Store(f"sqlite:///{folder}/hub.sqlite")
    upgrade(store)
    store.close()
    return running(config, "worker")


def forge_jobs(url: str, folder: Path) -> None:
    """Jobs that would each make a file, and at last one of ours."""
    ours = Bell(url)
    strange = Queue("looks", connection=ours.redis())  # RQ's own way: pickles
    strange.enqueue("pathlib.Path.touch", Path(folder / "forged-1"))
    strange.enqueue("os.system", _Touch(str(folder / "forged-2")))
    for number, name in enumerate(("os.system", "subprocess.check_call", "hub.jobs.the_hub", "builtins.exec"), 3):
        ours.queue("looks").enqueue(name, f"touch {folder}/forged-{number}")
    ours.queue("looks").enqueue("hub.jobs.drain", f"touch {folder}/forged-9")
    assert ours.ring()
    ours.redis().close()


def until_worked(url: str, seconds: float = 30) -> int:
    """Waits until the queue is empty and nothing is at work; the jobs that are left."""
    client = redis.Redis.from_url(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end and client.llen("rq:queue:looks"):
        time.sleep(0.1)
    time.sleep(0.5)
    left = int(client.llen("rq:queue:looks"))
    client.close()
    return left
