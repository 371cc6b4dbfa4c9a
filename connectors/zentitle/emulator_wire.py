"""Zentitle2's JSON, for its emulator: which request bodies are valid, and how each model is written.

Field names and limits: Management API 2025-10-10, as in the vendor's generated client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from connectors.emulation import iso
from connectors.zentitle.emulator_events import CATALOG
from connectors.zentitle.emulator_model import (
    NO_OVERDRAFT,
    NONE,
    Entitlement,
    Group,
    Refused,
    Row,
    Seat,
    Tenant,
    feature_limit,
    grace_expiry,
    moment_of,
    seat_figures,
)

if TYPE_CHECKING:
    from datetime import datetime

Check: TypeAlias = Callable[[Any], str | None]
"""What is wrong with a JSON value; None where it fits."""


class Need(NamedTuple):
    """A field of a request body."""

    check: Check
    required: bool = False


Shape: TypeAlias = Mapping[str, Need]


class Invalid(Refused):
    """422 with every validation error of a body: (property, message)."""

    def __init__(self, errors: Collection[tuple[str, str]]) -> None:
        self.errors = tuple(errors)
        super().__init__(422, "; ".join(f"{name}: {text}" for name, text in errors), code="validationFailed")


# Checks


def text(low: int = 0, high: int | None = None, pattern: str | None = None) -> Check:
    """A string of `low` to `high` characters that matches `pattern`."""

    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        if len(value) < low or (high is not None and len(value) > high):
            return f"must have {low} to {high} characters"
        return None if pattern is None or re.fullmatch(pattern, value) else f"must match {pattern}"

    return check


def number(low: float | None = None, high: float | None = None, *, whole_only: bool = True) -> Check:
    """A number in these bounds; booleans are none."""
    kinds = (int,) if whole_only else (int, float)

    def check(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, kinds):
            return "must be an integer" if whole_only else "must be a number"
        if (low is not None and value < low) or (high is not None and value > high):
            return f"must be between {low} and {high}"
        return None

    return check


def one_of(*values: str) -> Check:
    """One of an enum's wire values."""
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def flag(value: object) -> str | None:
    """A boolean."""
    return None if isinstance(value, bool) else "must be a boolean"


def moment(value: object) -> str | None:
    """An ISO 8601 date-time."""
    if not isinstance(value, str):
        return "must be a date-time"
    try:
        moment_of(value)
    except (ValueError, OverflowError):
        return "must be a date-time"
    return None


def listed(check: Check, least: int = 0) -> Check:
    """A list of at least so many values that pass `check`."""

    def check_list(value: object) -> str | None:
        if not isinstance(value, list):
            return "must be an array"
        if len(value) < least:
            return f"must have at least {least} items"
        return next((problem for item in value if (problem := check(item))), None)

    return check_list


def strings(value: object) -> str | None:
    """A map of strings to strings or null."""
    if isinstance(value, dict) and all(item is None or isinstance(item, str) for item in value.values()):
        return None
    return "must be a map of strings"


def nested(shape: Shape) -> Check:
    """An object of this shape."""

    def check(value: object) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        return next((f"{name} {problem}" for name, problem in problems(value, shape)), None)

    return check


def problems(body: Row, shape: Shape) -> list[tuple[str, str]]:
    """(property, message) of all that is wrong. Null counts as absent; unknown fields are nobody's business."""
    given = {name: body.get(name) for name in shape}
    absent = [(name, "is required") for name, need in shape.items() if need.required and given[name] is None]
    wrong = ((name, shape[name].check(value)) for name, value in given.items() if value is not None)
    return absent + [(name, problem) for name, problem in wrong if problem]


def parse(data: bytes, shape: Shape) -> Row:
    """The known, non-null fields of a body. 400 where it is no JSON object, 422 where a field does not fit."""
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "The request body is not a JSON object", code="badRequest")
    errors = problems(body, shape)
    if errors:
        raise Invalid(errors)
    return {name: body[name] for name in shape if body.get(name) is not None}


# Request bodies

INTERVAL = nested(
    {
        "type": Need(one_of("none", "day", "week", "month", "year", "hour", "minute", "second"), required=True),
        "count": Need(number(1, 32767)),
    }
)
LIMIT = nested(
    {
        "type": Need(one_of("none", "absolute", "percentage", "unlimited"), required=True),
        "value": Need(number(0)),
    }
)
RESET = one_of("never", "onRenewal", "monthly")
CODE = r"[A-Z0-9][A-Z0-9-]{0,48}[A-Z0-9]"

