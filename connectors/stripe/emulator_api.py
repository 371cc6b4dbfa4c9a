"""The routes of Stripe's API over one emulated account: what is read and written where, and in which shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter
from urllib.parse import urlencode

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.stripe import emulator_thin as thin
from connectors.stripe.emulator_billing import Billing
from connectors.stripe.emulator_books import PREFIXES, Books, Record, Refusal, missing, need
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_shapes import API_VERSIONS, Shape, shaped, shaped_lines
from connectors.stripe.emulator_webhooks import Deliveries, Endpoint
from connectors.stripe.emulator_wire import (
    INDEXED,
    created_at,
    in_range,
    limit_of,
    matcher,
    page,
    paged,
    parameters,
    part_page,
    type_test,
)

EXPAND_DEPTH = 4
# what a request does: (kind, verb) -> the method of the account that does it
CREATE = {
    "customers": "create_customer",
    "products": "create_product",
    "prices": "create_price",
    "subscriptions": "subscriptions.create",
    "subscription_schedules": "schedules.create",
    "checkout/sessions": "checkout.create",
    "refunds": "payments.refund",
    "credit_notes": "credit_notes.create",
    "payment_methods": "methods.create",
    "payment_intents": "intents.create",
    "invoiceitems": "manual.create_item",
    "invoices": "manual.create_invoice",
    "quotes": "quotes.create",
}
UPDATE = {
    "customers": "update_customer",
    "products": "update_product",
    "prices": "update_price",
    "subscriptions": "subscriptions.update",
    "subscription_schedules": "schedules.update",
    "refunds": "payments.update_refund",
    "credit_notes": "credit_notes.update",
}
# what stands behind an id in a path: name -> (method, whether it takes parameters)
VERBS: dict[tuple[str, str], tuple[str, bool]] = {
    ("invoices", "pay"): ("invoices.pay", True),
    ("invoices", "void"): ("invoices.void", False),
    ("invoices", "finalize"): ("invoices.finalize", False),
    ("invoices", "mark_uncollectible"): ("invoices.mark_uncollectible", False),
    ("subscriptions", "pause"): ("subscriptions.pause", False),
    ("subscriptions", "resume"): ("subscriptions.resume", True),
    ("subscription_schedules", "release"): ("schedules.release", False),
    ("subscription_schedules", "cancel"): ("schedules.cancel", False),
    ("checkout/sessions", "expire"): ("checkout.expire", False),
    ("credit_notes", "void"): ("credit_notes.void", False),
    ("payment_methods", "attach"): ("methods.attach", True),
    ("payment_methods", "detach"): ("methods.detach", False),
    ("payment_intents", "confirm"): ("intents.confirm", True),
    ("payment_intents", "cancel"): ("intents.cancel", True),
    ("quotes", "finalize"): ("quotes.finalize", True),
    ("quotes", "accept"): ("quotes.accept", False),
    ("quotes", "cancel"): ("quotes.cancel", False),
    ("payment_pages", "confirm"): ("checkout.confirm_page", True),
}

SOLD = {"checkout/sessions": "checkout.session", "quotes": "quote"}  # kinds with line items, and their objects


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
    yield rule("invoices/<id_>/lines", "GET", "list_lines", kind="invoices")
    yield rule("credit_notes/<id_>/lines", "GET", "list_lines", kind="credit_notes")
    for kind in SOLD:
        yield rule(f"{kind}/<id_>/line_items", "GET", "list_sold_lines", kind=kind)
    yield rule("payment_pages/<id_>", "GET", "payment_page")
    yield rule("events", "GET", "list_events")
    yield rule("events/<id_>", "GET", "retrieve_event")
    yield Rule("/v2/core/events", methods=["GET"], endpoint="list_thin_events")
    yield Rule("/v2/core/events/<id_>", methods=["GET"], endpoint="retrieve_thin_event")
    yield rule("subscription_items", "GET", "list_items")
    yield rule("subscription_items", "POST", "create_item")
    for method, endpoint in (("GET", "retrieve_item"), ("POST", "update_item"), ("DELETE", "delete_item")):
        yield rule("subscription_items/<id_>", method, endpoint)
    yield rule("webhook_endpoints", "GET", "list_endpoints")
    yield rule("webhook_endpoints", "POST", "create_endpoint")
    for method, endpoint in (("GET", "retrieve_endpoint"), ("POST", "update_endpoint"), ("DELETE", "delete_endpoint")):
        yield rule("webhook_endpoints/<id_>", method, endpoint)


class Api:
    """Answers requests for one account; each public method is a route's and gives JSON or a Response."""

    routes = Map(list(_rules()), redirect_defaults=False, strict_slashes=False)

    def __init__(self, books: Books, billing: Billing, deliveries: Deliveries) -> None:
        self.books, self.billing, self.deliveries = books, billing, deliveries
        self.shape: Shape = books.shape

    # Reading

    def _view(self, value: Obj) -> Obj | None:
        """`value` as a reader sees it now, in the account's shape."""
        seen = self.books.lag.seen(value)
        return None if seen is None else shaped(seen, self.shape)

    def _find(self, id_: str, name: str) -> Obj | None:
        """The object that field `name` refers to; None where it can't be seen yet."""
        for shelf in self.books.shelves.values():
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
                return page(
                    self._seen("invoice_payments", invoice=value["id"]), f"/v1/invoice_payments?invoice={value['id']}"
                )
            case "charge", "refunds":
                return page(self._seen("refunds", charge=value["id"]), f"/v1/charges/{value['id']}/refunds")
            case "checkout.session" | "quote" as sold, "line_items":
                kind = next(kind for kind, object_ in SOLD.items() if object_ == sold)
                lines = self.books.get(kind, value["id"])["_lines"]
                return part_page(f"/v1/{kind}/{value['id']}/line_items", {}, lines)
        raise _unexpandable(name)

    def _seen(self, kind: str, **filters: str) -> list[Obj]:
        return [view for value in self.books.find(kind, **filters) if (view := self._view(value)) is not None]

    def retrieve(self, request: Request, kind: str, id_: str) -> Obj:
        view = self._view(self.books.get(kind, id_))
        if view is None:
            raise missing(kind, id_)
        return self._shown(view, parameters(request))

    def list_(self, request: Request, kind: str) -> Obj:
        params = parameters(request, f"list {kind}")
        if intent := (params.get("payment") or {}).get("payment_intent"):
            params["payment_intent"] = intent
        if email := (params.get("customer_details") or {}).get("email"):
            params["customer_details[email]"] = email
        shelf = self.books.shelves[kind]
        fields = {name: params[name] for name in INDEXED[kind] if name in params}

        def newest(cursor: str | None) -> Iterator[Obj]:
            return shelf.newest_first(cursor and self._cursor(kind, cursor), **fields)

        def oldest(cursor: str) -> Iterator[Obj]:
            return shelf.oldest_first(self._cursor(kind, cursor), **fields)

        found = paged(f"/v1/{kind}", params, newest, oldest, matcher(kind, params), created_at)
        found["data"] = [view for value in found["data"] if (view := self._view(value)) is not None]
        return self._shown(found, params)

    def _cursor(self, kind: str, id_: str) -> str:
        if id_ not in self.books.shelves[kind].place:
            raise missing(kind, id_, param="starting_after", status=400)
        return id_

    def list_lines(self, request: Request, kind: str, id_: str) -> Obj:
        seen = self.books.lag.seen(self.books.get(kind, id_))
        if seen is None:
            raise missing(kind, id_)
        lines = seen["lines"]["data"]
        shown = shaped_lines(lines, self.shape) if kind == "invoices" else lines
        return part_page(f"/v1/{kind}/{id_}/lines", parameters(request, "list lines"), shown)

    def list_sold_lines(self, request: Request, kind: str, id_: str) -> Obj:
        sold = self.books.get(kind, id_)
        if self.books.lag.seen(sold) is None:
            raise missing(kind, id_)
        params = parameters(request, "list lines")
        return self._shown(part_page(f"/v1/{kind}/{id_}/line_items", params, sold["_lines"]), params)

    def payment_page(self, request: Request, id_: str) -> Obj:
        return self.billing.checkout.page(id_)

    # Writing

    def create(self, request: Request, kind: str) -> Obj:
        params = parameters(request, f"create {kind}")
        return self._written(attrgetter(CREATE[kind])(self.billing)(params), params)

    def update(self, request: Request, kind: str, id_: str) -> Obj:
        params = parameters(request, f"update {kind}")
        return self._written(attrgetter(UPDATE[kind])(self.billing)(id_, params), params)

    def act(self, request: Request, kind: str, verb: str, id_: str) -> Obj:
        params = parameters(request, f"{verb} {kind}")
        name, takes = VERBS[kind, verb]
        return self._written(attrgetter(name)(self.billing)(id_, *([params] if takes else [])), params)

    def delete_customer(self, request: Request, id_: str) -> Obj:
        return self.billing.delete_customer(id_)

    def cancel_subscription(self, request: Request, id_: str) -> Obj:
        params = parameters(request, "delete subscriptions")
        return self._written(self.billing.subscriptions.cancel(id_, params), params)

    def _written(self, value: Obj, params: Obj) -> Obj:
        """The answer to a write: what is true now, never behind."""
        return self._shown(shaped(value, self.shape), params)

    # Subscription items

    def _item(self, id_: str, *, lagging: bool = True) -> Obj:
        sub = self.books.get("subscriptions", self.billing.subscriptions.items.get(id_, ""))
        seen = self.books.lag.seen(sub) if lagging else sub
        for item in (seen or {"items": {"data": []}})["items"]["data"]:
            if item["id"] == id_:
                return shaped(item, self.shape)
        raise missing("subscription_items", id_)

    def list_items(self, request: Request) -> Obj:
        params = parameters(request, "list subscription_items")
        need(params, "subscription")
        sub = self._view(self.books.get("subscriptions", params["subscription"]))
        items = sub["items"]["data"] if sub else []
        return self._shown(part_page("/v1/subscription_items", params, items), params)

    def retrieve_item(self, request: Request, id_: str) -> Obj:
        return self._shown(self._item(id_), parameters(request))

    def create_item(self, request: Request) -> Obj:
        params = parameters(request, "create subscription_items")
        sub = self._change_item(str(params.get("subscription", "")), {}, params)
        return self._item(sub["items"]["data"][-1]["id"], lagging=False)

    def update_item(self, request: Request, id_: str) -> Obj:
        params = parameters(request, "update subscription_items")
        self._change_item(self._item(id_, lagging=False)["subscription"], {"id": id_}, params)
        return self._item(id_, lagging=False)

    def delete_item(self, request: Request, id_: str) -> Obj:
        sub, params = self._item(id_, lagging=False)["subscription"], parameters(request, "delete subscription_items")
        self._change_item(sub, {"id": id_, "deleted": "true"}, params)
        return {"id": id_, "object": "subscription_item", "deleted": True}

    def _change_item(self, sub: str, item: Obj, params: Obj) -> Obj:
        wanted = {name: params[name] for name in ("price", "quantity", "metadata") if name in params}
        rest = {name: params[name] for name in ("proration_behavior", "payment_behavior") if name in params}
        return self.billing.subscriptions.update(sub, rest | {"items": [wanted | item]})

    # Events

    def list_events(self, request: Request) -> Response:
        """Newest first, 30 days back. Bodies go out as they were sent."""
        params = parameters(request, "list events")
        if len(params.get("types") or []) > 20:
            raise Refusal(400, "You may pass up to 20 event types.", param="types")
        found = paged(
            "/v1/events",
            params,
            lambda cursor: self.books.events_newest_first(self.event(cursor) if cursor else None),
            lambda cursor: self.books.events_oldest_first(self.event(cursor)),
            self._event_matcher(params),
            lambda record: record.created,
        )
        bodies = b",".join(record.body(self.shape) for record in found.pop("data"))
        head = json.dumps(found)[:-1].encode()
        return Response(head + b', "data": [' + bodies + b"]}", content_type="application/json")

    def event(self, id_: str) -> Record:
        """The snapshot event with this id; Refusal 404 once it is older than 30 days."""
        if id_ not in self.books.events:
            raise missing("events", id_)
        return self.books.events[id_]

    def _event_matcher(self, params: Obj) -> Callable[[Record], bool]:
        types = set(params.get("types") or []) | ({params["type"]} if "type" in params else set())
        fits = type_test(types)
        success = params.get("delivery_success")
        missed = self.deliveries.missed() if success else set()
        created = params.get("created")

        def matches(record: Record) -> bool:
            if success and (record.id in missed) is (success == "true"):
                return False
            return fits(record.type) and in_range(record.created, created)

        return matches

    def retrieve_event(self, request: Request, id_: str) -> Response:
        return Response(self.event(id_).body(self.shape), content_type="application/json")

    def retrieve_thin_event(self, request: Request, id_: str) -> Obj:
        twin = thin.snapshot_id(id_)
        if twin is None:
            raise missing("events", id_)
        return thin.fetched(self.event(twin).event())

    def list_thin_events(self, request: Request) -> Obj:
        """Newest first, 30 days back; `page` is what `next_page_url` names."""
        params = parameters(request, "list v2/core/events")
        about, limit = params.get("object_id"), limit_of(params)
        fits = self._event_matcher(thin.snapshot_filters(params))
        before = self.event(params["page"]) if params.get("page") else None
        told = (thin.fetched(record.event()) for record in self.books.events_newest_first(before) if fits(record))
        found = list(islice((one for one in told if about in (None, one["related_object"]["id"])), limit + 1))
        query = {name: value for name, value in request.args.items(multi=True) if name != "page"}
        query["page"] = found[limit - 1]["snapshot_event"] if len(found) > limit else ""
        more = f"/v2/core/events?{urlencode(query)}" if query["page"] else None
        return {"data": found[:limit], "next_page_url": more, "previous_page_url": None}

    # Webhook endpoints

    def create_endpoint(self, request: Request) -> Obj:
        params = parameters(request, "create webhook_endpoints")
        need(params, "url", "enabled_events")
        shape: Shape = "legacy" if params.get("api_version") == API_VERSIONS["legacy"] else self.shape
        endpoint = Endpoint(
            id=self.books.new_id("we_"),
            url=params["url"],
            secret=self.books.new_id("whsec_"),
            events=tuple(params["enabled_events"]),
            format=shape,
            connect=params.get("connect") == "true",
        )
        self.deliveries.endpoints[endpoint.id] = endpoint
        return self.endpoint_object(endpoint) | {"secret": endpoint.secret}

    def list_endpoints(self, request: Request) -> Obj:
        newest = [self.endpoint_object(each) for each in reversed(self.deliveries.endpoints.values())]
        return part_page("/v1/webhook_endpoints", parameters(request, "list webhook_endpoints"), newest)

    def retrieve_endpoint(self, request: Request, id_: str) -> Obj:
        return self.endpoint_object(self._endpoint(id_))

    def update_endpoint(self, request: Request, id_: str) -> Obj:
        endpoint, params = self._endpoint(id_), parameters(request, "update webhook_endpoints")
        endpoint.url = params.get("url", endpoint.url)
        endpoint.events = tuple(params.get("enabled_events", endpoint.events))
        return self.endpoint_object(endpoint)

    def delete_endpoint(self, request: Request, id_: str) -> Obj:
        del self.deliveries.endpoints[self._endpoint(id_).id]
        return {"id": id_, "object": "webhook_endpoint", "deleted": True}

    def _endpoint(self, id_: str) -> Endpoint:
        if id_ not in self.deliveries.endpoints:
            raise missing("webhook_endpoints", id_)
        return self.deliveries.endpoints[id_]

    def endpoint_object(self, endpoint: Endpoint) -> Obj:
        """The endpoint as the API tells it, without its secret."""
        return {
            "id": endpoint.id,
            "object": "webhook_endpoint",
            "api_version": None if endpoint.format == "thin" else API_VERSIONS[endpoint.format],
            "application": None,
            "created": self.books.now,
            "description": None,
            "enabled_events": list(endpoint.events),
            "livemode": self.books.livemode,
            "metadata": {},
            "status": "enabled",
            "url": endpoint.url,
        }


def _unexpandable(name: str) -> Refusal:
    return Refusal(400, f"This property cannot be expanded ({name}).", param="expand")
