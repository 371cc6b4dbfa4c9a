"""What the CRM said renewals are worth, and whose they are: by entitlement, as it was read with the newest push.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from hub.store import schema as t
from hub.store.schema import db_now
from hub.store.seats import in_parts
from hub.store.subjects import insert
from hub.usage.portfolio import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Of one entitlement: its part of a renewal's amount (None: nobody said), and an owner's name or ""."""

    amount_minor: int | None
    currency: str
    owner: str


def put(conn: Connection, connection: str, asked: Collection[str], found: Mapping[str, Known]) -> None:
    """Of the entitlements `asked` for this CRM says `found` and nothing else. Repeatable."""
    w = t.worth.c
    for part in in_parts(sorted(asked)):
        conn.execute(delete(t.worth).where(w.connection == connection, w.entitlement.in_(part)))
    for id_, one in sorted(found.items()):
        told = {"amount_minor": one.amount_minor, "currency": one.currency, "owner": one.owner, "read_at": db_now()}
        stmt = insert(conn, t.worth).values(entitlement=id_, connection=connection, **told)
        conn.execute(
            stmt.on_conflict_do_update(index_elements=["entitlement"], set_={**told, "connection": connection})
        )


def amounts(conn: Connection, ids: Collection[str]) -> dict[str, Money]:
    """What the renewals of these entitlements are worth; those that nobody told of are left out."""
    w, found = t.worth.c, dict[str, Money]()
    for part in in_parts(sorted(ids)):
        stmt = select(w.entitlement, w.amount_minor, w.currency).where(w.entitlement.in_(part))
        for row in conn.execute(stmt.where(w.amount_minor.is_not(None))):
            found[row.entitlement] = Money(amount_minor=row.amount_minor, currency=row.currency)
    return found
