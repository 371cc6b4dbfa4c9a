"""Weekly judgements become signals, days become months, and both are told once; on both databases."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from hub.collecting import closing
from hub.collecting.collector import Collector
from hub.collecting.judges import Judges
from hub.collecting.summarizing import judgement_json, summarize, summarize_due
from hub.store import Store, seats, signals, stream
from hub.store.stream import Placed
from hub.stream.events import UsageSignal, UsageSummary
from hub.usage.history import Confidence, History, Judgement, Signal
from hub.usage.seatdays import SeatDay
from tests.hub.usage.test_importing import a_collector, know

END = date(2026, 10, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    signal: Signal
    since: date
    as_of: date
    waiting: Signal | None = None
    waiting_since: date | None = None
    times: int = 0


def judge(history: History) -> Judgement:
    """No use in the last week is dormant, anything else steady."""
    if history.entitlement_id == "ent_bad":
        raise ValueError("no history")
    quiet = not np.nansum(history.peak[-7:])
    return Judgement(
        signal=Signal.DORMANT if quiet else Signal.STEADY,
        confidence=Confidence.HIGH,
        change_date=history.as_of if quiet else None,
        forecast_peak=float("nan"),
        forecast_lo=None,
        forecast_hi=None,
        recommended_seats=3,
        sentence="No seat was used in the last 7 days." if quiet else "As ever.",
        evidence={"as_of": history.as_of, "peak": np.float64(history.peak[-1]), "method": "test-1"},
    )


def settle(before: Any, judgement: Judgement, as_of: date) -> Settled:
    """The second in a row counts."""
    if before is None:
        return Settled(signal=judgement.signal, since=as_of, as_of=as_of)
    if judgement.signal is before.signal:
        return replace(Settled(signal=before.signal, since=before.since, as_of=as_of), as_of=as_of)
    if judgement.signal is before.waiting:
        return Settled(signal=judgement.signal, since=before.waiting_since, as_of=as_of)
    kept = Settled(signal=before.signal, since=before.since, as_of=as_of)
    return replace(kept, waiting=judgement.signal, waiting_since=as_of, times=1)


JUDGES = Judges(judge=judge, settle=settle, settled=Settled)


@pytest.fixture
def collector(store: Store) -> Collector:
    know(store)
    return a_collector(store)


def use(collector: Collector, first: date, last: date, peak: int, id_: str = "ent_1") -> None:
    """Closed, known days with this peak."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    rows = [
        SeatDay(entitlement=id_, day=day, known=True, closed=True, peak=peak, seats=5, cap=5, users=2) for day in days
    ]
    collector.store.write(lambda conn: seats.put_days(conn, rows))


def due(collector: Collector) -> int:
    return summarize_due(collector, 5, JUDGES, stop=lambda: False)


def told(collector: Collector, type_: str = "usage.*") -> list[Placed]:
    collector.store.write(stream.place_messages)
    with collector.store.read() as conn:
        return stream.after(conn, 0, [type_])


def test_a_signal_is_told_when_it_settles_and_not_again(collector: Collector) -> None:
    use(collector, END - timedelta(days=100), END, 4)
    assert due(collector) == 1
    assert due(collector) == 0
    (first,) = told(collector, "usage.signal.changed")
    assert (first.data["before"], first.data["signal"], first.data["since"]) == (None, "steady", "2026-10-10")
    for week in (1, 2, 3):
        end = END + timedelta(days=7 * week)
        use(collector, end - timedelta(days=6), end, 0)
        due(collector)
        summarize(collector, ["ent_1"], JUDGES)
    _, second = told(collector, "usage.signal.changed")
    assert (second.data["before"], second.data["signal"], second.data["since"]) == ("steady", "dormant", "2026-11-07")
    assert (second.data["recommended_seats"], second.data["forecast_peak"], second.data["customer"]) == (
        3,
        None,
        "cust_1",
    )
    assert second.data["evidence"] == {"as_of": "2026-11-14", "peak": 0.0, "method": "test-1"}
    UsageSignal.model_validate(second.data)
    with collector.store.read() as conn:
        kept = signals.signal_of(conn, "ent_1")
    assert kept is not None
    assert (kept["signal"], kept["as_of"], kept["method"], kept["confidence"]) == (
        "dormant",
        "2026-11-21",
        "test-1",
        "high",
    )


def test_what_was_judged_this_week_is_not_judged_again(collector: Collector) -> None:
    use(collector, END - timedelta(days=30), END, 4)
    due(collector)
    use(collector, END + timedelta(days=1), END + timedelta(days=6), 0)
    assert due(collector) == 1
    with collector.store.read() as conn:
        kept = signals.signal_of(conn, "ent_1")
    assert kept is not None
    assert (kept["as_of"], kept["revision"]) == (END.isoformat(), 1)


