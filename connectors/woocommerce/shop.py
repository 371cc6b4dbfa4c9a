"""WooCommerce, declared: its webhooks, objects and lists. developer.woocommerce.com, REST API v3 (read 2026-11)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from connectors.declared import Changes, Form, Kind, Listing, Many, Read, Shop, Sold, Tells, linked
from connectors.proofs import Hmac
from connectors.woocommerce.purchase import reduced_order, reduced_refund, reduced_subscription, to_purchase
from hub.domain import Json

_API = "/wp-json/wc/v3"
_PAGE = {"per_page": "100", "dates_are_gmt": "true"}
_CHANGED = _PAGE | {"modified_after": "{since}", "orderby": "modified", "order": "asc"}


def _tells(kind: str, fact: str, *, carries: bool = True) -> Tells:
    return Tells(fact=f"purchase.{fact}", about=((kind, "id"),), carries=((kind, ""),) if carries else ())


def complaint(body: Json) -> str:
    """The vendor's own words."""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def since(at: int) -> str:
    """As lists take times: ISO, without a zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_REFUNDS = Many(kind="refund", of="order", listed=Listing(path=_API + "/orders/{id}/refunds", rows="", query=_PAGE))

WOOCOMMERCE = Shop(
    kind="woocommerce",
    proof=Hmac(header="x-wc-webhook-signature", encoding="base64"),
    form=Form(
        type="header:x-wc-webhook-topic",
        at=("date_modified_gmt",),
        account=("header:x-wc-webhook-source",),
    ),
    events={
        "order.created": _tells("order", "created"),
        "order.updated": _tells("order", "changed"),
        "order.restored": _tells("order", "restored"),
        "order.deleted": _tells("order", "deleted", carries=False),
        "subscription.created": _tells("subscription", "started"),
        "subscription.updated": _tells("subscription", "changed"),
        "subscription.switched": _tells("subscription", "changed"),
        "subscription.deleted": _tells("subscription", "deleted", carries=False),
    },
    ignored={
        **dict.fromkeys(("coupon", "product"), "a price list changes no license"),
        "customer": "buyers are read with their purchases",
        "action": "whatever a plugin does, orders and subscriptions tell the sale",
    },
    kinds={
        "subscription": Kind(
            reduce=reduced_subscription,
            version="date_modified_gmt",
            over=frozenset({"cancelled", "expired"}),
            began="order",
        ),
        "order": Kind(reduce=reduced_order, version="date_modified_gmt"),
        "refund": Kind(reduce=reduced_refund, version="date_created_gmt"),
    },
    sold={
        "subscription": Sold(listed=Listing(path=f"{_API}/subscriptions", rows="", query=_PAGE)),
        "order": Sold(
            parts={"refunds": _REFUNDS},
            begins=Many(
                kind="subscription",
                of="order",
                listed=Listing(path=f"{_API}/subscriptions", rows="", query=_PAGE | {"parent": "{id}"}),
            ),
            listed=Listing(path=f"{_API}/orders", rows="", query=_PAGE),
        ),
    },
    purchase=to_purchase,
    reads={
        "subscription": Read(path=_API + "/subscriptions/{id}"),
        "order": Read(path=_API + "/orders/{id}"),
    },
    changes=(
        Changes(
            listed=Listing(path=f"{_API}/subscriptions", rows="", query=_CHANGED),
            kind="subscription",
            at="date_modified_gmt",
        ),
        Changes(listed=Listing(path=f"{_API}/orders", rows="", query=_CHANGED), kind="order", at="date_modified_gmt"),
    ),
    following=linked,
    since=since,
    ping=re.compile(rb"webhook_id=[0-9]{1,20}"),
    to_paste=(
        "WooCommerce > Settings > Advanced > Webhooks > Add webhook, one for each of the topics {types}: Delivery URL "
        "{url}, API version v3, Status active, Secret as in {secrets}"
    ),
    mend=(
        "WooCommerce > Settings > Advanced > REST API > Add key, permission Read; set connections.{name}.consumer_key "
        "and consumer_secret"
    ),
    complaint=complaint,
)

WITHOUT_SUBSCRIPTIONS = replace(
    WOOCOMMERCE,
    sold={"order": replace(WOOCOMMERCE.sold["order"], begins=None)},
    changes=WOOCOMMERCE.changes[1:],
)
