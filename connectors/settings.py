"""What every connection in hub.toml may say; each vendor's folder adds its own keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ConnectionSettings(BaseModel):
    """`[connections.<name>]`. `ref` is the short prefix of its license references, fixed at first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: str
    ref: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,12}$")] | None = None
    base_url: str | None = None
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 5
