"""FastSpring's sales become licenses: its events, its API and its forms over HTTP, an emulated Zentitle2 behind."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from sqlalchemy import text

from connectors.fastspring.emulator import request_hash
from connectors.fastspring.emulator_webhooks import signature
from hub.inbox import accept
from tests.connectors.fastspring.stall import KEY, SECRET, Stall, a_stall

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def stall(tmp_path: Path) -> Iterator[Stall]:
    with a_stall(tmp_path, revive=30) as made:
        yield made


def the_subscription(order: Any) -> str:
    return str(order["items"][0]["subscription"])


def the_code(order: Any, item: int = 0) -> str:
    """What the buyer was shown."""
    ((license_,),) = order["items"][item]["fulfillments"].values()
    return str(license_["license"])


def expiry(stall: Stall, subscription: str) -> str:
    """The day until which it is paid, and the policy's seven days of grace."""
    next_ = stall.shop.books.subscriptions[subscription]["next"]
    return f"{datetime.fromtimestamp(next_ / 1000, UTC) + timedelta(days=7):%Y-%m-%d}"


def ask(stall: Stall, *, key: str = KEY, **form: str) -> requests.Response:
    signed = form | {"security_request_hash": request_hash(form, key)}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{stall.hub_url}/fulfillment/fastspring"
    return requests.post(url, data=urlencode(signed), headers=headers, timeout=10)


# whole lives


@pytest.mark.parametrize(("credentials", "expansion"), [(True, False), (False, True)])
def test_a_subscription_is_licensed_renewed_changed_and_ended(
    tmp_path: Path, *, credentials: bool, expansion: bool
) -> None:
    with a_stall(tmp_path, credentials=credentials, expansion=expansion) as stall:
        one = the_subscription(stall.buy(company="Cedar Works"))
        stall.settle()
        assert stall.license(one) == f"pro-annual: on, 5 seats, until {expiry(stall, one)}"
        stall.act("update", subscription=one, quantity=8)
        stall.act("advance", days=366)
        stall.settle()
        assert stall.license(one) == f"pro-annual: on, 8 seats, until {expiry(stall, one)}"
        stall.act("update", subscription=one, product="team-annual")
        stall.act("cancel", subscription=one)
        stall.settle()
        until = expiry(stall, one)
        assert stall.license(one) == f"team-annual: on, 8 seats, until {until}"
        stall.act("advance", days=366)
        stall.settle()
        assert stall.license(one) == f"team-annual: off, 8 seats, until {until}"
        names = [one["name"] for one in stall.world.get_zentitle_customers()]
        assert names == ["Cedar Works"] if expansion else len(names) == 1


def test_a_charge_that_fails_keeps_the_license_and_extends_nothing_until_it_is_paid(stall: Stall) -> None:
    order = stall.buy()
    one = the_subscription(order)
    stall.settle()
    until = expiry(stall, one)
    stall.act("card", account=order["account"], ok=False)
    stall.act("advance", days=366)
    stall.settle()
    assert stall.license(one) == f"pro-annual: on, 5 seats, until {until}"
    stall.act("card", account=order["account"], ok=True)
    stall.act("advance", days=8)
    stall.settle()
    assert stall.license(one) == f"pro-annual: on, 5 seats, until {expiry(stall, one)}"
    assert expiry(stall, one) > until


def test_what_is_bought_once_is_licensed_by_its_order_and_a_subscription_beside_it_by_itself(stall: Stall) -> None:
    items = [{"product": "perpetual", "quantity": 3}, {"product": "pro-annual", "quantity": 5, "interval": "year"}]
    order = stall.act("buy", items=items)
    stall.settle()
    one = order["items"][1]["subscription"]
    assert stall.license(order["id"]) == "perpetual: on, 3 seats, no end"
    assert stall.license(one) == f"pro-annual: on, 5 seats, until {expiry(stall, one)}"
    assert stall.codes(order["id"]) == [the_code(order)]
    assert stall.codes(one) == [the_code(order, 1)]


