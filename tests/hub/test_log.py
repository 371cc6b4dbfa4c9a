"""Nothing secret gets into a log, in whichever shape it comes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hub.log import redact

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
    ["client_secret", "SECRET", "token", "access_token", "password", "Authorization", "stripe-signature", "api_key"],
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
