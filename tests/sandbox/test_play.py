"""`make run`, whole: real processes, both stories, and what is there to be opened at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hub.runtime import free_port

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


def test_both_stories_come_out_as_they_are_told(tmp_path: Path) -> None:
    ports = [
        f"--{name}={free_port()}"
        for name in ("port", "stripe-port", "zentitle-port", "fastspring-port", "salesforce-port", "consumer-port")
    ]
    command = [sys.executable, "-m", "sandbox.play", "--once", "--folder", str(tmp_path / "sandbox"), *ports]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "/portal/" in done.stdout
    assert "nothing is lost, and each id came once" in done.stdout
    page = (tmp_path / "demo" / "account.html").read_text("utf-8")
    assert "Halden Robotics" in page
    assert "At risk" in page
