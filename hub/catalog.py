"""Which offering a purchase line means: `[[catalog]]` rows first, else the vendor's own convention. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hub.domain import Json, Line
from hub.errors import ConfigurationError
from hub.settings import CatalogRow, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a line means: the offering's SKU, seats a unit, and which row or convention said so."""

    sku: str
    seats_per_unit: int = 1
    overdraft: int | None = None
    rule: str = "convention"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The rows by (vendor key, value)."""

    rows: Mapping[tuple[str, str], Match]

    def match(self, vendor: str, line: Line) -> Match | None:
        """The most telling key that a row names, else the line's own SKU, else None: unmapped."""
        for key in line.keys:
            if found := self.rows.get((vendor, key)):
                return found
        return Match(sku=line.sku, rule=f"{vendor}: the line names the SKU itself") if line.sku else None

    def skus(self) -> frozenset[str]:
        """Every SKU that a row names."""
        return frozenset(match.sku for match in self.rows.values())


def build(rows: Sequence[CatalogRow], vendors: Collection[str]) -> Catalog:
    """The catalog; ConfigurationError names the row where one speaks of an unknown vendor or says a key twice."""
    found: dict[tuple[str, str], Match] = {}
    for number, row in enumerate(rows, 1):
        where = f"[[catalog]] row {number}"
        for vendor, value in row.keys.items():
            if vendor not in vendors:
                raise ConfigurationError(
                    f"no connection is of the kind {vendor!r}", where=where, mend=f"known: {', '.join(sorted(vendors))}"
                )
            if (vendor, value) in found:
                raise ConfigurationError(f"{vendor} = {value!r} stands in two rows", where=where, mend="keep one")
            found[vendor, value] = Match(
                sku=row.sku, seats_per_unit=row.seats_per_unit, overdraft=row.overdraft, rule=f"catalog row {number}"
            )
    return Catalog(found)


def version_of(rows: Sequence[CatalogRow], policy: Policy) -> tuple[str, dict[str, Json]]:
    """(SHA-256 of the checked catalog and policy, what was hashed)."""
    body: dict[str, Json] = {"catalog": [row.model_dump(mode="json") for row in rows], "policy": policy.model_dump()}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(), body
