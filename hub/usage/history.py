"""What the judgement of seat usage is made from, and what it says.

Arrays are daily, from `first_day` to `as_of`, both included. Days are those of the account's own time zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from hub.usage.signal import Confidence, Signal

__all__ = ["Confidence", "Daily", "History", "Judgement", "Signal"]

Daily = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Seat use of one entitlement, day by day.

    `peak` is the most seats in use at once (NaN = unknown, 0 = known and none), `seats` the licensed seats at the end
    of the day, `cap` seats and overdraft allowance, `denials` requests denied, `users` distinct users (NaN = unknown).
    `country` is an ISO 3166 alpha-2 code, or empty. `renewal` is None for what never renews.
    """

    entitlement_id: str
    account_id: str
    country: str
    first_day: date
    as_of: date
    renewal: date | None
    peak: Daily
    seats: Daily
    cap: Daily
    denials: Daily
    users: Daily


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a history says. Seats are counts; forecasts are the 95th percentile of business-day demand at renewal.

    `evidence` holds every number a sentence was made from, as JSON has it; `sentence` is what a person reads aloud.
    """

    signal: Signal
    confidence: Confidence
    change_date: date | None
    forecast_peak: float | None
    forecast_lo: float | None
    forecast_hi: float | None
    recommended_seats: int | None
    sentence: str
    evidence: Mapping[str, object] = field(default_factory=dict)
