"""What is sold by in an org, and how its records are read: data, SOQL, and records reduced to what licenses come from.

A reduced record holds no money and, of names, the account's alone. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from connectors.fields import Object, Reduced, text, truth
from connectors.salesforce.ids import record_id
from connectors.salesforce.settings import Settings
from hub.errors import UnreadableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object that is a sale once it is won, and the object of its lines ("": it is its own line).

    status, won    the field for people; the SOQL condition that it is won
    start, end     dates of the record that stand in where a line has none; "": there is no such field
    line_*         the same of a line, of the standard fields
    moved          the SOQL condition, beside `won`, of records whose change may matter; "": all may
    """

    object: str
    line_object: str
    parent: str
    status: str
    won: str
    won_fields: tuple[str, ...]
    start: str
    end: str = ""
    line_start: str = ""
    line_end: str = ""
    moved: str = ""


# Object reference of the REST API (developer.salesforce.com, read 2026-11).
SHAPES = {
    "Opportunity": Shape(
        object="Opportunity",
        line_object="OpportunityLineItem",
        parent="OpportunityId",
        status="StageName",
        won="IsWon = true",
        won_fields=("IsWon",),
        start="CloseDate",
        line_start="ServiceDate",
        moved="LastStageChangeDate >= {since}",
    ),
    "Order": Shape(
        object="Order",
        line_object="OrderItem",
        parent="OrderId",
        status="Status",
        won="StatusCode = 'Activated'",
        won_fields=("StatusCode",),
        start="EffectiveDate",
        end="EndDate",
        line_start="ServiceDate",
        line_end="EndDate",
    ),
    "Asset": Shape(
        object="Asset",
        line_object="",
        parent="Id",
        status="Status",
        won="Status != 'Obsolete'",
        won_fields=(),
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
        names = ["Id", "IsDeleted", "SystemModstamp", "AccountId", "Account.Name", one.status, *one.won_fields]
        names += [one.start, one.end, told.renews_field]
        if told.account_by == "account_ref":
            names.append(f"Account.{told.account_field}")
        return _named([*names, *([] if one.line_object else self.line_fields)])

    @property
    def line_fields(self) -> list[str]:
        """The fields of a line that its license comes from."""
        one, told = self.shape, self.settings
        names = ["Id", one.parent, "Quantity", "Product2Id", "Product2.ProductCode", "Product2.Family"]
        names += [one.line_start, one.line_end, told.start_field, told.end_field, told.months_field]
        return _named([*names, f"Product2.{told.product_field}" if told.product_field else ""])

    def heads(self, where: str) -> str:
        """SOQL for records."""
        return f"SELECT {', '.join(self.head_fields)} FROM {self.shape.object} WHERE {where} ORDER BY Id"

    def lines(self, where: str) -> str:
        """SOQL for lines."""
        return f"SELECT {', '.join(self.line_fields)} FROM {self.shape.line_object} WHERE {where} ORDER BY Id"

    def reduced(self, head: Object, lines: Sequence[Object]) -> Reduced:
        """A record with its lines, as `purchase.of_records` takes it; UnreadableError where it is malformed."""
        one, told = self.shape, self.settings
        account = head.get("Account") or {}
        return {
            "id": record_id(text(head, "Id"), "Id"),
            "object": one.object,
            "deleted": bool(truth(head, "IsDeleted")),
            "stamp": text(head, "SystemModstamp"),
            "account": record_id(text(head, "AccountId"), f"AccountId of {head.get('Id')}"),
            "name": text(account, "Name"),
            "account_ref": text(account, told.account_field) if told.account_by == "account_ref" else None,
            "status": text(head, one.status),
            "won": self._is_won(head),
            "start": text(head, one.start),
            "end": text(head, one.end) if one.end else None,
            "renews": renewed(text(head, told.renews_field)) if told.renews_field else None,
            "since": told.sold_since.isoformat() if told.sold_since else None,
            "months": told.term_months,
            "lines": [self._line(row) for row in (lines if one.line_object else (head,)) if self._counts(row)],
        }

    def _is_won(self, head: Object) -> bool:
        status = text(head, self.shape.status)
        if self.settings.won_stages and status not in self.settings.won_stages:
            return False
        match self.shape.object:
            case "Opportunity":
                return truth(head, "IsWon") is True
            case "Order":
                return text(head, "StatusCode") == "Activated"
        return status != "Obsolete"

    def _counts(self, row: Object) -> bool:
        families = self.settings.product_families
        return not families or text(_product(row), "Family") in families

    def _line(self, row: Object) -> Reduced:
        one, told = self.shape, self.settings
        product, start = _product(row), _first(row, told.start_field, one.line_start)
        return {
            "id": record_id(text(row, "Id"), "Id of a line"),
            "product": text(row, "Product2Id"),
            "code": text(product, "ProductCode"),
            "key": text(product, told.product_field) if told.product_field else None,
            "quantity": _count(row.get("Quantity")),
            "start": start,
            "begun": not start or start[:10] <= self.today().isoformat(),
            "end": _first(row, told.end_field, one.line_end),
            "months": _count(row.get(told.months_field)) if told.months_field else None,
        }


LINES = {shape.line_object.lower(): shape for shape in SHAPES.values() if shape.line_object}


def renewed(value: str | None) -> str | None:
    """The id of the record that is renewed: a lookup's value, or a license's order reference `<ref>:<id>`."""
    return record_id(value.rpartition(":")[2].strip(), "what it renews") if value else None


def _product(row: Object) -> Mapping[str, Any]:
    found = row.get("Product2")
    return found if isinstance(found, Mapping) else {}


def _named(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def _first(row: Object, *names: str) -> str | None:
    return next((found for name in names if name and (found := text(row, name))), None)


def _count(value: object) -> int | None:
    """A whole number from 0 on; Salesforce gives 5 as 5.0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise UnreadableError(f"{value!r} is no whole number")
    return int(value)
