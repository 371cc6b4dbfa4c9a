"""The renewals board: which rows, in what order, under which heads, and the headline. Pure; loads no numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from hub import money
from hub.usage.portfolio import Asked, Count, Money, Page, span_of
from hub.usage.signal import CALM, DOWN, Signal

if TYPE_CHECKING:
    from hub.usage.portfolio import Standing, Sum, Whole

HORIZON = 180  # days
SHOWN = 50  # rows on one page
MOVED = 20  # rows of what moved, on the portfolio page
SIGNALS = {  # signal -> badge class, symbol, word, what it means; the worst first
    "dormant": ("sig-dormant", "s-dormant", "Dormant", "Known to be unused for 30 days."),
    "at_risk": ("sig-at-risk", "s-at-risk", "At risk", "Well below its best level and still falling."),
    "contraction": ("sig-contraction", "s-contraction", "Contraction", "Lower than before, but no longer falling."),
    "overdraft": ("sig-overdraft", "s-overdraft", "Overdraft", "Above the license on 5 or more of 60 business days."),
    "expansion": ("sig-expansion", "s-expansion", "Expansion", "At the limit, or growing towards it."),
    "new_growth": ("sig-new-growth", "s-new-growth", "New growth", "Young account, climbing."),
    "steady": ("sig-steady", "s-steady", "Steady", "Level, holidays and seasons allowed for."),
    "insufficient_data": ("sig-unknown", "s-unknown", "Not enough data", "Too few known days to judge."),
}
LOSING = frozenset[str](DOWN)
NEEDING = frozenset[str]({"overdraft", "expansion", "new_growth"})
ORDER = list(SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A chip: its words, and what it shows."""

    words: str
    signals: frozenset[str] | None = None
    changed: bool = False

    def shows(self, one: Count) -> bool:
        """Whether these rows are shown."""
        return (self.signals is None or one.signal in self.signals) and (one.changed or not self.changed)