CUSTOMER: Shape = {
    "name": Need(text(1, 255), required=True),
    "legalName": Need(text(0, 500)),
    "description": Need(text(0, 500)),
    "type": Need(one_of("customer", "prospect", "lostCustomer", "lostProspect", "remove")),
    "accountRefId": Need(text(0, 50)),
    "status": Need(one_of("active", "disabled", "inactive")),
    "customFields": Need(strings),
    "address": Need(
        nested(
            {
                "addressLine1": Need(text(0, 255)),
                "addressLine2": Need(text(0, 255)),
                "city": Need(text(0, 100)),
                "stateRegion": Need(text(0, 100)),
                "postalCode": Need(text(0, 20)),
                "country": Need(text(0, 2)),
            }
        )
    ),
    "website": Need(text()),
    "linkedInUrl": Need(text()),
    "contractValue": Need(number(0, 1e12, whole_only=False)),
    "contractStartDate": Need(moment),
    "contractRenewalDate": Need(moment),
}
NOTE: Shape = {"note": Need(text(1, 1000), required=True)}
SKUS = Need(listed(text(1, 50), least=1), required=True)
CREATE_GROUP: Shape = {
    "skus": SKUS,
    "customerId": Need(text()),
    "activationCode": Need(text(pattern=CODE)),
    "orderRefId": Need(text(0, 50)),
}
EXTEND_GROUP: Shape = {"skus": SKUS}
UPDATE_GROUP: Shape = {"customerId": Need(text()), "orderRefId": Need(text(0, 50))}
FIND_GROUP: Shape = {"activationCode": Need(text(1, 50), required=True), "productId": Need(text(), required=True)}
UPDATE_ENTITLEMENT: Shape = {
    "seatCount": Need(number(1)),
    "overdraftSeatLimit": Need(LIMIT),
    "expiryDate": Need(moment),
    "hasMaintenance": Need(flag),
    "maintenanceExpiryDate": Need(moment),
    "leasePeriod": Need(INTERVAL),
    "offlineLeasePeriod": Need(INTERVAL),
    "gracePeriod": Need(INTERVAL),
    "attributes": Need(listed(nested({"id": Need(text(), required=True), "value": Need(text(0, 500))}))),
    "features": Need(listed(nested({"id": Need(text(), required=True), "value": Need(number(0))}))),
    "usageResetSchedule": Need(RESET),
}
CHANGE_OFFERING: Shape = {"offeringId": Need(text(), required=True)}
RESETS = {
    "resetLeasePeriod": "leasePeriod",
    "resetOfflineLeasePeriod": "offlineLeasePeriod",
    "resetGracePeriod": "gracePeriod",
    "resetSeatCount": "seatCount",
    "resetOverdraftSeatLimit": "overdraftSeatLimit",
    "resetUsageResetSchedule": "usageResetSchedule",
}
RESET_OVERRIDES: Shape = {name: Need(flag) for name in RESETS}
ACTIVATE: Shape = {
    "productId": Need(text(), required=True),
    "activationCredentials": Need(
        nested(
            {
                "type": Need(one_of("activationCode", "openIdToken", "password"), required=True),
                "code": Need(text()),
                "token": Need(text()),
                "username": Need(text()),
                "password": Need(text()),
            }
        ),
        required=True,
    ),
    "seatId": Need(text(1, 100), required=True),
    "seatName": Need(text(0, 50)),
    "editionId": Need(text()),
}
LISTENER: Shape = {
    "uri": Need(text(1, 2048), required=True),
    "subscriptions": Need(listed(one_of(*CATALOG), least=1), required=True),
}
CHECK_OUT: Shape = {"key": Need(text(1, 50), required=True), "amount": Need(number(1), required=True)}
REFRESH: Shape = {"activationId": Need(text(), required=True)}
PRODUCT: Shape = {"name": Need(text(1, 50), required=True), "description": Need(text(0, 500))}
EDITION: Shape = PRODUCT
PLAN: Shape = {
    "name": Need(text(1, 50), required=True),
    "licenseType": Need(one_of("subscription", "perpetual"), required=True),
    "licenseStartType": Need(one_of("activation", "entitlementCreation", "custom", "manualActivation"), required=True),
    "licenseDuration": Need(INTERVAL),
    "planType": Need(one_of("trial", "paid", "notForResale", "internal", "beta", "free")),
    "description": Need(text(0, 500)),
}
OFFERING: Shape = {
    "name": Need(text(1, 50), required=True),
    "sku": Need(text(1, 50), required=True),
    "description": Need(text(0, 500)),
    "editionId": Need(text(), required=True),
    "planId": Need(text(), required=True),
    "seatCount": Need(number(1), required=True),
    "hasMaintenance": Need(flag),
    "maintenanceDuration": Need(INTERVAL),
    "overdraftSeatLimit": Need(LIMIT),
    "concurrencyMode": Need(one_of("concurrent", "nodeLock"), required=True),
    "customFields": Need(strings),
    "usageResetSchedule": Need(RESET),
    "gracePeriod": Need(INTERVAL),
}
UPDATE_OFFERING: Shape = {name: Need(need.check) for name, need in OFFERING.items()}

