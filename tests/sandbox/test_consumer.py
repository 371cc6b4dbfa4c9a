"""The consumer of docs/recipes/flask.md, as it stands there, behind the hub's own sender."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from connectors.emulation import serving
from hub import signing
from hub.outbound.sending import Sender
from hub.outbound.targets import allowed
from hub.signing import Secret

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "recipes" / "flask.md"
BODY = json.dumps({"id": "evt_1", "type": "entitlement.changed", "data": {"seats": 8, "name": "Müller ✓"}})


def code(recipe: Path = RECIPE) -> str:
    """The recipe's one block of Python."""
    (found,) = re.findall(r"```python\n(.*?)\n *```\n", recipe.read_text("utf-8"), re.DOTALL)
    return dedent(f"{found}\n")


def run(recipe: Path, **names: Any) -> dict[str, Any]:
    """What the recipe's code has made."""
    module: dict[str, Any] = {"__name__": "recipe", **names}
    exec(compile(code(recipe), str(recipe), "exec"), module)
    return module


class Consumer:
    """The recipe, served on loopback."""

    def __init__(self, url: str, secret: str, inbox: Path) -> None:
        self.inbox, self._url, self._secret = inbox, f"{url}/hub", secret
        self._sender = Sender([allowed("127.0.0.1")])

    def send(self, body: str = BODY, *, signed: str = BODY, at: float | None = None) -> int | None:
        """What it answers to a delivery of the hub."""
        headers = signing.headers([Secret(text=self._secret)], "evt_1", _utc(at or time.time()), signed)
        return self.post(body, headers)

    def post(self, body: str, headers: Any) -> int | None:
        return self._sender.post(self._url, {"Content-Type": "application/json", **headers}, body.encode()).status

    def kept(self) -> list[Any]:
        with closing(sqlite3.connect(self.inbox)) as db:
            return list(db.execute("SELECT id, type, body, times FROM event"))

    def close(self) -> None:
        self._sender.close()


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


@pytest.fixture
def consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    secret, inbox = signing.secret_of(secrets.token_bytes(32)), tmp_path / "disk" / "inbox.sqlite"
    inbox.parent.mkdir()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    monkeypatch.setenv("INBOX", str(inbox))
    with serving(run(RECIPE)["app"]) as url:
        one = Consumer(url, secret, inbox)
        yield one
        one.close()


def test_the_sandbox_runs_the_recipe_as_it_stands() -> None:
    assert (ROOT / "sandbox" / "consumer.py").read_text("utf-8") == code()


def test_an_event_that_comes_twice_is_kept_once(consumer: Consumer) -> None:
    assert [consumer.send(), consumer.send()] == [204, 204]
    assert consumer.kept() == [("evt_1", "entitlement.changed", BODY, 2)]


def test_an_event_that_can_not_be_kept_is_asked_for_again(consumer: Consumer) -> None:
    away = consumer.inbox.parent.rename(consumer.inbox.parent.with_name("away"))
    refused = consumer.send()
    away.rename(consumer.inbox.parent)
    assert (refused, consumer.send()) == (500, 204)


BAD: dict[str, Callable[[Consumer], int | None]] = {
    "altered": lambda one: one.send(BODY.replace("8", "80"), signed=BODY),
    "too old": lambda one: one.send(at=time.time() - 600),
    "not signed": lambda one: one.post(BODY, {}),
    "signed with nonsense": lambda one: one.post(
        BODY, {"webhook-id": "evt_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1"}
    ),
}


@pytest.mark.parametrize("send", BAD.values(), ids=BAD)
def test_what_the_hub_did_not_sign_is_refused(consumer: Consumer, send: Callable[[Consumer], int | None]) -> None:
    assert send(consumer) == 401
    assert not consumer.inbox.exists()


def test_the_code_step_of_zapier_takes_what_the_hub_signed_and_nothing_else() -> None:
    recipe, secret = RECIPE.with_name("zapier.md"), signing.secret_of(secrets.token_bytes(32))
    headers = signing.headers([Secret(text=secret)], "evt_1", _utc(time.time()), BODY)
    names = {"id": "webhook-id", "at": "webhook-timestamp", "signature": "webhook-signature"}
    given = {"body": BODY, "secret": secret} | {name: headers[header] for name, header in names.items()}
    assert run(recipe, input_data=given)["output"] == json.loads(BODY)
    with pytest.raises(ValueError, match="not signed"):
        run(recipe, input_data=given | {"body": BODY.replace("8", "80")})


def test_slack_is_told_of_each_event_once(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    @Request.application
    def slack(request: Request) -> Response:
        told.append(request.json["text"])
        return Response("ok")

    consumer.send()
    with serving(slack) as url:
        monkeypatch.setenv("SLACK_URL", url)
        for _ in range(2):
            run(RECIPE.with_name("slack.md"))
    assert [one.splitlines()[0] for one in told] == ["entitlement.changed"]