def test_a_return_of_the_present_term_switches_off_and_one_of_an_earlier_term_is_a_task(stall: Stall) -> None:
    order = stall.buy()
    one = the_subscription(order)
    stall.settle()
    full = [{"product": "pro-annual", "quantity": 5, "returned": "full"}]
    stall.act("return", order=order["id"], items=full)
    stall.settle()
    assert stall.license(one).startswith("pro-annual: off")
    stall.act("advance", days=366)
    stall.settle()
    assert stall.license(one) == f"pro-annual: on, 5 seats, until {expiry(stall, one)}"
    assert stall.tasks() == {"earlier refund"}


def test_a_return_of_some_of_what_was_bought_once_takes_these_seats(stall: Stall) -> None:
    order = stall.buy("perpetual", 3, None)
    stall.act("return", order=order["id"], items=[{"product": "perpetual", "quantity": 1, "returned": "partial"}])
    stall.settle()
    assert stall.license(order["id"]) == "perpetual: on, 2 seats, no end"
    stall.act("return", order=order["id"], items=[{"product": "perpetual", "quantity": 2, "returned": "full"}])
    stall.settle()
    assert stall.license(order["id"]).startswith("perpetual: off")


def test_a_paused_subscription_is_off_from_the_rebill_that_did_not_come_until_it_is_resumed(stall: Stall) -> None:
    one = the_subscription(stall.buy())
    stall.act("pause", subscription=one)
    stall.settle()
    assert stall.license(one).startswith("pro-annual: on")
    stall.act("advance", days=366)
    stall.settle()
    assert stall.license(one).startswith("pro-annual: off")
    stall.act("resume", subscription=one)
    stall.settle()
    assert stall.license(one) == f"pro-annual: on, 5 seats, until {expiry(stall, one)}"


def test_a_test_order_makes_no_license_at_a_live_connection(stall: Stall) -> None:
    order = stall.buy(live=False)
    stall.settle()
    assert stall.license(the_subscription(order)) == "nothing"
    assert {row.outcome for row in stall.receipts()} == {"quarantined"}
    assert not order["items"][0]["fulfillments"]
    assert "receipt quarantined" in stall.tasks()
    stall.sweep()
    assert stall.world.settle()
    assert stall.license(the_subscription(order)) == "nothing"


# told twice, in part, or never


def test_I4_what_is_sent_again_under_new_ids_changes_nothing_and_is_told_once(stall: Stall) -> None:
    stall.buy()
    stall.settle()
    told, writes, ids = stall.told(), stall.world.writes(), [one.id for one in stall.shop.events]
    again = stall.act("resend", events=ids)
    stall.settle()
    assert not set(again) & set(ids)
    assert len([row for row in stall.receipts() if row.type != "fulfillment.requested"]) == 2 * len(ids)
    assert stall.world.writes() == writes
    assert stall.told() == told == ["purchase.completed", "purchase.started"]


def test_what_could_be_recorded_is_acknowledged_and_only_the_rest_comes_again(stall: Stall) -> None:
    stall.act("delivery", hour_s=0.4)
    with stall.hub.store.engine.begin() as conn:
        when = "WHEN NEW.type = 'subscription.activated' BEGIN SELECT RAISE(ABORT, 'no room'); END"
        conn.execute(text(f"CREATE TRIGGER full BEFORE INSERT ON receipt {when}"))
    stall.act("fulfillment", url="")
    order = stall.buy()
    stall.world.settle()
    wait_until(lambda: stall.shop.deliveries.counts["refused"] > 0)
    assert [row.type for row in stall.receipts()] == ["order.completed"]
    assert [one.type for one in stall.shop.events if one.processed] == ["order.completed"]
    with stall.hub.store.engine.begin() as conn:
        conn.execute(text("DROP TRIGGER full"))
    stall.settle()
    assert all(one.processed for one in stall.shop.events)
    assert [(row.type, row.duplicates) for row in stall.receipts()] == [
        ("order.completed", 0),
        ("subscription.activated", 0),
    ]
    assert stall.license(the_subscription(order)).startswith("pro-annual: on, 5 seats")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_post_of_which_nothing_can_be_recorded_is_not_acknowledged(stall: Stall) -> None:
    with stall.hub.store.engine.begin() as conn:
        conn.execute(text("CREATE TRIGGER full BEFORE INSERT ON receipt BEGIN SELECT RAISE(ABORT, 'no room'); END"))
    stall.act("fulfillment", url="")
    stall.buy()
    wait_until(lambda: stall.shop.deliveries.counts["refused"] >= 2)
    assert not any(one.processed for one in stall.shop.events)


