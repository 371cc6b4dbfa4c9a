"""What is particular to WooCommerce: its unsigned ping, orders beside subscriptions, shops without the extension."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.errors import VerificationError
from hub.ports import Found, SeeOther, Unsupported, Webhooks
from tests.conformance import connect
from tests.connectors.woocommerce.case import CASE, a_sub, item, once, order, refund, sub
from tests.shops import Case, Obj, Sale

PING = b"webhook_id=12"


@pytest.fixture
def webhooks() -> Webhooks:
    made = connect(CASE.module, CASE.settings()).webhooks
    assert made is not None
    return made


def test_a_ping_is_taken_unsigned_and_leads_nowhere(webhooks: Webhooks) -> None:
    webhooks.verify(PING, {}, 0)
    (one,) = webhooks.normalise(PING, {})
    assert (one.subject, one.events) == (None, ())
    assert one.ignored_because


def test_every_ping_is_the_same_so_that_strangers_fill_no_record(webhooks: Webhooks) -> None:
    other = b"webhook_id=99"
    assert webhooks.normalise(PING, {}) == webhooks.normalise(other, {})
    assert webhooks.same(PING, other)


@pytest.mark.parametrize("body", [b"webhook_id=12&x=1", b"webhook_id=", b"webhook_id=12\n", b'{"webhook_id":12}', b""])
def test_S01_nothing_but_a_ping_is_taken_unsigned(webhooks: Webhooks, body: bytes) -> None:
    with pytest.raises(VerificationError):
        webhooks.verify(body, {}, 0)


def test_S01_a_ping_with_a_wrong_signature_is_refused(webhooks: Webhooks) -> None:
    with pytest.raises(VerificationError):
        webhooks.verify(PING, {"x-wc-webhook-signature": "wrong"}, 0)


def read(case: Case, sale: Sale, **settings: object) -> object:
    with case.served(sale) as (url, _):
        made = connect(case.module, case.settings(url, **settings), "shop").purchases
        assert made is not None
        return made.fetch(case.shop.purchase("shop", case.seen(sale)).ref)


def test_an_order_that_began_a_subscription_sells_the_rest_by_itself() -> None:
    mixed = order(line_items=[item("perp", 3, 42), item("pro", 5, 43)])
    begun = sub(parent_id=mixed["id"])
    told = read(CASE, Sale(kind="order", object=mixed, parts={"begun": [begun]}))
    assert isinstance(told, Found)
    assert [line.keys[0] for line in told.purchase.lines] == [CASE.keys["perp"]]


def test_an_order_that_renews_a_subscription_sells_nothing_by_itself() -> None:
    renewal = once(meta_data=[{"id": 1, "key": "_subscription_renewal", "value": "11"}])
    told = read(CASE, renewal)
    assert isinstance(told, Found)
    assert told.purchase.lines == ()


RENEWAL = {"meta_data": [{"id": 1, "key": "_subscription_renewal", "value": "11"}]}
BEGINS = {"id": 31, "line_items": [item("pro", 3, 42)]}


@pytest.mark.parametrize(
    ("status", "back", "kinds"),
    [
        ("refunded", refund(3), ["refund"]), ("completed", refund(3), ["refund"]),
        ("completed", refund(1), ["partial refund"]), ("completed", refund(0), ["partial refund"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("begins", [True, False])
def test_a_refund_of_the_order_that_paid_a_subscription_is_told_and_changes_nothing(
    status: str, back: Obj, kinds: list[str], begins: bool
) -> None:
    one = order(status, refunds=[back["id"]], **(BEGINS if begins else RENEWAL))
    parts = {"refunds": [back | {"parent_id": one["id"]}], "begun": [sub(items=[item("pro", 3)])] if begins else []}
    told = read(CASE, Sale(kind="order", object=one, parts={name: had for name, had in parts.items() if had}))
    assert isinstance(told, Found)
    assert told.purchase.lines == ()
    assert [flag.kind for flag in told.purchase.flags] == kinds
    assert str(one["id"]) in told.purchase.flags[0].text


def test_an_order_that_began_a_subscription_and_was_not_refunded_leads_to_it() -> None:
    told = read(CASE, Sale(kind="order", object=order(**BEGINS), parts={"begun": [sub(items=[item("pro", 3)])]}))
    assert isinstance(told, SeeOther)


def test_without_the_extension_orders_stand_by_themselves_without_credentials_too() -> None:
    sale = once()
    made = connect(CASE.module, CASE.settings(keyed=False, subscriptions=False), "shop").purchases
    extended = connect(CASE.module, CASE.settings(keyed=False), "shop").purchases
    assert made is not None
    assert extended is not None
    (one,) = made.stored(CASE.kept("order.updated", sale.object))
    ref = CASE.shop.purchase("shop", CASE.seen(sale)).ref
    assert isinstance(made.assemble(ref, [one], lambda _: None), Found)
    assert isinstance(extended.assemble(ref, [one], lambda _: None), Unsupported)
    subscription = replace(ref, kind="subscription")
    assert not isinstance(
        made.assemble(subscription, made.stored(CASE.kept("subscription.updated", a_sub().object)), lambda _: None),
        Found,
    )
