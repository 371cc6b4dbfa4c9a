"""What `[connections.<name>]` with `kind = "salesforce"` may say."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.salesforce.keys import private_key
from connectors.settings import ConnectionSettings

Words = tuple[Annotated[str, Field(min_length=1, max_length=255)], ...]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
MaybeField = Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9_]{0,79})?$")]
LEAST_SECRET = 32


class Settings(ConnectionSettings):
    """One org. Either username and private_key (JWT bearer) or consumer_secret (client credentials).

    account_field   the Account field that holds what we call the customer; account_by says which of ours that is
    renewal_types   an open opportunity of one of these is a renewal, renewal_window_days on either side of the end
    currency        of amounts, in an org that has one currency alone (ISO 4217); without it they stay unknown
    api_share       of the org's daily requests, all integrations together: above it the hub waits

    What is sold there makes licenses once `organization_id` is set; then outbound_secrets or webhook_secrets say who
    may tell of it, sold_since from which day on, sells_by which object is the sale. *_field: of the line ("" where
    there is none), but product_field of Product2 and renews_field of the sale.
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

    organization_id: Annotated[str, Field(pattern=r"^00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?$")] | None = None
    outbound_secrets: tuple[SecretStr, ...] = ()
    webhook_secrets: tuple[SecretStr, ...] = ()
    livemode: bool = True
    sold_since: date | None = None
    sells_by: Literal["Opportunity", "Order", "Contract", "Asset"] = "Opportunity"
    won_stages: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()
    product_field: MaybeField = ""
    product_families: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()
    start_field: MaybeField = "License_Start__c"
    end_field: MaybeField = "License_End__c"
    months_field: MaybeField = "License_Term_Months__c"
    term_months: Annotated[int, Field(ge=0, le=1_200)] = 12
    renews_field: MaybeField = "License_Renews__c"
    entitlement_field: MaybeField = "License_Entitlement__c"
    code_field: MaybeField = "License_Code__c"
    status_field: MaybeField = "License_Status__c"
    error_field: MaybeField = "License_Error__c"
    body_limit: Annotated[int, Field(ge=1_024, le=5 * 1024 * 1024)] = 1024 * 1024  # 100 notifications

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
        self._can_sell()
        if not self.renewal_types:
            raise ValueError("renewal_types needs at least one type")
        return self

    def _can_sell(self) -> None:
        secrets = [one.get_secret_value() for one in (*self.outbound_secrets, *self.webhook_secrets)]
        if self.organization_id is None:
            if secrets:
                raise ValueError("organization_id says whose messages are taken: set it, too")
            return
        if self.sold_since is None:
            raise ValueError("sold_since is needed: the first day whose sales the hub licenses, say 2027-01-01")
        path = [one.get_secret_value() for one in self.outbound_secrets]
        if any(len(one) < LEAST_SECRET for one in path):
            raise ValueError(f"an outbound secret needs {LEAST_SECRET} characters or more")
        if not all(one and one == one.strip() for one in secrets):
            raise ValueError("a secret is blank, or has blanks around it")
        if any(not one.replace("-", "").replace("_", "").isalnum() or not one.isascii() for one in path):
            raise ValueError("an outbound secret stands in a path: letters, digits, - and _ alone")
