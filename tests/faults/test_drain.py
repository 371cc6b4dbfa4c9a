"""I10: processes end in time, and nobody notices: not the sender, not the next worker."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select

from hub.runtime import this_hub, wait_for_port
from hub.store.schema import lease, receipt
from tests.factories import a_signature, an_event
from tests.world import SECRET, Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


class Sender(threading.Thread):
    """Posts events one after the other; what could not be delivered is sent again, as vendors and proxies do."""

    def __init__(self, town: Town, name: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self._url, self._stop_asked = f"{town.url}/webhooks/stripe", stop
        self.answers: Counter[int] = Counter()
        self.acked: list[str] = []
        self.broken = 0

    def run(self) -> None:
        with requests.Session() as http:
            number = 0
            while not self._stop_asked.is_set():
                number += 1
                self._send(http, f"evt_{self.name}_{number}")

    def _send(self, http: requests.Session, id_: str) -> None:
        body = an_event(id_)
        while True:
            try:
                answer = http.post(self._url, body, headers={"Stripe-Signature": a_signature(body, SECRET)}, timeout=15)
            except requests.RequestException:
                self.broken += 1
                time.sleep(0.05)
                continue
            self.answers[answer.status_code] += 1
            if answer.ok:
                self.acked.append(id_)
                return
            time.sleep(0.05)


def test_I10_the_receiver_is_rolled_under_load_and_no_sender_hears_anything_but_2xx(
    tmp_path: Path, database_url: str
) -> None:
    stop = threading.Event()
    with a_town(tmp_path, database_url, redis=False, without=("worker", "clock")) as town:
        senders = [Sender(town, f"s{number}", stop) for number in range(4)]
        for one in senders:
            one.start()
        took = []
        try:
            for _ in range(3):
                _all_are_heard(town, senders)
                took.append(town.end("web"))
                town.keep_up()
                assert wait_for_port(town.ports["web"], 30)
            _all_are_heard(town, senders)
        finally:
            stop.set()
            for one in senders:
                one.join(30)
        answers = sum((one.answers for one in senders), Counter())
        acked = {id_ for one in senders for id_ in one.acked}
        with town.store.read() as conn:
            kept = set(conn.execute(select(receipt.c.external_id)).scalars())
    print(f"{len(acked)} acked, ends in {[round(one, 2) for one in took]} s")
    assert max(took) <= 10
    assert set(answers) == {200}, answers
    assert len(acked) > 100
    assert acked - kept == set()


def _all_are_heard(town: Town, senders: list[Sender]) -> None:
    """Returns once each sender got some more answers."""
    before = [len(one.acked) for one in senders]
    town.until(lambda: all(len(one.acked) > count + 10 for one, count in zip(senders, before, strict=True)))


def test_I10_a_request_that_is_open_when_the_receiver_is_told_to_end_is_answered(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url, redis=False, without=("worker", "clock")) as town:
        body = an_event("evt_open")
        head = (
            f"POST /webhooks/stripe HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(body)}\r\n"
            f"Stripe-Signature: {a_signature(body, SECRET)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", town.ports["web"]), timeout=15) as sock:
            sock.sendall(head.encode() + body[:40])
            time.sleep(0.3)
            ending = threading.Thread(target=town.end, args=("web",))
            ending.start()
            time.sleep(1)
            sock.sendall(body[40:])
            answer = sock.recv(65536)
            ending.join(15)
        assert answer.startswith(b"HTTP/1.1 200")
        assert not ending.is_alive()
        with town.store.read() as conn:
            assert conn.execute(select(func.count()).select_from(receipt)).scalar_one() == 1


@pytest.mark.parametrize("redis", [True, False], ids=["rq", "polling"])
def test_I10_a_worker_amid_slow_calls_ends_between_two_and_leaves_nothing_leased(
    tmp_path: Path, sqlite_url: str, redis: bool
) -> None:
    with a_town(tmp_path, sqlite_url, redis=redis, lease=60, without=("clock",)) as town:
        town.end("worker")
        for number in range(1, 13):
            town.vendors.buy("PRO-100", number)
        town.vendors.flush()
        town.vendors.zentitle_admin("faults", latency_s=0.7)
        town.keep_up()
        town.until(lambda: _leases(town) > 0 and _calls(town) > 3)
        took = town.end("worker")
        left, made = _leases(town), len(town.vendors.grants())
        asked = _calls(town)
        time.sleep(1)
        assert _calls(town) == asked, "nobody goes on in secret"
        town.vendors.zentitle_admin("faults", latency_s=0)
        town.keep_up()
        began = time.monotonic()
        town.settle(40)
        print(f"the worker ended in {took:.1f} s, the next one had settled all {time.monotonic() - began:.1f} s later")
        assert took <= 30
        assert made < 12, "it ended between two calls, not once all was done"
        assert left == 0
        assert time.monotonic() - began < 20, "nobody has waited for a lease of 60 s to end"
        assert town.vendors.wrong() == []


def _leases(town: Town) -> int:
    with town.store.read() as conn:
        held = select(func.count()).where(lease.c.holder.is_not(None))
        return int(conn.execute(held).scalar_one())


def _calls(town: Town) -> int:
    return len(town.vendors.zentitle_admin("calls")["log"])


def test_I10_the_clock_ends_at_once_also_amid_a_sweep(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url, redis=False, without=("worker", "clock")) as town:
        town.vendors.buy("PRO-100", 1)
        town.vendors.stripe_admin("faults", latency_s=1)
        town.left_out = ("worker",)
        town.keep_up()
        town.until(lambda: _leases(town) == 1)
        assert town.end("clock") <= 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_I10_a_receiver_whose_server_is_killed_while_it_starts_stays_behind_nowhere(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url, without=("web", "worker", "clock")) as town:
        for moment in (0.2, 0.4, 0.6, 0.8, 1.0, 1.3):
            server = subprocess.Popen(this_hub("web"), env=town.environ, stdout=subprocess.DEVNULL, stderr=town.log)
            time.sleep(moment)
            server.kill()
            server.wait()
        town.until(lambda: _of(town) == [], 10)


def _of(town: Town) -> list[int]:
    """Processes that still serve this town's hub."""
    config = f"HUB_CONFIG={town.environ['HUB_CONFIG']}".encode()
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
    return [pid for pid in pids if config in _read(pid, "environ") and b"hub\0web" in _read(pid, "cmdline")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""
