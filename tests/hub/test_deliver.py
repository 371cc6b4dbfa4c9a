"""Deliveries: each message once and again until it is taken, the same id and bytes, whatever breaks."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select, update
from standardwebhooks import Webhook

from hub.bell import Bell
from hub.errors import PermanentError
from hub.failpoint import NAMES, FailpointError, arm
from hub.outbound import deliver
from hub.outbound.clock import NOTICE_AT, SCHEDULE
from hub.outbound.deliver import Office, share
from hub.outbound.endpoints import By, Endpoints, Wish
from hub.outbound.filters import Filter
from hub.outbound.sending import Sender
from hub.outbound.targets import allowed
from hub.store import Store, outbound, records, stream
from hub.store.outbound import Again
from hub.store.schema import attempt, audit, db_now, delivery, endpoint, message, review
from hub.stream.events import EntitlementState, Message, PurchaseFact
from tests.hub.sink import Answer, Got, Handler, Sink, a_sink
from tests.records import upgrade

SECRET = b"a secret of the tests, long enough for all of them"
BY = By(actor="ida", origin="test")
BELL = Bell("")
LEASE_S = 0.8
ON_BOTH = pytest.mark.parametrize("record", ["sqlite", "postgres"], indirect=True)


def an_office(store: Store, *, total_s: float = 5.0, lease_s: float = LEASE_S, drain_s: float = 20.0) -> Office:
    sender = Sender([allowed("127.0.0.1")], total_s=total_s)
    return Office(
        store=store, sender=sender, endpoints=Endpoints(store, sender, [SECRET]), lease_s=lease_s, drain_s=drain_s
    )


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of SQLite with its tables, to be copied."""
    file = tmp_path_factory.mktemp("empty") / "hub.sqlite"
    store = Store(f"sqlite:///{file}")
    upgrade(store)
    store.close()
    return file


@pytest.fixture
def record(request: pytest.FixtureRequest, empty: Path, tmp_path: Path) -> Iterator[Store]:
    """On SQLite, unless a test is given PostgreSQL."""
    if getattr(request, "param", "sqlite") == "postgres":
        made = Store(request.getfixturevalue("postgres_url"), settle_s=0)
        upgrade(made)
    else:
        made = Store(f"sqlite:///{shutil.copy(empty, tmp_path)}", settle_s=0)
    yield made
    made.close()


@pytest.fixture
def office(record: Store) -> Iterator[Office]:
    made = an_office(record)
    yield made
    made.sender.close()
    arm("")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with a_sink() as made:
        yield made


def tell(store: Store, count: int = 1, *, first: int = 0, customer: str = "cus_1", **values: Any) -> list[str]:
    """So many messages in their places; their ids."""
    base = {"group": "g", "order_ref": "stripe:sub_1", "purchase": "stripe/subscription/sub_1", "offering": "PRO-100"}
    base |= {"seats_used": 0, "overdraft": None, "expires_at": None, "enabled": True, "frozen": False}
    base |= {"perpetual": False, "revision": 1, "made_by": "hub", "entitlement": "ent_1", "customer": customer}
    type_ = values.pop("type", "entitlement.changed")
    told = [
        Message(
            id=f"{customer}-{number}",
            type=type_,
            occurred_at=datetime.fromtimestamp(1_700_000_000 + number, UTC),
            subject="stripe/subscription/sub_1",
            entitlement="ent_1",
            data=EntitlementState(**(base | {"seats": number} | values)),
        )
        for number in range(first, first + count)
    ]
    place(store, told)
    return [one.id for one in told]


def place(store: Store, told: list[Message]) -> None:
    store.write(lambda conn: records.add_messages(conn, told))
    while store.write(stream.place_messages):
        pass


def add(office: Office, sink: Sink, **wish: Any) -> str:
    return office.endpoints.add(Wish(url=sink.url, **wish), BY)[0]


def drain(office: Office, threads: int = 16) -> int:
    return deliver.drain(office, BELL, threads, stop=lambda: False)


