"""What became of money that was paid: refunds, credit notes, disputes and fraud warnings of one payment. Pure.

A reversal is one JSON object: the invoice that was paid (None for a sale without one), its charges, and what was
raised against them. It is judged as a whole and as it stands now, so order and repeats of events play no part.
Rules: docs/policy.md, commerce reference §6.17-21.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.stripe.fields import Object, Reduced, amount, part, rows, text
from connectors.stripe.shapes import (
    reduced_charge,
    reduced_credit_note,
    reduced_dispute,
    reduced_invoice,
    reduced_refund,
    reduced_warning,
)
from hub.domain import Flag

# docs.stripe.com/api/disputes/object, `status` (stripe 16.1.0 _dispute.py). A word that is in none is a dispute.
INQUIRIES = {"warning_needs_response", "warning_under_review"}
NO_LOSS = {"won", "prevented", "warning_closed"}
_NOT_PAID_BACK = {"failed", "canceled", "requires_action"}
PARTS: Mapping[str, Callable[[Object], Reduced]] = {
    "charges": reduced_charge,
    "refunds": reduced_refund,
    "disputes": reduced_dispute,
    "warnings": reduced_warning,
    "credit_notes": reduced_credit_note,
}


@dataclass(frozen=True, slots=True)
class Credit:
    """How much of an invoice's line was credited: units (None: it does not say) and amount."""

    quantity: int | None
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """One judged payment. back: a sentence where all of it was paid back or lost; credits by invoice line id."""

    name: str
    invoice: Reduced | None
    back: str = ""
    credits: Mapping[str, Credit] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()

    @property
    def invoice_id(self) -> str | None:
        """The invoice that was paid."""
        return self.invoice["id"] if self.invoice else None

    def whole(self, line: Reduced) -> bool:
        """Whether all of an invoice's line was credited."""
        credit = self.credits.get(line["id"] or "")
        if credit is None:
            return False
        if credit.quantity is not None and line["quantity"]:
            return bool(credit.quantity >= line["quantity"])
        billed: int = line["amount"] or 0
        return 0 < billed <= credit.amount

    def units(self, line: Reduced) -> int:
        """How many units of an invoice's line were credited."""
        credit = self.credits.get(line["id"] or "")
        return credit.quantity or 0 if credit else 0

    def vague(self, line: Reduced) -> bool:
        """Whether part of a line was credited, but not how many units."""
        credit = self.credits.get(line["id"] or "")
        return credit is not None and not credit.quantity and not self.whole(line)


def reduced_reversal(reversal: Object) -> Reduced:
    """The reversal in one shape; a reduced one comes out equal."""
    invoice = reversal.get("invoice")
    return {
        "id": text(reversal, "id"),
        "invoice": reduced_invoice(part(reversal, "invoice")) if invoice is not None else None,
        "total": amount(reversal, "total"),
        **{name: [reduce(row) for row in rows(reversal, name)] for name, reduce in PARTS.items()},
    }


def says_something(reversal: Reduced) -> bool:
    """Whether anything was raised against the payment."""
    raised = ("refunds", "disputes", "warnings", "credit_notes")
    return any(reversal[name] for name in raised) or any(charge["back"] for charge in reversal["charges"])


def judged(reversals: Sequence[Object]) -> tuple[Reversal, ...]:
    """What each of them comes to."""
    return tuple(_judged(reduced_reversal(one)) for one in reversals)


def _judged(one: Reduced) -> Reversal:
    name = f"invoice {one['invoice']['id']}" if one["invoice"] else f"payment {one['id']}"
    lost = _lost(one)
    notes = [note for note in one["credit_notes"] if note["status"] != "void"]
    paid, back = _paid(one), _back(one)
    credited = sum(note["total"] or 0 for note in notes)
    flags = list(_flags(one, name))
    because = (
        _all_lost(one, name, paid)
        or _all_back(name, paid, back + lost)
        or _all_back(name, _billed(one), credited + lost)
    )
    if not because and back + lost > credited:
        how = f"paid back or lost to a dispute ({lost})" if lost else "paid back"
        flags.append(Flag(kind="partial refund", text=f"{back + lost} of {paid} of {name} were {how}: {_BY_HAND}"))
    elif not because and any(_untold(note) for note in notes):
        flags.append(Flag(kind="partial refund", text=f"{credited} of {name} were credited: {_BY_HAND}"))
    return Reversal(name=name, invoice=one["invoice"], back=because, credits=_credits(notes), flags=tuple(flags))


_BY_HAND = "no credit note says which seats, so nothing was changed"


def _lost(one: Reduced) -> int:
    """What disputes that name an amount have cost."""
    return sum(dispute["amount"] or 0 for dispute in one["disputes"] if dispute["status"] == "lost")


def _all_lost(one: Reduced, name: str, paid: int) -> str:
    """Why nothing of it is paid any more: a lost dispute over all of it, or one that does not say over how much."""
    lost = [dispute for dispute in one["disputes"] if dispute["status"] == "lost"]
    whole = next((dispute["id"] for dispute in lost if not dispute["amount"] or dispute["amount"] >= paid), None)
    return f"the dispute {whole} over {name} was lost" if whole else ""


def _all_back(name: str, paid: int, back: int) -> str:
    return f"{name} was paid back in full" if 0 < paid <= back else ""


def _paid(one: Reduced) -> int:
    """What was paid, in the smallest unit: by the charges that took it, else by what it was for."""
    taken = sum(charge["amount"] for charge in one["charges"] if charge["status"] != "failed")
    return taken or _billed(one)


def _billed(one: Reduced) -> int:
    """What the payment was for: all of the invoice, some of which may have been paid from a balance."""
    billed: int | None = (one["invoice"] or {}).get("total") or one["total"]
    return billed or 0


def _back(one: Reduced) -> int:
    """What was paid back and not returned since: the refunds that stand, or what the charges say less those failed.

    A refund can fail after it succeeded, and then either of the two may still show it.
    """
    live = sum(refund["amount"] for refund in one["refunds"] if refund["status"] not in _NOT_PAID_BACK)
    failed = sum(refund["amount"] for refund in one["refunds"] if refund["status"] in _NOT_PAID_BACK)
    told = sum(charge["back"] for charge in one["charges"])
    return int(max(live, told - failed))


def _untold(note: Reduced) -> bool:
    """Whether the note credits something without saying which line."""
    lines = note["lines"]
    return note["lines_incomplete"] or not lines or any(row["invoice_line_item"] is None for row in lines)


def _credits(notes: Iterable[Reduced]) -> dict[str, Credit]:
    found: dict[str, Credit] = {}
    for row in (row for note in notes for row in note["lines"] if row["invoice_line_item"] is not None):
        before = found.get(row["invoice_line_item"], Credit(None, 0))
        counts = [one for one in (before.quantity, row["quantity"]) if one is not None]
        found[row["invoice_line_item"]] = Credit(sum(counts) if counts else None, before.amount + (row["amount"] or 0))
    return found


def _flags(one: Reduced, name: str) -> Iterator[Flag]:
    for dispute in one["disputes"]:
        status = dispute["status"] or "unknown"
        if status in INQUIRIES:
            yield Flag(kind="inquiry", text=f"the bank asks about {name} ({dispute['id']}, {status}): no money moved")
        elif status != "lost" and status not in NO_LOSS:
            text_ = f"{name} is disputed ({dispute['id']}, {status}): the license stays on until it is decided"
            yield Flag(kind="dispute", text=text_)
    if any(warning["actionable"] for warning in one["warnings"]):
        yield Flag(kind="early fraud warning", text=f"the card's issuer thinks that {name} is fraud: refund it or not")
