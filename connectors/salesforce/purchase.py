"""Won records of Salesforce -> Purchase. Pure, over reduced records (shapes.py); money never decides.

A purchase is a record and the renewals that name it. Days are midnight UTC; a last day counts whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from connectors.fields import Object, Reduced, objects
from connectors.salesforce.days import DAY, day, midnight, months_later
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing
from hub.errors import UnreadableError
from hub.ports import Found

BEFORE = "before sold_since"


def found(source: str, record: Reduced, renewals: Sequence[Reduced] = ()) -> Found:
    """The purchase, and what was seen: `from_seen` gives the same purchase again."""
    seen: Reduced = {"record": record} | ({"renewals": list(renewals)} if renewals else {})
    return Found(purchase=from_seen(source, seen), seen=seen)


def from_seen(source: str, seen: Mapping[str, object]) -> Purchase:
    """The purchase that a look's observation stands for; UnreadableError where it is none."""
    record = seen.get("record")
    if not isinstance(record, Mapping):
        raise UnreadableError("no record was seen")
    return of_records(source, record, objects(seen.get("renewals"), "renewals"))


def of_records(source: str, record: Object, renewals: Sequence[Object] = ()) -> Purchase:
    """What the record and the renewals that name it are worth. UnreadableError where one is malformed.

    Renewals were won when they were first seen: one that is not any more is told, and still counts. A record that was
    won and is over (a contract that expired) goes on in the renewal that is in force.
    """
    terms = sorted(renewals, key=lambda one: (_start(one) or date.min, one["id"]))
    in_force = record["won"] or (record.get("was_won", False) and any(one["won"] for one in terms))
    won = in_force and not is_before(record)
    return Purchase(
        ref=Ref(source=source, kind=record["object"].lower(), id=record["id"]),
        customer=Customer(id=record["account"], customer_ref=record["account_ref"], name=record["name"]),
        lines=_lines([record, *terms]),
        standing=Standing.CURRENT if won else Standing.PENDING,
        status=BEFORE if is_before(record) else record["status"] or "",
        bought_at=midnight(_start(record)),
        flags=tuple(_flags(record, terms, won=won)),
        parts=tuple(Ref(source=source, kind=one["object"].lower(), id=one["id"]) for one in terms),
    )


def unread(refs: Sequence[Ref], because: str) -> Purchase:
    """A sale, told by these records, of which nobody knows what it is."""
    ref, *parts = refs
    nobody = Customer(id="")
    return Purchase(ref=ref, customer=nobody, lines=(), standing=Standing.UNKNOWN, status=because, parts=tuple(parts))


def is_before(record: Object) -> bool:
    """Whether it was sold before the day from which on the hub licenses; without a date that of its making counts."""
    sold = record.get("sold") or record["start"]
    return bool(sold and record["since"] and sold[:10] < record["since"])


def _lines(records: Sequence[Object]) -> tuple[Line, ...]:
    """The lines as the newest record says; those that it renews keep their id, and the later end counts.

    A renewal that was closed before its first day prolongs at once; its seats count from that day.
    """
    now: dict[tuple[str, ...], list[Line]] = {}
    for record in records:
        fresh: dict[tuple[str, ...], list[tuple[Line, bool]]] = {}
        for row in record["lines"]:
            line = _line(record, row)
            fresh.setdefault(line.keys, []).append((line, row.get("begun", True)))
        for keys, lines in fresh.items():
            olds = now.get(keys, [])
            now[keys] = [
                _renewed(olds[place] if place < len(olds) else None, line, begun=begun)
                for place, (line, begun) in enumerate(lines)
            ]
    return tuple(line for lines in now.values() for line in lines)


def _renewed(old: Line | None, new: Line, *, begun: bool) -> Line:
    if old is None:
        return new
    if not begun and old.quantity != new.quantity:
        from_then = f"{new.because}; {new.quantity} seats from {new.period_start:%Y-%m-%d}"
        new = replace(new, quantity=old.quantity, because=from_then)
    if old.paid_until and (new.paid_until is None or new.paid_until < old.paid_until) and not new.once:
        return replace(new, id=old.id, paid_until=old.paid_until, because=old.because)
    return replace(new, id=old.id)


def _line(record: Object, row: Object) -> Line:
    start = day(row["start"]) or _start(record)
    until, why = _paid_until(record, row, start)
    keys = tuple(dict.fromkeys(key for key in (row["key"], row["code"], row["product"]) if key))
    return Line(
        id=row["id"],
        keys=keys,
        sku=row["key"] or row["code"],
        quantity=row["quantity"],
        paid_until=until,
        period_start=midnight(start),
        because="; ".join([why, *row.get("fewer", ())]),
        once=until is None,
        open=row.get("open", False),
    )


def _paid_until(record: Object, row: Object, start: date | None) -> tuple[datetime | None, str]:
    """(until when it is sold, why); None: for good, the offering's own term stands.

    A last day goes before months, and the line's own before the record's; then `term_months` of the settings.
    """
    last = day(row["end"]) or (day(record["end"]) if row["months"] is None else None)
    if last is not None:
        if start and last < start:
            raise UnreadableError(f"line {row['id']} ends on {last}, before it starts on {start}")
        return midnight(last + DAY), f"sold by {record['id']} up to {last}"
    months = record["months"] if row["months"] is None else row["months"]
    if months == 0:
        return None, f"sold by {record['id']} for good: the offering's own term stands"
    if start is None:
        raise UnreadableError(f"line {row['id']} has no start, so its term of {months} months has no end")
    return midnight(months_later(start, months)), f"sold by {record['id']} for {months} months from {start}"


def _flags(record: Object, renewals: Sequence[Object], *, won: bool) -> Iterator[Flag]:
    for one in renewals:
        if not one["won"]:
            text = f"renewal {one['id']} was won, and is {one['status']!r} now: nothing was changed"
            yield Flag(kind="renewal reopened", text=text)
    if renewals and not won and not record.get("was_won", False):
        text = f"{record['id']} is renewed by {renewals[0]['id']}, but is not won itself: nothing is granted"
        yield Flag(kind="renewal of nothing", text=text)


def _start(record: Object) -> date | None:
    return day(record["start"])
