"""Which of our values stands in which HubSpot property, and how the property is made. Data only.

Texts as HubSpot keeps them: numbers as digits, days as 2027-09-30, "" for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from hub.domain import AccountUsage, Json, UsageRollUp, UsageSummary

COMPANY, DEAL = "companies", "deals"
GROUP = "license_usage"
RENEWAL_KEY = "license_renewal_key"
ID = "hs_object_id"
TO_COMPANY = "associations.companies"  # no property: the company that a deal we make is of
LONGEST = 65_536  # characters of a text property (HubSpot knowledge base "Property field types", read 2026-11)
SIGNALS = (
    *("dormant", "at_risk", "contraction", "overdraft", "expansion", "new_growth", "steady", "insufficient_data"),
)
CONFIDENCES = ("high", "medium", "low")
# What a push may set beside our own properties, and only on deals that it makes itself.
MADE_WITH = ("dealname", "closedate", "pipeline", "dealstage", "dealtype", "hubspot_owner_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One of our properties: how it is made, and what of a roll-up stands in it."""

    label: str
    type: str
    widget: str
    value: Callable[[Any], Json]
    choices: tuple[str, ...] = ()
    unique: bool = False

    def body(self, name: str) -> dict[str, Json]:
        """As HubSpot takes a new property (CRM properties API, read 2026-11)."""
        options: list[Json] = [
            {"label": one.replace("_", " ").capitalize(), "value": one, "displayOrder": place}
            for place, one in enumerate(self.choices)
        ]
        made: dict[str, Json] = {"name": name, "label": self.label, "type": self.type, "fieldType": self.widget}
        return {**made, "groupName": GROUP, "options": options, "hasUniqueValue": self.unique}


def _text(label: str, value: Callable[[Any], Json], *, widget: str = "text", unique: bool = False) -> Property:
    return Property(label=label, type="string", widget=widget, value=value, unique=unique)


def _number(label: str, value: Callable[[Any], float | None]) -> Property:
    return Property(label=label, type="number", widget="number", value=lambda one: _digits(value(one)))


def _day(label: str, value: Callable[[Any], date | None]) -> Property:
    return Property(label=label, type="date", widget="date", value=lambda one: _iso(value(one)))


def _choice(label: str, choices: tuple[str, ...], value: Callable[[Any], Json]) -> Property:
    return Property(label=label, type="enumeration", widget="select", choices=choices, value=value)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{round(value, 1):.10g}"


def _iso(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


_ROLLED: Mapping[str, Property] = {
    "license_signal": _choice("License signal", SIGNALS, lambda one: one.signal),
    "license_signal_since": _day("License signal since", lambda one: one.signal_since),
    "license_confidence": _choice("License signal: confidence", CONFIDENCES, lambda one: one.confidence),
    "license_evidence": _text("License use in a sentence", lambda one: one.sentence, widget="textarea"),
    "license_seats": _number("Licensed seats", lambda one: one.seats_licensed),
    "license_utilization": _number("Seats used, percent of 90 days", lambda one: _percent(one.utilization_90d)),
    "license_drop": _number("Seats used: percent below its best", lambda one: _percent(one.drop)),
    "license_recommended_seats": _number("Seats to propose", lambda one: one.recommended_seats),
    "license_renewal_date": _day("License renewal", lambda one: one.renewal),
    "license_as_of": _day("License use as of", lambda one: one.as_of),
}
ON_COMPANY: Mapping[str, Property] = {
    **_ROLLED,
    "license_products": _text("License use by product", lambda one: one, widget="textarea"),
}
ON_DEAL: Mapping[str, Property] = {
    **_ROLLED,
    "license_forecast_low": _number("Busy day at renewal: low", lambda one: one.forecast_low),
    "license_forecast_high": _number("Busy day at renewal: high", lambda one: one.forecast_high),
    RENEWAL_KEY: _text("License renewal key", lambda _: None, unique=True),
}
OURS: Mapping[str, Mapping[str, Property]] = {COMPANY: ON_COMPANY, DEAL: ON_DEAL}
AGING = frozenset({"license_as_of"})


def of_company(usage: AccountUsage) -> dict[str, Json]:
    """What a company is to say."""
    said = {name: one.value(usage.whole) for name, one in _ROLLED.items()}
    return {**said, "license_products": "\n".join(map(product, usage.summaries))[:LONGEST]}


def of_deal(renewal: UsageRollUp) -> dict[str, Json]:
    """What a renewal's deal is to say; its key is written once, when we make it."""
    return {name: one.value(renewal) for name, one in ON_DEAL.items() if name != RENEWAL_KEY}


def product(one: UsageSummary) -> str:
    """An entitlement in a line."""
    seats = "" if one.seats_licensed is None else f", {one.seats_licensed} seats"
    ends = f", renews {one.renewal}" if one.renewal else ""
    return f"{one.sku or one.entitlement_id}: {one.signal.replace('_', ' ')}{seats}{ends}. {one.sentence}".strip()
