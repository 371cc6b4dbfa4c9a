"""Credit notes: what an invoice asked too much, line by line, and how it is given back; and the events these raise.

Rules: stripe 16.1.0 `_credit_note_service.py` (read 2026-11); what is inferred says so.
"""

from __future__ import annotations

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, need
from connectors.stripe.emulator_invoices import Invoices
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_payments import Payments


class CreditNotes:
    """The account's credit notes."""

    def __init__(self, books: Books, payments: Payments, invoices: Invoices) -> None:
        self.books, self.payments, self.invoices = books, payments, invoices

    def create(self, params: Obj) -> Obj:
        """A credit note: it lowers what is still to be paid; what is over is given back as `params` say."""
        need(params, "invoice")
        invoice = self.books.get("invoices", params["invoice"], param="invoice")
        if invoice["status"] not in ("open", "paid"):
            raise Refusal(400, f"You can't credit an invoice that is {invoice['status']}.", param="invoice")
        wanted = self._wanted_lines(params)
        lines = [self._line(invoice, each, f"lines[{at}]") for at, each in enumerate(wanted)]
        note = objects.credit_note(self.books.new_id("cn_"), invoice, lines, params, self.books.now)
        before = min(note["amount"], invoice["amount_remaining"])
        note |= {"pre_payment_amount": before, "post_payment_amount": note["amount"] - before}
        note["type"] = "mixed" if 0 < before < note["amount"] else "pre_payment" if before else "post_payment"
        self._refuse_wrong_sum(invoice, note, params)
        self._give_back(invoice, note, params)
        self.books.happened("credit_note.created", self.books.add("credit_notes", note))
        self._count_credit(invoice, note, 1)
        return note

    @staticmethod
    def _wanted_lines(params: Obj) -> list[Obj]:
        """The lines asked for; with an amount alone, one line of that amount."""
        if params.get("lines"):
            return list(params["lines"])
        amount = params.get("amount") or params.get("refund_amount") or params.get("out_of_band_amount")
        if not amount:
            raise Refusal(400, "One of `amount`, `lines` or `refund_amount` is needed.", param="amount")
        return [{"type": "custom_line_item", "unit_amount": amount, "quantity": "1", "description": "Credit"}]

    def _line(self, invoice: Obj, wanted: Obj, param: str) -> Obj:
        amount, quantity = self._credited(invoice, wanted, param)
        id_, livemode = self.books.new_id("cnli_"), self.books.livemode
        return objects.credit_note_line(id_, amount, quantity, wanted, livemode=livemode)

    @staticmethod
    def _credited(invoice: Obj, wanted: Obj, param: str) -> tuple[int, int | None]:
        """Amount and quantity of one line of a credit note."""
        if wanted.get("type") == "custom_line_item":
            quantity = int(wanted.get("quantity") or 1)
            return quantity * int(wanted["unit_amount"]), quantity
        found = [line for line in invoice["lines"]["data"] if line["id"] == wanted.get("invoice_line_item")]
        if not found:
            name = f"{param}[invoice_line_item]"
            raise Refusal(400, f"No such line item: '{wanted.get('invoice_line_item')}'", param=name)
        if wanted.get("amount"):
            return int(wanted["amount"]), None
        quantity, whole = int(wanted.get("quantity") or 0), found[0]["quantity"] or 0
        if not 0 < quantity <= whole:
            raise Refusal(400, "The quantity is greater than that of the invoice line.", param=f"{param}[quantity]")
        return round(found[0]["amount"] * quantity / whole), quantity

    @staticmethod
    def _refuse_wrong_sum(invoice: Obj, note: Obj, params: Obj) -> None:
        given = [int(params.get(name) or 0) for name in ("refund_amount", "credit_amount", "out_of_band_amount")]
        linked = sum(int(each["amount_refunded"]) for each in params.get("refunds") or [])
        left = invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]
        if note["post_payment_amount"] > left:
            raise Refusal(400, "The sum of credit amounts exceeds the paid amount of the invoice.", param="amount")
        if sum(given) + linked != note["post_payment_amount"]:
            raise Refusal(
                400,
                "The sum of refunds, credit amount and out of band amount must equal the credit note amount "
                f"({note['post_payment_amount']}).",
                param="refund_amount",
            )

    def _give_back(self, invoice: Obj, note: Obj, params: Obj) -> None:
        refunds = [
            {"amount_refunded": int(each["amount_refunded"]), "refund": each["refund"]}
            for each in params.get("refunds") or []
        ]
        if int(params.get("refund_amount") or 0):
            amount = {"charge": invoice["_charge"], "amount": params["refund_amount"]}
            refund = self.payments.refund(amount | {"reason": "requested_by_customer"})
            refunds.append({"amount_refunded": refund["amount"], "refund": refund["id"]})
        note["refunds"] = [{**each, "payment_record_refund": None, "type": "refund"} for each in refunds]
        note["out_of_band_amount"] = int(params["out_of_band_amount"]) if params.get("out_of_band_amount") else None

    def _count_credit(self, invoice: Obj, note: Obj, sign: int) -> None:
        """The invoice's amounts follow the credit note; one with nothing left to pay is paid."""
        before = sign * note["pre_payment_amount"]
        with self.books.updating(invoice, "invoice.updated"):
            invoice["pre_payment_credit_notes_amount"] += before
            invoice["post_payment_credit_notes_amount"] += sign * note["post_payment_amount"]
            invoice["amount_due"] -= before
            invoice["amount_remaining"] -= before
        if invoice["status"] == "open" and not invoice["amount_remaining"]:
            self.invoices.settle(invoice)

    def void(self, id_: str) -> Obj:
        """The credit note no longer counts; a refund that it made stays (inferred: Stripe may refuse this)."""
        note = self.books.get("credit_notes", id_)
        if note["status"] == "void":
            raise Refusal(400, "This credit note is void already.")
        invoice = self.books.get("invoices", note["invoice"])
        if note["pre_payment_amount"] and invoice["status"] != "open":
            raise Refusal(400, f"You can't void a credit note of an invoice that is {invoice['status']}.")
        with self.books.updating(note):
            note |= {"status": "void", "voided_at": self.books.now}
        self.books.happened("credit_note.voided", note)
        self._count_credit(invoice, note, -1)
        return note

    def update(self, id_: str, params: Obj) -> Obj:
        note = self.books.get("credit_notes", id_)
        with self.books.updating(note, "credit_note.updated"):
            note["memo"] = params.get("memo", note["memo"])
            note["metadata"] = note["metadata"] | (params.get("metadata") or {})
        return note
