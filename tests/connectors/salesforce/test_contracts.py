"""Which lines of a contract's orders count on a day: pure, and the double's own rules for contracts and orders."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.salesforce.contracts import in_force
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.emulator_records import Refusal
from hub.errors import UnreadableError

START = date(2027, 1, 1)
# (seats sold or taken away, the day of the order)
orders = st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 300)), max_size=7)


def a_line(number: int, quantity: int, day: int = 0, **more: Any) -> dict[str, Any]:
    known = {"id": str(number), "product": "p", "code": "PRO", "key": None, "quantity": quantity}
    start = (START + timedelta(days=day)).isoformat()
    return known | {"start": start, "begun": True, "end": None, "months": None, "open": False} | more


def lines_of(found: list[tuple[int, int]]) -> list[dict[str, Any]]:
    return [a_line(number, quantity, day) for number, (quantity, day) in enumerate(found)]


def seats(lines: list[dict[str, Any]], day: int) -> int | None:
    """The seats on this day of the contract; None where too many were taken away."""
    try:
        found = in_force(lines, START.isoformat(), START + timedelta(days=day))
    except UnreadableError:
        return None
    assert all(one["quantity"] >= 0 for one in found)
    return sum(one["quantity"] for one in found)


@given(orders, st.integers(0, 300))
def test_the_seats_of_a_day_are_what_was_sold_less_what_was_taken_away_by_then(
    found: list[tuple[int, int]], day: int
) -> None:
    by_then = [(quantity, on) for quantity, on in sorted(found, key=lambda one: (one[1], -one[0])) if on <= day]
    left = [sum(quantity for quantity, _ in by_then[: place + 1]) for place in range(len(by_then))]
    assert seats(lines_of(found), day) == (None if any(one < 0 for one in left) else (left or [0])[-1])


@given(orders, st.randoms(use_true_random=False), st.integers(0, 300))
def test_the_order_in_which_they_are_read_does_not_matter(found: list[tuple[int, int]], random: Any, day: int) -> None:
    lines = lines_of(found)
    mixed = list(lines)
    random.shuffle(mixed)
    assert seats(mixed, day) == seats(lines, day)


def test_what_was_read_is_not_changed_and_what_is_left_says_who_took_the_rest() -> None:
    lines = [a_line(1, 5), a_line(2, -2, 10)]
    (left,) = in_force(lines, START.isoformat(), START + timedelta(days=10))
    assert (left["quantity"], left["fewer"]) == (3, ["2 fewer by 2"])
    assert [one["quantity"] for one in lines] == [5, -2]


def test_seats_are_taken_of_the_newest_first() -> None:
    lines = [a_line(1, 2), a_line(2, 3, 10), a_line(3, -4, 20)]
    left = in_force(lines, START.isoformat(), START + timedelta(days=20))
    assert {one["id"]: one["quantity"] for one in left} == {"1": 1, "2": 0}


def test_an_order_that_takes_away_and_is_a_draft_takes_nothing() -> None:
    assert seats([a_line(1, 5), a_line(2, -2, open=True)], 0) == 5


@pytest.fixture
def org() -> SalesforceEmulator:
    return SalesforceEmulator()


def a_contract(org: SalesforceEmulator, **fields: Any) -> str:
    account = org.add("Account", Name="Cedar Works")["Id"]
    return str(org.add("Contract", **({"AccountId": account, "StartDate": "2027-01-31"} | fields))["Id"])


def refusal(org: SalesforceEmulator, *words: Any, **fields: Any) -> str:
    with pytest.raises(Refusal) as found:
        org.change(*words, **fields)
    return found.value.code


@pytest.mark.parametrize(("months", "end"), [(12, "2028-01-30"), (1, "2027-02-27"), (None, None)])
def test_the_double_s_contract_ends_by_its_term(org: SalesforceEmulator, months: int | None, end: str | None) -> None:
    a_contract(org, ContractTerm=months)
    assert [one["EndDate"] for one in org.rows("Contract")] == [end]


def test_the_double_activates_a_contract_once_and_for_good(org: SalesforceEmulator) -> None:
    one = a_contract(org)
    with pytest.raises(Refusal, match="FAILED_ACTIVATION"):
        a_contract(org, Status="Activated")
    org.change("Contract", one, Status="Activated")
    org.change("Contract", one, Status="Expired")
    (found,) = org.rows("Contract")
    assert (found["StatusCode"], bool(found["ActivatedDate"])) == ("Activated", True)
    assert refusal(org, "Contract", one, Status="Draft") == "FAILED_ACTIVATION"
    with pytest.raises(Refusal, match="DELETE_FAILED"):
        org.remove("Contract", one)


def test_the_double_activates_an_order_with_products_under_an_activated_contract_alone(org: SalesforceEmulator) -> None:
    one = a_contract(org)
    with pytest.raises(Refusal, match="earlier than the contract"):
        org.add("Order", ContractId=one, EffectiveDate="2027-01-30")
    order = str(org.add("Order", ContractId=one, EffectiveDate="2027-01-31")["Id"])
    assert refusal(org, "Order", order, Status="Activated") == "FAILED_ACTIVATION"
    product = org.add("Product2", Name="Pro", ProductCode="PRO")["Id"]
    org.add("OrderItem", OrderId=order, Product2Id=product, Quantity=5)
    assert refusal(org, "Order", order, Status="Activated") == "FAILED_ACTIVATION"
    org.change("Contract", one, Status="Activated")
    org.change("Order", order, Status="Activated")
    assert [one["StatusCode"] for one in org.rows("Order")] == ["Activated"]