def test_events_that_were_never_delivered_are_found_by_the_sweep(stall: Stall) -> None:
    stall.act("delivery", drop=1)
    stall.sweep()
    order = stall.buy()
    assert stall.sweep() > 0
    stall.settle()
    assert stall.license(the_subscription(order)).startswith("pro-annual: on, 5 seats")


def test_an_event_that_the_vendor_has_given_up_is_marked_processed_once_it_is_looked_at(stall: Stall) -> None:
    stall.act("delivery", drop=1)
    stall.buy()
    for one in stall.shop.events:
        one.created -= 9 * 86_400_000
    stall.buy()
    old, new = stall.shop.events[:2], stall.shop.events[2:]
    stall.sweep()
    assert [one.processed for one in old] == [True, True]
    assert [one.processed for one in new] == [False, False]


def test_the_full_list_finds_what_no_event_told(stall: Stall) -> None:
    stall.act("delivery", drop=1)
    stall.act("fulfillment", url="")
    once, orders = stall.buy("perpetual", 2, None), [stall.buy() for _ in range(3)]
    for one in stall.shop.events:
        one.created = 0
    stall.sweep()
    stall.settle()
    assert stall.license(once["id"]) == "perpetual: on, 2 seats, no end"
    assert all(stall.license(the_subscription(one)).startswith("pro-annual: on") for one in orders)


def test_a_vendor_that_throttles_fails_and_is_behind_costs_time_and_no_license(stall: Stall) -> None:
    plan = [{"fault": fault, "path": "/subscriptions"} for fault in ("throttle", "error", "reset", "garbage")]
    stall.act("faults", plan=plan, retry_after_s=0)
    one = the_subscription(stall.buy())
    stall.settle()
    stall.act("lag", seconds=0.3)
    late = the_subscription(stall.buy())
    stall.settle()
    for each in (one, late):
        assert stall.license(each) == f"pro-annual: on, 5 seats, until {expiry(stall, each)}"


# activation codes


def test_the_buyer_is_shown_the_code_that_the_license_then_has(stall: Stall) -> None:
    order = stall.buy()
    assert stall.world.grants() == []  # nothing is made before the answer
    stall.settle()
    assert stall.codes(the_subscription(order)) == [the_code(order)]
    again = ask(stall, product="pro-annual", subscription=the_subscription(order), order=order["id"])
    assert (again.status_code, again.text.strip()) == (200, the_code(order))
    assert again.headers["Content-Type"].startswith("text/plain")
    assert stall.world.settle()
    assert len(stall.codes(the_subscription(order))) == 1


def test_a_call_alone_makes_its_purchase_due(stall: Stall) -> None:
    stall.act("delivery", drop=1)
    order = stall.buy("perpetual", 2, None)
    assert stall.world.settle()
    assert stall.license(order["id"]) == "perpetual: on, 2 seats, no end"


def test_who_comes_back_and_was_told_a_new_code_gets_a_license_with_that_code(stall: Stall) -> None:
    first = stall.buy()
    stall.settle()
    stall.act("deactivate", subscription=the_subscription(first))
    stall.settle()
    second = stall.buy(account=first["account"])
    stall.settle()
    assert stall.codes(the_subscription(second)) == [the_code(second)]
    assert the_code(second) != the_code(first)


