"""What the console's pages read. Reads only; every list is paged by key on an index, every count has an end.

`Page.older` is the key to go on from, as text that `before` takes; None at the end. A count is at most COUNT_TO:
"10,000 or more" is all that a page needs to say, and what it costs does not grow with the record.
Every function takes the connection that it reads with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal, literal_column, or_, select, tuple_

from hub.store import records
from hub.store import schema as t
from hub.store import subjects as subject_rows
from hub.store.schema import db_now

PAGE = 50
COUNT_TO = 10_000
NAMES_TO = 50  # subjects that a search by name goes on with
OUTCOMES = ("accepted", "ignored", "quarantined", "dead", "conflict")
RARE = {"quarantined", "dead", "conflict"}
SCAN_TO = 20_000  # receipts that one page goes through
DAY_S = 86400.0
LOOKS = 60  # changes shown on one page of a timeline
PAYLOADS = 8
_ID = re.compile(r"[0-9]{1,18}")  # within 64 bits
_DOTTED = re.compile(r"\w+(\.\w+)+")  # what vendors' types look like: invoice.paid


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and where it goes on."""

    rows: Sequence[Row[Any]]
    older: str | None = None


# -- finding


def subjects_called(conn: Connection, words: str, refs: Iterable[str]) -> list[str]:
    """Subjects that `words` names: whole, by order or customer reference, else by how the customer's name begins.

    All that is on an index. Only where it finds nothing all are gone through: by last part, else by what is anywhere
    in a customer's name. `refs` are the connections' reference prefixes: most ids are found by order reference.
    """
    s, link = t.subject.c, t.customer_link.c
    known = [words, *(f"{ref}:{words}" for ref in refs)]
    aliases = select(link.alias).where(or_(link.account_ref == words, link.alias.in_(known)))
    accounts = select(link.account_ref).where(link.alias.in_(known))
    same_customer = select(link.alias).where(link.account_ref.in_(accounts))
    for where in (
        or_(s.ref == words, s.order_ref.in_(known)),
        or_(s.customer.in_(known), s.customer.in_(aliases), s.customer.in_(same_customer)),
    ):
        stmt = select(s.ref).where(where).order_by(s.changed_at.desc()).limit(NAMES_TO)
        if found := list(conn.execute(stmt).scalars()):
            return found
    if found := list(conn.execute(beginning_with(words)).scalars()):
        return found
    by_id = s.ref.like(f"%/{_escaped(words)}", escape="!")
    name = func.coalesce(s.customer_folded, func.lower(s.customer_name))
    named = name.like(f"%{_escaped(words.casefold())}%", escape="!")
    either = select(s.ref, by_id.label("by_id")).where(or_(by_id, named))  # one pass over all
    rows = conn.execute(either.order_by(by_id.desc(), s.changed_at.desc()).limit(NAMES_TO)).all()
    return [row.ref for row in rows if row.by_id] or [row.ref for row in rows]


def beginning_with(words: str) -> Select[Any]:
    """Subjects whose customer's name begins with `words`, whatever the case."""
    s, start = t.subject.c, subject_rows.folded(words)
    where = (s.customer_folded >= start, s.customer_folded < f"{start}\U0010ffff")
    return select(s.ref).where(*where).order_by(s.changed_at.desc()).limit(NAMES_TO)


def receipt_called(conn: Connection, words: str, connections: Iterable[str]) -> int | None:
    """The receipt with this event id."""
    where = (t.receipt.c.connection.in_(list(connections)), t.receipt.c.external_id == words)
    return conn.execute(select(t.receipt.c.id).where(*where).limit(1)).scalar()


# -- receipts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFilter:
    """Which receipts: those of which all of it is true. `subjects` None: of any, `id` None: every one."""

    connection: str = ""
    outcome: str = ""
    type: str = ""
    id: int | None = None
    subjects: tuple[str, ...] | None = None


def receipt_filter(
    conn: Connection, words: str, connection: str, outcome: str, known: Mapping[str, str]
) -> ReceiptFilter:
    """The filter for a search: an event id, else a subject or customer, else a type. `known`: connection -> ref."""
    every = ReceiptFilter(connection=connection, outcome=outcome)
    if not words:
        return every
    if (id_ := receipt_called(conn, words, known)) is not None:
        return replace(every, id=id_)
    if _DOTTED.fullmatch(words) and is_type(conn, words):
        return replace(every, type=words)
    return replace(every, subjects=tuple(subjects_called(conn, words, known.values())))


