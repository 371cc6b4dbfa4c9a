"""What ought to be in the org for one account: pure, from its usage and what it was matched with.

Of records that people work with only the hub's own fields are written; Amount, StageName, CloseDate and whatever
else is theirs stay untouched. The licensing vendor's own objects are never written: their flows would call it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from connectors.salesforce import fields as f
from connectors.salesforce.matching import Account, Opportunity
from connectors.salesforce.settings import Settings
from connectors.whose import pair
from hub.domain import AccountUsage, Json, UsageRollUp, UsageSummary
from hub.ports import CrmRecord, Worth

TASK_DAYS = 5
ALERTS = {  # signal -> what the task says first, and how urgent it is; a signal without a row raises none
    "at_risk": ("Usage waning", "High"),
    "dormant": ("No longer used", "High"),
    "contraction": ("Uses fewer seats", "Normal"),
    "overdraft": ("Uses more than licensed", "Normal"),
    "expansion": ("Close to its limit", "Normal"),
    "new_growth": ("Growing fast", "Normal"),
}


def records_of(usage: AccountUsage, account: Account, settings: Settings) -> Iterator[CrmRecord]:
    """Every record of this account, parents before children."""
    pairs = pair(usage.renewals, account.open, settings.renewal_window_days)
    of_entitlement = {
        id_: pairs[place] for place, one in enumerate(usage.renewals) if place in pairs for id_ in one.entitlement_ids
    }
    for one in usage.summaries:
        yield _summary(one, account, of_entitlement.get(one.entitlement_id))
        yield from _months(one, account, settings)
    whole = Worth(entitlement_ids=usage.whole.entitlement_ids, owner=account.owner)
    yield _update(f.ACCOUNT, account.id, account.name, f.filled(f.ACCOUNT_FIELDS, usage.whole), whole)
    for place, renewal in enumerate(usage.renewals):
        yield from _renewal(renewal, account, pairs.get(place), settings)
    for one in usage.summaries:
        if settings.tasks and is_raised(one, settings):
            yield _task(one, account, of_entitlement.get(one.entitlement_id))


def is_raised(one: UsageSummary, settings: Settings) -> bool:
    """Whether this signal is worth a task: it asks for something, and the renewal is near enough."""
    if one.signal not in ALERTS or one.signal_since is None or one.renewal is None:
        return False
    return one.as_of <= one.renewal <= one.as_of + timedelta(days=settings.task_within_days)


def chart_title(renewal: UsageRollUp) -> str:
    """The file's name: the same for each new version of one renewal's picture."""
    return f"License usage {renewal.renewal or ''}".strip()


def _summary(one: UsageSummary, account: Account, opportunity: Opportunity | None) -> CrmRecord:
    links: dict[str, Json] = {"Account__c": account.id, "Opportunity__c": opportunity.id if opportunity else None}
    return CrmRecord(
        object=f.SUMMARY,
        key=one.entitlement_id,
        key_field=f.USAGE_KEY,
        fields={**links, **f.filled(f.SUMMARY_FIELDS, one)},
        about=f"{account.name}, {one.sku or one.entitlement_id}",
        aging=f.AGING,
    )


def _months(one: UsageSummary, account: Account, settings: Settings) -> Iterator[CrmRecord]:
    if not settings.months:
        return
    for month in sorted(one.months, key=lambda each: each.month)[-settings.months :]:
        links: dict[str, Json] = {"Account__c": account.id, "Summary__r": {f.USAGE_KEY: one.entitlement_id}}
        yield CrmRecord(
            object=f.MONTH,
            key=f"{one.entitlement_id}:{month.month:%Y-%m}",
            key_field=f.USAGE_KEY,
            fields={**links, **f.filled(f.MONTH_FIELDS, month)},
            about=f"{account.name}, {one.sku or one.entitlement_id}, {month.month:%Y-%m}",
        )


def _renewal(
    renewal: UsageRollUp, account: Account, opportunity: Opportunity | None, settings: Settings
) -> Iterator[CrmRecord]:
    own = f.filled(f.OPPORTUNITY_FIELDS, renewal)
    if opportunity is not None:
        worth = Worth(
            entitlement_ids=renewal.entitlement_ids,
            amount=opportunity.amount,
            currency=opportunity.currency,
            owner=opportunity.owner or account.owner,
        )
        yield _update(f.OPPORTUNITY, opportunity.id, f"{account.name}, {opportunity.name}", own, worth)
        if renewal.chart:
            title = chart_title(renewal)
            yield CrmRecord(
                object=f.FILE,
                key=f"{opportunity.id}:{title}",
                key_field="Title",
                fields={"Title": title, "LinkedEntityId": opportunity.id},
                about=f"{account.name}, {title}",
                content=renewal.chart,
            )
    elif settings.create_renewals and renewal.renewal is not None:
        yield _made(renewal, renewal.renewal, account, settings, own)


def _made(renewal: UsageRollUp, end: date, account: Account, settings: Settings, own: Mapping[str, Json]) -> CrmRecord:
    """A renewal that nobody has opened yet. From then on its Opportunity is people's, but for our own fields."""
    made: dict[str, Json] = {
        "Name": f"{account.name[:100]} renewal {end:%Y-%m}",
        "AccountId": account.id,
        "OwnerId": account.owner_id,
        "StageName": settings.renewal_stage,
        "CloseDate": end.isoformat(),
        "Type": settings.renewal_types[0],
    }
    return CrmRecord(
        object=f.OPPORTUNITY,
        key=f"{min(renewal.entitlement_ids)}:{end.isoformat()}",
        key_field=f.RENEWAL_KEY,
        fields={**made, **own},
        about=f"{account.name}, {made['Name']}",
        once=True,
    )


def _task(one: UsageSummary, account: Account, opportunity: Opportunity | None) -> CrmRecord:
    """One task for a signal that began on one day: never raised again, and never touched once it is there."""
    word, priority = ALERTS[one.signal]
    return CrmRecord(
        object=f.TASK,
        key=f"{one.entitlement_id}:{one.signal}:{one.signal_since}",
        key_field=f.ALERT_KEY,
        fields={
            "Subject": f"{word}: {one.sku or one.entitlement_id}, renewal on {one.renewal}",
            "Description": one.sentence,
            "WhatId": opportunity.id if opportunity else account.id,
            "OwnerId": opportunity.owner_id if opportunity else account.owner_id,
            "ActivityDate": (one.as_of + timedelta(days=TASK_DAYS)).isoformat(),
            "Priority": priority,
            "Status": "Not Started",
        },
        about=f"{account.name}, {word.lower()}",
        once=True,
    )


def _update(object_name: str, id_: str, about: str, fields: Mapping[str, Json], worth: Worth) -> CrmRecord:
    return CrmRecord(
        object=object_name, key=id_, key_field="Id", fields=fields, about=about, aging=f.AGING, worth=worth
    )
