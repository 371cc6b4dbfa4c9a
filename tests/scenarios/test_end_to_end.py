"""The table of scenarios, played: people act at an emulated Stripe, its webhooks reach a hub, Zentitle2 holds the end.

All scenarios share one world per way of connecting, each with a customer of its own; business time begins at the
table's start and moves when nothing is left to be done at a moment.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from hub.store.schema import entitlement, review, subject
from hub.sweep import sweep_all
from tests.connectors.stripe.shop import FixedClock
from tests.scenarios.plays import MINUTE, NAMELESS, PRICES, SCRIPTS, Play, Stripe
from tests.scenarios.table import MAINTAINS, SCENARIOS, SKUS, START, Scenario
from tests.world import World

# Seeds make ids, so that no two worlds see the same objects.
WAYS: Mapping[str, dict[str, Any]] = {
    "keyed, told by thin events": {"shape": "current", "seed": 1, "payloads": ("thin",)},
    "keyed, older shapes": {"shape": "legacy", "seed": 2},
    "keyless": {"shape": "current", "seed": 3, "keyed": False},
}
AT_FULL_SIZE = {"keyed, older shapes"}  # tests/test_convergence.py and tests/worlds/test_lifecycles.py have them too
# Why a scenario is not played at all.
EXCUSED: Mapping[str, str] = {}
# What the client reads besides in unit tests alone: items, lines and credit note lines beyond the tenth.
ENDPOINTS = {
    *("subscriptions", "subscriptions/ID", "invoices", "invoices/ID", "prices/ID", "events"),
    *("checkout/sessions", "checkout/sessions/ID", "checkout/sessions/ID/line_items"),
    *("invoice_payments", "payment_intents/ID", "charges", "charges/ID", "refunds", "refunds/ID"),
    *("disputes", "disputes/ID", "credit_notes", "credit_notes/ID"),
    *("radar/early_fraud_warnings", "radar/early_fraud_warnings/ID"),
}
ALIKE = {"price_free": "price_pro", "price_metered": "price_pro", "price_team_month": "price_team"}
ALIKE |= {"price_gift": "price_perp"}


def product_of(key: str) -> str:
    return key.replace("price_", "prod_")


def catalog(*, keyed: bool) -> str:
    """The table's catalog, and what the plays sell besides, by lookup key.

    Without an API key what is sold beside a subscription is named by its product: its invoice line has ids alone.
    """
    keys = SKUS | {key: SKUS[other] for key, other in ALIKE.items()}
    keys |= {} if keyed else {product_of("price_perp"): SKUS["price_perp"]}
    rows = [f'[[catalog]]\nstripe = "{key}"\nsku = "{sku}"' for key, sku in keys.items()]
    rows += [f'[[catalog]]\nstripe = "{key}"\nmaintains = "{sku}"' for key, sku in MAINTAINS.items()]
    return "\n".join(rows)


class Stage:
    """A world in which all plays are on; `ends` has, for each, its subject, and what was true when it was over."""

    def __init__(self, world: World, names: list[str], *, thin: bool) -> None:
        self.world, self.thin = world, thin
        self.now, self.kept = 0, []
        self.ends: dict[str, tuple[str, ...]] = {}
        self.dates: dict[str, dict[str, str]] = {}
        world.stripe_admin("dunning", final="unpaid")
        prices = {key: self._price(key) for key in PRICES}
        self.actors = {name: Stripe(world, prices, name) for name in names}
        plays: dict[str, Play] = {name: SCRIPTS[name](stripe) for name, stripe in self.actors.items()}
        agenda = [(0, name) for name in names]
        while agenda:
            over = {}
            self._advance(agenda[0][0])
            while agenda and agenda[0][0] <= self.now:
                _, name = heapq.heappop(agenda)
                try:
                    moment = next(plays[name])
                except StopIteration as ended:
                    over[name] = ended.value
                else:
                    heapq.heappush(agenda, (self.now + 5 * MINUTE if moment is None else moment, name))
            self._deliver()
            self.ends |= {name: self._held(sold) for name, sold in over.items()}
            self.dates |= {name: self._ends_at(sold) for name, sold in over.items()}

    def _price(self, key: str) -> str:
        amount, interval = PRICES[key]
        form = {"currency": "usd", "unit_amount": str(amount)}
        form |= {"product_data[name]": key, "product_data[id]": product_of(key)}
        form |= {} if key in NAMELESS else {"lookup_key": key}
        form |= {"recurring[interval]": interval} if interval else {}
        form |= {"recurring[usage_type]": "metered"} if key == "price_metered" else {}
        return str(self.world.post("/v1/prices", form)["id"])

    def _advance(self, moment: int) -> None:
        if moment > self.now:
            self.world.stripe_admin("advance", seconds=moment - self.now)
            self.now = moment

    def _deliver(self) -> None:
        """Delivers what is not withheld, snapshots last first, and works until nothing is due."""
        posts = [*self.kept, *self.world.events()]
        self.kept = [post for post in posts if self._withheld(post[0])]
        sent = [post for post in posts if not self._withheld(post[0])]
        assert set(self.world.deliver(sent if self.thin else reversed(sent))) <= {"accepted", "ignored"}
        assert self.world.settle()

    def _withheld(self, body: bytes) -> bool:
        marks = [stripe.withheld for stripe in self.actors.values() if stripe.withheld]
        return any(all(mark in body for mark in each) for each in marks)

    def _held(self, sold: str | tuple[str, ...]) -> tuple[str, ...]:
        """What is there for this purchase, or for several of one customer, in the table's words."""
        sold = (sold,) if isinstance(sold, str) else sold
        rows = [row for row in self.world.grants() if row["orderRefId"] in {f"stripe:{one}" for one in sold}]
        words = tuple(sorted(in_words(row) for row in rows))
        ref = subject.c.ref.like(f"stripe/%/{sold[-1]}")
        with self.world.hub.store.read() as conn:
            known = conn.execute(select(subject.c.ref, subject.c.state).where(ref)).one_or_none()
            told = select(review.c.kind).where(review.c.open, review.c.subject == (known.ref if known else ""))
            tasks = sorted(set(conn.execute(told).scalars()))
        if known and known.state == "parked":
            return (*words, "parked")
        return (*(words or ("nothing",)), *([f"task: {', '.join(tasks)}"] if tasks else []))

    def _ends_at(self, sold: str | tuple[str, ...]) -> dict[str, str]:
        """When its licenses say that they end, as a reason for being on."""
        sold = sold if isinstance(sold, str) else sold[-1]
        with self.world.hub.store.read() as conn:
            rows = conn.execute(select(entitlement.c.reasons).where(entitlement.c.subject.like(f"stripe/%/{sold}")))
            told = {day for row in rows for day in re.findall(r"and ends on (\d+ \w+ \d+)", json.dumps(row.reasons))}
        return {
            name: f"{datetime.strptime(day, '%d %b %Y'):%Y-%m-%d}" for name, day in zip(["ends"], told, strict=False)
        }