def is_type(conn: Connection, words: str) -> bool:
    """Whether any receipt is of this type."""
    return conn.execute(select(t.receipt.c.id).where(t.receipt.c.type == words).limit(1)).first() is not None


def receipts(conn: Connection, which: ReceiptFilter, before: str = "", *, limit: int = PAGE) -> Page:
    """Receipts, newest first, with what their subjects came to.

    At most SCAN_TO rows are gone through for one page: with two filters that hardly meet it may hold few rows, or
    none, and still have an `older`.
    """
    r = t.receipt.c
    ids, older = _receipt_ids(conn, which, before, limit)
    columns = (r.id, r.connection, r.external_id, r.type, r.subject, r.received_at, r.outcome, r.duplicates)
    stmt = _with_subject(select(*columns, r.reason.label("outcome_reason")))
    return Page(conn.execute(stmt.where(r.id.in_(ids)).order_by(r.id.desc())).all(), older)


def receipt(conn: Connection, id_: int) -> Row[Any] | None:
    """One receipt with body, headers and what its subject came to."""
    r = t.receipt
    stmt = _with_subject(select(*[c for c in r.c if c.name != "reason"], r.c.reason.label("outcome_reason")))
    return conn.execute(stmt.where(r.c.id == id_)).first()


def receipts_of(conn: Connection, ref: str, limit: int = 200) -> Sequence[Row[Any]]:
    """The newest receipts about a subject, without bodies."""
    r = t.receipt.c
    stmt: Select[Any] = select(r.id, r.type, r.external_id, r.received_at, r.outcome, r.duplicates)
    return conn.execute(stmt.where(r.subject == ref).order_by(r.id.desc()).limit(limit)).all()


def bodies(conn: Connection, ids: Iterable[int]) -> dict[int, bytes]:
    """Raw bodies by receipt; pruned ones are left out."""
    r = t.receipt.c
    rows = conn.execute(select(r.id, r.body).where(r.id.in_(list(ids)[:PAYLOADS]), r.body.is_not(None)))
    return {row.id: bytes(row.body) for row in rows}


def _with_subject(stmt: Select[Any]) -> Select[Any]:
    s = t.subject.c
    columns = (s.customer_name, s.state, s.cause, s.looked_at, s.summary, s.reason)
    return stmt.add_columns(*columns).select_from(t.receipt.outerjoin(t.subject, s.ref == t.receipt.c.subject))


def _receipt_ids(conn: Connection, which: ReceiptFilter, before: str, limit: int) -> tuple[list[int], str | None]:
    """Ids of one page, and where the next one begins. The most telling filter is asked of its index, newest first."""
    wanted = _wanted(which)
    scanned = _scanned(wanted[:1], before).subquery()
    rest = [_is(scanned.c, name, value) for name, value in wanted[1:]]
    stmt = select(scanned.c.id).where(*rest).order_by(scanned.c.id.desc()) if rest else _scanned(wanted, before)
    ids = list(conn.execute(stmt.limit(limit + 1)).scalars())
    if len(ids) > limit:
        return ids[:limit], str(ids[limit - 1])
    if not rest:
        return ids, None
    through, last = conn.execute(select(func.count(), func.min(scanned.c.id))).one()
    return ids, str(last) if through == SCAN_TO else None


def _scanned(wanted: Sequence[tuple[str, Any]], before: str) -> Select[Any]:
    """The newest SCAN_TO receipts of which this is true."""
    r = t.receipt.c
    conditions = [_is(r, name, value) for name, value in wanted]
    if any(
        name == "outcome" and value in RARE for name, value in wanted
    ):  # says it in the words of the partial index ix_receipt_odd
        conditions.append(r.outcome != literal_column("'accepted'"))
    if (newest := id_from(before)) is not None:
        conditions.append(r.id < newest)
    return select(r.id, r.connection, r.type, r.outcome).where(*conditions).order_by(r.id.desc()).limit(SCAN_TO)


