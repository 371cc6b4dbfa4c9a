"""The emulated org, asked by jsforce: a client in another language. Runs with `make test-node`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from connectors.emulation import serving
from connectors.salesforce.emulator import SalesforceEmulator

FOLDER = Path(__file__).parent / "salesforce"


def test_jsforce_reads_and_writes_as_in_a_real_org() -> None:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("jsforce is not installed: make test-node")
    org = SalesforceEmulator()
    with serving(org) as url:
        command = [node, "--no-warnings", "ask.mjs", url, org.oauth.give(org.clock.now())]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {
        "created": True,
        "found": [["Acme", "Licensing Hub"]],
        "first": True,
        "second": False,
        "several": [True, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", True],
        "refused": "REQUIRED_FIELD_MISSING",
        "described": ["Usage_Key__c"],
        "bulk": [299, ["STRING_TOO_LONG"]],
    }
    assert org.rows("License_Usage_Summary__c")[0]["Seats_Licensed__c"] is None
