"""What may explain the weeks of an entitlement: many simple shapes, each with a weight. Pure numpy.

A shape is a level that is flat, bends, steps or slopes, with or without a yearly season. All of them are fitted at
once; `explain` weighs each by how well it explains the weeks against how much it needs to do so (BIC), and draws
curves from all of them. Questions ("is it falling?") are then asked of the curves, so that doubt about the shape
itself, not only about its numbers, is in each answer.

Weeks are counted back from the as-of week: 0 is the newest, -1 the one before. Within this file levels are shares of
the median week.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import Flags, summer

Floats = NDArray[np.float64]
Ordinals = NDArray[np.int64]
Places = NDArray[np.intp]

WEEKS = 104
DRAWS = 200
LEAST = 3  # known weeks, and weeks between two knots
ENDS = 2  # weeks at least on each side of a knot
LEAST_LEVEL = 0.05  # seats; shares of nothing mean nothing
AUTOCORRELATION = 1.8  # weeks that tell as much as one would, were they independent
FLOOR = 2e-5  # of the squared level: no series of counts is smoother
ROUGHNESS = 0.012  # of the level: the least noise of a week
RIDGE = 1e-7
MUCH = 0.08  # of the level, since a knot
NEVER = -np.inf

# What a shape needs to explain anything (numbers, and places to put a knot), and the known weeks that it takes.
COST = {"flat": 0.0, "line": 1.0, "bend": 2.0, "arrival": 2.0, "step": 2.0, "slide": 3.0, "pulse": 3.0, "bends": 3.5}
FROM_WEEKS = {0.0: 0, 1.0: 6, 2.0: 6, 3.0: 14, 3.5: 14}


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """Columns of `season_columns`, what they cost, and the weeks of history that they take."""

    columns: tuple[int, ...]
    cost: float
    weeks: int


SEASONS = (
    Season(columns=(), cost=0.0, weeks=0),
    Season(columns=(0,), cost=1.5, weeks=0),  # summer
    Season(columns=(0, 1, 2), cost=3.0, weeks=26),  # one wave a year
    Season(columns=(0, 1, 2, 3, 4, 5, 6), cost=5.0, weeks=70),  # terms and breaks
)
SEASON_SIZES = np.array([0.10, 0.12, 0.12, 0.10, 0.10, 0.08, 0.08])  # usual sizes, as shares of the level


def season_columns(ordinals: Ordinals) -> Floats:
    """Summer, and three waves a year: day, column."""
    turn = 2 * np.pi * np.asarray(ordinals, float) / 365.25
    waves = [wave(times * turn) for times in (1, 2, 3) for wave in (np.cos, np.sin)]
    return np.stack([summer(ordinals), *waves], -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """All shapes over the last WEEKS weeks, newest first."""

    names: NDArray[np.str_]
    knots: Floats  # shape, 2; NEVER for none
    prior: Floats  # log of the weeks that its knot stands for
    cost: Floats
    takes: Floats  # known weeks
    flat: Floats  # columns: week, shape * 3
    lasting: Floats  # shape, week, 3, without what passed: a pulse that is over has left nothing behind
    products: Floats  # of columns: week, shape * 9


@cache
def shapes() -> Shapes:
    """Every shape; made once."""
    weeks = -np.arange(WEEKS, dtype=float)
    single = [*range(-2, -31, -1), *range(-32, -61, -2), *range(-64, -101, -4)]
    stands_for = dict(zip(single, np.abs(np.diff([*single, -WEEKS])), strict=True))
    double = list(combinations([-92, -78, -64, -52, -42, -34, -27, -21, -16, -12, -8, -5, -2], 2))
    passing = [(start, start + long) for start in range(-98, -4, 2) for long in (3, 5, 8, 12) if start + long < 0]
    rows: list[tuple[str, float, float, float]] = [("flat", NEVER, NEVER, 1), ("line", NEVER, NEVER, 1)]
    rows += [(name, at, NEVER, stands_for[at]) for at in single for name in ("bend", "arrival", "step")]
    rows += [(name, *pair, 1) for pair in double for name in ("bends", "slide") if pair[1] - pair[0] >= LEAST]
    rows += [("pulse", *pair, 1) for pair in passing]
    names = np.array([name for name, *_ in rows])
    columns = np.stack([_columns(name, start, end, weeks) for name, start, end, _ in rows])
    lasting = columns.copy()
    lasting[names == "pulse", :, 1] = 0
    return Shapes(
        names=names,
        knots=np.array([(start, end) for _, start, end, _ in rows]),
        prior=np.log([stands for *_, stands in rows]),
        cost=np.array([COST[name] for name in names]),
        takes=np.array([FROM_WEEKS[COST[name]] for name in names], float),
        flat=np.ascontiguousarray(columns.swapaxes(0, 1)).reshape(WEEKS, -1),
        lasting=lasting,
        products=np.einsum("kwi,kwj->wkij", columns, columns).reshape(WEEKS, -1),
    )


def _columns(name: str, start: float, end: float, weeks: Floats) -> Floats:
    """The three columns of a shape, 0 where it does not need them. Slopes are per year, so that all are of one size."""
    one, none = np.ones_like(weeks), np.zeros_like(weeks)
    since, until = np.maximum(0, weeks - start) / 52, np.minimum(0, weeks - start) / 52
    between = np.clip(weeks - start, 0, end - start) / 52 if end > start else none
    made = {
        "flat": (one, none, none),
        "line": (one, weeks / 52, none),
        "bend": (one, since, none),
        "arrival": (one, until, none),
        "step": (one, np.where(weeks >= start, 1.0, 0.0), none),
        "slide": (one, between, none),
        "bends": (one, between, np.maximum(0, weeks - end) / 52),
        "pulse": (one, np.where((weeks >= start) & (weeks < end), 1.0, 0.0), none),
    }
    return np.stack(made[name], -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """DRAWS curves that may have made the weeks, one as likely as the other. Levels are seats, without season.

    past     draw, weeks back (0 = now)
    noise    how far a week is from its curve, as a standard deviation
    names    the shape of each draw
    change   when that shape bent or stepped most, in weeks (NEVER: not by much)
    seasons  coefficients of the season: draw, columns of `season_columns`
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
        return np.subtract(self.past[:, 0], self.past[:, 1])

    @property
    def waves(self) -> float:
        """The share of the draws that have a wave a year or more."""
        return float((self.seasons[:, 1] != 0).mean())

    def season(self, ordinals: Ordinals) -> Floats:
        """What the season adds on these days: draw, day."""
        added: Floats = self.seasons @ season_columns(ordinals).T
        return added


