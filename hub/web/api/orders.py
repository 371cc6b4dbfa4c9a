"""Orders about licenses: look, replay, approve or refuse, check. What the console and the command line do, no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from hub import approvals, checking
from hub import replay as replays
from hub.errors import PermanentError
from hub.store import pages
from hub.store.replays import Wanted
from hub.web.api import models
from hub.web.api.licenses import missing, page, place_of
from hub.web.api.models import at

if TYPE_CHECKING:
    from hub.web.api.route import Call


def look(call: Call) -> models.Asks:
    """Makes a purchase due now; a dead one comes back to life."""
    ref = call.body.purchase
    if not approvals.ask_for_look(call.hub.store, ref, call.by.actor, call.by.origin):
        raise missing("purchase", ref)
    call.hub.bell.ring_soon()
    return models.Asks(purchase=ref, due=True)


def preview(call: Call) -> models.Replayed:
    """What a replay would take, and what it would come to; changes nothing."""
    asked: models.PreviewOf = call.body
    selection = replays.select(call.hub.store, _wanted(asked))
    shop = replace(call.hub.shop, observe=True)
    would = replays.preview(shop, selection.subjects[: asked.looks])
    return _replayed(selection, would, applied=False)


def replay(call: Call) -> models.Replayed:
    """Makes what stored webhooks are about due, behind live work."""
    wanted = _wanted(call.body)
    selection = replays.select(call.hub.store, wanted)
    if not selection.receipts:
        said = f"no accepted webhook fits ({selection.left_out} that fit were not accepted when they came)"
        raise PermanentError(said, code="not found")
    replays.apply(call.hub.store, wanted, selection, call.by.actor, call.by.origin)
    call.hub.bell.ring()
    return _replayed(selection, [], applied=True)


def _wanted(asked: models.ReplayOf) -> Wanted:
    names = ("ids", "since", "until", "types", "purchase", "connection")
    if not any(getattr(asked, name) for name in names):
        raise PermanentError("say which webhooks", hint=f"one or more of {', '.join(names)}")
    return Wanted(
        ids=tuple(asked.ids),
        since=asked.since.timestamp() if asked.since else None,
        until=asked.until.timestamp() if asked.until else None,
        types=tuple(asked.types),
        subject=asked.purchase,
        connection=asked.connection,
    )


def _replayed(selection: replays.Selection, would: list[replays.Would], *, applied: bool) -> models.Replayed:
    return models.Replayed(
        applied=applied,
        matching=selection.matching,
        receipts=selection.receipts,
        left_out=selection.left_out,
        purchases=[str(ref) for ref in selection.subjects],
        goes_on=at(selection.goes_on),
        would=[models.Would(purchase=one.subject, would=one.would) for one in would],
    )


def held_back(call: Call) -> models.Page[models.Approval]:
    """What the guard holds back, the oldest first."""
    asked: models.Approvals = call.query
    with call.hub.store.read() as conn:
        found = pages.approvals(conn, asked.state, place_of(call), limit=asked.limit)
    return page(call, found.rows, _approval, found.older)


def _approval(row: Row[Any]) -> models.Approval:
    times: Any = {"created_at": at(row.created_at), "decided_at": at(row.decided_at)}
    return models.Approval(purchase=row.subject, acts=row.acts, state=row.state, decided_by=row.decided_by, **times)


def approve(call: Call) -> models.Decided:
    """Lets what is held back of a purchase go: the acts are derived anew, and pass where they are the same."""
    ref = call.path["purchase"]
    if not approvals.approve(call.hub.store, ref, call.by.actor, call.by.origin):
        raise missing("approval that waits, of", ref)
    call.hub.bell.ring_soon()
    return models.Decided(purchase=ref, state="approved")


def refuse(call: Call) -> models.Decided:
    """The acts are not done; the purchase is held until somebody releases it."""
    ref, asked = call.path["purchase"], call.body
    if not approvals.refuse(call.hub.store, ref, " ".join(asked.why.split()), call.by.actor, call.by.origin):
        raise missing("approval that waits, of", ref)
    return models.Decided(purchase=ref, state="refused")


def check(call: Call) -> models.Checked:
    """What `hub check` finds: record, credentials, and whether catalog, offerings and sales cover each other."""
    found = checking.check(call.hub)
    findings = [
        models.Finding.model_validate({"level": f.level, "about": f.about, "problem": f.problem, "mend": f.mend})
        for f in found
    ]
    return models.Checked(well=all(one.level != "error" for one in found), findings=findings)
