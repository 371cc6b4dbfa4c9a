"""Zentitle2 as the vendor that licenses: what a customer holds, and the actions that change it, one request each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from connectors.zentitle.client import (
    Client,
    EntitlementListRow,
    EntitlementModel,
    GroupModel,
    LogRow,
    OfferingModel,
    OverdraftLimit,
    WrongVersion,
    instant,
)
from connectors.zentitle.keys import Keys, public_key
from connectors.zentitle.webhook import told
from hub.domain import (
    Action,
    Applied,
    Call,
    ChangeOffering,
    CreateCustomer,
    CreateGroup,
    Disable,
    Enable,
    Entitlement,
    ExtendGroup,
    Held,
    Json,
    Offering,
    SeatEvent,
    SeatLogPage,
    SeatMove,
    SeatRow,
    SetTerms,
    Told,
)
from hub.errors import ConfigurationError, HubError, PermanentError
from hub.ports import Finding

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class ZentitleLicensing:
    """`hub.ports.Licensing` on one Zentitle2 tenant. Safe for many threads. `pseudonym`: see Deps."""

    def __init__(
        self, name: str, client: Client, keys: Keys, *, notes: bool, pseudonym: Callable[[str], str] = lambda _: ""
    ) -> None:
        self._name = name
        self._client = client
        self._keys = keys
        self._notes = notes
        self._pseudonym = pseudonym
        self._offerings: Mapping[str, Offering] | None = None
        self._doubled: Sequence[str] = ()
        self._lock = threading.Lock()

    def customers(self) -> Iterator[tuple[str, str]]:
        """(accountRefId, customer id) of every customer that has one."""
        return ((row.account_ref_id, row.id) for row in self._client.customers() if row.account_ref_id)

    def names(self) -> Iterator[tuple[str, str]]:
        """(customer id, name) of every customer that has one."""
        return ((row.id, row.name) for row in self._client.customers() if row.name)

    def offerings(self, *, refresh: bool = False) -> Mapping[str, Offering]:
        """Offerings by SKU; of two with one SKU the first counts."""
        with self._lock:
            if self._offerings is None or refresh:
                rows = [to_offering(model) for model in self._client.offerings()]
                self._offerings = {offering.sku: offering for offering in reversed(rows)}
                self._doubled = sorted(sku for sku, times in Counter(row.sku for row in rows).items() if times > 1)
            return self._offerings

    def held(self, customer_id: str, order_ref: str, *, groups: Sequence[str] = (), code: str | None = None) -> Held:
        """What the customer holds under `order_ref`, groups oldest first. See the port. Repeatable."""
        found = sorted(self._groups(customer_id, order_ref, groups, code), key=lambda group: group.created or _EARLIEST)
        entitlements = (
            to_entitlement(self._client.entitlement(row.id), group.id, order_ref, group.customer_id or customer_id)
            for group in found
            for row in group.entitlements or ()
        )
        return Held(groups=tuple(group.id for group in found), entitlements=tuple(entitlements))

    def entitlement(self, id: str) -> Entitlement | None:  # noqa: A002
        """The entitlement, in two reads: it does not name its customer, its group does. See the port. Repeatable."""
        model = self._client.find_entitlement(id)
        if model is None:
            return None
        group = self._client.group(model.entitlement_group_id) if model.entitlement_group_id else None
        order_ref, customer_id = (group.order_ref_id, group.customer_id) if group else (None, None)
        return to_entitlement(model, group.id if group else "", order_ref or "", customer_id or "")

    def entitlements(self) -> Iterator[SeatRow]:
        """Every entitlement, from list pages. Repeatable."""
        return map(to_seat_row, self._client.entitlements())

    def seat_log(self, id: str, since: datetime | None, until: datetime, page: int) -> SeatLogPage:  # noqa: A002
        """One page of the log of an entitlement's seats. See the port. Repeatable."""
        rows, more = self._client.activations_log(id, since, until, page)
        events = (to_seat_event(row, self._pseudonym) for row in rows)
        return SeatLogPage(events=tuple(one for one in events if one), more=more)

    def told(self, body: bytes) -> Told | None:
        """What a webhook's body says of an entitlement. See the port."""
        return told(body)

    def apply(self, action: Action) -> Applied:
        """One request that makes `action` true. Creates are not repeatable, the others are. See the port."""
        client = self._client
        match action:
            case CreateCustomer():
                customer, call = client.create_customer(action.name, action.account_ref)
                return Applied(ids=(customer.id,), call=call)
            case CreateGroup():
                group, call = client.create_group(
                    action.customer_id, action.order_ref, action.skus, action.activation_code
                )
                return Applied(ids=(group.id, *_ids(group)), call=call)
            case ExtendGroup():
                extended, call = client.extend_group(action.group_id, action.skus)
                return Applied(ids=_ids(extended, action.skus), call=call)
            case _:
                return Applied(ids=(), call=self._change(action))

    def note(self, entitlement_id: str, text: str) -> None:
        """A note stands on the entitlement, cut to the vendor's 1000 characters; none where notes are off."""
        if self._notes and text.strip():
            self._client.add_note(entitlement_id, text)

    def verify_access(self) -> Sequence[Finding]:
        """What keeps this connection from working; empty where all is well. Writes nothing.

        ConfigurationError where the server answers in another API version than the pinned one.
        """
        try:
            return self._findings()
        except WrongVersion as error:
            raise ConfigurationError(
                str(error),
                where=f"connections.{self._name}.api_version",
                mend="the hub speaks 2025-10-10 only: ask the vendor whether the tenant still serves it",
            ) from error

    def close(self) -> None:
        """Lets connections go."""
        self._client.close()

    def _groups(
        self, customer_id: str, order_ref: str, groups: Sequence[str], code: str | None
    ) -> Sequence[GroupModel]:
        if groups:
            return self._present(groups)
        listed = [group.id for group in self._client.groups_of(customer_id) if group.order_ref_id == order_ref]
        if listed or not code:
            return self._present(listed)
        by_code = self._by_code(code)
        return self._present([by_code.id] if by_code and by_code.order_ref_id == order_ref else [])

    def _present(self, ids: Sequence[str]) -> Sequence[GroupModel]:
        return [group for group in map(self._client.group, ids) if group]

    def _by_code(self, code: str) -> GroupModel | None:
        """The group with this activation code; the vendor wants to know the product, so each is asked."""
        products = dict.fromkeys(offering.product_id for offering in self.offerings().values())
        found = (self._client.group_by_code(code, product) for product in products)
        return next((group for group in found if group), None)

    def _change(self, action: ChangeOffering | SetTerms | Enable | Disable) -> Call:
        match action:
            case ChangeOffering():
                return self._client.change_offering(action.entitlement_id, action.offering_id, force=action.force)
            case SetTerms():
                return self._client.patch_entitlement(action.entitlement_id, to_fields(action), force=action.force)
            case Enable():
                return self._client.enable(action.entitlement_id)
            case Disable():
                return self._client.disable(action.entitlement_id)

    def _findings(self) -> Sequence[Finding]:
        blocked = self._probe(
            "token_url",
            self._client.tokens.renew,
            "check token_url (the OAuth URL plus /protocol/openid-connect/token), client_id and client_secret "
            "against Administration > API Credentials",
        ) or self._probe(
            "tenant_id",
            lambda: self.offerings(refresh=True),
            "check base_url and tenant_id against Administration > API Credentials, "
            "and that the API client may read products",
        )
        return blocked or [*self._rights(), *self._key(), *self._version(), *self._plans(), *self._skus()]

    def _rights(self) -> Sequence[Finding]:
        mend = "give the API client the scopes customers:admin and entitlements:admin"
        return self._probe("client_id", lambda: next(self._client.customers(), None), mend)

    def _key(self) -> Sequence[Finding]:
        """What is wrong with the key of the webhooks. A configured one need not be readable at the vendor."""
        mend = "copy RSA Modulus from Administration > API Credentials to rsa_modulus, or give the client api:admin"
        try:
            modulus = self._client.account_key().n
            public_key(modulus)
        except WrongVersion:
            raise
        except (HubError, ValueError) as error:
            problem = f"the key of the vendor's webhooks: {error}"
            return () if self._keys.fixed else [self._finding("error", "rsa_modulus", problem, mend)]
        if self._keys.admits(modulus):
            return ()
        problem = "is not the key that the vendor tells now, so its webhooks may all be refused"
        return [self._finding("warning", "rsa_modulus", problem, mend + ", or leave rsa_modulus away")]

    def _version(self) -> Sequence[Finding]:
        if not self._client.unversioned:
            return ()
        problem = "the server did not say which API version it used, so a change of the tenant's default goes unseen"
        return [self._finding("warning", "api_version", problem, "ask the vendor for the N-ApiVersion response header")]

    def _plans(self) -> Sequence[Finding]:
        late = [sku for sku, offering in self.offerings().items() if not offering.starts_at_creation]
        mend = "set the plan's license start to Entitlement Creation, or do not sell the offering through the hub"
        return [
            self._finding("warning", "offerings", f"{sku} does not start when its entitlement is created", mend)
            for sku in late
        ]

    def _skus(self) -> Sequence[Finding]:
        mend = "give one of them another SKU: which of them a sale creates is not documented"
        return [
            self._finding("warning", "offerings", f"several offerings have the SKU {sku}", mend)
            for sku in self._doubled
        ]

    def _probe(self, key: str, ask: Callable[[], object], mend: str) -> Sequence[Finding]:
        """What `ask` fails with, as a finding about the setting `key`."""
        try:
            ask()
        except WrongVersion:
            raise
        except PermanentError as error:
            return [self._finding("error", key, str(error), mend + (f" ({error.hint})" if error.hint else ""))]
        except HubError as error:
            return [self._finding("error", key, str(error), mend)]
        return ()

    def _finding(self, level: str, key: str, problem: str, mend: str) -> Finding:
        return Finding(level=level, about=f"connections.{self._name}.{key}", problem=problem, mend=mend)


