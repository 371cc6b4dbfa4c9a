"""Why is this entitlement so? For every field: purchase line, observation, rule, call and answer, with their times.

Answers from the record alone, for the command line and the console. Times are epoch seconds (machine time), or
ISO 8601 text where they are a license's own (expiry, paid until). Knows no vendor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from hub.asof import CREATES, FIELDS, SUCCEEDED, Then, sets, snapshot_at, written
from hub.domain import Json
from hub.retention import reaches_back
from hub.store import Store, subjects
from hub.store import schema as t

CHANGES_READ = 500
RECEIPTS_SHOWN = 5
RECEIPTS_WITHIN_S = 3600.0  # before the change that they led to: a look follows its events within a settle
WAS_SO = "it was so when the hub first read it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of what was seen that speaks of a line; `where` is its path in the whole."""

    where: str
    seen: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a look saw: content hash, when it was first seen so (None: pruned since), what it says of the lines."""

    hash: str
    seen_at: float | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseLine:
    """A line of the purchase as the record knows it."""

    id: str
    offering: str
    paid_until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A webhook that came in about this purchase."""

    id: int
    connection: str
    external_id: str
    type: str
    received_at: float
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to the vendor and what came back; `status` None: no answer. `error` where it was refused."""

    method: str | None = None
    path: str | None = None
    body: Json = None
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of the journal.

    outcome: done, found (its answer was lost, it had been done), begun (nobody knows yet), unknown, refused, held.
    """

    id: int
    look: str
    at: float
    cause: str
    action: str
    outcome: str
    wanted: Mapping[str, Any]
    found: Mapping[str, Any]
    call: Call | None
    catalog_version: str
    observation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A purchase that the entitlement belonged to, until another one carried it on at `until`."""

    purchase: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogVersion:
    """Catalog and policy as one version; `stored_at` is when the hub first started with it."""

    version: str
    stored_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldWhy:
    """Why one field is so.

    managed   False: nothing the hub knows decides this field
    by_hand   the value is not what the hub last wrote: somebody else changed it since
    change    the newest that set it; None: it was so when first read
    trouble   a newer one that was refused, is held, or whose outcome is not known
    """

    name: str
    value: Json
    sentence: str
    rule: str
    managed: bool
    by_hand: bool
    lines: tuple[PurchaseLine, ...]
    observation: Observation | None
    catalog: CatalogVersion
    change: Change | None
    trouble: Change | None
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An entitlement and the reasons of its fields. `others`: further entitlements that the same words name.

    reaches_back: from when on the journal tells all (epoch seconds); None: from its beginning.
    `at`: all of it is as the journal had it then; what the journal does not keep (seats used) is None.
    subject: the purchase that it belongs to; None where the hub knows of none. before: those that had it, newest first.
    """

    entitlement: str
    subject: str | None
    customer: str | None
    customer_id: str
    order_ref: str
    group: str
    activation_code: str | None
    offering: str
    status: str
    enabled: bool
    paid_until: str | None
    seats_used: int | None
    observation: Observation | None
    catalog: CatalogVersion
    read_at: float
    changed_at: float
    fields: tuple[FieldWhy, ...]
    changes: tuple[Change, ...]
    before: tuple[Before, ...] = ()
    others: tuple[str, ...] = ()
    reaches_back: float | None = None
    at: float | None = None


