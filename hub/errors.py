"""Errors, named by how to recover.

Exception
├── ConfigurationError      the operator must act; raised at start, never caught with the others
└── HubError
    ├── VerificationError   not proven to come from the vendor: 401, no detail
    ├── UnreadableError     authentic, but not to be parsed: kept, 2xx, alarmed
    ├── RetryableError      the same call may work later
    │   └── Hold            later by somebody's wish (Retry-After, our rate): counts as no failed try
    ├── PermanentError      it will fail again: a person must look
    ├── UnknownResult       sent, and nobody knows whether it was done
    ├── LeaseLost           somebody else works on this now: stop, write nothing
    └── Unavailable         the record can't be written now: 503
"""

from __future__ import annotations


class ConfigurationError(Exception):
    """Something the operator wrote is wrong. Says where it stands, what is wrong and how to mend it."""

    def __init__(self, problem: str, *, where: str = "", mend: str = "") -> None:
        self.problem, self.where, self.mend = problem, where, mend
        super().__init__(": ".join(part for part in (where, problem) if part) + (f" — {mend}" if mend else ""))


class HubError(Exception):
    """The root of what a look, a delivery or a request may fail with."""


class VerificationError(HubError):
    """The request is not proven to come from the vendor. `reason` is for metrics, never for the sender."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class UnreadableError(HubError):
    """An authentic body that can't be read (bad JSON, bomb, doubled key)."""


class RetryableError(HubError):
    """The same call may work later; `retry_after` in seconds where the vendor named it."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Hold(RetryableError):
    """Not now: a rate limit or a Retry-After holds this connection. Adds no try."""


class PermanentError(HubError):
    """Will fail again. `code` is the vendor's status or error code; `hint` says how to mend it."""

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        self.code, self.hint = code, hint
        super().__init__(message)


class UnknownResult(HubError):
    """The request was sent and its outcome is not known (timeout, reset, 5xx, unreadable 2xx)."""


class LeaseLost(HubError):
    """The lease under which this was to be written has ended or passed on. Nothing was written."""


class Unavailable(HubError):
    """The record can't be written to now; the sender should try again."""

    def __init__(self, message: str, *, retry_after: float = 5) -> None:
        self.retry_after = retry_after
        super().__init__(message)
