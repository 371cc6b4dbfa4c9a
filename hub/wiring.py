"""The composition root: settings in, a working hub out. The only hub module that imports connectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import ModuleType

import structlog
from sqlalchemy import Connection

import connectors.chargebee
import connectors.fastspring
import connectors.hubspot
import connectors.lemonsqueezy
import connectors.paddle
import connectors.salesforce
import connectors.shopify
import connectors.stripe
import connectors.woocommerce
import connectors.zentitle
from hub import adopting, catalog, settings
from hub.bell import Bell
from hub.collecting.collector import Collector
from hub.collecting.portfolio import RecordPortfolio
from hub.drawing import Drawer
from hub.errors import ConfigurationError, HubError
from hub.limits import RecordLimiter, RecordTokens
from hub.log import hide, secrets_in
from hub.outbound.deliver import Office
from hub.outbound.endpoints import Endpoints
from hub.outbound.sending import TOTAL_S, Sender
from hub.policy import Rules
from hub.ports import Connector, Deps, Finding
from hub.reconcile import CUSTOMERS_LISTED, Shop
from hub.references import pseudonym
from hub.settings import Settings
from hub.store import Store, records, schema, subjects
from hub.store.migrate import check_version
from hub.store.subjects import insert
from hub.usage.portfolio import Portfolio

log = structlog.get_logger()
SPARE_S = 10.0  # beyond the longest attempt, to begin and to keep it
KINDS: dict[str, ModuleType] = {
    "stripe": connectors.stripe,
    "zentitle": connectors.zentitle,
    "fastspring": connectors.fastspring,
    "salesforce": connectors.salesforce,
    "hubspot": connectors.hubspot,
    "lemonsqueezy": connectors.lemonsqueezy,
    "paddle": connectors.paddle,
    "chargebee": connectors.chargebee,
    "shopify": connectors.shopify,
    "woocommerce": connectors.woocommerce,
}


@dataclass(frozen=True)
class Hub:
    """Everything that a process of the hub needs."""

    settings: Settings
    store: Store
    bell: Bell
    connectors: Mapping[str, Connector]
    rules: Rules
    portfolio: Portfolio
    observe: bool = False
    drawer: Drawer = field(default_factory=Drawer)

    @property
    def licensing(self) -> Connector:
        """The one connection that licenses."""
        return next(one for one in self.connectors.values() if one.licensing is not None)

    @cached_property
    def shop(self) -> Shop:
        """What looks need."""
        licensing = self.licensing.licensing
        if licensing is None:
            raise ConfigurationError("no connection licenses")
        return Shop(
            store=self.store,
            connectors=self.connectors,
            licensing=licensing,
            rules=self.rules,
            timing=self.settings.timing,
            secret=self.settings.secret,
            observe=self.observe,
        )

    @cached_property
    def collector(self) -> Collector:
        """What collects seat use."""
        one = self.licensing
        return Collector(
            store=self.store,
            connection=one.name,
            licensing=self.shop.licensing,
            usage=self.settings.usage,
            retention=self.settings.retention,
        )

    @cached_property
    def office(self) -> Office:
        """What deliveries need."""
        sender = Sender(self.settings.outbound.allowed)
        return Office(
            store=self.store,
            sender=sender,
            endpoints=Endpoints(self.store, sender, self.settings.secrets),
            lease_s=max(self.settings.timing.lease, TOTAL_S + SPARE_S),
            drain_s=self.settings.timing.drain,
        )


def build(config: Settings, *, redis_url: str = "", observe: bool = False) -> Hub:
    """A hub on `config`; ConfigurationError for anything an operator must mend. Asks no vendor anything."""
    hide_secrets(config)
    store = Store(config.hub.database_url, settle_s=config.timing.settle)
    found = {name: _connect(config, store, name) for name in config.connections}
    _check_connections(config, found)
    vendors = {one.catalog_key for one in found.values() if one.catalog_key}
    version, _ = catalog.version_of(config.catalog, config.policy)
    rules = Rules(
        catalog=catalog.build(config.catalog, vendors, str(config.path)), policy=config.policy, version=version
    )
    bell = Bell(redis_url or config.hub.redis_url)
    return Hub(
        settings=config,
        store=store,
        bell=bell,
        connectors=found,
        rules=rules,
        portfolio=RecordPortfolio(store, config.usage),
        observe=observe,
    )


def start(hub: Hub) -> None:
    """Checks the record and stores what this start brings: references, catalog version. Repeatable."""
    check_version(hub.store)
    hub.store.write(lambda conn: _fix_references(conn, hub))
    hub.store.write(lambda conn: _store_catalog(conn, hub))
    hub.store.write(lambda conn: _wake_keyed(conn, hub))
    hub.store.write(lambda conn: records.drop_cursor(conn, CUSTOMERS_LISTED))  # the record may be a restored one


def hide_secrets(config: Settings) -> None:
    """No log of this process shows what the configuration keeps secret."""
    urls = {"database_url": config.hub.database_url, "redis_url": config.hub.redis_url}
    hide([*config.hub.secrets, *secrets_in(config.connections), *secrets_in(urls)])


def check_vendors(config: Settings, *, starting: bool = False) -> None:
    """Asks the licensing vendor whether it speaks our version: ConfigurationError where it does not.

    starting: tells, too, where `hub adopt` ought to be run first. What can't be reached now is only told. Uses a hub of
    its own, so that a worker forks without open connections.
    """
    hub = build(config)
    try:
        for finding in hub.shop.licensing.verify_access():
            if finding.level != "ok":
                _warn(finding)
        if starting and (one := adopting.unadopted(hub.store, hub.connectors, hub.shop.licensing)):
            _warn(adopting.finding(hub.licensing.name, one))
    except HubError as error:
        log.warning("vendor.not_checked", error=str(error))
    finally:
        hub.shop.licensing.close()
        hub.store.close()


def _warn(finding: Finding) -> None:
    log.warning("vendor.finding", source=finding.about, problem=finding.problem, mend=finding.mend)


def _connect(config: Settings, store: Store, name: str) -> Connector:
    table = config.connections[name]
    module = KINDS.get(str(table["kind"]))
    where = f"{config.path} [connections.{name}]"
    if module is None:
        raise ConfigurationError(f"no such kind: {table['kind']!r}", where=where, mend=f"known: {', '.join(KINDS)}")
    parsed = settings.parse(module.Settings, {"ref": None, **table}, config.path, f"connections.{name}")
    if parsed.ref is None and len(name) > 12:  # noqa: PLR2004
        raise ConfigurationError("a name of more than 12 characters must set ref", where=where, mend='ref = "eu"')
    limiter = RecordLimiter(store, name, parsed.rate_per_s, config.timing.breaker)
    deps = Deps(
        limiter=limiter,
        tokens=RecordTokens(store, name, config.secrets),
        answered=limiter.answered,
        pseudonym=partial(pseudonym, config.secret),
    )
    try:
        connector: Connector = replace(module.connect(name, parsed, deps), rate_per_s=parsed.rate_per_s)
    except ConfigurationError as error:
        raise ConfigurationError(error.problem, where=error.where or where, mend=error.mend) from None
    return connector


def _check_connections(config: Settings, found: Mapping[str, Connector]) -> None:
    where = f"{config.path} [connections]"
    licensing = [name for name, one in found.items() if one.licensing]
    if len(licensing) != 1:
        said = ", ".join(licensing) or "none"
        raise ConfigurationError(
            f"exactly one connection must license, found {said}", where=where, mend='kind = "zentitle"'
        )
    refs = [one.ref for one in found.values()]
    if doubled := next((ref for ref in refs if refs.count(ref) > 1), None):
        raise ConfigurationError(f"two connections have ref {doubled!r}", where=where, mend="give one another ref")


def _fix_references(conn: Connection, hub: Hub) -> None:
    """A connection's ref is fixed at first use: licenses carry it for ever."""
    for name, one in hub.connectors.items():
        kept = records.get_cursor(conn, f"ref:{name}")
        if kept is None:
            records.set_cursor(conn, f"ref:{name}", one.ref)
        elif kept[0] != one.ref:
            raise ConfigurationError(
                f"ref was {kept[0]!r} when it was first used and is now {one.ref!r}",
                where=f"{hub.settings.path} [connections.{name}] ref",
                mend=f'set ref = "{kept[0]}": licenses already carry it',
            )


def _store_catalog(conn: Connection, hub: Hub) -> None:
    """Keeps the catalog version; a new one makes what was parked as unmapped due."""
    version, body = catalog.version_of(hub.settings.catalog, hub.settings.policy)
    values = {"version": version, "body": body, "stored_at": schema.db_now()}
    conn.execute(insert(conn, schema.catalog_version).values(**values).on_conflict_do_nothing())
    kept = records.get_cursor(conn, "catalog")
    if kept and kept[0] == version:
        return
    records.set_cursor(conn, "catalog", version)
    unmapped = (schema.subject.c.state == "parked") & (schema.subject.c.cause == "unmapped")
    subjects.wake(conn, unmapped, cause="event", reason="the catalog was changed")


def _wake_keyed(conn: Connection, hub: Hub) -> None:
    """What waited for an API key is due once there is one."""
    keyed = [name for name, one in hub.connectors.items() if one.purchases and one.purchases.can_read]
    waiting = (schema.subject.c.state == "parked") & (schema.subject.c.cause == "needs_api_key")
    subjects.wake(
        conn, waiting & schema.subject.c.connection.in_(keyed), cause="event", reason="an API key was configured"
    )
