"""One suite that every connector runs (tests/connectors/test_conformance.py): what a vendor's case has to bring.

A declared shop brings tests/connectors/<vendor>/case.py (tests/shops.py) and nothing here. Any other vendor adds its
cases to SENDERS, SELLERS or LICENSORS, as its connect() offers webhooks, purchases, licensing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

import connectors.fastspring
import connectors.hubspot
import connectors.salesforce
import connectors.stripe
import connectors.zentitle
from connectors.emulation import Clock, Emulator, reply, serving
from connectors.zentitle.emulator import ZentitleEmulator
from hub.domain import Ref
from hub.ports import Connector, Deps
from tests.factories import a_signature, an_event
from tests.rsa import an_rsa_signature, modulus_of, rsa_key
from tests.shops import Case, cases

FIXTURES = Path(__file__).parent / "connectors"
CANARY = "canary"
NOW = 1_790_000_000.0
Headers = dict[str, str]


# what connect() gets


class FreeLimiter:
    """Lets everything pass."""

    def acquire(self) -> None: ...

    def hold(self, seconds: float) -> None: ...


@dataclass
class OneToken:
    """Keeps a token as long as the test runs."""

    token: str | None = None

    def get(self) -> str | None:
        return self.token

    def put(self, token: str, lifetime_s: float) -> None:  # noqa: ARG002
        self.token = token

    def drop(self) -> None:
        self.token = None


def deps() -> Deps:
    return Deps(limiter=FreeLimiter(), tokens=OneToken(), connect_timeout_s=2, read_timeout_s=2)


def connect(module: ModuleType, settings: Mapping[str, Any], name: str = "vendor-eu") -> Connector:
    """What the vendor's folder offers for these settings."""
    connector: Connector = module.connect(name, module.Settings(**settings), deps())
    return connector


# vendors that send


@dataclass(frozen=True, kw_only=True)
class Sender:
    """How a vendor signs, and what its events look like. `sign` is written here, not taken from the connector."""

    module: ModuleType
    settings: Callable[[list[str]], dict[str, Any]]  # webhook secrets -> settings
    sign: Callable[[bytes, str, float], Headers]
    signature_header: str
    tolerance_s: float | None
    fixtures: Path
    events: Mapping[str, str | None]  # the vendor's types that lead to a subject -> the fact that each is, if any
    an_event: Callable[[str, str], bytes]  # id, type -> body
    type_of: Callable[[dict[str, Any]], str] = field(default=lambda body: str(body["type"]))
    told_as: Callable[[str], str] = field(default=lambda type_: type_)  # the row of `events` that a type is told by
    leads_only: frozenset[str] = frozenset()  # types that lead to a subject and are no fact
    covers_body: bool = True  # whether what proves a request covers its body
    own_ids: bool = True  # whether the vendor's events have ids
    made: Callable[[], Mapping[str, bytes]] | None = None  # events by a file's name, where there are no files

    def bodies(self) -> Mapping[str, bytes]:
        """An event of each type or more, by a file's name."""
        return self.made() if self.made else {path.name: path.read_bytes() for path in self.fixtures.glob("*.json")}


def _stripe_settings(secrets: list[str]) -> dict[str, Any]:
    return {"kind": "stripe", "webhook_secrets": secrets, "livemode": True}


STRIPE_SENDER = Sender(
    module=connectors.stripe,
    settings=_stripe_settings,
    sign=lambda body, secret, at: {"stripe-signature": a_signature(body, secret, at)},
    signature_header="stripe-signature",
    tolerance_s=300,
    fixtures=FIXTURES / "stripe" / "fixtures",
    events=connectors.stripe.EVENTS,
    an_event=an_event,
    told_as=lambda type_: type_.removeprefix("v1."),
    leads_only=frozenset({"invoice_payment.paid"}),
)


def a_zentitle_event(id_: str, code: str, **values: Any) -> bytes:
    """A body as Zentitle2 sends it, about something that has no id of its own."""
    envelope = {"eventId": id_, "eventDate": "2026-09-21T14:13:20Z", "eventCode": code, "resourceId": "ent_1"}
    return json.dumps(envelope | {"callAttempt": 1, "payload": {}} | values).encode()


