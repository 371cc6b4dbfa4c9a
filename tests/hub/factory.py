"""Values and rows for tests of what people see: a hub that asks no vendor anything, and a record with a life in it."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from hub import wiring
from hub.domain import Ref
from hub.drift import Drift, keep
from hub.settings import CatalogRow, HubSection, Outbound, Settings
from hub.store import Store, candidates, records, schema
from hub.store.subjects import folded
from hub.wiring import Hub

SECRET = "a secret of more than thirty-two characters"
CATALOG = "c4f1d2e8" * 8
DAY = 86400.0


def a_hub(
    url: str,
    *,
    console: str = "login",
    public_url: str = "http://127.0.0.1:8000",
    allow: tuple[str, ...] = (),
    api_per_s: float = 20,
) -> Hub:
    """A hub between one selling and one licensing connection, both on closed ports."""
    section = HubSection(
        secret=SECRET,
        database_url=url,
        redis_url="redis://127.0.0.1:1/0",
        console=console,
        public_url=public_url,
        api_per_s=api_per_s,
    )  # type: ignore[arg-type]
    closed = "http://127.0.0.1:1"
    zentitle = {
        "kind": "zentitle",
        "base_url": closed,
        "token_url": f"{closed}/token",
        "tenant_id": "t_1",
        "client_id": "hub",
        "client_secret": "s",
    }
    stripe = {
        "kind": "stripe",
        "webhook_secrets": ["whsec_test"],
        "api_key": "sk_test_1",
        "base_url": closed,
        "livemode": False,
    }
    catalog = (CatalogRow(keys={"stripe": "pro_annual"}, sku="PRO-100"),)
    return wiring.build(
        Settings(
            path=Path("hub.toml"),
            hub=section,
            connections={"zentitle": zentitle, "stripe": stripe},
            catalog=catalog,
            outbound=Outbound(allow=allow),
        )
    )


def a_receipt(conn: Connection, subject: str | None = None, **values: Any) -> int:
    """Inserts a receipt; its id."""
    id_ = values.pop("external_id", None) or f"evt_{secrets.token_hex(6)}"
    type_ = values.pop("type", "customer.subscription.updated")
    body = values.pop(
        "body",
        json.dumps({"id": id_, "type": type_, "data": {"object": {"id": (subject or "x").split("/")[-1]}}}).encode(),
    )
    row = {
        "connection": "stripe",
        "external_id": id_,
        "type": type_,
        "subject": subject,
        "received_at": time.time(),
        "occurred_at": time.time() - 2,
        "outcome": "accepted",
        "reason": None,
        "duplicates": 0,
        "headers": json.dumps({"content-type": "application/json", "user-agent": "Stripe/1.0"}),
        "body": body,
    }
    return int(conn.execute(schema.receipt.insert().values(row | values).returning(schema.receipt.c.id)).scalar_one())


def a_subject(conn: Connection, ref: str, **values: Any) -> str:
    """Inserts a subject; its ref."""
    now = time.time()
    connection, kind, id_ = ref.split("/")
    row = {
        "ref": ref,
        "connection": connection,
        "kind": kind,
        "state": "idle",
        "cause": "settled",
        "reason": "nothing to change: the license is what the purchase says",
        "summary": "nothing to change: the license is what the purchase says",
        "looked_at": now,
        "order_ref": f"{connection}:{id_}",
        "customer": f"{connection}:cus_{id_}",
        "customer_name": "Cedar & Co",
        "created_at": now,
        "changed_at": now,
    }
    row |= values
    row.setdefault("customer_folded", folded(row["customer_name"]))
    conn.execute(schema.subject.insert().values(row))
    return ref


def a_change(conn: Connection, subject: str, **values: Any) -> int:
    """Inserts a row of the journal; its id."""
    row = {
        "look": secrets.token_hex(8),
        "subject": subject,
        "entitlement": None,
        "at": time.time(),
        "action": "SetTerms",
        "outcome": "done",
        "wanted": {},
        "found": {},
        "call": {"method": "PATCH", "path": "/api/v1/entitlements/ent_1", "body": None, "status": 204},
        "why": {},
        "cause": "event",
        "catalog_version": CATALOG,
        "observation": None,
    }
    return int(conn.execute(schema.change.insert().values(row | values).returning(schema.change.c.id)).scalar_one())


def an_observation(conn: Connection, subject: str, seen: dict[str, Any], seen_at: float) -> str:
    """Inserts an observation that is the last of its subject; its hash."""
    hash_ = secrets.token_hex(32)
    conn.execute(schema.observation.insert().values(subject=subject, hash=hash_, seen=seen, seen_at=seen_at))
    conn.execute(schema.subject.update().where(schema.subject.c.ref == subject).values(saw=hash_))
    return hash_


def an_entitlement(conn: Connection, subject: str | None, id_: str = "ent_1", **values: Any) -> str:
    """Inserts a snapshot; its id. Values of the entitlement itself go into `body`."""
    body = {
        "id": id_,
        "group_id": f"egr_{id_}",
        "order_ref": "stripe:" + (subject or id_).rsplit("/", maxsplit=1)[-1],
        "offering": "PRO-100",
        "offering_id": "off_1",
        "product_id": "prod_1",
        "seats": 20,
        "seats_used": 17,
        "overdraft": None,
        "expires_at": "2027-03-30T00:00:00+00:00",
        "enabled": True,
        "status": "active",
        "own_grace": False,
        "perpetual": False,
        "frozen": False,
        "created_at": "2026-03-23T08:14:31+00:00",
        "lines": ["si_1"],
    } | values.pop("body", {})
    row = {
        "id": id_,
        "group_id": body["group_id"],
        "customer_id": "cust_1",
        "order_ref": body["order_ref"],
        "subject": subject,
        "offering": body["offering"],
        "enabled": body["enabled"],
        "revision": 1,
        "body": body,
        "reasons": REASONS,
        "catalog_version": CATALOG,
        "observation": None,
        "read_at": time.time(),
        "changed_at": time.time(),
    }
    conn.execute(schema.entitlement.insert().values(row | values))
    return id_


REASONS = {
    "offering": {"rule": "catalog row 1", "because": "pro_annual → PRO-100", "lines": ["si_1"]},
    "seats": {"rule": "seats_of", "because": "quantity × seats a unit: 20 × 1", "lines": ["si_1"]},
    "expires_at": {
        "rule": "paid_until",
        "because": "invoice in_2 is paid until 2027-03-23, plus 7 days of grace",
        "lines": ["si_1"],
    },
    "enabled": {"rule": "enabled_while", "because": "the purchase is active", "lines": ["si_1"]},
}
LIFE = "stripe/subscription/sub_life"
PARKED = "stripe/subscription/sub_parked"


def a_review(conn: Connection, subject: str | None, text: str, kind: str = "seats in use") -> int:
    """Inserts an open task; its id."""
    row = {
        "key": secrets.token_hex(4),
        "kind": kind,
        "subject": subject,
        "text": text,
        "open": True,
        "created_at": time.time(),
    }
    return int(conn.execute(schema.review.insert().values(row).returning(schema.review.c.id)).scalar_one())


def an_approval(conn: Connection, subject: str, acts: list[dict[str, Any]], state: str = "waiting") -> None:
    """Inserts what waits for approval."""
    conn.execute(schema.approval.insert().values(subject=subject, acts=acts, state=state, created_at=time.time()))


def seen_with(quantity: int) -> dict[str, Any]:
    """What a look saw of the life's purchase."""
    item = {"id": "si_1", "quantity": quantity, "price": {"id": "price_1", "lookup_key": "pro_annual"}}
    return {
        "subscription": {"id": "sub_life", "status": "active", "items": [item]},
        "invoices": [{"id": "in_2", "status": "paid"}],
    }


