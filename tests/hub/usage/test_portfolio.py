"""The record as lists and pages see it: what is due, what is news, who it is; on both databases."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert

from hub.collecting.collector import Collector
from hub.collecting.portfolio import RecordPortfolio, keep_board
from hub.collecting.summarizing import summarize
from hub.settings import Usage
from hub.store import Store, boards, records, seats, signals, worths
from hub.store import portfolio as stored
from hub.store.schema import customer_link, grant, signal, summary, verdict
from hub.usage.portfolio import Asked, Page, Standing, page_of, whole_of
from hub.usage.seatdays import SeatDay
from hub.usage.signal import DOWN, Signal
from tests.factories import a_ref
from tests.hub.usage.test_importing import a_collector, know
from tests.hub.usage.test_summarizing import END, JUDGES, due, use

TABLES = (signal, summary, verdict)
TODAY = END + timedelta(days=1)
FAR = datetime(2030, 1, 1, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "signal": "steady",
    "since": "2026-10-01",
    "confidence": "high",
    "as_of": END.isoformat(),
    "judgement": {},
    "method": "test-1",
    "sentence": "As ever.",
    "seats": 5,
    "used": 4.0,
    "used_before": 4.0,
    "recommended_seats": 5,
    "weeks": [[None, 5.0], [4.0, 5.0]],
}


def judged(store: Store, id_: str = "ent_1", *, expires: datetime | None = FAR, **values: Any) -> None:
    """An entitlement with a signal; `values` of either."""
    said = {name: values.pop(name) for name in list(values) if name in VALUES}
    know(store, id_, expires_at=expires, **values)
    store.write(lambda conn: signals.put_signal(conn, id_, VALUES | said, seen=0))


def paid(store: Store, until: date, id_: str = "ent_1", line: str = "si_1", days: int | None = None) -> None:
    moment = datetime(until.year, until.month, until.day, 12, tzinfo=UTC)
    renews = {} if days is None else {line: days}
    store.write(lambda conn: records.save_grants(conn, a_ref(id_), [(line, id_, "PRO-100", moment)], renews))


def told(store: Store, id_: str, day: date, signal: str, before: str | None) -> None:
    values = {"day": day.isoformat(), "signal": signal, "before": before, "sentence": ""}
    store.write(lambda conn: signals.put_verdict(conn, id_, values))


def standings(store: Store, days: int | None = None) -> Mapping[str, Standing]:
    with store.read() as conn:
        return {one.entitlement_id: one for one in stored.standings(conn, TODAY, days)}


@pytest.mark.parametrize(
    ("left", "signal", "on_it"),
    [
        (180, "steady", True),
        (181, "steady", False),
        (-30, "steady", True),
        (-31, "steady", False),
        (400, "dormant", True),
        (0, "insufficient_data", True),
    ],
)
def test_the_board_has_what_renews_soon_or_moves(store: Store, left: int, signal: str, on_it: bool) -> None:
    judged(store, signal=signal)
    paid(store, TODAY + timedelta(days=left))
    assert set(standings(store, 180)) == ({"ent_1"} if on_it else set())
    assert standings(store)["ent_1"].days_left == left


def test_it_renews_when_what_is_paid_ends_and_not_when_grace_does(store: Store) -> None:
    judged(store, expires=datetime(2026, 12, 8, tzinfo=UTC))
    assert standings(store)["ent_1"].renewal == date(2026, 12, 8)
    paid(store, date(2026, 12, 1))
    paid(store, date(2026, 11, 20), line="si_2")
    assert standings(store)["ent_1"].renewal == date(2026, 12, 1)
    assert standings(store, 180)["ent_1"].days_left == 30


def test_a_short_term_that_renews_itself_is_not_on_the_board_and_has_no_renewal(store: Store) -> None:
    judged(store, signal="dormant")
    paid(store, date(2026, 11, 20), days=89)
    assert standings(store) == {}
    with store.read() as conn:
        assert [one.renewal for one in stored.judged(conn, TODAY)] == [None]
        assert [one.renewal for one in stored.of_account(conn, "cust_1", TODAY)] == [None]
    paid(store, date(2026, 11, 20), line="si_2", days=90)
    assert standings(store)["ent_1"].renewal == date(2026, 11, 20)


def test_a_perpetual_license_never_renews_and_what_is_long_over_is_left_out(store: Store) -> None:
    judged(store, perpetual=True, expires=datetime(2026, 11, 20, tzinfo=UTC))
    judged(store, "ent_2", signal="dormant", expires=datetime(2026, 9, 30, tzinfo=UTC))
    judged(store, "ent_3", signal="dormant", expires=datetime(2026, 10, 2, tzinfo=UTC))
    assert {id_: one.renewal for id_, one in standings(store).items()} == {"ent_1": None, "ent_3": date(2026, 10, 2)}
    assert set(standings(store, 180)) == {"ent_3"}


@pytest.mark.parametrize(("days_ago", "was"), [(6, "steady"), (7, "dormant")])
def test_a_signal_is_news_for_a_week(store: Store, days_ago: int, was: str) -> None:
    judged(store, signal="dormant")
    told(store, "ent_1", TODAY - timedelta(days=90), "steady", None)
    told(store, "ent_1", TODAY - timedelta(days=days_ago), "dormant", "steady")
    assert standings(store)["ent_1"].was == was


def test_of_two_changes_in_a_week_the_one_before_both_counts(store: Store) -> None:
    judged(store, signal="dormant")
    told(store, "ent_1", TODAY - timedelta(days=5), "at_risk", "steady")
    told(store, "ent_1", TODAY - timedelta(days=1), "dormant", "at_risk")
    assert standings(store)["ent_1"].was == "steady"


def test_a_first_judgement_had_none_before(store: Store) -> None:
    judged(store)
    told(store, "ent_1", TODAY, "steady", None)
    assert standings(store)["ent_1"].was is None


def test_a_customer_is_called_as_its_purchase_says_else_as_the_licensing_vendor_does(store: Store) -> None:
    judged(store, customer_id="cust_1")
    judged(store, "ent_2", customer_id="cust_2")
    judged(store, "ent_3", customer_id="")
    assert [one.account for one in standings(store).values()] == ["cust_1", "cust_2", "ent_3"]
    link = {"alias": "stripe:cus_2", "account_ref": "ACME", "zentitle_id": "cust_2"}
    store.write(lambda conn: conn.execute(insert(customer_link).values(**link)))
    assert standings(store)["ent_2"].account == "ACME"


def test_a_list_reads_no_history(store: Store) -> None:
    judged(store)
    asked: list[str] = []

    def note(*args: Any) -> None:
        asked.append(args[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        standings(store, 180)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert asked
    assert not [one for one in asked if "seat_day" in one or "weeks" in one]


def test_an_account_has_its_history_and_what_it_was_told(store: Store) -> None:
    know(store, expires_at=FAR)
    collector: Collector = a_collector(store)
    use(collector, END - timedelta(days=100), END, 4)
    due(collector)
    use(collector, END + timedelta(days=1), END + timedelta(days=3), 2)
    portfolio = RecordPortfolio(store, Usage())
    account = portfolio.account("cust_1")
    assert account is not None
    (one,) = account.entitled
    assert (one.history.as_of, one.standing.as_of, len(one.history.peak)) == (END + timedelta(days=3), END, 104)
    assert (one.judgement.signal, one.judgement.sentence, one.standing.used) == ("steady", "As ever.", 4.0)
    assert [(verdict.day, verdict.signal) for verdict in one.verdicts] == [(END, "steady")]
    assert portfolio.weeks(["ent_1"])["ent_1"][-1] == (4.0, 5.0)
    assert (portfolio.as_of(), portfolio.account("cust_2"), portfolio.account("ent_1")) == (END, None, None)


def test_what_waits_to_be_told_is_said_beside_what_is_told(store: Store) -> None:
    know(store, expires_at=FAR)
    collector = a_collector(store)
    use(collector, END - timedelta(days=100), END, 4)
    due(collector)
    use(collector, END + timedelta(days=1), END + timedelta(days=7), 0)
    due(collector)
    one = standings(store)["ent_1"]
    assert one.signal == "steady"
    assert one.sentence == "No seat was used in the last 7 days. Told as steady until this has lasted."


def computed(store: Store) -> list[dict[str, Any]]:
    """Every row that was computed, but when."""
    with store.read() as conn:
        rows = [row._asdict() for table in TABLES for row in conn.execute(table.select())]
    return [{name: value for name, value in row.items() if name != "changed_at"} for row in rows]


def test_S32_what_is_computed_again_from_the_days_on_record_is_the_same(store: Store) -> None:
    know(store, expires_at=FAR)
    collector = a_collector(store)
    days = [END - timedelta(days=n) for n in range(90)]
    rows = [SeatDay(entitlement="ent_1", day=day, known=True, closed=True, peak=day.day % 5, seats=5) for day in days]
    store.write(lambda conn: seats.put_days(conn, rows))
    summarize(collector, ["ent_1"], JUDGES)
    before = computed(store)
    assert len(before) > 3
    store.write(lambda conn: [conn.execute(table.delete()) for table in TABLES])
    summarize(collector, ["ent_1"], JUDGES)
    assert computed(store) == before


def test_the_terms_of_lines_that_renew_themselves_are_kept_with_them(store: Store) -> None:
    paid(store, date(2026, 12, 1), days=31)
    paid(store, date(2027, 1, 1))
    with store.read() as conn:
        assert conn.execute(grant.select()).one().renews_days == 31


# the board's page: the same rows, order and counts as by the rule, out of SQL


def portfolio_of(store: Store) -> RecordPortfolio:
    return RecordPortfolio(store, Usage())


def a_market(store: Store, count: int = 40) -> None:
    """Entitlements of every kind, some alike in what they are sorted by, some with names that databases sort oddly."""
    rng = random.Random(7)
    names = ("Ärmel", "acme", "Zeta", "Éclair", "beta 2", "Beta_1")
    for n in range(count):
        id_ = f"ent_{n}"
        told_as = rng.choice(list(Signal)).value
        judged(store, id_, signal=told_as, customer_id=f"cust_{n % 17}", used=rng.choice([None, 2.0, 4.0]))
        paid(store, TODAY + timedelta(days=rng.choice([-31, -30, -1, 0, 30, 31, 90, 91, 180, 181])), id_)
        if n % 3 == 0:
            told(
                store,
                id_,
                TODAY - timedelta(days=rng.choice([2, 6, 7, 8])),
                told_as,
                rng.choice(["steady", told_as, None]),
            )
    links = [{"alias": f"a{n}", "account_ref": names[n % len(names)], "zentitle_id": f"cust_{n}"} for n in range(17)]
    store.write(lambda conn: conn.execute(insert(customer_link), links))
    amounts = {
        f"ent_{n}": worths.Known(amount_minor=n % 5 * 100, currency=("USD", "JPY")[n % 2], owner=f"O{n % 3}")
        for n in range(0, count, 2)
    }
    store.write(lambda conn: worths.put(conn, "crm", list(amounts), amounts))


def test_a_page_has_what_the_rule_says_in_its_order_and_counts_it(store: Store) -> None:
    a_market(store)
    with store.read() as conn:
        every = stored.standings(conn, TODAY)
    portfolio = portfolio_of(store)
    asks = [
        {"order": order, "down": down}
        for order in ("renews", "customer", "signal", "seats", "value")
        for down in (False, True)
    ]
    asks += [{"signals": DOWN}, {"changed": True}, {"owner": "O1"}, {"words": "BETA_"}, {"words": "%"}]
    for ask in asks:
        asked = Asked(within=180, **ask)
        found, ruled = page_at(portfolio, asked), page_of(every, asked)
        assert [one.entitlement_id for one in found.rows] == [one.entitlement_id for one in ruled.rows], ask
        assert set(found.fitting) == set(ruled.fitting), ask
        assert (set(found.due), list(found.owners)) == (set(ruled.due), list(ruled.owners)), ask
        assert {one.entitlement_id: one for one in found.rows} == {one.entitlement_id: one for one in ruled.rows}


def test_the_whole_has_the_sums_that_the_rule_says_until_a_row_changes(store: Store) -> None:
    a_market(store)
    portfolio = portfolio_of(store)
    for most in (3, 100):
        keep_board(store)
        with store.read() as conn:
            ruled, found = whole_of(stored.standings(conn, TODAY), most), boards.whole(conn, TODAY, most, {})
        assert set(found.sums) == set(ruled.sums)
        assert (found.accounts, found.as_of, found.moved) == (ruled.accounts, ruled.as_of, ruled.moved)
        assert {one.was for one in found.sums} > {None, "steady"}
    before = portfolio.whole(3)
    assert portfolio.whole(3) is before
    store.write(lambda conn: signals.put_signal(conn, "ent_1", VALUES | {"seats": 100_000}, seen=1))
    assert sum(one.seats for one in portfolio.whole(3).sums) > 100_000


def page_at(portfolio: RecordPortfolio, asked: Asked) -> Page:
    keep_board(portfolio.store)
    with portfolio.store.read() as conn:
        return boards.page(conn, TODAY, asked, {})


def test_pages_follow_each_other_without_gap_or_repetition(store: Store) -> None:
    a_market(store, 25)
    portfolio = portfolio_of(store)
    for order, down in (("renews", False), ("renews", True), ("signal", True), ("value", False)):
        asked = Asked(within=180, order=order, down=down, most=4)
        assert paged(portfolio, asked) == [
            one.entitlement_id for one in page_at(portfolio, replace(asked, most=None)).rows
        ]


def paged(portfolio: RecordPortfolio, asked: Asked) -> list[str]:
    """The ids of all pages, one after the other."""
    found = page_at(portfolio, asked)
    ids = [one.entitlement_id for one in found.rows]
    return ids + (paged(portfolio, replace(asked, after=ids[-1])) if found.more else [])


def test_a_page_tells_what_was_written_a_moment_ago(store: Store) -> None:
    judged(store)
    portfolio, asked = portfolio_of(store), Asked(within=100_000)
    paid(store, TODAY + timedelta(days=10))
    keep_board(store)
    assert [one.owner for one in portfolio.page(asked).rows] == [""]
    known = worths.Known(amount_minor=100, currency="EUR", owner="Iris")
    store.write(lambda conn: worths.put(conn, "crm", ["ent_1"], {"ent_1": known}))
    store.write(lambda conn: signals.put_signal(conn, "ent_1", VALUES | {"signal": "dormant"}, seen=1))
    (one,) = portfolio.page(asked).rows
    assert (one.owner, one.signal) == ("Iris", "dormant")
    assert [(count.signal, count.currency, count.amount_minor) for count in portfolio.page(asked).due] == [
        ("dormant", "EUR", 100)
    ]
    store.write(lambda conn: seats.forget(conn, ["ent_1"]))
    assert portfolio.page(asked).rows == []


def test_once_a_day_names_that_changed_in_silence_are_told(store: Store) -> None:
    judged(store)
    portfolio, asked = portfolio_of(store), Asked(within=100_000, words="ACME")
    keep_board(store)
    link = {"alias": "zen:cust_1", "account_ref": "acme", "zentitle_id": "cust_1"}
    store.write(lambda conn: conn.execute(insert(customer_link).values(**link)))
    assert portfolio.page(asked).rows == []
    store.write(lambda conn: records.drop_cursor(conn, boards.WALKED))
    keep_board(store)
    assert [one.account for one in portfolio.page(asked).rows] == ["acme"]
