"""What can happen at a declared shop, as one table: the same situation comes to the same license at each of them.

What successive looks see stands in each vendor's case (tests/connectors/<vendor>/case.py); docs/shops.md shows the
table. Numbers are those of the commerce reference, §6.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """`expected` has a line an entitlement, and one for the tasks that are open."""

    number: str
    name: str
    expected: tuple[str, ...]
    ends: str = ""


ON = "PRO-100: on, 5 seats, until 2027-09-08"
OFF = "PRO-100: off, 5 seats, until 2027-09-08"
LONGER = "PRO-100: on, 5 seats, until 2028-09-08"
PERPETUAL, PERPETUAL_OFF = "PERP-1: on, 3 seats, no end", "PERP-1: off, 3 seats, no end"

SITUATIONS = (
    Situation("1", "sold, told twice", (ON,)),
    Situation("3", "a renewal is told before the start", (LONGER,)),
    Situation("6", "trial", ("PRO-100: on, 5 seats, until 2026-09-22",)),
    Situation("7", "trial, then paid", (ON,)),
    Situation("10", "seats added within the term", (ON.replace("5 seats", "8 seats"),)),
    Situation("11", "seats taken away", (ON.replace("5 seats", "2 seats"),)),
    Situation("12", "another product", (ON.replace("PRO-100", "TEAM-YEAR"),)),
    Situation("14", "canceled for the end of the term", (ON,), "2027-09-01"),
    Situation("14", "canceled, and undone", (ON,)),
    Situation("14", "canceled, then ended", (OFF,)),
    Situation("15", "a payment failed", (ON,)),
    Situation("16", "a payment failed, then paid", (LONGER,)),
    Situation("16", "given up as unpaid", (OFF,)),
    Situation("16", "paused", (OFF,)),
    Situation("16", "paused, then resumed", (LONGER,)),
    Situation("16", "charging is paused, service goes on", (ON,)),
    Situation("17", "part of the price refunded", (ON, "task: partial refund")),
    Situation("18", "the present term refunded", (OFF,)),
    Situation("18", "the first order refunded", (OFF,)),
    Situation("18", "an earlier term refunded", (LONGER, "task: earlier refund")),
    Situation("20", "a refund that waits for approval", (ON,)),
    Situation("21", "charged back", (OFF,)),
    Situation("21", "charged back, and won", (ON,)),
    Situation("21", "a dispute is open", (PERPETUAL, "task: dispute")),
    Situation("21", "a dispute is lost", (PERPETUAL_OFF,)),
    Situation("23", "a pack of two more seats", (ON.replace("5 seats", "7 seats"),)),
    Situation("24", "bought once beside a subscription", (PERPETUAL, ON)),
    Situation("27", "a price of nothing", (ON,)),
    Situation("37", "a word that nobody knows", ("a person must look",)),
    Situation("40", "a product that no row names", ("parked",)),
    Situation("one-off", "bought once", (PERPETUAL,)),
    Situation("one-off", "bought once, payment still to come", ("nothing",)),
    Situation("one-off", "bought once, canceled after it was paid", (PERPETUAL_OFF,)),
    Situation("one-off", "bought once, refunded in full", (PERPETUAL_OFF,)),
    Situation("one-off", "bought once, one of three refunded", (PERPETUAL.replace("3 seats", "2 seats"),)),
    Situation("one-off", "bought once, part of the price refunded", (PERPETUAL, "task: partial refund")),
)
