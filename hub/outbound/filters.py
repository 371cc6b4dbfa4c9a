"""Which messages an endpoint gets: by type, connection, customer and a condition in CEL. Pure.

What is not named is not asked: no types means all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from hub import conditions
from hub.conditions import ConditionError, Language
from hub.domain import Json

if TYPE_CHECKING:
    from cel_expr_python import cel

LANGUAGE = Language(
    name="condition",
    variables=(
        ("event.type", "string"),
        ("event.version", "int"),
        ("event.connection", "string"),
        ("event.customer", "string"),
        ("data", "map<string, dyn>"),
    ),
    example="event.type == 'entitlement.changed' && data.seats >= 100",
    instead_of_loops="'x' in data.entitlements, or has(data.seats)",
    instead_of_long="use several endpoints",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is asked of a message. connection, customer: empty where the hub knows of none."""

    type: str
    version: int
    connection: str
    customer: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What an endpoint asked for; `entitlement.*` names a family of types. condition: empty for none."""

    types: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    condition: str = ""


def is_of(type_: str, wanted: Sequence[str]) -> bool:
    """Whether a type is one of these, or of one of these families."""
    return any(type_ == one or (one.endswith("*") and type_.startswith(one.removesuffix("*"))) for one in wanted)


def takes(wanted: Filter, about: About) -> bool:
    """Whether the endpoint gets this message. ConditionError: everything else fits, its condition can't be told."""
    if wanted.types and not is_of(about.type, wanted.types):
        return False
    if wanted.connections and about.connection not in wanted.connections:
        return False
    if wanted.customers and about.customer not in wanted.customers:
        return False
    return not wanted.condition or conditions.answer(program(wanted.condition), _facts(about))


@lru_cache(maxsize=256)
def program(condition: str) -> cel.Expression:
    """The checked condition; ConfigurationError says what is wrong with it, and at which column."""
    return conditions.checked(condition, "", LANGUAGE)


def _facts(about: About) -> dict[str, object]:
    if len(str(about.data)) > conditions.LONGEST_TEXT * 4:
        raise ConditionError("the data is too long to be asked about")
    return {
        "event.type": about.type,
        "event.version": about.version,
        "event.connection": about.connection,
        "event.customer": about.customer,
        "data": dict(about.data),
    }


def connection_of(subject: str, data: Mapping[str, Json]) -> str:
    """The connection that a message comes from: what it says itself, else its purchase's; empty where there is none."""
    for said in (data.get("connection"), data.get("purchase"), subject):
        if isinstance(said, str) and said:
            name, slash, _ = said.partition("/")
            return name if slash or said == data.get("connection") else ""
    return ""
