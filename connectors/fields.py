"""Fields of untyped objects, and no more of them than is safe.

Rule for odd objects: what is absent or null is None; what is there in a wrong type is an UnreadableError. What only one
vendor does stands in its own folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hub.errors import UnreadableError

Object: TypeAlias = Mapping[str, Any]
Reduced: TypeAlias = dict[str, Any]

_ID = re.compile(r"[!-.0-~]{1,255}")  # printable, no blank and no slash
_E_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# As Stripe bounds its metadata (docs.stripe.com/api/metadata, read 2026-11); enough for every seller's own texts.
_TEXTS, _TEXT_NAME, _TEXT_VALUE = 50, 40, 500


def text(holder: Object, name: str) -> str | None:
    """The text under `name`, fit for every store (no NUL, no half of a pair); None where absent or empty."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is no text")
    return _storable(value) or None


def truth(holder: Object, name: str) -> bool | None:
    """The truth under `name`; None where absent."""
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise UnreadableError(f"{name} is neither true nor false")
    return value


def whole(holder: Object, name: str, what: str, most: int | None = None) -> int | None:
    """The number from 0 to `most` under `name`, which is a `what`; None where absent."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        raise UnreadableError(f"{name} is no {what}")
    return value


def count(holder: Object, name: str = "quantity") -> int | None:
    """The count under `name`; None where absent: it is no count of seats then, and never 0."""
    return whole(holder, name, "count")


def objects(value: object, name: str) -> list[Object]:
    """The objects of a list that stood under `name`; empty where there was none."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise UnreadableError(f"{name} is no list of objects")
    return value


def texts(values: Object) -> dict[str, str]:
    """The seller's own texts among these values.

    Left out: what is no text, or a long one, and e-mail addresses, for observations keep these.
    """
    kept = {
        key: _storable(value)
        for key, value in values.items()
        if len(key) <= _TEXT_NAME and isinstance(value, str) and len(value) <= _TEXT_VALUE
    }
    return dict(sorted((key, value) for key, value in kept.items() if not _E_MAIL.search(value))[:_TEXTS])


def _storable(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def under(holder: Object, path: str) -> object:
    """What stands under names joined by dots; None where one of them is absent, the whole for an empty path."""
    found: object = holder
    for name in filter(None, path.split(".")):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def part(holder: Object, path: str) -> Object:
    """The object under `path`; empty where absent."""
    value = under(holder, path)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{path} is no object")
    return value


def rows(holder: Object, path: str) -> list[Object]:
    """The objects of the list under `path`; empty where absent."""
    return objects(under(holder, path), path)


def ident(holder: Object, path: str) -> str | None:
    """The id under `path`, fit for a subject's name: a text, or a number above 0 as text; None where absent.

    0 and "" are how some vendors write that there is none.
    """
    value = under(holder, path)
    if value in (None, "", 0):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise UnreadableError(f"{path} is no usable id")


def needed(holder: Object, path: str) -> str:
    """The id under `path`; UnreadableError where there is none."""
    value = ident(holder, path)
    if value is None:
        raise UnreadableError(f"{path} is missing")
    return value


def moment(holder: Object, path: str) -> datetime | None:
    """The moment under `path` in UTC: epoch seconds, or ISO text (without a zone it is UTC); None where absent."""
    value = under(holder, path)
    if value in (None, "", 0):
        return None
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UnreadableError(f"{path} is no time") from error


def stamp(holder: Object, path: str) -> str | None:
    """As `moment`, as text that `moment` reads again."""
    found = moment(holder, path)
    return found.isoformat() if found else None
