"""Each situation of each declared shop comes to its license: purely, through the real rules."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from hub.catalog import Catalog, Match, Row
from hub.domain import Entitlement, Purchase, Standing
from hub.policy import Rules, Unmapped, flags_of, licenses_for
from hub.settings import Policy
from tests.scenarios.shops_table import SITUATIONS, Situation
from tests.scenarios.test_scenarios import ORDER, act, in_words
from tests.shops import Case, cases

DOC = Path(__file__).parents[2] / "docs" / "shops.md"
CASES = cases()
MATCHES = {
    "pro": Match(sku="PRO-100"),
    "team": Match(sku="TEAM-YEAR"),
    "perp": Match(sku="PERP-1"),
    "pack": Match(sku="PRO-100", adds=True),
}
RAISED = [(case, one) for case in CASES.values() for one in SITUATIONS if one.name in case.situations]


def rules_of(case: Case) -> Rules:
    rows = {
        (case.kind, case.keys[name]): (Row(number=1, matches=(match,)),)
        for name, match in MATCHES.items()
        if name in case.keys
    }
    return Rules(catalog=Catalog(rows), policy=Policy(), version="v1")


def told(case: Case, name: str) -> tuple[tuple[str, ...], Purchase]:
    """What is held after the whole history, in words; and the purchase as last seen."""
    held: list[Entitlement] = []
    recorded: dict[str, datetime] = {}
    for sale in case.situations[name]:
        purchase = case.shop.purchase("shop", case.seen(sale))
        if purchase.standing is Standing.UNKNOWN:
            return ("a person must look",), purchase
        wanted = licenses_for(purchase, ORDER, case.kind, rules_of(case), recorded)
        if isinstance(wanted, Unmapped) or any(one.offering not in {m.sku for m in MATCHES.values()} for one in wanted):
            return ("parked",), purchase
        flags = flags_of(purchase, wanted, {one.offering for one in held})
        held = act(held, wanted)
        recorded |= {line.id: line.paid_until for line in purchase.lines if line.paid_until}
    words = [in_words(one) for one in sorted(held, key=lambda one: one.offering)] or ["nothing"]
    tasks = sorted({flag.kind for flag in flags})
    return (*words, *([f"task: {', '.join(tasks)}"] if tasks else [])), purchase


@pytest.mark.parametrize(("case", "one"), RAISED, ids=[f"{case.kind} {one.number} {one.name}" for case, one in RAISED])
def test_a_situation_of_a_shop_comes_to_the_license_expected(case: Case, one: Situation) -> None:
    words, purchase = told(case, one.name)
    assert words == one.expected
    assert (f"{purchase.ends_at:%Y-%m-%d}" if purchase.ends_at else "") == one.ends


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_shop_tells_no_situation_that_the_table_does_not_have(case: Case) -> None:
    assert set(case.situations) - {one.name for one in SITUATIONS} == set()


def row(one: Situation) -> str:
    """The situation as a row of the document."""
    ends = f"; ends {one.ends}" if one.ends else ""
    marks = "".join(" ✓ |" if one.name in case.situations else " |" for case in CASES.values())
    return f"| {one.number} | {one.name} | {'; '.join(one.expected)}{ends} |{marks}"


def test_the_document_shows_the_table_as_it_is_run() -> None:
    shown = re.findall(r"^\| (?:\d+|one-off) \|.*\|$", DOC.read_text(), re.MULTILINE)
    assert shown == [row(one) for one in SITUATIONS]


if __name__ == "__main__":
    print("\n".join(map(row, SITUATIONS)))  # for the document