def to_entitlement(model: EntitlementModel, group: str, order_ref: str, customer_id: str = "") -> Entitlement:
    """What the hub knows of an entitlement; `group` stands in where the model does not name its own."""
    return Entitlement(
        id=model.id,
        group_id=model.entitlement_group_id or group,
        order_ref=order_ref,
        offering=model.sku,
        offering_id=model.offering_id,
        product_id=model.product_id,
        seats=model.seat_count,
        seats_used=model.seats_used,
        overdraft=_overdraft(model.overdraft_seat_limit),
        expires_at=model.expiry_date,
        enabled=model.disabled_date is None and model.status != "disabled",
        status=model.status,
        own_grace=has_grace(model),
        perpetual=model.license_type == "perpetual",
        frozen=model.exported or model.status in {"exported", "customerDisabled"},
        created_at=model.created,
        customer_id=customer_id,
        maintenance_until=model.maintenance_expiry_date if model.has_maintenance else None,
        node_locked=model.concurrency_mode == "nodeLock",
    )


def to_seat_row(row: EntitlementListRow) -> SeatRow:
    """The numbers of a list row."""
    group = row.group
    return SeatRow(
        entitlement_id=row.id,
        group_id=group.id if group else "",
        customer_id=(group and group.customer_id) or "",
        order_ref=(group and group.order_ref_id) or "",
        offering=row.sku,
        seats=row.seat_count,
        seats_used=row.seats_used,
        overdraft=_overdraft(row.overdraft_seat_limit),
        expires_at=row.expiry_date,
    )


