"""What is sold by in an org, and how its records are read: data, SOQL, and records reduced to what licenses come from.

A reduced record holds no money and, of names, the account's alone. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from connectors.fields import Object, Reduced, text, truth
from connectors.salesforce.contracts import in_force
from connectors.salesforce.days import DAY, day, months_later
from connectors.salesforce.ids import record_id
from connectors.salesforce.settings import Settings
from hub.errors import UnreadableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object that is a sale once it is won, and what hangs below it.

    below          object -> the field that leads up to the sale; that of the lines first. Empty: it is its own line
    status         the field for people
    won, over      (field, value) that it is won; statuses with which it is so no more
    start, end     dates of the record that stand in where a line has none; "": there is no such field
    line_*         the same of a line, of the standard fields, in the order in which they are taken
    line_won       the same as won, of the line; a line that is not stays open
    term           months of the record, from its start; they make its end where it has none
    once           a field that is set once it was won, and stays; "": there is none
    moved          the SOQL condition, beside `won`, of records whose change may matter; "": all may
    amended        lines may come later, take seats away and follow each other (contracts.py)
    """

    object: str
    below: Mapping[str, str]
    status: str
    won: tuple[str, str | bool] | None
    start: str
    over: tuple[str, ...] = ()
    end: str = ""
    line_start: tuple[str, ...] = ()
    line_end: tuple[str, ...] = ()
    line_won: tuple[str, str] | None = None
    term: str = ""
    once: str = ""
    moved: str = ""
    amended: bool = False

    @property
    def line_object(self) -> str:
        """The object of its lines; "" where it is its own."""
        return next(iter(self.below), "")

    @property
    def names(self) -> tuple[str, ...]:
        """Every object that may be told of."""
        return (self.object, *self.below)

    def is_won(self, path: str = "") -> str:
        """SOQL: that it is won. path: of relationships that lead to it, "Order." say."""
        tests = []
        if self.won:
            name, value = self.won
            tests.append(f"{path}{name} = " + ("true" if value is True else f"'{value}'"))
        tests += [f"{path}{self.status} != '{status}'" for status in self.over]
        return " AND ".join(tests)


