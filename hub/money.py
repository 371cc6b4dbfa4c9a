"""Amounts as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.usage.portfolio import Money

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def money(amount: Money | None) -> str:
    """$48,000; an amount that is not known is "not known"."""
    if amount is None:
        return "not known"
    units = round(major(amount))
    symbol = SYMBOLS.get(amount.currency)
    return f"{symbol}{units:,}" if symbol else f"{amount.currency} {units:,}"


def major(amount: Money) -> float:
    """The amount in whole units of its currency (ISO 4217)."""
    return amount.major


def sums(amounts: Iterable[Money | None]) -> list[Money]:
    """The sum of each currency, the largest first; currencies are never mixed, and what is not known counts nowhere."""
    found: dict[str, Money] = {}
    for one in amounts:
        if one is not None:
            before = found.get(one.currency)
            found[one.currency] = replace(one, amount_minor=before.amount_minor + one.amount_minor) if before else one
    return sorted(found.values(), key=major, reverse=True)


def total(amounts: Iterable[Money | None]) -> str:
    """The sum, currency by currency, the largest first; empty where no amount is known."""
    return " + ".join(money(one) for one in sums(amounts))
