"""Stripe as a source of purchases: read by API key where there is one, else put together from stored objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.stripe import oneoff, purchase, stored
from connectors.stripe.webhook import POINTERS
from hub.domain import Json, Purchase, Ref
from hub.errors import PermanentError
from hub.ports import Changed, Finding, Found, Gone, SeeOther, StoredObject, Unsupported, Waiting

if TYPE_CHECKING:
    from connectors.stripe.client import Client

_LOST = (
    "no api_key: only what webhooks bring is known. No second look and no sweep (a lost webhook stays lost), "
    "no list of purchases, no subscriptions of more than ten items, no thin events"
)


class StripePurchases:
    """A `PurchaseSource` (hub/ports.py); `client` is None without an API key."""

    def __init__(self, source: str, client: Client | None) -> None:
        self._source, self._client = source, client

    @property
    def can_read(self) -> bool:
        """False without an API key."""
        return self._client is not None

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | SeeOther | Gone | Waiting | Unsupported:
        """The purchase, read now. Repeatable; RetryableError, PermanentError, UnreadableError."""
        if ref.kind == "subscription":
            return self._reader().subscription(ref, about)
        if ref.kind == "checkout":
            return self._reader().checkout(ref, about)
        return self._reader().leads_to(ref) if ref.kind in POINTERS else stored.without_purchase(ref)

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What events since `since` speak of; Stripe lists the last 30 days."""
        return self._reader().changes(since)

    def purchases(self) -> Iterator[Purchase]:
        """Every subscription, ended ones too, and every completed one-off checkout, from list pages alone.

        A line that they don't decide has paid_until None; a checkout has no lines.
        """
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
        read = oneoff.from_seen if "session" in seen else purchase.from_seen
        return read(self._source, seen)

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether a look's `seen` holds what the event in `body` carries; False in any doubt."""
        return stored.contains(seen, body)

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say; one cheap request where there is an API key."""
        if self._client is None:
            mend = f"create a restricted key with read access and set connections.{self._source}.api_key"
            return (Finding(level="warning", about=self._source, problem=_LOST, mend=mend),)
        return self._client.check()

    def close(self) -> None:
        """Lets connections go."""
        if self._client is not None:
            self._client.close()

    def _reader(self) -> Client:
        if self._client is None:
            message = f"{self._source} has no API key to read with"
            raise PermanentError(message, code="needs_api_key", hint=f"set connections.{self._source}.api_key")
        return self._client