# Object reference of the REST API (developer.salesforce.com, read 2026-11). A contract that was activated stays in that
# category: an org adds statuses of its own to it for contracts that are over (Salesforce help 000380733), and the
# ContractManagement license brings some (help, "Contract Status Picklist Values", both read 2026-11).
SHAPES = {
    "Opportunity": Shape(
        object="Opportunity",
        below={"OpportunityLineItem": "OpportunityId"},
        status="StageName",
        won=("IsWon", True),
        start="CloseDate",
        line_start=("ServiceDate",),
        moved="LastStageChangeDate >= {since}",
    ),
    "Order": Shape(
        object="Order",
        below={"OrderItem": "OrderId"},
        status="Status",
        won=("StatusCode", "Activated"),
        start="EffectiveDate",
        end="EndDate",
        line_start=("ServiceDate",),
        line_end=("EndDate",),
    ),
    "Contract": Shape(
        object="Contract",
        below={"OrderItem": "Order.ContractId", "Order": "ContractId"},
        status="Status",
        won=("StatusCode", "Activated"),
        over=(
            "Terminated",
            "Contract Terminated",
            "Expired",
            "Contract Expired",
            "Canceled",
            "Cancelled",
            "Discontinued",
        ),
        start="StartDate",
        end="EndDate",
        line_start=("ServiceDate", "Order.EffectiveDate"),
        line_end=("EndDate", "Order.EndDate"),
        line_won=("Order.StatusCode", "Activated"),
        term="ContractTerm",
        once="ActivatedDate",
        amended=True,
    ),
    "Asset": Shape(
        object="Asset",
        below={},
        status="Status",
        won=None,
        over=("Obsolete",),
        start="InstallDate",
        end="UsageEndDate",
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the records of one connection are asked for, and what of them counts. today: a day in UTC."""

    settings: Settings
    today: Callable[[], date] = lambda: datetime.now(UTC).date()

    @property
    def shape(self) -> Shape:
        """What this connection sells by."""
        return SHAPES[self.settings.sells_by]

    @property
    def head_fields(self) -> list[str]:
        """The fields of a record that its licenses come from."""
        one, told = self.shape, self.settings
        names = ["Id", "IsDeleted", "SystemModstamp", "CreatedDate", "AccountId", "Account.Name", one.status]
        names += [one.won[0] if one.won else "", one.once, one.start, one.end, one.term, told.renews_field]
        if told.account_by == "account_ref":
            names.append(f"Account.{told.account_field}")
        return _named([*names, *([] if one.line_object else self.line_fields)])

    @property
    def line_fields(self) -> list[str]:
        """The fields of a line that its license comes from."""
        one, told = self.shape, self.settings
        names = ["Id", *(one.below[name] for name in [one.line_object] if name), "Quantity"]
        names += ["Product2Id", "Product2.ProductCode", "Product2.Family", *one.line_start, *one.line_end]
        names += [one.line_won[0] if one.line_won else "", told.start_field, told.end_field, told.months_field]
        return _named([*names, f"Product2.{told.product_field}" if told.product_field else ""])

    def heads(self, where: str) -> str:
        """SOQL for records."""
        return f"SELECT {', '.join(self.head_fields)} FROM {self.shape.object} WHERE {where} ORDER BY Id"

    def lines(self, where: str) -> str:
        """SOQL for lines."""
        return f"SELECT {', '.join(self.line_fields)} FROM {self.shape.line_object} WHERE {where} ORDER BY Id"

    def listed(self) -> str:
        """SOQL for the full list: what is won or was, since the day that is set; without a date it is its making's."""
        one, since = self.shape, self.settings.sold_since
        which = f"{one.once} != null" if one.once else one.is_won()
        if since is None:
            return which
        undated = f"{one.start} = null AND CreatedDate >= {since}T00:00:00Z"
        return f"{which} AND ({one.start} >= {since} OR ({undated}))"

    def reduced(self, head: Object, lines: Sequence[Object]) -> Reduced:
        """A record with its lines, as `purchase.of_records` takes it; UnreadableError where it is malformed."""
        one, told = self.shape, self.settings
        account, start = head.get("Account") or {}, text(head, one.start)
        rows = [self._line(row) for row in (lines if one.line_object else (head,)) if self._counts(row)]
        record = {
            "id": record_id(text(head, "Id"), "Id"),
            "object": one.object,
            "deleted": bool(truth(head, "IsDeleted")),
            "stamp": text(head, "SystemModstamp"),
            "account": record_id(text(head, "AccountId"), f"AccountId of {head.get('Id')}"),
            "name": text(account, "Name"),
            "account_ref": text(account, told.account_field) if told.account_by == "account_ref" else None,
            "status": text(head, one.status),
            "won": self._is_won(head),
            "was_won": bool(one.once and text(head, one.once)),
            "start": start,
            "sold": start or text(head, "CreatedDate"),
            "end": self._end(head, start),
            "renews": renewed(text(head, told.renews_field)) if told.renews_field else None,
            "since": told.sold_since.isoformat() if told.sold_since else None,
            "months": told.term_months,
        }
        return record | {"lines": in_force(rows, start, self.today()) if one.amended else rows}

    def _is_won(self, head: Object) -> bool:
        one, status = self.shape, text(head, self.shape.status)
        if self.settings.won_stages and status not in self.settings.won_stages:
            return False
        return status not in one.over and (one.won is None or head.get(one.won[0]) == one.won[1])

    def _end(self, head: Object, start: str | None) -> str | None:
        """The record's last day: as it says, else by its own months from its start."""
        one = self.shape
        months = _count(head.get(one.term)) if one.term else None
        first = day(start)
        if (said := text(head, one.end) if one.end else None) or not (first and months):
            return said
        return (months_later(first, months) - DAY).isoformat()

    def _counts(self, row: Object) -> bool:
        families = self.settings.product_families
        return not families or text(_product(row), "Family") in families

    def _line(self, row: Object) -> Reduced:
        one, told = self.shape, self.settings
        product, start = _product(row), _first(row, told.start_field, *one.line_start)
        return {
            "id": record_id(text(row, "Id"), "Id of a line"),
            "product": text(row, "Product2Id"),
            "code": text(product, "ProductCode"),
            "key": text(product, told.product_field) if told.product_field else None,
            "quantity": _count(row.get("Quantity"), negative=one.amended),
            "start": start,
            "begun": not start or start[:10] <= self.today().isoformat(),
            "end": _first(row, told.end_field, *one.line_end),
            "months": _count(row.get(told.months_field)) if told.months_field else None,
            "open": bool(one.line_won and upward(row, one.line_won[0]) != one.line_won[1]),
        }


def renewed(value: str | None) -> str | None:
    """The id of the record that is renewed: a lookup's value, or a license's order reference `<ref>:<id>`."""
    return record_id(value.rpartition(":")[2].strip(), "what it renews") if value else None


def _product(row: Object) -> Mapping[str, Any]:
    found = row.get("Product2")
    return found if isinstance(found, Mapping) else {}


def _named(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def upward(row: Object, path: str) -> str | None:
    """The text at `Parent.Field` of a row; None where a parent is missing."""
    *parents, name = path.split(".")
    for parent in parents:
        found = row.get(parent)
        row = found if isinstance(found, Mapping) else {}
    return text(row, name)


def _first(row: Object, *paths: str) -> str | None:
    return next((found for path in paths if path and (found := upward(row, path))), None)


def _count(value: object, *, negative: bool = False) -> int | None:
    """A whole number from 0 on, or any where seats may be taken away; Salesforce gives 5 as 5.0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise UnreadableError(f"{value!r} is no whole number")
    if value < 0 and not negative:
        raise UnreadableError(f"{value!r} is no whole number from 0 on")
    return int(value)
