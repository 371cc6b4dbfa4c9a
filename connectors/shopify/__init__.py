"""Shopify: a vendor that sends webhooks and sells once. Its subscriptions are shown, and not licensed yet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from connectors.declaring import ShopSettings, connector
from connectors.shopify.shop import SHOPIFY
from hub.ports import Connector, Deps

EVENTS = {type_: tells.fact for type_, tells in SHOPIFY.events.items()}
__all__ = ["EVENTS", "Settings", "connect"]


class Settings(ShopSettings):
    """One shop.

    webhook_secrets  the app's client secrets; Shopify may sign with the old one for an hour after a change
    shop             its `name.myshopify.com`; events of other shops are quarantined
    """

    access_token: SecretStr | None = None
    shop: str | None = None
    livemode: bool = True
    base_url: str
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 2
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 1024 * 1024


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing."""
    token = settings.access_token
    headers = {"X-Shopify-Access-Token": token.get_secret_value()} if token else None
    return connector(SHOPIFY, name, settings, deps, headers, livemode=settings.livemode, account=settings.shop)
