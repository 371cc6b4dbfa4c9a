"""The console's pages of endpoints: what was sent and answered, and the buttons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from hub import users
from hub.outbound import deliver
from hub.outbound.clock import SCHEDULE
from hub.store.schema import audit
from hub.wiring import Hub
from tests.hub.browsing import Browser, served, text_of
from tests.hub.factory import a_hub
from tests.hub.sink import Sink, a_sink
from tests.hub.test_deliver import BELL, add, an_office, due_now, states, tell, the_endpoint
from tests.records import upgrade


@pytest.fixture
def hub(sqlite_url: str) -> Iterator[Hub]:
    made = a_hub(sqlite_url)
    upgrade(made.store)
    users.add_user(made.store, "ida", "correct horse battery")
    yield made
    made.store.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    with a_sink() as made:
        yield made


def test_an_endpoint_shows_what_was_answered_and_its_buttons_work(hub: Hub, sink: Sink) -> None:
    office = an_office(hub.store)
    id_ = add(office, sink, description="Billing <b>")
    tell(hub.store, 2)
    sink.answer = lambda handler, _got: handler.say(500)
    for _ in SCHEDULE:
        deliver.drain(office, BELL, 4, stop=lambda: False)
        due_now(hub.store)
    with served(hub) as base:
        person = Browser(base)
        person.log_in()
        assert "Failing" in text_of(person.get("/endpoints"))
        page = person.get(f"/endpoints/{id_}?state=exhausted")
        assert "Billing <b>" not in page.text
        assert "Given up" in text_of(page)
        assert "500" in text_of(page)

        def press(order: str, **more: str) -> str:
            form = {"csrf": person.token(f"/endpoints/{id_}"), "id": id_, "order": order, "next": f"/endpoints/{id_}"}
            return text_of(person.post("/actions/endpoint", form | more))

        assert "20 a second" in press("failed")
        assert states(hub.store)["pending"] >= 2
        assert "Nothing is sent there" in press("disable")
        assert the_endpoint(hub.store, id_).state == "disabled"
        assert "Disabled" in text_of(person.get("/endpoints"))
        assert "Enabled" in press("skip")
        assert states(hub.store)["pending"] == 0
        assert "20 a second" in press("again", event="cus_1-0")
        assert "nothing to send" in press("again", event="nobody")
        assert person.post("/actions/endpoint", {"csrf": person.token("/"), "id": id_, "order": "x"}).status_code == 404
        assert person.get("/endpoints/ep_none").status_code == 404
    with hub.store.read() as conn:
        actors = set(conn.execute(select(audit.c.actor).where(audit.c.subject == id_)).scalars())
    assert "ida" in actors
    office.sender.close()
