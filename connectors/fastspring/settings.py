"""What `[connections.<name>]` with `kind = "fastspring"` may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.settings import ConnectionSettings


class Settings(ConnectionSettings):
    """One FastSpring store, live or test orders.

    webhook_secrets     every HMAC SHA256 secret that may sign now (two while one is being replaced)
    fulfillment_keys    private keys of license generators that ask for activation codes; none: nobody may ask
    username, password  API credentials; without them only what webhooks bring is known
    """

    webhook_secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]
    fulfillment_keys: tuple[SecretStr, ...] = ()
    username: SecretStr | None = None
    password: SecretStr | None = None
    livemode: bool = True
    base_url: str = "https://api.fastspring.com"
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 3
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 1024 * 1024  # posts hold many events

    @field_validator("webhook_secrets", "fulfillment_keys")
    @classmethod
    def _no_blanks(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            plain = secret.get_secret_value()
            if not plain or plain != plain.strip():
                message = "a secret is blank, or has blanks around it"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> Settings:
        if (self.username is None) != (self.password is None):
            message = "username and password go together"
            raise ValueError(message)
        if self.username is not None and ":" in self.username.get_secret_value():
            message = "a user name with a colon can't be sent (RFC 7617)"
            raise ValueError(message)
        return self
