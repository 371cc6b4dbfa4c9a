"""The writing thread: batches share a commit, a bad unit or row fails alone, and a full disk is a 503 that passes."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import IntegrityError

from hub.errors import HubError, Unavailable
from hub.store import Store, records
from hub.store.schema import cursor, receipt, subject
from hub.store.writer import Job
from tests.factories import a_receipt
from tests.records import upgrade


class Odd(Exception):
    """What no code of ours raises."""


def put(name: str, value: str = "") -> Callable[[Connection], str]:
    """A unit that writes a row, and gives its name."""

    def unit(conn: Connection) -> str:
        records.set_cursor(conn, name, value)
        return name

    return unit


def names(store: Store) -> set[str]:
    with store.read() as conn:
        return set(conn.execute(select(cursor.c.name)).scalars())


def count(store: Store, table: Any) -> int:
    with store.read() as conn:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture
def sqlite(sqlite_url: str) -> Any:
    made = Store(sqlite_url, settle_s=0)
    upgrade(made)
    yield made
    made.close()


def together(store: Store, *works: Callable[[], object]) -> list[object]:
    """Does these while the writer is kept busy, so that they share its next batch; values and errors."""
    hold, held = threading.Event(), threading.Event()

    def busy(_conn: Connection) -> None:
        held.set()
        hold.wait(5)

    def outcome(work: Callable[[], object]) -> object:
        try:
            return work()
        except Exception as error:
            return error

    first = store._the_writer().submit(Job(busy))
    held.wait(5)
    with ThreadPoolExecutor(len(works)) as pool:
        rest = [pool.submit(outcome, work) for work in works]
        time.sleep(0.1)
        hold.set()
        first.wait(5)
        return [one.result() for one in rest]


# units


def test_a_unit_s_value_comes_after_its_commit(store: Store) -> None:
    assert store.write(put("a")) == "a"
    assert names(store) == {"a"}


def test_a_unit_s_own_error_is_its_caller_s_and_nothing_of_it_is_kept(store: Store) -> None:
    def unit(conn: Connection) -> None:
        records.set_cursor(conn, "half", "")
        raise Odd("of a unit")

    with pytest.raises(Odd, match="of a unit"):
        store.write(unit)
    assert names(store) == set()


def test_a_failing_unit_fails_alone(store: Store) -> None:
    def bad(conn: Connection) -> None:
        records.set_cursor(conn, "bad", "")
        raise Odd

    def broken(conn: Connection) -> None:
        conn.execute(text("INSERT INTO cursor (name) VALUES ('broken')"))

    found = together(
        store, *[lambda work=work: store.write(work) for work in (put("a"), bad, put("b"), broken, put("c"))]
    )
    assert found[0::2] == ["a", "b", "c"]
    assert isinstance(found[1], Odd)
    assert isinstance(found[3], IntegrityError)
    assert names(store) == {"a", "b", "c"}


def test_a_unit_may_fail_with_our_own_errors(store: Store) -> None:
    def unit(_conn: Connection) -> None:
        raise HubError("ours")

    with pytest.raises(HubError, match="ours"):
        store.write(unit)


def test_many_threads_lose_no_write(store: Store) -> None:
    def add(number: int) -> str:
        return store.write(put(f"n{number}"))

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(add, range(300)))) == 300
    assert len(names(store)) == 300


def test_a_read_keeps_nothing(store: Store) -> None:
    with suppress(Unavailable), store.read() as conn:  # PostgreSQL refuses it
        records.set_cursor(conn, "read", "")
    assert names(store) == set()


def test_a_unit_that_takes_too_long_is_told_unavailable(sqlite: Store) -> None:
    def slow(_conn: Connection) -> None:
        time.sleep(0.3)

    with pytest.raises(Unavailable, match="in time"):
        sqlite.write(slow, timeout_s=0.05)


def test_a_closed_store_opens_again(store: Store) -> None:
    store.write(put("a"))
    store.close()
    store.write(put("b"))
    assert names(store) == {"a", "b"}


# receipts


def test_I2_of_two_equal_receipts_in_one_batch_one_is_new(store: Store) -> None:
    found = together(store, *[lambda: store.record(a_receipt())] * 6)
    assert sorted(map(str, found)) == ["False"] * 5 + ["True"]
    with store.read() as conn:
        assert conn.execute(select(receipt.c.duplicates)).scalars().all() == [5]


def test_a_receipt_and_its_mark_come_in_one_commit(store: Store) -> None:
    assert store.record(a_receipt()) is True
    assert (count(store, receipt), count(store, subject)) == (1, 1)


@pytest.mark.parametrize("outcome", ["ignored", "quarantined", "dead", "conflict"])
def test_what_was_not_accepted_marks_nothing_due(store: Store, outcome: str) -> None:
    store.record(a_receipt(outcome=outcome))
    assert (count(store, receipt), count(store, subject)) == (1, 0)


def test_a_receipt_seen_before_marks_nothing_due(store: Store) -> None:
    store.record(a_receipt())
    store.write(lambda conn: conn.execute(subject.delete()))
    assert store.record(a_receipt()) is False
    assert count(store, subject) == 0


def test_a_bad_receipt_in_a_batch_fails_alone(store: Store) -> None:
    bad = a_receipt("evt_bad", type=None)
    works = [lambda row=row: store.record(row) for row in (a_receipt("evt_1"), bad, a_receipt("evt_2"))]
    found = together(store, *works)
    assert found[0] is True
    assert isinstance(found[1], Exception)
    assert not isinstance(found[1], Unavailable)  # a sender must not be told to send it again for ever
    assert found[2] is True
    assert count(store, receipt) == 2


def test_a_receipt_is_kept_byte_for_byte(store: Store) -> None:
    body = bytes(range(256)) + b"\0\0"
    store.record(a_receipt(body=body))
    with store.read() as conn:
        assert bytes(conn.execute(select(receipt.c.body)).scalar_one()) == body


def test_two_connections_may_have_one_event_id(store: Store) -> None:
    assert store.record(a_receipt())
    assert store.record(a_receipt(connection="stripe-eu"))


def test_I2_many_threads_that_post_the_same_hundred_events_make_a_hundred_rows(store: Store) -> None:
    rows = [a_receipt(f"evt_{number}", subject=f"stripe/subscription/sub_{number % 7}") for number in range(100)] * 4
    with ThreadPoolExecutor(16) as pool:
        new = list(pool.map(store.record, rows))
    assert (sum(new), count(store, receipt), count(store, subject)) == (100, 100, 7)


# processes


def test_a_child_writes_on_its_own_after_a_fork(store: Store) -> None:
    store.write(put("parent"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.write(put("child"))
            store.record(a_receipt("evt_child"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    store.write(put("parent again"))
    assert names(store) == {"parent", "child", "parent again"}
    assert count(store, receipt) == 1


def test_processes_take_turns_on_sqlite_and_none_is_turned_away(sqlite: Store) -> None:
    sqlite.close()
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for number in range(40):
                    sqlite.write(put(f"{child}-{number}"))
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert len(names(sqlite)) == 120


# a record that can't be written now


SPARE_PAGES = 4


def full(store: Store) -> None:
    """Lets the database grow no more: SQLite answers as on a full disk (SQLITE_FULL)."""
    with store.engine.connect() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()

    def at_most(dbapi: sqlite3.Connection, *_: object) -> None:
        dbapi.execute(f"PRAGMA max_page_count = {pages + SPARE_PAGES}").close()

    store.close()
    event.listen(store.engine, "connect", at_most)


def test_I1_a_full_disk_is_unavailable_and_service_resumes(sqlite: Store) -> None:
    big = b"x" * 200_000
    full(sqlite)
    with pytest.raises(Unavailable) as caught:
        sqlite.record(a_receipt("evt_big", body=big))
    assert caught.value.retry_after > 0
    with pytest.raises(Unavailable):
        sqlite.write(lambda conn: conn.execute(receipt.insert().values(**_row(big))))
    assert sqlite.record(a_receipt("evt_small")) is True
    sqlite.close()  # space returns: a new connection has no such bound
    assert sqlite.record(a_receipt("evt_big", body=big)) is True
    assert count(sqlite, receipt) == 2


def _row(body: bytes) -> dict[str, Any]:
    row = a_receipt("evt_unit", body=body)
    return {name: getattr(row, name) for name in row.__dataclass_fields__ if name != "kind"}


def test_a_database_that_another_process_locks_is_unavailable_in_the_time_given(sqlite: Store, sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(Unavailable):
        sqlite.record(a_receipt(), timeout_s=0.3)
    assert time.monotonic() - began < 2
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(sqlite.record(a_receipt("evt_2")), bool)


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/hub", "postgres://nobody@127.0.0.1:1/hub"])
def test_a_database_that_is_not_there_is_unavailable(url: str) -> None:
    store = Store(url)
    with pytest.raises(Unavailable):
        store.write(put("a"))
    with pytest.raises(Unavailable):
        store.record(a_receipt())
    with pytest.raises(Unavailable), store.read() as conn:
        conn.execute(select(1))
    store.close()


@pytest.mark.parametrize("by", ["SQLAlchemy", "the driver"])
def test_F20_a_lock_that_is_not_granted_is_unavailable_however_it_was_asked_for(postgres_url: str, by: str) -> None:
    """As while a migration adds a column; the driver has errors of its own for it."""
    holder, asker = Store(postgres_url), Store(postgres_url)

    def ask(conn: Connection) -> None:
        for statement in ("SET lock_timeout = 100", "SELECT count(*) FROM cursor"):
            if by == "the driver":
                conn.connection.cursor().execute(statement)
            else:
                conn.exec_driver_sql(statement)

    def alter_meanwhile(conn: Connection) -> None:
        conn.exec_driver_sql("LOCK TABLE cursor IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable), asker.read() as reading:
            ask(reading)
        with pytest.raises(Unavailable):
            asker.write(ask)

    holder.write(alter_meanwhile)
    assert isinstance(names(asker), set), "and afterward it is read as before"
    holder.close()
    asker.close()


@pytest.mark.parametrize("by", ["SQLAlchemy", "the driver"])
def test_F20_of_two_that_wait_for_each_other_the_one_that_is_given_up_writes_again(postgres_url: str, by: str) -> None:
    store, both_have_one = Store(postgres_url), threading.Barrier(2)
    store.write(put("a"))
    store.write(put("b"))

    def touch(first: str, then: str) -> None:
        tries = iter((both_have_one.wait, *[lambda: None] * 5))

        def unit(conn: Connection) -> None:
            take(conn, first)
            next(tries)()
            take(conn, then)

        store.write(unit)

    def take(conn: Connection, name: str) -> None:
        statement = f"UPDATE cursor SET value = value || '+' WHERE name = '{name}'"
        run = conn.connection.cursor().execute if by == "the driver" else conn.exec_driver_sql
        run(statement)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(touch, "ab", "ba"))
    with store.read() as conn:
        assert set(conn.execute(select(cursor.c.value)).scalars()) == {"++"}
    store.close()


def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = Store(f"sqlite:///{tmp_path}/file/hub.sqlite")
    with pytest.raises(Unavailable):
        store.write(put("a"))


def test_I14_times_of_a_mark_are_the_database_s_own(store: Store) -> None:
    store.record(a_receipt(received_at=1.0))
    with store.read() as conn:
        at = conn.execute(select(subject.c.next_look)).scalar_one()
    assert at == pytest.approx(time.time(), abs=5)