def due_now(store: Store) -> None:
    """The wait for the next attempt is over."""
    at = update(delivery).where(delivery.c.state == "pending")
    store.write(lambda conn: conn.execute(at.values(next_at=db_now() - 1)))
    store.write(lambda conn: conn.execute(update(endpoint).values(hold_until=0)))


def states(store: Store) -> Counter[str]:
    with store.read() as conn:
        return Counter(conn.execute(select(delivery.c.state)).scalars())


def the_endpoint(store: Store, id_: str) -> outbound.Endpoint:
    with store.read() as conn:
        found = outbound.endpoint(conn, id_)
    assert found is not None
    return found


def types(store: Store) -> list[str]:
    """Of the notices in the stream."""
    with store.read() as conn:
        return sorted(conn.execute(select(message.c.type).where(message.c.type.startswith("hub."))).scalars())


@ON_BOTH
def test_every_message_is_sent_once_signed_as_its_receiver_verifies_it(office: Office, sink: Sink) -> None:
    _, secret = office.endpoints.add(Wish(url=sink.url, headers={"X-Tenant": "acme"}), BY)
    ids = tell(office.store, 30)
    assert drain(office) == 30
    assert sorted(sink.ids()) == sorted(ids)
    for got in sink.got:
        assert Webhook(secret).verify(got.body, got.headers)["id"] == got.id
        assert got.headers["x-tenant"] == "acme"
        assert got.headers["content-type"] == "application/json"
    assert states(office.store) == {"delivered": 30}
    assert drain(office) == 0


def test_an_endpoint_gets_what_comes_after_it_was_added(office: Office, sink: Sink) -> None:
    tell(office.store, 3)
    add(office, sink)
    new = tell(office.store, 2, first=3)
    drain(office)
    assert sorted(sink.ids()) == sorted(new)


def test_I9_id_and_body_are_the_same_over_all_attempts_and_timestamp_and_signature_are_new(
    office: Office, sink: Sink
) -> None:
    add(office, sink)
    tell(office.store)
    sink.answer = 500
    for _ in SCHEDULE:
        drain(office)
        due_now(office.store)
    assert len(sink.got) == len(SCHEDULE)
    assert len({(got.id, got.body) for got in sink.got}) == 1
    assert states(office.store) == {"exhausted": 1}
    with office.store.read() as conn:
        numbers = conn.execute(select(attempt.c.number, attempt.c.status).order_by(attempt.c.number)).all()
    assert [tuple(row) for row in numbers] == [(number, 500) for number in range(1, 11)]


@ON_BOTH
def test_I9_what_is_sent_again_by_order_keeps_its_id_and_what_was_given_up_comes_back(
    office: Office, sink: Sink
) -> None:
    id_ = add(office, sink)
    ids = tell(office.store, 3)
    sink.answer = lambda handler, got: handler.say(500 if got.id == ids[1] else 200)
    for _ in SCHEDULE:
        drain(office)
        due_now(office.store)
    assert states(office.store) == {"delivered": 2, "exhausted": 1}
    sink.answer, sink.got = 200, []
    assert office.endpoints.again(id_, Again(failed=True), BY) == 1
    drain(office)
    assert sink.ids() == [ids[1]]
    assert office.endpoints.again(id_, Again(since=1_700_000_002), BY) == 1
    drain(office)
    assert sink.ids() == [ids[1], ids[2]]
    assert office.endpoints.again(id_, Again(ids=(ids[0],)), BY) == 1
    assert office.endpoints.again(id_, Again(types=("purchase.*",)), BY) == 0
    drain(office)
    assert sink.ids() == [ids[1], ids[2], ids[0]]
    with office.store.read() as conn:
        orders = conn.execute(select(func.count()).where(audit.c.action == "deliveries sent again")).scalar()
    assert orders == 4


