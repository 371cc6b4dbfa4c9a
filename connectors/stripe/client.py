"""The few calls that we make to Stripe, through its library, and what their failures mean to us.

The only file that imports `stripe`; its exceptions, its globals and its objects go no further. Answers are
plain dicts: `raw_request` spares turning each into StripeObjects and back.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import requests
import stripe
from urllib3.exceptions import HTTPError

from connectors.http import fails, is_safe_url, retry_after_s
from connectors.stripe import oneoff, payments
from connectors.stripe.fields import Object, has_more, id_of, rows, seconds
from connectors.stripe.purchase import found, to_purchase
from connectors.stripe.settings import Settings
from connectors.stripe.shapes import reduced_invoice
from connectors.stripe.stored import without_purchase
from connectors.stripe.webhook import EVENTS, POINTERS, envelope_of
from connectors.wire import Wire, content
from hub.domain import Purchase, Ref
from hub.errors import ConfigurationError, HubError, PermanentError, RetryableError, UnreadableError
from hub.ports import Changed, Deps, Finding, Found, Gone, SeeOther, Unsupported, Waiting

PAGE = 100  # Stripe's most
_PRODUCT = ".price.product"
_MOST_TYPES = 20  # that `types` takes
# Customer events make no purchase due.
_TYPES = tuple(type_ for type_ in EVENTS if type_.rpartition(".")[0] != "customer")
_HINTS = {
    400: "Stripe could not read the request: the pinned API version and this connector may have drifted apart",
    401: "the API key is wrong, revoked or expired: set a new one",
    403: "the API key lacks a permission, or may not act for this account: allow it to read subscriptions, "
    "invoices, checkout sessions, charges, refunds, disputes, credit notes, customers, products and events",
}
# What looks and sweeps read -> the resource that a restricted key must be allowed to read, as the dashboard calls it.
_READ = {
    "invoices": "Invoices",
    "checkout/sessions": "Checkout Sessions",
    "charges": "Charges and Refunds",
    "refunds": "Charges and Refunds",
    "disputes": "Disputes",
    "credit_notes": "Credit notes",
    "customers": "Customers",
    "products": "Products",
    "events": "Events",
    "payment_intents": "PaymentIntents",
    "invoice_payments": "Invoices",
    "radar/early_fraud_warnings": "Radar",
}
_log = logging.getLogger(__name__)


class _KeyRefused(RetryableError):
    """401: somebody must set a new key; no purchase is to die of it meanwhile."""


class _Forbidden(PermanentError):
    """403: the key may not read this."""


class _Missing(PermanentError):
    """Stripe does not know the object (any more)."""


class Client:
    """Reads one Stripe account. Safe for many threads at once; nothing is sent before the first call."""

    def __init__(self, source: str, settings: Settings, deps: Deps) -> None:
        if settings.api_key is None or not is_safe_url(settings.base_url):
            problem = "must be an https address (http on this machine only), and needs an api_key"
            raise ConfigurationError(problem, where=f"connections.{source}.base_url")
        # At DEBUG the library logs whole bodies, with names and addresses (_api_requestor.py, 16.1.0).
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self._source, self._livemode = source, settings.livemode
        self._limiter, self._answered = deps.limiter, deps.answered
        self._key = settings.api_key
        self._tells_products = True
        self._http = _Http(deps.connect_timeout_s, deps.read_timeout_s)
        self._stripe = stripe.StripeClient(
            settings.api_key.get_secret_value(),
            stripe_account=settings.account,
            base_addresses={"api": settings.base_url.rstrip("/")},
            max_network_retries=0,
            http_client=self._http,
        )

    def fetch(self, ref: Ref, about: Sequence[Ref]) -> Found | SeeOther | Gone | Waiting | Unsupported:
        """What `ref` tells, read now, whatever its kind."""
        if ref.kind == "subscription":
            return self.subscription(ref, about)
        if ref.kind == "checkout":
            return self.checkout(ref, about)
        return self.leads_to(ref) if ref.kind in POINTERS else without_purchase(ref)

    def subscription(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | Gone:
        """The purchase that `ref` tells of, with as many of its invoices as decide what is paid.

        One request where the latest invoice decides, two more where it does not; some six for each payment that it
        is `about`. Repeatable.
        """
        path = f"/v1/subscriptions/{quote(ref.id, safe='')}"
        try:
            subscription = self._get(path, expand=["latest_invoice", "customer", "items.data.price.product"])
        except _Missing as error:
            return Gone(because=str(error))
        if subscription.get("deleted") is True:
            return Gone(because=f"{ref.id} is deleted")
        subscription = self._with_all_items(subscription)
        reversals = payments.reversals(self, about)
        return found(self._source, subscription, self._deciding(subscription), reversals=reversals)

    def checkout(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | Gone | SeeOther | Waiting:
        """What the session sold once; the subscription where it began one. Two requests, more for what it is `about`.

        Repeatable.
        """
        path = f"/v1/checkout/sessions/{quote(ref.id, safe='')}"
        try:
            session = self._get(path, expand=["customer", "payment_intent"])
        except _Missing as error:
            return Gone(because=str(error))
        if (id_ := id_of(session, "subscription")) is not None:
            return SeeOther(ref=Ref(source=ref.source, kind="subscription", id=id_))
        if session.get("mode") != "payment":
            return Waiting(because="the session sold nothing yet")
        lines = list(self._pages(f"{path}/line_items", expand=["data.price.product"]))
        session = {**session, "line_items": {"data": lines, "has_more": False}}
        total = session.get("amount_total")
        reversals = payments.reversals(self, about, total=total if isinstance(total, int) else None)
        return oneoff.found(self._source, session, reversals=reversals)

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What events since `since` speak of, newest first for each of the groups of types that are asked for."""
        window = {"gte": int(since.timestamp())}
        for first in range(0, len(_TYPES), _MOST_TYPES):
            types = list(_TYPES[first : first + _MOST_TYPES])
            for event in self._pages("/v1/events", created=window, types=types):
                change = self._change(event)
                if change is not None:
                    yield change

    def purchases(self) -> Iterator[Purchase]:
        """Every subscription and every completed one-off checkout, told by the list pages alone.

        Subscriptions of all statuses, with latest invoice and customer; checkouts without their lines.
        """
        yield from self._subscriptions()
        yield from self._checkouts()

    def leads_to(self, ref: Ref) -> SeeOther | Waiting:
        """Which subject tells of this one; see `payments.leads_to`."""
        return payments.leads_to(self, ref)

    def get(self, path: str, **params: object) -> Object:
        """The object at `/v1/<path>`; errors as `_get`."""
        return self._get(f"/v1/{path}", **params)

    def find(self, path: str, **params: object) -> Object | None:
        """The object at `/v1/<path>`; None where Stripe does not know it."""
        try:
            return self.get(path, **params)
        except _Missing:
            return None

    def listed(self, path: str, **params: object) -> Iterator[Object]:
        """Every object of the list at `/v1/<path>`; none where Stripe does not know what it is asked of."""
        try:
            yield from self._pages(f"/v1/{path}", **params)
        except _Missing:
            return

    def _checkouts(self) -> Iterator[Purchase]:
        for session in self._pages("/v1/checkout/sessions", status="complete", expand=["data.customer"]):
            if session.get("mode") != "payment":
                continue
            try:
                yield oneoff.to_purchase(self._source, {**session, "metadata": None, "line_items": None})
            except UnreadableError as error:
                _log.warning("checkout in the list is unreadable: %s", error, extra={"source": self._source})

    def _subscriptions(self) -> Iterator[Purchase]:
        expand = ["data.latest_invoice", "data.customer"]
        for subscription in self._pages("/v1/subscriptions", status="all", expand=expand):
            invoices, complete = _latest(subscription)
            try:
                yield to_purchase(self._source, self._with_all_items(subscription), invoices, complete=complete)
            except UnreadableError as error:
                _log.warning("subscription in the list is unreadable: %s", error, extra={"source": self._source})

    def check(self) -> Sequence[Finding]:
        """Whether the key reads the mode that is set, and all that looks need: one cheap request for each kind."""
        try:
            page = self._get("/v1/subscriptions", limit=1, status="all")
            live = self._mode(rows(page, "data"))
        except PermanentError as error:
            return (Finding(level="error", about=self._source, problem=str(error), mend=error.hint),)
        except _KeyRefused as error:
            return (Finding(level="error", about=self._source, problem=str(error), mend=_HINTS[401]),)
        except HubError as error:
            mend = "look at status.stripe.com and at base_url, then check again"
            return (Finding(level="warning", about=self._source, problem=str(error), mend=mend),)
        return (self._mode_finding(live), *self._not_allowed())

    def _not_allowed(self) -> Iterator[Finding]:
        """What the key may not read, each kind once. What this API version does not have is nobody's fault."""
        told = set[str]()
        for path, resource in _READ.items():
            try:
                self._get(f"/v1/{path}", limit=1)
            except _Forbidden as error:
                if resource not in told:
                    mend = f"allow the key to read {resource}: Stripe dashboard, Developers, API keys"
                    yield Finding(level="error", about=f"{self._source}.api_key", problem=str(error), mend=mend)
                told.add(resource)
            except HubError as error:
                _log.info("not asked whether %s can be read: %s", path, error, extra={"source": self._source})

    def webhook_endpoints(self) -> Iterator[Object]:
        """Every webhook endpoint of the account."""
        return self._pages("/v1/webhook_endpoints")

    def create_webhook_endpoint(self, url: str, types: Sequence[str]) -> Object:
        """A new endpoint, with its secret, which is told only now. Not repeatable: twice is two endpoints."""
        return self._ask("post", "/v1/webhook_endpoints", url=url, enabled_events=[*types])

    def update_webhook_endpoint(self, id_: str, types: Sequence[str]) -> None:
        """The endpoint gets these types. Repeatable."""
        self._ask("post", f"/v1/webhook_endpoints/{quote(id_, safe='')}", enabled_events=[*types])

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()

    def _mode(self, subscriptions: Sequence[Object]) -> bool | None:
        """Live or test, by an object, else by the key's own prefix; None where neither says."""
        for row in subscriptions:
            if isinstance(row.get("livemode"), bool):
                return bool(row["livemode"])
        prefix = self._key.get_secret_value()[:8]  # sk_live_ or rk_test_
        return {"_live_": True, "_test_": False}.get(prefix[2:])

    def _mode_finding(self, live: bool | None) -> Finding:  # noqa: FBT001 (a fact, no switch)
        if live is not None and live is not self._livemode:
            problem = f"the API key is {'live' if live else 'test'}, but livemode = {str(self._livemode).lower()}"
            mend = "use the other key, or set livemode"
            return Finding(level="error", about=self._source, problem=problem, mend=mend)
        return Finding(level="ok", about=self._source, problem="subscriptions can be read")

    def _change(self, event: Object) -> Changed | None:
        try:
            envelope = envelope_of(self._source, event)
        except UnreadableError as error:
            _log.warning("event in the list is unreadable: %s", error, extra={"source": self._source})
            return None
        if envelope.subject is None or envelope.subject.kind == "customer" or envelope.occurred_at is None:
            return None
        return Changed(ref=envelope.subject, at=envelope.occurred_at)

    def _deciding(self, subscription: Object) -> list[Object]:
        """The latest invoice where it says for each line what is paid (or there is no other), else the list's."""
        latest, complete = _latest(subscription)
        latest = [self._with_all_lines(invoice) for invoice in latest]
        if complete or self._is_decided(subscription, latest):
            return latest
        return self._walked(subscription)

    def _walked(self, subscription: Object) -> list[Object]:
        """The subscription's invoices, newest first, until each line is decided; one page at most."""
        walked: list[Object] = []
        page = self._get("/v1/invoices", subscription=subscription["id"], limit=PAGE)
        for invoice in sorted(rows(page, "data"), key=lambda row: seconds(row, "created") or 0, reverse=True):
            walked.append(self._with_all_lines(invoice))
            if invoice.get("status") == "paid" and self._is_decided(subscription, walked):
                break
        return walked

    def _is_decided(self, subscription: Object, invoices: Sequence[Object]) -> bool:
        lines = to_purchase(self._source, subscription, invoices).lines
        return all(line.paid_until is not None for line in lines)

    def _with_all_items(self, subscription: Object) -> Object:
        """The subscription with every item; Stripe embeds the first ten."""
        if not has_more(subscription, "items"):
            return subscription
        items = list(
            self._pages("/v1/subscription_items", subscription=subscription["id"], expand=["data.price.product"])
        )
        return {**subscription, "items": {"data": items, "has_more": False}}

    def _with_all_lines(self, invoice: Object) -> Object:
        """The invoice with every line and the prices of what was sold once, where it is paid and so may decide."""
        facts = reduced_invoice(invoice)
        if facts["status"] != "paid":
            return invoice
        if facts["lines_incomplete"]:
            lines = list(self._pages(f"/v1/invoices/{quote(facts['id'], safe='')}/lines"))
            invoice = {**invoice, "lines": {"data": lines, "has_more": False}}
        return payments.with_prices(self, invoice)

    def _pages(self, path: str, **params: object) -> Iterator[Object]:
        """Every object of a list, page by page."""
        while True:
            page = self._get(path, limit=PAGE, **params)
            found_rows = rows(page, "data")
            yield from found_rows
            if page.get("has_more") is not True or not found_rows:
                return
            params["starting_after"] = found_rows[-1].get("id")

    def _get(self, path: str, **params: object) -> Object:
        """The JSON object at `path`; RetryableError, PermanentError (_Missing among them). Repeatable.

        Products only tell more (their metadata): where they can't be had, it is read without them from then on.
        """
        plain = _without_products(params)
        if plain == params or not self._tells_products:
            return self._ask("get", path, **plain)
        try:
            return self._ask("get", path, **params)
        except _Missing:
            raise
        except PermanentError as error:
            answer = self._ask("get", path, **plain)
            self._tells_products = False
            _log.warning(
                "products are not read, so their metadata is not seen: %s", error, extra={"source": self._source}
            )
            return answer

    def _ask(self, method: str, path: str, **params: object) -> Object:
        """The JSON object in the answer. RetryableError of a post: nobody knows whether it was done."""
        self._limiter.acquire()
        about = f"{method.upper()} {path}"
        try:
            answer = self._stripe.raw_request(method, path, **params).data
        except stripe.StripeError as error:
            self._answered(bool(error.http_status) and not fails(error.http_status or 0))
            raise self._translated(about, error) from error
        self._answered(True)
        if not isinstance(answer, Mapping):
            message = f"{about}: no JSON object in the answer"
            raise RetryableError(message)
        return answer

    def _translated(self, about: str, error: stripe.StripeError) -> HubError:
        """What a failure means: the one place where Stripe's statuses become our errors."""
        status = error.http_status or 0
        wait_s = retry_after_s(_header(error, "Retry-After"), datetime.now(UTC))
        if isinstance(error, stripe.RateLimitError) or status == HTTPStatus.TOO_MANY_REQUESTS:
            wait_s = 1.0 if wait_s is None else wait_s
        if wait_s is not None:
            self._limiter.hold(wait_s)
        said = f"{about}: {_said(status, error)}"
        if error.code == "resource_missing" or status == HTTPStatus.NOT_FOUND:
            return _Missing(said, code=error.code or str(status), hint="look for the object in Stripe's dashboard")
        if status == HTTPStatus.UNAUTHORIZED:
            return _KeyRefused(f"{said}: {_HINTS[status]}")
        if wait_s is not None or _passes(status):
            return RetryableError(said, retry_after=wait_s)
        kind = _Forbidden if status == HTTPStatus.FORBIDDEN else PermanentError
        return kind(said, code=error.code or str(status), hint=_HINTS.get(status, "is base_url right?"))


