"""The console's first pages: overview, receipts, subjects, entitlements and why. Thin: read, render.

Login, sessions and CSRF are `auth`'s, what the pages read is `store.pages`', what a press of a button does is
`approvals`'. No page needs a script.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from flask import Blueprint, Response, redirect, render_template, request
from sqlalchemy import Connection, Row
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from hub import approvals, coverage, explain
from hub.asof import SUCCEEDED, end_of
from hub.store import pages, records
from hub.web import auth, consumers, drifts, show, timeline, whose
from hub.web.problem import problem

if TYPE_CHECKING:
    from hub.wiring import Hub

NEEDING = ("parked", "held", "dead")
SAID = {
    "asked": "The subject is due now; its look follows within seconds.",
    "approved": "Approved. The acts are derived anew and done at the next look, within seconds.",
    "refused": "Refused. None of it is done, and the subject is held until somebody releases it.",
    "nothing": "Nothing waited for approval any more.",
    "done": "The task is closed.",
    "gone": "That task was closed already.",
    "held": "Held. No look does anything about it until somebody releases it.",
    "held already": "Somebody holds it already.",
    "released": "Released. Its look follows within seconds.",
    "free": "Nobody holds it any more.",
    "endpoint off": "Disabled. Nothing is sent there, and nothing is lost.",
    "endpoint on": "Enabled. What waits is sent within seconds.",
    "sent again": "They are sent again, under the ids that they have, 20 a second.",
    "none to send": "There was nothing to send again.",
    "asked for all": "They are due, behind live work, with fresh tries. Below is how many are still to be looked at.",
    "repaired": "A look is due and follows within seconds, a task is open, or a push follows within 15 minutes.",
    "nothing to repair": "Nothing was left to repair: what repairs it is due, waits for a person or is a task.",
    "adopted": "Adopted. The look of its purchase follows within seconds and sets what differs.",
    "not adopted": "Nothing was written: the license is a purchase’s by now, or that purchase has another.",
    "ruled out": "Noted. The license is no purchase’s, and these are not proposed for it again.",
    "none dead": "Nothing was dead any more.",
}
FILTERS = (
    *(show.moment, show.day, show.span, show.count, show.seats, show.field_name, show.pretty, show.payload),
    *(
        show.size,
        show.sentence,
        show.subject_badge,
        show.receipt_badge,
        show.receipt_because,
        show.breakable,
        show.next_look,
        show.ends_badge,
    ),
    *(timeline.shown, timeline.action_name),
)


def blueprint(hub: Hub) -> Blueprint:
    """The console's routes; `auth.install` guards them."""
    console = Blueprint("console", __name__)
    known = {name: one.ref for name, one in hub.connectors.items()}
    _frame(console, hub)
    _overview(console, hub)
    _receipts(console, hub, known)
    _subjects(console, hub, known)
    _entitlements(console, hub, known)
    _people(console, hub)
    _actions(console, hub)
    consumers.install(console, hub, _back)
    drifts.install(console, hub, _back)
    whose.install(console, hub, _back)
    return console


def _frame(console: Blueprint, hub: Hub) -> None:
    """What every page has: filters, what needs a person, and an error page."""

    @console.record_once
    def _filters(state: Any) -> None:  # noqa: ANN401  (Flask's BlueprintSetupState)
        state.app.jinja_env.filters.update({function.__name__: function for function in FILTERS})
        state.app.jinja_env.trim_blocks = state.app.jinja_env.lstrip_blocks = True

    @console.context_processor
    def _always() -> dict[str, object]:
        return around(hub)

    @console.app_errorhandler(404)
    def _not_found(error: NotFound) -> AnyResponse:
        if request.path.startswith(auth.MACHINES):
            return problem(404, error.description or "")
        text = error.description if request.blueprint == "console" else f"There is no page {request.path}."
        return Response(render_template("error.html", title="Not found", text=text), 404)


def around(hub: Hub) -> dict[str, object]:
    """What the frame of every page of the console shows."""
    with hub.store.read() as conn:
        needs, business_now = pages.needs(conn), pages.business_now(conn)
    return {
        "needs": needs,
        "business_now": business_now,
        "said": SAID.get(request.args.get("said", "")),
        "q": "",
        "observe": hub.observe,
    }


