"""What the emulated account holds and how it moves: objects, lists, read lag, timers, events. Knows no rule of billing.

One thread at a time: the emulator holds its lock around every call. Facts: commerce reference §1 (read 2026-09-27).
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import time
import zlib
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.emulation import Clock
from connectors.stripe.emulator_objects import DAY, Obj
from connectors.stripe.emulator_shapes import API_VERSIONS, Shape, differences, shaped
from connectors.stripe.emulator_thin import Format, notification

EVENT_DAYS = 30
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIXES = {
    "customers": "cus_",
    "products": "prod_",
    "prices": "price_",
    "subscriptions": "sub_",
    "subscription_schedules": "sub_sched_",
    "invoices": "in_",
    "payment_intents": "pi_",
    "charges": "ch_",
    "refunds": "re_",
    "credit_notes": "cn_",
    "disputes": "dp_",
    "radar/early_fraud_warnings": "issfr_",
    "invoice_payments": "inpay_",
    "checkout/sessions": "cs_",
    "payment_methods": "pm_",
    "invoiceitems": "ii_",
    "quotes": "qt_",
}
PROMPT = ("prod_", "price_")  # what reads never lag behind


class Refusal(Exception):
    """Stripe's error answer: {"error": {type, code, message, param}} with this status."""

    def __init__(
        self, status: int, message: str, *, type_: str = "invalid_request_error", code: str = "", param: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type_}}
        self.body["error"] |= {key: value for key, value in (("code", code), ("param", param)) if value}


def missing(kind: str, id_: str, *, param: str = "id", status: int = 404) -> Refusal:
    """No such object: 404 in a path, 400 in a parameter."""
    noun = kind.rpartition("/")[2].rstrip("s").replace("_", " ")
    return Refusal(status, f"No such {noun}: '{id_}'", code="resource_missing", param=param)


def declined() -> Refusal:
    """The card was tried and refused."""
    return Refusal(402, "Your card was declined.", type_="card_error", code="card_declined")


def need(params: Obj, *names: str) -> None:
    """Refuses where one of `names` is not given."""
    for name in names:
        if not params.get(name):
            raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)


def merge(value: Obj, params: Obj, names: tuple[str, ...]) -> None:
    """Sets `names` and merges metadata; an empty value unsets."""
    value |= {name: params[name] or None for name in names if name in params}
    if "active" in params:
        value["active"] = params["active"] == "true"
    metadata = params.get("metadata")
    if metadata == "":
        value["metadata"] = {}
    elif metadata:
        merged = value["metadata"] | metadata
        value["metadata"] = {key: text for key, text in merged.items() if text != ""}


@dataclass
class Shelf:
    """Objects of one kind in the order they were made, with an index on the fields that lists filter by.

    A field that is set later is indexed by `touch`.
    """

    index: Callable[[Obj], dict[str, str | None]]
    objects: dict[str, Obj] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    by: defaultdict[tuple[str, str | None], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, value: Obj) -> None:
        self.place[value["id"]] = len(self.order)
        self.order.append(value["id"])
        self.objects[value["id"]] = value
        self.touch(value)

    def touch(self, value: Obj) -> None:
        """Lists find `value` by what it says now; what it said before is sorted out when read."""
        for pair in self.index(value).items():
            ids = self.by[pair]
            at = self._position(ids, value["id"])
            if ids[at : at + 1] != [value["id"]]:
                ids.insert(at, value["id"])

    def newest_first(self, before: str | None = None, **filters: str) -> Iterator[Obj]:
        """Objects older than `before`, newest first; `filters` are indexed fields."""
        ids = self._ids(filters)
        end = len(ids) if before is None else self._position(ids, before)
        return self._live((ids[at] for at in range(end - 1, -1, -1)), filters)

    def oldest_first(self, after: str, **filters: str) -> Iterator[Obj]:
        """Objects newer than `after`, oldest first."""
        ids = self._ids(filters)
        start = bisect_left(ids, self.place[after] + 1, key=self.place.__getitem__)
        return self._live((ids[at] for at in range(start, len(ids))), filters)

    def _ids(self, filters: dict[str, str]) -> list[str]:
        lists = [self.by.get(pair, []) for pair in filters.items()]
        return min(lists, key=len) if lists else self.order

    def _position(self, ids: list[str], of: str) -> int:
        return bisect_left(ids, self.place[of], key=self.place.__getitem__)

    def _live(self, ids: Iterator[str], filters: dict[str, str]) -> Iterator[Obj]:
        for id_ in ids:
            value = self.objects.get(id_)
            if value is None or value.get("deleted"):
                continue
            if not filters or filters.items() <= self.index(value).items():
                yield value


