"""Customers that were never there: seeded histories with one story each, for tests and for looking at the pages.

Peaks come from a level by day, cut at the limit, with weekends, holidays, noise and gaps. The judgements are written,
not computed: they say what each story was made to show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from hub.usage.calendars import business_days
from hub.usage.history import Confidence, Daily, History, Judgement, Signal
from hub.usage.portfolio import Account, Entitled, Money, Shelf, Verdict
from hub.usage.standings import About, standing

Numbers = NDArray[np.int64]
AS_OF = date(2026, 6, 28)
DAYS = 430
TIERS = (10, 25, 50, 75, 100, 125, 150, 200)
QUIET = 0.14  # of a business day's level, on others
Level = Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One entitlement. `level`, `seats` and `cap` are seats by days before the as-of day; so are `gaps`, (from, to)."""

    account: str
    name: str
    offering: str
    country: str
    owner: str
    value: int
    renews_in: int | None
    level: Level
    seats: Level
    cap: Level
    judgement: Judgement
    told: tuple[tuple[int, Signal], ...]
    gaps: tuple[tuple[int, int], ...] = ((111, 105),)
    age: int = DAYS
    noise: float = 0.03


def ramp(*points: tuple[int, float]) -> Level:
    """Straight between (days before, seats); flat outside."""
    at, seats = zip(*sorted((-ago, seats) for ago, seats in points), strict=True)
    return lambda ago: float(np.interp(-ago, at, seats))


def steps(first: float, *later: tuple[int, float]) -> Level:
    """`first`, then each (days before, seats) from that day on."""
    return lambda ago: [first, *(seats for since, seats in later if ago <= since)][-1]


def history(story: Story, as_of: date, seed: int) -> History:
    """The same story and seed give the same days."""
    rng = np.random.default_rng(seed)
    agos = np.arange(story.age - 1, -1, -1)
    first = as_of - timedelta(days=story.age - 1)
    busy = business_days(story.country, first.toordinal(), story.age)
    wanted = np.array([story.level(int(ago)) for ago in agos]) * np.where(busy, 1, QUIET)
    demand = np.round(np.maximum(0, wanted * (1 + rng.normal(0, story.noise, story.age))))
    seats, cap = _each(story.seats, agos), _each(story.cap, agos)
    lost = np.any([(agos <= start) & (agos >= end) for start, end in story.gaps], axis=0) if story.gaps else agos < 0
    peak = np.where(lost, np.nan, np.minimum(demand, cap))
    return History(
        entitlement_id=f"ent_{story.account.removeprefix('acc_')}_{story.offering.lower()}",
        account_id=story.account,
        country=story.country,
        first_day=first,
        as_of=as_of,
        renewal=as_of + timedelta(days=story.renews_in) if story.renews_in is not None else None,
        peak=peak,
        seats=seats,
        cap=cap,
        denials=np.where(lost, 0, np.round(np.maximum(0, demand - cap) * 1.5)),
        users=np.where(lost, np.nan, np.round(peak * 1.3)),
    )


def _each(level: Level, agos: NDArray[np.int64]) -> Daily:
    return np.array([level(int(ago)) for ago in agos], float)


def judged(
    signal: Signal,
    sentence: str,
    *,
    change: int | None = None,
    expected: tuple[float, float, float] | None = None,
    seats: int | None = None,
    confidence: Confidence = Confidence.HIGH,
    **evidence: object,
) -> Judgement:
    """A judgement as written; `change` in days before the as-of day, `expected` is (peak, low, high) at renewal."""
    peak, low, high = expected or (None, None, None)
    return Judgement(
        signal=signal,
        confidence=confidence,
        change_date=AS_OF - timedelta(days=change) if change is not None else None,
        forecast_peak=peak,
        forecast_lo=low,
        forecast_hi=high,
        recommended_seats=seats,
        sentence=sentence,
        evidence={"as_of": AS_OF.isoformat(), "method": 4, **evidence},
    )


def entitled(story: Story, as_of: date, seed: int) -> Entitled:
    """The story as pages get it."""
    days = history(story, as_of, seed)
    verdicts = tuple(
        Verdict(day=as_of - timedelta(days=ago), signal=signal, sentence=story.judgement.sentence if not n else "")
        for n, (ago, signal) in enumerate(story.told)
    )
    about = About(account=story.name, offering=story.offering, owner=story.owner, value=_usd(story.value))
    row = standing(days, story.judgement, verdicts, about)
    return Entitled(standing=row, history=days, judgement=story.judgement, verdicts=verdicts, tiers=TIERS)


