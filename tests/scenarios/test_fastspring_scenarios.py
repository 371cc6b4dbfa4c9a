"""Each tricky case of FastSpring comes to its license: purely, through the real rules."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from connectors.fastspring.purchase import of_order, of_subscription
from hub.catalog import Catalog, Match, Row
from hub.domain import Entitlement, Purchase
from hub.policy import Rules, Unmapped, flags_of, licenses_for
from hub.settings import Policy
from tests.scenarios.fastspring_table import SCENARIOS, Scenario, Seen
from tests.scenarios.test_scenarios import ORDER, act, in_words

DOC = Path(__file__).parents[2] / "connectors" / "fastspring" / "README.md"
MATCHES = {
    "pro": Match(sku="PRO-100"),
    "team": Match(sku="TEAM-YEAR"),
    "perp": Match(sku="PERP-1"),
    "pack": Match(sku="PRO-100", adds=True),
}
ROWS = {("fastspring", key): (Row(number=1, matches=(match,)),) for key, match in MATCHES.items()}
RULES = Rules(catalog=Catalog(ROWS), policy=Policy(), version="v1")


def purchase_of(seen: Seen) -> Purchase:
    if "items" in seen.sold:
        return of_order("fastspring", seen.sold, seen.returns)
    return of_subscription("fastspring", seen.sold, seen.returns, seen.paid_by)


def told(scenario: Scenario) -> tuple[tuple[str, ...], Purchase]:
    """What is held after the whole history, in words; and the purchase as last seen."""
    held: list[Entitlement] = []
    recorded: dict[str, datetime] = {}
    for seen in scenario.history:
        purchase = purchase_of(seen)
        wanted = licenses_for(purchase, ORDER, "fastspring", RULES, recorded)
        if isinstance(wanted, Unmapped) or any(one.offering not in {m.sku for m in MATCHES.values()} for one in wanted):
            return ("parked",), purchase
        flags = flags_of(purchase, wanted, {one.offering for one in held})
        held = act(held, wanted)
        recorded |= {line.id: line.paid_until for line in purchase.lines if line.paid_until}
    words = [in_words(one) for one in held] or ["nothing"]
    tasks = sorted({flag.kind for flag in flags})
    return (*words, *([f"task: {', '.join(tasks)}"] if tasks else [])), purchase


def row(scenario: Scenario) -> str:
    """The scenario as a row of the document."""
    ends = f"; ends {scenario.ends}" if scenario.ends else ""
    return f"| {scenario.number} | {scenario.name} | {'; '.join(scenario.expected)}{ends} |"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number} {one.name}")
def test_a_scenario_of_FastSpring_comes_to_the_license_expected(scenario: Scenario) -> None:
    words, purchase = told(scenario)
    assert words == scenario.expected
    assert (f"{purchase.ends_at:%Y-%m-%d}" if purchase.ends_at else "") == scenario.ends


def test_no_two_scenarios_of_FastSpring_have_one_name() -> None:
    names = [(one.number, one.name) for one in SCENARIOS]
    assert len(set(names)) == len(names)


def test_the_connector_s_README_shows_the_table_as_it_is_run() -> None:
    shown = re.findall(r"^\| (?:\d+|one-off) \|.*\|$", DOC.read_text(), re.MULTILINE)
    assert shown == [row(one) for one in SCENARIOS]
