"""A stateful double of Stripe's API, with a business clock, signed webhooks and Stripe's unkindness.

    with serving(stripe := StripeEmulator()) as url:
        client = StripeClient("sk_test_sandbox", base_addresses={"api": url})

This file is the wire: form parameters, keys, pages, expansion, admin calls. What Stripe does is in
`emulator_billing`, what its objects look like in `emulator_objects`, delivery in `emulator_webhooks`.
Facts: commerce reference §1 (read 2026-09-27) and stripe 16.1.0.
"""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice, takewhile
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply
from connectors.stripe.emulator_billing import PREFIXES, Asked, Billing, Record, Refusal, missing
from connectors.stripe.emulator_objects import API_VERSIONS, Obj, Shape, shaped, shaped_lines
from connectors.stripe.emulator_webhooks import Deliveries, Endpoint

KEPT_KEYS = 50_000  # answers kept for Idempotency-Key; Stripe keeps them for 24 hours
EXPAND_DEPTH = 4
ERROR_TYPES = {429: "invalid_request_error", 409: "idempotency_error"}
# parameter -> the indexed field that it names
INDEXED: dict[str, tuple[str, ...]] = {
    "customers": ("email",),
    "prices": ("product",),
    "subscriptions": ("customer",),
    "invoices": ("customer", "subscription"),
    "charges": ("customer", "payment_intent"),
    "payment_intents": ("customer",),
    "refunds": ("charge", "payment_intent"),
    "invoice_payments": ("invoice", "payment_intent"),
    "checkout/sessions": ("customer", "subscription", "payment_intent"),
}
CREATE = {
    "customers": "create_customer",
    "products": "create_product",
    "prices": "create_price",
    "subscriptions": "create_subscription",
    "checkout/sessions": "create_session",
    "refunds": "refund",
}
UPDATE = {
    "customers": "update_customer",
    "products": "update_product",
    "prices": "update_price",
    "subscriptions": "update_subscription",
}
# what stands behind an id in a path: name -> (method of Billing, whether it takes parameters)
VERBS: dict[tuple[str, str], tuple[str, bool]] = {
    ("invoices", "pay"): ("pay", True),
    ("invoices", "void"): ("void", False),
    ("invoices", "finalize"): ("finalize", False),
    ("invoices", "mark_uncollectible"): ("mark_uncollectible", False),
    ("subscriptions", "pause"): ("pause_subscription", False),
    ("subscriptions", "resume"): ("resume_subscription", True),
}


def _rules() -> Iterator[Rule]:
    def rule(path: str, method: str, endpoint: str, **values: str) -> Rule:
        return Rule(f"/v1/{path}", methods=[method], endpoint=endpoint, defaults=values or None)

    for kind in PREFIXES:
        yield rule(kind, "GET", "list_", kind=kind)
        yield rule(f"{kind}/<id_>", "GET", "retrieve", kind=kind)
    for kind in CREATE:
        yield rule(kind, "POST", "create", kind=kind)
    for kind in UPDATE:
        yield rule(f"{kind}/<id_>", "POST", "update", kind=kind)
    for kind, verb in VERBS:
        yield rule(f"{kind}/<id_>/{verb}", "POST", "act", kind=kind, verb=verb)
    yield rule("customers/<id_>", "DELETE", "delete_customer")
    yield rule("subscriptions/<id_>", "DELETE", "cancel_subscription")
    yield rule("invoices/<id_>/lines", "GET", "list_lines")
    yield rule("checkout/sessions/<id_>/line_items", "GET", "list_session_lines")
    yield rule("events", "GET", "list_events")
    yield rule("events/<id_>", "GET", "retrieve_event")
    yield rule("subscription_items", "GET", "list_items")
    yield rule("subscription_items", "POST", "create_item")
    for method, endpoint in (("GET", "retrieve_item"), ("POST", "update_item"), ("DELETE", "delete_item")):
        yield rule("subscription_items/<id_>", method, endpoint)
    yield rule("webhook_endpoints", "GET", "list_endpoints")
    yield rule("webhook_endpoints", "POST", "create_endpoint")
    for method, endpoint in (("GET", "retrieve_endpoint"), ("POST", "update_endpoint"), ("DELETE", "delete_endpoint")):
        yield rule("webhook_endpoints/<id_>", method, endpoint)


