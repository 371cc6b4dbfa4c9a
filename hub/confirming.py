"""What became of each sale, told to where it was sold: entitlement, activation code, state, and what stands in the way.

Absolute values, and only what says something new: the vendor's own list of changes then shows them, the look that
follows finds nothing to do, and what it finds is told already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from hub import renewals
from hub.domain import Sold
from hub.errors import UnreadableError
from hub.ports import Connector, CrmRecord, Outcome
from hub.store import Store, pushes, records, sales, subjects
from hub.store.sales import Sale

if TYPE_CHECKING:
    from hub.wiring import Hub

log = structlog.get_logger()
AT_ONCE = 200
LATE_S = 60.0  # a transaction may show so long after the time that it wrote
WAITING = {"parked": "waiting", "held": "waiting", "dead": "refused"}


def tell_sold(hub: Hub, connector: Connector) -> int:
    """Tells the connection what became of its sales since it was last told; how many lines were written. Repeatable.

    A cursor moves only past what was taken or refused: what is left for later is told again. HubError as a whole.
    """
    if connector.sold is None or connector.purchases is None or connector.crm is None:
        return 0
    name, written = f"{pushes.SOLD}{connector.name}", 0
    with hub.store.read() as conn:
        cursor = records.get_cursor(conn, name)
        settled = subjects.now(conn) - LATE_S
    since = float(cursor[0]) if cursor else 0.0
    while True:
        with hub.store.read() as conn:
            found = sales.changed(conn, connector.name, since, AT_ONCE)
        if cursor and all(one.changed_at == since for one in found):
            return written  # nothing since: told already
        lines = [line for sale in found for line in lines_of(sale, connector)]
        results = list(renewals.push_records(hub.store, connector, connector.sold(lines)))
        counts = [one.outcome for one in results]
        written += counts.count(Outcome.UPDATED)
        if Outcome.LATER in counts or not found:
            return written
        before, since = since, found[-1].changed_at
        cursor = (repr(min(since, settled)), 0.0)
        hub.store.write(lambda conn, at=cursor[0]: records.set_cursor(conn, name, at))  # type: ignore[misc]
        if len(found) < AT_ONCE or since == before:
            return written


def wanted(store: Store, connector: Connector) -> Iterator[CrmRecord]:
    """What ought to stand on the lines of every sale where it was sold. Reads only."""
    after: str | None = ""
    while after is not None and connector.sold is not None:
        with store.read() as conn:
            found = sales.page(conn, connector.name, after, AT_ONCE)
        yield from connector.sold([line for sale in found for line in lines_of(sale, connector)])
        after = found[-1].ref if found else None


def lines_of(sale: Sale, connector: Connector) -> Sequence[Sold]:
    """What became of each line that the sale's last look saw; none where nothing was ever granted nor is in the way."""
    return tuple(_lines_of(sale, connector))


def _lines_of(sale: Sale, connector: Connector) -> Iterator[Sold]:
    if connector.purchases is None or (not sale.granted and sale.state not in WAITING):
        return
    try:
        purchase = connector.purchases.recalled(sale.seen)
    except UnreadableError as error:
        log.warning("sold.not_recalled", subject=sale.ref, error=str(error))
        return
    by_line = {one.line: one for one in sale.granted}
    state = WAITING.get(sale.state, "")
    for line in purchase.lines:
        one = by_line.get(line.id)
        if one is None and not state:
            continue
        yield Sold(
            line=line.id,
            entitlement_id=one.entitlement if one else "",
            activation_code=(sale.code or "") if one else "",
            state=state or ("on" if one and one.enabled else "off"),
            problem=sale.reason if state else "",
        )
