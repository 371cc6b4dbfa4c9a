"""Who may log in to the console: names and argon2id passwords.

Parameters: 32 MiB, 3 passes, one lane, within RFC 9106 §4 and OWASP's Password Storage sheet for small hosts
(the whole hub is to stay under 550 MB); at most two hashes are worked on at a time in a process.
"""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from hub.errors import PermanentError
from hub.store import Store, accounts, records
from hub.store.accounts import User

ORIGIN = "command line"  # users are made and unmade nowhere else
SHORTEST, LONGEST, NAME_LONGEST = 12, 1024, 200
_hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_two_at_a_time = threading.Semaphore(2)


def add_user(store: Store, name: str, password: str, *, by: str = "") -> None:
    """Adds a user who may log in. PermanentError: the name is taken or unfit, the password too short."""
    _check_name(name)
    hash_ = _hash(password)
    if not store.write(lambda conn: accounts.add(conn, name, hash_) and _audited(conn, by, "user added", name)):
        raise PermanentError(
            f"there is a user {name!r} already", code="exists", hint=f"`hub users password {name}` sets a new password"
        )


def set_password(store: Store, name: str, password: str, *, by: str = "") -> None:
    """Sets another password, switches the user on and ends all sessions. PermanentError as in add_user."""
    hash_ = _hash(password)

    def unit(conn: Connection) -> bool:
        accounts.close_sessions_of(conn, name)
        done = accounts.set_hash(conn, name, hash_) and accounts.set_disabled(conn, name, False)
        return done and _audited(conn, by, "password set", name)

    if not store.write(unit):
        raise _unknown(name)


def disable_user(store: Store, name: str, *, by: str = "") -> None:
    """Lets a user log in no more and ends all sessions. PermanentError: there is no such user."""

    def unit(conn: Connection) -> bool:
        accounts.close_sessions_of(conn, name)
        return accounts.set_disabled(conn, name, True) and _audited(conn, by, "user disabled", name)

    if not store.write(unit):
        raise _unknown(name)


def list_users(store: Store) -> list[User]:
    """Every user, disabled ones too, by name."""
    with store.read() as conn:
        return accounts.users(conn)


def may_log_in(store: Store, name: str, password: str) -> bool:
    """Whether this is an enabled user's password. The same work is done for a name that nobody has.

    A hash made with other parameters is made anew, while the password is at hand.
    """
    with store.read() as conn:
        known = accounts.hash_of(conn, name)
    if not _matches(known or _nobodys_hash(), password[:LONGEST]) or known is None:
        return False
    if _hasher.check_needs_rehash(known):
        hash_ = _hash(password)
        store.write(lambda conn: accounts.set_hash(conn, name, hash_))
    return True


def _audited(conn: Connection, by: str, action: str, name: str) -> bool:
    """True, once it stands in the audit. `by` empty: whoever runs this process."""
    records.audit(conn, by or "hub", ORIGIN, action, None, {"user": name})
    return True


def _matches(hash_: str, password: str) -> bool:
    try:
        with _two_at_a_time:
            return _hasher.verify(hash_, password)
    except (VerificationError, InvalidHashError):
        return False


def _hash(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise PermanentError(
            f"a password needs {SHORTEST} to {LONGEST} characters, this one has {len(password)}",
            code="password",
            hint="four random words do well",
        )
    with _two_at_a_time:
        return _hasher.hash(password)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody has this password")


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_LONGEST or name != name.strip() or not name.isprintable():
        raise PermanentError(
            f"{name!r} is no user name", code="name", hint="use a short name or an e-mail address, without line breaks"
        )


def _unknown(name: str) -> PermanentError:
    return PermanentError(f"there is no user {name!r}", code="unknown", hint="`hub users list` lists them")
