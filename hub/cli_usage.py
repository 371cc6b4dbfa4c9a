"""`hub usage`: what is known of seats in use, how it is collected, and histories that come from files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub import shell

if TYPE_CHECKING:
    from hub.collecting.importing import Imported
    from hub.collecting.status import Status
    from hub.usage.months import Month

SHOWN = 20  # bad rows that are printed one by one
WHAT = {
    "differing": "entitlements whose vendor tells another number than their sessions; the larger one counts",
    "ahead": "events dated ahead; each counts once its time is reached",
    "too_late": "events that came after their days were final",
    "without_customer": "entitlements without a customer; each is an account of its own",
    "forgotten": "entitlements of deleted customers",
    "to_be_judged": "entitlements with news to be judged",
}


@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--entitlement", required=True, help="Whose use it is: an entitlement's id.")
@click.option("--format", "format_", default="csv", show_default=True, help="csv, report-log, or the licensing kind.")
@click.option("--feature", default="", help="Which of several features, products or sites in the file.")
@click.option("--column", "columns", multiple=True, help="ours=theirs, such as peak=in_use_max. May be repeated.")
@click.option("--timezone", help="Of times that name no offset; without it the account's own.")
def import_(*, file: Path, entitlement: str, format_: str, as_json: bool, **options: Any) -> None:  # noqa: ANN401
    """Import a history from FILE: days or events as CSV, the vendor's export, or a license server's log."""
    from rich.progress import Progress  # noqa: PLC0415

    from hub.collecting.importing import import_file  # noqa: PLC0415

    hub = shell.ready_hub()
    how = _format(format_, hub.licensing.kind)
    given = {
        "feature": options["feature"],
        "columns": _columns(options["columns"]),
        "local": _zone(options["timezone"]),
    }
    with Progress(console=shell.err, transient=True, disable=as_json or not shell.err.is_terminal) as bar:
        task = bar.add_task(f"reading {file.name}", total=file.stat().st_size)
        try:
            done = import_file(
                hub.collector, file, how, entitlement, told=lambda read: bar.update(task, completed=read), **given
            )
        except LookupError:
            shell.fail(
                shell.NOT_FOUND,
                f"no entitlement is known as {entitlement!r}; the console's Entitlements page lists all",
            )
    _tell_import(done, as_json=as_json)
    if done.bad:
        sys.exit(shell.NEEDS_ATTENTION)


def _format(name: str, licensing_kind: str) -> Any:  # noqa: ANN401  (a Format, imported late)
    from hub.usage.files import Format  # noqa: PLC0415

    known = {"csv": Format.CSV, "report-log": Format.REPORT_LOG, licensing_kind: Format.EXPORT}
    if name not in known:
        raise click.BadParameter(f"{name!r} is no format; known: {', '.join(known)}", param_hint="--format")
    return known[name]


def _columns(given: tuple[str, ...]) -> Mapping[str, str]:
    for one in given:
        if "=" not in one:
            raise click.BadParameter(f"{one!r} maps nothing; write it as peak=in_use_max", param_hint="--column")
    return dict(one.split("=", 1) for one in given)


def _zone(name: str | None) -> Any:  # noqa: ANN401  (a tzinfo or None)
    from hub.settings import zone_of  # noqa: PLC0415

    try:
        return zone_of(name) if name else None
    except (LookupError, ValueError, OSError):
        raise click.BadParameter(
            f"{name!r} is no time zone; write it as Europe/Berlin", param_hint="--timezone"
        ) from None


def _tell_import(done: Imported, *, as_json: bool) -> None:
    if as_json:
        told = {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(done).items()}
        click.echo(json.dumps(told))
        return
    span = f", {done.first} to {done.last}" if done.first else ""
    shell.out.print(
        shell.plain(f"{done.days} days{span}: {done.changed} are new or say something else, the others were so.")
    )
    if done.kept:
        shell.out.print(f"{done.kept} of them the hub watched itself; what it saw stands.")
    if done.unknown:
        shell.out.print(f"{done.unknown} of them are not known, by the file itself.")
    for bad in done.bad[:SHOWN]:
        shell.err.print(shell.plain(f"line {bad.line}: {bad.problem} — {bad.mend}"))
    if done.bad:
        more = f" (the first {SHOWN} are told)" if len(done.bad) > SHOWN else ""
        shell.err.print(f"{len(done.bad)} lines were left out{more}. Mend them and import the file again.")


def status(*, as_json: bool) -> None:
    """Say whether seat use is collected: proof of life, interval, known days, logs to be read, problems."""
    from hub.collecting.status import status as ask  # noqa: PLC0415

    hub = shell.ready_hub()
    found = ask(hub.collector, hub.settings.timing.poll)
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        _tell_status(found)
    if found.needs_attention:
        sys.exit(shell.NEEDS_ATTENTION)


def _tell_status(found: Status) -> None:
    proof = f"{found.watched_at:%d %b %Y %H:%M} UTC" if found.watched_at else "never; run `hub clock` or `hub up`"
    shell.out.print(f"Last proof of life of {found.connection}: {proof}")
    share = f"list and log take at most {found.share:.0%} of the rate"
    if found.list_rows is not None:
        shell.out.print(f"Last list: {found.list_rows:,} entitlements in {_span(found.list_took_s or 0)}.")
    shell.out.print(f"A list every {_span(found.interval_s)}; {share}.")
    shell.out.print(f"Days of the last 30 days: {found.known_days:,} known, {found.unknown_days:,} unknown.")
    wanted = ", ".join(f"{count:,} {why}" for why, count in sorted(found.logs.items()))
    shell.out.print(f"Logs to be read: {wanted or 'none'}.")
    for name, text in WHAT.items():
        if found.tallies[name]:
            shell.out.print(f"{found.tallies[name]:,} {text}.")
    for id_, problem in found.problems:
        shell.err.print(shell.plain(f"{id_}: its log could not be read: {problem}"))


def _span(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004


@click.argument("entitlement")
@click.option("--days", is_flag=True, help="Every day instead of months.")
def show(*, entitlement: str, days: bool, as_json: bool) -> None:
    """Show what is known of ENTITLEMENT's use, month by month."""
    from hub.collecting.collector import places  # noqa: PLC0415
    from hub.store import seats, signals  # noqa: PLC0415
    from hub.usage.months import months  # noqa: PLC0415

    hub = shell.ready_hub()
    with hub.store.read() as conn:
        rows = list(seats.days_of(conn, [entitlement], date(1970, 1, 1), date(9999, 12, 31)).values())
        signal = signals.signal_of(conn, entitlement)
        country = places(conn, hub.settings.usage, [entitlement])[entitlement].account.country
    if not rows:
        shell.fail(
            shell.NOT_FOUND,
            f"nothing is known of the use of {entitlement!r}; `hub usage status` says how collecting goes",
        )
    found = months(rows, country)
    if as_json:
        click.echo(json.dumps(_as_json(rows, found, signal, days=days)))
        return
    if signal:
        shell.out.print(f"[bold]{signal['signal']}[/] since {signal['since']}, confidence {signal['confidence']}")
    if days:
        shell.table(DAY_COLUMNS, [_day_cells(one) for one in sorted(rows, key=lambda row: row.day)])
    else:
        shell.table(MONTH_COLUMNS, [_month_cells(one) for one in found])


