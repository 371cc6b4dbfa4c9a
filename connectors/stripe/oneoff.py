"""A Stripe checkout session in payment mode -> Purchase: something bought once. Pure, over plain dicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.stripe.fields import Object, Reduced, at, part, rows
from connectors.stripe.purchase import customer_of, keys_of, named
from connectors.stripe.reversals import Reversal, judged, reduced_reversal
from connectors.stripe.shapes import reduced_session
from hub.domain import Customer, Flag, Line, Purchase, Ref, Standing
from hub.errors import UnreadableError
from hub.ports import Found

# docs.stripe.com/api/checkout/sessions/object, `payment_status` of a completed session (stripe 16.1.0). Open set.
PAID = {"paid": Standing.CURRENT, "no_payment_required": Standing.CURRENT, "unpaid": Standing.PENDING}
_LOOKS_LIKE_AN_ID = "price_"


def to_purchase(source: str, session: Object, *, reversals: Sequence[Object] = ()) -> Purchase:
    """What the session sold. `lines` is empty where it does not say what (see `tells_lines`).

    Objects in any shape, or reduced ones. UnreadableError where one is malformed.
    """
    facts, cases = reduced_session(session), judged(reversals)
    standing, status = standing_of(facts)
    return Purchase(
        ref=Ref(source=source, kind="checkout", id=facts["id"]),
        customer=_buyer(facts),
        lines=tuple(_lines(facts, cases, failed=standing is Standing.ENDED)),
        standing=standing,
        status=status,
        bought_at=at(facts["created"]),
        metadata=facts["texts"],
        flags=tuple(_flags(facts, cases)),
    )


def found(source: str, session: Object, *, reversals: Sequence[Object] = ()) -> Found:
    """The purchase, and what was seen: `from_seen` gives the same purchase again."""
    seen = reduced_session(session)
    if seen["customer"]:
        seen["customer"] = named(seen["customer"])
    cases = [reduced_reversal(reversal) for reversal in reversals]
    purchase = to_purchase(source, seen, reversals=cases)
    what: Reduced = {"session": seen}
    return Found(purchase=purchase, seen=what | ({"reversals": cases} if cases else {}))


def from_seen(source: str, seen: Object) -> Purchase:
    """The purchase that a look's observation stands for."""
    return to_purchase(source, part(seen, "session"), reversals=rows(seen, "reversals"))


def tells_lines(session: Reduced) -> bool:
    """Whether a reduced session says what was bought: by its line items, or by the metadata keys."""
    return session["line_items"] is not None or session["metadata"]["price"] is not None


def standing_of(session: Reduced) -> tuple[Standing, str]:
    """How the sale stands, and the same in words.

    Money that is still to come (a delayed payment method) grants nothing; money that failed to come ends the sale.
    """
    if session["status"] != "complete":
        return Standing.PENDING, f"a checkout that is {session['status']}"
    if session["payment_failed"]:
        return Standing.ENDED, "payment failed"
    status = session["payment_status"] or ""
    waiting = status == "unpaid"
    words = "waiting for its payment (delayed payment method)" if waiting else status.replace("_", " ")
    return PAID.get(status, Standing.UNKNOWN), words


def _buyer(session: Reduced) -> Customer:
    """The customer; a guest is known by the session, so that a license can exist."""
    if session["customer"] is None:
        return Customer(id=session["id"], name=session["name"])
    customer = dict(session["customer"])
    customer["name"] = customer["name"] or session["name"]
    return customer_of(customer)


def _lines(session: Reduced, cases: Sequence[Reversal], *, failed: bool) -> Iterator[Line]:
    back = "the payment failed" if failed else next((case.back for case in cases if case.back), "")
    rows_ = session["line_items"] if session["line_items"] is not None else _named_by_metadata(session)
    prices = [row["price"]["id"] for row in rows_]
    for row in rows_:
        credits_ = _credits(row, cases) if prices.count(row["price"]["id"]) == 1 else (0, "")
        yield Line(
            id=row["id"],
            keys=keys_of(row["price"]),
            sku=row["price"]["lookup_key"],
            quantity=None if row["quantity"] is None else max(0, row["quantity"] - credits_[0]),
            because=f"bought once with checkout {session['id']}: the offering's own term stands",
            metadata=row["price"]["texts"],
            once=True,
            reversed=back or credits_[1],
        )


def _credits(row: Reduced, cases: Sequence[Reversal]) -> tuple[int, str]:
    """(units credited, why all of it was) of a line, by the lines of the session's invoice, if one was made."""
    for case in cases:
        for line in (case.invoice or {"lines": ()})["lines"]:
            price = (line["once"] or {}).get("id") or line["price"]
            if price is None or price != row["price"]["id"]:
                continue
            if case.whole(line):
                return 0, f"its line of {case.name} was credited in full"
            return case.units(line), ""
    return 0, ""


def _flags(session: Reduced, cases: Sequence[Reversal]) -> Iterator[Flag]:
    prices = {row["price"]["id"] for row in session["line_items"] or ()}
    for case in cases:
        yield from case.flags
        lines = [line for line in (case.invoice or {"lines": ()})["lines"] if line["id"] in case.credits]
        sold = [line for line in lines if ((line["once"] or {}).get("id") or line["price"]) in prices]
        vague = len(sold) != len(case.credits) or any(case.vague(line) for line in sold)
        if not case.back and vague:
            text = f"part of {case.name} was credited, but not of seats: nothing was changed for it"
            yield Flag(kind="partial refund", text=text)


def _named_by_metadata(session: Reduced) -> list[Reduced]:
    """What the seller's metadata says was bought: `price` (an id or lookup key), `quantity` (1 where absent)."""
    price, quantity = session["metadata"]["price"], session["metadata"]["quantity"] or "1"
    if price is None:
        return []
    if not quantity.isdecimal() or len(quantity) > 9:  # noqa: PLR2004
        raise UnreadableError("metadata quantity is no count")
    key = None if price.startswith(_LOOKS_LIKE_AN_ID) else price
    facts = {"id": price, "lookup_key": key, "product": None, "metadata": {"sku": None}, "texts": {}}
    return [{"id": session["id"], "quantity": int(quantity), "price": facts}]
