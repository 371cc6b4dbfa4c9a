"""Signed samples: one of each type to a URL (`hub endpoints test`), one to an endpoint; and code that verifies them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from hub import __version__, signing
from hub.errors import PermanentError
from hub.outbound.sending import Answer, Sender
from hub.outbound.targets import Refused
from hub.signing import Secret, is_secret, secret_of
from hub.stream import catalog

if TYPE_CHECKING:
    from hub.outbound.deliver import Office
    from hub.store.outbound import Endpoint

_PYTHON = '''\
# pip install standardwebhooks
from standardwebhooks import Webhook

def verified(body: bytes, headers: dict[str, str], secret: str) -> dict:
    """The event; WebhookVerificationError where the hub did not send it just now. `body`: the raw bytes."""
    return Webhook(secret).verify(body, headers)
'''
_NODE = """\
// npm install standardwebhooks
import { Webhook } from "standardwebhooks";

// The event; throws where the hub did not send it just now. body: the raw text, before any JSON.parse.
export function verified(body, headers, secret) {
  return new Webhook(secret).verify(body, headers);
}
"""
_SHELL = """\
# SECRET=whsec_...  ID, TIMESTAMP: the headers webhook-id and webhook-timestamp; the body is in the file `body`
KEY=$(printf %s "${SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')
{ printf '%s.%s.' "$ID" "$TIMESTAMP"; cat body; } |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | openssl base64 -A
# this is one of the signatures in webhook-signature, after "v1,"; and TIMESTAMP is within 5 minutes of now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was answered to each sample, and the secret that signed them."""

    secret: str
    answers: Sequence[tuple[str, Answer]]

    @property
    def all_taken(self) -> bool:
        """Whether each was answered with 2xx."""
        return all(one.status is not None and 200 <= one.status < 300 for _, one in self.answers)  # noqa: PLR2004

    def rows(self) -> list[dict[str, object]]:
        """A row a type."""
        return [
            {"type": type_, "answer": one.status or one.error, "seconds": round(one.seconds, 3)}
            for type_, one in self.answers
        ]


def send(sender: Sender, url: str, secret: str = "") -> Told:
    """Sends a sample of each type. PermanentError where `url` may not be an endpoint's, or `secret` is none."""
    if secret and not is_secret(secret):
        raise PermanentError("that is no signing secret", hint="whsec_ and 24 to 64 bytes in base64")
    try:
        sender.check(url)
    except Refused as error:
        raise PermanentError(error.problem, hint=error.mend) from None
    secret = secret or secret_of(secrets.token_bytes(32))
    signers = (Secret(text=secret),)
    return Told(secret=secret, answers=[(one.name, _send(sender, url, signers, one)) for one in catalog.types()])


def send_one(office: Office, of: Endpoint, name: str) -> Answer:
    """Sends a sample of a type to an endpoint, as its messages are sent. PermanentError: there is no such type."""
    found = next((one for one in catalog.types() if name in {one.name, one.example["type"]}), None)
    if found is None:
        names = ", ".join(one.name for one in catalog.types())
        raise PermanentError(f"there is no type {name[:100]!r}", hint=f"one of {names}")
    signers, own = office.endpoints.signing(of, time.time()), office.endpoints.headers(of)
    return _send(office.sender, of.url, signers, found, own)


def _send(
    sender: Sender,
    url: str,
    signers: Sequence[Secret],
    one: catalog.EventType,
    own: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    body = json.dumps(one.example, separators=(",", ":"))
    headers = signing.headers(signers, str(one.example["id"]), datetime.now(UTC), body)
    fixed = {"Content-Type": "application/json", "User-Agent": f"licensing-hub/{__version__}"}
    return sender.post(url, {**fixed, **own, **headers}, body.encode())


def verifiers() -> dict[str, str]:
    """Code to copy: language -> text."""
    return {"Python": _PYTHON, "Node": _NODE, "shell": _SHELL}
