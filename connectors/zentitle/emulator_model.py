"""What Zentitle2 does to a license, for its emulator: dates, seats, statuses, and the tenant that holds them.

Knows no HTTP and no clock: `now` is business time and is passed in. Rows of the catalog and of customers are
dicts with the vendor's own field names, never changed in place: a change puts a new row, so that a list can be
told as it was some seconds ago (`Table`). "Seen" names the vendor's source (OAS24: OpenAPI
of 2024-01-01; GEN25: the client generated from 2025-10-10; DOC: docs.zentitle.io); the rest is inferred.
"""

from __future__ import annotations

import base64
import calendar
import itertools
import random
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from connectors.zentitle.emulator_events import Agenda, Due, Happened, reminders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")

NONE: Row = {"type": "none", "count": None}
NO_OVERDRAFT: Row = {"type": "none", "value": None}
KEEP_VERSIONS_S = 600
CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Refused(Exception):
    """The vendor's refusal: an HTTP status and what its ApiError says. `field` names what fails validation."""

    def __init__(self, status: int, details: str, *, code: str = "", field: str | None = None) -> None:
        self.status, self.details, self.code, self.field = status, details, code, field
        super().__init__(details)


def missing(what: str) -> Refused:
    """404 for an id that the tenant does not know."""
    return Refused(404, f"{what} not found", code="notFound")


def invalid(name: str, problem: str) -> Refused:
    """422 about one property."""
    return Refused(422, problem, code="validationFailed", field=name)


def conflict(problem: str) -> Refused:
    """409: the request is well formed, the state does not allow it."""
    return Refused(409, problem, code="conflict")


# Dates. Month-end arithmetic is not documented; the emulator clamps.


def whole(moment: datetime) -> datetime:
    """`moment` in UTC at whole seconds, which is all that the vendor keeps."""
    return moment.astimezone(UTC).replace(microsecond=0)


def add_months(moment: datetime, months: int) -> datetime:
    """The same day so many months on, or that month's last one."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def later(moment: datetime, interval: Row) -> datetime:
    """`moment` plus an Interval ({"type", "count"}); type none adds nothing."""
    kind, count = interval["type"], interval.get("count") or 0
    if kind in ("month", "year"):
        return add_months(moment, count * (12 if kind == "year" else 1))
    return moment if kind == "none" else moment + timedelta(**{f"{kind}s": count})


# Entitlements and their seats


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A held seat (an activation). In concurrent mode it ends with its lease."""

    id: str
    seat_id: str
    name: str | None
    method: str
    username: str | None
    activated: datetime
    last_lease: datetime
    lease_expiry: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One order: a customer's entitlements and the codes that activate them."""

    id: str
    created: datetime
    customer_id: str | None
    order_ref: str | None
    codes: tuple[str, ...]
    entitlements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """The offering's values as copied at creation, and what was overridden since (`edited`: editInfo's flags)."""

    id: str
    group_id: str
    offering_id: str
    created: datetime
    seat_count: int
    overdraft: Row
    grace: Row
    lease: Row
    offline_lease: Row
    usage_reset: str
    has_maintenance: bool
    maintenance_expires_at: datetime | None = None
    activated_at: datetime | None = None
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    provisioned_at: datetime | None = None
    exported: bool = False
    used: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    cycle_began: datetime | None = None
    edited: frozenset[str] = frozenset()
    seats: Mapping[str, Seat] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """An offering with the rows that it is made of."""

    offering: Row
    plan: Row
    edition: Row
    product: Row

    @property
    def perpetual(self) -> bool:
        """Whether it never expires."""
        return bool(self.plan["licenseType"] == "perpetual")

    @property
    def starts_at_creation(self) -> bool:
        """Whether its entitlements are active from the start."""
        return bool(self.plan["licenseStartType"] == "entitlementCreation")


def grace_expiry(entitlement: Entitlement) -> datetime | None:
    """When the grace period ends; None without one or without an expiry."""
    if entitlement.expires_at is None or entitlement.grace["type"] == "none":
        return None
    return later(entitlement.expires_at, entitlement.grace)


def status_of(entitlement: Entitlement, now: datetime, *, customer_disabled: bool) -> str:
    """EntitlementStatus. The precedence is inferred."""
    if entitlement.disabled_at:
        return "disabled"
    if customer_disabled:
        return "customerDisabled"
    if entitlement.exported:
        return "exported"
    if entitlement.activated_at is None:
        return "created"
    if entitlement.expires_at is None or now < entitlement.expires_at:
        return "active"
    end = grace_expiry(entitlement)
    return "gracePeriod" if end and now < end else "expired"


