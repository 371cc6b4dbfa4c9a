"""What the stream says: one frozen model a payload, and the message that carries it. Pure.

A message's id is derived from what it tells of, so that telling it again is the same message. A payload never has
a person's name, address or seat id. Adding a field is no new version; anything else is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, JsonValue

from hub.domain import Json

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:licensing-hub:stream")


class Payload(BaseModel):
    """The data of a message; times are ISO 8601 text in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Json]:
        """As it is sent."""
        return self.model_dump(mode="json")


class PurchaseFact(Payload):
    """A vendor reported something of a purchase. order_ref and entitlements: as far as the hub knew when it heard."""

    connection: str
    event_id: str
    event_type: str
    subject: str
    order_ref: str | None = None
    entitlements: tuple[str, ...] = ()
    details: dict[str, JsonValue] = {}


class LicensingFact(Payload):
    """The licensing vendor reported something that no snapshot shows (a seat taken, say)."""

    connection: str
    event_id: str
    event_type: str
    entitlement: str
    order_ref: str | None = None
    purchase: str | None = None
    details: dict[str, JsonValue] = {}


class Difference(Payload):
    """One field before and after."""

    before: JsonValue
    after: JsonValue


class EntitlementState(Payload):
    """An entitlement as it is now, and what of it this message tells as new.

    purchase: the subject that it was bought by, None where the hub knows of none. made_by: hub, or elsewhere
    (somebody in the licensing system's own console, say).
    """

    entitlement: str
    group: str
    customer: str
    order_ref: str
    purchase: str | None
    offering: str
    seats: int
    seats_used: int
    overdraft: int | None
    expires_at: str | None
    maintenance_until: str | None = None
    enabled: bool
    frozen: bool
    perpetual: bool
    revision: int
    made_by: str
    changes: dict[str, Difference] = {}


class Reminder(Payload):
    """An entitlement ends, or its maintenance does: in so many days, or now (0)."""

    entitlement: str
    customer: str
    order_ref: str
    purchase: str | None
    offering: str
    ends_at: str
    days: int


class UsageSignal(Payload):
    """What the use of an entitlement says about its renewal is something else than before (None: the first time).

    Days are ISO 8601. Forecasts are seats at renewal; evidence holds every number that the sentence was made from.
    """

    entitlement: str
    customer: str
    order_ref: str
    purchase: str | None
    offering: str
    before: str | None
    signal: str
    since: str
    as_of: str
    confidence: str
    change_date: str | None = None
    forecast_peak: float | None = None
    forecast_lo: float | None = None
    forecast_hi: float | None = None
    recommended_seats: int | None = None
    sentence: str
    evidence: dict[str, JsonValue] = {}
    method: str
    revision: int


class UsageSummary(Payload):
    """What a month of an entitlement came to. A month that is counted again is told again, with a higher revision.

    days, known_days: of the month, and those that somebody watched; what is not known is None. p95_peak: of its known
    business days. users: most distinct
    users of a day, "< 5" where they are few. signal: at the month's end, where it was judged by then.
    """

    entitlement: str
    customer: str
    order_ref: str
    purchase: str | None
    offering: str
    month: str
    days: int
    known_days: int
    seats: int | None
    cap: int | None
    peak: int | None
    over_days: int
    over_most: int
    p95_peak: float | None = None
    business_days: int | None = None
    known_business_days: int | None = None
    pinned_days: int
    denials: int
    users: str
    seat_hours: float
    signal: str | None = None
    confidence: str | None = None
    revision: int


# What a type, or a family of types ("purchase.*"), carries; the version is the payload's.
PAYLOADS: Mapping[str, type[Payload]] = {
    "purchase.*": PurchaseFact,
    "seat.*": LicensingFact,
    "usage.cycle.*": LicensingFact,
    "usage.signal.changed": UsageSignal,
    "usage.summary.created": UsageSummary,
    "entitlement.created": EntitlementState,
    "entitlement.renewed": EntitlementState,
    "entitlement.changed": EntitlementState,
    "entitlement.disabled": EntitlementState,
    "entitlement.enabled": EntitlementState,
    "entitlement.expiring": Reminder,
    "entitlement.expired": Reminder,
    "entitlement.maintenance.expiring": Reminder,
    "entitlement.maintenance.expired": Reminder,
}
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event of the stream, before it has its position."""

    id: str
    type: str
    occurred_at: datetime
    subject: str
    entitlement: str | None
    data: Payload
    version: int = VERSION


def message_id(*parts: object) -> str:
    """The id of what these parts name, the same each time."""
    return str(uuid5(_NAMESPACE, "/".join(map(str, parts))))


def iso(moment: datetime | None) -> str | None:
    """`moment` as the stream writes it."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def schemas() -> dict[str, dict[str, Any]]:
    """A JSON Schema of the data of each type, or family of types."""
    return {type_: payload.model_json_schema() for type_, payload in PAYLOADS.items()}
