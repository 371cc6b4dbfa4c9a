"""Where sales, licenses and CRM disagree, each with its repair and what that risks (docs/agreement.md).

Finding reads the record and, unless told otherwise, the licensing system's list. `apply` writes to no vendor: it makes
looks due, whose own comparison repairs, under leases and guard as ever; or it opens a task for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select

from hub import decide as d
from hub.domain import Disable, Ref, SeatRow
from hub.policy import Rules
from hub.ports import Connector, Outcome
from hub.reconcile.wording import in_words, license_in_words
from hub.recorded import Implied, Recorded, batches, business_now, implied, offerings
from hub.store import Store, drifts, pushes, records, subjects
from hub.store import schema as t

if TYPE_CHECKING:
    from hub.wiring import Hub

KINDS: Mapping[str, str] = {
    "missing": "paid for, and no license",
    "unlicensed": "sold, and nobody knows what it means",
    "extra": "a license that its purchase does not pay for",
    "different": "a license that is not what its purchase says",
    "stale": "the licensing system says otherwise than the record",
    "gone": "on record, and not in the licensing system's list",
    "orphaned": "a license of no purchase that is known here",
    "unmatched": "an account that the CRM does not know, or knows twice",
    "untold": "a record of the CRM that is not as the last push would have it",
}
LOOK, TASK, PUSH, NONE = "look", "task", "push", "by hand"
OF_THE_CRM = {
    Outcome.UNMATCHED: "unmatched",
    Outcome.AMBIGUOUS: "unmatched",
    Outcome.REFUSED: "untold",
    Outcome.LATER: "untold",
    Outcome.DEGRADED: "untold",
}
MOST_KEPT = 10_000  # items of a class that are kept for the page; the counts are of all
SEEN = "looked at since; told again by the next comparison, where it stands"
STUCK = {"dead", "parked"}  # a look that ended so has repaired nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One disagreement. repair: "look", "task" and "push" are done by `apply`, "by hand" is not.

    at: the subject to be looked at, or that a task is about. risk: what the repair may take away; "" for nothing.
    waiting: why there is nothing to apply now (a look is due, a task is there); "" where there is.
    """

    kind: str
    at: str
    entitlement: str = ""
    customer: str = ""
    problem: str
    repair: str
    how: str
    risk: str = ""
    waiting: str = ""

    @property
    def id(self) -> str:
        """What names it in every run, as long as it stands."""
        return f"{self.kind}:{self.entitlement or self.at}"

    @property
    def can_apply(self) -> bool:
        """Whether `apply` would do anything about it."""
        return self.repair != NONE and not self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An entitlement as on record, as far as a list row can tell it."""

    purchase: str | None
    enabled: bool
    offering: str
    seats: int
    expires_at: str | None
    customer: str


def find(
    store: Store, connectors: Mapping[str, Connector], rules: Rules, licensing: Connector, *, ask: bool = True
) -> Iterator[Drift]:
    """Every disagreement. ask False: by the record alone, so without what only the licensing system's list tells.

    RetryableError where that list can't be had. Writes nothing.
    """
    with store.read() as conn:
        known, now = offerings(conn), business_now(conn)
    for batch in batches(store, connectors):
        for one in batch:
            yield from _merged(of_purchase(one, implied(one, rules, known, now)))
    if ask and licensing.licensing is not None:
        yield from _of_the_list(store, licensing.name, licensing.licensing.entitlements())
    else:
        with store.read() as conn:
            loose = [id_ for id_, one in _known(conn).items() if one.purchase is None and one.enabled]
            yield from [_orphan(conn, licensing.name, id_, "") for id_ in loose]
    with store.read() as conn:
        yield from _of_the_crm(conn)


def of_purchase(one: Recorded, wanted: Implied) -> Iterator[Drift]:
    """What of a purchase's licenses is not as its rules say. Pure."""
    at, waiting = str(one.ref), _waiting(one.state)

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


def apply(store: Store, found: Iterable[Drift], actor: str, origin: str) -> list[Drift]:
    """Makes due, or opens a task for, each that can be applied; those. May be repeated: what waits is left alone."""
    return [one for one in found if one.can_apply and store.write(partial(_apply, one=one, actor=actor, origin=origin))]


