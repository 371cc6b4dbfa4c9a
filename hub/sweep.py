"""What to look at when nobody said so: the vendors' lists of changes, and once a day their lists of purchases.

A sweep marks subjects due; it never acts. Only a difference from the record is worth a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from hub import decide, references
from hub.domain import Action, Enable, Entitlement, Purchase, Ref, SetTerms, Standing
from hub.errors import HubError
from hub.policy import Unmapped, as_agreed, licenses_for
from hub.ports import Changed, Connector, PurchaseSource
from hub.reconcile import Shop
from hub.store import records, subjects
from hub.store.records import Memory

T = TypeVar("T")
log = structlog.get_logger()
OVERLAP = timedelta(minutes=10)
OLDEST = timedelta(days=30)  # Stripe keeps its events that long; an older cursor means the full list
CHUNK = 200


def sweep(shop: Shop, connector: Connector) -> int:
    """Marks due what changed since the last sweep, or what differs from the full list; how many.

    Repeatable; a cursor moves only when its list was read to the end. Where the full list is refused, the list of
    changes is read all the same: a key that may not read all of the one must not hide the other for ever.
    """
    source = connector.purchases
    if source is None or not source.can_read:
        return 0
    name = f"changes:{connector.name}"
    with shop.store.read() as conn:
        cursor = records.get_cursor(conn, name)
        full = records.get_cursor(conn, f"full:{connector.name}")
        now = subjects.now(conn)
    is_due = full is None or now - full[1] >= shop.timing.full_sweep or _too_old(cursor, now)
    try:
        marked = full_sweep(shop, connector, source) if is_due else 0
    except HubError:
        _changes(shop, source, name, cursor)
        raise
    return marked + _changes(shop, source, name, cursor)


def full_sweep(shop: Shop, connector: Connector, source: PurchaseSource) -> int:
    """Compares every purchase in the vendor's list with the record; marks due what differs."""
    marked = seen = 0
    for chunk in chunks(source.purchases()):
        seen += len(chunk)
        with shop.store.read() as conn:
            known = records.recall_all(conn, [one.ref for one in chunk])
            reversed_ = subjects.with_about(conn, [one.ref for one in chunk])
        differing = [
            ref
            for one in chunk
            if differs(shop, connector, one, known[one.ref], blind=one.ref in reversed_ and not one.parts)
            for ref in (one.ref, *one.parts)
        ]
        marked += _mark(shop, differing, "differs from the vendor's list")
    shop.store.write(lambda conn: records.set_cursor(conn, f"full:{connector.name}", str(seen)))
    log.info("sweep.full", source=connector.name, purchases=seen, marked=marked)
    return marked


def differs(shop: Shop, connector: Connector, purchase: Purchase, memory: Memory, *, blind: bool = False) -> bool:
    """Whether the record would have to change for this purchase; an unmapped one always is looked at.

    blind: something of it was paid back, which lists do not tell: that they want more on, or more seats, says nothing.
    """
    purchase = as_agreed(purchase, memory.grants)
    if purchase.standing in {Standing.PENDING, Standing.UNKNOWN}:
        return purchase.standing is Standing.UNKNOWN
    if not purchase.lines:  # the list does not tell them
        return not memory.snapshots
    order_ref = references.reference(connector.ref, purchase.ref.id)
    wanted = licenses_for(purchase, order_ref, connector.catalog_key, shop.rules, memory.paid)
    if isinstance(wanted, Unmapped):
        return True
    held = [replace(one.entitlement, lines=memory.lines_of(one.entitlement.id)) for one in memory.snapshots.values()]
    plan = decide.pair(wanted, held, {})
    acts = decide.decide(plan)
    if blind:
        now = {one.id: one for one in held}
        acts = tuple(act for act in acts if not _gives_back(act, now))
    return bool(plan.missing) or bool(acts)


def _gives_back(act: Action, held: Mapping[str, Entitlement]) -> bool:
    """Whether the act does nothing but undo what a reversal did: switch on, or more seats."""
    match act:
        case Enable():
            return True
        case SetTerms(entitlement_id=id_, seats=seats, expires_at=None, overdraft=None, maintenance_until=None):
            return seats is not None and seats > held[id_].seats
    return False


def _changes(shop: Shop, source: PurchaseSource, name: str, cursor: tuple[str, float] | None) -> int:
    since = datetime.fromisoformat(cursor[0]) - OVERLAP if cursor else datetime.now(UTC) - OVERLAP
    newest, marked = None, 0
    for chunk in chunks(source.changes(since)):
        newest = max([one.at for one in chunk] + ([newest] if newest else []), default=None)
        marked += _mark(shop, [one.ref for one in chunk], "in the vendor's list of changes")
        _done(shop, chunk)
    reached = max(newest or since + OVERLAP, since + OVERLAP)

    def unit(conn: Connection) -> None:
        records.set_cursor(conn, name, reached.isoformat())

    shop.store.write(unit)
    return marked


def _done(shop: Shop, chunk: Iterable[Changed]) -> None:
    """Tells the vendor what need not be listed any more. Where it says no, it lists it again: no harm."""
    for one in chunk if not shop.observe else ():
        if one.done is not None:
            try:
                one.done()
            except HubError as error:
                log.warning("sweep.not_told", subject=str(one.ref), error=str(error))


def _mark(shop: Shop, refs: Iterable[Ref], why: str) -> int:
    refs = set(refs)
    if refs:
        shop.store.write(lambda conn: subjects.mark_due(conn, refs, cause="sweep", reason=why, priority=subjects.SWEEP))
    return len(refs)


def _too_old(cursor: tuple[str, float] | None, now: float) -> bool:
    return cursor is not None and now - cursor[1] > OLDEST.total_seconds()


def chunks(rows: Iterator[T]) -> Iterator[list[T]]:
    """The rows, CHUNK at a time; where reading fails, first what was read, then the error.

    So one list that is refused does not hide what another one told.
    """
    chunk: list[T] = []
    try:
        for row in rows:
            chunk.append(row)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except HubError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def sweep_all(shop: Shop) -> dict[str, int | str]:
    """Sweeps every connection that can be read; one that fails does not stop the others."""
    done: dict[str, int | str] = {}
    for name, connector in shop.connectors.items():
        try:
            done[name] = sweep(shop, connector)
        except HubError as error:
            log.warning("sweep.failed", source=name, error=str(error))
            done[name] = str(error)
    return done
