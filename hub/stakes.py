"""What is at stake where licenses would differ: seats, and what the CRM said that their renewals are worth. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from hub.domain import Json
from hub.money import sums, total
from hub.usage.portfolio import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """A license that would differ. entitlement "": it is not made yet.

    account: the customer's id in the licensing system, "" where none is known. seats_*: 0 where it is off or missing.
    value: what its renewal is worth; None: the CRM did not say. loses: fields of which something would be taken away.
    """

    subject: str
    account: str
    customer: str
    entitlement: str
    offering: str
    seats_today: int
    seats_then: int
    loses: tuple[str, ...] = ()
    value: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is at stake with one customer. value: a sum for each currency; unknown: how many licenses nobody told of."""

    account: str
    customer: str
    licenses: int
    seats_today: int
    seats_then: int
    losing: int
    value: tuple[Money, ...]
    unknown: int


def accounts_of(stakes: Sequence[Stake]) -> list[Account]:
    """Customer by customer: who loses something first, then who is worth most."""
    of: dict[str, list[Stake]] = {}
    for one in stakes:
        of.setdefault(one.account or one.customer or one.subject, []).append(one)
    made = [_account(name, mine) for name, mine in of.items()]
    return sorted(made, key=lambda one: (not one.losing, -max((x.major for x in one.value), default=0), one.customer))


def in_sentences(stakes: Sequence[Stake]) -> Iterator[str]:
    """How much is at stake, and how much of it would lose something; none where nothing is."""
    if not stakes:
        return
    seats, losing, customers = sum(one.seats_today for one in stakes), losing_of(stakes), len(accounts_of(stakes))
    of = f"{customers:,} customer{'s' if customers != 1 else ''}"
    yield f"At stake: {_many(stakes)} of {of}, {seats:,} seats today, {_worth(stakes)}."
    if losing:
        yield f"Of these, {_many(losing)} would lose something: {_worth(losing)}."


def losing_of(stakes: Sequence[Stake]) -> list[Stake]:
    """Those that something would be taken from."""
    return [one for one in stakes if one.loses]


def as_json(stakes: Sequence[Stake]) -> dict[str, Json]:
    """How many licenses, the sum of each currency, and of how many the worth is unknown."""
    value: list[Json] = [asdict(one) for one in sums(one.value for one in stakes)]
    return {"licenses": len(stakes), "value": value, "unknown": sum(one.value is None for one in stakes)}


def _account(name: str, mine: Sequence[Stake]) -> Account:
    return Account(
        account=mine[0].account,
        customer=next((one.customer for one in mine if one.customer), name),
        licenses=len(mine),
        seats_today=sum(one.seats_today for one in mine),
        seats_then=sum(one.seats_then for one in mine),
        losing=len(losing_of(mine)),
        value=tuple(sums(one.value for one in mine)),
        unknown=sum(one.value is None for one in mine),
    )


def _many(stakes: Sequence[Stake]) -> str:
    return f"{len(stakes):,} license{'s' if len(stakes) != 1 else ''}"


def _worth(stakes: Sequence[Stake]) -> str:
    known, unknown = total(one.value for one in stakes), sum(one.value is None for one in stakes)
    if not known:
        return "of unknown worth"
    return f"worth {known}" + (f" and {unknown:,} of unknown worth" if unknown else "")
