"""What RQ calls, and nothing else: arguments are words, the record says what is due."""

from __future__ import annotations

from functools import lru_cache

from hub import drain as draining
from hub import settings, wiring
from hub.outbound import deliver
from hub.wiring import Hub

KINDS = ("looks", "delivery")  # one queue a kind of work, one worker process a queue


@lru_cache(maxsize=1)
def the_hub() -> Hub:
    """This process's hub; built before a worker forks, so that each job finds it ready."""
    return wiring.build(settings.load())


def drain(kind: str) -> int:
    """Works everything of this kind that is due; how many looks or attempts. Any number may run at once."""
    if kind not in KINDS:
        raise ValueError(kind)
    hub = the_hub()
    if kind == deliver.KIND:
        return deliver.drain(hub.office, hub.bell, hub.settings.outbound.delivery_threads)
    return draining.drain(hub.shop, hub.bell, hub.settings.hub.look_threads)
