"""What every connector must do, run for each (tests/conformance.py has the cases)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub import decide as d
from hub.domain import (
    Action,
    ChangeOffering,
    CreateCustomer,
    CreateGroup,
    Disable,
    Enable,
    Entitlement,
    License,
    SetTerms,
)
from hub.errors import ConfigurationError, PermanentError, RetryableError, UnknownResult, VerificationError
from hub.ports import Connector, Found, Licensing, PurchaseSource, Webhooks
from hub.wiring import KINDS
from tests import conformance as suite
from tests.conformance import CANARY, NOW, Answering, Licensor, Refusing, Seller, Sender
from tests.factories import a_license

MAY = datetime(2027, 5, 1, 12, tzinfo=UTC)
FOLDERS = {path.parent.name for path in (Path(__file__).parents[2] / "connectors").glob("*/__init__.py")}
REFUSED = [400, 402, 403, 422]
LATER = [429, 500, 502, 503]


# every connector


def test_every_connector_runs_this_suite() -> None:
    lacking = FOLDERS - set(suite.CONNECTIONS)
    assert not lacking, f"write tests/connectors/<vendor>/case.py for {lacking} (docs/adding-a-connector.md)"
    assert not FOLDERS - set(KINDS), "a line in KINDS of hub/wiring.py is missing"
    assert set(suite.CONNECTIONS) == FOLDERS
    for name, (module, settings) in suite.CONNECTIONS.items():
        made = suite.connect(module, settings("http://127.0.0.1:1"))
        assert (made.webhooks is not None) == (name in suite.SENDERS)
        assert (made.purchases is not None) == (name in suite.SELLERS)
        assert (made.licensing is not None) == (name in suite.LICENSORS)
        assert (made.crm is not None) == (made.crm_setup is not None) == (name in suite.CRMS)


@pytest.fixture(params=sorted(suite.CONNECTIONS))
def connection(request: pytest.FixtureRequest) -> tuple:
    return suite.CONNECTIONS[request.param]


def test_connecting_asks_nobody_anything(connection: tuple) -> None:
    module, settings = connection
    made = suite.connect(module, settings("http://127.0.0.1:1"))
    assert (made.name, made.ref) == ("vendor-eu", "vendor-eu")
    assert made.kind == module.__name__.split(".")[-1]


def test_a_connection_s_ref_can_be_set(connection: tuple) -> None:
    module, settings = connection
    assert suite.connect(module, settings("http://127.0.0.1:1") | {"ref": "eu"}).ref == "eu"


def test_S27_secrets_never_travel_in_the_clear(connection: tuple) -> None:
    module, settings = connection
    with pytest.raises(ConfigurationError, match="https"):
        suite.connect(module, settings("http://vendor.example.com"))


def test_S15_no_repr_tells_a_secret(connection: tuple) -> None:
    module, settings = connection
    parsed = module.Settings(**settings("http://127.0.0.1:1"))
    made = module.connect("vendor-eu", parsed, suite.deps())
    assert CANARY not in f"{parsed!r} {parsed} {made!r}"


@pytest.mark.parametrize("key", ["bas_url", "CLIENT_ID", "x"])
def test_a_misspelled_setting_is_refused_without_telling_values(connection: tuple, key: str) -> None:
    module, settings = connection
    with pytest.raises(ValueError, match="Extra inputs") as caught:
        module.Settings(**settings("http://127.0.0.1:1") | {key: CANARY})
    assert CANARY not in str(caught.value)


def test_a_check_of_a_vendor_that_is_not_there_says_how_to_mend_it(connection: tuple) -> None:
    module, settings = connection
    made = suite.connect(module, settings("http://127.0.0.1:1"))
    assert made.check is not None
    findings = list(made.check())
    assert findings
    assert all(one.level in {"error", "warning"} and one.problem and one.mend for one in findings)


# vendors that send


@pytest.fixture(params=sorted(suite.SENDERS))
def sender(request: pytest.FixtureRequest) -> Sender:
    return suite.SENDERS[request.param]


def webhooks_of(sender: Sender, *secrets: str) -> Webhooks:
    made = suite.connect(sender.module, sender.settings(list(secrets or ["whsec_one"]))).webhooks
    assert made is not None
    return made


def refused(webhooks: Webhooks, body: bytes, headers: dict[str, str], now: float = NOW) -> bool:
    try:
        webhooks.verify(body, headers, now)
    except VerificationError:
        return True
    return False


def test_a_good_signature_passes(sender: Sender) -> None:
    body = sender.an_event("evt_1", next(iter(sender.events)))
    webhooks_of(sender).verify(body, sender.sign(body, "whsec_one", NOW), NOW)


def test_S01_an_altered_body_fails_at_every_byte(sender: Sender) -> None:
    body = sender.an_event("evt_1", next(iter(sender.events)))
    headers, webhooks = sender.sign(body, "whsec_one", NOW), webhooks_of(sender)
    if not sender.covers_body:
        pytest.skip("this vendor proves who sends, not what: objects are read again before they count")
    for position in range(len(body)):
        altered = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
        assert refused(webhooks, altered, headers), position
    assert refused(webhooks, body + b" ", headers)
    assert refused(webhooks, b"", headers)


def test_S01_an_altered_signature_fails_at_every_character(sender: Sender) -> None:
    body = sender.an_event("evt_1", next(iter(sender.events)))
    good, webhooks = sender.sign(body, "whsec_one", NOW)[sender.signature_header], webhooks_of(sender)
    for position in range(len(good)):
        altered = good[:position] + chr(ord(good[position]) ^ 1) + good[position + 1 :]
        assert refused(webhooks, body, {sender.signature_header: altered}), position


def test_S01_a_missing_or_wrong_signature_fails(sender: Sender) -> None:
    body, webhooks = sender.an_event("evt_1", next(iter(sender.events))), webhooks_of(sender)
    assert refused(webhooks, body, {})
    assert refused(webhooks, body, {sender.signature_header: ""})
    assert refused(webhooks, body, sender.sign(body, "whsec_other", NOW))
    assert refused(webhooks, body, sender.sign(b"{}", "whsec_one", NOW)) is sender.covers_body


def test_S04_an_old_or_a_future_signature_fails_where_the_vendor_signs_the_time(sender: Sender) -> None:
    if sender.tolerance_s is None:
        pytest.skip("this vendor signs no time: deduplication for ever stands in")
    body = sender.an_event("evt_1", next(iter(sender.events)))
    headers, webhooks = sender.sign(body, "whsec_one", NOW), webhooks_of(sender)
    assert not refused(webhooks, body, headers, NOW + sender.tolerance_s)
    assert refused(webhooks, body, headers, NOW + sender.tolerance_s + 1)
    assert not refused(webhooks, body, headers, NOW - 60)
    assert refused(webhooks, body, headers, NOW - 61)


def test_S05_a_second_secret_works_while_one_is_replaced(sender: Sender) -> None:
    body = sender.an_event("evt_1", next(iter(sender.events)))
    for signing in ("whsec_one", "whsec_two"):
        headers = sender.sign(body, signing, NOW)
        assert not refused(webhooks_of(sender, "whsec_one", "whsec_two"), body, headers)
        assert not refused(webhooks_of(sender, "whsec_two", "whsec_one"), body, headers)
    assert refused(webhooks_of(sender, "whsec_two"), body, sender.sign(body, "whsec_one", NOW))


def test_an_unknown_type_gives_no_events(sender: Sender) -> None:
    (found,) = webhooks_of(sender).normalise(sender.an_event("evt_1", "invented.by.nobody"), {})
    assert (found.events, found.subject) == ((), None)
    assert found.ignored_because
    if sender.own_ids:
        assert "evt_1" in found.external_id


def test_every_fixture_normalises_twice_to_equal_events(sender: Sender) -> None:
    webhooks = webhooks_of(sender)
    for name, body in sorted(sender.bodies().items()):
        first = webhooks.normalise(body, {})
        assert first, name
        assert first == webhooks.normalise(body, {}), name
        for one in first:
            assert one.subject or one.ignored_because, name
            assert all(
                event.subject == one.subject and event.type == sender.events[sender.told_as(one.type)]
                for event in one.events
            )


def test_every_row_of_the_event_table_has_a_fixture_that_leads_to_a_subject(sender: Sender) -> None:
    webhooks = webhooks_of(sender)
    led = {
        sender.told_as(one.type)
        for body in sender.bodies().values()
        for one in webhooks.normalise(body, {})
        if one.subject is not None and one.ignored_because is None
    }
    assert led - sender.leads_only == set(sender.events)


def test_a_fixture_is_named_after_its_type(sender: Sender) -> None:
    for name, body in sender.bodies().items():
        assert name.startswith(f"{sender.type_of(json.loads(body))}__"), name


def test_our_types_are_a_noun_and_a_past_participle(sender: Sender) -> None:
    for type_ in filter(None, sender.events.values()):
        noun, *words = type_.split(".")
        assert noun in {"purchase", "seat", "usage"}
        assert words
        assert all(word.isidentifier() for word in words)


def test_registering_at_a_vendor_that_is_not_there_fails_or_says_what_to_do(sender: Sender) -> None:
    settings = sender.settings(["whsec_one"]) | {"base_url": "http://127.0.0.1:1"}
    made = suite.connect(sender.module, settings)
    assert made.register is not None
    with contextlib.suppress(RetryableError):
        assert all(one.mend for one in made.register("https://hub.example.com/webhooks/vendor-eu"))


def test_events_of_two_connections_never_share_an_id(sender: Sender) -> None:
    bodies = [body for _, body in sorted(sender.bodies().items())]
    body = next(one for one in bodies if webhooks_of(sender).normalise(one, {})[0].events)
    ids = set()
    for name in ("one", "two"):
        webhooks = suite.connect(sender.module, sender.settings(["whsec_one"]), name).webhooks
        assert webhooks is not None
        ids |= {event.id for one in webhooks.normalise(body, {}) for event in one.events}
    assert len(ids) == 2


# vendors that sell


@pytest.fixture(params=sorted(suite.SELLERS))
def seller(request: pytest.FixtureRequest) -> Seller:
    return suite.SELLERS[request.param]


def read_with(seller: Seller, status: int) -> object:
    """What reading a purchase gives where the vendor answers `status` to all."""
    with suite.served(Answering(status)) as url:
        made: PurchaseSource | None = suite.connect(seller.module, seller.settings(url)).purchases
        assert made is not None
        try:
            return made.fetch(seller.subject)
        finally:
            made.close()


@pytest.mark.parametrize("status", REFUSED)
def test_a_refused_read_is_permanent(seller: Seller, status: int) -> None:
    with pytest.raises(PermanentError) as caught:
        read_with(seller, status)
    assert caught.value.code
    assert CANARY not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("status", LATER)
def test_a_read_that_may_work_later_is_retryable(seller: Seller, status: int) -> None:
    with pytest.raises(RetryableError) as caught:
        read_with(seller, status)
    assert CANARY not in str(caught.value)


def test_a_purchase_that_is_not_there_is_never_found(seller: Seller) -> None:
    with contextlib.suppress(PermanentError, RetryableError):
        assert not isinstance(read_with(seller, 404), Found)


def test_nobody_listening_is_retryable(seller: Seller) -> None:
    made = suite.connect(seller.module, seller.settings("http://127.0.0.1:1")).purchases
    assert made is not None
    with pytest.raises(RetryableError):
        made.fetch(seller.subject)


# vendors that license


@pytest.fixture(params=sorted(suite.LICENSORS))
def licensor(request: pytest.FixtureRequest) -> Licensor:
    return suite.LICENSORS[request.param]


@pytest.fixture
def vendor(licensor: Licensor) -> Refusing:
    made: Refusing = licensor.emulator()
    return made


@pytest.fixture
def licensing(licensor: Licensor, vendor: Refusing) -> Iterator[Licensing]:
    with suite.served(vendor) as url:
        made: Connector = suite.connect(licensor.module, licensor.settings(url))
        assert made.licensing is not None
        yield made.licensing
        made.licensing.close()


ORDER = "vendor-eu:sub_1"


def a_sale(licensing: Licensing, *skus: str) -> tuple[str, str]:
    """(customer, group) with an entitlement for each SKU."""
    customer = licensing.apply(CreateCustomer(account_ref="vendor-eu:cus_1", name="Cedar")).ids[0]
    create = CreateGroup(customer_id=customer, order_ref=ORDER, skus=skus, activation_code="AAAAA-BBBBB-CCCCC-DDDDD")
    return customer, licensing.apply(create).ids[0]


def held(licensing: Licensing, customer: str) -> tuple[Entitlement, ...]:
    return licensing.held(customer, ORDER).entitlements


def changes_of(one: Entitlement, to: str, licensing: Licensing) -> list[Action]:
    offering = licensing.offerings()[to]
    return [
        SetTerms(entitlement_id=one.id, expires_at=MAY, seats=7, overdraft=2),
        SetTerms(entitlement_id=one.id, seats=3),
        Disable(entitlement_id=one.id),
        Enable(entitlement_id=one.id),
        ChangeOffering(entitlement_id=one.id, offering_id=offering.id, sku=to),
    ]


def test_I4_a_change_applied_twice_equals_once(licensor: Licensor, licensing: Licensing) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    (one,) = held(licensing, customer)
    for action in changes_of(one, licensor.skus[1], licensing):
        licensing.apply(action)
        once = held(licensing, customer)
        licensing.apply(action)
        assert held(licensing, customer) == once, action


def test_an_applied_change_is_what_was_wanted(licensor: Licensor, licensing: Licensing) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    for action in changes_of(held(licensing, customer)[0], licensor.skus[1], licensing)[:4]:
        (before,) = held(licensing, customer)
        licensing.apply(action)
        (after,) = held(licensing, customer)
        wanted = d.after(action, before)
        names = ("expires_at", "seats", "overdraft", "enabled", "offering")
        assert [getattr(after, name) for name in names] == [getattr(wanted, name) for name in names]


WANTED = [
    a_license(expires_at=MAY.replace(microsecond=123_456), seats=5),
    a_license(expires_at=MAY, seats=1, enabled=False),
    a_license(expires_at=MAY, seats=9, overdraft=3),
    a_license("TEAM-YEAR", expires_at=MAY, seats=4),
]


@pytest.mark.parametrize("number", range(len(WANTED)))
def test_I13_deciding_after_applying_gives_nothing(licensor: Licensor, licensing: Licensing, number: int) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    wanted, offerings = WANTED[number], licensing.offerings()

    def plan() -> tuple[Action, ...]:
        mine = [_with_line(one, wanted) for one in held(licensing, customer)]
        return d.decide(d.pair([wanted], mine, offerings))

    first = plan()
    assert first
    for action in first:
        licensing.apply(action)
    assert plan() == ()


def _with_line(one: Entitlement, wanted: License) -> Entitlement:
    """As the record remembers it: which line paid for it."""
    return replace(one, lines=wanted.lines)


@pytest.mark.parametrize("status", [*REFUSED, 404])
@pytest.mark.parametrize("changes", [True, False])
def test_a_refused_request_is_permanent_and_not_applied(
    licensor: Licensor, licensing: Licensing, vendor: Refusing, status: int, *, changes: bool
) -> None:
    customer, _group = a_sale(licensing, licensor.skus[0])
    (one,) = held(licensing, customer)
    vendor.status = status
    with pytest.raises(PermanentError) as caught:
        _send(licensing, one, customer, changes=changes)
    assert str(status) in caught.value.code
    assert CANARY not in f"{caught.value} {caught.value.hint}"


def _send(licensing: Licensing, one: Entitlement, customer: str, *, changes: bool) -> None:
    create = CreateGroup(customer_id=customer, order_ref="other", skus=("PRO-100",), activation_code="E" * 23)
    licensing.apply(Disable(entitlement_id=one.id) if changes else create)


@pytest.mark.parametrize("changes", [True, False])
def test_I11_a_throttled_request_is_retryable_and_not_applied(
    licensor: Licensor, licensing: Licensing, vendor: Refusing, *, changes: bool
) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    (one,) = held(licensing, customer)
    vendor.faults.configure({"plan": [{"fault": "throttle", "method": _verb(changes)}] * 9, "retry_after_s": 60})
    with pytest.raises(RetryableError):
        _send(licensing, one, customer, changes=changes)


def _verb(changes: bool) -> str:
    return "PATCH" if changes else "POST"


@pytest.mark.parametrize("fault", ["error", "reset", "apply_then_reset", "apply_then_error", "garbage"])
def test_a_write_whose_outcome_nobody_knows_says_so_and_is_sent_once(
    licensor: Licensor, licensing: Licensing, vendor: Refusing, fault: str
) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    (one,) = held(licensing, customer)
    vendor.faults.configure({"plan": [{"fault": fault, "method": "POST", "path": "/api/v1/entitlements/groups"}]})
    with pytest.raises(UnknownResult):
        _send(licensing, one, customer, changes=False)
    assert len(vendor.faults.plan) == 0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_read_is_retryable_and_never_unknown(
    licensor: Licensor, licensing: Licensing, vendor: Refusing, status: int
) -> None:
    customer, _ = a_sale(licensing, licensor.skus[0])
    vendor.status = status
    with pytest.raises(RetryableError):
        held(licensing, customer)


def test_what_is_held_is_found_by_reference_and_by_group(licensor: Licensor, licensing: Licensing) -> None:
    customer, group = a_sale(licensing, *licensor.skus)
    by_search, by_id = licensing.held(customer, ORDER), licensing.held(customer, ORDER, groups=[group])
    assert by_search == by_id
    assert sorted(one.offering for one in by_search.entitlements) == sorted(licensor.skus)
    assert licensing.held(customer, "nobody's").groups == ()
