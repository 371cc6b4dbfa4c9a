"""Whose record is whose, whatever the CRM: renewals and its open deals, and customers without a record of their own.

And what two values of a field have in common, however a CRM keeps texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from hub.domain import AccountUsage, Json, UsageRollUp
from hub.ports import Outcome, PushResult


class Open(Protocol):
    """An open deal of a renewal."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def close(self) -> date: ...  # noqa: D102


def as_kept(value: Json) -> Json:
    """A text without what CRMs drop or change when they keep one: blanks around it, and how its lines end. Pure."""
    return "\n".join(value.split("\r\n")).strip() or None if isinstance(value, str) else value


Deal = TypeVar("Deal", bound=Open)


def pair(renewals: Sequence[UsageRollUp], found: Sequence[Deal], days: int) -> dict[int, Deal]:
    """For each renewal (by its place) the open deal whose close is nearest, within `days`; each one once.

    Where two are as near, the one with the smaller id: the same each time.
    """
    near = sorted(
        (
            (abs((one.close - renewal.renewal).days), one.id, place, one)
            for place, renewal in enumerate(renewals)
            if renewal.renewal
            for one in found
            if abs((one.close - renewal.renewal).days) <= days
        ),
        key=lambda one: one[:3],
    )
    pairs: dict[int, Deal] = {}
    for _, _, place, one in near:
        if place not in pairs and one not in pairs.values():
            pairs[place] = one
    return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The CRM's records of customers, in words: `one` of `many`, found by `field`, which `settings` name."""

    object: str
    one: str
    many: str
    field: str
    settings: str

    def unmatched(self, key: str, hits: Sequence[str]) -> PushResult:
        """Nobody is called `key`, or all of `hits` are."""
        if hits:
            outcome = Outcome.AMBIGUOUS
            reason = f"{len(hits)} {self.many} have {self.field} = {key}: {', '.join(hits)}. Nothing was written to any"
            mend = "merge them, or clear the field on all but one, then push again"
        else:
            outcome = Outcome.UNMATCHED
            reason = f"no {self.one} has {self.field} = {key or '(empty)'}"
            mend = f"write it on the right {self.one}, or set {self.settings} in hub.toml"
        return PushResult(object=self.object, key=key, outcome=outcome, reason=reason, mend=mend, about=key)

    def doubled(self, id_: str, name: str, several: Sequence[AccountUsage]) -> PushResult:
        """Several customers lead to one record, where one would overwrite what the other says."""
        names = ", ".join(" ".join(filter(None, (one.account_ref, one.customer_id))) for one in several)
        return PushResult(
            object=self.object,
            key=id_,
            outcome=Outcome.AMBIGUOUS,
            reason=f"{len(several)} customers lead to {name}: {names}. Nothing was written",
            mend=f"merge the customers where they are licensed, or give each {self.one} of its own",
            about=name,
        )