def a_life(conn: Connection) -> None:
    """A purchase: created after a lost answer, terms set, seats 10 → 20 → 15 → 20, renewed; and its license."""
    now = time.time()
    if not conn.execute(select(schema.catalog_version.c.version)).first():
        conn.execute(
            schema.catalog_version.insert().values(
                version=CATALOG, body={"catalog": [{}], "policy": {}}, stored_at=now - 300 * DAY
            )
        )
    a_subject(conn, LIFE, looked_at=now - 60)
    born, grown, shrunk, renewed = now - 240 * DAY, now - 90 * DAY, now - 30 * DAY, now - 2 * DAY
    first, second = an_observation(conn, LIFE, seen_with(10), born), an_observation(conn, LIFE, seen_with(20), grown)
    code = {
        "kind": "group",
        "key": "stripe:sub_life",
        "subject": LIFE,
        "open": False,
        "started_at": born,
        "fence": 1,
        "tries": 1,
    }
    conn.execute(schema.intent.insert().values(activation_code="AAAAA-BBBBB-CCCCC-DDDDD", ids=["egr_ent_1"], **code))
    conn.execute(
        schema.grant.insert().values(
            subject=LIFE, line="si_1", entitlement="ent_1", offering="PRO-100", paid_until="2027-03-23T00:00:00+00:00"
        )
    )
    for type_ in ("checkout.session.completed", "customer.subscription.created", "invoice.paid"):
        a_receipt(conn, LIFE, type=type_, received_at=born - 1)
    order = {"order_ref": "stripe:sub_life", "skus": ["PRO-100"], "activation_code": "AAAAA-BBBBB-CCCCC-DDDDD"}
    why = {f"PRO-100.{name}": reason for name, reason in REASONS.items()}
    a_change(
        conn,
        LIFE,
        look="look1",
        at=born,
        action="CreateGroup",
        outcome="unknown",
        wanted=order,
        why=why,
        call=None,
        observation=first,
    )
    a_change(
        conn,
        LIFE,
        look="look2",
        at=born + 121,
        action="CreateGroup",
        outcome="found",
        wanted={"order_ref": "stripe:sub_life"},
        call=None,
        cause="window",
        observation=first,
    )
    _terms(
        conn,
        "look2",
        born + 122,
        first,
        {"seats": 10, "expires_at": "2026-03-30T00:00:00+00:00"},
        {"seats": 1, "expires_at": None},
    )
    for at, look, before, after in ((grown, "look3", 10, 20), (shrunk, "look4", 20, 15), (renewed, "look5", 15, 20)):
        a_receipt(conn, LIFE, type="customer.subscription.updated", received_at=at - 1, duplicates=2)
        _terms(conn, look, at, second, {"seats": after}, {"seats": before})
    a_receipt(conn, LIFE, type="invoice.paid", received_at=renewed - 1)
    _terms(
        conn,
        "look5",
        renewed + 1,
        second,
        {"expires_at": "2027-03-30T00:00:00+00:00"},
        {"expires_at": "2026-03-30T00:00:00+00:00"},
    )
    a_receipt(conn, LIFE, type="customer.subscription.updated", received_at=now - 120)
    an_entitlement(conn, LIFE, observation=second, changed_at=renewed + 1)


