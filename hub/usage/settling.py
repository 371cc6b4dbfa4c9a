"""When a weekly judgement becomes a signal that people are told of, and when it is taken back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from hub.usage.history import Judgement
from hub.usage.rules import Rules
from hub.usage.signal import CALM, Signal

DEFAULTS = Rules()
SUDDEN = 2.0  # a fall of so many times the least is not waited for
RUN = timedelta(days=13)  # judgements closer than this follow each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What people are told, and what waits to be told.

    `since` is the as-of day of the first judgement of the run that raised `signal`. `waiting` is what the latest
    judgements said instead, `times` of them in a row from `waiting_since` on; None where they agree.
    """

    signal: Signal
    since: date
    as_of: date
    waiting: Signal | None = None
    waiting_since: date | None = None
    times: int = 0


def settle(before: Settled | None, judgement: Judgement, as_of: date, rules: Rules = DEFAULTS) -> Settled:
    """The settled signal after one more weekly judgement of the day `as_of`.

    A signal is raised after `rules.raise_after` judgements in a row, at once where a fall is twice the least or nothing
    is left to wait for (dormant, or no data). It is cleared to steady after `rules.clear_after`. A judgement of a day
    that was already settled changes nothing, so that this may be repeated; a gap of two weeks ends a row.
    """
    said = judgement.signal
    if before is None:
        calm = said in CALM or _sudden(judgement, rules) or rules.raise_after <= 1
        return _fresh(said, as_of) if calm else _first_doubt(said, as_of)
    if as_of <= before.as_of:
        return before
    if said is before.signal:
        return replace(before, as_of=as_of, waiting=None, waiting_since=None, times=0)
    follows = said is before.waiting and as_of - before.as_of <= RUN
    times, since = (before.times + 1, before.waiting_since or as_of) if follows else (1, as_of)
    needed = rules.clear_after if said is Signal.STEADY else 1 if _sudden(judgement, rules) else rules.raise_after
    if times >= needed:
        return Settled(signal=said, since=since, as_of=as_of)
    return replace(before, as_of=as_of, waiting=said, waiting_since=since, times=times)


def settle_all(judgements: Iterable[tuple[date, Judgement]], rules: Rules = DEFAULTS) -> Settled | None:
    """What weekly judgements, oldest first, come to; None of none."""
    settled: Settled | None = None
    for as_of, judgement in judgements:
        settled = settle(settled, judgement, as_of, rules)
    return settled


def _fresh(said: Signal, as_of: date) -> Settled:
    return Settled(signal=said, since=as_of, as_of=as_of)


def _first_doubt(said: Signal, as_of: date) -> Settled:
    return Settled(signal=Signal.STEADY, since=as_of, as_of=as_of, waiting=said, waiting_since=as_of, times=1)


def _sudden(judgement: Judgement, rules: Rules) -> bool:
    if judgement.signal in {Signal.DORMANT, Signal.INSUFFICIENT_DATA, Signal.OVERDRAFT}:
        return True  # facts, which no noise makes
    fallen = judgement.evidence.get("drop_pct")
    falling = judgement.signal in {Signal.AT_RISK, Signal.CONTRACTION}
    return falling and isinstance(fallen, float) and fallen >= SUDDEN * rules.fall * 100
