"""What the emulated store holds, and what people and time do to it. Knows no HTTP; tells events through `tell`.

Business time. Money is there for show. What is marked inferred nobody has seen documented.
"""

from __future__ import annotations

import calendar
import random
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Obj = dict[str, Any]
Tell = Callable[[str, Obj], None]
_LETTERS = string.ascii_letters + string.digits + "-_"
OVERDUE_NOTICES = 4
DAY = timedelta(days=1)


def ms(moment: datetime) -> int:
    """Epoch milliseconds."""
    return int(moment.timestamp() * 1000)


def midnight(moment: datetime) -> datetime:
    """The day of the moment, as FastSpring keeps days: its midnight in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def later(day: datetime, unit: str, length: int, times: int) -> datetime:
    """So many intervals after `day`: in a shorter month its last day."""
    if unit in {"day", "week"}:
        return day + DAY * (length * times * (7 if unit == "week" else 1))
    year, month = divmod(day.year * 12 + day.month - 1 + length * times * (12 if unit == "year" else 1), 12)
    return day.replace(year=year, month=month + 1, day=min(day.day, calendar.monthrange(year, month + 1)[1]))


class Books:
    """Accounts, orders, subscriptions and returns, and the rules by which time moves them."""

    def __init__(self, now: Callable[[], datetime], tell: Tell, *, live: bool, seed: int) -> None:
        self.now, self.tell, self.live = now, tell, live
        self.random = random.Random(seed)
        self.accounts: dict[str, Obj] = {}
        self.orders: dict[str, Obj] = {}
        self.subscriptions: dict[str, Obj] = {}
        self.returns: dict[str, Obj] = {}
        self.cards: dict[str, bool] = {}

    def new_id(self) -> str:
        """22 characters, as FastSpring's are."""
        return "".join(self.random.choice(_LETTERS) for _ in range(22))

    # -- people

    def account(self, company: str = "", first: str = "Ada", custom: str | None = None) -> Obj:
        """A new buyer."""
        id_ = self.new_id()
        contact = {"first": first, "last": "Byron", "email": f"{id_.lower()}@example.com", "company": company or None}
        self.accounts[id_] = {
            "id": id_,
            "account": id_,
            "contact": contact,
            "lookup": {"global": self.new_id()} | ({"custom": custom} if custom else {}),
            "language": "en",
            "country": "US",
        }
        return self.accounts[id_]

    def draft(self, account: str, items: list[Obj], *, live: bool | None = None) -> Obj:
        """An order whose payment has not come yet, with the subscriptions that it will begin."""
        id_, live = self.new_id(), self.live if live is None else live
        order = {
            "order": id_,
            "id": id_,
            "reference": f"SHOP{self.now():%y%m%d}-{self.random.randint(1000, 9999)}-{len(self.orders):05d}",
            "completed": False,
            "changed": ms(self.now()),
            "live": live,
            "currency": "USD",
            "account": account,
            "customer": dict(self.accounts[account]["contact"]),
            "total": 10.5 * len(items),
            "tags": {},
            "items": [self._item(id_, account, item, live=live) for item in items],
        }
        self.orders[id_] = order
        return order

    def complete(self, order: Obj) -> None:
        """The payment has come: told with what the order began."""
        order |= {"completed": True, "changed": ms(self.now())}
        self.tell("order.completed", order)
        for item in order["items"]:
            if "subscription" in item:
                self.tell("subscription.activated", self.subscriptions[item["subscription"]])

    def fail(self, order: Obj, how: str) -> None:
        """`how`: canceled or failed."""
        order |= {"completed": False, "status": how, "changed": ms(self.now())}  # status: inferred
        self.tell(f"order.{how}", order)

    def update(self, id_: str, values: Obj) -> None:
        """The seller edits a subscription: product, quantity, next."""
        one = self.subscriptions[id_]
        one |= values | {"changed": ms(self.now())}
        self.tell("subscription.updated", one)

    def cancel(self, id_: str, *, now: bool = False) -> None:
        """Canceled for the end of the term; `now`: deactivated at once, which is not told as canceled."""
        one = self.subscriptions[id_]
        if now:
            self._deactivate(one)
            return
        ends = datetime.fromtimestamp(one["next"] / 1000, UTC) - DAY  # seen: the day before `next`
        one |= {"state": "canceled", "canceledDate": ms(midnight(self.now())), "deactivationDate": ms(ends)}
        if one["intervalUnit"] != "adhoc":
            self.tell("subscription.canceled", one)

    def uncancel(self, id_: str) -> None:
        """The cancellation is undone."""
        one = self.subscriptions[id_]
        one |= {"state": "active", "canceledDate": None, "deactivationDate": None, "changed": ms(self.now())}
        self.tell("subscription.uncanceled", one)

    def pause(self, id_: str) -> None:
        """From the next rebill on (inferred: that the state changes then)."""
        one = self.subscriptions[id_]
        one |= {"pauseScheduled": True, "changed": ms(self.now())}
        self.tell("subscription.paused", one)
        self.tell("subscription.updated", one)

    def resume(self, id_: str) -> None:
        """It goes on, and is charged on the spot."""
        one = self.subscriptions[id_]
        one |= {"state": "active", "pauseScheduled": False, "next": ms(midnight(self.now()))}
        self.tell("subscription.resumed", one)
        self._rebill(one)

    def give_back(self, order: str, items: list[Obj], *, completed: bool = True) -> Obj:
        """Items of an order: each with product, quantity and `returned` (full, partial; absent before 2023)."""
        id_, sold = self.new_id(), self.orders[order]
        back = {
            "return": id_,
            "reference": f"{sold['reference']}D",
            "completed": completed,
            "changed": ms(self.now()),
            "live": sold["live"],
            "account": sold["account"],
            "original": {"id": order, "order": order, "reference": sold["reference"]},
            "items": items,
        }
        self.returns[id_] = back
        self.tell("return.created", back)
        return back

    # -- time

    def tick(self, now: datetime) -> None:
        """Everything that is due by `now`: rebills, further tries, deactivations."""
        for one in list(self.subscriptions.values()):
            if one["active"] and one["deactivationDate"] and ms(now) >= one["deactivationDate"] + ms_of(DAY):
                self._deactivate(one)
            elif one["active"] and one["next"] and ms(now) >= one["next"] and one["state"] in {"active", "trial"}:
                self._pause(one) if one.get("pauseScheduled") else self._rebill(one)
            elif one["active"] and one["state"] == "overdue":
                self._dun(one, now)

    def entries(self, id_: str) -> list[Obj]:
        """The terms that were paid, oldest first, each with its order."""
        return self.subscriptions[id_]["_entries"]  # type: ignore[no-any-return]

    def _item(self, order: str, account: str, item: Obj, *, live: bool) -> Obj:
        known = {"product": item["product"], "quantity": item.get("quantity", 1), "sku": None, "fulfillments": {}}
        if not item.get("interval"):
            return known
        return known | {"subscription": self._begin(order, account, item, live=live)["id"]}

    def _begin(self, order: str, account: str, item: Obj, *, live: bool) -> Obj:
        id_, begin = self.new_id(), midnight(self.now())
        trial, unit = item.get("trial_days", 0), item["interval"]
        first = begin + DAY * trial if trial else later(begin, unit, 1, 1) if unit != "adhoc" else None
        one = {
            "id": id_,
            "subscription": id_,
            "active": True,
            "state": "trial" if trial else "active",
            "changed": ms(self.now()),
            "live": live,
            "account": account,
            "product": item["product"],
            "sku": None,
            "quantity": item.get("quantity", 1),
            "adhoc": unit == "adhoc",
            "autoRenew": True,
            "price": 10.5,
            "begin": ms(begin),
            "next": ms(first) if first else None,
            "end": None,
            "canceledDate": None,
            "deactivationDate": None,
            "sequence": 1,
            "intervalUnit": unit,
            "intervalLength": 1,
            "initialOrderId": order,
            "paymentOverdue": {"total": OVERDUE_NOTICES, "sent": 0},
            "addons": item.get("addons", []),
            "_entries": [{"order": {"id": order}, "endPeriodDate": ms(first) if first else None}],
            "_anchor": first or begin,
        }
        self.subscriptions[id_] = one
        return one

    def _rebill(self, one: Obj) -> None:
        if not self.cards.get(one["account"], True):
            one |= {"state": "overdue", "_tried": self.now()}
            self.tell("subscription.charge.failed", self._charge(one, None, "failed") | {"reason": "EXPIRED_CARD"})
            return
        item = {"product": one["product"], "quantity": one["quantity"], "subscription": one["id"], "fulfillments": {}}
        order = self.draft(one["account"], [], live=one["live"]) | {"completed": True, "items": [item]}
        order["reference"] += "B"
        self.orders[order["id"]] = order
        day = datetime.fromtimestamp((one["next"] or 0) / 1000, UTC)
        if one["intervalUnit"] != "adhoc":
            times = 1 + sum(later(one["_anchor"], one["intervalUnit"], 1, n) <= day for n in range(1, 500))
            one["next"] = ms(later(one["_anchor"], one["intervalUnit"], one["intervalLength"], times))
        one |= {"state": "active", "sequence": one["sequence"] + 1, "paymentOverdue": {"total": 4, "sent": 0}}
        one["_entries"].append({"order": {"id": order["id"]}, "endPeriodDate": one["next"]})
        self.tell("subscription.charge.completed", self._charge(one, order, "successful"))

    def _charge(self, one: Obj, order: Obj | None, status: str) -> Obj:
        known = {"status": status, "timestamp": ms(self.now()), "sequence": one["sequence"], "account": one["account"]}
        return known | {"subscription": one["id"]} | ({"order": order["id"]} if order else {})

    def _dun(self, one: Obj, now: datetime) -> None:
        if now - one["_tried"] < 7 * DAY:
            return
        one["_tried"] = now
        if self.cards.get(one["account"], True):
            self._rebill(one)
            return
        sent = one["paymentOverdue"]["sent"] + 1
        one["paymentOverdue"] = {"total": OVERDUE_NOTICES, "sent": sent}
        self.tell("subscription.payment.overdue", one)
        if sent >= OVERDUE_NOTICES:
            self._deactivate(one)

    def _pause(self, one: Obj) -> None:
        one |= {"state": "paused", "changed": ms(self.now())}
        self.tell("subscription.updated", one)

    def _deactivate(self, one: Obj) -> None:
        one |= {"active": False, "state": "deactivated", "next": None, "changed": ms(self.now())}
        self.tell("subscription.deactivated", one)


def ms_of(step: timedelta) -> int:
    """Milliseconds."""
    return int(step.total_seconds() * 1000)
