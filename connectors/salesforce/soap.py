"""Outbound Messages: the envelope read by a parser that takes nothing but elements and text, and its answers. Pure.

Expat, for it resolves nothing by itself, and each thing that an attack needs is refused where it begins: a document
type (so that there are no entities), a processing instruction, depth, many elements, long or many attributes (S10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from hub.errors import UnreadableError

MOST = 100  # notifications in a message (developer.salesforce.com, "Understanding Outbound Messaging", read 2026-11)
_DEEPEST, _ELEMENTS, _ATTRIBUTES, _ATTRIBUTE_LENGTH = 8, 60_000, 8, 1_000
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_XSI_TYPE = "http://www.w3.org/2001/XMLSchema-instance type"
_BODY = ("Envelope", "Body", "notifications")
_NOTIFICATION = (*_BODY, "Notification")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One notification: its own id, the object's type, and the fields that the message shows of the object."""

    id: str
    object: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one post says. Of the org it says its id; a session it has not had since February 2026."""

    organization: str
    notifications: tuple[Notification, ...]


@dataclass(slots=True)
class _Reading:
    """A message as far as it has been read. `path`: local names from the root; namespaces differ between senders."""

    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    elements: int = 0
    organization: str = ""
    id: str = ""
    object: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.elements += 1
        if len(self.path) == _DEEPEST or self.elements > _ELEMENTS:
            raise UnreadableError("the message is too deep, or has too many elements")
        if len(attributes) > _ATTRIBUTES or any(len(value) > _ATTRIBUTE_LENGTH for value in attributes.values()):
            raise UnreadableError("an element has too many attributes, or too long ones")
        self.path.append(name.rpartition(" ")[2])
        self.text.clear()
        if tuple(self.path) == _NOTIFICATION:
            self.id, self.object, self.fields = "", "", {}
        if tuple(self.path) == (*_NOTIFICATION, "sObject"):
            self.object = attributes.get(_XSI_TYPE, "").rpartition(":")[2]

    def end(self, _name: str) -> None:
        path, text = tuple(self.path), "".join(self.text).strip()
        self.path.pop()
        self.text.clear()
        if path == (*_BODY, "OrganizationId"):
            self.organization = text
        elif path == (*_NOTIFICATION, "Id"):
            self.id = text
        elif path[:-1] == (*_NOTIFICATION, "sObject"):
            self.fields[path[-1]] = text
        elif path == _NOTIFICATION:
            self._notified()

    def _notified(self) -> None:
        if len(self.notifications) == MOST:
            raise UnreadableError(f"more than {MOST} notifications")
        self.notifications.append(Notification(id=self.id, object=self.object, fields=self.fields))


def message_in(body: bytes) -> Message:
    """What the post says; UnreadableError where it is none, or more than a message ever is. Linear in its length."""
    reading = _Reading()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text.append
    parser.StartDoctypeDeclHandler = _no_document_type
    parser.EntityDeclHandler = _no_document_type
    parser.ProcessingInstructionHandler = _no_instruction
    try:
        body.decode()  # else expat would go by a byte order mark of UTF-16
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as error:
        raise UnreadableError("the message is no XML in UTF-8") from error
    if not reading.notifications or not reading.organization:
        raise UnreadableError("the message names no org, or notifies of nothing")
    return Message(organization=reading.organization, notifications=tuple(reading.notifications))


def ack(*, kept: bool) -> bytes:
    """The answer. Only `true` ends the message: after anything else it comes again, all of it, for 24 hours."""
    word = "true" if kept else "false"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{_ENVELOPE}"><soapenv:Body>'
        f'<notificationsResponse xmlns="{_OUTBOUND}"><Ack>{word}</Ack></notificationsResponse>'
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _no_document_type(*_: object) -> None:
    raise UnreadableError("a message has no document type and no entities")


def _no_instruction(*_: Sequence[str]) -> None:
    raise UnreadableError("a message has no processing instructions")
