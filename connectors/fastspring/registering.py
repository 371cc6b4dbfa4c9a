"""What an operator pastes into FastSpring: it has no call that makes a webhook or a license generator."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.fastspring.webhook import EVENTS
from hub.ports import Finding


def to_paste(source: str, url: str, *, asks: bool) -> Sequence[Finding]:
    """How FastSpring comes to send to `url`, and to ask for activation codes. `asks`: a key for that is set."""
    hook = (
        f"Developer Tools > Webhooks > Configuration > Add Webhook: URL {url}, an HMAC SHA256 Secret of your own, "
        f"the same in connections.{source}.webhook_secrets, webhook expansion on, and these events: {', '.join(EVENTS)}"
    )
    asking = (
        "product > Fulfillments > Generate a License > Remote Server Request: URL "
        f"{url.replace('/webhooks/', '/fulfillment/')}, method POST, private key as in fulfillment_keys, and the "
        "parameters product (its path), order (the order's id), subscription (its id, empty where there is none), test"
    )
    key = "" if asks else f"; first set connections.{source}.fulfillment_keys, else nobody may ask"
    return (
        _finding(source, "FastSpring has no call that makes a webhook", hook),
        _finding(source, "activation codes are shown to buyers where each product asks for them", asking + key),
    )


def _finding(source: str, problem: str, mend: str) -> Finding:
    return Finding(level="warning", about=f"{source} webhook", problem=problem, mend=mend)
