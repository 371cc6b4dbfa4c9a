"""One look at work: what it is given, holds, saw and did."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from hub import limits
from hub.domain import Action, Applied, Json, Ref
from hub.failpoint import failpoint
from hub.leases import LeaseBook
from hub.policy import Rules
from hub.ports import Connector, Found, Gone, Licensing, PurchaseSource, SeeOther, StoredObject, Unsupported, Waiting
from hub.settings import Timing
from hub.store import Store, records, subjects
from hub.store.records import Memory
from hub.store.subjects import Along, Lease, Leased

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What looks need beside the subject. observe: read only, record what would be done."""

    store: Store
    connectors: Mapping[str, Connector]
    licensing: Licensing
    rules: Rules
    timing: Timing
    secret: bytes
    observe: bool = False


@dataclass(slots=True)
class Look:
    """One look at work: what it holds, saw and did."""

    shop: Shop
    book: LeaseBook
    leased: Leased
    memory: Memory
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    customer_lease: Lease | None = None
    customer_id: str = ""
    observation: str | None = None
    verify_s: float | None = None
    must_search: bool = False
    read_began: float = 0.0  # when what is held began to be read, on the database's clock
    written: dict[str, list[str]] = field(default_factory=dict)  # entitlement -> what was done, in words
    told: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    along: list[Along] = field(default_factory=list)  # written with the next write, at the latest with its end
    moved_s: float = 0.0  # business time less machine time

    @property
    def ref(self) -> Ref:
        """The subject."""
        return self.leased.ref

    @property
    def connector(self) -> Connector:
        """The connection that the subject belongs to."""
        return self.shop.connectors[self.ref.source]

    def business_now(self) -> datetime:
        """What the rules of trade take as now, in UTC: the database's clock, moved where this is a sandbox."""
        return datetime.fromtimestamp(self.leased.now() + self.moved_s, UTC)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The leases that this look writes under."""
        return (self.leased.lease, self.customer_lease) if self.customer_lease else (self.leased.lease,)

    def write(self, unit: Callable[[Connection], T]) -> T:
        """Writes under the leases; LeaseLost where one has passed on."""

        def checked(conn: Connection) -> T:
            subjects.check(conn, *self.leases)
            subjects.write_along(conn, along)
            return unit(conn)

        along = tuple(self.along)
        value = self.shop.store.write(checked)
        del self.along[: len(along)]
        return value

    def write_along(self, write: Callable[[Connection, Sequence[Any]], object], row: object) -> None:
        """Writes with the next write, at the latest with the look's end.

        Each change outside begins with a write (its intent), so all that was seen is on record before it; calls that
        only read are not waited for.
        """
        self.along.append((write, row))

    def flush(self) -> None:
        """Writes what is still to be written along."""
        if self.along:
            self.write(lambda _: None)

    def call(self, ask: Callable[[], T]) -> T:
        """An outside call, made only while the leases last: each request of it asks again when its turn has come."""
        self._check()
        with limits.asking(self._check):
            return ask()

    def _check(self) -> None:
        for lease in self.leases:
            self.book.check(lease)


class Window(Exception):
    """A create may or may not have been done: nothing is created before `until` (the database's clock)."""

    def __init__(self, what: str, until: float) -> None:
        self.what, self.until = what, until
        super().__init__(what)


class Observed(Exception):
    """Reads only: this is where the look would have written these."""

    def __init__(self, acts: Sequence[str]) -> None:
        self.acts = tuple(acts)
        super().__init__("; ".join(acts))


def assembled(look: Look, source: PurchaseSource, ref: Ref, about: Sequence[Ref], own: Sequence[StoredObject]) -> Seen:
    """What stored objects tell of `ref`: its `own` ones, and those of the payments that are `about` it."""
    with look.shop.store.read() as conn:
        objects = [*own, *(kept for one in about for kept in records.stored_objects(conn, ref.source, one))]

        def find(object_id: str) -> StoredObject | None:
            return records.stored_object(conn, ref.source, object_id)

        return source.assemble(ref, objects, find)


Seen = Found | SeeOther | Gone | Waiting | Unsupported


def recall(look: Look) -> None:
    """Reads the record's memory of the subject anew."""
    with look.shop.store.read() as conn:
        look.memory = records.recall(conn, look.ref)


def apply(look: Look, action: Action) -> Applied:
    """Carries one action out at the licensing vendor, under the leases. Errors as `Licensing.apply`."""
    look.flush()
    failpoint("call.before", str(look.ref))
    applied = look.call(lambda: look.shop.licensing.apply(action))
    failpoint("call.after", str(look.ref))
    return applied


def plain_call(applied: Applied) -> dict[str, Json]:
    """An answered call as JSON."""
    call = applied.call
    return {"method": call.method, "path": call.path, "body": call.body, "status": call.status}


def review(look: Look, kind: str, about: str, text: str) -> None:
    """Opens a task for a person, once per kind and thing."""
    look.write(lambda conn: records.raise_review(conn, f"{kind}:{about}", kind, look.ref, text))


def journal(
    conn: Connection,
    look: Look,
    entitlement: str | None,
    action: str,
    outcome: str,
    wanted: Mapping[str, Json],
    found: Mapping[str, Json],
    call: Json,
    why: Mapping[str, Json],
) -> int:
    """Adds a row to the journal, as part of the transaction that it tells of; its id."""
    return records.add_change(
        conn,
        look=look.id,
        subject=str(look.ref),
        entitlement=entitlement,
        action=action,
        outcome=outcome,
        wanted=dict(wanted),
        found=dict(found),
        call=call,
        why=dict(why),
        cause=look.leased.row["cause"],
        catalog_version=look.shop.rules.version,
        observation=look.observation,
    )
