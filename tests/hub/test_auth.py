"""Login, sessions, CSRF, headers (reliability reference S16, S17, S24)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from hub import users
from hub.errors import PermanentError
from hub.store import Store, schema
from hub.web.app import create_app
from hub.web.auth import MACHINES, Failures, local_path
from tests.hub.browsing import Browser, served, text_of
from tests.hub.factory import a_hub, fill
from tests.records import upgrade

PASSWORD = "correct horse battery"


@pytest.fixture
def console(database_url: str) -> Iterator[tuple[str, Store]]:
    """A console with a user, and its record."""
    hub = a_hub(database_url)
    upgrade(hub.store)
    fill(hub.store)
    users.add_user(hub.store, "ida", PASSWORD)
    with served(hub) as base:
        yield base, hub.store
    hub.store.close()


@pytest.fixture
def small(sqlite_url: str) -> Iterator[tuple[str, Store]]:
    """The same on SQLite only: what does not ask the database anything new."""
    hub = a_hub(sqlite_url)
    upgrade(hub.store)
    users.add_user(hub.store, "ida", PASSWORD)
    with served(hub) as base:
        yield base, hub.store
    hub.store.close()


def test_S16_a_user_logs_in_sees_pages_and_logs_out_for_good(console: tuple[str, Store]) -> None:
    browser = Browser(console[0])
    assert browser.get("/receipts", allow_redirects=False).headers["Location"] == "/login?next=/receipts"
    browser.log_in(to="/receipts")
    page = browser.get("/receipts")
    assert "Every receipt is kept" in page.text
    assert "ida" in page.text
    stolen = browser.http.cookies["hub_session"]
    browser.post("/logout", {"csrf": browser.token("/receipts")})
    other = Browser(console[0])
    other.http.cookies.set("hub_session", stolen)
    assert other.get("/receipts", allow_redirects=False).status_code == 302


def test_S16_login_gives_a_new_session_and_ends_the_old_one(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    browser.log_in()
    first = browser.http.cookies["hub_session"]
    token = browser.token("/")
    browser.post("/login", {"csrf": token, "name": "ida", "password": PASSWORD})
    second = browser.http.cookies["hub_session"]
    assert first != second
    stale = Browser(small[0])
    stale.http.cookies.set("hub_session", first)
    assert stale.get("/", allow_redirects=False).status_code == 302


def test_S16_a_session_id_that_an_attacker_fixed_is_worth_nothing(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    browser.http.cookies.set("hub_session", "fixed", domain="127.0.0.1", path="/")
    browser.log_in()
    assert [cookie.value for cookie in browser.http.cookies if cookie.name == "hub_session"] != ["fixed"]
    victim = Browser(small[0])
    victim.http.cookies.set("hub_session", "fixed")
    assert victim.get("/", allow_redirects=False).status_code == 302


def test_S16_the_record_never_holds_cookie_or_password(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    browser.log_in()
    with small[1].read() as conn:
        digest = conn.execute(select(schema.session.c.digest)).scalar_one()
        hash_ = conn.execute(select(schema.user.c.password)).scalar_one()
    assert digest != browser.http.cookies["hub_session"]
    assert hash_.startswith("$argon2id$")


@pytest.mark.parametrize(("column", "age_s"), [("used_at", 31 * 60), ("created_at", 12 * 3600 + 60)])
def test_S16_a_session_ends_when_idle_or_old(console: tuple[str, Store], column: str, age_s: int) -> None:
    browser = Browser(console[0])
    browser.log_in()
    console[1].write(lambda conn: conn.execute(update(schema.session).values({column: time.time() - age_s})))
    assert browser.get("/", allow_redirects=False).status_code == 302


def test_use_keeps_a_session_alive(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    browser.log_in()
    small[1].write(lambda conn: conn.execute(update(schema.session).values(used_at=time.time() - 29 * 60)))
    assert browser.get("/").status_code == 200
    with small[1].read() as conn:
        assert conn.execute(select(schema.session.c.used_at)).scalar_one() > time.time() - 60


def test_disabling_a_user_ends_the_session_at_once(console: tuple[str, Store]) -> None:
    browser = Browser(console[0])
    browser.log_in()
    users.disable_user(console[1], "ida")
    assert browser.get("/", allow_redirects=False).status_code == 302
    assert browser.log_in().status_code == 401


def test_S16_a_wrong_name_and_a_wrong_password_read_the_same(small: tuple[str, Store]) -> None:
    one, other = Browser(small[0]).log_in(password="wrong password!"), Browser(small[0]).log_in(name="bob")
    assert one.status_code == other.status_code == 401
    assert text_of(one) == text_of(other)


def test_S16_five_failures_a_minute_then_a_pause(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    for _ in range(5):
        assert browser.log_in(password="wrong password!").status_code == 401
    refused = browser.log_in()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 61


def test_failures_forget_after_a_minute_and_stay_bounded() -> None:
    failures = Failures(limit=10)
    for at in range(5):
        failures.add("ida", "10.0.0.1", float(at))
    assert failures.wait_s("ida", "10.0.0.1", 5.0) == 55.0
    assert failures.wait_s("ida", "10.0.0.2", 5.0) == 0
    assert failures.wait_s("ida", "10.0.0.1", 60.0) == 0
    for number in range(100):
        failures.add(f"user {number}", "10.0.0.3", 70.0)
    assert len(failures._times) <= 10
    assert failures.wait_s("anybody", "10.0.0.3", 70.0) > 0


def test_S17_every_post_route_refuses_a_request_without_its_token(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, console="open")
    upgrade(hub.store)
    routes = [rule.rule for rule in create_app(hub).url_map.iter_rules() if "POST" in (rule.methods or set())]
    ours = [route for route in routes if not route.startswith(MACHINES)]
    assert len(ours) >= 5
    with served(hub) as base:
        browser = Browser(base)
        browser.get("/")
        for route in ours:
            assert browser.post(route, {"ref": "a/b/c"}).status_code == 403, route
            assert browser.post(route, {"ref": "a/b/c", "csrf": "0" * 64}).status_code == 403, route
    hub.store.close()


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_S17_a_form_from_another_site_is_refused(small: tuple[str, Store], header: str) -> None:
    browser = Browser(small[0])
    browser.log_in()
    token = browser.token("/")
    foreign = browser.post("/logout", {"csrf": token}, headers={header: "https://evil.example/x"})
    assert foreign.status_code == 403
    assert "another site" in foreign.text
    assert browser.post("/logout", {"csrf": token}, headers={header: small[0] + "/"}).status_code == 200


def test_S17_the_token_of_one_session_opens_no_other(small: tuple[str, Store]) -> None:
    ida, eve = Browser(small[0]), Browser(small[0])
    ida.log_in()
    eve.log_in()
    assert ida.post("/logout", {"csrf": eve.token("/")}).status_code == 403


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/receipts?q=1", "/receipts?q=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_S24_next_is_a_local_path(target: str | None, kept: str) -> None:
    assert local_path(target) == kept


def test_S24_login_goes_on_only_to_a_local_path(small: tuple[str, Store]) -> None:
    answer = Browser(small[0]).log_in(to="//evil.example/x", allow_redirects=False)
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("path", ["/login", "/", "/nothing", "/static/hub.css"])
def test_S24_every_answer_carries_the_security_headers(small: tuple[str, Store], path: str) -> None:
    headers = Browser(small[0]).get(path, allow_redirects=False).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert path.startswith("/static") or headers["Cache-Control"] == "no-store"


def test_machines_get_no_cookie_and_no_login(small: tuple[str, Store]) -> None:
    answer = Browser(small[0]).get("/healthz")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_cookies_are_secure_behind_https(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, public_url="https://hub.example.com")
    upgrade(hub.store)
    with served(hub) as base:
        cookie = Browser(base).get("/login").headers["Set-Cookie"]
    hub.store.close()
    assert cookie.startswith("__Host-hub_visitor=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"))


def test_an_open_console_says_so_on_each_page_and_is_open_on_loopback_only(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, console="open")
    upgrade(hub.store)
    fill(hub.store)
    with served(hub) as base:
        browser = Browser(base)
        for path in ("/", "/receipts", "/subjects", "/entitlements", "/entitlements/ent_1"):
            assert "This console is open" in browser.get(path).text
        for headers in ({"Host": "hub.example.com"}, {"X-Forwarded-For": "127.0.0.1"}, {"Host": "127.0.0.1.nip.io"}):
            assert Browser(base).get("/", headers=headers, allow_redirects=False).status_code == 302, headers
    hub.store.close()


def test_login_and_refusal_are_in_the_audit(small: tuple[str, Store]) -> None:
    Browser(small[0]).log_in(password="wrong password!")
    Browser(small[0]).log_in()
    with small[1].read() as conn:
        rows = conn.execute(select(schema.audit.c.action, schema.audit.c.actor).order_by(schema.audit.c.id)).all()
    assert [tuple(row) for row in rows] == [("user added", "hub"), ("login refused", "ida"), ("login", "ida")]


# -- users


def test_users_are_added_listed_changed_and_disabled(store: Store) -> None:
    users.add_user(store, "ida", PASSWORD)
    users.add_user(store, "bob@example.com", PASSWORD)
    users.set_password(store, "ida", "another long password")
    users.disable_user(store, "bob@example.com")
    assert [(one.name, one.disabled) for one in users.list_users(store)] == [("bob@example.com", True), ("ida", False)]
    assert users.may_log_in(store, "ida", "another long password")
    assert not users.may_log_in(store, "ida", PASSWORD)
    assert not users.may_log_in(store, "bob@example.com", PASSWORD)


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("ida", "another long password", "already"),
        ("bob", "short", "12 to 1024"),
        ("", PASSWORD, "no user name"),
        ("a\nb", PASSWORD, "no user name"),
    ],
)
def test_an_unfit_user_is_refused_in_a_sentence(store: Store, name: str, password: str, says: str) -> None:
    users.add_user(store, "ida", PASSWORD)
    with pytest.raises(PermanentError, match=says):
        users.add_user(store, name, password)


def test_an_unknown_user_is_named(store: Store) -> None:
    for call in (lambda: users.disable_user(store, "eve"), lambda: users.set_password(store, "eve", PASSWORD)):
        with pytest.raises(PermanentError, match="no user 'eve'"):
            call()


def test_a_hash_of_older_parameters_is_made_anew_at_login(store: Store) -> None:
    users.add_user(store, "ida", PASSWORD)
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    store.write(lambda conn: conn.execute(update(schema.user).values(password=weak)))
    assert users.may_log_in(store, "ida", PASSWORD)
    with store.read() as conn:
        assert "m=32768,t=3" in conn.execute(select(schema.user.c.password)).scalar_one()


def test_a_new_password_ends_all_sessions(small: tuple[str, Store]) -> None:
    browser = Browser(small[0])
    browser.log_in()
    users.set_password(small[1], "ida", "another long password")
    assert browser.get("/", allow_redirects=False).status_code == 302
