"""Seat usage: history, judgement, pictures. What needs numpy is imported at its first use (memory)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.usage.history import Confidence, History, Judgement, Signal
    from hub.usage.judging import judge
    from hub.usage.rules import Rules

__all__ = ["Confidence", "History", "Judgement", "Rules", "Signal", "judge"]

_HOMES = {"judge": "hub.usage.judging", "Rules": "hub.usage.rules"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(_HOMES.get(name, "hub.usage.history")), name)
