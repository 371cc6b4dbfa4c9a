"""The renewals story comes out as it is told, whatever day it is begun on."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from hub.usage.history import Daily, History
from hub.usage.judging import judge
from hub.usage.settling import Settled, settle
from hub.usage.signal import Signal
from sandbox.cast import CAST, MORNING, WEEKS, Part, seats_by_day, steps
from sandbox.year import OUTAGE, OVERDRAFT

BEGINNINGS = (date(2027, 2, 19), date(2027, 8, 18), date(2027, 12, 1))


def lived(part: Part, began: date, week: int) -> History:
    """What the hub has collected of a part by the end of a week."""
    first = part.buys_in * 7 + 1
    wanted = np.array(seats_by_day(part, began, first, WEEKS * 7), float)[: week * 7 - first]
    cap = part.seats + OVERDRAFT[part.price]
    days = np.arange(first, week * 7)
    peak = np.where((days >= OUTAGE.start) & (days < OUTAGE.stop), np.nan, np.minimum(wanted, cap))
    unknown: Daily = np.full(len(days), np.nan)
    return History(
        entitlement_id="ent_1",
        account_id="cust_1",
        country="US",
        first_day=began + timedelta(days=first),
        as_of=began + timedelta(days=week * 7 - 1),
        renewal=began + timedelta(days=part.buys_in * 7 + 365),
        peak=peak,
        seats=np.full(len(days), float(part.seats)),
        cap=np.full(len(days), float(cap)),
        denials=unknown,
        users=unknown,
    )


def settled(part: Part, began: date, weeks: range) -> list[Signal]:
    """What people are told of a part, week by week."""
    told: list[Signal] = []
    now: Settled | None = None
    for week in weeks:
        history = lived(part, began, week)
        now = settle(now, judge(history), history.as_of)
        told.append(now.signal)
    return told


@pytest.mark.parametrize("began", BEGINNINGS, ids=str)
@pytest.mark.parametrize("part", CAST, ids=lambda part: part.name)
def test_each_customer_is_judged_as_the_story_tells_it(part: Part, began: date) -> None:
    assert settled(part, began, range(WEEKS - 6, WEEKS + 1))[-1] == part.signal


@pytest.mark.parametrize("began", BEGINNINGS, ids=str)
def test_holidays_raise_no_alarm(began: date) -> None:
    (steady,) = [one for one in CAST if one.closes]
    quiet = {Signal.STEADY, Signal.INSUFFICIENT_DATA}
    assert set(settled(steady, began, range(steady.buys_in + 1, WEEKS + 1))) <= quiet


@pytest.mark.parametrize("part", CAST, ids=lambda part: part.name)
def test_steps_are_in_order_and_hold_in_the_morning_what_the_day_comes_to(part: Part) -> None:
    began = date(2027, 11, 24)
    told = steps(part, began)
    assert all(one.at < later.at for one, later in pairwise(told))
    mornings = [one.seats for one in told if one.at.timetz() == MORNING]
    assert mornings == seats_by_day(part, began, part.buys_in * 7 + 1, WEEKS * 7)


def test_the_same_name_lives_the_same_year() -> None:
    assert steps(CAST[0], date(2027, 11, 24)) == steps(CAST[0], date(2027, 11, 24))
