"""Look, compare, act: the only place that does, one subject at a time, under its lease (docs/adr/0001).

Every outside call is preceded by a check of the leases, every create by a committed intent; what was done and why
is recorded with the new snapshot in one transaction. Running a look twice writes nothing the second time.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection

from hub import decide as d
from hub import references
from hub.domain import Flag, License, Offering, Purchase, Ref, Standing
from hub.errors import Hold, LeaseLost, PermanentError, RetryableError, UnknownResult, UnreadableError
from hub.failpoint import failpoint
from hub.leases import LeaseBook
from hub.lifecycle import Failed, Held, Later, Parked, Refused, Result, Settled, clock_time
from hub.log import cleaned
from hub.policy import Unmapped, as_agreed, flags_of, licenses_for
from hub.ports import Found, Gone, PurchaseSource, SeeOther, Unsupported, Waiting
from hub.reconcile.changes import make_so
from hub.reconcile.creates import until_nothing_is_missing, with_lines
from hub.reconcile.customers import ensure_customer, find_customer, known_customer
from hub.reconcile.entitlements import look_at_licensing
from hub.reconcile.look import Look, Observed, Seen, Shop, Window, assembled, recall
from hub.reconcile.wording import license_in_words
from hub.store import records, schema, subjects
from hub.store.records import Brief, Link, Memory, Observation, UnmappedKeys
from hub.store.subjects import Along, Lease, Leased, folded

log = structlog.get_logger()
BUSY_S = 1.0
RECEIPT_OVERLAP_S = 5.0
NAMED = 3  # keys that no row names, in a sentence


@dataclass(frozen=True, slots=True)
class CameTo:
    """What a look came to (None: its lease was lost), further leases to free, and rows to write at its end."""

    result: Result | None
    further: tuple[Lease, ...] = ()
    along: tuple[Along, ...] = ()


def reconcile(shop: Shop, book: LeaseBook, leased: Leased, brief: Brief | None = None) -> CameTo:
    """Looks at one leased subject. `brief`: what the record had for it once it was leased; None: the look asks."""
    look = Look(shop, book, leased, Memory())
    because = leased.row["held_because"]
    result = Held(cause="by a person", reason=because) if because else _guarded(look, brief)
    further = (look.customer_lease,) if look.customer_lease else ()
    return CameTo(result, further, () if shop.observe else tuple(look.along))


def briefs(shop: Shop, batch: Sequence[Leased]) -> Mapping[Ref, Brief]:
    """What the record has for each of them, read together: one at a time it takes as long as all of them.

    Read before any vendor is asked, so a body that is not in it makes its subject due again.
    """
    try:
        with shop.store.read() as conn:
            return records.brief(conn, {one.ref: _since(shop, one) for one in batch})
    except Exception:  # one bad row must not stop the others: each look asks for itself, and fails alone
        log.exception("look.not_briefed", count=len(batch))
        return {}


def _since(shop: Shop, leased: Leased) -> float:
    connector = shop.connectors.get(leased.ref.source)
    source, licensing = (connector.purchases, connector.licensing) if connector else (None, None)
    can_read = source.can_read if source else licensing is not None
    return float(leased.row["looked_at"] or 0) - RECEIPT_OVERLAP_S if can_read else 0.0


def _guarded(look: Look, brief: Brief | None) -> Result | None:  # noqa: PLR0911  (a table)
    """The one place where a look's errors become results."""
    try:
        return _look(look, brief)
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
        return failed_by(error)


def failed_by(error: Exception) -> Failed:
    """The result where a bug, or data that can't be written, broke a look off: told with its traceback."""
    trace = "".join(traceback.format_exception(error))
    return Failed(reason=cleaned(f"{type(error).__name__}: {error}"), trace=cleaned(trace))


def _wait_for(look: Look, window: Window) -> Later:
    now = look.leased.now()
    reason = f"checking whether {window.what} was created, until {clock_time(window.until)}"
    return Later(cause="window", reason=reason, delay_s=max(0.0, window.until - now), verify_s=None)