# -- overview


def _overview(console: Blueprint, hub: Hub) -> None:
    @console.get("/")
    def overview() -> str:
        with hub.store.read() as conn:
            if not pages.anything_received(conn):
                return render_template("empty.html", page="overview", rows=pages.catalog_rows(conn))
            return render_template("overview.html", page="overview", **_overview_facts(conn, hub))

    @console.get("/find")
    def find() -> AnyResponse:
        words = request.args.get("q", "").strip()
        with hub.store.read() as conn:
            return redirect(_place(conn, hub, words))


def _overview_facts(conn: Connection, hub: Hub) -> dict[str, object]:
    return {
        "books": pages.books(conn),
        "outcomes": pages.OUTCOMES,
        "chips": pages.chip_counts(conn),
        "reviews": pages.reviews(conn, limit=5),
        "waiting": {state: pages.waiting_for_a_person(conn, state) for state in ("held", "dead", "parked")},
        "connections": [(one, pages.last_receipt_at(conn, name)) for name, one in sorted(hub.connectors.items())],
        "now": pages.now(conn),
        "moved": records.clock_offset(conn),
    }


def _place(conn: Connection, hub: Hub, words: str) -> str:
    """The page of the one thing that `words` names, else the list to look in."""
    if not words:
        return "/"
    if found := explain.entitlements_called(conn, words):
        return _url("/entitlements", found[0]) if len(found) == 1 else _query("/entitlements", words)
    if (receipt := pages.receipt_called(conn, words, hub.connectors)) is not None:
        return f"/receipts/{receipt}"
    refs = pages.subjects_called(conn, words, [one.ref for one in hub.connectors.values()])
    return _url("/subjects", refs[0]) if len(refs) == 1 else _query("/subjects", words)


# -- receipts


def _receipts(console: Blueprint, hub: Hub, known: dict[str, str]) -> None:
    @console.get("/receipts")
    def receipts() -> str:
        words, connection, outcome, before = _args("q", "connection", "outcome", "before")
        with hub.store.read() as conn:
            which = pages.receipt_filter(conn, words, connection, outcome, known)
            page = pages.receipts(conn, which, before)
        facts = {"q": words, "connection": connection, "outcome": outcome, "before": before, "which": which}
        choices = {"connections": sorted(known), "outcomes": pages.OUTCOMES, "scan_to": pages.SCAN_TO}
        return render_template("receipts.html", page="receipts", list=page, **facts, **choices)

    @console.get("/receipts/<id_>")
    def receipt(id_: str) -> str:
        number = pages.id_from(id_)
        with hub.store.read() as conn:
            row = pages.receipt(conn, number) if number is not None else None
        if row is None:
            raise NotFound(f"No receipt has the number {id_}. Receipts are found by event id on the Receipts page.")
        return render_template("receipt.html", page="receipts", row=row, headers=_headers(row.headers))


def _headers(text: str) -> list[tuple[str, str]]:
    """Headers as kept (JSON text), by name."""
    try:
        kept = json.loads(text)
    except ValueError:
        return [("as kept", text)]
    return sorted((str(name), str(value)) for name, value in kept.items()) if isinstance(kept, dict) else []


# -- subjects


def _subjects(console: Blueprint, hub: Hub, known: dict[str, str]) -> None:
    @console.get("/subjects")
    def subjects() -> str:
        words, chip, before, key = _args("q", "show", "before", "key")
        chip = chip if chip in pages.CHIPS else "all"
        with hub.store.read() as conn:
            refs = pages.subjects_called(conn, words, known.values()) if words else None
            page = pages.subjects(conn, chip, refs, before, key)
            facts: dict[str, Any] = {"chips": pages.chip_counts(conn), "reviews": pages.reviews(conn, limit=5)}
            facts |= {"now": pages.now(conn), "asked_again": pages.asked_again(conn), "most": pages.COUNT_TO}
        place = chip if chip in NEEDING else "subjects"
        asked = {"q": words, "chip": chip, "before": before, "key": key}
        return render_template("subjects.html", page=place, list=page, **asked, **facts)

    @console.get("/subjects/<path:ref>")
    def subject(ref: str) -> str:
        (before,) = _args("before")
        with hub.store.read() as conn:
            row = pages.subject(conn, ref)
            if row is None:
                raise NotFound(f"No subject is called {ref}. The Subjects page searches by id and by customer.")
            facts = _subject_facts(conn, hub, row, before)
        return render_template("subject.html", page="subjects", row=row, **facts)


