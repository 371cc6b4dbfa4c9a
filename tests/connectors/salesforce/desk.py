"""A hub that also sells through an emulated org: its door over HTTP, its work done when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from werkzeug.serving import make_server

from connectors.emulation import Clock, serving
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.emulator_records import stamped
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


@dataclass(frozen=True, kw_only=True)
class Trade:
    """An object that is sold by: its lines, its day, and its words for a sale that is open, won and lost."""

    line: str
    parent: str
    day: str
    status: str
    words: Mapping[str, str]
    made: Mapping[str, str] = field(default_factory=dict)


TRADES = {
    "Opportunity": Trade(
        line="OpportunityLineItem",
        parent="OpportunityId",
        day="CloseDate",
        status="StageName",
        words={"open": "Negotiation", "won": "Closed Won", "lost": "Closed Lost"},
        made={"Name": "A sale", "StageName": "Prospecting"},
    ),
    "Order": Trade(
        line="OrderItem",
        parent="OrderId",
        day="EffectiveDate",
        status="Status",
        words={"open": "Draft", "won": "Activated", "lost": "Draft"},
    ),
}


class Desk:
    """What people do in the org, and what Zentitle2 then holds. sells_by: the object that `sale` makes."""

    def __init__(self, world: World, org: SalesforceEmulator, hub_url: str, sells_by: str = "Opportunity") -> None:
        self.world, self.org, self.hub_url, self.hub = world, org, hub_url, world.hub
        self.sells_by = sells_by
        self.door = f"{hub_url}/webhooks/crm/{PATH}"
        self.products = {code: org.add("Product2", Name=code, ProductCode=code)["Id"] for code in ("PRO", "TEAM")}

    def listen(self, url: str = "", name: str = "") -> None:
        """From now on the org sends its messages to the hub's door."""
        self.org.outbound.rules.append((name or self.sells_by, url or self.door))

    def account(self, name: str = "Cedar Works") -> str:
        return str(self.org.add("Account", Name=name)["Id"])

    def sale(self, *lines: tuple[str, int], stage: str = "", on: str = "2027-01-04", **fields: Any) -> str:
        """A sale with lines of (product code, quantity), by what is sold by; stage: of the trade's words."""
        trade = TRADES[self.sells_by]
        known = {trade.day: on, "AccountId": fields.pop("account", None) or self.account()}
        id_ = str(self.org.add(self.sells_by, **trade.made, **(known | fields))["Id"])
        for code, quantity in lines or (("PRO", 5),):
            self.line(id_, code, quantity)
        if stage:
            self.stage(id_, stage)
        return id_

    def line(self, sale: str, code: str, quantity: int, **fields: Any) -> str:
        trade = TRADES[self.sells_by]
        product = {trade.parent: sale, "Product2Id": self.products[code], "Quantity": quantity}
        return str(self.org.add(trade.line, **product, **fields)["Id"])

    def contract(self, *lines: tuple[str, int], on: str = "2027-01-04", months: int = 12, **fields: Any) -> str:
        """An activated contract; with lines also an activated order of them from its first day on."""
        known = {"AccountId": fields.pop("account", None) or self.account(), "StartDate": on, "ContractTerm": months}
        id_ = str(self.org.add("Contract", **(known | fields))["Id"])
        self.org.change("Contract", id_, Status="Activated")
        if lines:
            self.order(id_, *lines, on=on)
        return id_

    def order(self, contract: str, *lines: tuple[str, int], on: str = "2027-01-04", status: str = "Activated") -> str:
        """An order of this contract ("": of none) with its products."""
        account = self._account_of(contract) if contract else self.account()
        id_ = str(self.org.add("Order", AccountId=account, ContractId=contract or None, EffectiveDate=on)["Id"])
        for code, quantity in lines:
            self.org.add("OrderItem", OrderId=id_, Product2Id=self.products[code], Quantity=quantity)
        self.org.change("Order", id_, Status=status)
        return id_

    def _account_of(self, contract: str) -> str:
        (found,) = [one for one in self.org.rows("Contract") if one["Id"] == contract]
        return str(found["AccountId"])

    def items(self, order: str) -> list[dict[str, Any]]:
        return [one for one in self.org.rows("OrderItem") if one["OrderId"] == order]

    def asset(self, code: str = "PRO", **fields: Any) -> str:
        """An installed asset of five seats."""
        known = {"Name": code, "Status": "Installed", "InstallDate": "2027-01-04", "Quantity": 5}
        known |= {"Product2Id": self.products[code], "AccountId": fields.pop("account", None) or self.account()}
        return str(self.org.add("Asset", **(known | fields))["Id"])

    def stage(self, id_: str, stage: str) -> None:
        trade = TRADES[self.sells_by]
        self.org.change(self.sells_by, id_, **{trade.status: trade.words[stage]})

    def lines(self, id_: str) -> list[dict[str, Any]]:
        trade = TRADES[self.sells_by]
        return [one for one in self.org.rows(trade.line) if one[trade.parent] == id_]

    def change_line(self, sale: str, **fields: Any) -> None:
        """The first line of this sale is changed."""
        self.org.change(TRADES[self.sells_by].line, self.lines(sale)[0]["Id"], **fields)

    def remove(self, id_: str) -> None:
        """The sale is deleted; what is activated can't be, before it is a draft again."""
        if self.sells_by == "Order":
            self.stage(id_, "open")
        self.org.remove(self.sells_by, id_)

    def age(self, *names: str) -> None:
        """Records of these objects were last changed a day ago."""
        for name in names:
            for one in self.org.records.tables[name].values():
                one["SystemModstamp"] = stamped(self.org.clock.now() - timedelta(days=1))

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
def a_desk(
    folder: Path, *, sells_by: str = "Opportunity", more: str = "", installed: bool = True, **values: Any
) -> Iterator[Desk]:
    clock = Clock()
    org = SalesforceEmulator(clock, installed=installed)
    with serving(org) as url:
        more = f'sells_by = "{sells_by}"\n{more}'
        config = CONFIG.format(url=url, org=org.org_id, path=PATH, secret=SECRET, more=more)
        world = World(folder, f"sqlite:///{folder}/hub.sqlite", clock=clock, more=config, **values)
        server = make_server("127.0.0.1", 0, behind_a_gateway(create_app(world.hub)), threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield Desk(world, org, f"http://127.0.0.1:{server.port}", sells_by)
        finally:
            org.outbound.deliveries.close()
            server.shutdown()
            server.server_close()
            thread.join()
            world.close()
