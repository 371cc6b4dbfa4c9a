"""Reading Stripe over real HTTP: what is asked for, what a failure means, and that limits hold."""

from __future__ import annotations

import json
import logging
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from connectors.emulation import Clock, Emulator, reply, serving
from connectors.stripe import EVENTS, Settings, connect, oneoff
from connectors.stripe.purchase import from_seen
from hub.domain import Ref, Standing
from hub.errors import ConfigurationError, PermanentError, RetryableError
from hub.ports import Connector, Deps, Found, Gone, PurchaseSource, SeeOther, Unsupported, Waiting

FIXTURES = Path(__file__).parent / "fixtures"
START = 1_788_220_800
YEAR = 365 * 86_400
SUB = Ref(source="stripe", kind="subscription", id="sub_1QaFirst")
KEY = "sk_test_canary"


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def an_object(name: str, **fields: Any) -> dict[str, Any]:
    """The object in a fixture's event, with some fields changed."""
    found: dict[str, Any] = fixture(name)["data"]["object"]
    return found | fields


def a_subscription(latest: Any = None, **fields: Any) -> dict[str, Any]:
    """As Stripe gives it with latest_invoice and customer expanded."""
    expanded = {"latest_invoice": latest, "customer": an_object("customer.created__named")}
    return an_object("customer.subscription.created__active", **(expanded | fields))


def a_list(*rows: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(rows), "has_more": has_more}


def an_error(message: str, **fields: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | fields}


FIRST = an_object("invoice.paid__first")
RENEWAL = an_object("invoice.paid__renewal")
UNPAID = RENEWAL | {"status": "open"}


class Stub(Emulator):
    """Answers a path with what `answers` says: JSON, (status, JSON), or a function of the request."""

    routes = Map([Rule("/v1/<path:rest>", endpoint="any")])

    def __init__(self, **answers: Any) -> None:
        super().__init__(Clock())
        self.answers: dict[str, Any] = {f"/v1/{path}": answer for path, answer in answers.items()}
        self.requests: list[Request] = []

    def any(self, request: Request, rest: str) -> Response:  # noqa: ARG002
        self.requests.append(request)
        answer = self.answers.get(request.path, (404, an_error("no such thing", code="resource_missing")))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Response):
            return answer
        return reply(answer[1], answer[0]) if isinstance(answer, tuple) else reply(answer)

    def paths(self) -> list[str]:
        return [request.path.removeprefix("/v1/") for request in self.requests]


@dataclass
class Limits:
    """A limiter that lets everything through and remembers."""

    acquired: int = 0
    held: list[float] = field(default_factory=list)

    def acquire(self) -> None:
        self.acquired += 1

    def hold(self, seconds: float) -> None:
        self.held.append(seconds)


@dataclass
class NoTokens:
    def get(self) -> str | None:
        return None

    def put(self, token: str, lifetime_s: float) -> None:
        """Not used: Stripe's keys don't expire."""

    def drop(self) -> None:
        """Not used."""


@dataclass
class Bench:
    stub: Stub
    limits: Limits
    connector: Connector

    @property
    def purchases(self) -> PurchaseSource:
        assert self.connector.purchases is not None
        return self.connector.purchases

    def found(self) -> Found:
        answer = self.purchases.fetch(SUB)
        assert isinstance(answer, Found)
        return answer

    def paid_until(self) -> list[datetime | None]:
        return [line.paid_until for line in self.found().purchase.lines]


def settings(**fields: Any) -> Settings:
    return Settings(**({"kind": "stripe", "webhook_secrets": ["whsec_x"], "api_key": KEY, "livemode": False} | fields))


@pytest.fixture
def stub() -> Stub:
    return Stub(**{"subscriptions/sub_1QaFirst": a_subscription(FIRST)})


@pytest.fixture
def bench(stub: Stub) -> Iterator[Bench]:
    limits = Limits()
    deps = Deps(limiter=limits, tokens=NoTokens(), connect_timeout_s=1, read_timeout_s=0.4)
    with serving(stub) as url:
        connector = connect("stripe", settings(base_url=url, account="acct_1QaMine"), deps)
        yield Bench(stub, limits, connector)
        assert connector.purchases is not None
        connector.purchases.close()


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# fetch


def test_a_paid_latest_invoice_decides_in_one_request(bench: Bench) -> None:
    assert bench.paid_until() == [at(START + YEAR)]
    assert (bench.stub.paths(), bench.limits.acquired) == (["subscriptions/sub_1QaFirst"], 1)


