"""Money: payment intents and their charges, refunds, disputes, early fraud warnings, and the events these raise.

Behavior after commerce reference §1.5-1.6 (read 2026-09-27); what is inferred says so. Knows no invoice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from connectors.stripe import emulator_objects as objects
from connectors.stripe.emulator_books import Books, Refusal, need
from connectors.stripe.emulator_objects import Obj

Outcome: TypeAlias = Literal["succeeded", "failed", "pending"]
_EVENTS: dict[Outcome, tuple[str, str]] = {
    "succeeded": ("charge.succeeded", "payment_intent.succeeded"),
    "failed": ("charge.failed", "payment_intent.payment_failed"),
    "pending": ("charge.pending", "payment_intent.processing"),
}
OPEN_DISPUTES = ("needs_response", "under_review", "warning_needs_response", "warning_under_review", "prevented")
APPEALS = ("appeal_needs_response", "appeal_under_review")  # of a dispute that was lost
CLOSED_DISPUTES = ("won", "lost", "warning_closed", "prevented")


class Payments:
    """The account's money. `lost` hears of each charge whose dispute is lost."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.cards: dict[str, bool | None] = {}  # customer -> payments succeed, fail, or (None) there is no card
        self.lost: Callable[[Obj], None] = lambda _charge: None

    def pays(self, customer: str | None) -> bool:
        """Whether a payment of this customer succeeds now."""
        return bool(self.cards.get(customer or "", True))

    # Attempts

    def intend(
        self, amount: int, currency: str, customer: str | None, metadata: Obj | None = None, more: Obj | None = None
    ) -> Obj:
        """A payment intent that nobody has tried to pay, with `more` of its fields."""
        id_, now = self.books.new_id("pi_"), self.books.now
        value = objects.payment_intent(
            id_, amount, currency, customer, metadata or {}, now, livemode=self.books.livemode
        )
        self.books.happened("payment_intent.created", self.books.add("payment_intents", value | (more or {})))
        return self.books.get("payment_intents", id_)

    def attempt(self, intent: Obj, outcome: Outcome, payer: Obj) -> Obj:
        """A new charge of `intent`, with this outcome; `payer` has email and name."""
        books = self.books
        charge = objects.charge(books.new_id("ch_"), intent, payer, books.now)
        if "_invoice" in intent:
            charge["_invoice"] = intent["_invoice"]
        books.add("charges", charge)
        with books.updating(intent):
            intent["latest_charge"] = charge["id"]
        self._end_attempt(intent, charge, outcome)
        return charge

    def resolve(self, intent: Obj, *, ok: bool) -> None:
        """The delayed means of payment has brought the money, or not."""
        charge = self.books.get("charges", intent["latest_charge"])
        if charge["status"] != "pending":
            raise Refusal(400, f"This payment is {charge['status']}.")
        self._end_attempt(intent, charge, "succeeded" if ok else "failed")

    def _end_attempt(self, intent: Obj, charge: Obj, outcome: Outcome) -> None:
        ok, failed = outcome == "succeeded", outcome == "failed"
        took = intent["amount"] if ok else 0
        with self.books.updating(charge):
            charge |= {"status": outcome, "paid": ok, "captured": ok, "amount_captured": took}
            charge["failure_code"] = "card_declined" if failed else None
            charge["failure_message"] = "Your card was declined." if failed else None
        with self.books.updating(intent):
            states = {"succeeded": "succeeded", "failed": "requires_payment_method", "pending": "processing"}
            intent |= {"status": states[outcome], "amount_received": took}
            intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"} if failed else None
        of_charge, of_intent = _EVENTS[outcome]
        self.books.happened(of_charge, charge)
        self.books.happened(of_intent, intent)

    # Refunds

    def refund(self, params: Obj) -> Obj:
        """Refunds a charge (named by itself or by its payment intent) in full or in part."""
        charge = self._charge_to_refund(params)
        amount = self._refundable(charge, params.get("amount"))
        books = self.books
        value = books.add("refunds", objects.refund(books.new_id("re_"), charge, amount, params, books.now))
        books.happened("refund.created", value)
        with books.updating(charge, "charge.refunded"):
            charge["_refunds"].append(value)
            self._count_refunds(charge)
        self._review_warnings(charge)
        return value

    def _charge_to_refund(self, params: Obj) -> Obj:
        if params.get("charge"):
            return self.books.get("charges", params["charge"], param="charge")
        need(params, "payment_intent")
        intent = self.books.get("payment_intents", params["payment_intent"], param="payment_intent")
        if not intent["latest_charge"]:
            raise Refusal(400, f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        return self.books.get("charges", intent["latest_charge"])

    def _refundable(self, charge: Obj, wanted: str | None) -> int:
        left = int(charge["amount_captured"] - charge["amount_refunded"])
        if charge["_dispute"] and not self.books.get("disputes", charge["_dispute"])["is_charge_refundable"]:
            raise Refusal(
                400, f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
            )
        if charge["refunded"]:
            raise Refusal(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        amount = int(wanted or left)
        if not 0 < amount <= left:
            raise Refusal(400, "Refund amount is greater than unrefunded amount on charge.", param="amount")
        return amount

    def update_refund(self, id_: str, params: Obj) -> Obj:
        value = self.books.get("refunds", id_)
        with self.books.updating(value, "refund.updated", "charge.refund.updated"):
            value["metadata"] = value["metadata"] | (params.get("metadata") or {})
        return value

    def fail_refund(self, id_: str) -> Obj:
        """The bank sent the money back: the refund failed after it had succeeded, and the charge stands again."""
        value = self.books.get("refunds", id_)
        if value["status"] == "failed":
            raise Refusal(400, "This refund has failed already.")
        with self.books.updating(value, "refund.updated", "charge.refund.updated", "refund.failed"):
            value |= {"status": "failed", "failure_reason": "unknown", "failure_balance_transaction": None}
        charge = self.books.get("charges", value["charge"])
        with self.books.updating(charge, "charge.updated"):
            self._count_refunds(charge)
        return value

    @staticmethod
    def _count_refunds(charge: Obj) -> None:
        charge["amount_refunded"] = sum(each["amount"] for each in charge["_refunds"] if each["status"] != "failed")
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]

    # Disputes

    def dispute(self, charge_id: str, status: str, reason: str, amount: int | None = None) -> Obj:
        """Opens a dispute over an amount (None: all that was paid).

        But for an inquiry (`warning_...`) and `prevented` the money is withdrawn.
        """
        charge = self.books.get("charges", charge_id)
        if status not in OPEN_DISPUTES or not charge["paid"] or charge["disputed"]:
            raise Refusal(400, f"{charge_id} can't be disputed with status {status}.")
        value = objects.dispute(
            self.books.new_id("dp_"),
            charge,
            charge["amount"] if amount is None else amount,
            status,
            reason,
            self.books.now,
        )
        self.books.add("disputes", value)
        with self.books.updating(charge, "charge.updated"):
            charge |= {"disputed": True, "_dispute": value["id"]}
        self.books.happened("charge.dispute.created", value)
        if _takes_money(status):
            self._move_money(value, "charge.dispute.funds_withdrawn", -value["amount"])
        self._review_warnings(charge)
        return value

    def update_dispute(self, id_: str, status: str) -> Obj:
        """The dispute goes on; an inquiry that becomes a chargeback withdraws the money. A lost one can be appealed."""
        value = self._dispute_going_on(id_, appealed=status in APPEALS)
        if status not in (*OPEN_DISPUTES, *APPEALS):
            raise Refusal(400, f"A dispute does not go on as {status}.")
        withdraws = _takes_money(status) and not _takes_money(value["status"])
        with self.books.updating(value, "charge.dispute.updated"):
            value |= {"status": status, "is_charge_refundable": status.startswith("warning_")}
        if withdraws:
            self._move_money(value, "charge.dispute.funds_withdrawn", -value["amount"])
        return value

    def close_dispute(self, id_: str, status: str) -> Obj:
        """The dispute ends; won, the money comes back."""
        value = self._dispute_going_on(id_)
        if status not in CLOSED_DISPUTES:
            raise Refusal(400, f"A dispute does not end as {status}.")
        with self.books.updating(value):
            value |= {"status": status, "is_charge_refundable": status != "lost"}
        self.books.happened("charge.dispute.closed", value)
        if status == "won" and value["balance_transactions"]:
            self._move_money(value, "charge.dispute.funds_reinstated", value["amount"])
        if status == "lost":
            self.lost(self.books.get("charges", value["charge"]))
        return value

    def _dispute_going_on(self, id_: str, *, appealed: bool = False) -> Obj:
        """A dispute that is not decided; to be `appealed`, one that was lost."""
        value = self.books.get("disputes", id_)
        if value["status"] not in (("lost", *APPEALS) if appealed else (*OPEN_DISPUTES, *APPEALS)):
            raise Refusal(400, f"This dispute is {value['status']}.")
        return value

    def _move_money(self, value: Obj, type_: str, amount: int) -> None:
        with self.books.updating(value):
            value["balance_transactions"].append(
                {"id": self.books.new_id("txn_"), "object": "balance_transaction", "amount": amount}
            )
        self.books.happened(type_, value)

    # Early fraud warnings

    def warn(self, charge_id: str, fraud_type: str) -> Obj:
        """The card network suspects fraud; no money has moved."""
        charge = self.books.get("charges", charge_id)
        value = objects.early_fraud_warning(self.books.new_id("issfr_"), charge, fraud_type, self.books.now)
        self.books.happened("radar.early_fraud_warning.created", self.books.add("radar/early_fraud_warnings", value))
        return value

    def _review_warnings(self, charge: Obj) -> None:
        for value in self.books.find("radar/early_fraud_warnings", charge=charge["id"]):
            with self.books.updating(value, "radar.early_fraud_warning.updated"):
                value["actionable"] = not charge["refunded"] and not charge["disputed"]


def _takes_money(status: str) -> bool:
    return not status.startswith("warning_") and status != "prevented"
