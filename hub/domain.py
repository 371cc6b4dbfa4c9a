"""The values that everything else speaks in. Imports nothing of ours.

All are frozen; ids are opaque strings; datetimes are aware and in UTC; nothing here knows a vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Ref:
    """What an event is about: `stripe/subscription/sub_1`. `source` is the connection's name."""

    source: str
    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.source}/{self.kind}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """The Ref that `text` spells; ValueError where it has not three parts."""
        source, kind, id_ = text.split("/", 2)
        return cls(source=source, kind=kind, id=id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact that a vendor reported, normalized. `type` is `noun.past_participle`.

    `data` is what consumers get beside it: no personal fields.
    """

    id: str
    type: str
    subject: Ref
    occurred_at: datetime
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One vendor event as it came in. `events` is empty for a type that is known and ignored.

    `subject` says where to look; None where nothing is to be looked at. `type` is the vendor's own word.
    `body`: the event by itself, where its request carried several; None: the request's body is the event's.
    `unreadable`: why it can't be read, where others of its request can.
    """

    external_id: str
    type: str
    occurred_at: datetime | None
    subject: Ref | None = None
    events: tuple[Event, ...] = ()
    livemode: bool | None = None
    account: str | None = None
    ignored_because: str | None = None
    body: bytes | None = None
    unreadable: str = ""


class Standing(StrEnum):
    """How a purchase stands with its seller."""

    PENDING = "pending"  # nothing granted yet
    CURRENT = "current"  # active, trialing
    OVERDUE = "overdue"  # a payment failed, access goes on
    SUSPENDED = "suspended"  # unpaid, or paused: service stops
    ENDED = "ended"  # over
    UNKNOWN = "unknown"  # the vendor said a word that we do not know: a person must look


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who bought. `customer_ref` is what the seller calls it (a CRM account id, say); `name` may be None."""

    id: str
    customer_ref: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a purchase, as the vendor states it; what it means commercially is for `policy.py` to say.

    keys         what a catalog row may name, most telling first (price id, lookup key, product id ...)
    sku          the vendor's own convention for the offering's SKU, used where no catalog row matches
    quantity     None where it is no count of seats (a metered price)
    paid_until   end of the last period that is known to be paid (or of the trial); None where none is
    period_start, period_end   the current period, paid or not
    invoiced     True where invoices were seen but none that paid this line
    because      one sentence: how paid_until was found
    metadata     what the seller wrote on it, where the vendor keeps such
    once         bought once: no subscription carries it, and none ends it
    reversed     a sentence where what paid its present term was paid back or lost; "" where it was not
    open         not agreed yet, or not any more: it counts for nothing (policy.as_agreed)
    """

    id: str
    keys: tuple[str, ...] = ()
    sku: str | None = None
    quantity: int | None = 1
    paid_until: datetime | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    invoiced: bool = False
    because: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    once: bool = False
    reversed: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something about a purchase that a person should know; nothing is changed for it. `kind` is a few words."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """The commercial truth of one subscription, order or opportunity, vendor-neutral.

    bought_at dates the lines that have no period of their own; metadata is what the seller wrote on it.
    ends_at: it is to end then, and has not ended yet. flags: what a person is to be told, as it stands now.
    parts: further subjects that it was put together from, renewals say; only a look at each makes a look read it.
    """

    ref: Ref
    customer: Customer
    lines: tuple[Line, ...]
    standing: Standing
    status: str = ""  # the vendor's own word, for people
    bought_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    ends_at: datetime | None = None
    flags: tuple[Flag, ...] = ()
    parts: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What became of one line of a sale. state: on, off, waiting, refused; `problem` says why it waits, else "".

    entitlement_id and activation_code are "" while there are none.
    """

    line: str
    entitlement_id: str
    activation_code: str
    state: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a field is wanted so: the policy rule's name, a sentence, and the purchase lines it came from."""

    rule: str
    because: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """What ought to exist: one per offering in a purchase.

    seats None: the offering's own number stands. expires_at is paid_until plus the policy's grace; an
    entitlement with a grace period of its own takes paid_until instead (see policy.expiry_of). enabled None:
    its switch stays as it is, and it is not made. maintenance_until None: maintenance stays as it is.
    """

    order_ref: str
    offering: str
    seats: int | None
    overdraft: int | None
    paid_until: datetime | None
    expires_at: datetime | None
    enabled: bool | None
    lines: tuple[str, ...]
    maintenance_until: datetime | None = None
    reasons: Mapping[str, Reason] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """Something Zentitle2 can license: `sku` is what the catalog names."""

    id: str
    sku: str
    product_id: str
    perpetual: bool = False
    starts_at_creation: bool = True
    seats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What Zentitle2 holds. seats excludes overdraft, seats_used includes it; `offering` is the SKU.

    own_grace: the entitlement has a grace period of its own. frozen: it may not be written to now
    (exported, or its customer is disabled), with the vendor's word in `status`. node_locked: a seat stays with its
    machine until somebody deletes it.
    """

    id: str
    group_id: str
    order_ref: str
    offering: str
    offering_id: str
    product_id: str
    seats: int
    seats_used: int
    overdraft: int | None
    expires_at: datetime | None
    enabled: bool
    status: str
    own_grace: bool = False
    perpetual: bool = False
    frozen: bool = False
    created_at: datetime | None = None
    lines: tuple[str, ...] = ()
    customer_id: str = ""
    maintenance_until: datetime | None = None
    node_locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatRow:
    """A row of the licensing vendor's list of entitlements: its numbers, without status or grace."""

    entitlement_id: str
    group_id: str
    customer_id: str
    order_ref: str
    offering: str
    seats: int
    seats_used: int
    overdraft: int | None
    expires_at: datetime | None


class SeatMove(StrEnum):
    """What happened to a seat."""

    ACTIVATE = "activate"
    REFRESH = "refresh"
    DEACTIVATE = "deactivate"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatEvent:
    """One seat was taken, kept, given back, or denied. Times are epoch seconds, UTC.

    `seat` and `user` stand for the seat and whoever sits on it; from a vendor they are pseudonyms. `count` is the
    number of seats that one activation takes. lease_expiry None: the seat is held until it is given back.
    """

    id: str
    move: SeatMove
    at: float
    seat: str
    user: str = ""
    count: int = 1
    lease_expiry: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatLogPage:
    """One page of the licensing vendor's log of seats. more: whether there is another one."""

    events: tuple[SeatEvent, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a licensing webhook says of one entitlement; `fields` is named as Entitlement's, only what it carries."""

    entitlement_id: str
    seats_used: int | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a customer holds under one order reference. More than one group: a create was doubled."""

    groups: tuple[str, ...] = ()
    entitlements: tuple[Entitlement, ...] = ()


# Actions: absolute values only. Each says what is to be true, never how much to add.


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCustomer:
    """A customer with this account reference exists."""

    account_ref: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup:
    """A group with this order reference exists, with one entitlement per SKU."""

    customer_id: str
    order_ref: str
    skus: tuple[str, ...]
    activation_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendGroup:
    """The group has entitlements for these SKUs too."""

    group_id: str
    order_ref: str
    skus: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOffering:
    """The entitlement is of this offering. Restarts the term, so SetTerms must follow."""

    entitlement_id: str
    offering_id: str
    sku: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTerms:
    """The entitlement has these values; None leaves one as it is. `force`: also below the seats in use."""

    entitlement_id: str
    expires_at: datetime | None = None
    seats: int | None = None
    overdraft: int | None = None
    maintenance_until: datetime | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable:
    """The entitlement is on."""

    entitlement_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The entitlement is off. Never deleted: it can be enabled again."""

    entitlement_id: str


Create: TypeAlias = CreateCustomer | CreateGroup | ExtendGroup
Change: TypeAlias = ChangeOffering | SetTerms | Enable | Disable
Action: TypeAlias = Create | Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a vendor as it was made, for people who ask why. No headers, so no secrets."""

    method: str
    path: str
    body: Json = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The answer to an action: ids that it made (customer or group first, then entitlements), and the call."""

    ids: tuple[str, ...]
    call: Call


# Seat usage as a CRM gets it: numbers and sentences, never a person's (docs/renewals.md).


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageMonth:
    """One entitlement's use in one month. Seats are counts; known_share is 0 to 1, of business days."""

    month: date  # its first day
    seats_licensed: int | None = None
    peak: int | None = None
    p95_peak: float | None = None
    overdraft_days: int | None = None
    denials: int | None = None
    known_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """How one entitlement is used, and what that says of its renewal. None: not known, or not said.

    account_ref and customer_id are what the licensing vendor calls the customer (accountRefId, its own id). signal and
    confidence are words of hub.usage. Shares (utilization, drop, trend, known_share) are 0 to 1; trend is a share of
    the seats used per 30 days, with its 90 % interval. Forecasts are seats at renewal, with their 80 % interval.
    moved: a sentence, where another product of the account took over what this one lost.
    value is what the entitlement is worth, in whatever unit all of an account have. `chart` is a PNG.
    """

    entitlement_id: str
    account_ref: str
    as_of: date
    signal: str
    confidence: str
    customer_id: str = ""
    sku: str = ""
    signal_since: date | None = None
    renewal: date | None = None
    seats_licensed: int | None = None
    p95_peak_28d: float | None = None
    utilization_90d: float | None = None
    drop: float | None = None
    trend_30d: float | None = None
    trend_low: float | None = None
    trend_high: float | None = None
    change_date: date | None = None
    overdraft_days_60d: int | None = None
    overdraft_max: int | None = None
    denials_28d: int | None = None
    days_since_use: int | None = None
    known_share_90d: float | None = None
    forecast_peak: float | None = None
    forecast_low: float | None = None
    forecast_high: float | None = None
    recommended_seats: int | None = None
    recommended_tier: str = ""
    sentence: str = ""
    moved: str = ""
    chart_url: str = ""
    method_version: str = ""
    value: float | None = None
    months: tuple[UsageMonth, ...] = ()
    chart: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRollUp:
    """Several summaries as one: the gravest signal with its sentence, sums of seats, the earliest renewal."""

    entitlement_ids: tuple[str, ...]
    signal: str
    confidence: str
    sentence: str
    as_of: date
    signal_since: date | None = None
    renewal: date | None = None
    seats_licensed: int | None = None
    utilization_90d: float | None = None
    drop: float | None = None
    recommended_seats: int | None = None
    forecast_low: float | None = None
    forecast_high: float | None = None
    chart: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUsage:
    """All of an account: as a whole, by renewal (what ends together is renewed together), and one by one."""

    account_ref: str
    customer_id: str
    whole: UsageRollUp
    renewals: tuple[UsageRollUp, ...]
    summaries: tuple[UsageSummary, ...]
