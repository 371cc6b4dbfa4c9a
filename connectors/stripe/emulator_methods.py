"""Means of payment: Stripe's test cards and bank debits, and what a payment with each of them comes to.

The test ids and tokens of docs.stripe.com/testing that stripe-cli's triggers use, and their kin. A test id that a
request names makes a method of its own, as at Stripe. Knows no payment: whoever pays asks `manner`.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, declined, missing, need
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_payments import Payments


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a payment goes. delayed: it takes days; dispute: (status, reason) of the one that follows at once."""

    pays: bool = True
    attaches: bool = True
    delayed: bool = False
    dispute: tuple[str, str] | None = None


# What comes after `pm_card_` or `tok_`.
CARDS = {
    **dict.fromkeys(("visa", "mastercard", "amex"), Manner()),
    "chargeCustomerFail": Manner(pays=False),
    "chargeDeclined": Manner(pays=False, attaches=False),
    "createDispute": Manner(dispute=("needs_response", "fraudulent")),
    "createDisputeInquiry": Manner(dispute=("warning_needs_response", "fraudulent")),
}
DEBITS = {
    "AT611904300234573201": Manner(delayed=True),
    "AT861904300235473202": Manner(delayed=True, pays=False),
}
_TEST_CARD, _TOKEN = "pm_card_", "tok_"


class Methods:
    """The account's means of payment."""

    def __init__(self, books: Books, payments: Payments) -> None:
        self.books, self.payments = books, payments

    def create(self, params: Obj) -> Obj:
        """A method that is nobody's yet: a card by its token, or a bank debit by its IBAN."""
        need(params, "type")
        match params["type"]:
            case "card":
                token = str((params.get("card") or {}).get("token", ""))
                return self._card(token.removeprefix(_TOKEN), "card[token]", params)
            case "sepa_debit":
                iban = str((params.get("sepa_debit") or {}).get("iban", ""))
                return self._add("sepa_debit", self._known(DEBITS, iban, "sepa_debit[iban]"), params)
        raise Refusal(400, f"The payment method type {params['type']} is not emulated.", param="type")

    @staticmethod
    def _known(table: dict[str, Manner], name: str, param: str) -> str:
        if name not in table:
            raise Refusal(400, f"No such token or account: '{name}'", code="resource_missing", param=param)
        return name

    def _card(self, test: str, param: str, params: Obj, prefix: str = "pm_") -> Obj:
        return self._add("card", self._known(CARDS, test, param), params, prefix)

    def _add(self, type_: str, test: str, params: Obj, prefix: str = "pm_") -> Obj:
        id_, now = self.books.new_id(prefix), self.books.now
        value = objects.payment_method(id_, type_, test, params, now, livemode=self.books.livemode)
        return self.books.add("payment_methods", value)

    def find(self, id_: str, *, param: str = "payment_method") -> Obj:
        """The method that a request names; a test id makes a new one."""
        if id_.startswith(_TEST_CARD):
            return self._card(id_.removeprefix(_TEST_CARD), param, {})
        return self.books.get("payment_methods", id_, param=param)

    @staticmethod
    def manner(method: Obj) -> Manner:
        """What a payment with it comes to."""
        return (CARDS if method["type"] == "card" else DEBITS)[method["_test"]]

    def pays(self, id_: str) -> bool:
        """Whether a payment with the method that is named so succeeds."""
        return self.manner(self.find(id_)).pays

    # Whose they are

    def attach(self, id_: str, params: Obj) -> Obj:
        """The method is the customer's from now on."""
        need(params, "customer")
        customer = self.books.get("customers", params["customer"], param="customer")
        method = self.find(id_, param="id")
        if method["customer"] not in (None, customer["id"]):
            raise Refusal(400, "The payment method you provided has already been attached to a customer.")
        self.hand_over(method, str(customer["id"]))
        return method

    def hand_over(self, method: Obj, customer: str) -> None:
        """It is this customer's; Refusal 402 where its bank says no."""
        self._accept(method)
        with self.books.updating(method, "payment_method.attached"):
            method["customer"] = customer
        self.books.touch("payment_methods", method)

    def detach(self, id_: str) -> Obj:
        """The method is nobody's any more, and no default."""
        method = self.books.get("payment_methods", id_)
        if method["customer"] is None:
            raise Refusal(400, "The payment method you provided is not attached to a customer.")
        customer = self.books.get("customers", method["customer"])
        with self.books.updating(customer):
            settings = customer["invoice_settings"]
            if settings["default_payment_method"] == id_:
                customer["invoice_settings"] = settings | {"default_payment_method": None}
        with self.books.updating(method, "payment_method.detached"):
            method["customer"] = None
        return method

    def chosen(self, params: Obj) -> Obj | None:
        """The method that a new customer comes with, by id or by token; Refusal 402 where its bank says no."""
        if params.get("source"):
            return self._accept(self._card(params["source"].removeprefix(_TOKEN), "source", {}, "card_"))
        return self._accept(self.find(params["payment_method"])) if params.get("payment_method") else None

    def _accept(self, method: Obj) -> Obj:
        if not self.manner(method).attaches:
            raise declined()
        return method

    def set_default(self, customer: Obj, params: Obj, given: Obj | None) -> None:
        """The customer's invoices are paid with what `params` say; it must be the customer's own."""
        wanted = (params.get("invoice_settings") or {}).get("default_payment_method")
        if given and params.get("source"):
            customer["default_source"] = given["id"]
            self.payments.cards[customer["id"]] = self.manner(given).pays
        if not wanted:
            return
        method = given if given and params.get("payment_method") == wanted else self._own(customer, wanted)
        customer["invoice_settings"] = customer["invoice_settings"] | {"default_payment_method": method["id"]}
        self.payments.cards[customer["id"]] = self.manner(method).pays

    def _own(self, customer: Obj, id_: str) -> Obj:
        method = self.books.shelves["payment_methods"].objects.get(id_)
        if method is None:
            raise missing("payment_methods", id_, param="invoice_settings[default_payment_method]", status=400)
        if method["customer"] != customer["id"]:
            raise Refusal(
                400, f"The customer does not have a payment method with the ID {id_}.", code="resource_missing"
            )
        return method
