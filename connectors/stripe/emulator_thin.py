"""Thin events (`v2.core.event`): small, without a version, only naming the object that changed.

Pure: each is told from its snapshot twin. Facts: commerce reference §1.3 and stripe 16.1.0 `v2/core/_event.py`
(read 2026-11); that notification and event share one id, and that the twin has another, is inferred.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_shapes import Shape

Format: TypeAlias = Shape | Literal["thin"]

_SNAPSHOT, _THIN = "evt_", "evt_65"
_FAMILIES = {
    "checkout.session": "checkout/sessions",
    "radar.early_fraud_warning": "radar/early_fraud_warnings",
}


def thin_id(snapshot_id: str) -> str:
    """The id of the thin twin of a snapshot event."""
    return _THIN + snapshot_id.removeprefix(_SNAPSHOT)


def snapshot_id(id_: str) -> str | None:
    """The id of the snapshot twin of a thin event; None where `id_` is no thin event's."""
    return _SNAPSHOT + id_.removeprefix(_THIN) if id_.startswith(_THIN) else None


def notification(event: Obj) -> Obj:
    """What a thin endpoint is sent."""
    value = event["data"]["object"]
    path = _FAMILIES.get(value["object"], f"{value['object']}s")
    asked = event["request"]
    return {
        "id": thin_id(event["id"]),
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": _iso(event["created"]),
        "livemode": event["livemode"],
        "context": event.get("account"),
        "related_object": {
            "id": value["id"],
            "type": value["object"],
            "url": f"/v1/{path}/{value['id']}",
        },
        "reason": {"type": "request", "request": _request(asked)} if asked["id"] else None,
    }


def fetched(event: Obj) -> Obj:
    """What `GET /v2/core/events/{id}` answers: the notification, what changed, and the twin's id."""
    before = event["data"].get("previous_attributes")
    after = {key: event["data"]["object"].get(key) for key in before or {}}
    changes = None if before is None else {"before": before, "after": after}
    return notification(event) | {"changes": changes, "snapshot_event": event["id"]}


def snapshot_filters(params: Obj) -> Obj:
    """What the list of snapshot events would be asked, for the list of thin ones."""
    created = {name: str(_seconds(text)) for name, text in (params.get("created") or {}).items()}
    types = [type_.removeprefix("v1.") for type_ in params.get("types") or []]
    return ({"types": types} if types else {}) | ({"created": created} if created else {})


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _request(asked: Obj) -> Obj:
    return {"id": asked["id"], "idempotency_key": asked["idempotency_key"]}


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
