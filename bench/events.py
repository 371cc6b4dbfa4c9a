"""Stripe events to send: made, signed and put into HTTP requests before any clock starts."""

from __future__ import annotations

import json
import pickle
import secrets
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.load import Request
from bench.place import WEBHOOK_SECRET, Place
from connectors.stripe.emulator_webhooks import signature

SIZE = 2048
PER_SUBJECT = 10  # one checkout raises some ten events


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What came of a load."""

    per_s: float
    seconds: float
    p50_ms: float
    p99_ms: float
    count: int


def bodies(count: int, per_subject: int = PER_SUBJECT) -> list[bytes]:
    """Events of 2 KB, each with an id of its own, `per_subject` of them about one subscription."""
    run = secrets.token_hex(4)
    return [_body(run, number, per_subject) for number in range(count)]


def _body(run: str, number: int, per_subject: int) -> bytes:
    subscription = f"sub_{run}{number // per_subject:010}"
    event = {
        "id": f"evt_{run}{number:012}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": int(time.time()),
        "data": {
            "object": {
                "id": subscription,
                "object": "subscription",
                "customer": f"cus_{run}{number // per_subject:010}",
                "status": "active",
                "items": {"object": "list", "data": [{"id": f"si_{run}", "quantity": 8}]},
                "metadata": {},
            },
            "previous_attributes": {"quantity": 5},
        },
        "livemode": True,
        "pending_webhooks": 1,
        "type": "customer.subscription.updated",
    }
    lines = [f"{number:x}" * 8 for number in range(10)]
    event["data"]["object"]["metadata"] = {f"field_{at}": text for at, text in enumerate(lines)}  # type: ignore[index]
    missing = SIZE - len(json.dumps(event)) - len(', "description": ""')
    event["data"]["object"]["description"] = "x" * max(0, missing)  # type: ignore[index]
    return json.dumps(event).encode()


def requests(path: str, events: Iterable[tuple[float, bytes]]) -> list[Request]:
    """HTTP requests, signed now (a signature is good for 300 s)."""
    now = int(time.time())
    return [(at, _request(path, body, now)) for at, body in events]


def _request(path: str, body: bytes, now: int) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n"
        f"Stripe-Signature: {signature(body, WEBHOOK_SECRET, now)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(here: Place, port: int, wanted: Sequence[Request], connections: int = 64) -> Answers:
    """Sends all of it from a process of its own; RuntimeError unless every answer is a 200."""
    file = here.folder / "load.pickle"
    file.write_bytes(pickle.dumps(wanted))
    told = here.run("bench.load", str(port), str(file), str(connections))
    if set(told["statuses"]) != {"200"}:
        raise RuntimeError(f"not every event was taken: {told['statuses']}")
    times = sorted(told["latencies_ms"])
    return Answers(
        per_s=len(times) / told["seconds"],
        seconds=told["seconds"],
        p50_ms=statistics.median(times),
        p99_ms=times[int(len(times) * 0.99)],
        count=len(times),
    )
