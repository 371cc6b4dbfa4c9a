"""The commercial rules: from a purchase to the licenses that ought to exist. Pure; one small function a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hub.catalog import Catalog, Match
from hub.conditions import ConditionError
from hub.domain import Entitlement, Flag, License, Line, Purchase, Reason, Standing
from hub.settings import Policy

Recorded = Mapping[str, datetime]  # line id -> the paid_until on record


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """Lines of which nobody knows what they mean: the subject is parked.

    keys: of those that no row names at all, each once, as a row would name them. because: what can be said of the
    others, a sentence.
    """

    lines: tuple[Line, ...]
    keys: tuple[str, ...] = ()
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Catalog and policy of one version."""

    catalog: Catalog
    policy: Policy
    version: str


Matched = list[tuple[Line, Match]]


def licenses_for(
    purchase: Purchase, order_ref: str, vendor: str, rules: Rules, recorded: Recorded, now: datetime | None = None
) -> tuple[License, ...] | Unmapped:
    """The licenses that `purchase` implies, one per offering; () while nothing is granted yet.

    `now` stands in where a catalog row has dates and neither line nor purchase has one.
    """
    if purchase.standing is Standing.PENDING:
        return ()
    matched, unmapped = _matched(purchase, vendor, rules.catalog, now)
    if unmapped and purchase.standing is not Standing.ENDED:  # what is over needs no mapping any more
        return unmapped
    by_offering: dict[str, Matched] = defaultdict(list)
    for line, match in matched:
        if match.maintains is None:
            by_offering[match.sku].append((line, match))
    licenses = [
        _license(purchase, order_ref, sku, rows, rules.policy, recorded) for sku, rows in sorted(by_offering.items())
    ]
    return with_maintenance(licenses, matched, order_ref, purchase.standing, recorded)


def as_agreed(purchase: Purchase, known: Collection[str]) -> Purchase:
    """The purchase; pending where a line that was licensed (`known`: their ids) is open again, for then nobody knows.

    Seats or dates of such a line may be half written: nothing is compared until it is agreed again (ADR 0019).
    """
    again = sorted(line.id for line in purchase.lines if line.open and line.id in known)
    if not again or purchase.standing is not Standing.CURRENT:
        return purchase
    return replace(purchase, standing=Standing.PENDING, status=f"{purchase.status}, {', '.join(again)} open again")


def must_map(line: Line, purchase: Purchase) -> bool:
    """Every line must be in the catalog, but for what is bought once beside a subscription: a set-up fee, say."""
    return not line.once or all(other.once for other in purchase.lines)


def not_reversed(rows: Sequence[tuple[Line, Match]]) -> Sequence[tuple[Line, Match]]:
    """The lines that still count: those not paid back; all where all were, so that the terms stay as they were."""
    return [row for row in rows if not row[0].reversed] or rows


def with_maintenance(
    licenses: Sequence[License],
    matched: Matched,
    order_ref: str,
    standing: Standing,
    recorded: Recorded,
) -> tuple[License, ...]:
    """The licenses with the date until which each is maintained.

    Maintenance moves that date alone, never expiry, seats or switch. Where the purchase no longer shows the line
    that sold the license, the license stays as it is.
    """
    by_sku: dict[str, list[Line]] = defaultdict(list)
    for line, match in matched:
        if match.maintains is not None:
            by_sku[match.maintains].append(line)
    found = {one.offering: one for one in licenses}
    for sku, lines in by_sku.items():
        found[sku] = _maintained(found.get(sku) or _as_it_is(order_ref, sku), lines, standing, recorded)
    return tuple(found[sku] for sku in sorted(found))


def _maintained(license_: License, lines: Sequence[Line], standing: Standing, recorded: Recorded) -> License:
    ids = tuple(line.id for line in lines)
    until, why = paid_until([line for line in lines if not line.reversed] or lines, standing, recorded)
    reason = Reason(rule="with_maintenance", because=why, lines=ids)
    reasons = {**license_.reasons, "maintenance_until": reason}
    return replace(license_, maintenance_until=until, lines=(*license_.lines, *ids), reasons=reasons)


def _as_it_is(order_ref: str, sku: str) -> License:
    return License(
        order_ref=order_ref,
        offering=sku,
        seats=None,
        overdraft=None,
        paid_until=None,
        expires_at=None,
        enabled=None,
        lines=(),
    )


