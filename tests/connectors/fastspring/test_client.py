"""The calls to FastSpring's API, against its emulator over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

import connectors.fastspring
from connectors.emulation import serving
from connectors.fastspring.client import complaint
from connectors.fastspring.emulator import FastSpringEmulator
from hub.domain import Ref, Standing
from hub.errors import PermanentError, RetryableError
from hub.ports import Connector, Found, PurchaseSource, SeeOther, Waiting
from tests import conformance as suite

NOW = datetime.now(UTC)


@pytest.fixture
def shop() -> Iterator[FastSpringEmulator]:
    made = FastSpringEmulator()
    yield made
    made.deliveries.close()


@pytest.fixture
def url(shop: FastSpringEmulator) -> Iterator[str]:
    with serving(shop) as at:
        yield at


def connected(url: str, **settings: Any) -> Connector:
    known = {"kind": "fastspring", "webhook_secrets": ["one"], "username": "sandbox", "password": "sandbox-password"}
    return suite.connect(connectors.fastspring, known | {"base_url": url} | settings)


@pytest.fixture
def source(url: str) -> Iterator[PurchaseSource]:
    found = connected(url).purchases
    assert found is not None
    yield found
    found.close()


def a_ref(kind: str, id_: str) -> Ref:
    return Ref(source="vendor-eu", kind=kind, id=id_)


def buy(shop: FastSpringEmulator, *items: dict[str, Any], **more: Any) -> Any:
    return shop.admin("buy", {"items": list(items) or [{"product": "pro", "interval": "year"}], **more})


def test_a_subscription_is_read_with_its_buyer(shop: FastSpringEmulator, source: PurchaseSource) -> None:
    order = buy(shop, company="Cedar Works", custom="crm_7")
    found = source.fetch(a_ref("subscription", order["items"][0]["subscription"]))
    assert isinstance(found, Found)
    customer = found.purchase.customer
    assert (customer.id, customer.name, customer.customer_ref) == (order["account"], "Cedar Works", "crm_7")
    assert source.recalled(found.seen) == found.purchase


def test_an_order_is_told_by_what_it_sold_once_else_by_its_subscriptions(
    shop: FastSpringEmulator, source: PurchaseSource
) -> None:
    mixed = buy(shop, {"product": "perp"}, {"product": "pro", "interval": "year"})
    found = source.fetch(a_ref("order", mixed["id"]))
    assert isinstance(found, Found)
    assert [line.keys for line in found.purchase.lines] == [("perp",)]
    alone = buy(shop)
    to = a_ref("subscription", alone["items"][0]["subscription"])
    assert source.fetch(a_ref("order", alone["id"])) == SeeOther(ref=to)


def test_returns_are_judged_by_the_order_that_paid_the_present_term(
    shop: FastSpringEmulator, source: PurchaseSource
) -> None:
    order = buy(shop)
    one = order["items"][0]["subscription"]
    shop.clock.advance(timedelta(days=366))
    newest = shop.books.entries(one)[-1]["order"]["id"]
    full = [{"product": "pro", "quantity": 1, "returned": "full"}]
    for sold, taken in ((order["id"], False), (newest, True)):
        back = shop.books.give_back(sold, full)
        ref = a_ref("return", back["return"])
        assert source.fetch(ref) == SeeOther(ref=a_ref("subscription", one), keep=True)
        found = source.fetch(a_ref("subscription", one), [ref])
        assert isinstance(found, Found)
        assert bool(found.purchase.lines[0].reversed) is taken


def test_what_is_not_there_yet_is_tried_again_and_dies_with_a_hint(
    shop: FastSpringEmulator, source: PurchaseSource
) -> None:
    shop.lag_s = 60
    order = buy(shop)
    for kind, id_ in (("order", order["id"]), ("subscription", "none"), ("return", "none")):
        with pytest.raises(PermanentError, match="Not found") as caught:
            source.fetch(a_ref(kind, id_))
        assert (caught.value.code, "another store" in caught.value.hint) == ("404", True)


def test_an_object_of_the_other_mode_is_none_of_this_connection_s(url: str, shop: FastSpringEmulator) -> None:
    order = buy(shop, live=False)
    one = a_ref("subscription", order["items"][0]["subscription"])
    live, test = connected(url).purchases, connected(url, livemode=False).purchases
    assert live is not None
    assert test is not None
    assert isinstance(live.fetch(one), Waiting)
    assert list(live.purchases()) == list(live.changes(NOW - timedelta(days=1))) == []
    assert isinstance(test.fetch(one), Found)
    assert [found.ref.id for found in test.purchases()] == [one.id]


def test_the_full_list_is_read_page_by_page(shop: FastSpringEmulator, source: PurchaseSource) -> None:
    for _ in range(60):
        buy(shop)
    once = [buy(shop, {"product": "perp"})["id"] for _ in range(2)]
    shop.books.cancel(next(iter(shop.books.subscriptions)), now=True)
    found = list(source.purchases())
    assert {one.ref.id for one in found} == {*shop.books.subscriptions, *once}
    assert sorted({one.standing for one in found}) == [Standing.CURRENT, Standing.ENDED]
    assert shop.calls["GET /subscriptions"] == 2


@pytest.mark.parametrize("newest_first", [False, True])
def test_events_are_read_to_the_end_whichever_way_the_list_runs(
    shop: FastSpringEmulator, source: PurchaseSource, *, newest_first: bool
) -> None:
    shop.newest_first = newest_first
    orders = [buy(shop) for _ in range(40)]
    for number, event in enumerate(shop.events):
        event.processed, event.created = number % 2 == 0, event.created - 60_000 + number
    seen = [one.ref for one in source.changes(NOW - timedelta(hours=1))]
    assert {ref.id for ref in seen if ref.kind == "order"} == {order["id"] for order in orders}
    assert len(seen) == len(set(seen)) == 80


def test_only_what_the_vendor_has_given_up_is_marked_processed(
    shop: FastSpringEmulator, source: PurchaseSource
) -> None:
    old, new = (buy(shop, {"product": "perp"})["id"] for _ in range(2))
    shop.events[0].created -= 9 * 86_400_000
    done = {one.ref.id: one.done for one in source.changes(NOW)}
    assert (done[old] is not None, done[new]) == (True, None)
    assert not shop.events[0].processed
    assert done[old]
    done[old]()
    assert [event.processed for event in shop.events] == [True, False]


def test_a_list_older_than_thirty_days_is_asked_for_what_there_is(source: PurchaseSource) -> None:
    assert list(source.changes(NOW - timedelta(days=90))) == []


def test_wrong_credentials_are_told_with_how_to_mend_them(url: str) -> None:
    made = connected(url, password="another")
    assert made.check is not None
    (finding,) = made.check()
    assert (finding.level, "401" in finding.problem, "password" in finding.mend) == ("error", True, True)
    assert made.purchases is not None
    with pytest.raises(RetryableError):
        made.purchases.fetch(a_ref("subscription", "s1"))


def test_the_emulator_refuses_without_credentials_and_asks_for_a_begin(url: str) -> None:
    assert requests.get(f"{url}/subscriptions", timeout=10).status_code == 401
    pair = ("sandbox", "sandbox-password")
    asked = requests.get(f"{url}/events/unprocessed", auth=pair, timeout=10)
    assert (asked.status_code, "Begin required" in asked.text) == (400, True)


def test_check_finds_nothing_where_all_is_well(url: str) -> None:
    made = connected(url)
    assert made.check is not None
    assert list(made.check()) == []


def test_what_to_paste_names_address_events_and_parameters() -> None:
    made = connected("https://api.example.com", fulfillment_keys=["k"])
    assert made.register is not None
    hook, asking = made.register("https://hub.example.com/webhooks/fs")
    assert "https://hub.example.com/webhooks/fs" in hook.mend
    assert all(type_ in hook.mend for type_ in connectors.fastspring.EVENTS)
    assert "https://hub.example.com/fulfillment/fs" in asking.mend
    assert "nobody may ask" not in asking.mend
    bare = connected("https://api.example.com").register
    assert bare is not None
    assert "nobody may ask" in bare("https://hub.example.com/webhooks/fs")[1].mend


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": None},
        {"password": None},
        {"username": "a:b"},
        {"webhook_secrets": []},
        {"webhook_secrets": [" one"]},
        {"fulfillment_keys": [""]},
        {"rate_per_s": 0},
    ],
)
def test_settings_that_can_t_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        connected("https://api.example.com", **wrong)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"subscription": "Not found"}}, "subscription: Not found"),
        ({"orders": [{"error": {"order": "Not found"}}]}, "order: Not found"),
        ([{"error": "no"}], "no"),
        ({"error": 5}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_vendor_s_own_words_are_found_in_each_of_its_shapes(body: Any, said: str) -> None:
    assert complaint(body) == said
