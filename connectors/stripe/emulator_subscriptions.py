"""Subscriptions: how they start, renew, change, pause and end as business time goes by; and the events these raise.

Behavior after docs.stripe.com as quoted in the commerce reference §1.4-1.6 (read 2026-09-27); what is inferred says so.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, declined, merge, missing, need, subscription_of
from connectors.stripe.emulator_invoices import HOUR, Invoices, Outcome
from connectors.stripe.emulator_objects import DAY, Obj
from connectors.stripe.emulator_payments import Payments

INCOMPLETE_HOURS = 23
MAX_ITEMS = 20
OVER = ("canceled", "incomplete_expired")
FINALS = ("canceled", "unpaid", "past_due", "paused")
UPDATED = "customer.subscription.updated"
# outcome of the latest invoice -> how the subscription's status moves; that a write-off ends past_due is inferred
_MOVES: dict[Outcome, dict[str, str]] = {
    "paid": {"incomplete": "active", "past_due": "active", "unpaid": "active"},
    "failed": {"active": "past_due"},
    "exhausted": {"active": "past_due"},
    "overdue": {"active": "past_due"},
    "void": {"past_due": "active"},
    "uncollectible": {"past_due": "active"},
}
_HELD = ("items", "billing_cycle_anchor", "status", "status_details", "trial_start", "trial_end")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that takes hold once its invoice is paid: fields of the subscription, and the event then raised."""

    invoice: str
    fields: Obj
    applied: str
    expired: str | None = None