def _wanted(which: ReceiptFilter) -> list[tuple[str, Any]]:
    """(column, value or tuple of values) that receipts must have, the one that fewest have first."""
    outcome = which.outcome if which.outcome in OUTCOMES else ""
    asked = (
        ("id", which.id),
        ("subject", which.subjects),
        ("outcome", outcome if outcome in RARE else ""),
        ("type", which.type),
        ("connection", which.connection),
        ("outcome", outcome if outcome not in RARE else ""),
    )
    return [(name, value) for name, value in asked if value not in ("", None)]


def _is(columns: Any, name: str, value: Any) -> ColumnElement[bool]:  # noqa: ANN401  (a table's columns; JSON)
    column: ColumnElement[Any] = columns[name]
    return column.in_(value) if isinstance(value, tuple) else column == value


# -- subjects


CHIPS = ("all", "due", "waiting", "parked", "held", "dead")


def _chip(chip: str) -> ColumnElement[bool]:
    s = t.subject.c
    match chip:
        case "due":
            return and_(s.state == "due", s.next_look <= db_now())
        case "waiting":
            return and_(s.state == "due", s.next_look > db_now())
        case "parked" | "held" | "dead":
            return s.state == chip
    return literal(True)


def chip_counts(conn: Connection) -> dict[str, int]:
    """How many subjects each chip shows, to COUNT_TO."""
    return {chip: _count(conn, select(t.subject.c.ref).where(_chip(chip))) for chip in CHIPS}


def subjects(
    conn: Connection, chip: str, refs: Sequence[str] | None, before: str = "", key: str = "", *, limit: int = PAGE
) -> Page:
    """Subjects, those that changed last first; due ones in the order in which they are looked at.

    `key`: only those that wait for this key of the catalog.
    """
    s = t.subject.c
    stmt = select(t.subject, db_now().label("now")).where(_chip(chip))
    if key:
        stmt = stmt.where(s.ref.in_(_waiting_for(key)))
    if refs is not None:
        stmt = stmt.where(s.ref.in_(refs))
    if chip in {"due", "waiting"}:
        return keyed(conn, stmt, (s.priority, s.next_look, s.ref), before, (int, float, str), limit=limit)
    return keyed(conn, stmt, (s.changed_at, s.ref), before, (float, str), newest_first=True, limit=limit)


def subject(conn: Connection, ref: str) -> Row[Any] | None:
    """One subject, with the database's `now`."""
    return conn.execute(select(t.subject, db_now().label("now")).where(t.subject.c.ref == ref)).first()


def approval(conn: Connection, ref: str) -> Row[Any] | None:
    """What waits, or waited, for approval."""
    return conn.execute(select(t.approval).where(t.approval.c.subject == ref)).first()


def changes(conn: Connection, ref: str, before: str = "") -> Page:
    """The journal of a subject, newest first."""
    c = t.change.c
    newest = id_from(before)
    stmt = select(t.change).where(c.subject == ref, *([c.id < newest] if newest is not None else []))
    rows = conn.execute(stmt.order_by(c.id.desc()).limit(LOOKS + 1)).all()
    return Page(rows[:LOOKS], str(rows[LOOKS - 1].id) if len(rows) > LOOKS else None)


def observations(conn: Connection, ref: str, hashes: Iterable[str | None]) -> dict[str, Row[Any]]:
    """Observations of a subject by hash."""
    wanted = [one for one in set(hashes) if one]
    rows = conn.execute(select(t.observation).where(t.observation.c.subject == ref, t.observation.c.hash.in_(wanted)))
    return {row.hash: row for row in rows}


# -- entitlements


def entitlements_of(conn: Connection, ref: str) -> Sequence[Row[Any]]:
    """The entitlements of a purchase."""
    return conn.execute(select(t.entitlement).where(t.entitlement.c.subject == ref).order_by(t.entitlement.c.id)).all()


def entitlements(
    conn: Connection, ids: Sequence[str] | None, refs: Sequence[str], before: str = "", *, limit: int = PAGE
) -> Page:
    """Entitlements, those that changed last first. `ids` None: all; else those, and those of the subjects `refs`."""
    e, stmt = t.entitlement.c, _entitlements()
    if ids is not None:
        stmt = stmt.where(or_(e.id.in_(ids), e.subject.in_(refs)))
    return keyed(conn, stmt, (e.changed_at, e.id), before, (float, str), newest_first=True, limit=limit)


