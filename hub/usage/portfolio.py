"""What pages show of seat use, and whom they ask for it. Values only; loading this loads no numpy.

A `Standing` is one entitlement as lists show it, small enough to hold a hundred thousand; an `Account` has the whole
histories. `since` is the day from which on people were told the signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hub.usage.history import Confidence, History, Judgement, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in the currency's smallest unit; `currency` is an ISO 4217 code."""

    amount_minor: int
    currency: str


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
    week's level in seats, None = unknown. weeks: (level, licensed seats) of up to 53 weeks, oldest first.
    value: worth of a year. `changed` and `days_left` are derived from these.
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
    weeks: tuple[tuple[float | None, float], ...] = ()

    @property
    def changed(self) -> bool:
        """Whether people were told something else a week ago."""
        return self.was is not self.signal

    @property
    def days_left(self) -> int | None:
        """Days from the as-of day to the renewal; below 0: it is past. None: never renews."""
        return (self.renewal - self.as_of).days if self.renewal else None


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


class Portfolio(Protocol):
    """Where seat use is read. Both may be asked from several threads, and read only."""

    def standings(self) -> Sequence[Standing]:
        """Every entitlement that was judged, in any order; terms under 90 days that renew themselves are left out."""

    def account(self, id_: str) -> Account | None:
        """The account of this id; None where nothing of it was judged."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A portfolio that is held in memory: tests, demonstrations, and the empty one."""

    accounts: Mapping[str, Account] = field(default_factory=dict)

    def standings(self) -> Sequence[Standing]:
        """See `Portfolio`."""
        return [one.standing for account in self.accounts.values() for one in account.entitled]

    def account(self, id_: str) -> Account | None:
        """See `Portfolio`."""
        return self.accounts.get(id_)
