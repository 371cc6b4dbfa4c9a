"""An explanation on a terminal."""

from __future__ import annotations

from rich.console import Console

from hub.explain import Explanation


def print_explanation(out: Console, found: Explanation) -> None:
    """Prints field by field: value, sentence, and the chain behind it."""
    raise NotImplementedError
