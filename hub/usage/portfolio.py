"""What pages show of seat use, and whom they ask for it. Values only; loading this loads no numpy.

A `Standing` is one entitlement as lists show it, small enough to hold a hundred thousand; an `Account` has the whole
histories. `since` is the day of the first of the judgements that raised the signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from hub.usage.signal import CALM, WORST_FIRST

if TYPE_CHECKING:
    from hub.usage.history import History, Judgement
    from hub.usage.signal import Confidence, Signal

Level: TypeAlias = tuple[float | None, float]  # of a week: level (None: unknown) and licensed seats
WHOLE = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"})
THOUSANDTHS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
PAST = 30  # days that a renewal stays on the board after its date


def digits(currency: str) -> int:
    """How many decimals amounts of this currency have (ISO 4217)."""
    return 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in the currency's smallest unit; `currency` is an ISO 4217 code."""

    amount_minor: int
    currency: str

    @classmethod
    def of(cls, amount: Decimal, currency: str) -> Money:
        """So much in whole units of the currency, rounded to its smallest."""
        return cls(amount_minor=round(amount * 10 ** digits(currency)), currency=currency)

    @property
    def major(self) -> float:
        """The amount in whole units of its currency."""
        return float(self.amount_minor / 10 ** digits(self.currency))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What people were told from `day` on."""

    day: date
    signal: Signal
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One entitlement as lists show it.

    was: the signal that was told a week before; None where there was none. used, used_before: this week's and last
    week's level in seats, None = unknown. weeks: up to 53, oldest first; lists may leave them out (`Portfolio.weeks`).
    value: worth of its renewal. today: the day of asking, None: the as-of day. `changed` and `days_left` are derived.
    """

    account_id: str
    account: str
    entitlement_id: str
    offering: str
    signal: Signal
    was: Signal | None
    since: date
    confidence: Confidence
    sentence: str
    as_of: date
    renewal: date | None
    seats: int
    used: float | None
    used_before: float | None
    recommended_seats: int | None = None
    value: Money | None = None
    owner: str = ""
    weeks: tuple[Level, ...] = ()
    today: date | None = None

    @property
    def changed(self) -> bool:
        """Whether people were told something else a week ago."""
        return self.was is not self.signal

    @property
    def days_left(self) -> int | None:
        """Days from today to the renewal; below 0: it is past. None: never renews."""
        return (self.renewal - (self.today or self.as_of)).days if self.renewal else None

    def is_due(self, days: int) -> bool:
        """Whether it renews within so many days, or did lately, or something is to be done about it."""
        left = self.days_left
        return (left is not None and -PAST <= left <= days) or self.signal not in CALM