def live_seats(entitlement: Entitlement, mode: str, now: datetime) -> dict[str, Seat]:
    """The seats in use by seat id: a node lock stays, a concurrent seat goes with its lease."""
    return {key: seat for key, seat in entitlement.seats.items() if mode == "nodeLock" or seat.lease_expiry > now}


def overdraft_seats(seat_count: int, limit: Row) -> int | None:
    """How many seats the limit adds; None for no limit. Percentages are rounded down (not documented)."""
    match limit["type"]:
        case "unlimited":
            return None
        case "absolute":
            return int(limit.get("value") or 0)
        case "percentage":
            return seat_count * int(limit.get("value") or 0) // 100
        case _:
            return 0


def feature_limit(feature: Row) -> int | None:
    """How much of a feature may be used, overdraft included; None: without end."""
    if feature["value"] is None:
        return None
    extra = overdraft_seats(feature["value"], feature["overdraftLimit"])
    return None if extra is None else int(feature["value"]) + extra


def seat_figures(entitlement: Entitlement, used: int) -> Row:
    """The five seat fields of EntitlementModel."""
    count, limit = entitlement.seat_count, entitlement.overdraft
    extra = overdraft_seats(count, limit)
    return {
        "overdraftSeatCount": extra,
        "seatsUsed": used,
        "overdraftSeatsUsed": None if limit["type"] == "none" else max(0, used - count),
        "seatUtilizationRate": used * 100 // count,
        "seatsAvailable": None if extra is None else max(0, count + extra - used),
    }


def renewed_expiry(entitlement: Entitlement, duration: Row, now: datetime) -> datetime:
    """Expiry after `renew`: one period on the old expiry, or from now where that and its grace are over."""
    expiry = entitlement.expires_at or now
    end = grace_expiry(entitlement) or expiry
    return later(expiry if now < end else whole(now), duration)


def activated(entitlement: Entitlement, terms: Terms, now: datetime) -> Entitlement:
    """The entitlement as it is once started: its dates count from now."""
    start = whole(now)
    maintained = entitlement.has_maintenance
    return replace(
        entitlement,
        activated_at=start,
        expires_at=None if terms.perpetual else later(start, terms.plan["licenseDuration"]),
        maintenance_expires_at=later(start, terms.offering["maintenanceDuration"]) if maintained else None,
    )


OVERRIDES = {
    "seatCount": ("seat_count", "seatCountEdited"),
    "overdraftSeatLimit": ("overdraft", "overdraftSeatLimitEdited"),
    "gracePeriod": ("grace", "gracePeriodEdited"),
    "leasePeriod": ("lease", "leasePeriodEdited"),
    "offlineLeasePeriod": ("offline_lease", "offlineLeasePeriodEdited"),
    "usageResetSchedule": ("usage_reset", "usageResetScheduleEdited"),
}
"""Wire name -> (our field, editInfo flag), for the values that an entitlement may override."""


def offered(terms: Terms) -> Row:
    """The overridable values that an offering gives, by wire name; grace falls back to the product's."""
    offering, product = terms.offering, terms.product
    return {
        "seatCount": offering["seatCount"],
        "overdraftSeatLimit": offering["overdraftSeatLimit"],
        "gracePeriod": offering["gracePeriod"] or product["gracePeriod"],
        "leasePeriod": product["leasePeriod"],
        "offlineLeasePeriod": product["offlineLeasePeriod"],
        "usageResetSchedule": offering["usageResetSchedule"],
    }


def fresh(terms: Terms, *, id_: str, group_id: str, now: datetime) -> Entitlement:
    """A new entitlement of this offering, started where its plan says so."""
    values: Row = {OVERRIDES[name][0]: value for name, value in offered(terms).items()}
    values |= {"has_maintenance": terms.offering["hasMaintenance"], "created": whole(now)}
    made = Entitlement(id=id_, group_id=group_id, offering_id=terms.offering["id"], **values)
    return activated(made, terms, now) if terms.starts_at_creation else made


def patched(entitlement: Entitlement, given: Row) -> Entitlement:
    """The entitlement with the given values only (absent and null ones stay), and their editInfo flags set."""
    values: Row = {OVERRIDES[name][0]: given[name] for name in OVERRIDES if name in given}
    flags = {OVERRIDES[name][1] for name in OVERRIDES if name in given}
    for name, ours in (("expiryDate", "expires_at"), ("maintenanceExpiryDate", "maintenance_expires_at")):
        if name in given:
            values[ours] = moment_of(given[name])
    if "hasMaintenance" in given:
        values["has_maintenance"] = given["hasMaintenance"]
    return replace(entitlement, edited=entitlement.edited | flags, **values)


