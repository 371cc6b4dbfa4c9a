"""What the board chooses, sorts and counts by, as rows of their own: kept beside what they are made from.

Nothing is decided by them: a row that is a moment old is only an old row. `catch_up` finds what changed by its time,
so that nobody who writes need think of the board. Every function takes the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, and_, case, delete, exists, func, literal, or_, select, tuple_

from hub.store import portfolio, records
from hub.store import schema as t
from hub.store.seats import in_parts
from hub.store.subjects import insert, now
from hub.usage.portfolio import (
    PAST,
    SPANS,
    Asked,
    Count,
    Page,
    Standing,
    Sum,
    Whole,
    idle_of,
    more_of,
    share_of,
    words_of,
    worth_of,
)
from hub.usage.signal import CALM, WORST_FIRST

UPTO = "board:upto"  # a cursor: everything that changed before this moment is told
MADE = "board:made"  # a cursor: when rows were made last
WALKED = "board:walked"  # a cursor: when everything was made anew
DAY_S = 86_400.0
UNSEEN_S = 60.0  # a change may be committed so long after the time that it bears
WEEK = timedelta(weeks=1)
NEVER = date.max
ANY_DAY = date(2000, 1, 1)  # rows do not depend on the day on which they are made
SUMMED = ("seats", "idle", "more", "amount_minor")
_B = t.standing.c
_S, _E, _V = t.signal.c, t.entitlement.c, t.verdict.c


def is_behind(conn: Connection) -> bool:
    """Whether something changed that the rows do not tell of yet."""
    kept = records.get_cursor(conn, UPTO)
    return conn.execute(_changed(float(kept[0]) if kept else 0.0).limit(1)).first() is not None


def catch_up(conn: Connection, most: int) -> bool:
    """Makes at most `most` rows anew whose entitlement changed since; whether there are more. Repeatable."""
    kept = records.get_cursor(conn, UPTO)
    since, at = (float(kept[0]) if kept else 0.0), now(conn)
    changed = conn.execute(_changed(since).limit(most + 1)).all()
    stamps: dict[str, float] = {}
    for row in changed[:most]:
        stamps[row.entitlement] = max(row.at, stamps.get(row.entitlement, 0.0))
    _make(conn, stamps)
    if len(changed) <= most:
        records.set_cursor(conn, UPTO, repr(at - UNSEEN_S))
    return len(changed) > most


def make_anew(conn: Connection, after: str, most: int) -> str:
    """Makes the rows of the next entitlements anew, for what changed without a time of its own, such as names.

    The last of these entitlements; "" where there are none after `after`: then `catch_up` need not look back.
    """
    stmt = select(_S.entitlement).where(_S.entitlement > after).order_by(_S.entitlement).limit(most)
    rows, at = conn.execute(stmt).all(), now(conn)
    if not rows:
        return ""
    _make(conn, dict.fromkeys((row.entitlement for row in rows), at))
    return str(rows[-1].entitlement)


def made_anew(conn: Connection, began: float) -> None:
    """Everything was made anew by a walk that began then."""
    records.set_cursor(conn, UPTO, repr(began - UNSEEN_S))
    records.set_cursor(conn, WALKED, "")


def walk_due(conn: Connection) -> bool:
    """Whether the last walk over everything is a day ago."""
    kept = records.get_cursor(conn, WALKED)
    return kept is None or now(conn) - kept[1] >= DAY_S


def _changed(since: float) -> Any:  # noqa: ANN401  (a statement)
    """Entitlements that changed since, with the time of it, if the board does not tell of it; one may come twice."""
    subject, worth = t.subject.c, t.worth.c
    by_sale = select(_E.id, subject.changed_at).join(t.subject, subject.ref == _E.subject)
    found = (
        select(_S.entitlement, _S.changed_at.label("at"))
        .where(_S.changed_at > since)
        .union_all(
            select(_E.id, _E.changed_at).where(_E.changed_at > since),
            by_sale.where(subject.changed_at > since),
            select(worth.entitlement, worth.read_at).where(worth.read_at > since),
        )
        .subquery()
    )
    judged = exists().where(_S.entitlement == found.c.entitlement)  # a join, and SQLite would begin with what is judged
    return (
        select(found.c.entitlement, found.c.at)
        .outerjoin(t.standing, _B.entitlement == found.c.entitlement)
        .where(judged, or_(_B.stamp.is_(None), _B.stamp < found.c.at))
    )


def _make(conn: Connection, stamps: dict[str, float]) -> None:
    if stamps:
        records.set_cursor(conn, MADE, repr(now(conn)))
    for part in in_parts(sorted(stamps)):
        standings = portfolio.of_these(conn, part, ANY_DAY)
        conn.execute(delete(t.standing).where(_B.entitlement.in_(part)))
        told, leave = _told(conn, part), _leave(conn, part)
        rows = [
            {**_row(one), **told.get(id_, {}), "leaves": leave.get(id_), "stamp": stamps[id_]}
            for id_, one in standings.items()
        ]
        if rows:
            conn.execute(insert(conn, t.standing), [{"told_on": None, "told_before": None, **row} for row in rows])


def _row(one: Standing) -> dict[str, Any]:
    return {
        "entitlement": one.entitlement_id,
        "offering": one.offering,
        "words": words_of(one),
        "named": one.account.casefold(),
        "signal": one.signal.value,
        "gravity": WORST_FIRST.index(one.signal),
        "renewal": (one.renewal or NEVER).isoformat(),
        "share": share_of(one),
        "amount_minor": one.value.amount_minor if one.value else None,
        "amount": worth_of(one),
        "currency": one.value.currency if one.value else "",
        "owner": one.owner,
        "account": one.account_id,
        "seats": one.seats,
        "idle": idle_of(one),
        "more": more_of(one),
    }


def _told(conn: Connection, ids: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """When people were told something else last, and what they had been told a week before."""
    found: dict[str, dict[str, str | None]] = {}
    stmt = select(_V.entitlement, _V.day, _V.before).where(_V.entitlement.in_(ids)).order_by(_V.day.desc())
    for row in conn.execute(stmt):
        one = found.setdefault(row.entitlement, {"told_on": row.day, "told_before": row.before})
        if row.day > (date.fromisoformat(str(one["told_on"])) - WEEK).isoformat():
            one["told_before"] = row.before
    return found


def _leave(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The last days on which what ends is listed."""
    ends = select(_E.id, _E.expires).where(_E.id.in_(ids), _E.expires.is_not(None), ~portfolio.PERPETUAL)
    return {
        row.id: (datetime.fromtimestamp(row.expires, UTC).date() + timedelta(days=PAST)).isoformat()
        for row in conn.execute(ends)
    }


