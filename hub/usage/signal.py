"""The words of a judgement. Loading this loads no numpy, so that lists can be shown without it."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """What the use of one entitlement, or of one account, says about its renewal."""

    AT_RISK = "at_risk"
    CONTRACTION = "contraction"
    DORMANT = "dormant"
    STEADY = "steady"
    EXPANSION = "expansion"
    OVERDRAFT = "overdraft"
    NEW_GROWTH = "new_growth"
    INSUFFICIENT_DATA = "insufficient_data"


class Confidence(StrEnum):
    """How sure a signal is; of those said to be high at least 95 in 100 are right (docs/signals.md)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


WORST_FIRST = (  # what a renewals manager should hear first
    Signal.DORMANT,
    Signal.AT_RISK,
    Signal.CONTRACTION,
    Signal.OVERDRAFT,
    Signal.EXPANSION,
    Signal.NEW_GROWTH,
    Signal.STEADY,
    Signal.INSUFFICIENT_DATA,
)
DOWN = frozenset(WORST_FIRST[:3])
CALM = frozenset(WORST_FIRST[-2:])  # nothing to do