def keep(store: Store, found: Sequence[Drift]) -> None:
    """Keeps what was found in place of what was found before, and how many there are of each kind. May be repeated."""
    counts: Counter[str] = Counter()
    rows = []
    for one in found:
        counts[one.kind] += 1
        if counts[one.kind] <= MOST_KEPT:
            rows.append({"id": one.id, **{name: value for name, value in asdict(one).items() if name != "waiting"}})
    store.write(lambda conn: drifts.replace_all(conn, rows, {kind: counts[kind] for kind in KINDS}))


def stored(row: Row[Any]) -> Drift:
    """What a comparison kept (a row of `store.drifts`), and why there is nothing to apply by now. Pure."""
    names = ("kind", "at", "entitlement", "customer", "problem", "repair", "how", "risk")
    one = Drift(**{name: getattr(row, name) for name in names})
    if one.repair == TASK:
        return replace(one, waiting="has its task" if row.task is not None else "")
    if one.repair != LOOK:
        return one
    seen = row.looked_at is not None and row.looked_at > row.found_at and row.state not in STUCK
    return replace(one, waiting=_waiting(row.state or "") or (SEEN if seen else ""))


def apply_stored(store: Store, ids: Sequence[str], actor: str, origin: str) -> tuple[list[Drift], list[Drift]]:
    """(what was applied, what is left as it is) of those that the newest comparison kept. May be repeated.

    LookupError, and nothing is applied, where an id is not among what it kept.
    """
    with store.read() as conn:
        known = [stored(row) for row in drifts.called(conn, ids)]
    if lost := set(ids) - {one.id for one in known}:
        raise LookupError(min(lost))
    done = apply(store, known, actor, origin)
    return done, [one for one in known if one not in done]


def keep_if_due(hub: Hub) -> None:
    """Compares everything once a day (`timing.full_sweep`), and keeps what was found."""
    with hub.store.read() as conn:
        last, now = drifts.counts(conn), subjects.now(conn)
    if last is None or now - last[1] >= hub.settings.timing.full_sweep:
        keep(hub.store, [*find(hub.store, hub.connectors, hub.rules, hub.licensing)])


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


def _apply(conn: Connection, *, one: Drift, actor: str, origin: str) -> bool:
    if one.repair == LOOK:
        if _state(conn, one.at) in {"due", "held"}:
            return False
        subjects.mark_due(conn, [Ref.parse(one.at)], cause="asked", reason=f"{actor}: {one.id}")
    elif one.repair == PUSH:
        if not pushes.make_due(conn, one.at.partition("/")[0]):
            return False
    elif _has_task(conn, one.id):
        return False
    else:
        records.raise_review(conn, f"drift:{one.id}", one.kind, Ref.parse(one.at), f"{one.problem}; {one.how}")
    records.audit(conn, actor, origin, "drift", one.at, {"id": one.id, "repair": one.repair})
    return True


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
        waiting=_waiting(owner.state),
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
    return replace(one, waiting="has its task") if _has_task(conn, one.id) else one


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
        waiting=_waiting(_state(conn, at)),
    )


def _of_the_crm(conn: Connection) -> Iterator[Drift]:
    p = t.crm_push.c
    due: dict[str, bool] = {}
    for row in conn.execute(select(t.crm_push).where(p.outcome.in_(OF_THE_CRM)).order_by(p.object, p.key)):
        if row.connection not in due:
            due[row.connection] = records.get_cursor(conn, f"{pushes.DONE}{row.connection}") is None
        at = f"{row.connection}/{row.object}/{row.key}"
        problem = f"{row.outcome}: {row.reason}"
        yield Drift(
            kind=OF_THE_CRM[Outcome(row.outcome)],
            at=at,
            customer=row.about,
            problem=problem,
            repair=PUSH,
            how=f"{row.mend}; then push again" if row.mend else "push again",
            risk="the hub's own fields are written" if row.outcome != Outcome.DEGRADED else "",
            waiting="a push is due" if due[row.connection] else "",
        )


def _state(conn: Connection, ref: str) -> str:
    return str(conn.execute(select(t.subject.c.state).where(t.subject.c.ref == ref)).scalar() or "")


def _waiting(state: str) -> str:
    return {"due": "a look is due", "held": "held: hub approve lets it go, or a person's release"}.get(state, "")


def _has_task(conn: Connection, id_: str) -> bool:
    """Whether there is a task for it, or was one: what a person closed is not asked again."""
    return conn.execute(select(t.review.c.id).where(t.review.c.key == f"drift:{id_}")).first() is not None