class StripeEmulator(Emulator):
    """The API under /v1, admin calls under /_sandbox/ and as methods of the same names.

    `shape` is the account's API version: legacy emits AND serves what 2020-08-27 did. `deliveries` sends the
    webhooks, `billing` holds the account.
    """

    routes = Map(list(_rules()), redirect_defaults=False, strict_slashes=False)

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        api_key: str = "sk_test_sandbox",
        livemode: bool = True,
        shape: Shape = "current",
        seed: int = 0,
    ) -> None:
        super().__init__(clock or Clock())
        self.api_key, self.shape = api_key, shape
        self.deliveries = Deliveries()
        self.billing = Billing(self.clock, seed=seed, livemode=livemode, shape=shape)
        self.billing.shapes = lambda: {shape, *(each.shape for each in self.deliveries.endpoints.values())}
        self.billing.publish = self.deliveries.schedule
        self.billing.pending_hooks = lambda type_: len(self.deliveries.wanting(type_))
        self._answers: OrderedDict[str, tuple[str, Response]] = OrderedDict()
        self._request_ids = 0
        self.clock.on_move(lambda _: self.catch_up())

    def catch_up(self) -> None:
        """Does what business time has made due."""
        with self.lock:
            self.billing.catch_up()

    # The wire

    def answer(self, request: Request) -> Response:
        with self.lock:
            self._request_ids += 1
            request_id = f"req_{self._request_ids:014}"
            try:
                self._authorize(request)
                self.billing.catch_up()
                response = self._answer_once(request, request_id)
            except Refusal as refusal:
                response = reply(refusal.body, refusal.status)
        response.headers["Request-Id"] = request_id
        response.headers["Stripe-Version"] = API_VERSIONS[self.shape]
        return response

    def _authorize(self, request: Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            given = base64.b64decode(given).decode().partition(":")[0]
        if not given:
            raise Refusal(401, "You did not provide an API key.")
        if given != self.api_key:
            raise Refusal(401, f"Invalid API Key provided: {given[:8]}{'*' * 8}")

    def _answer_once(self, request: Request, request_id: str) -> Response:
        """The same Idempotency-Key gets the same answer; with other parameters it is refused."""
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method == "GET":
            return self._asked(request, request_id, None)
        if key in self._answers:
            return self._again(request, key)
        response = self._asked(request, request_id, key)
        if response.status_code < 300 or response.status_code == 402:  # a declined card stays declined
            self._answers[key] = (_fingerprint(request), response)
        if len(self._answers) > KEPT_KEYS:
            self._answers.popitem(last=False)
        return response

    def _again(self, request: Request, key: str) -> Response:
        before, answer = self._answers[key]
        if before != _fingerprint(request):
            raise Refusal(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                type_="idempotency_error",
            )
        return Response(
            answer.get_data(),
            status=answer.status,
            content_type=answer.content_type,
            headers={"Idempotent-Replayed": "true"},
        )

    def _asked(self, request: Request, request_id: str, key: str | None) -> Response:
        self.billing.asked = Asked(request_id, key)
        try:
            return super().answer(request)
        except Refusal as refusal:
            return reply(refusal.body, refusal.status)
        except ValueError as error:  # a parameter that is no number
            return reply(Refusal(400, f"Invalid integer: {error}", code="parameter_invalid_integer").body, 400)
        finally:
            self.billing.asked = Asked()

    def refuse(self, status: int, message: str) -> Response:
        if status in (404, 405):
            message = f"Unrecognized request URL. {message}"
        type_ = "api_error" if status >= 500 else ERROR_TYPES.get(status, "invalid_request_error")
        error = {"message": message, "type": type_} | ({"code": "rate_limit"} if status == 429 else {})
        return reply({"error": error}, status)

    def noted(self, request: Request) -> dict[str, Any]:
        """The connected account, the idempotency key and the API version that the caller named."""
        names = {"account": "Stripe-Account", "idempotency_key": "Idempotency-Key", "version": "Stripe-Version"}
        return {name: request.headers.get(header) for name, header in names.items()}

    # Reading

    def _view(self, value: Obj) -> Obj | None:
        """`value` as a reader sees it now, in the account's shape."""
        seen = self.billing.lag.seen(value)
        return None if seen is None else shaped(seen, self.shape)

    def _find(self, id_: str, name: str) -> Obj | None:
        """The object that field `name` refers to; None where it can't be seen yet."""
        for shelf in self.billing.shelves.values():
            if value := shelf.objects.get(id_):
                return self._view(value)
        raise _unexpandable(name)

    def _shown(self, value: Obj, params: Obj) -> Obj:
        """`value` (in shape, or a page of such) with what `expand` asks for."""
        paths = params.get("expand") or []
        tree: Obj = {}
        for path in paths:
            node = tree
            for name in path.split(".")[:EXPAND_DEPTH]:
                node = node.setdefault(name, {})
        return self._expanded(value, tree) if tree else value

    def _expanded(self, value: Obj, tree: Obj) -> Obj:
        result = dict(value)
        for name, below in tree.items():
            part = self._included(value, name) if name not in value else value[name]
            if isinstance(part, str):
                part = self._find(part, name) or part
            if isinstance(part, list):
                result[name] = [self._expanded(each, below) for each in part]
            elif isinstance(part, dict):
                result[name] = self._expanded(part, below)
        return result

    def _included(self, value: Obj, name: str) -> Obj:
        """Fields that are there only when expanded."""
        match value.get("object"), name:
            case "invoice", "payments" if self.shape == "current":
                payments = self.billing.shelves["invoice_payments"].newest_first(invoice=value["id"])
                return _page(list(payments), f"/v1/invoice_payments?invoice={value['id']}")
            case "checkout.session", "line_items":
                lines = self.billing.get("checkout/sessions", value["id"])["_lines"]
                return _page(lines, f"/v1/checkout/sessions/{value['id']}/line_items")
        raise _unexpandable(name)

    def retrieve(self, request: Request, kind: str, id_: str) -> Obj:
        view = self._view(self.billing.get(kind, id_))
        if view is None:
            raise missing(kind, id_)
        return self._shown(view, parameters(request))

    def list_(self, request: Request, kind: str) -> Obj:
        params = parameters(request)
        if kind == "invoice_payments":
            params |= {key: params["payment"][key] for key in ("payment_intent",) if key in params.get("payment", {})}
        shelf = self.billing.shelves[kind]
        fields = {name: params[name] for name in INDEXED.get(kind, ()) if name in params}
        matches = _matcher(kind, params)

        def newest(cursor: str | None) -> Iterator[Obj]:
            return shelf.newest_first(cursor and self._cursor(kind, cursor), **fields)

        def oldest(cursor: str) -> Iterator[Obj]:
            return shelf.oldest_first(self._cursor(kind, cursor), **fields)

        page = _paged(f"/v1/{kind}", params, newest, oldest, matches, _created)
        page["data"] = [view for value in page["data"] if (view := self._view(value)) is not None]
        return self._shown(page, params)

    def _cursor(self, kind: str, id_: str) -> str:
        if id_ not in self.billing.shelves[kind].place:
            raise missing(kind, id_, param="starting_after", status=400)
        return id_

    def list_lines(self, request: Request, id_: str) -> Obj:
        seen = self.billing.lag.seen(self.billing.get("invoices", id_))
        if seen is None:
            raise missing("invoices", id_)
        lines = shaped_lines(seen["lines"]["data"], self.shape)
        return _part_page(f"/v1/invoices/{id_}/lines", parameters(request), lines)

    def list_session_lines(self, request: Request, id_: str) -> Obj:
        lines = self.billing.get("checkout/sessions", id_)["_lines"]
        params = parameters(request)
        return self._shown(_part_page(f"/v1/checkout/sessions/{id_}/line_items", params, lines), params)

    # Writing

    def create(self, request: Request, kind: str) -> Obj:
        params = parameters(request)
        return self._written(getattr(self.billing, CREATE[kind])(params), params)

    def update(self, request: Request, kind: str, id_: str) -> Obj:
        params = parameters(request)
        return self._written(getattr(self.billing, UPDATE[kind])(id_, params), params)

    def act(self, request: Request, kind: str, verb: str, id_: str) -> Obj:
        params = parameters(request)
        name, takes = VERBS[kind, verb]
        return self._written(getattr(self.billing, name)(id_, *([params] if takes else [])), params)

    def delete_customer(self, request: Request, id_: str) -> Obj:
        return self.billing.delete_customer(id_)

    def cancel_subscription(self, request: Request, id_: str) -> Obj:
        params = parameters(request)
        return self._written(self.billing.cancel_subscription(id_, params), params)

    def _written(self, value: Obj, params: Obj) -> Obj:
        """The answer to a write: what is true now, never behind."""
        return self._shown(shaped(value, self.shape), params)

    # Subscription items

    def _item(self, id_: str, *, lagging: bool = True) -> Obj:
        sub = self.billing.get("subscriptions", self.billing.items.get(id_, ""))
        seen = self.billing.lag.seen(sub) if lagging else sub
        for item in (seen or {"items": {"data": []}})["items"]["data"]:
            if item["id"] == id_:
                return shaped(item, self.shape)
        raise missing("subscription_items", id_)

    def list_items(self, request: Request) -> Obj:
        params = parameters(request)
        if "subscription" not in params:
            raise Refusal(400, "Missing required param: subscription.", code="parameter_missing", param="subscription")
        sub = self._view(self.billing.get("subscriptions", params["subscription"]))
        items = sub["items"]["data"] if sub else []
        return self._shown(_part_page("/v1/subscription_items", params, items), params)

    def retrieve_item(self, request: Request, id_: str) -> Obj:
        return self._shown(self._item(id_), parameters(request))

    def create_item(self, request: Request) -> Obj:
        params = parameters(request)
        sub = self._change_item(str(params.get("subscription", "")), {}, params)
        return self._item(sub["items"]["data"][-1]["id"], lagging=False)

    def update_item(self, request: Request, id_: str) -> Obj:
        self._change_item(self._item(id_, lagging=False)["subscription"], {"id": id_}, parameters(request))
        return self._item(id_, lagging=False)

    def delete_item(self, request: Request, id_: str) -> Obj:
        sub = self._item(id_, lagging=False)["subscription"]
        self._change_item(sub, {"id": id_, "deleted": "true"}, parameters(request))
        return {"id": id_, "object": "subscription_item", "deleted": True}

    def _change_item(self, sub: str, item: Obj, params: Obj) -> Obj:
        wanted = {name: params[name] for name in ("price", "quantity", "metadata") if name in params}
        rest = {name: params[name] for name in ("proration_behavior", "payment_behavior") if name in params}
        return self.billing.update_subscription(sub, rest | {"items": [wanted | item]})

    # Events

    def list_events(self, request: Request) -> Response:
        """Newest first, 30 days back. Bodies go out as they were sent."""
        params = parameters(request)
        if len(params.get("types") or []) > 20:
            raise Refusal(400, "You may pass up to 20 event types.", param="types")
        page = _paged(
            "/v1/events",
            params,
            lambda cursor: self.billing.events_newest_first(self._event(cursor) if cursor else None),
            lambda cursor: self.billing.events_oldest_first(self._event(cursor)),
            self._event_matcher(params),
            lambda record: record.created,
        )
        bodies = b",".join(record.body(self.shape) for record in page.pop("data"))
        head = json.dumps(page)[:-1].encode()
        return Response(head + b', "data": [' + bodies + b"]}", content_type="application/json")

    def _event(self, id_: str) -> Record:
        if id_ not in self.billing.events:
            raise missing("events", id_)
        return self.billing.events[id_]

    def _event_matcher(self, params: Obj) -> Callable[[Record], bool]:
        types = set(params.get("types") or []) | ({params["type"]} if "type" in params else set())
        fits = _type_test(types)
        success = params.get("delivery_success")
        missed = self.deliveries.missed() if success else set()
        created = params.get("created")

        def matches(record: Record) -> bool:
            if success and (record.id in missed) is (success == "true"):
                return False
            return fits(record.type) and _in_range(record.created, created)

        return matches

    def retrieve_event(self, request: Request, id_: str) -> Response:
        return Response(self._event(id_).body(self.shape), content_type="application/json")

    # Webhook endpoints

    def create_endpoint(self, request: Request) -> Obj:
        params = parameters(request)
        self.billing.need(params, "url", "enabled_events")
        shape: Shape = "legacy" if params.get("api_version") == API_VERSIONS["legacy"] else self.shape
        endpoint = Endpoint(
            id=self.billing.new_id("we_"),
            url=params["url"],
            secret=self.billing.new_id("whsec_"),
            events=tuple(params["enabled_events"]),
            shape=shape,
        )
        self.deliveries.endpoints[endpoint.id] = endpoint
        return self._endpoint_object(endpoint) | {"secret": endpoint.secret}

    def list_endpoints(self, request: Request) -> Obj:
        newest = reversed(list(self.deliveries.endpoints.values()))
        return _part_page(
            "/v1/webhook_endpoints", parameters(request), [self._endpoint_object(each) for each in newest]
        )

    def retrieve_endpoint(self, request: Request, id_: str) -> Obj:
        return self._endpoint_object(self._endpoint(id_))

    def update_endpoint(self, request: Request, id_: str) -> Obj:
        endpoint, params = self._endpoint(id_), parameters(request)
        endpoint.url = params.get("url", endpoint.url)
        endpoint.events = tuple(params.get("enabled_events", endpoint.events))
        return self._endpoint_object(endpoint)

    def delete_endpoint(self, request: Request, id_: str) -> Obj:
        del self.deliveries.endpoints[self._endpoint(id_).id]
        return {"id": id_, "object": "webhook_endpoint", "deleted": True}

    def _endpoint(self, id_: str) -> Endpoint:
        if id_ not in self.deliveries.endpoints:
            raise missing("webhook_endpoints", id_)
        return self.deliveries.endpoints[id_]

    def _endpoint_object(self, endpoint: Endpoint) -> Obj:
        return {
            "id": endpoint.id,
            "object": "webhook_endpoint",
            "api_version": API_VERSIONS[endpoint.shape],
            "application": None,
            "created": self.billing.now,
            "description": None,
            "enabled_events": list(endpoint.events),
            "livemode": self.billing.livemode,
            "metadata": {},
            "status": "enabled",
            "url": endpoint.url,
        }

    # Admin calls

    def admin(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
        calls: dict[str, Callable[..., Any]] = {
            "webhook": self.webhook,
            "delivery": self.delivery,
            "card": self.card,
            "dunning": self.dunning,
            "checkout": self.checkout,
            "lag": self.lag,
            "deliver": self.deliver,
            "drain": self.drain,
            "undelivered": self.undelivered,
        }
        try:
            return calls[name](**body)
        except Refusal as refusal:
            raise KeyError(str(refusal)) from refusal

    def webhook(
        self, url: str, secret: str, enabled_events: Iterable[str] = ("*",), api_shape: Shape | None = None
    ) -> Obj:
        """Events go to `url` from now on, signed with `secret`. The same URL again replaces its endpoint."""
        with self.lock:
            for known in [each for each in self.deliveries.endpoints.values() if each.url == url]:
                del self.deliveries.endpoints[known.id]
            endpoint = Endpoint(self.billing.new_id("we_"), url, secret, tuple(enabled_events), api_shape or self.shape)
            self.deliveries.endpoints[endpoint.id] = endpoint
            return self._endpoint_object(endpoint)

    def delivery(self, **wanted: float) -> Obj:
        """Takes {duplicate, reorder, drop: shares, delay_s, reorder_s, seed, tries, backoff_s, timeout_s, threads}."""
        self.deliveries.configure(wanted)
        return {"ok": True}

    def card(self, customer: str, *, ok: bool | None) -> Obj:
        """Whether this customer's payments succeed from now on; null: there is no card."""
        with self.lock:
            self.billing.cards[self.billing.get("customers", customer)["id"]] = ok
        return {"customer": customer, "ok": ok}

    def dunning(self, final: str) -> Obj:
        """What a subscription becomes when the last retry has failed: canceled, unpaid or past_due."""
        if final not in ("canceled", "unpaid", "past_due"):
            raise KeyError(final)
        self.billing.final = final
        return {"final": final}

    def checkout(self, session: str) -> Obj:
        """The buyer completes this session; gives it as it is now."""
        with self.lock:
            self.billing.catch_up()
            return json.loads(json.dumps(shaped(self.billing.complete_session(session), self.shape)))  # type: ignore[no-any-return]

    def lag(self, seconds: float, ops: int | None = None) -> Obj:
        """Reads answer what was true `seconds` ago (machine time); `ops` limits how many changes lag."""
        with self.lock:
            self.billing.lag.configure(seconds, ops)
        return {"seconds": seconds, "ops": ops}

    def deliver(self, events: Iterable[str] | None = None) -> Obj:
        """Sends these events again to all endpoints that want them, kindly; without ids, all that got no 2xx."""
        ids = list(events) if events is not None else sorted(self.deliveries.missed())
        with self.lock:
            records = [self._event(id_) for id_ in ids]
            shapes = self.billing.shapes()
            return {
                "queued": sum(
                    self.deliveries.force(record.id, record.type, {shape: record.body(shape) for shape in shapes})
                    for record in records
                )
            }

    def drain(self, timeout_s: float = 30) -> Obj:
        """Waits until no delivery is pending; gives the counts."""
        return self.deliveries.drain(timeout_s)

    def undelivered(self) -> list[Obj]:
        """What got no 2xx so far."""
        return self.deliveries.undelivered()

    def advance(self, **step: float) -> None:
        """Moves business time on, as `timedelta` takes it: `advance(days=31)`."""
        self.clock.advance(timedelta(**step))

    def state(self) -> dict[str, Any]:
        return self.billing.everything() | {"events": len(self.billing.events)}


def _fingerprint(request: Request) -> str:
    return f"{request.method} {request.full_path} {request.get_data(as_text=True)}"


# Parameters


def parameters(request: Request) -> Obj:
    """Query and form as nested JSON: `items[0][price]=p` is {"items": [{"price": "p"}]}. Values stay text."""
    root: Obj = {}
    for source in (request.args, request.form):
        for key, value in source.items(multi=True):
            _put(root, re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key), value)
    return {key: value if key == "metadata" else _with_lists(value) for key, value in root.items()}


def _put(node: Obj, path: list[str], value: str) -> None:
    *above, last = path
    for name in above:
        node = node.setdefault(name or str(len(node)), {})
    node[last or str(len(node))] = value


def _with_lists(node: Any) -> Any:  # noqa: ANN401
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: value if key == "metadata" else _with_lists(value) for key, value in node.items()}


