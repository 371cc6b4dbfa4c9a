"""Only what the tenant's key signed passes; each event leads to its subject, and facts name no person."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from connectors.zentitle import Settings
from connectors.zentitle.keys import ASK_AGAIN_S, OVERLAP_S, PAUSE_S, Keys
from connectors.zentitle.webhook import EVENTS, ZentitleWebhooks, told
from hub.domain import Envelope, Ref, Told
from hub.errors import PermanentError, RetryableError, UnreadableError, VerificationError
from hub.references import pseudonym
from tests.rsa import an_rsa_signature, modulus_of, rsa_key

FIXTURES = Path(__file__).parent / "fixtures"
NOW = 1_790_000_000.0
BODY = b'{"eventId":"e-1","eventCode":"entitlement.updated"}'
OURS = rsa_key("tenant")
ENTITLEMENT = "ent_Jm3xQ0aTz8Rk5VbYw2LdHg"


class TheVendor:
    """Tells its key, as long as it answers; counts how often it was asked."""

    def __init__(self, *keys: rsa.RSAPrivateKey | Exception) -> None:
        self.answers = list(keys)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return modulus_of(answer)


def webhooks(
    *keys: rsa.RSAPrivateKey, vendor: TheVendor | None = None, secret: bytes = b"the hub's own"
) -> ZentitleWebhooks:
    """With `keys` configured, or read from `vendor`."""
    moduli = [] if vendor else [modulus_of(key) for key in keys or (OURS,)]
    return ZentitleWebhooks("zentitle", Keys(moduli, vendor or TheVendor()), partial(pseudonym, secret))


def verify(signature: str | None, body: bytes = BODY, now: float = NOW, *, of: ZentitleWebhooks | None = None) -> None:
    (of or webhooks()).verify(body, {} if signature is None else {"n-signature": signature}, now)


def refusal(signature: str | None, body: bytes = BODY, **more: Any) -> str:
    with pytest.raises(VerificationError) as caught:
        verify(signature, body, **more)
    return caught.value.reason


def fixture(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def envelope(body: bytes, of: ZentitleWebhooks | None = None) -> Envelope:
    (found,) = (of or webhooks()).normalise(body, {})
    return found


def changed(name: str, **fields: object) -> bytes:
    return json.dumps(json.loads(fixture(name)) | fields).encode()


def with_payload(name: str, **fields: object) -> bytes:
    body = json.loads(fixture(name))
    return json.dumps(body | {"payload": body["payload"] | fields}).encode()


# verify


def test_a_body_that_the_tenant_s_key_signed_passes() -> None:
    verify(an_rsa_signature(BODY, OURS))


@pytest.mark.parametrize("bits", [2_048, 3_072])
def test_a_key_of_2048_bits_or_more_is_taken(bits: int) -> None:
    key = rsa_key("size", bits)
    verify(an_rsa_signature(BODY, key), of=webhooks(key))


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_S01_a_body_with_any_byte_changed_is_refused(position: int, flip: int) -> None:
    body = bytearray(BODY)
    body[position] ^= flip
    assert refusal(an_rsa_signature(BODY, OURS), bytes(body)) == "wrong signature"


GOOD = an_rsa_signature(BODY, OURS)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "no signature"),
        ("", "no signature"),
        (" ", "malformed signature"),
        ("=", "malformed signature"),
        ("not Base64", "malformed signature"),
        (f"{GOOD},{GOOD}", "doubled signature header"),
        (f"{GOOD}, {GOOD}", "doubled signature header"),
        (GOOD + GOOD, "malformed signature"),
        (GOOD.rstrip("="), "malformed signature"),
        (f" {GOOD}", "malformed signature"),
        (GOOD + "\n", "malformed signature"),
        (GOOD + "\u00e9", "malformed signature"),
        ("A" * 4_000, "malformed signature"),
        (base64.b64decode(GOOD).hex(), "wrong signature"),
        (base64.b64encode(b"").decode(), "no signature"),
        (base64.b64encode(b"\0" * 256).decode(), "wrong signature"),
        (base64.b64encode(base64.b64decode(GOOD)[:-1]).decode(), "malformed signature"),
        (base64.b64encode(base64.b64decode(GOOD) + b"\0").decode(), "malformed signature"),
    ],
)
def test_S03_an_empty_malformed_or_doubled_signature_is_refused(signature: str | None, reason: str) -> None:
    assert refusal(signature) == reason


def test_S03_base64_for_urls_is_not_the_vendor_s() -> None:
    bodies = (b'{"eventId":"e-%d"}' % number for number in range(1_000))
    body = next(one for one in bodies if "+" in an_rsa_signature(one, OURS))
    assert refusal(an_rsa_signature(body, OURS).replace("+", "-"), body) == "malformed signature"


def public_forms(key: rsa.RSAPrivateKey) -> list[bytes]:
    """The public key in every form that somebody may take for a shared secret."""
    public, modulus = key.public_key(), modulus_of(key)
    info = PublicFormat.SubjectPublicKeyInfo
    return [
        public.public_bytes(Encoding.PEM, info),
        public.public_bytes(Encoding.PEM, info).strip(),
        public.public_bytes(Encoding.DER, info),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        modulus.encode(),
        base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)),
    ]


@pytest.mark.parametrize("secret", public_forms(OURS))
def test_S03_an_HMAC_with_the_public_key_as_its_secret_is_refused(secret: bytes) -> None:
    digest = hmac.digest(secret, BODY, sha256)
    for signature in (digest, digest.hex().encode(), digest.ljust(256, b"\0"), digest.rjust(256, b"\0")):
        assert refusal(base64.b64encode(signature).decode()) in {"malformed signature", "wrong signature"}


PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=padding.PSS.MAX_LENGTH)


@pytest.mark.parametrize(
    ("pad", "digest"),
    [(padding.PKCS1v15(), SHA1()), (padding.PKCS1v15(), SHA512()), (PSS, SHA256())],
    ids=["SHA-1", "SHA-512", "PSS"],
)
def test_S03_another_digest_or_padding_of_the_right_key_is_refused(pad: Any, digest: Any) -> None:
    assert refusal(base64.b64encode(OURS.sign(BODY, pad, digest)).decode()) == "wrong signature"


@pytest.mark.parametrize("bits", [1_024, 2_048])
def test_S03_another_key_is_refused_and_a_key_id_changes_nothing(bits: int) -> None:
    forged = an_rsa_signature(BODY, rsa_key("forger", bits))
    hints = {"n-key-id": "forger", "n-algorithm": "none", "n-signature-algorithm": "RS1", "alg": "none"}
    with pytest.raises(VerificationError):
        webhooks().verify(BODY, {"n-signature": forged} | hints, NOW)


@pytest.mark.parametrize(
    ("modulus", "problem"),
    [
        (modulus_of(rsa_key("weak", 1_024)), "1024 bits"),
        ("", "base64url"),
        ("AQAB", "bits"),
        ("not a modulus", "base64url"),
        (OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), "base64url"),
        (modulus_of(OURS)[:-2], "bits"),
    ],
)
def test_S03_a_key_of_1024_bits_or_none_at_all_is_refused_at_configuration(modulus: str, problem: str) -> None:
    known = {"base_url": "x", "token_url": "x", "tenant_id": "t", "client_id": "c", "client_secret": "s"}
    for given_ in (modulus, [modulus_of(OURS), modulus]):
        with pytest.raises(ValueError, match=problem):
            Settings(**known, rsa_modulus=given_)


def test_S05_with_two_configured_keys_either_signs() -> None:
    both = webhooks(rsa_key("old"), rsa_key("new"))
    for name in ("old", "new"):
        verify(an_rsa_signature(BODY, rsa_key(name)), of=both)
    assert refusal(GOOD, of=both) == "wrong signature"


# the key, where it is read from the vendor


def test_the_vendor_s_key_is_asked_for_once() -> None:
    vendor = TheVendor(OURS)
    hooks = webhooks(vendor=vendor)
    assert vendor.asked == 0
    for _ in range(5):
        verify(GOOD, of=hooks)
    assert vendor.asked == 1


def test_a_configured_key_is_never_asked_for() -> None:
    vendor = TheVendor(OURS)
    hooks = ZentitleWebhooks("zentitle", Keys([modulus_of(rsa_key("old"))], vendor), lambda _: "")
    refusal(GOOD, of=hooks)
    assert vendor.asked == 0


def test_S03_a_thousand_forgeries_make_the_hub_ask_the_vendor_once_a_minute_at_most() -> None:
    vendor = TheVendor(OURS)
    hooks = webhooks(vendor=vendor)
    verify(GOOD, of=hooks)
    forged = an_rsa_signature(BODY, rsa_key("forger"))
    for number in range(1_000):
        refusal(forged, now=NOW + ASK_AGAIN_S + number / 20, of=hooks)
    assert vendor.asked == 2


def test_a_malformed_signature_asks_the_vendor_nothing() -> None:
    vendor = TheVendor(OURS)
    refusal("nonsense", of=webhooks(vendor=vendor))
    assert vendor.asked == 0


def test_S05_after_a_rotation_the_old_key_and_the_new_one_count_for_a_day() -> None:
    old, new = rsa_key("old"), rsa_key("new")
    hooks = webhooks(vendor=TheVendor(old, new))
    verify(an_rsa_signature(BODY, old), of=hooks)
    later = NOW + 3_600
    verify(an_rsa_signature(BODY, new), now=later, of=hooks)
    verify(an_rsa_signature(BODY, old), now=later + OVERLAP_S - 1, of=hooks)
    assert refusal(an_rsa_signature(BODY, old), now=later + OVERLAP_S + 1, of=hooks) == "wrong signature"
    verify(an_rsa_signature(BODY, new), now=later + 10 * OVERLAP_S, of=hooks)


def test_S05_a_key_that_came_back_counts_on() -> None:
    old, new = rsa_key("old"), rsa_key("new")
    hooks = webhooks(vendor=TheVendor(old, new, old))
    for at, key in ((0, old), (100, new)):
        verify(an_rsa_signature(BODY, key), now=NOW + at, of=hooks)
    refusal(an_rsa_signature(BODY, rsa_key("forger")), now=NOW + 200, of=hooks)
    verify(an_rsa_signature(BODY, old), now=NOW + 5 * OVERLAP_S, of=hooks)


@pytest.mark.parametrize(
    "problem",
    [RetryableError("not there"), PermanentError("answered 403", code="403"), rsa_key("weak", 1_024)],
    ids=["away", "forbidden", "weak"],
)
def test_without_a_usable_key_a_body_is_neither_taken_nor_refused(problem: Any) -> None:
    vendor = TheVendor(problem, OURS)
    hooks = webhooks(vendor=vendor)
    for at in (0, PAUSE_S / 2):  # the second one does not ask again
        with pytest.raises(RetryableError):
            verify(GOOD, now=NOW + at, of=hooks)
    assert vendor.asked == 1
    verify(GOOD, now=NOW + PAUSE_S, of=hooks)


def test_a_vendor_that_is_away_while_a_signature_does_not_fit_leaves_the_known_key() -> None:
    hooks = webhooks(vendor=TheVendor(OURS, RetryableError("not there")))
    verify(GOOD, of=hooks)
    assert refusal(an_rsa_signature(BODY, rsa_key("new")), now=NOW + 61, of=hooks) == "wrong signature"
    verify(GOOD, now=NOW + 62, of=hooks)


def test_S25_no_request_waits_while_another_one_asks_for_the_key() -> None:
    asking, answer = threading.Event(), threading.Event()

    def fetch() -> str:
        asking.set()
        answer.wait(10)
        return modulus_of(OURS)

    hooks = ZentitleWebhooks("zentitle", Keys((), fetch), lambda _: "")
    first = threading.Thread(target=verify, args=(GOOD,), kwargs={"of": hooks})
    first.start()
    assert asking.wait(10)
    with pytest.raises(RetryableError):
        verify(GOOD, of=hooks)
    answer.set()
    first.join()
    verify(GOOD, of=hooks)


# normalise


def test_every_event_of_the_vendor_s_is_known() -> None:
    assert len(EVENTS) == 20


SUBJECTS = {"customer": "cust_", "entitlement.group": "egr_", "entitlement": "ent_"}


@pytest.mark.parametrize("code", EVENTS)
def test_an_event_leads_to_its_customer_group_or_entitlement(code: str) -> None:
    family = next(name for name in SUBJECTS if code.startswith(name) and (name != "entitlement" or "group" not in code))
    for path in FIXTURES.glob(f"{code}__*.json"):
        subject = envelope(path.read_bytes()).subject
        assert subject is not None
        assert subject.kind == family.rpartition(".")[2]
        assert subject.id.startswith(SUBJECTS[family])


@pytest.mark.parametrize("code", EVENTS)
def test_an_event_without_its_payload_s_id_is_led_by_its_resource(code: str) -> None:
    body = json.loads(next(FIXTURES.glob(f"{code}__*.json")).read_text())
    kind = envelope(json.dumps(body).encode()).subject
    assert kind is not None
    bare = body | {"payload": {}, "resourceId": kind.id}
    assert envelope(json.dumps(bare).encode()).subject == kind
    nowhere = envelope(json.dumps(bare | {"resourceId": "act_1"}).encode())
    assert (nowhere.subject, nowhere.events) == (None, ())
    assert nowhere.ignored_because == f"names no {kind.kind}"


@pytest.mark.parametrize("code", ["webhook.test", "customer.created", "entitlement.seat.activated", None, ""])
@pytest.mark.parametrize("payload", [None, {}])
def test_a_listener_s_test_event_is_kept_and_ignored_whatever_its_code(code: str | None, payload: object) -> None:
    found = envelope(changed("webhook.test__of_a_listener", eventCode=code, payload=payload))
    assert (found.subject, found.events, found.ignored_because) == (None, (), "a test event")
    assert found.external_id


def test_an_unknown_code_that_names_an_entitlement_says_where_to_look() -> None:
    found = envelope(fixture("entitlement.transferred__of_an_entitlement"))
    assert found.subject == Ref(source="zentitle", kind="entitlement", id=ENTITLEMENT)
    assert (found.events, found.ignored_because) == ((), "unknown type")


def test_states_are_no_facts() -> None:
    facts = {path.name: envelope(path.read_bytes()).events for path in FIXTURES.glob("*.json")}
    telling = {name.partition("__")[0] for name, events in facts.items() if events}
    assert telling == {"entitlement.seat.activated", "entitlement.seat.deactivated", "entitlement.usage.summary"}


def test_a_seat_that_was_taken_is_a_fact() -> None:
    (fact,) = envelope(fixture("entitlement.seat.activated__overdraft")).events
    assert (fact.type, fact.subject.id) == ("seat.activated", ENTITLEMENT)
    assert fact.occurred_at.tzinfo is UTC
    seat = fact.data["seat"]
    assert fact.data == {
        "entitlement": ENTITLEMENT,
        "activation": "act_Zx7cVb4nMq1wErTy5uIo9p",
        "seat": seat,
        "seats_used": 26,
        "overdraft": True,
        "mode": "online",
        "activated_at": "2026-09-20T08:15:29Z",
        "lease_expiry": "2026-09-21T08:15:29Z",
    }


def test_a_seat_that_was_freed_is_a_fact_with_when_and_how() -> None:
    (fact,) = envelope(fixture("entitlement.seat.deactivated__deleted")).events
    assert fact.type == "seat.deactivated"
    assert (fact.data["deactivated_at"], fact.data["method"]) == ("2026-09-22T08:15:30Z", "delete")


def test_a_cycle_of_use_that_ended_is_a_fact_with_its_totals() -> None:
    (fact,) = envelope(fixture("entitlement.usage.summary__monthly")).events
    assert fact.type == "usage.cycle.ended"
    assert fact.data == {
        "entitlement": ENTITLEMENT,
        "cycle_start": "2026-08-06T08:15:29Z",
        "cycle_end": "2026-09-06T08:15:29Z",
        "features": [
            {"key": "exports", "used": 1200, "overdraft_used": 200},
            {"key": "imports", "used": 0, "overdraft_used": 0},
        ],
    }


def test_no_fact_names_the_person_on_a_seat_and_yet_tells_persons_apart() -> None:
    names = ("robin@harbor.example", "sam@harbor.example", "robin@harbor.example")
    facts = [envelope(with_payload("entitlement.seat.activated__overdraft", seatId=one)).events[0] for one in names]
    seats = [str(fact.data["seat"]) for fact in facts]
    assert seats[0] == seats[2] != seats[1]
    assert all(len(seat) == 16 for seat in seats)
    assert not any(word in repr(facts) for word in ("robin", "harbor", "laptop"))
    other = envelope(fixture("entitlement.seat.activated__overdraft"), webhooks(secret=b"another hub"))
    assert other.events[0].data["seat"] != seats[0]


def test_without_a_key_for_pseudonyms_a_seat_is_told_without_who_sits_on_it() -> None:
    hooks = ZentitleWebhooks("zentitle", Keys([modulus_of(OURS)], str), lambda _: "")
    assert "seat" not in envelope(fixture("entitlement.seat.activated__overdraft"), hooks).events[0].data


@pytest.mark.parametrize(
    "payload",
    [
        {"seatsUsed": "26", "isOverdraftSeat": 1, "activatedAt": "yesterday", "leaseExpiry": 5, "activationId": []},
        {"seatsUsed": True, "isOverdraftSeat": None, "activatedAt": None, "seatId": 7},
    ],
)
def test_what_a_payload_says_in_another_way_than_documented_is_left_out(payload: dict[str, Any]) -> None:
    (fact,) = envelope(with_payload("entitlement.seat.activated__overdraft", **payload)).events
    assert not {"seats_used", "overdraft", "activated_at"} & fact.data.keys()


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-09-21T14:13:20Z", datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("2026-09-21T14:13:20", datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("2026-09-21T14:13:20.1234567Z", datetime(2026, 9, 21, 14, 13, 20, 123456, tzinfo=UTC)),
        ("2026-09-21T16:13:20+02:00", datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        (None, None),
        (5, None),
    ],
)
def test_a_time_is_read_as_the_vendor_writes_it(written: object, at: datetime | None) -> None:
    found = envelope(changed("entitlement.seat.activated__overdraft", eventDate=written))
    assert found.occurred_at == at
    assert found.subject is not None
    assert len(found.events) == (at is not None)


@pytest.mark.parametrize("id_", [None, "", 5, "a b", "\u00e9", "x" * 256, ["e"]])
def test_S08_an_event_without_a_usable_id_is_unreadable(id_: object) -> None:
    with pytest.raises(UnreadableError):
        envelope(changed("customer.created__named", eventId=id_))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"[" * 200_000, b'{"eventId":"a","eventId":"b"}', b"\xff"])
def test_S08_and_S09_what_can_not_be_read_says_so(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        envelope(body)
    assert told(body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda one: st.lists(one, max_size=2)
)
FIELDS = ["entitlementId", "seatCount", "seatsUsed", "disabled", "expiryDate", "overdraftSeatLimit", "seatId"]


@given(
    st.sampled_from([*EVENTS, "other"]),
    st.dictionaries(st.sampled_from([*FIELDS, "featureUsages", "newExpiryDate", "expiresAt"]), JSON) | JSON,
    JSON,
)
def test_S08_no_body_of_whatever_values_breaks_anything(code: str, payload: object, other: object) -> None:
    event = {"eventId": "e", "eventDate": other, "eventCode": code, "resourceId": other, "payload": payload}
    body = json.dumps(event).encode()
    assert envelope(body).external_id == "e"
    told(body)


# same, told


def test_I2_a_retry_is_the_same_event_though_its_body_differs() -> None:
    hooks, body = webhooks(), fixture("entitlement.updated__disabled")
    assert hooks.same(body, changed("entitlement.updated__disabled", callAttempt=7))
    assert not hooks.same(body, changed("entitlement.updated__disabled", eventDate="2026-09-22T00:00:00Z"))
    assert not hooks.same(body, with_payload("entitlement.updated__disabled", seatCount=4))
    assert not hooks.same(body, b"nonsense")


TOLD: Sequence[tuple[str, dict[str, object]]] = [
    (
        "entitlement.updated__seats_and_overdraft",
        {"seats": 25, "overdraft": 5, "enabled": True, "expires_at": datetime(2027, 9, 13, tzinfo=UTC)},
    ),
    ("entitlement.updated__disabled", {"seats": 3, "overdraft": None, "enabled": False, "expires_at": None}),
    ("entitlement.renewed__a_year", {"expires_at": datetime(2027, 9, 13, tzinfo=UTC)}),
    ("entitlement.activated__subscription", {"expires_at": datetime(2027, 9, 6, 8, 15, 29, tzinfo=UTC)}),
    ("entitlement.activated__perpetual", {"expires_at": None}),
    ("entitlement.expires30days__told", {"expires_at": datetime(2027, 9, 13, tzinfo=UTC)}),
    ("entitlement.expires7days__told", {"expires_at": datetime(2027, 9, 13, tzinfo=UTC)}),
    ("entitlement.expires1day__told", {"expires_at": datetime(2027, 9, 13, tzinfo=UTC)}),
    ("entitlement.expired__over", {}),
    ("entitlement.maintenance.expires30days__told", {}),
    ("entitlement.created__subscription", {}),
]


@pytest.mark.parametrize(("name", "fields"), TOLD, ids=[name for name, _ in TOLD])
def test_a_body_tells_the_fields_that_it_carries_and_no_others(name: str, fields: dict[str, object]) -> None:
    assert told(fixture(name)) == Told(entitlement_id=ENTITLEMENT, fields=fields)


def test_a_seat_event_tells_how_many_seats_are_in_use() -> None:
    assert told(fixture("entitlement.seat.deactivated__deleted")) == Told(entitlement_id=ENTITLEMENT, seats_used=25)


@pytest.mark.parametrize("name", ["customer.updated__disabled", "entitlement.group.created__of_a_sale"])
def test_a_body_about_no_entitlement_tells_none(name: str) -> None:
    assert told(fixture(name)) is None
    assert told(fixture("webhook.test__of_a_listener")) is None


def test_a_field_that_can_not_be_read_is_not_told() -> None:
    odd = {"expiryDate": "soon", "seatCount": "9", "disabled": "no", "overdraftSeatLimit": 5}
    assert told(with_payload("entitlement.updated__disabled", **odd)) == Told(entitlement_id=ENTITLEMENT)
