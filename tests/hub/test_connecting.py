"""`hub connect` and what `hub check` says of it, as commands, among emulated vendors."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.emulation import Clock, serving
from connectors.stripe import EVENTS as STRIPE_EVENTS
from connectors.stripe.emulator import StripeEmulator
from connectors.zentitle import EVENTS as ZENTITLE_EVENTS
from connectors.zentitle.emulator import ZentitleEmulator
from hub import connecting
from hub.errors import ConfigurationError
from hub.references import pseudonym
from hub.store import Store
from tests.hub.doors import a_config
from tests.hub.doors import hub as run
from tests.hub.factory import SECRET, a_hub
from tests.records import upgrade

OK, ATTENTION, CONFIGURATION, NOT_FOUND, NOT_AVAILABLE = 0, 1, 3, 4, 5
URL = "https://hub.example.com"
SEAT = Path(__file__).parents[1] / "connectors/zentitle/fixtures/entitlement.seat.activated__overdraft.json"


class Forbidding(ZentitleEmulator):
    """The emulator, but the API client has no right to webhooks."""

    forbidden = False

    def answer(self, request: Any) -> Any:
        if self.forbidden and request.path.startswith("/api/v1/account/webhooks"):
            return self.refuse(403, "Forbidden")
        return super().answer(request)


class ForbiddingStripe(StripeEmulator):
    """The emulator, but the key may only read."""

    forbidden = False

    def answer(self, request: Any) -> Any:
        if self.forbidden and "webhook_endpoints" in request.path:
            return self.refuse(403, "The provided key does not have the required permissions")
        return super().answer(request)


@dataclass(frozen=True)
class Shop:
    """Emulated vendors, and a hub.toml that names them."""

    config: Path
    stripe: ForbiddingStripe
    zentitle: Forbidding

    def connect(self, name: str, code: int = OK) -> Any:
        """What `hub connect NAME --json` prints."""
        return self._told(code, "connect", name)

    def check(self, about: str) -> list[tuple[str, str]]:
        """(level, mend) of what `hub check` says of `about`."""
        done = run(self.config, "check", "--json")
        return [(row["level"], row["mend"]) for row in json.loads(done.stdout) if row["about"] == about]

    def _told(self, code: int, *words: str) -> Any:
        done = run(self.config, *words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[ForbiddingStripe, str, Forbidding, str]]:
    clock = Clock()
    stripe, zentitle = ForbiddingStripe(clock, livemode=False), Forbidding(clock)
    with serving(stripe) as one, serving(zentitle) as other:
        yield stripe, one, zentitle, other


@pytest.fixture
def shop(vendors: tuple[ForbiddingStripe, str, Forbidding, str], tmp_path: Path) -> Shop:
    stripe, stripe_url, zentitle, zentitle_url = vendors
    stripe.deliveries.endpoints.clear()
    zentitle.deliveries.listeners.clear()
    stripe.forbidden = zentitle.forbidden = False
    file = a_config(tmp_path, stripe=stripe_url, zentitle=zentitle_url)
    text = file.read_text().replace("rate_per_s = 5000", "livemode = false\nrate_per_s = 5000", 1)
    file.write_text(text.replace("[hub]\n", f'[hub]\npublic_url = "{URL}/"\n', 1))
    store = Store(f"sqlite:///{tmp_path}/hub.sqlite")
    upgrade(store)
    store.close()
    return Shop(file, stripe, zentitle)


def changed(shop: Shop, old: str, new: str) -> None:
    text = shop.config.read_text()
    assert old in text
    shop.config.write_text(text.replace(old, new, 1))


# Zentitle2


def test_a_listener_is_registered_once_for_every_event(shop: Shop) -> None:
    for _ in range(2):
        (finding,) = shop.connect("zentitle")
        assert (finding["level"], finding["about"]) == ("ok", "zentitle webhook")
    (listener,) = shop.zentitle.deliveries.listeners.values()
    assert listener.uri == f"{URL}/webhooks/zentitle"
    assert set(listener.subscriptions) == set(ZENTITLE_EVENTS)


def test_a_listener_that_leaves_events_out_is_completed_and_others_are_left_alone(shop: Shop) -> None:
    shop.zentitle.webhook(f"{URL}/webhooks/zentitle", ["customer.created"])
    shop.zentitle.webhook("https://other.example.com/", ["customer.created"])
    assert shop.check("zentitle webhook") == [("warning", "hub connect zentitle")]
    shop.connect("zentitle")
    ours, other = shop.zentitle.deliveries.listeners.values()
    assert set(ours.subscriptions) == set(ZENTITLE_EVENTS)
    assert other.subscriptions == ("customer.created",)


def test_check_says_that_no_listener_sends_here_until_one_does(shop: Shop) -> None:
    assert shop.check("zentitle webhook") == [("warning", "hub connect zentitle")]
    shop.connect("zentitle")
    assert shop.check("zentitle webhook") == [("ok", "")]


def test_two_listeners_for_one_address_are_told(shop: Shop) -> None:
    shop.connect("zentitle")
    (first,) = shop.zentitle.deliveries.listeners.values()
    shop.zentitle.deliveries.listeners["whl_2"] = first
    _, finding = shop.connect("zentitle", ATTENTION)
    assert "2 listeners" in finding["problem"]


def test_without_the_right_to_webhooks_the_operator_is_told_what_to_paste(shop: Shop) -> None:
    shop.zentitle.forbidden = True
    (finding,) = shop.connect("zentitle", ATTENTION)
    assert f"{URL}/webhooks/zentitle" in finding["mend"]
    assert "webhooks:admin" in finding["mend"]
    assert shop.check("zentitle webhook") == [("ok", "")]


def test_a_lost_answer_is_told_and_connecting_again_makes_no_second_listener(shop: Shop) -> None:
    fault = {"fault": "apply_then_reset", "method": "POST", "path": "/api/v1/account/webhooks"}
    shop.zentitle.faults.configure({"plan": [fault]})
    (finding,) = shop.connect("zentitle", ATTENTION)
    assert "again" in finding["mend"]
    shop.connect("zentitle")
    assert len(shop.zentitle.deliveries.listeners) == 1


def test_a_vendor_that_is_away_is_5_and_a_sentence(shop: Shop) -> None:
    shop.zentitle.faults.configure({"plan": [{"fault": "throttle", "path": "/api/v1/account"}], "retry_after_s": 60})
    assert "429" in shop.connect("zentitle", NOT_AVAILABLE)["error"]


# Stripe


def test_an_endpoint_is_registered_once_and_its_secret_is_in_a_file_for_the_owner_alone(shop: Shop) -> None:
    (finding,) = shop.connect("stripe", ATTENTION)
    (endpoint,) = shop.stripe.deliveries.endpoints.values()
    assert (endpoint.url, set(endpoint.events)) == (f"{URL}/webhooks/stripe", set(STRIPE_EVENTS))
    file = shop.config.parent / "stripe.webhook-secret"
    assert 'add "file:stripe.webhook-secret" to webhook_secrets' in finding["mend"]
    assert file.read_text().strip() == endpoint.secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert endpoint.secret not in json.dumps(finding)
    (again,) = shop.connect("stripe")
    assert "are sent to" in again["problem"]
    assert len(shop.stripe.deliveries.endpoints) == 1


def test_check_says_that_no_endpoint_sends_here_until_one_does(shop: Shop) -> None:
    assert shop.check("stripe webhook") == [("warning", "hub connect stripe")]
    shop.stripe.webhook(f"{URL}/webhooks/stripe", "whsec_x", ["invoice.paid"])
    assert shop.check("stripe webhook") == [("warning", "hub connect stripe")]
    shop.connect("stripe")
    assert shop.check("stripe webhook") == [("ok", "")]
    shop.stripe.forbidden = True
    assert shop.check("stripe webhook") == [("ok", "")]


def test_the_told_secret_can_be_configured_as_told(shop: Shop) -> None:
    shop.connect("stripe", ATTENTION)
    text = shop.config.read_text()
    secret = next(line for line in text.splitlines() if line.startswith("webhook_secrets"))
    changed(shop, secret, 'webhook_secrets = ["file:stripe.webhook-secret"]')
    assert run(shop.config, "db", "version").returncode == OK


def test_a_secret_file_is_never_written_over(shop: Shop) -> None:
    kept = shop.config.parent / "stripe.webhook-secret"
    kept.write_text("mine")
    (finding,) = shop.connect("stripe", ATTENTION)
    assert kept.read_text() == "mine"
    assert "stripe.webhook-secret-2" in finding["mend"]
    assert (shop.config.parent / "stripe.webhook-secret-2").read_text().startswith("whsec_")


def test_an_endpoint_that_leaves_events_out_is_completed(shop: Shop) -> None:
    shop.stripe.webhook(f"{URL}/webhooks/stripe", "whsec_x", ["invoice.paid", "charge.failed"])
    (finding,) = shop.connect("stripe")
    assert "completed" in finding["problem"]
    (endpoint,) = shop.stripe.deliveries.endpoints.values()
    assert set(endpoint.events) == {*STRIPE_EVENTS, "charge.failed"}


def test_an_endpoint_for_everything_is_enough(shop: Shop) -> None:
    shop.stripe.webhook(f"{URL}/webhooks/stripe", "whsec_x")
    assert "are sent to" in shop.connect("stripe")[0]["problem"]


@pytest.mark.parametrize("why", ["no key", "no permission", "a connected account"])
def test_where_nothing_can_be_registered_the_operator_is_told_what_to_paste(shop: Shop, why: str) -> None:
    if why == "no key":
        changed(shop, 'api_key = "sk_test_sandbox"\n', "")
    elif why == "a connected account":
        changed(shop, 'api_key = "sk_test_sandbox"\n', 'api_key = "sk_test_sandbox"\naccount = "acct_1"\n')
    else:
        shop.stripe.forbidden = True
    (finding,) = shop.connect("stripe", ATTENTION)
    assert f"{URL}/webhooks/stripe" in finding["mend"]
    assert all(one in finding["mend"] for one in STRIPE_EVENTS)
    assert "webhook_secrets" in finding["mend"]
    assert shop.stripe.deliveries.endpoints == {}


# the address


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example.com",
        "http://10.0.0.1:8000",
        "ftp://localhost",
        "hub.example.com",
        "https://",
        "https://a@b.example",
    ],
)
def test_S27_an_address_that_is_not_https_is_refused_before_anybody_is_asked(shop: Shop, url: str) -> None:
    changed(shop, f"{URL}/", url)
    assert "public_url" in shop.connect("zentitle", CONFIGURATION)["error"]
    assert shop.zentitle.deliveries.listeners == {}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "https://h.example/hub/"]
)
def test_this_machine_s_own_address_and_https_are_taken(sqlite_url: str, url: str) -> None:
    hub = a_hub(sqlite_url, public_url=url)
    connecting._require_safe(hub.settings)
    assert connecting.address_of(hub.settings, "stripe") == url.rstrip("/") + "/webhooks/stripe"


def test_an_unsafe_address_says_where_it_stands_and_how_to_mend_it(sqlite_url: str) -> None:
    hub = a_hub(sqlite_url, public_url="http://hub.example.com")
    with pytest.raises(ConfigurationError, match="public_url") as caught:
        connecting.connect(hub, "stripe")
    assert "https" in caught.value.mend


@pytest.mark.parametrize("name", ["nobody", "Stripe", ""])
def test_a_connection_that_is_not_there_is_4_and_names_those_that_are(shop: Shop, name: str) -> None:
    assert "zentitle" in shop.connect(name, NOT_FOUND)["error"]


def test_what_is_printed_for_people_holds_no_secret_and_says_what_to_do(shop: Shop) -> None:
    done = run(shop.config, "connect", "stripe")
    (endpoint,) = shop.stripe.deliveries.endpoints.values()
    assert done.returncode == ATTENTION
    assert endpoint.secret not in done.stdout + done.stderr
    assert "webhook_secrets" in " ".join(done.stdout.split())


def test_the_hub_s_own_secret_makes_the_pseudonyms_of_seats(sqlite_url: str) -> None:
    webhooks = a_hub(sqlite_url).connectors["zentitle"].webhooks
    assert webhooks is not None
    ((fact,),) = (one.events for one in webhooks.normalise(SEAT.read_bytes(), {}))
    assert fact.data["seat"] == pseudonym(SECRET.encode(), json.loads(SEAT.read_bytes())["payload"]["seatId"])
