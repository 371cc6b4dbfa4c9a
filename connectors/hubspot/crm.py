"""The portal as the hub's CRM (hub.ports.Crm): properties of companies and of their open renewal deals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any

from connectors.hubspot import fields as f
from connectors.hubspot.client import Answer, Client, batched, mend_of
from connectors.hubspot.matching import Company, Deal, companies
from connectors.hubspot.settings import Settings
from connectors.whose import as_kept, pair
from hub.domain import AccountUsage, Json, UsageRollUp
from hub.errors import Hold, PermanentError, RetryableError
from hub.ports import CrmRecord, FieldChange, Outcome, PushResult, Worth

WHY_LATER = "the next push sends it"
INSTALL = "run `hub hubspot install`"


class HubspotCrm:
    """hub.ports.Crm on one portal."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings, self._client = settings, client

    def records(self, usages: Sequence[AccountUsage]) -> tuple[Sequence[CrmRecord], Sequence[PushResult]]:
        """What ought to be in the portal, and what can't be said of whom (hub.ports.Crm)."""
        known = {kind: self._client.properties(kind) for kind in f.OURS}
        problems = list(lacking(known))
        lacks = {(one.object, one.key) for one in problems}
        found, unmatched = companies(self._client, self._settings, usages)
        people, currency = self._people(), self._currency()
        wanted = [
            record
            for usage, company in found
            for record in _records(usage, company, self._settings, _Names(people, currency))
        ]
        return [fit for one in wanted if (fit := _fit(one, lacks))], problems + unmatched

    def differences(self, records: Sequence[CrmRecord]) -> Iterator[FieldChange]:
        """What a push of these would change, read now (hub.ports.Crm)."""
        for (kind, by, once), alike in _grouped(records):
            names = sorted({name for one in alike for name in one.fields} - {f.TO_COMPANY})
            for part in batched(alike):
                self._client.check_budget()
                now = self._there(kind, by, part, names)
                for one in part:
                    if not (once and one.key in now):
                        yield from _changes(one, now.get(one.key))

    def push(self, records: Sequence[CrmRecord]) -> Iterator[PushResult]:
        """Makes each record so, one result each (hub.ports.Crm)."""
        parts = [part for _, alike in _grouped(records) for part in batched(alike)]
        for place, part in enumerate(parts):
            try:
                self._client.check_budget()
                results = self._sent(part)
            except Hold as error:
                mend = "wait, lower the load of other integrations, or raise api_share in hub.toml"
                for one in [record for later in parts[place:] for record in later]:
                    yield _result(one, Outcome.LATER, reason=str(error), mend=mend)
                return
            except RetryableError as error:
                results = [_result(one, Outcome.LATER, reason=str(error), mend=WHY_LATER) for one in part]
            except PermanentError as error:
                results = [_result(one, Outcome.REFUSED, reason=str(error), mend=mend_of(str(error))) for one in part]
            yield from results

    def close(self) -> None:
        """Lets connections go."""
        self._client.close()

    def _sent(self, part: Sequence[CrmRecord]) -> list[PushResult]:
        kind = part[0].object
        if part[0].once:
            return self._made(part)
        answers = self._client.update(kind, [(one.key, _sent_as(one)) for one in part])
        return [_judged(one, answer) for one, answer in zip(part, answers, strict=True)]

    def _made(self, part: Sequence[CrmRecord]) -> list[PushResult]:
        """Deals that nobody opened yet, with their companies. One that is there keeps all its properties."""
        there = self._there(f.DEAL, f.RENEWAL_KEY, part, ())
        fresh = [one for one in part if one.key not in there]
        answers = (
            self._client.upsert(f.DEAL, f.RENEWAL_KEY, [(one.key, _sent_as(one)) for one in fresh]) if fresh else []
        )
        results = [_judged(one, answer) for one, answer in zip(fresh, answers, strict=True)]
        results += [_result(one, Outcome.UNCHANGED, id_=str(there[one.key][f.ID])) for one in part if one.key in there]
        company = {one.key: str(one.fields[f.TO_COMPANY]) for one in part}
        # Again for those that are there: the push that made one may have ended before it was associated.
        self._client.associate(f.DEAL, f.COMPANY, [(one.id, company[one.key]) for one in results if one.id])
        return results

    def _there(
        self, kind: str, by: str, alike: Sequence[CrmRecord], names: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Properties of what is there, by our key."""
        keys = [one.key for one in alike]
        unique = "" if by == f.ID else by
        rows = self._client.read(kind, keys, [*names, *([unique] if unique else [])], by=unique)
        found = {}
        for row in rows:
            held = {**row["properties"], f.ID: row["id"]}
            found[str(held[by])] = held
        return found

    def _people(self) -> Mapping[str, str]:
        try:
            return self._client.owners()
        except PermanentError:  # without the scope nobody's name is known, and the doctor says so
            return {}

    def _currency(self) -> str:
        """Of deals that name none."""
        try:
            return str(self._client.details().get("companyCurrency") or "")
        except PermanentError:
            return ""


class _Names:
    """What a record of the portal stands for: an owner's name, a currency where a deal names none."""

    def __init__(self, people: Mapping[str, str], currency: str) -> None:
        self._people, self._currency = people, currency

    def worth(self, ids: tuple[str, ...], company: Company, deal: Deal | None = None) -> Worth:
        """What is known of the worth of these entitlements, and whose they are."""
        owner = self._people.get((deal and deal.owner_id) or company.owner_id, "")
        currency = (deal and deal.currency) or self._currency
        amount = deal.amount if deal and currency else None
        return Worth(entitlement_ids=ids, amount=amount, currency=currency if amount is not None else "", owner=owner)


def lacking(known: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[PushResult]:
    """A result for each property of ours that is missing, of another type, or not to be written."""
    for kind, properties in f.OURS.items():
        for name, ours in properties.items():
            there = known[kind].get(name)
            if there is None:
                reason = "the property is missing"
            elif there.get("type") != ours.type:
                reason = f"the property is of type {there.get('type')}, not {ours.type}"
            elif (there.get("modificationMetadata") or {}).get("readOnlyValue"):
                reason = "the property may not be written"
            elif missing := sorted({*ours.choices} - {str(one["value"]) for one in there.get("options", ())}):
                reason = f"the property has no option {', '.join(missing)}"
            elif ours.unique and not there.get("hasUniqueValue"):
                reason = "the property is not unique"
            else:
                continue
            about = f"{kind}.{name}"
            mend = INSTALL if there is None else f"delete the property in HubSpot, then {INSTALL}"
            yield PushResult(object=kind, key=name, outcome=Outcome.DEGRADED, reason=reason, mend=mend, about=about)


def _records(usage: AccountUsage, company: Company, settings: Settings, names: _Names) -> Iterator[CrmRecord]:
    """Every record of this customer. Of what people work with only our own properties are written."""
    whole = names.worth(usage.whole.entitlement_ids, company)
    yield _update(f.COMPANY, company.id, company.name, f.of_company(usage), whole)
    pairs = pair(usage.renewals, company.open, settings.renewal_window_days)
    for place, renewal in enumerate(usage.renewals):
        if deal := pairs.get(place):
            worth = names.worth(renewal.entitlement_ids, company, deal)
            yield _update(f.DEAL, deal.id, f"{company.name}, {deal.name}", f.of_deal(renewal), worth)
        elif settings.create_renewals and renewal.renewal is not None:
            yield _new_deal(renewal, renewal.renewal, company, settings)


def _update(kind: str, id_: str, about: str, fields: Mapping[str, Json], worth: Worth) -> CrmRecord:
    return CrmRecord(object=kind, key=id_, key_field=f.ID, fields=fields, about=about, aging=f.AGING, worth=worth)


def _new_deal(renewal: UsageRollUp, end: date, company: Company, settings: Settings) -> CrmRecord:
    """A renewal that nobody has opened yet. From then on its deal is people's, but for our own properties."""
    made: dict[str, Json] = {
        "dealname": f"{company.name[:100]} renewal {end:%Y-%m}",
        "closedate": f"{end.isoformat()}T00:00:00Z",
        "pipeline": settings.renewal_pipeline,
        "dealstage": settings.renewal_stage,
        "dealtype": settings.renewal_types[0],
        "hubspot_owner_id": company.owner_id,
    }
    return CrmRecord(
        object=f.DEAL,
        key=f"{min(renewal.entitlement_ids)}:{end.isoformat()}",
        key_field=f.RENEWAL_KEY,
        fields={**made, **f.of_deal(renewal), f.TO_COMPANY: company.id},
        about=f"{company.name}, {made['dealname']}",
        once=True,
    )


def _fit(one: CrmRecord, lacks: set[tuple[str, str]]) -> CrmRecord | None:
    """The record without what the portal lacks; None where its key is lacking, or nothing is left."""
    if (one.object, one.key_field) in lacks:
        return None
    fields = {name: value for name, value in one.fields.items() if (one.object, name) not in lacks}
    return replace(one, fields=fields) if fields else None


def _grouped(records: Sequence[CrmRecord]) -> Iterator[tuple[tuple[str, str, bool], list[CrmRecord]]]:
    """Records that go in the same call, companies first; of two with one key the later counts."""

    def alike(one: CrmRecord) -> tuple[str, str, bool]:
        return one.object, one.key_field, one.once

    single = {(alike(one), one.key): one for one in records}
    for key, group in groupby(sorted(single.values(), key=alike), alike):
        yield key, list(group)


def _sent_as(one: CrmRecord) -> dict[str, Json]:
    """As HubSpot takes properties: "" clears one."""
    return {name: "" if value is None else value for name, value in one.fields.items() if name != f.TO_COMPANY}


def _changes(one: CrmRecord, now: Mapping[str, Any] | None) -> Iterator[FieldChange]:
    for name, then in one.fields.items():
        held = (now or {}).get(name) or None
        if name != f.TO_COMPANY and as_kept(held) != as_kept(then or None):
            yield FieldChange(
                object=one.object,
                key=one.key,
                field=name,
                now=held,
                then=then or None,
                about=one.about,
                there=now is not None,
            )


def _judged(one: CrmRecord, answer: Answer) -> PushResult:
    if answer.error:
        return _result(one, Outcome.REFUSED, reason=answer.error, mend=mend_of(answer.error))
    return _result(one, Outcome.CREATED if answer.created else Outcome.UPDATED, id_=answer.id)


def _result(one: CrmRecord, outcome: Outcome, *, id_: str = "", reason: str = "", mend: str = "") -> PushResult:
    return PushResult(
        object=one.object, key=one.key, outcome=outcome, id=id_, reason=reason, mend=mend, about=one.about
    )
