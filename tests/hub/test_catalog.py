"""Which offering a line means: rows first, most telling key first, then the vendor's own convention."""

from __future__ import annotations

import pytest

from hub.catalog import Catalog, Match, build, version_of
from hub.errors import ConfigurationError
from hub.settings import CatalogRow, Policy
from tests.factories import a_line


def a_row(sku: str = "PRO-100", **values: object) -> CatalogRow:
    """A row; keys of vendors go into `keys`."""
    keys = values.pop("keys", {"stripe": "price_pro"})
    return CatalogRow(keys=keys, sku=sku, **values)  # type: ignore[arg-type]


def catalog(*rows: CatalogRow) -> Catalog:
    return build(rows, {"stripe", "fastspring"})


def test_a_row_says_offering_seats_and_overdraft() -> None:
    found = catalog(a_row(seats_per_unit=10, overdraft=2)).match("stripe", a_line())
    assert found == Match(sku="PRO-100", seats_per_unit=10, overdraft=2, rule="catalog row 1")


def test_the_most_telling_key_wins() -> None:
    rows = a_row("BY-LOOKUP", keys={"stripe": "pro_annual"}), a_row("BY-PRICE", keys={"stripe": "price_pro"})
    found = catalog(*rows).match("stripe", a_line(keys=("price_pro", "pro_annual")))
    assert found is not None
    assert (found.sku, found.rule) == ("BY-PRICE", "catalog row 2")


def test_a_row_may_name_several_vendors() -> None:
    both = catalog(a_row(keys={"stripe": "price_pro", "fastspring": "pro"}))
    assert both.match("fastspring", a_line(keys=("pro",))) == both.match("stripe", a_line())


def test_a_row_of_another_vendor_says_nothing() -> None:
    assert catalog(a_row()).match("fastspring", a_line()) is None


def test_a_row_goes_before_the_vendor_s_convention() -> None:
    found = catalog(a_row()).match("stripe", a_line(sku="TEAM-YEAR"))
    assert found is not None
    assert found.sku == "PRO-100"


def test_the_vendor_s_convention_goes_where_no_row_is() -> None:
    found = catalog().match("stripe", a_line(sku="TEAM-YEAR"))
    assert found == Match(sku="TEAM-YEAR", rule="stripe: the line names the SKU itself")


@pytest.mark.parametrize("sku", [None, ""])
def test_what_nothing_names_is_unmapped(sku: str | None) -> None:
    assert catalog(a_row()).match("stripe", a_line(keys=("price_new",), sku=sku)) is None


def test_the_skus_of_all_rows_are_told() -> None:
    assert catalog(a_row(), a_row("TEAM-YEAR", keys={"stripe": "price_team"})).skus() == {"PRO-100", "TEAM-YEAR"}


@pytest.mark.parametrize(
    ("rows", "where", "problem", "mend"),
    [
        ([a_row(keys={"strpe": "price_pro"})], "row 1", "no connection is of the kind 'strpe'", "fastspring, stripe"),
        ([a_row(), a_row("TEAM-YEAR")], "row 2", "stripe = 'price_pro' stands in two rows", "keep one"),
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
