"""An entitlement as the journal had it at a moment: the values of then, with the reasons of then. Pure.

A field's value is what the newest change up to then wrote, else what the first change after it found, else what it is
now: the record keeps what was done, not every reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from hub.domain import Json

FIELDS = ("offering", "seats", "overdraft", "expires_at", "enabled")
CREATES = ("CreateGroup", "ExtendGroup")
SUCCEEDED = ("done", "found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """A snapshot as it stood then; the fields of a row of the table `entitlement`."""

    id: str
    group_id: str
    customer_id: str
    order_ref: str
    subject: str
    offering: str
    enabled: bool
    body: Mapping[str, Any]
    reasons: Mapping[str, Any]
    catalog_version: str
    observation: str | None
    read_at: float
    changed_at: float


def end_of(day: date) -> float:
    """The last moment of a day in UTC, in epoch seconds: what "as of that day" means. OverflowError: too far away."""
    return datetime.combine(day, time.max, UTC).timestamp()


def snapshot_at(row: Any, journal: Sequence[Any], at: float) -> Then | None:  # noqa: ANN401  (rows)
    """The entitlement at `at` (epoch seconds); None where it had not been made yet. `journal` is newest first."""
    made = [one for one in journal if one.action in CREATES and one.outcome in SUCCEEDED]
    if made and made[-1].at > at:
        return None
    before = [one for one in journal if one.at <= at and one.outcome in SUCCEEDED]
    after = [one for one in reversed(journal) if one.at > at and one.outcome in SUCCEEDED]
    values = {name: _value(name, row, before, after) for name in FIELDS}
    newest = before[0] if before else None
    return Then(
        id=row.id,
        group_id=row.group_id,
        customer_id=row.customer_id,
        order_ref=row.order_ref,
        subject=_owner(row, before, after),
        offering=str(values["offering"]),
        enabled=bool(values["enabled"]),
        body={**row.body, **values},
        reasons=_reasons(row, before, after),
        catalog_version=newest.catalog_version if newest else row.catalog_version,
        observation=newest.observation if newest else None,
        read_at=newest.at if newest else row.read_at,
        changed_at=newest.at if newest else row.changed_at,
    )


def _owner(row: Any, before: Sequence[Any], after: Sequence[Any]) -> str:  # noqa: ANN401  (rows)
    """The purchase that it belonged to: a license may be carried on by the next one."""
    handed = [one.wanted["purchase"] for one in before if one.action == "Revive"]
    later = [one.found["purchase"] for one in after if one.action == "Revive"]
    owner: str = [*handed[:1], *later[:1], row.subject][0]
    return owner


def sets(change: Any, name: str) -> bool:  # noqa: ANN401  (a row)
    """Whether a change sets the field; a create sets them all, by what the offering says."""
    if change.action in CREATES:
        return name != "overdraft"
    return name in change.wanted or (name == "offering" and change.action == "ChangeOffering")


def written(change: Any, name: str) -> Json:  # noqa: ANN401  (a row)
    """What a change wrote into the field; None where a create left it to the offering."""
    key = "sku" if change.action == "ChangeOffering" and name == "offering" else name
    value: Json = change.wanted.get(key)
    return value


def _value(name: str, row: Any, before: Sequence[Any], after: Sequence[Any]) -> Json:  # noqa: ANN401  (rows)
    wrote = next((one for one in before if sets(one, name)), None)
    if wrote is not None and (value := written(wrote, name)) is not None:
        return value
    for one in after:
        if sets(one, name) and name in one.found:
            found: Json = one.found[name]
            return found
    return _now(row, name)


def _now(row: Any, name: str) -> Json:  # noqa: ANN401  (a row)
    value: Json = row.enabled if name == "enabled" else row.body[name]
    return value


def _reasons(row: Any, before: Sequence[Any], after: Sequence[Any]) -> dict[str, Any]:  # noqa: ANN401  (rows)
    """Field -> the reason that the newest change up to then gave; that of now where nothing has set it since."""
    found = {}
    for name in FIELDS:
        wrote = next((one for one in before if sets(one, name)), None)
        reason = _given(wrote, name) if wrote is not None else None
        if reason is None and not any(sets(one, name) for one in after):
            reason = row.reasons.get(name)
        if reason is not None:
            found[name] = reason
    return found


def _given(change: Any, name: str) -> Any:  # noqa: ANN401  (a row; JSON)
    """The reason that a change gave for a field; a create names it by offering and field."""
    tail = f".{name}"
    return next((why for key, why in change.why.items() if key == name or key.endswith(tail)), None)
