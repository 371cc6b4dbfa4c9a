"""The `hub` command. Every command takes --json; every error is a sentence that says how to mend it.

Exit codes: 0 done · 1 done, and something needs attention · 2 wrong usage · 3 configuration · 4 not found ·
5 not available now (database, vendor).
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from hub import __version__, cli_agree, cli_crm, cli_usage
from hub.errors import ConfigurationError, HubError, PermanentError

P = ParamSpec("P")
T = TypeVar("T")
NEEDS_ATTENTION, CONFIGURATION, NOT_FOUND, NOT_AVAILABLE = 1, 3, 4, 5
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"]
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def _errors_as_sentences(command: Callable[P, T]) -> Callable[P, T]:
    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            _fail(CONFIGURATION, str(error))
        except PermanentError as error:
            _fail(NEEDS_ATTENTION, f"{error}" + (f" — {error.hint}" if error.hint else ""))
        except HubError as error:
            _fail(NOT_AVAILABLE, str(error))

    return wrapped


def _fail(code: int, message: str) -> NoReturn:
    if click.get_current_context().params.get("as_json"):
        click.echo(json.dumps({"error": message, "exit_code": code}))
    else:
        err.print(f"[red bold]hub:[/] {_plain(message)}")
    sys.exit(code)


def _plain(text: str) -> str:
    from rich.markup import escape  # noqa: PLC0415

    return escape(text)


def _command(group: click.Group, name: str | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """A command with --json and --config, whose errors are sentences."""

    def make(function: Callable[..., None]) -> click.Command:
        wrapped = _errors_as_sentences(function)
        # A list of its own: one function may be the command of several groups, and click adds to what it finds.
        wrapped.__dict__["__click_params__"] = [*getattr(function, "__click_params__", ())]
        decorated = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(wrapped)
        return group.command(name or function.__name__)(decorated)

    return make


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hub")
@click.option("--config", type=click.Path(dir_okay=False), help="hub.toml to use (default: $HUB_CONFIG or ./hub.toml).")
def main(config: str | None) -> None:
    """The licensing hub: sales become licenses, and every license can say why."""
    from hub.log import configure  # noqa: PLC0415

    configure("hub")  # to stderr: standard output is for answers
    if config:
        os.environ["HUB_CONFIG"] = config


def _hub(**options: Any) -> Any:  # noqa: ANN401  (wiring.Hub, imported late: `hub init` needs none of it)
    from hub import settings, wiring  # noqa: PLC0415

    hub = wiring.build(settings.load(), **options)
    click.get_current_context().call_on_close(hub.store.close)  # else its connections are left to the collector
    return hub


def _ready_hub(**options: Any) -> Any:  # noqa: ANN401
    """A hub whose record is there and of this version."""
    from hub.store.migrate import check_version  # noqa: PLC0415

    hub = _hub(**options)
    check_version(hub.store)
    return hub


# -- setting up


@_command(main)
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
    out.print(f"Wrote {target} and {secret}. Fill in the two connections, then run: hub check")


@main.group()
def db() -> None:
    """The record's tables."""


@_command(db)
def upgrade(as_json: bool) -> None:  # noqa: FBT001
    """Bring the record to this hub's version."""
    from hub.store.migrate import upgrade as run  # noqa: PLC0415

    version = run(_hub().store)
    _tell(as_json, {"version": version}, f"The record is at version {version}.")


@_command(db)
def version(as_json: bool) -> None:  # noqa: FBT001
    """Say which version the record has, and which one this hub needs."""
    from hub.store.migrate import HEAD, current  # noqa: PLC0415

    has = current(_hub().store)
    _tell(as_json, {"has": has, "needs": HEAD}, f"The record has version {has or 'none'}, this hub needs {HEAD}.")
    if has != HEAD:
        sys.exit(NEEDS_ATTENTION)


@main.group()
def users() -> None:
    """Who may log in to the console."""


