"""A Stripe subscription and its invoices -> Purchase. Pure, over plain dicts.

What API versions differ in ends here, in `reduced` and `reduced_invoice`: they turn every shape into one that
holds only what `to_purchase` uses, and leave that one as it is (so what a look saw can be read again).
Rule for odd objects: what is absent or null is None; what is there in a wrong type is an UnreadableError.
Shapes: commerce reference §1.4 (stripe 16.1.0, API 2026-10-28.endive; changelogs of basil and clover).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hub.domain import Customer, Line, Purchase, Ref, Standing
from hub.errors import UnreadableError
from hub.ports import Found

Object: TypeAlias = Mapping[str, Any]
Reduced: TypeAlias = dict[str, Any]

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
_LATEST_S = 253_402_300_799  # the end of the year 9999


# The purchase


def to_purchase(source: str, subscription: Object, invoices: Sequence[Object], *, complete: bool = True) -> Purchase:
    """What the subscription and those of its invoices say; facts only, the policy decides what to make of gaps.

    `complete`: no other invoice exists, or every other was looked at; else `Line.invoiced` stays False.
    Objects in any API shape, or reduced ones. UnreadableError where one is malformed, or is known to
    carry only some of its items.
    """
    facts = reduced(subscription)
    if facts["items_incomplete"]:
        raise UnreadableError(f"{facts['id']} has more items than the object carries")
    bills = [reduced_invoice(invoice) for invoice in invoices]
    return Purchase(
        ref=Ref(source=source, kind="subscription", id=facts["id"]),
        customer=_customer(facts["customer"]),
        lines=tuple(_Reading.of(facts, bills, complete=complete).lines()),
        standing=STANDINGS.get(facts["status"], Standing.UNKNOWN),
        status=facts["status"],
    )


def found(source: str, subscription: Object, invoices: Sequence[Object], *, complete: bool = True) -> Found:
    """The purchase, and what was seen: `from_seen` gives the same purchase again."""
    seen = reduced(subscription)
    customer = seen["customer"]
    seen["customer"] = {
        "id": customer["id"],
        "name": customer["name"] or customer.get("email"),
        "metadata": customer["metadata"],
    }
    bills = [reduced_invoice(invoice) for invoice in invoices]
    return Found(
        purchase=to_purchase(source, seen, bills, complete=complete),
        seen={"subscription": seen, "invoices": list(bills), "complete": complete},
    )


def from_seen(source: str, seen: Object) -> Purchase:
    """The purchase that a look's observation stands for."""
    return to_purchase(source, part(seen, "subscription"), rows(seen, "invoices"), complete=bool(seen.get("complete")))


def _customer(customer: Reduced) -> Customer:
    return Customer(
        id=customer["id"],
        customer_ref=customer["metadata"]["customer_ref"],
        name=customer["name"] or customer.get("email"),
    )


