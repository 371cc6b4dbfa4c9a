"""Without an API key the newest stored versions stand in; a look knows whether it saw what an event carries."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.stripe.purchase import found, from_seen
from connectors.stripe.stored import assemble, contains, newest, stored
from hub.domain import Ref, Standing
from hub.errors import UnreadableError
from hub.ports import Found, SeeOther, StoredObject, Unsupported, Waiting

FIXTURES = Path(__file__).parent / "fixtures"
SUB = Ref(source="stripe", kind="subscription", id="sub_1QaFirst")
START = 1_788_220_800
YEAR = 365 * 86_400


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def an_event(
    name: str,
    type_: str | None = None,
    *,
    id_: str | None = None,
    created: int | None = None,
    previous: dict[str, Any] | None = None,
    **fields: Any,
) -> bytes:
    """A fixture with another id, type or time, and other fields in its object."""
    event = fixture(name)
    event["data"]["object"] |= fields
    event["data"].pop("previous_attributes", None)
    if previous is not None:
        event["data"]["previous_attributes"] = previous
    changes = {"id": id_, "created": created, "type": type_}
    return json.dumps(event | {key: value for key, value in changes.items() if value is not None}).encode()


def kept(body: bytes) -> StoredObject:
    one, *_links = stored(body)
    return one


def finder(*objects: StoredObject) -> Callable[[str], StoredObject | None]:
    return {one.id: one for one in objects}.get


def told(objects: Sequence[StoredObject], *customers: StoredObject) -> Found:
    answer = assemble("stripe", SUB, objects, finder(*customers))
    assert isinstance(answer, Found)
    return answer


ACTIVE = kept(an_event("customer.subscription.created__active"))
PAID = kept(an_event("invoice.paid__first"))
ACME = kept(an_event("customer.created__named"))
NAMELESS = kept(an_event("customer.created__email_only"))
SESSION = kept(an_event("checkout.session.completed__subscription"))


# stored


@pytest.mark.parametrize(
    ("name", "kind", "id_"),
    [
        ("customer.subscription.updated__quantity_2020", "subscription", "sub_1QaFirst"),
        ("invoice.created__draft", "invoice", "in_1QaSecond"),
        ("customer.created__named", "customer", "cus_Acme1"),
        ("checkout.session.completed__one_off", "checkout", "cs_test_a1First"),
    ],
)
def test_an_event_leaves_a_version_of_its_object(name: str, kind: str, id_: str) -> None:
    one = kept(json.dumps(fixture(name)).encode())
    assert (one.kind, one.id, one.event_type) == (kind, id_, name.split("__", maxsplit=1)[0])


@pytest.mark.parametrize("name", ["payment_intent.succeeded__ignored"])
def test_an_object_that_counts_for_nothing_leaves_none(name: str) -> None:
    assert stored(json.dumps(fixture(name)).encode()) == ()


def test_an_upcoming_invoice_has_no_id_and_leaves_none() -> None:
    assert stored(an_event("invoice.paid__first", "invoice.upcoming", id=None)) == ()


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_no_address_phone_or_payment_detail_is_kept(path: Path) -> None:
    text = json.dumps([[one.body, one.previous] for one in stored(path.read_bytes())])
    assert not [word for word in ("Musterweg", "10115", "+49", "hosted_invoice", "pm_1Qa") if word in text]


def test_the_email_is_kept_only_where_there_is_no_name() -> None:
    assert "@" not in json.dumps(ACME.body)
    assert "billing@acme.example" in json.dumps(NAMELESS.body)


def test_previous_holds_the_old_values_of_what_counts_alone() -> None:
    assert kept(json.dumps(fixture("customer.subscription.updated__past_due")).encode()).previous == {
        "status": "active"
    }
    assert kept(an_event("customer.subscription.created__active", previous={"latest_invoice": "in_0"})).previous is None


def test_previous_of_an_older_shape_speaks_of_the_items() -> None:
    before = {"current_period_end": START + 5}
    previous = kept(an_event("customer.subscription.created__active_2020", previous=before)).previous
    assert previous is not None
    assert [item["current_period_end"] for item in previous["items"]] == [START + 5]  # type: ignore[index, union-attr, call-overload]


def test_previous_of_a_customer_goes_together_key_by_key() -> None:
    changed = kept(
        an_event("customer.created__named", "customer.updated", previous={"metadata": {"customer_ref": "0"}})
    )
    assert changed.previous == {"metadata": {"customer_ref": "0"}}


# newest


def a_version(
    id_: str, type_: str = "customer.subscription.updated", created: int = START, previous: Any = None, **fields: Any
) -> StoredObject:
    return kept(
        an_event("customer.subscription.created__active", type_, id_=id_, created=created, previous=previous, **fields)
    )


def an_invoice_version(id_: str, status: str, type_: str = "invoice.updated") -> StoredObject:
    return kept(an_event("invoice.paid__first", type_, id_=id_, created=START, status=status))


def test_the_later_second_is_newer_whatever_the_ids() -> None:
    late, early = a_version("evt_1", created=START + 1), a_version("evt_2", status="canceled")
    assert newest([late, early]) == newest([early, late]) == late


def test_within_a_second_the_end_is_newest() -> None:
    over = a_version("evt_1", "customer.subscription.deleted", status="canceled")
    after = a_version("evt_9", status="past_due", previous={"status": "active"})
    assert newest([over, after]) == over


def test_within_a_second_a_dispute_that_is_won_is_over() -> None:
    won, appealed = (
        kept(an_event("charge.dispute.closed__won", type_, id_=id_, created=START, status=status))
        for type_, id_, status in (
            ("charge.dispute.closed", "evt_1", "won"),
            ("charge.dispute.updated", "evt_9", "appeal_under_review"),
        )
    )
    assert newest([won, appealed]) == won


def test_within_a_second_the_one_that_others_came_of_is_older() -> None:
    first = a_version("evt_9", status="incomplete", previous={"status": "trialing"})
    second = a_version("evt_1", status="active", previous={"status": "incomplete"})
    assert newest([first, second]) == second


def test_within_a_second_a_chain_of_changes_is_followed_to_its_end() -> None:
    made = a_version("evt_5", "customer.subscription.created", status="incomplete", trial_end=None)
    first = a_version("evt_9", status="active", trial_end=None, previous={"status": "incomplete"})
    second = a_version("evt_1", status="active", trial_end=7, previous={"trial_end": None})
    assert newest([made, first, second]) == second


def test_within_a_second_created_comes_before_updated() -> None:
    made = a_version("evt_9", "customer.subscription.created", status="incomplete")
    assert newest([a_version("evt_1"), made]).event_id == "evt_1"


@pytest.mark.parametrize("later", ["open", "paid", "void", "uncollectible"])
def test_within_a_second_an_invoice_goes_on_from_draft(later: str) -> None:
    assert newest([an_invoice_version("evt_1", later), an_invoice_version("evt_9", "draft")]).event_id == "evt_1"


def test_within_a_second_a_written_off_invoice_may_still_be_paid() -> None:
    versions = [an_invoice_version("evt_1", "paid"), an_invoice_version("evt_9", "uncollectible")]
    assert newest(versions).event_id == "evt_1"


def test_at_last_the_higher_event_id_is_newer() -> None:
    assert newest([a_version("evt_2", status="past_due"), a_version("evt_1")]).event_id == "evt_2"


_versions = st.builds(
    a_version,
    st.sampled_from(["evt_1", "evt_2", "evt_3", "evt_4"]),
    st.sampled_from([f"customer.subscription.{last}" for last in ("created", "updated", "deleted")]),
    st.sampled_from([START, START + 1]),
    st.none() | st.fixed_dictionaries({"status": st.sampled_from(["active", "incomplete", "past_due", "canceled"])}),
    status=st.sampled_from(["active", "incomplete", "past_due", "canceled"]),
)


@given(versions=st.lists(_versions, min_size=1, max_size=6), data=st.data())
def test_the_newest_is_the_same_in_any_order_of_arrival(versions: list[StoredObject], data: st.DataObject) -> None:
    assert newest(data.draw(st.permutations(versions))) == newest(versions)


@given(
    st.lists(st.sampled_from(["incomplete", "active", "past_due", "unpaid"]), min_size=2, max_size=4, unique=True),
    st.randoms(),
)
def test_the_end_of_a_chain_within_a_second_is_found_in_any_order(statuses: list[str], random: Any) -> None:
    ids = random.sample(range(100, 999), len(statuses))
    chain = [
        a_version(f"evt_{id_}", status=status, previous={"status": before} if before else None)
        for id_, status, before in zip(ids, statuses, [None, *statuses], strict=False)
    ]
    random.shuffle(chain)
    assert newest(chain).body["status"] == statuses[-1]


# assemble


def test_stored_objects_tell_the_purchase() -> None:
    purchase = told([PAID, ACTIVE, SESSION], ACME).purchase
    assert purchase.customer.customer_ref == "001ACME"
    assert [line.paid_until for line in purchase.lines] == [datetime.fromtimestamp(START + YEAR, UTC)]


def test_stored_objects_tell_the_same_as_read_ones() -> None:
    subscription = fixture("customer.subscription.created__active")["data"]["object"]
    customer = fixture("customer.created__named")["data"]["object"]
    invoice = fixture("invoice.paid__first")["data"]["object"]
    assert told([ACTIVE, PAID], ACME) == found("stripe", subscription | {"customer": customer}, [invoice])


def test_without_its_subscription_a_subject_waits_for_it() -> None:
    answer = assemble("stripe", SUB, [PAID, SESSION], finder(ACME))
    assert isinstance(answer, Waiting)
    assert (answer.on, answer.proceed) == ("sub_1QaFirst", None)


def test_without_its_customer_a_subject_may_go_on_without_a_name() -> None:
    answer = assemble("stripe", SUB, [ACTIVE, PAID], finder())
    assert isinstance(answer, Waiting)
    assert answer.on == "cus_Acme1"
    assert answer.proceed is not None
    assert (answer.proceed.purchase.customer.id, answer.proceed.purchase.customer.name) == ("cus_Acme1", None)


@pytest.mark.parametrize(
    ("objects", "customers", "name"),
    [
        ([ACTIVE, SESSION], [ACME], "Acme GmbH"),
        ([ACTIVE, SESSION], [NAMELESS], "Acme GmbH"),
        ([ACTIVE], [NAMELESS], "billing@acme.example"),
    ],
    ids=["its own", "given at checkout", "e-mail"],
)
def test_a_customer_is_called_by_its_name_else_the_one_given_at_checkout(
    objects: list[StoredObject], customers: list[StoredObject], name: str
) -> None:
    assert told(objects, *customers).purchase.customer.name == name


def test_no_debt_is_claimed_before_an_invoice_is_known() -> None:
    assert [line.invoiced for line in told([ACTIVE], ACME).purchase.lines] == [False]


def test_a_debt_is_claimed_once_an_unpaid_invoice_is_known() -> None:
    draft = kept(an_event("invoice.paid__first", "invoice.finalized", status="open"))
    assert [line.invoiced for line in told([ACTIVE, draft], ACME).purchase.lines] == [True]


def test_an_invoice_of_another_subscription_is_not_ours() -> None:
    other = kept(an_event("invoice.paid__first", parent={"subscription_details": {"subscription": "sub_2"}}))
    assert [line.paid_until for line in told([ACTIVE, other], ACME).purchase.lines] == [None]


def test_a_canceled_subscription_is_ended() -> None:
    over = kept(an_event("customer.subscription.deleted__canceled"))
    assert told([over, PAID], ACME).purchase.standing is Standing.ENDED


def test_more_items_than_an_event_carries_need_an_api_key() -> None:
    items = fixture("customer.subscription.created__active")["data"]["object"]["items"] | {"has_more": True}
    cut = kept(an_event("customer.subscription.created__active", items=items))
    assert isinstance(assemble("stripe", SUB, [cut], finder(ACME)), Unsupported)


@pytest.mark.parametrize("kind", ["checkout", "customer", "refund", "dispute", "warning", "charge", "credit_note"])
def test_what_no_event_has_brought_yet_waits(kind: str) -> None:
    assert isinstance(assemble("stripe", Ref(source="stripe", kind=kind, id="x"), [], finder()), Waiting)


# one-off sales


def a_ref(kind: str, id_: str) -> Ref:
    return Ref(source="stripe", kind=kind, id=id_)


def test_a_one_off_sale_is_told_by_its_line_items() -> None:
    session = kept(an_event("checkout.session.completed__guest_with_lines"))
    told = assemble("stripe", a_ref("checkout", session.id), [session], finder())
    assert isinstance(told, Found)
    (line,) = told.purchase.lines
    assert (line.sku, line.quantity, line.once, told.purchase.standing) == ("PRO-PERPETUAL", 5, True, Standing.CURRENT)
    assert told.purchase.customer.id == session.id


def test_a_one_off_sale_is_told_by_its_metadata_where_it_has_no_line_items() -> None:
    session = kept(an_event("checkout.session.completed__metadata"))
    told = assemble("stripe", a_ref("checkout", session.id), [session], finder(ACME))
    assert isinstance(told, Found)
    (line,) = told.purchase.lines
    assert (line.keys, line.quantity) == (("price_1QaPerpetual",), 3)


def test_a_one_off_sale_that_says_nothing_of_what_was_bought_needs_an_api_key() -> None:
    session = kept(an_event("checkout.session.completed__one_off"))
    told = assemble("stripe", a_ref("checkout", session.id), [session], finder(ACME))
    assert isinstance(told, Unsupported)
    assert told.cause == "needs_api_key"


def test_a_delayed_payment_that_fails_ends_the_sale() -> None:
    waiting = an_event("checkout.session.completed__metadata", payment_status="unpaid")
    failed = an_event("checkout.session.async_payment_failed__one_off", id="cs_test_c3Named")
    for bodies, standing in (([waiting], Standing.PENDING), ([waiting, failed], Standing.ENDED)):
        session = newest([kept(body) for body in bodies])
        metadata = {**session.body, "metadata": {"price": "price_1", "quantity": None}}
        told = assemble("stripe", a_ref("checkout", session.id), [replace(session, body=metadata)], finder(ACME))
        assert isinstance(told, Found)
        assert told.purchase.standing is standing


# money that was paid back


REFUNDED, LINK = kept(an_event("charge.refunded__full")), kept(an_event("invoice_payment.paid__card"))
PI = a_ref("payment", "pi_1QaFirst")


def test_a_refund_finds_its_subscription_by_the_invoice_payment_or_by_the_charge_s_invoice_of_old() -> None:
    old = kept(an_event("charge.refunded__full_2020"))
    for objects in ([REFUNDED, LINK], [old]):
        assert assemble("stripe", PI, objects, finder(PAID)) == SeeOther(ref=SUB, keep=True)


def test_a_refund_finds_its_subscription_by_an_invoice_that_names_the_payment() -> None:
    _, *links = stored(an_event("invoice.paid__first", payment_intent="pi_1QaFirst", charge="ch_1QaFirst"))
    assert [one.id for one in links] == ["pi_1QaFirst", "ch_1QaFirst"]
    assert assemble("stripe", PI, [REFUNDED], finder(PAID, *links)) == SeeOther(ref=SUB, keep=True)


def test_a_refund_finds_its_checkout_by_the_payment_intent_or_by_metadata() -> None:
    _, *links = stored(an_event("checkout.session.completed__one_off"))
    once = kept(an_event("charge.refunded__one_off"))
    other = kept(an_event("charge.refunded__one_off", metadata={}))
    to = SeeOther(ref=a_ref("checkout", "cs_test_a1First"), keep=True)
    payment = a_ref("payment", "pi_1QaOnce")
    assert assemble("stripe", payment, [once], finder()) == to
    assert assemble("stripe", payment, [other], finder(*links)) == to


def test_a_refund_of_a_payment_that_nobody_names_is_parked_until_somebody_does() -> None:
    alone = assemble("stripe", PI, [REFUNDED], finder())
    named = assemble("stripe", PI, [REFUNDED, LINK], finder())
    assert isinstance(alone, Unsupported)
    assert isinstance(named, Unsupported)
    assert (alone.cause, alone.on, named.on) == ("needs_api_key", "pi_1QaFirst", "in_1QaFirst")


def test_a_payment_of_which_nothing_was_paid_back_changes_nothing() -> None:
    assert isinstance(assemble("stripe", PI, [LINK], finder()), Waiting)


def test_a_credit_note_finds_its_subscription_by_its_invoice() -> None:
    note = kept(an_event("credit_note.created__seats"))
    credit = a_ref("credit", "in_1QaFirst")
    assert assemble("stripe", credit, [note], finder(PAID)) == SeeOther(ref=SUB, keep=True)
    parked = assemble("stripe", credit, [note], finder())
    assert isinstance(parked, Unsupported)
    assert parked.on == "in_1QaFirst"


def test_what_was_paid_back_is_off_and_on_again_where_the_refund_failed() -> None:
    failed = kept(an_event("refund.failed__full"))
    for objects, back in (([REFUNDED, LINK], True), ([REFUNDED, LINK, failed], False)):
        facts = assemble("stripe", SUB, [ACTIVE, PAID, *objects], finder(ACME, PAID))
        assert isinstance(facts, Found)
        assert [bool(line.reversed) for line in facts.purchase.lines] == [back]
        assert from_seen("stripe", json.loads(json.dumps(facts.seen))) == facts.purchase


def test_credited_seats_are_taken_from_their_line() -> None:
    note = kept(an_event("credit_note.created__seats"))
    facts = told([ACTIVE, PAID, note], ACME, PAID)
    assert [line.quantity for line in facts.purchase.lines] == [3]
    voided = newest([note, kept(an_event("credit_note.voided__seats"))])
    assert [line.quantity for line in told([ACTIVE, PAID, voided], ACME, PAID).purchase.lines] == [5]


# thin events


THIN = (FIXTURES / "v1.customer.subscription.updated__thin.json").read_bytes()


def test_a_thin_event_leaves_a_mark_that_parks_until_its_object_comes() -> None:
    (mark,) = stored(THIN)
    parked = assemble("stripe", SUB, [mark], finder())
    assert isinstance(parked, Unsupported)
    assert (parked.cause, parked.on) == ("needs_api_key", SUB.id)
    older, twin = replace(ACTIVE, created=mark.created - 1), replace(ACTIVE, created=mark.created)
    assert isinstance(assemble("stripe", SUB, [mark, older, PAID], finder(ACME)), Unsupported)
    assert isinstance(assemble("stripe", SUB, [mark, twin, PAID], finder(ACME)), Found)


# contains


SEEN = told([ACTIVE, PAID], ACME).seen


@pytest.mark.parametrize(
    "event",
    [
        an_event("customer.subscription.created__active"),
        an_event("customer.subscription.created__active_2020"),
        an_event("customer.subscription.created__active", default_payment_method=None),
        an_event("invoice.paid__first"),
        an_event("invoice.paid__first_2020"),
        an_event("checkout.session.completed__subscription"),
        an_event("customer.created__named"),
        an_event("customer.created__named", email="other@acme.example", phone=None),
    ],
)
def test_what_was_seen_contains_an_event_that_is_equal_in_all_that_counts(event: bytes) -> None:
    assert contains(SEEN, event)


@pytest.mark.parametrize(
    "event",
    [
        an_event("customer.subscription.updated__quantity"),
        an_event("customer.subscription.created__active", status="past_due"),
        an_event("customer.subscription.created__active", cancel_at_period_end=True),
        an_event("customer.subscription.created__active", trial_end=START + 5),
        an_event("customer.subscription.created__active", id="sub_2"),
        an_event("customer.subscription.created__active", items={"data": [], "has_more": False}),
        an_event("customer.subscription.created__active", customer="cus_2"),
        an_event("customer.subscription.deleted__canceled"),
        an_event("customer.subscription.created__active", items=None),
        an_event("invoice.paid__first", status="open"),
        an_event("invoice.paid__first", status=None),
        an_event("invoice.paid__renewal"),
        an_event("checkout.session.completed__subscription", subscription="sub_2"),
        an_event("checkout.session.completed__one_off"),
        an_event("customer.updated__renamed"),
        an_event("customer.created__named", metadata={}),
        an_event("customer.created__named", id="cus_2"),
        an_event("customer.created__named", deleted=True),
        json.dumps(fixture("payment_intent.succeeded__ignored")).encode(),
        json.dumps(fixture("v1.customer.subscription.updated__thin")).encode(),
        b"[",
    ],
)
def test_in_any_doubt_it_does_not(event: bytes) -> None:
    assert not contains(SEEN, event)


@pytest.mark.parametrize("seen", [{}, {"subscription": 5}, {"subscription": {"id": "sub_1QaFirst"}, "invoices": [7]}])
def test_an_odd_observation_contains_nothing(seen: dict[str, Any]) -> None:
    names = ("customer.subscription.created__active", "invoice.paid__first", "customer.created__named")
    assert not any(contains(seen, an_event(name)) for name in names)


def test_a_malformed_object_is_unreadable() -> None:
    with pytest.raises(UnreadableError):
        stored(an_event("customer.subscription.created__active", items=None))


def test_a_look_that_read_the_product_s_metadata_too_has_seen_the_subscription() -> None:
    body = an_event("customer.subscription.updated__quantity")
    sold = json.loads(body)["data"]["object"]
    item = sold["items"]["data"][0]
    product = {"id": item["price"]["product"], "object": "product", "metadata": {"tier": "gold"}}
    read = {**sold, "items": {"data": [{**item, "price": {**item["price"], "product": product}}], "has_more": False}}
    seen = found("stripe", read, [])
    assert seen.purchase.lines[0].metadata["tier"] == "gold"
    assert contains(seen.seen, body)
    assert not contains(seen.seen, an_event("customer.subscription.updated__quantity", metadata={"channel": "web"}))


def test_metadata_and_date_of_a_sale_are_known_from_events_alone() -> None:
    sold = kept(an_event("customer.subscription.updated__quantity", metadata={"channel": "web"}))
    purchase = told([sold], ACME).purchase
    assert (purchase.metadata, purchase.bought_at) == (
        {"channel": "web"},
        datetime.fromtimestamp(sold.body["created"], UTC),
    )