@_command(users)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add(name: str, password_stdin: bool, as_json: bool) -> None:  # noqa: FBT001
    """Add a user; the password is asked for."""
    from hub import users as accounts  # noqa: PLC0415

    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    accounts.add_user(_ready_hub().store, name, password, by=_who())
    _tell(as_json, {"added": name}, f"{name} may log in now.")


@_command(users)
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def password(name: str, password_stdin: bool, as_json: bool) -> None:  # noqa: FBT001
    """Set another password; ends the user's sessions."""
    from hub import users as accounts  # noqa: PLC0415

    new = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    accounts.set_password(_ready_hub().store, name, new, by=_who())
    _tell(as_json, {"changed": name}, f"{name} has a new password.")


@_command(users)
@click.argument("name")
def disable(name: str, as_json: bool) -> None:  # noqa: FBT001
    """Let a user log in no more."""
    from hub import users as accounts  # noqa: PLC0415

    accounts.disable_user(_ready_hub().store, name, by=_who())
    _tell(as_json, {"disabled": name}, f"{name} may not log in any more.")


@_command(users, "list")
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the users."""
    from hub import users as accounts  # noqa: PLC0415

    found = [one.name for one in accounts.list_users(_ready_hub().store)]
    _tell(as_json, {"users": found}, "\n".join(found) or "No users yet: hub users add NAME")


def _ask_password() -> str:
    return str(click.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True))


# -- processes


@_command(main)
@click.option("--observe", is_flag=True, help="Real keys, reads only: list what the hub would do, and end.")
def up(observe: bool, as_json: bool) -> None:  # noqa: FBT001
    """Run everything: embedded Redis, receiver and console, worker, clock."""
    from hub import observing, runtime, wiring  # noqa: PLC0415
    from hub.log import configure  # noqa: PLC0415
    from hub.store.migrate import upgrade as run  # noqa: PLC0415

    if observe:
        rows = observing.observe()
        _tell_rows(as_json, rows, ("subject", "would do"), "The hub would change nothing.")
        return
    configure("up")
    hub = _hub()
    run(hub.store)
    wiring.start(hub)
    wiring.check_vendors(hub.settings)
    processes = runtime.hub_processes(hub)
    if not as_json:
        host, port = hub.settings.hub.host, hub.settings.hub.port
        out.print(f"Console: [bold]http://{host}:{port}/[/]  (Ctrl-C ends it)")
    hub.store.close()
    runtime.supervise(processes)


@_command(main)
def web(as_json: bool) -> None:  # noqa: ARG001, FBT001
    """Run the receiver and the console."""
    from hub import serve, wiring  # noqa: PLC0415

    hub = _hub()
    wiring.start(hub)
    hub.store.close()
    serve.serve(hub.settings)


@_command(main)
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


@_command(main)
def clock(as_json: bool) -> None:  # noqa: ARG001, FBT001
    """Run the clock: ticks and sweeps."""
    from hub import runtime, wiring  # noqa: PLC0415
    from hub.log import configure  # noqa: PLC0415

    configure("clock")
    hub = _hub()
    wiring.start(hub)
    hub.bell.tell_if_none()
    runtime.tick_for_ever(hub)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def sandbox(words: Sequence[str]) -> None:
    """Run emulated vendors on this machine, in a process of their own (`hub sandbox --help`)."""
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *words])  # noqa: S606  (our own module)


# -- questions


@_command(main)
def check(as_json: bool) -> None:  # noqa: FBT001
    """Test configuration, credentials, versions and catalog coverage; say how to mend each finding."""
    from hub import checking  # noqa: PLC0415

    findings = checking.check(_hub())
    _tell_findings(as_json, findings)
    if any(one.level == "error" for one in findings):
        sys.exit(NEEDS_ATTENTION)


@_command(main)
@click.argument("connection")
def connect(connection: str, as_json: bool) -> None:  # noqa: FBT001
    """Make CONNECTION's vendor send its webhooks to public_url, or say what to paste there."""
    from hub import connecting  # noqa: PLC0415

    hub = _ready_hub()
    try:
        findings = connecting.connect(hub, connection)
    except LookupError:
        known = ", ".join(name for name, one in hub.connectors.items() if one.webhooks)
        _fail(NOT_FOUND, f"no connection {connection!r} takes webhooks; there are: {known}")
    _tell_findings(as_json, findings)
    if any(one.level != "ok" for one in findings):
        sys.exit(NEEDS_ATTENTION)


