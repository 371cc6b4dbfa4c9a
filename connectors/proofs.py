"""Proofs that a request is a vendor's: what is signed, where the signature stands, how it is written. Pure.

Every key is tried, found or not: a wrong secret takes as long as a right one. Compared as text in constant time:
decoding first would let other spellings of the same bytes pass.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hub.errors import VerificationError

Encoding = Literal["hex", "base64"]
TOLERANCE_PAST_S = 300
TOLERANCE_FUTURE_S = 60
_LONGEST = 4_096
_DIGITS = re.compile(r"[0-9]{1,12}")


class Proof(Protocol):
    """How a vendor proves that a request is its own; `header` is the lower-case name of where."""

    @property
    def header(self) -> str:
        """The header that carries the proof."""

    def prove(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], now: float) -> None:
        """Raises VerificationError unless one of `keys` proves `body`. `now`: machine time, epoch seconds.

        `headers` has lower-case names.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """The header is the HMAC-SHA256 of the raw body. No time is signed: event ids known for ever stand in."""

    header: str
    encoding: Encoding

    def prove(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], now: float) -> None:  # noqa: ARG002 (the port's)
        """See Proof."""
        _any_of([_plain(headers.get(self.header))], [_digest(key, body, self.encoding) for key in keys])


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedHmac:
    """The header is `<time>=<epoch seconds>;<signature>=<HMAC-SHA256 of time, joint and body>`, signatures repeated.

    The signature is judged before the time, so that old but authentic is told apart from forged.
    """

    header: str
    encoding: Encoding
    time: str
    signature: str
    between: str = ";"
    joint: bytes = b":"

    def prove(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], now: float) -> None:
        """See Proof."""
        sent_at, signatures = self._parsed(_plain(headers.get(self.header)))
        signed = sent_at.encode() + self.joint + body
        _any_of(signatures, [_digest(key, signed, self.encoding) for key in keys])
        if now - int(sent_at) > TOLERANCE_PAST_S:
            raise VerificationError("signature too old")
        if int(sent_at) - now > TOLERANCE_FUTURE_S:
            raise VerificationError("signature from the future")

    def _parsed(self, header: str) -> tuple[str, list[str]]:
        pairs = [piece.strip().partition("=")[::2] for piece in header.split(self.between)]
        times = [value for name, value in pairs if name == self.time]
        signatures = [value for name, value in pairs if name == self.signature and value]
        if len(times) != 1 or not _DIGITS.fullmatch(times[0]) or not signatures:
            raise VerificationError("malformed signature")
        return times[0], signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """The header is HTTP basic authentication (RFC 7617); each key is `user:password`. The body is not covered."""

    header: str = "authorization"

    def prove(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], now: float) -> None:  # noqa: ARG002 (the port's)
        """See Proof."""
        _any_of([_plain(headers.get(self.header))], [f"Basic {base64.b64encode(key).decode()}" for key in keys])


def _plain(header: str | None) -> str:
    if not header:
        raise VerificationError("no signature")
    if len(header) > _LONGEST or not header.isascii():
        raise VerificationError("malformed signature")
    return header


def _any_of(given: Sequence[str], expected: Sequence[str]) -> None:
    proven = False
    for one in expected:
        for signature in given:
            proven |= hmac.compare_digest(one, signature)
    if not proven:
        raise VerificationError("wrong signature")


def _digest(key: bytes, signed: bytes, encoding: Encoding) -> str:
    made = hmac.digest(key, signed, "sha256")
    return made.hex() if encoding == "hex" else base64.b64encode(made).decode()