def _matched(
    purchase: Purchase, vendor: str, catalog: Catalog, now: datetime | None
) -> tuple[Matched, Unmapped | None]:
    """(what the lines mean, the lines of which that is not known). A line may mean several offerings."""
    matched: Matched = []
    lost: list[Line] = []
    because: list[str] = []
    keys: list[str] = []
    for line in purchase.lines:
        if line.quantity == 0 or line.open:
            continue
        try:
            found = catalog.match(vendor, line, purchase, now)
        except ConditionError as error:
            found, why = (), str(error)
        else:
            why = "" if found else _nearly(catalog, vendor, line)
        if found or not must_map(line, purchase):
            matched += [(line, match) for match in found]
            continue
        lost.append(line)
        if why:
            because.append(why)
        else:
            keys.append(_name(line))
    sold = {match.sku for _, match in matched if not match.adds and match.maintains is None}
    orphans = [(line, match) for line, match in matched if match.adds and match.sku not in sold]
    lost += [line for line, _ in orphans]
    because += [_orphaned(line, match) for line, match in orphans]
    whole = [(line, match) for line, match in matched if (line, match) not in orphans]
    if not lost:
        return whole, None
    return whole, Unmapped(lines=tuple(lost), keys=tuple(dict.fromkeys(keys)), because="; ".join(because))


def _nearly(catalog: Catalog, vendor: str, line: Line) -> str:
    """That rows name the line, and none of them counts for it."""
    numbers = ", ".join(str(row.number) for row in catalog.naming(vendor, line))
    return (
        f"catalog row {numbers} names {_name(line)}, but is not in force or its `when` is not true" if numbers else ""
    )


def _orphaned(line: Line, match: Match) -> str:
    return f"{_name(line)} adds seats to {match.sku}, and no other line of the purchase sells {match.sku}"


def _license(
    purchase: Purchase,
    order_ref: str,
    sku: str,
    rows: Sequence[tuple[Line, Match]],
    policy: Policy,
    recorded: Recorded,
) -> License:
    lines = tuple(line.id for line, _ in rows)
    counted = not_reversed(rows)
    seats, seats_why = seats_of(counted)
    base = [line for line, match in counted if not match.adds]  # packs add seats, never time
    paid, paid_why = paid_until(base, purchase.standing, recorded)
    grace = timedelta(days=policy.grace_days)
    enabled, enabled_why = enabled_while(purchase, [line for line, _ in rows])
    overdraft = next((match.overdraft for _, match in rows if match.overdraft is not None), None)
    reasons = {
        "offering": Reason(rule=rows[0][1].rule, because=_names(rows), lines=lines),
        "seats": Reason(rule="seats_of", because=seats_why, lines=lines),
        "expires_at": Reason(
            rule="paid_until",
            because=f"{paid_why}, plus {policy.grace_days} days of grace" if paid else paid_why,
            lines=lines,
        ),
        "enabled": Reason(rule="enabled_while", because=enabled_why, lines=lines),
    }
    if overdraft is not None:
        reasons["overdraft"] = Reason(rule=rows[0][1].rule, because="the catalog row says so", lines=lines)
    return License(
        order_ref=order_ref,
        offering=sku,
        seats=seats,
        overdraft=overdraft,
        paid_until=paid,
        expires_at=paid + grace if paid else None,
        enabled=enabled,
        lines=lines,
        reasons=reasons,
    )


def seats_of(rows: Sequence[tuple[Line, Match]]) -> tuple[int | None, str]:
    """Seats = the sum over an offering's lines of quantity x seats a unit, or of a row's fixed number.

    Metered lines count none.
    """
    counted = [(line, match, match.seats_for(line.quantity)) for line, match in rows]
    told = [(line, match, seats) for line, match, seats in counted if seats is not None]
    if not told:
        return None, "the price is metered, so the offering's own number of seats stands"
    parts = " + ".join(_seats_part(line, match) for line, match, _ in told)
    return sum(seats for _, _, seats in told), f"quantity × seats a unit: {parts}"


def _seats_part(line: Line, match: Match) -> str:
    said = f"{line.quantity} × {match.seats_per_unit}" if match.seats is None else f"{match.seats} fixed"
    return f"{said} added by {_name(line)}" if match.adds else said


def paid_until(lines: Sequence[Line], standing: Standing, recorded: Recorded) -> tuple[datetime | None, str]:
    """The latest paid_until among an offering's lines."""
    found = [_line_paid_until(line, standing, recorded.get(line.id)) for line in lines]
    dated = [(date, why) for date, why in found if date is not None]
    return max(dated, key=lambda pair: pair[0]) if dated else (None, found[0][1])


