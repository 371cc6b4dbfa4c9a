"""Only what Stripe signed passes; each event leads to its subject, or says why it leads nowhere."""

from __future__ import annotations

import hmac
import importlib.util
import json
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.stripe.webhook import EVENTS, IGNORED, THIN, StripeWebhooks
from hub.domain import Envelope, Ref
from hub.errors import UnreadableError, VerificationError

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))
REPOSITORY = Path(__file__).parents[3]
NOW = 1_790_000_000
BODY = b'{"id":"evt_1","object":"event"}'
SECRET = "whsec_first"


def a_signature(body: bytes = BODY, secret: str = SECRET, at: int | str = NOW) -> str:
    return hmac.new(secret.encode(), str(at).encode() + b"." + body, "sha256").hexdigest()


def a_header(body: bytes = BODY, secret: str = SECRET, at: int | str = NOW) -> str:
    return f"t={at},v1={a_signature(body, secret, at)}"


def webhooks(*secrets: str, livemode: bool = False, account: str | None = None) -> StripeWebhooks:
    return StripeWebhooks("stripe-eu", secrets or (SECRET,), livemode=livemode, account=account)


def verify(header: str | None, body: bytes = BODY, now: float = NOW, of: StripeWebhooks | None = None) -> None:
    (of or webhooks()).verify(body, {} if header is None else {"stripe-signature": header}, now)


def refusal(header: str | None, body: bytes = BODY, now: float = NOW, of: StripeWebhooks | None = None) -> str:
    with pytest.raises(VerificationError) as caught:
        verify(header, body, now, of)
    return caught.value.reason


def fixture(name: str) -> bytes:
    return (Path(__file__).parent / "fixtures" / f"{name}.json").read_bytes()


def envelope(body: bytes) -> Envelope:
    (found,) = webhooks().normalise(body, {})
    return found


def changed(name: str, **fields: object) -> bytes:
    return json.dumps({**json.loads(fixture(name)), **fields}).encode()


# verify


def test_a_signed_body_passes() -> None:
    verify(a_header())


def test_a_signature_made_elsewhere_passes() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
    signature = "38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789"
    verify(f"t=1700000000,v1={signature}", b'{"a":1}', 1_700_000_000, webhooks("whsec_test"))


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_S01_a_body_with_any_byte_changed_is_refused(position: int, flip: int) -> None:
    body = bytearray(BODY)
    body[position] ^= flip
    assert refusal(a_header(), bytes(body)) == "wrong signature"


@given(st.integers(0, len(a_header()) - 1), st.integers(1, 127))
def test_S01_a_header_with_any_character_changed_is_refused(position: int, flip: int) -> None:
    header = a_header()
    refusal(header[:position] + chr(ord(header[position]) ^ flip) + header[position + 1 :])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "no signature"),
        ("", "no signature"),
        ("nonsense", "malformed signature"),
        (f"t={NOW}", "malformed signature"),
        (f"v1={a_signature()}", "malformed signature"),
        (f"t=,v1={a_signature()}", "malformed signature"),
        (f"t=-{NOW},v1={a_signature(at=-NOW)}", "malformed signature"),
        (f"t=+{NOW},v1={a_signature(at=f'+{NOW}')}", "malformed signature"),
        (f"t=1e9,v1={a_signature(at='1e9')}", "malformed signature"),
        ("t=\u0661\u0662,v1=" + "0" * 64, "malformed signature"),
        (f"t={NOW},v1={a_signature().upper()}", "malformed signature"),
        (f"t={NOW},v1={a_signature()}\u00e9", "malformed signature"),
        (f"t={NOW},v0={a_signature()}", "malformed signature"),
        (f"t={NOW},v1={a_signature()},", "malformed signature"),
        (f"t={NOW}, v1={a_signature()}", "malformed signature"),
        (f"{a_header()},{a_header()}", "doubled signature header"),
        (f"{a_header()},{a_header(at=NOW - 1)}", "doubled signature header"),
        (a_header() + f",v1={'0' * 64}" * 100, "malformed signature"),
    ],
)
def test_S01_a_missing_malformed_or_doubled_header_is_refused(header: str | None, reason: str) -> None:
    assert refusal(header) == reason


