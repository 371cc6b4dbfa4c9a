"""From the entitlements of an account to the account: the worst weighty signal, never a mean of signals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hub.usage.history import Judgement
from hub.usage.rules import Rules
from hub.usage.signal import DOWN, WORST_FIRST, Signal

DEFAULTS = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One entitlement of an account. `value` is in any one currency; `level_now` and `level_before` are seats."""

    entitlement_id: str
    product: str
    value: float
    renewal: date | None
    judgement: Judgement

    @property
    def lost(self) -> float:
        """Seats that the level has come down by, from its best; negative where it grew in 90 days."""
        now, best = _number(self.judgement, "level_now"), _number(self.judgement, "level_best")
        grown = _number(self.judgement, "growth_90d_pct") / 100
        return best - now if self.judgement.signal in DOWN else -now * grown / (1 + grown) if grown > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an account's entitlements say together.

    `drop_pct` is the value-weighted fall from the best level, in percent. `migration` says in words that one product
    took over another's use; the fall is then none, and the signal steady.
    """

    signal: Signal
    because: str
    drop_pct: float
    renewal: date | None
    migration: str = ""


def account(parts: Sequence[Part], rules: Rules = DEFAULTS) -> Account:
    """The account of these entitlements. ValueError of none.

    The worst signal among entitlements that hold `rules.weighty` of the value; where no value is known each counts the
    same.
    """
    if not parts:
        raise ValueError("an account needs one entitlement at least")
    values = [part.value for part in parts] if sum(part.value for part in parts) > 0 else [1.0] * len(parts)
    total = sum(values)
    weighty = [part for part, value in zip(parts, values, strict=True) if value >= rules.weighty * total] or list(parts)
    worst = min(weighty, key=lambda part: WORST_FIRST.index(part.judgement.signal))
    drop = sum(_number(part.judgement, "drop_pct") * value for part, value in zip(parts, values, strict=True)) / total
    moved = _migration(worst, parts, rules)
    return Account(
        signal=Signal.STEADY if moved else worst.judgement.signal,
        because=worst.entitlement_id,
        drop_pct=round(max(0.0, drop), 1),
        renewal=min((part.renewal for part in parts if part.renewal), default=None),
        migration=moved,
    )


def _migration(falling: Part, parts: Sequence[Part], rules: Rules) -> str:
    """A sentence, where another product took over enough of what this one lost; else empty."""
    if falling.judgement.signal not in DOWN or falling.lost <= 0:
        return ""
    others = [part for part in parts if part.product != falling.product and -part.lost >= rules.migrated * falling.lost]
    if not others:
        return ""
    successor = max(others, key=lambda part: -part.lost)
    return f"{successor.product} gained {-successor.lost:.0f} seats while {falling.product} lost {falling.lost:.0f}."


def _number(judgement: Judgement, name: str) -> float:
    value = judgement.evidence.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
