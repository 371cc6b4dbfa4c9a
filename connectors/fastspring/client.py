"""The few calls that we make to FastSpring's API, and what their failures mean to us. JSON over HTTP, basic auth."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from connectors.fastspring import purchase, stored
from connectors.fastspring.fields import Object, id_of, millis, rows, text
from connectors.fastspring.fields import part as part_of
from connectors.fastspring.settings import Settings
from connectors.fastspring.shapes import reduced_account, reduced_order, reduced_return
from connectors.fastspring.webhook import envelope_of
from connectors.http import Http, is_safe_url
from hub.domain import Json, Purchase, Ref
from hub.errors import ConfigurationError, PermanentError, RetryableError, UnreadableError
from hub.ports import Changed, Deps, Finding, Found, SeeOther, Unsupported, Waiting

PAGE = 50
OLDEST = timedelta(days=29)  # the events API refuses more than 30 (/events, read 2026-11)
GIVEN_UP = timedelta(days=8)  # an event that is still unprocessed then is sent no more (at most 12 tries in 7 days)
_NOT_FOUND = "not found"
_HINTS = {
    "404": "FastSpring does not know it: is it an object of another store, or base_url wrong?",
    "403": "the API credentials lack a permission: allow subscriptions, orders, accounts, returns and events",
}

_READ = {  # what looks and sweeps read, as little of it as can be
    "/subscriptions": {"limit": "1", "page": "1"},
    "/orders": {"limit": "1", "page": "1"},
    "/events/unprocessed": {"days": "1"},
}


class Client:
    """Reads one FastSpring store. Safe for many threads at once; nothing is sent before the first call."""

    def __init__(self, source: str, settings: Settings, deps: Deps) -> None:
        self._source, self._livemode = source, settings.livemode
        user, password = settings.username, settings.password
        if user is None or password is None:
            raise ConfigurationError("username and password are missing", where=f"connections.{source}")
        pair = f"{user.get_secret_value()}:{password.get_secret_value()}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        self._http = Http(settings.base_url, deps, headers=headers, complaint=complaint)

    def fetch(self, ref: Ref, about: Sequence[Ref]) -> Found | SeeOther | Waiting | Unsupported:
        """What `ref` tells, read now, whatever its kind."""
        match ref.kind:
            case "subscription":
                return self.subscription(ref, about)
            case "order":
                return self.order(ref, about)
            case "return":
                return self.returned(ref)
        return Unsupported(because=f"{ref.kind} is nothing that is looked at")

    def subscription(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | Waiting:
        """The purchase that the subscription is. Two requests; two and one for each return where there are some."""
        one = self._one("subscriptions", ref.id)
        if (other := self._of_other_mode(one)) is not None:
            return other
        returns = self._returns(about)
        paid_by = self._paid_by(ref.id, one) if returns else ""
        return purchase.found_subscription(self._source, self._with_account(one), returns, paid_by)

    def order(self, ref: Ref, about: Sequence[Ref] = ()) -> Found | SeeOther | Waiting:
        """What the order sold once; else the subscriptions that it began. As `subscription`."""
        one = self._one("orders", ref.id)
        if (other := self._of_other_mode(one)) is not None:
            return other
        return stored.told_of_order(self._source, self._with_account(one), self._returns(about))

    def returned(self, ref: Ref) -> SeeOther | Waiting:
        """The purchases of which something was given back. Two requests."""
        one = self._one("returns", ref.id)
        if (other := self._of_other_mode(one)) is not None:
            return other
        back = reduced_return(one)
        return stored.leads_to(ref, back, reduced_order(self._one("orders", back["original"])))

    def changes(self, since: datetime) -> Iterator[Changed]:
        """What events since `since` speak of, and all events that FastSpring has not been able to deliver.

        It lists the last 30 days. Those that it no longer tries to send are marked processed once they are looked at.
        """
        now = datetime.now(UTC)
        for event in self._events("processed", max(since, now - OLDEST)):
            if (change := self._change(event)) is not None:
                yield change
        for event in self._events("unprocessed", now - OLDEST):
            if (change := self._change(event)) is not None:
                given_up = now - change.at > GIVEN_UP
                done = partial(self._mark_processed, text(event, "id") or "") if given_up else None
                yield Changed(ref=change.ref, at=min(change.at, now), done=done)

    def purchases(self) -> Iterator[Purchase]:
        """Every subscription, ended ones too, and what orders sold once; without the buyers' names."""
        for one in self._all("subscriptions"):
            if self._of_other_mode(one) is None:
                yield purchase.of_subscription(self._source, one)
        for one in self._all("orders"):
            told = stored.told_of_order(self._source, one, ()) if self._of_other_mode(one) is None else None
            if isinstance(told, Found) and told.purchase.lines:
                yield told.purchase

    def check(self) -> Sequence[Finding]:
        """What `hub check` has to say; one request for each of the lists that looks and sweeps read."""
        found = []
        for path, query in _READ.items():
            try:
                self._http.read(path, query=query)
            except PermanentError as error:
                mend = _HINTS.get(error.code, error.hint)
                found.append(Finding(level="error", about=self._source, problem=str(error), mend=mend))
            except RetryableError as error:
                mend = "are username, password and base_url right, and is it reachable from here?"
                return [*found, Finding(level="error", about=self._source, problem=str(error), mend=mend)]
        return found

    def close(self) -> None:
        """Lets connections go."""
        self._http.close()

    # -- objects

    def _one(self, kind: str, id_: str) -> Object:
        """The object; PermanentError with code 404 where FastSpring does not know it (yet)."""
        path = f"/{kind}/{quote(id_, safe='')}"
        try:
            body = self._read(path)
        except PermanentError as error:
            code = "404" if _NOT_FOUND in str(error).lower() else error.code
            raise PermanentError(str(error), code=code, hint=_HINTS.get(code, error.hint)) from error
        found = rows(body, kind) or [body]  # older answers wrap it in a list
        if len(found) != 1 or found[0].get("result") == "error":
            said = complaint(dict(body)) or "no such object"
            missing = "404" if _NOT_FOUND in said.lower() else ""
            raise PermanentError(f"GET {path}: {said}", code=missing or "error", hint=_HINTS.get(missing, ""))
        return found[0]

    def _with_account(self, one: Object) -> Object:
        """The object with its buyer."""
        id_ = id_of(one, "account")
        if id_ is None or part_of(one, "account"):
            return one
        account = self._one("accounts", id_)
        return {**one, "customer": reduced_account(account)}

    def _returns(self, about: Sequence[Ref]) -> list[Object]:
        return [self._one("returns", ref.id) for ref in about if ref.kind == "return"]

    def _paid_by(self, subscription: str, one: Object) -> str:
        """The order of the newest entry; where there are none, the first order."""
        body = self._http.read(f"/subscriptions/{quote(subscription, safe='')}/entries").body
        entries = [row for row in body if isinstance(row, dict)] if isinstance(body, list) else []
        newest = max(entries, key=lambda row: millis(row, "endPeriodDate") or millis(row, "changed") or 0, default={})
        return id_of(newest, "order") or id_of(one, "initialOrder", "initialOrderId") or ""

    def _of_other_mode(self, one: Object) -> Waiting | None:
        """One store's credentials read live and test objects alike: the other kind is none of this connection's."""
        if one.get("live") is self._livemode or "live" not in one:
            return None
        return Waiting(because=f"live is {one.get('live')}, this connection's livemode is {self._livemode}")

    # -- lists

    def _all(self, kind: str) -> Iterator[Object]:
        """Every object of a kind: lists give ids, which are read a page at a time."""
        page: Json = 1
        while isinstance(page, int) and not isinstance(page, bool):
            body = self._read(f"/{kind}", {"limit": str(PAGE), "page": str(page)})
            listed = body.get(kind)
            ids = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
            yield from self._many(kind, ids)
            following = body.get("nextPage")
            page = following if ids and following != page else None

    def _many(self, kind: str, ids: Sequence[str]) -> Iterator[Object]:
        if not ids:
            return
        body = self._read(f"/{kind}/{','.join(quote(id_, safe='') for id_ in ids)}")
        yield from (row for row in rows(body, kind) or [body] if row.get("result") != "error")

    def _events(self, which: str, since: datetime) -> Iterator[Object]:
        """Events since then, 25 at a time; where there are more, on from the last that was listed.

        Which way the list runs is documented nowhere, so it is read off each page.
        """
        window, seen = {"begin": int(since.timestamp() * 1000)}, set[str]()
        while True:
            body = self._read(f"/events/{which}", {name: str(ms) for name, ms in window.items()})
            fresh = [one for one in rows(body, "events") if (text(one, "id") or "") not in seen]
            yield from fresh
            if not body.get("more") or not fresh:
                return
            seen.update(text(one, "id") or "" for one in fresh)
            first, last = (millis(one, "created") or 0 for one in (fresh[0], fresh[-1]))
            window["begin" if first <= last else "end"] = last

    def _change(self, event: Object) -> Changed | None:
        try:
            told = envelope_of(self._source, event)
        except UnreadableError:
            return None  # the webhook that brings it says so
        if told.subject is None or told.occurred_at is None or told.livemode is not self._livemode:
            return None
        return Changed(ref=told.subject, at=told.occurred_at)

    def _mark_processed(self, event: str) -> None:
        self._http.write("POST", f"/events/{quote(event, safe='')}", body={"processed": True})

    def _read(self, path: str, query: dict[str, str] | None = None) -> Object:
        reply = self._http.read(path, query=query)
        if not isinstance(reply.body, dict):
            raise reply.doubt("with no JSON object")
        return reply.body


def safe(settings: Settings) -> bool:
    """Whether credentials may be sent to the address that is set."""
    return is_safe_url(settings.base_url)


def complaint(body: Json) -> str:
    """FastSpring's own words: `error` is an object of field -> message, in the answer or in the first row of a list."""
    if isinstance(body, list):
        return next((said for one in body if (said := complaint(one))), "")
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    if isinstance(error, dict):
        return ", ".join(f"{name}: {said}" for name, said in error.items() if isinstance(said, str))
    if isinstance(error, str):
        return error
    return next((said for one in body.values() if isinstance(one, list) and (said := complaint(one))), "")
