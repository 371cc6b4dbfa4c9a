"""What `[connections.<name>]` with `kind = "salesforce"` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.salesforce.keys import private_key
from connectors.settings import ConnectionSettings

Words = tuple[Annotated[str, Field(min_length=1, max_length=255)], ...]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]


class Settings(ConnectionSettings):
    """One org. Either username and private_key (JWT bearer) or consumer_secret (client credentials).

    account_field   the Account field that holds what we call the customer; account_by says which of ours that is
    renewal_types   an open opportunity of one of these is a renewal, renewal_window_days on either side of the end
    currency        of amounts, in an org that has one currency alone (ISO 4217); without it they stay unknown
    api_share       of the org's daily requests, all integrations together: above it the hub waits
    """

    kind: Literal["salesforce"] = "salesforce"
    base_url: str
    consumer_key: str
    username: str | None = None
    private_key: SecretStr | None = None
    consumer_secret: SecretStr | None = None
    audience: str = "https://login.salesforce.com"
    api_version: Annotated[str, Field(pattern=r"^\d\d\.0$")] = "64.0"
    rate_per_s: float = 10
    api_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    account_field: FieldName = "Id"
    account_by: Literal["account_ref", "customer_id"] = "account_ref"
    renewal_types: Words = ("Renewal", "Existing Business")
    renewal_window_days: Annotated[int, Field(ge=1, le=730)] = 120
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    create_renewals: bool = False
    renewal_stage: Annotated[str, Field(min_length=1, max_length=255)] = "Prospecting"
    tasks: bool = True
    task_within_days: Annotated[int, Field(ge=1, le=730)] = 180
    months: Annotated[int, Field(ge=0, le=36)] = 24
    bulk_above: Annotated[int, Field(ge=200)] = 2_000

    @field_validator("private_key")
    @classmethod
    def _key_is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            private_key(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _can_log_in(self) -> Settings:
        by_key = self.username is not None and self.private_key is not None
        if by_key == (self.consumer_secret is not None):
            raise ValueError("needs either username and private_key, or consumer_secret")
        if not self.renewal_types:
            raise ValueError("renewal_types needs at least one type")
        return self