DEFAULTS: Mapping[str, Row] = {
    "customer": dict.fromkeys(CUSTOMER) | {"status": "active", "customFields": {}},
    "product": {
        "description": None,
        "leasePeriod": {"type": "day", "count": 1},
        "offlineLeasePeriod": {"type": "month", "count": 1},
        "gracePeriod": NONE,
    },
    "edition": {"description": None},
    "plan": {"description": None, "planType": None, "licenseDuration": NONE},
    "offering": {
        "description": None,
        "hasMaintenance": False,
        "maintenanceDuration": NONE,
        "overdraftSeatLimit": NO_OVERDRAFT,
        "customFields": {},
        "usageResetSchedule": "onRenewal",
        "gracePeriod": None,
    },
}
"""What a new row holds where its body says nothing."""


# Answers


def stamp(at: datetime | None) -> str | None:
    """A date-time as the vendor writes it."""
    return iso(at) if at else None


def interval(value: Row) -> Row:
    """An Interval with both fields."""
    return {"type": value["type"], "count": value.get("count")}


def limit(value: Row) -> Row:
    """An OverdraftLimitModel with both fields."""
    return {"type": value["type"], "value": value.get("value")}


def customer_model(row: Row) -> Row:
    """CustomerModel."""
    return row | {name: stamp(row[name]) for name in ("disabledDate", "createdAt", "updatedAt")}


CUSTOMER_LIST_FIELDS = ("id", "name", "type", "accountRefId", "status", "description")


def customer_list_row(row: Row) -> Row:
    """CustomerListModel: without custom fields."""
    return {name: row[name] for name in CUSTOMER_LIST_FIELDS} | {"disabledDate": stamp(row["disabledDate"])}


def group_customer(row: Row | None) -> Row | None:
    """The customer inside a group; its exact fields are not documented."""
    return {name: row[name] for name in ("id", "name", "accountRefId")} if row else None


def group_model(tenant: Tenant, group: Group, now: datetime, expand: Collection[str] = ()) -> Row:
    """EntitlementGroupModel, which is also the list row."""
    model: Row = {
        "id": group.id,
        "created": iso(group.created),
        "customerId": group.customer_id,
        "orderRefId": group.order_ref,
        "activationCodes": list(group.codes),
    }
    if "customer" in expand:
        model["customer"] = group_customer(tenant.customer_of(group.id))
    if "entitlements" in expand:
        inside = tenant.entitlements.rows(group.entitlements)
        model["entitlements"] = [basic_model(tenant, one, now) for one in inside]
    return model


def basic_model(tenant: Tenant, entitlement: Entitlement, now: datetime) -> Row:
    """EntitlementBasicModel."""
    offering = tenant.offerings.now[entitlement.offering_id]
    return {
        "id": entitlement.id,
        "sku": offering["sku"],
        "offeringId": offering["id"],
        "offeringName": offering["name"],
        "entitlementGroupId": entitlement.group_id,
        "productId": tenant.product_id(entitlement),
        "status": tenant.status(entitlement, now),
        "exported": entitlement.exported,
    }


