"""From receipt to license: real processes, emulated vendors that answer in 5 ms, everything on the same cores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from bench import naive
from bench.events import requests, send
from bench.ingest import PATH
from bench.place import DATABASES, Place, until
from bench.report import Row
from bench.vendors import LATENCY_S, Sale, Vendors
from hub import runtime
from hub.runtime import Process
from hub.store import subjects
from hub.wiring import Hub

ASK_PER_S, ASK_P95_S = 100.0, 1.0
PACE_PER_S = 50
PATIENCE_S = 120
# Both times are of this machine's clock: a receipt's is taken when its body was read, a snapshot's when it is stored.
_TIMES = text(
    "SELECT r.subject, r.first, e.changed_at FROM "
    "(SELECT subject, min(received_at) AS first FROM receipt WHERE outcome = 'accepted' GROUP BY subject) r "
    "JOIN entitlement e ON e.subject = r.subject"
)
_LICENSED = text("SELECT count(*) FROM entitlement")
_SWEPT = text("SELECT count(*) FROM cursor WHERE name = 'changes:stripe'")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A hub up among its vendors."""

    hub: Hub
    vendors: Vendors
    processes: tuple[Process, ...]
    redis: str


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Sustained rates and latencies at a steady pace, on both databases; the naive way beside them."""
    burst, seconds, jobs = (150, 4, 8) if quick else (1500, 20, 25)
    found = [row for kind in DATABASES for row in _on(here, kind, burst, seconds, jobs, settle=0.2)]
    return found + _on(here, "sqlite", 0, seconds if quick else 10, 0, settle=1.0)


def _on(here: Place, kind: str, burst: int, seconds: int, jobs: int, *, settle: float) -> list[Row]:
    running = start(here, kind, settle)
    try:
        found = []
        if burst:
            found.append(_rate_row(kind, settle, _burst(here, running, burst), _naive(here, kind, running, jobs)))
        found.append(_latency_row(kind, settle, *_paced(here, running, seconds)))
    finally:
        stop(here, running)
    return found


def start(here: Place, kind: str, settle: float) -> Running:
    """`hub up` and the vendors, past the first sweep."""
    vendors, redis = Vendors(here), here.redis()
    hub = here.hub(
        here.database(kind), stripe_port=vendors.stripe_port, zentitle_port=vendors.zentitle_port, settle=settle
    )
    environ = {"HUB_CONFIG": str(hub.settings.path), "HUB_REDIS_URL": redis}
    up = here.start("up", runtime.this_hub("up"), environ, port=hub.settings.hub.port)
    running = Running(hub=hub, vendors=vendors, processes=(vendors.process, up), redis=redis)
    until(lambda: _counted(hub, _SWEPT) > 0, "the first sweep is over")
    time.sleep(0.5)
    return running


def stop(here: Place, running: Running) -> None:
    """Ends all of it."""
    running.hub.store.close()
    here.stop(*running.processes)


def _counted(hub: Hub, question: object) -> int:
    with hub.store.read() as conn:
        return int(conn.execute(question).scalar_one())  # type: ignore[call-overload]


def _burst(here: Place, running: Running, count: int) -> float:
    """Purchases a second, from the first receipt to the last license, told of as fast as they are taken."""
    times = deliver(here, running, sold(running, count), pace=0)
    return count / (max(last for _, last in times) - min(first for first, _ in times))


def _paced(here: Place, running: Running, seconds: int) -> tuple[float, float]:
    """Seconds from a purchase's first receipt to its license, at a steady pace: median and 95th percentile."""
    times = deliver(here, running, sold(running, PACE_PER_S * seconds), pace=PACE_PER_S)
    took = sorted(last - first for first, last in times)
    return took[len(took) // 2], took[int(len(took) * 0.95)]


def sold(running: Running, count: int) -> list[Sale]:
    """Purchases made while nobody listens; from then on the vendors take their time."""
    running.vendors.answer_in(0)
    sales = running.vendors.sell(count)
    running.vendors.answer_in(LATENCY_S)
    return sales


def deliver(here: Place, running: Running, sales: Sequence[Sale], *, pace: float) -> list[tuple[float, float]]:
    """Sends each sale's events, `pace` sales a second (0: as fast as they are taken), and waits for the licenses.

    When each purchase was first heard of, and when its license was as it should be (epoch seconds).
    """
    before = _counted(running.hub, _LICENSED)
    planned = [(at / pace if pace else 0.0, body) for at, sale in enumerate(sales) for body in sale.events]
    send(here, running.hub.settings.hub.port, requests(PATH, planned))
    wanted = before + len(sales)
    until(lambda: _counted(running.hub, _LICENSED) >= wanted, "each purchase has its license", PATIENCE_S, 0.25)
    until(lambda: running.vendors.right(sales), "each license is right", step=0.25)
    running.vendors.check(sales)
    with running.hub.store.read() as conn:
        rows = {subject: (float(first), float(last)) for subject, first, last in conn.execute(_TIMES)}
    return [rows[f"stripe/subscription/{sale.subscription}"] for sale in sales]


def _naive(here: Place, kind: str, running: Running, count: int) -> float:
    """Purchases a second where each event is an RQ job that takes the same look; a record of its own."""
    sales = sold(running, count)
    vendors = running.vendors
    hub = here.hub(here.database(kind), stripe_port=vendors.stripe_port, zentitle_port=vendors.zentitle_port, settle=0)
    webhooks = hub.connectors["stripe"].webhooks
    if webhooks is None:
        raise RuntimeError("the connection takes no webhooks")
    told = [envelope.subject for sale in sales for body in sale.events for envelope in webhooks.normalise(body, {})]
    refs = [ref for ref in told if ref is not None]
    hub.store.write(lambda conn: [subjects.know(conn, ref) for ref in refs])
    naive.enqueue(running.redis, "naive", "look", [[str(ref)] for ref in refs])
    hub.store.close()
    environ = {"HUB_CONFIG": str(hub.settings.path), "BENCH_REDIS": running.redis}
    done = here.run("bench.naive", "naive", environ=environ)
    vendors.check(sales)
    return float(count / done["seconds"])


def _rate_row(kind: str, settle: float, rate: float, slow: float) -> Row:
    return Row(
        what="whole way",
        database=kind,
        unit="purchases/s",
        rounds=[rate],
        baseline="RQ job each",
        baseline_rounds=[slow],
        ask=ASK_PER_S,
        note="whole way: all events of a purchase -> look at Stripe -> customer, group, terms at Zentitle2; vendors "
        f"answer in {LATENCY_S * 1000:.0f} ms and run on the same cores; settle {settle} s; baseline: the same look, "
        "one RQ job an event",
    )


def _latency_row(kind: str, settle: float, median: float, p95: float) -> Row:
    return Row(
        what=f"receipt to license, p95, settle {settle} s",
        database=kind,
        unit="s",
        rounds=[p95],
        ask=ASK_P95_S if settle < ASK_P95_S else None,
        at_most=True,
        note=f"receipt to license: {PACE_PER_S} purchases/s; {kind}, settle {settle} s: median {median:.2f} s",
    )