def reoffered(entitlement: Entitlement, terms: Terms, now: datetime) -> Entitlement:
    """The entitlement under another offering: overrides stay, the term starts again today (seen: OAS24)."""
    kept = {OVERRIDES[name][0]: v for name, v in offered(terms).items() if OVERRIDES[name][1] not in entitlement.edited}
    moved = replace(entitlement, offering_id=terms.offering["id"], **kept)
    if moved.activated_at is None:
        return activated(moved, terms, now) if terms.starts_at_creation else moved
    return replace(moved, expires_at=None if terms.perpetual else later(whole(now), terms.plan["licenseDuration"]))


def moment_of(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC (seen: OAS24 info). Kept at whole seconds."""
    moment = datetime.fromisoformat(text)
    return whole(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# The tenant


class Table(Generic[T]):
    """Records by id, oldest first, with the versions of the last ten minutes for lists that lag."""

    def __init__(self, watch: Callable[[str, T], None] = lambda _id, _record: None) -> None:
        self.now: dict[str, T] = {}
        self._past: dict[str, list[tuple[float, T]]] = {}
        self._watch = watch

    def put(self, id_: str, record: T) -> None:
        """Makes `record` the present one."""
        moment = time.monotonic()
        versions = self._past.setdefault(id_, [])
        versions.append((moment, record))
        if len(versions) > 1 and versions[1][0] < moment - KEEP_VERSIONS_S:
            del versions[: max(0, bisect_right(versions, moment - KEEP_VERSIONS_S, key=lambda v: v[0]) - 1)]
        self.now[id_] = record
        self._watch(id_, record)

    def at(self, id_: str, moment: float | None) -> T | None:
        """The record as it was at `moment` (machine time, monotonic), or is (None)."""
        if moment is None:
            return self.now.get(id_)
        versions = self._past.get(id_, [])
        index = bisect_right(versions, moment, key=lambda version: version[0])
        return versions[index - 1][1] if index else None

    def rows(self, ids: Iterable[str] | None = None, moment: float | None = None) -> list[T]:
        """The records of `ids` (None: all) as they were at `moment`; those that were not yet are left out."""
        if ids is None and moment is None:
            return list(self.now.values())
        found = (self.at(id_, moment) for id_ in (self.now if ids is None else ids))
        return [record for record in found if record is not None]


class Tenant:
    """All that one Zentitle2 account holds, and the operations on it. Not thread-safe: the caller locks."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.unique_codes = False
        self.customers: Table[Row] = Table()
        self.groups: Table[Group] = Table()
        self.entitlements: Table[Entitlement] = Table(self._plan)
        self.products: Table[Row] = Table()
        self.editions: Table[Row] = Table()
        self.plans: Table[Row] = Table()
        self.offerings: Table[Row] = Table()
        self.notes: defaultdict[str, list[Row]] = defaultdict(list)
        self.log: defaultdict[str, list[Row]] = defaultdict(list)
        self.groups_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.groups_with_code: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.offering_with_sku: dict[str, str] = {}
        self.entitlement_of_seat: dict[str, str] = {}
        self.features: dict[str, Mapping[str, Row]] = {}  # offering id -> key -> {"value", "overdraftLimit"}
        self.happened: list[Happened] = []
        self.agenda = Agenda()

    def new_id(self, prefix: str) -> str:
        """A type prefix and 22 URL-safe characters, as the vendor's; the seed decides them."""
        return f"{prefix}_{base64.urlsafe_b64encode(self.random.randbytes(16)).decode()[:22]}"

    # Reading

    def customer(self, id_: str) -> Row:
        """The customer, or 404."""
        return found(self.customers, id_, "Customer")

    def group(self, id_: str) -> Group:
        """The group, or 404."""
        return found(self.groups, id_, "Entitlement group")

    def entitlement(self, id_: str) -> Entitlement:
        """The entitlement, or 404."""
        return found(self.entitlements, id_, "Entitlement")

    def terms(self, offering_id: str) -> Terms:
        """The offering with its plan, edition and product."""
        offering = found(self.offerings, offering_id, "Offering")
        edition = self.editions.now[offering["editionId"]]
        product = self.products.now[edition["productId"]]
        return Terms(offering=offering, plan=self.plans.now[offering["planId"]], edition=edition, product=product)

    def customer_of(self, group_id: str) -> Row | None:
        """The customer of a group, if it has one."""
        customer_id = self.groups.now[group_id].customer_id
        return self.customers.now[customer_id] if customer_id else None

    def status(self, entitlement: Entitlement, now: datetime) -> str:
        """The entitlement's status now."""
        customer = self.customer_of(entitlement.group_id)
        off = customer is not None and customer["status"] == "disabled"
        return status_of(entitlement, now, customer_disabled=off)

    def seats(self, entitlement: Entitlement, now: datetime) -> dict[str, Seat]:
        """The entitlement's seats in use."""
        if not entitlement.seats:
            return {}
        return live_seats(entitlement, self.offerings.now[entitlement.offering_id]["concurrencyMode"], now)

    def entitlement_ids(self, customer_id: str) -> list[str]:
        """The ids of all entitlements of a customer."""
        return [id_ for group in self.groups.rows(self.groups_of[customer_id]) for id_ in group.entitlements]

    # What it tells of itself

    def tell(self, code: str, resource: str, at: datetime, **payload: Any) -> None:  # noqa: ANN401
        """An event; whoever sends takes it out of `happened`."""
        self.happened.append(Happened(code, resource, at, payload))

    def tell_updated(self, id_: str, now: datetime) -> None:
        """entitlement.updated with the entitlement's values as they are."""
        one = self.entitlements.now[id_]
        self.tell(
            "entitlement.updated",
            id_,
            now,
            entitlementId=id_,
            entitlementGroupId=one.group_id,
            expiryDate=one.expires_at,
            seatCount=one.seat_count,
            disabled=one.disabled_at is not None,
            overdraftSeatLimit={"type": one.overdraft["type"], "value": one.overdraft.get("value")},
            updatedDate=now,
        )

    def tell_activated(self, one: Entitlement, now: datetime) -> None:
        """entitlement.activated."""
        kind = self.terms(one.offering_id).plan["licenseType"]
        dates = {"activatedAt": one.activated_at, "expiresAt": one.expires_at}
        self.tell("entitlement.activated", one.id, now, entitlementId=one.id, licenseType=kind, **dates)

    def tell_seat(self, code: str, one: Entitlement, seat: Seat, now: datetime, *, over: bool, **more: Any) -> None:  # noqa: ANN401
        """entitlement.seat.activated or .deactivated; `over`: it is, or was, an overdraft seat."""
        self.tell(
            code,
            one.id,
            now,
            entitlementId=one.id,
            activationId=seat.id,
            activationMode="online",
            seatId=seat.seat_id,
            seatName=seat.name,
            seatsUsed=len(self.seats(one, now)),
            isOverdraftSeat=over,
            activatedAt=seat.activated,
            leaseExpiry=seat.lease_expiry,
            **more,
        )

    def tell_group(self, group: Group, now: datetime) -> None:
        """entitlement.group.updated."""
        self.tell("entitlement.group.updated", group.id, now, entitlementGroupId=group.id, updatedDate=now)

    def _plan(self, id_: str, one: Entitlement) -> None:
        """Reminders, expiry and ends of cycles of an entitlement are on the agenda. A lease's end raises nothing."""
        over = grace_expiry(one) or one.expires_at
        cycle = self.next_cycle(one) if one.usage_reset == "monthly" else None
        self._put_on_agenda(id_, "license", one.expires_at, over)
        self._put_on_agenda(id_, "maintenance", one.maintenance_expires_at, one.maintenance_expires_at)
        self.agenda.plan(id_, "usage", (cycle, cycle) if cycle else None, lambda: {"usage": cycle} if cycle else {})

    def _put_on_agenda(self, id_: str, about: str, expires_at: datetime | None, over: datetime | None) -> None:
        if expires_at is None or over is None:
            self.agenda.plan(id_, about, None, dict)
            return
        family = "entitlement" if about == "license" else "entitlement.maintenance"
        self.agenda.plan(id_, about, (expires_at, over), lambda: reminders(expires_at, over, family))

    def catch_up(self, now: datetime) -> None:
        """All that business time has raised until now is told, each with the time that it came due."""
        for due in self.agenda.due(now):
            self._come_due(due, self.entitlements.now[due.entitlement])

    def _come_due(self, due: Due, one: Entitlement) -> None:
        expires_at, over_at = due.mark
        if due.what == "usage":
            self.end_cycle(one, due.at)
        elif due.what == "entitlement.expired":
            self.tell(due.what, one.id, due.at, entitlementId=one.id, expiredAt=over_at)
        elif due.what == "entitlement.maintenance.expired":
            self.tell(due.what, one.id, due.at, entitlementId=one.id, maintenanceExpiredAt=expires_at)
        else:
            days = (expires_at - due.at).days
            self.tell(due.what, one.id, due.at, entitlementId=one.id, expiresAt=expires_at, daysToExpire=days)

    # Catalog and customers

    def put_customer(self, row: Row, now: datetime, code: str) -> None:
        """Keeps a customer and tells of it."""
        self.customers.put(row["id"], row)
        more = {"disabled": row["status"] == "disabled"} if code == "customer.updated" else {}
        self.tell(code, row["id"], now, customerId=row["id"], name=row["name"], **more)

    def put_offering(self, row: Row) -> None:
        """Keeps an offering; 422 where its edition or plan is unknown. The last one of a SKU is the one sold."""
        if row["editionId"] not in self.editions.now:
            raise invalid("editionId", "Edition does not exist")
        if row["planId"] not in self.plans.now:
            raise invalid("planId", "Plan does not exist")
        self.offerings.put(row["id"], row)
        self.offering_with_sku[row["sku"]] = row["id"]

    def switch_customer(self, id_: str, now: datetime, *, on: bool) -> None:
        """Enables or disables a customer; its entitlements follow by their status (seen: OAS24)."""
        stamp = {"status": "active" if on else "disabled", "disabledDate": None if on else whole(now)}
        self.put_customer(self.customer(id_) | stamp | {"updatedAt": whole(now)}, now, "customer.updated")

    # Groups

    def put_group(self, group: Group) -> None:
        """Keeps a group and its place in the indexes."""
        old = self.groups.now.get(group.id)
        if old and old.customer_id and old.customer_id != group.customer_id:
            self.groups_of[old.customer_id].pop(group.id, None)
        if group.customer_id:
            self.groups_of[group.customer_id][group.id] = None
        for code in group.codes:
            self.groups_with_code[code][group.id] = None
        self.groups.put(group.id, group)

    def create_group(self, given: Row, now: datetime) -> Group:
        """A new group with an entitlement per SKU. Nothing is unique: a repeated call makes a second group."""
        code = given.get("activationCode") or self.new_code()
        self.check_customer(given.get("customerId"))
        offerings = self.offerings_of(given["skus"])
        if self.unique_codes and self.groups_with_code.get(code):
            raise conflict(f"Activation code {code} is in use")
        group = Group(
            id=self.new_id("egr"),
            created=whole(now),
            customer_id=given.get("customerId"),
            order_ref=given.get("orderRefId"),
            codes=(code,),
        )
        self.tell(
            "entitlement.group.created",
            group.id,
            now,
            entitlementGroupId=group.id,
            createdDate=group.created,
            orderRefId=group.order_ref,
            customerId=group.customer_id,
        )
        return self.add_entitlements(group, offerings, now)

    def extend_group(self, id_: str, skus: Sequence[str], now: datetime) -> Group:
        """The group with an entitlement more per SKU, also of SKUs that it has."""
        group, offerings = self.group(id_), self.offerings_of(skus)
        self.tell_group(group, now)
        return self.add_entitlements(group, offerings, now)

    def add_entitlements(self, group: Group, offerings: Sequence[str], now: datetime) -> Group:
        """The group with new entitlements of these offerings, all kept."""
        made = [
            fresh(self.terms(offering), id_=self.new_id("ent"), group_id=group.id, now=now) for offering in offerings
        ]
        group = replace(group, entitlements=(*group.entitlements, *(one.id for one in made)))
        self.put_group(group)
        for one in made:
            self.entitlements.put(one.id, one)
            kind = self.terms(one.offering_id).plan["licenseType"]
            of = {"entitlementId": one.id, "entitlementGroupId": group.id}
            self.tell("entitlement.created", one.id, now, **of, licenseType=kind, createdDate=one.created)
            if one.activated_at:
                self.tell_activated(one, now)
        return group

    def update_group(self, id_: str, given: Row, now: datetime) -> None:
        """Sets customer and order reference where given."""
        self.check_customer(given.get("customerId"))
        names = {"customerId": "customer_id", "orderRefId": "order_ref"}
        values: Row = {ours: given[name] for name, ours in names.items() if name in given}
        group = replace(self.group(id_), **values)
        self.put_group(group)
        self.tell_group(group, now)

    def find_group(self, code: str, product_id: str) -> Group:
        """The oldest group with this code and an entitlement of this product, or 404."""
        for group in self.groups.rows(self.groups_with_code.get(code, ())):
            if any(self.product_id(self.entitlements.now[id_]) == product_id for id_ in group.entitlements):
                return group
        raise missing("Entitlement group")

    def product_id(self, entitlement: Entitlement) -> str:
        """The product that the entitlement is of."""
        return str(self.editions.now[self.offerings.now[entitlement.offering_id]["editionId"]]["productId"])

    def check_customer(self, id_: str | None) -> None:
        """422 for a customer id in a body that is not known."""
        if id_ is not None and id_ not in self.customers.now:
            raise invalid("customerId", "Customer does not exist")

    def offerings_of(self, skus: Sequence[str]) -> list[str]:
        """The offering ids of these SKUs; 422 for one that is not known."""
        for sku in skus:
            if sku not in self.offering_with_sku:
                raise invalid("skus", f"Offering with SKU {sku} does not exist")
        return [self.offering_with_sku[sku] for sku in skus]

    def new_code(self) -> str:
        """An activation code as the vendor makes them: Y64E-GJQP-56EW-WEBG."""
        return "-".join("".join(self.random.choices(CODE_ALPHABET, k=4)) for _ in range(4))

    # Entitlements

    def writable(self, id_: str, now: datetime) -> Entitlement:
        """The entitlement, unless it is frozen: 409 while exported or while its customer is disabled."""
        entitlement = self.entitlement(id_)
        status = self.status(replace(entitlement, disabled_at=None), now)
        if status in ("exported", "customerDisabled"):
            raise conflict(f"Entitlement can't be changed while {status}")
        return entitlement

    def put_seats_checked(self, entitlement: Entitlement, now: datetime, *, force: bool) -> None:
        """Keeps the entitlement; 422 where it has fewer seats than are in use, unless forced."""
        if not force and entitlement.seat_count < len(self.seats(entitlement, now)):
            raise invalid("seatCount", "Seat count is lower than the seats in use")
        self.entitlements.put(entitlement.id, entitlement)
        self.tell_updated(entitlement.id, now)

    def update(self, id_: str, given: Row, now: datetime, *, force: bool) -> None:
        """PATCH: only the given values."""
        for name in ("attributes", "features"):
            if given.get(name):
                raise invalid(name, f"Entitlement has no such {name}")
        old = self.writable(id_, now)
        new = patched(old, given)
        self.put_seats_checked(new, now, force=force or new.seat_count >= old.seat_count)

    def activate(self, id_: str, now: datetime) -> None:
        """Starts an entitlement that was only created; 409 for any other."""
        entitlement = self.writable(id_, now)
        if self.status(entitlement, now) != "created":
            raise conflict("Entitlement can't be activated in its state")
        entitlement = activated(entitlement, self.terms(entitlement.offering_id), now)
        self.entitlements.put(id_, entitlement)
        self.tell_activated(entitlement, now)

    def renew(self, id_: str, now: datetime) -> None:
        """One period more. NOT repeatable: two calls add two."""
        entitlement = self.writable(id_, now)
        terms = self.terms(entitlement.offering_id)
        if terms.perpetual:
            raise invalid("licenseType", "Only subscriptions can be renewed")
        if entitlement.activated_at is None:
            raise conflict("Entitlement was never activated")
        expiry = renewed_expiry(entitlement, terms.plan["licenseDuration"], now)
        dates = {"renewedAt": now, "previousExpiryDate": entitlement.expires_at, "newExpiryDate": expiry}
        entitlement = replace(entitlement, expires_at=expiry)
        self.entitlements.put(id_, entitlement)
        self.tell("entitlement.renewed", id_, now, entitlementId=id_, **dates)
        if entitlement.usage_reset == "onRenewal":
            self.end_cycle(entitlement, now)

    def change_offering(self, id_: str, offering_id: str, now: datetime, *, force: bool) -> None:
        """Another offering of the same product; the term starts again."""
        entitlement = self.writable(id_, now)
        if offering_id not in self.offerings.now:
            raise invalid("offeringId", "Offering does not exist")
        terms = self.terms(offering_id)
        if terms.product["id"] != self.product_id(entitlement):
            raise invalid("offeringId", "Offering is of another product")
        self.put_seats_checked(reoffered(entitlement, terms, now), now, force=force)

    def reset_overrides(self, id_: str, names: Iterable[str], now: datetime, *, force: bool) -> None:
        """The named values (wire names) are the offering's again."""
        entitlement = self.writable(id_, now)
        given = offered(self.terms(entitlement.offering_id))
        values: Row = {OVERRIDES[name][0]: given[name] for name in names}
        flags = {OVERRIDES[name][1] for name in names}
        self.put_seats_checked(replace(entitlement, edited=entitlement.edited - flags, **values), now, force=force)

    def switch(self, id_: str, now: datetime, *, on: bool) -> None:
        """Enables or disables; doing it again changes nothing, also not disabledDate."""
        entitlement = self.writable(id_, now)
        stamp = None if on else entitlement.disabled_at or whole(now)
        self.entitlements.put(id_, replace(entitlement, disabled_at=stamp))
        self.tell_updated(id_, now)

    def provision(self, id_: str, now: datetime) -> None:
        """Asks an outside system to provision it: an event, and its date (seen: OAS24)."""
        entitlement = replace(self.entitlement(id_), provisioned_at=whole(now))
        self.entitlements.put(id_, entitlement)
        product = self.product_id(entitlement)
        self.tell("entitlement.provision", id_, now, entitlementId=id_, productId=product)

    # Features that are used up

    def next_cycle(self, one: Entitlement) -> datetime | None:
        """When the usage counters are reset next; None without counters, or where nobody knows."""
        if not self.features.get(one.offering_id) or one.activated_at is None:
            return None
        if one.usage_reset == "onRenewal":
            return one.expires_at
        began = one.cycle_began or one.activated_at
        months = (began.year - one.activated_at.year) * 12 + began.month - one.activated_at.month + 1
        return add_months(one.activated_at, months) if one.usage_reset == "monthly" else None

    def end_cycle(self, one: Entitlement, at: datetime) -> None:
        """The usage counters are reset, and their totals told; nothing where there are none."""
        if not (features := self.features.get(one.offering_id)):
            return
        totals = [
            {"key": key, "used": used, "overdraftUsed": 0 if value is None else max(0, used - value)}
            for key, value in ((key, feature["value"]) for key, feature in features.items())
            for used in [one.used.get(key, 0)]
        ]
        cycle = {"billingCycleStart": one.cycle_began or one.activated_at, "billingCycleEnd": whole(at)}
        self.entitlements.put(one.id, replace(one, used=MappingProxyType({}), cycle_began=whole(at)))
        self.tell("entitlement.usage.summary", one.id, at, entitlementId=one.id, **cycle, featureUsages=totals)

    def check_out(self, activation_id: str, key: str, amount: int, now: datetime) -> Entitlement:
        """Uses up so much of a usageCount feature, for good; 402 beyond its limit."""
        entitlement, seat = self.seat(activation_id, now)
        feature = self.features.get(entitlement.offering_id, {}).get(key)
        if feature is None:
            raise missing("Feature")
        used, limit = entitlement.used.get(key, 0) + amount, feature_limit(feature)
        if limit is not None and used > limit:
            self.note_seat(entitlement.id, seat.id, seat.seat_id, "featureCheckoutDenied", now)
            raise Refused(402, "The usage limit is reached", code="featureLimitReached")
        self.note_seat(entitlement.id, seat.id, seat.seat_id, "featureCheckout", now)
        entitlement = replace(entitlement, used=MappingProxyType({**entitlement.used, key: used}))
        self.entitlements.put(entitlement.id, entitlement)
        return entitlement

    # Seats

    def take_seat(self, given: Row, now: datetime) -> tuple[Entitlement, Seat]:
        """A seat of the code's entitlement of this product. The same seat id holds the same seat; 402: none left."""
        credentials = given["activationCredentials"]
        if credentials["type"] != "activationCode":
            raise Refused(402, "Only activation codes are set up here", code="activationDenied")
        group = self.find_group(credentials["code"], given["productId"])
        fitting = [
            one
            for one in self.entitlements.rows(group.entitlements)
            if self.product_id(one) == given["productId"]
            and given.get("editionId") in (None, self.terms(one.offering_id).edition["id"])
        ]
        if not fitting:
            raise missing("Entitlement")
        chosen = next((one for one in fitting if self.refusal(one, given["seatId"], now) is None), fitting[0])
        return self.hold_seat(chosen, given["seatId"], given.get("seatName"), now)

    def hold_seat(
        self, entitlement: Entitlement, seat_id: str, name: str | None, now: datetime
    ) -> tuple[Entitlement, Seat]:
        """The seat, new or with a new lease, and its entitlement; 402 and a log row where it is denied."""
        refusal = self.refusal(entitlement, seat_id, now)
        if refusal:
            self.note_seat(entitlement.id, None, seat_id, "activationDenied", now)
            raise Refused(402, refusal, code="activationDenied")
        if entitlement.activated_at is None:
            entitlement = activated(entitlement, self.terms(entitlement.offering_id), now)
            self.tell_activated(entitlement, now)
        seats = self.seats(entitlement, now)
        held = seats.get(seat_id)
        seat = Seat(
            id=held.id if held else self.new_id("act"),
            seat_id=seat_id,
            name=name,
            method="activationCode",
            username=None,
            activated=held.activated if held else whole(now),
            last_lease=whole(now),
            lease_expiry=lease_end(entitlement, now),
        )
        entitlement = self.put_seats(entitlement, seats | {seat_id: seat})
        self.entitlement_of_seat[seat.id] = entitlement.id
        operation = "refresh" if held else "activate"
        self.note_seat(entitlement.id, seat.id, seat_id, operation, now, lease=seat.lease_expiry)
        if not held:
            over = len(seats) >= entitlement.seat_count
            self.tell_seat("entitlement.seat.activated", entitlement, seat, now, over=over)
        return entitlement, seat

    def refusal(self, entitlement: Entitlement, seat_id: str, now: datetime) -> str | None:
        """Why this seat can't be taken now; None where it can."""
        status = self.status(entitlement, now)
        starts = self.terms(entitlement.offering_id).plan["licenseStartType"] == "activation"
        if status not in ("active", "gracePeriod") and not (status == "created" and starts):
            return f"Entitlement is {status}"
        seats = self.seats(entitlement, now)
        extra = overdraft_seats(entitlement.seat_count, entitlement.overdraft)
        if seat_id in seats or extra is None or len(seats) < entitlement.seat_count + extra:
            return None
        return "No seat is left"

    def seat(self, activation_id: str, now: datetime) -> tuple[Entitlement, Seat]:
        """The held seat with this activation id, and its entitlement; 404 once it has ended."""
        entitlement = self.entitlements.now.get(self.entitlement_of_seat.get(activation_id, ""))
        seats = self.seats(entitlement, now).values() if entitlement else ()
        for seat in seats:
            if seat.id == activation_id and entitlement:
                return entitlement, seat
        raise missing("Activation")

    def refresh_seat(self, activation_id: str, now: datetime) -> tuple[Entitlement, Seat]:
        """A longer lease; 422 where it already ends with the entitlement (seen: GEN25)."""
        entitlement, seat = self.seat(activation_id, now)
        limit = lease_limit(entitlement)
        if limit and seat.lease_expiry >= limit:
            raise invalid("activationId", "The lease already ends with the entitlement")
        return self.hold_seat(entitlement, seat.seat_id, seat.name, now)

    def free_seat(self, activation_id: str, now: datetime, method: str = "delete") -> Entitlement:
        """Ends a held seat: by the Management API (delete), or by the application that held it (deactivate)."""
        entitlement, seat = self.seat(activation_id, now)
        seats = self.seats(entitlement, now)
        over = len(seats) > entitlement.seat_count
        del seats[seat.seat_id]
        del self.entitlement_of_seat[activation_id]
        self.note_seat(entitlement.id, seat.id, seat.seat_id, "deactivate", now)
        entitlement = self.put_seats(entitlement, seats)
        ended = {"deactivatedAt": now, "method": method}
        self.tell_seat("entitlement.seat.deactivated", entitlement, seat, now, over=over, **ended)
        return entitlement

    def hold_exactly(self, id_: str, count: int, now: datetime) -> int:
        """People take seats, or give the longest held ones back, until so many are held; how many were denied one."""
        held = sorted(self.seats(self.entitlement(id_), now).values(), key=lambda seat: seat.activated)
        for seat in held[: max(0, len(held) - count)]:
            self.free_seat(seat.id, now, "deactivate")
        taken, denied = {seat.seat_id for seat in held}, 0
        free = (name for name in map("seat-{:03}".format, itertools.count(1)) if name not in taken)
        for name in itertools.islice(free, max(0, count - len(held))):
            try:
                self.hold_seat(self.entitlement(id_), name, None, now)
            except Refused:
                denied += 1
        return denied

    def put_seats(self, entitlement: Entitlement, seats: Mapping[str, Seat]) -> Entitlement:
        """Keeps the entitlement with exactly these seats."""
        entitlement = replace(entitlement, seats=MappingProxyType(dict(seats)))
        self.entitlements.put(entitlement.id, entitlement)
        return entitlement

    def note_seat(
        self,
        entitlement_id: str,
        activation_id: str | None,
        seat_id: str,
        operation: str,
        now: datetime,
        *,
        lease: datetime | None = None,
    ) -> None:
        """Appends to the entitlement's activations-log."""
        self.log[entitlement_id].append(
            {
                "activationId": activation_id,
                "seatId": seat_id,
                "timestamp": whole(now),
                "operation": operation,
                "leaseExpiry": lease,
                "location": {"ipAddress": "127.0.0.1", "countryCode": None, "regionCode": None},
            }
        )


def lease_end(entitlement: Entitlement, now: datetime) -> datetime:
    """When a lease taken now ends: after the lease period, but not later than the license with its grace."""
    end = later(whole(now), entitlement.lease)
    limit = lease_limit(entitlement)
    return min(end, limit) if limit else end


def lease_limit(entitlement: Entitlement) -> datetime | None:
    """The end of the license with its grace, which no lease outlives; None for a perpetual one."""
    return grace_expiry(entitlement) or entitlement.expires_at


def found(table: Table[T], id_: str, what: str) -> T:
    """The record, or 404."""
    record = table.now.get(id_)
    if record is None:
        raise missing(what)
    return record
