"""F06, F15, F19: the record restarts, loses connections amid a commit, is full, or comes out of a backup."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from hub.store import Store
from hub.store.schema import receipt, review, subject
from tests.factories import a_signature, an_event
from tests.faults.conftest import Server
from tests.faults.proxy import a_proxy
from tests.faults.test_drain import Sender
from tests.world import SECRET, Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


def kept(store: Store) -> set[str]:
    """Ids of all events in the inbox."""
    with store.read() as conn:
        return set(conn.execute(select(receipt.c.external_id)).scalars())


def all_is_right(town: Town) -> None:
    """Every license is what was bought, and there is one group for each."""
    assert town.vendors.wrong() == []
    groups: dict[str, set[str]] = {}
    for row in town.vendors.grants():
        groups.setdefault(row["orderRefId"], set()).add(row["groupId"])
    assert [ref for ref, ids in groups.items() if len(ids) > 1] == []


@pytest.mark.parametrize("restarts", [2, pytest.param(10, marks=pytest.mark.full)])
def test_F06_a_database_that_crashes_and_connections_cut_amid_a_commit_lose_and_double_nothing(
    tmp_path: Path, own_postgres: Server, restarts: int
) -> None:
    stop = threading.Event()
    with a_proxy(own_postgres.socket, seed=5) as proxy:
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
        with a_town(tmp_path, through, lease=2) as town:
            town.store.close()
            town.store = Store(own_postgres.url)
            town.vendors.stripe_admin("delivery", tries=60, backoff_s=0.2, duplicate=0.15, seed=5)
            senders = [Sender(town, f"s{number}", stop) for number in range(3)]
            for one in senders:
                one.start()
            try:
                proxy.share = 0.03
                for _ in range(restarts):
                    _live(town, 8)
                    own_postgres.crash()
                    time.sleep(1.5)
                    own_postgres.recover()
                    time.sleep(1)
            finally:
                stop.set()
                proxy.share = 0.0
            for one in senders:
                one.join(30)
            answers = {status for one in senders for status in one.answers}
            acked = {id_ for one in senders for id_ in one.acked}
            print(f"{len(acked)} acked, answers {answers}, {proxy.cuts} connections cut")
            assert answers == {200, 503}
            assert acked - kept(town.store) == set()
            assert proxy.cuts > 10
            town.vendors.stripe_admin("drain", timeout_s=60)
            town.vendors.note_events()
            town.vendors.stripe_admin("deliver")
            town.settle(90)
            assert town.vendors.event_ids - kept(town.store) == set()
            all_is_right(town)


def _live(town: Town, count: int) -> None:
    for number in range(count):
        one = town.vendors.buy("PRO-100", number + 1)
        town.vendors.set_quantity(one, number + 2)
        time.sleep(0.1)


def test_F19_an_older_record_put_back_is_caught_up_by_the_sweep_and_doubles_nothing(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Customers, licenses and changes made after the backup are known to the vendors alone."""
    hub = ("web", "worker", "clock")
    with a_town(tmp_path, sqlite_url, redis=False) as town:
        roll = random.Random(19)
        before = [town.vendors.buy("PRO-100", roll.randint(1, 9)) for _ in range(10)]
        town.settle()
        with sqlite3.connect(tmp_path / "hub.sqlite") as source, sqlite3.connect(tmp_path / "backup") as target:
            source.backup(target)
        source.close()
        target.close()
        after = [town.vendors.buy("PRO-100", roll.randint(1, 9)) for _ in range(10)]
        town.vendors.buy("TEAM-YEAR", 3, town.vendors.customers[0])
        town.vendors.cancel(before[0])
        town.vendors.set_quantity(before[1], 17)
        town.vendors.set_quantity(after[0], 18)
        town.settle()
        all_is_right(town)
        for name in hub:
            town.end(name)
        town.store.close()
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"hub.sqlite{suffix}").unlink(missing_ok=True)
        shutil.copy(tmp_path / "backup", tmp_path / "hub.sqlite")
        town.vendors.set_quantity(before[2], 19)
        town.vendors.cancel(after[1])
        written = len(town.vendors.zentitle_admin("history"))
        town.keep_up()
        town.until(lambda: _known(town) == 21, 60)
        town.settle()
        town.until(lambda: town.vendors.wrong() == [], 30)
        all_is_right(town)
        assert len(town.vendors.get_zentitle_customers()) == 20
        print(f"{len(town.vendors.zentitle_admin('history')) - written} writes for two changes after the restore")
        assert _tasks(town) == []


def _known(town: Town) -> int:
    with town.store.read() as conn:
        return len(conn.execute(select(subject.c.ref).where(subject.c.kind == "subscription")).all())


def _tasks(town: Town) -> list[str]:
    with town.store.read() as conn:
        return list(conn.execute(select(review.c.kind)).scalars())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the files of a process that runs")
def test_F15_full_disks_under_record_and_log_are_503_and_the_same_process_goes_on_once_there_is_room(
    tmp_path: Path, sqlite_url: str
) -> None:
    """No file of the receiver's may grow beyond what the record's has: the log, which is longer, can't grow at all."""
    with a_town(tmp_path, sqlite_url, redis=False, without=("worker", "clock")) as town:
        assert _post(town, "evt_before").status_code == 200
        wal = (tmp_path / "hub.sqlite-wal").stat().st_size
        with (tmp_path / "log").open("ab") as log:
            log.write(b"\n" * (wal + 200_000))
        processes = _tree(town.running["web"].pid)
        _limit(processes, wal + 100_000)
        answers = [_post(town, f"evt_{number}") for number in range(60)]
        forged = requests.post(f"{town.url}/webhooks/stripe", b"{}", headers={"Stripe-Signature": "x"}, timeout=10)
        assert {one.status_code for one in answers} == {200, 503}
        assert answers[-1].headers["Retry-After"]
        assert forged.status_code == 401, "it logs that, in vain"
        _limit(processes, 0)
        assert requests.get(f"{town.url}/readyz", timeout=10).status_code == 503
        assert requests.get(f"{town.url}/healthz", timeout=10).status_code == 200
        acked = {f"evt_{number}" for number, one in enumerate(answers) if one.ok}
        assert acked - kept(town.store) == set()
        _limit(processes, resource.RLIM_INFINITY)
        assert [_post(town, f"evt_{number}").status_code for number in range(60)] == [200] * 60
        assert _tree(town.running["web"].pid) == processes, "no process has ended"
        assert {f"evt_{number}" for number in range(60)} <= kept(town.store)
        assert requests.post(f"{town.url}/webhooks/stripe", b"{}", timeout=10).status_code == 401
        assert '"log.lost"' in (tmp_path / "log").read_text()


def _post(town: Town, id_: str) -> requests.Response:
    body = an_event(id_, padding="x" * 8000)
    signed = {"Stripe-Signature": a_signature(body, SECRET)}
    return requests.post(f"{town.url}/webhooks/stripe", body, headers=signed, timeout=15)


def _tree(pid: int) -> list[int]:
    """A process and all that it has forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _limit(pids: list[int], size: int) -> None:
    """No file that these write to may be longer."""
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