# Operations of the log that say something of a seat; the others are about features.
MOVES = {
    "activate": SeatMove.ACTIVATE,
    "refresh": SeatMove.REFRESH,
    "deactivate": SeatMove.DEACTIVATE,
    "activationDenied": SeatMove.DENIED,
}


def to_seat_event(row: LogRow, pseudonym: Callable[[str], str]) -> SeatEvent | None:
    """What a row of the log says of a seat, in whole seconds; None where it says nothing of one.

    A row has no id, so its id is what it says: read again it is the same event.
    """
    move, seat = MOVES.get(row.operation), row.seat_id or row.activation_id
    stands_for = pseudonym(seat) if seat else ""
    if move is None or not stands_for:
        return None
    at = int(row.timestamp.timestamp())
    lease = row.lease_expiry if move in {SeatMove.ACTIVATE, SeatMove.REFRESH} else None
    return SeatEvent(
        id=f"log:{stands_for}:{move}:{at}",
        move=move,
        at=float(at),
        seat=stands_for,
        user=stands_for,
        lease_expiry=float(int(lease.timestamp())) if lease else None,
    )


def _overdraft(limit: OverdraftLimit | None) -> int | None:
    return limit.seats if limit else None


def has_grace(model: EntitlementModel) -> bool:
    """Whether the entitlement goes on for a while after its expiry."""
    grace = model.grace_period
    return grace is not None and grace.type != "none" and (grace.count or 0) > 0


def to_offering(model: OfferingModel) -> Offering:
    """What the hub knows of an offering."""
    return Offering(
        id=model.id,
        sku=model.sku,
        product_id=model.edition.of_product,
        perpetual=model.plan.license_type == "perpetual",
        starts_at_creation=model.plan.license_start_type == "entitlementCreation",
        seats=model.seat_count,
    )


def to_fields(terms: SetTerms) -> dict[str, Json]:
    """The body of the PATCH that makes `terms` true: given values only, since absent ones stay as they are."""
    fields: dict[str, Json] = {
        "expiryDate": None if terms.expires_at is None else instant(terms.expires_at),
        "seatCount": terms.seats,
        "overdraftSeatLimit": None if terms.overdraft is None else {"type": "absolute", "value": terms.overdraft},
        "hasMaintenance": None if terms.maintenance_until is None else True,
        "maintenanceExpiryDate": None if terms.maintenance_until is None else instant(terms.maintenance_until),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _ids(group: GroupModel | None, skus: Sequence[str] | None = None) -> tuple[str, ...]:
    """Ids of the entitlements that an answer tells of; with `skus` only those, as an extended group has others."""
    rows = (group and group.entitlements) or ()
    return tuple(row.id for row in rows if skus is None or row.sku in skus)