def common_model(tenant: Tenant, entitlement: Entitlement, now: datetime) -> Row:
    """The fields that an entitlement has both in a list and alone."""
    terms = tenant.terms(entitlement.offering_id)
    figures = seat_figures(entitlement, len(tenant.seats(entitlement, now)))
    return {
        "id": entitlement.id,
        "sku": terms.offering["sku"],
        "offeringName": terms.offering["name"],
        "productId": terms.product["id"],
        "licenseType": terms.plan["licenseType"],
        "licenseStartType": terms.plan["licenseStartType"],
        "licenseDurationType": terms.plan["licenseDuration"]["type"],
        "licenseDurationCount": terms.plan["licenseDuration"].get("count"),
        "seatCount": entitlement.seat_count,
        "overdraftSeatLimit": limit(entitlement.overdraft),
        **figures,
        "activationDate": stamp(entitlement.activated_at),
        "expiryDate": stamp(entitlement.expires_at),
        "exported": entitlement.exported,
    }


def entitlement_list_row(tenant: Tenant, entitlement: Entitlement, now: datetime, expand: Collection[str] = ()) -> Row:
    """EntitlementListModel: no status, no plan type, no offering id. seatsAvailable is never null here."""
    row = common_model(tenant, entitlement, now)
    del row["overdraftSeatCount"]
    if row["seatsAvailable"] is None:
        row["seatsAvailable"] = max(0, row["seatCount"] - row["seatsUsed"])
    group = group_model(tenant, tenant.groups.now[entitlement.group_id], now, expand)
    del group["activationCodes"]
    return row | {"group": group}


def entitlement_model(tenant: Tenant, entitlement: Entitlement, now: datetime, expand: Collection[str] = ()) -> Row:
    """EntitlementModel. It has no customer id: that is the group's."""
    terms = tenant.terms(entitlement.offering_id)
    model = common_model(tenant, entitlement, now) | {
        "hasMaintenance": entitlement.has_maintenance,
        "maintenanceDuration": interval(terms.offering["maintenanceDuration"]),
        "provisioningDate": stamp(entitlement.provisioned_at),
        "maintenanceExpiryDate": stamp(entitlement.maintenance_expires_at),
        "disabledDate": stamp(entitlement.disabled_at),
        "concurrencyMode": terms.offering["concurrencyMode"],
        "leasePeriod": interval(entitlement.lease),
        "offlineLeasePeriod": interval(entitlement.offline_lease),
        "gracePeriod": interval(entitlement.grace),
        "gracePeriodExpiry": stamp(grace_expiry(entitlement)),
        "status": tenant.status(entitlement, now),
        "export": None,
        "entitlementGroupId": entitlement.group_id,
        "planName": terms.plan["name"],
        "offeringId": entitlement.offering_id,
        "editInfo": {name: name in entitlement.edited for name in EDIT_FLAGS},
        "planType": terms.plan["planType"],
        "created": iso(entitlement.created),
        "usageResetSchedule": entitlement.usage_reset,
    }
    if expand:
        expansions: Row = {
            "product": terms.product,
            "offering": entitlement_offering(terms.offering),
            "features": [
                feature_model(tenant, entitlement, key) for key in tenant.features.get(entitlement.offering_id, {})
            ],
            "attributes": [],
        }
        model |= {name: expansions[name] for name in expand}
    return model


EDIT_FLAGS = (
    "leasePeriodEdited",
    "gracePeriodEdited",
    "offlineLeasePeriodEdited",
    "seatCountEdited",
    "overdraftSeatLimitEdited",
    "usageResetScheduleEdited",
)


def entitlement_offering(row: Row) -> Row:
    """EntitlementOfferingModel."""
    return {
        "id": row["id"],
        "description": row["description"],
        "seatCount": row["seatCount"],
        "overdraftSeatLimit": limit(row["overdraftSeatLimit"]),
        "attributes": [],
        "features": [],
        "gracePeriod": interval(row["gracePeriod"] or NONE),
    }


def feature_model(tenant: Tenant, entitlement: Entitlement, key: str) -> Row:
    """EntitlementFeatureModel of a usageCount feature."""
    feature = tenant.features[entitlement.offering_id][key]
    return {
        "id": feature["id"],
        "type": "usageCount",
        "key": key,
        "description": None,
        "value": feature["value"],
        "used": entitlement.used.get(key, 0),
        "edited": False,
        "totalLimitIncludingOverdraft": feature_limit(feature),
        "overdraftLimit": limit(feature["overdraftLimit"]),
        **usage_period(tenant, entitlement),
    }


