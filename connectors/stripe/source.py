"""Stripe as a source of purchases: read by API key where there is one, else put together from stored objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connectors.selling import Purchases
from connectors.stripe import oneoff, purchase, stored
from hub.domain import Json, Purchase

if TYPE_CHECKING:
    from connectors.stripe.client import Client

_LOST = (
    "no api_key: only what webhooks bring is known. No second look and no sweep (a lost webhook stays lost), "
    "no list of purchases, no subscriptions of more than ten items, no thin events"
)


def purchases(source: str, client: Client | None) -> Purchases:
    """The connection's `PurchaseSource`; `client` is None without an API key."""
    mend = f"create a restricted key with read access and set connections.{source}.api_key"
    return Purchases(source=source, client=client, kept=stored, recall=_recalled, lost=_LOST, mend=mend)


def _recalled(source: str, seen: Mapping[str, Json]) -> Purchase:
    read = oneoff.from_seen if "session" in seen else purchase.from_seen
    return read(source, seen)
