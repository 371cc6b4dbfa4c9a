"""What RQ calls, and nothing else: arguments are words, the record says what is due."""

from __future__ import annotations

from functools import lru_cache

from hub import drain as draining
from hub import settings, wiring
from hub.collecting import summarizing
from hub.collecting.judges import judges
from hub.outbound import deliver
from hub.store import outbound, seats, subjects
from hub.wiring import Hub

LOOKS, SUMMARIES = "looks", "summaries"
KINDS = (LOOKS, SUMMARIES, deliver.KIND)  # one queue a kind of work; a worker takes those of its kinds in this order


@lru_cache(maxsize=1)
def the_hub() -> Hub:
    """This process's hub; built before a worker forks, so that each job finds it ready."""
    return wiring.build(settings.load())


def drain(kind: str) -> int:
    """Works everything of this kind that is due; how many looks, entitlements or attempts. Repeatable."""
    if kind not in KINDS:
        raise ValueError(kind)
    hub = the_hub()
    if kind == SUMMARIES:
        return _summarize_due(hub)
    if kind == deliver.KIND:
        return deliver.drain(hub.office, hub.bell, hub.settings.outbound.delivery_threads)
    return draining.drain(hub.shop, hub.bell, hub.settings.hub.look_threads)


def summarize(batch: list[str]) -> int:
    """Judges these entitlements, whether they are due or not; how much of it was news. Repeatable."""
    return summarizing.summarize(the_hub().collector, batch, judges())


def _summarize_due(hub: Hub) -> int:
    hub.bell.answer(SUMMARIES)
    return summarizing.summarize_due(hub.collector, hub.settings.timing.drain, judges())


def due(hub: Hub, kind: str) -> bool:
    """Whether there is work of this kind now."""
    with hub.store.read() as conn:
        if kind == SUMMARIES:
            return seats.judging_due(conn)
        if kind == deliver.KIND:
            left = outbound.next_due(conn)
            return left is not None and left <= 0
        wait = subjects.next_due(conn, draining.left_alone(hub.shop, conn))
        return (wait is not None and wait <= 0) or bool(subjects.suspects(conn, 1))
