"""Makes what exists so: changes in their order, each recorded with the snapshot it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from sqlalchemy import Connection

from hub import decide as d
from hub.domain import Change, Disable, Entitlement, Held, Json, License, Purchase
from hub.errors import PermanentError, RetryableError, UnknownResult
from hub.failpoint import failpoint
from hub.lifecycle import Held as HeldBack
from hub.lifecycle import Result
from hub.policy import renews_days
from hub.reconcile.guard import changes_in, held_reason, hold_back
from hub.reconcile.look import Look, Observed, apply, journal, plain_call, review
from hub.reconcile.wording import fields_of, in_words, reasons_of, sentence, why_of
from hub.store import records
from hub.store.codec import action_json, plain
from hub.store.records import Snapshot

log = structlog.get_logger()


def make_so(look: Look, purchase: Purchase, held: Held, plan: d.Plan) -> str | Result:
    """Carries the plan's changes out and records them: what was done in words, or what the guard held back."""
    plan = _leave_alone(look, plan)
    by_id = {one.id: one for one in held.entitlements}
    actions = d.decide(plan)
    if look.shop.observe:
        raise Observed(
            [f"{one.entitlement_id}: {in_words(one, by_id[one.entitlement_id])}" for one in changes_in(actions)]
        )
    go, back = hold_back(look, actions, by_id)
    wanted_of = {pair.held.id: pair.wanted for pair in plan.pairs}
    now = dict(by_id)
    for action in go:
        now[action.entitlement_id] = _change(look, action, now[action.entitlement_id], wanted_of)
    _flag(look, plan)
    _save(look, purchase, wanted_of, now)
    _note(look)
    if back:
        return HeldBack(reason=held_reason(back, by_id), facts=look.facts)
    if not look.told:
        return "nothing to change: the license is what the purchase says"
    return "; ".join(look.told)


def _leave_alone(look: Look, plan: d.Plan) -> d.Plan:
    """Without what a person switched off in Zentitle2, and what may not be written to: reported, not changed."""
    kept = []
    for pair in plan.pairs:
        if pair.held.frozen:
            review(look, "frozen", pair.held.id, f"{pair.held.id} is {pair.held.status}: it can't be changed now")
        elif pair.wanted.enabled and not pair.held.enabled and not _ours(look, pair.held.id):
            text = f"{pair.held.id} was switched off in Zentitle2 by somebody else: left as it is"
            review(look, "on hold", pair.held.id, text)
        else:
            kept.append(pair)
    return replace(plan, pairs=tuple(kept))


def _ours(look: Look, entitlement: str) -> bool:
    with look.shop.store.read() as conn:
        return records.switched_off_by_us(conn, entitlement)


def _change(look: Look, action: Change, held: Entitlement, wanted_of: Mapping[str, License]) -> Entitlement:
    """Carries one change out, records it, and gives the entitlement as it is then."""
    license_ = wanted_of.get(held.id)
    name, wanted = type(action).__name__, action_json(action) or {"enabled": not isinstance(action, Disable)}
    found = {field_: plain(getattr(held, field_, None)) for field_ in fields_of(action)}
    why = why_of(action, license_)
    began = None
    if isinstance(action, Disable):  # so that after a crash nobody takes our switch for a person's
        began = look.write(lambda conn: journal(conn, look, held.id, name, "begun", wanted, found, None, why))
    try:
        applied = apply(look, action)
    except UnknownResult:
        look.write(lambda conn: _end(conn, look, began, held.id, name, "unknown", wanted, found, None, why))
        raise
    except (RetryableError, PermanentError) as error:
        said: Json = {"error": str(error)}
        look.write(lambda conn: _end(conn, look, began, held.id, name, "refused", wanted, found, said, why))
        raise
    now = d.after(action, held)

    def unit(conn: Connection) -> None:
        _end(conn, look, began, held.id, name, "done", wanted, found, plain_call(applied), why)
        _snapshot(conn, look, now, license_, began=None)

    look.write(unit)
    failpoint("result.committed", str(look.ref))
    look.memory.snapshots[now.id] = Snapshot(
        entitlement=_as_kept(look, now, license_),
        reasons=reasons_of(license_),
        catalog_version=look.shop.rules.version,
    )
    words = in_words(action, held)
    look.told.append(words)
    look.written.setdefault(held.id, []).append(sentence(words, action, license_))
    return now


