"""What the record knows of every purchase, and what rules would make of it: for backtests and drift. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from hub import decide as d
from hub import references
from hub.domain import Change, Entitlement, License, Offering, Purchase, Ref, Standing
from hub.errors import UnreadableError
from hub.policy import Rules, Unmapped, as_agreed, licenses_for
from hub.ports import Connector
from hub.store import Store, pages, records
from hub.store import schema as t
from hub.store.codec import entitlement_from
from hub.store.records import Memory

BATCH = 500  # subjects that are read together


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A purchase as its last look saw it, and what the record remembers of its licenses.

    purchase None: what was seen is not to be read any more (an older version of the hub kept it).
    """

    ref: Ref
    vendor: str
    order_ref: str
    customer: str
    state: str
    purchase: Purchase | None
    memory: Memory

    @property
    def held(self) -> tuple[Entitlement, ...]:
        """Its entitlements as on record, each with the lines that it carries."""
        known = self.memory.snapshots.values()
        return tuple(replace(one.entitlement, lines=self.memory.lines_of(one.entitlement.id)) for one in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Implied:
    """What rules make of a purchase. parked: why nobody knows what it means; "" where it is known.

    after: the entitlements as they would be, by id. missing: what would be made. acts: what would be written.
    """

    parked: str = ""
    after: Mapping[str, Entitlement] = field(default_factory=dict)
    missing: tuple[License, ...] = ()
    acts: tuple[tuple[Change, Entitlement], ...] = ()
    wanted: Mapping[str, License] = field(default_factory=dict)  # by entitlement


def count(conn: Connection, since: float | None = None) -> int:
    """How many purchases `batches` will give."""
    return int(conn.execute(select(func.count()).select_from(t.subject).where(*_which(since))).scalar() or 0)


def batches(store: Store, connectors: Mapping[str, Connector], since: float | None = None) -> Iterator[list[Recorded]]:
    """Every purchase that a look saw, last looked at `since` (epoch seconds, the database's clock) or later.

    Each batch is read in a transaction of its own, so that a long run holds nothing up.
    """
    after = ""
    while True:
        with store.read() as conn:
            rows = _rows(conn, after, since)
            found = [_recorded(row, connectors, memory) for row, memory in _with_memory(conn, rows)]
        if not rows:
            return
        after = rows[-1].ref
        yield [one for one in found if one]


def offerings(conn: Connection) -> dict[str, Offering]:
    """The offerings that entitlements on record have; the vendor may know more."""
    e = t.entitlement.c
    newest = select(func.max(e.id)).group_by(e.offering)
    held = [entitlement_from(body) for body in conn.execute(select(e.body).where(e.id.in_(newest))).scalars()]
    return {
        one.offering: Offering(id=one.offering_id, sku=one.offering, product_id=one.product_id, perpetual=one.perpetual)
        for one in held
    }


def business_now(conn: Connection) -> datetime:
    """Business time now, UTC."""
    return datetime.fromtimestamp(pages.business_now(conn), UTC)


def implied(one: Recorded, rules: Rules, known: Mapping[str, Offering], now: datetime) -> Implied:
    """What `rules` make of a purchase. Pure, and as a look would decide it on the record alone.

    An offering that no entitlement on record has yet is taken to be of the product that the purchase holds.
    """
    still = {held.id: held for held in one.held}
    purchase = one.purchase and as_agreed(one.purchase, one.memory.grants)
    if purchase is None or purchase.standing in {Standing.PENDING, Standing.UNKNOWN}:
        return Implied(after=still)
    wanted = licenses_for(purchase, one.order_ref, one.vendor, rules, one.memory.paid, now)
    if isinstance(wanted, Unmapped):
        return Implied(parked=_because(wanted), after=still)
    plan = d.pair(wanted, one.held, {**_of_the_same_product(wanted, one.held), **known})
    acts: list[tuple[Change, Entitlement]] = []
    after: Mapping[str, Entitlement] = still
    for action in d.decide(replace(plan, missing=())):
        if isinstance(action, Change):  # nothing is missing here, so all are
            held = after[action.entitlement_id]
            acts.append((action, held))
            after = {**after, held.id: d.after(action, held)}
    pairs = {pair.held.id: pair.wanted for pair in plan.pairs}
    return Implied(after=after, missing=plan.missing, acts=tuple(acts), wanted=pairs)


def _because(unmapped: Unmapped) -> str:
    keys = f"no row names {', '.join(unmapped.keys)}" if unmapped.keys else ""
    return "; ".join(part for part in (keys, unmapped.because) if part)


def _of_the_same_product(wanted: Sequence[License], held: Sequence[Entitlement]) -> dict[str, Offering]:
    product = held[0].product_id if held else ""
    return {one.offering: Offering(id="", sku=one.offering, product_id=product) for one in wanted if product}


def _which(since: float | None) -> list[Any]:  # rows
    seen = [t.subject.c.saw.is_not(None)]
    return [*seen, t.subject.c.looked_at >= since] if since is not None else seen


def _rows(conn: Connection, after: str, since: float | None) -> list[Any]:  # rows
    s, o = t.subject.c, t.observation.c
    saw = t.subject.join(t.observation, (o.subject == s.ref) & (o.hash == s.saw))
    columns = (s.ref, s.connection, s.order_ref, s.customer, s.customer_name, s.state, o.seen)
    stmt = select(*columns).select_from(saw).where(s.ref > after, *_which(since))
    return list(conn.execute(stmt.order_by(s.ref).limit(BATCH)))


def _with_memory(conn: Connection, rows: Sequence[Any]) -> Iterator[tuple[Any, Memory]]:
    refs = [Ref.parse(row.ref) for row in rows]
    memories = records.recall_all(conn, refs) if refs else {}
    for ref, row in zip(refs, rows, strict=True):
        yield row, memories[ref]


def _recorded(row: Any, connectors: Mapping[str, Connector], memory: Memory) -> Recorded | None:  # noqa: ANN401  (a row)
    connector = connectors.get(row.connection)
    if connector is None or connector.purchases is None:
        return None
    ref = Ref.parse(row.ref)
    try:
        purchase = connector.purchases.recalled(row.seen)
    except UnreadableError:
        purchase = None
    return Recorded(
        ref=ref,
        vendor=connector.catalog_key,
        order_ref=row.order_ref or references.reference(connector.ref, ref.id),
        customer=row.customer_name or row.customer or "",
        state=row.state,
        purchase=purchase,
        memory=memory,
    )
