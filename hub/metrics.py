"""What `/metrics` tells: counters of this process, and gauges read from the record when asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from hub.limits import SHARED
from hub.retention import Pruned, progress
from hub.store import Store, drifts, subjects
from hub.store.schema import crm_push, db_now, intent, lease, rate, review, subject

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SUSPECTS = 100  # more are not counted
_RATES = select(rate.c.connection, rate.c.broken, (rate.c.hold_until - db_now()).label("left")).where(
    ~rate.c.connection.contains(SHARED)
)
_TOLD = select(crm_push.c.connection, crm_push.c.outcome, func.count()).group_by(
    crm_push.c.connection, crm_push.c.outcome
)
REGISTRY = CollectorRegistry()
RECEIVED = Counter("hub_received", "Vendor events by outcome", ["connection", "outcome"], registry=REGISTRY)
REJECTED = Counter("hub_rejected", "Requests refused, by reason", ["connection", "reason"], registry=REGISTRY)


class RecordCollector(Collector):
    """Gauges from the record."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """One query a gauge, all on indexed columns."""
        states = GaugeMetricFamily("hub_subjects", "Subjects by state", labels=["state"])
        with self._store.read() as conn:
            for state, count in conn.execute(select(subject.c.state, func.count()).group_by(subject.c.state)):
                states.add_metric([state], count)
            oldest = select(db_now() - func.min(subject.c.next_look)).where(subject.c.state == "due")
            age = max(0.0, float(conn.execute(oldest).scalar() or 0))
            unknown = conn.execute(select(func.count()).where(intent.c.open)).scalar_one()
            leases = conn.execute(select(func.count()).where(lease.c.holder.is_not(None))).scalar_one()
            tasks = conn.execute(select(func.count()).where(review.c.open)).scalar_one()
            doubled = conn.execute(select(func.count()).where(review.c.kind == "duplicate_group")).scalar_one()
            suspects = len(subjects.suspects(conn, SUSPECTS))
            takeovers = subjects.takeovers(conn)
            rates = conn.execute(_RATES).all()
            pruned, now = progress(conn), subjects.now(conn)
            told = conn.execute(_TOLD).all()
            apart = drifts.counts(conn)
        yield states
        yield GaugeMetricFamily("hub_oldest_due_seconds", "Age of the oldest look that is due", value=age)
        yield GaugeMetricFamily("hub_unknown_creates", "Creates whose outcome is not known yet", value=unknown)
        yield GaugeMetricFamily("hub_leases", "Leases held now", value=leases)
        yield GaugeMetricFamily("hub_reviews_open", "Tasks that wait for a person", value=tasks)
        yield GaugeMetricFamily("hub_duplicate_groups", "Licenses that were found doubled, ever", value=doubled)
        yield GaugeMetricFamily("hub_suspects", "Due subjects whose worker died at work", value=suspects)
        yield CounterMetricFamily(
            "hub_lease_takeovers", "Subjects taken over from a dead worker, ever", value=takeovers
        )
        yield from _connections(rates)
        yield from _pruned(pruned, now)
        yield from _crm(told)
        yield from _drift(apart, now)


def _connections(rates: Sequence[Any]) -> Iterator[Metric]:
    """How each vendor that was ever asked is doing."""
    breaker = GaugeMetricFamily("hub_breaker_open", "1: the vendor keeps failing, left alone", labels=["connection"])
    hold = GaugeMetricFamily("hub_hold_seconds", "So long nobody asks this vendor", labels=["connection"])
    for row in rates:
        breaker.add_metric([row.connection], int(row.broken > 0))
        hold.add_metric([row.connection], max(0.0, row.left))
    yield breaker
    yield hold


def _drift(apart: tuple[dict[str, int], float] | None, now: float) -> Iterator[Metric]:
    """Where the systems disagreed when they were last compared."""
    counts = GaugeMetricFamily("hub_drift", "Disagreements of sales, licenses and CRM by class", labels=["class"])
    for kind, count in apart[0].items() if apart else ():
        counts.add_metric([kind], count)
    yield counts
    if apart:
        yield GaugeMetricFamily("hub_drift_age_seconds", "Since they were compared", value=max(0.0, now - apart[1]))


def _crm(told: Sequence[Any]) -> Iterator[Metric]:
    """What became of the records that a CRM is told."""
    outcomes = GaugeMetricFamily("hub_crm_records", "Records of a CRM by outcome", labels=["connection", "outcome"])
    for connection, outcome, count in told:
        outcomes.add_metric([connection, outcome], count)
    yield outcomes


def _pruned(pruned: Sequence[Pruned], now: float) -> Iterator[Metric]:
    """How much went of each table for its age, and when that was last asked."""
    rows = CounterMetricFamily("hub_pruned_rows", "Rows that went for their age, ever", labels=["table"])
    age = GaugeMetricFamily("hub_prune_age_seconds", "Since a table was last pruned to its end", labels=["table"])
    for one in pruned:
        rows.add_metric([one.table], one.rows)
        age.add_metric([one.table], max(0.0, now - one.at))
    yield rows
    yield age


def render(store: Store) -> bytes:
    """The Prometheus text of this process's counters and the record's gauges."""
    gauges = CollectorRegistry()
    gauges.register(RecordCollector(store))
    return generate_latest(REGISTRY) + generate_latest(gauges)
