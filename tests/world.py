"""A hub among emulated vendors in this process, over real HTTP; and an oracle that knows nothing of the hub.

`World` keeps what Stripe posts, so that a test says in which order, how often, and whether at all it is delivered.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, serving
from connectors.stripe.emulator import StripeEmulator
from connectors.zentitle.emulator import ZentitleEmulator
from hub import drain, settings, wiring
from hub.failpoint import FailpointError
from hub.inbox import accept
from hub.runtime import EmbeddedRedis, free_port, this_hub, wait_for_port
from hub.store import Store, subjects
from hub.store.schema import db_now, lease, subject
from tests import forking
from tests.records import upgrade

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
Post = tuple[bytes, dict[str, str]]
SECRET = "whsec_of_the_tests"
SKUS = {"PRO-100": "year", "TEAM-YEAR": "year", "PRO-MONTHLY": "month"}
ACTS = (
    *("buy", "buy again", "trial", "seats", "seats", "swap", "card fails", "card works", "time", "time", "time"),
    *("cancel later", "undo", "cancel", "void", "collect", "pause", "resume"),
)
CONFIG = """
[hub]
secret = "a secret of the tests, long enough for all of them"
database_url = "{database}"
redis_url = "{redis}"
port = {port}

[policy]
guard_min = {guard_min}
revive_days = {revive}

[timing]
settle = 0
tick = {tick}
second_look = {second_look}
sweep = {sweep}
lease = {lease}
ambiguity_window = {window}
customer_wait = 0.3
retry_base = 0.05
retry_max = 1
permanent_retry = 0.3
drain = {drain}
breaker = 1

[connections.stripe]
kind = "stripe"
base_url = "{stripe}"
{key}
webhook_secrets = ["{secret}"]
rate_per_s = 5000

