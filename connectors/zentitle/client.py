"""The few calls to the Zentitle2 Management API that we make, named after our need.

Paths and fields: Management API 2025-10-10, as the vendor's own generated clients have them
(growth-platform-demo-dotnet; integrations-n8n 1.1.1 of 2026-04-28); README.md says which points are established.
Unknown fields are ignored, because the vendor adds some without a new version (docs.zentitle.io, "API Versioning").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from connectors.http import Http, Query, Reply
from connectors.zentitle.settings import Settings
from hub.domain import Call, Json
from hub.errors import Hold, PermanentError, RetryableError
from hub.ports import Deps, TokenCache

PAGE_SIZE = 200  # the largest that a client of the vendor's own uses; the maximum is not documented
TOKEN_MARGIN_S = 10.0
TOKEN_HELD_S = 30.0  # how long a process trusts its own copy before it asks the shared cache again
TOKEN_PAUSE_S = 3.0  # after a failure nobody asks for a token: threads that wait must not each wait for their own
NOTE_LIMIT = 1000
_FORCE: Query = {"forceSeatCount": "true"}


def utc(moment: datetime) -> datetime:
    """`moment` in UTC; without a zone it is UTC already (vendor's OpenAPI, "Dates")."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(utc)]


def instant(moment: datetime) -> str:
    """`moment` as the vendor takes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class Interval(_Model):
    """A duration such as 7 days; `type` "none" has no count."""

    type: str
    count: int | None = None


class OverdraftLimit(_Model):
    """Seats beyond the count. `type`: none, absolute, percentage or unlimited."""

    type: str
    value: int | None = None

    @property
    def seats(self) -> int | None:
        """As a number of seats; None where the limit is no number (percentage, unlimited, unknown)."""
        return {"absolute": self.value, "none": 0}.get(self.type)


class CustomerRow(_Model):
    """What we need of CustomerListModel and CustomerModel."""

    id: str
    account_ref_id: str | None = None
    name: str | None = None


class EntitlementRow(_Model):
    """What we need of EntitlementBasicModel, as groups list it."""

    id: str
    sku: str | None = None


class GroupModel(_Model):
    """What we need of EntitlementGroupModel; `entitlements` is None where it was not expanded."""

    id: str
    order_ref_id: str | None = None
    customer_id: str | None = None
    created: Moment | None = None
    entitlements: tuple[EntitlementRow, ...] | None = None


class EntitlementModel(_Model):
    """What we need of the vendor's EntitlementModel. seats_used includes overdraft, seat_count excludes it."""

    id: str
    sku: str
    offering_id: str
    product_id: str
    license_type: str
    status: str
    seat_count: int
    seats_used: int
    overdraft_seat_limit: OverdraftLimit | None = None
    expiry_date: Moment | None = None
    has_maintenance: bool = False
    maintenance_expiry_date: Moment | None = None
    disabled_date: Moment | None = None
    grace_period: Interval | None = None
    exported: bool = False
    entitlement_group_id: str | None = None
    created: Moment | None = None
    concurrency_mode: str = "concurrent"


class EntitlementListRow(_Model):
    """What we need of EntitlementListModel, which has neither status nor offering id."""

    id: str
    sku: str
    seat_count: int
    seats_used: int
    overdraft_seat_limit: OverdraftLimit | None = None
    expiry_date: Moment | None = None
    group: GroupModel | None = None


class LogRow(_Model):
    """What we need of ActivationLogModel; where a seat is used from is nobody's business here."""

    activation_id: str | None = None
    seat_id: str | None = None
    timestamp: Moment
    operation: str
    lease_expiry: Moment | None = None


class PlanModel(_Model):
    """What we need of an offering's plan."""

    license_type: str
    license_start_type: str


class _Product(_Model):
    id: str


class EditionModel(_Model):
    """What we need of an offering's edition; the product's id stands in one of two places."""

    product_id: str | None = None
    product: _Product | None = None

    @model_validator(mode="after")
    def _names_a_product(self) -> EditionModel:
        if self.product_id is None and self.product is None:
            raise ValueError("neither productId nor product")
        return self

    @property
    def of_product(self) -> str:
        """The product's id."""
        return self.product_id or (self.product.id if self.product else "")


class OfferingModel(_Model):
    """What we need of OfferingListModel (which has no gracePeriod), edition and plan expanded."""

    id: str
    sku: str
    seat_count: int
    edition: EditionModel
    plan: PlanModel


class KeyModel(_Model):
    """The tenant's public RSA key as a JWK; `n` is the modulus in base64url."""

    kty: str
    n: str


class ListenerModel(_Model):
    """A webhook listener: which event codes go to which address."""

    id: str
    uri: str
    subscriptions: tuple[str, ...]


class _Page(_Model):
    items: tuple[dict[str, object], ...]
    elements_total: int
    page_size: int = PAGE_SIZE


class _Token(_Model):
    # Keycloak's names are snake_case already, so the alias generator must not touch them.
    model_config = ConfigDict(alias_generator=None)

    access_token: str
    expires_in: float


M = TypeVar("M", bound=_Model)


class WrongVersion(PermanentError):
    """The server answered in another API version than the pinned one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A write that was applied: the answer (its body may be None) and the request, for the journal."""

    reply: Reply
    call: Call


class Tokens:
    """Access tokens by client credentials (OAuth 2.0, Keycloak), shared through the record's cache.

    A process keeps its own copy for a short while, so that not every request asks the record.
    """

    def __init__(self, settings: Settings, deps: Deps) -> None:
        url = urlsplit(settings.token_url)
        self._path = url.path
        self._http = Http(f"{url.scheme}://{url.netloc}", deps, complaint=_token_complaint)
        self._settings = settings
        self._cache: TokenCache = deps.tokens
        self._lock = threading.Lock()
        self._held: tuple[str, float] | None = None
        self._paused_until = 0.0

    def token(self) -> str:
        """A token that should work. Raises RetryableError where none is to be had: nothing was applied."""
        with self._lock:
            if self._held and time.monotonic() < self._held[1]:
                return self._held[0]
            if cached := self._cache.get():
                self._held = (cached, time.monotonic() + TOKEN_HELD_S)
                return cached
            if time.monotonic() < self._paused_until:
                raise RetryableError("no access token: the last try failed just now")
            return self._fetch()

    def refused(self, token: str) -> None:
        """Forgets `token`, unless another thread or process has got a new one meanwhile."""
        with self._lock:
            if self._held and self._held[0] == token:
                self._held = None
            if self._cache.get() == token:
                self._cache.drop()

    def renew(self) -> None:
        """Asks for a new token whatever is cached: shows whether the credentials work."""
        with self._lock:
            self._fetch()

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()

    def _fetch(self) -> str:
        asked_at = time.monotonic()  # before the request: the lifetime may count from any moment after it
        try:
            reply = self._http.read(self._path, method="POST", form=self._form())
        except Hold:
            raise
        except (RetryableError, PermanentError) as error:
            # Bad credentials are no purchase's fault: no subject must die of them.
            self._paused_until = time.monotonic() + TOKEN_PAUSE_S
            raise RetryableError(f"no access token: {error}") from error
        granted = parsed(_Token, reply)
        lifetime_s = granted.expires_in - min(TOKEN_MARGIN_S, granted.expires_in / 10)
        self._cache.put(granted.access_token, lifetime_s - (time.monotonic() - asked_at))
        self._held = (granted.access_token, asked_at + min(lifetime_s, TOKEN_HELD_S))
        return granted.access_token

    def _form(self) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
        }


