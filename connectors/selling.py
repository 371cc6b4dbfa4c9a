"""A source of purchases, put together: read by a client where there are API credentials, else from stored objects.

What every vendor that sells has in common; knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from hub.domain import Json, Purchase, Ref
from hub.errors import PermanentError
from hub.ports import Changed, Finding, Found, Gone, SeeOther, StoredObject, Unsupported, Waiting

Find: TypeAlias = Callable[[str], StoredObject | None]
Told: TypeAlias = Found | SeeOther | Waiting | Unsupported


class Client(Protocol):
    """What reads a vendor's API; see PurchaseSource (hub/ports.py)."""

    def fetch(self, ref: Ref, about: Sequence[Ref]) -> Told | Gone:
        """What `ref` tells, read now."""

    def changes(self, since: datetime) -> Iterator[Changed]:
        """The vendor's list of changes."""

    def purchases(self) -> Iterator[Purchase]:
        """The full list."""

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say."""

    def close(self) -> None:
        """Lets connections go."""


class Kept(Protocol):
    """What stored objects tell (a vendor's stored.py); see PurchaseSource (hub/ports.py)."""

    def stored(self, body: bytes) -> Sequence[StoredObject]:
        """What an event leaves."""

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """The newest of several versions of one object."""

    def assemble(self, source: str, ref: Ref, objects: Sequence[StoredObject], find: Find) -> Told:
        """What `ref` tells, from stored objects."""

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether a look's `seen` holds what the event in `body` carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchases:
    """A `PurchaseSource` (hub/ports.py).

    client  None without API credentials
    recall  (connection, what was seen) -> the purchase
    lost    what is missing without API credentials; mend: how to get and set them
    """

    source: str
    client: Client | None = field(repr=False)
    kept: Kept
    recall: Callable[[str, Mapping[str, Json]], Purchase]
    lost: str
    mend: str

    @property
    def can_read(self) -> bool:
        """False without API credentials."""
        return self.client is not None

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Told | Gone:
        """The purchase, read now. Repeatable; RetryableError, PermanentError, UnreadableError."""
        return self._reader().fetch(ref, about)

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What the vendor lists as changed since `since`."""
        return self._reader().changes(since)

    def purchases(self) -> Iterator[Purchase]:
        """Every purchase, from list pages."""
        return self._reader().purchases()

    def stored(self, body: bytes) -> Sequence[StoredObject]:
        """What an event leaves, reduced; () where it carries nothing that counts."""
        return self.kept.stored(body)

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """The newest version of one object, whatever the order of `versions`."""
        return self.kept.newest(versions)

    def assemble(self, ref: Ref, objects: Sequence[StoredObject], find: Find) -> Told:
        """As `fetch`, from stored objects."""
        return self.kept.assemble(self.source, ref, objects, find)

    def recalled(self, seen: Mapping[str, Json]) -> Purchase:
        """The purchase that an observation stands for; UnreadableError where it is none."""
        return self.recall(self.source, seen)

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether a look's `seen` holds what the event in `body` carries; False in any doubt."""
        return self.kept.contains(seen, body)

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say; few cheap requests where there are credentials."""
        if self.client is not None:
            return self.client.check()
        return (Finding(level="warning", about=self.source, problem=self.lost, mend=self.mend),)

    def close(self) -> None:
        """Lets connections go."""
        if self.client is not None:
            self.client.close()

    def _reader(self) -> Client:
        if self.client is None:
            message = f"{self.source} has no API credentials to read with"
            raise PermanentError(message, code="needs_api_key", hint=self.mend)
        return self.client
