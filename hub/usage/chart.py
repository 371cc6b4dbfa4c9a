"""The pictures of seat use as Vega-Lite specs: one spec serves SVG, PNG and the interactive version. Pure.

`history_chart` without a judgement is the customer's own version: what was used and licensed, and nothing that the
vendor thinks of it. Everything that has a color has a shape or a name of its own, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from hub.domain import Json
from hub.usage import figures
from hub.usage.frame import Frame, Margins, Spec, layer, line, month_axis, runs, seat_axis, spread
from hub.usage.history import Daily, History, Judgement, Signal
from hub.usage.palette import THEMES

WIDE, NARROW = (860, 360), (430, 360)
NARROW_BELOW = 600
BACK, PAST_RENEWAL, AHEAD_AT_MOST = timedelta(365), timedelta(30), timedelta(400)
RISING = frozenset({Signal.EXPANSION, Signal.NEW_GROWTH, Signal.OVERDRAFT})
SLOPING = RISING | {Signal.AT_RISK}
BEGINS = {
    Signal.AT_RISK: "fall begins",
    Signal.CONTRACTION: "stepped down",
    Signal.DORMANT: "use ends",
    Signal.STEADY: "change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A busy day's peak, fitted and expected: (day, seats) up to today, (day, seats, low, high) from today on."""

    past: tuple[tuple[date, float], ...] = ()
    ahead: tuple[tuple[date, float, float, float], ...] = ()

    @property
    def color(self) -> str:
        """The name of its color: falling or not."""
        return "fall" if self.ahead and self.ahead[-1][1] < self.ahead[0][1] else "rise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A history with what the layers need of it, cut to the twelve months that are shown."""

    history: History
    judgement: Judgement | None
    days: tuple[date, ...]
    peak: Daily
    seats: Daily
    cap: Daily
    levels: tuple[tuple[date, float | None], ...]
    trend: Trend
    holidays: tuple[date, ...]
    frame: Frame

    @property
    def narrow(self) -> bool:
        """Whether the picture is for a telephone."""
        return self.frame.size[0] < NARROW_BELOW

    @property
    def ends(self) -> date:
        """Where the lines of the license end."""
        return min(self.history.renewal or self.frame.last, self.frame.last)


def history_chart(
    history: History,
    judgement: Judgement | None = None,
    *,
    theme: str = "light",
    size: tuple[int, int] = WIDE,
    interactive: bool = False,
) -> Spec:
    """Twelve months back to thirty days past the renewal, on a scale that begins at zero.

    theme: light or dark. size: pixels of the whole picture. interactive: each day tells its numbers when pointed at.
    """
    scene = _scene(history, judgement, theme, size)
    parts = (_holidays, _unknown, _overdraft, _license, _peaks, _trend, _level, _pinned, _today, _renewal, _change)
    layers = [one for part in parts for one in part(scene)]
    layers += [*_names(scene), *_key(scene), *(_pointed(scene) if interactive else ())]
    return scene.frame.spec(layers, description(history, judgement))


def description(history: History, judgement: Judgement | None) -> str:
    """What the picture says, for those who do not see it: the evidence sentence, or the customer's own facts."""
    return judgement.sentence if judgement else own_sentence(history)


def own_sentence(history: History) -> str:
    """The customer's own facts: no forecast, no advice."""
    seats, now = figures.licensed(history.seats), figures.busy(history)
    until = when(history.as_of, year=True)
    if now is None:
        return f"{seats:,} seats are licensed. No use is known of the four weeks up to {until}."
    over = figures.needs(history, [("", seats)])[0]
    said = f"A busy day of the last four weeks used {round(now):,} of {seats:,} licensed seats. "
    return said + f"More than {seats:,} were in use on {over.days} of the last {over.of_days} business days."


def when(day: date, *, year: bool = False) -> str:
    """5 Jan, or 5 Jan 2026."""
    return f"{day.day} {day:%b %Y}" if year else f"{day.day} {day:%b}"


# -- what is shown