def test_S05_any_of_our_secrets_and_any_v1_will_do() -> None:
    both = webhooks("whsec_new", "whsec_old")
    verify(a_header(secret="whsec_new"), of=both)
    verify(a_header(secret="whsec_old"), of=both)
    verify(f"t={NOW},v1={'0' * 64},v1={a_signature(secret='whsec_old')},v0={'1' * 64}", of=both)


def test_S05_a_secret_that_is_not_ours_is_refused() -> None:
    assert refusal(a_header(secret="whsec_other"), of=webhooks("whsec_new", "whsec_old")) == "wrong signature"


def test_the_key_is_the_whole_secret_and_not_its_base64() -> None:
    secret = "whsec_dGVzdA=="
    assert refusal(a_header(secret="test"), of=webhooks(secret)) == "wrong signature"
    verify(a_header(secret=secret), of=webhooks(secret))


@pytest.mark.parametrize("now", [NOW + 300, NOW - 60, NOW])
def test_a_signature_at_the_edge_of_the_tolerance_passes(now: float) -> None:
    verify(a_header(), now=now)


def test_S04_an_old_signature_is_told_apart_from_a_forged_one() -> None:
    assert refusal(a_header(), now=NOW + 300.5) == "signature too old"
    assert refusal(a_header(secret="whsec_other"), now=NOW + 301) == "wrong signature"


def test_a_signature_from_the_future_is_refused() -> None:
    assert refusal(a_header(), now=NOW - 61) == "signature from the future"


def test_raw_bytes_are_signed_whatever_they_are() -> None:
    body = b"\x00\xff\r\n"
    verify(a_header(body), body)


# normalise


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_fixture_normalises_to_equal_events_twice(path: Path) -> None:
    body = path.read_bytes()
    assert webhooks().normalise(body, {}) == webhooks().normalise(body, {})
    assert envelope(body).type == path.stem.split("__")[0]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_event_has_a_subject_or_a_reason_why_not(path: Path) -> None:
    found = envelope(path.read_bytes())
    assert bool(found.events) == (found.subject is not None) == (found.ignored_because is None)


def test_every_row_of_the_event_table_has_a_fixture_that_leads_somewhere() -> None:
    read = [envelope(path.read_bytes()) for path in FIXTURES]
    leading = {found.type for found in read if found.events and not found.type.startswith(THIN)}
    assert leading == set(EVENTS)


def test_no_type_is_both_wanted_and_ignored() -> None:
    assert not EVENTS.keys() & IGNORED.keys()


@pytest.mark.parametrize(
    ("name", "kind", "id_", "type_"),
    [
        ("customer.subscription.updated__quantity", "subscription", "sub_1QaFirst", "purchase.changed"),
        ("customer.subscription.updated__quantity_2020", "subscription", "sub_1QaFirst", "purchase.changed"),
        ("customer.subscription.deleted__canceled", "subscription", "sub_1QaFirst", "purchase.ended"),
        ("invoice.paid__first", "subscription", "sub_1QaFirst", "purchase.paid"),
        ("invoice.paid__first_2020", "subscription", "sub_1QaFirst", "purchase.paid"),
        ("invoice.paid__both_shapes", "subscription", "sub_1QaFirst", "purchase.paid"),
        ("invoice.paid__expanded", "subscription", "sub_1QaFirst", "purchase.paid"),
        ("checkout.session.completed__subscription", "subscription", "sub_1QaFirst", "purchase.completed"),
        ("checkout.session.completed__one_off", "checkout", "cs_test_a1First", "purchase.completed"),
        ("customer.updated__renamed", "customer", "cus_Acme1", "purchase.customer_changed"),
        ("charge.refunded__full", "payment", "pi_1QaFirst", "purchase.refunded"),
        ("charge.refunded__full_2020", "payment", "pi_1QaFirst", "purchase.refunded"),
        ("charge.refund.updated__failed", "payment", "pi_1QaFirst", "purchase.refund_changed"),
        ("refund.failed__full", "payment", "pi_1QaFirst", "purchase.refund_failed"),
        ("charge.dispute.closed__lost", "payment", "pi_1QaFirst", "purchase.dispute_closed"),
        ("radar.early_fraud_warning.created__actionable", "payment", "pi_1QaFirst", "purchase.fraud_warned"),
        ("credit_note.created__seats", "credit", "in_1QaFirst", "purchase.credited"),
        ("v1.customer.subscription.updated__thin", "subscription", "sub_1QaFirst", "purchase.changed"),
        ("v1.customer.updated__thin", "customer", "cus_Acme1", "purchase.customer_changed"),
        ("v1.checkout.session.completed__thin", "checkout", "cs_test_a1First", "purchase.completed"),
        ("v1.invoice.paid__thin", "invoice", "in_1QaFirst", "purchase.paid"),
        ("v1.charge.refunded__thin", "charge", "ch_1QaFirst", "purchase.refunded"),
        ("v1.refund.failed__thin", "refund", "re_1QaFirst", "purchase.refund_failed"),
        ("v1.charge.dispute.closed__thin", "dispute", "dp_1QaFirst", "purchase.dispute_closed"),
        ("v1.credit_note.created__thin", "credit_note", "cn_1QaFirst", "purchase.credited"),
    ],
)
def test_an_event_leads_to_its_subject(name: str, kind: str, id_: str, type_: str) -> None:
    found = envelope(fixture(name))
    assert (found.subject, [event.type for event in found.events]) == (
        Ref(source="stripe-eu", kind=kind, id=id_),
        [type_],
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("invoice.paid__manual", "an invoice of no subscription"),
        ("checkout.session.completed__setup", "the session only saved a means of payment"),
        ("payment_intent.succeeded__ignored", "money movements are told by the invoice"),
        ("invoice_payment.paid__card", "one of several payments: invoice.paid tells the last"),
        ("v1.invoice.upcoming__thin_ignored", "a notice of an invoice that does not exist yet"),
    ],
)
def test_an_event_that_leads_nowhere_says_why(name: str, reason: str) -> None:
    assert envelope(fixture(name)).ignored_because == reason


