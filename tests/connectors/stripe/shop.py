"""A shop on the Stripe emulator: the real client over HTTP, short ways to sell, and a receiver of webhooks."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from stripe import StripeClient

from connectors.emulation import Clock, serving
from connectors.stripe.emulator import StripeEmulator

KEY = "sk_test_sandbox"
SECRET = "whsec_sandbox"
DAY, HOUR = 86_400, 3_600


class FixedClock(Clock):
    """Stands still but for `advance`."""

    def __init__(self, start=datetime(2026, 1, 31, 12, tzinfo=UTC)):
        super().__init__()
        self.start = start

    def now(self):
        return self.start + self.offset


class Shop:
    """An emulator, its address, a client, and short ways to sell."""

    def __init__(self, emulator, url, **client):
        self.emulator, self.url = emulator, url
        options = {"max_network_retries": 0} | client
        self.client = StripeClient(KEY, base_addresses={"api": url}, **options)
        self.v1 = self.client.v1
        self.product = self.v1.products.create({"name": "Pro"}).id
        self.prices = {}

    def price(self, key="PRO-100", amount=1000, interval="month"):
        if key not in self.prices:
            wanted = {
                "product": self.product,
                "currency": "usd",
                "unit_amount": amount,
                "lookup_key": key,
                "recurring": {"interval": interval},
            }
            self.prices[key] = self.v1.prices.create(wanted).id
        return self.prices[key]

    def once(self, key="LIFETIME", amount=9900, currency="usd"):
        """A price that is paid once."""
        if key not in self.prices:
            wanted = {"product": self.product, "currency": currency, "unit_amount": amount, "lookup_key": key}
            self.prices[key] = self.v1.prices.create(wanted).id
        return self.prices[key]

    def session(self, *, mode="payment", lines=None, **given):
        lines = lines or [{"price": self.once(), "quantity": 2}]
        return self.v1.checkout.sessions.create({"mode": mode, "line_items": lines, **given})

    def checkout(self, session, **given):
        """The buyer completes it; gives what the API then says."""
        self.admin("checkout", session=session.id, **given)
        return self.v1.checkout.sessions.retrieve(session.id)

    def charge(self, invoice):
        """The charge that paid an invoice."""
        payment = self.v1.invoice_payments.list({"invoice": invoice}).data[0].payment
        return self.v1.charges.list({"payment_intent": payment.payment_intent}).data[0]

    def since(self, act):
        """The types of the events that `act` raised, and what it gave."""
        before = len(self.types())
        done = act()
        return self.types(before), done

    def customer(self, **given):
        return self.v1.customers.create({"email": "ann@example.com", **given}).id

    def sell(self, *, customer=None, quantity=5, items=None, **given):
        items = items or [{"price": self.price(), "quantity": quantity}]
        return self.v1.subscriptions.create({"customer": customer or self.customer(), "items": items, **given})

    def subscription(self, id_, **given):
        return self.v1.subscriptions.retrieve(id_, given)

    def invoices(self, sub):
        return self.v1.invoices.list({"subscription": sub.id, "limit": 100}).data

    def types(self, since=0):
        """Event types, oldest first, after the first `since`."""
        events = list(self.v1.events.list({"limit": 100}).auto_paging_iter())
        return [event.type for event in reversed(events)][since:]

    def admin(self, name, **body):
        answer = requests.post(f"{self.url}/_sandbox/{name}", json=body, timeout=40)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def advance(self, **step):
        self.admin("advance", **step)


@contextmanager
def a_shop(*, client=None, clock=None, **given):
    emulator = StripeEmulator(clock or FixedClock(), **given)
    with serving(emulator) as url:
        yield Shop(emulator, url, **(client or {}))
    emulator.deliveries.close()


class Receiver:
    """Takes webhooks; answers what `answers` says for its n-th request, then 200."""

    def __init__(self, *answers):
        self.got, self.answers, self.lock = [], list(answers), threading.Lock()

    def take(self, body, signature):
        with self.lock:
            self.got.append((body, signature))
            return self.answers.pop(0) if self.answers else 200

    @property
    def events(self):
        return [json.loads(body) for body, _ in self.got]

    @property
    def types(self):
        return Counter(event["type"] for event in self.events)


@contextmanager
def receiving(*answers):
    receiver = Receiver(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(body, self.headers["Stripe-Signature"]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        receiver.url = f"http://127.0.0.1:{httpd.server_port}/hooks"
        yield receiver
        httpd.shutdown()


def ends(sub):
    return [item.current_period_end for item in sub["items"].data]


def stamp(*date):
    return int(datetime(*date, 12, tzinfo=UTC).timestamp())
