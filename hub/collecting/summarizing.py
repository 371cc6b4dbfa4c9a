"""Batches of entitlements are judged, weekly each; signals and months are kept, and told where they are news."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection

from hub import limits
from hub.collecting.collector import Collector, Place, places
from hub.domain import Entitlement, Json
from hub.store import records, seats, signals, stream
from hub.stream.events import Message, Payload, UsageSignal, UsageSummary, message_id
from hub.usage.seatdays import few
from hub.usage.signal import Signal

if TYPE_CHECKING:
    from hub.collecting.judges import Judges
    from hub.usage.history import History, Judgement
    from hub.usage.months import Month
    from hub.usage.settling import Settled

log = structlog.get_logger()
BATCH, CLAIM_S = 50, 300.0
WEEK = timedelta(days=7)
AT_FIRST = 4  # weekly judgements that a first one looks back at: a signal is raised by several in a row
LATE = timedelta(days=28)  # a month that ended longer ago, when it is first summed up, is kept and not told


def summarize_due(
    collector: Collector,
    budget_s: float,
    how: Judges,
    *,
    stop: Callable[[], bool] = limits.stopping.is_set,
) -> int:
    """Judges what is due, for about so many seconds; how many entitlements. Any number may run at once. Repeatable."""
    done, end = 0, time.monotonic() + budget_s
    while time.monotonic() < end and not stop():
        claimed = collector.store.write(lambda conn: seats.claim_judging(conn, BATCH, CLAIM_S))
        if not claimed:
            break
        summarize(collector, sorted(claimed), how)
        collector.store.write(lambda conn, of=claimed: seats.judged(conn, of))  # type: ignore[misc]
        done += len(claimed)
    return done


def summarize(collector: Collector, ids: Sequence[str], how: Judges) -> int:
    """Judges these, where a week has passed since the last time; how many signals or months are news. Repeatable."""
    from hub.usage.histories import histories  # noqa: PLC0415  (numpy)

    news = 0
    with collector.store.read() as conn:
        of = places(conn, collector.usage, ids)
    for history in histories(collector.store, collector.usage, ids):
        try:
            news += _summarize(collector, history, of[history.entitlement_id], how)
        except ValueError as error:  # no history: it alone is left out
            log.warning("usage.not_judged", entitlement=history.entitlement_id, error=str(error))
    return news


def _summarize(collector: Collector, history: History, place: Place, how: Judges) -> int:
    with collector.store.read() as conn:
        row = signals.signals_of(conn, [history.entitlement_id]).get(history.entitlement_id)
    weekly = [(one.as_of, how.judge(one)) for one in _weeks(history, date.fromisoformat(row.as_of) if row else None)]
    settled = _restored(row, how)
    for as_of, judgement in weekly:
        settled = how.settle(settled, judgement, as_of)

    def unit(conn: Connection) -> int:
        told = _keep_signal(conn, history, place, row, settled, weekly[-1][1]) if weekly and settled else []
        told += _keep_months(conn, history, place)
        records.add_messages(conn, told)
        return len(told)

    return collector.store.write(unit)


def _weeks(history: History, last: date | None) -> list[History]:
    """The history as it stood each week since `last`, and a few weeks back the first time; oldest first."""
    from hub.usage.histories import cut  # noqa: PLC0415  (numpy)

    ends = [history.as_of - n * WEEK for n in reversed(range(AT_FIRST))]
    fresh = [end for end in ends if end >= history.first_day and (last is None or end >= last + WEEK)]
    return [cut(history, end) for end in fresh]


def _restored(row: Any, how: Judges) -> Settled | None:  # noqa: ANN401  (a row)
    if row is None:
        return None
    return how.settled(
        signal=Signal(row.signal),
        since=date.fromisoformat(row.since),
        as_of=date.fromisoformat(row.as_of),
        waiting=Signal(row.waiting) if row.waiting else None,
        waiting_since=date.fromisoformat(row.waiting_since) if row.waiting_since else None,
        times=row.times,
    )


# -- signals


def _keep_signal(
    conn: Connection,
    history: History,
    place: Place,
    row: Any,  # noqa: ANN401  (a row, or None)
    settled: Settled,
    judgement: Judgement,
) -> list[Message]:
    """The signal is kept; its message where it is another one than before."""
    said = judgement_json(judgement)
    values: dict[str, Any] = {
        "signal": settled.signal.value,
        "since": settled.since.isoformat(),
        "confidence": judgement.confidence.value,
        "as_of": settled.as_of.isoformat(),
        "waiting": settled.waiting.value if settled.waiting else None,
        "waiting_since": settled.waiting_since.isoformat() if settled.waiting_since else None,
        "times": settled.times,
        "judgement": said,
        "method": str(judgement.evidence.get("method", "")),
    }
    listed = _listed(history, settled, judgement)
    revision = signals.put_signal(conn, history.entitlement_id, values | listed, seen=row.revision if row else 0)
    before = row.signal if row else None
    if revision is None or before == values["signal"]:
        return []
    told = {"day": values["as_of"], "signal": values["signal"], "before": before, "sentence": judgement.sentence}
    signals.put_verdict(conn, history.entitlement_id, told)
    data = UsageSignal(
        **about(conn, history.entitlement_id, place),
        before=before,
        revision=revision,
        **{name: values[name] for name in ("signal", "since", "as_of", "confidence", "method")},
        **{name: said[name] for name in UsageSignal.model_fields if name in said and name not in values},
    )
    return [_message(conn, "usage.signal.changed", data, history.entitlement_id, revision, values["signal"])]


def _listed(history: History, settled: Settled, judgement: Judgement) -> dict[str, Any]:
    """What lists show beside the signal."""
    from hub.usage.standings import shown  # noqa: PLC0415  (numpy)

    sentence = _sentence(settled, judgement)
    return {"sentence": sentence, "recommended_seats": judgement.recommended_seats, **asdict(shown(history))}


def _sentence(settled: Settled, judgement: Judgement) -> str:
    """What the newest judgement says; where it is not told yet, that too."""
    if judgement.signal is settled.signal:
        return judgement.sentence
    return f"{judgement.sentence} Told as {settled.signal.replace('_', ' ')} until this has lasted."


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON; what is no number is None."""
    plain: dict[str, Any] = {name: _plain(value) for name, value in asdict(judgement).items()}
    return plain


