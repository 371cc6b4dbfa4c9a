"""What ends soon, and what has ended: told when business time passes 30, 7 and 1 days before, and the end itself.

Each once for an entitlement, an end and a number of days, whatever is run how often. An end that is moved nearer
than a reminder has that reminder no more. What is switched off is not reminded of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from hub.store import Store, records, stream, subjects
from hub.store.subjects import Lease
from hub.stream.events import Message, Reminder, iso, message_id

DAYS = (30, 7, 1, 0)
ENDS = {"expires": "entitlement", "maintenance_ends": "entitlement.maintenance"}  # column -> family of types
CURSOR = "reminders"
STEP = timedelta(hours=6)  # business time whose reminders one commit tells at most


def remind(store: Store, lease: Lease) -> int:
    """Tells what business time has passed since the last time; how many messages. Repeatable.

    The first time only notes the time: what was over before is no news. LeaseLost where it is another's turn.
    """
    done = 0
    while (told := _step(store, lease)) is not None:
        done += told
    return done


def _step(store: Store, lease: Lease) -> int | None:
    """One step further; None where nothing is left to tell."""
    with store.read() as conn:
        now = stream.business_now(conn)
        kept = records.get_cursor(conn, CURSOR)
        since = datetime.fromisoformat(kept[0]) if kept else now
        upto, told = since, list[Message]()
        while not told and upto < now:  # a stretch that tells nothing needs no commit of its own
            begun, upto = upto, min(now, upto + STEP)
            told = list(_between(conn, begun, upto))
    if kept and not told and now - since < STEP:
        return None

    def unit(conn: Connection) -> int:
        subjects.check(conn, lease)
        records.add_messages(conn, told)
        records.set_cursor(conn, CURSOR, upto.isoformat())
        return len(told)

    return store.write(unit)


def _between(conn: Connection, since: datetime, upto: datetime) -> Iterator[Message]:
    for column, family in ENDS.items():
        for days in DAYS:
            ahead = timedelta(days=days)
            rows = stream.ending(conn, column, (since + ahead).timestamp(), (upto + ahead).timestamp())
            yield from messages(rows, column, family, days)


def messages(rows: Sequence[Row[Any]], column: str, family: str, days: int) -> Iterator[Message]:
    """The reminders of these entitlements."""
    for row in rows:
        ends_at = datetime.fromtimestamp(getattr(row, column), UTC)
        yield Message(
            id=message_id(row.id, family, iso(ends_at), days),
            type=f"{family}.expiring" if days else f"{family}.expired",
            occurred_at=ends_at - timedelta(days=days),
            subject=row.subject or row.id,
            entitlement=row.id,
            data=Reminder(
                entitlement=row.id,
                customer=row.customer_id,
                order_ref=row.order_ref,
                purchase=row.subject,
                offering=row.offering,
                ends_at=iso(ends_at) or "",
                days=days,
            ),
        )
