"""The chain of a table's rows: each link is a hash over the link before, the position and the row's digest. Pure.

The digest covers what the row says, so that its bodies can be erased later and the chain still verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

START = "0" * 64
PLACED = ("position", "digest", "link", "erased_at")  # the chain's own columns, not part of what a row says


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Where a chain does not hold, and how that shows."""

    table: str
    position: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest position of a sequence, and its link."""

    position: int = 0
    link: str = START


def digest_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of what a row says, in hex."""
    said = {name: value for name, value in row.items() if name not in PLACED}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def link_of(before: str, position: int, digest: str) -> str:
    """The link at `position`."""
    return hashlib.sha256(f"{before}:{position}:{digest}".encode()).hexdigest()


def check(table: str, rows: Iterable[Mapping[str, Any]], head: Head) -> Broken | None:
    """The first place where the chain does not hold; None where it holds to its head. Rows in order of position."""
    position, link = 0, START
    for row in rows:
        if row["position"] != position + 1:
            return Broken(table=table, position=position + 1, problem="the row is gone")
        position = row["position"]
        if row["erased_at"] is None and not hmac.compare_digest(digest_of(row), row["digest"] or ""):
            return Broken(
                table=table, position=position, problem="the row says something else than when it was chained"
            )
        link = link_of(link, position, row["digest"] or "")
        if not hmac.compare_digest(link, row["link"] or ""):
            return Broken(table=table, position=position, problem="the link does not follow from the one before")
    if position < head.position:
        return Broken(table=table, position=position + 1, problem=f"the rows up to {head.position} are gone")
    if not hmac.compare_digest(link, head.link):
        return Broken(table=table, position=position, problem="the end of the chain is not the one that was kept")
    return None
