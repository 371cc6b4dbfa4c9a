"""The stream: facts once each, states from differences, positions without gap, double or reorder. On both databases."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from connectors.stripe.webhook import StripeWebhooks
from hub import checking
from hub.domain import Entitlement
from hub.ports import Connector
from hub.store import Store, prune, records, stream, subjects
from hub.store.schema import audit, change, entitlement, intent, message, receipt, review, sequence
from hub.store.stream import Placed
from hub.store.subjects import Lease
from hub.stream import reminders, sequencer
from hub.stream.state import LISTED
from hub.stream.tail import tail, verify
from tests.factories import NOW, YEAR, a_receipt, a_ref, an_entitlement, an_event
from tests.hub.factory import a_hub
from tests.records import upgrade

REPOSITORY = Path(__file__).parents[2]
STRIPE = {"stripe": Connector(name="stripe", kind="stripe", ref="stripe", webhooks=StripeWebhooks("stripe", ["s"]))}


def the_lease(store: Store, holder: str = "clock") -> Lease:
    taken = store.write(lambda conn: subjects.take(conn, sequencer.KEY, holder, 60))
    assert taken is not None
    return taken


def sequence_all(store: Store) -> None:
    """Everything that is committed now has its place."""
    held = the_lease(store)
    while sequencer.step(store, STRIPE, held):
        pass
    store.write(lambda conn: subjects.release(conn, held))


def told(store: Store, *types: str) -> list[Placed]:
    """The stream, in its order."""
    return list(tail(store, 0, types))


def receive(store: Store, *ids: str, **values: Any) -> None:
    """Accepted receipts of these Stripe events."""
    for id_ in ids:
        store.record(a_receipt(id_, **({"body": an_event(id_)} | values)))


def save(store: Store, one: Entitlement, *, act: bool = True, began: float | None = None) -> records.Saved:
    """A snapshot as a look leaves it: after an act, or after a read that began just now (or at `began`)."""

    def unit(conn: Connection) -> records.Saved:
        since = None if act else subjects.now(conn) if began is None else began
        kept: dict[str, Any] = {"reasons": {}, "version": "v1", "observation": None}
        return records.save_snapshot(conn, one, subject=a_ref(), began=since, **kept)

    return store.write(unit)


def made_by_hub(store: Store) -> None:
    """The record knows that the hub created group egr_1."""
    row: dict[str, Any] = {"kind": "group", "key": "stripe:sub_1", "subject": str(a_ref()), "open": False}
    row |= {"started_at": 1.0, "fence": 1, "ids": ["egr_1", "ent_1"]}
    store.write(lambda conn: conn.execute(intent.insert().values(**row)))


def audits(store: Store, count: int = 1) -> None:
    for number in range(count):
        store.write(lambda conn, n=number: records.audit(conn, "ada", "test", "look", None, {"n": n}))


def a_change(conn: Connection, **values: Any) -> int:
    known: dict[str, Any] = {"look": "l1", "subject": str(a_ref()), "entitlement": "ent_1", "action": "SetTerms"}
    known |= {"outcome": "done", "wanted": {"seats": 5}, "found": {"seats": 1}, "call": None, "why": {}}
    known |= {"cause": "event", "catalog_version": "v1", "observation": None}
    return records.add_change(conn, **(known | values))


def positions(store: Store, table: Any) -> list[int | None]:
    with store.read() as conn:
        return list(conn.execute(select(table.c.position).order_by(table.c.position)).scalars())


# facts


def test_a_fact_is_told_once_for_each_event_under_the_id_that_its_vendor_s_event_gives(store: Store) -> None:
    receive(store, "evt_1", "evt_2")
    sequence_all(store)
    ids = [
        event.id
        for id_ in ("evt_1", "evt_2")
        for event in StripeWebhooks("stripe", []).normalise(an_event(id_), {})[0].events
    ]
    assert [one.id for one in told(store)] == ids
    assert [one.position for one in told(store)] == [1, 2]


def test_a_fact_says_where_it_comes_from_and_what_it_is_about(store: Store) -> None:
    save(store, an_entitlement())
    receive(store, "evt_1")
    store.write(lambda conn: conn.execute(update(subjects.subject).values(order_ref="stripe:sub_1")))
    sequence_all(store)
    (fact,) = told(store, "purchase.*")
    assert fact.type == "purchase.changed"
    assert fact.data == {
        "connection": "stripe",
        "event_id": "evt_1",
        "event_type": "customer.subscription.updated",
        "subject": "stripe/subscription/sub_1",
        "order_ref": "stripe:sub_1",
        "entitlements": ["ent_1"],
        "details": {},
    }


@pytest.mark.parametrize("outcome", ["ignored", "quarantined", "dead", "conflict"])
def test_what_was_not_accepted_tells_nothing(store: Store, outcome: str) -> None:
    receive(store, "evt_1", outcome=outcome)
    sequence_all(store)
    assert told(store) == []


def test_I9_sequencing_a_receipt_again_tells_nothing_more(store: Store) -> None:
    receive(store, "evt_1")
    sequence_all(store)
    receive(store, "evt_1")  # a duplicate
    store.write(lambda conn: conn.execute(update(receipt).values(sequenced=False)))
    sequence_all(store)
    assert [one.position for one in told(store)] == [1]


def test_a_receipt_that_can_t_be_read_again_is_a_task_and_holds_nothing_up(store: Store) -> None:
    receive(store, "evt_odd", body=b"{")
    receive(store, "evt_2")
    sequence_all(store)
    assert len(told(store)) == 1
    with store.read() as conn:
        assert "evt_odd" in conn.execute(select(review.c.text).where(review.c.kind == "not told")).scalar_one()
        assert not stream.waiting(conn)


def test_receipts_of_a_connection_that_is_not_configured_wait(store: Store) -> None:
    receive(store, "evt_1", connection="gone")
    receive(store, "evt_2")
    sequence_all(store)
    with store.read() as conn:
        assert conn.execute(select(receipt.c.external_id).where(~receipt.c.sequenced)).scalars().all() == ["evt_1"]


def test_check_says_that_the_stream_is_late(store: Store, database_url: str) -> None:
    hub = a_hub(database_url)
    receive(store, "evt_1", received_at=time.time())
    assert checking._stream(hub) == []
    store.write(lambda conn: conn.execute(update(receipt).values(received_at=receipt.c.received_at - 300)))
    (late,) = checking._stream(hub)
    assert (late.level, "waited" in late.problem) == ("warning", True)
    sequence_all(store)
    assert checking._stream(hub) == []
    hub.store.close()


# states


def test_what_the_hub_made_is_told_as_created_and_what_it_only_saw_is_not(store: Store) -> None:
    made_by_hub(store)
    save(store, an_entitlement("ent_1"))
    save(store, an_entitlement("ent_9", group_id="egr_9"), act=False)
    sequence_all(store)
    (one,) = told(store)
    assert (one.type, one.data["entitlement"], one.data["made_by"]) == ("entitlement.created", "ent_1", "hub")


def test_what_two_processes_see_first_at_once_is_told_once(store: Store, database_url: str) -> None:
    made_by_hub(store)
    other, seen = Store(database_url), threading.Event()
    kept: dict[str, Any] = {"reasons": {}, "version": "v1", "observation": None}

    def first(conn: Connection) -> records.Saved:
        saved = records.save_snapshot(conn, an_entitlement(), subject=a_ref(), began=None, **kept)
        seen.set()
        time.sleep(0.2)  # the other one has looked for it meanwhile, and found nothing
        return saved

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(store.write, first)
        assert seen.wait(10)
        later = other.write(lambda conn: records.save_reading(conn, an_entitlement(), None, subjects.now(conn)))
        assert written.result().new
    other.close()
    assert not later.new
    sequence_all(store)
    assert [one.type for one in told(store, "entitlement.*")] == ["entitlement.created"]


def test_each_difference_is_told_once_under_its_type(store: Store) -> None:
    was = an_entitlement()
    save(store, was)
    now = replace(was, seats=8, expires_at=NOW + 2 * YEAR, enabled=False)
    assert save(store, now).told == 3
    sequence_all(store)
    found = {one.type: one.data["changes"] for one in told(store)}
    assert {type_: list(changes) for type_, changes in found.items()} == {  # type: ignore[arg-type]
        "entitlement.changed": ["seats"],
        "entitlement.renewed": ["expires_at"],
        "entitlement.disabled": ["enabled"],
    }
    assert found["entitlement.changed"] == {"seats": {"before": 1, "after": 8}}


def test_an_earlier_expiry_is_a_change_and_no_renewal(store: Store) -> None:
    was = an_entitlement()
    save(store, was)
    save(store, replace(was, expires_at=NOW))
    sequence_all(store)
    assert [one.type for one in told(store)] == ["entitlement.changed"]


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"seats_used": 1},
        {"status": "gracePeriod"},
        {"expires_at": an_entitlement().expires_at + timedelta(microseconds=9)},  # type: ignore[operator]
    ],
)
def test_an_echo_and_a_number_of_seats_in_use_are_no_state(store: Store, same: dict[str, Any]) -> None:
    save(store, an_entitlement())
    assert save(store, replace(an_entitlement(), **same), act=False).told == 0


def test_who_changed_it_is_told(store: Store) -> None:
    save(store, an_entitlement())
    save(store, an_entitlement(seats=4))
    save(store, an_entitlement(seats=6), act=False)
    sequence_all(store)
    assert [one.data["made_by"] for one in told(store)] == ["hub", "elsewhere"]


def test_I5_a_read_that_began_before_the_last_accepted_one_ended_is_dropped(store: Store) -> None:
    save(store, an_entitlement())
    with store.read() as conn:
        began = subjects.now(conn)
    time.sleep(0.01)
    save(store, an_entitlement(seats=9))
    assert save(store, an_entitlement(seats=5), act=False, began=began).stale
    with store.read() as conn:
        assert conn.execute(select(entitlement.c.body)).scalar_one()["seats"] == 9
    assert save(store, an_entitlement(seats=5), act=False).told == 1


def test_a_snapshot_that_is_not_kept_tells_nothing(store: Store) -> None:
    save(store, an_entitlement())

    def unit(conn: Connection) -> None:
        records.save_snapshot(
            conn, an_entitlement(seats=7), subject=a_ref(), reasons={}, version="v1", observation=None, began=None
        )
        raise LookupError

    with pytest.raises(LookupError):
        store.write(unit)
    sequence_all(store)
    assert told(store) == []


def test_I9_the_same_revision_has_the_same_id_whatever_record_tells_it(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "other"):
        made = Store(f"sqlite:///{tmp_path}/{name}.sqlite")
        upgrade(made)
        save(made, an_entitlement())
        save(made, an_entitlement(seats=7))
        sequence_all(made)
        ids.append([one.id for one in told(made)])
        made.close()
    assert ids[0] == ids[1] != []


# order


def test_positions_have_no_gap_and_no_double_whatever_order_rows_came_in(store: Store) -> None:
    for round_ in range(3):
        receive(store, *[f"evt_{round_}_{n}" for n in range(7)])
        audits(store, 5)
        store.write(a_change)
        sequence_all(store)
    assert positions(store, message) == list(range(1, 22))
    assert positions(store, audit) == list(range(1, 16))
    assert positions(store, change) == [1, 2, 3]


def test_on_postgres_a_row_that_commits_late_comes_later_and_is_not_lost(postgres_url: str) -> None:
    store = Store(postgres_url, settle_s=0)
    upgrade(store)
    save(store, an_entitlement("ent_1"))
    save(store, an_entitlement("ent_2"))
    with store.engine.connect() as slow:
        transaction = slow.begin()
        records.save_snapshot(
            slow,
            an_entitlement("ent_1", seats=2),
            subject=a_ref(),
            reasons={},
            version="v",
            observation=None,
            began=None,
        )
        records.audit(slow, "slow", "test", "look", None, {})
        save(store, an_entitlement("ent_2", seats=3))
        audits(store, 2)
        sequence_all(store)
        seen = told(store)[-1].position
        transaction.commit()
    audits(store)
    sequence_all(store)
    (late,) = list(tail(store, seen))
    assert (late.position, late.data["entitlement"]) == (2, "ent_1")
    assert positions(store, audit) == [1, 2, 3, 4]
    assert [one.broken for one in verify(store)] == [None, None]
    store.close()


def test_I6_a_sequencer_that_lost_its_lease_writes_nothing(store: Store) -> None:
    old = the_lease(store)
    store.write(lambda conn: subjects.release(conn, old))
    the_lease(store, "other")
    receive(store, "evt_1")
    with pytest.raises(sequencer.LeaseLost):
        sequencer.step(store, STRIPE, old)
    assert positions(store, message) == []


def test_two_that_both_believe_it_is_their_turn_still_give_no_position_twice(store: Store) -> None:
    """As after a lease that ended while its holder slept: the row of the sequence is what counts."""
    audits(store, 40)
    places = [
        threading.Thread(target=lambda: store.write(lambda c: stream.place_chained(c, "audit", 7))) for _ in range(8)
    ]
    for one in places:
        one.start()
    for one in places:
        one.join()
    assert positions(store, audit) == list(range(1, 41))
    assert [one.broken for one in verify(store)] == [None, None]


CLOCK = """
import sys, threading
from hub.store import Store
from hub.stream import reminders, sequencer
from tests.hub.test_stream import STRIPE
sequencer.run(Store(sys.argv[1]), STRIPE, threading.Event(), lease_s=1)
"""


@pytest.fixture
def clocks(store: Store, database_url: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that sequence, ended with the test."""
    running = [subprocess.Popen([sys.executable, "-c", CLOCK, database_url], cwd=REPOSITORY) for _ in range(2)]
    yield running
    for one in running:
        one.kill()
        one.wait()


