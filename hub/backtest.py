"""What another catalog and policy would make of everything on record (docs/agreement.md).

Asks no vendor and writes nothing. Both rule sets are run over the same purchases and snapshots, so that only what the
change itself does is told: what somebody altered by hand, or a look has not caught up with, is the same on both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hub import catalog, settings, stakes
from hub import decide as d
from hub.domain import Change, Entitlement, Json, License
from hub.errors import ConfigurationError
from hub.policy import Rules, guard_budget
from hub.ports import Connector
from hub.reconcile.wording import in_words, license_in_words, reasons_of
from hub.recorded import Implied, Recorded, batches, business_now, count, implied, offerings
from hub.stakes import Stake
from hub.store import Store, records, worths

TELL_FROM = 2000  # purchases from which on the progress is worth telling
FIELDS = ("offering", "seats", "overdraft", "expires_at", "maintenance_until", "enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that the new rules would make otherwise. entitlement "": it is not made yet.

    field "license": it would be made, or not be made any more. field "mapping": nobody would know what it means, or
    somebody would at last.
    """

    subject: str
    customer: str
    entitlement: str
    offering: str
    field: str
    today: Json
    then: Json
    because: str


@dataclass(slots=True)
class Backtest:
    """What came out. seats_*: of what is on, over all purchases read. sends: what would be written, in words.

    waits: taken-away seats, time, offerings or switches per connection that the guard would hold for approval in the
    first hour.
    """

    version_today: str
    version_then: str
    purchases: int = 0
    unreadable: int = 0
    seats_today: int = 0
    seats_then: int = 0
    differences: list[Difference] = field(default_factory=list)
    stakes: list[Stake] = field(default_factory=list)
    sends: list[dict[str, str]] = field(default_factory=list)
    shrinkings: Counter[str] = field(default_factory=Counter)
    waits: dict[str, int] = field(default_factory=dict)

    @property
    def subjects(self) -> int:
        """How many purchases differ."""
        return len({one.subject for one in self.differences})

    @property
    def by_field(self) -> dict[str, int]:
        """How many differences there are of each kind, most first."""
        return dict(Counter(one.field for one in self.differences).most_common())

    def summary(self) -> list[str]:
        """What came out, in sentences."""
        lines = [
            f"{self.subjects:,} of {self.purchases:,} purchases would differ; {len(self.sends):,} writes would follow.",
            f"Seats: {self.seats_today:,} today, {self.seats_then:,} then ({self.seats_then - self.seats_today:+,}).",
        ]
        lines += stakes.in_sentences(self.stakes)
        lines += [f"{name}: {number:,}" for name, number in self.by_field.items()]
        lines += [
            f"{number:,} on {name} take something away beyond what the guard lets pass in an hour: hub approve"
            for name, number in self.waits.items()
        ]
        if self.unreadable:
            lines.append(f"{self.unreadable:,} were seen by an older version and can't be judged: look at them first.")
        return [*lines, "Nothing was written."]

    def as_json(self) -> dict[str, Json]:
        """The summary first, then every difference and every write."""
        return {
            "summary": {
                "version_today": self.version_today,
                "version_then": self.version_then,
                "purchases": self.purchases,
                "unreadable": self.unreadable,
                "differ": self.subjects,
                "by_field": dict(self.by_field),
                "seats_today": self.seats_today,
                "seats_then": self.seats_then,
                "at_stake": stakes.as_json(self.stakes),
                "losing": stakes.as_json(stakes.losing_of(self.stakes)),
                "writes": len(self.sends),
                "waits_for_approval": dict(self.waits),
            },
            "accounts": [asdict(one) for one in stakes.accounts_of(self.stakes)],
            "stakes": [asdict(one) for one in self.stakes],
            "differences": [asdict(one) for one in self.differences],
            "sends": [dict(one) for one in self.sends],
        }


def rules_from(path: Path, connectors: Mapping[str, Connector]) -> Rules:
    """The rules of a file; ConfigurationError that points at the line. Only [[catalog]] and [policy] are read."""
    rows, policy = settings.load_rules(path)
    vendors = {one.catalog_key for one in connectors.values() if one.catalog_key}
    try:
        built = catalog.build(rows, vendors, str(path))
    except ConfigurationError as error:
        raise settings.at_line(error, path) from None
    return Rules(catalog=built, policy=policy, version=catalog.version_of(rows, policy)[0])


