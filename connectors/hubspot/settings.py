"""What `[connections.<name>]` with `kind = "hubspot"` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from connectors.settings import ConnectionSettings

Word = Annotated[str, Field(min_length=1, max_length=255)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class Settings(ConnectionSettings):
    """One portal, by the token of a private app.

    company_field   the company property that holds what we call the customer; company_by says which of ours that is
    renewal_types   an open deal of one of these is a renewal, renewal_window_days on either side of the end
    api_share       of the portal's daily requests, all private apps together: above it the hub waits
    """

    kind: Literal["hubspot"] = "hubspot"
    base_url: str = "https://api.hubapi.com"
    access_token: SecretStr
    rate_per_s: float = 8
    api_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    company_field: Name = "hs_object_id"
    company_by: Literal["account_ref", "customer_id"] = "account_ref"
    renewal_types: Annotated[tuple[Word, ...], Field(min_length=1)] = ("existingbusiness",)
    renewal_window_days: Annotated[int, Field(ge=1, le=730)] = 120
    create_renewals: bool = False
    renewal_pipeline: Word = "default"
    renewal_stage: Word = "appointmentscheduled"
