"""API keys: `hub_<prefix>_<32 random bytes>`, shown once. The record knows prefix and SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection

from hub.errors import PermanentError
from hub.store import Store, keys, records
from hub.store.keys import Kept

SCOPES = (
    *("approvals:read", "approvals:write", "checks:run", "drift:read", "drift:write", "endpoints:read"),
    *(
        "endpoints:write",
        "entitlements:read",
        "events:read",
        "looks:write",
        "purchases:read",
        "receipts:read",
        "usage:read",
    ),
)
LONGEST_DAYS = 3650
_KEY = re.compile(r"hub_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = "0" * 64


def create(store: Store, name: str, scopes: Sequence[str], days: int | None, *, by: str) -> str:
    """A new key, to be shown once. PermanentError: a name or scope that can't be."""
    name = " ".join(name.split())
    if not 0 < len(name) <= 200:  # noqa: PLR2004
        raise PermanentError("a key needs a name", hint="say who will use it, in at most 200 characters")
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise PermanentError(f"there is no scope {unknown[0]!r}", hint=f"scopes: {', '.join(SCOPES)}")
    if not scopes:
        raise PermanentError("a key needs a scope", hint=f"--scope, one of {', '.join(SCOPES)}")
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise PermanentError("that is no lifetime", hint=f"1 to {LONGEST_DAYS} days")
    prefix = secrets.token_hex(6)
    key = f"hub_{prefix}_{secrets.token_urlsafe(32)}"

    def unit(conn: Connection) -> None:
        keys.add(conn, prefix, digest(key), name, sorted(set(scopes)), None if days is None else days * 86400.0)
        records.audit(conn, by, "command line", "key created", prefix, {"name": name, "scopes": [*sorted(set(scopes))]})

    store.write(unit)
    return key


def revoke(store: Store, prefix: str, *, by: str) -> None:
    """The key opens nothing any more. PermanentError: there is none that does."""

    def unit(conn: Connection) -> bool:
        done = keys.revoke(conn, prefix)
        if done:
            records.audit(conn, by, "command line", "key revoked", prefix, {})
        return done

    if not store.write(unit):
        raise PermanentError(f"no live key begins with {prefix!r}", code="not found", hint="`hub keys list` lists them")


def owner(store: Store, key: str) -> Kept | None:
    """The live key that `key` is; None where it is none. The same work is done for every key of the right form."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    with store.read() as conn:
        kept = next(iter(keys.every(conn, found[1])), None)
    if not hmac.compare_digest(digest(key), kept.digest if kept else _NOBODY) or kept is None or not kept.live:
        return None
    if kept.stale:
        prefix = kept.prefix
        store.write(lambda conn: keys.touch(conn, prefix))
    return kept


def digest(key: str) -> str:
    """What the record knows of a key: it has 256 random bits, so a plain SHA-256 can't be turned back."""
    return hashlib.sha256(key.encode()).hexdigest()
