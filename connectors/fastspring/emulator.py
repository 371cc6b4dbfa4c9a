"""A double of FastSpring over HTTP: its API, its webhooks, and the form that asks for activation codes.

Never imported by the hub. What people do is an admin call (`/_sandbox/<name>`, README.md); business time moves by
`advance`. Answers of `/subscriptions` and the like are as the API gives them: ids for what is linked.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import time
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import urllib3
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply
from connectors.fastspring.emulator_books import Books, Obj, ms
from connectors.fastspring.emulator_webhooks import Deliveries, Event

EVENTS_PAGE = 25
OLDEST_MS = 30 * 86_400_000


class FastSpringEmulator(Emulator):
    """One store. `expansion`: whether events carry whole objects where they link others."""

    routes = Map(
        [
            Rule("/subscriptions", endpoint="listed", defaults={"kind": "subscriptions"}),
            Rule("/orders", endpoint="listed", defaults={"kind": "orders"}),
            Rule("/subscriptions/<id_>/entries", endpoint="entries"),
            Rule("/subscriptions/<ids>", endpoint="many", defaults={"kind": "subscriptions"}),
            Rule("/orders/<ids>", endpoint="many", defaults={"kind": "orders"}),
            Rule("/accounts/<ids>", endpoint="many", defaults={"kind": "accounts"}),
            Rule("/returns/<ids>", endpoint="many", defaults={"kind": "returns"}),
            Rule("/events/<any(processed, unprocessed):which>", endpoint="events_of", methods=["GET"]),
            Rule("/events/<id_>", endpoint="mark", methods=["POST"]),
        ]
    )

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        username: str = "sandbox",
        password: str = "sandbox-password",  # noqa: S107 (the sandbox's)
        live: bool = True,
        expansion: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(clock or Clock())
        self._pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.expansion, self.lag_s, self.newest_first = expansion, 0.0, False
        self.books = Books(self.clock.now, self._tell, live=live, seed=seed)
        self.deliveries = Deliveries(seed)
        self.events: list[Event] = []
        self._fulfillment: Obj = {}
        self._born: dict[str, float] = {}
        self._http = urllib3.PoolManager(retries=False)
        self.clock.on_move(self._tick)

    # -- API

    def answer(self, request: Request) -> Response:
        """401 unless the credentials are right."""
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Basic {self._pair}".encode()):
            return self.refuse(401, "credentials are missing or wrong")
        with self.lock:
            return super().answer(request)

    def refuse(self, status: int, message: str) -> Response:
        """As FastSpring tells errors: an object of field -> message."""
        return reply({"action": "request", "result": "error", "error": {"request": message}}, status)

    def listed(self, request: Request, kind: str) -> Obj:
        """A page of ids."""
        page, limit = int(request.args.get("page", 1)), int(request.args.get("limit", 50))
        ids = [id_ for id_ in self._kept(kind) if self._shows(id_)]
        after = ids[page * limit :]
        told = {"action": f"{kind[:-1]}.getall", "result": "success", "page": page, "limit": limit}
        return told | {"nextPage": page + 1 if after else None, kind: ids[(page - 1) * limit : page * limit]}

    def many(self, request: Request, kind: str, ids: str) -> Response:
        """One object by itself, several in a list; one that is not known, or not yet, is an error of its row."""
        wanted, kept, name = ids.split(","), self._kept(kind), kind[:-1]
        rows = [
            _plain(kept[id_])
            if id_ in kept and self._shows(id_)
            else {"action": f"{name}.get", name: id_, "result": "error", "error": {name: "Not found"}}
            for id_ in wanted
        ]
        if all(row.get("result") == "error" for row in rows):
            return reply({kind: rows}, 400)
        return reply(rows[0] if len(rows) == 1 else {kind: rows})

    def entries(self, request: Request, id_: str) -> Response:
        """The orders of a subscription."""
        return reply(self.books.entries(id_)) if id_ in self.books.subscriptions else self.refuse(400, "Not found")

    def events_of(self, request: Request, which: str) -> Response:
        """25 at a time, in either order: which of them is the vendor's is documented nowhere."""
        oldest, now = ms(self.clock.now()) - OLDEST_MS, ms(self.clock.now())
        if "days" in request.args:
            begin = now - int(request.args["days"]) * 86_400_000
        elif "begin" in request.args:
            begin = int(request.args["begin"])
        else:
            return reply({"action": "events.get", "result": "error", "error": {"begin": "Begin required."}}, 400)
        if begin < oldest:
            said = f"Begin must be after '{oldest}'"
            return reply({"action": "events.get", "result": "error", "error": {"begin": said}}, 400)
        end = int(request.args.get("end", now))
        found = [
            one
            for one in self.events
            if one.processed is (which == "processed") and begin <= one.created <= end and self._shows(one.id)
        ]
        found.sort(key=lambda one: one.created, reverse=self.newest_first)
        rows = [one.render() for one in found[:EVENTS_PAGE]]
        more = {"more": True} if len(found) > EVENTS_PAGE else {}
        return reply({"action": "events.get", "result": "success", "total": len(found), "events": rows} | more)

    def mark(self, request: Request, id_: str) -> Response:
        """Marks an event processed: it is posted no more, and listed as such."""
        one = next((one for one in self.events if one.id == id_), None)
        if one is None:
            return self.refuse(400, "Not found")
        one.processed = bool((request.get_json(silent=True) or {}).get("processed"))
        return reply({"action": "event.update", "result": "success", "event": id_})

    # -- what people do

    def state(self) -> Obj:
        """Everything that is held."""
        kinds = ("accounts", "orders", "subscriptions", "returns")
        kept = {kind: [_plain(one) for one in self._kept(kind).values()] for kind in kinds}
        return kept | {"events": [one.render() for one in self.events]}

    def admin(self, name: str, body: Obj) -> Any:  # noqa: ANN401
        """See README.md."""
        if name == "drain":
            return self.deliveries.drain(body.get("timeout_s", 30))
        if name in {"deliver", "delivery", "webhook"}:
            self.deliveries.configure(body)
            return {"ok": True}
        if name == "buy":
            return self._buy(**body)  # asks the hub for codes: without the lock, the hub may be reading
        with self.lock:
            return self._act(name, dict(body))

    def _act(self, name: str, body: Obj) -> Any:  # noqa: ANN401
        books = self.books
        match name:
            case "update":
                books.update(body.pop("subscription"), body)
            case "cancel" | "deactivate":
                books.cancel(body["subscription"], now=name == "deactivate")
            case "uncancel" | "pause" | "resume":
                getattr(books, name)(body["subscription"])
            case "return":
                return _plain(books.give_back(body.pop("order"), body.pop("items"), **body))
            case "order_off":
                books.fail(books.orders[body["order"]], body["how"])
            case "card":
                books.cards[body["account"]] = body["ok"]
            case "resend":
                return self._resend(body["events"])
            case "expansion":
                self.expansion = body["on"]
            case "lag":
                self.lag_s = body["seconds"]
            case "fulfillment":
                self._fulfillment = body
            case _:
                raise KeyError(name)
        return {"ok": True}

    def _buy(
        self,
        items: list[Obj],
        account: str | None = None,
        company: str = "",
        custom: str | None = None,
        live: bool | None = None,  # noqa: FBT001
    ) -> Obj:
        """A buyer pays: each item asks for its activation code before the order is told, as FastSpring does."""
        with self.lock:
            buyer = account or self.books.account(company, custom=custom)["id"]
            order = self.books.draft(buyer, items, live=live)
        for item in order["items"]:
            self._ask(order, item)
        with self.lock:
            self.books.complete(order)
            return _plain(order)

    def _ask(self, order: Obj, item: Obj) -> None:
        if not self._fulfillment.get("url"):
            return
        form = {
            "product": item["product"],
            "order": order["id"],
            "reference": order["reference"],
            "subscription": item.get("subscription", ""),
            "quantity": str(item["quantity"]),
            "email": order["customer"]["email"],
            "test": "false" if order["live"] else "true",
        }
        body = urlencode(form | {"security_request_hash": request_hash(form, self._fulfillment["key"])})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "FS"}
        answer = self._http.request("POST", self._fulfillment["url"], body=body, headers=headers, timeout=10)
        text = answer.data.decode().strip()
        if answer.status == 200:
            item["fulfillments"] = {f"{item['product']}_license": [{"license": text, "display": "License Key"}]}
            return
        with self.lock:
            self.books.tell("fulfillment.failed", {"order": order["id"], "live": order["live"], "reason": text[:200]})

    def _resend(self, events: list[str]) -> list[str]:
        """By hand: the same events under new ids, as FastSpring's console does it."""
        olds = [one for one in self.events if one.id in events]
        return [self._event(old.type, partial(_data, old), old.live) for old in olds]

    # -- events

    def _tell(self, type_: str, about: Obj) -> None:
        self._born.setdefault(str(about.get("id") or about.get("return")), time.monotonic())
        live = about.get("live", self.books.live)
        frozen = copy.deepcopy({name: value for name, value in about.items() if not name.startswith("_")})
        self._event(type_, lambda: self._expanded(frozen), live)

    def _event(self, type_: str, data: Any, live: bool) -> str:  # noqa: ANN401, FBT001
        id_, created = self.books.new_id(), ms(self.clock.now())

        def render() -> Obj:
            told = {"id": id_, "processed": event.processed, "created": event.created, "type": type_, "live": live}
            with self.lock:
                return told | {"data": data()}

        event = Event(id_, type_, created, live, render)
        self._born[id_] = time.monotonic()
        self.events.append(event)
        self.deliveries.send(event)
        return id_

    def _expanded(self, about: Obj) -> Obj:
        """The object, with what it links as ids or, with expansion on, as whole objects."""
        if not self.expansion:
            return about
        found = dict(about)
        for name, kind in (("account", "accounts"), ("order", "orders"), ("subscription", "subscriptions")):
            linked, own = found.get(name), found.get("id")
            if isinstance(linked, str) and linked != own and linked in self._kept(kind):
                found[name] = _plain(self._kept(kind)[linked])
        if "state" in found:
            found["product"] = {"product": found["product"], "display": {"en": found["product"]}}
        if "items" in found and "original" not in found:
            found["items"] = [self._with_subscription(item) for item in found["items"]]
        return found

    def _with_subscription(self, item: Obj) -> Obj:
        linked = self.books.subscriptions.get(item.get("subscription", ""))
        return item | {"subscription": _plain(linked)} if linked else item

    def _kept(self, kind: str) -> dict[str, Obj]:
        kept: dict[str, Obj] = getattr(self.books, kind)
        return kept

    def _shows(self, id_: str) -> bool:
        """Whether the API has it yet: reads are behind by `lag`."""
        return time.monotonic() - self._born.get(id_, 0.0) >= self.lag_s

    def _tick(self, now: datetime) -> None:
        with self.lock:
            self.books.tick(now)


def _data(event: Event) -> Obj:
    """What the event carries."""
    return dict(event.render()["data"])


def request_hash(form: dict[str, str], key: str) -> str:
    """`security_request_hash`: MD5 of the values, sorted by name, and the private key ("License Keys")."""
    values = "".join(form[name] for name in sorted(form))
    return hashlib.md5((values + key).encode(), usedforsecurity=False).hexdigest()


def _plain(one: Obj) -> Obj:
    """The object without the emulator's own notes."""
    return copy.deepcopy({name: value for name, value in one.items() if not name.startswith("_")})
