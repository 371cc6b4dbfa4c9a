"""Summaries of seat usage out of a file: a JSON list, one object an entitlement, named as domain.UsageSummary."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from hub.domain import UsageSummary
from hub.errors import ConfigurationError
from hub.usage.signal import Confidence, Signal

LARGEST_CHART = 5 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"
_KEYS = {field.name for field in fields(UsageSummary)}


def read(file: Path) -> list[UsageSummary]:
    """The summaries in `file`, whose `chart` is the path of a PNG beside it.

    ConfigurationError names the row and the key that can't be read, and what was expected.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise ConfigurationError(f"not readable: {error.strerror}", where=str(file)) from None
    except ValueError as error:
        raise ConfigurationError(f"not readable as JSON: {error}", where=str(file)) from None
    if not isinstance(rows, list):
        raise ConfigurationError("must be a list of summaries", where=str(file), mend='[{"entitlement_id": …}, …]')
    return [_summary(row, file, f"{file} row {number}") for number, row in enumerate(rows, 1)]


def _summary(row: Any, file: Path, where: str) -> UsageSummary:  # noqa: ANN401  (as JSON gave it)
    if not isinstance(row, dict):
        raise ConfigurationError("must be an object", where=where)
    if unknown := sorted(set(row) - _KEYS):
        raise ConfigurationError(
            "no such key", where=f"{where} {unknown[0]}", mend=f"known: {', '.join(sorted(_KEYS))}"
        )
    chart = row.get("chart", "")
    try:
        found = _adapter().validate_python({**row, "chart": b""})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigurationError(first["msg"], where=f"{where} {key}") from None
    if found.signal not in set(Signal):
        raise ConfigurationError("no such signal", where=f"{where} signal", mend=f"known: {', '.join(Signal)}")
    if found.confidence not in set(Confidence):
        raise ConfigurationError("no such word", where=f"{where} confidence", mend=f"known: {', '.join(Confidence)}")
    return replace(found, chart=_picture(file.parent / chart, f"{where} chart")) if chart else found


def _picture(file: Path, where: str) -> bytes:
    try:
        content = file.read_bytes()
    except (OSError, ValueError):
        raise ConfigurationError(f"{file} can't be read", where=where) from None
    if not content.startswith(PNG) or len(content) > LARGEST_CHART:
        raise ConfigurationError(f"{file} is no PNG of at most 5 MiB", where=where)
    return content


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


@cache
def _adapter() -> TypeAdapter[UsageSummary]:
    return TypeAdapter(UsageSummary)
