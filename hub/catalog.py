"""Which offering a purchase line means: `[[catalog]]` rows first, else the vendor's own convention. Pure.

The most telling key of the line goes first, then the rows in the order of the file (docs/catalog.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from hub.conditions import Condition, ConditionError, compiled
from hub.domain import Json, Line, Purchase
from hub.errors import ConfigurationError
from hub.settings import CatalogRow, Policy

Keys = tuple[str, str]  # vendor, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a line means for one offering: its SKU, its seats, and which row or convention said so.

    seats      a fixed number, whatever the quantity; None: quantity x seats_per_unit
    adds       these seats come on top of what other lines of the purchase give this offering
    maintains  the line pays the maintenance of this perpetual offering, and gives no license of its own
    """

    sku: str
    seats_per_unit: int = 1
    seats: int | None = None
    adds: bool = False
    maintains: str | None = None
    overdraft: int | None = None
    rule: str = "convention"

    def seats_for(self, quantity: int | None) -> int | None:
        """The seats of so many units; None where the quantity is no count of seats."""
        if self.seats is not None:
            return self.seats
        return None if quantity is None else quantity * self.seats_per_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, ready to be asked. In force from `starts` on and before `ends`; None: without limit."""

    number: int
    matches: tuple[Match, ...]
    starts: datetime | None = None
    ends: datetime | None = None
    condition: Condition | None = None

    def in_force(self, at: datetime | None) -> bool:
        """Whether the row counts at `at`; ConditionError where the row has dates and `at` is not known."""
        if self.starts is None and self.ends is None:
            return True
        if at is None:
            raise ConditionError(f"catalog row {self.number} has dates, and of this line no date is known")
        return (self.starts is None or self.starts <= at) and (self.ends is None or at < self.ends)

    def means(self, purchase: Purchase | None, line: Line, at: datetime | None) -> bool:
        """Whether the row speaks of this line; ConditionError where that can't be told."""
        if not self.in_force(at):
            return False
        if self.condition is None:
            return True
        if purchase is None:
            raise ConditionError(f"catalog row {self.number} has a condition, and the purchase is not known")
        try:
            return self.condition.holds(purchase, line)
        except ConditionError as error:
            raise ConditionError(f"the condition of catalog row {self.number} can't be told: {error}") from None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The rows by (vendor, key), in the order of the file."""

    rows: Mapping[Keys, tuple[Row, ...]]

    def match(
        self, vendor: str, line: Line, purchase: Purchase | None = None, now: datetime | None = None
    ) -> tuple[Match, ...]:
        """What the line means, one Match per offering; () where nothing names it.

        Which rows are in force is told by the line's period start, else the date of the purchase, else `now`.
        ConditionError where a row can't be judged: then nobody knows what the line means.
        """
        if row := self.row(vendor, line, purchase, now):
            return row.matches
        return (Match(sku=line.sku, rule=f"{vendor}: the line names the SKU itself"),) if line.sku else ()

    def row(self, vendor: str, line: Line, purchase: Purchase | None = None, now: datetime | None = None) -> Row | None:
        """The row that speaks of the line; None where none does. As `match`."""
        at = line.period_start or (purchase.bought_at if purchase else None) or now
        return next((row for row in self.naming(vendor, line) if row.means(purchase, line, at)), None)

    def naming(self, vendor: str, line: Line) -> Iterator[Row]:
        """The rows that name a key of the line, whether in force or not: the most telling key first."""
        return (row for key in line.keys for row in self.rows.get((vendor, key), ()))

    def all(self) -> list[Row]:
        """Every row once, in the order of the file."""
        return sorted({row.number: row for rows in self.rows.values() for row in rows}.values(), key=lambda r: r.number)

    def skus(self) -> frozenset[str]:
        """Every SKU that a row names."""
        return frozenset(match.sku for row in self.all() for match in row.matches)


def build(rows: Sequence[CatalogRow], vendors: Collection[str], file: str = "") -> Catalog:
    """The catalog, its conditions compiled; ConfigurationError names file and row, and says how to mend it."""
    found: dict[Keys, list[Row]] = {}
    for number, row in enumerate(rows, 1):
        where = f"{file} [[catalog]] row {number}".strip()
        ready = _row(number, row, where)
        for vendor, value in row.keys.items():
            if vendor not in vendors:
                raise ConfigurationError(
                    f"no connection is of the kind {vendor!r}", where=where, mend=f"known: {', '.join(sorted(vendors))}"
                )
            before = found.setdefault((vendor, value), [])
            _check_apart(before, ready, f"{vendor} = {value!r}", where)
            before.append(ready)
    return Catalog({key: tuple(same) for key, same in found.items()})


def version_of(rows: Sequence[CatalogRow], policy: Policy) -> tuple[str, dict[str, Json]]:
    """(SHA-256 of the checked catalog and policy, what was hashed)."""
    body: dict[str, Json] = {
        "catalog": [row.model_dump(mode="json", by_alias=True, exclude_defaults=True) for row in rows],
        "policy": policy.model_dump(),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(), body


def _row(number: int, row: CatalogRow, where: str) -> Row:
    return Row(
        number=number,
        matches=tuple(_match(row, sku, f"catalog row {number}") for sku in row.skus),
        starts=_midnight(row.from_),
        ends=_midnight(row.until),
        condition=compiled(row.when, where) if row.when is not None else None,
    )


def _match(row: CatalogRow, sku: str, rule: str) -> Match:
    return Match(
        sku=sku,
        seats_per_unit=row.seats_per_unit,
        seats=row.seats,
        adds=row.adds_to is not None,
        maintains=row.maintains,
        overdraft=row.overdraft,
        rule=rule,
    )


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None


def _check_apart(before: Sequence[Row], new: Row, key: str, where: str) -> None:
    """A later row of the same key must be reachable: another time, or an earlier one with another condition."""
    for old in before:
        if not _overlap(old, new):
            continue
        if old.condition is None:
            raise ConfigurationError(
                f"{key} stands in two rows at one time: row {old.number} always goes first",
                where=where,
                mend=f"keep one, give row {old.number} a `when`, or set them apart by `from` and `until`",
            )
        if new.condition and new.condition.text == old.condition.text:
            raise ConfigurationError(
                f"{key} stands in two rows with the same `when`: row {old.number} always goes first",
                where=where,
                mend="keep one",
            )


def _overlap(one: Row, other: Row) -> bool:
    first, second = sorted([one, other], key=lambda row: row.starts or datetime.min.replace(tzinfo=UTC))
    return first.ends is None or second.starts is None or second.starts < first.ends
