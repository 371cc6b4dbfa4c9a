"""The emulated org's records: every write checked as Salesforce checks it, per record, with its own error codes."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from connectors.salesforce.days import DAY, months_later
from connectors.salesforce.emulator_schema import NUMBERS, TEXTS, Column, Kind
from connectors.salesforce.ids import eighteen

Record = dict[str, Any]
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ACTIVATED = "Activated"
CONTRACT_CODES = {"Draft": "Draft", "In Approval Process": "InApproval"}  # whatever else there is: of those activated
CLOSED_STAGES = {"Closed Won": True, "Closed Lost": False}


class Refusal(Exception):
    """An error in Salesforce's own words."""

    def __init__(self, code: str, message: str, fields: tuple[str, ...] = (), status: int = 400) -> None:
        self.code, self.message, self.fields, self.status = code, message, fields, status
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Access:
    """What the user may do: fields and objects hidden or read-only, as `Object.Field` or `Object`, lower case."""

    sees: Callable[[str, Column], bool]
    edits: Callable[[str, Column], bool]
    objects: Callable[[str, str], bool]  # object, "read" | "create" | "edit"


@dataclass
class Records:
    """All tables. `locks` counts down how often a record (by id or any text of its own) is still locked."""

    kinds: dict[str, Kind]
    now: Callable[[], datetime]
    user: str
    access: Access
    tables: dict[str, dict[str, Record]] = field(default_factory=dict)
    locks: Counter[str] = field(default_factory=Counter)
    rules: list[tuple[str, Callable[[Record], str | None]]] = field(default_factory=list)
    after: list[Callable[[str, Record, Record | None], None]] = field(default_factory=list)
    previous: dict[str, Record] = field(default_factory=dict)  # each record as it was before its last change
    index: dict[tuple[str, str], dict[str, list[Record]]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # reading

    def kind(self, name: str, *, want: str = "read") -> Kind:
        """The object, if there is one and the user may see it."""
        kind = self.kinds.get(name.lower())
        if kind is None or not self.access.objects(kind.name, "read"):
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if not self.access.objects(kind.name, want):
            word = "insert" if want == "create" else "update"
            raise Refusal(
                "INSUFFICIENT_ACCESS_OR_READONLY",
                f"insufficient access rights on object: no {word} on {kind.name}",
                status=403,
            )
        return kind

    def visible(self, kind: Kind, name: str) -> Column | None:
        """The column, unless field-level security hides it: then it is as if it were not there."""
        column = kind.column(name)
        return column if column and self.access.sees(kind.name, column) else None

    def all(self, kind: Kind, *, deleted: bool = False) -> list[Record]:
        """The object's records, in the order of their creation."""
        return [one for one in self.tables.get(kind.name, {}).values() if deleted or not one["IsDeleted"]]

    def get(self, kind: Kind, id_: str) -> Record:
        """The record with this id of 15 or 18 characters."""
        found = self.tables.get(kind.name, {}).get(id_[:15])
        if found is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if found["IsDeleted"]:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return found

    def by_key(self, kind: Kind, name: str, value: Any) -> list[Record]:  # noqa: ANN401
        """Records whose key is `value`; 404 for a field that is no key, or that the user may not see."""
        column = self.visible(kind, name)
        if column is None or not (column.external_id or column.id_lookup or column.type == "id"):
            raise Refusal(
                "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}", status=404
            )
        if column.type == "id":
            return [one for one in self.all(kind) if one["Id"][:15] == str(value)[:15]]
        return self.having(kind, column, value)

    def having(self, kind: Kind, column: Column, value: Any) -> list[Record]:  # noqa: ANN401
        """Records with this value in this column, in whatever case; by an index that is made when first asked."""
        place = (kind.name, column.name)
        if place not in self.index:
            self.index[place] = {}
            for one in self.tables.get(kind.name, {}).values():
                self.index[place].setdefault(str(one.get(column.name) or "").lower(), []).append(one)
        return [one for one in self.index[place].get(str(value).lower(), ()) if not one["IsDeleted"]]

    def _reindex(self, kind: Kind, record: Record, before: Record | None) -> None:
        for (object_name, name), held in self.index.items():
            if object_name != kind.name:
                continue
            if before is not None:
                old = held[str(before.get(name) or "").lower()]
                old[:] = [one for one in old if one is not record]
            held.setdefault(str(record.get(name) or "").lower(), []).append(record)

    # writing

    def insert(self, kind: Kind, fields: Record) -> Record:
        """The new record."""
        self.kind(kind.name, want="create")
        values = self._checked(kind, fields, None)
        if missing := [c.name for c in kind.columns.values() if c.required and values.get(c.name) in (None, "")]:
            raise Refusal(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", tuple(missing)
            )
        stamp = stamped(self.now())
        record: Record = {column.name: None for column in kind.columns.values()}
        record |= {"Id": self.new_id(kind.prefix), "IsDeleted": False, "CreatedDate": stamp}
        if "OwnerId" in record:
            record["OwnerId"] = self.user
        record |= values | {"SystemModstamp": stamp, "LastModifiedDate": stamp}
        if kind.name.endswith("__c"):
            record["Name"] = f"{kind.name[0]}-{len(self.tables.get(kind.name, {})) + 1:07}"
        self._settle(kind, record, None)
        self.tables.setdefault(kind.name, {})[record["Id"][:15]] = record
        self._told(kind, record, None)
        return record

    def update(self, kind: Kind, record: Record, fields: Record) -> Record:
        """The record with these fields set; None clears one."""
        self.kind(kind.name, want="edit")
        values = self._checked(kind, fields, record)
        if cleared := [c.name for c in kind.columns.values() if c.required and values.get(c.name, "-") in (None, "")]:
            raise Refusal(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(cleared)}]", tuple(cleared)
            )
        before, stamp = dict(record), stamped(self.now())
        self.previous[str(record["Id"])] = before
        after = record | values | {"SystemModstamp": stamp, "LastModifiedDate": stamp}
        self._settle(kind, after, before)
        record.update(after)
        self._told(kind, record, before)
        return record

    def upsert(self, kind: Kind, key_field: str, value: Any, fields: Record) -> tuple[Record, bool]:  # noqa: ANN401
        """The record with this key, and whether it was made for it."""
        found = self.by_key(kind, key_field, value)
        if len(found) > 1:
            raise Refusal(
                "DUPLICATE_EXTERNAL_ID", f"{key_field}: more than one record found for external id field", status=300
            )
        if found:
            return self.update(kind, found[0], fields), False
        column = kind.column(key_field)
        if column is None or column.type == "id":
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return self.insert(kind, {**fields, column.name: value}), True

    def delete(self, kind: Kind, id_: str) -> None:
        """The record is in the recycle bin."""
        stamp, record = stamped(self.now()), self.get(kind, id_)
        if kind.name in ("Contract", "Order") and record["StatusCode"] == ACTIVATED:
            raise Refusal("DELETE_FAILED", f"this {kind.name.lower()} is activated: it can't be deleted")
        record.update(IsDeleted=True, SystemModstamp=stamp, LastModifiedDate=stamp)

    def new_id(self, prefix: str) -> str:
        """The next id, of 18 characters."""
        number, text = next(self.numbers), ""
        while number:
            number, digit = divmod(number, 62)
            text = BASE62[digit] + text
        return eighteen(f"{prefix}{text:0>12}")

    # the checks

    def _checked(self, kind: Kind, fields: Record, record: Record | None) -> Record:
        values: Record = {}
        for name, value in fields.items():
            if name in ("attributes", "Id", "id"):
                continue
            if isinstance(value, dict):
                column, parent = self._referred(kind, name, value)
                values[column.name] = parent
            else:
                column = self._writable(kind, name, create=record is None)
                values[column.name] = self._value(column, value)
        self._check_lock(values, record)
        self._check_unique(kind, values, record)
        for object_name, rule in self.rules:
            if object_name == kind.name and (said := rule({**(record or {}), **values})):
                raise Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", said)
        return values

    def _writable(self, kind: Kind, name: str, *, create: bool) -> Column:
        column = self.visible(kind, name)
        if column is None:
            raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
        if not (column.createable if create else column.updateable) or not self.access.edits(kind.name, column):
            raise Refusal(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {column.name}. Please check the security settings of this field and"
                " verify that it is read/write for your profile or permission set.",
                (column.name,),
            )
        return column

    def _referred(self, kind: Kind, relationship: str, value: Record) -> tuple[Column, str]:
        """A parent named by its own external id: {"Summary__r": {"Usage_Key__c": ...}}."""
        column = kind.parent(relationship)
        if column is None or not self.access.sees(kind.name, column):
            raise Refusal("INVALID_FIELD", f"No such column '{relationship}' on sobject of type {kind.name}")
        parent = self.kind(column.refers_to[0])
        (name, wanted), *_ = [(n, v) for n, v in value.items() if n != "attributes"]
        key = self.visible(parent, name)
        if key is None or not key.external_id:
            raise Refusal("INVALID_FIELD", f"{name} is not an External ID or indexed field for {parent.name}")
        found = self.by_key(parent, name, wanted)
        if not found:
            raise Refusal(
                "INVALID_FIELD",
                f"Foreign key external ID: {wanted} not found for field {key.name} in entity {parent.name}",
            )
        return column, str(found[0]["Id"])

    def _value(self, column: Column, value: Any) -> Any:  # noqa: ANN401
        if value is None or value == "":
            return None
        if column.type in TEXTS:
            return self._text(column, value)
        if column.type in NUMBERS:
            return self._number(column, value)
        if column.type == "reference":
            return self._reference(column, value)
        if column.type in ("date", "datetime"):
            return _moment(column, value)
        if column.type == "boolean" and not isinstance(value, bool):
            raise _unreadable(column, value)
        if column.type == "base64":
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, TypeError) as error:
                raise _unreadable(column, "...") from error
        return value

    def _text(self, column: Column, value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str):
            raise _unreadable(column, value)
        if column.length and len(value) > column.length:
            raise Refusal(
                "STRING_TOO_LONG",
                f"{column.label or column.name}: data value too large: {value[:100]} (max length={column.length})",
                (column.name,),
            )
        if column.values and value not in column.values:
            raise Refusal(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{column.label}: bad value for restricted picklist field: {value}",
                (column.name,),
            )
        return value

    def _number(self, column: Column, value: Any) -> float:  # noqa: ANN401
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unreadable(column, value)
        if abs(value) >= 10 ** (column.precision - column.scale):
            raise Refusal(
                "NUMBER_OUTSIDE_VALID_RANGE",
                f"{column.label}: value outside of valid range on numeric field: {value}",
                (column.name,),
            )
        return round(float(value), column.scale)

    def _reference(self, column: Column, value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", value):
            raise Refusal(
                "MALFORMED_ID", f"{column.label or column.name}: id value of incorrect type: {value}", (column.name,)
            )
        for name in column.refers_to:
            found = self.tables.get(name, {}).get(value[:15])
            if found and not found["IsDeleted"]:
                return str(found["Id"])
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")

    def _check_lock(self, values: Record, record: Record | None) -> None:
        for one in [*values.values(), *(record or {}).values()] if self.locks else ():
            if isinstance(one, str) and self.locks.get(one, 0) > 0:
                self.locks[one] -= 1
                raise Refusal("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")

    def _check_unique(self, kind: Kind, values: Record, record: Record | None) -> None:
        for column in kind.columns.values():
            value = values.get(column.name)
            if not column.unique or value is None:
                continue
            for other in self.having(kind, column, value):
                if other is not record:
                    raise Refusal(
                        "DUPLICATE_VALUE",
                        f"duplicate value found: {column.name} duplicates value on record with id: {other['Id'][:15]}",
                        (column.name,),
                    )

    def _settle(self, kind: Kind, record: Record, before: Record | None) -> None:
        """What the platform itself sets."""
        if kind.name == "Opportunity":
            record["IsClosed"] = record["StageName"] in CLOSED_STAGES
            record["IsWon"] = CLOSED_STAGES.get(record["StageName"], False)
            if before is None or before["StageName"] != record["StageName"]:
                record["LastStageChangeDate"] = stamped(self.now())
        if kind.name == "Contract":
            self._settle_contract(record, before)
        if kind.name == "Order":
            self._settle_order(record, before)
        if kind.name == "Task":
            record["Status"] = record["Status"] or "Not Started"
            record["Priority"] = record["Priority"] or "Normal"
            record["IsClosed"] = record["Status"] == "Completed"
        if kind.name == "ContentVersion" and before is None:
            self._publish(record)

    def _settle_contract(self, record: Record, before: Record | None) -> None:
        """One that is activated stays in that category, with whatever status; its end follows from its term."""
        record["Status"] = record["Status"] or "Draft"
        record["StatusCode"] = CONTRACT_CODES.get(record["Status"], ACTIVATED)
        was = before["StatusCode"] if before else "Draft"
        if (record["StatusCode"] == ACTIVATED and before is None) or (was == ACTIVATED != record["StatusCode"]):
            raise Refusal("FAILED_ACTIVATION", "Choose a valid contract status and save your changes.", ("Status",))
        if record["StatusCode"] == ACTIVATED != was:
            record["ActivatedDate"] = stamped(self.now())
        start, months = record["StartDate"], record["ContractTerm"]
        end = months_later(date.fromisoformat(start), int(months)) - DAY if start and months else None
        record["EndDate"] = end.isoformat() if end else None

    def _settle_order(self, record: Record, before: Record | None) -> None:
        """Made as a draft; activated only with products, and under a contract that is and that began by then."""
        record["Status"] = record["Status"] or "Draft"
        record["StatusCode"] = ACTIVATED if record["Status"] == ACTIVATED else "Draft"
        contract = self.tables.get("Contract", {}).get(str(record["ContractId"])[:15])
        if contract and contract["StartDate"] and record["EffectiveDate"] < contract["StartDate"]:
            said = "Order Start Date can't be earlier than the contract's start date."
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", said, ("EffectiveDate",))
        if record["StatusCode"] != ACTIVATED or (before and before["StatusCode"] == ACTIVATED):
            return
        items = self.all(self.kinds["orderitem"])
        if before is None or not any(one["OrderId"] == record["Id"] for one in items):
            raise Refusal("FAILED_ACTIVATION", "An order must have at least one product.")
        if contract and contract["StatusCode"] != ACTIVATED:
            raise Refusal("FAILED_ACTIVATION", "The order's contract is not activated.")

    def _publish(self, version: Record) -> None:
        """A file's first version makes its document and links it; a later one takes the place of the one before."""
        if not version["VersionData"] or not version["PathOnClient"]:
            raise Refusal("REQUIRED_FIELD_MISSING", "Required fields are missing: [VersionData, PathOnClient]")
        documents, links = self.kinds["contentdocument"], self.kinds["contentdocumentlink"]
        version |= {"IsLatest": True, "ContentSize": len(base64.b64decode(version["VersionData"]))}
        if version["ContentDocumentId"] is None:
            document = self.insert(documents, {"Title": version["Title"] or version["PathOnClient"]})
            version["ContentDocumentId"], version["VersionNumber"] = document["Id"], "1"
            if place := version["FirstPublishLocationId"]:
                self.insert(links, {"LinkedEntityId": place, "ContentDocumentId": document["Id"]})
        else:
            document = self.get(documents, version["ContentDocumentId"])
            same = [v for v in self.all(self.kinds["contentversion"]) if v["ContentDocumentId"] == document["Id"]]
            for one in same:
                one["IsLatest"] = False
            version["VersionNumber"] = str(len(same) + 1)
        document |= {"LatestPublishedVersionId": version["Id"], "Title": version["Title"] or document["Title"]}

    def _told(self, kind: Kind, record: Record, before: Record | None) -> None:
        self._reindex(kind, record, before)
        for hook in self.after:
            hook(kind.name, record, before)


def stamped(moment: datetime) -> str:
    """As Salesforce writes a time: milliseconds, and a zone without colon."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _moment(column: Column, value: Any) -> str:  # noqa: ANN401
    try:
        if column.type == "date":
            return date.fromisoformat(value).isoformat()
        return stamped(datetime.fromisoformat(value))
    except (TypeError, ValueError) as error:
        raise _unreadable(column, value) from error


def _unreadable(column: Column, value: Any) -> Refusal:  # noqa: ANN401
    told = {"VALUE_STRING": str, "VALUE_TRUE": bool, "VALUE_NUMBER_INT": int, "VALUE_NUMBER_FLOAT": float}
    token = next((name for name, type_ in told.items() if type(value) is type_), "START_ARRAY")
    return Refusal(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {column.type} from {token} value {value} or request may be missing a required"
        f" field at [{column.name}]",
    )