def _would(look: Look, acts: Sequence[str]) -> Result:
    """Reads only: what the look would have done is its summary."""
    return Settled(summary="would do: " + "; ".join(acts), facts=look.facts)


def _clock(look: Look, in_s: float) -> str:
    return clock_time(look.leased.now() + in_s)


def _look(look: Look, brief: Brief | None) -> Result:
    failpoint("look.leased", str(look.ref))
    source = look.connector.purchases
    if brief is None:
        with look.shop.store.read() as conn:
            brief = records.brief(conn, {look.ref: _since(look.shop, look.leased)})[look.ref]
    look.memory, look.moved_s, bodies = brief.memory, brief.moved_s, brief.bodies
    if source is None:
        return look_at_licensing(look, bodies)
    found = _see(look, source, bodies)
    failpoint("look.read", str(look.ref))
    match found:
        case SeeOther():
            return _told_by(look, found, source)
        case Gone(because=because):
            text = f"{because}; nothing was changed. If the sale is void, disable its license by hand."
            look.write(lambda conn: records.raise_review(conn, f"gone:{look.ref}", "gone", look.ref, text))
            return Settled(summary=f"{because}: left as it is, a review task is open")
        case Unsupported():
            return _park(look, found)
        case Waiting():
            return _waiting(look, source, found, bodies)
    return _compare(look, found, bodies)


def _told_by(look: Look, other: SeeOther, source: PurchaseSource) -> Settled:
    """The other subject is due, and will read this one too where it counts for good.

    The vendor's answer may lag its event here as well: so once more in a while.
    """
    refs = (other.ref, *other.also)

    def unit(conn: Connection) -> None:
        subjects.mark_due(conn, refs, cause="event", reason=f"{look.ref} points here")
        for ref in refs if other.keep else ():
            subjects.keep_about(conn, ref, look.ref)

    look.write(unit)
    again = source.can_read and look.leased.row["cause"] != "second look"
    return Settled(summary=f"told by {', '.join(map(str, refs))}", second_look=again)


def _see(look: Look, source: PurchaseSource, bodies: Sequence[bytes]) -> Seen:
    about = [Ref.parse(one) for one in look.leased.row["about"] or ()]
    if source.can_read:
        return look.call(lambda: source.fetch(look.ref, about))
    return assembled(look, source, look.ref, about, _fold(look, source, bodies))


def _fold(look: Look, source: PurchaseSource, bodies: Sequence[bytes]) -> list[Any]:
    """The newest version of each object that this subject's events ever brought; kept in the record."""
    with look.shop.store.read() as conn:
        kept = {one.id: one for one in records.stored_objects(conn, look.ref.source, look.ref)}
    versions: dict[str, list[Any]] = {id_: [one] for id_, one in kept.items()}
    for one in (one for body in bodies for one in source.stored(body)):
        versions.setdefault(one.id, []).append(one)
    newest = {id_: source.newest(many) for id_, many in versions.items()}
    if fresh := [one for id_, one in newest.items() if kept.get(id_) != one]:
        look.write(lambda conn: _store(conn, look.ref, fresh))
    return list(newest.values())


def _store(conn: Connection, ref: Ref, fresh: Sequence[Any]) -> None:
    """Keeps the objects, and wakes what is parked for want of them."""
    records.store_objects(conn, ref.source, ref, fresh)
    s = schema.subject.c
    waits = s.waiting_on.in_([one.id for one in fresh]) & (s.connection == ref.source) & (s.ref != str(ref))
    subjects.wake(conn, waits, cause="event", reason="what it waited for came in")


