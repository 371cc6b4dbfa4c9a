"""The look at a subject of the licensing vendor: an entitlement, a group, a customer. Reads, keeps, tells; never acts.

What somebody else changed in an entitlement of a purchase makes that purchase due: its own look repairs or reports.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from hub.domain import Entitlement, Ref, Told
from hub.lifecycle import Later, Parked, Result, Settled
from hub.reconcile.look import Look, Observed
from hub.store import records, snapshots, subjects
from hub.store.snapshots import Known
from hub.stream.state import LISTED, agrees, differences

BUSY_S, NEW_S = 1.0, 5.0
CHANGED = "changed in the licensing system"
HEARD = ("event", "busy")  # causes with which the webhooks alone may settle it; whoever else asks gets a read


def look_at_licensing(look: Look, bodies: Sequence[bytes]) -> Result:
    """One look at a subject of the licensing connection. `bodies`: its receipts since the last look, oldest first."""
    match look.ref.kind:
        case "entitlement":
            return _entitlement(look, bodies)
        case "group":
            return _of(look, lambda conn: snapshots.of_group(conn, look.ref.id))
        case "customer":
            return _of(look, lambda conn: snapshots.of_customer(conn, look.ref.id))
    return Parked(cause="unsupported", reason=f"a {look.ref.kind} of {look.ref.source} is nothing to look at")


def _entitlement(look: Look, bodies: Sequence[bytes]) -> Result:
    told = _told(look, bodies)
    with look.shop.store.read() as conn:
        known = snapshots.find(conn, look.ref.id)
        busy = snapshots.at_work(conn, known.purchase) if known else False
    if known and _is_echo(look, known, bodies, told):
        return _heard(look, told)
    if busy:
        return _wait()
    began = look.leased.now()
    licensing = look.shop.licensing
    now = look.call(lambda: licensing.entitlement(look.ref.id))
    if now is None:
        return _gone(look)
    return _keep(look, known, now, began, told)


def _told(look: Look, bodies: Sequence[bytes]) -> list[Told]:
    return [told for body in bodies if (told := look.shop.licensing.told(body)) is not None]


def _is_echo(look: Look, known: Known, bodies: Sequence[bytes], told: Sequence[Told]) -> bool:
    """Whether each webhook since the last look says something, and that it is on record already."""
    heard = bool(bodies) and len(told) == len(bodies) and look.leased.row["cause"] in HEARD
    says = all(one.fields or one.seats_used is not None for one in told)
    trusted = known.entitlement.status != LISTED or not any(one.fields for one in told)
    return heard and says and trusted and all(agrees(known.entitlement, one.fields) for one in told)


def _heard(look: Look, told: Sequence[Told]) -> Result:
    """No read: seats in use are in the webhook, the rest is an echo. A list row corrects what came out of order."""
    used = [one.seats_used for one in told if one.seats_used is not None]
    if used and not look.shop.observe:
        look.write(lambda conn: records.set_seats_used(conn, look.ref.id, used[-1]))
    return Settled(summary=f"{used[-1]} seats in use" if used else "echo of our own change")


def _wait(delay_s: float = BUSY_S) -> Later:
    return Later(cause="busy", reason="its purchase is being worked on", delay_s=delay_s)


def _gone(look: Look) -> Result:
    text = f"{look.ref.id} is not known in the licensing system; nothing was changed"
    review = (f"gone:{look.ref}", "gone", look.ref, text)
    if not look.shop.observe:
        look.write(lambda conn: records.raise_review(conn, *review))
    return Settled(summary=f"{text}, a review task is open")


def _keep(look: Look, known: Known | None, now: Entitlement, began: float, told: Sequence[Told]) -> Result:
    """Keeps what was read, unless a look of its purchase is at work or has read it since."""
    differs = list(differences(known.entitlement, now)) if known else []
    if look.shop.observe:
        raise Observed([f"snapshot of {now.id} kept" + (f" ({', '.join(differs)} differ)" if differs else "")])

    def unit(conn: Connection) -> Result:
        purchase = snapshots.purchase_of(conn, now)
        if snapshots.at_work(conn, purchase):
            return _wait(BUSY_S if known else NEW_S)  # a new one costs a read each time
        saved = records.save_reading(conn, now, purchase, began)
        if saved.stale:
            return _wait()
        if purchase and (differs or saved.new):
            reason = f"{CHANGED}: {', '.join(differs)} of {now.id}" if differs else f"{now.id} is new to the record"
            subjects.mark_due(conn, [Ref.parse(purchase)], cause=CHANGED, reason=reason)
        records.close_reviews(conn, look.ref, ["gone"])
        return _kept(look, now, differs, told, new=saved.new)

    return look.write(unit)


def _kept(look: Look, now: Entitlement, differs: Sequence[str], told: Sequence[Told], *, new: bool) -> Settled:
    """A webhook that says something else than the answer may be ahead of it: a second look tells."""
    summary = f"{', '.join(differs)} {CHANGED}" if differs else "as on record"
    ahead = not all(agrees(now, one.fields) for one in told) and look.leased.row["cause"] != "second look"
    return Settled(summary="first seen" if new else summary, second_look=ahead)


def _of(look: Look, ids: snapshots.Ids) -> Result:
    """Makes the known entitlements of a group or customer due."""
    with look.shop.store.read() as conn:
        refs = [Ref(source=look.ref.source, kind="entitlement", id=id_) for id_ in ids(conn)]
    if not refs:
        return Settled(summary="none of its entitlements is known yet")
    if not look.shop.observe:
        reason = f"{look.ref} was changed"
        look.write(lambda conn: subjects.mark_due(conn, refs, cause=look.ref.kind, reason=reason))
    return Settled(summary=f"{len(refs)} entitlements are looked at")
