"""The private key of JWT bearer logins, and the assertions that it signs."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LEAST_BITS = 2_048
LIFE_S = 180  # Salesforce takes at most five minutes


def private_key(pem: str) -> RSAPrivateKey:
    """The RSA key in `pem`; ValueError, without a byte of it, where it is none or too short."""
    try:
        found = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("no readable private key in PEM, without a password") from None
    if not isinstance(found, RSAPrivateKey) or found.key_size < LEAST_BITS:
        raise ValueError(f"an RSA key of at least {LEAST_BITS} bits is needed")
    return found


def assertion(key: RSAPrivateKey, *, consumer_key: str, username: str, audience: str, now: float) -> str:
    """A JWT that says who logs in; good for three minutes from `now` (epoch seconds, machine time)."""
    import jwt  # noqa: PLC0415  (only who logs in needs it; settings read keys in every process)

    claims = {"iss": consumer_key, "sub": username, "aud": audience, "exp": int(now) + LIFE_S}
    return jwt.encode(claims, key, algorithm="RS256")
