"""The worker's baseline: one RQ job an event, on the same Redis-protocol server, database and vendors.

    python -m bench.naive QUEUE

works a queue until it is empty, everything imported before the fork, and prints JSON: jobs and seconds.
BENCH_DATABASE, BENCH_REDIS and (for looks) HUB_CONFIG say where.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from redis import Redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import select, update

from bench.office import office
from hub import drain, runtime, settings, wiring
from hub.domain import Ref
from hub.outbound.deliver import Ready, attempt
from hub.store import Store, outbound
from hub.store.schema import receipt

if TYPE_CHECKING:
    from hub.wiring import Hub


@lru_cache(maxsize=1)
def _store() -> Store:
    return Store(os.environ["BENCH_DATABASE"])


@lru_cache(maxsize=1)
def _hub() -> Hub:
    return wiring.build(settings.load())


def read_one(external_id: str, vendor_s: float) -> None:
    """Reads an event, asks the vendor (a wait), and notes that it was done: one commit."""
    with _store().read() as conn:
        found = conn.execute(select(receipt.c.id, receipt.c.body).where(receipt.c.external_id == external_id)).one()
    if vendor_s:
        time.sleep(vendor_s)
    _store().write(lambda conn: conn.execute(update(receipt).where(receipt.c.id == found.id).values(reason="done")))


def look(ref: str) -> None:
    """The same look as the hub's, for one event: same calls, same writes."""
    drain.look_now(_hub().shop, Ref.parse(ref))


def deliver_one() -> None:
    """Sends the next delivery that is due, signed, and keeps what was answered."""
    made = office(_store())
    with _store().read() as conn:
        (of,) = outbound.due(conn)
    (taken,) = _store().write(lambda conn: outbound.take(conn, of, 1, 60.0))
    ready = Ready(of=of, secrets=made.endpoints.signing(of, time.time()), headers={})
    tried = attempt(made.sender, ready, taken)
    _store().write(lambda conn: outbound.finish(conn, [tried]))


def enqueue(redis_url: str, queue: str, function: str, arguments: Sequence[Sequence[object]]) -> None:
    """Puts a job an event in the queue."""
    with Redis.from_url(redis_url) as redis:
        target = Queue(queue, connection=redis, serializer=JSONSerializer)
        for words in arguments:
            target.enqueue(f"bench.naive.{function}", *words, result_ttl=0, failure_ttl=60)


def main() -> None:
    """See the module."""
    runtime.die_with_parent()
    if "HUB_CONFIG" in os.environ:
        _hub()
    redis = Redis.from_url(os.environ["BENCH_REDIS"])
    queue = Queue(sys.argv[1], connection=redis, serializer=JSONSerializer)
    jobs = len(queue)
    worker = Worker([queue], connection=redis, serializer=JSONSerializer)
    began = time.perf_counter()
    worker.work(burst=True, logging_level="CRITICAL")
    seconds = time.perf_counter() - began
    failed = queue.failed_job_registry.count
    if failed:
        sys.exit(f"{failed} jobs failed")
    json.dump({"jobs": jobs, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
