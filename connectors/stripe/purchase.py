"""A Stripe subscription, its invoices and what became of their payments -> Purchase. Pure, over plain dicts.

Objects may come in any of Stripe's shapes, or reduced (`shapes`); what a look saw can be read again (`from_seen`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.stripe.fields import Object, Reduced, at, day, part, rows
from connectors.stripe.reversals import Reversal, judged, reduced_reversal
from connectors.stripe.shapes import reduced, reduced_invoice
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing
from hub.errors import UnreadableError
from hub.ports import Found

# docs.stripe.com/api/subscriptions/object, `status` (stripe 16.1.0 _subscription.py). An open set.
# pause_collection leaves the status as it is, and so the standing: it stops invoices, not the service.
STANDINGS = {
    "incomplete": Standing.PENDING,
    "active": Standing.CURRENT,
    "trialing": Standing.CURRENT,
    "past_due": Standing.OVERDUE,
    "unpaid": Standing.SUSPENDED,
    "paused": Standing.SUSPENDED,
    "canceled": Standing.ENDED,
    "incomplete_expired": Standing.ENDED,
}


# The purchase


def to_purchase(
    source: str,
    subscription: Object,
    invoices: Sequence[Object],
    *,
    complete: bool = True,
    reversals: Sequence[Object] = (),
) -> Purchase:
    """What the subscription and those of its invoices say; facts only, the policy decides what to make of gaps.

    `complete`: no other invoice exists, or every other was looked at; else `Line.invoiced` stays False.
    `reversals`: what is known of payments that were paid back, disputed or doubted.
    UnreadableError where an object is malformed, or is known to carry only some of its items.
    """
    facts = reduced(subscription)
    if facts["items_incomplete"]:
        raise UnreadableError(f"{facts['id']} has more items than the object carries")
    bills = [reduced_invoice(invoice) for invoice in invoices]
    reading = _Reading.of(facts, bills, judged(reversals), complete=complete)
    lines = tuple(reading.lines())
    standing = STANDINGS.get(facts["status"], Standing.UNKNOWN)
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=facts["id"]),
        customer=customer_of(facts["customer"]),
        lines=lines,
        standing=standing,
        status=facts["status"],
        ends_at=None if standing is Standing.ENDED else at(facts["ends_at"]),
        bought_at=at(facts["created"]),
        metadata=facts["metadata"],
        flags=tuple(reading.flags()),
    )


def found(
    source: str,
    subscription: Object,
    invoices: Sequence[Object],
    *,
    complete: bool = True,
    reversals: Sequence[Object] = (),
) -> Found:
    """The purchase, and what was seen: `from_seen` gives the same purchase again."""
    seen = reduced(subscription)
    seen["customer"] = named(seen["customer"])
    bills = [reduced_invoice(invoice) for invoice in invoices]
    cases = [reduced_reversal(reversal) for reversal in reversals]
    what: Reduced = {"subscription": seen, "invoices": list(bills), "complete": complete}
    return Found(
        purchase=to_purchase(source, seen, bills, complete=complete, reversals=cases),
        seen=what | ({"reversals": cases} if cases else {}),
    )


def from_seen(source: str, seen: Object) -> Purchase:
    """The purchase that a look's observation stands for."""
    return to_purchase(
        source,
        part(seen, "subscription"),
        rows(seen, "invoices"),
        complete=bool(seen.get("complete")),
        reversals=rows(seen, "reversals"),
    )


def customer_of(customer: Reduced) -> Customer:
    """Who bought: the customer, by its name or else its e-mail."""
    return Customer(
        id=customer["id"],
        customer_ref=customer["metadata"]["customer_ref"],
        name=customer["name"] or customer.get("email"),
    )


def named(customer: Reduced) -> Reduced:
    """The customer as an observation keeps it: its e-mail only where that has to be the name."""
    name = customer["name"] or customer.get("email")
    return {"id": customer["id"], "name": name, "metadata": customer["metadata"]}


