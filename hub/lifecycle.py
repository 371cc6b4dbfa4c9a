"""The states of a subject and the edges between them. Pure: one function owns them all.

    idle → due(next look, cause) → leased → idle | due | parked | held | dead

A new event, `hub look`, a new catalog version or an approval makes any of them due again (store.subjects.mark_due).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hub.settings import Timing

PERMANENT_TRIES = 3
CRASHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The look came to its end. second_look: look again in a while, the vendor's answer may lag its event.

    verify_s: something was done twice or in doubt; search again in so many seconds.
    """

    summary: str
    second_look: bool = False
    verify_s: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Waits for a person: unmapped, needs_api_key, unsupported; or for the object `waiting_on`, if that comes first."""

    cause: str
    reason: str
    waiting_on: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Held back: by the guard until it is approved, or by a person until released; then nothing was looked at."""

    reason: str
    cause: str = "guard"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Not now, and nobody's fault: busy, hold, window, waiting. Adds no try."""

    cause: str
    reason: str
    delay_s: float
    verify_s: float | None = None
    waiting_on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error that may pass. `trace` where it was a bug of ours."""

    reason: str
    retry_after_s: float | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error that will come again."""

    reason: str


Result: TypeAlias = Settled | Parked | Held | Later | Failed | Refused


def after_look(row: Mapping[str, Any], result: Result, began: float, now: float, timing: Timing) -> dict[str, Any]:
    """The subject's new row after a look from `began` to `now` (epoch seconds, the database's clock)."""
    new = {**row, "crashes": 0, "trace": None, "waiting_on": None, "waiting_since": None, "next_look": None}
    match result:
        case Settled():
            new |= _fresh(result.facts) | _settled(row, result, began, now, timing)
        case Parked():
            new |= _fresh(result.facts) | {"state": "parked", "cause": result.cause, "reason": result.reason}
            new |= {"summary": result.reason, "looked_at": began, "waiting_on": result.waiting_on}
        case Held(cause="by a person"):
            new |= {"state": "held", "cause": result.cause, "reason": result.reason}
        case Held():
            new |= _fresh(result.facts) | {"state": "held", "cause": result.cause, "reason": result.reason}
            new |= {"summary": result.reason, "looked_at": began}
        case Later():
            new |= _later(row, result, now)
        case Failed():
            new |= _failed(row, result, now, timing)
        case Refused():
            new |= _refused(row, result, now, timing)
    return new


def crashed_too_often(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a subject that took its worker down CRASHES times."""
    reason = f"looking at it ended the worker process {CRASHES} times; `hub look` tries again"
    return {**row, "state": "dead", "cause": "crashed the worker", "reason": reason, "next_look": None, "crashes": 0}


def _fresh(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"tries": 0, "failing_since": None, **facts}


def _settled(row: Mapping[str, Any], result: Settled, began: float, now: float, timing: Timing) -> dict[str, Any]:
    second = now + timing.second_look if result.second_look else None
    verify = _verify(row, result.verify_s, began, now)
    idle = {"second_look": second, "verify_at": verify, "summary": result.summary, "looked_at": began, "priority": 0}
    times = [(second, "second look"), (verify, "verify")]
    due = min(((at, cause) for at, cause in times if at is not None), default=None)
    if due is None:
        return idle | {"state": "idle", "cause": "settled", "reason": result.summary}
    return idle | {"state": "due", "next_look": due[0], "cause": due[1], "reason": result.summary}


def _verify(row: Mapping[str, Any], wanted_s: float | None, began: float, now: float) -> float | None:
    """A pending verification stays until a look has begun after it."""
    pending = row["verify_at"] if row["verify_at"] and row["verify_at"] > began else None
    return max(pending or 0, now + wanted_s) if wanted_s is not None else pending


def _later(row: Mapping[str, Any], result: Later, now: float) -> dict[str, Any]:
    since = row["waiting_since"] or now if result.waiting_on else None
    return {
        "state": "due",
        "cause": result.cause,
        "reason": result.reason,
        "next_look": now + result.delay_s,
        "verify_at": _verify(row, result.verify_s, now, now) or row["verify_at"],
        "waiting_on": result.waiting_on,
        "waiting_since": since,
    }


def _failed(row: Mapping[str, Any], result: Failed, now: float, timing: Timing) -> dict[str, Any]:
    tries, since = row["tries"] + 1, row["failing_since"] or now
    failing = {"tries": tries, "failing_since": since, "reason": result.reason, "trace": result.trace}
    if now - since > timing.give_up:
        days = timing.give_up / 86400
        return failing | {"state": "dead", "cause": "gave up", "reason": f"failed for {days:.0f} days: {result.reason}"}
    delay = result.retry_after_s
    if delay is None:
        delay = random.uniform(0, min(timing.retry_base * 2 ** min(tries, 20), timing.retry_max))  # noqa: S311
    return failing | {"state": "due", "cause": "retry", "next_look": now + delay}


def _refused(row: Mapping[str, Any], result: Refused, now: float, timing: Timing) -> dict[str, Any]:
    tries = row["tries"] + 1 if row["cause"] == "refused" else 1  # passing failures before it do not count
    failing = {"tries": tries, "failing_since": row["failing_since"] or now, "reason": result.reason}
    if tries >= PERMANENT_TRIES:
        return failing | {"state": "dead", "cause": "refused"}
    return failing | {"state": "due", "cause": "refused", "next_look": now + timing.permanent_retry * tries}


def clock_time(moment: float) -> str:
    """`moment` as people read it in a sentence: 14:02:31 UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")