def test_what_was_seen_tells_the_same_purchase(bench: Bench) -> None:
    found = bench.found()
    assert from_seen("stripe", json.loads(json.dumps(found.seen))) == found.purchase
    assert "@" not in json.dumps(found.seen)


def test_what_was_sold_once_beside_it_is_known_by_its_price_s_lookup_key(bench: Bench) -> None:
    line = {
        "id": "il_once",
        "quantity": 5,
        "parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}},
        "pricing": {"price_details": {"price": "price_perp", "product": "prod_perp"}},
    }
    lines = a_list(*FIRST["lines"]["data"], line)
    bench.stub.answers["/v1/subscriptions/sub_1QaFirst"] = a_subscription(FIRST | {"lines": lines})
    bench.stub.answers["/v1/prices/price_perp"] = {"id": "price_perp", "lookup_key": "PERP-1", "product": "prod_perp"}
    *_, once = bench.found().purchase.lines
    assert (once.keys, once.once) == (("price_perp", "PERP-1", "prod_perp"), True)
    assert bench.stub.paths() == ["subscriptions/sub_1QaFirst", "prices/price_perp"]


def test_what_was_sold_once_beside_it_has_its_ids_where_the_price_is_gone(bench: Bench) -> None:
    line = {
        "id": "il_once",
        "quantity": 5,
        "parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": False}},
        "pricing": {"price_details": {"price": "price_gone", "product": "prod_perp"}},
    }
    lines = a_list(*FIRST["lines"]["data"], line)
    bench.stub.answers["/v1/subscriptions/sub_1QaFirst"] = a_subscription(FIRST | {"lines": lines})
    *_, once = bench.found().purchase.lines
    assert once.keys == ("price_gone", "prod_perp")


def test_what_was_seen_of_a_checkout_tells_the_same_purchase(bench: Bench) -> None:
    at_ = "/v1/checkout/sessions/cs_test_a1First"
    bench.stub.answers |= {at_: SESSION, f"{at_}/line_items": a_list(SOLD)}
    found = bench.purchases.fetch(CHECKOUT)
    assert isinstance(found, Found)
    assert bench.purchases.recalled(json.loads(json.dumps(found.seen))) == found.purchase


def test_what_was_seen_contains_the_event_that_led_there(bench: Bench) -> None:
    body = (FIXTURES / "invoice.paid__first.json").read_bytes()
    assert bench.purchases.contains(bench.found().seen, body)


def test_a_request_carries_the_key_the_account_and_the_pinned_version(bench: Bench) -> None:
    bench.found()
    (request,) = bench.stub.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Stripe-Account"] == "acct_1QaMine"
    assert request.headers["Stripe-Version"] == "2026-10-28.endive"
    assert sorted(request.args.values()) == ["customer", "items.data.price.product", "latest_invoice"]


@pytest.mark.parametrize("status", [400, 403])
def test_where_products_can_not_be_read_the_sale_is_read_without_them_from_then_on(bench: Bench, status: int) -> None:
    def answer(request: Request) -> Any:
        told = "items.data.price.product" in request.args.values()
        return (status, an_error("may not be expanded")) if told else a_subscription(FIRST)

    bench.stub.answers["/v1/subscriptions/sub_1QaFirst"] = answer
    assert bench.paid_until() == bench.paid_until() == [at(START + YEAR)]
    assert len(bench.stub.requests) == 3


def test_an_unpaid_latest_invoice_leads_to_the_list(bench: Bench) -> None:
    past_due = a_subscription(UNPAID, status="past_due")
    bench.stub.answers |= {"/v1/subscriptions/sub_1QaFirst": past_due, "/v1/invoices": a_list(FIRST, UNPAID)}
    assert bench.paid_until() == [at(START + YEAR)]
    assert bench.stub.requests[1].args.to_dict() == {"subscription": "sub_1QaFirst", "limit": "100"}


def test_the_list_is_read_newest_first_and_no_further_than_needed(bench: Bench) -> None:
    past_due, older = a_subscription(UNPAID, status="past_due"), FIRST | {"id": "in_older", "created": START - YEAR}
    bench.stub.answers |= {"/v1/subscriptions/sub_1QaFirst": past_due, "/v1/invoices": a_list(older, FIRST, UNPAID)}
    invoices = bench.found().seen["invoices"]
    assert isinstance(invoices, list)
    assert len(invoices) == 2


def test_a_list_without_a_paid_invoice_says_so(bench: Bench) -> None:
    bench.stub.answers |= {
        "/v1/subscriptions/sub_1QaFirst": a_subscription(UNPAID),
        "/v1/invoices": a_list(UNPAID),
    }
    (line,) = bench.found().purchase.lines
    assert (line.paid_until, line.invoiced) == (None, True)


