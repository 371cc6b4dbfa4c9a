"""The catalog of event types: schema, example and changes of each, from the models that emit them. Pure.

The rule (docs/events.md): within a version fields are only added. docs/event-types.json is what was published; a test
compares, so a change that would break a consumer needs a new version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain import Json
from hub.stream.events import (
    PAYLOADS,
    VERSION,
    Difference,
    EndpointNotice,
    EntitlementState,
    LicensingFact,
    Payload,
    PurchaseFact,
    Reminder,
    UsageSignal,
    UsageSummary,
    schemas,
)

_AT = "2026-03-01T12:00:00.000Z"
_PURCHASE = "shop/subscription/sub_1"
_STATE: dict[str, Any] = {
    "entitlement": "ent_1",
    "group": "egr_1",
    "customer": "cst_1",
    "order_ref": "shop:sub_1",
    "purchase": _PURCHASE,
    "offering": "PRO-100",
    "seats": 8,
    "seats_used": 3,
    "overdraft": None,
    "expires_at": "2027-03-08T12:00:00Z",
    "enabled": True,
    "frozen": False,
    "perpetual": False,
    "revision": 4,
    "made_by": "hub",
}
_FACT: dict[str, Any] = {"connection": "shop", "event_id": "evt_1", "subject": _PURCHASE, "order_ref": "shop:sub_1"}
_SEAT: dict[str, Any] = {"connection": "licensing", "event_id": "evt_2", "entitlement": "ent_1", "purchase": _PURCHASE}
_END: dict[str, Any] = {
    "entitlement": "ent_1",
    "customer": "cst_1",
    "order_ref": "shop:sub_1",
    "purchase": _PURCHASE,
    "offering": "PRO-100",
    "ends_at": "2027-03-08T12:00:00Z",
}
_WHOSE = {name: _END[name] for name in ("entitlement", "customer", "order_ref", "purchase", "offering")}
_TROUBLE: dict[str, Any] = {"endpoint": "ep_0123456789abcdef", "host": "hooks.example.com", "description": "Billing"}


def _changed(field: str, before: Any, after: Any) -> EntitlementState:  # noqa: ANN401  (any JSON)
    return EntitlementState(**(_STATE | {field: after}), changes={field: Difference(before=before, after=after)})


EXAMPLES: Mapping[str, tuple[str, Payload]] = {  # a type or family -> a type of it, and what that says
    "purchase.*": (
        "purchase.paid",
        PurchaseFact(**_FACT, event_type="invoice.paid", entitlements=("ent_1",), details={"total": 99000}),
    ),
    "seat.*": ("seat.activated", LicensingFact(**_SEAT, event_type="seat.activated", details={"seats_used": 3})),
    "usage.cycle.*": ("usage.cycle.ended", LicensingFact(**_SEAT, event_type="usage.cycle.ended")),
    "entitlement.created": ("entitlement.created", EntitlementState(**(_STATE | {"revision": 1}))),
    "entitlement.renewed": (
        "entitlement.renewed",
        _changed("expires_at", "2026-03-08T12:00:00Z", "2027-03-08T12:00:00Z"),
    ),
    "entitlement.changed": ("entitlement.changed", _changed("seats", 5, 8)),
    "entitlement.disabled": ("entitlement.disabled", _changed("enabled", before=True, after=False)),
    "entitlement.enabled": ("entitlement.enabled", _changed("enabled", before=False, after=True)),
    "entitlement.expiring": ("entitlement.expiring", Reminder(**_END, days=30)),
    "entitlement.expired": ("entitlement.expired", Reminder(**_END, days=0)),
    "entitlement.maintenance.expiring": ("entitlement.maintenance.expiring", Reminder(**_END, days=7)),
    "entitlement.maintenance.expired": ("entitlement.maintenance.expired", Reminder(**_END, days=0)),
    "usage.signal.changed": (
        "usage.signal.changed",
        UsageSignal(
            **_WHOSE,
            before="steady",
            signal="at_risk",
            since="2026-02-15",
            as_of="2026-03-01",
            confidence="high",
            change_date="2026-01-12",
            forecast_peak=48.0,
            forecast_lo=41.0,
            forecast_hi=56.0,
            recommended_seats=56,
            sentence="Use fell from 97 to 61 of 100 seats since about 12 Jan, 7 % a month, still falling.",
            evidence={"p95_peak_28d": 61, "drop_pct": 37},
            method="1",
            revision=3,
        ),
    ),
    "usage.summary.created": (
        "usage.summary.created",
        UsageSummary(
            **_WHOSE,
            month="2026-02",
            days=28,
            known_days=28,
            seats=100,
            cap=110,
            peak=97,
            over_days=0,
            over_most=0,
            pinned_days=0,
            denials=0,
            users="104",
            seat_hours=8120.5,
            signal="steady",
            confidence="high",
            revision=1,
        ),
    ),
    "hub.endpoint.failing": (
        "hub.endpoint.failing",
        EndpointNotice(**_TROUBLE, reason="its last answer: 503", failing_since=_AT, failures=4),
    ),
    "hub.endpoint.disabled": (
        "hub.endpoint.disabled",
        EndpointNotice(**_TROUBLE, reason="it answered 410: gone", failing_since=None, failures=1),
    ),
}
CHANGES: Mapping[str, tuple[str, ...]] = {}  # a type or family -> what each version after the first changed


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """A type or family of types: the JSON Schema of a whole message, an example, and its changes, the oldest first."""

    name: str
    version: int
    schema: dict[str, Any]
    example: dict[str, Json]
    changes: tuple[str, ...]


def types() -> Iterator[EventType]:
    """Every type or family that the stream may carry."""
    of_data = schemas()
    for number, name in enumerate(PAYLOADS, 1):
        type_, data = EXAMPLES[name]
        yield EventType(
            name=name,
            version=VERSION,
            schema=_message_schema(name, of_data[name]),
            example=sample(type_, data, number),
            changes=("1: first published", *CHANGES.get(name, ())),
        )


def sample(type_: str, data: Payload, position: int) -> dict[str, Json]:
    """A message as it is sent."""
    id_ = f"00000000-0000-5000-8000-{position:012}"
    told: dict[str, Json] = {"id": id_, "type": type_, "version": VERSION, "occurred_at": _AT, "position": position}
    return told | {"data": data.to_json()}


def _message_schema(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The schema of a message of this type; what a payload refers to stands beside it."""
    defs = data.get("$defs", {})
    rest = {key: value for key, value in data.items() if key != "$defs"}
    pattern = "^" + name.replace(".", r"\.").replace("*", ".+") + "$"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "type": "object",
        "required": ["id", "type", "version", "occurred_at", "position", "data"],
        "properties": {
            "id": {"type": "string", "description": "the same however often it is sent"},
            "type": {"type": "string", "pattern": pattern},
            "version": {"type": "integer", "const": VERSION},
            "occurred_at": {"type": "string", "format": "date-time"},
            "position": {"type": "integer", "minimum": 1},
            "data": rest,
        },
        "$defs": defs,
    }


