"""Nothing secret gets into a log, in whichever shape it comes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hub.log import hide, redact, secrets_in

SECRETS = {
    "webhook": "whsec_aB3-_x=",
    "live key": "sk_live_51Habc",
    "test key": "sk_test_51Habc",
    "restricted": "rk_live_51Habc",
    "bearer": "Bearer eyJhbGciOi.J9-_x",
    "mail": "ida.b+x@example.co.uk",
}


def redacted(**event: object) -> dict[str, object]:
    return dict(redact(None, "info", dict(event)))


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_S15_a_secret_inside_a_text_is_blotted_out(secret: str) -> None:
    assert redacted(problem=f"sent {secret} there") == {"problem": "sent [redacted] there"}


@pytest.mark.parametrize(
    "key",
    [
        "client_secret",
        "SECRET",
        "token",
        "access_token",
        "password",
        "Authorization",
        "stripe-signature",
        "api_key",
        "fulfillment_keys",
    ],
)
def test_S15_a_value_under_a_telling_key_is_blotted_out(key: str) -> None:
    assert redacted(**{key: "canary"}) == {key: "[redacted]"}


def test_what_is_no_secret_stays() -> None:
    event = {"event": "look.ended", "subject": "stripe/subscription/sub_1", "tries": 3, "result": "settled"}
    assert redacted(**event) == event


@pytest.mark.parametrize(
    "value",
    [{"note": "whsec_abc"}, ["sk_live_abc"], ("ida@example.com",), {"headers": {"Authorization": "Bearer abc"}}],
)
def test_S15_a_secret_inside_a_structure_is_blotted_out(value: object) -> None:
    told = json.dumps(redacted(seen=value))
    assert not any(secret in told for secret in ("abc", "ida@example.com"))


def test_a_process_writes_one_json_line_to_stderr_and_no_secret_of_a_traceback() -> None:
    code = """
import structlog
from hub import log
log.configure("web")
try:
    raise ValueError("whsec_canary of ida@example.com")
except ValueError:
    structlog.get_logger().exception("receipt.failed", source="stripe")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["source"], told["process"], told["level"]) == (
        "receipt.failed",
        "stripe",
        "web",
        "error",
    )
    assert "ValueError" in told["exception"]
    assert "canary" not in line
    assert "ida@" not in line
    assert done.stdout == ""


@pytest.mark.parametrize(
    "text",
    [
        "Basic aHViOmNhbmFyeQ==",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
        "t=1700000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        "postgresql://hub:canary@db.example.com/hub",
        "GET /things?access_token=canary&limit=3",
        "/portal/eyJj.canary",
        "ida%40example.com",
    ],
)
def test_S15_tokens_signatures_and_passwords_in_any_text_are_blotted_out(text: str) -> None:
    told = str(redacted(problem=f"sent {text} there")["problem"])
    assert "[redacted]" in told
    assert text not in told
    assert told.startswith("sent ")
    assert told.endswith(" there")
    assert "canary" not in told


def test_S15_a_secret_of_the_configuration_is_blotted_out_wherever_it_stands() -> None:
    config = {"kind": "vendor", "token_url": "https://x.example/token", "client_secret": "blue elephants", "keys": 3}
    config |= {"webhook_secrets": ["green elephants"], "base_url": "https://hub:red-elephants@x.example"}
    config |= {"deep": {"private_key": "old elephants"}, "password": "short"}
    found = set(secrets_in(config))
    assert found == {"blue elephants", "green elephants", "red-elephants", "old elephants", "short"}
    hide(found)
    told = redacted(error=ValueError("blue elephants"), path="/x/green elephants", red=b"red-elephants", why="short")
    assert "elephants" not in str(told)
    assert told["why"] == "short", "a word too short to be a secret says nothing"


def test_S15_libraries_warnings_and_what_nobody_caught_pass_the_same_filter() -> None:
    code = """
import logging, threading, warnings
from hub import log
log.configure("web")
log.hide(["a canary of words"])
for name in ("urllib3.connectionpool", "rq.worker", "granian", "flask.app"):
    logging.getLogger(name).warning("%s to %s", "Bearer canary", "/x?token=canary")
warnings.warn("a canary of words", stacklevel=1)
def fail():
    raise ValueError("a canary of words")
thread = threading.Thread(target=fail, name="looker")
thread.start()
thread.join()
try:
    fail()
except ValueError:
    logging.getLogger("flask.app").exception("a canary of words")
fail()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert "canary" not in done.stderr
    assert [line["event"] for line in lines[:1]] == ["[redacted] to /x?[redacted]"]
    assert [line["event"] for line in lines[-3:]] == ["thread.failed", "[redacted]", "process.failed"]
    assert all(line["process"] == "web" for line in lines)
    assert "ValueError" in lines[-1]["exception"]
    assert len(lines) == 8


def test_F15_a_log_that_can_not_be_written_stops_nothing_and_says_later_what_is_missing() -> None:
    code = """
import os, structlog
from hub import log
log.configure("web")
kept = os.dup(2)
full = os.open("/dev/full", os.O_WRONLY)
os.dup2(full, 2)
for _ in range(3):
    structlog.get_logger().warning("said.in_vain")
os.dup2(kept, 2)
structlog.get_logger().warning("said.again")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert told[-1]["event"] == "said.again"
    assert any(line["event"] == "log.lost" for line in told)
