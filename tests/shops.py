"""A declared shop in tests: what its folder brings (tests/connectors/<vendor>/case.py), and how it is run.

A case is all that a new vendor writes: tests/conformance.py finds it and runs the suite of every connector,
tests/connectors/test_shops.py that of declared shops, tests/scenarios/test_shops_scenarios.py the table of situations.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from connectors.declared import Many, Shop
from connectors.declared_source import reduced
from connectors.declared_webhooks import BODY, HEADERS, said, unpacked
from connectors.emulation import serving
from connectors.emulation_declared import DeclaredEmulator

Obj = dict[str, Any]
Headers = dict[str, str]
FOLDER = Path(__file__).parent / "connectors"


@dataclass(frozen=True, kw_only=True)
class Sale:
    """What one look sees, in the vendor's own words: the object of a kind, and its parts by name."""

    kind: str
    object: Obj
    parts: Mapping[str, Obj | list[Obj]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One vendor.

    credentials  settings that let it read the API; auth: the headers that these must come to
    sign         (body, secret, epoch seconds) -> headers; written here, not taken from the connector
    event        (type, object, event id) -> (body, further headers), as the vendor posts it
    keys         what `pro`, `team`, `perp` and `pack` are sold as: the most telling key of a line
    situations   by name (tests/scenarios/shops_table.py): what successive looks see; absent: it can't be raised
    samples      kind -> an object as events carry it
    pages        how lists tell the next page (connectors/emulation_declared.py)
    covers_body  whether a proof covers the body
    secret_of    what a secret looks like at this vendor
    """

    module: ModuleType
    shop: Shop
    credentials: Obj
    auth: Headers
    sign: Callable[[bytes, str, float], Headers]
    event: Callable[[str, Obj, str], tuple[bytes, Headers]]
    keys: Mapping[str, str]
    situations: Mapping[str, tuple[Sale, ...]]
    samples: Mapping[str, Obj]
    pages: str
    secret: str = "a secret of the tests"
    tolerance_s: float | None = None
    covers_body: bool = True
    secret_of: Callable[[str], str] = str

    @property
    def kind(self) -> str:
        return self.shop.kind

    def settings(self, url: str = "http://127.0.0.1:1", *, keyed: bool = True, **more: Any) -> Obj:
        known = {"kind": self.kind, "base_url": url, "webhook_secrets": [self.secret_of(self.secret)]}
        return known | (self.credentials if keyed else {}) | more

    def signed(self, body: bytes, secret: str, at: float) -> Headers:
        """The headers that prove `body`."""
        return self.sign(body, self.secret_of(secret), at)

    def type_for(self, kind: str) -> str | None:
        """A type of event that is about an object of this kind, and carries it; None where no event does."""
        carrying = [(type_, tells.carries[0][0]) for type_, tells in self.shop.events.items() if tells.carries]
        return next((type_ for type_, carried in carrying if carried == kind), None)

    def kept(self, type_: str, one: Obj, id_: str = "evt_1") -> bytes:
        """The event as the hub keeps it: what headers say stands beside the body."""
        body, headers = self.event(type_, one, id_)
        named = {name: value for name, value in headers.items() if name in self.shop.form.headers}
        return (
            b'{"%s":%s,"%s":%s}' % (HEADERS.encode(), json.dumps(named).encode(), BODY.encode(), body)
            if named
            else body
        )

    def type_of(self, body: Obj) -> str:
        """The type of an event as it is kept."""
        return said(unpacked(self.shop, json.dumps(body).encode()), self.shop.form.type) or ""

    def sample(self, type_: str) -> Obj:
        """The object that events of this type carry; of a type that carries none, or is unknown, any."""
        tells = self.shop.events.get(type_)
        kinds = [kind for kind, _ in tells.carries] if tells else []
        return self.samples[kinds[0] if kinds else next(iter(self.samples))]

    def bodies(self) -> dict[str, bytes]:
        """An event of each type, as the hub keeps it, by a file's name."""
        return {
            f"{type_.replace('/', '.')}__sample.json": self.kept(type_, self.sample(type_))
            for type_ in self.shop.events
        }

    def seen(self, sale: Sale) -> Obj:
        """The sale as looks see it."""
        sold = self.shop.sold[sale.kind]
        parts = {**sold.parts, "begun": sold.begins} if sold.begins else sold.parts
        found: Obj = {sale.kind: reduced(self.shop, sale.kind, sale.object)}
        for name, value in sale.parts.items():
            kind = parts[name].kind  # type: ignore[union-attr]  # "begun" is there where there is one
            many = [reduced(self.shop, kind, one) for one in (value if isinstance(value, list) else [value])]
            found[name] = many if isinstance(parts[name], Many) else many[0]
        return found

    def objects(self, sale: Sale) -> Iterator[tuple[str, Obj]]:
        """(kind, object) of all that a sale is told by."""
        yield sale.kind, sale.object
        sold = self.shop.sold[sale.kind]
        parts = {**sold.parts, "begun": sold.begins} if sold.begins else sold.parts
        for name, value in sale.parts.items():
            for one in value if isinstance(value, list) else [value]:
                yield parts[name].kind, one  # type: ignore[union-attr]  # see above

    @contextmanager
    def served(self, sale: Sale | None = None, **more: Any) -> Iterator[tuple[str, DeclaredEmulator]]:
        """The vendor's address, with this sale in its books."""
        emulator = DeclaredEmulator(self.shop, self.auth, pages=self.pages, **more)
        for kind, one in self.objects(sale) if sale else ():
            emulator.put(kind, one)
        with serving(emulator) as url:
            yield url, emulator


def cases() -> dict[str, Case]:
    """Every declared shop, by its folder."""
    found = sorted(path.parent.name for path in FOLDER.glob("*/case.py"))
    return {name: importlib.import_module(f"tests.connectors.{name}.case").CASE for name in found}
