"""FastSpring asks for an activation code while it completes an order: is it FastSpring, and for what does it ask. Pure.

A license generator of the kind "Remote Server Request" posts a form; `security_request_hash` is MD5, in hex, of all
other values in the order of their names and the generator's private key (developer.fastspring.com, "License Keys").
Which parameters it sends is set there: connectors/fastspring/README.md says which the hub needs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from hub.domain import Envelope, Line, Ref
from hub.errors import UnreadableError, VerificationError
from hub.ports import Asked

HASH = "security_request_hash"
TYPE = "fulfillment.requested"
FORM = "application/x-www-form-urlencoded"
_MOST = 100  # parameters
_ID = re.compile(r"[!-.0-~]{1,100}")  # printable, no blank and no slash
_TRUE, _FALSE = {"true", "1", "yes"}, {"", "false", "0", "no"}


class FastSpringFulfillment:
    """A `Fulfillment` (hub/ports.py): whoever has one of `keys` may ask."""

    def __init__(self, source: str, keys: Sequence[str], *, livemode: bool = True) -> None:
        self._source, self._livemode = source, livemode
        self._keys = tuple(key.encode() for key in keys)

    def asked(self, body: bytes, headers: Mapping[str, str]) -> Asked:
        """What is asked for; VerificationError unless one of our keys signed it, UnreadableError says what lacks."""
        if not is_form(headers):
            raise UnreadableError(f"send {FORM}")
        form = _form(body)
        verify(form, self._keys)
        event = event_of(self._source, body, livemode=self._livemode)
        if event.subject is None:
            raise UnreadableError("no purchase is named")
        product = form.get("product", "").strip()
        if not product:
            raise UnreadableError("the parameter product is missing: the product's path")
        line = Line(id=event.subject.id, keys=(product,), sku=product)
        return Asked(event=event, subject=event.subject, line=line)


def verify(form: Mapping[str, str], keys: Sequence[bytes]) -> None:
    """Raises VerificationError unless one of `keys` signed the form. Every key is tried, found or not."""
    given = form.get(HASH, "")
    if not given:
        raise VerificationError("no signature")
    values = "".join(form[name] for name in sorted(form) if name != HASH).encode()
    proven = False
    for key in keys:
        expected = hashlib.md5(values + key, usedforsecurity=False).hexdigest()  # the vendor's scheme
        proven |= hmac.compare_digest(expected.encode(), given.lower().encode())
    if not proven:
        raise VerificationError("wrong signature")


def event_of(source: str, body: bytes, *, livemode: bool) -> Envelope:
    """The request as an event: the same id each time it is sent; UnreadableError where it names no purchase."""
    form = _form(body)
    subject = _subject(source, form)
    return Envelope(
        external_id=f"fulfillment:{subject.kind}:{subject.id}:{_digest(form.get('product', ''))}",
        type=TYPE,
        occurred_at=None,
        subject=subject,
        livemode=_livemode(form, livemode),
    )


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a body with these headers is a form."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def _subject(source: str, form: Mapping[str, str]) -> Ref:
    """A subscription is a purchase of its own; what is bought once is its order's."""
    for kind in ("subscription", "order"):
        id_ = form.get(kind, "").strip()
        if not id_:
            continue
        if not _ID.fullmatch(id_):
            raise UnreadableError(f"the parameter {kind} is no id")
        return Ref(source=source, kind=kind, id=id_)
    raise UnreadableError("the parameter subscription or order is missing: the id of what is sold")


def _livemode(form: Mapping[str, str], otherwise: bool) -> bool:  # noqa: FBT001
    """By the parameter `test`, where it is sent."""
    if "test" not in form:
        return otherwise
    said = form["test"].strip().lower()
    if said not in _TRUE | _FALSE:
        raise UnreadableError("the parameter test is neither true nor false")
    return said in _FALSE


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=_MOST
        )
    except ValueError as error:
        raise UnreadableError("no readable form") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("a parameter that is there twice")
    return found


def _digest(product: str) -> str:
    return hashlib.sha256(product.encode()).hexdigest()[:16]
