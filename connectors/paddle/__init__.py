"""Paddle Billing: a vendor that sends webhooks and sells once and by subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from connectors.declaring import ShopSettings, bearer, connector
from connectors.paddle.shop import PADDLE
from hub.ports import Connector, Deps

EVENTS = {type_: tells.fact for type_, tells in PADDLE.events.items()}
__all__ = ["EVENTS", "Settings", "connect"]


class Settings(ShopSettings):
    """One Paddle account, live or sandbox: they have hosts and keys of their own."""

    api_key: SecretStr | None = None
    base_url: str = "https://api.paddle.com"
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 3


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing."""
    key = settings.api_key
    headers = bearer(key.get_secret_value()) | {"Paddle-Version": "1"} if key else None
    return connector(PADDLE, name, settings, deps, headers)
