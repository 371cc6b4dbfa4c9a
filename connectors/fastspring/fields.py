"""Fields of untyped objects, and no more of them than is safe.

Rule for odd objects: what is absent or null is None; what is there in a wrong type is an UnreadableError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from hub.errors import UnreadableError

Object: TypeAlias = Mapping[str, Any]
Reduced: TypeAlias = dict[str, Any]

_LATEST_MS = 253_402_300_799_999  # the end of the year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_E_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_TEXTS, _TEXT_LENGTH = 50, 500


def text(holder: Object, name: str) -> str | None:
    """The text under `name`, fit for every store (no NUL, no half of a pair); None where absent or empty."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is no text")
    return value.encode("utf-8", "replace").decode().replace("\0", "") or None


def id_of(holder: Object, *names: str) -> str | None:
    """The first id under `names`: FastSpring sends either the id or, with expansion on, the object with an `id`.

    A product is known by its path, which the expanded object has under `product`.
    """
    for name in names:
        value = holder.get(name)
        found = text(value, "id") or text(value, name) if isinstance(value, Mapping) else text(holder, name)
        if found is not None:
            return found
    return None


def needed(holder: Object, *names: str) -> str:
    """The first id under `names`; UnreadableError where there is none."""
    value = id_of(holder, *names)
    if value is None:
        raise UnreadableError(f"{names[0]} is missing")
    return value


def millis(holder: Object, name: str) -> int | None:
    """Epoch milliseconds under `name`; None where absent."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_MS:
        raise UnreadableError(f"{name} is no time")
    return value


def at(millis_: int | None) -> datetime | None:
    """The moment of these epoch milliseconds, in UTC."""
    return None if millis_ is None else _EPOCH + timedelta(milliseconds=millis_)


def flag(holder: Object, name: str) -> bool | None:
    """The truth under `name`; None where absent."""
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise UnreadableError(f"{name} is neither true nor false")
    return value


def count(holder: Object, name: str = "quantity") -> int | None:
    """The count under `name`; None where absent."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableError(f"{name} is no count")
    return value


def part(holder: Object, name: str) -> Object:
    """The object under `name`; empty where absent or where only its id is given (expansion off)."""
    value = holder.get(name)
    if value is None or isinstance(value, str):
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{name} is no object")
    return value


def rows(holder: Object, name: str) -> list[Object]:
    """The objects of the list under `name`; empty where absent."""
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise UnreadableError(f"{name} is no list of objects")
    return value


def texts(holder: Object, name: str) -> dict[str, str]:
    """The seller's own texts under `name`, but for long ones and e-mail addresses: observations keep these."""
    kept = {
        key: value.encode("utf-8", "replace").decode().replace("\0", "")
        for key, value in part(holder, name).items()
        if isinstance(value, str) and max(len(key), len(value)) <= _TEXT_LENGTH
    }
    return dict(sorted((key, value) for key, value in kept.items() if not _E_MAIL.search(value))[:_TEXTS])