def _terms(
    conn: Connection, look: str, at: float, observation: str, wanted: dict[str, Any], found: dict[str, Any]
) -> None:
    body = {{"seats": "seatCount", "expires_at": "expiryDate"}[name]: value for name, value in wanted.items()}
    call = {"method": "PATCH", "path": "/api/v1/entitlements/ent_1", "body": body, "status": 204}
    why = {name: REASONS[name] for name in wanted}
    a_change(
        conn,
        LIFE,
        look=look,
        at=at,
        entitlement="ent_1",
        wanted=wanted,
        found=found,
        why=why,
        call=call,
        observation=observation,
    )


def a_world(conn: Connection) -> None:
    """The life, and a subject in every other state with receipts of every outcome."""
    now = time.time()
    a_life(conn)
    parked = a_subject(
        conn,
        PARKED,
        state="parked",
        cause="unmapped",
        customer_name="Meridian Geo",
        reason='no catalog row names price_teams: add a [[catalog]] row with stripe = "price_teams", and restart',
    )
    conn.execute(schema.unmapped.insert().values(subject=parked, key="price_teams"))
    held = a_subject(
        conn,
        "stripe/subscription/sub_held",
        state="held",
        cause="guard",
        customer_name="Veldt Distribution",
        reason="waits for approval (switched off): more is taken away this hour than the guard lets pass; `hub approve`",
    )
    an_approval(conn, held, [{"action": "Disable", "entitlement": "ent_held"}])
    an_entitlement(conn, held, "ent_held", body={"seats": 5, "seats_used": 0})
    dead = a_subject(
        conn,
        "stripe/subscription/sub_dead",
        state="dead",
        cause="refused",
        customer_name="Larkspur Studio",
        tries=3,
        failing_since=now - 600,
        reason="seats: the offering allows 500 seats (422)",
    )
    window = a_subject(
        conn,
        "stripe/subscription/sub_window",
        state="due",
        cause="window",
        customer_name="Orrin Castings",
        next_look=now + 90,
        summary=None,
        looked_at=None,
        reason="checking whether the license was created, until 14:02:31 UTC",
    )
    a_change(
        conn,
        window,
        action="CreateGroup",
        outcome="unknown",
        wanted={"order_ref": "stripe:sub_window", "skus": ["PRO-100"]},
        call=None,
    )
    a_subject(
        conn,
        "stripe/subscription/sub_due",
        state="due",
        cause="event",
        next_look=now - 1,
        customer_name="Aldersgate Press",
        reason="an event came in",
        looked_at=None,
    )
    a_subject(
        conn,
        "stripe/subscription/sub_retry",
        state="due",
        cause="retry",
        next_look=now + 300,
        tries=4,
        failing_since=now - 900,
        customer_name="Pell & Sons",
        reason="the vendor answered 503",
    )
    ended = a_subject(
        conn,
        "stripe/subscription/sub_ended",
        customer_name="Quillfield Software",
        summary="switched off",
        reason="switched off",
    )
    an_entitlement(conn, ended, "ent_ended", body={"enabled": False, "seats": 3, "seats_used": 0})
    a_change(
        conn,
        ended,
        entitlement="ent_ended",
        action="Disable",
        wanted={"enabled": False},
        found={"enabled": True},
        why={"enabled": {"rule": "enabled_while", "because": "the purchase is canceled", "lines": ["si_9"]}},
    )
    a_review(conn, held, "17 seats of ent_held are in use, 10 were bought")
    for ref in (parked, held, dead, window):
        a_receipt(conn, ref, received_at=now - 30)
    a_receipt(conn, None, type="payment_method.attached", outcome="ignored", reason="says nothing of a license")
    a_receipt(
        conn, None, type="invoice.paid", outcome="quarantined", reason="it is of live mode, this connection is not"
    )
    a_receipt(
        conn,
        None,
        type="unreadable",
        outcome="dead",
        reason="unreadable: a key stands twice",
        body=b'{"id": 1, "id": 2, <script>alert(1)</script>',
    )
    a_receipt(conn, LIFE, type="invoice.paid", outcome="conflict", reason="another body came under an id that is known")


