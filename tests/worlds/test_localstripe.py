"""A Stripe that others wrote (localstripe, a process of its own), and the hub's real processes: a sale, end to end.

localstripe is an outside witness of the wire and of old shapes: plans in place of prices, periods on the subscription,
API version 2017-08-15. What it does not do is told in connectors/stripe/README.md, section "localstripe".
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from hub.runtime import free_port, wait_for_port
from hub.store import subjects
from hub.store.schema import receipt, subject
from tests.world import Town

pytestmark = pytest.mark.timeout(120)
GRACE = timedelta(days=7)
# It listens on every address when started by its own command, and keeps its objects in /tmp. Its items have no `price`
# beside the plan, and it refuses what it can't expand: products are not read then.
START = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
CONFIG = """
[connections.localstripe]
kind = "stripe"
base_url = "{url}"
api_key = "sk_test_localstripe"
webhook_secrets = ["whsec_localstripe"]
livemode = false
rate_per_s = 1000

[connections.keyless]
kind = "stripe"
base_url = "{url}"
webhook_secrets = ["whsec_keyless"]
livemode = false

[[catalog]]
stripe = "pro-monthly"
sku = "PRO-100"

[[catalog]]
stripe = "pro-yearly"
sku = "TEAM-YEAR"
"""
GOOD, REFUSED_LATER = "4242424242424242", "4000000000000341"


class Seller:
    """What the seller does at localstripe, over its API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.headers["Authorization"] = "Bearer sk_test_localstripe"

    def get(self, path: str) -> Any:
        return self._json(self.http.get(self.url + path, timeout=10))

    def post(self, path: str, **form: Any) -> Any:
        return self._json(self.http.post(self.url + path, data=form, timeout=10))

    def delete(self, path: str) -> Any:
        return self._json(self.http.delete(self.url + path, timeout=10))

    @staticmethod
    def _json(response: requests.Response) -> Any:
        assert response.ok, f"{response.request.method} {response.url}: {response.status_code} {response.text[:300]}"
        return response.json() if response.content else None

    def hook(self, name: str, url: str, secret: str) -> None:
        """Every event goes to `url` from now on."""
        answer = self.http.post(f"{self.url}/_config/webhooks/{name}", json={"url": url, "secret": secret}, timeout=10)
        assert answer.ok

    def catalog(self) -> None:
        product = self.post("/v1/products", name="Pro", type="service")["id"]
        for plan, interval in (("pro-monthly", "month"), ("pro-yearly", "year")):
            self.post("/v1/plans", id=plan, product=product, amount=1000, currency="usd", interval=interval)

    def customer(self, card: str = GOOD) -> str:
        terms = {"card[number]": card, "card[exp_month]": 12, "card[exp_year]": 2099, "card[cvc]": "123"}
        method = self.post("/v1/payment_methods", type="card", **terms)["id"]
        id_ = str(self.post("/v1/customers", name="Brightwater Labs", email="ida@example.com")["id"])
        self.post(f"/v1/payment_methods/{method}/attach", customer=id_)
        self.post(f"/v1/customers/{id_}", **{"invoice_settings[default_payment_method]": method})
        return id_

    def buy(self, seats: int, plan: str = "pro-monthly", card: str = GOOD) -> str:
        items = {"items[0][plan]": plan, "items[0][quantity]": seats}
        return str(self.post("/v1/subscriptions", customer=self.customer(card), **items)["id"])

    def end(self, id_: str) -> datetime:
        """The end of the period, which this API version tells of the subscription alone."""
        return datetime.fromtimestamp(self.get(f"/v1/subscriptions/{id_}")["current_period_end"], UTC)

    def change(self, id_: str, seats: int, plan: str = "pro-monthly") -> None:
        self.post(f"/v1/subscriptions/{id_}", **{"items[0][plan]": plan, "items[0][quantity]": seats})


