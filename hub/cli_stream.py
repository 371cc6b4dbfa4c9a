"""`hub events`, `hub endpoints`, `hub keys` and `hub api`: the stream, who gets it, and programs that ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from hub import shell

# -- the stream


@click.group()
def events() -> None:
    """The stream of events, as it is sent."""


@shell.command(events)
@click.option("--after", type=int, help="Only what comes after this position; without it, the newest 50.")
@click.option("--type", "types", multiple=True, help="Only this type; `entitlement.*` names a family. May be repeated.")
@click.option("--follow", is_flag=True, help="Go on with what comes.")
def tail(after: int | None, types: tuple[str, ...], follow: bool, as_json: bool) -> None:  # noqa: FBT001
    """Print the stream: with --json one object a line, as consumers get it."""
    from hub.stream.tail import tail as run  # noqa: PLC0415

    with suppress(KeyboardInterrupt):  # how people end it
        for one in run(shell.ready_hub().store, after, types, follow=follow):
            told = one.to_json()
            about = one.data.get("entitlement") or one.data.get("subject")
            click.echo(json.dumps(told) if as_json else f"{one.position}  {told['occurred_at']}  {one.type}  {about}")


@shell.command(events)
def verify(as_json: bool) -> None:  # noqa: FBT001
    """Verify the chains of the journal and the audit; name the first place where one is broken."""
    from hub.stream.tail import verify as run  # noqa: PLC0415

    found = run(shell.ready_hub().store)
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
    shell.tell_rows(as_json, rows, list(rows[0]), "")
    if any(one.broken for one in found):
        sys.exit(shell.NEEDS_ATTENTION)


@shell.command(events)
def types(as_json: bool) -> None:  # noqa: FBT001
    """List the types of events; with --json, schema, example and changes of each."""
    from hub.stream import catalog  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(catalog.published(), indent=1))
        return
    shell.tell_rows(
        as_json, [{"type": one.name, "version": one.version} for one in catalog.types()], ("type", "version"), ""
    )


# -- consumers


@click.group()
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
    click.option("--rate", "rate_per_s", type=float, help="Messages a second at most; 0: no limit."),
)


@shell.command(endpoints, "add")
@click.argument("url")
@_wishes
def endpoint_add(url: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Send the stream to URL from now on; prints the signing secret, once."""
    from hub.outbound.endpoints import PARTS, Wish  # noqa: PLC0415
    from hub.outbound.filters import Filter  # noqa: PLC0415

    said = _said(wanted)
    which = Filter(**{name: said.pop(name) for name in PARTS if name in said})
    wish = Wish(url=url, filter=which, **said)
    id_, secret = shell.ready_hub().office.endpoints.add(wish, _by())
    shell.tell(as_json, {"id": id_, "secret": secret}, f"{id_}\nSigning secret, shown this once: {secret}")


@shell.command(endpoints, "change")
@click.argument("endpoint")
@click.option("--url", help="Where events are sent to.")
@_wishes
def endpoint_change(endpoint: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Make of ENDPOINT what is named another; the rest stays, its secret too. '' takes a limit away: --type ''."""
    said = _said(wanted)
    if not said:
        raise click.UsageError("say what is to be another: --url, --type, --rate or another option")
    shell.ready_hub().office.endpoints.change(endpoint, said, _by())
    shell.tell(as_json, {"id": endpoint, "changed": sorted(said)}, f"{endpoint} has another {', '.join(sorted(said))}.")


def _said(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What was named, as an endpoint has it; of what may be repeated, '' alone is none."""
    named = {name: value for name, value in wanted.items() if value is not None and value != ()}
    said = {name: tuple(filter(None, value)) if isinstance(value, tuple) else value for name, value in named.items()}
    if said.get("rate_per_s") == 0:
        said["rate_per_s"] = None
    if "headers" in said:
        said["headers"] = dict(_header(one) for one in said["headers"])
    return said


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} has no colon", param_hint="--header 'NAME: VALUE'")
    return name.strip(), value.strip()


