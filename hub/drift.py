"""Where sales, licenses and CRM disagree: each disagreement with its repair and what that risks (docs/agreement.md).

`hub.comparing` finds them. `apply` writes to no vendor: it makes looks due, whose own comparison repairs, under leases
and guard as ever; it makes a push to the CRM due; or it opens a task for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select

from hub.domain import Ref
from hub.store import Store, drifts, pushes, records, subjects
from hub.store import schema as t

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
    "edited": "a record of the CRM that was told, and that somebody changed or deleted since",
    "unasked": "a system that could not be asked, so that what it holds was not compared",
}
LOOK, TASK, PUSH, NONE = "look", "task", "push", "by hand"
MOST_KEPT = 10_000  # items of a class that are kept for the page; the counts are of all
SEEN = "looked at since; told again by the next comparison, where it stands"
TOLD = "told again since; the next comparison says whether it stands"
DUE = "a push is due"
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


def standing(conn: Connection, rows: Sequence[Row[Any]]) -> list[Drift]:
    """What a comparison kept (rows of `store.drifts`), each with why there is nothing to apply by now."""
    pushed = [place_of(row.at) for row in rows if row.repair == PUSH]
    due, states = pushes.due(conn, {connection for connection, _, _ in pushed}), pushes.states(conn, pushed)
    return [_standing(row, due, states) for row in rows]


def _standing(row: Row[Any], due: set[str], states: Mapping[tuple[str, str, str], tuple[bool, float | None]]) -> Drift:
    names = ("kind", "at", "entitlement", "customer", "problem", "repair", "how", "risk")
    one = Drift(**{name: getattr(row, name) for name in names})
    if one.repair == TASK:
        return replace(one, waiting="has its task" if row.task is not None else "")
    if one.repair == PUSH:
        place = place_of(one.at)
        again, sent_at = states.get(place, (True, None))
        if sent_at is not None and sent_at > row.found_at:
            return replace(one, waiting=TOLD)
        return replace(one, waiting=DUE if place[0] in due and (again or one.kind != "edited") else "")
    if one.repair != LOOK:
        return one
    seen = row.looked_at is not None and row.looked_at > row.found_at and row.state not in STUCK
    return replace(one, waiting=waiting_for(row.state or "") or (SEEN if seen else ""))


def apply_stored(store: Store, ids: Sequence[str], actor: str, origin: str) -> tuple[list[Drift], list[Drift]]:
    """(what was applied, what is left as it is) of those that the newest comparison kept. May be repeated.

    LookupError, and nothing is applied, where an id is not among what it kept.
    """
    with store.read() as conn:
        known = standing(conn, drifts.called(conn, ids))
    if lost := set(ids) - {one.id for one in known}:
        raise LookupError(min(lost))
    done = apply(store, known, actor, origin)
    return done, [one for one in known if one not in done]


def _apply(conn: Connection, *, one: Drift, actor: str, origin: str) -> bool:
    if one.repair == LOOK:
        if state_of(conn, one.at) in {"due", "held"}:
            return False
        subjects.mark_due(conn, [Ref.parse(one.at)], cause="asked", reason=f"{actor}: {one.id}")
    elif one.repair == PUSH:
        forgot = one.kind == "edited" and pushes.forget(conn, *place_of(one.at))
        if not pushes.make_due(conn, place_of(one.at)[0]) and not forgot:
            return False
    elif has_task(conn, one.id):
        return False
    else:
        records.raise_review(conn, f"drift:{one.id}", one.kind, Ref.parse(one.at), f"{one.problem}; {one.how}")
    records.audit(conn, actor, origin, "drift", one.at, {"id": one.id, "repair": one.repair})
    return True


def place_of(at: str) -> tuple[str, str, str]:
    """(connection, object, key) of a record of the CRM."""
    connection, object_name, key = at.split("/", 2)
    return connection, object_name, key


def state_of(conn: Connection, ref: str) -> str:
    """How the subject stands; "" where there is none."""
    return str(conn.execute(select(t.subject.c.state).where(t.subject.c.ref == ref)).scalar() or "")


def waiting_for(state: str) -> str:
    """Why a look need not be asked for at a subject in this state; "" where it may be. Pure."""
    return {"due": "a look is due", "held": "held: hub approve lets it go, or a person's release"}.get(state, "")


def has_task(conn: Connection, id_: str) -> bool:
    """Whether there is a task for it, or was one: what a person closed is not asked again."""
    return conn.execute(select(t.review.c.id).where(t.review.c.key == f"drift:{id_}")).first() is not None
