"""Look, compare, act: the only place that does, one subject at a time, under its lease (docs/adr/0001).

Every outside call is preceded by a check of the leases, every create by a committed intent; what was done and why
is recorded with the new snapshot in one transaction. Running a look twice writes nothing the second time.
"""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from hub import decide as d
from hub import references
from hub.domain import (
    Action,
    Applied,
    Change,
    ChangeOffering,
    Create,
    CreateCustomer,
    CreateGroup,
    Disable,
    Enable,
    Entitlement,
    ExtendGroup,
    Held,
    Json,
    License,
    Offering,
    Purchase,
    Ref,
    SetTerms,
    Standing,
)
from hub.errors import Hold, LeaseLost, PermanentError, RetryableError, UnknownResult, UnreadableError
from hub.failpoint import failpoint
from hub.leases import LeaseBook
from hub.lifecycle import Failed, Later, Parked, Refused, Result, Settled, clock_time
from hub.lifecycle import Held as HeldBack
from hub.policy import Rules, Unmapped, guard_budget, licenses_for
from hub.ports import Connector, Found, Gone, Licensing, PurchaseSource, SeeOther, Unsupported, Waiting
from hub.settings import Timing
from hub.store import Store, records, schema, subjects
from hub.store.codec import action_json, plain
from hub.store.records import Intent, Link, Memory
from hub.store.subjects import Lease, Leased

T = TypeVar("T")
log = structlog.get_logger()
ROUNDS = 4  # customer, group, extension, terms: each look needs at most so many comparisons
BUSY_S = 1.0
RECEIPT_OVERLAP_S = 5.0
CUSTOMERS_LISTED = "customers_listed"
LISTING_LASTS_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What looks need beside the subject. observe: read only, record what would be done."""

    store: Store
    connectors: Mapping[str, Connector]
    licensing: Licensing
    rules: Rules
    timing: Timing
    secret: bytes
    observe: bool = False


@dataclass(slots=True)
class Look:
    """One look at work: what it holds, saw and did."""

    shop: Shop
    book: LeaseBook
    leased: Leased
    memory: Memory
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    customer_lease: Lease | None = None
    customer_id: str = ""
    observation: str | None = None
    verify_s: float | None = None
    must_search: bool = False
    written: dict[str, list[str]] = field(default_factory=dict)  # entitlement -> what was done, in words
    told: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> Ref:
        """The subject."""
        return self.leased.ref

    @property
    def connector(self) -> Connector:
        """The connection that the subject belongs to."""
        return self.shop.connectors[self.ref.source]

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The leases that this look writes under."""
        return (self.leased.lease, self.customer_lease) if self.customer_lease else (self.leased.lease,)

    def write(self, unit: Callable[[Connection], T]) -> T:
        """Writes under the leases; LeaseLost where one has passed on."""

        def checked(conn: Connection) -> T:
            subjects.check(conn, *self.leases)
            return unit(conn)

        return self.shop.store.write(checked)

    def call(self, ask: Callable[[], T]) -> T:
        """An outside call, made only while the leases last."""
        for lease in self.leases:
            self.book.check(lease)
        return ask()


Seen = Found | SeeOther | Gone | Waiting | Unsupported


class Window(Exception):  # noqa: N818  (no error: an answer that is not known yet)
    """A create may or may not have been done: nothing is created before `until` (the database's clock)."""

    def __init__(self, what: str, until: float) -> None:
        self.what, self.until = what, until
        super().__init__(what)


class Observed(Exception):  # noqa: N818
    """Reads only: this is where the look would have written these."""

    def __init__(self, acts: Sequence[str]) -> None:
        self.acts = tuple(acts)
        super().__init__("; ".join(acts))


def reconcile(shop: Shop, book: LeaseBook, leased: Leased) -> tuple[Result | None, tuple[Lease, ...]]:
    """Looks at one leased subject: the result (None: the lease was lost) and further leases to free with it."""
    look = Look(shop, book, leased, Memory())
    result = _guarded(look)
    further = (look.customer_lease,) if look.customer_lease else ()
    return result, further