@dataclass
class ReadLag:
    """Reads answer what was true `seconds` ago (machine time). `changes` limits how many changes lag; None is all."""

    seconds: float = 0.0
    changes: int | None = None
    _before: defaultdict[str, deque[tuple[float, str | None]]] = field(default_factory=lambda: defaultdict(deque))

    def configure(self, seconds: float, changes: int | None) -> None:
        self.seconds, self.changes = seconds, changes
        self._before.clear()

    def note(self, id_: str, before: str | None) -> None:
        """The object changed now; `before` is its JSON, None where it did not exist."""
        if not self.seconds or self.changes == 0 or id_.startswith(PROMPT):
            return
        if self.changes is not None:
            self.changes -= 1
        self._before[id_].append((time.monotonic(), before))

    def seen(self, value: Obj) -> Obj | None:
        """`value` as a reader sees it: as it was, or None where it can't be seen yet."""
        history = self._before.get(value["id"])
        if history is None:
            return value
        while history and history[0][0] <= time.monotonic() - self.seconds:
            history.popleft()
        if not history:
            del self._before[value["id"]]
            return value
        before = history[0][1]
        return None if before is None else json.loads(before)


@dataclass(slots=True)
class Record:
    """One event and its body in each shape in use, byte for byte as sent, packed."""

    id: str
    type: str
    created: int
    number: int
    packed: dict[Shape, bytes]

    def body(self, format_: Format) -> bytes:
        """The body in this shape, or in the one there is (an endpoint may be newer than the event)."""
        if format_ == "thin":
            return json.dumps(notification(self.event())).encode()
        return zlib.decompress(self.packed.get(format_) or next(iter(self.packed.values())))

    def event(self) -> Obj:
        """The snapshot, in the account's own shape where there are several."""
        value: Obj = json.loads(zlib.decompress(next(iter(self.packed.values()))))
        return value


@dataclass(frozen=True, slots=True)
class Asked:
    """The API request under way: what `event.request` tells. Both are null for what time did."""

    id: str | None = None
    key: str | None = None


