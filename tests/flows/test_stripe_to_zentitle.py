"""From a sale at Stripe to a license at Zentitle2, through real processes: what people do, and what they then hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from connectors.stripe.emulator_webhooks import signature
from hub import approvals
from hub.store.schema import receipt, review
from tests.world import SECRET, Town, a_town

pytestmark = pytest.mark.timeout(120)
GRACE = timedelta(days=7)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with a_town(folder, f"sqlite:///{folder}/hub.sqlite", window=3) as made:
        yield made


def held(town: Town, subscription: str) -> list[dict[str, Any]]:
    """What this subscription's customer holds for it, oldest first."""
    return [row for row in town.vendors.grants() if row["orderRefId"] == f"stripe:{subscription}"]


def the_license(town: Town, subscription: str) -> dict[str, Any]:
    """The one license of this subscription, once everything has settled."""
    town.settle()
    (one,) = held(town, subscription)
    return one


def expires(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["expiryDate"])


def ends(town: Town, subscription: str) -> datetime:
    """The end of the current period at Stripe."""
    return datetime.fromtimestamp(town.vendors.item(subscription)["current_period_end"], UTC)


def tasks(town: Town, subscription: str) -> list[str]:
    """Kinds of what a person has to do about this subscription."""
    where = (review.c.subject == f"stripe/subscription/{subscription}", review.c.open)
    with town.store.read() as conn:
        return list(conn.execute(select(review.c.kind).where(*where)).scalars())


def test_a_sale_becomes_a_license_with_its_seats_until_a_week_after_what_is_paid(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 20)
    got = the_license(town, one)
    assert (got["sku"], got["seatCount"], got["disabled"]) == ("PRO-100", 20, False)
    assert expires(got) == ends(town, one) + GRACE


def test_seats_are_added_and_taken_away_at_once(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 5)
    for seats in (8, 3):
        town.vendors.set_quantity(one, seats)
        assert the_license(town, one)["seatCount"] == seats


def test_fewer_seats_than_are_in_use_are_set_and_flagged(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 6)
    the_license(town, one)
    town.vendors.zentitle_admin("activate", orderRefId=f"stripe:{one}", seatIds=["ada", "grace", "edsger"])
    town.vendors.set_quantity(one, 2)
    assert the_license(town, one)["seatCount"] == 2
    assert tasks(town, one) == ["seats in use"]


def test_a_paid_renewal_makes_the_license_last_another_period(town: Town) -> None:
    one = town.vendors.buy("PRO-MONTHLY", 2)
    before = expires(the_license(town, one))
    town.vendors.advance(32)
    after = expires(the_license(town, one))
    assert after == ends(town, one) + GRACE
    assert after - before > timedelta(days=27)


def test_while_a_payment_fails_the_license_stays_on_but_is_not_prolonged(town: Town) -> None:
    buyer = town.vendors.customer()
    one = town.vendors.buy("PRO-MONTHLY", 2, buyer)
    before = the_license(town, one)
    town.vendors.stripe_admin("card", customer=buyer, ok=False)
    town.vendors.advance(33)
    failing = the_license(town, one)
    assert (failing["expiryDate"], failing["disabled"]) == (before["expiryDate"], False)
    town.vendors.stripe_admin("card", customer=buyer, ok=True)
    town.vendors.advance(8)
    assert expires(the_license(town, one)) == ends(town, one) + GRACE


def test_a_purchase_that_is_never_paid_again_is_switched_off(town: Town) -> None:
    buyer = town.vendors.customer()
    one = town.vendors.buy("PRO-MONTHLY", 2, buyer)
    the_license(town, one)
    town.vendors.stripe_admin("card", customer=buyer, ok=False)
    town.vendors.advance(80)
    assert the_license(town, one)["disabled"]


def test_a_cancellation_at_the_end_of_the_period_switches_off_then_and_not_before(town: Town) -> None:
    one = town.vendors.buy("PRO-MONTHLY", 2)
    town.vendors.post(f"/v1/subscriptions/{one}", {"cancel_at_period_end": "true"})
    assert not the_license(town, one)["disabled"]
    town.vendors.advance(32)
    assert the_license(town, one)["disabled"]


