"""What people do at Stripe in each scenario of the table, through its API and as its buyers and banks do.

A play is a generator: each `yield` lets the hub look, and gives the moment at which the play goes on (seconds after
the start; None: a few minutes later). What it returns is the subject that is sold, or several of one customer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from tests.scenarios.table import DAY, START, YEAR
from tests.world import World

Obj = dict[str, Any]
Play = Generator[int | None, None, str | tuple[str, ...]]
Script = Callable[["Stripe"], Play]
MINUTE, HOUR = 60, 3600
RENEWED = YEAR + 2 * HOUR  # the renewal's invoice was a draft for an hour
GIVEN_UP = YEAR + 16 * DAY  # the last attempt to collect it has failed
# lookup key -> amount of a unit, and the interval that it recurs in
PRICES: Mapping[str, tuple[int, str | None]] = {
    "price_pro": (12_000, "year"),
    "price_month": (1_000, "month"),
    "price_pack": (12_000, "year"),
    "price_team": (30_000, "year"),
    "price_team_month": (3_000, "month"),
    "price_free": (0, "year"),
    "price_metered": (10, "year"),
    "price_care": (2_000, "year"),
    "price_perp": (18_000, None),
    "price_gift": (0, None),
    "price_setup": (5_000, None),
    "price_new": (12_000, "year"),
}
NAMELESS = {"price_setup", "price_new"}  # neither catalog nor lookup key tells what these are
SCRIPTS: dict[str, Script] = {}


def plays(*names: str) -> Callable[[Script], Script]:
    """Names the scenarios that a script plays."""

    def register(script: Script) -> Script:
        SCRIPTS.update(dict.fromkeys(names, script))
        return script

    return register


class Stripe:
    """One seller's ways at Stripe, for one customer; spoken over HTTP."""

    def __init__(self, world: World, prices: Mapping[str, str], scenario: str) -> None:
        self.world, self.prices, self.word = world, prices, scenario.rpartition(" ")[2]
        self.withheld: set[bytes] = set()  # events in which all of these stand are not delivered yet
        self.get, self.post, self.delete, self.admin = world.get, world.post, world.delete, world.stripe_admin
        self.customer = world.customer("Acme")

    def items(self, *wanted: tuple[str, int | None], name: str = "items") -> dict[str, str]:
        """Prices with quantities as a form; None: a metered one."""
        form = {f"{name}[{at}][price]": self.prices[key] for at, (key, _) in enumerate(wanted)}
        return form | {f"{name}[{at}][quantity]": str(n) for at, (_, n) in enumerate(wanted) if n is not None}

    def subscribe(self, *wanted: tuple[str, int | None], **more: str) -> str:
        """A subscription, of five seats unless other items are wanted."""
        form = {"customer": self.customer} | self.items(*(wanted or [("price_pro", 5)]))
        return str(self.post("/v1/subscriptions", form | more)["id"])

    def change(self, sub: str, **form: str) -> None:
        self.post(f"/v1/subscriptions/{sub}", form)

    def change_item(self, sub: str, **form: str) -> None:
        """Of the first item; what begins with `_` is of the subscription."""
        own = {name[1:]: value for name, value in form.items() if name.startswith("_")}
        item = {f"items[0][{name}]": value for name, value in form.items() if not name.startswith("_")}
        self.change(sub, **{"items[0][id]": self.item(sub)["id"]}, **item, **own)

    def item(self, sub: str) -> Obj:
        return self.world.item(sub)

    def session(self, *wanted: tuple[str, int], mode: str = "payment", customer: bool = True, **more: str) -> str:
        """A checkout session that the buyer has not completed. What is in it stands in its metadata as well."""
        form = {"mode": mode, "success_url": "https://shop.example/"} | self.items(*wanted, name="line_items")
        form |= {"metadata[price]": wanted[0][0], "metadata[quantity]": str(wanted[0][1])}
        form |= {"customer": self.customer} if customer else {}
        return str(self.post("/v1/checkout/sessions", form | more)["id"])

    def buys(self, session: str, **how: Any) -> str:
        """The buyer completes the session; the subject that was sold."""
        done = self.admin("checkout", session=session, **how)
        return str(done["subscription"] or session)

    def card(self, *, ok: bool | None) -> None:
        self.admin("card", customer=self.customer, ok=ok)

    def charges(self) -> list[str]:
        """What was paid, oldest first."""
        listed = self.get("/v1/charges", customer=self.customer, limit=100)["data"]
        return [one["id"] for one in reversed(listed) if one["paid"]]

    def invoice(self, sub: str) -> Obj:
        """The newest one."""
        newest: Obj = self.get("/v1/invoices", subscription=sub, limit=1)["data"][0]
        return newest

    def settle(self, invoice: str, verb: str, **form: str) -> None:
        self.post(f"/v1/invoices/{invoice}/{verb}", form)

    def refund(self, charge: str, **form: str) -> str:
        return str(self.post("/v1/refunds", {"charge": charge} | form)["id"])

    def credit(self, sub: str, **form: str) -> None:
        """A credit note over the newest invoice; `line` is the place of the line that it names."""
        invoice = self.invoice(sub)
        at = form.pop("line", None)
        lines = {f"lines[0][{name.removeprefix('of_')}]": form.pop(name) for name in list(form) if name[:3] == "of_"}
        if at is not None:
            lines |= {"lines[0][type]": "invoice_line_item"}
            lines |= {"lines[0][invoice_line_item]": invoice["lines"]["data"][int(at)]["id"]}
        self.post("/v1/credit_notes", {"invoice": invoice["id"]} | lines | form)

    def dispute(self, status: str = "needs_response", amount: int | None = None) -> str:
        """Over the newest charge, or an amount of it; its id."""
        return str(self.admin("dispute", charge=self.charges()[-1], status=status, amount=amount)["id"])


