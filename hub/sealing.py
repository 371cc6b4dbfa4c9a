"""Secrets at rest: sealed with the hub's own secret, under the id of the key that did it.

Fernet: AES-128-CBC and HMAC-SHA256 (cryptography's own recipe). Keys are derived per purpose, so that what was
sealed for one can't be passed off as another's.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken

_ID_LENGTH = 8


class Seal:
    """Seals with the first of `secrets`, opens what any of them sealed. The same in every process."""

    def __init__(self, purpose: str, secrets: Sequence[bytes]) -> None:
        keys = [hashlib.sha256(purpose.encode() + b":" + secret).digest() for secret in secrets]
        self._keys = {_id_of(key): Fernet(base64.urlsafe_b64encode(key)) for key in keys}
        self._current = _id_of(keys[0])

    def shut(self, text: str) -> str:
        """`text` sealed: `<key id>:<ciphertext>`."""
        return f"{self._current}:{self._keys[self._current].encrypt(text.encode()).decode()}"

    def open(self, sealed: str) -> str | None:
        """What `shut` was given; None where no secret of ours sealed it, or it was changed."""
        id_, _, ciphertext = sealed.partition(":")
        try:
            return self._keys[id_].decrypt(ciphertext.encode()).decode()
        except (KeyError, InvalidToken):
            return None


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"id:" + key).hexdigest()[:_ID_LENGTH]