def subscription_of(invoice: Obj) -> str | None:
    """The id of the subscription that the invoice belongs to; None: a sale of its own."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def _index(value: Obj) -> dict[str, str | None]:
    """The fields that lists filter by, for any kind of object."""
    names = ("customer", "subscription", "product", "payment_intent", "charge", "invoice")
    found = {name: value.get(name) for name in names if isinstance(value.get(name), str)}
    match value["object"]:
        case "invoice":
            found["subscription"] = subscription_of(value)
        case "invoice_payment":
            found["payment_intent"] = value["payment"]["payment_intent"]
        case "customer":
            found["email"] = value.get("email")
        case "checkout.session":
            found["customer_details[email]"] = (value["customer_details"] or {}).get("email")
    return found


class Books:
    """Everything the account holds. `now` (Unix seconds, business time) is the moment being worked on."""

    def __init__(
        self, clock: Clock, *, seed: int | str, livemode: bool, shape: Shape, account: str | None = None
    ) -> None:
        self.clock, self.livemode, self.shape, self.account = clock, livemode, shape, account
        self.random = random.Random(seed)
        self.shelves = {kind: Shelf(_index) for kind in PREFIXES}
        self.events: dict[str, Record] = {}
        self._log: list[Record] = []
        self._forgotten = 0  # events that stood in the log before its first
        self.lag = ReadLag()
        self.asked = Asked()
        self.formats: Callable[[], set[Format]] = lambda: {shape}
        self.publish: Callable[[str, str, dict[Format, bytes]], None] = lambda _id, _type, _bodies: None
        self.pending_hooks: Callable[[str], int] = lambda _: 0
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = itertools.count(1)
        self.now = int(clock.now().timestamp())

    # Time

    def catch_up(self) -> None:
        """Does all that is due by now, in its order and each at its own moment."""
        target = int(self.clock.now().timestamp())
        asked, self.asked = self.asked, Asked()
        while self._timers and self._timers[0][0] <= target:
            due, _, act = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            act()
        self.now, self.asked = max(self.now, target), asked
        self._forget_old_events()

    def at(self, due: int, act: Callable[[], None]) -> None:
        """Calls `act` at `due`; it must look itself whether it still applies."""
        heapq.heappush(self._timers, (due, next(self._sequence), act))

    def _forget_old_events(self) -> None:
        if not self._log or self._log[0].created >= self.now - EVENT_DAYS * DAY:
            return
        kept = bisect_left(self._log, self.now - EVENT_DAYS * DAY, key=lambda record: record.created)
        for record in self._log[:kept]:
            del self.events[record.id]
        del self._log[:kept]
        self._forgotten += kept

    def events_newest_first(self, before: Record | None = None) -> Iterator[Record]:
        """Events of the last 30 days, those older than `before`."""
        end = len(self._log) if before is None else before.number - self._forgotten
        return (self._log[at] for at in range(end - 1, -1, -1))

    def events_oldest_first(self, after: Record) -> Iterator[Record]:
        """Events newer than `after`."""
        return (self._log[at] for at in range(after.number - self._forgotten + 1, len(self._log)))

    # Objects and events

    def new_id(self, prefix: str) -> str:
        return prefix + "".join(self.random.choices(ALPHABET, k=24))

    def number(self) -> int:
        """The next of a series that never repeats."""
        return next(self._sequence)

    def get(self, kind: str, id_: str, *, param: str = "") -> Obj:
        """The object; Refusal 404, or 400 where it was named by `param`."""
        value = self.shelves[kind].objects.get(id_)
        if value is None or (param and value.get("deleted")):
            raise missing(kind, id_, param=param or "id", status=400 if param else 404)
        return value

    def find(self, kind: str, **filters: str) -> list[Obj]:
        """The objects of this kind that these indexed fields name, newest first."""
        return list(self.shelves[kind].newest_first(**filters))

    def add(self, kind: str, value: Obj) -> Obj:
        self.shelves[kind].add(value)
        self.lag.note(value["id"], None)
        return value

    def touch(self, kind: str, value: Obj) -> None:
        """Indexes what was set after `add`."""
        self.shelves[kind].touch(value)

    def happened(self, type_: str, value: Obj, before: Obj | None = None) -> None:
        """Raises an event with a snapshot of `value` as it is now."""
        id_, formats = self.new_id("evt_"), self.formats()
        shapes = [self.shape, *sorted({one for one in formats if one != "thin"} - {self.shape})]
        events = {shape: self._event(id_, type_, shape, value, before) for shape in shapes}
        bodies: dict[Format, bytes] = {shape: json.dumps(event).encode() for shape, event in events.items()}
        packed: dict[Shape, bytes] = {shape: zlib.compress(bodies[shape], 1) for shape in shapes}
        if "thin" in formats:
            bodies["thin"] = json.dumps(notification(events[self.shape])).encode()
        record = Record(id_, type_, self.now, self._forgotten + len(self._log), packed)
        self.events[id_] = record
        self._log.append(record)
        self.publish(id_, type_, bodies)

    def _event(self, id_: str, type_: str, shape: Shape, value: Obj, before: Obj | None) -> Obj:
        data: Obj = {"object": shaped(value, shape)}
        if before is not None:
            data["previous_attributes"] = differences(shaped(before, shape), data["object"])
        return {
            "id": id_,
            "object": "event",
            **({"account": self.account} if self.account else {}),
            "api_version": API_VERSIONS[shape],
            "created": self.now,
            "data": data,
            "livemode": self.livemode,
            "pending_webhooks": self.pending_hooks(type_),
            "request": {"id": self.asked.id, "idempotency_key": self.asked.key},
            "type": type_,
        }

    @contextmanager
    def updating(self, value: Obj, *types: str) -> Iterator[Obj]:
        """Lets the block change `value`; then raises `types`, if it changed. A refusal undoes the change."""
        before = json.dumps(value)
        try:
            yield value
        except Refusal:
            value.clear()
            value.update(json.loads(before))
            raise
        if json.dumps(value) == before:
            return
        self.lag.note(value["id"], before)
        for type_ in types:
            self.happened(type_, value, json.loads(before))

    def everything(self) -> dict[str, Any]:
        """All objects by kind, oldest first, in this account's shape."""
        return {
            kind: [shaped(value, self.shape) for value in shelf.objects.values()]
            for kind, shelf in self.shelves.items()
        }