@pytest.mark.parametrize(("latest", "invoiced"), [(FIRST | {"status": "open"}, True), (None, False)])
def test_a_first_or_missing_invoice_leaves_nothing_to_list(bench: Bench, latest: Any, invoiced: bool) -> None:
    bench.stub.answers["/v1/subscriptions/sub_1QaFirst"] = a_subscription(latest, status="incomplete")
    (line,) = bench.found().purchase.lines
    assert (line.paid_until, line.invoiced, len(bench.stub.requests)) == (None, invoiced, 1)


def test_more_items_and_lines_than_ten_are_paged(bench: Bench) -> None:
    (item,) = an_object("customer.subscription.created__active")["items"]["data"]
    items = [item | {"id": f"si_{number}"} for number in range(12)]
    (line,) = FIRST["lines"]["data"]

    def its_line(id_: str) -> dict[str, Any]:
        details = line["parent"]["subscription_item_details"] | {"subscription_item": id_}
        return line | {"id": f"il_{id_}", "parent": line["parent"] | {"subscription_item_details": details}}

    lines = [its_line(one["id"]) for one in items]

    def paged(rows: list[dict[str, Any]]) -> Any:
        def page(request: Request) -> dict[str, Any]:
            after = request.args.get("starting_after")
            begin = next((index + 1 for index, row in enumerate(rows) if row["id"] == after), 0)
            return a_list(*rows[begin : begin + 10], has_more=begin + 10 < len(rows))

        return page

    cut = FIRST | {"lines": a_list(*lines[:10], has_more=True)}
    bench.stub.answers |= {
        "/v1/subscriptions/sub_1QaFirst": a_subscription(cut, items=a_list(*items[:10], has_more=True)),
        "/v1/subscription_items": paged(items),
        f"/v1/invoices/{FIRST['id']}/lines": paged(lines),
    }
    assert bench.paid_until() == [at(START + YEAR)] * 12


def test_an_id_is_no_path(bench: Bench) -> None:
    assert isinstance(bench.purchases.fetch(Ref(source="stripe", kind="subscription", id="../invoices?x=1")), Gone)
    assert bench.stub.requests[0].query_string.startswith(b"expand")


@pytest.mark.parametrize(("kind", "answer"), [("order", Unsupported), ("customer", Waiting)])
def test_what_is_no_subscription_is_answered_without_a_request(bench: Bench, kind: str, answer: type) -> None:
    assert isinstance(bench.purchases.fetch(Ref(source="stripe", kind=kind, id="x")), answer)
    assert not bench.stub.requests


# One-off sales


CHECKOUT = Ref(source="stripe", kind="checkout", id="cs_test_a1First")
SESSION = an_object("checkout.session.completed__one_off")
SOLD = an_object("checkout.session.completed__guest_with_lines")["line_items"]["data"][0]


def a_session(**fields: Any) -> dict[str, Any]:
    return SESSION | {"customer": an_object("customer.created__named")} | fields


def sold(bench: Bench, *lines: dict[str, Any], **fields: Any) -> Any:
    at_ = "/v1/checkout/sessions/cs_test_a1First"
    bench.stub.answers |= {at_: a_session(**fields), f"{at_}/line_items": a_list(*(lines or (SOLD,)))}
    return bench.purchases.fetch(CHECKOUT)


def test_a_one_off_sale_is_the_session_and_its_listed_lines(bench: Bench) -> None:
    found = sold(bench, SOLD, SOLD | {"id": "li_2", "quantity": 1})
    purchase = found.purchase
    assert [(line.id, line.sku, line.quantity, line.paid_until) for line in purchase.lines] == [
        ("li_1QaOnce", "PRO-PERPETUAL", 5, None),
        ("li_2", "PRO-PERPETUAL", 1, None),
    ]
    assert (purchase.ref, purchase.standing, purchase.customer.name) == (CHECKOUT, Standing.CURRENT, "Acme GmbH")
    assert bench.stub.paths() == ["checkout/sessions/cs_test_a1First", "checkout/sessions/cs_test_a1First/line_items"]
    assert oneoff.from_seen("stripe", json.loads(json.dumps(found.seen))) == purchase