# Pages


def _page(data: list[Any], url: str, *, has_more: bool = False) -> Obj:
    return {"object": "list", "url": url, "has_more": has_more, "data": data}


def _paged(
    url: str,
    params: Obj,
    newest: Callable[[str | None], Iterator[Any]],
    oldest: Callable[[str], Iterator[Any]],
    matches: Callable[[Any], bool],
    created: Callable[[Any], int],
) -> Obj:
    """One page, newest first; a lower bound on `created` ends the walk."""
    limit, floor = _limit(params), _floor(params)
    if "ending_before" in params:
        found = list(islice(filter(matches, oldest(params["ending_before"])), limit + 1))
        return _page(found[:limit][::-1], url, has_more=len(found) > limit)
    recent = takewhile(lambda value: created(value) >= floor, newest(params.get("starting_after")))
    found = list(islice(filter(matches, recent), limit + 1))
    return _page(found[:limit], url, has_more=len(found) > limit)


def _part_page(url: str, params: Obj, values: list[Obj]) -> Obj:
    """A page of a short list that an object carries, in its own order."""
    ids = [value["id"] for value in values]
    start = ids.index(params["starting_after"]) + 1 if params.get("starting_after") in ids else 0
    limit = _limit(params)
    return _page(values[start : start + limit], url, has_more=len(values) > start + limit)


