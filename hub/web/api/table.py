"""Every operation of the API. What is not in this table is not served; the OpenAPI document is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, jsonify

from hub.web.api import consumers, drifts, licenses, models, orders, stream, usage
from hub.web.api.document import document
from hub.web.api.models import Asked, Body, Nothing
from hub.web.api.route import Answered, Route, View

if TYPE_CHECKING:
    from hub.web.api.route import Call


def openapi(_call: Call) -> Response:
    """The document of these routes."""
    return jsonify(document(ROUTES))


def me(call: Call) -> models.Me:
    """The key that asks."""
    key, per_s = call.key, call.hub.settings.hub.api_per_s
    return models.Me(
        prefix=key.prefix,
        name=key.name,
        scopes=list(key.scopes),
        expires_at=models.at(key.expires_at),
        limit_per_s=per_s,
    )


def _get(
    path: str, name: str, scope: str | None, summary: str, view: View, answer: Answered, query: type[Asked] = Nothing
) -> Route:
    return Route(
        name=name, method="GET", path=path, scope=scope, summary=summary, view=view, answer=answer, query=query
    )


def _order(
    line: str,
    name: str,
    scope: str,
    summary: str,
    view: View,
    answer: Answered,
    body: type[Body] | None = None,
    status: int = 200,
) -> Route:
    """`line` is method and path."""
    method, path = line.split(" ")
    return Route(
        name=name,
        method=method,
        path=path,
        scope=scope,
        summary=summary,
        view=view,
        answer=answer,
        body=body,
        status=status,
    )


JSON_DOCUMENT = "application/json"
SVG = "image/svg+xml"
PURCHASES, ENTITLEMENTS, USAGE = "purchases:read", "entitlements:read", "usage:read"
EVENTS, READ, WRITE = "events:read", "endpoints:read", "endpoints:write"
ONE, ENDPOINT = "/entitlements/<entitlement>", "/endpoints/<endpoint>"

_ABOUT = (
    _get("/openapi.json", "openapi", None, "This document", openapi, JSON_DOCUMENT),
    _get("/asyncapi.json", "asyncapi", None, "What the stream carries", stream.asyncapi, JSON_DOCUMENT),
    _get("/me", "me", "", "The key that asks, its scopes and its limit", me, models.Me),
)
_LICENSES = (
    _get(
        "/purchases",
        "purchases",
        PURCHASES,
        "What was bought, and how far the hub is with it",
        licenses.purchases,
        models.Page[models.Purchase],
        models.Purchases,
    ),
    _get(
        "/purchases/<path:purchase>",
        "purchase",
        PURCHASES,
        "One purchase with its newest acts",
        licenses.purchase,
        models.WholePurchase,
    ),
    _get(
        "/receipts",
        "receipts",
        "receipts:read",
        "Webhooks that came in, without headers and bodies",
        licenses.receipts,
        models.Page[models.Receipt],
        models.Receipts,
    ),
    _get("/receipts/<receipt>", "receipt", "receipts:read", "One webhook", licenses.receipt, models.Receipt),
    _get(
        "/entitlements",
        "entitlements",
        ENTITLEMENTS,
        "Licenses as the hub last read them",
        licenses.entitlements,
        models.Page[models.Entitlement],
        models.Found,
    ),
    _get(ONE, "entitlement", ENTITLEMENTS, "One license", licenses.entitlement, models.Entitlement),
    _get(
        f"{ONE}/why",
        "why",
        ENTITLEMENTS,
        "For every field why it is so, or was at a moment",
        licenses.why,
        models.Why,
        models.At,
    ),
    _get(
        "/customers",
        "customers",
        ENTITLEMENTS,
        "Customers that have licenses",
        licenses.every_customer,
        models.Page[models.Customer],
        models.Listed,
    ),
    _get(
        "/customers/<customer>",
        "customer",
        ENTITLEMENTS,
        "One customer with its licenses",
        licenses.customer,
        models.WholeCustomer,
    ),
)
_USAGE = (
    _get(f"{ONE}/usage", "usage", USAGE, "Seat use by month", usage.months, models.Usage),
    _get(f"{ONE}/usage/days", "usage_days", USAGE, "Seat use by day", usage.days, models.Days, models.Span),
    _get(
        f"{ONE}/signal",
        "signal",
        USAGE,
        "What the use says about the renewal, and said before",
        usage.signal,
        models.WholeSignal,
    ),
    _get(
        f"{ONE}/chart.svg", "chart", USAGE, "Twelve months of seats used as a picture", usage.chart, SVG, models.Chart
    ),
    _get(
        "/signals",
        "signals",
        USAGE,
        "The newest signal of every entitlement",
        usage.every_signal,
        models.Page[models.Signal],
        models.Signals,
    ),
)
_ORDERS = (
    _order(
        "POST /looks",
        "look",
        "looks:write",
        "Looks at a purchase now",
        orders.look,
        models.Asks,
        models.LookAt,
        status=202,
    ),
    _order(
        "POST /replays/preview",
        "preview",
        "looks:write",
        "What a replay would come to; changes nothing",
        orders.preview,
        models.Replayed,
        models.PreviewOf,
    ),
    _order(
        "POST /replays",
        "replay_receipts",
        "looks:write",
        "Looks again at what stored webhooks are about",
        orders.replay,
        models.Replayed,
        models.ReplayOf,
        status=202,
    ),
    _get(
        "/approvals",
        "approvals",
        "approvals:read",
        "Acts that the guard holds back",
        orders.held_back,
        models.Page[models.Approval],
        models.Approvals,
    ),
    _order(
        "POST /approvals/<path:purchase>/approve",
        "approve",
        "approvals:write",
        "Lets them go",
        orders.approve,
        models.Decided,
    ),
    _order(
        "POST /approvals/<path:purchase>/refuse",
        "refuse",
        "approvals:write",
        "Does not do them, and holds the purchase",
        orders.refuse,
        models.Decided,
        models.Reason,
    ),
    _order(
        "POST /check",
        "check",
        "checks:run",
        "Tests record, credentials and catalog, as `hub check` does",
        orders.check,
        models.Checked,
    ),
)
_DRIFT = (
    _get(
        "/drift",
        "drift",
        "drift:read",
        "Where sales, licenses and CRM disagreed when they were compared last",
        drifts.found,
        models.DriftPage,
        models.Drifts,
    ),
    _order(
        "POST /drift/apply",
        "repair",
        "drift:write",
        "Makes looks due, or opens tasks, that repair these",
        drifts.repair,
        models.Repaired,
        models.Repair,
        status=202,
    ),
)
_STREAM = (
    _get(
        "/events",
        "events",
        EVENTS,
        "Messages after a position; `wait` for one where there is none",
        stream.events,
        models.Events,
        models.After,
    ),
    _get(
        "/events/types", "types", EVENTS, "Schema, example and changes of every type", stream.types, stream.EventTypes
    ),
)
_ENDPOINTS = (
    _get(
        "/endpoints",
        "endpoints",
        READ,
        "Every endpoint",
        consumers.endpoints,
        models.Page[models.Endpoint],
        models.Listed,
    ),
    _order(
        "POST /endpoints",
        "add",
        WRITE,
        "Adds an endpoint; its secret is told here and never again",
        consumers.add,
        models.Added,
        models.NewEndpoint,
        status=201,
    ),
    _get(ENDPOINT, "endpoint", READ, "One endpoint", consumers.endpoint, models.Endpoint),
    _order(
        f"PATCH {ENDPOINT}",
        "change",
        WRITE,
        "Makes what is named another; the rest stays",
        consumers.change,
        models.Endpoint,
        models.Changed,
    ),
    _order(f"DELETE {ENDPOINT}", "remove", WRITE, "Removes an endpoint", consumers.remove, None, status=204),
    _get(
        f"{ENDPOINT}/deliveries",
        "deliveries",
        READ,
        "What was sent there, with every attempt",
        consumers.deliveries,
        models.Page[models.Delivery],
        models.Deliveries,
    ),
    _order(
        f"POST {ENDPOINT}/enable",
        "enable",
        WRITE,
        "Sends again, what came meanwhile or not",
        consumers.enable,
        models.Enabled,
        models.Enable,
    ),
    _order(
        f"POST {ENDPOINT}/disable",
        "disable",
        WRITE,
        "Sends nothing until it is enabled; nothing is lost",
        consumers.disable,
        models.Disabled,
    ),
    _order(
        f"POST {ENDPOINT}/rotate",
        "rotate",
        WRITE,
        "A new secret; the former signs, too, for a while",
        consumers.rotate,
        models.Secret,
        models.Rotate,
    ),
    _order(
        f"POST {ENDPOINT}/replay",
        "replay",
        WRITE,
        "Sends messages again under their ids",
        consumers.replay,
        models.Resent,
        models.Resend,
    ),
    _order(
        f"POST {ENDPOINT}/test",
        "test",
        WRITE,
        "Sends a signed sample now, and says what was answered",
        consumers.test,
        models.Answered,
        models.Sample,
    ),
)
_HOOKS = (
    _order(
        "POST /hooks",
        "subscribe",
        WRITE,
        "Subscribes an URL to a type or family of events",
        consumers.subscribe,
        models.Hook,
        models.NewHook,
        status=201,
    ),
    _order(
        "DELETE /hooks/<hook>", "unsubscribe", WRITE, "Ends a subscription", consumers.unsubscribe, None, status=204
    ),
    _get(
        "/events/samples",
        "hook_samples",
        EVENTS,
        "Messages as a hook of this type or family gets them",
        consumers.hook_samples,
        consumers.Samples,
        models.SamplesOf,
    ),
)
ROUTES = (*_ABOUT, *_LICENSES, *_USAGE, *_ORDERS, *_DRIFT, *_STREAM, *_ENDPOINTS, *_HOOKS)
