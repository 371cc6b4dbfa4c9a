"""A short story played through the hub: what people do at the vendors, and what becomes of their licenses."""

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


class Story:
    """Three customers, a year and two days."""

    def __init__(self, settings: Settings, store: Store, webhook_secret: str, out: Console) -> None:
        self._settings, self._store, self._out = settings, store, out
        self._hub = settings.hub.public_url
        self._stripe = str(settings.connections["stripe"]["base_url"])
        self._key = str(settings.connections["stripe"]["api_key"])
        self._fastspring = str(settings.connections["fastspring"]["base_url"])
        self._zentitle = str(settings.connections["zentitle"]["base_url"])
        self._webhook_secret = webhook_secret
        self._http = requests.Session()
        self._http.trust_env = False
        self._step = 0
        self.failed = False

    def wait_until_ready(self, seconds: float) -> None:
        """Returns once hub and vendors answer."""
        clocks = [f"{vendor}/_sandbox/clock" for vendor in (self._stripe, self._zentitle, self._fastspring)]
        for url in (f"{self._hub}/readyz", *clocks):
            self._until(lambda url=url: self._answers(url), f"{url} answers", seconds)  # type: ignore[misc]

    def play(self) -> None:
        """The whole story; raises StoryError where a license is not what it should be."""
        self._admin(self._stripe, "webhook", url=f"{self._hub}/webhooks/stripe", secret=self._webhook_secret)
        door = {"url": f"{self._hub}/webhooks/fastspring", "secret": self._webhook_secret}
        self._admin(self._fastspring, "delivery", **door)
        asking = {"url": f"{self._hub}/fulfillment/fastspring", "key": self._webhook_secret}
        self._admin(self._fastspring, "fulfillment", **asking)
        subprocess.run(this_hub("connect", "zentitle"), check=True, capture_output=True, timeout=TIMEOUT_S)
        annual = self._price("pro_annual", 9900, "year")
        monthly = self._price("pro_monthly", 1200, "month")

        self._say("Brightwater Labs buys Pro for a year, 20 seats.")
        brightwater, first = self._buy("Brightwater Labs", annual, 20)
        self._expect(first, seatCount=20, disabled=False)

        self._say("Three people at Brightwater activate a seat.")
        seats = ["ada", "grace", "edsger"]
        self._admin(self._zentitle, "activate", orderRefId=f"stripe:{first}", seatIds=seats)
        self._expect(first, seatsUsed=3)

        self._say("Brightwater adds 5 seats.")
        item = self._get(f"/v1/subscriptions/{first}")["items"]["data"][0]["id"]
        self._post(f"/v1/subscriptions/{first}", {"items[0][id]": item, "items[0][quantity]": "25"})
        self._expect(first, seatCount=25)

        self._say("Cedar & Co buys Pro by the month, 5 seats.")
        _, second = self._buy("Cedar & Co", monthly, 5)
        self._expect(second, seatCount=5, disabled=False)

        self._say("Eleven months pass; Cedar's license is renewed each month.")
        self._advance(340)
        self._expect(second, disabled=False, expires_after=self._now())

        self._say("Brightwater's card fails at the renewal: the license stays on, and is paid no further.")
        before = self._grant(first)["expiryDate"]
        self._admin(self._stripe, "card", customer=brightwater, ok=False)
        self._advance(27)
        self._expect(first, expiryDate=before, disabled=False)

        self._say("The card works again: the next attempt is paid, and the license lasts another year.")
        self._admin(self._stripe, "card", customer=brightwater, ok=True)
        self._advance(6)
        self._expect(first, disabled=False, expires_after=self._now(), other_than=before)

        self._say("Cedar & Co cancels at once: its license is switched off, not deleted.")
        self._http.delete(f"{self._stripe}/v1/subscriptions/{second}", headers=self._auth(), timeout=TIMEOUT_S)
        self._settle()
        self._expect(second, disabled=True)

        self._say("Dunmore Maps buys Pro at FastSpring, 10 seats, and is shown its activation code at once.")
        third, code = self._buy_at_fastspring("Dunmore Maps", "pro-annual", 10)
        self._expect(third, seatCount=10, disabled=False, activationCodes=[code])
        self._out.print(f"     the code: {code}")

        one = self._grant(first)["id"]
        self._out.print(f"\n[dim]Why is Brightwater's license so?[/]  hub why {one}")
        self._out.print(f"[dim]               or in the console:[/]  {self._hub}/entitlements/{one}")

    # -- what people do

    def _buy(self, name: str, price: str, quantity: int) -> tuple[str, str]:
        customer = self._post("/v1/customers", {"name": name, "metadata[customer_ref]": ""})["id"]
        self._admin(self._stripe, "card", customer=customer, ok=True)
        sale = {"customer": customer, "items[0][price]": price, "items[0][quantity]": str(quantity)}
        return customer, self._post("/v1/subscriptions", sale)["id"]

    def _buy_at_fastspring(self, company: str, product: str, quantity: int) -> tuple[str, str]:
        """(subscription, the code that the buyer was shown)."""
        item = {"product": product, "quantity": quantity, "interval": "year"}
        (sold,) = self._admin(self._fastspring, "buy", company=company, items=[item])["items"]
        shown = [one["license"] for licenses in sold["fulfillments"].values() for one in licenses]
        return sold["subscription"], shown[0] if shown else "none"

    def _price(self, key: str, amount: int, interval: str) -> str:
        product = self._post("/v1/products", {"name": "Pro"})["id"]
        terms = {"product": product, "unit_amount": str(amount), "currency": "usd", "lookup_key": key}
        return str(self._post("/v1/prices", {**terms, "recurring[interval]": interval})["id"])

    def _advance(self, days: int) -> None:
        """Business time goes on by a day at a time, and all that comes of each day is done before the next."""
        with self._out.status(f"[dim]{days} days …") as status:
            for day in range(1, days + 1):
                self._admin(self._stripe, "advance", days=1)
                clock = self._json(self._http.get(f"{self._stripe}/_sandbox/clock", timeout=TIMEOUT_S))
                business.move(self._store, self._settings, clock["offset_s"])
                self._settle()
                status.update(f"[dim]day {day} of {days}: {self._now():%d %B %Y}")

    # -- what becomes of it

    def _expect(
        self,
        subscription: str,
        *,
        expires_after: datetime | None = None,
        other_than: str | None = None,
        **wanted: object,
    ) -> None:
        def so() -> bool:
            grant = self._grant(subscription)
            right = all(grant.get(key) == value for key, value in wanted.items())
            later = expires_after is None or _time(grant["expiryDate"]) > expires_after
            return right and later and grant.get("expiryDate") != other_than

        self._until(so, f"the license of {subscription} is {wanted}", PATIENCE_S)
        self._settle()
        if not so():
            raise StoryError(f"the license of {subscription} did not stay as it was: {self._grant(subscription)}")
        grant = self._grant(subscription)
        state = "[red]off[/]" if grant["disabled"] else "[green]on[/]"
        self._out.print(
            f"     {grant['sku']}: {grant['seatCount']} seats, {grant['seatsUsed']} in use, "
            f"expires {_time(grant['expiryDate']):%d %b %Y}, {state}"
        )

    def _grant(self, subscription: str) -> dict[str, Any]:
        refs = {f"{source}:{subscription}" for source in ("stripe", "fastspring")}
        rows = [one for one in self._admin(self._zentitle, "grants") if one["orderRefId"] in refs]
        if len(rows) > 1:
            raise StoryError(f"{subscription} has {len(rows)} licenses")
        return dict(rows[0]) if rows else {"expiryDate": "1970-01-01T00:00:00Z"}

    def _settle(self) -> None:
        """Waits until every event is delivered and nothing is due now (second looks to come do not count)."""
        for vendor in (self._stripe, self._zentitle, self._fastspring):
            self._admin(vendor, "drain", timeout_s=TIMEOUT_S)
        self._until(self._nothing_due, "nothing is due", PATIENCE_S)

    def _nothing_due(self) -> bool:
        with self._store.read() as conn:
            return subjects.busy(conn) == 0

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise StoryError(f"waited {seconds:.0f} s in vain until {what}")
            time.sleep(0.02)

    # -- HTTP

    def _say(self, text: str) -> None:
        self._step += 1
        self._out.print(f"[bold]{self._step:3d}.[/] {text} [dim]({self._now():%d %b %Y})[/]")

    def _now(self) -> datetime:
        return _time(self._json(self._http.get(f"{self._stripe}/_sandbox/clock", timeout=TIMEOUT_S))["now"])

    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _get(self, path: str) -> Any:  # noqa: ANN401
        return self._json(self._http.get(self._stripe + path, headers=self._auth(), timeout=TIMEOUT_S))

    def _post(self, path: str, form: dict[str, str]) -> Any:  # noqa: ANN401
        form = {key: value for key, value in form.items() if value}
        return self._json(self._http.post(self._stripe + path, data=form, headers=self._auth(), timeout=TIMEOUT_S))

    def _admin(self, base: str, name: str, **body: Any) -> Any:  # noqa: ANN401
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
