"""Small values for tests: each takes what the test is about, and fills in the rest."""

from __future__ import annotations

import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.catalog import Catalog, Match, Row
from hub.domain import Customer, Entitlement, License, Line, Offering, Purchase, Ref, Standing
from hub.policy import Rules
from hub.settings import Policy
from hub.store import NewReceipt

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = 365 * DAY
ORDER = "stripe:sub_1"


def a_ref(id_: str = "sub_1") -> Ref:
    return Ref(source="stripe", kind="subscription", id=id_)


def a_line(id_: str = "si_1", **values: Any) -> Line:
    """A yearly line of one seat, paid until a year from NOW, that names no SKU but is in the catalog."""
    known: dict[str, Any] = {
        "keys": ("price_pro", "pro_annual"),
        "quantity": 1,
        "paid_until": NOW + YEAR,
        "period_start": NOW,
        "period_end": NOW + YEAR,
        "because": "invoice in_1 is paid",
    }
    return Line(id=id_, **(known | values))


def an_unpaid_line(id_: str = "si_1", **values: Any) -> Line:
    """A line whose renewal's invoice is open: the period has moved, nobody has paid."""
    return a_line(id_, **({"paid_until": None, "invoiced": True, "because": ""} | values))


def a_purchase(*lines: Line, standing: Standing = Standing.CURRENT, **values: Any) -> Purchase:
    """A subscription that stands well; of one line unless lines are given."""
    quantity = values.pop("quantity", 1)
    known: dict[str, Any] = {"ref": a_ref(), "customer": Customer(id="cus_1"), "status": str(standing)}
    return Purchase(lines=lines or (a_line(quantity=quantity),), standing=standing, **(known | values))


def rules(catalog: dict[str, Match] | None = None, **policy: Any) -> Rules:
    """Rules by (Stripe key -> match); by default price_pro and price_team are in the catalog."""
    known = {"price_pro": Match(sku="PRO-100", rule="catalog row 1"), "price_team": Match(sku="TEAM-YEAR")}
    wanted = (known if catalog is None else catalog).items()
    rows = {("stripe", key): (Row(number=number, matches=(match,)),) for number, (key, match) in enumerate(wanted, 1)}
    return Rules(catalog=Catalog(rows), policy=Policy(**policy), version="v1")


def a_license(offering: str = "PRO-100", **values: Any) -> License:
    """What ought to exist: one seat until a year and a week from NOW."""
    known: dict[str, Any] = {
        "order_ref": ORDER,
        "seats": 1,
        "overdraft": None,
        "paid_until": NOW + YEAR,
        "expires_at": NOW + YEAR + 7 * DAY,
        "enabled": True,
        "lines": ("si_1",),
    }
    return License(offering=offering, **(known | values))


def an_offering(sku: str = "PRO-100", **values: Any) -> Offering:
    return Offering(**({"id": f"off_{sku}", "sku": sku, "product_id": "prod_1"} | values))


def an_entitlement(id_: str = "ent_1", **values: Any) -> Entitlement:
    """What is held: equal to `a_license()`, nobody using it."""
    offering = values.get("offering", "PRO-100")
    known: dict[str, Any] = {
        "group_id": "egr_1",
        "order_ref": ORDER,
        "offering": offering,
        "offering_id": f"off_{offering}",
        "product_id": "prod_1",
        "seats": 1,
        "seats_used": 0,
        "overdraft": None,
        "expires_at": NOW + YEAR + 7 * DAY,
        "enabled": True,
        "status": "active",
        "created_at": NOW,
        "lines": ("si_1",),
    }
    return Entitlement(id=id_, **(known | values))


def a_receipt(external_id: str = "evt_1", **values: Any) -> NewReceipt:
    """An accepted receipt that leads to sub_1."""
    known: dict[str, Any] = {
        "connection": "stripe",
        "type": "customer.subscription.updated",
        "subject": str(a_ref()),
        "kind": "subscription",
        "received_at": 1_790_000_000.0,
        "occurred_at": 1_790_000_000.0,
        "outcome": "accepted",
        "reason": None,
        "headers": "{}",
        "body": b"{}",
    }
    return NewReceipt(external_id=external_id, **(known | values))


def an_event(id_: str = "evt_1", type_: str = "customer.subscription.updated", **values: Any) -> bytes:
    """The body of a Stripe event about sub_1 (its own object shapes are in the connector's fixtures)."""
    known: dict[str, Any] = {
        "id": id_,
        "object": "event",
        "type": type_,
        "created": 1_790_000_000,
        "livemode": True,
        "data": {"object": {"id": "sub_1", "object": "subscription", "status": "active"}},
    }
    return json.dumps(known | values).encode()


def a_signature(body: bytes, secret: str, at: float | None = None) -> str:
    """A Stripe-Signature header, made here and not by the code under test."""
    sent_at = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), str(sent_at).encode() + b"." + body, "sha256").hexdigest()
    return f"t={sent_at},v1={digest}"