@pytest.mark.parametrize("type_", ["customer.subscription.invented", "invented.thing", "word"])
def test_an_unknown_type_is_kept_and_counted(type_: str) -> None:
    found = envelope(changed("invoice.paid__first", type=type_))
    assert (found.type, found.events, found.ignored_because) == (type_, (), "unknown type")


def test_a_thin_event_keeps_its_type_id_and_time() -> None:
    found = envelope(fixture("v1.customer.subscription.updated__thin"))
    assert found.external_id == "evt_test_65Thin1"
    assert found.occurred_at == datetime(2026, 9, 1, 0, 1, tzinfo=UTC)


def test_a_thin_event_and_its_snapshot_twin_are_one_fact() -> None:
    thin, twin = envelope(fixture("v1.invoice.paid__thin")), envelope(fixture("invoice.paid__first"))
    assert thin.external_id != twin.external_id
    assert [event.id for event in thin.events] == [event.id for event in twin.events]


def test_a_thin_event_that_names_no_twin_is_a_fact_of_its_own() -> None:
    (thin,) = envelope(fixture("v1.charge.refunded__thin")).events
    (other,) = envelope(fixture("charge.refunded__full")).events
    assert thin.id != other.id


@pytest.mark.parametrize(
    "fields", [{"related_object": None}, {"related_object": {"id": 7}}, {"created": "yesterday"}, {"created": None}]
)
def test_S08_a_thin_event_that_names_nothing_is_unreadable(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        envelope(changed("v1.invoice.paid__thin", **fields))


@pytest.mark.parametrize("type_", ["v2.core.account.created", "v1.invented.thing", "v1."])
def test_a_thin_event_of_another_kind_is_kept_and_counted(type_: str) -> None:
    found = envelope(changed("v1.invoice.paid__thin", type=type_))
    assert (found.subject, found.events, found.ignored_because) == (None, (), "unknown type")


def test_thin_events_of_a_connected_account_name_it_in_their_context() -> None:
    body = changed("v1.invoice.paid__thin", context="acct_1QaMine")
    (found,) = webhooks(account="acct_1QaMine").normalise(body, {})
    assert webhooks(account="acct_1QaMine").refused(found) is None
    assert webhooks().refused(found) is not None


def test_which_payment_paid_an_invoice_is_heard_only_where_nothing_can_be_read() -> None:
    listening = StripeWebhooks("stripe-eu", (SECRET,), livemode=False, links=True)
    (found,) = listening.normalise(fixture("invoice_payment.paid__card"), {})
    assert (str(found.subject), found.events) == ("stripe-eu/payment/pi_1QaFirst", ())


def test_every_type_that_the_library_knows_is_wanted_or_ignored_for_a_reason() -> None:
    spec = importlib.util.find_spec("stripe")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "_event.py").read_text()
    types = set(re.findall(r'^ +"([a-z0-9_]+\.[a-z0-9_.]+)",$', source, re.MULTILINE))
    assert len(types) == 275
    untold = {
        type_
        for type_ in types - EVENTS.keys()
        if envelope(changed("invoice.paid__first", type=type_)).ignored_because == "unknown type"
    }
    assert not untold


