"""Finds where sales, licenses and CRM disagree (docs/agreement.md); writes to nobody but the list of what was found.

Reads the record and, unless told otherwise, what vendors hold now: the licensing system's list, and the hub's own
fields in each CRM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select

from hub import confirming, renewals, telling
from hub import decide as d
from hub.domain import Disable, Ref, SeatRow, UsageSummary
from hub.drift import DUE, LOOK, NONE, PUSH, TASK, Drift, has_task, keep, state_of, waiting_for
from hub.errors import PermanentError, RetryableError, UnknownResult
from hub.ports import Connector, Outcome, PushResult
from hub.reconcile.wording import in_words, license_in_words
from hub.recorded import Implied, Recorded, batches, business_now, implied, offerings
from hub.store import Store, drifts, pushes, subjects
from hub.store import schema as t

if TYPE_CHECKING:
    from hub.wiring import Hub

OF_THE_CRM = {
    Outcome.UNMATCHED: "unmatched",
    Outcome.AMBIGUOUS: "unmatched",
    Outcome.REFUSED: "untold",
    Outcome.LATER: "untold",
    Outcome.DEGRADED: "untold",
}
ASK_AGAIN_S = 3600.0  # where the licensing system could not be asked, the clock compares again after this
FIELDS_TOLD, LONGEST = 8, 60  # fields that an item names, and how much of each value
_P = t.crm_push


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An entitlement as on record, as far as a list row can tell it."""

    purchase: str | None
    enabled: bool
    offering: str
    seats: int
    expires_at: str | None
    customer: str


def find(hub: Hub, *, ask: bool = True) -> Iterator[Drift]:
    """Every disagreement. ask False: by the record alone, so without what only the vendors can tell.

    A system that can't be asked is one (`unasked`), and the rest goes on. Writes nothing.
    """
    store = hub.store
    with store.read() as conn:
        known, now = offerings(conn), business_now(conn)
    for batch in batches(store, hub.connectors):
        for one in batch:
            yield from _merged(of_purchase(one, implied(one, hub.rules, known, now)))
    name = hub.licensing.name
    if ask:
        yield from _asked(name, _of_the_list(store, name, hub.shop.licensing.entitlements()))
    else:
        with store.read() as conn:
            loose = [id_ for id_, one in _known(conn).items() if one.purchase is None and one.enabled]
            yield from [_orphan(conn, name, id_, "") for id_ in loose]
    yield from _of_the_crms(hub, ask=ask)


def of_purchase(one: Recorded, wanted: Implied) -> Iterator[Drift]:
    """What of a purchase's licenses is not as its rules say. Pure."""
    at, waiting = str(one.ref), waiting_for(one.state)

    def told(kind: str, entitlement: str, problem: str, risk: str) -> Drift:
        how = "a look brings it in step"
        return Drift(
            kind=kind,
            at=at,
            entitlement=entitlement,
            customer=one.customer,
            problem=problem,
            repair=LOOK,
            how=how,
            risk=risk,
            waiting=waiting,
        )

    if wanted.parked or (one.state == "parked" and wanted.missing):
        problem = wanted.parked or "its offering is not known in the licensing system"
        how = "add a catalog row, or the offering; `hub check` has the row to paste"
        yield Drift(kind="unlicensed", at=at, customer=one.customer, problem=problem, repair=NONE, how=how)
        return
    for license_ in wanted.missing:
        yield told("missing", "", f"not there: {license_in_words(license_)}", "makes a license")
    for action, held in wanted.acts:
        extra = isinstance(action, Disable) and held.id not in wanted.wanted
        taken = d.shrinking(action, held)
        risk = f"takes away: {', '.join(taken)}" if taken else ""
        yield told("extra" if extra else "different", held.id, f"{held.offering}: {in_words(action, held)}", risk)


def keep_if_due(hub: Hub) -> None:
    """Compares everything once a day (`timing.full_sweep`), and keeps what was found.

    After an hour already where the licensing system could not be asked; what a CRM holds can wait for the next day.
    """
    with hub.store.read() as conn:
        last, now = drifts.counts(conn), subjects.now(conn)
        unasked = drifts.called(conn, [f"unasked:{hub.licensing.name}"])
    every = hub.settings.timing.full_sweep
    if unasked:
        every = min(every, ASK_AGAIN_S)
    if last is None or now - last[1] >= every:
        keep(hub.store, [*find(hub)])


