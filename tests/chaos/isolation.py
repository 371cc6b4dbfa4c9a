"""F11, measured: one connection's vendor answers in 2 s; how long do another connection's sales wait for their license?

    python -m tests.chaos.isolation [--sales 60] [--database postgresql://…]

First alone, then with a backlog of looks at the slow vendor that outlasts the measurement, then alone again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from connectors.emulation import serving
from connectors.stripe.emulator import StripeEmulator
from tests.world import SECRET, Town, Vendors, a_town

SLOW = """
[connections.slow]
kind = "stripe"
base_url = "{url}"
api_key = "sk_test_sandbox"
webhook_secrets = ["{secret}"]
rate_per_s = 5000
"""
ANSWER_S = 2.0
EACH_S = 0.25
MOST_CHANGE = 0.2


@dataclass(frozen=True)
class Report:
    """Seconds from a sale to its license, p95: alone before and after, and beside the slow vendor."""

    before: float
    beside: float
    after: float

    def __str__(self) -> str:
        return f"p95 of a sale's license: alone {self.before:.2f} and {self.after:.2f} s, beside {self.beside:.2f} s"

    def change(self) -> float:
        """How much longer it took beside the slow vendor, as a share of the slower of the two runs alone."""
        return self.beside / max(self.before, self.after) - 1


def measure(folder: Path, database: str, *, sales: int) -> Report:
    """Three rounds of so many sales, one each quarter of a second."""
    slow = StripeEmulator(seed=11)
    with serving(slow) as url:
        town = a_town(folder, database, rate=200, drain=20, more=SLOW.format(url=url, secret=SECRET))
        with town as made:
            before = _p95(made, sales)
            with _backlog(made, slow, Vendors(url, made.vendors.zentitle_url), 16 * sales):
                beside = _p95(made, sales)
                assert made.due(), "the slow vendor's looks have lasted"
            return Report(before, beside, _p95(made, sales))


@contextmanager
def _backlog(town: Town, slow: StripeEmulator, vendors: Vendors, count: int) -> Iterator[None]:
    """So many subscriptions to look at, each answer of whose vendor takes its time while the body runs."""
    for _ in range(count):
        vendors.buy("PRO-100")
    slow.faults.configure({"latency_s": ANSWER_S})
    slow.webhook(url=f"{town.url}/webhooks/slow", secret=SECRET)
    ids = [body["id"] for body in (record.event() for record in slow.billing.books.events_newest_first())]
    slow.deliver(ids)
    town.until(lambda: len(town.due()) == 10, 60)
    try:
        yield
    finally:
        slow.faults.configure({"latency_s": 0.0})
        town.settle(300)
        vendors.http.close()


def _p95(town: Town, sales: int) -> float:
    """Sells, one after the other, and waits for all the licenses; p95 of their times."""
    sold: dict[str, float] = {}
    took: dict[str, float] = {}
    began = time.monotonic()
    while len(took) < sales:
        now = time.monotonic()
        if len(sold) < sales and now - began >= len(sold) * EACH_S:
            sold[f"stripe:{town.vendors.buy()}"] = time.monotonic()
        for row in town.vendors.grants()[-sales:]:
            if row["orderRefId"] in sold:
                took.setdefault(row["orderRefId"], time.monotonic() - sold[row["orderRefId"]])
        assert now - began < 120 + sales, town.log_tail()
        time.sleep(0.02)
    return quantiles(took.values(), n=20)[-1]


def main() -> None:
    """The measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sales", type=int, default=60)
    parser.add_argument("--database", help="default: SQLite in a folder of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isolation-") as name:
        report = measure(Path(name), given.database or f"sqlite:///{name}/hub.sqlite", sales=given.sales)
    print(report)
    assert report.change() < MOST_CHANGE, f"{report.change():.0%} longer beside a slow vendor"


if __name__ == "__main__":
    main()
