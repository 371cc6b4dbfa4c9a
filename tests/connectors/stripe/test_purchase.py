"""What a subscription and its invoices say: standing, lines, and until when each line is paid."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.stripe.purchase import STANDINGS, found, from_seen, to_purchase
from connectors.stripe.shapes import reduced, reduced_invoice
from hub.domain import Line, Purchase, Standing
from hub.errors import UnreadableError

FIXTURES = Path(__file__).parent / "fixtures"
START = 1_788_220_800  # 2026-09-01
DAY = 86_400
YEAR = 365 * DAY
PRO, ADD = "price_pro", "price_add"


def a_price(id_: str = PRO, **more: Any) -> dict[str, Any]:
    return {"id": id_, "lookup_key": f"{id_}_key", "metadata": {"sku": f"{id_}_sku"}, "product": f"{id_}_prod"} | more


def an_item(
    id_: str = "si_1", of: str = PRO, start: int = START, end: int = START + YEAR, **more: Any
) -> dict[str, Any]:
    return {
        "id": id_,
        "created": START,
        "quantity": 5,
        "price": a_price(of),
        "current_period_start": start,
        "current_period_end": end,
    } | more


def a_subscription(*items: dict[str, Any], status: str = "active", **more: Any) -> dict[str, Any]:
    listed = {"object": "list", "data": list(items) or [an_item()], "has_more": False}
    return {"id": "sub_1", "status": status, "trial_end": None, "customer": "cus_1", "items": listed} | more


def an_old_subscription(end: int = START + YEAR, **more: Any) -> dict[str, Any]:
    """As API versions before 2025-03-31.basil have it: the period stands on the subscription."""
    item = {"id": "si_1", "created": START, "quantity": 5, "plan": {"id": PRO, "product": "prod_1"}}
    return a_subscription(item, current_period_start=START, current_period_end=end, **more)


def a_line(
    item: str | None = "si_1", start: int = START, end: int = START + YEAR, *, proration: bool = False
) -> dict[str, Any]:
    details = {"subscription_item": item, "proration": proration}
    return {
        "period": {"start": start, "end": end},
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "pricing": {"price_details": {"price": PRO, "product": "prod_1"}},
    }


def an_old_line(item: str | None = "si_1", end: int = START + YEAR, *, proration: bool = False) -> dict[str, Any]:
    return {
        "type": "subscription",
        "subscription_item": item,
        "proration": proration,
        "plan": {"id": PRO},
        "period": {"start": START, "end": end},
    }


def an_invoice(
    *lines: dict[str, Any], id_: str = "in_1", status: str = "paid", reason: str = "subscription_cycle", **more: Any
) -> dict[str, Any]:
    return {
        "id": id_,
        "status": status,
        "billing_reason": reason,
        "created": START,
        "parent": {"subscription_details": {"subscription": "sub_1"}},
        "lines": {"data": list(lines) or [a_line()], "has_more": False},
    } | more


def purchase(subscription: dict[str, Any], *invoices: dict[str, Any], complete: bool = True) -> Purchase:
    return to_purchase("stripe", subscription, invoices, complete=complete)


def lines(subscription: dict[str, Any], *invoices: dict[str, Any], complete: bool = True) -> dict[str, Line]:
    return {line.id: line for line in purchase(subscription, *invoices, complete=complete).lines}


def paid(subscription: dict[str, Any], *invoices: dict[str, Any]) -> dict[str, datetime | None]:
    return {id_: line.paid_until for id_, line in lines(subscription, *invoices).items()}


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# Standing


@pytest.mark.parametrize(("status", "standing"), [*STANDINGS.items(), ("invented", Standing.UNKNOWN)])
def test_each_status_has_its_standing_and_is_kept(status: str, standing: Standing) -> None:
    found_ = purchase(a_subscription(status=status))
    assert (found_.standing, found_.status) == (standing, status)


def test_paused_collection_changes_nothing() -> None:
    paused = a_subscription(pause_collection={"behavior": "void", "resumes_at": None})
    assert purchase(paused, an_invoice()) == purchase(a_subscription(), an_invoice())


# Paid until


@pytest.mark.parametrize("subscription", [a_subscription(), an_old_subscription()], ids=["items", "2020"])
@pytest.mark.parametrize("line", [a_line(), an_old_line()], ids=["items", "2020"])
def test_a_paid_invoice_pays_its_line_until_its_end_in_any_mix_of_shapes(subscription: Any, line: Any) -> None:
    assert paid(subscription, an_invoice(line)) == {"si_1": at(START + YEAR)}


def test_the_reason_names_the_invoice_and_the_dates() -> None:
    because = lines(a_subscription(), an_invoice())["si_1"].because
    assert because == "invoice in_1 of 2026-09-01 paid it until 2027-09-01"


def test_a_zero_invoice_is_paid() -> None:
    assert paid(a_subscription(), an_invoice(total=0, amount_paid=0)) == {"si_1": at(START + YEAR)}


def test_an_old_invoice_paid_out_of_band_is_paid() -> None:
    assert paid(a_subscription(), an_invoice(status=None, paid=True, charge=None)) == {"si_1": at(START + YEAR)}


@pytest.mark.parametrize("status", ["draft", "open", "void", "uncollectible", "invented", None])
def test_an_invoice_that_is_not_paid_pays_nothing(status: Any) -> None:
    line = lines(a_subscription(), an_invoice(status=status))["si_1"]
    assert (line.paid_until, line.invoiced) == (None, True)


def test_a_renewal_that_is_made_and_not_paid_leaves_the_last_paid_end() -> None:
    renewed = a_subscription(an_item(start=START + YEAR, end=START + 2 * YEAR), status="past_due")
    unpaid = an_invoice(a_line(start=START + YEAR, end=START + 2 * YEAR), id_="in_2", status="open")
    assert paid(renewed, unpaid, an_invoice()) == {"si_1": at(START + YEAR)}


def test_the_latest_paid_end_counts_whatever_the_order_of_the_invoices() -> None:
    first, second = an_invoice(), an_invoice(a_line(start=START + YEAR, end=START + 2 * YEAR), id_="in_2")
    assert (
        paid(a_subscription(), first, second) == paid(a_subscription(), second, first) == {"si_1": at(START + 2 * YEAR)}
    )


@pytest.mark.parametrize("reason", ["subscription_update", "subscription_cycle"])
def test_a_proration_never_moves_it(reason: str) -> None:
    prorated = an_invoice(a_line(end=START + 9 * YEAR, proration=True), id_="in_2", reason=reason)
    assert paid(a_subscription(), an_invoice(), prorated) == {"si_1": at(START + YEAR)}


def test_a_proration_on_the_first_invoice_pays_the_part_of_a_period_that_it_bills() -> None:
    backdated = an_invoice(a_line(proration=True), reason="subscription_create")
    assert paid(a_subscription(), backdated) == {"si_1": at(START + YEAR)}


def test_a_prorated_time_before_the_sale_shortens_nothing() -> None:
    before, year = a_line(start=START - YEAR // 2, end=START, proration=True), a_line()
    for both in ((before, year), (year, before)):
        assert paid(a_subscription(), an_invoice(*both, reason="subscription_create")) == {"si_1": at(START + YEAR)}


def test_an_old_proration_or_one_on_an_invoice_item_never_moves_it() -> None:
    item = a_line(end=START + 9 * YEAR)
    item["parent"] = {"type": "invoice_item_details", "invoice_item_details": {"proration": True}}
    prorated = an_invoice(an_old_line(end=START + 9 * YEAR, proration=True), item, id_="in_2")
    assert paid(a_subscription(), an_invoice(), prorated) == {"si_1": at(START + YEAR)}


@pytest.mark.parametrize("kind", ["parent", "type"])
def test_a_one_off_item_on_an_invoice_pays_no_period(kind: str) -> None:
    one_off = a_line(None) | {"parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}}}
    old = an_old_line(None) | {"type": "invoiceitem"}
    assert paid(a_subscription(), an_invoice(one_off if kind == "parent" else old)) == {"si_1": None}


def test_a_change_within_the_period_pays_nothing() -> None:
    change = an_invoice(a_line(start=START + 30 * DAY, end=START + 2 * YEAR), reason="subscription_update")
    assert paid(a_subscription(), change) == {"si_1": None}


def test_a_change_that_moved_the_period_start_pays_the_new_period() -> None:
    moved = a_subscription(an_item(start=START + 30 * DAY, end=START + 30 * DAY + YEAR))
    change = an_invoice(a_line(start=START + 30 * DAY, end=START + 30 * DAY + YEAR), reason="subscription_update")
    assert paid(moved, change) == {"si_1": at(START + 30 * DAY + YEAR)}


def test_a_change_that_paid_an_earlier_period_still_counts_when_that_is_over() -> None:
    renewed = a_subscription(an_item(start=START + YEAR, end=START + 2 * YEAR))
    assert paid(renewed, an_invoice(reason="subscription_update")) == {"si_1": at(START + YEAR)}


def test_a_line_without_its_item_is_told_by_a_price_that_one_item_has() -> None:
    assert paid(a_subscription(), an_invoice(an_old_line(None))) == {"si_1": at(START + YEAR)}


def test_a_line_without_its_item_is_nobodys_where_two_items_have_the_price() -> None:
    twins = a_subscription(an_item("si_1"), an_item("si_2"))
    assert paid(twins, an_invoice(a_line(None))) == {"si_1": None, "si_2": None}


def test_a_line_of_an_item_that_is_gone_pays_nothing_for_one_that_was_there_before() -> None:
    earlier = a_subscription(an_item(created=START - DAY))
    assert paid(earlier, an_invoice(a_line("si_gone"))) == {"si_1": None}


def test_a_trial_counts_until_its_end_whatever_the_invoices_say() -> None:
    trial = a_subscription(status="trialing", trial_end=START + 14 * DAY)
    line = lines(trial, an_invoice(status="open"))["si_1"]
    assert (line.paid_until, line.invoiced) == (at(START + 14 * DAY), False)


def test_a_trial_that_is_over_counts_no_more() -> None:
    over = a_subscription(status="active", trial_end=START + 14 * DAY)
    zero = an_invoice(a_line(end=START + 14 * DAY), reason="subscription_create", total=0)
    assert paid(over, an_invoice(status="draft", id_="in_2"), zero) == {"si_1": at(START + 14 * DAY)}


# More items than one


def test_each_item_is_paid_by_its_own_lines() -> None:
    mixed = a_subscription(an_item("si_1"), an_item("si_2", ADD, end=START + 30 * DAY))
    invoice = an_invoice(a_line("si_1"), a_line("si_2", end=START + 30 * DAY))
    assert paid(mixed, invoice) == {"si_1": at(START + YEAR), "si_2": at(START + 30 * DAY)}


def joined(**more: Any) -> dict[str, Any]:
    return a_subscription(an_item("si_1"), an_item("si_2", ADD, **({"created": START + 30 * DAY} | more)))


def test_an_item_that_joined_with_a_paid_proration_shares_its_siblings_term() -> None:
    change = an_invoice(a_line("si_2", proration=True), id_="in_2", reason="subscription_update")
    line = lines(joined(created=None), change, an_invoice())["si_2"]
    assert line.paid_until == at(START + YEAR)
    assert line.because.startswith("joined during the term of si_1: invoice in_1")


def test_an_item_that_joined_and_is_billed_with_the_renewal_shares_its_siblings_term() -> None:
    assert paid(joined(), an_invoice()) == {"si_1": at(START + YEAR), "si_2": at(START + YEAR)}


def test_an_item_that_joined_owing_its_proration_shares_nothing() -> None:
    owed = an_invoice(a_line("si_2", proration=True), id_="in_2", status="open", reason="subscription_update")
    assert paid(joined(), owed, an_invoice())["si_2"] is None


def test_an_item_with_another_period_shares_nothing() -> None:
    assert paid(joined(end=START + 2 * YEAR), an_invoice())["si_2"] is None


def test_an_item_that_was_there_from_the_start_shares_nothing() -> None:
    assert paid(joined(created=START), an_invoice())["si_2"] is None


def test_an_item_that_took_the_place_of_a_paid_one_within_the_second_of_the_sale_is_paid() -> None:
    """`created` has whole seconds: a script that sells and then swaps is done within one."""
    line = lines(a_subscription(an_item("si_2", ADD, created=START)), an_invoice(a_line("si_1")))["si_2"]
    assert line.paid_until == at(START + YEAR)
    assert line.because.startswith("took the place of si_1, which invoice in_1 paid")


@pytest.mark.parametrize("more", [{"quantity": None}, {"end": START + 2 * YEAR}, {"created": None}])
def test_an_item_of_that_second_is_paid_by_nothing_without_proof(more: dict[str, Any]) -> None:
    swapped = a_subscription(an_item("si_2", ADD, **({"created": START} | more)))
    assert paid(swapped, an_invoice(a_line("si_1"))) == {"si_2": None}


def test_an_item_of_that_second_that_owes_is_not_paid_by_the_one_before() -> None:
    swapped = a_subscription(an_item("si_2", ADD, created=START))
    owed = an_invoice(a_line("si_2"), id_="in_2", status="open")
    assert paid(swapped, owed, an_invoice(a_line("si_1"))) == {"si_2": None}


def test_two_items_that_joined_do_not_pay_each_other() -> None:
    both = a_subscription(an_item("si_1", created=START + 1), an_item("si_2", ADD, created=START + 1))
    assert paid(both) == {"si_1": None, "si_2": None}


# What is known of invoices


def test_without_invoices_none_is_claimed() -> None:
    line = lines(a_subscription())["si_1"]
    assert (line.paid_until, line.invoiced, line.because) == (None, False, "no invoice is known")


def test_with_older_invoices_unread_no_debt_is_claimed() -> None:
    line = lines(a_subscription(), an_invoice(status="open"), complete=False)["si_1"]
    assert (line.paid_until, line.invoiced) == (None, False)


def test_with_invoice_lines_unread_no_debt_is_claimed() -> None:
    cut = an_invoice(a_line("si_9"), lines={"data": [a_line("si_9")], "has_more": True})
    assert lines(a_subscription(), cut)["si_1"].invoiced is False


def test_the_period_is_told_paid_or_not() -> None:
    line = lines(an_old_subscription())["si_1"]
    assert (line.period_start, line.period_end) == (at(START), at(START + YEAR))


# What was sold, and to whom


def test_a_line_names_price_lookup_key_sku_and_product() -> None:
    line = lines(a_subscription())["si_1"]
    assert line.keys == ("price_pro", "price_pro_key", "price_pro_sku", "price_pro_prod")
    assert line.sku == "price_pro_key"


@pytest.mark.parametrize(
    ("item", "keys"),
    [
        ({"price": a_price(lookup_key=None, metadata={}, product={"id": "prod_x", "name": "X"})}, (PRO, "prod_x")),
        ({"price": a_price(lookup_key=None, metadata={"offering_sku": "OLD"}, product=None)}, (PRO, "OLD")),
        ({"price": None, "plan": {"id": "plan_1", "product": "prod_1"}}, ("plan_1", "prod_1")),
        ({"price": "price_1"}, ("price_1",)),
        ({"price": a_price(lookup_key=PRO, metadata=None, product=PRO, deleted=True)}, (PRO,)),
        ({"price": None, "plan": None}, ()),
    ],
    ids=["expanded product", "older metadata", "plan", "id only", "all the same", "nothing"],
)
def test_keys_are_found_in_every_shape(item: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert lines(a_subscription(an_item(**item)))["si_1"].keys == keys


def test_what_the_seller_wrote_is_told_the_most_telling_last() -> None:
    of = a_price(
        metadata={"tier": "gold", "edition": "EU"}, product={"id": "prod_1", "metadata": {"tier": "tin", "p": "1"}}
    )
    sold = a_subscription(
        an_item(price=of, metadata={"edition": "US"}), metadata={"channel": "reseller"}, created=START
    )
    told = purchase(sold)
    assert told.metadata == {"channel": "reseller"}
    assert told.lines[0].metadata == {"tier": "gold", "p": "1", "edition": "US"}
    assert told.bought_at == datetime.fromtimestamp(START, UTC)
    assert from_seen("stripe", found("stripe", sold, []).seen) == told


def test_of_metadata_only_short_texts_stay_and_no_address_of_a_person() -> None:
    odd = {"n": 1, "none": None, "long": "x" * 501, "k" * 41: "x", "by": "ada@acme.example", "ok": "a\0b"}
    assert purchase(a_subscription(metadata=odd)).metadata == {"ok": "ab"}
    many = {f"k{number:02}": "v" for number in range(60)}
    assert len(purchase(a_subscription(metadata=many)).metadata) == 50


@pytest.mark.parametrize(("sent", "quantity"), [({"quantity": 8}, 8), ({"quantity": 0}, 0), ({"quantity": None}, None)])
def test_a_quantity_is_a_count_or_none(sent: dict[str, Any], quantity: int | None) -> None:
    assert lines(a_subscription(an_item(**sent)))["si_1"].quantity == quantity


def test_a_metered_item_has_no_quantity_and_is_not_zero() -> None:
    item = an_item()
    del item["quantity"]
    assert lines(a_subscription(item))["si_1"].quantity is None


@pytest.mark.parametrize(
    ("customer", "ref", "name"),
    [
        ("cus_1", None, None),
        ({"id": "cus_1", "deleted": True}, None, None),
        (
            {"id": "cus_1", "name": "Acme", "email": "a@acme.example", "metadata": {"customer_ref": "001"}},
            "001",
            "Acme",
        ),
        ({"id": "cus_1", "name": "", "email": "a@acme.example", "metadata": {}}, None, "a@acme.example"),
        ({"id": "cus_1", "name": "A\0c\ud800me"}, None, "Ac?me"),
    ],
    ids=["id", "deleted", "named", "e-mail only", "unfit text"],
)
def test_a_customer_is_told_by_id_reference_and_name(customer: Any, ref: str | None, name: str | None) -> None:
    told = purchase(a_subscription(customer=customer)).customer
    assert (told.id, told.customer_ref, told.name) == ("cus_1", ref, name)


def test_an_item_that_is_deleted_is_no_line() -> None:
    assert list(lines(a_subscription(an_item("si_1"), {"id": "si_2", "deleted": True}))) == ["si_1"]


def test_more_items_than_the_object_carries_are_never_dropped_in_silence() -> None:
    with pytest.raises(UnreadableError, match="more items"):
        purchase(a_subscription(items={"data": [an_item()], "has_more": True}))


# What was seen


def test_what_was_seen_gives_the_same_purchase_and_no_more_than_it_needs() -> None:
    customer = {"id": "cus_1", "name": "Acme", "email": "canary@acme.example", "address": {"line1": "canary"}}
    told = found("stripe", a_subscription(customer=customer), [an_invoice(customer_email="canary@x.example")])
    assert from_seen("stripe", json.loads(json.dumps(told.seen))) == told.purchase
    assert "canary" not in json.dumps(told.seen)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_reducing_twice_is_reducing_once(path: Path) -> None:
    carried = json.loads(path.read_text())["data"]["object"] if "thin" not in path.stem else {}
    reducer = {"subscription": reduced, "invoice": reduced_invoice}.get(carried.get("object"))
    if reducer:
        assert reducer(reducer(carried)) == reducer(carried)


@pytest.mark.parametrize("name", ["active", "active_2020"])
def test_fixtures_of_both_generations_tell_the_same_but_for_the_lookup_key(name: str) -> None:
    subscription = json.loads((FIXTURES / f"customer.subscription.created__{name}.json").read_text())["data"]["object"]
    for first in ("first", "first_2020", "both_shapes"):
        invoice = json.loads((FIXTURES / f"invoice.paid__{first}.json").read_text())["data"]["object"]
        (line,) = to_purchase("stripe", subscription, [invoice]).lines
        assert (line.id, line.sku, line.quantity, line.paid_until) == ("si_Pro1", "PRO-100", 5, at(START + YEAR))


_junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2**70)
    | st.floats()
    | st.text("a0_\x00\ud800é😀", max_size=4)  # a few odd ones: the table of all takes a second to make
    | st.sampled_from(["active", "trialing", "si_1", PRO, "paid"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "data", "price", "plan", "period", "start", "end", "quantity", "parent", "has_more"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def spoiled(base: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`base` with some of its fields replaced by junk."""
    return st.dictionaries(st.sampled_from(sorted(base)), _junk, max_size=3).map(lambda junk: base | junk)


@given(
    subscription=st.one_of(
        spoiled(a_subscription()),
        spoiled(an_old_subscription()),
        spoiled(an_item()).map(a_subscription),
    ),
    invoice=st.one_of(spoiled(an_invoice()), spoiled(a_line()).map(an_invoice), spoiled(an_old_line()).map(an_invoice)),
    complete=st.booleans(),
)
def test_junk_is_a_purchase_that_can_be_told_again_or_unreadable(
    subscription: dict[str, Any], invoice: dict[str, Any], *, complete: bool
) -> None:
    try:
        told = found("stripe", subscription, [invoice], complete=complete)
    except UnreadableError:
        return
    assert told.purchase == purchase(subscription, invoice, complete=complete)
    assert from_seen("stripe", told.seen) == told.purchase
