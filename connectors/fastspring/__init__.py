"""FastSpring: a vendor that sends webhooks, sells once and by subscription, and asks for activation codes."""

from __future__ import annotations

from functools import partial

from connectors.fastspring import registering
from connectors.fastspring.asking import FastSpringFulfillment
from connectors.fastspring.client import Client, safe
from connectors.fastspring.settings import Settings
from connectors.fastspring.source import purchases as source_of
from connectors.fastspring.webhook import EVENTS, FastSpringWebhooks, partly
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

__all__ = ["EVENTS", "Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing. ConfigurationError where the credentials would travel in the clear."""
    if not safe(settings):
        problem = "must be an https address (http on this machine only), without a user name in it"
        raise ConfigurationError(problem, where=f"connections.{name}.base_url")
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    keys = [key.get_secret_value() for key in settings.fulfillment_keys]
    purchases = source_of(name, Client(name, settings, deps) if settings.username else None)
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        webhooks=FastSpringWebhooks(name, secrets, livemode=settings.livemode),
        purchases=purchases,
        fulfillment=FastSpringFulfillment(name, keys, livemode=settings.livemode) if keys else None,
        partly=partly,
        catalog_key="fastspring",
        base_url=settings.base_url,
        check=purchases.check,
        register=partial(registering.to_paste, name, asks=bool(keys)),
        body_limit=settings.body_limit,
    )