# -- how it starts, trials


@plays("1 One checkout raises several starting events")
def checkout(stripe: Stripe) -> Play:
    sold = stripe.buys(stripe.session(("price_pro", 5), mode="subscription"))
    yield None
    return sold


@plays("3 The end is told before the start")
def ended_at_once(stripe: Stripe) -> Play:
    """Both before the first look; the last event is delivered first."""
    sold = stripe.subscribe()
    stripe.delete(f"/v1/subscriptions/{sold}")
    yield None
    return sold


@plays("5 An old event comes days late")
def late(stripe: Stripe) -> Play:
    sold = stripe.subscribe()
    stripe.withheld = {b"customer.subscription.created", sold.encode()}
    yield None
    yield RENEWED
    stripe.withheld = set()
    yield None
    return sold


@plays("6 Trial with a zero invoice")
def trial(stripe: Stripe) -> Play:
    sold = stripe.subscribe(trial_period_days="14")
    yield None
    return sold


@plays("7 The trial is over, its first invoice not paid yet")
def trial_over(stripe: Stripe) -> Play:
    sold = yield from trial(stripe)
    yield 14 * DAY + 20 * MINUTE
    assert stripe.invoice(sold)["status"] == "draft"
    return sold


@plays("7 The trial turns paid")
def trial_paid(stripe: Stripe) -> Play:
    sold = yield from trial(stripe)
    yield 14 * DAY + 2 * HOUR
    return sold


@plays("8 The trial ends without a card: paused", "8 The trial ends without a card: canceled")
def trial_without_card(stripe: Stripe) -> Play:
    stripe.card(ok=None)
    verb = {"paused": "pause", "canceled": "cancel"}[stripe.word]
    behavior = {"trial_settings[end_behavior][missing_payment_method]": verb}
    sold = stripe.subscribe(trial_period_days="14", **behavior)
    yield None
    yield 14 * DAY + 2 * HOUR
    return sold


