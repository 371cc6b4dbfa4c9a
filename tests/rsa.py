"""RSA keys for tests: one a name and size, made once a run; and signatures written here, not by what is tested."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256


@cache
def rsa_key(name: str, bits: int = 2_048) -> rsa.RSAPrivateKey:  # each name has its own
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def modulus_of(key: rsa.RSAPrivateKey) -> str:
    """As Zentitle2 writes it: base64url without padding."""
    number = key.public_key().public_numbers().n
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


def an_rsa_signature(body: bytes, key: rsa.RSAPrivateKey) -> str:
    """RSASSA-PKCS1-v1_5 over SHA-256, in standard Base64."""
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), SHA256())).decode()
