"""What deliveries need of a hub, without a hub.toml."""

from __future__ import annotations

from hub.outbound.deliver import Office
from hub.outbound.endpoints import Endpoints
from hub.outbound.sending import Sender
from hub.outbound.targets import allowed
from hub.store import Store

SECRET = b"a secret of the bench, as long as it must be"


def office(store: Store, drain_s: float = 600.0) -> Office:
    """An office on this record that may send to 127.0.0.1."""
    sender = Sender([allowed("127.0.0.1")])
    return Office(
        store=store, sender=sender, endpoints=Endpoints(store, sender, [SECRET]), lease_s=60.0, drain_s=drain_s
    )
