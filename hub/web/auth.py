"""Who may see the console: login, sessions on the server, CSRF, security headers.

A cookie is 32 random bytes; the record knows its SHA-256 only. Every POST of the console needs the token of its
session, login too (there a signed cookie of the visitor's stands in, as in the open console of the sandbox).
Limits and lifetimes: docs/operating.md.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, render_template, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from hub import users
from hub.store import accounts, records

if TYPE_CHECKING:
    from hub.wiring import Hub

OPEN_USER = "sandbox"
PUBLIC = {"auth.login", "auth.log_in"}
PORTAL = "portal"  # its links are their own key; nobody is logged in there, and no cookie is handed out
MACHINES = ("/webhooks/", "/fulfillment/", "/api/", "/healthz", "/readyz", "/metrics")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FAILURES, FAILURES_PER_ADDRESS, WINDOW_S = 5, 30, 60.0
ACTS_PER_ADDRESS = 300  # a minute: more than a person presses, less than a script would


POLICY = HEADERS["Content-Security-Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `name` None: nobody is logged in. `csrf`: the token that this visitor's forms carry."""

    name: str | None
    csrf: str
    open: bool = False


class Pace:
    """So many acts of an address in a minute, in this process."""

    def __init__(self, allowed: int = ACTS_PER_ADDRESS) -> None:
        self._allowed = allowed
        self._minute, self._acts = 0, Counter[str]()
        self._lock = threading.Lock()

    def wait_s(self, address: str, now: float) -> float:
        """Counts an act; seconds until this address may act again, 0: now."""
        with self._lock:
            if now // WINDOW_S != self._minute:
                self._minute, self._acts = int(now // WINDOW_S), Counter()
            self._acts[address] += 1
            return WINDOW_S - now % WINDOW_S if self._acts[address] > self._allowed else 0.0


class Failures:
    """Failed logins of the last minute, in this process; the oldest go when there are too many."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._times: dict[tuple[str, str], list[float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, name: str, address: str, now: float) -> float:
        """Seconds until this name may try again from this address; 0: now."""
        with self._lock:
            both = self._until(("name", f"{address} {name}"), FAILURES, now)
            return max(both, self._until(("address", address), FAILURES_PER_ADDRESS, now))

    def add(self, name: str, address: str, now: float) -> None:
        """Counts a failure."""
        with self._lock:
            for key in (("name", f"{address} {name}"), ("address", address)):
                recent = [at for at in self._times.pop(key, []) if at > now - WINDOW_S]
                self._times[key] = [*recent, now][-FAILURES_PER_ADDRESS:]
            while len(self._times) > self._limit:
                self._times.pop(next(iter(self._times)))

    def _until(self, key: tuple[str, str], allowed: int, now: float) -> float:
        recent = [at for at in self._times.get(key, []) if at > now - WINDOW_S]
        return recent[-allowed] + WINDOW_S - now if len(recent) >= allowed else 0.0


def install(app: Flask, hub: Hub) -> None:
    """Registers login and logout, and guards every route that is not a machine's."""
    desk, pace = _Desk(hub), Pace()
    app.register_blueprint(_routes(hub, desk))

    @app.before_request
    def _guard() -> AnyResponse | None:
        if _for_machines() or request.endpoint == "static" or request.blueprint == PORTAL:
            return None
        g.visitor = desk.visitor()
        if _has_nul():
            return _refused_page("it holds a NUL character, which no name or id has.", 400)
        acts = request.method not in {"GET", "HEAD", "OPTIONS"}
        if acts and (wait_s := pace.wait_s(request.remote_addr or "", time.monotonic())):
            return _refused_page("too many came from here within a minute.", 429, wait_s)
        if acts and (because := desk.forged(g.visitor)):
            return _refused_page(f"{because}. Go back, load the page again, and press the button once more.", 403)
        if g.visitor.name is None and request.endpoint not in PUBLIC and request.endpoint is not None:
            return redirect(f"/login?next={quote(_here())}")
        return None

    @app.after_request
    def _secure(response: Response) -> Response:
        if not _for_machines():
            _put_headers(response)
            desk.put_cookie(response)
        return response

    @app.context_processor
    def _who() -> dict[str, object]:
        return {"visitor": g.get("visitor") or Visitor(name=None, csrf="")}


def local_path(target: str | None, default: str = "/") -> str:
    """`target` if it is a path on this host, else `default`: never another site's address (S24)."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return default
    if "\\" in target or any(ord(char) < 32 or ord(char) == 127 for char in target):  # noqa: PLR2004  (controls)
        return default
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else default


def actor() -> tuple[str, str]:
    """(who, from where) for the audit."""
    return g.visitor.name, _origin()


class _Desk:
    """Cookies and tokens of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open = hub.settings.hub.console == "open"
        self.secure = urlsplit(hub.settings.hub.public_url).scheme == "https"
        prefix = "__Host-" if self.secure else ""
        self.session_cookie, self.visitor_cookie = f"{prefix}hub_session", f"{prefix}hub_visitor"

    def visitor(self) -> Visitor:
        """Who asks, by cookie, or by address where the console is open."""
        cookie = request.cookies.get(self.session_cookie)
        if cookie and (found := self._session(digest(cookie))):
            return Visitor(name=found.user, csrf=found.csrf)
        is_open = self._open and _from_this_machine()
        return Visitor(name=OPEN_USER if is_open else None, csrf=self._visitor_token(), open=is_open)

    def forged(self, visitor: Visitor) -> str | None:
        """Why this request is not one of our own forms; None where it is."""
        origin = request.headers.get("Origin") or request.headers.get("Referer")
        if origin and urlsplit(origin).netloc != request.host:
            return "it came from another site"
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            return "it came from another site"
        token = request.form.get("csrf", "")
        if not hmac.compare_digest(token.encode(), visitor.csrf.encode()):
            return "its form is out of date, or was never ours"
        return None

    def put_cookie(self, response: Response) -> None:
        """Hands a visitor without a session the cookie that its form token belongs to."""
        if fresh := g.get("fresh_visitor"):
            self.set_cookie(response, self.visitor_cookie, fresh)

    def set_cookie(self, response: AnyResponse, name: str, value: str) -> None:
        """Sets a cookie that scripts can't read and other sites' forms don't send."""
        response.set_cookie(name, value, httponly=True, samesite="Lax", secure=self.secure, path="/")

    def _session(self, hashed: str) -> accounts.Session | None:
        with self._hub.store.read() as conn:
            found = accounts.find_session(conn, hashed)
        if found and found.stale:
            self._hub.store.write(lambda conn: accounts.touch_session(conn, hashed))
        return found

    def _visitor_token(self) -> str:
        cookie = request.cookies.get(self.visitor_cookie)
        if not cookie:
            cookie = g.fresh_visitor = secrets.token_urlsafe(32)
        return hmac.new(self._hub.settings.secret, f"console form {cookie}".encode(), "sha256").hexdigest()


def _routes(hub: Hub, desk: _Desk) -> Blueprint:
    pages = Blueprint("auth", __name__)
    failures = Failures()

    @pages.get("/login")
    def login() -> AnyResponse | str:
        target = local_path(request.args.get("next"))
        return redirect(target) if g.visitor.name else render_template("login.html", next=target)

    @pages.post("/login")
    def log_in() -> AnyResponse:
        name, target = request.form.get("name", "").strip(), local_path(request.form.get("next"))
        wait_s = failures.wait_s(name, request.remote_addr or "", time.monotonic())
        if wait_s > 0:
            return _refuse(name, target, 429, wait_s)
        if not users.may_log_in(hub.store, name, request.form.get("password", "")):
            failures.add(name, request.remote_addr or "", time.monotonic())
            hub.store.write(_audited(name[:200], "login refused"))
            return _refuse(name, target, 401)
        return _welcome(hub, desk, name, target)

    @pages.post("/logout")
    def log_out() -> AnyResponse:
        old = request.cookies.get(desk.session_cookie)
        if old:
            hub.store.write(lambda conn: accounts.close_session(conn, digest(old)))
            hub.store.write(_audited(str(g.visitor.name), "logout"))
        response = redirect("/login")
        response.delete_cookie(desk.session_cookie, path="/", secure=desk.secure, httponly=True, samesite="Lax")
        return response

    return pages


def _welcome(hub: Hub, desk: _Desk, name: str, target: str) -> AnyResponse:
    """A new session, never one that was there before the login (S16: fixation)."""
    cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    old, origin = request.cookies.get(desk.session_cookie), _origin()

    def unit(conn: Connection) -> None:  # runs in the writer's thread, where there is no request
        if old:
            accounts.close_session(conn, digest(old))
        accounts.open_session(conn, digest(cookie), name, csrf)
        records.audit(conn, name, origin, "login", None, {})

    hub.store.write(unit)
    g.pop("fresh_visitor", None)
    response = redirect(target)
    desk.set_cookie(response, desk.session_cookie, cookie)
    response.delete_cookie(desk.visitor_cookie, path="/", secure=desk.secure, httponly=True, samesite="Lax")
    return response


def _refuse(name: str, target: str, status: int, wait_s: float = 0) -> AnyResponse:
    """One answer for a wrong name and a wrong password."""
    page = render_template("login.html", next=target, name=name, failed=True, wait_s=int(wait_s) + 1 if wait_s else 0)
    headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else {}
    return Response(page, status, headers=headers)


def _audited(name: str, action: str) -> Callable[[Connection], None]:
    origin = _origin()
    return lambda conn: records.audit(conn, name, origin, action, None, {})


def _refused_page(because: str, status: int, wait_s: float = 0) -> AnyResponse:
    headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else {}
    page = render_template("error.html", title="Nothing was done", text=f"This request was refused: {because}")
    return Response(page, status, headers)


def digest(cookie: str) -> str:
    """What the record knows of a cookie."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def _has_nul() -> bool:
    """PostgreSQL takes no NUL in text; cookies are only ever hashed."""
    values = [request.path, *request.args.values(), *request.form.values()]
    return any("\0" in value for value in values)


def _for_machines() -> bool:
    return request.path.startswith(MACHINES)


def _origin() -> str:
    return f"console {request.remote_addr}"


def _here() -> str:
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def _from_this_machine() -> bool:
    """By address and by Host (a name that points here is somebody's trick), and through no proxy."""
    host = urlsplit(f"//{request.host}").hostname or ""
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return not forwarded and _is_loopback(request.remote_addr or "") and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _put_headers(response: Response) -> None:
    """What a page has not set for itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
