"""Fields of untyped objects, and no more of them than is safe.

Rule for odd objects: what is absent or null is None; what is there in a wrong type is an UnreadableError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hub.errors import UnreadableError

Object: TypeAlias = Mapping[str, Any]
Reduced: TypeAlias = dict[str, Any]

_LATEST_S = 253_402_300_799  # the end of the year 9999
# docs.stripe.com/api/metadata (read 2026-11): at most 50 names of 40 characters, with values of 500.
_TEXTS, _TEXT_NAME, _TEXT_VALUE = 50, 40, 500
_E_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def text(holder: Object, name: str) -> str | None:
    """The text under `name`, fit for every store (no NUL, no half of a pair); None where absent or empty."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is no text")
    return value.encode("utf-8", "replace").decode().replace("\0", "") or None


def id_of(holder: Object, name: str) -> str | None:
    """The id under `name`, of which Stripe sends either the id or, expanded, the object."""
    value = holder.get(name)
    return text(value, "id") if isinstance(value, Mapping) else text(holder, name)


def seconds(holder: Object, name: str) -> int | None:
    """Epoch seconds under `name`; None where absent."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_S:
        raise UnreadableError(f"{name} is no time")
    return value


def moment(holder: Object, name: str) -> datetime | None:
    """The time under `name`, in UTC; None where absent."""
    return at(seconds(holder, name))


def flag(holder: Object, name: str) -> bool:
    """The truth under `name`; absent is False."""
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise UnreadableError(f"{name} is neither true nor false")
    return bool(value)


def part(holder: Object, name: str) -> Object:
    """The object under `name`; empty where absent."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{name} is no object")
    return value


def rows(holder: Object, name: str) -> list[Object]:
    """The objects of the list under `name` (Stripe's `{"data": [..]}`, or a plain list); empty where absent."""
    value = holder.get(name)
    if isinstance(value, Mapping):
        value = value.get("data")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise UnreadableError(f"{name} is no list of objects")
    return value


def has_more(holder: Object, name: str) -> bool:
    """Whether the list under `name` goes on where it was cut (Stripe embeds the first ten)."""
    value = holder.get(name)
    return isinstance(value, Mapping) and flag(value, "has_more")


def texts(holder: Object, name: str = "metadata") -> dict[str, str]:
    """The seller's own texts under `name`; empty where absent.

    Left out: what is no text, or longer than Stripe takes, and e-mail addresses, for observations keep these.
    """
    kept = {
        key: value.encode("utf-8", "replace").decode().replace("\0", "")
        for key, value in part(holder, name).items()
        if len(key) <= _TEXT_NAME and isinstance(value, str) and len(value) <= _TEXT_VALUE
    }
    return dict(sorted((key, value) for key, value in kept.items() if not _E_MAIL.search(value))[:_TEXTS])


def needed(holder: Object, name: str) -> str:
    """The text under `name`; UnreadableError where there is none."""
    value = text(holder, name)
    if value is None:
        raise UnreadableError(f"{name} is missing")
    return value


def amount(holder: Object, name: str) -> int | None:
    """The amount under `name`, in the currency's smallest unit; None where absent. Credits are below 0."""
    value = holder.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise UnreadableError(f"{name} is no amount")
    return value


def count(holder: Object, name: str = "quantity") -> int | None:
    """The count under `name`; None where absent: it is no count of seats then, and never 0."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableError(f"{name} is no count")
    return value


def at(seconds_: int | None) -> datetime | None:
    """The moment of these epoch seconds, in UTC."""
    return None if seconds_ is None else datetime.fromtimestamp(seconds_, UTC)


def day(seconds_: int) -> str:
    """The date of these epoch seconds, as people read it."""
    return datetime.fromtimestamp(seconds_, UTC).date().isoformat()