def _merged(found: Iterable[Drift]) -> Iterator[Drift]:
    """One per id: what differs in several ways is told at once, as it is repaired."""
    by_id: dict[str, Drift] = {}
    for one in found:
        if (same := by_id.get(one.id)) is None:
            by_id[one.id] = one
            continue
        risk = "; ".join(dict.fromkeys(part for part in (same.risk, one.risk) if part))
        by_id[one.id] = replace(same, problem=f"{same.problem}; {one.problem}", risk=risk)
    yield from by_id.values()


def _of_the_list(store: Store, source: str, listed: Iterable[SeatRow]) -> Iterator[Drift]:
    with store.read() as conn:
        before = _known(conn)
    rows = {row.entitlement_id: row for row in listed}
    with store.read() as conn:  # what was made while the list was read is on record by now
        after = _known(conn)
        for id_, row in rows.items():
            one = after.get(id_)
            if one is None or one.purchase is None:
                if one is None or one.enabled:
                    yield _unclaimed(conn, source, row)
            elif differs := _differs(one, row):
                yield _at_entitlement(conn, source, id_, "stale", one.customer, f"{row.offering}: {differs}")
        for id_ in before.keys() - rows.keys():
            if before[id_].enabled:
                yield _at_entitlement(conn, source, id_, "gone", before[id_].customer, "not in the list")


def _known(conn: Connection) -> dict[str, Known]:
    e, s = t.entitlement.c, t.subject.c
    joined = t.entitlement.outerjoin(t.subject, s.ref == e.subject)
    stmt = select(e.id, e.subject, e.enabled, e.body, s.customer_name).select_from(joined)
    return {
        row.id: Known(
            purchase=row.subject,
            enabled=row.enabled,
            offering=row.body["offering"],
            seats=row.body["seats"],
            expires_at=row.body["expires_at"],
            customer=row.customer_name or "",
        )
        for row in conn.execute(stmt)
    }


def _differs(one: Known, row: SeatRow) -> str:
    """Field by field, as "seats 3, on record 5"; "" where the list agrees."""
    expires = datetime.fromisoformat(one.expires_at) if one.expires_at else None
    told = []
    if row.offering != one.offering:
        told.append(f"offering {row.offering}, on record {one.offering}")
    if row.seats != one.seats:
        told.append(f"seats {row.seats}, on record {one.seats}")
    if d.whole_seconds(row.expires_at) != d.whole_seconds(expires):
        told.append(f"expires {row.expires_at or 'never'}, on record {expires or 'never'}")
    return "; ".join(told)


def _unclaimed(conn: Connection, source: str, row: SeatRow) -> Drift:
    """A license that the record gives to no purchase: its own purchase's, by the reference, or nobody's."""
    stmt = select(t.subject.c.ref, t.subject.c.state, t.subject.c.customer_name)
    owner = conn.execute(stmt.where(t.subject.c.order_ref == row.order_ref).limit(1)).first() if row.order_ref else None
    if owner is None:
        return _orphan(conn, source, row.entitlement_id, row.order_ref)
    return Drift(
        kind="stale",
        at=owner.ref,
        entitlement=row.entitlement_id,
        customer=owner.customer_name or "",
        problem=f"{row.offering} carries {row.order_ref}, and is not on record",
        repair=LOOK,
        how="a look at its purchase takes it up",
        waiting=waiting_for(owner.state),
    )


def _orphan(conn: Connection, source: str, id_: str, order_ref: str) -> Drift:
    one = Drift(
        kind="orphaned",
        at=str(Ref(source=source, kind="entitlement", id=id_)),
        entitlement=id_,
        problem=f"no purchase on record pays for it (order reference {order_ref or 'not known'})",
        repair=TASK,
        how="find who pays for it (`hub adopt`), or switch it off in the licensing system; the hub leaves it alone",
    )
    return replace(one, waiting="has its task") if has_task(conn, one.id) else one


