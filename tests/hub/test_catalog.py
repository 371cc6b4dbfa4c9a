"""Which offering a line means: rows first, most telling key first, then the vendor's own convention."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.catalog import Catalog, Match, build, version_of
from hub.conditions import LONGEST, ConditionError
from hub.domain import Customer
from hub.errors import ConfigurationError
from hub.settings import CatalogRow, Policy
from tests.factories import NOW, a_line, a_purchase


def a_row(sku: str | None = "PRO-100", **values: Any) -> CatalogRow:
    """A row; keys of vendors go into `keys`, `from` is said as `from_`."""
    values = {"from" if name == "from_" else name: value for name, value in values.items()}
    meaning = {} if {"bundle", "adds_to", "maintains"} & set(values) else {"sku": sku}
    return CatalogRow(**({"keys": {"stripe": "price_pro"}} | meaning | values))


def catalog(*rows: CatalogRow) -> Catalog:
    return build(rows, {"stripe", "fastspring"})


def test_a_row_says_offering_seats_and_overdraft() -> None:
    (found,) = catalog(a_row(seats_per_unit=10, overdraft=2)).match("stripe", a_line())
    assert found == Match(sku="PRO-100", seats_per_unit=10, overdraft=2, rule="catalog row 1")


def test_the_most_telling_key_wins() -> None:
    rows = a_row("BY-LOOKUP", keys={"stripe": "pro_annual"}), a_row("BY-PRICE", keys={"stripe": "price_pro"})
    (found,) = catalog(*rows).match("stripe", a_line(keys=("price_pro", "pro_annual")))
    assert (found.sku, found.rule) == ("BY-PRICE", "catalog row 2")


def test_a_row_may_name_several_vendors() -> None:
    both = catalog(a_row(keys={"stripe": "price_pro", "fastspring": "pro"}))
    assert both.match("fastspring", a_line(keys=("pro",))) == both.match("stripe", a_line())


def test_a_row_of_another_vendor_says_nothing() -> None:
    assert catalog(a_row()).match("fastspring", a_line()) == ()


def test_a_row_goes_before_the_vendor_s_convention() -> None:
    (found,) = catalog(a_row()).match("stripe", a_line(sku="TEAM-YEAR"))
    assert found.sku == "PRO-100"


def test_the_vendor_s_convention_goes_where_no_row_is() -> None:
    (found,) = catalog().match("stripe", a_line(sku="TEAM-YEAR"))
    assert found == Match(sku="TEAM-YEAR", rule="stripe: the line names the SKU itself")


@pytest.mark.parametrize("sku", [None, ""])
def test_what_nothing_names_is_unmapped(sku: str | None) -> None:
    assert catalog(a_row()).match("stripe", a_line(keys=("price_new",), sku=sku)) == ()


def test_the_skus_of_all_rows_are_told() -> None:
    assert catalog(a_row(), a_row("TEAM-YEAR", keys={"stripe": "price_team"})).skus() == {"PRO-100", "TEAM-YEAR"}


@pytest.mark.parametrize(
    ("rows", "where", "problem", "mend"),
    [
        ([a_row(keys={"strpe": "price_pro"})], "row 1", "no connection is of the kind 'strpe'", "fastspring, stripe"),
        (
            [a_row(), a_row("TEAM-YEAR")],
            "row 2",
            "stripe = 'price_pro' stands in two rows at one time: row 1 always goes first",
            "keep one",
        ),
    ],
)
def test_a_wrong_row_stops_and_says_which(rows: list[CatalogRow], where: str, problem: str, mend: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        catalog(*rows)
    assert caught.value.where == f"[[catalog]] {where}"
    assert caught.value.problem == problem
    assert mend in caught.value.mend


def test_the_version_changes_with_every_row_and_knob_and_with_nothing_else() -> None:
    rows, policy = [a_row(), a_row("TEAM-YEAR", keys={"stripe": "price_team"})], Policy()
    first, body = version_of(rows, policy)
    assert version_of(list(rows), Policy())[0] == first
    assert len(first) == 64
    assert body["policy"] == policy.model_dump()
    others = [
        version_of(rows[:1], policy)[0],
        version_of([a_row(seats_per_unit=2), rows[1]], policy)[0],
        version_of(rows, Policy(grace_days=8))[0],
        version_of(rows[::-1], policy)[0],
    ]
    assert len({first, *others}) == 5


def skus(found: tuple[Match, ...]) -> list[str]:
    return [match.sku for match in found]


# what a row may mean


def test_a_bundle_gives_a_match_for_each_of_its_offerings() -> None:
    found = catalog(a_row(bundle=["PRO-100", "ADDON"], seats_per_unit=5)).match("stripe", a_line())
    assert [(one.sku, one.seats_for(3), one.rule) for one in found] == [
        ("PRO-100", 15, "catalog row 1"),
        ("ADDON", 15, "catalog row 1"),
    ]


def test_a_fixed_number_of_seats_stands_whatever_the_quantity() -> None:
    (found,) = catalog(a_row(seats=25)).match("stripe", a_line())
    assert [found.seats_for(quantity) for quantity in (1, 7, None)] == [25, 25, 25]


def test_a_seat_pack_adds_to_its_offering() -> None:
    (found,) = catalog(a_row(adds_to="PRO-100", seats_per_unit=10)).match("stripe", a_line())
    assert (found.sku, found.adds, found.seats_for(2)) == ("PRO-100", True, 20)


def test_a_maintenance_line_says_what_it_maintains() -> None:
    (found,) = catalog(a_row(maintains="PERP-1")).match("stripe", a_line())
    assert (found.sku, found.maintains, found.adds) == ("PERP-1", "PERP-1", False)


# which row is in force


YEARS = [a_row("OLD", until=date(2026, 3, 1)), a_row("NEW", from_=date(2026, 3, 1))]
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(("start", "sku"), [(BEFORE, "OLD"), (MARCH, "NEW"), (NOW, "NEW")])
def test_the_row_in_force_is_told_by_the_line_s_period_start(start: datetime, sku: str) -> None:
    assert skus(catalog(*YEARS).match("stripe", a_line(period_start=start), a_purchase(bought_at=NOW), NOW)) == [sku]


def test_a_line_without_a_period_goes_by_the_purchase_s_date_and_else_by_now() -> None:
    undated = a_line(period_start=None)
    assert skus(catalog(*YEARS).match("stripe", undated, a_purchase(bought_at=BEFORE), NOW)) == ["OLD"]
    assert skus(catalog(*YEARS).match("stripe", undated, a_purchase(), NOW)) == ["NEW"]


def test_a_dated_row_of_which_no_date_can_be_told_is_never_passed_over_in_silence() -> None:
    with pytest.raises(ConditionError, match="catalog row 1 has dates, and of this line no date is known"):
        catalog(*YEARS).match("stripe", a_line(period_start=None), a_purchase())


def test_outside_of_all_dates_the_vendor_s_convention_goes() -> None:
    (found,) = catalog(a_row(from_=date(2030, 1, 1))).match("stripe", a_line(sku="TEAM-YEAR"))
    assert found.sku == "TEAM-YEAR"


days = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(one=st.tuples(days, days), other=st.tuples(days, days))
def test_two_rows_of_one_key_never_overlap_in_time(one: tuple[date, date], other: tuple[date, date]) -> None:
    (a, b), (c, d) = sorted(one), sorted(other)
    if a == b or c == d:
        return
    rows = [a_row("A", from_=a, until=b), a_row("B", from_=c, until=d)]
    if max(a, c) < min(b, d):
        with pytest.raises(ConfigurationError, match="at one time"):
            catalog(*rows)
    else:
        catalog(*rows)


# conditions


def holds(text: str, line: Any = None, **values: Any) -> bool:
    purchase = a_purchase(**values)
    return bool(catalog(a_row(when=text)).match("stripe", line or a_line(quantity=12), purchase))


@pytest.mark.parametrize(
    "text",
    [
        "purchase.source == 'stripe'",
        "purchase.kind == 'subscription'",
        "purchase.status == 'current'",
        "purchase.customer.customer_ref == ''",
        "line.quantity >= 10 && line.quantity < 100",
        "'pro_annual' in line.keys",
        "line.keys[0] == 'price_pro'",
        "size(line.keys) == 2",
        "!('channel' in purchase.metadata)",
        "!has(purchase.metadata.channel)",
        "line.keys[1].startsWith('pro_') && line.keys[1].matches('^pro_[a-z]+$')",
    ],
)
def test_a_condition_sees_purchase_and_line(text: str) -> None:
    assert holds(text)
    assert not holds(f"!({text})")


def test_a_condition_sees_what_the_seller_wrote_on_purchase_and_line() -> None:
    text = "purchase.metadata['channel'] == 'reseller' && line.metadata.tier == 'gold'"
    line = a_line(metadata={"tier": "gold"})
    assert holds(text, line, metadata={"channel": "reseller"})
    assert not holds(text, line, metadata={"channel": "direct"})


def test_a_condition_sees_whose_purchase_it_is() -> None:
    buyer = Customer(id="cus_1", customer_ref="ACME-1")
    assert holds("purchase.customer.customer_ref.startsWith('ACME')", customer=buyer)


def test_of_several_rows_for_one_key_the_first_whose_condition_is_true_counts() -> None:
    rows = catalog(
        a_row("BIG", when="line.quantity >= 100"), a_row("MIDDLE", when="line.quantity >= 10"), a_row("SMALL")
    )
    found = [skus(rows.match("stripe", a_line(quantity=count), a_purchase())) for count in (500, 100, 10, 9)]
    assert found == [["BIG"], ["BIG"], ["MIDDLE"], ["SMALL"]]


def test_a_more_telling_key_goes_before_an_earlier_row() -> None:
    rows = catalog(a_row("ANY", keys={"stripe": "prod_1"}), a_row("PRICE", when="line.quantity > 1"))
    line = a_line(keys=("price_pro", "prod_1"))
    assert skus(rows.match("stripe", line, a_purchase())) == ["ANY"]
    assert skus(rows.match("stripe", a_line(keys=line.keys, quantity=2), a_purchase())) == ["PRICE"]


@pytest.mark.parametrize(
    ("text", "line", "because"),
    [
        ("purchase.metadata['channel'] == 'x'", a_line(), 'Key not found in map : "channel"'),
        ("line.quantity > 1", a_line(quantity=None), 'No value with name "line.quantity"'),
        ("line.quantity / 0 == 1", a_line(), "divide by zero"),
        ("line.keys[9] == 'x'", a_line(), "index"),
        ("line.metadata.x == ''", a_line(metadata={"x": "y" * 5000}), "5000 characters, at most 4000"),
    ],
)
def test_a_condition_that_can_not_be_told_is_an_error_and_no_match(text: str, line: Any, because: str) -> None:
    with pytest.raises(ConditionError) as caught:
        catalog(a_row(when=text), a_row("OTHER")).match("stripe", line, a_purchase())
    assert str(caught.value).startswith("the condition of catalog row 1 can't be told: ")
    assert because in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem", "mend"),
    [
        ("line.quantity", "when gives int, true or false was expected", "when ="),
        (
            "line.quantity == '10'",
            "column 15: found no matching overload for '_==_' applied to '(int, string)'",
            "when",
        ),
        ("line.quantty > 1", "column 5: undeclared reference to 'line.quantty'", "known: purchase.source, "),
        ("line.quantity >", "column 16: Syntax error", "when ="),
        ("line.keys.exists(k, k == 'x')", "column 10: exists() is not to be had", "'x' in line.keys"),
        ("x" * (LONGEST + 1), "when has 1001 characters, at most 1000 are allowed", "several rows"),
    ],
)
def test_a_wrong_condition_stops_the_start_and_says_what_was_expected(text: str, problem: str, mend: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build([a_row(), a_row(keys={"stripe": "price_2"}, when=text)], {"stripe"}, "hub.toml")
    assert caught.value.where == "hub.toml [[catalog]] row 2"
    assert problem in caught.value.problem
    assert mend in caught.value.mend


def test_two_rows_with_one_condition_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="with the same `when`: row 1 always goes first"):
        catalog(a_row(when="line.quantity > 1"), a_row("B", when="line.quantity > 1"))


BOMBS = {
    "a look inside an object": "purchase.source.__class__.__mro__ == 1",
    "an import": "__import__('os').system('id') == 0",
    "a template": "{{ 7 * 7 }}",
    "a template that calls": "{{ ''.__class__ }}",
    "a long range": "range(10**9)",
    "a long range, spelled right": "size(range(1000000000)) > 0",
    "a string, repeated": "size('x' * 1000000) > 0",
    "a string of 1 MB": f"'{'x' * 1_000_000}' == ''",
    "a string that doubles": "['x'].map(a, [a+a].map(b, [b+b].map(c, c+c))).size() > 0",
    "loops in loops": "[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, true)))",
    "deep brackets": f"{'(' * 400}true{')' * 400}",
    "deep lists": f"{'[' * 400}{']' * 400} == []",
    "a lambda": "(lambda: true)()",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_S23_what_is_no_plain_condition_is_refused_within_50_ms(text: str) -> None:
    catalog(a_row(when="true"))  # the library is loaded once
    began = time.perf_counter()
    with pytest.raises(ConfigurationError):
        catalog(a_row(when=text))
    assert time.perf_counter() - began < 0.05


def test_S23_a_pattern_that_backtracks_elsewhere_is_answered_within_50_ms() -> None:
    rows, line = catalog(a_row(when="line.metadata.x.matches('^(a+)+$')")), a_line(metadata={"x": "a" * 3999 + "!"})
    began = time.perf_counter()
    assert rows.match("stripe", line, a_purchase()) == ()
    assert time.perf_counter() - began < 0.05


@given(st.text(min_size=1, max_size=200))
def test_S23_any_text_compiles_or_is_a_mistake_that_is_told(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        catalog(a_row(when=text))


def test_the_version_covers_every_key_of_a_row() -> None:
    variants: list[dict[str, Any]] = [
        {}, {"when": "true"}, {"from_": date(2026, 1, 1)}, {"until": date(2026, 1, 1)}, {"seats": 1},
        {"bundle": ["PRO-100", "B"]}, {"adds_to": "PRO-100"}, {"maintains": "PRO-100"}, {"overdraft": 0},
    ]  # fmt: skip
    assert len({version_of([a_row(**values)], Policy())[0] for values in variants}) == len(variants)
