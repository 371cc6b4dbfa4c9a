"""HubSpot: where people work on renewals. `connect` says what one portal offers; it asks nothing."""

from __future__ import annotations

from connectors.http import is_safe_url
from connectors.hubspot.client import Client
from connectors.hubspot.crm import HubspotCrm
from connectors.hubspot.settings import Settings
from connectors.hubspot.setup import HubspotSetup
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

__all__ = ["Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`. ConfigurationError where the address would carry the token in the clear."""
    if not is_safe_url(settings.base_url):
        raise ConfigurationError(
            "must be an https address (http on this machine only), without a user name in it",
            where=f"connections.{name}.base_url",
            mend="leave it out: it is https://api.hubapi.com for every portal",
        )
    client = Client(settings, deps)
    setup = HubspotSetup(name, settings, client)
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        crm=HubspotCrm(settings, client),
        crm_setup=setup,
        base_url=settings.base_url,
        check=setup.doctor,
    )