def _at_entitlement(conn: Connection, source: str, id_: str, kind: str, customer: str, problem: str) -> Drift:
    at = str(Ref(source=source, kind="entitlement", id=id_))
    return Drift(
        kind=kind,
        at=at,
        entitlement=id_,
        customer=customer,
        problem=problem,
        repair=LOOK,
        how="a look reads it, and has its purchase looked at where it differs",
        risk="what was changed by hand is set back where the hub owns the field" if kind == "stale" else "",
        waiting=waiting_for(state_of(conn, at)),
    )


def _of_the_crms(hub: Hub, *, ask: bool) -> Iterator[Drift]:
    """What each CRM holds now, if it is asked; and what became of pushes, where it did not tell that by itself."""
    with hub.store.read() as conn:
        rows = conn.execute(select(_P).where(_P.c.outcome.in_(OF_THE_CRM)).order_by(_P.c.object, _P.c.key)).all()
        due = pushes.due(conn, {*hub.connectors, *(row.connection for row in rows)})
    told = [_pushed(row, row.connection, waiting=row.connection in due) for row in rows]
    kept = {one.id: one for one in told}
    asked = [one for one in hub.connectors.values() if one.crm is not None] if ask else []
    summaries = telling.summaries(hub, pictures=False) if asked else []
    for connector in asked:
        name = connector.name
        for one in _asked(name, _of_a_crm(hub.store, connector, summaries, due=name in due)):
            if one.kind != "untold" or one.id not in kept:  # why it was not taken says more than what it lacks
                kept.pop(one.id, None)
                yield one
    yield from kept.values()


def _of_a_crm(store: Store, connector: Connector, summaries: Sequence[UsageSummary], *, due: bool) -> Iterator[Drift]:
    for one in renewals.compare(store, connector, summaries) if summaries else ():
        if isinstance(one, renewals.Edit):
            yield _edited(one, connector.name, waiting=due and (one.due or one.is_news))
        else:
            yield _pushed(one, connector.name, waiting=due)
    lines = [*confirming.wanted(store, connector)]
    for edit in renewals.edits(store, connector, lines, all_told=False) if lines else ():
        if not edit.gone:  # then the sale was changed, and a look will tell
            yield _edited(edit, connector.name, waiting=edit.due)


def _edited(one: renewals.Edit, connection: str, *, waiting: bool) -> Drift:
    fields = [f"{each.field}: found {_shown(each.now)}, wanted {_shown(each.then)}" for each in one.changes]
    more = [f"and {len(fields) - FIELDS_TOLD} more"] if len(fields) > FIELDS_TOLD else []
    return Drift(
        kind="untold" if one.is_news and not one.gone else "edited",
        at=f"{connection}/{one.object}/{one.key}",
        customer=one.about,
        problem="the record is gone" if one.gone else "; ".join([*fields[:FIELDS_TOLD], *more]),
        repair=PUSH,
        how="push it again",
        risk="it is made again" if one.gone else "what somebody wrote into the hub's own fields is written over",
        waiting=DUE if waiting else "",
    )


def _pushed(one: PushResult | Row[Any], connection: str, *, waiting: bool) -> Drift:
    """A record that a push can't place or did not bring, or a field that is lacking."""
    return Drift(
        kind=OF_THE_CRM[Outcome(one.outcome)],
        at=f"{connection}/{one.object}/{one.key}",
        customer=one.about,
        problem=f"{one.outcome}: {one.reason}",
        repair=PUSH,
        how=f"{one.mend}; then push again" if one.mend else "push again",
        risk="the hub's own fields are written" if one.outcome != Outcome.DEGRADED else "",
        waiting=DUE if waiting else "",
    )


def _asked(name: str, found: Iterator[Drift]) -> Iterator[Drift]:
    """What a system told; and that it could not be asked, or not to its end."""
    try:
        yield from found
    except (RetryableError, PermanentError, UnknownResult) as error:
        hint = error.hint if isinstance(error, PermanentError) else ""
        how = hint or "once it answers, compare again; `hub check` says what is wrong with a connection"
        yield Drift(kind="unasked", at=name, problem=str(error), repair=NONE, how=how)


def _shown(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a CRM may give 5 back as 5.0
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
