"""Zentitle2: the vendor that licenses. `connect` says what one connection offers; nothing is requested by it."""

from __future__ import annotations

from connectors.http import is_safe_url
from connectors.zentitle.client import Client, Settings
from connectors.zentitle.licensing import ZentitleLicensing
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps

__all__ = ["Settings", "connect"]


def connect(name: str, settings: Settings, deps: Deps) -> Connector:
    """The connection `name`. ConfigurationError where an address would carry secrets in the clear."""
    for key in ("base_url", "token_url"):
        _require_safe(name, key, getattr(settings, key))
    licensing = ZentitleLicensing(
        name, Client(settings, deps), notes=settings.notes, has_key=settings.rsa_modulus is not None
    )
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        licensing=licensing,
        base_url=settings.base_url,
        check=licensing.verify_access,
    )


def _require_safe(name: str, key: str, url: str) -> None:
    if not is_safe_url(url):
        raise ConfigurationError(
            "must be an https address (http on this machine only), without a user name in it",
            where=f"connections.{name}.{key}",
            mend="copy it from Administration > API Credentials",
        )