def entitlements_of_customer(conn: Connection, customer: str, limit: int = 1000) -> Sequence[Row[Any]]:
    """The entitlements of a customer of the licensing system, by id."""
    e = t.entitlement.c
    return conn.execute(_entitlements().where(e.customer_id == customer).order_by(e.id).limit(limit)).all()


def _entitlements() -> Select[Any]:
    e = t.entitlement.c
    columns = (e.id, e.order_ref, e.subject, e.customer_id, e.offering, e.enabled, e.body, e.changed_at)
    joined = t.entitlement.outerjoin(t.subject, t.subject.c.ref == e.subject)
    return select(*columns, t.subject.c.customer_name).select_from(joined)


# -- approvals


def approvals(conn: Connection, state: str, before: str = "", *, limit: int = PAGE) -> Page:
    """What waits for approval, or was decided (`state`, or "all"), the oldest first."""
    a = t.approval.c
    stmt = select(t.approval) if state == "all" else select(t.approval).where(a.state == state)
    return keyed(conn, stmt, (a.created_at, a.subject), before, (float, str), limit=limit)


# -- the overview


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Receipts of the last day by outcome; `capped`: only the newest COUNT_TO of them."""

    received: int
    by_outcome: Mapping[str, int]
    capped: bool


def books(conn: Connection) -> Books:
    """What came in during the last day, and what became of it."""
    r = t.receipt.c
    newest = select(r.outcome).where(r.received_at > db_now() - DAY_S).order_by(r.received_at.desc()).limit(COUNT_TO)
    inner = newest.subquery()
    counted = conn.execute(select(inner.c.outcome, func.count()).group_by(inner.c.outcome)).all()
    by_outcome = dict.fromkeys(OUTCOMES, 0) | {row[0]: row[1] for row in counted}
    received = sum(by_outcome.values())
    return Books(received=received, by_outcome=by_outcome, capped=received >= COUNT_TO)


def last_receipt_at(conn: Connection, connection: str) -> float | None:
    """When a connection was last heard."""
    r = t.receipt.c
    stmt = select(r.received_at).where(r.connection == connection).order_by(r.id.desc()).limit(1)
    return conn.execute(stmt).scalar()


def anything_received(conn: Connection) -> bool:
    """Whether any receipt or subject is on record."""
    first = conn.execute(select(t.receipt.c.id).limit(1)).first()
    return first is not None or conn.execute(select(t.subject.c.ref).limit(1)).first() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """How much waits for a person, each to COUNT_TO."""

    held: int
    dead: int
    parked: int
    reviews: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.held + self.dead + self.parked + self.reviews


def needs(conn: Connection) -> Needs:
    """How much waits for a person."""
    counts = {chip: _count(conn, select(t.subject.c.ref).where(_chip(chip))) for chip in ("held", "dead", "parked")}
    return Needs(**counts, reviews=_count(conn, select(t.review.c.id).where(t.review.c.open)))


def waiting_for_a_person(conn: Connection, state: str, limit: int = 3) -> Sequence[Row[Any]]:
    """Some subjects in this state, the latest first."""
    s = t.subject.c
    stmt = select(t.subject).where(s.state == state).order_by(s.changed_at.desc()).limit(limit)
    return conn.execute(stmt).all()


def reviews(conn: Connection, ref: str | None = None, limit: int = 20) -> Sequence[Row[Any]]:
    """Open tasks for people, newest first; of one subject where `ref` is given."""
    v = t.review.c
    joined = t.review.outerjoin(t.subject, t.subject.c.ref == v.subject)
    stmt = select(t.review, t.subject.c.customer_name).select_from(joined).where(v.open)
    if ref is not None:
        stmt = stmt.where(v.subject == ref)
    return conn.execute(stmt.order_by(v.id.desc()).limit(limit)).all()


def review_page(conn: Connection, before: str = "") -> Page:
    """Open tasks for people, newest first."""
    v = t.review.c
    joined = t.review.outerjoin(t.subject, t.subject.c.ref == v.subject)
    stmt = select(t.review, t.subject.c.customer_name).select_from(joined).where(v.open)
    return keyed(conn, stmt, (v.id,), before, (int,), newest_first=True)


def review_of(conn: Connection, key: str) -> Row[Any] | None:
    """The open task of this key."""
    return conn.execute(select(t.review).where(t.review.c.key == key, t.review.c.open)).first()


def asked_again(conn: Connection) -> int:
    """How many that were dead and asked for are still to be looked at, to COUNT_TO."""
    return subject_rows.asked_again(conn, COUNT_TO)


def waiting_for_key(conn: Connection, key: str) -> int:
    """How many subjects wait for this key of the catalog, to COUNT_TO."""
    return _count(conn, _waiting_for(key))


def unnamed_of(conn: Connection, ref: str) -> Sequence[str]:
    """The keys that this subject waits for a row of the catalog for; none where it waits for none."""
    u = t.unmapped.c
    return conn.execute(_parked_for(u.key).where(u.subject == ref).order_by(u.key)).scalars().all()


def _waiting_for(key: str) -> Select[Any]:
    return _parked_for(t.subject.c.ref).where(t.unmapped.c.key == key)


def _parked_for(column: ColumnElement[Any]) -> Select[Any]:
    s = t.subject.c
    joined = t.unmapped.join(t.subject, s.ref == t.unmapped.c.subject)
    return select(column).select_from(joined).where(s.state == "parked", s.cause == "unmapped")


def seen_lately(conn: Connection, ref: str, limit: int = LOOKS) -> Sequence[Row[Any]]:
    """When looks first saw something new of a subject, newest first: hash and time."""
    o = t.observation.c
    stmt: Select[Any] = select(o.hash, o.seen_at).where(o.subject == ref)
    return conn.execute(stmt.order_by(o.id.desc()).limit(limit)).all()


def catalog_in_force(conn: Connection) -> Row[Any] | None:
    """The newest catalog version that a hub started with."""
    c = t.catalog_version.c
    current = select(t.cursor.c.value).where(t.cursor.c.name == "catalog").scalar_subquery()
    return conn.execute(select(t.catalog_version).where(c.version == current)).first()


def catalog_rows(conn: Connection) -> int:
    """How many rows the newest catalog has."""
    newest = select(t.catalog_version.c.body).order_by(t.catalog_version.c.stored_at.desc()).limit(1)
    body = conn.execute(newest).scalar() or {}
    return len(body.get("catalog") or [])


def now(conn: Connection) -> float:
    """The database's clock."""
    return subject_rows.now(conn)