def _scene(history: History, judgement: Judgement | None, theme: str, size: tuple[int, int]) -> Scene:
    levels = tuple(figures.weekly(history))
    trend = _fitted(history, judgement, levels) if judgement else Trend()
    first, last = history.as_of - BACK, _last_day(history)
    skip = max(0, (first - history.first_day).days)
    shown = [_carried(values)[skip:] for values in (history.seats, history.cap)]
    return Scene(
        history=history,
        judgement=judgement,
        days=tuple(figures.days_of(history)[skip:]),
        peak=history.peak[skip:],
        seats=shown[0],
        cap=np.maximum(shown[1], shown[0]),
        levels=tuple((day, level) for day, level in levels if day >= max(first, history.first_day)),
        trend=trend,
        holidays=tuple(figures.holidays(history.country, first, (last - first).days)),
        frame=_frame(first, last, _highest(history, judgement, skip), theme, size),
    )


def _last_day(history: History) -> date:
    ends = history.renewal or history.as_of
    return min(max(ends, history.as_of) + PAST_RENEWAL, history.as_of + AHEAD_AT_MOST)


def _highest(history: History, judgement: Judgement | None, skip: int) -> float:
    """The most seats of anything that is drawn."""
    drawn = [*history.cap[skip:], *history.seats[skip:], *history.peak[skip:]]
    if judgement:
        drawn += [float(one) for one in (judgement.forecast_hi, judgement.recommended_seats) if one is not None]
    return float(np.nanmax([1.0, *drawn]))


def _frame(first: date, last: date, highest: float, theme: str, size: tuple[int, int]) -> Frame:
    narrow = size[0] < NARROW_BELOW
    return Frame(
        size=size,
        margins=Margins(top=50, right=106, bottom=26, left=38)
        if narrow
        else Margins(top=28, right=112, bottom=26, left=38),
        first=first,
        last=last,
        top=1.15 * highest,
        colors=THEMES[theme],
        type_size=12 if narrow else 11,
        x_axis=month_axis(first, last, narrow=narrow),
        y_axis=seat_axis(highest),
    )


