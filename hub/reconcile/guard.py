"""The guard: more shrinkings (`decide.shrinking`) than a budget wait for a person, whatever asked for them.

What the hub has just made counts for nothing: its terms are still those of the offering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from hub import decide as d
from hub.domain import Action, Change, ChangeOffering, Disable, Enable, Entitlement, Json, SetTerms
from hub.policy import guard_budget
from hub.reconcile.look import Look
from hub.reconcile.wording import in_words
from hub.store import records
from hub.store.codec import plain


def hold_back(
    look: Look, actions: Sequence[Action], held: Mapping[str, Entitlement]
) -> tuple[list[Change], list[Change]]:
    """(what may go now, what the guard holds back). Other fields of a held shrinking still go."""
    changes = changes_in(actions)
    risky = [action for action in changes if _takes(look, action, held[action.entitlement_id])]
    if look.shop.observe:
        return changes, []
    if not risky:
        _forget_approval(look)
        return changes, []
    if look.write(lambda conn: _may_pass(conn, look, risky, held)):
        return changes, []
    new = {id_ for id_, one in held.items() if look.memory.is_new(one)}
    kept = (one if one.entitlement_id in new else _rest_of(one, held[one.entitlement_id]) for one in changes)
    return [action for action in kept if action is not None], risky


def _takes(look: Look, action: Change, held: Entitlement) -> bool:
    return not look.memory.is_new(held) and bool(d.shrinking(action, held))


def _forget_approval(look: Look) -> None:
    """What was to be approved is not wanted any more: it must not let a later act pass."""
    with look.shop.store.read() as conn:
        stale = records.approval(conn, look.ref)
    if stale:
        look.write(lambda conn: records.drop_approval(conn, look.ref))


def changes_in(actions: Sequence[Action]) -> list[Change]:
    """The actions as changes: nothing is missing any more, so none is a create."""
    return [one for one in actions if isinstance(one, (ChangeOffering, SetTerms, Enable, Disable))]


def _rest_of(action: Change, held: Entitlement) -> Change | None:
    """The action without what it takes away; of terms only what differs: those set again with an offering wait too."""
    taken = d.shrinking(action, held)
    if not isinstance(action, SetTerms):
        return None if taken else action
    kept: dict[str, Any] = {name: None if name in taken else getattr(action, name) for name in d.TERMS}
    kept = {name: None if value == getattr(held, name) else value for name, value in kept.items()}
    rest = replace(action, **kept, force=action.force and kept["seats"] is not None)
    return rest if any(value is not None for value in kept.values()) else None


def _may_pass(conn: Connection, look: Look, risky: Sequence[Change], held: Mapping[str, Entitlement]) -> bool:
    """Whether the guard lets these pass; counts them, or puts them up for approval."""
    source = look.ref.source
    records.set_cursor(conn, f"guard:{source}", "")  # one decision at a time per connection
    acts: list[Json] = [_act_json(action, held[action.entitlement_id]) for action in risky]
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


def _act_json(action: Change, held: Entitlement) -> Json:
    """What is to be approved: an act derived anew passes only where it takes away the same."""
    taken = {} if isinstance(action, Disable) else {name: plain(one) for name, one in d.shrinking(action, held).items()}
    return {"action": type(action).__name__, "entitlement": action.entitlement_id, **taken}


def held_reason(back: Sequence[Change], held: Mapping[str, Entitlement]) -> str:
    """Why the subject is held, as a sentence."""
    words = ", ".join(in_words(action, held[action.entitlement_id]) for action in back)
    return f"waits for approval ({words}): more is taken away this hour than the guard lets pass; `hub approve`"
