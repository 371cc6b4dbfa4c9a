"""Invoices: draft, finalized, collected with retries, paid or given up; and the events these raise.

Behavior after docs.stripe.com as quoted in the commerce reference §1.4-1.6 (read 2026-09-27); what is inferred
says so. Says what became of an invoice to whom it concerns, and knows no subscription but by what it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, declined
from connectors.stripe.emulator_objects import DAY, Obj
from connectors.stripe.emulator_payments import Payments

HOUR = 3600
RETRY_DAYS = (3, 5, 7)  # each after the attempt before it
Outcome: TypeAlias = Literal["paid", "failed", "exhausted", "overdue", "void", "uncollectible"]


class Invoices:
    """The account's invoices. `told` hears what became of each; `retried` says whether one is tried again."""

    def __init__(self, books: Books, payments: Payments) -> None:
        self.books, self.payments = books, payments
        self.told: Callable[[Obj, Outcome], None] = lambda _invoice, _outcome: None
        self.retried: Callable[[Obj], bool] = lambda _invoice: True
        self.pausing: Callable[[Obj], str | None] = lambda _invoice: None
        self.method_pays: Callable[[str], bool] = lambda _method: True

    # Drafts

    def draft(
        self,
        customer: str,
        sub: Obj | None,
        lines: list[Obj],
        reason: str,
        *,
        period: tuple[int, int] | None = None,
        announce: bool = True,
        more: Obj | None = None,
    ) -> Obj:
        """A draft, with `more` of its fields. Its own period is the one that ended, its lines' the one to be paid."""
        buyer = self.books.get("customers", customer)
        invoice = objects.invoice(self.books.new_id("in_"), sub, lines, reason, buyer, self.books.now)
        if period:
            invoice |= {"period_start": period[0], "period_end": period[1]}
        invoice |= more or {}
        self.books.add("invoices", invoice)
        if announce:
            self.books.happened("invoice.created", invoice)
        return invoice

    def finalize_later(self, invoice: Obj) -> None:
        """Drafts wait an hour: the period has moved, and nobody has paid."""
        due = self.books.now + HOUR
        invoice["automatically_finalizes_at"] = due
        self.books.at(due, lambda: self._finalize_draft(invoice))

    def _finalize_draft(self, invoice: Obj) -> None:
        if invoice["status"] != "draft" or not invoice["auto_advance"]:
            return
        pause = self.pausing(invoice)
        if pause == "keep_as_draft":
            invoice["auto_advance"] = False
            return
        self.finalize_now(invoice, collect=not pause)
        if pause and invoice["status"] == "open":  # one over nothing is paid by now
            give_up = {"void": self.void, "mark_uncollectible": self.mark_uncollectible}[pause]
            give_up(invoice["id"])

    def finalize_now(self, invoice: Obj, *, collect: bool = True) -> None:
        """From draft to open; then paid where there is nothing to pay, sent, or collected."""
        with self.books.updating(invoice):
            number = self.books.number()
            invoice |= {"status": "open", "number": f"{invoice['customer'][-8:].upper()}-{number:04}"}
            invoice |= {"effective_at": self.books.now, "automatically_finalizes_at": None, "ending_balance": 0}
            invoice["status_transitions"]["finalized_at"] = self.books.now
            invoice["hosted_invoice_url"] = f"https://invoice.stripe.test/i/{invoice['id']}"
        if not invoice["amount_due"]:
            self.books.happened("invoice.finalized", invoice)
            self.settle(invoice)
        elif invoice["collection_method"] == "send_invoice":
            self._send(invoice)
        else:
            self.books.happened("invoice.finalized", invoice)
            if collect:
                self._collect(invoice)

    def _send(self, invoice: Obj) -> None:
        with self.books.updating(invoice):
            invoice["due_date"] = self.books.now + (invoice["_days_until_due"] or 30) * DAY
        self.books.happened("invoice.finalized", invoice)
        self.books.happened("invoice.sent", invoice)
        self.books.at(invoice["due_date"], lambda: self._overdue(invoice))

    def _overdue(self, invoice: Obj) -> None:
        if invoice["status"] == "open":
            self.books.happened("invoice.overdue", invoice)
            self.told(invoice, "overdue")

    # Payment

    def _collect(self, invoice: Obj, method: str | None = None) -> bool:
        """One attempt, with `method` or else with what the customer has. Says whether it was paid."""
        if self.method_pays(method) if method else self.payments.pays(invoice["customer"]):
            self.settle(invoice)
            return True
        self._fail(invoice)
        return False

    def settle(self, invoice: Obj, *, out_of_band: bool = False, intent: Obj | None = None) -> None:
        """Paid: by `intent` where that has brought the money, else by a new charge.

        Out of band there is no charge and no invoice.payment_succeeded, only invoice.paid (§1.6).
        """
        with self.books.updating(invoice):
            if invoice["amount_due"] and not out_of_band:
                self._paid_by(invoice, intent or self._try(invoice, "succeeded"))
            self._mark_paid(invoice, out_of_band=out_of_band)
        self.books.happened("invoice.paid", invoice)
        if not out_of_band:
            self.books.happened("invoice.payment_succeeded", invoice)
        self.told(invoice, "paid")

    def begin_delayed(self, invoice: Obj) -> Obj:
        """A means of payment that takes days has begun: the invoice stays open. Gives the payment intent."""
        with self.books.updating(invoice):
            return self._try(invoice, "pending")

    def end_delayed(self, invoice: Obj, *, ok: bool) -> None:
        """The delayed money came, or it did not."""
        intent = self.books.get("payment_intents", invoice["_payment_intent"])
        self.payments.resolve(intent, ok=ok)
        if ok:
            self.settle(invoice, intent=intent)
        else:
            self._failed(invoice)

    def _try(self, invoice: Obj, outcome: Literal["succeeded", "failed", "pending"]) -> Obj:
        """An attempt, noted as 2020-08-27 shows it: invoice.charge, invoice.payment_intent, charge.invoice."""
        known = invoice["_payment_intent"]
        intent = self.books.get("payment_intents", known) if known else self._intend(invoice)
        intent["amount"] = invoice["amount_due"]  # a credit note may have lowered it since
        payer = {"email": invoice["customer_email"], "name": invoice["customer_name"]}
        charge = self.payments.attempt(intent, outcome, payer)
        invoice |= {"_charge": charge["id"], "_payment_intent": intent["id"]}
        return intent

    def _intend(self, invoice: Obj) -> Obj:
        intent = self.payments.intend(invoice["amount_due"], invoice["currency"], invoice["customer"])
        intent["_invoice"] = invoice["id"]
        return intent

    def _paid_by(self, invoice: Obj, intent: Obj) -> None:
        invoice |= {"_charge": intent["latest_charge"], "_payment_intent": intent["id"]}
        intent["_invoice"] = self.books.get("charges", intent["latest_charge"])["_invoice"] = invoice["id"]
        payment = objects.invoice_payment(self.books.new_id("inpay_"), invoice, intent, self.books.now)
        self.books.happened("invoice_payment.paid", self.books.add("invoice_payments", payment))

    def _mark_paid(self, invoice: Obj, *, out_of_band: bool) -> None:
        charged = bool(invoice["amount_due"]) and not out_of_band
        invoice |= {
            "status": "paid",
            "amount_paid": invoice["amount_due"],
            "amount_paid_off_stripe": invoice["amount_due"] if out_of_band else 0,
            "amount_remaining": 0,
            "attempted": True,
            "attempt_count": invoice["attempt_count"] + charged,
            "auto_advance": False,
            "next_payment_attempt": None,
            "_out_of_band": out_of_band,
        }
        invoice["status_transitions"]["paid_at"] = self.books.now

    def _fail(self, invoice: Obj) -> None:
        with self.books.updating(invoice):
            self._try(invoice, "failed")
        self._failed(invoice)

    def _failed(self, invoice: Obj) -> None:
        """After a failed attempt: a retry in 3, 5, 7 days; after the last, the account's choice."""
        tries = invoice["attempt_count"] + 1
        again = tries <= len(RETRY_DAYS) and self.retried(invoice)
        due = self.books.now + RETRY_DAYS[tries - 1] * DAY if again else None
        with self.books.updating(invoice, "invoice.updated"):
            invoice |= {"attempted": True, "attempt_count": tries, "next_payment_attempt": due, "auto_advance": again}
        self.books.happened("invoice.payment_failed", invoice)
        if due is not None:
            self.books.at(due, lambda: self._retry(invoice, due))
        self.told(invoice, "failed" if again or tries <= len(RETRY_DAYS) else "exhausted")

    def _retry(self, invoice: Obj, due: int) -> None:
        if invoice["status"] == "open" and invoice["next_payment_attempt"] == due:
            self._collect(invoice)

    # What the seller does

    def pay(self, id_: str, params: Obj) -> Obj:
        invoice = self.books.get("invoices", id_)
        if invoice["status"] == "draft":
            self.finalize_now(invoice, collect=False)
        if invoice["status"] not in ("open", "uncollectible"):
            if invoice["status"] == "paid":
                raise Refusal(400, "Invoice is already paid", code="invoice_already_paid")
            raise Refusal(400, f"Invoice is {invoice['status']} and can't be paid.")
        if params.get("paid_out_of_band") == "true":
            self.settle(invoice, out_of_band=True)
        elif not self._collect(invoice, params.get("payment_method")):
            raise declined()
        return invoice

    def finalize(self, id_: str) -> Obj:
        invoice = self.books.get("invoices", id_)
        if invoice["status"] != "draft":
            raise Refusal(400, "This invoice is already finalized.", code="invoice_not_editable")
        self.finalize_now(invoice, collect=False)
        return invoice

    def void(self, id_: str) -> Obj:
        """The debt is canceled."""
        return self._close(id_, "void", "voided_at", "invoice.voided", ("open", "uncollectible"))

    def mark_uncollectible(self, id_: str) -> Obj:
        """Written off; it can still be paid later."""
        return self._close(id_, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible", ("open",))

    def _close(self, id_: str, status: Outcome, stamp: str, type_: str, allowed: tuple[str, ...]) -> Obj:
        invoice = self.books.get("invoices", id_)
        if invoice["status"] not in allowed:
            raise Refusal(400, f"You can't do this with an invoice that is {invoice['status']}.")
        with self.books.updating(invoice):
            invoice |= {"status": status, "auto_advance": False, "next_payment_attempt": None}
            invoice["status_transitions"][stamp] = self.books.now
        self.books.happened(type_, invoice)
        self.told(invoice, status)
        return invoice

    def void_open(self, sub: Obj) -> None:
        """Voids what the subscription still owes."""
        for invoice in self.books.find("invoices", subscription=sub["id"]):
            if invoice["status"] == "open":
                self.void(invoice["id"])

    def stop_collecting(self, sub: Obj) -> None:
        """What is still to be paid stays open, but is no longer collected."""
        for invoice in self.books.find("invoices", subscription=sub["id"]):
            if invoice["status"] in ("draft", "open"):
                with self.books.updating(invoice):
                    invoice |= {"auto_advance": False, "next_payment_attempt": None}