def _limit(params: Obj) -> int:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise Refusal(400, "This value must be between 1 and 100.", code="parameter_invalid_integer", param="limit")
    return limit


def _floor(params: Obj) -> int:
    created = params.get("created")
    return int(created.get("gte") or created.get("gt") or 0) if isinstance(created, dict) else 0


def _in_range(moment: int, wanted: Any) -> bool:  # noqa: ANN401
    """Whether `moment` fits {gt, gte, lt, lte}, a number, or nothing."""
    if wanted is None:
        return True
    if not isinstance(wanted, dict):
        return moment == int(wanted)
    tests: dict[str, Callable[[int], bool]] = {
        "gt": lambda bound: moment > bound,
        "gte": lambda bound: moment >= bound,
        "lt": lambda bound: moment < bound,
        "lte": lambda bound: moment <= bound,
    }
    return all(tests[name](int(bound)) for name, bound in wanted.items())


def _created(value: Obj) -> int:
    return int(value["created"])


def _type_test(types: set[str]) -> Callable[[str], bool]:
    """Whether a type is one of `types`, where `invoice.*` stands for all that begin so; no types: any."""
    stems = tuple(name.rstrip("*") for name in types if name.endswith("*"))
    return lambda type_: not types or type_ in types or type_.startswith(stems or ("\0",))


