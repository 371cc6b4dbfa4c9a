"""Who is whom: our customers and the org's Accounts, our renewals and its open Opportunities. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.salesforce.client import Client, batched, soql
from connectors.salesforce.columns import Columns
from connectors.salesforce.fields import ACCOUNT, OPPORTUNITY
from connectors.salesforce.settings import Settings
from connectors.whose import Owners
from hub.domain import AccountUsage
from hub.ports import PushResult

IN_A_QUERY = 100  # keys of up to 255 characters must fit into an address


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """An open renewal."""

    id: str
    account_id: str
    owner_id: str
    close: date
    name: str = ""
    owner: str = ""
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An Account, and its open renewals."""

    id: str
    name: str
    owner_id: str
    owner: str = ""
    open: tuple[Opportunity, ...] = field(default=())


def key_of(usage: AccountUsage, settings: Settings) -> str:
    """What of ours the org's account field is to hold."""
    return usage.account_ref if settings.account_by == "account_ref" else usage.customer_id


def accounts(
    client: Client, columns: Columns, settings: Settings, usages: Sequence[AccountUsage]
) -> tuple[dict[str, Account], list[PushResult]]:
    """Each customer's Account by our key, with its open renewals; and who has none, or more than one."""
    wanted = {key_of(one, settings): one for one in usages}
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in _account_rows(client, settings, [one for one in wanted if one]):
        for key in _keys(row, settings, wanted):
            rows.setdefault(key, []).append(row)
    single = {key: found[0] for key, found in rows.items() if len(found) == 1}
    renewals = _renewals(client, columns, settings, [row["Id"] for row in single.values()])
    matched = {
        key: Account(
            id=row["Id"],
            name=row["Name"],
            owner_id=row["OwnerId"],
            owner=_name(row.get("Owner")),
            open=renewals.get(row["Id"], ()),
        )
        for key, row in single.items()
    }
    owners = _owners(settings)
    problems = [
        owners.unmatched(key, [f"{row['Name']} ({row['Id']})" for row in rows.get(key, [])])
        for key in wanted
        if key not in matched
    ]
    for account, several in _claimed_twice(matched, settings, usages):
        problems.append(owners.doubled(account.id, f"{account.name} ({account.id})", several))
        matched = {key: one for key, one in matched.items() if one.id != account.id}
    return matched, problems


def _account_rows(client: Client, settings: Settings, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    names = ", ".join(dict.fromkeys(("Id", "Name", "OwnerId", "Owner.Name", settings.account_field)))
    if settings.account_field == "Id":
        keys = [key for key in keys if len(key) in {15, 18} and key.isascii() and key.isalnum()]
    for some in batched(keys, IN_A_QUERY):
        where = f"SELECT {names} FROM {ACCOUNT} WHERE {settings.account_field} IN {{keys}} ORDER BY Id"
        yield from client.query(soql(where, keys=list(some)))


def _keys(row: Mapping[str, Any], settings: Settings, wanted: Mapping[str, object]) -> list[str]:
    """Which of our keys the row has; ids of 15 and 18 characters are the same, and texts are found in any case."""
    if settings.account_field == "Id":
        return [key for key in wanted if key[:15] == row["Id"][:15]]
    value = str(row.get(settings.account_field) or "").lower()
    return [key for key in wanted if key.lower() == value]


def _renewals(
    client: Client, columns: Columns, settings: Settings, ids: Sequence[str]
) -> dict[str, tuple[Opportunity, ...]]:
    """Open renewals by Account. An amount that the user may not see, or whose currency nobody names, is none."""
    found: dict[str, tuple[Opportunity, ...]] = {}
    more = [name for name in ("Amount", "CurrencyIsoCode") if name in (columns.of(OPPORTUNITY) or {})]
    for some in batched(ids, IN_A_QUERY):
        text = soql(
            f"SELECT {', '.join(('Id', 'AccountId', 'OwnerId', 'Owner.Name', 'CloseDate', 'Name', *more))}"
            " FROM {object:literal}"
            " WHERE IsClosed = false AND AccountId IN {ids} AND Type IN {types} ORDER BY Id",
            object=OPPORTUNITY,
            ids=list(some),
            types=list(settings.renewal_types),
        )
        for row in client.query(text):
            currency = str(row.get("CurrencyIsoCode") or settings.currency)
            amount = row.get("Amount") if currency else None
            one = Opportunity(
                id=row["Id"],
                account_id=row["AccountId"],
                owner_id=row["OwnerId"],
                close=date.fromisoformat(row["CloseDate"]),
                name=row["Name"] or "",
                owner=_name(row.get("Owner")),
                amount=None if amount is None else Decimal(str(amount)),
                currency=currency if amount is not None else "",
            )
            found[one.account_id] = (*found.get(one.account_id, ()), one)
    return found


def _name(owner: Mapping[str, Any] | None) -> str:
    return str((owner or {}).get("Name") or "")


def _claimed_twice(
    matched: Mapping[str, Account], settings: Settings, usages: Sequence[AccountUsage]
) -> list[tuple[Account, list[AccountUsage]]]:
    """Accounts that more than one customer leads to: one would overwrite what the other says."""
    of: dict[str, tuple[Account, list[AccountUsage]]] = {}
    for usage in usages:
        if account := matched.get(key_of(usage, settings)):
            of.setdefault(account.id, (account, []))[1].append(usage)
    return [(account, several) for account, several in of.values() if len(several) > 1]


def _owners(settings: Settings) -> Owners:
    field_name = f"Account.{settings.account_field}"
    return Owners(
        object=ACCOUNT, one="Account", many="Accounts", field=field_name, settings="account_field and account_by"
    )
