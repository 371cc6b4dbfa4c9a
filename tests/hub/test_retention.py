"""What is old goes in batches; ids, chains, the newest of each subject, and what is still to be read stay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from hub import metrics, retention
from hub.retention import prune_all
from hub.settings import Retention
from hub.store import Store, records, schema, stream
from hub.store.records import Observation
from hub.store.stream import CHAINED
from hub.stream.tail import verify
from tests.factories import a_receipt, a_ref

OLD_S = 800 * 86400.0
DAYS = Retention()


def ago(seconds: float) -> float:
    return time.time() - seconds


def take_in(store: Store, *ids: str, at: float, **values: Any) -> None:
    """Receipts with these ids, in the stream already."""
    for id_ in ids:
        store.record(a_receipt(id_, received_at=at, **values))
    store.write(lambda conn: conn.execute(update(schema.receipt).values(sequenced=True)))


def bodies(store: Store) -> dict[str, bytes | None]:
    r = schema.receipt.c
    with store.read() as conn:
        return {row.external_id: row.body for row in conn.execute(select(r.external_id, r.body))}


def looked_at(store: Store, at: float | None) -> None:
    s = schema.subject
    store.write(lambda conn: conn.execute(update(s).where(s.c.ref == str(a_ref())).values(looked_at=at)))


def count(store: Store, table: Any, *where: Any) -> int:
    with store.read() as conn:
        return int(conn.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def again(store: Store) -> None:
    """The next day."""
    late = update(schema.cursor).where(schema.cursor.c.name.startswith("retention:")).values(at=ago(90_000))
    store.write(lambda conn: conn.execute(late))


def test_old_bodies_go_and_their_ids_stay(store: Store) -> None:
    take_in(store, *(f"evt_{n}" for n in range(5)), at=ago(40 * 86400))
    take_in(store, "evt_new", at=ago(86400))
    assert prune_all(store, DAYS, (), most=2)["receipt"] == 5
    assert {id_ for id_, body in bodies(store).items() if body is not None} == {"evt_new"}
    take_in(store, "evt_1", at=ago(0))
    assert count(store, schema.receipt) == 6
    assert bodies(store)["evt_1"] is None


def test_without_an_API_key_what_no_look_has_read_stays_until_one_has(store: Store) -> None:
    take_in(store, "evt_1", at=ago(40 * 86400))
    assert prune_all(store, DAYS, ["stripe"])["receipt"] == 0
    assert count(store, schema.receipt, schema.receipt.c.kept) == 1
    take_in(store, "evt_2", at=ago(0))
    again(store)
    assert prune_all(store, DAYS, ["stripe"])["receipt"] == 0
    looked_at(store, ago(86400))
    again(store)
    assert prune_all(store, DAYS, ["stripe"])["receipt"] == 1
    assert bodies(store)["evt_1"] is None
    assert count(store, schema.receipt, schema.receipt.c.kept) == 0


def test_what_is_not_in_the_stream_yet_keeps_its_body(store: Store) -> None:
    take_in(store, "evt_1", at=ago(40 * 86400))
    store.write(lambda conn: conn.execute(update(schema.receipt).values(sequenced=False)))
    assert prune_all(store, DAYS, ())["receipt"] == 0


def test_a_table_is_pruned_once_a_day_and_never_where_the_setting_is_0(store: Store) -> None:
    take_in(store, "evt_1", at=ago(40 * 86400))
    assert "receipt" not in prune_all(store, Retention(bodies_days=0), ())
    assert "receipt" in prune_all(store, DAYS, ())
    assert prune_all(store, DAYS, ()) == {}


def test_the_newest_observation_of_each_subject_stays_and_what_an_entitlement_stands_on(store: Store) -> None:
    def unit(conn: Connection) -> None:
        for subject, seen in (("sub_1", "a"), ("sub_1", "b"), ("sub_1", "c"), ("sub_2", "d")):
            records.observe(conn, [Observation(subject=str(a_ref(subject)), hash=seen, seen={"x": seen})])
        conn.execute(update(schema.observation).values(seen_at=ago(OLD_S)))
        columns = {"group_id": "g", "customer_id": "c", "order_ref": "o", "offering": "PRO", "enabled": True}
        body = {"reasons": {}, "body": {}, "catalog_version": "", "read_at": 0.0, "changed_at": 0.0}
        conn.execute(
            insert(schema.entitlement).values(id="e", subject=str(a_ref()), observation="b", **columns, **body)
        )

    store.write(unit)
    assert prune_all(store, DAYS, ())["observation"] == 1
    with store.read() as conn:
        assert set(conn.execute(select(schema.observation.c.hash)).scalars()) == {"b", "c", "d"}


def changes_of(store: Store, subjects: Sequence[str]) -> None:
    def unit(conn: Connection) -> None:
        for subject in subjects:
            known = {
                "look": "l",
                "action": "SetTerms",
                "outcome": "done",
                "wanted": {"seats": 5},
                "found": {"seats": 3},
            }
            why = {
                "call": {"method": "PATCH"},
                "why": {},
                "cause": "event",
                "catalog_version": "v",
                "observation": None,
            }
            records.add_change(conn, subject=subject, entitlement="ent_1", **known, **why)
        conn.execute(update(schema.change).values(at=ago(OLD_S)))
        records.audit(conn, "ada", "console", "look", subjects[0], {"why": "asked"})
        conn.execute(update(schema.audit).values(at=ago(OLD_S)))

    store.write(unit)


def test_S19_the_chains_verify_after_what_they_say_is_gone(store: Store) -> None:
    changes_of(store, ["a", "a", "b"])
    for name in CHAINED:
        while store.write(lambda conn, name=name: stream.place_chained(conn, name)):  # type: ignore[misc]
            pass
    done = prune_all(store, DAYS, ())
    assert (done["change"], done["audit"]) == (1, 1)
    assert [one.broken for one in verify(store)] == [None, None]
    assert count(store, schema.change, schema.change.c.erased_at.is_not(None)) == 1
    again(store)
    assert prune_all(store, DAYS, ())["change"] == 0


def test_how_far_back_the_journal_reaches_is_told_and_so_is_progress(store: Store) -> None:
    with store.read() as conn:
        assert retention.reaches_back(conn, "change") is None
    take_in(store, "evt_1", at=ago(40 * 86400))
    prune_all(store, DAYS, ())
    with store.read() as conn:
        assert retention.reaches_back(conn, "change") == pytest.approx(ago(760 * 86400), abs=60)
    said = metrics.render(store).decode()
    assert 'hub_pruned_rows_total{table="receipt"} 1.0' in said
    assert 'hub_prune_age_seconds{table="audit"}' in said


def test_deliveries_that_ended_go_with_their_attempts_and_what_waits_stays(store: Store) -> None:
    old, new = ago(100 * 86400), ago(86400)
    made = {"endpoint": "ep_1", "key": "k", "version": 1, "next_at": old}

    def unit(conn: Connection) -> None:
        text = dict.fromkeys(("url", "headers"), "") | {"state": "enabled", "cursor": 9, "ordered": False}
        lists = {name: [] for name in ("types", "connections", "customers", "header_names", "secrets")}
        conn.execute(
            insert(schema.endpoint).values(id="ep_1", version=1, created_at=old, changed_at=old, **text, **lists)
        )
        for position, (state, at, ended) in enumerate(
            [("delivered", old, old), ("exhausted", old, old), ("pending", old, None), ("delivered", old, new)]
        ):
            row = {**made, "position": position, "state": state, "created_at": at, "ended_at": ended}
            conn.execute(insert(schema.delivery).values(row))
        rows = conn.execute(select(schema.delivery.c.id, schema.delivery.c.state)).all()
        for row in rows:
            said = {"delivery": row.id, "seconds": 0.1, "error": "", "response": ""}
            conn.execute(insert(schema.attempt).values(number=1, at=old, **said))
            conn.execute(insert(schema.attempt).values(number=2, at=new, **said))

    store.write(unit)
    done = prune_all(store, DAYS, (), most=1)
    assert (done["delivery"], done["attempt"]) == (2, 2)
    assert count(store, schema.delivery) == 2
    assert count(store, schema.delivery, schema.delivery.c.state == "pending") == 1
    assert count(store, schema.attempt, schema.attempt.c.at < new) == 0
    assert count(store, schema.attempt) == 2
    again(store)
    assert "delivery" not in prune_all(store, Retention(attempts_days=0), ())


def test_calls_of_the_API_are_forgotten_after_a_day(store: Store) -> None:
    row = {"prefix": "p", "fingerprint": "f", "until": 0.0, "fence": 1}
    calls = [row | {"key": f"k{n}", "at": ago(n * 86400 / 2 + 1)} for n in range(5)]
    store.write(lambda conn: conn.execute(insert(schema.api_call), calls))
    assert prune_all(store, DAYS, (), most=2)["api_call"] == 3
    assert count(store, schema.api_call) == 2


def test_a_stop_between_two_batches_ends_it_and_the_next_time_goes_on(store: Store) -> None:
    take_in(store, "evt_1", at=ago(40 * 86400))
    assert prune_all(store, DAYS, (), stop=lambda: True)["receipt"] == 0
    assert prune_all(store, DAYS, ())["receipt"] == 1
