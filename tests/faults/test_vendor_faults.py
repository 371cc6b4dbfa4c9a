"""F07, F09, F10, I11: a licensing vendor that fails, refuses, is away, and comes back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hub.store.schema import db_now, intent, rate, subject, token
from tests.world import Town, a_town

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
F07 = {
    "apply_then_reset": 0.05,
    "apply_then_error": 0.04,
    "garbage": 0.02,
    "error": 0.05,
    "throttle": 0.04,
}
SLOW = {"slow": 0.02}  # at full size: an answer that takes longer than the hub waits holds a look up for 18 s
SLOW_S = 20
IN_FLIGHT_S = 0.25  # what was on its way when a 429 came


def calls(town: Town) -> list[dict[str, Any]]:
    """What Zentitle2 was asked, in its order; not what asks for tokens."""
    log: list[dict[str, Any]] = town.vendors.zentitle_admin("calls")["log"]
    return [one for one in log if one["path"].startswith("/api/")]


def groups(town: Town) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in town.vendors.grants():
        found.setdefault(row["orderRefId"], set()).add(row["groupId"])
    return found


def dead(town: Town) -> list[str]:
    with town.store.read() as conn:
        return list(conn.execute(select(subject.c.ref).where(subject.c.state == "dead")).scalars())


def within_a_hold(log: list[dict[str, Any]], retry_after_s: float) -> list[dict[str, Any]]:
    """Requests that came while the vendor had asked to wait."""
    throttled = [one["at"] for one in log if one["fault"] == "throttle"]
    return [one for one in log if any(at + IN_FLIGHT_S < one["at"] < at + retry_after_s - 0.1 for at in throttled)]


def sell(town: Town, count: int) -> list[str]:
    """So many sales, each changed once."""
    sold = [town.vendors.buy("PRO-100", number % 9 + 1) for number in range(count)]
    for one in sold:
        town.vendors.set_quantity(one, 12)
    return sold


@pytest.mark.parametrize(
    ("count", "retry_after_s"),
    [(20, 2), pytest.param(1200, 1, marks=[pytest.mark.full, pytest.mark.timeout(3600)])],  # 10,000 events and more
)
def test_F07_I11_a_vendor_that_fails_in_every_way_gets_no_double_and_few_calls(
    tmp_path: Path, sqlite_url: str, count: int, retry_after_s: int
) -> None:
    with a_town(tmp_path, sqlite_url) as town:
        rates = F07 | (SLOW if count > 100 else {})
        town.vendors.zentitle_admin("faults", rates=rates, slow_s=SLOW_S, seed=7, retry_after_s=retry_after_s)
        town.vendors.zentitle_admin("switches", unauthorized_share=0.01)
        sell(town, count)
        town.settle(60 + 2 * count)  # the vendor asks to wait for a part of the time
        log = calls(town)
        town.vendors.zentitle_admin("faults", rates={})
        town.vendors.note_events()
        per_event = len(log) / len(town.vendors.event_ids)
        print(f"{len(log)} calls for {len(town.vendors.event_ids)} events: {per_event:.2f} an event")
        assert {one["fault"] for one in log} >= {"apply_then_reset", "error", "throttle"}
        assert town.vendors.wrong() == []
        assert [ref for ref, ids in groups(town).items() if len(ids) > 1] == []
        assert per_event <= 6
        assert within_a_hold(log, retry_after_s) == []
        assert dead(town) == []


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_I11_a_retry_after_in_either_form_is_obeyed_by_two_workers(tmp_path: Path, sqlite_url: str, form: str) -> None:
    with a_town(tmp_path, sqlite_url) as town:
        town.commands["second worker"] = town.commands["worker"]
        town.keep_up()
        plan = [{"fault": "throttle"}] * 3
        town.vendors.zentitle_admin("faults", plan=plan, retry_after_s=3, retry_after_as=form)
        sell(town, 8)
        town.settle(60)
        log = calls(town)
        assert len([one for one in log if one["fault"] == "throttle"]) == 3
        assert within_a_hold(log, 3 if form == "seconds" else 2) == []
        assert town.vendors.wrong() == []


def test_I11_two_workers_together_ask_no_faster_than_is_set(tmp_path: Path, sqlite_url: str) -> None:
    per_s = 10
    with a_town(tmp_path, sqlite_url, rate=per_s) as town:
        town.commands["second worker"] = town.commands["worker"]
        town.keep_up()
        sell(town, 12)
        town.settle(60)
        at = sorted(one["at"] for one in calls(town))
        burst = 2 * per_s + per_s  # a full bucket, and what a second adds
        worst = max(sum(begin <= other < begin + 1 for other in at) for begin in at)
        took = at[-1] - at[0]
        print(f"{len(at)} calls in {took:.1f} s, at most {worst} in one")
        assert worst <= burst
        assert len(at) <= per_s * (took + 1) + 2 * per_s


def test_F09_a_vendor_that_is_away_is_left_alone_and_all_is_done_soon_after(tmp_path: Path, sqlite_url: str) -> None:
    with a_town(tmp_path, sqlite_url) as town:
        town.vendors.zentitle_admin("faults", rates={"error": 1.0})
        sell(town, 40)
        town.vendors.flush()
        town.until(lambda: _breaker(town)[0] > 0)
        opened = calls(town)
        time.sleep(4)
        away = len(calls(town)) - len(opened)
        asked = len(town.vendors.stripe_admin("calls")["log"])
        print(f"{len(opened)} requests until it opened, {away} in the 4 s after")
        assert len(opened) <= 20
        assert away <= 5
        assert dead(town) == []
        time.sleep(1)
        reads = len(town.vendors.stripe_admin("calls")["log"]) - asked
        assert reads <= 6, "for a try or two and a sweep: nobody else is asked for nothing"
        town.vendors.zentitle_admin("faults", rates={})
        began = time.monotonic()
        town.settle(60)
        print(f"all done {time.monotonic() - began:.1f} s after it came back")
        assert town.vendors.wrong() == []
        assert _breaker(town)[0] == 0
        assert _tries(town) == 0


def _breaker(town: Town) -> tuple[int, float]:
    with town.store.read() as conn:
        row = conn.execute(
            select(rate.c.broken, rate.c.hold_until - db_now()).where(rate.c.connection == "zentitle")
        ).first()
    return (row[0], row[1]) if row else (0, 0.0)


def _tries(town: Town) -> int:
    with town.store.read() as conn:
        return sum(conn.execute(select(subject.c.tries)).scalars())


# F10


def test_F10_a_vendor_that_can_not_be_reached_leaves_no_create_in_doubt(tmp_path: Path, sqlite_url: str) -> None:
    """No such host, nothing that listens, no TLS: never sent, so there is nothing to wait for."""
    with a_town(tmp_path, sqlite_url) as town:
        good = (tmp_path / "hub.toml").read_text()
        port = town.ports["zentitle"]
        for number, base in enumerate(["https://nobody.invalid", "http://127.0.0.1:1", f"https://127.0.0.1:{port}"]):
            (tmp_path / "hub.toml").write_text(
                good.replace(f'base_url = "http://127.0.0.1:{port}"', f'base_url = "{base}"')
            )
            town.restart("worker")
            one = town.vendors.buy("PRO-100", number + 1)
            town.vendors.flush()
            town.until(lambda one=one: town.subject(one).get("tries", 0) > 0)
            _forget_failures(town)
            with town.store.read() as conn:
                assert conn.execute(select(intent.c.key).where(intent.c.open)).all() == [], base
        (tmp_path / "hub.toml").write_text(good)
        town.restart("worker")
        town.settle(40)
        assert town.vendors.wrong() == []


def test_F10_tokens_that_expire_or_are_refused_mid_run_and_a_token_endpoint_that_is_away_cost_time_alone(
    tmp_path: Path, sqlite_url: str
) -> None:
    with a_town(tmp_path, sqlite_url) as town:
        sell(town, 4)
        town.settle()
        _expire_tokens(town)
        town.vendors.zentitle_admin("expire_tokens")
        sell(town, 4)
        town.settle()
        town.vendors.zentitle_admin("switches", spare_token=False)
        _expire_tokens(town)
        town.vendors.zentitle_admin("faults", plan=[{"fault": "error", "path": "/realms/"}] * 8)
        sell(town, 4)
        town.settle()
        assert town.vendors.wrong() == []
        assert [ref for ref, ids in groups(town).items() if len(ids) > 1] == []
        assert dead(town) == []


def _forget_failures(town: Town) -> None:
    """The breaker is closed, so that the next way to fail is tried too."""
    town.store.write(lambda conn: conn.execute(update(rate).values(broken=0, hold_until=0)))


def _expire_tokens(town: Town) -> None:
    town.store.write(lambda conn: conn.execute(update(token).values(expires=db_now() - 1)))
