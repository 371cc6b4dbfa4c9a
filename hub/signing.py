"""Signatures of what the hub sends: Standard Webhooks (standardwebhooks.com, specification 1.0, `v1`). Pure.

A secret is `whsec_` and 24 to 64 random bytes in base64. Several may be live while one is being replaced: a message
carries a signature by each, and its receiver takes any.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A signing secret. not_after: epoch seconds from which on it signs no more, None for the current one."""

    text: str
    not_after: float | None = None


def secret_of(random: bytes) -> str:
    """The secret that these random bytes are. ValueError where they are too few or too many."""
    if not FEWEST_BYTES <= len(random) <= MOST_BYTES:
        raise ValueError(f"a secret has {FEWEST_BYTES} to {MOST_BYTES} bytes")
    return PREFIX + base64.b64encode(random).decode()


def is_secret(text: str) -> bool:
    """Whether `text` is a secret that receivers' libraries take."""
    try:
        return (
            text.startswith(PREFIX)
            and FEWEST_BYTES <= len(base64.b64decode(text.removeprefix(PREFIX), validate=True)) <= MOST_BYTES
        )
    except binascii.Error:
        return False


def live(secrets: Sequence[Secret], now: float) -> tuple[Secret, ...]:
    """Those that sign at `now` (epoch seconds), the newest first."""
    return tuple(one for one in secrets if one.not_after is None or now < one.not_after)


def headers(secrets: Sequence[Secret], message: str, at: datetime, body: str) -> Mapping[str, str]:
    """The three headers of an attempt, signed with every one of `secrets`. ValueError where there is none."""
    if not secrets:
        raise ValueError("nothing signs")
    signatures = [Webhook(one.text).sign(message, at, body) for one in secrets]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
