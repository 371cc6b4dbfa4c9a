"""A hub that also sells through an emulated FastSpring: its door over HTTP, its work done when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select
from werkzeug.serving import make_server

from connectors.emulation import Clock, serving
from connectors.fastspring.emulator import FastSpringEmulator
from connectors.zentitle.emulator import YEAR
from hub.store.schema import receipt, review, subject
from hub.stream import sequencer
from hub.sweep import sweep
from hub.web.app import create_app
from tests.world import World

SECRET, KEY = "hmac of the tests", "generator of the tests"
OFFERINGS = {"pro-annual": {"duration": YEAR}, "team-annual": {"duration": YEAR}, "perpetual": {"duration": None}}
CONFIG = """
[connections.fastspring]
kind = "fastspring"
ref = "fs"
base_url = "{url}"
webhook_secrets = ["an old one", "{secret}"]
fulfillment_keys = ["{key}"]
rate_per_s = 5000
{credentials}

[[catalog]]
fastspring = "pro-annual"
sku = "pro-annual"
"""
CREDENTIALS = 'username = "sandbox"\npassword = "sandbox-password"'


class Stall:
    """What people do at FastSpring, and what Zentitle2 then holds."""

    def __init__(self, world: World, shop: FastSpringEmulator, url: str, hub_url: str) -> None:
        self.world, self.shop, self.url, self.hub_url = world, shop, url, hub_url
        self.hub = world.hub
        self.act("delivery", url=f"{hub_url}/webhooks/fastspring", secret=SECRET, hour_s=0.02)
        self.act("fulfillment", url=f"{hub_url}/fulfillment/fastspring", key=KEY)

    def act(self, name: str, **body: Any) -> Any:
        answer = requests.post(f"{self.url}/_sandbox/{name}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def buy(self, product: str = "pro-annual", quantity: int = 5, interval: str | None = "year", **more: Any) -> Any:
        about = {name: more.pop(name) for name in ("account", "company", "custom", "live") if name in more}
        return self.act(
            "buy", items=[{"product": product, "quantity": quantity, "interval": interval, **more}], **about
        )

    def settle(self) -> None:
        """All is delivered, and all that came of it is done."""
        assert self.act("drain")["pending"] == 0
        assert self.world.settle()

    def sweep(self) -> int:
        return sweep(self.hub.shop, self.hub.connectors["fastspring"])

    def license(self, id_: str) -> str:
        """The licenses of this purchase, in words."""
        rows = [one for one in self.world.grants() if one["orderRefId"] == f"fs:{id_}"]
        return "; ".join(sorted(map(in_words, rows))) or "nothing"

    def codes(self, id_: str) -> list[str]:
        return [
            code for one in self.world.grants() if one["orderRefId"] == f"fs:{id_}" for code in one["activationCodes"]
        ]

    def receipts(self) -> list[Any]:
        with self.hub.store.read() as conn:
            stmt = select(receipt).where(receipt.c.connection == "fastspring").order_by(receipt.c.id)
            return list(conn.execute(stmt).all())

    def tasks(self) -> set[str]:
        with self.hub.store.read() as conn:
            return set(conn.execute(select(review.c.kind).where(review.c.closed_at.is_(None))).scalars())

    def state(self, id_: str) -> Any:
        with self.hub.store.read() as conn:
            return conn.execute(select(subject).where(subject.c.ref.like(f"fastspring/%/{id_}"))).first()

    def told(self) -> list[str]:
        """The types of the facts that consumers would hear, in order."""
        connectors = {"fastspring": self.hub.connectors["fastspring"]}
        rows = [row for row in self.receipts() if row.outcome == "accepted"]
        messages, untold = sequencer.messages_of(connectors, rows, {})
        assert untold == []
        return list({one.id: one.type for one in messages}.values())


def behind_a_gateway(app: Any) -> Any:
    """The application behind what reads bodies for it, as hub/web/gateway.py does."""

    def reading(environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return app(environ | {"wsgi.input": BytesIO(body)}, start_response)

    return reading


def in_words(row: dict[str, Any]) -> str:
    until = f"until {row['expiryDate'][:10]}" if row["expiryDate"] else "no end"
    return f"{row['sku']}: {'off' if row['disabled'] else 'on'}, {row['seatCount']} seats, {until}"


@contextmanager
def a_stall(folder: Path, *, credentials: bool = True, expansion: bool = True, **values: Any) -> Iterator[Stall]:
    clock = Clock()
    shop = FastSpringEmulator(clock, expansion=expansion)
    with serving(shop) as url:
        known = {"url": url, "secret": SECRET, "key": KEY, "credentials": CREDENTIALS if credentials else ""}
        database = values.pop("database", f"sqlite:///{folder}/hub.sqlite")
        world = World(folder, database, clock=clock, more=CONFIG.format(**known), **values)
        for sku, terms in OFFERINGS.items():
            world.zentitle_admin("offering", sku=sku, **terms)
        server = make_server("127.0.0.1", 0, behind_a_gateway(create_app(world.hub)), threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Stall(world, shop, url, f"http://127.0.0.1:{server.port}")
        finally:
            server.shutdown()
            server.server_close()
            shop.deliveries.close()
            world.close()
