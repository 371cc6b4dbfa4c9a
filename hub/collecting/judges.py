"""Who judges: `hub.usage`, imported where it judges and nowhere else, for numpy takes memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hub.usage.history import History, Judgement, Signal


class Settled(Protocol):
    """What people are told, and what the latest weekly judgements said instead, so often in a row."""

    @property
    def signal(self) -> Signal: ...  # noqa: D102
    @property
    def since(self) -> date: ...  # noqa: D102
    @property
    def as_of(self) -> date: ...  # noqa: D102
    @property
    def waiting(self) -> Signal | None: ...  # noqa: D102
    @property
    def waiting_since(self) -> date | None: ...  # noqa: D102
    @property
    def times(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """judge: what a history says. settle: the signal after one more weekly judgement. settled: makes one again."""

    judge: Callable[[History], Judgement]
    settle: Callable[[Settled | None, Judgement, date], Settled]
    settled: Callable[..., Settled]


def are_there() -> bool:
    """Whether this hub judges; imports nothing."""
    return find_spec("hub.usage.settling") is not None


def judges() -> Judges | None:
    """Those of this hub; None where it has none."""
    try:
        usage, settling = import_module("hub.usage"), import_module("hub.usage.settling")
        return Judges(judge=usage.judge, settle=settling.settle, settled=settling.Settled)
    except (ImportError, AttributeError):
        return None
