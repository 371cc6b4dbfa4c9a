"""Salesforce: where people work on renewals. `connect` says what one org offers; it asks nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from connectors.http import is_safe_url
from connectors.salesforce.crm import SalesforceCrm
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import SalesforceSetup
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

if TYPE_CHECKING:
    from connectors.salesforce.client import Client

__all__ = ["Settings", "connect"]


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
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        crm=SalesforceCrm(settings, client),
        crm_setup=setup,
        base_url=settings.base_url,
        check=setup.doctor,
    )
