"""Payment intents that a seller makes by hand, and their confirmation; the events are those of any payment.

Facts: stripe 16.1.0 `_payment_intent.py` and its params (read 2026-11). That a bank debit is settled with the next
moment the clock is looked at stands for the days that it takes (inferred: Stripe's test debits do not wait).
"""

from __future__ import annotations

from connectors.stripe.emulator_books import Books, Refusal, declined, need
from connectors.stripe.emulator_methods import Manner, Methods
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_payments import Outcome, Payments

_OPEN = ("requires_payment_method", "requires_confirmation")


class Intents:
    """The account's payment intents, as far as sellers act on them."""

    def __init__(self, books: Books, payments: Payments, methods: Methods) -> None:
        self.books, self.payments, self.methods = books, payments, methods

    def create(self, params: Obj) -> Obj:
        """An intent that waits for a method or its confirmation; with `confirm` it is tried at once."""
        need(params, "amount", "currency")
        customer = params.get("customer")
        if customer:
            self.books.get("customers", customer, param="customer")
        told = ("description", "payment_method_types", "receipt_email")
        more: Obj = {name: params[name] for name in told if name in params}
        if params.get("payment_method"):
            method = self.methods.find(params["payment_method"])
            more |= {"payment_method": method["id"], "status": "requires_confirmation"}
        intent = self.payments.intend(
            int(params["amount"]), params["currency"].lower(), customer, params.get("metadata"), more
        )
        return self.confirm(intent["id"], {}) if params.get("confirm") == "true" else intent

    def confirm(self, id_: str, params: Obj) -> Obj:
        """Tries to pay it; Refusal 402 where the card is declined, which leaves it waiting for another."""
        intent = self._open(id_)
        if params.get("payment_method"):
            intent["payment_method"] = self.methods.find(params["payment_method"])["id"]
        if not intent["payment_method"]:
            raise Refusal(
                400, "You cannot confirm this PaymentIntent: it misses a payment method.", param="payment_method"
            )
        method = self.books.get("payment_methods", intent["payment_method"])
        manner = self.methods.manner(method)
        charge = self.payments.attempt(intent, _outcome(manner), method["billing_details"])
        if manner.delayed:
            self.books.at(self.books.now, lambda: self.payments.resolve(intent, ok=manner.pays))
        elif not manner.pays:
            raise declined()
        if manner.dispute:
            self.payments.dispute(charge["id"], *manner.dispute)
        return intent

    def cancel(self, id_: str, params: Obj) -> Obj:
        """Nobody can pay it any more."""
        intent = self._open(id_)
        with self.books.updating(intent):
            intent |= {"status": "canceled", "canceled_at": self.books.now}
            intent["cancellation_reason"] = params.get("cancellation_reason")
        self.books.happened("payment_intent.canceled", intent)
        return intent

    def _open(self, id_: str) -> Obj:
        intent = self.books.get("payment_intents", id_)
        if intent["status"] not in _OPEN:
            message = f"This PaymentIntent's status is {intent['status']}: it can't be confirmed or canceled."
            raise Refusal(400, message, code="payment_intent_unexpected_state")
        return intent


def _outcome(manner: Manner) -> Outcome:
    if manner.delayed:
        return "pending"
    return "succeeded" if manner.pays else "failed"
