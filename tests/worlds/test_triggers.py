"""Every fixture file of `stripe trigger`, run against the emulated Stripe: its event comes, and the hub does right by it.

The files are read in place, where they are. Prices there are in no catalog; `--add price:metadata.sku=...`, as a
seller would write it, puts them in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub.store.schema import receipt, subject
from tests.world import World
from tests.worlds.triggers import Trigger, TriggerError, flattened, referred

FILES = Path(__file__).parents[3] / "shared/reference/data/payloads/stripe_cli_triggers"
pytestmark = [pytest.mark.shared, pytest.mark.timeout(60)]


UNMAPPED, SETTLED = ("parked", "unmapped"), ("idle", "settled")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trigger comes to.

    event: the type it is named for. about: the step whose object is the subject ("" where the event is ignored).
    ignored: why it leads nowhere. left: (state, cause) of the subject, once it was looked at.
    sells: the license where the price is in the catalog: (seats, disabled).
    """

    event: str
    kind: str = ""
    about: str = ""
    ignored: str = ""
    left: tuple[str, str] = UNMAPPED
    sells: tuple[int, bool] | None = None
    older_alone: bool = False  # its parameters are gone from the current version


A_PLAN = "a plan: the subscription tells when it comes true"
OUTCOMES = {
    "charge.dispute.created": Outcome(
        event="charge.dispute.created", kind="payment", about="payment_intent", left=SETTLED
    ),
    "charge.refunded": Outcome(event="charge.refunded", kind="payment", about="payment_intent", left=SETTLED),
    "checkout.session.async_payment_succeeded": Outcome(
        event="checkout.session.async_payment_succeeded", kind="checkout", about="checkout_session", sells=(2, False)
    ),
    "checkout.session.completed": Outcome(
        event="checkout.session.completed", kind="checkout", about="checkout_session", sells=(2, False)
    ),
    "customer.subscription.created": Outcome(
        event="customer.subscription.created", kind="subscription", about="subscription", sells=(1, False)
    ),
    "customer.subscription.deleted": Outcome(
        event="customer.subscription.deleted", kind="subscription", about="subscription", left=SETTLED
    ),
    "customer.subscription.updated": Outcome(
        event="customer.subscription.updated", kind="subscription", about="subscription", sells=(1, False)
    ),
    "customer.updated": Outcome(event="customer.updated", kind="customer", about="customer", left=SETTLED),
    "invoice.paid": Outcome(event="invoice.paid", ignored="an invoice of no subscription"),
    "invoice.payment_failed": Outcome(event="invoice.payment_failed", ignored="an invoice of no subscription"),
    "quote.accepted": Outcome(
        event="quote.accepted", ignored="an offer: its subscription tells the sale", sells=(10, False)
    ),
    "subscription.payment_succeeded": Outcome(
        event="invoice.payment_succeeded",
        ignored="invoice.paid tells the same, and out-of-band payments too",
        sells=(1, False),
    ),
    "subscription_schedule.created": Outcome(
        event="subscription_schedule.created", ignored=A_PLAN, sells=(1, False), older_alone=True
    ),
    "subscription_schedule.updated": Outcome(
        event="subscription_schedule.updated", ignored=A_PLAN, sells=(1, False), older_alone=True
    ),
}
# Products that the hub has no business with, each with the reason: none of the files is of one so far.
LEFT_OUT: dict[str, str] = {}
SHAPES = ("legacy", "current")
RUNS = [(shape, name) for shape in SHAPES for name in OUTCOMES if shape == "legacy" or not OUTCOMES[name].older_alone]
CATALOG = """
[[catalog]]
stripe = "sold-by-a-trigger"
sku = "PRO-100"
"""


@dataclass(frozen=True)
class Ran:
    """What the steps of a trigger were answered, and the ids of the events that this raised."""

    answers: dict[str, Any]
    events: list[str]


