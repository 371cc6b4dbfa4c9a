"""Empty records to test with: the migrations run once in each process of a run, every other record is a copy.

Tests of the migrations themselves start from nothing: `bare_url`, and hub.store.migrate.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from hub.store import Store, migrate


def upgrade(store: Store) -> str:
    """As hub.store.migrate.upgrade."""
    if store.sqlite and store.url.database:
        file = Path(store.url.database)
        if not file.exists() and file.parent.exists():
            file.write_bytes(_empty())
    return migrate.upgrade(store)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/hub.sqlite")
        migrate.upgrade(store)
        store.close()
        return Path(folder, "hub.sqlite").read_bytes()
