"""What looks saw, wanted, did and know: observations, intents, grants, links, snapshots, changes, reviews.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from hub.domain import Entitlement, Json, Ref
from hub.ports import StoredObject
from hub.store import schema as t
from hub.store.codec import entitlement_from, entitlement_json, moment
from hub.store.schema import among, db_now
from hub.store.subjects import insert, now, upsert
from hub.stream.events import Message
from hub.stream.state import LISTED, Origin, messages

CLOCK_OFFSET = "clock.offset"
GUARD_WINDOW_S = 3600
BODIES = 2000  # of one subject, at most
MOST_LAPSED = 100  # of one customer: a reseller may have had thousands


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A create that was begun. `open`: nobody knows yet whether it was done."""

    kind: str
    key: str
    open: bool
    started_at: float
    tries: int
    activation_code: str | None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a look saw, by its content's hash."""

    subject: str
    hash: str
    seen: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedKeys:
    """Keys of a purchase that no catalog row names."""

    subject: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An entitlement as last seen, with the reasons of the newest look."""

    entitlement: Entitlement
    reasons: dict[str, Any]
    catalog_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that the record knows of one subject before a look."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    grants: dict[str, tuple[str | None, datetime | None]] = field(default_factory=dict)  # line -> entitlement, paid
    intents: dict[tuple[str, str], Intent] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)  # entitlement that it had -> the purchase that carries it on
    taken: dict[str, str] = field(default_factory=dict)  # entitlement that it carries on -> the purchase that had it

    @property
    def paid(self) -> dict[str, datetime]:
        """paid_until on record, by line."""
        return {line: paid for line, (_, paid) in self.grants.items() if paid}

    @property
    def doubt(self) -> bool:
        """Whether a create is open."""
        return any(intent.open for intent in self.intents.values())

    @property
    def groups(self) -> tuple[str, ...]:
        """Ids of the purchase's own groups that are known."""
        known = {one.entitlement.group_id for id_, one in self.snapshots.items() if id_ not in self.taken}
        for intent in self.intents.values():
            if intent.kind == "group" and not intent.open and intent.ids:
                known.add(intent.ids[0])
        return tuple(sorted(known))

    def is_new(self, one: Entitlement) -> bool:
        """Whether the hub has made it, and never yet said what it is to be: its terms are still the offering's own."""
        made = {id_ for intent in self.intents.values() for id_ in intent.ids}
        return one.id not in self.snapshots and not made.isdisjoint({one.id, one.group_id})

    def paid_for(self, entitlement: str) -> datetime | None:
        """Until when the lines that this entitlement carried were paid."""
        return max((paid for id_, paid in self.grants.values() if id_ == entitlement and paid), default=None)

    def lines_of(self, entitlement: str) -> tuple[str, ...]:
        """The purchase lines that an entitlement carries."""
        return tuple(sorted(line for line, (id_, _) in self.grants.items() if id_ == entitlement))


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What the record has for a look: its memory of the subject, and the receipts that came in lately."""

    memory: Memory
    bodies: tuple[bytes, ...] = ()
    moved_s: float = 0.0  # business time less machine time


def brief(conn: Connection, since: Mapping[Ref, float]) -> dict[Ref, Brief]:
    """For each subject its memory and the bodies of its accepted receipts since then, in six questions for all.

    Empty where there are too many bodies for one answer: then ask for one subject at a time.
    """
    limit = BODIES * 2 if len(since) > 1 else BODIES
    rows = _receipts_since(conn, since, limit)
    if len(rows) == limit and len(since) > 1:
        return {}
    bodies: dict[str, list[bytes]] = {}
    for subject, body in rows:
        bodies.setdefault(subject, []).append(body)
    memories = recall_all(conn, since)
    moved_s = clock_offset(conn)
    return {ref: Brief(memory=memories[ref], bodies=tuple(bodies.get(str(ref), ())), moved_s=moved_s) for ref in since}


# Statements of a look, made once: to build one anew costs several times what it takes to run.


def _bound(table: Any, *names: str) -> dict[str, Any]:  # noqa: ANN401  (a table)
    return {name: bindparam(name, type_=table.c[name].type) for name in names}


def _of_these(table: Any) -> Any:  # noqa: ANN401  (tables and statements)
    return select(table).where(among(table.c.subject, "subjects"))


_REVIVALS_OF = select(t.revival).where(among(t.revival.c.old, "subjects") | among(t.revival.c.new, "subjects"))
_GIVEN_BY = select(t.revival.c.entitlement).where(t.revival.c.old == bindparam("of"))
_SNAPSHOTS_OF, _GRANTS_OF, _INTENTS_OF = (_of_these(table) for table in (t.entitlement, t.grant, t.intent))
_THIS_INTENT = (t.intent.c.kind == bindparam("of_kind"), t.intent.c.key == bindparam("of_key"))
_FIND_INTENT = select(t.intent).where(*_THIS_INTENT)
_CLOSE_INTENT = update(t.intent).where(*_THIS_INTENT).values(open=False, closed_at=db_now())
_CLOSE_INTENT_WITH = _CLOSE_INTENT.values(ids=bindparam("made", type_=t.intent.c.ids.type))
_FIND_LINK = select(t.customer_link).where(t.customer_link.c.alias == bindparam("of"))
_CURSOR = select(t.cursor).where(t.cursor.c.name == bindparam("of"))
_BY_ID = select(t.entitlement).where(t.entitlement.c.id == bindparam("of")).with_for_update()
_ADD_CHANGE = (
    t.change.insert()
    .values(
        at=db_now(),
        **_bound(
            t.change,
            *("look", "subject", "entitlement", "action", "outcome", "wanted", "found", "call", "why", "cause"),
            *("catalog_version", "observation"),
        ),
    )
    .returning(t.change.c.id)
)
_END_CHANGE = (
    update(t.change)
    .where(t.change.c.id == bindparam("of"), t.change.c.outcome == "begun")
    .values(**_bound(t.change, "outcome", "call"))
)
_CLOSE_REVIEWS = (
    update(t.review)
    .where(
        t.review.c.subject == bindparam("of"),
        among(t.review.c.kind, "kinds"),
        t.review.c.open,
    )
    .values(open=False, closed_at=db_now())
)
_LAST_SWITCH = (
    select(t.change.c.action)
    .where(
        t.change.c.entitlement == bindparam("of"),
        t.change.c.action.in_(["Disable", "Enable"]),
        t.change.c.outcome.in_(["done", "unknown", "begun"]),
    )
    .order_by(t.change.c.id.desc())
    .limit(1)
)


_RECEIPTS_SINCE = {
    dialect: f"""
