"""Signatures as two other implementations check them: the Python library of Standard Webhooks, and openssl."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from hub import signing
from hub.outbound.samples import verifiers
from hub.signing import Secret, is_secret, live, secret_of

TEXT = secret_of(bytes(range(32)))


@given(
    random=st.binary(min_size=24, max_size=64),
    body=st.text(max_size=200),
    id_=st.from_regex(r"[\w-]{1,40}", fullmatch=True),
)
def test_S05_what_is_signed_is_verified_and_nothing_else(random: bytes, body: str, id_: str) -> None:
    now = datetime.now(UTC)
    headers = dict(signing.headers([Secret(text=secret_of(random))], id_, now, body))
    webhook = Webhook(secret_of(random))
    webhook.verify(body, headers, json_parse=False)
    for altered in (
        headers | {"webhook-id": id_ + "x"},
        headers | {"webhook-timestamp": str(int(now.timestamp()) - 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            webhook.verify(body, altered, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        webhook.verify(body + "x", headers, json_parse=False)


def test_S05_the_known_vector_of_the_specification_is_signed_as_it_says() -> None:
    text, at = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    body = '{"test": 2432232314}'
    signed = signing.headers([Secret(text=text)], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_S05_each_live_secret_signs_in_order_and_one_that_is_over_does_not() -> None:
    now = datetime.now(UTC)
    at = now.timestamp()
    kept = [
        Secret(text=TEXT),
        Secret(text=secret_of(b"b" * 32), not_after=at + 1),
        Secret(text=secret_of(b"c" * 32), not_after=at),
    ]
    assert [one.text for one in live(kept, at)] == [TEXT, kept[1].text]
    signatures = signing.headers(live(kept, at), "msg_1", now, "{}")["webhook-signature"].split(" ")
    assert len(signatures) == 2
    with pytest.raises(WebhookVerificationError):
        Webhook(kept[2].text).verify("{}", dict(signing.headers(live(kept, at), "msg_1", now, "{}")))
    with pytest.raises(ValueError, match="nothing signs"):
        signing.headers([], "msg_1", now, "{}")


def test_a_late_delivery_is_refused_by_its_receiver() -> None:
    now = datetime.now(UTC)
    headers = dict(signing.headers([Secret(text=TEXT)], "msg_1", now - timedelta(minutes=6), "{}"))
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(TEXT).verify("{}", headers)


def test_openssl_makes_the_same_signature_by_the_shell_code_that_is_printed(tmp_path) -> None:
    now = datetime.now(UTC)
    body = '{"name":"Müller ✓"}'
    headers = signing.headers([Secret(text=TEXT)], "msg_1", now, body)
    (tmp_path / "body").write_text(body, encoding="utf-8")
    environ = {"SECRET": TEXT, "ID": "msg_1", "TIMESTAMP": headers["webhook-timestamp"], "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", verifiers()["shell"]],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert headers["webhook-signature"] == f"v1,{done.stdout.strip()}"


def test_the_python_code_that_is_printed_verifies() -> None:
    now = datetime.now(UTC)
    told: dict = {}
    exec(verifiers()["Python"], told)
    body = '{"a":1}'
    headers = dict(signing.headers([Secret(text=TEXT)], "msg_1", now, body))
    assert told["verified"](body.encode(), headers, TEXT) == {"a": 1}


def test_a_plain_hmac_says_the_same() -> None:
    now = datetime.now(UTC)
    headers = signing.headers([Secret(text=TEXT)], "msg_1", now, "{}")
    said = hmac.new(bytes(range(32)), f"msg_1.{headers['webhook-timestamp']}.{{}}".encode(), hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(said).decode()


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_what_is_no_secret_is_not_taken(text: str) -> None:
    assert is_secret(TEXT)
    assert not is_secret(text)