# -- a page


Counted: TypeAlias = list[tuple[Count, str]]  # with the owner
Kept: TypeAlias = dict[tuple[Any, ...], Counted]


def page(conn: Connection, today: date, asked: Asked, kept: Kept) -> Page:
    """What is due, as `asked` for: reads as many whole rows as are shown, and counts the others.

    `kept` has the counts of the newest rows, which are what takes its time; it is the caller's to keep, and is changed.
    """
    due = _due(today, asked.within)
    fits = and_(due, *_wanted(asked))
    signals = [] if asked.signals is None else [_B.signal.in_(sorted(asked.signals))]
    changed = [_is_news(today)] if asked.changed else []
    stmt = select(_B.entitlement).where(fits, *signals, *changed, *_after(conn, asked)).order_by(*_order(asked))
    ids = list(conn.execute(stmt if asked.most is None else stmt.limit(asked.most + 1)).scalars())
    shown = ids[: asked.most]
    whole = portfolio.of_these(conn, shown, today)
    version = (today, asked.within, *_version(conn))
    every = kept.get(version)
    if every is None:
        every = _counted(conn, due, today)
        kept.clear()
        kept[version] = every
    mine = [(one, owner) for one, owner in every if asked.owner in {"", owner}]
    fitting = _counted(conn, fits, today) if asked.words else mine
    return Page(
        rows=[whole[id_] for id_ in shown if id_ in whole],
        fitting=_together(fitting),
        due=_together(every),
        owners=sorted({owner for _, owner in every if owner}),
        more=len(ids) > len(shown),
    )


def _version(conn: Connection) -> tuple[Any, ...]:
    """What differs once a row was made or dropped."""
    return records.get_cursor(conn, MADE), conn.execute(select(func.count()).select_from(t.standing)).scalar()


def _listed(today: date) -> Any:  # noqa: ANN401  (a condition of SQL)
    return or_(_B.leaves.is_(None), _B.leaves >= today.isoformat())


def _due(today: date, within: int) -> Any:  # noqa: ANN401  (a condition of SQL)
    first, last = ((today + timedelta(days=days)).isoformat() for days in (-PAST, within))
    return and_(_listed(today), or_(_B.renewal.between(first, last), _B.signal.not_in(sorted(CALM))))


def _wanted(asked: Asked) -> list[Any]:
    found = [_B.owner == asked.owner] if asked.owner else []
    return [*found, _B.words.contains(asked.words.casefold(), autoescape=True)] if asked.words else found


