"""What the one engine does for every declared shop: the same purchase, whichever way it is seen (tests/shops.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.declared import linked, numbered
from connectors.declared_source import DeclaredClient, DeclaredStored
from connectors.http import Http, Reply
from hub.domain import Purchase, Ref
from hub.errors import PermanentError, RetryableError, UnreadableError
from hub.ports import Connector, Found, SeeOther, StoredObject, Unsupported, Waiting
from tests import conformance as suite
from tests.shops import Case, Obj, Sale, cases

CASES = cases()
FIRST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def sales() -> list[tuple[Case, str]]:
    """Every situation of every shop, as last seen."""
    return [(case, name) for case in CASES.values() for name in case.situations]


def sold(case: Case) -> Sale:
    """What was sold plainly, as last seen."""
    return case.situations.get("sold, told twice", case.situations["bought once"])[-1]


def connected(case: Case, url: str, **more: object) -> Connector:
    return suite.connect(case.module, case.settings(url, **more), "shop")


def purchase_of(case: Case, sale: Sale) -> Purchase:
    return case.shop.purchase("shop", case.seen(sale))


def versions(case: Case, sale: Sale) -> list[StoredObject]:
    """The objects of a sale, as events left them."""
    kept = DeclaredStored(case.shop, livemode=True)
    told = [(case.type_for(kind), raw) for kind, raw in case.objects(sale)]
    return [one for type_, raw in told if type_ for one in kept.stored(case.kept(type_, raw))]


@pytest.mark.parametrize(("case", "name"), sales(), ids=[f"{case.kind} {name}" for case, name in sales()])
def test_an_observation_of_long_ago_gives_the_same_purchase(case: Case, name: str) -> None:
    for sale in case.situations[name]:
        kept = json.loads(json.dumps(case.seen(sale)))
        assert case.shop.purchase("shop", kept) == purchase_of(case, sale)


def test_a_purchase_read_page_by_page_is_what_was_sold(case: Case) -> None:
    for name in ("sold, told twice", "bought once"):
        for sale in case.situations.get(name, ())[-1:]:
            wanted = purchase_of(case, sale)
            with case.served(sale, page=1) as (url, _):
                made = connected(case, url).purchases
                assert made is not None
                found = made.fetch(wanted.ref)
                assert isinstance(found, Found), found
                assert found.purchase == wanted
                assert made.recalled(json.loads(json.dumps(found.seen))) == wanted


def test_pages_by_number_are_read_to_the_last() -> None:
    case = CASES["paddle"]
    numbering = replace(case, shop=replace(case.shop, following=numbered("page", "meta.last")), pages="page#meta.last")
    with numbering.served(sold(case), page=1) as (url, vendor):
        for number in range(3):
            vendor.put("subscription", sold(case).object | {"id": f"sub_{number}"})
        http = Http(url, suite.deps(), headers=case.auth)
        client = DeclaredClient("shop", numbering.shop, http, livemode=True)
        assert [one.ref.id for one in client.purchases() if one.ref.kind == "subscription"] == [
            "sub_0",
            "sub_1",
            "sub_2",
        ]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ('<https://other.example.com/x?page=2>; rel="next"', {"page": "2"}),
        ('<https://a.example.com/?p=1>; rel="previous", <https://a.example.com/?p=3>; rel=next', {"p": "3"}),
        ('<https://a.example.com/?p=1>; rel="previous"', None),
        ("", None),
    ],
)
def test_only_the_query_of_a_next_page_is_followed(header: str, wanted: object) -> None:
    """Credentials never go to another host."""
    assert linked(Reply(status=200, headers={"Link": header}, body=[], about="", reads=True), {}) == wanted


def test_the_last_page_is_the_last_although_it_names_a_next_one() -> None:
    body = {"meta": {"pagination": {"next": "https://a.example.com/?after=x", "has_more": False}}}
    reply = Reply(status=200, headers={}, body=body, about="", reads=True)
    assert CASES["paddle"].shop.following(reply, {}) is None


@pytest.mark.parametrize(
    ("name", "mine", "other"),
    [
        ("shopify", {"shop": "cedar.myshopify.com"}, {"shop": "other.myshopify.com"}),
        ("woocommerce", {"shop": "https://cedar.example.com/"}, {"shop": "https://other.example.com/"}),
        ("lemonsqueezy", {"store": "3"}, {"store": "4"}),
    ],
)
def test_I12_events_of_another_shop_are_refused(name: str, mine: Obj, other: Obj) -> None:
    case = CASES[name]
    type_ = next(iter(case.shop.events))
    for settings, refused in ((mine, False), (other, True)):
        webhooks = connected(case, "http://127.0.0.1:1", **settings).webhooks
        assert webhooks is not None
        (envelope,) = webhooks.normalise(case.kept(type_, case.sample(type_)), {})
        assert bool(webhooks.refused(envelope)) is refused
        assert webhooks.refused(replace(envelope, account=None))


@pytest.mark.parametrize(("name", "path"), [("lemonsqueezy", "attributes"), ("shopify", "")])
def test_a_test_sale_is_refused_at_the_door_and_makes_no_license_when_it_is_read(name: str, path: str) -> None:
    case = CASES[name]
    sale = sold(case)
    raw = json.loads(json.dumps(sale.object))
    (raw[path] if path else raw).update({"test_mode": True, "test": True})
    tested = replace(sale, object=raw)
    made = connected(case, "http://127.0.0.1:1")
    assert made.webhooks is not None
    (envelope,) = made.webhooks.normalise(case.kept(case.type_for(sale.kind) or "", raw), {})
    assert made.webhooks.refused(envelope)
    with case.served(tested) as (url, _):
        purchases = connected(case, url).purchases
        assert purchases is not None
        assert isinstance(purchases.fetch(purchase_of(case, sale).ref), Waiting)


def test_what_is_sold_in_a_way_that_is_not_read_is_parked_in_sight() -> None:
    case = CASES["shopify"]
    made = connected(case, "http://127.0.0.1:1", keyed=False).purchases
    assert made is not None
    (contract,) = made.stored(case.kept("subscription_contracts/create", case.samples["contract"]))
    told = made.assemble(Ref(source="shop", kind="contract", id="contract-95"), [contract], lambda _: None)
    assert isinstance(told, Unsupported)
    renewal = Sale(kind="order", object=case.samples["order"] | {"source_name": "subscription_contract"})
    with case.served(renewal) as (url, _):
        purchases = connected(case, url).purchases
        assert purchases is not None
        assert isinstance(purchases.fetch(Ref(source="shop", kind="order", id="31")), Unsupported)
        found = purchases.fetch(Ref(source="shop", kind="contract", id="contract-95"))
        assert isinstance(found, Unsupported), "with credentials as well"


@pytest.mark.parametrize("keyed", [True, False])
def test_the_first_order_of_a_subscription_of_shopify_is_parked_and_not_sold_as_bought_once(keyed: bool) -> None:
    case = CASES["shopify"]
    one = case.samples["order"]
    (line,) = one["line_items"]
    plans = {"null": None, "a plan": {"selling_plan": {"id": 691, "name": "Monthly"}}}
    told = {}
    for name, plan in plans.items():
        order = one | {"line_items": [line | {"selling_plan_allocation": plan}]}
        with case.served(Sale(kind="order", object=order)) as (url, _):
            purchases = connected(case, url, keyed=keyed).purchases
            assert purchases is not None
            ref = Ref(source="shop", kind="order", id="31")
            stored = purchases.stored(case.kept("orders/paid", order))
            told[name] = purchases.fetch(ref) if keyed else purchases.assemble(ref, stored, lambda _: None)
    assert isinstance(told["null"], Found)
    assert isinstance(told["a plan"], Unsupported)
    assert "a subscription of Shopify" in told["a plan"].because


def test_a_lost_dispute_leads_to_its_order_and_counts_there() -> None:
    case = CASES["shopify"]
    lost = case.situations["a dispute is lost"][-1]
    dispute, order = (
        Ref(source="shop", kind=kind, id=id_) for kind, id_ in (("dispute", "dispute-91"), ("order", "31"))
    )
    with case.served(lost) as (url, _):
        made = connected(case, url).purchases
        assert made is not None
        assert made.fetch(dispute) == SeeOther(ref=order, keep=True)
        found = made.fetch(order, [dispute])
        assert isinstance(found, Found)
        assert found.purchase.lines[0].reversed


def test_a_check_says_which_setting_of_which_connection_to_mend(case: Case) -> None:
    with suite.served(suite.Answering(403)) as url:
        made = connected(case, url)
        assert made.check is not None
        assert all("connections.shop." in one.mend for one in made.check())


def test_stored_objects_give_the_purchase_that_the_API_gives(case: Case) -> None:
    sale = sold(case)
    wanted = purchase_of(case, sale)
    made = connected(case, "http://127.0.0.1:1", keyed=False).purchases
    assert made is not None
    own = {one.id: one for one in versions(case, sale)}
    told = made.assemble(wanted.ref, list(own.values()), own.get)
    assert isinstance(told, Found), told
    assert told.purchase == wanted


def test_what_no_event_has_brought_is_waited_for(case: Case) -> None:
    ref = purchase_of(case, sold(case)).ref
    made = connected(case, "http://127.0.0.1:1", keyed=False).purchases
    assert made is not None
    assert isinstance(made.assemble(ref, (), lambda _: None), Waiting)
    assert isinstance(made.assemble(Ref(source="shop", kind="hat", id="1"), (), lambda _: None), Unsupported)


def test_I5_the_newer_version_counts_in_whatever_order_they_came(case: Case) -> None:
    kind = sold(case).kind
    known = case.shop.kinds[kind]
    first = next(one for one in versions(case, sold(case)) if one.kind == kind)
    newer = replace(first, body=first.body | {"version": int(str(first.body["version"])) + 1}, created=0)
    kept = DeclaredStored(case.shop, livemode=True)
    assert kept.newest([first, newer]) == kept.newest([newer, first]) == newer
    for status in known.over:
        over = replace(first, body=first.body | {"status": status}, event_id="")
        assert kept.newest([first, over]) == kept.newest([over, first]) == over


def test_a_look_contains_the_event_that_told_it_and_no_newer_one(case: Case) -> None:
    sale = sold(case)
    type_ = case.type_for(sale.kind) or ""
    made = connected(case, "http://127.0.0.1:1").purchases
    assert made is not None
    seen = case.seen(sale)
    assert made.contains(seen, case.kept(type_, sale.object))
    changed = case.seen(sale)[sale.kind] | {"quantity": 99, "items": []}
    assert not made.contains({**seen, sale.kind: changed}, case.kept(type_, sale.object))
    assert not made.contains(seen, b"{")


def test_the_lists_tell_what_changed_and_all_that_was_sold(case: Case) -> None:
    sale = sold(case)
    ref = purchase_of(case, sale).ref
    with case.served(sale) as (url, vendor):
        body, _ = case.event(case.type_for(sale.kind) or "", sale.object, "evt_1")
        vendor.events.append(json.loads(body))
        made = connected(case, url).purchases
        assert made is not None
        assert ref in {one.ref for one in made.changes(FIRST)}
        assert list(made.changes(datetime.now(UTC).replace(year=2099))) == []
        assert ref in {one.ref for one in made.purchases()}


def test_a_check_is_content_with_credentials_and_names_what_is_refused(case: Case) -> None:
    with case.served() as (url, vendor):
        made = connected(case, url)
        assert made.check is not None
        assert list(made.check()) == []
        vendor.auth = {"Authorization": "another"}
        assert [one.level for one in made.check()] == ["error"]


def test_what_the_vendor_does_not_know_is_never_found(case: Case) -> None:
    ref = purchase_of(case, sold(case)).ref
    with case.served() as (url, _):
        made = connected(case, url).purchases
        assert made is not None
        with pytest.raises(PermanentError):
            made.fetch(ref)


def test_without_credentials_nothing_is_asked(case: Case) -> None:
    made = connected(case, "http://127.0.0.1:1", keyed=False).purchases
    assert made is not None
    assert not made.can_read
    with pytest.raises(PermanentError, match="credentials"):
        made.fetch(purchase_of(case, sold(case)).ref)


def test_an_event_as_it_came_and_as_it_is_kept_is_the_same(case: Case) -> None:
    webhooks = connected(case, "http://127.0.0.1:1").webhooks
    assert webhooks is not None
    for type_ in case.shop.events:
        body, headers = case.event(type_, case.sample(type_), "evt_1")
        ((came,), (kept,)) = (
            webhooks.normalise(body, headers),
            webhooks.normalise(case.kept(type_, case.sample(type_)), {}),
        )
        assert replace(came, body=None) == kept
        assert came.subject is not None
        again = came.body or body
        assert webhooks.normalise(again, {}) == (kept,)
        assert webhooks.same(again, case.kept(type_, case.sample(type_), "evt_1"))


@pytest.mark.parametrize("spoil", [b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"hub:headers":1,"hub:body":{}}'])
def test_S08_what_can_t_be_read_is_said_to_be_unreadable(case: Case, spoil: bytes) -> None:
    webhooks = connected(case, "http://127.0.0.1:1").webhooks
    assert webhooks is not None
    with pytest.raises(UnreadableError):
        webhooks.normalise(spoil, {})


def test_S08_an_object_with_anything_in_any_field_is_read_or_said_to_be_unreadable(case: Case) -> None:
    """Never another error, and never a purchase with what is not its id."""
    for kind, sample in case.samples.items():
        for path, odd in ((path, odd) for path in paths(sample) for odd in (None, [], {}, "☃", -1, 1e9, True)):
            body = spoiled(sample, path, odd)
            try:
                facts = case.shop.kinds[kind].reduce(body)
            except UnreadableError:
                continue
            assert isinstance(facts["id"], str), (kind, path, odd)
            json.dumps(facts)


def paths(holder: object, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(holder, dict):
        return [found for name, one in holder.items() for found in [(*before, name), *paths(one, (*before, name))]]
    if isinstance(holder, list):
        return [found for n, one in enumerate(holder) for found in paths(one, (*before, n))]
    return []


def spoiled(sample: Obj, path: tuple[str | int, ...], odd: object) -> Obj:
    body = json.loads(json.dumps(sample))
    holder = body
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = odd
    return dict(body)


def test_a_vendor_that_keeps_failing_is_retried(case: Case) -> None:
    with case.served() as (url, vendor):
        vendor.faults.configure({"plan": [{"fault": "garbage"}] * 9})
        made = connected(case, url).purchases
        assert made is not None
        with pytest.raises((RetryableError, PermanentError)):
            made.fetch(purchase_of(case, sold(case)).ref)


def test_what_began_with_an_order_is_told_by_itself() -> None:
    case = CASES["lemonsqueezy"]
    sale = sold(case)
    one = purchase_of(case, sale).ref
    order = Ref(source="shop", kind="order", id="order-31")
    with case.served(sale) as (url, _):
        made = connected(case, url).purchases
        assert made is not None
        assert made.fetch(order) == SeeOther(ref=one)
        assert [found.ref for found in made.purchases()] == [one]
    own = {had.id: had for had in versions(case, sale)}
    unkeyed = connected(case, "http://127.0.0.1:1", keyed=False).purchases
    assert unkeyed is not None
    assert unkeyed.assemble(order, list(own.values()), own.get) == SeeOther(ref=one)
    alone = {had: one for had, one in own.items() if one.kind == "order"}
    told = unkeyed.assemble(order, list(alone.values()), alone.get)
    assert isinstance(told, Unsupported)
    assert (told.cause, told.on) == ("needs_api_key", "began:31")
