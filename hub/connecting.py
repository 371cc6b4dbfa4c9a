"""`hub connect`: a vendor's webhooks come to this hub, or the operator knows what to paste."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hub.errors import ConfigurationError
from hub.ports import Connector, Finding
from hub.settings import Settings, is_loopback
from hub.wiring import Hub


def connect(hub: Hub, name: str) -> Sequence[Finding]:
    """Registers the webhook of connection `name` at its vendor. Repeatable. What is left to do is in the findings.

    LookupError: no connection of this name takes webhooks. ConfigurationError: public_url can't be sent to.
    A secret that the vendor tells only now is kept in a file beside hub.toml.
    """
    connector = hub.connectors.get(name)
    if connector is None or connector.webhooks is None:
        raise LookupError(name)
    url = address_of(hub.settings, name)
    _require_safe(hub.settings)
    return [_kept(hub.settings.path.parent, name, finding) for finding in _registered(connector, url)]


def address_of(config: Settings, name: str) -> str:
    """Where the hub takes the webhooks of connection `name`."""
    return f"{config.hub.public_url.rstrip('/')}/webhooks/{name}"


def _registered(connector: Connector, url: str) -> Sequence[Finding]:
    if connector.register:
        return connector.register(url)
    mend = f"make it there, for {url}"
    return [Finding(level="warning", about=connector.name, problem="its vendor has no call for a webhook", mend=mend)]


def _require_safe(config: Settings) -> None:
    """Bodies are personal data: they come over https, or stay on this machine."""
    parts = urlsplit(config.hub.public_url)
    if parts.hostname and "@" not in parts.netloc and (parts.scheme == "https" or _is_here(parts)):
        return
    raise ConfigurationError(
        "vendors can't be told to send there: it is no https address",
        where=f"{config.path} [hub] public_url",
        mend='public_url = "https://…", with a proxy before the hub that speaks TLS (docs/go-live.md)',
    )


def _is_here(parts: SplitResult) -> bool:
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def _kept(folder: Path, name: str, finding: Finding) -> Finding:
    """The finding without its secret, which now stands in a file of its own; `{file}` in `mend` is that file's name."""
    if not finding.secret:
        return finding
    file = _write(folder, name, finding.secret)
    return replace(finding, secret="", mend=finding.mend.replace("{file}", file.name))


def _write(folder: Path, name: str, secret: str) -> Path:
    """A new file for the owner alone; what is there already is never written over."""
    for file in _names(folder, name):
        try:
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(fd, "w") as opened:
            opened.write(secret + "\n")
        return file
    raise AssertionError  # the names never end


def _names(folder: Path, name: str) -> Iterator[Path]:
    for number in count(1):
        yield folder / f"{name}.webhook-secret{'' if number == 1 else f'-{number}'}"
