"""Salesforce: where people work on renewals, and close sales. `connect` says what an org offers; it asks nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from connectors.http import is_safe_url
from connectors.salesforce import registering
from connectors.salesforce.crm import SalesforceCrm
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import SalesforceSetup
from connectors.salesforce.shapes import SHAPES
from connectors.salesforce.sold import sold
from connectors.salesforce.source import SalesforcePurchases
from connectors.salesforce.webhook import EVENTS, SalesforceWebhooks, replying
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

if TYPE_CHECKING:
    from connectors.salesforce.client import Client

__all__ = ["EVENTS", "Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`. ConfigurationError where the address would carry tokens in the clear."""
    if not is_safe_url(settings.base_url):
        raise ConfigurationError(
            "must be an https address (http on this machine only), without a user name in it",
            where=f"connections.{name}.base_url",
            mend="copy it from Setup > My Domain: https://acme.my.salesforce.com",
        )

    @cache
    def client() -> Client:
        from connectors.salesforce.client import Client  # noqa: PLC0415  (simple-salesforce costs 30 MB and 400 ms)

        return Client(settings, deps)

    setup = SalesforceSetup(name, settings, client)
    crm_only = Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        crm=SalesforceCrm(settings, client),
        crm_setup=setup,
        base_url=settings.base_url,
        check=setup.doctor,
    )
    return _selling(crm_only, settings, client) if settings.organization_id else crm_only


def _selling(crm_only: Connector, settings: Settings, client: Callable[[], Client]) -> Connector:
    """The connection, whose sales make licenses, too."""
    name, organization = crm_only.name, settings.organization_id or ""
    outbound = [secret.get_secret_value() for secret in settings.outbound_secrets]
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    shape = SHAPES[settings.sells_by]
    return replace(
        crm_only,
        webhooks=SalesforceWebhooks(name, organization, shape, outbound=outbound, secrets=secrets),
        purchases=SalesforcePurchases(name, settings, client),
        replying=replying,
        sold=partial(sold, settings),
        catalog_key="salesforce",
        register=partial(registering.to_paste, name, settings),
        body_limit=settings.body_limit,
    )
