"""How right the signals are (docs/signals.md).

    python -m bench.signals own [--each 20] [--seeds 1,2]            made-up families of our own
    python -m bench.signals yardstick FOLDER [--each 12] [--seeds 201,202] [--walk] [--method combined]
    python -m bench.signals website FILE                             a real yearly pattern: falls that are none

FOLDER holds usage_scenarios.py and usage_baselines.py, FILE is website_visitors_daily.csv of the shared material.
"""

from __future__ import annotations

import csv
import importlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are tiny: threads only hurt

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.usage_families import Case, cases
from hub.usage import Signal, judge
from hub.usage.settling import settle
from hub.usage.votes import RISK

UP = {Signal.EXPANSION, Signal.OVERDRAFT, Signal.NEW_GROWTH}
OUT = Console(width=170, highlight=False)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a method said of one case."""

    signal: str
    confidence: str = ""
    peak: float | None = None
    low: float | None = None
    high: float | None = None


def ours(history: Any) -> Told:
    """Our own judgement."""
    made = judge(history)
    return Told(
        signal=str(made.signal),
        confidence=str(made.confidence),
        peak=made.forecast_peak,
        low=made.forecast_lo,
        high=made.forecast_hi,
    )


# families of our own


def figures(pairs: Sequence[tuple[Case, Told]]) -> dict[str, float]:
    """Shares of clear cases; forecasts of all that have one."""
    clear = [(case.signal, told.signal) for case, told in pairs if case.clear]
    steady = [said for truth, said in clear if truth == Signal.STEADY]
    risky = [said for truth, said in clear if truth in RISK]
    ahead = [(case.peak_at_renewal, told) for case, told in pairs if told.peak is not None]
    errors = [min(2.0, abs((told.peak or 0) - truth) / max(1.0, truth)) for truth, told in ahead]
    inside = [told.low <= truth <= told.high for truth, told in ahead if told.low is not None and told.high is not None]
    return {
        "accuracy": float(np.mean([truth == said for truth, said in clear])),
        "macro-F1": float(np.mean([_f1(clear, one) for one in {truth for truth, _ in clear}])),
        "false alarms": float(np.mean([said in RISK for said in steady])),
        "false upsell": float(np.mean([said in UP for said in steady])),
        "risk recall": float(np.mean([said in RISK for said in risky])),
        "MAPE": float(np.mean(errors)),
        "coverage": float(np.mean(inside)) if inside else float("nan"),
    }


def _f1(pairs: Sequence[tuple[str, str]], signal: str) -> float:
    both = sum(truth == signal == said for truth, said in pairs)
    return 2 * both / (sum(truth == signal for truth, _ in pairs) + sum(said == signal for _, said in pairs))


def calibration(pairs: Iterable[tuple[bool, str]]) -> dict[str, tuple[int, float]]:
    """Confidence -> how many, and the share that was right."""
    found = defaultdict(list)
    for right, confidence in pairs:
        found[confidence].append(right)
    return {name: (len(rights), float(np.mean(rights))) for name, rights in sorted(found.items()) if name}


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    table = Table(title=title, title_justify="left")
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    OUT.print(table)


def _seeds(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


@click.group()
def main() -> None:
    """Measure how right the signals are."""


@main.command()
@click.option("--each", default=20)
@click.option("--seeds", default="1,2")
def own(each: int, seeds: str) -> None:
    """Families of our own."""
    made = [case for seed in _seeds(seeds) for case in cases(seed, each)]
    pairs = [(case, ours(case.history)) for case in made]
    _table("families of our own", {"this hub": figures(pairs)})
    families = {}
    for family in dict.fromkeys(case.family for case in made):
        mine = [(case, told) for case, told in pairs if case.family == family]
        said = [(case.signal == told.signal, case.clear) for case, told in mine]
        inside = [
            told.low <= case.peak_at_renewal <= told.high
            for case, told in mine
            if told.low is not None and told.high is not None
        ]
        families[family] = {
            "clear": float(sum(clear for _, clear in said)),
            "right": float(np.mean([right for right, _ in said])),
            "coverage": float(np.mean(inside)) if inside else float("nan"),
        }
    _table("by family", families)
    OUT.print(calibration((case.signal == told.signal, told.confidence) for case, told in pairs if case.clear))


# the shared yardstick


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--each", default=12)
@click.option("--seeds", default="201,202,203,204,205")
@click.option("--walk", is_flag=True, help="A judgement a week up to the renewal: lead time, alert weeks. Slow.")
@click.option("--method", default="ours", help="ours, or one of the baselines")
def yardstick(folder: Path, each: int, seeds: str, walk: bool, method: str) -> None:  # noqa: FBT001
    """The shared scenarios, scored by their own function."""
    scenarios = _scenarios(folder)
    rows, sure = {}, []
    for seed in _seeds(seeds):
        made = scenarios.generate(seed, each)
        truths = {case.id: scenarios.truth_of(case) for case in made}
        work = [(str(folder), method, case, walk) for case in made]
        with ProcessPoolExecutor(2) as pool:
            told = dict(pool.map(_yard_one, work, chunksize=4))
        rows[str(seed)] = _yard_row(scenarios.score(told, made, truths), told, made, truths)
        sure += [
            (told[name]["signal"] == truth["signal"], told[name].get("confidence", ""))
            for name, truth in truths.items()
            if not truth["borderline"]
        ]
        OUT.print(seed, {name: round(value, 3) for name, value in rows[str(seed)].items()})
    rows["mean"] = {name: float(np.mean([row[name] for row in rows.values()])) for name in next(iter(rows.values()))}
    _table(f"shared yardstick, {method}, {each} of each family", rows)
    OUT.print(calibration(sure))


def _scenarios(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    return importlib.import_module("usage_scenarios")


def _yard_one(work: tuple[str, str, Any, bool]) -> tuple[str, dict[str, Any]]:
    folder, method, case, walk = work
    scenarios = _scenarios(Path(folder))
    judged = _as_dict if method == "ours" else importlib.import_module("usage_baselines").CANDIDATES[method]
    told = dict(judged(case.history()))
    if walk:
        flags, settled, weeks = [], None, []
        for mark in scenarios.checkpoints(case):
            history = case.history(mark)
            if method == "ours":
                made = judge(history)
                said = made.signal
                settled = settle(settled, made, history["as_of"])
                weeks.append(settled.signal in RISK)
            else:
                said = judged(history)["signal"]
            flags.append((mark, said in RISK))
        told["first_flag_date"] = scenarios.first_flag(case, flags)
        told["flag_share"] = sum(flag for _, flag in flags) / max(1, len(flags))
        told["settled_share"] = float(np.mean(weeks)) if weeks else told["flag_share"]
    return case.id, told


def _as_dict(history: Mapping[str, object]) -> dict[str, Any]:
    made = judge(history)
    told = {one.name: getattr(made, one.name) for one in fields(made) if one.name != "evidence"}
    return told | {"signal": str(made.signal), "confidence": str(made.confidence)}


def _yard_row(score: dict[str, Any], told: Any, made: Any, truths: Any) -> dict[str, float]:
    calm = [
        told[case.id].get("settled_share", float("nan"))
        for case in made
        if truths[case.id]["signal"] == "steady"
        and not truths[case.id]["risk_from"]
        and not case.ambiguous
        and case.family != "dip_and_recover"
    ]
    lead = score.get("lead", {})
    return {
        "accuracy": score["accuracy_clear"],
        "F1": score["macro_f1"],
        "alarms": score["false_alarm_steady"],
        "traps": score["false_alarm_traps"] or 0.0,
        "upsell": score["false_upsell_steady"],
        "recall": score["risk_recall"],
        "weeks": score["alert_weeks_steady"] or 0.0,
        "settled": float(np.mean(calm)),
        ">=60d": lead.get("ge60", 0.0),
        "early": lead.get("false_early", 0.0),
        "delay": lead.get("median_delay") or 0.0,
        "MAPE": score["forecast"]["mape"],
        "cover": score["forecast"]["cover80"] or 0.0,
        "regret": score["seats"]["mean_regret"],
    }


# a real series


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def website(file: Path) -> None:
    """Sixty-three dates of a statistics site: how many are said to fall."""
    said = website_signals(file, lambda history: str(judge(history).signal))
    OUT.print(dict(Counter(signal for _, signal in said)))
    OUT.print([f"{day} {signal}" for day, signal in said if signal in RISK])


def website_signals(file: Path, method: Callable[[dict[str, object]], str]) -> list[tuple[date, str]]:
    """Each four-weekly as-of day with its signal: 24 months of history, licensed for the most visitors in them."""
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    first, visits = date.fromisoformat(rows[0]["date"]), np.array([float(row["unique_visits"]) for row in rows])
    said = []
    for at in list(range(400, len(visits), 28))[:63]:
        start = max(0, at - 729)
        peak = visits[start : at + 1]
        seats = np.full(len(peak), peak.max())
        history: dict[str, object] = {
            "entitlement_id": "site",
            "account_id": "site",
            "country": "US",
            "first_day": first + timedelta(start),
            "as_of": first + timedelta(at),
            "renewal": first + timedelta(at + 90),
            "peak": peak,
            "seats": seats,
            "cap": seats,
        }
        said.append((first + timedelta(at), method(history)))
    return said


if __name__ == "__main__":
    main()
