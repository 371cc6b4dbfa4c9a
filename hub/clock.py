"""What `hub clock` does: rings for what is due, and begins each chore in its time, one of all clocks at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hub import comparing, limits, polling
from hub.collecting.closing import close_days, drop_old
from hub.collecting.counting import count_touched
from hub.collecting.hearing import hear
from hub.collecting.listing import Listing
from hub.collecting.logs import read_logs
from hub.collecting.portfolio import keep_board
from hub.confirming import tell_sold
from hub.drain import left_alone
from hub.errors import HubError
from hub.leases import LeaseBook
from hub.retention import prune_all
from hub.stopping import set_by_signals
from hub.store import outbound, seats, subjects
from hub.stream import sequencer
from hub.sweep import sweep_all
from hub.telling import push_if_due

if TYPE_CHECKING:
    from hub.wiring import Hub

log = structlog.get_logger()
HEAR_S, COUNT_S = 10.0, 60.0
PRUNE_AGAIN_S = 3600.0  # so often a clock asks whether a table was not pruned for a day
SEAT_CHORES = ("poll", "hear seats", "count seats", "read seat logs")  # leases: one process at a time does each
CONFIRM_S = 30.0  # so often a clock asks what became of sales since it was last told
TELL_AGAIN_S = 900.0  # so often a clock asks whether a CRM is to be told
COMPARE_AGAIN_S = 900.0  # so often a clock asks whether all is to be compared
POLL_AGAIN_S = 60.0  # so often a clock asks whether the list of entitlements is to be read


def tick_for_ever(hub: Hub) -> None:
    """Rings for what is due without having been rung for; sweeps and sequences, which one of all clocks does."""
    stop = threading.Event()
    set_by_signals(stop, limits.stopping)
    timing = hub.settings.timing
    chores = [
        _Chore("sweep", timing.sweep, _sweep),
        _Chore("poll", min(timing.poll, POLL_AGAIN_S), _poll),
        _Chore("hear seats", HEAR_S, _hear_seats),
        _Chore("count seats", COUNT_S, _count_seats),
        _Chore("read seat logs", COUNT_S, _read_seat_logs),
        _Chore("keep board", HEAR_S, _keep_board),
        _Chore("prune", PRUNE_AGAIN_S, _prune),
        _Chore("tell CRM", TELL_AGAIN_S, _tell_crms),
        _Chore("tell what became of sales", CONFIRM_S, _tell_sold),
        _Chore("compare", COMPARE_AGAIN_S, _compare),
    ]
    placed = partial(_ring_for_deliveries, hub)
    sequence = partial(sequencer.run, hub.store, hub.connectors, stop, placed)
    sequencing = threading.Thread(target=sequence, name="sequencer")
    sequencing.start()
    while not stop.wait(_until_next_tick(hub)):
        for chore in chores:
            chore.begin(hub)
    sequencing.join()  # before whoever called closes the record


@dataclass
class _Chore:
    """Work in a thread of its own: begun at most so often, never twice at a time in this process."""

    name: str
    every_s: float
    work: Callable[[Hub], None]
    not_before: float = 0.0
    thread: threading.Thread | None = None

    def begin(self, hub: Hub) -> None:
        """Begins it if it is time."""
        if time.monotonic() < self.not_before or (self.thread and self.thread.is_alive()):
            return
        self.not_before = time.monotonic() + self.every_s
        self.thread = threading.Thread(target=self.work, args=(hub,), name=self.name, daemon=True)
        self.thread.start()


def _until_next_tick(hub: Hub) -> float:
    """Rings if something is due now; seconds until the next thing is, at most a tick."""
    tick = hub.settings.timing.tick
    try:
        with hub.store.read() as conn:
            wait = subjects.next_due(conn, left_alone(hub.shop, conn))
            suspects = subjects.suspects(conn, 1)
            delivery = outbound.next_due(conn)
    except HubError as error:
        log.warning("clock.record_away", error=str(error))
        return tick
    if delivery is not None and delivery <= 0:
        hub.bell.ring("delivery")
        tick = min(tick, 1.0)
    if suspects or (wait is not None and wait <= 0):
        hub.bell.ring()
        return min(tick, 1.0)
    waits = [one for one in (wait, delivery) if one is not None and one > 0]
    return min([tick, *(max(one, 0.05) for one in waits)])


def _ring_for_deliveries(hub: Hub) -> None:
    """Rings for what the sequencer has just placed, where an endpoint waits for it."""
    with hub.store.read() as conn:
        wait = outbound.next_due(conn)
    if wait is not None and wait <= 0:
        hub.bell.ring("delivery")


def _sweep(hub: Hub) -> None:
    _alone(hub, "sweep", lambda: log.info("sweep.done", **sweep_all(hub.shop)), rings=True)


def _poll(hub: Hub) -> None:
    """The list of all entitlements, if the last whole one is old enough (the record says so)."""
    name, rate_per_s = hub.licensing.name, hub.licensing.rate_per_s

    def work() -> None:
        if polling.is_due(hub.shop, name):
            polling.poll(hub.shop, name, rate_per_s, Listing(collector=hub.collector))

    _alone(hub, "poll", work, rings=True)


def _hear_seats(hub: Hub) -> None:
    """What the stream tells of seats."""
    _alone(hub, "hear seats", lambda: hear(hub.collector))


def _count_seats(hub: Hub) -> None:
    """Days that something came in about; days that are over; what is too old to be kept."""

    def work() -> None:
        count_touched(hub.collector)
        close_days(hub.collector)
        drop_old(hub.collector)
        _ring_for_summaries(hub)

    _alone(hub, "count seats", work)


def _ring_for_summaries(hub: Hub) -> None:
    with hub.store.read() as conn:
        due = seats.judging_due(conn)
    if due:
        hub.bell.ring("summaries")


def _read_seat_logs(hub: Hub) -> None:
    """The vendor's log of seats, where it is wanted."""
    _alone(hub, "read seat logs", lambda: read_logs(hub.collector, COUNT_S))


