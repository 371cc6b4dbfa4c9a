"""Whole lives of customers at the emulated Stripe: sales of each kind, and what becomes of them and their money.

A life leaves the list of its events in every format that Stripe sends: snapshots of the current and of an old API
version, and thin ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.world import SECRET, Post, World, _sink

Json = dict[str, Any]
CATALOG = """
[[catalog]]
stripe = "once"
sku = "PRO-100"
"""
LINK = "invoice_payment.paid"  # unknown to the old version


@dataclass(frozen=True)
class Told:
    """One event as each kind of endpoint gets it."""

    type: str
    about: str  # the id of its object
    current: Post
    older: Post | None
    thin: Post


@dataclass
class Life:
    """What people do, at random but repeatably; `world` is where Stripe lives."""

    world: World
    roll: random.Random
    posts: dict[str, list[Post]] = field(default_factory=lambda: {"current": [], "older": [], "thin": []})
    sessions: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        endpoints: dict[str, Json] = {
            "current": {"api_shape": "current"},
            "older": {"api_shape": "legacy"},
            "thin": {"payload": "thin"},
        }
        for name, terms in endpoints.items():
            url = self.world.stack.enter_context(_sink(self.posts[name]))
            self.world.stripe.webhook(url=url, secret=SECRET, **terms)
        price = {"currency": "usd", "unit_amount": "9900", "lookup_key": "once", "product_data[name]": "Once"}
        self.once = self.world.post("/v1/prices", price)["id"]

    # Sales

    def sell(self) -> None:
        """One of each kind, to customers of their own, each a moment after the other."""
        for sale in (self._subscribe, self._trial, self._check_out, self._accept_a_quote, self._sell_once, self._guest):
            sale()
            self.world.stripe_admin("advance", seconds=2)
        for ok in (True, False):
            self._delayed(ok=ok)
            self.world.stripe_admin("advance", seconds=2)

    def _subscribe(self) -> None:
        self.world.buy(self.roll.choice(["PRO-100", "PRO-MONTHLY"]), self.roll.randint(2, 30))

    def _trial(self) -> None:
        self.world.buy("PRO-100", self.roll.randint(2, 30), trial_period_days="14")

    def _session(self, mode: str, price: str, **more: str) -> Json:
        quantity = str(self.roll.randint(2, 9))
        form = {"mode": mode, "line_items[0][price]": price, "line_items[0][quantity]": quantity}
        if mode == "payment":  # without an API key its lines are known by these keys alone
            form |= {"metadata[price]": "once", "metadata[quantity]": quantity}
        made: Json = self.world.post("/v1/checkout/sessions", form | more)
        self.sessions.append(made["id"])
        return made

    def _check_out(self) -> None:
        session = self._session("subscription", self.world.price("PRO-100"))
        done = self.world.stripe_admin("checkout", session=session["id"], buyer="Cedar & Co")
        self.world.subscriptions.append(done["subscription"])

    def _accept_a_quote(self) -> None:
        line = {"line_items[0][price]": self.world.price("TEAM-YEAR"), "line_items[0][quantity]": "7"}
        quote = self.world.post("/v1/quotes", {"customer": self.world.customer(), **line})["id"]
        self.world.post(f"/v1/quotes/{quote}/finalize")
        self.world.subscriptions.append(self.world.post(f"/v1/quotes/{quote}/accept")["subscription"])

    def _sell_once(self) -> None:
        session = self._session("payment", self.once, customer=self.world.customer())
        self.world.stripe_admin("checkout", session=session["id"])

    def _guest(self) -> None:
        session = self._session("payment", self.once)
        self.world.stripe_admin("checkout", session=session["id"], email="guest@example.com", buyer="A Guest")

    def _delayed(self, *, ok: bool) -> None:
        session = self._session("payment", self.once, customer=self.world.customer())
        self.world.stripe_admin("checkout", session=session["id"], delayed=True)
        self.world.stripe_admin("advance", days=1)
        self.world.stripe_admin("async_payment", session=session["id"], ok=ok)

    # What becomes of them

    def go_on(self, steps: int, between: Callable[[], object] = lambda: None) -> None:
        """So many acts, each a moment after the other, with `between` after each; what Stripe refuses is no harm."""
        acts: list[Callable[[], object]] = [
            *(self._seats, self._swap, self._cancel_later, self._undo, self._cancel, self._pause, self._resume),
            *(self._refund, self._refund, self._refund_in_part, self._refund_fails, self._credit, self._void_note),
            *(self._dispute, self._dispute, self._dispute_ends, self._dispute_ends, self._warn, self._rename),
        ]
        for _ in range(steps):
            act = self.roll.choice(acts)
            self.did.append(act.__name__)
            with suppress(AssertionError):
                act()
            self.world.stripe_admin("advance", seconds=2)
            between()

    def _one(self) -> str:
        return self.roll.choice(self.world.subscriptions)

    def _seats(self) -> None:
        self.world.set_quantity(self._one(), self.roll.randint(1, 30))

    def _swap(self) -> None:
        one = self._one()
        sku = self.world.item(one)["price"]["lookup_key"]
        if sku != "PRO-MONTHLY":
            self.world.swap(one, "TEAM-YEAR" if sku == "PRO-100" else "PRO-100")

    def _cancel_later(self) -> None:
        self.world.post(f"/v1/subscriptions/{self._one()}", {"cancel_at_period_end": "true"})

    def _undo(self) -> None:
        self.world.post(f"/v1/subscriptions/{self._one()}", {"cancel_at_period_end": "false"})

    def _cancel(self) -> None:
        self.world.cancel(self._one())

    def _pause(self) -> None:
        self.world.post(f"/v1/subscriptions/{self._one()}/pause")

    def _resume(self) -> None:
        self.world.post(f"/v1/subscriptions/{self._one()}/resume")

    def _charge(self) -> Json:
        charges = self.world.get("/v1/charges", limit=100)["data"]
        found: Json = self.roll.choice([one for one in charges if one["paid"]])
        return found

    def _refund(self) -> None:
        self.world.post("/v1/refunds", {"charge": self._charge()["id"]})

    def _refund_in_part(self) -> None:
        charge = self._charge()
        self.world.post("/v1/refunds", {"charge": charge["id"], "amount": str(max(1, charge["amount"] // 3))})

    def _refund_fails(self) -> None:
        refunds = self.world.get("/v1/refunds", limit=100)["data"]
        self.world.stripe_admin("refund_fail", refund=self.roll.choice(refunds)["id"]) if refunds else None

    def _credit(self) -> None:
        invoices = [one for one in self.world.get("/v1/invoices", status="paid", limit=100)["data"] if one["total"] > 0]
        invoice = self.roll.choice(invoices)
        line = invoice["lines"]["data"][0]
        quantity = self.roll.randint(1, line["quantity"])
        form = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": line["id"]}
        form |= {"lines[0][quantity]": str(quantity), "invoice": invoice["id"]}
        form["out_of_band_amount"] = str(round(line["amount"] * quantity / line["quantity"]))
        self.world.post("/v1/credit_notes", form)

    def _void_note(self) -> None:
        notes = self.world.get("/v1/credit_notes", limit=100)["data"]
        self.world.post(f"/v1/credit_notes/{self.roll.choice(notes)['id']}/void") if notes else None

    def _dispute(self) -> None:
        status = self.roll.choice(["needs_response", "warning_needs_response"])
        self.world.stripe_admin("dispute", charge=self._charge()["id"], status=status)

    def _dispute_ends(self) -> None:
        disputes = self.world.get("/v1/disputes", limit=100)["data"]
        if disputes:
            one = self.roll.choice(disputes)
            ends = ["warning_closed"] if one["status"].startswith("warning") else ["won", "lost"]
            self.world.stripe_admin("dispute_close", dispute=one["id"], status=self.roll.choice(ends))

    def _warn(self) -> None:
        self.world.stripe_admin("fraud_warning", charge=self._charge()["id"])

    def _rename(self) -> None:
        customer = self.roll.choice(self.world.customers)
        self.world.post(f"/v1/customers/{customer}", {"name": f"Renamed {self.roll.randint(1, 9)}"})

    # What was told of it

    def events(self) -> list[Told]:
        """Every event of this life, in order."""
        self.world.flush()
        by_id = {name: {_fact(post): post for post in posts} for name, posts in self.posts.items()}
        return [self._told(id_, by_id) for id_ in self._ids() if id_ in by_id["current"]]

    @staticmethod
    def _told(id_: str, by_id: dict[str, dict[str, Post]]) -> Told:
        event = json.loads(by_id["current"][id_][0])
        older = None if event["type"] == LINK else by_id["older"][id_]
        about = str(event["data"]["object"].get("id"))
        return Told(event["type"], about, by_id["current"][id_], older, by_id["thin"][id_])

    def _ids(self) -> list[str]:
        """The ids of all events that Stripe still lists, oldest first."""
        return [one.id for one in reversed(list(self.world.stripe.billing.books.events_newest_first()))]


def _fact(post: Post) -> str:
    """The id of the snapshot event that a post is, or is the thin twin of (any id may begin as a twin's does)."""
    event = json.loads(post[0])
    id_: str = event["id"]
    return id_.replace("evt_65", "evt_", 1) if event["object"] == "v2.core.event" else id_
