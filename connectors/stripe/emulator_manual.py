"""Invoice items, and the invoices that a seller makes by hand out of them; the events these raise.

Facts: stripe 16.1.0 `_invoice_item.py`, `params/_invoice_create_params.py` (read 2026-11). An item that has an amount
alone is of an inactive price that is made for it (inferred: without events).
"""

from __future__ import annotations

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, need
from connectors.stripe.emulator_invoices import Invoices
from connectors.stripe.emulator_objects import Obj

_NOTHING = "Nothing to invoice for customer"


class Manual:
    """What sellers bill by hand."""

    def __init__(self, books: Books, invoices: Invoices) -> None:
        self.books, self.invoices = books, invoices

    def create_item(self, params: Obj) -> Obj:
        """Something to bill: on the draft that is named, else on the customer's next invoice that includes it."""
        need(params, "customer")
        customer = self.books.get("customers", params["customer"], param="customer")
        draft = self._draft(params["invoice"]) if params.get("invoice") else None
        price = self._price(params)
        quantity = int(params.get("quantity") or 1)
        item = objects.invoice_item(self.books.new_id("ii_"), customer, price, quantity, params, self.books.now)
        self.books.happened("invoiceitem.created", self.books.add("invoiceitems", item))
        if draft:
            self._bill(item, draft)
        return item

    def _draft(self, id_: str) -> Obj:
        invoice = self.books.get("invoices", id_, param="invoice")
        if invoice["status"] != "draft":
            raise Refusal(400, "This invoice is already finalized.", code="invoice_not_editable", param="invoice")
        return invoice

    def _price(self, params: Obj) -> Obj:
        name = (params.get("pricing") or {}).get("price") or params.get("price")
        if not name:
            return self._made_for(params)
        price = self.books.get("prices", name, param="pricing[price]")
        if price["recurring"]:
            raise Refusal(
                400, "The price specified is set to `type=recurring`, a one-time one is needed.", param="price"
            )
        return price

    def _made_for(self, params: Obj) -> Obj:
        need(params, "amount", "currency")
        books, off = self.books, {"active": "false"}
        named = off | {"name": params.get("description") or "Invoice item"}
        product = objects.product(books.new_id("prod_"), named, books.now, livemode=books.livemode)
        terms = off | {"currency": params["currency"], "unit_amount": params["amount"]}
        price = objects.price(books.new_id("price_"), terms, product["id"], books.now, livemode=books.livemode)
        books.add("products", product)
        return books.add("prices", price)

    def _line(self, item: Obj) -> Obj:
        price = self.books.get("prices", item["pricing"]["price_details"]["price"])
        id_ = self.books.new_id("il_")
        line = objects.one_off_line(id_, price, item["quantity"], None, item["id"], self.books.now)
        return line | {"description": item["description"]}

    def _bill(self, item: Obj, draft: Obj) -> None:
        with self.books.updating(draft, "invoice.updated"):
            lines = [*draft["lines"]["data"], self._line(item) | {"invoice": draft["id"]}]
            draft["lines"] = draft["lines"] | {"data": lines, "total_count": len(lines)}
            draft |= objects.invoice_sums(lines)
        self._note(item, draft)

    def _note(self, item: Obj, invoice: Obj) -> None:
        item["invoice"] = invoice["id"]
        self.books.touch("invoiceitems", item)

    def create_invoice(self, params: Obj) -> Obj:
        """A draft of what waits to be billed, where `pending_invoice_items_behavior` is include (2020-08-27: always).

        2020-08-27 refuses an empty one. It advances by itself only with `auto_advance`.
        """
        need(params, "customer")
        self.books.get("customers", params["customer"], param="customer")
        older = self.books.shape == "legacy"
        behavior = params.get("pending_invoice_items_behavior", "include" if older else "exclude")
        items = self._pending(params["customer"]) if behavior == "include" else []
        if older and not items and behavior == "include":
            raise Refusal(400, _NOTHING, code="invoice_no_customer_line_items")
        more = {"description": params.get("description"), "metadata": params.get("metadata") or {}}
        more |= {"auto_advance": params.get("auto_advance") == "true", "currency": self._currency(params, items)}
        more |= {"collection_method": params.get("collection_method", "charge_automatically")}
        more |= {"_days_until_due": int(params["days_until_due"]) if params.get("days_until_due") else None}
        invoice = self.invoices.draft(
            params["customer"], None, [self._line(each) for each in items], "manual", more=more
        )
        for item in items:
            self._note(item, invoice)
        if invoice["auto_advance"]:
            self.invoices.finalize_later(invoice)
        return invoice

    @staticmethod
    def _currency(params: Obj, items: list[Obj]) -> str:
        return str(params.get("currency") or (items[0]["currency"] if items else "usd")).lower()

    def _pending(self, customer: str) -> list[Obj]:
        found = self.books.find("invoiceitems", customer=customer)
        return [item for item in reversed(found) if item["invoice"] is None]
