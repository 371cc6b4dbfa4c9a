"""Fields of Stripe's untyped objects; see connectors/fields.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from connectors import fields
from connectors.fields import Object, Reduced, count, objects, text, truth, whole
from hub.errors import UnreadableError

__all__ = ["Object", "Reduced", "count", "text"]

_LATEST_S = 253_402_300_799  # the end of the year 9999


def id_of(holder: Object, name: str) -> str | None:
    """The id under `name`, of which Stripe sends either the id or, expanded, the object."""
    value = holder.get(name)
    return text(value, "id") if isinstance(value, Mapping) else text(holder, name)


def seconds(holder: Object, name: str) -> int | None:
    """Epoch seconds under `name`; None where absent."""
    return whole(holder, name, "time", _LATEST_S)


def flag(holder: Object, name: str) -> bool:
    """The truth under `name`; absent is False."""
    return bool(truth(holder, name))


def texts(holder: Object, name: str = "metadata") -> dict[str, str]:
    """The seller's own texts under `name`; empty where absent."""
    return fields.texts(part(holder, name))


def moment(holder: Object, name: str) -> datetime | None:
    """The time under `name`, in UTC; None where absent."""
    return at(seconds(holder, name))


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
    return objects(value, name)


def has_more(holder: Object, name: str) -> bool:
    """Whether the list under `name` goes on where it was cut (Stripe embeds the first ten)."""
    value = holder.get(name)
    return isinstance(value, Mapping) and flag(value, "has_more")


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


def at(seconds_: int | None) -> datetime | None:
    """The moment of these epoch seconds, in UTC."""
    return None if seconds_ is None else datetime.fromtimestamp(seconds_, UTC)


def day(seconds_: int) -> str:
    """The date of these epoch seconds, as people read it."""
    return datetime.fromtimestamp(seconds_, UTC).date().isoformat()