@ON_BOTH
def test_a_gap_is_sent_or_skipped_by_choice_and_nothing_is_dropped_while_disabled(office: Office, sink: Sink) -> None:
    sends, skips = add(office, sink), add(office, sink)
    for one in (sends, skips):
        office.endpoints.disable(one, BY)
    ids = tell(office.store, 4)
    assert drain(office) == 0
    assert sink.got == []
    assert office.endpoints.enable(sends, BY, skip=False) == 0
    assert office.endpoints.enable(skips, BY, skip=True) == 4
    assert drain(office) == 4
    assert sorted(sink.ids()) == sorted(ids)
    assert drain(office) == 0


def test_410_disables_and_says_so_and_what_it_refused_is_kept(office: Office, sink: Sink) -> None:
    id_ = add(office, sink)
    ids = tell(office.store, 1)
    sink.answer = 410
    drain(office)
    tell(office.store, 1, first=1)
    drain(office)
    assert len(sink.got) == 1
    assert the_endpoint(office.store, id_).state == "disabled"
    assert types(office.store) == ["hub.endpoint.disabled"]
    with office.store.read() as conn:
        assert "410" in str(conn.execute(select(review.c.text)).scalar_one())
    sink.answer = 200
    office.endpoints.enable(id_, BY, skip=False)
    store_all(office)
    drain(office)
    assert ids[0] in sink.ids()[1:]


def test_a_REST_hook_that_answers_410_is_over_and_nobody_need_be_told(office: Office, sink: Sink) -> None:
    id_ = add(office, sink, hook=True)
    tell(office.store, 1)
    sink.answer = 410
    drain(office)
    tell(office.store, 1, first=1)
    drain(office)
    assert len(sink.got) == 1
    with office.store.read() as conn:
        gone = conn.execute(select(endpoint).where(endpoint.c.id == id_)).one()
        assert (gone.state, gone.secrets) == ("removed", [])
        assert conn.execute(select(func.count()).select_from(review)).scalar_one() == 0
        assert conn.execute(
            select(audit.c.origin).where(audit.c.subject == id_).order_by(audit.c.id.desc())
        ).scalar() == ("its answer 410")
    assert types(office.store) == []


def test_F16_an_endpoint_that_is_no_hook_waits_for_a_person_after_a_410(office: Office, sink: Sink) -> None:
    id_ = add(office, sink)
    tell(office.store, 1)
    sink.answer = 410
    drain(office)
    assert the_endpoint(office.store, id_).state == "disabled"


def store_all(office: Office) -> None:
    while office.store.write(stream.place_messages):
        pass


def test_people_are_told_at_the_fourth_failure_and_once(office: Office, sink: Sink) -> None:
    id_ = add(office, sink, filter=Filter(types=("entitlement.*",)))
    tell(office.store, 2)
    sink.answer = 503
    for number in range(1, NOTICE_AT + 2):
        drain(office)
        due_now(office.store)
        assert types(office.store) == (["hub.endpoint.failing"] if number >= NOTICE_AT else [])
    sink.answer = 200
    drain(office)
    assert the_endpoint(office.store, id_).health.failing_since is None


@ON_BOTH
def test_an_endpoint_that_only_failed_for_120_hours_is_disabled(office: Office, sink: Sink) -> None:
    id_ = add(office, sink, filter=Filter(types=("entitlement.*",)))
    sink.answer = 500
    for hours in (150, 30):
        tell(office.store, 1, first=hours)
        for _ in SCHEDULE:
            drain(office)
            due_now(office.store)
        past = {"failing_since": db_now() - 3600 * 150, "exhausted_at": db_now() - 3600 * 30}
        if hours == 150:
            assert the_endpoint(office.store, id_).state == "enabled"
            office.store.write(lambda conn, past=past: conn.execute(update(endpoint).values(**past)))
    assert the_endpoint(office.store, id_).state == "disabled"
    assert types(office.store) == ["hub.endpoint.disabled", "hub.endpoint.failing"]


