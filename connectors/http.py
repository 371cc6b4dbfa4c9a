"""The one HTTP client of the connectors: requests with time limits, and every outcome mapped to one of our errors.

It knows no vendor. What it must get right: whether a request that failed was sent at all, because a write that
may have been done must never be repeated blindly.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
)
from tenacity.wait import wait_fixed, wait_random_exponential
from urllib3.exceptions import HTTPError

from connectors.wire import BODY_LIMIT, Wire, content, was_sent
from hub.domain import Json
from hub.errors import HubError, PermanentError, RetryableError, UnknownResult
from hub.ports import Deps

SHORT_TRIES = 3
SHORT_TOTAL_S = 10.0
SHORT_RETRY_AFTER_S = 5.0
LONGEST_HOLD_S = 24 * 3600.0
SECRET_FIELDS = ("client_secret", "password", "refresh_token")
_MESSAGE_LIMIT = 300

HINTS = {
    400: "the vendor could not read the request: the pinned API version and this connector may have drifted apart",
    402: "the vendor refused it as a matter of business (a limit, an expired plan): look at the object there",
    403: "the credentials lack a permission for this call",
    404: "the object does not exist (any more), or base_url is wrong",
    409: "the object is in a state that forbids this: look at it again",
    422: "the vendor found a value invalid: correct it where it comes from",
}

Query = Mapping[str, str]
Complaint = Callable[[Json], str]


class Access(Protocol):
    """Where bearer tokens come from."""

    def token(self) -> str:
        """A token that should work."""

    def refused(self, token: str) -> None:
        """Learns that the vendor answered 401 to `token`: the next token() gives another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A 2xx answer: `body` is its JSON, None where it was empty; `headers` ignores case.

    `about` is method and path, for messages; `reads` says whether the request changed nothing.
    """

    status: int
    headers: Mapping[str, str]
    body: Json
    about: str
    reads: bool

    def doubt(self, why: str) -> RetryableError | UnknownResult:
        """The error for a 2xx that can't be used: a write may have been done, a read can be repeated."""
        return doubt(self.about, f"answered {self.status}, {why}", reads=self.reads)


def doubt(about: str, why: str, *, reads: bool) -> RetryableError | UnknownResult:
    """What a request that was sent and not answered well comes to: UnknownResult for a write."""
    return RetryableError(f"{about}: {why}") if reads else UnknownResult(f"{about}: {why}")


class Brief(RetryableError):
    """It may pass within seconds, so it is tried again on the spot before anybody hears of it."""


T = TypeVar("T")


def briefly(call: Callable[[], T]) -> T:
    """What `call` gives, called again while it raises Brief: three times in ten seconds, then RetryableError."""
    try:
        return _retrying()(call)
    except Brief as error:  # enough of it: from here on the record decides when to try again
        raise RetryableError(str(error), retry_after=error.retry_after) from error.__cause__


def waited_for(ask: Callable[[], T | None], *, every_s: float, longest_s: float) -> T:
    """What `ask` gives once it gives something; RetryableError where that takes longer than `longest_s`."""
    retrying = Retrying(
        retry=retry_if_result(lambda value: value is None),
        stop=stop_after_delay(longest_s),
        wait=wait_fixed(every_s),
        reraise=True,
    )
    try:
        found = retrying(ask)
    except RetryError as error:
        raise RetryableError(f"not done after {longest_s:.0f} s") from error
    if found is None:
        raise RetryableError("not done yet")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    method: str
    path: str
    reads: bool
    query: Query | None = None
    body: Json = None
    form: Mapping[str, str] | None = None

    @property
    def about(self) -> str:
        """For messages: no query and no body, they may hold personal data."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes | None  # None: longer than BODY_LIMIT

    def json(self) -> Json:
        """The body's JSON, None for an empty one; ValueError or RecursionError where it can't be read."""
        if self.content is None:
            message = f"longer than {BODY_LIMIT} bytes"
            raise ValueError(message)
        value: Json = json.loads(self.content) if self.content.strip() else None
        return value


class Http:
    """Requests to one host, safe for many threads at once.

    `headers` go with every request; `access` gives bearer tokens; `complaint` finds the message in a vendor's
    error body. Each request waits for `deps.limiter` first. No redirects, no proxies, no cookies, TLS checked.
    """

    def __init__(
        self,
        base_url: str,
        deps: Deps,
        *,
        headers: Mapping[str, str] | None = None,
        access: Access | None = None,
        complaint: Complaint = lambda _: "",
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._deps = deps
        self._access = access
        self._complaint = complaint
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._wire = Wire()

    def read(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Query | None = None,
        body: Json = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to a request that changes nothing, whatever its method. Repeatable.

        Raises RetryableError (Hold from the limiter included) and PermanentError. Tries again for up to
        ten seconds where the network or the vendor failed.
        """
        return self._ask(_Ask(method=method, path=path, reads=True, query=query, body=body, form=form))

    def write(self, method: str, path: str, *, query: Query | None = None, body: Json = None) -> Reply:
        """The answer to a request that changes something. Sent once, again only after a short 429.

        RetryableError and PermanentError: not applied. UnknownResult: sent, and nobody knows.
        """
        return self._ask(_Ask(method=method, path=path, reads=False, query=query, body=body))

    def close(self) -> None:
        """Lets the connections go."""
        self._wire.close()

    def _ask(self, ask: _Ask) -> Reply:
        return briefly(partial(self._once, ask))

    def _once(self, ask: _Ask) -> Reply:
        token = again = self._access.token() if self._access else None
        answer = self._send(ask, token)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._access and token:
            # 401 means that nothing was done, so this is no blind repeat of a write.
            self._access.refused(token)
            again = self._access.token()
            answer = self._send(ask, again)
        return self._judge(ask, answer, hidden=[token, again, *map((ask.form or {}).get, SECRET_FIELDS)])

    def _send(self, ask: _Ask, token: str | None) -> _Answer:
        self._deps.limiter.acquire()
        try:
            answer = self._exchange(ask, token)
        except (requests.RequestException, HTTPError, OSError) as error:
            self._deps.answered(False)
            raise _broken(ask, error, sent=was_sent()) from error
        self._deps.answered(not fails(answer.status))
        return answer

    def _exchange(self, ask: _Ask, token: str | None) -> _Answer:
        limits = (self._deps.connect_timeout_s, self._deps.read_timeout_s)
        until = time.monotonic() + sum(limits)
        url = self._base_url + ask.path + (f"?{urlencode(ask.query)}" if ask.query else "")
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        kind, body = _encoded(ask)
        response = self._wire.send(ask.method, url, {**self._headers, **kind, **bearer}, body, limits)
        try:
            return _Answer(status=response.status_code, headers=response.headers, content=content(response, until))
        finally:
            response.close()

    def _judge(self, ask: _Ask, answer: _Answer, hidden: Iterable[str | None]) -> Reply:
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return _reply(ask, answer)
        named_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            named_s = 1.0 if named_s is None else named_s
        if named_s is not None:
            self._deps.limiter.hold(named_s)
        raise _refusal(ask, answer.status, _said(self._complaint, answer, hidden), named_s)


