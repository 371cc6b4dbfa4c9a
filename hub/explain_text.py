"""An explanation on a terminal: the answer first, then field by field with the chain behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from hub.explain import Change, Explanation, FieldWhy


def print_explanation(out: Console, found: Explanation) -> None:
    """Prints who holds the entitlement, then each field: value, sentence, and dim the chain that led to it."""
    state = "on" if found.enabled else "off"
    out.print(f"[bold]{escape(found.entitlement)}[/]  {escape(found.offering)}, {state} ({escape(found.status)})")
    out.print(f"[dim]customer {found.customer or '?'} · {found.order_ref} · {found.subject} · {found.group}[/]\n")
    for one in found.fields:
        _print_field(out, one)


def _print_field(out: Console, one: FieldWhy) -> None:
    out.print(f"[bold]{one.name:<11}[/]{escape(_text(one.value))}  {escape(one.sentence)}")
    for line in _chain(one):
        out.print(f"           [dim]{escape(line)}[/]")


def _chain(one: FieldWhy) -> Iterator[str]:
    for line in one.lines:
        yield f"line        {line.id} ({line.offering}), paid until {line.paid_until or 'not known'}"
    if one.observation:
        yield f"seen        observation {one.observation.hash[:12]}, first {_when(one.observation.seen_at)}"
    yield f"rule        {one.rule}, catalog {one.catalog.version[:12]} of {_when(one.catalog.stored_at)}"
    if one.change:
        yield from _told("call", one.change)
    else:
        yield "call        none: it was so when the hub first read it"
    if one.trouble:
        yield from _told("trouble", one.trouble)
    for receipt in one.receipts:
        yield f"event       {receipt.external_id} {receipt.type}, {_when(receipt.received_at)}"


def _told(label: str, change: Change) -> Iterator[str]:
    call = change.call
    said = f"{call.method} {call.path} → {call.status or call.error or 'no answer'}" if call else "no call on record"
    when = f"{_when(change.at)}, look {change.look} ({change.cause})"
    yield f"{label:<12}{change.action} {change.outcome}, {when}: {said}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _when(moment: float | None) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "a time not kept"