def test_a_retry_after_holds_everything_that_goes_there(office: Office, sink: Sink) -> None:
    add(office, sink)
    tell(office.store, 1)
    sink.answer = lambda handler, _got: handler.say(429, Retry_After="120")
    drain(office)
    tell(office.store, 5, first=1)
    assert drain(office) == 0
    with office.store.read() as conn:
        wait = outbound.next_due(conn)
    assert wait is not None
    assert 100 < wait <= 120
    sink.answer = 200
    due_now(office.store)
    assert drain(office) == 6


def test_S12_a_redirect_is_not_followed(office: Office, sink: Sink) -> None:
    add(office, sink)
    tell(office.store, 1)
    sink.answer = lambda handler, _got: handler.say(302, Location=f"{sink.url}/elsewhere")
    drain(office)
    assert [got.path for got in sink.got] == ["/hook"]
    with office.store.read() as conn:
        assert conn.execute(select(delivery.c.said)).scalar_one() == "302"


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Filter(types=("purchase.*",)), ["fact"]),
        (Filter(connections=("stripe",)), ["a-0", "b-0", "fact"]),
        (Filter(connections=("other",)), []),
        (Filter(customers=("b",)), ["b-0"]),
        (Filter(condition="event.type == 'entitlement.changed' && data.seats < 5 && event.customer == 'a'"), ["a-0"]),
        (Filter(condition="data.seats >= 0"), ["a-0", "b-0"]),
    ],
)
def test_an_endpoint_gets_what_its_filter_takes(office: Office, sink: Sink, wish: Filter, expected: list[str]) -> None:
    id_ = add(office, sink, filter=wish)
    for customer in ("a", "b"):
        tell(office.store, customer=customer)
    data = PurchaseFact(connection="stripe", event_id="evt_1", event_type="invoice.paid", subject="stripe/x/1")
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    fact = Message(id="fact", type="purchase.paid", occurred_at=at, subject="stripe/x/1", entitlement=None, data=data)
    place(office.store, [fact])
    drain(office)
    assert sorted(sink.ids()) == expected
    untold = the_endpoint(office.store, id_)
    if wish.condition == "data.seats >= 0":
        assert untold.untold == 1
        assert "purchase.paid" in untold.untold_because
        assert "seats" in untold.untold_because


def test_a_condition_that_can_t_be_is_refused_with_its_column(office: Office, sink: Sink) -> None:
    with pytest.raises(PermanentError, match="column"):
        add(office, sink, filter=Filter(condition="data.seats >"))
    with pytest.raises(PermanentError, match="loops"):
        add(office, sink, filter=Filter(condition="data.entitlements.exists(x, x == '1')"))


@ON_BOTH
def test_I5_kept_in_order_one_customer_s_messages_come_one_by_one_and_another_s_beside_them(
    office: Office, sink: Sink
) -> None:
    add(office, sink, ordered=True)
    ids = [one for number in range(6) for c in ("a", "b") for one in tell(office.store, 1, first=number, customer=c)]
    flying: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def slow(handler: Handler, got: Got) -> None:
        customer = got.id[0]
        with sink.lock:
            flying[customer] += 1
            most[customer] = max(most[customer], flying[customer])
        time.sleep(0.01)
        with sink.lock:
            flying[customer] -= 1
        handler.say(500 if got.id == "a-2" and got.number == 1 else 200)

    sink.answer = slow
    drain(office)
    assert sink.ids()[-1] != "a-5", "a waits for its third"
    assert "a-3" not in sink.ids()
    due_now(office.store)
    drain(office)
    for customer in ("a", "b"):
        accepted = [got.id for got in sink.got if got.id[0] == customer and (got.id, got.number) != ("a-2", 1)]
        assert accepted == [one for one in ids if one[0] == customer]
    assert most == {"a": 1, "b": 1}


def test_a_rate_is_kept(office: Office, sink: Sink) -> None:
    add(office, sink, rate_per_s=5)
    tell(office.store, 30)
    quick = an_office(office.store, drain_s=0.5)
    drain(quick)
    quick.sender.close()
    assert 10 <= len(sink.got) <= 14, "two seconds' worth at first, then five a second"


