"""The lines of a contract's orders -> those that count on a day. Pure, over reduced lines (shapes.py).

A contract is amended by further orders: one adds seats from its first day on, one with a negative quantity takes some
away from what was sold of that product by then, and one for the next term follows a line that is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from connectors.fields import Object, Reduced
from connectors.salesforce.days import DAY, day, months_later
from hub.errors import UnreadableError


def in_force(lines: Sequence[Object], start: str | None, today: date) -> list[Reduced]:
    """The lines that count today, with the seats that are left of them; UnreadableError where too many are taken away.

    What begins with the contract counts as soon as that is activated, the rest from its own first day on. Lines that
    are over count no more while others of their product run; the last ones stay, to end by themselves.
    """
    latest = max(today, day(start) or today)
    by_product: dict[str, list[Object]] = {}
    for line in lines:
        if (day(line["start"]) or date.min) <= latest:
            by_product.setdefault(_product(line), []).append(line)
    return [line for group in by_product.values() for line in _current(list(_left(group)), today)]


def _left(group: Sequence[Object]) -> Iterator[Reduced]:
    """The lines of one product that sold seats, less what others took away, newest first."""
    sold = sorted((dict(one) for one in group if not _takes(one)), key=_first_day)
    for taking in sorted((one for one in group if _takes(one) and not one["open"]), key=_first_day):
        _take(taking, [one for one in reversed(sold) if _runs(one, _first_day(taking))])
    yield from sold


def _take(taking: Object, sold: Sequence[Reduced]) -> None:
    seats = -taking["quantity"]
    if seats > (there := sum(one["quantity"] or 0 for one in sold)):
        said = (
            f"order product {taking['id']} takes {seats} of {_product(taking)} away, and {there} run on its first day"
        )
        raise UnreadableError(f"{said}: correct its quantity or its start")
    for one in sold:
        fewer = min(seats, one["quantity"] or 0)
        if fewer:
            one["quantity"] -= fewer
            one["fewer"] = [*one.get("fewer", ()), f"{fewer} fewer by {taking['id']}"]
            seats -= fewer


def _current(sold: Sequence[Reduced], today: date) -> Sequence[Reduced]:
    running = [one for one in sold if _last_day(one) >= today]
    last = max((_last_day(one) for one in sold), default=date.max)
    return running or [one for one in sold if _last_day(one) == last]


def _runs(line: Object, on: date) -> bool:
    return _first_day(line) <= on <= _last_day(line)


def _takes(line: Object) -> bool:
    return (line["quantity"] or 0) < 0


def _first_day(line: Object) -> date:
    return day(line["start"]) or date.min


def _last_day(line: Object) -> date:
    """Its own last day; one without runs as long as the contract."""
    if last := day(line["end"]):
        return last
    start, months = day(line["start"]), line["months"]
    return months_later(start, months) - DAY if start and months else date.max


def _product(line: Object) -> str:
    return str(line["key"] or line["code"] or line["product"])