def _as_json(rows: list[Any], found: list[Month], signal: Any, *, days: bool) -> dict[str, Any]:  # noqa: ANN401
    from hub.usage.seatdays import few  # noqa: PLC0415

    told = [{**asdict(one), "month": one.name, "users": few(one.users)} for one in found]
    data: dict[str, Any] = {"signal": signal, "months": told}
    if days:
        ordered = sorted(rows, key=lambda row: row.day)
        data["days"] = [{**asdict(one), "day": one.day.isoformat(), "users": few(one.users)} for one in ordered]
    return data


MONTH_COLUMNS = ("Month", "Known", "Seats", "Limit", "Peak", "Over", "Pinned", "Denied", "Users", "Seat hours")
DAY_COLUMNS = ("Day", "Peak", "By sessions", "By vendor", "Seats", "Limit", "Denied", "Users", "Seat hours", "From")


def _month_cells(one: Month) -> list[str]:
    from hub.usage.seatdays import few  # noqa: PLC0415

    over = f"{one.over} d, up to {one.over_most}" if one.over else ""
    known = [_cell(one.peak), over, str(one.pinned or ""), str(one.denials or "")]
    limit = "none" if one.seats is not None and one.cap is None else _cell(one.cap)
    hours = f"{one.seat_hours:,.1f}" if one.known else "?"
    return [one.name, f"{one.known}/{one.days}", _cell(one.seats), limit, *known, few(one.users), hours]


def _day_cells(one: Any) -> list[str]:  # noqa: ANN401  (a SeatDay)
    from hub.usage.seatdays import few  # noqa: PLC0415

    limit = "none" if one.seats is not None and one.cap is None else _cell(one.cap)
    counted = [_cell(one.peak), _cell(one.by_sessions, ""), _cell(one.by_vendor, ""), _cell(one.seats), limit]
    rest = [_cell(one.denials), few(one.users), "" if one.seat_hours is None else f"{one.seat_hours:.1f}"]
    return [f"{one.day}" + ("" if one.closed else " …"), *counted, *rest, one.source]


def _cell(value: int | None, none: str = "?") -> str:
    return none if value is None else f"{value:,}"


@click.argument("customer")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(*, customer: str, yes: bool, as_json: bool) -> None:
    """Delete what is kept of CUSTOMER's use (its id, or one of its references), for good."""
    from hub.collecting.closing import forget as run  # noqa: PLC0415
    from hub.store import records  # noqa: PLC0415

    hub = shell.ready_hub()
    if not yes:
        click.confirm(f"Delete all seat use of {customer}? It can't be brought back.", abort=True)

    def unit(conn: Any) -> tuple[int, int]:  # noqa: ANN401  (a connection)
        done = run(conn, customer)
        if done[0]:
            records.audit(
                conn, shell.who(), "command line", "forget usage", customer, {"entitlements": done[0], "days": done[1]}
            )
        return done

    entitlements, days = hub.store.write(unit)
    if not entitlements:
        shell.fail(shell.NOT_FOUND, f"no entitlement of {customer!r} is known")
    told = {"entitlements": entitlements, "days": days}
    shell.tell(
        as_json, told, f"{days} days of {entitlements} entitlements are deleted; no use of theirs is kept any more."
    )


COMMANDS: Mapping[str, Callable[..., None]] = {"import": import_, "status": status, "show": show, "forget": forget}
