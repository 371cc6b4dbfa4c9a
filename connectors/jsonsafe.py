"""Reads an authentic vendor's JSON within bounds: depth, nodes, digits, finite numbers, no key twice.

For bodies whose signature has been checked already; knows no vendor. An ordinary event passes without a
second walk over it: bounds that its length or its number of brackets can't break are not counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from hub.errors import UnreadableError

MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_DIGITS = 4_300

# Always matches from a quote on (an open string runs to the end), so that it never looks at a byte twice.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def loads(body: bytes) -> dict[str, Any]:
    """The JSON object that `body` (UTF-8) holds; UnreadableError where it is none, or breaks a bound."""
    _check_size(body)
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"no readable JSON: {_problem(error)}") from error
    if not isinstance(value, dict):
        raise UnreadableError("no JSON object")
    return value


def alike(one: bytes, other: bytes, told: Callable[[dict[str, Any]], object]) -> bool:
    """Whether both bodies tell the same, which is for `told` to pick; False where one of two others can't be read."""
    if one == other:
        return True
    try:
        return told(loads(one)) == told(loads(other))
    except UnreadableError:
        return False


def _problem(error: Exception) -> str:
    """What is wrong, without a byte of the body (messages of decoding errors may quote it)."""
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _check_size(body: bytes) -> None:
    """Raises UnreadableError where `body` is too deep or has too many values, before anything recurses."""
    opened = body.count(b"[") + body.count(b"{")
    if opened <= MAX_DEPTH and len(body) < MAX_NODES:
        return
    bare = _STRING.sub(b"", body)
    brackets = bare.translate(None, _NOT_BRACKETS)
    # A value is the first of its container or follows a comma; an empty container so counts as two.
    if bare.count(b",") + brackets.count(b"[") + brackets.count(b"{") + 1 > MAX_NODES:
        raise UnreadableError(f"more than {MAX_NODES} JSON values")
    _check_depth(brackets)


def _check_depth(brackets: bytes) -> None:
    depth = 0
    for byte in brackets:
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise UnreadableError(f"JSON deeper than {MAX_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("a JSON object with one key twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise UnreadableError(f"a number of more than {MAX_DIGITS} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UnreadableError("a number that is not finite")
    return value


def _constant(_text: str) -> NoReturn:
    raise UnreadableError("a number that is not finite")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)
