"""What vendors reported, as the stream tells it: one message for each fact of a vendor's event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.domain import Envelope, Event
from hub.stream.events import LicensingFact, Message, Payload, PurchaseFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the record knows of a subject when it hears of it."""

    order_ref: str | None = None
    purchase: str | None = None
    entitlements: tuple[str, ...] = ()


def messages(connection: str, envelope: Envelope, known: Callable[[str], Known]) -> tuple[Message, ...]:
    """The facts of one vendor event, under the ids that its connector gave them. `known` takes a subject's text."""
    return tuple(_message(connection, envelope, event, known(str(event.subject))) for event in envelope.events)


def _message(connection: str, envelope: Envelope, event: Event, known: Known) -> Message:
    of_entitlement = event.subject.kind == "entitlement"
    data = (_licensing if of_entitlement else _purchase)(connection, envelope, event, known)
    return Message(
        id=event.id,
        type=event.type,
        occurred_at=event.occurred_at,
        subject=str(event.subject),
        entitlement=event.subject.id if of_entitlement else _only(known.entitlements),
        data=data,
    )


def _purchase(connection: str, envelope: Envelope, event: Event, known: Known) -> Payload:
    return PurchaseFact(
        connection=connection,
        event_id=envelope.external_id,
        event_type=envelope.type,
        subject=str(event.subject),
        order_ref=known.order_ref,
        entitlements=known.entitlements,
        details=dict(event.data),
    )


def _licensing(connection: str, envelope: Envelope, event: Event, known: Known) -> Payload:
    return LicensingFact(
        connection=connection,
        event_id=envelope.external_id,
        event_type=envelope.type,
        entitlement=event.subject.id,
        order_ref=known.order_ref,
        purchase=known.purchase,
        details=dict(event.data),
    )


def _only(ids: Sequence[str]) -> str | None:
    return ids[0] if len(ids) == 1 else None