WITH due (ref, since) AS ({due})
SELECT r.subject, r.body FROM due CROSS JOIN receipt r
WHERE r.subject = due.ref AND r.received_at >= due.since AND r.outcome = 'accepted' AND r.body IS NOT NULL
ORDER BY r.id DESC LIMIT {most}
"""
    for dialect, due, most in (
        ("sqlite", "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)", "?"),
        ("postgresql", "SELECT * FROM unnest(%s::text[], %s::float8[])", "%s"),
    )
}


@cache
def _keep(names: frozenset[str]) -> Any:  # noqa: ANN401  (a statement)
    return update(t.entitlement).where(t.entitlement.c.id == bindparam("of")).values(**_bound(t.entitlement, *names))


@cache
def _add_messages(dialect: str) -> Any:  # noqa: ANN401  (a dialect's own Insert)
    return upsert(dialect, t.message).on_conflict_do_nothing()


@cache
def _observe(dialect: str) -> Any:  # noqa: ANN401  (a dialect's own Insert)
    values = _bound(t.observation, "subject", "hash", "seen")
    return upsert(dialect, t.observation).values(seen_at=db_now(), **values).on_conflict_do_nothing()


@cache
def _put_links(dialect: str) -> Any:  # noqa: ANN401  (a dialect's own Insert)
    return upsert(dialect, t.customer_link).on_conflict_do_nothing()


@cache
def _open_intent(dialect: str) -> Any:  # noqa: ANN401  (a dialect's own Insert)
    values = _bound(t.intent, "kind", "key", "subject", "fence", "activation_code")
    stmt = upsert(dialect, t.intent).values(open=True, started_at=db_now(), **values)
    new = stmt.excluded
    return stmt.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={
            "open": True,
            "started_at": new.started_at,
            "fence": new.fence,
            "subject": new.subject,
            "tries": t.intent.c.tries + 1,
            "activation_code": func.coalesce(t.intent.c.activation_code, new.activation_code),
        },
    ).returning(t.intent)


@cache
def _save_grants(dialect: str) -> Any:  # noqa: ANN401  (a dialect's own Insert)
    stmt = upsert(dialect, t.grant)
    new = stmt.excluded
    return stmt.on_conflict_do_update(
        index_elements=["subject", "line"],
        set_={
            "entitlement": func.coalesce(new.entitlement, t.grant.c.entitlement),
            "offering": new.offering,
            "paid_until": func.coalesce(new.paid_until, t.grant.c.paid_until),
            "renews_days": func.coalesce(new.renews_days, t.grant.c.renews_days),
        },
    )


def recall(conn: Connection, ref: Ref) -> Memory:
    """The record's memory of a subject."""
    return recall_all(conn, [ref])[ref]