class Client:
    """Calls to one tenant. Reads raise RetryableError or PermanentError, writes UnknownResult too (connectors.http).

    `unversioned` tells whether an answer did not say its API version.
    """

    def __init__(self, settings: Settings, deps: Deps) -> None:
        self.tokens = Tokens(settings, deps)
        self.unversioned = False
        self._version = settings.api_version
        self._http = Http(
            settings.base_url,
            deps,
            access=self.tokens,
            complaint=complaint,
            headers={"N-TenantId": settings.tenant_id, "N-ApiVersion": settings.api_version},
        )

    def customers(self) -> Iterator[CustomerRow]:
        """All customers, all pages."""
        return self._rows(CustomerRow, "/customers", {})

    def create_customer(self, name: str, account_ref: str) -> tuple[CustomerRow, Call]:
        """The new customer. Not repeatable: the vendor takes no idempotency key."""
        written = self._write("POST", "/customers", {"name": name, "accountRefId": account_ref})
        return parsed(CustomerRow, written.reply), written.call

    def groups_of(self, customer_id: str) -> Iterator[GroupModel]:
        """All entitlement groups of a customer. There is no filter on orderRefId."""
        return self._rows(GroupModel, "/entitlements/groups", {"customerId": customer_id})

    def group(self, group_id: str) -> GroupModel | None:
        """The group with its entitlements; None where there is none."""
        path = f"/entitlements/groups/{_quoted(group_id)}"
        reply = self._found(path, query={"expand": "customer,entitlements"})
        return parsed(GroupModel, reply) if reply else None

    def group_by_code(self, code: str, product_id: str) -> GroupModel | None:
        """The group that has this activation code for this product; None where there is none."""
        body: Json = {"activationCode": code, "productId": product_id}
        reply = self._found("/entitlements/groups/find", method="POST", body=body)
        return parsed(GroupModel, reply) if reply and reply.body is not None else None

    def create_group(
        self, customer_id: str, order_ref: str, skus: tuple[str, ...], code: str
    ) -> tuple[GroupModel, Call]:
        """The new group, with one entitlement per SKU. Not repeatable: no idempotency key."""
        body: Json = {"skus": [*skus], "customerId": customer_id, "activationCode": code, "orderRefId": order_ref}
        written = self._write("POST", "/entitlements/groups", body)
        return parsed(GroupModel, written.reply), written.call

    def extend_group(self, group_id: str, skus: tuple[str, ...]) -> tuple[GroupModel | None, Call]:
        """The group with entitlements for these SKUs too, where the answer tells it. Not repeatable."""
        written = self._write("POST", f"/entitlements/groups/{_quoted(group_id)}/extend", {"skus": [*skus]})
        return _told(written.reply), written.call

    def entitlement(self, entitlement_id: str) -> EntitlementModel:
        """One entitlement; list rows have neither status nor offering id."""
        reply = self._read(_entitlement(entitlement_id), query={"expand": "offering"})
        return parsed(EntitlementModel, reply)

    def find_entitlement(self, entitlement_id: str) -> EntitlementModel | None:
        """As `entitlement`; None where there is none."""
        reply = self._found(_entitlement(entitlement_id), query={"expand": "offering"})
        return parsed(EntitlementModel, reply) if reply else None

    def entitlements(self) -> Iterator[EntitlementListRow]:
        """All entitlements with their groups, all pages."""
        return self._rows(EntitlementListRow, "/entitlements", {})

    def activations_log(
        self, entitlement_id: str, since: datetime | None, until: datetime, number: int
    ) -> tuple[list[LogRow], bool]:
        """One page of the log of an entitlement's seats from `since` to `until`, and whether there are more.

        In which order rows stand is not documented, nor for how long they are kept. They have no ids.
        """
        query = {"pageNumber": str(number), "pageSize": str(PAGE_SIZE), "dateTo": instant(until)}
        query |= {} if since is None else {"dateFrom": instant(since)}
        reply = self._read(_entitlement(entitlement_id, "activations-log"), query=query)
        page = parsed(_Page, reply)
        more = bool(page.items) and number * page.page_size < page.elements_total
        return [parsed(LogRow, reply, row) for row in page.items], more

    def patch_entitlement(self, entitlement_id: str, fields: dict[str, Json], *, force: bool) -> Call:
        """The entitlement has these values. Repeatable. `force`: also with fewer seats than are in use."""
        query = _FORCE if force else None
        return self._write("PATCH", _entitlement(entitlement_id), fields, query=query).call

    def change_offering(self, entitlement_id: str, offering_id: str, *, force: bool) -> Call:
        """The entitlement is of this offering; its term starts again today. The value is absolute."""
        path, query = _entitlement(entitlement_id, "change-offering"), _FORCE if force else None
        return self._write("PATCH", path, {"offeringId": offering_id}, query=query).call

    def enable(self, entitlement_id: str) -> Call:
        """The entitlement is on. Repeatable."""
        return self._write("PATCH", _entitlement(entitlement_id, "enable")).call

    def disable(self, entitlement_id: str) -> Call:
        """The entitlement is off. Repeatable."""
        return self._write("PATCH", _entitlement(entitlement_id, "disable")).call

    def add_note(self, entitlement_id: str, text: str) -> Call:
        """A note stands on the entitlement. Not repeatable."""
        return self._write("POST", _entitlement(entitlement_id, "notes"), {"note": text[:NOTE_LIMIT]}).call

    def offerings(self) -> Iterator[OfferingModel]:
        """All offerings with edition and plan, all pages."""
        return self._rows(OfferingModel, "/offerings", {"expand": "edition,plan"})

    def account_key(self) -> KeyModel:
        """The public key that webhooks are signed with (scope api:admin)."""
        return parsed(KeyModel, self._read("/account/key"))

    def listeners(self) -> Iterator[ListenerModel]:
        """All webhook listeners of the account, all pages (scope webhooks:admin)."""
        return self._rows(ListenerModel, "/account/webhooks", {})

    def create_listener(self, uri: str, codes: Sequence[str]) -> None:
        """Events of these codes go to `uri`. Not repeatable: twice is two listeners."""
        self._write("POST", "/account/webhooks", {"uri": uri, "subscriptions": [*codes]})

    def replace_listener(self, listener_id: str, uri: str, codes: Sequence[str]) -> None:
        """The listener has this address and these codes. Repeatable."""
        body: Json = {"uri": uri, "subscriptions": [*codes]}
        self._write("PUT", f"/account/webhooks/{_quoted(listener_id)}", body)

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()
        self.tokens.close()

    def _rows(self, model: type[M], path: str, query: Query) -> Iterator[M]:
        """Every row once. Rows that are added meanwhile shift the pages, so an id may come twice."""
        seen: set[object] = set()
        for number in count(1):
            reply = self._read(path, query={**query, "pageNumber": str(number), "pageSize": str(PAGE_SIZE)})
            page = parsed(_Page, reply)
            new = [row for row in page.items if row.get("id") not in seen]
            seen.update(row.get("id") for row in new)
            yield from (parsed(model, reply, row) for row in new)
            # The server may give smaller pages than were asked for; it says so in pageSize.
            if not page.items or number * page.page_size >= page.elements_total:
                return
            if not new:
                raise reply.doubt(f"page {number} tells nothing new, though more rows are said to exist")

    def _found(self, path: str, *, method: str = "GET", query: Query | None = None, body: Json = None) -> Reply | None:
        try:
            return self._read(path, method=method, query=query, body=body)
        except PermanentError as error:
            if error.code == "404":
                return None
            raise

    def _read(self, path: str, *, method: str = "GET", query: Query | None = None, body: Json = None) -> Reply:
        return self._checked(self._http.read("/api/v1" + path, method=method, query=query, body=body))

    def _write(self, method: str, path: str, body: Json = None, *, query: Query | None = None) -> Written:
        full = "/api/v1" + path
        reply = self._checked(self._http.write(method, full, query=query, body=body))
        asked = full + (f"?{urlencode(query)}" if query else "")
        return Written(reply=reply, call=Call(method=method, path=asked, body=body, status=reply.status))

    def _checked(self, reply: Reply) -> Reply:
        """`reply`, if the server used the pinned version (it echoes N-ApiVersion: "API Versioning")."""
        echoed = reply.headers.get("N-ApiVersion")
        if echoed is None:
            self.unversioned = True
        if echoed in (None, self._version):
            return reply
        problem = f"pinned API version {self._version}, the server answered {echoed[:40]}"
        if not reply.reads:  # it was applied, so it must not be told as a refusal
            raise reply.doubt(problem)
        raise WrongVersion(f"{reply.about}: {problem}", code="N-ApiVersion", hint="check the account's API versions")


