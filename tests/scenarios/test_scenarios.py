"""The table of scenarios, run purely: objects -> purchase -> licenses -> actions -> what is held then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from connectors.stripe import oneoff
from connectors.stripe.purchase import to_purchase
from hub.catalog import Match
from hub.decide import after, decide, pair
from hub.domain import ChangeOffering, Disable, Enable, Entitlement, License, Offering, Purchase, Ref, SetTerms
from hub.policy import Unmapped, flags_of, lets_go, licenses_for, revivable
from tests.factories import NOW, ORDER, rules
from tests.scenarios.table import MAINTAINS, SCENARIOS, SKUS, Scenario, Seen

DOC = Path(__file__).parents[2] / "docs/policy.md"
PERPETUAL = {"PERP-1"}
RULES = rules(
    {key: Match(sku=sku) for key, sku in SKUS.items()}
    | {key: Match(sku=sku, maintains=sku) for key, sku in MAINTAINS.items()}
)
OFFERINGS = {
    sku: Offering(id=f"off_{sku}", sku=sku, product_id="prod_1", perpetual=sku in PERPETUAL)
    for sku in {*SKUS.values(), *MAINTAINS.values()}
}


def purchase_of(seen: Seen) -> Purchase:
    if seen.sold.get("mode"):
        return oneoff.to_purchase("stripe", seen.sold, reversals=seen.reversals)
    return to_purchase("stripe", seen.sold, seen.invoices, complete=seen.complete, reversals=seen.reversals)


def made(license_: License) -> Entitlement:
    """What a create brings, before its terms are set."""
    offering = OFFERINGS[license_.offering]
    return Entitlement(
        id=f"ent_{license_.offering}",
        group_id="egr_1",
        order_ref=ORDER,
        offering=offering.sku,
        offering_id=offering.id,
        product_id=offering.product_id,
        seats=0,
        seats_used=0,
        overdraft=None,
        expires_at=None if offering.perpetual else NOW,
        enabled=True,
        status="active",
        perpetual=offering.perpetual,
        lines=license_.lines,
    )


def act(held: Sequence[Entitlement], wanted: Sequence[License]) -> list[Entitlement]:
    """What is held once the actions are done; what nothing pays for keeps no line."""
    plan = pair(wanted, held, OFFERINGS)
    if plan.missing:
        return act([*held, *map(made, plan.missing)], wanted)
    now = {one.id: one for one in held}
    for action in decide(plan):
        assert isinstance(action, (ChangeOffering, SetTerms, Enable, Disable))
        now[action.entitlement_id] = after(action, now[action.entitlement_id])
    for one in plan.pairs:
        now[one.held.id] = replace(now[one.held.id], lines=one.wanted.lines)
    assert decide(pair(wanted, list(now.values()), OFFERINGS)) == ()
    return list(now.values())


@dataclass
class Told:
    """One of the customer's purchases as last seen, and what it holds."""

    purchase: Purchase
    wanted: Sequence[License] = ()
    held: list[Entitlement] = field(default_factory=list)
    recorded: dict[str, datetime] = field(default_factory=dict)

    def let_go(self, new: Purchase, wanted: Sequence[License]) -> list[Entitlement]:
        """Takes away from it, and gives, what a purchase that has not been seen before carries on."""
        paid, bought_at = max(self.recorded.values(), default=None), new.bought_at or NOW
        given = [
            replace(one, lines=license_.lines)
            for one, license_ in zip(self.held, wanted, strict=False)
            if revivable(paid, bought_at, RULES.policy) and lets_go(self.purchase, self.wanted, one.offering)
        ]
        self.held = self.held[len(given) :]
        return given


def told(scenario: Scenario) -> tuple[tuple[str, ...], Purchase]:
    """What is held after the whole history, in words; and the purchase as last seen."""
    known: dict[Ref, Told] = {}
    for seen in scenario.history:
        purchase = purchase_of(seen)
        before = known.get(purchase.ref) or Told(purchase)
        wanted = licenses_for(purchase, ORDER, "stripe", RULES, before.recorded)
        if isinstance(wanted, Unmapped):
            return ("parked",), purchase
        flags = flags_of(purchase, wanted, {one.offering for one in before.held})
        carried = [] if purchase.ref in known else [o for old in known.values() for o in old.let_go(purchase, wanted)]
        paid = {line.id: line.paid_until for line in purchase.lines if line.paid_until}
        known[purchase.ref] = Told(purchase, wanted, act([*before.held, *carried], wanted), before.recorded | paid)
    held = [one for each in known.values() for one in each.held]
    words = [in_words(one) for one in sorted(held, key=lambda one: one.offering)] or ["nothing"]
    tasks = sorted({flag.kind for flag in flags})
    return (*words, *([f"task: {', '.join(tasks)}"] if tasks else [])), purchase


def in_words(one: Entitlement) -> str:
    seats = f"{one.seats} seats" if one.seats else "own number of seats"
    until = f"until {one.expires_at:%Y-%m-%d}" if one.expires_at else "no end"
    care = f", maintained until {one.maintenance_until:%Y-%m-%d}" if one.maintenance_until else ""
    return f"{one.offering}: {'on' if one.enabled else 'off'}, {seats}, {until}{care}"


def row(scenario: Scenario) -> str:
    """The scenario as a row of the documents."""
    ends = f"; ends {scenario.ends['ends']}" if scenario.ends else ""
    return f"| {scenario.number} | {scenario.name} | {'; '.join(scenario.expected)}{ends} |"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number} {one.name}")
def test_a_scenario_comes_to_the_license_expected(scenario: Scenario) -> None:
    words, purchase = told(scenario)
    assert words == scenario.expected
    ends = {"ends": f"{purchase.ends_at:%Y-%m-%d}"} if purchase.ends_at else {}
    assert ends == scenario.ends


def test_no_two_scenarios_have_one_name() -> None:
    names = [(one.number, one.name) for one in SCENARIOS]
    assert len(set(names)) == len(names)


def test_the_documents_show_the_table_as_it_is_run() -> None:
    shown = re.findall(r"^\| (?:\d+|one-off) \|.*\|$", DOC.read_text(), re.MULTILINE)
    assert shown == [row(one) for one in SCENARIOS]
