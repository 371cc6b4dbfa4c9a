"""What the hub's user may see and write in this org: a missing field costs its column, never the push."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.salesforce.client import Client
from connectors.salesforce.fields import FILE, KEYS, MADE_WITH, OURS, written
from hub.domain import Json
from hub.ports import CrmRecord, Outcome, PushResult

INSTALL = "run `hub salesforce install`"
ASSIGN = "run `hub salesforce install`, then give the hub's user the permission set License Usage: Integration"


_UNREAD: dict[str, dict[str, Any]] = {}


@dataclass
class Columns:
    """Describes, read once and kept until `forget`."""

    client: Client
    _known: dict[str, dict[str, dict[str, Any]] | None] = field(default_factory=dict)

    def of(self, object_name: str) -> Mapping[str, dict[str, Any]] | None:
        """The fields that the user sees, by name; None where the object itself is not to be seen."""
        known = self._known.get(object_name, _UNREAD)
        if known is _UNREAD:
            found = self.client.describe(object_name)
            known = found and {one["name"]: one for one in found["fields"]}
            self._known[object_name] = known  # another thread may forget it at any time
        return known

    def forget(self) -> None:
        """The org was changed: describes are read anew."""
        self._known.clear()

    def may_write(self, object_name: str, name: str, *, once: bool = False) -> bool:
        """Whether this field may be written there; `once`: when the record is made."""
        column = (self.of(object_name) or {}).get(name)
        return column is not None and bool(column["createable"] if once else column["updateable"])

    def fit(self, record: CrmRecord) -> CrmRecord | None:
        """The record without columns that can't be written, texts cut to their length; None where its key is one."""
        if record.object == FILE:
            return record
        if record.key_field != "Id" and not self.may_write(record.object, record.key_field, once=True):
            return None
        fields = {
            name: self._cut(record.object, name, value)
            for name, value in record.fields.items()
            if self.may_write(record.object, _column(name), once=record.once)
        }
        return replace(record, fields=fields) if fields else None

    def lacking(self, objects: Iterable[str] = OURS) -> Iterator[PushResult]:
        """A result for each object and field of ours that is missing or may not be written."""
        for object_name in objects:
            if self.of(object_name) is None:
                yield _lack(object_name, "", "the object is missing, or the hub's user may not see it", Outcome.REFUSED)
                continue
            for name in sorted(written(object_name)):
                column = (self.of(object_name) or {}).get(name)
                is_key = name == KEYS.get(object_name)
                outcome = Outcome.REFUSED if is_key else Outcome.DEGRADED
                if column is None:
                    said = "the field is missing, or no permission set of the hub's user shows it"
                    yield _lack(object_name, name, said, outcome)
                elif not (column["createable"] if is_key else column["updateable"]):
                    yield _lack(object_name, name, "the hub's user may read the field, not write it", outcome)
                elif is_key and not (column["externalId"] and column["unique"]):
                    yield _lack(object_name, name, "the field is no unique external id", outcome)

    def unmade(self, object_name: str) -> list[str]:
        """Standard fields that a record of this object needs when it is made, and that can't be written."""
        return [name for name in MADE_WITH.get(object_name, ()) if not self.may_write(object_name, name, once=True)]

    def _cut(self, object_name: str, name: str, value: Json) -> Json:
        length = int((self.of(object_name) or {}).get(name, {}).get("length") or 0)
        if not isinstance(value, str) or not length or len(value) <= length:
            return value
        return value[: length - 1] + "…"


def _column(name: str) -> str:
    """A parent named by its key is the column of the reference."""
    return name[:-3] + "__c" if name.endswith("__r") else name


def _lack(object_name: str, name: str, reason: str, outcome: Outcome) -> PushResult:
    about = f"{object_name}.{name}" if name else object_name
    return PushResult(object=object_name, key=name, outcome=outcome, reason=reason, mend=ASSIGN, about=about)
