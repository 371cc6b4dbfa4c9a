"""Where a list goes on: text that means nothing to whoever carries it. Pure."""

from __future__ import annotations

import base64
import binascii

from hub.errors import PermanentError


def shut(name: str, place: str | None) -> str | None:
    """The cursor of a place in the list of this name; None at its end."""
    return None if place is None else base64.urlsafe_b64encode(f"{name} {place}".encode()).decode().rstrip("=")


def opened(name: str, cursor: str) -> str:
    """The place that a cursor says; empty: the beginning. PermanentError where it is none of this list's."""
    if not cursor:
        return ""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    said, _, place = text.partition(" ")
    if said != name or not place or "\0" in place:
        raise PermanentError("cursor is none of this list's", hint="send `next` of the page before, or leave it out")
    return place
