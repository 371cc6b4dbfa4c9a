"""What comes of one inbound request, by calls alone: kept first, judged by the connector, answered by an outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from connectors.stripe.webhook import StripeWebhooks
from hub.domain import Envelope
from hub.errors import UnreadableError, VerificationError
from hub.inbox import accept
from hub.ports import Connector, Webhooks
from hub.store import Store
from hub.store.schema import receipt, review, subject
from tests.factories import a_ref, a_signature, an_event

SECRET = "whsec_of_the_tests"
STRIPE = Connector(name="stripe", kind="stripe", ref="stripe", webhooks=StripeWebhooks("stripe", [SECRET]))


def post(store: Store, body: bytes, connector: Connector = STRIPE, **headers: str) -> list[str]:
    sent = {"stripe-signature": a_signature(body, SECRET)} | headers
    return accept(store, connector, body, sent, time.time())


def all_of(store: Store, table: Any = receipt) -> list[Any]:
    with store.read() as conn:
        return list(conn.execute(select(table)).all())


def test_an_event_is_kept_and_its_subject_due(store: Store) -> None:
    body = an_event()
    assert post(store, body) == ["accepted"]
    (row,) = all_of(store)
    assert (bytes(row.body), row.external_id, row.connection) == (body, "evt_1", "stripe")
    assert (row.type, row.subject, row.occurred_at) == ("customer.subscription.updated", str(a_ref()), 1_790_000_000)
    (due,) = all_of(store, subject)
    assert (due.ref, due.state, due.kind, due.cause) == (str(a_ref()), "due", "subscription", "event")


def test_S15_only_harmless_headers_are_kept(store: Store) -> None:
    post(store, an_event(), authorization="Bearer canary", cookie="canary", **{"user-agent": "Stripe/1.0"})
    assert json.loads(all_of(store)[0].headers) == {"user-agent": "Stripe/1.0"}


def test_I2_a_duplicate_is_counted_and_marks_nothing(store: Store) -> None:
    assert post(store, an_event()) == ["accepted"]
    store.write(lambda conn: conn.execute(subject.delete()))
    assert [post(store, an_event()) for _ in range(2)] == [["duplicate"], ["duplicate"]]
    assert [row.duplicates for row in all_of(store)] == [2]
    assert all_of(store, subject) == []


def test_I2_fifty_threads_that_bring_the_same_event_make_one_row(store: Store) -> None:
    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(lambda _: post(store, an_event()), range(50)))
    assert sorted(outcomes) == [["accepted"], *[["duplicate"]] * 49]
    assert [row.duplicates for row in all_of(store)] == [49]


@pytest.mark.parametrize(
    "changes",
    [{"type_": "invoice.paid"}, {"created": 5}, {"data": {"object": {"id": "sub_2", "object": "subscription"}}}],
)
def test_I2_of_two_facts_under_one_id_the_first_stands_and_the_second_is_kept_beside(
    store: Store, changes: dict[str, Any]
) -> None:
    assert post(store, an_event()) == ["accepted"]
    assert [post(store, an_event(**changes)) for _ in range(2)] == [["conflict"], ["conflict"]]
    first, second = all_of(store)
    assert (first.outcome, first.external_id, bytes(first.body)) == ("accepted", "evt_1", an_event())
    assert (second.outcome, bytes(second.body)) == ("conflict", an_event(**changes))
    assert second.external_id.startswith("evt_1#")
    (task,) = all_of(store, review)
    assert (task.kind, task.open) == ("conflict", True)
    assert [row.ref for row in all_of(store, subject)] == [str(a_ref())]


def test_I2_a_conflict_with_a_body_that_was_pruned_is_a_duplicate(store: Store) -> None:
    post(store, an_event())
    store.write(lambda conn: conn.execute(receipt.update().values(body=None)))
    assert post(store, an_event(created=5)) == ["duplicate"]


def test_what_is_not_verified_leaves_nothing(store: Store) -> None:
    with pytest.raises(VerificationError):
        accept(store, STRIPE, an_event(), {"stripe-signature": "junk"}, time.time())
    assert all_of(store) == []


def test_a_quarantined_event_marks_nothing_and_is_shown_once_a_connection(store: Store) -> None:
    for number in range(3):
        assert post(store, an_event(f"evt_{number}", livemode=False)) == ["quarantined"]
    assert [row.outcome for row in all_of(store)] == ["quarantined"] * 3
    assert all_of(store, subject) == []
    (task,) = all_of(store, review)
    assert (task.key, "livemode" in task.text) == ("quarantined:stripe", True)


def test_an_ignored_event_says_why(store: Store) -> None:
    assert post(store, an_event(type_="plan.created")) == ["ignored"]
    (row,) = all_of(store)
    assert (row.outcome, row.reason) == ("ignored", "catalog edits: prices are read with each subscription")


def test_S08_an_unreadable_body_is_kept_under_its_digest_and_shown(store: Store) -> None:
    body = b'{"id": 1, "id": 2}'
    assert post(store, body) == ["dead"]
    assert post(store, body) == ["duplicate"]
    (row,) = all_of(store)
    assert row.external_id.startswith("sha256:")
    assert (row.outcome, bytes(row.body)) == ("dead", body)
    (task,) = all_of(store, review)
    assert task.key == "dead:stripe"


def test_a_connection_without_webhooks_is_no_door(store: Store) -> None:
    with pytest.raises(LookupError):
        post(store, an_event(), replace(STRIPE, webhooks=None))


# a vendor that sends several events in one body


@dataclass(frozen=True)
class Batch(Webhooks):
    """Reads one event a line; a body that starts with ! can't be read."""

    refuses: str = ""

    def verify(self, body: bytes, headers: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        if headers.get("key") != "good":
            raise VerificationError("no key")

    def normalise(self, body: bytes, headers: Mapping[str, str]) -> list[Envelope]:  # noqa: ARG002
        if body.startswith(b"!"):
            raise UnreadableError("starts with !")
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            Envelope(external_id=line, type="order.completed", occurred_at=at, subject=a_ref(line))
            for line in body.decode().split()
        ]

    def same(self, one: bytes, other: bytes) -> bool:  # noqa: ARG002
        return True

    def refused(self, envelope: Envelope) -> str | None:
        return "not for us" if envelope.external_id == self.refuses else None


