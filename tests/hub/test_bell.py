"""The doorbell where there is none: a foreign Redis is never touched."""

from __future__ import annotations

import socket
from pathlib import Path

from hub import settings, wiring
from hub.bell import Bell
from hub.store import Store
from tests.hub.doors import a_config, running
from tests.records import upgrade


def test_without_an_address_nothing_is_asked_of_any_redis() -> None:
    bell = Bell("")
    assert not bell.ring()
    assert not bell.alive()
    bell.answer()


def test_a_hub_without_redis_url_has_no_bell_and_its_processes_say_so(tmp_path: Path) -> None:
    """Whatever listens on Redis's usual port hears nothing: the port is taken here, where it is free."""
    config = a_config(tmp_path, redis="")
    hub = wiring.build(settings.load(config, {}))
    assert not hub.bell.alive()
    hub.store.close()
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            foreign.bind(("127.0.0.1", 6379))
        except OSError:
            return  # somebody is there already; the test above has told
        foreign.listen()
        foreign.settimeout(0.1)
        store = Store(f"sqlite:///{tmp_path}/hub.sqlite")
        upgrade(store)
        store.close()
        with running(config, "clock"):
            said = tmp_path / "clock.log"
            for _ in range(100):
                try:
                    foreign.accept()
                except TimeoutError:
                    if b"bell.none" in said.read_bytes():
                        return
                else:
                    raise AssertionError("a process spoke to a Redis that nobody named")
        raise AssertionError(said.read_text())
