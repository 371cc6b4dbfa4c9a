"""The console's pages of endpoints: how each stands, what was sent and what was answered; send again, on and off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from hub.errors import PermanentError
from hub.outbound.endpoints import By
from hub.store import outbound, pages
from hub.store.outbound import Again, Endpoint
from hub.web import auth

if TYPE_CHECKING:
    from hub.wiring import Hub

STATES = (outbound.PENDING, outbound.DELIVERED, outbound.EXHAUSTED, outbound.SKIPPED)
BADGES = {
    outbound.PENDING: ("", "i-clock", "Waiting"),
    outbound.DELIVERED: ("badge-good", "i-check", "Delivered"),
    outbound.EXHAUSTED: ("badge-bad", "i-dead", "Given up"),
    outbound.SKIPPED: ("", "i-same", "Skipped"),
}
SHOWN = 50


def install(console: Blueprint, hub: Hub, back: Callable[[str], Response]) -> None:
    """Adds the pages and their buttons to the console."""

    @console.get("/endpoints")
    def endpoints() -> str:
        with hub.store.read() as conn:
            found = [(one, outbound.backlog(conn, one)) for one in outbound.endpoints(conn)]
        on = sum(one.state == outbound.ENABLED for one, _ in found)
        return render_template("endpoints.html", page="endpoints", found=found, on=on, badge=health_badge, host=host)

    @console.get("/endpoints/<id_>")
    def endpoint(id_: str) -> str:
        state, before = request.args.get("state", ""), pages.id_from(request.args.get("before", ""))
        state = state if state in STATES else ""
        with hub.store.read() as conn:
            found = outbound.endpoint(conn, id_)
            if found is None:
                raise NotFound(f"No endpoint is called {id_}. The Endpoints page lists them.")
            rows = outbound.deliveries(conn, id_, state, before, SHOWN)
            tried = {row.id: outbound.attempts(conn, row.id) for row in rows if row.tries}
            left = outbound.backlog(conn, found)
        facts: dict[str, Any] = {"rows": rows, "tried": tried, "left": left, "state": state, "before": before}
        facts |= {"older": rows[-1].position if len(rows) == SHOWN else None, "states": STATES, "badges": BADGES}
        return render_template("endpoint.html", page="endpoints", one=found, badge=health_badge, **facts)

    @console.post("/actions/endpoint")
    def act() -> Response:
        id_, order = request.form.get("id", ""), request.form.get("order", "")
        try:
            said = _do(hub, id_, order, _by())
        except PermanentError as error:
            raise NotFound(str(error)) from None
        hub.bell.ring("delivery")
        return back(said)


def _by() -> By:
    actor, origin = auth.actor()
    return By(actor=actor, origin=origin)


def _do(hub: Hub, id_: str, order: str, by: By) -> str:
    """Does what a button says; the key of the sentence that the page then shows."""
    orders = hub.office.endpoints
    match order:
        case "disable":
            orders.disable(id_, by)
            return "endpoint off"
        case "enable" | "skip":
            orders.enable(id_, by, skip=order == "skip")
            return "endpoint on"
        case "failed":
            return "sent again" if orders.again(id_, Again(failed=True), by) else "none to send"
        case "again":
            which = Again(ids=(request.form.get("event", ""),))
            return "sent again" if orders.again(id_, which, by) else "none to send"
        case _:
            raise PermanentError("There is no such order.")


def host(of: Endpoint) -> str:
    """Where it is, without what in its path may be a secret."""
    return urlsplit(of.url).netloc


def health_badge(of: Endpoint) -> tuple[str, str, str]:
    """Badge class, symbol and word for how an endpoint stands."""
    if of.state == outbound.DISABLED:
        return ("badge-bad", "i-hold", "Disabled")
    return ("badge-warn", "i-warn", "Failing") if of.health.failing_since else ("badge-good", "i-check", "Well")