def test_a_cancellation_at_once_switches_off_and_deletes_nothing(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 2)
    the_license(town, one)
    town.vendors.cancel(one)
    assert the_license(town, one)["disabled"]


def test_a_paused_service_is_off_and_on_again_when_resumed(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 2)
    the_license(town, one)
    for verb, off in (("pause", True), ("resume", False)):
        town.vendors.post(f"/v1/subscriptions/{one}/{verb}")
        assert the_license(town, one)["disabled"] is off


def test_another_price_changes_the_offering_of_the_same_license(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 4)
    before = the_license(town, one)
    town.vendors.swap(one, "TEAM-YEAR")
    after = the_license(town, one)
    assert (after["id"], after["sku"], after["seatCount"]) == (before["id"], "TEAM-YEAR", 4)
    assert expires(after) == ends(town, one) + GRACE


def test_a_trial_is_licensed_until_a_week_after_its_end_and_then_as_it_is_paid(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 3, trial_period_days="14")
    trial = datetime.fromtimestamp(town.vendors.get(f"/v1/subscriptions/{one}")["trial_end"], UTC)
    assert expires(the_license(town, one)) == trial + GRACE
    town.vendors.advance(16)
    assert expires(the_license(town, one)) == ends(town, one) + GRACE
    assert ends(town, one) > trial + timedelta(days=300)


def test_a_subscription_of_two_items_is_one_group_with_two_licenses(town: Town) -> None:
    addon = {"items[1][price]": town.vendors.price("ADDON-YEAR"), "items[1][quantity]": "7"}
    one = town.vendors.buy("PRO-100", 3, **addon)
    town.settle()
    rows = held(town, one)
    assert {row["sku"]: row["seatCount"] for row in rows} == {"PRO-100": 3, "ADDON-YEAR": 7}
    assert len({row["groupId"] for row in rows}) == 1


def test_two_sales_to_one_new_customer_at_once_make_one_customer_with_two_groups(town: Town) -> None:
    buyer = town.vendors.customer()
    pair = [town.vendors.buy("PRO-100", seats, buyer) for seats in (1, 2)]
    town.settle()
    assert [the_license(town, one)["seatCount"] for one in pair] == [1, 2]
    refs = [row["accountRefId"] for row in town.vendors.get_zentitle_customers()]
    assert refs.count(f"stripe:{buyer}") == 1


def test_a_checkout_session_is_licensed_by_the_subscription_that_it_makes(town: Town) -> None:
    line = {"line_items[0][price]": town.vendors.price("PRO-100"), "line_items[0][quantity]": "9"}
    session = town.vendors.post(
        "/v1/checkout/sessions", {"mode": "subscription", "success_url": "https://shop.example/", **line}
    )
    done = town.vendors.stripe_admin("checkout", session=session["id"])
    assert the_license(town, done["subscription"])["seatCount"] == 9


def test_what_support_has_switched_off_stays_off_and_a_person_is_told(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 5)
    the_license(town, one)
    town.vendors.zentitle_admin("edit", orderRefId=f"stripe:{one}", disabled=True)
    town.vendors.set_quantity(one, 6)
    got = the_license(town, one)
    assert (got["disabled"], got["seatCount"]) == (True, 5)
    assert tasks(town, one) == ["on hold"]


def test_after_a_lost_answer_the_hub_says_until_when_it_waits_and_makes_one_group(town: Town) -> None:
    lost = {"fault": "late_apply", "method": "POST", "path": "/api/v1/entitlements/groups"}
    town.vendors.zentitle_admin("faults", plan=[lost], late_s=1)
    one = town.vendors.buy("PRO-100", 4)
    town.until(lambda: town.subject(one).get("cause") == "window")
    told = r"checking whether the license was created, until \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(told, town.subject(one)["reason"])
    assert the_license(town, one)["seatCount"] == 4