def _prune(hub: Hub) -> None:
    """What is old goes, of each table once a day."""
    sources = [(name, one.purchases) for name, one in hub.connectors.items()]
    must_be_read = [name for name, source in sources if source and not source.can_read]
    _alone(hub, "prune", lambda: prune_all(hub.store, hub.settings.retention, must_be_read, limits.stopping.is_set))


def _keep_board(hub: Hub) -> None:
    """What the renewals board sorts and counts by."""
    _alone(hub, "keep board", lambda: keep_board(hub.store, limits.stopping.is_set))


def _tell_crms(hub: Hub) -> None:
    """Each CRM, once a night."""
    for name, one in hub.connectors.items():
        if one.crm is not None and not limits.stopping.is_set():
            _alone(hub, f"tell {name}", partial(push_if_due, hub, one))


def _tell_sold(hub: Hub) -> None:
    """What became of sales, to where they were sold."""
    for name, one in hub.connectors.items():
        if one.sold is not None and not limits.stopping.is_set():
            _alone(hub, f"confirm {name}", partial(tell_sold, hub, one))


def _compare(hub: Hub) -> None:
    """Where the systems disagree, once a day."""
    _alone(hub, "compare", lambda: comparing.keep_if_due(hub))


def _alone(hub: Hub, key: str, work: Callable[[], object], *, rings: bool = False) -> None:
    """Does this in one process at a time among all clocks: under a lease. rings: it may have made looks due."""
    try:
        with LeaseBook(hub.store, hub.settings.timing.lease) as book:
            lease = book.take(key)
            if lease is None:
                return
            try:
                work()
            finally:
                hub.store.write(lambda conn: subjects.release(conn, lease))
            if rings:
                hub.bell.ring()
    except HubError as error:
        log.warning("chore.failed", chore=key, error=str(error))
    except Exception:
        log.exception("chore.failed", chore=key)