def explain(weeks: Floats, ordinals: Ordinals) -> Curves:
    """Curves that may have made `weeks` (the newest first, NaN for unknown), whose middle days are `ordinals`.

    The same weeks give the same curves. ValueError where fewer than three weeks are known.
    """
    known = ~np.isnan(weeks)
    if known.sum() < LEAST:
        raise ValueError(f"{LEAST} known weeks are needed at least; there are {known.sum()}")
    scale = max(1.0, float(np.median(weeks[known])))
    values = np.where(known, weeks, 0.0) / scale
    trust, noise = _trust(values, known)
    sums = _sums(values, trust, noise, ordinals)
    fits = [_fit(sums, season) for season in _seasons(ordinals, known)]
    which, shape = _drawn(np.stack([fit.scores for fit in fits]))
    levels, seasons, variance = np.empty((DRAWS, 3)), np.zeros((DRAWS, len(SEASON_SIZES))), np.empty(DRAWS)
    for place, fit in enumerate(fits):
        mine = np.flatnonzero(which == place)
        if len(mine):
            drawn, variance[mine] = fit.draw(shape[mine], _chance()[mine])
            levels[mine], seasons[mine[:, None], list(fit.season.columns)] = drawn[:, :3], drawn[:, 3:]
    past = np.maximum(np.einsum("dwi,di->dw", shapes().lasting[shape], levels) * scale, LEAST_LEVEL)
    return Curves(
        past=past,
        noise=float(np.sqrt(variance.mean())) * scale,
        names=shapes().names[shape],
        change=_change(past, shapes().knots[shape]),
        seasons=seasons * scale,
    )


def _drawn(scores: Floats) -> tuple[Places, Places]:
    """Season and shape of each draw, as often as their weight says (systematic resampling, without chance)."""
    weights = np.exp(scores - scores.max()).ravel()
    places = np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(DRAWS) + 0.5) / DRAWS)
    return np.divmod(np.minimum(places, scores.size - 1), scores.shape[1])


def _change(past: Floats, knots: Floats) -> Floats:
    """Of the two knots of each draw the one at which its curve bends more, if the level then changed at all."""
    at = np.clip(-np.nan_to_num(knots, neginf=0), 1, WEEKS - 2).astype(int)
    row = np.arange(len(past))[:, None]
    bent = np.abs(past[row, at - 1] - 2 * past[row, at] + past[row, at + 1])
    bent[knots == NEVER] = -1
    place = bent.argmax(1)
    before = past[row[:, 0], np.minimum(at[row[:, 0], place] + 2, WEEKS - 1)]
    much = np.abs(past[:, 0] - before) >= MUCH * np.maximum(before, past[:, 0])
    return np.where(much, knots[row[:, 0], place], NEVER)


