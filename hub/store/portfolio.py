"""What lists show of seat use: one light row for each entitlement that was judged. No history is read for it.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from hub.store import schema as t
from hub.store.seats import in_parts
from hub.usage.portfolio import PAST, Level, Money, Standing, renewal_of
from hub.usage.signal import CALM, Confidence, Signal

SHORT_DAYS = 90  # a shorter term that renews itself is nobody's to talk about
WEEK = timedelta(weeks=1)
_S, _E, _G, _V, _W = t.signal.c, t.entitlement.c, t.grant.c, t.verdict.c, t.worth.c
PERPETUAL = _E.body["perpetual"].as_boolean()


def _paid(where: Any = None) -> Any:  # noqa: ANN401  (a condition and a subquery of SQL)
    """Until when entitlements are paid for, and how long their terms are; of those `where` holds of alone."""
    paid, renews = func.max(_G.paid_until).label("paid_until"), func.max(_G.renews_days).label("renews_days")
    stmt = select(_G.entitlement, paid, renews).where(_G.entitlement.is_not(None) if where is None else where)
    return stmt.group_by(_G.entitlement).subquery()


_PAID = _paid()


def as_of(conn: Connection) -> date | None:
    """The newest day that was judged; None where none was."""
    newest = conn.execute(select(func.max(_S.as_of))).scalar()
    return date.fromisoformat(newest) if newest else None


def standings(conn: Connection, today: date, days: int | None = None) -> list[Standing]:
    """All that was judged, without weeks; with `days` what is due within them (`Standing.is_due`).

    Terms under 90 days that renew themselves are left out, and what expired more than 30 days ago.
    """
    stmt = _rows().where(or_(_PAID.c.renews_days.is_(None), _PAID.c.renews_days >= SHORT_DAYS), _lives(today))
    stmt = stmt if days is None else stmt.where(_due(today, days))
    found = _standings(conn, stmt, today)
    return found if days is None else [one for one in found if one.is_due(days)]


def of_account(conn: Connection, id_: str, today: date) -> list[Standing]:
    """All that was judged of an account, short terms too; what has the most seats first.

    An entitlement without a customer is an account of its own.
    """
    mine = or_(_E.customer_id == id_, and_(_S.entitlement == id_, func.coalesce(_E.customer_id, "") == ""))
    return sorted(_standings(conn, _rows().where(mine), today), key=lambda one: (-one.seats, one.entitlement_id))


def judged(conn: Connection, today: date) -> list[Standing]:
    """Everything that was judged, short terms too, but for what expired more than 30 days ago."""
    return _standings(conn, _rows().where(_lives(today)), today)


def of_these(conn: Connection, ids: Sequence[str], today: date) -> dict[str, Standing]:
    """Those of these entitlements that were judged, but for short terms that renew themselves."""
    found: dict[str, Standing] = {}
    for part in in_parts(ids):
        paid = _paid(_G.entitlement.in_(part))
        stmt = _rows(paid).where(_S.entitlement.in_(part))
        stmt = stmt.where(or_(paid.c.renews_days.is_(None), paid.c.renews_days >= SHORT_DAYS))
        found |= {one.entitlement_id: one for one in _standings(conn, stmt, today, part)}
    return found


def weeks(conn: Connection, ids: Sequence[str]) -> dict[str, list[Level]]:
    """The weeks of these entitlements."""
    found: dict[str, list[Level]] = {}
    for part in in_parts(ids):
        for row in conn.execute(select(_S.entitlement, _S.weeks).where(_S.entitlement.in_(part))):
            found[row.entitlement] = [(level, seats) for level, seats in row.weeks or ()]
    return found


def account_refs(conn: Connection, customers: Iterable[str]) -> dict[str, str]:
    """What the licensing vendor calls these customers besides their ids."""
    c, found = t.customer_link.c, dict[str, str]()
    for part in in_parts(sorted(set(customers))):
        rows = conn.execute(select(c.zentitle_id, c.account_ref).where(c.zentitle_id.in_(part)).order_by(c.alias))
        found |= {row.zentitle_id: row.account_ref for row in rows}
    return found


def _rows(paid: Any = _PAID) -> Select[Any]:  # noqa: ANN401  (a subquery)
    """A row for each signal; what is not known of its entitlement is None."""
    return (
        select(
            *(_S.entitlement, _S.signal, _S.since, _S.confidence, _S.as_of, _S.sentence),
            *(_S.seats, _S.used, _S.used_before, _S.recommended_seats),
            *(_E.customer_id, _E.offering, _E.expires, PERPETUAL.label("perpetual")),
            *(t.subject.c.customer_name, paid.c.paid_until, paid.c.renews_days),
            *(_W.amount_minor, _W.currency, _W.owner),
        )
        .select_from(t.signal)
        .outerjoin(t.entitlement, _E.id == _S.entitlement)
        .outerjoin(t.subject, t.subject.c.ref == _E.subject)
        .outerjoin(paid, paid.c.entitlement == _S.entitlement)
        .outerjoin(t.worth, _W.entitlement == _S.entitlement)
    )


def _lives(today: date) -> Any:  # noqa: ANN401  (a condition of SQL)
    return or_(_E.expires.is_(None), _E.expires >= _midnight(today - timedelta(days=PAST)), PERPETUAL)


def _due(today: date, days: int) -> Any:  # noqa: ANN401  (a condition of SQL)
    """Near its renewal, or with a signal that asks for something: all that is due, and perhaps a perpetual one more."""
    first, after = today - timedelta(days=PAST), today + timedelta(days=days + 1)
    paid = and_(_PAID.c.paid_until >= first.isoformat(), _PAID.c.paid_until < after.isoformat())
    ends = and_(_E.expires >= _midnight(first), _E.expires < _midnight(after))
    return or_(_S.signal.not_in(sorted(CALM)), paid, and_(_PAID.c.paid_until.is_(None), ends))


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()


def _standings(conn: Connection, stmt: Select[Any], today: date, ids: Sequence[str] | None = None) -> list[Standing]:
    rows = conn.execute(stmt).all()
    news, names = _news(conn, today, ids), _names(conn, rows)
    return [_standing(row, news.get(row.entitlement, row.signal), names, today) for row in rows]


def _news(conn: Connection, today: date, ids: Sequence[str] | None) -> dict[str, str | None]:
    """Of what was told something else in the last week: what it had been told before."""
    stmt = select(_V.entitlement, _V.before).where(_V.day > (today - WEEK).isoformat()).order_by(_V.day)
    stmt = stmt if ids is None else stmt.where(_V.entitlement.in_(ids))
    return {row.entitlement: row.before for row in reversed(conn.execute(stmt).all())}


def _names(conn: Connection, rows: Sequence[Row[Any]]) -> Mapping[str, str]:
    """How customers are called: as their purchases say, else as the licensing vendor does."""
    named = {row.customer_id: row.customer_name for row in rows if row.customer_id and row.customer_name}
    return account_refs(conn, {row.customer_id for row in rows if row.customer_id} - named.keys()) | named


def _standing(row: Row[Any], was: str | None, names: Mapping[str, str], today: date) -> Standing:
    account = row.customer_id or row.entitlement
    return Standing(
        account_id=account,
        account=names.get(account) or account,
        entitlement_id=row.entitlement,
        offering=row.offering or row.entitlement,
        signal=Signal(row.signal),
        was=Signal(was) if was else None,
        since=date.fromisoformat(row.since),
        confidence=Confidence(row.confidence),
        sentence=row.sentence,
        as_of=date.fromisoformat(row.as_of),
        renewal=_renewal(row),
        seats=row.seats or 0,
        used=row.used,
        used_before=row.used_before,
        recommended_seats=row.recommended_seats,
        value=None if row.amount_minor is None else Money(amount_minor=row.amount_minor, currency=row.currency),
        owner=row.owner or "",
        today=today,
    )


def _renewal(row: Row[Any]) -> date | None:
    """When it is to be talked about; a short term that renews itself is not."""
    if row.renews_days is not None and row.renews_days < SHORT_DAYS:
        return None
    expires = datetime.fromtimestamp(row.expires, UTC).date() if row.expires is not None else None
    return renewal_of(perpetual=bool(row.perpetual), paid_until=row.paid_until, expires=expires)
