"""`hub salesforce`, `hub hubspot`: bring the CRM its fields, see what it lacks, push what seat usage says."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub import shell

if TYPE_CHECKING:
    from hub.domain import UsageSummary
    from hub.ports import Connector, CrmSetup, Finding, PushResult
    from hub.renewals import Plan
    from hub.wiring import Hub

KINDS = {"salesforce": "Salesforce", "hubspot": "HubSpot"}  # a command's name is the kind that it speaks to
HELP = "Renewals in {}: its fields, what is lacking, and the push of seat usage."
SHOWN = 40  # results that are printed one by one

_one_of_several = click.option("--connection", help="Which one, where there are several of this kind.")
_summaries = click.option(
    "--summaries",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON list of usage summaries, instead of the record's.",
)


@click.option("--check-only", is_flag=True, help="Ask whether it would go; change nothing.")
@_one_of_several
@_summaries
def install(*, check_only: bool, connection: str | None, summaries: Path | None, as_json: bool) -> None:
    """Bring our fields and what shows them; with --summaries push the first rows, too."""
    hub, connector = _connector(connection)
    setup = _setup_of(connector)
    findings = [*setup.install(check_only=check_only)]
    good = not any(one.level == "error" for one in findings)
    results = _pushed(hub, connector, summaries) if good and summaries and not check_only else []
    page = setup.page() if good else ""
    if as_json:
        told = {"findings": [_told(one) for one in findings], "page": page, "results": [asdict(one) for one in results]}
        click.echo(json.dumps(told))
    else:
        shell.tell_findings(False, findings)
        _tell_results(results)
        _say(page and (f"It would stand here: {page}" if check_only else f"Here it is: {page}"))
    _end(findings, results)


@_one_of_several
def doctor(*, connection: str | None, as_json: bool) -> None:
    """Name each missing object, field and permission, and how to mend it."""
    _, connector = _connector(connection)
    findings = _setup_of(connector).doctor()
    if as_json:
        click.echo(json.dumps([_told(one) for one in findings]))
    else:
        shell.tell_findings(False, findings)
    _end(findings, [])


@click.option("--plan", is_flag=True, help="Show every field that would change; write nothing.")
@_one_of_several
@_summaries
def push(*, plan: bool, connection: str | None, summaries: Path | None, as_json: bool) -> None:
    """Push what changed in what the record says of seat use; one bad record never stops the rest."""
    from hub import renewals  # noqa: PLC0415

    hub, connector = _connector(connection)
    if plan:
        _tell_plan(renewals.plan(hub.store, connector, _read(hub, summaries)), as_json=as_json)
        return
    results = _pushed(hub, connector, summaries)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in results]))
    else:
        _tell_results(results)
    _end([], results)


COMMANDS: Mapping[str, Callable[..., None]] = {"install": install, "doctor": doctor, "push": push}


def _connector(name: str | None) -> tuple[Hub, Connector]:
    hub: Hub = shell.ready_hub()
    group = click.get_current_context().parent
    kind = group.info_name if group else None
    found = [one for one in hub.connectors.values() if one.kind == kind and name in {None, one.name}]
    if not found:
        known = f"no connection {name!r} of kind {kind}" if name else f"no connection has kind {kind}"
        shell.fail(shell.NOT_FOUND, f"{known}; add one to {hub.settings.path}")
    if len(found) > 1:
        raise click.UsageError(f"say which with --connection: {', '.join(one.name for one in found)}")
    return hub, found[0]


def _setup_of(connector: Connector) -> CrmSetup:
    if connector.crm_setup is None:
        raise click.UsageError(f"{connector.name} needs no set-up")
    return connector.crm_setup


def _read(hub: Hub, file: Path | None) -> list[UsageSummary]:
    """The summaries in the file; without one those of the record."""
    from hub import summaries, telling  # noqa: PLC0415

    try:
        return summaries.read(file) if file else telling.summaries(hub)
    finally:
        hub.drawer.close()


def _pushed(hub: Hub, connector: Connector, file: Path | None) -> list[PushResult]:
    from rich.progress import track  # noqa: PLC0415

    from hub import renewals  # noqa: PLC0415

    results = renewals.push(hub.store, connector, _read(hub, file))
    return list(
        track(results, description="pushing", console=shell.err, transient=True, disable=not shell.err.is_terminal)
    )


def _end(findings: Sequence[Finding], results: Sequence[PushResult]) -> None:
    if any(one.level == "error" for one in findings) or not all(one.outcome.is_done for one in results):
        sys.exit(shell.NEEDS_ATTENTION)


# -- telling


def _told(finding: Finding) -> dict[str, str]:
    return {"level": finding.level, "about": finding.about, "problem": finding.problem, "mend": finding.mend}


def _say(text: str) -> None:
    if text:
        shell.out.print(shell.plain(text))


def _tell_results(results: Sequence[PushResult]) -> None:
    if not results:
        return
    counts = Counter(one.outcome.value for one in results)
    _say(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    open_ = [one for one in results if not one.outcome.is_done]
    rows = [
        (one.outcome.value, shell.plain(one.about or one.key), shell.plain(one.reason), shell.plain(one.mend))
        for one in open_
    ]
    if rows:
        shell.table(("", "About", "Why", "Mend"), rows[:SHOWN])
    if len(rows) > SHOWN:
        _say(f"(and {len(rows) - SHOWN} more: --json has all)")


def _tell_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        told = {"changes": [asdict(one) for one in plan.changes], "unchanged": plan.unchanged}
        click.echo(json.dumps(told | {"problems": [asdict(one) for one in plan.problems]}))
        return
    rows = [
        (
            shell.plain(one.about or one.key),
            f"{one.object}.{one.field}",
            shell.plain(_shown(one.now)),
            shell.plain(_shown(one.then)),
        )
        for one in plan.changes
    ]
    _tell_results(plan.problems)
    if rows:
        shell.table(("About", "Field", "Now", "Then"), rows)
    records = len({(one.object, one.key) for one in plan.changes})
    _say(f"A push would change {len(rows)} fields of {records} records; {plan.unchanged} stay as they are.")


def _shown(value: object, limit: int = 80) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
