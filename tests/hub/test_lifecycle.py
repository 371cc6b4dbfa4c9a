"""The edges between a subject's states: one table of results, and what no look may ever leave behind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.lifecycle import (
    CRASHES,
    PERMANENT_TRIES,
    Failed,
    Held,
    Later,
    Parked,
    Refused,
    Result,
    Settled,
    after_look,
    clock_time,
    crashed_too_often,
)
from hub.settings import Timing
from hub.store.subjects import ENDING

BEGAN, NOW = 1_790_000_000.0, 1_790_000_002.0
TIMING = Timing()


def a_row(**values: Any) -> dict[str, Any]:
    """A due subject as a look finds it, with a failing past."""
    known: dict[str, Any] = dict.fromkeys(ENDING)
    known |= {"state": "due", "cause": "event", "reason": "an event came in", "next_look": BEGAN - 1}
    known |= {"tries": 4, "failing_since": BEGAN - 900, "crashes": 1, "trace": "Traceback", "priority": 1}
    return known | {"waiting_since": BEGAN - 5, "waiting_on": "cus_1", "order_ref": "stripe:sub_1"} | values


def after(result: Result, **values: Any) -> dict[str, Any]:
    return after_look(a_row(**values), result, BEGAN, NOW, TIMING)


# settled


def test_a_settled_subject_is_idle_and_its_past_is_forgotten() -> None:
    row = after(Settled(summary="seats 5 → 8"))
    assert (row["state"], row["cause"], row["next_look"], row["summary"]) == ("idle", "settled", None, "seats 5 → 8")
    assert (row["tries"], row["failing_since"], row["crashes"], row["trace"]) == (0, None, 0, None)
    assert (row["waiting_on"], row["waiting_since"], row["priority"]) == (None, None, 0)
    assert row["looked_at"] == BEGAN


def test_a_second_look_comes_its_time_after_the_first() -> None:
    row = after(Settled(summary="", second_look=True))
    assert (row["state"], row["cause"], row["next_look"]) == ("due", "second look", NOW + TIMING.second_look)
    assert row["second_look"] == NOW + TIMING.second_look


def test_a_second_look_that_is_not_needed_leaves_none() -> None:
    assert after(Settled(summary=""), second_look=NOW + 60)["second_look"] is None


def test_a_verification_comes_when_it_was_wanted() -> None:
    row = after(Settled(summary="", verify_s=30))
    assert (row["state"], row["cause"], row["next_look"], row["verify_at"]) == ("due", "verify", NOW + 30, NOW + 30)


@pytest.mark.parametrize(("verify_s", "cause", "at"), [(30, "verify", NOW + 30), (500, "second look", NOW + 120)])
def test_the_sooner_of_second_look_and_verification_is_next(verify_s: float, cause: str, at: float) -> None:
    row = after(Settled(summary="", second_look=True, verify_s=verify_s))
    assert (row["cause"], row["next_look"]) == (cause, at)
    assert (row["second_look"], row["verify_at"]) == (NOW + 120, NOW + verify_s)


def test_a_verification_to_come_is_kept_by_a_look_before_it() -> None:
    assert after(Settled(summary=""), verify_at=BEGAN + 60)["verify_at"] == BEGAN + 60


def test_a_verification_whose_time_had_come_is_done_with_this_look() -> None:
    row = after(Settled(summary=""), verify_at=BEGAN - 1)
    assert (row["state"], row["verify_at"]) == ("idle", None)


def test_a_verification_is_never_moved_earlier() -> None:
    assert after(Settled(summary="", verify_s=1), verify_at=BEGAN + 600)["verify_at"] == BEGAN + 600


def test_facts_of_the_look_are_kept() -> None:
    assert after(Settled(summary="", facts={"customer_name": "Cedar"}))["customer_name"] == "Cedar"


# waiting for a person


def test_what_a_person_holds_was_not_looked_at() -> None:
    row = after(Held(cause="by a person", reason="ida holds it"), summary="seats 5 → 8", looked_at=1.0)
    assert (row["state"], row["cause"], row["next_look"]) == ("held", "by a person", None)
    assert (row["reason"], row["summary"], row["looked_at"]) == ("ida holds it", "seats 5 → 8", 1.0)


@pytest.mark.parametrize(
    ("result", "state", "cause"),
    [
        (Parked(cause="unmapped", reason="no row names price_new"), "parked", "unmapped"),
        (Parked(cause="needs_api_key", reason="no API key"), "parked", "needs_api_key"),
        (Held(reason="waits for approval"), "held", "guard"),
    ],
)
def test_what_waits_for_a_person_is_looked_at_no_more_by_time(result: Parked | Held, state: str, cause: str) -> None:
    row = after(result)
    assert (row["state"], row["cause"], row["next_look"], row["tries"]) == (state, cause, None, 0)
    assert row["reason"] == row["summary"] == result.reason


# later, and nobody's fault


def test_a_wait_adds_no_try_and_keeps_those_on_record() -> None:
    row = after(Later(cause="hold", reason="asked to wait", delay_s=30))
    assert (row["state"], row["cause"], row["next_look"]) == ("due", "hold", NOW + 30)
    assert (row["tries"], row["failing_since"]) == (4, BEGAN - 900)


def test_a_wait_for_an_object_says_since_when() -> None:
    first = after(Later(cause="waiting", reason="", delay_s=1, waiting_on="cus_9"), waiting_since=None)
    assert (first["waiting_on"], first["waiting_since"]) == ("cus_9", NOW)
    again = after(Later(cause="waiting", reason="", delay_s=1, waiting_on="cus_9"), waiting_since=BEGAN - 5)
    assert again["waiting_since"] == BEGAN - 5


def test_a_wait_keeps_the_second_look_and_the_verification() -> None:
    row = after(Later(cause="busy", reason="", delay_s=1), second_look=NOW + 60, verify_at=NOW + 90)
    assert (row["second_look"], row["verify_at"]) == (NOW + 60, NOW + 90)
    assert after(Later(cause="busy", reason="", delay_s=1), verify_at=BEGAN - 1)["verify_at"] == BEGAN - 1


def test_a_window_sets_the_verification() -> None:
    assert after(Later(cause="window", reason="", delay_s=120, verify_s=120))["verify_at"] == NOW + 120


# failures


def test_a_failure_adds_a_try_and_waits_at_random_within_the_bound() -> None:
    delays = [after(Failed(reason="503"), tries=2)["next_look"] - NOW for _ in range(200)]
    assert all(0 <= delay <= 2 * 2**3 for delay in delays)
    assert max(delays) - min(delays) > 4
    assert after(Failed(reason="503"), tries=2)["tries"] == 3


@given(st.integers(0, 10_000))
def test_no_failure_waits_longer_than_a_quarter_of_an_hour(tries: int) -> None:
    assert 0 <= after(Failed(reason="503"), tries=tries)["next_look"] - NOW <= TIMING.retry_max


def test_a_retry_after_of_the_vendor_goes_first() -> None:
    assert after(Failed(reason="429", retry_after_s=77))["next_look"] == NOW + 77
    assert after(Failed(reason="429", retry_after_s=0))["next_look"] == NOW


def test_a_failure_keeps_its_trace_and_since_when() -> None:
    row = after(Failed(reason="KeyError", trace="Traceback ..."), failing_since=None)
    assert (row["trace"], row["failing_since"], row["cause"]) == ("Traceback ...", NOW, "retry")


def test_I8_after_fourteen_days_of_failures_it_is_dead_with_the_reason() -> None:
    day = 86400
    alive = after(Failed(reason="503"), failing_since=NOW - 14 * day)
    dead = after(Failed(reason="503"), failing_since=NOW - 14 * day - 1)
    assert (alive["state"], dead["state"], dead["next_look"]) == ("due", "dead", None)
    assert dead["reason"] == "failed for 14 days: 503"


def test_I8_a_refusal_is_tried_three_times_in_ten_minutes_and_then_dead() -> None:
    row, at, waits = a_row(tries=0), NOW, []
    for _ in range(PERMANENT_TRIES - 1):
        row = after_look(row, Refused(reason="422"), at - 1, at, TIMING)
        waits.append(row["next_look"] - at)
        assert (row["state"], row["cause"]) == ("due", "refused")
        at = row["next_look"]
    row = after_look(row, Refused(reason="422"), at - 1, at, TIMING)
    assert (row["state"], row["next_look"], row["reason"], row["tries"]) == ("dead", None, "422", 3)
    assert sum(waits) == 600


def test_I8_passing_failures_before_a_refusal_do_not_count_against_it() -> None:
    assert after(Refused(reason="422"), cause="retry", tries=9)["tries"] == 1


def test_I8_a_worker_that_was_ended_three_times_makes_it_dead() -> None:
    row = crashed_too_often(a_row())
    assert (row["state"], row["cause"], row["next_look"], row["crashes"]) == ("dead", "crashed the worker", None, 0)
    assert str(CRASHES) in row["reason"]
    assert "hub look" in row["reason"]


# whatever happens

results: st.SearchStrategy[Result] = st.one_of(
    st.builds(
        Settled,
        summary=st.just(""),
        second_look=st.booleans(),
        verify_s=st.none() | st.floats(0, 1e4),
        facts=st.just({}),
    ),
    st.builds(Parked, cause=st.just("unmapped"), reason=st.just("why"), facts=st.just({})),
    st.builds(Held, reason=st.just("why"), facts=st.just({})),
    st.builds(
        Later,
        cause=st.sampled_from(["busy", "hold", "window"]),
        reason=st.just("why"),
        delay_s=st.floats(0, 1e4),
        verify_s=st.none() | st.floats(0, 1e4),
        waiting_on=st.none() | st.just("cus_1"),
    ),
    st.builds(Failed, reason=st.just("why"), retry_after_s=st.none() | st.floats(0, 1e5), trace=st.none()),
    st.builds(Refused, reason=st.just("why")),
)
rows = st.builds(
    a_row,
    tries=st.integers(0, 50),
    cause=st.sampled_from(["event", "retry", "refused", "window", "verify"]),
    failing_since=st.none() | st.floats(NOW - 3e6, NOW),
    second_look=st.none() | st.floats(NOW - 1e4, NOW + 1e4),
    verify_at=st.none() | st.floats(NOW - 1e4, NOW + 1e4),
    waiting_since=st.none() | st.floats(NOW - 1e4, NOW),
)


@given(results, rows)
def test_I3_every_state_has_an_exit(result: Result, before: dict[str, Any]) -> None:
    row = after_look(before, result, BEGAN, NOW, TIMING)
    assert row["state"] in {"idle", "due", "parked", "held", "dead"}
    assert (row["next_look"] is not None) is (row["state"] == "due")
    assert set(row) == set(before)
    if row["state"] == "due":
        assert row["next_look"] >= NOW or row["cause"] == "verify"


@given(results, rows)
def test_I3_nothing_that_is_promised_for_later_is_dropped(result: Result, before: dict[str, Any]) -> None:
    row = after_look(before, result, BEGAN, NOW, TIMING)
    if row["state"] == "idle":
        assert row["verify_at"] is None
        assert row["second_look"] is None


@given(results, rows)
def test_crashes_are_forgotten_by_every_look_that_ends(result: Result, before: dict[str, Any]) -> None:
    assert after_look(before, result, BEGAN, NOW, TIMING)["crashes"] == 0


def test_a_moment_is_told_in_utc() -> None:
    assert clock_time(1_790_000_000) == "14:13:20 UTC"
