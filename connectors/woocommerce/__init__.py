"""WooCommerce, with or without WooCommerce Subscriptions: sends webhooks, sells once and by subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from connectors.declaring import ShopSettings, basic, connector
from connectors.woocommerce.shop import WITHOUT_SUBSCRIPTIONS, WOOCOMMERCE
from hub.ports import Connector, Deps

EVENTS = {type_: tells.fact for type_, tells in WOOCOMMERCE.events.items()}
__all__ = ["EVENTS", "Settings", "connect"]


class Settings(ShopSettings):
    """One shop.

    subscriptions  whether the extension WooCommerce Subscriptions is there: then each order may have begun some
    shop           its address as webhooks name it; events of other shops are quarantined
    """

    consumer_key: SecretStr | None = None
    consumer_secret: SecretStr | None = None
    subscriptions: bool = True
    shop: str | None = None
    base_url: str
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 2
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 1024 * 1024  # orders carry every plugin's texts

    @model_validator(mode="after")
    def _both_or_neither(self) -> Settings:
        if (self.consumer_key is None) != (self.consumer_secret is None):
            message = "consumer_key and consumer_secret go together"
            raise ValueError(message)
        return self


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing."""
    key, secret = settings.consumer_key, settings.consumer_secret
    headers = basic(key.get_secret_value(), secret.get_secret_value()) if key and secret else None
    declared = WOOCOMMERCE if settings.subscriptions else WITHOUT_SUBSCRIPTIONS
    return connector(declared, name, settings, deps, headers, account=settings.shop)