def _carried(values: Daily) -> Daily:
    """Unknown entries as the last known before, or the first after; 0 where none is known."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.zeros(len(values))
    last = np.maximum(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0)
    carried: Daily = values[known[last]]
    return carried


def _fitted(history: History, judgement: Judgement, levels: tuple[tuple[date, float | None], ...]) -> Trend:
    """The trend of a busy day: from the change to today, and from today to the forecast at renewal."""
    known = [(day, level) for day, level in levels if level is not None]
    if not known or judgement.signal is Signal.INSUFFICIENT_DATA:
        return Trend()
    ratio = figures.busy_ratio(history)
    busy = ratio * float(np.median([level for _, level in known[-2:]]))
    return Trend(past=_past(history, judgement, known, ratio, busy), ahead=_ahead(history, judgement, busy))


def _past(
    history: History, judgement: Judgement, known: list[tuple[date, float]], ratio: float, busy: float
) -> tuple[tuple[date, float], ...]:
    """A geometric line from the level at the change to today's busy day, in a busy day's seats."""
    start = judgement.change_date
    if start is None or judgement.signal not in SLOPING or start >= history.as_of:
        return ()
    then = [level for day, level in known if day >= start][:3] or [known[-1][1]]
    begin, weeks = max(float(np.median(then)) * ratio, 0.1), max(1, (history.as_of - start).days // 7)
    days = [start + (history.as_of - start) * n / weeks for n in range(weeks + 1)]
    return tuple((day, begin * (max(busy, 0.1) / begin) ** (n / weeks)) for n, day in enumerate(days))


def _ahead(history: History, judgement: Judgement, busy: float) -> tuple[tuple[date, float, float, float], ...]:
    """From today's busy day to the forecast, with the band widening as the root of time."""
    expected, low, high = judgement.forecast_peak, judgement.forecast_lo, judgement.forecast_hi
    renewal = history.renewal
    if expected is None or low is None or high is None or renewal is None or renewal <= history.as_of:
        return ()
    weeks = max(1, (renewal - history.as_of).days // 7)
    shares = [n / weeks for n in range(weeks + 1)]

    def at(share: float) -> tuple[date, float, float, float]:
        middle = busy + (expected - busy) * share
        width = share**0.5
        return (
            history.as_of + (renewal - history.as_of) * share,
            middle,
            middle - (expected - low) * width,
            middle + (high - expected) * width,
        )

    return tuple(at(share) for share in shares)


# -- layers, from back to front


def _stretches(days: list[date]) -> list[dict[str, Json]]:
    return [{"day": a.isoformat(), "end": b.isoformat()} for a, b in runs(days)]


def _holidays(scene: Scene) -> list[Spec]:
    f = scene.frame
    mark: Spec = {"type": "rect", "color": f.colors["holiday"], "minBandSize": 2}
    return layer(mark, _stretches(list(scene.holidays)), x=f.x(), x2={"field": "end"})


def _unknown(scene: Scene) -> list[Spec]:
    """Hatched with lines of their own, so that SVG, PNG and browser draw the same."""
    f, lost = scene.frame, [day for day, peak in zip(scene.days, scene.peak, strict=True) if np.isnan(peak)]
    back = layer({"type": "rect", "color": f.colors["gap"]}, _stretches(lost), x=f.x(), x2={"field": "end"})
    rows: list[dict[str, Json]] = [
        {"x": x1, "y": y1, "x2": x2, "y2": y2} for a, b in runs(lost) for x1, y1, x2, y2 in _hatch(f, a, b)
    ]
    flat: Spec = {"type": "quantitative", "scale": None, "axis": None}
    at: dict[str, Spec] = {"x": {"field": "x", **flat}, "y": {"field": "y", **flat}}
    ends: dict[str, Spec] = {"x2": {"field": "x2"}, "y2": {"field": "y2"}}
    return [*back, *layer({"type": "rule", "color": f.colors["hatch"], "strokeWidth": 1}, rows, **at, **ends)]


def _hatch(f: Frame, first: date, end: date) -> list[tuple[float, float, float, float]]:
    """Strokes of 45 degrees across a stretch of days, in pixels."""
    left, right = f.px(first), f.px(end)
    found: list[tuple[float, float, float, float]] = []
    for y in range(0, round(f.height + right - left), 7):
        x1, y1 = (left, y) if y <= f.height else (left + y - f.height, f.height)
        x2, y2 = (right, y - (right - left)) if y >= right - left else (left + y, 0)
        found.append((round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)))
    return found


def _overdraft(scene: Scene) -> list[Spec]:
    """What was used above the license, day by day."""
    f = scene.frame
    rows: list[dict[str, Json]] = [
        {"day": day.isoformat(), "end": (day + timedelta(1)).isoformat(), "seats": float(peak), "from": float(seats)}
        for day, peak, seats in zip(scene.days, scene.peak, scene.seats, strict=True)
        if peak > seats
    ]
    mark: Spec = {"type": "rect", "color": f.colors["over"], "opacity": 1}
    return layer(mark, rows, x=f.x(), x2={"field": "end"}, y=f.y(), y2={"field": "from"})


def _steps(scene: Scene, values: Daily) -> list[dict[str, Json]]:
    kept = [n for n in range(len(values)) if n == 0 or values[n] != values[n - 1]]
    points: list[dict[str, Json]] = [{"day": scene.days[n].isoformat(), "seats": float(values[n])} for n in kept]
    return [*points, {"day": max(scene.ends, scene.history.as_of).isoformat(), "seats": float(values[-1])}]


def _license(scene: Scene) -> list[Spec]:
    """Licensed seats solid, overdraft limit dashed, both stepped and up to the renewal."""
    if not len(scene.seats):
        return []
    f = scene.frame
    solid: Spec = {"type": "line", "interpolate": "step-after", "color": f.colors["license"], "strokeWidth": 1.8}
    dashed = solid | {"color": f.colors["limit"], "strokeWidth": 1.4, "strokeDash": [5, 4]}
    limit = [] if (scene.cap == scene.seats).all() else layer(dashed, _steps(scene, scene.cap), x=f.x(), y=f.y())
    return [*layer(solid, _steps(scene, scene.seats), x=f.x(), y=f.y()), *limit]