ZENTITLE_SENDER = Sender(
    module=connectors.zentitle,
    settings=lambda secrets: (
        _zentitle_settings("http://127.0.0.1:1") | {"rsa_modulus": [modulus_of(rsa_key(one)) for one in secrets]}
    ),
    sign=lambda body, secret, _: {"n-signature": an_rsa_signature(body, rsa_key(secret))},
    signature_header="n-signature",
    tolerance_s=None,
    fixtures=FIXTURES / "zentitle" / "fixtures",
    events=connectors.zentitle.EVENTS,
    an_event=a_zentitle_event,
    type_of=lambda body: str(body["eventCode"]),
)


def a_fastspring_event(id_: str, type_: str, **data: Any) -> bytes:
    """A post of one event, about something that has no more than an id."""
    event = {"id": id_, "processed": False, "created": 1_790_000_000_000, "type": type_, "live": True}
    return json.dumps({"events": [event | {"data": {"id": "obj_1"} | data}]}).encode()


def a_fastspring_signature(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def _fastspring_settings(secrets: list[str]) -> dict[str, Any]:
    return {"kind": "fastspring", "webhook_secrets": secrets}


FASTSPRING_SENDER = Sender(
    module=connectors.fastspring,
    settings=_fastspring_settings,
    sign=lambda body, secret, _: {"x-fs-signature": a_fastspring_signature(body, secret)},
    signature_header="x-fs-signature",
    tolerance_s=None,
    fixtures=FIXTURES / "fastspring" / "fixtures",
    events=connectors.fastspring.EVENTS,
    an_event=a_fastspring_event,
    type_of=lambda body: str((body.get("events") or [body])[0]["type"]),
)
ORG = "00D000000000001"


def a_salesforce_callout(id_: str, type_: str) -> bytes:
    """A callout of the org's own code about an object of this type."""
    told = {"event_id": id_, "org_id": ORG, "object": type_, "id": "006000000000001"}
    return json.dumps(told | {"occurred_at": "2026-09-21T14:13:20.000+0000"}).encode()


def a_salesforce_signature(body: bytes, secret: str, at: float) -> str:
    mac = hmac.new(secret.encode(), f"{int(at)}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={mac}"


def _selling_salesforce(secrets: list[str]) -> dict[str, Any]:
    selling = {"organization_id": ORG, "sold_since": "2026-01-01", "webhook_secrets": secrets}
    return _salesforce_settings("http://127.0.0.1:1") | selling


SALESFORCE_SENDER = Sender(
    module=connectors.salesforce,
    settings=_selling_salesforce,
    sign=lambda body, secret, at: {"x-hub-signature": a_salesforce_signature(body, secret, at)},
    signature_header="x-hub-signature",
    tolerance_s=300,
    fixtures=FIXTURES / "salesforce" / "fixtures",
    events={"Opportunity": "purchase.changed", "OpportunityLineItem": "purchase.changed"},
    an_event=a_salesforce_callout,
    type_of=lambda body: str(body["object"]),
)


# declared shops


def _sender(case: Case) -> Sender:
    unkeyed = partial(case.settings, keyed=False)
    return Sender(
        module=case.module,
        settings=lambda secrets: unkeyed(webhook_secrets=[case.secret_of(one) for one in secrets]),
        sign=case.signed,
        signature_header=case.shop.proof.header,
        tolerance_s=case.tolerance_s,
        fixtures=FIXTURES / case.kind,
        events=case.module.EVENTS,
        an_event=lambda id_, type_: case.kept(type_, case.sample(type_), id_),
        type_of=lambda body: case.type_of(body).replace("/", "."),
        covers_body=case.covers_body,
        own_ids=bool(case.shop.form.id),
        made=case.bodies,
    )


def _seller(case: Case) -> Seller:
    kind = next(iter(case.shop.sold))
    subject = Ref(source="vendor-eu", kind=kind, id=case.shop.subject_id(kind, "1"))
    return Seller(module=case.module, settings=case.settings, subject=subject)


SHOPS = cases()
SENDERS = {
    "salesforce": SALESFORCE_SENDER,
    "fastspring": FASTSPRING_SENDER,
    "stripe": STRIPE_SENDER,
    "zentitle": ZENTITLE_SENDER,
}
SENDERS |= {name: _sender(case) for name, case in SHOPS.items()}


# vendors that are asked


class Answering(Emulator):
    """Answers every path with one status and a body in nobody's words."""

    routes = Map([Rule("/<path:path>", endpoint="any", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])

    def __init__(self, status: int) -> None:
        super().__init__(Clock())
        self.status = status

    def any(self, request: Request, path: str) -> Response:  # noqa: ARG002
        return reply({"error": {"message": "said no"}, "details": "said no"}, self.status)


@dataclass(frozen=True, kw_only=True)
class Seller:
    """A vendor whose purchases are read."""

    module: ModuleType
    settings: Callable[[str], dict[str, Any]]  # base URL -> settings, with CANARY in each secret
    subject: Ref


def _stripe_with_key(url: str) -> dict[str, Any]:
    return {
        "kind": "stripe",
        "base_url": url,
        "api_key": f"sk_test_{CANARY}",
        "webhook_secrets": [f"whsec_{CANARY}"],
    }


def _fastspring_with_credentials(url: str) -> dict[str, Any]:
    secret = dict.fromkeys(("username", "password"), CANARY)
    return _fastspring_settings([CANARY]) | secret | {"base_url": url, "fulfillment_keys": [CANARY]}


SELLERS = {
    "salesforce": Seller(
        module=connectors.salesforce,
        settings=lambda url: _salesforce_settings(url),  # noqa: PLW0108  (it is defined below)
        subject=Ref(source="vendor-eu", kind="opportunity", id="006000000000001AAA"),
    ),
    "fastspring": Seller(
        module=connectors.fastspring,
        settings=_fastspring_with_credentials,
        subject=Ref(source="vendor-eu", kind="subscription", id="sub_1"),
    ),
    "stripe": Seller(
        module=connectors.stripe,
        settings=_stripe_with_key,
        subject=Ref(source="vendor-eu", kind="subscription", id="sub_1"),
    ),
}


SELLERS |= {name: _seller(case) for name, case in SHOPS.items()}


class Refusing(ZentitleEmulator):
    """The emulator, until `status` is set: then that is the answer to all but the token request."""

    def __init__(self) -> None:
        super().__init__(client_secret=CANARY)
        self.status: int | None = None

    def answer(self, request: Request) -> Response:
        if self.status is None or request.path.startswith("/realms/"):
            return super().answer(request)
        return reply({"details": "said no"}, self.status)


@dataclass(frozen=True, kw_only=True)
class Licensor:
    """A vendor that licenses: an emulator that can be told to refuse, and its settings."""

    module: ModuleType
    emulator: Callable[[], Any]
    settings: Callable[[str], dict[str, Any]]
    skus: tuple[str, str]  # two offerings of one product


def _zentitle_settings(url: str) -> dict[str, Any]:
    return {
        "kind": "zentitle",
        "base_url": url,
        "token_url": f"{url}/realms/sandbox/protocol/openid-connect/token",
        "tenant_id": "t_sandbox",
        "client_id": "hub",
        "client_secret": CANARY,
    }


LICENSORS = {
    "zentitle": Licensor(
        module=connectors.zentitle, emulator=Refusing, settings=_zentitle_settings, skus=("PRO-100", "TEAM-YEAR")
    )
}


def _salesforce_settings(url: str) -> dict[str, Any]:
    known = {"kind": "salesforce", "base_url": url, "consumer_key": "app"}
    told = {"outbound_secrets": [f"{CANARY}-outbound-secret-of-32-characters"], "webhook_secrets": [CANARY]}
    selling = {"organization_id": ORG, "sold_since": "2026-01-01"}
    return known | {"consumer_secret": f"{CANARY}-consumer-secret"} | told | selling


def _hubspot_settings(url: str) -> dict[str, Any]:
    return {"kind": "hubspot", "base_url": url, "access_token": f"{CANARY}-access-token"}


CRMS = {"hubspot", "salesforce"}  # where people work on renewals: tests/hub/test_renewals.py runs each
CONNECTIONS = {  # every connector, with settings that have a canary in each secret
    "fastspring": (connectors.fastspring, _fastspring_with_credentials),
    "hubspot": (connectors.hubspot, _hubspot_settings),
    "salesforce": (connectors.salesforce, _salesforce_settings),
    "stripe": (connectors.stripe, _stripe_with_key),
    "zentitle": (connectors.zentitle, _zentitle_settings),
    **{name: (case.module, case.settings) for name, case in SHOPS.items()},
}


@contextmanager
def served(vendor: Any) -> Iterator[str]:
    """The vendor's address."""
    with serving(vendor) as url:
        yield url