def published() -> dict[str, Any]:
    """The catalog as `hub events types --json` prints it."""
    return {
        one.name: {
            "version": one.version,
            "schema": one.schema,
            "example": one.example,
            "changes": list(one.changes),
        }
        for one in types()
    }


def asyncapi(title: str, version: str) -> dict[str, Any]:
    """The stream as an AsyncAPI 3.0 document: what an endpoint receives."""
    messages = {
        one.name.replace("*", "any"): {
            "name": one.name,
            "contentType": "application/json",
            "payload": _plain_refs(one),
            "examples": [{"payload": one.example}],
        }
        for one in types()
    }
    refs = [{"$ref": f"#/channels/endpoint/messages/{name}"} for name in messages]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "description": "POST to the consumer's URL, signed as Standard Webhooks says. At least once, no order.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "deliver": {"action": "send", "channel": {"$ref": "#/channels/endpoint"}, "messages": refs},
        },
        "components": {"messages": messages},
    }


def _plain_refs(one: EventType) -> dict[str, Any]:
    """The schema as a document of its own inside AsyncAPI, whose references start at the outer one."""
    return {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": one.schema | {"$id": one.name}}


def breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What in the schema `after` would break a consumer of `before`, as sentences; empty: fields were only added."""
    found: list[str] = []
    old, new = before.get("properties", {}), after.get("properties", {})
    for name, told in old.items():
        if name not in new:
            found.append(f"{name} is gone")
        elif _said(told) != _said(new[name]):
            found.append(f"{name} is another")
        else:
            found += [f"{name}.{one}" for one in breaks(told, new[name])]
    found += [
        f"{name} need not be there any more" for name in before.get("required", []) if name not in _required(after)
    ]
    for name, told in before.get("$defs", {}).items():
        found += [f"{name}: {one}" for one in breaks(told, after.get("$defs", {}).get(name, {}))]
    return found


def _required(schema: Mapping[str, Any]) -> list[str]:
    return list(schema.get("required", []))


def _said(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says of a value itself: texts for people, and the fields of an object, are looked at elsewhere."""
    apart = {"title", "description", "default", "properties", "required", "additionalProperties", "$defs", "examples"}
    return {key: value for key, value in schema.items() if key not in apart}