def _guarded(look: Look) -> Result | None:
    """The one place where a look's errors become results."""
    try:
        return _look(look)
    except LeaseLost as error:
        log.warning("look.lease_lost", subject=str(look.ref), error=str(error))
        return None
    except Window as window:
        return _wait_for(look, window)
    except Observed as observed:
        return _would(look, observed.acts)
    except Hold as error:
        return Later(cause="hold", reason=str(error), delay_s=error.retry_after or BUSY_S)
    except RetryableError as error:
        return Failed(reason=str(error), retry_after_s=error.retry_after)
    except UnknownResult as error:
        window_s = look.shop.timing.ambiguity_window
        reason = f"{error}; nobody knows whether it was done, looking again at {_clock(look, window_s)}"
        return Later(cause="window", reason=reason, delay_s=window_s, verify_s=window_s)
    except UnreadableError as error:
        return Refused(reason=f"what the vendor says can't be read: {error}")
    except PermanentError as error:
        return Refused(reason=f"{error}" + (f" ({error.hint})" if error.hint else ""))
    except Exception as error:  # a bug: told with its traceback, tried again
        log.exception("look.failed", subject=str(look.ref))
        return Failed(reason=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


def _wait_for(look: Look, window: Window) -> Later:
    now = look.leased.now()
    reason = f"checking whether {window.what} was created, until {clock_time(window.until)}"
    return Later(cause="window", reason=reason, delay_s=max(0.0, window.until - now), verify_s=None)


def _would(look: Look, acts: Sequence[str]) -> Result:
    """Reads only: what a look would have done is put down for `hub up --observe` to list."""
    told: list[Json] = list(acts)
    look.write(lambda conn: records.put_approval(conn, look.ref, told, "observed"))
    return Settled(summary="would do: " + "; ".join(acts), facts=look.facts)


def _clock(look: Look, in_s: float) -> str:
    return clock_time(look.leased.now() + in_s)


# -- look


def _look(look: Look) -> Result:
    failpoint("look.leased")
    source = look.connector.purchases
    if source is None:
        return Parked(cause="unsupported", reason=f"{look.ref.source} sells nothing")
    with look.shop.store.read() as conn:
        look.memory = records.recall(conn, look.ref)
        since = (look.leased.row["looked_at"] or 0) - RECEIPT_OVERLAP_S
        bodies = records.bodies(conn, look.ref, 0 if not source.can_read else since)
    found = _see(look, source, bodies)
    failpoint("look.read")
    match found:
        case SeeOther(ref=other):
            look.write(lambda conn: subjects.mark_due(conn, [other], cause="event", reason=f"{look.ref} points here"))
            return Settled(summary=f"told by {other}")
        case Gone(because=because):
            text = f"{because}; nothing was changed. If the sale is void, disable its license by hand."
            look.write(lambda conn: records.raise_review(conn, f"gone:{look.ref}", "gone", look.ref, text))
            return Settled(summary=f"{because}: left as it is, a review task is open")
        case Unsupported(because=because):
            return Parked(cause="unsupported", reason=because)
        case Waiting():
            return _waiting(look, found, bodies)
    return _compare(look, found, bodies)


def _see(look: Look, source: PurchaseSource, bodies: Sequence[bytes]) -> Seen:
    if source.can_read:
        return look.call(lambda: source.fetch(look.ref))
    objects = _fold(look, source, bodies)
    with look.shop.store.read() as conn:

        def find(object_id: str) -> Any:  # noqa: ANN401
            return records.stored_object(conn, look.ref.source, object_id)

        return source.assemble(look.ref, objects, find)


def _fold(look: Look, source: PurchaseSource, bodies: Sequence[bytes]) -> list[Any]:
    """The newest version of each object that this subject's events ever brought; kept in the record."""
    with look.shop.store.read() as conn:
        kept = {one.id: one for one in records.stored_objects(conn, look.ref.source, look.ref)}
    versions: dict[str, list[Any]] = {id_: [one] for id_, one in kept.items()}
    for body in bodies:
        if (one := source.stored(body)) is not None:
            versions.setdefault(one.id, []).append(one)
    newest = {id_: source.newest(many) for id_, many in versions.items()}
    if fresh := [one for id_, one in newest.items() if kept.get(id_) != one]:
        look.write(lambda conn: records.store_objects(conn, look.ref.source, look.ref, fresh))
    return list(newest.values())


def _waiting(look: Look, waiting: Waiting, bodies: Sequence[bytes]) -> Result:
    """What can't be told yet waits for its event; a missing customer only a short while."""
    row, wait_s = look.leased.row, look.shop.timing.customer_wait
    if look.ref.kind == "customer":
        ids = {look.ref.id}
        look.write(lambda conn: _wake_waiting(conn, ids))
        return Settled(summary=waiting.because)
    if waiting.proceed is None:
        return Settled(summary=waiting.because)
    waited = look.leased.now() - (row["waiting_since"] or look.leased.now())
    if waited >= wait_s or look.memory.snapshots:
        return _compare(look, waiting.proceed, bodies)
    return Later(cause="waiting", reason=waiting.because, delay_s=max(0.05, wait_s - waited), waiting_on=waiting.on)


def _wake_waiting(conn: Connection, ids: set[str]) -> None:
    on = schema.subject.c.waiting_on.in_(ids) & (schema.subject.c.state == "due")
    subjects.wake(conn, on, cause="event", reason="what it waited for came in")


# -- compare


def _compare(look: Look, found: Found, bodies: Sequence[bytes]) -> Result:
    purchase = found.purchase
    _remember(look, found)
    look.facts = _facts(look, purchase)
    if purchase.standing is Standing.UNKNOWN:
        text = f"the status {purchase.status!r} is not known here; nothing was changed"
        look.write(lambda conn: records.raise_review(conn, f"status:{look.ref}", "unknown status", look.ref, text))
        return Settled(summary=text, facts=look.facts)
    wanted = licenses_for(
        purchase, look.facts["order_ref"], look.connector.catalog_key, look.shop.rules, look.memory.paid
    )
    if isinstance(wanted, Unmapped):
        return Parked(cause="unmapped", reason=_unmapped(look, wanted), facts=look.facts)
    second = _needs_second_look(look, found, bodies)
    summary = _act_if_needed(look, purchase, wanted)
    if isinstance(summary, str):
        return Settled(summary=summary, second_look=second, verify_s=look.verify_s, facts=look.facts)
    return summary


def _remember(look: Look, found: Found) -> None:
    look.observation = records.hash_of(found.seen)
    if look.observation not in _seen_before:
        hash_ = look.observation
        look.write(lambda conn: records.observe(conn, look.ref, found.seen, hash_))
        _seen_before.add(hash_)
    failpoint("look.observed")


class _Recent(set[str]):
    """Hashes this process has stored lately, to save a write; forgetting them costs only that write."""

    def add(self, element: str) -> None:
        if len(self) > 10_000:  # noqa: PLR2004
            self.clear()
        super().add(element)


_seen_before = _Recent()


def _facts(look: Look, purchase: Purchase) -> dict[str, Any]:
    return {
        "order_ref": references.reference(look.connector.ref, purchase.ref.id),
        "customer": references.reference(look.connector.ref, purchase.customer.id),
        "customer_name": purchase.customer.name,
    }


def _unmapped(look: Look, unmapped: Unmapped) -> str:
    line = unmapped.lines[0]
    key = (line.keys or (line.id,))[0]
    more = f" and {len(unmapped.lines) - 1} more" if len(unmapped.lines) > 1 else ""
    vendor = look.connector.catalog_key
    return f'no catalog row names {key}{more}: add a [[catalog]] row with {vendor} = "{key}", and restart'


def _needs_second_look(look: Look, found: Found, bodies: Sequence[bytes]) -> bool:
    """Whether the vendor's answer may lag its own events; skipped only where it already contains them all."""
    source = look.connector.purchases
    if source is None or not source.can_read or look.leased.row["cause"] == "second look":
        return False
    return not all(source.contains(found.seen, body) for body in bodies)


def _act_if_needed(look: Look, purchase: Purchase, wanted: tuple[License, ...]) -> str | Result:
    if purchase.standing is Standing.PENDING:
        return f"nothing is granted yet: the purchase is {purchase.status}"
    if not _must_read(look) and _agrees(look, wanted):
        return "nothing to change: the license is what the purchase says"
    link = _known_customer(look, purchase)
    if link is None and not any(one.enabled for one in wanted):
        return f"nothing to license: the purchase is {purchase.status}"
    return _act(look, purchase, wanted, link)


def _must_read(look: Look) -> bool:
    """A sweep and a second look trust the snapshot; whoever has a doubt, or was asked to look, reads."""
    row = look.leased.row
    look.must_search = look.memory.doubt or row["verify_at"] is not None
    return look.must_search or row["cause"] not in {"second look", "sweep", "replay"}


def _agrees(look: Look, wanted: tuple[License, ...]) -> bool:
    held = [_with_lines(look.memory, one.entitlement) for one in look.memory.snapshots.values()]
    plan = d.pair(wanted, held, {})
    return not plan.missing and not d.decide(plan)


def _with_lines(memory: Memory, one: Entitlement) -> Entitlement:
    return replace(one, lines=memory.lines_of(one.id))


# -- act, under the customer's lease


def _act(look: Look, purchase: Purchase, wanted: tuple[License, ...], link: Link | None) -> str | Result:
    account_ref = link.account_ref if link else purchase.customer.customer_ref or look.facts["customer"]
    look.customer_lease = look.book.take(f"customer:{account_ref}")
    if look.customer_lease is None:
        return Later(cause="busy", reason="another purchase of this customer is being worked on", delay_s=BUSY_S)
    offerings = _offerings(look, wanted)
    if missing := [one.offering for one in wanted if one.offering not in offerings]:
        reason = f"Zentitle2 has no offering with the SKU {missing[0]!r}: create it, or map the sale to another SKU"
        return Parked(cause="unmapped", reason=reason, facts=look.facts)
    fresh = _ensure_customer(look, purchase, account_ref)
    held, plan = _until_nothing_is_missing(look, wanted, offerings, fresh=fresh)
    return _make_so(look, purchase, wanted, held, plan)


def _offerings(look: Look, wanted: tuple[License, ...]) -> Mapping[str, Offering]:
    licensing = look.shop.licensing
    offerings = look.call(licensing.offerings)
    if all(one.offering in offerings for one in wanted):
        return offerings
    return look.call(lambda: licensing.offerings(refresh=True))


def _until_nothing_is_missing(
    look: Look, wanted: tuple[License, ...], offerings: Mapping[str, Offering], *, fresh: bool
) -> tuple[Held, d.Plan]:
    """What is held once every license that is wanted on exists."""
    for round_ in range(ROUNDS):
        held = Held() if fresh and round_ == 0 else _held(look)
        plan = d.pair(wanted, held.entitlements, offerings)
        if not plan.missing:
            return held, plan
        if held.groups:
            _extend(look, held.groups[0], plan.missing)
        else:
            _create_group(look, plan.missing)
    raise RetryableError("what was created does not show yet")


def _held(look: Look) -> Held:
    order_ref = look.facts["order_ref"]
    groups = () if look.must_search else look.memory.groups
    intent = look.memory.intents.get(("group", order_ref))
    code = intent.activation_code if intent and look.must_search else None
    held = look.call(lambda: look.shop.licensing.held(look.customer_id, order_ref, groups=groups, code=code))
    if intent and intent.open and held.groups:
        _found_after_all(look, intent, held)
    held = replace(held, entitlements=tuple(_with_lines(look.memory, one) for one in held.entitlements))
    if len(held.groups) > 1:
        text = f"{len(held.groups)} groups carry {order_ref}: the one in use is kept, the others are switched off"
        look.write(lambda conn: records.raise_review(conn, f"doubled:{look.ref}", "duplicate_group", look.ref, text))
    return held


def _found_after_all(look: Look, intent: Intent, held: Held) -> None:
    """A create whose answer was lost had been done."""

    def unit(conn: Connection) -> None:
        records.close_intent(conn, intent.kind, intent.key, held.groups)
        _journal(conn, look, None, "CreateGroup", "found", {"order_ref": intent.key}, {}, None, {})

    look.write(unit)
    look.told.append("a create whose answer was lost had been done")
    _recall(look)


def _recall(look: Look) -> None:
    with look.shop.store.read() as conn:
        look.memory = records.recall(conn, look.ref)


# -- creates: intent, call, result


def _ensure_customer(look: Look, purchase: Purchase, account_ref: str) -> bool:
    """Sets the customer's id, creating the customer if nobody knows it. True where it was made just now."""
    link = _known_customer(look, purchase) or _listed_customer(look, purchase, account_ref)
    if link:
        look.customer_id = link.zentitle_id
        _check_customer_ref(look, purchase, link)
        return False
    name = (purchase.customer.name or purchase.customer.id)[:255]
    ids = _create(look, "customer", account_ref, None, CreateCustomer(account_ref=account_ref, name=name))
    look.customer_id = ids[0]
    return True


def _aliases(look: Look, purchase: Purchase) -> list[str]:
    return [alias for alias in (look.facts["customer"], purchase.customer.customer_ref) if alias]


def _known_customer(look: Look, purchase: Purchase) -> Link | None:
    with look.shop.store.read() as conn:
        links = [records.find_link(conn, alias) for alias in _aliases(look, purchase)]
    return next((link for link in links if link), None)


def _listed_customer(look: Look, purchase: Purchase, account_ref: str) -> Link | None:
    """The customer by one full listing, which rebuilds the links.

    Only somebody else can have made a customer under a `customer_ref`, so that is always looked up; a reference of
    our own only where the record may have lost it, or a create is in doubt.
    """
    with look.shop.store.read() as conn:
        cursor = records.get_cursor(conn, CUSTOMERS_LISTED)
        intent = records.find_intent(conn, "customer", account_ref)
    doubt = intent is not None and intent.open
    recent = cursor is not None and look.leased.now() - cursor[1] < LISTING_LASTS_S
    if recent and not doubt and not purchase.customer.customer_ref:
        return None
    rows = look.call(lambda: [(ref, ref, id_) for ref, id_ in look.shop.licensing.customers()])

    def unit(conn: Connection) -> None:
        records.put_links(conn, rows)
        records.set_cursor(conn, CUSTOMERS_LISTED, str(len(rows)))
        by_ref = {ref: id_ for _, ref, id_ in rows}
        known = next((ref for ref in [account_ref, *_aliases(look, purchase)] if ref in by_ref), None)
        if known:
            records.put_links(conn, [(alias, known, by_ref[known]) for alias in _aliases(look, purchase)])
            if doubt:
                records.close_intent(conn, "customer", account_ref, [by_ref[known]])

    look.write(unit)
    return _known_customer(look, purchase)


def _check_customer_ref(look: Look, purchase: Purchase, link: Link) -> None:
    """A customer_ref that points to another customer than the one linked is for a person to settle."""
    ref = purchase.customer.customer_ref
    if not ref or ref == link.account_ref:
        return

    def unit(conn: Connection) -> None:
        other = records.find_link(conn, ref)
        if other and other.zentitle_id == link.zentitle_id:
            return
        text = f"customer_ref now says {ref}, the licenses are with {link.account_ref}; they stay there"
        records.raise_review(conn, f"customer_ref:{look.facts['customer']}:{ref}", "customer_ref", look.ref, text)

    look.write(unit)


def _create_group(look: Look, missing: tuple[License, ...]) -> None:
    order_ref = look.facts["order_ref"]
    code = references.activation_code(look.shop.secret, order_ref)
    skus = tuple(one.offering for one in missing)

    def build(intent: Intent | None) -> CreateGroup:
        kept = intent.activation_code if intent else None
        return CreateGroup(customer_id=look.customer_id, order_ref=order_ref, skus=skus, activation_code=kept or code)

    why = {f"{one.offering}.{name}": _why(reason) for one in missing for name, reason in one.reasons.items()}
    _create(look, "group", order_ref, code, build, why)


def _extend(look: Look, group_id: str, missing: tuple[License, ...]) -> None:
    order_ref = look.facts["order_ref"]
    skus = tuple(one.offering for one in missing)
    why = {f"{one.offering}.{name}": _why(reason) for one in missing for name, reason in one.reasons.items()}
    key = f"{order_ref}+{','.join(skus)}"
    _create(look, "extend", key, None, ExtendGroup(group_id=group_id, order_ref=order_ref, skus=skus), why)


def _create(
    look: Look,
    kind: str,
    key: str,
    code: str | None,
    action: Create | Callable[[Intent | None], Create],
    why: Mapping[str, Json] | None = None,
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
    if look.shop.observe:
        raise Observed([_in_words(action(None) if callable(action) else action)])
    fence = look.leased.lease.fence
    intent = look.write(lambda conn: records.open_intent(conn, kind, key, look.ref, fence, code))
    failpoint("intent.committed")
    built = action(intent) if callable(action) else action
    return _carry_out(look, intent, built, why or {}, repeated=before is not None and before.open)


def _carry_out(
    look: Look, intent: Intent, action: Create, why: Mapping[str, Json], *, repeated: bool
) -> tuple[str, ...]:
    name, wanted = type(action).__name__, action_json(action)
    try:
        applied = _apply(look, action)
    except UnknownResult:
        until = intent.started_at + look.shop.timing.ambiguity_window
        look.write(lambda conn: _journal(conn, look, None, name, "unknown", wanted, {}, None, why))
        raise Window("the license" if intent.kind == "group" else f"the {intent.kind}", until) from None
    except (RetryableError, PermanentError) as error:
        return _not_applied(look, intent, name, wanted, error, repeated=repeated)
    link = _links_of(look, action, applied.ids)

    def unit(conn: Connection) -> None:
        records.close_intent(conn, intent.kind, intent.key, applied.ids)
        records.put_links(conn, link)
        _journal(conn, look, None, name, "done", wanted, {}, plain_call(applied), why)

    look.write(unit)
    failpoint("result.committed")
    _recall(look)
    if repeated or intent.tries > 1:  # the first one may still arrive: search again when it no longer can
        look.verify_s, look.must_search = look.shop.timing.ambiguity_window, True
    look.told.append(_in_words(action))
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
        _journal(conn, look, None, name, "refused", wanted, {}, {"error": str(error)}, {})

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


def _apply(look: Look, action: Action) -> Applied:
    failpoint("call.before")
    applied = look.call(lambda: look.shop.licensing.apply(action))
    failpoint("call.after")
    return applied


def plain_call(applied: Applied) -> dict[str, Json]:
    """An answered call as JSON."""
    call = applied.call
    return {"method": call.method, "path": call.path, "body": call.body, "status": call.status}


# -- changes


def _make_so(look: Look, purchase: Purchase, wanted: tuple[License, ...], held: Held, plan: d.Plan) -> str | Result:
    plan = _leave_alone(look, plan)
    by_id = {one.id: one for one in held.entitlements}
    actions = d.decide(plan)
    if look.shop.observe:
        raise Observed(
            [f"{one.entitlement_id}: {_in_words(one, by_id[one.entitlement_id])}" for one in _changes(actions)]
        )
    go, back = _hold_back(look, actions, by_id)
    wanted_of = {pair.held.id: pair.wanted for pair in plan.pairs}
    now = dict(by_id)
    for action in go:
        now[action.entitlement_id] = _change(look, action, now[action.entitlement_id], wanted_of)
    _save(look, purchase, wanted_of, now)
    _flag(look, plan)
    _note(look)
    if back:
        return HeldBack(reason=_held_reason(back), facts=look.facts)
    if not look.told:
        return "nothing to change: the license is what the purchase says"
    return "; ".join(look.told)


def _leave_alone(look: Look, plan: d.Plan) -> d.Plan:
    """Without what a person switched off in Zentitle2, and what may not be written to: reported, not changed."""
    kept = []
    for pair in plan.pairs:
        if pair.held.frozen:
            _review(look, "frozen", pair.held.id, f"{pair.held.id} is {pair.held.status}: it can't be changed now")
        elif pair.wanted.enabled and not pair.held.enabled and not _ours(look, pair.held.id):
            text = f"{pair.held.id} was switched off in Zentitle2 by somebody else: left as it is"
            _review(look, "on hold", pair.held.id, text)
        else:
            kept.append(pair)
    return replace(plan, pairs=tuple(kept))


def _ours(look: Look, entitlement: str) -> bool:
    with look.shop.store.read() as conn:
        return records.switched_off_by_us(conn, entitlement)


def _review(look: Look, kind: str, about: str, text: str) -> None:
    look.write(lambda conn: records.raise_review(conn, f"{kind}:{about}", kind, look.ref, text))


def _hold_back(
    look: Look, actions: Sequence[Action], held: Mapping[str, Entitlement]
) -> tuple[list[Change], list[Change]]:
    """(what may go now, what the guard holds back). Other fields of a held shrinking still go."""
    changes = _changes(actions)
    risky = [action for action in changes if d.shrinks(action, held)]
    if not risky or look.shop.observe or look.write(lambda conn: _may_pass(conn, look, risky)):
        return changes, []
    rest = [_without_shrinking(action) if action in risky else action for action in changes]
    return [action for action in rest if action is not None], risky


def _changes(actions: Sequence[Action]) -> list[Change]:
    """The actions as changes: nothing is missing any more, so none is a create."""
    return [one for one in actions if isinstance(one, (ChangeOffering, SetTerms, Enable, Disable))]


def _without_shrinking(action: Change) -> Change | None:
    if isinstance(action, SetTerms) and (action.expires_at or action.overdraft is not None):
        return replace(action, seats=None, force=False)
    return None


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


def _held_reason(back: Sequence[Change]) -> str:
    words = ", ".join(_in_words(action) for action in back)
    return f"waits for approval ({words}): more switches-off this hour than the guard lets pass; `hub approve`"


def _change(look: Look, action: Change, held: Entitlement, wanted_of: Mapping[str, License]) -> Entitlement:
    """Carries one change out, records it, and gives the entitlement as it is then."""
    license_ = wanted_of.get(held.id)
    name, wanted = type(action).__name__, action_json(action) or {"enabled": not isinstance(action, Disable)}
    found = {field_: plain(getattr(held, field_, None)) for field_ in _fields(action)}
    why = _why_of(action, license_)
    began = None
    if isinstance(action, Disable):  # so that after a crash nobody takes our switch for a person's
        began = look.write(lambda conn: _journal(conn, look, held.id, name, "unknown", wanted, found, None, why))
    try:
        applied = _apply(look, action)
    except UnknownResult:
        if began is None:
            look.write(lambda conn: _journal(conn, look, held.id, name, "unknown", wanted, found, None, why))
        raise
    except (RetryableError, PermanentError) as error:
        said: Json = {"error": str(error)}
        look.write(lambda conn: _end(conn, look, began, held.id, name, "refused", wanted, found, said, why))
        raise
    now = d.after(action, held)

    def unit(conn: Connection) -> None:
        _end(conn, look, began, held.id, name, "done", wanted, found, plain_call(applied), why)
        _snapshot(conn, look, now, license_)

    look.write(unit)
    failpoint("result.committed")
    words = _in_words(action, held)
    look.told.append(words)
    look.written.setdefault(held.id, []).append(_sentence(words, action, license_))
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
        _journal(conn, look, entitlement, name, outcome, wanted, found, call, why)
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
            _snapshot(conn, look, one, wanted_of.get(one.id))
        records.save_grants(conn, look.ref, fresh)

    look.write(unit)


def _is_saved(look: Look, one: Entitlement, license_: License | None, version: str) -> bool:
    saved = look.memory.snapshots.get(one.id)
    if saved is None or one.id in look.written:
        return False
    lines = license_.lines if license_ else ()
    same = replace(saved.entitlement, lines=()) == replace(one, lines=()) and saved.entitlement.lines == lines
    return same and saved.reasons == _reasons(license_) and saved.catalog_version == version


def _snapshot(conn: Connection, look: Look, one: Entitlement, license_: License | None) -> None:
    records.save_snapshot(
        conn,
        replace(one, lines=license_.lines if license_ else ()),
        subject=look.ref,
        customer_id=look.customer_id,
        reasons=_reasons(license_),
        version=look.shop.rules.version,
        observation=look.observation,
    )


def _reasons(license_: License | None) -> dict[str, Json]:
    if license_ is None:
        return {"enabled": {"rule": "surplus", "because": "no line of the purchase pays for it any more", "lines": []}}
    return {name: _why(reason) for name, reason in license_.reasons.items()}


def _why(reason: Any) -> dict[str, Json]:  # noqa: ANN401  (a Reason)
    return {"rule": reason.rule, "because": reason.because, "lines": list(reason.lines)}


def _why_of(action: Change, license_: License | None) -> dict[str, Json]:
    reasons = _reasons(license_)
    return {name: reasons[name] for name in _fields(action) if name in reasons}


def _fields(action: Change) -> list[str]:
    match action:
        case SetTerms():
            names = ("seats", "overdraft", "expires_at")
            return [name for name in names if getattr(action, name) is not None]
        case ChangeOffering():
            return ["offering"]
    return ["enabled"]


def _flag(look: Look, plan: d.Plan) -> None:
    """Tells a person where fewer seats were bought than are in use; takes it back once that is over."""
    over = [p for p in plan.pairs if p.wanted.seats is not None and p.wanted.seats < p.held.seats_used]
    for pair in over:
        text = f"{pair.held.seats_used} seats of {pair.held.id} are in use, {pair.wanted.seats} were bought"
        _review(look, "seats in use", pair.held.id, text)
    if not over and look.told:
        look.write(lambda conn: records.close_reviews(conn, look.ref, ["seats in use", "gone", "unknown status"]))


def _note(look: Look) -> None:
    """One note per entitlement that this look wrote to: last, and never repeated after doubt."""
    failpoint("note.before")
    for entitlement, sentences in look.written.items():
        text = f"Licensing hub: {'. '.join(sentences)}. ({look.ref}, look {look.id})"
        try:
            look.call(lambda e=entitlement, t=text: look.shop.licensing.note(e, t))  # type: ignore[misc]
        except (RetryableError, PermanentError, UnknownResult) as error:
            log.warning("note.not_written", subject=str(look.ref), entitlement=entitlement, error=str(error))


def _journal(
    conn: Connection,
    look: Look,
    entitlement: str | None,
    action: str,
    outcome: str,
    wanted: Mapping[str, Json],
    found: Mapping[str, Json],
    call: Json,
    why: Mapping[str, Json],
) -> int:
    return records.add_change(
        conn,
        look=look.id,
        subject=str(look.ref),
        entitlement=entitlement,
        action=action,
        outcome=outcome,
        wanted=dict(wanted),
        found=dict(found),
        call=call,
        why=dict(why),
        cause=look.leased.row["cause"],
        catalog_version=look.shop.rules.version,
        observation=look.observation,
    )


def _in_words(action: Action, held: Entitlement | None = None) -> str:
    match action:
        case CreateCustomer(account_ref=ref):
            return f"customer {ref} created"
        case CreateGroup(skus=skus):
            return f"license created: {', '.join(skus)}"
        case ExtendGroup(skus=skus):
            return f"license extended by {', '.join(skus)}"
        case SetTerms():
            return ", ".join(_terms_in_words(action, held))
        case ChangeOffering(sku=sku):
            return f"offering {held.offering} → {sku}" if held else f"offering → {sku}"
        case Disable():
            return "switched off"
    return "switched on"


def _terms_in_words(action: SetTerms, held: Entitlement | None) -> list[str]:
    words = []
    if action.seats is not None:
        words.append(f"seats {held.seats if held else '?'} → {action.seats}")
    if action.overdraft is not None:
        words.append(f"overdraft → {action.overdraft}")
    if action.expires_at is not None:
        words.append(f"expires {action.expires_at:%d %b %Y}")
    return words


def _sentence(words: str, action: Change, license_: License | None) -> str:
    reasons = [one["because"] for one in _why_of(action, license_).values() if isinstance(one, dict)]
    return f"{words}, because {'; '.join(str(one) for one in reasons)}" if reasons else words
