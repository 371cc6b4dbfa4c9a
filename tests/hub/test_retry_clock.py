"""When a delivery is tried again, and when an endpoint is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.outbound.clock import HOUR, SCHEDULE, Health, Outcome, judge, outcome_of, retry_after_s, wait_s


def test_the_schedule_is_ten_attempts_in_some_76_hours() -> None:
    assert list(SCHEDULE) == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert 75 * HOUR < sum(SCHEDULE) < 77 * HOUR


@given(st.integers(0, 9), st.floats(0, 1), st.floats(0, 1e9) | st.none())
def test_a_wait_is_within_a_fifth_of_the_schedule_or_what_was_asked_for(
    failed: int, random: float, asked: float | None
) -> None:
    wait = wait_s(failed, random, asked)
    assert wait is not None
    assert wait >= 0.8 * SCHEDULE[failed]
    assert wait <= max(1.2 * SCHEDULE[failed] + 1e-6, min(asked or 0, 24 * HOUR))
    assert wait >= min(asked or 0, 24 * HOUR)


def test_after_ten_failures_there_is_no_other_attempt() -> None:
    assert wait_s(10, 0.5) is None
    assert wait_s(10, 0.5, 100) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), (" 5 ", 5), ("0", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 80), ("999999999999999999999", 86400),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0), ("-5", None), ("soon", None), ("", None), (None, None), ("1.5", None),
        ("Wed, 21 Oct 9999999 07:28:00 GMT", None), ("٣", None),
    ],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, 1445412400.0) == seconds


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (302, "failed"),
        (400, "failed"),
        (410, "gone"),
        (500, "failed"),
        (None, "failed"),
        (199, "failed"),
    ],
)
def test_only_2xx_is_taken_and_410_is_for_good(status: int | None, outcome: str) -> None:
    assert outcome_of(status) == outcome


def test_one_success_heals_all() -> None:
    sick = Health(failures=9, failing_since=1.0, exhausted_at=2.0, noticed=True)
    assert judge(sick, Outcome.DELIVERED, 0, 3.0).health == Health()


@pytest.mark.parametrize(
    ("since_h", "exhausted_h", "failed", "disabled"),
    [(121, 25, 10, True), (119, 25, 10, False), (121, 23, 10, False), (121, 25, 9, False), (121, None, 10, False)],
)
def test_it_is_given_up_after_120_hours_and_two_messages_a_day_apart(
    since_h: float, exhausted_h: float | None, failed: int, disabled: bool
) -> None:
    now = 1000 * HOUR
    exhausted = None if exhausted_h is None else now - exhausted_h * HOUR
    before = Health(failures=50, failing_since=now - since_h * HOUR, exhausted_at=exhausted, noticed=True)
    assert bool(judge(before, Outcome.FAILED, failed, now).disable) is disabled


def test_410_disables_at_once_with_one_notice_and_not_two() -> None:
    verdict = judge(Health(), Outcome.GONE, 4, 1.0)
    assert verdict.disable
    assert not verdict.notice
