"""A sale reaches a consumer through real processes: receiver, worker, clock, worker of deliveries."""

from __future__ import annotations

from pathlib import Path

import pytest
from standardwebhooks import Webhook

from hub.runtime import this_hub
from tests.hub.sink import a_sink
from tests.world import a_town

pytestmark = pytest.mark.timeout(120)


def test_a_sale_reaches_its_consumer_signed(tmp_path: Path, sqlite_url: str) -> None:
    with a_sink() as sink, a_town(tmp_path, sqlite_url) as town:
        text = (town.folder / "hub.toml").read_text()
        (town.folder / "hub.toml").write_text(text + '\n[outbound]\nallow = ["127.0.0.1"]\n')
        town.commands["delivery"] = this_hub("worker", "delivery")
        town.keep_up()
        added = town.hub("endpoints", "add", sink.url, "--type", "entitlement.created")
        one = town.vendors.buy("PRO-100", 4)
        town.settle()
        town.until(lambda: bool(sink.got), 30)
        (got,) = sink.got
        told = Webhook(added["secret"]).verify(got.body, got.headers)
        assert told["type"] == "entitlement.created"
        assert told["data"]["purchase"] == f"stripe/subscription/{one}"
        assert town.end("delivery") < 30
