"""The renewals board: which rows, in what order, under which heads, and the headline. Pure; loads no numpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from hub.usage.signal import CALM, DOWN
from hub.web import money

if TYPE_CHECKING:
    from hub.usage.portfolio import Standing

HORIZON = 180  # days
SHOWN = 300  # rows on one page
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
LOSING = DOWN
NEEDING = frozenset({"overdraft", "expansion", "new_growth"})
ORDER = list(SIGNALS)
Filter = Callable[["Standing"], bool]
FILTERS: dict[str, tuple[str, Filter]] = {
    "all": ("All", lambda one: True),  # noqa: ARG005  (one signature for all)
    "losing": ("Losing seats", lambda one: one.signal in LOSING),
    "needing": ("Needing seats", lambda one: one.signal in NEEDING),
    "steady": ("Steady", lambda one: one.signal == "steady"),
    "unknown": ("No data", lambda one: one.signal == "insufficient_data"),
    "changed": ("Changed this week", lambda one: one.changed),
}
HEADS = ((30, "In 30 days"), (90, "31 to 90 days"), (HORIZON, "91 to 180 days"))
PAST, LATER = "Past their date", "Later, but moving now"


def _value(one: Standing) -> float:
    return money.major(one.value) if one.value else -1.0


SORTS: dict[str, Callable[[Standing], Any]] = {
    "renews": lambda one: (one.renewal or date.max, one.account.casefold(), one.offering),
    "customer": lambda one: (one.account.casefold(), one.offering),
    "signal": lambda one: (ORDER.index(one.signal), -_value(one)),
    "seats": lambda one: -1.0 if one.used is None or not one.seats else one.used / one.seats,
    "value": _value,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What the address of the board asks for. What it does not know counts as its default."""

    show: str = "all"
    owner: str = ""
    words: str = ""
    sort: str = "renews"

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


def query(show: str, owner: str, words: str, sort: str) -> Query:
    """The query of these arguments, each from an address and so perhaps nonsense."""
    known = sort.removeprefix("-") in SORTS
    return Query(show=show if show in FILTERS else "all", owner=owner, words=words, sort=sort if known else "renews")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows under one head; `total` is what they are worth a year."""

    head: str
    rows: Sequence[Standing]
    count: int
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The page. `due`: all that renews within the horizon, filters aside. `hidden`: rows that fit, but are too many."""

    query: Query
    groups: Sequence[Group]
    counts: dict[str, int]
    owners: Sequence[str]
    due: Sequence[Standing]
    hidden: int

    @property
    def rows(self) -> int:
        """How many fit."""
        return sum(group.count for group in self.groups) + self.hidden


def board(standings: Sequence[Standing], asked: Query, shown: int | None = SHOWN) -> Board:
    """The board of these standings as `asked` for; `shown` rows at most, None: all."""
    on_it = [one for one in standings if one.is_due(HORIZON)]
    mine = [one for one in on_it if _fits(one, asked)]
    fitting = sorted(filter(FILTERS[asked.show][1], mine), key=SORTS[asked.key], reverse=asked.down)
    return Board(
        query=asked,
        groups=_groups(fitting[:shown], grouped=asked.sort == "renews"),
        counts={name: sum(map(fits, mine)) for name, (_, fits) in FILTERS.items()},
        owners=sorted({one.owner for one in on_it if one.owner}),
        due=[one for one in on_it if _head(one) not in {PAST, LATER}],
        hidden=max(0, len(fitting) - shown) if shown is not None else 0,
    )


def _fits(one: Standing, asked: Query) -> bool:
    if not asked.words:
        return asked.owner in {"", one.owner}
    words = asked.words.casefold()
    found = words in f"{one.account} {one.offering} {one.account_id} {one.entitlement_id}".casefold()
    return found and asked.owner in {"", one.owner}


def _head(one: Standing) -> str:
    left = one.days_left
    if left is None:
        return LATER
    return PAST if left < 0 else next((head for days, head in HEADS if left <= days), LATER)


def _groups(rows: Sequence[Standing], *, grouped: bool) -> list[Group]:
    heads = (PAST, *(head for _, head in HEADS), LATER) if grouped else ("",)
    parts = [(head, [one for one in rows if not grouped or _head(one) == head]) for head in heads]
    return [
        Group(head=head, rows=part, count=len(part), total=money.total(one.value for one in part))
        for head, part in parts
        if part
    ]


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number(count: int) -> str:
    """Small counts as words."""
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"


def headline(due: Sequence[Standing]) -> str:
    """9 renewals in 180 days, $313,700: three lose seats, two need more."""
    signals = Counter(str(one.signal) for one in due)
    losing, needing = (sum(signals[name] for name in names) for names in (LOSING, NEEDING))
    worth = money.total(one.value for one in due)
    said = f"{len(due):,} renewal{'' if len(due) == 1 else 's'} in {HORIZON} days" + (f", {worth}" if worth else "")
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
    license that are suggested where more are needed."""  # noqa: D205, D209  (one sentence each)

    tallies: Sequence[Tally]
    moved: Sequence[Standing]
    entitlements: int
    accounts: int
    seats: int
    at_risk: int
    to_propose: int
    at_risk_value: str
    as_of: date | None


def overview(standings: Sequence[Standing]) -> Overview:
    """The portfolio of these standings."""
    losing = [one for one in standings if one.signal in LOSING]
    return Overview(
        tallies=[_tally(standings, signal) for signal in SIGNALS],
        moved=sorted(
            (one for one in standings if one.changed), key=lambda one: (ORDER.index(one.signal), -_value(one))
        ),
        entitlements=len(standings),
        accounts=len({one.account_id for one in standings}),
        seats=sum(one.seats for one in standings),
        at_risk=sum(max(0, one.seats - round(one.used)) for one in losing if one.used is not None),
        to_propose=sum(_more(one) for one in standings if one.signal in NEEDING),
        at_risk_value=money.total(one.value for one in losing),
        as_of=max((one.as_of for one in standings), default=None),
    )


def _more(one: Standing) -> int:
    return max(0, (one.recommended_seats or 0) - one.seats)


def _tally(standings: Sequence[Standing], signal: str) -> Tally:
    mine = [one for one in standings if one.signal == signal]
    return Tally(
        signal=signal,
        now=len(mine),
        before=sum(one.was == signal for one in standings),
        seats=sum(one.seats for one in mine),
        total=money.total(one.value for one in mine),
    )