@shell.command(endpoints, "list")
def endpoint_list(as_json: bool) -> None:  # noqa: FBT001
    """List the endpoints and how each stands."""
    from hub.store import outbound  # noqa: PLC0415

    with shell.ready_hub().store.read() as conn:
        found = [(one, outbound.backlog(conn, one)) for one in outbound.endpoints(conn)]
    rows = [
        {"id": one.id, "url": one.url, "state": one.state, "waiting": left.pending + left.behind}
        | {"given up": left.exhausted, "because": one.because or one.untold_because}
        for one, left in found
    ]
    names = ("id", "url", "state", "waiting", "given up", "because")
    shell.tell_rows(as_json, rows, names, "No endpoints yet: hub endpoints add URL")


@shell.command(endpoints, "log")
@click.argument("endpoint")
@click.option("--state", type=click.Choice(["pending", "delivered", "exhausted", "skipped"]), help="Only these.")
def endpoint_log(endpoint: str, state: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the newest 50 deliveries of ENDPOINT and what came of each."""
    from hub.store import outbound  # noqa: PLC0415

    with shell.ready_hub().store.read() as conn:
        if outbound.endpoint(conn, endpoint) is None:
            shell.fail(shell.NOT_FOUND, f"there is no endpoint {endpoint!r}; `hub endpoints list` lists them")
        found = outbound.deliveries(conn, endpoint, state or "")
    names = ("position", "type", "event_id", "state", "tries", "said")
    shell.tell_rows(
        as_json, [{name: getattr(one, name) for name in names} for one in found], names, "Nothing was sent yet."
    )


@shell.command(endpoints, "rotate")
@click.argument("endpoint")
@click.option("--overlap", type=float, default=24, show_default=True, help="Hours that the former secret signs, too.")
def endpoint_rotate(endpoint: str, overlap: float, as_json: bool) -> None:  # noqa: FBT001
    """Give ENDPOINT a new signing secret, and print it, once."""
    secret = shell.ready_hub().office.endpoints.rotate(endpoint, _by(), overlap * 3600)
    shell.tell(as_json, {"secret": secret}, f"Signing secret, shown this once: {secret}")


@shell.command(endpoints, "disable")
@click.argument("endpoint")
def endpoint_disable(endpoint: str, as_json: bool) -> None:  # noqa: FBT001
    """Send nothing to ENDPOINT until it is enabled; nothing is lost."""
    shell.ready_hub().office.endpoints.disable(endpoint, _by())
    shell.tell(as_json, {"disabled": endpoint}, f"{endpoint} gets nothing until: hub endpoints enable {endpoint}")


@shell.command(endpoints, "enable")
@click.argument("endpoint")
@click.option("--skip", is_flag=True, help="Leave out what came meanwhile; without this it is sent.")
def endpoint_enable(endpoint: str, skip: bool, as_json: bool) -> None:  # noqa: FBT001
    """Send to ENDPOINT again."""
    hub = shell.ready_hub()
    skipped = hub.office.endpoints.enable(endpoint, _by(), skip=skip)
    hub.bell.ring("delivery")
    shell.tell(as_json, {"enabled": endpoint, "skipped": skipped}, f"{endpoint} is enabled; {skipped} were skipped.")


@shell.command(endpoints, "remove")
@click.argument("endpoint")
def endpoint_remove(endpoint: str, as_json: bool) -> None:  # noqa: FBT001
    """Remove ENDPOINT with its secrets; its log stays."""
    shell.ready_hub().office.endpoints.remove(endpoint, _by())
    shell.tell(as_json, {"removed": endpoint}, f"{endpoint} is removed.")


@shell.command(endpoints, "replay")
@click.argument("endpoint")
@click.option("--id", "ids", multiple=True, help="An event's id. May be repeated.")
@click.option("--since", type=click.DateTime(shell.TIMES), help="Occurred at or after this time (UTC).")
@click.option("--until", type=click.DateTime(shell.TIMES), help="Occurred before this time (UTC).")
@click.option("--type", "types", multiple=True, help="Of this type; `entitlement.*` names a family. May be repeated.")
@click.option("--failed", is_flag=True, help="Everything that was given up.")
def endpoint_replay(endpoint: str, *, as_json: bool, **wanted: Any) -> None:  # noqa: ANN401
    """Send messages to ENDPOINT again, under the ids that they have; at most 1,000 a time, behind live ones."""
    from hub.store.outbound import Again  # noqa: PLC0415

    if not any(wanted.values()):
        raise click.UsageError("say which: --id, --since, --until, --type or --failed")
    which = Again(**wanted | {"since": shell.seconds(wanted["since"]), "until": shell.seconds(wanted["until"])})
    hub = shell.ready_hub()
    done = hub.office.endpoints.again(endpoint, which, _by())
    hub.bell.ring("delivery")
    shell.tell(as_json, {"messages": done}, f"{done} messages are sent again, 20 a second.")


@shell.command(endpoints, "test")
@click.argument("url")
@click.option("--secret", default="", help="A whsec_ secret to sign with; without this, one is made.")
def endpoint_test(url: str, secret: str, as_json: bool) -> None:  # noqa: FBT001
    """Send one signed sample of each type to URL, and print code that verifies them. Keeps nothing."""
    from hub.outbound import samples  # noqa: PLC0415

    told = samples.send(shell.a_hub().office.sender, url, secret)
    if as_json:
        click.echo(json.dumps({"secret": told.secret, "answers": told.rows(), "verifiers": samples.verifiers()}))
    else:
        shell.tell_rows(as_json, told.rows(), ("type", "answer", "seconds"), "")
        click.echo(f"\nSigning secret of these samples: {told.secret}")
        for name, text in samples.verifiers().items():
            click.echo(f"\n--- {name}\n{text}")
    if not told.all_taken:
        sys.exit(shell.NEEDS_ATTENTION)


def _by() -> Any:  # noqa: ANN401  (imported late)
    from hub.outbound.endpoints import By  # noqa: PLC0415

    return By(actor=shell.who(), origin="command line")


# -- programs


@click.group()
def keys() -> None:
    """API keys of programs (/api/v1)."""


@shell.command(keys, "create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, help="What it opens, such as events:read (docs/api.md). May be repeated."
)
@click.option("--days", type=int, help="How long it is good for (default: until it is revoked).")
def key_create(name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Make an API key for NAME, and print it, once."""
    from hub import keys as api_keys  # noqa: PLC0415

    key = api_keys.create(shell.ready_hub().store, name, scopes, days, by=shell.who())
    shell.tell(as_json, {"key": key}, f"Shown this once: {key}")


@shell.command(keys, "list")
def key_list(as_json: bool) -> None:  # noqa: FBT001
    """List the API keys by their prefixes."""
    from hub.store import keys as kept  # noqa: PLC0415

    with shell.ready_hub().store.read() as conn:
        found = kept.every(conn)
    rows = [
        {"prefix": one.prefix, "name": one.name, "scopes": " ".join(one.scopes), "live": one.live, "used": one.used_at}
        for one in found
    ]
    shell.tell_rows(as_json, rows, ("prefix", "name", "scopes", "live", "used"), "No keys yet: hub keys create NAME")


@shell.command(keys, "revoke")
@click.argument("prefix")
def key_revoke(prefix: str, as_json: bool) -> None:  # noqa: FBT001
    """Make the key that begins with PREFIX open nothing any more."""
    from hub import keys as api_keys  # noqa: PLC0415

    api_keys.revoke(shell.ready_hub().store, prefix.removeprefix("hub_")[:12], by=shell.who())
    shell.tell(as_json, {"revoked": prefix}, f"{prefix} opens nothing any more.")


@click.group("api")
def api_() -> None:
    """The API of programs (/api/v1)."""


@shell.command(api_, "openapi")
def api_openapi(as_json: bool) -> None:  # noqa: ARG001, FBT001  (it is JSON either way)
    """Print the API's OpenAPI document; needs no hub.toml."""
    from hub.web.api.document import document  # noqa: PLC0415
    from hub.web.api.table import ROUTES  # noqa: PLC0415

    click.echo(json.dumps(document(ROUTES), indent=1))


GROUPS = (events, endpoints, keys, api_)