def test_one_dead_endpoint_slows_no_other(record: Store, sink: Sink) -> None:
    office = an_office(record, total_s=30, drain_s=60, lease_s=60)
    let_go = threading.Event()
    with ExitStack() as stack:
        stack.callback(let_go.set)

        def hold(handler: Handler, _got: Got) -> None:
            handler.close_connection = let_go.wait(60)

        dead = stack.enter_context(a_sink(hold))
        add(office, dead)
        add(office, sink)
        tell(office.store, 200)
        began = time.monotonic()
        work = partial(deliver.drain, office, BELL, 16, stop=let_go.is_set)
        worker = threading.Thread(target=work)
        worker.start()
        while len(sink.got) < 200 and time.monotonic() - began < 25:  # the dead one holds each request for 30 s
            time.sleep(0.02)
        came = len(sink.got)
        let_go.set()
        worker.join()
    office.sender.close()
    assert came == 200


def test_threads_are_shared_equally_and_one_in_trouble_has_one() -> None:
    assert share(256, 1, 0, in_trouble=False) == 128
    assert share(256, 4, 10, in_trouble=False) == 54
    assert share(4, 100, 0, in_trouble=False) == 1
    assert share(256, 1, 0, in_trouble=True) == 1
    assert share(256, 1, 1, in_trouble=True) == 0


def test_S05_while_a_secret_is_replaced_both_sign_and_the_old_one_ends(office: Office, sink: Sink) -> None:
    id_, old = office.endpoints.add(Wish(url=sink.url), BY)
    new = office.endpoints.rotate(id_, BY, overlap_s=3600)
    assert old != new
    tell(office.store, 1)
    drain(office)
    for secret in (old, new):
        Webhook(secret).verify(sink.got[0].body, sink.got[0].headers)
    office.endpoints.rotate(id_, BY, overlap_s=0)
    tell(office.store, 1, first=1)
    drain(office)
    for secret in (old, new):
        Webhook(secret).verify(sink.got[0].body, sink.got[0].headers)
    assert len(sink.got[1].headers["webhook-signature"].split(" ")) == 1
    for _ in range(4):
        office.endpoints.rotate(id_, BY)
    with pytest.raises(PermanentError, match="5 secrets"):
        office.endpoints.rotate(id_, BY)
    with pytest.raises(PermanentError, match="overlap"):
        office.endpoints.rotate(id_, BY, overlap_s=8 * 86400)


def test_S26_the_record_holds_no_secret_and_no_header_s_value(office: Office, sink: Sink) -> None:
    _, secret = office.endpoints.add(Wish(url=sink.url, headers={"Authorization": "Bearer canary-1"}), BY)
    with office.store.read() as conn:
        rows = repr([tuple(row) for row in conn.execute(select(endpoint))])
    assert secret.removeprefix("whsec_") not in rows
    assert "canary-1" not in rows
    tell(office.store)
    drain(office)
    assert sink.got[0].headers["authorization"] == "Bearer canary-1"


def test_nothing_goes_out_unsigned_where_the_hub_s_secret_is_gone(office: Office, sink: Sink) -> None:
    id_ = add(office, sink)
    tell(office.store)
    other = Endpoints(office.store, office.sender, [b"another secret of the hub, as long as that one"])
    drain(Office(store=office.store, sender=office.sender, endpoints=other, lease_s=1, drain_s=5))
    assert sink.got == []
    found = the_endpoint(office.store, id_)
    assert found.state == "disabled"
    assert "hub.secret" in found.because
    office.endpoints.enable(id_, BY, skip=False)
    drain(office)
    assert len(sink.got) == 1


POINTS = [name for name in NAMES if name.startswith(("fan_out.", "delivery."))]