def test_a_month_that_is_over_is_told_once_and_again_when_it_is_counted_anew(collector: Collector) -> None:
    use(collector, date(2026, 8, 20), END, 4)
    due(collector)
    due(collector)
    summaries = told(collector, "usage.summary.created")
    assert [(one.data["month"], one.data["revision"]) for one in summaries] == [("2026-10", 1)]  # older ones are kept
    last = UsageSummary.model_validate(summaries[0].data)
    assert (last.days, last.known_days, last.peak, last.users, last.signal) == (31, 31, 4, "< 5", "steady")
    use(collector, date(2026, 9, 10), date(2026, 9, 10), 9)
    due(collector)
    _, again = told(collector, "usage.summary.created")
    assert [again.data[name] for name in ("month", "revision", "peak", "over_days", "over_most")] == [
        "2026-09",
        2,
        9,
        1,
        4,
    ]
    with collector.store.read() as conn:
        assert list(signals.summaries_of(conn, "ent_1")) == ["2026-08", "2026-09", "2026-10"]


def test_a_month_that_is_not_over_is_no_summary(collector: Collector) -> None:
    use(collector, date(2026, 10, 1), date(2026, 10, 30), 4)
    due(collector)
    assert told(collector, "usage.summary.created") == []


def test_a_history_that_can_t_be_judged_fails_alone(collector: Collector) -> None:
    know(collector.store, "ent_bad")
    for id_ in ("ent_bad", "ent_1"):
        use(collector, END - timedelta(days=30), END, 4, id_)
    assert due(collector) == 2
    assert {one.data["entitlement"] for one in told(collector, "usage.signal.changed")} == {"ent_1"}


def test_two_that_judge_at_once_tell_it_once(collector: Collector) -> None:
    use(collector, END - timedelta(days=30), END, 4)
    claimed = collector.store.write(lambda conn: seats.claim_judging(conn, 10, 60))
    assert list(claimed) == ["ent_1"]
    assert collector.store.write(lambda conn: seats.claim_judging(conn, 10, 60)) == {}
    use(collector, END - timedelta(days=3), END, 3)
    collector.store.write(lambda conn: seats.judged(conn, claimed))
    with collector.store.read() as conn:
        assert seats.judging_due(conn)  # a day changed meanwhile
    before = signals.put_signal
    assert collector.store.write(lambda conn: before(conn, "ent_1", a_signal(), seen=0)) == 1
    assert collector.store.write(lambda conn: before(conn, "ent_1", a_signal(), seen=0)) is None
    assert collector.store.write(lambda conn: before(conn, "ent_1", a_signal(), seen=1)) == 2


def a_signal() -> dict[str, Any]:
    text = {"signal": "steady", "since": "2026-10-01", "confidence": "low", "as_of": "2026-10-31", "method": "m"}
    return {**text, "waiting": None, "waiting_since": None, "times": 0, "judgement": {}}


def test_deleting_a_customer_deletes_its_signals_and_summaries(collector: Collector) -> None:
    use(collector, date(2026, 9, 1), END, 4)
    due(collector)
    collector.store.write(lambda conn: closing.forget(conn, "cust_1"))
    with collector.store.read() as conn:
        assert (signals.signal_of(conn, "ent_1"), signals.summaries_of(conn, "ent_1")) == (None, {})
    use(collector, END, END, 4)
    assert due(collector) == 0


def test_a_judgement_is_kept_as_JSON_whatever_its_evidence_holds() -> None:
    one = Judgement(
        signal=Signal.STEADY,
        confidence=Confidence.LOW,
        change_date=END,
        forecast_peak=float("inf"),
        forecast_lo=None,
        forecast_hi=1.5,
        recommended_seats=None,
        sentence="",
        evidence={"days": [END], "count": np.int64(3), "nan": np.float64("nan"), "of": {"a": (1, True)}},
    )
    assert judgement_json(one) == {
        "signal": "steady",
        "confidence": "low",
        "change_date": "2026-10-31",
        "forecast_peak": None,
        "forecast_lo": None,
        "forecast_hi": 1.5,
        "recommended_seats": None,
        "sentence": "",
        "evidence": {"days": ["2026-10-31"], "count": 3, "nan": None, "of": {"a": [1, True]}},
    }


def test_a_receiver_and_a_clock_go_without_numpy() -> None:
    code = "import sys, hub.wiring, hub.runtime, hub.web.app, hub.jobs; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
