"""The doorbell: tells workers that something is due. Redis may be away; that costs seconds, never an event."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

log = structlog.get_logger()
RINGS_FOR_S = 5
RETRY_REDIS_S = 1.0
GATHER_S = 0.02
MOST_WAITING = 8


class Bell:
    """Rings at most once until somebody answers: `SET bell:<kind> 1 NX EX 5`, then one `drain` job.

    With no `url` there is no bell: nothing is asked of whatever may answer on Redis's usual port, workers look
    for work each second.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = 0
        self._redis: Redis | None = None
        self._silent_until = 0.0
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._pid_of_ringer = 0
        self._wanted = threading.Event()

    def ring(self, kind: str = "looks") -> bool:
        """Whether workers hear it; never raises. Rings of the last few milliseconds count as this one."""
        if self._is_silent():
            return False
        lock = self._locks[kind]
        if not lock.acquire(blocking=False):
            return True  # another thread rings right now
        try:
            self._ring(kind)
        except Exception as error:  # noqa: BLE001  (whatever Redis or the network says: the tick finds the work)
            self._fall_silent(error)
            return False
        finally:
            lock.release()
        return True

    def ring_soon(self, kind: str = "looks") -> None:
        """Rings from a thread of its own within some 20 ms: nobody waits for Redis, and a burst is one ring."""
        if self._pid_of_ringer != os.getpid():
            self._pid_of_ringer = os.getpid()
            self._wanted = threading.Event()
            threading.Thread(target=self._ring_wanted, args=(kind,), name="bell", daemon=True).start()
        self._wanted.set()

    def _ring_wanted(self, kind: str) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            self.ring(kind)
            time.sleep(GATHER_S)

    def answer(self, kind: str = "looks") -> None:
        """Deletes the bell's key, before work is leased, so that what comes next rings anew."""
        if self._is_silent():
            return
        try:
            self.redis().delete(f"bell:{kind}")
        except Exception as error:  # noqa: BLE001
            self._fall_silent(error)

    def _is_silent(self) -> bool:
        return not self._url or time.monotonic() < self._silent_until

    def _fall_silent(self, error: Exception) -> None:
        self._silent_until = time.monotonic() + RETRY_REDIS_S
        log.warning("bell.silent", error=type(error).__name__)

    def alive(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._url and self.redis().ping())
        except Exception:  # noqa: BLE001
            return False

    def tell_if_none(self) -> None:
        """Says that there is no Redis, where none is configured."""
        if not self._url:
            log.warning("bell.none", mend="set redis_url or HUB_REDIS_URL; until then work is looked for each second")

    def redis(self) -> Redis:
        """This process's connection."""
        if self._redis is None or self._pid != os.getpid():
            from redis import Redis  # noqa: PLC0415  (the receiver starts faster without it)

            self._pid = os.getpid()
            self._redis = Redis.from_url(self._url, socket_timeout=1, socket_connect_timeout=0.5)
        return self._redis

    def queue(self, kind: str) -> Queue:
        """The RQ queue of a kind of work; jobs are JSON and carry no facts."""
        from rq import Queue  # noqa: PLC0415
        from rq.serializers import JSONSerializer  # noqa: PLC0415

        return Queue(kind, connection=self.redis(), serializer=JSONSerializer)

    def _ring(self, kind: str) -> None:
        if self.redis().set(f"bell:{kind}", "1", nx=True, ex=RINGS_FOR_S):
            queue = self.queue(kind)
            if queue.count >= MOST_WAITING:
                return  # a worker that becomes free finds one of those; each drain answers the bell many times
            queue.enqueue("hub.jobs.drain", kind, result_ttl=0, failure_ttl=60, job_timeout=600)
