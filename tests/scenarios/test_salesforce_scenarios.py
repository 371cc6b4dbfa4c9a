"""Each tricky case of a sales team's org comes to its license: purely, through the real rules."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from connectors.salesforce.purchase import found, from_seen
from connectors.salesforce.settings import Settings
from connectors.salesforce.shapes import Reading
from hub.catalog import Catalog, Match, Row
from hub.domain import Entitlement, Purchase
from hub.errors import UnreadableError
from hub.policy import Rules, Unmapped, as_agreed, flags_of, licenses_for
from hub.settings import Policy
from tests.scenarios.salesforce_table import (
    AS,
    EVERY,
    SCENARIOS,
    Obj,
    Scenario,
    Seen,
    asset,
    contract,
    line,
    order,
    ordered,
    sale,
)
from tests.scenarios.test_scenarios import ORDER, act, in_words

DOC = Path(__file__).parents[2] / "docs" / "selling-from-salesforce.md"
MATCHES = {
    "pro": Match(sku="PRO-100"),
    "team": Match(sku="TEAM-YEAR"),
    "perp": Match(sku="PERP-1"),
    "pack": Match(sku="PRO-100", adds=True),
}
ROWS = {("salesforce", key): (Row(number=1, matches=(match,)),) for key, match in MATCHES.items()}
RULES = Rules(catalog=Catalog(ROWS), policy=Policy(), version="v1")


def reading(**values: object) -> Reading:
    known = {
        "kind": "salesforce",
        "base_url": "https://a.my.salesforce.com",
        "consumer_key": "k",
        "consumer_secret": "s",
    }
    selling = {"organization_id": "00D000000000001", "sold_since": "2026-01-01"}
    return Reading(Settings.model_validate(known | selling | values))


def purchase_of(seen: Seen, read: Reading) -> Purchase:
    def reduced(record: Obj) -> Obj:
        return replace(read, today=lambda: date.fromisoformat(seen.on)).reduced(record, record["lines"])

    made = found("crm", reduced(seen.record), [reduced(one) for one in seen.renewals])
    assert from_seen("crm", made.seen) == made.purchase
    return made.purchase


def told_as(one: Seen, by: str) -> Seen:
    """The same, seen of another object; what is in that object's own words stays as it is."""

    def seen(record: Obj) -> Obj:
        return AS[by](record) if record["Id"].startswith("006") else record

    return replace(one, record=seen(one.record), renewals=tuple(map(seen, one.renewals)))


def told(scenario: Scenario, by: str) -> tuple[str, ...]:
    """What is held after the whole history, in words."""
    read = reading(sells_by=by, **scenario.settings)
    held: list[Entitlement] = []
    recorded: dict[str, datetime] = {}
    for seen in scenario.history:
        purchase = as_agreed(purchase_of(told_as(seen, by), read), recorded)
        wanted = licenses_for(purchase, ORDER, "salesforce", RULES, recorded)
        if isinstance(wanted, Unmapped) or any(one.offering not in {m.sku for m in MATCHES.values()} for one in wanted):
            return ("parked",)
        flags = flags_of(purchase, wanted, {one.offering for one in held})
        if wanted:  # while nothing is granted nothing is compared
            held = act(held, wanted)
        recorded |= {line.id: line.paid_until for line in purchase.lines if line.paid_until and not line.open}
    words = [in_words(one) for one in held] or ["nothing"]
    tasks = sorted({flag.kind for flag in flags})
    return (*words, *([f"task: {', '.join(tasks)}"] if tasks else []))


def row(scenario: Scenario) -> str:
    """The scenario as a row of the document."""
    by = "each" if scenario.by == EVERY else ", ".join(scenario.by)
    return f"| {scenario.number} | {scenario.name} | {by} | {'; '.join(scenario.expected)} |"


@pytest.mark.parametrize(
    ("scenario", "by"),
    [(one, by) for one in SCENARIOS for by in one.by],
    ids=lambda one: f"{one.number} {one.name}" if isinstance(one, Scenario) else one,
)
def test_a_scenario_of_Salesforce_comes_to_the_license_expected(scenario: Scenario, by: str) -> None:
    assert told(scenario, by) == scenario.expected


def test_no_two_scenarios_of_Salesforce_have_one_name() -> None:
    names = [(one.number, one.name) for one in SCENARIOS]
    assert len(set(names)) == len(names)


def test_the_document_shows_the_table_as_it_is_run() -> None:
    shown = re.findall(r"^\| (?:\d+|order|contract|asset) \|.*\|$", DOC.read_text(), re.MULTILINE)
    assert shown == [row(one) for one in SCENARIOS]


@pytest.mark.parametrize(
    ("by", "record", "said"),
    [
        ("Opportunity", sale(line(quantity=2.5)), "no whole number"),
        ("Opportunity", sale(line(quantity=-1.0)), "no whole number"),
        ("Opportunity", sale(line(License_End__c="2026-08-01")), "before it starts"),
        ("Opportunity", sale(line(License_End__c="soon")), "no date"),
        ("Opportunity", sale(AccountId=None), "AccountId"),
        ("Opportunity", sale(License_Renews__c="the old one"), "what it renews"),
        ("Order", order(line(quantity=-1.0)), "no whole number"),
        ("Order", order(EndDate="2026-08-01"), "before it starts"),
        ("Contract", contract(ordered(line(quantity=2.5))), "no whole number"),
        (
            "Contract",
            contract(ordered(line(quantity=-6.0, number=2)), ordered(line())),
            "takes 6 of pro away, and 5 run",
        ),
        ("Contract", contract(ordered(line(quantity=-1.0, number=2))), "takes 1 of pro away, and 0 run"),
        ("Asset", asset(InstallDate=None), "no start"),
        ("Asset", asset(Quantity=-1.0), "no whole number"),
    ],
)
def test_what_can_t_be_meant_is_refused_and_says_where(by: str, record: Obj, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        purchase_of(Seen(record), reading(sells_by=by))