class Account:
    """One Stripe account where each trigger was run twice: as it is, and selling what the catalog has."""

    def __init__(self, world: World, shape: str) -> None:
        self.world = world
        names = [name for at, name in RUNS if at == shape]
        self.plain = {name: self._run(trigger(name)) for name in names}
        sold = [name for name in names if OUTCOMES[name].sells]
        self.sold = {name: self._run(trigger(name).add(price="metadata.sku=sold-by-a-trigger")) for name in sold}
        assert world.settle()
        self.grants = {row["orderRefId"].removeprefix("stripe:"): row for row in world.grants()}

    def _run(self, one: Trigger) -> Ran:
        answers = one.run(self.world.http, self.world.stripe_url)
        self.world.stripe_admin("advance", seconds=1)  # a bank debit is decided
        posts = self.world.events()
        self.world.deliver(posts)
        return Ran(answers, [json.loads(body)["id"] for body, _ in posts])

    def receipt(self, ran: Ran, type_: str) -> Any:
        """The newest receipt of this type among the trigger's."""
        where = (receipt.c.external_id.in_(ran.events), receipt.c.type == type_)
        with self.world.hub.store.read() as conn:
            rows = conn.execute(select(receipt).where(*where)).all()
        assert rows, f"no {type_} came"
        return max(rows, key=lambda row: ran.events.index(row.external_id))

    def subject(self, ref: str) -> Any:
        with self.world.hub.store.read() as conn:
            return conn.execute(select(subject).where(subject.c.ref == ref)).one()

    def sale(self, ran: Ran) -> str:
        """The subscription or checkout that the trigger sold."""
        sessions = [row["id"] for name, row in ran.answers.items() if name == "checkout_session"]
        found = [self.receipt(ran, "customer.subscription.created")] if not sessions else []
        return sessions[0] if sessions else str(found[0].subject).rpartition("/")[2]


def trigger(name: str) -> Trigger:
    return Trigger.read(FILES / f"cli__{name}.json")


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Account]]:
    """An account in this shape of the API; made once."""
    made: dict[str, Account] = {}
    with ExitStack() as stack:

        def account(shape: str) -> Account:
            if shape not in made:
                folder = tmp_path_factory.mktemp(shape)
                world = World(folder, f"sqlite:///{folder}/hub.sqlite", shape=shape, more=CATALOG)
                stack.callback(world.close)
                made[shape] = Account(world, shape)
            return made[shape]

        yield account


def test_every_file_is_run_or_left_out_for_a_reason() -> None:
    there = {path.stem.removeprefix("cli__") for path in FILES.glob("*.json")}
    assert there == {*OUTCOMES, *LEFT_OUT}
    assert not OUTCOMES.keys() & LEFT_OUT.keys()


@pytest.mark.parametrize(("shape", "name"), RUNS)
def test_a_trigger_raises_its_event_and_the_hub_knows_what_it_is_about(
    accounts: Callable[[str], Account], shape: str, name: str
) -> None:
    account, wanted = accounts(shape), OUTCOMES[name]
    ran = account.plain[name]
    got = account.receipt(ran, wanted.event)
    assert (got.outcome, got.reason or "") == ("ignored" if wanted.ignored else "accepted", wanted.ignored)
    if wanted.ignored:
        assert got.subject is None
        return
    assert got.subject == f"stripe/{wanted.kind}/{ran.answers[wanted.about]['id']}"
    row = account.subject(got.subject)
    assert (row.state, row.cause) == wanted.left
    assert row.ref.rpartition("/")[2] not in account.grants


@pytest.mark.parametrize(("shape", "name"), [(shape, name) for shape, name in RUNS if OUTCOMES[name].sells])
def test_what_a_trigger_sells_is_licensed_once_the_catalog_has_it(
    accounts: Callable[[str], Account], shape: str, name: str
) -> None:
    account = accounts(shape)
    row = account.grants[account.sale(account.sold[name])]
    assert (row["sku"], row["seatCount"], row["disabled"]) == ("PRO-100", *(OUTCOMES[name].sells or ()))
    assert account.sale(account.plain[name]) not in account.grants


