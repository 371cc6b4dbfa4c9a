"""Fields of FastSpring's untyped objects; see connectors/fields.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from connectors import fields
from connectors.fields import Object, Reduced, count, objects, text, whole
from connectors.fields import truth as flag
from hub.errors import UnreadableError

__all__ = ["Object", "Reduced", "count", "flag", "text"]

_LATEST_MS = 253_402_300_799_999  # the end of the year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    return whole(holder, name, "time", _LATEST_MS)


def texts(holder: Object, name: str) -> dict[str, str]:
    """The seller's own texts under `name`; empty where absent."""
    return fields.texts(part(holder, name))


def at(millis_: int | None) -> datetime | None:
    """The moment of these epoch milliseconds, in UTC."""
    return None if millis_ is None else _EPOCH + timedelta(milliseconds=millis_)


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
    return objects(holder.get(name), name)
