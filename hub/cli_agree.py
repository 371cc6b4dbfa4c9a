"""`hub backtest` and `hub drift`: what another mapping would do, and where the systems disagree."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub import shell
from hub.money import money

if TYPE_CHECKING:
    from hub.adopting import Match
    from hub.backtest import Backtest
    from hub.drift import Drift
    from hub.stakes import Account

TASKS = 500  # the newest
UNKNOWN = "unknown"
SHOWN = 40  # rows that are printed; --json has all


@click.option("--config", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only what was looked at on this day (UTC) or later.")
def backtest(*, file: Path, since: datetime | None, as_json: bool) -> None:
    """Say what the [[catalog]] and [policy] of a new file would change in everything on record; write nothing."""
    from hub import backtest as it  # noqa: PLC0415

    hub = shell.ready_hub()
    told = it.run(
        hub.store,
        hub.connectors,
        hub.rules,
        it.rules_from(file, hub.connectors),
        since=since.replace(tzinfo=UTC).timestamp() if since else None,
        progress=lambda done, of: shell.err.print(f"{done:,} of {of:,} purchases") if of > it.TELL_FROM else None,
    )
    if as_json:
        click.echo(json.dumps(told.as_json()))
    else:
        _tell_backtest(told)


def _tell_backtest(told: Backtest) -> None:
    from hub.stakes import accounts_of  # noqa: PLC0415

    for line in told.summary():
        shell.out.print(shell.plain(line))
    accounts = [
        (x.customer, x.licenses, x.seats_today, x.seats_then, x.losing, _worth(x)) for x in accounts_of(told.stakes)
    ]
    _table(("Customer", "Licenses", "Seats today", "Then", "Losing", "Worth"), accounts)
    worth = {x.entitlement: money(x.value) for x in told.stakes if x.value}
    rows = [
        (x.subject, x.entitlement or x.offering, x.field, x.today, x.then, worth.get(x.entitlement, UNKNOWN), x.because)
        for x in told.differences
    ]
    _table(("Subject", "Entitlement", "Field", "Today", "Then", "Worth", "Because"), rows)
    _table(("Subject", "Entitlement", "Would be sent"), [tuple(one.values()) for one in told.sends])


def _worth(one: Account) -> str:
    """The sum of each currency; how many licenses nobody told of."""
    told = [money(sum_) for sum_ in one.value] + ([f"{one.unknown} {UNKNOWN}"] if one.value and one.unknown else [])
    return " + ".join(told) or UNKNOWN


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    shell.out.print()
    shell.table(names, [[shell.plain("–" if cell is None else str(cell)) for cell in row] for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        shell.out.print(f"… and {len(rows) - SHOWN:,} more: --json has them all")


@click.option("--apply", "which", multiple=True, metavar="CLASS|ID", help="Repair these; may be repeated.")
@click.option("--recorded", is_flag=True, help="By the record alone: ask no vendor anything.")
def drift(*, which: Sequence[str], recorded: bool, as_json: bool) -> None:
    """Say where sales, licenses and CRM disagree, each with its repair and risk; --apply makes that due, or tasks."""
    from hub import comparing  # noqa: PLC0415
    from hub import drift as it  # noqa: PLC0415

    hub = shell.ready_hub()
    found = [*comparing.find(hub, ask=not recorded)]
    chosen = [one for one in found if one.kind in which or one.id in which]
    if lost := [one for one in which if one not in it.KINDS and one not in {x.id for x in found}]:
        shell.fail(
            shell.NOT_FOUND, f"there is no drift {lost[0]!r}; classes: {', '.join(it.KINDS)}, or an id from `hub drift`"
        )
    done = it.apply(hub.store, chosen, shell.who(), "command line") if which else []
    if not recorded:
        it.keep(hub.store, found)
    if done:
        hub.bell.ring()
    if as_json:
        click.echo(json.dumps({"drift": [{"id": x.id, **asdict(x)} for x in found], "applied": [x.id for x in done]}))
    else:
        _tell_drift(found, done, asked=bool(which))
    if any(one not in done and not one.waiting for one in found):
        sys.exit(shell.NEEDS_ATTENTION)


def _tell_drift(found: Sequence[Drift], done: Sequence[Drift], *, asked: bool) -> None:
    from hub.drift import KINDS  # noqa: PLC0415

    counts = Counter(one.kind for one in found)
    for kind, number in counts.most_common():
        shell.out.print(shell.plain(f"{number:,} {kind}: {KINDS[kind]}"))
    if not found:
        shell.out.print("Sales, licenses and CRM agree.")
    rows = [(x.id, x.customer, x.problem, x.how, x.risk or "none", x.waiting or x.repair) for x in found]
    _table(("Id", "Customer", "Problem", "Repair", "Risk", "State"), rows)
    if asked:
        shell.out.print(f"{len(done):,} applied: looks or pushes are due, or tasks are open.")


@click.option("--apply", "which", multiple=True, metavar="all|ID", help="Adopt these; all: what is not ambiguous.")
@click.option("--none", "nobody", multiple=True, metavar="LICENSE", help="None of the purchases is this license's own.")
@click.option("--why", default="", help="Why; kept in the audit. --none asks for it.")
@click.option(
    "--take-over", is_flag=True, help="Also what a vendor's own integration keeps, once that is switched off."
)
def adopt(*, which: Sequence[str], nobody: Sequence[str], why: str, take_over: bool, as_json: bool) -> None:
    """Match licenses that were there before the hub with purchases; --apply records it, so that none is made twice."""
    from hub import adopting as it  # noqa: PLC0415

    if nobody and not why.strip():
        raise click.UsageError("say why none of the purchases is the license's own: --why")
    hub = shell.ready_hub()
    licensing = hub.shop.licensing
    found = it.find(hub.store, hub.connectors, hub.rules, licensing, take_over=take_over)
    known = {"all", *(x.id for x in found)}, {x.entitlement for x in found if x.state != it.RULED_OUT}
    for wanted, names in zip((which, nobody), known, strict=True):
        if lost := [one for one in wanted if one not in names]:
            shell.fail(shell.NOT_FOUND, f"there is no match {lost[0]!r}; ids are told by `hub adopt`")
    chosen = [
        x for x in found if x.state != it.BUILT_IN and (x.id in which or ("all" in which and x.state == it.ADOPT))
    ]
    chosen = [x for x in chosen if x.entitlement not in nobody]
    done = it.adopt(hub.store, licensing, chosen, shell.who(), "command line", why)
    if which or nobody:
        taken = {x.entitlement for x in done}
        it.queue(hub.store, [x for x in found if x.entitlement not in taken])
    for id_ in nobody:
        it.queue(hub.store, [replace(x, state=it.AMBIGUOUS) for x in found if x.entitlement == id_])
        it.rule_out(hub.store, id_, why, shell.who(), "command line")
    if as_json:
        told = [{"id": x.id, **asdict(x)} for x in found]
        click.echo(json.dumps({"matches": told, "adopted": [x.id for x in done], "ruled_out": [*nobody]}))
    else:
        _tell_matches(found, len(done), len(nobody))
    if any(one not in done and one.state != it.RULED_OUT and one.entitlement not in nobody for one in found):
        sys.exit(shell.NEEDS_ATTENTION)


def _tell_matches(found: Sequence[Match], done: int, nobody: int) -> None:
    for state, number in Counter(one.state for one in found).most_common():
        shell.out.print(f"{number:,} {state}")
    rows = [(x.id, x.customer, x.offering, x.because, x.drifts or "nothing", x.state) for x in found]
    _table(("Id", "Customer", "Offering", "Because", "Would change", "State"), rows)
    told = [f"{done:,} adopted."] * bool(done) + [f"{nobody:,} left to no purchase."] * bool(nobody)
    shell.out.print(" ".join(told) or "Nothing was written.")


@click.option("--done", "done", type=int, multiple=True, metavar="NUMBER", help="Close this task; may be repeated.")
def review(*, done: Sequence[int], as_json: bool) -> None:
    """List what waits for a person: sold keys without a row, with the row to paste, and open tasks."""
    from hub import approvals, coverage  # noqa: PLC0415
    from hub.store import pages  # noqa: PLC0415

    hub = shell.ready_hub()
    for number in done:
        if not approvals.close_review(hub.store, number, shell.who(), "command line"):
            shell.fail(shell.NOT_FOUND, f"no open task has the number {number}; `hub review` lists them")
    with hub.store.read() as conn:
        keys, tasks = coverage.waiting_for_a_row(conn, hub), pages.reviews(conn, limit=TASKS)
    rows = [{"key": one.key, "vendor": one.vendor, "subjects": one.subjects, "row": one.row} for one in keys]
    open_ = [{"number": one.id, "kind": one.kind, "subject": one.subject, "text": one.text} for one in tasks]
    if as_json:
        click.echo(json.dumps({"unmapped": rows, "tasks": open_, "closed": list(done)}))
    else:
        _tell_reviews(rows, open_)
    if rows or open_:
        sys.exit(shell.NEEDS_ATTENTION)


def _tell_reviews(rows: Sequence[Mapping[str, object]], tasks: Sequence[Mapping[str, object]]) -> None:
    for one in rows:
        shell.out.print(shell.plain(f"# {one['subjects']} wait for {one['vendor']} {one['key']}\n{one['row']}\n"))
    _table(("Task", "Kind", "Subject", "What"), [tuple(one.values()) for one in tasks])
    if not rows and not tasks:
        shell.out.print("Nothing waits for a person.")


COMMANDS: Mapping[str, Callable[..., None]] = {"backtest": backtest, "drift": drift, "adopt": adopt, "review": review}
