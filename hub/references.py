"""The references that the hub writes into Zentitle2 (docs/adr/0001). Pure, deterministic, never random."""

from __future__ import annotations

import base64
import hashlib
import hmac

LONGEST = 50


def reference(prefix: str, id_: str) -> str:
    """`<prefix>:<id>`; longer than 50 characters: `<prefix>:h:` and the first 32 hex of SHA-256(id)."""
    plain = f"{prefix}:{id_}"
    if len(plain) <= LONGEST:
        return plain
    return f"{prefix}:h:{hashlib.sha256(id_.encode()).hexdigest()[:32]}"


def activation_code(secret: bytes, order_ref: str) -> str:
    """The first 20 characters of base32(HMAC-SHA256(secret, order reference)) in four groups of five."""
    digest = base64.b32encode(hmac.digest(secret, order_ref.encode(), "sha256")).decode()
    return "-".join(digest[start : start + 5] for start in range(0, 20, 5))


def pseudonym(secret: bytes, personal_id: str) -> str:
    """The first 16 hex of HMAC-SHA256(secret, id): tells two persons apart, and nobody who they are.

    Stable as long as the hub's secret is.
    """
    return hmac.digest(secret, b"pseudonym:" + personal_id.encode(), "sha256").hex()[:16]
