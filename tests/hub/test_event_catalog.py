"""The catalog of event types: what is emitted is what is told, and what was published stays true."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hub.outbound import rendering
from hub.store import Store, stream
from hub.stream import catalog
from hub.stream.events import PAYLOADS, EntitlementState
from tests.hub.test_deliver import tell

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "event-types.json").read_text())


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_type_has_an_example_that_its_schema_takes(name: str) -> None:
    one = next(found for found in catalog.types() if found.name == name)
    Draft202012Validator.check_schema(one.schema)
    Draft202012Validator(one.schema).validate(one.example)
    assert re.search(one.schema["properties"]["type"]["pattern"], str(one.example["type"]))


def test_what_is_emitted_is_what_the_schema_says_and_a_difference_shows(store: Store) -> None:
    tell(store, 1)
    with store.read() as conn:
        (placed,) = stream.after(conn, 0)
    validator = Draft202012Validator(catalog.published()[placed.type]["schema"])
    body = json.loads(rendering.body(placed, 1))
    validator.validate(body)
    assert list(validator.iter_errors(body | {"data": body["data"] | {"seats": "eight"}}))
    assert list(validator.iter_errors(body | {"data": body["data"] | {"nobody_told": 1}}))
    with pytest.raises(ValidationError):
        EntitlementState(**(body["data"] | {"nobody_told": 1}))


def test_what_was_published_is_still_true() -> None:
    """Where this fails on purpose: a new version of the type, or `hub events types --json > docs/event-types.json`."""
    now = catalog.published()
    for name, told in PUBLISHED.items():
        assert name in now, f"{name} is gone"
        if now[name]["version"] == told["version"]:
            assert catalog.breaks(told["schema"]["properties"]["data"], now[name]["schema"]["properties"]["data"]) == []
    assert now == PUBLISHED, "write docs/event-types.json anew"


def test_a_new_field_breaks_nobody_and_anything_else_does() -> None:
    before = EntitlementState.model_json_schema()
    more = copy.deepcopy(before)
    more["properties"]["note"] = {"type": "string"}
    assert catalog.breaks(before, more) == []
    gone, other, unsure = copy.deepcopy(before), copy.deepcopy(before), copy.deepcopy(before)
    del gone["properties"]["seats"]
    other["properties"]["seats"] = {"type": "string"}
    unsure["required"].remove("seats")
    for after in (gone, other, unsure):
        assert any("seats" in one for one in catalog.breaks(before, after))


def test_an_older_pin_gets_the_older_payload(store: Store) -> None:
    tell(store, 1)
    with store.read() as conn:
        (placed,) = stream.after(conn, 0)
    newer = stream.Placed(**{name: getattr(placed, name) for name in placed.__slots__} | {"version": 2})
    down = {(newer.type, 2): lambda data: {"old": data["seats"]}}
    told = json.loads(rendering.body(newer, 1, down))
    assert (told["version"], told["data"]) == (1, {"old": 0})
    assert json.loads(rendering.body(newer, 2, down))["data"]["offering"] == "PRO-100"
    with pytest.raises(KeyError):
        rendering.body(newer, 1, {})


def test_asyncapi_tells_every_type() -> None:
    told = catalog.asyncapi("hub", "1")
    assert len(told["components"]["messages"]) == len(PAYLOADS)
    assert told["asyncapi"] == "3.0.0"