def _usd(dollars: int) -> Money | None:
    return Money(amount_minor=dollars * 100, currency="USD") if dollars else None


def shelf(as_of: date = AS_OF) -> Shelf:
    """All stories as a portfolio."""
    accounts: dict[str, Account] = {}
    for seed, story in enumerate(STORIES, 1):
        before = accounts[story.account].entitled if story.account in accounts else ()
        made = (*before, entitled(story, as_of, seed))
        accounts[story.account] = Account(id=story.account, name=story.name, entitled=made)
    return Shelf(accounts)


def _choices(
    keep: int, suggested: int, other: int, *, idle: tuple[float, ...], short: tuple[float, ...]
) -> Mapping[str, object]:
    names = zip(("keep", "recommended", "next"), (keep, suggested, other), idle, short, strict=True)
    return {name: {"seats": seats, "idle_seats": free, "short_days": over} for name, seats, free, over in names}


STORIES = (
    Story(
        account="acc_halden",
        name="Halden Robotics",
        offering="Pro",
        country="US",
        owner="Mara Lindqvist",
        value=48_000,
        renews_in=93,
        level=ramp((430, 88), (280, 88), (258, 97), (174, 97), (90, 76), (0, 61)),
        seats=steps(90, (270, 100)),
        cap=steps(110, (270, 120)),
        told=((132, Signal.AT_RISK), (400, Signal.STEADY)),
        judgement=judged(
            Signal.AT_RISK,
            "Use fell from 97 to 61 of 100 seats (business-day peak) since about 5 January, 8 % a month, "
            "still falling. At this pace 48 (41-56) at renewal on 29 September, 93 days away. "
            "Same weeks last year: flat.",
            change=174,
            expected=(48, 41, 56),
            seats=75,
            rule="drop and slope",
            drop_pct=37.1,
            pace_pct_30d=-8.0,
            known_business_days=239,
            p95_peak_28d=64.0,
            votes={"at_risk": 0.97, "contraction": 0.03},
            choices=_choices(100, 75, 50, idle=(52, 27, 4), short=(0, 0.2, 23)),
        ),
    ),
    Story(
        account="acc_brisa",
        name="Brisa Labs",
        offering="Pro",
        country="DE",
        owner="Mara Lindqvist",
        value=48_000,
        renews_in=47,
        level=ramp((430, 74), (300, 82), (150, 100), (35, 119), (0, 122)),
        seats=steps(80, (317, 100)),
        cap=steps(100, (317, 130)),
        told=((145, Signal.OVERDRAFT), (260, Signal.EXPANSION), (400, Signal.STEADY)),
        judgement=judged(
            Signal.OVERDRAFT,
            "Over the licensed 100 on 58 of 60 business days, up to 130; 1,140 overdraft seat-days. "
            "125 seats would have covered 81 % of days, 150 would have covered all.",
            change=300,
            expected=(131, 124, 138),
            seats=150,
            rule="overdraft days",
            overdraft_days_60d=58,
            overdraft_max=30,
            known_business_days=231,
            p95_peak_28d=127.0,
            votes={"overdraft": 1.0},
            choices=_choices(100, 150, 200, idle=(0, 24, 71), short=(63, 0, 0)),
        ),
    ),
    Story(
        account="acc_brisa",
        name="Brisa Labs",
        offering="Viewer",
        country="DE",
        owner="Mara Lindqvist",
        value=6_000,
        renews_in=47,
        level=ramp((430, 17), (0, 18)),
        seats=steps(25),
        cap=steps(25),
        told=((400, Signal.STEADY),),
        judgement=judged(
            Signal.STEADY,
            "Level at 17-19 of 25 seats for 12 months.",
            expected=(19, 17, 21),
            seats=25,
            rule="none fired",
            known_business_days=231,
        ),
    ),
    Story(
        account="acc_quillon",
        name="Quillon Software",
        offering="Enterprise",
        country="GB",
        owner="Tom Abara",
        value=36_500,
        renews_in=71,
        level=ramp((430, 34), (120, 47), (0, 60)),
        seats=steps(50),
        cap=steps(50),
        told=((110, Signal.EXPANSION), (400, Signal.STEADY)),
        judgement=judged(
            Signal.EXPANSION,
            "At the 50-seat limit on 31 of 40 days; 64 people were turned away at least once. Estimated need 58-66.",
            change=118,
            expected=(63, 58, 66),
            seats=75,
            rule="pinned",
            pinned_days_60d=31,
            denials_28d=212,
            known_business_days=236,
            confidence=Confidence.MEDIUM,
            choices=_choices(50, 75, 100, idle=(0, 13, 38), short=(58, 0, 0)),
        ),
    ),
    Story(
        account="acc_fjellmar",
        name="Fjellmar Systems",
        offering="Pro",
        country="NO",
        owner="Mara Lindqvist",
        value=43_200,
        renews_in=25,
        level=steps(88, (86, 60)),
        seats=steps(90),
        cap=steps(90),
        noise=0.02,
        told=((72, Signal.CONTRACTION), (400, Signal.STEADY)),
        judgement=judged(
            Signal.CONTRACTION,
            "Use stepped from 88 to 60 seats around 3 April and has been level for 12 weeks. "
            "65 seats would have covered 95 % of business days.",
            change=86,
            expected=(63, 59, 67),
            seats=75,
            rule="step down",
            drop_pct=31.8,
            known_business_days=228,
            choices=_choices(90, 75, 50, idle=(29, 14, 0), short=(0, 0, 61)),
        ),
    ),
    Story(
        account="acc_palisander",
        name="Palisander Health",
        offering="Pro",
        country="US",
        owner="Tom Abara",
        value=12_000,
        renews_in=20,
        level=ramp((430, 14), (69, 9), (48, 0), (0, 0)),
        seats=steps(25),
        cap=steps(25),
        noise=0.08,
        told=((17, Signal.DORMANT), (60, Signal.AT_RISK), (400, Signal.STEADY)),
        judgement=judged(
            Signal.DORMANT,
            "No seat was used since 11 May: 33 known business days without use. 25 are licensed.",
            change=48,
            rule="dormant",
            days_since_use=48,
            known_business_days=238,
        ),
    ),
    Story(
        account="acc_tessera",
        name="Tessera Design",
        offering="Pro",
        country="FR",
        owner="Tom Abara",
        value=14_400,
        renews_in=34,
        level=ramp((430, 26), (0, 27)),
        seats=steps(30),
        cap=steps(30),
        told=((400, Signal.STEADY),),
        judgement=judged(
            Signal.STEADY,
            "Level at 26-29 of 30 seats for 12 months, summer and Christmas as last year.",
            expected=(29, 27, 31),
            seats=30,
            rule="none fired",
            known_business_days=229,
        ),
    ),
    Story(
        account="acc_haven",
        name="Haven Analytics",
        offering="Enterprise",
        country="US",
        owner="Mara Lindqvist",
        value=43_800,
        renews_in=84,
        level=ramp((430, 44), (0, 44)),
        seats=steps(60),
        cap=steps(60),
        gaps=((111, 105), (26, 0)),
        told=((3, Signal.INSUFFICIENT_DATA), (400, Signal.STEADY)),
        judgement=judged(
            Signal.INSUFFICIENT_DATA,
            "No data since 2 June (collector). 38 known business days; use before was 70-75 %.",
            rule="insufficient data",
            known_business_days=38,
            confidence=Confidence.LOW,
        ),
    ),
    Story(
        account="acc_ostrov",
        name="Ostrov Tooling",
        offering="Enterprise",
        country="CZ",
        owner="Tom Abara",
        value=43_800,
        renews_in=165,
        level=ramp((430, 61), (330, 54), (300, 61), (0, 62)),
        seats=steps(75),
        cap=steps(75),
        told=((400, Signal.STEADY),),
        judgement=judged(
            Signal.STEADY,
            "Level at 60-64 of 75 seats; the dip of last August is a season.",
            expected=(65, 61, 69),
            seats=75,
            rule="none fired",
            known_business_days=233,
        ),
    ),
    Story(
        account="acc_sedge",
        name="Sedge & Co",
        offering="Pro",
        country="US",
        owner="",
        value=0,
        renews_in=267,
        level=ramp((97, 5), (0, 17.2)),
        seats=steps(10, (48, 15), (13, 20)),
        cap=steps(10, (48, 15), (13, 20)),
        age=98,
        gaps=(),
        noise=0.05,
        told=((5, Signal.NEW_GROWTH),),
        judgement=judged(
            Signal.NEW_GROWTH,
            "From 5 to 17 of 20 seats in 14 weeks, +3.4 seats a month; the limit is reached "
            "about 24 July, 8 months before renewal.",
            change=97,
            seats=25,
            rule="new growth",
            confidence=Confidence.MEDIUM,
            known_business_days=67,
        ),
    ),
)