def _passes(status: int) -> bool:
    """Whether it may pass by itself: no answer, an unreadable 2xx, a lock (409), the vendor's own failures."""
    return (
        status < HTTPStatus.MULTIPLE_CHOICES
        or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _said(status: int, error: stripe.StripeError) -> str:
    """Stripe's own words, cut; never a body. A 401 quotes the key (masked), so it is not repeated."""
    if not status:
        return f"no answer ({type(error.__cause__ or error).__name__})"
    body = error.json_body if isinstance(error.json_body, Mapping) else {}
    told = isinstance(body.get("error"), Mapping) and status != HTTPStatus.UNAUTHORIZED
    return f"answered {status}" + (f": {error.user_message}"[:300] if told and error.user_message else "")


def _header(error: stripe.StripeError, name: str) -> str | None:
    value = (error.headers or {}).get(name)
    return value if isinstance(value, str) else None


def _without_products(params: Mapping[str, Any]) -> dict[str, Any]:
    expand = [one for one in params.get("expand", ()) if not one.endswith(_PRODUCT)]
    return {name: value for name, value in params.items() if name != "expand"} | ({"expand": expand} if expand else {})


def _latest(subscription: Object) -> tuple[list[Object], bool]:
    """The expanded latest invoice, and whether there can be no other one.

    None was made yet (null), or it is the first (`subscription_create`).
    """
    latest = subscription.get("latest_invoice")
    if isinstance(latest, Mapping):
        return [latest], latest.get("billing_reason") == "subscription_create"
    return [], latest is None


class _Http(stripe.HTTPClient):
    """Stripe's requests over one pool for all threads, with limits that hold.

    The library's own client opens a session per thread, closes only the calling thread's, and its read timeout
    starts again with each piece of an answer that drips.
    """

    name = "requests"

    def __init__(self, connect_timeout_s: float, read_timeout_s: float) -> None:
        super().__init__()
        self._limits = (connect_timeout_s, read_timeout_s)
        self._wire = Wire()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,  # noqa: ANN401 (the library's)
        *,
        _usage: list[str] | None = None,
    ) -> tuple[Any, int, Mapping[str, str]]:
        """Body, status and headers; APIConnectionError where none came in time."""
        until = time.monotonic() + sum(self._limits)
        try:
            sent = post_data.encode() if isinstance(post_data, str) else post_data
            with self._wire.send(method.upper(), url, headers or {}, sent, self._limits) as response:
                body = content(response, until)
                if body is None:
                    raise stripe.APIConnectionError("the answer is too long")  # type: ignore[no-untyped-call]
                return _in_shape(response.status_code, body), response.status_code, response.headers
        except (requests.RequestException, HTTPError, OSError) as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Lets the connections go."""
        self._wire.close()


def _in_shape(status: int, body: bytes) -> bytes:
    """The body, or an empty error of Stripe's shape for a failure that is not in it (a proxy's, say).

    The library fails over `{"error": "text"}` (AttributeError), and loses the headers of a page of HTML (16.1.0).
    """
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return body
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    in_shape = isinstance(told, dict) and isinstance(told.get("error"), dict)
    return body if in_shape else b'{"error": {}}'
