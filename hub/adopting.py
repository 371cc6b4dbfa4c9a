"""Taking up licenses that were there before the hub (docs/agreement.md).

`find` reads sources and licensing system through ports and writes nothing. `adopt` writes to the record alone: that
this entitlement is this purchase's. The look of the purchase then finds it by that, and makes no second one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection, select

from hub import references
from hub.domain import Entitlement, License, Purchase, Ref, SeatRow, Standing
from hub.policy import Rules, Unmapped, licenses_for
from hub.ports import Connector, Licensing
from hub.recorded import business_now
from hub.store import Store, records, snapshots, subjects
from hub.store import schema as t

ADOPT, AMBIGUOUS, BUILT_IN = "adopt", "ambiguous", "left alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An entitlement that may be a purchase's. state: adopt, ambiguous (a person says which), or left alone.

    because: the rule that found it. drifts: what its first look would change. account: what the licensing system calls
    the customer; alias: what the record will know the buyer by.
    """

    entitlement: str
    purchase: str
    customer: str
    offering: str
    because: str
    state: str
    drifts: str
    account: str
    alias: str

    @property
    def id(self) -> str:
        """What names this match in every run."""
        return f"{self.entitlement}={self.purchase}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A purchase that is to be licensed, what it is to have, and how its vendor's own integration marks licenses."""

    purchase: Purchase
    wanted: tuple[License, ...]
    alias: str
    built_in: str


def find(
    store: Store, connectors: Mapping[str, Connector], rules: Rules, licensing: Licensing, *, take_over: bool = False
) -> list[Match]:
    """Every match of a license of no purchase with a purchase without that license. RetryableError; writes nothing.

    take_over: licenses that a vendor's own integration keeps are matched like others; the integration must be off then.
    """
    with store.read() as conn:
        owned = set(conn.execute(select(t.entitlement.c.id).where(t.entitlement.c.subject.is_not(None))).scalars())
    accounts = {id_: ref for ref, id_ in licensing.customers()}
    loose = [row for row in licensing.entitlements() if row.entitlement_id not in owned]
    found = [
        one for sale in sales(store, connectors, rules) for one in _of_sale(sale, loose, accounts, take_over=take_over)
    ]
    return _told_apart(found)


def sales(store: Store, connectors: Mapping[str, Connector], rules: Rules) -> Iterator[Sale]:
    """What the sources list as running, as far as a row or a convention says what it means."""
    with store.read() as conn:
        now = business_now(conn)
    for connector in connectors.values():
        if connector.purchases is None or not connector.purchases.can_read:
            continue
        for purchase in connector.purchases.purchases():
            if purchase.standing not in {Standing.CURRENT, Standing.OVERDUE}:
                continue
            order_ref = references.reference(connector.ref, purchase.ref.id)
            wanted = licenses_for(purchase, order_ref, connector.catalog_key, rules, {}, now)
            if not isinstance(wanted, Unmapped):
                alias = references.reference(connector.ref, purchase.customer.id)
                yield Sale(purchase=purchase, wanted=wanted, alias=alias, built_in=connector.built_in_references)


def adopt(store: Store, licensing: Licensing, which: Iterable[Match], actor: str, origin: str) -> list[Match]:
    """Records that each entitlement is its purchase's and makes that due; those done. May be repeated: does no more.

    Reads each entitlement before; one that is not known any more, or is another purchase's by now, is left out.
    """
    done = []
    for one in which:
        with store.read() as conn:
            began = subjects.now(conn)
        held = licensing.entitlement(one.entitlement)
        if held and store.write(partial(_adopt, one=one, held=held, began=began, actor=actor, origin=origin)):
            done.append(one)
    return done


def _adopt(conn: Connection, *, one: Match, held: Entitlement, began: float, actor: str, origin: str) -> bool:
    known = snapshots.find(conn, one.entitlement)
    if known and known.purchase:
        return False
    purchase = Ref.parse(one.purchase)
    records.put_links(conn, [(one.alias, one.account or one.alias, held.customer_id)])
    records.save_reading(conn, held, one.purchase, began)
    subjects.mark_due(conn, [purchase], cause="asked", reason=f"{actor} adopted {held.id}: {one.because}")
    records.audit(conn, actor, origin, "adopt", one.purchase, {"entitlement": held.id, "because": one.because})
    return True


def _of_sale(sale: Sale, loose: Sequence[SeatRow], accounts: Mapping[str, str], *, take_over: bool) -> Iterator[Match]:
    purchase = sale.purchase
    for license_ in sale.wanted:
        if not license_.enabled or any(row.order_ref == license_.order_ref for row in loose):
            continue  # what carries the hub's own reference is found by every look
        for row in loose:
            if row.offering != license_.offering or not (because := _rule(sale, row, accounts)):
                continue
            kept = bool(sale.built_in and re.match(sale.built_in, row.order_ref)) and not take_over
            yield Match(
                entitlement=row.entitlement_id,
                purchase=str(purchase.ref),
                customer=purchase.customer.name or purchase.customer.id,
                offering=row.offering,
                because=because,
                state=BUILT_IN if kept else ADOPT,
                drifts=_drifts(row, license_),
                account=accounts.get(row.customer_id, ""),
                alias=sale.alias,
            )


def _rule(sale: Sale, row: SeatRow, accounts: Mapping[str, str]) -> str:
    """References first: the order's, then the customer's; "" where neither says so."""
    purchase = sale.purchase
    if row.order_ref in {purchase.ref.id, *(line.id for line in purchase.lines)}:
        return f"its order reference {row.order_ref} names the purchase"
    account = accounts.get(row.customer_id)
    if account and account in {purchase.customer.customer_ref, purchase.customer.id, sale.alias}:
        return f"its customer {account} is the buyer, and it is of the same offering"
    return ""


def _drifts(row: SeatRow, license_: License) -> str:
    told = []
    if license_.seats is not None and license_.seats != row.seats:
        told.append(f"seats {row.seats} → {license_.seats}")
    if license_.expires_at and license_.expires_at != row.expires_at:
        told.append(f"expires {row.expires_at:%d %b %Y} → " if row.expires_at else "expires ")
        told[-1] += f"{license_.expires_at:%d %b %Y}"
    return ", ".join(told)


def _told_apart(found: Sequence[Match]) -> list[Match]:
    """One license of one purchase is adopted; where there is a choice, a person chooses."""
    licenses = Counter(one.entitlement for one in found)
    bought = Counter((one.purchase, one.offering) for one in found)
    return [
        replace(one, state=AMBIGUOUS)
        if one.state == ADOPT and (licenses[one.entitlement] > 1 or bought[one.purchase, one.offering] > 1)
        else one
        for one in found
    ]
