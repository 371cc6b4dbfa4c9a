"""Checkout sessions: a buyer completes one, at once or by a means of payment that takes days; and the events.

Behavior after commerce reference §1.6 (read 2026-09-27) and stripe 16.1.0 `checkout/_session.py`; what is inferred
says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, declined, need
from connectors.stripe.emulator_invoices import Invoices
from connectors.stripe.emulator_methods import Methods
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_payments import Payments
from connectors.stripe.emulator_subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who completes the session, as they type it in."""

    email: str
    name: str | None


class Checkout:
    """The account's checkout sessions."""

    def __init__(
        self, books: Books, payments: Payments, invoices: Invoices, subscriptions: Subscriptions, methods: Methods
    ) -> None:
        self.books, self.payments, self.invoices, self.subscriptions = books, payments, invoices, subscriptions
        self.methods = methods

    def create(self, params: Obj) -> Obj:
        need(params, "mode", "line_items")
        if params.get("customer"):
            self.books.get("customers", params["customer"], param="customer")
        lines = [self._line(wanted, at) for at, wanted in enumerate(params["line_items"])]
        self._refuse_wrong_mode(params["mode"], lines)
        prefix = "cs_live_" if self.books.livemode else "cs_test_"
        value = objects.session(self.books.new_id(prefix), params, lines, self.books.now, livemode=self.books.livemode)
        self.books.add("checkout/sessions", value)
        self.books.at(value["expires_at"], lambda: self._expire_open(value))
        return value

    def _line(self, wanted: Obj, at: int) -> Obj:
        price = self.books.get("prices", wanted.get("price", ""), param=f"line_items[{at}][price]")
        return objects.session_line(self.books.new_id("li_"), price, int(wanted.get("quantity", 1)))

    @staticmethod
    def _refuse_wrong_mode(mode: str, lines: list[Obj]) -> None:
        recurring = [line for line in lines if line["price"]["recurring"]]
        if mode == "payment" and recurring:
            raise Refusal(400, "You specified `payment` mode but passed a recurring price.", param="line_items")
        if mode == "subscription" and not recurring:
            raise Refusal(400, "You must provide at least one recurring price in `subscription` mode.", param="mode")

    def expire(self, id_: str) -> Obj:
        session = self._still_open(id_)
        self._expire_open(session)
        return session

    def _expire_open(self, session: Obj) -> None:
        if session["status"] == "open":
            with self.books.updating(session):
                session |= {"status": "expired", "url": None}
            self.books.happened("checkout.session.expired", session)

    def _still_open(self, id_: str) -> Obj:
        session = self.books.get("checkout/sessions", id_)
        if session["status"] != "open":
            raise Refusal(400, f"This session is {session['status']}.")
        return session

    def complete(self, id_: str, *, delayed: bool, email: str | None, name: str | None) -> Obj:
        """The buyer pays, or (`delayed`) orders a payment that takes days; the session is complete either way."""
        session = self._still_open(id_)
        buyer = Buyer(email or session["customer_email"] or "buyer@example.com", name)
        if not delayed and not self.payments.pays(session["customer"]):
            raise declined()
        with self.books.updating(session):
            session |= {
                "status": "complete",
                "url": None,
                "customer": session["customer"] or self._register(session, buyer),
            }
            session["customer_details"] = self._details(session, buyer)
            self._sell(session, delayed=delayed)
        self.books.touch("checkout/sessions", session)
        self.books.happened("checkout.session.completed", session)
        return session

    def page(self, id_: str) -> Obj:
        """What the buyer's browser is shown. Stripe documents neither this nor `confirm_page`; stripe-cli uses them."""
        session = self.books.get("checkout/sessions", id_)
        told = {name: session[name] for name in ("mode", "status", "currency", "amount_total", "payment_method_types")}
        return {"id": f"ppage_{id_}", "object": "payment_page", "session_id": id_, **told}

    def confirm_page(self, id_: str, params: Obj) -> Obj:
        """The buyer pays with a method; a bank debit is decided at the next moment the clock is looked at."""
        session = self._still_open(id_)
        need(params, "payment_method")
        if "expected_amount" in params and int(params["expected_amount"]) != session["amount_total"]:
            raise Refusal(400, "The amount has changed.", code="checkout_amount_mismatch", param="expected_amount")
        method = self.methods.find(params["payment_method"])
        if method["type"] not in session["payment_method_types"]:
            raise Refusal(400, f"This session does not take {method['type']}.", param="payment_method")
        manner, payer = self.methods.manner(method), method["billing_details"]
        if not (manner.pays or manner.delayed):
            raise declined()
        self.complete(id_, delayed=manner.delayed, email=payer["email"], name=payer["name"])
        if manner.delayed:
            self.books.at(self.books.now, lambda: self._decide(session, ok=manner.pays))
        return self.page(id_)

    def _decide(self, session: Obj, *, ok: bool) -> None:
        if session["payment_status"] == "unpaid":
            self.end_delayed(session["id"], ok=ok)

    def _register(self, session: Obj, buyer: Buyer) -> str | None:
        """A customer where the sale needs one, else None: a guest."""
        guest = session["mode"] == "payment" and session["customer_creation"] != "always"
        if guest and not session["invoice_creation"]["enabled"]:
            return None
        params = {"email": buyer.email, "name": buyer.name}
        value = objects.customer(self.books.new_id("cus_"), params, self.books.now, livemode=self.books.livemode)
        self.books.happened("customer.created", self.books.add("customers", value))
        return str(value["id"])

    def _details(self, session: Obj, buyer: Buyer) -> Obj:
        known = self.books.get("customers", session["customer"]) if session["customer"] else {}
        return {
            "address": None,
            "business_name": None,
            "email": known.get("email") or buyer.email,
            "individual_name": None,
            "name": known.get("name") or buyer.name,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        }

    def _sell(self, session: Obj, *, delayed: bool) -> None:
        if session["mode"] == "payment":
            self._sell_once(session, delayed=delayed)
        else:
            self._subscribe(session, delayed=delayed)

    def _sell_once(self, session: Obj, *, delayed: bool) -> None:
        if not session["amount_total"]:
            session["payment_status"] = "no_payment_required"
        else:
            metadata = session["_payment_intent_data"].get("metadata")
            amount, currency = session["amount_total"], session["currency"]
            intent = self.payments.intend(amount, currency, session["customer"], metadata)
            session["payment_intent"] = intent["id"]
            self.payments.attempt(intent, "pending" if delayed else "succeeded", session["customer_details"])
            session["payment_status"] = "unpaid" if delayed else "paid"
        if session["payment_status"] != "unpaid":
            self._invoice(session)

    def _invoice(self, session: Obj) -> None:
        """The invoice that a sale of its own has where `invoice_creation` asks for one: paid when it is made."""
        if not session["invoice_creation"]["enabled"]:
            return
        lines = [self._invoice_line(line, None) for line in session["_lines"]]
        invoice = self.invoices.draft(session["customer"], None, lines, "manual")
        self.invoices.finalize_now(invoice, collect=False)
        if invoice["status"] == "open":
            self.invoices.settle(invoice, intent=self.books.get("payment_intents", session["payment_intent"]))
        session["invoice"] = invoice["id"]

    def _invoice_line(self, line: Obj, sub: str | None) -> Obj:
        ids = self.books.new_id("il_"), self.books.new_id("ii_")
        return objects.one_off_line(ids[0], line["price"], line["quantity"], sub, ids[1], self.books.now)

    def _subscribe(self, session: Obj, *, delayed: bool) -> None:
        lines = [(line["price"], line["quantity"]) for line in session["_lines"]]
        once = [{"price": price["id"], "quantity": str(n)} for price, n in lines if not price["recurring"]]
        items = [_item(price, quantity) for price, quantity in lines if price["recurring"]]
        params = session["_subscription_data"] | {"customer": session["customer"], "items": items}
        behavior = {"payment_behavior": "default_incomplete"} if delayed else {}
        sub = self.subscriptions.create(params | behavior | {"add_invoice_items": once})
        invoice = self.books.get("invoices", sub["latest_invoice"])
        session |= {"subscription": sub["id"], "invoice": invoice["id"]}
        if not invoice["total"]:
            session["payment_status"] = "no_payment_required"
        elif delayed and invoice["status"] == "open":
            self.subscriptions.begin_delayed(sub)
        else:
            session["payment_status"] = "paid"

    def end_delayed(self, id_: str, *, ok: bool) -> Obj:
        """The delayed payment came, or it failed; the session says so, and stays complete."""
        session = self.books.get("checkout/sessions", id_)
        if (session["status"], session["payment_status"]) != ("complete", "unpaid"):
            raise Refusal(400, "This session waits for no payment.")
        with self.books.updating(session):
            if session["mode"] == "subscription":
                self.invoices.end_delayed(self.books.get("invoices", session["invoice"]), ok=ok)
            else:
                self.payments.resolve(self.books.get("payment_intents", session["payment_intent"]), ok=ok)
            if ok:
                session["payment_status"] = "paid"
            if ok and session["mode"] == "payment":
                self._invoice(session)
        self.books.touch("checkout/sessions", session)
        self.books.happened(f"checkout.session.async_payment_{'succeeded' if ok else 'failed'}", session)
        return session


def _item(price: Obj, quantity: int) -> Obj:
    """A subscription's item as a request names it; a metered one has no quantity."""
    metered = price["recurring"]["usage_type"] == "metered"
    return {"price": price["id"]} | ({} if metered else {"quantity": str(quantity)})
