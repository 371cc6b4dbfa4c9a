"""docs/recipes/n8n-workflow.json in n8n itself, behind the hub's deliveries. Runs with `make test-n8n`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from hub import signing
from hub.bell import Bell
from hub.outbound import deliver
from hub.outbound.endpoints import By, Wish
from hub.outbound.filters import Filter
from hub.runtime import free_port
from hub.signing import Secret
from hub.store import outbound, subjects
from hub.stream import sequencer
from tests.world import World

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]
FOLDER = Path(__file__).parent / "n8n"
WORKFLOW = Path(__file__).parents[2] / "docs" / "recipes" / "n8n-workflow.json"
START_S, STOP_S = 120, 30
QUIET = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
    "N8N_LICENSE_AUTO_RENEW_ENABLED": "false",
    "N8N_RUNNERS_ENABLED": "false",
    "N8N_EXPRESSION_ENGINE": "legacy",  # the other one wants a compiler for one more library
}


class N8n:
    """n8n on loopback, all that it keeps under `folder`."""

    def __init__(self, node: str, folder: Path, secret: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/webhook/licensing-hub"
        self._command = [node, str(FOLDER / "node_modules" / "n8n" / "bin" / "n8n")]
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "N8N_USER_FOLDER": str(folder),
            **QUIET,
            "N8N_HOST": "127.0.0.1",
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_PORT": str(port),
            "NODE_FUNCTION_ALLOW_BUILTIN": "crypto",
            "HUB_WEBHOOK_SECRET": secret,
        }
        self._log = folder / "n8n.log"

    def run(self, *words: str) -> None:
        """A command of n8n's own, whole."""
        done = subprocess.run(
            [*self._command, *words], env=self._env, cwd=FOLDER, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It takes webhooks meanwhile."""
        with self._log.open("w") as log:
            process = subprocess.Popen(
                [*self._command, "start"], env=self._env, cwd=FOLDER, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                self._wait_for_workflow(process)
                yield
            finally:
                process.terminate()
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _wait_for_workflow(self, process: subprocess.Popen[bytes]) -> None:
        """Returns once the workflow answers: 401, for what is asked is not signed."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert process.poll() is None, self._log.read_text()
            try:
                if requests.post(self.url, json={}, timeout=10).status_code == 401:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.3)
        raise AssertionError(self._log.read_text())


@pytest.fixture
def n8n(tmp_path: Path) -> Iterator[tuple[N8n, str]]:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("n8n is not installed: make test-n8n")
    secret = signing.secret_of(os.urandom(32))
    one = N8n(node, tmp_path, secret)
    one.run("import:workflow", f"--input={WORKFLOW}")
    one.run("update:workflow", "--all", "--active=true")
    with one.serving():
        yield one, secret


def test_an_entitlement_event_reaches_the_workflow_and_is_verified_there(n8n: tuple[N8n, str], tmp_path: Path) -> None:
    one, secret = n8n
    world = World(tmp_path, f"sqlite:///{tmp_path}/hub.sqlite", more='\n[outbound]\nallow = ["127.0.0.1"]\n')
    try:
        wish = Wish(url=one.url, filter=Filter(types=("entitlement.created",)), secret=secret)
        endpoint, _ = world.hub.office.endpoints.add(wish, By(actor="ida", origin="test"))
        world.buy(quantity=7)
        world.deliver(world.events())
        assert world.settle()
        _sequence(world)
        deliver.drain(world.hub.office, Bell(""), 4, stop=lambda: False)
        with world.hub.store.read() as conn:
            (sent,) = outbound.deliveries(conn, endpoint)
            (tried,) = outbound.attempts(conn, sent.id)
    finally:
        world.hub.office.sender.close()
        world.close()
    assert (sent.state, tried.status, json.loads(tried.response)) == ("delivered", 200, {"received": sent.event_id})
    assert _answers(one, secret) == {"signed": 200, "altered": 401, "old": 401}


def _sequence(world: World) -> None:
    held = world.hub.store.write(lambda conn: subjects.take(conn, sequencer.KEY, "test", 60))
    assert held is not None
    while sequencer.step(world.hub.store, world.hub.connectors, held):
        pass


def _answers(one: N8n, secret: str) -> dict[str, int]:
    """What the workflow answers to a delivery, to one whose body was altered, and to one of ten minutes ago."""
    body, now = '{"id": "evt_1", "type": "entitlement.changed", "data": {"name": "Müller ✓"}}', time.time()
    cases: dict[str, tuple[str, float]] = {
        "signed": (body, now),
        "altered": (body + " ", now),
        "old": (body, now - 600),
    }
    return {name: _post(one, secret, body, *case) for name, case in cases.items()}


def _post(one: N8n, secret: str, signed: str, sent: str, at: float) -> int:
    headers: dict[str, Any] = dict(
        signing.headers([Secret(text=secret)], "evt_1", datetime.fromtimestamp(at, UTC), signed)
    )
    headers["Content-Type"] = "application/json"
    return requests.post(one.url, data=sent.encode(), headers=headers, timeout=30).status_code
