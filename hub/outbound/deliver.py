"""Makes deliveries of what is new, sends what is due, keeps how it went.

Any number of processes may do so at once. Within one, threads are shared equally among the endpoints that have
something to send; one that keeps failing has a single thread until it succeeds, so it slows nobody else.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

import structlog
from sqlalchemy import Connection

from hub import __version__, limits, signing
from hub.bell import Bell
from hub.conditions import ConditionError
from hub.errors import ConfigurationError
from hub.failpoint import failpoint
from hub.outbound import clock, filters, rendering, targets
from hub.outbound.clock import Outcome
from hub.outbound.endpoints import GONE, Endpoints
from hub.outbound.sending import Answer, Sender
from hub.signing import Secret
from hub.store import Store, outbound, records, stream, subjects
from hub.store.outbound import Endpoint, Fresh, Taken, Tried
from hub.stream.events import EndpointNotice, Message, iso, message_id

log = structlog.get_logger()
KIND = "delivery"
LINGER_S = 1.0  # what is due so soon is waited for
GLANCE_S = 0.05
FLUSH_S = 0.005  # ends share a commit
MADE_AT_ONCE = 5000  # deliveries of one transaction
IN_TROUBLE = 3  # failures in a row
RESPONSE_KEPT = 1000  # characters of an answer that the log keeps
ASK_TO_WAIT = {429, 503}  # whose Retry-After is meant for every message


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What deliveries need. lease_s: a delivery that a process took counts as lost after it; longer than an attempt."""

    store: Store
    sender: Sender
    endpoints: Endpoints
    lease_s: float
    drain_s: float


def drain(office: Office, bell: Bell, threads: int, *, stop: Callable[[], bool] = limits.stopping.is_set) -> int:
    """Makes and sends what is due, and what is in a moment, for at most `drain_s` seconds; how many attempts it made.

    Safe to run in any number of processes at once; ends early when `stop()` says so.
    """
    end = time.monotonic() + office.drain_s
    done = 0
    with ThreadPoolExecutor(threads, "delivery") as pool:
        worker = _Worker(office, pool, threads, stop)
        while True:
            over = stop() or time.monotonic() > end
            if not over:
                bell.answer(KIND)
                fan_out(office)
                worker.refill()
            if worker.at_work:
                done += worker.reap()
            elif over or not _linger(office, end, stop):
                break
    if time.monotonic() > end:
        bell.ring(KIND)
    return done


def _linger(office: Office, end: float, stop: Callable[[], bool]) -> bool:
    """Waits a little where something is due within a moment; False where nothing is."""
    with office.store.read() as conn:
        wait = outbound.next_due(conn)
    if wait is None or wait > LINGER_S or time.monotonic() + wait > end or stop():
        return False
    time.sleep(max(wait, GLANCE_S))
    return True


# -- making deliveries


def fan_out(office: Office) -> int:
    """Every endpoint that is enabled has a delivery of each message that its filter takes; how many were made.

    Those that stand at one position are served together, so an event to a thousand endpoints is one transaction.
    """
    with office.store.read() as conn:
        head = stream.newest(conn)
        behind = [one for one in outbound.endpoints(conn) if one.state == outbound.ENABLED and one.cursor < head]
    together: dict[int, list[Endpoint]] = defaultdict(list)
    for one in behind:
        together[one.cursor].append(one)
    return sum(_fan_out(office, group) for group in together.values())


