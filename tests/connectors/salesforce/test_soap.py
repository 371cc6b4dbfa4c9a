"""Outbound Messages: what is read, what is refused before it can do harm (S10), and who is believed (S11)."""

from __future__ import annotations

import time
from functools import partial

import pytest

from connectors.salesforce.emulator_outbound import envelope, signed
from connectors.salesforce.shapes import SHAPES
from connectors.salesforce.soap import MOST, ack, message_in
from connectors.salesforce.webhook import EVENTS, SalesforceWebhooks, replying
from hub.domain import Ref
from hub.errors import UnreadableError, VerificationError
from hub.ports import PATH_KEY

ORG, OTHER = "00D000000000001EAA", "00D000000000002EAA"
PATH = "a-path-that-only-the-org-knows-0001"
NOW = 1_790_000_000.0
WON = {"Id": "006000000000001AAA", "StageName": "Closed Won", "SystemModstamp": "2027-01-04T10:00:00.000+0000"}


def a_message(count: int = 1, org: str = ORG, **fields: str) -> bytes:
    rows = [(f"04l{number:012}AAA", WON | {"Id": f"006{number:012}AAA"} | fields) for number in range(1, count + 1)]
    return envelope(org, "Opportunity", rows)


def webhooks(sells_by: str = "Opportunity", **values: list[str]) -> SalesforceWebhooks:
    known = {"outbound": [PATH], "secrets": ["callout-secret"]} | values
    return SalesforceWebhooks("crm", ORG, SHAPES[sells_by], **known)


def refused(body: bytes, **headers: str) -> bool:
    try:
        webhooks().verify(body, {PATH_KEY: PATH} | headers, NOW)
    except VerificationError:
        return True
    return False


def test_each_notification_is_an_event_that_says_where_to_look() -> None:
    found = webhooks().normalise(a_message(3), {})
    assert [one.subject for one in found] == [
        Ref(source="crm", kind="opportunity", id=message_in(a_message(3)).notifications[at].fields["Id"][:15] + "AAA")
        for at in range(3)
    ]
    assert len({one.external_id for one in found}) == 3
    assert {event.type for one in found for event in one.events} == {"purchase.changed"}


def test_a_notification_as_it_was_kept_is_read_as_the_same_event() -> None:
    (first, _) = webhooks().normalise(a_message(2), {})
    assert first.body is not None
    (again,) = webhooks().normalise(first.body, {})
    assert (again.external_id, again.subject, again.events) == (first.external_id, first.subject, first.events)


def test_a_message_that_comes_again_with_newer_values_tells_the_same() -> None:
    (one,) = webhooks().normalise(a_message(), {})
    (other,) = webhooks().normalise(a_message(StageName="Closed Lost", SystemModstamp="2027-01-05T10:00:00.000Z"), {})
    assert one.body
    assert other.body
    assert one.external_id == other.external_id
    assert webhooks().same(one.body, other.body)


def test_a_notification_about_a_record_that_is_gone_does_not_take_the_others_along() -> None:
    body = a_message(2).replace(b"<sf:Id>006000000000001AAA</sf:Id>", b"")
    first, second = webhooks().normalise(body, {})
    assert "id of a record" in first.unreadable
    assert second.subject is not None


def test_S11_the_path_and_the_org_must_both_be_right() -> None:
    assert not refused(a_message())
    assert not refused(a_message(org=ORG[:15]))
    assert refused(a_message(org=OTHER))
    assert refused(a_message(), **{PATH_KEY: PATH[:-1]})
    assert refused(a_message(), **{PATH_KEY: ""})
    assert refused(a_message(), **{PATH_KEY: PATH + "x"})


def test_S11_without_an_outbound_secret_no_message_is_taken() -> None:
    with pytest.raises(VerificationError):
        webhooks(outbound=[]).verify(a_message(), {PATH_KEY: ""}, NOW)


