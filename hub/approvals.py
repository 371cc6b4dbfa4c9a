"""What a person tells the hub: let go what the guard holds back, look now, leave this alone, this task is done.

Each leaves a row in `audit`, in the transaction of the deed. All may be repeated: the second time they say False
or only make due what is due already.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, select, update

from hub.domain import Json
from hub.store import Store, records, subjects
from hub.store.schema import approval, db_now, review, subject

BATCH = 500  # dead subjects made due in one transaction


def approve(store: Store, ref: str, actor: str, origin: str) -> bool:
    """Approves the acts that wait for this subject and makes it due now; False where nothing waits.

    The acts are derived anew by the look, and pass the guard only where they are those that were approved.
    """

    def unit(conn: Connection) -> bool:
        where = (approval.c.subject == ref, approval.c.state == "waiting")
        acts: Json = conn.execute(select(approval.c.acts).where(*where)).scalar()
        values = {"state": "approved", "decided_at": db_now(), "decided_by": actor}
        if conn.execute(update(approval).where(*where).values(**values)).rowcount != 1:
            return False
        subjects.wake(conn, subject.c.ref == ref, cause="approved", reason=f"approved by {actor}")
        records.audit(conn, actor, origin, "approve", ref, {"acts": acts})
        return True

    return store.write(unit)


def refuse(store: Store, ref: str, why: str, actor: str, origin: str) -> bool:
    """The acts that wait for this subject are not done, and it is held until it is released; False where none wait.

    Released, it is looked at anew; what is still to be taken away then waits for approval again.
    """
    because = f"{actor} refused what the guard held back" + (f": {why}" if why else "")

    def unit(conn: Connection) -> bool:
        where = (approval.c.subject == ref, approval.c.state == "waiting")
        values = {"state": "refused", "decided_at": db_now(), "decided_by": actor}
        acts: Json = conn.execute(select(approval.c.acts).where(*where)).scalar()
        if conn.execute(update(approval).where(*where).values(**values)).rowcount != 1:
            return False
        _put_on_hold(conn, subject.c.ref == ref, because)
        records.audit(conn, actor, origin, "refuse", ref, {"acts": acts, "why": why})
        return True

    return store.write(unit)


def ask_for_look(store: Store, ref: str, actor: str, origin: str) -> bool:
    """Makes a known subject due now, and gives a dead one fresh tries; False where nobody knows it."""

    def unit(conn: Connection) -> bool:
        if not subjects.wake(conn, subject.c.ref == ref, cause="asked", reason=f"{actor} asked for a look"):
            return False
        records.audit(conn, actor, origin, "look", ref, {})
        return True

    return store.write(unit)


def ask_for_the_dead(
    store: Store, until: float, actor: str, origin: str, most: int | None = None
) -> Iterator[list[str]]:
    """Makes what was dead at `until` (the database's clock) due, with fresh tries, behind live work.

    Yields the subjects of each batch once it is committed, with a row in the audit. Who stops in the middle has done
    what was yielded. At most `most`, the longest dead first; what died after `until` is left alone.
    """
    left = most
    while left is None or left > 0:
        limit = BATCH if left is None else min(BATCH, left)

        def unit(conn: Connection, limit: int = limit) -> list[str]:
            refs = subjects.dead(conn, until, limit)
            if not refs:
                return []
            still_dead = (subject.c.state == "dead") & subject.c.ref.in_(refs)
            reason = f"{actor} asked for a look at all that were dead"
            count = subjects.wake(conn, still_dead, cause=subjects.ASKED_AGAIN, reason=reason, priority=subjects.SWEEP)
            records.audit(conn, actor, origin, "look at the dead", None, {"subjects": count, "until": until})
            return refs

        refs = store.write(unit)
        if not refs:
            return
        left = None if left is None else left - len(refs)
        yield refs


def hold(store: Store, ref: str, why: str, actor: str, origin: str) -> bool:
    """No look does anything about this subject until it is released; False where it is held so, or not known.

    A look that is at work meanwhile ends what it has begun.
    """
    because = f"{actor} holds it" + (f": {why}" if why else "")

    def unit(conn: Connection) -> bool:
        if not _put_on_hold(conn, (subject.c.ref == ref) & subject.c.held_because.is_(None), because):
            return False
        records.audit(conn, actor, origin, "hold", ref, {"why": why})
        return True

    return store.write(unit)


def _put_on_hold(conn: Connection, where: ColumnElement[bool], because: str) -> bool:
    values = {
        "held_because": because,
        "state": "held",
        "cause": "by a person",
        "reason": because,
        "next_look": None,
        "marks": subject.c.marks + 1,  # so that a look at work does not write another state over it
        "changed_at": db_now(),
    }
    return conn.execute(update(subject).where(where).values(values)).rowcount == 1


def release(store: Store, ref: str, actor: str, origin: str) -> bool:
    """Ends a person's hold and makes the subject due now; False where there is none."""

    def unit(conn: Connection) -> bool:
        where = (subject.c.ref == ref, subject.c.held_because.is_not(None))
        if conn.execute(update(subject).where(*where).values(held_because=None)).rowcount != 1:
            return False
        subjects.wake(conn, subject.c.ref == ref, cause="asked", reason=f"{actor} released it")
        records.audit(conn, actor, origin, "release", ref, {})
        return True

    return store.write(unit)


def close_review(store: Store, review_id: int, actor: str, origin: str) -> bool:
    """Closes a task that is open; False where it is not."""

    def unit(conn: Connection) -> bool:
        values = {"open": False, "closed_at": db_now()}
        done = update(review).where(review.c.id == review_id, review.c.open).values(**values)
        row = conn.execute(done.returning(review.c.subject, review.c.key)).first()
        if row is None:
            return False
        records.audit(conn, actor, origin, "review done", row.subject, {"review": review_id, "key": row.key})
        return True

    return store.write(unit)