@contextmanager
def a_localstripe() -> Iterator[Seller]:
    """localstripe as a process of its own, on loopback alone."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", START, str(port)], **quiet)
    try:
        assert wait_for_port(port, 30), "localstripe did not start"
        seller = Seller(f"http://127.0.0.1:{port}")
        yield seller
        seller.http.close()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def seller() -> Iterator[Seller]:
    with a_localstripe() as made:
        made.catalog()
        yield made


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, seller: Seller) -> Iterator[Town]:
    folder: Path = tmp_path_factory.mktemp("town")
    made = Town(folder, f"sqlite:///{folder}/hub.sqlite")
    made.configure(CONFIG.format(url=seller.url))
    try:
        made.start()
        for name in ("localstripe", "keyless"):
            seller.hook(name, f"{made.url}/webhooks/{name}", f"whsec_{name}")
        seller.hook("forger", f"{made.url}/webhooks/localstripe", "whsec_another")
        yield made
    finally:
        made.close()


def held(town: Town, id_: str, connection: str = "localstripe") -> list[dict[str, Any]]:
    """What exists for a purchase, oldest first."""
    return [row for row in town.vendors.grants() if row["orderRefId"] == f"{connection}:{id_}"]


def the_license(town: Town, id_: str, connection: str = "localstripe") -> dict[str, Any]:
    """The one license of a purchase, once there is one and nothing is due."""
    town.until(lambda: held(town, id_, connection) and town.idle())
    (one,) = held(town, id_, connection)
    return one


def look_again(town: Town, id_: str) -> None:
    """The hub looks at a purchase of which localstripe tells nothing; returns once it has."""
    where = subject.c.ref == f"localstripe/subscription/{id_}"
    town.store.write(lambda conn: subjects.wake(conn, where, cause="event", reason="replayed"))
    town.until(town.idle)
    assert (town.subject(id_)["state"], town.subject(id_)["cause"]) == ("idle", "settled")


def expires(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["expiryDate"])


def receipts(town: Town, about: str) -> list[Any]:
    """What localstripe has told of the object with this id."""
    columns = (receipt.c.type, receipt.c.outcome, receipt.c.reason, receipt.c.duplicates)
    with town.store.read() as conn:
        rows = conn.execute(select(*columns, receipt.c.body).where(receipt.c.connection == "localstripe")).all()
    return [row for row in rows if about.encode() in row.body]


def told(town: Town, about: str, type_: str) -> bool:
    """Whether an event of this type about it has come."""
    return any(row.type == type_ for row in receipts(town, about))


@pytest.mark.parametrize("connection", ["localstripe", "keyless"])
def test_a_sale_that_several_events_tell_is_one_license(town: Town, seller: Seller, connection: str) -> None:
    one = seller.buy(5)
    got = the_license(town, one, connection)
    assert (got["sku"], got["seatCount"], got["disabled"]) == ("PRO-100", 5, False)
    assert expires(got) == seller.end(one) + GRACE
    town.until(town.idle)
    assert len(held(town, one, connection)) == 1


def test_each_event_is_known_once_and_what_another_secret_signed_is_refused(town: Town, seller: Seller) -> None:
    """The same events come a second time from `forger`, signed with a secret that is not the hub's."""
    one = seller.buy(2)
    town.until(lambda: told(town, one, "customer.subscription.created"))
    types = [row.type for row in receipts(town, one)]
    assert len(types) == len(set(types)) > 1
    assert [row.duplicates for row in receipts(town, one)] == [0] * len(types)
    assert "wrong signature" in (town.folder / "log").read_text()


def test_a_change_that_no_event_tells_is_found_by_the_sweep_and_keeps_what_is_paid(town: Town, seller: Seller) -> None:
    """localstripe says nothing of changes, and gives the item another id: here within the second of the sale."""
    one = seller.buy(5)
    seller.change(one, 8)
    town.until(lambda: held(town, one) and town.idle())
    town.restart("clock")
    town.until(lambda: held(town, one)[0]["seatCount"] == 8)
    (got,) = held(town, one)
    assert expires(got) == seller.end(one) + GRACE


def test_a_year_in_place_of_a_month_is_licensed_until_its_end_and_the_month_switched_off(
    town: Town, seller: Seller
) -> None:
    one = seller.buy(5)
    month = the_license(town, one)
    seller.change(one, 5, "pro-yearly")
    look_again(town, one)
    old, new = held(town, one)
    assert (old["id"], old["disabled"]) == (month["id"], True)
    assert (new["sku"], new["seatCount"], new["disabled"]) == ("TEAM-YEAR", 5, False)
    assert expires(new) == seller.end(one) + GRACE


def test_an_invoice_by_hand_for_a_period_that_is_paid_prolongs_nothing(town: Town, seller: Seller) -> None:
    """As near to a renewal as localstripe comes: time does not move there."""
    one = seller.buy(3)
    before = the_license(town, one)
    customer = seller.get(f"/v1/subscriptions/{one}")["customer"]
    invoice = seller.post("/v1/invoices", customer=customer, subscription=one)
    assert seller.post(f"/v1/invoices/{invoice['id']}/pay")["status"] == "paid"
    town.until(lambda: told(town, invoice["id"], "invoice.payment_succeeded"))
    look_again(town, one)
    assert held(town, one) == [before]


def test_a_card_that_is_refused_is_no_license(town: Town, seller: Seller) -> None:
    one = seller.buy(5, card=REFUSED_LATER)
    assert seller.get(f"/v1/subscriptions/{one}")["status"] == "incomplete"
    town.until(lambda: town.subject(one) and town.idle())
    assert (held(town, one), town.subject(one)["state"]) == ([], "idle")


@pytest.mark.parametrize("connection", ["localstripe", "keyless"])
def test_a_cancellation_switches_off_and_deletes_nothing(town: Town, seller: Seller, connection: str) -> None:
    one = seller.buy(4)
    before = the_license(town, one, connection)
    seller.delete(f"/v1/subscriptions/{one}")
    town.until(lambda: held(town, one, connection)[0]["disabled"])
    assert held(town, one, connection) == [before | {"disabled": True, "status": "disabled"}]


def test_nothing_that_localstripe_sends_is_unreadable_or_unknown(town: Town, seller: Seller) -> None:
    """What a customer's whole life raises there: each event is accepted, or ignored for a reason that is told."""
    one = seller.buy(1)
    customer = seller.get(f"/v1/subscriptions/{one}")["customer"]
    seller.delete(f"/v1/subscriptions/{one}")
    seller.delete(f"/v1/customers/{customer}")
    town.until(lambda: told(town, customer, "customer.deleted"))
    rows = receipts(town, customer)
    assert {row.outcome for row in rows} == {"accepted", "ignored"}
    assert [row for row in rows if row.reason == "unknown type"] == []
