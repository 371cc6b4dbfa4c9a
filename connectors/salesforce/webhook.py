"""What Salesforce sends: Outbound Messages, and callouts of the org's own Flow or Apex. Pure.

Either only says where to look: the record is read again with a token of our own. An Outbound Message is not signed, so
it must come to a path that only the org knows and name that org (S11); a callout is signed with its time.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.fields import Object, text
from connectors.jsonsafe import loads
from connectors.salesforce.ids import SHORT, eighteen, record_id
from connectors.salesforce.shapes import SHAPES, Shape
from connectors.salesforce.soap import Message, Notification, ack, message_in
from hub.domain import Envelope, Event, Ref
from hub.errors import UnreadableError, VerificationError
from hub.ports import PATH_KEY, Reply

HEADER = "x-hub-signature"
# The object that is told of -> the fact that consumers hear of. What became of it is told by the look.
EVENTS = {name: "purchase.changed" for shape in SHAPES.values() for name in shape.names}
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:licensing-hub:event:salesforce")
_TOLERANCE_S, _AHEAD_S = 300, 60
_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
_WORD = re.compile(r"[!-~]{1,255}")


class SalesforceWebhooks:
    """What one org sends; a `Webhooks` (hub/ports.py).

    outbound: secrets, one of which ends the path of Outbound Messages. secrets: sign callouts.
    """

    def __init__(
        self, source: str, organization: str, shape: Shape, *, outbound: Sequence[str], secrets: Sequence[str]
    ) -> None:
        self._source, self._organization, self._shape = source, eighteen(organization), shape
        self._outbound = [one.encode() for one in outbound]
        self._secrets = [one.encode() for one in secrets]

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:
        """Raises VerificationError unless `body` is the org's: by path and org, or by a signature with its time."""
        if HEADER in headers or not is_soap(body):
            verify_callout(body, headers.get(HEADER, ""), self._secrets, now)
            return
        known = _among(headers.get(PATH_KEY, "").encode(), self._outbound)
        try:
            named = message_in(body).organization if known else ""
        except UnreadableError as error:
            raise VerificationError(str(error)) from error
        if not hmac.compare_digest(named[:SHORT].encode(), self._organization[:SHORT].encode()):
            raise VerificationError("another path or another org")

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Envelope]:  # noqa: ARG002  (the port's)
        """An event for each notification; UnreadableError where none can be read. Repeatable, same ids."""
        if not is_soap(body):  # a callout, or a notification as it was kept
            return (self._envelope(loads(body)),)
        message = message_in(body)
        return tuple(self._notified(message, one) for one in message.notifications)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether both tell of the same record: a message that comes again shows the newest values."""
        return bool(_told(one) == _told(other))

    def refused(self, envelope: Envelope) -> str | None:
        """Why an authentic event is not for this connection; None where it is."""
        if envelope.account != self._organization:
            return f"it is of the org {envelope.account}, this connection's is {self._organization}"
        return None

    def _notified(self, message: Message, one: Notification) -> Envelope:
        told = {
            "event_id": one.id,
            "org_id": message.organization,
            "object": one.object,
            "id": one.fields.get("Id"),
            "occurred_at": one.fields.get("SystemModstamp") or one.fields.get("LastModifiedDate"),
        }
        body = json.dumps(told, separators=(",", ":")).encode()
        try:
            return self._envelope(told, body)
        except UnreadableError as error:
            id_ = str(uuid5(_NAMESPACE, body.decode()))
            return Envelope(
                external_id=id_,
                type="unreadable",
                occurred_at=None,
                account=self._organization,
                unreadable=str(error),
                body=body,
            )

    def _envelope(self, told: Object, body: bytes | None = None) -> Envelope:
        external_id, name = _word(told, "event_id"), _word(told, "object")
        organization = record_id(text(told, "org_id"), "org_id")
        if name not in self._shape.names:
            because = f"this connection sells by {self._shape.object}" if name in EVENTS else "unknown type"
            return Envelope(
                external_id=external_id,
                type=name,
                occurred_at=None,
                account=organization,
                ignored_because=because,
                body=body,
            )
        at = moment(text(told, "occurred_at"))
        subject = Ref(source=self._source, kind=name.lower(), id=record_id(text(told, "id"), "id"))
        fact = str(uuid5(_NAMESPACE, f"{subject}/{at.isoformat()}")) if at else ""
        return Envelope(
            external_id=external_id,
            type=name,
            occurred_at=at,
            subject=subject,
            events=(Event(id=fact, type=EVENTS[name], subject=subject, occurred_at=at),) if at else (),
            account=organization,
            body=body,
        )


def is_soap(body: bytes) -> bool:
    """Whether this is a message of SOAP rather than an object of JSON."""
    return not body.lstrip().startswith(b"{")


def verify_callout(body: bytes, header: str, secrets: Sequence[bytes], now: float) -> None:
    """Raises VerificationError unless `header` is `t=<epoch seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<body>`.

    At most 300 s old and 60 s ahead. Every secret is tried, so that a wrong one takes as long as a right one.
    """
    match = _SIGNATURE.fullmatch(header)
    if match is None:
        raise VerificationError("no signature" if not header else "malformed signature")
    proven = False
    for secret in secrets:
        expected = hmac.new(secret, match[1].encode() + b"." + body, "sha256").hexdigest()
        proven |= hmac.compare_digest(expected, match[2])
    if not proven:
        raise VerificationError("wrong signature")
    if not -_AHEAD_S <= now - int(match[1]) <= _TOLERANCE_S:
        raise VerificationError("the signature is too old, or ahead of its time")


def replying(content_type: str, kept: bool) -> Reply | None:  # noqa: FBT001  (the port's)
    """What Salesforce reads as the answer to an Outbound Message; None for a callout, which goes by the status."""
    if not content_type.startswith("text/xml"):
        return None
    return Reply(body=ack(kept=kept), content_type="text/xml; charset=utf-8")


def moment(value: str | None) -> datetime | None:
    """The time that Salesforce wrote, in UTC; None where there is none."""
    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError as error:
        raise UnreadableError("a time can't be read") from error
    if found is not None and found.tzinfo is None:
        raise UnreadableError("a time without its zone")
    return found


def _among(found: bytes, known: Sequence[bytes]) -> bool:
    """Whether one of these was given; all are compared."""
    return sum(hmac.compare_digest(found, one) for one in known) > 0


def _told(body: bytes) -> tuple[Any, ...]:
    told = loads(body)
    return (told.get("object"), str(told.get("id"))[:SHORT])


def _word(holder: Object, name: str) -> str:
    value = text(holder, name) or ""
    if not _WORD.fullmatch(value):
        raise UnreadableError(f"{name} is missing or unusable")
    return value