@pytest.mark.parametrize(
    ("fields", "standing"),
    [
        ({"payment_status": "paid"}, Standing.CURRENT),
        ({"payment_status": "no_payment_required", "payment_intent": None}, Standing.CURRENT),
        ({"payment_status": "unpaid"}, Standing.PENDING),
        ({"payment_status": "unpaid", "payment_intent": {"id": "pi_1", "status": "processing"}}, Standing.PENDING),
        ({"payment_status": "unpaid", "payment_intent": {"id": "pi_1", "status": "canceled"}}, Standing.ENDED),
        (
            {"payment_status": "unpaid", "payment_intent": {"id": "p", "status": "requires_payment_method"}},
            Standing.ENDED,
        ),
        ({"payment_status": "invented"}, Standing.UNKNOWN),
        ({"status": "open", "payment_status": "unpaid"}, Standing.PENDING),
        ({"status": "expired", "payment_status": "unpaid"}, Standing.PENDING),
    ],
)
def test_a_one_off_sale_stands_as_its_payment_does(bench: Bench, fields: dict[str, Any], standing: Standing) -> None:
    assert sold(bench, **fields).purchase.standing is standing


def test_a_guest_is_known_by_the_session(bench: Bench) -> None:
    nameless = {"email": "erika@acme.example", "name": None}
    guest = sold(bench, customer=None).purchase.customer
    assert (guest.id, guest.name) == ("cs_test_a1First", "Acme GmbH")
    assert sold(bench, customer=None, customer_details=nameless).purchase.customer.name == "erika@acme.example"


def test_a_session_that_began_a_subscription_leads_there(bench: Bench) -> None:
    assert sold(bench, mode="subscription", subscription="sub_1QaFirst") == SeeOther(ref=SUB)
    assert isinstance(sold(bench, mode="setup"), Waiting)


def test_an_unknown_session_is_gone(bench: Bench) -> None:
    assert isinstance(bench.purchases.fetch(CHECKOUT), Gone)


def test_the_full_list_has_completed_one_off_checkouts_without_their_lines(bench: Bench) -> None:
    sessions = a_list(a_session(), a_session(id="cs_2", mode="subscription"), a_session(id="cs_3", status=5))
    bench.stub.answers |= {"/v1/subscriptions": a_list(), "/v1/checkout/sessions": sessions}
    assert [(one.ref.id, one.lines, one.standing) for one in bench.purchases.purchases()] == [
        ("cs_test_a1First", (), Standing.CURRENT)
    ]


# Money that was paid back


PI = Ref(source="stripe", kind="payment", id="pi_1QaFirst")
ONCE = Ref(source="stripe", kind="payment", id="pi_1QaOnce")
LINK = an_object("invoice_payment.paid__card")


def a_pointer(kind: str, id_: str) -> Ref:
    return Ref(source="stripe", kind=kind, id=id_)


@pytest.fixture
def refunded(bench: Bench) -> Bench:
    """The first invoice's only payment was paid back in full."""
    bench.stub.answers |= {
        "/v1/invoice_payments": a_list(LINK),
        "/v1/invoices/in_1QaFirst": FIRST,
        "/v1/charges": a_list(an_object("charge.refunded__full")),
        "/v1/refunds": a_list(an_object("refund.created__full")),
        "/v1/disputes": a_list(),
        "/v1/radar/early_fraud_warnings": a_list(),
        "/v1/credit_notes": a_list(),
    }
    return bench


def test_a_payment_finds_its_subscription_by_invoice_payments(refunded: Bench) -> None:
    assert refunded.purchases.fetch(PI) == SeeOther(ref=SUB, keep=True)
    asked = refunded.stub.requests[0].args
    assert (asked["payment[type]"], asked["payment[payment_intent]"]) == ("payment_intent", "pi_1QaFirst")


def test_a_charge_of_old_finds_its_subscription_by_the_invoice_that_it_names(bench: Bench) -> None:
    old = an_object("charge.refunded__full_2020", payment_intent=None)
    bench.stub.answers |= {"/v1/charges/ch_1QaFirst": old, "/v1/invoices/in_1QaFirst": FIRST}
    assert bench.purchases.fetch(a_pointer("payment", "ch_1QaFirst")) == SeeOther(ref=SUB, keep=True)


def test_a_payment_intent_of_old_names_its_invoice(bench: Bench) -> None:
    bench.stub.answers |= {
        "/v1/invoice_payments": a_list(),
        "/v1/payment_intents/pi_1QaFirst": {"id": "pi_1QaFirst", "invoice": {"id": "in_1QaFirst"}},
        "/v1/invoices/in_1QaFirst": FIRST,
    }
    assert bench.purchases.fetch(PI) == SeeOther(ref=SUB, keep=True)