def a_drift(kind: str, entitlement: str = "", **values: str) -> Drift:
    """A disagreement about an entitlement, or about the subject `at`."""
    at = {"at": f"zentitle/entitlement/{entitlement}", "problem": "PRO-100: seats 9, on record 3", "repair": "look"}
    how = "a look reads it, and has its purchase looked at where it differs"
    return Drift(kind=kind, entitlement=entitlement, **{**at, "how": how, **values})


def drifts() -> list[Drift]:
    """A disagreement of each repair."""
    crm = {"at": "crm/Account/acme", "problem": "unmatched: no account is called so", "customer": "Acme Ltd"}
    return [
        a_drift("stale", "ent_1", customer="Larkspur Studio", risk="takes away: seats"),
        a_drift("missing", at=LIFE, problem="not there: PRO-100, 5 seats", risk="makes a license"),
        a_drift("orphaned", "ent_loose", repair="task", problem="no purchase on record pays for it"),
        a_drift("unmatched", **crm, repair="by hand", how="name it so in the CRM"),
    ]


def a_doubt(conn: Connection) -> None:
    """A license that was there before the hub and may be of two purchases, and the task that asks a person."""
    subject = PARKED
    license_ = "PRO-100, 20 seats, until 30 Mar 2027, of ACME  Ltd, account legacy-1, order legacy-7"
    known = {"offering": "PRO-100", "license": license_, "account": "legacy-1"}
    because = "its customer has the buyer's name, and it is of the same offering"
    rows = [
        {"purchase": subject, "customer": "Meridian Geo", "because": because, "drifts": "seats 20 → 5"},
        {"purchase": "stripe/subscription/sub_other", "customer": "Acme Ltd", "because": because, "drifts": ""},
    ]
    candidates.put(conn, "ent_loose", [{**known, **row, "alias": f"stripe:{row['customer']}"} for row in rows])
    text = f"whose is ent_loose ({license_})? `hub adopt --apply` one of: ent_loose={subject}"
    records.raise_review(conn, "adopt:ent_loose", "whose license", Ref.parse(subject), text)