def _park(look: Look, found: Unsupported) -> Result:
    """Parked, unless what it waits for has come in since: first it says so, then it looks for it (see `_store`)."""
    on = found.on
    if on is None:
        return Parked(cause=found.cause, reason=found.because)
    where = schema.subject.c.ref == str(look.ref)
    look.write(lambda conn: conn.execute(schema.subject.update().where(where).values(waiting_on=on)))
    with look.shop.store.read() as conn:
        here = records.stored_object(conn, look.ref.source, on)
    if here is not None and look.leased.row["waiting_on"] != on:  # once: it may be here, and too old
        return Later(cause="waiting", reason=found.because, delay_s=0, waiting_on=on)
    return Parked(cause=found.cause, reason=found.because, waiting_on=on)


def _waiting(look: Look, source: PurchaseSource, waiting: Waiting, bodies: Sequence[bytes]) -> Result:
    """What can't be told yet waits for its event; a missing customer only a short while."""
    row, wait_s = look.leased.row, look.shop.timing.customer_wait
    if look.ref.kind == "customer":
        if not source.can_read:  # else nothing waits for it
            look.write(lambda conn: _wake_waiting(conn, {look.ref.id}))
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


def _compare(look: Look, found: Found, bodies: Sequence[bytes]) -> Result:
    purchase = as_agreed(found.purchase, look.memory.grants)
    _remember(look, found)
    look.facts = _facts(look, purchase)
    if purchase.standing is Standing.UNKNOWN:
        text = f"the status {purchase.status!r} is not known here; nothing was changed"
        look.write(lambda conn: records.raise_review(conn, f"status:{look.ref}", "unknown status", look.ref, text))
        return Settled(summary=text, facts=look.facts)
    order_ref, vendor = look.facts["order_ref"], look.connector.catalog_key
    wanted = licenses_for(purchase, order_ref, vendor, look.shop.rules, look.memory.paid, look.business_now())
    held = {one.entitlement.offering for one in look.memory.snapshots.values()}
    _tell_flags(look, flags_of(purchase, () if isinstance(wanted, Unmapped) else wanted, held))
    if isinstance(wanted, Unmapped):
        keys = wanted.keys
        look.write_along(records.put_unmapped, UnmappedKeys(subject=str(look.ref), keys=tuple(keys)))
        return Parked(cause="unmapped", reason=_unmapped(look, wanted), facts=look.facts)
    second = _needs_second_look(look, found, bodies)
    summary = _act_if_needed(look, purchase, wanted)
    if isinstance(summary, str):
        return Settled(summary=summary, second_look=second, verify_s=look.verify_s, facts=look.facts)
    return summary


def _remember(look: Look, found: Found) -> None:
    hash_ = look.observation = records.hash_of(found.seen)
    if hash_ != look.leased.row["saw"]:  # what the last look saw is kept
        look.write_along(records.observe, Observation(subject=str(look.ref), hash=hash_, seen=found.seen))
    failpoint("look.observed", str(look.ref))


def _facts(look: Look, purchase: Purchase) -> dict[str, Any]:
    return {
        "order_ref": references.reference(look.connector.ref, purchase.ref.id),
        "customer": references.reference(look.connector.ref, purchase.customer.id),
        "customer_name": purchase.customer.name,
        "customer_folded": folded(purchase.customer.name),
        "saw": look.observation,
    }


def _tell_flags(look: Look, flags: Sequence[Flag]) -> None:
    """A task for each flag; those that are no longer true are closed. Writes only where some are or were up."""
    up = {flag.kind for flag in flags}
    look.facts["flagged"] = ", ".join(sorted(up)) or None
    over = sorted(set((look.leased.row["flagged"] or "").split(", ")) - up - {""})
    if not over and not up:
        return

    def unit(conn: Connection) -> None:
        for flag in flags:
            records.raise_review(conn, f"{flag.kind}:{look.ref}", flag.kind, look.ref, flag.text)
        records.close_reviews(conn, look.ref, over)

    look.write(unit)


def _unmapped(look: Look, unmapped: Unmapped) -> str:
    told = [f"{unmapped.because}: mend the [[catalog]] rows"] if unmapped.because else []
    if keys := unmapped.keys[:NAMED]:
        more = f" and {len(unmapped.keys) - NAMED} more" if len(unmapped.keys) > NAMED else ""
        rows = ", ".join(f'{look.connector.catalog_key} = "{key}"' for key in keys)
        each = "a [[catalog]] row with" if len(unmapped.keys) == 1 else "[[catalog]] rows with"
        told.append(f"no catalog row names {', '.join(keys)}{more}: add {each} {rows}")
    return "; ".join(told) + ", and restart"