def business_now(conn: Connection) -> float:
    """What the rules of trade take as now, epoch seconds: the database's clock, but where a sandbox moved it."""
    return now(conn) + records.clock_offset(conn)


# -- counting, paging


def id_from(text: str) -> int | None:
    """The row id that `text` spells; None where no row can have it."""
    return int(text) if _ID.fullmatch(text) else None


def _count(conn: Connection, stmt: Select[Any]) -> int:
    return int(conn.execute(select(func.count()).select_from(stmt.limit(COUNT_TO).subquery())).scalar_one())


def keyed(
    conn: Connection,
    stmt: Select[Any],
    key: Sequence[ColumnElement[Any]],
    before: str,
    types: Sequence[type],
    *,
    newest_first: bool = False,
    limit: int = PAGE,
) -> Page:
    """A page of `stmt` in the order of `key`, which is unique and on an index."""
    if (start := _parsed(before, types)) is not None:
        here, there = tuple_(*key), tuple_(*(literal(value) for value in start))
        stmt = stmt.where(here < there if newest_first else here > there)
    order = [column.desc() if newest_first else column for column in key]
    rows = conn.execute(stmt.order_by(*order).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Page(rows)
    last = rows[limit - 1]
    return Page(rows[:limit], "~".join(_text(getattr(last, str(column.key))) for column in key))


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _parsed(before: str, types: Sequence[type]) -> list[Any] | None:
    """The key that `before` spells; None where it spells none."""
    parts = before.split("~", len(types) - 1)
    if len(parts) != len(types):
        return None
    try:
        start = [type_(part) for type_, part in zip(types, parts, strict=True)]
    except ValueError:
        return None
    return None if any(isinstance(one, int) and id_from(str(one)) is None for one in start) else start


def _escaped(words: str) -> str:
    return words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
