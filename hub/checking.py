"""`hub check`: the record, Redis, each connection, and whether catalog and offerings cover each other."""

from __future__ import annotations

from collections.abc import Sequence

from hub.errors import ConfigurationError, HubError
from hub.ports import Connector, Finding
from hub.store import migrate, stream
from hub.wiring import Hub

STREAM_LATE_S = 60.0


def check(hub: Hub) -> list[Finding]:
    """Findings, worst first; a level "ok" says what was tested."""
    findings = [*_record(hub), *_redis(hub)]
    if findings[0].level == "error":  # rates and tokens live in the record: nothing can be asked without it
        return findings
    findings += _stream(hub)
    for connector in hub.connectors.values():
        findings += _connection(connector)
    findings += _coverage(hub)
    return sorted(findings, key=lambda one: ("error", "warning", "ok").index(one.level))


def _record(hub: Hub) -> list[Finding]:
    try:
        migrate.check_version(hub.store)
    except ConfigurationError as error:
        return [Finding(level="error", about="record", problem=error.problem, mend=error.mend)]
    except HubError as error:
        return [Finding(level="error", about="record", problem=str(error), mend="see HUB_DATABASE_URL")]
    return [Finding(level="ok", about="record", problem=f"at version {migrate.HEAD}")]


def _redis(hub: Hub) -> list[Finding]:
    if not hub.settings.hub.redis_url:
        return [Finding(level="ok", about="redis", problem="embedded: `hub up` starts it")]
    if hub.bell.alive():
        return [Finding(level="ok", about="redis", problem="answers")]
    mend = "start it, or mend HUB_REDIS_URL; the hub works without it, a second slower"
    return [Finding(level="warning", about="redis", problem="does not answer", mend=mend)]


def _stream(hub: Hub) -> Sequence[Finding]:
    with hub.store.read() as conn:
        behind_s = stream.behind_s(conn)
    if behind_s < STREAM_LATE_S:
        return []
    problem = f"events have waited {behind_s:.0f} s for their place in it"
    return [Finding(level="warning", about="stream", problem=problem, mend="is `hub clock` running?")]


def _connection(connector: Connector) -> Sequence[Finding]:
    if connector.check is None:
        return []
    try:
        found = list(connector.check())
    except ConfigurationError as error:
        return [Finding(level="error", about=connector.name, problem=error.problem, mend=error.mend)]
    except HubError as error:
        mend = getattr(error, "hint", "") or f"is {connector.base_url} right, and reachable from here?"
        return [Finding(level="error", about=connector.name, problem=str(error), mend=mend)]
    return found or [Finding(level="ok", about=connector.name, problem="credentials work")]


def _coverage(hub: Hub) -> list[Finding]:
    """Rows that name no offering, and offerings that no row sells."""
    licensing = hub.shop.licensing
    try:
        offerings = licensing.offerings()
    except (HubError, ConfigurationError):
        return []  # told by its connection
    mapped = hub.rules.catalog.skus()
    findings = [
        Finding(
            level="error",
            about="catalog",
            problem=f"sku {sku!r} is no offering",
            mend="create the offering, or correct the row",
        )
        for sku in sorted(mapped - set(offerings))
    ]
    unsold = sorted(set(offerings) - mapped)
    if unsold:
        listed = ", ".join(unsold[:8]) + (" …" if len(unsold) > 8 else "")  # noqa: PLR2004
        problem = f"{len(unsold)} offerings have no catalog row ({listed}): sold only where the vendor names the SKU"
        findings.append(Finding(level="ok", about="catalog", problem=problem))
    return findings or [Finding(level="ok", about="catalog", problem="every row names an offering")]
