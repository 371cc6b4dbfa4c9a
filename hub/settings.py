"""hub.toml, read once at the start into frozen Settings; every mistake is told with file, key and expectation.

A text value `env:NAME` or `file:PATH` is read from there (PATH relative to hub.toml). `HUB_*` overrides:
HUB_CONFIG, HUB_DATABASE_URL, HUB_REDIS_URL, HUB_HOST, HUB_PORT.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, tzinfo
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from hub.errors import ConfigurationError
from hub.outbound.targets import Allowed, allowed

Model = TypeVar("Model", bound=BaseModel)
Seconds = Annotated[float, Field(ge=0)]


_WHERE = re.compile(r"(?P<table>\[\[?\w+\]?\])(?: row (?P<row>\d+))?(?: (?P<key>\S+))?$")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HubSection(_Section):
    """`[hub]`."""

    secret: SecretStr | tuple[SecretStr, ...]  # several: the first is used, the others still open what they sealed
    public_url: str = "http://127.0.0.1:8000"
    database_url: str = "sqlite:///var/hub.sqlite"
    redis_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    look_threads: Annotated[int, Field(ge=1, le=256)] = 64
    trusted_proxies: int = 0
    api_per_s: Annotated[float, Field(gt=0, le=100_000)] = 20  # calls of an API key
    company: str = ""  # the seller's name, as customers know it
    console: str = "login"  # "open" only in the sandbox, on loopback

    @model_validator(mode="after")
    def _secret_is_long(self) -> HubSection:
        if not self.secrets or any(len(one) < 32 for one in self.secrets):  # noqa: PLR2004
            raise ValueError("secret needs 32 or more characters (`hub init` makes one)")
        if self.console not in {"login", "open"}:
            raise ValueError('console must be "login" or "open"')
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The hub's own secrets, the current one first."""
        several = self.secret if isinstance(self.secret, tuple) else (self.secret,)
        return tuple(one.get_secret_value() for one in several)


class Policy(_Section):
    """`[policy]`: commercial knobs (docs/policy.md)."""

    grace_days: Annotated[int, Field(ge=0, le=365)] = 7
    revive_days: Annotated[int, Field(ge=0, le=365)] = 30
    guard_min: Annotated[int, Field(ge=-1)] = 5
    guard_share: Annotated[float, Field(ge=0, le=1)] = 0.005
    guard_max: Annotated[int, Field(ge=0)] = 50


class Timing(_Section):
    """`[timing]`: seconds of machine time."""

    settle: Seconds = 1
    tick: Annotated[float, Field(gt=0)] = 5
    second_look: Seconds = 120
    sweep: Annotated[float, Field(gt=0)] = 3600
    full_sweep: Annotated[float, Field(gt=0)] = 86400
    poll: Annotated[float, Field(gt=0)] = 900
    lease: Annotated[float, Field(ge=1)] = 60
    ambiguity_window: Seconds = 120
    customer_wait: Seconds = 10
    retry_base: Annotated[float, Field(gt=0)] = 2
    retry_max: Annotated[float, Field(gt=0)] = 900
    give_up: Annotated[float, Field(gt=0)] = 14 * 86400
    permanent_retry: Annotated[float, Field(gt=0)] = 200
    drain: Annotated[float, Field(gt=0)] = 30
    breaker: Annotated[float, Field(gt=0)] = 30


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except (LookupError, ValueError, OSError):
        raise ValueError("no such time zone; write it as Europe/Berlin") from None
    return name


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; LookupError or ValueError where there is none."""
    return UTC if name == "UTC" else ZoneInfo(name)  # UTC needs no database of zones


Zone = Annotated[str, AfterValidator(_zone)]
Country = Annotated[str, Field(pattern=r"^([A-Z]{2})?$")]


class Account(_Section):
    """Where a customer is: its days and holidays are counted there. country: ISO 3166 alpha-2, or empty."""

    timezone: Zone = "UTC"
    country: Country = ""

    @property
    def zone(self) -> tzinfo:
        """The time zone that its days are of."""
        return zone_of(self.timezone)


class Usage(Account):
    """`[usage]`: where customers are that `accounts` does not name, by their id or account reference."""

    accounts: Mapping[str, Account] = {}

    def account(self, *names: str) -> Account:
        """The account that one of these names; all others are where the hub's own company is."""
        for name in names:
            if name in self.accounts:
                one = self.accounts[name]
                return self.model_copy(update={key: getattr(one, key) for key in one.model_fields_set})
        return self


class Retention(_Section):
    """`[retention]`: after so many days what is old goes (docs/record.md); 0: never."""

    bodies_days: Annotated[int, Field(ge=0)] = 30
    observations_days: Annotated[int, Field(ge=0)] = 760
    changes_days: Annotated[int, Field(ge=0)] = 760
    audit_days: Annotated[int, Field(ge=0)] = 730
    attempts_days: Annotated[int, Field(ge=0)] = 90
    seat_events_days: Annotated[int, Field(ge=0)] = 90
    seat_days: Annotated[int, Field(ge=0)] = 1147