def _peaks(scene: Scene) -> list[Spec]:
    """A dot for the peak of each known business day."""
    f = scene.frame
    business = figures.business(scene.history)[-len(scene.days) :]
    rows: list[dict[str, Json]] = [
        {"day": day.isoformat(), "seats": float(peak)}
        for day, peak, counts in zip(scene.days, scene.peak, business, strict=True)
        if counts and not np.isnan(peak)
    ]
    return layer(
        {"type": "point", "filled": True, "size": 8, "color": f.colors["daily"], "opacity": 1}, rows, x=f.x(), y=f.y()
    )


def _level(scene: Scene) -> list[Spec]:
    """The weekly level; an unknown week breaks the line."""
    f = scene.frame
    rows: list[dict[str, Json]] = [{"day": day.isoformat(), "seats": level} for day, level in scene.levels]
    mark: Spec = {
        "type": "line", "color": f.colors["level"], "strokeWidth": 2.2, "invalid": "break-paths-filter-domains",
        "strokeJoin": "round", "strokeCap": "round",
    }  # fmt: skip
    return layer(mark, rows, x=f.x(), y=f.y())


def _trend(scene: Scene) -> list[Spec]:
    f, trend = scene.frame, scene.trend
    color = f.colors[trend.color]
    band: list[dict[str, Json]] = [
        {"day": d.isoformat(), "seats": max(0.0, lo), "high": hi} for d, _, lo, hi in trend.ahead
    ]
    ahead: list[dict[str, Json]] = [{"day": d.isoformat(), "seats": seats} for d, seats, *_ in trend.ahead]
    past: list[dict[str, Json]] = [{"day": d.isoformat(), "seats": seats} for d, seats in trend.past]
    thin: Spec = {"type": "line", "color": color, "strokeWidth": 1.4}
    return [
        *layer({"type": "area", "color": color, "opacity": 0.16}, band, x=f.x(), y=f.y(), y2={"field": "high"}),
        *layer(thin | {"strokeWidth": 1.8, "strokeDash": [4, 3]}, ahead, x=f.x(), y=f.y()),
        *layer(thin, past, x=f.x(), y=f.y()),
    ]


def _pinned(scene: Scene) -> list[Spec]:
    """A triangle on each day at the limit; the refusals of them all in words."""
    f, denials = scene.frame, scene.history.denials[-len(scene.days) :]
    rows = zip(scene.days, scene.peak, scene.cap, np.nan_to_num(denials), strict=True)
    pinned = [(day, float(cap), float(denied)) for day, peak, cap, denied in rows if peak >= cap > 0]
    if not pinned:
        return []
    color, total = f.colors["limit"], round(sum(denied for *_, denied in pinned))
    mark: Spec = {
        "type": "point",
        "shape": "triangle-up",
        "filled": True,
        "size": 34,
        "color": color,
        "opacity": 1,
        "yOffset": -5,
    }
    marks = layer(mark, [{"day": day.isoformat(), "seats": cap} for day, cap, _ in pinned], x=f.x(), y=f.y())
    day, cap = pinned[0][0], max(cap for _, cap, _ in pinned)
    right = f.px(day) > f.width / 3
    x = f.px(day) + (-7 if right else 7)
    side = "right" if right else "left"
    words = f.halo(x, f.py(cap) - 10 - (0 if right else 8), f"{total:,} denied", color, align=side)
    return [*marks, *(words if total else [])]


def _today(scene: Scene) -> list[Spec]:
    f = scene.frame
    x = f.px(scene.history.as_of)
    room = scene.history.renewal is None or f.px(scene.ends) - x > 3.5 * f.type_size
    word = f.halo(x + (4 if room else -4), f.height - 8, "today", f.colors["soft"], align="left" if room else "right")
    return [line(x, 0, x, f.height, f.colors["faint"], 1, (1, 3)), *word]