def _line_paid_until(line: Line, standing: Standing, on_record: datetime | None) -> tuple[datetime | None, str]:
    """Paid until = the end of the last period whose invoice is paid; a failing payment never moves it.

    Invoices seen but none paid: the current period's start, never later than on record. No invoice known: what is
    on record, else the period's end (its start while a payment is overdue). docs/policy.md.
    """
    if line.paid_until or line.once:
        own_term = "bought once: the offering's own term stands"
        return line.paid_until, line.because or (own_term if line.once else "paid")
    if line.invoiced and line.period_start:
        if on_record and on_record < line.period_start:
            return on_record, "no invoice for this period is paid; it was paid until then before"
        return line.period_start, "no invoice is paid that covers this line, so only up to where its period starts"
    if on_record:
        return on_record, "no invoice is known; it was paid until then before"
    if standing in {Standing.OVERDUE, Standing.SUSPENDED} and line.period_start:
        return line.period_start, "the payment for this period is overdue"
    return line.period_end, "no invoice is known, so the current period's end stands"


def enabled_while(purchase: Purchase, lines: Sequence[Line] = ()) -> tuple[bool, str]:
    """Trialing, active and past due keep a license on; unpaid, paused and ended switch it off, never delete it.

    Off as well where all of its lines were paid back or lost to a dispute. What was bought once and stands is on
    whatever becomes of the subscription that it came with.
    """
    if lines and all(line.reversed for line in lines):
        return False, lines[0].reversed
    if any(line.once and not line.reversed for line in lines):
        return True, "it was bought once, and is paid"
    on = purchase.standing in {Standing.CURRENT, Standing.OVERDUE}
    ends = f", and ends on {purchase.ends_at:%d %b %Y}" if on and purchase.ends_at else ""
    return on, f"the purchase is {purchase.status or purchase.standing}{ends}"


def revivable(paid_until: datetime | None, bought_at: datetime, policy: Policy) -> bool:
    """Whoever buys again at most `revive_days` after the end of what was paid gets the old license back (ADR 0012).

    What was bought once has no such end. 0 days: never.
    """
    if paid_until is None or policy.revive_days == 0:
        return False
    return bought_at - paid_until <= timedelta(days=policy.revive_days)


def lets_go(old: Purchase, wanted: Sequence[License] | Unmapped, offering: str) -> bool:
    """Only a purchase that has ended, and wants no license of this offering on any more, lets go of it."""
    if old.standing is not Standing.ENDED or isinstance(wanted, Unmapped):
        return False
    return all(one.enabled is False for one in wanted if one.offering == offering)


def flags_of(purchase: Purchase, wanted: Sequence[License], held: Collection[str]) -> tuple[Flag, ...]:
    """What a person is to be told; `held`: the offerings that this purchase is known to have."""
    unsold = [one.offering for one in wanted if one.enabled is None and one.offering not in held]
    told = [f"maintenance of {sku} is paid, but this purchase sold no such license: set its date" for sku in unsold]
    return (
        *purchase.flags,
        *(Flag(kind="maintenance alone", text=text) for text in told),
        *_taken_back(purchase, held),
    )


def _taken_back(purchase: Purchase, held: Collection[str]) -> tuple[Flag, ...]:
    """A sale that is open again, or lost after it was won, is no reason to switch off: a person decides (ADR 0019)."""
    if purchase.standing is not Standing.PENDING or not held:
        return ()
    text = f"{', '.join(sorted(held))} was licensed, and the sale is {purchase.status!r} now: nothing was changed"
    return (Flag(kind="sale reopened", text=text),)


def expiry_of(wanted: License, entitlement: Entitlement) -> datetime | None:
    """Expiry = paid until + grace; 0 grace is taken where the entitlement has a grace period of its own.

    None for a perpetual one: it has no expiry to set.
    """
    if entitlement.perpetual:
        return None
    return wanted.paid_until if entitlement.own_grace else wanted.expires_at


def renews_days(purchase: Purchase) -> Mapping[str, int]:
    """The length of their terms, in days, of the lines that renew themselves (boards leave short ones out)."""
    if purchase.ends_at is not None or purchase.standing is Standing.ENDED:
        return {}
    return {
        line.id: (line.period_end - line.period_start).days
        for line in purchase.lines
        if line.period_start and line.period_end and not line.once
    }


def guard_budget(policy: Policy, live: int) -> int | None:
    """Disables and shrinkings that may pass per connection and hour; None: no limit."""
    if policy.guard_min < 0:
        return None
    if policy.guard_min == 0:
        return 0
    return max(policy.guard_min, min(policy.guard_max, int(policy.guard_share * live)))


def _names(rows: Sequence[tuple[Line, Match]]) -> str:
    return ", ".join(f"{_name(line)} → {match.sku}" for line, match in rows)


def _name(line: Line) -> str:
    return (line.keys or (line.id,))[0]
