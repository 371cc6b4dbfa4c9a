"""The customer's own page: what it used, never what the vendor thinks of it, and nothing of anybody else.

The token in the path is the only key. Nothing else in a request says whose page it is: entitlements are numbered
within the account, so that no id of another can be asked for.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template
from werkzeug.exceptions import NotFound

from hub import portal as links
from hub.web import auth, pictures

if TYPE_CHECKING:
    from hub.portal import Link
    from hub.usage.portfolio import Account, Entitled
    from hub.wiring import Hub

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}


def blueprint(hub: Hub) -> Blueprint:
    """The routes; each opens the token itself, no login is asked for."""
    portal = Blueprint(auth.PORTAL, __name__)
    _page(portal, hub)
    _parts(portal, hub)

    @portal.after_request
    def _kept_nowhere(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @portal.get("/portal/", defaults={"rest": ""})
    @portal.get("/portal/<path:rest>")
    def _nothing(rest: str) -> Response:  # noqa: ARG001  (a path of nobody's)
        raise NotFound

    @portal.errorhandler(404)
    def _gone(error: NotFound) -> Response:  # noqa: ARG001  (no reason is told)
        return Response(render_template("portal_gone.html"), 404)

    return portal


def _page(portal: Blueprint, hub: Hub) -> None:
    @portal.get("/portal/<token>")
    def page(token: str) -> str:
        link, account = _opened(hub, token)
        until = datetime.fromtimestamp(link.expires_at, UTC).date()
        shown = [_facts(one) for one in account.entitled]
        return render_template("portal.html", account=account, shown=shown, until=until, token=token, host=_host(hub))


def _host(hub: Hub) -> str:
    """Whose page it is: the name that the hub is reached by."""
    return hub.settings.hub.company or hub.settings.hub.public_url.split("://")[-1].split("/")[0]


def _facts(one: Entitled) -> dict[str, object]:
    """What the page tells of an entitlement: from its history alone."""
    from hub.usage import chart, figures  # noqa: PLC0415  (numpy)

    needs = pictures.needs(one, own=True)
    return {
        "offering": one.standing.offering,
        "history": one.history,
        "seats": figures.licensed(one.history.seats),
        "busy": figures.busy(one.history),
        "sentence": chart.own_sentence(one.history),
        "months": figures.months(one.history),
        "needs": needs,
        "need_words": chart.need_words(needs),
    }


def _parts(portal: Blueprint, hub: Hub) -> None:
    @portal.get("/portal/<token>/<int:number>/seats.svg")
    def seats(token: str, number: int) -> Response:
        one = _numbered(hub, token, number)
        return pictures.chart(hub.drawer, one, f"{one.standing.offering}: seats used over 12 months", own=True)

    @portal.get("/portal/<token>/<int:number>/needs.svg")
    def needs(token: str, number: int) -> Response:
        one = _numbered(hub, token, number)
        return pictures.bars(
            hub.drawer, pictures.needs(one, own=True), f"{one.standing.offering}: days that needed more"
        )

    @portal.get("/portal/<token>/<int:number>/months.csv")
    def months(token: str, number: int) -> Response:
        return pictures.months_csv(_numbered(hub, token, number), f"seats-{number}.csv")


def _opened(hub: Hub, token: str) -> tuple[Link, Account]:
    link = links.opened(hub.store, hub.settings.secrets, token, time.time())
    account = hub.portfolio.account(link.account) if link else None
    if link is None or account is None:
        raise NotFound
    return link, account


def _numbered(hub: Hub, token: str, number: int) -> Entitled:
    _, account = _opened(hub, token)
    if not 1 <= number <= len(account.entitled):
        raise NotFound
    return account.entitled[number - 1]