@dataclass(frozen=True, slots=True)
class _Paid:
    until: int
    because: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reduced subscription with its reduced invoices, and who owns which invoice line."""

    subscription: Reduced
    invoices: Sequence[Reduced]
    owners: Mapping[str, str]  # price id -> item id, where only one item has the price
    whole: bool

    @classmethod
    def of(cls, subscription: Reduced, invoices: Sequence[Reduced], *, complete: bool) -> _Reading:
        prices = [item["price"]["id"] for item in subscription["items"]]
        owners = {
            item["price"]["id"]: item["id"]
            for item in subscription["items"]
            if item["price"]["id"] is not None and prices.count(item["price"]["id"]) == 1
        }
        whole = complete and not any(invoice["lines_incomplete"] for invoice in invoices)
        return cls(subscription, invoices, owners, whole)

    def lines(self) -> Iterator[Line]:
        own = {item["id"]: self._trial() or self._own(item) for item in self.subscription["items"]}
        for item in self.subscription["items"]:
            yield self._line(item, own[item["id"]] or self._joined(item, own))

    def _line(self, item: Reduced, paid: _Paid | None) -> Line:
        price = item["price"]
        keys = (price["id"], price["lookup_key"], price["metadata"]["sku"], price["product"])
        return Line(
            id=item["id"],
            keys=tuple(dict.fromkeys(key for key in keys if key)),
            sku=price["lookup_key"],
            quantity=item["quantity"],
            paid_until=_at(paid.until if paid else None),
            period_start=_at(item["current_period_start"]),
            period_end=_at(item["current_period_end"]),
            invoiced=paid is None and self.whole and bool(self.invoices),
            because=paid.because if paid else self._gap(),
        )

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
        return _Paid(end, f"the trial runs until {_day(end)}")

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
        return _Paid(end, f"invoice {id_} of {_day(created)} paid it until {_day(end)}")

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
                best = _Paid(paid.until, f"joined during the term of {sibling['id']}: {paid.because}")
        return best

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

    def _owner(self, line: Reduced) -> str | None:
        """The item that the line is for: by its id, else by a price that only one item has."""
        if line["subscription_item"] is not None:
            return str(line["subscription_item"])
        return self.owners.get(line["price"] or "")


def _is_period(invoice: Reduced, line: Reduced, item: Reduced) -> bool:
    """Whether the line bills a period, rather than a change within one.

    An invoice of a change (`subscription_update`) does so only where the item's period start moved with it
    (interval change, billing anchor reset), or once that period is over.
    """
    if line["proration"] or line["period"]["end"] is None:
        return False
    if invoice["billing_reason"] != "subscription_update":
        return True
    start = item["current_period_start"]
    return start is not None and (line["period"]["start"] == start or line["period"]["end"] <= start)


def _day(seconds_: int) -> str:
    return datetime.fromtimestamp(seconds_, UTC).date().isoformat()


def _at(seconds_: int | None) -> datetime | None:
    return None if seconds_ is None else datetime.fromtimestamp(seconds_, UTC)


# One shape out of all


def reduced(subscription: Object) -> Reduced:
    """The subscription in one shape, with what `to_purchase` uses alone; a reduced one comes out equal."""
    return {
        "id": _needed(subscription, "id"),
        "status": _needed(subscription, "status"),
        "trial_end": seconds(subscription, "trial_end"),
        "customer": reduced_customer(subscription.get("customer")),
        "items": [_item(item, subscription) for item in _items(subscription)],
        "items_incomplete": flag(subscription, "items_incomplete") or has_more(subscription, "items"),
    }


def reduced_customer(customer: object) -> Reduced:
    """The customer (an id, or the object) with name and customer_ref; the e-mail only where there is no name."""
    if not isinstance(customer, Mapping):
        customer = {"id": customer}
    facts: Reduced = {
        "id": _needed(customer, "id"),
        "name": text(customer, "name"),
        "metadata": {"customer_ref": text(part(customer, "metadata"), "customer_ref")},
    }
    if facts["name"] is None and text(customer, "email"):
        facts["email"] = text(customer, "email")
    return facts


def reduced_invoice(invoice: Object) -> Reduced:
    """The invoice in one shape: whose, paid or not, and its lines' periods; a reduced one comes out equal."""
    return {
        "id": _needed(invoice, "id"),
        "subscription": subscription_of(invoice),
        # `paid` is gone since 2025-03-31.basil; before it could be true without a status.
        "status": "paid" if flag(invoice, "paid") else text(invoice, "status"),
        "created": seconds(invoice, "created"),
        "billing_reason": text(invoice, "billing_reason"),
        "lines": [_invoice_line(line) for line in rows(invoice, "lines")],
        "lines_incomplete": flag(invoice, "lines_incomplete") or has_more(invoice, "lines"),
    }


def subscription_of(invoice: Object) -> str | None:
    """The id of the invoice's subscription: under `parent` since basil, else `subscription`; None: a manual one."""
    details = part(part(invoice, "parent"), "subscription_details")
    return id_of(details, "subscription") or id_of(invoice, "subscription")


def _items(subscription: Object) -> list[Object]:
    if subscription.get("items") is None:
        raise UnreadableError("a subscription without items")
    return [item for item in rows(subscription, "items") if not flag(item, "deleted")]


