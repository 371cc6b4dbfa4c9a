"""Ids of records, in the form of 18 characters: Salesforce gives the same id with 15, where case alone counts."""

from __future__ import annotations

import re

from hub.errors import UnreadableError

SHORT = 15
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def eighteen(id_: str) -> str:
    """The id with its three checksum characters (Salesforce help, "18-character ID")."""
    short = id_[:SHORT]
    parts = (short[start : start + 5] for start in (0, 5, 10))
    return short + "".join(_LETTERS[sum(1 << i for i, one in enumerate(part) if one.isupper())] for part in parts)


def record_id(text: str | None, what: str) -> str:
    """The id in `text`, with 18 characters; UnreadableError where there is none."""
    if not text or not _ID.fullmatch(text):
        raise UnreadableError(f"{what} is no id of a record")
    return eighteen(text)
