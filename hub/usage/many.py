"""Many entitlements in one pass: shapes and calendars are made once, one bad history fails alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from hub.usage.history import History, Judgement
from hub.usage.judging import DEFAULTS, judge
from hub.usage.rules import Rules

Progress = Callable[[int], None]
EVERY = 100


def judge_many(
    histories: Iterable[History | Mapping[str, object]],
    *,
    rules: Rules = DEFAULTS,
    tiers: Sequence[int] = (),
    progress: Progress | None = None,
) -> Iterator[tuple[str, Judgement | ValueError]]:
    """Each entitlement's id with its judgement, in order, or with the ValueError that says what is wrong with it.

    Histories are taken one at a time, so that memory stays that of one; `progress` is called with how many are done,
    each hundred and at the end.
    """
    done = 0
    for history in histories:
        yield _id(history), _judged(history, rules, tiers)
        done += 1
        if progress and done % EVERY == 0:
            progress(done)
    if progress and done % EVERY:
        progress(done)


def _judged(history: History | Mapping[str, object], rules: Rules, tiers: Sequence[int]) -> Judgement | ValueError:
    try:
        return judge(history, rules=rules, tiers=tiers)
    except ValueError as wrong:
        return wrong


def _id(history: History | Mapping[str, object]) -> str:
    return str(history.get("entitlement_id", "") if isinstance(history, Mapping) else history.entitlement_id)
