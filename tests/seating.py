"""Seats among emulated vendors: time passes, people take seats, and the hub collects what it is told."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hub import business, polling
from hub.collecting import closing, counting, hearing, logs
from hub.collecting.listing import Listing
from hub.store import NewReceipt, seats, subjects
from hub.stream import sequencer
from hub.usage.seatdays import SeatDay
from hub.wiring import Hub
from tests.world import World

FAST = 5000.0


class Seating:
    """One entitlement of ten seats (leases of an hour), and what happens on it. Begins at 06:00 of a day, UTC."""

    def __init__(self, world: World, **offering: Any) -> None:
        self.world, self.collector = world, world.hub.collector
        self.store = world.hub.store
        now = self.now()
        self.sleep(timedelta(days=1) + datetime(now.year, now.month, now.day, 6, tzinfo=UTC) - now)
        self.first = self.now().date()
        world.zentitle_admin("offering", **({"sku": "TEN", "seat_count": 10, "product": "Ten"} | offering))
        product = next(one for one in world.zentitle.tenant.products.rows() if one["name"] == "Ten")
        world.zentitle.tenant.products.put(product["id"], product | {"leasePeriod": {"type": "hour", "count": 1}})
        world.zentitle_admin("fill", groups=1, sku="TEN")
        self.id: str = world.grants()[-1]["id"]
        self.told: set[str] = set()

    def now(self) -> datetime:
        return self.world.zentitle.clock.now()

    def sleep(self, step: timedelta) -> None:
        """Business time passes, at the vendor and in the record alike."""
        clock = self.world.zentitle.clock
        clock.advance(step)
        business.move(self.store, self.world.hub.settings, clock.offset.total_seconds())

    def hours(self, count: float) -> None:
        self.sleep(timedelta(hours=count))

    def take(self, *seats_: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.world.zentitle_admin("activate", entitlement=self.id, seatIds=list(seats_))
        return rows

    def give_back(self, *seats_: str) -> None:
        self.world.zentitle_admin("deactivate", entitlement=self.id, seatIds=list(seats_))

    # -- the feeds

    def posts(self) -> list[dict[str, Any]]:
        """Zentitle2's events that the hub has not got yet."""
        return [one for one in self.world.zentitle_admin("events") if one["eventId"] not in self.told]

    def receive(self, *posts: dict[str, Any]) -> None:
        """These came in at the door."""
        for post in posts:
            self.told.add(post["eventId"])
            self.store.record(receipt_of(post, self.id))

    def hear(self) -> None:
        """What came in is in the stream, and the collector reads it there and counts."""
        hear(self.world.hub)

    def speak(self) -> None:
        """Every webhook comes in, and is heard."""
        self.receive(*self.posts())
        self.hear()

    def poll(self) -> polling.Polled:
        return polling.poll(self.world.hub.shop, "zentitle", FAST, Listing(collector=self.collector))

    def read_logs(self, budget_s: float = 10) -> int:
        done = logs.read_logs(self.collector, budget_s, stop=lambda: False)
        counting.count_touched(self.collector)
        return done

    def close(self) -> int:
        return closing.close_days(self.collector)

    # -- what is on record

    def day(self, offset: int = 0) -> SeatDay:
        """The day so many after the first one; KeyError where there is none on record."""
        return self.days()[self.first + timedelta(days=offset)]

    def days(self) -> dict[date, SeatDay]:
        with self.store.read() as conn:
            found = seats.days_of(conn, [self.id], date(1970, 1, 1), date(2999, 1, 1))
        return {day: one for (_, day), one in sorted(found.items())}

    def peaks(self) -> dict[int, int | None]:
        """The peak of each day on record, by how many days after the first one it is."""
        return {(day - self.first).days: one.peak for day, one in self.days().items()}

    def feed(self) -> Any:
        with self.store.read() as conn:
            return seats.feeds_of(conn, [self.id])[self.id]

    def events(self) -> int:
        with self.store.read() as conn:
            return len(seats.events_of(conn, [self.id]).get(self.id, ()))


def hear(hub: Hub) -> None:
    """What came in gets its place in the stream; the collector reads it there and counts the days that it touches."""
    held = hub.store.write(lambda conn: subjects.take(conn, sequencer.KEY, "test", 60))
    assert held is not None
    while sequencer.step(hub.store, hub.connectors, held):
        pass
    hub.store.write(lambda conn: subjects.release(conn, held))
    hearing.hear(hub.collector)
    counting.count_touched(hub.collector)


def receipt_of(post: dict[str, Any], entitlement: str) -> NewReceipt:
    """A webhook of Zentitle2 as the door leaves it."""
    return NewReceipt(
        connection="zentitle",
        external_id=post["eventId"],
        type=post["eventCode"],
        subject=f"zentitle/entitlement/{entitlement}",
        kind="entitlement",
        received_at=time.time(),
        occurred_at=datetime.fromisoformat(post["eventDate"]).timestamp(),
        outcome="accepted",
        reason=None,
        headers="{}",
        body=json.dumps(post).encode(),
    )