def test_a_payment_finds_its_checkout_where_it_paid_no_invoice_of_a_subscription(bench: Bench) -> None:
    bench.stub.answers["/v1/checkout/sessions"] = a_list(SESSION)
    to = SeeOther(ref=CHECKOUT, keep=True)
    assert bench.purchases.fetch(ONCE) == to
    assert bench.stub.requests[-1].args["payment_intent"] == "pi_1QaOnce"
    invoiced = a_list(LINK | {"invoice": "in_1QaOnce"})
    bench.stub.answers |= {"/v1/invoice_payments": invoiced, "/v1/invoices/in_1QaOnce": FIRST | {"parent": None}}
    assert bench.purchases.fetch(ONCE) == to
    assert bench.purchases.fetch(a_pointer("credit", "in_1QaOnce")) == to


def test_a_payment_of_nothing_that_is_licensed_changes_nothing(bench: Bench) -> None:
    bench.stub.answers |= {"/v1/invoice_payments": a_list(), "/v1/checkout/sessions": a_list()}
    assert isinstance(bench.purchases.fetch(PI), Waiting)


@pytest.mark.parametrize(
    ("kind", "path", "name", "to"),
    [
        ("charge", "charges/ch_1QaFirst", "charge.refunded__full", PI),
        ("refund", "refunds/re_1QaFirst", "refund.failed__full", PI),
        ("dispute", "disputes/dp_1QaFirst", "charge.dispute.closed__lost", PI),
        (
            "warning",
            "radar/early_fraud_warnings/issfr_1QaFirst",
            "radar.early_fraud_warning.created__actionable",
            PI,
        ),
        ("credit_note", "credit_notes/cn_1QaFirst", "credit_note.created__seats", a_pointer("credit", "in_1QaFirst")),
    ],
)
def test_what_a_thin_event_names_leads_to_its_payment_or_invoice(
    bench: Bench, kind: str, path: str, name: str, to: Ref
) -> None:
    bench.stub.answers[f"/v1/{path}"] = an_object(name)
    assert bench.purchases.fetch(a_pointer(kind, path.rpartition("/")[2])) == SeeOther(ref=to)


def test_an_invoice_that_a_thin_event_names_leads_to_its_subscription(bench: Bench) -> None:
    bench.stub.answers["/v1/invoices/in_1QaFirst"] = FIRST
    assert bench.purchases.fetch(a_pointer("invoice", "in_1QaFirst")) == SeeOther(ref=SUB)


def test_what_lags_its_event_is_tried_again(bench: Bench) -> None:
    with pytest.raises(PermanentError):
        bench.purchases.fetch(a_pointer("refund", "re_1QaFirst"))


def lines_about(bench: Bench, *about: Ref) -> list[tuple[bool, int | None]]:
    found = bench.purchases.fetch(SUB, about)
    assert isinstance(found, Found)
    assert from_seen("stripe", json.loads(json.dumps(found.seen))) == found.purchase
    return [(bool(line.reversed), line.quantity) for line in found.purchase.lines]


def test_a_look_reads_what_became_of_the_payments_that_are_about_it(refunded: Bench) -> None:
    assert lines_about(refunded) == [(False, 5)]
    assert lines_about(refunded, PI) == [(True, 5)]
    failed = an_object("refund.failed__full")
    refunded.stub.answers["/v1/refunds"] = a_list(failed)  # the charge may still say that it was refunded
    assert lines_about(refunded, PI) == [(False, 5)]


def test_a_lost_dispute_is_as_a_refund_and_a_won_one_is_none(refunded: Bench) -> None:
    refunded.stub.answers |= {"/v1/refunds": a_list(), "/v1/charges": a_list()}
    for name, back in (("charge.dispute.closed__lost", True), ("charge.dispute.closed__won", False)):
        refunded.stub.answers["/v1/disputes"] = a_list(an_object(name))
        assert lines_about(refunded, PI) == [(back, 5)]


def test_an_open_dispute_and_a_warning_are_flags(refunded: Bench) -> None:
    refunded.stub.answers |= {
        "/v1/refunds": a_list(),
        "/v1/charges": a_list(),
        "/v1/disputes": a_list(an_object("charge.dispute.created__open")),
        "/v1/radar/early_fraud_warnings": a_list(an_object("radar.early_fraud_warning.created__actionable")),
    }
    found = refunded.purchases.fetch(SUB, [PI])
    assert isinstance(found, Found)
    assert [flag.kind for flag in found.purchase.flags] == ["dispute", "early fraud warning"]
    assert lines_about(refunded, PI) == [(False, 5)]


