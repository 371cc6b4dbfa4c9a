"""The `hub` command. Every command takes --json; every error is a sentence that says how to mend it.

Exit codes: 0 done · 1 done, and something needs attention · 2 wrong usage · 3 configuration · 4 not found ·
5 not available now (database, vendor).
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import click

from hub import __version__, cli_agree, cli_crm, cli_stream, cli_usage, shell
from hub.errors import ConfigurationError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hub")
@click.option("--config", type=click.Path(dir_okay=False), help="hub.toml to use (default: $HUB_CONFIG or ./hub.toml).")
def main(config: str | None) -> None:
    """The licensing hub: sales become licenses, and every license can say why."""
    from hub.log import configure  # noqa: PLC0415

    configure("hub")  # to stderr: standard output is for answers
    if config:
        os.environ["HUB_CONFIG"] = config


# -- setting up


@shell.command(main)
@click.option("--folder", default=".", type=click.Path(file_okay=False, path_type=Path), show_default=True)
def init(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Write hub.toml and the hub's secret."""
    target, secret = folder / "hub.toml", folder / "hub.secret"
    if target.exists():
        raise ConfigurationError("there is one already", where=str(target), mend="edit it, or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    if not secret.exists():
        fd = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
    target.write_text(resources.files("hub").joinpath("hub.toml.template").read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps({"config": str(target), "secret": str(secret)}))
        return
    shell.out.print(f"Wrote {target} and {secret}. Fill in the two connections, then run: hub check")


@main.group()
def db() -> None:
    """The record's tables."""


@shell.command(db)
def upgrade(as_json: bool) -> None:  # noqa: FBT001
    """Bring the record to this hub's version."""
    from hub.store.migrate import upgrade as run  # noqa: PLC0415

    version = run(shell.a_hub().store)
    shell.tell(as_json, {"version": version}, f"The record is at version {version}.")


@shell.command(db)
def version(as_json: bool) -> None:  # noqa: FBT001
    """Say which version the record has, and which one this hub needs."""
    from hub.store.migrate import HEAD, current  # noqa: PLC0415

    has = current(shell.a_hub().store)
    shell.tell(as_json, {"has": has, "needs": HEAD}, f"The record has version {has or 'none'}, this hub needs {HEAD}.")
    if has != HEAD:
        sys.exit(shell.NEEDS_ATTENTION)


@main.group()
def users() -> None:
    """Who may log in to the console."""


@shell.command(users)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add(name: str, password_stdin: bool, as_json: bool) -> None:  # noqa: FBT001
    """Add a user; the password is asked for."""
    from hub import users as accounts  # noqa: PLC0415

    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    accounts.add_user(shell.ready_hub().store, name, password, by=shell.who())
    shell.tell(as_json, {"added": name}, f"{name} may log in now.")


@shell.command(users)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def password(name: str, password_stdin: bool, as_json: bool) -> None:  # noqa: FBT001
    """Set another password; ends the user's sessions."""
    from hub import users as accounts  # noqa: PLC0415

    new = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    accounts.set_password(shell.ready_hub().store, name, new, by=shell.who())
    shell.tell(as_json, {"changed": name}, f"{name} has a new password.")


@shell.command(users)
@click.argument("name")
def disable(name: str, as_json: bool) -> None:  # noqa: FBT001
    """Let a user log in no more."""
    from hub import users as accounts  # noqa: PLC0415

    accounts.disable_user(shell.ready_hub().store, name, by=shell.who())
    shell.tell(as_json, {"disabled": name}, f"{name} may not log in any more.")


@shell.command(users, "list")
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the users."""
    from hub import users as accounts  # noqa: PLC0415

    found = [one.name for one in accounts.list_users(shell.ready_hub().store)]
    shell.tell(as_json, {"users": found}, "\n".join(found) or "No users yet: hub users add NAME")


def _ask_password() -> str:
    return str(click.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True))


# -- processes


@shell.command(main)
@click.option("--observe", is_flag=True, help="Real keys, reads only: list what the hub would do, and end.")
def up(observe: bool, as_json: bool) -> None:  # noqa: FBT001
    """Run everything: embedded Redis, receiver and console, worker, clock."""
    from hub import observing, runtime, wiring  # noqa: PLC0415
    from hub.log import configure  # noqa: PLC0415
    from hub.store.migrate import upgrade as run  # noqa: PLC0415

    if observe:
        rows = observing.observe()
        shell.tell_rows(as_json, rows, ("subject", "would do"), "The hub would change nothing.")
        return
    configure("up")
    hub = shell.a_hub()
    run(hub.store)
    wiring.start(hub)
    wiring.check_vendors(hub.settings, starting=True)
    processes = runtime.hub_processes(hub, lambda words: main(list(words), prog_name="hub"))
    if not as_json:
        host, port = hub.settings.hub.host, hub.settings.hub.port
        shell.out.print(f"Console: [bold]http://{host}:{port}/[/]  (Ctrl-C ends it)")
    hub.store.close()
    runtime.import_what_is_shared()
    runtime.supervise(processes)


@shell.command(main)
def web(as_json: bool) -> None:  # noqa: ARG001, FBT001
    """Run the receiver and the console."""
    from hub import serve, wiring  # noqa: PLC0415

    hub = shell.a_hub()
    wiring.start(hub)
    hub.store.close()
    serve.serve(hub.settings)


@shell.command(main)
@click.argument("kind", default="all")
def worker(kind: str, as_json: bool) -> None:  # noqa: ARG001, FBT001
    """Run a worker (on RQ; without Redis it looks for work each second)."""
    from hub import jobs, wiring, working  # noqa: PLC0415
    from hub.log import configure  # noqa: PLC0415

    if kind not in ("all", *jobs.KINDS):
        raise click.BadParameter(f"{kind!r} is no kind of work; known: {', '.join(jobs.KINDS)}", param_hint="KIND")
    configure("worker")
    hub = jobs.the_hub()
    wiring.start(hub)
    wiring.check_vendors(hub.settings)
    hub.bell.tell_if_none()
    hub.store.close()
    working.work(hub, jobs.KINDS if kind == "all" else (kind,))


@shell.command(main)
def clock(as_json: bool) -> None:  # noqa: ARG001, FBT001
    """Run the clock: ticks and sweeps."""
    from hub import clock as ticking  # noqa: PLC0415
    from hub import wiring  # noqa: PLC0415
    from hub.log import configure  # noqa: PLC0415

    configure("clock")
    hub = shell.a_hub()
    wiring.start(hub)
    hub.bell.tell_if_none()
    ticking.tick_for_ever(hub)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def sandbox(words: Sequence[str]) -> None:
    """Run emulated vendors on this machine, in a process of their own (`hub sandbox --help`)."""
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *words])  # noqa: S606  (our own module)


# -- questions


@shell.command(main)
def check(as_json: bool) -> None:  # noqa: FBT001
    """Test configuration, credentials, versions and catalog coverage; say how to mend each finding."""
    from hub import checking  # noqa: PLC0415

    findings = checking.check(shell.a_hub())
    shell.tell_findings(as_json, findings)
    if any(one.level == "error" for one in findings):
        sys.exit(shell.NEEDS_ATTENTION)


@shell.command(main)
@click.argument("connection")
def connect(connection: str, as_json: bool) -> None:  # noqa: FBT001
    """Make CONNECTION's vendor send its webhooks to public_url, or say what to paste there."""
    from hub import connecting  # noqa: PLC0415

    hub = shell.ready_hub()
    try:
        findings = connecting.connect(hub, connection)
    except LookupError:
        known = ", ".join(name for name, one in hub.connectors.items() if one.webhooks)
        shell.fail(shell.NOT_FOUND, f"no connection {connection!r} takes webhooks; there are: {known}")
    shell.tell_findings(as_json, findings)
    if any(one.level != "ok" for one in findings):
        sys.exit(shell.NEEDS_ATTENTION)


@shell.command(main)
@click.argument("subject", required=False)
@click.option("--dead", is_flag=True, help="Look at everything that the hub has given up on, behind live work.")
@click.option("--yes", is_flag=True, help="With --dead: do not ask whether so many are meant.")
@click.option("--no-wait", is_flag=True, help="With --dead: end once they are due; workers look at them.")
@click.option("--dry-run", is_flag=True, help="Say what a look would do (with --dead: how many); change nothing.")
def look(*, subject: str | None, dead: bool, yes: bool, no_wait: bool, dry_run: bool, as_json: bool) -> None:
    """Look at SUBJECT now (stripe/subscription/sub_1, or just sub_1). Revives a dead one."""
    from hub import asking  # noqa: PLC0415

    if dead == bool(subject):
        raise click.UsageError("name one SUBJECT, or say --dead for everything that the hub has given up on")
    if dead and as_json and not (yes or dry_run):
        raise click.UsageError("--dead asks whether so many are meant: with --json say --yes, or --dry-run")
    if subject is None:
        _look_at_the_dead(yes=yes, no_wait=no_wait, dry_run=dry_run, as_json=as_json)
        return
    hub = shell.ready_hub(observe=dry_run)
    told = asking.look(hub, subject, shell.who())
    if told is None:
        shell.fail(shell.NOT_FOUND, f"no subject is called {subject!r}; give its whole name: connection/kind/id")
    shell.tell(as_json, told, f"{told['subject']}: {told['result']} — {told['reason']}")
    if told["result"] in {"failed", "refused", "parked", "held"}:
        sys.exit(shell.NEEDS_ATTENTION)


def _look_at_the_dead(*, yes: bool, no_wait: bool, dry_run: bool, as_json: bool) -> None:
    """Asks whether so many are meant, makes them due in batches, and tells how far their looks have come."""
    from hub import approvals, asking  # noqa: PLC0415

    hub = shell.ready_hub()
    count, until = asking.dead(hub.store)
    if dry_run or not count:
        shell.tell(as_json, {"dead": count, "due": 0}, f"{_subjects(count)} dead." if count else "Nothing is dead.")
        return
    if not yes:
        click.confirm(f"{_subjects(count)} dead. Look at all of them again?", abort=True)
    refs: list[str] = []
    for batch in approvals.ask_for_the_dead(hub.store, until, shell.who(), "command line"):
        refs += batch
        shell.err.print(f"{len(refs):,} of {count:,} are due")
        hub.bell.ring()
    if no_wait:
        shell.tell(as_json, {"dead": count, "due": len(refs)}, f"{len(refs):,} are due; workers look at them.")
        return
    _tell_how_far(hub.store, refs, count, as_json=as_json)


def _tell_how_far(store: Any, refs: list[str], count: int, *, as_json: bool) -> None:  # noqa: ANN401
    from hub import asking  # noqa: PLC0415

    try:
        for left in asking.follow(store):
            shell.err.print(f"{left:,} still to be looked at")
    except TimeoutError as error:
        shell.fail(shell.NEEDS_ATTENTION, f"{error}; they stay due: is a `hub worker` running?")
    came_to = asking.came_to(store, refs)
    others = [
        f"{number:,} {'to be tried again' if state == 'due' else state}" for state, number in came_to.others.items()
    ]
    told = {"dead": count, "due": len(refs), "settled": came_to.settled, **came_to.others}
    shell.tell(as_json, told, f"{len(refs):,} looked at: {', '.join([f'{came_to.settled:,} settled', *others])}.")
    if others:
        sys.exit(shell.NEEDS_ATTENTION)


def _subjects(count: int) -> str:
    return "1 subject is" if count == 1 else f"{count:,} subjects are"


class _Moment(click.DateTime):
    """A moment in UTC, epoch seconds; of a day its end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        from hub.asof import end_of  # noqa: PLC0415

        moment = super().convert(value, param, ctx)
        try:
            return end_of(moment) if len(str(value)) == len("2026-06-29") else moment.replace(tzinfo=UTC).timestamp()
        except (OverflowError, ValueError):
            self.fail(f"{value!r} is too far away", param, ctx)


@shell.command(main)
@click.argument("entitlement")
@click.option("--at", type=_Moment(shell.TIMES), help="As it was then (UTC); of a day, at its end.")
def why(entitlement: str, at: float | None, as_json: bool) -> None:  # noqa: FBT001
    """Say for every field of ENTITLEMENT why it is so (an id, order reference, activation code or subject)."""
    from hub import explain  # noqa: PLC0415
    from hub.explain_text import print_explanation  # noqa: PLC0415

    store = shell.ready_hub().store
    found = explain.why(store, entitlement, at)
    if found is None and at is not None and explain.why(store, entitlement):
        shell.fail(shell.NOT_FOUND, f"{entitlement} had not been made yet then")
    if found is None:
        shell.fail(
            shell.NOT_FOUND, f"no entitlement is known as {entitlement!r}; the console's Entitlements page lists all"
        )
    if as_json:
        click.echo(json.dumps(explain.as_json(found)))
        return
    print_explanation(shell.out, found)


@shell.command(main)
@click.argument("subject", required=False)
@click.option("--all", "all_", is_flag=True, help="Approve everything that waits.")
@click.option("--refuse", is_flag=True, help="It is not done: SUBJECT is held until it is released.")
@click.option("--why", default="", help="Of --refuse: the reason, which people are shown.")
def approve(subject: str | None, *, all_: bool, refuse: bool, why: str, as_json: bool) -> None:
    """Let what the guard holds back go, or refuse it; without SUBJECT, list what waits."""
    from hub import asking  # noqa: PLC0415

    if refuse and (all_ or subject is None):
        raise click.UsageError("say whose acts are refused: hub approve SUBJECT --refuse")
    if why and not refuse:
        raise click.UsageError("--why belongs to --refuse")
    hub = shell.ready_hub()
    waiting = asking.waiting_for_approval(hub.store)
    if subject is None and not all_:
        shell.tell_rows(as_json, waiting, ("subject", "acts"), "Nothing waits for approval.")
        return
    wanted = [row["subject"] for row in waiting] if all_ else asking.subjects_called(hub.store, subject or "")
    done = asking.refuse(hub, wanted, why, shell.who()) if refuse else asking.approve(hub, wanted, shell.who())
    if not done and not all_:
        shell.fail(shell.NOT_FOUND, f"nothing of {subject!r} waits for approval; `hub approve` lists what does")
    word = "refused" if refuse else "approved"
    shell.tell(as_json, {word: done}, "\n".join(f"{word}: {one}" for one in done) or "Nothing waited.")


@shell.command(main)
@click.option("--id", "ids", multiple=True, help="A vendor's event id, or a receipt's number. May be repeated.")
@click.option("--since", type=click.DateTime(shell.TIMES), help="Received at or after this time (UTC).")
@click.option("--until", type=click.DateTime(shell.TIMES), help="Received before this time (UTC).")
@click.option("--type", "types", multiple=True, help="The vendor's event type; `invoice.*` names a family.")
@click.option("--subject", help="Of this subject (connection/kind/id, or just its id).")
@click.option("--connection", help="Of this connection.")
@click.option("--apply", "apply_", is_flag=True, help="Do it; without this, only say what it would come to.")
def replay(*, apply_: bool, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Look again at what stored events are about; at most 1,000 events a time, behind live work."""
    from hub import replay as replays  # noqa: PLC0415

    if not any(wanted.values()):
        raise click.UsageError("say which events: --id, --since, --until, --type, --subject or --connection")
    hub = shell.ready_hub(observe=True)
    which = _wanted(**wanted | {"subject": _subject(hub, wanted["subject"])})
    selection = replays.select(hub.store, which)
    if not selection.receipts:
        shell.fail(
            shell.NOT_FOUND, f"no accepted event fits ({selection.left_out} that fit were not accepted when they came)"
        )
    would = [] if apply_ else replays.preview(hub.shop, selection.subjects)
    if apply_:
        replays.apply(hub.store, which, selection, shell.who(), "command line")
        hub.bell.ring()
    _tell_replay(selection, would, apply_=apply_, as_json=as_json)


def _wanted(since: datetime | None, until: datetime | None, **rest: Any) -> Any:  # noqa: ANN401  (imported late)
    from hub.store.replays import Wanted  # noqa: PLC0415

    return Wanted(since=shell.seconds(since), until=shell.seconds(until), **rest)


def _subject(hub: Any, words: str | None) -> str | None:  # noqa: ANN401
    """The whole name of a subject that is known by its last part."""
    from hub.asking import subjects_called  # noqa: PLC0415

    found = subjects_called(hub.store, words) if words else []
    return found[0] if len(found) == 1 else words


def _tell_replay(selection: Any, would: Sequence[Any], *, apply_: bool, as_json: bool) -> None:  # noqa: ANN401
    goes_on = datetime.fromtimestamp(selection.goes_on - 1e-6, UTC).isoformat() if selection.goes_on else None
    rows = [{"subject": one.subject, "would": one.would} for one in would]
    if as_json:
        told = {"matching": selection.matching, "receipts": selection.receipts, "left_out": selection.left_out}
        told |= {"subjects": len(selection.subjects), "goes_on": goes_on, "applied": apply_, "would": rows}
        click.echo(json.dumps(told))
        return
    done = "are due now, behind live work" if apply_ else "would be looked at; add --apply to do it"
    shell.out.print(
        shell.plain(f"{selection.receipts} of {selection.matching} events, {len(selection.subjects)} subjects {done}.")
    )
    if goes_on:
        shell.out.print(
            shell.plain(f"The oldest are taken first. For the rest: --since {goes_on.removesuffix('+00:00')}")
        )
    if rows:
        shell.tell_rows(as_json, rows, ("subject", "would"), "")
    if len(rows) < len(selection.subjects) and not apply_:
        shell.out.print(
            f"(the first {len(rows)} of {len(selection.subjects)} subjects; looking costs the vendors requests)"
        )


# -- seat use


@main.group()
def usage() -> None:
    """Seat use: what is known of it, how it is collected, and what it says about renewals."""


for name_, function in cli_usage.COMMANDS.items():
    shell.command(usage, name_)(function)


@shell.command(main, "portal-link")
@click.argument("customer")
@click.option("--days", type=click.IntRange(1, 400), default=90, show_default=True, help="How long the link works.")
@click.option("--revoke", is_flag=True, help="Make every link of CUSTOMER so far void, and make no new one.")
def portal_link(customer: str, days: int, revoke: bool, as_json: bool) -> None:  # noqa: FBT001
    """Make a link to CUSTOMER's own page of seat use; whoever has it can see the page. CUSTOMER is an account's id."""
    from hub import portal, showing  # noqa: PLC0415

    hub = shell.ready_hub()
    if revoke:
        version = portal.revoke(hub.store, customer, shell.who())
        shell.tell(
            as_json, {"customer": customer, "version": version}, f"No link of {customer} made until now works any more."
        )
        return
    made = showing.link(hub, customer, days, shell.who())
    if made is None:
        shell.fail(
            shell.NOT_FOUND, f"no seat use of {customer!r} was judged; the console's Renewals page lists the accounts"
        )
    shell.tell(as_json, {"url": made.url, "until": made.until}, f"{made.url}\nworks until {made.until}")


@shell.command(usage)
@click.option("--folder", default="digest", type=click.Path(file_okay=False, path_type=Path), show_default=True)
def digest(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Write the digest of renewals for mail: digest.eml, digest.html and its pictures."""
    from hub.showing import write_digest  # noqa: PLC0415

    files = [str(path) for path in write_digest(shell.ready_hub(), folder)]
    if not files:
        shell.fail(shell.NOT_FOUND, "nothing that renews in 180 days was judged yet, so there is nothing to send")
    shell.tell(as_json, {"files": files}, "\n".join(files))


# -- the stream, consumers, programs


for _group in cli_stream.GROUPS:
    main.add_command(_group)


# -- agreement


for _name, _function in cli_agree.COMMANDS.items():
    shell.command(main, _name)(_function)


# -- the CRM


for _kind, _called in cli_crm.KINDS.items():
    _crm = click.Group(_kind, help=cli_crm.HELP.format(_called))
    main.add_command(_crm)
    for _name, _function in cli_crm.COMMANDS.items():
        shell.command(_crm, _name)(_function)