def _fan_out(office: Office, group: Sequence[Endpoint]) -> int:
    with office.store.read() as conn:
        messages = outbound.fresh(conn, group[0].cursor)
    if not messages:
        return 0
    size = max(1, MADE_AT_ONCE // len(messages))
    return sum(_make(office, group[at : at + size], messages) for at in range(0, len(group), size))


def _make(office: Office, group: Sequence[Endpoint], messages: Sequence[Fresh]) -> int:
    found = {of.id: _chosen(of, messages) for of in group}
    taken = {id_: chosen for id_, (chosen, _) in found.items()}

    def unit(conn: Connection) -> int:
        moved = outbound.fan_out(conn, group, messages[-1].position, taken)
        for id_ in sorted(moved):
            if untold := found[id_][1]:
                outbound.note_untold(conn, id_, len(untold), untold[-1])
        failpoint("fan_out.before_commit")
        return sum(len(taken[id_]) for id_ in moved)

    made = office.store.write(unit)
    failpoint("fan_out.after_commit")
    return made


def _chosen(of: Endpoint, messages: Sequence[Fresh]) -> tuple[list[Fresh], list[str]]:
    """The messages that the endpoint takes, and of which ones its condition can't be told, as sentences."""
    chosen, untold = [], []
    for one in messages:
        try:
            if filters.takes(of.filter, one.about):
                chosen.append(one)
        except ConditionError as error:
            untold.append(f"{one.about.type} at position {one.position}: {error}")
    return chosen, untold


# -- sending


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An endpoint with its secrets and headers open."""

    of: Endpoint
    secrets: Sequence[Secret]
    headers: Mapping[str, str]


def share(threads: int, active: int, mine: int, *, in_trouble: bool) -> int:
    """How many more attempts an endpoint may begin that has `mine` at work, while `active` ones share the threads."""
    most = 1 if in_trouble else max(1, threads // max(2, active))
    return max(0, most - mine)


class _Worker:
    """Attempts side by side; whenever some have ended, others begin."""

    def __init__(self, office: Office, pool: ThreadPoolExecutor, threads: int, stop: Callable[[], bool]) -> None:
        self._office, self._pool, self._threads, self._stop = office, pool, threads, stop
        self._ended: SimpleQueue[tuple[Taken, Tried | None]] = SimpleQueue()
        self._at_work: Counter[str] = Counter()  # by endpoint
        self._known: dict[str, Endpoint] = {}

    @property
    def at_work(self) -> int:
        """How many attempts are going on."""
        return self._at_work.total()

    def refill(self) -> None:
        """Begins what is due, as far as there are threads for it."""
        with self._office.store.read() as conn:
            due = outbound.due(conn)
        random.shuffle(due)  # none is always the first
        ready = [one for of in due if (one := self._open(of)) is not None]
        self._known |= {one.of.id: one.of for one in ready}
        if not (rooms := self._rooms([one.of for one in ready])):
            return
        lease_s = self._office.lease_s
        taken = self._office.store.write(lambda conn: _take(conn, rooms, lease_s))
        opened = {one.of.id: one for one in ready}
        for delivery in taken:
            self._pool.submit(self._attempt, opened[delivery.endpoint], delivery)
        self._at_work.update(delivery.endpoint for delivery in taken)

    def reap(self) -> int:
        """Keeps how the attempts went that have ended by now, together; waits a moment where none has."""
        ended = _collect(self._ended, self.at_work)
        self._at_work.subtract(taken.endpoint for taken, _ in ended)
        self._at_work += Counter()  # drops those at none
        tried = [one for _, one in ended if one is not None]
        unsent = [taken for taken, one in ended if one is None]
        if ended:
            self._office.store.write(lambda conn: self._keep(conn, tried, unsent))
            failpoint("delivery.after_commit")
        return len(tried)

    def _rooms(self, due: Sequence[Endpoint]) -> list[tuple[Endpoint, int]]:
        """How many deliveries each of these may have."""
        healthy = [one.id for one in due if not _in_trouble(one)]
        active = len({*healthy, *self._at_work})
        free, rooms = self._threads - self.at_work, []
        for one in due:
            room = share(self._threads, active, self._at_work[one.id], in_trouble=_in_trouble(one))
            if (room := min(room, free)) > 0:
                rooms.append((one, room))
                free -= room
        return rooms

    def _open(self, of: Endpoint) -> Ready | None:
        """The endpoint with what signs; None where its secret can't be opened: then it is disabled, and people told."""
        endpoints = self._office.endpoints
        try:
            return Ready(of=of, secrets=endpoints.signing(of, time.time()), headers=endpoints.headers(of))
        except ConfigurationError as error:
            reason = str(error)
            self._office.store.write(lambda conn: _disable(conn, of, reason))
            return None

    def _attempt(self, ready: Ready, taken: Taken) -> None:
        tried = None
        try:
            if not self._stop():  # else it goes back as it was
                tried = attempt(self._office.sender, ready, taken)
        except Exception as error:  # a bug must not end the worker, or lose the delivery
            log.exception("delivery.failed", endpoint=ready.of.id, delivery=taken.id)
            tried = ended(taken, Answer(status=None, seconds=0.0, error=f"a bug of ours: {type(error).__name__}"))
        finally:
            self._ended.put((taken, tried))

    def _keep(self, conn: Connection, tried: Sequence[Tried], unsent: Sequence[Taken]) -> None:
        outbound.give_back(conn, unsent)
        if tried:
            outbound.finish(conn, tried)
        by_endpoint: dict[str, list[Tried]] = defaultdict(list)
        for one in tried:
            by_endpoint[one.taken.endpoint].append(one)
        for id_, those in sorted(by_endpoint.items()):
            if self._known[id_].health.failures or any(one.state != outbound.DELIVERED for one in those):
                _judge(conn, id_, those)
        failpoint("delivery.before_commit")


def _take(conn: Connection, rooms: Iterable[tuple[Endpoint, int]], lease_s: float) -> list[Taken]:
    """What is due of each of these endpoints, within its room and its rate."""
    taken = []
    for one, room in rooms:
        most = limits.take(conn, f"endpoint:{one.id}", one.rate_per_s, room) if one.rate_per_s else room
        if most:
            taken += outbound.take(conn, one, most, lease_s)
    return taken


def attempt(sender: Sender, ready: Ready, taken: Taken) -> Tried:
    """Sends a delivery once. The id and the body are the same each time, timestamp and signature are new."""
    failpoint("delivery.taken", taken.message.id)
    body = rendering.body(taken.message, taken.version)
    signed = signing.headers(ready.secrets, taken.message.id, datetime.now(UTC), body)
    fixed = {"Content-Type": "application/json", "User-Agent": f"licensing-hub/{__version__}"}
    answer = sender.post(ready.of.url, {**fixed, **ready.headers, **signed}, body.encode())
    failpoint("delivery.sent", taken.message.id)
    return ended(taken, answer)


def ended(taken: Taken, answer: Answer) -> Tried:
    """What this answer makes of the delivery."""
    outcome = clock.outcome_of(answer.status)
    failed = 0 if outcome is Outcome.DELIVERED else taken.failed + 1
    asked = clock.retry_after_s(answer.retry_after, time.time())
    wait = clock.wait_s(failed, random.random(), asked)  # noqa: S311  (no secret)
    delivered = outcome is Outcome.DELIVERED
    return Tried(
        taken=taken,
        state=outbound.DELIVERED if delivered else outbound.EXHAUSTED if wait is None else outbound.PENDING,
        failed=failed,
        wait_s=wait or 0.0,
        hold_s=(asked or 0.0) if answer.status in ASK_TO_WAIT else 0.0,
        status=answer.status,
        seconds=answer.seconds,
        error=answer.error,
        response=answer.body[:RESPONSE_KEPT].decode("utf-8", "replace").replace("\0", "\ufffd"),
    )


def _collect(queue: SimpleQueue[tuple[Taken, Tried | None]], most: int) -> list[tuple[Taken, Tried | None]]:
    found: list[tuple[Taken, Tried | None]] = []
    until = time.monotonic() + GLANCE_S
    while len(found) < most:
        try:
            found.append(queue.get(timeout=max(0.0, until - time.monotonic())))
        except Empty:
            break
        until = min(until, time.monotonic() + FLUSH_S)
    return found


# -- endpoints that fail


def _in_trouble(of: Endpoint) -> bool:
    return of.health.failures >= IN_TROUBLE


def _judge(conn: Connection, id_: str, tried: Sequence[Tried]) -> None:
    """The endpoint's health after these attempts; people are told where it fails, or is given up."""
    of = outbound.endpoint(conn, id_, lock=True)
    if of is None or of.state != outbound.ENABLED:
        return
    health, now = of.health, subjects.now(conn)
    for one in tried:
        verdict = clock.judge(health, clock.outcome_of(one.status), one.failed, now)
        health = verdict.health
        outbound.hold(conn, id_, one.hold_s)
        if verdict.notice:
            _notice(
                conn, of, "hub.endpoint.failing", f"its last answer: {outbound.said(one.status, one.error)}", health
            )
        if of.hook and clock.outcome_of(one.status) is Outcome.GONE:
            _unsubscribe(conn, of)
            return
        if verdict.disable:
            _disable(conn, of, verdict.disable, health)
            break
    outbound.change(conn, id_, outbound.healed(health))


def _disable(conn: Connection, of: Endpoint, because: str, health: clock.Health | None = None) -> None:
    """Sends nothing more to it until a person enables it; nothing is lost."""
    outbound.change(conn, of.id, {"state": outbound.DISABLED, "because": because})
    _notice(conn, of, "hub.endpoint.disabled", because, health or of.health)


def _unsubscribe(conn: Connection, of: Endpoint) -> None:
    """A REST hook that answered 410 is over: nobody waits for its messages any more, and nobody need be told."""
    outbound.change(conn, of.id, GONE)
    records.audit(conn, of.id, "its answer 410", "endpoint removed", of.id, {})
    log.info("hook.unsubscribed", endpoint=of.id)


def _notice(conn: Connection, of: Endpoint, type_: str, reason: str, health: clock.Health) -> None:
    """Tells the stream, and whoever looks at the console's tasks."""
    at = datetime.fromtimestamp(subjects.now(conn), UTC)
    since = None if health.failing_since is None else datetime.fromtimestamp(health.failing_since, UTC)
    host = targets.target(of.url).host
    data = EndpointNotice(
        endpoint=of.id,
        host=host,
        description=of.description,
        reason=reason,
        failing_since=iso(since),
        failures=health.failures,
    )
    message = Message(
        id=message_id(of.id, type_, iso(since or at)),
        type=type_,
        occurred_at=at,
        subject=f"hub/endpoint/{of.id}",
        entitlement=None,
        data=data,
    )
    records.add_messages(conn, [message])
    word = "is disabled" if type_.endswith("disabled") else "fails"
    text = f"endpoint {of.id} ({of.description or host}) {word}: {reason}. See Endpoints."
    records.raise_review(conn, f"{type_}:{of.id}", "endpoint", None, text)
    log.warning(type_, endpoint=of.id, host=host, reason=reason)
