"""FastSpring as a source of purchases: read by API where there are credentials, else from stored objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from connectors.fastspring import purchase, stored
from connectors.fastspring.client import Client
from hub.domain import Json, Purchase, Ref
from hub.errors import PermanentError
from hub.ports import Changed, Finding, Found, Gone, SeeOther, StoredObject, Unsupported, Waiting

_LOST = (
    "no username and password: only what webhooks bring is known. No second look, no sweep (a lost webhook stays lost) "
    "and no list of purchases; with webhook expansion off subscriptions of charges are not told"
)


class FastSpringPurchases:
    """A `PurchaseSource` (hub/ports.py); `client` is None without API credentials."""

    def __init__(self, source: str, client: Client | None) -> None:
        self._source, self._client = source, client

    @property
    def can_read(self) -> bool:
        """False without API credentials."""
        return self._client is not None

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | SeeOther | Gone | Waiting | Unsupported:
        """The purchase, read now. Repeatable; RetryableError, PermanentError, UnreadableError."""
        match ref.kind:
            case "subscription":
                return self._reader().subscription(ref, about)
            case "order":
                return self._reader().order(ref, about)
            case "return":
                return self._reader().returned(ref)
        return Unsupported(because=f"{ref.kind} is nothing that is looked at")

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What events since `since` speak of; FastSpring lists the last 30 days."""
        return self._reader().changes(since)

    def purchases(self) -> Iterator[Purchase]:
        """Every subscription, ended ones too, and every order that sold something once; without buyers' names."""
        return self._reader().purchases()

    def stored(self, body: bytes) -> Sequence[StoredObject]:
        """What an event leaves, reduced; () where it carries nothing that counts."""
        return stored.stored(body)

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """The newest version of one object, whatever the order of `versions`."""
        return stored.newest(versions)

    def assemble(
        self, ref: Ref, objects: Sequence[StoredObject], find: Callable[[str], StoredObject | None]
    ) -> Found | SeeOther | Waiting | Unsupported:
        """As `fetch`, from stored objects."""
        return stored.assemble(self._source, ref, objects, find)

    def recalled(self, seen: Mapping[str, Json]) -> Purchase:
        """The purchase that an observation stands for; UnreadableError where it is none."""
        return purchase.from_seen(self._source, seen)

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether a look's `seen` holds what the event in `body` carries; False in any doubt."""
        return stored.contains(seen, body)

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say; three cheap requests where there are credentials."""
        if self._client is not None:
            return self._client.check()
        mend = f"create API credentials and set connections.{self._source}.username and password"
        return (Finding(level="warning", about=self._source, problem=_LOST, mend=mend),)

    def close(self) -> None:
        """Lets connections go."""
        if self._client is not None:
            self._client.close()

    def _reader(self) -> Client:
        if self._client is None:
            message = f"{self._source} has no API credentials to read with"
            hint = f"set connections.{self._source}.username and password"
            raise PermanentError(message, code="needs_api_key", hint=hint)
        return self._client