def recall_all(conn: Connection, refs: Iterable[Ref]) -> dict[Ref, Memory]:
    """The record's memory of each subject."""
    memories = {str(ref): Memory() for ref in refs}
    of_these = {"subjects": list(memories)}
    for row in conn.execute(_SNAPSHOTS_OF, of_these):
        memories[row.subject].snapshots[row.id] = Snapshot(
            entitlement=entitlement_from(row.body), reasons=row.reasons, catalog_version=row.catalog_version
        )
    for row in conn.execute(_GRANTS_OF, of_these):
        memories[row.subject].grants[row.line] = (row.entitlement, moment(row.paid_until))
    for row in conn.execute(_INTENTS_OF, of_these):
        memories[row.subject].intents[row.kind, row.key] = _intent(row)
    _recall_revivals(conn, memories)
    return {ref: memories[str(ref)] for ref in refs}


def _recall_revivals(conn: Connection, memories: Mapping[str, Memory]) -> None:
    rows = conn.execute(_REVIVALS_OF, {"subjects": list(memories)}).all()
    for row in rows:
        if row.new in memories:
            memories[row.new].taken[row.entitlement] = row.old
        if row.old in memories:
            memories[row.old].given[row.entitlement] = row.new
    for memory in memories.values():
        for id_ in memory.given:  # carried on by one, and then by the next
            memory.taken.pop(id_, None)


def observe(conn: Connection, observations: Sequence[Observation]) -> None:
    """Keeps what looks saw, once per content."""
    rows = [{"subject": one.subject, "hash": one.hash, "seen": one.seen} for one in observations]
    conn.execute(_observe(conn.dialect.name), rows)


def put_unmapped(conn: Connection, subjects: Sequence[UnmappedKeys]) -> None:
    """These and no others are the keys that each subject waits for while it is parked as unmapped."""
    conn.execute(delete(t.unmapped).where(t.unmapped.c.subject.in_([one.subject for one in subjects])))
    rows = [{"subject": one.subject, "key": key} for one in subjects for key in one.keys]
    if rows:
        conn.execute(t.unmapped.insert(), rows)


