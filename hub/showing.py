"""The commands that show seat use to others: links to the customer's page, and the monthly digest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hub import portal

if TYPE_CHECKING:
    from hub.wiring import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A link as it is handed out."""

    url: str
    until: str


def link(hub: Hub, account: str, days: int, who: str) -> Told | None:
    """A new link to the account's page; None where nothing of the account was judged."""
    if hub.portfolio.account(account) is None:
        return None
    token, made = portal.make(hub.store, hub.settings.secrets, account, days=days, now=time.time(), who=who)
    until = datetime.fromtimestamp(made.expires_at, UTC).isoformat().replace("+00:00", "Z")
    return Told(url=f"{hub.settings.hub.public_url.rstrip('/')}/portal/{token}", until=until)


def write_digest(hub: Hub, folder: Path) -> list[Path]:
    """Writes digest.html, digest.eml and the PNG files into `folder`; the files, or none where nothing was judged."""
    from hub.usage.digest import digest, message  # noqa: PLC0415  (numpy, and the chart renderer)

    made = digest(hub.portfolio)
    if made is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = {"digest.html": made.html.encode(), "digest.eml": bytes(message(made))}
    files |= {one.name: one.data for one in made.pictures}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
