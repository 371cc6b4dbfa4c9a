"""What people ask for, on the command line and in the console: look now, approve."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update

from hub import approvals, drain, lifecycle
from hub.domain import Ref
from hub.store import Store, records, subjects
from hub.store.schema import approval, subject
from hub.wiring import Hub


def subjects_called(store: Store, words: str) -> list[str]:
    """The subjects that `words` names: a whole name, or its last part."""
    with store.read() as conn:
        return subjects.find(conn, words)


def look(hub: Hub, words: str, actor: str = "somebody") -> dict[str, Any] | None:
    """Looks at a subject in this process; None where nobody knows it and `words` is no whole name."""
    ref = _ref(hub, words)
    if ref is None:
        return None
    if hub.observe:
        hub.store.write(lambda conn: subjects.know(conn, ref))
    else:
        ask(hub.store, ref, actor, delay_s=hub.settings.timing.lease)  # ours for now; a worker takes it if we fail
    result = drain.look_now(hub.shop, ref)
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


def waiting_for_approval(store: Store) -> list[dict[str, Any]]:
    """(subject, acts) that the guard holds back."""
    with store.read() as conn:
        rows = conn.execute(select(approval).where(approval.c.state == "waiting").order_by(approval.c.created_at))
        return [{"subject": row.subject, "acts": "; ".join(map(_words, row.acts))} for row in rows]


def approve(hub: Hub, refs: list[str], actor: str, origin: str = "command line") -> list[str]:
    """Lets what the guard holds back of these subjects go: they are due, and the acts are derived anew."""
    return [ref for ref in refs if approvals.approve(hub.store, ref, actor, origin)]


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
