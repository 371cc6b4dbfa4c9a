"""What every command of `hub` shares: exit codes, errors as sentences, the hub that it works on, and how it tells."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from hub.errors import ConfigurationError, HubError, PermanentError

P = ParamSpec("P")
T = TypeVar("T")
NEEDS_ATTENTION, CONFIGURATION, NOT_FOUND, NOT_AVAILABLE = 1, 3, 4, 5
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"]
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def errors_as_sentences(command: Callable[P, T]) -> Callable[P, T]:
    """The command, whose errors end it with an exit code and a sentence."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            fail(CONFIGURATION, str(error))
        except PermanentError as error:
            fail(NEEDS_ATTENTION, f"{error}" + (f" — {error.hint}" if error.hint else ""))
        except HubError as error:
            fail(NOT_AVAILABLE, str(error))

    return wrapped


def fail(code: int, message: str) -> NoReturn:
    """Ends the command with this exit code, and the message as a sentence or as JSON."""
    if click.get_current_context().params.get("as_json"):
        click.echo(json.dumps({"error": message, "exit_code": code}))
    else:
        err.print(f"[red bold]hub:[/] {plain(message)}")
    sys.exit(code)


def plain(text: str) -> str:
    """The text as it is, whatever rich would take for markup."""
    from rich.markup import escape  # noqa: PLC0415

    return escape(text)


def command(group: click.Group, name: str | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """A command with --json and --config, whose errors are sentences."""

    def make(function: Callable[..., None]) -> click.Command:
        wrapped = errors_as_sentences(function)
        # A list of its own: one function may be the command of several groups, and click adds to what it finds.
        wrapped.__dict__["__click_params__"] = [*getattr(function, "__click_params__", ())]
        decorated = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(wrapped)
        return group.command(name or function.__name__)(decorated)

    return make


def a_hub(**options: Any) -> Any:  # noqa: ANN401  (wiring.Hub, imported late: `hub init` needs none)
    """The hub of the configuration; its record is closed when the command ends."""
    from hub import settings, wiring  # noqa: PLC0415

    hub = wiring.build(settings.load(), **options)
    click.get_current_context().call_on_close(hub.store.close)  # else its connections are left to the collector
    return hub


def ready_hub(**options: Any) -> Any:  # noqa: ANN401
    """A hub whose record is there and of this version."""
    from hub.store.migrate import check_version  # noqa: PLC0415

    hub = a_hub(**options)
    check_version(hub.store)
    return hub


def who() -> str:
    """Who runs the command, for the audit."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def tell(as_json: bool, data: dict[str, Any], text: str) -> None:  # noqa: FBT001
    """Prints the data as JSON, or the text."""
    if as_json:
        click.echo(json.dumps(data))
    else:
        out.print(plain(text))


def tell_rows(as_json: bool, rows: Sequence[dict[str, Any]], names: Sequence[str], none: str) -> None:  # noqa: FBT001
    """Prints the rows as JSON or as a table of these columns; `none` where there is none."""
    if as_json:
        click.echo(json.dumps(list(rows)))
    elif rows:
        table([name.capitalize() for name in names], [[str(row[name]) for name in names] for row in rows])
    else:
        out.print(none)


def tell_findings(as_json: bool, findings: Sequence[Any]) -> None:  # noqa: FBT001
    """Prints what a check found, as JSON or as a table."""
    rows = [(one.level, one.about, one.problem, one.mend) for one in findings]
    if as_json:
        names = ("level", "about", "problem", "mend")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    else:
        table(("", "About", "Finding", "Mend"), [(mark(level), *map(plain, rest)) for level, *rest in rows])


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table."""
    grid = Table(box=None, header_style="dim", pad_edge=False)
    for name in names:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    out.print(grid)


def mark(level: str) -> str:
    """A level as people see it."""
    return {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}.get(level, level)


def seconds(at: datetime | None) -> float | None:
    """Epoch seconds of a time in UTC; None of none."""
    return at.replace(tzinfo=UTC).timestamp() if at else None