def _seasons(ordinals: Ordinals, known: Flags) -> list[Season]:
    """The seasons that these weeks could tell of: one summer needs weeks inside and outside of it."""
    span = int(np.flatnonzero(known)[-1]) + 1
    in_summer = summer(ordinals)[known]
    told = LEAST <= in_summer.sum() <= len(in_summer) - LEAST - 1
    return [season for season in SEASONS if span >= season.weeks and (told or season.columns != (0,))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """All shapes with one kind of season."""

    season: Season
    scores: Floats  # log weight: shape
    solved: Floats  # shape, coefficient
    normal: Floats  # X'WX: shape, coefficient, coefficient
    variance: Floats  # of a week: shape

    def draw(self, chosen: Places, chance: Floats) -> tuple[Floats, Floats]:
        """Coefficients of the chosen shapes, each with an error of its own, and the variance of a week around each."""
        unique, back = np.unique(chosen, return_inverse=True)
        spread = np.linalg.cholesky(np.linalg.inv(self.normal[unique]))[back]
        error = np.einsum("dij,dj->di", spread, chance[:, : self.solved.shape[1]])
        scale = np.sqrt(self.variance[chosen] * AUTOCORRELATION)[:, None]
        needed = self.solved[chosen] != 0
        return self.solved[chosen] + needed * error * scale, self.variance[chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What least squares needs of the weeks, for all shapes and all columns of the seasons."""

    weeks: int  # known
    span: int  # from the oldest known on
    noise: float
    squares: Floats  # of shapes: shape, 3, 3
    right: Floats  # shape, 3
    cross: Floats  # shape, 3, season column
    season_squares: Floats
    season_right: Floats
    total: float


def _sums(values: Floats, trust: Floats, noise: float, ordinals: Ordinals) -> _Sums:
    """What one pass over the weeks gives.

    By einsum, because BLAS would start threads for sums of this size, which cost more than they bring.
    """
    every, extra, weighted = shapes(), season_columns(ordinals), trust * values
    count, known = len(every.names), np.flatnonzero(trust)
    cross = np.stack([_summed(trust * column, every.flat) for column in extra.T], -1)
    return _Sums(
        weeks=len(known),
        span=int(known[-1]) + 1,
        noise=noise,
        squares=_summed(trust, every.products).reshape(count, 3, 3),
        right=_summed(weighted, every.flat).reshape(count, 3),
        cross=cross.reshape(count, 3, -1),
        season_squares=np.einsum("wi,w,wj->ij", extra, trust, extra),
        season_right=_summed(weighted, extra),
        total=float((weighted * values).sum()),
    )


def _summed(weights: Floats, rows: Floats) -> Floats:
    total: Floats = np.einsum("w,wk->k", weights, rows)
    return total


def _fit(sums: _Sums, season: Season) -> _Fit:
    """Weighted least squares of all shapes at once; a season is held near its usual size."""
    every, chosen = shapes(), list(season.columns)
    count, size = len(every.names), 3 + len(chosen)
    normal, right = np.empty((count, size, size)), np.empty((count, size))
    usual = np.diag((sums.noise / SEASON_SIZES[chosen]) ** 2)
    normal[:, :3, :3] = sums.squares
    normal[:, :3, 3:] = sums.cross[:, :, chosen]
    normal[:, 3:, :3] = np.swapaxes(sums.cross[:, :, chosen], 1, 2)
    normal[:, 3:, 3:] = sums.season_squares[np.ix_(chosen, chosen)] + usual
    normal += RIDGE * WEEKS * np.eye(size)
    right[:, :3], right[:, 3:] = sums.right, sums.season_right[chosen]
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    left = np.maximum(sums.total - (solved * right).sum(1), 1e-12)
    needs = every.cost + season.cost
    fit = 0.5 * sums.weeks / AUTOCORRELATION * np.log(left / sums.weeks + FLOOR)
    scores = every.prior - fit - 0.5 * needs * np.log(sums.weeks)
    scores = np.where(_possible(sums.span, sums.weeks), scores, NEVER)
    variance = left / np.maximum(sums.weeks - needs - 1, 1) + FLOOR
    return _Fit(season=season, scores=scores, solved=solved.astype(float), normal=normal, variance=variance)


def _possible(span: int, weeks: int) -> Flags:
    """Shapes whose knots lie within the weeks, and that these few weeks can tell of."""
    first = shapes().knots[:, 0]
    within = (first == NEVER) | (first >= ENDS + 1 - span)
    possible: Flags = within & (shapes().takes <= weeks)
    return possible


def _trust(values: Floats, known: Flags) -> tuple[Floats, float]:
    """How much each week counts (0 for unknown), and the noise. What differs from BOTH its sides is a spike."""
    at = np.flatnonzero(known)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values[at], 4, constant_values=np.nan), 5)
    newer, older = medians(around[: len(at)]), medians(around[4:])
    away = np.minimum(np.abs(values[at] - newer), np.abs(values[at] - older))
    noise = 1.4826 * float(np.median(away)) + ROUGHNESS
    trust = np.zeros(len(values))
    trust[at] = np.minimum(1, 2 * noise / np.maximum(away, 1e-9))
    return trust, noise


def medians(rows: Floats) -> Floats:
    """The median of each row, NaN left out; NaN for a row of nothing else.

    numpy's own takes ten times as long on rows as short as these.
    """
    ordered = np.sort(rows, axis=1)
    count = (~np.isnan(rows)).sum(1)
    row = np.arange(len(rows))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, rows.shape[1] - 1)
    return np.where(count > 0, (ordered[row, low] + ordered[row, high]) / 2, np.nan)


@cache
def _chance() -> Floats:
    """Always the same draws of chance: a judgement can be repeated to the byte."""
    return np.random.default_rng(20).standard_normal((DRAWS, 3 + len(SEASON_SIZES)))