@_command(main)
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
    hub = _ready_hub(observe=dry_run)
    told = asking.look(hub, subject, _who())
    if told is None:
        _fail(NOT_FOUND, f"no subject is called {subject!r}; give its whole name: connection/kind/id")
    _tell(as_json, told, f"{told['subject']}: {told['result']} — {told['reason']}")
    if told["result"] in {"failed", "refused", "parked", "held"}:
        sys.exit(NEEDS_ATTENTION)


def _look_at_the_dead(*, yes: bool, no_wait: bool, dry_run: bool, as_json: bool) -> None:
    """Asks whether so many are meant, makes them due in batches, and tells how far their looks have come."""
    from hub import approvals, asking  # noqa: PLC0415

    hub = _ready_hub()
    count, until = asking.dead(hub.store)
    if dry_run or not count:
        _tell(as_json, {"dead": count, "due": 0}, f"{_subjects(count)} dead." if count else "Nothing is dead.")
        return
    if not yes:
        click.confirm(f"{_subjects(count)} dead. Look at all of them again?", abort=True)
    refs: list[str] = []
    for batch in approvals.ask_for_the_dead(hub.store, until, _who(), "command line"):
        refs += batch
        err.print(f"{len(refs):,} of {count:,} are due")
        hub.bell.ring()
    if no_wait:
        _tell(as_json, {"dead": count, "due": len(refs)}, f"{len(refs):,} are due; workers look at them.")
        return
    _tell_how_far(hub.store, refs, count, as_json=as_json)


def _tell_how_far(store: Any, refs: list[str], count: int, *, as_json: bool) -> None:  # noqa: ANN401
    from hub import asking  # noqa: PLC0415

    try:
        for left in asking.follow(store):
            err.print(f"{left:,} still to be looked at")
    except TimeoutError as error:
        _fail(NEEDS_ATTENTION, f"{error}; they stay due: is a `hub worker` running?")
    came_to = asking.came_to(store, refs)
    others = [
        f"{number:,} {'to be tried again' if state == 'due' else state}" for state, number in came_to.others.items()
    ]
    told = {"dead": count, "due": len(refs), "settled": came_to.settled, **came_to.others}
    _tell(as_json, told, f"{len(refs):,} looked at: {', '.join([f'{came_to.settled:,} settled', *others])}.")
    if others:
        sys.exit(NEEDS_ATTENTION)


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


@_command(main)
@click.argument("entitlement")
@click.option("--at", type=_Moment(_TIMES), help="As it was then (UTC); of a day, at its end.")
def why(entitlement: str, at: float | None, as_json: bool) -> None:  # noqa: FBT001
    """Say for every field of ENTITLEMENT why it is so (an id, order reference, activation code or subject)."""
    from hub import explain  # noqa: PLC0415
    from hub.explain_text import print_explanation  # noqa: PLC0415

    store = _ready_hub().store
    found = explain.why(store, entitlement, at)
    if found is None and at is not None and explain.why(store, entitlement):
        _fail(NOT_FOUND, f"{entitlement} had not been made yet then")
    if found is None:
        _fail(NOT_FOUND, f"no entitlement is known as {entitlement!r}; the console's Entitlements page lists all")
    if as_json:
        click.echo(json.dumps(explain.as_json(found)))
        return
    print_explanation(out, found)


