"""The renewals story: a year of seat use in minutes, and what a renewals manager is shown of it at the end.

Seats are taken and given back at the emulated Zentitle2, whose webhooks tell of each. The hub hears, counts and judges
with its own functions; the story only says when, for a business day lasts a tenth of a second here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from hub import polling
from hub.clock import SEAT_CHORES
from hub.collecting import closing, counting, hearing, logs, summarizing
from hub.collecting.judges import judges
from hub.collecting.listing import Listing
from hub.leases import LeaseBook
from hub.store import signals, stream, subjects
from hub.store.subjects import Lease
from hub.usage.signal import Signal
from hub.wiring import Hub
from sandbox import cast
from sandbox.cast import Part, Step
from sandbox.stage import PATIENCE_S, Stage, StoryError

OUTAGE = range(212, 221)  # days of the story on which nobody watches
BUDGET_S = 30.0
PRICES = {"atlas_pro": 120_000, "atlas_flex": 150_000}  # cents a seat and year
OVERDRAFT = {"atlas_pro": 0, "atlas_flex": 10}  # seats over the license, by the catalog row
LEASE = {"type": "day", "count": 14}
SHAPES = {
    Signal.AT_RISK: "[red]↘ at risk[/]",
    Signal.CONTRACTION: "[red]▂ contraction[/]",
    Signal.STEADY: "[green]─ steady[/]",
    Signal.EXPANSION: "[cyan]↗ expansion[/]",
    Signal.OVERDRAFT: "[yellow]▀ overdraft[/]",
    Signal.NEW_GROWTH: "[cyan]↗ new growth[/]",
    Signal.DORMANT: "[red]○ dormant[/]",
    Signal.INSUFFICIENT_DATA: "[dim]◌ not enough data[/]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What became of a part: its Account in the CRM, its subscription and its entitlement."""

    part: Part
    crm_account: str
    subscription: str
    entitlement: str


