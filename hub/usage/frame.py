"""The plot area of a chart: days and seats as pixels, and Vega-Lite layers on one pair of scales. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from hub.domain import Json

Spec = dict[str, Json]
Rows = Sequence[Mapping[str, Json]]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Inter, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Pixels around the plot."""

    top: int
    right: int
    bottom: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the plot is. `first` and `last` are the days at its edges, `top` the seats at its upper edge."""

    size: tuple[int, int]
    margins: Margins
    first: date
    last: date
    top: float
    colors: Mapping[str, str]
    type_size: int = 11
    x_axis: Spec | None = field(default_factory=dict)
    y_axis: Spec | None = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Of the plot, in pixels."""
        return self.size[0] - self.margins.left - self.margins.right

    @property
    def height(self) -> int:
        """Of the plot, in pixels."""
        return self.size[1] - self.margins.top - self.margins.bottom

    def px(self, day: date) -> float:
        """Pixels from the left."""
        return (day - self.first).days / (self.last - self.first).days * self.width

    def py(self, seats: float) -> float:
        """Pixels from the top."""
        return self.height * (1 - seats / self.top)

    def x(self, name: str = "day") -> Spec:
        """The encoding of days."""
        domain: list[Json] = [self.first.isoformat(), self.last.isoformat()]
        scale: Spec = {"type": "utc", "domain": domain, "nice": False}
        return {"field": name, "type": "temporal", "scale": scale, "axis": self.x_axis, "title": None}

    def y(self, name: str = "seats") -> Spec:
        """The encoding of seats; the scale begins at zero."""
        scale: Spec = {"domain": [0, self.top], "nice": False, "zero": True}
        return {"field": name, "type": "quantitative", "scale": scale, "axis": self.y_axis, "title": None}

    def text(self, x: float, y: float, words: str, color: str, **mark: Json) -> Spec:
        """Words at a pixel; a list of lines where `words` has line breaks."""
        look: Spec = {"type": "text", "align": "left", "baseline": "middle", "fontSize": self.type_size, "color": color}
        lines: Json = [*words.split("\n")] if "\n" in words else words
        shown = look | {"lineHeight": self.type_size + 3} | mark
        at: Spec = {"text": {"field": "t"}, "x": {"value": round(x, 1)}, "y": {"value": round(y, 1)}}
        return {"mark": shown, "data": {"values": [{"t": lines}]}, "encoding": at}

    def halo(self, x: float, y: float, words: str, color: str, **mark: Json) -> list[Spec]:
        """Words on a rim of paper, so that lines below do not cut them."""
        rim: Spec = {"stroke": self.colors["paper"], "strokeWidth": 4, "strokeJoin": "round"}
        return [self.text(x, y, words, self.colors["paper"], **mark, **rim), self.text(x, y, words, color, **mark)]

    def spec(self, layers: Iterable[Spec], description: str) -> Spec:
        """The whole chart."""
        axis: Spec = {
            "labelColor": self.colors["faint"],
            "labelFontSize": self.type_size,
            "domainColor": self.colors["axis"],
            "tickColor": self.colors["axis"],
            "gridColor": self.colors["grid"],
            "tickSize": 4,
            "labelPadding": 4,
            "title": None,
        }
        edge = self.margins
        return {
            "$schema": SCHEMA,
            "description": description,
            "width": self.width,
            "height": self.height,
            "autosize": {"type": "none"},
            "padding": {"left": edge.left, "right": edge.right, "top": edge.top, "bottom": edge.bottom},
            "background": None,
            "layer": list(layers),
            "config": {"font": FONT, "aria": False, "view": {"stroke": None}, "axis": axis},
        }


def layer(mark: Spec, rows: Rows, **encoding: Spec) -> list[Spec]:
    """A layer of marks; none without rows."""
    return [{"mark": mark, "data": {"values": [dict(row) for row in rows]}, "encoding": dict(encoding)}] if rows else []


def line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1, dash: Sequence[float] = ()) -> Spec:
    """A straight line between two pixels."""
    mark: Spec = {"type": "rule", "color": color, "strokeWidth": width}
    if dash:
        mark["strokeDash"] = [*dash]
    at = {"x": x1, "y": y1, "x2": x2, "y2": y2}
    return {
        "mark": mark,
        "data": {"values": [{}]},
        "encoding": {name: {"value": round(v, 1)} for name, v in at.items()},
    }


def runs(days: Iterable[date]) -> list[tuple[date, date]]:
    """Neighboring days as half-open stretches: 1, 2, 3, 7 -> [(1, 4), (7, 8)]."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and found[-1][1] == day:
            found[-1] = (found[-1][0], day + timedelta(1))
        else:
            found.append((day, day + timedelta(1)))
    return found


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Labels at their heights, pushed apart so that none touches the next, in the order given."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [wanted[i] for i in order]
    for _ in range(40):
        for i in range(len(placed) - 1):
            if (short := gap - (placed[i + 1] - placed[i])) > 0:
                placed[i] -= short / 2
                placed[i + 1] += short / 2
    return [placed[order.index(i)] for i in range(len(wanted))]


def month_axis(first: date, last: date, *, narrow: bool) -> Spec:
    """Month names at the first of each month (each quarter where it is narrow); January carries the year."""
    count = (last.year - first.year) * 12 + last.month - first.month
    numbers = [first.year * 12 + first.month + n for n in range(count)]
    every = 3 if narrow or count > 22 else 1  # noqa: PLR2004  (names of more months touch each other)
    months = [date(n // 12, n % 12 + 1, 1) for n in numbers if (n % 12) % every == 0]
    words = "utcmonth(datum.value) === 0 ? utcFormat(datum.value, '%Y') : utcFormat(datum.value, '%b')"
    values: list[Json] = [month.isoformat() for month in months]
    return {"values": values, "labelExpr": words, "grid": False, "labelFlush": False, "labelOverlap": False}


def seat_axis(highest: float) -> Spec:
    """At most six lines at round numbers of seats."""
    sizes = (1, 2, 5, *(base * 10**power for power in range(9) for base in (10, 20, 25, 50)))
    step = next(size for size in sizes if highest / size <= 6)  # noqa: PLR2004
    values: list[Json] = [*range(0, round(highest * 1.15) + 1, step)]
    return {"values": values, "grid": True, "domain": False, "ticks": False, "format": ",d"}
