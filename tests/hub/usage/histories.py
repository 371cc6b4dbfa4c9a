"""Small histories for tests: a level, a little noise, the working week."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from hub.usage import Rules
from hub.usage.days import Days, read

AS_OF = date(2026, 6, 26)  # a Friday


def a_history(peak: Sequence[float] | np.ndarray, *, seats: Any = 100, **fields: Any) -> dict[str, Any]:
    """A history that ends with the last peak on AS_OF; `fields` replace any other."""
    peaks = np.asarray(peak, float)
    licensed = np.full(len(peaks), float(seats)) if np.isscalar(seats) else np.asarray(seats, float)
    as_of = fields.pop("as_of", AS_OF)
    made = {
        "entitlement_id": "ent_1",
        "account_id": "acc_1",
        "country": "US",
        "first_day": as_of - timedelta(len(peaks) - 1),
        "as_of": as_of,
        "renewal": as_of + timedelta(90),
        "peak": peaks,
        "seats": licensed,
        "cap": licensed,
    }
    return made | fields


def days_of(peak: Sequence[float] | np.ndarray, **fields: Any) -> Days:
    return read(a_history(peak, **fields), Rules())


def used(level: float | np.ndarray, days: int = 500, *, noise: float = 0.03, seed: int = 1) -> np.ndarray:
    """Peaks of so many days around a level, whole numbers; every day is worked."""
    chance = np.random.default_rng(seed)
    return np.rint(level * chance.normal(1, noise, days)).clip(0)


def falling(start: float, end: float, over: int, days: int = 500) -> np.ndarray:
    """A level that is `start`, and falls to `end` over the last `over` days."""
    return np.interp(np.arange(days), [days - over, days - 1], [start, end])
