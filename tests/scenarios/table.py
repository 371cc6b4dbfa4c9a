"""Every tricky case that Stripe can raise, as one table: what was seen of the purchase, and the license expected.

Each history is what successive looks see, oldest first, as Stripe's objects. `docs/policy.md` shows the table.
Numbers are those of the commerce reference, §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
DAY = 86_400
START = 1_788_220_800  # 2026-09-01
YEAR, MONTH = 365 * DAY, 30 * DAY
TWO_YEARS = 2 * YEAR + DAY  # 2028 has a February 29
SKUS = {
    "price_pro": "PRO-100",
    "price_month": "PRO-100",
    "price_pack": "PRO-100",
    "price_team": "TEAM-YEAR",
    "price_perp": "PERP-1",
}
MAINTAINS = {"price_care": "PERP-1"}


@dataclass(frozen=True)
class Seen:
    """What one look sees: a subscription with invoices or a checkout session, and payments that are about it."""

    sold: Obj
    invoices: tuple[Obj, ...] = ()
    reversals: tuple[Obj, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class Scenario:
    """`history` may go on with another purchase of the same customer. `expected` has a line an entitlement, and one for the tasks that are open, as `told` in test_scenarios says it."""

    number: str
    name: str
    history: tuple[Seen, ...]
    expected: tuple[str, ...]
    ends: Mapping[str, str] = field(default_factory=dict)


def item(price: str = "price_pro", quantity: int | None = 5, id_: str = "si_1", **more: Any) -> Obj:
    known = {"current_period_start": START, "current_period_end": START + YEAR, "created": START}
    return {"id": id_, "quantity": quantity, "price": {"id": price, "product": "prod_1"}} | known | more


def sub(*items: Obj, status: str = "active", **more: Any) -> Obj:
    listed = {"data": list(items) or [item()], "has_more": False}
    return {"id": "sub_1", "object": "subscription", "status": status, "customer": "cus_1", "items": listed} | more


def line(id_: str = "il_1", of: str | None = "si_1", start: int = START, end: int = START + YEAR, **more: Any) -> Obj:
    proration = more.pop("proration", False)
    details = {"subscription_item": of, "proration": proration}
    parent = {"type": "subscription_item_details", "subscription_item_details": details}
    return {"id": id_, "quantity": 5, "amount": 60_000, "period": {"start": start, "end": end}, "parent": parent} | more


def once(price: str, id_: str = "il_once", quantity: int = 5) -> Obj:
    return {
        "id": id_,
        "quantity": quantity,
        "amount": 90_000,
        "period": {"start": START, "end": START},
        "parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}},
        "pricing": {"price_details": {"price": price, "product": "prod_1"}},
    }


def bill(*lines: Obj, id_: str = "in_1", status: str = "paid", reason: str = "subscription_create", **more: Any) -> Obj:
    rows = {"data": list(lines) or [line()], "has_more": False}
    parent = {"subscription_details": {"subscription": "sub_1"}}
    known = {"created": START, "billing_reason": reason, "parent": parent, "lines": rows, "total": 60_000}
    return {"id": id_, "object": "invoice", "status": status} | known | more


def renewal(status: str = "paid", **more: Any) -> Obj:
    lines = more.pop("lines_", [line("il_2", start=START + YEAR, end=START + TWO_YEARS)])
    return bill(*lines, id_="in_2", status=status, reason="subscription_cycle", created=START + YEAR, **more)


def renewed_item(**more: Any) -> Obj:
    return item(current_period_start=START + YEAR, current_period_end=START + TWO_YEARS, **more)


def back(invoice: Obj | None = None, amount: int = 60_000, status: str = "succeeded", **more: Any) -> Obj:
    """A refund of the payment of `invoice` (None: of a one-off sale)."""
    charge = {"id": "ch_1", "amount": 60_000, "amount_refunded": amount, "status": "succeeded"}
    refund = {"id": "re_1", "charge": "ch_1", "amount": amount, "status": status}
    return {"id": "pi_1", "invoice": invoice, "charges": [charge], "refunds": [refund] if amount else []} | more


def disputed(status: str, invoice: Obj | None = None, amount: int = 60_000) -> Obj:
    return back(invoice, 0, disputes=[{"id": "dp_1", "charge": "ch_1", "status": status, "amount": amount}])


def note(quantity: int | None, amount: int, of: str | None = "il_1") -> Obj:
    lines = [{"invoice_line_item": of, "quantity": quantity, "amount": amount}]
    return {"id": "cn_1", "invoice": "in_1", "status": "issued", "total": amount, "lines": {"data": lines}}


def session(payment_status: str = "paid", **more: Any) -> Obj:
    rows = [{"id": "li_1", "quantity": 5, "price": {"id": "price_perp", "product": "prod_1"}}]
    known = {"mode": "payment", "status": "complete", "payment_status": payment_status, "customer": "cus_1"}
    return {"id": "cs_1", "line_items": {"data": rows, "has_more": False}} | known | more


SOLD = Seen(sub(), (bill(),))
RENEWED = Seen(sub(renewed_item()), (renewal(),), complete=False)
UNPAID_RENEWAL = (renewal("open"), bill())
ON = "PRO-100: on, 5 seats, until 2027-09-08"
OFF = "PRO-100: off, 5 seats, until 2027-09-08"
LONGER = "PRO-100: on, 5 seats, until 2028-09-08"
TRIAL = START + 14 * DAY
TRIALING = Seen(sub(status="trialing", trial_end=TRIAL), (bill(line(end=TRIAL), total=0),))
PERPETUAL = Seen(sub(item("price_care", 5)), (bill(line(), once("price_perp")),))

OVER = Seen(sub(status="canceled", ended_at=START + YEAR), (bill(),))


def again(days: int, price: str = "price_pro", quantity: int = 8) -> Seen:
    """Another subscription of the same customer, bought so many days after the end of the first; over a 29 February."""
    since = START + YEAR + days * DAY
    end = since + YEAR + DAY
    bought = item(price, quantity, "si_2", current_period_start=since, current_period_end=end, created=since)
    paid = bill(line("il_2", "si_2", since, end), id_="in_2", created=since)
    return Seen(sub(bought, id="sub_2", created=since), (paid,))


SCENARIOS = (
    Scenario("1", "One checkout raises several starting events", (SOLD, SOLD, SOLD), (ON,)),
    Scenario("3", "The end is told before the start", (Seen(sub(status="canceled"), (bill(),)),), ("nothing",)),
    Scenario("5", "An old event comes days late", (SOLD, RENEWED, RENEWED), (LONGER,)),
    Scenario("6", "Trial with a zero invoice", (TRIALING,), ("PRO-100: on, 5 seats, until 2026-09-22",)),
    Scenario(
        "7",
        "The trial is over, its first invoice not paid yet",
        (
            TRIALING,
            Seen(
                sub(item(current_period_start=TRIAL, current_period_end=TRIAL + YEAR)),
                (
                    bill(line("il_2", start=TRIAL, end=TRIAL + YEAR), id_="in_2", status="draft", created=TRIAL),
                    bill(line(end=TRIAL), total=0),
                ),
            ),
        ),
        ("PRO-100: on, 5 seats, until 2026-09-22",),
    ),
    Scenario(
        "7",
        "The trial turns paid",
        (
            TRIALING,
            Seen(
                sub(item(current_period_start=TRIAL, current_period_end=TRIAL + YEAR)),
                (bill(line("il_2", start=TRIAL, end=TRIAL + YEAR), id_="in_2", created=TRIAL),),
                complete=False,
            ),
        ),
        ("PRO-100: on, 5 seats, until 2027-09-22",),
    ),
    *(
        Scenario(
            "8",
            f"The trial ends without a card: {status}",
            (TRIALING, Seen(sub(status=status, trial_end=TRIAL), (bill(line(end=TRIAL), total=0),))),
            ("PRO-100: off, 5 seats, until 2026-09-22",),
        )
        for status in ("paused", "canceled")
    ),
    Scenario(
        "9",
        "A proration invoice",
        (
            SOLD,
            Seen(
                sub(item(quantity=8)),
                (
                    bill(
                        line("il_3", start=START + MONTH, proration=True),
                        id_="in_3",
                        reason="subscription_update",
                        created=START + MONTH,
                    ),
                    bill(),
                ),
            ),
        ),
        ("PRO-100: on, 8 seats, until 2027-09-08",),
    ),
    Scenario(
        "10",
        "More seats in mid-term",
        (SOLD, Seen(sub(item(quantity=8)), (bill(),))),
        ("PRO-100: on, 8 seats, until 2027-09-08",),
    ),
    Scenario(
        "10",
        "More seats that wait for their payment",
        (SOLD, Seen(sub(pending_update={"subscription_items": [{"id": "si_1", "quantity": 8}]}), (bill(),))),
        (ON,),
    ),
    Scenario(
        "11", "Fewer seats", (SOLD, Seen(sub(item(quantity=3)), (bill(),))), ("PRO-100: on, 3 seats, until 2027-09-08",)
    ),
    Scenario(
        "12",
        "The price of an item is swapped",
        (SOLD, Seen(sub(item("price_team")), (bill(),))),
        ("TEAM-YEAR: on, 5 seats, until 2027-09-08",),
    ),
    Scenario(
        "12",
        "An item is replaced by another one",
        (
            SOLD,
            Seen(
                sub(item("price_team", id_="si_2", created=START + DAY)),
                (
                    bill(
                        line("il_2", "si_2", start=START + DAY, proration=True),
                        id_="in_2",
                        reason="subscription_update",
                        created=START + DAY,
                    ),
                    bill(),
                ),
            ),
        ),
        ("PRO-100: off, 5 seats, until 2027-09-08", "TEAM-YEAR: on, 5 seats, until 2027-09-08"),
    ),
    Scenario(
        "13",
        "Monthly becomes yearly",
        (
            Seen(sub(item("price_month", current_period_end=START + MONTH)), (bill(line(end=START + MONTH)),)),
            Seen(
                sub(item("price_pro", current_period_start=START + DAY, current_period_end=START + DAY + YEAR)),
                (
                    bill(
                        line("il_2", start=START + DAY, end=START + DAY + YEAR),
                        id_="in_2",
                        reason="subscription_update",
                        created=START + DAY,
                    ),
                ),
                complete=False,
            ),
        ),
        ("PRO-100: on, 5 seats, until 2027-09-09",),
    ),
    Scenario(
        "14",
        "It is set to end with its period",
        (SOLD, Seen(sub(cancel_at_period_end=True), (bill(),))),
        (ON,),
        {"ends": "2027-09-01"},
    ),
    Scenario(
        "14",
        "It is set to end on a day",
        (SOLD, Seen(sub(cancel_at=START + 90 * DAY), (bill(),))),
        (ON,),
        {"ends": "2026-11-30"},
    ),
    Scenario("14", "Its end was undone", (Seen(sub(cancel_at=START + 90 * DAY), (bill(),)), SOLD), (ON,)),
    Scenario("14", "It has ended", (SOLD, Seen(sub(status="canceled", ended_at=START + YEAR), (bill(),))), (OFF,)),
    Scenario(
        "15", "A renewal's payment fails", (SOLD, Seen(sub(renewed_item(), status="past_due"), UNPAID_RENEWAL)), (ON,)
    ),
    Scenario(
        "16", "It is never paid: unpaid", (SOLD, Seen(sub(renewed_item(), status="unpaid"), UNPAID_RENEWAL)), (OFF,)
    ),
    Scenario(
        "16",
        "Unpaid, then paid after all",
        (SOLD, Seen(sub(renewed_item(), status="unpaid"), UNPAID_RENEWAL), RENEWED),
        (LONGER,),
    ),
    Scenario(
        "16",
        "The renewal is written off",
        (SOLD, Seen(sub(renewed_item(), status="past_due"), (renewal("uncollectible"), bill()))),
        (ON,),
    ),
    Scenario(
        "16",
        "Written off, then paid after all",
        (SOLD, Seen(sub(renewed_item(), status="past_due"), (renewal("uncollectible"), bill())), RENEWED),
        (LONGER,),
    ),
    Scenario(
        "16", "The renewal's invoice is voided", (SOLD, Seen(sub(renewed_item()), (renewal("void"), bill()))), (ON,)
    ),
    Scenario("16", "Service is paused", (SOLD, Seen(sub(status="paused"), (bill(),))), (OFF,)),
    Scenario("16", "Paused, then resumed", (SOLD, Seen(sub(status="paused"), (bill(),)), SOLD), (ON,)),
    Scenario(
        "16", "Collection alone is paused", (SOLD, Seen(sub(pause_collection={"behavior": "void"}), (bill(),))), (ON,)
    ),
    Scenario(
        "17",
        "Partial refund, and no credit note says of what",
        (SOLD, Seen(sub(), (bill(),), (back(bill(), 24_000),))),
        (ON, "task: partial refund"),
    ),
    Scenario(
        "17",
        "Partial refund with a credit note over two seats",
        (SOLD, Seen(sub(), (bill(),), (back(bill(), 24_000, credit_notes=[note(2, 24_000)]),))),
        ("PRO-100: on, 3 seats, until 2027-09-08",),
    ),
    Scenario(
        "17",
        "The same, and the seats are taken off the subscription as well",
        (SOLD, Seen(sub(item(quantity=3)), (bill(),), (back(bill(), 24_000, credit_notes=[note(2, 24_000)]),))),
        ("PRO-100: on, 3 seats, until 2027-09-08",),
    ),
    Scenario(
        "17",
        "A credit note over one whole line",
        (
            Seen(sub(item(), item("price_team", 2, "si_2")), (bill(line(), line("il_2", "si_2"), total=120_000),)),
            Seen(
                sub(item(), item("price_team", 2, "si_2")),
                (bill(line(), line("il_2", "si_2"), total=120_000),),
                (
                    back(
                        bill(line(), line("il_2", "si_2"), total=120_000),
                        0,
                        charges=[],
                        credit_notes=[note(None, 60_000, "il_2")],
                    ),
                ),
            ),
        ),
        (ON, "TEAM-YEAR: off, 2 seats, until 2027-09-08"),
    ),
    Scenario(
        "17",
        "A credit note that names no line",
        (SOLD, Seen(sub(), (bill(),), (back(bill(), 24_000, credit_notes=[note(None, 24_000, None)]),))),
        (ON, "task: partial refund"),
    ),
    Scenario("18", "Full refund of the present term", (SOLD, Seen(sub(), (bill(),), (back(bill()),))), (OFF,)),
    Scenario(
        "18",
        "Refunded in full, then renewed and paid",
        (
            SOLD,
            Seen(sub(), (bill(),), (back(bill()),)),
            Seen(sub(renewed_item()), (renewal(),), (back(bill()),), complete=False),
        ),
        (LONGER, "task: refund"),
    ),
    Scenario(
        "18",
        "Full refund of an older term",
        (SOLD, RENEWED, Seen(sub(renewed_item()), (renewal(),), (back(bill()),), complete=False)),
        (LONGER, "task: refund"),
    ),
    Scenario(
        "19",
        "Full refund of a proration invoice",
        (
            SOLD,
            Seen(
                sub(item(quantity=8)),
                (bill(),),
                (
                    back(
                        bill(
                            line("il_3", start=START + MONTH, proration=True), id_="in_3", reason="subscription_update"
                        )
                    ),
                ),
            ),
        ),
        ("PRO-100: on, 8 seats, until 2027-09-08", "task: refund"),
    ),
    Scenario(
        "20",
        "A refund that fails afterwards",
        (SOLD, Seen(sub(), (bill(),), (back(bill()),)), Seen(sub(), (bill(),), (back(bill(), status="failed"),))),
        (ON,),
    ),
    *(
        Scenario(
            "21",
            f"A dispute is open: {status}",
            (SOLD, Seen(sub(), (bill(),), (disputed(status, bill()),))),
            (ON, "task: dispute"),
        )
        for status in ("needs_response", "under_review", "appeal_needs_response", "appeal_under_review")
    ),
    *(
        Scenario(
            "21",
            f"The bank only asks: {status}",
            (SOLD, Seen(sub(), (bill(),), (disputed(status, bill()),))),
            (ON, "task: inquiry"),
        )
        for status in ("warning_needs_response", "warning_under_review")
    ),
    *(
        Scenario(
            "21",
            f"A dispute without a loss: {status}",
            (
                SOLD,
                Seen(sub(), (bill(),), (disputed("needs_response", bill()),)),
                Seen(sub(), (bill(),), (disputed(status, bill()),)),
            ),
            (ON,),
        )
        for status in ("won", "warning_closed", "prevented")
    ),
    Scenario("21", "A dispute is lost", (SOLD, Seen(sub(), (bill(),), (disputed("lost", bill()),))), (OFF,)),
    Scenario(
        "21",
        "A dispute over part of the payment is lost",
        (SOLD, Seen(sub(), (bill(),), (disputed("lost", bill(), 24_000),))),
        (ON, "task: partial refund"),
    ),
    Scenario(
        "21",
        "Lost, then won on appeal",
        (SOLD, Seen(sub(), (bill(),), (disputed("lost", bill()),)), Seen(sub(), (bill(),), (disputed("won", bill()),))),
        (ON,),
    ),
    Scenario(
        "21",
        "An early fraud warning",
        (
            SOLD,
            Seen(
                sub(), (bill(),), (back(bill(), 0, warnings=[{"id": "issfr_1", "charge": "ch_1", "actionable": True}]),)
            ),
        ),
        (ON, "task: early fraud warning"),
    ),
    Scenario(
        "22",
        "Items with ends of their own",
        (
            Seen(
                sub(item(), item("price_team", 2, "si_2", current_period_end=START + MONTH)),
                (bill(line(), line("il_2", "si_2", end=START + MONTH)),),
            ),
        ),
        (ON, "TEAM-YEAR: on, 2 seats, until 2026-10-08"),
    ),
    Scenario(
        "23",
        "A seat pack as an item of its own",
        (Seen(sub(item(), item("price_pack", 10, "si_2")), (bill(line(), line("il_2", "si_2")),)),),
        ("PRO-100: on, 15 seats, until 2027-09-08",),
    ),
    Scenario(
        "24",
        "Perpetual license with a year of maintenance",
        (PERPETUAL,),
        ("PERP-1: on, 5 seats, no end, maintained until 2027-09-01",),
    ),
    Scenario(
        "24",
        "Its maintenance is renewed",
        (PERPETUAL, Seen(sub(renewed_item(price="price_care")), (renewal(),), complete=False)),
        ("PERP-1: on, 5 seats, no end, maintained until 2028-09-01",),
    ),
    Scenario(
        "24",
        "Its maintenance ends",
        (
            PERPETUAL,
            Seen(
                sub(item("price_care", 5), status="canceled", ended_at=START + YEAR),
                (bill(line(), once("price_perp")),),
            ),
        ),
        ("PERP-1: on, 5 seats, no end, maintained until 2027-09-01",),
    ),
    Scenario(
        "24",
        "Its maintenance ends long after the sale",
        (PERPETUAL, Seen(sub(renewed_item(price="price_care"), status="unpaid"), (renewal("open"),), complete=False)),
        ("PERP-1: on, 5 seats, no end, maintained until 2027-09-01",),
    ),
    Scenario(
        "24",
        "Both are paid back in full",
        (
            PERPETUAL,
            Seen(
                sub(item("price_care", 5)),
                (bill(line(), once("price_perp")),),
                (back(bill(line(), once("price_perp"))),),
            ),
        ),
        ("PERP-1: off, 5 seats, no end, maintained until 2027-09-01",),
    ),
    Scenario(
        "24",
        "Maintenance of a license that this purchase did not sell",
        (Seen(sub(item("price_care", 5)), (bill(),)),),
        ("nothing", "task: maintenance alone"),
    ),
    Scenario("24", "A set-up fee beside a subscription", (Seen(sub(), (bill(line(), once("price_setup")),)),), (ON,)),
    Scenario(
        "25",
        "The customer comes back within 30 days, and an old event comes late",
        (SOLD, OVER, again(10), OVER),
        ("PRO-100: on, 8 seats, until 2028-09-18",),
    ),
    Scenario(
        "25",
        "The customer comes back for another offering of the product",
        (SOLD, OVER, again(30, "price_team")),
        ("TEAM-YEAR: on, 8 seats, until 2028-10-08",),
    ),
    Scenario(
        "25",
        "The customer comes back after 31 days",
        (SOLD, OVER, again(31)),
        ("PRO-100: off, 5 seats, until 2027-09-08", "PRO-100: on, 8 seats, until 2028-10-09"),
    ),
    Scenario(
        "26",
        "Two live subscriptions of one product",
        (SOLD, again(-100)),
        (ON, "PRO-100: on, 8 seats, until 2028-05-31"),
    ),
    Scenario("27", "A zero invoice by coupon or credit", (Seen(sub(), (bill(total=0, amount_paid=0),)),), (ON,)),
    Scenario("28", "Paid out of band", (Seen(sub(), (bill(paid_out_of_band=True, payments={"data": []}),)),), (ON,)),
    Scenario(
        "29",
        "The last invoice is paid after the end",
        (
            SOLD,
            Seen(
                sub(status="canceled", ended_at=START + DAY), (bill(status_transitions={"paid_at": START + 2 * DAY}),)
            ),
        ),
        (OFF, "task: paid after the end"),
    ),
    Scenario(
        "30",
        "A start in the past",
        (Seen(sub(item(created=START + YEAR // 2)), (bill(created=START + YEAR // 2),)),),
        (ON,),
    ),
    Scenario(
        "33",
        "A metered price",
        (Seen(sub(item(quantity=None)), (bill(line(quantity=None)),)),),
        ("PRO-100: on, own number of seats, until 2027-09-08",),
    ),
    Scenario(
        "34",
        "Its customer is deleted, and so it has ended",
        (SOLD, Seen(sub(status="canceled", customer={"id": "cus_1", "deleted": True}), (bill(),))),
        (OFF,),
    ),
    Scenario(
        "34",
        "The customer's e-mail is another one",
        (SOLD, Seen(sub(customer={"id": "cus_1", "email": "new@acme.example"}), (bill(),))),
        (ON,),
    ),
    Scenario("40", "A sale that no catalog row names", (Seen(sub(item("price_new")), (bill(),)),), ("parked",)),
    Scenario("one-off", "A checkout that is paid", (Seen(session()),), ("PERP-1: on, 5 seats, no end",)),
    Scenario(
        "one-off",
        "A checkout without a price to pay",
        (Seen(session("no_payment_required")),),
        ("PERP-1: on, 5 seats, no end",),
    ),
    Scenario("one-off", "A delayed payment that has not come", (Seen(session("unpaid")),), ("nothing",)),
    Scenario(
        "one-off",
        "A delayed payment that comes",
        (Seen(session("unpaid")), Seen(session())),
        ("PERP-1: on, 5 seats, no end",),
    ),
    Scenario(
        "one-off",
        "A delayed payment that fails",
        (
            Seen(session("unpaid")),
            Seen(session("unpaid", payment_intent={"id": "pi_1", "status": "requires_payment_method"})),
        ),
        ("nothing",),
    ),
    Scenario("one-off", "A checkout that nobody completed", (Seen(session("unpaid", status="expired")),), ("nothing",)),
    Scenario("one-off", "A guest buys", (Seen(session(customer=None)),), ("PERP-1: on, 5 seats, no end",)),
    Scenario(
        "one-off", "Full refund", (Seen(session()), Seen(session(), (), (back(),))), ("PERP-1: off, 5 seats, no end",)
    ),
    Scenario(
        "one-off",
        "A refund that fails afterwards",
        (Seen(session()), Seen(session(), (), (back(),)), Seen(session(), (), (back(status="failed"),))),
        ("PERP-1: on, 5 seats, no end",),
    ),
    Scenario(
        "one-off",
        "Partial refund",
        (Seen(session()), Seen(session(), (), (back(amount=24_000),))),
        ("PERP-1: on, 5 seats, no end", "task: partial refund"),
    ),
    Scenario(
        "one-off",
        "A dispute is lost",
        (Seen(session()), Seen(session(), (), (disputed("lost"),))),
        ("PERP-1: off, 5 seats, no end",),
    ),
)