def _is_news(today: date) -> Any:  # noqa: ANN401  (a condition of SQL)
    """People were told something else within a week, and it is not again what they had been told before."""
    return and_(_B.told_on > (today - WEEK).isoformat(), _B.told_before.is_distinct_from(_B.signal))


def _counted(conn: Connection, where: Any, today: date) -> Counted:  # noqa: ANN401  (a condition)
    """Counts of what is alike, with its owner."""
    days = [(last, (today + timedelta(days=last)).isoformat()) for last in SPANS]
    span = case(*[(_B.renewal <= day, last) for last, day in days], else_=None).label("span")
    news = case((_is_news(today), 1), else_=0).label("news")
    total = func.coalesce(func.sum(_B.amount_minor), 0).label("total")
    alike = (_B.signal, news, span, _B.currency, _B.owner)
    stmt = select(*alike, func.count().label("number"), total).where(where).group_by(*alike)
    return [
        (
            Count(
                signal=row.signal,
                changed=bool(row.news),
                span=row.span,
                currency=row.currency,
                rows=row.number,
                amount_minor=int(row.total),
            ),
            row.owner,
        )
        for row in conn.execute(stmt)
    ]


def _together(counted: Counted) -> list[Count]:
    """The counts of all owners together."""
    found: dict[tuple[str, bool, int | None, str], Count] = {}
    for one, _ in counted:
        key = (one.signal, one.changed, one.span, one.currency)
        held = found.get(key)
        rows, amount = (held.rows, held.amount_minor) if held else (0, 0)
        found[key] = replace(one, rows=rows + one.rows, amount_minor=amount + one.amount_minor)
    return list(found.values())


def _columns(order: str) -> tuple[Any, ...]:
    """As `sort_key` of hub.usage.portfolio."""
    named = (_B.named, _B.offering, _B.entitlement)
    match order:
        case "customer":
            return named
        case "signal":
            return (_B.gravity, -_B.amount, _B.entitlement)
        case "seats":
            return (_B.share, _B.entitlement)
        case "value":
            return (_B.amount, _B.entitlement)
        case _:
            return (_B.renewal, *named)


def _order(asked: Asked) -> list[Any]:
    return [column.desc() if asked.down else column.asc() for column in _columns(asked.order)]


def _after(conn: Connection, asked: Asked) -> list[Any]:
    """The condition that a row stands after the last one seen; none where that is not there any more."""
    columns = _columns(asked.order)
    seen = conn.execute(select(*columns).where(_B.entitlement == asked.after)).first() if asked.after else None
    if seen is None:
        return []
    here, there = tuple_(*columns), tuple_(*[literal(value) for value in seen])
    return [here < there if asked.down else here > there]


# -- all of it


KeptWhole: TypeAlias = dict[tuple[Any, ...], Whole]


def whole(conn: Connection, today: date, most: int, kept: KeptWhole) -> Whole:
    """Everything that is listed, in sums, and at most `most` of what people were told anew this week.

    `kept` has what was found last, which holds until a row changes; it is the caller's to keep, and is changed.
    """
    version = (today, most, *_version(conn))
    found = kept.get(version)
    if found is None:
        found = _whole(conn, today, most)
        kept.clear()
        kept[version] = found
    return found


def _whole(conn: Connection, today: date, most: int) -> Whole:
    listed = _listed(today)
    accounts = conn.execute(select(func.count(_B.account.distinct())).where(listed)).scalar() or 0
    news = select(_B.entitlement).where(listed, _is_news(today)).order_by(*_columns("signal")).limit(most)
    ids = list(conn.execute(news).scalars())
    shown = portfolio.of_these(conn, ids, today)
    return Whole(
        sums=_sums(conn, listed, today),
        accounts=int(accounts),
        moved=[shown[id_] for id_ in ids if id_ in shown],
        as_of=portfolio.as_of(conn),
    )


def _sums(conn: Connection, where: Any, today: date) -> list[Sum]:  # noqa: ANN401  (a condition)
    was = case((_B.told_on > (today - WEEK).isoformat(), _B.told_before), else_=_B.signal).label("was")
    alike = (_B.signal, was, _B.currency)
    totals = [func.coalesce(func.sum(_B[name]), 0).label(name) for name in SUMMED]
    stmt = select(*alike, func.count().label("rows"), *totals).where(where).group_by(*alike)
    return [
        Sum(
            signal=row.signal,
            was=row.was,
            currency=row.currency,
            rows=row.rows,
            **{name: int(getattr(row, name)) for name in SUMMED},
        )
        for row in conn.execute(stmt)
    ]
