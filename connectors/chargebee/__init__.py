"""Chargebee: a vendor that sends webhooks and sells once and by subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from connectors.chargebee.shop import CHARGEBEE
from connectors.declaring import ShopSettings, basic, connector
from hub.ports import Connector, Deps

EVENTS = {type_: tells.fact for type_, tells in CHARGEBEE.events.items()}
__all__ = ["EVENTS", "Settings", "connect"]


class Settings(ShopSettings):
    """One Chargebee site, live or test: they are sites of their own. Each of `webhook_secrets` is `user:password`."""

    api_key: SecretStr | None = None
    base_url: str
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 2

    @field_validator("webhook_secrets")
    @classmethod
    def _pairs(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(all(secret.get_secret_value().partition(":")[::2]) for secret in value):
            message = "each is the webhook's user name, a colon and its password"
            raise ValueError(message)
        return value


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing."""
    key = settings.api_key
    return connector(CHARGEBEE, name, settings, deps, basic(key.get_secret_value(), "") if key else None)