def test_an_event_of_the_other_mode_is_quarantined_and_changes_nothing(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 4)
    before = the_license(town, one)
    event = town.vendors.get("/v1/events", limit=1)["data"][0]
    other = event | {"id": "evt_of_the_other_mode", "livemode": not event["livemode"]}
    body = json.dumps(other).encode()
    signed = {"Stripe-Signature": signature(body, SECRET, int(time.time()))}
    assert requests.post(f"{town.url}/webhooks/stripe", data=body, headers=signed, timeout=10).status_code == 200
    assert _outcome(town, "evt_of_the_other_mode") == "quarantined"
    assert the_license(town, one) == before


def _outcome(town: Town, event: str) -> str:
    with town.store.read() as conn:
        return str(conn.execute(select(receipt.c.outcome).where(receipt.c.external_id == event)).scalar())


def test_why_tells_a_reason_for_every_field(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 4)
    got = the_license(town, one)
    told = json.dumps(town.hub("why", got["id"]))
    assert all(word in told for word in ("seats", "expires_at", "enabled", one))


def test_what_is_not_in_the_catalog_waits_visibly_and_is_licensed_once_it_is(town: Town) -> None:
    one = town.vendors.buy("MYSTERY", 4)
    town.settle()
    assert held(town, one) == []
    waiting = town.subject(one)
    assert (waiting["state"], waiting["cause"]) == ("parked", "unmapped")
    assert "MYSTERY" in waiting["reason"]
    town.configure('\n[[catalog]]\nstripe = "MYSTERY"\nsku = "PRO-100"\nseats_per_unit = 10\n')
    town.restart("web", "worker", "clock")
    town.until(lambda: held(town, one))
    assert the_license(town, one)["seatCount"] == 40


def test_what_a_person_holds_is_left_alone_until_it_is_released(town: Town) -> None:
    one = town.vendors.buy("PRO-100", 4)
    the_license(town, one)
    ref = town.subject(one)["ref"]
    assert approvals.hold(town.store, ref, "waits", "ida", "test")
    town.vendors.cancel(one)
    town.settle()
    assert (town.subject(one)["state"], town.subject(one)["cause"]) == ("held", "by a person")
    assert [row["disabled"] for row in held(town, one)] == [False]
    assert approvals.release(town.store, ref, "ida", "test")
    town.until(lambda: [row["disabled"] for row in held(town, one)] == [True])


def test_a_changed_condition_frees_what_the_old_one_parked(town: Town) -> None:
    row = '\n[[catalog]]\nstripe = "RIDDLE"\nsku = "PRO-100"\nwhen = "line.quantity > {}"\n'
    town.configure(row.format(9))
    town.restart("web", "worker", "clock")
    one = town.vendors.buy("RIDDLE", 4)
    town.until(lambda: town.subject(one).get("state") == "parked")
    assert held(town, one) == []
    town.configure(row.format(3))
    town.restart("web", "worker", "clock")
    town.until(lambda: held(town, one))
    assert the_license(town, one)["seatCount"] == 4


def test_more_disables_in_an_hour_than_the_guard_lets_pass_wait_for_approval(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, guard_min=5) as town:
        ids = [town.vendors.buy("PRO-100", 1) for _ in range(8)]
        town.settle()
        for one in ids:
            town.vendors.cancel(one)
        town.settle()
        assert sum(row["disabled"] for row in town.vendors.grants()) == 5
        waiting = {row["subject"] for row in town.hub("approve")}
        assert len(waiting) == 3
        mine = [one for one in ids if town.subject(one)["ref"] in waiting]
        town.until(lambda: {town.subject(one)["state"] for one in mine} == {"held"})  # the sweep may look again
        assert set(town.hub("approve", "--all")["approved"]) == waiting
        town.until(lambda: all(row["disabled"] for row in town.vendors.grants()))
        town.settle()
        assert town.hub("approve") == []


def test_the_shapes_of_older_api_versions_come_to_the_same_licenses(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, legacy=True) as town:
        one, other = town.vendors.buy("PRO-100", 4), town.vendors.buy("PRO-MONTHLY", 2)
        town.vendors.set_quantity(one, 6)
        town.vendors.advance(40)
        town.vendors.cancel(other)
        town.settle()
        assert town.vendors.wrong() == []
