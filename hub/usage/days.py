"""A history made ready: checked, cut at its as-of day, with business days and estimated demand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from hub.usage.calendars import Flags, business_days, year_end
from hub.usage.history import Daily, History
from hub.usage.rules import Rules

MONTH = 25  # business days, five weeks
LONGEST = 37 * 31  # days that are looked back on: as long as daily roll-ups are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Daily arrays of one length, one day at least; the last is the as-of day. `first` is the first day's ordinal.

    business  a business day of the account's country
    used      a business day that is known
    quiet     from 20 December to 4 January, and closures (see `closures`)
    demand    seats wanted: the peak, and on days at the limit those turned away, too
    pinned    a known day at the limit, where demand may have been higher than use
    """

    entitlement_id: str
    country: str
    first: int
    renewal: int | None
    peak: Daily
    seats: Daily
    cap: Daily
    denials: Daily
    users: Daily
    known: Flags
    business: Flags
    used: Flags
    quiet: Flags
    demand: Daily
    pinned: Flags

    @property
    def count(self) -> int:
        """How many days there are."""
        return len(self.peak)

    @property
    def as_of(self) -> int:
        """The last day's ordinal."""
        return self.first + self.count - 1

    @property
    def licensed(self) -> float:
        """The licensed seats of today."""
        return float(self.seats[-1])

    @property
    def limit(self) -> float:
        """The licensed seats and the overdraft of today."""
        return float(self.cap[-1])

    @property
    def age(self) -> int:
        """Days since the first known one, both counted."""
        return self.count - int(np.argmax(self.known)) if self.known.any() else 0


def read(history: History | Mapping[str, object] | object, rules: Rules) -> Days:
    """The history as `Days`: from a History, from a mapping, or from anything that has its fields.

    What comes after `as_of` is cut; days missing before it are unknown. Unknown seats are those of the day before.
    Raises ValueError for arrays of different lengths, and for counts that are negative or infinite.
    """
    fields = history if isinstance(history, Mapping) else _Attributes(history)
    first, as_of = _day(fields, "first_day"), _day(fields, "as_of")
    start = min(max(first, as_of - LONGEST + 1), as_of)
    told = _daily(fields, "peak", None)

    def daily(name: str) -> Daily:
        return _window(_daily(fields, name, len(told)), first, start, as_of)

    peak, seats = daily("peak"), _carried(daily("seats"))
    cap = np.maximum(_carried(np.fmax(daily("cap"), seats)), seats)
    known, business = ~np.isnan(peak), business_days(str(fields.get("country") or ""), start, len(peak))
    denials = daily("denials")
    pinned = known & (peak >= cap) & (cap > 0)
    unserved = np.minimum(np.nan_to_num(denials) / rules.retries, rules.unserved_most * cap)
    return Days(
        entitlement_id=str(fields.get("entitlement_id") or ""),
        country=str(fields.get("country") or ""),
        first=start,
        renewal=None if fields.get("renewal") is None else _day(fields, "renewal"),
        peak=peak,
        seats=seats,
        cap=cap,
        denials=denials,
        users=daily("users"),
        known=known,
        business=business,
        used=known & business,
        quiet=year_end(start, len(peak)) | closures(peak, known & business, rules),
        demand=np.where(pinned, peak + unserved, peak),
        pinned=pinned,
    )


def closures(peak: Daily, used: Flags, rules: Rules) -> Flags:
    """Days of closures: next to nobody worked on a few business days in a row, where people had worked before.

    Two weeks at most: what goes on is no closure. The last one may still go on, and says nothing of a fall yet.
    """
    found = np.zeros(len(peak), dtype=bool)
    at = np.flatnonzero(used)
    empty = peak[at] <= rules.closed_share * _before(peak[at], rules)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], empty, [False])).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin >= rules.closed_least and at[end - 1] - at[begin] < rules.closed_days:
            found[at[begin] : at[end - 1] + 1] = True
    return found


def _before(peaks: Daily, rules: Rules) -> Daily:
    """The median of the five weeks before each business day, which a closure does not bend; -1 where it is too low."""
    levels = np.full(len(peaks), -1.0)
    if len(peaks) > MONTH:
        levels[MONTH:] = np.median(np.lib.stride_tricks.sliding_window_view(peaks[:-1], MONTH), axis=1)
    return np.where(levels < rules.closed_use, -1.0, levels)


class _Attributes:
    """An object's attributes, asked like a mapping."""

    def __init__(self, of: object) -> None:
        self.of = of

    def get(self, name: str) -> object:
        return getattr(self.of, name, None)


def _day(fields: Mapping[str, object] | _Attributes, name: str) -> int:
    value = fields.get(name)
    if isinstance(value, str):
        return date.fromisoformat(value).toordinal()
    if isinstance(value, date):
        return value.toordinal()
    raise ValueError(f"{name} must be a date, or a text such as 2027-01-31; it is {value!r}")


def _daily(fields: Mapping[str, object] | _Attributes, name: str, length: int | None) -> Daily:
    """The array, as floats; all unknown where there is none and `length` is given."""
    value = fields.get(name)
    if value is None and length is not None:
        return np.full(length, np.nan)
    if value is None:
        raise ValueError(f"{name} is missing: it must be an array with one entry a day from first_day to as_of")
    try:
        found = np.array(value, dtype=float)  # None becomes NaN
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, NaN or None where unknown: {error}") from error
    if found.ndim != 1 or (length is not None and len(found) != length):
        raise ValueError(f"{name} must have one entry a day, as peak has ({length}); it has the shape {found.shape}")
    if np.isinf(found).any() or (found < 0).any():
        at = int(np.argmax(np.isinf(found) | (found < 0)))
        raise ValueError(f"{name} counts, so that no entry may be negative or infinite; entry {at} is {found[at]}")
    return found


def _window(values: Daily, first: int, start: int, as_of: int) -> Daily:
    """The values from `start` to `as_of`, unknown where there are none."""
    made = np.full(as_of - start + 1, np.nan)
    kept = values[max(0, start - first) : max(0, as_of + 1 - first)]
    made[: len(kept)] = kept
    return made


def _carried(values: Daily) -> Daily:
    """Unknown entries as the last known before, or else the first after, or 0."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.zeros(len(values))
    last = np.maximum(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0)
    return values[known[last]]