def _item(item: Object, subscription: Object) -> Reduced:
    """Periods stand on the item since basil, before on the subscription."""
    return {
        "id": _needed(item, "id"),
        "created": seconds(item, "created"),
        "quantity": _quantity(item),
        "price": _price(item),
        "current_period_start": _first(seconds(item, "current_period_start"), subscription, "current_period_start"),
        "current_period_end": _first(seconds(item, "current_period_end"), subscription, "current_period_end"),
    }


def _first(value: int | None, holder: Object, name: str) -> int | None:
    return seconds(holder, name) if value is None else value


def _quantity(item: Object) -> int | None:
    """None for a metered price (Stripe sends null, or no quantity): it is no count of seats, and never 0."""
    value = item.get("quantity")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableError("quantity is no count")
    return value


def _price(item: Object) -> Reduced:
    """The item's price; `plan` in payloads older than prices. `offering_sku` is the older name of `sku`."""
    name = "price" if item.get("price") else "plan"
    price: Object = {"id": item[name]} if isinstance(item.get(name), str) else part(item, name)
    metadata = part(price, "metadata")
    return {
        "id": text(price, "id"),
        "lookup_key": text(price, "lookup_key"),
        "product": id_of(price, "product"),
        "metadata": {"sku": text(metadata, "sku") or text(metadata, "offering_sku")},
    }


def _invoice_line(line: Object) -> Reduced:
    """The line in one shape. A one-off item on the invoice belongs to no item of the subscription."""
    parent = part(line, "parent")
    details = part(parent, "subscription_item_details")
    extra = part(parent, "invoice_item_details")
    proration = flag(line, "proration") or flag(details, "proration") or flag(extra, "proration")
    one_off = line.get("type") == "invoiceitem" or parent.get("type") == "invoice_item_details"
    period = part(line, "period")
    return {
        "subscription_item": id_of(details, "subscription_item") or id_of(line, "subscription_item"),
        "proration": proration,
        "price": None if one_off and not proration else _line_price(line),
        "period": {"start": seconds(period, "start"), "end": seconds(period, "end")},
    }


def _line_price(line: Object) -> str | None:
    details = part(part(line, "pricing"), "price_details")
    return id_of(details, "price") or id_of(line, "price") or id_of(line, "plan")


# Fields of untyped objects


def text(holder: Object, name: str) -> str | None:
    """The text under `name`, fit for every store (no NUL, no half of a pair); None where absent or empty."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name} is no text")
    return value.encode("utf-8", "replace").decode().replace("\0", "") or None


def id_of(holder: Object, name: str) -> str | None:
    """The id under `name`, of which Stripe sends either the id or, expanded, the object."""
    value = holder.get(name)
    return text(value, "id") if isinstance(value, Mapping) else text(holder, name)


def seconds(holder: Object, name: str) -> int | None:
    """Epoch seconds under `name`; None where absent."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_S:
        raise UnreadableError(f"{name} is no time")
    return value


def moment(holder: Object, name: str) -> datetime | None:
    """The time under `name`, in UTC; None where absent."""
    return _at(seconds(holder, name))


def flag(holder: Object, name: str) -> bool:
    """The truth under `name`; absent is False."""
    value = holder.get(name)
    if value is not None and not isinstance(value, bool):
        raise UnreadableError(f"{name} is neither true nor false")
    return bool(value)


def part(holder: Object, name: str) -> Object:
    """The object under `name`; empty where absent."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{name} is no object")
    return value


def rows(holder: Object, name: str) -> list[Object]:
    """The objects of the list under `name` (Stripe's `{"data": [..]}`, or a plain list); empty where absent."""
    value = holder.get(name)
    if isinstance(value, Mapping):
        value = value.get("data")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise UnreadableError(f"{name} is no list of objects")
    return value


def has_more(holder: Object, name: str) -> bool:
    """Whether the list under `name` goes on where it was cut (Stripe embeds the first ten)."""
    value = holder.get(name)
    return isinstance(value, Mapping) and flag(value, "has_more")


def _needed(holder: Object, name: str) -> str:
    value = text(holder, name)
    if value is None:
        raise UnreadableError(f"{name} is missing")
    return value
