"""An org as a source of purchases: won records, read with our own token. A `PurchaseSource` (hub/ports.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from connectors.fields import Reduced, text
from connectors.jsonsafe import loads
from connectors.salesforce import purchase
from connectors.salesforce.errors import MENDS
from connectors.salesforce.ids import SHORT, eighteen
from connectors.salesforce.settings import Settings
from connectors.salesforce.shapes import Reading, renewed, upward
from connectors.salesforce.webhook import moment
from hub.domain import Json, Purchase, Ref
from hub.errors import PermanentError, UnreadableError
from hub.ports import Changed, Found, Gone, SeeOther, StoredObject, Unsupported, Waiting

if TYPE_CHECKING:
    from connectors.salesforce.client import Client

LONGEST_CHAIN = 50  # renewals of renewals; a longer one goes in a circle
AT_ONCE = 100  # ids in a query: it must fit into an address
# A transaction shows when it commits, with a time from when it wrote (salesforce.com, getUpdated's latestDateCovered).
LATE = timedelta(minutes=10)
Row: TypeAlias = tuple[dict[str, Any], list[dict[str, Any]]]  # a record, its lines
ORG = "SELECT Id, IsSandbox FROM Organization LIMIT 1"


class SalesforcePurchases:
    """Sales of one org; `make` makes the client when something is first read."""

    def __init__(self, source: str, settings: Settings, make: Callable[[], Client]) -> None:
        self._source, self._settings, self._make = source, settings, make
        self._reading = Reading(settings)

    @property
    def can_read(self) -> bool:
        """True: an org is never known by what it sends alone."""
        return True

    @cached_property
    def client(self) -> Client:
        """The client to the org that is meant: PermanentError where it is another, or a sandbox for production."""
        client = self._make()
        check_org(client, self._settings)
        return client

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | SeeOther | Gone | Waiting | Unsupported:
        """The purchase, read now; two requests. Repeatable; RetryableError, PermanentError, UnreadableError.

        A line (and an order of a contract) is told by its record, a won renewal by the record at the root of its chain.
        """
        shape = self._reading.shape
        if name := next((name for name in shape.below if name.lower() == ref.kind), None):
            return self._of_part(ref, name)
        if ref.kind != shape.object.lower():
            return Unsupported(because=f"a {ref.kind} is nothing that this connection sells by (sells_by)")
        ids = [ref.id, *(one.id for one in about)]
        records = self._records(ids)
        for id_ in ids:
            if id_ not in records or records[id_]["deleted"]:
                return Gone(because=f"{shape.object} {id_} was deleted, or is not to be seen")
        record = records[ref.id]
        root = self._root(record)
        if root != ref.id and record["won"]:
            return SeeOther(ref=Ref(source=self._source, kind=ref.kind, id=root), keep=True)
        return purchase.found(self._source, record, [records[one.id] for one in about])

    def changes(self, since: datetime) -> Iterator[Changed]:
        """Records that are won, or whose stage moved, and lines of won ones, since then; deleted ones too.

        By SystemModstamp, which automation moves as well, from before `since`: equal stamps are read again.
        """
        client, shape = self.client, self._reading.shape
        client.check_budget()
        stamp = _literal(since - LATE)
        which = f" AND ({shape.is_won()} OR {shape.moved.format(since=stamp)})" if shape.moved else ""
        heads = f"SELECT Id, SystemModstamp FROM {shape.object} WHERE SystemModstamp >= {stamp}{which}"
        for row in client.query(f"{heads} ORDER BY SystemModstamp, Id", deleted=True):
            yield self._changed(str(row["Id"]), row)
        for name, parent in shape.below.items():
            won = shape.is_won(f"{parent.removesuffix('Id')}.")
            lines = f"SELECT {parent}, SystemModstamp FROM {name} WHERE SystemModstamp >= {stamp}"
            for row in client.query(f"{lines} AND {won} ORDER BY SystemModstamp, Id", deleted=True):
                yield self._changed(upward(row, parent) or "", row)

    def purchases(self) -> Iterator[Purchase]:
        """Every won record since `sold_since`, each with its renewals. Reads ids first, then a hundred at a time.

        One that can't be read is of unknown standing, so that a look at it says why; it keeps nobody from the others.
        """
        client, one, renews = self.client, self._reading.shape, self._settings.renews_field
        client.check_budget()
        names = ", ".join(filter(None, ("Id", renews)))
        rows = client.query(f"SELECT {names} FROM {one.object} WHERE {self._reading.listed()} ORDER BY Id")
        older = {eighteen(str(row["Id"])): _older(row, renews) for row in rows}
        for chains in _batched(_chains(older), AT_ONCE):
            client.check_budget()
            read = self._rows([id_ for chain in chains for id_ in chain])
            for chain in chains:
                if chain[0] in read:
                    yield self._listed([id_ for id_ in chain if id_ in read], read)

    def stored(self, body: bytes) -> Sequence[StoredObject]:  # noqa: ARG002  (the port's)
        """Nothing: what an org sends is a hint."""
        return ()

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """The last, for completeness: nothing is ever stored."""
        return versions[-1]

    def assemble(
        self,
        ref: Ref,
        objects: Sequence[StoredObject],  # noqa: ARG002  (the port's)
        find: Callable[[str], StoredObject | None],  # noqa: ARG002
    ) -> Found | SeeOther | Waiting | Unsupported:
        """Never asked: there are always credentials."""
        return Unsupported(because=f"{ref} must be read in the org", cause="needs_api_key")

    def recalled(self, seen: Mapping[str, Json]) -> Purchase:
        """The purchase that an observation stands for; UnreadableError where it is none."""
        return purchase.from_seen(self._source, seen)

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether what a look saw is as new as what this event tells of; False in any doubt."""
        record = seen.get("record")
        told = loads(body)
        try:
            told_at = moment(text(told, "occurred_at"))
            seen_at = moment(text(record, "stamp")) if isinstance(record, Mapping) else None
        except UnreadableError:
            return False
        # Stamps have no more than seconds that count: an equal one may be of a write before.
        return bool(told_at and seen_at and seen_at > told_at)

    def close(self) -> None:
        """Lets connections go."""
        if "client" in self.__dict__:
            self.client.close()

    # how

    def _of_part(self, ref: Ref, name: str) -> SeeOther | Gone | Waiting:
        shape = self._reading.shape
        parent = shape.below[name]
        rows = self.client.query(f"SELECT {parent} FROM {name} WHERE Id = '{_safe(ref.id)}'", deleted=True)
        row = next(rows, None)
        if row is None:
            return Gone(because=f"{name} {ref.id} is not to be seen")
        id_ = upward(row, parent)
        if id_ is None:
            return Waiting(because=f"{name} {ref.id} is of no {shape.object} yet")
        return SeeOther(ref=Ref(source=self._source, kind=shape.object.lower(), id=eighteen(id_)))

    def _listed(self, chain: Sequence[str], rows: Mapping[str, Row]) -> Purchase:
        try:
            record, *terms = (self._reading.reduced(*rows[id_]) for id_ in chain)
            return purchase.of_records(self._source, record, terms)
        except UnreadableError as error:
            refs = [Ref(source=self._source, kind=self._reading.shape.object.lower(), id=id_) for id_ in chain]
            return purchase.unread(refs, str(error))

    def _records(self, ids: Sequence[str]) -> dict[str, Reduced]:
        """Reduced records by id, deleted ones too."""
        return {id_: self._reading.reduced(*row) for id_, row in self._rows(ids).items()}

    def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """Records as they are, each with its lines, by id; deleted ones too."""
        reading, shape = self._reading, self._reading.shape
        found: dict[str, Row] = {}
        for start in range(0, len(ids), AT_ONCE):
            some = ", ".join(f"'{_safe(id_)}'" for id_ in dict.fromkeys(ids[start : start + AT_ONCE]))
            heads = list(self._query(reading.heads(f"Id IN ({some})"), deleted=True))
            lines: dict[str, list[dict[str, Any]]] = {}
            if shape.line_object:
                parent = shape.below[shape.line_object]
                for row in self._query(reading.lines(f"{parent} IN ({some})")):
                    lines.setdefault(str(upward(row, parent))[:SHORT], []).append(row)
            for head in heads:
                found[eighteen(str(head["Id"]))] = (head, lines.get(str(head["Id"])[:SHORT], []))
        return found

    def _query(self, soql: str, *, deleted: bool = False) -> Iterator[dict[str, Any]]:
        """As the client's; a field that is not there is named with what to do about it: its absence is no answer."""
        try:
            yield from self.client.query(soql, deleted=deleted)
        except PermanentError as error:
            if error.code != "INVALID_FIELD":
                raise
            hint = f'{MENDS["INVALID_FIELD"]}; or name another field in hub.toml, or "" where there is none'
            raise PermanentError(str(error), code=error.code, hint=hint) from error

    def _root(self, record: Reduced) -> str:
        """The first sale of the chain of renewals that the hub licenses; the record itself where it renews none."""
        seen = [str(record["id"])]
        while record["renews"] and not purchase.is_before(record):
            if record["renews"] in seen or len(seen) == LONGEST_CHAIN:
                raise UnreadableError(f"{seen[0]} renews itself, by way of {record['renews']}")
            older = self._records([record["renews"]]).get(record["renews"])
            if older is None or older["deleted"] or purchase.is_before(older):
                break
            record = older
            seen.append(str(record["id"]))
        return seen[-1]

    def _changed(self, id_: str, row: Mapping[str, Any]) -> Changed:
        at = moment(text(row, "SystemModstamp")) or datetime.now(UTC)
        ref = Ref(source=self._source, kind=self._reading.shape.object.lower(), id=eighteen(id_))
        return Changed(ref=ref, at=at)


