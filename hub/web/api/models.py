"""What the API takes and answers, as models: the document, the checks and the answers are made of these alone.

Times are ISO 8601 in UTC, days ISO 8601. An answer may get further fields; none goes or changes its meaning.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
)

from hub.outbound.endpoints import OVERLAP_S
from hub.stream.events import VERSION

MOST, USUAL = 200, 50  # rows of a page
MOST_EVENTS, LONGEST_WAIT_S = 500, 8
MOST_DAYS = 1200
Item = TypeVar("Item")


def at(epoch: float | None) -> datetime | None:
    """Epoch seconds as the API tells them."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def _spelt(pattern: str, said: str) -> BeforeValidator:
    """Text is taken where it is written so; pydantic alone would take numbers, blanks and underscores for it, too."""
    written = re.compile(pattern, re.ASCII)

    def check(value: object) -> object:
        if not isinstance(value, str) or not written.fullmatch(value):
            raise ValueError(said)
        return value

    return BeforeValidator(check)


def _within(moment: datetime) -> datetime:
    if not 0 <= moment.timestamp() < _YEAR_9999:
        raise ValueError("a time from 1970 to 9998")
    return moment


_YEAR_9999 = 253_370_764_800
_DAY = r"\d{4}-\d\d-\d\d"
_MOMENT = _DAY + r"[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(max_length=2000, pattern=NO_NUL)]
Short = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Words = Annotated[str, StringConstraints(max_length=500, pattern=NO_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=NO_NUL)]
Names = Annotated[list[Name], Field(max_length=100)]
Whole = Annotated[int, _spelt(r"\d{1,19}", "a whole number, in digits")]
Moment = Annotated[
    AwareDatetime,
    Strict(strict=False),
    _spelt(_MOMENT, "a time as in 2026-03-01T12:00:00Z, its offset named"),
    AfterValidator(_within),
]
DayOf = Annotated[date, _spelt(_DAY, "a day as in 2026-03-01")]
Cursor = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[A-Za-z0-9_-]*$")]


class Asked(BaseModel):
    """A query: what it does not name is refused, so that a misspelt filter never means all."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Nothing(Asked):
    """No query."""


class Body(BaseModel):
    """A body: JSON as it is, nothing converted, no further fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


class Listed(Asked):
    """A page of a list."""

    limit: Annotated[Whole, Field(ge=1, le=MOST)] = USUAL
    cursor: Cursor = ""


class Found(Listed):
    """A page of a list, and what to look for: an id, a reference, or how a customer's name begins."""

    q: Words = ""


class Page(Answer, Generic[Item]):
    """Some of a list. next: `cursor` of the page after; null at the end."""

    items: list[Item]
    next: str | None


class Problem(Answer):
    """RFC 9457: what went wrong, and how to mend it."""

    type: str
    title: str
    status: int
    detail: str


# -- who asks


class Me(Answer):
    """The key that asks. limit_per_s: calls a second that it may make, in the long run."""

    prefix: str
    name: str
    scopes: list[str]
    expires_at: datetime | None
    limit_per_s: float


# -- licenses

State = Literal["all", "due", "waiting", "parked", "held", "dead"]
Outcome = Literal["accepted", "ignored", "quarantined", "dead", "conflict"]


class Purchases(Found):
    """Which purchases."""

    state: State = "all"


class Purchase(Answer):
    """What somebody bought, and how far the hub is with it. reason: why it is in this state, a sentence."""

    purchase: str
    connection: str
    kind: str
    state: Literal["idle", "due", "parked", "held", "dead"]
    cause: str
    reason: str
    summary: str | None
    order_ref: str | None
    customer_name: str | None
    next_look_at: datetime | None
    looked_at: datetime | None
    changed_at: datetime


class Change(Answer):
    """One act of the journal: what was wanted, what was found before, and what came of it."""

    id: int
    at: datetime
    action: str
    outcome: str
    entitlement: str | None
    wanted: dict[str, Any]
    found: dict[str, Any]
    cause: str


class WholePurchase(Purchase):
    """A purchase with its entitlements and its newest acts."""

    entitlements: list[str]
    changes: list[Change]


class Entitlement(Answer):
    """A license as the hub last read it."""

    id: str
    purchase: str | None
    order_ref: str
    customer: str
    customer_name: str | None
    offering: str
    enabled: bool
    seats: int | None
    seats_used: int | None
    overdraft: int | None
    expires_at: str | None
    changed_at: datetime


class At(Asked):
    """At which moment; without it, now."""

    at: Moment | None = None


class WhyField(BaseModel):
    """Why one field is so: sentence, rule, purchase lines, what was seen, the act that set it."""

    model_config = ConfigDict(extra="allow")
    name: str
    value: Any
    sentence: str
    rule: str
    managed: bool
    by_hand: bool


class Why(BaseModel):
    """An entitlement, and for each field why it is so: what `hub why --json` prints."""

    model_config = ConfigDict(extra="allow")
    entitlement: str
    subject: str | None
    offering: str
    enabled: bool
    fields: list[WhyField]
    at: str | None
    reaches_back: str | None