@_command(main)
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
    hub = _ready_hub()
    waiting = asking.waiting_for_approval(hub.store)
    if subject is None and not all_:
        _tell_rows(as_json, waiting, ("subject", "acts"), "Nothing waits for approval.")
        return
    wanted = [row["subject"] for row in waiting] if all_ else asking.subjects_called(hub.store, subject or "")
    done = asking.refuse(hub, wanted, why, _who()) if refuse else asking.approve(hub, wanted, _who())
    if not done and not all_:
        _fail(NOT_FOUND, f"nothing of {subject!r} waits for approval; `hub approve` lists what does")
    word = "refused" if refuse else "approved"
    _tell(as_json, {word: done}, "\n".join(f"{word}: {one}" for one in done) or "Nothing waited.")


@_command(main)
@click.option("--id", "ids", multiple=True, help="A vendor's event id, or a receipt's number. May be repeated.")
@click.option("--since", type=click.DateTime(_TIMES), help="Received at or after this time (UTC).")
@click.option("--until", type=click.DateTime(_TIMES), help="Received before this time (UTC).")
@click.option("--type", "types", multiple=True, help="The vendor's event type; `invoice.*` names a family.")
@click.option("--subject", help="Of this subject (connection/kind/id, or just its id).")
@click.option("--connection", help="Of this connection.")
@click.option("--apply", "apply_", is_flag=True, help="Do it; without this, only say what it would come to.")
def replay(*, apply_: bool, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Look again at what stored events are about; at most 1,000 events a time, behind live work."""
    from hub import replay as replays  # noqa: PLC0415

    if not any(wanted.values()):
        raise click.UsageError("say which events: --id, --since, --until, --type, --subject or --connection")
    hub = _ready_hub(observe=True)
    which = _wanted(**wanted | {"subject": _subject(hub, wanted["subject"])})
    selection = replays.select(hub.store, which)
    if not selection.receipts:
        _fail(NOT_FOUND, f"no accepted event fits ({selection.left_out} that fit were not accepted when they came)")
    would = [] if apply_ else replays.preview(hub.shop, selection.subjects)
    if apply_:
        replays.apply(hub.store, which, selection, _who(), "command line")
        hub.bell.ring()
    _tell_replay(selection, would, apply_=apply_, as_json=as_json)


def _wanted(since: datetime | None, until: datetime | None, **rest: Any) -> Any:  # noqa: ANN401  (imported late)
    from hub.store.replays import Wanted  # noqa: PLC0415

    return Wanted(since=_seconds(since), until=_seconds(until), **rest)


def _subject(hub: Any, words: str | None) -> str | None:  # noqa: ANN401
    """The whole name of a subject that is known by its last part."""
    from hub.asking import subjects_called  # noqa: PLC0415

    found = subjects_called(hub.store, words) if words else []
    return found[0] if len(found) == 1 else words


def _seconds(at: datetime | None) -> float | None:
    return at.replace(tzinfo=UTC).timestamp() if at else None


def _tell_replay(selection: Any, would: Sequence[Any], *, apply_: bool, as_json: bool) -> None:  # noqa: ANN401
    goes_on = datetime.fromtimestamp(selection.goes_on - 1e-6, UTC).isoformat() if selection.goes_on else None
    rows = [{"subject": one.subject, "would": one.would} for one in would]
    if as_json:
        told = {"matching": selection.matching, "receipts": selection.receipts, "left_out": selection.left_out}
        told |= {"subjects": len(selection.subjects), "goes_on": goes_on, "applied": apply_, "would": rows}
        click.echo(json.dumps(told))
        return
    done = "are due now, behind live work" if apply_ else "would be looked at; add --apply to do it"
    out.print(
        _plain(f"{selection.receipts} of {selection.matching} events, {len(selection.subjects)} subjects {done}.")
    )
    if goes_on:
        out.print(_plain(f"The oldest are taken first. For the rest: --since {goes_on.removesuffix('+00:00')}"))
    if rows:
        _tell_rows(as_json, rows, ("subject", "would"), "")
    if len(rows) < len(selection.subjects) and not apply_:
        out.print(f"(the first {len(rows)} of {len(selection.subjects)} subjects; looking costs the vendors requests)")


# -- seat use


@main.group()
def usage() -> None:
    """Seat use: what is known of it, how it is collected, and what it says about renewals."""


for name_, function in cli_usage.COMMANDS.items():
    _command(usage, name_)(function)


@_command(main, "portal-link")
@click.argument("customer")
@click.option("--days", type=click.IntRange(1, 400), default=90, show_default=True, help="How long the link works.")
@click.option("--revoke", is_flag=True, help="Make every link of CUSTOMER so far void, and make no new one.")
def portal_link(customer: str, days: int, revoke: bool, as_json: bool) -> None:  # noqa: FBT001
    """Make a link to CUSTOMER's own page of seat use; whoever has it can see the page. CUSTOMER is an account's id."""
    from hub import portal, showing  # noqa: PLC0415

    hub = _ready_hub()
    if revoke:
        version = portal.revoke(hub.store, customer, _who())
        _tell(
            as_json, {"customer": customer, "version": version}, f"No link of {customer} made until now works any more."
        )
        return
    made = showing.link(hub, customer, days, _who())
    if made is None:
        _fail(NOT_FOUND, f"no seat use of {customer!r} was judged; the console's Renewals page lists the accounts")
    _tell(as_json, {"url": made.url, "until": made.until}, f"{made.url}\nworks until {made.until}")


@_command(usage)
@click.option("--folder", default="digest", type=click.Path(file_okay=False, path_type=Path), show_default=True)
def digest(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Write the digest of renewals for mail: digest.eml, digest.html and its pictures."""
    from hub.showing import write_digest  # noqa: PLC0415

    files = [str(path) for path in write_digest(_ready_hub(), folder)]
    if not files:
        _fail(NOT_FOUND, "nothing that renews in 180 days was judged yet, so there is nothing to send")
    _tell(as_json, {"files": files}, "\n".join(files))


# -- the stream


@main.group()
def events() -> None:
    """The stream of events, as it is sent."""


@_command(events)
@click.option("--after", type=int, help="Only what comes after this position; without it, the newest 50.")
@click.option("--type", "types", multiple=True, help="Only this type; `entitlement.*` names a family. May be repeated.")
@click.option("--follow", is_flag=True, help="Go on with what comes.")
def tail(after: int | None, types: tuple[str, ...], follow: bool, as_json: bool) -> None:  # noqa: FBT001
    """Print the stream: with --json one object a line, as consumers get it."""
    from hub.stream.tail import tail as run  # noqa: PLC0415

    with suppress(KeyboardInterrupt):  # how people end it
        for one in run(_ready_hub().store, after, types, follow=follow):
            told = one.to_json()
            about = one.data.get("entitlement") or one.data.get("subject")
            click.echo(json.dumps(told) if as_json else f"{one.position}  {told['occurred_at']}  {one.type}  {about}")


@_command(events)
def verify(as_json: bool) -> None:  # noqa: FBT001
    """Verify the chains of the journal and the audit; name the first place where one is broken."""
    from hub.stream.tail import verify as run  # noqa: PLC0415

    found = run(_ready_hub().store)
    rows = [
        {
            "table": one.table,
            "rows": one.rows,
            "holds": one.broken is None,
            "broken at": one.broken.position if one.broken else "",
            "problem": one.broken.problem if one.broken else "",
        }
        for one in found
    ]
    _tell_rows(as_json, rows, list(rows[0]), "")
    if any(one.broken for one in found):
        sys.exit(NEEDS_ATTENTION)


@_command(events)
def types(as_json: bool) -> None:  # noqa: FBT001
    """List the types of events; with --json, schema, example and changes of each."""
    from hub.stream import catalog  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(catalog.published(), indent=1))
        return
    _tell_rows(
        as_json, [{"type": one.name, "version": one.version} for one in catalog.types()], ("type", "version"), ""
    )


