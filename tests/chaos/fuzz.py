"""The API under machine-made calls, for as long as is asked: `python -m tests.chaos.fuzz --minutes 5`.

A real `hub web` on a record with a life in it, and schemathesis with what it makes of the API's own document: examples,
edges, random calls, and sequences of calls. Fails where something breaks, or an answer is none that the document tells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from hub import keys
from hub.keys import SCOPES
from hub.runtime import free_port, wait_for_port
from hub.store import Store
from tests.hub.doors import a_config, running
from tests.hub.factory import fill
from tests.records import upgrade

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)


def main() -> int:
    """Runs it; the exit code of schemathesis."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=5)
    asked.add_argument("--seed", type=int)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), given.minutes, given.seed)


def run(folder: Path, minutes: float, seed: int | None) -> int:
    """Serves, fuzzes, ends what it began."""
    port = free_port()
    config = a_config(folder)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[hub]", "[hub]\napi_per_s = 100000", 1), encoding="utf-8")
    store = Store(f"sqlite:///{folder}/hub.sqlite")
    upgrade(store)
    fill(store)
    key = keys.create(store, "fuzz", SCOPES, None, by="fuzz")
    store.close()
    with running(config, "web", HUB_PORT=str(port)):
        wait_for_port(port, 30)
        return fuzz(f"http://127.0.0.1:{port}/api/v1", key, minutes, seed, folder)


def fuzz(base: str, key: str, minutes: float, seed: int | None, folder: Path) -> int:
    """What schemathesis finds; it prints it, with a seed and a command to do it again."""
    words = ["-m", "schemathesis.cli", "run", f"{base}/openapi.json", "-H", f"Authorization: Bearer {key}"]
    words += ["--checks", CHECKS, "--continue-on-failure", "--max-time", f"{minutes * 60:.0f}"]
    words += ["--exclude-operation-id", "test"]  # it would send to whatever address was made up
    words += [
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
        *(["--seed", str(seed)] if seed is not None else []),
    ]
    return subprocess.run([sys.executable, *words], check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
