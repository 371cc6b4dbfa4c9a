"""Made-up accounts whose truth is known: other shapes, noises, calendars and sizes than anybody tuned the signals on.

Each family sets a latent level of business-day demand; from it come daily peaks with a week, holidays, noise, counts,
unknown days and a limit. The truth is the rule of docs/signals.md asked of that level, never of the peaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from hub.usage.calendars import business_days
from hub.usage.history import History

AFTER = 30  # days made past the renewal


@dataclass
class Account:
    """One account being made: families change its fields, `finish` draws what was seen."""

    rng: np.random.Generator
    size: int
    days: int
    lead: int
    country: str
    first: int
    sigma: float = 0.05
    tails: float = 0.0  # degrees of freedom of the noise, 0 = normal
    unknown: float = 0.01
    weekend: float = 0.1
    retries: float = 1.5
    ambiguous: bool = False

    def __post_init__(self) -> None:
        self.total = self.days + self.lead + AFTER
        self.at = np.arange(self.total)
        self.level = np.full(self.total, 0.75 * self.size)
        self.season = np.ones(self.total)
        self.passing = np.ones(self.total)
        self.seats = np.full(self.total, float(self.size))
        self.overdraft = np.zeros(self.total)
        self.gap = np.zeros(self.total, bool)

    @property
    def as_of(self) -> int:
        return self.days - 1

    @property
    def renewal(self) -> int:
        return self.as_of + self.lead

    def of_year(self) -> np.ndarray:
        return np.array([date.fromordinal(int(self.first + day)).timetuple().tm_yday for day in self.at])

    def u(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


@dataclass(frozen=True, kw_only=True)
class Case:
    """An account as it was seen, and what is true of it."""

    family: str
    history: History
    signal: str
    clear: bool
    peak_at_renewal: float
    account: Account = field(repr=False)


Family = Callable[[Account], None]


def sigmoid_decline(a: Account) -> None:
    middle = a.as_of - a.u(-10, 40)
    a.level *= 1.15 - a.u(0.45, 0.75) / (1 + np.exp(-(a.at - middle) / a.u(12, 35)))


def exponential_decline(a: Account) -> None:
    start = a.as_of - a.u(60, 200)
    a.level *= 1.15 * np.exp(-np.maximum(0, a.at - start) / a.u(150, 400))


def stairs_down(a: Account) -> None:
    for back in (a.u(15, 40), a.u(60, 90), a.u(110, 150)):
        a.level[int(a.as_of - back) :] *= a.u(0.78, 0.88)


def fallen_then_flat(a: Account) -> None:
    end = a.as_of - a.u(70, 150)
    a.level *= 1.1 * np.interp(a.at, [end - a.u(60, 120), end], [1, a.u(0.45, 0.65)])


def decline_after_growth(a: Account) -> None:
    top = a.as_of - a.u(70, 130)
    a.level *= np.interp(a.at, [0, top, a.renewal], [a.u(0.6, 0.8), 1.2, a.u(0.45, 0.65)])


def steady(a: Account) -> None:
    a.level *= a.u(0.88, 1.15)


def wandering_steady(a: Account) -> None:
    a.level *= np.exp(np.cumsum(a.rng.normal(size=a.total)) * 0.0035)


def heavy_tails(a: Account) -> None:
    a.sigma, a.tails = a.u(0.05, 0.09), 3


def lumpy(a: Account) -> None:
    a.passing = np.where((a.at // 7 + a.rng.integers(4)) % 4 == 0, 1.25, 0.95)


def weekend_heavy(a: Account) -> None:
    a.weekend = a.u(1.05, 1.2)


def academic(a: Account) -> None:
    a.days = max(a.days, 430)
    day = a.of_year()
    off = ((day > 180) & (day < 255)) | (day < 10) | (day > 350) | ((day > 85) & (day < 100))
    a.season = np.convolve(np.where(off, a.u(0.4, 0.65), 1.0), np.ones(15) / 15, "same")


def academic_decline(a: Account) -> None:
    academic(a)
    a.level *= 1.15 * np.interp(a.at, [a.as_of - a.u(120, 200), a.renewal], [1, a.u(0.35, 0.5)])


def sales_season(a: Account) -> None:
    a.season = 1 + a.u(0.1, 0.2) * np.cos(2 * np.pi * (a.of_year() - a.u(0, 365)) / 365.25)
    a.ambiguous = a.days < 430


def first_year_season(a: Account) -> None:
    a.season = 1 + a.u(0.1, 0.18) * np.cos(2 * np.pi * (a.of_year() - a.u(0, 365)) / 365.25)
    a.ambiguous = True


def gap_of_months(a: Account) -> None:
    start = int(a.u(40, a.days - 140))
    a.gap[start : start + int(a.u(60, 110))] = True


def several_seat_changes(a: Account) -> None:
    for back, factor in zip(sorted(a.u(30, 300) for _ in range(3))[::-1], (0.9, 1.1, 1.0), strict=True):
        a.seats[: max(0, int(a.as_of - back))] = max(2, round(a.size * factor))


def seats_cut_below_use(a: Account) -> None:
    a.level *= 1.25
    a.seats[:] = round(a.size * 1.2)
    a.seats[int(a.as_of - a.u(60, 120)) :] = round(a.size * 0.8)


def censored_other_retries(a: Account) -> None:
    a.retries = a.u(0.8, 3)
    a.level *= np.interp(a.at, [a.as_of - 200, a.renewal], [1.25, a.u(1.6, 1.8)])


def long_overdraft(a: Account) -> None:
    a.overdraft[:] = round(a.size * 0.4)
    a.level *= np.interp(a.at, [a.as_of - a.u(60, 120), a.as_of - 40], [1.1, a.u(1.5, 1.65)])


def logistic_growth(a: Account) -> None:
    a.level *= 0.65 + a.u(0.6, 0.7) / (1 + np.exp(-(a.at - a.as_of + a.u(20, 60)) / a.u(35, 60)))


def young_logistic(a: Account) -> None:
    a.level *= 0.25 + 0.9 / (1 + np.exp(-(a.at - a.as_of + a.u(-20, 30)) / a.u(25, 45)))


def project_and_back(a: Account) -> None:
    start = int(a.as_of - a.u(150, 300))
    a.passing[max(0, start) : max(0, start) + int(a.u(30, 55))] = a.u(1.15, 1.3)


def abandoned(a: Account) -> None:
    end = a.as_of - a.u(40, 70)
    a.level *= np.interp(a.at, [end - a.u(20, 90), end], [1, 0])


FAMILIES: dict[str, tuple[Family, dict[str, object]]] = {
    "sigmoid decline": (sigmoid_decline, {}),
    "exponential decline": (exponential_decline, {}),
    "stairs down": (stairs_down, {}),
    "fallen, then flat": (fallen_then_flat, {}),
    "decline after growth": (decline_after_growth, {}),
    "decline, 3-10 seats": (exponential_decline, {"sizes": (5, 7, 10)}),
    "decline, 5,000 seats": (sigmoid_decline, {"sizes": (5000,)}),
    "decline, Sunday-Thursday": (exponential_decline, {"countries": ("SA", "EG", "IL")}),
    "decline, academic": (academic_decline, {"days": (450, 760)}),
    "abandoned": (abandoned, {}),
    "steady": (steady, {}),
    "steady, 3-10 seats": (steady, {"sizes": (3, 5, 7, 10)}),
    "steady, 5,000 seats": (steady, {"sizes": (5000,)}),
    "steady, Sunday-Thursday": (steady, {"countries": ("SA", "EG", "IL")}),
    "steady, country unknown": (steady, {"countries": ("", "ZZ")}),
    "steady, wandering": (wandering_steady, {}),
    "steady, heavy tails": (heavy_tails, {}),
    "steady, lumpy": (lumpy, {}),
    "steady, weekends": (weekend_heavy, {}),
    "steady, academic": (academic, {"days": (450, 760)}),
    "steady, yearly season": (sales_season, {"days": (430, 760)}),
    "steady, first-year season": (first_year_season, {"days": (150, 360)}),
    "steady, gap of months": (gap_of_months, {}),
    "steady, several seat changes": (several_seat_changes, {}),
    "steady, project and back": (project_and_back, {}),
    "seats cut below use": (seats_cut_below_use, {}),
    "over the limit, other retries": (censored_other_retries, {}),
    "long overdraft": (long_overdraft, {}),
    "logistic growth": (logistic_growth, {}),
    "young, logistic": (young_logistic, {"days": (90, 190)}),
}
SIZES = (12, 18, 35, 45, 80, 130, 220, 400, 900)


def make(family: str, seed: int, number: int) -> Case:
    """Always the same account for the same arguments."""
    shape, options = FAMILIES[family]
    rng = np.random.default_rng([seed, sum(map(ord, family)), number])
    low, high = options.get("days", (320, 720))  # type: ignore[misc]
    account = Account(
        rng=rng,
        size=int(rng.choice(options.get("sizes", SIZES))),  # type: ignore[arg-type]
        days=int(rng.integers(low, high)),
        lead=int(rng.choice((40, 65, 85, 110))),
        country=str(rng.choice(options.get("countries", ("US", "FR", "JP", "BR", "SE")))),  # type: ignore[arg-type]
        first=date(2023, 1, 1).toordinal() + int(rng.integers(0, 700)),
        sigma=float(rng.uniform(0.02, 0.08)),
        unknown=float(rng.uniform(0, 0.04)),
    )
    shape(account)
    return _seen(family, account, f"{family}-{seed}-{number}")


def cases(seed: int, each: int) -> list[Case]:
    """`each` accounts of every family."""
    return [make(family, seed, number) for family in FAMILIES for number in range(each)]


def _seen(family: str, a: Account, name: str) -> Case:
    business = business_days(a.country, a.first, a.total)
    saturday = (a.first + a.at - 1) % 7 >= 5
    shape = np.where(business, 1.0, np.where(saturday, a.weekend, min(a.weekend, 0.2)))
    noise = a.rng.standard_t(a.tails, a.total) if a.tails else a.rng.normal(size=a.total)
    wanted = a.level * a.season * a.passing * shape * np.exp(a.sigma * np.convolve(noise, [0.9, 0.35], "same"))
    wanted = np.rint(wanted + a.rng.normal(size=a.total) * 0.3 * np.sqrt(np.maximum(wanted, 0))).clip(0)
    cap = a.seats + a.overdraft
    peak = np.minimum(wanted, cap)
    denials = a.rng.poisson(a.retries * np.maximum(0, wanted - cap)).astype(float)
    gone = a.gap | (a.rng.random(a.total) < a.unknown)
    peak[gone] = denials[gone] = np.nan
    seen = slice(0, a.as_of + 1)
    around = np.arange(a.renewal - 14, a.renewal + 15)
    history = History(
        entitlement_id=name,
        account_id=name,
        country=a.country,
        first_day=date.fromordinal(a.first),
        as_of=date.fromordinal(a.first + a.as_of),
        renewal=date.fromordinal(a.first + a.renewal),
        peak=peak[seen],
        seats=a.seats[seen],
        cap=cap[seen],
        denials=denials[seen],
        users=np.full(a.as_of + 1, np.nan),
    )
    truth = label(a, peak, business)
    return Case(
        family=family,
        history=history,
        signal=truth,
        clear=not a.ambiguous and all(label(a, peak, business, strict) == truth for strict in (0.75, 1.3)),
        peak_at_renewal=float(np.quantile(wanted[around[business[around]]], 0.95)),
        account=a,
    )


def label(a: Account, peak: np.ndarray, business: np.ndarray, strict: float = 1.0) -> str:  # noqa: PLR0911  a rule a line
    """The rule of docs/signals.md asked of the latent level; `strict` moves its thresholds."""
    now, known = a.as_of, ~np.isnan(peak[: a.as_of + 1]) & business[: a.as_of + 1]
    level = np.maximum(a.level, 1e-9)
    if known.sum() < 20 or known[-28:].sum() < 6:
        return "insufficient_data"
    if (a.level[now - 29 : now + 1] < max(0.5, 0.02 * a.seats[now])).all():
        return "dormant"
    over = (np.nan_to_num(peak[: now + 1]) > a.seats[: now + 1]) & business[: now + 1]
    if over[-60:].sum() >= round(5 * strict) and over[-30:].sum() >= 2:
        return "overdraft"
    pace = (level[now] / level[now - 21] - 1) * 30 / 21
    young = now < 210 and level[now] / level[14] >= 1 + 0.25 * strict and level[now] / level[now - 30] >= 1.04
    year = level[max(0, now - 364) : now + 1]
    width = min(60, len(year))
    fallen = 1 - level[now] / np.convolve(year, np.ones(width) / width, "valid").max()
    use = level[now] / a.seats[now]
    rising = level[now] / level[max(0, now - 180)] >= 1 + 0.15 * strict and pace >= 0.01 * strict
    if young:
        return "new_growth"
    if fallen >= 0.15 * strict and pace <= -0.02 * strict:
        return "at_risk"
    if use >= 1 + (strict - 1) * 0.15 or (rising and level[a.renewal] / a.seats[now] >= 0.85):
        return "expansion"
    shifted = (strict - 1) * 0.2
    if (fallen >= 0.2 * strict and use < 0.8 + shifted) or (use < 0.55 + shifted and not rising):
        return "contraction"
    return "steady"
