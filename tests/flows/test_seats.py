"""Seat use from three feeds becomes one history: what each tells, what is not known, and what comes late or twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub import polling
from hub.collecting import closing
from hub.collecting.listing import Listing
from hub.store import records, seats
from hub.store.schema import seat_event, watched
from tests.seating import FAST, Seating
from tests.world import World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite")
    yield made
    made.close()


@pytest.fixture
def seating(world: World) -> Seating:
    return Seating(world)


def about(hours: float) -> Any:
    """Real time passes too while a test runs."""
    return pytest.approx(hours, abs=0.02)


# -- webhooks


def test_seats_that_webhooks_tell_of_are_counted_at_once(seating: Seating) -> None:
    seating.poll()
    seating.take("ada", "grace")
    seating.hours(0.5)
    seating.give_back("ada")
    seating.speak()
    day = seating.day()
    assert (day.known, day.peak, day.by_sessions, day.by_vendor, day.users, day.seat_hours) == (
        True,
        2,
        2,
        2,
        2,
        about(1.0),
    )
    assert (day.seats, day.cap, day.closed) == (10, 10, False)


def test_webhooks_count_the_same_in_any_order_and_twice(seating: Seating) -> None:
    seating.take("ada")
    seating.hours(0.2)
    seating.take("grace")
    seating.hours(0.2)
    seating.give_back("ada", "grace")
    posts = [one for one in seating.posts() if ".seat." in one["eventCode"]]
    for post in reversed(posts):
        seating.receive(post, post)
        seating.hear()
    day = seating.day()
    assert (day.peak, day.users, day.seat_hours) == (2, 2, about(0.6))
    assert seating.events() == 4


def test_a_late_webhook_changes_the_days_that_it_touches_and_no_other(seating: Seating) -> None:
    seating.take("ada")
    (late,) = [one for one in seating.posts() if one["eventCode"] == "entitlement.seat.activated"]
    seating.told.add(late["eventId"])
    seating.hours(24)
    seating.take("grace")
    seating.give_back("grace")
    seating.speak()
    before = revisions(seating)
    seating.receive(late)
    seating.hear()
    assert seating.peaks() == {0: 1, 1: 1}
    assert revisions(seating)[1] == before[1]


def revisions(seating: Seating) -> dict[int, int]:
    from hub.store.schema import seat_day

    with seating.store.read() as conn:
        rows = conn.execute(select(seat_day.c.day, seat_day.c.revision)).all()
    return {(seating.first - seating.first.fromisoformat(day)).days * -1: revision for day, revision in rows}


def test_no_seat_or_person_is_stored_by_name(seating: Seating) -> None:
    seating.take("ada.lovelace@example.com")
    seating.speak()
    seating.poll()
    seating.read_logs()
    with seating.store.read() as conn:
        rows = conn.execute(select(seat_event)).all()
    assert len({row.seat for row in rows}) == 1
    assert len(rows) == 2  # by webhook, and by the vendor's log
    assert not [row for row in rows if "ada" in repr(row)]


# -- the list of all entitlements


def test_the_list_tells_seats_in_use_where_no_webhook_came(seating: Seating) -> None:
    seating.poll()
    seating.take("ada", "grace", "joan")
    seating.poll()
    day = seating.day()
    assert (day.peak, day.by_sessions, day.by_vendor) == (3, 0, 3)
    assert seating.feed().log_wanted == "moved"
    seating.read_logs()
    day = seating.day()
    assert (day.peak, day.by_sessions, day.users) == (3, 3, 3)
    assert seating.feed().log_wanted is None


def test_a_day_with_proof_of_life_and_no_seat_in_use_is_known_and_zero(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.hours(24)
    seating.poll()
    seating.hours(24)
    seating.close()
    assert seating.peaks() == {0: 0, 1: 0}


def test_a_day_that_nobody_watched_is_unknown_and_never_zero(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.hours(24)
    seating.close()
    seating.hours(72)
    seating.close()
    assert {day: seating.peaks()[day] for day in (1, 2)} == {1: None, 2: None}
    days = [seating.day(1), seating.day(2)]
    assert [(one.known, one.closed, one.denials, one.users, one.seats) for one in days] == [
        (False, True, None, None, 10)
    ] * 2


def test_after_a_gap_every_log_is_read_and_its_days_become_known(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.hours(30)
    seating.take("ada", "grace")
    seating.hours(42)
    seating.close()
    assert [seating.peaks().get(day) for day in (1, 2)] == [None, None]
    seating.poll()
    assert seating.feed().log_wanted == "gap"
    seating.read_logs()
    assert {day: seating.peaks()[day] for day in (0, 1, 2, 3)} == {0: 0, 1: 2, 2: 0, 3: 0}


@pytest.mark.parametrize("kept_days", [5, 40])
def test_after_a_long_gap_the_log_makes_days_known_from_its_oldest_row_on_alone(
    seating: Seating, kept_days: int
) -> None:
    """Nobody says how long the vendor keeps its log: what it does not tell of is unknown and never zero."""
    seating.world.zentitle_admin("switches", log_days=kept_days)
    seating.poll()
    seating.read_logs()
    seating.hours(24 * 20)
    seating.take("ada")
    seating.hours(24 * 37)
    seating.poll()
    assert seating.feed().log_wanted == "gap"
    seating.read_logs()
    seating.close()
    peaks = seating.peaks()
    begins = 20 if kept_days == 40 else 27
    assert {day for day, peak in peaks.items() if peak is not None} == {0, *range(begins, 58)}
    assert peaks.get(20) == (1 if kept_days == 40 else None)


def test_polls_that_come_on_time_are_no_gap(seating: Seating) -> None:
    for _ in range(8):
        seating.poll()
        seating.read_logs()
        seating.hours(0.5)
    assert seating.feed().log_wanted is None


def test_webhooks_received_while_no_clock_ran_show_that_somebody_watched(seating: Seating) -> None:
    seating.speak()
    seating.take("ada")
    seating.speak()
    with seating.store.read() as conn:
        assert conn.execute(select(watched.c.connection).distinct()).scalars().all() == ["zentitle"]


def test_a_list_leaves_as_long_as_it_took_to_the_vendor_s_log(world: World) -> None:
    shop = world.hub.shop
    polling.poll(shop, "zentitle", FAST)
    with shop.store.read() as conn:
        pace = polling.pace(conn, "zentitle")
    assert pace is not None
    assert (pace.rows, pace.interval_s(900)) == (0, 900)
    slow = polling.Pace(ended_at=0, rows=10_000_000, took_s=33_000)
    assert slow.interval_s(900) == 66_000


def test_a_list_that_took_long_is_due_later(world: World) -> None:
    shop = world.hub.shop
    shop.store.write(lambda conn: records.set_cursor(conn, "poll:zentitle", "10000000 33000.0"))
    assert not polling.is_due(shop, "zentitle")
    shop.store.write(lambda conn: records.set_cursor(conn, "poll:zentitle", "10"))  # as an older hub left it
    assert not polling.is_due(shop, "zentitle")


# -- the vendor's log


def test_a_refresh_that_only_the_log_tells_of_keeps_the_seat(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.take("ada")
    seating.speak()
    for _ in range(4):
        seating.hours(0.75)
        seating.take("ada")
    seating.hours(18)
    seating.close()
    assert seating.day().seat_hours == about(1.0)
    seating.poll()  # the lease is over: the vendor's number moved without a webhook
    seating.read_logs()
    assert seating.day().seat_hours == about(4.0)


def test_denials_come_from_the_log_and_those_that_a_grant_followed_are_none(seating: Seating) -> None:
    seating.poll()
    assert len(seating.take(*(f"s{n}" for n in range(12)))) == 12
    seating.hours(0.1)
    seating.give_back("s0")
    seating.take("s10")
    seating.poll()
    seating.read_logs()
    day = seating.day()
    assert (day.peak, day.denials) == (10, 1)


def test_a_new_entitlement_s_log_is_read_from_its_oldest_row_on(seating: Seating) -> None:
    seating.hours(48)
    seating.take("ada")
    seating.hours(24 * 200)
    seating.poll()
    assert seating.feed().log_wanted == "new"
    seating.read_logs()
    peaks = seating.peaks()
    assert (min(peaks), max(peaks), sum(peak or 0 for peak in peaks.values())) == (2, 202, 1)
    assert None not in peaks.values()
    seating.hours(1)
    assert closing.drop_old(seating.collector) == 1
    assert seating.events() == 0
    assert seating.peaks() == peaks


def test_an_empty_log_tells_nothing_of_the_time_before_it_was_read(seating: Seating) -> None:
    seating.world.zentitle_admin("switches", log_days=1)
    seating.take("ada")
    seating.hours(72)
    seating.poll()
    seating.read_logs()
    assert seating.peaks() == {3: 0}


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_log_of_many_pages_that_breaks_off_goes_on_where_it_was(seating: Seating, newest_first: bool) -> None:
    seating.world.zentitle_admin("switches", log_newest_first=newest_first)
    for _ in range(60):
        seating.take(*(f"s{n}" for n in range(10)))
        seating.hours(0.02)
    seating.poll()
    plan = [{"fault": "error", "path": f"/api/v1/entitlements/{seating.id}/activations-log"}] * 20
    assert seating.read_logs(0) == 0
    pages(seating, 1)
    assert seating.feed().log_page == 2
    seating.world.zentitle_admin("faults", plan=plan)
    assert seating.read_logs() == 0
    feed = seating.feed()
    assert (feed.log_page, feed.log_tries) == (2, 1)
    assert feed.problem
    seating.world.zentitle_admin("faults", plan=[])
    seating.hours(1)
    assert seating.read_logs() == 1
    assert seating.events() == 600
    assert seating.day().peak == 10


def pages(seating: Seating, count: int) -> None:
    """Reads so many pages of the log that is wanted most."""
    from hub.collecting.logs import _page

    for _ in range(count):
        with seating.store.read() as conn:
            feed = seats.next_log(conn, seating.now().timestamp())
        assert feed is not None
        _page(seating.collector, feed)


def test_a_log_that_the_vendor_refuses_is_told_and_asked_for_again_a_day_later(seating: Seating) -> None:
    seating.poll()
    seating.store.write(lambda conn: seats.want_log(conn, ["ent_gone"], "moved", 0))
    seating.read_logs()
    with seating.store.read() as conn:
        gone = seats.feeds_of(conn, ["ent_gone"])["ent_gone"]
    assert gone.problem
    assert gone.log_due > seating.now().timestamp() + 80_000
    assert seating.feed().log_wanted is None


# -- nightly


def test_a_difference_to_the_vendor_s_number_is_kept_and_the_larger_one_counts(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.take("ada")
    seating.hours(17.5)
    seating.take("grace", "joan", "mary")
    seating.poll()
    seating.store.write(lambda conn: conn.execute(seat_event.delete()))
    seating.hours(1.6)
    seating.take("ida")
    seating.poll()
    seating.close()
    feed = seating.feed()
    assert (feed.difference, feed.log_wanted) == (1, "moved")
    assert seating.peaks()[0] == 3


def test_closing_goes_on_where_it_broke_off_and_closes_each_day_once(seating: Seating) -> None:
    seating.poll()
    seating.take("ada")
    seating.speak()
    seating.hours(19.5)
    assert seating.close() == 1
    assert seating.close() == 0
    seating.hours(24)
    assert seating.close() == 1
    assert [one.closed for one in seating.days().values()] == [True, True]


def test_a_night_in_the_account_s_own_time_zone_is_over_there(tmp_path: Path) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite")
    config = world.config.read_text()
    world.config.write_text(config + '\n[usage]\ntimezone = "Pacific/Auckland"\n')
    from hub import settings, wiring

    world.hub = wiring.build(settings.load(world.config, {}))
    try:
        seating = Seating(world)
        seating.poll()
        seating.hours(9)  # 15:00 UTC: past midnight in Auckland
        assert seating.close() == 1
    finally:
        world.close()


def test_seats_cut_below_use_show_as_overdraft_of_the_days_before(seating: Seating) -> None:
    seating.poll()
    assert seating.world.settle()
    seating.take("a", "b", "c", "d", "e")
    seating.speak()
    assert seating.world.settle()
    seating.world.zentitle_admin("edit", entitlement=seating.id, seatCount=3, force=True)
    seating.poll()
    assert seating.world.settle()
    seating.hours(19.5)
    seating.close()
    seating.hours(24)
    seating.close()
    day = seating.day()
    assert (day.peak, day.seats, day.cap) == (5, 3, 3)


def test_a_day_keeps_the_seats_that_it_ended_with(seating: Seating) -> None:
    seating.poll()
    assert seating.world.settle()
    seating.take("ada")
    seating.speak()
    seating.hours(24)
    seating.world.zentitle_admin("edit", entitlement=seating.id, seatCount=20)
    seating.poll()
    assert seating.world.settle()
    seating.speak()
    seating.close()
    assert (seating.day().seats, seating.day().closed) == (10, True)


def test_node_locked_seats_count_for_28_days_and_not_because_they_are_assigned(world: World) -> None:
    seating = Seating(world, mode="nodeLock")
    seating.poll()
    assert world.settle()
    seating.take("ada", "grace")
    seating.poll()
    seating.read_logs()
    seating.hours(24 * 27)
    seating.poll()
    seating.close()
    assert seating.feed().log_wanted is not None
    seating.read_logs()
    seating.hours(24 * 3)
    seating.poll()
    seating.close()
    seating.read_logs()
    peaks = seating.peaks()
    assert (peaks[0], peaks[27], peaks[28], peaks[30]) == (2, 2, 0, 0)


# -- what comes at the wrong time


def test_a_webhook_of_a_final_day_is_only_counted(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    seating.take("ada")
    seating.hours(24 * 95)
    seating.speak()
    assert seating.feed().too_late == 1
    assert seating.events() == 0


def test_a_webhook_dated_ahead_counts_once_its_time_is_reached(seating: Seating) -> None:
    seating.poll()
    seating.take("ada")
    posts = seating.posts()
    for post in posts:
        if post["eventCode"] == "entitlement.seat.activated":
            at = seating.now() + timedelta(hours=10)
            post["payload"] |= {"activatedAt": at.isoformat(), "leaseExpiry": (at + timedelta(hours=1)).isoformat()}
    seating.receive(*posts)
    seating.hear()
    day = seating.day()
    assert (day.by_sessions, day.by_vendor, day.peak) == (0, 1, 1)
    seating.hours(20)
    seating.close()
    assert seating.day().by_sessions == 1


def test_an_entitlement_that_nobody_knows_yet_is_counted_all_the_same(seating: Seating) -> None:
    seating.take("ada")
    seating.speak()
    day = seating.day()
    assert (day.peak, day.seats, day.cap) == (1, None, None)


def test_what_a_deleted_customer_used_is_gone_and_stays_gone(seating: Seating) -> None:
    seating.poll()
    seating.take("ada")
    seating.speak()
    (customer,) = [one["id"] for one in seating.world.get_zentitle_customers()]
    assert seating.store.write(lambda conn: closing.forget(conn, customer)) == (1, 1)
    assert (seating.days(), seating.events()) == ({}, 0)
    seating.take("grace")
    seating.poll()
    seating.speak()
    seating.read_logs()
    seating.hours(48)
    seating.close()
    assert (seating.days(), seating.events()) == ({}, 0)


def test_what_is_wanted_more_stays_wanted(seating: Seating) -> None:
    seating.poll()
    seating.read_logs()
    for why, rank in (("differs", 1), ("moved", 0), ("gap", 5)):
        seating.store.write(lambda conn, args=(why, rank): seats.want_log(conn, [seating.id], *args))
    with seating.store.read() as conn:
        assert seats.logs_wanted(conn) == {"moved": 1}


def test_a_listing_of_nothing_writes_nothing(seating: Seating) -> None:
    Listing(collector=seating.collector).rows([], [])
    assert seating.days() == {}