@plays("30 A start in the past")
def backdated(stripe: Stripe) -> Play:
    """Made in mid-term of a period that began at the start."""
    yield YEAR // 2
    term = {"backdate_start_date": str(START), "billing_cycle_anchor": str(START + YEAR)}
    sold = stripe.subscribe(**term, **{"billing_mode[type]": "classic"})
    yield None
    return sold


# -- changes


def sold_first(stripe: Stripe, *items: tuple[str, int | None], **more: str) -> Play:
    """A sale that the hub has looked at."""
    sold = stripe.subscribe(*items, **more)
    yield None
    return sold


@plays("9 A proration invoice")
def prorated(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield 30 * DAY
    stripe.change_item(sold, quantity="8", _proration_behavior="always_invoice")
    yield None
    return sold


@plays("10 More seats in mid-term")
def more_seats(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change_item(sold, quantity="8")
    yield None
    return sold


@plays("10 More seats that wait for their payment")
def pending_update(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.card(ok=False)
    waits = {"_payment_behavior": "pending_if_incomplete", "_proration_behavior": "always_invoice"}
    stripe.change_item(sold, quantity="8", **waits)
    yield None
    return sold


@plays("11 Fewer seats")
def fewer_seats(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change_item(sold, quantity="3")
    yield None
    return sold


@plays("12 The price of an item is swapped")
def swapped(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change_item(sold, price=stripe.prices["price_team"])
    yield None
    return sold


@plays("12 An item is replaced by another one")
def replaced(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield DAY
    new = {"items[1][price]": stripe.prices["price_team"], "items[1][quantity]": "5"}
    gone = {"items[0][id]": stripe.item(sold)["id"], "items[0][deleted]": "true"}
    stripe.change(sold, **gone, **new, proration_behavior="always_invoice")
    yield None
    return sold


@plays("13 Monthly becomes yearly")
def yearly(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe, ("price_month", 5))
    yield DAY
    stripe.change_item(sold, price=stripe.prices["price_pro"])
    yield None
    return sold


# -- the end, payments that fail, pauses


@plays("14 It is set to end with its period")
def ends_with_period(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change(sold, cancel_at_period_end="true")
    yield None
    return sold


@plays("14 It is set to end on a day")
def ends_on_a_day(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change(sold, cancel_at=str(START + 90 * DAY))
    yield None
    return sold


@plays("14 Its end was undone")
def goes_on(stripe: Stripe) -> Play:
    sold = yield from ends_on_a_day(stripe)
    stripe.change(sold, cancel_at="")
    yield None
    return sold


@plays("14 It has ended")
def ended(stripe: Stripe) -> Play:
    sold = yield from ends_with_period(stripe)
    yield RENEWED
    return sold


@plays("25 The customer comes back within 30 days, and an old event comes late")
def back_soon(stripe: Stripe) -> Play:
    """Late is the word of the old subscription that it will end."""
    sold = yield from sold_first(stripe)
    stripe.withheld = {b"customer.subscription.updated", sold.encode()}
    stripe.change(sold, cancel_at_period_end="true")
    both = yield from bought_again(stripe, sold, YEAR + 10 * DAY)
    stripe.withheld = set()
    yield None
    return both


@plays("25 The customer comes back for another offering of the product")
def back_for_another(stripe: Stripe) -> Play:
    sold = yield from ends_with_period(stripe)
    return (yield from bought_again(stripe, sold, YEAR + 30 * DAY, "price_team"))


@plays("25 The customer comes back after 31 days")
def back_late(stripe: Stripe) -> Play:
    sold = yield from ends_with_period(stripe)
    return (yield from bought_again(stripe, sold, YEAR + 31 * DAY))


@plays("26 Two live subscriptions of one product")
def two_at_once(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    return (yield from bought_again(stripe, sold, YEAR - 100 * DAY))


def bought_again(stripe: Stripe, sold: str, moment: int, price: str = "price_pro") -> Play:
    """Another subscription, of eight seats."""
    yield moment
    again = stripe.subscribe((price, 8))
    yield None
    return sold, again


@plays("15 A renewal's payment fails")
def overdue(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.card(ok=False)
    yield RENEWED
    return sold


@plays("16 It is never paid: unpaid")
def unpaid(stripe: Stripe) -> Play:
    sold = yield from overdue(stripe)
    yield GIVEN_UP
    return sold


@plays("16 Unpaid, then paid after all")
def paid_after_all(stripe: Stripe) -> Play:
    sold = yield from unpaid(stripe)
    stripe.card(ok=True)
    stripe.settle(stripe.invoice(sold)["id"], "pay")
    yield None
    return sold


@plays("16 The renewal is written off")
def written_off(stripe: Stripe) -> Play:
    sold = yield from overdue(stripe)
    stripe.settle(stripe.invoice(sold)["id"], "mark_uncollectible")
    yield None
    return sold


@plays("16 Written off, then paid after all")
def written_off_and_paid(stripe: Stripe) -> Play:
    sold = yield from written_off(stripe)
    stripe.card(ok=True)
    stripe.settle(stripe.invoice(sold)["id"], "pay")
    yield None
    return sold


@plays("16 The renewal's invoice is voided")
def voided(stripe: Stripe) -> Play:
    sold = yield from overdue(stripe)
    stripe.settle(stripe.invoice(sold)["id"], "void")
    yield None
    return sold


@plays("16 Service is paused")
def paused(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.post(f"/v1/subscriptions/{sold}/pause")
    yield None
    return sold


@plays("16 Paused, then resumed")
def resumed(stripe: Stripe) -> Play:
    sold = yield from paused(stripe)
    stripe.post(f"/v1/subscriptions/{sold}/resume", {"billing_cycle_anchor": "unchanged"})
    yield None
    return sold


@plays("16 Collection alone is paused")
def not_collected(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.change(sold, **{"pause_collection[behavior]": "void"})
    yield None
    return sold


@plays("29 The last invoice is paid after the end")
def paid_after_the_end(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe, collection_method="send_invoice", days_until_due="30")
    yield DAY
    stripe.delete(f"/v1/subscriptions/{sold}")
    yield 2 * DAY
    stripe.settle(stripe.invoice(sold)["id"], "pay", paid_out_of_band="true")
    yield None
    return sold


@plays("34 Its customer is deleted, and so it has ended")
def customer_deleted(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.delete(f"/v1/customers/{stripe.customer}")
    yield None
    return sold


@plays("34 The customer's e-mail is another one")
def customer_moved(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.post(f"/v1/customers/{stripe.customer}", {"email": "new@acme.example"})
    yield None
    return sold


# -- money that goes back


@plays("17 Partial refund, and no credit note says of what")
def partly_refunded(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.refund(stripe.charges()[0], amount="24000")
    yield None
    return sold


@plays("17 Partial refund with a credit note over two seats")
def seats_credited(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.credit(sold, line="0", of_quantity="2", refund_amount="24000")
    yield None
    return sold


@plays("17 The same, and the seats are taken off the subscription as well")
def seats_credited_and_taken_off(stripe: Stripe) -> Play:
    sold = yield from seats_credited(stripe)
    stripe.change_item(sold, quantity="3", _proration_behavior="none")
    yield None
    return sold


@plays("17 A credit note over one whole line")
def line_credited(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe, ("price_pro", 5), ("price_team", 2))
    stripe.credit(sold, line="1", of_amount="60000", out_of_band_amount="60000")
    yield None
    return sold


@plays("17 A credit note that names no line")
def amount_credited(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.credit(sold, amount="24000", refund_amount="24000")
    yield None
    return sold


@plays("18 Full refund of the present term")
def refunded(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.refund(stripe.charges()[0])
    yield None
    return sold


@plays("18 Refunded in full, then renewed and paid")
def refunded_and_renewed(stripe: Stripe) -> Play:
    sold = yield from refunded(stripe)
    yield RENEWED
    return sold


@plays("18 Full refund of an older term")
def older_term_refunded(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield RENEWED
    stripe.refund(stripe.charges()[0])
    yield None
    return sold


@plays("19 Full refund of a proration invoice")
def proration_refunded(stripe: Stripe) -> Play:
    sold = yield from prorated(stripe)
    stripe.refund(stripe.charges()[-1])
    yield None
    return sold


@plays("20 A refund that fails afterwards")
def refund_failed(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield from refund_and_fail(stripe)
    return sold


def refund_and_fail(stripe: Stripe) -> Play:
    refund = stripe.refund(stripe.charges()[0])
    yield None
    stripe.admin("refund_fail", refund=refund)
    yield None
    return refund


@plays(
    *(f"21 A dispute is open: {word}" for word in ("needs_response", "under_review")),
    *(f"21 The bank only asks: {word}" for word in ("warning_needs_response", "warning_under_review")),
)
def disputed(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.dispute(stripe.word)
    yield None
    return sold


@plays(*(f"21 A dispute is open: {word}" for word in ("appeal_needs_response", "appeal_under_review")))
def appealed(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    dispute = yield from lose(stripe)
    stripe.admin("dispute_update", dispute=dispute, status=stripe.word)
    yield None
    return sold


def lose(stripe: Stripe, amount: int | None = None) -> Play:
    """A dispute that is lost; its id."""
    dispute = stripe.dispute(amount=amount)
    yield None
    stripe.admin("dispute_close", dispute=dispute, status="lost")
    yield None
    return dispute


@plays(*(f"21 A dispute without a loss: {word}" for word in ("won", "warning_closed", "prevented")))
def not_lost(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    dispute = stripe.dispute("warning_needs_response" if stripe.word == "warning_closed" else "needs_response")
    yield None
    stripe.admin("dispute_close", dispute=dispute, status=stripe.word)
    yield None
    return sold


@plays("21 A dispute is lost")
def lost(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield from lose(stripe)
    return sold


@plays("21 A dispute over part of the payment is lost")
def lost_in_part(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    yield from lose(stripe, amount=24_000)
    return sold


@plays("21 Lost, then won on appeal")
def won_on_appeal(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    dispute = yield from lose(stripe)
    stripe.admin("dispute_update", dispute=dispute, status="appeal_under_review")
    stripe.admin("dispute_close", dispute=dispute, status="won")
    yield None
    return sold


@plays("21 An early fraud warning")
def warned(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe)
    stripe.admin("fraud_warning", charge=stripe.charges()[0])
    yield None
    return sold


# -- items of all sorts


def sells(name: str, *items: tuple[str, int | None], **more: str) -> None:
    """A scenario that is over with the sale."""
    SCRIPTS[name] = lambda stripe: sold_first(stripe, *items, **more)


sells("22 Items with ends of their own", ("price_pro", 5), ("price_team_month", 2))
sells("23 A seat pack as an item of its own", ("price_pro", 5), ("price_pack", 10))
sells("24 Maintenance of a license that this purchase did not sell", ("price_care", 5))
sells("27 A zero invoice by coupon or credit", ("price_free", 5))
sells("40 A sale that no catalog row names", ("price_new", 5))


@plays("24 Perpetual license with a year of maintenance")
def maintained(stripe: Stripe) -> Play:
    sold = stripe.buys(stripe.session(("price_care", 5), ("price_perp", 5), mode="subscription"))
    yield None
    return sold


@plays("24 Its maintenance is renewed")
def maintenance_renewed(stripe: Stripe) -> Play:
    sold = yield from maintained(stripe)
    yield RENEWED
    return sold


@plays("24 Its maintenance ends")
def maintenance_ended(stripe: Stripe) -> Play:
    sold = yield from maintained(stripe)
    stripe.change(sold, cancel_at_period_end="true")
    yield RENEWED
    return sold


@plays("24 Its maintenance ends long after the sale")
def maintenance_unpaid(stripe: Stripe) -> Play:
    sold = yield from maintained(stripe)
    stripe.card(ok=False)
    yield RENEWED
    yield GIVEN_UP
    return sold


@plays("24 Both are paid back in full")
def maintained_refunded(stripe: Stripe) -> Play:
    sold = yield from maintained(stripe)
    stripe.refund(stripe.charges()[0])
    yield None
    return sold


@plays("24 A set-up fee beside a subscription")
def set_up(stripe: Stripe) -> Play:
    sold = stripe.buys(stripe.session(("price_pro", 5), ("price_setup", 1), mode="subscription"))
    yield None
    return sold


@plays("28 Paid out of band")
def wired(stripe: Stripe) -> Play:
    sold = yield from sold_first(stripe, collection_method="send_invoice", days_until_due="30")
    yield DAY
    stripe.settle(stripe.invoice(sold)["id"], "pay", paid_out_of_band="true")
    yield None
    return sold


@plays("33 A metered price")
def metered(stripe: Stripe) -> Play:
    """What was used is billed when the period is over: it is the period that is known to be paid."""
    sold = yield from sold_first(stripe, ("price_metered", None))
    stripe.admin("usage", item=stripe.item(sold)["id"], quantity=7)
    yield RENEWED
    return sold


# -- sold once


def once(stripe: Stripe, *, key: str = "price_perp", customer: bool = True, **how: Any) -> Play:
    sold = stripe.buys(stripe.session((key, 5), customer=customer), **how)
    yield None
    return sold


@plays("one-off A checkout that is paid")
def bought(stripe: Stripe) -> Play:
    return (yield from once(stripe))


@plays("one-off A checkout without a price to pay")
def given_away(stripe: Stripe) -> Play:
    return (yield from once(stripe, key="price_gift"))


@plays("one-off A delayed payment that has not come")
def delayed(stripe: Stripe) -> Play:
    return (yield from once(stripe, delayed=True))


@plays("one-off A delayed payment that comes")
def delayed_and_paid(stripe: Stripe) -> Play:
    sold = yield from delayed(stripe)
    stripe.admin("async_payment", session=sold, ok=True)
    yield None
    return sold


@plays("one-off A delayed payment that fails")
def delayed_and_failed(stripe: Stripe) -> Play:
    sold = yield from delayed(stripe)
    stripe.admin("async_payment", session=sold, ok=False)
    yield None
    return sold


@plays("one-off A checkout that nobody completed")
def abandoned(stripe: Stripe) -> Play:
    sold = stripe.session(("price_perp", 5))
    yield None
    yield 2 * DAY  # a session lasts a day
    return sold


@plays("one-off A guest buys")
def guest(stripe: Stripe) -> Play:
    return (yield from once(stripe, customer=False, email="guest@acme.example", buyer="Guest"))


@plays("one-off Full refund")
def bought_and_refunded(stripe: Stripe) -> Play:
    sold = yield from once(stripe)
    stripe.refund(stripe.charges()[0])
    yield None
    return sold


@plays("one-off A refund that fails afterwards")
def bought_and_refund_failed(stripe: Stripe) -> Play:
    sold = yield from once(stripe)
    yield from refund_and_fail(stripe)
    return sold


@plays("one-off Partial refund")
def bought_and_partly_refunded(stripe: Stripe) -> Play:
    sold = yield from once(stripe)
    stripe.refund(stripe.charges()[0], amount="24000")
    yield None
    return sold


@plays("one-off A dispute is lost")
def bought_and_lost(stripe: Stripe) -> Play:
    sold = yield from once(stripe)
    yield from lose(stripe)
    return sold
