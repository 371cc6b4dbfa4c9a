"""The console's page of where sales, licenses and CRM disagree, and its button. Thin: read, render."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from hub import drift
from hub.store import drifts
from hub.usage.portfolio import Money
from hub.web import auth

if TYPE_CHECKING:
    from hub.wiring import Hub


def install(console: Blueprint, hub: Hub, back: Callable[[str], Response]) -> None:
    """Adds the page and its button to the console."""

    @console.get("/drift")
    def drift_page() -> str:
        kind, before = request.args.get("show", ""), request.args.get("before", "")[:500]
        kind = kind if kind in drift.KINDS else ""
        with hub.store.read() as conn:
            kept, page = drifts.counts(conn), drifts.page(conn, kind, before)
            stand = drift.standing(conn, page.rows)
        counts, compared_at = kept or ({}, None)
        worth = [_worth(row.amount_minor, row.currency) for row in page.rows]
        found = [*zip(stand, worth, strict=True)]
        facts = {"kind": kind, "before": before, "counts": counts, "compared_at": compared_at, "kinds": drift.KINDS}
        return render_template("drift.html", page="drift", list=page, found=found, most=drift.MOST_KEPT, **facts)

    @console.post("/actions/drift")
    def repair() -> Response:
        id_ = request.form.get("id", "")
        try:
            done, _ = drift.apply_stored(hub.store, [id_], *auth.actor())
        except LookupError:
            text = f"The newest comparison found nothing called {id_}. The Drift page lists what it found."
            raise NotFound(text) from None
        hub.bell.ring_soon()
        return back("repaired" if done else "nothing to repair")


def _worth(amount_minor: int | None, currency: str | None) -> Money | None:
    return None if amount_minor is None else Money(amount_minor=amount_minor, currency=currency or "")
