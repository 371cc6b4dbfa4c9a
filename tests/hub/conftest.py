"""One receiver process for all tests of the door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.doors import Door, a_door


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with a_door(tmp_path_factory.mktemp("door")) as made:
        yield made
