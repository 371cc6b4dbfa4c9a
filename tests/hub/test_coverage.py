"""Catalog, offerings and sales cover each other, or `hub check` says what does not; by what looks saw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import coverage
from hub.coverage import Unnamed
from hub.store import records
from hub.store.records import UnmappedKeys
from hub.wiring import Hub
from tests.hub.factory import a_hub, a_subject, an_observation
from tests.records import upgrade


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub whose one row maps pro_annual to PRO-100."""
    made = a_hub(f"sqlite:///{tmp_path}/hub.sqlite")
    upgrade(made.store)
    yield made
    made.store.close()


def a_sale(id_: str, price: str, lookup_key: str | None = None) -> dict[str, Any]:
    """What a look saw of a subscription to this price, as the connector keeps it."""
    subscription = {
        "id": id_,
        "status": "active",
        "customer": {"id": "cus_1", "name": None, "metadata": {}},
        "items": {
            "data": [
                {
                    "id": f"si_{id_}",
                    "quantity": 1,
                    "price": {"id": price, "lookup_key": lookup_key, "product": "prod_1", "metadata": {}},
                    "current_period_start": 1_790_000_000,
                    "current_period_end": 1_821_536_000,
                }
            ]
        },
    }
    return {"subscription": subscription, "invoices": [], "complete": True}


def saw(
    hub: Hub, id_: str, price: str, lookup_key: str | None = None, waits: tuple[str, ...] = (), **subject: Any
) -> None:
    ref = f"stripe/subscription/{id_}"

    def unit(conn: Any) -> None:
        a_subject(conn, ref, **subject)
        an_observation(conn, ref, a_sale(id_, price, lookup_key), 1.0)
        records.put_unmapped(conn, [UnmappedKeys(subject=ref, keys=tuple(waits))])

    hub.store.write(unit)


def told(hub: Hub, *offerings: str) -> list[tuple[str, str]]:
    return [(one.level, one.problem) for one in coverage.findings(hub, offerings)]


PARKED = {"state": "parked", "cause": "unmapped"}


def test_where_all_cover_each_other_there_is_one_good_word(hub: Hub) -> None:
    saw(hub, "sub_1", "price_1", "pro_annual")
    assert told(hub, "PRO-100") == [("ok", "rows, offerings and sales cover each other")]


def test_a_row_that_names_no_offering_is_an_error(hub: Hub) -> None:
    assert ("error", "sku 'PRO-100' is no offering") in told(hub, "TEAM-YEAR")


def test_an_offering_that_no_row_sells_is_told(hub: Hub) -> None:
    problem = "1 offerings have no catalog row (TEAM-YEAR): sold only where the vendor names them"
    assert told(hub, "PRO-100", "TEAM-YEAR") == [("ok", problem)]


def test_a_key_that_subjects_are_parked_for_is_a_warning_with_the_row_to_paste(hub: Hub) -> None:
    for number in range(3):
        saw(hub, f"sub_{number}", "price_new", waits=("price_new",), **PARKED)
    (warning,) = [one for one in coverage.findings(hub, ["PRO-100"]) if one.level == "warning"]
    assert warning.problem == "stripe 'price_new' was sold and no row speaks of it; 3 subjects wait for it"
    assert warning.mend == '[[catalog]]\nstripe = "price_new"\nsku = "…"'


def test_a_key_that_was_only_seen_is_a_warning_too(hub: Hub) -> None:
    saw(hub, "sub_1", "price_gone")
    assert ("warning", "stripe 'price_gone' was sold and no row speaks of it; nothing waits for it now") in told(
        hub, "PRO-100"
    )


def test_a_line_that_names_its_sku_itself_needs_no_row(hub: Hub) -> None:
    saw(hub, "sub_1", "price_1", "TEAM-YEAR")
    assert not [level for level, _ in told(hub, "PRO-100", "TEAM-YEAR") if level == "warning"]


def test_a_row_that_nothing_sold_matches_is_told_by_its_number(hub: Hub) -> None:
    saw(hub, "sub_1", "price_1", "TEAM-YEAR")
    assert ("ok", "catalog row 1 matched none of the 1 purchases seen last") in told(hub, "PRO-100", "TEAM-YEAR")


def test_only_the_newest_of_a_subject_s_observations_counts(hub: Hub) -> None:
    saw(hub, "sub_1", "price_old")
    newest = a_sale("sub_1", "price_1", "pro_annual")
    hub.store.write(lambda conn: an_observation(conn, "stripe/subscription/sub_1", newest, 2.0))
    assert told(hub, "PRO-100") == [("ok", "rows, offerings and sales cover each other")]


@pytest.mark.parametrize("seen", [{}, {"subscription": 7}, {"subscription": {"id": 7}}])
def test_what_can_not_be_read_any_more_counts_for_nothing(hub: Hub, seen: dict[str, Any]) -> None:
    hub.store.write(lambda conn: an_observation(conn, "stripe/subscription/sub_1", seen, 1.0))
    assert told(hub, "PRO-100") == [("ok", "rows, offerings and sales cover each other")]


def test_the_key_that_most_wait_for_comes_first(hub: Hub) -> None:
    for number, keys in enumerate([("price_a", "price_b"), ("price_b",)]):
        saw(hub, f"sub_{number}", keys[0], waits=keys, **PARKED)
    saw(hub, "sub_done", "price_a", waits=("price_a",), state="idle")
    with hub.store.read() as conn:
        found = coverage.waiting_for_a_row(conn, hub)
    assert found == [
        Unnamed(vendor="stripe", key="price_b", subjects=2),
        Unnamed(vendor="stripe", key="price_a", subjects=1),
    ]