def keys_of(price: Reduced) -> tuple[str, ...]:
    """What a catalog row may name a price by, most telling first."""
    keys = (price["id"], price["lookup_key"], price["metadata"]["sku"], price["product"])
    return tuple(dict.fromkeys(key for key in keys if key))


@dataclass(frozen=True, slots=True)
class _Paid:
    until: int
    because: str
    invoice: str = ""  # the id of the one that paid it


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reduced subscription with its reduced invoices, who owns which invoice line, and what was paid back."""

    subscription: Reduced
    invoices: Sequence[Reduced]
    owners: Mapping[str, str]  # price id -> item id, where only one item has the price
    whole: bool
    reversals: Mapping[str, Reversal]  # by invoice id

    @classmethod
    def of(
        cls, subscription: Reduced, invoices: Sequence[Reduced], reversals: Sequence[Reversal], *, complete: bool
    ) -> _Reading:
        prices = [item["price"]["id"] for item in subscription["items"]]
        owners = {
            item["price"]["id"]: item["id"]
            for item in subscription["items"]
            if item["price"]["id"] is not None and prices.count(item["price"]["id"]) == 1
        }
        whole = complete and not any(invoice["lines_incomplete"] for invoice in invoices)
        return cls(subscription, invoices, owners, whole, {one.invoice_id or "": one for one in reversals})

    def lines(self) -> Iterator[Line]:
        for item, paid in self._paid_items():
            yield self._line(item, paid)
        for invoice, line in self._sold_once():
            yield self._once(invoice, line)

    def flags(self) -> Iterator[Flag]:
        """What a person is to know: of each reversal, and of money that came after the end."""
        for reversal in self.reversals.values():
            yield from reversal.flags
            yield from self._unheeded(reversal)
        yield from self._late()

    def _paid_items(self) -> list[tuple[Reduced, _Paid | None]]:
        own = {item["id"]: self._trial() or self._own(item) for item in self.subscription["items"]}
        return [
            (item, own[item["id"]] or self._joined(item, own) or self._replaced(item))
            for item in self.subscription["items"]
        ]

    def _line(self, item: Reduced, paid: _Paid | None) -> Line:
        reversal = self.reversals.get(paid.invoice) if paid else None
        return Line(
            id=item["id"],
            keys=keys_of(item["price"]),
            sku=item["price"]["lookup_key"],
            quantity=self._units(item, reversal),
            paid_until=at(paid.until if paid else None),
            period_start=at(item["current_period_start"]),
            period_end=at(item["current_period_end"]),
            invoiced=paid is None and self.whole and bool(self.invoices),
            because=paid.because if paid else self._gap(),
            metadata={**item["price"]["texts"], **item["metadata"]},
            reversed=self._reversed(item, reversal),
        )

    def _billed(self, item: Reduced, reversal: Reversal) -> Reduced | None:
        """The line of the reversed invoice that billed the item's term."""
        invoice = reversal.invoice or {"lines": ()}
        own = [line for line in invoice["lines"] if self._owner(line) == item["id"] and _is_period(invoice, line, item)]
        return own[0] if own else None

    def _reversed(self, item: Reduced, reversal: Reversal | None) -> str:
        """Why the item's present term is not paid any more: all was paid back, or its line was credited."""
        if reversal is None or reversal.back:
            return reversal.back if reversal else ""
        line = self._billed(item, reversal)
        return f"its line of {reversal.name} was credited in full" if line and reversal.whole(line) else ""

    def _units(self, item: Reduced, reversal: Reversal | None) -> int | None:
        """The item's quantity, less the units credited on its term's invoice that the item does not show yet."""
        quantity: int | None = item["quantity"]
        line = self._billed(item, reversal) if reversal and not reversal.back else None
        if quantity is None or reversal is None or line is None or reversal.whole(line):
            return quantity
        shown = max(0, (line["quantity"] or quantity) - quantity)
        return max(0, quantity - max(0, reversal.units(line) - shown))

    def _sold_once(self) -> Iterator[tuple[Reduced, Reduced]]:
        """Paid lines that no item of the subscription carries: a perpetual license beside its maintenance, say."""
        more = [one.invoice for one in self.reversals.values() if one.invoice]
        bills = {invoice["id"]: invoice for invoice in (*self.invoices, *more)}
        for invoice in bills.values():
            if invoice["status"] == "paid":
                yield from ((invoice, line) for line in invoice["lines"] if line["once"] and line["id"])

    def _once(self, invoice: Reduced, line: Reduced) -> Line:
        reversal = self.reversals.get(invoice["id"])
        back = reversal.back if reversal else ""
        if reversal and not back and reversal.whole(line):
            back = f"its line of {reversal.name} was credited in full"
        units = reversal.units(line) if reversal and not back else 0
        return Line(
            id=line["id"],
            keys=keys_of(line["once"]),
            quantity=None if line["quantity"] is None else max(0, line["quantity"] - units),
            because=f"bought once with invoice {invoice['id']}: the offering's own term stands",
            metadata=line["once"]["texts"],
            once=True,
            reversed=back,
        )

    def _unheeded(self, reversal: Reversal) -> Iterator[Flag]:
        """A reversal that touches no present term: it changes nothing, so a person is to know."""
        touched = {paid.invoice for _, paid in self._paid_items() if paid}
        lines = (reversal.invoice or {"lines": ()})["lines"]
        if reversal.back and reversal.invoice_id not in touched and not any(line["once"] for line in lines):
            kind, what = "refund", "a change within a term" if _is_change(reversal.invoice) else "no present term"
            yield Flag(kind=kind, text=f"{reversal.back}; it paid {what}, so nothing was changed")
        heeded = {line["id"] for line in lines if line["once"] or self._heeds(reversal, line)}
        vague = any(reversal.vague(line) for line in lines)
        if not reversal.back and (vague or not reversal.credits.keys() <= heeded):
            text = (
                f"part of {reversal.name} was credited, but not of a present term's seats: nothing was changed for it"
            )
            yield Flag(kind="partial refund", text=text)

    def _heeds(self, reversal: Reversal, line: Reduced) -> bool:
        items = [item for item, paid in self._paid_items() if paid and paid.invoice == reversal.invoice_id]
        return any(self._billed(item, reversal) == line for item in items)

    def _late(self) -> Iterator[Flag]:
        ended = self.subscription["ended_at"]
        if ended is None or STANDINGS.get(self.subscription["status"]) is not Standing.ENDED:
            return
        for invoice in self.invoices:
            if invoice["status"] == "paid" and (invoice["paid_at"] or 0) > ended:
                text = f"invoice {invoice['id']} was paid after the end of {day(ended)}: it brought nothing back"
                yield Flag(kind="paid after the end", text=text)

    def _gap(self) -> str:
        if not self.whole:
            return "what was read names no paid period; older invoices were not read"
        if not self.invoices:
            return "no invoice is known"
        return f"{len(self.invoices)} invoice(s) read, newest {self.invoices[0]['id']}: none paid a period of this line"

    def _trial(self) -> _Paid | None:
        end = self.subscription["trial_end"]
        if self.subscription["status"] != "trialing" or end is None:
            return None
        return _Paid(end, f"the trial runs until {day(end)}")

    def _own(self, item: Reduced) -> _Paid | None:
        """The end of the period that the newest invoice with one paid; total 0 and out of band are paid as well.

        The newest, not the latest end: a change from yearly to monthly ends sooner than the year paid before.
        """
        ends = [
            (invoice["created"] or 0, line["period"]["end"], invoice["id"])
            for invoice in self.invoices
            if invoice["status"] == "paid"
            for line in invoice["lines"]
            if self._owner(line) == item["id"] and _is_period(invoice, line, item)
        ]
        if not ends:
            return None
        created, end, id_ = max(ends)
        return _Paid(end, f"invoice {id_} of {day(created)} paid it until {day(end)}", id_)

    def _joined(self, item: Reduced, own: Mapping[str, _Paid | None]) -> _Paid | None:
        """A sibling's paid period, for an item that joined during it and so never had a full line of its own.

        It needs proof: a paid proration line, or an item made after the sibling's period began (by default
        Stripe bills prorations with the next renewal only) with no debt of its own.
        """
        best: _Paid | None = None
        for sibling in self.subscription["items"]:
            paid = own[sibling["id"]]
            if paid is None or sibling["id"] == item["id"] or not self._shares_term(item, sibling):
                continue
            if best is None or paid.until > best.until:
                best = _Paid(paid.until, f"joined during the term of {sibling['id']}: {paid.because}", paid.invoice)
        return best

    def _replaced(self, item: Reduced) -> _Paid | None:
        """The paid period of an item that is gone, for one that took its place in mid-term; proof as in `_joined`."""
        present = {each["id"] for each in self.subscription["items"]}
        for invoice in self.invoices:
            for line in invoice["lines"] if invoice["status"] == "paid" else ():
                gone, period = line["subscription_item"], line["period"]
                term = {"current_period_start": period["start"], "current_period_end": period["end"]}
                if gone is None or gone in present or line["proration"]:
                    continue
                if not (self._shares_term(item, term) or self._at_once(item, term)):
                    continue
                because = f"took the place of {gone}, which invoice {invoice['id']} paid until {day(period['end'])}"
                return _Paid(period["end"], because, invoice["id"])
        return None

    def _shares_term(self, item: Reduced, sibling: Reduced) -> bool:
        end = item["current_period_end"]
        if end is None or end != sibling["current_period_end"]:
            return False
        statuses = {
            (invoice["status"], line["proration"])
            for invoice in self.invoices
            for line in invoice["lines"]
            if self._owner(line) == item["id"]
        }
        if ("paid", True) in statuses:
            return True
        started = sibling["current_period_start"]
        late = started is not None and item["created"] is not None and item["created"] > started
        return late and not any(status in ("open", "uncollectible") for status, _ in statuses)

    def _at_once(self, item: Reduced, term: Reduced) -> bool:
        """Whether the item was made within the second in which the term began, and billed nowhere.

        `created` has whole seconds, so it does not say that it came later. Usage is billed afterwards, and no proof.
        """
        same = (
            item["created"] == term["current_period_start"] and item["current_period_end"] == term["current_period_end"]
        )
        owners = {self._owner(line) for invoice in self.invoices for line in invoice["lines"]}
        return same and item["created"] is not None and item["quantity"] is not None and item["id"] not in owners

    def _owner(self, line: Reduced) -> str | None:
        """The item that the line is for: by its id, else by a price that only one item has."""
        if line["subscription_item"] is not None:
            return str(line["subscription_item"])
        return self.owners.get(line["price"] or "")


