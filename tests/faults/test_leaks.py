"""S15: a whole life with canaries in configuration, headers and payloads; nothing that is said shows one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests

from hub.runtime import this_hub
from tests import forking
from tests.factories import a_signature
from tests.world import SECRET, Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]
CONFIGURED = {
    "the hub's own secret": "a secret of the tests, long enough for all of them",
    "webhook secret": SECRET,
    "client secret": "sandbox-secret",
    "api key": "sk_test_sandbox",
}
BROUGHT = {
    "name": "Canaria Personne",
    "mail": "canary.person@example.org",
    "header": "canary-header-5f3a9c",
    "query": "canary-query-77b1",
    "password": "canary-password-91",
    "user": "canary-user@example.org",
}
CANARIES = CONFIGURED | BROUGHT


def test_S15_no_canary_shows_in_logs_pages_metrics_and_answers(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, redis=False) as town:
        sold = _a_life(town)
        commands = [
            text.replace(BROUGHT["name"], "") for text in _commands(town, sold)
        ]  # `why` says whose license it is
        said = _pages(town) + commands
        _a_bug(town, sold)
        said.append((town.folder / "log").read_text())
    assert "look.failed" in said[-1]
    assert "receipt.refused" in said[-1]
    assert "receipt.unreadable" in said[-1]
    assert len(said[-1].splitlines()) > 10
    leaks = {about: [_around(text, canary) for text in said if canary in text] for about, canary in CANARIES.items()}
    assert {about: found[:2] for about, found in leaks.items() if found} == {}


def _around(text: str, canary: str) -> str:
    at = text.index(canary)
    return text[max(0, at - 200) : at + 100]


def _a_life(town: Town) -> str:
    """A sale, its changes, faults of the licensing vendor, and requests that are refused."""
    buyer = {"name": BROUGHT["name"], "email": BROUGHT["mail"], "metadata[customer_ref]": "crm-1"}
    customer = town.vendors.post("/v1/customers", buyer)["id"]
    town.vendors.stripe_admin("card", customer=customer, ok=True)
    plan = [{"fault": "error"}, {"fault": "garbage", "method": "POST"}, {"fault": "throttle"}, {"fault": "reset"}]
    town.vendors.zentitle_admin("faults", plan=plan)
    sold = town.vendors.buy("PRO-100", 4, customer)
    town.vendors.buy("MYSTERY", 4, customer)
    town.settle()
    town.vendors.set_quantity(sold, 6)
    town.settle()
    told = {"Authorization": f"Bearer {BROUGHT['header']}", "Cookie": f"hub_session={BROUGHT['header']}"}
    body = json.dumps({"email": BROUGHT["mail"], "name": BROUGHT["name"]}).encode()
    url = f"{town.url}/webhooks/stripe?token={BROUGHT['query']}"
    forged = {"Stripe-Signature": f"t=1,v1={BROUGHT['header']}"}
    assert requests.post(url, body, headers=told | forged, timeout=10).status_code == 401
    signed = {"Stripe-Signature": a_signature(body + b"{", SECRET)}
    assert requests.post(url, body + b"{", headers=told | signed, timeout=10).status_code == 200
    return sold


def _pages(town: Town) -> list[str]:
    """What somebody sees who may not see anything: errors, login, metrics, probes."""
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {BROUGHT['header']}"
    paths = ("/metrics", "/healthz", "/readyz", "/nothing", "/subjects", "/webhooks/nobody", "/portal/nobody")
    said = [http.get(f"{town.url}{path}", timeout=10).text for path in paths]
    login = {"name": BROUGHT["user"], "password": BROUGHT["password"], "csrf": "x"}
    return [*said, http.post(f"{town.url}/login", login, timeout=10).text]


def _commands(town: Town, sold: str) -> list[str]:
    commands = (["why", sold], ["why", sold, "--json"], ["look", sold], ["approve"], ["check"], ["look", "nobody"])
    return [_said(town, *words) for words in commands]


def _said(town: Town, *words: str) -> str:
    done = forking.run(this_hub(*words), env=town.environ)
    return done.stdout + done.stderr


def _a_bug(town: Town, sold: str) -> None:
    """A traceback, in a look and in a command that nobody catches it for."""
    environ = town.environ | {"HUB_FAILPOINTS": "look.read=raise"}
    town.environ, kept = environ, town.environ
    (town.folder / "said").write_text(_looked(town, sold))
    with (town.folder / "log").open("a") as log:
        log.write((town.folder / "said").read_text())
    town.environ = kept


def _looked(town: Town, sold: str) -> str:
    """What a look of our own says; one that a worker has at that moment is asked for again."""
    until = time.monotonic() + 60
    while "busy" in (said := _said(town, "look", sold)) and time.monotonic() < until:
        time.sleep(0.2)
    return said