class Subscriptions:
    """The account's subscriptions. `turning` hears of each before time works on it, `over` of each that has ended."""

    def __init__(self, books: Books, payments: Payments, invoices: Invoices) -> None:
        self.books, self.payments, self.invoices = books, payments, invoices
        self.items: dict[str, str] = {}  # item id -> subscription id
        self.usage: Counter[str] = Counter()  # metered item id -> what was used since it was last billed
        self.final = "canceled"  # what a subscription becomes after the last failed retry
        self.turning: Callable[[Obj], None] = lambda _sub: None
        self.over: Callable[[Obj], None] = lambda _sub: None
        self._prorations: defaultdict[str, list[Obj]] = defaultdict(list)
        self._warned: set[tuple[str, int]] = set()
        self._waiting: dict[str, Waiting] = {}
        invoices.told, invoices.retried, invoices.pausing = self.invoice_was, self._is_retried, self._pausing

    # How subscriptions start

    def create(self, params: Obj) -> Obj:
        need(params, "customer", "items")
        buyer = self.books.get("customers", params["customer"], param="customer")
        prices = [self.price(each, f"items[{at}][price]") for at, each in enumerate(params["items"])]
        extras = [self._extra(each, at) for at, each in enumerate(params.get("add_invoice_items") or [])]
        if len({price["currency"] for price in prices}) > 1:
            raise Refusal(400, "All prices on a subscription must have the same currency.", param="items")
        self._refuse_doubles([price["id"] for price in prices])
        behavior = params.get("payment_behavior", "allow_incomplete")
        if behavior == "error_if_incomplete" and not self.payments.pays(buyer["id"]):
            raise declined()
        sub = objects.subscription(
            self.books.new_id("sub_"), params, prices[0]["currency"], self.books.now, livemode=self.books.livemode
        )
        self._set_first_terms(sub, params)
        for wanted, price in zip(params["items"], prices, strict=True):
            self._add_item(sub, price, wanted)
        self._set_cancellation(sub, params)
        self.books.add("subscriptions", sub)
        self._start(sub, extras, collect=behavior != "default_incomplete")
        return sub

    def _extra(self, wanted: Obj, at: int) -> tuple[Obj, int]:
        """Something sold once along with the start: its price and quantity."""
        price = self.books.get("prices", wanted.get("price", ""), param=f"add_invoice_items[{at}][price]")
        if price["recurring"]:
            raise Refusal(400, "The price specified is recurring.", param=f"add_invoice_items[{at}][price]")
        return price, int(wanted.get("quantity") or 1)

    def price(self, wanted: Obj, param: str) -> Obj:
        """The recurring price that `wanted` names; refuses what no subscription can sell."""
        if "price" not in wanted:
            raise Refusal(400, f"Missing required param: {param}.", code="parameter_missing", param=param)
        price = self.books.get("prices", wanted["price"], param=param)
        if not price["recurring"]:
            raise Refusal(400, "The price specified is set to `type=one_time`, a recurring one is needed.", param=param)
        if not price["active"]:
            raise Refusal(400, "The price specified is inactive. This field only accepts active prices.", param=param)
        if is_metered(price) and wanted.get("quantity"):
            raise Refusal(400, f"You can't set a quantity for {price['id']}: it is metered.", param=param)
        return price

    @staticmethod
    def _refuse_doubles(prices: list[str]) -> None:
        if len(set(prices)) < len(prices):
            raise Refusal(400, "Cannot add multiple subscription items with the same price.", param="items")

    def _set_first_terms(self, sub: Obj, params: Obj) -> None:
        if params.get("trial_period_days"):
            sub["trial_end"] = self.books.now + int(params["trial_period_days"]) * DAY
        elif params.get("trial_end") not in (None, "", "now"):
            sub["trial_end"] = int(params["trial_end"])
        if sub["trial_end"]:
            sub |= {"trial_start": self.books.now, "status": "trialing", "billing_cycle_anchor": sub["trial_end"]}
        elif sub["collection_method"] == "send_invoice":
            sub["status"] = "active"
        if params.get("billing_cycle_anchor"):
            sub["billing_cycle_anchor"] = int(params["billing_cycle_anchor"])
        elif params.get("backdate_start_date"):
            message = "Only with a billing_cycle_anchor is a start backdated here."
            raise Refusal(400, message, param="backdate_start_date")

    def _add_item(self, sub: Obj, price: Obj, wanted: Obj) -> Obj:
        items = sub["items"]
        if len(items["data"]) == MAX_ITEMS:
            raise Refusal(400, f"A subscription can have at most {MAX_ITEMS} items.", param="items")
        period = self._period_for(sub, price)
        value = objects.item(self.books.new_id("si_"), sub["id"], price, wanted, period, self.books.now)
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
        start = sub["start_date"] if sub["created"] == self.books.now else self.books.now
        return start, objects.period_end(sub["billing_cycle_anchor"], start, price["recurring"])

    def _start(self, sub: Obj, extras: list[tuple[Obj, int]], *, collect: bool) -> None:
        lines = self._first_lines(sub)
        lines += [self._extra_line(sub, price, quantity) for price, quantity in extras]
        invoice = self.invoices.draft(sub["customer"], sub, lines, "subscription_create", announce=False)
        sub["latest_invoice"] = invoice["id"]
        self.books.happened("customer.subscription.created", sub)
        self.books.happened("invoice.created", invoice)
        self._watch(sub)
        if sub["status"] == "incomplete":
            self.books.at(self.books.now + INCOMPLETE_HOURS * HOUR, lambda: self._expire(sub))
        if sub["collection_method"] == "send_invoice" and invoice["amount_due"]:
            self.invoices.finalize_later(invoice)
            return
        self.invoices.finalize_now(invoice, collect=collect)

    def _first_lines(self, sub: Obj) -> list[Obj]:
        """The first period's price; backdated on classic billing, as a proration (docs "Backdate subscriptions")."""
        items = sub["items"]["data"]
        if sub["start_date"] == sub["created"] or sub["billing_mode"]["type"] != "classic":
            return self._lines(items, free=sub["status"] == "trialing")
        return [self._backdated(item) for item in items if not is_metered(item["price"])]

    def _backdated(self, item: Obj) -> Obj:
        ids = self.books.new_id("il_"), self.books.new_id("ii_")
        start, end = item["current_period_start"], item["current_period_end"]
        share = (end - start) / (objects.period_end(start, start, item["price"]["recurring"]) - start)
        amount = round(item["price"]["unit_amount"] * (item["quantity"] or 0) * share)
        return objects.line(ids[0], item, amount, (start, end), invoice_item=ids[1], classic=True)

    def _extra_line(self, sub: Obj, price: Obj, quantity: int) -> Obj:
        ids = self.books.new_id("il_"), self.books.new_id("ii_")
        return objects.one_off_line(ids[0], price, quantity, sub["id"], ids[1], self.books.now)

    def _expire(self, sub: Obj) -> None:
        if sub["status"] != "incomplete":
            return
        self.invoices.void_open(sub)
        if sub["status"] == "incomplete":
            self.end(sub, None, status="incomplete_expired", type_=UPDATED)

    # What time does to them

    def _watch(self, sub: Obj) -> None:
        """Sets timers for the moments that matter to the subscription; one that comes in vain does nothing."""
        moments = {item["current_period_end"] for item in sub["items"]["data"]}
        moments |= {sub["cancel_at"], (sub["pause_collection"] or {}).get("resumes_at")}
        for moment in sorted(moments - {None}):
            self.books.at(max(self.books.now, moment), lambda: self._turn(sub))
        if sub["status"] == "trialing":
            warn = sub["trial_end"]
            self.books.at(max(self.books.now, warn - 3 * DAY), lambda: self._trial_will_end(sub, warn))

    def _trial_will_end(self, sub: Obj, trial_end: int) -> None:
        warned = (sub["id"], trial_end) in self._warned
        if sub["status"] == "trialing" and sub["trial_end"] == trial_end and not warned:
            self._warned.add((sub["id"], trial_end))
            self.books.happened("customer.subscription.trial_will_end", sub)

    def _turn(self, sub: Obj) -> None:
        """Does what is due: the end, the trial's end, or the next period. Does nothing where a timer came in vain."""
        self.turning(sub)
        if sub["status"] in OVER:
            return
        self._resume_collection(sub)
        if sub["cancel_at"] and sub["cancel_at"] <= self.books.now:
            self.end(sub, "cancellation_requested")
            return
        due = [item for item in sub["items"]["data"] if item["current_period_end"] <= self.books.now]
        if not due or sub["status"] in (*OVER, "paused", "incomplete"):
            return
        if waiting := self._waiting.get(sub["id"]):  # a new period: the change has had its time (inferred)
            self.invoices.void(waiting.invoice)
        if sub["status"] == "trialing":
            self._end_trial(sub, "subscription_cycle")
        else:
            self._renew(sub, due, "subscription_cycle")
        if sub["status"] not in OVER:
            self._watch(sub)

    def _resume_collection(self, sub: Obj) -> None:
        pause = sub["pause_collection"]
        if pause and pause["resumes_at"] and pause["resumes_at"] <= self.books.now:
            with self.books.updating(sub, UPDATED):
                sub["pause_collection"] = None

    def _end_trial(self, sub: Obj, reason: str) -> Obj | None:
        """The first paid period starts; or, without a card, what `trial_settings` say."""
        without = sub["trial_settings"]["end_behavior"]["missing_payment_method"]
        if self.payments.cards.get(sub["customer"], True) is None and without != "create_invoice":
            if without == "cancel":
                self.end(sub, "payment_failed")
                return None
            self._pause(sub, "trial_end_without_payment_method", trial_end=min(sub["trial_end"], self.books.now))
            return None
        return self._renew(sub, sub["items"]["data"], reason, status="active")

    def _renew(self, sub: Obj, due: list[Obj], reason: str, status: str | None = None) -> Obj:
        """The due items' periods move AT ONCE; their invoice is a draft for an hour, then finalized and collected."""
        ended = max(min(item["current_period_start"] for item in due), 0)
        with self.books.updating(sub, UPDATED):
            sub["status"] = status or sub["status"]
            used = [self._usage_line(item) for item in due if is_metered(item["price"])]
            for item in due:
                self._move(sub, item)
            lines = self._lines(due) + used + self._prorations.pop(sub["id"], [])
            invoice = self.invoices.draft(sub["customer"], sub, lines, reason, period=(ended, self.books.now))
            sub["latest_invoice"] = invoice["id"]
        if sub["status"] == "unpaid" or (sub["pause_collection"] or {}).get("behavior") == "keep_as_draft":
            with self.books.updating(invoice):
                invoice["auto_advance"] = False
        elif reason == "subscription_cycle":
            self.invoices.finalize_later(invoice)
        return invoice

    def _move(self, sub: Obj, item: Obj) -> None:
        start = item["current_period_end"]
        item["current_period_start"] = start
        item["current_period_end"] = objects.period_end(sub["billing_cycle_anchor"], start, item["price"]["recurring"])

    def end(
        self,
        sub: Obj,
        reason: str | None,
        *,
        status: str = "canceled",
        type_: str = "customer.subscription.deleted",
        details: Obj | None = None,
    ) -> None:
        """Over now. What is still to be paid stays open, but is no longer collected."""
        self.invoices.stop_collecting(sub)
        self._waiting.pop(sub["id"], None)
        with self.books.updating(sub):
            sub |= {"status": status, "ended_at": self.books.now, "canceled_at": sub["canceled_at"] or self.books.now}
            sub |= {"pending_update": None, "status_details": None}
            sub["cancellation_details"] = sub["cancellation_details"] | {"reason": reason} | (details or {})
        self.books.happened(type_, sub)
        self.over(sub)

    # What the seller changes

    def update(self, id_: str, params: Obj) -> Obj:
        sub = self.books.get("subscriptions", id_)
        if sub["status"] in OVER and params.keys() - {"metadata", "cancellation_details", "expand"}:
            raise Refusal(
                400, "A canceled subscription can only update its cancellation_details and metadata.", param="id"
            )
        if sub["pending_update"]:
            self.invoices.void(self._waiting[id_].invoice)
        before: Obj = json.loads(json.dumps(sub))
        with self.books.updating(sub, UPDATED):
            lines = self._change(sub, params)
            invoice = self._bill(sub, lines, params.get("payment_behavior", ""))
            if invoice and params.get("payment_behavior") == "pending_if_incomplete" and self._is_owed(invoice):
                self._hold(sub, before, invoice)
        if sub["status"] not in OVER:
            self._watch(sub)
        if invoice:
            self.books.happened("invoice.created", invoice)
            self.invoices.finalize_now(invoice)
        return sub

    def _change(self, sub: Obj, params: Obj) -> list[Obj]:
        """Makes all of the change that `params` ask for; gives the lines to be billed for it at once."""
        bill: list[Obj] = []
        merge(sub, params, ("description", "default_payment_method", "collection_method"))
        if params.get("days_until_due"):
            sub["days_until_due"] = int(params["days_until_due"])
        self._set_pause(sub, params)
        fresh = self._set_items(sub, params, bill)
        fresh |= self._set_trial(sub, params)
        self._set_cancellation(sub, params)
        fresh |= self._set_anchor(sub, params)
        return self._due_now(sub, bill, params.get("proration_behavior", "create_prorations"), fresh=fresh)

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
            sub |= {"status": "active", "trial_end": self.books.now}
            self._restart(sub)
            return True
        end = int(wanted)
        sub |= {"status": "trialing", "trial_start": sub["trial_start"] or self.books.now, "trial_end": end}
        sub["billing_cycle_anchor"] = end
        for item in sub["items"]["data"]:
            item |= {"current_period_start": self.books.now, "current_period_end": end}
        return False

    def _set_anchor(self, sub: Obj, params: Obj) -> bool:
        wanted = params.get("billing_cycle_anchor")
        if wanted != "now" and (not isinstance(wanted, dict) or wanted.get("type") != "now"):
            return False
        self._restart(sub)
        return True

    def _restart(self, sub: Obj) -> None:
        """All items begin a period now."""
        sub["billing_cycle_anchor"] = self.books.now
        for item in sub["items"]["data"]:
            self._restart_item(sub, item)

    def _restart_item(self, sub: Obj, item: Obj) -> None:
        item["current_period_start"] = self.books.now
        item["current_period_end"] = objects.period_end(self.books.now, self.books.now, item["price"]["recurring"])

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
        sub["canceled_at"] = self.books.now if sub["cancel_at"] else None
        sub["cancellation_details"] = {
            "comment": wanted.get("comment"),
            "feedback": wanted.get("feedback"),
            "reason": "cancellation_requested" if sub["cancel_at"] else None,
        }

    def _set_items(self, sub: Obj, params: Obj, bill: list[Obj]) -> bool:
        """Applies `items`, appends proration lines to `bill`; True where an interval changed, which restarts it.

        What goes is taken out last, so that what replaces it joins its period.
        """
        known = {item["id"]: item for item in sub["items"]["data"]}
        gone = {each.get("id") for each in params.get("items") or [] if each.get("deleted") == "true"}
        fresh = False
        for at, wanted in sorted(enumerate(params.get("items") or []), key=lambda each: each[1].get("id") in gone):
            if "id" not in wanted:
                prices = [item["price"]["id"] for item in known.values() if item["id"] not in gone]
                self._refuse_doubles([wanted.get("price", ""), *prices])
                added = self._add_item(sub, self.price(wanted, f"items[{at}][price]"), wanted)
                self._prorate(sub, added, 1, bill)
                continue
            if wanted["id"] not in known:
                raise missing("subscription_items", wanted["id"], param=f"items[{at}][id]", status=400)
            fresh |= self._set_item(sub, known[wanted["id"]], wanted, bill, at)
        if not sub["items"]["data"]:
            raise Refusal(400, "A subscription must have at least one active item.", param="items")
        return fresh

    def _set_item(self, sub: Obj, item: Obj, wanted: Obj, bill: list[Obj], at: int) -> bool:
        if wanted.get("deleted") == "true":
            items = sub["items"]
            items["data"] = [each for each in items["data"] if each is not item]
            items["total_count"] = len(items["data"])
            self._prorate(sub, item, -1, bill)
            return False
        price = self.price(wanted, f"items[{at}][price]") if "price" in wanted else item["price"]
        quantity = self._quantity(item, price, wanted)
        restarts = not _same_interval(price, item["price"])
        if (price["id"], quantity) != (item["price"]["id"], item["quantity"]):
            self._prorate(sub, item, -1, bill)
            item |= {"price": price, "quantity": quantity}
            if restarts:
                sub["billing_cycle_anchor"] = self.books.now
                self._restart_item(sub, item)
            else:
                self._prorate(sub, item, 1, bill)
        merge(item, {"metadata": wanted.get("metadata")}, ())
        return restarts

    @staticmethod
    def _quantity(item: Obj, price: Obj, wanted: Obj) -> int | None:
        if is_metered(price):
            return None
        if wanted.get("quantity"):
            return int(wanted["quantity"])
        return 1 if item["quantity"] is None else int(item["quantity"])

    def _prorate(self, sub: Obj, item: Obj, sign: int, bill: list[Obj]) -> None:
        """Bills the rest of the period, where there is one; usage is not prorated."""
        if item["current_period_end"] > self.books.now and not is_metered(item["price"]):
            bill.append(self._proration(sub, item, sign))

    def _proration(self, sub: Obj, item: Obj, sign: int) -> Obj:
        """The rest of the period, credited or charged."""
        start, end = item["current_period_start"], item["current_period_end"]
        rest = max(end - self.books.now, 0) / max(end - start, 1)
        amount = round(sign * item["price"]["unit_amount"] * (item["quantity"] or 0) * rest)
        classic = sub["billing_mode"]["type"] == "classic"
        return objects.line(
            self.books.new_id("il_"),
            item,
            amount,
            (self.books.now, end),
            invoice_item=self.books.new_id("ii_"),
            classic=classic,
        )

    def _due_now(self, sub: Obj, bill: list[Obj], behavior: str, *, fresh: bool) -> list[Obj]:
        """What is billed at once: where asked, or where a period began anew; the rest waits for the next invoice."""
        if sub["status"] not in ("active", "past_due", "unpaid") or (behavior == "none" and not fresh):
            return []
        if behavior != "none":
            self._prorations[sub["id"]] += bill
        begun = [item for item in sub["items"]["data"] if fresh and item["current_period_start"] == self.books.now]
        if not begun and (behavior != "always_invoice" or not self._prorations[sub["id"]]):
            return []
        return self._lines(begun) + self._prorations.pop(sub["id"], [])

    def _bill(self, sub: Obj, lines: list[Obj], behavior: str) -> Obj | None:
        if not lines:
            return None
        if behavior == "error_if_incomplete" and sum(line["amount"] for line in lines) > 0:
            self._refuse_unpayable(sub)
        invoice = self.invoices.draft(sub["customer"], sub, lines, "subscription_update", announce=False)
        sub["latest_invoice"] = invoice["id"]
        return invoice

    def _refuse_unpayable(self, sub: Obj) -> None:
        if not self.payments.pays(sub["customer"]):
            raise declined()

    def _is_owed(self, invoice: Obj) -> bool:
        """Whether the invoice will not be paid as soon as it is tried."""
        return bool(invoice["amount_due"]) and not self.payments.pays(invoice["customer"])

    # Changes that wait for a payment

    def _hold(self, sub: Obj, before: Obj, invoice: Obj) -> None:
        """Takes the change back until its invoice is paid, for 23 hours at most: `pending_update` tells of it."""
        fields = {name: sub[name] for name in _HELD if sub[name] != before[name]}
        applied, expired = (f"customer.subscription.pending_update_{word}" for word in ("applied", "expired"))
        waiting = Waiting(invoice["id"], fields, applied, expired)
        self._waiting[sub["id"]] = waiting
        expires = self.books.now + INCOMPLETE_HOURS * HOUR
        sub |= {name: before[name] for name in fields}
        sub["pending_update"] = {
            "billing_cycle_anchor": fields.get("billing_cycle_anchor"),
            "expires_at": expires,
            "subscription_items": fields.get("items", {"data": None})["data"],
            "trial_end": fields.get("trial_end"),
            "trial_from_plan": None,
        }
        self.books.at(expires, lambda: self._give_up_waiting(sub, waiting))

    def _give_up_waiting(self, sub: Obj, waiting: Waiting) -> None:
        if self._waiting.get(sub["id"]) is waiting:
            self.invoices.void(waiting.invoice)

    def _end_waiting(self, sub: Obj, waiting: Waiting, outcome: Outcome) -> None:
        """Paid, the change takes hold; given up, it lapses; a failed attempt leaves it waiting."""
        if outcome not in ("paid", "void", "uncollectible"):
            return
        del self._waiting[sub["id"]]
        types = [waiting.applied, UPDATED] if outcome == "paid" else [waiting.expired, UPDATED]
        with self.books.updating(sub, *(type_ for type_ in types if type_)):
            sub["pending_update"] = None
            if outcome == "paid":
                sub |= waiting.fields
        self._watch(sub)

    # The end, pauses

    def cancel(self, id_: str, params: Obj) -> Obj:
        sub = self.books.get("subscriptions", id_)
        if sub["status"] in OVER:
            raise missing("subscriptions", id_)
        if sub["status"] == "incomplete":
            self.invoices.void_open(sub)
            return sub
        given = params.get("cancellation_details") or {}
        details = {key: given[key] for key in ("comment", "feedback") if key in given}
        self.end(sub, "cancellation_requested", details=details)
        return sub

    def pause(self, id_: str) -> Obj:
        """Status paused: service stops, nothing is billed (2026-09-30.endive)."""
        sub = self.books.get("subscriptions", id_)
        if sub["status"] not in ("active", "trialing", "past_due"):
            raise Refusal(400, f"A subscription that is {sub['status']} can't be paused.", param="id")
        self._pause(sub, "pause_requested")
        return sub

    def _pause(self, sub: Obj, why: str, **fields: int) -> None:
        with self.books.updating(sub, "customer.subscription.paused"):
            paused = {"subscription": {"type": why}, "transitioned_at": self.books.now, "type": "subscription"}
            sub |= {"status": "paused", "status_details": {"paused": paused}, **fields}

    def resume(self, id_: str, params: Obj) -> Obj:
        """Active again; a new period is billed where the old one has run out or the anchor is to be now.

        With `resume_on_payment_success` it stays paused until that bill is paid.
        """
        sub = self.books.get("subscriptions", id_)
        if sub["status"] != "paused":
            raise Refusal(400, "Only paused subscriptions can be resumed.", param="id")
        before: Obj = json.loads(json.dumps(sub))
        waits = params.get("payment_behavior") == "resume_on_payment_success"
        with self.books.updating(sub):
            invoice = self._restarted(sub, params)
            if invoice and waits and self._is_owed(invoice):
                fields = {name: sub[name] for name in _HELD if sub[name] != before[name]}
                self._waiting[id_] = Waiting(invoice["id"], fields, "customer.subscription.resumed")
                sub |= {name: before[name] for name in fields}
        if sub["status"] == "active":
            self.books.happened("customer.subscription.resumed", sub, before)
        self._watch(sub)
        if invoice:
            self.books.happened("invoice.created", invoice)
            self.invoices.finalize_now(invoice)
        return sub

    def _restarted(self, sub: Obj, params: Obj) -> Obj | None:
        sub |= {"status": "active", "status_details": None}
        anchor = params.get("billing_cycle_anchor", "now")
        lapsed = min(item["current_period_end"] for item in sub["items"]["data"]) <= self.books.now
        if not lapsed and anchor not in ("now", {"type": "now"}):
            return None
        self._restart(sub)
        return self._bill(sub, self._due_now(sub, [], "none", fresh=True), "")

    # What becomes of invoices

    def invoice_was(self, invoice: Obj, outcome: Outcome) -> None:
        """Moves the subscription on where this is its latest invoice, or one that a change waits for."""
        id_ = subscription_of(invoice)
        if id_ is None:
            return
        sub, waiting = self.books.get("subscriptions", id_), self._waiting.get(id_)
        if waiting and waiting.invoice == invoice["id"]:
            self._end_waiting(sub, waiting, outcome)
            return
        moves = _MOVES[outcome]
        if sub["status"] in moves and sub["latest_invoice"] == invoice["id"]:
            with self.books.updating(sub, UPDATED):
                sub["status"] = moves[sub["status"]]
        if outcome == "exhausted":
            self._give_up(sub)
        if outcome == "void" and sub["status"] == "incomplete":
            self.end(sub, None, status="incomplete_expired", type_=UPDATED)

    def _is_retried(self, invoice: Obj) -> bool:
        id_ = subscription_of(invoice)
        if id_ is None or invoice["id"] == getattr(self._waiting.get(id_), "invoice", None):
            return False
        return self.books.get("subscriptions", id_)["status"] not in (*OVER, "incomplete")

    def _pausing(self, invoice: Obj) -> str | None:
        """The behavior that paused collection asks for."""
        id_ = subscription_of(invoice)
        pause = self.books.get("subscriptions", id_)["pause_collection"] if id_ else None
        return pause["behavior"] if pause else None

    def _give_up(self, sub: Obj) -> None:
        if sub["status"] != "past_due" or self.final == "past_due":
            return
        if self.final == "canceled":
            self.end(sub, "payment_failed")
        elif self.final == "paused":
            self._pause(sub, "final_payment_failure")
        else:
            with self.books.updating(sub, UPDATED):
                sub["status"] = self.final

    def begin_delayed(self, sub: Obj) -> None:
        """The first payment takes days: the subscription is active meanwhile (inferred), its invoice open."""
        invoice = self.books.get("invoices", sub["latest_invoice"])
        self.invoices.begin_delayed(invoice)
        if sub["status"] == "incomplete":
            with self.books.updating(sub, UPDATED):
                sub["status"] = "active"

    # Lines

    def _lines(self, items: list[Obj], *, free: bool = False) -> list[Obj]:
        """A line for each period that begins; metered items are billed when theirs has ended."""
        return [self._line(item, free=free) for item in items if not is_metered(item["price"])]

    def _line(self, item: Obj, *, free: bool) -> Obj:
        amount = 0 if free else item["price"]["unit_amount"] * (item["quantity"] or 0)
        period = item["current_period_start"], item["current_period_end"]
        return objects.line(self.books.new_id("il_"), item, amount, period)

    def _usage_line(self, item: Obj) -> Obj:
        """What was used in the period that has ended."""
        used = self.usage.pop(item["id"], 0)
        period = item["current_period_start"], item["current_period_end"]
        amount = item["price"]["unit_amount"] * used
        return objects.line(self.books.new_id("il_"), item, amount, period, quantity=used)

    def use(self, item_id: str, quantity: int) -> int:
        """Counts use of a metered item; gives what is not billed so far."""
        if item_id not in self.items:
            raise missing("subscription_items", item_id)
        self.usage[item_id] += quantity
        return self.usage[item_id]


def is_metered(price: Obj) -> bool:
    """Whether usage, not a quantity, is billed."""
    return bool(price["recurring"] and price["recurring"]["usage_type"] == "metered")


def _same_interval(one: Obj, other: Obj) -> bool:
    keys = ("interval", "interval_count")
    return all(one["recurring"][key] == other["recurring"][key] for key in keys)
