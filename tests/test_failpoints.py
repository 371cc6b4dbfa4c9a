"""Every fail point, every way to fail, every kind of work: all is right afterwards (F04; I1, I3-I6, I8).

The work that fails is done in a forked child with a hub of its own; the vendor, and the sender that tries again, are here.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import select, text

from hub import asking, drain, settings, wiring
from hub.domain import Ref
from hub.failpoint import NAMES, FailpointError, arm
from hub.lifecycle import CRASHES, Failed
from hub.store import Store
from hub.store.schema import db_now, lease, receipt, subject
from hub.web.app import create_app
from hub.wiring import Hub
from tests.world import Post, World, due_in

KINDS = ("create", "change", "disable")
DOOR = tuple(name for name in NAMES if name.startswith("receipt."))
END = tuple(name for name in NAMES if name.startswith("finish."))
OUTBOUND = tuple(name for name in NAMES if name.startswith(("fan_out.", "delivery.")))  # tests/hub/test_deliver.py
LOOK = tuple(name for name in NAMES if name not in DOOR + END + OUTBOUND)
REVIVAL = {"revival.committed"}  # tests/test_revival.py
NOT_MET = {"create": REVIVAL, "change": {"intent.committed", *REVIVAL}, "disable": {"intent.committed", *REVIVAL}}
ROOT = Path(__file__).parents[1]
LEASE_S = 1.5
ON_EITHER = pytest.mark.parametrize(
    ("world", "kind"), [("postgres", "create"), ("sqlite", "change"), ("postgres", "disable")], indirect=["world"]
)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """On SQLite, unless a test is given another database."""
    database = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    made = World(tmp_path, database, lease=LEASE_S)
    try:
        yield made
    finally:
        arm("")
        made.close()


def arrange(world: World, kind: str, count: int) -> list[str]:
    """So many subscriptions, each with this kind of work due."""
    ids, posts = raised(world, kind, count)
    world.deliver(posts)
    return ids


def raised(world: World, kind: str, count: int) -> tuple[list[str], list[Post]]:
    """So many subscriptions, and what is to be delivered so that each has this kind of work."""
    ids = [world.buy("PRO-100", 3) for _ in range(count)]
    if kind != "create":
        world.deliver(world.events())
        assert world.settle()
    for one in ids:
        if kind == "change":
            world.set_quantity(one, 7)
        if kind == "disable":
            world.cancel(one)
    return ids, world.events()


def forked(world: World, job: Callable[[Hub], object], spec: str, about: str = "", once: Path | None = None) -> int:
    """The pid of a child that does `job` with a hub of its own and these fail points."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if once:
            os.environ["HUB_FAILPOINTS_ONCE"] = str(once)
        arm(spec, about)
        job(wiring.build(settings.load(world.config, {})))
        code = 0
    finally:
        os._exit(code)


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def look(id_: str) -> Callable[[Hub], object]:
    ref = Ref(source="stripe", kind="subscription", id=id_)
    return lambda hub: drain.look_now(hub.shop, ref)


def drained(hub: Hub) -> object:
    return drain.drain(hub.shop, hub.bell, 8, stop=lambda: False)


def post(posts: list[Post]) -> Callable[[Hub], list[int]]:
    """Delivers at the door of a web application, as the vendor would; the statuses."""

    def deliver(hub: Hub) -> list[int]:
        client = create_app(hub).test_client()
        answers = [client.post("/webhooks/stripe", data=body, headers=_own(headers)) for body, headers in posts]
        return [answer.status_code for answer in answers]

    return deliver


def _own(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in {"stripe-signature", "content-type"}}


def check(world: World) -> None:
    """Nothing is due, nothing is lost, doubled or wrong, and leases of the dead end."""
    assert world.settle(), due_in(world.hub.store)
    assert world.wrong() == []
    _until(lambda: not _live_leases(world))


def _live_leases(world: World) -> list[str]:
    live = select(lease.c.key).where(lease.c.holder.is_not(None), lease.c.expires > db_now())
    with world.hub.store.read() as conn:
        return list(conn.execute(live).scalars())


def test_F04_the_list_of_fail_points_is_complete() -> None:
    sources = [
        path.read_text(encoding="utf-8") for name in ("hub", "connectors") for path in (ROOT / name).rglob("*.py")
    ]
    called = {name for text in sources for name in re.findall(r'\bfailpoint\(\s*"([^"]+)"', text)}
    assert called - {"name"} == set(NAMES)


@ON_EITHER
def test_F04_I3_I4_a_worker_that_dies_at_any_point_of_a_look_leaves_nothing_undone_or_doubled(
    world: World, kind: str
) -> None:
    ids = arrange(world, kind, len(LOOK))
    pids = {name: forked(world, look(id_), f"{name}=exit") for name, id_ in zip(LOOK, ids, strict=True)}
    died = {name for name, pid in pids.items() if code_of(pid) == 9}
    assert died == set(LOOK) - NOT_MET[kind]
    check(world)


def test_F04_I3_I4_a_worker_that_dies_at_the_end_of_its_looks_leaves_nothing_undone_or_doubled(world: World) -> None:
    for name in END:
        for kind in KINDS:
            arrange(world, kind, 1)
        assert code_of(forked(world, drained, f"{name}=exit")) == 9
        check(world)