def test_two_clocks_of_which_one_is_killed_leave_no_gap_and_no_double(
    store: Store, database_url: str, clocks: list[subprocess.Popen[bytes]]
) -> None:
    for number in range(400):
        receive(store, f"evt_{number}")
        audits(store)
        if number == 200:
            os.kill(_holder(store), signal.SIGKILL)
    end = time.monotonic() + 30
    while time.monotonic() < end and _waits(store):
        time.sleep(0.05)
    assert positions(store, message) == list(range(1, 401))
    assert positions(store, audit) == list(range(1, 401))
    assert [one.broken for one in verify(store)] == [None, None]
    assert [one.position for one in told(store)] == list(range(1, 401))


def _holder(store: Store) -> int:
    """The process whose turn it is."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with store.read() as conn:
            if holder := conn.execute(select(subjects.lease.c.holder)).scalar():
                return int(holder.split("-")[0])
        time.sleep(0.02)
    raise TimeoutError


def _waits(store: Store) -> bool:
    with store.read() as conn:
        return stream.waiting(conn)


# chains


def test_I9_a_change_waits_for_its_end_before_it_is_chained(store: Store) -> None:
    begun = store.write(lambda conn: a_change(conn, action="Disable", outcome="begun"))
    store.write(a_change)
    sequence_all(store)
    with store.read() as conn:
        assert conn.execute(select(change.c.position).where(change.c.id == begun)).scalar_one() is None
    store.write(lambda conn: records.end_change(conn, begun, "done", None))
    sequence_all(store)
    store.write(lambda conn: records.end_change(conn, begun, "refused", None))  # said once, it stays
    assert positions(store, change) == [1, 2]
    assert [one.broken for one in verify(store)] == [None, None]


def test_a_change_whose_process_died_is_chained_as_unknown(store: Store) -> None:
    begun = store.write(lambda conn: a_change(conn, action="Disable", outcome="begun"))
    store.write(lambda conn: conn.execute(update(change).values(at=change.c.at - stream.SETTLED_S - 1)))
    assert store.write(stream.end_abandoned) == 1
    sequence_all(store)
    with store.read() as conn:
        assert conn.execute(select(change.c.outcome).where(change.c.id == begun)).scalar_one() == "unknown"


TAMPERED: dict[str, tuple[Any, int, str]] = {
    "what it says": (lambda c: c.execute(update(audit).where(audit.c.position == 3).values(actor="eve")), 3, "says"),
    "its digest": (lambda c: c.execute(update(audit).where(audit.c.position == 3).values(digest="0" * 64)), 3, "says"),
    "its link": (lambda c: c.execute(update(audit).where(audit.c.position == 3).values(link="0" * 64)), 3, "link"),
    "a row in the middle": (lambda c: c.execute(audit.delete().where(audit.c.position == 3)), 3, "gone"),
    "the newest rows": (lambda c: c.execute(audit.delete().where(audit.c.position > 3)), 4, "gone"),
    "the head too": (
        lambda c: [
            c.execute(audit.delete().where(audit.c.position > 3)),
            c.execute(update(sequence).where(sequence.c.name == "audit").values(position=3)),
        ],
        3,
        "end",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_S19_the_first_place_where_a_chain_was_tampered_with_is_named(store: Store, what: str) -> None:
    tamper, position, problem = TAMPERED[what]
    audits(store, 5)
    sequence_all(store)
    store.write(tamper)
    broken = {one.table: one.broken for one in verify(store)}
    assert broken["change"] is None
    assert broken["audit"] is not None
    assert (broken["audit"].position, problem in broken["audit"].problem) == (position, True)


def test_bodies_may_be_erased_and_the_chain_still_verifies(store: Store) -> None:
    audits(store, 3)
    store.write(a_change)
    sequence_all(store)
    later = time.time() + 60
    store.write(a_change)
    sequence_all(store)
    assert store.write(lambda conn: prune.audits(conn, later, 0, 10)).rows == 3
    assert store.write(lambda conn: prune.changes(conn, later, 0, 10)).rows == 1, "the newest of a subject stays"
    audits(store)
    sequence_all(store)
    assert [(one.rows, one.broken) for one in verify(store)] == [(2, None), (4, None)]
    with store.read() as conn:
        assert conn.execute(select(func.count()).where(audit.c.erased_at.is_not(None))).scalar_one() == 3


# reading


def test_a_tail_reads_after_a_position_and_by_type(store: Store) -> None:
    save(store, an_entitlement())
    save(store, an_entitlement(seats=5))
    receive(store, "evt_1", "evt_2")
    sequence_all(store)
    assert [one.position for one in tail(store, 1)] == [2, 3]
    assert [one.type for one in tail(store, 0, ["entitlement.*"])] == ["entitlement.changed"]
    assert [one.position for one in tail(store, 0, ["purchase.changed"])] == [2, 3]
    assert [one.position for one in tail(store, None, most=2)] == [2, 3]


def test_a_tail_that_follows_gives_what_comes(store: Store) -> None:
    receive(store, "evt_1")
    sequence_all(store)
    seen: list[Placed] = []
    follower = threading.Thread(target=lambda: seen.extend(itertools.islice(tail(store, 0, follow=True), 2)))
    follower.start()
    receive(store, "evt_2")
    sequence_all(store)
    follower.join(10)
    assert [one.position for one in seen] == [1, 2]


def orders(messages: Sequence[Placed]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in messages:
        found.setdefault(str(one.data["entitlement"]), []).append(int(one.data["revision"]))  # type: ignore[arg-type]
    return found


def test_I5_states_of_one_entitlement_come_in_the_order_of_its_revisions(store: Store) -> None:
    """Many write at once, and one sequences meanwhile."""
    ids = [f"ent_{number}" for number in range(4)]
    for id_ in ids:
        save(store, an_entitlement(id_))

    def grow(id_: str) -> None:
        for seats in range(2, 22):
            save(store, an_entitlement(id_, seats=seats))

    writers = [threading.Thread(target=grow, args=(id_,)) for id_ in ids]
    for one in writers:
        one.start()
    while any(one.is_alive() for one in writers):
        sequence_all(store)
    sequence_all(store)
    assert orders(told(store)) == {id_: list(range(2, 22)) for id_ in ids}


# reminders


def remind(store: Store, at: datetime) -> int:
    """What is told once business time is `at`."""
    moved = (at - datetime.now(UTC)).total_seconds()
    store.write(lambda conn: records.set_cursor(conn, records.CLOCK_OFFSET, str(moved)))
    held = the_lease(store)
    told_ = reminders.remind(store, held)
    store.write(lambda conn: subjects.release(conn, held))
    return told_


END = NOW + YEAR


def test_reminders_come_once_each_30_7_and_1_days_before_and_at_the_end(store: Store) -> None:
    save(store, an_entitlement(expires_at=END))
    found = {left: remind(store, END - timedelta(days=left)) for left in (60, 31, 29, 28, 6, 2, 0.5, -1, -2)}
    assert found == {60: 0, 31: 0, 29: 1, 28: 0, 6: 1, 2: 0, 0.5: 1, -1: 1, -2: 0}
    sequence_all(store)
    assert [(one.type, one.data["days"], one.data["ends_at"]) for one in told(store)] == [
        ("entitlement.expiring", 30, "2027-03-01T12:00:00Z"),
        ("entitlement.expiring", 7, "2027-03-01T12:00:00Z"),
        ("entitlement.expiring", 1, "2027-03-01T12:00:00Z"),
        ("entitlement.expired", 0, "2027-03-01T12:00:00Z"),
    ]


def test_a_renewed_license_is_reminded_of_its_new_end_alone(store: Store) -> None:
    save(store, an_entitlement(expires_at=END))
    remind(store, END - timedelta(days=60))
    assert remind(store, END - timedelta(days=20)) == 1
    save(store, an_entitlement(expires_at=END + YEAR))
    assert remind(store, END + timedelta(days=5)) == 0
    assert remind(store, END + YEAR - timedelta(days=20)) == 1


def test_what_was_over_before_the_hub_began_and_what_is_off_is_not_told(store: Store) -> None:
    save(store, an_entitlement("ent_old", expires_at=NOW))
    save(store, an_entitlement("ent_off", expires_at=END, enabled=False))
    save(store, an_entitlement("ent_perpetual", expires_at=None))
    assert remind(store, END - timedelta(days=60)) == 0
    assert remind(store, END + timedelta(days=60)) == 0


def test_I9_a_reminder_that_was_told_before_a_crash_is_not_told_again(store: Store) -> None:
    save(store, an_entitlement(expires_at=END))
    for _ in range(2):
        store.write(lambda conn: records.set_cursor(conn, reminders.CURSOR, (END - timedelta(days=8)).isoformat()))
        remind(store, END - timedelta(days=6))
    sequence_all(store)
    assert len(told(store)) == 1


def test_what_is_known_from_a_list_row_alone_is_not_reminded_of(store: Store) -> None:
    store.write(lambda conn: records.save_listed(conn, an_entitlement(expires_at=END, status=LISTED)))
    remind(store, END - timedelta(days=60))
    assert remind(store, END) == 0


def test_the_end_of_maintenance_has_reminders_of_its_own(store: Store) -> None:
    save(store, an_entitlement(expires_at=None))
    store.write(lambda conn: conn.execute(update(entitlement).values(maintenance_ends=END.timestamp())))
    remind(store, END - timedelta(days=2))
    remind(store, END)
    sequence_all(store)
    assert [one.type for one in told(store)] == ["entitlement.maintenance.expiring", "entitlement.maintenance.expired"]
