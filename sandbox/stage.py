"""Where stories are played: the hands of people at the vendors, the business clock, and waiting until all is done."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
from rich.console import Console

from hub import business
from hub.errors import HubError
from hub.runtime import this_hub
from hub.settings import Settings
from hub.store import Store, subjects

TIMEOUT_S = 30
PATIENCE_S = 45


class StoryError(Exception):
    """Something did not come out as the story tells it."""


class Stage:
    """A hub among emulated vendors, all on one business clock."""

    def __init__(self, settings: Settings, store: Store, webhook_secret: str, out: Console) -> None:
        self.settings, self.store, self.out = settings, store, out
        self.hub = settings.hub.public_url
        self.stripe, self.zentitle, self.fastspring, self.salesforce = (
            str(settings.connections[name]["base_url"]) for name in ("stripe", "zentitle", "fastspring", "salesforce")
        )
        self._key = str(settings.connections["stripe"]["api_key"])
        self._webhook_secret = webhook_secret
        self._http = requests.Session()
        self._http.trust_env = False
        self._step = 0

    def wait_until_ready(self, seconds: float) -> None:
        """Returns once hub and vendors answer."""
        vendors = (f"{one}/_sandbox/clock" for one in (self.stripe, self.zentitle, self.fastspring, self.salesforce))
        for url in (f"{self.hub}/readyz", *vendors):
            self.until(lambda url=url: self._answers(url), f"{url} answers", seconds)  # type: ignore[misc]

    def connect(self) -> None:
        """The vendors send their webhooks to the hub, and FastSpring asks it for activation codes."""
        secret = self._webhook_secret
        self.admin(self.stripe, "webhook", url=f"{self.hub}/webhooks/stripe", secret=secret)
        self.admin(self.fastspring, "delivery", url=f"{self.hub}/webhooks/fastspring", secret=secret)
        self.admin(self.fastspring, "fulfillment", url=f"{self.hub}/fulfillment/fastspring", key=secret)
        subprocess.run(this_hub("connect", "zentitle"), check=True, capture_output=True, timeout=TIMEOUT_S)

    # -- what people do

    def buy(self, name: str, price: str, quantity: int, customer_ref: str = "") -> tuple[str, str]:
        """A new customer subscribes, with a card that works; (customer, subscription)."""
        customer = self.post("/v1/customers", {"name": name, "metadata[customer_ref]": customer_ref})["id"]
        self.admin(self.stripe, "card", customer=customer, ok=True)
        sale = {"customer": customer, "items[0][price]": price, "items[0][quantity]": str(quantity)}
        return customer, self.post("/v1/subscriptions", sale)["id"]

    def buy_at_fastspring(self, company: str, product: str, quantity: int) -> tuple[str, str]:
        """A company subscribes there for a year; (subscription, the code that the buyer was shown)."""
        item = {"product": product, "quantity": quantity, "interval": "year"}
        (sold,) = self.admin(self.fastspring, "buy", company=company, items=[item])["items"]
        shown = [one["license"] for licenses in sold["fulfillments"].values() for one in licenses]
        return sold["subscription"], shown[0] if shown else "none"

    def price(self, key: str, amount: int, interval: str) -> str:
        """A new price with this lookup key, in cents per seat; its id."""
        product = self.post("/v1/products", {"name": "Pro"})["id"]
        terms = {"product": product, "unit_amount": str(amount), "currency": "usd", "lookup_key": key}
        return str(self.post("/v1/prices", {**terms, "recurring[interval]": interval})["id"])

    def advance(self, days: int) -> None:
        """Business time goes on by a day at a time, and all that comes of each day is done before the next."""
        with self.out.status(f"[dim]{days} days …") as status:
            for day in range(1, days + 1):
                self.move(days=1)
                self.settle()
                status.update(f"[dim]day {day} of {days}: {self.now():%d %B %Y}")

    def move(self, **by: float) -> None:
        """Business time goes on for vendors and hub (days=1, say), and nobody waits for what comes of it."""
        self.admin(self.stripe, "advance", **by)
        clock = self._json(self._http.get(f"{self.stripe}/_sandbox/clock", timeout=TIMEOUT_S))
        business.move(self.store, self.settings, clock["offset_s"])

    # -- what becomes of it

    def expect(
        self,
        subscription: str,
        *,
        expires_after: datetime | None = None,
        other_than: str | None = None,
        **wanted: object,
    ) -> None:
        """Waits until a subscription's license is so, and tells it; StoryError where it is not, or not for long."""

        def so() -> bool:
            grant = self.grant(subscription)
            right = all(grant.get(key) == value for key, value in wanted.items())
            later = expires_after is None or _time(grant["expiryDate"]) > expires_after
            return right and later and grant.get("expiryDate") != other_than

        self.until(so, f"the license of {subscription} is {wanted}", PATIENCE_S)
        self.settle()
        if not so():
            raise StoryError(f"the license of {subscription} did not stay as it was: {self.grant(subscription)}")
        grant = self.grant(subscription)
        state = "[red]off[/]" if grant["disabled"] else "[green]on[/]"
        self.out.print(
            f"     {grant['sku']}: {grant['seatCount']} seats, {grant['seatsUsed']} in use, "
            f"expires {_time(grant['expiryDate']):%d %b %Y}, {state}"
        )

    def grant(self, subscription: str) -> dict[str, Any]:
        """What Zentitle2 holds for a subscription."""
        refs = {f"{source}:{subscription}" for source in ("stripe", "fastspring")}
        rows = [one for one in self.admin(self.zentitle, "grants") if one["orderRefId"] in refs]
        if len(rows) > 1:
            raise StoryError(f"{subscription} has {len(rows)} licenses")
        return dict(rows[0]) if rows else {"expiryDate": "1970-01-01T00:00:00Z"}

    def settle(self) -> None:
        """Waits until every event is delivered and nothing is due now (second looks to come do not count)."""
        for vendor in (self.stripe, self.zentitle, self.fastspring):
            self.admin(vendor, "drain", timeout_s=TIMEOUT_S)
        self.until(self._nothing_due, "nothing is due", PATIENCE_S)

    def _nothing_due(self) -> bool:
        with self.store.read() as conn:
            return subjects.busy(conn) == 0

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Waits; StoryError after so many seconds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise StoryError(f"waited {seconds:.0f} s in vain until {what}")
            time.sleep(0.02)

    # -- HTTP

    def say(self, text: str) -> None:
        """The next step of the story."""
        self._step += 1
        self.out.print(f"[bold]{self._step:3d}.[/] {text} [dim]({self.now():%d %b %Y})[/]")

    def now(self) -> datetime:
        """Business time."""
        return _time(self._json(self._http.get(f"{self.stripe}/_sandbox/clock", timeout=TIMEOUT_S))["now"])

    def cancel(self, subscription: str) -> None:
        """It ends at Stripe at once."""
        url = f"{self.stripe}/v1/subscriptions/{subscription}"
        self._json(self._http.delete(url, headers=self._auth(), timeout=TIMEOUT_S))

    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def get(self, path: str) -> Any:  # noqa: ANN401
        """What Stripe answers."""
        return self._json(self._http.get(self.stripe + path, headers=self._auth(), timeout=TIMEOUT_S))

    def post(self, path: str, form: dict[str, str]) -> Any:  # noqa: ANN401
        """What Stripe answers; empty values are left out."""
        form = {key: value for key, value in form.items() if value}
        return self._json(self._http.post(self.stripe + path, data=form, headers=self._auth(), timeout=TIMEOUT_S))

    def admin(self, base: str, name: str, **body: Any) -> Any:  # noqa: ANN401
        """An admin call of an emulator."""
        return self._json(self._http.post(f"{base}/_sandbox/{name}", json=body, timeout=TIMEOUT_S))

    def _answers(self, url: str) -> bool:
        try:
            return bool(self._http.get(url, timeout=TIMEOUT_S).ok)
        except (requests.RequestException, HubError):
            return False

    @staticmethod
    def _json(response: requests.Response) -> Any:  # noqa: ANN401
        if not response.ok:
            raise StoryError(f"{response.request.method} {response.url}: {response.status_code} {response.text[:300]}")
        return response.json()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
