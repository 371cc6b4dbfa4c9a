"""What the record says of seat use, told to the CRM: as summaries, whole, and once each night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from hub import limits, renewals
from hub.collecting.collector import now
from hub.collecting.portfolio import judgement_of
from hub.domain import UsageMonth, UsageSummary
from hub.errors import HubError, RetryableError
from hub.ports import Connector, Outcome
from hub.store import portfolio, pushes, records, signals
from hub.usage.sessions import day_of

if TYPE_CHECKING:
    from hub.usage.history import Judgement
    from hub.usage.portfolio import Standing
    from hub.wiring import Hub

log = structlog.get_logger()
AT_ONCE = 200  # entitlements
MONTHS = 36
DRAWN_DAYS = 120  # pictures are made of what renews within so many days
SIZE = (600, 300)
NIGHT_S = 3 * 3600.0  # the night's push is due from three o'clock on: yesterday is closed and judged
EVERY = 1000  # results between two words of progress


# -- from the record


def summaries(hub: Hub, *, pictures: bool = True) -> list[UsageSummary]:
    """What ought to be told of every entitlement that was judged and has a customer. Reads only, but for pictures.

    pictures False: without any. One that can't be drawn is left out. What a sister product took over `moved` says.
    """
    with hub.store.read() as conn:
        today = day_of(now(conn), hub.settings.usage.zone)
        standings = [one for one in portfolio.judged(conn, today) if one.account_id != one.entitlement_id]
        refs = portfolio.account_refs(conn, {one.account_id for one in standings})
    by_account: dict[str, list[Standing]] = {}
    for one in standings:
        by_account.setdefault(one.account_id, []).append(one)
    found: list[UsageSummary] = []
    for part in _parts(by_account):
        found += _summaries(hub, part, refs, pictures=pictures)
    return found


def _parts(by_account: Mapping[str, list[Standing]]) -> Iterator[list[Standing]]:
    """So many entitlements at a time, accounts whole."""
    part: list[Standing] = []
    for mine in by_account.values():
        part += mine
        if len(part) >= AT_ONCE:
            yield part
            part = []
    yield part


def _summaries(
    hub: Hub, standings: Sequence[Standing], refs: Mapping[str, str], *, pictures: bool
) -> list[UsageSummary]:
    ids = [one.entitlement_id for one in standings]
    with hub.store.read() as conn:
        rows, months = signals.signals_of(conn, ids), signals.months_of(conn, ids, MONTHS)
    told = [
        _Told(
            standing=one,
            judgement=replace(judgement_of(rows[one.entitlement_id]), signal=one.signal),
            months=tuple(map(_month, months.get(one.entitlement_id, ()))),
            ref=refs.get(one.account_id, ""),
        )
        for one in standings
        if one.entitlement_id in rows  # else its customer was deleted meanwhile
    ]
    worth = _worth(told)
    moved, drawn = _moved(told, worth), _pictures(hub, told) if pictures else {}
    address = hub.settings.hub.public_url.rstrip("/")
    return [_summary(one, worth, moved, drawn, address) for one in told]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """All that is told of an entitlement, but for its picture."""

    standing: Standing
    judgement: Judgement
    months: tuple[UsageMonth, ...]
    ref: str


def _worth(told: Sequence[_Told]) -> dict[str, float]:
    """What entitlements are worth beside others of their account; not of accounts that pay in several currencies."""
    paid: dict[str, set[str]] = {}
    for one in told:
        if one.standing.value:
            paid.setdefault(one.standing.account_id, set()).add(one.standing.value.currency)
    return {
        one.standing.entitlement_id: float(one.standing.value.amount_minor)
        for one in told
        if one.standing.value and len(paid[one.standing.account_id]) == 1
    }


def _summary(
    one: _Told,
    worth: Mapping[str, float],
    moved: Mapping[str, str],
    pictures: Mapping[str, bytes],
    address: str,
) -> UsageSummary:
    standing, judgement, evidence = one.standing, one.judgement, one.judgement.evidence
    number = {name: _number(evidence.get(name)) for name in _NUMBERS}
    used = standing.used
    return UsageSummary(
        entitlement_id=standing.entitlement_id,
        account_ref=one.ref,
        customer_id=standing.account_id,
        sku=standing.offering,
        as_of=standing.as_of,
        signal=standing.signal.value,
        confidence=standing.confidence.value,
        signal_since=standing.since,
        renewal=standing.renewal,
        seats_licensed=standing.seats,
        p95_peak_28d=number["p95_peak_28d"],
        utilization_90d=_share(number["utilization_90d_pct"], 100),
        drop=_share(number["drop_pct"], 100),
        trend_30d=_share(number["trend_30d"], used),
        trend_low=_share(number["trend_30d_lo"], used),
        trend_high=_share(number["trend_30d_hi"], used),
        change_date=judgement.change_date,
        overdraft_days_60d=_count(number["overdraft_days_60d"]),
        overdraft_max=_count(number["overdraft_max"]),
        denials_28d=_count(number["denials_28d"]),
        days_since_use=_count(number["days_since_use"]),
        known_share_90d=number["known_share_90d"],
        forecast_peak=judgement.forecast_peak,
        forecast_low=judgement.forecast_lo,
        forecast_high=judgement.forecast_hi,
        recommended_seats=judgement.recommended_seats,
        sentence=standing.sentence,
        moved=moved.get(standing.entitlement_id, ""),
        chart_url=f"{address}/accounts/{quote(standing.account_id)}?entitlement={quote(standing.entitlement_id)}",
        method_version=str(evidence.get("method", "")),
        value=worth.get(standing.entitlement_id),
        months=one.months,
        chart=pictures.get(standing.entitlement_id, b""),
    )


_NUMBERS = (
    *("p95_peak_28d", "utilization_90d_pct", "drop_pct", "trend_30d", "trend_30d_lo", "trend_30d_hi"),
    *("overdraft_days_60d", "overdraft_max", "denials_28d", "days_since_use", "known_share_90d"),
)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _count(value: float | None) -> int | None:
    return None if value is None else round(value)


def _share(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


def _month(row: Any) -> UsageMonth:  # noqa: ANN401  (a row)
    body: dict[str, Any] = row.body
    return UsageMonth(
        month=date.fromisoformat(f"{row.month}-01"),
        seats_licensed=body["seats"],
        peak=body["peak"],
        p95_peak=body.get("p95_peak"),
        overdraft_days=body["over_days"],
        denials=body["denials"],
        known_share=_share(body.get("known_business_days"), body.get("business_days")),
    )


def _moved(told: Sequence[_Told], worth: Mapping[str, float]) -> dict[str, str]:
    """Of accounts whose use moved to another product: the entitlement that it left, and a sentence."""
    from hub.usage.accounts import Part, account  # noqa: PLC0415  (numpy)

    parts: dict[str, list[Part]] = {}
    for one in told:
        part = Part(
            entitlement_id=one.standing.entitlement_id,
            product=one.standing.offering,
            value=worth.get(one.standing.entitlement_id, 0.0),
            renewal=one.standing.renewal,
            judgement=one.judgement,
        )
        parts.setdefault(one.standing.account_id, []).append(part)
    accounts = map(account, parts.values())
    return {one.because: one.migration for one in accounts if one.migration}


def _pictures(hub: Hub, told: Sequence[_Told]) -> dict[str, bytes]:
    """Charts of what renews soon, as of the judgement: the same until the next one, so that it is sent once."""
    from hub.usage.chart import history_chart  # noqa: PLC0415  (numpy)
    from hub.usage.histories import cut, histories  # noqa: PLC0415

    near = {one.standing.entitlement_id: one for one in told if 0 <= _or(one.standing.days_left, -1) <= DRAWN_DAYS}
    found: dict[str, bytes] = {}
    for history in histories(hub.store, hub.settings.usage, list(near)):
        one = near[history.entitlement_id]
        try:
            spec = history_chart(cut(history, one.standing.as_of), one.judgement, size=SIZE)
            found[history.entitlement_id] = hub.drawer.png(spec)
        except (RetryableError, ValueError) as error:
            log.warning("crm.not_drawn", entitlement=history.entitlement_id, error=str(error))
    return found


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


# -- each night


def push_if_due(hub: Hub, connector: Connector, *, stop: Callable[[], bool] = limits.stopping.is_set) -> bool:
    """Tells the CRM what the record says, if it was not told since three o'clock; whether it was told now.

    What is left for later keeps it due. HubError where the CRM as a whole says no: that is a review task until it is
    told. Repeatable: what it has is not sent again.
    """
    name, key = connector.name, f"{pushes.DONE}{connector.name}"
    with hub.store.read() as conn:
        day = day_of(now(conn) - NIGHT_S, hub.settings.usage.zone).isoformat()
        kept = records.get_cursor(conn, key)
    if kept and kept[0] == day:
        return False
    try:
        counts = _counted(name, renewals.push(hub.store, connector, summaries(hub)), stop)
    except HubError as error:
        hub.store.write(lambda conn, text=str(error): pushes.told_no(conn, name, text))  # type: ignore[misc]
        raise
    hub.store.write(lambda conn: pushes.told(conn, name))
    log.info("crm.pushed", connection=name, **counts)
    if not counts[Outcome.LATER] and not stop():
        hub.store.write(lambda conn: records.set_cursor(conn, key, day))
    return True


def _counted(name: str, results: Iterable[Any], stop: Callable[[], bool]) -> Counter[str]:
    """How many results there are of each kind; where it is to stop, those that were kept so far."""
    counts: Counter[str] = Counter()
    for number, result in enumerate(results, 1):
        counts[result.outcome] += 1
        if number % EVERY == 0:
            log.info("crm.pushing", connection=name, done=number)
        if stop():
            break
    return counts
