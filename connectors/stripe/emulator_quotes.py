"""Quotes: an offer that is finalized, accepted or withdrawn; and the events these raise.

Facts: stripe 16.1.0 `_quote.py` (read 2026-11). That the first invoice of an accepted quote's subscription is
collected at once, as any other's, is inferred. Phases in the future (`effective_date`) are not emulated.
"""

from __future__ import annotations

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal
from connectors.stripe.emulator_invoices import Invoices
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_subscriptions import Subscriptions


class Quotes:
    """The account's quotes."""

    def __init__(self, books: Books, invoices: Invoices, subscriptions: Subscriptions) -> None:
        self.books, self.invoices, self.subscriptions = books, invoices, subscriptions

    def create(self, params: Obj) -> Obj:
        """A draft."""
        if params.get("customer"):
            self.books.get("customers", params["customer"], param="customer")
        lines = [self._line(wanted, at) for at, wanted in enumerate(params.get("line_items") or [])]
        value = objects.quote(self.books.new_id("qt_"), params, lines, self.books.now, livemode=self.books.livemode)
        self.books.happened("quote.created", self.books.add("quotes", value))
        self.books.at(value["expires_at"], lambda: self._expire(value))
        return value

    def _line(self, wanted: Obj, at: int) -> Obj:
        price = self.books.get("prices", wanted.get("price", ""), param=f"line_items[{at}][price]")
        return objects.session_line(self.books.new_id("li_"), price, int(wanted.get("quantity") or 1))

    def finalize(self, id_: str, params: Obj) -> Obj:
        """Open: the buyer can accept it."""
        value = self._in(id_, "draft")
        if not value["customer"] or not value["_lines"]:
            raise Refusal(400, "A quote needs a customer and line items before it is finalized.")
        with self.books.updating(value):
            value |= {"status": "open", "number": f"QT-{value['customer'][-8:].upper()}-{self.books.number():04}-1"}
            value["status_transitions"]["finalized_at"] = self.books.now
            value["expires_at"] = int(params.get("expires_at") or value["expires_at"])
        self.books.happened("quote.finalized", value)
        return value

    def accept(self, id_: str) -> Obj:
        """Sold: a subscription of what recurs, with the rest on its first invoice; else a draft invoice."""
        value = self._in(id_, "open")
        with self.books.updating(value):
            value["status"] = "accepted"
            value["status_transitions"]["accepted_at"] = self.books.now
            value |= self._sold(value)
        self.books.happened("quote.accepted", value)
        return value

    def _sold(self, value: Obj) -> Obj:
        rows = [(line["price"], str(line["quantity"])) for line in value["_lines"]]
        items = [{"price": price["id"], "quantity": count} for price, count in rows if price["recurring"]]
        once = [{"price": price["id"], "quantity": count} for price, count in rows if not price["recurring"]]
        if not items:
            return {"invoice": self._invoice(value)["id"]}
        terms = {name: value[name] for name in ("customer", "collection_method", "description")}
        metadata = value["subscription_data"]["metadata"]
        sub = self.subscriptions.create(terms | {"items": items, "add_invoice_items": once, "metadata": metadata})
        return {"subscription": sub["id"]}

    def _invoice(self, value: Obj) -> Obj:
        lines = [self._invoice_line(line) for line in value["_lines"]]
        details = {"quote_details": {"quote": value["id"]}, "subscription_details": None, "type": "quote_details"}
        more = {"auto_advance": False, "parent": details}
        return self.invoices.draft(value["customer"], None, lines, "quote_accept", more=more)

    def _invoice_line(self, line: Obj) -> Obj:
        ids = self.books.new_id("il_"), self.books.new_id("ii_")
        return objects.one_off_line(ids[0], line["price"], line["quantity"], None, ids[1], self.books.now)

    def cancel(self, id_: str) -> Obj:
        """Withdrawn."""
        value = self._in(id_, "draft", "open")
        with self.books.updating(value):
            value["status"] = "canceled"
            value["status_transitions"]["canceled_at"] = self.books.now
        self.books.happened("quote.canceled", value)
        return value

    def _expire(self, value: Obj) -> None:
        if value["status"] in ("draft", "open") and value["expires_at"] <= self.books.now:
            self.cancel(value["id"])

    def _in(self, id_: str, *statuses: str) -> Obj:
        value = self.books.get("quotes", id_)
        if value["status"] not in statuses:
            raise Refusal(400, f"This quote is {value['status']}.", param="id")
        return value
