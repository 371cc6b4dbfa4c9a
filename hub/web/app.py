"""The Flask application: receiver, probes, metrics, console."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Request, Response, current_app, jsonify, request
from sqlalchemy import Connection
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

from hub import log, metrics, runtime, settings, wiring
from hub.errors import Unavailable
from hub.store import records
from hub.web import api, auth, console, fulfillment, portal, receiver, renewals
from hub.web.gateway import Gateway
from hub.web.problem import problem
from hub.wiring import Hub


class App(Flask):
    """Flask without what this application has no use for: routes by host, and routes that are coroutines."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes depend on path and method alone, so the Host header need not be read for them."""
        if request is None:
            return None
        return self.url_map.bind(
            "localhost",
            request.root_path,
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
            query_args=request.query_string.decode("latin-1"),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: asking each time whether it is a coroutine takes as long as routing."""
        return func


def create_app(hub: Hub) -> Flask:
    """The application on `hub`."""
    app = App(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024  # forms; the receiver counts for itself
    app.register_blueprint(receiver.blueprint(hub))
    app.register_blueprint(api.blueprint(hub))
    app.register_blueprint(fulfillment.blueprint(hub))
    _probes(app, hub)
    auth.install(app, hub)
    app.register_blueprint(console.blueprint(hub))
    app.register_blueprint(renewals.blueprint(hub))
    app.register_blueprint(portal.blueprint(hub))
    app.register_error_handler(Unavailable, _unavailable)
    if hub.settings.hub.trusted_proxies:
        hops = hub.settings.hub.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _unavailable(error: Unavailable) -> Response:
    """The record is away: told to machines as they expect it, to people as a page that reads nothing."""
    wait = {"Retry-After": f"{error.retry_after:.0f}"}
    if request.path.startswith(auth.MACHINES):
        return problem(503, str(error), wait)
    return Response(current_app.jinja_env.get_template("away.html").render(), 503, wait)


def from_environment() -> Gateway:
    """What the server loads in its worker process: the hub of HUB_CONFIG."""
    log.configure("web")
    runtime.die_with_parent(int(os.environ[runtime.SERVED_BY]) if runtime.SERVED_BY in os.environ else None)
    hub = wiring.build(settings.load())
    wiring.start(hub)
    hub.bell.tell_if_none()
    gateway = Gateway(create_app(hub), partial(receiver.limit_of, hub), hub.settings.hub.threads)
    _collect_rarely()
    return gateway


def _collect_rarely() -> None:
    """What is there now stays, so it need not be searched for garbage: a full search stops every request for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _allow(error: HTTPException) -> dict[str, str]:
    """Which methods a 405 says are taken instead."""
    methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


def _probes(app: Flask, hub: Hub) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def readyz() -> Response:
        def unit(conn: Connection) -> None:
            records.set_cursor(conn, "ready", "")

        try:
            hub.store.write(unit, timeout_s=3)
        except Unavailable as error:
            return problem(503, str(error), {"Retry-After": "5"})
        return jsonify(status="ready", degraded=[] if hub.bell.alive() else ["redis"])

    @app.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.render(hub.store), content_type="text/plain; version=0.0.4")

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response | HTTPException:
        if request.path.startswith(("/webhooks/", "/fulfillment/", "/api/", "/healthz", "/readyz", "/metrics")):
            return problem(error.code or 500, error.description or "", _allow(error))
        return error