def renewal_of(*, perpetual: bool, paid_until: str | None, expires: date | None) -> date | None:
    """It renews when what is paid (ISO 8601) ends; where nobody knows of a payment, when it expires."""
    if perpetual:
        return None
    return date.fromisoformat(paid_until[:10]) if paid_until else expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """One entitlement with all that its page shows; `verdicts` newest first, `tiers` the sizes that are sold."""

    standing: Standing
    history: History
    judgement: Judgement
    verdicts: tuple[Verdict, ...] = ()
    tiers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer and its entitlements, the weightiest first."""

    id: str
    name: str
    entitled: tuple[Entitled, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows of what is due, and in what order.

    within: days ahead. signals: None for all. order: "renews", "customer", "signal", "seats" or "value"; down: the
    largest first. after: the entitlement whose row was the last one seen, "" for the beginning. most: None for all.
    """

    within: int
    signals: frozenset[Signal] | None = None
    changed: bool = False
    owner: str = ""
    words: str = ""
    order: str = "renews"
    down: bool = False
    after: str = ""
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many rows that have all of this in common; days left by the last day of their span, None: later or never."""

    signal: str
    changed: bool
    span: int | None
    currency: str
    rows: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of what is due.

    rows: at most as many as asked for. fitting: counts of all that fit owner and words, whatever their signal. due:
    counts of all there is. owners: of all there is. more: there are rows after these.
    """

    rows: Sequence[Standing]
    fitting: Sequence[Count]
    due: Sequence[Count]
    owners: Sequence[str]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """So many entitlements that have this signal, had that one a week ago (None: none), and are paid in one currency.

    seats: licensed. idle: of those, not used; of what is not known, none. more: suggested above the license.
    """

    signal: str
    was: str | None
    currency: str
    rows: int
    seats: int
    idle: int
    more: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Everything that was judged, in sums. moved: at most as many as asked for of what changed, the worst first."""

    sums: Sequence[Sum]
    accounts: int
    moved: Sequence[Standing]
    as_of: date | None


SPANS = (-1, 30, 90, 180)  # last days left of: past, and the three that boards show


def span_of(days_left: int | None) -> int | None:
    """The first of SPANS that these days left are in; None: later, or never."""
    return None if days_left is None else next((last for last in SPANS if days_left <= last), None)


def sort_key(order: str, one: Standing) -> tuple[Any, ...]:
    """By what rows of this order are sorted; no two entitlements have the same."""
    named = (one.account.casefold(), one.offering, one.entitlement_id)
    match order:
        case "customer":
            return named
        case "signal":
            return (WORST_FIRST.index(one.signal), -worth_of(one), one.entitlement_id)
        case "seats":
            return (share_of(one), one.entitlement_id)
        case "value":
            return (worth_of(one), one.entitlement_id)
        case _:
            return ((one.renewal or date.max).isoformat(), *named)


def worth_of(one: Standing) -> float:
    """The value in whole units of its currency, whichever it is; -1 where it is not known."""
    return one.value.major if one.value else -1.0


def share_of(one: Standing) -> float:
    """Seats used of those licensed; -1 where either is not known."""
    return -1.0 if one.used is None or not one.seats else one.used / one.seats


def words_of(one: Standing) -> str:
    """What a search looks in."""
    return f"{one.account} {one.offering} {one.account_id} {one.entitlement_id}".casefold()


def page_of(standings: Iterable[Standing], asked: Asked) -> Page:
    """The page of these standings."""
    due = [one for one in standings if one.is_due(asked.within)]
    fits = [one for one in due if asked.owner in {"", one.owner} and asked.words.casefold() in words_of(one)]
    chosen = [one for one in fits if asked.signals is None or one.signal in asked.signals]
    chosen = [one for one in chosen if one.changed or not asked.changed]
    chosen.sort(key=lambda one: sort_key(asked.order, one), reverse=asked.down)
    seen = next((place for place, one in enumerate(chosen, 1) if one.entitlement_id == asked.after), 0)
    rows = chosen[seen:]
    return Page(
        rows=rows[: asked.most],
        fitting=_counts(fits),
        due=_counts(due),
        owners=sorted({one.owner for one in due if one.owner}),
        more=asked.most is not None and len(rows) > asked.most,
    )


def _counts(standings: Iterable[Standing]) -> list[Count]:
    found: dict[tuple[str, bool, int | None, str], list[int]] = {}
    for one in standings:
        key = (one.signal.value, one.changed, span_of(one.days_left), one.value.currency if one.value else "")
        found.setdefault(key, []).append(one.value.amount_minor if one.value else 0)
    return [
        Count(
            signal=signal, changed=changed, span=span, currency=currency, rows=len(amounts), amount_minor=sum(amounts)
        )
        for (signal, changed, span, currency), amounts in found.items()
    ]


def idle_of(one: Standing) -> int:
    """Seats licensed and not used; 0 where the use is not known."""
    return 0 if one.used is None else max(0, one.seats - round(one.used))


def more_of(one: Standing) -> int:
    """Seats suggested above the license."""
    return max(0, (one.recommended_seats or 0) - one.seats)


def whole_of(standings: Sequence[Standing], most: int) -> Whole:
    """These standings in sums, and at most so many of those that moved."""
    alike: dict[tuple[str, str | None, str], list[Standing]] = {}
    for one in standings:
        key = (one.signal.value, one.was.value if one.was else None, one.value.currency if one.value else "")
        alike.setdefault(key, []).append(one)
    moved = [one for one in standings if one.changed]
    return Whole(
        sums=[_sum(*key, several) for key, several in alike.items()],
        accounts=len({one.account_id for one in standings}),
        moved=sorted(moved, key=lambda one: sort_key("signal", one))[:most],
        as_of=max((one.as_of for one in standings), default=None),
    )


def _sum(signal: str, was: str | None, currency: str, several: Sequence[Standing]) -> Sum:
    return Sum(
        signal=signal,
        was=was,
        currency=currency,
        rows=len(several),
        seats=sum(one.seats for one in several),
        idle=sum(map(idle_of, several)),
        more=sum(map(more_of, several)),
        amount_minor=sum(one.value.amount_minor for one in several if one.value),
    )


class Portfolio(Protocol):
    """Where seat use is read, and never written. May be asked from several threads."""

    def as_of(self) -> date | None:
        """The newest day that was judged; None where none was."""

    def standings(self, days: int | None = None) -> Sequence[Standing]:
        """Every entitlement that was judged, in any order; with `days` only those that are due (`Standing.is_due`).

        Terms under 90 days that renew themselves are left out.
        """

    def page(self, asked: Asked) -> Page:
        """What is due, a page at a time."""

    def whole(self, most: int) -> Whole:
        """All of it in sums, short terms that renew themselves left out, and at most so many rows that moved."""

    def weeks(self, ids: Sequence[str]) -> Mapping[str, Sequence[Level]]:
        """The weeks of these entitlements, as `Standing.weeks`."""

    def account(self, id_: str) -> Account | None:
        """The account of this id; None where nothing of it was judged."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A portfolio that is held in memory: tests, demonstrations, and the empty one."""

    accounts: Mapping[str, Account] = field(default_factory=dict)

    def as_of(self) -> date | None:
        """See `Portfolio`."""
        return max((one.as_of for one in self.standings()), default=None)

    def standings(self, days: int | None = None) -> Sequence[Standing]:
        """See `Portfolio`."""
        found = [one.standing for account in self.accounts.values() for one in account.entitled]
        return [one for one in found if days is None or one.is_due(days)]

    def page(self, asked: Asked) -> Page:
        """See `Portfolio`."""
        return page_of(self.standings(), asked)

    def whole(self, most: int) -> Whole:
        """See `Portfolio`."""
        return whole_of(self.standings(), most)

    def weeks(self, ids: Sequence[str]) -> Mapping[str, Sequence[Level]]:
        """See `Portfolio`."""
        wanted = set(ids)
        return {one.entitlement_id: one.weeks for one in self.standings() if one.entitlement_id in wanted}

    def account(self, id_: str) -> Account | None:
        """See `Portfolio`."""
        return self.accounts.get(id_)