def _plain(value: Any) -> Json:  # noqa: ANN401  (whatever evidence holds)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "item"):  # of numpy
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


# -- months


def _keep_months(conn: Connection, history: History, place: Place) -> list[Message]:
    """Months that are over are kept; the message of the one that just ended, and of any that is counted anew."""
    from hub.usage.months import months  # noqa: PLC0415  (numpy)

    id_ = history.entitlement_id
    days = seats.days_of(conn, [id_], history.first_day.replace(day=1), history.as_of)
    known, told = signals.summaries_of(conn, id_), list[Message]()
    signal = signals.signal_of(conn, id_)
    for month in months(days.values(), place.account.country):
        before = known.get(month.name)
        if not _is_over(month, history.as_of):
            continue
        body = _body(month, before.body if before else _judged(month, signal))
        if before and before.body == body:
            continue
        revision = signals.put_summary(conn, id_, month.name, body, seen=before.revision if before else 0)
        late = _end(month) < history.as_of - LATE
        if revision is not None and (before or not late):
            data = UsageSummary(**about(conn, id_, place), month=month.name, revision=revision, **body)
            told.append(_message(conn, "usage.summary.created", data, id_, month.name, revision))
    return told


def _end(month: Month) -> date:
    """The last day of a month."""
    return (month.month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _is_over(month: Month, as_of: date) -> bool:
    return month.closed and _end(month) <= as_of


def _judged(month: Month, signal: Mapping[str, Any] | None) -> dict[str, Any]:
    """The signal at the month's end; nothing where it was not judged within a week of it."""
    if signal is None or abs(date.fromisoformat(signal["as_of"]) - _end(month)) > WEEK:
        return {"signal": None, "confidence": None}
    return {name: signal[name] for name in ("signal", "confidence")}


def _body(month: Month, judged: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "days": month.days,
        "known_days": month.known,
        "seats": month.seats,
        "cap": month.cap,
        "peak": month.peak,
        "p95_peak": month.p95_peak,
        "business_days": month.business,
        "known_business_days": month.known_business,
        "over_days": month.over,
        "over_most": month.over_most,
        "pinned_days": month.pinned,
        "denials": month.denials,
        "users": few(month.users),
        "seat_hours": month.seat_hours,
        "signal": judged["signal"],
        "confidence": judged["confidence"],
    }


# -- telling


def about(conn: Connection, id_: str, place: Place) -> dict[str, Any]:
    """Whose news it is, as every message of an entitlement says it."""
    one: Entitlement | None = place.entitlement
    return {
        "entitlement": id_,
        "customer": one.customer_id if one else "",
        "order_ref": one.order_ref if one else "",
        "purchase": signals.purchases_of(conn, [id_]).get(id_),
        "offering": one.offering if one else "",
    }


def _message(conn: Connection, type_: str, data: Payload, entitlement: str, *parts: object) -> Message:
    now: datetime = stream.business_now(conn)
    return Message(
        id=message_id(entitlement, type_, *parts),
        type=type_,
        occurred_at=now.astimezone(UTC),
        subject=getattr(data, "purchase", None) or entitlement,
        entitlement=entitlement,
        data=data,
    )
