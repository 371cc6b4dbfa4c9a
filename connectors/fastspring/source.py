"""FastSpring as a source of purchases: read by API where there are credentials, else from stored objects."""

from __future__ import annotations

from connectors.fastspring import purchase, stored
from connectors.fastspring.client import Client
from connectors.selling import Purchases

_LOST = (
    "no username and password: only what webhooks bring is known. No second look, no sweep (a lost webhook stays lost) "
    "and no list of purchases; with webhook expansion off subscriptions of charges are not told"
)


def purchases(source: str, client: Client | None) -> Purchases:
    """The connection's `PurchaseSource`; `client` is None without API credentials."""
    mend = f"create API credentials and set connections.{source}.username and password"
    return Purchases(source=source, client=client, kept=stored, recall=purchase.from_seen, lost=_LOST, mend=mend)
