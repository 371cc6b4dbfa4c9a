"""The consumer in the story: an endpoint of the hub, a process that receives, and a disk that can go away."""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hub.outbound.endpoints import By, Wish
from hub.outbound.filters import Filter
from hub.runtime import Process
from hub.signing import secret_of
from hub.store import outbound, stream
from hub.wiring import Hub
from sandbox.stage import PATIENCE_S, Stage, StoryError

TYPES = ("entitlement.*",)
MOST = 1_000  # deliveries of the story that are counted


class Listener:
    """sandbox/consumer.py in a process of its own, whose inbox is under `folder`."""

    def __init__(self, hub: Hub, folder: Path, port: int) -> None:
        self._hub, self._folder = hub, folder
        self.url = f"http://127.0.0.1:{port}/hub"
        self._port = port
        self._secret = secret_of(secrets.token_bytes(32))
        self._id = ""

    def process(self) -> Process:
        """The process that receives."""
        self._folder.mkdir(parents=True)
        command = [sys.executable, "-m", "flask", "--app", "sandbox.consumer", "run", "--port", str(self._port)]
        return Process("consumer", command, {"WEBHOOK_SECRET": self._secret, "INBOX": str(self._inbox)})

    def subscribe(self) -> str:
        """The hub sends it what becomes of licenses from now on; where the console shows that."""
        wish = Wish(url=self.url, description="sandbox/consumer.py", filter=Filter(types=TYPES), secret=self._secret)
        self._id, _ = self._hub.office.endpoints.add(wish, By(actor="story", origin="sandbox"))
        return f"{self._hub.settings.hub.public_url}/endpoints/{self._id}"

    @contextmanager
    def failing(self, stage: Stage) -> Iterator[None]:
        """Meanwhile its disk is away, so it answers 500; ends once it has done so at least once."""
        away = self._folder.with_name(f"{self._folder.name}.away")
        self._folder.rename(away)
        try:
            yield
            stage.until(self._refused, "the consumer has refused an event", PATIENCE_S)
        finally:
            away.rename(self._folder)

    def account(self, stage: Stage) -> str:
        """What it has, in a sentence. StoryError where anything is lost or came more than once."""
        stage.until(self._done, "every event is delivered", PATIENCE_S)
        with self._hub.store.read() as conn:
            sent = outbound.deliveries(conn, self._id, limit=MOST)
        attempts = sum(one.tries for one in sent)
        if {one.event_id: 1 for one in sent} != self._kept():
            raise StoryError(f"the consumer has not each of {len(sent)} events once: {self._kept()}")
        refused = attempts - len(sent)
        return (
            f"{len(sent)} events in {attempts} attempts, {refused} of them answered 500 and sent again: "
            "nothing is lost, and each id came once"
        )

    @property
    def _inbox(self) -> Path:
        return self._folder / "inbox.sqlite"

    def _kept(self) -> dict[str, int]:
        """How often each event was taken."""
        with closing(sqlite3.connect(self._inbox)) as db:
            return dict(db.execute("SELECT id, times FROM event"))

    def _refused(self) -> bool:
        with self._hub.store.read() as conn:
            return any(one.tries for one in outbound.deliveries(conn, self._id, outbound.PENDING))

    def _done(self) -> bool:
        with self._hub.store.read() as conn:
            of = outbound.endpoint(conn, self._id)
            left = outbound.backlog(conn, of) if of else None
            return not (left is None or left.pending or left.behind or stream.waiting(conn))
