"""How many signed deliveries a second one worker process makes to a consumer on this machine.

    python -m bench.deliveries DATABASE_URL REDIS_URL [SECONDS]

drains all that is due, for so long at most, and prints JSON: attempts and seconds.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import select

from bench import naive
from bench.office import office
from bench.place import DATABASES, Place
from bench.report import Row
from hub import log
from hub.bell import Bell
from hub.outbound import deliver
from hub.outbound.endpoints import By, Wish
from hub.store import Store, records, schema, stream
from hub.stream.events import Message, PurchaseFact

THREADS, ASK = 256, 1000.0
WIDE, MANY = 1000, 100  # endpoints
LONGEST_S = 30.0  # the dead one is left alone after it: its attempts take 20 s each


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Deliveries a second, on both databases."""
    count, rounds = (1500, 1) if quick else (5000, 3)
    redis = here.redis()
    found = [_row(here, kind, redis, count, rounds) for kind in DATABASES]
    found += [_fan_out_row(here, kind, rounds) for kind in DATABASES]
    return found + [_dead_row(here, kind, redis, 20 if quick else 50, rounds) for kind in DATABASES]


def _row(here: Place, kind: str, redis: str, count: int, rounds: int) -> Row:
    pairs = [(_ours(here, kind, redis, count), _jobs(here, kind, redis)) for _ in range(rounds)]
    return Row(
        what="deliveries",
        database=kind,
        unit="deliveries/s",
        rounds=[mine for mine, _ in pairs],
        baseline="RQ job each",
        baseline_rounds=[theirs for _, theirs in pairs],
        ask=ASK,
        note=f"deliveries: {count:,} signed messages to one consumer that answers at once, one worker process with "
        f"{THREADS} threads; baseline: one RQ job a delivery, imported before the fork",
    )


def _fan_out_row(here: Place, kind: str, rounds: int) -> Row:
    """One event to a thousand endpoints, until their deliveries are committed."""
    pairs = [(_fan_out(here, kind, WIDE), _fan_out(here, kind, 1)) for _ in range(rounds)]
    return Row(
        what="fan-out",
        database=kind,
        unit="ms",
        rounds=[wide for wide, _ in pairs],
        baseline="to one endpoint",
        baseline_rounds=[one for _, one in pairs],
        ask=500.0,
        at_most=True,
        note=f"fan-out: one event to {WIDE:,} endpoints, made and committed in one transaction",
    )


def _fan_out(here: Place, kind: str, endpoints: int) -> float:
    store = here.record(kind)
    made = office(store)
    for _ in range(endpoints):
        made.endpoints.add(Wish(url="http://127.0.0.1:9/hook"), By(actor="bench", origin="bench"))
    place(store, 1)
    began = time.perf_counter()
    done = deliver.fan_out(made)
    took = (time.perf_counter() - began) * 1000
    store.close()
    if done != endpoints:
        raise RuntimeError(f"{endpoints} deliveries were due, {done} were made")
    return took


def _dead_row(here: Place, kind: str, redis: str, count: int, rounds: int) -> Row:
    """What one endpoint of a hundred that takes a connection and never answers costs the others."""
    pairs = [
        (_p99(here, kind, redis, count, dead=True), _p99(here, kind, redis, count, dead=False)) for _ in range(rounds)
    ]
    return Row(
        what="1 % dead",
        database=kind,
        unit="ms p99",
        rounds=[dead for dead, _ in pairs],
        baseline="none dead",
        baseline_rounds=[well for _, well in pairs],
        note=f"1 % dead: from made to delivered, {MANY - 1} endpoints with {count} messages each, while one hangs; "
        "asked: less than 1.2 times",
    )


def _p99(here: Place, kind: str, redis: str, count: int, *, dead: bool) -> float:
    with _consumer() as url, _hangs() as hanging:
        store = here.record(kind)
        made, by = office(store), By(actor="bench", origin="bench")
        well = [made.endpoints.add(Wish(url=url), by)[0] for _ in range(MANY - 1)]
        made.endpoints.add(Wish(url=hanging if dead else url), by)
        place(store, count)
        deliver.fan_out(made)
        database = store.url.render_as_string(hide_password=False)
        store.close()
        here.run("bench.deliveries", database, redis, str(LONGEST_S))
        store = Store(database)
        d = schema.delivery.c
        with store.read() as conn:
            took = list(conn.execute(select(d.ended_at - d.created_at).where(d.endpoint.in_(well))).scalars())
        store.close()
    if len(took) != len(well) * count or None in took:
        raise RuntimeError(f"{len(well) * count} deliveries were due, {len(took)} ended")
    return sorted(took)[len(took) * 99 // 100] * 1000


@contextmanager
def _hangs() -> Iterator[str]:
    """A consumer that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


@contextmanager
def _consumer() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.sink"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
    finally:
        process.kill()
        process.wait()


def fill(store: Store, url: str, count: int) -> None:
    """An endpoint, and so many messages in their places."""
    office(store).endpoints.add(Wish(url=url), By(actor="bench", origin="bench"))
    place(store, count)


def place(store: Store, count: int) -> None:
    """So many messages in their places."""
    fact = PurchaseFact(connection="bench", event_id="evt_1", event_type="invoice.paid", subject="bench/x/1")
    told = [
        Message(
            id=f"bench-{number}",
            type="purchase.paid",
            occurred_at=datetime.now(UTC),
            subject="bench/x/1",
            entitlement=None,
            data=fact,
        )
        for number in range(count)
    ]
    store.write(lambda conn: records.add_messages(conn, told))
    while store.write(stream.place_messages):
        pass


def _ours(here: Place, kind: str, redis: str, count: int) -> float:
    with _consumer() as url:
        store = here.record(kind)
        fill(store, url, count)
        database = store.url.render_as_string(hide_password=False)
        store.close()
        told = here.run("bench.deliveries", database, redis)
    if told["attempts"] != count:
        raise RuntimeError(f"{count} deliveries were due, {told['attempts']} attempts were made")
    return float(count / told["seconds"])


def _jobs(here: Place, kind: str, redis: str, jobs: int = 60) -> float:
    with _consumer() as url:
        store = here.record(kind)
        fill(store, url, jobs)
        deliver.fan_out(office(store))
        database = store.url.render_as_string(hide_password=False)
        store.close()
        queue = database.rpartition("/b_")[2][:8]
        naive.enqueue(redis, queue, "deliver_one", [()] * jobs)
        told = here.run("bench.naive", queue, environ={"BENCH_DATABASE": database, "BENCH_REDIS": redis})
    return float(told["jobs"] / told["seconds"])


def main() -> None:
    """See the module."""
    database, redis, *longest = sys.argv[1:]
    log.configure("worker")
    store = Store(database)
    began = time.perf_counter()
    attempts = deliver.drain(office(store, *map(float, longest)), Bell(redis), THREADS)
    seconds = time.perf_counter() - began
    store.close()
    json.dump({"attempts": attempts, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