@pytest.mark.parametrize("kind", KINDS)
def test_F04_I1_what_a_dying_receiver_did_not_acknowledge_comes_again_and_counts_once(world: World, kind: str) -> None:
    for name in DOOR:
        _, posts = raised(world, kind, 1)
        assert code_of(forked(world, post(posts), f"{name}=exit")) == 9
        assert set(post(posts)(world.hub)) == {200}
        check(world)
    with world.hub.store.read() as conn:
        ids = conn.execute(select(receipt.c.external_id)).scalars().all()
    assert set(ids) == {one["id"] for one in world.get("/v1/events", limit=100)["data"]}


def test_F04_I1_a_receiver_that_fails_before_its_answer_never_says_2xx(world: World) -> None:
    for name in DOOR:
        _, posts = raised(world, "create", 1)
        arm(f"{name}=raise*")
        assert min(post(posts)(world.hub)) >= 500
        arm("")
        assert set(post(posts)(world.hub)) == {200}
    check(world)


@pytest.mark.parametrize("kind", KINDS)
def test_F04_I4_a_bug_at_any_point_of_a_look_is_shown_and_doubles_nothing(world: World, kind: str) -> None:
    met = set()
    for name, id_ in zip(LOOK, arrange(world, kind, len(LOOK)), strict=True):
        arm(f"{name}=raise", id_)
        result = look(id_)(world.hub)
        arm("")
        if isinstance(result, Failed):
            assert name in (result.trace or "")
            met.add(name)
    assert met == set(LOOK) - NOT_MET[kind]
    check(world)


def test_F04_I4_a_bug_at_the_end_of_looks_doubles_nothing(world: World) -> None:
    for name in END:
        for kind in KINDS:
            arrange(world, kind, 1)
        arm(f"{name}=raise")
        with suppress(FailpointError):
            drained(world.hub)
        arm("")
        check(world)


@ON_EITHER
def test_F04_I6_a_look_that_was_stopped_for_two_leases_writes_and_calls_nothing_after(
    world: World, tmp_path: Path, kind: str
) -> None:
    points = [name for name in LOOK if name not in NOT_MET[kind]]
    jobs = [(name, look(id_)) for name, id_ in zip(points, arrange(world, kind, len(points)), strict=True)]
    _stopped_for_two_leases(world, tmp_path, jobs)


@pytest.mark.parametrize("name", END)
def test_F04_I6_looks_whose_end_was_stopped_for_two_leases_write_and_call_nothing_after(
    world: World, tmp_path: Path, name: str
) -> None:
    for kind in KINDS:
        arrange(world, kind, 1)
    _stopped_for_two_leases(world, tmp_path, [(name, drained)])


def _stopped_for_two_leases(world: World, folder: Path, jobs: list[tuple[str, Callable[[Hub], object]]]) -> None:
    """Stops each job at its point; others do its work; when it goes on it must find itself fenced off."""
    marks = [folder / name for name, _ in jobs]
    pids = [forked(world, job, f"{name}=sleep:2", once=folder / name) for name, job in jobs]
    try:
        _until(lambda: all(mark.exists() for mark in marks))
        time.sleep(0.3)  # other looks of the same job end
        for pid in pids:
            _stop_between_writes(world, pid)
        time.sleep(2 * LEASE_S)
        check(world)
        before = len(world.zentitle.call_log), world.writes()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert [code_of(pid) for pid in pids] == [0] * len(pids)
    assert (len(world.zentitle.call_log), world.writes()) == before
    check(world)


def _stop_between_writes(world: World, pid: int) -> None:
    """A process stopped within a write would hold up every other one."""

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if _nobody_writes(world.hub.store):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    _until(stopped)


def _nobody_writes(store: Store) -> bool:
    if store.url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(store.url.database), timeout=0)) as conn:
            try:
                conn.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    with store.read() as conn:
        return not conn.execute(text(OPEN)).scalar()


OPEN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (state = 'active' OR state LIKE 'idle in transaction%') AND backend_type = 'client backend'"""


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30  # as Town.until
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def test_I8_what_crashes_every_worker_is_dead_in_the_end_and_harms_nobody_else(world: World) -> None:
    poison, *others = arrange(world, "create", 5)
    deaths = 0
    while _state(world, poison) != "dead":
        assert deaths <= CRASHES + 2
        deaths += code_of(forked(world, drained, "look.read=exit*", about=poison)) == 9
        time.sleep(LEASE_S / 4)
    assert world.settle()
    assert [told.split(":")[0] for told in world.wrong()] == [poison]
    assert deaths == 1, "only the batch died with it; later it was looked at alone"
    assert _reason(world, poison) == "crashed the worker"
    assert all(_state(world, one) == "idle" for one in others)
    asking.ask(world.hub.store, Ref(source="stripe", kind="subscription", id=poison))
    check(world)


def _state(world: World, id_: str) -> str:
    return str(_column(world, id_, "state"))


def _reason(world: World, id_: str) -> str:
    return str(_column(world, id_, "cause"))


def _column(world: World, id_: str, name: str) -> object:
    with world.hub.store.read() as conn:
        return conn.execute(select(subject.c[name]).where(subject.c.ref == f"stripe/subscription/{id_}")).scalar()