def _subject_facts(conn: Connection, hub: Hub, row: Row[Any], before: str) -> dict[str, object]:
    changes = pages.changes(conn, row.ref, before)
    receipts = pages.receipts_of(conn, row.ref)
    observations = pages.observations(conn, row.ref, [one.observation for one in changes.rows])
    quiet = [] if before else pages.seen_lately(conn, row.ref)
    looks = timeline.looks(changes.rows, receipts, observations, quiet)
    shown = [look.receipts[0].id for look in looks if look.receipts]
    return {
        "looks": looks,
        "older": changes.older,
        "before": before,
        "fresh": [] if before else timeline.since(looks, receipts),
        "bodies": pages.bodies(conn, shown),
        "entitlements": pages.entitlements_of(conn, row.ref),
        "reviews": pages.reviews(conn, row.ref),
        "acts": _waiting_acts(pages.approval(conn, row.ref)),
        "unnamed": _unnamed(conn, hub, row),
    }


def _unnamed(conn: Connection, hub: Hub, row: Row[Any]) -> list[coverage.Unnamed]:
    """The keys that the subject waits for a catalog row of."""
    vendor = coverage.vendor_of(hub, row.connection)
    return [
        coverage.Unnamed(vendor=vendor, key=key, subjects=pages.waiting_for_key(conn, key))
        for key in pages.unnamed_of(conn, row.ref)
    ]


ENDS = {"expires_at": "ends", "maintenance_until": "maintenance ends"}  # what an act may bring forward


def _waiting_acts(approval: Row[Any] | None) -> list[str]:
    """What waits for approval, in words."""
    if approval is None or approval.state != "waiting":
        return []
    return [f"{_act(one)}: {one.get('entitlement', '')}" for one in approval.acts if isinstance(one, dict)]


def _act(act: dict[str, Any]) -> str:
    taken = [f"{show.seats(act['seats'])} only"] if act.get("seats") is not None else []
    taken += [f"{said} {str(act[name])[:10]}" for name, said in ENDS.items() if name in act]
    taken += [f"offering {act['offering']}"] if "offering" in act else []
    return ", ".join(taken) or timeline.SWITCHES.get(str(act.get("action")), str(act.get("action")))


# -- entitlements


def _entitlements(console: Blueprint, hub: Hub, known: dict[str, str]) -> None:
    @console.get("/entitlements")
    def entitlements() -> str:
        words, before = _args("q", "before")
        with hub.store.read() as conn:
            ids = explain.entitlements_called(conn, words) if words else None
            refs = pages.subjects_called(conn, words, known.values()) if words and not ids else []
            page = pages.entitlements(conn, ids, refs, before)
        return render_template("entitlements.html", page="entitlements", list=page, q=words, before=before)

    @console.get("/entitlements/<path:id_>")
    def entitlement(id_: str) -> str:
        now = explain.why(hub.store, id_)
        if now is None:
            raise NotFound(f"No entitlement is called {id_}. The Entitlements page searches by id, code and customer.")
        day, wrong = _day_asked()
        then = explain.why(hub.store, id_, end_of(day)) if day else now
        facts = {"day": day, "wrong": wrong, "days": _days_of_change(now), "today": datetime.now(UTC).date()}
        return render_template("entitlement.html", page="entitlements", why=then or now, absent=then is None, **facts)


def _day_asked() -> tuple[date | None, str]:
    """(the day in ?at=, what is wrong with it)."""
    (text,) = _args("at")
    if not text:
        return None, ""
    try:
        day = date.fromisoformat(text)
        end_of(day)
    except (ValueError, OverflowError):
        return None, f"“{text}” is no day: write it as 2026-06-29. This is how it stands now."
    return day, ""


