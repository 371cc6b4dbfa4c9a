"""Conditions in CEL, the Common Expression Language (cel.dev): of catalog rows (`when = "…"`), of endpoints. Pure.

An expression has no loops, calls a fixed list of functions, sees only what its variables name, and is as long as
LONGEST at most: so it ends within milliseconds, whatever it says.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub.domain import Line, Purchase
from hub.errors import ConfigurationError

if TYPE_CHECKING:
    from cel_expr_python import cel

LONGEST = 1000  # characters of an expression
LONGEST_TEXT = 4000  # characters of a text that it is asked about: matches() is linear in it
VARIABLES = {  # name -> CEL type
    "purchase.source": "string",
    "purchase.kind": "string",
    "purchase.status": "string",
    "purchase.customer.customer_ref": "string",
    "purchase.metadata": "map<string, string>",
    "line.quantity": "int",
    "line.keys": "list<string>",
    "line.metadata": "map<string, string>",
}
# Without the loops a condition costs no more than it is long (observed: cel-expr-python 0.1.3 refuses them then).
_NO_LOOPS = "name: when\nstdlib:\n  exclude_macros: [all, exists, exists_one, map, filter]\n"
_LOOP = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_SAID = re.compile(r"<input>:(\d+):(\d+): (.*)")


class ConditionError(Exception):
    """A condition that can't be answered for this sale: a person must mend the row or the sale."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression."""

    text: str
    _program: cel.Expression

    def holds(self, purchase: Purchase, line: Line) -> bool:
        """Whether it is true of this line; ConditionError where it can't be told."""
        return answer(self._program, _facts(purchase, line))


def answer(program: cel.Expression, facts: Mapping[str, Any]) -> bool:
    """What a checked expression says of these facts; ConditionError where it can't be told."""
    try:
        said = program.eval(data=dict(facts))
    except RuntimeError as error:
        raise ConditionError(_first_line(str(error))) from None
    value = said.value()
    if isinstance(value, bool):
        return value
    raise ConditionError(_first_line(str(said.plain_value())))


def compiled(text: str, where: str) -> Condition:
    """The condition that `text` spells; ConfigurationError says at which column, and what was expected."""
    return Condition(text, checked(text, where, CATALOG))


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What a kind of condition may speak of. name: what it is called; the rest are examples for who has to mend one."""

    name: str
    variables: tuple[tuple[str, str], ...]  # name, CEL type
    example: str
    instead_of_loops: str
    instead_of_long: str


CATALOG = Language(
    name="when",
    variables=tuple(VARIABLES.items()),
    example="when = \"line.quantity >= 10 && purchase.metadata['channel'] == 'reseller'\"",
    instead_of_loops="'x' in line.keys, or 'x' in purchase.metadata",
    instead_of_long="use several rows",
)


def checked(text: str, where: str, of: Language) -> cel.Expression:
    """The expression that `text` spells; ConfigurationError says at which column, and what was expected."""
    if len(text) > LONGEST:
        problem = f"{of.name} has {len(text)} characters, at most {LONGEST} are allowed"
        raise ConfigurationError(problem, where=where, mend=of.instead_of_long)
    if loop := _LOOP.search(text):
        raise ConfigurationError(
            f"{of.name}, column {loop.start() + 1}: {loop[1]}() is not to be had, a condition has no loops",
            where=where,
            mend=of.instead_of_loops,
        )
    try:
        program = _environment(of).compile(text)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{of.name}, {_first_line(str(error))}", where=where, mend=_mend(str(error), of)
        ) from None
    if (type_ := program.return_type().name()) != "BOOL":
        raise ConfigurationError(
            f"{of.name} gives {type_.lower()}, true or false was expected", where=where, mend=of.example
        )
    return program


def _mend(said: str, of: Language) -> str:
    return f"known: {', '.join(name for name, _ in of.variables)}" if "undeclared reference" in said else of.example


@functools.cache
def _environment(of: Language) -> cel.Env:
    from cel_expr_python import cel  # noqa: PLC0415  (15 MB that only hubs with conditions need)

    types = {name: cel.Type(signature) for name, signature in of.variables}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_NO_LOOPS), variables=types)


def _facts(purchase: Purchase, line: Line) -> dict[str, Any]:
    """What an expression may see; a metered line has no quantity, so asking for it is an error, never 0."""
    facts: dict[str, Any] = {
        "purchase.source": purchase.ref.source,
        "purchase.kind": purchase.ref.kind,
        "purchase.status": purchase.status,
        "purchase.customer.customer_ref": purchase.customer.customer_ref or "",
        "purchase.metadata": _short(purchase.metadata),
        "line.keys": list(line.keys),
        "line.metadata": _short(line.metadata),
    }
    return facts if line.quantity is None else facts | {"line.quantity": line.quantity}


def _short(metadata: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if len(value) > LONGEST_TEXT:
            raise ConditionError(f"metadata {name} has {len(value)} characters, at most {LONGEST_TEXT} can be asked")
    return dict(metadata)


def _first_line(said: str) -> str:
    """The library's message, shortened to column and problem."""
    if found := _SAID.search(said):
        return f"column {found[2]}: {found[3].removesuffix(' [INVALID_ARGUMENT]')}"
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", said.splitlines()[0] if said else "no answer")
