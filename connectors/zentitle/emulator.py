"""A stateful double of the Zentitle2 Management API 2025-10-10, as unkind as the vendor is, or is thought to be.

No idempotency, nothing unique, relative renewals, lists that may lag, tokens that end. What the vendor leaves
open is set by `Switches`; faults come from `connectors.emulation`. Rules: `emulator_model`; JSON: `emulator_wire`;
events and when they come: `emulator_events`; listeners and delivery: `emulator_webhooks`. Facts: the vendor's OpenAPI
of 2024-01-01 and its own clients generated from 2025-10-10 (integrations-n8n 1.1.1, growth-platform-demo-dotnet),
read 2026.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import threading
import time
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, iso, reply
from connectors.zentitle import emulator_wire as wire
from connectors.zentitle.emulator_events import CATALOG
from connectors.zentitle.emulator_model import (
    NO_OVERDRAFT,
    NONE,
    Entitlement,
    Group,
    Refused,
    Row,
    Table,
    Tenant,
    missing,
    moment_of,
    whole,
)
from connectors.zentitle.emulator_webhooks import Deliveries, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

T = TypeVar("T")

VERSION = "2025-10-10"
DEFAULT_PAGE, LARGEST_PAGE = 20, 200
YEAR: Row = {"type": "year", "count": 1}
MONTH: Row = {"type": "month", "count": 1}

ROUTES = (
    ("POST", "/customers", "create_customer"),
    ("GET", "/customers", "list_customers"),
    ("GET", "/customers/<id_>", "get_customer"),
    ("PUT", "/customers/<id_>", "replace_customer"),
    ("PATCH", "/customers/<id_>/disable", "disable_customer"),
    ("PATCH", "/customers/<id_>/enable", "enable_customer"),
    ("GET", "/customers/<id_>/stats", "customer_stats"),
    ("POST", "/customers/<id_>/notes", "add_customer_note"),
    ("GET", "/customers/<id_>/notes", "list_customer_notes"),
    ("GET", "/customers/<id_>/notes/<note>", "get_customer_note"),
    ("POST", "/entitlements/groups", "create_group"),
    ("GET", "/entitlements/groups", "list_groups"),
    ("POST", "/entitlements/groups/find", "find_group"),
    ("GET", "/entitlements/groups/<id_>", "get_group"),
    ("PATCH", "/entitlements/groups/<id_>", "update_group"),
    ("POST", "/entitlements/groups/<id_>/extend", "extend_group"),
    ("GET", "/entitlements", "list_entitlements"),
    ("GET", "/entitlements/<id_>", "get_entitlement"),
    ("PATCH", "/entitlements/<id_>", "update_entitlement"),
    ("PATCH", "/entitlements/<id_>/activate", "activate_entitlement"),
    ("PATCH", "/entitlements/<id_>/renew", "renew_entitlement"),
    ("PATCH", "/entitlements/<id_>/change-offering", "change_offering"),
    ("PATCH", "/entitlements/<id_>/reset-overrides", "reset_overrides"),
    ("PATCH", "/entitlements/<id_>/enable", "enable_entitlement"),
    ("PATCH", "/entitlements/<id_>/disable", "disable_entitlement"),
    ("POST", "/entitlements/<id_>/notes", "add_entitlement_note"),
    ("GET", "/entitlements/<id_>/notes", "list_entitlement_notes"),
    ("GET", "/entitlements/<id_>/notes/<note>", "get_entitlement_note"),
    ("GET", "/entitlements/<id_>/activations", "list_activations"),
    ("GET", "/entitlements/<id_>/activations-log", "list_activations_log"),
    ("POST", "/entitlements/activations", "take_seat"),
    ("PATCH", "/entitlements/activations", "refresh_seat"),
    ("POST", "/entitlements/<id_>/provision", "provision_entitlement"),
    ("PATCH", "/entitlements/activations/<id_>/features/checkout", "check_out_feature"),
    ("GET", "/entitlements/activations/<id_>", "get_seat"),
    ("DELETE", "/entitlements/activations/<id_>", "free_seat"),
    ("POST", "/products", "create_product"),
    ("GET", "/products", "list_products"),
    ("GET", "/products/<id_>", "get_product"),
    ("POST", "/products/<id_>/editions", "create_edition"),
    ("GET", "/products/<id_>/editions", "list_editions"),
    ("GET", "/products/<id_>/editions/<edition>", "get_edition"),
    ("POST", "/plans", "create_plan"),
    ("GET", "/plans", "list_plans"),
    ("GET", "/plans/<id_>", "get_plan"),
    ("POST", "/offerings", "create_offering"),
    ("GET", "/offerings", "list_offerings"),
    ("GET", "/offerings/<id_>", "get_offering"),
    ("PATCH", "/offerings/<id_>", "update_offering"),
    ("GET", "/account/key", "account_key"),
    ("POST", "/account/webhooks", "create_listener"),
    ("GET", "/account/webhooks", "list_listeners"),
    ("GET", "/account/webhooks/events", "list_event_types"),
    ("GET", "/account/webhooks/<id_>", "get_listener"),
    ("PUT", "/account/webhooks/<id_>", "replace_listener"),
    ("DELETE", "/account/webhooks/<id_>", "delete_listener"),
    ("POST", "/account/webhooks/<id_>/test", "send_test_event"),
)


@dataclass
class Switches:
    """What the vendor's documents leave open, or what a test wants worse.

    unique_codes        an activation code in use is refused with 409
    shuffled            lists stand in the order of their ids, so that new rows turn up anywhere
    stale_s             lists of customers, groups and entitlements show the state of so many seconds ago
    requests_per_s      more than this is answered 429 with Retry-After; 0: no limit
    concurrent          more requests at once than this are answered 429; 0: no limit
    echo                N-ApiVersion in answers: "same", "omit", or another version's name
    token_lifetime_s    real seconds that a new token lives
    unauthorized_share  share of requests answered 401 though their token is good
    spare_token         faults spare the token endpoint
    log_days            activations-log keeps rows for so many days; 0: for ever
    log_newest_first    activations-log gives the newest rows first
    log_refused         activations-log is answered 403: the API client may not read it
    actions             EntitlementModel has `actions` (the vendor's own keys are not documented)
    """

    unique_codes: bool = False
    shuffled: bool = False
    stale_s: float = 0
    requests_per_s: float = 0
    concurrent: int = 0
    echo: str = "same"
    token_lifetime_s: float = 300
    unauthorized_share: float = 0
    spare_token: bool = True
    log_days: float = 0
    log_newest_first: bool = False
    log_refused: bool = False
    actions: bool = False

    def set(self, wanted: Row) -> None:
        """Takes {name: value}; KeyError for a name that is no switch."""
        for name in wanted:
            if name not in {one.name for one in fields(self)}:
                raise KeyError(name)
            setattr(self, name, wanted[name])


class Bucket:
    """Requests per second: a bucket that holds one second's worth. Machine time."""

    def __init__(self) -> None:
        self.level, self.at = 0.0, 0.0

    def take(self, rate: float) -> bool:
        """Whether one more request is within `rate` per second."""
        now = time.monotonic()
        self.level = min(max(rate, 1), self.level + (now - self.at) * rate) if self.at else max(rate, 1)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class ZentitleEmulator(Emulator):
    """The WSGI application. It starts with the catalog of `seed`; serve it with `connectors.emulation.serving`."""

    routes = Map(
        [Rule("/realms/<realm>/protocol/openid-connect/token", endpoint="token", methods=["POST"])]
        + [Rule(f"/api/v1{path}", endpoint=endpoint, methods=[method]) for method, path, endpoint in ROUTES]
    )

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        tenant: str = "t_sandbox",
        realm: str = "sandbox",
        client_id: str = "hub",
        client_secret: str = "sandbox-secret",  # noqa: S107
        seed: int = 0,
    ) -> None:
        super().__init__(clock or Clock())
        self.tenant_id, self.realm = tenant, realm
        self.client_id, self.client_secret = client_id, client_secret
        self.switches = Switches()
        self.history_rows: list[Row] = []
        self._seed = seed
        self._tokens: dict[str, float] = {}
        self._luck = random.Random(seed)
        self._bucket = Bucket()
        self._running = 0
        self._key_lock = threading.Lock()
        self._made_key: rsa.RSAPrivateKey | None = None
        self.deliveries = Deliveries(lambda: self.signing_key, seed)
        self.reset()
        self.clock.on_move(self._moved)

    # Every request

    @property
    def faultless(self) -> tuple[str, ...]:  # type: ignore[override]
        """Faults spare the token endpoint unless asked."""
        return ("/realms/",) if self.switches.spare_token else ()

    def answer(self, request: Request) -> Response:
        """The vendor's own answer, without faults."""
        with self.lock:
            self.tenant.unique_codes = self.switches.unique_codes
            self.tenant.catch_up(self.clock.now())
            try:
                if request.path.startswith("/api/"):
                    self._admit(request)
                response = super().answer(request)
            except Refused as refused:
                response = reply(wire.api_error(refused), refused.status)
                if refused.status == 401:
                    response.headers["WWW-Authenticate"] = "Bearer"
            self._publish()
        return self._echoed(request, response)

    def refuse(self, status: int, message: str) -> Response:
        """An ApiError."""
        return reply(wire.api_error(Refused(status, message)), status)

    def _with_faults(self, request: Request) -> Response | None:
        with self.lock:
            limited = self._over_limit(request)
            self._running += 1
        try:
            return limited or super()._with_faults(request)
        finally:
            with self.lock:
                self._running -= 1

    def _over_limit(self, request: Request) -> Response | None:
        """429 where the request is one too many (docs.zentitle.io, API Rate limits: two limiters, no numbers)."""
        rate, at_once = self.switches.requests_per_s, self.switches.concurrent
        api = request.path.startswith("/api/")
        if not api or not ((at_once and self._running >= at_once) or (rate and not self._bucket.take(rate))):
            return None
        self.calls[f"{request.method} {request.path}"] += 1
        path = request.full_path.rstrip("?")
        self.call_log.append({"at": time.time(), "method": request.method, "path": path, "fault": "limited"})
        response = self.refuse(429, "Too many requests")
        response.headers["Retry-After"] = "1"
        return response

    def _admit(self, request: Request) -> None:
        """Checks token, tenant and version, in this order: 401, 403, 400."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        unlucky = self._luck.random() < self.switches.unauthorized_share
        if unlucky or self._tokens.get(token, 0) <= time.monotonic():
            raise Refused(401, "The access token is missing, unknown or expired", code="unauthorized")
        tenant = request.headers.get("N-TenantId")
        if tenant != self.tenant_id:
            raise Refused(403 if tenant else 401, "The token is not for this tenant", code="forbidden")
        if _version(request) not in (None, VERSION):
            raise Refused(400, f"Unknown API version {_version(request)}", code="badRequest")

    def _echoed(self, request: Request, response: Response) -> Response:
        if request.path.startswith("/api/") and self.switches.echo != "omit":
            response.headers["N-ApiVersion"] = VERSION if self.switches.echo == "same" else self.switches.echo
        return response

    def token(self, request: Request, realm: str) -> Response:
        """Keycloak's token endpoint, client credentials in the form body. Tokens are opaque; machine time."""
        form = request.form
        if realm != self.realm:
            return reply({"error": "Realm does not exist"}, 404)
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "Unsupported grant_type")
        given = f"{form.get('client_id')}:{form.get('client_secret')}"
        if not secrets.compare_digest(given.encode(), f"{self.client_id}:{self.client_secret}".encode()):
            return _oauth_error(401, "invalid_client", "Invalid client or Invalid client credentials")
        lifetime, token = self.switches.token_lifetime_s, secrets.token_urlsafe(24)
        now = time.monotonic()
        self._tokens = {one: end for one, end in self._tokens.items() if end > now} | {token: now + lifetime}
        return reply(
            {
                "access_token": token,
                "expires_in": int(lifetime),
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "profile email",
            }
        )

    def _moved(self, now: datetime) -> None:
        """Business time went on: what it raises is sent."""
        with self.lock:
            self.tenant.catch_up(now)
            self._publish()

    def _publish(self) -> None:
        """Sends what happened since."""
        happened, self.tenant.happened = self.tenant.happened, []
        for one in happened:
            self.deliveries.publish(one)

    # Customers

    def create_customer(self, request: Request) -> Response:
        """POST /customers."""
        row = self._new("cust", "customer", wire.parse(request.get_data(), wire.CUSTOMER))
        now = self.clock.now()
        row |= {"createdAt": whole(now), "updatedAt": None, "disabledDate": None}
        self.tenant.put_customer(row, now, "customer.created")
        self._wrote(request, customer=row["id"])
        return reply(wire.customer_model(row), 201)

    def list_customers(self, request: Request) -> Row:
        """GET /customers: no filter."""
        return self._page(request, self._listed(self.tenant.customers), wire.customer_list_row)

    def get_customer(self, _: Request, id_: str) -> Row:
        """GET /customers/{id}."""
        return wire.customer_model(self.tenant.customer(id_))

    def replace_customer(self, request: Request, id_: str) -> Response:
        """PUT /customers/{id}: what the body omits is cleared, but for the status."""
        old = self.tenant.customer(id_)
        given = wire.parse(request.get_data(), wire.CUSTOMER)
        row = old | wire.DEFAULTS["customer"] | {"status": old["status"]} | given
        now = self.clock.now()
        self.tenant.put_customer(row | {"updatedAt": whole(now)}, now, "customer.updated")
        return self._done(request, customer=id_)

    def disable_customer(self, request: Request, id_: str) -> Response:
        """PATCH /customers/{id}/disable."""
        self.tenant.switch_customer(id_, self.clock.now(), on=False)
        return self._done(request, self.tenant.entitlement_ids(id_), customer=id_)

    def enable_customer(self, request: Request, id_: str) -> Response:
        """PATCH /customers/{id}/enable."""
        self.tenant.switch_customer(id_, self.clock.now(), on=True)
        return self._done(request, self.tenant.entitlement_ids(id_), customer=id_)

    def customer_stats(self, _: Request, id_: str) -> Row:
        """GET /customers/{id}/stats."""
        self.tenant.customer(id_)
        return {"entitlementsCount": len(self.tenant.entitlement_ids(id_))}

    def add_customer_note(self, request: Request, id_: str) -> Response:
        """POST /customers/{id}/notes."""
        self.tenant.customer(id_)
        return self._add_note(request, id_, customer=id_)

    def list_customer_notes(self, _: Request, id_: str) -> Row:
        """GET /customers/{id}/notes."""
        return self._notes(self.tenant.customer(id_)["id"])

    def get_customer_note(self, _: Request, id_: str, note: str) -> Row:
        """GET /customers/{id}/notes/{note}."""
        return self._note(self.tenant.customer(id_)["id"], note)

    # Groups

    def create_group(self, request: Request) -> Response:
        """POST /entitlements/groups. A repeated call makes another group."""
        given = wire.parse(request.get_data(), wire.CREATE_GROUP)
        group = self.tenant.create_group(given, self.clock.now())
        self._wrote(request, group.entitlements, group=group.id)
        return reply(self._group(group, ("entitlements",)), 201)

    def list_groups(self, request: Request) -> Row:
        """GET /entitlements/groups: customerId is the only filter."""
        expand = _expand(request, "customer", "entitlements")
        customer = request.args.get("customerId")
        ids = None if customer is None else self.tenant.groups_of.get(customer, {})
        return self._page(request, self._listed(self.tenant.groups, ids), lambda group: self._group(group, expand))

    def find_group(self, request: Request) -> Row:
        """POST /entitlements/groups/find: by activation code and product; current even where lists lag."""
        given = wire.parse(request.get_data(), wire.FIND_GROUP)
        found = self.tenant.find_group(given["activationCode"], given["productId"])
        return self._group(found, _expand(request, "customer", "entitlements"))

    def get_group(self, request: Request, id_: str) -> Row:
        """GET /entitlements/groups/{id}."""
        return self._group(self.tenant.group(id_), _expand(request, "customer", "entitlements"))

    def update_group(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/groups/{id}."""
        self.tenant.update_group(id_, wire.parse(request.get_data(), wire.UPDATE_GROUP), self.clock.now())
        return self._done(request, self.tenant.group(id_).entitlements, group=id_)

    def extend_group(self, request: Request, id_: str) -> Response:
        """POST /entitlements/groups/{id}/extend. A repeated call adds again."""
        before = len(self.tenant.group(id_).entitlements)
        skus = wire.parse(request.get_data(), wire.EXTEND_GROUP)["skus"]
        group = self.tenant.extend_group(id_, skus, self.clock.now())
        self._wrote(request, group.entitlements[before:], group=id_)
        return reply(self._group(group, ("entitlements",)), 201)

    # Entitlements

    def list_entitlements(self, request: Request) -> Row:
        """GET /entitlements: filters customerId and productId."""
        expand = _expand(request, "customer")
        customer, product = request.args.get("customerId"), request.args.get("productId")
        rows = self._listed(
            self.tenant.entitlements, None if customer is None else self.tenant.entitlement_ids(customer)
        )
        if product is not None:
            rows = [row for row in rows if self.tenant.product_id(row) == product]
        now = self.clock.now()
        return self._page(request, rows, lambda row: wire.entitlement_list_row(self.tenant, row, now, expand))

    def get_entitlement(self, request: Request, id_: str) -> Row:
        """GET /entitlements/{id}."""
        expand = _expand(request, "product", "attributes", "features", "offering")
        model = wire.entitlement_model(self.tenant, self.tenant.entitlement(id_), self.clock.now(), expand)
        return model | ({"actions": _actions(model)} if self.switches.actions else {})

    def update_entitlement(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}."""
        given = wire.parse(request.get_data(), wire.UPDATE_ENTITLEMENT)
        self.tenant.update(id_, given, self.clock.now(), force=_forced(request))
        return self._done(request, [id_])

    def activate_entitlement(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/activate."""
        self.tenant.activate(id_, self.clock.now())
        return self._done(request, [id_])

    def renew_entitlement(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/renew: adds a period each time."""
        self.tenant.renew(id_, self.clock.now())
        return self._done(request, [id_])

    def change_offering(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/change-offering."""
        given = wire.parse(request.get_data(), wire.CHANGE_OFFERING)
        self.tenant.change_offering(id_, given["offeringId"], self.clock.now(), force=_forced(request))
        return self._done(request, [id_])

    def reset_overrides(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/reset-overrides."""
        given = wire.parse(request.get_data(), wire.RESET_OVERRIDES)
        names = [wire.RESETS[name] for name, wanted in given.items() if wanted]
        self.tenant.reset_overrides(id_, names, self.clock.now(), force=_forced(request))
        return self._done(request, [id_])

    def enable_entitlement(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/enable."""
        self.tenant.switch(id_, self.clock.now(), on=True)
        return self._done(request, [id_])

    def disable_entitlement(self, request: Request, id_: str) -> Response:
        """PATCH /entitlements/{id}/disable."""
        self.tenant.switch(id_, self.clock.now(), on=False)
        return self._done(request, [id_])

    def provision_entitlement(self, request: Request, id_: str) -> Response:
        """POST /entitlements/{id}/provision."""
        self.tenant.provision(id_, self.clock.now())
        return self._done(request, [id_])

    def add_entitlement_note(self, request: Request, id_: str) -> Response:
        """POST /entitlements/{id}/notes. A repeated call adds another."""
        self.tenant.entitlement(id_)
        return self._add_note(request, id_, entitlements=[id_])

    def list_entitlement_notes(self, _: Request, id_: str) -> Row:
        """GET /entitlements/{id}/notes."""
        return self._notes(self.tenant.entitlement(id_).id)

    def get_entitlement_note(self, _: Request, id_: str, note: str) -> Row:
        """GET /entitlements/{id}/notes/{note}."""
        return self._note(self.tenant.entitlement(id_).id, note)

    # Seats

    def list_activations(self, request: Request, id_: str) -> Row:
        """GET /entitlements/{id}/activations: the seats in use."""
        entitlement, now = self.tenant.entitlement(id_), self.clock.now()
        wanted = request.args.get("seatId")
        seats = [one for one in self.tenant.seats(entitlement, now).values() if wanted in (None, one.seat_id)]
        return self._page(request, seats, lambda seat: wire.activation_model(self.tenant, entitlement, seat, now))

    def list_activations_log(self, request: Request, id_: str) -> Row:
        """GET /entitlements/{id}/activations-log; dateFrom and dateTo are both inclusive."""
        self.tenant.entitlement(id_)
        if self.switches.log_refused:
            raise Refused(403, "The API client may not read activation logs", code="forbidden")
        days = self.switches.log_days
        kept_from = self.clock.now() - timedelta(days=days) if days else None
        wanted, first, last = request.args.get("seatId"), _date(request, "dateFrom"), _date(request, "dateTo")
        rows = [
            row
            for row in self.tenant.log[id_]
            if wanted in (None, row["seatId"])
            and (first is None or row["timestamp"] >= first)
            and (last is None or row["timestamp"] <= last)
            and (kept_from is None or row["timestamp"] >= kept_from)
        ]
        return self._page(request, rows[::-1] if self.switches.log_newest_first else rows, wire.log_row)

    def take_seat(self, request: Request) -> Response:
        """POST /entitlements/activations."""
        now = self.clock.now()
        entitlement, seat = self.tenant.take_seat(wire.parse(request.get_data(), wire.ACTIVATE), now)
        self._wrote(request, [entitlement.id])
        return reply(wire.activation_state(self.tenant, entitlement, seat, now), 201)

    def refresh_seat(self, request: Request) -> Row:
        """PATCH /entitlements/activations: a longer lease."""
        now = self.clock.now()
        given = wire.parse(request.get_data(), wire.REFRESH)
        entitlement, seat = self.tenant.refresh_seat(given["activationId"], now)
        self._wrote(request, [entitlement.id])
        return wire.activation_state(self.tenant, entitlement, seat, now)

    def get_seat(self, _: Request, id_: str) -> Row:
        """GET /entitlements/activations/{id}."""
        now = self.clock.now()
        return wire.activation_state(self.tenant, *self.tenant.seat(id_, now), now)

    def free_seat(self, request: Request, id_: str) -> Response:
        """DELETE /entitlements/activations/{id}."""
        return self._done(request, [self.tenant.free_seat(id_, self.clock.now()).id])

    def check_out_feature(self, request: Request, id_: str) -> Row:
        """PATCH /entitlements/activations/{id}/features/checkout: usageCount features alone. A repeated call adds."""
        given = wire.parse(request.get_data(), wire.CHECK_OUT)
        entitlement = self.tenant.check_out(id_, given["key"], given["amount"], self.clock.now())
        self._wrote(request, [entitlement.id])
        return wire.activation_feature(self.tenant, entitlement, given["key"])

    # Catalog

    def create_product(self, request: Request) -> Response:
        """POST /products."""
        return self._created(request, self.tenant.products, "prod", "product", wire.PRODUCT)

    def list_products(self, request: Request) -> Row:
        """GET /products."""
        return self._page(request, self._ordered(self.tenant.products.rows()), dict)

    def get_product(self, _: Request, id_: str) -> Row:
        """GET /products/{id}."""
        return _known(self.tenant.products, id_, "Product")

    def create_edition(self, request: Request, id_: str) -> Response:
        """POST /products/{id}/editions."""
        _known(self.tenant.products, id_, "Product")
        return self._created(request, self.tenant.editions, "ed", "edition", wire.EDITION, productId=id_)

    def list_editions(self, request: Request, id_: str) -> Row:
        """GET /products/{id}/editions."""
        _known(self.tenant.products, id_, "Product")
        return self._page(request, [row for row in self.tenant.editions.rows() if row["productId"] == id_], dict)

    def get_edition(self, _: Request, id_: str, edition: str) -> Row:
        """GET /products/{id}/editions/{edition}."""
        row = _known(self.tenant.editions, edition, "Edition")
        if row["productId"] != id_:
            raise missing("Edition")
        return row

    def create_plan(self, request: Request) -> Response:
        """POST /plans."""
        return self._created(request, self.tenant.plans, "plan", "plan", wire.PLAN)

    def list_plans(self, request: Request) -> Row:
        """GET /plans."""
        return self._page(request, self._ordered(self.tenant.plans.rows()), dict)

    def get_plan(self, _: Request, id_: str) -> Row:
        """GET /plans/{id}."""
        return _known(self.tenant.plans, id_, "Plan")

    def create_offering(self, request: Request) -> Response:
        """POST /offerings. The uniqueness of SKUs is not documented: the last one is the one sold."""
        row = self._new("off", "offering", wire.parse(request.get_data(), wire.OFFERING))
        self.tenant.put_offering(row)
        self._wrote(request)
        return reply(wire.offering_model(self.tenant, row), 201)

    def list_offerings(self, request: Request) -> Row:
        """GET /offerings: filters productId and planId."""
        expand = _expand(request, "edition", "plan")
        product, plan = request.args.get("productId"), request.args.get("planId")
        rows = [
            row
            for row in self._ordered(self.tenant.offerings.rows())
            if plan in (None, row["planId"])
            and product in (None, self.tenant.editions.now[row["editionId"]]["productId"])
        ]
        return self._page(request, rows, lambda row: wire.offering_list_row(self.tenant, row, expand))

    def get_offering(self, request: Request, id_: str) -> Row:
        """GET /offerings/{id}."""
        row = _known(self.tenant.offerings, id_, "Offering")
        return wire.offering_model(self.tenant, row, _expand(request, "edition", "plan", "stats"))

    def update_offering(self, request: Request, id_: str) -> Response:
        """PATCH /offerings/{id}: entitlements keep the values that they were created with."""
        row = _known(self.tenant.offerings, id_, "Offering")
        given = wire.parse(request.get_data(), wire.UPDATE_OFFERING)
        self.tenant.put_offering(row | given)
        return self._done(request)

    def account_key(self, _: Request) -> Row:
        """GET /account/key: the public key that signs webhooks, as a JWK."""
        numbers = self.signing_key.public_key().public_numbers()
        return {"kty": "RSA", "n": _base64url(numbers.n), "e": _base64url(numbers.e)}

    @property
    def signing_key(self) -> rsa.RSAPrivateKey:
        """The tenant's RSA key, 2048 bit, made when first asked for."""
        with self._key_lock:
            self._made_key = self._made_key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return self._made_key

    def rotate_key(self) -> None:
        """From now on another key signs, also what is sent again."""
        with self._key_lock:
            self._made_key = None

    # Webhooks

    def create_listener(self, request: Request) -> Response:
        """POST /account/webhooks. Two may share an address: that is not documented."""
        listener = self._listener(self.tenant.new_id("whl"), request)
        return reply(listener.model(), 201)

    def list_listeners(self, request: Request) -> Row:
        """GET /account/webhooks."""
        return self._page(request, list(self.deliveries.listeners.values()), Listener.model)

    def list_event_types(self, _: Request) -> Row:
        """GET /account/webhooks/events."""
        items = [{"type": type_, "code": code, "description": told} for code, (type_, told) in CATALOG.items()]
        return {"items": items, "elementsTotal": len(items)}

    def get_listener(self, _: Request, id_: str) -> Row:
        """GET /account/webhooks/{id}."""
        return self._known_listener(id_).model()

    def replace_listener(self, request: Request, id_: str) -> Response:
        """PUT /account/webhooks/{id}."""
        self._listener(self._known_listener(id_).id, request)
        return Response(status=204)

    def delete_listener(self, _: Request, id_: str) -> Response:
        """DELETE /account/webhooks/{id}."""
        del self.deliveries.listeners[self._known_listener(id_).id]
        return Response(status=204)

    def send_test_event(self, _: Request, id_: str) -> Response:
        """POST /account/webhooks/{id}/test."""
        self.deliveries.test(self._known_listener(id_), self.clock.now())
        return Response(status=204)

    def _listener(self, id_: str, request: Request) -> Listener:
        given = wire.parse(request.get_data(), wire.LISTENER)
        listener = Listener(id_, given["uri"], tuple(given["subscriptions"]))
        self.deliveries.listeners[id_] = listener
        return listener

    def _known_listener(self, id_: str) -> Listener:
        if id_ not in self.deliveries.listeners:
            raise missing("Webhook")
        return self.deliveries.listeners[id_]

    # What the handlers share

    def _new(self, prefix: str, kind: str, given: Row, **more: str) -> Row:
        return {"id": self.tenant.new_id(prefix)} | more | wire.DEFAULTS[kind] | given

    def _created(
        self, request: Request, table: Table[Row], prefix: str, kind: str, shape: wire.Shape, **more: str
    ) -> Response:
        row = self._new(prefix, kind, wire.parse(request.get_data(), shape), **more)
        table.put(row["id"], row)
        self._wrote(request)
        return reply(row, 201)

    def _group(self, group: Group, expand: Sequence[str] = ()) -> Row:
        return wire.group_model(self.tenant, group, self.clock.now(), expand)

    def _listed(self, table: Table[T], ids: Iterable[str] | None = None) -> list[T]:
        """Rows of a list that may lag, in the list's order."""
        stale = self.switches.stale_s
        return self._ordered(table.rows(ids, time.monotonic() - stale if stale else None))

    def _ordered(self, rows: list[T]) -> list[T]:
        return sorted(rows, key=_id_of) if self.switches.shuffled else rows

    def _page(self, request: Request, rows: Sequence[T], render: Callable[[T], Row]) -> Row:
        """One page of a list in the vendor's envelope. A larger page than allowed is cut without a word."""
        size, page = _count(request, "pageSize", DEFAULT_PAGE), _count(request, "pageNumber", 1)
        size = min(size, LARGEST_PAGE)
        shown = rows[(page - 1) * size : page * size]
        items = [render(row) for row in shown]
        return {"items": items, "pageSize": size, "pageNumber": page, "elementsTotal": len(rows)}

    def _add_note(self, request: Request, id_: str, **about: Any) -> Response:  # noqa: ANN401
        row = {
            "id": self.tenant.new_id("nt"),
            "note": wire.parse(request.get_data(), wire.NOTE)["note"],
            "author": {"username": None, "displayName": self.client_id, "api": True, "system": False},
            "createdAt": whole(self.clock.now()),
        }
        self.tenant.notes[id_].append(row)
        self._wrote(request, **about)
        return reply(wire.note_model(row), 201)

    def _notes(self, id_: str) -> Row:
        return {"notes": [wire.note_model(row) for row in self.tenant.notes[id_]]}

    def _note(self, id_: str, note: str) -> Row:
        for row in self.tenant.notes[id_]:
            if row["id"] == note:
                return wire.note_model(row)
        raise missing("Note")

    def _done(self, request: Request, entitlements: Iterable[str] = (), **about: str) -> Response:
        """204, and the write is in the history."""
        self._wrote(request, entitlements, **about)
        return Response(status=204)

    def _wrote(self, request: Request, entitlements: Iterable[str] = (), **about: str) -> None:
        body = json.loads(request.get_data() or b"null")
        self._note_write(request.method, request.full_path.rstrip("?"), body, entitlements, **about)

    def _note_write(self, method: str, path: str, body: object, entitlements: Iterable[str], **about: str) -> None:
        """Appends to the history: a row for each entitlement that was written, or one where there was none."""
        row = {"at": iso(self.clock.now()), "machine_at": time.time(), "method": method, "path": path, "body": body}
        for id_ in tuple(entitlements) or (None,):
            after = self._grant(self.tenant.entitlements.now[id_]) if id_ else None
            serial = {"number": len(self.history_rows) + 1, "entitlement": id_, "after": after}
            self.history_rows.append(serial | row | about)

    # For tests, the sandbox and its story (POST /_sandbox/<name>)

    def admin(self, name: str, body: Row) -> Any:  # noqa: ANN401
        """The admin calls of this emulator: the methods below by their names, and switches."""
        calls: dict[str, Callable[[Row], Any]] = {
            "seed": lambda _: self.seed(),
            "reset": lambda _: self.reset(),
            "fill": lambda given: self.fill(**given),
            "offering": lambda given: self.add_offering(**given),
            "switches": self.switches.set,
            "stale": lambda given: self.switches.set({"stale_s": given["seconds"]}),
            "expire_tokens": lambda _: self._tokens.clear(),
            "activate": self.activate,
            "deactivate": self.deactivate,
            "use": self.use,
            "edit": self.edit,
            "grants": lambda _: self.grants(),
            "history": lambda _: self.history_rows,
            "webhook": lambda given: self.webhook(**given),
            "delivery": self.deliveries.configure,
            "deliver": lambda given: {"queued": self.deliveries.again(given.get("events"))},
            "deliveries": lambda _: self.deliveries.tried(),
            "undelivered": lambda _: self.deliveries.undelivered(),
            "events": lambda _: self.deliveries.bodies(),
            "rotate_key": lambda _: self.rotate_key(),
        }
        if name == "drain":  # waits, so without the lock
            return self.deliveries.drain(**body)
        with self.lock:
            try:
                result = calls[name](body)
            except Refused as refused:
                return {"refused": refused.status, "error": refused.details}
            finally:
                self._publish()
            return {"ok": True} if result is None else result

    def webhook(self, url: str, subscriptions: Sequence[str] = tuple(CATALOG)) -> Row:
        """Events go to `url` from now on, all unless said otherwise. The same URL again replaces its listener."""
        with self.lock:
            known = next((one.id for one in self.deliveries.listeners.values() if one.uri == url), None)
            listener = Listener(known or self.tenant.new_id("whl"), url, tuple(subscriptions))
            self.deliveries.listeners[listener.id] = listener
            return listener.model()

    def state(self) -> Row:
        """Customers, catalog and grants."""
        return {
            "customers": [wire.customer_model(row) for row in self.tenant.customers.rows()],
            "offerings": [wire.offering_model(self.tenant, row) for row in self.tenant.offerings.rows()],
            "grants": self.grants(),
            "listeners": [listener.model() for listener in self.deliveries.listeners.values()],
            "writes": len(self.history_rows),
        }

    def reset(self) -> None:
        """An empty tenant with the default catalog and the seed's ids; switches, tokens and listeners stay."""
        with self.lock:
            self.tenant = Tenant(self._seed)
            self.tenant.catch_up(self.clock.now())
            self.history_rows = []
            self.seed()

    def seed(self) -> dict[str, str]:
        """Adds the default catalog, where its SKUs are not there. Gives offering ids by SKU."""
        default: dict[str, Row] = {
            "PRO-100": {"duration": YEAR},
            "PRO-MONTHLY": {"duration": MONTH},
            "TEAM-YEAR": {"duration": YEAR, "seat_count": 5},
            "ADDON-YEAR": {"duration": YEAR, "product": "Add-on"},
            "PERP-1": {"duration": None},
        }
        for sku, values in default.items():
            if sku not in self.tenant.offering_with_sku:
                self.add_offering(sku, **values)
        return dict(self.tenant.offering_with_sku)

    def add_offering(
        self,
        sku: str,
        *,
        duration: Row | None = YEAR,
        product: str = "Pro",
        seat_count: int = 1,
        grace: Row | None = None,
        start: str = "entitlementCreation",
        overdraft: Row = NO_OVERDRAFT,
        mode: str = "concurrent",
        plan_type: str = "paid",
        lease: Row | None = None,
        maintenance: Row | None = None,
        features: Mapping[str, int | None] | None = None,
        feature_overdraft: Row = NO_OVERDRAFT,
        usage_reset: str | None = None,
    ) -> str:
        """Adds an offering with a plan of its own, and its product where that is new. `duration` None: perpetual.

        `lease`: how long a seat of the product is held without a refresh; None: as it is, a day in a new product.
        `features`: key -> how much may be used (None: without end) until `usage_reset` (never, onRenewal, monthly).
        Gives its id; a SKU that is there is from now on sold as this one.
        """
        with self.lock:
            edition = self._edition(product)
            if lease:
                self.tenant.products.put(
                    edition["productId"], self.tenant.products.now[edition["productId"]] | {"leasePeriod": lease}
                )
            plan = self._put_new(
                self.tenant.plans,
                "plan",
                "plan",
                name=f"{sku} plan"[:50],
                licenseType="subscription" if duration else "perpetual",
                licenseStartType=start,
                licenseDuration=duration or NONE,
                planType=plan_type,
            )
            offering = {
                "name": sku,
                "sku": sku,
                "editionId": edition["id"],
                "planId": plan["id"],
                "seatCount": seat_count,
                "overdraftSeatLimit": overdraft,
                "concurrencyMode": mode,
                "gracePeriod": grace,
                "usageResetSchedule": usage_reset or ("onRenewal" if duration else "never"),
                "hasMaintenance": maintenance is not None,
                "maintenanceDuration": maintenance or NONE,
            }
            row = self._new("off", "offering", offering)
            self.tenant.features[row["id"]] = {
                key: {"id": self.tenant.new_id("feat"), "value": value, "overdraftLimit": feature_overdraft}
                for key, value in (features or {}).items()
            }
            self.tenant.put_offering(row)
            return str(row["id"])

    def _edition(self, product: str) -> Row:
        """The edition of the product with this name; both are made where they are missing."""
        for edition in self.tenant.editions.rows():
            if self.tenant.products.now[edition["productId"]]["name"] == product:
                return edition
        made = self._put_new(self.tenant.products, "prod", "product", name=product)
        return self._put_new(self.tenant.editions, "ed", "edition", name="Standard", productId=made["id"])

    def _put_new(self, table: Table[Row], prefix: str, kind: str, **given: Any) -> Row:  # noqa: ANN401
        row = self._new(prefix, kind, given)
        table.put(row["id"], row)
        return row

    def fill(self, groups: int, sku: str = "PRO-100", per_customer: int = 1) -> None:
        """Adds so many groups, one entitlement each, with customers `fill:<n>`; no history, no events."""
        with self.lock:
            now = self.clock.now()
            for number in range(groups):
                if number % per_customer == 0:
                    row = self._put_new(
                        self.tenant.customers,
                        "cust",
                        "customer",
                        name=f"Customer {number}",
                        accountRefId=f"fill:{number}",
                        createdAt=whole(now),
                        updatedAt=None,
                        disabledDate=None,
                    )
                given = {"skus": [sku], "customerId": row["id"], "orderRefId": f"fill:{number}"}
                self.tenant.create_group(given, now)
            self.tenant.happened.clear()

    def activate(self, body: Row) -> list[Row]:
        """Takes the seats `seatIds` of the chosen entitlement (`_chosen`); a refused one says `denied`."""
        with self.lock:
            id_, now, rows = self._chosen(body).id, self.clock.now(), []
            for seat_id in body["seatIds"]:
                try:
                    _, seat = self.tenant.hold_seat(self.tenant.entitlement(id_), seat_id, None, now)
                    rows.append({"seatId": seat_id, "activationId": seat.id})
                except Refused as refused:
                    rows.append({"seatId": seat_id, "denied": refused.details})
            self._note_write("USER", "/_sandbox/activate", body, [id_])
            return rows

    def deactivate(self, body: Row) -> list[Row]:
        """Frees the seats `seatIds` (absent: all) of the chosen entitlement (`_chosen`)."""
        with self.lock:
            entitlement, now = self._chosen(body), self.clock.now()
            held = self.tenant.seats(entitlement, now)
            ended = [held[seat_id] for seat_id in body.get("seatIds", list(held)) if seat_id in held]
            for seat in ended:
                self.tenant.free_seat(seat.id, now, "deactivate")
            self._note_write("USER", "/_sandbox/deactivate", body, [entitlement.id])
            return [{"seatId": seat.seat_id, "activationId": seat.id} for seat in ended]

    def use(self, body: Row) -> Row:
        """Plays `steps`, in order of time: from `at` (business time) on `seats` seats of `_chosen` are held.

        Log and webhooks carry each seat that is taken or given back, at that moment. Says how many seats were denied.
        """
        with self.lock:
            steps = sorted(body["steps"], key=lambda step: moment_of(step["at"]))
            chosen = {order: self._chosen({"orderRefId": order}).id for order in {one["orderRefId"] for one in steps}}
            denied = sum(
                self.tenant.hold_exactly(chosen[one["orderRefId"]], one["seats"], moment_of(one["at"])) for one in steps
            )
            return {"denied": denied}

    def edit(self, body: Row) -> Row:
        """Changes the chosen entitlement (`_chosen`) as a person in the vendor's console would.

        Takes the fields of PATCH, and `disabled`, `exported`, `force`. Gives its grant.
        """
        with self.lock:
            entitlement, now = self._chosen(body), self.clock.now()
            if "exported" in body:
                entitlement = replace(entitlement, exported=body["exported"])
            if "disabled" in body:
                entitlement = replace(entitlement, disabled_at=whole(now) if body["disabled"] else None)
            self.tenant.entitlements.put(entitlement.id, entitlement)
            given = wire.parse(json.dumps(body).encode(), wire.UPDATE_ENTITLEMENT)
            if given:
                self.tenant.update(entitlement.id, given, now, force=body.get("force", False))
            else:
                self.tenant.tell_updated(entitlement.id, now)
            self._note_write("PERSON", "/_sandbox/edit", body, [entitlement.id])
            return self._grant(self.tenant.entitlement(entitlement.id))

    def _chosen(self, body: Row) -> Entitlement:
        """By `entitlement` (id), or the first that fits what is given of `sku`, `orderRefId`, `accountRefId`."""
        if "entitlement" in body:
            return self.tenant.entitlements.now[body["entitlement"]]
        wanted = {name: body[name] for name in ("sku", "orderRefId", "accountRefId") if name in body}
        for entitlement in self.tenant.entitlements.rows():
            grant = self._grant(entitlement)
            if all(grant[name] == value for name, value in wanted.items()):
                return entitlement
        raise KeyError(str(wanted))

    def grants(self) -> list[Row]:
        """What every customer holds: a row per entitlement, oldest first."""
        with self.lock:
            return [self._grant(one) for one in self.tenant.entitlements.rows()]

    def _grant(self, entitlement: Entitlement) -> Row:
        tenant, now = self.tenant, self.clock.now()
        group, customer = tenant.groups.now[entitlement.group_id], tenant.customer_of(entitlement.group_id)
        return {
            "id": entitlement.id,
            "groupId": group.id,
            "accountRefId": customer["accountRefId"] if customer else None,
            "orderRefId": group.order_ref,
            "sku": tenant.offerings.now[entitlement.offering_id]["sku"],
            "seatCount": entitlement.seat_count,
            "seatsUsed": len(tenant.seats(entitlement, now)),
            "overdraft": wire.limit(entitlement.overdraft),
            "expiryDate": wire.stamp(entitlement.expires_at),
            "maintenanceExpiryDate": wire.stamp(entitlement.maintenance_expires_at),
            "disabled": entitlement.disabled_at is not None,
            "status": tenant.status(entitlement, now),
            "created": iso(entitlement.created),
            "activationCodes": list(group.codes),
        }


# Reading requests


def _version(request: Request) -> str | None:
    """The version asked for; the documented header, the one the vendor's demo sends, or the query parameter."""
    headers = request.headers
    return headers.get("N-ApiVersion") or headers.get("N-Api-Version") or request.args.get("n-api-version")


def _expand(request: Request, *allowed: str) -> tuple[str, ...]:
    """The expansions asked for; 400 for one that this call does not have."""
    wanted = tuple(name for value in request.args.getlist("expand") for name in value.split(",") if name)
    for name in wanted:
        if name not in allowed:
            raise Refused(400, f"Can't expand {name}", code="badRequest")
    return wanted


def _count(request: Request, name: str, default: int) -> int:
    """A positive integer of the query, or 400."""
    value = request.args.get(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise Refused(400, f"{name} must be a positive integer", code="badRequest")
    return int(value)


def _forced(request: Request) -> bool:
    """The query parameter forceSeatCount, or 400."""
    value = request.args.get("forceSeatCount", "false").lower()
    if value not in ("true", "false"):
        raise Refused(400, "forceSeatCount must be a boolean", code="badRequest")
    return value == "true"


def _date(request: Request, name: str) -> Any:  # noqa: ANN401
    """A date-time of the query, None where it is absent, or 400."""
    value = request.args.get(name)
    if value is None:
        return None
    try:
        return moment_of(value)
    except ValueError as error:
        raise Refused(400, f"{name} must be a date-time", code="badRequest") from error


def _known(table: Table[Row], id_: str, what: str) -> Row:
    """The row, or 404."""
    row = table.now.get(id_)
    if row is None:
        raise missing(what)
    return row


def _id_of(row: Any) -> str:  # noqa: ANN401
    """The id of a record or of a row."""
    return str(row["id"] if isinstance(row, dict) else row.id)


def _actions(model: Row) -> Row:
    """What is allowed now; a minimal map, since the vendor's keys are not documented."""
    verbs = {"created": ("activate", "disable"), "disabled": ("enable",)}.get(model["status"], ("renew", "disable"))
    return {verb: {"method": "PATCH", "path": f"/api/v1/entitlements/{model['id']}/{verb}"} for verb in verbs}


def _oauth_error(status: int, error: str, description: str) -> Response:
    """Keycloak's error shape."""
    return reply({"error": error, "error_description": description}, status)


def _base64url(number: int) -> str:
    """A JWK's number: big-endian bytes in base64url without padding."""
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
