"""What an administrator sets up in the org so that it tells of sales: it has no call that makes an Outbound Message."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.salesforce.settings import Settings
from connectors.salesforce.shapes import SHAPES
from hub.ports import Finding


def to_paste(source: str, settings: Settings, url: str) -> Sequence[Finding]:
    """How the org comes to tell `url` of its sales. Shows no secret: its place in the path is named."""
    shape = SHAPES[settings.sells_by]
    what = " and ".join(name for name in shape.names if name != shape.line_object)
    message = (
        f"Setup > Outbound Messages > New, object {what}: Endpoint URL {url}/<the outbound secret>, no Session ID,"
        f" fields Id and SystemModstamp; then Setup > Flows > New, record-triggered on {what}, when it is won and when"
        " it stops being so, with the action Outbound Message. The hub's own user must not have Send Outbound Messages"
    )
    callout = (
        f"or deploy salesforce/callout/ (README there): Apex that signs a call to {url}, with one of webhook_secrets"
    )
    sends = "Outbound Messages end their path with a secret" if settings.outbound_secrets else "no message is taken"
    first = "" if settings.outbound_secrets else f"set connections.{source}.outbound_secrets (openssl rand -hex 32); "
    second = "" if settings.webhook_secrets else f"; first set connections.{source}.webhook_secrets"
    return (
        _finding(source, f"Salesforce has no call that makes an Outbound Message; {sends}", first + message),
        _finding(source, "a callout of the org's own code is the other way", callout + second),
    )


def _finding(source: str, problem: str, mend: str) -> Finding:
    return Finding(level="warning", about=f"{source} webhook", problem=problem, mend=mend)