def a_batch(store: Store, body: bytes, refuses: str = "") -> list[str]:
    connector = Connector(name="shop", kind="shop", ref="shop", webhooks=Batch(refuses))
    return accept(store, connector, body, {"key": "good"}, time.time())


def test_a_body_of_several_events_is_one_receipt_each(store: Store) -> None:
    assert a_batch(store, b"a b c") == ["accepted"] * 3
    assert sorted(row.external_id for row in all_of(store)) == ["a", "b", "c"]


def test_an_event_of_a_batch_is_judged_alone(store: Store) -> None:
    a_batch(store, b"b")
    assert a_batch(store, b"a b c", refuses="c") == ["accepted", "duplicate", "quarantined"]


def test_a_body_without_events_is_taken_and_leaves_nothing(store: Store) -> None:
    assert a_batch(store, b"") == []


def test_I13_bringing_everything_again_in_any_order_changes_nothing(store: Store) -> None:
    bodies = [an_event(f"evt_{number}") for number in range(5)] + [b"{", an_event("evt_q", livemode=False)]
    for body in bodies:
        post(store, body)
    before = [(row.external_id, row.outcome) for row in all_of(store)]
    marks = all_of(store, subject)[0].marks
    for body in bodies[::-1] + bodies:
        assert post(store, body) == ["duplicate"]
    assert [(row.external_id, row.outcome) for row in all_of(store)] == before
    assert all_of(store, subject)[0].marks == marks
