"""Lemon Squeezy: a vendor that sends webhooks and sells once and by subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from connectors.declaring import ShopSettings, bearer, connector
from connectors.lemonsqueezy.shop import LEMONSQUEEZY
from hub.ports import Connector, Deps

EVENTS = {type_: tells.fact for type_, tells in LEMONSQUEEZY.events.items()}
__all__ = ["EVENTS", "Settings", "connect"]


class Settings(ShopSettings):
    """One store. `api_key`: of the same mode; `store`: its id, events of other stores are quarantined."""

    api_key: SecretStr | None = None
    store: str | None = None
    livemode: bool = True
    base_url: str = "https://api.lemonsqueezy.com"
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 4


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing."""
    key = settings.api_key
    headers = bearer(key.get_secret_value()) | {"Accept": "application/vnd.api+json"} if key else None
    return connector(LEMONSQUEEZY, name, settings, deps, headers, livemode=settings.livemode, account=settings.store)