FILTERS: dict[str, Filter] = {
    "all": Filter(words="All"),
    "losing": Filter(words="Losing seats", signals=LOSING),
    "needing": Filter(words="Needing seats", signals=NEEDING),
    "steady": Filter(words="Steady", signals=frozenset({"steady"})),
    "unknown": Filter(words="No data", signals=frozenset({"insufficient_data"})),
    "changed": Filter(words="Changed this week", changed=True),
}
HEADS = {
    -1: "Past their date",
    30: "In 30 days",
    90: "31 to 90 days",
    HORIZON: "91 to 180 days",
    None: "Later, but moving now",
}
IN_TIME = (30, 90, HORIZON)
SORTS = ("renews", "customer", "signal", "seats", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What the address of the board asks for. What it does not know counts as its default."""

    show: str = "all"
    owner: str = ""
    words: str = ""
    sort: str = "renews"
    after: str = ""

    @property
    def key(self) -> str:
        """By what rows are ordered."""
        return self.sort.removeprefix("-")

    @property
    def down(self) -> bool:
        """Whether the largest comes first."""
        return self.sort.startswith("-")

    def toggled(self, key: str) -> str:
        """The `sort` that a press on this column asks for."""
        return f"-{key}" if self.sort == key else key


def query(show: str, owner: str, words: str, sort: str, after: str = "") -> Query:
    """The query of these arguments, each from an address and so perhaps nonsense."""
    known = sort.removeprefix("-") in SORTS
    return Query(
        show=show if show in FILTERS else "all",
        owner=owner,
        words=words,
        sort=sort if known else "renews",
        after=after,
    )


def asked_of(query: Query, most: int | None = SHOWN) -> Asked:
    """What the portfolio is asked for; at most so many rows, None: all that fit."""
    fits = FILTERS[query.show]
    return Asked(
        within=HORIZON,
        signals=None if fits.signals is None else frozenset(map(Signal, fits.signals)),
        changed=fits.changed,
        owner=query.owner,
        words=query.words,
        order=query.key,
        down=query.down,
        after=query.after,
        most=most,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows under one head; `count` of all that belong there, and `total`: what they are worth."""

    head: str
    rows: Sequence[Standing]
    count: int
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The page. `rows`: how many fit. `due`: counts of all that renews within the horizon, filters aside.

    `more`: after which row the next page begins; "" where this one is the last.
    """

    query: Query
    groups: Sequence[Group]
    counts: dict[str, int]
    owners: Sequence[str]
    due: Sequence[Count]
    rows: int
    more: str


def board(found: Page, asked: Query) -> Board:
    """The board of this page."""
    fitting = [one for one in found.fitting if FILTERS[asked.show].shows(one)]
    return Board(
        query=asked,
        groups=_groups(found.rows, fitting, grouped=asked.sort == "renews"),
        counts={name: _rows(one for one in found.fitting if chip.shows(one)) for name, chip in FILTERS.items()},
        owners=found.owners,
        due=[one for one in found.due if one.span in IN_TIME],
        rows=_rows(fitting),
        more=found.rows[-1].entitlement_id if found.more and found.rows else "",
    )


def _rows(counts: Iterable[Count]) -> int:
    return sum(one.rows for one in counts)


def _worth(counts: Iterable[Count | Sum]) -> str:
    return money.total(Money(amount_minor=one.amount_minor, currency=one.currency) for one in counts if one.currency)


def _groups(rows: Sequence[Standing], counts: Sequence[Count], *, grouped: bool) -> list[Group]:
    if not grouped:
        return [Group(head="", rows=rows, count=_rows(counts), total=_worth(counts))] if rows else []
    parts = {span: [one for one in rows if span_of(one.days_left) == span] for span in HEADS}
    of = {span: [one for one in counts if one.span == span] for span in HEADS}
    return [
        Group(head=HEADS[span], rows=part, count=_rows(of[span]), total=_worth(of[span]))
        for span, part in parts.items()
        if part
    ]


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number(count: int) -> str:
    """Small counts as words."""
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"


def headline(due: Sequence[Count]) -> str:
    """9 renewals in 180 days, $313,700: three lose seats, two need more."""
    losing, needing = (_rows(one for one in due if one.signal in names) for names in (LOSING, NEEDING))
    count, worth = _rows(due), _worth(due)
    said = f"{count:,} renewal{'' if count == 1 else 's'} in {HORIZON} days" + (f", {worth}" if worth else "")
    if not due:
        return f"Nothing renews in {HORIZON} days"
    lose, need = ("s" if count == 1 else "" for count in (losing, needing))
    return f"{said}: {number(losing)} lose{lose} seats, {number(needing)} need{need} more"


def week(one: Standing) -> str:
    """What happened since last week, in a few words."""
    if one.was is None and one.signal not in CALM:
        return "new"
    if one.changed:
        return f"was {word(one.was).lower()}" if one.was else "first judgement"
    if one.used is None:
        return "no data"
    if one.used == 0 and one.used_before == 0:
        return "unused"
    if one.used_before is None or abs(one.used - one.used_before) < max(1.0, 0.02 * one.used_before):
        return "level"
    return f"{one.used_before:,.0f} → {one.used:,.0f}"


def word(signal: str) -> str:
    """A signal as people call it."""
    return SIGNALS[signal][2]


def share(one: Standing) -> int:
    """Seats used of those licensed, in percent, at most 100; 0 where either is unknown."""
    return min(100, round(100 * one.used / one.seats)) if one.used and one.seats else 0


CSV_NAMES = (
    "customer", "account", "entitlement", "offering", "signal", "since", "was", "confidence", "seats", "used",
    "renews", "days left", "suggested seats", "value", "currency", "owner", "as of", "evidence",
)  # fmt: skip


def csv_row(one: Standing) -> tuple[str | int | float | date | None, ...]:
    """One row of the export, as `CSV_NAMES` names its cells."""
    return (
        *(one.account, one.account_id, one.entitlement_id, one.offering),
        *(str(one.signal), one.since, str(one.was or ""), str(one.confidence)),
        *(one.seats, one.used, one.renewal, one.days_left, one.recommended_seats),
        *(money.major(one.value) if one.value else None, one.value.currency if one.value else ""),
        *(one.owner, one.as_of, one.sentence),
    )


# -- the portfolio page


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many entitlements have a signal now and had it a week ago; seats and worth of those that have it."""

    signal: str
    now: int
    before: int
    seats: int
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The portfolio in numbers. at_risk: seats licensed but not used where use falls. to_propose: seats above the
    license that are suggested where more are needed. movers: how many moved; `moved`: the first of them."""  # noqa: D205, D209  (one sentence each)

    tallies: Sequence[Tally]
    moved: Sequence[Standing]
    movers: int
    entitlements: int
    accounts: int
    seats: int
    at_risk: int
    to_propose: int
    at_risk_value: str
    as_of: date | None


def overview(whole: Whole) -> Overview:
    """The portfolio of these sums."""
    losing = [one for one in whole.sums if one.signal in LOSING]
    return Overview(
        tallies=[_tally(whole.sums, signal) for signal in SIGNALS],
        moved=whole.moved,
        movers=sum(one.rows for one in whole.sums if one.was != one.signal),
        entitlements=sum(one.rows for one in whole.sums),
        accounts=whole.accounts,
        seats=sum(one.seats for one in whole.sums),
        at_risk=sum(one.idle for one in losing),
        to_propose=sum(one.more for one in whole.sums if one.signal in NEEDING),
        at_risk_value=_worth(losing),
        as_of=whole.as_of,
    )


def _tally(sums: Sequence[Sum], signal: str) -> Tally:
    mine = [one for one in sums if one.signal == signal]
    return Tally(
        signal=signal,
        now=sum(one.rows for one in mine),
        before=sum(one.rows for one in sums if one.was == signal),
        seats=sum(one.seats for one in mine),
        total=_worth(mine),
    )
