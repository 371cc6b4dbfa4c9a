"""Rows of measurements, the noise of the machine they were taken on, and the table that shows both."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `rounds` and `baseline_rounds` are the single measurements whose medians count.

    ask      what docs/bench.md promises, as a number; `at_most` says which side of it is good
    None     for baseline_rounds where nothing comparable could be run, for ask where nothing is promised
    """

    what: str
    database: str
    unit: str
    rounds: Sequence[float]
    baseline: str = ""
    baseline_rounds: Sequence[float] = ()
    ask: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def measured(self) -> float:
        """The median round."""
        return statistics.median(self.rounds)

    @property
    def compared(self) -> float | None:
        """The baseline's median round."""
        return statistics.median(self.baseline_rounds) if self.baseline_rounds else None

    @property
    def ratio(self) -> float | None:
        """Measured over baseline."""
        return self.measured / self.compared if self.compared else None

    @property
    def reached(self) -> bool | None:
        """Whether the ask is met; None where there is none."""
        if self.ask is None:
            return None
        return self.measured <= self.ask if self.at_most else self.measured >= self.ask

    def as_json(self) -> dict[str, Any]:
        """Everything, medians and verdict too."""
        derived = {"measured": self.measured, "compared": self.compared, "ratio": self.ratio, "reached": self.reached}
        return asdict(self) | derived


def noise_probe() -> float:
    """Milliseconds that a fixed piece of work takes now, the best of five: how fast this machine is at the moment."""
    return min(_fixed_work() for _ in range(5))


def _fixed_work() -> float:
    began = time.perf_counter()
    digest = b""
    for number in range(20_000):
        digest = hashlib.sha256(digest + number.to_bytes(4, "big")).digest()
    return (time.perf_counter() - began) * 1000


def fsync_ms(folder: Path) -> float:
    """The median time of a 4 KB write and fsync under `folder`: what a commit costs at least."""
    target = folder / "fsync.probe"
    times = []
    with target.open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    target.unlink()
    return statistics.median(times)


def steal_s() -> float:
    """Seconds that the host has taken from this machine since its start (0 where that is not told)."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(fields[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


@dataclass
class Noise:
    """What else may have had a hand in the figures."""

    folder: Path
    load_at_start: float = field(default_factory=lambda: os.getloadavg()[0])
    stolen_before: float = field(default_factory=steal_s)
    began: float = field(default_factory=time.monotonic)
    probes: list[float] = field(default_factory=lambda: [noise_probe()])
    commit_ms: float = 0.0

    def __post_init__(self) -> None:
        self.commit_ms = fsync_ms(self.folder)

    def probe(self) -> None:
        """Takes another sample of the machine's speed."""
        self.probes.append(noise_probe())

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "cores": os.cpu_count(),
            "load_at_start": self.load_at_start,
            "stolen_s": steal_s() - self.stolen_before,
            "seconds": time.monotonic() - self.began,
            "speed_spread": max(self.probes) / min(self.probes),
            "fsync_ms": self.commit_ms,
        }

    def sentence(self) -> str:
        """For people."""
        told = self.as_json()
        return (
            f"{told['cores']} cores, shared with the load generator and the vendors · load at the start "
            f"{told['load_at_start']:.1f} · {told['stolen_s']:.1f} s taken by the host in {told['seconds']:.0f} s"
            f" · the same work took up to {told['speed_spread']:.2f} times as long"
            f" · an fsync takes {told['fsync_ms']:.2f} ms"
        )


def show(out: Console, rows: Sequence[Row], noise: Noise) -> None:
    """The table."""
    table = Table(title="licensing hub: measured", title_justify="left", show_lines=False)
    for name in ("what", "database", "measured", "rounds", "baseline", "ratio", "asked", ""):
        table.add_column(name, justify="right" if name in {"measured", "ratio", "asked"} else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    out.print(table)
    out.print(f"[dim]{noise.sentence()}[/]")
    for note in dict.fromkeys(row.note for row in rows if row.note):
        out.print(f"[dim]· {note}[/]")


def _cells(row: Row) -> list[str]:
    compared = "" if row.compared is None else f"{_number(row.compared)} {row.baseline}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2g}x" if row.ratio < 10 else f"{row.ratio:.0f}x"
    asked = "" if row.ask is None else f"{'<=' if row.at_most else '>='} {_number(row.ask)}"
    verdict = {None: "", True: "[green]reached[/]", False: "[red]short[/]"}[row.reached]
    spread = "" if len(row.rounds) < 2 else f"{_number(min(row.rounds))}-{_number(max(row.rounds))}"
    return [row.what, row.database, f"{_number(row.measured)} {row.unit}", spread, compared, ratio, asked, verdict]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
