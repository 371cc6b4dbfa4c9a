"""How many events a second the receiver takes: verified, committed once, then answered."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sqlalchemy import func, select

from bench.events import PER_SUBJECT, Answers, bodies, requests, send
from bench.place import DATABASES, Place, web
from bench.report import Row
from hub.runtime import free_port
from hub.store.schema import receipt
from hub.wiring import Hub

PATH = "/webhooks/stripe"
WARM_UP = 2000
ASK_PER_S, ASK_P99_MS = 3000.0, 30.0
BASELINE = "plain Flask route, one INSERT and commit each"


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Rates and 99th percentiles, on both databases."""
    count, rounds = (3000, 1) if quick else (10_000, 3)
    redis = here.redis()
    return [row for kind in DATABASES for row in _on(here, kind, redis, count, rounds)]


def _on(here: Place, kind: str, redis: str, count: int, rounds: int) -> list[Row]:
    hub = here.hub(here.database(kind), redis=redis)
    ours = web(here, hub)
    port = free_port()
    plain = here.start("plain", [sys.executable, "-m", "bench.plain", str(port), here.database(kind)], port=port)
    ports = (hub.settings.hub.port, port)
    for one in ports:
        _round(here, one, WARM_UP)
    pairs = [[_round(here, one, count) for one in ports] for _ in range(rounds)]
    _check_kept(hub, WARM_UP + rounds * count)
    here.stop(ours, plain)
    return _rows(kind, [mine for mine, _ in pairs], [theirs for _, theirs in pairs])


def _round(here: Place, port: int, count: int) -> Answers:
    return send(here, port, requests(PATH, ((0.0, body) for body in bodies(count))))


def _check_kept(hub: Hub, sent: int) -> None:
    """What was answered with 200 is in the record."""
    with hub.store.read() as conn:
        kept = conn.execute(select(func.count()).select_from(receipt)).scalar_one()
    hub.store.close()
    if kept != sent:
        raise RuntimeError(f"{sent} events were acknowledged, {kept} are in the record")


def _rows(kind: str, mine: Sequence[Answers], theirs: Sequence[Answers]) -> list[Row]:
    note = f"ingest: 64 connections, 2 KB events, {PER_SUBJECT} about one subscription; baseline: {BASELINE}"
    rate = Row(
        what="ingest",
        database=kind,
        unit="events/s",
        rounds=[one.per_s for one in mine],
        baseline="plain",
        baseline_rounds=[one.per_s for one in theirs],
        ask=ASK_PER_S,
        note=note,
    )
    tails = [
        Row(
            what=f"ingest {name}",
            database=kind,
            unit="ms",
            rounds=[getattr(one, f"{name}_ms") for one in mine],
            baseline="plain",
            baseline_rounds=[getattr(one, f"{name}_ms") for one in theirs],
            ask=ASK_P99_MS if (name, kind) == ("p99", "postgres") else None,
            at_most=True,
        )
        for name in ("p50", "p99")
    ]
    return [rate, *tails]