def _needs_second_look(look: Look, found: Found, bodies: Sequence[bytes]) -> bool:
    """Whether the vendor's answer may lag its own events; skipped only where it already contains them all."""
    source = look.connector.purchases
    if source is None or not source.can_read or look.leased.row["cause"] == "second look":
        return False
    return not all(source.contains(found.seen, body) for body in bodies)


def _act_if_needed(look: Look, purchase: Purchase, wanted: tuple[License, ...]) -> str | Result:
    if purchase.standing is Standing.PENDING:
        return f"nothing is granted yet: the purchase is {purchase.status}"
    if look.memory.given and not look.memory.snapshots and not any(one.enabled for one in wanted):
        return f"over; its license is carried on by {', '.join(sorted(set(look.memory.given.values())))}"
    # Of an ended purchase that it never saw, the record can't say that nothing is held: it may be a restored one.
    if not _must_read(look) and look.memory.snapshots and _agrees(look, wanted):
        return "nothing to change: the license is what the purchase says"
    link = known_customer(look, purchase)
    if link is None and not any(one.enabled for one in wanted):
        link = find_customer(look, purchase, purchase.customer.customer_ref or look.facts["customer"])
    if link is None and not any(one.enabled for one in wanted):
        return f"nothing to license: the purchase is {purchase.status}"
    return _act(look, purchase, wanted, link)


def _must_read(look: Look) -> bool:
    """A sweep and a second look trust the snapshot; whoever has a doubt, or was asked to look, reads."""
    row = look.leased.row
    look.must_search = look.memory.doubt or row["verify_at"] is not None
    return look.must_search or row["cause"] not in {"second look", "sweep", "replay"}


def _agrees(look: Look, wanted: tuple[License, ...]) -> bool:
    held = [with_lines(look.memory, one.entitlement) for one in look.memory.snapshots.values()]
    plan = d.pair(wanted, held, {})
    return not plan.missing and not d.decide(plan)


def _act(look: Look, purchase: Purchase, wanted: tuple[License, ...], link: Link | None) -> str | Result:
    account_ref = link.account_ref if link else purchase.customer.customer_ref or look.facts["customer"]
    look.customer_lease = look.book.take(f"customer:{account_ref}")
    if look.customer_lease is None:
        return Later(cause="busy", reason="another purchase of this customer is being worked on", delay_s=BUSY_S)
    _know_what_was_given(look)
    offerings = _offerings(look, wanted)
    if missing := [one.offering for one in wanted if one.offering not in offerings]:
        reason = f"Zentitle2 has no offering with the SKU {missing[0]!r}: create it, or map the sale to another SKU"
        return Parked(cause="unmapped", reason=reason, facts=look.facts)
    if look.shop.observe and find_customer(look, purchase, account_ref) is None:
        raise Observed([f"customer {account_ref} found or created", *map(license_in_words, wanted)])
    fresh = ensure_customer(look, purchase, account_ref)
    held, plan = until_nothing_is_missing(look, purchase, wanted, offerings, fresh=fresh)
    return make_so(look, purchase, held, plan)


def _know_what_was_given(look: Look) -> None:
    """What another purchase took over since this look began is not this one's any more; the lease ends that race."""
    with look.shop.store.read() as conn:
        given = records.given_by(conn, look.ref)
    if given != look.memory.given.keys():
        recall(look)


def _offerings(look: Look, wanted: tuple[License, ...]) -> Mapping[str, Offering]:
    licensing = look.shop.licensing
    offerings = look.call(licensing.offerings)
    if all(one.offering in offerings for one in wanted):
        return offerings
    return look.call(lambda: licensing.offerings(refresh=True))
