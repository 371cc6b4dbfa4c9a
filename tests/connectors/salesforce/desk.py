"""A hub that also sells through an emulated org: its door over HTTP, its work done when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from werkzeug.serving import make_server

from connectors.emulation import Clock, serving
from connectors.salesforce.emulator import SalesforceEmulator
from hub.confirming import tell_sold
from hub.store.schema import receipt, review, subject
from hub.sweep import full_sweep, sweep
from hub.web.app import create_app
from tests.connectors.fastspring.stall import behind_a_gateway, in_words
from tests.world import World

PATH, SECRET = "the-path-of-the-tests-0123456789abcdef", "the secret of the callouts"
CONFIG = """
[connections.crm]
kind = "salesforce"
ref = "sf"
base_url = "{url}"
consumer_key = "sandbox-consumer"
consumer_secret = "sandbox-secret"
organization_id = "{org}"
outbound_secrets = ["an-older-path-of-the-tests-0123456789ab", "{path}"]
webhook_secrets = ["{secret}"]
livemode = false
sold_since = "2026-01-01"
rate_per_s = 5000
{more}

[[catalog]]
salesforce = "PRO"
sku = "PRO-100"

[[catalog]]
salesforce = "TEAM"
sku = "TEAM-YEAR"
"""


class Desk:
    """What people do in the org, and what Zentitle2 then holds."""

    def __init__(self, world: World, org: SalesforceEmulator, hub_url: str) -> None:
        self.world, self.org, self.hub_url, self.hub = world, org, hub_url, world.hub
        self.door = f"{hub_url}/webhooks/crm/{PATH}"
        self.products = {code: org.add("Product2", Name=code, ProductCode=code)["Id"] for code in ("PRO", "TEAM")}

    def listen(self, url: str = "", name: str = "Opportunity") -> None:
        """From now on the org sends its messages to the hub's door."""
        self.org.outbound.rules.append((name, url or self.door))

    def account(self, name: str = "Cedar Works") -> str:
        return str(self.org.add("Account", Name=name)["Id"])

    def opportunity(self, *lines: tuple[str, int], stage: str = "Prospecting", **fields: Any) -> str:
        """An Opportunity with lines of (product code, quantity); `terms` are fields of each line."""
        terms = fields.pop("terms", {})
        known = {
            "Name": "A sale",
            "CloseDate": "2027-01-04",
            "AccountId": fields.pop("account", None) or self.account(),
        }
        id_ = str(self.org.add("Opportunity", StageName="Prospecting", **(known | fields))["Id"])
        for code, quantity in lines or (("PRO", 5),):
            self.line(id_, code, quantity, **terms)
        if stage != "Prospecting":
            self.stage(id_, stage)
        return id_

    def line(self, opportunity: str, code: str, quantity: int, **fields: Any) -> str:
        product = {"OpportunityId": opportunity, "Product2Id": self.products[code], "Quantity": quantity}
        return str(self.org.add("OpportunityLineItem", **product, **fields)["Id"])

    def stage(self, id_: str, stage: str) -> None:
        self.org.change("Opportunity", id_, StageName=stage)

    def lines(self, id_: str) -> list[dict[str, Any]]:
        return [one for one in self.org.rows("OpportunityLineItem") if one["OpportunityId"] == id_]

    def settle(self) -> None:
        """All is delivered, and all that came of it is done."""
        assert self.org.outbound.deliveries.drain()["pending"] == 0
        assert self.world.settle()

    def sweep(self) -> int:
        return sweep(self.hub.shop, self.hub.connectors["crm"])

    def full_sweep(self) -> int:
        connector = self.hub.connectors["crm"]
        assert connector.purchases
        return full_sweep(self.hub.shop, connector, connector.purchases)

    def tell(self) -> int:
        return tell_sold(self.hub, self.hub.connectors["crm"])

    def license(self, id_: str) -> str:
        """The licenses of this sale, in words."""
        rows = [one for one in self.world.grants() if one["orderRefId"] == f"sf:{id_}"]
        return "; ".join(sorted(map(in_words, rows))) or "nothing"

    def receipts(self) -> list[Any]:
        with self.hub.store.read() as conn:
            stmt = select(receipt).where(receipt.c.connection == "crm").order_by(receipt.c.id)
            return list(conn.execute(stmt).all())

    def tasks(self) -> set[str]:
        with self.hub.store.read() as conn:
            return set(conn.execute(select(review.c.kind).where(review.c.closed_at.is_(None))).scalars())

    def state(self, id_: str) -> Any:
        with self.hub.store.read() as conn:
            return conn.execute(select(subject).where(subject.c.ref.like(f"crm/%/{id_}"))).first()


@contextmanager
def a_desk(folder: Path, *, more: str = "", installed: bool = True, **values: Any) -> Iterator[Desk]:
    clock = Clock()
    org = SalesforceEmulator(clock, installed=installed)
    with serving(org) as url:
        config = CONFIG.format(url=url, org=org.org_id, path=PATH, secret=SECRET, more=more)
        world = World(folder, f"sqlite:///{folder}/hub.sqlite", clock=clock, more=config, **values)
        server = make_server("127.0.0.1", 0, behind_a_gateway(create_app(world.hub)), threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Desk(world, org, f"http://127.0.0.1:{server.port}")
        finally:
            org.outbound.deliveries.close()
            server.shutdown()
            server.server_close()
            thread.join()
            world.close()