def _days_of_change(why: explain.Explanation, limit: int = 5) -> list[tuple[date, str]]:
    """The newest days on which something was changed, each with what its newest change did."""
    done = [one for one in why.changes if one.outcome in SUCCEEDED]
    newest: dict[date, str] = {}
    for one in done:
        words = timeline.in_words(one.action, one.wanted, one.found)
        newest.setdefault(datetime.fromtimestamp(one.at, UTC).date(), words[:1].lower() + words[1:])
    return list(newest.items())[:limit]


# -- what waits for people


def _people(console: Blueprint, hub: Hub) -> None:
    @console.get("/reviews")
    def reviews() -> str:
        (before,) = _args("before")
        with hub.store.read() as conn:
            page = pages.review_page(conn, before)
        return render_template("reviews.html", page="reviews", list=page, before=before)

    @console.get("/catalog")
    def catalog() -> str:
        with hub.store.read() as conn:
            waiting = coverage.waiting_for_a_row(conn, hub)
            version = pages.catalog_in_force(conn)
        rows = version.body["catalog"] if version else []
        return render_template("catalog.html", page="catalog", waiting=waiting, version=version, rows=rows)


# -- actions: each answers with the page that it came from


def _actions(console: Blueprint, hub: Hub) -> None:
    @console.post("/actions/look")
    def look() -> AnyResponse:
        ref = request.form.get("ref", "")
        if not approvals.ask_for_look(hub.store, ref, *auth.actor()):
            raise NotFound(f"No subject is called {ref}.")
        hub.bell.ring_soon()
        return _back("asked")

    @console.post("/actions/look-dead")
    def look_dead() -> AnyResponse:
        until = _moment_from(request.form.get("until", ""))
        batches = approvals.ask_for_the_dead(hub.store, until, *auth.actor(), most=pages.COUNT_TO)
        count = sum(map(len, batches))
        hub.bell.ring_soon()
        return _back("asked for all" if count else "none dead")

    @console.post("/actions/approve")
    def approve() -> AnyResponse:
        done = approvals.approve(hub.store, request.form.get("ref", ""), *auth.actor())
        hub.bell.ring_soon()
        return _back("approved" if done else "nothing")

    @console.post("/actions/refuse")
    def refuse() -> AnyResponse:
        done = approvals.refuse(hub.store, request.form.get("ref", ""), _why(), *auth.actor())
        return _back("refused" if done else "nothing")

    @console.post("/actions/hold")
    def hold() -> AnyResponse:
        done = approvals.hold(hub.store, request.form.get("ref", ""), _why(), *auth.actor())
        return _back("held" if done else "held already")

    @console.post("/actions/release")
    def release() -> AnyResponse:
        done = approvals.release(hub.store, request.form.get("ref", ""), *auth.actor())
        hub.bell.ring_soon()
        return _back("released" if done else "free")

    @console.post("/actions/review")
    def review() -> AnyResponse:
        number = pages.id_from(request.form.get("id", ""))
        done = number is not None and approvals.close_review(hub.store, number, *auth.actor())
        return _back("done" if done else "gone")


def _moment_from(text: str) -> float:
    """Epoch seconds that a form of ours told; the beginning of time where it told none."""
    try:
        at = float(text)
    except ValueError:
        return 0.0
    return at if math.isfinite(at) else 0.0


def _why() -> str:
    return " ".join(request.form.get("why", "").split())[:200]


def _back(said: str) -> AnyResponse:
    """To the page that the button stood on, its filters kept."""
    path, _, query = auth.local_path(request.form.get("next")).partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name in {"q", "show", "key", "before", "state"}]
    return redirect(f"{path}?{urlencode([*kept, ('said', said)])}", 303)


def _args(*names: str) -> tuple[str, ...]:
    return tuple(request.args.get(name, "").strip()[:500] for name in names)


def _url(base: str, name: str) -> str:
    return f"{base}/{quote(name)}"


def _query(base: str, words: str) -> str:
    return f"{base}?{urlencode({'q': words})}"
