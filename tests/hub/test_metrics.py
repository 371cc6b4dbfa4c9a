"""What an operator is told by number, on both databases."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection

from hub.limits import RecordLimiter
from hub.metrics import render
from hub.store import Store, records, subjects
from hub.store.schema import db_now, intent, lease
from tests.factories import a_ref

NAMES = {
    "hub_oldest_due_seconds",
    "hub_subjects",
    "hub_unknown_creates",
    "hub_leases",
    "hub_reviews_open",
    "hub_duplicate_groups",
    "hub_suspects",
    "hub_lease_takeovers_total",
    "hub_breaker_open",
    "hub_hold_seconds",
}


def told(store: Store) -> dict[str, float]:
    """`name{label}` to value, of all that is not a process's own counter."""
    found = {}
    for family in text_string_to_metric_families(render(store).decode()):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_quiet_record_says_zero(store: Store) -> None:
    numbers = told(store)
    quiet = NAMES - {"hub_subjects", "hub_breaker_open", "hub_hold_seconds"}
    assert {name: numbers[name] for name in quiet} == dict.fromkeys(quiet, 0)


def test_each_trouble_has_its_number(store: Store) -> None:
    def trouble(conn: Connection) -> None:
        subjects.mark_due(conn, [a_ref()], cause="event", reason="", delay_s=-400)
        records.raise_review(conn, "duplicate_group:1", "duplicate_group", a_ref(), "two groups")
        values = {"kind": "group", "key": "stripe:1", "subject": str(a_ref()), "open": True, "started_at": db_now()}
        conn.execute(intent.insert().values(**values, fence=1))
        dead = {"key": subjects.subject_key(a_ref()), "holder": "dead", "fence": 1, "expires": db_now() - 1}
        conn.execute(lease.insert().values(**dead))

    store.write(trouble)
    RecordLimiter(store, "zentitle", 5).hold(60)
    limiter = RecordLimiter(store, "stripe", 5)
    for _ in range(10):
        limiter.answered(False)
    numbers = told(store)
    assert numbers["hub_oldest_due_seconds"] >= 400
    assert numbers["hub_subjects{due}"] == 1
    ones = ("hub_unknown_creates", "hub_leases", "hub_reviews_open", "hub_duplicate_groups", "hub_suspects")
    assert {name: numbers[name] for name in ones} == dict.fromkeys(ones, 1)
    assert (numbers["hub_breaker_open{stripe}"], numbers["hub_breaker_open{zentitle}"]) == (1, 0)
    assert 50 < numbers["hub_hold_seconds{zentitle}"] <= 60
    assert numbers["hub_lease_takeovers_total"] == 0
    for expected in (1, 2):
        store.write(lambda conn: conn.execute(lease.update().values(holder="dead", expires=db_now() - 1)))
        store.write(lambda conn: subjects.lease_solo(conn, a_ref(), "me", 5))
        assert told(store)["hub_lease_takeovers_total"] == expected


def test_every_number_is_in_the_operator_s_table() -> None:
    table = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    assert [name for name in sorted(NAMES) if f"`{name}" not in table] == []
