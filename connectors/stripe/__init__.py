"""Stripe: a vendor that sends webhooks and sells subscriptions. `connect` says what one connection offers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from connectors.stripe import registering
from connectors.stripe.settings import Settings
from connectors.stripe.source import purchases as source_of
from connectors.stripe.webhook import EVENTS, StripeWebhooks
from hub.ports import Connector, Deps

if TYPE_CHECKING:
    from connectors.stripe.client import Client

__all__ = ["EVENTS", "Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`; sends nothing. ConfigurationError where the API key would travel in the clear.

    The stripe library (150 ms, some 20 MB) is imported only where there is an API key to use it with.
    """
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    client = _client(name, settings, deps) if settings.api_key else None
    purchases = source_of(name, client)
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        webhooks=StripeWebhooks(
            name, secrets, livemode=settings.livemode, account=settings.account, links=not purchases.can_read
        ),
        purchases=purchases,
        catalog_key="stripe",
        built_in_references="(in|pi)_",  # an invoice or payment: what Zentitle2's own integration writes
        base_url=settings.base_url,
        check=purchases.check,
        register=partial(registering.register, name, client, settings.account),
        listening=partial(registering.check, name, client) if client and not settings.account else None,
        body_limit=settings.body_limit,
    )


def _client(name: str, settings: Settings, deps: Deps) -> Client:
    from connectors.stripe.client import Client  # noqa: PLC0415 (see connect)

    return Client(name, settings, deps)
