"""Zentitle2's webhooks over real HTTP: registered by command, sent by the emulated tenant, kept by a hub's own door."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.emulation import serving
from connectors.zentitle.emulator import ZentitleEmulator
from hub.runtime import free_port
from hub.store.schema import receipt
from tests.hub.doors import Door, a_door, hub

SEATS = ["ada", "grace"]


@dataclass(frozen=True)
class Talk:
    """A tenant that speaks, and the door that it speaks to."""

    vendor: ZentitleEmulator
    door: Door

    def sell(self, number: int) -> str:
        """A sale, two seats taken and one freed; the entitlement's id."""
        group = self.vendor.tenant.create_group({"skus": ["TEAM-YEAR"], "orderRefId": f"o:{number}"}, self.now)
        id_ = group.entitlements[0]
        self.vendor.admin("activate", {"entitlement": id_, "seatIds": SEATS})
        self.vendor.admin("deactivate", {"entitlement": id_, "seatIds": SEATS[:1]})
        return id_

    @property
    def now(self) -> Any:
        return self.vendor.clock.now()

    def drain(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.vendor.admin("drain", {"timeout_s": 60})
        assert counts["pending"] == 0
        return counts

    def receipts(self) -> list[Any]:
        with self.door.store.read() as conn:
            return list(conn.execute(select(receipt).where(receipt.c.connection == "zentitle")).all())


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    vendor = ZentitleEmulator()
    with serving(vendor) as url, a_door(tmp_path, zentitle=url) as door:
        text = door.config.read_text().replace("[hub]\n", f'[hub]\npublic_url = "http://127.0.0.1:{door.port}"\n', 1)
        door.config.write_text(text)
        done = hub(door.config, "connect", "zentitle", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        vendor.admin("delivery", {"backoff_s": 0.05, "tries": 8})
        yield Talk(vendor, door)
        vendor.deliveries.close()


def test_I1_every_event_that_got_a_2xx_is_kept_once_however_it_was_sent(talk: Talk) -> None:
    talk.vendor.admin("delivery", {"duplicate": 0.4, "reorder": 0.4, "delay_s": 0.05, "seed": 1})
    ids = {talk.sell(number) for number in range(10)}
    counts = talk.drain()
    sent = {body["eventId"] for body in talk.vendor.deliveries.bodies()}
    kept = talk.receipts()
    assert counts["delivered"] > len(sent)
    assert sorted(row.external_id for row in kept) == sorted(sent)
    assert {row.outcome for row in kept} == {"accepted"}
    assert {row.subject for row in kept if row.type != "entitlement.group.created"} == {
        f"zentitle/entitlement/{id_}" for id_ in ids
    }
    assert sum(row.duplicates for row in kept) == counts["delivered"] - len(sent)
    assert Counter(row.type for row in kept)["entitlement.seat.activated"] == 20


def test_S03_a_forged_event_is_401_and_a_test_event_is_kept_as_ignored(talk: Talk) -> None:
    forged = json.dumps({"eventId": "e", "eventCode": "entitlement.updated", "payload": {"entitlementId": "ent_1"}})
    answer = talk.door.post(forged.encode(), None, to="/webhooks/zentitle", N_Signature="AAAA" * 85 + "AA==")
    assert answer.status == 401
    (listener,) = talk.vendor.deliveries.listeners.values()
    talk.vendor.deliveries.test(listener, talk.now)
    talk.drain()
    ((row),) = talk.receipts()
    assert (row.outcome, row.reason, row.subject) == ("ignored", "a test event", None)


def test_I1_what_is_sent_while_the_key_can_not_be_read_comes_again_and_is_kept(tmp_path: Path) -> None:
    vendor, port = ZentitleEmulator(), free_port()
    with a_door(tmp_path, zentitle=f"http://127.0.0.1:{port}") as door:
        talk = Talk(vendor, door)
        vendor.webhook(f"http://127.0.0.1:{door.port}/webhooks/zentitle")
        vendor.admin("delivery", {"backoff_s": 0.5, "tries": 9, "timeout_s": 30})
        id_ = talk.sell(1)
        until = time.monotonic() + 30
        while not vendor.deliveries.counts["refused"] and time.monotonic() < until:
            time.sleep(0.05)
        assert talk.receipts() == []
        with serving(vendor, port):
            counts = talk.drain()
        vendor.deliveries.close()
        assert counts.get("failed", 0) == 0
        assert len(talk.receipts()) == len(vendor.deliveries.bodies()) == 6
        assert f"zentitle/entitlement/{id_}" in {row.subject for row in talk.receipts()}
