"""The renewals board and the portfolio page, before anybody renders them; the export."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hub import money
from hub.usage.history import Signal
from hub.usage.portfolio import Money, page_of, whole_of
from hub.web import board, csvs
from sandbox.customers import AS_OF, shelf

STANDINGS = shelf().standings()
HALDEN = next(one for one in STANDINGS if one.account == "Halden Robotics")


def renewing(days: int | None, signal: Signal = Signal.STEADY, **values: Any) -> Any:
    renewal = None if days is None else AS_OF + timedelta(days=days)
    return replace(HALDEN, renewal=renewal, signal=signal, was=signal, **values)


def made(*rows: Any, **asked: str) -> board.Board:
    query = board.query(*(asked.get(name, "") for name in ("show", "owner", "words", "sort", "after")))
    return board.board(page_of(rows or STANDINGS, board.asked_of(query)), query)


def names(found: board.Board) -> list[str]:
    return [one.account for group in found.groups for one in group.rows]


@pytest.mark.parametrize(
    ("days", "signal", "head"),
    [
        (-31, Signal.STEADY, None), (-1, Signal.STEADY, "Past their date"), (0, Signal.STEADY, "In 30 days"),
        (30, Signal.STEADY, "In 30 days"), (31, Signal.STEADY, "31 to 90 days"), (90, Signal.STEADY, "31 to 90 days"),
        (91, Signal.STEADY, "91 to 180 days"), (180, Signal.STEADY, "91 to 180 days"), (181, Signal.STEADY, None),
        (181, Signal.AT_RISK, "Later, but moving now"), (None, Signal.EXPANSION, "Later, but moving now"),
        (None, Signal.INSUFFICIENT_DATA, None),
    ],
)  # fmt: skip
def test_a_row_stands_in_its_window_and_what_moves_is_shown_early(
    days: int | None, signal: Signal, head: str | None
) -> None:
    assert [group.head for group in made(renewing(days, signal)).groups] == ([head] if head else [])


def test_the_headline_counts_and_adds_what_renews() -> None:
    assert board.headline(made().due) == "9 renewals in 180 days, $295,700: three lose seats, two need more"
    assert board.headline([]) == "Nothing renews in 180 days"
    one = board.headline(made(renewing(5, Signal.AT_RISK, value=None)).due)
    assert one == "1 renewal in 180 days: one loses seats, no need more"


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ({}, "Palisander Health"), ({"sort": "customer"}, "Brisa Labs"), ({"sort": "-customer"}, "Tessera Design"),
        ({"sort": "signal"}, "Palisander Health"), ({"sort": "-value"}, "Halden Robotics"), ({"sort": "value"}, "Sedge & Co"),
        ({"sort": "-seats"}, "Brisa Labs"), ({"show": "needing"}, "Brisa Labs"), ({"owner": "Tom Abara"}, "Palisander Health"),
        ({"words": "VIEWER"}, "Brisa Labs"), ({"sort": "'; drop", "show": "nothing"}, "Palisander Health"),
    ],
)  # fmt: skip
def test_the_address_says_what_is_shown_and_in_what_order(asked: dict[str, str], first: str) -> None:
    assert names(made(**asked))[0] == first


def test_a_chip_counts_what_it_would_show() -> None:
    found = made(owner="Mara Lindqvist")
    for key, count in found.counts.items():
        assert len(names(made(owner="Mara Lindqvist", show=key))) == count
    assert found.counts["changed"] == 1


def test_pages_follow_each_other_and_the_export_has_all() -> None:
    ids = [f"ent_{n}" for n in range(2 * board.SHOWN + 20)]
    many = [renewing(n % 180, account=f"Customer {n}", entitlement_id=id_) for n, id_ in enumerate(ids)]
    first = made(*many)
    second = made(*many, after=first.more)
    third = made(*many, after=second.more)
    assert (first.rows, len(names(first)), third.more) == (len(many), board.SHOWN, "")
    assert sorted(names(first) + names(second) + names(third)) == sorted(one.account for one in many)
    assert sum(group.count for group in first.groups) <= len(many)
    assert len(page_of(many, board.asked_of(board.Query(), None)).rows) == len(many)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"was": None, "signal": Signal.NEW_GROWTH}, "new"), ({"was": None, "signal": Signal.STEADY}, "first judgement"),
        ({"was": Signal.STEADY, "signal": Signal.AT_RISK}, "was steady"), ({"used": None}, "no data"),
        ({"used": 62.0, "used_before": 64.0}, "64 → 62"), ({"used": 62.0, "used_before": 62.4}, "level"),
        ({"used": 0.0, "used_before": 0.0}, "unused"),
    ],
)  # fmt: skip
def test_what_changed_since_last_week_is_said_in_words(values: dict[str, Any], said: str) -> None:
    assert board.week(replace(HALDEN, **{"was": HALDEN.signal} | values)) == said


def test_the_portfolio_adds_seats_at_risk_and_seats_to_propose() -> None:
    found = board.overview(whole_of(STANDINGS, 1))
    assert (found.entitlements, found.accounts) == (10, 9)
    assert sum(one.now for one in found.tallies) == 10
    assert found.at_risk == (100 - 62) + (90 - 60) + 25
    assert found.to_propose == (150 - 100) + (75 - 50) + (25 - 20)
    assert (found.movers, [one.account for one in found.moved]) == (2, ["Sedge & Co"])
    assert board.overview(whole_of([], 1)).as_of is None


# -- money


@pytest.mark.parametrize(
    ("minor", "currency", "said"),
    [
        (4_800_000, "USD", "$48,000"),
        (4800, "JPY", "¥4,800"),
        (1_234_500, "CHF", "CHF 12,345"),
        (1_000_000, "KWD", "KWD 1,000"),
    ],
)
def test_an_amount_is_told_in_its_own_currency(minor: int, currency: str, said: str) -> None:
    assert money.money(Money(amount_minor=minor, currency=currency)) == said


def test_currencies_are_not_added_to_each_other() -> None:
    sums = money.total([Money(amount_minor=100_00, currency="USD"), None, Money(amount_minor=300_00, currency="EUR")])
    assert sums == "€300 + $100"


# -- the export


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", " =", "\n="])
def test_S22_no_text_of_an_export_is_a_formula_to_a_spreadsheet(sign: str) -> None:
    attack = f'{sign}HYPERLINK("http://evil.example","x")'
    row = board.csv_row(replace(HALDEN, account=attack, owner=attack, sentence=attack, offering=attack))
    read = list(csv.reader(io.StringIO(csvs.table(board.CSV_NAMES, [row]), newline="")))
    cells = dict(zip(read[0], read[1], strict=True))
    for name in ("customer", "owner", "evidence", "offering"):
        assert cells[name].startswith("'")
        assert cells[name].replace("\r\n", "\n")[1:].endswith('evil.example","x")')


def test_S22_numbers_of_an_export_stay_numbers() -> None:
    (_, row) = csv.reader(io.StringIO(csvs.table(("a", "b", "c", "d"), [(-3, 2.5, None, AS_OF)])))
    assert row == ["-3", "2.5", "", AS_OF.isoformat()]
