"""`hub check`: the record, Redis, each connection, and whether catalog, offerings and sales cover each other."""

from __future__ import annotations

from collections.abc import Sequence

from hub import adopting, coverage
from hub.connecting import address_of
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
        findings += _listening(hub, connector)
    findings += [*_coverage(hub), *_unadopted(hub)]
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


def _listening(hub: Hub, connector: Connector) -> Sequence[Finding]:
    """Whether the vendor sends to this hub; nothing where it can't be asked now, which its connection tells."""
    if connector.listening is None:
        return []
    try:
        return connector.listening(address_of(hub.settings, connector.name))
    except (ConfigurationError, HubError):
        return []


def _unadopted(hub: Hub) -> list[Finding]:
    """Whether licenses that were there before the hub are still to be taken up."""
    try:
        one = adopting.unadopted(hub.store, hub.connectors, hub.shop.licensing)
    except (HubError, ConfigurationError):
        return []  # told by its connection
    return [adopting.finding(hub.licensing.name, one)] if one else []


def _coverage(hub: Hub) -> list[Finding]:
    try:
        offerings = hub.shop.licensing.offerings()
    except (HubError, ConfigurationError):
        return []  # told by its connection
    return coverage.findings(hub, sorted(offerings))
