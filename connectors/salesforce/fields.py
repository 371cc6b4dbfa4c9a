"""Which of our values stands in which Salesforce field. Data only; tests hold it against `salesforce/force-app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeAlias

from hub.domain import Json, UsageMonth, UsageRollUp, UsageSummary

SUMMARY, MONTH = "License_Usage_Summary__c", "License_Usage_Month__c"
ACCOUNT, OPPORTUNITY, TASK, FILE = "Account", "Opportunity", "Task", "ContentVersion"
USAGE_KEY, ALERT_KEY, RENEWAL_KEY = "Usage_Key__c", "License_Alert_Key__c", "License_Renewal_Key__c"
LINES = ("OpportunityLineItem", "OrderItem", "Asset")  # what is told of what was sold
OURS = (SUMMARY, MONTH, ACCOUNT, OPPORTUNITY, TASK)  # what a push writes to, but for files

# What whoever sells enters, and a look reads (settings.py has the names).
_RENEWS = frozenset({"License_Renews__c"})
_TERMS = frozenset({"License_Start__c", "License_End__c", "License_Term_Months__c"})
ENTERED = {
    **dict.fromkeys((OPPORTUNITY, "Order", "Contract"), _RENEWS),
    **dict.fromkeys(LINES, _TERMS),
    "Asset": _RENEWS | _TERMS,
}
INTEGRATION, READER, SALES = "License_Usage_Integration", "License_Usage_Reader", "License_Sales"  # permission sets

Table: TypeAlias = Mapping[str, Callable[[Any], Json]]

_BARS = "▁▂▃▄▅▆▇█"


def _percent(share: float | None) -> Json:
    """Salesforce's Percent holds 61.5 for 61.5 %."""
    return None if share is None else round(share * 100, 1)


def _seats(count: float | None) -> Json:
    return None if count is None else round(count, 1)


def _day(day: date | None) -> Json:
    return None if day is None else day.isoformat()


def sparkline(months: tuple[UsageMonth, ...]) -> str:
    """The peaks of the last twelve months as block characters, scaled to the most seats; a gap is a dot."""
    last = sorted(months, key=lambda one: one.month)[-12:]
    top = max([*(one.peak or 0 for one in last), *(one.seats_licensed or 0 for one in last), 1])
    return "".join("·" if one.peak is None else _BARS[min(7, one.peak * 8 // top)] for one in last)


SUMMARY_FIELDS: Table = {
    "Product_SKU__c": lambda one: one.sku or None,
    "Renewal_Signal__c": lambda one: one.signal,
    "Signal_Since__c": lambda one: _day(one.signal_since),
    "Confidence__c": lambda one: one.confidence,
    "Evidence__c": lambda one: one.sentence or None,
    "As_Of__c": lambda one: _day(one.as_of),
    "Renewal_Date__c": lambda one: _day(one.renewal),
    "Seats_Licensed__c": lambda one: one.seats_licensed,
    "P95_Peak_28d__c": lambda one: _seats(one.p95_peak_28d),
    "Utilization_90d__c": lambda one: _percent(one.utilization_90d),
    "Drop_Pct__c": lambda one: _percent(one.drop),
    "Trend_Pct_30d__c": lambda one: _percent(one.trend_30d),
    "Trend_Low_Pct_30d__c": lambda one: _percent(one.trend_low),
    "Trend_High_Pct_30d__c": lambda one: _percent(one.trend_high),
    "Change_Date__c": lambda one: _day(one.change_date),
    "Overdraft_Days_60d__c": lambda one: one.overdraft_days_60d,
    "Overdraft_Max__c": lambda one: one.overdraft_max,
    "Denials_28d__c": lambda one: one.denials_28d,
    "Days_Since_Use__c": lambda one: one.days_since_use,
    "Known_Share_90d__c": lambda one: _percent(one.known_share_90d),
    "Forecast_Peak__c": lambda one: _seats(one.forecast_peak),
    "Forecast_Low__c": lambda one: _seats(one.forecast_low),
    "Forecast_High__c": lambda one: _seats(one.forecast_high),
    "Recommended_Seats__c": lambda one: one.recommended_seats,
    "Recommended_Tier__c": lambda one: one.recommended_tier or None,
    "Sparkline__c": lambda one: sparkline(one.months) or None,
    "Chart_URL__c": lambda one: one.chart_url or None,
    "Method_Version__c": lambda one: one.method_version or None,
}
MONTH_FIELDS: Table = {
    "Month__c": lambda one: _day(one.month),
    "Seats_Licensed__c": lambda one: one.seats_licensed,
    "Peak__c": lambda one: one.peak,
    "P95_Peak__c": lambda one: _seats(one.p95_peak),
    "Overdraft_Days__c": lambda one: one.overdraft_days,
    "Denials__c": lambda one: one.denials,
    "Known_Share__c": lambda one: _percent(one.known_share),
}
_ROLLED: Table = {
    "License_Signal__c": lambda one: one.signal,
    "License_Confidence__c": lambda one: one.confidence,
    "License_Evidence__c": lambda one: one.sentence or None,
    "License_Seats__c": lambda one: one.seats_licensed,
    "License_Utilization__c": lambda one: _percent(one.utilization_90d),
    "License_Recommended_Seats__c": lambda one: one.recommended_seats,
    "License_As_Of__c": lambda one: _day(one.as_of),
}
ACCOUNT_FIELDS: Table = {
    **_ROLLED,
    "License_Drop__c": lambda one: _percent(one.drop),
    "License_Next_Renewal__c": lambda one: _day(one.renewal),
}
OPPORTUNITY_FIELDS: Table = {
    **_ROLLED,
    "License_Forecast_Low__c": lambda one: _seats(one.forecast_low),
    "License_Forecast_High__c": lambda one: _seats(one.forecast_high),
}
LINKS = {SUMMARY: ("Account__c", "Opportunity__c"), MONTH: ("Account__c", "Summary__c")}
KEYS = {SUMMARY: USAGE_KEY, MONTH: USAGE_KEY, OPPORTUNITY: RENEWAL_KEY, TASK: ALERT_KEY}
AGING = frozenset({"As_Of__c", "License_As_Of__c", "Days_Since_Use__c"})
# What a push may set beside our own fields, and only on records that it makes itself.
MADE_WITH = {
    TASK: ("Subject", "Description", "WhatId", "OwnerId", "ActivityDate", "Priority", "Status"),
    OPPORTUNITY: ("Name", "AccountId", "StageName", "CloseDate", "Type", "OwnerId"),
}


def filled(table: Table, one: UsageSummary | UsageMonth | UsageRollUp) -> dict[str, Json]:
    """The fields of `table`, filled from `one`."""
    return {name: value(one) for name, value in table.items()}


# What is told of a line that was sold (settings.py has the names).
SOLD_FIELDS: Table = {
    "License_Entitlement__c": lambda one: one.entitlement_id or None,
    "License_Code__c": lambda one: one.activation_code or None,
    "License_Status__c": lambda one: one.state or None,
    "License_Error__c": lambda one: one.problem or None,
}


def written(object_name: str) -> frozenset[str]:
    """Every field of our own that a push fills on this object, its key included."""
    tables = {SUMMARY: SUMMARY_FIELDS, MONTH: MONTH_FIELDS, ACCOUNT: ACCOUNT_FIELDS, OPPORTUNITY: OPPORTUNITY_FIELDS}
    tables |= dict.fromkeys(LINES, SOLD_FIELDS)
    keys = [KEYS[object_name]] if object_name in KEYS else []
    return frozenset([*tables.get(object_name, {}), *LINKS.get(object_name, ()), *keys])
