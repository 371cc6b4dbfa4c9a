"""The API against what a machine makes up from its own document: nothing breaks it, nothing undocumented comes back.

The same cases each time, a few of each operation; `make fuzz` makes many, and other ones each time.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hub.keys import SCOPES
from hub.web.api.document import document
from hub.web.api.table import ROUTES
from tests.hub.browsing import served
from tests.hub.factory import a_hub, fill
from tests.hub.test_api import key
from tests.records import upgrade

SCHEMA = schemathesis.openapi.from_dict(document(ROUTES))
ASKS_VENDORS = {"check"}  # a second each; they are in `make fuzz`
FEW = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where it is served, and a key that opens all of it."""
    hub = a_hub(f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/hub.sqlite", allow=("127.0.0.1",), api_per_s=100_000)
    upgrade(hub.store)
    fill(hub.store)
    with served(hub) as base:
        yield base, key(hub, *SCOPES)
    hub.office.sender.close()
    hub.store.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_call_breaks_it_and_no_answer_is_undocumented(door: tuple[str, str], mode: GenerationMode) -> None:
    base, key_ = door
    headers = {"Authorization": f"Bearer {key_}"}
    tried = set()
    for found in SCHEMA.get_all_operations():
        operation = found.ok()
        takes = operation.body or operation.query or operation.headers
        if operation.definition.raw["operationId"] in ASKS_VENDORS or (mode is GenerationMode.NEGATIVE and not takes):
            continue  # of what takes nothing nothing can be wrong

        @FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Case) -> None:
            tried.add(case.operation.label)
            answer = case.call(base_url=base, headers=headers, timeout=20)
            case.validate_response(answer, checks=CHECKS)

        call()
    assert len(tried) > len(ROUTES) // 2
