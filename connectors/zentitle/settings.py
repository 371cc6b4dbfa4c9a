"""What `[connections.<name>]` with `kind = "zentitle"` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from connectors.settings import ConnectionSettings
from connectors.zentitle.keys import public_key


def _listed(value: object) -> object:
    """One text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


class Settings(ConnectionSettings):
    """One Zentitle2 tenant. All but the tuning is on the vendor's API Credentials page.

    rsa_modulus  the keys that webhooks may be signed with, each as base64url (two while one is being replaced);
                 none: the key is read from the vendor
    """

    kind: Literal["zentitle"] = "zentitle"
    base_url: str
    token_url: str
    tenant_id: str
    client_id: str
    client_secret: SecretStr
    rsa_modulus: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    rate_per_s: float = 5
    notes: bool = True
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 256 * 1024
    api_version: Literal["2025-10-10"] = "2025-10-10"

    @field_validator("rsa_modulus")
    @classmethod
    def _keys_are_strong(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for modulus in value:
            public_key(modulus)
        return value
