"""A hub without vendors: a connection whose purchases are read at once, or in a fixed time, and grant nothing yet.

    python -m bench.shop DATABASE_URL REDIS_URL THREADS VENDOR_S

drains all that is due, as one worker process does, and prints JSON: looks and seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hub import catalog, drain, log
from hub.bell import Bell
from hub.domain import Customer, Line, Purchase, Ref, Standing
from hub.policy import Rules
from hub.ports import Connector, Found
from hub.reconcile import Shop
from hub.settings import Policy, Timing
from hub.store import NewReceipt, Store, inbox

SOURCE = "bench"
_FILL = 2000


class Purchases:
    """A `PurchaseSource` whose one call takes `vendor_s`."""

    can_read = True

    def __init__(self, vendor_s: float) -> None:
        self._vendor_s = vendor_s

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Found:  # noqa: ARG002  (the port's)
        """A purchase that grants nothing yet."""
        if self._vendor_s:
            time.sleep(self._vendor_s)
        line = Line(id=f"{ref.id}-1", keys=("price_1",))
        customer = Customer(id=f"cus_{ref.id}", name="A customer")
        purchase = Purchase(ref=ref, customer=customer, lines=(line,), standing=Standing.PENDING, status="incomplete")
        return Found(purchase=purchase, seen={"status": "incomplete"})

    def contains(self, seen: Mapping[str, Any], body: bytes) -> bool:
        """What was read is as new as any event."""
        return bool(seen and body)

    def changes(self, since: datetime) -> Iterator[Any]:  # noqa: ARG002 (the port's)
        """None."""
        return iter(())

    def purchases(self) -> Iterator[Purchase]:
        """None."""
        return iter(())

    def stored(self, body: bytes) -> Sequence[Any]:  # noqa: ARG002  (the port's)
        """Not asked: there is a key."""
        return ()

    def newest(self, versions: Sequence[Any]) -> Any:
        """Not asked: there is a key."""
        return versions[-1]

    def assemble(self, ref: Ref, objects: Sequence[Any], find: Any) -> Found:  # noqa: ARG002  (the port's)
        """Not asked: there is a key."""
        return self.fetch(ref)

    def close(self) -> None:
        """Nothing to let go."""


class NoLicensing:
    """A `Licensing` that is never asked, because nothing is granted."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def shop(store: Store, vendor_s: float) -> Shop:
    """A shop with one such connection."""
    connector = Connector(name=SOURCE, kind=SOURCE, ref=SOURCE, purchases=Purchases(vendor_s), catalog_key="stripe")
    return Shop(
        store=store,
        connectors={SOURCE: connector},
        licensing=NoLicensing(),  # type: ignore[arg-type]  # never asked
        rules=Rules(catalog=catalog.build((), {"stripe"}), policy=Policy(), version="bench"),
        timing=Timing(settle=0),
        secret=b"a secret of the bench, as long as it must be",
    )


def fill(store: Store, events: int, per_subject: int) -> None:
    """Puts events in the record as the receiver does, each subject due now."""
    for start in range(0, events, _FILL):
        batch = [_receipt(number, per_subject) for number in range(start, min(start + _FILL, events))]
        store.write(lambda conn, batch=batch: inbox.insert(conn, batch, 0))  # type: ignore[misc]


def _receipt(number: int, per_subject: int) -> NewReceipt:
    subject = f"{SOURCE}/subscription/sub_{number // per_subject:08}"
    return NewReceipt(
        connection=SOURCE,
        external_id=f"evt_{number:010}",
        type="subscription.changed",
        subject=subject,
        kind="subscription",
        received_at=time.time(),
        occurred_at=datetime.now(UTC).timestamp(),
        outcome="accepted",
        reason=None,
        headers="{}",
        body=b"x" * 2048,
    )


def main() -> None:
    """See the module."""
    database, redis, threads, vendor_s = sys.argv[1:5]
    log.configure("worker")
    store = Store(database)
    began = time.perf_counter()
    looks = drain.drain(shop(store, float(vendor_s)), Bell(redis), int(threads))
    seconds = time.perf_counter() - began
    store.close()
    json.dump({"looks": looks, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
