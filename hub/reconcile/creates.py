"""What must exist: searched, and created once (intent, call, result); docs/adr/0004."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hub import decide as d
from hub import references
from hub.domain import (
    Create,
    CreateCustomer,
    CreateGroup,
    Entitlement,
    ExtendGroup,
    Held,
    Json,
    License,
    Offering,
    Purchase,
)
from hub.errors import PermanentError, RetryableError, UnknownResult
from hub.failpoint import failpoint
from hub.reconcile.look import Look, Observed, Window, apply, journal, plain_call, recall, review
from hub.reconcile.revival import revive
from hub.reconcile.wording import in_words, license_in_words, why
from hub.store import records
from hub.store.codec import action_json
from hub.store.records import Intent, Memory

ROUNDS = 5  # revival, group, extension, terms: each look needs at most so many comparisons


def until_nothing_is_missing(
    look: Look, purchase: Purchase, wanted: tuple[License, ...], offerings: Mapping[str, Offering], *, fresh: bool
) -> tuple[Held, d.Plan]:
    """What is held once every license that is wanted on exists."""
    for round_ in range(ROUNDS):
        held = Held() if fresh and round_ == 0 else _held(look)
        plan = d.pair(wanted, held.entitlements, offerings)
        if not plan.missing:
            _close_extensions(look)
            return held, plan
        if not fresh and revive(look, purchase, plan.missing, offerings):
            continue
        if look.shop.observe:
            raise Observed([license_in_words(one) for one in plan.missing])
        if held.groups:
            _extend(look, held.groups[0], plan.missing)
        else:
            _create_group(look, plan.missing)
    raise RetryableError("what was created does not show yet")


def _held(look: Look) -> Held:
    """What is held under the order reference: by the ids on record, and by a search where those do not settle it.

    A search alone would not do (lists may lag), nor would ids alone after a doubt (there may be a second group).
    What the purchase carries on stands in another one's group, and what it let go of in its own.
    """
    order_ref, licensing = look.facts["order_ref"], look.shop.licensing
    look.read_began = look.leased.now()
    taken = [one for id_ in look.memory.taken if (one := look.call(lambda i=id_: licensing.entitlement(i)))]  # type: ignore[misc]
    known = look.memory.groups
    held = look.call(lambda: licensing.held(look.customer_id, order_ref, groups=known)) if known else Held()
    intent = look.memory.intents.get(("group", order_ref))
    if look.must_search or not (held.groups or taken):
        code = intent.activation_code if intent else None
        held = _both(held, look.call(lambda: licensing.held(look.customer_id, order_ref, code=code)))
    if intent and intent.open and held.groups:
        _found_after_all(look, intent, held)
    if len(held.groups) > 1:
        text = f"{len(held.groups)} groups carry {order_ref}: the one in use is kept, the others are switched off"
        review(look, "duplicate_group", str(look.ref), text)
    own = [one for one in held.entitlements if one.id not in look.memory.given]
    return replace(held, entitlements=tuple(with_lines(look.memory, one) for one in (*own, *taken)))


def _close_extensions(look: Look) -> None:
    """Nothing is missing, so an extension whose answer was lost has been done."""
    lost = [one for one in look.memory.intents.values() if one.kind == "extend" and one.open]
    if not lost:
        return

    def unit(conn: Connection) -> None:
        for one in lost:
            records.close_intent(conn, one.kind, one.key, ())

    look.write(unit)
    recall(look)


def _both(one: Held, other: Held) -> Held:
    """Two readings as one."""
    entitlements = {each.id: each for each in (*one.entitlements, *other.entitlements)}
    return Held(groups=tuple(dict.fromkeys([*one.groups, *other.groups])), entitlements=tuple(entitlements.values()))


def _found_after_all(look: Look, intent: Intent, held: Held) -> None:
    """A create whose answer was lost had been done."""

    def unit(conn: Connection) -> None:
        records.close_intent(conn, intent.kind, intent.key, held.groups)
        journal(conn, look, None, "CreateGroup", "found", {"order_ref": intent.key}, {}, None, {})

    look.write(unit)
    look.told.append("a create whose answer was lost had been done")
    recall(look)


def with_lines(memory: Memory, one: Entitlement) -> Entitlement:
    """The entitlement with the purchase lines that it carries."""
    return replace(one, lines=memory.lines_of(one.id))


def _create_group(look: Look, missing: tuple[License, ...]) -> None:
    order_ref = look.facts["order_ref"]
    code = references.activation_code(look.shop.secret, order_ref)
    skus = tuple(one.offering for one in missing)

    def build(intent: Intent) -> CreateGroup:
        kept = intent.activation_code or code
        return CreateGroup(customer_id=look.customer_id, order_ref=order_ref, skus=skus, activation_code=kept)

    create(look, "group", order_ref, code, build, _reasons(missing))


def _extend(look: Look, group_id: str, missing: tuple[License, ...]) -> None:
    order_ref = look.facts["order_ref"]
    skus = tuple(one.offering for one in missing)
    key = f"{order_ref}+{','.join(skus)}"
    create(look, "extend", key, None, ExtendGroup(group_id=group_id, order_ref=order_ref, skus=skus), _reasons(missing))


def _reasons(missing: Sequence[License]) -> dict[str, Json]:
    return {f"{one.offering}.{name}": why(reason) for one in missing for name, reason in one.reasons.items()}


def create(
    look: Look,
    kind: str,
    key: str,
    code: str | None,
    action: Create | Callable[[Intent], Create],
    reasons: Mapping[str, Json] | None = None,
) -> tuple[str, ...]:
    """Creates once: after an unknown result only when the window is over and a search found nothing.

    The caller has searched under this look's leases, so an open intent here means: not found.
    """
    with look.shop.store.read() as conn:
        before = records.find_intent(conn, kind, key)
    if before and before.open:
        until = before.started_at + look.shop.timing.ambiguity_window
        if look.leased.now() < until:
            raise Window(f"the {kind} {key}" if kind != "group" else "the license", until)
    fence = look.leased.lease.fence
    intent = look.write(lambda conn: records.open_intent(conn, kind, key, look.ref, fence, code))
    failpoint("intent.committed", str(look.ref))
    built = action(intent) if callable(action) else action
    return _carry_out(look, intent, built, reasons or {}, repeated=before is not None and before.open)


def _carry_out(
    look: Look, intent: Intent, action: Create, reasons: Mapping[str, Json], *, repeated: bool
) -> tuple[str, ...]:
    name, wanted = type(action).__name__, action_json(action)
    try:
        applied = apply(look, action)
    except UnknownResult:
        until = intent.started_at + look.shop.timing.ambiguity_window
        look.write(lambda conn: journal(conn, look, None, name, "unknown", wanted, {}, None, reasons))
        raise Window("the license" if intent.kind == "group" else f"the {intent.kind}", until) from None
    except (RetryableError, PermanentError) as error:
        return _not_applied(look, intent, name, wanted, error, repeated=repeated)
    link = _links_of(look, action, applied.ids)

    def unit(conn: Connection) -> None:
        records.close_intent(conn, intent.kind, intent.key, applied.ids)
        records.put_links(conn, link)
        journal(conn, look, None, name, "done", wanted, {}, plain_call(applied), reasons)

    look.write(unit)
    failpoint("result.committed", str(look.ref))
    look.memory.intents[intent.kind, intent.key] = replace(intent, open=False, ids=applied.ids)
    if repeated or intent.tries > 1:  # the first one may still arrive: search again when it no longer can
        look.verify_s, look.must_search = look.shop.timing.ambiguity_window, True
    look.told.append(in_words(action))
    return applied.ids


def _not_applied(
    look: Look, intent: Intent, name: str, wanted: dict[str, Json], error: HubRefusal, *, repeated: bool
) -> tuple[str, ...]:
    """The vendor refused. A conflict may mean that it is there already: the search of the next round tells."""
    conflict = isinstance(error, PermanentError) and error.code in {"409", "422"}
    if conflict and intent.kind == "group" and (found := _found_by_code(look, intent)):
        return found

    def unit(conn: Connection) -> None:
        if not repeated:
            records.close_intent(conn, intent.kind, intent.key, None)
        journal(conn, look, None, name, "refused", wanted, {}, {"error": str(error)}, {})

    look.write(unit)
    raise error


def _found_by_code(look: Look, intent: Intent) -> tuple[str, ...]:
    held = look.call(lambda: look.shop.licensing.held(look.customer_id, intent.key, code=intent.activation_code))
    if held.groups:
        _found_after_all(look, replace(intent, open=True), held)
    return held.groups


HubRefusal = RetryableError | PermanentError


def _links_of(look: Look, action: Create, ids: Sequence[str]) -> list[tuple[str, str, str]]:
    if not isinstance(action, CreateCustomer):
        return []
    return [(alias, action.account_ref, ids[0]) for alias in {action.account_ref, look.facts["customer"]}]
