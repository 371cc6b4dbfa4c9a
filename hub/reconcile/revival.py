"""A customer who comes back gets the old license again: found, read anew, handed over in one transaction (ADR 0012).

Under the customer's lease. Only reads go outside; terms and switch are set by the comparison that follows, as always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, select

from hub.domain import Entitlement, Json, License, Offering, Purchase, Ref
from hub.errors import PermanentError, UnreadableError
from hub.failpoint import failpoint
from hub.policy import lets_go, licenses_for, revivable
from hub.ports import Found
from hub.reconcile.look import Look, Observed, assembled, journal, recall
from hub.store import records, schema
from hub.store.records import Lapsed

ASKED = 3  # old licenses that are read anew for one that is missing


def revive(look: Look, purchase: Purchase, missing: Sequence[License], offerings: Mapping[str, Offering]) -> bool:
    """Hands over what this customer held until lately, in place of what is missing; True where there was some.

    A purchase that has begun a license of its own keeps to that. Repeatable: what is handed over is not missing.
    """
    if look.memory.doubt or any(kind != "customer" for kind, _ in look.memory.intents):
        return False
    chosen = dict(_chosen(look, purchase, missing, offerings))
    if not chosen:
        return False
    if look.shop.observe:
        raise Observed([_in_words(license_, one) for license_, one in chosen.values()])

    def unit(conn: Connection) -> None:
        for license_, one in chosen.values():
            _hand_over(conn, look, license_, one)

    look.write(unit)
    failpoint("revival.committed", str(look.ref))
    recall(look)
    for id_, (license_, one) in chosen.items():
        look.told.append(_in_words(license_, one))
        look.written.setdefault(id_, []).append(_in_words(license_, one))
    return True


def _in_words(license_: License, one: Lapsed) -> str:
    return f"{license_.offering} carries on the license of {one.purchase}"


def _chosen(
    look: Look, purchase: Purchase, missing: Sequence[License], offerings: Mapping[str, Offering]
) -> Iterator[tuple[str, tuple[License, Lapsed]]]:
    """Entitlement -> (the license that it is to be, what is known of it): each once, the same offering first."""
    bought_at = purchase.bought_at or look.business_now()
    with look.shop.store.read() as conn:
        lapsed = records.lapsed(conn, look.customer_id, but=look.ref)
    rest = [one for one in lapsed if revivable(one.paid_until, bought_at, look.shop.rules.policy)]
    purchase_now = cache(lambda ref: _purchase_now(look, Ref.parse(ref)))
    done = set[str]()
    for same_offering in (True, False):
        for license_ in (one for one in missing if one.offering not in done):
            fit = [one for one in rest if _fits(one, offerings[license_.offering], same_offering=same_offering)]
            found = next((one for one in fit[:ASKED] if _is_free(look, one, purchase_now(one.purchase))), None)
            if found:
                rest.remove(found)
                done.add(license_.offering)
                yield found.entitlement.id, (license_, found)


def _fits(one: Lapsed, to: Offering, *, same_offering: bool) -> bool:
    return one.entitlement.product_id == to.product_id and (one.entitlement.offering == to.sku) is same_offering


def _is_free(look: Look, one: Lapsed, old: Purchase | None) -> bool:
    """Whether the old purchase, as it is now, lets go of it, and it stands as the record says: read now, too."""
    if old is None:
        return False
    vendor = look.shop.connectors[old.ref.source].catalog_key
    wanted = licenses_for(old, one.entitlement.order_ref, vendor, look.shop.rules, {})
    if not lets_go(old, wanted, one.entitlement.offering):
        return False
    now = look.call(lambda: look.shop.licensing.entitlement(one.entitlement.id))
    return now is not None and _stands(now, one.entitlement)


def _stands(now: Entitlement, known: Entitlement) -> bool:
    """Free to be changed, and the same in what decided for it."""
    same = ("customer_id", "order_ref", "group_id", "product_id", "offering", "enabled")
    return not now.frozen and all(getattr(now, name) == getattr(known, name) for name in same)


def _purchase_now(look: Look, ref: Ref) -> Purchase | None:
    """The old purchase as its vendor tells it now (without an API key: as events have told it); None in any doubt."""
    connector = look.shop.connectors.get(ref.source)
    source = connector.purchases if connector else None
    if source is None:
        return None
    with look.shop.store.read() as conn:
        known = conn.execute(select(schema.subject.c.about).where(schema.subject.c.ref == str(ref))).scalar()
        own = [] if source.can_read else records.stored_objects(conn, ref.source, ref)
    about = [Ref.parse(one) for one in known or ()]
    try:
        seen = (
            look.call(lambda: source.fetch(ref, about)) if source.can_read else assembled(look, source, ref, about, own)
        )
    except (PermanentError, UnreadableError):
        return None
    return seen.purchase if isinstance(seen, Found) else None


def _hand_over(conn: Connection, look: Look, license_: License, one: Lapsed) -> None:
    id_, days = one.entitlement.id, look.shop.rules.policy.revive_days
    records.hand_over(conn, id_, one.purchase, look.ref)
    records.save_grants(conn, look.ref, [(line, id_, license_.offering, None) for line in license_.lines], {})
    because = f"bought again within {days} days of the end of {one.purchase}"
    why: dict[str, Json] = {"enabled": {"rule": "revivable", "because": because, "lines": list(license_.lines)}}
    wanted, found = {"purchase": str(look.ref)}, {"purchase": one.purchase}
    journal(conn, look, id_, "Revive", "done", wanted, found, None, why)
