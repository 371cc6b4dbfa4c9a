"""What Stripe does with customers, subscriptions and invoices as business time goes by, and the events this raises.

Knows no HTTP. One thread at a time: the emulator holds its lock around every call. Behavior after
docs.stripe.com as quoted in the commerce reference §1.4-1.6 (read 2026-09-27); what is inferred says so.
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
from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_objects import API_VERSIONS, DAY, Obj, Shape, shaped

HOUR = 3600
RETRY_DAYS = (3, 5, 7)  # each after the attempt before it
INCOMPLETE_HOURS = 23
EVENT_DAYS = 30
MAX_ITEMS = 20
LAGGING = ("cus_", "sub_", "in_")  # what reads may lag behind
OVER = ("canceled", "incomplete_expired")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIXES = {
    "customers": "cus_",
    "products": "prod_",
    "prices": "price_",
    "subscriptions": "sub_",
    "invoices": "in_",
    "payment_intents": "pi_",
    "charges": "ch_",
    "refunds": "re_",
    "invoice_payments": "inpay_",
    "checkout/sessions": "cs_",
}


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


@dataclass
class Shelf:
    """Objects of one kind in the order they were made, with an index on the fields that lists filter by."""

    index: Callable[[Obj], dict[str, str | None]]
    objects: dict[str, Obj] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    by: defaultdict[tuple[str, str | None], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, value: Obj) -> None:
        self.place[value["id"]] = len(self.order)
        self.order.append(value["id"])
        self.objects[value["id"]] = value
        for pair in self.index(value).items():
            self.by[pair].append(value["id"])

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
            if len(filters) < 2 or filters.items() <= self.index(value).items():
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
        if not self.seconds or self.changes == 0 or not id_.startswith(LAGGING):
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

    def body(self, shape: Shape) -> bytes:
        """The body in this shape, or in the one there is (an endpoint may be newer than the event)."""
        return zlib.decompress(self.packed.get(shape) or next(iter(self.packed.values())))


@dataclass(frozen=True, slots=True)
class Asked:
    """The API request under way: what `event.request` tells. Both are null for what time did."""

    id: str | None = None
    key: str | None = None


def _index(value: Obj) -> dict[str, str | None]:
    """The fields that lists filter by, for any kind of object."""
    found = {name: value.get(name) for name in ("customer", "subscription", "product", "payment_intent", "charge")}
    match value["object"]:
        case "invoice":
            found["subscription"] = subscription_of(value)
        case "invoice_payment":
            found |= {"invoice": value["invoice"], "payment_intent": value["payment"]["payment_intent"]}
        case "customer":
            found["email"] = value.get("email")
    return found


def subscription_of(invoice: Obj) -> str:
    """The id of the subscription that the invoice belongs to."""
    return str(invoice["parent"]["subscription_details"]["subscription"])


class Billing:
    """Everything the account holds. `now` (Unix seconds, business time) is the moment being worked on."""

    def __init__(self, clock: Clock, *, seed: int, livemode: bool, shape: Shape) -> None:
        self.clock, self.livemode, self.shape = clock, livemode, shape
        self.random = random.Random(seed)
        self.shelves = {kind: Shelf(_index) for kind in PREFIXES}
        self.items: dict[str, str] = {}  # item id -> subscription id
        self.events: dict[str, Record] = {}
        self._log: list[Record] = []
        self._forgotten = 0  # events that stood in the log before its first
        self.lag = ReadLag()
        self.asked = Asked()
        self.final = "canceled"  # what a subscription becomes after the last failed retry
        self.cards: dict[str, bool | None] = {}  # customer -> payments succeed, fail, or (None) there is no card
        self.shapes: Callable[[], set[Shape]] = lambda: {shape}
        self.publish: Callable[[str, str, dict[Shape, bytes]], None] = lambda _id, _type, _bodies: None
        self.pending_hooks: Callable[[str], int] = lambda _: 0
        self._prorations: defaultdict[str, list[Obj]] = defaultdict(list)
        self._warned: set[tuple[str, int]] = set()
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

    def get(self, kind: str, id_: str, *, param: str = "") -> Obj:
        """The object; Refusal 404, or 400 where it was named by `param`."""
        value = self.shelves[kind].objects.get(id_)
        if value is None or (param and value.get("deleted")):
            raise missing(kind, id_, param=param or "id", status=400 if param else 404)
        return value

    def add(self, kind: str, value: Obj) -> Obj:
        self.shelves[kind].add(value)
        self.lag.note(value["id"], None)
        return value

    def happened(self, type_: str, value: Obj, before: Obj | None = None) -> None:
        """Raises an event with a snapshot of `value` as it is now."""
        id_ = self.new_id("evt_")
        bodies = {shape: self._body(id_, type_, shape, value, before) for shape in self.shapes()}
        packed = {shape: zlib.compress(body, 1) for shape, body in bodies.items()}
        record = Record(id_, type_, self.now, self._forgotten + len(self._log), packed)
        self.events[id_] = record
        self._log.append(record)
        self.publish(id_, type_, bodies)

    def _body(self, id_: str, type_: str, shape: Shape, value: Obj, before: Obj | None) -> bytes:
        data: Obj = {"object": shaped(value, shape)}
        if before is not None:
            data["previous_attributes"] = objects.differences(shaped(before, shape), data["object"])
        event = {
            "id": id_,
            "object": "event",
            "api_version": API_VERSIONS[shape],
            "created": self.now,
            "data": data,
            "livemode": self.livemode,
            "pending_webhooks": self.pending_hooks(type_),
            "request": {"id": self.asked.id, "idempotency_key": self.asked.key},
            "type": type_,
        }
        return json.dumps(event).encode()

    @contextmanager
    def updating(self, value: Obj, type_: str = "") -> Iterator[Obj]:
        """Lets the block change `value`; then raises `type_`, if it changed. A refusal undoes the change."""
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
        if type_:
            self.happened(type_, value, json.loads(before))

    # Customers, products, prices

    def create_customer(self, params: Obj) -> Obj:
        value = objects.customer(self.new_id("cus_"), params, self.now, livemode=self.livemode)
        self.happened("customer.created", self.add("customers", value))
        return value

    def update_customer(self, id_: str, params: Obj) -> Obj:
        value = self.get("customers", id_, param="id")
        with self.updating(value, "customer.updated"):
            self._merge(value, params, ("address", "description", "email", "name", "phone"))
        return value

    def delete_customer(self, id_: str) -> Obj:
        """Its subscriptions are canceled at once; the id stays readable as deleted."""
        value = self.get("customers", id_, param="id")
        for sub in list(self.shelves["subscriptions"].newest_first(customer=id_)):
            if sub["status"] not in OVER:
                self._end(sub, "cancellation_requested")
        self.happened("customer.deleted", value)
        gone = {"id": id_, "object": "customer", "deleted": True}
        with self.updating(value):
            value.clear()
            value.update(gone)
        return gone

    def create_product(self, params: Obj) -> Obj:
        self.need(params, "name")
        value = objects.product(params.get("id") or self.new_id("prod_"), params, self.now, livemode=self.livemode)
        self.happened("product.created", self.add("products", value))
        return value

    def update_product(self, id_: str, params: Obj) -> Obj:
        value = self.get("products", id_)
        with self.updating(value, "product.updated"):
            self._merge(value, params, ("description", "name", "unit_label"))
        return value

    def create_price(self, params: Obj) -> Obj:
        self.need(params, "currency")
        if "product_data" in params:
            product = self.create_product(params["product_data"])["id"]
        else:
            self.need(params, "product")
            product = self.get("products", params["product"], param="product")["id"]
        if "recurring" in params:
            self.need(params["recurring"], "interval")
        self._claim_lookup_key(params)
        value = objects.price(self.new_id("price_"), params, product, self.now, livemode=self.livemode)
        self.happened("price.created", self.add("prices", value))
        return value

    def update_price(self, id_: str, params: Obj) -> Obj:
        value = self.get("prices", id_)
        if params.get("lookup_key") not in (None, value["lookup_key"]):
            self._claim_lookup_key(params)
        with self.updating(value, "price.updated"):
            self._merge(value, params, ("lookup_key", "nickname"))
        return value

    def _claim_lookup_key(self, params: Obj) -> None:
        key = params.get("lookup_key")
        taken = [each for each in self.shelves["prices"].objects.values() if key and each["lookup_key"] == key]
        for each in taken:
            if params.get("transfer_lookup_key") != "true":
                raise Refusal(400, f"A price (`{each['id']}`) already uses that lookup key.", param="lookup_key")
            with self.updating(each, "price.updated"):
                each["lookup_key"] = None

    @staticmethod
    def need(params: Obj, *names: str) -> None:
        """Refuses where one of `names` is not given."""
        for name in names:
            if not params.get(name):
                raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)

    @staticmethod
    def _merge(value: Obj, params: Obj, names: tuple[str, ...]) -> None:
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

    # How subscriptions start

    def create_subscription(self, params: Obj) -> Obj:
        self.need(params, "customer", "items")
        buyer = self.get("customers", params["customer"], param="customer")
        prices = [self._price(each, f"items[{at}][price]") for at, each in enumerate(params["items"])]
        if len({price["currency"] for price in prices}) > 1:
            raise Refusal(400, "All prices on a subscription must have the same currency.", param="items")
        self._refuse_doubles([price["id"] for price in prices])
        behavior = params.get("payment_behavior", "allow_incomplete")
        if behavior == "error_if_incomplete" and not self.pays(buyer["id"]):
            raise _declined()
        sub = objects.subscription(self.new_id("sub_"), params, prices[0]["currency"], self.now, livemode=self.livemode)
        self._set_first_terms(sub, params)
        for wanted, price in zip(params["items"], prices, strict=True):
            self._add_item(sub, price, wanted)
        self._set_cancellation(sub, params)
        self.add("subscriptions", sub)
        self._start(sub, collect=behavior != "default_incomplete")
        return sub

    def _price(self, wanted: Obj, param: str) -> Obj:
        if "price" not in wanted:
            raise Refusal(400, f"Missing required param: {param}.", code="parameter_missing", param=param)
        price = self.get("prices", wanted["price"], param=param)
        if not price["recurring"]:
            raise Refusal(400, "The price specified is set to `type=one_time`, a recurring one is needed.", param=param)
        if not price["active"]:
            raise Refusal(400, "The price specified is inactive. This field only accepts active prices.", param=param)
        return price

    @staticmethod
    def _refuse_doubles(prices: list[str]) -> None:
        if len(set(prices)) < len(prices):
            raise Refusal(400, "Cannot add multiple subscription items with the same price.", param="items")

    def _set_first_terms(self, sub: Obj, params: Obj) -> None:
        if params.get("trial_period_days"):
            sub["trial_end"] = self.now + int(params["trial_period_days"]) * DAY
        elif params.get("trial_end") not in (None, "", "now"):
            sub["trial_end"] = int(params["trial_end"])
        if sub["trial_end"]:
            sub |= {"trial_start": self.now, "status": "trialing", "billing_cycle_anchor": sub["trial_end"]}
        elif sub["collection_method"] == "send_invoice":
            sub["status"] = "active"
        if params.get("billing_cycle_anchor"):
            sub["billing_cycle_anchor"] = int(params["billing_cycle_anchor"])

    def _add_item(self, sub: Obj, price: Obj, wanted: Obj) -> Obj:
        items = sub["items"]
        if len(items["data"]) == MAX_ITEMS:
            raise Refusal(400, f"A subscription can have at most {MAX_ITEMS} items.", param="items")
        period = self._period_for(sub, price)
        value = objects.item(self.new_id("si_"), sub["id"], price, wanted, period, self.now)
        items["data"].append(value)
        items["total_count"] = len(items["data"])
        self.items[value["id"]] = sub["id"]
        return value

    def _period_for(self, sub: Obj, price: Obj) -> tuple[int, int]:
        """The period of an item that joins now: the trial, its siblings' of the same interval, or up to the anchor."""
        if sub["status"] == "trialing":
            return sub["trial_start"], sub["trial_end"]
        for sibling in sub["items"]["data"]:
            if _same_interval(sibling["price"], price):
                return sibling["current_period_start"], sibling["current_period_end"]
        return self.now, objects.period_end(sub["billing_cycle_anchor"], self.now, price["recurring"])

    def _start(self, sub: Obj, *, collect: bool) -> None:
        lines = [self._line(item, free=sub["status"] == "trialing") for item in sub["items"]["data"]]
        invoice = self._draft(sub, lines, "subscription_create", announce=False)
        sub["latest_invoice"] = invoice["id"]
        self.happened("customer.subscription.created", sub)
        self.happened("invoice.created", invoice)
        self._watch(sub)
        if sub["status"] == "incomplete":
            self.at(self.now + INCOMPLETE_HOURS * HOUR, lambda: self._expire(sub))
        if sub["collection_method"] == "send_invoice" and invoice["amount_due"]:
            self._finalize_later(invoice)
            return
        self._finalize(invoice, collect=collect)

    def _expire(self, sub: Obj) -> None:
        if sub["status"] != "incomplete":
            return
        self._void_open(sub)
        if sub["status"] == "incomplete":
            self._end(sub, None, status="incomplete_expired", type_="customer.subscription.updated")

    # What time does to them

    def _watch(self, sub: Obj) -> None:
        """Sets timers for the moments that matter to the subscription; one that comes in vain does nothing."""
        moments = {item["current_period_end"] for item in sub["items"]["data"]}
        moments |= {sub["cancel_at"], (sub["pause_collection"] or {}).get("resumes_at")}
        for moment in sorted(moments - {None}):
            self.at(max(self.now, moment), lambda: self._turn(sub))
        if sub["status"] == "trialing":
            warn = sub["trial_end"]
            self.at(max(self.now, warn - 3 * DAY), lambda: self._trial_will_end(sub, warn))

    def _trial_will_end(self, sub: Obj, trial_end: int) -> None:
        warned = (sub["id"], trial_end) in self._warned
        if sub["status"] == "trialing" and sub["trial_end"] == trial_end and not warned:
            self._warned.add((sub["id"], trial_end))
            self.happened("customer.subscription.trial_will_end", sub)

    def _turn(self, sub: Obj) -> None:
        """Does what is due: the end, the trial's end, or the next period. Does nothing where a timer came in vain."""
        if sub["status"] in OVER:
            return
        self._resume_collection(sub)
        if sub["cancel_at"] and sub["cancel_at"] <= self.now:
            self._end(sub, "cancellation_requested")
            return
        due = [item for item in sub["items"]["data"] if item["current_period_end"] <= self.now]
        if not due or sub["status"] in ("paused", "incomplete"):
            return
        if sub["status"] == "trialing":
            self._end_trial(sub, "subscription_cycle")
        else:
            self._renew(sub, due, "subscription_cycle")
        if sub["status"] not in OVER:
            self._watch(sub)

    def _resume_collection(self, sub: Obj) -> None:
        pause = sub["pause_collection"]
        if pause and pause["resumes_at"] and pause["resumes_at"] <= self.now:
            with self.updating(sub, "customer.subscription.updated"):
                sub["pause_collection"] = None

    def _end_trial(self, sub: Obj, reason: str) -> Obj | None:
        """The first paid period starts; or, without a card, what `trial_settings` say."""
        without = sub["trial_settings"]["end_behavior"]["missing_payment_method"]
        if self.cards.get(sub["customer"], True) is None and without != "create_invoice":
            if without == "cancel":
                self._end(sub, "payment_failed")
                return None
            with self.updating(sub, "customer.subscription.paused"):
                sub |= {"status": "paused", "trial_end": min(sub["trial_end"], self.now)}
            return None
        return self._renew(sub, sub["items"]["data"], reason, status="active")

    def _renew(self, sub: Obj, due: list[Obj], reason: str, status: str | None = None) -> Obj:
        """The due items' periods move AT ONCE; their invoice is a draft for an hour, then finalized and collected."""
        ended = max(min(item["current_period_start"] for item in due), 0)
        with self.updating(sub, "customer.subscription.updated"):
            sub["status"] = status or sub["status"]
            for item in due:
                self._move(sub, item)
            lines = [self._line(item) for item in due] + self._prorations.pop(sub["id"], [])
            invoice = self._draft(sub, lines, reason, period=(ended, self.now))
            sub["latest_invoice"] = invoice["id"]
        if sub["status"] == "unpaid" or (sub["pause_collection"] or {}).get("behavior") == "keep_as_draft":
            with self.updating(invoice):
                invoice["auto_advance"] = False
        elif reason == "subscription_cycle":
            self._finalize_later(invoice)
        return invoice

    def _move(self, sub: Obj, item: Obj) -> None:
        start = item["current_period_end"]
        item["current_period_start"] = start
        item["current_period_end"] = objects.period_end(sub["billing_cycle_anchor"], start, item["price"]["recurring"])

    def _end(
        self,
        sub: Obj,
        reason: str | None,
        *,
        status: str = "canceled",
        type_: str = "customer.subscription.deleted",
        details: Obj | None = None,
    ) -> None:
        """Over now. What is still to be paid stays open, but is no longer collected."""
        for invoice in self.shelves["invoices"].newest_first(subscription=sub["id"]):
            if invoice["status"] in ("draft", "open"):
                with self.updating(invoice):
                    invoice |= {"auto_advance": False, "next_payment_attempt": None}
        with self.updating(sub):
            sub |= {"status": status, "ended_at": self.now, "canceled_at": sub["canceled_at"] or self.now}
            sub["cancellation_details"] = sub["cancellation_details"] | {"reason": reason} | (details or {})
        self.happened(type_, sub)

    # What the seller changes

    def update_subscription(self, id_: str, params: Obj) -> Obj:
        sub = self.get("subscriptions", id_)
        if sub["status"] in OVER and params.keys() - {"metadata", "cancellation_details", "expand"}:
            raise Refusal(
                400, "A canceled subscription can only update its cancellation_details and metadata.", param="id"
            )
        bill: list[Obj] = []
        with self.updating(sub, "customer.subscription.updated"):
            self._merge(sub, params, ("description", "default_payment_method", "collection_method"))
            self._set_pause(sub, params)
            fresh = self._set_items(sub, params, bill)
            fresh |= self._set_trial(sub, params)
            self._set_cancellation(sub, params)
            fresh |= self._set_anchor(sub, params)
            behavior = params.get("proration_behavior", "create_prorations")
            invoice = self._bill_change(sub, bill, behavior, fresh=fresh)
        if sub["status"] not in OVER:
            self._watch(sub)
        if invoice:
            self.happened("invoice.created", invoice)
            self._finalize(invoice)
        return sub

    def _set_pause(self, sub: Obj, params: Obj) -> None:
        if "pause_collection" not in params:
            return
        wanted = params["pause_collection"]
        resumes = wanted.get("resumes_at") if wanted else None
        if wanted and wanted.get("behavior") not in ("keep_as_draft", "mark_uncollectible", "void"):
            raise Refusal(400, "Invalid pause_collection[behavior].", param="pause_collection[behavior]")
        sub["pause_collection"] = wanted and {
            "behavior": wanted["behavior"],
            "resumes_at": int(resumes) if resumes else None,
        }
        sub["pause_collection"] = sub["pause_collection"] or None

    def _set_trial(self, sub: Obj, params: Obj) -> bool:
        """True where a trial ends now, so that a first period is to be billed."""
        wanted = params.get("trial_end")
        if not wanted:
            return False
        if wanted == "now":
            if sub["status"] != "trialing":
                return False
            self._trial_will_end(sub, sub["trial_end"])  # also raised when a trial is cut short
            sub |= {"status": "active", "trial_end": self.now}
            self._restart(sub)
            return True
        end = int(wanted)
        sub |= {"status": "trialing", "trial_start": sub["trial_start"] or self.now, "trial_end": end}
        sub["billing_cycle_anchor"] = end
        for item in sub["items"]["data"]:
            item |= {"current_period_start": self.now, "current_period_end": end}
        return False

    def _set_anchor(self, sub: Obj, params: Obj) -> bool:
        wanted = params.get("billing_cycle_anchor")
        if wanted != "now" and (not isinstance(wanted, dict) or wanted.get("type") != "now"):
            return False
        self._restart(sub)
        return True

    def _restart(self, sub: Obj) -> None:
        """All items begin a period now."""
        sub["billing_cycle_anchor"] = self.now
        for item in sub["items"]["data"]:
            self._restart_item(sub, item)

    def _restart_item(self, sub: Obj, item: Obj) -> None:
        item["current_period_start"] = self.now
        item["current_period_end"] = objects.period_end(self.now, self.now, item["price"]["recurring"])

    def _set_cancellation(self, sub: Obj, params: Obj) -> None:
        """Portal and flexible billing set `cancel_at` alone; the API's boolean sets both (§1.4)."""
        ends = [item["current_period_end"] for item in sub["items"]["data"]]
        flag, at = params.get("cancel_at_period_end"), params.get("cancel_at")
        words = {"min_period_end": min(ends), "max_period_end": max(ends)}
        match flag, at:
            case "true", _:
                sub |= {"cancel_at_period_end": True, "cancel_at": max(ends)}
            case "false", None if sub["cancel_at_period_end"]:
                sub |= {"cancel_at_period_end": False, "cancel_at": None}
            case _, "":
                sub |= {"cancel_at_period_end": False, "cancel_at": None}
            case _, str():
                sub |= {"cancel_at_period_end": False, "cancel_at": words.get(at) or int(at)}
            case _:
                return
        wanted = params.get("cancellation_details") or {}
        sub["canceled_at"] = self.now if sub["cancel_at"] else None
        sub["cancellation_details"] = {
            "comment": wanted.get("comment"),
            "feedback": wanted.get("feedback"),
            "reason": "cancellation_requested" if sub["cancel_at"] else None,
        }

    def _set_items(self, sub: Obj, params: Obj, bill: list[Obj]) -> bool:
        """Applies `items`, appends proration lines to `bill`; True where an interval changed, which restarts it."""
        known = {item["id"]: item for item in sub["items"]["data"]}
        fresh = False
        for at, wanted in enumerate(params.get("items") or []):
            if "id" not in wanted:
                self._refuse_doubles([wanted.get("price", ""), *(each["price"]["id"] for each in known.values())])
                added = self._add_item(sub, self._price(wanted, f"items[{at}][price]"), wanted)
                bill.append(self._proration(sub, added, 1))
                continue
            if wanted["id"] not in known:
                raise missing("subscription_items", wanted["id"], param=f"items[{at}][id]", status=400)
            fresh |= self._set_item(sub, known[wanted["id"]], wanted, bill, at)
        return fresh

    def _set_item(self, sub: Obj, item: Obj, wanted: Obj, bill: list[Obj], at: int) -> bool:
        if wanted.get("deleted") == "true":
            self._remove_item(sub, item)
            bill.append(self._proration(sub, item, -1))
            return False
        price = self._price(wanted, f"items[{at}][price]") if "price" in wanted else item["price"]
        quantity = int(wanted["quantity"]) if wanted.get("quantity") else item["quantity"]
        restarts = not _same_interval(price, item["price"])
        if (price["id"], quantity) != (item["price"]["id"], item["quantity"]):
            bill.append(self._proration(sub, item, -1))
            item |= {"price": price, "quantity": quantity}
            if restarts:
                sub["billing_cycle_anchor"] = self.now
                self._restart_item(sub, item)
            else:
                bill.append(self._proration(sub, item, 1))
        self._merge(item, {"metadata": wanted.get("metadata")}, ())
        return restarts

    @staticmethod
    def _remove_item(sub: Obj, item: Obj) -> None:
        items = sub["items"]
        if len(items["data"]) == 1:
            raise Refusal(400, "A subscription must have at least one active item.", param="items")
        items["data"] = [each for each in items["data"] if each is not item]
        items["total_count"] = len(items["data"])

    def _proration(self, sub: Obj, item: Obj, sign: int) -> Obj:
        """The rest of the period, credited or charged."""
        start, end = item["current_period_start"], item["current_period_end"]
        rest = max(end - self.now, 0) / max(end - start, 1)
        amount = round(sign * item["price"]["unit_amount"] * (item["quantity"] or 0) * rest)
        classic = sub["billing_mode"]["type"] == "classic"
        return objects.line(
            self.new_id("il_"), item, amount, (self.now, end), invoice_item=self.new_id("ii_"), classic=classic
        )

    def _bill_change(self, sub: Obj, bill: list[Obj], behavior: str, *, fresh: bool) -> Obj | None:
        """Bills a change at once where asked, or where a period began anew; else keeps it for the next invoice."""
        if sub["status"] not in ("active", "past_due", "unpaid") or (behavior == "none" and not fresh):
            return None
        if behavior != "none":
            self._prorations[sub["id"]] += bill
        begun = [item for item in sub["items"]["data"] if fresh and item["current_period_start"] == self.now]
        if not begun and (behavior != "always_invoice" or not self._prorations[sub["id"]]):
            return None
        lines = [self._line(item) for item in begun] + self._prorations.pop(sub["id"], [])
        invoice = self._draft(sub, lines, "subscription_update", announce=False)
        sub["latest_invoice"] = invoice["id"]
        return invoice

    def cancel_subscription(self, id_: str, params: Obj) -> Obj:
        sub = self.get("subscriptions", id_)
        if sub["status"] in OVER:
            raise missing("subscriptions", id_)
        if sub["status"] == "incomplete":
            self._void_open(sub)
            return sub
        given = params.get("cancellation_details") or {}
        details = {key: given[key] for key in ("comment", "feedback") if key in given}
        self._end(sub, "cancellation_requested", details=details)
        return sub

    def pause_subscription(self, id_: str) -> Obj:
        """Status paused: service stops, nothing is billed (2026-09-30.endive)."""
        sub = self.get("subscriptions", id_)
        if sub["status"] not in ("active", "trialing", "past_due"):
            raise Refusal(400, f"A subscription that is {sub['status']} can't be paused.", param="id")
        with self.updating(sub, "customer.subscription.paused"):
            sub["status"] = "paused"
        return sub

    def resume_subscription(self, id_: str, params: Obj) -> Obj:
        """Active again; a new period is billed where the old one has run out or the anchor is to be now."""
        sub = self.get("subscriptions", id_)
        if sub["status"] != "paused":
            raise Refusal(400, "Only paused subscriptions can be resumed.", param="id")
        invoice = None
        with self.updating(sub, "customer.subscription.resumed"):
            sub["status"] = "active"
            lapsed = min(item["current_period_end"] for item in sub["items"]["data"]) <= self.now
            if lapsed or params.get("billing_cycle_anchor", "now") == "now":
                self._restart(sub)
                invoice = self._bill_change(sub, [], "none", fresh=True)
        self._watch(sub)
        if invoice:
            self.happened("invoice.created", invoice)
            self._finalize(invoice)
        return sub

    # Invoices

    def _line(self, item: Obj, *, free: bool = False) -> Obj:
        amount = 0 if free else item["price"]["unit_amount"] * (item["quantity"] or 0)
        period = item["current_period_start"], item["current_period_end"]
        return objects.line(self.new_id("il_"), item, amount, period)

    def _draft(
        self, sub: Obj, lines: list[Obj], reason: str, *, period: tuple[int, int] | None = None, announce: bool = True
    ) -> Obj:
        """A draft invoice. Its own period is the one that ended, its lines' is the one to be paid."""
        buyer = self.get("customers", sub["customer"])
        invoice = objects.invoice(self.new_id("in_"), sub, lines, reason, buyer, self.now)
        if period:
            invoice |= {"period_start": period[0], "period_end": period[1]}
        self.add("invoices", invoice)
        if announce:
            self.happened("invoice.created", invoice)
        return invoice

    def _finalize_later(self, invoice: Obj) -> None:
        """Drafts wait an hour: the period has moved, and nobody has paid."""
        invoice["automatically_finalizes_at"] = self.now + HOUR
        self.at(self.now + HOUR, lambda: self._finalize_draft(invoice))

    def _finalize_draft(self, invoice: Obj) -> None:
        if invoice["status"] != "draft" or not invoice["auto_advance"]:
            return
        pause = self.get("subscriptions", subscription_of(invoice))["pause_collection"]
        if pause and pause["behavior"] == "keep_as_draft":
            invoice["auto_advance"] = False
            return
        self._finalize(invoice, collect=not pause)
        if pause and invoice["status"] == "open":  # one over nothing is paid by now
            give_up = {"void": self.void, "mark_uncollectible": self.mark_uncollectible}[pause["behavior"]]
            give_up(invoice["id"])

    def _finalize(self, invoice: Obj, *, collect: bool = True) -> None:
        with self.updating(invoice):
            number = next(self._sequence)
            invoice |= {"status": "open", "number": f"{invoice['customer'][-8:].upper()}-{number:04}"}
            invoice |= {"effective_at": self.now, "automatically_finalizes_at": None, "ending_balance": 0}
            invoice["status_transitions"]["finalized_at"] = self.now
            invoice["hosted_invoice_url"] = f"https://invoice.stripe.test/i/{invoice['id']}"
        if not invoice["amount_due"]:
            self.happened("invoice.finalized", invoice)
            self._settle(invoice)
        elif invoice["collection_method"] == "send_invoice":
            self._send(invoice)
        else:
            self.happened("invoice.finalized", invoice)
            if collect:
                self._collect(invoice)

    def _send(self, invoice: Obj) -> None:
        days = self.get("subscriptions", subscription_of(invoice))["days_until_due"]
        with self.updating(invoice):
            invoice["due_date"] = self.now + (days or 30) * DAY
        self.happened("invoice.finalized", invoice)
        self.happened("invoice.sent", invoice)
        self.at(invoice["due_date"], lambda: self._overdue(invoice))

    def _overdue(self, invoice: Obj) -> None:
        if invoice["status"] != "open":
            return
        self.happened("invoice.overdue", invoice)
        self._set_status(invoice, {"active": "past_due"})

    def pays(self, customer: str) -> bool:
        """Whether a payment of this customer succeeds now."""
        return bool(self.cards.get(customer, True))

    def _collect(self, invoice: Obj) -> bool:
        """One attempt. Says whether it was paid."""
        if self.pays(invoice["customer"]):
            self._settle(invoice)
            return True
        self._fail(invoice)
        return False

    def _pay_by_card(self, amount: int, currency: str, buyer: str | None, *, ok: bool) -> Obj:
        """A payment intent and its charge, after the attempt."""
        intent = objects.payment_intent(
            self.new_id("pi_"), amount, currency, buyer, self.now, ok=ok, livemode=self.livemode
        )
        charge = objects.charge(self.new_id("ch_"), intent, self.now)
        intent["latest_charge"] = charge["id"]
        self.add("payment_intents", intent)
        self.add("charges", charge)
        self.happened("payment_intent.created", intent)
        self.happened("charge.succeeded" if ok else "charge.failed", charge)
        self.happened("payment_intent.succeeded" if ok else "payment_intent.payment_failed", intent)
        return intent

    def _settle(self, invoice: Obj, *, out_of_band: bool = False) -> None:
        """Paid. Out of band there is no charge and no invoice.payment_succeeded, only invoice.paid (§1.6)."""
        with self.updating(invoice):
            if invoice["amount_due"] and not out_of_band:
                self._charge(invoice)
            self._mark_paid(invoice, out_of_band=out_of_band)
        self.happened("invoice.paid", invoice)
        if not out_of_band:
            self.happened("invoice.payment_succeeded", invoice)
        self._set_status(invoice, {"incomplete": "active", "past_due": "active", "unpaid": "active"})

    def _charge(self, invoice: Obj) -> None:
        intent = self._pay_by_card(invoice["amount_due"], invoice["currency"], invoice["customer"], ok=True)
        self._tie(invoice, intent)
        payment = objects.invoice_payment(self.new_id("inpay_"), invoice, intent, self.now)
        self.happened("invoice_payment.paid", self.add("invoice_payments", payment))

    def _tie(self, invoice: Obj, intent: Obj) -> None:
        """What 2020-08-27 shows as invoice.charge, invoice.payment_intent and charge.invoice."""
        invoice |= {"_charge": intent["latest_charge"], "_payment_intent": intent["id"]}
        intent["_invoice"] = self.get("charges", intent["latest_charge"])["_invoice"] = invoice["id"]

    def _mark_paid(self, invoice: Obj, *, out_of_band: bool) -> None:
        charged = bool(invoice["amount_due"]) and not out_of_band
        invoice |= {
            "status": "paid",
            "amount_paid": invoice["amount_due"],
            "amount_paid_off_stripe": invoice["amount_due"] if out_of_band else 0,
            "amount_remaining": 0,
            "attempted": True,
            "attempt_count": invoice["attempt_count"] + charged,
            "auto_advance": False,
            "next_payment_attempt": None,
            "_out_of_band": out_of_band,
        }
        invoice["status_transitions"]["paid_at"] = self.now

    def _fail(self, invoice: Obj) -> None:
        """A failed attempt: past_due and a retry in 3, 5, 7 days; after the last, the account's choice."""
        sub = self.get("subscriptions", subscription_of(invoice))
        with self.updating(invoice, "invoice.updated"):
            self._tie(
                invoice, self._pay_by_card(invoice["amount_due"], invoice["currency"], invoice["customer"], ok=False)
            )
            tries = invoice["attempt_count"] = invoice["attempt_count"] + 1
            again = sub["status"] != "incomplete" and sub["status"] not in OVER and tries <= len(RETRY_DAYS)
            due = self.now + RETRY_DAYS[tries - 1] * DAY if again else None
            invoice |= {"attempted": True, "next_payment_attempt": due, "auto_advance": again}
        self.happened("invoice.payment_failed", invoice)
        if due is not None:
            self.at(due, lambda: self._retry(invoice, due))
        self._set_status(invoice, {"active": "past_due"})
        if not again and tries > len(RETRY_DAYS):
            self._give_up(sub)

    def _retry(self, invoice: Obj, due: int) -> None:
        if invoice["status"] == "open" and invoice["next_payment_attempt"] == due:
            self._collect(invoice)

    def _give_up(self, sub: Obj) -> None:
        if sub["status"] != "past_due" or self.final == "past_due":
            return
        if self.final == "canceled":
            self._end(sub, "payment_failed")
            return
        with self.updating(sub, "customer.subscription.updated"):
            sub["status"] = self.final

    def _set_status(self, invoice: Obj, moves: dict[str, str]) -> None:
        """Moves the subscription's status as `moves` says, where this is its latest invoice."""
        sub = self.get("subscriptions", subscription_of(invoice))
        if sub["status"] in moves and sub["latest_invoice"] == invoice["id"]:
            with self.updating(sub, "customer.subscription.updated"):
                sub["status"] = moves[sub["status"]]

    def pay(self, id_: str, params: Obj) -> Obj:
        invoice = self.get("invoices", id_)
        if invoice["status"] == "draft":
            self._finalize(invoice, collect=False)
        if invoice["status"] not in ("open", "uncollectible"):
            if invoice["status"] == "paid":
                raise Refusal(400, "Invoice is already paid", code="invoice_already_paid")
            raise Refusal(400, f"Invoice is {invoice['status']} and can't be paid.")
        if params.get("paid_out_of_band") == "true":
            self._settle(invoice, out_of_band=True)
        elif not self._collect(invoice):
            raise _declined()
        return invoice

    def finalize(self, id_: str) -> Obj:
        invoice = self.get("invoices", id_)
        if invoice["status"] != "draft":
            raise Refusal(400, "This invoice is already finalized.", code="invoice_not_editable")
        self._finalize(invoice, collect=False)
        return invoice

    def void(self, id_: str) -> Obj:
        """The debt is canceled. A first invoice takes its subscription along: incomplete_expired."""
        invoice = self._close(id_, "void", "voided_at", "invoice.voided", ("open", "uncollectible"))
        sub = self.get("subscriptions", subscription_of(invoice))
        if sub["status"] == "incomplete":
            self._end(sub, None, status="incomplete_expired", type_="customer.subscription.updated")
        return invoice

    def mark_uncollectible(self, id_: str) -> Obj:
        """Written off; it can still be paid later."""
        return self._close(id_, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible", ("open",))

    def _close(self, id_: str, status: str, stamp: str, type_: str, allowed: tuple[str, ...]) -> Obj:
        invoice = self.get("invoices", id_)
        if invoice["status"] not in allowed:
            raise Refusal(400, f"You can't do this with an invoice that is {invoice['status']}.")
        with self.updating(invoice):
            invoice |= {"status": status, "auto_advance": False, "next_payment_attempt": None}
            invoice["status_transitions"][stamp] = self.now
        self.happened(type_, invoice)
        self._set_status(invoice, {"past_due": "active"})  # inferred: nothing is left to be paid
        return invoice

    def _void_open(self, sub: Obj) -> None:
        for invoice in list(self.shelves["invoices"].newest_first(subscription=sub["id"])):
            if invoice["status"] == "open":
                self.void(invoice["id"])

    # Refunds

    def refund(self, params: Obj) -> Obj:
        """Refunds a charge (named by itself or by its payment intent) in full or in part."""
        charge = self._charge_to_refund(params)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = int(params.get("amount") or left)
        if not 0 < amount <= left:
            raise Refusal(400, "Refund amount is greater than unrefunded amount on charge.", param="amount")
        value = self.add("refunds", objects.refund(self.new_id("re_"), charge, amount, params, self.now))
        self.happened("refund.created", value)
        with self.updating(charge, "charge.refunded"):
            charge["amount_refunded"] += amount
            charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        return value

    def _charge_to_refund(self, params: Obj) -> Obj:
        if params.get("charge"):
            return self.get("charges", params["charge"], param="charge")
        self.need(params, "payment_intent")
        intent = self.get("payment_intents", params["payment_intent"], param="payment_intent")
        return self.get("charges", intent["latest_charge"])

    # Checkout

    def create_session(self, params: Obj) -> Obj:
        self.need(params, "mode", "line_items")
        if params.get("customer"):
            self.get("customers", params["customer"], param="customer")
        lines = []
        for at, wanted in enumerate(params["line_items"]):
            price = self.get("prices", wanted.get("price", ""), param=f"line_items[{at}][price]")
            lines.append(objects.session_line(self.new_id("li_"), price, int(wanted.get("quantity", 1))))
        prefix = "cs_live_" if self.livemode else "cs_test_"
        value = objects.session(self.new_id(prefix), params, lines, self.now, livemode=self.livemode)
        self.add("checkout/sessions", value)
        self.at(value["expires_at"], lambda: self._expire_session(value))
        return value

    def _expire_session(self, session: Obj) -> None:
        if session["status"] == "open":
            with self.updating(session):
                session |= {"status": "expired", "url": None}
            self.happened("checkout.session.expired", session)

    def complete_session(self, id_: str) -> Obj:
        """The buyer pays: customer (where none was given), subscription or payment, and the session is complete."""
        session = self.get("checkout/sessions", id_)
        if session["status"] != "open":
            raise Refusal(400, f"This session is {session['status']}.")
        buyer = session["customer"] or self._buyer(session)
        if not self.pays(buyer):
            raise _declined()
        with self.updating(session):
            session |= {"status": "complete", "payment_status": "paid", "url": None, "customer": buyer}
            session["customer_details"] = {"email": self.get("customers", buyer)["email"], "name": None}
            self._sell(session, buyer)
        self.happened("checkout.session.completed", session)
        return session

    def _buyer(self, session: Obj) -> str:
        return str(self.create_customer({"email": session["customer_email"] or "buyer@example.com"})["id"])

    def _sell(self, session: Obj, buyer: str) -> None:
        if session["mode"] == "payment":
            intent = self._pay_by_card(session["amount_total"], session["currency"], buyer, ok=True)
            session["payment_intent"] = intent["id"]
            return
        items = [{"price": each["price"]["id"], "quantity": each["quantity"]} for each in session["_lines"]]
        sub = self.create_subscription(session["_subscription_data"] | {"customer": buyer, "items": items})
        session |= {"subscription": sub["id"], "invoice": sub["latest_invoice"]}

    def everything(self) -> dict[str, Any]:
        """All objects by kind, oldest first, in this account's shape."""
        return {
            kind: [shaped(value, self.shape) for value in shelf.objects.values()]
            for kind, shelf in self.shelves.items()
        }


def _same_interval(one: Obj, other: Obj) -> bool:
    keys = ("interval", "interval_count")
    return all(one["recurring"][key] == other["recurring"][key] for key in keys)


def _declined() -> Refusal:
    return Refusal(402, "Your card was declined.", type_="card_error", code="card_declined")
