"""`python -m bench [NAMES] [--quick] [--json]`: measures, each beside its baseline in the same run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import board, deliveries, ingest, memory, seats, whole_way, worker
from bench.place import Place, place
from bench.report import Noise, Row, show

BENCHES: dict[str, Callable[..., list[Row]]] = {
    "ingest": ingest.rows,
    "drained": worker.drained,
    "looks": worker.looks,
    "whole-way": whole_way.rows,
    "deliveries": deliveries.rows,
    "memory": memory.rows,
    "seats": seats.rows,
    "board": board.rows,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHES]))
@click.option("--quick", is_flag=True, help="Smaller, one round each: shows that it works, not how fast it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where databases lie meanwhile.")
def main(names: tuple[str, ...], quick: bool, as_json: bool, folder: Path | None) -> None:  # noqa: FBT001
    """Measure the hub: rates, latencies, memory, each beside a baseline of the same run."""
    logging.disable(logging.WARNING)
    err, rows = Console(stderr=True, highlight=False), []
    with place(folder) as here:
        noise = Noise(here.folder)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=err) as progress:
            for name in names or BENCHES:
                task = progress.add_task(name, total=1)
                rows += _measured(name, here, quick=quick)
                noise.probe()
                progress.update(task, completed=1)
    if as_json:
        click.echo(json.dumps({"noise": noise.as_json(), "rows": [row.as_json() for row in rows]}, indent=1))
        return
    show(Console(highlight=False, width=max(Console().width, 130)), rows, noise)


def _measured(name: str, here: Place, *, quick: bool) -> list[Row]:
    return BENCHES[name](here, quick=quick)


if __name__ == "__main__":
    main()