def test_a_credit_note_says_how_many_seats_were_paid_back(refunded: Bench) -> None:
    part = an_object("charge.refunded__part")
    refund = an_object("refund.created__full", amount=24000)
    refunded.stub.answers |= {
        "/v1/charges": a_list(part),
        "/v1/refunds": a_list(refund),
        "/v1/credit_notes": a_list(an_object("credit_note.created__seats")),
    }
    assert lines_about(refunded, a_pointer("credit", "in_1QaFirst"), PI) == [(False, 3)]
    found = refunded.purchases.fetch(SUB, [PI])
    assert isinstance(found, Found)
    assert found.purchase.flags == ()


def test_a_one_off_sale_that_was_paid_back_is_off(refunded: Bench) -> None:
    refunded.stub.answers |= {"/v1/invoice_payments": a_list(), "/v1/payment_intents/pi_1QaOnce": {"id": "pi_1QaOnce"}}
    sold(refunded)
    found = refunded.purchases.fetch(CHECKOUT, [ONCE])
    assert isinstance(found, Found)
    assert [bool(line.reversed) for line in found.purchase.lines] == [True]


# Failures


def failing(bench: Bench, answer: Any) -> None:
    bench.stub.answers["/v1/subscriptions/sub_1QaFirst"] = answer


def an_answer(status: int, body: Any, **headers: str) -> Response:
    return Response(
        json.dumps(body), status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    "answer",
    [
        (404, an_error("No such subscription", code="resource_missing")),
        (404, {}),
        {"id": "sub_1QaFirst", "deleted": True},
    ],
)
def test_an_unknown_subscription_is_gone(bench: Bench, answer: Any) -> None:
    failing(bench, answer)
    assert isinstance(bench.purchases.fetch(SUB), Gone)


@pytest.mark.parametrize(("status", "hint"), [(400, "drifted"), (403, "permission"), (302, "base_url")])
def test_a_refusal_is_permanent_and_says_how_to_mend_it(bench: Bench, status: int, hint: str) -> None:
    failing(bench, (status, an_error("Invalid API Key provided: sk_test_*****nary")))
    with pytest.raises(PermanentError) as caught:
        bench.purchases.fetch(SUB)
    assert caught.value.code == str(status)
    assert hint in caught.value.hint


def test_a_refused_key_is_retryable_so_that_no_purchase_dies_of_it(bench: Bench) -> None:
    failing(bench, (401, an_error("Invalid API Key provided: sk_test_*****nary")))
    with pytest.raises(RetryableError, match="set a new one") as caught:
        bench.purchases.fetch(SUB)
    assert "nary" not in str(caught.value)


@pytest.mark.parametrize("status", [409, 408, 500, 502, 503])
def test_what_may_pass_is_retryable_and_sent_once(bench: Bench, status: int) -> None:
    failing(bench, (status, an_error("try later")))
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)
    assert (len(bench.stub.requests), bench.limits.held) == (1, [])


@pytest.mark.parametrize(("headers", "seconds"), [({"Retry_After": "7"}, 7), ({}, 1)])
def test_I11_a_throttled_request_holds_the_whole_connection(
    bench: Bench, headers: dict[str, str], seconds: float
) -> None:
    failing(bench, lambda _: an_answer(429, an_error("slow down", code="rate_limit"), **headers))
    with pytest.raises(RetryableError) as caught:
        bench.purchases.fetch(SUB)
    assert (caught.value.retry_after, bench.limits.held) == (seconds, [seconds])


def test_I11_a_retry_after_on_a_503_is_obeyed_too(bench: Bench) -> None:
    failing(bench, lambda _: an_answer(503, an_error("maintenance"), Retry_After="30"))
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)
    assert bench.limits.held == [30]


@pytest.mark.parametrize("fault", ["reset", "garbage", "throttle", "error"])
def test_each_fault_of_the_wire_is_retryable(bench: Bench, fault: str) -> None:
    bench.stub.faults.plan.append({"fault": fault})
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"", b"{"])
def test_an_answer_that_is_no_object_is_retryable(bench: Bench, body: bytes) -> None:
    failing(bench, lambda _: Response(body, 200))
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)


@pytest.mark.parametrize("body", [b'{"error": "bad gateway"}', b"<html>", b'{"error": null}', b"[]", b"[" * 5_000])
def test_I11_a_failure_in_somebody_elses_words_is_understood_by_its_status(bench: Bench, body: bytes) -> None:
    failing(bench, lambda _: Response(body, 429, headers={"Retry-After": "9"}))
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)
    assert bench.limits.held == [9]


def test_nobody_listening_is_retryable() -> None:
    with serving(Stub()) as url:
        pass
    deps = Deps(limiter=Limits(), tokens=NoTokens(), connect_timeout_s=1, read_timeout_s=1)
    purchases = connect("stripe", settings(base_url=url), deps).purchases
    assert purchases is not None
    with pytest.raises(RetryableError):
        purchases.fetch(SUB)