[connections.zentitle]
kind = "zentitle"
base_url = "{zentitle}"
token_url = "{zentitle}/realms/sandbox/protocol/openid-connect/token"
tenant_id = "t_sandbox"
client_id = "hub"
client_secret = "sandbox-secret"
rate_per_s = {rate}
"""


def config_text(*, database: str, stripe: str, zentitle: str, **values: Any) -> str:
    """A hub.toml on these vendors, with short times."""
    known = {"redis": "redis://127.0.0.1:1/0", "port": 0, "guard_min": -1, "lease": 3, "window": 1.2, "revive": 0}
    known |= {"sweep": 3600, "rate": 5000, "tick": 0.5, "drain": 5, "second_look": 0.2}
    keyed = values.pop("keyed", True)
    key = 'api_key = "sk_test_sandbox"' if keyed else ""
    return CONFIG.format(
        database=database, stripe=stripe, zentitle=zentitle, key=key, secret=SECRET, **(known | values)
    )


@dataclass(frozen=True)
class Wanted:
    """What a subscription implies: whether its licenses are on, and for each SKU (seats, end of what is paid)."""

    enabled: bool
    terms: dict[str, tuple[int, datetime]]

    @property
    def on(self) -> dict[str, tuple[int, datetime]]:
        """The terms of what is on."""
        return self.terms if self.enabled else {}


class Vendors:
    """What people do at Stripe, and what Zentitle2 then holds, spoken to over HTTP."""

    def __init__(self, stripe: str, zentitle: str) -> None:
        self.stripe_url, self.zentitle_url = stripe, zentitle
        self.http = requests.Session()
        self.http.headers["Authorization"] = "Bearer sk_test_sandbox"
        self.customers: list[str] = []
        self.subscriptions: list[str] = []
        self.versions: dict[str, list[Wanted]] = {}
        self.event_ids: set[str] = set()
        self.prices: dict[str, str] = {}

    def get(self, path: str, **params: Any) -> Any:
        return self._json(self.http.get(self.stripe_url + path, params=params, timeout=30))

    def post(self, path: str, form: dict[str, Any] | None = None) -> Any:
        return self._json(self.http.post(self.stripe_url + path, data=form or {}, timeout=30))

    def delete(self, path: str) -> Any:
        return self._json(self.http.delete(self.stripe_url + path, timeout=30))

    def stripe_admin(self, name: str, **body: Any) -> Any:
        return self._json(self.http.post(f"{self.stripe_url}/_sandbox/{name}", json=body, timeout=60))

    def zentitle_admin(self, name: str, **body: Any) -> Any:
        return self._json(self.http.post(f"{self.zentitle_url}/_sandbox/{name}", json=body, timeout=60))

    @staticmethod
    def _json(response: requests.Response) -> Any:
        assert response.ok, f"{response.request.method} {response.url}: {response.status_code} {response.text[:300]}"
        return response.json()

    # -- what people do

    def price(self, sku: str) -> str:
        if sku not in self.prices:
            product = self.post("/v1/products", {"name": sku})["id"]
            terms = {"product": product, "unit_amount": "100", "currency": "usd", "lookup_key": sku}
            terms["recurring[interval]"] = SKUS.get(sku, "year")
            self.prices[sku] = self.post("/v1/prices", terms)["id"]
        return self.prices[sku]

    def customer(self, name: str = "", **metadata: str) -> str:
        form = {"name": name or f"Customer {len(self.customers)}"} | {f"metadata[{k}]": v for k, v in metadata.items()}
        self.customers.append(self.post("/v1/customers", form)["id"])
        self.stripe_admin("card", customer=self.customers[-1], ok=True)
        return self.customers[-1]

    def buy(self, sku: str = "PRO-100", quantity: int = 1, customer: str | None = None, **more: str) -> str:
        form = {"customer": customer or self.customer(), "items[0][price]": self.price(sku)}
        form |= {"items[0][quantity]": str(quantity), **more}
        self.subscriptions.append(self.post("/v1/subscriptions", form)["id"])
        return self.subscriptions[-1]

    def item(self, subscription: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/subscriptions/{subscription}")["items"]["data"][0]
        return found

    def set_quantity(self, subscription: str, quantity: int) -> None:
        form = {"items[0][id]": self.item(subscription)["id"], "items[0][quantity]": str(quantity)}
        self.post(f"/v1/subscriptions/{subscription}", form)

    def swap(self, subscription: str, sku: str) -> None:
        form = {"items[0][id]": self.item(subscription)["id"], "items[0][price]": self.price(sku)}
        self.post(f"/v1/subscriptions/{subscription}", form)

    def cancel(self, subscription: str) -> None:
        self.delete(f"/v1/subscriptions/{subscription}")

    def advance(self, days: int) -> None:
        for part in [20] * (days // 20) + [days % 20]:
            self.stripe_admin("advance", days=part)
            self.note_events()

    def flush(self) -> None:
        self.stripe_admin("drain", timeout_s=30)

    def act(self, roll: random.Random) -> str:
        """Something that people do, at random; what is refused there is no harm here."""
        what = roll.choice(ACTS)
        with suppress(AssertionError):
            self._do(what, roll)
        return what

    def _do(self, what: str, roll: random.Random) -> None:
        if what in {"buy", "buy again", "trial"} or not self.subscriptions:
            again = what == "buy again" and self.customers
            more = {"trial_period_days": "14"} if what == "trial" else {}
            buyer = roll.choice(self.customers) if again else None
            self.buy(roll.choice(list(SKUS)), roll.randint(1, 30), buyer, **more)
            return
        one, buyer = roll.choice(self.subscriptions), roll.choice(self.customers)
        form = {
            "cancel later": {"cancel_at_period_end": "true"},
            "undo": {"cancel_at_period_end": "false"},
            "void": {"pause_collection[behavior]": "void"},
            "collect": {"pause_collection": ""},
        }
        if what == "seats":
            self.set_quantity(one, roll.randint(1, 30))
        elif what == "swap":
            self._swap(one)
        elif what.startswith("card"):
            self.stripe_admin("card", customer=buyer, ok=what == "card works")
        elif what == "time":
            self.advance(roll.choice([1, 3, 20, 35, 120]))
        elif what == "cancel":
            self.cancel(one)
        elif what in form:
            self.post(f"/v1/subscriptions/{one}", form[what])
        else:
            self.post(f"/v1/subscriptions/{one}/{what}")

    def _swap(self, subscription: str) -> None:
        """Between the two yearly offerings of one product."""
        now = self.item(subscription)["price"]["lookup_key"]
        if now != "PRO-MONTHLY":
            self.swap(subscription, "TEAM-YEAR" if now == "PRO-100" else "PRO-100")

    # -- the oracle

    def wanted(self) -> dict[str, Wanted]:
        """What Stripe's own state implies, subscription by subscription; read by nothing of the hub."""
        return {one["id"]: self._wanted(one) for one in self._all("/v1/subscriptions", status="all")}

    def _all(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every page of a list."""
        found: list[dict[str, Any]] = []
        while True:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.get(path, limit=100, **params, **after)
            found += page["data"]
            if not page["has_more"]:
                return found

    def _wanted(self, subscription: dict[str, Any]) -> Wanted:
        enabled = subscription["status"] in {"active", "trialing", "past_due"}
        invoices = self.get("/v1/invoices", subscription=subscription["id"], limit=100)["data"]
        on: dict[str, tuple[int, datetime]] = {}
        for item in subscription["items"]["data"]:
            sku, until = item["price"]["lookup_key"], _paid_until(subscription, item, invoices)
            seats, later = on.get(sku, (0, until))
            on[sku] = (seats + item["quantity"], max(later, until))
        return Wanted(enabled, on)

    def get_zentitle_customers(self) -> list[dict[str, Any]]:
        """Every customer that Zentitle2 has."""
        rows: list[dict[str, Any]] = self.zentitle_admin("state")["customers"]
        return rows

    def note_events(self) -> None:
        """Remembers the ids of all events so far; Stripe itself lists only those of the last 30 days."""
        found: list[str] = []
        while True:
            after = {"starting_after": found[-1]} if found else {}
            page = self.get("/v1/events", limit=100, **after)
            ids = [one["id"] for one in page["data"]]
            found += ids
            if not page["has_more"] or not self.event_ids.isdisjoint(ids):
                self.event_ids.update(found)
                return

    def note_versions(self) -> None:
        """Remembers what each subscription implies now, for `went_back`."""
        for id_, wanted in self.wanted().items():
            seen = self.versions.setdefault(id_, [])
            if not seen or seen[-1] != wanted:
                seen.append(wanted)

    def went_back(self) -> list[str]:
        """Every field that was written with a value older than one it had before, or with no version's value (I5)."""
        refs = {row["id"]: row["orderRefId"].removeprefix("stripe:") for row in self.grants()}
        writes: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        for row in self.zentitle_admin("history"):
            for name, value in _written(row):
                writes.setdefault((row["entitlement"], name), []).append((row["after"]["sku"], value))
        return [
            f"{refs[id_]}: {name} {told}"
            for (id_, name), values in writes.items()
            for told in _regression(name, values, self.versions[refs[id_]])
        ]

    def grants(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.zentitle_admin("grants")
        return rows

    def wrong(self) -> list[str]:
        """Every license that is lost, doubled or wrong, as a sentence."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.grants():
            rows.setdefault(row["orderRefId"], []).append(row)
        told = []
        for id_, wanted in self.wanted().items():
            live = [row for row in rows.pop(f"stripe:{id_}", []) if not row["disabled"]]
            have = {row["sku"]: (row["seatCount"], _time(row["expiryDate"]) - timedelta(days=7)) for row in live}
            if len(live) != len(have):
                told.append(f"{id_} is doubled: {live}")
            elif have != wanted.on:
                told.append(f"{id_}: wanted {wanted.on}, is {have}")
        return told + [f"nobody bought {ref}" for ref in rows]


def _paid_until(subscription: dict[str, Any], item: dict[str, Any], invoices: list[dict[str, Any]]) -> datetime:
    if subscription["status"] == "trialing":
        return datetime.fromtimestamp(subscription["trial_end"], UTC)
    for invoice in sorted(invoices, key=lambda one: -one["created"]):
        ends = [line["period"]["end"] for line in invoice["lines"]["data"] if _pays(line, item["id"])]
        if invoice["status"] == "paid" and ends:
            return datetime.fromtimestamp(max(ends), UTC)
    return datetime.fromtimestamp(0, UTC)


def _written(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(field, value) of what the hub set by this write; what a create gives by itself is nobody's wish."""
    body, verb = row["body"] or {}, row["path"].split("?")[0].rsplit("/", 1)[-1]
    if row["entitlement"] is None or row["method"] != "PATCH":
        return
    if verb in {"enable", "disable"}:
        yield "on", verb == "enable"
    if verb == "change-offering":
        yield "sku", row["after"]["sku"]
    if "seatCount" in body:
        yield "seats", body["seatCount"]
    if "expiryDate" in body:
        yield "end", _time(body["expiryDate"]) - timedelta(days=7)


def _had(name: str, version: Wanted, sku: str) -> Any:
    if name in {"on", "sku"}:
        return version.enabled if name == "on" else sku if sku in version.terms else None
    return version.terms.get(sku, (None, None))[name == "end"]


def _regression(name: str, values: list[tuple[str, Any]], versions: list[Wanted]) -> Iterator[str]:
    """Told where these values do not follow each other in the order of the versions."""
    at = 0
    for sku, value in values:
        if value not in [_had(name, one, sku) for one in versions]:
            yield f"became {value}, which no version says"
            return
        at = next((i for i in range(at, len(versions)) if _had(name, versions[i], sku) == value), -1)
        if at < 0:
            yield f"went back to {value}"
            return


def _pays(line: dict[str, Any], item: str) -> bool:
    details = (line.get("parent") or {}).get("subscription_item_details") or line
    return details.get("subscription_item") == item and not details.get("proration")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class World(Vendors):
    """Vendors, a record, and a hub whose work is done when the test says so; `more` is added to its hub.toml."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        seed: int = 0,
        shape: str = "current",
        clock: Clock | None = None,
        more: str = "",
        payloads: Iterable[str] = ("snapshot",),
        **values: Any,
    ) -> None:
        """`clock` is the vendors' business time; `more` is added at the end of hub.toml; `payloads` of events."""
        self.roll = random.Random(seed)
        self.stack = ExitStack()
        clock = clock or Clock()
        self.stripe = StripeEmulator(clock, shape=shape, seed=seed)  # type: ignore[arg-type]
        self.zentitle = ZentitleEmulator(clock, seed=seed)
        super().__init__(
            self.stack.enter_context(serving(self.stripe)), self.stack.enter_context(serving(self.zentitle))
        )
        self.config = folder / "hub.toml"
        text = config_text(database=database, stripe=self.stripe_url, zentitle=self.zentitle_url, **values)
        self.config.write_text(text + more)
        self.hub = wiring.build(settings.load(self.config, {}))
        upgrade(self.hub.store)
        wiring.start(self.hub)
        self.posted: list[Post] = []
        sink = self.stack.enter_context(_sink(self.posted))
        for payload in payloads:
            self.stripe.webhook(url=sink, secret=SECRET, payload=payload)  # type: ignore[arg-type]

    def events(self) -> list[Post]:
        """What Stripe has posted since the last call."""
        self.flush()
        posted = list(self.posted)
        self.posted.clear()
        return posted

    def deliver(self, posts: Iterable[Post]) -> list[str]:
        """Posts these to the hub's door; the outcomes."""
        door = self.hub.connectors["stripe"]
        return [out for body, headers in posts for out in accept(self.hub.store, door, body, headers, time.time())]

    def work(self) -> int:
        """One drain; 0 where a fail point ended it, as a dying worker would be."""
        with suppress(FailpointError):
            return drain.drain(self.hub.shop, self.hub.bell, 8, stop=lambda: False)
        return 0

    def replay_all(self) -> None:
        """Makes every subject that the hub knows due."""
        self.hub.store.write(
            lambda conn: subjects.wake(conn, subject.c.ref.is_not(None), cause="event", reason="replayed")
        )

    def settle(self, seconds: float = 30) -> bool:
        """Works until nothing is due any more, second looks included; False where that does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.work()
            with self.hub.store.read() as conn:
                wait = subjects.next_due(conn)
                due = conn.execute(select(subject.c.ref).where(subject.c.state == "due").limit(1)).first()
            if due is None:
                return True
            time.sleep(min(max(wait or 0.02, 0.02), 0.3))
        return False

    def writes(self) -> int:
        """How many writes Zentitle2 has carried out."""
        return len(self.zentitle.history_rows)

    def close(self) -> None:
        self.stripe.deliveries.close()
        self.http.close()
        for connector in self.hub.connectors.values():
            for part in (connector.purchases, connector.licensing):
                if part is not None:
                    part.close()
        self.hub.store.close()
        self.stack.close()


def due_in(store: Store) -> list[str]:
    """What is due, for a message."""
    with store.read() as conn:
        rows = conn.execute(select(subject).where(subject.c.state == "due").limit(10)).all()
    return [f"{row.ref}: {row.cause}, {row.reason}, {row.tries} tries" for row in rows]


@contextmanager
def _sink(posted: list[Post]) -> Iterator[str]:
    @Request.application
    def take(request: Request) -> Response:
        posted.append((request.get_data(), {name.lower(): value for name, value in request.headers.items()}))
        return Response("ok")

    server = make_server("127.0.0.1", 0, take, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Town:
    """Vendors and hub in processes of their own; `keep_up` starts again what is found dead."""

    def __init__(self, folder: Path, database: str, *, redis: bool = True, legacy: bool = False, **values: Any) -> None:
        self.folder, self.database = folder, database
        self.ports = {name: free_port() for name in ("stripe", "zentitle", "web")}
        self.redis = EmbeddedRedis(folder / "redis")
        self.more = values.pop("more", "")
        self.values = {"redis": self.redis.url, "sweep": 5, "port": self.ports["web"]} | values
        self.vendors = Vendors(*(f"http://127.0.0.1:{self.ports[name]}" for name in ("stripe", "zentitle")))
        self.configure()
        names = ("HUB_DATABASE_URL", "HUB_REDIS_URL", "HUB_HOST", "HUB_PORT", "HUB_FAILPOINTS", "HUB_FAILPOINTS_ABOUT")
        self.environ = {name: value for name, value in os.environ.items() if name not in names}
        self.environ["HUB_CONFIG"] = str(folder / "hub.toml")
        self.log = (folder / "log").open("ab")
        self.running: dict[str, forking.Running] = {}
        self.left_out: tuple[str, ...] = ()
        self.commands = {"vendors": self._vendors(legacy=legacy)} | ({"redis": self.redis.command()} if redis else {})
        self.commands |= {name: this_hub(name) for name in ("web", "worker", "clock")}
        self.store = Store(database)
        upgrade(self.store)

    def configure(self, more: str = "", **values: Any) -> None:
        """Writes hub.toml; `more` is added at its end."""
        self.values |= values
        stripe, zentitle = self.vendors.stripe_url, self.vendors.zentitle_url
        text = config_text(database=self.database, stripe=stripe, zentitle=zentitle, **self.values)
        (self.folder / "hub.toml").write_text(text + self.more + more)

    def _vendors(self, *, legacy: bool) -> list[str]:
        ports = ["--stripe-port", str(self.ports["stripe"]), "--zentitle-port", str(self.ports["zentitle"])]
        ports += ["--fastspring-port", "0"]
        return [sys.executable, "-m", "sandbox", *ports, *(["--legacy"] if legacy else [])]

    @property
    def url(self) -> str:
        """The hub's own address."""
        return f"http://127.0.0.1:{self.ports['web']}"

    def start(self, *, without: tuple[str, ...] = ()) -> None:
        """All of it is up, but these; Stripe's webhooks come to the hub."""
        self.left_out = without
        self.keep_up()
        ports = {"stripe": "vendors", "zentitle": "vendors", "web": "web"}
        up = [self.ports[name] for name, process in ports.items() if process not in without]
        for port in [*up, *([self.redis.port] if "redis" in self.running else [])]:
            assert wait_for_port(port, 30), self.log_tail()
        self.vendors.stripe_admin("webhook", url=f"{self.url}/webhooks/stripe", secret=SECRET)

    def keep_up(self) -> None:
        """Starts what is not up."""
        for name, command in self.commands.items():
            one = self.running.get(name)
            if name not in self.left_out and (one is None or one.poll() is not None):
                self.running[name] = forking.start(command, self.environ, self.log)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> float:
        """Ends one process; the seconds that it took."""
        began = time.monotonic()
        self.running[name].send_signal(how)
        self.running[name].wait(35)
        return time.monotonic() - began

    def restart(self, *names: str) -> None:
        """Ends and starts these."""
        for name in names:
            self.end(name)
        self.keep_up()
        assert wait_for_port(self.ports["web"], 30)

    def jobs(self) -> list[int]:
        """Pids of what the worker has forked."""
        pid = self.running["worker"].pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def hub(self, *words: str) -> Any:
        """What `hub WORDS --json` says."""
        done = forking.run(this_hub(*words, "--json"), env=self.environ)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def subject(self, id_: str) -> dict[str, Any]:
        """The row of the subject with this id; {} where there is none."""
        with self.store.read() as conn:
            row = conn.execute(select(subject).where(subject.c.ref.like(f"%/{id_}"))).first()
        return dict(row._asdict()) if row else {}

    def idle(self) -> bool:
        """Whether nothing is due and nothing is at work, second looks included."""
        live = (lease.c.holder.is_not(None), lease.c.expires > db_now(), lease.c.key.startswith("subject:"))
        with self.store.read() as conn:
            due = conn.execute(select(subject.c.ref).where(subject.c.state == "due").limit(1)).first()
            return due is None and conn.execute(select(lease.c.key).where(*live).limit(1)).first() is None

    def settle(self, seconds: float = 60) -> None:
        """Returns once all events are delivered and nothing is due any more."""
        self.vendors.flush()
        self.until(self.idle, seconds)

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Returns once `condition()` holds; AssertionError with the end of the log where that takes too long."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "\n".join(["not in time", *self.due(), self.log_tail()])
            time.sleep(0.05)

    def due(self) -> list[str]:
        """What is due, for a message."""
        return due_in(self.store)

    def log_tail(self) -> str:
        """The end of what all processes have said."""
        return (self.folder / "log").read_text(errors="replace")[-1500:]

    def close(self) -> None:
        """Ends everything that was started here."""
        for one in reversed(list(self.running.values())):
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        self.log.close()
        self.vendors.http.close()
        self.store.close()


@contextmanager
def a_town(folder: Path, database: str, *, without: tuple[str, ...] = (), **values: Any) -> Iterator[Town]:
    """A town that is up, but for these processes; its end, whatever happens."""
    town = Town(folder, database, **values)
    try:
        town.start(without=without)
        yield town
    finally:
        town.close()