def _end(
    conn: Connection,
    look: Look,
    began: int | None,
    entitlement: str,
    name: str,
    outcome: str,
    wanted: Mapping[str, Json],
    found: Mapping[str, Json],
    call: Json,
    why: Mapping[str, Json],
) -> None:
    if began is None:
        journal(conn, look, entitlement, name, outcome, wanted, found, call, why)
    else:
        records.end_change(conn, began, outcome, call)


def _save(look: Look, purchase: Purchase, wanted_of: Mapping[str, License], now: Mapping[str, Entitlement]) -> None:
    """Snapshots, grants and reasons as this look leaves them; nothing is written where nothing differs."""
    version = look.shop.rules.version
    stale = [one for one in now.values() if not _is_saved(look, one, wanted_of.get(one.id), version)]
    paid = {line.id: line.paid_until for line in purchase.lines}
    grants = [
        (line, id_, license_.offering, paid.get(line) or license_.paid_until)
        for id_, license_ in wanted_of.items()
        for line in license_.lines
    ]
    known = {(line, id_, date) for line, (id_, date) in look.memory.grants.items()}
    fresh = [row for row in grants if (row[0], row[1], row[3]) not in known]
    if not stale and not fresh:
        return

    def unit(conn: Connection) -> None:
        for one in stale:
            _snapshot(conn, look, one, wanted_of.get(one.id), began=look.read_began)
        records.save_grants(conn, look.ref, fresh, renews_days(purchase))

    look.write_along(_each, unit)


def _each(conn: Connection, units: Sequence[Callable[[Connection], object]]) -> None:
    for unit in units:
        unit(conn)


def _is_saved(look: Look, one: Entitlement, license_: License | None, version: str) -> bool:
    saved = look.memory.snapshots.get(one.id)
    if saved is None:
        return False
    return (
        saved.entitlement == _as_kept(look, one, license_)
        and saved.reasons == reasons_of(license_)
        and saved.catalog_version == version
    )


def _as_kept(look: Look, one: Entitlement, license_: License | None) -> Entitlement:
    lines = license_.lines if license_ else ()
    return replace(one, lines=lines, customer_id=one.customer_id or look.customer_id)


def _snapshot(conn: Connection, look: Look, one: Entitlement, license_: License | None, *, began: float | None) -> None:
    records.save_snapshot(
        conn,
        _as_kept(look, one, license_),
        subject=look.ref,
        reasons=reasons_of(license_),
        version=look.shop.rules.version,
        observation=look.observation,
        began=began,
    )


def _flag(look: Look, plan: d.Plan) -> None:
    """Tells a person where fewer seats were bought than are in use; takes it back once that is over."""
    over = [p for p in plan.pairs if p.wanted.seats is not None and p.wanted.seats < p.held.seats_used]
    for pair in over:
        text = f"{pair.held.seats_used} seats of {pair.held.id} are in use, {pair.wanted.seats} were bought"
        review(look, "seats in use", pair.held.id, text)
    if not over and look.told:
        look.write_along(records.close_answered, look.ref)


def _note(look: Look) -> None:
    """One note per entitlement that this look wrote to: last, and never repeated after doubt."""
    failpoint("note.before", str(look.ref))
    for entitlement, sentences in look.written.items():
        text = f"Licensing hub: {'. '.join(sentences)}. ({look.ref}, look {look.id})"
        try:
            look.call(lambda e=entitlement, t=text: look.shop.licensing.note(e, t))  # type: ignore[misc]
        except (RetryableError, PermanentError, UnknownResult) as error:
            log.warning("note.not_written", subject=str(look.ref), entitlement=entitlement, error=str(error))
