"""Domain values as JSON and back: datetimes as ISO 8601 text in UTC."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from hub.domain import Action, Entitlement, Json

_DATES = {"expires_at", "created_at", "maintenance_until"}


def plain(value: Any) -> Json:  # noqa: ANN401
    """`value` as JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return value  # type: ignore[no-any-return]


def entitlement_json(one: Entitlement) -> dict[str, Json]:
    """An entitlement as JSON."""
    return {f.name: plain(getattr(one, f.name)) for f in fields(one)}


def entitlement_from(body: dict[str, Any]) -> Entitlement:
    """The entitlement that `entitlement_json` wrote; unknown keys are left out."""
    names = {f.name for f in fields(Entitlement)}
    values = {name: value for name, value in body.items() if name in names}
    for name in _DATES & set(values):
        values[name] = moment(values[name])
    values["lines"] = tuple(values.get("lines") or ())
    return Entitlement(**values)


def action_json(action: Action) -> dict[str, Json]:
    """What an action wants, field by field; what it leaves alone is left out."""
    wanted = {f.name: plain(getattr(action, f.name)) for f in fields(action)}
    skip = {"force", "entitlement_id", "group_id", "customer_id"}
    return {name: value for name, value in wanted.items() if value is not None and name not in skip}


def moment(text: str | None) -> datetime | None:
    """The datetime that `plain` wrote."""
    return datetime.fromisoformat(text) if text else None
