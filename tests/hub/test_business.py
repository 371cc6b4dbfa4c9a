"""Business time is moved in a sandbox alone, and the rules of trade take it as now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub import business, settings
from hub.errors import ConfigurationError
from hub.settings import Settings
from hub.store import Store, records, stream
from tests.world import config_text

HERE = "http://127.0.0.1:8101"


def the_settings(folder: Path, stripe: str, zentitle: str) -> Settings:
    file = folder / "hub.toml"
    file.write_text(config_text(database=f"sqlite:///{folder}/hub.sqlite", stripe=stripe, zentitle=zentitle))
    return settings.load(file, {})


def test_in_a_sandbox_business_time_is_moved_for_everybody(store: Store, tmp_path: Path) -> None:
    business.move(store, the_settings(tmp_path, HERE, "http://localhost:8102"), 86400 * 400)
    with store.read() as conn:
        assert stream.business_now(conn) - datetime.now(UTC) == pytest.approx(timedelta(days=400), abs=timedelta(1))
        assert records.clock_offset(conn) == 86400 * 400


@pytest.mark.parametrize(
    ("stripe", "zentitle"),
    [("https://api.stripe.com", HERE), (HERE, "https://acme.api.example"), ("https://127.0.0.1.example", HERE)],
)
def test_with_one_real_vendor_it_stays(store: Store, tmp_path: Path, stripe: str, zentitle: str) -> None:
    with pytest.raises(ConfigurationError, match="not on this machine"):
        business.move(store, the_settings(tmp_path, stripe, zentitle), 86400)
    with store.read() as conn:
        assert records.clock_offset(conn) == 0


def test_a_connection_that_names_no_address_is_at_its_vendor_s(store: Store, tmp_path: Path) -> None:
    known = the_settings(tmp_path, HERE, HERE)
    stripe = {name: value for name, value in known.connections["stripe"].items() if name != "base_url"}
    bare = known.model_copy(update={"connections": {**known.connections, "stripe": stripe}})
    with pytest.raises(ConfigurationError):
        business.move(store, bare, 86400)
