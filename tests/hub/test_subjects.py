"""Leases, fences and marks: one at a time, whoever dies, and no mark is lost. On both databases."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hub.domain import Ref
from hub.errors import LeaseLost
from hub.leases import LeaseBook
from hub.store import Store, subjects
from hub.store.schema import db_now, lease, subject
from hub.store.subjects import ENDING, Ended, Lease, Leased
from tests.factories import a_receipt, a_ref
from tests.records import upgrade

REPOSITORY = Path(__file__).parents[2]


def mark(store: Store, *ids: str, **values: Any) -> None:
    """Makes these subjects due, now unless told otherwise."""
    known: dict[str, Any] = {"cause": "event", "reason": "an event came in"}
    store.write(lambda conn: subjects.mark_due(conn, map(a_ref, ids), **(known | values)))


def take_due(store: Store, holder: str = "one", ttl_s: float = 60, limit: int = 64) -> list[Leased]:
    return store.write(lambda conn: subjects.lease_due(conn, holder, ttl_s, limit))


def take(store: Store, key: str = "customer:1", holder: str = "one", ttl_s: float = 60) -> Lease | None:
    return store.write(lambda conn: subjects.take(conn, key, holder, ttl_s))


def must_take(store: Store, key: str = "customer:1", holder: str = "one", ttl_s: float = 60) -> Lease:
    taken = take(store, key, holder, ttl_s)
    assert taken is not None
    return taken


def row_of(store: Store, id_: str = "sub_1") -> Any:
    with store.read() as conn:
        return conn.execute(select(subject).where(subject.c.ref == str(a_ref(id_)))).one()


def expire(store: Store, key: str = f"subject:{a_ref()}") -> None:
    """The holder has been away for longer than its lease."""
    store.write(lambda conn: conn.execute(update(lease).where(lease.c.key == key).values(expires=db_now() - 1)))


def settled(leased: Leased, **values: Any) -> dict[str, Any]:
    """What a look writes that settled."""
    row = {name: leased.row[name] for name in ENDING}
    return row | {"state": "idle", "cause": "settled", "next_look": None, "summary": "done"} | values


def finish(store: Store, *leased: Leased, also: tuple[Lease, ...] = ()) -> None:
    ended = [Ended(one, settled(one), also) for one in leased]
    store.write(lambda conn: subjects.finish(conn, ended))


# leases and fences


def test_a_lease_is_one_holder_s_until_released(store: Store) -> None:
    first = must_take(store)
    assert take(store, holder="other") is None
    assert take(store) is None  # not even its own holder's second time
    store.write(lambda conn: subjects.release(conn, first))
    second = take(store, holder="other")
    assert second == Lease("customer:1", "other", first.fence + 1)


def test_I6_each_taking_raises_the_fence(store: Store) -> None:
    fences = []
    for _ in range(4):
        held = must_take(store)
        fences.append(held.fence)
        store.write(lambda conn, held=held: subjects.release(conn, held))
    assert fences == [1, 2, 3, 4]


def test_I6_an_ended_lease_is_taken_over_and_its_old_holder_writes_nothing(store: Store) -> None:
    old = must_take(store, ttl_s=60)
    expire(store, "customer:1")
    new = must_take(store, holder="other")
    assert new.fence == old.fence + 1
    with pytest.raises(LeaseLost, match="customer:1"):
        store.write(lambda conn: subjects.check(conn, old))
    store.write(lambda conn: subjects.release(conn, old))
    store.write(lambda conn: subjects.check(conn, new))


def test_I6_a_check_of_several_leases_fails_with_one_of_them(store: Store) -> None:
    good, lost = must_take(store, "a"), must_take(store, "b")
    store.write(lambda conn: subjects.check(conn, good, lost))
    expire(store, "b")
    must_take(store, "b", holder="other")
    with pytest.raises(LeaseLost):
        store.write(lambda conn: subjects.check(conn, lost, good))


def test_I6_what_a_unit_wrote_before_its_check_failed_is_not_kept(store: Store) -> None:
    mark(store, "sub_1")
    old = must_take(store)
    expire(store, "customer:1")
    must_take(store, holder="other")

    def unit(conn: Any) -> None:
        conn.execute(update(subject).values(summary="written without a lease"))
        subjects.check(conn, old)

    with pytest.raises(LeaseLost):
        store.write(unit)
    assert row_of(store).summary is None


def test_I6_renewing_moves_only_what_is_still_ours(store: Store) -> None:
    must_take(store, "a", ttl_s=1)
    must_take(store, "b", ttl_s=1)
    expire(store, "b")
    must_take(store, "b", holder="other")
    assert store.write(lambda conn: subjects.renew(conn, "one", ["a", "b", "c"], 60)) == {"a"}


def test_I6_finishing_after_a_takeover_writes_nothing_and_frees_nothing(store: Store) -> None:
    mark(store, "sub_1")
    (old,) = take_due(store)
    expire(store)
    new = store.write(lambda conn: subjects.lease_one(conn, a_ref(), "other", 60))
    assert new is not None
    finish(store, old)
    assert (row_of(store).state, row_of(store).summary) == ("due", None)
    store.write(lambda conn: subjects.check(conn, new.lease))
    finish(store, new)
    assert (row_of(store).state, row_of(store).summary) == ("idle", "done")


def test_I6_one_lost_lease_does_not_keep_others_from_finishing(store: Store) -> None:
    mark(store, "sub_1", "sub_2")
    both = take_due(store)
    expire(store)
    store.write(lambda conn: subjects.lease_one(conn, a_ref(), "other", 60))
    finish(store, *both)
    assert [row_of(store, id_).state for id_ in ("sub_1", "sub_2")] == ["due", "idle"]


def test_finishing_frees_the_further_leases_too(store: Store) -> None:
    mark(store, "sub_1")
    (one,) = take_due(store)
    customer = must_take(store)
    finish(store, one, also=(customer,))
    assert take(store, holder="other") is not None
    assert store.write(lambda conn: subjects.lease_one(conn, a_ref(), "other", 60)) is not None


# the book of leases


def test_I6_a_lease_s_end_is_counted_from_before_it_was_asked_for(store: Store) -> None:
    book = LeaseBook(store, ttl_s=1)
    held = must_take(store, holder=book.holder, ttl_s=1)
    book.keep([held], time.monotonic() - 1.5)
    with pytest.raises(LeaseLost, match="has ended"):
        book.check(held)


def test_I6_a_lease_that_was_never_taken_is_no_lease(store: Store) -> None:
    with pytest.raises(LeaseLost):
        LeaseBook(store, 60).check(Lease("customer:1", "one", 1))


def test_I6_the_book_renews_what_it_holds(store: Store) -> None:
    with LeaseBook(store, ttl_s=1) as book:
        held = book.take("customer:1")
        assert held is not None
        time.sleep(1.5)
        book.check(held)
        assert take(store, holder="other") is None


def test_I6_a_lease_that_was_taken_anew_is_not_forgotten_with_the_one_before(store: Store) -> None:
    with LeaseBook(store, ttl_s=60) as book:
        before = book.take("customer:1")
        assert before
        store.write(lambda conn: subjects.release(conn, before))
        now = book.take("customer:1")  # another look of this process, before the first one is forgotten
        assert now
        book.forget([before])
        book.check(now)
        with pytest.raises(LeaseLost):
            book.check(before)


def test_I6_the_book_notices_that_a_lease_was_taken_over(store: Store) -> None:
    with LeaseBook(store, ttl_s=1) as book:
        held = book.take("customer:1")
        assert held is not None
        expire(store, "customer:1")
        must_take(store, holder="other")
        time.sleep(0.6)
        with pytest.raises(LeaseLost):
            book.check(held)


def test_a_forgotten_lease_is_renewed_no_more(store: Store) -> None:
    with LeaseBook(store, ttl_s=1) as book:
        held = book.take("customer:1")
        assert held is not None
        book.forget([held])
        with pytest.raises(LeaseLost):
            book.check(held)


# due work


def test_only_what_is_due_now_is_leased(store: Store) -> None:
    mark(store, "sub_1")
    mark(store, "sub_2", delay_s=60)
    assert [one.ref for one in take_due(store)] == [a_ref("sub_1")]
    assert take_due(store, "other") == []


def test_live_work_goes_first_then_the_oldest(store: Store) -> None:
    mark(store, "sub_sweep", cause="sweep", priority=subjects.SWEEP, delay_s=-60)
    mark(store, "sub_new", delay_s=-1)
    mark(store, "sub_old", delay_s=-30)
    mark(store, "sub_replay", cause="replay", priority=subjects.REPLAY, delay_s=-90)
    assert [one.ref.id for one in take_due(store)] == ["sub_old", "sub_new", "sub_sweep", "sub_replay"]


def test_no_more_than_asked_for_is_leased(store: Store) -> None:
    mark(store, *(f"sub_{number}" for number in range(10)))
    assert len(take_due(store, limit=4)) == 4
    assert len(take_due(store, "other")) == 6


def test_I8_a_subject_whose_holder_died_is_a_suspect_and_left_out_of_batches(store: Store) -> None:
    mark(store, "sub_1", "sub_2")
    take_due(store)
    expire(store)
    assert take_due(store, "other") == []
    with store.read() as conn:
        assert subjects.suspects(conn, 9) == [a_ref("sub_1")]


def test_I8_a_solo_lease_counts_a_crash_that_its_release_forgets(store: Store) -> None:
    mark(store, "sub_1")
    take_due(store)
    expire(store)
    alone = store.write(lambda conn: subjects.lease_solo(conn, a_ref(), "solo", 60))
    assert alone is not None
    assert (alone.row["crashes"], row_of(store).crashes) == (0, 1)
    store.write(lambda conn: subjects.finish(conn, [Ended(alone, settled(alone, crashes=0))]))
    assert (row_of(store).crashes, row_of(store).state) == (0, "idle")


def test_a_subject_that_nobody_knows_has_no_lease(store: Store) -> None:
    assert store.write(lambda conn: subjects.lease_one(conn, a_ref("sub_9"), "one", 60)) is None


def test_next_due_counts_what_nobody_works_on(store: Store) -> None:
    with store.read() as conn:
        assert subjects.next_due(conn) is None
    mark(store, "sub_1", delay_s=30)
    with store.read() as conn:
        assert subjects.next_due(conn) == pytest.approx(30, abs=2)
    mark(store, "sub_2", delay_s=-5)
    take_due(store)
    with store.read() as conn:
        assert subjects.next_due(conn) == pytest.approx(30, abs=2)


# marks


def test_I3_what_is_marked_while_it_is_leased_stays_due(store: Store) -> None:
    mark(store, "sub_1")
    (leased,) = take_due(store)
    mark(store, "sub_1")
    finish(store, leased)
    row = row_of(store)
    assert (row.state, row.cause, row.reason, row.summary) == ("due", "event", "an event came in", "done")
    assert [one.ref for one in take_due(store, "other")] == [a_ref("sub_1")]


def test_I3_a_receipt_that_comes_during_a_look_keeps_its_subject_due(store: Store) -> None:
    store.record(a_receipt("evt_1"))
    (leased,) = take_due(store)
    store.record(a_receipt("evt_2"))
    finish(store, leased)
    assert row_of(store).state == "due"


def test_marks_coalesce_and_the_sooner_look_stays(store: Store) -> None:
    mark(store, "sub_1", delay_s=1)
    first = row_of(store).next_look
    mark(store, "sub_1", delay_s=10)
    row = row_of(store)
    assert (row.next_look, row.marks) == (first, 2)


def test_an_event_goes_before_a_retry_that_is_far_off(store: Store) -> None:
    mark(store, "sub_1", cause="retry", delay_s=900)
    mark(store, "sub_1")
    row = row_of(store)
    assert row.cause == "event"
    assert row.next_look < time.time() + 5


def test_a_sweep_does_not_push_an_event_back(store: Store) -> None:
    mark(store, "sub_1", delay_s=1)
    mark(store, "sub_1", cause="sweep", priority=subjects.SWEEP, delay_s=60)
    row = row_of(store)
    assert (row.cause, row.priority) == ("event", subjects.LIVE)


@pytest.mark.parametrize("state", ["idle", "parked", "held", "dead"])
def test_I3_an_event_brings_every_state_back(store: Store, state: str) -> None:
    mark(store, "sub_1")
    store.write(lambda conn: conn.execute(update(subject).values(state=state, next_look=None)))
    store.record(a_receipt("evt_9"))
    assert (row_of(store).state, row_of(store).cause) == ("due", "event")
    assert len(take_due(store)) == 1


def test_waking_gives_fresh_tries(store: Store) -> None:
    mark(store, "sub_1", "sub_2")
    store.write(lambda conn: conn.execute(update(subject).values(state="dead", tries=3, crashes=2, next_look=None)))
    which = subject.c.ref == str(a_ref("sub_1"))
    assert store.write(lambda conn: subjects.wake(conn, which, cause="asked", reason="asked")) == 1
    row = row_of(store)
    assert (row.state, row.tries, row.crashes, row.failing_since) == ("due", 0, 0, None)
    assert row_of(store, "sub_2").state == "dead"


def test_know_adds_an_idle_row_once_and_changes_none(store: Store) -> None:
    mark(store, "sub_2")
    for id_ in ("sub_1", "sub_1", "sub_2"):
        store.write(lambda conn, id_=id_: subjects.know(conn, a_ref(id_)))
    assert [row_of(store, id_).state for id_ in ("sub_1", "sub_2")] == ["idle", "due"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("stripe/subscription/sub_1", ["stripe/subscription/sub_1"]),
        ("sub_1", ["stripe/subscription/sub_1"]),
        ("sub%", []),
        ("sub_", []),
        ("' OR 1=1 --", []),
        ("!", []),
    ],
)
def test_S21_a_subject_is_found_by_its_name_or_last_part_and_by_no_pattern(
    store: Store, words: str, found: list[str]
) -> None:
    mark(store, "sub_1", "subx1")
    with store.read() as conn:
        assert subjects.find(conn, words) == found


# many at once


def test_I5_threads_that_contend_never_hold_one_subject_twice(store: Store) -> None:
    ids = [f"sub_{number}" for number in range(120)]
    mark(store, *ids)
    seen: list[str] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        while leased := take_due(store, name, limit=7):
            with lock:
                seen.extend(one.ref.id for one in leased)
            finish(store, *leased)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [f"holder-{number}" for number in range(6)]))
    assert sorted(seen) == sorted(ids)


def test_I3_on_postgres_a_batch_under_way_is_skipped_and_not_waited_for(postgres_url: str) -> None:
    store = Store(postgres_url, settle_s=0)
    upgrade(store)
    mark(store, "sub_1", "sub_2", "sub_3")
    with store.engine.connect() as slow, slow.begin():
        first = subjects.lease_due(slow, "slow", 60, 2)
        began = time.monotonic()
        second = take_due(store, "quick")
        assert time.monotonic() - began < 2
        assert [one.ref.id for one in first + second] == ["sub_1", "sub_2", "sub_3"]
    store.close()


CONTENDER = """
import sys, time
from hub.domain import Ref
from hub.store import Store, subjects
from tests.records import upgrade
from hub.errors import LeaseLost
store, name, until = Store(sys.argv[1]), sys.argv[2], time.monotonic() + 1.5
while time.monotonic() < until:
    lease = store.write(lambda conn: subjects.take(conn, "customer:1", name, 30))
    if lease:
        began = time.time()
        time.sleep(0.003)
        store.write(lambda conn: subjects.check(conn, lease))
        print(lease.fence, began, time.time())
        store.write(lambda conn: subjects.release(conn, lease))
    time.sleep(0.001)
"""


def contend(url: str, names: Sequence[str]) -> Iterator[tuple[int, float, float]]:
    """(fence, from, to) of each time that one of these processes held the lease."""
    command = [sys.executable, "-c", CONTENDER, url]
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, cwd=REPOSITORY, text=True) for name in names]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        for line in out.splitlines():
            fence, began, ended = line.split()
            yield int(fence), float(began), float(ended)


def test_I5_two_processes_never_hold_one_lease_at_the_same_time(store: Store, database_url: str) -> None:
    spans = sorted(contend(database_url, ["one", "two"]))
    assert len(spans) > 10
    assert [fence for fence, _, _ in spans] == list(range(1, len(spans) + 1))
    assert all(ended <= began for (_, _, ended), (_, began, _) in itertools.pairwise(spans))


def test_a_ref_is_read_back_as_it_was_written() -> None:
    odd = Ref(source="stripe", kind="checkout", id="a/b/c")
    assert Ref.parse(str(odd)) == odd
    with pytest.raises(ValueError, match="unpack"):
        Ref.parse("stripe/subscription")
