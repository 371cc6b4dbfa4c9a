"""Signed delivery of the emulator's events to Stripe's webhook endpoints; how it is sent: connectors.emulation_sending.

Lives on machine time. Knows events only as bodies to send.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

from connectors.emulation_sending import Delivery, Sender
from connectors.stripe.emulator_thin import Format


@dataclass(slots=True)
class Endpoint:
    """Where events go. `events` are type names (a thin endpoint's begin with `v1.`), or `*` for all.

    A `connect` endpoint gets the events of connected accounts, others the platform's own.
    """

    id: str
    url: str
    secret: str
    events: tuple[str, ...] = ("*",)
    format: Format = "current"
    connect: bool = False

    def wants(self, type_: str, *, connected: bool) -> bool:
        name = f"v1.{type_}" if self.format == "thin" else type_
        return self.connect is connected and ("*" in self.events or name in self.events)


class Deliveries(Sender):
    """A sender that knows the endpoints, and signs for each with its secret."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoints: dict[str, Endpoint] = {}

    def schedule(self, event: str, type_: str, bodies: dict[Format, bytes], *, connected: bool = False) -> None:
        """Queues the event for each endpoint that wants it, with whatever unkindness is configured."""
        for endpoint in self.wanting(type_, connected=connected):
            self.send(_delivery(event, type_, endpoint, bodies))

    def force(self, event: str, type_: str, bodies: dict[Format, bytes], *, connected: bool = False) -> int:
        """Queues the event again for each endpoint that wants it, kindly; says for how many."""
        wanting = self.wanting(type_, connected=connected)
        for endpoint in wanting:
            self.send_kindly(_delivery(event, type_, endpoint, bodies))
        return len(wanting)

    def wanting(self, type_: str, *, connected: bool = False) -> list[Endpoint]:
        """The endpoints that asked for this type, of the platform or of a connected account."""
        return [endpoint for endpoint in self.endpoints.values() if endpoint.wants(type_, connected=connected)]

    def formats(self) -> set[Format]:
        """In which formats bodies are sent."""
        return {endpoint.format for endpoint in self.endpoints.values()}


def _delivery(event: str, type_: str, endpoint: Endpoint, bodies: dict[Format, bytes]) -> Delivery:
    body = bodies[endpoint.format]

    def request(_: int) -> tuple[bytes, dict[str, str]]:
        return body, {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint.secret, int(time.time())),
        }

    return Delivery(event=event, type=type_, endpoint=endpoint.id, url=endpoint.url, request=request)


def signature(body: bytes, secret: str, now: int) -> str:
    """The Stripe-Signature header: v1 over `<t>.<body>`, the whole secret as key (stripe 16.1.0 `_webhook.py`)."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"