def why(store: Store, words: str, at: float | None = None) -> Explanation | None:
    """The explanation of the entitlement that `words` names; None where nobody knows it. Repeatable, reads only.

    Words: its id, its order reference, its activation code, or its subject (whole, or the last part).
    With `at` (epoch seconds) it is as the journal had it then, None where it had not been made yet.
    """
    with store.read() as conn:
        found = entitlements_called(conn, words.strip())
        return _explain(conn, found[0], tuple(found[1:]), at) if found else None


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON; machine times as ISO 8601 text in UTC."""
    return {name: _jsonable(name, value) for name, value in asdict(explanation).items()}


def entitlements_called(conn: Connection, words: str) -> list[str]:
    """Ids of the entitlements that `words` names, those that are on first."""
    e, i = t.entitlement, t.intent
    order_refs = select(i.c.key).where(i.c.activation_code == words.upper(), i.c.kind == "group")
    for where in (e.c.id == words, e.c.order_ref == words, e.c.order_ref.in_(order_refs)):
        if found := _ids(conn, where):
            return found
    refs = subjects.find(conn, words)
    carried_on = select(t.revival.c.entitlement).where(t.revival.c.old.in_(refs))
    return _ids(conn, e.c.subject.in_(refs)) or _ids(conn, e.c.id.in_(carried_on))


def _ids(conn: Connection, where: Any) -> list[str]:  # noqa: ANN401  (a SQL expression)
    stmt = select(t.entitlement.c.id).where(where).order_by(t.entitlement.c.enabled.desc(), t.entitlement.c.id)
    return list(conn.execute(stmt.limit(50)).scalars())


def _explain(conn: Connection, id_: str, others: tuple[str, ...], at: float | None) -> Explanation | None:
    now = conn.execute(select(t.entitlement).where(t.entitlement.c.id == id_)).one()
    before = _before(conn, id_)
    journal = _about(_journal(conn, [now.subject, *(one.purchase for one in before)]), now)
    row: Row[Any] | Then | None = now
    if at is not None:
        row = snapshot_at(now, journal, at)
        journal = [one for one in journal if one.at <= at]
        before = tuple(one for one in before if one.until <= at)
    if row is None:
        return None
    customer = conn.execute(select(t.subject.c.customer_name).where(t.subject.c.ref == row.subject)).scalar()
    reader = _Reader(conn, row, journal)
    paid = [line.paid_until for line in reader.lines.values() if line.paid_until]
    return Explanation(
        entitlement=row.id,
        subject=row.subject,
        customer=customer,
        customer_id=row.customer_id,
        order_ref=row.order_ref,
        group=row.group_id,
        activation_code=_code(conn, row.order_ref),
        offering=row.offering,
        status=row.body["status"],
        enabled=row.enabled,
        paid_until=max(paid, default=None) if at is None else None,
        seats_used=row.body["seats_used"] if at is None else None,
        observation=reader.observation(row.observation, tuple(reader.lines)),
        catalog=reader.catalog(row.catalog_version),
        read_at=row.read_at,
        changed_at=row.changed_at,
        fields=tuple(reader.field(name) for name in FIELDS if _is_told(name, row)),
        changes=tuple(_change(one) for one in journal),
        before=before,
        others=others,
        reaches_back=reaches_back(conn, "change"),
        at=at,
    )


def _is_told(name: str, row: Row[Any] | Then) -> bool:
    """A license without overdraft, of which no catalog row speaks, needs no word on it."""
    return name != "overdraft" or name in row.reasons or row.body["overdraft"] is not None


def _before(conn: Connection, id_: str) -> tuple[Before, ...]:
    stmt = select(t.revival).where(t.revival.c.entitlement == id_).order_by(t.revival.c.at.desc())
    return tuple(Before(purchase=row.old, until=row.at) for row in conn.execute(stmt))


def _journal(conn: Connection, purchases: Sequence[str | None]) -> Sequence[Row[Any]]:
    stmt = select(t.change).where(t.change.c.subject.in_(purchases)).order_by(t.change.c.id.desc())
    return conn.execute(stmt.limit(CHANGES_READ)).all()


def _about(journal: Sequence[Row[Any]], row: Row[Any]) -> list[Row[Any]]:
    """The changes of this entitlement, and the create that made it (under an offering that it once had)."""
    own = [one for one in journal if one.entitlement == row.id]
    offerings = {row.offering, *(one.found.get("offering") for one in own)}
    return [one for one in journal if one.entitlement == row.id or _makes(one, offerings)]


def _makes(change: Row[Any], offerings: set[str]) -> bool:
    skus = change.wanted.get("skus")  # a create that was found afterwards names none
    return change.action in CREATES and (skus is None or not offerings.isdisjoint(skus))


def _code(conn: Connection, order_ref: str) -> str | None:
    where = (t.intent.c.kind == "group", t.intent.c.key == order_ref)
    return conn.execute(select(t.intent.c.activation_code).where(*where)).scalar()


class _Reader:
    """What is read once for all fields of one entitlement."""

    def __init__(self, conn: Connection, row: Row[Any] | Then, journal: Sequence[Row[Any]]) -> None:
        self._conn, self._row, self._journal = conn, row, journal
        self._observations: dict[str, Row[Any] | None] = {}
        self._versions: dict[str, CatalogVersion] = {}
        grants = select(t.grant).where(t.grant.c.subject == row.subject).order_by(t.grant.c.line)
        self._grants = {
            one.line: PurchaseLine(id=one.line, offering=one.offering, paid_until=self._paid(one))
            for one in conn.execute(grants)
        }
        carried = set(row.body.get("lines") or ())
        self.lines = {id_: line for id_, line in self._grants.items() if id_ in carried}

    def _paid(self, grant: Row[Any]) -> str | None:
        """Until when a line is paid is known of now alone."""
        return None if isinstance(self._row, Then) else grant.paid_until

    def field(self, name: str) -> FieldWhy:
        """Why one field is so."""
        reason = self._row.reasons.get(name)
        change = self._newest(name, SUCCEEDED)
        trouble = self._newest(name, ("refused", "unknown", "begun", "held"))
        if change and trouble and trouble.id < change.id:
            trouble = None
        lines = tuple(reason["lines"]) if reason else tuple(self.lines)
        value = _value(self._row, name)
        by_hand = change is not None and _differs(name, written(change, name), value)
        seen = (change.observation if change else None) or self._row.observation
        version = change.catalog_version if change else self._row.catalog_version
        return FieldWhy(
            name=name,
            value=value,
            sentence=_sentence(name, reason, self._row.reasons, by_hand=by_hand),
            rule=reason["rule"] if reason else "",
            managed=reason is not None,
            by_hand=by_hand,
            lines=tuple(self._grants[id_] for id_ in lines if id_ in self._grants),
            observation=self.observation(seen, lines),
            catalog=self.catalog(version),
            change=_change(change) if change else None,
            trouble=_change(trouble) if trouble else None,
            receipts=self._receipts(change.at if change else self._row.changed_at),
        )

    def observation(self, hash_: str | None, lines: Iterable[str]) -> Observation | None:
        """The observation with this hash, and what it says of these lines."""
        if hash_ is None:
            return None
        row = self._observed(hash_)
        if row is None:
            return Observation(hash=hash_)
        return Observation(hash=hash_, seen_at=row.seen_at, parts=tuple(parts_of(row.seen, set(lines))))

    def catalog(self, version: str) -> CatalogVersion:
        """A catalog version with the time of its first use."""
        if version not in self._versions:
            at = select(t.catalog_version.c.stored_at).where(t.catalog_version.c.version == version)
            self._versions[version] = CatalogVersion(version=version, stored_at=self._conn.execute(at).scalar())
        return self._versions[version]

    def _observed(self, hash_: str) -> Row[Any] | None:
        if hash_ not in self._observations:
            whose = {self._row.subject, *(one.subject for one in self._journal)}  # of a former purchase too
            where = (t.observation.c.subject.in_(whose - {None}), t.observation.c.hash == hash_)
            self._observations[hash_] = self._conn.execute(select(t.observation).where(*where)).first()
        return self._observations[hash_]

    def _newest(self, name: str, outcomes: Sequence[str]) -> Row[Any] | None:
        """The newest change with one of these outcomes that set the field, or made the entitlement."""
        return next((one for one in self._journal if one.outcome in outcomes and sets(one, name)), None)

    def _receipts(self, at: float) -> tuple[Receipt, ...]:
        r = t.receipt.c
        stmt = (
            select(r.id, r.connection, r.external_id, r.type, r.received_at, r.outcome)
            .where(r.subject == self._row.subject, r.received_at.between(at - RECEIPTS_WITHIN_S, at))
            .order_by(r.id.desc())
            .limit(RECEIPTS_SHOWN)
        )
        return tuple(Receipt(**one._mapping) for one in self._conn.execute(stmt))  # noqa: SLF001  (its public name)


def parts_of(seen: Json, ids: set[str], where: str = "") -> Iterator[Part]:
    """The objects in `seen` that name one of `ids` in a field of their own."""
    match seen:
        case dict():
            if any(isinstance(value, str) and value in ids for value in seen.values()):
                yield Part(where=where, seen=seen)
                return
            for name, value in seen.items():
                yield from parts_of(value, ids, f"{where}.{name}".strip("."))
        case list():
            for number, value in enumerate(seen):
                yield from parts_of(value, ids, f"{where}[{number}]")


def _json(value: Any) -> Json:  # noqa: ANN401  (a JSON column's)
    return value  # type: ignore[no-any-return]


def _differs(name: str, written: Json, now: Json) -> bool:
    if written is None:
        return False
    if name == "expires_at" and isinstance(written, str) and isinstance(now, str):
        return _second(written) != _second(now)
    return written != now


def _second(moment: str) -> datetime:
    """At the precision that the vendor keeps."""
    return datetime.fromisoformat(moment).astimezone(UTC).replace(microsecond=0)


def _value(row: Row[Any] | Then, name: str) -> Json:
    return _json(row.enabled if name == "enabled" else row.body[name])


def _sentence(name: str, reason: Mapping[str, Any] | None, reasons: Mapping[str, Any], *, by_hand: bool) -> str:
    if by_hand:
        said = f"; the purchase says: {reason['because']}" if reason else ""
        return f"somebody else changed it after the hub had written it{said}"
    if reason:
        return str(reason["because"])
    if "offering" not in reasons and "enabled" in reasons:
        return f"left as it was: {reasons['enabled']['because']}"
    return "not the hub's to set: no catalog row speaks of it" if name == "overdraft" else WAS_SO


def _change(row: Row[Any]) -> Change:
    call = row.call
    return Change(
        id=row.id,
        look=row.look,
        at=row.at,
        cause=row.cause,
        action=row.action,
        outcome=row.outcome,
        wanted=row.wanted,
        found=row.found,
        call=Call(**{name: call.get(name) for name in Call.__dataclass_fields__}) if call else None,
        catalog_version=row.catalog_version,
        observation=row.observation,
    )


def _jsonable(name: str, value: Any) -> Any:  # noqa: ANN401  (JSON both ways)
    if isinstance(value, dict):
        return {inner: _jsonable(inner, one) for inner, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable("", one) for one in value]
    if isinstance(value, float) and (name in {"at", "until", "reaches_back"} or name.endswith("_at")):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
