"""What the feeds share: the record, the licensing connection, and whose day it is when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection, select

from hub.domain import Entitlement
from hub.ports import Licensing
from hub.settings import Account, Retention, Usage
from hub.store import Store, seats, snapshots, stream
from hub.store.schema import customer_link
from hub.usage.sessions import day_of

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Where seat use comes from, and where it goes."""

    store: Store
    connection: str
    licensing: Licensing
    usage: Usage
    retention: Retention = field(default_factory=Retention)

    def final_before(self, at: float) -> float:
        """Events from before this moment come too late: their days are final. The beginning, where all are kept."""
        kept = self.retention.seat_events_days
        return at - kept * DAY_S if kept else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An entitlement, as far as it is known, and the account that its days are of."""

    entitlement: Entitlement | None
    account: Account

    @property
    def node_locked(self) -> bool:
        """Whether its seats stay with their machines."""
        return self.entitlement is not None and self.entitlement.node_locked

    def day(self, at: float) -> date:
        """The day that a moment is in."""
        return day_of(at, self.account.zone)


def places(conn: Connection, usage: Usage, ids: Sequence[str]) -> dict[str, Place]:
    """Where these entitlements are; one that nobody knows, or that has no customer, is where the hub's company is."""
    known: dict[str, Entitlement] = {}
    for part in seats.in_parts(ids):
        known |= {id_: one.entitlement for id_, one in snapshots.find_all(conn, part).items()}
    names = (
        _account_names(conn, {one.customer_id for one in known.values() if one.customer_id}) if usage.accounts else {}
    )
    return {id_: _place(usage, known.get(id_), names) for id_ in ids}


def _place(usage: Usage, one: Entitlement | None, names: dict[str, list[str]]) -> Place:
    customer = one.customer_id if one else ""
    return Place(entitlement=one, account=usage.account(customer, *names.get(customer, ())))


def _account_names(conn: Connection, customers: set[str]) -> dict[str, list[str]]:
    """Account references and aliases of these customers."""
    c, found = customer_link.c, dict[str, list[str]]()
    for part in seats.in_parts(sorted(customers)):
        rows = conn.execute(select(c.zentitle_id, c.account_ref, c.alias).where(c.zentitle_id.in_(part)))
        for row in rows:
            found.setdefault(row.zentitle_id, []).extend([row.account_ref, row.alias])
    return found


def now(conn: Connection) -> float:
    """Business time in epoch seconds."""
    moment: datetime = stream.business_now(conn)
    return moment.timestamp()