class Outbound(_Section):
    """`[outbound]`: what is sent to consumers (docs/deliveries.md)."""

    allow: tuple[str, ...] = ()
    delivery_threads: Annotated[int, Field(ge=2, le=1024)] = 256

    @field_validator("allow")
    @classmethod
    def _are_networks(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for one in entries:
            try:
                allowed(one)
            except ValueError:
                raise ValueError(
                    f"{one!r} is no address: write 127.0.0.1, 10.1.0.0/16 or [::1]:8080 (names are not taken)"
                ) from None
        return entries

    @property
    def allowed(self) -> tuple[Allowed, ...]:
        """The list, read."""
        return tuple(allowed(one) for one in self.allow)


Sku = Annotated[str, Field(min_length=1, max_length=50)]
MEANINGS = ("sku", "bundle", "adds_to", "maintains")


class CatalogRow(BaseModel):
    """One `[[catalog]]` row: a vendor's key (one of `keys`) -> what a line with it means (docs/catalog.md).

    `from_` is the first day that the row counts, `until` the first that it does not any more; both in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: Mapping[str, str]
    sku: Sku | None = None
    bundle: Annotated[tuple[Sku, ...], Field(min_length=2, max_length=50)] | None = None
    adds_to: Sku | None = None
    maintains: Sku | None = None
    seats_per_unit: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    seats: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    overdraft: Annotated[int, Field(ge=0)] | None = None
    from_: Annotated[date | None, Field(alias="from")] = None
    until: date | None = None
    when: Annotated[str, Field(min_length=1)] | None = None

    @property
    def skus(self) -> tuple[str, ...]:
        """The offerings that the row speaks of."""
        return self.bundle or tuple(sku for sku in (self.sku, self.adds_to, self.maintains) if sku)

    @model_validator(mode="after")
    def _says_one_thing(self) -> CatalogRow:
        said = [name for name in MEANINGS if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"one of {', '.join(MEANINGS)} is required, found {' and '.join(said) or 'none'}")
        if len(set(self.skus)) < len(self.skus):
            raise ValueError("bundle names an offering twice")
        if self.seats is not None and self.seats_per_unit != 1:
            raise ValueError("seats is a fixed number, seats_per_unit multiplies the quantity: keep one")
        if self.maintains and (self.seats is not None or self.seats_per_unit != 1 or self.overdraft is not None):
            raise ValueError("a row that maintains moves a date only: it takes no seats and no overdraft")
        if self.adds_to and self.overdraft is not None:
            raise ValueError("overdraft belongs to the row that sells the offering")
        if self.from_ and self.until and self.until <= self.from_:
            raise ValueError("until must be later than from: it is the first day that the row does not count any more")
        return self


class Settings(_Section):
    """All of hub.toml; connections are still raw here, their connectors check them."""

    path: Path
    hub: HubSection
    policy: Policy = Policy()
    timing: Timing = Timing()
    usage: Usage = Usage()
    retention: Retention = Retention()
    outbound: Outbound = Outbound()
    connections: Annotated[Mapping[str, Mapping[str, Any]], Field(repr=False)]  # their secrets are still plain
    catalog: tuple[CatalogRow, ...] = ()

    @property
    def secret(self) -> bytes:
        """The hub's own secret, the current one."""
        return self.secrets[0]

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The hub's own secrets, the current one first; the others only open what they once sealed."""
        return tuple(one.encode() for one in self.hub.secrets)


def load(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in `path` (default: $HUB_CONFIG, else hub.toml); ConfigurationError says what to mend."""
    environ = os.environ if environ is None else environ
    file = Path(path or environ.get("HUB_CONFIG") or "hub.toml")
    raw = _resolve(_read(file), file, environ)
    hub = {**_table(raw, "hub", file), **_overrides(environ)}
    known = {"hub", "policy", "timing", "usage", "retention", "outbound", "connections", "catalog"}
    if unknown := sorted(set(raw) - known):
        raise ConfigurationError(f"unknown table [{unknown[0]}]", where=str(file), mend=f"known: {sorted(known)}")
    connections = _table(raw, "connections", file)
    for name, table in connections.items():
        _check_connection(name, table, file)
    return Settings(
        path=file.resolve(),
        hub=parse(HubSection, hub, file, "hub"),
        policy=parse(Policy, _table(raw, "policy", file), file, "policy"),
        timing=parse(Timing, _table(raw, "timing", file), file, "timing"),
        usage=parse(Usage, _table(raw, "usage", file), file, "usage"),
        retention=parse(Retention, _table(raw, "retention", file), file, "retention"),
        outbound=parse(Outbound, _table(raw, "outbound", file), file, "outbound"),
        connections=connections,
        catalog=_catalog(raw.get("catalog", []), file),
    )


def load_rules(path: str | Path) -> tuple[tuple[CatalogRow, ...], Policy]:
    """Catalog and policy alone of a file in the form of hub.toml; an error names the line where its table begins."""
    file = Path(path)
    raw = _read(file)
    try:
        return _catalog(raw.get("catalog", []), file), parse(Policy, _table(raw, "policy", file), file, "policy")
    except ConfigurationError as error:
        raise at_line(error, file) from None


def at_line(error: ConfigurationError, file: Path) -> ConfigurationError:
    """The same error with the line of `file` that its `where` speaks of, if it names a table, a row or a key."""
    found = _WHERE.search(error.where)
    if found is None:
        return error
    table, number, key = found["table"], int(found["row"] or 1), (found["key"] or "").split(".")[0]
    lines = file.read_text(encoding="utf-8").splitlines()
    heads = [at for at, line in enumerate(lines) if line.split("#")[0].strip().replace(" ", "") == table]
    if len(heads) < number:
        return error
    at = head = heads[number - 1]
    ends = next((n for n in range(head + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    if key:
        at = next((n for n in range(head, ends) if lines[n].split("=")[0].strip() == key), head)
    return ConfigurationError(error.problem, where=f"{error.where} (line {at + 1})", mend=error.mend)


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse(model: type[Model], raw: object, file: Path | str, table: str) -> Model:
    """`raw` as `model`; ConfigurationError naming file, table and key otherwise. Values are never shown."""
    return _parsed(model, raw, f"{file} [{table}]")


def _parsed(model: type[Model], raw: object, where: str) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        told = error.errors(include_input=False, include_url=False)
        first = min(told, key=lambda one: one["type"] != "extra_forbidden")  # a misspelled key explains a missing one
        key = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            problem = f"no such key; known: {', '.join(sorted(model.model_fields))}"
        raise ConfigurationError(problem, where=f"{where} {key}".rstrip()) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", where=str(file), mend="`hub init` writes one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not readable as TOML: {error}", where=str(file)) from None
    except OSError as error:
        raise ConfigurationError(f"not readable: {error.strerror}", where=str(file)) from None


def _resolve(value: Any, file: Path, environ: Mapping[str, str], key: str = "") -> Any:  # noqa: ANN401
    """`value` with every env: and file: reference read."""
    if isinstance(value, dict):
        return {name: _resolve(inner, file, environ, f"{key}.{name}".strip(".")) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, file, environ, f"{key}[{index}]") for index, inner in enumerate(value)]
    if isinstance(value, str) and value.startswith("env:"):
        return _from_environ(value.removeprefix("env:"), file, environ, key)
    if isinstance(value, str) and value.startswith("file:"):
        return _from_file(value.removeprefix("file:"), file, key)
    return value


def _from_environ(name: str, file: Path, environ: Mapping[str, str], key: str) -> str:
    if not environ.get(name, "").strip():
        raise ConfigurationError(
            f"the environment variable {name} is not set", where=f"{file} {key}", mend=f"export {name}=…"
        )
    return environ[name].strip()


def _from_file(name: str, file: Path, key: str) -> str:
    target = file.parent / name
    try:
        if target.stat().st_mode & 0o077:
            raise ConfigurationError(f"{name} may be read by others", where=f"{file} {key}", mend=f"chmod 600 {name}")
        return target.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{name} can't be read: {error.strerror}", where=f"{file} {key}") from None


def _table(raw: Mapping[str, Any], name: str, file: Path) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"[{name}] must be a table", where=str(file))
    return table


def _overrides(environ: Mapping[str, str]) -> dict[str, str]:
    names = {"database_url": "HUB_DATABASE_URL", "redis_url": "HUB_REDIS_URL", "host": "HUB_HOST", "port": "HUB_PORT"}
    return {key: environ[name] for key, name in names.items() if environ.get(name)}


def _check_connection(name: str, table: object, file: Path) -> None:
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise ConfigurationError(
            "a connection needs a kind", where=f"{file} [connections.{name}]", mend='kind = "stripe"'
        )
    if not name.replace("-", "").isalnum() or not name.islower():
        raise ConfigurationError(
            f"{name!r} is no connection name", where=f"{file} [connections]", mend="use a-z, 0-9 and -"
        )


def _catalog(raw: object, file: Path) -> tuple[CatalogRow, ...]:
    if not isinstance(raw, list):
        raise ConfigurationError("catalog must be written as [[catalog]] rows", where=str(file))
    return tuple(_row(row, f"{file} [[catalog]] row {number}") for number, row in enumerate(raw, 1))


def _row(raw: object, where: str) -> CatalogRow:
    if not isinstance(raw, dict):
        raise ConfigurationError("must be a table", where=where)
    known = {field.alias or name for name, field in CatalogRow.model_fields.items()} - {"keys"}
    keys = {name: value for name, value in raw.items() if name not in known}
    if not keys or not all(isinstance(value, str) and value for value in keys.values()):
        raise ConfigurationError("a row needs a vendor's key as text", where=where, mend='stripe = "price_…"')
    return _parsed(CatalogRow, {**{k: v for k, v in raw.items() if k in known}, "keys": keys}, where)
