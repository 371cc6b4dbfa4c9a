"""Where sales, licenses and CRM disagree, as the newest comparison found it. The console reads the same functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from hub import drift
from hub.store import drifts
from hub.web.api import cursors, models
from hub.web.api.licenses import missing, place_of
from hub.web.api.models import at

if TYPE_CHECKING:
    from hub.web.api.route import Call


def found(call: Call) -> models.DriftPage:
    """By class and id."""
    asked: models.Drifts = call.query
    with call.hub.store.read() as conn:
        kept, page = drifts.counts(conn), drifts.page(conn, asked.kind, place_of(call), limit=asked.limit)
        stand = drift.standing(conn, page.rows)
    items = [_drift(one, row) for one, row in zip(stand, page.rows, strict=True)]
    next_ = cursors.shut(call.route.name, page.older)
    return models.DriftPage(items=items, next=next_, compared_at=at(kept[1]) if kept else None)


def repair(call: Call) -> models.Repaired:
    """What can be applied of these is due, or a task; nothing is where one is not known. May be repeated."""
    try:
        done, left = drift.apply_stored(call.hub.store, call.body.ids, call.by.actor, call.by.origin)
    except LookupError as error:
        raise missing("drift", str(error.args[0])) from None
    call.hub.bell.ring_soon()
    return models.Repaired(applied=[one.id for one in done], left=[one.id for one in left])


def _drift(one: drift.Drift, row: Row[Any]) -> models.Drift:
    return models.Drift(
        id=one.id,
        kind=one.kind,
        purchase=one.at,
        entitlement=one.entitlement or None,
        customer=one.customer or None,
        problem=one.problem,
        repair=one.repair,
        how=one.how,
        risk=one.risk or None,
        waiting=one.waiting,
        amount_minor=row.amount_minor,
        currency=row.currency or None,
    )
