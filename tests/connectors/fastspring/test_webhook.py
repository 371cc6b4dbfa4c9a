"""FastSpring's posts: several events in one, acknowledged one by one, and told once under whatever id they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.fastspring.webhook import EVENTS, FastSpringWebhooks, partly
from hub.domain import Envelope
from hub.errors import UnreadableError, VerificationError
from tests.conformance import a_fastspring_signature

FIXTURES = Path(__file__).parent / "fixtures"
HOOKS = FastSpringWebhooks("fs", ["one"])


def an_event(name: str = "subscription.activated__active", **values: Any) -> dict[str, Any]:
    """The event of a fixture."""
    body = json.loads((FIXTURES / f"{name}.json").read_text())
    return dict((body.get("events") or [body])[0]) | values


def a_post(*events: Any) -> bytes:
    return json.dumps({"events": list(events)}).encode()


def read(*events: Any) -> tuple[Envelope, ...]:
    return tuple(HOOKS.normalise(a_post(*events), {}))


def fact(event: dict[str, Any]) -> str:
    (envelope,) = read(event)
    return envelope.events[0].id


def test_each_event_of_a_post_is_an_envelope_with_a_body_of_its_own() -> None:
    one, other = an_event(), an_event("order.completed__subscription")
    first, second = read(one, other)
    assert [(env.external_id, env.type) for env in (first, second)] == [
        (one["id"], one["type"]),
        (other["id"], other["type"]),
    ]
    assert first.body is not None
    (again,) = HOOKS.normalise(first.body, {})  # as the record has it: the API's form
    assert (again.external_id, again.subject, again.events) == (first.external_id, first.subject, first.events)


def test_an_event_that_came_alone_keeps_its_post_byte_for_byte() -> None:
    (only,) = read(an_event())
    assert only.body is None


@pytest.mark.parametrize("bad", [{}, 5, None, {"id": "e"}, {"id": "e\n", "type": "x", "created": 1, "live": True}])
def test_an_event_that_can_t_be_read_takes_no_other_with_it(bad: Any) -> None:
    good, lost = read(an_event(), bad)
    assert (good.unreadable, good.subject is not None) == ("", True)
    assert lost.unreadable
    assert lost.external_id.startswith("sha256:")
    assert read(an_event(), bad)[1].external_id == lost.external_id
    with pytest.raises(UnreadableError):
        read(bad)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": []}', b'{"events": {}}', b'{"events": "x"}', b"a=b"])
def test_a_post_without_events_can_t_be_read(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        HOOKS.normalise(body, {})


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.json")))
def test_sent_again_by_hand_under_another_id_it_is_the_same_fact(name: str) -> None:
    event = an_event(name)
    if event["type"] in EVENTS:
        assert fact(event) == fact(event | {"id": "another", "created": event["created"] + 3_600_000})


def test_what_happens_once_is_one_fact_whatever_has_come_since() -> None:
    event = an_event()
    assert fact(event) == fact(event | {"id": "another", "data": event["data"] | {"quantity": 9, "changed": 1}})


def test_two_edits_are_two_facts() -> None:
    event = an_event("subscription.updated__quantity")
    assert fact(event) != fact(event | {"data": event["data"] | {"quantity": 9}})


def test_each_rebill_is_a_fact_with_expansion_on_and_off() -> None:
    on, off = an_event("subscription.charge.completed__rebill"), an_event("subscription.charge.completed__ids_alone")
    assert fact(on) != fact(on | {"data": on["data"] | {"order": {"id": "another", "items": []}}})
    assert fact(off) != fact(off | {"data": off["data"] | {"order": "another"}})


@pytest.mark.parametrize("name", ["order.completed", "subscription.activated", "subscription.charge.completed"])
def test_expansion_changes_nothing_of_where_to_look(name: str) -> None:
    (bare,) = read(an_event(f"{name}__ids_alone"))
    assert bare.subject is not None
    assert bare.subject.kind == name.partition(".")[0]
    data = an_event(f"{name}__ids_alone")["data"]
    id_ = data.get("subscription", data.get("id", ""))
    assert bare.subject.id == (id_ if bare.subject.kind == "subscription" else data["id"])


def test_a_later_post_with_newer_data_tells_the_same_and_another_object_does_not() -> None:
    event = an_event()
    newer = event | {"processed": True, "data": event["data"] | {"quantity": 9}}
    other = event | {"data": event["data"] | {"id": "s2", "subscription": "s2"}}
    assert HOOKS.same(a_post(event), json.dumps(newer).encode())
    assert not HOOKS.same(a_post(event), a_post(other))
    assert not HOOKS.same(a_post(event), a_post(event | {"type": "subscription.updated"}))


@pytest.mark.parametrize("type_", ["account.created", "payoutEntry.created", "mailingListEntry.removed", "x", "x.y"])
def test_what_changes_no_license_is_kept_with_the_reason(type_: str) -> None:
    (envelope,) = read(an_event(type=type_))
    assert (envelope.subject, envelope.events) == (None, ())
    assert envelope.ignored_because
    assert (envelope.ignored_because == "unknown type") is (type_ in {"x", "x.y"})


def test_events_of_the_other_mode_are_not_for_this_connection() -> None:
    (test_order,) = read(an_event(live=False))
    assert HOOKS.refused(test_order)
    assert FastSpringWebhooks("fs", ["one"], livemode=False).refused(test_order) is None
    with pytest.raises(UnreadableError, match="live"):
        read({name: value for name, value in an_event().items() if name != "live"})


@pytest.mark.parametrize("spelling", ["{}=", " {}", "{}\n", "{},{}", "v1={}", "é", "{}" * 8])
def test_S01_a_signature_in_another_spelling_fails(spelling: str) -> None:
    body = a_post(an_event())
    good = a_fastspring_signature(body, "one")
    HOOKS.verify(body, {"x-fs-signature": good}, 0)
    with pytest.raises(VerificationError):
        HOOKS.verify(body, {"x-fs-signature": spelling.replace("{}", good)}, 0)


def test_a_202_has_one_id_a_line() -> None:
    assert partly(["e1", "e2"]) == b"e1\ne2\n"


@pytest.mark.parametrize("id_", ["", "a/b", "a b", "ä", 5, None, "x" * 300])
def test_an_object_s_id_is_fit_for_a_subject_s_name(id_: Any) -> None:
    with pytest.raises(UnreadableError):
        read(an_event(data={"id": id_}))