def test_who_came_back_before_the_call_is_told_the_code_of_the_license_that_was_handed_over(stall: Stall) -> None:
    first = stall.buy()
    stall.settle()
    stall.act("deactivate", subscription=the_subscription(first))
    stall.settle()
    stall.act("fulfillment", url="")
    second = the_subscription(stall.buy(account=first["account"]))
    stall.settle()
    assert stall.license(second) == "nothing"  # carried on in the first one's group
    told = ask(stall, product="pro-annual", subscription=second)
    assert (told.status_code, told.text.strip()) == (200, the_code(first))


UNANSWERED = [
    ({"product": "pro-annual", "order": "o1"}, "another key", 401, "not proven"),
    ({"product": "hat", "order": "o1"}, KEY, 422, '[[catalog]] row with fastspring = "hat"'),
    ({"order": "o1"}, KEY, 422, "parameter product is missing"),
    ({"product": "pro-annual"}, KEY, 422, "subscription or order is missing"),
    ({"product": "pro-annual", "order": "o1/../x"}, KEY, 422, "order is no id"),
    ({"product": "pro-annual", "order": "o1", "test": "true"}, KEY, 422, "livemode"),
]


def test_a_call_that_can_t_be_answered_gets_no_code_and_says_why(stall: Stall) -> None:
    for form, key, status, said in UNANSWERED:
        answer = ask(stall, key=key, **form)
        assert (answer.status_code, said in answer.text) == (status, True), form
    stall.world.work()  # looks for the hat, so that a person sees it
    assert stall.world.grants() == []


def test_S02_nobody_is_answered_where_no_key_is_set(stall: Stall) -> None:
    for name in ("stripe", "zentitle", "nobody"):
        url = f"{stall.hub_url}/fulfillment/{name}"
        assert requests.post(url, data={"product": "pro-annual", "order": "o1"}, timeout=10).status_code == 404
    unsigned = requests.post(f"{stall.hub_url}/fulfillment/fastspring", data={"order": "o1"}, timeout=10)
    assert unsigned.status_code == 401
    assert requests.get(f"{stall.hub_url}/fulfillment/fastspring", timeout=10).status_code == 405


def test_a_signed_form_at_the_webhooks_door_is_no_webhook(stall: Stall) -> None:
    form = {"product": "pro-annual", "order": "o1"}
    signed = form | {"security_request_hash": request_hash(form, KEY)}
    assert requests.post(f"{stall.hub_url}/webhooks/fastspring", data=signed, timeout=10).status_code == 401


# any order


@pytest.mark.parametrize("seed", range(3))
def test_without_credentials_events_in_any_order_and_twice_come_to_the_same_license(tmp_path: Path, seed: int) -> None:
    with a_stall(tmp_path, credentials=False) as stall:
        stall.act("fulfillment", url="")
        stall.act("delivery", drop=1)
        order = stall.buy(trial_days=14)
        one = the_subscription(order)
        stall.act("update", subscription=one, quantity=7)
        stall.act("advance", days=20)
        stall.act("cancel", subscription=one)
        stall.act("uncancel", subscription=one)
        stall.act("advance", days=366)
        stall.act("update", subscription=one, quantity=9)
        posts = [json.dumps({"events": [event.render()]}).encode() for event in stall.shop.events] * 2
        random.Random(seed).shuffle(posts)
        door = stall.hub.connectors["fastspring"]
        for number, body in enumerate(posts):
            accept(stall.hub.store, door, body, {"x-fs-signature": signature(body, SECRET)}, time.time())
            if number % 3 == 0:
                stall.world.work()
        assert stall.world.settle()
        assert stall.license(one) == f"pro-annual: on, 9 seats, until {expiry(stall, one)}"
        assert len(stall.told()) == len(stall.shop.events)
