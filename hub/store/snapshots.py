"""What the record knows of entitlements, the hub's or not, and of the purchases that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, literal, select

from hub.domain import Entitlement
from hub.store import schema as t
from hub.store.codec import entitlement_from
from hub.store.schema import db_now
from hub.store.subjects import subject_key

Ids: TypeAlias = Callable[[Connection], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A snapshot, whose purchase it belongs to (None: nobody's that the hub knows), and when it was read."""

    entitlement: Entitlement
    purchase: str | None
    read_at: float


def find(conn: Connection, id_: str) -> Known | None:
    """The snapshot of an entitlement."""
    return find_all(conn, [id_]).get(id_)


def find_all(conn: Connection, ids: Iterable[str]) -> Mapping[str, Known]:
    """The snapshots of these entitlements that are on record."""
    e = t.entitlement.c
    stmt = select(e.id, e.body, e.subject, e.read_at).where(e.id.in_(list(ids)))
    return {
        row.id: Known(entitlement=entitlement_from(row.body), purchase=row.subject, read_at=row.read_at)
        for row in conn.execute(stmt)
    }


def purchase_of(conn: Connection, one: Entitlement) -> str | None:
    """The purchase that an entitlement belongs to: by its snapshot, a grant, or its order reference."""
    e, g, s = t.entitlement.c, t.grant.c, t.subject.c
    asked = [select(e.subject).where(e.id == one.id), select(g.subject).where(g.entitlement == one.id)]
    if one.order_ref:
        asked += [select(s.ref).where(s.order_ref == one.order_ref)]
        asked += [select(t.intent.c.subject).where(t.intent.c.kind == "group", t.intent.c.key == one.order_ref)]
    found = (conn.execute(stmt.limit(1)).scalar() for stmt in asked)
    return next((ref for ref in found if ref), None)


def at_work(conn: Connection, purchase: str | None) -> bool:
    """Whether somebody looks at this purchase now, or a create of it is in doubt: what is read may be half done."""
    if purchase is None:
        return False
    lease, intent = t.lease.c, t.intent.c
    held = select(lease.key).where(lease.key == subject_key(purchase), lease.holder.is_not(None))
    alive = conn.execute(held.where(lease.expires > db_now())).first()
    doubt = select(intent.key).where(intent.subject == purchase, intent.open, intent.kind != "customer").limit(1)
    return alive is not None or conn.execute(doubt).first() is not None


def read_before(conn: Connection, connection: str, at: float, after: str, most: int) -> list[str]:
    """Ids of entitlements last read before `at`, in their order from `after` on; not those a person knows are gone."""
    e, r = t.entitlement.c, t.review.c
    told = select(r.id).where(r.key == literal(f"gone:{connection}/entitlement/") + e.id, r.open).exists()
    stmt = select(e.id).where(e.id > after, e.read_at < at, ~told).order_by(e.id).limit(most)
    return list(conn.execute(stmt).scalars())


def read_longest_ago(conn: Connection, before: float, most: int) -> list[str]:
    """Ids of purchases' entitlements that were last read before then, longest ago first."""
    e = t.entitlement.c
    stmt = select(e.id).where(e.subject.is_not(None), e.read_at < before).order_by(e.read_at).limit(most)
    return list(conn.execute(stmt).scalars())


def of_group(conn: Connection, id_: str) -> list[str]:
    """The known entitlements of a group."""
    return list(conn.execute(select(t.entitlement.c.id).where(t.entitlement.c.group_id == id_)).scalars())


def of_customer(conn: Connection, id_: str) -> list[str]:
    """The known entitlements of a customer."""
    return list(conn.execute(select(t.entitlement.c.id).where(t.entitlement.c.customer_id == id_)).scalars())
