"""`hub up --observe` and `hub look --dry-run`: what the hub would do, told and not done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import a_town

pytestmark = pytest.mark.timeout(120)
HUB = ("web", "worker", "clock", "redis")


def test_observing_tells_what_the_hub_would_do_and_writes_nothing(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with a_town(tmp_path, sqlite_url, without=HUB) as town:
        one, other = town.vendors.buy("PRO-100", 4), town.vendors.buy("MYSTERY", 2)
        told = {row["subject"]: row["would do"] for row in town.hub("up", "--observe")}
        assert "PRO-100" in told[f"stripe/subscription/{one}"]
        assert "MYSTERY" in told[f"stripe/subscription/{other}"]
        assert town.vendors.zentitle_admin("history") == []
        assert town.vendors.grants() == []


def test_a_dry_run_of_one_look_tells_and_writes_nothing_and_leaves_the_subject_as_it_was(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url, redis=False) as town:
        one = town.vendors.buy("PRO-100", 4)
        town.settle()
        for name in ("worker", "clock"):
            town.end(name)
        town.vendors.set_quantity(one, 7)
        town.vendors.flush()
        before, written = town.subject(one), len(town.vendors.zentitle_admin("history"))
        told = town.hub("look", one, "--dry-run")
        assert "seats" in told["reason"]
        assert len(town.vendors.zentitle_admin("history")) == written
        kept = ("state", "cause", "reason", "next_look", "summary", "tries")
        after = town.subject(one)
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
