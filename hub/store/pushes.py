"""What the CRM has of each record, and what became of the newest try.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, tuple_, update

from hub.ports import Outcome, PushResult
from hub.store.records import drop_cursor, get_cursor, raise_review
from hub.store.schema import crm_push, cursor, db_now, review
from hub.store.subjects import insert

KIND = "crm"  # of the review tasks
DONE = "crm pushed:"  # cursors: the business day of the newest push that left nothing for later
SOLD = "sold told:"  # cursors: up to which change (epoch seconds) each connection was told what became of its sales
_P = crm_push.c


def taken(conn: Connection, connection: str, younger_s: float) -> dict[tuple[str, str], str]:
    """The digest of what the CRM took within so many seconds, by (object, key)."""
    fresh = (_P.connection == connection) & _P.digest.is_not(None) & (_P.sent_at > db_now() - younger_s)
    rows = conn.execute(select(_P.object, _P.key, _P.digest).where(fresh))
    return {(row.object, row.key): row.digest for row in rows}


def sent(conn: Connection, connection: str) -> dict[tuple[str, str], str | None]:
    """The digest of what the CRM took last, however long ago, by (object, key); None where it is to be sent again."""
    rows = conn.execute(
        select(_P.object, _P.key, _P.digest).where(_P.connection == connection, _P.sent_at.is_not(None))
    )
    return {(row.object, row.key): row.digest for row in rows}


def forget(conn: Connection, connection: str, object_name: str, key: str) -> bool:
    """This record is sent again, however lately the CRM took it; False where it is to be already.

    By the next push, or where it is a line of a sale, as all sales are told anew: what stands there is left out again.
    """
    mine = (_P.connection == connection, _P.object == object_name, _P.key == key, _P.digest.is_not(None))
    drop_cursor(conn, f"{SOLD}{connection}")
    return conn.execute(update(crm_push).where(*mine).values(digest=None)).rowcount == 1


def due(conn: Connection, connections: Collection[str]) -> set[str]:
    """Those of these whose push is due."""
    c = cursor.c
    names = {f"{DONE}{one}": one for one in connections}
    done = conn.execute(select(c.name).where(c.name.in_(names))).scalars()
    return {*connections} - {names[one] for one in done}


def states(
    conn: Connection, places: Collection[tuple[str, str, str]]
) -> dict[tuple[str, str, str], tuple[bool, float | None]]:
    """(whether it is to be sent again, when the CRM took it last) of these (connection, object, key), where known."""
    place = tuple_(_P.connection, _P.object, _P.key)
    stmt = select(_P.connection, _P.object, _P.key, _P.digest, _P.sent_at).where(place.in_(sorted(places)))
    rows = conn.execute(stmt) if places else ()
    return {(row.connection, row.object, row.key): (row.digest is None, row.sent_at) for row in rows}


def keep(conn: Connection, connection: str, done: Sequence[tuple[PushResult, str | None]]) -> None:
    """Each result, with the digest of what was sent; what needs a person becomes a review task, or closes one."""
    for result, digest in done:
        _keep(conn, connection, result, digest if result.outcome.is_done else None)
        key = f"{KIND}:{connection}:{result.object}:{result.key}"
        if result.outcome.needs_a_person:
            raise_review(conn, key, KIND, None, _task(result))
        elif result.outcome.is_done:
            conn.execute(
                update(review).where(review.c.key == key, review.c.open).values(open=False, closed_at=db_now())
            )


def drop_lacks(conn: Connection, connection: str, still: Sequence[PushResult]) -> None:
    """Objects, fields and customers that were lacking and are not any more: their rows go, their review tasks close."""
    left = {(one.object, one.key) for one in still}
    lacking = (_P.key == "") | (_P.about == _P.object + "." + _P.key)  # an object, or a field that is a key
    of_these = _P.outcome.in_([Outcome.DEGRADED, Outcome.UNMATCHED, Outcome.AMBIGUOUS])
    gone = of_these | ((_P.outcome == Outcome.REFUSED) & lacking)
    for row in conn.execute(select(_P.object, _P.key).where(_P.connection == connection, gone)).all():
        if (row.object, row.key) in left:
            continue
        mine = (_P.connection == connection) & (_P.object == row.object) & (_P.key == row.key)
        conn.execute(crm_push.delete().where(mine))
        key = f"{KIND}:{connection}:{row.object}:{row.key}"
        conn.execute(update(review).where(review.c.key == key, review.c.open).values(open=False, closed_at=db_now()))


def told_no(conn: Connection, connection: str, why: str) -> None:
    """Nothing could be told to this CRM: a person is asked to look, until `told`."""
    text = f"{connection} was told nothing of seat use: {why} — `hub check` and the command's `doctor` say what to mend"
    raise_review(conn, f"{KIND}:{connection}:push", KIND, None, text)


def told(conn: Connection, connection: str) -> None:
    """The CRM could be told."""
    mine = (review.c.key == f"{KIND}:{connection}:push", review.c.open)
    conn.execute(update(review).where(*mine).values(open=False, closed_at=db_now()))


def make_due(conn: Connection, connection: str) -> bool:
    """The clock pushes to this CRM again, what it has already left out; False where it is due as it is."""
    if get_cursor(conn, f"{DONE}{connection}") is None:
        return False
    drop_cursor(conn, f"{DONE}{connection}")
    return True


def standing(conn: Connection, connection: str) -> Mapping[str, int]:
    """How many records stand how, by outcome."""
    stmt = select(_P.outcome, func.count()).where(_P.connection == connection).group_by(_P.outcome)
    return {outcome: int(count) for outcome, count in conn.execute(stmt)}


def _keep(conn: Connection, connection: str, result: PushResult, digest: str | None) -> None:
    told: dict[str, Any] = {
        "outcome": result.outcome,
        "reason": result.reason,
        "mend": result.mend,
        "about": result.about,
        "tried_at": db_now(),
    }
    sent = {"digest": digest, "sent_at": db_now()} if digest else {}
    stmt = insert(conn, crm_push).values(connection=connection, object=result.object, key=result.key, **told, **sent)
    conn.execute(stmt.on_conflict_do_update(index_elements=["connection", "object", "key"], set_={**told, **sent}))


def _task(result: PushResult) -> str:
    return f"{result.about or result.key}: {result.reason} — {result.mend}"