def test_a_silent_server_is_left_in_time(bench: Bench) -> None:
    bench.stub.faults.slow_s = 1.5
    bench.stub.faults.plan.append({"fault": "slow"})
    began = time.monotonic()
    with pytest.raises(RetryableError):
        bench.purchases.fetch(SUB)
    assert time.monotonic() - began < 1.3


@contextmanager
def a_dripping_server() -> Iterator[str]:
    """Sends a byte each 50 ms, for longer than anybody should wait."""

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            with suppress(OSError):  # the client has gone
                for _ in range(100):
                    self.request.sendall(b" ")
                    time.sleep(0.05)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_answer_that_drips_is_left_in_time() -> None:
    deps = Deps(limiter=Limits(), tokens=NoTokens(), connect_timeout_s=0.3, read_timeout_s=0.3)
    with a_dripping_server() as url:
        purchases = connect("stripe", settings(base_url=url), deps).purchases
        assert purchases is not None
        began = time.monotonic()
        with pytest.raises(RetryableError, match="TimeoutError"):
            purchases.fetch(SUB)
        assert time.monotonic() - began < 2
        purchases.close()


def test_S15_no_error_and_no_log_repeats_a_secret_or_a_body(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for answer in ((401, an_error(f"Invalid API Key provided: {KEY}")), (500, {"customer": "canary@acme.example"})):
        failing(bench, answer)
        with pytest.raises((PermanentError, RetryableError)) as caught:
            bench.purchases.fetch(SUB)
        assert "canary" not in str(caught.value)
    failing(bench, a_subscription(FIRST))
    bench.found()
    assert "canary" not in caplog.text
    assert "acme.example" not in caplog.text


def test_64_threads_read_at_once(stub: Stub) -> None:
    deps = Deps(limiter=Limits(), tokens=NoTokens(), read_timeout_s=30)
    with serving(stub) as url, ThreadPoolExecutor(64) as pool:
        purchases = connect("stripe", settings(base_url=url), deps).purchases
        assert purchases is not None
        answers = list(pool.map(lambda _: purchases.fetch(SUB), range(128)))
        purchases.close()
    assert {type(answer) for answer in answers} == {Found}


def test_a_proxy_or_netrc_of_the_machine_is_not_used(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    bench.found()
    assert bench.stub.requests[0].headers["Authorization"] == f"Bearer {KEY}"


# changes, purchases


def test_changes_are_the_subjects_that_events_speak_of(bench: Bench) -> None:
    renewal, refund = fixture("invoice.paid__renewal"), fixture("charge.refunded__full")
    broken, once = fixture("invoice.paid__first") | {"created": None}, fixture("checkout.session.completed__one_off")

    def page(request: Request) -> dict[str, Any]:
        if "refund.failed" in request.args.values():
            return a_list(refund)
        if "starting_after" not in request.args:
            return a_list(renewal, once, has_more=True)
        return a_list(broken, fixture("customer.subscription.created__active"), fixture("invoice.paid__manual"))

    bench.stub.answers["/v1/events"] = page
    assert [(str(one.ref), one.at) for one in bench.purchases.changes(at(START))] == [
        (str(SUB), at(renewal["created"])),
        ("stripe/checkout/cs_test_a1First", at(once["created"])),
        (str(SUB), at(fixture("customer.subscription.created__active")["created"])),
        ("stripe/payment/pi_1QaFirst", at(refund["created"])),
    ]


def test_changes_ask_for_wanted_types_since_then_page_by_page(bench: Bench) -> None:
    last = fixture("invoice.paid__first")
    bench.stub.answers["/v1/events"] = lambda request: a_list(last, has_more="starting_after" not in request.args)
    list(bench.purchases.changes(at(START) + timedelta(microseconds=5)))
    asked = [request.args for request in bench.stub.requests]
    types = [{value for name, value in args.items() if name.startswith("types")} for args in asked]
    assert all((args["created[gte]"], args["limit"]) == (str(START), "100") for args in asked)
    assert [args.get("starting_after") for args in asked] == [None, last["id"]] * (len(asked) // 2)
    assert all(len(group) <= 20 for group in types)
    assert set().union(*types) == {type_ for type_ in EVENTS if type_.rpartition(".")[0] != "customer"}


def test_purchases_come_from_the_list_pages_alone(bench: Bench) -> None:
    rows = [
        a_subscription(FIRST),
        a_subscription(UNPAID, id="sub_2"),
        a_subscription(None, id="sub_3"),
        a_subscription(None, id="sub_4", items=None),
        a_subscription(FIRST | {"status": "open"}, id="sub_5"),
    ]
    bench.stub.answers |= {"/v1/subscriptions": a_list(*rows), "/v1/checkout/sessions": a_list()}
    told = {
        purchase.ref.id: (line.paid_until, line.invoiced)
        for purchase in bench.purchases.purchases()
        for line in purchase.lines
    }
    assert told == {
        "sub_1QaFirst": (at(START + YEAR), False),
        "sub_2": (None, False),
        "sub_3": (None, False),
        "sub_5": (None, True),
    }
    request, _ = bench.stub.requests
    assert request.args["status"] == "all"
    assert {"data.latest_invoice", "data.customer"} <= set(request.args.values())


# check, connect


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (a_list(a_subscription()), "ok"),
        (a_list(), "ok"),
        (a_list(a_subscription(livemode=True)), "error"),
        ((401, an_error("Invalid API Key provided")), "error"),
        ((503, an_error("down")), "warning"),
    ],
    ids=["reads", "reads none", "other mode", "bad key", "down"],
)
def test_a_check_says_whether_the_key_reads_the_right_mode(bench: Bench, answer: Any, level: str) -> None:
    bench.stub.answers["/v1/subscriptions"] = answer
    assert bench.connector.check is not None
    assert [finding.level for finding in bench.connector.check()] == [level]


@pytest.mark.parametrize("path", ["charges", "refunds", "disputes", "credit_notes", "invoices", "customers", "events"])
def test_a_check_tells_each_thing_that_the_key_may_not_read_and_how_to_mend_it(bench: Bench, path: str) -> None:
    bench.stub.answers["/v1/subscriptions"] = a_list(a_subscription(livemode=False))
    bench.stub.answers[f"/v1/{path}"] = (403, an_error("The provided key does not have the required permissions"))
    assert bench.connector.check is not None
    findings = bench.connector.check()
    assert [finding.level for finding in findings[1:]] == ["error"]
    assert f"/v1/{path}" in findings[1].problem
    assert "allow the key to read" in findings[1].mend


def a_connection(**fields: Any) -> Connector:
    return connect("stripe", settings(**fields), Deps(limiter=Limits(), tokens=NoTokens()))


def test_a_key_of_the_other_mode_is_found_even_where_nothing_was_sold() -> None:
    with serving(Stub(subscriptions=a_list())) as url:
        check = a_connection(base_url=url, livemode=True).check
        assert check is not None
        assert [finding.level for finding in check()] == ["error"]


def test_without_an_api_key_the_check_says_what_is_lost() -> None:
    connector = a_connection(api_key=None)
    assert connector.check is not None
    (finding,) = connector.check()
    assert (finding.level, "no sweep" in finding.problem) == ("warning", True)


def test_without_an_api_key_nothing_is_read() -> None:
    purchases = a_connection(api_key=None).purchases
    assert purchases is not None
    assert not purchases.can_read
    for call in (lambda: purchases.fetch(SUB), lambda: purchases.changes(at(START)), purchases.purchases):
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code == "needs_api_key"
    purchases.close()


def test_a_key_never_travels_in_the_clear() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        a_connection(base_url="http://api.example.com")


def test_the_reference_is_the_name_unless_it_is_set() -> None:
    assert (a_connection(api_key=None).ref, a_connection(api_key=None, ref="eu").ref) == ("stripe", "eu")


@pytest.mark.parametrize(
    "fields",
    [
        {"webhook_secrets": []},
        {"webhook_secrets": ["whsec_x", ""]},
        {"webhook_secrets": [" \t"]},
        {"webhook_secrets": ["whsec_x\n"]},
        {"api_key": ""},
        {"account": "mine"},
        {"body_limit": 6 * 1024 * 1024},
        {"unheard_of": 1},
    ],
)
def test_settings_that_can_not_work_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**fields)
    assert KEY not in str(caught.value)


def test_settings_hide_their_secrets() -> None:
    assert "canary" not in repr(settings())
    assert "whsec" not in repr(settings())


def test_no_global_of_the_library_is_touched() -> None:
    program = (
        "import stripe; before = (stripe.api_key, stripe.api_base, stripe.default_http_client);"
        "from connectors.stripe import Settings, connect; from hub.ports import Deps;"
        f"connect('s', Settings(kind='stripe', webhook_secrets=('whsec_x',), api_key='{KEY}'), Deps(limiter=None, tokens=None));"
        "raise SystemExit(before != (stripe.api_key, stripe.api_base, stripe.default_http_client))"
    )
    repository = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=repository, check=False).returncode == 0
