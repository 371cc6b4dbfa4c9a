"""What people ask for, on the command line and in the console: look now, approve."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from hub import approvals, drain, lifecycle
from hub.domain import Ref
from hub.store import Store, records, subjects
from hub.store.schema import approval, subject
from hub.wiring import Hub

COUNTED = 1_000_000
POLL_S = 0.5
PATIENCE_S = 30.0  # where nothing at all was looked at for so long, nobody seems to work
BUSY_S = 10.0  # as long as somebody who asked waits for a worker that is at the same subject: its look is short
_AT_ONCE = 500


def subjects_called(store: Store, words: str) -> list[str]:
    """The subjects that `words` names: a whole name, or its last part."""
    with store.read() as conn:
        return subjects.find(conn, words)


def look(hub: Hub, words: str, actor: str = "somebody") -> dict[str, Any] | None:
    """Looks at a subject in this process; None where nobody knows it and `words` is no whole name.

    Where a worker is at it just then, its end is waited for, up to `BUSY_S`.
    """
    ref = _ref(hub, words)
    if ref is None:
        return None
    if hub.observe:
        hub.store.write(lambda conn: subjects.know(conn, ref))
    else:
        ask(hub.store, ref, actor, delay_s=hub.settings.timing.lease)  # ours for now; a worker takes it if we fail
    until = time.monotonic() + BUSY_S
    while (result := drain.look_now(hub.shop, ref)) is None and time.monotonic() < until:
        time.sleep(POLL_S)
    if result is None:
        return {"subject": str(ref), "result": "busy", "reason": "a worker is at it right now"}
    name = type(result).__name__.lower()
    return {"subject": str(ref), "result": name, "reason": getattr(result, "reason", "") or _summary(result)}


def ask(store: Store, ref: Ref, actor: str = "somebody", *, delay_s: float = 0) -> None:
    """Makes a subject due because somebody asked; a dead, parked or held one comes back to life."""

    def unit(conn: Connection) -> None:
        subjects.mark_due(conn, [ref], cause="asked", reason=f"{actor} asked for a look", delay_s=delay_s)
        fresh = {"tries": 0, "crashes": 0, "failing_since": None}
        conn.execute(update(subject).where(subject.c.ref == str(ref)).values(**fresh))
        records.audit(conn, actor, "command line", "look", str(ref), {})

    store.write(unit)


def dead(store: Store) -> tuple[int, float]:
    """(how many subjects are dead, the database's clock then)."""
    with store.read() as conn:
        count = conn.execute(select(func.count()).where(subject.c.state == "dead")).scalar_one()
        return count, subjects.now(conn)


def follow(store: Store, patience_s: float = PATIENCE_S) -> Iterator[int]:
    """How many that were dead and asked for are still to be looked at, whenever that changes, down to none.

    TimeoutError where it does not change for `patience_s`.
    """
    known, since = -1, time.monotonic()
    while known:
        with store.read() as conn:
            left = subjects.asked_again(conn, COUNTED)
        if left != known:
            known, since = left, time.monotonic()
            yield left
        elif time.monotonic() - since > patience_s:
            raise TimeoutError(f"nothing was looked at for {patience_s:.0f} s")
        else:
            time.sleep(POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameTo:
    """What looks came to: so many subjects settled, and by state those that did not."""

    settled: int
    others: dict[str, int]


def came_to(store: Store, refs: Sequence[str]) -> CameTo:
    """What became of these subjects."""
    s = subject.c
    settled = or_(s.state == "idle", and_(s.state == "due", s.cause.in_(["second look", "verify"])))
    counts: dict[str, int] = {}
    with store.read() as conn:
        for at in range(0, len(refs), _AT_ONCE):
            these = s.ref.in_(refs[at : at + _AT_ONCE])
            for state, fine, count in conn.execute(
                select(s.state, settled.label("fine"), func.count()).where(these).group_by(s.state, settled)
            ):
                name = "settled" if fine else state
                counts[name] = counts.get(name, 0) + count
    return CameTo(settled=counts.pop("settled", 0), others=dict(sorted(counts.items())))


def waiting_for_approval(store: Store) -> list[dict[str, Any]]:
    """(subject, acts) that the guard holds back."""
    with store.read() as conn:
        rows = conn.execute(select(approval).where(approval.c.state == "waiting").order_by(approval.c.created_at))
        return [{"subject": row.subject, "acts": "; ".join(map(_words, row.acts))} for row in rows]


def approve(hub: Hub, refs: list[str], actor: str, origin: str = "command line") -> list[str]:
    """Lets what the guard holds back of these subjects go: they are due, and the acts are derived anew."""
    return [ref for ref in refs if approvals.approve(hub.store, ref, actor, origin)]


def refuse(hub: Hub, refs: list[str], why: str, actor: str, origin: str = "command line") -> list[str]:
    """What the guard holds back of these subjects is not done, and they are held until they are released."""
    return [ref for ref in refs if approvals.refuse(hub.store, ref, why, actor, origin)]


def _ref(hub: Hub, words: str) -> Ref | None:
    found = subjects_called(hub.store, words)
    if len(found) == 1:
        return Ref.parse(found[0])
    parts = words.split("/", 2)
    if len(parts) == 3 and parts[0] in hub.connectors and all(parts):  # noqa: PLR2004
        return Ref.parse(words)
    return None


def _summary(result: lifecycle.Result) -> str:
    return str(getattr(result, "summary", ""))


def _words(act: dict[str, Any]) -> str:
    taken = [f"{name} {act[name]}" for name in ("seats", "offering", "expires_at", "maintenance_until") if name in act]
    return f"{act['action']} {act['entitlement']}" + (f" to {', '.join(taken)}" if taken else "")