def activation_feature(tenant: Tenant, entitlement: Entitlement, key: str) -> Row:
    """ActivationFeatureModel of a usageCount feature."""
    total = feature_limit(tenant.features[entitlement.offering_id][key])
    return {
        "key": key,
        "type": "usageCount",
        "active": None,
        "available": None if total is None else total - entitlement.used.get(key, 0),
        "total": total,
        **usage_period(tenant, entitlement),
    }


def usage_period(tenant: Tenant, entitlement: Entitlement) -> Row:
    """From when to when usage is counted now."""
    return {
        "currentUsagePeriodStart": stamp(entitlement.cycle_began or entitlement.activated_at),
        "nextUsagePeriodStart": stamp(tenant.next_cycle(entitlement)),
    }


def activation_model(tenant: Tenant, entitlement: Entitlement, seat: Seat, now: datetime) -> Row:
    """ActivationModel."""
    return {
        "id": seat.id,
        "activationMethod": seat.method,
        "status": "active" if seat.lease_expiry > now else "leaseExpired",
        "leaseExpiry": iso(seat.lease_expiry),
        "productId": tenant.product_id(entitlement),
        "entitlementId": entitlement.id,
        "seatId": seat.seat_id,
        "seatName": seat.name,
        "username": seat.username,
        "activated": iso(seat.activated),
        "lastLease": iso(seat.last_lease),
        "deactivated": None,
        "mode": "online",
    }


def activation_state(tenant: Tenant, entitlement: Entitlement, seat: Seat, now: datetime) -> Row:
    """ActivationStateModel."""
    return activation_model(tenant, entitlement, seat, now) | {
        "entitlementExpiryDate": stamp(entitlement.expires_at),
        "entitlementGracePeriodExpiry": stamp(grace_expiry(entitlement)),
        "entitlementStatus": tenant.status(entitlement, now),
        "entitlementConcurrencyMode": tenant.offerings.now[entitlement.offering_id]["concurrencyMode"],
        "hasMaintenance": entitlement.has_maintenance,
        "maintenanceExpiryDate": stamp(entitlement.maintenance_expires_at),
        "attributes": [],
        "features": [],
    }


def log_row(row: Row) -> Row:
    """ActivationLogModel."""
    return row | {"timestamp": iso(row["timestamp"]), "leaseExpiry": stamp(row["leaseExpiry"])}


def note_model(row: Row) -> Row:
    """A note's model."""
    return row | {"createdAt": iso(row["createdAt"])}


OFFERING_LIST_OMITS = ("customFields", "usageResetSchedule", "gracePeriod")


def offering_model(tenant: Tenant, row: Row, expand: Collection[str] = ()) -> Row:
    """OfferingModel, with edition and plan where asked."""
    terms = tenant.terms(row["id"])
    model = row | {
        "maintenanceDuration": interval(row["maintenanceDuration"]),
        "overdraftSeatLimit": limit(row["overdraftSeatLimit"]),
    }
    if "edition" in expand:
        model["edition"] = terms.edition
    if "plan" in expand:
        model["plan"] = terms.plan
    if "stats" in expand:
        count = sum(one.offering_id == row["id"] for one in tenant.entitlements.now.values())
        model["stats"] = {"entitlementsCount": count}
    return model


def offering_list_row(tenant: Tenant, row: Row, expand: Collection[str] = ()) -> Row:
    """OfferingListModel: no custom fields, no grace period."""
    model = offering_model(tenant, row, expand)
    return {name: value for name, value in model.items() if name not in OFFERING_LIST_OMITS}


def api_error(refused: Refused) -> Row:
    """ApiError."""
    errors = getattr(refused, "errors", ((refused.field, refused.details),) if refused.field else ())
    return {
        "details": refused.details,
        "error": TITLES.get(refused.status, "Error"),
        "errorCode": refused.code or None,
        "validationErrors": [{"message": message, "propertyName": name, "code": "invalid"} for name, message in errors]
        or None,
    }


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Request Failed",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Validation Failed",
    429: "Too Many Requests",
}
