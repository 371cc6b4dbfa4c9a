"""Taking up licenses that were there before the hub (docs/agreement.md).

`find` reads sources and licensing system through ports and writes nothing. `adopt` writes to the record alone: that
this entitlement is this purchase's. The look of the purchase then finds it by that, and makes no second one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from sqlalchemy import Connection, select

from hub import references
from hub.domain import Entitlement, Json, License, Purchase, Ref, SeatRow, Standing
from hub.policy import Rules, Unmapped, licenses_for
from hub.ports import Connector, Finding, Licensing
from hub.recorded import business_now
from hub.store import Store, candidates, records, snapshots, subjects
from hub.store import schema as t

ADOPT, AMBIGUOUS, BUILT_IN, RULED_OUT = "adopt", "ambiguous", "left alone", "ruled out"
TASK = "adopt:"  # key of a task, with the entitlement
KIND = "whose license"  # of the tasks about ambiguous matches
KEPT = ("purchase", "customer", "offering", "because", "drifts", "account", "alias", "license")  # of a match in doubt
ASKED_OF = 500  # licenses of which one is enough to say that there are such
TOLD = 10  # candidates that a task names
# Mail providers where anybody may have an address: there a domain says nothing of a company.
ANYBODY = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "yahoo.com",
        "icloud.com",
        "me.com",
        "aol.com",
        "gmx.de",
        "gmx.net",
        "web.de",
        "proton.me",
        "protonmail.com",
        "t-online.de",
        "mail.ru",
        "qq.com",
        "163.com",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An entitlement that may be a purchase's. state: adopt, ambiguous, left alone or ruled out.

    because: the rule that found it, or who ruled it out and why. drifts: what its first look would change. license:
    what it is, in words. account: what the licensing system calls the customer; alias: what the record will call it.
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
    license: str

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """Licenses of no purchase, by (offering, what a rule asks for)."""

    order_refs: frozenset[str]
    accounts: Mapping[str, str]
    names: Mapping[str, str]
    by_order: Mapping[tuple[str, str], Sequence[SeatRow]]
    by_account: Mapping[tuple[str, str], Sequence[SeatRow]]
    by_name: Mapping[tuple[str, str], Sequence[SeatRow]]
    by_domain: Mapping[tuple[str, str], Sequence[SeatRow]]

    @classmethod
    def of(cls, rows: Sequence[SeatRow], accounts: Mapping[str, str], names: Mapping[str, str]) -> Loose:
        """`accounts` and `names` by customer id. Pure."""
        alike = {id_: folded(name) for id_, name in names.items()}

        def by(key_of: Callable[[SeatRow], str]) -> dict[tuple[str, str], list[SeatRow]]:
            made: dict[tuple[str, str], list[SeatRow]] = {}
            for row in rows:
                if key := key_of(row):
                    made.setdefault((row.offering, key), []).append(row)
            return made

        return cls(
            order_refs=frozenset(row.order_ref for row in rows),
            accounts=accounts,
            names=names,
            by_order=by(lambda row: row.order_ref),
            by_account=by(lambda row: accounts.get(row.customer_id, "")),
            by_name=by(lambda row: alike.get(row.customer_id, "")),
            by_domain=by(lambda row: domain_of(alike.get(row.customer_id, ""))),
        )

    def in_words(self, row: SeatRow) -> str:
        """What the license is, and whose."""
        until = f"until {row.expires_at:%d %b %Y}" if row.expires_at else "without an end"
        told = [f"{row.offering}, {row.seats} seats", until]
        told += [f"of {name}"] if (name := self.names.get(row.customer_id)) else []
        told += [f"account {account}"] if (account := self.accounts.get(row.customer_id)) else []
        return ", ".join([*told, *([f"order {row.order_ref}"] if row.order_ref else [])])


def find(
    store: Store, connectors: Mapping[str, Connector], rules: Rules, licensing: Licensing, *, take_over: bool = False
) -> list[Match]:
    """Every match of a license of no purchase with a purchase without that license. RetryableError; writes nothing.

    take_over: licenses that a vendor's own integration keeps are matched like others; the integration must be off then.
    """
    with store.read() as conn:
        owned = set(conn.execute(select(t.entitlement.c.id).where(t.entitlement.c.subject.is_not(None))).scalars())
        licensed, ruled_out = candidates.owned(conn), candidates.ruled_out(conn)
    accounts = {id_: ref for ref, id_ in licensing.customers()}
    names = dict(licensing.names())
    loose = Loose.of([row for row in licensing.entitlements() if row.entitlement_id not in owned], accounts, names)
    found = [
        one
        for sale in sales(store, connectors, rules)
        for one in _of_sale(sale, loose, take_over=take_over)
        if (one.purchase, one.offering) not in licensed
    ]
    out = [
        replace(one, state=RULED_OUT, because=why)
        for one in found
        if (why := ruled_out.get((one.entitlement, one.purchase)))
    ]
    left = {one.id for one in out}
    return [*_told_apart([one for one in found if one.id not in left]), *out]


def unadopted(store: Store, connectors: Mapping[str, Connector], licensing: Licensing) -> SeatRow | None:
    """A license without a reference of the hub's, where no purchase was looked at yet: then `hub adopt` comes first.

    None where there is none among the first of the list, or it is too late to ask. RetryableError; writes nothing.
    """
    s, selling = t.subject.c, [name for name, one in connectors.items() if one.purchases is not None]
    with store.read() as conn:
        looked = select(s.ref).where(s.connection.in_(selling), s.saw.is_not(None)).limit(1)
        if conn.execute(looked).first() is not None:
            return None
    ours = tuple(f"{one.ref}:" for one in connectors.values())
    first = islice(licensing.entitlements(), ASKED_OF)
    return next((row for row in first if not row.order_ref.startswith(ours)), None)


def finding(connection: str, row: SeatRow) -> Finding:
    """What is said of a license that `unadopted` found. Pure."""
    problem = (
        f"no purchase was looked at yet, and there are licenses that are not the hub's, such as {row.entitlement_id}"
        f" ({row.offering}, {row.seats} seats): whoever bought one would get a second"
    )
    mend = "if any of them is sold by a connection here: `hub adopt` before the hub runs (docs/agreement.md)"
    return Finding(level="warning", about=connection, problem=problem, mend=mend)


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


def adopt(
    store: Store, licensing: Licensing, which: Iterable[Match], actor: str, origin: str, why: str = ""
) -> list[Match]:
    """Records that each entitlement is its purchase's and makes that due; those done. May be repeated: does no more.

    Reads each entitlement before; one that is not known any more, or is another purchase's by now, is left out, as is
    one whose purchase has a license of that offering by now. RetryableError and PermanentError where it can't be read.
    """
    done = []
    for one in which:
        with store.read() as conn:
            began = subjects.now(conn)
        held = licensing.entitlement(one.entitlement)
        if held and store.write(partial(_adopt, one=one, held=held, began=began, actor=actor, origin=origin, why=why)):
            done.append(one)
    return done


def rule_out(store: Store, entitlement: str, why: str, actor: str, origin: str) -> list[str]:
    """None of the purchases that were kept for this license is its own; these. Its task is closed.

    Empty, and nothing is written, where none was kept, or somebody decided it meanwhile.
    """

    def unit(conn: Connection) -> list[str]:
        if purchases := candidates.rule_out(conn, entitlement, actor, why):
            records.close_review(conn, f"{TASK}{entitlement}")
            told: dict[str, Json] = {"entitlement": entitlement, "not": [*purchases], "why": why}
            records.audit(conn, actor, origin, "adopt none", None, told)
        return purchases

    return store.write(unit)


def asked(conn: Connection, entitlement: str) -> list[Match]:
    """The purchases that this license may be of, as `queue` kept them for a person."""
    rows = candidates.of(conn, entitlement)
    kept = [{name: getattr(row, name) for name in KEPT} for row in rows]
    return [Match(entitlement=entitlement, state=AMBIGUOUS, **one) for one in kept]


def queue(store: Store, found: Iterable[Match]) -> int:
    """Keeps what a person is to decide, with a task for each such license; how many. May be repeated."""
    by_license: dict[str, list[Match]] = {}
    for one in found:
        if one.state == AMBIGUOUS:
            by_license.setdefault(one.entitlement, []).append(one)

    def unit(conn: Connection) -> None:
        for id_, mine in by_license.items():
            told = "; ".join(f"{one.id} ({one.customer}: {one.because})" for one in mine[:TOLD])
            more = f" and {len(mine) - TOLD} more" if len(mine) > TOLD else ""
            text = f"whose is {id_} ({mine[0].license})? `hub adopt --apply` one of: {told}{more}"
            candidates.put(conn, id_, [{name: getattr(one, name) for name in KEPT} for one in mine])
            records.raise_review(conn, f"{TASK}{id_}", KIND, Ref.parse(mine[0].purchase), text)

    if by_license:
        store.write(unit)
    return len(by_license)


def _adopt(conn: Connection, *, one: Match, held: Entitlement, began: float, actor: str, origin: str, why: str) -> bool:
    known = snapshots.find(conn, one.entitlement)
    if (known and known.purchase) or candidates.has_license(conn, one.purchase, held.offering):
        return False
    purchase = Ref.parse(one.purchase)
    records.put_links(conn, [(one.alias, one.account or one.alias, held.customer_id)])
    records.save_reading(conn, held, one.purchase, began)
    subjects.mark_due(conn, [purchase], cause="asked", reason=f"{actor} adopted {held.id}: {one.because}")
    records.close_review(conn, f"{TASK}{held.id}")
    candidates.decided(conn, held.id, one.purchase, held.offering)
    told: dict[str, Json] = {"entitlement": held.id, "because": one.because, **({"why": why} if why else {})}
    records.audit(conn, actor, origin, "adopt", one.purchase, told)
    return True


def _of_sale(sale: Sale, loose: Loose, *, take_over: bool) -> Iterator[Match]:
    purchase = sale.purchase
    for license_ in sale.wanted:
        if not license_.enabled or license_.order_ref in loose.order_refs:
            continue  # what carries the hub's own reference is found by every look
        for row, because, sure in _candidates(sale, license_.offering, loose):
            kept = bool(sale.built_in and re.match(sale.built_in, row.order_ref)) and not take_over
            yield Match(
                entitlement=row.entitlement_id,
                purchase=str(purchase.ref),
                customer=purchase.customer.name or purchase.customer.id,
                offering=row.offering,
                because=because,
                state=BUILT_IN if kept else ADOPT if sure else AMBIGUOUS,
                drifts=_drifts(row, license_),
                account=loose.accounts.get(row.customer_id, ""),
                alias=sale.alias,
                license=loose.in_words(row),
            )


def _candidates(sale: Sale, offering: str, loose: Loose) -> list[tuple[SeatRow, str, bool]]:
    """(license, why it may be this sale's, whether that is sure): by reference, else by name."""
    purchase, found = sale.purchase, dict[str, tuple[SeatRow, str, bool]]()
    for key in dict.fromkeys([purchase.ref.id, *(line.id for line in purchase.lines)]):
        for row in loose.by_order.get((offering, key), ()):
            found.setdefault(row.entitlement_id, (row, f"its order reference {key} names the purchase", True))
    for account in dict.fromkeys([purchase.customer.customer_ref or "", purchase.customer.id, sale.alias]):
        for row in loose.by_account.get((offering, account), ()):
            because = f"its customer {account} is the buyer, and it is of the same offering"
            found.setdefault(row.entitlement_id, (row, because, True))
    if found or not purchase.customer.name:
        return [*found.values()]
    name = folded(purchase.customer.name)
    if named := loose.by_name.get((offering, name)):
        return [(row, "its customer has the buyer's name, and it is of the same offering", False) for row in named]
    domain = domain_of(name)
    because = f"its customer's e-mail address is at {domain}, as the buyer's, and it is of the same offering"
    return [(row, because, False) for row in loose.by_domain.get((offering, domain), ())]


def folded(name: str) -> str:
    """A name as names are compared: without upper case, with single blanks. Pure."""
    return " ".join(name.casefold().split())


def domain_of(name: str) -> str:
    """The domain where a name is an e-mail address (who has no name is called so), unless anybody may have one there.

    "" else. Pure.
    """
    local, at, domain = name.rpartition("@")
    return domain if local and at and "." in domain and " " not in name and domain not in ANYBODY else ""


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
