"""What a connector must offer, and what it is given. Protocols only; no vendor is named here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from hub.domain import (
    AccountUsage,
    Action,
    Applied,
    Entitlement,
    Envelope,
    Held,
    Json,
    Line,
    Offering,
    Purchase,
    Ref,
    SeatLogPage,
    SeatRow,
    Sold,
    Told,
)

PATH_KEY = ":key"  # beside the headers: what follows the connection in the path; no header can have this name


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The body of an answer, where the vendor reads more of it than the status."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A purchase, and the JSON of what was seen: every field that it was derived from, no personal ones."""

    purchase: Purchase
    seen: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeeOther:
    """This subject is told by another one (an invoice by its subscription, say).

    keep: what it says counts for good (a payment that was paid back, say), so each look at `ref` is to read it too.
    also: further subjects that it tells in the same way (each subscription of an order, say).
    """

    ref: Ref
    keep: bool = False
    also: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The vendor does not know it (any more). Never disables anything: a person must look."""

    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """It can't be told yet: `because` says what for. A new event makes the subject due again.

    `on` is an object id whose arrival would help; where `proceed` is given, the hub waits a short while
    for it and then goes on with that.
    """

    because: str
    on: str | None = None
    proceed: Found | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A sale of a kind that this connector can't license (yet): parked, shown, never skipped in silence.

    cause "needs_api_key": due again once a key is configured. `on`: an object id whose arrival would help too.
    """

    because: str
    cause: str = "unsupported"
    on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One version of a vendor's object, as an event brought it; personal fields are reduced.

    `created`, `event_type`, `event_id` and `previous` order versions (`PurchaseSource.newest`).
    """

    id: str
    kind: str
    body: dict[str, Json]
    created: int
    event_id: str
    event_type: str
    previous: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A row of the vendor's list of changes: look at `ref`; `at` is the vendor's own time of it.

    done: tells the vendor that this row need not be listed any more; called once `ref` is marked due, if at all.
    """

    ref: Ref
    at: datetime
    done: Callable[[], object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A vendor asks for the activation code of a sale that it is completing.

    event: the request as an event whose subject is the purchase. line: what was sold, as far as it is told.
    """

    event: Envelope
    subject: Ref
    line: Line


class Webhooks(Protocol):
    """A vendor that sends; secrets are bound by connect(). All is pure, but that a key may have to be fetched."""

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless `body` (raw bytes) is proven to be the vendor's.

        RetryableError: the key that would tell can't be had now. `headers` has lower-case names, and PATH_KEY where
        the path went on after the connection's name; `now` is machine time in epoch seconds.
        """

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:
        """The vendor events in a verified body; UnreadableError where it can't be read."""

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether two bodies with one event id tell the same (delivery counters aside)."""

    def refused(self, envelope: Envelope) -> str | None:
        """Why an authentic event is not for this connection (livemode, account); None where it is."""


class Fulfillment(Protocol):
    """A vendor that asks for an activation code while it sells. Pure."""

    def asked(self, body: bytes, headers: Mapping[str, str]) -> Asked:
        """What a request asks for; VerificationError unless it is proven to be the vendor's, UnreadableError."""


class PurchaseSource(Protocol):
    """A vendor that sells."""

    @property
    def can_read(self) -> bool:
        """False without an API key: then stored objects stand in (`assemble`)."""

    def fetch(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | SeeOther | Gone | Waiting | Unsupported:
        """The purchase that `ref` tells of, read now. Repeatable; RetryableError, PermanentError.

        `about`: subjects that said `SeeOther(ref, keep=True)`; their state now is part of the purchase.
        """

    def changes(self, since: datetime) -> Iterator[Changed]:
        """The vendor's list of changes since `since` (the vendor's time), oldest or newest first."""

    def purchases(self) -> Iterator[Purchase]:
        """The full list, from list pages."""

    def stored(self, body: bytes) -> Sequence[StoredObject]:
        """What a stored event leaves: the object that it carries, and what that links; () where none counts."""

    def newest(self, versions: Sequence[StoredObject]) -> StoredObject:
        """The newest of several versions of one object, by the vendor's own order, never by arrival."""

    def assemble(
        self, ref: Ref, objects: Sequence[StoredObject], find: Callable[[str], StoredObject | None]
    ) -> Found | SeeOther | Waiting | Unsupported:
        """As `fetch`, from the newest stored version of each object of this subject and of those that are `about` it.

        `find` looks others up by id.
        """

    def recalled(self, seen: Mapping[str, Json]) -> Purchase:
        """The purchase that a look saw then: `Found.seen` read again. UnreadableError where it is none."""

    def contains(self, seen: Mapping[str, Json], body: bytes) -> bool:
        """Whether what a look saw already contains the object that this event carries."""

    def close(self) -> None:
        """Lets connections go."""


class Licensing(Protocol):
    """The vendor that licenses."""

    def customers(self) -> Iterator[tuple[str, str]]:
        """(accountRefId, customer id) of every customer that has one, all pages."""

    def names(self) -> Iterator[tuple[str, str]]:
        """(customer id, name) of every customer that has one, all pages."""

    def offerings(self, *, refresh: bool = False) -> Mapping[str, Offering]:
        """Offerings by SKU; cached in the process."""

    def held(self, customer_id: str, order_ref: str, *, groups: Sequence[str] = (), code: str | None = None) -> Held:
        """What the customer holds under `order_ref`. With `groups` those are read by id, else all are searched.

        A search also asks by activation `code` where one is given (lists may lag).
        """

    def entitlement(self, id: str) -> Entitlement | None:  # noqa: A002
        """The entitlement with its group's order reference and customer, read now; None where it is unknown."""

    def entitlements(self) -> Iterator[SeatRow]:
        """Every entitlement, from list pages."""

    def seat_log(self, id: str, since: datetime | None, until: datetime, page: int) -> SeatLogPage:  # noqa: A002
        """One page (1, 2 ...) of the vendor's log of an entitlement's seats in [since, until], in no certain order.

        since None: as far back as the vendor keeps it. The same row has the same event id each time. Repeatable;
        RetryableError, PermanentError.
        """

    def told(self, body: bytes) -> Told | None:
        """What a webhook's body says of an entitlement; None where it says nothing of one, or can't be read."""

    def apply(self, action: Action) -> Applied:
        """ONE vendor request. RetryableError and PermanentError mean not applied; UnknownResult: nobody knows."""

    def note(self, entitlement_id: str, text: str) -> None:
        """Writes a note on the entitlement. Not repeatable: never after doubt."""

    def verify_access(self) -> Sequence[Finding]:
        """Findings of a credentials and version check, for `hub check`; empty where all is well."""

    def close(self) -> None:
        """Lets connections go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something `hub check` or `hub connect` has to say. level: error (stops work), warning, ok.

    secret: what the vendor tells only now, to be kept in a file.
    """

    level: str
    about: str
    problem: str
    mend: str = ""
    secret: str = field(default="", repr=False)


class Outcome(StrEnum):
    """What became of one record in the CRM, or of what should have been one."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  # as the CRM has it already: not sent
    REFUSED = "refused"  # the CRM said no to this one; the others went
    LATER = "later"  # not sent, or the answer was lost: the next push does it
    UNMATCHED = "unmatched"  # the CRM knows nobody who is called so
    AMBIGUOUS = "ambiguous"  # more than one record is called so: nothing is written to any
    DEGRADED = "degraded"  # a field is missing or may not be written: the rest goes without it

    @property
    def is_done(self) -> bool:
        """Whether nobody needs to do anything, the hub included."""
        return self in {Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED}

    @property
    def needs_a_person(self) -> bool:
        """Whether it stays so until somebody changes something in the CRM or in the settings."""
        return self in {Outcome.REFUSED, Outcome.UNMATCHED, Outcome.AMBIGUOUS, Outcome.DEGRADED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What people's own fields in the CRM say of these entitlements, together: a renewal's amount, and whose it is.

    `amount` is in whole units of `currency` (ISO 4217); None and "": nobody said. Read, never written.
    """

    entitlement_ids: tuple[str, ...]
    amount: Decimal | None = None
    currency: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmRecord:
    """A record as it ought to be in the CRM: absolute values of fields that are the hub's own; None clears one.

    `key` is the record's value of `key_field`, by which the CRM finds it. once: made if it is not there, and never
    touched again (people work with it). aging: fields that change each day by themselves and are no reason to write.
    content: bytes of a file. worth: what was read there with it; where several tell of an entitlement the later counts.
    hidden: fields whose values no comparison shows.
    """

    object: str
    key: str
    key_field: str
    fields: Mapping[str, Json]
    about: str = ""
    once: bool = False
    aging: frozenset[str] = frozenset()
    content: bytes = field(default=b"", repr=False)
    worth: Worth | None = None
    hidden: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """Tells whether the record says something new: SHA-256 of its fields but the aging ones, and its content."""
        told = {name: value for name, value in self.fields.items() if name not in self.aging}
        if self.once:
            told = {}
        text = json.dumps([self.object, self.key, told], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode() + b"\0" + self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What became of one record. `reason` has the CRM's own words, `mend` says what a person can do."""

    object: str
    key: str
    outcome: Outcome
    id: str = ""
    reason: str = ""
    mend: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """What a push would do to one field. `now` is None where it is empty, or the record is not `there`."""

    object: str
    key: str
    field: str
    now: Json
    then: Json
    about: str = ""
    there: bool = True


class Crm(Protocol):
    """A vendor where people work on renewals. Nothing here raises for one bad record: it becomes a result."""

    def records(self, accounts: Sequence[AccountUsage]) -> tuple[Sequence[CrmRecord], Sequence[PushResult]]:
        """What ought to be in the CRM, and what can't be said of whom. Reads only.

        RetryableError (Hold: its budget of requests is used up) and PermanentError for the whole.
        """

    def differences(self, records: Sequence[CrmRecord]) -> Iterator[FieldChange]:
        """What a push of these would change, read from the CRM now, record by record. Reads only.

        RetryableError (Hold: its budget of requests is used up) and PermanentError for what is left.
        """

    def push(self, records: Sequence[CrmRecord]) -> Iterator[PushResult]:
        """Makes each record so; one result per record, as they come. Repeatable.

        Where the CRM, or our budget there, stops it, what is left comes back as LATER.
        """

    def close(self) -> None:
        """Lets connections go."""


class CrmSetup(Protocol):
    """What a CRM needs before a push, and how it gets it."""

    def install(self, *, check_only: bool) -> Sequence[Finding]:
        """Brings our fields, reports and permission sets, or only asks whether they would come. Repeatable."""

    def doctor(self) -> Sequence[Finding]:
        """A finding for each missing object, field and permission, with its mend; ok where there is none."""

    def page(self) -> str:
        """Where people see the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """What one connection offers; the hub asks `connector.purchases`, never which vendor it is.

    register makes the vendor send to an address, listening says whether it does; both repeatable, both give
    findings that say what is left to do, None where the vendor has no such call.
    partly: the body of a 202 that acknowledges these event ids alone, so that the others of one request come again;
    None where the vendor knows all or nothing.
    replying: the body that tells a sender of this content type that its request is recorded, or (kept=False) that it
    is not; None: the status says it.
    sold: what ought to stand on the lines of a sale where it was sold, as records for `crm`; None: nothing is told.
    """

    name: str
    kind: str
    ref: str
    webhooks: Webhooks | None = None
    purchases: PurchaseSource | None = None
    licensing: Licensing | None = None
    crm: Crm | None = None
    crm_setup: CrmSetup | None = None
    fulfillment: Fulfillment | None = None
    partly: Callable[[Sequence[str]], bytes] | None = None
    replying: Callable[[str, bool], Reply | None] = lambda _content_type, _kept: None
    sold: Callable[[Sequence[Sold]], Sequence[CrmRecord]] | None = None
    built_in_references: str = ""  # as a regular expression: order references of the vendor's own licensing integration
    catalog_key: str = ""  # the key in [[catalog]] rows that speaks of this vendor
    base_url: str = ""
    check: Callable[[], Sequence[Finding]] | None = None
    register: Callable[[str], Sequence[Finding]] | None = None
    listening: Callable[[str], Sequence[Finding]] | None = None
    body_limit: int = 256 * 1024
    rate_per_s: float = 5.0


class Limiter(Protocol):
    """A connection's request rate, shared by all processes through the record."""

    def acquire(self) -> None:
        """Returns when one request may be sent; Hold where a Retry-After or a stop forbids waiting for it."""

    def hold(self, seconds: float) -> None:
        """Nobody sends on this connection for `seconds` (a vendor's Retry-After)."""


class TokenCache(Protocol):
    """Access tokens, shared by all processes through the record (encrypted there)."""

    def get(self) -> str | None:
        """A token with a minute or more to live."""

    def put(self, token: str, lifetime_s: float) -> None:
        """Keeps a token."""

    def drop(self) -> None:
        """Forgets it (the vendor refused it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What connect() gets from the hub beside its own settings.

    pseudonym: what stands for a person's id in facts, the same each time and not to be turned back; "": nothing does.
    answered: to be told after each request whether the vendor answered it, however (a refusal or 429 too: True), or
    failed (no answer, 408, 5xx: False). What keeps failing is left alone for a while.
    """

    limiter: Limiter
    tokens: TokenCache
    pseudonym: Callable[[str], str] = field(default=lambda _: "", repr=False)
    answered: Callable[[bool], None] = lambda _well: None
    connect_timeout_s: float = 3
    read_timeout_s: float = 15
