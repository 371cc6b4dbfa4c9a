"""Seat usage: figures of 100,000 entitlements at once, and judgements one by one.

    python -m bench.seats summaries 100000 | judgements 300

prints JSON; each in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from bench.place import Place
from bench.report import Row
from bench.usage_families import FAMILIES, make
from hub.usage import judge
from hub.usage.calendars import business_days
from hub.usage.many import judge_many
from hub.usage.summaries import summarize

DAYS, BLOCK = 365, 2000
AS_OF = date(2026, 10, 30).toordinal()
NAIVE = 300  # entitlements of the baseline, which stands for all


def rows(here: Place, *, quick: bool) -> list[Row]:
    """Seconds and megabytes for all summaries; milliseconds a judgement."""
    count, rounds = (4000, 1) if quick else (100_000, 3)
    told = [here.run("bench.seats", "summaries", str(count)) for _ in range(rounds)]
    judged = [here.run("bench.seats", "judgements", "30" if quick else "600") for _ in range(rounds)]
    what = f"seat summaries, {count:,} x {DAYS} days"
    note = "seat summaries: metrics and Theil-Sen slopes over 13, 26 and 52 weeks; the baseline takes one entitlement "
    return [
        Row(
            what=what,
            database="",
            unit="s",
            rounds=[one["seconds"] for one in told],
            baseline="s",
            baseline_rounds=[one["naive_seconds"] for one in told],
            ask=10.0 * count / 100_000,
            at_most=True,
            note=note + f"after the other with numpy's own nan-functions ({NAIVE} measured, the rest in proportion)",
        ),
        Row(
            what=f"{what}, peak",
            database="",
            unit="MB",
            rounds=[one["peak_mb"] for one in told],
            ask=1000.0,
            at_most=True,
        ),
        Row(
            what="judgement of one entitlement",
            database="",
            unit="ms",
            rounds=[one["each_ms"] for one in judged],
            ask=30.0,
            at_most=True,
        ),
    ]


def summaries(count: int) -> dict[str, float]:
    """Seconds for `count` entitlements and for the baseline's share of them; making them is not counted."""
    ours = naive = 0.0
    for number in range(0, count, BLOCK):
        peak, seats, cap = _block(number, min(BLOCK, count - number))
        if not number:
            began = time.perf_counter()
            for row in range(min(NAIVE, len(peak))):
                _naive(peak[row], seats[row], cap[row])
            naive = (time.perf_counter() - began) * count / min(NAIVE, len(peak))
        began = time.perf_counter()
        summarize(peak, seats, cap, country="US", as_of=AS_OF)
        ours += time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"seconds": ours, "naive_seconds": naive, "peak_mb": peak_mb}


def judgements(count: int) -> dict[str, float]:
    """The mean milliseconds of a judgement, over accounts of all families."""
    names = list(FAMILIES)
    histories = [make(names[number % len(names)], 1, number).history for number in range(count)]
    judge(histories[0])
    began = time.perf_counter()
    done = sum(1 for _ in judge_many(histories))
    return {"each_ms": (time.perf_counter() - began) * 1000 / done}


def _block(number: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(number)
    seats = np.repeat(chance.integers(5, 500, (count, 1)).astype(np.float32), DAYS, axis=1)
    use = chance.uniform(0.3, 1.1, (count, 1)).astype(np.float32)
    peak = np.rint(seats * use * chance.normal(1, 0.06, (count, DAYS)).astype(np.float32))
    peak[chance.random((count, DAYS)) < 0.02] = np.nan
    return np.minimum(peak, seats * np.float32(1.1)), seats, seats * np.float32(1.1)


def _naive(peak: np.ndarray, seats: np.ndarray, cap: np.ndarray) -> dict[str, float]:
    """One entitlement, as one writes it down first."""
    business = business_days("US", AS_OF - DAYS + 1, DAYS)
    used = np.where(business, peak, np.nan)
    weeks = [float(np.nanmedian(used[end - 7 : end])) for end in range(DAYS, 6, -7)]
    told = {
        "utilization": float(np.nanmean((used / seats)[-90:]) * 100),
        "p95_28": float(np.nanquantile(used[-28:], 0.95)),
        "p95_90": float(np.nanquantile(used[-90:], 0.95)),
        "known": float((~np.isnan(used[-90:])).sum() / business[-90:].sum()),
        "overdraft": float(np.nansum((peak - seats)[-60:].clip(0))),
        "pinned": float((peak >= cap)[-60:].sum()),
    }
    for window in (13, 26, 52):
        known = [(week, level) for week, level in enumerate(weeks[:window]) if not np.isnan(level)]
        slopes = [(b - a) / (i - j) for n, (i, a) in enumerate(known) for j, b in known[n + 1 :]]
        told[f"trend_{window}"] = float(np.median(slopes)) * 30 / 7
    return told


PARTS: dict[str, Callable[[int], dict[str, float]]] = {"summaries": summaries, "judgements": judgements}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]))))
