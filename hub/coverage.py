"""Whether the catalog, the offerings and what is sold cover each other; for `hub check` and the console."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from hub.conditions import ConditionError
from hub.domain import Line, Purchase
from hub.errors import UnreadableError
from hub.ports import Finding
from hub.store import pages
from hub.store import schema as t
from hub.wiring import Hub

SEEN = 5000  # subjects that are gone through, those that changed last first
SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnamed:
    """A key that was sold and that no row and no convention names; `subjects` wait for it, 0: it was only seen."""

    vendor: str
    key: str
    subjects: int = 0

    @property
    def row(self) -> str:
        """The row to paste into hub.toml; its sku is for a person to fill in."""
        return f'[[catalog]]\n{self.vendor} = {json.dumps(self.key, ensure_ascii=False)}\nsku = "…"'


@dataclass(slots=True)
class Sold:
    """What was sold, as far as what looks saw last tells."""

    purchases: int = 0
    rows: set[int] = field(default_factory=set)  # numbers of catalog rows that spoke of a line
    unnamed: set[tuple[str, str]] = field(default_factory=set)  # vendor, key


def waiting_for_a_row(conn: Connection, hub: Hub, limit: int = 200) -> list[Unnamed]:
    """The keys that subjects are parked for, those that most wait for first."""
    s, u = t.subject.c, t.unmapped.c
    count = func.count()
    stmt = (
        select(s.connection, u.key, count)
        .select_from(t.subject.join(t.unmapped, u.subject == s.ref))
        .where(s.state == "parked", s.cause == "unmapped")
        .group_by(s.connection, u.key)
        .order_by(count.desc(), u.key)
        .limit(limit)
    )
    return [Unnamed(vendor=vendor_of(hub, row[0]), key=row[1], subjects=row[2]) for row in conn.execute(stmt)]


def sold(conn: Connection, hub: Hub) -> Sold:
    """What the last looks saw to be sold, by the catalog of now: one purchase per subject."""
    found = Sold()
    s, o = t.subject.c, t.observation.c
    saw = t.subject.join(t.observation, (o.subject == s.ref) & (o.hash == s.saw))
    now = datetime.fromtimestamp(pages.business_now(conn), UTC)
    stmt = select(s.ref, o.seen).select_from(saw).order_by(s.changed_at.desc()).limit(SEEN)
    for subject, seen in conn.execute(stmt):
        for purchase in _recalled(hub, subject.split("/")[0], seen):
            _count(hub, purchase, found, now)
    return found


def findings(hub: Hub, offerings: Sequence[str]) -> list[Finding]:
    """What of catalog, offerings and sales does not cover the others."""
    with hub.store.read() as conn:
        seen, waiting = sold(conn, hub), waiting_for_a_row(conn, hub)
    told = [
        *_no_offering(hub, offerings),
        *_not_named(waiting, seen),
        *_not_sold(hub, offerings),
        *_not_matched(hub, seen),
    ]
    return told or [Finding(level="ok", about="catalog", problem="rows, offerings and sales cover each other")]


def _no_offering(hub: Hub, offerings: Sequence[str]) -> Iterator[Finding]:
    for sku in sorted(hub.rules.catalog.skus() - set(offerings)):
        mend = "create the offering, or correct the row"
        yield Finding(level="error", about="catalog", problem=f"sku {sku!r} is no offering", mend=mend)


def _not_named(waiting: Sequence[Unnamed], seen: Sold) -> Iterator[Finding]:
    parked = {(one.vendor, one.key) for one in waiting}
    only_seen = [Unnamed(vendor=vendor, key=key) for vendor, key in sorted(seen.unnamed - parked)]
    for one in [*waiting, *only_seen][:SHOWN]:
        what = f"{one.subjects} subjects wait for it" if one.subjects else "nothing waits for it now"
        problem = f"{one.vendor} {one.key!r} was sold and no row speaks of it; {what}"
        yield Finding(level="warning", about="catalog", problem=problem, mend=one.row)
    if (more := len(waiting) + len(only_seen) - SHOWN) > 0:
        yield Finding(level="warning", about="catalog", problem=f"{more} more keys were sold that no row speaks of")


def _not_sold(hub: Hub, offerings: Sequence[str]) -> Iterator[Finding]:
    if unsold := sorted(set(offerings) - hub.rules.catalog.skus()):
        problem = (
            f"{len(unsold)} offerings have no catalog row ({_some(unsold)}): sold only where the vendor names them"
        )
        yield Finding(level="ok", about="catalog", problem=problem)


def _not_matched(hub: Hub, seen: Sold) -> Iterator[Finding]:
    idle = [str(row.number) for row in hub.rules.catalog.all() if row.number not in seen.rows]
    if idle and seen.purchases:
        problem = f"catalog row {_some(idle)} matched none of the {seen.purchases} purchases seen last"
        yield Finding(level="ok", about="catalog", problem=problem)


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:SHOWN]) + (" …" if len(words) > SHOWN else "")


def _count(hub: Hub, purchase: Purchase, found: Sold, now: datetime) -> None:
    found.purchases += 1
    vendor = vendor_of(hub, purchase.ref.source)
    for line in purchase.lines:
        try:
            row = hub.rules.catalog.row(vendor, line, purchase, now)
        except ConditionError:
            continue  # parked, with this reason
        if row is not None:
            found.rows.add(row.number)
        elif not line.sku and line.keys:
            found.unnamed.add((vendor, _key(line)))


def _key(line: Line) -> str:
    return line.keys[0]


def _recalled(hub: Hub, connection: str, seen: object) -> Iterator[Purchase]:
    connector = hub.connectors.get(connection)
    if connector is None or connector.purchases is None or not isinstance(seen, dict):
        return
    try:
        yield connector.purchases.recalled(seen)
    except UnreadableError:
        return  # seen by an older version of the hub


def vendor_of(hub: Hub, connection: str) -> str:
    """The key in catalog rows that speaks of a connection's vendor."""
    connector = hub.connectors.get(connection)
    return connector.catalog_key if connector else connection
