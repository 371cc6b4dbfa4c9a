"""A stateful double of Stripe's API, with a business clock, signed webhooks and Stripe's unkindness.

    with serving(stripe := StripeEmulator()) as url:
        client = StripeClient("sk_test_sandbox", base_addresses={"api": url})

This file is the front: keys, accounts, repeated requests, admin calls. Behind it, each for one reason to change:

    emulator_api            routes: what is read and written where
    emulator_wire           parameters, pages, filters
    emulator_billing        one account put together, its customers and catalog
    emulator_subscriptions, _schedules, _quotes, _invoices, _manual, _credit_notes, _payments, _intents, _checkout
                            what Stripe does, and the events this raises
    emulator_methods        test cards and bank debits, and how a payment with each goes
    emulator_books          objects, lists, read lag, timers, events
    emulator_objects, _shapes, _thin    what is told: the objects, older spellings, thin events
    emulator_webhooks       delivery

The admin calls are told in README.md, section "Emulator". Facts: commerce reference §1 (read 2026-09-27) and
stripe 16.1.0.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply
from connectors.stripe.emulator_api import Api
from connectors.stripe.emulator_billing import Billing
from connectors.stripe.emulator_books import Asked, Books, Record, Refusal, missing
from connectors.stripe.emulator_objects import Obj
from connectors.stripe.emulator_shapes import API_VERSIONS, Shape, shaped
from connectors.stripe.emulator_subscriptions import FINALS
from connectors.stripe.emulator_webhooks import Deliveries, Endpoint

KEPT_KEYS = 50_000  # answers kept for Idempotency-Key; Stripe keeps them for 24 hours
ERROR_TYPES = {429: "invalid_request_error", 409: "idempotency_error"}


class StripeEmulator(Emulator):
    """The API under /v1 and /v2, admin calls under /_sandbox/ and as methods of the same names.

    `shape` is the account's API version: legacy emits AND serves what 2020-08-27 did. `deliveries` sends the
    webhooks, `billing` is the platform's own account; connected accounts (`Stripe-Account`, `Stripe-Context`)
    hold their own objects and are there as soon as they are named.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        api_key: str = "sk_test_sandbox",
        livemode: bool = True,
        shape: Shape = "current",
        seed: int = 0,
    ) -> None:
        super().__init__(clock or Clock())
        self.api_key, self.livemode, self.shape, self.seed = api_key, livemode, shape, seed
        self.deliveries = Deliveries()
        self._apis: dict[str | None, Api] = {}
        self.billing = self._api(None).billing
        self._answers: OrderedDict[tuple[str | None, str], tuple[str, Response]] = OrderedDict()
        self._request_ids = 0
        self.clock.on_move(lambda _: self.catch_up())

    def _api(self, account: str | None) -> Api:
        """The account's API; a new account is empty."""
        if account not in self._apis:
            seed = f"{self.seed} {account}" if account else self.seed
            books = Books(self.clock, seed=seed, livemode=self.livemode, shape=self.shape, account=account)
            connected = account is not None
            books.formats = self.deliveries.formats
            books.publish = partial(self.deliveries.schedule, connected=connected)
            books.pending_hooks = lambda type_: len(self.deliveries.wanting(type_, connected=connected))
            self._apis[account] = Api(books, Billing(books), self.deliveries)
        return self._apis[account]

    def catch_up(self) -> None:
        """Does what business time has made due, in every account."""
        with self.lock:
            for api in list(self._apis.values()):
                api.books.catch_up()

    # The wire

    def answer(self, request: Request) -> Response:
        with self.lock:
            self._request_ids += 1
            request_id = f"req_{self._request_ids:014}"
            try:
                self._authorize(request)
                api = self._api(_account_of(request))
                api.books.catch_up()
                response = self._answer_once(request, request_id, api)
            except Refusal as refusal:
                response = reply(refusal.body, refusal.status)
        response.headers["Request-Id"] = request_id
        response.headers["Stripe-Version"] = API_VERSIONS[self.shape]
        return response

    def _authorize(self, request: Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            given = base64.b64decode(given).decode().partition(":")[0]
        if not given:
            raise Refusal(401, "You did not provide an API key.")
        if given != self.api_key:
            raise Refusal(401, f"Invalid API Key provided: {given[:8]}{'*' * 8}")

    def _answer_once(self, request: Request, request_id: str, api: Api) -> Response:
        """The same Idempotency-Key gets the same answer; with other parameters it is refused."""
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method == "GET":
            return self._asked(request, Asked(request_id), api)
        place = (api.books.account, key)
        if place in self._answers:
            return self._again(request, place)
        response = self._asked(request, Asked(request_id, key), api)
        if response.status_code < 300 or response.status_code == 402:  # a declined card stays declined
            self._answers[place] = (_fingerprint(request), response)
        if len(self._answers) > KEPT_KEYS:
            self._answers.popitem(last=False)
        return response

    def _again(self, request: Request, place: tuple[str | None, str]) -> Response:
        before, answer = self._answers[place]
        if before != _fingerprint(request):
            raise Refusal(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
                type_="idempotency_error",
            )
        return Response(
            answer.get_data(),
            status=answer.status,
            content_type=answer.content_type,
            headers={"Idempotent-Replayed": "true"},
        )

    def _asked(self, request: Request, asked: Asked, api: Api) -> Response:
        api.books.asked = asked
        try:
            endpoint, values = api.routes.bind_to_environ(request.environ).match()
            result = getattr(api, endpoint)(request, **values)
        except HTTPException as error:
            return self.refuse(error.code or 500, error.description or "")
        except Refusal as refusal:
            return reply(refusal.body, refusal.status)
        except ValueError as error:  # a parameter that is no number
            return reply(Refusal(400, f"Invalid integer: {error}", code="parameter_invalid_integer").body, 400)
        finally:
            api.books.asked = Asked()
        return result if isinstance(result, Response) else reply(result)

    def refuse(self, status: int, message: str) -> Response:
        if status in (404, 405):
            message = f"Unrecognized request URL. {message}"
        type_ = "api_error" if status >= 500 else ERROR_TYPES.get(status, "invalid_request_error")
        error = {"message": message, "type": type_} | ({"code": "rate_limit"} if status == 429 else {})
        return reply({"error": error}, status)

    def noted(self, request: Request) -> dict[str, Any]:
        """The connected account, the idempotency key and the API version that the caller named."""
        names = {"account": "Stripe-Account", "idempotency_key": "Idempotency-Key", "version": "Stripe-Version"}
        return {name: request.headers.get(header) for name, header in names.items()}

    # Admin calls

    def admin(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401
        calls: dict[str, Callable[..., Any]] = {
            "webhook": self.webhook,
            "delivery": self.delivery,
            "card": self.card,
            "dunning": self.dunning,
            "disputes": self.disputes,
            "checkout": self.checkout,
            "async_payment": self.async_payment,
            "refund_fail": self.refund_fail,
            "dispute": self.dispute,
            "dispute_update": self.dispute_update,
            "dispute_close": self.dispute_close,
            "fraud_warning": self.fraud_warning,
            "usage": self.usage,
            "lag": self.lag,
            "deliver": self.deliver,
            "drain": self.drain,
            "undelivered": self.undelivered,
        }
        try:
            return calls[name](**body)
        except Refusal as refusal:
            raise KeyError(str(refusal)) from refusal

    def webhook(
        self,
        url: str,
        secret: str,
        enabled_events: Iterable[str] = ("*",),
        api_shape: Shape | None = None,
        payload: Literal["snapshot", "thin"] = "snapshot",
        *,
        connect: bool = False,
    ) -> Obj:
        """Events go to `url` from now on, signed with `secret`. The same URL and payload again replace the endpoint."""
        thin, id_ = payload == "thin", self.billing.books.new_id("we_")
        format_ = "thin" if thin else api_shape or self.shape
        endpoint = Endpoint(id_, url, secret, tuple(enabled_events), format_, connect=connect)
        place = (url, thin, connect)
        with self.lock:
            for known in list(self.deliveries.endpoints.values()):
                if (known.url, known.format == "thin", known.connect) == place:
                    del self.deliveries.endpoints[known.id]
            self.deliveries.endpoints[id_] = endpoint
            return self._api(None).endpoint_object(endpoint)

    def delivery(self, **wanted: float) -> Obj:
        """Takes {duplicate, reorder, drop: shares, delay_s, reorder_s, seed, tries, backoff_s, timeout_s, threads}."""
        self.deliveries.configure(wanted)
        return {"ok": True}

    def card(self, customer: str, *, ok: bool | None, account: str | None = None) -> Obj:
        """Whether this customer's payments succeed from now on; null: there is no card."""
        with self.lock:
            api = self._api(account)
            api.billing.payments.cards[api.books.get("customers", customer)["id"]] = ok
        return {"customer": customer, "ok": ok}

    def dunning(self, final: str, account: str | None = None) -> Obj:
        """What a subscription becomes when the last retry has failed: canceled, unpaid, past_due or paused."""
        if final not in FINALS:
            raise KeyError(final)
        self._api(account).billing.subscriptions.final = final
        return {"final": final}

    def disputes(self, *, cancel: bool, account: str | None = None) -> Obj:
        """Whether a lost dispute cancels the subscription that the charge paid for."""
        self._api(account).billing.lost_disputes_cancel = cancel
        return {"cancel": cancel}

    def _done(self, account: str | None, act: Callable[[Billing], Obj]) -> Obj:
        """Does `act` on the account now; gives the object as it is then."""
        with self.lock:
            api = self._api(account)
            api.books.catch_up()
            value: Obj = json.loads(json.dumps(shaped(act(api.billing), self.shape)))
            return value

    def checkout(
        self,
        session: str,
        *,
        delayed: bool = False,
        email: str | None = None,
        buyer: str | None = None,
        account: str | None = None,
    ) -> Obj:
        """The buyer (a name) completes this session; with `delayed` by a means of payment that takes days."""
        return self._done(
            account, lambda billing: billing.checkout.complete(session, delayed=delayed, email=email, name=buyer)
        )

    def async_payment(self, session: str, *, ok: bool, account: str | None = None) -> Obj:
        """The delayed payment of this session came, or it failed."""
        return self._done(account, lambda billing: billing.checkout.end_delayed(session, ok=ok))

    def refund_fail(self, refund: str, account: str | None = None) -> Obj:
        """The buyer's bank sent this refund back."""
        return self._done(account, lambda billing: billing.payments.fail_refund(refund))

    def dispute(
        self,
        charge: str,
        status: str = "needs_response",
        reason: str = "general",
        amount: int | None = None,
        account: str | None = None,
    ) -> Obj:
        """The buyer disputes this charge, or an amount of it; with a status `warning_...` it is an inquiry."""
        return self._done(account, lambda billing: billing.payments.dispute(charge, status, reason, amount))

    def dispute_update(self, dispute: str, status: str, account: str | None = None) -> Obj:
        """The dispute goes on."""
        return self._done(account, lambda billing: billing.payments.update_dispute(dispute, status))

    def dispute_close(self, dispute: str, status: str, account: str | None = None) -> Obj:
        """The dispute ends as won, lost, warning_closed or prevented."""
        return self._done(account, lambda billing: billing.payments.close_dispute(dispute, status))

    def fraud_warning(self, charge: str, fraud_type: str = "made_with_stolen_card", account: str | None = None) -> Obj:
        """The card network suspects fraud behind this charge."""
        return self._done(account, lambda billing: billing.payments.warn(charge, fraud_type))

    def usage(self, item: str, quantity: int, account: str | None = None) -> Obj:
        """So much more of a metered item was used; billed when its period ends."""
        with self.lock:
            return {"item": item, "quantity": self._api(account).billing.subscriptions.use(item, quantity)}

    def lag(self, seconds: float, ops: int | None = None) -> Obj:
        """Reads answer what was true `seconds` ago (machine time); `ops` limits how many changes lag."""
        with self.lock:
            for api in self._apis.values():
                api.books.lag.configure(seconds, ops)
        return {"seconds": seconds, "ops": ops}

    def deliver(self, events: Iterable[str] | None = None) -> Obj:
        """Sends these events again to all endpoints that want them, kindly; without ids, all that got no 2xx."""
        ids = list(events) if events is not None else sorted(self.deliveries.missed())
        with self.lock:
            return {"queued": sum(self._force(*self._event(id_)) for id_ in ids)}

    def _event(self, id_: str) -> tuple[Books, Record]:
        for api in self._apis.values():
            if record := api.books.events.get(id_):
                return api.books, record
        raise missing("events", id_)

    def _force(self, books: Books, record: Record) -> int:
        bodies = {format_: record.body(format_) for format_ in self.deliveries.formats()}
        return self.deliveries.force(record.id, record.type, bodies, connected=books.account is not None)

    def drain(self, timeout_s: float = 30) -> Obj:
        """Waits until no delivery is pending; gives the counts."""
        return self.deliveries.drain(timeout_s)

    def undelivered(self) -> list[Obj]:
        """What got no 2xx so far."""
        return self.deliveries.undelivered()

    def advance(self, **step: float) -> None:
        """Moves business time on, as `timedelta` takes it: `advance(days=31)`."""
        self.clock.advance(timedelta(**step))

    def state(self) -> dict[str, Any]:
        """The platform's objects by kind, and those of each connected account under `accounts`."""
        told = {account: _all(api.books) for account, api in self._apis.items()}
        return told.pop(None) | {"accounts": told}


def _all(books: Books) -> Obj:
    return books.everything() | {"events": len(books.events)}


def _account_of(request: Request) -> str | None:
    """The connected account that the caller acts for; None: the platform itself."""
    return request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context") or None


def _fingerprint(request: Request) -> str:
    return f"{request.method} {request.full_path} {request.get_data(as_text=True)}"
