"""Amounts as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
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


def total(amounts: Iterable[Money | None]) -> str:
    """The sum, currency by currency, the largest first; empty where no amount is known."""
    sums: dict[str, int] = {}
    like: dict[str, Money] = {}
    for one in amounts:
        if one is not None:
            sums[one.currency] = sums.get(one.currency, 0) + one.amount_minor
            like[one.currency] = one
    made = [type(like[currency])(amount_minor=amount, currency=currency) for currency, amount in sums.items()]
    return " + ".join(money(one) for one in sorted(made, key=major, reverse=True))