class Customer(Answer):
    """A customer of the licensing system."""

    id: str
    name: str | None
    entitlements: int


class WholeCustomer(Answer):
    """A customer with its references and its entitlements."""

    id: str
    name: str | None
    references: list[str]
    entitlements: list[Entitlement]


class Receipts(Found):
    """Which receipts; `q` may be an event's id or type, too."""

    connection: Short = ""
    outcome: Outcome | None = None


class Receipt(Answer):
    """A webhook that came in, without its headers and its body."""

    id: int
    connection: str
    event_id: str
    type: str
    purchase: str | None
    received_at: datetime
    outcome: Outcome
    reason: str | None
    duplicates: int


# -- seat use


class Month(Answer):
    """A month of seat use; what is not known is null. users: most of a day, "< 5" where they are few."""

    month: str
    days: int
    known: int
    seats: int | None
    cap: int | None
    peak: int | None
    p95_peak: float | None
    over: int
    over_most: int
    pinned: int
    denials: int
    users: str
    seat_hours: float
    closed: bool


class Usage(Answer):
    """What is known of an entitlement's use, the oldest month first."""

    entitlement: str
    months: list[Month]


class Span(Asked):
    """Which days, both ends included; without them the newest 90."""

    first: DayOf | None = None
    last: DayOf | None = None


class Day(Answer):
    """A day of seat use, in its account's time zone; of a day that nobody watched nothing is said."""

    day: date
    known: bool
    closed: bool
    source: str
    peak: int | None
    seats: int | None
    cap: int | None
    denials: int | None
    users: str
    seat_hours: float | None


class Days(Answer):
    """Days of seat use, the oldest first."""

    entitlement: str
    days: list[Day]


SIGNALS = Literal[
    "at_risk", "contraction", "dormant", "steady", "expansion", "overdraft", "new_growth", "insufficient_data"
]


class Signals(Listed):
    """Which signals."""

    signal: SIGNALS | None = None


class Signal(Answer):
    """What the use of an entitlement says about its renewal."""

    entitlement: str
    signal: SIGNALS
    since: date
    as_of: date
    confidence: Literal["high", "medium", "low"]
    sentence: str
    seats: int | None
    used: float | None
    recommended_seats: int | None


class Told(Answer):
    """What people were told from a day on."""

    day: date
    signal: SIGNALS
    before: SIGNALS | None
    sentence: str


class WholeSignal(Signal):
    """A signal with the numbers that it was made from, and its history, the newest first."""

    change_date: date | None
    forecast_peak: float | None
    forecast_lo: float | None
    forecast_hi: float | None
    evidence: dict[str, Any]
    history: list[Told]


class Chart(Asked):
    """How a chart is drawn."""

    theme: Literal["light", "dark"] = "light"
    size: Literal["wide", "narrow"] = "wide"


# -- orders about licenses


class LookAt(Body):
    """Which purchase, by its whole name."""

    purchase: Name


class Asks(Answer):
    """The purchase is due; its look follows within seconds."""

    purchase: str
    due: bool


class ReplayOf(Body):
    """Which stored webhooks: every part that is given must fit."""

    ids: Names = []
    since: Moment | None = None
    until: Moment | None = None
    types: Names = []
    purchase: Name | None = None
    connection: Name | None = None


class PreviewOf(ReplayOf):
    """Which stored webhooks. looks: of so many purchases say what a look would come to (each asks the vendors)."""

    looks: Annotated[int, Field(ge=0, le=20)] = 0


class Would(Answer):
    """What a look at a purchase would come to now."""

    purchase: str
    would: str


class Replayed(Answer):
    """matching: receipts that fit; receipts: those taken; left_out: fit, but were not accepted when they came.

    goes_on: `since` of the next replay, where more fit than one takes.
    """

    applied: bool
    matching: int
    receipts: int
    left_out: int
    purchases: list[str]
    goes_on: datetime | None
    would: list[Would]


class Approvals(Listed):
    """Which approvals."""

    state: Literal["waiting", "approved", "refused", "all"] = "waiting"


class Approval(Answer):
    """Acts that the guard holds back, or what was decided of them."""

    purchase: str
    acts: list[Any]
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


class Drifts(Listed):
    """Which disagreements."""

    kind: Literal[
        "",
        "missing",
        "unlicensed",
        "extra",
        "different",
        "stale",
        "gone",
        "orphaned",
        "unmatched",
        "untold",
        "edited",
        "unasked",
    ] = ""


class Drift(Answer):
    """A disagreement that the newest comparison found. waiting: why there is nothing to apply; empty where there is."""

    id: str
    kind: str
    purchase: str
    entitlement: str | None
    customer: str | None
    problem: str
    repair: str
    how: str
    risk: str | None
    waiting: str
    amount_minor: int | None
    currency: str | None


class DriftPage(Page[Drift]):
    """Some of them, and when that was; null before the first comparison."""

    compared_at: datetime | None