def _older(row: Mapping[str, Any], renews: str) -> str | None:
    """What this record renews; None also where that can't be read: then reading the record says so."""
    try:
        return renewed(text(row, renews)) if renews else None
    except UnreadableError:
        return None


def _chains(older: Mapping[str, str | None]) -> list[list[str]]:
    """Each sale with the renewals that lead to it, from `id -> what it renews`; one that leads nowhere is by itself."""
    chains: dict[str, list[str]] = {}
    for id_ in older:
        root, steps = id_, 0
        while (before := older[root]) in older and before is not None and steps < LONGEST_CHAIN:
            root, steps = before, steps + 1
        chains.setdefault(root, [root])
        if id_ != root:
            chains[root].append(id_)
    return list(chains.values())


def _batched(chains: list[list[str]], size: int) -> Iterator[list[list[str]]]:
    return (chains[start : start + size] for start in range(0, len(chains), size))


def check_org(client: Client, settings: Settings) -> None:
    """PermanentError where this is not the org that is meant, or a sandbox where sales are to count, or the reverse."""
    row = next(client.query(ORG), None) or {}
    if settings.organization_id and str(row.get("Id"))[:SHORT] != settings.organization_id[:SHORT]:
        said = f"the credentials are of the org {row.get('Id')}, organization_id is {settings.organization_id}"
        raise PermanentError(said, code="another_org", hint="correct organization_id or base_url in hub.toml")
    if row.get("IsSandbox") is settings.livemode:
        what = "a sandbox" if row.get("IsSandbox") else "no sandbox"
        said = f"the org is {what}, and livemode is {str(settings.livemode).lower()}"
        raise PermanentError(said, code="livemode", hint="set livemode, or name the other org")


def _literal(at: datetime) -> str:
    """A time as SOQL has it, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _safe(id_: str) -> str:
    """An id that can be nothing else in a query."""
    if not id_.isalnum() or not id_.isascii():
        raise UnreadableError("an id of a record has letters and digits alone")
    return id_
