"""The renewals board at 100,000 judged entitlements: pages as people get them, and what keeping its rows costs."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bench.place import DATABASES, Place
from bench.report import Row
from hub.collecting.portfolio import keep_board
from hub.store import Store
from hub.store import schema as t
from hub.store.seats import in_parts
from hub.usage.signal import Signal
from hub.web.app import create_app
from hub.wiring import Hub

PAGES = (
    *("/renewals", "/renewals?show=losing", "/renewals?sort=-value", "/renewals?sort=signal&show=changed"),
    "/portfolio",
    *("/renewals?owner=Owner+3", "/renewals?q=customer+12", "/renewals?sort=customer&after=ent_0000500"),
)
ASK_MS = 100.0


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Milliseconds of the slowest of a hundred pages in twenty (p95), over kinds of pages; seconds of a walk."""
    count, rounds = (2_000, 2) if quick else (100_000, 10)
    return [row for kind in DATABASES for row in _measured(here, kind, count, rounds)]


def _measured(here: Place, kind: str, count: int, rounds: int) -> list[Row]:
    hub = here.hub(here.database(kind))
    fill(hub.store, count)
    began = time.perf_counter()
    keep_board(hub.store)
    walked = time.perf_counter() - began
    if not hub.store.sqlite:  # as autovacuum does within a minute or two
        hub.store.write(lambda conn: conn.exec_driver_sql("ANALYZE"))
    took = sorted(_pages(hub, rounds))
    hub.store.close()
    what = f"renewals board, {count:,} judged entitlements"
    return [
        Row(
            what=f"{what}, p95 of a page",
            database=kind,
            unit="ms",
            rounds=[took[int(len(took) * 0.95)]],
            ask=ASK_MS,
            at_most=True,
            note=f"renewals board: {len(took)} pages of {len(PAGES)} kinds, rendered; half of the rows are due",
        ),
        Row(what=f"{what}, all rows made anew", database=kind, unit="s", rounds=[walked]),
    ]


def _pages(hub: Hub, rounds: int) -> list[float]:
    client = create_app(hub).test_client()
    for page in PAGES:  # templates are compiled
        _page(client, page)
    return [_page(client, page) for _ in range(rounds) for page in PAGES]


def _page(client: Any, page: str) -> float:
    began = time.perf_counter()
    answer = client.get(page)
    if answer.status_code != 200:
        raise RuntimeError(f"{page}: {answer.status}")
    return (time.perf_counter() - began) * 1000


def fill(store: Store, count: int) -> None:
    """A record with so many judged entitlements, a customer each two; half are due within 180 days."""
    rng, today = random.Random(4), datetime.now(UTC)
    for part in in_parts(range(count), 1000):
        store.write(lambda conn, part=part: _fill(conn, part, rng, today), timeout_s=60)  # type: ignore[misc]


def _fill(conn: Connection, numbers: range, rng: random.Random, today: datetime) -> None:
    tables: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (t.signal, t.entitlement, t.subject, t.grant, t.verdict, t.worth)
    }
    for n in numbers:
        for table, row in _rows_of(n, rng, today).items():
            tables[table].append(row)
    for table, several in tables.items():
        conn.execute(table.insert(), several)


def _rows_of(n: int, rng: random.Random, today: datetime) -> dict[Any, dict[str, Any]]:
    id_, ref, at = f"ent_{n:07}", f"stripe/subscription/sub_{n}", today.timestamp() - 3600
    ends = today + timedelta(days=rng.randrange(0, 360))
    told = today.date() - timedelta(days=rng.randrange(0, 300))
    signal = rng.choices(list(Signal), weights=(4, 3, 2, 70, 8, 4, 4, 5))[0].value
    seats = rng.randrange(5, 500)
    level = seats * rng.random()
    said = {"signal": signal, "since": told.isoformat(), "confidence": "high", "as_of": today.date().isoformat()}
    weeks = [[level, float(seats)]] * 53
    listed = {"seats": seats, "used": level, "used_before": level, "recommended_seats": seats, "weeks": weeks}
    sentence = "Use fell from 97 to 61 of 100 seats since about 12 May."
    judgement = {"judgement": {}, "sentence": sentence, "method": "bench", "revision": 1, "changed_at": at}
    owned = {"group_id": id_, "customer_id": f"cust_{n // 2}", "order_ref": f"stripe:sub_{n}", "subject": ref}
    body = {"body": {"perpetual": False}, "reasons": {}, "catalog_version": "", "read_at": at, "changed_at": at}
    name = f"Customer {n // 2}"
    state = {"connection": "stripe", "kind": "subscription", "state": "idle", "cause": "bench"}
    return {
        t.signal: {"entitlement": id_, **said, **listed, **judgement},
        t.entitlement: {
            "id": id_,
            "offering": "PRO-100",
            "enabled": True,
            "expires": ends.timestamp(),
            **owned,
            **body,
        },
        t.subject: {"ref": ref, **state, "customer_name": name, "created_at": at, "changed_at": at},
        t.grant: {
            "subject": ref,
            "line": "si_1",
            "entitlement": id_,
            "offering": "PRO-100",
            "paid_until": ends.isoformat(),
            "renews_days": 365,
        },
        t.verdict: {"entitlement": id_, "day": told.isoformat(), "signal": signal, "before": "steady", "sentence": ""},
        t.worth: {
            "entitlement": id_,
            "connection": "crm",
            "amount_minor": seats * 10_000,
            "currency": "USD",
            "owner": f"Owner {n % 12}",
            "read_at": at,
        },
    }