def run(
    store: Store,
    connectors: Mapping[str, Connector],
    today: Rules,
    then: Rules,
    *,
    since: float | None = None,
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> Backtest:
    """Runs `then` beside `today` over what the record has. `since`: only what was looked at then or later (epoch s).

    `progress` is told after each batch how many of how many are done.
    """
    found = Backtest(version_today=today.version, version_then=then.version)
    with store.read() as conn:
        known, now, total = offerings(conn), business_now(conn), count(conn, since)
        spent = {name: records.guard_spent(conn, name) for name, of in connectors.items() if of.purchases}
    done = 0
    for batch in batches(store, connectors, since):
        for one in batch:
            _compare(found, one, *_stuck(one, implied(one, today, known, now), implied(one, then, known, now)))
        done += len(batch)
        progress(done, total)
    for name, taken in sorted(found.shrinkings.items()):
        already, live = spent.get(name, (0, 0))
        budget = guard_budget(then.policy, live)
        if budget is not None and already + taken > budget:
            found.waits[name] = min(taken, already + taken - budget)
    with store.read() as conn:
        worth = worths.amounts(conn, {one.entitlement for one in found.stakes})
    found.stakes = [replace(one, value=worth.get(one.entitlement)) for one in found.stakes]
    return found


def _compare(found: Backtest, one: Recorded, today: Implied, then: Implied) -> None:
    found.purchases += 1
    found.unreadable += one.purchase is None
    found.seats_today += _seats(today)
    found.seats_then += _seats(then)
    if differences := list(_differences(one, today, then)):
        found.differences += differences
        new = [act for act in then.acts if act not in today.acts]
        loses = [(held.id, taken) for action, held in new if (taken := d.shrinking(action, held))]
        found.stakes += _stakes(one, differences, today, then, loses)
        found.sends += _sends(one, new, [x for x in then.missing if x not in today.missing])
        found.shrinkings[one.ref.source] += len(loses)


def _stuck(one: Recorded, today: Implied, then: Implied) -> tuple[Implied, Implied]:
    """A parked sale whose row names an offering that the vendor does not have: rules that name it too leave it so."""
    if one.state != "parked" or not today.missing:
        return today, then
    lacking = {license_.offering for license_ in today.missing}
    because = f"the licensing system has no offering {', '.join(sorted(lacking))}"
    still = not lacking.isdisjoint(license_.offering for license_ in then.missing)
    return Implied(parked=because, after=today.after), Implied(parked=because, after=then.after) if still else then


def _seats(of: Implied) -> int:
    made = sum(one.seats or 0 for one in of.missing)
    return made + sum(one.seats for one in of.after.values() if one.enabled)


def _sends(one: Recorded, acts: Sequence[tuple[Change, Entitlement]], made: Sequence[License]) -> Iterator[Any]:
    for license_ in made:
        yield {"subject": str(one.ref), "entitlement": "", "what": license_in_words(license_)}
    for action, held in acts:
        yield {"subject": str(one.ref), "entitlement": held.id, "what": in_words(action, held)}


def _differences(one: Recorded, today: Implied, then: Implied) -> Iterator[Difference]:
    def told(entitlement: str, offering: str, name: str, was: Json, is_: Json, because: str) -> Difference:
        return Difference(
            subject=str(one.ref),
            customer=one.customer,
            entitlement=entitlement,
            offering=offering,
            field=name,
            today=was,
            then=is_,
            because=because,
        )

    if bool(today.parked) != bool(then.parked):
        words = ("waits for a row", "known") if today.parked else ("known", "waits for a row")
        yield told("", "", "mapping", *words, then.parked or "a row of the new catalog names it")
    for id_, was in today.after.items():
        now = then.after[id_]
        reasons = reasons_of(then.wanted.get(id_)) if not then.parked else {}
        for name in FIELDS:
            if (before := _plain(was, name)) != (after := _plain(now, name)):
                yield told(id_, was.offering, name, before, after, _reason(reasons, name))
    before_, after_ = _by_offering(today.missing), _by_offering(then.missing)
    for sku in sorted({*before_, *after_}):
        was_, is_now = before_.get(sku), after_.get(sku)
        words_ = (license_in_words(was_) if was_ else None, license_in_words(is_now) if is_now else None)
        if words_[0] != words_[1]:
            because = _reason(reasons_of(is_now), "offering") if is_now else "no row of the new catalog says so"
            yield told("", sku, "license", *words_, because)


def _stakes(
    one: Recorded,
    differences: Sequence[Difference],
    today: Implied,
    then: Implied,
    loses: Sequence[tuple[str, Mapping[str, Any]]],
) -> Iterator[Stake]:
    """The licenses of a purchase that differ; where nobody would know any more what it means, all of them."""
    differ = {x.entitlement for x in differences}
    account = next((held.customer_id for held in one.held if held.customer_id), "")
    for id_, was in today.after.items():
        if id_ in differ or any(x.field == "mapping" for x in differences):
            yield Stake(
                subject=str(one.ref),
                account=was.customer_id or account,
                customer=one.customer,
                entitlement=id_,
                offering=was.offering,
                seats_today=was.seats if was.enabled else 0,
                seats_then=then.after[id_].seats if then.after[id_].enabled else 0,
                loses=tuple(sorted({name for of, taken in loses if of == id_ for name in taken})),
            )
    made = _by_offering(today.missing), _by_offering(then.missing)
    for sku in sorted(x.offering for x in differences if x.field == "license"):
        seats = [license_.seats or 0 if (license_ := by.get(sku)) else 0 for by in made]
        yield Stake(
            subject=str(one.ref),
            account=account,
            customer=one.customer,
            entitlement="",
            offering=sku,
            seats_today=seats[0],
            seats_then=seats[1],
        )


def _by_offering(missing: Sequence[License]) -> dict[str, License]:
    return {one.offering: one for one in missing}


def _plain(one: Entitlement, name: str) -> Json:
    value: Json | datetime = getattr(one, name)
    return value.isoformat() if isinstance(value, datetime) else value


def _reason(reasons: Mapping[str, Json], name: str) -> str:
    found = reasons.get(name)
    return str(found["because"]) if isinstance(found, dict) else "follows from the offering's change"