def test_S05_a_second_path_is_taken_while_one_is_replaced() -> None:
    webhooks(outbound=["an-older-one", PATH]).verify(a_message(), {PATH_KEY: PATH}, NOW)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x>&l9;</x>',
    "quadratic blowup": f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>',
    "external entity": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "external entity over http": '<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:1/">]><x>&a;</x>',
    "external document type": '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/"> %p;]><x/>',
    "entity that nobody declared": "<x>&a;</x>",
    "processing instruction": "<?xml-stylesheet href='http://127.0.0.1:1/'?><x/>",
    "deep nesting": "<x>" * 100_000,
    "many elements": "<x>" + "<y/>" * 100_000 + "</x>",
    "many attributes": "<x " + " ".join(f'a{n}="1"' for n in range(50_000)) + "/>",
    "a long attribute": f'<x a="{"a" * 500_000}"/>',
    "inclusion": '<x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></x>',
    "no XML": "nothing of the kind",
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_S10_a_hostile_message_is_refused_quickly_and_reads_nothing_else(name: str) -> None:
    body, began = HOSTILE[name].encode(), time.process_time()
    with pytest.raises(UnreadableError):
        message_in(body)
    assert refused(body)
    assert time.process_time() - began < 0.5


def test_S10_an_entity_inside_a_good_message_is_refused() -> None:
    head, _, rest = a_message().partition(b"?>")
    bomb = head + b'?><!DOCTYPE x [<!ENTITY a "Closed Won">]>' + rest.replace(b"Closed Won", b"&a;")
    assert refused(bomb)


@pytest.mark.parametrize("length", range(60, len(a_message()), 97))
def test_S10_a_message_that_is_cut_off_is_refused(length: int) -> None:
    assert refused(a_message()[:length])


def test_S10_another_encoding_is_refused() -> None:
    assert refused(a_message().decode().replace("UTF-8", "UTF-16").encode("utf-16"))


def test_S10_a_hundred_notifications_are_taken_and_one_more_are_not() -> None:
    assert len(webhooks().normalise(a_message(MOST), {})) == MOST
    assert not refused(a_message(MOST))
    assert refused(a_message(MOST + 1))


def test_only_a_strict_true_acknowledges_and_a_callout_goes_by_its_status() -> None:
    assert b"<Ack>true</Ack>" in ack(kept=True)
    assert b"<Ack>false</Ack>" in ack(kept=False)
    told = replying("text/xml; charset=utf-8", True)
    assert told is not None
    assert told.content_type.startswith("text/xml")
    assert replying("application/json", True) is None


def test_a_callout_is_signed_with_its_time() -> None:
    make = partial(signed, b'{"event_id": "1"}')
    body, headers = make("callout-secret")
    lower = {name.lower(): value for name, value in headers.items()}
    webhooks().verify(body, lower, time.time())
    with pytest.raises(VerificationError):
        webhooks().verify(body + b" ", lower, time.time())
    with pytest.raises(VerificationError):
        webhooks().verify(body, lower, time.time() + 400)


def test_a_signature_does_not_stand_in_for_the_path_and_the_path_not_for_a_signature() -> None:
    body, headers = signed(a_message(), "another")
    lower = {name.lower(): value for name, value in headers.items()}
    assert refused(body, **lower)
    assert refused(b'{"event_id": "1"}')


@pytest.mark.parametrize(
    ("sells_by", "taken"),
    [
        ("Opportunity", {"Opportunity", "OpportunityLineItem"}),
        ("Order", {"Order", "OrderItem"}),
        ("Contract", {"Contract", "Order", "OrderItem"}),
        ("Asset", {"Asset"}),
    ],
)
def test_a_message_counts_where_it_is_of_the_sale_or_of_what_hangs_below_it(sells_by: str, taken: set[str]) -> None:
    """The others are kept as ignored, and say what this connection sells by."""
    ignored = {}
    for name in EVENTS:
        body = envelope(ORG, name, [("04l000000000001AAA", {"Id": "802000000000001AAA"})])
        (found,) = webhooks(sells_by).normalise(body, {})
        assert (found.subject is None) == bool(found.ignored_because)
        ignored[name] = found.ignored_because
    assert {name for name, because in ignored.items() if not because} == taken
    assert {because for because in ignored.values() if because} == {f"this connection sells by {sells_by}"}
