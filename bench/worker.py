"""How many events a worker process drains a second: without a vendor call, and with one of 50 ms a look."""

from __future__ import annotations

from bench import naive, shop
from bench.place import DATABASES, Place
from bench.report import Row

THREADS = 64  # hub.look_threads
VENDOR_S = 0.05
ASK_DRAINED, ASK_LOOKS = 20_000.0, 1000.0


def drained(here: Place, *, quick: bool) -> list[Row]:
    """Events a second where no vendor is asked, ten about one subject."""
    events, rounds = (10_000, 1) if quick else (30_000, 3)
    redis = here.redis()
    return [_row(here, kind, redis, "drained", events, 10, 0.0, rounds, ASK_DRAINED) for kind in DATABASES]


def looks(here: Place, *, quick: bool) -> list[Row]:
    """Looks a second where each asks a vendor that answers in 50 ms."""
    events, rounds = (1500, 1) if quick else (4000, 3)
    redis = here.redis()
    return [_row(here, kind, redis, "looks", events, 1, VENDOR_S, rounds, ASK_LOOKS) for kind in DATABASES]


def _row(
    here: Place,
    kind: str,
    redis: str,
    what: str,
    events: int,
    per_subject: int,
    vendor_s: float,
    rounds: int,
    ask: float,
) -> Row:
    pairs = [
        (_drain(here, kind, redis, events, per_subject, vendor_s), _jobs(here, kind, redis, vendor_s))
        for _ in range(rounds)
    ]
    each = f"{per_subject} about one subject" if per_subject > 1 else "each about a subject of its own"
    called = f"one vendor call of {vendor_s * 1000:.0f} ms a look" if vendor_s else "no vendor call"
    return Row(
        what=what,
        database=kind,
        unit="events/s" if per_subject > 1 else "looks/s",
        rounds=[mine for mine, _ in pairs],
        baseline="RQ job each",
        baseline_rounds=[theirs for _, theirs in pairs],
        ask=ask,
        note=f"{what}: {events:,} events, {each}, {called}, one worker process with {THREADS} threads; "
        "baseline: one RQ job an event, imported before the fork",
    )


def _drain(here: Place, kind: str, redis: str, events: int, per_subject: int, vendor_s: float) -> float:
    store = here.record(kind)
    shop.fill(store, events, per_subject)
    database = store.url.render_as_string(hide_password=False)
    store.close()
    told = here.run("bench.shop", database, redis, str(THREADS), str(vendor_s))
    if told["looks"] != events // per_subject:
        raise RuntimeError(f"{events // per_subject} subjects were due, {told['looks']} looks were taken")
    return float(events / told["seconds"])


def _jobs(here: Place, kind: str, redis: str, vendor_s: float, jobs: int = 60) -> float:
    store = here.record(kind)
    shop.fill(store, jobs, 1)
    database = store.url.render_as_string(hide_password=False)
    store.close()
    queue = database.rpartition("/b_")[2][:8]
    naive.enqueue(redis, queue, "read_one", [(f"evt_{number:010}", vendor_s) for number in range(jobs)])
    told = here.run("bench.naive", queue, environ={"BENCH_DATABASE": database, "BENCH_REDIS": redis})
    return float(told["jobs"] / told["seconds"])
