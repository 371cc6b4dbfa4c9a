"""Salesforce's error codes, and what each comes to here. The one table that maps them.

REST errors are lists of {message, errorCode}; inside collections the code is called statusCode, in result files of
Bulk API 2.0 it stands before the first colon (REST API guide "Status Codes and Error Responses", read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from connectors.http import Brief, fails
from hub.errors import Hold, HubError, PermanentError, RetryableError

PARKED_S = 1800.0  # the daily count moves with the hours; asking sooner only adds to it
LOCKED = "UNABLE_TO_LOCK_ROW"
SCHEMA = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE", "NOT_FOUND"})
LATER = frozenset({LOCKED, "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION", "REQUEST_RUNNING_TOO_LONG"})
_NO_FIELD = "run `hub salesforce doctor`: the field is missing, or no permission set of the hub's user shows it"
_NO_RIGHT = "give the hub's user the permission set License Usage: Integration, and access to the account"
MENDS = {
    "INVALID_FIELD": _NO_FIELD,
    "INVALID_FIELD_FOR_INSERT_UPDATE": _NO_FIELD,
    "INVALID_TYPE": _NO_FIELD,
    "NOT_FOUND": _NO_FIELD,
    "INSUFFICIENT_ACCESS": _NO_RIGHT,
    "INSUFFICIENT_ACCESS_OR_READONLY": _NO_RIGHT,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _NO_RIGHT,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "a trigger or flow in the org failed on it: its text says which",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "a validation rule of the org forbids it: exempt the hub's user there",
    "REQUIRED_FIELD_MISSING": "the org made a field required that is not the hub's: give it a default there",
    "DUPLICATES_DETECTED": "a duplicate rule of the org blocks it: exempt the hub's user there",
    "DUPLICATE_EXTERNAL_ID": "two records have this key: delete one",
    "DUPLICATE_VALUE": "another record has this key: look there",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "run `hub salesforce install`: the picklist lacks this value",
    "STORAGE_LIMIT_EXCEEDED": "the org's storage is full: lower `months`, or buy storage",
    "API_DISABLED_FOR_ORG": "this edition has no API: Professional needs it as an add-on",
    "API_CURRENTLY_DISABLED": "the user lacks the permission API Enabled",
    "UNSUPPORTED_API_VERSION": "raise api_version in hub.toml",
    "invalid_grant": "approve the user for the app, and compare username, audience and certificate",
    "invalid_client_id": "compare consumer_key with the app's",
    "invalid_client": "compare consumer_secret with the app's",
    "unsupported_grant_type": "switch the flow on in the app's OAuth settings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An error as Salesforce words it; `fields` are those that it blames."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    @property
    def mend(self) -> str:
        """What a person can do about it."""
        return MENDS.get(self.code, "correct what the message names, then push again")

    @property
    def passes(self) -> bool:
        """Whether the same may work later."""
        return self.code in LATER

    def __str__(self) -> str:
        where = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.code}: {self.message}{where}"


def said(errors: Any) -> Said:  # noqa: ANN401  (whatever came)
    """The first cause in a list of errors; what was only rolled back with it is no cause."""
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    if isinstance(errors, dict):
        return Said(code=str(errors.get("error", "")), message=_short(errors.get("error_description")))
    causes = [one for one in found if _code(one) not in {"ALL_OR_NONE_OPERATION_ROLLED_BACK", "PROCESSING_HALTED"}]
    first = (causes or found or [{}])[0]
    return Said(code=_code(first), message=_short(first.get("message")), fields=tuple(first.get("fields") or ()))


def of_row(text: str) -> Said:
    """The error in a row of Bulk API 2.0's failed results: `CODE:message:fields--`."""
    code, _, rest = text.partition(":")
    message, _, fields = rest.removesuffix("--").rpartition(":")
    return Said(code=code, message=_short(message or rest), fields=tuple(fields.split(",")) if fields else ())


def error_of(about: str, status: int, content: Any) -> HubError:  # noqa: ANN401
    """Our error for an answer outside 2xx; all requests here are repeatable, so no result is ever unknown."""
    what = said(content)
    told = f"{about}: answered {status}" + (f", {what}" if what.code else "")
    if what.code == "REQUEST_LIMIT_EXCEEDED" and "Concurrent" not in what.message:
        return Hold(told, retry_after=PARKED_S)
    if what.code in {"REQUEST_LIMIT_EXCEEDED", LOCKED}:
        return Brief(told)
    if status == HTTPStatus.UNAUTHORIZED:
        return RetryableError(told)
    if fails(status) or status in {HTTPStatus.NOT_ACCEPTABLE, 420, HTTPStatus.TOO_MANY_REQUESTS} or what.passes:
        return Brief(told)
    return PermanentError(told, code=what.code or str(status), hint=what.mend)


def _code(error: dict[str, Any]) -> str:
    return str(error.get("errorCode") or error.get("statusCode") or "")


def _short(text: object, limit: int = 300) -> str:
    return " ".join(str(text or "").split())[:limit]


def blamed(errors: Sequence[Said]) -> str:
    """Several errors in one line."""
    return "; ".join(map(str, errors))