# -- consumers


@main.group()
def endpoints() -> None:
    """Consumers of the stream: where events are sent to."""


def _wishes(function: Callable[..., None]) -> Callable[..., None]:
    """The options of what an endpoint may get; those that are not named are None, or ()."""
    for option in reversed(_WISHES):
        function = option(function)
    return function


_WISHES = (
    click.option("--description", help="What people call it."),
    click.option(
        "--type", "types", multiple=True, help="Only this type; `entitlement.*` names a family. May be repeated."
    ),
    click.option("--connection", "connections", multiple=True, help="Only what comes from this connection."),
    click.option(
        "--customer", "customers", multiple=True, help="Only what is about this customer of the licensing system."
    ),
    click.option("--condition", help="A condition in CEL over event.* and data."),
    click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header. May be repeated."),
    click.option("--version", type=int, help="The newest payload version to send (default: today's)."),
    click.option("--ordered/--unordered", default=None, help="One at a time for each customer, in order."),
    click.option("--rate", "rate_per_s", type=float, help="Messages a second at most."),
)


@_command(endpoints, "add")
@click.argument("url")
@_wishes
def endpoint_add(url: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Send the stream to URL from now on; prints the signing secret, once."""
    from hub.outbound.endpoints import PARTS, Wish  # noqa: PLC0415
    from hub.outbound.filters import Filter  # noqa: PLC0415

    said = _said(wanted)
    which = Filter(**{name: said.pop(name) for name in PARTS if name in said})
    wish = Wish(url=url, filter=which, **said)
    id_, secret = _ready_hub().office.endpoints.add(wish, _by())
    _tell(as_json, {"id": id_, "secret": secret}, f"{id_}\nSigning secret, shown this once: {secret}")


@_command(endpoints, "change")
@click.argument("endpoint")
@click.option("--url", help="Where events are sent to.")
@_wishes
def endpoint_change(endpoint: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Make of ENDPOINT what is named another; the rest stays, its secret too. '' takes a limit away: --type ''."""
    said = _said(wanted)
    if not said:
        raise click.UsageError("say what is to be another: --url, --type, --rate or another option")
    _ready_hub().office.endpoints.change(endpoint, said, _by())
    _tell(as_json, {"id": endpoint, "changed": sorted(said)}, f"{endpoint} has another {', '.join(sorted(said))}.")


def _said(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What was named, as an endpoint has it; of what may be repeated, '' alone is none."""
    named = {name: value for name, value in wanted.items() if value is not None and value != ()}
    said = {name: tuple(filter(None, value)) if isinstance(value, tuple) else value for name, value in named.items()}
    if "headers" in said:
        said["headers"] = dict(_header(one) for one in said["headers"])
    return said


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} has no colon", param_hint="--header 'NAME: VALUE'")
    return name.strip(), value.strip()


@_command(endpoints, "list")
def endpoint_list(as_json: bool) -> None:  # noqa: FBT001
    """List the endpoints and how each stands."""
    from hub.store import outbound  # noqa: PLC0415

    with _ready_hub().store.read() as conn:
        found = [(one, outbound.backlog(conn, one)) for one in outbound.endpoints(conn)]
    rows = [
        {"id": one.id, "url": one.url, "state": one.state, "waiting": left.pending + left.behind}
        | {"given up": left.exhausted, "because": one.because or one.untold_because}
        for one, left in found
    ]
    names = ("id", "url", "state", "waiting", "given up", "because")
    _tell_rows(as_json, rows, names, "No endpoints yet: hub endpoints add URL")


@_command(endpoints, "log")
@click.argument("endpoint")
@click.option("--state", type=click.Choice(["pending", "delivered", "exhausted", "skipped"]), help="Only these.")
def endpoint_log(endpoint: str, state: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the newest 50 deliveries of ENDPOINT and what came of each."""
    from hub.store import outbound  # noqa: PLC0415

    with _ready_hub().store.read() as conn:
        if outbound.endpoint(conn, endpoint) is None:
            _fail(NOT_FOUND, f"there is no endpoint {endpoint!r}; `hub endpoints list` lists them")
        found = outbound.deliveries(conn, endpoint, state or "")
    names = ("position", "type", "event_id", "state", "tries", "said")
    _tell_rows(as_json, [{name: getattr(one, name) for name in names} for one in found], names, "Nothing was sent yet.")


@_command(endpoints, "rotate")
@click.argument("endpoint")
@click.option("--overlap", type=float, default=24, show_default=True, help="Hours that the former secret signs, too.")
def endpoint_rotate(endpoint: str, overlap: float, as_json: bool) -> None:  # noqa: FBT001
    """Give ENDPOINT a new signing secret, and print it, once."""
    secret = _ready_hub().office.endpoints.rotate(endpoint, _by(), overlap * 3600)
    _tell(as_json, {"secret": secret}, f"Signing secret, shown this once: {secret}")


@_command(endpoints, "disable")
@click.argument("endpoint")
def endpoint_disable(endpoint: str, as_json: bool) -> None:  # noqa: FBT001
    """Send nothing to ENDPOINT until it is enabled; nothing is lost."""
    _ready_hub().office.endpoints.disable(endpoint, _by())
    _tell(as_json, {"disabled": endpoint}, f"{endpoint} gets nothing until: hub endpoints enable {endpoint}")


@_command(endpoints, "enable")
@click.argument("endpoint")
@click.option("--skip", is_flag=True, help="Leave out what came meanwhile; without this it is sent.")
def endpoint_enable(endpoint: str, skip: bool, as_json: bool) -> None:  # noqa: FBT001
    """Send to ENDPOINT again."""
    hub = _ready_hub()
    skipped = hub.office.endpoints.enable(endpoint, _by(), skip=skip)
    hub.bell.ring("delivery")
    _tell(as_json, {"enabled": endpoint, "skipped": skipped}, f"{endpoint} is enabled; {skipped} were skipped.")


@_command(endpoints, "remove")
@click.argument("endpoint")
def endpoint_remove(endpoint: str, as_json: bool) -> None:  # noqa: FBT001
    """Remove ENDPOINT with its secrets; its log stays."""
    _ready_hub().office.endpoints.remove(endpoint, _by())
    _tell(as_json, {"removed": endpoint}, f"{endpoint} is removed.")


@_command(endpoints, "replay")
@click.argument("endpoint")
@click.option("--id", "ids", multiple=True, help="An event's id. May be repeated.")
@click.option("--since", type=click.DateTime(_TIMES), help="Occurred at or after this time (UTC).")
@click.option("--until", type=click.DateTime(_TIMES), help="Occurred before this time (UTC).")
@click.option("--type", "types", multiple=True, help="Of this type; `entitlement.*` names a family. May be repeated.")
@click.option("--failed", is_flag=True, help="Everything that was given up.")
def endpoint_replay(endpoint: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Send messages to ENDPOINT again, under the ids that they have; at most 1,000 a time, behind live ones."""
    from hub.store.outbound import Again  # noqa: PLC0415

    if not any(wanted.values()):
        raise click.UsageError("say which: --id, --since, --until, --type or --failed")
    which = Again(**wanted | {"since": _seconds(wanted["since"]), "until": _seconds(wanted["until"])})
    hub = _ready_hub()
    done = hub.office.endpoints.again(endpoint, which, _by())
    hub.bell.ring("delivery")
    _tell(as_json, {"messages": done}, f"{done} messages are sent again, 20 a second.")


@_command(endpoints, "test")
@click.argument("url")
@click.option("--secret", default="", help="A whsec_ secret to sign with; without this, one is made.")
def endpoint_test(url: str, secret: str, as_json: bool) -> None:  # noqa: FBT001
    """Send one signed sample of each type to URL, and print code that verifies them. Keeps nothing."""
    from hub.outbound import samples  # noqa: PLC0415

    told = samples.send(_hub().office.sender, url, secret)
    if as_json:
        click.echo(json.dumps({"secret": told.secret, "answers": told.rows(), "verifiers": samples.verifiers()}))
    else:
        _tell_rows(as_json, told.rows(), ("type", "answer", "seconds"), "")
        click.echo(f"\nSigning secret of these samples: {told.secret}")
        for name, text in samples.verifiers().items():
            click.echo(f"\n--- {name}\n{text}")
    if not told.all_taken:
        sys.exit(NEEDS_ATTENTION)


def _by() -> Any:  # noqa: ANN401  (imported late)
    from hub.outbound.endpoints import By  # noqa: PLC0415

    return By(actor=_who(), origin="command line")


# -- programs


@main.group()
def keys() -> None:
    """API keys of programs (/api/v1)."""


@_command(keys, "create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, help="What it opens, such as events:read (docs/api.md). May be repeated."
)
@click.option("--days", type=int, help="How long it is good for (default: until it is revoked).")
def key_create(name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Make an API key for NAME, and print it, once."""
    from hub import keys as api_keys  # noqa: PLC0415

    key = api_keys.create(_ready_hub().store, name, scopes, days, by=_who())
    _tell(as_json, {"key": key}, f"Shown this once: {key}")


@_command(keys, "list")
def key_list(as_json: bool) -> None:  # noqa: FBT001
    """List the API keys by their prefixes."""
    from hub.store import keys as kept  # noqa: PLC0415

    with _ready_hub().store.read() as conn:
        found = kept.every(conn)
    rows = [
        {"prefix": one.prefix, "name": one.name, "scopes": " ".join(one.scopes), "live": one.live, "used": one.used_at}
        for one in found
    ]
    _tell_rows(as_json, rows, ("prefix", "name", "scopes", "live", "used"), "No keys yet: hub keys create NAME")


@_command(keys, "revoke")
@click.argument("prefix")
def key_revoke(prefix: str, as_json: bool) -> None:  # noqa: FBT001
    """Make the key that begins with PREFIX open nothing any more."""
    from hub import keys as api_keys  # noqa: PLC0415

    api_keys.revoke(_ready_hub().store, prefix.removeprefix("hub_")[:12], by=_who())
    _tell(as_json, {"revoked": prefix}, f"{prefix} opens nothing any more.")


@main.group("api")
def api_() -> None:
    """The API of programs (/api/v1)."""


@_command(api_, "openapi")
def api_openapi(as_json: bool) -> None:  # noqa: ARG001, FBT001  (it is JSON either way)
    """Print the API's OpenAPI document; needs no hub.toml."""
    from hub.web.api.document import document  # noqa: PLC0415
    from hub.web.api.table import ROUTES  # noqa: PLC0415

    click.echo(json.dumps(document(ROUTES), indent=1))


# -- agreement


for _name, _function in cli_agree.COMMANDS.items():
    _command(main, _name)(_function)


# -- the CRM


for _kind, _called in cli_crm.KINDS.items():
    _crm = click.Group(_kind, help=cli_crm.HELP.format(_called))
    main.add_command(_crm)
    for _name, _function in cli_crm.COMMANDS.items():
        _command(_crm, _name)(_function)


def _who() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


# -- telling


def _tell(as_json: bool, data: dict[str, Any], text: str) -> None:  # noqa: FBT001
    if as_json:
        click.echo(json.dumps(data))
    else:
        out.print(_plain(text))


def _tell_rows(as_json: bool, rows: Sequence[dict[str, Any]], names: Sequence[str], none: str) -> None:  # noqa: FBT001
    if as_json:
        click.echo(json.dumps(list(rows)))
    elif rows:
        _table([name.capitalize() for name in names], [[str(row[name]) for name in names] for row in rows])
    else:
        out.print(none)


def _tell_findings(as_json: bool, findings: Sequence[Any]) -> None:  # noqa: FBT001
    rows = [(one.level, one.about, one.problem, one.mend) for one in findings]
    if as_json:
        names = ("level", "about", "problem", "mend")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    else:
        _table(("", "About", "Finding", "Mend"), [(_mark(level), *map(_plain, rest)) for level, *rest in rows])


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _mark(level: str) -> str:
    return {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}.get(level, level)
