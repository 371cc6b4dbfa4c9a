"""What the emulated tenant says of itself: the 20 events, their payloads, and when business time raises one.

Codes and payload fields: the client generated from 2025-10-10 (*WebhookModel classes; integrations-n8n 1.1.1
webhooks/events.ts). Which call raises which event, and that each reminder comes once, is inferred.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from connectors.emulation import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CATALOG: Mapping[str, tuple[str, str]] = {  # code -> (type, description)
    "customer.created": ("customer", "A customer was created"),
    "customer.updated": ("customer", "A customer was changed, disabled or enabled"),
    "entitlement.group.created": ("entitlementGroup", "An entitlement group was created"),
    "entitlement.group.updated": ("entitlementGroup", "An entitlement group was changed"),
    "entitlement.created": ("entitlement", "An entitlement was created"),
    "entitlement.activated": ("entitlement", "An entitlement was activated"),
    "entitlement.updated": ("entitlement", "An entitlement was changed"),
    "entitlement.renewed": ("entitlement", "An entitlement was renewed"),
    "entitlement.expired": ("entitlement", "An entitlement has expired"),
    "entitlement.expires30days": ("entitlement", "An entitlement expires in 30 days"),
    "entitlement.expires7days": ("entitlement", "An entitlement expires in 7 days"),
    "entitlement.expires1day": ("entitlement", "An entitlement expires in a day"),
    "entitlement.maintenance.expired": ("entitlement", "An entitlement's maintenance has expired"),
    "entitlement.maintenance.expires30days": ("entitlement", "An entitlement's maintenance expires in 30 days"),
    "entitlement.maintenance.expires7days": ("entitlement", "An entitlement's maintenance expires in 7 days"),
    "entitlement.maintenance.expires1day": ("entitlement", "An entitlement's maintenance expires in a day"),
    "entitlement.provision": ("entitlement", "An outside system is asked to provision an entitlement"),
    "entitlement.seat.activated": ("entitlement", "A seat was activated"),
    "entitlement.seat.deactivated": ("entitlement", "A seat was deactivated"),
    "entitlement.usage.summary": ("entitlement", "Usage counters were reset at the end of a cycle"),
}
REMINDERS = {30: "expires30days", 7: "expires7days", 1: "expires1day"}


class Happened(NamedTuple):
    """One event, not sent yet. Times in `payload` are datetimes."""

    code: str
    resource: str
    at: datetime
    payload: dict[str, Any] | None


def envelope(event_id: str, happened: Happened, attempt: int) -> dict[str, Any]:
    """The body that is sent; `callAttempt` grows with each attempt, which is why a retry has another signature."""
    payload = happened.payload
    return {
        "eventId": event_id,
        "eventDate": iso(happened.at),
        "eventCode": happened.code,
        "resourceId": happened.resource,
        "callAttempt": attempt,
        "payload": payload if payload is None else {name: _plain(value) for name, value in payload.items()},
    }


def _plain(value: Any) -> Any:  # noqa: ANN401
    return iso(value) if isinstance(value, datetime) else value


Mark: TypeAlias = tuple[datetime, datetime]
"""What a plan is about: when something expires, and when it is over (grace included)."""

Times: TypeAlias = "Callable[[], Mapping[str, datetime]]"
"""What is to come, and when; asked only where it is news, since a seat that moves changes no date."""


class Due(NamedTuple):
    """Something that business time will raise, unless its entitlement's `mark` is another by then."""

    at: datetime
    number: int
    entitlement: str
    about: str
    what: str
    mark: Mark


@dataclass
class Agenda:
    """What is to come for every entitlement, soonest first. Each thing is raised once for each date that it is about.

    What lies in the past when it is planned never comes.
    """

    _heap: list[Due] = field(default_factory=list)
    _planned: dict[tuple[str, str], Mark] = field(default_factory=dict)
    _raised: set[tuple[str, str, Mark]] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _now: datetime | None = None

    def plan(self, entitlement: str, about: str, mark: Mark | None, times: Times) -> None:
        """`times` (what -> when) are to come, instead of what was planned for another `mark`; None: nothing is."""
        if mark is None:
            self._planned.pop((entitlement, about), None)
        if mark is None or self._planned.get((entitlement, about)) == mark:
            return
        self._planned[entitlement, about] = mark
        for what, at in times().items():
            heapq.heappush(self._heap, Due(at, next(self._numbers), entitlement, about, what, mark))

    def due(self, now: datetime) -> Iterator[Due]:
        """What has come due since it was asked last, in order."""
        since, self._now = self._now, now
        while self._heap and self._heap[0].at <= now:
            due = heapq.heappop(self._heap)
            key = (due.entitlement, due.what, due.mark)
            current = self._planned.get((due.entitlement, due.about)) == due.mark
            if current and key not in self._raised and since is not None and due.at > since:
                self._raised.add(key)
                yield due


def reminders(expires_at: datetime, over_at: datetime, family: str = "entitlement") -> dict[str, datetime]:
    """Code -> when, of what is said about an expiry: 30, 7 and 1 days before, and when it is over."""
    ahead = {f"{family}.{name}": expires_at - timedelta(days=days) for days, name in REMINDERS.items()}
    return ahead | {f"{family}.expired": over_at}
