"""Who is whom: our customers and the portal's companies, our renewals and its open deals. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.hubspot.client import Client
from connectors.hubspot.fields import COMPANY, DEAL, ID
from connectors.hubspot.settings import Settings
from connectors.whose import Owners
from hub.domain import AccountUsage
from hub.ports import PushResult

DEAL_FIELDS = (
    *("dealname", "closedate", "dealtype", "hs_is_closed", "hubspot_owner_id", "amount", "deal_currency_code"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """An open renewal; `amount` in whole units of `currency`, None and "" where the deal does not say."""

    id: str
    name: str
    owner_id: str
    close: date
    amount: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A company, and its open renewals."""

    id: str
    name: str
    owner_id: str
    open: tuple[Deal, ...] = ()


def key_of(usage: AccountUsage, settings: Settings) -> str:
    """What of ours the company property is to hold."""
    return usage.account_ref if settings.company_by == "account_ref" else usage.customer_id


def companies(
    client: Client, settings: Settings, usages: Sequence[AccountUsage]
) -> tuple[list[tuple[AccountUsage, Company]], list[PushResult]]:
    """Each customer with its company; and who has none, more than one, or one that another customer leads to."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(client, settings, sorted({key for one in usages if (key := key_of(one, settings))})):
        rows.setdefault(_value(row, settings.company_field).lower(), []).append(row)
    hits = [rows.get(key_of(one, settings).lower(), []) for one in usages]
    claims: dict[str, list[int]] = {}
    for place, found in enumerate(hits):
        if len(found) == 1:
            claims.setdefault(str(found[0]["id"]), []).append(place)
    owners = _owners(settings)
    problems = [
        owners.unmatched(key_of(usage, settings), [f"{_value(row, 'name')} ({row['id']})" for row in found])
        for usage, found in zip(usages, hits, strict=True)
        if len(found) != 1
    ]
    problems += [
        owners.doubled(id_, f"company {id_}", [usages[one] for one in several])
        for id_, several in claims.items()
        if len(several) > 1
    ]
    single = {id_: several[0] for id_, several in claims.items() if len(several) == 1}
    deals = _deals(client, settings, sorted(single))
    return [(usages[place], _company(hits[place][0], deals.get(id_, ()))) for id_, place in single.items()], problems


def _rows(client: Client, settings: Settings, keys: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    names = ("name", "hubspot_owner_id", settings.company_field)
    if settings.company_field == ID:
        return iter(client.read(COMPANY, [key for key in keys if key.isascii() and key.isdecimal()], names))
    return client.search(COMPANY, settings.company_field, keys, names)


def _deals(client: Client, settings: Settings, ids: Sequence[str]) -> dict[str, tuple[Deal, ...]]:
    of = client.associated(COMPANY, DEAL, ids)
    every = sorted({one for several in of.values() for one in several})
    open_ = {one.id: one for row in client.read(DEAL, every, DEAL_FIELDS) if (one := _deal(row, settings))}
    return {id_: tuple(open_[one] for one in sorted(set(several)) if one in open_) for id_, several in of.items()}


def _deal(row: Mapping[str, Any], settings: Settings) -> Deal | None:
    """The deal, if it is an open renewal."""
    close, said = _value(row, "closedate"), _value(row, "amount")
    if _value(row, "hs_is_closed") == "true" or not close or _value(row, "dealtype") not in settings.renewal_types:
        return None
    try:
        amount = Decimal(said) if said else None
    except InvalidOperation:
        amount = None
    return Deal(
        id=str(row["id"]),
        name=_value(row, "dealname"),
        owner_id=_value(row, "hubspot_owner_id"),
        close=date.fromisoformat(close[:10]),
        amount=amount,
        currency=_value(row, "deal_currency_code"),
    )


def _company(row: Mapping[str, Any], deals: tuple[Deal, ...]) -> Company:
    id_ = str(row["id"])
    return Company(id=id_, name=_value(row, "name") or id_, owner_id=_value(row, "hubspot_owner_id"), open=deals)


def _value(row: Mapping[str, Any], name: str) -> str:
    return str(row["id"]) if name == ID else str(row["properties"].get(name) or "")


def _owners(settings: Settings) -> Owners:
    return Owners(
        object=COMPANY,
        one="company",
        many="companies",
        field=f"company property {settings.company_field}",
        settings="company_field and company_by",
    )
