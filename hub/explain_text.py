"""An explanation on a terminal: the answer first, then field by field with the chain behind it.

Names come from customers: all of it is printed as plain text, never as markup.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from hub.explain import Change, Explanation, FieldWhy

INDENT = 11
LABEL = 12


def print_explanation(out: Console, found: Explanation) -> None:
    """Prints who holds the entitlement, then each field: value, sentence, and dim the chain that led to it.

    Long lines hang under their beginning on a terminal, and stay whole in a file or pipe.
    """
    _print(out, found.entitlement, f"  {found.offering}, {_state(found)}", 0)
    for line in _head(found):
        _print(out, "", line, 0, "dim")
    out.print()
    for one in found.fields:
        _print(out, f"{one.name:<{INDENT}}", f"{_text(one.value)}  {one.sentence}", INDENT)
        for label, said in _chain(one):
            _print(out, "", f"{'':<{INDENT}}{label:<{LABEL}}{said}", INDENT + LABEL, "dim")


def _print(out: Console, bold: str, said: str, indent: int, style: str = "") -> None:
    """Prints `bold` and `said`; what does not fit the terminal goes on under column `indent`."""
    whole = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in bold + said)
    lines = [whole]
    if out.is_terminal and out.width > 2 * indent:
        lines = textwrap.wrap(
            whole, out.width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
    text = Text("\n".join(lines), style=style)
    text.stylize("bold", 0, len(bold))
    out.print(text, soft_wrap=True)


def _state(found: Explanation) -> str:
    used = f", {found.seats_used} seats in use" if found.seats_used is not None else ""
    return f"{'on' if found.enabled else 'off'} ({found.status}){used}"


def _head(found: Explanation) -> Iterator[str]:
    if found.at is not None:
        yield f"as it was at {_when(found.at)}, as far as the journal says"
    purchase = found.subject or "no purchase known"
    yield f"customer {found.customer or '?'} · {found.order_ref} · {purchase} · {found.group}"
    code = f"activation code {found.activation_code} · " if found.activation_code else ""
    yield f"{code}paid until {found.paid_until or 'not known'} · last read {_when(found.read_at)}"
    if found.reaches_back is not None:
        yield f"the journal reaches back to {_when(found.reaches_back)}: older acts are not told, but for the newest"
    for one in found.before:
        yield f"carries on what was {one.purchase}'s until {_when(one.until)}"
    if found.others:
        yield f"the same name also means {', '.join(found.others)}"


def _chain(one: FieldWhy) -> Iterator[tuple[str, str]]:
    for line in one.lines:
        yield "line", f"{line.id} ({line.offering}), paid until {line.paid_until or 'not known'}"
    if one.observation:
        yield "seen", f"observation {one.observation.hash[:12]}, first {_when(one.observation.seen_at)}"
    yield "rule", f"{one.rule or 'none'}, catalog {one.catalog.version[:12]} of {_when(one.catalog.stored_at)}"
    yield "call", _told(one.change) if one.change else "none: it was so when the hub first read it"
    if one.trouble:
        yield "trouble", _told(one.trouble)
    for receipt in one.receipts:
        yield "event", f"{receipt.external_id} {receipt.type}, {_when(receipt.received_at)}"


def _told(change: Change) -> str:
    return (
        f"{change.action} {change.outcome}, {_when(change.at)}, look {change.look} ({change.cause}): {_called(change)}"
    )


def _called(change: Change) -> str:
    if change.outcome == "found":
        return "the answer was lost, and a search found it done"
    call = change.call
    if call is None:
        return "no answer came" if change.outcome in {"unknown", "begun"} else "no call on record"
    body = f" {json.dumps(call.body, ensure_ascii=False)}" if call.body else ""
    return f"{call.method or ''} {call.path or ''}{body} → {call.status or call.error or 'no answer'}".strip()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _when(moment: float | None) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "a time not kept"