@pytest.mark.parametrize(
    ("record", "how"), [("postgres", "exit"), ("sqlite", "raise"), ("sqlite", "sleep")], indirect=["record"]
)
def test_F04_whatever_fails_where_every_message_is_delivered_and_none_is_made_twice(
    office: Office, sink: Sink, how: str
) -> None:
    add(office, sink)
    hasty = an_office(office.store, lease_s=0.4)
    told: list[str] = []
    for number, name in enumerate(POINTS):
        told += tell(office.store, 3, first=3 * number)
        office.store.close()
        code = failing(hasty, f"{name}=sleep:0.6" if how == "sleep" else f"{name}={how}")
        assert code == {"exit": 9, "sleep": 0, "raise": code}[how], name
        until_delivered(hasty, len(told))
        assert set(sink.ids()) == set(told), name
        assert len({(got.id, got.body) for got in sink.got}) == len(told), name
    hasty.sender.close()


def failing(office: Office, spec: str) -> int:
    """The exit code of a process that drains and fails so, over connections of its own."""
    office = an_office(office.store, lease_s=office.lease_s)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            arm(spec)
            deliver.drain(office, BELL, 4, stop=lambda: False)
            code = 0
        except FailpointError:
            code = 7
        finally:
            os._exit(code)
    office.sender.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until_delivered(office: Office, count: int) -> None:
    """What the dead process had is taken over when its lease ends."""
    end = time.monotonic() + 10
    while states(office.store) != {"delivered": count} and time.monotonic() < end:
        due_now(office.store)
        drain(office, 4)
    assert states(office.store) == {"delivered": count}


@ON_BOTH
def test_two_workers_at_once_send_nothing_twice(office: Office, sink: Sink) -> None:
    add(office, sink)
    ids = tell(office.store, 120)
    others = [an_office(office.store, lease_s=20) for _ in range(3)]
    workers = [threading.Thread(target=drain, args=(one, 8)) for one in others]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    for one_office in others:
        one_office.sender.close()
    assert Counter(sink.ids()) == Counter(ids)


def unkind(random: Random) -> Answer:
    """A consumer of which a fifth of the answers is bad, or lost after it accepted."""

    def answer(handler: Handler, got: Got) -> None:
        with handler.sink.lock:
            kind = random.choice(["500", "reset", "302", "lost"]) if random.random() < 0.2 else "ok"
            if kind in {"ok", "lost"}:
                accepted = handler.sink.__dict__.setdefault("accepted", Counter())
                accepted[got.id] += 1
        if kind in {"reset", "lost"}:
            handler.close_connection = True
            handler.connection.close()
        else:
            handler.say({"ok": 200, "302": 302}.get(kind, 500), Location="/elsewhere")

    return answer


def storm(office: Office, events: int, seed: int) -> None:
    """Every event accepted at least once, ids and bodies constant, no redirect followed."""
    print(f"seed {seed}")
    with a_sink(unkind(Random(seed))) as sink:
        add(office, sink)
        ids = [one for batch in range(0, events, 500) for one in tell(office.store, min(500, events), first=batch)]
        end = time.monotonic() + 60 + events / 10
        while states(office.store)["delivered"] < events and time.monotonic() < end:
            drain(office, 32)
            due_now(office.store)
        assert states(office.store) == {"delivered": events}
        assert set(sink.__dict__["accepted"]) == set(ids)
        assert len({(got.id, got.body) for got in sink.got}) == events
        assert {got.path for got in sink.got} == {"/hook"}


def test_F16_a_consumer_that_fails_a_fifth_of_the_time_gets_every_event(record: Store) -> None:
    office = an_office(record, drain_s=5, lease_s=10)
    storm(office, 150, 16)
    office.sender.close()


@pytest.mark.full
@pytest.mark.timeout(3000)
@ON_BOTH
def test_F16_the_same_with_5000_events(record: Store) -> None:
    office = an_office(record, drain_s=5, lease_s=10)
    storm(office, 5000, 1616)
    office.sender.close()


def test_what_one_message_says_to_a_consumer_is_what_the_tail_prints(office: Office, sink: Sink) -> None:
    add(office, sink)
    tell(office.store)
    drain(office)
    with office.store.read() as conn:
        (placed,) = stream.after(conn, 0)
    assert json.loads(sink.got[0].body) == placed.to_json()
