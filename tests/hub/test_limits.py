"""Rates, holds and tokens that all processes share through the record, on both databases."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from hub import limits
from hub.errors import Hold, LeaseLost
from hub.limits import GLANCE_S, RecordLimiter, RecordTokens
from hub.store import Store
from hub.store.schema import db_now, rate, token
from tests.records import upgrade

SECRET = [b"a secret of the tests, long enough for all"]


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    yield
    limits.stopping.clear()


def hold_left(store: Store, connection: str = "stripe") -> float:
    with store.read() as conn:
        return float(
            conn.execute(select(rate.c.hold_until - db_now()).where(rate.c.connection == connection)).scalar_one()
        )


# rate


def test_I11_all_holders_of_one_connection_share_its_rate(store: Store) -> None:
    """Four processes' limiters at 50 a second: a full bucket (two seconds' worth) and what time adds, no more."""
    handles = [RecordLimiter(store, "stripe", 50) for _ in range(4)]
    began, sent = time.monotonic(), 0
    end = began + 1.5
    lock = threading.Lock()

    def send(limiter: RecordLimiter) -> None:
        nonlocal sent
        while time.monotonic() < end:
            limiter.acquire()
            with lock:
                sent += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, handles * 2))
    took = time.monotonic() - began
    assert 50 <= sent <= 50 * (took + 2) + len(handles)


def test_I11_two_connections_do_not_share_a_rate(store: Store) -> None:
    busy, other = RecordLimiter(store, "stripe", 1), RecordLimiter(store, "zentitle", 1)
    busy.acquire()
    busy.acquire()
    began = time.monotonic()
    other.acquire()
    assert time.monotonic() - began < 0.9


def test_an_empty_bucket_is_waited_for(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 4)
    began = time.monotonic()
    for _ in range(10):  # 8 stand in the bucket
        limiter.acquire()
    assert time.monotonic() - began >= 0.25


# holds


def test_I11_a_retry_after_holds_every_process(store: Store) -> None:
    one, other = RecordLimiter(store, "stripe", 100), RecordLimiter(store, "stripe", 100)
    other.acquire()
    one.hold(30)
    time.sleep(GLANCE_S)  # as long as the other may trust what it saw last
    for limiter in (one, other):
        with pytest.raises(Hold) as caught:
            limiter.acquire()
        assert caught.value.retry_after == pytest.approx(30, abs=2)


def test_I11_the_process_that_was_asked_to_wait_sends_nothing_while_that_is_written(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    upgrade(store)
    limiter = RecordLimiter(store, "stripe", 100)
    limiter.acquire()
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(limiter.hold, 30)
        time.sleep(GLANCE_S / 5)  # less than what was read of the record before is trusted for
        with pytest.raises(Hold):
            limiter.acquire()
        assert not written.done(), "the record was busy all the while"
        other.execute("ROLLBACK")
    other.close()
    with pytest.raises(Hold):
        RecordLimiter(store, "stripe", 100).acquire()
    store.close()


def test_I11_a_hold_that_comes_while_a_token_is_fetched_is_obeyed(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    upgrade(store)
    limiter = RecordLimiter(store, "stripe", 100)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(limiter.acquire)
        time.sleep(2 * GLANCE_S)
        other.execute("INSERT INTO rate (connection, tokens, at, hold_until) VALUES ('stripe', 10, 0, 99999999999)")
        other.execute("COMMIT")
        with pytest.raises(Hold):
            asked.result()
    other.close()
    store.close()


def test_I11_a_short_hold_is_waited_for(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 100)
    limiter.hold(0.3)
    began = time.monotonic()
    limiter.acquire()
    assert time.monotonic() - began >= 0.25


def test_I11_a_shorter_hold_does_not_end_a_longer_one(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 100)
    limiter.hold(60)
    limiter.hold(1)
    assert hold_left(store) > 50
    limiter.hold(120)
    assert hold_left(store) > 110


def test_a_hold_is_of_its_connection_alone(store: Store) -> None:
    RecordLimiter(store, "stripe", 100).hold(60)
    RecordLimiter(store, "zentitle", 100).acquire()


def test_I10_a_process_that_stops_waits_for_no_token(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 1)
    limiter.acquire()
    limiter.acquire()
    limits.stopping.set()
    began = time.monotonic()
    with pytest.raises(Hold, match="stopping"):
        list(map(lambda _: limiter.acquire(), range(5)))  # noqa: C417
    assert time.monotonic() - began < 0.5


# breaker


def until_open(limiter: RecordLimiter) -> int:
    """How many failures in a row it takes."""
    for number in range(1, 100):
        limiter.answered(False)
        try:
            limiter.acquire()
        except Hold:
            return number
    raise AssertionError("it never opened")


def let_it_end(store: Store) -> None:
    """The time that the breaker is open is over."""
    store.write(lambda conn: conn.execute(update(rate).values(hold_until=db_now() - 1)))


def test_F09_ten_failures_open_the_breaker_for_every_process(store: Store) -> None:
    one, other = RecordLimiter(store, "stripe", 1000), RecordLimiter(store, "stripe", 1000)
    assert until_open(one) == 10
    for limiter in (one, other):
        with pytest.raises(Hold, match="keeps failing") as caught:
            limiter.acquire()
        assert caught.value.retry_after == pytest.approx(30, abs=2)
    RecordLimiter(store, "zentitle", 1000).acquire()


def test_F09_fewer_than_half_failing_open_nothing(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 1000)
    for number in range(100):
        limiter.answered(number % 5 != 0)
    limiter.acquire()


def test_F09_one_request_tries_it_and_a_good_answer_closes_the_breaker(store: Store) -> None:
    one, other = RecordLimiter(store, "stripe", 1000), RecordLimiter(store, "stripe", 1000)
    until_open(one)
    let_it_end(store)
    other.acquire()
    with pytest.raises(Hold, match="one request tries"):
        one.acquire()
    other.answered(True)
    one.acquire()
    assert until_open(one) == 10, "the counting has started anew"


def test_F09_a_try_that_fails_opens_it_for_twice_as_long_up_to_ten_times(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 1000, breaker_s=10)
    until_open(limiter)
    waits = [hold_left(store)]
    for _ in range(5):
        let_it_end(store)
        limiter.acquire()
        limiter.answered(False)
        waits.append(hold_left(store))
    assert waits == pytest.approx([10, 20, 40, 80, 100, 100], abs=2)


def test_F09_who_died_trying_is_followed_by_another(store: Store) -> None:
    limiter = RecordLimiter(store, "stripe", 1000)
    until_open(limiter)
    let_it_end(store)
    RecordLimiter(store, "stripe", 1000).acquire()
    store.write(lambda conn: conn.execute(update(rate).values(probe_until=db_now() - 1)))
    limiter.acquire()


def test_I6_a_request_whose_turn_comes_when_the_lease_is_over_is_not_sent(store: Store) -> None:
    def lost() -> None:
        raise LeaseLost("over")

    limiter = RecordLimiter(store, "stripe", 100)
    with limits.asking(lost), pytest.raises(LeaseLost):
        limiter.acquire()
    limiter.acquire()


# tokens


def test_a_token_is_there_for_every_process(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    assert RecordTokens(store, "zentitle", SECRET).get() == "canary-token"


def test_S26_a_token_does_not_stand_readable_in_the_record(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    with store.read() as conn:
        assert "canary" not in conn.execute(select(token.c.secret)).scalar_one()


def test_a_token_that_another_secret_encrypted_is_none(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    assert RecordTokens(store, "zentitle", [b"another"]).get() is None


def test_I12_a_token_is_of_its_connection_alone(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    assert RecordTokens(store, "stripe", SECRET).get() is None


@pytest.mark.parametrize("lifetime_s", [0, -5])
def test_a_token_without_a_life_is_none(store: Store, lifetime_s: float) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", lifetime_s)
    assert RecordTokens(store, "zentitle", SECRET).get() is None


def test_a_token_is_good_for_its_life_less_a_margin(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    with store.read() as conn:
        left = conn.execute(select(token.c.expires - db_now())).scalar_one()
    assert left == pytest.approx(240, abs=2)


def test_a_token_that_ran_out_is_none(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    store.write(lambda conn: conn.execute(update(token).values(expires=db_now() - 1)))
    assert RecordTokens(store, "zentitle", SECRET).get() is None


def test_a_dropped_token_is_gone_for_all(store: Store) -> None:
    tokens = RecordTokens(store, "zentitle", SECRET)
    tokens.put("canary-token", 300)
    tokens.drop()
    assert tokens.get() is None
    assert RecordTokens(store, "zentitle", SECRET).get() is None


def test_a_token_that_another_process_dropped_is_gone_here_too(store: Store) -> None:
    mine, theirs = RecordTokens(store, "zentitle", SECRET), RecordTokens(store, "zentitle", SECRET)
    mine.put("canary-token", 300)
    theirs.drop()
    assert mine.get() is None


def test_S26_a_token_outlives_the_rotation_of_the_hub_s_secret(store: Store) -> None:
    RecordTokens(store, "zentitle", SECRET).put("canary-token", 300)
    rotated = RecordTokens(store, "zentitle", [b"the new secret", *SECRET])
    assert rotated.get() == "canary-token"
    rotated.put("next-token", 300)
    assert RecordTokens(store, "zentitle", SECRET).get() is None, "what the new secret sealed, the old one can't open"
    assert RecordTokens(store, "zentitle", [b"the new secret"]).get() == "next-token"


def test_a_new_token_takes_the_old_one_s_place(store: Store) -> None:
    tokens = RecordTokens(store, "zentitle", SECRET)
    tokens.put("first", 300)
    tokens.put("second", 300)
    assert RecordTokens(store, "zentitle", SECRET).get() == "second"