def test_the_same_event_of_two_connections_has_two_ids() -> None:
    body = fixture("invoice.paid__first")
    (other,) = StripeWebhooks("stripe-us", (SECRET,)).normalise(body, {})
    assert other.events[0].id != envelope(body).events[0].id


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": 7},
        {"id": ""},
        {"id": "evt_\0"},
        {"id": "evt_\ud800"},
        {"id": "e" * 256},
        {"type": None},
        {"type": ["invoice.paid"]},
        {"created": None},
        {"created": "1788220800"},
        {"created": True},
        {"created": 10**15},
        {"created": -1},
        {"account": {"id": "acct_1"}},
        {"data": []},
        {"data": {"object": "sub_1"}},
        {"type": "customer.subscription.updated", "data": {"object": {"id": 7}}},
        {"data": {"object": {"id": "in_1", "parent": {"subscription_details": {"subscription": "sub 1"}}}}},
    ],
)
def test_S08_a_body_with_odd_fields_is_unreadable(fields: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        envelope(changed("invoice.paid__first", **fields))


def test_S09_a_body_with_a_key_twice_is_unreadable() -> None:
    with pytest.raises(UnreadableError):
        envelope(b'{"id":"evt_1","type":"invoice.paid","id":"evt_2"}')


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    type_=st.sampled_from([*EVENTS, *IGNORED]),
    object_=st.dictionaries(st.sampled_from(["id", "mode", "subscription", "parent"]), _json),
)
def test_junk_in_an_event_is_an_envelope_or_unreadable(type_: str, object_: dict[str, Any]) -> None:
    with suppress(UnreadableError):
        envelope(changed("invoice.paid__first", type=type_, data={"object": object_}))


# refused, same


def test_an_event_of_the_other_mode_is_refused() -> None:
    found = envelope(fixture("invoice.paid__first"))
    assert webhooks(livemode=False).refused(found) is None
    assert "livemode" in (webhooks(livemode=True).refused(found) or "")


def test_an_event_that_names_no_mode_is_refused() -> None:
    assert webhooks().refused(envelope(changed("invoice.paid__first", livemode=None))) is not None


def test_an_event_of_another_account_is_refused() -> None:
    found = envelope(fixture("customer.subscription.updated__of_an_account"))
    assert webhooks(account="acct_1QaOther").refused(found) is None
    assert webhooks(account="acct_1QaMine").refused(found) is not None
    assert webhooks().refused(found) is not None


def test_a_platform_event_is_refused_where_a_connected_account_is_set() -> None:
    assert webhooks(account="acct_1QaMine").refused(envelope(fixture("invoice.paid__first"))) is not None


def test_a_redelivery_tells_the_same_whatever_its_counters_say() -> None:
    one = fixture("invoice.paid__first")
    assert webhooks().same(one, changed("invoice.paid__first", pending_webhooks=0, request=None))


@pytest.mark.parametrize("fields", [{"type": "invoice.voided"}, {"created": 1}, {"data": {"object": {"id": "in_2"}}}])
def test_another_fact_under_the_same_id_is_not_the_same(fields: dict[str, Any]) -> None:
    assert not webhooks().same(fixture("invoice.paid__first"), changed("invoice.paid__first", **fields))


def test_an_unreadable_body_is_the_same_as_itself_only() -> None:
    assert webhooks().same(b"[", b"[")
    assert not webhooks().same(b"[", b"{")


# connect


def test_the_stripe_library_is_not_loaded_without_an_api_key() -> None:
    program = (
        "import sys; from connectors.stripe import Settings, connect;"
        "connect('s', Settings(kind='stripe', webhook_secrets=('whsec_x',)), None);"
        "sys.exit('stripe' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
