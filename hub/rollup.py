"""Summaries of single entitlements as one picture of an account and of each renewal. Pure.

Signals are never averaged: the gravest among those that matter counts, with the sentence that it came with. What
another product of the account took over is no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from hub.domain import AccountUsage, UsageRollUp, UsageSummary
from hub.usage.rules import Rules
from hub.usage.signal import WORST_FIRST, Signal

MATTERS = Rules().weighty  # an entitlement with less of the account's value does not speak for it
COTERM = timedelta(days=45)  # what ends within so many days is one renewal


def accounts(summaries: Iterable[UsageSummary]) -> list[AccountUsage]:
    """One AccountUsage per customer, by their references. Of two rows of an entitlement the newer counts."""
    newest: dict[str, UsageSummary] = {}
    for one in summaries:
        held = newest.get(one.entitlement_id)
        if held is None or one.as_of >= held.as_of:
            newest[one.entitlement_id] = one
    of: dict[tuple[str, str], list[UsageSummary]] = {}
    for one in sorted(newest.values(), key=lambda each: each.entitlement_id):
        of.setdefault((one.account_ref, one.customer_id), []).append(one)
    return [
        AccountUsage(
            account_ref=ref,
            customer_id=customer,
            whole=roll_up(found),
            renewals=tuple(map(roll_up, renewals(found))),
            summaries=tuple(found),
        )
        for (ref, customer), found in sorted(of.items())
    ]


def renewals(summaries: Sequence[UsageSummary]) -> list[list[UsageSummary]]:
    """What is renewed together: a group begins with the earliest end and takes what ends within 45 days of it."""
    groups: list[list[UsageSummary]] = []
    first: date | None = None
    for one in sorted(
        (each for each in summaries if each.renewal), key=lambda each: (each.renewal, each.entitlement_id)
    ):
        if first is None or one.renewal is None or one.renewal - first > COTERM:
            groups.append([])
            first = one.renewal
        groups[-1].append(one)
    return groups


def roll_up(summaries: Sequence[UsageSummary]) -> UsageRollUp:
    """One or more summaries as one."""
    voice = min(_that_matter(summaries), key=_gravity)
    ends = [one.renewal for one in summaries if one.renewal]
    return UsageRollUp(
        entitlement_ids=tuple(one.entitlement_id for one in summaries),
        signal=Signal.STEADY.value if voice.moved else voice.signal,
        confidence=voice.confidence,
        sentence=voice.moved or voice.sentence,
        as_of=max(one.as_of for one in summaries),
        signal_since=voice.signal_since,
        renewal=min(ends, default=None),
        seats_licensed=_total(one.seats_licensed for one in summaries),
        utilization_90d=_weighted([(one.utilization_90d, one.seats_licensed) for one in summaries]),
        drop=_weighted([(_drop(one), one.seats_licensed if one.value is None else one.value) for one in summaries]),
        recommended_seats=_total(one.recommended_seats for one in summaries),
        forecast_low=_sum(one.forecast_low for one in summaries),
        forecast_high=_sum(one.forecast_high for one in summaries),
        chart=voice.chart,
    )


def _that_matter(summaries: Sequence[UsageSummary]) -> Sequence[UsageSummary]:
    """Those with a fifth or more of the value; all of them where the values are not known, or none has so much."""
    total = sum(one.value or 0 for one in summaries)
    if not total or any(one.value is None for one in summaries):
        return summaries
    return [one for one in summaries if (one.value or 0) >= MATTERS * total] or summaries


def _drop(one: UsageSummary) -> float | None:
    return 0.0 if one.moved else one.drop


def _gravity(one: UsageSummary) -> tuple[int, str]:
    """What is gravest comes first; a loss that another product took over counts as none."""
    said = Signal.STEADY if one.moved else one.signal
    return WORST_FIRST.index(Signal(said)) if said in set(Signal) else len(WORST_FIRST), one.entitlement_id


def _total(values: Iterable[int | None]) -> int | None:
    """The sum, if every one is known: half a sum would be read as the whole."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _weighted(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """The mean by weight of what is known; None where nothing is."""
    known = [(value, weight or 0) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in known)
    if not known:
        return None
    return sum(value * weight for value, weight in known) / total if total else known[0][0]
