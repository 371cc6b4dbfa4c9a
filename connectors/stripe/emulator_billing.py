"""One emulated account: its parts put together, its customers and its catalog."""

from __future__ import annotations

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, merge, need, subscription_of
from connectors.stripe.emulator_checkout import Checkout
from connectors.stripe.emulator_credit_notes import CreditNotes
from connectors.stripe.emulator_intents import Intents
from connectors.stripe.emulator_invoices import Invoices
from connectors.stripe.emulator_manual import Manual
from connectors.stripe.emulator_methods import Methods
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_payments import Payments
from connectors.stripe.emulator_quotes import Quotes
from connectors.stripe.emulator_schedules import Schedules
from connectors.stripe.emulator_subscriptions import OVER, Subscriptions


class Billing:
    """What one account sells, and to whom. `now` (Unix seconds, business time) is the moment being worked on."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.payments = Payments(books)
        self.methods = Methods(books, self.payments)
        self.intents = Intents(books, self.payments, self.methods)
        self.invoices = Invoices(books, self.payments)
        self.invoices.method_pays = self.methods.pays
        self.manual = Manual(books, self.invoices)
        self.credit_notes = CreditNotes(books, self.payments, self.invoices)
        self.subscriptions = Subscriptions(books, self.payments, self.invoices)
        self.schedules = Schedules(books, self.subscriptions)
        self.quotes = Quotes(books, self.invoices, self.subscriptions)
        self.checkout = Checkout(books, self.payments, self.invoices, self.subscriptions, self.methods)
        self.subscriptions.over = self.schedules.subscription_over
        self.payments.lost = self._dispute_lost
        self.lost_disputes_cancel = False

    @property
    def now(self) -> int:
        return self.books.now

    def _dispute_lost(self, charge: Obj) -> None:
        """Ends the subscription that the charge paid for, where the account is set so."""
        if not self.lost_disputes_cancel or "_invoice" not in charge:
            return
        id_ = subscription_of(self.books.get("invoices", charge["_invoice"]))
        sub = id_ and self.books.get("subscriptions", id_)
        if sub and sub["status"] not in OVER:
            self.subscriptions.end(sub, "payment_disputed")

    # Customers, products, prices

    def create_customer(self, params: Obj) -> Obj:
        method = self.methods.chosen(params)
        value = objects.customer(self.books.new_id("cus_"), params, self.books.now, livemode=self.books.livemode)
        self.methods.set_default(value, params, method)
        self.books.happened("customer.created", self.books.add("customers", value))
        if method:
            self.methods.hand_over(method, value["id"])
        return value

    def update_customer(self, id_: str, params: Obj) -> Obj:
        value = self.books.get("customers", id_, param="id")
        with self.books.updating(value, "customer.updated"):
            merge(value, params, ("address", "description", "email", "name", "phone"))
            self.methods.set_default(value, params, None)
        return value

    def delete_customer(self, id_: str) -> Obj:
        """Its subscriptions are canceled at once; the id stays readable as deleted."""
        value = self.books.get("customers", id_, param="id")
        for sub in self.books.find("subscriptions", customer=id_):
            if sub["status"] not in OVER:
                self.subscriptions.end(sub, "cancellation_requested")
        self.books.happened("customer.deleted", value)
        gone = {"id": id_, "object": "customer", "deleted": True}
        with self.books.updating(value):
            value.clear()
            value.update(gone)
        return gone

    def create_product(self, params: Obj) -> Obj:
        need(params, "name")
        value = objects.product(
            params.get("id") or self.books.new_id("prod_"), params, self.books.now, livemode=self.books.livemode
        )
        self.books.happened("product.created", self.books.add("products", value))
        return value

    def update_product(self, id_: str, params: Obj) -> Obj:
        value = self.books.get("products", id_)
        with self.books.updating(value, "product.updated"):
            merge(value, params, ("description", "name", "unit_label"))
        return value

    def create_price(self, params: Obj) -> Obj:
        need(params, "currency")
        if "product_data" in params:
            product = self.create_product(params["product_data"])["id"]
        else:
            need(params, "product")
            product = self.books.get("products", params["product"], param="product")["id"]
        if "recurring" in params:
            need(params["recurring"], "interval")
        self._claim_lookup_key(params)
        value = objects.price(
            self.books.new_id("price_"), params, product, self.books.now, livemode=self.books.livemode
        )
        self.books.happened("price.created", self.books.add("prices", value))
        return value

    def update_price(self, id_: str, params: Obj) -> Obj:
        value = self.books.get("prices", id_)
        if params.get("lookup_key") not in (None, value["lookup_key"]):
            self._claim_lookup_key(params)
        with self.books.updating(value, "price.updated"):
            merge(value, params, ("lookup_key", "nickname"))
        return value

    def _claim_lookup_key(self, params: Obj) -> None:
        key = params.get("lookup_key")
        taken = [each for each in self.books.shelves["prices"].objects.values() if key and each["lookup_key"] == key]
        for each in taken:
            if params.get("transfer_lookup_key") != "true":
                raise Refusal(400, f"A price (`{each['id']}`) already uses that lookup key.", param="lookup_key")
            with self.books.updating(each, "price.updated"):
                each["lookup_key"] = None