def test_nothing_that_a_trigger_raises_is_unreadable_or_unknown(accounts: Callable[[str], Account]) -> None:
    for shape in SHAPES:
        with accounts(shape).world.hub.store.read() as conn:
            rows = conn.execute(select(receipt.c.outcome, receipt.c.reason)).all()
        assert {row.outcome for row in rows} == {"accepted", "ignored"}
        assert [row for row in rows if row.reason == "unknown type"] == []


@pytest.mark.parametrize("name", [name for name in OUTCOMES if OUTCOMES[name].older_alone])
def test_what_a_current_version_has_no_more_is_refused(accounts: Callable[[str], Account], name: str) -> None:
    world = accounts("current").world
    with pytest.raises(TriggerError, match=r"parameter_unknown.*iterations"):
        trigger(name).run(world.http, world.stripe_url)


# The format


def a_trigger(tmp_path: Path, *steps: dict[str, Any], version: int = 0) -> Trigger:
    file = tmp_path / "cli__made.json"
    file.write_text(json.dumps({"_meta": {"template_version": version}, "fixtures": steps}))
    return Trigger.read(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${one:id}", "cus_1"),
        ("/v1/customers/${one:id}/sources/${one:sources.data.0.id}", "/v1/customers/cus_1/sources/card_1"),
        ("${one:phone|+100}", "+100"),
        ("${.env:PHONE|+100}", "+100"),
        ("$one:id {one:id}", "$one:id {one:id}"),
    ],
)
def test_a_reference_is_replaced_by_what_an_earlier_step_was_answered(text: str, value: str) -> None:
    answers = {"one": {"id": "cus_1", "phone": None, "sources": {"data": [{"id": "card_1"}]}}}
    assert referred(text, answers) == value


@pytest.mark.parametrize("text", ["${two:id}", "${one:name}", "${one:id.more}"])
def test_a_reference_to_nothing_is_an_error(text: str) -> None:
    with pytest.raises(TriggerError):
        referred(text, {"one": {"id": "cus_1"}})


def test_parameters_become_form_fields() -> None:
    params = {"a": {"b": [{"c": 1}, {"c": True}]}, "recurring[interval]": "month", "types": ["card"], "id": "${one:id}"}
    assert dict(flattened(params, {"one": {"id": "x"}})) == {
        "a[b][0][c]": "1",
        "a[b][1][c]": "true",
        "recurring[interval]": "month",
        "types[0]": "card",
        "id": "x",
    }


def test_rewrites_override_add_remove_and_skip(tmp_path: Path) -> None:
    steps = [
        {"name": name, "path": "/", "method": "post", "params": {"a": "1", "b": {"c": "2"}}} for name in ("x", "y")
    ]
    made = a_trigger(tmp_path, *steps).override(x="b.c=3").add(x="a=4").add(y="d.e=5").remove(y="b").skip("x")
    assert [step.params for step in made.steps] == [{"a": "1", "b": {"c": "3"}}, {"a": "1", "d": {"e": "5"}}]
    assert made.skipped == {"x"}
    with pytest.raises(TriggerError, match="no step z: it has x, y"):
        made.override(z="a=1")


def test_a_template_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TriggerError, match="template version 1"):
        a_trigger(tmp_path, version=1)


def test_an_error_must_be_the_one_that_the_file_expects(tmp_path: Path, accounts: Callable[[str], Account]) -> None:
    world = accounts("current").world
    step = {"name": "gone", "path": "/v1/customers/cus_gone", "method": "get"}
    assert a_trigger(tmp_path, step | {"expected_error_type": "invalid_request_error"}).run(
        world.http, world.stripe_url
    )
    for expected in ({}, {"expected_error_type": "card_error"}):
        with pytest.raises(TriggerError, match="was answered 404"):
            a_trigger(tmp_path, step | expected).run(world.http, world.stripe_url)