def in_words(row: dict[str, Any]) -> str:
    seats = f"{row['seatCount']} seats" if row["seatCount"] > 1 else "own number of seats"
    until = f"until {row['expiryDate'][:10]}" if row["expiryDate"] else "no end"
    care = f", maintained until {row['maintenanceExpiryDate'][:10]}" if row["maintenanceExpiryDate"] else ""
    return f"{row['sku']}: {'off' if row['disabled'] else 'on'}, {seats}, {until}{care}"


def name_of(scenario: Scenario) -> str:
    return f"{scenario.number} {scenario.name}"


@pytest.fixture(
    scope="module", params=[pytest.param(way, marks=[pytest.mark.full] if way in AT_FULL_SIZE else []) for way in WAYS]
)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    clock = FixedClock(datetime.fromtimestamp(START, UTC))
    way = WAYS[request.param]
    keyed = way.get("keyed", True)
    database = f"sqlite:///{folder}/hub.sqlite"
    world = World(folder, database, clock=clock, revive=30, more=catalog(keyed=keyed), **way)
    try:
        yield Stage(world, [*SCRIPTS], thin="thin" in way.get("payloads", ()))
    finally:
        world.close()


@pytest.mark.timeout(240)
def test_each_scenario_comes_to_its_license_end_to_end(stage: Stage) -> None:
    wanted = {name: one for one in SCENARIOS if (name := name_of(one)) not in EXCUSED}
    assert stage.ends == {name: one.expected for name, one in wanted.items()}
    assert stage.dates == {name: dict(one.ends) for name, one in wanted.items()}


@pytest.mark.timeout(240)
def test_I13_a_sweep_or_a_replay_of_everything_changes_nothing(stage: Stage) -> None:
    """The sweep goes over events of 30 days and over the full list; the replay over every subject."""
    world, written = stage.world, stage.world.writes()
    if stage.thin:
        assert all(isinstance(marked, int) for marked in sweep_all(world.hub.shop).values())
    else:
        world.replay_all()
    assert world.settle()
    assert world.writes() == written
    if stage.thin:
        assert {_collection(call["path"]) for call in world.stripe.call_log if call["version"]} == ENDPOINTS


def _collection(path: str) -> str:
    """The path without ids and questions."""
    path = path.partition("?")[0].removeprefix("/v1/")
    return re.sub(r"/[a-z]+_(live_)?[0-9A-Za-z]{24}(?=/|$)", "/ID", path)


def test_every_scenario_is_played_or_excused_with_a_reason() -> None:
    names = {name_of(one) for one in SCENARIOS}
    assert names == SCRIPTS.keys() | EXCUSED.keys()
    assert SCRIPTS.keys().isdisjoint(EXCUSED)
