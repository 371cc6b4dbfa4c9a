"""Seat usage: history, judgement, pictures. numpy is imported here and nowhere above (memory)."""

from hub.usage.history import Confidence, History, Judgement, Signal
from hub.usage.judging import judge
from hub.usage.rules import Rules

__all__ = ["Confidence", "History", "Judgement", "Rules", "Signal", "judge"]
