"""What `[connections.<name>]` with `kind = "stripe"` may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from connectors.settings import ConnectionSettings


class Settings(ConnectionSettings):
    """One Stripe account, live or test.

    api_key          secret or restricted key (read subscriptions, invoices, customers, events); None: only
                     what webhooks bring is known
    webhook_secrets  whole whsec_ texts, every one that may sign now (two while one is being replaced)
    account          a connected account: asked for on every call, and the only one whose events are taken
    """

    api_key: SecretStr | None = None
    webhook_secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]
    livemode: bool = True
    account: Annotated[str, Field(pattern=r"^acct_[A-Za-z0-9]{1,64}$")] | None = None
    base_url: str = "https://api.stripe.com"
    # 100 a second live and 25 in a sandbox, for the whole account (docs.stripe.com/rate-limits): others use it too.
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 15
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 256 * 1024

    @field_validator("webhook_secrets", "api_key")
    @classmethod
    def _no_blanks(cls, value: SecretStr | tuple[SecretStr, ...] | None) -> SecretStr | tuple[SecretStr, ...] | None:
        secrets = value if isinstance(value, tuple) else () if value is None else (value,)
        for secret in secrets:
            plain = secret.get_secret_value()
            if not plain or plain != plain.strip() or not plain.isascii():
                message = "a secret is blank, has blanks around it, or is no ASCII text"
                raise ValueError(message)
        return value
