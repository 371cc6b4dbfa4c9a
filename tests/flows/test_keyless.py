"""Without an API key: what webhooks bring is all that is known, and it is enough."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import Town, a_town

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with a_town(folder, f"sqlite:///{folder}/hub.sqlite", keyed=False) as made:
        yield made


def test_sale_seats_renewal_failing_payment_and_end_come_to_the_right_licenses(town: Town) -> None:
    buyer = town.vendors.customer()
    one, monthly = town.vendors.buy("PRO-100", 4), town.vendors.buy("PRO-MONTHLY", 2, buyer)
    town.settle()
    assert town.vendors.wrong() == []
    town.vendors.set_quantity(one, 9)
    town.vendors.advance(32)
    town.settle()
    assert town.vendors.wrong() == []
    town.vendors.stripe_admin("card", customer=buyer, ok=False)
    town.vendors.advance(33)
    town.settle()
    assert town.vendors.wrong() == []
    town.vendors.cancel(monthly)
    town.settle()
    assert town.vendors.wrong() == []


def test_check_says_what_is_lost_without_a_key(town: Town) -> None:
    (told,) = [one for one in town.hub("check") if one["about"] == "stripe"]
    assert told["level"] == "warning"
    assert "no api_key" in told["problem"]
    assert "api_key" in told["mend"]
