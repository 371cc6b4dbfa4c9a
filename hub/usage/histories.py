"""Histories from the record, for one entitlement and in batches of accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from hub.collecting.collector import places
from hub.domain import Entitlement
from hub.settings import Usage
from hub.store import Store, seats
from hub.usage.history import Daily, History
from hub.usage.portfolio import renewal_of
from hub.usage.seatdays import SeatDay
from hub.usage.sessions import days_between

YEARS = timedelta(days=37 * 31)
UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Whose history it is."""

    entitlement_id: str
    account_id: str
    country: str
    renewal: date | None


def history(store: Store, usage: Usage, entitlement: str, as_of: date | None = None) -> History | None:
    """The history of one entitlement; None where no day of it is known."""
    return next(histories(store, usage, [entitlement], as_of), None)


def histories(store: Store, usage: Usage, ids: Sequence[str], as_of: date | None = None) -> Iterator[History]:
    """The histories of those of these entitlements that have a known day, up to `as_of` (None: the last closed day)."""
    for part in seats.in_parts(ids, 100):
        with store.read() as conn:
            of = places(conn, usage, part)
            paid = seats.paid_until(conn, part)
            days = seats.days_of(conn, part, date(1970, 1, 1), as_of or date(9999, 12, 31))
        by_id: dict[str, list[SeatDay]] = {}
        for (id_, _), day in days.items():
            by_id.setdefault(id_, []).append(day)
        for id_ in part:
            about = about_of(id_, of[id_].entitlement, of[id_].account.country, paid)
            if found := history_of(about, by_id.get(id_, ()), as_of):
                yield found


def cut(history: History, as_of: date) -> History:
    """The history up to a day: nobody looks ahead."""
    days = (as_of - history.first_day).days + 1
    arrays = {name: getattr(history, name)[:days] for name in ("peak", "seats", "cap", "denials", "users")}
    return replace(history, as_of=min(as_of, history.as_of), **arrays)


def about_of(id_: str, one: Entitlement | None, country: str, paid: Mapping[str, str]) -> About:
    """Whose history it is. An entitlement without a customer is an account of its own."""
    expires = one.expires_at.date() if one and one.expires_at else None
    perpetual = one is not None and one.perpetual
    return About(
        entitlement_id=id_,
        account_id=(one.customer_id if one else "") or id_,
        country=country,
        renewal=renewal_of(perpetual=perpetual, paid_until=paid.get(id_), expires=expires),
    )


def history_of(about: About, days: Sequence[SeatDay], as_of: date | None = None) -> History | None:
    """The history that these days make, from the first known one on; None where none is known.

    Seats of a day that nobody noted are those of the last day that has some. No limit is an infinite cap.
    """
    by_day = {one.day: one for one in days}
    known = [one.day for one in days if one.known]
    closed = [one.day for one in days if one.closed]
    end = as_of or max(closed, default=None)
    if not known or end is None or min(known) > end:
        return None
    rows = [by_day.get(day) for day in days_between(max(min(known), end - YEARS), end)]
    licensed = _licensed(rows)
    return History(
        entitlement_id=about.entitlement_id,
        account_id=about.account_id,
        country=about.country,
        first_day=max(min(known), end - YEARS),
        as_of=end,
        renewal=about.renewal,
        peak=_daily([one.peak if one else None for one in rows]),
        seats=np.array([seats_ for seats_, _ in licensed], float),
        cap=np.array([cap for _, cap in licensed], float),
        denials=_daily([one.denials if one else None for one in rows]),
        users=_daily([one.users if one else None for one in rows]),
    )


def _daily(values: Sequence[int | None]) -> Daily:
    return np.array([UNKNOWN if value is None else value for value in values], float)


def _licensed(rows: Sequence[SeatDay | None]) -> list[tuple[float, float]]:
    """(seats, cap) of each day; before the first that are known, those; 0 where none ever were."""
    noted = [
        (float(one.seats), np.inf if one.cap is None else float(one.cap))
        for one in rows
        if one and one.seats is not None
    ]
    now, found = noted[0] if noted else (0.0, 0.0), []
    for one in rows:
        if one and one.seats is not None:
            now = (float(one.seats), np.inf if one.cap is None else float(one.cap))
        found.append(now)
    return found
