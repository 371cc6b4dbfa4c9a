"""The emulated tenant's webhook listeners: signed delivery of its events; how it is sent: connectors.emulation_sending.

Envelope and signature: Nalpeiron/samples-dotnet Webhooks.Console and the client generated from 2025-10-10, read 2026.
The schedule of retries is not documented: it is the sender's own.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.emulation_sending import Delivery, Sender
from connectors.zentitle.emulator_events import Happened, envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEEP = 100_000
TEST_CODE = "webhook.test"  # the real one is not documented


@dataclass(frozen=True, slots=True)
class Listener:
    """Where events of these codes go."""

    id: str
    uri: str
    subscriptions: tuple[str, ...]

    def model(self) -> dict[str, Any]:
        """WebhookModel."""
        return {"id": self.id, "uri": self.uri, "subscriptions": list(self.subscriptions)}


class Deliveries(Sender):
    """A sender that knows the listeners and keeps the events. `key` is the tenant's at the moment of signing."""

    def __init__(self, key: Callable[[], RSAPrivateKey], seed: int) -> None:
        super().__init__()
        self.listeners: dict[str, Listener] = {}
        self.events: deque[tuple[str, Happened]] = deque(maxlen=KEEP)
        self._key = key
        self._ids = random.Random(f"events of {seed}")
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def publish(self, happened: Happened) -> None:
        """Keeps an event, and queues it for each listener that wants its code, as unkindly as is configured."""
        event = self._new(happened)
        for listener in self._wanting(happened.code):
            self.send(self._delivery(event, happened, listener))

    def test(self, listener: Listener, now: datetime) -> None:
        """A new event without a payload about the listener itself; sent once, whatever the answer."""
        happened = Happened(TEST_CODE, listener.id, now, None)
        delivery = self._delivery(self._new(happened), happened, listener)
        delivery.tries = 1
        self.send_kindly(delivery)

    def again(self, ids: Iterable[str] | None = None) -> int:
        """Queues these events (None: all that got no 2xx) again, kindly; says how many deliveries that makes."""
        wanted = self.missed() if ids is None else set(ids)
        repeated = [
            self._delivery(event, happened, listener)
            for event, happened in list(self.events)
            if event in wanted
            for listener in self._wanting(happened.code)
        ]
        for delivery in repeated:
            self.send_kindly(delivery)
        return len(repeated)

    def bodies(self) -> list[dict[str, Any]]:
        """The events so far, oldest first, as they are sent at first."""
        return [envelope(event, happened, 1) for event, happened in list(self.events)]

    def tried(self) -> list[dict[str, Any]]:
        """Event, listener, attempts and state (delivered, pending, failed, dropped) of every delivery."""
        states = {(row["event"], row["url"]): row["state"] for row in self.undelivered()}
        urls = {listener.id: listener.uri for listener in list(self.listeners.values())}
        with self._lock:
            rows = list(self._attempts.items())
        return [
            {"event": event, "url": url, "attempts": attempts, "state": states.get((event, url), "delivered")}
            for (event, listener), attempts in rows
            for url in [urls.get(listener, "")]
        ]

    def _new(self, happened: Happened) -> str:
        event = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        self.events.append((event, happened))
        return event

    def _wanting(self, code: str) -> list[Listener]:
        return [listener for listener in list(self.listeners.values()) if code in listener.subscriptions]

    def _delivery(self, event: str, happened: Happened, listener: Listener) -> Delivery:
        def request(_: int) -> tuple[bytes, dict[str, str]]:
            with self._lock:
                self._attempts[event, listener.id] += 1
                attempt = self._attempts[event, listener.id]
            body = json.dumps(envelope(event, happened, attempt), separators=(",", ":")).encode()
            return body, {"Content-Type": "application/json", "N-Signature": signature(body, self._key())}

        return Delivery(event=event, type=happened.code, endpoint=listener.id, url=listener.uri, request=request)


def signature(body: bytes, key: RSAPrivateKey) -> str:
    """The N-Signature header: RSASSA-PKCS1-v1_5 with SHA-256 over the exact bytes, in standard Base64."""
    return base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()
