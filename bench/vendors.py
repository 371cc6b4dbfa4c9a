"""Emulated vendors in a process of their own, purchases made there beforehand, and what licenses came of them."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from bench.place import Place, until
from hub.runtime import Process, free_port

LATENCY_S = 0.005
SELLERS = 4
SEATS = "8"


@dataclass(frozen=True, kw_only=True)
class Sale:
    """A purchase, and the bodies of the events that Stripe would send for it, in their order."""

    subscription: str
    events: tuple[bytes, ...]


class Vendors:
    """Stripe and Zentitle2 as `hub sandbox` runs them."""

    def __init__(self, here: Place) -> None:
        self.stripe_port, self.zentitle_port = free_port(), free_port()
        ports = ["--stripe-port", str(self.stripe_port), "--zentitle-port", str(self.zentitle_port)]
        ports += ["--fastspring-port", "0"]
        command = [sys.executable, "-m", "sandbox", *ports]
        self.process: Process = here.start("vendors", command, port=self.zentitle_port)
        self._stripe, self._zentitle = f"http://127.0.0.1:{self.stripe_port}", f"http://127.0.0.1:{self.zentitle_port}"
        self._http = _session()
        until(lambda: self._get("/v1/events", limit=1) is not None, "Stripe's emulator answers")
        self._price = self._make_price()

    def answer_in(self, seconds: float) -> None:
        """Each answer takes so long from now on."""
        for base in (self._stripe, self._zentitle):
            self._admin(base, "faults", latency_s=seconds)

    def sell(self, count: int) -> list[Sale]:
        """Sells `count` licenses for a year, each to a customer of its own; told to nobody."""
        before = self._newest_event()
        with ThreadPoolExecutor(SELLERS) as pool:
            sold = dict(pool.map(self._sell_one, range(count)))
        events: dict[str, list[bytes]] = defaultdict(list)
        for event in self._events_since(before):
            carried = event["data"]["object"]
            customer = carried["id"] if carried["object"] == "customer" else carried.get("customer")
            if customer in sold:
                events[customer].insert(0, json.dumps(event).encode())
        return [Sale(subscription=sold[customer], events=tuple(bodies)) for customer, bodies in events.items()]

    def right(self, sales: Sequence[Sale]) -> bool:
        """Whether each sale has exactly one license, and the right one."""
        return not self._wrong(sales)

    def check(self, sales: Sequence[Sale]) -> None:
        """RuntimeError unless they have."""
        if wrong := self._wrong(sales):
            raise RuntimeError(wrong)

    def _wrong(self, sales: Sequence[Sale]) -> str:
        wanted = {f"stripe:{sale.subscription}" for sale in sales}
        grants = [one for one in self._admin(self._zentitle, "grants") if one["orderRefId"] in wanted]
        right = {one["orderRefId"] for one in grants if one["seatCount"] == int(SEATS) and not one["disabled"]}
        if len(grants) == len(wanted) and right == wanted:
            return ""
        return f"{len(wanted)} licenses were sold, {len(grants)} exist, {len(right)} are right"

    def _make_price(self) -> str:
        product = self._post(self._http, "/v1/products", {"name": "Pro"})["id"]
        terms = {"product": product, "unit_amount": "9900", "currency": "usd", "lookup_key": "pro_annual"}
        return str(self._post(self._http, "/v1/prices", {**terms, "recurring[interval]": "year"})["id"])

    def _sell_one(self, number: int) -> tuple[str, str]:
        http = _session()
        customer = self._post(http, "/v1/customers", {"name": f"Customer {number}"})["id"]
        http.post(f"{self._stripe}/_sandbox/card", json={"customer": customer, "ok": True}, timeout=30)
        sale = {"customer": customer, "items[0][price]": self._price, "items[0][quantity]": SEATS}
        subscription = self._post(http, "/v1/subscriptions", sale)["id"]
        http.close()
        return str(customer), str(subscription)

    def _newest_event(self) -> str | None:
        rows = self._get("/v1/events", limit=1)["data"]
        return rows[0]["id"] if rows else None

    def _events_since(self, last: str | None) -> Iterator[dict[str, Any]]:
        """Newest first."""
        after: dict[str, str] = {}
        while True:
            page = self._get("/v1/events", limit=100, **after)
            for event in page["data"]:
                if event["id"] == last:
                    return
                yield event
            if not page["has_more"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    def _get(self, path: str, **params: Any) -> Any:
        answer = self._http.get(self._stripe + path, params=params, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _post(self, http: requests.Session, path: str, form: dict[str, str]) -> Any:
        answer = http.post(self._stripe + path, data=form, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _admin(self, base: str, name: str, **body: Any) -> Any:
        answer = self._http.post(f"{base}/_sandbox/{name}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = "Bearer sk_test_sandbox"
    return session