def hash_of(seen: Mapping[str, Json]) -> str:
    """The content hash of an observation."""
    return hashlib.sha256(json.dumps(seen, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# -- intents


def open_intent(conn: Connection, kind: str, key: str, subject: Ref, fence: int, code: str | None) -> Intent:
    """Commits that a create is begun now. A code once given stays."""
    values = {"kind": kind, "key": key, "subject": str(subject), "fence": fence, "activation_code": code}
    return _intent(conn.execute(_open_intent(conn.dialect.name), values).one())


def promise_code(conn: Connection, ref: Ref, order_ref: str, code: str) -> str:
    """The activation code that the purchase's license has or will have; `code` where none was given before.

    What is told here stays: a license that is made carries it, and none of another purchase is handed over instead.
    """
    memory = recall(conn, ref)
    taken = [memory.snapshots[one].entitlement.order_ref for one in memory.taken if one in memory.snapshots]
    for key in (*taken, order_ref):
        if (known := find_intent(conn, "group", key)) and known.activation_code:
            return known.activation_code
    values = {"kind": "group", "key": order_ref, "subject": str(ref), "fence": 0, "activation_code": code}
    promise = upsert(conn.dialect.name, t.intent).values(open=False, tries=0, started_at=db_now(), **values)
    new = promise.excluded.activation_code
    stmt = promise.on_conflict_do_update(
        index_elements=["kind", "key"],
        set_={"activation_code": func.coalesce(t.intent.c.activation_code, new)},
    ).returning(t.intent.c.activation_code)
    return str(conn.execute(stmt).scalar_one())


def close_intent(conn: Connection, kind: str, key: str, ids: Sequence[str] | None) -> None:
    """The create is done (with its ids), or was not done and is given up (None)."""
    stmt = _CLOSE_INTENT if ids is None else _CLOSE_INTENT_WITH
    given = {} if ids is None else {"made": list(ids)}
    conn.execute(stmt, {"of_kind": kind, "of_key": key, **given})


def find_intent(conn: Connection, kind: str, key: str) -> Intent | None:
    """The intent of this create, whichever subject began it."""
    row = conn.execute(_FIND_INTENT, {"of_kind": kind, "of_key": key}).first()
    return _intent(row) if row else None


def _intent(row: Any) -> Intent:  # noqa: ANN401  (a row)
    return Intent(
        kind=row.kind,
        key=row.key,
        open=row.open,
        started_at=row.started_at,
        tries=row.tries,
        activation_code=row.activation_code,
        ids=tuple(row.ids or ()),
    )


# -- customers


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A Zentitle2 customer by one of its aliases."""

    account_ref: str
    zentitle_id: str


def find_link(conn: Connection, alias: str | None) -> Link | None:
    """The customer that `alias` names."""
    if not alias:
        return None
    row = conn.execute(_FIND_LINK, {"of": alias}).first()
    return Link(account_ref=row.account_ref, zentitle_id=row.zentitle_id) if row else None


def put_links(conn: Connection, links: Iterable[tuple[str, str, str]]) -> None:
    """Keeps (alias, account reference, customer id); the first link found stays."""
    rows = [{"alias": alias, "account_ref": ref, "zentitle_id": id_} for alias, ref, id_ in links]
    if rows:
        conn.execute(_put_links(conn.dialect.name), rows)


# -- entitlements, grants, changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What became of a snapshot. stale: the read began before the last accepted one ended, and was dropped.

    new: the entitlement was not on record. told: how many messages it gave.
    """

    stale: bool = False
    new: bool = False
    told: int = 0


def save_snapshot(
    conn: Connection,
    one: Entitlement,
    *,
    subject: Ref,
    reasons: Mapping[str, Any],
    version: str,
    observation: str | None,
    began: float | None,
) -> Saved:
    """Keeps an entitlement as its purchase's look leaves it; what differs goes into the stream with it.

    began: when the read that it comes from began (the database's clock); None: an act has just made it so.
    """
    link = {
        "subject": str(subject),
        "reasons": dict(reasons),
        "catalog_version": version,
        "observation": observation,
    }
    return _save(conn, one, link, str(subject), began)


def save_reading(conn: Connection, one: Entitlement, purchase: str | None, began: float) -> Saved:
    """Keeps an entitlement as it was read by itself, whoever it belongs to. `began` as in `save_snapshot`."""
    return _save(conn, one, {"subject": purchase}, purchase, began)


def save_listed(conn: Connection, one: Entitlement) -> None:
    """Keeps what a list row tells of an entitlement, where nothing of it is on record."""
    bare: dict[str, Any] = {"reasons": {}, "catalog_version": "", "subject": None}
    row = {"id": one.id, "read_at": 0.0, "changed_at": db_now(), **bare, **_columns(one)}
    conn.execute(insert(conn, t.entitlement).values(**row).on_conflict_do_nothing())


def _save(
    conn: Connection, one: Entitlement, link: Mapping[str, Any], purchase: str | None, began: float | None
) -> Saved:
    row = conn.execute(_BY_ID, {"of": one.id}).first()
    if row is None:
        if first := _first_sight(conn, one, link, purchase, act=began is None):
            return first
        row = conn.execute(_BY_ID, {"of": one.id}).one()
    if began is not None and began < row.read_at:
        conn.execute(_keep(frozenset(link)), {"of": one.id, **link})
        return Saved(stale=True)
    before, at = entitlement_from(row.body), now(conn)
    if not one.lines and "reasons" not in link:
        one = replace(one, lines=before.lines)
    values = {**_columns(one), **link, "read_at": at}
    told: tuple[Message, ...] = ()
    if replace(before, seats_used=one.seats_used) != one:
        values |= {"changed_at": at, "revision": row.revision + 1}
        ours = before.status == LISTED and _made_by_us(conn, one, purchase)
        origin = _origin(purchase, row.revision + 1, at, ours=ours, act=began is None or ours)
        told = messages(None if ours else before, one, origin)
    conn.execute(_keep(frozenset(values)), {"of": one.id, **values})
    add_messages(conn, told)
    return Saved(told=len(told))


def _first_sight(
    conn: Connection, one: Entitlement, link: Mapping[str, Any], purchase: str | None, *, act: bool
) -> Saved | None:
    """None: somebody else saw it first, at the same time (its vendor tells of it while a look still makes it)."""
    at, bare = now(conn), {"reasons": {}, "catalog_version": ""}
    made = {"id": one.id, "read_at": at, "changed_at": at}
    ours = _made_by_us(conn, one, purchase)
    row = insert(conn, t.entitlement).values({**bare, **_columns(one), **link, **made}).on_conflict_do_nothing()
    if conn.execute(row.returning(t.entitlement.c.id)).first() is None:
        return None
    told = messages(None, one, _origin(purchase, 1, at, ours=ours, act=act or ours))
    add_messages(conn, told)
    return Saved(new=True, told=len(told))


def _origin(purchase: str | None, revision: int, at: float, *, ours: bool, act: bool) -> Origin:
    return Origin(purchase=purchase, revision=revision, at=datetime.fromtimestamp(at, UTC), ours=ours, act=act)


def _columns(one: Entitlement) -> dict[str, Any]:
    ends = getattr(one, "maintenance_until", None)
    return {
        "group_id": one.group_id,
        "customer_id": one.customer_id,
        "order_ref": one.order_ref,
        "offering": one.offering,
        "enabled": one.enabled,
        "expires": one.expires_at.timestamp() if one.expires_at else None,
        "maintenance_ends": ends.timestamp() if ends else None,
        "body": entitlement_json(one),
    }


def _made_by_us(conn: Connection, one: Entitlement, purchase: str | None) -> bool:
    """Whether a create of the hub's made this entitlement: it has its id or group, or its lost answer named its SKU."""
    where = (t.intent.c.subject == purchase, t.intent.c.kind.in_(["group", "extend"]), t.intent.c.ids.is_not(None))
    return any(_made(row, one) for row in conn.execute(select(t.intent).where(*where)))


def _made(row: Row[Any], one: Entitlement) -> bool:
    if row.ids is None:
        return False
    lost = row.kind == "extend" and not row.ids and one.offering in row.key.rpartition("+")[2].split(",")
    return lost or not {one.id, one.group_id}.isdisjoint(row.ids)


def set_seats_used(conn: Connection, entitlement: str, seats_used: int) -> bool:
    """Keeps a new number of seats in use; False where it is the one on record, or nobody knows the entitlement.

    Nothing else of the snapshot is touched, not even when it was read.
    """
    mine = t.entitlement.c.id == entitlement
    body = conn.execute(select(t.entitlement.c.body).where(mine).with_for_update()).scalar()
    if body is None or body["seats_used"] == seats_used:
        return False
    conn.execute(update(t.entitlement).where(mine).values(body=body | {"seats_used": seats_used}))
    return True


def add_messages(conn: Connection, messages_: Iterable[Message]) -> None:
    """Puts these into the outbox; one that is there already stays as it is."""
    rows = [
        {
            "event_id": one.id,
            "type": one.type,
            "version": one.version,
            "occurred_at": one.occurred_at.timestamp(),
            "subject": one.subject,
            "entitlement": one.entitlement,
            "data": one.data.to_json(),
        }
        for one in messages_
    ]
    if rows:
        conn.execute(_add_messages(conn.dialect.name), rows)


def save_grants(
    conn: Connection,
    subject: Ref,
    rows: Iterable[tuple[str, str | None, str, datetime | None]],
    renews: Mapping[str, int],
) -> None:
    """Keeps (line, entitlement, offering, paid until) of a purchase's lines; `renews`: see policy.renews_days."""
    values = [
        {
            "subject": str(subject),
            "line": line,
            "entitlement": entitlement,
            "offering": offering,
            "paid_until": paid.isoformat() if paid else None,
            "renews_days": renews.get(line),
        }
        for line, entitlement, offering, paid in rows
    ]
    if not values:
        return
    conn.execute(_save_grants(conn.dialect.name), values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed:
    """An entitlement that the hub made and switched off, of which purchase, and until when that had paid for it."""

    entitlement: Entitlement
    purchase: str
    paid_until: datetime | None


def lapsed(conn: Connection, customer_id: str, but: Ref) -> list[Lapsed]:
    """What this customer has of other purchases than `but`: what the hub switched off first, the newest first.

    At most MOST_LAPSED. Left out: what a person switched off, what the hub did not make, and purchases with a create
    in doubt. What is still on may be of a purchase whose end was not looked at yet.
    """
    e = t.entitlement.c
    of = (e.customer_id == customer_id, e.subject.is_not(None), e.subject != str(but))
    newest = (e.enabled, e.changed_at.desc())
    rows = conn.execute(select(e.subject, e.body).where(*of).order_by(*newest).limit(MOST_LAPSED)).all()
    memories = recall_all(conn, {Ref.parse(row.subject) for row in rows})
    found = [(entitlement_from(row.body), row.subject, memories[Ref.parse(row.subject)]) for row in rows]
    return [
        Lapsed(entitlement=one, purchase=purchase, paid_until=memory.paid_for(one.id))
        for one, purchase, memory in found
        if not memory.doubt and (one.id in memory.taken or _made_by_us(conn, one, purchase))
        if one.enabled or switched_off_by_us(conn, one.id)
    ]


def hand_over(conn: Connection, entitlement: str, old: str, new: Ref) -> None:
    """From now on the entitlement belongs to the purchase `new`, and `old` lets go of it."""
    row = {"entitlement": entitlement, "old": old, "new": str(new), "at": db_now()}
    conn.execute(
        insert(conn, t.revival).values(**row).on_conflict_do_update(index_elements=["entitlement", "old"], set_=row)
    )
    conn.execute(update(t.entitlement).where(t.entitlement.c.id == entitlement).values(subject=str(new)))


def given_by(conn: Connection, ref: Ref) -> set[str]:
    """The entitlements that this purchase has let go of."""
    return set(conn.execute(_GIVEN_BY, {"of": str(ref)}).scalars())


def add_change(conn: Connection, **values: Any) -> int:  # noqa: ANN401  (columns of `change`)
    """Adds a row to the journal; its id."""
    return int(conn.execute(_ADD_CHANGE, values).scalar_one())


def end_change(conn: Connection, change_id: int, outcome: str, call: Json) -> None:
    """Says how a change that was begun ended, once."""
    conn.execute(_END_CHANGE, {"of": change_id, "outcome": outcome, "call": call})


def switched_off_by_us(conn: Connection, entitlement: str) -> bool:
    """Whether the last switch of this entitlement that the hub made, or began, was a disable."""
    return conn.execute(_LAST_SWITCH, {"of": entitlement}).scalar() == "Disable"


# -- stored objects (a source without an API key)


def stored_objects(conn: Connection, connection: str, ref: Ref) -> list[StoredObject]:
    """The newest stored version of each object of a subject."""
    where = (t.stored_object.c.connection == connection, t.stored_object.c.subject == str(ref))
    return [_stored(row) for row in conn.execute(select(t.stored_object).where(*where))]


def stored_object(conn: Connection, connection: str, object_id: str) -> StoredObject | None:
    """One stored object by its id."""
    where = (t.stored_object.c.connection == connection, t.stored_object.c.object_id == object_id)
    row = conn.execute(select(t.stored_object).where(*where)).first()
    return _stored(row) if row else None


def store_objects(conn: Connection, connection: str, ref: Ref, objects: Iterable[StoredObject]) -> None:
    """Keeps these versions in place of older ones."""
    for one in objects:
        values = {
            "subject": str(ref),
            "kind": one.kind,
            "body": one.body,
            "created": one.created,
            "event_id": one.event_id,
            "event_type": one.event_type,
            "previous": one.previous,
        }
        stmt = insert(conn, t.stored_object).values(connection=connection, object_id=one.id, **values)
        conn.execute(stmt.on_conflict_do_update(index_elements=["connection", "object_id"], set_=values))


def _stored(row: Any) -> StoredObject:  # noqa: ANN401  (a row)
    return StoredObject(
        id=row.object_id,
        kind=row.kind,
        body=row.body,
        created=row.created,
        event_id=row.event_id,
        event_type=row.event_type,
        previous=row.previous,
    )


def _receipts_since(conn: Connection, since: Mapping[Ref, float], limit: int) -> Sequence[tuple[str, bytes]]:
    """(subject, body) of accepted receipts, the newest `limit`, oldest first.

    What is older was folded into stored objects by earlier looks.
    """
    refs, moments = list(map(str, since)), list(map(float, since.values()))
    sqlite = conn.dialect.name == "sqlite"
    values = (json.dumps(list(zip(refs, moments, strict=True))),) if sqlite else (refs, moments)
    # By the driver: in PostgreSQL's binary form a body takes two thirds of the time.
    cursor = conn.connection.cursor(**({} if sqlite else {"binary": True}))
    rows = cursor.execute(_RECEIPTS_SINCE[conn.dialect.name], (*values, limit)).fetchall()
    cursor.close()
    return list(reversed(rows))


# -- people


def raise_review(conn: Connection, key: str, kind: str, subject: Ref | None, text: str) -> None:
    """A task for a person, once per `key`; a closed one that comes up again is opened again."""
    values = {"kind": kind, "subject": str(subject) if subject else None, "text": text, "open": True}
    stmt = insert(conn, t.review).values(key=key, created_at=db_now(), **values)
    conn.execute(stmt.on_conflict_do_update(index_elements=["key"], set_={**values, "closed_at": None}))


def close_review(conn: Connection, key: str) -> None:
    """The task of this key is closed, if it is there and open."""
    v = t.review.c
    conn.execute(t.review.update().where(v.key == key, v.open).values(open=False, closed_at=db_now()))


def close_reviews(conn: Connection, subject: Ref, kinds: Sequence[str]) -> None:
    """What these kinds of task asked for is no longer so."""
    conn.execute(_CLOSE_REVIEWS, {"of": str(subject), "kinds": list(kinds)})


def close_answered(conn: Connection, subjects: Iterable[Ref]) -> None:
    """What a change of its license answers is no longer asked of any of these."""
    for one in subjects:
        close_reviews(conn, one, ["seats in use", "gone", "unknown status"])


def guard_spent(conn: Connection, connection: str) -> tuple[int, int]:
    """(disables and shrinkings of the last hour, live entitlements) of a connection."""
    spent = select(func.count()).where(
        t.guard_spend.c.connection == connection, t.guard_spend.c.at > db_now() - GUARD_WINDOW_S
    )
    live = select(func.count()).where(t.entitlement.c.enabled, t.entitlement.c.subject.startswith(f"{connection}/"))
    return int(conn.execute(spent).scalar_one()), int(conn.execute(live).scalar_one())


def guard_spend(conn: Connection, connection: str, subject: Ref, count: int) -> None:
    """Counts `count` disables or shrinkings."""
    row = {"connection": connection, "subject": str(subject), "at": db_now()}
    for _ in range(count):
        conn.execute(t.guard_spend.insert().values(**row))


def approval(conn: Connection, subject: Ref) -> tuple[str, list[Any]] | None:
    """(state, acts) of the subject's approval."""
    row = conn.execute(select(t.approval).where(t.approval.c.subject == str(subject))).first()
    return (row.state, row.acts) if row else None


def put_approval(conn: Connection, subject: Ref, acts: list[Json], state: str) -> None:
    """What waits for approval, or what was done with it."""
    values = {"acts": acts, "state": state, "created_at": db_now(), "decided_at": None, "decided_by": None}
    stmt = insert(conn, t.approval).values(subject=str(subject), **values)
    conn.execute(stmt.on_conflict_do_update(index_elements=["subject"], set_=values))


def drop_approval(conn: Connection, subject: Ref) -> None:
    """Nothing waits for approval any more."""
    conn.execute(delete(t.approval).where(t.approval.c.subject == str(subject)))


def audit(
    conn: Connection, actor: str, origin: str, action: str, subject: str | None, detail: Mapping[str, Json]
) -> None:
    """Who did what, from where."""
    row = {"actor": actor, "origin": origin, "action": action, "subject": subject, "detail": dict(detail)}
    conn.execute(t.audit.insert().values(at=db_now(), **row))


# -- cursors


def get_cursor(conn: Connection, name: str) -> tuple[str, float] | None:
    """(value, when it was set) of a named cursor."""
    row = conn.execute(_CURSOR, {"of": name}).first()
    return (row.value, row.at) if row else None


def clock_offset(conn: Connection) -> float:
    """Seconds by which business time is ahead of machine time: 0, but in a sandbox (hub/business.py)."""
    moved = get_cursor(conn, CLOCK_OFFSET)
    return float(moved[0]) if moved else 0.0


def drop_cursor(conn: Connection, name: str) -> None:
    """Forgets a named cursor."""
    conn.execute(delete(t.cursor).where(t.cursor.c.name == name))


def set_cursor(conn: Connection, name: str, value: str) -> None:
    """Keeps a named cursor."""
    stmt = insert(conn, t.cursor).values(name=name, value=value, at=db_now())
    conn.execute(stmt.on_conflict_do_update(index_elements=["name"], set_={"value": value, "at": db_now()}))
