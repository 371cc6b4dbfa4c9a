"""Links to a customer's own page: signed with the hub's secret, good until a day, void once revoked.

A link is its own key: whoever has it sees the page. It holds the account, the last second and a version; the record
holds the version that counts (`store.portals`), so that one row revokes all links of a customer at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import Connection

from hub.store import Store, portals, records

SALT = "portal link"
DAY_S = 86400
LONGEST_DAYS = 400
TOKEN_AT_MOST = 1000  # characters: longer ones are not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a token says. `expires_at` in epoch seconds, machine time."""

    account: str
    version: int
    expires_at: int


def token_of(link: Link, secrets: Sequence[bytes]) -> str:
    """The token of a link, signed with the first of `secrets`; safe in a path."""
    made: str | bytes = _serializer(secrets).dumps([link.account, link.version, link.expires_at])
    return made if isinstance(made, str) else made.decode()


def read(token: str, secrets: Sequence[bytes]) -> Link | None:
    """What a token says that any of `secrets` signed; None for every other text."""
    if len(token) > TOKEN_AT_MOST:
        return None
    try:
        account, version, expires_at = _serializer(secrets).loads(token)
    except (BadData, ValueError, TypeError):
        return None
    return Link(account=account, version=version, expires_at=expires_at)


def _serializer(secrets: Sequence[bytes]) -> URLSafeSerializer:
    """Itsdangerous signs with the last key of its list and takes any."""
    kind = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    return URLSafeSerializer(list(reversed(secrets)), salt=SALT, signer_kwargs=kind)


def make(store: Store, secrets: Sequence[bytes], account: str, *, days: int, now: float, who: str) -> tuple[str, Link]:
    """(token, what it says) of a new link that is good for `days`; told in the audit without the token."""

    def unit(conn: Connection) -> Link:
        link = Link(account=account, version=portals.version(conn, account), expires_at=int(now) + days * DAY_S)
        detail = {"days": days, "version": link.version}
        records.audit(conn, who, "command line", "portal link made", account, dict(detail))
        return link

    link = store.write(unit)
    return token_of(link, secrets), link


def revoke(store: Store, account: str, who: str) -> int:
    """Makes every link of the account void; the version that counts from now on. Told in the audit."""

    def unit(conn: Connection) -> int:
        version = portals.raise_version(conn, account)
        records.audit(conn, who, "command line", "portal links revoked", account, {"version": version})
        return version

    return store.write(unit)


def opened(store: Store, secrets: Sequence[bytes], token: str, now: float) -> Link | None:
    """The link of a token that is good now: signed by us, not over, not revoked. None for all others alike."""
    link = read(token, secrets)
    if link is None or now >= link.expires_at:
        return None
    with store.read() as conn:
        return link if portals.version(conn, link.account) == link.version else None
