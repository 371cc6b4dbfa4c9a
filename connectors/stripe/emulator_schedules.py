"""Subscription schedules: phases that change a subscription when their time has come; and the events these raise.

The change itself is told by the subscription (commerce reference §1.6, read 2026-09-27). That an item whose price is
in no phase to come is replaced by a new item is inferred.
"""

from __future__ import annotations

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, merge, need
from connectors.stripe.emulator_objects import DAY, Obj
from connectors.stripe.emulator_subscriptions import Subscriptions

OPEN = ("not_started", "active")


class Schedules:
    """The account's subscription schedules."""

    def __init__(self, books: Books, subscriptions: Subscriptions) -> None:
        self.books, self.subscriptions = books, subscriptions
        subscriptions.turning = self._turning

    # What the seller does

    def create(self, params: Obj) -> Obj:
        """From a subscription, whose terms become the only phase; or for a customer, starting now or later."""
        if params.get("from_subscription"):
            return self._adopt(params)
        need(params, "customer", "phases")
        customer = self.books.get("customers", params["customer"], param="customer")
        start = params.get("start_date", "now")
        phases = self._phases(params["phases"], self.books.now if start == "now" else int(start))
        value = self._add(str(customer["id"]), params, phases)
        self._advance(value)
        return value

    def _adopt(self, params: Obj) -> Obj:
        if params.keys() - {"from_subscription", "metadata", "expand"}:
            raise Refusal(400, "You cannot set other parameters with `from_subscription`.", param="from_subscription")
        id_ = params["from_subscription"]
        sub = self.books.get("subscriptions", id_, param="from_subscription")
        if sub["schedule"] or sub["ended_at"]:
            raise Refusal(400, "This subscription has ended, or has a schedule already.", param="from_subscription")
        value = self._add(sub["customer"], params, [_phase_of(sub)])
        with self.books.updating(value, "subscription_schedule.updated"):
            self._enter(value, value["phases"][0], sub)
        with self.books.updating(sub, "customer.subscription.updated"):
            sub["schedule"] = value["id"]
        return value

    def _add(self, customer: str, params: Obj, phases: list[Obj]) -> Obj:
        id_, now = self.books.new_id("sub_sched_"), self.books.now
        value = objects.schedule(id_, customer, params, phases, now, livemode=self.books.livemode)
        self.books.add("subscription_schedules", value)
        self.books.happened("subscription_schedule.created", value)
        self._watch(value)
        return value

    def update(self, id_: str, params: Obj) -> Obj:
        """New phases; the one under way stays as it began, and its items are changed at once where they differ."""
        value = self._open(id_)
        with self.books.updating(value, "subscription_schedule.updated"):
            merge(value, params, ("end_behavior",))
            if params.get("phases"):
                value["phases"] = self._phases(params["phases"], self._first_start(value))
                self._stay_in_phase(value)
        self._watch(value)
        sub = self._subscription(value)
        if sub and value["current_phase"] and params.get("phases"):
            self._apply(sub, self._current(value), params.get("proration_behavior"))
        self._advance(value)
        return value

    def release(self, id_: str) -> Obj:
        """The subscription goes on by itself."""
        value = self._open(id_)
        sub = self._subscription(value)
        with self.books.updating(value, "subscription_schedule.released"):
            value |= {"status": "released", "released_at": self.books.now, "current_phase": None}
            value |= {"released_subscription": value["subscription"], "subscription": None}
        if sub and not sub["ended_at"]:
            with self.books.updating(sub, "customer.subscription.updated"):
                sub["schedule"] = None
        return value

    def cancel(self, id_: str) -> Obj:
        """Plan and subscription end now."""
        value = self._open(id_)
        self._close(value, "canceled", "canceled_at")
        sub = self._subscription(value)
        if sub and not sub["ended_at"]:
            self.subscriptions.end(sub, "cancellation_requested")
        return value

    def subscription_over(self, sub: Obj) -> None:
        """The plan for a subscription that has ended is canceled."""
        for value in self.books.find("subscription_schedules", subscription=sub["id"]):
            if value["status"] in OPEN:
                self._close(value, "canceled", "canceled_at")

    def _open(self, id_: str) -> Obj:
        value = self.books.get("subscription_schedules", id_)
        if value["status"] not in OPEN:
            raise Refusal(400, f"This subscription schedule is {value['status']}.", param="id")
        return value

    # Phases

    def _phases(self, wanted: list[Obj], start: int) -> list[Obj]:
        """The phases, each beginning where the one before ends; the last may have no end of its own: one interval."""
        phases: list[Obj] = []
        for at, each in enumerate(wanted):
            begins = int(each["start_date"]) if each.get("start_date") not in (None, "now") else start
            if begins != start and at:
                raise Refusal(400, "Phases must follow one another without gaps.", param=f"phases[{at}][start_date]")
            need(each, "items")
            if each.get("iterations") and self.books.shape == "current":  # gone since 2025-09-30.clover
                param = f"phases[{at}][iterations]"
                raise Refusal(400, f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
            items = [self._item(item, f"phases[{at}][items][{n}][price]") for n, item in enumerate(each["items"])]
            first = self.books.get("prices", items[0]["price"])
            end = _end_of(each, begins, first)
            phases.append(objects.phase(begins, end, items, each, first["currency"]))
            start = end
        return phases

    def _item(self, wanted: Obj, param: str) -> Obj:
        price = self.subscriptions.price(wanted, param)
        metered = price["recurring"]["usage_type"] == "metered"
        quantity = None if metered else int(wanted.get("quantity") or 1)
        return objects.phase_item(price["id"], quantity, wanted.get("metadata") or {})

    @staticmethod
    def _first_start(value: Obj) -> int:
        return int(value["phases"][0]["start_date"])

    def _stay_in_phase(self, value: Obj) -> None:
        if value["status"] != "active":
            return
        if not self._now_in(value):
            raise Refusal(400, "The phases must contain the current one.", param="phases")
        value["current_phase"] = _span(self._current(value))

    def _now_in(self, value: Obj) -> list[Obj]:
        now = self.books.now
        return [phase for phase in value["phases"] if phase["start_date"] <= now < phase["end_date"]]

    def _current(self, value: Obj) -> Obj:
        found: Obj = (self._now_in(value) or value["phases"])[0]
        return found

    def _subscription(self, value: Obj) -> Obj | None:
        return self.books.get("subscriptions", value["subscription"]) if value["subscription"] else None

    # What time does

    def _watch(self, value: Obj) -> None:
        for moment in {each[name] for each in value["phases"] for name in ("start_date", "end_date")}:
            self.books.at(max(moment, self.books.now), lambda: self._advance(value))
        soon = value["phases"][-1]["end_date"] - 7 * DAY
        if soon > self.books.now:
            self.books.at(soon, lambda: self._expiring(value))

    def _expiring(self, value: Obj) -> None:
        if value["status"] in OPEN and value["phases"][-1]["end_date"] - 7 * DAY <= self.books.now:
            self.books.happened("subscription_schedule.expiring", value)

    def _turning(self, sub: Obj) -> None:
        """A phase begins before the renewal of the same moment, which bills its terms."""
        if sub["schedule"]:
            self._advance(self.books.get("subscription_schedules", sub["schedule"]))

    def _advance(self, value: Obj) -> None:
        """Enters the phase whose time has come, or ends the plan. Does nothing where a timer came in vain."""
        if value["status"] not in OPEN or self.books.now < self._first_start(value):
            return
        phase = self._now_in(value)
        if not phase:
            self._finish(value)
        elif (value["current_phase"] or {}).get("start_date") != phase[0]["start_date"]:
            self._begin(value, phase[0])

    def _begin(self, value: Obj, phase: Obj) -> None:
        sub = self._subscription(value)
        if sub is None:
            self._start(value, phase)
            return
        with self.books.updating(value, "subscription_schedule.updated"):
            value["current_phase"] = _span(phase)
        self._apply(sub, phase, None)

    def _start(self, value: Obj, phase: Obj) -> None:
        items = [_asked(item) for item in phase["items"]]
        sub = self.subscriptions.create(
            {"customer": value["customer"], "items": items, "metadata": dict(phase["metadata"])}
        )
        with self.books.updating(sub, "customer.subscription.updated"):
            sub["schedule"] = value["id"]
        with self.books.updating(value, "subscription_schedule.updated"):
            self._enter(value, phase, sub)

    def _enter(self, value: Obj, phase: Obj, sub: Obj) -> None:
        value |= {"status": "active", "subscription": sub["id"]}
        value["current_phase"] = _span(phase)
        self.books.touch("subscription_schedules", value)

    def _apply(self, sub: Obj, phase: Obj, proration_behavior: str | None) -> None:
        """Makes the subscription sell what the phase says."""
        items = _changes(sub, phase, self.books.shelves["prices"].objects)
        params: Obj = {"items": items} if items else {}
        if phase["metadata"]:
            params["metadata"] = phase["metadata"]
        if phase["billing_cycle_anchor"] == "phase_start" and phase["start_date"] == self.books.now:
            params["billing_cycle_anchor"] = "now"
        if params:
            behavior = proration_behavior or phase["proration_behavior"]
            self.subscriptions.update(sub["id"], params | {"proration_behavior": behavior})

    def _finish(self, value: Obj) -> None:
        if value["end_behavior"] != "cancel":
            self.release(value["id"])
            return
        self._close(value, "completed", "completed_at")
        sub = self._subscription(value)
        if sub and not sub["ended_at"]:
            self.subscriptions.end(sub, "cancellation_requested")

    def _close(self, value: Obj, status: str, stamp: str) -> None:
        with self.books.updating(value, f"subscription_schedule.{status}"):
            value |= {"status": status, stamp: self.books.now, "current_phase": None}


def _phase_of(sub: Obj) -> Obj:
    """What the subscription sells now, until its period ends."""
    held = sub["items"]["data"]
    items = [objects.phase_item(each["price"]["id"], each["quantity"], dict(each["metadata"])) for each in held]
    start = min(each["current_period_start"] for each in held)
    end = min(each["current_period_end"] for each in held)
    return objects.phase(start, end, items, {}, sub["currency"])


def _span(phase: Obj) -> Obj:
    return {"start_date": phase["start_date"], "end_date": phase["end_date"]}


def _end_of(wanted: Obj, start: int, price: Obj) -> int:
    if wanted.get("end_date"):
        return int(wanted["end_date"])
    given = wanted.get("duration") or price["recurring"]
    count = int(given.get("interval_count") or 1) * int(wanted.get("iterations") or 1)
    return objects.period_end(start, start, {"interval": given["interval"], "interval_count": count})


def _asked(item: Obj) -> Obj:
    """A phase's item as a request names it."""
    quantity = {} if item["quantity"] is None else {"quantity": str(item["quantity"])}
    return {"price": item["price"], "metadata": item["metadata"]} | quantity


def _changes(sub: Obj, phase: Obj, prices: dict[str, Obj]) -> list[Obj]:
    """What is to be asked of the subscription: items of the same price stay, others are replaced.

    Where the interval differs the first item left over is changed in its place, which starts a new period.
    """
    held = {each["price"]["id"]: each for each in sub["items"]["data"]}
    wanted = {each["price"]: each for each in phase["items"]}
    same = [
        _asked(wanted[id_]) | {"id": held[id_]["id"]}
        for id_ in held
        if id_ in wanted and held[id_]["quantity"] != wanted[id_]["quantity"]
    ]
    gone, new = [held[id_] for id_ in held if id_ not in wanted], [wanted[id_] for id_ in wanted if id_ not in held]
    changed: list[Obj] = []
    while gone and new and _interval(gone[0]["price"]) != _interval(prices[new[0]["price"]]):
        changed.append(_asked(new.pop(0)) | {"id": gone.pop(0)["id"]})
    removed = [{"id": each["id"], "deleted": "true"} for each in gone]
    return same + changed + [_asked(each) for each in new] + removed


def _interval(price: Obj) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]