def _renewal(scene: Scene) -> list[Spec]:
    """The line, its date and how many days are left."""
    f, renewal = scene.frame, scene.history.renewal
    if renewal is None:
        return []
    left = (renewal - scene.history.as_of).days
    counted = f"{left} day{'' if left == 1 else 's'}" if left >= 0 else f"{-left} days ago"
    words = f"{'Renews' if left >= 0 else 'Renewed'} {when(renewal, year=left > BACK.days)} · {counted}"
    look: Spec = {"align": "right" if f.px(renewal) > f.width - 90 else "center", "fontWeight": 600}
    if renewal >= f.last:  # too far to draw: said, with an arrow
        return [f.text(f.width, -13, f"{words} →", f.colors["ink"], align="right", fontWeight=600)]
    x = f.px(renewal)
    at = f.width + 60 if look["align"] == "right" else x
    return [line(x, -4, x, f.height, f.colors["ink"], 1.5), f.text(at, -13, words, f.colors["ink"], **look)]


def _change(scene: Scene) -> list[Spec]:
    """A labelled tick where use began to change; the label stands where the line is not."""
    f, told = scene.frame, scene.judgement
    if not told or told.change_date is None or not f.first < told.change_date <= scene.history.as_of:
        return []
    known = [level for day, level in scene.levels if level is not None and day >= told.change_date]
    y = f.py(known[0] if known else 0)
    falls = told.signal not in RISING
    color = f.colors["fall" if told.signal in {Signal.AT_RISK, Signal.CONTRACTION, Signal.DORMANT} else "rise"]
    words = f"{BEGINS.get(told.signal, 'rise begins')}{chr(10) if scene.narrow else ' '}about {when(told.change_date)}"
    below = y + 68 < f.height
    edge = (y + 8, y + 44) if below else (y - 8, y - 44)
    x = f.px(told.change_date)
    left = x > f.width / 3 if falls or not below else x > 2 * f.width / 3
    look: Spec = {"align": "right" if left else "left", "fontWeight": 600}
    label = f.halo(x + (-6 if left else 6), edge[1] - 4, words, color, **look)
    return [line(x, edge[0], x, edge[1], color, 1.6), *label]


def _names(scene: Scene) -> list[Spec]:
    """Names at the ends of the lines instead of a legend, pushed apart, never dropped."""
    f, colors, told = scene.frame, scene.frame.colors, scene.judgement
    seats, cap = (float(values[-1]) if len(values) else 0.0 for values in (scene.seats, scene.cap))
    names = [(seats, f"{seats:,.0f} licensed", colors["license"])]
    if cap != seats:
        names.append((cap, f"{cap:,.0f} overdraft", colors["limit"]))
    tier = told.recommended_seats if told else None
    if told and tier is not None:
        word = "at most" if told.signal is Signal.AT_RISK else "suggested"
        names.append((float(tier), f"{tier:,} {word}", colors["tier"]))
    if scene.trend.ahead:
        _, middle, low, high = scene.trend.ahead[-1]
        names.append((middle, f"{middle:,.0f} ({max(low, 0):,.0f}–{high:,.0f})", colors[scene.trend.color]))
    heights = spread([f.py(value) for value, *_ in names], f.type_size + 3)
    found = [
        f.text(f.width + 6, y, words, color, fontWeight=600)
        for y, (_, words, color) in zip(heights, names, strict=True)
    ]
    return [*found, *([_tier_line(f, scene.history.as_of, tier)] if tier is not None else [])]


def _tier_line(f: Frame, today: date, tier: int) -> Spec:
    return line(f.px(today), f.py(tier), f.width, f.py(tier), f.colors["tier"], 1.8, (1.5, 3))


def _key(scene: Scene) -> list[Spec]:
    """What marks without a name of their own mean, above the plot."""
    f, c, y = scene.frame, scene.frame.colors, -36 if scene.narrow else -13
    entries: list[tuple[int, str, list[Spec]]] = [
        (6, "daily peak", [_dot(f, y)]),
        (14, "weekly level", [line(0, y, 14, y, c["level"], 2.2)]),
    ]
    if np.isnan(scene.peak).any():
        entries.append((13, "no data", [line(i, y + 5, i + 5, y - 5, c["hatch"], 1) for i in (0, 4, 8)]))
    if scene.holidays:
        entries.append((9, "holiday", [line(5, y - 6, 5, y + 6, c["holiday"], 8)]))
    if (scene.peak > scene.seats).any():
        entries.append((9, "over", [line(5, y - 6, 5, y + 6, c["over"], 8)]))
    return _row(f, entries, y)


