"""The console's page on which a person says whose license one is that was there before the hub. Thin: read, render."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from sqlalchemy import Row
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from hub import adopting
from hub.adopting import Match
from hub.errors import PermanentError, RetryableError
from hub.store import pages
from hub.web import auth

if TYPE_CHECKING:
    from hub.wiring import Hub

NONE = "none"  # as a choice: none of the purchases
CHOOSE = "Choose one of the purchases, or none of them."
SAY_WHY = "Say why none of them is the license’s own: whoever asks again will want to know."


def install(console: Blueprint, hub: Hub, back: Callable[[str], Response]) -> None:
    """Adds the page and its form to the console."""

    def found(license_: str) -> tuple[list[Match], Row[object] | None]:
        """The purchases to choose from, and the task that asks; NotFound where there is neither."""
        with hub.store.read() as conn:
            choices, task = adopting.asked(conn, license_), pages.review_of(conn, f"{adopting.TASK}{license_}")
        if not choices and task is None:
            raise NotFound(f"No task asks whose license {license_} is. The Tasks page lists what waits for a person.")
        return choices, task

    def shown(license_: str, wrong: str = "") -> str:
        choices, task = found(license_)
        asked = {"license": license_, "choices": choices, "task": task, "wrong": wrong, "nobody": NONE}
        return render_template("whose.html", page="reviews", **asked, form=request.form)

    @console.get("/adopt/<path:license_>")
    def whose(license_: str) -> str:
        return shown(license_)

    @console.post("/actions/whose")
    def decide() -> Response | tuple[str, int]:
        license_, purchase = request.form.get("license", ""), request.form.get("purchase", "")
        why = " ".join(request.form.get("why", "").split())[:200]
        choices = {one.purchase: one for one in found(license_)[0]}
        if purchase == NONE and not why:
            return shown(license_, SAY_WHY), 400
        if purchase == NONE:
            return back("ruled out" if adopting.rule_out(hub.store, license_, why, *auth.actor()) else "gone")
        if purchase not in choices:
            return shown(license_, CHOOSE), 400
        try:
            done = adopting.adopt(hub.store, hub.shop.licensing, [choices[purchase]], *auth.actor(), why)
        except (RetryableError, PermanentError) as error:
            return shown(license_, f"The license can’t be read now, so nothing was written: {error}"), 503
        hub.bell.ring_soon()
        return back("adopted" if done else "not adopted")
