"""What may explain the weeks of an entitlement: many simple shapes, each with a weight. Pure numpy.

A shape is a level that is flat, bends, steps or slopes, with or without a yearly season. All of them are fitted at
once; `explain` weighs each by how well it explains the weeks against how much it needs to do so (BIC), and draws
curves from all of them. Questions ("is it falling?") are then asked of the curves, so that doubt about the shape
itself, not only about its numbers, is in each answer.

Weeks are counted from the as-of week: 0 is the newest, -1 the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import summer

Floats = NDArray[np.float64]
WEEKS = 104
DRAWS = 200
ENDS = 2  # weeks at least on each side of a knot
COST = {"flat": 0.0, "line": 1.0, "bend": 2.0, "arrival": 2.0, "step": 2.0, "slide": 3.0, "pulse": 3.0, "bends": 3.5}
AUTOCORRELATION = 1.8  # weeks that tell as much as one would, were they independent
FLOOR = 2e-5  # of the squared level: no series of counts is smoother
RIDGE = 1e-7
LEAST_LEVEL = 0.05  # seats; shares of nothing mean nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """All shapes over the last WEEKS weeks, newest first. `level` is without what passed (a pulse)."""

    names: NDArray[np.str_]
    knots: Floats
    first: Floats  # the earlier knot, -inf for none
    prior: Floats  # log of how much of its kind's weight it has
    cost: Floats
    columns: Floats  # shape, week, 3
    lasting: Floats  # the same, without what passed: a pulse that is over has left nothing behind
    products: Floats  # week, shape * 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """DRAWS curves that may have made the weeks, one as likely as the other. Levels are seats, without season.

    past     draw, weeks back (0 = now)
    noise    how far a week is from its curve, as a standard deviation
    names    the shape of each draw
    change   when that shape bent or stepped most, in weeks (-inf: never)
    seasons  coefficients of the season: draw, SEASON columns
    """

    past: Floats
    noise: float
    names: NDArray[np.str_]
    change: Floats
    seasons: Floats

    @property
    def now(self) -> Floats:
        """The level of today, by draw."""
        return self.past[:, 0]

    @property
    def pace(self) -> Floats:
        """Seats a week, now, by draw."""
        return self.past[:, 0] - self.past[:, 1]

    def season(self, ordinals: NDArray[np.int64]) -> Floats:
        """What the season adds on these days: draw, day."""
        return self.seasons @ season_columns(ordinals).T


@cache
def shapes() -> Shapes:
    """Every shape; made once."""
    weeks = -np.arange(WEEKS, dtype=float)
    ones = [*range(-2, -31, -1), *range(-32, -61, -2), *range(-64, -101, -4)]
    pairs = list(combinations([-92, -78, -64, -52, -42, -34, -27, -21, -16, -12, -8, -5, -2], 2))
    passing = [(start, start + length) for start in range(-98, -4, 2) for length in (3, 5, 8, 12) if start + length < 0]
    rows: list[tuple[str, tuple[float, float]]] = [("flat", (-np.inf, 0)), ("line", (-np.inf, 0))]
    rows += [(name, (at, 0)) for at in ones for name in ("bend", "arrival", "step")]
    rows += [(name, pair) for pair in pairs for name in ("bends", "slide") if pair[1] - pair[0] >= 3]
    rows += [("pulse", pair) for pair in passing]
    columns = np.stack([_columns(name, np.array(knots, float), weeks) for name, knots in rows])
    spacing = dict(zip(ones, np.abs(np.diff([*ones, -104])), strict=True))
    return Shapes(
        names=np.array([name for name, _ in rows]),
        knots=np.array([knots for _, knots in rows], float),
        first=np.array([knots[0] for _, knots in rows], float),
        prior=np.log([float(spacing.get(int(knots[0]), 1)) if name in {"bend", "arrival", "step"} else 1.0 for name, knots in rows]),
        cost=np.array([COST[name] for name, _ in rows]),
        columns=columns,
        lasting=columns * np.where([name == "pulse" for name, _ in rows], 0, 1)[:, None, None] ** np.array([0, 1, 1]),
        products=np.einsum("kwi,kwj->wkij", columns, columns).reshape(WEEKS, -1),
    )


def _columns(name: str, knots: Floats, weeks: Floats) -> Floats:
    """The three columns of a shape; those it does not need are 0. In years, so that all are of one size."""
    one, start, end = np.ones_like(weeks), knots[0], knots[1]
    none = np.zeros_like(weeks)
    match name:
        case "flat":
            made = (one, none, none)
        case "line":
            made = (one, weeks / 52, none)
        case "bend":
            made = (one, np.maximum(0, weeks - start) / 52, none)
        case "arrival":
            made = (one, np.minimum(0, weeks - start) / 52, none)
        case "step":
            made = (one, (weeks >= start) * 1.0, none)
        case "slide":
            made = (one, np.clip(weeks - start, 0, end - start) / 52, none)
        case "pulse":
            made = (one, ((weeks >= start) & (weeks < end)) * 1.0, none)
        case _:
            made = (one, np.clip(weeks - start, 0, end - start) / 52, np.maximum(0, weeks - end) / 52)
    return np.stack(made, -1)


SEASONS = {  # columns of `season_columns`, cost, weeks of history that it needs
    "none": ((), 0.0, 0),
    "summer": ((0,), 1.5, 0),
    "year": ((0, 1, 2), 3.0, 26),
    "terms": ((0, 1, 2, 3, 4, 5, 6), 5.0, 70),
}
SEASON_SIZES = np.array([0.10, 0.12, 0.12, 0.10, 0.10, 0.08, 0.08])  # of the level, as standard deviations


def season_columns(ordinals: NDArray[np.int64]) -> Floats:
    """Summer, and three waves a year: day, column."""
    turn = 2 * np.pi * np.asarray(ordinals, float) / 365.25
    waves = [wave(times * turn) for times in (1, 2, 3) for wave in (np.cos, np.sin)]
    return np.stack([summer(ordinals), *waves], -1)


def explain(weeks: Floats, ordinals: NDArray[np.int64]) -> Curves:
    """Curves that may have made `weeks` (the newest first, NaN for unknown), whose middle days are `ordinals`.

    The same weeks give the same curves. ValueError where fewer than three weeks are known.
    """
    known = ~np.isnan(weeks)
    if known.sum() < 3:
        raise ValueError("three known weeks are needed at least")
    scale = max(1.0, float(np.median(weeks[known])))
    values = np.where(known, weeks, 0.0) / scale
    trust, noise = _trust(values, known)
    fits = [_fit(values, trust, noise, ordinals, name) for name in _seasons(ordinals, known)]
    scores = np.concatenate([fit.scores for fit in fits])
    weights = np.exp(scores - scores.max())
    drawn = np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(DRAWS) + 0.5) / DRAWS)
    which, shape = np.divmod(np.minimum(drawn, len(scores) - 1), len(fits[0].scores))
    coefficients, seasons = np.empty((DRAWS, 3)), np.zeros((DRAWS, 7))
    error = np.empty(DRAWS)
    for at, fit in enumerate(fits):
        mine = np.flatnonzero(which == at)
        if len(mine):
            coefficients[mine], seasons[mine[:, None], list(fit.season)], error[mine] = fit.draw(shape[mine], _normals()[mine])
    return _curves(shape, coefficients * scale, seasons * scale, float(np.sqrt(np.mean(error))) * scale)


def _curves(shape: NDArray[np.intp], coefficients: Floats, seasons: Floats, noise: float) -> Curves:
    every = shapes()
    past = np.einsum("dwi,di->dw", every.lasting[shape], coefficients)
    return Curves(
        past=np.maximum(past, LEAST_LEVEL),
        noise=noise,
        names=every.names[shape],
        change=_change(past, every.knots[shape]),
        seasons=seasons,
    )


def _change(past: Floats, knots: Floats) -> Floats:
    """Of the two knots of each draw the one at which its curve bends more; -inf where there is none."""
    at = np.clip(-np.nan_to_num(knots, neginf=0), 1, WEEKS - 2).astype(int)
    row = np.arange(len(past))[:, None]
    bent = np.abs(past[row, at - 1] - 2 * past[row, at] + past[row, at + 1])
    bent[knots == 0] = -1
    return knots[row[:, 0], bent.argmax(1)]


def _seasons(ordinals: NDArray[np.int64], known: NDArray[np.bool_]) -> list[str]:
    """The seasons that these weeks could tell of."""
    span = int(np.flatnonzero(known)[-1]) + 1
    in_summer = summer(ordinals)[known]
    possible = [name for name, (_, _, least) in SEASONS.items() if span >= least]
    if not 3 <= in_summer.sum() <= len(in_summer) - 4:
        possible.remove("summer")
    return possible


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """All shapes with one kind of season."""

    season: tuple[int, ...]
    scores: Floats  # log weight: shape
    solved: Floats  # shape, coefficient
    normal: Floats  # X'WX: shape, coefficient, coefficient
    variance: Floats  # of a week: shape

    def draw(self, chosen: NDArray[np.intp], normals: Floats) -> tuple[Floats, Floats, Floats]:
        """Coefficients of level and season, and variances, of the chosen shapes, each with an error of its own."""
        size = self.solved.shape[1]
        unique, back = np.unique(chosen, return_inverse=True)
        spread = np.linalg.cholesky(np.linalg.inv(self.normal[unique]))
        error = np.einsum("dij,dj->di", spread[back], normals[:, :size])
        used = self.solved[chosen] != 0
        made = self.solved[chosen] + used * error * np.sqrt(self.variance[chosen] * AUTOCORRELATION)[:, None]
        return made[:, :3], made[:, 3:], self.variance[chosen]


def _fit(values: Floats, trust: Floats, noise: float, ordinals: NDArray[np.int64], season: str) -> _Fit:
    every = shapes()
    chosen, cost, least = SEASONS[season]
    extra = season_columns(ordinals)[:, chosen]
    count, size = len(every.names), 3 + len(chosen)
    weighted = trust * values
    normal = np.empty((count, size, size))
    normal[:, :3, :3] = (trust @ every.products).reshape(count, 3, 3)
    right = np.empty((count, size))
    right[:, :3] = np.tensordot(every.columns, weighted, ([1], [0]))
    if chosen:
        cross = np.tensordot(every.columns, trust[:, None] * extra, ([1], [0]))
        normal[:, :3, 3:] = cross
        normal[:, 3:, :3] = np.swapaxes(cross, 1, 2)
        normal[:, 3:, 3:] = extra.T @ (trust[:, None] * extra) + np.diag((noise / SEASON_SIZES[list(chosen)]) ** 2)
        right[:, 3:] = extra.T @ weighted
    normal += RIDGE * len(values) * np.eye(size)
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    left = np.maximum(weighted @ values - (solved * right).sum(1), 1e-12)
    known = trust > 0
    weeks = int(known.sum())
    span = int(np.flatnonzero(known)[-1]) + 1
    penalty = every.cost + cost
    scores = every.prior - 0.5 * weeks / AUTOCORRELATION * np.log(left / weeks + FLOOR) - 0.5 * penalty * np.log(weeks)
    scores = np.where(_possible(every, span, weeks), scores, -np.inf)
    free = np.maximum(weeks - penalty - 1, 1)
    return _Fit(season=chosen, scores=scores, solved=solved, normal=normal, variance=left / free + FLOOR)


def _possible(every: Shapes, span: int, weeks: int) -> NDArray[np.bool_]:
    """Shapes whose knots lie within the weeks, and that are not more than these few weeks can tell."""
    simple = every.cost < (1 if weeks < 6 else 3 if weeks < 14 else 9)
    return simple & ((every.first == -np.inf) | (every.first >= -(span - 1) + ENDS))


def _trust(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, float]:
    """How much each week counts (0 for unknown), and the noise: what differs from BOTH sides is a spike."""
    at = np.flatnonzero(known)
    series = np.pad(values[at], 4, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(series, 5)
    newer, older = medians(windows[: len(at)]), medians(windows[4:])
    away = np.minimum(np.abs(values[at] - newer), np.abs(values[at] - older))
    noise = 1.4826 * float(np.median(away)) + 0.012
    trust = np.zeros(len(values))
    trust[at] = np.minimum(1, 2 * noise / np.maximum(away, 1e-9))
    return trust, noise


def medians(rows: Floats) -> Floats:
    """The median of each row, NaN left out; NaN for a row of NaN."""
    ordered = np.sort(rows, axis=1)
    count = (~np.isnan(rows)).sum(1)
    row = np.arange(len(rows))
    middle = (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, np.minimum(count // 2, rows.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan)


@cache
def _normals() -> Floats:
    """Always the same draws of chance: a judgement can be repeated to the byte."""
    return np.random.default_rng(20).standard_normal((DRAWS, 10))