def fill(store: Store) -> None:
    """Writes the world."""
    store.write(a_world)
    keep(store, drifts())


def a_consumer(conn: Connection, id_: str, **values: Any) -> str:
    """Inserts an endpoint; its id."""
    row: dict[str, Any] = {
        "url": "https://hooks.example.com/hub/licensing",
        "description": "Billing",
        "types": ["entitlement.*", "purchase.paid"],
        **{name: [] for name in ("connections", "customers", "header_names", "secrets")},
        "headers": "",
        "version": 1,
        "ordered": False,
        "state": "enabled",
        "cursor": 4,
        "created_at": time.time() - 9 * DAY,
        "changed_at": time.time(),
    }
    conn.execute(schema.endpoint.insert().values(row | values | {"id": id_}))
    return id_


def consumers(conn: Connection) -> None:
    """An endpoint that fails with deliveries in every state and their attempts, and one that is off."""
    now = time.time()
    failing = {"failures": 4, "failing_since": now - DAY, "untold": 3, "untold_because": "type has no seats"}
    a_consumer(conn, "ep_billing", **failing)
    a_consumer(conn, "ep_off", description="", types=[], state="disabled", because="it answered 410: gone")
    m, d = schema.message, schema.delivery
    for position, state in enumerate(("delivered", "exhausted", "skipped", "pending"), 1):
        told = {"type": "entitlement.changed", "version": 1, "occurred_at": now - DAY, "subject": LIFE, "data": {}}
        conn.execute(m.insert().values(event_id=f"event-{position}", position=position, entitlement="ent_1", **told))
        tries = 0 if state == "skipped" else position
        made = {"endpoint": "ep_billing", "position": position, "key": "cust_1", "version": 1, "state": state}
        made |= {"tries": tries, "next_at": now + 600, "created_at": now - DAY, "said": "503" if tries else "skipped"}
        made |= {"ended_at": None if state == "pending" else now}
        id_ = conn.execute(d.insert().values(made).returning(d.c.id)).scalar_one()
        for number in range(1, tries + 1):
            last = number == tries and state == "delivered"
            said = {
                "status": 200 if last else 503 if number > 1 else None,
                "error": "" if number > 1 or last else "timeout",
            }
            answered = "" if number == 1 else '{"error": "upstream is away", "trace": "' + "0af7651916cd43dd" * 6 + '"}'
            one = {"delivery": id_, "number": number, "at": now - 600, "seconds": 0.21, "response": answered}
            conn.execute(schema.attempt.insert().values(one | said))
    conn.execute(schema.sequence.update().where(schema.sequence.c.name == "message").values(position=4))