class Year:
    """The story's state: who has bought, who holds how many seats when, and what people have been told."""

    def __init__(self, stage: Stage, hub: Hub, weeks: int = cast.WEEKS) -> None:
        self._stage, self._hub, self._weeks = stage, hub, weeks
        self._judges = judges()
        self._began = date.min
        self._prices: Mapping[str, str] = {}
        self._to_play: dict[str, list[Step]] = {}
        self._told: dict[str, str] = {}
        self.sold: list[Sold] = []

    def play(self, parts: Sequence[Part] = cast.CAST) -> None:
        """The whole year; raises StoryError where a customer is not judged as the story tells it."""
        self._set_up()
        with self._collecting(), self._stage.out.status("") as status:
            for day in range(self._weeks * 7):
                for part in parts:
                    if part.buys_in * 7 == day:
                        self._sell(part)
                self._day(day)
                status.update(f"[dim]week {day // 7 + 1} of {self._weeks}: {self._stage.now():%d %B %Y}")
        if self._weeks == cast.WEEKS:
            self._check()

    def _set_up(self) -> None:
        """Offerings, prices; and it is noon, so that no day is missed while the story runs."""
        stage = self._stage
        for price in PRICES:
            stage.admin(stage.zentitle, "offering", sku=_sku(price), product="Atlas", lease=LEASE)
        self._prices = {price: stage.price(price, cents, "year") for price, cents in PRICES.items()}
        now = stage.now()
        noon = now.replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
        stage.move(seconds=(noon - now).total_seconds())
        self._began = noon.date()

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """Meanwhile the story is the clock that collects: it holds the leases of those chores."""
        store = self._hub.store
        with LeaseBook(store, self._hub.settings.timing.lease) as book:
            held = [self._lease(book, key) for key in SEAT_CHORES]
            try:
                yield
            finally:
                for lease in held:
                    store.write(lambda conn, lease=lease: subjects.release(conn, lease))  # type: ignore[misc]

    def _lease(self, book: LeaseBook, key: str) -> Lease:
        end = time.monotonic() + PATIENCE_S
        while (lease := book.take(key)) is None:
            if time.monotonic() > end:
                raise StoryError(f"waited {PATIENCE_S} s in vain until the clock was done with {key!r}")
            time.sleep(0.05)
        return lease

    # -- what people do

    def _sell(self, part: Part) -> None:
        stage = self._stage
        stage.say(f"{part.name} buys {_sku(part.price)}, {part.seats} seats. It {part.plot}.")
        account = stage.admin(stage.salesforce, "add", object="Account", fields={"Name": part.name})["Id"]
        close = (self._began + timedelta(days=part.buys_in * 7 + 365)).isoformat()
        deal = {"AccountId": account, "Name": f"{part.name} renewal", "StageName": "Prospecting", "CloseDate": close}
        amount = part.seats * PRICES[part.price] / 100
        stage.admin(stage.salesforce, "add", object="Opportunity", fields={**deal, "Type": "Renewal", "Amount": amount})
        _, subscription = stage.buy(part.name, self._prices[part.price], part.seats, customer_ref=account)
        stage.until(lambda: "id" in stage.grant(subscription), f"{part.name} has a license", PATIENCE_S)
        stage.settle()
        grant = stage.grant(subscription)
        self.sold.append(Sold(part=part, crm_account=account, subscription=subscription, entitlement=str(grant["id"])))
        self._to_play[grant["orderRefId"]] = cast.steps(part, self._began, self._weeks)

    def _day(self, day: int) -> None:
        if day == OUTAGE.start:
            self._stage.say(
                f"For {len(OUTAGE)} days nobody watches: webhooks are lost, the hub stands still. "
                "Zentitle2 refuses its log (403), so nobody will ever know these days."
            )
            self._stage.admin(self._stage.zentitle, "switches", log_refused=True)
            self._stage.admin(self._stage.zentitle, "delivery", drop=1.0)
        if day == OUTAGE.stop:
            self._stage.admin(self._stage.zentitle, "delivery", drop=0.0)
        self._stage.move(days=1)
        self._use()
        if day in OUTAGE:
            return
        hearing.hear(self._hub.collector)
        if day % 7 == 6 or day == OUTAGE.stop:
            self._week(day)

    def _use(self) -> None:
        """Everybody does what is due until now."""
        now = self._stage.now()
        due = [
            {"orderRefId": order, "at": one.at.isoformat(), "seats": one.seats}
            for order, steps in self._to_play.items()
            for one in steps
            if one.at <= now
        ]
        self._to_play = {order: [one for one in steps if one.at > now] for order, steps in self._to_play.items()}
        if due:
            self._stage.admin(self._stage.zentitle, "use", steps=due)

    # -- what the hub makes of it

    def _week(self, day: int) -> None:
        """All that was told is heard, counted and judged."""
        stage, hub = self._stage, self._hub
        stage.settle()
        stage.until(self._sequenced, "the stream is sequenced", PATIENCE_S)
        hearing.hear(hub.collector)
        polling.poll(hub.shop, hub.licensing.name, hub.licensing.rate_per_s, Listing(collector=hub.collector))
        logs.read_logs(hub.collector, BUDGET_S)
        counting.count_touched(hub.collector)
        closing.close_days(hub.collector)
        closing.drop_old(hub.collector)
        summarizing.summarize_due(hub.collector, BUDGET_S, self._judges)
        self._tell(day)

    def _sequenced(self) -> bool:
        with self._hub.store.read() as conn:
            return not stream.waiting(conn)

    def _tell(self, day: int) -> None:
        """What is told otherwise than a week ago."""
        told = self._signals()
        for one in self.sold:
            said = told.get(one.entitlement)
            if said and said != self._told.get(one.entitlement):
                self._told[one.entitlement] = said
                self._stage.out.print(
                    f"     [dim]week {day // 7 + 1:2d}[/]  {one.part.name:<17} {SHAPES[Signal(said)]}"
                )

    def _signals(self) -> dict[str, str]:
        with self._hub.store.read() as conn:
            rows = signals.signals_of(conn, [one.entitlement for one in self.sold])
        return {id_: str(row.signal) for id_, row in rows.items()}

    def _check(self) -> None:
        told = self._signals()
        for one in self.sold:
            said = told.get(one.entitlement)
            if said != one.part.signal:
                raise StoryError(f"{one.part.name} is told to be {said}, the story has {one.part.signal}")


def _sku(price: str) -> str:
    return price.upper().replace("_", "-")
