"""Who judges: `hub.usage`, imported where it judges and nowhere else, for numpy takes memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.usage.history import History, Judgement
    from hub.usage.settling import Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """judge: what a history says. settle: the signal after one more weekly judgement. settled: makes one again."""

    judge: Callable[[History], Judgement]
    settle: Callable[[Settled | None, Judgement, date], Settled]
    settled: Callable[..., Settled]


def judges() -> Judges:
    """Those of this hub."""
    from hub.usage.judging import judge  # noqa: PLC0415  (numpy)
    from hub.usage.settling import Settled, settle  # noqa: PLC0415

    return Judges(judge=judge, settle=settle, settled=Settled)
