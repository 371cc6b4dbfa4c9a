"""The public RSA keys that Zentitle2's webhooks may be signed with: configured, or read from the vendor.

Algorithm and exponent are fixed here and nothing of a request can choose another (exponent AQAB, 2,048 bits:
Nalpeiron/samples-dotnet, Webhooks.Console, read 2026). The vendor names no key and tells of no rotation, so a
fetched key is asked for again when a signature does not fit, and the old one counts on for a day.
"""

from __future__ import annotations

import base64
import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from hub.errors import HubError, RetryableError

Key: TypeAlias = RSAPublicKey
EXPONENT = 65_537
SIZES = (2_048, 3_072, 4_096)
ASK_AGAIN_S = 60.0  # a forger must not make us call the vendor for each forgery
PAUSE_S = 5.0  # between tries to get a first key
OVERLAP_S = 86_400.0
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def public_key(modulus: str) -> Key:
    """The key with this modulus (base64url); ValueError where it is none, or of a size that is not taken."""
    if not _BASE64URL.fullmatch(modulus):
        raise ValueError("is no modulus in base64url: copy RSA Modulus from Administration > API Credentials")
    bare = _bare(modulus)
    number = int.from_bytes(base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)))
    if number.bit_length() not in SIZES or not number % 2:
        raise ValueError(f"is no RSA modulus of {', '.join(map(str, SIZES))} bits ({number.bit_length()} bits)")
    return RSAPublicNumbers(EXPONENT, number).public_key()


class Keys:
    """The keys that count now. Safe for many threads; `now` is machine time in epoch seconds.

    With `moduli` those are the keys and nothing is ever asked; else `fetch` gives the vendor's modulus.
    """

    def __init__(self, moduli: Sequence[str], fetch: Callable[[], str]) -> None:
        self.fixed = bool(moduli)
        self._until = {_bare(modulus): math.inf for modulus in moduli}
        self._made = {modulus: public_key(modulus) for modulus in self._until}
        self._fetch = fetch
        self._asked_at = -math.inf
        self._lock = threading.Lock()

    def known(self, now: float) -> Sequence[Key]:
        """The keys that count; asks the vendor where none does. RetryableError: none is to be had now."""
        if not self._until:
            self._ask(now, PAUSE_S)
        if found := self._live(now):
            return found
        raise RetryableError("the key of the vendor's webhooks can't be read now", retry_after=PAUSE_S)

    def renewed(self, now: float) -> Sequence[Key]:
        """The keys that count once the vendor has been asked again, at most once a minute."""
        if not self.fixed:
            self._ask(now, ASK_AGAIN_S)
        return self._live(now)

    def admits(self, modulus: str) -> bool:
        """Whether signatures of this key count, or would once it is asked for."""
        return not self.fixed or _bare(modulus) in self._until

    def _live(self, now: float) -> Sequence[Key]:
        return [self._made[modulus] for modulus, until in list(self._until.items()) if until > now]

    def _ask(self, now: float, pause_s: float) -> None:
        """One thread asks, no other waits for it: forgeries must not fill the door. Failing changes nothing."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if abs(now - self._asked_at) >= pause_s:
                self._asked_at = now
                self._take(_bare(self._fetch()), now)
        except (HubError, ValueError):
            return
        finally:
            self._lock.release()

    def _take(self, modulus: str, now: float) -> None:
        """`modulus` is the vendor's key; those before it count for a day more."""
        self._made = self._made | {modulus: public_key(modulus)}
        older = {one: min(until, now + OVERLAP_S) for one, until in self._until.items() if one != modulus}
        self._until = {one: until for one, until in older.items() if until > now} | {modulus: math.inf}


def _bare(modulus: str) -> str:
    """Without the padding, which may be written or not."""
    return modulus.rstrip("=")