def _row(f: Frame, entries: list[tuple[int, str, list[Spec]]], y: float) -> list[Spec]:
    """Marks and their words, one after the other."""
    x, found = 4.0 - f.margins.left, []
    for width, words, marks in entries:
        found += [_moved(mark, x) for mark in marks] + [f.text(x + width + 5, y, words, f.colors["soft"])]
        x += width + 17 + round(len(words) * f.type_size * 0.56)
    return found


def _dot(f: Frame, y: float) -> Spec:
    mark: Spec = {"type": "point", "filled": True, "size": 16, "color": f.colors["daily"], "opacity": 1}
    return {"mark": mark, "data": {"values": [{}]}, "encoding": {"x": {"value": 3}, "y": {"value": y}}}


def _moved(mark: Spec, by: float) -> Spec:
    at = dict(mark["encoding"]) if isinstance(mark["encoding"], dict) else {}
    for name in ("x", "x2"):
        if isinstance(place := at.get(name), dict) and isinstance(value := place.get("value"), int | float):
            at[name] = {"value": value + by}
    return mark | {"encoding": at}


def _pointed(scene: Scene) -> list[Spec]:
    """An unseen column for each day that tells its numbers."""
    f, denials = scene.frame, np.nan_to_num(scene.history.denials[-len(scene.days) :])
    rows: list[dict[str, Json]] = [
        {
            "day": day.isoformat(),
            "end": (day + timedelta(1)).isoformat(),
            "peak": "no data" if np.isnan(peak) else f"{peak:,.0f}",
            "licensed": f"{seats:,.0f}",
            "limit": f"{cap:,.0f}",
            "denied": f"{denied:,.0f}",
        }
        for day, peak, seats, cap, denied in zip(scene.days, scene.peak, scene.seats, scene.cap, denials, strict=True)
    ]
    told: list[Json] = [
        {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "format": "%a %-d %b %Y", "title": "Day"},
        *[_told(name, title) for name, title in _TOLD.items()],
    ]
    mark: Spec = {"type": "rect", "opacity": 0, "color": f.colors["ink"], "tooltip": True}
    x: Spec = {"x": f.x(), "x2": {"field": "end"}, "tooltip": told}
    return [{"mark": mark, "data": {"values": [dict(row) for row in rows]}, "encoding": x}] if rows else []


def _told(name: str, title: str) -> Spec:
    return {"field": name, "title": title}


_TOLD = {"peak": "Most in use", "licensed": "Licensed", "limit": "Limit", "denied": "Denied"}


# -- days that need more than n seats


def need_chart(needs: list[figures.Need], *, theme: str = "light", width: int = 320) -> Spec:
    """A bar for each option: business days of the last quarter that needed more seats. Its words stand beside it."""
    step, colors = 42, THEMES[theme]
    f = Frame(
        size=(width, step * len(needs)),
        margins=Margins(top=0, right=0, bottom=0, left=0),
        first=date(2000, 1, 1),
        last=date(2000, 1, 2),
        top=1,
        colors=colors,
        type_size=12,
    )
    layers = [one for n, need in enumerate(needs) for one in _need_bar(f, need, n * step)]
    return f.spec(layers, need_words(needs))


def need_words(needs: list[figures.Need]) -> str:
    """The bars in words."""
    said = [f"more than {one.seats:,} seats ({one.words}) on {one.days} of {one.of_days} days" for one in needs]
    return "Business days of the last quarter that needed " + "; ".join(said) + "."


def _need_bar(f: Frame, need: figures.Need, top: int) -> list[Spec]:
    y, full, c = top + 28, f.width, f.colors
    bar = max(3.0, full * need.days / need.of_days) if need.days else 0.0
    counted = f"{need.days} of {need.of_days} days"
    return [
        f.text(0, y - 15, f"more than {need.seats:,} · {need.words}", c["ink"]),
        f.text(full, y - 15, counted, c["ink"], align="right", fontWeight=600),
        line(0, y, full, y, c["grid"], 7),
        *([line(0, y, bar, y, c["bar_hot" if need.words == "licensed" else "bar"], 7)] if bar else []),
    ]
