"""The receiver's baseline: a plain Flask route under the same server, one INSERT and one commit a request.

    python -m bench.plain PORT DATABASE_URL

It does what such a route has to do: check the signature, read the JSON, keep the event once, durably.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from granian import Granian
from granian.constants import Interfaces

from bench.place import WEBHOOK_SECRET
from connectors.stripe.webhook import verify
from hub import runtime

Insert = Callable[[str, bytes], None]
_TABLE = "CREATE TABLE IF NOT EXISTS plain (id TEXT PRIMARY KEY, received_at FLOAT NOT NULL, body {blob} NOT NULL)"
_local = threading.local()


def app() -> Flask:
    """What the server loads."""
    runtime.die_with_parent()
    insert = _inserter(os.environ["BENCH_DATABASE"])
    made = Flask(__name__)

    @made.post("/webhooks/stripe")
    def receive() -> Response:
        body = request.get_data()
        verify(body, request.headers.get("Stripe-Signature"), [WEBHOOK_SECRET.encode()], time.time())
        insert(json.loads(body)["id"], body)
        return Response("ok\n", content_type="text/plain")

    return made


def _inserter(url: str) -> Insert:
    connect, mark, blob = (_sqlite, "?", "BLOB") if url.startswith("sqlite") else (_postgres, "%s", "BYTEA")
    statement = f"INSERT INTO plain VALUES ({mark}, {mark}, {mark}) ON CONFLICT DO NOTHING"
    connect(url).execute(_TABLE.format(blob=blob))

    def insert(id_: str, body: bytes) -> None:
        if not hasattr(_local, "conn"):
            _local.conn = connect(url)  # one a thread, kept
        _local.conn.execute(statement, (id_, time.time(), body))

    return insert


def _sqlite(url: str) -> Any:
    conn = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    return conn


def _postgres(url: str) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True)


def main() -> None:
    """See the module."""
    os.environ["BENCH_DATABASE"] = sys.argv[2]
    Granian(
        "bench.plain:app",
        factory=True,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=16,
        backpressure=256,
        websockets=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    main()