def _encoded(ask: _Ask) -> tuple[Mapping[str, str], bytes | None]:
    """The header and the bytes of what is sent."""
    if ask.form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(ask.form).encode()
    if ask.body is not None:
        return {"Content-Type": "application/json"}, json.dumps(ask.body).encode()
    return {}, None


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for (seconds or an HTTP date, RFC 9110 §10.2.3), at most a day.

    None where there is none or it can't be read. `now` is machine time.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), LONGEST_HOLD_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_HOLD_S)


def fails(status: int) -> bool:
    """Whether an answer is the vendor's own failure: then it does not work now, for whatever request."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent there: https, or http to this machine; no credentials in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or "@" in parts.netloc:
        return False
    loopback = host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    return parts.scheme == "https" or (parts.scheme == "http" and loopback)


def _refusal(ask: _Ask, status: int, said: str, named_s: float | None) -> HubError:
    """The error for a status outside 2xx: the one table that maps them."""
    what = f"answered {status}" + (f": {said}" if said else "")
    if status == HTTPStatus.UNAUTHORIZED:
        return RetryableError(f"{ask.about}: the credentials were refused, {what}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _later(ask, what, named_s)
    if fails(status):
        return _later(ask, what, named_s) if ask.reads else doubt(ask.about, what, reads=False)
    if status < HTTPStatus.BAD_REQUEST and not ask.reads:
        return doubt(ask.about, f"{what}, a redirect that is not followed", reads=False)
    return PermanentError(f"{ask.about}: {what}", code=str(status), hint=HINTS.get(status, ""))


def _later(ask: _Ask, what: str, named_s: float | None) -> RetryableError:
    kind = RetryableError if (named_s or 0) > SHORT_RETRY_AFTER_S else Brief
    return kind(f"{ask.about}: {what}", retry_after=named_s)


def _broken(ask: _Ask, error: Exception, *, sent: bool) -> RetryableError | UnknownResult:
    """The error for a connection that failed; nothing is said of addresses, the cause is chained."""
    kind = type(error).__name__
    if not sent:
        message = f"{ask.about}: not sent, the connection could not be made ({kind})"
        return Brief(message) if ask.reads else RetryableError(message)
    message = f"{ask.about}: sent, but the answer was lost ({kind})"
    return Brief(message) if ask.reads else UnknownResult(message)


def _reply(ask: _Ask, answer: _Answer) -> Reply:
    try:
        body = answer.json()
    except (ValueError, RecursionError) as error:
        what = f"answered {answer.status} with a body that can't be read"
        raise (Brief(f"{ask.about}: {what}") if ask.reads else doubt(ask.about, what, reads=False)) from error
    return Reply(status=answer.status, headers=answer.headers, body=body, about=ask.about, reads=ask.reads)


def _said(complaint: Complaint, answer: _Answer, hidden: Iterable[str | None]) -> str:
    """The vendor's own message, cut, and with nothing in it that we sent as a secret."""
    try:
        text = complaint(answer.json())
    except (ValueError, RecursionError):
        return ""
    for secret in hidden:
        text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())[:_MESSAGE_LIMIT]


_backoff = wait_random_exponential(multiplier=0.2, max=2)


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(Brief),
        stop=stop_after_attempt(SHORT_TRIES) | stop_before_delay(SHORT_TOTAL_S),
        wait=_pause_s,
        reraise=True,
    )


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    named_s = error.retry_after if isinstance(error, RetryableError) else None
    # A little more than the vendor named, so that the hold on the limiter has ended when we ask it.
    return _backoff(state) if named_s is None else named_s + 0.05
