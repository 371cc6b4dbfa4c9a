"""Orders about endpoints: add, change secret, enable, disable, remove, send again. Each is audited.

A secret is shown once, to whoever asked for it. In the record secrets and header values are sealed with the hub's own.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from hub.conditions import ConditionError
from hub.domain import Json
from hub.errors import ConfigurationError, PermanentError
from hub.outbound import filters, targets
from hub.outbound.filters import Filter
from hub.outbound.sending import Sender
from hub.outbound.targets import Refused
from hub.sealing import Seal
from hub.signing import Secret, is_secret, live, secret_of
from hub.store import Store, outbound, records
from hub.store.outbound import Again, Endpoint, Fresh
from hub.stream.events import VERSION

OVERLAP_S, LONGEST_OVERLAP_S, MOST_SECRETS = 24 * 3600.0, 7 * 86400.0, 5
SECRET_BYTES = 32
PURPOSE = "endpoint"
PARTS = ("types", "connections", "customers", "condition")  # of a filter
GONE: Mapping[str, object] = {"state": outbound.REMOVED, "secrets": [], "headers": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An endpoint that somebody wants. secret: one of their own, else one is made. version: of payloads, at most.

    hook: an automation tool made it; where it answers 410 it is removed.
    """

    url: str
    description: str = ""
    filter: Filter = field(default_factory=Filter)
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    version: int = VERSION
    ordered: bool = False
    rate_per_s: float | None = None
    hook: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who orders it, and from where, for the audit."""

    actor: str
    origin: str


class Endpoints:
    """The endpoints of one hub."""

    def __init__(self, store: Store, sender: Sender, keys: Sequence[bytes]) -> None:
        self._store, self._sender, self._seal = store, sender, Seal(PURPOSE, keys)

    def add(self, wish: Wish, by: By, *, once: str = "") -> tuple[str, str]:
        """(id, secret) of a new endpoint, which gets what comes from now on. PermanentError: what is wrong with it.

        Who names `once` gets the same endpoint and secret for the same text, however often it is asked for.
        """
        values = self._checked(wish)
        id_ = f"ep_{once[:32] or secrets.token_hex(8)}"
        if once and (made := self._made(id_)):
            return id_, made
        secret = wish.secret or secret_of(secrets.token_bytes(SECRET_BYTES))
        kept = values | {"secrets": [self._sealed(Secret(text=secret))]}
        detail: dict[str, Json] = {"host": targets.target(wish.url).host, "types": list(wish.filter.types)}

        def unit(conn: Connection) -> None:
            outbound.add(conn, id_, kept)
            records.audit(conn, by.actor, by.origin, "endpoint added", id_, detail)

        self._store.write(unit)
        return id_, secret

    def _made(self, id_: str) -> str | None:
        """The secret of an endpoint that is there."""
        with self._store.read() as conn:
            of = outbound.endpoint(conn, id_)
        return self.signing(of, time.time())[0].text if of else None

    def change(self, id_: str, said: Mapping[str, Any], by: By) -> None:
        """Makes what `said` names (fields of `Wish` and of its filter) another; the rest stays, its secret too."""
        with self._store.read() as conn:
            of = _found(outbound.endpoint(conn, id_), id_)
        filter_ = replace(of.filter, **{name: said[name] for name in said if name in PARTS})
        plain = {name: said[name] for name in said if name not in PARTS}
        as_it_is = Wish(
            url=of.url,
            description=of.description,
            filter=filter_,
            headers=self.headers(of),
            version=of.version,
            ordered=of.ordered,
            rate_per_s=of.rate_per_s,
        )
        values = self._checked(replace(as_it_is, **plain))
        named = {*said, *(["header_names"] if "headers" in said else [])}
        self._change(id_, {name: values[name] for name in named}, by, "endpoint changed", {"changed": [*sorted(said)]})

    def rotate(self, id_: str, by: By, overlap_s: float = OVERLAP_S) -> str:
        """A new secret; until `overlap_s` seconds are over the one before signs, too."""
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise PermanentError("the overlap is too long", hint="0 to 168 hours; 24 are usual")
        secret, at = secret_of(secrets.token_bytes(SECRET_BYTES)), time.time()
        sealed = self._sealed(Secret(text=secret))

        def unit(conn: Connection) -> None:
            before = _found(outbound.endpoint(conn, id_, lock=True), id_)
            kept = [one for one in before.secrets if one.not_after is None or one.not_after > at]
            if len(kept) >= MOST_SECRETS:
                raise PermanentError(f"{MOST_SECRETS} secrets are live", hint="wait until the oldest has ended")
            ending = [_as_json(one.sealed, min(at + overlap_s, one.not_after or at + overlap_s)) for one in kept]
            outbound.change(conn, id_, {"secrets": [sealed, *ending]})
            records.audit(conn, by.actor, by.origin, "endpoint secret rotated", id_, {"overlap_s": overlap_s})

        self._store.write(unit)
        return secret

    def disable(self, id_: str, by: By) -> None:
        """Nothing is sent to it; nothing is lost: enabling it sends or skips what came meanwhile."""
        self._change(id_, {"state": outbound.DISABLED, "because": f"by {by.actor}"}, by, "endpoint disabled")

    def enable(self, id_: str, by: By, *, skip: bool) -> int:
        """Sends again; the gap is sent, or skipped where `skip` says so; how many messages were skipped."""

        def unit(conn: Connection) -> int:
            _found(outbound.endpoint(conn, id_, lock=True), id_)
            skipped = outbound.skip_gap(conn, id_) if skip else 0
            outbound.hurry(conn, id_)
            start = {"state": outbound.ENABLED, "because": "", "hold_until": 0} | outbound.healed()
            outbound.change(conn, id_, start)
            records.audit(conn, by.actor, by.origin, "endpoint enabled", id_, {"skipped": skipped})
            return skipped

        return self._store.write(unit)

    def remove(self, id_: str, by: By) -> None:
        """It is gone, with its secrets; the log of its deliveries stays."""
        self._change(id_, GONE, by, "endpoint removed")

    def again(self, id_: str, which: Again, by: By) -> int:
        """Sends messages again, under the ids that they have, at most 1,000; how many.

        Those that the endpoint's filter does not take are sent only where they are named by id.
        """
        with self._store.read() as conn:
            of = _found(outbound.endpoint(conn, id_), id_)
            found = outbound.wanted_again(conn, of, which)
        named = bool(which.ids) or which.failed
        chosen = [one for one in found if named or wanted(of.filter, one)]

        def unit(conn: Connection) -> int:
            done = outbound.send_again(conn, of, chosen)
            records.audit(conn, by.actor, by.origin, "deliveries sent again", id_, {"messages": done})
            return done

        return self._store.write(unit)

    def signing(self, of: Endpoint, now: float) -> list[Secret]:
        """The secrets that sign at `now`. ConfigurationError where none can be opened: nothing goes out unsigned."""
        opened = [(self._seal.open(one.sealed), one.not_after) for one in of.secrets]
        found = live([Secret(text=text, not_after=until) for text, until in opened if text is not None], now)
        if not found:
            raise ConfigurationError(
                "its secret can't be opened with the hub's own",
                where=f"endpoint {of.id}",
                mend=f"put the former hub.secret back into [hub] secret, or: hub endpoints rotate {of.id}",
            )
        return list(found)

    def headers(self, of: Endpoint) -> dict[str, str]:
        """Its own headers, opened."""
        opened = self._seal.open(of.headers) if of.header_names else "{}"
        if opened is None:
            raise ConfigurationError("its headers can't be opened", where=f"endpoint {of.id}", mend="add it anew")
        found: dict[str, str] = json.loads(opened)
        return found

    def _checked(self, wish: Wish) -> dict[str, object]:
        try:
            self._sender.check(wish.url)
            headers = targets.checked_headers(wish.headers)
            if wish.filter.condition:
                filters.program(wish.filter.condition)
        except Refused as error:
            raise PermanentError(error.problem, hint=error.mend) from None
        except ConfigurationError as error:
            raise PermanentError(error.problem, hint=error.mend) from None
        if wish.secret and not is_secret(wish.secret):
            raise PermanentError("that is no signing secret", hint="whsec_ and 24 to 64 bytes in base64")
        if not 1 <= wish.version <= VERSION:
            raise PermanentError(f"there is no version {wish.version}", hint=f"1 to {VERSION}")
        if wish.rate_per_s is not None and not 0.01 <= wish.rate_per_s <= 10_000:  # noqa: PLR2004
            raise PermanentError("that is no rate", hint="0.01 to 10,000 a second")
        return {
            "url": wish.url,
            "description": " ".join(wish.description.split())[:200],
            "types": list(wish.filter.types),
            "connections": list(wish.filter.connections),
            "customers": list(wish.filter.customers),
            "condition": wish.filter.condition,
            "headers": self._seal.shut(json.dumps(headers)) if headers else "",
            "header_names": sorted(headers),
            "version": wish.version,
            "ordered": wish.ordered,
            "rate_per_s": wish.rate_per_s,
            "hook": wish.hook,
        }

    def _sealed(self, secret: Secret) -> dict[str, Json]:
        return _as_json(self._seal.shut(secret.text), secret.not_after)

    def _change(
        self, id_: str, values: Mapping[str, object], by: By, action: str, detail: Mapping[str, Json] | None = None
    ) -> None:
        def unit(conn: Connection) -> None:
            _found(outbound.endpoint(conn, id_, lock=True), id_)
            outbound.change(conn, id_, values)
            records.audit(conn, by.actor, by.origin, action, id_, dict(detail or {}))

        self._store.write(unit)


def wanted(filter_: Filter, message: Fresh) -> bool:
    """Whether a filter takes a message; False where its condition can't be told of it."""
    try:
        return filters.takes(filter_, message.about)
    except ConditionError:
        return False


def _as_json(sealed: str, not_after: float | None) -> dict[str, Json]:
    return {"sealed": sealed, "not_after": not_after}


def _found(endpoint: Endpoint | None, id_: str) -> Endpoint:
    if endpoint is None:
        raise PermanentError(f"there is no endpoint {id_!r}", code="not found", hint="`hub endpoints list` lists them")
    return endpoint
