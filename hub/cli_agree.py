"""`hub backtest` and `hub drift`: what another mapping would do, and where the systems disagree."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hub.backtest import Backtest

SHOWN = 40  # rows that are printed; --json has all


@click.option("--config", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only what was looked at on this day (UTC) or later.")
def backtest(*, file: Path, since: datetime | None, as_json: bool) -> None:
    """Say what the [[catalog]] and [policy] of a new file would change in everything on record; write nothing."""
    from hub import backtest as it  # noqa: PLC0415
    from hub.cli import _ready_hub, err  # noqa: PLC0415

    hub = _ready_hub()
    told = it.run(
        hub.store,
        hub.connectors,
        hub.rules,
        it.rules_from(file, hub.connectors),
        since=since.replace(tzinfo=UTC).timestamp() if since else None,
        progress=lambda done, of: err.print(f"{done:,} of {of:,} purchases") if of > it.TELL_FROM else None,
    )
    if as_json:
        click.echo(json.dumps(told.as_json()))
    else:
        _tell_backtest(told)


def _tell_backtest(told: Backtest) -> None:
    from hub.cli import _plain, out  # noqa: PLC0415

    for line in told.summary():
        out.print(_plain(line))
    rows = [(x.subject, x.entitlement or x.offering, x.field, x.today, x.then, x.because) for x in told.differences]
    _table(("Subject", "Entitlement", "Field", "Today", "Then", "Because"), rows)
    _table(("Subject", "Entitlement", "Would be sent"), [tuple(one.values()) for one in told.sends])


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from hub.cli import _plain, out  # noqa: PLC0415
    from hub.cli import _table as table  # noqa: PLC0415

    if not rows:
        return
    out.print()
    table(names, [[_plain("–" if cell is None else str(cell)) for cell in row] for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        out.print(f"… and {len(rows) - SHOWN:,} more: --json has them all")


COMMANDS: Mapping[str, Callable[..., None]] = {"backtest": backtest}