_TESTS: dict[str, Callable[[Obj, Any], bool]] = {
    "active": lambda value, wanted: value["active"] == (wanted == "true"),
    "lookup_keys": lambda value, wanted: value["lookup_key"] in wanted,
    "type": lambda value, wanted: bool(value["type"] == wanted),
    "ids": lambda value, wanted: value["id"] in wanted,
    "collection_method": lambda value, wanted: bool(value["collection_method"] == wanted),
    "price": lambda value, wanted: any(item["price"]["id"] == wanted for item in value["items"]["data"]),
    "created": lambda value, wanted: _in_range(value["created"], wanted),
}


def _matcher(kind: str, params: Obj) -> Callable[[Obj], bool]:
    tests = [(_TESTS[name], params[name]) for name in _TESTS if name in params]
    status = params.get("status", "live" if kind == "subscriptions" else None)

    def matches(value: Obj) -> bool:
        return _has_status(value, status) and all(test(value, wanted) for test, wanted in tests)

    return matches


def _has_status(value: Obj, wanted: str | None) -> bool:
    """Lists of subscriptions leave canceled ones out unless asked: `all`, `ended`, or a status."""
    match wanted:
        case None | "all":
            return True
        case "live":
            return bool(value["status"] != "canceled")
        case "ended":
            return value["status"] in ("canceled", "incomplete_expired")
    return bool(value["status"] == wanted)


def _unexpandable(name: str) -> Refusal:
    return Refusal(400, f"This property cannot be expanded ({name}).", param="expand")
