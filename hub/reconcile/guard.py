"""The guard: more disables and shrinkings than a budget wait for a person, whatever asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hub import decide as d
from hub.domain import Action, Change, ChangeOffering, Disable, Enable, Entitlement, Json, SetTerms
from hub.policy import guard_budget
from hub.reconcile.look import Look
from hub.reconcile.wording import in_words
from hub.store import records


def hold_back(
    look: Look, actions: Sequence[Action], held: Mapping[str, Entitlement]
) -> tuple[list[Change], list[Change]]:
    """(what may go now, what the guard holds back). Other fields of a held shrinking still go."""
    changes = changes_in(actions)
    risky = [action for action in changes if d.shrinks(action, held)]
    if look.shop.observe:
        return changes, []
    if not risky:
        _forget_approval(look)
        return changes, []
    if look.write(lambda conn: _may_pass(conn, look, risky)):
        return changes, []
    rest = [_without_shrinking(action) if action in risky else action for action in changes]
    return [action for action in rest if action is not None], risky


def _forget_approval(look: Look) -> None:
    """What was to be approved is not wanted any more: it must not let a later act pass."""
    with look.shop.store.read() as conn:
        stale = records.approval(conn, look.ref)
    if stale:
        look.write(lambda conn: records.drop_approval(conn, look.ref))


def changes_in(actions: Sequence[Action]) -> list[Change]:
    """The actions as changes: nothing is missing any more, so none is a create."""
    return [one for one in actions if isinstance(one, (ChangeOffering, SetTerms, Enable, Disable))]


def _without_shrinking(action: Change) -> Change | None:
    if not isinstance(action, SetTerms):
        return None
    rest = replace(action, seats=None, force=False)
    return rest if any(getattr(rest, name) is not None for name in d.TERMS) else None


def _may_pass(conn: Connection, look: Look, risky: Sequence[Change]) -> bool:
    """Whether the guard lets these pass; counts them, or puts them up for approval."""
    source = look.ref.source
    records.set_cursor(conn, f"guard:{source}", "")  # one decision at a time per connection
    acts: list[Json] = [_act_json(action) for action in risky]
    approved = records.approval(conn, look.ref)
    if approved and approved[0] == "approved" and all(act in approved[1] for act in acts):
        records.drop_approval(conn, look.ref)
        return True
    spent, live = records.guard_spent(conn, source)
    budget = guard_budget(look.shop.rules.policy, live)
    if budget is None or spent + len(risky) <= budget:
        records.guard_spend(conn, source, look.ref, len(risky))
        records.drop_approval(conn, look.ref)
        return True
    records.put_approval(conn, look.ref, acts, "waiting")
    return False


def _act_json(action: Change) -> Json:
    seats = {"seats": action.seats} if isinstance(action, SetTerms) else {}
    return {"action": type(action).__name__, "entitlement": action.entitlement_id, **seats}


def held_reason(back: Sequence[Change], held: Mapping[str, Entitlement]) -> str:
    """Why the subject is held, as a sentence."""
    words = ", ".join(in_words(action, held[action.entitlement_id]) for action in back)
    return f"waits for approval ({words}): more switches-off this hour than the guard lets pass; `hub approve`"
