"""Every threshold of the judgement of seat usage, in one place. docs/signals.md says where each comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as what. Shares are of 1, `_days` are calendar days, rates are per 30 days.

    The defaults are the commercial rule of the signals; everything statistical is in `shapes`.
    """

    # not enough data
    least_days: int = 20  # known business days before anything is judged
    least_recent: int = 6  # of them in the last 28 days

    # dormant
    dormant_days: int = 30
    dormant_share: float = 0.03  # of the licensed seats; never less than half a seat

    # a closure, which says nothing of a fall
    closed_share: float = 0.15  # of the level before: a few on duty are next to nobody
    closed_use: float = 3.0  # seats; of fewer before, a few days without any are nothing special
    closed_least: int = 4  # business days
    closed_days: int = 16  # two weeks with their weekends; what goes on longer is no closure

    # overdraft
    overdraft_days: int = 5  # business days over the licensed seats in 60 days ...
    overdraft_recent: int = 2  # ... of them in the last 30

    # demand above the limit
    retries: float = 1.5  # denied requests of one person who got no seat
    unserved_most: float = 0.6  # demand is never taken to be more than this over the limit

    # falling
    fall: float = 0.15  # under the best nine weeks of a year
    fall_pace: float = 0.02  # a month, over the last three weeks
    lower: float = 0.20  # under the best nine weeks, and not falling any more
    lower_use: float = 0.80  # of the licensed seats
    underuse: float = 0.55  # of the licensed seats, whatever was before

    # growing
    growth: float = 0.15  # in half a year
    growth_pace: float = 0.01
    growth_use: float = 0.85  # of the licensed seats, at renewal
    full: float = 1.0  # of the licensed seats
    pinned: float = 0.5  # of the business days of eight weeks at the limit

    # young accounts
    young_days: int = 210
    young_growth: float = 0.25  # since the third week
    young_month: float = 0.04  # in the last 30 days

    # a season
    season_kept: float = 0.88  # of the same weeks a year ago, where that year swung little
    season_share: float = 0.6  # of today's fall came a year ago, too
    swing: float = 0.3  # down and back within a year: a strong season
    swing_share: float = 0.75  # of the swing must be lost against the same weeks of that year
    waves: float = 0.5  # of the weight of all explanations, before a season is believed

    # saying it
    alarm: float = 0.4  # of the weight of all explanations, before a fall is called a fall
    upsell: float = 0.4  # the same for growth
    young_upsell: float = 0.3  # the same for young accounts, of which little is known
    high: float = 0.9
    medium: float = 0.7
    known_least: float = 0.6  # below this share of known business days nothing is more than "low"
    young_weeks: int = 13  # below this nothing is more than "low"
    year_weeks: int = 56  # below this a fall is not more than "medium": its season is not known

    # forecast and seats
    horizon_weeks: int = 26  # a renewal further away is too far to forecast
    term_days: int = 90  # of demand after the renewal that the seats are for
    idle_cost: float = 1.0  # a seat-day that nobody used
    short_cost: float = 19.0  # a seat-day that somebody lacked

    # settling
    raise_after: int = 2  # weekly judgements in a row
    clear_after: int = 3

    # accounts
    weighty: float = 0.20  # of the account's value, before one entitlement speaks for it
    migrated: float = 0.70  # of a fall, taken over by a successor
