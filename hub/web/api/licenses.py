"""Purchases, entitlements, customers and receipts, and why each license is so. The console reads the same functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Row

from hub import explain
from hub.errors import PermanentError
from hub.store import customers, pages
from hub.web.api import cursors, models
from hub.web.api.models import at

if TYPE_CHECKING:
    from hub.web.api.route import Call

T = TypeVar("T")
CHANGES = 20


def missing(what: str, id_: str) -> PermanentError:
    """What is answered where there is none."""
    return PermanentError(f"there is no {what} {id_[:100]!r}", code="not found")


def page(call: Call, rows: Iterable[Any], make: Callable[[Any], T], older: str | None) -> models.Page[T]:
    """A page of the list that is asked for; `older`: the place where it goes on."""
    return models.Page(items=[make(row) for row in rows], next=cursors.shut(call.route.name, older))


def place_of(call: Call) -> str:
    """Where in the list that is asked for to begin."""
    return cursors.opened(call.route.name, call.query.cursor)


def purchases(call: Call) -> models.Page[models.Purchase]:
    """Those that changed last first; due ones in the order in which they are looked at."""
    asked: models.Purchases = call.query
    place = place_of(call)
    with call.hub.store.read() as conn:
        refs = pages.subjects_called(conn, asked.q, _prefixes(call)) if asked.q else None
        found = pages.subjects(conn, asked.state, refs, place, limit=asked.limit)
    return page(call, found.rows, _purchase, found.older)


def purchase(call: Call) -> models.WholePurchase:
    """One purchase, whole."""
    ref = call.path["purchase"]
    with call.hub.store.read() as conn:
        row = pages.subject(conn, ref)
        if row is None:
            raise missing("purchase", ref)
        ids = [one.id for one in pages.entitlements_of(conn, ref)]
        changes = pages.changes(conn, ref).rows[:CHANGES]
    return models.WholePurchase(**dict(_purchase(row)), entitlements=ids, changes=[_change(one) for one in changes])


def entitlements(call: Call) -> models.Page[models.Entitlement]:
    """Those that changed last first."""
    asked: models.Found = call.query
    place = place_of(call)
    with call.hub.store.read() as conn:
        ids = explain.entitlements_called(conn, asked.q) if asked.q else None
        refs = pages.subjects_called(conn, asked.q, _prefixes(call)) if asked.q and not ids else []
        found = pages.entitlements(conn, ids, refs, place, limit=asked.limit)
    return page(call, found.rows, _entitlement, found.older)


def entitlement(call: Call) -> models.Entitlement:
    """One entitlement."""
    with call.hub.store.read() as conn:
        return _entitlement(_found(conn, call.path["entitlement"]))


def why(call: Call) -> models.Why:
    """For every field why it is so, or was."""
    asked: models.At = call.query
    id_ = call.path["entitlement"]
    told = explain.why(call.hub.store, id_, asked.at.timestamp() if asked.at else None)
    if told is None:
        raise missing("entitlement", id_)
    return models.Why.model_validate(explain.as_json(told))


def every_customer(call: Call) -> models.Page[models.Customer]:
    """Customers that have entitlements, by id."""
    asked: models.Listed = call.query
    with call.hub.store.read() as conn:
        rows = customers.after(conn, place_of(call), asked.limit + 1)
    more = rows[asked.limit - 1].id if len(rows) > asked.limit else None
    return page(call, rows[: asked.limit], _customer, more)


def customer(call: Call) -> models.WholeCustomer:
    """One customer, whole."""
    id_ = call.path["customer"]
    with call.hub.store.read() as conn:
        found = [_entitlement(row) for row in pages.entitlements_of_customer(conn, id_)]
        references = customers.references(conn, id_)
    if not found and not references:
        raise missing("customer", id_)
    name = next((one.customer_name for one in found if one.customer_name), None)
    return models.WholeCustomer(id=id_, name=name, references=references, entitlements=found)


def receipts(call: Call) -> models.Page[models.Receipt]:
    """Webhooks, newest first."""
    asked: models.Receipts = call.query
    place = place_of(call)
    known = {name: one.ref for name, one in call.hub.connectors.items()}
    with call.hub.store.read() as conn:
        which = pages.receipt_filter(conn, asked.q, asked.connection, asked.outcome or "", known)
        found = pages.receipts(conn, which, place, limit=asked.limit)
    return page(call, found.rows, _receipt, found.older)


def receipt(call: Call) -> models.Receipt:
    """One webhook."""
    number = pages.id_from(call.path["receipt"])
    with call.hub.store.read() as conn:
        row = pages.receipt(conn, number) if number is not None else None
    if row is None:
        raise missing("receipt", call.path["receipt"])
    return _receipt(row)


def _found(conn: Connection, id_: str) -> Row[Any]:
    row = next(iter(pages.entitlements(conn, [id_], []).rows), None)
    if row is None:
        raise missing("entitlement", id_)
    return row


def _prefixes(call: Call) -> list[str]:
    return [one.ref for one in call.hub.connectors.values()]


def _purchase(row: Row[Any]) -> models.Purchase:
    return models.Purchase(
        purchase=row.ref,
        connection=row.connection,
        kind=row.kind,
        state=row.state,
        cause=row.cause,
        reason=row.reason,
        summary=row.summary,
        order_ref=row.order_ref,
        customer_name=row.customer_name,
        next_look_at=at(row.next_look),
        looked_at=at(row.looked_at),
        changed_at=_at(row.changed_at),
    )


def _at(epoch: float) -> Any:  # noqa: ANN401  (a datetime: `at` of what is always there)
    return at(epoch)


def _change(row: Row[Any]) -> models.Change:
    names = ("id", "action", "outcome", "entitlement", "wanted", "found", "cause")
    return models.Change(at=_at(row.at), **{name: getattr(row, name) for name in names})


def _entitlement(row: Row[Any]) -> models.Entitlement:
    body: dict[str, Any] = row.body
    return models.Entitlement(
        id=row.id,
        purchase=row.subject,
        order_ref=row.order_ref,
        customer=row.customer_id,
        customer_name=row.customer_name,
        offering=row.offering,
        enabled=row.enabled,
        seats=body.get("seats"),
        seats_used=body.get("seats_used"),
        overdraft=body.get("overdraft"),
        expires_at=body.get("expires_at"),
        changed_at=_at(row.changed_at),
    )


def _customer(row: Row[Any]) -> models.Customer:
    return models.Customer(id=row.id, name=row.name, entitlements=row.entitlements)


def _receipt(row: Row[Any]) -> models.Receipt:
    return models.Receipt(
        id=row.id,
        connection=row.connection,
        event_id=row.external_id,
        type=row.type,
        purchase=row.subject,
        received_at=_at(row.received_at),
        outcome=row.outcome,
        reason=row.outcome_reason,
        duplicates=row.duplicates,
    )
