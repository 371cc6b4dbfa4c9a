"""Sales of declared shops become licenses: signed posts, the API over HTTP, an emulated Zentitle2 behind.

One hub sells through all of them at once, each with credentials and without.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.zentitle.emulator import YEAR
from hub.errors import VerificationError
from hub.inbox import accept
from hub.store.schema import receipt
from hub.stream import sequencer
from hub.sweep import sweep
from tests.scenarios.shops_table import SITUATIONS
from tests.shops import Case, Obj, Sale, cases
from tests.world import World

pytestmark = pytest.mark.timeout(60)
CASES = cases()
EXPECTED = {one.name: one.expected for one in SITUATIONS}
SKUS = {"pro": "PRO-100", "team": "TEAM-YEAR", "perp": "PERP-1", "pack": "PRO-100"}
LIVES = ("a payment failed, then paid", "bought once, refunded in full")


class Market:
    """A hub and every shop; connections are `<vendor>-api` and `<vendor>-hooks`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.vendors, more = {}, []
        for name, case in CASES.items():
            url, self.vendors[name] = stack.enter_context(case.served())
            more += [_table(f"{name}-api", case.settings(url), f"{name[:8]}-a")]
            more += [_table(f"{name}-hooks", case.settings(url, keyed=False), f"{name[:8]}-h")]
            more += [
                f'[[catalog]]\n{name} = "{case.keys[key]}"\n'
                + (f'adds_to = "{sku}"' if key == "pack" else f'sku = "{sku}"')
                for key, sku in SKUS.items()
                if key in case.keys
            ]
        self.world = World(folder, f"sqlite:///{folder}/hub.sqlite", more="\n".join(more))
        stack.callback(self.world.close)
        self.world.zentitle_admin("offering", sku="PERP-1", duration=None)
        self.world.zentitle_admin("offering", sku="PRO-100", duration=YEAR)
        self.version = 0

    def happens(self, case: Case, sale: Sale, way: str, *, unsigned: bool = False) -> list[str]:
        """The vendor has these objects now, and tells each of them; the outcomes."""
        told = []
        for kind, raw in case.objects(sale):
            self.version += 1
            one = aged(raw, case.shop.kinds[kind].version, self.version)
            self.vendors[case.kind].put(kind, one)
            if type_ := case.type_for(kind):
                told += self.post(case, way, *case.event(type_, one, f"evt_{self.version}"), unsigned=unsigned)
        assert self.world.settle()
        return told

    def post(self, case: Case, way: str, body: bytes, headers: dict[str, str], *, unsigned: bool = False) -> list[str]:
        now = time.time()
        proof = {} if unsigned else case.signed(body, case.secret, now)
        return accept(self.world.hub.store, self.connector(case, way), body, headers | proof, now)

    def connector(self, case: Case, way: str) -> Any:
        return self.world.hub.connectors[f"{case.kind}-{way}"]

    def licenses(self, case: Case, way: str, id_: str) -> tuple[str, ...]:
        ref = f"{case.kind[:8]}-{way[0]}:{id_}"
        rows = [one for one in self.world.grants() if one["orderRefId"] == ref]
        return tuple(sorted(map(in_words, rows))) or ("nothing",)


def _table(name: str, settings: Obj, ref: str) -> str:
    rows = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    return f'[connections.{name}]\n{rows}\nref = "{ref}"\nrate_per_s = 5000\n'


def aged(raw: Obj, path: str, version: int) -> Obj:
    """The object as of a later version."""
    one = json.loads(json.dumps(raw))
    *names, last = path.split(".")
    holder = one
    for name in names:
        holder = holder[name]
    number = isinstance(holder[last], int)
    holder[last] = (
        1_800_000_000_000 + version if number else f"2026-10-01T00:{version // 60 % 60:02}:{version % 60:02}Z"
    )
    return dict(one)


def in_words(row: Obj) -> str:
    until = f"until {row['expiryDate'][:10]}" if row["expiryDate"] else "no end"
    return f"{row['sku']}: {'off' if row['disabled'] else 'on'}, {row['seatCount']} seats, {until}"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with ExitStack() as stack:
        yield Market(tmp_path_factory.mktemp("market"), stack)


@pytest.mark.parametrize("way", ["api", "hooks"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_whole_life_comes_to_the_license_that_the_table_says(market: Market, name: str, way: str) -> None:
    case = CASES[name]
    for held in market.vendors[name].books.values():
        held.clear()
    for situation in LIVES:
        if situation not in case.situations or (way == "hooks" and _needs_reading(case, situation)):
            continue
        id_ = case.shop.purchase("shop", case.seen(case.situations[situation][-1])).ref.id
        for sale in case.situations[situation]:
            assert set(market.happens(case, sale, way)) == {"accepted"}
        assert market.licenses(case, way, id_) == EXPECTED[situation]


def _needs_reading(case: Case, situation: str) -> bool:
    """Whether events alone do not say all of this sale."""
    return case.shop.sold[case.situations[situation][-1].kind].begins is not None


@pytest.mark.parametrize("name", sorted(CASES))
def test_S01_an_unsigned_post_is_refused_and_the_same_post_twice_counts_once(market: Market, name: str) -> None:
    case = CASES[name]
    type_ = next(iter(case.shop.events))
    body, headers = case.event(type_, case.sample(type_), "evt_twice")
    with pytest.raises(VerificationError):
        market.post(case, "api", body, headers, unsigned=True)
    assert market.post(case, "api", body, headers) == ["accepted"]
    assert market.post(case, "api", body, headers) == ["duplicate"]


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_no_event_told_is_found_by_a_sweep(market: Market, name: str) -> None:
    case = CASES[name]
    sale = case.situations.get("sold, told twice", case.situations["bought once"])[-1]
    lost = json.loads(json.dumps(sale.object).replace(f'"{sale.object["id"]}"', '"900"'))
    lost["id"] = "900" if isinstance(sale.object["id"], str) else 900
    for kind, one in [*case.objects(sale), (sale.kind, lost)]:
        market.vendors[name].put(kind, one)
    type_ = case.type_for(sale.kind) or ""
    market.vendors[name].events.append(json.loads(case.event(type_, lost, "evt_lost")[0]))
    assert sweep(market.world.hub.shop, market.connector(case, "api")) > 0
    assert market.world.settle()
    assert market.licenses(case, "api", case.shop.subject_id(sale.kind, "900")) != ("nothing",)


@pytest.mark.parametrize("name", sorted(CASES))
def test_consumers_hear_of_each_event_that_was_kept(market: Market, name: str) -> None:
    """Receipts are read again by themselves, headers included."""
    case = CASES[name]
    type_ = next(iter(case.shop.events))
    body, headers = case.event(type_, case.sample(type_), "evt_heard")
    market.post(case, "hooks", body, headers)
    connector = market.connector(case, "hooks")
    with market.world.hub.store.read() as conn:
        where = (receipt.c.connection == connector.name, receipt.c.outcome == "accepted")
        rows = list(conn.execute(select(receipt).where(*where)).all())
    messages, untold = sequencer.messages_of({connector.name: connector}, rows, {})
    assert untold == []
    assert case.shop.events[type_].fact in {one.type for one in messages}
