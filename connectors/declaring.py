"""A Connector out of a declared shop, its settings and its API's headers."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from connectors.declared import Shop
from connectors.declared_source import DeclaredClient, DeclaredStored
from connectors.declared_webhooks import DeclaredWebhooks
from connectors.http import Http, is_safe_url
from connectors.selling import Purchases
from connectors.settings import ConnectionSettings
from hub.errors import ConfigurationError
from hub.ports import Connector, Deps, Finding

_LOST = (
    "no API credentials: only what webhooks bring is known. No second look, no sweep (a lost webhook stays lost), no "
    "list of purchases, and sales that webhooks do not tell whole are parked"
)


class ShopSettings(ConnectionSettings):
    """What every declared shop may say; vendors add their credentials. Two secrets while one is being replaced."""

    webhook_secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 256 * 1024

    @field_validator("webhook_secrets")
    @classmethod
    def _no_blanks(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            plain = secret.get_secret_value()
            if not plain or plain != plain.strip():
                message = "a secret is blank, or has blanks around it"
                raise ValueError(message)
        return value


def connector(
    shop: Shop,
    name: str,
    settings: ShopSettings,
    deps: Deps,
    headers: Mapping[str, str] | None,
    *,
    livemode: bool = True,
    account: str | None = None,
) -> Connector:
    """The connection `name`; sends nothing. ConfigurationError where credentials would travel in the clear.

    headers: those that go with each request to the API; None: there are no credentials for it.
    account: events of another shop or store are quarantined.
    """
    base_url = settings.base_url or ""
    if not is_safe_url(base_url):
        problem = "must be an https address (http on this machine only), without a user name in it"
        raise ConfigurationError(problem, where=f"connections.{name}.base_url")
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    client = None
    if headers is not None:
        http = Http(base_url, deps, headers=headers, complaint=shop.complaint)
        client = DeclaredClient(name, shop, http, livemode=livemode)
    purchases = Purchases(
        source=name,
        client=client,
        kept=DeclaredStored(shop, livemode=livemode),
        recall=shop.purchase,
        lost=_LOST,
        mend=shop.mend.format(name=name),
    )
    return Connector(
        name=name,
        kind=settings.kind,
        ref=settings.ref or name,
        webhooks=DeclaredWebhooks(name, shop, secrets, livemode=livemode, account=account),
        purchases=purchases,
        catalog_key=shop.kind,
        base_url=base_url,
        check=purchases.check,
        register=lambda url: to_paste(shop, name, url),
        body_limit=settings.body_limit,
    )


def to_paste(shop: Shop, name: str, url: str) -> Sequence[Finding]:
    """What an operator does at the vendor so that it sends to `url`."""
    mend = shop.to_paste.format(url=url, secrets=f"connections.{name}.webhook_secrets", types=", ".join(shop.events))
    return (Finding(level="warning", about=f"{name} webhook", problem="the hub does not make it there", mend=mend),)


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP basic authentication (RFC 7617)."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def bearer(token: str) -> dict[str, str]:
    """The header of a bearer token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}