def _is_period(invoice: Reduced, line: Reduced, item: Reduced) -> bool:
    """Whether the line bills a period, rather than a change within one.

    On the first invoice a proration does: classic billing bills the time from a backdated start to now, or to a later
    anchor, as one prorated line, where flexible billing has a line for each period; a later anchor alone leaves such a
    part too (docs.stripe.com "Backdate subscriptions" and "Set the subscription billing renewal date", read 2026-11).
    It can't extend: it ends at the anchor or before, where the first full period begins, and a change of the item has
    an invoice of its own. Such an invoice (`subscription_update`) bills a period only where the item's period start
    moved with it (interval change, billing anchor reset), or once it is over.
    """
    if line["period"]["end"] is None:
        return False
    if line["proration"]:
        return bool(invoice["billing_reason"] == "subscription_create")
    if invoice["billing_reason"] != "subscription_update":
        return True
    start = item["current_period_start"]
    return start is not None and (line["period"]["start"] == start or line["period"]["end"] <= start)


def _is_change(invoice: Reduced | None) -> bool:
    """Whether the invoice bills changes within a term alone."""
    lines = invoice["lines"] if invoice else ()
    return (bool(lines) and (invoice or {}).get("billing_reason") == "subscription_update") or all(
        line["proration"] for line in lines
    )
