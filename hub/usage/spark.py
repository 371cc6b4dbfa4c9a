"""The sparkline of lists: weekly level and license line as an SVG of some hundred bytes. Pure; loads no numpy.

Its colors are classes of hub.css (.spark), so that it follows the reader's light or dark without a second picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from hub.usage.portfolio import Level

WIDTH, HEIGHT, EDGE = 120, 28, 3


def sparkline(weeks: Sequence[Level], words: str) -> str:
    """(level, licensed seats) a week, oldest first -> inline SVG with `words` as its name. Unknown weeks are gaps."""
    if not weeks:
        return ""
    top = 1.12 * max(1.0, *(level for level, _ in weeks if level is not None), *(seats for _, seats in weeks), 0)
    points = [(_x(n, len(weeks)), None if level is None else _y(level, top)) for n, (level, _) in enumerate(weeks)]
    parts = _parts(points)
    lines = "".join(f'<path class="l" d="{_path(part)}"/>' for part in parts)
    areas = "".join(f'<path class="a" d="{_path(part)}V{HEIGHT}H{part[0][0]}z"/>' for part in parts)
    dot = f'<circle class="d" cx="{parts[-1][-1][0]}" cy="{parts[-1][-1][1]}" r="2"/>' if parts else ""
    over = f'<path class="o" d="{_over(weeks, top)}"/>' if _over(weeks, top) else ""
    steps = f'<path class="s" d="{_steps(weeks, top)}"/>'
    head = f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
    return f'{head} aria-label="{escape(words, quote=True)}">{areas}{over}{steps}{lines}{dot}</svg>'


def _x(number: int, count: int) -> float:
    return round(1 + number * (WIDTH - EDGE - 1) / max(1, count - 1), 1)


def _y(seats: float, top: float) -> float:
    return round(HEIGHT - 1 - seats / top * (HEIGHT - EDGE), 1)


def _parts(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Unbroken stretches."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [part for part in found if part]


def _path(part: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in part)


def _steps(weeks: Sequence[Level], top: float) -> str:
    rows = [(_x(n, len(weeks)), _y(seats, top)) for n, (_, seats) in enumerate(weeks) if seats > 0]
    if not rows:
        return "M0 0"
    steps = "".join(f"H{x}V{y}" for (_, before), (x, y) in pairwise(rows) if y != before)
    return f"M{rows[0][0]} {rows[0][1]}{steps}H{rows[-1][0]}"


def _over(weeks: Sequence[Level], top: float) -> str:
    """A bar for each week above its license."""
    bars = [
        (_x(n, len(weeks)), level, seats)
        for n, (level, seats) in enumerate(weeks)
        if level is not None and level > seats > 0
    ]
    return "".join(f"M{x} {_y(seats, top)}V{_y(level, top)}" for x, level, seats in bars)