_WHOLE = object()


def parsed(model: type[M], reply: Reply, row: object = _WHOLE) -> M:
    """The reply's body (or one `row` of it) as `model`; where it lacks something, a write is in doubt."""
    try:
        return model.model_validate(reply.body if row is _WHOLE else row)
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) or "body" for problem in error.errors(include_input=False)})
        why = f"but {model.__name__} needs other values of: {', '.join(fields[:5])}"
        raise reply.doubt(why) from error


def complaint(body: Json) -> str:
    """The readable message in an ApiError: details, joined validation messages, or error (as the vendor's demo)."""
    if not isinstance(body, dict):
        return ""
    problems = body.get("validationErrors")
    rows = problems if isinstance(problems, list) else []
    messages = [str(row.get("message")) for row in rows if isinstance(row, dict)]
    text = str(body.get("details") or "; ".join(messages) or body.get("error") or "")
    code = body.get("errorCode")
    return f"{text} ({code})" if code else text


def _token_complaint(body: Json) -> str:
    """Keycloak's message: `{"error": .., "error_description": ..}` (RFC 6749 §5.2)."""
    if not isinstance(body, dict):
        return ""
    return ": ".join(str(body[key]) for key in ("error", "error_description") if body.get(key))


def _told(reply: Reply) -> GroupModel | None:
    """The group in an answer whose shape is not established; None where there is none."""
    try:
        return GroupModel.model_validate(reply.body)
    except ValidationError:
        return None


def _entitlement(entitlement_id: str, *more: str) -> str:
    return "/".join(("/entitlements", _quoted(entitlement_id), *more))


def _quoted(id_: str) -> str:
    return quote(id_, safe="")
