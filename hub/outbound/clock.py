"""When a delivery is tried again, and when an endpoint is given up. Pure; times are epoch seconds, UTC.

The schedule is Standard Webhooks' own (specification 1.0, "Retries"): ten attempts in some 76 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

MINUTE, HOUR = 60.0, 3600.0
SCHEDULE = (
    *(0.0, 5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR),
    *(5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)  # before the first attempt, before the second ...
JITTER = 0.2
LONGEST_RETRY_AFTER_S = 24 * HOUR
GIVE_UP_AFTER_S = 120 * HOUR  # only failures for so long ...
EXHAUSTED_APART_S = 24 * HOUR  # ... and two messages given up, so far apart
NOTICE_AT = 4  # attempts of one message that failed


class Outcome(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"  # 410: the receiver wants nothing any more


def outcome_of(status: int | None) -> Outcome:
    """What this answer says; None: there was none."""
    if status is None:
        return Outcome.FAILED
    if status == 410:  # noqa: PLR2004  (Gone)
        return Outcome.GONE
    return Outcome.DELIVERED if 200 <= status < 300 else Outcome.FAILED  # noqa: PLR2004


def wait_s(failed: int, random: float, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt after `failed` have failed; None where there is none any more.

    `random` from 0 to 1 places it within 20 % of the schedule. A longer Retry-After counts, up to 24 hours.
    """
    if failed >= len(SCHEDULE):
        return None
    drawn = SCHEDULE[failed] * (1 - JITTER + 2 * JITTER * random)
    return max(drawn, min(retry_after or 0.0, LONGEST_RETRY_AFTER_S))


def retry_after_s(text: str | None, now: float) -> float | None:
    """Seconds that a Retry-After (seconds, or an HTTP date) asks for; None where it asks for none or can't be read."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text.strip()[:12]), LONGEST_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, until - now), LONGEST_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an endpoint has been since its last success. failing_since, exhausted_at: the first of that run, or None."""

    failures: int = 0
    failing_since: float | None = None
    exhausted_at: float | None = None
    noticed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an endpoint is after an attempt. notice: people are told that it fails. disable: why it is, or empty."""

    health: Health
    notice: bool = False
    disable: str = ""


def judge(before: Health, outcome: Outcome, failed: int, now: float) -> Verdict:
    """The endpoint after an attempt that ended at `now`; of its message `failed` have failed, this one included."""
    if outcome is Outcome.DELIVERED:
        return Verdict(health=Health())
    exhausted = failed >= len(SCHEDULE)
    since = now if before.failing_since is None else before.failing_since
    first = before.exhausted_at
    after = Health(
        failures=before.failures + 1,
        failing_since=since,
        exhausted_at=now if exhausted and first is None else first,
        noticed=before.noticed or failed >= NOTICE_AT,
    )
    gave_up = exhausted and first is not None and now - first >= EXHAUSTED_APART_S and now - since >= GIVE_UP_AFTER_S
    disable = "it answered 410: gone" if outcome is Outcome.GONE else ""
    if gave_up:
        disable = f"it only failed for {int((now - since) / HOUR)} hours"
    return Verdict(health=after, notice=after.noticed and not before.noticed and not disable, disable=disable)
