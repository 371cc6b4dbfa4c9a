"""Zentitle2: the vendor that licenses, and sends webhooks. `connect` says what a connection offers and asks nothing."""

from __future__ import annotations

from connectors.http import is_safe_url
from connectors.zentitle.client import Client
from connectors.zentitle.keys import Keys
from connectors.zentitle.licensing import ZentitleLicensing
from connectors.zentitle.listening import Listening
from connectors.zentitle.settings import Settings
from connectors.zentitle.webhook import EVENTS, ZentitleWebhooks
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

__all__ = ["EVENTS", "Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`. ConfigurationError where an address would carry secrets in the clear."""
    for key in ("base_url", "token_url"):
        _require_safe(name, key, getattr(settings, key))
    client = Client(settings, deps)
    keys = Keys(settings.rsa_modulus, lambda: client.account_key().n)
    licensing = ZentitleLicensing(name, client, keys, notes=settings.notes, pseudonym=deps.pseudonym)
    listening = Listening(name, client)
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        webhooks=ZentitleWebhooks(name, keys, deps.pseudonym),
        licensing=licensing,
        base_url=settings.base_url,
        check=licensing.verify_access,
        register=listening.register,
        listening=listening.check,
        body_limit=settings.body_limit,
    )


def _require_safe(name: str, key: str, url: str) -> None:
    if not is_safe_url(url):
        raise ConfigurationError(
            "must be an https address (http on this machine only), without a user name in it",
            where=f"connections.{name}.{key}",
            mend="copy it from Administration > API Credentials",
        )