class Repair(Body):
    """Which, by id."""

    ids: Annotated[list[Words], Field(min_length=1, max_length=100)]


class Repaired(Answer):
    """What is due or a task now, and what was left as it is."""

    applied: list[str]
    left: list[str]


class Reason(Body):
    """Why."""

    why: Short = ""


class Decided(Answer):
    """What was decided of a purchase's acts."""

    purchase: str
    state: Literal["approved", "refused"]


class Finding(Answer):
    """Something that `hub check` says. level: error (stops work), warning, ok."""

    level: Literal["error", "warning", "ok"]
    about: str
    problem: str
    mend: str


class Checked(Answer):
    """Configuration, record, credentials and catalog, tested: worst first. well: no error among them."""

    well: bool
    findings: list[Finding]


# -- the stream and its consumers


class After(Asked):
    """From where, and of what. wait: seconds to wait for something new."""

    after: Annotated[Whole, Field(ge=0, le=2**62)] = 0
    limit: Annotated[Whole, Field(ge=1, le=MOST_EVENTS)] = 100
    types: Text = ""
    wait: Annotated[Whole, Field(ge=0, le=3600)] = 0


class Event(BaseModel):
    """A message of the stream; its data are in /events/types."""

    model_config = ConfigDict(extra="allow")
    id: str
    type: str
    version: int
    occurred_at: str
    position: int
    data: dict[str, Any]


class Events(Answer):
    """Messages after a position, oldest first. next: where to go on; more: there is more right now."""

    events: list[Event]
    next: int
    more: bool


class EventType(Answer):
    """A type or family: schema of a whole message, example, and its changes."""

    version: int
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    example: dict[str, Any]
    changes: list[str]


class Wanted(Body):
    """What an endpoint asks for."""

    description: Short = ""
    types: Names = []
    connections: Names = []
    customers: Names = []
    condition: Text = ""
    headers: Annotated[dict[Name, Text], Field(max_length=50)] = {}
    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    ordered: bool = False
    rate_per_s: Annotated[float, Field(ge=0.01, le=10_000)] | None = None


class NewEndpoint(Wanted):
    """An endpoint to add."""

    url: Url


class Changed(Wanted):
    """What of an endpoint is to be another; what is left out stays."""

    url: Text = ""


class Enable(Body):
    """What becomes of what came meanwhile."""

    gap: Literal["deliver", "skip"] = "deliver"


class Rotate(Body):
    """For how long the former secret signs, too."""

    overlap_hours: Annotated[float, Field(ge=0, le=168)] = OVERLAP_S / 3600


class Resend(Body):
    """Which messages to send again. failed: everything that was given up."""

    ids: Names = []
    since: Moment | None = None
    until: Moment | None = None
    types: Names = []
    failed: bool = False


class Sample(Body):
    """Of which type the sample is."""

    type: Name = "entitlement.changed"


class Endpoint(Answer):
    """A consumer's URL, and how it stands; of its headers the names. position: deliveries are made up to it."""

    id: str
    url: str
    description: str
    state: Literal["enabled", "disabled"]
    because: str
    types: list[str]
    connections: list[str]
    customers: list[str]
    condition: str
    headers: list[str]
    version: int
    ordered: bool
    rate_per_s: float | None
    position: int
    failures: int
    failing_since: datetime | None
    untold: int
    untold_because: str


class Added(Answer):
    """A new endpoint; its secret is told here and never again."""

    id: str
    secret: str


class Enabled(Answer):
    """It is sent to again. skipped: so many messages are not."""

    state: Literal["enabled"]
    skipped: int


class Disabled(Answer):
    """Nothing is sent there, and nothing is lost."""

    state: Literal["disabled"]


class Secret(Answer):
    """The new signing secret, told here and never again."""

    secret: str


class Resent(Answer):
    """How many messages are sent again."""

    messages: int


class Answered(Answer):
    """What a sample was answered with; error where there was no answer. taken: with 2xx."""

    type: str
    taken: bool
    status: int | None
    error: str
    seconds: float


DeliveryState = Literal["pending", "delivered", "exhausted", "skipped"]


class Deliveries(Listed):
    """Which deliveries."""

    state: DeliveryState | None = None


class Attempt(Answer):
    """One try. status null: no answer, and `error` says why. response: its beginning."""

    number: int
    at: datetime
    seconds: float
    status: int | None
    error: str
    response: str


class Delivery(Answer):
    """One message for one endpoint, and what came of it; attempts newest first."""

    event: str
    type: str
    position: int
    state: DeliveryState
    next_at: datetime | None
    attempts: list[Attempt]


# -- REST hooks


class NewHook(Body):
    """What a REST hook subscribes to: an URL, and a type or family of events."""

    target_url: Url
    event: Name


class Hook(Answer):
    """A subscription; DELETE its id to end it."""

    id: str
    target_url: str
    event: str


class SamplesOf(Asked):
    """Samples of which type or family."""

    event: Short = "*"
